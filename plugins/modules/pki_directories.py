#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action pki_directories, which runs on the controller only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pki_directories
short_description: Make and renew the whole PKI of a cluster in one call, in directories that stand for its hosts
version_added: 1.0.0
description:
  - For images, and for hosts that get their files in another way than from this collection. Authorities, certificates,
    keys and kubeconfigs of every host are made, kept and renewed by the same rules as on the hosts themselves.
  - Runs on the controller and reaches no host. One call serves a cluster of any size; a further node costs a few
    milliseconds.
  - All keys are on the controller. Where hosts are there already, M(kubeharden.core.pki_leaves) makes them on each
    host, and they stay there.
extends_documentation_fragment:
  - kubeharden.core.on_controller
attributes:
  check_mode:
    description: Can run in check mode and say truthfully what would change, without changing it.
    support: full
  diff_mode:
    description: Returns what changes, or would change in check mode, as public facts.
    support: full
options:
  path:
    description:
      - An existing directory. The host C(NODE) gets C(NODE) below it, made with mode 0700 where it is missing, with the
        same paths as on a host, such as C(NODE/etc/kubernetes/pki/ca.crt).
    type: path
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
      - Where things lie on every host, if not where kubeadm lays them, as for M(kubeharden.core.pki_leaves); with
        C(kubelet_serving) and C(kubelet_client) kubelets get certificates too, with C(component_serving)
        controller-manager and scheduler, and with C(file_references) kubeconfigs name files instead of holding data.
    type: dict
    default: {}
  policy:
    description:
      - C(lifetime_days) and C(key_algorithm) of certificates, C(keep_key), and C(renew_all), which issues all anew.
    type: dict
    default: {}
  authority_key_algorithm:
    description: The keys of new authorities.
    type: str
    choices: [ECDSA-P256, ECDSA-P384, RSA-2048, RSA-3072, RSA-4096]
    default: ECDSA-P256
  authority_lifetime_days:
    description: How long new authorities are valid.
    type: int
    default: 3650
  run_id:
    description:
      - Names the backups, C(NODE/var/lib/kubeharden/backups/RUN_ID) with the bytes before; without it the time does.
    type: str
requirements:
  - cryptography on the controller
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Make what is missing of a cluster's PKI, and renew what is due
  kubeharden.core.pki_directories:
    path: /secure/pki
    cluster:
      load_balancer: api.example.org:6443
      control_planes: [{node_name: cp1, addresses: [192.0.2.11]}]
      nodes: [{node_name: w1, addresses: [192.0.2.21]}]
    layout: {kubelet_serving: true, kubelet_client: true}
"""

RETURN = r"""
changes:
  description: What changed, or would change, each with C(kind), C(target), C(action) and C(diff).
  returned: success
  type: list
  elements: dict
issued:
  description: What was issued, each with C(node_name), C(name), C(path), C(not_after) and C(serial).
  returned: success
  type: list
  elements: dict
notes:
  description: What a person should know, as sentences.
  returned: success
  type: list
  elements: str
"""
