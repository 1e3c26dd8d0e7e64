# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of a host's certificates: what they may be used for, how they are called, and who renews them."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import Verdict
from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import Host
from ansible_collections.kubeharden.core.plugins.module_utils.controls.judge import judge_host
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files

CONTROLS = {control.id: control for control in catalogue_files.load()}
SERVING = "/etc/kubernetes/pki/apiserver.crt"
NAMES = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.0.0.1"]
ARGUMENTS = {
    "kube-apiserver": ["--advertise-address=10.0.0.1"],
    "etcd": [
        "--advertise-client-urls=https://10.0.0.1:2379",
        "--initial-advertise-peer-urls=https://[2001:db8::1]:2380",
    ],
    "kubelet": ["--node-ip=10.0.0.1"],
}


def certificate(*used_as: str, path: str = SERVING, **more: t.Any) -> dict[str, t.Any]:
    found = {
        "path": path, "subject": "CN=a", "issuer": "CN=kubernetes", "names": NAMES, "days_left": 100, "problem": "",
        "authority": False, "extended_usages": ["serverAuth"], "used_as": list(used_as),
    }  # fmt: skip
    return {**found, **more}


def verdict(
    control: str,
    *certificates: dict[str, t.Any],
    kubeadm: str | None = None,
    reached_at: t.Sequence[str] = (),
    **evidence: t.Any,
) -> Verdict:
    components = {
        name: {"running": True, "arguments": [name, *words], "version": "1.37.1" if name != "etcd" else "3.7.0"}
        for name, words in ARGUMENTS.items()
    }
    seen = {
        "live": True, "node_name": "cp1", "components": components, "certificates": list(certificates), **evidence,
    }  # fmt: skip
    return judge_host(Host("cp1", seen, kubeadm=kubeadm, reached_at=reached_at), CONTROLS[control])


@pytest.mark.parametrize(
    ("one", "status", "words"),
    [
        (certificate("kube-apiserver --tls-cert-file"), "pass", "1 certificates"),
        (certificate("kube-apiserver --tls-cert-file", extended_usages=[]), "pass", ""),
        (certificate("kube-apiserver --tls-cert-file", extended_usages=["anyExtendedKeyUsage"]), "pass", ""),
        (certificate("kube-apiserver --tls-cert-file", extended_usages=["clientAuth"]), "fail", "lacks serverAuth"),
        (
            certificate("etcd --peer-cert-file"),
            "fail",
            f"{SERVING} lacks clientAuth, for which it is used (etcd --peer",
        ),
        (certificate("etcd --peer-cert-file", extended_usages=["clientAuth", "serverAuth"]), "pass", ""),
        (certificate("kubelet --kubeconfig"), "fail", "lacks clientAuth"),
        (certificate("kube-apiserver --tls-cert-file", authority=True), "fail", "is an authority's, and is used as"),
        # To be trusted is no use of one's own.
        (certificate("kube-apiserver --client-ca-file", authority=True, extended_usages=[]), "not_applicable", ""),
        (certificate(), "not_applicable", "no component uses"),
    ],
)
def test_usages(one: dict[str, t.Any], status: str, words: str) -> None:
    found = verdict("certificates-usages", one)
    assert (found.status, words in found.evidence) == (status, True), found


def test_of_a_file_the_first_certificate_is_the_one_that_is_shown() -> None:
    above = certificate("kube-apiserver --tls-cert-file", authority=True, extended_usages=[], names=[])
    leaf = certificate("kube-apiserver --tls-cert-file")
    assert verdict("certificates-usages", leaf, above).status == "pass"
    assert verdict("certificates-names", leaf, above).status == "pass"


