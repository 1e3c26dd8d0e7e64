# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of the certificates and kubeconfigs among a host's files."""

from __future__ import annotations

import ipaddress
import typing as t
from urllib.parse import urlsplit

from ansible_collections.kubeharden.core.plugins.module_utils.components.clusterconfig import ClusterConfiguration
from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import (
    FAIL,
    NOT_APPLICABLE,
    PASS,
    UNKNOWN,
    Control,
    Verdict,
    listed,
)
from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import Host, NotJudged
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

_SERVER, _CLIENT, _ANY = "serverAuth", "clientAuth", "anyExtendedKeyUsage"
#: By the flag that names a certificate, what it is used for.
_USAGES: dict[str, tuple[str, ...]] = {
    "tls-cert-file": (_SERVER,),
    "cert-file": (_SERVER,),
    "peer-cert-file": (_SERVER, _CLIENT),
    **dict.fromkeys(
        (
            "etcd-certfile",
            "kubelet-client-certificate",
            "proxy-client-cert-file",
            "kubeconfig",
            "authentication-kubeconfig",
            "authorization-kubeconfig",
        ),
        (_CLIENT,),
    ),
}
_DAY = 86400
#: Smaller ones can be computed, and of other kinds nobody here can say how strong they are.
_STRONG = ("ECDSA-P256", "ECDSA-P384", "ECDSA-P521", "Ed25519")
_STRONG_RSA = 2048
#: What a kubelet renews by itself.
_OF_KUBELETS = ("/kubelet-client-current.pem", "/kubelet-server-current.pem")
#: What a kubelet signs itself where nobody gave it a certificate: nobody verifies that.
_SELF_SIGNED = "/kubelet.crt"
_MASTERS = "system:masters"
#: kubeadm's administrators since 1.29.
_ADMINISTRATORS = "kubeadm:cluster-admins"
#: What an address that is none in particular looks like.
_NOWHERE = ("", "0.0.0.0", "::")  # noqa: S104  (compared, not listened on)


def certificates_expiry(host: Host, control: Control) -> Verdict:
    """No certificate ends soon: within some days, or within the end of its life in which it should be renewed."""
    entries = _that_say(host, "days_left")
    limit = int(control.judge["days"]) * _DAY
    ending = sorted(
        (one for one in entries if one["seconds_left"] < min(limit, one["seconds_valid"] * _last_part(one))),
        key=lambda one: int(one["seconds_left"]),
    )
    if ending:
        return Verdict(
            FAIL, listed([f"{one['path']} ({one['subject']}) {in_days(one['days_left'])}" for one in ending])
        )
    first = min(entries, key=lambda one: int(one["seconds_left"]))
    return Verdict(
        PASS, f"{len(entries)} certificates; the first to end is {first['path']}, {in_days(first['days_left'])}"
    )


def _last_part(one: t.Mapping[str, t.Any]) -> float:
    """Return the last part of its life in which a certificate should not be in use any more.

    A kubelet renews its own when three tenths to one tenth are left, others are renewed before a third is.
    """
    return 0.1 if str(one["path"]).endswith(_OF_KUBELETS) else 1 / 3


def certificates_strength(host: Host, _control: Control) -> Verdict:
    """Keys, also of tokens, are RSA of 2048 bits or more, ECDSA of the curves P-256, P-384 and P-521, or Ed25519."""
    weak = []
    entries = _that_say(host, "key_algorithm")
    for one in entries:
        kind, _dummy, size = str(one["key_algorithm"]).partition("-")
        strong = kind == "RSA" and size.isdigit() and int(size) >= _STRONG_RSA
        if not strong and one["key_algorithm"] not in _STRONG:
            weak.append(f"{one['path']} has a key of {one['key_algorithm']}")
    if weak:
        return Verdict(FAIL, listed(weak))
    return Verdict(PASS, f"{_counted(entries)}, " + ", ".join(sorted({str(one["key_algorithm"]) for one in entries})))


