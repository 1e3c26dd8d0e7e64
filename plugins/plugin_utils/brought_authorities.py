# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities that the user brings, as files on the controller: read, judged, sealed for hosts that lack them."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, brought, bundle
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import AUTHORITIES
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.authorities import seal_pair
from ansible_collections.kubeharden.core.plugins.plugin_utils.nearest import nearest

VARIABLE = "kubeharden_pki_authorities"
_PARTS = ("certificate", "key", "passphrase_file")

#: Returns the bytes of a file on the controller; HardeningError for one that cannot be read.
Read = t.Callable[[str], bytes]


def problems(declared: t.Any) -> list[str]:
    """Return a sentence for each entry of the variable that says nothing."""
    if not isinstance(declared, dict):
        return [f"{VARIABLE} must be a mapping of authority to files."]
    known = [row.name for row in AUTHORITIES]
    found = []
    for name, entry in declared.items():
        if name not in known:
            found.append(f"{VARIABLE}: there is no authority {name}; {nearest(name, known)}.")
        elif not isinstance(entry, dict) or not all(isinstance(path, str) and path for path in entry.values()):
            found.append(f"{VARIABLE}: {name} must be a mapping of {', '.join(_PARTS)} to paths.")
        else:
            found += _problems_with_entry(str(name), entry)
    return found


def _problems_with_entry(name: str, entry: t.Mapping[str, str]) -> list[str]:
    found = [
        f"{VARIABLE}: {name} has no {part}; {nearest(part, _PARTS)}." for part in map(str, entry) if part not in _PARTS
    ]
    if "certificate" not in entry:
        found.append(f"{VARIABLE}: {name} lacks certificate.")
    if "passphrase_file" in entry and "key" not in entry:
        found.append(f"{VARIABLE}: {name} has a passphrase_file without key.")
    return found


def keyless(declared: t.Any) -> list[str]:
    """Return the authorities whose certificates are brought alone: their keys are kept elsewhere."""
    entries = declared.items() if isinstance(declared, dict) else ()
    return [str(name) for name, entry in entries if isinstance(entry, dict) and "key" not in entry]


class BroughtAuthorities:
    """What the user brings to one host.

    Args:
        declared: The variable.
        read: Reads a file of the controller.
        now: Seconds since 1970.
    """

    def __init__(self, declared: t.Mapping[str, t.Mapping[str, str]], read: Read, now: float) -> None:
        self._declared = {
            name: {part: os.path.abspath(os.path.expanduser(path)) for part, path in entry.items()}
            for name, entry in declared.items()
        }
        self._read = read
        self._now = now

    @property
    def names(self) -> list[str]:
        """The authorities that are brought."""
        return list(self._declared)

    @property
    def keyless(self) -> list[str]:
        """Those of them whose keys are kept elsewhere."""
        return keyless(self._declared)

    def certificates(self, names: t.Collection[str]) -> dict[str, str]:
        """Return the certificates of the named ones, in PEM, each followed by those above it.

        Raises:
            HardeningError: One that cannot be read or could not sign.
        """
        found = {}
        for name in names:
            entry = self._declared[name]
            one = brought.read(self._read(entry["certificate"]), entry["certificate"], self._now)
            found[name] = bundle.join([one.facts, *one.above]).decode("ascii")
        return found

    def judge(self, names: t.Iterable[str]) -> dict[str, Authority]:
        """Return the named authorities with their keys.

        Raises:
            HardeningError: A key that cannot be read, is another's, or is not opened by its passphrase.
        """
        return {name: self._with_key(self._declared[name]) for name in names if "key" in self._declared.get(name, {})}

    def _with_key(self, entry: t.Mapping[str, str]) -> Authority:
        found = brought.read(self._read(entry["certificate"]), entry["certificate"], self._now)
        secret = None
        if "passphrase_file" in entry:
            secret = passphrase(entry["passphrase_file"], self._read, entry["key"])
        return brought.with_key(found, self._read(entry["key"]), entry["key"], entry["certificate"], secret)


def passphrase(file: str, read: Read, what: str) -> bytes:
    """Return the passphrase in a file, without the end of its line.

    Args:
        file: The file.
        read: Reads it.
        what: What the passphrase is of, for the sentence.

    Raises:
        HardeningError: A file that cannot be read, or is empty.
    """
    found = read(file).rstrip(b"\r\n")
    if not found:
        raise HardeningError(
            "KH303",
            f"{file} is empty instead of holding the passphrase of {what}; nothing was changed. Put the passphrase "
            "there.",
        )
    return found


def seal(authorities: t.Mapping[str, Authority], receiver: str, run_id: str, node: str) -> dict[str, dict[str, str]]:
    """Return certificate and key of each authority, by name, sealed for the host that asked."""
    return {
        name: seal_pair(authority.files(found), receiver, run_id, node, name) for name, found in authorities.items()
    }
