# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as verify sees them: owners and modes, and what certificates, keys and kubeconfigs say in public."""

from __future__ import annotations

import functools
import math
import os
import posixpath
import re
import stat
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_bool
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import (
    ADMIN_KUBECONFIGS,
    CNI_CONFIGURATION,
    MANIFESTS,
    PKI,
    PKI_FLAGS,
)
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    keys as key_files,
    kubeconfig as kubeconfig_files,
    listing,
    pem,
    profile,
)
from ansible_collections.kubeharden.core.plugins.module_utils.probes import listeners
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import homes
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import (
    KUBELET_PKI,
    LARGEST,
    SNI_FLAG,
    View,
    group_name,
    user_name,
)

#: What the kubelet leaves of certificates that it has renewed; in use is what the link beside them leads to.
_RENEWED = re.compile(re.escape(KUBELET_PKI) + r"/kubelet-(client|server)-\d[\d-]*\.pem")
_CLIENT = f"{KUBELET_PKI}/kubelet-client-current.pem"
_KUBELET_SERVES = "kubelet --tls-cert-file"
_SNI_SERVES = f"kube-apiserver --{SNI_FLAG}"
_SERVED = {_KUBELET_SERVES, _SNI_SERVES}
_KUBECONFIGS = (
    "admin_kubeconfig",
    "scheduler_kubeconfig",
    "controller_manager_kubeconfig",
    "kubelet_kubeconfig",
    "kube_proxy_kubeconfig",
)
#: By these flags tokens of service accounts are signed: keys without a certificate that would say how strong they are.
_SIGNING = (
    ("kube-apiserver", "service-account-key-file"),
    ("kube-apiserver", "service-account-signing-key-file"),
    ("kube-controller-manager", "service-account-private-key-file"),
)
_DAY = 86400
_PROXY_KUBECONFIGS = ("/var/lib/kube-proxy/kubeconfig.conf", "/etc/kubernetes/kube-proxy.conf")


