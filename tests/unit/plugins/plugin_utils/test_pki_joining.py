# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a control plane is given before it joins, as far as the controller decides it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.pki import data, layout as table
from ansible_collections.kubeharden.core.plugins.plugin_utils import pki_joining
from ansible_collections.kubeharden.core.tests.unit.plugins.plugin_utils.test_pki_cluster import (
    PKI,
    control_plane,
    serving,
)

SCHEDULER = serving("scheduler", "scheduler/server.crt", "scheduler/server.key")
NONE: dict[str, Any] = {}


def pattern(*named: dict[str, str], **changes: Any) -> dict[str, Any]:
    return control_plane(1, certificates=[*control_plane(1)["certificates"], *named], **changes)


@pytest.mark.parametrize(
    ("found", "variables", "expected"),
    [
        (pattern(*SCHEDULER), NONE, ["scheduler-server"]),
        # Asked for, and served by none: kubeadm does not write it.
        (pattern(), {"kubeharden_pki_component_serving": True}, []),
        (pattern(*serving("scheduler", "own.crt", "own.key")), NONE, []),
        # Nobody here could sign: it must be there, as any other secret.
        (pattern(*SCHEDULER, files={}), NONE, []),
        (pattern(*SCHEDULER, files={}), {"kubeharden_pki_authorities_dir": "/secure"}, ["scheduler-server"]),
    ],
)
def test_what_is_made_is_what_the_control_planes_serve(
    found: dict[str, Any], variables: dict[str, Any], expected: list[str]
) -> None:
    assert pki_joining.rows(found, variables) == expected


@pytest.mark.parametrize(
    ("key", "certificate", "expected"),
    [
        ("server.key", "server.crt", ["controller-manager-server", "scheduler-server"]),
        ("server.key", "own.crt", ["controller-manager-server"]),
        ("own.key", "server.crt", ["controller-manager-server"]),
    ],
)
def test_what_kubeadm_would_name_is_made_too(key: str, certificate: str, expected: list[str]) -> None:
    """The control plane that is there was brought back, say, and the ConfigMap was not."""
    flags = {"tls-cert-file": certificate, "tls-private-key-file": key}
    arguments = [{"name": flag, "value": f"{PKI}/scheduler/{path}"} for flag, path in flags.items()]
    configuration = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "scheduler": {"extraArgs": arguments},
    }
    config_maps = {"kubeadm-config": {"ClusterConfiguration": yaml.safe_dump(configuration)}}
    manager = serving("controller-manager", "controller-manager/server.crt", "controller-manager/server.key")
    assert pki_joining.rows(pattern(*manager, config_maps=config_maps), NONE) == expected
    assert pki_joining.rows(pattern(*manager, config_maps=config_maps, files={}), NONE) == []


@pytest.mark.parametrize("text", ["", "a: [", "kind: Other\n", "apiVersion: x/v1\nkind: ClusterConfiguration\n"])
def test_a_configmap_that_nobody_could_join_with_names_nothing(text: str) -> None:
    config_maps = {"kubeadm-config": {"ClusterConfiguration": text}}
    assert pki_joining.rows(pattern(*SCHEDULER, config_maps=config_maps), NONE) == ["scheduler-server"]


def test_the_files_of_a_row() -> None:
    assert pki_joining.paths(["scheduler-server"]) == {f"{PKI}/scheduler/server.crt", f"{PKI}/scheduler/server.key"}


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({}, "cp9, localhost, 127.0.0.1, ::1"),
        ({"ansible_host": "192.0.2.19"}, "cp9, localhost, 127.0.0.1, 192.0.2.19, ::1"),
        (
            {"ansible_host": "cp9.example.org", "kubeharden_pki_host_names": "s.example.org"},
            "cp9, localhost, s.example.org, 127.0.0.1, ::1",
        ),
    ],
)
def test_the_new_host_has_that_row_and_the_authority_and_nothing_else(variables: dict[str, Any], names: str) -> None:
    found = pki_joining.facts(["scheduler-server"], ("one", pattern(*SCHEDULER), {}), "cp9", variables)
    cluster = data.cluster(found["cluster"])
    new = table.host_pki(data.layout(found["layout"]), cluster, found["node_name"])
    assert [leaf.name for leaf in new.leaves] == ["scheduler-server"]
    assert str(new.leaf("scheduler-server").profile.names) == names
    assert [one.path.certificate for one in new.authorities] == [f"{PKI}/ca.crt"]
    assert (new.kubeconfigs, new.service_account) == ((), None)
    source = table.host_pki(data.layout(found["source"]["layout"]), cluster, found["source"]["node_name"])
    assert source.node_name == "cp1"
    assert {"apiserver", "scheduler-server"} <= {leaf.name for leaf in source.leaves}
