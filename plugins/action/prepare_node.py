# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new control plane needs, with its changes written down."""

from __future__ import annotations

import base64
import os
import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    """Documented in plugins/modules/prepare_node.py."""

    MODULE = "prepare_node"

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:  # noqa: ARG002
        """Turn the settings and texts of the control planes into paths: each file where the flag that names it says.

        What else the flags of the control plane that is there name is the owner's: laid if it holds no secret, else it
        must be there, since kubeadm join writes the flag.
        """
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
            elif one["path"] not in files:
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
