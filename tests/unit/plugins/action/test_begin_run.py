# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user set is checked where it is written; a rollback writes nothing of it."""

from __future__ import annotations

import types
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.action.begin_run import ActionModule

WAIVER = {"control": "my-own", "reason": "r", "owner": "o", "expires": "2999-01-01"}
USERS = {
    "kubeharden_extra_flags": {"kube-apiserver": {"etcd-servers": "https://elsewhere"}, "no-such-component": {}},
    "kubeharden_waivers": [WAIVER],
    "kubeharden_controls_files": ["/there/is/none.yml"],
    "kubeharden_pki_authorities": {"nonsense": {}},
    "kubeharden_pki_endpoint": "https://api.example.org:6443",
}


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., dict[str, t.Any]]:
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})

    def begun(
        variables: dict[str, t.Any],
        skipped: t.Sequence[str] = (),
        groups: t.Mapping[str, t.Any] = types.MappingProxyType({}),
        **arguments: t.Any,
    ) -> dict[str, t.Any]:
        action = ActionModule.__new__(ActionModule)
        given = {"report_dir": str(tmp_path / "report"), "hosts": ["cp1"], **arguments}
        action._task = types.SimpleNamespace(args=given, check_mode=True)
        action._loader = DataLoader()
        action._templar = types.SimpleNamespace(template=lambda value: value)
        known = {
            "ansible_play_hosts_all": ["cp1"],
            "hostvars": dict.fromkeys(["cp1", *given["hosts"]], variables),
            "groups": {"all": ["cp1"], **groups},
            "ansible_run_tags": ["all"],
            "ansible_skip_tags": skipped,
        }
        return action.run(None, known)

    return begun


def test_what_the_user_set_is_checked(begin: t.Callable[..., dict[str, t.Any]]) -> None:
    result = begin(USERS)
    assert result["failed"]
    for words in ("KH002", "KH003", "KH301: kubeharden_pki_endpoint: 'https://api.example.org:6443'", "my-own"):
        assert words in result["msg"]


def test_flags_that_no_version_has_are_told_with_what_else_is_wrong(begin: t.Callable[..., dict[str, t.Any]]) -> None:
    """Alone they wait for the versions of the hosts, so that an error there has the host's name."""
    flags = {
        "kube-apiserver": {"profilling": "false", "profiling": "false", "--port": "0"},
        "etcd": {"no-such-flag-of-etcd": 1},
        "kube-proxy": {"no-such-field": 1},
    }
    message = begin({"kubeharden_extra_flags": flags, "kubeharden_profil": "cis"})["msg"]
    assert (
        "KH002: kubeharden_extra_flags: no version of kube-apiserver from 1.33 to 1.37 has a flag --profilling; the "
        "nearest that it has is --profiling."
    ) in message
    assert message.count("no version of kube-apiserver") == 1
    assert "no version of etcd from 3.5 to 3.7 has a flag --no-such-flag-of-etcd" in message
    assert "no version of kube-proxy" not in message  # it has no such field, which is said once
    alone = {"kube-apiserver": {"profilling": "false"}}
    assert "failed" not in begin({"kubeharden_extra_flags": alone})
    assert (
        "no version of"
        not in begin({"kubeharden_extra_flags": alone, "kubeharden_profil": 1}, checks_user=False)["msg"]
    )


@pytest.mark.parametrize("value", [False, "no"])
def test_nothing_of_it_is_checked_where_nothing_of_it_is_written(
    begin: t.Callable[..., dict[str, t.Any]], value: t.Any
) -> None:
    result = begin(USERS, checks_user=value)
    assert "failed" not in result
    assert result["run_id"]
    assert (result["left_out"], result["notes"]) == ({"everywhere": [], "on_hosts": {}}, [])


def test_names_of_variables_and_the_runs_are_checked_in_any_case(begin: t.Callable[..., dict[str, t.Any]]) -> None:
    result = begin({**USERS, "kubeharden_profil": "cis"}, checks_user=False, run_id="a/b")
    assert "KH001" in result["msg"]
    assert "KH005" in result["msg"]
    assert "KH002" not in result["msg"]


@pytest.mark.parametrize("checks_user", [True, False])
def test_values_of_another_kind_are_refused_before_anything_is_made_of_them(
    begin: t.Callable[..., dict[str, t.Any]], checks_user: bool
) -> None:
    wrong = {"kubeharden_pki_authorities": "foo", "kubeharden_profile": "CIS"}
    result = begin({**USERS, **wrong}, checks_user=checks_user)
    assert result["failed"]
    assert result["msg"] == (
        "KH016: kubeharden_pki_authorities is none; it must be a mapping. kubeharden_profile is CIS; it must be "
        "one of baseline, cis. Nothing was changed; correct the inventory or the command line."
    )


def test_a_report_directory_that_takes_no_file_is_told_at_the_begin(
    begin: t.Callable[..., dict[str, t.Any]], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    result = begin({}, report_dir=str(tmp_path / "file"))
    assert result["msg"].startswith("KH201: The reports of the run cannot be written to ")
    assert result["msg"].endswith("Nothing was changed.")


def test_hosts_that_are_in_no_group_of_the_cluster_are_told(begin: t.Callable[..., dict[str, t.Any]]) -> None:
    notes = begin({}, groups={"kube_control_plane": ["cp2"]}, hosts=["cp2"])["notes"]
    assert [note.partition(":")[0] for note in notes] == ["cp1 of the inventory"]


KUBECONFIG = {"kubeharden_kubeconfig": "/root/api.conf"}


@pytest.mark.parametrize("checks_user", [True, False])
def test_nodes_speak_where_somebody_else_keeps_the_control_plane(
    begin: t.Callable[..., dict[str, t.Any]], checks_user: bool
) -> None:
    nodes = {"kube_node": ["w2", "w1"], "all": ["w1", "w2"]}
    given: dict[str, t.Any] = {"hosts": ["w1", "w2"], "checks_user": checks_user}
    assert begin(KUBECONFIG, groups=nodes, **given)["asking_nodes"] == ["w1", "w2"]
    assert begin({}, groups=nodes, **given)["asking_nodes"] == []
    assert begin(KUBECONFIG, groups={**nodes, "kube_control_plane": ["cp1"]}, **given)["asking_nodes"] == []


def test_a_run_that_would_leave_its_own_discovery_out_is_refused(begin: t.Callable[..., dict[str, t.Any]]) -> None:
    assert "KH017: --skip-tags: discover is part of every run" in begin({}, skipped=["discover"])["msg"]


def test_the_settings_are_those_of_the_clusters_first_host(begin: t.Callable[..., dict[str, t.Any]]) -> None:
    """What the task was filled in with is that of the first host of all, which may be a bastion."""
    newest = {"kubeharden_newest_versions": {"1.37": "newest"}}
    assert "KH006" in begin(newest, newest_versions={})["msg"]
    assert "KH013" in begin(newest, newest_versions={}, hosts=[])["msg"]


@pytest.mark.parametrize("checks_user", [True, False])
def test_nodes_come_in_batches_on_every_way(begin: t.Callable[..., dict[str, t.Any]], checks_user: bool) -> None:
    assert begin({}, checks_user=checks_user)["batch"] == ["1", "25%"]
    assert begin({"kubeharden_batch": 3}, checks_user=checks_user, batch=[1])["batch"] == ["3"]
    assert "KH015" in begin({"kubeharden_batch": 0}, checks_user=checks_user, batch=[1])["msg"]
