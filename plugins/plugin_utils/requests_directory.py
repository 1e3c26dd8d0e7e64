# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory on the controller in which requests wait for an authority outside, and its certificates for the hosts.

Each host has a directory of its name there: ``apiserver.csr`` is to be signed, ``apiserver.crt`` is the answer. Both go
away when the host has taken the certificate in.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    make_directory,
    read_bytes,
    remove_file,
    write_atomic,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import KUBECONFIGS, LEAVES

VARIABLE = "kubeharden_pki_requests_dir"
#: What a host may ask for: it says the names of files here.
OF_KUBECONFIGS = frozenset(f"{row.name}.conf" for row in KUBECONFIGS)
KNOWN = frozenset(row.name for row in LEAVES) | OF_KUBECONFIGS


class RequestsDirectory:
    """One host's part.

    Args:
        directory: What the user set; empty where requests go nowhere.
        host: The inventory's name of the host.
    """

    def __init__(self, directory: str, host: str) -> None:
        base = os.path.abspath(os.path.expanduser(directory)) if directory else ""
        self.directory = os.path.join(base, host.replace(os.sep, "_")) if base else ""

    def path(self, name: str, suffix: str) -> str:
        """Return where the request (``csr``) or the certificate (``crt``) of a leaf is."""
        return os.path.join(self.directory, f"{name}.{suffix}")

    def returned(self) -> dict[str, dict[str, str]]:
        """Return the certificates that came back, by name of the leaf, each with its path.

        Raises:
            HardeningError: One that cannot be read.
        """
        found: dict[str, dict[str, str]] = {}
        for name in sorted(KNOWN) if self.directory else ():
            path = self.path(name, "crt")
            data = read_bytes(path)
            if data is not None:
                found[name] = {"certificate": data.decode("utf-8", "replace"), "path": path}
        return found

    def update(
        self, unsigned: t.Sequence[t.Mapping[str, str]], before: t.Collection[str], about: t.AbstractSet[str] = KNOWN
    ) -> None:
        """Lay the requests that wait, and remove those that do not wait any more, with their answers.

        Args:
            unsigned: What waits on the host, each with name and request.
            before: Names of the certificates that were passed to the host.
            about: Names of the leaves that the host was asked about: of others it has not said that they do not wait.

        Raises:
            HardeningError: What could not be written or removed.
        """
        waiting = {one["name"]: one["request"].encode("ascii") for one in unsigned if one["name"] in KNOWN}
        if waiting:
            make_directory(self.directory, 0o755)
        for name, request in waiting.items():
            if read_bytes(self.path(name, "csr")) != request:
                write_atomic(self.path(name, "csr"), request, 0o644)
        if not os.path.isdir(self.directory):
            return
        for name in about - set(waiting):
            if name in before or os.path.exists(self.path(name, "csr")):
                for suffix in ("csr", "crt"):
                    remove_file(self.path(name, suffix))


def problems(variables: t.Mapping[str, t.Any], keyless: t.Sequence[str]) -> list[str]:
    """Return a sentence for each authority without a key whose requests have nowhere to go."""
    if variables.get(VARIABLE) or not keyless:
        return []
    names = ", ".join(keyless)
    return [f"kubeharden_pki_authorities: {names} has no key here, so {VARIABLE} must say where requests for it go."]
