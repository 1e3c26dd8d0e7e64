# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions of certificates share: what the inventory and discovery say of the cluster, computed once a call."""

from __future__ import annotations

import time
import typing as t

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.kubeharden.core.plugins.plugin_utils import (
    brought_authorities,
    per_host,
    pki_cluster,
    planned,
)
from ansible_collections.kubeharden.core.plugins.plugin_utils.brought_authorities import BroughtAuthorities
from ansible_collections.kubeharden.core.plugins.plugin_utils.concerns import wanted
from ansible_collections.kubeharden.core.plugins.plugin_utils.keeping_action import KeepingAction

#: Under which the role registers what it learns of a host.
AUTHORITIES = "__pki_authorities"
LEAVES = "__pki_leaves"
ANSWERED = "__pki_answered"
#: How and when a task is done; what else it says is what it asks for.
_HOW = ("now", "write", "report_dir")
#: What a result has of which something is to be done.
_DUE = ("changed", "missing", "receiver", "from_source", "requests", "bundles", "unsigned")


def variables_of(task_vars: t.Mapping[str, t.Any], host: str) -> dict[str, t.Any]:
    """Return a host's variables that certificates depend on, templated."""
    known = task_vars["hostvars"][host]
    others = ("ansible_host", pki_cluster.EXTRA_FLAGS)
    found = {name: known[name] for name in known if name.startswith("kubeharden_pki_") or name in others}
    # From the command line they come as text.
    switches = (pki_cluster.SERVING, pki_cluster.COMPONENT_SERVING)
    return {**found, **{name: per_host.yes(found.get(name)) for name in switches}}


class PkiAction(KeepingAction):
    """Adds cluster, layout and the controller's clock to a module's arguments."""

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the module's arguments; those that the task gives stay."""
        self._found = pki_cluster.discoveries(task_vars)
        self._target = str(self._task.delegate_to or task_vars["inventory_hostname"])
        self._vars = task_vars
        arguments.setdefault("now", time.time())
        if self._target not in self._found or "cluster" in arguments:
            return arguments
        discovery = self._found[self._target]
        arguments.setdefault("node_name", discovery["node_name"])
        arguments["cluster"] = pki_cluster.cluster(self._found, {host: self.variables(host) for host in self._found})
        arguments["layout"] = self.layout_of(self._target)
        if "policy" in arguments:
            arguments["policy"] = self._completed(arguments["policy"], discovery)
        return arguments

    def _completed(self, policy: t.Mapping[str, t.Any], discovery: pki_cluster.Discovery) -> dict[str, t.Any]:
        """Return what the user decided, with what kubeadm's ConfigMap says to it.

        Without that the table would lack names which the cluster asks for, and no certificate loses one.
        """
        usual = pki_cluster.usual_days(self._found)
        keeps = {"names": "keep"} if not pki_cluster.is_table_known(discovery, self._found) else {}
        return {**policy, **({"usual_days": usual} if usual else {}), **(keeps if "names" in policy else {})}

    def answer(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Only look, or run the module unless an earlier task that looked has found nothing to do."""
        earlier = arguments.pop("planned", None) or {}
        asked = planned.digest({name: value for name, value in arguments.items() if name not in _HOW})
        if boolean(arguments.get("write", True)):
            return planned.unchanged(earlier, asked) or self.execute(arguments, task_vars)
        result = self.execute(arguments, task_vars)
        return planned.told({**result, "due": any(result.get(name) for name in _DUE) or "kept" in result}, asked)

    def variables(self, host: str) -> dict[str, t.Any]:
        """Return a host's variables that certificates depend on, templated."""
        return variables_of(self._vars, host)

    def layout_of(self, host: str) -> dict[str, t.Any]:
        """Return where a host's files are, and which it has."""
        missing = self.registered(host, AUTHORITIES).get("missing") or []
        # With the key of service accounts alone no kubeconfig comes back that somebody removed.
        fresh = any(name != "service-account" for name in missing)
        return pki_cluster.layout(self._found[host], self.variables(host), fresh, pki_cluster.signer(self._found))

    def registered(self, host: str, name: str) -> dict[str, t.Any]:
        """Return what an earlier task of the role found on a host."""
        return self._vars["hostvars"].raw_get(host).get(name) or {}

    def repairs(self) -> bool:
        """Return whether open keys are closed here: where the run sees to files, that concern does it."""
        return not wanted(self._vars["ansible_run_tags"], self._vars["ansible_skip_tags"], "files")

    def brought(self, variables: t.Mapping[str, t.Any], now: float) -> BroughtAuthorities:
        """Return what the user brings to a host, by its variables."""
        name = brought_authorities.VARIABLE
        return BroughtAuthorities(variables.get(name) or {}, self.reader(name), now)

    def made(self) -> set[str]:
        """Return the authorities that this run makes or lays on control planes."""
        return {name for host in self._found for name in self.registered(host, AUTHORITIES).get("missing") or []}
