# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user set is checked before any host is asked; dead runs of this controller are known, others' never."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import typing as t

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.plugin_utils import controller

KNOWN = ["kubeharden_gate_timeout", "kubeharden_profile", "kubeharden_root", "kubeharden_trial"]


# ---- names of variables


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("kubeharden_profil", "kubeharden_profile"),
        ("kubeharden_gatetimeout", "kubeharden_gate_timeout"),
        ("kubeharden_Trial", "kubeharden_trial"),
        ("kubeharden_", "kubeharden_root"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest_known_one(name: str, nearest: str) -> None:
    problems = controller.problems_with_names([name], KNOWN)
    assert problems == [f"There is no variable {name}; the nearest is {nearest}."]


def test_other_peoples_variables_are_nobodys_business() -> None:
    names = ["kube_version", "kubeharden", "ansible_host", "my_kubeharden_profile", "__kubeharden_run", *KNOWN]
    assert controller.problems_with_names(names, KNOWN) == []


@pytest.mark.parametrize("name", ["kubeharden_rotation", "kubeharden_rotation_at"])
def test_a_name_that_a_later_version_brings_has_no_effect_and_that_is_said(name: str) -> None:
    assert controller.problems_with_names([name], KNOWN) == [f"{name} is reserved and has no effect in this version."]


def test_a_reserved_name_that_is_known_by_now_is_known() -> None:
    assert controller.problems_with_names(["kubeharden_fail_on"], ["kubeharden_fail_on"]) == []


def test_problems_come_in_one_order_and_once() -> None:
    names = ["kubeharden_zz", "kubeharden_aa", "kubeharden_zz"]
    assert [problem.split()[4][:-1] for problem in controller.problems_with_names(names, KNOWN)] == [
        "kubeharden_aa",
        "kubeharden_zz",
    ]


def test_the_known_variables_are_those_of_the_argument_specification() -> None:
    roles = controller.COLLECTION / "roles" / "kubeharden"
    defaults = yaml.safe_load((roles / "defaults" / "main.yml").read_text(encoding="utf-8"))
    assert controller.known_variables() == sorted(defaults)


def test_a_playbook_is_ours_wherever_it_is_started_from(tmp_path: pathlib.Path) -> None:
    root = controller.COLLECTION
    assert controller.is_ours([str(root / "harden.yml")])
    assert controller.is_ours([str(root / "playbooks" / "verify.yml"), "kubeharden.core.harden"])
    assert not controller.is_ours([str(root / "site.yml")])
    assert not controller.is_ours([str(tmp_path / "harden.yml")])


# ---- names of runs


def test_a_run_is_named_by_its_time_in_utc_and_four_random_digits() -> None:
    names = {controller.new_run_id(1_767_225_600.0) for _number in range(8)}
    assert all(re.fullmatch(r"20260101T000000Z-[0-9a-f]{4}", name) for name in names)
    assert len(names) > 1
    assert all(controller.problems_with_run_id(name) == [] for name in names)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", "-x", "a b", "a\n", "ü"])
def test_what_is_no_name_of_a_directory_is_none_of_a_run(name: str) -> None:
    problems = controller.problems_with_run_id(name)
    assert len(problems) == 1
    assert "is no name of a run" in problems[0]


# ---- the user's own flags


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ({"kube-apiserver": {"request-timeout": "30s", "profiling": False, "audit-log-maxage": 90}}, ""),
        ({"kube-apiserver": {"request_timeout": "30s"}}, ""),
        ({"kube-apiserver": {}}, ""),
        ({}, ""),
        ([], "must be a mapping of component to flags"),
        ("x", "must be a mapping of component to flags"),
        ({"kube-apiservr": {}}, "there is no component kube-apiservr; the nearest is kube-apiserver."),
        ({"etcd": {"heartbeat-interval": 200}}, ""),
        ({"etcd": {"data-dir": "/x"}}, "data-dir of etcd is refused: it says which member of which cluster a host is"),
        ({"etcd": {"initial_cluster": "a=b"}}, "initial_cluster of etcd is refused"),
        ({"etcd": {"listen-peer-urls": "https://x"}}, "listen-peer-urls of etcd is refused"),
        ({"kube-apiserver": {"secure-port": 0}}, "secure-port of kube-apiserver must not be 0"),
        ({"kube-controller-manager": {"secure_port": "0x0"}}, "secure_port of kube-controller-manager must not be 0"),
        ({"kube-scheduler": {"secure-port": "00"}}, "secure-port of kube-scheduler must not be 0"),
        ({"kube-scheduler": {"secure-port": 10260}}, ""),
        ({"kubelet": {"v": 4, "node-labels": "a=b,c=d"}}, ""),
        ({"kubelet": {"config": "/x"}}, "config of the kubelet is refused"),
        ({"kubelet": {"node-labels": "a=b c"}}, "the value of kubelet node-labels must be without blanks"),
        ({"kube-proxy": {"proxy-mode": "nftables", "nodeport_addresses": "primary"}}, ""),
        ({"kube-proxy": {"cleanup": True}}, "has no field for cleanup"),
        ({"kube-proxy": {"hostname-override": "x"}}, "has no field for hostname-override"),
        ({"kube-apiserver": ["x"]}, "kube-apiserver must be a mapping of flag to value"),
        ({"kube-apiserver": None}, "kube-apiserver must be a mapping of flag to value"),
        ({"kube-apiserver": {"--profiling": False}}, "write profiling instead of --profiling"),
        ({"kube-apiserver": {"encryption-provider-config": "/x"}}, "encryption-provider-config is refused"),
        ({"kube-apiserver": {"encryption_provider_config": "/x"}}, "encryption-provider-config is refused"),
        ({"kube-apiserver": {"encryption-provider-config=/x": "y"}}, "is no name of a flag"),
        ({"kube-apiserver": {"a b": "y"}}, "is no name of a flag"),
        ({"kube-apiserver": {1: "y"}}, "is no name of a flag"),
        ({"kube-apiserver": {"v": None}}, "the value of kube-apiserver v must be a text, a number or true or false"),
        ({"kube-apiserver": {"v": [1]}}, "kube-apiserver v takes one value and no list"),
        ({"kube-apiserver": {"enable-admission-plugins": ["A", "B"]}}, "takes one value and no list"),
        ({"kubelet": {"reserved-memory": ["0:memory=1Gi"]}}, "takes one value and no list"),
        ({"kube-apiserver": {"tls_sni_cert_key": ["/a.crt,/a.key", "/b.crt,/b.key"]}}, ""),
        ({"kube-apiserver": {"tls-sni-cert-key": "/a.crt,/a.key"}}, ""),
        ({"kube-apiserver": {"service-account-issuer": []}}, "must have texts, and at least one"),
        ({"kube-apiserver": {"service-account-issuer": ["a", None]}}, "must have texts, and at least one"),
        ({"kube-apiserver": {"v": {}}}, "the value of kube-apiserver v must be a text"),
    ],
)
def test_flags_are_checked_before_any_host_is_asked(extra: t.Any, problem: str) -> None:
    problems = controller.problems_with_extra_flags(extra)
    if problem:
        assert len(problems) == 1
        assert problem in problems[0]
    else:
        assert problems == []


