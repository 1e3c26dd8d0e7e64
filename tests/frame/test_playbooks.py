# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""preflight.yml foretells what harden.yml does: the same plays but its last, which verifies; each is in check mode."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.checkout import ROOT
from tools.runs import ansible

pytestmark = pytest.mark.frame

# What preflight.yml has besides: its own word at the end.
OWN = ("check_mode", "vars")


TRIAL = "roles/harden_control_plane/tasks/trial.yml"


def plays(name: str) -> list[dict[str, Any]]:
    loaded = yaml.safe_load((ROOT / "playbooks" / f"{name}.yml").read_text(encoding="utf-8"))
    assert isinstance(loaded, list)
    return loaded


def test_preflight_has_the_plays_of_harden() -> None:
    bare = [
        [{key: play[key] for key in play if key not in OWN} for play in plays(name)] for name in ("preflight", "harden")
    ]
    assert bare[0] == bare[1][:-1]
    assert bare[1][-1]["name"] == "Verify what is in force now"


def test_every_play_of_preflight_is_in_check_mode() -> None:
    assert all(play["check_mode"] is True for play in plays("preflight"))
    assert len(plays("preflight")) > 5


def test_of_preflight_the_trial_alone_is_made_and_without_a_run_it_takes_its_own_lock() -> None:
    """--check leaves it out, and so does a directory: what stands for a host may have to be made for it."""
    tried = {play["name"]: play.get("vars") for play in plays("preflight") if play.get("vars")}
    assert tried == {
        "Look at certificates, and try what control planes become, on all hosts at once": {
            "__harden_control_plane_preflight": True
        },
        "End the run": {"__tell_ready": True},
    }
    assert [play for play in plays("harden") if "vars" in play] == []
    files = sorted((ROOT / "roles").glob("*/tasks/*.yml"))
    own = [
        task
        for path in files
        for task in yaml.safe_load(path.read_text(encoding="utf-8"))
        if task.get("check_mode", True) is not True
    ]
    ((trial, _stop), (task,)) = (yaml.safe_load((ROOT / TRIAL).read_text(encoding="utf-8")), own)
    assert task == trial
    words = "ansible_check_mode or (__harden_control_plane_preflight | default(false) and kubeharden_root != '/')"
    assert task["check_mode"].strip() == f"{{{{ {words} }}}}"
    asked = task["kubeharden.core.control_plane"]
    assert (asked["write"], asked["own_lock"]) == (False, "{{ __harden_control_plane_preflight | default(false) }}")


#: Groups that are made while a playbook runs.
MADE = ("kubeharden_candidates", "kubeharden_control_planes", "kubeharden_workers")


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: str(path.stem))
def test_no_play_names_a_group_that_is_not_made_yet(path: Path) -> None:
    """Ansible would warn of it wherever no task has run: --list-tags, --syntax-check, --start-at-task."""
    assert [play["hosts"] for play in plays(path.stem) if play["hosts"] in MADE] == []


def test_harden_stops_at_the_first_host_that_fails() -> None:
    assert all(play["any_errors_fatal"] is True for play in plays("harden")[:-2])


def test_control_planes_and_nodes_take_their_turn_by_name() -> None:
    """Names of tasks list the hosts: in another order they read as if that meant something."""
    kinds = ("{{ 'kubeharden_control_planes'", "{{ 'kubeharden_workers'")
    of_kind = [play for play in plays("harden") if play["hosts"].startswith(kinds)]
    assert [play["order"] for play in of_kind] == ["sorted"] * 4


def test_what_every_control_plane_becomes_is_tried_before_anything_is_written() -> None:
    """And by a play of all hosts, since all of them give their lock back where it fails."""
    names = [play["name"] for play in plays("harden")]
    begin, discover, tried, first = plays("harden")[:4]
    assert names.index(first["name"]) == 3
    assert (first["serial"], "serial" in tried) == (1, False)
    assert tried["hosts"] == discover["hosts"] != begin["hosts"]
    trial, stop = yaml.safe_load((ROOT / TRIAL).read_text(encoding="utf-8"))
    assert trial["kubeharden.core.control_plane"]["write"] is False
    assert stop["kubeharden.core.preflight"]["later_results"] == [trial["register"]]
    # Whatever kubeharden_trial says; and a host without a plan gives its lock back like the others.
    assert trial["when"] == "inventory_hostname in groups['kubeharden_control_planes'] | default([])"
    assert stop["when"] == "groups['kubeharden_control_planes'] is defined"
    assert "kubeharden_trial | bool" in trial["kubeharden.core.control_plane"]["trial"]
    (task,) = yaml.safe_load((ROOT / "roles/harden_control_plane/tasks/main.yml").read_text(encoding="utf-8"))
    written, asked = task["kubeharden.core.control_plane"], trial["kubeharden.core.control_plane"]
    # What is asked for is the same, else each control plane would be asked twice.
    assert {
        name: asked[name] for name in asked if name not in ("write", "trial", "own_lock")
    }.items() <= written.items()
    assert trial["register"] in written["planned"]
    assert trial["tags"] == stop["tags"] == task["tags"]


