# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions that a value must meet, and in which words it does not."""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import (
    map_item,
    parse_bool,
    parse_quantity,
)

#: From weak to strict, in the words of Kubernetes and of etcd.
TLS_ORDERS = (
    ("VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"),
    ("TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3"),
)

Judge = t.Mapping[str, t.Any]


def text_of(value: t.Any) -> str:
    """Return a value of a configuration file as a flag would have it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def unmet(values: t.Sequence[str], judge: Judge) -> str:
    """Return what the values should be and are not; empty where they meet every condition.

    Args:
        values: What is in force: one value, or the items of a list.
        judge: The conditions by name, see ``catalogue_judges.CONDITIONS``; ``unlimited`` is a value that counts as
            more than any number, ``empty`` what the component takes for no value.
    """
    if "empty" in judge and not any(values):
        values = [str(judge["empty"])]
    for name, test in _TESTS.items():
        if name in judge:
            words = test(values, judge)
            if words:
                return words
    return ""


def _last(values: t.Sequence[str]) -> str:
    return values[-1] if values else ""


def same(left: str, right: str) -> bool:
    """Return whether two texts mean the same value."""
    if parse_bool(left) is not None and parse_bool(left) == parse_bool(right):
        return True
    quantities = (parse_quantity(left), parse_quantity(right))
    return left == right or (quantities[0] is not None and quantities[0] == quantities[1])


def _is(values: t.Sequence[str], judge: Judge) -> str:
    wanted = text_of(judge["is"])
    value = _last(values)
    # No value at all is the zero value of its type.
    if same(value, wanted) or (not value and wanted in ("false", "0", "")):
        return ""
    return f"should be {wanted}"


def _set(values: t.Sequence[str], _judge: Judge) -> str:
    return "" if any(values) else "should be set"


def _unset(values: t.Sequence[str], _judge: Judge) -> str:
    return "should not be set" if any(values) else ""


def _has(values: t.Sequence[str], judge: Judge) -> str:
    missing = [str(item) for item in judge["has"] if str(item) not in values]
    return f"should hold {', '.join(missing)}" if missing else ""


def _has_not(values: t.Sequence[str], judge: Judge) -> str:
    found = [str(item) for item in judge["has_not"] if any(_same_item(value, str(item)) for value in values)]
    return f"should not hold {', '.join(found)}" if found else ""


def _same_item(value: str, item: str) -> bool:
    name, setting = map_item(value)
    wanted_name, wanted = map_item(item)
    return name == wanted_name and same(setting, wanted)


def _at_least(values: t.Sequence[str], judge: Judge) -> str:
    return _number(values, judge, "at_least", "at least", lambda value, limit: value >= limit, unlimited=True)


def _at_most(values: t.Sequence[str], judge: Judge) -> str:
    return _number(values, judge, "at_most", "at most", lambda value, limit: value <= limit, unlimited=False)


def _number(
    values: t.Sequence[str],
    judge: Judge,
    name: str,
    words: str,
    meets: t.Callable[[t.Any, t.Any], bool],
    unlimited: bool,
) -> str:
    limit = str(judge[name])
    value = _last(values) or "0"
    if "unlimited" in judge and same(value, str(judge["unlimited"])):
        return "" if unlimited else f"should be {words} {limit}, and {value} is no limit"
    quantity = parse_quantity(value)
    if quantity is not None and meets(quantity, parse_quantity(limit)):
        return ""
    return f"should be {words} {limit}"


def _only(values: t.Sequence[str], judge: Judge) -> str:
    allowed = {str(item) for item in judge["only"]}
    others = [value for value in values if value and value not in allowed]
    if others:
        return f"should not hold {', '.join(others)}"
    return "" if any(values) else "should be set to strong ones"


def _minimum(values: t.Sequence[str], judge: Judge) -> str:
    minimum, value = str(judge["minimum"]), _last(values)
    order = next((order for order in TLS_ORDERS if minimum in order), (minimum,))
    if value in order and order.index(value) >= order.index(minimum):
        return ""
    return f"should be {minimum} or newer"


def _loopback(values: t.Sequence[str], _judge: Judge) -> str:
    return "" if is_loopback(_last(values)) else "should be an address of the host itself, such as 127.0.0.1"


def is_loopback(address: str) -> bool:
    """Return whether an address, with or without a port, is reached from the host itself only."""
    host = address
    if address.startswith("["):
        host = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        host = address.partition(":")[0]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def asks_loopback(urls: t.Iterable[str]) -> bool:
    """Return whether one of some URLs, or of those with commas between them, is of the host itself."""
    return any(is_loopback(url.rpartition("://")[2].partition("/")[0]) for text in urls for url in text.split(","))


_TESTS: dict[str, t.Callable[[t.Sequence[str], Judge], str]] = {
    "is": _is,
    "set": _set,
    "unset": _unset,
    "has": _has,
    "has_not": _has_not,
    "at_least": _at_least,
    "at_most": _at_most,
    "only": _only,
    "minimum": _minimum,
    "loopback": _loopback,
}
