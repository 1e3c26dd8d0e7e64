# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench` times verify.yml on three control planes and two workers, and refuses a call more than there may be.

What it takes for 300 hosts are 300 hosts, and it ends where kube-bench takes less of one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import bench.__main__ as measures
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files, verdicts
from bench import verify

PLANES, WORKERS = ["cp1", "cp2", "cp3"], ["w1", "w2"]
ONE_CALL = "Invoked with root=/\n"
RECAP = "".join(f"{host} : ok=1 changed=0 unreachable=0 failed=0\n" for host in (*PLANES, *WORKERS))


def answers(starts: dict[str, int]) -> tuple[object, list[list[str]]]:
    """Stand in for the commands of a cluster: each journal has as many new lines as modules were started."""
    asked: list[list[str]] = []

    def run(command: Sequence[object]) -> str:
        words = [str(word) for word in command]
        asked.append(words)
        if "--show-cursor" in words:
            return "-- cursor: s=1;i=2\n"
        if any(word.startswith("--after-cursor") for word in words):
            return ONE_CALL * starts[words[3]] + "something else\n"
        return f"PLAY RECAP ***\n{RECAP}" if words[0] == "ansible-playbook" else ""

    return run, asked


def test_verify_is_timed_on_all_hosts_and_its_calls_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [*PLANES, *WORKERS]
    run, asked = answers({**dict.fromkeys(names, 1), "cp1": 2})
    monkeypatch.setattr(measures, "run", run)
    wall, calls = measures.whole_verify(Path("/lab"), Path("/lab/inventory.yml"), names, 3)
    assert (wall["name"], wall["unit"]) == ("verify_wall_3_2", "s")
    assert calls == {"name": "verify_module_starts_3_2", "value": 6, "unit": "starts"}
    plays = [words for words in asked if words[0] == "ansible-playbook"]
    assert len(plays) == 2 + 3
    assert all(words[3].endswith("/verify.yml") and "--limit" not in words for words in plays)


@pytest.mark.parametrize("wrong", [{"cp1": 3}, {"w1": 2}, {"cp1": 1}])
def test_a_call_more_or_less_is_an_error(monkeypatch: pytest.MonkeyPatch, wrong: dict[str, int]) -> None:
    names = [*PLANES, *WORKERS]
    run, _asked = answers({**dict.fromkeys(names, 1), "cp1": 2, **wrong})
    monkeypatch.setattr(measures, "run", run)
    with pytest.raises(measures.BenchError, match=json.dumps(list(wrong))[2:-2]):
        measures.whole_verify(Path("/lab"), Path("/lab/inventory.yml"), names, 1)


def test_verify_must_take_less_than_kube_bench() -> None:
    assert measures.less_than_kube_bench([0.5, 9.0, 0.4], [1.0, 1.2, 0.9]) == 2.0
    for theirs in ([0.5], [0.4]):
        with pytest.raises(measures.BenchError, match="verify takes less of a host"):
            measures.less_than_kube_bench([0.5], theirs)


def evidence_of(name: str) -> dict[str, Any]:
    facts = {
        "issuer": "CN=kubernetes", "own_key": False, "issuer_key_id": "", "key_id": "", "days_left": 90, "age_days": 90,
        "seconds_left": 90 * 86400, "seconds_valid": 180 * 86400, "names": [name, f"not{name}"], "used_by": [],
    }  # fmt: skip
    leaf = {"path": "/a.crt", "subject": f"CN=system:node:{name}", "sha256": "a" * 64, "authority": False, **facts}
    authority = {**leaf, "path": "/ca.crt", "subject": "CN=kubernetes", "sha256": "b" * 64, "authority": True}
    certificates = [leaf, authority, {"path": "/c", "problem": "no certificate"}]
    files = {"kubelet_configuration": [{"path": "/k", "mode": "0600", "owner": "root", "group": "root"}]}
    return {
        "evidence": {"live": True, "node_name": name, "certificates": certificates, "files": files, "components": {}},
        "problem": "",
    }


def parts(value: Any) -> Iterator[int]:
    """Every mapping and list within a value, by what tells two of them apart."""
    if isinstance(value, (dict, list)):
        yield id(value)
        for inner in value.values() if isinstance(value, dict) else value:
            yield from parts(inner)


def test_three_hundred_hosts_are_not_one() -> None:
    configz = {"old": {"configuration": {"maxPods": 5}}}
    seen = {
        "control_plane": evidence_of("older"),
        "worker": evidence_of("old"),
        "cluster": {"evidence": {"configz": configz, "kubelets": {"old": "1.37.1"}}, "problem": ""},
    }
    hosts, cluster, planes = verify.inventory_of(json.loads(json.dumps(seen)))
    assert (len(hosts), planes) == (300, ["cp1", "cp2", "cp3"])
    each = [set(parts(one)) for one in hosts.values()]
    assert sum(map(len, each)) == len(set().union(*each))
    assert [hosts[name]["evidence"]["node_name"] for name in ("cp2", "w297")] == ["cp2", "w297"]
    leaf, authority, _none = hosts["w7"]["evidence"]["certificates"]
    assert (leaf["subject"], leaf["names"]) == ("CN=system:node:w7", ["w7", "notold"])
    assert len({one["evidence"]["certificates"][0]["sha256"] for one in hosts.values()}) == 300
    assert authority["sha256"] == "b" * 64
    # Its kubelet is asked by its own name, and not all are alike.
    assert set(cluster["evidence"]["configz"]) == set(cluster["evidence"]["kubelets"]) == set(hosts)
    settings = verdicts.Settings("bench", "baseline", "0", 1_795_500_000.0)
    document = verdicts.build(verdicts.Seen(hosts, cluster, planes), catalogue_files.load(), settings)
    statuses = [one["status"] for one in document["results"] if one["control"] == "files-kubelet-configuration"]
    assert (statuses.count("fail"), statuses.count("pass")) == (30, 270)