def test_certificates_are_looked_at_before_anything_is_written_as_they_are_seen_to_later() -> None:
    tasks = {
        name: yaml.safe_load((ROOT / f"roles/pki/tasks/{name}.yml").read_text(encoding="utf-8"))
        for name in ("look", "authorities", "leaves")
    }
    authorities, leaves, stop = tasks["look"]
    assert stop["kubeharden.core.preflight"]["later_results"] == [authorities["register"], leaves["register"]]
    for looks, later, module in (
        (authorities, tasks["authorities"][0], "kubeharden.core.pki_authority"),
        (leaves, tasks["leaves"][0], "kubeharden.core.pki_leaves"),
    ):
        asked, written = looks[module], later[module]
        assert asked["write"] is False
        assert looks["register"] in written["planned"]
        # What another playbook says by variables is what harden.yml leaves away.
        same = {name: asked[name] for name in asked if name not in ("write", "only", "policy")}
        assert same.items() <= written.items()
        assert asked.keys() - {"write"} == written.keys() - {"planned", "report_dir", "scope", "repair"}


def test_which_certificates_are_due_is_looked_at_on_all_hosts_before_the_first_is_renewed() -> None:
    """As they are renewed later, else each host would be asked twice."""
    tasks = {
        name: yaml.safe_load((ROOT / f"roles/pki/tasks/{name}.yml").read_text(encoding="utf-8"))
        for name in ("look_due", "leaves", "rotate")
    }
    discover, look, first = plays("rotate_certificates")[1:4]
    assert [task["ansible.builtin.import_role"]["tasks_from"] for task in look["tasks"]] == ["look_due"]
    assert look["hosts"] == discover["hosts"]
    assert ("serial" in look, first["serial"], look["any_errors_fatal"]) == (False, 1, True)
    leaves, stop = tasks["look_due"]
    assert stop["kubeharden.core.preflight"]["later_results"] == [leaves["register"]]
    asked, written = leaves["kubeharden.core.pki_leaves"], tasks["leaves"][0]["kubeharden.core.pki_leaves"]
    assert leaves["register"] in written["planned"]
    assert asked["write"] is False
    (rotate,) = tasks["rotate"]
    said = {"scope": asked["scope"], "repair": asked["repair"], "only": asked["only"]}
    assert said == {name: rotate["vars"][f"__pki_{name}"] for name in said}
    renew_all = rotate["vars"]["__pki_renew_all"].strip("{} ")
    assert asked["policy"] == written["policy"].replace("__pki_renew_all | default(false)", renew_all)
    same = {name: asked[name] for name in asked if name not in ("write", "policy", *said)}
    assert same.items() <= written.items()
    assert asked.keys() - {"write"} == written.keys() - {"planned", "report_dir"}


@pytest.mark.parametrize(
    ("groups", "seen"),
    [
        ({"cp1": "control_planes", "w1": "workers", "w2": "silent"}, "cp1 w1"),
        ({"w1": "workers", "w2": "workers"}, "w1 w2"),
        ({"w2": "silent"}, ""),
    ],
)
def test_owners_and_modes_are_set_on_every_host_that_was_understood(
    tmp_path: Path, groups: dict[str, str], seen: str
) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        yaml.safe_dump({"all": {"hosts": dict.fromkeys(groups), "vars": {"ansible_connection": "local"}}}),
        encoding="utf-8",
    )
    (real,) = (play for play in plays("harden") if play["name"] == "Set owners and modes, on all hosts at once")
    assert [role["role"] for role in real["roles"]] == ["kubeharden.core.harden_files"]
    begin: dict[str, Any] = {
        "hosts": "all",
        "gather_facts": False,
        "vars": {"kinds": groups},
        "tasks": [{"ansible.builtin.group_by": {"key": "kubeharden_{{ kinds[inventory_hostname] }}"}}],
    }
    told = {**{key: real[key] for key in real if key != "roles"}, "tasks": [{"ansible.builtin.debug": {"msg": "x"}}]}
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([begin, told]), encoding="utf-8")
    run = ansible(
        Path(sys.executable).parent, ["ansible-playbook", "-i", inventory, playbook], directory=tmp_path, home=tmp_path
    )
    assert run.code == 0, str(run)
    # Who is through first is said first.
    assert sorted(re.findall(r"^ok: \[(\w+)\] => ", run.output, re.MULTILINE)) == seen.split()


