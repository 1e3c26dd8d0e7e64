# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of public variables, held against their specification for all hosts at once.

Ansible would do it for each role and host, and print the whole specification each time.
"""

from __future__ import annotations

import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import mask
from ansible_collections.kubeharden.core.plugins.plugin_utils import controller

Specification = t.Mapping[str, t.Mapping[str, t.Any]]

#: Letters of a value that a sentence shows, and hosts that it names.
_MOST_LETTERS = 60
_MOST_HOSTS = 5
#: The least that a number may be, which a specification of Ansible's cannot say. With no second to get well in every
#: change would go back; with a negative number of days or runs all backups but the newest would be removed.
_LEAST = {
    "kubeharden_gate_timeout": 1,
    "kubeharden_backup_count": 0,
    "kubeharden_backup_days": 0,
    "kubeharden_pki_lifetime_days": 0,
    "kubeharden_rotation_grace": 0,
}
_KINDS = {"bool": "true or false", "int": "a whole number", "list": "a list", "dict": "a mapping"}


def of_hosts(
    task_vars: t.Mapping[str, t.Any], hosts: t.Iterable[str], template: t.Callable[[t.Any], t.Any]
) -> dict[str, dict[str, t.Any]]:
    """Return by host the public variables that it has; of the task's own host those of its play and role too.

    Args:
        task_vars: Of an action.
        hosts: Which are asked for.
        template: Fills in a value of the task's variables.
    """
    found = {}
    for host in hosts:
        known = task_vars["hostvars"][host]
        found[host] = {name: known[name] for name in known if name.startswith(controller.PREFIX)}
    own = found.get(str(task_vars.get("inventory_hostname")))
    if own is not None:
        own.update((name, template(task_vars[name])) for name in task_vars if name.startswith(controller.PREFIX))
    return found


def problems(found: t.Mapping[str, t.Mapping[str, t.Any]], specification: Specification) -> list[str]:
    """Return a sentence for each value that cannot be, once for all hosts that have it.

    Args:
        found: Variables by host.
        specification: The options of the public variables.
    """
    hosts: dict[tuple[str, str], list[str]] = {}
    for host, values in found.items():
        for name in specification:
            if name in values and _is_wrong(name, specification[name], values[name]):
                hosts.setdefault((name, _shown(values[name], specification[name])), []).append(host)
    return [
        f"{name}{_of(names, found)} is {shown}; it must be {_allowed(name, specification[name])}."
        for (name, shown), names in sorted(hosts.items())
    ]


def _is_wrong(name: str, option: t.Mapping[str, t.Any], value: t.Any) -> bool:
    result = ArgumentSpecValidator({name: dict(option)}).validate({name: value})
    return bool(result.error_messages) or (name in _LEAST and result.validated_parameters[name] < _LEAST[name])


def _of(names: t.Sequence[str], found: t.Collection[str]) -> str:
    if len(names) == len(found):
        return ""
    more = f" and {len(names) - _MOST_HOSTS} more" if names[_MOST_HOSTS:] else ""
    return f" of {', '.join(names[:_MOST_HOSTS])}{more}"


def _shown(value: t.Any, option: t.Mapping[str, t.Any]) -> str:
    """Return a value in words; of what should be mappings none, since it may be a secret in the wrong place."""
    if value is None or value == "":
        return "empty"
    if isinstance(value, dict) or "dict" in (option["type"], option.get("elements")):
        others = "a list" if option["type"] == "dict" else "a list of something else"
        return "a mapping" if isinstance(value, dict) else others if isinstance(value, list) else "none"
    words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = mask(" ".join(words.split()))
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."


def _allowed(name: str, option: t.Mapping[str, t.Any]) -> str:
    entries = " of mappings" if option.get("elements") == "dict" else ""
    if "options" in option:
        needed = [name for name, one in option["options"].items() if one.get("required")]
        others = [name for name in option["options"] if name not in needed]
        entries += f", each with {', '.join(needed)} and, where it is needed, {', '.join(others)}"
    kind = _KINDS.get(option["type"], "a text")
    if name in _LEAST:
        return f"{kind} from {_LEAST[name]} on"
    if "choices" not in option:
        return kind + entries
    choices = ", ".join(str(choice) or "empty" for choice in option["choices"])
    return f"one of {choices}" if option["type"] == "str" else f"{kind} of some of {choices}"
