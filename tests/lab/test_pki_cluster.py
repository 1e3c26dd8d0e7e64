# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of a cluster that kubeadm made: adopted, renewed one by one and all at once, and still kubeadm's.

The tests are one story and run in their order. A part of it is told a second time, of a cluster with keys of ECDSA.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.kubelab.harness import Cluster
from lab.kubelab.prepare import TEST_IMAGE
from lab.product import HardenRun, Product, restarted, wait_until, without_random
from lab.story import POD, differences

pytestmark = [pytest.mark.slow, pytest.mark.on("1+1", name="pki")]
#: By kubeadm's name of an algorithm, what openssl says of a key's size.
BITS = {"RSA-2048": "2048 bit", "ECDSA-P256": "256 bit"}
of_each_algorithm = pytest.mark.parametrize(
    (), [pytest.param(marks=pytest.mark.on("1+1", name="pki", algorithm=name), id=name) for name in BITS]
)

PKI = "/etc/kubernetes/pki"
NAME = "api.lab.invalid"
CLIENT = "apiserver-kubelet-client"
BINDING = f"kubeadm:{CLIENT}"
# What the next three do with: another certificate for the same key, by the cluster's authority.
SIGNING = f"""
import base64, datetime, json, os, re
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
pki = "{PKI}"
authority = x509.load_pem_x509_certificate(open(pki + "/ca.crt", "rb").read())
key = serialization.load_pem_private_key(open(pki + "/ca.key", "rb").read(), None)
def from_now(days):
    return datetime.datetime.utcnow() + datetime.timedelta(days=days)
def like(pem, begin, end, *groups):
    old = x509.load_pem_x509_certificate(pem)
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*organizations, *old.subject])
    new = x509.CertificateBuilder(authority.subject, subject, old.public_key(), x509.random_serial_number())
    new = new.not_valid_before(begin).not_valid_after(end)
    for extension in old.extensions:
        new = new.add_extension(extension.value, extension.critical)
    return new.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
def replace(path, data):
    open("/root/new", "wb").write(data)
    os.chmod("/root/new", os.stat(path).st_mode & 0o777)
    os.replace("/root/new", path)
def content(path):
    return open(path, "rb").read()
"""
# An API server's certificate like the one that is there, but that less than a third of its life is left.
CUT_SHORT = f"""{SIGNING}
path = pki + "/apiserver.crt"
replace(path, like(content(path), from_now(-40), from_now(10)))
"""
# Certificates that kubeadm made in one minute, and that ended yesterday.
ENDED = f"""{SIGNING}
def ended(pem):
    return like(pem, from_now(-366), from_now(-1))
for name in ("apiserver", "{CLIENT}"):
    path = pki + "/" + name + ".crt"
    replace(path, ended(content(path)))
for name in ("admin", "controller-manager", "scheduler"):
    path = "/etc/kubernetes/" + name + ".conf"
    text = open(path).read()
    old = re.search("client-certificate-data: (.*)", text).group(1)
    replace(path, text.replace(old, base64.b64encode(ended(base64.b64decode(old))).decode()).encode())
"""
# The API server's certificate for kubelets as this collection issues it up to 1.36.0: with a group.
GROUPED = f"""{SIGNING}
def fingerprint(pem):
    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()
path, noted = pki + "/{CLIENT}.crt", "/var/lib/kubeharden/certificates.json"
old, issued = content(path), json.load(open(noted))
new = like(old, from_now(0), from_now(364), "kubeadm:cluster-admins")
assert fingerprint(old) in issued["{CLIENT}"].split()
issued["{CLIENT}"] = fingerprint(new)
json.dump(issued, open(noted, "w"))
replace(path, new)
"""
SERVED_ENDED = (
    "for try in $(seq 60); do"
    " openssl s_client -connect localhost:6443 </dev/null 2>/dev/null | openssl x509 -noout -checkend 0 || exit 0;"
    " sleep 2; done; exit 1"
)
# Of all keys, those of authorities, of service accounts and in kubeconfigs among them.
KEY_SIZES = f"""
for file in $(find {PKI} -name '*.key'); do openssl pkey -in "$file" -noout -text_pub; done | grep -o '[0-9]* bit'
for file in admin super-admin controller-manager scheduler; do
  awk '/client-key-data/ {{print $2}}' "/etc/kubernetes/$file.conf" | base64 -d | openssl pkey -noout -text_pub
done | grep -o '[0-9]* bit'
"""
SERVED_NAMES = (
    "openssl s_client -connect localhost:6443 </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName"
)


