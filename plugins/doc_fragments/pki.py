# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the modules of certificates share."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment kubeharden.core.pki."""

    DOCUMENTATION = r"""
options:
  node_name:
    description: The host's name as a Kubernetes node.
    type: str
    required: true
  cluster:
    description:
      - What certificates depend on, C(control_planes), C(nodes) and C(etcd), each a list of hosts with C(node_name),
        C(addresses) and C(extra_names), beside C(load_balancer), C(service_network), C(dns_domain), C(extra_names),
        C(version), C(api_port) and C(endpoint_asked), whether certificates that others issued get the name of
        C(load_balancer) too.
    type: dict
    required: true
  layout:
    description:
      - Where things lie, if not where kubeadm lays them. C(pairs), by name of the certificate, C(certificate) and
        C(key), and where a key is elsewhere C(signer), the SHA-256 of its public key, which tells the authority among
        others in the file; C(kubeconfigs), by name, the path; C(absent), names that this host does not have;
        C(believed), by name, the paths of files beside the pair's whose keys are believed as its key is; the
        switches C(super_admin), C(component_serving), C(kubelet_serving), C(kubelet_client), C(kubelet_first), a
        C(kubelet.conf) that holds the kubelet's first certificate, and C(file_references), kubeconfigs that name files
        instead of holding data, which is refused on hosts that kubeadm made.
    type: dict
    default: {}
  now:
    description: Seconds since 1970 on the controller; a host whose clock is far off is refused.
    type: float
  report_dir:
    description: Where the action plugin keeps C(changes.json) on the controller.
    type: path
"""
