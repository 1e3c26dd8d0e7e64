# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a host: kubeadm's own files are understood, everything else is one sentence; nothing is changed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import typing as t
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import PATCHES_DIRECTORY, Host, open_host
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, bundle, issue, keys, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import Names
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.discovery import Discovery
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.probes.made_proc import (
    OTHER,
    SERVICE,
    STATIC,
    LivingDirectory,
    MadeProc,
)

SEEDS = Path(__file__).parents[5] / "inventories" / "demo" / "hosts.orig"
MANIFESTS = "etc/kubernetes/manifests"


def nowhere() -> str:
    raise AssertionError("no temporary directory is wanted")


@pytest.fixture
def cp1(tmp_path: Path) -> Host:
    return open_host(str(tmp_path / "cp1"), str(SEEDS / "cp1"), check=False, scratch=nowhere)


@pytest.fixture
def w1(tmp_path: Path) -> Host:
    return open_host(str(tmp_path / "w1"), str(SEEDS / "w1"), check=False, scratch=nowhere)


def discover(host: Host, control_plane: bool = True) -> dict[str, t.Any]:
    return Discovery(host, control_plane).run()


def refused(host: Host, control_plane: bool = True) -> str:
    with pytest.raises(HardeningError) as caught:
        discover(host, control_plane)
    return str(caught.value)


def at(host: Host, path: str) -> Path:
    place = Path(host.root) / path
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def test_nobody_elses_program_is_started_or_taken_for_a_component(cp1: Host, tmp_path: Path) -> None:
    made = MadeProc(tmp_path / "made")
    made.start(5, "etcd", OTHER, inner="1")
    made.start(7, "/usr/bin/kubelet", SERVICE)
    made.start(8, "kube-scheduler", STATIC, inner="1")
    made.start(9, "/usr/bin/kubelet", OTHER, inner="1")
    asked: list[str] = []

    def run(command: list[str]) -> tuple[int, str, str]:
        asked.append(command[0])
        return 0, "Kubernetes v1.36.2", ""

    found = Discovery(LivingDirectory(cp1.root), True, proc=str(made.proc), run=run).run()
    assert set(asked) == {f"{made.proc}/7/exe"}
    assert found["kubelet"]["version"] == "1.36.2"
    assert {name: one["running"] for name, one in found["components"].items()} == {
        "etcd": False, "kube-apiserver": False, "kube-controller-manager": False, "kube-scheduler": True,
    }  # fmt: skip


def test_a_control_plane_of_kubeadms(cp1: Host) -> None:
    for name in ("ca.key", "sa.pub"):
        at(cp1, f"etc/kubernetes/pki/{name}").touch()
    found = discover(cp1)
    assert found["layout"] == "kubeadm"
    assert found["node_name"] == "cp1"
    assert set(found["components"]) == {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}
    api = found["components"]["kube-apiserver"]
    assert (api["manifest"], api["deployment"], api["running"]) == (
        "/etc/kubernetes/manifests/kube-apiserver.yaml",
        "static_pod",
        False,
    )
    assert api["version"].startswith(f"1.{api['minor']}.")
    assert found["kubelet"]["configuration_file"] == "/var/lib/kubelet/config.yaml"
    assert found["kubelet"]["static_pod_path"] == "/etc/kubernetes/manifests"
    assert found["admin_kubeconfig"] == "/etc/kubernetes/admin.conf"
    assert found["files"]["kubelet_unit"] == [
        "/usr/lib/systemd/system/kubelet.service",
        "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
    ]
    assert found["files"]["etcd_data_directory"] == ["/var/lib/etcd"]
    assert "/etc/kubernetes/pki/ca.key" in found["files"]["pki_key"]
    assert "/etc/kubernetes/pki/sa.pub" in found["files"]["pki_certificate"]


def test_a_component_with_arguments_alone_keeps_its_first_flag(cp1: Host) -> None:
    """Its program is the image's own entry point then."""
    place = at(cp1, f"{MANIFESTS}/kube-scheduler.yaml")
    text = place.read_text(encoding="utf-8")
    before = discover(cp1)["components"]["kube-scheduler"]["flags"]
    assert "  - command:\n    - kube-scheduler\n" in text
    place.write_text(text.replace("  - command:\n    - kube-scheduler\n", "  - args:\n"), encoding="utf-8")
    assert discover(cp1)["components"]["kube-scheduler"]["flags"] == before


