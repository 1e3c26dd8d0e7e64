# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities: which host makes them, which is asked for them, and what the user brings."""

from __future__ import annotations

import base64
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import sealed
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import AUTHORITY_LIFETIME
from ansible_collections.kubeharden.core.plugins.module_utils.pki.keys import DEFAULT_ALGORITHM
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import AUTHORITIES as AUTHORITY_ROWS
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.authorities import open_pair
from ansible_collections.kubeharden.core.plugins.plugin_utils import brought_authorities, pki_cluster
from ansible_collections.kubeharden.core.plugins.plugin_utils.authorities_directory import AuthoritiesDirectory
from ansible_collections.kubeharden.core.plugins.plugin_utils.pki_action import AUTHORITIES, PkiAction

#: For whom keys are sealed that come to the controller.
_CONTROLLER = "the controller"
_COMMON = ("root", "root_seed", "run_id", "node_name", "cluster", "layout", "now", "report_dir")


class ActionModule(PkiAction):
    """Documented in plugins/modules/pki_authority.py."""

    MODULE = "pki_authority"

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Make them on the first control plane, only when every control plane was asked and none has any."""
        arguments = super().prepare(arguments, task_vars)
        group = arguments.pop("control_planes", [])
        first = pki_cluster.authority_host(self._found)
        self._source = source = pki_cluster.source_host(self._found, self._target)
        arguments.setdefault("create", first == self._target and pki_cluster.are_made(self._found, group))
        arguments.setdefault("source", source != self._target and pki_cluster.can_sign(self._found, group))
        arguments.setdefault("repair", self.repairs())
        arguments.setdefault("rootless", (self._found.get(self._target) or {}).get("rootless") or [])
        # Who only gives what it has needs nothing of the user's.
        variables = {} if arguments.get("give") else self.variables(self._target)
        self._kept = self.kept(variables, arguments["now"])
        self._brought = self._kept or self.brought(variables, arguments["now"])
        arguments.setdefault("offered", pki_cluster.are_brought(self._found, group, self._brought.names))
        arguments.setdefault("keyless", self._brought.keyless)
        self._group = group
        self._moves = self.moves(variables)
        if self._kept is not None:
            made = pki_cluster.are_kept(self._found, group, self._target, self._kept.names)
            arguments.setdefault("made", list(dict.fromkeys([*made, *self._made_before()])))
        return arguments

    def _made_before(self) -> list[str]:
        """Return what the controller has made in this run, so that it is told like that on every host."""
        return [name for host in self._found for name in self.registered(host, AUTHORITIES).get("kept") or []]

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module, seal what the user brings, and say what is to be had from which host."""
        try:
            here = [] if self._kept is None else self._kept.names
            if self._kept is not None:
                failed = self._bring(self._kept, arguments, task_vars)
                if failed:
                    return failed
                self._kept.require(self._found, self._moves, awaited=self._moves)
                arguments["keyless"] = self._kept.names
            arguments.setdefault("brought", self._brought.certificates(self._brought.names))
            result = super().execute(arguments, task_vars)
            if self._kept is not None and not result.get("failed"):
                result = self._with_kept(self._kept, arguments, result, task_vars)
                if self._moves and not result.get("failed"):
                    result = self._taken_away(self._kept, here, arguments, result, task_vars)
            missing = result.get("missing") or []
            # In check mode too, so that it refuses what a run would.
            found = self._brought.judge(name for name in missing if name in arguments["offered"])
        except HardeningError as error:
            return {"failed": True, "msg": error.numbered, "refused": True}
        receiver = result.get("receiver") or ""
        if not receiver:
            return {**result, "source": self._source, "from_source": []}
        given = brought_authorities.seal(found, receiver, arguments["run_id"], arguments["node_name"])
        others = [] if arguments["create"] else [name for name in missing if name not in arguments["offered"]]
        return {**result, "source": self._source, "given": given, "from_source": others}

    def _with_kept(
        self,
        kept: AuthoritiesDirectory,
        arguments: dict[str, t.Any],
        result: dict[str, t.Any],
        task_vars: dict[str, t.Any],
    ) -> dict[str, t.Any]:
        """Make what the host lacks and the controller keeps, now that the host was looked at, and lay it there.

        Returns the module's result with the names of what this run makes (``kept``).
        """
        made = [name for name in result.get("missing") or [] if name in arguments["made"]]
        lacking = [name for name in made if name not in arguments["brought"]]
        if lacking and not self._task.check_mode:
            kept.create(lacking, arguments.get("key_algorithm") or DEFAULT_ALGORITHM, AUTHORITY_LIFETIME)
            brought = {
                "brought": kept.certificates(kept.names),
                "offered": [*arguments["offered"], *lacking],
                "keyless": kept.names,
            }
            result = super().execute({**arguments, **brought}, task_vars)
        notes = [*result.get("notes", []), *kept.notes()]
        new = [name for name in lacking if name not in self._made_before()]
        if new:
            notes.append(
                f"The keys of {', '.join(new)} are made in {kept.directory} on the controller and are nowhere else; "
                "keep a copy of that directory in a safe place."
            )
        return {**result, "kept": made, "notes": notes}

    # From control planes to the controller

    def _there(self) -> list[str]:
        """Return the authorities whose keys this host has."""
        return [row.name for row in AUTHORITY_ROWS if pki_cluster.has_key(self._found[self._target], row.name)]

    def _bring(
        self, kept: AuthoritiesDirectory, arguments: t.Mapping[str, t.Any], task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        """Bring keys that this host has and the controller lacks, sealed to a one-time key that never leaves this
        process; returns a result only where that failed."""
        names = [name for name in self._there() if name not in kept.names] if self._moves else []
        self._brought_here = names
        if not names or self._task.check_mode:
            return {}
        receiver = sealed.new_receiver()
        asked = {
            "names": names,
            "receiver": base64.b64encode(receiver.public).decode("ascii"),
            "node_name": _CONTROLLER,
            "chain": True,
        }
        given = super().execute({**self._common(arguments), "give": asked}, task_vars)
        if given.get("failed"):
            return given
        run_id = arguments["run_id"]
        pairs = {name: open_pair(given["given"][name], receiver, run_id, _CONTROLLER, name) for name in names}
        kept.bring(pairs, self._target)
        return {}

    def _common(self, arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Return the arguments that say which host and which run a call is about."""
        return {name: arguments[name] for name in _COMMON if name in arguments}

    def _taken_away(
        self,
        kept: AuthoritiesDirectory,
        here: t.Collection[str],
        arguments: t.Mapping[str, t.Any],
        result: dict[str, t.Any],
        task_vars: dict[str, t.Any],
    ) -> dict[str, t.Any]:
        """Remove this host's keys that an earlier run brought, once every control plane runs without them.

        Args:
            kept: The controller's directory.
            here: What it had when this host's turn began.
            arguments: Of the module.
            result: Of the call before.
            task_vars: Of the task.
        """
        there = self._there()
        unused = pki_cluster.are_unused(self._found, self._group)
        if there and unused and set(there) <= set(here):
            proofs = kept.prove(there, arguments["run_id"], arguments["node_name"])
            removed = super().execute({**self._common(arguments), "take_away": proofs}, task_vars)
            if removed.get("failed"):
                return removed
            lists = {name: [*result.get(name, []), *removed.get(name, [])] for name in ("changes", "diff")}
            if "diff" not in result and "diff" not in removed:
                del lists["diff"]
            return {**result, **lists, "changed": bool(result.get("changed") or removed.get("changed"))}
        notes = list(result["notes"])
        if self._brought_here:
            notes.append(
                f"The keys of {', '.join(self._brought_here)} are brought from {self._target} to {kept.directory}; "
                "keep a copy of that directory in a safe place."
            )
        if there:
            notes.append(
                f"The keys of {', '.join(there)} stay on {self._target} until every control plane has been seen to run "
                "without them; the next run of harden.yml removes them."
            )
        return {**result, "notes": notes}
