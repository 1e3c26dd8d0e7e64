# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules of leaves and kubeconfigs."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment kubeharden.core.pki_leaves."""

    DOCUMENTATION = r"""
options:
  scope:
    description:
      - V(missing) issues what is not there and tells what is due; V(due) issues everything that has a reason to be.
    type: str
    choices: [missing, due]
    default: due
  only:
    description: Names of certificates, such as V(apiserver) or V(admin.conf); empty for all.
    type: list
    elements: str
    default: []
  policy:
    description:
      - What the user decided. C(lifetime_days) and C(key_algorithm) of new certificates, C(keep_key) of one that is
        renewed, C(renew_all) whether due or not. C(usual_days) is for how long kubeadm issues certificates in this
        cluster, which the action plugin takes from its ConfigMap. With C(names) V(table) certificates lose the names
        that the table does not have.
    type: dict
    default: {}
  expected:
    description: Names of authorities that an earlier task of the run makes; check mode takes them for granted.
    type: list
    elements: str
    default: []
  brought:
    description:
      - By name, the certificate of an authority that the user brings and that this run lays, and after it those above
        it, in PEM.
    type: dict
    default: {}
  outside:
    description: Names of authorities whose keys are on no control plane, which sign what is brought to them.
    type: list
    elements: str
    default: []
  returned:
    description: By name, what came back from them, each with C(certificate) in PEM and its C(path) on the controller.
    type: dict
    default: {}
  signer:
    description: Whether a host with the authorities' keys takes part in the run.
    type: bool
    default: true
  without_key:
    description:
      - Names of authorities whose keys who signs does not have, such as that of an etcd elsewhere. Unless this host has
        one, what they issued stays, which RV(not_done) says.
    type: list
    elements: str
    default: []
  answers:
    description: By name, the certificates that M(kubeharden.core.pki_sign) returned for this host.
    type: dict
  bundles:
    description: By name, the authorities' certificates that M(kubeharden.core.pki_sign) returned.
    type: dict
    default: {}
  repair:
    description: Whether keys and kubeconfigs that others may read are closed.
    type: bool
    default: true
  discovery:
    description:
      - What M(kubeharden.core.discover) returned for this host; without it nothing is restarted or looked at.
    type: dict
  gate_timeout:
    description: Seconds that a restarted component may take to be well, and a server to show its new certificate.
    type: int
    default: 300
  api_servers:
    description:
      - By control plane of the run, the address of its API server; filled in by the action plugin, but while a
        certificate of a host of the run has ended. Before something is renewed on a running control plane each must be
        well, for which it is given O(gate_timeout) seconds.
    type: dict
    default: {}
"""
