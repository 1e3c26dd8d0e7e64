# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The static pods of one control plane: which concerns are wanted, and the user's own flags over them."""

from __future__ import annotations

import typing as t

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import CONCERN
from ansible_collections.kubeharden.core.plugins.plugin_utils import controller, planned, version_check
from ansible_collections.kubeharden.core.plugins.plugin_utils.around import around, found_around
from ansible_collections.kubeharden.core.plugins.plugin_utils.concerns import NOT_DONE, NOTES, wanted
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction

Flags = dict[str, dict[str, t.Any]]

#: What a flag of ours keeps when the user gives it another value.
_KEPT = ("control", "mount", "files")
#: What a control plane is asked for; what else a task says is how.
_ASKED = ("flags", "base_flags", "later_flags", "files")


def select(
    flags: t.Mapping[str, t.Mapping[str, Flags]], run_tags: t.Sequence[str], skip_tags: t.Sequence[str]
) -> dict[str, Flags]:
    """Return flags by component, of the concerns that are wanted."""
    selected: dict[str, Flags] = {}
    for component, concerns in flags.items():
        selected[component] = {}
        for concern, settings in concerns.items():
            if concern not in (NOTES, NOT_DONE) and wanted(run_tags, skip_tags, concern):
                selected[component].update(settings)
    return selected


def add_extra(
    selected: dict[str, Flags],
    extra: t.Mapping[str, t.Mapping[str, t.Any]],
    run_tags: t.Sequence[str],
    skip_tags: t.Sequence[str],
    only: t.Sequence[str] = (),
    beside: bool = True,
) -> None:
    """Merge the user's own flags last; a flag of ours keeps its control and its mount.

    They belong to the concern of their component, and to no control (only), but for those that this run writes anyway:
    our value of them would take the user's back. With beside=False none but those is merged.
    """
    for component, flags in extra.items():
        all_of_them = beside and wanted(run_tags, skip_tags, CONCERN[component]) and not only
        settings = selected.setdefault(component, {})
        for flag, value in flags.items():
            name = str(flag).replace("_", "-")
            if not all_of_them and name not in settings:
                continue
            ours: dict[str, t.Any] = {key: item for key, item in settings.get(name, {}).items() if key in _KEPT}
            settings[name] = {**ours, "exact": version_check.occurrences_of(value)}


class ActionModule(HostAction):
    """Documented in plugins/modules/control_plane.py."""

    MODULE = "control_plane"

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Choose the settings that this run is about, of the components that this host has."""
        self._notes = [note for concerns in arguments["flags"].values() for note in concerns.get(NOTES, [])]
        self._not_done = [words for concerns in arguments["flags"].values() for words in concerns.get(NOT_DONE, [])]
        tags = (task_vars["ansible_run_tags"], task_vars["ansible_skip_tags"])
        selected = select(arguments["flags"], *tags)
        base = select(arguments.get("base_flags") or {}, *tags)
        later = select(arguments.get("later_flags") or {}, *tags)
        # The user's own come last, but once: where something was written before, they were written with it. What comes
        # after that does not take them back.
        extra = arguments.get("extra_flags") or {}
        add_extra(base or selected, extra, *tags, arguments.get("only") or [])
        for behind in (later, *([selected] if base else [])):
            add_extra(behind, extra, *tags, beside=False)
        components = arguments["discovery"]["components"]
        for name, chosen in (("flags", selected), ("base_flags", base), ("later_flags", later)):
            arguments[name] = {
                component: flags for component, flags in chosen.items() if component in components and flags
            }
        every: dict[str, Flags] = {
            component: {**base.get(component, {}), **selected.get(component, {})} for component in (*base, *selected)
        }
        self._looked_up = version_check.check(components, every)
        earlier = arguments.pop("planned", None) or {}
        if earlier:
            arguments["tried"] = earlier.get("tried") or {}
        # What the templates say of themselves too: a later task may know more.
        told = [self._notes, self._not_done]
        self._asked = planned.digest([*(arguments.get(name) or {} for name in _ASKED), *told])
        self._unchanged = planned.unchanged(earlier, self._asked)
        if boolean(arguments.get("own_lock", False)):
            arguments["controller"], arguments["process"] = controller.identity()
        return {**arguments, **around(found_around(task_vars))}

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Change the control plane, or say what it would be stopped by where all of them are tried at once."""
        if boolean(arguments.get("write", True)):
            return self._unchanged or self._execute(arguments, task_vars)
        return planned.told(self._execute(arguments, task_vars), self._asked)

    def _execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module, unless a version does not know what it would write; say what the templates left as it was."""
        if self._looked_up.problems:
            return version_check.refusal("KH008", self._looked_up.problems, task_vars["inventory_hostname"])
        result = super().execute(arguments, task_vars)
        result["notes"] = [*self._notes, *self._looked_up.warnings, *result.get("notes", [])]
        result["not_done"] = [*self._not_done, *result.get("not_done", [])]
        return result
