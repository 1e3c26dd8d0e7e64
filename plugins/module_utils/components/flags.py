# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument vectors as Kubernetes' components read them, and the rules by which a flag's value is kept or changed.

The parsing rules are those of pflag (kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy) and,
for words with one dash, of Go's own flag package (etcd): a boolean flag never takes the next word as its value, every
other flag without ``=`` does; ``--`` ends the flags; an underscore in a name is a dash. One thing is not pflag's: a
word that begins with two dashes is never taken for the value of the flag before it. No flag here has such values, while
a boolean of a version to come may be unknown.

A rule says what a flag must come to and what of the owner's value may stay: an existing cluster has an owner, and a
value that is stricter than ours is theirs to keep.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Callable, Union

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

# What a repeated flag means: for a slice and a map the occurrences are put together, for an array each is one value,
# for everything else the last one wins.
KINDS = ("bool", "string", "int", "float", "duration", "slice", "array", "map")

# The flags of the components 1.36 and 1.37 (and etcd 3.7) whose kind is not "string", as their own --help says. Which
# flag exists in which version is another table's business: here too much does no harm, and a boolean that is missing
# would swallow the next word of an argument vector.
_BOOL = """
    aggregator-reject-forwarding-redirect allocate-node-cidrs allow-privileged anonymous-auth
    audit-log-batch-throttle-enable audit-log-compress audit-log-truncate-enabled
    audit-webhook-batch-throttle-enable audit-webhook-truncate-enabled authentication-skip-lookup
    authentication-token-webhook authentication-tolerate-lookup-failure auto-tls bind-address-hard-fail
    cgroups-per-qos cleanup client-cert-auth configure-cloud-routes conntrack-tcp-be-liberal
    contention-profiling cpu-cfs-quota disable-attach-detach-reconcile-sync disable-force-detach-on-timeout
    disable-http2-serving discovery-insecure-skip-tls-verify discovery-insecure-transport
    emulation-forward-compatible enable-aggregator-routing enable-bootstrap-token-auth
    enable-controller-attach-detach enable-debugging-handlers enable-distributed-tracing
    enable-dynamic-provisioning enable-garbage-collector enable-grpc-gateway enable-hostpath-provisioner
    enable-leader-migration enable-load-reader enable-log-rotation enable-logs-handler enable-pprof
    enable-priority-and-fairness enable-server encryption-provider-config-automatic-reload
    exit-on-lock-contention experimental-allocatable-ignore-eviction fail-cgroupv1 fail-swap-on
    force-new-cluster init-only initial-election-tick-advance iptables-localhost-nodeports ipvs-strict-arp
    kernel-memcg-notification leader-elect local-storage-capacity-isolation log-cadvisor-usage
    log-json-split-stream log-text-split-stream make-iptables-util-chains masquerade-all memory-mlock
    peer-auto-tls peer-client-cert-auth peer-skip-client-san-verification permit-address-sharing
    permit-port-sharing pre-vote profiling protect-kernel-defaults register-node rotate-certificates
    rotate-server-certificates runonce runtime-config-emulation-forward-compatible seccomp-default
    serialize-image-pulls service-account-extend-token-expiration service-account-lookup
    shutdown-send-retry-after socket-reuse-address socket-reuse-port storage-driver-secure strict-reconfig-check
    unsafe-no-fsync use-service-account-credentials watch-cache
"""
_SLICE = """
    admission-control allowed-unsafe-sysctls api-audiences authorization-always-allow-paths authorization-mode
    cipher-suites cluster-dns controllers cors-allowed-origins disable-admission-plugins disabled-metrics
    emulated-version enable-admission-plugins enforce-node-allocatable etcd-servers etcd-servers-overrides
    ipvs-exclude-cidrs kubelet-preferred-address-types min-compatibility-version nodeport-addresses
    oidc-signing-algs requestheader-allowed-names requestheader-extra-headers-prefix requestheader-group-headers
    requestheader-uid-headers requestheader-username-headers strict-transport-security-directives
    tls-cipher-suites tls-curve-preferences watch-cache-sizes
"""
_MAP = """
    cpu-manager-policy-options eviction-hard eviction-minimum-reclaim eviction-soft eviction-soft-grace-period
    feature-gates kube-reserved node-labels oidc-required-claim qos-reserved runtime-config system-reserved
    topology-manager-policy-options
"""
_ARRAY = "reserved-memory service-account-issuer service-account-key-file tls-sni-cert-key"
_INT = """
    audit-log-maxage audit-log-maxbackup audit-log-maxsize event-qps max-mutating-requests-inflight
    max-requests-inflight min-request-timeout pod-max-pids read-only-port secure-port snapshot-count
    terminated-pod-gc-threshold v
"""
_DURATION = """
    authentication-token-webhook-cache-ttl authorization-webhook-cache-authorized-ttl
    authorization-webhook-cache-unauthorized-ttl cluster-signing-duration etcd-compaction-interval event-ttl
    kubelet-timeout legacy-service-account-token-clean-up-period livez-grace-period request-timeout
    service-account-max-token-expiration shutdown-delay-duration shutdown-watch-termination-grace-period
    storage-initialization-timeout streaming-connection-idle-timeout watch-progress-notify-interval
"""

