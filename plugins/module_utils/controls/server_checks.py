# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of what an API server was seen to do: its records, its header for browsers, how it stores Secrets, and of what
waits until every node was seen to do something."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.clusterconfig import ClusterConfiguration
from ansible_collections.kubeharden.core.plugins.module_utils.controls import host_checks
from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import (
    EXPLAINED,
    FAIL,
    NOT_APPLICABLE,
    PASS,
    UNKNOWN,
    Control,
    Verdict,
)
from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import Host, NotJudged
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

_APISERVER = "kube-apiserver"
_PULLS = "AlwaysPullImages"
#: Hours of records that must have been read where a log is too long to be read as a whole: whatever writes Secrets at
#: intervals, such as a controller or a job, has done so in a day.
_A_DAY = 24
_MAX_AGE = re.compile(r"max-age=\"?(\d+)")


def _seen(host: Host, name: str) -> t.Mapping[str, t.Any]:
    """Return what a probe saw.

    Raises:
        NotJudged: Nothing, and why.
    """
    if host.problem:
        raise NotJudged(UNKNOWN, host.problem)
    if not host.live:
        raise NotJudged(UNKNOWN, "no process belongs to a directory that stands for a host")
    if _APISERVER not in host.components:
        raise NotJudged(NOT_APPLICABLE, f"{_APISERVER} does not run on this host")
    server = (host.evidence.get("probes") or {}).get("server") or {}
    found = server.get(name) or {}
    problem = server.get("problem") or found.get("problem") or ("" if found else f"no {_APISERVER} was asked")
    if problem:
        raise NotJudged(UNKNOWN, str(problem))
    return t.cast("t.Mapping[str, t.Any]", found)


def _log(host: Host) -> str:
    """Return the file that audit records go to.

    Raises:
        NotJudged: They go nowhere, or elsewhere.
    """
    path = host.flag(_APISERVER, "audit-log-path")
    if path.items and path.items[-1].startswith("/"):
        return path.items[-1]
    if path.items and path.items[-1]:
        place = "the process's output" if path.items[-1] == "-" else "a file in the process's own directory"
        raise NotJudged(UNKNOWN, f"{path.words}: records go to {place}, where they were not looked for")
    if host.flag(_APISERVER, "audit-webhook-config-file").items:
        raise NotJudged(UNKNOWN, "records go to a service, which was not asked")
    raise NotJudged(FAIL, f"{path.words}: nothing is recorded")


def probe_audit_record(host: Host, _control: Control) -> Verdict:
    """A read of a Secret was found in the audit log, by the name under which it was asked for."""
    if not host.live or host.problem or _APISERVER not in host.components:
        _seen(host, "audit_record")
    path = _log(host)
    found = _seen(host, "audit_record")
    if found["found"]:
        return Verdict(PASS, f"a read (HTTP {found['status']}) was found in {path}, level {found['level']}")
    if found.get("batches"):
        raise NotJudged(UNKNOWN, f"a read was not in {path} within 5 s, and records are written in batches")
    return Verdict(FAIL, f"a read of a Secret (HTTP {found['status']}) was not in {path} within 5 s")


def probe_audit_bodies(host: Host, _control: Control) -> Verdict:
    """No record of the log and its rotated files, or of the last day at least, holds a Secret or a token."""
    if not host.live or host.problem or _APISERVER not in host.components:
        _seen(host, "audit_bodies")
    try:
        path = _log(host)
    except NotJudged as reason:
        if reason.verdict.status == FAIL:
            raise NotJudged(NOT_APPLICABLE, reason.verdict.evidence) from None
        raise
    found = _seen(host, "audit_bodies")
    words = _read_of(path, found)
    marker = ((host.evidence.get("probes") or {}).get("server") or {}).get("marker") or {}
    if marker.get("in_log"):
        return Verdict(FAIL, f"a Secret was made for the probe, and its content is in {path}")
    if found["count"]:
        shown = "; ".join(str(one) for one in found["found"])
        return Verdict(FAIL, f"{found['count']} hold the content of a Secret or a token, the last: {shown}; {words}")
    if not found["records"]:
        raise NotJudged(UNKNOWN, f"no record was there to be read in {path}")
    if not found["whole"] and found["hours"] < _A_DAY:
        raise NotJudged(UNKNOWN, f"{words}; {_A_DAY} h are wanted, and the time was over")
    return Verdict(PASS, words)


