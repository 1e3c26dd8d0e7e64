# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a trial is of: what it needs, and by what a later task knows that the same was tried before."""

from __future__ import annotations

import hashlib
import os

from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_arguments
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest, program_at
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import CONFIGURATION_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes, read_text
from ansible_collections.kubeharden.core.plugins.module_utils.pki import keys, profile, refuse
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import flag_files
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.plan import ComponentPlan

#: Flags that name a certificate, and its key.
_PAIRS = (
    ("tls-cert-file", "tls-private-key-file"),
    ("kubelet-client-certificate", "kubelet-client-key"),
    ("etcd-certfile", "etcd-keyfile"),
    ("proxy-client-cert-file", "proxy-client-key-file"),
)


def future(plan: ComponentPlan) -> Manifest:
    """Return what a component is tried with: what a later task of the run may make of it is part of that."""
    return (plan.ahead or plan).manifest


def awaits_a_file(host: Host, plan: ComponentPlan) -> bool:
    """Return whether a flag is going to name a file that neither is on the host nor is written with the plan."""
    written = _texts(plan)
    return any(path not in written and not os.path.exists(host.path(path)) for path in _named(plan))


def require_pairs(host: Host, plan: ComponentPlan) -> None:
    """Refuse a key that does not belong to its certificate: it, and no flag, would be what a trial fails by.

    Whatever else is wrong with either is for the component itself to say.

    Raises:
        HardeningError: Which key, and which certificate.
    """
    for flags in _PAIRS:
        certificate, key = (_file_of(plan, flag) for flag in flags)
        pair = _read_pair(host, certificate, key) if certificate and key else None
        if pair is not None:
            refuse.unmatched_pair(*pair, str(certificate), str(key))


def _read_pair(host: Host, certificate: str, key: str) -> tuple[profile.CertificateFacts, keys.PrivateKey] | None:
    try:
        texts = read_bytes(host.path(certificate)), read_bytes(host.path(key))
        if texts[0] is None or texts[1] is None:
            return None
        return profile.from_pem(texts[0], certificate), keys.load_private(texts[1], key, validate=False)
    except HardeningError:
        return None


def fingerprint(host: Host, plan: ComponentPlan) -> str:
    """Return by what a trial is known: the manifest, and the files that its flags name as they are going to be.

    A file of ours counts by its text, whether it is written yet or not; any other, which may be a key, by which file it
    is and when it was written.
    """
    texts = _texts(plan)
    parts = [future(plan).text]
    for path in sorted({*_named(plan), *texts}):
        text = texts.get(path)
        if text is None and path.startswith(CONFIGURATION_DIRECTORY + "/"):
            text = read_text(host.path(path))
        parts += [path, _identity(host.path(path)) if text is None else text]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _texts(plan: ComponentPlan) -> dict[str, str]:
    return {change.target: change.after or "" for change in plan.files}


def _file_of(plan: ComponentPlan, flag: str) -> str | None:
    values = future(plan).flag_values(plan.component, flag)
    return future(plan).host_path_of(plan.component, values[-1]) if values else None


def _named(plan: ComponentPlan) -> list[str]:
    """Return where on the host the files lie that the component's flags are going to name."""
    manifest, component = future(plan), plan.component
    words = manifest.arguments(component)
    program = program_at(words, component)
    named: list[str | None] = [
        manifest.host_path_of(component, path)
        for flag in parse_arguments(words if program is None else words[program + 1 :])
        if flag_files.names_a_file(flag.name)
        for path in flag_files.paths(flag.name, flag.effective)
    ]
    return sorted({path for path in named if path})


def _identity(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"
