# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real clusters whose whole PKI is ours: laid before `kubeadm init`, below authorities of ours and below ones outside.

The tests of each cluster are one story and run in their order.
"""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lab.kubelab.cluster import KUBEADM
from lab.kubelab.harness import Cluster
from lab.kubelab.prepare import TEST_IMAGE
from lab.product import HardenRun, Product, without_random
from lab.story import POD
from lab.test_directory_init import AUTHORITIES, KUBECONFIGS, LEAVES, Outside

pytestmark = pytest.mark.slow

#: Control planes and workers of each cluster but one.
SHAPE = "1+1"
own = pytest.mark.on(SHAPE, name="init-own", bare=True)
outside = pytest.mark.on(SHAPE, name="init-outside", bare=True)
controller = pytest.mark.on(SHAPE, name="init-controller", bare=True)

PKI = "/etc/kubernetes/pki"
CURRENT = "/var/lib/kubelet/pki/kubelet-client-current.pem"
#: There is no kernel configuration for kubeadm's preflight to look at, and what it wants to be missing is there.
IGNORE = "--ignore-preflight-errors=all"
#: By whom a kubelet's request asks to be signed.
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
ETCDCTL = (
    "exec", "--namespace=kube-system", "etcd-cp1", "--", "etcdctl", f"--cacert={PKI}/etcd/ca.crt",
    f"--cert={PKI}/etcd/healthcheck-client.crt", f"--key={PKI}/etcd/healthcheck-client.key", "--write-out=json",
)  # fmt: skip


@pytest.fixture
def product(cluster: Cluster) -> Product:
    return Product(cluster)


# Steps


def prepare(product: Product, *arguments: str, **variables: Any) -> HardenRun:
    """Lay the PKI as docs/pki.md says; the file is the one with which kubeadm init runs."""
    lab = product.cluster.lab
    file = product.cluster.directory / "kubeadm.yaml"
    text = KUBEADM.format(
        address=lab.hosts[0].address, version=lab.version, endpoint=lab.endpoint, algorithm=lab.algorithm
    )
    file.write_text(text, encoding="utf-8")
    limit = ",".join(product.cluster.control_planes)
    return product.play("prepare_node.yml", *arguments, "--limit", limit, pki_init=str(file), **variables).well()


def init(cluster: Cluster) -> str:
    """Make the first control plane; return what kubeadm said."""
    text = (cluster.directory / "kubeadm.yaml").read_text(encoding="utf-8")
    cluster.ssh("cp1", "cat >/root/kubeadm.yaml", stdin=text)
    said = cluster.ssh("cp1", f"kubeadm init --config /root/kubeadm.yaml {IGNORE} 2>&1").stdout
    admin = cluster.directory / "admin.conf"
    admin.touch(0o600)
    admin.write_text(cluster.ssh("cp1", "cat /etc/kubernetes/admin.conf").stdout, encoding="utf-8")
    return said


def join_all(cluster: Cluster) -> None:
    """Let the other hosts join; no control plane gets a file from another by kubeadm."""
    command = cluster.ssh("cp1", "kubeadm token create --print-join-command").stdout.strip()
    for host in cluster.hosts[1:]:
        kind = "--control-plane" if host in cluster.control_planes else ""
        cluster.ssh(host, f"{command} {kind} {IGNORE}")


# Looks


def pairs_of(host: str) -> list[str]:
    """The certificates and keys of a control plane, and its kubeconfigs, but for authorities."""
    names = [f"{PKI}/{name}{suffix}" for name in LEAVES for suffix in (".crt", ".key")]
    kubeconfigs = KUBECONFIGS["cp1" if host == "cp1" else "cp2"]
    return [*names, f"{PKI}/sa.key", f"{PKI}/sa.pub", *(f"/etc/kubernetes/{name}.conf" for name in kubeconfigs)]


def authorities(*suffixes: str) -> list[str]:
    return [f"{PKI}/{name}{suffix}" for name in AUTHORITIES.values() for suffix in suffixes]


def digests(cluster: Cluster, paths: dict[str, list[str]]) -> dict[str, list[str]]:
    """By host, the SHA-256 of files that must be there."""
    return {host: cluster.ssh(host, f"sha256sum {' '.join(some)}").stdout.splitlines() for host, some in paths.items()}


def works(cluster: Cluster) -> None:
    """Every node and pod is Ready, logs and exec reach a kubelet, a token is believed, and etcd's members are well."""
    cluster.wait_quiet()
    node = cluster.hosts[-1]
    cluster.kubectl("apply", "-f", "-", stdin=POD.format(name="steady", node=node, image=TEST_IMAGE))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/steady", "--timeout=120s")
    cluster.kubectl("exec", "steady", "--", "/bin/sh", "-c", "echo said-over-our-certificates >/proc/1/fd/1")
    assert "said-over-our-certificates" in cluster.kubectl("logs", "steady").stdout
    token = cluster.kubectl("create", "token", "default").stdout.strip()
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    answer = cluster.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review)).stdout
    assert json.loads(answer)["status"]["authenticated"] is True
    members = json.loads(cluster.kubectl(*ETCDCTL, "member", "list").stdout)["members"]
    assert sorted(member["name"] for member in members) == cluster.control_planes
    health = json.loads(cluster.kubectl(*ETCDCTL, "endpoint", "health", "--cluster").stdout)
    assert [member["health"] for member in health] == [True] * len(cluster.control_planes), health


