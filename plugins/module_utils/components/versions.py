# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each version of each component knows: flags, feature gates, admission plugins, fields of configuration files.

The tables beside this file, one for each minor version of Kubernetes and of etcd, are made by ``tools/flagtable`` from
the components' own flag sets and types, and never by hand. They are read on the controller; a module that needs one
gets the part of its components as a parameter (:meth:`Table.part`, :meth:`Table.from_data`), since data files do not
travel to a host.

A component that is given a flag, a plugin or a gate that it does not know ends at once, and a static pod's old process
is gone by then: so nothing may be written that the table does not have.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import ipaddress
import json
import os
import re
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import (
    effective_values,
    flag_name,
    parse_bool,
    parse_quantity,
)
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tables")
#: The oldest minor versions that are changed.
OLDEST = {"kubernetes": (1, 33), "etcd": (3, 5)}

Version = tuple[int, int]

#: What pflag and Go call a flag's type, and the kind (flags.KINDS) that an argument vector's reader knows.
KIND_OF_TYPE: t.Mapping[str, str] = {
    "Level": "int",
    "LocalMode": "string",
    "ProxyMode": "string",
    "[]v1.Taint": "slice",
    "bool": "bool",
    "colonSeparatedMultimapStringString": "map",
    "duration": "duration",
    "float32": "float",
    "float64": "float",
    "ignored": "string",
    "int": "int",
    "int32": "int",
    "int32Slice": "slice",
    "int64": "int",
    "ip": "string",
    "ipport": "string",
    "mapStringBool": "map",
    "mapStringString": "map",
    "namedCertKey": "array",
    "pattern=N,...": "map",
    "portRange": "string",
    "quantity": "string",
    "reserved-memory": "array",
    "string": "string",
    "stringArray": "array",
    "stringSlice": "slice",
    "stringToString": "map",
    "uint": "int",
    "uint32": "int",
    "uint64": "int",
    "version": "string",
}

_PLUGIN_FLAGS = ("enable-admission-plugins", "disable-admission-plugins", "admission-control")
_GATES = "feature-gates"

