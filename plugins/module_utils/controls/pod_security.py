# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which namespaces Pod Security must leave alone, judged from what the API server says of the pods that they have."""

from __future__ import annotations

import re
import typing as t

ENFORCE = "pod-security.kubernetes.io/enforce"
ENFORCE_VERSION = "pod-security.kubernetes.io/enforce-version"
#: Static pods and the network of every node.
ALWAYS = "kube-system"

#: What the admission plugin answers to a changed level (k8s.io/pod-security-admission, the same from 1.33 to 1.37).
_VIOLATED = re.compile(r'^existing pods in namespace "[^"]*" violate the new PodSecurity enforce level')
_EXEMPT = re.compile(r'^namespace "[^"]*" is exempt from Pod Security')
_UNCERTAIN = re.compile(
    r"^(new PodSecurity enforce level only checked against the first|failed to list pods while checking)"
)


def governed(namespace: t.Mapping[str, t.Any]) -> bool:
    """Return whether a namespace has a level of its own, by which it is governed and not by the cluster's default."""
    return ENFORCE in (namespace["metadata"].get("labels") or {})


def trial_labels(level: str, minor: int) -> dict[str, str]:
    """Return labels that let the API server look at every pod of a namespace.

    The version is named: where the level is that of the cluster's default already, nothing would be looked at.
    """
    return {ENFORCE: level, ENFORCE_VERSION: f"v1.{minor}"}


def reason(warnings: t.Sequence[str]) -> str:
    """Return why a namespace cannot live under the level, by what the server warned of; empty where it can.

    Pods that could not all be looked at count as refused: what is not proven well is not put at risk.
    """
    violated = [warning for warning in warnings if _VIOLATED.match(warning)]
    if violated:
        pods = warnings[warnings.index(violated[0]) + 1 :]
        return "; ".join(pods) or violated[0]
    uncertain = [warning for warning in warnings if _UNCERTAIN.match(warning)]
    return "; ".join(uncertain)


def exempt(warnings: t.Sequence[str]) -> bool:
    """Return whether the server that answered exempts the namespace already, and so looked at none of its pods."""
    return any(_EXEMPT.match(warning) for warning in warnings)