@pytest.mark.parametrize(
    ("start", "process", "recognised"),
    [
        ("args:", ["kube-scheduler", "{}"], True),
        ("args:", ["kube-scheduler", "--v=2", "{}"], True),
        ("args:", ["kube-scheduler", "{}", "--v=2"], False),
        ("command:\n    - /go-runner\n    - kube-scheduler", ["kube-scheduler", "{}"], True),
        ("command:\n    - /go-runner\n    - kube-scheduler", ["kube-scheduler", "--v=2", "{}"], False),
        ("command:\n    - /start", ["kube-scheduler", "--v=2", "{}"], True),
        ("command:\n    - /start", ["kube-scheduler", "--v=2"], False),
        # It is the manifest's own program: whatever runs now, a new one is known by the manifest.
        ("command:\n    - kube-scheduler", ["kube-scheduler", "--v=2"], True),
        ("args:", [], True),
    ],
)
def test_a_manifest_by_which_no_process_would_be_known_is_refused(
    cp1: Host,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: str,
    process: list[str],
    recognised: bool,
) -> None:
    place = at(cp1, f"{MANIFESTS}/kube-scheduler.yaml")
    text = place.read_text(encoding="utf-8")
    flags = yaml.safe_load(text)["spec"]["containers"][0]["command"][1:]
    place.write_text(text.replace("command:\n    - kube-scheduler", start), encoding="utf-8")
    made = MadeProc(tmp_path / "made")
    if process:
        words = [word for one in process for word in (flags if one == "{}" else [one])]
        made.start(7, words[0], STATIC, flags="\0".join(words[1:]))
    # A directory whose processes are seen.
    monkeypatch.setattr(cp1, "path", Host(cp1.root).path)
    cp1.live = True
    discovery = Discovery(cp1, control_plane=True, proc=str(made.proc))
    if recognised:
        assert discovery.run()["components"]["kube-scheduler"]["running"] is bool(process)
        return
    with pytest.raises(HardeningError, match="so that a restart could not be proven"):
        discovery.run()


def test_who_signs_is_told_where_clients_are_believed_by_that_certificate(cp1: Host) -> None:
    ours, theirs = (authority.create(profile.wanted_authority(name), 1_800_000_000.0) for name in ("ours", "theirs"))
    manifest = Path(cp1.root) / MANIFESTS / "kube-apiserver.yaml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(
        text.replace("client-ca-file=/etc/kubernetes/pki/ca.crt", "client-ca-file=/etc/kubernetes/pki/b")
    )
    assert discover(cp1)["signing_authority"] is None
    at(cp1, "etc/kubernetes/pki/ca.crt").write_bytes(bundle.join([ours.facts]))
    pair = {
        "certificate": "/etc/kubernetes/pki/ca.crt",
        "key": "/etc/kubernetes/pki/ca.key",
        "signer": bundle.digest(ours.facts.public_key),
    }
    for held, told in (
        (bundle.join([theirs.facts, ours.facts]), pair),
        (bundle.join([theirs.facts]), None),
        (b"-----BEGIN CERTIFICATE-----\nMAAA", None),
    ):
        at(cp1, "etc/kubernetes/pki/b").write_bytes(held)
        assert discover(cp1)["signing_authority"] == told


@pytest.mark.parametrize(
    ("pod", "container", "is_rootless"),
    [
        ("", "", False),
        ("securityContext: {runAsUser: 0}", "", False),
        ("securityContext: {runAsUser: 992}", "", True),
        ("securityContext: {runAsUser: 992}", "securityContext: {runAsUser: 0}", False),
        ("", "securityContext: {runAsUser: 992}", True),
    ],
)
def test_what_static_pods_read_that_do_not_run_as_root_is_known(
    cp1: Host, pod: str, container: str, is_rootless: bool
) -> None:
    manifest = Path(cp1.root) / MANIFESTS / "kube-apiserver.yaml"
    text = manifest.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^  securityContext:\n(    .*\n)+", "", text)
    text = text.replace("spec:\n", f"spec:\n  {pod}\n", 1).replace(
        "    name: kube-apiserver\n", f"    name: kube-apiserver\n    {container}\n", 1
    )
    manifest.write_text(text, encoding="utf-8")
    found = discover(cp1)["rootless"]
    assert ("/etc/kubernetes/pki/sa.key" in found) == is_rootless
    assert "/etc/kubernetes/scheduler.conf" not in found
    assert bool(found) == is_rootless


