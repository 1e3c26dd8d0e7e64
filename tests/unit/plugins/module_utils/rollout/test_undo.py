# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back is the difference of what is there and what was: nobody else's change is lost on it."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import KUBELET_FLAGS
from ansible_collections.kubeharden.core.plugins.module_utils.files.history import past_runs, prune
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Change, file_change
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import make_directory
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.undo import (
    FILES,
    KUBELET,
    STATIC_PODS,
    UNKNOWN,
    Link,
    Seen,
    Step,
    Undo,
    Unwound,
    still_verified,
    unwind,
)

API = "/etc/kubernetes/manifests/kube-apiserver.yaml"
ETCD = "/etc/kubernetes/manifests/etcd.yaml"
POLICY = "/etc/kubernetes/kubeharden/audit-policy.yaml"
KUBELET_FILE = "/var/lib/kubelet/config.yaml"
SYSCTLS = "/etc/sysctl.d/90-kubeharden.conf"
FOUND = {
    "components": {"kube-apiserver": {"manifest": API}, "etcd": {"manifest": ETCD}},
    "kubelet": {"configuration_file": KUBELET_FILE, "flags": {"config-dir": "/etc/kubelet.d"}},
}
OVERRIDES, DROP_IN = "/etc/default/kubelet", "/etc/kubelet.d/20.conf"


def chain(*states: t.Any) -> list[Link]:
    """Changes of runs a, b, ... from each pair of states to the next."""
    return [Link(name, before, after) for name, (before, after) in zip("abcdef", states)]


@pytest.mark.parametrize(
    ("current", "links", "state", "stranger"),
    [
        ("y", chain(("x", "y")), "x", ""),
        ("x", chain(("x", "y")), "x", ""),
        ("?", chain(("x", "y")), "?", "a"),
        ("z", chain(("x", "y"), ("y", "z")), "x", ""),
        # A rollback of both died: this one is back to before the first.
        ("x", chain(("x", "y"), ("y", "z")), "x", ""),
        ("y", chain(("x", "y"), ("y", "z")), "x", ""),
        # Somebody made w of y in between: back to that, and no further.
        ("z", chain(("x", "y"), ("w", "z")), "w", "a"),
        ("w", chain(("x", "y"), ("w", "z")), "w", "a"),
        # The first change was put back when its proof failed.
        ("z", chain(("x", "y"), ("x", "z")), "x", ""),
        # What came of a change is not known in records of schema 1, but by the next one.
        ("?", chain(("x", UNKNOWN)), "x", ""),
        ("x", chain(("x", UNKNOWN)), "x", ""),
        ("z", chain(("x", UNKNOWN), ("y", "z")), "x", ""),
        ("?", chain(("x", UNKNOWN), ("y", "z")), "?", "b"),
        # There and back again by the runs themselves.
        ("x", chain(("x", "y"), ("y", "x")), "x", ""),
    ],
)
def test_a_chain_of_changes_is_gone_back_as_far_as_nobody_else_changed_it(
    current: str, links: list[Link], state: str, stranger: str
) -> None:
    back = unwind(current, links)
    assert (back.state, back.stranger) == (state, stranger)
    assert (back.link is None) == (state == current)
    assert back.link is None or back.link.before == state


@given(st.lists(st.integers(0, 5), min_size=2, max_size=6), st.integers(0, 9))
def test_whatever_was_recorded_leads_to_the_begin_and_whatever_was_not_stays(states: list[int], current: int) -> None:
    links = chain(*zip(states, states[1:]))
    back = unwind(current, links)
    if current in states:
        assert back.state == states[0]
        assert back.stranger == ""
        assert unwind(back.state, links).link is None  # a second time there is nothing to do
    else:
        assert back == Unwound(current, None, links[-1].run_id)


