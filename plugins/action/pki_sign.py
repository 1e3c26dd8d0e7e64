# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signing: the requests of every host of the batch, gathered for one call."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import bundle, data
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_view import answer_all
from ansible_collections.kubeharden.core.plugins.plugin_utils.authorities_directory import AuthoritiesDirectory
from ansible_collections.kubeharden.core.plugins.plugin_utils.pki_action import LEAVES, PkiAction


class ActionModule(PkiAction):
    """Documented in plugins/modules/pki_sign.py."""

    MODULE = "pki_sign"

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Gather what the hosts of this batch ask for."""
        arguments = super().prepare(arguments, task_vars)
        if "hosts" in arguments:
            return arguments
        arguments["hosts"] = []
        for host in task_vars["ansible_play_batch"]:
            asked = self.registered(host, LEAVES)
            if asked.get("requests") or asked.get("bundles"):
                arguments["hosts"].append(
                    {
                        "node_name": self._found[host]["node_name"],
                        "layout": self.layout_of(host),
                        "requests": asked["requests"],
                        "bundles": asked["bundles"],
                        "endpoint": asked.get("endpoint") or "",
                    }
                )
        return arguments

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Sign here where the controller alone has the keys; else where they are."""
        known = self._target in task_vars["hostvars"]
        kept = self.kept(self.variables(self._target), arguments["now"]) if known else None
        if kept is None:
            return super().execute(arguments, task_vars)
        try:
            return {"changed": False, **_sign(kept, arguments)}
        except HardeningError as error:
            return {"failed": True, "msg": error.numbered, "refused": True}


def _sign(kept: AuthoritiesDirectory, arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return answers and bundles by node. Each host says where its clients find the API servers, as its own kubeconfigs
    have it: a control plane could serve any name of the cluster anyway, and the others have none of it."""
    cluster = data.cluster(arguments["cluster"])
    signers = kept.authorities()
    bundles = {name: bundle.join([signer.facts]) for name, signer in signers.items()}
    asking = [
        (entry, dataclasses.replace(cluster, load_balancer=cluster.load_balancer or entry["endpoint"]))
        for entry in arguments["hosts"]
    ]
    return answer_all(asking, signers, bundles, arguments["now"], arguments.get("policy") or {})