class Files:
    """Looks at the files of one host.

    Args:
        view: How the host is seen.
        kubeconfig: The administrator's kubeconfig, None for those that kubeadm wrote.
        now: Seconds since 1970.
    """

    def __init__(self, view: View, kubeconfig: str | None, now: float) -> None:
        self._view = view
        self._kubeconfig = kubeconfig
        self._now = now

    def attributes(
        self, components: t.Mapping[str, t.Mapping[str, t.Any]], kubelet: t.Mapping[str, t.Any], manifests: str
    ) -> dict[str, list[dict[str, str]]]:
        """Return owner and mode of everything that a control is about, by what it is.

        Args:
            components: What runs, or should run, here.
            kubelet: Its evidence.
            manifests: The directory of static pods, empty where the kubelet has none.
        """
        paths: dict[str, list[str]] = {
            f"{name.replace('-', '_')}_manifest": [one["manifest"]]
            for name, one in components.items()
            if one["manifest"]
        }
        paths["kubelet_configuration"] = [one["path"] for one in kubelet["documents"]]
        paths["kubelet_kubeconfig"] = [str(kubelet.get("kubeconfig") or "")]
        paths["kubelet_client_authority"] = [str(kubelet.get("client_authority") or "")]
        paths["kube_proxy_kubeconfig"] = list(_PROXY_KUBECONFIGS)
        paths["admin_kubeconfig"] = list(dict.fromkeys([*ADMIN_KUBECONFIGS, self._kubeconfig or ADMIN_KUBECONFIGS[0]]))
        paths["scheduler_kubeconfig"] = self._view.used("kube-scheduler", "kubeconfig") or [
            "/etc/kubernetes/scheduler.conf"
        ]
        paths["controller_manager_kubeconfig"] = self._view.used("kube-controller-manager", "kubeconfig") or [
            "/etc/kubernetes/controller-manager.conf"
        ]
        paths["manifests_directory"] = [MANIFESTS, manifests]
        if "etcd" in components:
            paths["etcd_data_directory"] = self._view.used("etcd", "data-dir") or ["/var/lib/etcd"]
        found = {word: self._attributes(listed) for word, listed in paths.items()}
        try:
            found["kubelet_unit"] = self._attributes(self._view.units())
        except HardeningError as error:
            found["kubelet_unit"] = [{"path": "kubelet.service", "problem": self._view.explain(error)}]
        # A directory among them, such as multus.d, is no file.
        found["cni_configuration"] = [
            one for one in self._below(CNI_CONFIGURATION) if one.get("problem") or self._is_file(one["path"])
        ]
        found["kubelet_client_key"] = [
            one
            for one in self._below(KUBELET_PKI)
            if one.get("problem") or (one["path"].endswith((".key", ".pem")) and not one.get("link"))
        ]
        listed = {one["path"] for one in found["kubelet_client_key"]}
        serving = [path for path in self._kubelet_serving_key(kubelet) if path not in listed]
        found["kubelet_client_key"] += self._attributes(serving)
        found.update(self._pki())
        return {word: entries for word, entries in found.items() if entries}

    def credentials(self, files: t.Mapping[str, t.Sequence[t.Mapping[str, str]]]) -> list[dict[str, t.Any]]:
        """Return kubeconfigs of people, and the keys that they name, with the groups of the certificates that they are
        for; of what cannot be read why.

        Args:
            files: By what they are, as `attributes` returned them.
        """
        listed = (*files.get("admin_kubeconfig", ()), *self._of_people)
        return [found for one in listed for found in ([dict(one)] if one.get("problem") else self._held(one))]

    def _held(self, entry: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
        """Return a kubeconfig that can be looked at, and behind it the files with its keys."""
        path = str(entry["path"])
        beside = path.rpartition("/")[0]
        groups: list[str] = []
        problems: list[str] = []
        keys: list[dict[str, t.Any]] = []
        try:
            data = read_bytes(self._view.host.path(path), limit=LARGEST) or b""
            users = kubeconfig_files.users(data, path) if data else []
        except HardeningError as error:
            return [{**entry, "problem": self._view.explain(error)}]
        for user in users:
            try:
                own = self._groups_of(user, beside)
            except HardeningError as error:
                problems.append(self._view.explain(error))
                continue
            if user.key_file:
                keys += [
                    {**one, "organizations": own} for one in self._attributes_of(posixpath.join(beside, user.key_file))
                ]
            else:
                groups += own
        problem = {"problem": "; ".join(problems)} if problems else {}
        return [{**entry, "organizations": groups, **problem}, *keys]

    def _groups_of(self, user: kubeconfig_files.User, beside: str) -> list[str]:
        """Return the groups of somebody's certificate, none where there is none.

        Raises:
            HardeningError: It cannot be read.
        """
        where, data = user.where, user.certificate()
        if data is None and user.certificate_file:
            where = posixpath.join(beside, user.certificate_file)
            data = read_bytes(self._view.host.path(where), limit=LARGEST)
        return list(profile.from_pem(data, where).profile.subject.organizations) if data else []

    @functools.cached_property
    def _of_people(self) -> list[dict[str, str]]:
        """Owner and mode of the kubeconfigs in homes, and which homes were not looked at."""
        paths, problems = homes.kubeconfigs(self._view)
        return [*(entry for path in paths for entry in self._attributes_of(path)), *problems]

    def _certificates_of_people(self) -> list[dict[str, t.Any]]:
        """Return what the certificates in and beside kubeconfigs of homes say; what cannot be read is said among the
        credentials."""
        found: list[dict[str, t.Any]] = []
        for path in (one["path"] for one in self._of_people if not one.get("problem")):
            try:
                data = read_bytes(self._view.host.path(path), limit=LARGEST) or b""
                users = kubeconfig_files.users(data, path) if data else []
            except HardeningError:
                continue
            for user in users:
                try:
                    where, own = self._certificate_of(user, path)
                    kinds = listing.kinds_of(own, where) if own else []
                except HardeningError:
                    continue
                entries = [certificate_entry(one, where, kind, self._now) for one, kind in kinds[:1]]
                found += [one for one in entries if one not in found]
        return found

    def _certificate_of(self, user: kubeconfig_files.User, path: str) -> tuple[str, bytes | None]:
        """Return where somebody's certificate is, and the certificate, None where there is none.

        Raises:
            HardeningError: It cannot be read.
        """
        data = user.certificate()
        if data is not None or not user.certificate_file:
            return path, data
        where = posixpath.join(path.rpartition("/")[0], user.certificate_file)
        return where, read_bytes(self._view.host.path(where), limit=LARGEST)

    def authorities(self) -> dict[str, list[str] | None]:
        """Return the fingerprints of the authorities that etcd and the API server believe."""
        found: dict[str, list[str] | None] = {}
        for name, component, flag in (
            ("etcd", "etcd", "trusted-ca-file"),
            ("clients", "kube-apiserver", "client-ca-file"),
        ):
            path = self._view.value(component, flag)
            if not path:
                continue
            try:
                data = read_bytes(self._view.path_as(component, path)) or b""
                blocks = [block.der for block in pem.blocks(data, path) if block.label == "CERTIFICATE"]
                found[name] = [profile.from_der(der, path).fingerprint for der in blocks] or None
            except HardeningError:
                found[name] = None
        return found

    def certificates(
        self, files: t.Mapping[str, t.Sequence[t.Mapping[str, str]]], kubelet: t.Mapping[str, t.Any]
    ) -> dict[str, t.Any]:
        """Return what the certificates among these files say, why some could not be read, and which keys could not.

        Args:
            files: By what they are, as `attributes` returned them.
            kubelet: Its evidence; the certificate that it serves counts too.
        """
        words = ("pki_certificate", "pki_key", *_KUBECONFIGS, "kubelet_client_authority", "kubelet_client_key")
        kubeconfigs = {one["path"] for word in _KUBECONFIGS for one in files.get(word, [])}
        listed = [one for word in words for one in files.get(word, []) if not _RENEWED.fullmatch(one["path"])]
        unseen = {one["path"]: f"{one['path']}: {one['problem']}" for one in listed if one.get("problem")}
        users = self.users_of_files(kubelet)
        served = {path for path, uses in users.items() if uses & _SERVED}
        paths = [path for path in (*(one["path"] for one in listed), _CLIENT, *sorted(served)) if path not in unseen]
        read: dict[str, bytes] = {}
        # People give a certificate that is served, and a kubeconfig, any name.
        named = kubeconfigs | served | {path for flag in _SIGNING for path in self._view.used(*flag)}
        wanted = (path for path in paths if path in named or path.endswith(".pub") or listing.relevant([path]))
        for path in dict.fromkeys(wanted):
            try:
                data = read_bytes(self._view.host.path(path), limit=LARGEST)
            except HardeningError as error:
                unseen[path] = self._view.explain(error)
                continue
            # A directory that stands for a host may have files without content in their place.
            if data or (data is not None and self._view.host.live):
                read[path] = data
        trusted = []
        for path in sorted(kubeconfigs & read.keys()):
            try:
                trusted += self._trusted(path, read[path])
            except HardeningError as error:
                unseen[path] = self._view.explain(error)
        # A key that may not be read is no reason to be silent on certificates.
        keys_unseen = {path: words for path, words in unseen.items() if path.endswith(".key")}
        problem = next((words for path, words in unseen.items() if path not in keys_unseen), "")
        shown = [
            {**entry, **self._use(path, users)}
            for path, data in sorted(read.items())
            for entry in self._entries(path, data, read, path in kubeconfigs)
        ]
        seen = {one["path"] for one in shown}
        people = [one for one in self._certificates_of_people() if one["path"] not in seen]
        return {
            "certificates": [*shown, *({**one, **self._use(one["path"], users)} for one in people)],
            "certificates_problem": problem,
            "keys_problem": "; ".join(keys_unseen.values()),
            "trusted": trusted,
        }

    def _trusted(self, path: str, data: bytes) -> list[dict[str, t.Any]]:
        """Return what the authorities within a kubeconfig say.

        Raises:
            HardeningError: They are none.
        """
        try:
            within = kubeconfig_files.parse(data, path).authority
        except HardeningError:
            return []  # the file itself is no kubeconfig, which its entry says
        where = f"certificate-authority-data of {path}"
        return [certificate_entry(one, where, kind, self._now) for one, kind in listing.kinds_of(within or b"", where)]

    @staticmethod
    def _use(path: str, users: t.Mapping[str, t.Collection[str]]) -> dict[str, list[str]]:
        used_as = sorted(users.get(path, ()))
        return {"used_by": sorted({one.split()[0] for one in used_as}), "used_as": used_as}

    def _attributes(self, paths: t.Iterable[str]) -> list[dict[str, str]]:
        return [entry for path in dict.fromkeys(paths) if path for entry in self._attributes_of(path)]

    def _attributes_of(self, path: str) -> list[dict[str, str]]:
        try:
            status = os.stat(self._view.host.path(path))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, HardeningError) as error:
            reason = getattr(error, "strerror", None) or self._view.explain(error)
            aside = f"; {self._view.privilege}" if self._view.privilege else ""
            return [{"path": path, "problem": f"{reason}{aside}"}]
        return [
            {
                "path": path,
                "mode": f"{stat.S_IMODE(status.st_mode):04o}",
                "owner": user_name(status.st_uid),
                "group": group_name(status.st_gid),
                **({"link": "yes"} if os.path.islink(self._view.host.link_path(path)) else {}),
            }
        ]

    def _below(self, directory: str) -> list[dict[str, str]]:
        """Return what lies in a directory."""
        try:
            names = self._view.listing(directory)
        except HardeningError as error:
            return [{"path": directory, "problem": self._view.explain(error)}]
        return self._attributes(f"{directory}/{name}" for name in names)

    def _is_file(self, path: str) -> bool:
        """Return whether there is a regular file, or what leads to one."""
        return os.path.isfile(self._view.host.path(path))

    def _pki(self) -> dict[str, list[dict[str, str]]]:
        """Return directories, certificates and keys: all of kubeadm's directory, and what else is in use."""
        directories, certificates, keys = [], [], []
        problems: list[dict[str, str]] = []

        def note(error: OSError) -> None:
            where = self._view.host.shown(str(error.filename))
            problems.append({"path": where, "problem": f"{error.strerror}; {self._view.privilege}".rstrip("; ")})

        try:
            top = self._view.host.path(PKI)
        except HardeningError as error:
            top = ""
            problems.append({"path": PKI, "problem": self._view.explain(error)})
        for directory, below, names in os.walk(top, onerror=note) if top else ():
            below.sort()
            directories.append(self._view.host.shown(directory))
            for name in sorted(names):
                path = self._view.host.shown(os.path.join(directory, name))
                if name.endswith((".crt", ".pub")):
                    certificates.append(path)
                elif name.endswith(".key"):
                    keys.append(path)
        for component, flags in PKI_FLAGS.items():
            for flag in flags:
                if flag.endswith("kubeconfig"):
                    continue
                for path in self._view.used(component, flag):
                    is_key = "key" in flag and not path.endswith((".pub", ".crt"))
                    (keys if is_key else certificates).append(path)
        for certificate, key in self._view.sni_files():
            certificates.append(certificate)
            keys.append(key)
        return {
            "pki_directory": self._attributes(directories)
            + [one for one in problems if self._view.exists(one["path"])],
            "pki_certificate": self._attributes(certificates),
            "pki_key": self._attributes(keys),
        }

    def _entries(
        self, path: str, data: bytes, read: t.Mapping[str, bytes], is_kubeconfig: bool
    ) -> list[dict[str, t.Any]]:
        """Return what a file's certificates say, and whether the key beside or within it is the first one's.

        The library would compute a key's primes anew, which takes longer than all the rest: OpenSSL compares.
        """
        if path.endswith(".key"):
            if b"PRIVATE KEY-----" not in data:
                return [{"path": path, "problem": "it holds no private key"}]
            return self._signing_key(path, data, read)
        try:
            key = data if b"PRIVATE KEY-----" in data else read.get(f"{path.rpartition('.')[0]}.key")
            if is_kubeconfig:
                facts = kubeconfig_files.parse(data, path)
                if facts.certificate is None:
                    return []  # it names a file, which is looked at for itself
                data, key = facts.certificate, facts.key
            elif b"-----BEGIN CERTIFICATE-----" not in data:
                if b"PUBLIC KEY-----" in data:
                    return [_key_entry(path, one) for one in key_files.public_algorithms(data, path)]
                known = path.endswith(".pub") or _is_key(path, data)
                return [] if known else [{"path": path, "problem": "it holds no certificate"}]
            entries = [certificate_entry(one, path, kind, self._now) for one, kind in listing.kinds_of(data, path)]
            if entries and key is not None:
                wrong = listeners.key_problem(data, key)
                entries[0].update(problem=entries[0]["problem"] or wrong, own_key=not wrong)
        except HardeningError as error:
            return [{"path": path, "problem": self._view.explain(error)}]
        return entries

    def _signing_key(self, path: str, data: bytes, read: t.Mapping[str, bytes]) -> list[dict[str, t.Any]]:
        """Return how strong a key is that signs tokens; where its public half lies beside it, that one says it."""
        signs = any(path in self._view.used(*flag) for flag in _SIGNING)
        if not signs or f"{path.rpartition('.')[0]}.pub" in read:
            return []
        try:
            return [_key_entry(path, key_files.algorithm_name(key_files.load_private(data, path, validate=False)))]
        except HardeningError as error:
            return [{"path": path, "problem": self._view.explain(error)}]

    def _kubelet_serving_key(self, kubelet: t.Mapping[str, t.Any]) -> list[str]:
        """Return where the key lies that the kubelet was given for what it serves."""
        configured = str((kubelet.get("fields") or {}).get("tlsPrivateKeyFile") or "")
        path = self._view.value("kubelet", "tls-private-key-file") or configured
        return [path] if path.startswith("/") else []

    def users_of_files(self, kubelet: t.Mapping[str, t.Any]) -> dict[str, set[str]]:
        """Return by path the components that use a file, each with the flag that names it."""
        users: dict[str, set[str]] = {}
        for component, flags in PKI_FLAGS.items():
            for flag in flags:
                for path in self._view.used(component, flag):
                    users.setdefault(path, set()).add(f"{component} --{flag}")
        users.setdefault(self._view.value("kubelet", "kubeconfig"), set()).add("kubelet --kubeconfig")
        users.setdefault(_CLIENT, set()).add("kubelet --kubeconfig")
        users.setdefault(serving_certificate(self._view, kubelet), set()).add(_KUBELET_SERVES)
        for path, _key in self._view.sni_files():
            users.setdefault(path, set()).add(_SNI_SERVES)
        return users


