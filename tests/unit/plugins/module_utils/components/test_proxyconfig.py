# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy's configuration: edited in place, its metrics on the loopback, the user's flags as fields."""

from __future__ import annotations

import typing as t

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components import proxyconfig
from ansible_collections.kubeharden.core.plugins.module_utils.components.versions import Table, known_versions, shown
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

TEXT = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
clientConnection:
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
conntrack:
  maxPerCore: null  # the owner's
enableProfiling: {profiling}
featureGates: null
iptables:
  localhostNodePorts: null
kind: KubeProxyConfiguration
metricsBindAddress: {metrics}
nodePortAddresses: null
"""
METRICS: dict[str, t.Any] = {"loopback": "127.0.0.1:10249", "default": "127.0.0.1:10249", "control": "metrics"}
PROFILING: dict[str, t.Any] = {"exact": False, "default": False, "control": "profiling"}
GROUP = "kubeproxy.config.k8s.io/v1alpha1"


def text(metrics: str = '""', profiling: str = "false") -> str:
    return TEXT.format(metrics=metrics, profiling=profiling)


@pytest.mark.parametrize(
    ("found", "after"),
    [
        ('""', '""'),
        ("127.0.0.1:10249", "127.0.0.1:10249"),
        ("127.0.0.1:9999", "127.0.0.1:9999"),
        ('"[::1]:10249"', '"[::1]:10249"'),
        ("localhost:10249", "localhost:10249"),
        ("0.0.0.0:10249", "127.0.0.1:10249"),
        ("0.0.0.0:9999", "127.0.0.1:9999"),
        ('"[::]:10249"', '"127.0.0.1:10249"'),
        ('":10249"', '"127.0.0.1:10249"'),
        ("10.0.0.7:10249", "127.0.0.1:10249"),
        ("nowhere", "127.0.0.1:10249"),
    ],
)
def test_metrics_come_to_the_loopback_and_the_port_stays(found: str, after: str) -> None:
    result, controls = proxyconfig.apply(text(found), {"metricsBindAddress": METRICS}, "here")
    assert yaml.safe_load(result) == yaml.safe_load(text(after))
    assert controls == ([] if found == after else ["metrics"])
    assert proxyconfig.apply(result, {"metricsBindAddress": METRICS}, "here") == (result, [])
    changed = [line for line in result.splitlines() if line not in text(found).splitlines()]
    assert len(changed) == (0 if found == after else 1)


def test_what_is_good_by_default_is_not_written() -> None:
    settings = {"metricsBindAddress": METRICS, "enableProfiling": PROFILING}
    assert proxyconfig.apply(text(), settings, "here") == (text(), [])
    after, controls = proxyconfig.apply(text(profiling="true"), settings, "here")
    assert (after, controls) == (text(), ["profiling"])


def test_a_document_that_is_another_is_refused() -> None:
    with pytest.raises(HardeningError, match="here is no KubeProxyConfiguration"):
        proxyconfig.apply("kind: KubeletConfiguration\n", {}, "here")


FLAGS: list[tuple[str, str, str, t.Any]] = [
    ("proxy-mode", "nftables", "mode", "nftables"),
    ("conntrack-min", "5", "conntrack.min", 5),
    ("kube-api-qps", "7.5", "clientConnection.qps", 7.5),
    ("nodeport-addresses", "10.0.0.0/8,primary", "nodePortAddresses", ["10.0.0.0/8", "primary"]),
    ("iptables_localhost_nodeports", "false", "iptables.localhostNodePorts", False),
    ("feature-gates", "A=true", "featureGates.A", True),
    ("iptables-sync-period", "1m", "iptables.syncPeriod", "1m"),
]


@pytest.mark.parametrize(("flag", "value", "field", "wanted"), FLAGS)
def test_a_flag_of_the_users_becomes_a_field_of_its_type(flag: str, value: str, field: str, wanted: t.Any) -> None:
    fields = Table.load("1.37").fields(GROUP, proxyconfig.KIND) or {}
    settings = proxyconfig.settings_from_flags({flag: value}, {name: one.type for name, one in fields.items()})
    assert settings == {field: {"exact": wanted}}
    after, _controls = proxyconfig.apply(text(), settings, "here")
    content: t.Any = yaml.safe_load(after)
    for key in field.split("."):
        content = content[key]
    assert content == wanted
    assert proxyconfig.apply(after, settings, "here")[0] == after


@pytest.mark.parametrize("version", [shown(one) for one in known_versions("kubernetes")])
def test_every_flag_with_a_field_exists_and_so_does_its_field(version: str) -> None:
    table = Table.load(version)
    flags, fields = table.flags("kube-proxy"), table.fields(GROUP, proxyconfig.KIND) or {}
    for flag, field in proxyconfig.FIELD_OF_FLAG.items():
        assert flag in flags, flag
        assert field in fields, field
        assert fields[field].type in ("bool", "float32", "int32", "uint32", "[]string", "string", "duration", "{}bool")
