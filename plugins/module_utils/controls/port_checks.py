# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of ports: what they agree to, show and answer, to the host itself and to the controller."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import (
    FAIL,
    NOT_APPLICABLE,
    PASS,
    UNKNOWN,
    Control,
    Verdict,
    listed,
)
from ansible_collections.kubeharden.core.plugins.module_utils.controls.certificate_checks import in_days
from ansible_collections.kubeharden.core.plugins.module_utils.controls.conditions import is_loopback
from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import Host, NotJudged


def _probes(host: Host) -> t.Mapping[str, t.Any]:
    if host.problem:
        raise NotJudged(UNKNOWN, host.problem)
    if not host.live:
        raise NotJudged(UNKNOWN, "no process belongs to a directory that stands for a host")
    return host.evidence.get("probes") or {}


#: What probes say in one word.
_REASONS = {
    "refused": "nothing listens there",
    "timeout": "no answer came in time",
    "eof": "it ended the connection without an answer",
}


def tls_ports(host: Host) -> list[t.Mapping[str, t.Any]]:
    """Return what is known of each port that speaks TLS; the host's own looks come first.

    Raises:
        NotJudged: Nothing, and why.
    """
    return list(_probes(host).get("tls") or [])


def _asked(one: t.Mapping[str, t.Any]) -> str:
    """Return who asked, where it was not the host itself."""
    return f", asked from the {one['from']}" if one.get("from") else ""


def _where(one: t.Mapping[str, t.Any]) -> str:
    return f"{one.get('component')} at {one.get('address')}:{one.get('port')}{_asked(one)}"


