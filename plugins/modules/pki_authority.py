#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The authorities of one host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pki_authority
short_description: See to the certificate authorities and the service-account key of a control plane
version_added: 0.1.0
description:
  - What is there is adopted and never replaced. What is missing is brought by the user (O(brought)), made (O(create)),
    or taken from the control plane that has it.
  - On its way from host to host a key is encrypted to a one-time public key of the receiving host. Controller, results
    and logs see ciphertext only.
  - Refuses an authority that has ended, is weak or is none, a key that does not belong to its certificate, a damaged
    key, and a missing authority below which there are certificates.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
  - kubeharden.core.pki
  - kubeharden.core.planned
options:
  create:
    description: Whether this is the host on which missing authorities are made.
    type: bool
    default: false
  source:
    description: Whether another control plane can be asked for what is missing here.
    type: bool
    default: false
  give:
    description:
      - Seal authorities for another host, by C(names), its one-time C(receiver) and its C(node_name); with C(chain) an
        intermediate comes with those above it.
    type: dict
  take:
    description: By name, what another host sealed for this one.
    type: dict
  brought:
    description:
      - By name, the certificate of an authority that the user brings, and after it those above it, in PEM. It is taken
        where that authority is missing, and what is there must be the same one.
    type: dict
    default: {}
  offered:
    description: Names in O(brought) that the controller seals for this host where they are missing.
    type: list
    elements: str
    default: []
  keyless:
    description: Names in O(brought) whose keys are kept elsewhere, so that no host gets them.
    type: list
    elements: str
    default: []
  made:
    description:
      - Names of authorities that the controller makes in this run, and whose keys it keeps. Where one is missing and
        its certificate is not in O(brought) yet, the call writes nothing.
    type: list
    elements: str
    default: []
  take_away:
    description:
      - By name of an authority whose key is to be removed here, what the controller signed with it, as the proof that
        it has it. A call with it does nothing else. It does not go back.
    type: dict
    default: {}
  key_algorithm:
    description: The keys of new authorities.
    type: str
    choices: [ECDSA-P256, ECDSA-P384, RSA-2048, RSA-3072, RSA-4096]
    default: ECDSA-P256
  lifetime_days:
    description: How long new authorities are valid.
    type: int
    default: 3650
  repair:
    description: Whether keys and kubeconfigs that others may read are closed.
    type: bool
    default: true
  rootless:
    description: Paths of keys that static pods read which do not run as root; these are never closed.
    type: list
    elements: str
    default: []
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Make the authorities of a new cluster
  kubeharden.core.pki_authority:
    run_id: 20261124T101500Z-3f2a
    node_name: cp1
    create: true
    cluster:
      control_planes: [{node_name: cp1, addresses: [192.0.2.11]}]
"""

RETURN = r"""
changes:
  description: What changed, or would change, as changes.json has it; none with O(write=false).
  returned: success
  type: list
  elements: dict
missing:
  description: Names of what was missing and is made or taken by this run.
  returned: success
  type: list
  elements: str
receiver:
  description: The public half of a one-time key to which the missing ones are to be sealed; empty where none are.
  returned: success
  type: str
given:
  description: By name, certificate and key, sealed; by the action plugin, of what the user brings.
  returned: when O(give) is set, or something is brought
  type: dict
due:
  description: Whether there is something to do.
  returned: with O(write=false)
  type: bool
asked:
  description: A digest of what was asked for.
  returned: with O(write=false)
  type: str
problems:
  description: What it would be stopped by, as sentences.
  returned: with O(write=false), where there is something
  type: list
  elements: str
notes:
  description: What a person should know, as sentences.
  returned: success
  type: list
  elements: str
not_done:
  description: What was left undone, as sentences.
  returned: success
  type: list
  elements: str
backup:
  description: Where the old bytes are on this host, empty where nothing was written.
  returned: success
  type: str
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import (
    HOST_OPTIONS,
    PKI_OPTIONS,
    PLANNED_OPTIONS,
    require_libraries,
    result_of,
    run,
)


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Plan, and outside check mode apply."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, open_host
    from ansible_collections.kubeharden.core.plugins.module_utils.pki.brought import read_all
    from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import DAY
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import unused_keys
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.authorities import (
        Authorities,
        Brought,
        Making,
    )
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_view import view

    parameters = module.params
    host = open_host(parameters["root"], parameters["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    now = time.time()
    check = module.check_mode or not parameters["write"]
    seen = view(host, parameters, now, module.check_mode)
    making = Making(parameters["key_algorithm"], float(parameters["lifetime_days"]) * DAY)
    brought = Brought(
        read_all(parameters["brought"], now), parameters["offered"], parameters["keyless"], parameters["made"]
    )
    authorities = Authorities(seen.store, seen.pki, seen.files, now, making, brought)
    if parameters["give"]:
        asked = parameters["give"]
        given = authorities.give(asked["names"], asked["receiver"], asked["node_name"], bool(asked.get("chain")))
        return result_of(module, [], given=given, missing=[], receiver="", notes=seen.notes, not_done=[], backup="")
    if parameters["take_away"]:
        unused_keys.require(host, seen.pki, parameters["take_away"])
        taken = authorities.take_away(parameters["take_away"], parameters["node_name"], module.check_mode)
        return result_of(module, taken, missing=[], receiver="", notes=seen.notes, not_done=[], backup="")
    outcome = authorities.settle(
        create=parameters["create"],
        source=parameters["source"],
        taken=parameters["take"],
        node=parameters["node_name"],
        repair=parameters["repair"],
        rootless=parameters["rootless"],
        check=check,
    )
    written = bool(outcome.changes) and not check
    return result_of(
        module,
        outcome.changes,
        missing=outcome.missing,
        receiver=outcome.receiver,
        notes=seen.notes,
        not_done=outcome.not_done,
        backup=f"{STATE_DIRECTORY}/backups/{parameters['run_id']}" if written else "",
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            **PKI_OPTIONS,
            "create": {"type": "bool", "default": False},
            "source": {"type": "bool", "default": False},
            "give": {"type": "dict"},
            "take": {"type": "dict"},
            "brought": {"type": "dict", "default": {}},
            "offered": {"type": "list", "elements": "str", "default": []},
            # Names of authorities.
            "keyless": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "take_away": {"type": "dict", "default": {}},
            "made": {"type": "list", "elements": "str", "default": []},
            "key_algorithm": {
                "type": "str",
                "choices": ["ECDSA-P256", "ECDSA-P384", "RSA-2048", "RSA-3072", "RSA-4096"],
                "default": "ECDSA-P256",
            },
            "lifetime_days": {"type": "int", "default": 3650},
            "repair": {"type": "bool", "default": True},
            "rootless": {"type": "list", "elements": "str", "default": []},
            **PLANNED_OPTIONS,
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
