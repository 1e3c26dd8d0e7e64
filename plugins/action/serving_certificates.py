# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubelets' requests, with what was approved written down, and signed where the controller alone has the key."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import KUBERNETES
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import kubelet_signing
from ansible_collections.kubeharden.core.plugins.plugin_utils.authorities_directory import (
    PHRASE_FILE,
    VARIABLE,
    AuthoritiesDirectory,
)
from ansible_collections.kubeharden.core.plugins.plugin_utils.keeping_action import KeepingAction
from ansible_collections.kubeharden.core.plugins.plugin_utils.pki_cluster import discoveries

#: How often is signed within one task.
_ROUNDS = 5


class ActionModule(KeepingAction):
    """Documented in plugins/modules/serving_certificates.py."""

    MODULE = "serving_certificates"

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Say whether the controller signs, and at which addresses it reaches the nodes."""
        arguments.setdefault("reached", _reached(task_vars))
        host = str(self._task.delegate_to or task_vars["inventory_hostname"])
        known = task_vars["hostvars"][host]
        variables = {name: known[name] for name in (VARIABLE, PHRASE_FILE) if name in known}
        self._kept = self.kept(variables, time.time())
        # What others approved, and kubelets' certificates as clients, must be signed where nothing is approved too.
        signs = arguments.get("approve", True) or arguments.get("renewals", False)
        arguments.setdefault("signed_elsewhere", self._kept is not None and signs)
        return arguments

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module, signed for where the controller signs, and say until when the next approval is due."""
        result = self._execute_and_sign(arguments, task_vars)
        due = [result["approval_due"]] if result.get("approval_due") else []
        return {**result, "at_last": due}

    def _execute_and_sign(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module, sign what it found approved and not signed, and let it lay the certificates."""
        result = super().execute(arguments, task_vars)
        if self._kept is None or result.get("failed") or not result.get("nodes"):
            return result
        found: dict[str, t.Any] = result
        # A kubelet may have asked anew while what it asked before was signed.
        for _round in range(_ROUNDS):
            try:
                signed = _signed(self._kept, found)
            except HardeningError as error:
                return {"failed": True, "msg": error.numbered, "refused": True}
            result = _together(result, {"notes": signed.refused})
            if self._task.check_mode:
                return _together(result, _foretold(signed, result))
            if not signed.certificates:
                break
            found = super().execute({**arguments, "certificates": signed.certificates}, task_vars)
            if found.get("failed"):
                return found
            result = _together(result, found)
            if not arguments.get("expected"):
                break
        return result


def _reached(task_vars: t.Mapping[str, t.Any]) -> dict[str, list[str]]:
    """Return by node at which address the controller reaches it, which no kubelet can write."""
    found: dict[str, list[str]] = {}
    for host, discovery in discoveries(task_vars).items():
        address = str(task_vars["hostvars"][host].get("ansible_host") or host)
        found.setdefault(str(discovery["node_name"]), []).append(address)
    return found


def _foretold(signed: kubelet_signing.Signed, result: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what signing would change: what the run approves it signs too."""
    approved = [kubelet_signing.change_for(node, "serving") for node in result["approved"]]
    changes = list({change.target: change for change in [*signed.changes, *approved]}.values())
    told: dict[str, t.Any] = {"changes": [change.as_record() for change in changes], "changed": bool(changes)}
    if "diff" in result:
        told["diff"] = [change.as_diff() for change in changes]
    return told


def _signed(kept: AuthoritiesDirectory, result: t.Mapping[str, t.Any]) -> kubelet_signing.Signed:
    """Return what the controller signs of what the module found."""
    signer = kept.authorities().get(KUBERNETES)
    if signer is None:
        raise HardeningError(
            "KH302",
            f"The authority 'kubernetes' is not in {kept.directory}, so no request of a kubelet was signed. Lay it "
            "there as kubernetes.crt and kubernetes.key.",
        )
    return kubelet_signing.sign_all(result["to_sign"], result["nodes"], signer, time.time())


def _together(first: dict[str, t.Any], second: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return two results as one: what both list stands behind each other, and of the rest the last counts."""
    joined = {name: [*first.get(name, []), *second.get(name, [])] for name in ("changes", "diff")}
    if "diff" not in first and "diff" not in second:
        del joined["diff"]
    notes = list(dict.fromkeys([*first.get("notes", []), *second.get("notes", [])]))
    changed = bool(first.get("changed") or second.get("changed"))
    return {**first, **second, **joined, "notes": notes, "changed": changed}