NAMES_OF_SPEAKERS = ("__kubeharden_speaker", "__discover_speaker", "__rollback_speaker")


@pytest.mark.parametrize(("silent", "speaker"), [("nobody", "cp1"), ("cp1", "cp2")])
def test_who_reads_the_api_is_who_speaks_for_the_run_in_whatever_order_the_inventory_has_them(
    tmp_path: Path, silent: str, speaker: str
) -> None:
    """Else what only one of them has read, such as namespaces to be spared, would be missing where it is asked for.

    One that cannot be reached, where that is allowed, is not among them.
    """
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        "kube_control_plane: {hosts: {cp3: , cp1: , cp2: }, vars: {ansible_connection: local}}\n", encoding="utf-8"
    )
    files = [str(ROOT / "roles" / role / "vars/main.yml") for role in ("kubeharden", "discover", "rollback")]
    is_silent = f"inventory_hostname == '{silent}'"
    speaks_instead = f"(inventory_hostname == '{speaker}' and '{silent}' != 'nobody')"
    play: dict[str, Any] = {
        "hosts": "all",
        "gather_facts": False,
        "vars_files": files,
        "vars": {"kubeharden_control_plane_group": "kube_control_plane"},
        "tasks": [
            {"ansible.builtin.assert": {"that": [f"{name} == 'cp1'" for name in NAMES_OF_SPEAKERS[1:]]}},
            {"ansible.builtin.set_fact": {"__discover_found": {"silent": True}}, "when": is_silent},
            {"ansible.builtin.group_by": {"key": "kubeharden_control_planes"}, "when": f"not {is_silent}"},
            {
                "ansible.builtin.assert": {
                    "that": [f"{name} == '{speaker}'" for name in NAMES_OF_SPEAKERS]
                    + [
                        f"{name} == {speaks_instead}"
                        for name in ("__discover_speaks_instead", "__rollback_speaks_instead")
                    ]
                },
            },
        ],
    }
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
    run = ansible(
        Path(sys.executable).parent, ["ansible-playbook", "-i", inventory, playbook], directory=tmp_path, home=tmp_path
    )
    assert run.code == 0, str(run)


@pytest.mark.parametrize(
    ("limit", "silent", "rotates", "speakers", "asked"),
    [
        ("all", "", "false", ("w1", "w1"), "w1 w3"),
        ("w2:w1", "", "false", ("w1", "w1"), "w1"),
        # What a run changed through another node goes back through that one, but nothing new is changed there.
        ("w2:w3", "", "false", ("", "w3"), "w3"),
        ("w2", "", "false", ("", ""), ""),
        ("all", "w1", "false", ("", "w3"), "w1 w3"),
        ("all", "", "true", ("", "w1"), "w1 w3"),
    ],
)
def test_where_there_is_no_control_plane_the_first_node_with_a_kubeconfig_speaks_and_no_other(
    tmp_path: Path, limit: str, silent: str, rotates: str, speakers: tuple[str, str], asked: str
) -> None:
    """That of the inventory, so that a run never speaks through one node today and through another one tomorrow."""
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        "kube_node: {hosts: {w3: , w1: , w2: }, vars: {ansible_connection: local}}\n", encoding="utf-8"
    )
    files = [str(ROOT / "roles" / role / "vars/main.yml") for role in ("kubeharden", "discover", "rollback")]
    tasks = {
        role: yaml.safe_load((ROOT / f"roles/{role}/tasks/main.yml").read_text(encoding="utf-8"))
        for role in ("discover", "rollback")
    }
    asks = {role: tasks[role][0]["kubeharden.core.discover"]["asks_api"] for role in tasks}
    groups = [
        task
        for role in tasks
        for task in tasks[role]
        if task.get("ansible.builtin.group_by", {}).get("key") == "kubeharden_speaking_nodes"
    ]
    assert len(groups) == 2
    play: dict[str, Any] = {
        "hosts": limit,
        "gather_facts": False,
        "vars_files": files,
        "vars": {
            "kubeharden_control_plane_group": "kube_control_plane",
            "__kubeharden_run": {"asking_nodes": ["w1", "w3"]},
            "__discover_allow_expired": f"{{{{ {rotates} }}}}",
        },
        "tasks": [
            {"ansible.builtin.set_fact": {"__discover_found": {"discovery": {}}}},
            {
                "ansible.builtin.set_fact": {"__discover_found": {"silent": True}},
                "when": f"inventory_hostname == '{silent}'",
            },
            {
                "ansible.builtin.assert": {
                    "that": [
                        f"__discover_speaker == '{speakers[0]}'",
                        f"__rollback_speaker == '{speakers[1]}'",
                        "not __discover_speaks_instead",
                        f"__rollback_speaks_instead == (inventory_hostname == '{silent and speakers[1]}')",
                        # Who else has a kubeconfig has perhaps something to put back by it.
                        f"({asks['rollback'][3:-3]}) == (inventory_hostname in {asked.split()})",
                        f"{rotates} or ({asks['discover'][3:-3]}) == (inventory_hostname in ['w1', 'w3'])",
                    ]
                }
            },
            groups[0],
            {
                "ansible.builtin.assert": {
                    "that": [
                        f"groups['kubeharden_speaking_nodes'] | default([]) == {[one for one in speakers[:1] if one]}",
                        f"__kubeharden_speaker == ('{speakers[0]}' or inventory_hostname)",
                    ]
                }
            },
            groups[1],
            {
                "ansible.builtin.assert": {
                    "that": [
                        f"__kubeharden_speaker == ('{speakers[0]}' or '{speakers[1]}' or inventory_hostname)",
                    ]
                }
            },
        ],
    }
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
    run = ansible(
        Path(sys.executable).parent, ["ansible-playbook", "-i", inventory, playbook], directory=tmp_path, home=tmp_path
    )
    assert run.code == 0, str(run)