# ---- dead runs


def test_this_process_is_alive_and_known_by_its_start() -> None:
    number, start = controller.process_of(os.getpid()).split()
    assert int(number) == os.getpid()
    assert int(start) > 0


def test_a_process_that_ended_is_none() -> None:
    done = subprocess.Popen(["true"])
    done.wait()
    assert controller.process_of(done.pid) == ""


def holder(process: str, name: str | None = None) -> dict[str, str]:
    return {"controller": name or controller.identity()[0], "process": process}


def test_the_run_itself_is_not_dead() -> None:
    """The parent of a worker is the playbook."""
    name, process = controller.identity()
    assert int(process.split()[0]) == os.getppid()
    assert controller.is_dead(holder(process), name) is False


def test_a_run_whose_process_ended_or_was_followed_by_another_of_its_number_is_dead() -> None:
    name, process = controller.identity()
    number, start, namespace = process.split()
    assert controller.is_dead(holder(f"{number} {int(start) + 1} {namespace}"), name) is True
    assert controller.is_dead(holder(f"{number} {int(start) + 1}"), name) is True
    done = subprocess.Popen(["true"])
    done.wait()
    assert controller.is_dead(holder(f"{done.pid} 1 {namespace}"), name) is True


@pytest.mark.parametrize("process", ["", "1", "1 1 pid:[1]"])
def test_of_what_cannot_be_seen_nobody_says_that_it_is_dead(process: str) -> None:
    """Another pid namespace: a container of the same machine with the same name."""
    assert controller.is_dead(holder(process), controller.identity()[0]) is False