def certificates_keys(host: Host, _control: Control) -> Verdict:
    """Every certificate can be read, and its key is its own."""
    entries = _certificates(host)
    wrong = [f"{one['path']}: {one['problem']}" for one in entries if one.get("problem")]
    if wrong:
        return Verdict(FAIL, listed(wrong))
    unseen = host.evidence.get("keys_problem")
    if unseen:
        return Verdict(UNKNOWN, str(unseen))
    return Verdict(PASS, _counted(entries))


def _counted(entries: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    keys = sum(one.get("kind") == "key" for one in entries)
    return f"{len(entries) - keys} certificates" + (f" and {keys} keys of tokens" if keys else "")


def certificates_usages(host: Host, _control: Control) -> Verdict:
    """A certificate may be used for what its component uses it for, and signs nothing itself."""
    wrong, seen = [], 0
    for one in _used(host):
        wanted = {usage for use in one["used_as"] for usage in _USAGES.get(use.partition(" --")[2], ())}
        if not wanted:
            continue
        seen += 1
        have = set(one["extended_usages"])
        lacking = sorted(wanted - have) if have and _ANY not in have else []
        shown = ", ".join(one["used_as"])
        if lacking:
            wrong.append(f"{one['path']} lacks {' and '.join(lacking)}, for which it is used ({shown})")
        if one["authority"]:
            wrong.append(f"{one['path']} is an authority's, and is used as a component's own ({shown})")
    nothing = "no component uses a certificate of this host's files"
    return _verdict(wrong, seen, "may be used for what they are used for", nothing)


def certificates_names(host: Host, _control: Control) -> Verdict:
    """What API server, etcd and kubelet serve has every name and address at which this host is to be reached."""
    wrong, seen = [], 0
    used = _used(host)
    by_name = [str(name) for one in used if _SERVED_BY_NAME in one["used_as"] for name in one["names"]]
    for one in used:
        for use in one["used_as"]:
            wanted = _NAMES.get(use)
            if wanted is None or str(one["path"]).endswith(_SELF_SIGNED):
                continue
            seen += 1
            # Who asks for such a name is served the other certificate.
            others = by_name if use == _APISERVER_SERVES else []
            lacking = [name for name in wanted(host) if not _covered(name, one["names"], others)]
            if lacking:
                wrong.append(f"{one['path']} ({use}) lacks {', '.join(dict.fromkeys(lacking))}")
    nothing = "neither API server, etcd nor kubelet is seen to serve a certificate of a file here that others verify"
    return _verdict(wrong, seen, "have the names and addresses of this host", nothing)


def certificates_signers(host: Host, _control: Control) -> Verdict:
    """What a component shows another one of this host was signed by an authority that the other one believes."""
    if host.problem:
        raise NotJudged(UNKNOWN, host.problem)
    entries = host.evidence.get("believed") or []
    wrong, unseen = [], []
    for one in entries:
        shown = f"{one['path']} ({one['use']})"
        if one["believed"] is False:
            wrong.append(f"{shown} was signed by no authority of {one['believer']}")
        elif one["believed"] is None:
            unseen.append(f"{shown}, for {one['believer']}: {one['problem']}")
    if unseen and not wrong:
        raise NotJudged(UNKNOWN, listed(unseen))
    if not entries and not host.live:
        raise NotJudged(UNKNOWN, "no process belongs to a directory that stands for a host")
    nothing = "no component here shows a certificate to another one of this host"
    return _verdict(
        wrong, len({one["path"] for one in entries}), "were signed by authorities that the other end believes", nothing
    )


def _covered(name: str, names: t.Sequence[str], by_name: t.Sequence[str]) -> bool:
    """Return whether a certificate has a name or address, or another one that is served to who asks by that name."""
    plain = _plain(name)
    listed_names = {_plain(one) for one in names}
    if _is_address(plain):
        return plain in listed_names
    listed_names |= {_plain(one) for one in by_name}
    return plain in listed_names or f"*.{plain.partition('.')[2]}" in listed_names


def _verdict(wrong: t.Sequence[str], seen: int, well: str, nothing: str) -> Verdict:
    """Return what was wrong, or that so many certificates are ``well``.

    Raises:
        NotJudged: None was seen, for the reason ``nothing``.
    """
    if wrong:
        return Verdict(FAIL, listed(wrong))
    if not seen:
        raise NotJudged(NOT_APPLICABLE, nothing)
    return Verdict(PASS, f"{seen} certificates {well}")


def certificates_kubelet(host: Host, _control: Control) -> Verdict:
    """The kubelet's kubeconfig names the certificate that the kubelet renews, and holds none that nobody does."""
    if host.problem:
        raise NotJudged(UNKNOWN, host.problem)
    path = str((host.evidence.get("kubelet") or {}).get("kubeconfig") or "")
    there = (host.evidence.get("files") or {}).get("kubelet_kubeconfig") or []
    if not there:
        raise NotJudged(NOT_APPLICABLE, "there is no kubeconfig of a kubelet on this host")
    unseen = there[0].get("problem") or host.evidence.get("certificates_problem")
    if unseen:
        raise NotJudged(UNKNOWN, str(unseen))
    held = next((one for one in host.evidence.get("certificates") or [] if one["path"] == path), None)
    if held is None:
        return Verdict(PASS, f"{path} holds no certificate, and names the one that the kubelet renews")
    if held.get("days_left") is None:
        raise NotJudged(UNKNOWN, f"{path}: {held.get('problem')}")
    ends = in_days(held["days_left"])
    ends = ends if held["days_left"] < 0 else f"ends {ends}"
    return Verdict(FAIL, f"{path} holds a certificate that nobody renews, which {ends}")


def certificates_masters(host: Host, _control: Control) -> Verdict:
    """What goes with a certificate of system:masters, which no rule of RBAC stops, is root's alone; of copies of what
    goes with one of kubeadm's administrators nobody but the owner has a right."""
    if host.problem:
        raise NotJudged(UNKNOWN, host.problem)
    files = host.evidence.get("credentials") or []
    if not files:
        raise NotJudged(NOT_APPLICABLE, "there is no kubeconfig of an administrator on this host")
    # kubeadm's own files have a control of their own, whoever they are of.
    originals = {one["path"] for one in (host.evidence.get("files") or {}).get("admin_kubeconfig") or ()}
    wrong, unseen, held = [], [], []
    for one in files:
        unseen += [f"{one['path']}: {one['problem']}"] if one.get("problem") else []
        groups = one.get("organizations") or ()
        if "mode" not in one or not {_MASTERS, _ADMINISTRATORS} & set(groups):
            continue
        of_masters = _MASTERS in groups
        held += [one["path"]] if of_masters else []
        open_to_others = bool(int(one["mode"], 8) & 0o077) and (of_masters or one["path"] not in originals)
        if open_to_others or (of_masters and host.live and one["owner"] != "root"):
            shown = f" of {one['owner']}" if host.live else ""
            group = _MASTERS if of_masters else _ADMINISTRATORS
            wrong.append(f"{one['path']} holds credentials of {group} and has mode {one['mode']}{shown}")
    if wrong:
        return Verdict(FAIL, listed(wrong))
    if unseen:
        raise NotJudged(UNKNOWN, listed(unseen))
    if held and not host.live:
        raise NotJudged(UNKNOWN, "a directory that stands for a host cannot say whom its files belong to")
    return Verdict(PASS, f"credentials of {_MASTERS}: {', '.join(held) or 'none'}, in {len(files)} files")


def _certificates(host: Host) -> list[t.Mapping[str, t.Any]]:
    if host.problem:
        raise NotJudged(UNKNOWN, host.problem)
    entries = list(host.evidence.get("certificates") or [])
    unseen = host.evidence.get("certificates_problem")
    if unseen:
        raise NotJudged(UNKNOWN, str(unseen))
    if not entries:
        raise NotJudged(NOT_APPLICABLE, "there are no certificates on this host")
    return entries


def _that_say(host: Host, fact: str) -> list[t.Mapping[str, t.Any]]:
    """Return the certificates that say something; those that cannot be read do not.

    Raises:
        NotJudged: None of them does.
    """
    found = [one for one in _certificates(host) if one.get(fact) is not None]
    if not found:
        raise NotJudged(UNKNOWN, "no certificate of this host could be read")
    return found


def _used(host: Host) -> list[t.Mapping[str, t.Any]]:
    """Return the first certificate of each file that a component uses, which is the one that it shows."""
    found: dict[str, t.Mapping[str, t.Any]] = {}
    for one in _that_say(host, "days_left"):
        if one.get("used_as"):
            found.setdefault(str(one["path"]), one)
    return list(found.values())


def _of_apiserver(host: Host) -> list[str]:
    own = [one for one in host.flag("kube-apiserver", "advertise-address").items if one not in _NOWHERE]
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    return [*names, *own, *_service_addresses(host), *_endpoint(host)]


def _endpoint(host: Host) -> list[str]:
    """Return where nodes and administrators find the API servers, as kubeadm's ConfigMap says it."""
    try:
        content = ClusterConfiguration.parse(host.kubeadm).content if host.kubeadm else {}
        name = urlsplit(f"//{content.get('controlPlaneEndpoint') or ''}").hostname
    except (HardeningError, ValueError):
        return []  # that it cannot be read is said where it is judged
    return [name] if name and name not in _NOWHERE else []


def _service_addresses(host: Host) -> list[str]:
    """Return at which address pods reach the API server: the first one of the network of Services."""
    networks = ",".join(host.flag("kube-apiserver", "service-cluster-ip-range").items)
    try:
        return [str(ipaddress.ip_network(networks.partition(",")[0].strip(), strict=False)[1])]
    except (ValueError, IndexError):
        return []  # it is not said; with what is no network the process does not start


def _of_kubelet(host: Host) -> list[str]:
    """Return what a kubelet is reached by: its node's name, addresses that it was given, and what API servers dial."""
    name = str(host.evidence.get("node_name") or "")
    running = host.components.get("kubelet", {}).get("running")
    given = ",".join(host.occurrences("kubelet", "node-ip")[-1:] if running else ()).split(",")
    return [*([name] if name else []), *(one.strip() for one in given if one.strip() not in _NOWHERE), *host.reached_at]


def _of_etcd(flag: str) -> t.Callable[[Host], list[str]]:
    def wanted(host: Host) -> list[str]:
        urls = ",".join(host.flag("etcd", flag).items).split(",")
        return [name for name in (urlsplit(url).hostname for url in urls if url) if name and name not in _NOWHERE]

    return wanted


_APISERVER_SERVES = "kube-apiserver --tls-cert-file"
_SERVED_BY_NAME = "kube-apiserver --tls-sni-cert-key"
#: By a component's use of a certificate, the names that it must have.
_NAMES: dict[str, t.Callable[[Host], list[str]]] = {
    _APISERVER_SERVES: _of_apiserver,
    "etcd --cert-file": _of_etcd("advertise-client-urls"),
    "etcd --peer-cert-file": _of_etcd("initial-advertise-peer-urls"),
    "kubelet --tls-cert-file": _of_kubelet,
}


def _plain(name: str) -> str:
    """Return a name as it is compared: an address has several spellings."""
    return str(ipaddress.ip_address(name)) if _is_address(name) else name.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def in_days(days: int) -> str:
    """Return when something ends, as the end of a sentence."""
    return f"ended {-days} days ago" if days < 0 else f"in {days} days"


CHECKS: dict[str, t.Callable[[Host, Control], Verdict]] = {
    check.__name__: check
    for check in (
        certificates_expiry,
        certificates_keys,
        certificates_kubelet,
        certificates_masters,
        certificates_names,
        certificates_signers,
        certificates_strength,
        certificates_usages,
    )
}