@pytest.mark.parametrize(
    ("groups", "speaker"),
    [
        ({"cp2": "control_planes", "cp1": "control_planes", "w1": "workers"}, "cp1"),
        ({"w1": "workers", "w2": "speaking_nodes"}, "w2"),
        ({"w1": "workers"}, ""),
    ],
)
def test_kube_proxy_is_hardened_by_who_speaks(tmp_path: Path, groups: dict[str, str], speaker: str) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        yaml.safe_dump({"all": {"hosts": dict.fromkeys(groups), "vars": {"ansible_connection": "local"}}}),
        encoding="utf-8",
    )
    real = [play for play in plays("harden") if play["name"] == "Harden kube-proxy of every node"]
    real += [play for play in plays("rollback") if "the API" in play["name"]]
    assert len(real) == 3
    begin: dict[str, Any] = {
        "hosts": "all",
        "gather_facts": False,
        "vars": {"kinds": groups},
        "tasks": [{"ansible.builtin.group_by": {"key": "kubeharden_{{ kinds[inventory_hostname] }}"}}],
    }
    told = [
        {
            **{key: play[key] for key in play if key not in ("roles", "tasks")},
            "tasks": [{"ansible.builtin.debug": {"msg": "x"}}],
        }
        for play in real
    ]
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([begin, *told]), encoding="utf-8")
    run = ansible(
        Path(sys.executable).parent, ["ansible-playbook", "-i", inventory, playbook], directory=tmp_path, home=tmp_path
    )
    assert run.code == 0, str(run)
    # In a rollback each control plane has its turn: another one may have spoken in an earlier run.
    back = ["cp2", "cp1"] if "cp2" in groups else [speaker] * bool(speaker)
    assert re.findall(r"^ok: \[(\w+)\] => ", run.output, re.MULTILINE) == [speaker] * bool(speaker) + back * 2


