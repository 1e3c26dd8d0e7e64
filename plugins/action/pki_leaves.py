# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaves and kubeconfigs of a host."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import KUBERNETES
from ansible_collections.kubeharden.core.plugins.plugin_utils import pki_cluster, requests_directory
from ansible_collections.kubeharden.core.plugins.plugin_utils.around import api_servers, has_ended
from ansible_collections.kubeharden.core.plugins.plugin_utils.authorities_directory import AuthoritiesDirectory
from ansible_collections.kubeharden.core.plugins.plugin_utils.brought_authorities import BroughtAuthorities
from ansible_collections.kubeharden.core.plugins.plugin_utils.discovered import found_of
from ansible_collections.kubeharden.core.plugins.plugin_utils.pki_action import (
    ANSWERED,
    AUTHORITIES,
    LEAVES,
    PkiAction,
)
from ansible_collections.kubeharden.core.plugins.plugin_utils.requests_directory import RequestsDirectory


class ActionModule(PkiAction):
    """Documented in plugins/modules/pki_leaves.py."""

    MODULE = "pki_leaves"
    # The leaves that the module looks at.
    ABOUT = requests_directory.KNOWN
    _brought: tuple[BroughtAuthorities | AuthoritiesDirectory, list[str]] | None = None
    _kept: AuthoritiesDirectory | None = None
    # None where a play of the user's brings requests and answers itself.
    _requests: RequestsDirectory | None = None

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Say what is about to be there, and whether somebody can sign."""
        group = arguments.pop("control_planes", [])
        arguments = super().prepare(arguments, task_vars)
        if self._target not in self._found:
            return arguments
        variables = self.variables(self._target)
        missing = self.registered(self._target, AUTHORITIES).get("missing") or []
        arguments.setdefault("expected", missing)
        self._kept = self.kept(variables, arguments["now"])
        brought = self._kept or self.brought(variables, arguments["now"])
        self._requests = requests = RequestsDirectory(variables.get(requests_directory.VARIABLE) or "", self._target)
        laid = pki_cluster.are_brought(self._found, group, brought.names)
        self._brought = brought, list(dict.fromkeys([*laid, *brought.keyless]))
        made = self.made() - set(brought.keyless)
        outside = pki_cluster.are_outside(self._found, group, brought.keyless, made)
        arguments.setdefault("outside", outside if requests.directory else [])
        arguments.setdefault("signer", self._can_sign(group))
        arguments.setdefault("without_key", self._without_key())
        arguments.setdefault("repair", self.repairs())
        # On a running host what is there is renewed one host at a time and with proof, by another playbook.
        arguments.setdefault("scope", "missing" if self._found[self._target]["live"] else "due")
        return arguments

    def _can_sign(self, group: t.Sequence[str]) -> bool:
        """Return whether somebody who takes part signs."""
        if self._kept is None:
            return pki_cluster.can_sign(self._found, group)
        if KUBERNETES in self._kept.names or KUBERNETES in self.made():
            return True
        return self._was_brought() and pki_cluster.can_sign(self._found, group)

    def _without_key(self) -> list[str]:
        """Return the authorities with which nobody can sign who is asked to."""
        source = pki_cluster.authority_host(self._found)
        signing = [source] if self._kept is None or self._was_brought() else []
        here = self._kept.names if self._kept is not None else []
        return pki_cluster.without_key(self._found, signing, {*here, *self.made()})

    def _was_brought(self) -> bool:
        """Return whether an earlier task of this run brought the control planes' keys, or in check mode would."""
        return any("kept" in self.registered(host, AUTHORITIES) for host in self._found)

    def _beside(self) -> dict[str, t.Any]:
        """Return what must be well before something is renewed: nothing while a certificate of the run has ended.

        Its renewal is what the run is for, and the cluster may be well only when the last host has had its turn. Nodes
        are nothing to it: one that is not Ready would end half-way what API servers and etcd alone have to agree on.
        """
        here = self._found.get(self._target)
        if here is None or not here["live"] or not pki_cluster.is_control_plane(here):
            return {}
        known = self._vars["hostvars"].raw_get
        found = {host: found_of(known(host)) for host in self._found}
        if any(has_ended(found[host], self._seen_in_turn(host)) for host in found):
            return {}
        return {"api_servers": api_servers(found)}

    def _seen_in_turn(self, host: str) -> dict[str, t.Any]:
        """Return what this task returned of a host last, empty where it has not had its turn."""
        results = (self.registered(host, name) for name in (ANSWERED, LEAVES))
        return next((one for one in results if "certificates" in one), {})

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module, say which host is to be asked, and lay what is to be signed outside."""
        requests = self._requests
        if self._brought is not None and requests is not None:
            brought, names = self._brought
            try:
                if self._kept is not None:
                    # Before any key is there, as in check mode, harden.yml was to bring it; others are not.
                    moves = self.moves(self.variables(self._target))
                    self._kept.require(self._found, moves, awaited=moves and self._was_brought())
                arguments.setdefault("brought", brought.certificates(names))
                arguments.setdefault("returned", requests.returned() if arguments["outside"] else {})
            except HardeningError as error:
                return {"failed": True, "msg": error.numbered, "refused": True}
        if arguments.get("scope") == "due":  # what is only missing is no running component's
            arguments = {**self._beside(), **arguments}
        result = super().execute(arguments, task_vars)
        asks = [self._target] if result.get("requests") or result.get("bundles") else []
        unsigned = result.get("unsigned")
        if unsigned is not None and requests is not None and arguments.get("outside"):
            result["unsigned"] = [{**one, "path": requests.path(one["name"], "csr")} for one in unsigned]
            if not self._task.check_mode and not result.get("failed"):
                try:
                    requests.update(unsigned, arguments["returned"], self.ABOUT)
                except HardeningError as error:
                    return {**result, "failed": True, "msg": error.numbered}
        # Where the controller signs, any host will do to start it from.
        return {**result, "source": pki_cluster.authority_host(self._found) or self._target, "asks": asks}