def test_keys_that_lie_beside_authorities_are_known_wherever_that_is(cp1: Host) -> None:
    manifest = Path(cp1.root) / MANIFESTS / "kube-apiserver.yaml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt", "etcd-cafile=/etc/etcd/pki/ca.pem"))
    at(cp1, "etc/etcd/pki/ca.key").write_bytes(b"")
    at(cp1, "etc/kubernetes/pki/ca.key").write_bytes(b"")
    assert discover(cp1)["authority_keys"] == ["/etc/kubernetes/pki/ca.key", "/etc/etcd/pki/ca.key"]


def test_an_authority_of_the_owners_that_verifies_kubelets_is_told(cp1: Host) -> None:
    ours, theirs = (authority.create(profile.wanted_authority(name), 1_800_000_000.0) for name in ("ours", "theirs"))
    at(cp1, "etc/kubernetes/pki/ca.crt").write_bytes(bundle.join([ours.facts]))
    assert discover(cp1)["kubelet_authority"] == ""
    manifest = Path(cp1.root) / MANIFESTS / "kube-apiserver.yaml"
    path = "/etc/kubernetes/pki/corp.crt"
    line = "    - --client-ca-file=/etc/kubernetes/pki/ca.crt\n"
    text = manifest.read_text(encoding="utf-8").replace(line, f"{line}    - --kubelet-certificate-authority={path}\n")
    manifest.write_text(text, encoding="utf-8")
    for held, told in ((bundle.join([theirs.facts]), path), (bundle.join([theirs.facts, ours.facts]), "")):
        at(cp1, path.lstrip("/")).write_bytes(held)
        assert discover(cp1)["kubelet_authority"] == told


def test_certificates_for_some_names_alone_are_known(cp1: Host) -> None:
    assert discover(cp1)["sni_certificates"] == []
    manifest = Path(cp1.root) / MANIFESTS / "kube-apiserver.yaml"
    line = "    - --client-ca-file=/etc/kubernetes/pki/ca.crt\n"
    more = "".join(
        f"    - --tls-sni-cert-key=/etc/kubernetes/pki/{value}\n"
        for value in (
            "a.crt,/etc/kubernetes/pki/a.key",
            "b.pem,/etc/kubernetes/pki/b.key:b.example.org,*.b.example.org",
        )
    )
    text = manifest.read_text(encoding="utf-8")
    assert line in text
    manifest.write_text(text.replace(line, line + more), encoding="utf-8")
    assert discover(cp1)["sni_certificates"] == ["/etc/kubernetes/pki/a.crt", "/etc/kubernetes/pki/b.pem"]


SPECIFIC = (
    "cluster-signing-kubelet-serving-cert-file=/srv/s.crt",
    "cluster-signing-kubelet-serving-key-file=/srv/s.key",
)


@pytest.mark.parametrize(
    ("without", "added", "signs"),
    [
        ((), (), True),
        (("cluster-signing-cert-file", "cluster-signing-key-file"), (), False),
        # As kubeadm has it where the authority is outside.
        ((), ("cluster-signing-cert-file=", "cluster-signing-key-file="), False),
        ((), ("cluster-signing-key-file=",), False),
        (("cluster-signing-cert-file", "cluster-signing-key-file"), SPECIFIC, True),
        (("cluster-signing-cert-file", "cluster-signing-key-file"), SPECIFIC[:1], False),
        # With an authority for one signer none is used for the others.
        ((), ("cluster-signing-legacy-unknown-cert-file=/srv/s.crt",), False),
        ((), ("controllers=*,-csrsigning",), False),
        ((), ("controllers=*,-certificatesigningrequest-signing-controller",), False),
        ((), ("controllers=csrsigning,nodelifecycle",), True),
        ((), ("controllers=nodelifecycle",), False),
    ],
)
def test_whether_what_kubelets_are_to_serve_is_signed(
    cp1: Host, without: tuple[str, ...], added: tuple[str, ...], signs: bool
) -> None:
    manifest = Path(cp1.root) / MANIFESTS / "kube-controller-manager.yaml"
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    lines = [line for line in lines if not any(f"--{flag}=" in line for flag in without)]
    place = max(number for number, line in enumerate(lines) if line.startswith("    - --")) + 1
    lines[place:place] = [f"    - --{flag}\n" for flag in added]
    manifest.write_text("".join(lines), encoding="utf-8")
    assert discover(cp1)["signs_kubelets"] is signs


