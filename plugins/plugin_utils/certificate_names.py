# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user says of names and addresses for certificates, checked before any host is asked."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import names
from ansible_collections.kubeharden.core.plugins.plugin_utils import per_host

_Check = t.Callable[[str], object]


def _as_name(text: str) -> object:
    return names.names([text])


#: By variable, what refuses its first value, and what any other.
_CHECKS: t.Mapping[str, tuple[_Check, _Check]] = {
    "kubeharden_pki_addresses": (names.normalised_address, _as_name),
    "kubeharden_pki_extra_names": (_as_name, _as_name),
    "kubeharden_pki_host_names": (_as_name, _as_name),
}
_ENDPOINT = "kubeharden_pki_endpoint"


def problems(variables: t.Mapping[str, t.Any]) -> list[str]:
    """Return a sentence for each value in a host's variables that no certificate could carry."""
    endpoint = str(variables.get(_ENDPOINT) or "")
    found = _problem(_ENDPOINT, lambda text: names.endpoint(text, 443), endpoint) if endpoint else []
    for variable, (first, other) in _CHECKS.items():
        for number, value in enumerate(per_host.words(variables.get(variable))):
            found += _problem(variable, other if number else first, str(value))
    return found


def _problem(variable: str, check: _Check, value: str) -> list[str]:
    try:
        check(value)
    except HardeningError as error:
        return [f"{variable}: {error.trouble}"]
    return []
