# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities that a file of several still trusts though nothing needs them: what a rotation that ended left behind.

Nothing on a host says that a rotation ended. What can be seen is which authorities signed something that is in use on
any host, and which of them have their key there, so that they sign what comes next; the others are trusted for nothing.
While a rotation is under way one authority is young: the new one, which has signed nothing yet, or which has signed all
and the old one nothing any more.
"""

from __future__ import annotations

import dataclasses
import typing as t

Entry = t.Mapping[str, t.Any]


@dataclasses.dataclass
class Trust:
    """What the files of authorities on some hosts amount to, in sentences.

    Attributes:
        ended: Authorities that ended and are still trusted.
        unused: Those that signed nothing which is in use, and sign nothing.
        changing: Files of which one authority is so young that a rotation may be under way.
        files: How many files with authorities there are, and how many trust several.
    """

    ended: list[str] = dataclasses.field(default_factory=list)
    unused: list[str] = dataclasses.field(default_factory=list)
    changing: list[str] = dataclasses.field(default_factory=list)
    files: tuple[int, int] = (0, 0)


def judge(
    certificates: t.Mapping[str, t.Sequence[Entry]], trusted: t.Mapping[str, t.Sequence[Entry]], grace: int
) -> Trust:
    """Return what is trusted for nothing.

    Args:
        certificates: By host, the certificates of its files, as verify_host returned them.
        trusted: By host, the authorities within its kubeconfigs, in the same form.
        grace: Days for which a rotation may be under way after an authority was made.
    """
    everything = [one for listed in certificates.values() for one in listed if "sha256" in one]
    signing = {one["sha256"] for one in everything if one["authority"] and one["own_key"]}
    files = {**_files(certificates), **_files(trusted)}
    trust = Trust(files=(len(files), len([1 for found in files.values() if len(found) > 1])))
    ended: dict[str, list[str]] = {}
    unused: dict[str, list[str]] = {}
    changing: dict[str, list[str]] = {}
    for (host, path), authorities in files.items():
        if len(authorities) < 2:
            continue  # alone it is in use, or the file is; when it ends is judged with all certificates
        youngest = min(int(one["age_days"]) for one in authorities)
        for one in authorities:
            shown = f"{path} trusts {one['subject']} ({one['sha256'][:16]})"
            if one["days_left"] < 0:
                ended.setdefault(f"{shown}, which ended {-one['days_left']} days ago", []).append(host)
            elif one["sha256"] in signing or any(_signed(one, other) for other in everything):
                continue
            elif youngest <= grace:
                changing.setdefault(f"{path} has an authority that is {youngest} days old", []).append(host)
            else:
                unused.setdefault(f"{shown}, which signed nothing that is in use", []).append(host)
    trust.ended, trust.unused, trust.changing = (_with_hosts(found) for found in (ended, unused, changing))
    return trust


def _files(certificates: t.Mapping[str, t.Sequence[Entry]]) -> dict[tuple[str, str], list[Entry]]:
    """Return by host and path the certificates of each file that holds nothing but authorities."""
    by_file: dict[tuple[str, str], list[Entry]] = {}
    for host, listed in certificates.items():
        for one in listed:
            by_file.setdefault((host, str(one["path"])), []).append(one)
    return {place: found for place, found in by_file.items() if all(one.get("authority") for one in found)}


def _signed(authority: Entry, other: Entry) -> bool:
    """Return whether an authority may have signed a certificate; of two with one subject the key's name tells."""
    if other["authority"] and other["subject"] == other["issuer"]:
        return False  # it signed itself
    if other["issuer"] != authority["subject"]:
        return False
    return not other["issuer_key_id"] or not authority["key_id"] or other["issuer_key_id"] == authority["key_id"]


def _with_hosts(found: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    return [f"{', '.join(dict.fromkeys(hosts))}: {words}" for words, hosts in found.items()]