@pytest.fixture
def product(cluster: Cluster) -> Product:
    return Product(cluster)


def files(product: Product) -> dict[str, str]:
    """By path, the SHA-256 of every file of the control plane that may be a certificate or a kubeconfig."""
    find = f"find {PKI} /etc/kubernetes/*.conf -type f -exec sha256sum {{}} +"
    listed = [line.split() for line in product.cluster.ssh("cp1", find).stdout.splitlines()]
    return {path: digest for digest, path in listed}


def renewed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    assert before.keys() == after.keys()
    return {path for path in before if before[path] != after[path]}


def serves(product: Product) -> None:
    """The API answers, and it reaches the kubelets of both hosts."""
    cluster = product.cluster
    if cluster.kubectl("get", "pod", "steady", check=False).returncode != 0:
        cluster.kubectl("apply", "-f", "-", stdin=POD.format(name="steady", node="w1", image=TEST_IMAGE))
        cluster.kubectl("wait", "--for=condition=Ready", "pod/steady", "--timeout=120s")
    cluster.kubectl("exec", "steady", "--", "/bin/sh", "-c", "echo said-over-the-new-certificates >/proc/1/fd/1")
    assert "said-over-the-new-certificates" in cluster.kubectl("logs", "steady").stdout
    assert cluster.kubectl("logs", "kube-apiserver-cp1", "-n", "kube-system", "--tail=1").stdout
    cluster.kubectl("create", "configmap", "written")
    cluster.kubectl("delete", "configmap", "written")


def ends(product: Product) -> dict[str, str]:
    """By kubeadm's name of a certificate, when it ends, as kubeadm says."""
    said = product.cluster.ssh("cp1", "kubeadm certs check-expiration -o json 2>/dev/null").stdout
    return {one["name"]: one["expirationDate"] for one in json.loads(said)["certificates"]}


def told_ends(run: HardenRun) -> dict[str, str]:
    """By the name of a certificate, when it ends, as the table at the end of a run says."""
    lines = run.output.splitlines()
    (begin,) = [number for number, line in enumerate(lines) if line.split()[:2] == ["host", "certificate"]]
    rows = [line.split() for line in lines[begin + 1 : lines.index("", begin)]]
    return {row[1]: row[3] for row in rows if row[0] == "cp1"}


def key_sizes(product: Product) -> list[str]:
    return product.cluster.ssh("cp1", KEY_SIZES).stdout.splitlines()


def are_as_kubeadm_made_them(product: Product) -> None:
    """Every key is of the algorithm with which kubeadm was configured."""
    sizes = key_sizes(product)
    # Three authorities, seven certificates with a file of their own, service accounts, and four kubeconfigs.
    assert sizes == [BITS[product.cluster.lab.algorithm]] * 15


@of_each_algorithm
def test_what_kubeadm_made_is_adopted(product: Product) -> None:
    are_as_kubeadm_made_them(product)
    before = product.on_each(product.attributes)
    for run in (product.harden("--check", "--tags", "pki"), product.harden("--tags", "pki"), product.rotate()):
        assert run.well().changes == []
    after = product.on_each(product.attributes)
    kept = "/var/lib/kubeharden"  # where the lock and the journal are
    assert [line for line in differences(before, after) if kept not in line] == []


@of_each_algorithm
def test_a_certificate_that_ends_soon_is_renewed_and_no_other(product: Product) -> None:
    product.cluster.ssh("cp1", "python3 -", stdin=CUT_SHORT)
    told = product.harden("--check", "--tags", "pki").well()
    assert told.changes == []
    assert "The certificate 'apiserver' is to be issued anew (lifetime" in told.output
    before, processes = files(product), product.on_each(product.processes)
    foretold = product.rotate("--check").well()
    assert files(product) == before
    run = product.rotate().well()
    assert without_random(foretold.changes) == without_random(run.changes)
    assert renewed(before, files(product)) == {f"{PKI}/apiserver.crt", f"{PKI}/apiserver.key"}
    assert product.on_each(product.processes) == processes
    assert ends(product)["apiserver"] == told_ends(run)["apiserver"]
    serves(product)
    assert product.rotate().well().changes == []


