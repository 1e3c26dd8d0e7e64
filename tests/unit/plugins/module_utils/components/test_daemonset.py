# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy's pods: less rights, and kubeadm's patch makes of its own DaemonSet what a run makes of a live one."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.components import daemonset

#: As kubeadm 1.37 writes it, but for what nobody looks at.
TEMPLATE: dict[str, t.Any] = {
    "metadata": {"labels": {"k8s-app": "kube-proxy"}},
    "spec": {
        "containers": [
            {
                "command": [
                    "/usr/local/bin/kube-proxy",
                    "--config=/var/lib/kube-proxy/config.conf",
                    "--hostname-override=$(NODE_NAME)",
                ],
                "image": "registry.k8s.io/kube-proxy:v1.37.1",
                "name": "kube-proxy",
                "securityContext": {"privileged": True},
                "volumeMounts": [
                    {"mountPath": "/var/lib/kube-proxy", "name": "kube-proxy"},
                    {"mountPath": "/run/xtables.lock", "name": "xtables-lock"},
                ],
            }
        ],
        "hostNetwork": True,
        "volumes": [
            {"configMap": {"defaultMode": 0o644, "name": "kube-proxy"}, "name": "kube-proxy"},
            {"hostPath": {"path": "/run/xtables.lock", "type": "FileOrCreate"}, "name": "xtables-lock"},
        ],
    },
}
CONTEXT = {"privileged": False, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}
WANTED: dict[str, dict[str, t.Any]] = {
    "security_context": {"exact": CONTEXT, "control": "privileges"},
    "volume_mode": {"at_most": "0600", "control": "files"},
}


def template(**container: t.Any) -> dict[str, t.Any]:
    made = copy.deepcopy(TEMPLATE)
    made["spec"]["containers"][0].update(container)
    return made


def test_the_pods_lose_rights_and_keep_everything_else() -> None:
    before = template()
    after, controls = daemonset.harden(before, WANTED)
    assert before == TEMPLATE
    assert controls == ["files", "privileges"]
    (main,), (first,) = after["spec"]["containers"], after["spec"]["initContainers"]
    assert main == {**TEMPLATE["spec"]["containers"][0], "securityContext": CONTEXT}
    command = [*main["command"], "--init-only"]
    assert first == {**TEMPLATE["spec"]["containers"][0], "name": "kube-proxy-init", "command": command}
    assert after["spec"]["volumes"][0]["configMap"] == {"defaultMode": 0o600, "name": "kube-proxy"}
    assert after["spec"]["volumes"][1] == TEMPLATE["spec"]["volumes"][1]
    assert daemonset.harden(after, WANTED) == (after, [])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("livenessProbe", {"httpGet": {"path": "/livez", "port": 10256}}),
        ("readinessProbe", {"httpGet": {"path": "/healthz", "port": 10256}}),
        ("startupProbe", {"httpGet": {"path": "/livez", "port": 10256}}),
        ("lifecycle", {"preStop": {"sleep": {"seconds": 5}}}),
        ("resizePolicy", [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]),
        ("restartPolicy", "Always"),
        ("restartPolicyRules", [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]),
    ],
)
def test_a_container_that_ends_has_no_probe_of_the_owners(field: str, value: t.Any) -> None:
    """The API refuses it there, and with it the DaemonSet."""
    after, controls = daemonset.harden(template(**{field: value}), WANTED)
    assert controls == ["files", "privileges"]
    assert after["spec"]["containers"][0][field] == value
    assert after["spec"]["initContainers"] == daemonset.harden(TEMPLATE, WANTED)[0]["spec"]["initContainers"]


@pytest.mark.parametrize(
    "context", [None, {}, {"privileged": False, "capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}]
)
def test_a_container_of_the_owners_without_privileges_stays(context: t.Any) -> None:
    before = template(securityContext=context)
    before["spec"]["volumes"][0]["configMap"]["defaultMode"] = 0o400
    assert daemonset.harden(before, WANTED) == (before, [])


def test_other_containers_and_volumes_of_the_owner_stay() -> None:
    before = template()
    before["spec"]["containers"].insert(0, {"name": "exporter", "securityContext": {"privileged": True}})
    before["spec"]["initContainers"] = [{"name": "theirs"}]
    before["spec"]["volumes"].append({"configMap": {"name": "theirs"}, "name": "theirs"})
    after, _controls = daemonset.harden(before, WANTED)
    assert after["spec"]["containers"][0] == before["spec"]["containers"][0]
    assert [one["name"] for one in after["spec"]["initContainers"]] == ["kube-proxy-init", "theirs"]
    assert after["spec"]["volumes"][2] == before["spec"]["volumes"][2]


def test_a_volume_without_a_mode_has_kubernetes_own() -> None:
    before = template()
    del before["spec"]["volumes"][0]["configMap"]["defaultMode"]
    after, _controls = daemonset.harden(before, {"volume_mode": WANTED["volume_mode"]})
    assert after["spec"]["volumes"][0]["configMap"]["defaultMode"] == 0o600


def test_kubeadms_patch_makes_the_same_of_its_own_daemon_set() -> None:
    patched = {"spec": {"template": template()}}
    for operation in daemonset.kubeadm_patch(WANTED):
        apply(patched, operation)
    assert patched["spec"]["template"] == daemonset.harden(TEMPLATE, WANTED)[0]


def apply(document: t.Any, operation: dict[str, t.Any]) -> None:
    """One operation of RFC 6902, as far as these patches use it."""
    value = copy.deepcopy(at(document, operation["from"].split("/")[1:]) if "from" in operation else operation["value"])
    *parents, last = operation["path"].split("/")[1:]
    parent = at(document, parents)
    if isinstance(parent, list):
        place = len(parent) if last == "-" else int(last)
        parent[place : place + (operation["op"] == "replace")] = [value]
    else:
        assert operation["op"] != "replace" or last in parent
        parent[last] = value


def at(document: t.Any, path: list[str]) -> t.Any:
    for step in path:
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document