def _read_of(path: str, found: t.Mapping[str, t.Any]) -> str:
    rotated = f" and {found['files'] - 1} rotated files" if found["files"] > 1 else ""
    if found["whole"]:
        return f"all {found['records']} records of {path}{rotated} were read"
    share = 100 * found["read"] // max(1, found["size"])
    return (
        f"{found['records']} records of {path}{rotated} were read, {share} % of {found['size'] >> 20} MiB, and all of "
        f"the last {found['hours']:.1f} h among them"
    )


def probe_hsts(host: Host, _control: Control) -> Verdict:
    """The header Strict-Transport-Security was on an answer."""
    header = str(_seen(host, "hsts")["header"])
    age = _MAX_AGE.search(header)
    if age is None or int(age.group(1)) == 0:
        words = f"Strict-Transport-Security: {header}" if header else "no Strict-Transport-Security was sent"
        return Verdict(FAIL, words)
    return Verdict(PASS, f"Strict-Transport-Security: {header}")


def probe_stored_secrets(host: Host, _control: Control) -> Verdict:
    """The first bytes of every Secret in etcd say that it is encrypted."""
    found = _seen(host, "stored")
    if not found["count"]:
        return Verdict(NOT_APPLICABLE, "there are no Secrets")
    words = f"the first bytes of {found['seen']} of {found['count']} Secrets were read from etcd"
    if found["plain"]:
        more = found["plain"] - len(found["named"])
        shown = ", ".join(map(str, found["named"])) + (f" and {more} more" if more > 0 else "")
        return Verdict(FAIL, f"plain text: {shown}; {words}")
    keys = ", ".join(sorted(found["encrypted"])) or "none"
    if found["seen"] < found["count"]:
        raise NotJudged(UNKNOWN, f"{keys}; {words}: the others are too large or too many to be read in time")
    return Verdict(PASS, f"{keys}; {words}")


def probe_marker(host: Host, _control: Control) -> Verdict:
    """A Secret that was made for the probe was stored encrypted, and is gone."""
    server = (host.evidence.get("probes") or {}).get("server") or {}
    if host.evidence and "marker" not in server:
        raise NotJudged(NOT_APPLICABLE, "no marker was made here (kubeharden_probe_writes)")
    found = _seen(host, "marker")
    if not found["removed"]:
        raise NotJudged(UNKNOWN, f"the marker's namespace {found['namespace']} is not gone; remove it")
    if found["plain"] or not found["provider"]:
        return Verdict(FAIL, "a Secret was made, was stored in plain text, and was removed")
    return Verdict(
        PASS, f"a Secret was made, was stored by {found['provider']} with key {found['key']}, and was removed"
    )


def always_pull_images(host: Host, control: Control) -> Verdict:
    """The admission plugin AlwaysPullImages is on; where it is off, kubeadm's ConfigMap says whether it has been on."""
    judge = {"kind": "plugin", "plugin": _PULLS, "enabled": True}
    seen = host_checks.plugin(host, dataclasses.replace(control, judge=judge))
    if seen.status == PASS:
        return seen
    if not host.live:
        return Verdict(EXPLAINED, f"{seen.evidence}; without a running cluster no node can show that it pulls images")
    if host.kubeadm is None:
        words = "kubeadm's ConfigMap, which says whether it was on before, was not read"
        raise NotJudged(UNKNOWN, f"{seen.evidence}; {words}")
    try:
        remembered = dict(ClusterConfiguration.parse(host.kubeadm).extra_args(_APISERVER)) if host.kubeadm else {}
    except HardeningError as error:
        raise NotJudged(UNKNOWN, f"{seen.evidence}; whether it was on before cannot be said: {error}") from None
    if _PULLS in remembered.get("enable-admission-plugins", "").split(","):
        return Verdict(FAIL, f"{seen.evidence}; kubeadm's ConfigMap has it, so every node had pulled what pods run")
    return Verdict(EXPLAINED, f"{seen.evidence}, nor in kubeadm's ConfigMap. {control.explanation}")


CHECKS: dict[str, t.Callable[[Host, Control], Verdict]] = {
    check.__name__: check
    for check in (
        always_pull_images,
        probe_audit_bodies,
        probe_audit_record,
        probe_hsts,
        probe_marker,
        probe_stored_secrets,
    )
}
