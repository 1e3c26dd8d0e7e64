# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who on a host shows whom a certificate, and whether the other end's authorities signed it."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import ADMIN_KUBECONFIGS
from ansible_collections.kubeharden.core.plugins.module_utils.controls.conditions import asks_loopback
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    kubeconfig as kubeconfig_files,
    pem,
    profile,
    trust,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import LARGEST, View

API = "kube-apiserver"


@dataclasses.dataclass(frozen=True)
class _Certificate:
    """What is shown: its use, its file as it is told, and its content (PEM), or why there is none."""

    use: str
    path: str
    data: bytes = b""
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class Believer:
    """Who verifies what is shown, in words, and the authorities that it believes (PEM), or why there are none."""

    words: str
    data: bytes = b""
    problem: str = ""


class Trust:
    """Looks at the certificates that components of one host show each other.

    Args:
        view: How the host is seen.
        kubeconfig: The administrator's kubeconfig, None for those that kubeadm wrote.
        kubelet: The kubelet's evidence.
    """

    def __init__(self, view: View, kubeconfig: str | None, kubelet: t.Mapping[str, t.Any]) -> None:
        self._view = view
        self._kubeconfig = kubeconfig
        self._kubelet = kubelet

    def seen(self) -> list[dict[str, t.Any]]:
        """Return for each certificate and who verifies it whether it is believed (None where that cannot be told)."""
        return [
            self._judged(shown, believer)
            for shown, believers in self._pairs()
            for believer in believers
            # A directory that stands for a host may have files without content in their place.
            if self._view.host.live or (all(map(_is_known, shown)) and _is_known(believer))
        ]

    def believers(self, use: str) -> list[Believer]:
        """Return who verifies what is served, each authority once; none where others are shown something else.

        Args:
            use: The component, and the flag by which it is given the certificate.
        """
        if use.startswith(API) and self._view.sni_files():
            return []
        found: dict[bytes, Believer] = {}
        for shown, believers in self._pairs():
            if shown and shown[0].use == use:
                for one in believers:
                    found.setdefault(one.data, one)
        return [one for one in found.values() if one.data]

    def _pairs(self) -> list[tuple[list[_Certificate], list[Believer]]]:
        """Return what is shown with those who verify it; of several certificates they must believe one."""
        found: list[tuple[list[_Certificate], list[Believer]]] = []
        if API in self._view.processes:
            found += self._of_apiserver()
        if "etcd" in self._view.processes:
            members = self._trusting("etcd's members", "etcd", "peer-trusted-ca-file")
            found.append((self._given("etcd", "peer-cert-file"), members))
        return [(shown, believers) for shown, believers in found if shown and believers]

    def _of_apiserver(self) -> list[tuple[list[_Certificate], list[Believer]]]:
        serves = self._given(API, "tls-cert-file")
        serves += [self._certificate("tls-sni-cert-key", path, "") for path, _key in self._view.sni_files() if serves]
        pods = self._trusting("pods", "kube-controller-manager", "root-ca-file")
        clients = self._trusting(API, API, "client-ca-file")
        found = [
            (serves, [*self._by_kubeconfigs, *pods]),
            (self._given(API, "proxy-client-cert-file"), self._trusting(API, API, "requestheader-client-ca-file")),
            (self._given(API, "kubelet-client-certificate"), self._by_kubelet()),
            *(([one], clients) for one in self._of_kubeconfigs),
        ]
        if self._asks_this_etcd():
            found += [
                (self._given(API, "etcd-certfile"), self._trusting("etcd", "etcd", "trusted-ca-file")),
                (self._given("etcd", "cert-file"), self._trusting(API, API, "etcd-cafile")),
            ]
        return found

    def _asks_this_etcd(self) -> bool:
        if "etcd" not in self._view.processes:
            return False
        servers = set(",".join(self._view.values(API, "etcd-servers")).split(","))
        advertised = set(",".join(self._view.values("etcd", "advertise-client-urls")).split(","))
        return asks_loopback(servers) or bool(servers & advertised - {""})

    def _judged(self, shown: t.Sequence[_Certificate], believer: Believer) -> dict[str, t.Any]:
        entry = {"use": shown[0].use, "path": shown[0].path, "believer": believer.words}
        problem = believer.problem or next((one.problem for one in shown if one.problem), "")
        if problem:
            return {**entry, "believed": None, "problem": problem}
        try:
            trusted = _certificates(believer.data, believer.words)
            said = [trust.is_believed(_certificates(one.data, one.path), trusted) for one in shown]
        except HardeningError as error:
            return {**entry, "believed": None, "problem": self._view.explain(error)}
        believed = True if True in said else None if None in said else False
        unclear = "" if believed is not None else f"{shown[0].path} has a signature of a kind that is not verified here"
        return {**entry, "believed": believed, "problem": unclear}

    def _given(self, component: str, flag: str) -> list[_Certificate]:
        """Return the certificate that a component was given, none where it was not."""
        path = self._view.value(component, flag)
        return [self._certificate(flag, path, component)] if path else []

    def _certificate(self, flag: str, path: str, component: str) -> _Certificate:
        data, problem = self._content(path, component)
        return _Certificate(f"{component or API} --{flag}", path, data, problem)

    def _trusting(self, who: str, component: str, flag: str) -> list[Believer]:
        path = self._view.value(component, flag)
        return [Believer(f"{who} by --{flag} {path}", *self._content(path, component))] if path else []

    def _by_kubelet(self) -> list[Believer]:
        path = str(self._kubelet.get("client_authority") or "")
        there = path and "kubelet" in self._view.processes
        return [Believer(f"the kubelet by {path}", *self._content(path, "kubelet"))] if there else []

    def _content(self, path: str, component: str) -> tuple[bytes, str]:
        """Return what a file holds, or why that cannot be told."""
        try:
            place = self._view.path_as(component, path) if component else self._view.host.path(path)
            data = read_bytes(place, limit=LARGEST)
        except HardeningError as error:
            return b"", self._view.explain(error)
        return (data, "") if data is not None else (b"", f"{path} does not exist")

    @functools.cached_property
    def _kubeconfigs(self) -> list[tuple[str, str, kubeconfig_files.KubeconfigFacts]]:
        """Return the kubeconfigs of this host's components and administrators: whose, where, and what they say.

        One that cannot be read is told of among the certificates.
        """
        named = [
            *((name, self._view.value(name, "kubeconfig")) for name in ("kube-controller-manager", "kube-scheduler")),
            ("kubelet", str(self._kubelet.get("kubeconfig") or "") if "kubelet" in self._view.processes else ""),
            *(("", path) for path in dict.fromkeys((*ADMIN_KUBECONFIGS, self._kubeconfig or ADMIN_KUBECONFIGS[0]))),
        ]
        found = []
        for component, path in named:
            data = self._content(path, component)[0] if path else b""
            try:
                found += [(component, path, kubeconfig_files.parse(data, path))] if data else []
            except HardeningError:
                continue
        return found

    @functools.cached_property
    def _by_kubeconfigs(self) -> list[Believer]:
        found = []
        for component, path, facts in self._kubeconfigs:
            words = f"{component or 'whoever comes'} by {path}"
            # Before a server that knows people by their tokens another may stand, with a certificate of its own.
            if facts.skips_verification or not (facts.certificate or facts.certificate_file):
                continue
            if facts.authority is not None:
                found.append(Believer(words, facts.authority))
            elif facts.authority_file:
                found.append(Believer(words, *self._content(facts.authority_file, component)))
        return found

    @functools.cached_property
    def _of_kubeconfigs(self) -> list[_Certificate]:
        found = []
        for component, path, facts in self._kubeconfigs:
            use = f"{component} --kubeconfig" if component else "an administrator's kubeconfig"
            if facts.certificate is not None:
                found.append(_Certificate(use, path, facts.certificate))
            elif facts.certificate_file:
                data, problem = self._content(facts.certificate_file, component)
                found.append(_Certificate(use, facts.certificate_file, data, problem))
        return found


def _is_known(one: _Certificate | Believer) -> bool:
    """Return whether there is content, or a reason why it was not seen."""
    return bool(one.problem or one.data)


def _certificates(data: bytes, where: str) -> list[profile.CertificateFacts]:
    """Return the certificates of a file.

    Raises:
        HardeningError: One of them cannot be read, or there is none.
    """
    found = [profile.from_der(one.der, where) for one in pem.blocks(data, where) if one.label == "CERTIFICATE"]
    if not found:
        raise HardeningError("KH303", f"{where} holds no certificate.")
    return found