def test_what_another_authority_signs_for_kubelets_is_none_of_the_clusters(cp1: Host) -> None:
    ours, theirs = (authority.create(profile.wanted_authority(name), 1_800_000_000.0) for name in ("ours", "theirs"))
    manifest = Path(cp1.root) / MANIFESTS / "kube-controller-manager.yaml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("cert-file=/etc/kubernetes/pki/ca.crt", "cert-file=/etc/kubernetes/pki/s.crt"))
    at(cp1, "etc/kubernetes/pki/ca.crt").write_bytes(bundle.join([ours.facts]))
    for held, signs in ((theirs, False), (ours, True)):
        at(cp1, "etc/kubernetes/pki/s.crt").write_bytes(bundle.join([held.facts]))
        assert discover(cp1)["signs_kubelets"] is signs


def test_a_worker_signs_nothing(w1: Host) -> None:
    assert discover(w1, False)["signs_kubelets"] is False


PKI = "var/lib/kubelet/pki"
NAMED = "tlsCertFile: /etc/kubernetes/pki/corp-kubelet.crt\n"
CURRENT = f"/{PKI}/kubelet-server-current.pem"


@pytest.mark.parametrize(
    ("fields", "signer", "subject", "own"),
    [
        ("", "", "", ""),
        ("", "w1-ca@1800000000", "w1@1800000000", ""),
        ("", "kubernetes", "system:node:w1", ""),
        ("", "corporation", "w1.example", f"/{PKI}/kubelet.crt"),
        ("serverTLSBootstrap: true\n", "corporation", "w1.example", ""),
        (NAMED, "", "", "/etc/kubernetes/pki/corp-kubelet.crt"),
        (f"serverTLSBootstrap: true\n{NAMED}", "", "", "/etc/kubernetes/pki/corp-kubelet.crt"),
        (f"serverTLSBootstrap: true\ntlsCertFile: {CURRENT}\n", "", "", ""),
    ],
)
def test_a_serving_certificate_of_the_owners_is_told(
    w1: Host, fields: str, signer: str, subject: str, own: str
) -> None:
    """Not the one that a kubelet makes itself, nor one of the cluster's authority."""
    place = at(w1, "var/lib/kubelet/config.yaml")
    place.write_text(place.read_text(encoding="utf-8") + fields, encoding="utf-8")
    made = {
        name: authority.create(profile.wanted_authority(name), 1_800_000_000.0)
        for name in ("kubernetes", signer or "x")
    }
    at(w1, "etc/kubernetes/pki/ca.crt").write_bytes(bundle.join([made["kubernetes"].facts]))
    if signer:
        names = Names(frozenset(["w1"]), frozenset())
        key = keys.public_bytes(ec.generate_private_key(ec.SECP256R1()))
        wanted = profile.wanted(subject, [], names, [profile.SERVER])
        leaf = issue.issue(wanted, key, made[signer], 1_800_000_000.0, 86400)
        at(w1, f"{PKI}/kubelet.crt").write_bytes(bundle.join([leaf]))
    assert discover(w1, control_plane=False)["kubelet"]["own_certificate"] == own


def test_how_good_authorizers_of_the_owners_are(cp1: Host) -> None:
    assert discover(cp1)["authorization"] is None
    own = "/etc/kubernetes/pki/authorization.yaml"
    manifest = at(cp1, f"{MANIFESTS}/kube-apiserver.yaml")
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("- --authorization-mode=Node,RBAC", f"- --authorization-config={own}"), "utf-8")
    everything = "kind: AuthorizationConfiguration\nauthorizers: [{type: AlwaysAllow}]\n"
    at(cp1, own.lstrip("/")).write_text(everything, encoding="utf-8")
    found = discover(cp1)["authorization"]
    assert found["path"] == own
    assert "everybody may do everything (AlwaysAllow)" in found["findings"]


