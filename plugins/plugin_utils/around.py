# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be well around a control plane before it is changed: hosts before it were, since discovery saw them all."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import API_SERVER
from ansible_collections.kubeharden.core.plugins.module_utils.pki.listing import AUTHORITY, OWNERS, SERVED
from ansible_collections.kubeharden.core.plugins.module_utils.probes.moments import seconds_of
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kubeadm import KUBELET
from ansible_collections.kubeharden.core.plugins.plugin_utils.discovered import found_of

#: By what names the parts of a rollback that restart something are known.
PUT_BACK = ("__rollback_static_pods", "__rollback_kubelet")
#: By host of the run, what discovery returned; empty where it did not reach it.
Found = t.Mapping[str, t.Mapping[str, t.Any]]


def api_servers(found: Found) -> dict[str, str]:
    """Return the address of each API server of the run, by host.

    Those of hosts that take no part are none of them: one that is known to be away must not keep the run from going on.
    """
    servers = {}
    for host in sorted(found):
        discovered = found[host].get("discovery") or {"components": {}}
        flags = (discovered["components"].get(API_SERVER) or {}).get("flags") or {}
        address = str(flags.get("advertise-address") or "")
        if address:
            shown = f"[{address}]" if ":" in address else address
            servers[host] = f"https://{shown}:{flags.get('secure-port') or 6443}"
    return servers


def found_around(task_vars: t.Mapping[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """Return what discovery returned of every host of the run."""
    # Raw: what looks like a template in a host's file is text here too.
    known = task_vars["hostvars"].raw_get
    return {host: found_of(known(host)) for host in task_vars["groups"].get("kubeharden_candidates", [])}


def around(found: Found) -> dict[str, t.Any]:
    """Return the API servers and nodes of the run, as the modules take them."""
    nodes = [str(found[host]["discovery"]["node_name"]) for host in sorted(found) if found[host].get("discovery")]
    return {"api_servers": api_servers(found), "nodes": nodes}


def kubelets(found: Found) -> list[t.Mapping[str, t.Any]]:
    """Return what discovery says of each kubelet of the run."""
    return [found[host]["discovery"]["kubelet"] for host in sorted(found) if found[host].get("discovery")]


def kubelet_config_map(found: Found) -> str:
    """Return what ConfigMap kubelet-config says by the word of the first host that has read it; empty for none."""
    for host in sorted(found):
        config_maps = (found[host].get("discovery") or {}).get("config_maps") or {}
        text = config_maps.get(KUBELET[0], {}).get(KUBELET[1])
        if text:
            return str(text)
    return ""


def well_servers(found: Found, back: t.Collection[str]) -> dict[str, str]:
    """Return the addresses of the API servers that a rollback must not take another one away from.

    One that discovery found unwell is none of them: what heals it, or has nothing to do with it, must not wait for it.
    It is one from the moment at which its own part is back and was proven.

    Args:
        found: By host, what discovery returned.
        back: The hosts of which this rollback has put the API server back.
    """
    asked = {}
    for host, server in api_servers(found).items():
        seen = (found[host].get("evidence") or {}).get("api") or {"unwell": "it was not looked at"}
        if host in back or not seen.get("unwell"):
            asked[host] = server
    return asked


def parts_put_back(known: t.Mapping[str, t.Any]) -> list[t.Mapping[str, t.Any]]:
    """Return what the parts of a rollback returned that have restarted something on a host.

    Args:
        known: The host's variables.
    """
    return [part for part in (known.get(name) or {} for name in PUT_BACK) if part.get("restarted")]


def around_put_back(found: Found, parts: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]]) -> dict[str, t.Any]:
    """Return the API servers and nodes that must be well before a rollback goes on, as the modules take them.

    Those are what was well before, or was proven since: it may be that nothing of a rollback heals the others.

    Args:
        found: By host, what discovery returned.
        parts: By host, what its parts returned that have restarted something.
    """
    back = [host for host, done in parts.items() if any(API_SERVER in part["restarted"] for part in done)]
    ready = {host for host, done in parts.items() if any(part.get("was_ready") for part in done)}
    nodes = [str(found[host]["discovery"]["node_name"]) for host in sorted(ready)]
    return {"api_servers": well_servers(found, back), "nodes": nodes}


def has_ended(found: t.Mapping[str, t.Any], renewed: t.Mapping[str, t.Any]) -> bool:
    """Return whether a certificate of a host has ended, so that nobody can expect it to be well.

    Args:
        found: What discovery returned.
        renewed: What the task returned that renews them, when the host has had its turn; else empty.
    """
    evidence = found.get("evidence") or {}
    now = float(evidence.get("now") or 0.0)
    if "certificates" in renewed:
        # No run ends what is not its to renew.
        others = (AUTHORITY, OWNERS, SERVED)
        ends = [seconds_of(one["not_after"]) for one in renewed["certificates"] if one["kind"] not in others]
    else:
        ends = [float(one["ends"]) for one in evidence.get("certificates") or []]
    return any(end <= now for end in ends)
