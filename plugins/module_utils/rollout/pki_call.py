# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call for the leaves and kubeconfigs of a host, from its parameters to its result."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, Host, open_host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes
from ansible_collections.kubeharden.core.plugins.module_utils.pki import brought, data, listing, names, profile, refuse
from ansible_collections.kubeharden.core.plugins.module_utils.pki.outside import Returned
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import iso_time
from ansible_collections.kubeharden.core.plugins.module_utils.probes import pod_logs
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import tls_peer
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import leaves, pki_files, rotation
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_view import View, view


def leaves_call(
    parameters: t.Mapping[str, t.Any], check: bool, scratch: t.Callable[[], str], run: pod_logs.Run
) -> tuple[list[Change], dict[str, t.Any]]:
    """Plan, and outside check mode apply; return the changes and the other facts of the result.

    Args:
        parameters: Of the module; ``leaves`` may be False for kubeconfigs alone, ``write`` where it is only looked.
        check: Whether this is check mode.
        scratch: Gives the module's temporary directory.
        run: Runs a command of the host.

    Raises:
        HardeningError: What stopped it; the host is then what it was.
    """
    host = open_host(parameters["root"], parameters["root_seed"], check, scratch)
    now = time.time()
    seen = view(host, parameters, now, check, judge_clock=False)
    renews = parameters["scope"] != leaves.SCOPE_MISSING
    # What is missing is no running component's: there is nothing to restart and nothing to be seen.
    # Nor does anything run before there is a cluster.
    runs = host.live and not (parameters["discovery"] or {}).get("before_init")
    discovery = parameters["discovery"] if runs and renews else None
    options = leaves.Options(
        policy=data.policy(parameters["policy"]),
        scope=parameters["scope"],
        only=tuple(parameters["only"]),
        expected=frozenset(parameters["expected"]) if check else frozenset(),
        restarts=discovery is not None,
        leaves=parameters.get("leaves", True),
        signer=parameters["signer"],
        without_key=frozenset(parameters["without_key"]),
        brought=brought.read_all(parameters["brought"], now),
        outside=frozenset(parameters["outside"]),
        returned={
            name: Returned(one["certificate"].encode("utf-8"), one["path"])
            for name, one in parameters["returned"].items()
        },
    )
    planned = _planned(seen, parameters, now, options)
    theirs = (parameters["discovery"] or {}).get("rootless") or ()
    repaired = [path for path in pki_files.leaf_paths(seen.pki) if path not in theirs]
    opened = seen.store.open_secrets(repaired) if parameters["repair"] else []
    owed = rotation.owed(host) if discovery is not None else []
    changes = [*opened, *planned.changes(), *rotation.owed_changes(owed, planned.changes())]
    facts: dict[str, t.Any] = {
        "requests": [],
        "bundles": [],
        # None: not known before the answers are here.
        "unsigned": None,
        "issued": [],
        "restarted": {},
        "notes": [*seen.notes, *planned.notes],
        "endpoint": seen.endpoint,
        "not_done": planned.not_done,
        "backup": "",
    }
    served: list[dict[str, t.Any]] = []
    if renews:
        facts["certificates"], unread = _ends(host, seen, parameters, planned.new_in)
        served, silent = _shown_by_etcd(discovery)
        facts["certificates"] += served
        facts["notes"] += unread + silent
    if check or not parameters.get("write", True):
        return changes, {**facts, "unsigned": planned.unsigned()}
    if planned.asks and parameters["answers"] is None:
        asked = [dataclasses.asdict(request) for request in planned.ask()]
        return [], {**facts, "requests": asked, "bundles": planned.wanted_bundles()}
    seen.store.close_secrets(opened)
    if planned.changes() or owed:
        answers, bundles = parameters["answers"] or {}, parameters["bundles"]
        limit, beside = float(parameters["gate_timeout"]), parameters["api_servers"]
        gate = rotation.Gate(host, seen.store, discovery, limit, run, beside=beside)
        facts["restarted"] = gate.apply(planned, answers, bundles)
    planned.tidy()
    facts["unsigned"] = planned.unsigned()
    facts["issued"] = [
        {"name": one.name, "path": one.path, "not_after": iso_time(one.not_after), "serial": f"{one.serial:x}"}
        for one in planned.issued
    ]
    replaced = [
        change
        for change in changes
        if change.kind != "container" and not change.target.startswith(f"{pki_files.REQUESTS}/")
    ]
    facts["backup"] = f"{STATE_DIRECTORY}/backups/{parameters['run_id']}" if replaced else ""
    if planned.issued:
        seen.files = pki_files.read(host, seen.pki)
        facts["certificates"] = _ends(host, seen, parameters, planned.new_in)[0] + served
    return changes, facts