def test_how_far_a_file_of_the_owners_lets_anonymous_requests(cp1: Host) -> None:
    own = "/etc/kubernetes/pki/authentication.yaml"
    manifest = at(cp1, f"{MANIFESTS}/kube-apiserver.yaml")
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("    image:", f"    - --authentication-config={own}\n    image:", 1), "utf-8")
    for conditions, findings in (("[{path: /livez}]", []), ("[]", ["it allows anonymous requests on every path"])):
        at(cp1, own.lstrip("/")).write_text(f"anonymous: {{enabled: true, conditions: {conditions}}}\n", "utf-8")
        found = discover(cp1)["authentication"]
        assert (found["anonymous"], found["restricted"], found["jwt"]) == (findings, False, "")


GATE = "RotateKubeletServerCertificate"


@pytest.mark.parametrize(
    ("file", "drop_in", "flags", "off", "betas"),
    [
        ("", "", "", "", False),
        # What the file says is the run's to mend, and so are all of a stage that are off.
        (f"{GATE}: false", "", "", "", False),
        ("AllBeta: false", "", "", "", True),
        ("", "AllBeta: false", "", "", True),
        ("", "", "AllBeta=false", "", True),
        ("AllBeta: false", "", "AllBeta=true", "", False),
        ("", f"{GATE}: false", "", "/etc/kubelet.d/20.conf", False),
        ("", f"{GATE}: false", f"{GATE}=true", "", False),
        (f"{GATE}: true", "", f"Other=true --feature-gates=kube:{GATE}=0", "--feature-gates", False),
    ],
)
def test_what_keeps_a_kubelet_from_asking_for_serving_certificates_is_told(
    w1: Host, file: str, drop_in: str, flags: str, off: str, betas: bool
) -> None:
    """One that is told to ask would end at its start. Of two drop-ins the last counts."""
    for name, gates in (("10", f"{GATE}: true" if GATE in drop_in else ""), ("20", drop_in)):
        at(w1, f"etc/kubelet.d/{name}.conf").write_text(f"featureGates: {{{gates}}}\n", encoding="utf-8")
    place = at(w1, "var/lib/kubelet/config.yaml")
    place.write_text(f"{place.read_text(encoding='utf-8')}featureGates: {{{file}}}\n", encoding="utf-8")
    given = "--config-dir=/etc/kubelet.d" + (f" --feature-gates={flags}" if flags else "")
    at(w1, "etc/default/kubelet").write_text(f'KUBELET_EXTRA_ARGS="{given}"\n', encoding="utf-8")
    found = discover(w1, control_plane=False)["kubelet"]
    assert (found["gate_off"], found["betas_off"]) == (off, betas)


def test_a_worker(w1: Host) -> None:
    at(w1, "etc/hostname").write_text("W1\n", encoding="utf-8")
    found = discover(w1, control_plane=False)
    assert (found["components"], found["admin_kubeconfig"], found["node_name"]) == ({}, None, "w1")
    assert found["files"]["kubelet_kubeconfig"] == ["/etc/kubernetes/kubelet.conf"]
    assert "etcd_data_directory" not in found["files"]


def test_it_is_data_and_holds_nothing_of_any_key(cp1: Host) -> None:
    for name in ("etc/kubernetes/pki/ca.key", "etc/kubernetes/admin.conf"):
        at(cp1, name).write_text("marker-secret", encoding="utf-8")
    assert "marker-secret" not in json.dumps(discover(cp1))