class Place:
    """A host's files, runs that change them, and what else is seen of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host = Host(str(root))
        self.kernel: dict[str, str] = {}
        self.overrides: dict[str, str] = {}
        self.users: set[str] = set()
        self.number = 0
        self.undo: Undo | None = None
        self.write(API, "kind: Pod\n")
        self.write(ETCD, "kind: Pod\n")
        self.write(KUBELET_FILE, "kind: KubeletConfiguration\n")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        real = self.root / path.lstrip("/")
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(text, encoding="utf-8")
        real.chmod(mode)

    def text(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text(encoding="utf-8")

    def begin(self) -> Backup:
        self.number += 1
        number = float(self.number)
        return Backup(self.host, f"run-{self.number}", now=lambda: number)

    def change(self, backup: Backup, path: str, text: str) -> None:
        before = self.text(path) if (self.root / path.lstrip("/")).exists() else None
        backup.save_changes([file_change("file", path, before, text, [])])
        self.write(path, text, 0o644 if before is None else os.stat(self.host.path(path)).st_mode & 0o777)

    def plan(self, *run_ids: str, foretell: bool = True, verified: str = "") -> list[Step]:
        runs = [run for run in past_runs(self.host) if not run_ids or run.run_id in run_ids]
        seen = Seen(self.kernel.get, self.overrides.get, self.users.__contains__)
        self.undo = Undo(self.host, runs, FOUND, seen, foretell, verified)
        return self.undo.plan()

    @property
    def not_done(self) -> str:
        assert self.undo is not None
        return " ".join(self.undo.not_done)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "host")


def told(steps: t.Sequence[Step]) -> list[tuple[str, str, str, str]]:
    return [(step.part, step.change.action, step.change.kind, step.change.target) for step in steps]


def test_each_target_goes_with_its_part_in_reverse_order(place: Place) -> None:
    run = place.begin()
    place.change(run, POLICY, "kind: Policy\n")
    place.change(run, API, f"kind: Pod  # {POLICY}\n")
    place.change(run, KUBELET_FILE, "kind: KubeletConfiguration\nmaxPods: 5\n")
    run.note("sysctl", "kernel.panic", before="0", after="10")
    place.kernel["kernel.panic"] = "10"
    place.change(run, SYSCTLS, "kernel.panic = 10\n")
    place.change(run, "/etc/tmpfiles.d/kubeharden.conf", "z\n")
    steps = place.plan()
    assert told(steps) == [
        (FILES, "remove", "file", "/etc/tmpfiles.d/kubeharden.conf"),
        (FILES, "remove", "directory", "/etc/tmpfiles.d"),
        (KUBELET, "remove", "file", SYSCTLS),
        (FILES, "remove", "directory", "/etc/sysctl.d"),
        (KUBELET, "set", "sysctl", "kernel.panic"),
        (KUBELET, "update", "file", KUBELET_FILE),
        (STATIC_PODS, "update", "manifest", API),
        (FILES, "remove", "file", POLICY),
        (FILES, "remove", "directory", "/etc/kubernetes/kubeharden"),
    ]
    restarts = {step.change.target: step.change.restart for step in steps if step.change.restart}
    assert restarts == {API: ("kube-apiserver",), KUBELET_FILE: ("kubelet",)}
    manifest = next(step for step in steps if step.change.target == API)
    assert (manifest.component, manifest.change.before, manifest.change.after) == (
        "kube-apiserver",
        f"kind: Pod  # {POLICY}\n",
        "kind: Pod\n",
    )


@pytest.mark.parametrize(
    ("path", "part"),
    [(OVERRIDES, KUBELET), (DROP_IN, KUBELET), (KUBELET_FLAGS, KUBELET), ("/etc/kubelet.d/x.bak", FILES)],
)
def test_whatever_gives_the_kubelet_flags_or_fields_goes_back_with_it(place: Place, path: str, part: str) -> None:
    place.write(path, "readOnlyPort: 10255\n")
    place.change(place.begin(), path, "readOnlyPort: 0\n")
    (step,) = place.plan()
    assert (step.part, step.change.restart) == (part, ("kubelet",) if part == KUBELET else ())


def test_etcd_takes_its_api_server_along(place: Place) -> None:
    place.change(place.begin(), ETCD, "kind: Pod  # more\n")
    (step,) = place.plan()
    assert step.change.restart == ("etcd", "kube-apiserver")
    assert step.component == "etcd"


def test_a_file_that_a_component_reads_starts_it_again_when_its_old_bytes_come(place: Place) -> None:
    place.write(POLICY, "kind: Policy  # older\n")
    place.write(API, f"kind: Pod  # {POLICY}\n")
    place.change(place.begin(), POLICY, "kind: Policy\n")
    (step,) = place.plan()
    assert (step.part, step.component, step.change.restart) == (STATIC_PODS, "kube-apiserver", ("kube-apiserver",))


def test_a_file_that_a_manifest_still_names_stays(place: Place) -> None:
    """As where the flags are the owner's, or those of a node that was prepared and has joined since."""
    place.change(place.begin(), POLICY, "kind: Policy\n")
    place.write(API, f"kind: Pod  # --audit-policy-file={POLICY}\n")
    assert place.plan() == []
    assert f"{POLICY} stays, since {API} names it." in place.not_done


