# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a kubelet's configuration differs from what was written down for it."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_quantity
from ansible_collections.kubeharden.core.plugins.module_utils.components.versions import Field
from ansible_collections.kubeharden.core.plugins.module_utils.controls.conditions import same, text_of

#: What says of which kind a text is, what each node has in its own way, and what is not read of a kubelet's answer.
_NOT_COMPARED = ("apiVersion", "kind", "containerRuntimeEndpoint", "imageServiceEndpoint", "logging", "memorySwap")

#: Fields whose default is as it should be: who has another value of one has made it weaker. A rate of events is none
#: of them, since any up to the limit is well, and one that a run has brought down to the limit stays there.
HARD_BY_DEFAULT = (
    "authentication.anonymous.enabled",
    "authentication.webhook.enabled",
    "authorization.mode",
    "makeIPTablesUtilChains",
    "readOnlyPort",
    "streamingConnectionIdleTimeout",
)

#: By field that a control judges, its flag, which beats the file; those that the kubelet fills in itself while it
#: starts, the paths of its certificate and key, only where they are written.
FLAGS = {
    "authentication.anonymous.enabled": "anonymous-auth",
    "authentication.webhook.enabled": "authentication-token-webhook",
    "authentication.x509.clientCAFile": "client-ca-file",
    "authorization.mode": "authorization-mode",
    "enableDebugFlagsHandler": "",
    "enableProfilingHandler": "",
    "eventRecordQPS": "event-qps",
    "featureGates": "feature-gates",
    "makeIPTablesUtilChains": "make-iptables-util-chains",
    "podPidsLimit": "pod-max-pids",
    "protectKernelDefaults": "protect-kernel-defaults",
    "readOnlyPort": "read-only-port",
    "rotateCertificates": "rotate-certificates",
    "seccompDefault": "seccomp-default",
    "serverTLSBootstrap": "rotate-server-certificates",
    "streamingConnectionIdleTimeout": "streaming-connection-idle-timeout",
    "tlsCipherSuites": "tls-cipher-suites",
    "tlsMinVersion": "tls-min-version",
}
#: Flags that are called otherwise than their field.
_CALLED = {
    **FLAGS,
    "imageGCHighThresholdPercent": "image-gc-high-threshold",
    "imageGCLowThresholdPercent": "image-gc-low-threshold",
    "imageMinimumGCAge": "minimum-image-ttl-duration",
    "kubeAPIQPS": "kube-api-qps",
    "registryPullQPS": "registry-qps",
    "staticPodPath": "pod-manifest-path",
    "staticPodURL": "manifest-url",
    "staticPodURLHeader": "manifest-url-header",
}
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def is_set_by(field: str, flags: t.Collection[str]) -> bool:
    """Return whether one of some flags stands over a field, or over the map that it is an entry of."""
    pieces = field.split(".")
    ends = {".".join(pieces[:count]) for count in range(1, len(pieces) + 1)}
    return any((_CALLED.get(end) or _WORD.sub("-", end.rpartition(".")[2]).lower()) in flags for end in ends)


def unwritten(written: t.Any, said: t.Any, known: t.Mapping[str, Field], names: t.Iterable[str]) -> t.Iterator[str]:
    """Give those of some fields that are not written and that a kubelet has otherwise than by default.

    Args:
        written: A configuration, as a mapping.
        said: What the kubelet says itself.
        known: The fields of its version.
        names: The fields that count.
    """
    for name in names:
        have = _at(said, name)
        if have is not None and _at(written, name) is None and name in known:
            default = known[name].default
            if not _alike(have, default) and not (_is_zero(have) and _is_zero(default)):
                yield name


def _at(document: t.Any, path: str) -> t.Any:
    for key in path.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document


def differing(written: t.Any, said: t.Any, known: t.Mapping[str, Field], path: str = "") -> t.Iterator[str]:
    """Give the fields in which a kubelet has something else than what is written, by their paths.

    Args:
        written: A configuration, as a mapping; what it does not have is not compared.
        said: What the kubelet says itself (/configz). It leaves out what is zero, since defaults are in it.
        known: The fields of its version.
        path: Where the two lie in the whole.
    """
    for key, wanted in (written if isinstance(written, dict) else {}).items():
        name = f"{path}.{key}" if path else str(key)
        if name in _NOT_COMPARED:
            continue
        have = said.get(key) if isinstance(said, dict) else None
        if isinstance(wanted, dict):
            yield from differing(wanted, have, known, name)
        elif have is None:
            if not _is_zero(wanted):
                yield name
        elif not _alike(have, wanted) and not _is_default(known.get(name), have, wanted):
            yield name


def _is_zero(value: t.Any) -> bool:
    return text_of(value) in ("", "0", "0s", "false") or value in ([], {})


def _alike(have: t.Any, wanted: t.Any) -> bool:
    return bool(have == wanted) or (not isinstance(wanted, list) and same(text_of(have), text_of(wanted)))


def _is_default(field: Field | None, have: t.Any, wanted: t.Any) -> bool:
    """Return whether what is written is zero, and the kubelet has taken its default for that.

    A duration of 0s, which kubeadm writes everywhere, means the default; some follow another duration. A number of 0
    may mean that or itself: so what the kubelet has must be its default.
    """
    if field is None or parse_quantity(text_of(wanted)) != 0:
        return False
    default = text_of(field.default)
    return same(text_of(have), default) or (field.type == "duration" and parse_quantity(default) not in (0, None))
