# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines from logs and error messages reach users and reports: what could be a secret in them is masked first."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from re import Match
from typing import Any

MASK = "[masked]"

_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
# In YAML it may be the first of a list, and in a diff of one have its mark before it.
_AUTHORIZATION = re.compile(
    r"(?i)(authorization(?:\\?[\"'])?\s*[:=]\s*(?:[+-]?\s*-\s+)?(?:\\?[\"'])?(?:bearer|basic)\s+)[^\s\"'\\,;]+"
)
_BEARER = re.compile(r"(?i)(\bbearer\s+)(?=\S*[0-9])[A-Za-z0-9._~+/=-]{8,}")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*")
_BOOTSTRAP_TOKEN = re.compile(r"\b([a-z0-9]{6})\.(?=[a-z0-9]*[0-9])[a-z0-9]{16}\b")
_ASSIGNMENT = re.compile(
    r"(?i)((?:password|passwd|passphrase|token|client[-_]?secret|api[-_]?key|(?:client[-_]key|key)[-_]data)"
    r"(?:\\?[\"'])?(?:\s*=|:)\s*(?:\\?[\"'])?)([^\s\"'\\,;&}]{4,})"
)
_USER_INFO = re.compile(r"(://[^\s/:@\"']+:)[^\s/@\"']+(?=@)")
# A container's environment in a manifest, on two lines or, in a diff, with its marks before them.
_ENVIRONMENT = re.compile(
    r"(?i)(name:\s*[\"']?\w*(?:password|passwd|passphrase|token|secret|api_?key|credential)\w*[\"']?[ \t]*\n"
    r"[ +-]?[ \t]*value:[ \t]*)\S.*"
)
#: Flags of components whose values are secrets, with dashes for underscores: headers of the kubelet's requests for
#: static pods, passwords, and what etcd shows to the service by which it finds its members.
SECRET_FLAGS = (
    "discovery-password",
    "discovery-token",
    "discovery-user",
    "manifest-url-header",
    "storage-driver-password",
)
_NAMES = "(?:" + "|".join(name.replace("-", "[-_]") for name in SECRET_FLAGS) + ")"
# In an argument vector, in quotes or without; a header has spaces in it. Then as two words, also of a list in YAML.
_WORD = r"(?:(?!\\?[\"'](?:[\s,\]]|$))\S)+"
_FLAG = re.compile(rf"(-{_NAMES}=)(?:(\\?[\"']).*?\2|{_WORD}(?:[ \t]+(?!--?[a-z]){_WORD})*)", re.MULTILINE)
_FLAG_AND_WORD = re.compile(
    rf"(-{_NAMES}(?:\\?[\"']?(?:,[ \t]*|[ \t]+)|[\"']?[ \t]*\n[ +-]?[ \t]*-[ \t]+))(?:(\\?[\"']).*?\2|(?!-)[^\s\"',]+)"
)
# Among kubeadm's extraArgs, as a key or as name and value.
_EXTRA_ARGUMENT = re.compile(
    rf"(\b{_NAMES}[\"']?:[ \t]+|name:[ \t]*[\"']?{_NAMES}[\"']?[ \t]*\n[ +-]?[ \t]*value:[ \t]*)\S.*"
)
# The same headers in the kubelet's configuration: a mapping in braces, or whatever is indented below the name.
_HEADERS = re.compile(
    r"^([+-]?([ \t]*)|.*?)([\"']?staticPodURLHeader[\"']?[ \t]*:)"
    r"([ \t]*\{[^{}]{0,10000}\}|[^\n]*(?:\n[+-]?\2[ \t]+\S[^\n]*|\n[ \t]*(?=\n))*)",
    re.MULTILINE,
)
_LONG = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}|[A-Za-z0-9_-]{40,}={0,2}")


def mask(text: str) -> str:
    """``text`` without private keys, bearer tokens, JWTs, bootstrap tokens, named passwords and long base64.

    Digests, container ids and paths stay, since they are what a reader needs. The id half of a bootstrap token stays
    too: it is no secret and names the token.
    """
    text = _PRIVATE_KEY.sub(MASK, text)
    text = _JWT.sub(MASK, text)
    text = _AUTHORIZATION.sub(lambda m: m.group(1) + MASK, text)
    text = _BEARER.sub(lambda m: m.group(1) + MASK, text)
    text = mask_named(text)
    text = _BOOTSTRAP_TOKEN.sub(lambda m: m.group(1) + "." + MASK, text)
    text = _ASSIGNMENT.sub(lambda m: m.group(1) + MASK, text)
    return _LONG.sub(_mask_if_random, text)


def mask_named(text: str) -> str:
    """``text`` without what a name tells to be secret: values of flags, headers and variables, passwords in addresses.

    YAML stays YAML, and what is judged of it stays.
    """
    text = _USER_INFO.sub(lambda m: m.group(1) + MASK, text)
    text = _ENVIRONMENT.sub(lambda m: m.group(1) + MASK, text)
    text = _FLAG.sub(lambda m: m.group(1) + MASK, text)
    text = _FLAG_AND_WORD.sub(lambda m: m.group(1) + MASK, text)
    text = _EXTRA_ARGUMENT.sub(lambda m: f'{m.group(1)}"{MASK}"', text)
    return _HEADERS.sub(_mask_headers, text)


def _mask_headers(match: Match[str]) -> str:
    before, _indentation, name, headers = match.groups()
    return match.group() if headers.strip() in ("", "{}", "null", "~") else f'{before}{name} "{MASK}"'


def mask_arguments(words: Iterable[str]) -> list[str]:
    """An argument vector without the values of flags that are secrets, and without passwords in addresses."""
    found = []
    follows = False
    for word in words:
        name, equals, _value = word.partition("=")
        is_secret = word.startswith("-") and name.lstrip("-").replace("_", "-") in SECRET_FLAGS
        if follows and not word.startswith("--"):
            found.append(MASK)
        elif is_secret and equals:
            found.append(f"{name}={MASK}")
        else:
            found.append(_USER_INFO.sub(lambda m: m.group(1) + MASK, word))
        follows = is_secret and not equals
    return found


def mask_fields(data: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """Data in which every text below these fields is masked; its form stays, which is judged too."""
    return {name: _mask_texts(value) if name in fields else value for name, value in data.items()}


def _mask_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _mask_texts(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_mask_texts(one) for one in value]
    return MASK if isinstance(value, str) else value


def _mask_if_random(match: Match[str]) -> str:
    return MASK if _looks_random(match.group()) else match.group()


def _looks_random(word: str) -> bool:
    """Whether a long word is rather encoded bytes than a name.

    Random base64 holds capitals, small letters and digits, and two neighbours in three are of different kinds; in names
    and paths it is fewer than one in three, and a hexadecimal digest has two kinds only.
    """
    kinds = ["A" if c.isupper() else "a" if c.islower() else "0" if c.isdigit() else "-" for c in word]
    changes = sum(1 for left, right in zip(kinds, kinds[1:]) if left != right)
    return {"A", "a", "0"} <= set(kinds) and changes >= 0.4 * len(word)