@pytest.mark.parametrize(
    ("unwell", "order"), [([], "cp3 cp2 cp1"), (["cp1"], "cp1 cp3 cp2"), (["cp1", "cp2"], "cp2 cp1 cp3")]
)
def test_control_planes_that_are_not_well_go_back_first(tmp_path: Path, unwell: list[str], order: str) -> None:
    """Those that are well refuse to restart beside them, so that a rollback would never come to the broken one."""
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        "kube_control_plane: {hosts: {cp2: , cp1: , cp3: }, vars: {ansible_connection: local}}\n", encoding="utf-8"
    )
    (real,) = (play for play in plays("rollback") if play["name"] == "Put control planes back, one after the other")
    roles = yaml.safe_load((ROOT / "roles/rollback/tasks/main.yml").read_text(encoding="utf-8"))
    (group,) = (task for task in roles if task.get("ansible.builtin.group_by", {}).get("key") == "kubeharden_unwell")
    evidence = "{{ {'api': {'unwell': 'it does not run' if inventory_hostname in unwell else ''}} }}"
    begin: dict[str, Any] = {
        "hosts": "all",
        "gather_facts": False,
        "vars": {"__kubeharden_found": {"evidence": evidence}, "unwell": unwell},
        "tasks": [{"ansible.builtin.group_by": {"key": "kubeharden_control_planes"}}, group],
    }
    told = {**{key: real[key] for key in real if key != "tasks"}, "tasks": [{"ansible.builtin.debug": {"msg": "x"}}]}
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([begin, told]), encoding="utf-8")
    run = ansible(
        Path(sys.executable).parent, ["ansible-playbook", "-i", inventory, playbook], directory=tmp_path, home=tmp_path
    )
    assert run.code == 0, str(run)
    assert re.findall(r"^ok: \[(cp\d)\] => ", run.output, re.MULTILINE) == order.split()


def test_putting_back_asks_for_no_certificate_that_holds() -> None:
    """Whoever has to go back may have come too late for that; what is in the API waits."""
    tasks = yaml.safe_load((ROOT / "roles/rollback/tasks/main.yml").read_text(encoding="utf-8"))
    found = [task["kubeharden.core.discover"] for task in tasks if "kubeharden.core.discover" in task]
    assert [(one["allow_expired"], one["without_api"]) for one in found] == [(True, True)] * 2


MODULE = """\
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({"wrong": {"type": "bool"}, "asks": {"type": "list"}, "file": {}, "expected": {"type": "list"}})
if module.params["wrong"]:
    module.fail_json(msg="KH207: its own words")
if module.params["file"]:
    with open(module.params["file"], "w") as stream:
        stream.write(" ".join(module.params["expected"]))
module.exit_json(changes=[], asks=module.params["asks"])
"""


def test_kubelets_beside_one_that_fails_get_their_certificates_before_the_run_ends(tmp_path: Path) -> None:
    """They were restarted with it, and serve nothing until somebody approves."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "stand_in.py").write_text(MODULE, encoding="utf-8")
    tasks = yaml.safe_load((ROOT / "roles/harden_kubelet/tasks/main.yml").read_text(encoding="utf-8"))
    kubelet, block = tasks
    (approval,) = block["block"]
    del kubelet["kubeharden.core.kubelet"]
    kubelet["stand_in"] = {"wrong": "{{ inventory_hostname == 'w1' }}", "asks": ["{{ inventory_hostname }}"]}
    expected = approval.pop("kubeharden.core.serving_certificates")["expected"]
    approval["stand_in"] = {"file": str(tmp_path / "approved"), "expected": expected}
    later = {"ansible.builtin.file": {"path": str(tmp_path / "later"), "state": "touch"}}
    play = {
        "hosts": "workers",
        "gather_facts": False,
        "any_errors_fatal": True,
        "max_fail_percentage": 0,
        "vars": {
            "kubeharden_profile": "cis",
            "kubeharden_gate_timeout": 1,
            "__kubeharden_batch": "all",
            "__kubeharden_speaker": "cp1",
        },
        "vars_files": [str(ROOT / "roles/harden_kubelet/vars/main.yml")],
        "tasks": [*tasks, later],
    }
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
    inventory = tmp_path / "hosts.yml"
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    groups = {
        "workers": {"hosts": dict.fromkeys(["w1", "w2", "w3"])},
        "kubeharden_control_planes": {"hosts": {"cp1": None}},
    }
    inventory.write_text(yaml.safe_dump({"all": {"children": groups, "vars": local}}), encoding="utf-8")
    run = ansible(
        Path(sys.executable).parent, ["ansible-playbook", "-i", inventory, playbook], directory=tmp_path, home=tmp_path
    )
    assert run.code == 2, str(run)
    assert "KH207: its own words" in run.output
    assert (tmp_path / "approved").read_text(encoding="utf-8") == "w2 w3"
    assert not (tmp_path / "later").exists()


JOINING = """\
import json
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({"name": {}, "nodes": {"type": "list"}, "given": {"type": "dict"}, "place": {}})
given = module.params
if given["nodes"] is not None:
    with open(given["place"] + "/asked", "a") as stream:
        stream.write(json.dumps([node["node_name"] for node in given["nodes"]]) + "\\n")
    made = {node["node_name"]: {"action": "make", "sealed": node["node_name"]} for node in given["nodes"]}
    module.exit_json(changes=[], cluster={"server": "x"}, given=made)