# Authorities of ours


@own
def test_all_is_laid_before_there_is_a_cluster_and_kubeadm_makes_nothing_of_it_anew(product: Product) -> None:
    cluster = product.cluster
    foretold = prepare(product, "--check")
    assert not product.exists("cp1", PKI)
    run = prepare(product)
    assert without_random(foretold.changes) == without_random(run.changes)
    assert prepare(product).changes == []
    paths = {host: [*pairs_of(host), *authorities(".crt", ".key")] for host in cluster.control_planes}
    before = digests(cluster, paths)
    said = init(cluster)
    assert "Generating" not in said, said
    for name in ("ca", "front-proxy-ca", "etcd/ca"):
        assert f"[certs] Using existing {name} certificate authority" in said
    for name in LEAVES:
        assert f"[certs] Using existing {name} certificate and key on disk" in said
    for name in KUBECONFIGS["cp1"]:
        assert f'Using existing kubeconfig file: "/etc/kubernetes/{name}.conf"' in said
    join_all(cluster)
    assert digests(cluster, paths) == before


@own
def test_the_cluster_works(product: Product) -> None:
    works(product.cluster)


@own
def test_what_came_before_the_cluster_is_known_as_ours_and_is_not_due(product: Product) -> None:
    for run in (product.harden("--tags", "pki"), product.rotate()):
        assert run.well().changes == []
    serials = product.served_serials()
    product.rotate(pki_renew="all").well()
    assert all(serial != serials[place] for place, serial in product.served_serials().items())
    works(product.cluster)


@pytest.mark.on("3+1", name="init-three", bare=True)
def test_with_three_control_planes_etcds_peers_talk_over_what_was_laid(product: Product) -> None:
    """The same on more than one control plane: each member answers only with the word of the others."""
    test_all_is_laid_before_there_is_a_cluster_and_kubeadm_makes_nothing_of_it_anew(product)
    assert len(product.cluster.control_planes) == 3
    works(product.cluster)
    test_what_came_before_the_cluster_is_known_as_ours_and_is_not_due(product)


# Authorities wholly outside


class Signer:
    """The authority outside, as it signs what kubelets ask the cluster for: nobody in the cluster can."""

    def __init__(self, cluster: Cluster, outside: Outside) -> None:
        self._cluster = cluster
        self._outside = outside
        self._end = threading.Event()
        self.signed: set[str] = set()
        self.problems: list[str] = []

    def run(self) -> None:
        while not self._end.wait(1):
            try:
                self._sign_all()
            except (AssertionError, OSError, subprocess.SubprocessError, ValueError) as problem:
                self.problems.append(str(problem))

    def stop(self) -> None:
        self._end.set()

    def _sign_all(self) -> None:
        for one in self._cluster.objects("csr")["items"]:
            status = one.get("status") or {}
            approved = any(condition["type"] == "Approved" for condition in status.get("conditions", []))
            if one["spec"]["signerName"] == CLIENT_SIGNER and approved and "certificate" not in status:
                self._answer(one)

    def _answer(self, one: dict[str, Any]) -> None:
        folder = self._outside.directory
        request, extensions = folder / "kubelet.csr", folder / "kubelet.ext"
        request.write_bytes(base64.b64decode(one["spec"]["request"]))
        extensions.write_text("keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n", encoding="ascii")
        words = ["openssl", "x509", "-req", "-in", str(request), "-days", "30", "-extfile", str(extensions)]
        words += ["-CA", str(folder / "kubernetes.crt"), "-CAkey", str(folder / "kubernetes.key")]
        certificate = subprocess.run(words, check=True, capture_output=True).stdout
        one["status"]["certificate"] = base64.b64encode(certificate).decode()
        name = one["metadata"]["name"]
        place = f"/apis/certificates.k8s.io/v1/certificatesigningrequests/{name}/status"
        self._cluster.kubectl("replace", "--raw", place, "-f", "-", stdin=json.dumps(one))
        self.signed.add(one["spec"]["username"])


@contextlib.contextmanager
def signing(cluster: Cluster, outside: Outside) -> Iterator[Signer]:
    """Within the block kubelets' requests for client certificates are signed outside."""
    signer = Signer(cluster, outside)
    thread = threading.Thread(target=signer.run)
    thread.start()
    try:
        yield signer
    finally:
        signer.stop()
        thread.join()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Outside:
    return Outside(tmp_path_factory.mktemp("controller") / "outside")