def test_a_node_that_is_not_ready_keeps_no_certificate_from_being_renewed(product: Product) -> None:
    cluster = product.cluster
    cluster.ssh("cp1", "python3 -", stdin=CUT_SHORT)
    cluster.ssh("w1", "systemctl stop kubelet")
    try:
        cluster.kubectl("wait", "--for=condition=Ready=Unknown", "node/w1", "--timeout=120s")
        before = files(product)
        assert "KH134" in product.harden("--check", "--tags", "pki").messages["cp1"]
        run = product.rotate()
    finally:
        cluster.ssh("w1", "systemctl start kubelet")
    assert run.code == 0, str(run)
    assert "Node w1 is not Ready (NodeStatusUnknown). The rotation goes on all the same." in " ".join(
        run.output.split()
    )
    assert renewed(before, files(product)) == {f"{PKI}/apiserver.crt", f"{PKI}/apiserver.key"}
    cluster.kubectl("wait", "--for=condition=Ready", "node/w1", "--timeout=120s")


@of_each_algorithm
def test_a_name_that_is_added_is_served_and_no_other_certificate_changes(product: Product) -> None:
    before = files(product)
    assert NAME not in product.cluster.ssh("cp1", SERVED_NAMES).stdout
    run = product.rotate(pki_extra_names=[NAME]).well()
    assert {change["target"] for change in run.changes} == {f"{PKI}/apiserver.crt", f"{PKI}/apiserver.key"}
    assert renewed(before, files(product)) == {f"{PKI}/apiserver.crt", f"{PKI}/apiserver.key"}
    assert NAME in product.cluster.ssh("cp1", SERVED_NAMES).stdout
    serves(product)
    assert product.rotate(pki_extra_names=[NAME]).well().changes == []


@of_each_algorithm
def test_what_kubeadm_renews_is_left_alone(product: Product) -> None:
    product.cluster.ssh("cp1", "kubeadm certs renew all")
    are_as_kubeadm_made_them(product)
    before, processes = files(product), product.on_each(product.processes)
    for run in (product.harden("--tags", "pki"), product.rotate(), product.rotate(pki_extra_names=[NAME])):
        assert run.well().changes == []
    assert files(product) == before
    assert product.on_each(product.processes) == processes


def test_what_is_wrong_on_one_host_is_met_before_anything_is_renewed_on_another(product: Product) -> None:
    authority = f"{PKI}/ca.crt"
    before = files(product)
    product.cluster.ssh("w1", f"cp -p {authority} /root/kept && echo nothing > {authority}")
    try:
        run = product.rotate(pki_renew="all")
    finally:
        product.cluster.ssh("w1", f"mv /root/kept {authority}")
    assert run.code == 2, str(run)
    assert "KH303" in run.messages["w1"]
    assert run.changes == []
    assert files(product) == before


@of_each_algorithm
def test_all_are_renewed_at_once_and_every_server_shows_its_new_one(product: Product) -> None:
    before, processes, serials = files(product), product.on_each(product.processes), product.served_serials()
    run = product.rotate(pki_renew="all").well()
    after = files(product)
    stays = {"ca.crt", "ca.key", "sa.key", "sa.pub", "front-proxy-ca.crt", "front-proxy-ca.key", "kubelet.conf"}
    assert {path for path in set(after) - renewed(before, after) if path.rsplit("/", 1)[1] not in stays} == set()
    assert all(serial != serials[place] for place, serial in product.served_serials().items())
    now = product.on_each(product.processes)
    assert restarted(processes["cp1"], now["cp1"]) == {"kube-controller-manager", "kube-scheduler"}
    assert restarted(processes["w1"], now["w1"]) == set()
    told = told_ends(run)
    kubeadms = {"etcd-server": "etcd-server", "apiserver": "apiserver", "front-proxy-client": "front-proxy-client"}
    assert {name: told[ours] for name, ours in kubeadms.items()} == {name: ends(product)[name] for name in kubeadms}
    are_as_kubeadm_made_them(product)
    serves(product)
    again = product.rotate().well()
    assert again.changes == []
    assert again.changed == {"cp1": 0, "w1": 0}
    assert product.on_each(product.processes) == now