@pytest.mark.parametrize("foretell", [True, False])
def test_a_file_goes_when_the_manifest_is_back_which_is_foretold(place: Place, foretell: bool) -> None:
    run = place.begin()
    place.change(run, POLICY, "kind: Policy\n")
    place.change(run, API, f"kind: Pod  # {POLICY}\n")
    assert (POLICY in [step.change.target for step in place.plan(foretell=foretell)]) == foretell


def test_mode_and_owner_go_back_with_the_bytes_and_alone(place: Place) -> None:
    run = place.begin()
    status = os.stat(place.host.path(API))
    place.change(run, API, "kind: Pod  # more\n")
    for path in (API, ETCD):
        run.save_step(path, content=False, after=[0o600, status.st_uid, status.st_gid])
        os.chmod(place.host.path(path), 0o600)
    steps = place.plan()
    assert told(steps) == [(FILES, "set", "attributes", ETCD), (STATIC_PODS, "update", "manifest", API)]
    assert [t.cast(t.Any, step.saved).mode for step in steps] == [0o644, 0o644]
    assert "0600" in str(steps[0].change.before)
    assert "0644" in str(steps[0].change.after)


def test_a_key_whose_bytes_are_kept_no_longer_is_one_all_the_same(place: Place) -> None:
    """As an administrator's kubeconfig, which names files by now."""
    path, key = "/etc/kubernetes/admin.conf", "client-key-data: QUFBQQ==\n"
    place.write(path, key, 0o600)
    place.change(place.begin(), path, "client-key: /a.key\n")
    prune(place.host, 0, 1, 1e9, "z")
    assert place.plan() == []
    assert f"Keys and certificates never come back: {path} stay as they are" in place.not_done


def test_a_mode_that_somebody_else_set_since_stays(place: Place) -> None:
    run = place.begin()
    status = os.stat(place.host.path(ETCD))
    run.save_step(ETCD, content=False, after=[0o600, status.st_uid, status.st_gid])
    os.chmod(place.host.path(ETCD), 0o640)
    assert place.plan() == []
    assert f"Owner and mode of {ETCD} has been changed by someone else since run run-1" in place.not_done


def test_two_runs_go_back_in_one_step_and_the_last_one_alone(place: Place) -> None:
    for text in ("kind: Pod  # one\n", "kind: Pod  # two\n"):
        place.change(place.begin(), API, text)
    (both,) = place.plan()
    assert (both.change.after, both.run_id) == ("kind: Pod\n", "run-1")
    (last,) = place.plan("run-2")
    assert (last.change.after, last.run_id) == ("kind: Pod  # one\n", "run-2")


def test_somebody_elses_bytes_stay_and_are_named_with_where_the_old_ones_are(place: Place) -> None:
    place.change(place.begin(), API, "kind: Pod  # ours\n")
    place.write(API, "kind: Pod  # theirs\n")
    assert place.plan() == []
    assert f"{API} has been changed by someone else since run run-1, so it was left as it is" in place.not_done
    assert "/var/lib/kubeharden/backups/run-1" in place.not_done


def test_bytes_go_back_to_what_somebody_made_between_two_runs(place: Place) -> None:
    place.change(place.begin(), API, "kind: Pod  # ours\n")
    place.write(API, "kind: Pod  # theirs\n")
    place.change(place.begin(), API, "kind: Pod  # ours again\n")
    (step,) = place.plan()
    assert step.change.after == "kind: Pod  # theirs\n"
    assert f"{API} was changed by someone else after run run-1, so it goes back to that change only." in place.not_done


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/kubernetes/pki/apiserver.key", "a key"),
        ("/etc/kubernetes/pki/apiserver.crt", "a certificate"),
        ("/etc/kubernetes/scheduler.conf", "client-key-data: abc\n"),
        ("/etc/kubernetes/some", "-----BEGIN PRIVATE KEY-----\n"),
    ],
)
@pytest.mark.parametrize("existed", [True, False])
def test_keys_and_certificates_never_come_back(place: Place, path: str, text: str, existed: bool) -> None:
    if existed:
        place.write(path, f"older {text}")
    place.change(place.begin(), path, text)
    assert [step for step in place.plan() if step.change.target == path] == []
    assert f"Keys and certificates never come back: {path} stay as they are" in place.not_done