def test_looking_changes_nothing(cp1: Host) -> None:
    def state() -> list[tuple[str, int, int]]:
        places = sorted(Path(cp1.root).rglob("*"))
        return [(str(one), one.lstat().st_mtime_ns, one.lstat().st_ctime_ns) for one in places]

    before = state()
    discover(cp1)
    assert state() == before


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("etc/rancher/rke2/x", "RKE2 runs Kubernetes here"),
        ("var/lib/rancher/k3s/x", "k3s runs Kubernetes here"),
        ("var/snap/microk8s/x", "MicroK8s runs Kubernetes here"),
        ("etc/systemd/system/kube-apiserver.service", "kube-apiserver is run by systemd here"),
        ("usr/lib/systemd/system/kube-scheduler.service", "kube-scheduler is run by systemd here"),
    ],
)
def test_other_layouts_are_recognised_and_refused(cp1: Host, path: str, words: str) -> None:
    at(cp1, path).write_bytes(b"")
    said = refused(cp1)
    assert said.startswith(words)
    assert "nothing was changed" in said


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("kube-apiserver.yaml", "a: b: c", "kube-apiserver.yaml is no YAML"),
        ("kube-apiserver.yaml", "kind: Deployment\n", "kube-apiserver.yaml is no Pod"),
        ("kube-apiserver.yaml", "", "kube-apiserver.yaml is no Pod"),
        ("notes.txt", "remember the milk", "notes.txt is no Pod"),
        ("kube-apiserver.yaml", None, "there is no kube-apiserver manifest in /etc/kubernetes/manifests"),
        ("kube-scheduler.yaml", None, "there is no kube-scheduler manifest in /etc/kubernetes/manifests"),
        ("kube-controller-manager.yaml", None, "there is no kube-controller-manager manifest in"),
        ("etcd.yaml", None, "there is no etcd manifest in /etc/kubernetes/manifests"),
    ],
)
def test_a_manifest_that_is_none_is_one_sentence(cp1: Host, name: str, text: str | None, words: str) -> None:
    place = at(cp1, f"{MANIFESTS}/{name}")
    if text is None:
        place.unlink()
    else:
        place.write_text(text, encoding="utf-8")
    said = refused(cp1)
    assert words in said
    assert "Nothing was changed" in said


def test_every_manifest_that_is_missing_is_named_at_once(cp1: Host) -> None:
    for name in ("etcd", "kube-controller-manager", "kube-scheduler"):
        at(cp1, f"{MANIFESTS}/{name}.yaml").unlink()
    assert "there is no etcd and no kube-controller-manager and no kube-scheduler manifest in" in refused(cp1)
    at(cp1, "etc/hostname").write_text("cp1\n", encoding="utf-8")
    # What puts runs back does what it can.
    assert set(Discovery(cp1, True, complete=False).run()["components"]) == {"kube-apiserver"}


def _with_etcd_elsewhere(host: Host) -> None:
    place = at(host, f"{MANIFESTS}/kube-apiserver.yaml")
    text = place.read_text(encoding="utf-8")
    assert "--etcd-servers=https://127.0.0.1:2379\n" in text
    place.write_text(text.replace("https://127.0.0.1:2379", "https://192.0.2.9:2379"), encoding="utf-8")
    at(host, f"{MANIFESTS}/etcd.yaml").unlink()
    at(host, "etc/hostname").write_text("cp1\n", encoding="utf-8")


def test_an_etcd_elsewhere_is_missed_only_where_the_inventory_has_it_here(cp1: Host) -> None:
    _with_etcd_elsewhere(cp1)
    assert "etcd" not in discover(cp1)["components"]
    with pytest.raises(HardeningError, match="there is no etcd manifest"):
        Discovery(cp1, True, etcd=True).run()
    # As kubespray has it.
    at(cp1, "etc/systemd/system/etcd.service").touch()
    assert "etcd" not in Discovery(cp1, True, etcd=True).run()["components"]


@pytest.mark.parametrize(
    ("cgroup", "elsewhere"),
    [
        ("0::/system.slice/etcd-member.service\n", True),
        ("0::/docker/a9046d7b\n", True),
        (STATIC, False),
        (OTHER, False),
    ],
)
def test_an_etcd_that_the_host_runs_in_another_way_needs_no_manifest(
    cp1: Host, tmp_path: Path, cgroup: str, elsewhere: bool
) -> None:
    """A pod's is that of a kubelet that has not seen yet what is missing, or an application's."""
    at(cp1, f"{MANIFESTS}/etcd.yaml").unlink()
    at(cp1, "etc/hostname").write_text("cp1\n", encoding="utf-8")
    made = MadeProc(tmp_path / "made")
    made.start(7, "etcd", cgroup)
    looking = Discovery(LivingDirectory(cp1.root), True, proc=str(made.proc), run=lambda _words: (1, "", ""))
    if elsewhere:
        assert "etcd" not in looking.run()["components"]
    else:
        with pytest.raises(HardeningError, match="there is no etcd manifest"):
            looking.run()


