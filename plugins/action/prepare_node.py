# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new control plane needs, with its changes written down."""

from __future__ import annotations

import base64
import os
import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils import pki_joining
from ansible_collections.kubeharden.core.plugins.plugin_utils.concerns import wanted
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction
from ansible_collections.kubeharden.core.plugins.plugin_utils.pki_action import variables_of


class ActionModule(HostAction):
    """Documented in plugins/modules/prepare_node.py."""

    MODULE = "prepare_node"

    _pattern: tuple[str, t.Mapping[str, t.Any], dict[str, t.Any]] | None = None
    _serving: t.Sequence[str] = ()

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Turn the settings and texts of the control planes into paths: each file where the flag that names it says.

        What else the flags of the control plane that is there name is the owner's: laid if it holds no secret, else it
        must be there, since kubeadm join writes the flag.
        """
        self._see_serving(str(arguments.pop("pattern", "") or ""), arguments.get("discovery") or {}, task_vars)
        made = pki_joining.paths(self._serving)
        flags = arguments.get("flags") or {}
        found = (arguments.get("discovery") or {}).get("components", {})
        contents = arguments.get("contents") or {}
        files: dict[str, str] = {}
        directories: set[str] = set()
        for component, concerns in flags.items():
            for settings in concerns.values():
                if not isinstance(settings, dict):
                    continue
                for flag, data in settings.items():
                    path = str(data.get("keep") or data.get("exact") or "")
                    if found.get(component, {}).get("flags", {}).get(flag) != path:
                        continue  # what no control plane has, kubeadm does not write
                    if data.get("mount") == "read_only" and flag in contents.get(component, {}):
                        files[path] = contents[component][flag]
                    elif data.get("mount") == "read_write":
                        directories.add(os.path.dirname(path))
        owners: dict[str, str] = {}
        named = dict(arguments.get("named_files") or {})
        for one in (arguments.get("discovery") or {}).get("flag_files") or []:
            if "folder" in one:
                directories.add(one["folder"])
            elif one["path"] not in files and one["content"] is not None:
                owners[one["path"]] = base64.b64decode(one["content"]).decode()
            elif one["path"] not in files and one["path"] not in made:
                named.setdefault(one["path"], f"--{one['flag']} of {one['component']}")
        return {
            **arguments,
            "discovery": {},
            "flags": {},
            "contents": {},
            "files": files,
            "owners_files": owners,
            "named_files": {path: name for path, name in named.items() if path not in owners},
            "directories": sorted(directories),
        }

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module, and say what the tasks that come after need for certificates that are still to be made."""
        result = super().execute(arguments, task_vars)
        if self._pattern is None or not self._serving or result.get("failed"):
            return {**result, "serving": {}}
        host = str(task_vars["inventory_hostname"])
        # A directory that stands for a host may not say its name.
        node_name = str(result.get("node_name") or host)
        facts = pki_joining.facts(self._serving, self._pattern, node_name, variables_of(task_vars, host))
        return {**result, "serving": facts}

    def _see_serving(self, pattern: str, discovery: t.Mapping[str, t.Any], task_vars: dict[str, t.Any]) -> None:
        """See which certificates that the flags name this run makes: none where it leaves certificates out."""
        if pattern and wanted(task_vars["ansible_run_tags"], task_vars["ansible_skip_tags"], "pki"):
            variables = variables_of(task_vars, pattern)
            self._pattern = (pattern, discovery, variables)
            self._serving = pki_joining.rows(discovery, variables)
