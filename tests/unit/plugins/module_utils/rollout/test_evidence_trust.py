# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who believes what: a control plane as kubeadm makes it, and authorities that were changed by half."""

from __future__ import annotations

import functools
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import Verdict
from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import Host as Judged
from ansible_collections.kubeharden.core.plugins.module_utils.controls.judge import judge_host
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority,
    bundle,
    issue,
    keys,
    kubeconfig,
    profile,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import names
from ansible_collections.kubeharden.core.plugins.module_utils.probes.processes import Process
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import evidence_ports
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_ports import Ports
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_trust import Trust
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import View
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.probes import sockets

NOW = time.time() - 3600
PKI = "/etc/kubernetes/pki"
CONTROLS = {control.id: control for control in catalogue_files.load()}
KUBELET = {"kubeconfig": "/etc/kubernetes/kubelet.conf", "client_authority": f"{PKI}/ca.crt"}
ARGUMENTS = {
    "kube-apiserver": [
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--client-ca-file={PKI}/ca.crt",
        f"--kubelet-client-certificate={PKI}/apiserver-kubelet-client.crt",
        f"--proxy-client-cert-file={PKI}/front-proxy-client.crt",
        f"--requestheader-client-ca-file={PKI}/front-proxy-ca.crt",
        f"--etcd-cafile={PKI}/etcd/ca.crt",
        f"--etcd-certfile={PKI}/apiserver-etcd-client.crt",
        "--etcd-servers=https://127.0.0.1:2379",
    ],
    "kube-controller-manager": [
        "--kubeconfig=/etc/kubernetes/controller-manager.conf",
        f"--root-ca-file={PKI}/ca.crt",
    ],
    "kube-scheduler": ["--kubeconfig=/etc/kubernetes/scheduler.conf"],
    "etcd": [
        f"--cert-file={PKI}/etcd/server.crt",
        f"--trusted-ca-file={PKI}/etcd/ca.crt",
        f"--peer-cert-file={PKI}/etcd/peer.crt",
        f"--peer-trusted-ca-file={PKI}/etcd/ca.crt",
    ],
    "kubelet": ["--config=/var/lib/kubelet/config.yaml"],
}
#: By certificate, whose authority signs it.
LEAVES = {
    f"{PKI}/apiserver.crt": "ca",
    f"{PKI}/apiserver-kubelet-client.crt": "ca",
    f"{PKI}/front-proxy-client.crt": "front-proxy-ca",
    f"{PKI}/apiserver-etcd-client.crt": "etcd/ca",
    f"{PKI}/etcd/server.crt": "etcd/ca",
    f"{PKI}/etcd/peer.crt": "etcd/ca",
    "/var/lib/kubelet/pki/kubelet-client-current.pem": "ca",
}


def pair(signer: issue.Authority) -> tuple[bytes, bytes]:
    key = keys.generate("ECDSA-P256")
    wanted = profile.wanted("any", (), names(["127.0.0.1"]), (profile.SERVER, profile.CLIENT))
    return issue.certificate_pem(issue.issue(wanted, keys.public_bytes(key), signer, NOW)), keys.private_pem(key)


def below(above: issue.Authority) -> issue.Authority:
    key = keys.generate("ECDSA-P256")
    wanted = profile.wanted_authority("below")
    return issue.Authority(issue.issue(wanted, keys.public_bytes(key), above, NOW), key)


@functools.cache
def other(name: str, _which: str = "another") -> issue.Authority:
    """An authority of this name, of which there may be another one."""
    return authority.create(profile.wanted_authority(name), NOW, "ECDSA-P256")


