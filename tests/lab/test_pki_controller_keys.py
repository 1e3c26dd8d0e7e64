# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a cluster's authorities moved to the controller, which then signs for hosts and for kubelets.

The tests are one story and run in their order.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.pki import bundle, issue, keys
from lab.kubelab.harness import Cluster
from lab.product import Product, restarted

pytestmark = [pytest.mark.slow, pytest.mark.on("3+1", name="controller-keys")]

PKI = "/etc/kubernetes/pki"
KEYS = {"kubernetes": f"{PKI}/ca.key", "etcd": f"{PKI}/etcd/ca.key", "front-proxy": f"{PKI}/front-proxy-ca.key"}
PASSPHRASE = b"open sesame"
MANAGER = "kube-controller-manager"
# A client's request as a kubelet makes it, by the credentials of a kubeconfig.
ASK = """
import base64, json, subprocess, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
name, common_name, kubeconfig = sys.argv[1:]
subject = [(NameOID.ORGANIZATION_NAME, "system:nodes"), (NameOID.COMMON_NAME, common_name)]
builder = x509.CertificateSigningRequestBuilder().subject_name(
    x509.Name([x509.NameAttribute(kind, value) for kind, value in subject])
)
request = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
pem = request.public_bytes(serialization.Encoding.PEM)
document = {
    "apiVersion": "certificates.k8s.io/v1",
    "kind": "CertificateSigningRequest",
    "metadata": {"name": name},
    "spec": {
        "request": base64.b64encode(pem).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        "usages": ["digital signature", "client auth"],
    },
}
command = ["kubectl", f"--kubeconfig={kubeconfig}", "create", "-f", "-"]
subprocess.run(command, input=json.dumps(document).encode(), check=True)
"""


@pytest.fixture
def product(cluster: Cluster) -> Product:
    return Product(cluster)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the controller keeps the keys; its passphrase lies beside it."""
    base = tmp_path_factory.mktemp("controller")
    (base / "passphrase").write_bytes(PASSPHRASE)
    (base / "passphrase").chmod(0o600)
    return base / "authorities"


@pytest.fixture
def kept(directory: Path) -> dict[str, Any]:
    return {
        "pki_authorities_dir": str(directory),
        "pki_authorities_passphrase_file": str(directory.parent / "passphrase"),
        "pki_authorities_move": True,
    }


def there(product: Product) -> dict[str, list[str]]:
    """By control plane, the keys of authorities that it has."""
    planes = product.cluster.control_planes
    return {host: [path for path in KEYS.values() if product.exists(host, path)] for host in planes}


def signing(product: Product, host: str) -> list[str]:
    """The arguments about signing with which the controller manager of a host was started."""
    # The kernel keeps 15 letters of a name.
    shown = product.cluster.ssh(host, f"tr '\\0' '\\n' </proc/$(pgrep -o -x {MANAGER[:15]})/cmdline").stdout
    return [line for line in shown.splitlines() if line.startswith("--cluster-signing-") and line.endswith("=")]


def requested(product: Product, name: str) -> dict[str, Any]:
    found = json.loads(product.cluster.kubectl("get", "csr", name, "-o", "json").stdout)
    assert isinstance(found, dict)
    return found


EMPTY = ["--cluster-signing-cert-file=", "--cluster-signing-key-file="]


def test_the_first_run_brings_the_keys_and_nothing_needs_them_any_more(
    product: Product, directory: Path, kept: dict[str, Any]
) -> None:
    before, processes = there(product), product.on_each(product.processes)
    text = product.cluster.ssh("cp1", f"cat {KEYS['kubernetes']}").stdout
    foretold = product.harden("--check", **kept).well()
    assert not directory.exists()
    run = product.harden("-vvvv", **kept).well()
    assert [change["target"] for change in run.changes] == [change["target"] for change in foretold.changes]
    assert not [line for line in text.splitlines()[1:-1] if line in run.output]
    assert there(product) == before
    for name in KEYS:
        key = keys.load_private((directory / f"{name}.key").read_bytes(), name, PASSPHRASE)
        own = bundle.parse((directory / f"{name}.crt").read_bytes(), name)[0]
        assert own.public_key == keys.public_bytes(key)
    now = product.on_each(product.processes)
    for host in product.cluster.control_planes:
        assert MANAGER in restarted(processes[host], now[host])
        assert sorted(signing(product, host)) == EMPTY
    told = product.cluster.kubectl("get", "configmap", "kubeadm-config", "-n", "kube-system", "-o", "yaml").stdout
    assert "cluster-signing-key-file" in told


def test_the_second_run_removes_them(product: Product, kept: dict[str, Any]) -> None:
    processes = product.on_each(product.processes)
    run = product.harden(**kept).well()
    removed = {(change["host"], change["target"]) for change in run.changes if change["action"] == "remove"}
    assert removed == {(host, path) for host in product.cluster.control_planes for path in KEYS.values()}
    assert not any(there(product).values())
    assert product.on_each(product.processes) == processes
    assert product.harden(**kept).well().changes == []
    back = product.rollback("--check")
    assert f"{KEYS['kubernetes']} of run" in " ".join(back.output.split())


def test_all_certificates_are_renewed_by_the_controller(product: Product, kept: dict[str, Any]) -> None:
    serials = product.served_serials()
    product.rotate(pki_renew="all", **kept).well()
    assert all(serial != serials[place] for place, serial in product.served_serials().items())
    product.cluster.kubectl("create", "configmap", "written")
    product.cluster.kubectl("delete", "configmap", "written")
    assert product.rotate(**kept).well().changes == []


def test_what_a_kubelet_asks_for_is_signed_and_what_a_stranger_does_is_not(
    product: Product, directory: Path, kept: dict[str, Any]
) -> None:
    cluster = product.cluster
    cluster.ssh("w1", "python3 - own system:node:w1 /etc/kubernetes/kubelet.conf", stdin=ASK)
    # The API server lets no node ask in another's name; an administrator can.
    cluster.ssh("cp1", "python3 - others system:node:w1 /etc/kubernetes/admin.conf", stdin=ASK)
    cluster.kubectl("certificate", "approve", "others")
    foretold = product.rotate("--check", **kept)
    assert foretold.code == 0, str(foretold)
    assert "certificate" not in requested(product, "own")["status"]
    run = product.rotate(**kept)
    assert run.code == 0, str(run)
    assert run.changes == foretold.changes
    assert [change["target"] for change in run.changes] == [
        "CertificateSigningRequest of w1 for its client certificate"
    ]
    assert "CertificateSigningRequest others was not signed" in " ".join(run.output.split())
    assert "certificate" not in requested(product, "others")["status"]
    leaf = bundle.parse(base64.b64decode(requested(product, "own")["status"]["certificate"]), "the answer")[0]
    own = bundle.parse((directory / "kubernetes.crt").read_bytes(), "kubernetes.crt")[0]
    assert issue.is_signed_by(leaf, own)
    cluster.kubectl("delete", "csr", "own", "others")


def test_kubelets_that_are_made_to_ask_serve_what_the_controller_signed(product: Product, kept: dict[str, Any]) -> None:
    run = product.harden(profile="cis", **kept)
    assert run.code == 0, str(run)
    signed = {change["target"] for change in run.changes if change["action"] == "sign"}
    assert signed == {
        f"CertificateSigningRequest of {host} for its serving certificate" for host in product.cluster.hosts
    }
    assert product.cluster.kubectl("logs", "kube-apiserver-cp1", "-n", "kube-system", "--tail=1").stdout
