# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One part of putting runs back, with its changes written down."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import API_SERVER
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.undo import VERIFIES
from ansible_collections.kubeharden.core.plugins.plugin_utils.around import well_servers
from ansible_collections.kubeharden.core.plugins.plugin_utils.discovered import found_of
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction

#: What discovery returned, the later first; and what putting the static pods back did.
_FOUND = ("__discover_again", "__discover_found")
_STATIC_PODS = "__rollback_static_pods"


def verifies_kubelets(known: t.Mapping[str, t.Any]) -> bool | None:
    """Return whether a control plane's API server verifies what kubelets serve, None where it takes no part.

    This rollback's own word counts first; where it left the static pods alone it is what discovery saw: the manifest
    and the process.

    Args:
        known: The host's variables.
    """
    done = (known.get(_STATIC_PODS) or {}).get("verifies_kubelets")
    if done is not None:
        return bool(done)
    results = [known.get(name) or {} for name in _FOUND]
    found = next((one["discovery"] for one in results if "discovery" in one), None)
    if found is None:
        return None
    server = found["components"].get("kube-apiserver") or {}
    words = [str(word) for word in server.get("arguments") or []]
    return VERIFIES in (server.get("flags") or {}) or any(word.partition("=")[0] == f"--{VERIFIES}" for word in words)


def front_door(done: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    """Return how the API's clients were served when this rollback began, empty while no host has looked.

    Args:
        done: By host, what putting its static pods back returned.
    """
    return next((str(one["front_door"]) for one in done if one.get("front_door")), "")


class ActionModule(HostAction):
    """Documented in plugins/modules/rollback.py."""

    MODULE = "rollback"

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Say what is known of the API servers, as this rollback has left them so far."""
        # Raw: what looks like a template in a host's file is text here too.
        known = task_vars["hostvars"].raw_get
        arguments["api_servers"] = {
            name: verifies_kubelets(known(name)) for name in arguments.get("control_planes") or []
        }
        if arguments.get("part") == "static_pods":
            arguments["beside"] = self._beside(task_vars)
            control_planes = task_vars["groups"].get("kubeharden_control_planes") or []
            arguments["front_door"] = front_door([known(name).get(_STATIC_PODS) or {} for name in control_planes])
        return arguments

    def _beside(self, task_vars: t.Mapping[str, t.Any]) -> dict[str, str]:
        """Return the API servers of other hosts that must be well before one that is well restarts here."""
        known = task_vars["hostvars"].raw_get
        hosts = task_vars["groups"].get("kubeharden_control_planes") or []
        done = {host: known(host).get(_STATIC_PODS) or {} for host in hosts}
        back = [host for host in hosts if API_SERVER in (done[host].get("restarted") or {})]
        found = {host: found_of(known(host)) for host in hosts if host != task_vars["inventory_hostname"]}
        return well_servers(found, back)