@pytest.mark.parametrize("name", ["elsewhere 1234", ""])
def test_a_run_of_another_controller_is_never_dead(name: str) -> None:
    assert controller.is_dead({"controller": name, "process": "1 1"}, controller.identity()[0]) is False


@pytest.mark.parametrize(("minutes", "problems"), [(5, 0), ("60", 0), (1440, 0), (4, 1), (0, 1), (-1, 1), (1441, 1)])
def test_minutes_of_a_token(minutes: object, problems: int) -> None:
    assert len(controller.problems_with_bootstrap_minutes(minutes)) == problems


@pytest.mark.parametrize(
    ("newest", "problems"),
    [
        ({}, 0),
        ({"1.37": "1.37.4", "1.36": "1.36.9"}, 0),
        ({1.37: "1.37.4"}, 0),
        ({"1.37": "1.36.4"}, 1),
        ({"1.37": 1.37, "1.36": "v1.36.1"}, 2),
        (["1.37.4"], 1),
    ],
)
def test_a_list_of_newest_versions(newest: object, problems: int) -> None:
    assert len(controller.problems_with_newest_versions(newest)) == problems


# ---- batches


@pytest.mark.parametrize(
    ("given", "batch"),
    [(5, ["5"]), ("9%", ["9%"]), ("1, 9%", ["1", "9%"]), ([1, "9%"], ["1", "9%"]), (controller.BATCH, ["1", "25%"])],
)
def test_a_batch_is_a_number_or_a_list(given: object, batch: list[str]) -> None:
    assert controller.batch_of(given) == batch
    assert controller.problems_with_batch(batch) == []


@pytest.mark.parametrize("batch", [[], ["0"], ["-1"], ["0%"], ["101%"], ["all"], ["1", ""], ["1.5"], ["{'a': 1}"]])
def test_what_is_no_number_of_hosts_is_refused(batch: list[str]) -> None:
    """Ansible takes zero for all of them at once, and ends with a traceback at a word."""
    (problem,) = controller.problems_with_batch(batch)
    assert problem.startswith("kubeharden_batch: ")


@pytest.mark.parametrize(
    ("batch", "count", "sizes"),
    [
        (["1", "25%"], 0, []),
        (["1", "25%"], 2, [1, 1]),
        (["1", "25%"], 9, [1, 2, 2, 2, 2]),
        (["1", "25%"], 300, [1, 75, 75, 75, 74]),
        (["100%"], 7, [7]),
        (["3"], 7, [3, 3, 1]),
        (["29%"], 100, [28, 28, 28, 16]),
    ],
)
def test_batches_are_as_large_as_ansible_makes_them(batch: list[str], count: int, sizes: list[int]) -> None:
    pytest.importorskip("ansible", reason="held against Ansible's own arithmetic")
    from ansible.utils.helpers import pct_to_int  # noqa: PLC0415  (a host's Python has no ansible)

    assert controller.batch_sizes(batch, count) == sizes
    if count:
        assert controller.batch_sizes(batch, count)[0] == pct_to_int(batch[0], count)