FLAG_KINDS: Mapping[str, str] = {
    "goaway-chance": "float",
    **dict.fromkeys(_BOOL.split(), "bool"),
    **dict.fromkeys(_SLICE.split(), "slice"),
    **dict.fromkeys(_MAP.split(), "map"),
    **dict.fromkeys(_ARRAY.split(), "array"),
    **dict.fromkeys(_INT.split(), "int"),
    **dict.fromkeys(_DURATION.split(), "duration"),
}

#: Occurrences of one flag that are changed.
MAX_OCCURRENCES = 100

BOOLEAN_FLAGS = frozenset(name for name, kind in FLAG_KINDS.items() if kind == "bool")


def kind_of(flag: str) -> str:
    """The kind of a flag, ``string`` where nothing is known of it."""
    return FLAG_KINDS.get(flag_name(flag), "string")


def flag_name(text: str) -> str:
    """A flag's name as components compare it: without dashes before it, with dashes for underscores."""
    return text.lstrip("-").replace("_", "-")


# ---- argument vectors ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Argument:
    """One occurrence of a flag.

    :param name: without leading dashes, underscores as dashes
    :param value: None where the flag stands alone: a boolean (which then is true), or a flag whose value is missing
    :param form: ``equals`` (``--name=value``), ``words`` (``--name value``) or ``bare``
    :param positions: the indices of its words in the argument vector
    """

    name: str
    value: str | None
    form: str
    positions: tuple[int, ...]

    @property
    def effective(self) -> str:
        """The value that the component takes: a bare boolean is true."""
        return "true" if self.value is None else self.value


def parse_arguments(argv: Sequence[str], boolean_flags: Collection[str] = BOOLEAN_FLAGS) -> list[Argument]:
    """The flags of an argument vector in their order; words that are no flags (the program itself) are passed over.

    :param boolean_flags: names of the flags that take no separate value word
    """
    found: list[Argument] = []
    position = 0
    while position < len(argv):
        word = argv[position]
        if word == "--":
            break
        if not _is_flag(word):
            position += 1
            continue
        argument = _argument(argv, position, boolean_flags)
        found.append(argument)
        position = argument.positions[-1] + 1
    return found


def _is_flag(word: str) -> bool:
    return len(word) > 1 and word.startswith("-") and word.lstrip("-")[:1] not in ("", "=")


def _argument(argv: Sequence[str], position: int, boolean_flags: Collection[str]) -> Argument:
    word = argv[position]
    name, equals, value = word.partition("=")
    name = flag_name(name)
    if equals:
        return Argument(name, value, "equals", (position,))
    verbosity = re.match(r"-v([0-9]+)\Z", word)
    if verbosity:
        return Argument("v", verbosity.group(1), "equals", (position,))
    alone = position + 1 == len(argv) or argv[position + 1].startswith("--")
    if alone or name in boolean_flags or name in ("help", "h", "version"):
        return Argument(name, None, "bare", (position,))
    return Argument(name, argv[position + 1], "words", (position, position + 1))


