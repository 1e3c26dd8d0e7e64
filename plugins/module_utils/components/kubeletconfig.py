# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings in a KubeletConfiguration (the kubelet's own file, the document in kubeadm's ConfigMap) and its like."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components import yamledit
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import (
    Narrowed,
    decide,
    effective_values,
    map_item,
    parse_bool,
    parse_quantity,
    rule_from_data,
    split_list,
)
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

#: Where a kubelet keeps its certificates that was told no other place.
KUBELET_PKI = "/var/lib/kubelet/pki"
#: Keys of a setting that are not the rule's.
_OWN_KEYS = ("default", "needs", "none")
#: Keys beside a rule's name.
_OPTIONS = ("also", "control", "positive", "unlimited")
#: The fields that name a serving certificate and its key.
NAMED = ("tlsCertFile", "tlsPrivateKeyFile")
#: Feature gates, of the file and of the flag, and what switches off all of them whose stage is beta.
GATES, GATES_FLAG, BETAS = "featureGates", "feature-gates", "AllBeta"
#: The gate without which a kubelet that is told to ask for a serving certificate ends at its start.
SERVING_GATE = "RotateKubeletServerCertificate"
#: Flags that beat a field of the configuration file.
OVERRIDING_FLAGS: t.Mapping[str, str] = {
    "authentication.anonymous.enabled": "anonymous-auth",
    "authentication.webhook.enabled": "authentication-token-webhook",
    "authentication.x509.clientCAFile": "client-ca-file",
    "authorization.mode": "authorization-mode",
    "readOnlyPort": "read-only-port",
    "streamingConnectionIdleTimeout": "streaming-connection-idle-timeout",
    "makeIPTablesUtilChains": "make-iptables-util-chains",
    "eventRecordQPS": "event-qps",
    "rotateCertificates": "rotate-certificates",
    "tlsMinVersion": "tls-min-version",
    "tlsCipherSuites": "tls-cipher-suites",
    "podPidsLimit": "pod-max-pids",
    "protectKernelDefaults": "protect-kernel-defaults",
    "seccompDefault": "seccomp-default",
    "serverTLSBootstrap": "rotate-server-certificates",
    "tlsCertFile": "tls-cert-file",
    "tlsPrivateKeyFile": "tls-private-key-file",
}


def good_enough(data: t.Mapping[str, t.Any], value: t.Any) -> bool:
    """Return whether a value that somebody else set satisfies a setting.

    Args:
        data: The setting, as the template has it.
        value: The value as data, None or empty where there is none: an empty text is the same as none to a component,
            and so is in some fields (``none``) the zero value.
    """
    if _unset(data, value):
        return "default" in data and decide(_rule(data), [as_text(data["default"])]).satisfied
    return decide(_rule(data), [as_text(value)]).satisfied


def outcome(data: t.Mapping[str, t.Any], value: t.Any) -> t.Any:
    """Return what a field comes to by a setting, None where its default stays."""
    if good_enough(data, value):
        return None if _unset(data, value) else value
    return _typed(data, decide(_rule(data), [] if _unset(data, value) else [as_text(value)]).values)


def flag_good_enough(data: t.Mapping[str, t.Any], text: str) -> bool:
    """Return whether the value of a flag that beats the field satisfies its setting: a flag's zero means zero."""
    return good_enough({key: value for key, value in data.items() if key != "none"}, from_flag(data, text))


def flag_instead(data: t.Mapping[str, t.Any], text: str) -> str | None:
    """Return what a flag may say instead of a value that falls short, None where it has to go for the field's sake.

    Of a list of what is allowed what is good of it stays: it may be less than the field allows.
    """
    rule = _rule(data)
    good = (*rule.allowed, *rule.also) if isinstance(rule, Narrowed) else ()
    return ",".join(item for item in split_list(text) if item in good) or None


def _unset(data: t.Mapping[str, t.Any], value: t.Any) -> bool:
    if value is None or value == "":
        return True
    return "none" in data and parse_quantity(as_text(value)) == parse_quantity(as_text(data["none"]))


def apply(
    text: str, settings: t.Mapping[str, t.Mapping[str, t.Any]], source: str, kind: str | None = "KubeletConfiguration"
) -> tuple[str, list[str]]:
    """Return the document with the settings, every other byte as it was, and the controls of what changed.

    Args:
        text: A document of that kind.
        settings: By the path of a field (``authentication.anonymous.enabled``), the setting.
        source: What a sentence calls the document.
        kind: What the document must be, None for a part of one that does not say it.
    """
    document = yamledit.Document(text, source)
    if not isinstance(document.value, dict) or (kind and document.get(["kind"]) != kind):
        raise HardeningError("KH115", f"{source} is no {kind or 'mapping'}. Nothing was changed; repair it.")
    controls = []
    for field, data in settings.items():
        value = document.get(field.split("."))
        if good_enough(_by_itself(field, data, document), value):
            continue
        _write(document, field.split("."), outcome(_by_itself(field, data, document), value))
        controls.append(str(data.get("control", "")))
    return document.text, sorted({control for control in controls if control})