def _ports(entries: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    return ", ".join(dict.fromkeys(str(one["port"]) for one in entries))


def _because(reason: t.Any) -> str:
    """Return why a port told nothing, in words."""
    return _REASONS.get(str(reason), str(reason))


#: What was looked at, and why nothing was seen there.
_Unseen = list[tuple[t.Mapping[str, t.Any], str]]

#: What listens with TLS wherever it runs.
_SPEAK_TLS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")


def _not_asked(
    host: Host,
    components: t.Collection[str] = _SPEAK_TLS,
    entries: t.Sequence[t.Mapping[str, t.Any]] | None = None,
) -> _Unseen:
    """Return the components of the host that have no port to ask, or none that is known: they prove nothing.

    Args:
        host: The host.
        components: Those that count.
        entries: What was asked, where each of these components has to be among it.
    """
    asked = {one.get("component") for one in entries or () if not one.get("from")}
    found: _Unseen = []
    for name, one in host.components.items():
        if name not in components:
            continue
        if not one.get("running"):
            found.append(({}, str(one.get("problem") or f"{name} has no process")))
        elif name == "etcd" and host.file_of_etcd():
            found.append(({}, host.file_of_etcd()))
        elif entries is not None and name not in asked:
            found.append(({}, f"no port of {name} was asked"))
    return found


def _verdict_of_ports(
    entries: t.Sequence[t.Mapping[str, t.Any]], wrong: t.Sequence[str], unseen: _Unseen, words: str
) -> Verdict:
    if wrong:
        return Verdict(FAIL, listed(wrong))
    # The controller can find something; what it could not find out was asked on the host as well.
    unseen_here = [why for one, why in unseen if not one.get("from")]
    if unseen_here:
        return Verdict(UNKNOWN, listed(unseen_here))
    if not entries:
        return Verdict(NOT_APPLICABLE, "no component listens with TLS on this host")
    return Verdict(PASS, words)


def _agreed(entries: t.Iterable[t.Mapping[str, t.Any]], with_suites: bool) -> str:
    """Return what ports do agree to, those that agree to the same together; empty where that was not seen."""
    found: dict[str, list[t.Mapping[str, t.Any]]] = {}
    for one in entries:
        strong = one.get("strong") or {}
        said = [f"{version} ({', '.join(suites)})" if with_suites else version for version, suites in strong.items()]
        if said:
            found.setdefault(" and ".join(said), []).append(one)
    return "".join(f"; agreed to on ports {_ports(those)}: {said}" for said, those in found.items())


def _handshakes(host: Host, name: str, words: str) -> Verdict:
    entries = tls_ports(host)
    wrong: list[str] = []
    unseen = _not_asked(host, entries=entries)
    for one in entries:
        tried = one.get(name) or {}
        if tried.get("accepted"):
            wrong.append(f"{_where(one)} agreed to {tried['accepted']}")
        elif not tried or tried.get("problem"):
            unseen.append((one, f"{_where(one)}: {_because(tried.get('problem') or one.get('problem'))}"))
    agreed = _agreed(entries, with_suites=name == "weak")
    return _verdict_of_ports(entries, wrong, unseen, f"refused on ports {_ports(entries)}: {words}{agreed}")


def probe_old_tls(host: Host, _control: Control) -> Verdict:
    """No handshake below TLS 1.2 was agreed to."""
    return _handshakes(host, "old", "TLS 1.0 and 1.1")


def probe_weak_suites(host: Host, _control: Control) -> Verdict:
    """No handshake with nothing but weak suites was agreed to."""
    return _handshakes(host, "weak", "suites of TLS 1.2 without forward secrecy or authenticated encryption")


def _holder(one: t.Mapping[str, t.Any]) -> str:
    return "the host sees" if one.get("from") else f"{one['file']} holds"


def probe_certificates(host: Host, _control: Control) -> Verdict:
    """What is served is what the file says, is valid, and believed by those on this host who verify it."""
    entries = tls_ports(host)
    wrong: list[str] = []
    unseen = _not_asked(host, entries=entries)
    for one in entries:
        certificate = one.get("certificate")
        if not certificate:
            unseen.append((one, f"{_where(one)}: {_because(one.get('problem') or 'no certificate was shown')}"))
        elif certificate["days_left"] < 0:
            wrong.append(f"{_where(one)} serves {certificate['subject']}, which {in_days(certificate['days_left'])}")
        elif one.get("file_sha256") and one["file_sha256"] != certificate["sha256"]:
            wrong.append(f"{_where(one)} serves another certificate than {_holder(one)}")
        elif one.get("disbelieved"):
            wrong.append(f"{_where(one)} serves a chain that is not believed: {listed(one['disbelieved'])}")
        elif one.get("file_problem"):
            unseen.append((one, f"{_where(one)} could not be compared with its file: {one['file_problem']}"))
    return _verdict_of_ports(entries, wrong, unseen, f"seen on ports {_ports(entries)}")


_TARGETS = {"controllers": ("kube-controller-manager", "kube-scheduler")}
_REFUSALS = (401, 403, 404)
#: A server that cannot ask the API server who may do what answers 500 to everybody: that tells nothing.
_NO_ANSWERS = (429, 500, 502, 503, 504)


def _requests(host: Host, credentials: str, targets: t.Collection[str]) -> Verdict:
    """Every request of some credentials was refused; an alert in its place is a refusal too."""
    entries = [
        one
        for one in _probes(host).get("requests") or []
        if one.get("credentials") == credentials and (not targets or one.get("component") in targets)
    ]
    wrong: list[str] = []
    refused: list[str] = []
    unseen = _not_asked(host, targets or _SPEAK_TLS, entries)
    for one in entries:
        url = f"{_where(one)}{one['path']}"
        if one["status"] in _REFUSALS:
            refused.append(f"{one['path']} {one['status']}")
        elif one["status"] in _NO_ANSWERS:
            unseen.append((one, f"{url} answered {one['status']}"))
        elif one["status"]:
            wrong.append(f"{url} answered {one['status']}")
        elif _is_refusal(str(one.get("reason"))):
            refused.append(f"{one['component']} ended the handshake")
        else:
            unseen.append((one, f"{url}: {_because(one.get('reason'))}"))
    if not entries and not unseen:
        raise NotJudged(NOT_APPLICABLE, "no such component listens on this host")
    return _verdict_of_ports(entries, wrong, unseen, "refused: " + ", ".join(dict.fromkeys(refused)))


def _is_refusal(reason: str) -> bool:
    """Return whether a server itself ended a handshake: by an alert, not by saying nothing, or what is no TLS."""
    return reason.startswith("tls") and "alert" in reason


def probe_anonymous(host: Host, control: Control) -> Verdict:
    """Requests without credentials are refused."""
    target = str(control.judge["target"])
    return _requests(host, "none", _TARGETS.get(target, (target,)))


def probe_foreign_certificate(host: Host, _control: Control) -> Verdict:
    """Requests with a certificate that nobody signed are refused."""
    return _requests(host, "foreign", ())


def probe_plain_ports(host: Host, _control: Control) -> Verdict:
    """8080 and 10255 are closed, or something else listens there; to the controller too, where it reaches them."""
    entries = list(_probes(host).get("ports") or [])
    if not entries:
        raise NotJudged(UNKNOWN, "no port was asked")
    entries += (_probes(host).get("outside") or {}).get("plain") or []
    unseen = [why for _one, why in _not_asked(host, ("kube-apiserver", "kubelet"))]
    shown = {
        said: [
            f"port {one['port']} at {one['address']}{_asked(one)} {one['words']}"
            for one in entries
            if one["said"] == said
        ]
        for said in ("kubernetes", "silent", "late")
    }
    if shown["kubernetes"]:
        return Verdict(FAIL, listed(shown["kubernetes"]))
    problem = _probes(host).get("ports_problem")
    unseen = [*shown["silent"], *shown["late"], *([str(problem)] if problem else []), *unseen]
    if unseen:
        return Verdict(UNKNOWN, listed(unseen))
    return Verdict(PASS, "; ".join(f"{one['address']}:{one['port']}{_asked(one)} {one['words']}" for one in entries))


def probe_kube_proxy(host: Host, _control: Control) -> Verdict:
    """kube-proxy hands out no profiles, and metrics to the host itself only; its health is for everybody."""
    host.component("kube-proxy")
    entries = [one for one in _probes(host).get("requests") or [] if one.get("component") == "kube-proxy"]
    if not entries:
        problem = _probes(host).get("ports_problem")
        raise NotJudged(UNKNOWN, str(problem or "no port was found at which kube-proxy listens"))
    wrong: list[str] = []
    unseen: _Unseen = []
    shown: list[str] = []
    for one in entries:
        url = f"{_where({**one, 'address': one['at']})}{one['path']}"
        harmless = one["path"] == "/healthz" or (one["path"] == "/metrics" and is_loopback(str(one["at"])))
        if not one["status"]:
            unseen.append((one, f"{url}: {_because(one.get('reason'))}"))
        elif harmless or one["status"] in _REFUSALS:
            shown.append(f"{one['port']}{one['path']} {one['status']}")
        else:
            wrong.append(f"{url} answered {one['status']}")
    return _verdict_of_ports(entries, wrong, unseen, ", ".join(dict.fromkeys(shown)))


def probe_local_ports(host: Host, _control: Control) -> Verdict:
    """What is there for the host alone listens at addresses that lead to the host alone."""
    local = _probes(host).get("local") or {}
    if local.get("problem") or not local.get("ports"):
        raise NotJudged(UNKNOWN, str(local.get("problem") or "no socket was looked for"))
    wrong, shown = [], []
    for one in local["ports"]:
        addresses = [str(address) for address in one["addresses"]]
        others = [address for address in addresses if not is_loopback(address)]
        if others:
            wrong.append(f"{one['component']} listens on port {one['port']} at {', '.join(others)}")
        shown.append(f"{one['port']} {', '.join(addresses) or 'closed'}")
    if wrong:
        return Verdict(FAIL, listed(wrong))
    unseen = [why for _one, why in _not_asked(host, {*_SPEAK_TLS} - {"kube-apiserver"})]
    return Verdict(UNKNOWN, listed(unseen)) if unseen else Verdict(PASS, "; ".join(shown))


def probe_outside(host: Host, _control: Control) -> Verdict:
    """What is there for the host alone is not reached by the controller."""
    outside = _probes(host).get("outside") or {}
    if outside.get("problem") or not outside.get("ports"):
        raise NotJudged(NOT_APPLICABLE, str(outside.get("problem") or "the controller asked for no port"))
    address = outside["address"]
    reached = [one for one in outside["ports"] if not one["reason"]]
    if not reached:
        reasons = ", ".join(sorted({_because(one["reason"]) for one in outside["ports"]}))
        raise NotJudged(NOT_APPLICABLE, f"the controller reaches no port of a component at {address}: {reasons}")
    wrong = [f"{_where(one)} takes connections" for one in reached if one["local"]]
    if wrong:
        return Verdict(FAIL, listed(wrong))
    shut = ", ".join(str(one["port"]) for one in outside["ports"] if one["local"])
    open_ports = ", ".join(str(one["port"]) for one in reached)
    return Verdict(PASS, f"at {address} the controller reaches {open_ports}, and not {shut}")


CHECKS: dict[str, t.Callable[[Host, Control], Verdict]] = {
    check.__name__: check
    for check in (
        probe_anonymous,
        probe_certificates,
        probe_foreign_certificate,
        probe_kube_proxy,
        probe_local_ports,
        probe_old_tls,
        probe_outside,
        probe_plain_ports,
        probe_weak_suites,
    )
}