def counted(product: Product, **variables: Any) -> tuple[HardenRun, dict[str, int]]:
    """A rotation, and how many modules it started on each host, as the host's own journal says."""
    ends = product.on_each(product.journal_end)
    run = product.rotate(**variables).well()
    return run, {host: product.module_starts(host, end) for host, end in ends.items()}


def test_one_certificate_and_all_of_them_are_as_many_modules_over_ssh(product: Product) -> None:
    product.cluster.ssh("cp1", "python3 -", stdin=CUT_SHORT)
    one, few = counted(product)
    assert {change["target"] for change in one.changes} == {f"{PKI}/apiserver.crt", f"{PKI}/apiserver.key"}
    every, many = counted(product, pki_renew="all")
    assert len(every.changes) > 4 * len(one.changes)
    assert all(few.values()), few
    assert many == few


def test_a_group_of_another_version_stays_until_kubelets_do_without_it(product: Product) -> None:
    """An upgrade alone changes nothing; without kubeadm's binding the certificate without the group goes back."""
    cluster = product.cluster
    binding = cluster.kubectl("get", "clusterrolebinding", BINDING, "-o", "yaml").stdout
    cluster.ssh("cp1", "python3 -", stdin=GROUPED)
    cluster.kubectl("delete", "clusterrolebinding", BINDING)
    for host in cluster.hosts:  # a kubelet remembers for minutes whom it permitted what
        cluster.ssh(host, "systemctl restart kubelet")
    cluster.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=180s")
    # The first connection after another certificate was laid is closed.
    said = ("exec", "steady", "--", "/bin/sh", "-c", "true")
    wait_until("the new certificate", 60, lambda: cluster.kubectl(*said, check=False).returncode == 0, 2)
    serves(product)
    before = files(product)
    assert product.rotate().well().changes == []
    refused = product.rotate(pki_renew="all", pki_only=[CLIENT])
    assert refused.code == 2, str(refused)
    assert "KH217" in refused.messages["cp1"]
    assert "Forbidden (user=kube-apiserver-kubelet-client" in refused.messages["cp1"]
    assert files(product) == before
    serves(product)
    cluster.kubectl("create", "-f", "-", stdin=binding)
    # For half a minute it remembers whom it refused.
    wait_until("the kubelet to forget", 120, lambda: product.rotate(pki_renew="all", pki_only=[CLIENT]).code == 0, 15)
    subject = cluster.ssh("cp1", f"openssl x509 -noout -subject -in {PKI}/{CLIENT}.crt").stdout
    assert "kubeadm:cluster-admins" not in subject
    serves(product)


def test_what_has_ended_is_renewed_all_the_same(product: Product) -> None:
    """The administrator is refused, the API server is believed by nobody, and who reads a kubeconfig once ends anew."""
    cluster = product.cluster
    cluster.ssh("cp1", "python3 -", stdin=ENDED)
    cluster.ssh("cp1", "pkill -f '^kube-(controller-manager|scheduler) '")
    cluster.ssh("cp1", SERVED_ENDED)
    before = files(product)
    assert "KH136" in product.harden("--tags", "pki").messages["cp1"]
    foretold = product.rotate("--check")
    assert foretold.code == 0, str(foretold)
    assert files(product) == before
    run = product.rotate()
    assert run.code == 0, str(run)
    assert without_random(foretold.changes) == without_random(run.changes)
    configurations = {f"/etc/kubernetes/{name}.conf" for name in ("admin", "controller-manager", "scheduler")}
    pairs = {
        f"{PKI}/{name}.{suffix}" for name in ("apiserver", "apiserver-kubelet-client") for suffix in ("crt", "key")
    }
    assert renewed(before, files(product)) == configurations | pairs
    for path in sorted(configurations):
        cluster.ssh("cp1", f"kubectl --kubeconfig={path} version")
    assert cluster.ssh("cp1", SERVED_ENDED, check=False).returncode == 1
    cluster.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=180s")
    serves(product)
    assert product.rotate().well().changes == []