def keys_of(product: Product, authority: Outside) -> list[str]:
    """Files of any host that hold a key of an authority, under whatever name."""
    lines = [path.read_text(encoding="ascii").splitlines()[2] for path in authority.directory.glob("*.key")]
    patterns = " ".join(f"-e {line}" for line in lines)
    look = f"grep -rlF {patterns} /etc /root /run/kubeharden /tmp /var/lib/kubelet /var/lib/kubeharden"
    return [f"{host} {found}" for host in product.cluster.hosts for found in
            product.cluster.ssh(host, look, check=False).stdout.split()]  # fmt: skip


@outside
def test_requests_go_out_and_certificates_come_in_before_there_is_a_cluster(
    product: Product, authority: Outside
) -> None:
    prepare(product, **authority.variables)
    assert list(authority.requests.rglob("*.csr"))
    authority.sign()
    foretold = prepare(product, "--check", **authority.variables)
    run = prepare(product, **authority.variables)
    assert without_random(foretold.changes) == without_random(run.changes)
    assert not list(authority.requests.rglob("*.c*"))
    assert prepare(product, **authority.variables).changes == []
    assert keys_of(product, authority) == []


@outside
def test_kubeadm_takes_it_for_an_external_authority_and_makes_nothing_of_it(
    product: Product, authority: Outside
) -> None:
    cluster = product.cluster
    paths = {host: [*pairs_of(host), *authorities(".crt")] for host in cluster.control_planes}
    before = digests(cluster, paths)
    assert product.exists("cp1", "/etc/kubernetes/kubelet.conf")
    said = init(cluster)
    assert "Generating" not in said, said
    assert "[kubeconfig] External CA mode: Using user provided" in said, said
    for name in ("ca", "front-proxy-ca", "etcd/ca"):
        assert f"[certs] Using existing {name} keyless certificate authority" in said
    with signing(cluster, authority) as signer:
        join_all(cluster)
        works(cluster)
    # Who joins asks with its token, and cp1 by what it was given.
    assert any(name.startswith("system:bootstrap:") for name in signer.signed), signer.problems
    assert digests(cluster, paths) == before
    assert keys_of(product, authority) == []


@outside
def test_nobody_in_the_cluster_signs_and_every_kubelet_has_a_certificate_that_it_renews(product: Product) -> None:
    cluster = product.cluster
    for host in cluster.control_planes:
        shown = cluster.ssh(host, "tr '\\0' '\\n' </proc/$(pgrep -o -x kube-controller)/cmdline").stdout
        signing_flags = [line for line in shown.splitlines() if line.startswith("--cluster-signing-")]
        assert all(line.endswith("=") for line in signing_flags), signing_flags
    for host in cluster.hosts:
        assert CURRENT in cluster.ssh(host, "cat /etc/kubernetes/kubelet.conf").stdout, host
        look = f"openssl verify -CAfile {PKI}/ca.crt -purpose sslclient {CURRENT}"
        assert "OK" in cluster.ssh(host, look).stdout, host


@outside
def test_the_next_runs_have_nothing_to_do_and_a_renewal_goes_out_and_comes_in(
    product: Product, authority: Outside
) -> None:
    variables = authority.variables
    for run in (product.harden("--tags", "pki", **variables), product.rotate(**variables)):
        assert run.well().changes == []
    serials = product.served_serials()
    product.rotate(pki_renew="all", **variables).well()
    assert product.served_serials() == serials
    authority.sign()
    product.rotate(**variables).well()
    assert all(serial != serials[place] for place, serial in product.served_serials().items())
    works(product.cluster)
    assert product.rotate(**variables).well().changes == []


# Keys on the controller alone


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("kept") / "authorities"
    directory.mkdir(mode=0o700)
    return {"pki_authorities_dir": str(directory)}


@controller
def test_a_cluster_begins_with_keys_on_the_controller_alone_which_signs_for_who_joins(
    product: Product, kept: dict[str, Any]
) -> None:
    cluster = product.cluster
    prepare(product, **kept)
    said = init(cluster)
    assert "Generating" not in said, said
    joined = threading.Thread(target=join_all, args=(cluster,))
    joined.start()
    signed: list[str] = []
    while joined.is_alive():
        # A host that has not joined yet is no node to be looked at.
        run = product.rotate("--limit", "cp1", **kept)
        assert run.code == 0, str(run)
        signed += [change["target"] for change in run.changes if change["action"] == "sign"]
    joined.join()
    for host in cluster.hosts[1:]:
        assert f"CertificateSigningRequest of {host} for its client certificate" in signed, signed
    works(cluster)
    for host in cluster.control_planes:
        assert not [path for path in authorities(".key") if product.exists(host, path)], host


@controller
def test_the_next_runs_sign_what_is_asked_and_have_nothing_else_to_do(product: Product, kept: dict[str, Any]) -> None:
    product.rotate(**kept).well()
    for run in (product.harden("--tags", "pki", **kept), product.rotate(**kept)):
        assert run.well().changes == []
    serials = product.served_serials()
    product.rotate(pki_renew="all", **kept).well()
    assert all(serial != serials[place] for place, serial in product.served_serials().items())
    works(product.cluster)