def occurrences(arguments: Sequence[Argument], flag: str) -> list[str]:
    """The values with which a flag stands in an argument vector, in order; empty where it is absent."""
    name = flag_name(flag)
    return [argument.effective for argument in arguments if argument.name == name]


def refuse_countless(count: int, flag: str, component: str, source: str) -> None:
    """Each occurrence is an edit of its own, each proven on the whole text: what nobody means would take minutes.

    :raises HardeningError: a flag stands there more often than a person would write it
    """
    if count > MAX_OCCURRENCES:
        raise HardeningError(
            "KH111",
            f"{source} gives {component} the flag --{flag_name(flag)} {count} times, and more than {MAX_OCCURRENCES} "
            "are not changed; write it as often as it is meant. Nothing was changed.",
        )


def effective_values(current: Sequence[str], kind: str) -> list[str] | None:
    """What a component makes of a flag's occurrences, or None where the flag is absent.

    Scalars: one value, the last. Slices and maps: the items of all occurrences. Arrays: each occurrence.
    """
    if not current:
        return None
    if kind == "array":
        return list(current)
    if kind in ("slice", "map"):
        return [item for value in current for item in split_list(value)]
    return [current[-1]]


def split_list(text: str) -> list[str]:
    """The items of a comma-separated value, by the rules of CSV as pflag has them; an empty value has none."""
    if not text:
        return []
    if '"' not in text or "\n" in text or "\r" in text:
        return text.split(",")
    try:
        return next(csv.reader([text]))
    except csv.Error:
        return text.split(",")


def parse_bool(text: str) -> bool | None:
    """As Go's ``strconv.ParseBool``; None for what it refuses."""
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    return None


_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)\Z", re.ASCII)
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)", re.ASCII)
_UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "\u00b5s": Fraction(1, 10**6),
    "\u03bcs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}


def parse_quantity(text: str) -> Fraction | None:
    """A number, or a Go duration (``5m``, ``1h30m``, ``300ms``) in seconds; None for what is neither."""
    text = text.strip()
    if len(text) > 64:
        return None
    if _NUMBER.match(text):
        return Fraction(text)
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("-", "+") else text
    parts = _DURATION_PART.findall(rest)
    if not parts or "".join(number + unit for number, unit in parts) != rest:
        return None
    return sign * sum((Fraction(number) * _UNITS[unit] for number, unit in parts), Fraction(0))


# ---- rules -----------------------------------------------------------------------------------------------------------
# Each rule carries `control`, the identifiers of the controls for which it stands, and `kind`, one of KINDS.


@dataclass(frozen=True)
class Exact:
    """The value and no other; booleans, numbers and durations are compared by meaning, lists without their order.

    With ``values`` these occurrences of an array and no others, in their order: of some the first one counts most.
    """

    value: str
    control: tuple[str, ...] = ()
    kind: str = "string"
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Keep:
    """A value for where there is none; the owner's own stays, whatever it is.

    With ``positive`` a number of 0 or less does not stay: it means without limit, which is as good as no value.
    """

    value: str
    control: tuple[str, ...] = ()
    kind: str = "string"
    positive: bool = False


@dataclass(frozen=True)
class AtLeast:
    """A number or duration that may be larger; ``unlimited`` is a value that counts as larger than every other."""

    minimum: str
    unlimited: str | None = None
    control: tuple[str, ...] = ()
    kind: str = "int"


@dataclass(frozen=True)
class AtMost:
    """A number or duration that may be smaller; ``unlimited`` is a value that counts as larger than every other."""

    maximum: str
    unlimited: str | None = None
    control: tuple[str, ...] = ()
    kind: str = "int"


