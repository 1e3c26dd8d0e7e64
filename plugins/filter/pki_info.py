# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter pki_info."""

from __future__ import annotations

import time
import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError, numbered

# ansible-doc, and the sanity test that imports this file, have no libraries.
MISSING = ""
try:
    from ansible_collections.kubeharden.core.plugins.module_utils.pki import listing
except ImportError as error:
    MISSING = error.name or "cryptography"

DOCUMENTATION = r"""
name: pki_info
short_description: List the certificates in a PEM text
version_added: 0.1.0
description:
  - Says of each certificate whose it is, who issued it, for which names and uses, and how long it lasts.
  - The text is read as Kubernetes reads it. What Kubernetes would pass over in silence, such as two files joined
    without a newline between them, is an error here.
  - A private key in the same text is compared with the first certificate and not returned.
options:
  _input:
    description: The text.
    type: str
    required: true
  now:
    description: Seconds since 1970 from which the days left are counted; the controller's clock when not given.
    type: float
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Refuse an authority that ends within a year
  ansible.builtin.assert:
    that: (lookup('ansible.builtin.file', 'ca.crt') | kubeharden.core.pki_info).0.days_left > 365
"""

RETURN = r"""
_value:
  description:
    - One entry for each certificate, as the module kubeharden.core.pki_info returns them, without C(used_by).
  type: list
  elements: dict
"""

WHERE = "the text"


def pki_info(value: t.Any, now: float | None = None) -> list[dict[str, t.Any]]:
    """Return an entry for each certificate in a PEM text."""
    if not isinstance(value, str):
        raise AnsibleFilterError(
            numbered(
                "KH311", f"pki_info needs the text of a PEM file, not a {type(value).__name__}; read the file first."
            )
        )
    if MISSING:
        raise AnsibleFilterError(
            numbered("KH311", f"pki_info needs the Python library {MISSING} on the controller; install it.")
        )
    data = value.encode("utf-8")
    key = (WHERE, data) if "PRIVATE KEY-----" in value else None
    try:
        return listing.describe_pem(data, WHERE, time.time() if now is None else now, key)
    except HardeningError as error:
        raise AnsibleFilterError(error.numbered) from None


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pki_info": pki_info}