def test_a_control_plane_that_knows_no_name_is_refused_and_a_node_is_not(cp1: Host, w1: Host) -> None:
    _with_etcd_elsewhere(cp1)
    at(cp1, "etc/hostname").write_text("\n", encoding="utf-8")
    assert refused(cp1).startswith("The name of this control plane's node could not be told: /etc/hostname is empty")
    assert Discovery(cp1, True, complete=False).run()["node_name"] == ""
    assert discover(w1, control_plane=False)["node_name"] == ""


def test_a_backup_beside_a_manifest_is_refused_since_the_kubelet_runs_it(cp1: Host) -> None:
    shutil.copy(at(cp1, f"{MANIFESTS}/kube-scheduler.yaml"), at(cp1, f"{MANIFESTS}/kube-scheduler.yaml.bak"))
    assert "both define kube-scheduler; the kubelet would run the last one" in refused(cp1)


def test_a_trial_that_a_dead_run_left_is_no_component(cp1: Host) -> None:
    """The run that takes it away must be able to see the host."""
    shutil.copy(
        at(cp1, f"{MANIFESTS}/kube-apiserver.yaml"), at(cp1, f"{MANIFESTS}/kube-apiserver-kubeharden-trial.yaml")
    )
    assert discover(cp1)["components"]["kube-apiserver"]["manifest"] == f"/{MANIFESTS}/kube-apiserver.yaml"


def test_what_the_kubelet_does_not_read_is_nobodys_business(cp1: Host) -> None:
    at(cp1, f"{MANIFESTS}/.kube-apiserver.swp").write_bytes(b"\xff")
    at(cp1, f"{MANIFESTS}/folder/kube-apiserver.yaml").write_text("a: b: c", encoding="utf-8")
    assert "kube-apiserver" in discover(cp1)["components"]


@pytest.mark.parametrize("text", ["a: b: c", "[]"])
def test_a_kubelet_configuration_that_is_none_is_one_sentence(w1: Host, text: str) -> None:
    at(w1, "var/lib/kubelet/config.yaml").write_text(text, encoding="utf-8")
    assert refused(w1, control_plane=False).startswith("The kubelet's configuration /var/lib/kubelet/config.yaml is no")


@pytest.mark.parametrize("text", ["authentication:\n", "authentication: {x509: }\n", "authentication: 7\n"])
def test_a_kubelet_configuration_with_holes_is_understood(w1: Host, text: str) -> None:
    at(w1, "var/lib/kubelet/config.yaml").write_text(text, encoding="utf-8")
    assert discover(w1, control_plane=False)["kubelet"]["client_authority"] is None