@dataclass(frozen=True)
class Contains:
    """A list (or map, with items ``key=value``) that holds these items; those of ``without`` it must not hold.

    The owner's items stay in their order, what is missing comes behind them. ``without`` takes items of a list; of a
    map keys, or ``key=value`` where another value of it may stay. An absent flag that should hold nothing in particular
    may stay absent.
    """

    items: tuple[str, ...]
    without: tuple[str, ...] = ()
    control: tuple[str, ...] = ()
    kind: str = "slice"


@dataclass(frozen=True)
class Narrowed:
    """A list that holds nothing but the allowed items.

    The owner's list loses what is not allowed; where it is absent, or nothing of it would be left, the whole list of
    allowed items is taken. Items of ``also`` are as good: they stay where they are found, and are never written.
    """

    allowed: tuple[str, ...]
    control: tuple[str, ...] = ()
    kind: str = "slice"
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class OrderedMinimum:
    """A word that stands at ``minimum`` or behind it in an order from weak to strict."""

    minimum: str
    order: tuple[str, ...]
    control: tuple[str, ...] = ()
    kind: str = "string"


@dataclass(frozen=True)
class Absent:
    """The flag must not be there at all."""

    control: tuple[str, ...] = ()
    kind: str = "string"


Rule = Union[Exact, Keep, AtLeast, AtMost, Contains, Narrowed, OrderedMinimum, Absent]

# From weak to strict; kube components spell the versions one way, etcd the other.
TLS_VERSIONS = ("VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13")
ETCD_TLS_VERSIONS = ("TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3")


@dataclass(frozen=True)
class Decision:
    """What a rule says of a flag's current occurrences.

    :param satisfied: nothing is to be done
    :param values: the occurrences that the flag must have instead: one, but for arrays; none with ``satisfied`` False
        means that the flag has to go
    :param reason: a clause for a person, for example ``90 is at least 30``
    """

    satisfied: bool
    values: tuple[str, ...]
    reason: str

    @property
    def value(self) -> str | None:
        """The one value to write; None where nothing is to be written, or the flag has to go."""
        return self.values[0] if self.values else None


def decide(rule: Rule, current: Sequence[str]) -> Decision:
    """What is to become of a flag.

    :param current: the values of the flag's occurrences in order (:func:`occurrences`); empty where it is absent
    """
    if isinstance(rule, Absent):
        return Decision(False, (), "the flag must not be set") if current else _satisfied("the flag is not set")
    if isinstance(rule, Contains):
        return _decide_contains(rule, current)
    effective = effective_values(current, rule.kind)
    if isinstance(rule, Keep):
        return _decide_keep(rule, effective)
    if isinstance(rule, Narrowed):
        return _decide_narrowed(rule, effective)
    if isinstance(rule, Exact) and rule.values:
        return _decide_occurrences(rule, effective)
    if effective is None:
        return _write(_wanted(rule), "the flag is not set")
    if isinstance(rule, Exact):
        return _decide_exact(rule, effective)
    value = effective[-1] if effective else ""
    if isinstance(rule, OrderedMinimum):
        return _decide_ordered(rule, value)
    return _decide_number(rule, value)


def _satisfied(reason: str) -> Decision:
    return Decision(True, (), reason)


def _write(value: str, reason: str) -> Decision:
    return Decision(False, (value,), reason)


def _wanted(rule: Exact | AtLeast | AtMost | OrderedMinimum) -> str:
    if isinstance(rule, Exact):
        return rule.value
    return rule.maximum if isinstance(rule, AtMost) else rule.minimum


def _decide_keep(rule: Keep, effective: Sequence[str] | None) -> Decision:
    if effective is None:
        return _write(rule.value, "the flag is not set")
    number = parse_quantity(effective[-1]) if rule.positive and effective else None
    if number is not None and number <= 0:
        return _write(rule.value, f"{effective[-1]} means without limit")
    return _satisfied("the owner's value stays")


def _decide_occurrences(rule: Exact, effective: Sequence[str] | None) -> Decision:
    if effective is not None and list(effective) == list(rule.values):
        return _satisfied(f"it is {_quoted(rule.value)}")
    reason = "the flag is not set" if effective is None else f"{_quoted(','.join(effective))} is not {rule.value}"
    return Decision(False, rule.values, reason)


