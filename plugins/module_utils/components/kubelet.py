# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a kubelet is started and configured: unit, environment files, configuration, drop-ins, flags."""

from __future__ import annotations

import copy
import re
import shlex
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import flag_name, parse_arguments
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import UNIT_DIRECTORIES
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$")
#: The variable of kubeadm-flags.env that kubeadm's drop-in of the unit reads.
KUBEADM_ARGUMENTS = "KUBELET_KUBEADM_ARGS"
#: That of /etc/default/kubelet, which comes behind it and so beats it.
OWN_ARGUMENTS = "KUBELET_EXTRA_ARGS"
#: Of our own drop-in.
_FLAGS = "KUBELET_BOOTSTRAP_ARGS"
#: How the files end that a kubelet with --config-dir lays over its configuration, in lexical order.
DROP_INS = ".conf"
#: Fields of its configuration that may hold a secret: with these headers it asks for static pods.
SECRET_FIELDS = frozenset({"staticPodURLHeader"})
_PLAIN = re.compile(r"[^\s\"'\\$`]+")
#: How systemd wants variables written: alone, and as a part of a word, where two dollars are one.
_ALONE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_WITHIN = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SPECIFIER = re.compile(r"%([A-Za-z%])")
UNIT = "kubelet.service"


def _lines(text: str) -> list[str]:
    """Return the lines as systemd counts them: what Python's splitlines() takes for an end is none to it."""
    return text.split("\n")


def environment(text: str) -> dict[str, str]:
    """Return the assignments of an environment file, quotes taken off as systemd does."""
    values = {}
    for line in _lines(text):
        match = _ASSIGNMENT.match(line)
        if match:
            values[match.group(1)] = _unquoted(match.group(2))
    return values


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def _logical_lines(text: str) -> t.Iterator[str]:
    pending = ""
    for line in _lines(text):
        if not pending and line.lstrip().startswith(("#", ";")):
            continue
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        yield pending + line
        pending = ""
    if pending:
        yield pending


def unit_files(exists: t.Callable[[str], bool], listing: t.Callable[[str], t.Iterable[str]]) -> list[str]:
    """Return the kubelet's unit and its drop-ins in the order in which systemd reads them.

    Drop-ins come by their names, whatever directory they lie in; of two with one name that of /etc counts, then that of
    /run, as it does of two units.

    Args:
        exists: Whether a file is there.
        listing: Returns the names in a directory, none where there is none.
    """
    unit: list[str] = []
    drop_ins: dict[str, str] = {}
    for directory in reversed(UNIT_DIRECTORIES):
        if exists(f"{directory}/{UNIT}"):
            unit = [f"{directory}/{UNIT}"]
        folder = f"{directory}/{UNIT}.d"
        drop_ins.update((name, f"{folder}/{name}") for name in listing(folder) if name.endswith(".conf"))
    return [*unit, *(drop_ins[name] for name in sorted(drop_ins))]


def command_line(units: t.Sequence[str], read: t.Callable[[str], str | None], hostname: str = "") -> list[str]:
    """Return the argument vector that a unit and its drop-ins, in the order in which systemd reads them, would start.

    Args:
        units: The text of the unit, then of each drop-in as `unit_files` orders them.
        read: Returns an environment file's text, None where it does not exist.
        hostname: What ``%H`` stands for, empty where that is not known; then it stays, as every specifier does of which
            nobody but systemd knows what it stands for (`has_specifier`).
    """
    own: dict[str, str] = {}
    files: list[str] = []
    command = ""
    for text in units:
        for line in _logical_lines(text):
            key, _dummy, value = line.partition("=")
            key, value = key.strip(), value.strip()
            # What is empty takes back what came before, drop-ins' too.
            if key == "Environment":
                own = {**own, **_assignments(value, hostname)} if value else {}
            elif key == "EnvironmentFile":
                files = [*files, _specified(value.lstrip("-"), hostname)] if value else []
            elif key == "ExecStart":
                command = value
    variables = dict(own)
    for path in files:  # whatever line they stand in, they beat Environment=
        variables.update(environment((read(path) if path.startswith("/") else None) or ""))
    words: list[str] = []
    for word in _split(command.lstrip("-@+!:")):
        words.extend(_with_variables(_specified(word, hostname), variables))
    return words


def next_flags(words: t.Sequence[str], running: t.Mapping[str, str]) -> dict[str, str]:
    """Return the flags with which a kubelet is started next: those that run where no unit says any.

    Args:
        words: The argument vector that the unit would start (`command_line`), empty where there is none.
        running: By flag, with what value it runs: what only systemd puts into a word stays what that is.
    """
    if not words:
        return dict(running)
    flags = {argument.name: argument.effective for argument in parse_arguments(words[1:])}
    return {name: running.get(name, value) if has_specifier(value) else value for name, value in flags.items()}


def _assignments(value: str, hostname: str) -> dict[str, str]:
    """Return what Environment= sets; what is no assignment sets nothing."""
    split = (_specified(word, hostname).partition("=") for word in _split(value))
    return {name: content for name, sign, content in split if sign}