def test_a_directory_stays_while_something_else_is_in_it(place: Place) -> None:
    run = place.begin()
    run.save_changes([Change("directory", "/var/log/audit", "create")])
    make_directory(place.host.path("/var/log/audit"), 0o700)
    assert told(place.plan())[0] == (FILES, "remove", "directory", "/var/log/audit")
    place.write("/var/log/audit/audit.log", "evidence")
    assert place.plan() == []
    assert place.undo is not None
    assert "/var/log/audit stays, since there is 1 more in it than was put there." in place.undo.notes


def test_a_file_that_somebody_removed_since_is_left_so(place: Place) -> None:
    place.change(place.begin(), API, "kind: Pod  # more\n")
    os.unlink(place.host.path(API))
    assert place.plan() == []  # whoever removed it is somebody else


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [("sysctl", "0", "10"), ("override", None, "/usr/lib/x 0600 root root\n"), ("override", "a", "b")],
)
def test_what_is_no_file_goes_back_unless_somebody_changed_it(
    place: Place, kind: str, before: str | None, after: str
) -> None:
    place.begin().note(kind, "name", before=before, after=after)
    where = place.kernel if kind == "sysctl" else place.overrides
    where["name"] = after
    (step,) = place.plan()
    assert (step.value, step.change.action) == (before, "remove" if before is None else "set")
    where["name"] = "theirs"
    assert place.plan() == []
    assert f"{kind} name has been changed by someone else" in place.not_done


def test_a_user_goes_where_it_is_still_there(place: Place) -> None:
    place.begin().note("user", "etcd")
    assert place.plan() == []
    place.users.add("etcd")
    assert told(place.plan()) == [(FILES, "remove", "user", "etcd")]


def test_settings_of_the_kernel_stay_while_the_kubelet_insists_on_them(place: Place) -> None:
    run = place.begin()
    run.note("sysctl", "kernel.panic", before="0", after="10")
    place.kernel["kernel.panic"] = "10"
    place.change(run, SYSCTLS, "kernel.panic = 10\n")
    place.write(KUBELET_FILE, "kind: KubeletConfiguration\nprotectKernelDefaults: true\n")
    assert place.plan() == []
    assert f"sysctl kernel.panic stays, since {KUBELET_FILE} has protectKernelDefaults." in place.not_done


@pytest.mark.parametrize("foretell", [True, False])
def test_they_go_with_the_kubelets_configuration(place: Place, foretell: bool) -> None:
    run = place.begin()
    run.note("sysctl", "kernel.panic", before="0", after="10")
    place.kernel["kernel.panic"] = "10"
    place.change(run, KUBELET_FILE, "kind: KubeletConfiguration\nprotectKernelDefaults: true\n")
    kinds = [step.change.kind for step in place.plan(foretell=foretell)]
    assert kinds == ["file", "sysctl"]


def test_what_stays_is_named(place: Place) -> None:
    run = place.begin()
    run.note("package", "python3-yaml")
    run.note("one_way", "The certificate", why="it cannot be taken back.")
    assert place.plan() == []
    assert place.undo is not None
    assert place.undo.notes == ["The package python3-yaml, which run run-1 installed, stays; remove it by hand."]
    assert place.not_done == "The certificate of run run-1 stays: it cannot be taken back."


def test_a_file_that_is_no_text_is_told_by_its_digests(place: Place) -> None:
    path = place.root / "etc" / "binary"
    path.write_bytes(b"\xff")
    run = place.begin()
    run.save_step("/etc/binary")
    path.write_bytes(b"\xfe")
    (step,) = place.plan()
    assert (step.change.before, step.change.after) == (None, None)
    assert step.change.before_sha256 != step.change.after_sha256