def _decide_exact(rule: Exact, effective: Sequence[str]) -> Decision:
    wanted = effective_values([rule.value], rule.kind) or []
    if rule.kind in ("slice", "map", "array"):
        equal = sorted(wanted) == sorted(effective)
    else:
        equal = _same_meaning(wanted[0], effective[-1], rule.kind)
    shown = ",".join(effective)
    return (
        _satisfied(f"it is {_quoted(shown)}") if equal else _write(rule.value, f"{_quoted(shown)} is not {rule.value}")
    )


def _same_meaning(left: str, right: str, kind: str) -> bool:
    if left == right:
        return True
    reader: Callable[[str], object] | None = None
    if kind == "bool":
        reader = parse_bool
    elif kind in ("int", "float", "duration"):
        reader = parse_quantity
    if reader is None:
        return False
    meaning = reader(left)
    return meaning is not None and meaning == reader(right)


def _decide_number(rule: AtLeast | AtMost, value: str) -> Decision:
    wanted = _wanted(rule)
    have, want = parse_quantity(value), parse_quantity(wanted)
    if have is None or want is None:
        return _write(wanted, f"{_quoted(value)} is no number or duration")
    upper = isinstance(rule, AtMost)
    relation = "at most" if upper else "at least"
    if rule.unlimited is not None and have == parse_quantity(rule.unlimited):
        reason = f"{value} means without limit"
        return _write(wanted, reason) if upper else _satisfied(reason)
    good = have <= want if upper else have >= want
    return (
        _satisfied(f"{value} is {relation} {wanted}") if good else _write(wanted, f"{value} is not {relation} {wanted}")
    )


def _decide_ordered(rule: OrderedMinimum, value: str) -> Decision:
    if value not in rule.order:
        return _write(rule.minimum, f"{_quoted(value)} is none of {', '.join(rule.order)}")
    if rule.order.index(value) >= rule.order.index(rule.minimum):
        return _satisfied(f"{value} is at least as strict as {rule.minimum}")
    return _write(rule.minimum, f"{value} is weaker than {rule.minimum}")


def _decide_narrowed(rule: Narrowed, effective: Sequence[str] | None) -> Decision:
    if not effective:
        reason = "the flag is not set" if effective is None else "the list is empty"
        return Decision(False, _joined(rule.allowed, rule.kind), reason)
    good = {*rule.allowed, *rule.also}
    surplus = [item for item in effective if item not in good]
    if not surplus:
        return _satisfied("nothing but allowed items")
    rest = [item for item in effective if item in good]
    return Decision(False, _joined(rest or rule.allowed, rule.kind), f"{', '.join(surplus)} not allowed")


def _decide_contains(rule: Contains, current: Sequence[str]) -> Decision:
    effective = effective_values(current, rule.kind) or []
    if rule.kind == "map":
        return _decide_map(rule, effective)
    kept = [item for item in effective if item not in rule.without]
    missing = [item for item in rule.items if item not in kept]
    return _union(rule, kept, missing, [item for item in effective if item in rule.without])


def _decide_map(rule: Contains, effective: Sequence[str]) -> Decision:
    """For maps an item is missing too where its key has another value; a later item of a key overrides an earlier."""
    last = {map_item(item)[0]: item for item in effective}
    wanted = {map_item(item)[0]: item for item in rule.items}
    missing = [item for key, item in wanted.items() if not _same_item(last.get(key), item)]
    replaced = {map_item(item)[0] for item in missing}
    removed = [item for item in effective if any(_is_unwanted(item, one) for one in rule.without)]
    kept = [item for item in effective if map_item(item)[0] not in replaced and item not in removed]
    return _union(rule, kept, missing, removed)


