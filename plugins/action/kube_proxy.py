# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy of the whole cluster: which concerns are wanted, and the user's own flags over them as fields."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components import proxyconfig, versions
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import CONCERN
from ansible_collections.kubeharden.core.plugins.plugin_utils import version_check
from ansible_collections.kubeharden.core.plugins.plugin_utils.concerns import NOTES, select, wanted
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction
from ansible_collections.kubeharden.core.plugins.plugin_utils.selection import Shared

COMPONENT = "kube-proxy"
GROUP = "kubeproxy.config.k8s.io/v1alpha1"


def own_fields(flags: t.Mapping[str, t.Any], version: str) -> dict[str, dict[str, t.Any]]:
    """Return the user's own flags as settings of fields, in the types that this version has.

    Args:
        flags: By flag, its value; discovery has refused those that are not known or have no field.
        version: kube-proxy's.
    """
    fields = versions.choose(COMPONENT, version)[0].fields(GROUP, proxyconfig.KIND) or {}
    types = {field: known.type for field, known in fields.items()}
    return proxyconfig.settings_from_flags({flag: version_check.text_of(value) for flag, value in flags.items()}, types)


class ActionModule(HostAction):
    """Documented in plugins/modules/kube_proxy.py."""

    MODULE = "kube_proxy"

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Choose the settings that this run is about; a field of ours keeps its control when the user gives a value."""
        tags = (task_vars["ansible_run_tags"], task_vars["ansible_skip_tags"])
        self._version = version_check.api_version(arguments["discovery"])
        if (arguments["discovery"].get("api") or {}).get("obstacle"):
            arguments.update(settings={}, pod={}, extra_flags={})  # nothing is planned, and nothing said of it
        self._notes = list((arguments.get("pod") or {}).get(NOTES) or [])
        for name in ("settings", "pod"):
            shared = Shared("kube-proxy", arguments.get("waived") or {}, arguments.get("nodes") or [])
            arguments[name] = shared.settings(select(arguments.get(name) or {}, *tags))
            self._notes += shared.notes()
        extra = (arguments.get("extra_flags") or {}).get(COMPONENT) or {}
        if extra and wanted(*tags, CONCERN[COMPONENT]):
            settings = arguments["settings"]
            for field, data in own_fields(extra, self._version).items():
                if arguments.get("only") and field not in settings:
                    continue  # it belongs to no control; one of ours would take the user's back
                ours = {key: value for key, value in settings.get(field, {}).items() if key == "control"}
                settings[field] = {**ours, **data}
        return arguments

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module, and say what the template left as it was, and what the next version does not take."""
        result = super().execute(arguments, task_vars)
        found = result.pop("found", None) or {}
        warnings = (
            version_check.warnings_of(COMPONENT, self._version, found["flags"], found["configuration"]) if found else []
        )
        result["notes"] = [*self._notes, *warnings, *result.get("notes", [])]
        return result