def _with_variables(word: str, variables: t.Mapping[str, str]) -> list[str]:
    """Return what a word of ExecStart= becomes: $NAME alone is taken apart, ${NAME} never, within words too."""
    alone = _ALONE.fullmatch(word)
    if alone:
        return _split(variables.get(alone.group(1), ""))
    return [_WITHIN.sub(lambda match: variables.get(match.group(1), "") if match.group(1) else "$", word)]


def _specified(word: str, hostname: str) -> str:
    """Return a word with those of systemd's specifiers put in of which it is known what they stand for."""
    known = {"%": "%", "n": UNIT, "N": "kubelet", "p": "kubelet", **({"H": hostname} if hostname else {})}
    return _SPECIFIER.sub(lambda match: known.get(match.group(1), match.group(0)), word)


def has_specifier(word: str) -> bool:
    """Return whether a word has one in it for which only systemd knows what to put there."""
    return any(match.group(1) != "%" for match in _SPECIFIER.finditer(word))


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def arguments_in(text: str, variable: str = KUBEADM_ARGUMENTS) -> list[str]:
    """Return the arguments that a variable of an environment file gives the kubelet."""
    return _split(environment(text).get(variable, ""))


def is_plain(text: str, variable: str) -> bool:
    """Return whether a variable's assignment is understood whole, so that it may be written anew.

    Not one that goes on in further lines, nor one whose quotes do not close.
    """
    lines = [match[2] for match in map(_ASSIGNMENT.match, _lines(text)) if match and match[1] == variable]
    if not lines or lines[-1].rstrip().endswith("\\"):
        return False
    try:
        shlex.split(lines[-1])
    except ValueError:
        return False
    return True


def set_flags(text: str, flags: t.Mapping[str, str | None], variable: str = KUBEADM_ARGUMENTS) -> str:
    """Return an environment file (kubeadm-flags.env) with these flags, every other line and flag as it was.

    Args:
        text: The file.
        flags: By flag, its one value, without what a shell or systemd would take apart (blanks, quotes, backslashes,
            dollars); None for a flag that is to go.
        variable: The variable whose arguments they become.
    """
    present = parse_arguments(arguments_in(text, variable))
    wanted = {flag_name(flag): value for flag, value in flags.items()}
    values = {name: [one.effective for one in present if one.name == name] for name in wanted}
    if all(values[name] == ([] if value is None else [value]) for name, value in wanted.items()):
        return text
    words = arguments_in(text, variable)
    taken = {position for one in present if one.name in wanted for position in one.positions}
    kept = [word for position, word in enumerate(words) if position not in taken]
    end = kept.index("--") if "--" in kept else len(kept)  # what stands behind it is no flag
    new = [f"--{name}={value}" for name, value in wanted.items() if value is not None]
    arguments = " ".join([*map(_word, kept[:end]), *new, *map(_word, kept[end:])])
    line = f'{variable}="{arguments}"'
    lines = _lines(text)
    places = [number for number, one in enumerate(lines) if (m := _ASSIGNMENT.match(one)) and m[1] == variable]
    if places:
        lines[places[-1]] = line
        return "\n".join(lines)
    return text + ("\n" if text and not text.endswith("\n") else "") + line + "\n"


def _word(word: str) -> str:
    """Return an argument as it may stand between double quotes in an environment file."""
    return word if _PLAIN.fullmatch(word) else shlex.quote(word).replace('"', '\\"')


def reads(unit: str, path: str, variable: str) -> bool:
    """Return whether a unit or drop-in, by its text, gives the kubelet what a variable of an environment file holds."""
    return path in unit and variable in unit


def drop_in(program: str, flags: t.Mapping[str, str], files: t.Mapping[str, str]) -> str:
    """Return a drop-in of the unit that starts a kubelet as kubeadm's does: with flags, and with what files give it.

    Args:
        program: The kubelet.
        flags: By flag, its value.
        files: By environment file, which may be missing, the variable whose arguments it gets, in their order.
    """
    lines = [
        "# Laid by prepare_node.yml of Kubeharden; the kubelet is started as kubeadm starts it.",
        "[Service]",
        f'Environment="{_FLAGS}={" ".join(f"--{name}={value}" for name, value in flags.items())}"',
        *(f"EnvironmentFile=-{path}" for path in files),
        "ExecStart=",
        " ".join([f"ExecStart={program}", f"${_FLAGS}", *(f"${name}" for name in dict.fromkeys(files.values()))]),
    ]
    return "\n".join(lines) + "\n"


def load(text: str, where: str) -> dict[str, t.Any]:
    """Return a KubeletConfiguration as data."""
    try:
        data = yaml_data.load(text)
    except yaml_data.NoYamlError as error:
        raise HardeningError(
            "KH115", f"The kubelet's configuration {where} is no YAML. Nothing was changed; repair the file."
        ) from error
    if not isinstance(data, dict):
        raise HardeningError(
            "KH115", f"The kubelet's configuration {where} is no mapping. Nothing was changed; repair the file."
        )
    return data


def merge(base: dict[str, t.Any], patch: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return a JSON merge patch (RFC 7386) applied, as the kubelet applies each drop-in: lists are replaced whole."""
    result = copy.copy(base)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            current = result.get(key)
            result[key] = merge(current if isinstance(current, dict) else {}, value)
        else:
            result[key] = value
    return result