def map_item(item: str) -> tuple[str, str]:
    """Key and value of an item of a map, as components read them.

    Space around either is nothing. A feature gate may say of which component it is; ``kube:`` is what it is without.
    """
    key, _equals, value = item.partition("=")
    component, colon, name = key.partition(":")
    return (name if colon and component.strip() == "kube" else key).strip(), value.strip()


def _is_unwanted(item: str, unwanted: str) -> bool:
    """Whether an item of a map has a key that is not wanted, or the value that is not wanted of it."""
    if map_item(item)[0] != map_item(unwanted)[0]:
        return False
    return "=" not in unwanted or _same_item(item, unwanted)


def _same_item(have: str | None, want: str) -> bool:
    if have is None:
        return False
    value, wanted = map_item(have)[1], map_item(want)[1]
    return value == wanted or (parse_bool(value) is not None and parse_bool(value) == parse_bool(wanted))


def _union(rule: Contains, kept: Sequence[str], missing: Sequence[str], removed: Sequence[str]) -> Decision:
    if not missing and not removed:
        return _satisfied("all items are there" if rule.items else "no unwanted item is there")
    reasons = [f"{', '.join(missing)} missing"] if missing else []
    reasons += [f"{', '.join(removed)} not allowed"] if removed else []
    return Decision(False, _joined([*kept, *missing], rule.kind), " and ".join(reasons))


def _joined(items: Sequence[str], kind: str) -> tuple[str, ...]:
    """Items as the values of a flag's occurrences; nothing at all where no item is left."""
    if kind == "array" or not items:
        return tuple(items)
    return (",".join(items),)


def _quoted(value: str) -> str:
    return value if value and value.isprintable() and " " not in value else repr(value)


# ---- rules as data ---------------------------------------------------------------------------------------------------

_NAMES = ("exact", "keep", "at_least", "at_most", "contains", "narrowed", "ordered_minimum", "absent")
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "at_least": ("unlimited",),
    "at_most": ("unlimited",),
    "contains": ("without",),
    "keep": ("positive",),
    "narrowed": ("also",),
    "ordered_minimum": ("order",),
}


def rule_from_data(data: Any, flag: str = "") -> Rule:
    """A rule from YAML data: one of the names above with its value, and options.

    ``{"at_least": 30, "unlimited": 0, "control": "CIS-1.2.17"}``, ``{"contains": ["NodeRestriction"]}``,
    ``{"absent": true}``. ``control`` takes one identifier or a list; ``kind`` one of :data:`KINDS`, by default that of
    the flag. ``order`` of ``ordered_minimum`` may be left out where the minimum is a TLS version.

    :raises HardeningError: for anything else, naming the flag and what is wrong
    """
    where = f"The rule of flag {flag}" if flag else "The rule"
    if not isinstance(data, dict):
        raise HardeningError("KH009", f"{where} must be a mapping such as 'at_least: 30', and is {_type_name(data)}.")
    names = [name for name in _NAMES if name in data]
    if len(names) != 1:
        raise HardeningError(
            "KH009", f"{where} must have exactly one of {', '.join(_NAMES)}; it has {len(names)} of them."
        )
    name = names[0]
    unknown = [str(key) for key in data if key not in (name, "control", "kind", *_OPTIONS.get(name, ()))]
    if unknown:
        raise HardeningError("KH009", f"{where} ({name}) has what is not known for it: {', '.join(sorted(unknown))}.")
    control = _texts(data.get("control", []), f"{where}: control")
    kind = _kind(data, name, flag, where)
    return _BUILDERS[name](data, f"{where}: {name}", control, kind)


def _kind(data: Mapping[str, Any], name: str, flag: str, where: str) -> str:
    kind = data.get("kind")
    if kind is None:
        kind = FLAG_KINDS.get(flag_name(flag)) if flag else None
    if kind is None:
        default = {"at_least": "int", "at_most": "int", "contains": "slice", "narrowed": "slice"}
        kind = "bool" if isinstance(data[name], bool) and name in ("exact", "keep") else default.get(name, "string")
    if kind not in KINDS:
        raise HardeningError("KH009", f"{where}: kind must be one of {', '.join(KINDS)}.")
    if name in ("contains", "narrowed") and kind not in ("slice", "array", "map"):
        raise HardeningError("KH009", f"{where} ({name}) is for lists, and the flag's kind is {kind}.")
    return str(kind)


