# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings in a KubeProxyConfiguration: the document config.conf in ConfigMap kube-system/kube-proxy."""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components import kubeletconfig
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import flag_name, parse_bool, split_list

KIND = "KubeProxyConfiguration"
#: Where its health port is when nothing is said of it.
HEALTH = "0.0.0.0:10256"

#: By flag, the field that says the same. With --config, as kubeadm starts it, kube-proxy reads fields only; flags
#: that are not here have none of their own: they start another kind of run (--cleanup), were replaced (--metrics-port),
#: or are another field in each mode (--masquerade-all).
#: As cmd/kube-proxy/app/options.go binds them.
FIELD_OF_FLAG: t.Mapping[str, str] = {
    "bind-address": "bindAddress",
    "bind-address-hard-fail": "bindAddressHardFail",
    "cluster-cidr": "clusterCIDR",
    "config-sync-period": "configSyncPeriod",
    "conntrack-max-per-core": "conntrack.maxPerCore",
    "conntrack-min": "conntrack.min",
    "conntrack-tcp-be-liberal": "conntrack.tcpBeLiberal",
    "conntrack-tcp-timeout-close-wait": "conntrack.tcpCloseWaitTimeout",
    "conntrack-tcp-timeout-established": "conntrack.tcpEstablishedTimeout",
    "conntrack-udp-timeout": "conntrack.udpTimeout",
    "conntrack-udp-timeout-stream": "conntrack.udpStreamTimeout",
    "detect-local-mode": "detectLocalMode",
    "feature-gates": "featureGates",
    "healthz-bind-address": "healthzBindAddress",
    "iptables-localhost-nodeports": "iptables.localhostNodePorts",
    "iptables-masquerade-bit": "iptables.masqueradeBit",
    "iptables-min-sync-period": "iptables.minSyncPeriod",
    "iptables-sync-period": "iptables.syncPeriod",
    "ipvs-exclude-cidrs": "ipvs.excludeCIDRs",
    "ipvs-min-sync-period": "ipvs.minSyncPeriod",
    "ipvs-scheduler": "ipvs.scheduler",
    "ipvs-strict-arp": "ipvs.strictARP",
    "ipvs-sync-period": "ipvs.syncPeriod",
    "ipvs-tcp-timeout": "ipvs.tcpTimeout",
    "ipvs-tcpfin-timeout": "ipvs.tcpFinTimeout",
    "ipvs-udp-timeout": "ipvs.udpTimeout",
    "kube-api-burst": "clientConnection.burst",
    "kube-api-content-type": "clientConnection.contentType",
    "kube-api-qps": "clientConnection.qps",
    "kubeconfig": "clientConnection.kubeconfig",
    "log-flush-frequency": "logging.flushFrequency",
    "logging-format": "logging.format",
    "metrics-bind-address": "metricsBindAddress",
    "nodeport-addresses": "nodePortAddresses",
    "oom-score-adj": "oomScoreAdj",
    "pod-bridge-interface": "detectLocal.bridgeInterface",
    "pod-interface-name-prefix": "detectLocal.interfaceNamePrefix",
    "profiling": "enableProfiling",
    "proxy-mode": "mode",
    "show-hidden-metrics-for-version": "showHiddenMetricsForVersion",
    "v": "logging.verbosity",
}

#: How the type of a field reads a flag's value.
_READERS: t.Mapping[str, t.Callable[[str], t.Any]] = {
    "bool": parse_bool,
    "float32": float,
    "int32": int,
    "uint32": int,
    "[]string": split_list,
}


def is_loopback(address: str) -> bool:
    """Return whether nobody outside of the host reaches an address with its port; an empty host is every address."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _loopback(data: t.Mapping[str, t.Any], value: t.Any) -> dict[str, t.Any]:
    """Return the rule for a field that must be on the loopback: another port than ours is the owner's to keep."""
    found, wanted = str(value or data["default"]), str(data["loopback"])
    if is_loopback(found):
        wanted = found
    elif found.rpartition(":")[2].isdigit():
        wanted = f"{wanted.rpartition(':')[0]}:{found.rpartition(':')[2]}"
    return {**{key: item for key, item in data.items() if key != "loopback"}, "exact": wanted}


def apply(text: str, settings: t.Mapping[str, t.Mapping[str, t.Any]], source: str) -> tuple[str, list[str]]:
    """Return the document with the settings, every other byte as it was, and the controls of what changed.

    Args:
        text: A KubeProxyConfiguration.
        settings: By the path of a field, the setting. Beside the rules of flags there is ``loopback``: an address with
            a port, of which the port is only for where none is found.
        source: What a sentence calls the document.
    """
    found = kubeletconfig.fields(text, source)
    resolved = {
        field: _loopback(data, kubeletconfig.at(found, field)) if "loopback" in data else data
        for field, data in settings.items()
    }
    return kubeletconfig.apply(text, resolved, source, KIND)


def settings_from_flags(flags: t.Mapping[str, str], types: t.Mapping[str, str]) -> dict[str, dict[str, t.Any]]:
    """Return the user's own flags as settings of fields.

    Args:
        flags: By flag, its value, each known to this version and with a field.
        types: By field, its type, as the version's table has it.
    """
    settings: dict[str, dict[str, t.Any]] = {}
    for flag, value in flags.items():
        field = FIELD_OF_FLAG[flag_name(flag)]
        if field == "featureGates":
            for item in split_list(value):
                gate, _equals, state = item.partition("=")
                settings[f"{field}.{gate.strip()}"] = {"exact": bool(parse_bool(state.strip()))}
        else:
            settings[field] = {"exact": _READERS.get(types[field], str)(value)}
    return settings