#: Of kube-apiserver, flags that keep it from starting beside one another: a flag, and a pattern of the others.
#: Seen on 1.34.4 and 1.37.1 for the first; the second is said by its options' validation.
_EXCLUSIVE: t.Mapping[str, t.Sequence[tuple[str, str]]] = {
    "kube-apiserver": (
        ("authentication-config", r"oidc-.+"),
        ("authorization-config", r"authorization-(mode|webhook-.+)"),
        ("service-account-signing-endpoint", r"service-account-(signing-)?key-file"),
    ),
}


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag.

    :param type: as pflag (etcd: Go's flag package) calls it; a key of :data:`KIND_OF_TYPE`
    :param default: what it is when absent, as the program prints it
    :param repeat: ``all`` where a second occurrence leaves the first one standing, empty where the last one wins
    :param bare: whether it may stand without a value, so that the word behind it is none
    :param deprecated: whether its component says so
    :param hidden: whether ``--help`` keeps it to itself
    :param shorthand: its one letter, empty for none
    :param values: the words that it (or each of its items) may be, empty for any
    """

    type: str
    default: str = ""
    repeat: str = ""
    bare: bool = False
    deprecated: bool = False
    hidden: bool = False
    shorthand: str = ""
    values: t.Sequence[str] = ()

    @property
    def kind(self) -> str:
        return KIND_OF_TYPE[self.type]


@dataclasses.dataclass(frozen=True)
class Gate:
    """One feature gate.

    :param default: whether it is on
    :param stage: ALPHA, BETA, GA or DEPRECATED
    :param locked: whether its component ends when it is set to anything but its default
    :param without: components of the version that do not know it
    :param inverted: components of the version whose default is the other one
    """

    default: bool
    stage: str
    locked: bool = False
    without: t.Sequence[str] = ()
    inverted: t.Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a configuration file: its type, and what it comes to where the file has nothing."""

    type: str
    default: t.Any = None


@dataclasses.dataclass(frozen=True)
class Findings:
    """What is wrong with flags, as sentences: problems must stop a run before it writes, warnings must be read."""

    problems: list[str]
    warnings: list[str]


class Table:
    """What the components of one minor version know."""

    def __init__(self, data: t.Mapping[str, t.Any]) -> None:
        self._data = data
        self.release = str(data["version"])
        self.version = version_of(self.release)

    @classmethod
    def load(cls, minor: str, product: str = "kubernetes") -> Table:
        """The committed table of a minor version such as ``1.37``, or ``3.6`` of product ``etcd``.

        :raises HardeningError: there is none
        """
        wanted = version_of(minor)
        if wanted not in known_versions(product):
            known = ", ".join(shown(version) for version in known_versions(product))
            raise HardeningError("KH112", f"There is no table of {product} {shown(wanted)}; there are {known}.")
        return _read(product, wanted)

    @classmethod
    def from_data(cls, data: t.Mapping[str, t.Any]) -> Table:
        """A table from what :meth:`part` returned."""
        return cls(data)

    def part(self, components: t.Collection[str]) -> dict[str, t.Any]:
        """The table as data, with the flags of these components only: for a module's parameter."""
        flags = {name: known for name, known in self._data["flags"].items() if name in components}
        return {**self._data, "flags": flags}

    @property
    def minor(self) -> str:
        return shown(self.version)

    @property
    def components(self) -> list[str]:
        return list(self._data["flags"])

    def flags(self, component: str) -> dict[str, Flag]:
        """Every flag of a component by its name.

        :raises HardeningError: the table does not have the component
        """
        known = self._data["flags"].get(component)
        if known is None:
            raise HardeningError("KH112", f"The table of version {self.release} has no component {component}.")
        return {name: Flag(**entry) for name, entry in known.items()}

    def lookup(self, component: str, flag: str) -> Flag | None:
        """One flag, None where the component does not know it; dashes before it and underscores in it do no harm."""
        entry = self._data["flags"].get(component, {}).get(flag_name(flag))
        return None if entry is None else Flag(**entry)

    def kinds(self, component: str) -> dict[str, str]:
        """The kind of each flag, as ``flags.kind_of`` says it of all versions together."""
        return {name: flag.kind for name, flag in self.flags(component).items()}

    def bare_flags(self, component: str) -> frozenset[str]:
        """The flags that never take the word behind them for their value: what ``parse_arguments`` must know."""
        return frozenset(name for name, flag in self.flags(component).items() if flag.bare)

    def gates(self, component: str) -> dict[str, Gate]:
        """The feature gates that a component knows, each with the component's own default."""
        known = {name: Gate(**entry) for name, entry in self._data["gates"].items()}
        return {
            name: dataclasses.replace(gate, default=not gate.default) if component in gate.inverted else gate
            for name, gate in known.items()
            if component not in gate.without
        }

    def plugins(self) -> dict[str, bool]:
        """The admission plugins of kube-apiserver, and whether each is on by default."""
        return {name: bool(entry["default"]) for name, entry in self._data.get("plugins", {}).items()}

    def kinds_of_file(self) -> list[str]:
        """The configuration files whose fields are known, as ``group/version Kind``."""
        return list(self._data.get("fields", {}))

    def fields(self, api_version: str, kind: str) -> dict[str, Field] | None:
        """The fields of a configuration file by path; None where this version does not read that kind of file.

        A path is ``authentication.anonymous.enabled``; ``[]`` behind a name stands for each item of a list, ``{}`` for
        each value of a map: ``jwt[].issuer.url``.
        """
        known = self._data.get("fields", {}).get(f"{api_version} {kind}")
        return None if known is None else {path: Field(**entry) for path, entry in known.items()}


# ---- versions --------------------------------------------------------------------------------------------------------


def product_of(component: str) -> str:
    """etcd has versions of its own; all other components have Kubernetes'."""
    return "etcd" if component == "etcd" else "kubernetes"


def version_of(text: str) -> Version:
    """``1.37`` and ``v1.37.1`` are (1, 37).

    :raises HardeningError: for what is no version
    """
    match = re.match(r"v?([0-9]+)\.([0-9]+)(?:[.+-]|\Z)", text, re.ASCII)
    if match is None:
        raise HardeningError("KH112", f"{text!r} is no version such as 1.37 or 1.37.1.")
    return int(match.group(1)), int(match.group(2))


def shown(version: Version) -> str:
    """A version as it is written."""
    return f"{version[0]}.{version[1]}"


@functools.cache
def known_versions(product: str) -> tuple[Version, ...]:
    """The versions of a product that there are tables of, the oldest first."""
    names = [re.match(rf"{re.escape(product)}-([0-9.]+)\.json\Z", name) for name in os.listdir(DIRECTORY)]
    return tuple(sorted(version_of(name.group(1)) for name in names if name))


@functools.cache
def _read(product: str, version: Version) -> Table:
    with open(os.path.join(DIRECTORY, f"{product}-{shown(version)}.json"), encoding="utf-8") as stream:
        return Table(json.load(stream))


def choose(component: str, version: str) -> tuple[Table, str | None]:
    """The table for a component's version, and a warning where it is only the nearest one.

    :raises HardeningError: the version is older than every one that is changed
    """
    product, wanted = product_of(component), version_of(version)
    if wanted < OLDEST[product]:
        raise HardeningError(
            "KH112",
            f"{component} is {version}, and {shown(OLDEST[product])} is the oldest version that Kubeharden changes: "
            "upgrade the cluster, or leave the host out with --limit.",
        )
    known = known_versions(product)
    if wanted in known:
        return _read(product, wanted), None
    nearest = max((one for one in known if one < wanted), default=known[0])
    warning = (
        f"{component} {version} is not known yet; what it accepts was looked up for {shown(nearest)}, the nearest "
        "version that is."
    )
    return _read(product, nearest), warning


def following(table: Table, component: str) -> Table | None:
    """The table of the next minor version, None where there is none yet."""
    product = product_of(component)
    later = [version for version in known_versions(product) if version > table.version]
    return _read(product, later[0]) if later else None


def kinds(component: str, version: str) -> dict[str, str]:
    """The kind of each flag of a component's version (or of the nearest known one)."""
    return choose(component, version)[0].kinds(component)


def lifetime(component: str, flag: str) -> tuple[Version, Version] | None:
    """The first and the last known version with a flag; None where no version has it."""
    product = product_of(component)
    has = [version for version in known_versions(product) if _read(product, version).lookup(component, flag)]
    return (has[0], has[-1]) if has else None


def takes_several(component: str, flag: str) -> bool:
    """Whether each occurrence of a flag is a value of its own, in every known version that has it."""
    product = product_of(component)
    found = [_read(product, version).lookup(component, flag) for version in known_versions(product)]
    return any(found) and all(one is None or one.kind == "array" for one in found)


# ---- judging ---------------------------------------------------------------------------------------------------------


def problems(
    component: str,
    version: str,
    flags: t.Mapping[str, t.Sequence[str]],
    next_minor: bool = True,
) -> Findings:
    """What is wrong with flags that a component's version is to be given.

    :param flags: by flag, the values of its occurrences
    :param next_minor: whether to warn of what the next minor version no longer knows
    :raises HardeningError: the version is older than every one that is changed
    """
    table, warning = choose(component, version)
    later = following(table, component) if next_minor and warning is None else None
    return Findings(
        [*judge(table, component, version, flags), *contradictions(component, version, flags)],
        [*([warning] if warning else []), *(dropped(table, later, component, flags) if later else [])],
    )


def judge(table: Table, component: str, version: str, flags: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """A sentence for each flag that the component does not know, and for each value that it does not take.

    The table is given, so that a module can do it that got one as a parameter.
    """
    found: list[str] = []
    named = f"{component} {version}"
    for name, values in flags.items():
        flag = table.lookup(component, name)
        if flag is None:
            found.append(_unknown(table, named, component, flag_name(name)))
        else:
            found.extend(_wrong_values(table, named, component, flag_name(name), flag, values))
    return found


def _unknown(table: Table, named: str, component: str, flag: str) -> str:
    known = lifetime(component, flag) if os.path.isdir(DIRECTORY) else None
    if known is not None and known[0] > table.version:
        return f"{named} has no flag --{flag}: it exists from {shown(known[0])} on."
    if known is not None:
        return f"{named} has no flag --{flag}: {shown(known[1])} was the last version with it."
    return f"{named} has no flag --{flag}{nearest_flag(table, component, flag)}."


def nearest_flag(table: Table, component: str, flag: str) -> str:
    """A clause that names the flag that was probably meant, empty where none is near."""
    return _nearest(flag, table.flags(component), "--")


def _nearest(word: str, known: t.Iterable[str], prefix: str = "") -> str:
    """A clause that names the known word that was probably meant, empty where none is near."""
    by_lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(word.lower(), list(by_lower), n=1)
    return f"; the nearest that it has is {prefix}{by_lower[near[0]]}" if near else ""


def _wrong_values(
    table: Table, named: str, component: str, name: str, flag: Flag, values: t.Sequence[str]
) -> t.Iterator[str]:
    items = effective_values(list(values), flag.kind) or []
    if not flag.repeat and flag.kind in ("slice", "map"):
        items = effective_values(list(values[-1:]), flag.kind) or []
    if name in _PLUGIN_FLAGS:
        yield from _wrong_plugins(table, named, name, items)
    elif name == _GATES:
        yield from _wrong_gates(table, named, component, items)
    else:
        expected = _EXPECTED.get(flag.type)
        for item in items:
            if expected is not None and not expected[0](item):
                yield f"{named}: --{name}={_short(item)} is not {expected[1]}."
            elif flag.values and item not in flag.values:
                yield f"{named}: --{name} does not take {_short(item)}{_nearest(item, flag.values)}."


def _wrong_plugins(table: Table, named: str, flag: str, items: t.Sequence[str]) -> t.Iterator[str]:
    known = table.plugins()
    for item in items:
        if item not in known:
            yield f"{named} has no admission plugin {_short(item)} (--{flag}){_nearest(item, known)}."


def _wrong_gates(table: Table, named: str, component: str, items: t.Sequence[str]) -> t.Iterator[str]:
    known = table.gates(component)
    for item in items:
        name, switch = _gate(item)
        if name not in known:
            yield f"{named} has no feature gate {_short(name)}{_nearest(name, known)}."
        elif switch is None:
            yield f"{named}: --{_GATES} takes {name}=true or {name}=false, not {_short(item)}."
        elif known[name].locked and switch != known[name].default:
            yield f"{named}: the feature gate {name} is locked to {str(known[name].default).lower()}."


def _gate(item: str) -> tuple[str, bool | None]:
    """Name and value of one gate, None for what is no value; the component's name before a colon is left out."""
    left, equals, value = item.partition("=")
    return left.rpartition(":")[2].strip(), parse_bool(value.strip()) if equals else None


def dropped(table: Table, later: Table, component: str, flags: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """A sentence for each flag, admission plugin and feature gate that the next minor version no longer takes.

    :param later: the next minor version's table; what ``table`` itself does not know is passed over
    """
    found: list[str] = []
    for name, values in flags.items():
        flag = table.lookup(component, name)
        if flag is not None:
            found.extend(_dropped(later, component, flag_name(name), flag, values))
    return found


def _dropped(later: Table, component: str, name: str, flag: Flag, values: t.Sequence[str]) -> t.Iterator[str]:
    advice = "take it out before the upgrade, or it will not start"
    if later.lookup(component, name) is None:
        yield f"{component} {later.minor} has no flag --{name} any more; {advice}."
        return
    items = effective_values(list(values), flag.kind) or []
    if name in _PLUGIN_FLAGS:
        for item in items:
            if item not in later.plugins():
                yield f"{component} {later.minor} has no admission plugin {_short(item)} any more (--{name}); {advice}."
    if name == _GATES:
        known = later.gates(component)
        for item in items:
            gate, switch = _gate(item)
            if gate not in known:
                yield f"{component} {later.minor} has no feature gate {_short(gate)} any more; {advice}."
            elif known[gate].locked and switch not in (None, known[gate].default):
                yield (
                    f"{component} {later.minor} locks the feature gate {gate} to {str(known[gate].default).lower()}; "
                    f"{advice}."
                )


def contradictions(component: str, version: str, flags: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """A sentence for each set of flags that keep a component from starting beside one another."""
    named = f"{component} {version}"
    found: list[str] = []
    names = {flag_name(name): values for name, values in flags.items()}
    for flag, pattern in _EXCLUSIVE.get(component, ()):
        others = sorted(name for name in names if re.match(rf"{pattern}\Z", name)) if flag in names else []
        if others:
            found.append(f"{named} does not start with --{flag} beside --{', --'.join(others)}.")
    if component == "kube-apiserver":
        both = _items(names, "enable-admission-plugins") & _items(names, "disable-admission-plugins")
        if both:
            found.append(
                f"{named} does not start with the same admission plugin enabled and disabled: "
                f"{', '.join(sorted(both))}."
            )
    if component == "etcd" and list(names.get("tls-min-version", ()))[-1:] == ["TLS1.3"] and "cipher-suites" in names:
        found.append(f"{named} does not start with --cipher-suites beside --tls-min-version=TLS1.3.")
    return found


def _items(flags: t.Mapping[str, t.Sequence[str]], name: str) -> set[str]:
    return set(effective_values(list(flags.get(name, [])), "slice") or [])


def _short(text: str) -> str:
    """A value as a sentence can bear it."""
    cut = text if len(text) <= 60 else f"{text[:57]}..."
    return cut if cut.isprintable() and cut and " " not in cut else repr(cut)


# ---- types of values -------------------------------------------------------------------------------------------------

_INTEGER = re.compile(r"([+-]?)(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+|[0-9][0-9_]*)\Z", re.ASCII)
_QUANTITY = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?\Z", re.ASCII)
_FLOAT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\Z", re.ASCII)


def integer(text: str) -> int | None:
    """As Go's ``strconv.ParseInt`` with base 0; None for what it refuses."""
    match = _INTEGER.match(text)
    if match is None or len(text) > 80:
        return None
    digits = match.group(2)
    if re.match(r"0[0-7_]", digits):
        digits = f"0o{digits[1:]}"
    try:
        return int(match.group(1) + digits, 0)
    except ValueError:
        return None


def _signed(bits: int) -> t.Callable[[str], bool]:
    def fits(text: str) -> bool:
        number = integer(text)
        return number is not None and -(2 ** (bits - 1)) <= number < 2 ** (bits - 1)

    return fits


def _unsigned(bits: int) -> t.Callable[[str], bool]:
    def fits(text: str) -> bool:
        number = integer(text)
        return number is not None and text[:1] not in ("+", "-") and number < 2**bits

    return fits


def _duration(text: str) -> bool:
    """As Go's ``time.ParseDuration``: a number has its unit, but for 0."""
    if text.strip() != text or parse_quantity(text) is None:
        return False
    return text.lstrip("+-") == "0" or text[-1:].isalpha()


def _address(text: str) -> bool:
    try:
        ipaddress.ip_address(re.sub(r"(?<![0-9a-fA-F.:])0+(?=[0-9])|(?<=\.)0+(?=[0-9])", "", text.strip()))
    except ValueError:
        return False
    return True


_Check = tuple[t.Callable[[str], bool], str]
_EXPECTED: t.Mapping[str, _Check] = {
    "Level": (_signed(32), "a whole number"),
    "bool": (lambda text: parse_bool(text) is not None, "true or false"),
    "duration": (_duration, "a duration such as 1h30m or 45s"),
    "float32": (lambda text: _FLOAT.match(text) is not None, "a number"),
    "float64": (lambda text: _FLOAT.match(text) is not None, "a number"),
    "int": (_signed(64), "a whole number"),
    "int32": (_signed(32), "a whole number"),
    "int32Slice": (_signed(32), "a list of whole numbers"),
    "int64": (_signed(64), "a whole number"),
    "ip": (_address, "an IP address"),
    "quantity": (lambda text: _QUANTITY.match(text) is not None, "a quantity such as 10Mi"),
    "uint": (_unsigned(64), "a whole number of 0 or more"),
    "uint32": (_unsigned(32), "a whole number of 0 or more"),
    "uint64": (_unsigned(64), "a whole number of 0 or more"),
}


# ---- configuration files ---------------------------------------------------------------------------------------------


#: Durations that Go reads from a number of nanoseconds too (component-base's TimeOrMetaDuration); kubeadm writes 0.
_NANOSECONDS = ("logging.flushFrequency",)


@dataclasses.dataclass(frozen=True)
class _Finding:
    """What is wrong with a configuration file; ``of_value`` where it is a value of the wrong type."""

    sentence: str
    of_value: bool = False


def judge_document(table: Table, document: t.Any, where: str) -> list[str]:
    """A sentence for each field of a configuration file that its version does not know, or whose value is of no use.

    Most readers end at an unknown field. The kubelet passes over it without a word, and so does the API server over the
    name of an admission plugin, which is worse.

    :param document: the file's YAML as data
    :param where: how sentences call the file
    """
    return [finding.sentence for finding in _judged(table, document, where)]


def values_of_no_use(table: Table, document: t.Any, where: str) -> list[str]:
    """Those of them at which the kubelet ends too: values of the wrong type. Parameters as above."""
    return [finding.sentence for finding in _judged(table, document, where) if finding.of_value]


def fields_passed_over(table: Table, document: t.Any, where: str) -> list[str]:
    """The others, which the kubelet passes over: fields that its version does not know. Parameters as above."""
    return [finding.sentence for finding in _judged(table, document, where) if not finding.of_value]


def _judged(table: Table, document: t.Any, where: str) -> t.Iterator[_Finding]:
    if not isinstance(document, dict):
        yield _Finding(f"{where} is no mapping.")
        return
    api_version, kind = str(document.get("apiVersion", "")), str(document.get("kind", ""))
    fields = table.fields(api_version, kind)
    if fields is None:
        known = [one for one in table.kinds_of_file() if one.endswith(f" {kind}")]
        reads = f"; it reads {' and '.join(known)}" if known else ""
        yield _Finding(f"{where} is {api_version} {kind}, which version {table.release} does not read{reads}.")
        return
    yield from _wrong_fields(table, document, fields, "", where)
    if kind == "AdmissionConfiguration":
        names = [str(one.get("name")) for one in document.get("plugins") or [] if isinstance(one, dict)]
        for name in names:
            if name not in table.plugins():
                near = _nearest(name, table.plugins())
                yield _Finding(f"{where}: version {table.release} has no admission plugin {_short(name)}{near}.")


def _wrong_fields(
    table: Table, values: t.Mapping[t.Any, t.Any], fields: t.Mapping[str, Field], prefix: str, where: str
) -> t.Iterator[_Finding]:
    for name, value in values.items():
        path = f"{prefix}{name}"
        field = fields.get(path)
        if field is None:
            beside = [one[len(prefix) :] for one in fields if one.startswith(prefix) and "." not in one[len(prefix) :]]
            near = _nearest(str(name), beside)
            yield _Finding(f"{where}: version {table.release} has no field {_short(path)}{near}.")
        elif value is not None:
            yield from _wrong_field(table, value, field.type, fields, path, where)


def _wrong_field(
    table: Table, value: t.Any, kind: str, fields: t.Mapping[str, Field], path: str, where: str
) -> t.Iterator[_Finding]:
    if kind.startswith("[]") and isinstance(value, list):
        for item in value:
            yield from _wrong_field(table, item, kind[2:], fields, f"{path}[]", where)
    elif kind.startswith("{}") and isinstance(value, dict):
        for item in value.values():
            yield from _wrong_field(table, item, kind[2:], fields, f"{path}{{}}", where)
    elif kind == "object" and isinstance(value, dict):
        yield from _wrong_fields(table, value, fields, f"{path}.", where)
    elif kind == "any":
        if (
            isinstance(value, dict)
            and "kind" in value
            and table.fields(str(value.get("apiVersion")), str(value["kind"]))
        ):
            yield from _judged(table, value, f"{where}: {path}")
    elif path in _NANOSECONDS and _is_integer(value):
        return
    elif kind not in _FIELD_VALUES or not _FIELD_VALUES[kind](value):
        wanted = _FIELD_NAMES.get(kind, "a list" if kind.startswith("[]") else "a mapping")
        seen = json.dumps(value, default=str)
        yield _Finding(f"{where}: {path} must be {wanted}, and is {_short(seen)}.", of_value=True)


def _is_integer(value: t.Any) -> bool:
    """Say whether Go reads it as one: from JSON, in which 10.0 is 10."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def _is_text(value: t.Any) -> bool:
    return isinstance(value, str)


_FIELD_VALUES: t.Mapping[str, t.Callable[[t.Any], bool]] = {
    "bool": lambda value: isinstance(value, bool),
    "bytes": _is_text,
    "duration": lambda value: isinstance(value, str) and _duration(value),
    "float32": lambda value: isinstance(value, float) or _is_integer(value),
    "float64": lambda value: isinstance(value, float) or _is_integer(value),
    "int": _is_integer,
    "int32": _is_integer,
    "int64": _is_integer,
    "quantity": lambda value: _QUANTITY.match(str(value)) is not None,
    "string": _is_text,
    "time": lambda value: value is not None,
    "uint": _is_integer,
    "uint32": _is_integer,
    "uint64": _is_integer,
}
_FIELD_NAMES: t.Mapping[str, str] = {
    "bool": "true or false",
    "bytes": "a text",
    "duration": "a duration such as 1h30m",
    "float32": "a number",
    "float64": "a number",
    "quantity": "a quantity such as 10Mi",
    "string": "a text",
    **dict.fromkeys(("int", "int32", "int64", "uint", "uint32", "uint64"), "a whole number"),
}