def _type_name(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "a string", bool: "true or false", type(None): "empty"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else "of an unusable type")


def _text(value: Any, where: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise HardeningError("KH009", f"{where} must be a single value, and is {_type_name(value)}.")


def _texts(value: Any, where: str) -> tuple[str, ...]:
    return tuple(_text(item, where) for item in (value if isinstance(value, list) else [value]))


def _list_or_text(value: Any, where: str) -> str:
    return ",".join(_texts(value, where))


def _quantity(value: Any, where: str) -> str:
    text = _text(value, where)
    if isinstance(value, bool) or parse_quantity(text) is None:
        raise HardeningError("KH009", f"{where} must be a number or a duration such as 1h30m, and is {_quoted(text)}.")
    return text


def _unlimited(data: Mapping[str, Any], where: str) -> str | None:
    value = data.get("unlimited")
    return None if value is None else _quantity(value, f"{where}: unlimited")


_Build = Callable[[Mapping[str, Any], str, tuple[str, ...], str], Rule]


def _exact(data: Mapping[str, Any], where: str, control: tuple[str, ...], kind: str) -> Rule:
    several = _texts(data["exact"], where) if kind == "array" and isinstance(data["exact"], list) else ()
    return Exact(_list_or_text(data["exact"], where), control, kind, several)


def _keep(data: Mapping[str, Any], where: str, control: tuple[str, ...], kind: str) -> Rule:
    return Keep(_list_or_text(data["keep"], where), control, kind, data.get("positive") is True)


def _at_least(data: Mapping[str, Any], where: str, control: tuple[str, ...], kind: str) -> Rule:
    return AtLeast(_quantity(data["at_least"], where), _unlimited(data, where), control, kind)


def _at_most(data: Mapping[str, Any], where: str, control: tuple[str, ...], kind: str) -> Rule:
    return AtMost(_quantity(data["at_most"], where), _unlimited(data, where), control, kind)


def _contains(data: Mapping[str, Any], where: str, control: tuple[str, ...], kind: str) -> Rule:
    items = _texts(data["contains"], where)
    without = _texts(data.get("without", []), f"{where}: without")
    if set(items) & set(without):
        raise HardeningError(
            "KH009", f"{where} wants an item that its 'without' forbids: {', '.join(set(items) & set(without))}."
        )
    return Contains(items, without, control, kind)


def _narrowed(data: Mapping[str, Any], where: str, control: tuple[str, ...], kind: str) -> Rule:
    allowed = _texts(data["narrowed"], where)
    if not allowed:
        raise HardeningError("KH009", f"{where} needs at least one allowed item.")
    return Narrowed(allowed, control, kind, _texts(data.get("also", []), f"{where}: also"))


def _ordered_minimum(data: Mapping[str, Any], where: str, control: tuple[str, ...], kind: str) -> Rule:
    minimum = _text(data["ordered_minimum"], where)
    known = next((order for order in (TLS_VERSIONS, ETCD_TLS_VERSIONS) if minimum in order), ())
    order = _texts(data["order"], f"{where}: order") if "order" in data else known
    if minimum not in order:
        raise HardeningError("KH009", f"{where} is {_quoted(minimum)}, which its order does not have.")
    return OrderedMinimum(minimum, order, control, kind)


def _absent(data: Mapping[str, Any], where: str, control: tuple[str, ...], kind: str) -> Rule:
    if data["absent"] is not True:
        raise HardeningError("KH009", f"{where} can only be true.")
    return Absent(control, kind)


_BUILDERS: dict[str, _Build] = {
    "exact": _exact,
    "keep": _keep,
    "at_least": _at_least,
    "at_most": _at_most,
    "contains": _contains,
    "narrowed": _narrowed,
    "ordered_minimum": _ordered_minimum,
    "absent": _absent,
}