def test_a_directory_that_may_not_be_read_asks_for_become(cp1: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", refuse)
    assert refused(cp1).endswith("may not be read by this user. Nothing was changed; run with become: true.")


def test_a_host_that_never_joined_is_told_so(tmp_path: Path) -> None:
    assert "this is no node of a kubeadm cluster yet" in refused(Host(str(tmp_path)), control_plane=False)


def test_directories_beside_the_networks_configuration_are_no_files(w1: Host) -> None:
    at(w1, "etc/cni/net.d/20-net.conf").touch()
    at(w1, "etc/cni/net.d/multus.d/multus.kubeconfig").touch()
    at(w1, "etc/cni/net.d/link.conf").symlink_to("20-net.conf")
    found = discover(w1, control_plane=False)["files"]["cni_configuration"]
    assert {"/etc/cni/net.d/20-net.conf", "/etc/cni/net.d/link.conf"} <= set(found)
    assert "/etc/cni/net.d/multus.d" not in found


def test_drop_ins_of_the_kubelet_are_merged_in_lexical_order(w1: Host) -> None:
    at(w1, "etc/default/kubelet").write_text("KUBELET_EXTRA_ARGS=--config-dir=/etc/kubelet.d\n", encoding="utf-8")
    for name, text in (("20.conf", "maxPods: 20\n"), ("10.conf", "maxPods: 10\n"), ("x.yaml", "maxPods: 1\n")):
        at(w1, f"etc/kubelet.d/{name}").write_text(text, encoding="utf-8")
    found = discover(w1, control_plane=False)
    assert found["kubelet"]["configuration"]["maxPods"] == 20
    assert found["files"]["kubelet_configuration"][1:] == ["/etc/kubelet.d/10.conf", "/etc/kubelet.d/20.conf"]


def test_what_headers_the_kubelet_sends_for_static_pods_is_in_no_result(w1: Host) -> None:
    file = at(w1, "var/lib/kubelet/config.yaml")
    text = (
        file.read_text(encoding="utf-8")
        + "staticPodURLHeader:\n  X-Key: [hidden1]\n  Authorization:\n  - Basic hidden2\n"
    )
    file.write_text(text, encoding="utf-8")
    found = discover(w1, control_plane=False)
    assert "hidden" not in json.dumps(found)
    assert set(found["kubelet"]["configuration"]["staticPodURLHeader"]) == {"X-Key", "Authorization"}


def test_flags_whose_values_are_secrets_are_in_no_result(cp1: Host) -> None:
    at(cp1, "etc/default/kubelet").write_text(
        "KUBELET_EXTRA_ARGS=--manifest-url-header=X-Key:hidden --node-ip=192.0.2.11\n", encoding="utf-8"
    )
    etcd = at(cp1, f"{MANIFESTS}/etcd.yaml")
    text = etcd.read_text(encoding="utf-8")
    etcd.write_text(text.replace("    - etcd\n", "    - etcd\n    - --discovery-password=hidden\n"), encoding="utf-8")
    found = discover(cp1)
    assert found["kubelet"]["flags"]["manifest-url-header"] == "[masked]"
    assert found["kubelet"]["flags"]["node-ip"] == "192.0.2.11"
    assert found["components"]["etcd"]["flags"]["discovery-password"] == "[masked]"
    assert "hidden" not in json.dumps(found)


def test_a_unit_in_etc_beats_the_packages(w1: Host) -> None:
    at(w1, "etc/systemd/system/kubelet.service").write_text("[Service]\nExecStart=/opt/kubelet\n", encoding="utf-8")
    at(w1, "etc/systemd/system/kubelet.service.d/10-kubeadm.conf").write_text("", encoding="utf-8")
    assert discover(w1, control_plane=False)["kubelet"]["units"] == [
        "/etc/systemd/system/kubelet.service",
        "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
    ]


def test_patches_that_were_laid_for_kubeadm_are_told_by_their_content(cp1: Host) -> None:
    assert discover(cp1)["patches"] == {}
    at(cp1, f"{PATCHES_DIRECTORY[1:]}/etcd0+json.yaml").write_bytes(b"\xff")
    at(cp1, f"{PATCHES_DIRECTORY[1:]}/theirs/file").touch()
    assert discover(cp1)["patches"] == {"etcd0+json.yaml": hashlib.sha256(b"\xff").hexdigest()}


def test_what_kubeadms_file_alone_gives_the_kubelet_is_told(w1: Host) -> None:
    """kubeadm takes out of it what it knows to be gone; what the owner says as well stays."""
    flags = "--pod-infra-container-image=a --node-ip=192.0.2.9"
    Path(w1.path("/var/lib/kubelet/kubeadm-flags.env")).write_text(f'KUBELET_KUBEADM_ARGS="{flags}"\n', "utf-8")
    Path(w1.path("/etc/default")).mkdir(parents=True, exist_ok=True)
    Path(w1.path("/etc/default/kubelet")).write_text("KUBELET_EXTRA_ARGS=--node-ip=192.0.2.9\n", "utf-8")
    kubelet = discover(w1, control_plane=False)["kubelet"]
    assert kubelet["flags"]["pod-infra-container-image"] == "a"
    assert kubelet["kubeadm_flags"] == ["pod-infra-container-image"]


@pytest.mark.parametrize(
    ("asks", "has", "serves"), [(True, True, True), (True, False, False), (False, True, False), (False, False, False)]
)
def test_a_certificate_that_a_kubelet_asked_for_and_serves_is_told(
    w1: Host, asks: bool, has: bool, serves: bool
) -> None:
    path = Path(w1.path("/var/lib/kubelet/config.yaml"))
    text = path.read_text("utf-8").replace("serverTLSBootstrap", "# serverTLSBootstrap")
    path.write_text(text + (f"serverTLSBootstrap: {str(asks).lower()}\n"), "utf-8")
    certificate = Path(w1.path("/var/lib/kubelet/pki/kubelet-server-current.pem"))
    certificate.parent.mkdir(parents=True, exist_ok=True)
    certificate.unlink(missing_ok=True)
    if has:
        certificate.write_text("x", "utf-8")
    assert discover(w1, control_plane=False)["kubelet"]["serves_asked"] is serves
