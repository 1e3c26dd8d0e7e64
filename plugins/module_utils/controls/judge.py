# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on one control, from evidence."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.controls import (
    certificate_checks,
    cluster_checks,
    host_checks,
    port_checks,
    server_checks,
)
from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import (
    FAIL,
    NOT_APPLICABLE,
    PASS,
    Control,
    Verdict,
)
from ansible_collections.kubeharden.core.plugins.module_utils.controls.cluster_checks import Cluster
from ansible_collections.kubeharden.core.plugins.module_utils.controls.conditions import unmet
from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import (
    Host,
    NotJudged,
    Value,
    passed,
)

_OF_HOSTS = {**host_checks.CHECKS, **port_checks.CHECKS, **certificate_checks.CHECKS, **server_checks.CHECKS}
#: By the name that a judge of the kind ``check`` may have, whether it is one of the cluster.
CHECKS: t.Mapping[str, bool] = {**dict.fromkeys(_OF_HOSTS, False), **dict.fromkeys(cluster_checks.CHECKS, True)}


def judge_host(host: Host, control: Control) -> Verdict:
    """Return the verdict on a control of a host."""
    try:
        return _KINDS[str(control.judge["kind"])](host, control)
    except NotJudged as reason:
        return reason.verdict


def judge_cluster(cluster: Cluster, control: Control) -> Verdict:
    """Return the verdict on a control of the cluster."""
    try:
        return cluster_checks.CHECKS[str(control.judge["check"])](cluster, control)
    except NotJudged as reason:
        return reason.verdict


def _flag(host: Host, control: Control) -> Verdict:
    names = control.judge["flag"]
    values = [host.flag(control.component, name) for name in ([names] if isinstance(names, str) else names)]
    if control.judge.get("or_set") and host.flag(control.component, control.judge["or_set"]).items:
        return Verdict(PASS, f"--{control.judge['or_set']} stands in its place")
    return _of_values(values, control)


def _field(host: Host, control: Control) -> Verdict:
    return _of_values([host.field(control.component, control.judge["field"], control.judge["flag"])], control)


def _of_values(values: t.Sequence[Value], control: Control) -> Verdict:
    unknown = [value for value in values if not value.known]
    if unknown and "unset" not in control.judge:
        return Verdict(NOT_APPLICABLE, unknown[0].words)
    wrong = [(value, unmet(value.items, control.judge)) for value in values]
    found = [f"{value.words}; {words}" for value, words in wrong if words]
    return Verdict(FAIL, "; ".join(found)) if found else passed("; ".join(value.words for value in values), *values)


def _check(host: Host, control: Control) -> Verdict:
    return _OF_HOSTS[str(control.judge["check"])](host, control)


_KINDS: dict[str, t.Callable[[Host, Control], Verdict]] = {
    "flag": _flag,
    "field": _field,
    "plugin": host_checks.plugin,
    "files": host_checks.judge_files,
    "check": _check,
}