def test_the_steps_do_not_depend_on_what_was_put_back_already(place: Place) -> None:
    """The bytes of a manifest are back, its policy is not: a rollback died in between."""
    run = place.begin()
    place.change(run, POLICY, "kind: Policy\n")
    place.change(run, API, f"kind: Pod  # {POLICY}\n")
    place.write(API, "kind: Pod\n")
    assert [step.change.target for step in place.plan()] == [POLICY, "/etc/kubernetes/kubeharden"]


# ---- what API servers verify


@pytest.mark.parametrize(
    ("api_servers", "words"),
    [
        ({"cp1": False, "cp2": False}, ""),
        ({"cp1": False, "cp2": True}, "kube-apiserver on cp2 verifies what kubelets serve"),
        ({"cp1": True, "cp2": None}, "kube-apiserver on cp1 verifies what kubelets serve"),
        ({"cp1": False, "cp2": None}, "cp2 took no part in this rollback, and kube-apiserver may verify there"),
        ({}, "no control plane took part in this rollback, and kube-apiserver may verify there"),
    ],
)
def test_kubelets_are_verified_as_long_as_one_api_server_does_or_may(
    api_servers: dict[str, bool | None], words: str
) -> None:
    assert still_verified(api_servers).startswith(words)
    assert bool(still_verified(api_servers)) == bool(words)


SERVES = "kind: KubeletConfiguration\nserverTLSBootstrap: true\n"
NAMED = "kind: KubeletConfiguration\nserverTLSBootstrap: true\ntlsCertFile: /var/lib/kubelet/pki/s.pem\n"


@pytest.mark.parametrize(
    ("path", "before", "after", "stays"),
    [
        (KUBELET_FILE, "kind: KubeletConfiguration\n", SERVES, True),
        (KUBELET_FILE, "kind: KubeletConfiguration\n", NAMED, True),
        (KUBELET_FILE, "kind: KubeletConfiguration\n", "kind: KubeletConfiguration\ntlsCertFile: /a\n", True),
        (KUBELET_FILE, SERVES, NAMED, False),  # it asks for one all the same
        (KUBELET_FILE, SERVES, f"{SERVES}maxPods: 5\n", False),
        (KUBELET_FILE, "kind: KubeletConfiguration\n", "kind: KubeletConfiguration\nmaxPods: 5\n", False),
        (KUBELET_FLAGS, "", 'KUBELET_KUBEADM_ARGS="--rotate-server-certificates=true"\n', True),
        (KUBELET_FLAGS, "", 'KUBELET_KUBEADM_ARGS="--tls-cert-file=/a"\n', True),
        (KUBELET_FLAGS, "", 'KUBELET_KUBEADM_ARGS="--v=4"\n', False),
        # What beats its own file, and was taken out for it to ask.
        (OVERRIDES, "KUBELET_EXTRA_ARGS=--rotate-server-certificates=false\n", "KUBELET_EXTRA_ARGS=\n", True),
        (OVERRIDES, "KUBELET_EXTRA_ARGS=--read-only-port=10255\n", "KUBELET_EXTRA_ARGS=\n", False),
        (DROP_IN, "serverTLSBootstrap: false\n", "serverTLSBootstrap: true\n", True),
        (DROP_IN, "readOnlyPort: 10255\n", "readOnlyPort: 0\n", False),
    ],
)
def test_a_kubelet_keeps_its_serving_certificate_while_it_is_verified(
    place: Place, path: str, before: str, after: str, stays: bool
) -> None:
    place.write(path, before)
    place.change(place.begin(), path, after)
    assert [step.change.target for step in place.plan()] == [path]
    steps = place.plan(verified="cp1 looks")
    assert [step.change.target for step in steps] == ([] if stays else [path])
    assert place.undo is not None
    words = [f"{path} stays as it is, since cp1 looks: of a kubelet that signs"] if stays else []
    assert [sentence[: len(words[0])] for sentence in place.undo.withheld] == words


def test_with_it_stay_the_kernels_settings_on_which_it_insists(place: Place) -> None:
    run = place.begin()
    run.note("sysctl", "kernel.panic", before="0", after="10")
    place.kernel["kernel.panic"] = "10"
    place.change(run, KUBELET_FILE, f"{SERVES}protectKernelDefaults: true\n")
    assert place.plan(verified="cp1 looks") == []
    assert "sysctl kernel.panic stays" in place.not_done