def _planned(seen: View, parameters: t.Mapping[str, t.Any], now: float, options: leaves.Options) -> leaves.Leaves:
    """What is to be done. By a clock that is far off nothing is, but it is no reason to end where there is nothing.

    Raises:
        HardeningError: A clock that is far off, or what cannot be done.
    """
    try:
        planned = leaves.Leaves(seen.store, seen.pki, seen.files, now, options)
        planned.refuse_foreign()
    except HardeningError:
        refuse.clock(now, parameters.get("now"), seen.pki.node_name)  # may be the reason
        raise
    if planned.changes():
        refuse.clock(now, parameters.get("now"), seen.pki.node_name)
    return planned


def _shown_by_etcd(discovery: t.Mapping[str, t.Any] | None) -> tuple[list[dict[str, t.Any]], list[str]]:
    """When the certificates end that an etcd elsewhere shows, whose host is left alone; then which shows none."""
    found, notes = [], []
    for address, port in rotation.etcd_elsewhere(discovery) if discovery is not None else []:
        url = f"https://{names.host_and_port(address, port)}"
        peer = tls_peer(address, port)
        if peer.certificate is None:
            notes.append(f"When etcd's certificate ends is not known, since {url} shows none ({peer.reason}).")
            continue
        facts = profile.from_der(peer.certificate, url)
        found.append(
            {
                "name": "etcd-server",
                "path": url,
                "kind": listing.SERVED,
                "subject": str(facts.profile.subject),
                "not_after": iso_time(facts.not_after),
                "new": False,
            }
        )
    return found, notes


def _ends(
    host: Host, seen: View, parameters: t.Mapping[str, t.Any], new_in: t.Collection[str]
) -> tuple[list[dict[str, t.Any]], list[str]]:
    """When every certificate of the host ends, and which of them this call issues, or would; then what cannot be read.

    That is only what a kubelet or an owner looks after, and no reason to leave the rest: anything else was refused
    before.
    """
    layout = data.layout(parameters["layout"])
    discovery = parameters["discovery"] or {}
    found, notes = listing.ends(seen.files, layout), []
    kubelets: dict[str, bytes] = {}
    try:
        kubelets = pki_files.read_kubelets(host, seen.pki, seen.files, discovery.get("kubelet") or {}, layout.kubelet)
    except HardeningError as error:
        notes.append(str(error))
    for path in dict.fromkeys([*kubelets, *pki_files.in_use(discovery)]):
        if path in seen.files:
            continue
        try:
            content = kubelets.get(path) or read_bytes(host.path(path)) or b""
            one_file = listing.ends({path: content}, layout)
        except HardeningError as error:
            notes.append(str(error))
            continue
        found += one_file if path in kubelets else [_of_owner(one) for one in one_file]
    return [{**one, "new": one["path"] in new_in and one["kind"] != listing.AUTHORITY} for one in found], notes


def _of_owner(entry: dict[str, str]) -> dict[str, str]:
    return entry if entry["kind"] == listing.AUTHORITY else {**entry, "kind": listing.OWNERS}
