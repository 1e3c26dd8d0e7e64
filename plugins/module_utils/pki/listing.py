# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every certificate and kubeconfig among some files, as facts to show: nothing in here is secret, and nothing is judged
but what a person must see at once: how long it lasts, whether its key fits, and what cannot be read."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import keys, kubeconfig, pem, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import DAY
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import AUTHORITIES, KUBECONFIGS, LEAVES, Layout
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import CertificateFacts

# Names of files that may hold certificates or kubeconfigs.
SUFFIXES = (".crt", ".cert", ".cer", ".pem", ".conf", ".kubeconfig")
#: Of the entries of `ends`.
AUTHORITY = "authority"
#: Of those of a certificate that another host shows, and that is no file here.
SERVED = "served"
#: Of those of a certificate that is in use and not of the table: its owner renews it.
OWNERS = "owner"
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class KeyState:
    """`fits` is None where there is no key to compare, or it cannot be opened; `problem` then says why."""

    path: str = ""
    fits: bool | None = None
    problem: str = ""


def describe(
    files: Mapping[str, bytes], now: float, layout: Layout | None = None, named: Collection[str] = ()
) -> list[dict[str, Any]]:
    """One entry for each certificate in `files`, which are bytes by path, and one for each file that cannot be read.

    `now` is in seconds since 1970; `layout` says what a file is called in the table of the PKI, kubeadm's when not
    given; `named` are files that are looked into whatever they are called.
    """
    known = _known_names(layout or Layout())
    found = []
    for path in sorted(files):
        if path.endswith(SUFFIXES) or path in named:
            found += [{"name": known.get(path, ""), **entry} for entry in _entries(path, files, now)]
    return found


def _known_names(layout: Layout) -> dict[str, str]:
    names = {layout.pair(row.name, row.path).certificate: row.name for row in (*AUTHORITIES, *LEAVES)}
    for row in KUBECONFIGS:
        path = layout.kubeconfigs.get(row.name) or row.path.format(configuration=layout.configuration)
        names[path] = f"{row.name}.conf"
        if layout.file_references:
            names[layout.client_pair(row.name).certificate] = f"{row.name}.conf"
    names[layout.rotating_kubelet_client] = "kubelet-client"
    names[f"{layout.kubelet}/kubelet-server-current.pem"] = "kubelet-server"
    return names


def _entries(path: str, files: Mapping[str, bytes], now: float) -> list[dict[str, Any]]:
    data = files[path]
    try:
        if _CERTIFICATE in data:
            return describe_pem(data, path, now, _key_beside(path, files))
        if b"kind: Config" in data:
            return _kubeconfig_entries(path, data, now, files)
    except HardeningError as error:
        return [{"path": path, "kind": "unreadable", "problem": str(error)}]
    return []


def describe_pem(data: bytes, where: str, now: float, key: tuple[str, bytes] | None = None) -> list[dict[str, Any]]:
    """One entry for each certificate of a PEM file; the key, when given, is compared with the first one."""
    found = []
    for position, (facts, kind) in enumerate(kinds_of(data, where)):
        state = _key_state(facts, key) if position == 0 else KeyState()
        found.append(entry(facts, where, kind, now, state))
    return found


def kinds_of(data: bytes, where: str) -> list[tuple[CertificateFacts, str]]:
    """The certificates of a PEM file in their order, each with what an entry calls its kind."""
    certificates = [
        profile.from_der(block.der, where) for block in pem.blocks(data, where) if block.label == "CERTIFICATE"
    ]
    several = len(certificates) > 1
    return [(one, "bundle" if several and one.profile.is_authority else "certificate") for one in certificates]


def entry(facts: CertificateFacts, path: str, kind: str, now: float, key: KeyState) -> dict[str, Any]:
    """What is shown of one certificate. `days_left` is rounded down, so 0 means today and less means ended."""
    return {
        "path": path,
        "kind": kind,
        **facts.public_facts(),
        "days_left": math.floor((facts.not_after - now) / DAY),
        "self_issued": facts.is_self_issued,
        "key_path": key.path,
        "key_fits": key.fits,
        "problem": key.problem or (facts.defects[0] if facts.defects else ""),
    }


def _key_state(facts: CertificateFacts, key: tuple[str, bytes] | None) -> KeyState:
    if key is None:
        return KeyState()
    path, data = key
    try:
        own = keys.load_private(data, path, validate=False)
    except HardeningError as error:
        return KeyState(path, None, str(error))
    fits = keys.public_bytes(own) == facts.public_key
    return KeyState(path, fits, "" if fits else f"The key in {path} does not belong to this certificate.")


def _key_beside(path: str, files: Mapping[str, bytes]) -> tuple[str, bytes] | None:
    """The key of a certificate: in the same file, or in the file that kubeadm, kubelet or cfssl would call its key."""
    if b"PRIVATE KEY-----" in files[path]:
        return path, files[path]
    stem = path.rpartition(".")[0]
    for candidate in (f"{stem}.key", f"{stem}-key.pem", f"{stem}.key.pem"):
        if candidate in files:
            return candidate, files[candidate]
    return None


def _kubeconfig_entries(path: str, data: bytes, now: float, files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    facts = kubeconfig.parse(data, path)
    shown = {"server": facts.server, "user": facts.user}
    if facts.certificate is None:
        named = facts.certificate_file
        other = ", ".join(facts.other_credentials)
        text = f"its certificate is in {named}" if named else f"it has no certificate{f' but {other}' if other else ''}"
        return [{"path": path, "kind": "kubeconfig", **shown, "certificate_path": named, "problem": "", "note": text}]
    key_data = facts.key if facts.key is not None else files.get(facts.key_file)
    key = (facts.key_file or path, key_data) if key_data is not None else None
    return [{**one, "kind": "kubeconfig", **shown} for one in describe_pem(facts.certificate, path, now, key)]


def ends(files: Mapping[str, bytes], layout: Layout | None = None) -> list[dict[str, str]]:
    """When each certificate in `files` ends, those in kubeconfigs and those of authorities among them, and no more.

    Unlike `describe` it takes every file that holds a certificate, whatever its name, and opens no key. HardeningError
    for one that cannot be read.
    """
    known = _known_names(layout or Layout())
    found = []
    for path in sorted(files):
        kind, data = "certificate", files[path]
        if _CERTIFICATE not in data:
            if b"kind: Config" not in data:
                continue
            kind, data = "kubeconfig", kubeconfig.parse(data, path).certificate or b""
        for block in pem.blocks(data, path):
            if block.label == "CERTIFICATE":
                facts = profile.from_der(block.der, path)
                found.append(
                    {
                        "name": known.get(path, ""),
                        "path": path,
                        "kind": AUTHORITY if facts.profile.is_authority else kind,
                        "subject": str(facts.profile.subject),
                        "not_after": profile.iso_time(facts.not_after),
                    }
                )
    return found


def relevant(paths: Iterable[str]) -> list[str]:
    """Of some paths, those that `describe` wants to read: certificates, kubeconfigs and the keys beside them."""
    return [path for path in paths if path.endswith((*SUFFIXES, ".key"))]
