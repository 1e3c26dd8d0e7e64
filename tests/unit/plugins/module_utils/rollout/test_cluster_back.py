# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs changed in the API goes back where it still says what they wrote; what others made of it stays."""

from __future__ import annotations

import copy
import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.history import past_runs
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubectl import ConfigMap
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.cluster_back import ClusterBack, names
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kube_proxy import CONFIG_MAP, DAEMON_SET
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.components.test_daemonset import WANTED
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.test_kube_proxy import (
    World,
    apply,
    planned,
)

KUBEADM = "ConfigMap kube-system/kubeadm-config"
KUBELET = "ConfigMap kube-system/kubelet-config"
KEYS = {"kubeadm-config": "ClusterConfiguration", "kubelet-config": "kubelet"}


class Kubectl:
    """The two ConfigMaps of kubeadm."""

    def __init__(self) -> None:
        self.texts = {"kubeadm-config": "old kubeadm", "kubelet-config": "old kubelet"}
        self.writes: list[str] = []

    def get_config_map(self, namespace: str, name: str) -> ConfigMap | None:
        if name not in self.texts:
            return None
        return ConfigMap(name, namespace, {KEYS[name]: self.texts[name], "other": "x"}, "1", {}, {})

    def replace_config_map(self, config_map: ConfigMap) -> None:
        assert config_map.data["other"] == "x"
        self.writes.append(config_map.name)
        self.texts[config_map.name] = config_map.data[KEYS[config_map.name]]


class Place:
    """A control plane, through which runs changed the API."""

    def __init__(self, root: Path) -> None:
        self.host = Host(str(root))
        self.kubectl = Kubectl()
        self.world = World()
        self.before = copy.deepcopy((self.world.map, self.world.set["spec"]["template"] if self.world.set else None))

    def harden(self, run_id: str, kubeadm: str) -> None:
        backup = Backup(self.host, run_id)
        backup.note("api_object", KUBEADM, before=self.kubectl.texts["kubeadm-config"], after=kubeadm)
        self.kubectl.texts["kubeadm-config"] = kubeadm

    def harden_kube_proxy(self) -> None:
        made = planned(self.world, **WANTED)
        made.plan()
        apply(self.host, made)

    def back(self) -> ClusterBack:
        return ClusterBack(past_runs(self.host), t.cast(t.Any, self.kubectl), self.world.api)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_config_maps_go_back_over_several_runs_and_other_keys_stay(place: Place) -> None:
    place.harden("a", "one")
    place.harden("b", "two")
    back = place.back()
    (change,) = back.plan()
    assert (change.target, change.before, change.after) == (KUBEADM, "two", "old kubeadm")
    assert place.kubectl.writes == []
    back.apply(place.host, Backup(place.host, "r"), 30.0)
    assert place.kubectl.texts["kubeadm-config"] == "old kubeadm"
    assert place.kubectl.writes == ["kubeadm-config"]  # that of kubelets was not changed by a run
    assert Backup(place.host, "r").document()["entries"][0]["before"] == "two"


def test_a_second_time_there_is_nothing_to_do(place: Place) -> None:
    place.harden("a", "one")
    place.kubectl.texts["kubeadm-config"] = "old kubeadm"
    back = place.back()
    assert back.plan() == []
    assert back.not_done == []


def test_a_config_map_that_somebody_changed_stays_and_is_named(place: Place) -> None:
    """As kubeadm upgrade does."""
    place.harden("a", "one")
    place.kubectl.texts["kubeadm-config"] = "one, upgraded"
    back = place.back()
    assert back.plan() == []
    (sentence,) = back.not_done
    assert f"{KUBEADM} has been changed by someone else since run a, so it was left as it is" in sentence
    assert "/var/lib/kubeharden/backups/a/record.json." in sentence


def test_a_change_of_somebody_between_two_runs_stays(place: Place) -> None:
    place.harden("a", "one")
    place.kubectl.texts["kubeadm-config"] = "theirs"
    place.harden("b", "two")
    back = place.back()
    assert [change.after for change in back.plan()] == ["theirs"]
    assert "goes back to that change only" in back.not_done[0]


def test_a_config_map_that_is_gone_is_left_so(place: Place) -> None:
    place.harden("a", "one")
    del place.kubectl.texts["kubeadm-config"]
    back = place.back()
    assert back.plan() == []
    assert back.not_done == [f"{KUBEADM} is gone, so it was left so."]


def test_kube_proxy_is_rolled_back_and_proven(place: Place) -> None:
    place.harden_kube_proxy()
    back = place.back()
    changes = back.plan()
    assert [(change.target, change.restart) for change in changes] == [
        (CONFIG_MAP, ("kube-proxy",)),
        (DAEMON_SET, ("kube-proxy",)),
    ]
    place.world.writes.clear()
    seconds = back.apply(place.host, Backup(place.host, "r"), 30.0)
    assert seconds["kube-proxy"] > 0
    assert place.world.writes == ["map", "set"]
    assert place.world.set is not None
    assert (place.world.map, place.world.set["spec"]["template"]) == place.before
    assert place.back().plan() == []


def test_nodes_that_are_proven_without_their_port_are_told(place: Place) -> None:
    place.harden_kube_proxy()
    back = place.back()
    back.plan()
    place.world.silent = {"kube-proxy-b": 99}
    back.apply(place.host, Backup(place.host, "r"), 30.0)
    assert "no answer on b " in back.notes[0]


def test_the_order_of_fields_is_nobodys_change(place: Place) -> None:
    place.harden_kube_proxy()
    assert place.world.set is not None
    template = json.loads(json.dumps(place.world.set["spec"]["template"], sort_keys=True))
    place.world.set["spec"]["template"] = dict(reversed(template.items()))
    assert len(place.back().plan()) == 2


@pytest.mark.parametrize("what", ["map", "set"])
def test_kube_proxy_stays_whole_where_somebody_changed_one_half(place: Place, what: str) -> None:
    place.harden_kube_proxy()
    assert place.world.map is not None
    assert place.world.set is not None
    if what == "map":
        place.world.map["data"]["config.conf"] += "# theirs\n"
    else:
        place.world.set["spec"]["template"]["spec"]["priorityClassName"] = "theirs"
    back = place.back()
    assert back.plan() == []
    assert len(back.not_done) == 1


def test_old_objects_that_do_not_come_up_give_way_to_what_was_there(place: Place) -> None:
    place.harden_kube_proxy()
    hardened = copy.deepcopy((place.world.map, place.world.set["spec"] if place.world.set else None))
    back = place.back()
    back.plan()
    place.world.bad = ("0.0.0.0:10249",)
    with pytest.raises(HardeningError, match="did not come up"):
        back.apply(place.host, Backup(place.host, "r"), 30.0)
    assert (place.world.map, place.world.set["spec"] if place.world.set else None) == hardened


def test_kube_proxy_that_is_gone_is_left_so(place: Place) -> None:
    place.harden_kube_proxy()
    place.world.set = None
    back = place.back()
    assert back.plan() == []
    assert "left alone" in back.not_done[0]


def test_what_is_in_the_records_is_named_once(place: Place) -> None:
    place.harden("a", "one")
    place.harden("b", "two")
    place.harden_kube_proxy()
    assert names(past_runs(place.host)) == [KUBEADM, CONFIG_MAP, DAEMON_SET]
