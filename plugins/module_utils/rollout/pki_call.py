# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call for the leaves and kubeconfigs of a host, from its parameters to its result."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, open_host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change
from ansible_collections.kubeharden.core.plugins.module_utils.pki import data
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import iso_time
from ansible_collections.kubeharden.core.plugins.module_utils.probes import pod_logs
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import leaves, pki_files, rotation
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_view import view


def leaves_call(
    parameters: t.Mapping[str, t.Any], check: bool, scratch: t.Callable[[], str], run: pod_logs.Run
) -> tuple[list[Change], dict[str, t.Any]]:
    """Plan, and outside check mode apply; return the changes and the other facts of the result.

    Args:
        parameters: Of the module; ``leaves`` may be False for kubeconfigs alone.
        check: Whether this is check mode.
        scratch: Gives the module's temporary directory.
        run: Runs a command of the host.

    Raises:
        HardeningError: What stopped it; the host is then what it was.
    """
    host = open_host(parameters["root"], parameters["root_seed"], check, scratch)
    now = time.time()
    seen = view(host, parameters, now, check)
    renews = parameters["scope"] != leaves.SCOPE_MISSING
    # What is missing is no running component's: there is nothing to restart and nothing to be seen.
    discovery = parameters["discovery"] if host.live and renews else None
    options = leaves.Options(
        policy=data.policy(parameters["policy"]),
        scope=parameters["scope"],
        only=tuple(parameters["only"]),
        expected=frozenset(parameters["expected"]) if check else frozenset(),
        restarts=discovery is not None,
        leaves=parameters.get("leaves", True),
        signer=parameters["signer"],
    )
    planned = leaves.Leaves(seen.store, seen.pki, seen.files, now, options)
    opened = seen.store.open_secrets(pki_files.leaf_paths(seen.pki)) if parameters["repair"] else []
    changes = [*opened, *planned.changes()]
    facts: dict[str, t.Any] = {
        "requests": [],
        "bundles": [],
        "issued": [],
        "restarted": {},
        "notes": [*seen.notes, *planned.notes],
        "not_done": planned.not_done,
        "backup": "",
    }
    if check:
        return changes, facts
    if planned.asks and parameters["answers"] is None:
        asked = [dataclasses.asdict(request) for request in planned.ask()]
        return [], {**facts, "requests": asked, "bundles": planned.wanted_bundles()}
    seen.store.close_secrets(opened)
    owed = rotation.owed(host) if discovery is not None else []
    if planned.changes() or owed:
        answers, bundles = parameters["answers"] or {}, parameters["bundles"]
        gate = rotation.Gate(host, seen.store, discovery, float(parameters["gate_timeout"]), run)
        facts["restarted"] = gate.apply(planned, answers, bundles)
    facts["issued"] = [
        {"name": one.name, "path": one.path, "not_after": iso_time(one.not_after), "serial": f"{one.serial:x}"}
        for one in planned.issued
    ]
    facts["backup"] = f"{STATE_DIRECTORY}/backups/{parameters['run_id']}" if changes else ""
    return changes, facts
