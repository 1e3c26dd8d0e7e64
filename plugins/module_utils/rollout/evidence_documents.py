# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration that components were told to read, as far as it is judged; nothing of it is secret."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.paths import holds
from ansible_collections.kubeharden.core.plugins.module_utils.controls import audit_policy
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_text
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import View

#: Flags of the API server that name a file which must be the host's.
_FILES_OF_FLAGS = (
    "audit-log-path", "audit-policy-file", "audit-webhook-config-file", "admission-control-config-file",
    "authentication-config", "authorization-config", "encryption-provider-config",
    "authentication-token-webhook-config-file", "tracing-config-file", "egress-selector-config-file",
)  # fmt: skip
#: Seconds by which the start of a process may be told too early: the kernel says when it booted in whole ones.
_GRAIN = 2.0


class Documents:
    """Looks at the configuration of one host's components.

    Args:
        view: How the host is seen.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        #: What was read of the document under way.
        self._read: list[str] = []

    def read(self) -> dict[str, dict[str, t.Any]]:
        """Return by name what each document says, with its path, or why it cannot be told."""
        wanted: tuple[tuple[str, str, str, t.Callable[[str, str], dict[str, t.Any]]], ...] = (
            ("authentication", "kube-apiserver", "authentication-config", self._authentication),
            ("authorization", "kube-apiserver", "authorization-config", self._authorization),
            ("admission", "kube-apiserver", "admission-control-config-file", self._admission),
            ("encryption", "kube-apiserver", "encryption-provider-config", self._encryption),
            ("audit_policy", "kube-apiserver", "audit-policy-file", self._audit_policy),
            ("scheduler", "kube-scheduler", "config", self._scheduler),
        )
        found = {}
        for name, component, flag, read in wanted:
            path = self._view.value(component, flag)
            if not path:
                continue
            self._read = []
            try:
                found[name] = {"path": path, **read(component, path)}
                found[name]["written_since"] = self._written_since(component)
            except (HardeningError, AttributeError, TypeError) as error:
                words = (
                    self._view.explain(error)
                    if isinstance(error, HardeningError)
                    else f"{path} is not what it should be"
                )
                found[name] = {"path": path, "problem": words}
        return found

    def unmounted(self) -> list[str] | None:
        """Return what the API server's container was given a path for that lies in the container alone.

        None where its process or its manifest was not seen.
        """
        component = "kube-apiserver"
        if component not in self._view.pods or component not in self._view.processes:
            return None
        mounts = self._view.pods[component]["mounts"]
        given = [(flag, self._view.value(component, flag)) for flag in _FILES_OF_FLAGS]
        return [
            f"--{flag} {path}"
            for flag, path in given
            # A relative path is one of the container's own; the log's "-" is the process's output.
            if path and path != "-" and not any(holds(mount, path) for mount in mounts)
        ]

    def _written_since(self, component: str) -> list[str]:
        """Return which files of the document under way were written after the process that was given them started.

        Only the time of their content counts: owners and modes change the other one, and nothing of what they say.
        """
        started = self._view.processes[component].started + _GRAIN
        return [path for path in self._read if _written(self._view.path_as(component, path)) > started]

    def _required(self, component: str, path: str) -> dict[str, t.Any]:
        self._read.append(path)
        document = self._view.yaml_as(component, path)
        if not isinstance(document, dict):
            raise HardeningError("KH502", f"{path} of {component} is not there or no mapping")
        return document

    def _authentication(self, component: str, path: str) -> dict[str, t.Any]:
        document = self._required(component, path)
        return {"anonymous": document.get("anonymous"), "issuers": len(document.get("jwt") or [])}

    def _authorization(self, component: str, path: str) -> dict[str, t.Any]:
        return {"types": [one.get("type") for one in self._required(component, path).get("authorizers") or []]}

    def _admission(self, component: str, path: str) -> dict[str, t.Any]:
        plugins: dict[str, t.Any] = {}
        for one in self._required(component, path).get("plugins") or []:
            configuration = one.get("configuration")
            if configuration is None and one.get("path"):
                configuration = self._required(component, os.path.join(os.path.dirname(path), str(one["path"])))
            # Others may hold credentials of a webhook.
            known = one.get("name") == "PodSecurity"
            plugins[str(one.get("name"))] = (
                {"defaults": configuration.get("defaults")} if known and configuration else {}
            )
        return {"plugins": plugins}

    def _encryption(self, component: str, path: str) -> dict[str, t.Any]:
        """Return which providers stand where, and nothing of their keys."""
        return {
            "resources": [
                {
                    "resources": [str(name) for name in one.get("resources") or []],
                    "providers": [next(iter(provider), "") for provider in one.get("providers") or []],
                }
                for one in self._required(component, path).get("resources") or []
            ]
        }

    def _audit_policy(self, component: str, path: str) -> dict[str, t.Any]:
        self._read.append(path)
        text = read_text(self._view.path_as(component, path))
        if text is None:
            raise HardeningError("KH502", f"{path} of {component} is not there")
        return {"findings": audit_policy.judge(text)}

    def _scheduler(self, component: str, path: str) -> dict[str, t.Any]:
        return {"enable_profiling": self._required(component, path).get("enableProfiling")}


def _written(place: str) -> float:
    """Return when a file got its content, 0 where that cannot be told."""
    try:
        return os.stat(place).st_mtime
    except OSError:
        return 0.0
