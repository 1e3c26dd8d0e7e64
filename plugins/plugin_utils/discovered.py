# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What discovery returned of a host, for actions that look at others than their own."""

from __future__ import annotations

import typing as t

#: What discovery returned, the later first.
RESULTS = ("__discover_again", "__discover_found")
#: Groups that discovery makes, of which one host speaks with the API; where there is the first there is not the second.
SPEAKING = ("kubeharden_control_planes", "kubeharden_speaking_nodes")


def found_of(variables: t.Mapping[str, t.Any], names: t.Sequence[str] = RESULTS) -> dict[str, t.Any]:
    """Return what the last discovery of a host returned, empty where there was none."""
    for name in names:
        result = variables.get(name)
        if isinstance(result, dict) and not result.get("skipped"):
            return result
    return {}


def locks_of(task_vars: t.Mapping[str, t.Any], host: str) -> list[str]:
    """Return which locks the run has taken that a module on a host works under.

    Discovery took them: that of the host there, and that of the cluster on one control plane for all hosts, or where
    the inventory has none on one node. Where there was no discovery, as on a host that joins later, there are none.
    Where the API did not say who has the cluster's the run goes on alone, and joins when the API answers.
    """
    known = task_vars["hostvars"].raw_get
    if "discovery" not in found_of(known(host)):
        return []
    groups = task_vars["groups"]
    # Those of the inventory, until the run knows its own.
    named = groups.get(str(task_vars.get("kubeharden_control_plane_group"))) or []
    speaking = [one for group in SPEAKING for one in groups.get(group) or []] or named
    states = [found_of(known(one)).get("cluster_lock") for one in speaking]
    if "held" in states:
        return ["host", "cluster"]
    return ["host", "alone"] if "unknown" in states else ["host"]