if given["given"] is not None:
    with open(given["place"] + "/laid-" + given["name"], "w") as stream:
        stream.write(given["given"]["sealed"])
    module.exit_json(changes=[])
state = "joined" if given["name"] == "w3" else "new"
node = {"node_name": "n-" + given["name"], "state": state, "spent": False, "token_id": "", "receiver": ""}
module.exit_json(changes=[], node=node)
"""


def test_nodes_that_join_without_kubeadm_get_their_tokens_in_one_call_and_each_its_own(tmp_path: Path) -> None:
    """One that has joined asks for nothing, and neither does a control plane."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "stand_in.py").write_text(JOINING, encoding="utf-8")
    tasks = yaml.safe_load((ROOT / "roles/prepare_node/tasks/bootstrap.yml").read_text(encoding="utf-8"))
    told = {"name": "{{ inventory_hostname }}", "place": str(tmp_path)}
    for task in tasks:
        for module in [name for name in task if name.startswith("kubeharden.core.")]:
            given = task.pop(module)
            task["stand_in"] = {**told, **{name: given[name] for name in ("nodes", "given") if name in given}}
    play = {
        "hosts": "all:!cp1",
        "gather_facts": False,
        "any_errors_fatal": True,
        "vars_files": [str(ROOT / "roles/prepare_node/vars/main.yml")],
        "vars": {
            "kubeharden_control_plane_group": "kube_control_plane",
            "kubeharden_node_group": "kube_node",
            "kubeharden_pki_bootstrap": "true",
            "__kubeharden_batch": "all",
            "__kubeharden_found": {"discovery": {}},
        },
        "tasks": tasks,
    }
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
    inventory = tmp_path / "hosts.yml"
    groups = {
        "kube_control_plane": {"hosts": dict.fromkeys(["cp1", "cp2"])},
        "kube_node": {"hosts": dict.fromkeys(["w1", "w2", "w3", "cp2"])},
    }
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory.write_text(yaml.safe_dump({"all": {"children": groups, "vars": local}}), encoding="utf-8")
    run = ansible(
        Path(sys.executable).parent, ["ansible-playbook", "-i", inventory, playbook], directory=tmp_path, home=tmp_path
    )
    assert run.code == 0, str(run)
    assert (tmp_path / "asked").read_text(encoding="utf-8") == '["n-w1", "n-w2"]\n'
    laid = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("laid-*")}
    assert laid == {"laid-w1": "n-w1", "laid-w2": "n-w2"}


def test_a_new_host_is_not_prepared_while_another_run_has_the_cluster() -> None:
    """In check mode the control plane that is there says who has its lock, and takes none."""
    tasks = yaml.safe_load((ROOT / "roles/prepare_node/tasks/main.yml").read_text(encoding="utf-8"))
    look, *locks = (task for task in tasks if "kubeharden.core.discover" in task)
    asked = look["kubeharden.core.discover"]
    assert (look["check_mode"], asked["cluster_lock"], asked["takes_cluster_lock"]) == (True, True, True)
    stop = tasks[tasks.index(look) + 1]
    assert stop["kubeharden.core.preflight"]["results"] == [look["register"]]
    # Hosts are locked only when that one was found ready, and each before anything is written on it.
    assert tasks.index(stop) < tasks.index(locks[0])
    assert [task["register"] for task in locks] == ["__discover_found", "__discover_again"]
    assert all(task["kubeharden.core.discover"]["before_join"] for task in locks)
    assert not [task for task in locks if "check_mode" in task or "delegate_to" in task or "run_once" in task]
    refuse = tasks[tasks.index(locks[-1]) + 1]
    assert ("kubeharden.core.preflight" in refuse, "run_once" in refuse) == (True, False)
    writes = [task for task in tasks if "kubeharden.core.prepare_node" in task or task["name"].endswith("kubeadm")]
    assert min(tasks.index(task) for task in writes) > tasks.index(refuse)


RENEWING = """\
from ansible.module_utils.basic import AnsibleModule
words = {name: {} for name in ("run_id", "root", "file", "gate_timeout")}
module = AnsibleModule({"discovery": {"type": "dict"}, "changed_hosts": {"type": "list"}, **words})
with open(module.params["file"], "a") as stream:
    changed = " ".join(sorted(module.params["changed_hosts"]))
    stream.write("{run_id} {discovery[node_name]} {root} {changed}\\n".format(changed=changed, **module.params))
module.exit_json()
"""
UNCHANGED: dict[str, Any] = {"restarted": {}}
CHANGED: dict[str, Any] = {"restarted": {"kubelet": 3.0}}
LONG_AGO, JUST_NOW = "now().timestamp() - 301", "now().timestamp() - 60"