def _key_entry(path: str, algorithm: str) -> dict[str, t.Any]:
    """Return what controls judge a key by that no certificate is about."""
    return {"path": path, "kind": "key", "key_algorithm": algorithm, "problem": ""}


def serving_certificate(view: View, kubelet: t.Mapping[str, t.Any]) -> str:
    """Return where the certificate lies that the kubelet serves, by its configuration."""
    fields = kubelet.get("fields") or {}
    directory = view.value("kubelet", "cert-dir") or KUBELET_PKI
    asked = f"{directory}/kubelet-server-current.pem"
    flag = view.value("kubelet", "rotate-server-certificates")
    if parse_bool(flag) if flag else fields.get("serverTLSBootstrap") is True:
        return asked
    configured = view.value("kubelet", "tls-cert-file") or str(fields.get("tlsCertFile") or "")
    if configured:
        return configured
    # Where its configuration cannot be read, what the authority signed is in use most likely.
    return asked if kubelet.get("problem") and view.exists(asked) else f"{directory}/kubelet.crt"


def _is_key(path: str, data: bytes) -> bool:
    """Return whether a file is a key of another name than ours, such as ``server-key.pem``."""
    return b"PRIVATE KEY-----" in data and not path.endswith(".crt")


def certificate_entry(facts: profile.CertificateFacts, path: str, kind: str, now: float) -> dict[str, t.Any]:
    """Return what controls judge a certificate by; ``now`` is in seconds since 1970."""
    entry = listing.entry(facts, path, kind, now, listing.KeyState())
    kept = (
        "path", "kind", "subject", "issuer", "names", "not_after", "days_left", "key_algorithm", "problem",
        "authority", "extended_usages",
    )  # fmt: skip
    return {
        **{key: entry[key] for key in kept},
        "organizations": list(facts.profile.subject.organizations),
        "sha256": facts.fingerprint,
        # Whole seconds, since a certificate of hours has no days.
        "seconds_left": math.floor(facts.not_after - now),
        "seconds_valid": math.floor(facts.not_after - facts.not_before),
        "age_days": math.floor((now - facts.not_before) / _DAY),
        # By these a certificate names its authority where several have one subject.
        "key_id": (facts.subject_key_id or b"").hex(),
        "issuer_key_id": (facts.profile.authority_key_id or b"").hex(),
        "own_key": False,
    }


def shown_certificate(certificate: bytes, where: str, now: float) -> dict[str, t.Any]:
    """Facts of a certificate (DER) that a port showed.

    Raises:
        HardeningError: It is none.
    """
    facts = profile.from_der(certificate, where)
    entry = listing.entry(facts, where, "certificate", now, listing.KeyState())
    kept = {key: entry[key] for key in ("subject", "issuer", "names", "not_after", "days_left")}
    return {**kept, "sha256": facts.fingerprint}
