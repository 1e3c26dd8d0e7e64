# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adoption of what kubeadm made: by its rules, written in Go (verifier mint), and by kubeadm itself where it is
installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority,
    bundle,
    decide,
    issue,
    keys,
    layout,
    plan,
    profile,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import (
    ClusterFacts,
    HostFacts,
    Layout,
    host_pki,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import (
    Directory,
    assert_pairs_fit,
)
from lab.test_directory_hosts import Hosts
from tools.lacking import lacking

pytestmark = pytest.mark.pki

CLUSTER = ClusterFacts(control_planes=(HostFacts("cp1", ("192.0.2.10",)),))

CONFIGURATION = """
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {{advertiseAddress: 192.0.2.10}}
nodeRegistration: {{name: cp1, criSocket: "unix:///run/containerd/containerd.sock"}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: {version}
certificatesDir: {directory}
encryptionAlgorithm: {algorithm}
"""


INIT = (
    CONFIGURATION.replace("192.0.2.10", "192.0.2.1{number}").replace("name: cp1", "name: {name}")
    + """\
controlPlaneEndpoint: 192.0.2.1:6443
networking: {{serviceSubnet: 10.96.0.0/16}}
"""
)


class Adopted:
    """A host's files as somebody else made them, without the kubeconfigs where there are none."""

    def __init__(self, directory: Path, has_kubeconfigs: bool) -> None:
        self.files = {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
        self.has_kubeconfigs = has_kubeconfigs
        own_layout = Layout(pki=str(directory / "pki"), configuration=str(directory), super_admin=True)
        host = host_pki(own_layout, CLUSTER, "cp1")
        if not has_kubeconfigs:
            leaves = tuple(leaf for leaf in host.leaves if leaf.path is not None)
            host = layout.HostPki(host.node_name, host.authorities, leaves, (), host.service_account)
        self.host = host
        self.signing: dict[str, Authority] = {
            item.name: authority.load(item.path, self.files, time.time()) for item in host.authorities
        }

    def plan(self, policy: Policy, own: frozenset[str] = frozenset()) -> plan.HostPlan:
        return plan.plan(self.host, self.files, self.signing, time.time(), policy, own)

    def run(self, policy: Policy) -> None:
        bundles = {item.name: self.files[item.path.certificate] for item in self.host.authorities}
        self.files.update(plan.new_files(self.plan(policy), self.files, self.signing, bundles, time.time()))


def assert_adopted_unchanged(adopted: Adopted) -> None:
    """Nothing to do for an adopted host, nor if every leaf were ours: the table says exactly what kubeadm makes."""
    everything = frozenset(leaf.name for leaf in adopted.host.leaves)
    for own in (frozenset[str](), everything):
        found = adopted.plan(Policy(), own)
        assert {item.leaf.name: [str(reason) for reason in item.reasons] for item in found.leaves if item.reasons} == {}
        assert not found.changes
        assert found.warnings == ()


@pytest.fixture(params=["ECDSA-P256", "RSA-2048"])
def minted(request: pytest.FixtureRequest, verifier: Path, tmp_path: Path) -> Adopted:
    subprocess.run([str(verifier), "mint", str(tmp_path / "pki"), request.param], check=True)
    return Adopted(tmp_path, has_kubeconfigs=False)


def test_what_kubeadms_rules_make_stays(minted: Adopted) -> None:
    assert_adopted_unchanged(minted)


def test_what_is_renewed_below_an_adopted_authority_is_accepted(
    minted: Adopted, go_verdicts: Callable[..., dict[str, str]], openssl_verdict: Callable[..., str], tmp_path: Path
) -> None:
    before = {leaf.name: plan.stored_pair(leaf, minted.files)[0] for leaf in minted.host.leaves}
    minted.run(Policy(renew_all=True))
    assert not minted.plan(Policy()).changes
    cases = []
    for leaf in minted.host.leaves:
        assert leaf.path is not None
        actual, own_key = plan.stored_pair(leaf, minted.files)
        earlier = before[leaf.name]
        assert actual is not None
        assert own_key is not None
        assert earlier is not None
        # The same content, a new certificate: subject byte for byte, names, usages, algorithm; a life as long.
        assert actual.profile == earlier.profile
        assert actual.profile.subject.raw == earlier.profile.subject.raw
        assert actual.serial_number != earlier.serial_number
        assert abs((actual.not_after - actual.not_before) - (earlier.not_after - earlier.not_before)) <= 300
        kind = "server" if "serverAuth" in actual.profile.extended_usages else "client"
        certificate = minted.files[leaf.path.certificate]
        roots = bundle.join([minted.signing[leaf.authority].facts])
        cases.append(
            {
                "id": leaf.name,
                "kind": kind,
                "certificate": certificate.decode(),
                "key": keys.private_pem(own_key).decode(),
                "roots": roots.decode(),
                "name": min(actual.profile.names.dns, default=""),
            }
        )
        assert openssl_verdict(tmp_path, certificate, roots, kind) == ""
    answers = go_verdicts(cases)
    assert {case["id"]: answers[case["id"]] for case in cases} == {case["id"]: "" for case in cases}


def test_a_cut_lifetime_reissues_exactly_that_leaf(minted: Adopted) -> None:
    leaf, signer = minted.host.leaf("etcd-peer"), minted.signing["etcd"]
    actual, _rest = plan.stored_pair(leaf, minted.files)
    assert actual is not None
    assert leaf.path is not None
    whole = decide.renewal_time(actual, signer.facts, Policy())
    # What begins with the authority is due a third of a year before its end.
    assert actual.not_after - whole == pytest.approx((365 * 86400 - 300) / 3, abs=86400)
    cut = issue.issue(actual.profile, actual.public_key, signer, actual.not_before + issue.BACKDATE, 90 * issue.DAY)
    minted.files[leaf.path.certificate] = issue.certificate_pem(cut)
    late = decide.renewal_time(cut, signer.facts, Policy())
    assert late < whole - 60

    def reissued(now: float) -> set[str]:
        found = plan.plan(minted.host, minted.files, minted.signing, now, Policy())
        return {item.leaf.name for item in found.leaves if item.reasons}

    assert reissued(late - 60) == set()
    assert reissued(late + 60) == {"etcd-peer"}


@pytest.fixture
def kubeadm() -> str:
    """kubeadm from KUBEHARDEN_KUBEADM or the PATH."""
    program = os.environ.get("KUBEHARDEN_KUBEADM") or shutil.which("kubeadm")
    if program is None:
        lacking("kubeadm is not installed (KUBEHARDEN_KUBEADM)")
    return program


@pytest.mark.parametrize("algorithm", ["ECDSA-P256", "RSA-2048"])
def test_what_kubeadm_makes_and_renews_stays(algorithm: str, kubeadm: str, tmp_path: Path) -> None:
    configuration = tmp_path / "kubeadm.yaml"
    version = (
        subprocess.run([kubeadm, "version", "-o", "short"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    )
    text = CONFIGURATION.format(version=version, directory=tmp_path / "etc" / "pki", algorithm=algorithm)
    configuration.write_text(text)
    options = ["--config", str(configuration)]
    where = ["--kubeconfig-dir", str(tmp_path / "etc")]
    subprocess.run([kubeadm, "init", "phase", "certs", "all", *options], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(
        [kubeadm, "init", "phase", "kubeconfig", "all", *options, *where], check=True, stdout=subprocess.DEVNULL
    )
    adopted = Adopted(tmp_path / "etc", has_kubeconfigs=True)
    assert_adopted_unchanged(adopted)
    # kubeadm reads and renews what we issued, and after that we find nothing to do.
    adopted.run(Policy(renew_all=True, key_algorithm="ECDSA-P384"))
    for path, data in adopted.files.items():
        Path(path).write_bytes(data)
    renewed = adopted.files["/".join([str(tmp_path), "etc", "pki", "apiserver.crt"])]
    command = [kubeadm, "certs", "renew", "apiserver", *options, "--cert-dir", str(tmp_path / "etc" / "pki")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    again = Adopted(tmp_path / "etc", has_kubeconfigs=True)
    assert again.files[str(tmp_path / "etc" / "pki" / "apiserver.crt")] != renewed
    assert not again.plan(Policy()).changes
    assert not again.plan(Policy(), frozenset(leaf.name for leaf in again.host.leaves)).changes


@pytest.mark.parametrize("algorithm", ["ECDSA-P256", "RSA-2048"])
def test_a_host_of_kubeadms_is_adopted_renewed_and_still_kubeadms(algorithm: str, kubeadm: str, tmp_path: Path) -> None:
    """The calls that the playbooks make, on a directory: nothing to do, renew all, nothing to do, whoever renews."""
    place = tmp_path / "etc" / "kubernetes"
    configuration = tmp_path / "kubeadm.yaml"
    done = subprocess.run([kubeadm, "version", "-o", "short"], stdout=subprocess.PIPE, check=True, text=True)
    text = CONFIGURATION.format(version=done.stdout.strip(), directory=place / "pki", algorithm=algorithm)
    configuration.write_text(text)
    options = ["--config", str(configuration)]
    for phase in (["certs", "all"], ["kubeconfig", "all", "--kubeconfig-dir", str(place)]):
        subprocess.run([kubeadm, "init", "phase", *phase, *options], check=True, stdout=subprocess.DEVNULL)
    cluster = {"control_planes": [{"node_name": "cp1", "addresses": ["192.0.2.10"]}]}
    host = Directory(tmp_path, "cp1", cluster, super_admin=True)
    state = host.state()
    assert host.authorities(now=time.time()).changes == []
    changes, planned = host.leaves(now=time.time())
    assert changes == []
    assert planned.notes == []
    assert host.state() == state
    _changes, renewed = host.leaves(now=time.time(), policy=Policy(renew_all=True))
    assert {one.name for one in renewed.issued} == {leaf.name for leaf in host.pki.leaves}
    assert_pairs_fit(host)
    assert host.leaves(now=time.time())[0] == []
    where = ["--cert-dir", str(place / "pki"), *options]
    listed = subprocess.run(
        [kubeadm, "certs", "check-expiration", *where], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    for one in renewed.issued:
        if not one.name.endswith(".conf"):
            shown = time.strftime("%b %d, %Y %H:%M UTC", time.gmtime(one.not_after))
            assert any(line.startswith(f"{one.name} ") and shown in line for line in listed.splitlines()), listed
    subprocess.run([kubeadm, "certs", "renew", "apiserver", *where], check=True, stdout=subprocess.DEVNULL)
    assert host.leaves(now=time.time())[0] == []


def test_kubeadm_renews_kubeconfigs_that_hold_their_data_and_refuses_those_that_name_files(
    kubeadm: str, tmp_path: Path
) -> None:
    """The reason why they hold their data on hosts of kubeadm's. It looks for them in one place, so that is a root."""
    root = tmp_path / "root"
    cluster = {"control_planes": [{"node_name": "cp1", "addresses": ["192.0.2.10"]}]}
    done = subprocess.run([kubeadm, "version", "-o", "short"], stdout=subprocess.PIPE, check=True, text=True)
    host = Directory(root, "cp1", cluster)
    host.authorities(create=True, now=time.time())
    host.leaves(now=time.time())
    text = CONFIGURATION.format(version=done.stdout.strip(), directory="/etc/kubernetes/pki", algorithm="ECDSA-P256")
    (root / "kubeadm.yaml").write_text(text, encoding="utf-8")
    shutil.copy2(kubeadm, root / "kubeadm")
    as_root = [] if os.geteuid() == 0 else ["unshare", "--map-root-user"]

    def renew(name: str) -> subprocess.CompletedProcess[str]:
        words = ["chroot", str(root), "/kubeadm", "certs", "renew", name, "--config", "/kubeadm.yaml"]
        return subprocess.run(
            [*as_root, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )

    held = renew("admin.conf")
    assert held.returncode == 0, held.stdout
    named = Directory(root, "cp1", cluster, file_references=True)
    named.leaves(now=time.time())
    for name in ("admin.conf", "controller-manager.conf", "all"):
        refused = renew(name)
        assert refused.returncode == 1, refused.stdout
        assert "does not have an embedded" in refused.stdout


class KubeadmHosts(Hosts):
    """Two control planes and a worker whose PKI kubeadm made, as after `kubeadm init` and `kubeadm join`."""

    def __init__(self, directory: Path, kubeadm: str, algorithm: str) -> None:
        super().__init__(directory)
        done = subprocess.run([kubeadm, "version", "-o", "short"], stdout=subprocess.PIPE, check=True, text=True)
        for number, name in ((1, "cp1"), (2, "cp2")):
            place = self.root(name) / "etc/kubernetes"
            for kubeconfig in place.glob("*.conf"):
                kubeconfig.unlink()
            if name == "cp2":
                self._take_authorities(self.root("cp1") / "etc/kubernetes/pki", place / "pki")
            configuration = directory / f"{name}.yaml"
            text = INIT.format(
                version=done.stdout.strip(), directory=place / "pki", algorithm=algorithm, name=name, number=number
            )
            configuration.write_text(text, encoding="utf-8")
            for phase in (["certs", "all"], ["kubeconfig", "all", "--kubeconfig-dir", str(place)]):
                words = [kubeadm, "init", "phase", *phase, "--config", str(configuration)]
                subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            # kubeadm has it on the first control plane alone.
            if name == "cp2":
                (place / "super-admin.conf").unlink()
        worker = self.root("w1") / "etc/kubernetes/pki"
        worker.mkdir(exist_ok=True)
        shutil.copy2(self.root("cp1") / "etc/kubernetes/pki/ca.crt", worker / "ca.crt")

    def _take_authorities(self, source: Path, place: Path) -> None:
        (place / "etcd").mkdir(parents=True, exist_ok=True)
        for name in ("ca", "etcd/ca", "front-proxy-ca"):
            for suffix in (".crt", ".key"):
                shutil.copy2(source / (name + suffix), place / (name + suffix))
        for name in ("sa.key", "sa.pub"):
            shutil.copy2(source / name, place / name)


@pytest.mark.parametrize("algorithm", ["ECDSA-P256", "RSA-2048"])
def test_the_playbooks_leave_what_kubeadm_made_and_renew_it_alike(algorithm: str, kubeadm: str, tmp_path: Path) -> None:
    hosts = KubeadmHosts(tmp_path, kubeadm, algorithm)
    nothing = dict.fromkeys(hosts.names, 0)
    before = hosts.state()
    adopted = hosts.harden("--tags", "pki")
    assert adopted.changed == nothing, str(adopted)
    due = hosts.play("rotate_certificates.yml")
    assert due.changed == nothing, str(due)
    assert {path: state for path, state in hosts.state().items() if "/etc/kubernetes/" in path} == {
        path: state for path, state in before.items() if "/etc/kubernetes/" in path
    }
    renewed = hosts.play("rotate_certificates.yml", pki_renew="all", pki_only=["apiserver", "etcd-peer", "admin.conf"])
    assert renewed.code == 0, str(renewed)
    for name in ("apiserver.crt", "etcd/peer.crt"):
        data = (hosts.root("cp2") / "etc/kubernetes/pki" / name).read_bytes()
        assert profile.from_pem(data, name).profile.key_algorithm == algorithm
    again = hosts.play("rotate_certificates.yml")
    assert again.changed == nothing, str(again)