@pytest.mark.parametrize(
    ("one", "status", "words"),
    [
        (certificate("kube-apiserver --tls-cert-file"), "pass", "1 certificates have the names and addresses"),
        (certificate("kube-apiserver --tls-cert-file", names=NAMES[1:3]), "fail", "lacks kubernetes, 10.0.0.1"),
        (certificate("etcd --cert-file"), "pass", ""),
        (certificate("etcd --cert-file", names=["10.0.0.2"]), "fail", f"{SERVING} (etcd --cert-file) lacks 10.0.0.1"),
        (certificate("etcd --peer-cert-file", names=["2001:0db8:0:0::0001"]), "pass", ""),
        (certificate("etcd --peer-cert-file", names=["2001:db8::2"]), "fail", "lacks 2001:db8::1"),
        (certificate("kubelet --tls-cert-file", names=["CP1", "10.0.0.1"]), "pass", ""),
        (certificate("kubelet --tls-cert-file", names=["10.0.0.1"]), "fail", "(kubelet --tls-cert-file) lacks cp1"),
        (certificate("kubelet --tls-cert-file", names=["cp1"]), "fail", "(kubelet --tls-cert-file) lacks 10.0.0.1"),
        # What it signed itself nobody verifies, and another control says so.
        (
            certificate("kubelet --tls-cert-file", path="/var/lib/kubelet/pki/kubelet.crt", names=[]),
            "not_applicable",
            "neither API server",
        ),
        (certificate("kubelet --kubeconfig", names=[]), "not_applicable", "neither API server, etcd nor kubelet"),
    ],
)
def test_names(one: dict[str, t.Any], status: str, words: str) -> None:
    found = verdict("certificates-names", one)
    assert (found.status, words in found.evidence) == (status, True), found


@pytest.mark.parametrize(
    ("names", "reached_at", "lacking"),
    [
        (["cp1", "10.0.0.1"], [], ""),
        (["cp1", "10.0.0.1"], ["10.0.0.1"], ""),
        (["cp1", "10.0.0.1"], ["10.0.0.9"], "lacks 10.0.0.9"),
        (["cp1", "10.0.0.1"], ["cp1.example.org"], "lacks cp1.example.org"),
        (["cp1", "10.0.0.1", "*.example.org"], ["cp1.example.org"], ""),
        (["cp1", "10.0.0.1", "*.example.org"], ["cp1.racks.example.org"], "lacks cp1.racks"),
        (["cp1", "10.0.0.1", "*.0.0.9"], ["10.0.0.9"], "lacks 10.0.0.9"),
    ],
)
def test_a_kubelet_has_the_address_that_api_servers_dial(names: list[str], reached_at: list[str], lacking: str) -> None:
    one = certificate("kubelet --tls-cert-file", names=names)
    found = verdict("certificates-names", one, reached_at=reached_at)
    assert (found.status, lacking in found.evidence) == ("fail" if lacking else "pass", True), found


@pytest.mark.parametrize(
    ("endpoint", "by_name", "lacking"),
    [
        ("", [], ""),
        ("10.0.0.1:6443", [], ""),
        ("api.example.org:6443", [], "lacks api.example.org"),
        ("API.example.org", ["api.example.org"], ""),
        ("api.example.org:443", ["*.example.org"], ""),
        ("10.0.0.7:6443", ["10.0.0.7"], "lacks 10.0.0.7"),  # who asks by an address says no name
        ("'[2001:db8::7]:6443'", [], "lacks 2001:db8::7"),
        ("'[odd'", [], ""),
    ],
)
def test_an_api_server_has_the_name_of_kubeadms_endpoint(endpoint: str, by_name: list[str], lacking: str) -> None:
    shown = [certificate("kube-apiserver --tls-cert-file")]
    if by_name:
        shown.append(certificate("kube-apiserver --tls-sni-cert-key", path="/sni.crt", names=by_name))
    text = f"apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\ncontrolPlaneEndpoint: {endpoint}\n"
    found = verdict("certificates-names", *shown, kubeadm=text)
    assert (found.status, lacking in found.evidence) == ("fail" if lacking else "pass", True), found


def test_what_kubeadm_says_is_left_where_it_cannot_be_read() -> None:
    one = certificate("kube-apiserver --tls-cert-file")
    for text in (None, "", "word", "kind: Other\n"):
        assert verdict("certificates-names", one, kubeadm=text).status == "pass"


@pytest.mark.parametrize(
    ("networks", "lacking"),
    [
        ("10.96.0.0/12", ""),
        ("10.96.0.0/12,2001:db8:1::/112", ""),
        ("10.97.0.0/16", "lacks 10.97.0.1"),
        ("2001:db8:1::/112,10.96.0.0/12", "lacks 2001:db8:1::1"),
        ("", ""),
        ("word", ""),
    ],
)
def test_pods_reach_the_api_server_at_the_first_address_of_services(networks: str, lacking: str) -> None:
    one = certificate("kube-apiserver --tls-cert-file", names=[*NAMES, "10.96.0.1"])
    process = {"running": True, "version": "1.37.1"}
    flags = [*ARGUMENTS["kube-apiserver"], *([f"--service-cluster-ip-range={networks}"] if networks else [])]
    components = {"kube-apiserver": {**process, "arguments": ["kube-apiserver", *flags]}}
    found = verdict("certificates-names", one, components=components)
    assert (found.status, lacking in found.evidence) == ("fail" if lacking else "pass", True), found