def taken(lock: str, asked: str) -> dict[str, Any]:
    return {"discovery": {"node_name": "n1"}, "cluster_lock": lock, "asked": f"{{{{ {asked} }}}}"}


@pytest.mark.parametrize(
    ("found", "again", "calls"),
    [
        (taken("held", LONG_AGO), {}, 3),
        (taken("held", LONG_AGO), {"skipped": True, "changed": False}, 3),
        (taken("held", JUST_NOW), {}, 0),
        # Taken by a second look, since a dead run had it.
        ({"cluster_lock": "lost"}, taken("held", LONG_AGO), 3),
        # Check mode, an API that did not answer, and no control plane among the hosts.
        (taken("free", LONG_AGO), {}, 0),
        (taken("unknown", LONG_AGO), {}, 0),
        ({}, {}, 0),
    ],
)
def test_every_batch_of_nodes_renews_the_lock_that_a_run_took_minutes_ago(
    tmp_path: Path, found: dict[str, Any], again: dict[str, Any], calls: int
) -> None:
    """Else a second controller would take the lock over while the first is at work on nodes alone."""
    assert batches(tmp_path, found, again) == ["first n1 /r "] * calls


def test_before_each_batch_of_nodes_what_was_changed_by_then_is_seen_to_be_well(tmp_path: Path) -> None:
    """One that changed nothing is not asked for, and where nothing was changed at all nobody is."""
    found = taken("held", JUST_NOW)
    assert batches(tmp_path / "none", found, {}) == []
    assert batches(tmp_path / "nodes", found, {}, CHANGED) == ["first n1 /r w1", "first n1 /r w1 w2 w3"]
    assert batches(tmp_path / "failed", found, {}, {"failed": True, "msg": "KH207: no"}) == []
    control_plane = {"__harden_control_plane_done": {"restarted": {"etcd": 3.0}}}
    seen = ["first n1 /r cp1", "first n1 /r cp1 w1", "first n1 /r cp1 w1 w2 w3"]
    assert batches(tmp_path / "all", found, {}, CHANGED, control_plane) == seen


def test_before_each_batch_of_nodes_that_go_back_what_went_back_is_seen_to_be_well(tmp_path: Path) -> None:
    found = taken("held", JUST_NOW)
    kubelets = "__rollback_kubelet"
    assert batches(tmp_path / "none", found, {}, registered=kubelets) == []
    control_plane = {"__rollback_static_pods": {"restarted": {"etcd": 3.0}}}
    seen = ["first n1 /r cp1", "first n1 /r cp1 w1", "first n1 /r cp1 w1 w2 w3"]
    assert batches(tmp_path / "all", found, {}, CHANGED, control_plane, registered=kubelets) == seen
    skipped = {"__rollback_static_pods": {"skipped": True, "changed": False}}
    assert batches(tmp_path / "nodes", found, {}, CHANGED, skipped, registered=kubelets) == [
        "first n1 /r w1",
        "first n1 /r w1 w2 w3",
    ]


def test_without_a_control_plane_nobody_is_asked(tmp_path: Path) -> None:
    assert batches(tmp_path, {}, {}, CHANGED) == []


