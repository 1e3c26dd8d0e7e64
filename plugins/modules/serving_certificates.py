#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubelets' requests for serving certificates."""

from __future__ import annotations

DOCUMENTATION = r"""
module: serving_certificates
short_description: Approve kubelets' requests for serving certificates, once judged, and prove what is served
version_added: 0.1.0
description:
  - Runs on a control plane. Nobody else approves these requests, so renewals and new nodes need it too.
  - A request is approved when its requester is a node, its subject is that node's, every name in it is an
    address of the node, and its usages are those of a server. Every other one is left and told.
  - A kubelet is proven when the certificate that it serves is its node's, of the cluster's authority, holds today, and
    is for the address by which API servers reach it (C(--kubelet-preferred-address-types)). Where API servers verify
    kubelets already, what C(--kubelet-certificate-authority) names counts; where that is an authority of the owner's,
    the certificate need not be the node's by its subject.
  - Since a kubelet writes its node's addresses itself, no request is approved for a name of a service of the cluster or
    of every host, for what another node has too, nor, unless the node is a control plane, for what the certificate of
    this host's API server names.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  discovery:
    description: What M(kubeharden.core.discover) returned for this control plane.
    type: dict
    required: true
  expected:
    description:
      - Node names of the kubelets that this run made ask for a certificate. They are waited for, and no other request
        is judged; empty for every request that waits.
    type: list
    elements: str
    default: []
  granted:
    description:
      - Node names of the kubelets that earlier tasks of the run made ask. In check mode they count as approved and
        proven.
    type: list
    elements: str
    default: []
  approve:
    description: Whether to approve anything; else is only looked at what is served.
    type: bool
    default: true
  renewals:
    description:
      - Whether to approve all the same, with O(approve=false), where a record on this host says that Kubeharden
        approved before, and was not put back; kubelets that it made ask must get their renewals. Else what waits is
        told.
    type: bool
    default: false
  by_record:
    description: Whether O(renewals) approves where such a record is; else what waits is told.
    type: bool
    default: true
  closed:
    description:
      - Whether certificates that have ended keep this host from the API. What came before in the run has renewed them,
        but in check mode, where nothing is looked at then.
    type: bool
    default: false
  reached:
    description:
      - By node name, the names and addresses at which the controller reaches the hosts that take part. The action
        plugin gives it.
    type: dict
    default: {}
  tells:
    description:
      - Whether RV(not_done) says which kubelets are not proven, and why, where nobody is O(expected). It does in any
        case where the API server verifies them already.
    type: bool
    default: false
  signed_elsewhere:
    description:
      - Whether the controller alone has the authority's key, so that kube-controller-manager signs nothing. Then who
        was approved is not waited for, and RV(to_sign) says what the controller is to sign.
    type: bool
    default: false
  certificates:
    description: By name of the request, its C(uid) and the C(certificate) that the controller signed, which are laid.
    type: dict
    default: {}
  kubectl:
    description: The kubectl on the host, where it is in none of the usual places.
    type: path
  limit:
    description: Seconds to wait for the expected nodes.
    type: int
    default: 120
  report_dir:
    description: Where the action plugin keeps C(changes.json) on the controller.
    type: path
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Approve what waits
  kubeharden.core.serving_certificates:
    run_id: 20261124T101500Z-3f2a
    discovery: "{{ found.discovery }}"
    expected: [w1, w2]
"""

RETURN = r"""
changes:
  description: What was approved, or would be, as changes.json has it.
  returned: success
  type: list
  elements: dict
proven:
  description:
    - Whether every node of the cluster serves such a certificate, or would after this run; where some are O(expected),
      whether those do.
  returned: success
  type: bool
unproven:
  description: By node, what it serves instead.
  returned: success
  type: dict
notes:
  description: Requests that were refused, as sentences.
  returned: success
  type: list
  elements: str
approval_due:
  description: A sentence that says until when the next approval is due; empty where this is not who approves.
  returned: success
  type: str
at_last:
  description: That sentence, where there is one; the run's last lines.
  returned: success
  type: list
  elements: str
approved:
  description: In check mode, names of the nodes whose requests would be approved.
  returned: success
  type: list
  elements: str
to_sign:
  description: Kubelets' requests that were approved and that nobody has signed, with what is needed to judge them.
  returned: success
  type: list
  elements: dict
nodes:
  description: The cluster's nodes, with what is needed to judge their requests.
  returned: success
  type: list
  elements: dict
not_done:
  description: What was left undone, requests that nobody approves, and kubelets that are not proven.
  returned: success
  type: list
  elements: str
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import (
    HOST_OPTIONS,
    require_libraries,
    result_of,
    run,
    runner,
)

#: Seconds that a kubelet may take to serve what was just signed for it.
_SWITCHED = 10.0


def cluster_of(module: AnsibleModule) -> t.Any:
    """Return the real ways to see the cluster."""
    from ansible_collections.kubeharden.core.plugins.module_utils.controls import serving_request
    from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
    from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes
    from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import tls_peer
    from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubectl import on_host
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.serving import (
        OWN_ADDRESSES,
        Cluster,
        api_server_names,
    )

    found = module.params["discovery"]
    served = api_server_names(found)
    kubectl = on_host(module.params["kubectl"], found["admin_kubeconfig"], runner(module))
    flags = found["components"]["kube-apiserver"]["flags"]
    preferred = flags.get("kubelet-preferred-address-types")

    def authority_of(path: str, what: str) -> bytes:
        found = read_bytes(path)
        if found is None:
            raise HardeningError(
                "KH302",
                f"{what} {path} is missing on this host. Nothing was approved; bring it back from another control "
                "plane.",
            )
        return found

    verifier = verifier_of(found)
    return Cluster(
        requests=lambda: kubectl.list_objects("/apis/certificates.k8s.io/v1/certificatesigningrequests"),
        nodes=lambda: serving_request.with_foreign(
            kubectl.list_objects("/api/v1/nodes"), found["node_name"], served, module.params["reached"]
        ),
        approve=lambda request: kubectl.approve(
            request, "KubehardenApproved", "requester, subject, names and usages checked"
        ),
        certify=lambda request, certificate: kubectl.certify(request, certificate.encode("ascii")),
        peer=tls_peer,
        authority=authority_of(flags.get("client-ca-file", "/etc/kubernetes/pki/ca.crt"), "The cluster's authority"),
        now=time.time,
        clock=time.monotonic,
        sleep=time.sleep,
        addresses=tuple(preferred.split(",")) if preferred else OWN_ADDRESSES,
        verifier=authority_of(verifier, "What kube-apiserver verifies kubelets by,") if verifier else None,
        foreign=bool(found["kubelet_authority"]),
    )


def verifier_of(discovery: t.Mapping[str, t.Any]) -> str:
    """Return the file by which this host's API server verifies kubelets, empty where it does not."""
    use = ("kube-apiserver", "kubelet-certificate-authority")
    paths = [one["path"] for one in discovery["certificates"] if (one["component"], one["flag"]) == use]
    return paths[-1] if paths else ""