def _by_itself(field: str, data: t.Mapping[str, t.Any], document: yamledit.Document) -> t.Mapping[str, t.Any]:
    """Return a setting as it is in this document: a gate is not on by default where all of its stage are off."""
    if not field.startswith(f"{GATES}.") or document.get([GATES, BETAS]) is not False:
        return data
    return {key: value for key, value in data.items() if key != "default"}


def _wanted(data: t.Mapping[str, t.Any]) -> t.Any:
    return next(value for key, value in data.items() if key not in (*_OPTIONS, *_OWN_KEYS))


def _rule(data: t.Mapping[str, t.Any]) -> t.Any:
    wanted = _wanted(data)
    kinds = ((bool, "bool"), (list, "slice"), (float, "float"))
    kind = next((name for kind_of, name in kinds if isinstance(wanted, kind_of)), "string")
    rule = {key: value for key, value in data.items() if key not in _OWN_KEYS}
    if isinstance(wanted, bool):
        rule = {key: as_text(value) if isinstance(value, bool) else value for key, value in rule.items()}
    if isinstance(rule.get("exact"), list):
        rule["exact"] = as_text(rule["exact"])
    return rule_from_data({**rule, "kind": kind})


def as_text(value: t.Any) -> str:
    """Return a field's value as a flag would say it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _typed(data: t.Mapping[str, t.Any], values: t.Sequence[str]) -> t.Any:
    """Return a decision's value in the type that the field has."""
    wanted = _wanted(data)
    if isinstance(wanted, bool):
        return values[0] == "true"
    if isinstance(wanted, list):
        return split_list(",".join(values))
    return type(wanted)(values[0]) if isinstance(wanted, (int, float)) else values[0]


def _write(document: yamledit.Document, path: list[str], value: t.Any) -> None:
    """Set a field; parents that are missing are made, a list is replaced whole."""
    with document.all_or_nothing():
        present = document.get(path)
        if present is not None and not isinstance(value, list) and not isinstance(present, (list, dict)):
            document.replace(path, value)
            return
        depth = next((length for length in range(len(path)) if not document.has(path[: length + 1])), len(path) - 1)
        if document.has(path):
            document.remove_entry(path[:-1], path[-1])
        new: t.Any = value
        for key in reversed(path[depth + 1 :]):
            new = {key: new}
        document.add_entry(path[:depth], path[depth], new)


def fields(text: str, source: str) -> dict[str, t.Any]:
    """Return a KubeletConfiguration as data."""
    value = yamledit.Document(text, source).value
    return value if isinstance(value, dict) else {}


def insists(configuration: t.Mapping[str, t.Any], flags: t.Mapping[str, str]) -> bool:
    """Return whether a kubelet ends at its start where its kernel's settings are not those that it wants."""
    flag = flags.get(OVERRIDING_FLAGS["protectKernelDefaults"])
    return parse_bool(flag) is True if flag is not None else configuration.get("protectKernelDefaults") is True


def at(configuration: t.Mapping[str, t.Any], field: str) -> t.Any:
    """Return the value of a field by its path, None where it is not set."""
    value: t.Any = configuration
    for key in field.split("."):
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


def from_flag(data: t.Mapping[str, t.Any], text: str) -> t.Any:
    """Return a flag's value in the type that the field has."""
    return split_list(text) if isinstance(_wanted(data), list) else text


def gates(configuration: t.Mapping[str, t.Any], flags: t.Sequence[str] = ()) -> dict[str, bool]:
    """Return the feature gates that a kubelet is given, where each flag's value beats the configuration's.

    Args:
        configuration: The kubelet's.
        flags: The values of its flag, of each occurrence.
    """
    written = configuration.get(GATES)
    found = {str(name): value is True for name, value in written.items()} if isinstance(written, dict) else {}
    for name, value in map(map_item, effective_values(flags, "map") or []):
        found[name] = parse_bool(value) is True
    return found


def asks(configuration: t.Mapping[str, t.Any], flags: t.Mapping[str, str]) -> bool:
    """Return whether a kubelet with that configuration and these flags asks for a serving certificate."""
    flag = flags.get(OVERRIDING_FLAGS["serverTLSBootstrap"])
    return configuration.get("serverTLSBootstrap") is True if flag is None else parse_bool(flag) is True


def current_certificate(flags: t.Mapping[str, str]) -> str:
    """Return where a kubelet with these flags keeps the serving certificate that it asked for."""
    return f"{flags.get('cert-dir') or KUBELET_PKI}/kubelet-server-current.pem"


def self_made_certificate(flags: t.Mapping[str, str]) -> str:
    """Return where a kubelet with these flags keeps the serving certificate that it made itself."""
    return f"{flags.get('cert-dir') or KUBELET_PKI}/kubelet.crt"


def named_certificate(configuration: t.Mapping[str, t.Any], flags: t.Mapping[str, str]) -> str:
    """Return the serving certificate that the owner names to a kubelet, empty for none or one that it asked for."""
    path = flags.get(OVERRIDING_FLAGS["tlsCertFile"])
    named = str(configuration.get("tlsCertFile") or "") if path is None else path
    return "" if named == current_certificate(flags) else named
