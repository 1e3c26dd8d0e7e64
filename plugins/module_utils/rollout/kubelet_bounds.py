# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kubelets have stricter than the template asks for, so that neither an upgrade nor a new node has less."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components import kubeletconfig
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_quantity, split_list

Data = t.Mapping[str, t.Any]
Settings = t.Mapping[str, Data]

#: Rules of which a value can be stricter than what the template asks for; a smaller number kept is one too.
_BOUNDS = ("at_least", "at_most", "ordered_minimum", "narrowed")
#: Suites that have two names, with this end and without.
_TWO_NAMES, _END = "CHACHA20_POLY1305", "_SHA256"


def bounded(settings: Settings, kubelets: t.Sequence[Data]) -> dict[str, Data]:
    """Return settings that ask for the strictest value that every kubelet has, where that is not the template's.

    Args:
        settings: By field, the setting.
        kubelets: What discovery says of each kubelet.
    """
    return {field: _bounded(field, data, kubelets) for field, data in settings.items()}


def remembered(text: str, asked: Settings, settings: Settings, source: str) -> dict[str, t.Any]:
    """Return by field of the settings what ConfigMap kubelet-config will say when this is asked of it.

    None but fields of which a value can be stricter than the template's.
    """
    # On the controller values are of Ansible's own kinds, by which an edit would not be known for what was meant.
    after, _controls = kubeletconfig.apply(str(text), json.loads(json.dumps(asked)), source)
    said = kubeletconfig.fields(after, source)
    return {field: kubeletconfig.at(said, field) for field, data in settings.items() if _template(data) is not None}


def unremembered(settings: Settings, configuration: Data, said: t.Mapping[str, t.Any]) -> dict[str, Data]:
    """Return settings that keep on a node what the owner has stricter there than the ConfigMap says.

    Args:
        settings: By field, the setting as the template has it.
        configuration: What the kubelet's own file says, and the next upgrade takes away.
        said: What `remembered` returned.
    """
    kept = {}
    for field in said:
        value = kubeletconfig.at(configuration, field)
        if field not in settings or value is None or value == _template(settings[field]):
            continue
        own = _bound(settings[field], value)
        if own is not None and not kubeletconfig.good_enough(own, said[field]):
            kept[field] = own
    return kept


def _bounded(field: str, data: Data, kubelets: t.Sequence[Data]) -> Data:
    bounds = [_bound(data, _outcome(field, data, kubelet)) for kubelet in kubelets]
    known = [bound for bound in bounds if bound is not None]
    if len(known) < len(kubelets):
        return data
    weakest = next((one for one in known if all(_as_strict(one, other) for other in known)), None)
    if weakest is None or _template(weakest) == _template(data):
        return data
    # One node's looser value is not for all of them.
    alike = all(_template(one) == _template(weakest) for one in known)
    return weakest if alike or _as_strict(_bound(data, _template(data)) or data, weakest) else data


def _as_strict(bound: Data, other: Data) -> bool:
    return kubeletconfig.good_enough(bound, _template(other))


def _template(data: Data) -> t.Any:
    """Return the value that a setting asks for, None where none can be stricter."""
    name = next((one for one in (*_BOUNDS, "keep") if one in data), "")
    return data[name] if name and (name != "keep" or data.get("positive")) else None


def _bound(data: Data, value: t.Any) -> Data | None:
    """Return the setting with this value for what it asks for, None where that says nothing."""
    wanted = _template(data)
    if value is None or wanted is None:
        return None
    others = {key: one for key, one in data.items() if key not in (*_BOUNDS, "keep", "positive", "also")}
    if "narrowed" in data:
        items = list(map(str, value)) if isinstance(value, list) else []
        return {"narrowed": items, "also": list(map(_other_name, items)), **others} if items else None
    if "ordered_minimum" in data:
        return {"ordered_minimum": str(value), **others}
    number = parse_quantity(kubeletconfig.as_text(value))
    if number is None or (isinstance(wanted, int) and number.denominator != 1):
        return None
    own = int(number) if isinstance(wanted, int) else str(value)
    if "keep" in data:  # what is 0 or less means without limit, as the template's positive says
        return {"at_most": own, "unlimited": -1, "none": 0, **others}
    return {next(name for name in _BOUNDS if name in data): own, **others}


def _other_name(suite: str) -> str:
    if _TWO_NAMES not in suite:
        return suite
    return suite[: -len(_END)] if suite.endswith(_END) else suite + _END


def _outcome(field: str, data: Data, kubelet: Data) -> t.Any:
    """Return what a kubelet has when the run is through with it, None for its default."""
    flag = kubeletconfig.OVERRIDING_FLAGS.get(field, "")
    flags = kubelet.get("next_flags") or kubelet.get("flags") or {}
    # What is in kubeadm's own file stays there through an upgrade, kubeharden_extra_flags too.
    if flag in flags and flag not in kubelet.get("kubeadm_flags", []):
        if kubeletconfig.flag_good_enough(data, flags[flag]):
            return kubeletconfig.from_flag(data, flags[flag])
        if kubeletconfig.flag_instead(data, flags[flag]):
            return split_list(kubeletconfig.flag_instead(data, flags[flag]) or "")
    return kubeletconfig.outcome(data, kubeletconfig.at(kubelet.get("configuration") or {}, field))