def batches(
    tmp_path: Path,
    found: dict[str, Any],
    again: dict[str, Any],
    kubelet: dict[str, Any] | None = None,
    before: dict[str, Any] | None = None,
    registered: str = "__harden_kubelet_done",
) -> list[str]:
    """What is asked before three batches of nodes.

    Args:
        found: What discovery returned of the control plane, the first time.
        again: The second time.
        kubelet: What the task of the kubelet returns of each node; None for UNCHANGED.
        before: What is known of the control plane besides.
        registered: By what name what the task returns is known.
    """
    (tmp_path / "library").mkdir(parents=True)
    (tmp_path / "library" / "stand_in.py").write_text(RENEWING, encoding="utf-8")
    (task,) = yaml.safe_load((ROOT / "roles/discover/tasks/renew.yml").read_text(encoding="utf-8"))
    task["stand_in"] = {**task.pop("kubeharden.core.renew_lock"), "file": str(tmp_path / "renewed")}
    files = [str(ROOT / "roles" / role / "vars/main.yml") for role in ("kubeharden", "discover")]
    takes_part = "true" if found or again else "false"
    begin: dict[str, Any] = {
        "hosts": "cp1",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.set_fact": {"__discover_found": found, "__discover_again": again, **(before or {})}},
            {"ansible.builtin.group_by": {"key": "kubeharden_control_planes"}, "when": takes_part},
        ],
    }
    nodes = {
        "hosts": "workers",
        "gather_facts": False,
        "serial": [1, 2],
        "vars_files": files,
        "vars": {"__kubeharden_run": {"run_id": "first"}, "kubeharden_gate_timeout": 300},
        "tasks": [task, {"ansible.builtin.set_fact": {registered: kubelet or UNCHANGED}}],
    }
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([begin, nodes]), encoding="utf-8")
    inventory = tmp_path / "hosts.yml"
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    groups = {
        "workers": {"hosts": dict.fromkeys(["w1", "w2", "w3", "w4", "w5"])},
        "control_planes": {"hosts": {"cp1": {"kubeharden_root": "/r"}}},
        "kubeharden_candidates": {"children": {"workers": {}, "control_planes": {}}},
    }
    inventory.write_text(yaml.safe_dump({"all": {"children": groups, "vars": local}}), encoding="utf-8")
    run = ansible(
        Path(sys.executable).parent, ["ansible-playbook", "-i", inventory, playbook], directory=tmp_path, home=tmp_path
    )
    assert run.code == 0, str(run)
    renewed = tmp_path / "renewed"
    return renewed.read_text(encoding="utf-8").splitlines() if renewed.exists() else []


@pytest.mark.parametrize(
    ("profile", "serves", "batches"),
    [
        ("cis", "", ["w1", "w2 w3", "w4 w5", "w6"]),
        ("cis", "w4", ["w1", "w2 w3", "w4 w5", "w6"]),
        ("cis", "w1 w2 w3 w4 w5 w6", ["w1", "w2 w3 w4 w5 w6"]),
        ("baseline", "", ["w1", "w2 w3 w4 w5 w6"]),
        ("baseline", "w4", ["w1", "w2 w3", "w4 w5", "w6"]),
    ],
)
def test_kubelets_that_are_made_to_ask_do_not_wait_for_hosts_that_nobody_works_on_yet(
    tmp_path: Path, profile: str, serves: str, batches: list[str]
) -> None:
    """What a batch asks for is approved at its end: with two forks none of more than two, where one is to ask."""
    tasks = yaml.safe_load((ROOT / "roles/discover/tasks/main.yml").read_text(encoding="utf-8"))
    grouped = [task for task in tasks if "kubeharden_to_ask" in str(task) or "kubeharden_approved" in str(task)]
    assert len(grouped) == 2
    nodes = next(play for play in plays("harden") if play["name"] == "Harden nodes")
    found = {"discovery": {"kubelet": {"serves_asked": "{{ inventory_hostname in serves }}", "own_certificate": ""}}}
    begin: dict[str, Any] = {
        "hosts": "all",
        "gather_facts": False,
        "vars": {
            "serves": serves.split(),
            "kubeharden_profile": profile,
            "__kubeharden_found": found,
            "__kubeharden_left_out": [],
            "__discover_group": "kubeharden_workers",
        },
        "tasks": [
            {"ansible.builtin.set_fact": {"__kubeharden_run": {"batch": ["1", "100%"]}}},
            {"ansible.builtin.group_by": {"key": "kubeharden_workers"}},
            *grouped,
        ],
    }
    say = {"ansible.builtin.debug": {"msg": "batch: {{ ansible_play_batch | join(' ') }}."}, "run_once": True}
    then = {key: nodes[key] for key in ("hosts", "gather_facts", "order", "serial")}
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([begin, {**then, "tasks": [say]}]), encoding="utf-8")
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {f"w{n}": None for n in range(1, 7)}}}), encoding="utf-8")
    run = ansible(
        Path(sys.executable).parent,
        ["ansible-playbook", "--forks", "2", "-i", inventory, playbook],
        directory=tmp_path,
        home=tmp_path,
        environment={"ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")},
    )
    assert run.code == 0, str(run)
    assert re.findall(r"batch: ([w0-9 ]+)\.", run.output) == batches


@pytest.mark.parametrize("name", ["harden", "preflight", "rotate_certificates", "rollback"])
def test_the_lock_is_renewed_before_anything_else_is_done_on_nodes(name: str) -> None:
    (play,) = (play for play in plays(name) if play["hosts"].startswith("{{ 'kubeharden_workers'"))
    first = [*play.get("pre_tasks", []), *play.get("tasks", [])][0]
    role = {"name": "kubeharden.core.discover", "tasks_from": "renew"}
    assert first["ansible.builtin.import_role"] == role