def not_looked_at(module: AnsibleModule, why: str) -> dict[str, t.Any]:
    """Return the result where nobody could be asked."""
    note = f"No request of a kubelet for a serving certificate was looked at, {why}."
    return result_of(module, [], proven=False, unproven={}, notes=[], not_done=[note])


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Judge, and outside check mode approve and prove."""
    from ansible_collections.kubeharden.core.plugins.module_utils.controls import serving_request
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
    from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import approvals, kubelet_signing, serving

    expected = module.params["expected"]
    if not Host(module.params["root"]).live:
        return not_looked_at(module, "which takes a running cluster")
    if module.check_mode and module.params["closed"]:
        return not_looked_at(module, "since the API can be asked only when what has ended is renewed")
    cluster = cluster_of(module)
    backup = Backup(Host(module.params["root"]), module.params["run_id"])
    elsewhere = module.params["signed_elsewhere"]
    by_record = module.params["renewals"] and module.params["by_record"]
    approves = module.params["approve"] or (by_record and approvals.are_ours(backup.host))
    waiting: list[str] = []
    refused: list[str] = []
    changes: list[t.Any] = []
    approved: list[str] = []
    granted: set[str] = set()
    if module.params["certificates"]:
        changes, refused = serving.certify(cluster, module.params["certificates"], backup)
        if expected:
            more = serving.approve(cluster, expected, float(module.params["limit"]), backup, elsewhere)
            changes, refused = [*changes, *more[0]], [*refused, *more[1]]
    elif not approves:
        if module.params["renewals"]:
            refused, waiting = approvals.left(serving.pending(cluster)[0], cluster.now())
    elif module.check_mode:
        good, refused = serving.pending(cluster, expected)
        granted = set(module.params["granted"])
        nodes = {serving_request.node_of(request) for request in good}.union(expected) - granted
        changes = [serving.change_for(node, node in expected) for node in sorted(nodes)]
        granted = granted.union(nodes)
        approved = sorted(nodes)
    else:
        changes, refused = serving.approve(
            cluster,
            expected,
            float(module.params["limit"]),
            backup,
            elsewhere,
        )
    signs = not elsewhere or bool(module.params["certificates"])
    renewed = bool(changes) and signs and not expected and not module.check_mode
    # Those that are waited for are seen while they are; of the others the last task of a run says what they serve.
    seen = serving.look_when_renewed(cluster, _SWITCHED) if renewed else serving.look(cluster, expected)
    seen = {node: one for node, one in seen.items() if node not in granted}
    left = serving.troubles(seen)
    verifier = verifier_of(module.params["discovery"])
    tells = left and not expected and (verifier or module.params["tells"])
    facts: dict[str, t.Any] = {"approved": approved, "to_sign": [], "nodes": []}
    facts["approval_due"] = serving.next_approval(seen) if approves and not expected else ""
    if elsewhere:
        facts["to_sign"] = [kubelet_signing.shown(request) for request in serving.unsigned(cluster, expected)]
        facts["nodes"] = [kubelet_signing.shown_node(node) for node in cluster.nodes()]
    not_done = [*waiting, *([serving.not_verified(left, verifier)] if tells else [])]
    return result_of(module, changes, proven=not left, unproven=left, notes=refused, not_done=not_done, **facts)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "discovery": {"type": "dict", "required": True},
            "expected": {"type": "list", "elements": "str", "default": []},
            "granted": {"type": "list", "elements": "str", "default": []},
            "approve": {"type": "bool", "default": True},
            "renewals": {"type": "bool", "default": False},
            "by_record": {"type": "bool", "default": True},
            "closed": {"type": "bool", "default": False},
            "kubectl": {"type": "path"},
            "limit": {"type": "int", "default": 120},
            "reached": {"type": "dict", "default": {}},
            "tells": {"type": "bool", "default": False},
            "signed_elsewhere": {"type": "bool", "default": False},
            "certificates": {"type": "dict", "default": {}},
            "report_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
