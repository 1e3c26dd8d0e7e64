# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A document of report.json as the product itself makes it: by its catalogue, from what it collects, as it judges.

Hosts are the demo's directories, seen as if their components had been started, with certificates; an API answers with
few objects. What takes a port, or the owner of a file, is unknown.
"""

from __future__ import annotations

import datetime
import json
import time
import typing as t
from pathlib import Path

from ansible_collections.kubeharden.core.plugins.module_utils.files.host import open_host
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, issue, keys, profile
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.cluster_evidence import ClusterCollector
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files, report_waivers, verdicts
from lab.standing import evidence, start_all
from tools.checkout import ROOT

CONTROL_PLANES = ("cp1", "cp2", "cp3")
WORKERS = ("w1", "w2")
#: Days that each host's certificates have left.
_DAYS = {"cp1": 364, "cp2": 200, "cp3": 20, "w1": 364, "w2": 90}
_WAIVED = {
    "control": "apiserver-event-rate",
    "hosts": ["cp2"],
    "reason": "The limits are set by a gateway before this control plane.",
    "owner": "platform team",
}


class _Api:
    """Answers with the objects of a list, by the beginning of its path; anything else is an empty list."""

    def get(self, path: str, accept: str = "") -> Answer:  # noqa: ARG002  (as an ApiClient has it)
        names = {"/api/v1/namespaces?": ("default", "kube-system", "team-a"), "/api/v1/nodes?": ("cp1", "w1", "w2")}
        found = next((listed for beginning, listed in names.items() if path.startswith(beginning)), ())
        items = [{"metadata": {"name": name}} for name in found]
        if path.startswith("/api/v1/pods?"):
            items = [_pod("team-a", "worker-6f4b"), _pod("default", "debug")]
        if path.endswith("/proxy/configz"):
            return Answer(200, json.dumps({"kubeletconfig": {"readOnlyPort": 10255}}).encode())
        return Answer(200, json.dumps({"items": items}).encode())


def _pod(namespace: str, name: str) -> dict[str, t.Any]:
    spec = {"containers": [{"name": "main", "image": "registry.example.org/worker:1"}]}
    return {"metadata": {"namespace": namespace, "name": name}, "spec": spec}


def _lay(root: Path, name: str, signer: issue.Authority, now: float) -> None:
    """Lay certificates where a host has them."""
    key = keys.generate("ECDSA-P256")

    def pair(common_name: str, organizations: t.Sequence[str], usage: str) -> bytes:
        wanted = profile.wanted(common_name, organizations, usages=(usage,))
        made = issue.issue(wanted, keys.public_bytes(key), signer, now, _DAYS[name] * 86400)
        return issue.certificate_pem(made)

    files = {
        "var/lib/kubelet/pki/kubelet-client-current.pem": pair(f"system:node:{name}", ["system:nodes"], profile.CLIENT)
        + keys.private_pem(key)
    }
    if name in CONTROL_PLANES:
        certificate, own = authority.files(signer)
        files |= {
            "etc/kubernetes/pki/ca.crt": certificate,
            "etc/kubernetes/pki/ca.key": own,
            "etc/kubernetes/pki/apiserver.crt": pair("kube-apiserver", (), profile.SERVER),
            "etc/kubernetes/pki/apiserver.key": keys.private_pem(key),
        }
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).unlink(missing_ok=True)  # a link that leads nowhere, as the demo has it
        (root / path).write_bytes(content)
        (root / path).chmod(0o600)


def report(directory: Path) -> dict[str, t.Any]:
    """Return the document.

    Args:
        directory: An empty one, where the hosts are laid.
    """
    now = time.time()
    signer = authority.create(profile.wanted_authority("kubernetes"), now - 86400, "ECDSA-P256")
    hosts: dict[str, t.Any] = {}
    for name in (*CONTROL_PLANES, *WORKERS):
        root, proc = directory / name, directory / f"proc-{name}"
        open_host(str(root), str(ROOT / "inventories/demo/hosts.orig" / name), False, lambda: str(directory))
        _lay(root, name, signer, now)
        start_all(root, proc)
        hosts[name] = {"evidence": evidence(root, proc, name in CONTROL_PLANES), "problem": ""}
    hosts["w3"] = {"problem": "ssh: connect to host w3 port 22: No route to host"}
    cluster = ClusterCollector(t.cast(t.Any, _Api()), now).collect()
    controls = catalogue_files.load()
    ends = datetime.datetime.fromtimestamp(now, datetime.timezone.utc).date() + datetime.timedelta(days=60)
    waivers = report_waivers.parse([{**_WAIVED, "expires": ends.isoformat()}], controls, set, verdicts.CLUSTER)
    settings = verdicts.Settings("20270115T080000Z-7f3a", "baseline", "1.0.0", now, waivers)
    seen = verdicts.Seen(hosts, {"evidence": cluster, "problem": ""}, CONTROL_PLANES)
    return verdicts.build(seen, controls, settings)