class ControlPlane:
    """Its files, and what is seen of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.flags = {name: list(flags) for name, flags in ARGUMENTS.items()}
        self.authorities = {name: other(name, "the first") for name in ("ca", "etcd/ca", "front-proxy-ca")}
        for name, one in self.authorities.items():
            self.lay(f"{PKI}/{name}.crt", bundle.join([one.facts]))
        for path, name in LEAVES.items():
            certificate, key = pair(self.authorities[name])
            self.lay(path, certificate + (key if path.endswith(".pem") else b""))
        for name in ("admin", "controller-manager", "scheduler"):
            self.give(name, self.authorities["ca"])
        named = "/var/lib/kubelet/pki/kubelet-client-current.pem"
        trusted = bundle.join([self.authorities["ca"].facts])
        self.lay(KUBELET["kubeconfig"], kubeconfig.render("https://lb:6443", "kubelet", trusted, named, named))

    def lay(self, path: str, data: bytes) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)

    def give(self, name: str, signer: issue.Authority, trusted: issue.Authority | None = None) -> None:
        believed = bundle.join([(trusted or signer).facts])
        conf = kubeconfig.render("https://192.0.2.11:6443", name, believed, *pair(signer))
        self.lay(f"/etc/kubernetes/{name}.conf", conf)

    def view(self) -> View:
        view = View(Host(str(self.root)))
        for name, flags in self.flags.items():
            view.processes[name] = Process(0, [name, *flags], 0.0, 0, 1)
        return view

    def seen(self) -> list[dict[str, t.Any]]:
        return Trust(self.view(), None, KUBELET).seen()

    def judged(self) -> Verdict:
        host = Judged("cp1", {"live": True, "believed": self.seen(), "components": {}})
        return judge_host(host, CONTROLS["certificates-signers"])


@pytest.fixture(name="cp")
def a_control_plane(tmp_path: Path) -> ControlPlane:
    return ControlPlane(tmp_path)


def test_on_a_control_plane_as_kubeadm_makes_it_everybody_is_believed(cp: ControlPlane) -> None:
    assert [one for one in cp.seen() if one["believed"] is not True] == []
    pairs = {(one["use"], one["believer"].split()[0]) for one in cp.seen()}
    assert pairs == {
        *(("kube-apiserver --tls-cert-file", who) for who in ("kube-controller-manager", "kube-scheduler", "kubelet")),
        *(("kube-apiserver --tls-cert-file", who) for who in ("whoever", "pods")),
        ("kube-apiserver --proxy-client-cert-file", "kube-apiserver"),
        ("kube-apiserver --kubelet-client-certificate", "the"),
        ("kube-apiserver --etcd-certfile", "etcd"),
        ("etcd --cert-file", "kube-apiserver"),
        ("etcd --peer-cert-file", "etcd's"),
        *(
            (f"{who} --kubeconfig", "kube-apiserver")
            for who in ("kube-controller-manager", "kube-scheduler", "kubelet")
        ),
        ("an administrator's kubeconfig", "kube-apiserver"),
    }
    said = cp.judged()
    # Seven files, and a certificate within each of three kubeconfigs.
    assert (said.status, said.evidence) == (
        "pass", "10 certificates were signed by authorities that the other end believes",
    )  # fmt: skip


@pytest.mark.parametrize("path", sorted(LEAVES))
def test_a_certificate_of_an_authority_that_only_has_the_name_is_told(cp: ControlPlane, path: str) -> None:
    certificate, key = pair(other(LEAVES[path]))
    cp.lay(path, certificate + (key if path.endswith(".pem") else b""))
    assert {one["path"] for one in cp.seen() if one["believed"] is False} == {path}
    said = cp.judged()
    assert said.status == "fail"
    assert f"{path} (" in said.evidence


def test_an_authority_that_was_changed_by_half_is_told(cp: ControlPlane) -> None:
    """The API server has a certificate of the new one, and kubeconfigs and ca.crt the old one alone."""
    new = other("ca")
    cp.lay(f"{PKI}/apiserver.crt", pair(new)[0])
    wrong = [one["believer"] for one in cp.seen() if not one["believed"]]
    assert len(wrong) == 5
    # Both for as long as it takes.
    both = bundle.join([cp.authorities["ca"].facts, new.facts])
    cp.lay(f"{PKI}/ca.crt", both)
    assert len([one for one in cp.seen() if not one["believed"]]) == 4
    cp.give("scheduler", new, cp.authorities["ca"])
    assert "kube-scheduler by /etc/kubernetes/scheduler.conf" in cp.judged().evidence
    cp.give("scheduler", new)
    assert "kube-scheduler" not in cp.judged().evidence


def test_an_authority_between_must_be_shown_with_it(cp: ControlPlane) -> None:
    between = below(cp.authorities["ca"])
    certificate = pair(between)[0]
    cp.lay(f"{PKI}/apiserver.crt", certificate)
    assert cp.judged().status == "fail"
    cp.lay(f"{PKI}/apiserver.crt", certificate + bundle.join([between.facts]))
    assert cp.judged().status == "pass"


def test_who_is_shown_another_certificate_by_its_name_may_believe_that_one(cp: ControlPlane) -> None:
    public = other("public")
    cp.lay("/etc/ssl/lb.crt", pair(public)[0])
    cp.give("admin", cp.authorities["ca"], public)
    assert cp.judged().status == "fail"
    cp.flags["kube-apiserver"].append("--tls-sni-cert-key=/etc/ssl/lb.crt,/etc/ssl/lb.key:lb")
    assert cp.judged().status == "pass"
    # Which one is shown at the port itself says nothing of them then.
    assert Trust(cp.view(), None, KUBELET).believers("kube-apiserver --tls-cert-file") == []


def test_an_etcd_of_other_hosts_is_not_this_one(cp: ControlPlane) -> None:
    cp.flags["kube-apiserver"][-1] = "--etcd-servers=https://192.0.2.9:2379"
    cp.lay(f"{PKI}/apiserver-etcd-client.crt", pair(other("etcd/ca"))[0])
    assert cp.judged().status == "pass"
    cp.flags["etcd"].append("--advertise-client-urls=https://192.0.2.9:2379")
    assert cp.judged().status == "fail"


def test_who_comes_with_a_token_may_meet_another_certificate(cp: ControlPlane) -> None:
    trusted = bundle.join([other("lb").facts])
    cp.lay("/etc/kubernetes/admin.conf", kubeconfig.render_with_token("https://lb", "a", trusted, "x"))
    assert cp.judged().status == "pass"


@pytest.mark.parametrize(
    ("path", "data"), [(f"{PKI}/etcd/peer.crt", b"word"), (f"{PKI}/front-proxy-ca.crt", b"-----BEGIN X-----\n")]
)
def test_what_cannot_be_read_is_unknown(cp: ControlPlane, path: str, data: bytes) -> None:
    cp.lay(path, data)
    said = cp.judged()
    assert said.status == "unknown"
    assert path in said.evidence


def test_a_loop_of_links_in_place_of_a_file_is_unknown_or_told_elsewhere(cp: ControlPlane) -> None:
    for path in ("/etc/kubernetes/admin.conf", f"{PKI}/etcd/peer.crt"):
        place = cp.root / path.lstrip("/")
        place.unlink()
        place.symlink_to(place.name)
    said = cp.judged()
    assert (said.status, "peer.crt is a loop" in said.evidence) == ("unknown", True), said


def test_without_another_end_on_the_host_there_is_nothing_to_say(cp: ControlPlane) -> None:
    cp.flags = {"kubelet": ARGUMENTS["kubelet"]}
    assert cp.judged().status == "not_applicable"
    directory = Judged("cp1", {"live": False, "believed": []})
    assert judge_host(directory, CONTROLS["certificates-signers"]).status == "unknown"


def test_files_without_content_of_a_directory_are_passed_over(cp: ControlPlane) -> None:
    whole = len(cp.seen())
    cp.lay(f"{PKI}/front-proxy-ca.crt", b"")
    cp.lay(f"{PKI}/etcd/peer.crt", b"")
    assert len(cp.seen()) == whole - 2
    assert cp.judged().status == "pass"


def served(cp: ControlPlane, data: bytes, key: bytes) -> tuple[str, str]:
    """What is said of an API server that serves this, while its file has what it should."""
    (cp.root / "served.pem").write_bytes(data + key)
    with sockets.serving(sockets.tls(cp.root / "served.pem", answer=b"HTTP/1.1 401 No\r\n\r\n")) as port:
        cp.flags["kube-apiserver"] += [f"--secure-port={port}", "--bind-address=127.0.0.1"]
        view = cp.view()
        for name in ("kube-controller-manager", "kube-scheduler", "etcd", "kubelet"):
            # They listen nowhere; who verifies stays.
            view.processes[name] = Process(0, [*view.processes[name].arguments, "--secure-port=1", "--port=1"], 0, 0, 1)
        seen = Ports(view, None, time.time(), time.monotonic, "n", time.sleep, False).probe(
            KUBELET, {}, Trust(view, None, KUBELET)
        )
    tls = [one for one in seen["tls"] if one["component"] == "kube-apiserver"]
    components = {"kube-apiserver": {"running": True, "arguments": ["kube-apiserver"], "version": "1.37.1"}}
    said = judge_host(
        Judged("cp1", {"live": True, "components": components, "probes": {"tls": tls}}),
        CONTROLS["probe-served-certificates"],
    )
    return said.status, said.evidence


def test_the_chain_that_is_served_counts(cp: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority between was added to the file, and who serves it was not started anew."""
    monkeypatch.setattr(evidence_ports, "PROBE_LIMIT", 0.8)
    between = below(cp.authorities["ca"])
    certificate, key = pair(between)
    whole = certificate + bundle.join([between.facts])
    cp.lay(f"{PKI}/apiserver.crt", whole)
    status, words = served(cp, certificate, key)
    assert status == "fail"
    assert (
        "serves a chain that is not believed: kube-controller-manager by /etc/kubernetes/controller-manager.conf: "
        in words
    )
    assert served(cp, whole, key)[0] == "pass"
