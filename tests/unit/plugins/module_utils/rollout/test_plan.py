# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a component must become: the difference of kubeadm's own manifests and wanted settings, and nothing else."""

from __future__ import annotations

import difflib
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.plan import (
    ComponentPlan,
    Mount,
    plan_component,
    volume_name,
)

FIXTURES = Path(__file__).parents[3] / "fixtures" / "kubeadm-1.37.1"
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
POLICY = "/etc/kubernetes/kubeharden/audit-policy.yaml"
OWN_POLICY = "/etc/kubernetes/audit/policy.yaml"
TEXT = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n"
AUDIT: dict[str, dict[str, t.Any]] = {
    "audit-policy-file": {"keep": POLICY, "mount": "read_only", "control": "policy"},
    "audit-log-path": {"keep": "/var/log/kubernetes/audit/audit.log", "mount": "read_write", "control": "path"},
    "audit-log-maxage": {"at_least": 30, "unlimited": 0, "control": "maxage"},
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(str(tmp_path))


def lay(host: Host, name: str = "plain", change: t.Callable[[str], str] = str) -> str:
    """Lay kubeadm's manifest of the API server and return its text."""
    text = change((FIXTURES / name / "kube-apiserver.yaml").read_text(encoding="utf-8"))
    path = Path(host.path(MANIFEST))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return text


def plan(host: Host, flags: dict[str, dict[str, t.Any]] | None = None, text: str = TEXT) -> ComponentPlan:
    return plan_component(host, "kube-apiserver", MANIFEST, flags or AUDIT, {"audit-policy-file": text})


def changed_lines(before: str, after: str) -> list[str]:
    """Lines taken away and added, without their indentation, what was taken away first."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0))[2:]
    words = [f"{line[0]} {line[1:].strip()}" for line in lines if line[0] in "+-"]
    return sorted(words, key=lambda word: word[0] == "+")


# ---- a fresh manifest


def test_a_fresh_manifest_gets_flags_mounts_directories_and_the_file(host: Host) -> None:
    text = lay(host)
    made = plan(host)
    assert sorted(changed_lines(text, made.manifest.text)) == [
        "+ - --audit-log-maxage=30",
        "+ - --audit-log-path=/var/log/kubernetes/audit/audit.log",
        f"+ - --audit-policy-file={POLICY}",
        "+ - hostPath:",
        "+ - hostPath:",
        "+ - mountPath: /etc/kubernetes/kubeharden",
        "+ - mountPath: /var/log/kubernetes/audit",
        "+ name: etc-kubernetes-kubeharden",
        "+ name: etc-kubernetes-kubeharden",
        "+ name: var-log-kubernetes-audit",
        "+ name: var-log-kubernetes-audit",
        "+ path: /etc/kubernetes/kubeharden",
        "+ path: /var/log/kubernetes/audit",
        "+ readOnly: true",
        "+ type: Directory",
        "+ type: DirectoryOrCreate",
    ]
    assert [(change.kind, change.target, change.action) for change in made.changes()] == [
        ("directory", "/etc/kubernetes/kubeharden", "create"),
        ("directory", "/var/log/kubernetes/audit", "create"),
        ("file", POLICY, "create"),
        ("manifest", MANIFEST, "update"),
    ]
    assert [change.restart for change in made.changes()] == [(), (), ("kube-apiserver",), ("kube-apiserver",)]
    assert made.changes()[-1].controls == ("maxage", "path", "policy")
    assert made.changed_flags == ["--audit-policy-file", "--audit-log-path", "--audit-log-maxage"]
    assert made.notes == []
    assert made.log_file == "/var/log/kubernetes/audit/audit.log"


def test_planning_changes_nothing(host: Host, tmp_path: Path) -> None:
    text = lay(host)
    plan(host)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.read_text(encoding="utf-8") for path in files] == [text]


def test_what_the_plan_wrote_is_not_changed_again(host: Host) -> None:
    lay(host)
    first = plan(host)
    Path(host.path(MANIFEST)).write_text(first.manifest.text, encoding="utf-8")
    Path(host.path(POLICY)).parent.mkdir(parents=True)
    Path(host.path(POLICY)).write_text(TEXT, encoding="utf-8")
    Path(host.path("/var/log/kubernetes/audit")).mkdir(parents=True)
    second = plan(host)
    assert (second.changed, second.restarts, second.changes(), second.changed_flags) == (False, False, [], [])
    assert second.state() == first.state()


def test_kubeadms_memory_is_told_flags_and_mounts(host: Host) -> None:
    lay(host)
    state = plan(host).state()
    assert [(one["flag"], one["values"]) for one in state["settings"]] == [
        ("audit-policy-file", [POLICY]),
        ("audit-log-path", ["/var/log/kubernetes/audit/audit.log"]),
        ("audit-log-maxage", ["30"]),
    ]
    assert [(one["path"], one["read_only"], one["path_type"]) for one in state["mounts"]] == [
        ("/etc/kubernetes/kubeharden", True, "Directory"),
        ("/var/log/kubernetes/audit", False, "DirectoryOrCreate"),
    ]


def test_a_changed_file_alone_restarts_but_leaves_the_manifest(host: Host) -> None:
    lay(host)
    Path(host.path(MANIFEST)).write_text(plan(host).manifest.text, encoding="utf-8")
    for directory in ("/etc/kubernetes/kubeharden", "/var/log/kubernetes/audit"):
        Path(host.path(directory)).mkdir(parents=True)
    Path(host.path(POLICY)).write_text("another", encoding="utf-8")
    made = plan(host)
    assert (made.manifest_changed, made.restarts, made.changed_flags) == (False, True, [])
    assert [(change.kind, change.before, change.after) for change in made.changes()] == [("file", "another", TEXT)]


def test_an_owner_who_writes_yaml_by_hand_keeps_every_other_line(host: Host) -> None:
    text = lay(host, change=lambda one: "# by hand\n" + one.replace("  hostNetwork: true", "  hostNetwork: true   # !"))
    lines = changed_lines(text, plan(host).manifest.text)
    assert [line for line in lines if line.startswith("-")] == []


# ---- the owner's own


def test_the_owners_policy_and_log_stay_and_the_policy_is_judged(host: Host) -> None:
    text = lay(host, "past")
    policy = Path(host.path(OWN_POLICY))
    policy.parent.mkdir(parents=True)
    policy.write_text("kind: Policy\nrules: [{level: RequestResponse}]\n", encoding="utf-8")
    made = plan(host)
    assert (made.manifest.text, made.changes()) == (text, [])
    assert len(made.notes) == 1
    assert made.notes[0].startswith(f"The audit policy {OWN_POLICY} is the owner's and was kept (")
    assert "get of secrets is recorded at RequestResponse, which writes its body to the log" in made.notes[0]
    assert "kubeharden_replace: [audit_policy]" in made.notes[0]


def test_a_policy_with_which_nothing_is_wrong_is_said_to_be_so(host: Host) -> None:
    lay(host, "past")
    policy = Path(host.path(OWN_POLICY))
    policy.parent.mkdir(parents=True)
    rules = [
        {
            "level": "Metadata",
            "resources": [{"group": "", "resources": ["secrets", "configmaps", "serviceaccounts/token"]}],
        },
        {"level": "Metadata", "resources": [{"group": "authentication.k8s.io"}]},
        {"level": "Request"},
    ]
    policy.write_text(yaml.safe_dump({"kind": "Policy", "rules": rules}), encoding="utf-8")
    assert "(nothing is wrong with it)" in plan(host).notes[0]


def test_a_policy_that_is_missing_is_said_to_be_none(host: Host) -> None:
    lay(host, "past")
    assert "(it is no audit Policy with rules)" in plan(host).notes[0]


def test_with_replace_the_templates_say_exact_and_our_policy_comes_beside_theirs(host: Host) -> None:
    text = lay(host, "past")
    flags = {**AUDIT, "audit-policy-file": {"exact": POLICY, "mount": "read_only", "control": "policy"}}
    made = plan(host, flags)
    lines = changed_lines(text, made.manifest.text)
    assert f"- - --audit-policy-file={OWN_POLICY}" in lines
    assert f"+ - --audit-policy-file={POLICY}" in lines
    assert "+ path: /etc/kubernetes/kubeharden" in lines
    assert [change.kind for change in made.changes()] == ["directory", "file", "manifest"]
    assert made.notes == []


@pytest.mark.parametrize(
    ("found", "flag", "stays"),
    [
        ("--audit-log-maxage=90", "--audit-log-maxage", True),
        ("--audit-log-maxage=30", "--audit-log-maxage", True),
        ("--audit-log-maxage=0", "--audit-log-maxage", True),
        ("--audit-log-maxage=29", "--audit-log-maxage", False),
        ("--audit_log_maxage=90", "--audit_log_maxage", True),
        ("--audit-log-path=-", "--audit-log-path", True),
        ("--audit-log-path=/elsewhere/a.log", "--audit-log-path", True),
    ],
)
def test_a_stricter_value_of_the_owners_stays_as_it_is_written(host: Host, found: str, flag: str, stays: bool) -> None:
    lay(host, change=lambda text: text.replace("    - --allow-", f"    - {found}\n    - --allow-", 1))
    words = plan(host).manifest.arguments("kube-apiserver")
    assert [word for word in words if word.startswith(flag)] == ([found] if stays else ["--audit-log-maxage=30"])


def test_a_log_that_goes_to_standard_output_needs_no_mount(host: Host) -> None:
    lay(host, change=lambda text: text.replace("    - --allow-", "    - --audit-log-path=-\n    - --allow-", 1))
    made = plan(host)
    assert made.log_file is None
    assert [change.target for change in made.directories] == ["/etc/kubernetes/kubeharden"]


def mounted(text: str, host_path: str, mount_path: str, read_only: bool, path_type: str = "DirectoryOrCreate") -> str:
    """The manifest with one more mount."""
    manifest = Manifest.parse(text)
    manifest.ensure_mount("kube-apiserver", "own", host_path, mount_path, read_only, path_type)
    return manifest.text


def log_at(path: str) -> dict[str, dict[str, t.Any]]:
    return {"audit-log-path": {"exact": path, "mount": "read_write", "control": "path"}}


def test_a_path_under_the_owners_mount_needs_no_other(host: Host) -> None:
    text = lay(host, change=lambda one: mounted(one, "/srv/logs", "/logs", read_only=False))
    made = plan(host, log_at("/logs/audit/a.log"))
    assert changed_lines(text, made.manifest.text) == ["+ - --audit-log-path=/logs/audit/a.log"]
    assert made.directories == []
    assert made.mounts == [Mount("audit-log-path", "own", "/srv/logs", "/logs", False, "DirectoryOrCreate")]


def test_the_owners_mount_of_one_file_is_told_as_it_is(host: Host) -> None:
    """As Kubernetes' documentation has it."""
    policy = "/etc/kubernetes/audit-policy.yaml"
    file = "- --allow-", f"- --audit-policy-file={policy}\n    - --allow-"
    lay(host, change=lambda one: mounted(one.replace(*file, 1), policy, policy, True, "File"))
    assert plan(host).mounts[0] == Mount("audit-policy-file", "own", policy, policy, True, "File")


def test_a_volume_that_is_none_of_the_hosts_is_told_without_a_path(host: Host) -> None:
    def change(text: str) -> str:
        document = yaml.safe_load(text)
        document["spec"]["volumes"].append({"name": "gone", "emptyDir": {}})
        container = document["spec"]["containers"][0]
        container["volumeMounts"].append({"name": "gone", "mountPath": "/var/log/gone"})
        return str(yaml.safe_dump(document))

    lay(host, change=change)
    assert plan(host, log_at("/var/log/gone/a.log")).mounts == [
        Mount("audit-log-path", "gone", None, "/var/log/gone", False, "")
    ]


def test_a_file_of_the_users_own_flag_is_told_with_its_mount_and_nothing_is_mounted_for_it(host: Host) -> None:
    text = lay(host, change=lambda one: mounted(one, "/srv/own", "/etc/own", read_only=True))
    flags = {
        "tls-sni-cert-key": {"exact": "/etc/own/a.crt,/etc/own/a.key:a.example"},
        "tracing-config-file": {"exact": "/nowhere/tracing.yaml"},
    }
    made = plan(host, flags)
    assert {(one.flag, one.host_path, one.path) for one in made.mounts} == {
        ("tls-sni-cert-key", "/srv/own", "/etc/own")
    }
    assert not [line for line in changed_lines(text, made.manifest.text) if "mountPath" in line]


def test_a_path_that_nothing_mounts_gets_a_mount(host: Host) -> None:
    """Without it the API server starts well and its records vanish with the container."""
    lay(host)
    made = plan(host, log_at("/data/audit/a.log"))
    mount = made.manifest.mount_for("kube-apiserver", "/data/audit/a.log")
    assert mount is not None
    assert (mount.host_path, mount.read_only) == ("/data/audit", False)
    assert [change.target for change in made.directories] == ["/data/audit"]


def test_a_log_under_a_read_only_mount_is_refused(host: Host) -> None:
    lay(host, change=lambda one: mounted(one, "/srv/logs", "/logs", read_only=True))
    with pytest.raises(HardeningError, match=r"mounts /logs read-only\. Nothing was changed"):
        plan(host, log_at("/logs/audit/a.log"))


def test_our_file_under_the_owners_mount_of_a_parent_gets_its_directory(host: Host) -> None:
    lay(host, change=lambda one: mounted(one, "/etc/kubernetes", "/etc/kubernetes", read_only=True))
    made = plan(host)
    assert "/etc/kubernetes/kubeharden" in [change.target for change in made.directories]


# ---- the user's own flags


def test_extra_flags_are_flags_like_ours(host: Host) -> None:
    text = lay(host)
    made = plan(host, {"request-timeout": {"exact": "30s"}, "max-requests-inflight": {"exact": "100"}})
    assert changed_lines(text, made.manifest.text) == ["+ - --request-timeout=30s", "+ - --max-requests-inflight=100"]
    assert made.changes()[0].controls == ()


def test_an_extra_flag_beats_ours_and_keeps_its_mount(host: Host) -> None:
    lay(host)
    flags = {**AUDIT, "audit-log-path": {"exact": "/srv/audit/a.log", "mount": "read_write", "control": "path"}}
    assert "/srv/audit" in [mount.path for mount in plan(host, flags).mounts]


def test_a_value_that_the_component_takes_anyway_is_not_written(host: Host) -> None:
    text = lay(host)
    made = plan(host, {"request-timeout": {"at_most": "5m", "unlimited": 0, "default": "1m"}})
    assert made.manifest.text == text
    assert [(one.values, one.changed) for one in made.settings] == [((), False)]


def test_a_flag_that_must_go_goes(host: Host) -> None:
    text = lay(host)
    made = plan(host, {"enable-bootstrap-token-auth": {"absent": True, "control": "x"}})
    assert changed_lines(text, made.manifest.text) == ["- - --enable-bootstrap-token-auth=true"]


# ---- what cannot be planned


def test_a_missing_manifest_is_a_sentence(host: Host) -> None:
    with pytest.raises(HardeningError, match=f"The manifest {MANIFEST} is missing"):
        plan(host)


@pytest.mark.parametrize("text", ["{", "kind: List\n", "kind: Pod\n", ""])
def test_a_manifest_that_is_none_is_a_sentence(host: Host, text: str) -> None:
    lay(host, change=lambda _fixture: text)
    with pytest.raises(HardeningError):
        plan(host)


@pytest.mark.parametrize(
    ("directory", "name"),
    [
        ("/etc/kubernetes/kubeharden", "etc-kubernetes-kubeharden"),
        ("/var/log/My_Audit.d", "var-log-my-audit-d"),
        ("/" + "long/" * 20, ("long-" * 20)[-64:].strip("-")),
    ],
)
def test_a_volume_is_called_after_its_directory(directory: str, name: str) -> None:
    assert volume_name(directory) == name
    assert len(volume_name(directory)) <= 63


def test_what_a_file_names_itself_is_mounted_too_and_the_owners_admission_configuration_is_judged(host: Host) -> None:
    own = "/etc/kubernetes/admission/own.yaml"
    lay(
        host,
        change=lambda text: text.replace(
            "    - --allow-privileged", f"    - --admission-control-config-file={own}\n    - --allow-privileged"
        ),
    )
    folder = Path(host.path("/etc/kubernetes/admission"))
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text(
        "kind: AdmissionConfiguration\nplugins:\n- {name: EventRateLimit, path: limits.yaml}\n", encoding="utf-8"
    )
    (folder / "limits.yaml").write_text("limits: [{type: Server, qps: 1, burst: 1}]\n", encoding="utf-8")
    flag = "admission-control-config-file"
    flags = {
        flag: {"keep": "/x/y", "mount": "read_only", "files": ["/etc/webhook/config", f"{folder}/z"], "control": "c"}
    }
    made = plan_component(host, "kube-apiserver", MANIFEST, flags, {flag: "ours"})
    assert [mount.path for mount in made.mounts] == ["/etc/kubernetes/admission", "/etc/webhook", str(folder)]
    assert all(mount.read_only for mount in made.mounts)
    (note,) = made.notes
    assert note.startswith(f"The admission configuration {own} is the owner's and was kept (Pod Security has no level")
    assert "nothing limits events" not in note