@pytest.mark.parametrize(
    ("algorithm", "status"),
    [
        ("RSA-2048", "pass"),
        ("RSA-4096", "pass"),
        ("ECDSA-P256", "pass"),
        ("ECDSA-P384", "pass"),
        ("ECDSA-P521", "pass"),
        ("Ed25519", "pass"),
        ("RSA-1024", "fail"),
        ("DSA-1024", "fail"),
        ("DSA-3072", "fail"),
        ("ECDSA-secp192r1", "fail"),
        ("RSA-many", "fail"),
    ],
)
def test_strength(algorithm: str, status: str) -> None:
    found = verdict("certificates-strength", certificate(key_algorithm=algorithm))
    assert (found.status, algorithm in found.evidence) == (status, True), found


HOUR = 3600
DAY = 24 * HOUR
CURRENT = "/var/lib/kubelet/pki/kubelet-client-current.pem"


@pytest.mark.parametrize(
    ("path", "left", "valid", "status"),
    [
        (SERVING, 31 * DAY, 365 * DAY, "pass"),
        (SERVING, 29 * DAY, 365 * DAY, "fail"),
        (SERVING, 11 * DAY, 30 * DAY, "pass"),
        (SERVING, 9 * DAY, 30 * DAY, "fail"),
        (SERVING, 9 * HOUR, 24 * HOUR, "pass"),
        (SERVING, 7 * HOUR, 24 * HOUR, "fail"),
        # A kubelet asks for the next one when three tenths to one tenth are left.
        (CURRENT, 3 * HOUR, 24 * HOUR, "pass"),
        (CURRENT, 2 * HOUR, 24 * HOUR, "fail"),
        (CURRENT, 9 * DAY, 60 * DAY, "pass"),
        (CURRENT, 31 * DAY, 365 * DAY, "pass"),
        (CURRENT, 29 * DAY, 365 * DAY, "fail"),
    ],
)
def test_a_short_life_is_no_finding_before_its_last_part(path: str, left: int, valid: int, status: str) -> None:
    one = certificate(path=path, seconds_left=left, seconds_valid=valid, days_left=left // DAY)
    assert verdict("certificates-expiry", one).status == status


CONF = "/etc/kubernetes/kubelet.conf"


@pytest.mark.parametrize(
    ("certificates", "files", "more", "status", "words"),
    [
        ([], [{"path": CONF}], {}, "pass", "names the one that the kubelet renews"),
        ([certificate(path=CONF)], [{"path": CONF}], {}, "fail", "nobody renews, which ends in 100 days"),
        ([certificate(path=CONF, days_left=-3)], [{"path": CONF}], {}, "fail", "nobody renews, which ended 3 days ago"),
        ([{"path": CONF, "problem": "it is no kubeconfig"}], [{"path": CONF}], {}, "unknown", "it is no kubeconfig"),
        ([], [{"path": CONF, "problem": "no right"}], {}, "unknown", "no right"),
        ([], [{"path": CONF}], {"certificates_problem": "it is a pipe"}, "unknown", "it is a pipe"),
        ([], [], {}, "not_applicable", ""),
    ],
)
def test_the_kubelets_kubeconfig(
    certificates: list[dict[str, t.Any]], files: list[dict[str, str]], more: dict[str, str], status: str, words: str
) -> None:
    found = verdict(
        "certificates-kubelet",
        *certificates,
        files={"kubelet_kubeconfig": files},
        kubelet={"kubeconfig": CONF},
        **more,
    )
    assert (found.status, words in found.evidence) == (status, True), found


ADMIN = {
    "path": "/etc/kubernetes/super-admin.conf",
    "mode": "0600",
    "owner": "root",
    "organizations": ["system:masters"],
}
OTHER = {**ADMIN, "organizations": ["kubeadm:cluster-admins"]}
HOME = {**ADMIN, "path": "/home/a/.kube/config", "owner": "a"}
COPY = {**OTHER, "path": "/home/a/.kube/config", "owner": "a"}


@pytest.mark.parametrize(
    ("files", "live", "status", "words"),
    [
        ([ADMIN], True, "pass", "of system:masters: /etc/kubernetes/super-admin.conf, in 1 files"),
        ([OTHER], True, "pass", "of system:masters: none, in 1 files"),
        ([ADMIN, HOME], True, "fail", "/home/a/.kube/config holds credentials of system:masters and has"),
        ([ADMIN, {**HOME, "owner": "root"}], True, "pass", ""),
        ([ADMIN, {**HOME, "owner": "root", "mode": "0640"}], True, "fail", "mode 0640 of root"),
        ([ADMIN, {**HOME, "organizations": ["developers"]}], True, "pass", ""),
        # What could not be read may be anything.
        ([ADMIN, {"path": "/home/a/.kube/config", "problem": "no right"}], True, "unknown", "no right"),
        ([{**OTHER, "organizations": [], "problem": "it is no kubeconfig"}], True, "unknown", "it is no kubeconfig"),
        ([{"path": "/a.key", "organizations": ["system:masters"], "problem": "a loop"}], True, "unknown", "a loop"),
        # Of one user it could, and that is enough.
        ([{**HOME, "problem": "it is no base64"}], True, "fail", "holds credentials of system:masters"),
        # Whose a file is a directory cannot say; who may read it, it can.
        ([ADMIN], False, "unknown", "cannot say whom"),
        ([ADMIN, {**HOME, "mode": "0644"}], False, "fail", "has mode 0644"),
        ([OTHER], False, "pass", ""),
        # A copy of what kubeadm gives its administrators may be anybody's, but for nobody else to read.
        ([COPY], True, "pass", ""),
        ([{**COPY, "mode": "0644"}], True, "fail", "credentials of kubeadm:cluster-admins and has mode 0644 of a"),
        ([{**COPY, "mode": "0640"}], False, "fail", "/home/a/.kube/config holds credentials of kubeadm:cluster-admins"),
        ([{**COPY, "mode": "0644", "organizations": ["developers"]}], True, "pass", ""),
        # The mode of kubeadm's own file is another control's.
        ([{**OTHER, "mode": "0644"}], True, "pass", ""),
        ([], True, "not_applicable", ""),
    ],
)
def test_system_masters(files: list[dict[str, t.Any]], live: bool, status: str, words: str) -> None:
    own = {"admin_kubeconfig": [{"path": "/etc/kubernetes/super-admin.conf"}]}
    found = verdict("certificates-masters", credentials=files, live=live, files=own)
    assert (found.status, words in found.evidence) == (status, True), found


def test_keys_that_could_not_be_read_are_not_passed() -> None:
    assert verdict("certificates-keys", certificate()).status == "pass"
    unseen = verdict("certificates-keys", certificate(), keys_problem="/a.key is no regular file")
    assert unseen == Verdict("unknown", "/a.key is no regular file")
    both = verdict("certificates-keys", certificate(problem="no PEM"), keys_problem="/a.key is no regular file")
    assert both == Verdict("fail", f"{SERVING}: no PEM")


@pytest.mark.parametrize(("algorithm", "status"), [("RSA-1024", "fail"), ("RSA-2048", "pass"), ("ECDSA-P256", "pass")])
def test_keys_that_sign_tokens_are_judged_by_their_strength_alone(algorithm: str, status: str) -> None:
    key = {"path": "/etc/kubernetes/pki/sa.pub", "kind": "key", "key_algorithm": algorithm, "problem": ""}
    strong = certificate("kube-apiserver --tls-cert-file", key_algorithm="ECDSA-P256", seconds_left=1e9,
                         seconds_valid=1e9)  # fmt: skip
    found = verdict("certificates-strength", strong, key)
    assert (found.status, algorithm in found.evidence) == (status, True), found
    assert verdict("certificates-keys", strong, key) == Verdict("pass", "1 certificates and 1 keys of tokens")
    assert verdict("certificates-expiry", strong, key).evidence.startswith("1 certificates")
    assert verdict("certificates-names", key).status == "unknown"


def test_of_a_kubelet_that_does_not_run_the_nodes_name_is_wanted_alone() -> None:
    one = certificate("kubelet --tls-cert-file", names=["cp1"])
    stopped = {"kubelet": {"running": False, "arguments": [], "version": "1.37.1"}}
    assert verdict("certificates-names", one, components=stopped).status == "pass"
    assert verdict("certificates-names", one, components={}).status == "pass"
