# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A control plane with a past: what its owner made of it stays, what is stricter stays, and the rest is hardened.

On a directory that stands for the host: all of it at once, as on a cluster that has been used for years.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.test_directory_hosts import APISERVER, Hosts

POLICY = "etc/kubernetes/audit/policy.yaml"
CONFIGURATION = "srv/kubelet/config.yaml"
DROP_IN = "etc/kubernetes/kubelet.conf.d/20-owner.conf"
DEFAULTS = "etc/default/kubelet"
UNIT_DROP_IN = "usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"
ADMIN = "root/clusters/admin.conf"
SNI = (
    "--tls-sni-cert-key=/etc/kubernetes/pki/old.crt,/etc/kubernetes/pki/old.key:old.example",
    "--tls-sni-cert-key=/etc/kubernetes/pki/new.crt,/etc/kubernetes/pki/new.key:new.example",
)
SIDECAR = """\
  - args: {arguments}   # asks for the health of the network
    image: {image}
    name: watcher
    volumeMounts:
    - {{mountPath: /watch, name: watch}}
"""
#: Flags of the owner's, some as arguments, some in quotes, one with its value in a word of its own.
ARGUMENTS = """\
    args:
    - "--audit-log-maxage=90"  # the auditor's
    - --audit-log-maxbackup
    - "20"
    - '--max-requests-inflight=200'
    - --audit-policy-file=/etc/kubernetes/audit/policy.yaml
    - --tls-min-version=VersionTLS13
    - {sni[0]}
    - {sni[1]}
"""


def aged(text: str, image: str, arguments: list[str]) -> str:
    """kubeadm's manifest of kube-apiserver as its owner changed it over the years.

    :param image: that of the container which stands beside it, with its arguments
    """
    text = "# Changed by hand in 2021; ask the platform team.\n" + text
    plugins = "--enable-admission-plugins=NodeRestriction"
    text = replaced(text, plugins, f"{plugins},AlwaysPullImages  # since the incident")
    text = replaced(text, "    image: registry.k8s.io/", f"{ARGUMENTS.format(sni=SNI)}    image: registry.k8s.io/")
    mounts = "    volumeMounts:\n"
    text = replaced(text, mounts, f"{mounts}    - {{mountPath: /etc/kubernetes/audit, name: audit}}\n")
    sidecar = SIDECAR.format(image=image, arguments=json.dumps(arguments))
    text = replaced(text, "  hostNetwork: true\n", f"{sidecar}  hostNetwork: true\n")
    volumes = "  - hostPath: {path: /etc/kubernetes/audit}\n    name: audit\n  - {emptyDir: {}, name: watch}\n"
    return replaced(text, "  volumes:\n", f"  volumes:\n{volumes}")


def holds_what_was_there(old: str, new: str) -> None:
    """Of an aged manifest no line of the owner's is gone, but the flags that had to change; the rest has come."""
    lines = new.splitlines()
    assert lines[0] == old.splitlines()[0]
    rest = iter(lines)
    gone = [line for line in old.splitlines() if "--enable-admission-plugins=" not in line and line not in rest]
    assert gone == []
    pod = yaml.safe_load(new)
    assert pod["spec"]["containers"][1] == yaml.safe_load(old)["spec"]["containers"][1]
    words = [str(word) for key in ("command", "args") for word in pod["spec"]["containers"][0][key]]
    assert [word for word in words if "sni" in word] == list(SNI)
    limits = [word for word in words if word.startswith("--audit-log-max")]
    assert sorted(limits) == ["--audit-log-maxage=90", "--audit-log-maxbackup", "--audit-log-maxsize=100"]
    assert words[words.index("--audit-log-maxbackup") + 1] == "20"
    assert "--tls-min-version=VersionTLS13" in words
    assert "--max-requests-inflight=200" in words
    assert "--profiling=false" in words
    (plugins,) = (word for word in words if word.startswith("--enable-admission-plugins="))
    assert plugins.partition("=")[2].split(",") == [
        "NodeRestriction",
        "AlwaysPullImages",
        "EventRateLimit",
        "DenyServiceExternalIPs",
    ]
    assert "# since the incident" in new
    assert "--audit-policy-file=/etc/kubernetes/audit/policy.yaml" in words


class Past:
    """The host's files, as its owner left them."""

    def __init__(self, hosts: Hosts) -> None:
        self.root = hosts.root("cp1")
        self._manifest()
        self._kubelet()
        # kubeadm's own is gone; this one is open to everybody.
        (self.root / ADMIN).parent.mkdir(parents=True)
        (self.root / "etc/kubernetes/admin.conf").rename(self.root / ADMIN)
        (self.root / ADMIN).chmod(0o644)
        self.before = {name: self.text(name) for name in (POLICY, DROP_IN, DEFAULTS, UNIT_DROP_IN, ADMIN)}

    def text(self, name: str) -> str:
        return (self.root / name).read_text(encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, encoding="utf-8")

    def _manifest(self) -> None:
        self.write(POLICY, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n")
        for name in ("old", "new"):
            self.write(f"etc/kubernetes/pki/{name}.crt", "x")
            self.write(f"etc/kubernetes/pki/{name}.key", "x")
        self.write(APISERVER, aged(self.text(APISERVER), "registry.example/watcher:2", ["--interval", "10"]))
        self.manifest = self.text(APISERVER)

    def _kubelet(self) -> None:
        text = self.text("var/lib/kubelet/config.yaml")
        (self.root / "var/lib/kubelet/config.yaml").unlink()
        self.write(CONFIGURATION, f"# ours\n{text}podPidsLimit: 1024\n")
        (self.root / CONFIGURATION).chmod(0o644)
        self.write(UNIT_DROP_IN, self.text(UNIT_DROP_IN).replace("/var/lib/kubelet/config.yaml", f"/{CONFIGURATION}"))
        flags = "--config-dir=/etc/kubernetes/kubelet.conf.d --hostname-override=one"
        self.write(DEFAULTS, f'KUBELET_EXTRA_ARGS="{flags}"\n')
        owner = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
        self.write(DROP_IN, f"{owner}maxPods: 60\ntlsMinVersion: VersionTLS13\n")


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


@pytest.mark.parametrize("profile", [pytest.param("baseline", marks=pytest.mark.slow), "cis"])
def test_what_beats_the_kubelets_configuration_and_falls_short_is_mended_and_comes_back(
    hosts: Hosts, profile: str
) -> None:
    """Foretold, done once, and put back by rollback.yml; what is stricter or nobody's business stays."""
    past = Past(hosts)
    stays = "--config-dir=/etc/kubernetes/kubelet.conf.d --hostname-override=one --pod-max-pids=100"
    past.write(DEFAULTS, f'# theirs\nKUBELET_EXTRA_ARGS="{stays} --anonymous-auth=true --event-qps=0"\n')
    flags = "var/lib/kubelet/kubeadm-flags.env"
    kept = past.text(flags)
    past.write(flags, kept.rstrip().removesuffix('"') + ' --read-only-port=10255"\n')
    past.write(DROP_IN, past.text(DROP_IN) + "authorization: {mode: AlwaysAllow}\nmakeIPTablesUtilChains: false\n")
    before = {path: past.text(path) for path in (DEFAULTS, flags, DROP_IN)}
    words = ("--limit", "cp1", "--tags", "kubelet")
    known: dict[str, Any] = {"profile": profile, "kubeconfig": f"/{ADMIN}"}
    foretold = hosts.harden("--check", *words, **known)
    assert foretold.code == 0, str(foretold)
    assert {path: past.text(path) for path in before} == before
    expected = hosts.changes
    run = hosts.harden(*words, **known)
    assert run.code == 0, str(run)
    assert hosts.changes == expected
    controls = {one["target"].lstrip("/"): set(one["controls"]) for one in hosts.changes if one["restart"]}
    assert controls[DEFAULTS] == {"kubelet-anonymous", "kubelet-event-rate"}
    assert controls[flags] == {"kubelet-read-only-port"}
    assert controls[DROP_IN] == {"kubelet-authorization", "kubelet-iptables"}
    assert past.text(DEFAULTS) == f'# theirs\nKUBELET_EXTRA_ARGS="{stays}"\n'
    assert "--read-only-port" not in past.text(flags)
    laid = yaml.safe_load(past.text(DROP_IN))
    assert (laid["maxPods"], laid["tlsMinVersion"]) == (60, "VersionTLS13")
    assert (laid["authorization"], laid["makeIPTablesUtilChains"]) == ({"mode": "Webhook"}, True)
    assert " beats " not in run.output
    again = hosts.harden(*words, **known)
    assert (again.code, hosts.changes) == (0, []), str(again)
    back = hosts.play("rollback.yml", "--limit", "cp1", **known)
    assert back.code == 0, str(back)
    assert {path: past.text(path) for path in before} == before


def test_a_control_plane_with_a_past_keeps_it_and_is_hardened(hosts: Hosts) -> None:
    past = Past(hosts)
    run = hosts.harden("--limit", "cp1", profile="cis", kubeconfig=f"/{ADMIN}")
    assert run.code == 0, str(run)

    holds_what_was_there(past.manifest, past.text(APISERVER))
    assert "The audit policy /etc/kubernetes/audit/policy.yaml is the owner's and was kept" in run.output

    # The kubelet's configuration is hardened where it is; what beats it is the owner's, and stricter.
    configuration = past.text(CONFIGURATION)
    assert configuration.startswith("# ours\n")
    assert re.search(r"^podPidsLimit: 1024$", configuration, re.MULTILINE)
    assert yaml.safe_load(configuration)["seccompDefault"] is True
    assert not (past.root / "var/lib/kubelet/config.yaml").exists()
    assert {name: past.text(name) for name in past.before} == past.before
    modes = {name: (past.root / name).stat().st_mode & 0o777 for name in (ADMIN, CONFIGURATION)}
    assert modes == {ADMIN: 0o600, CONFIGURATION: 0o600}

    state = hosts.state()
    again = hosts.harden("--limit", "cp1", profile="cis", kubeconfig=f"/{ADMIN}")
    assert again.code == 0, str(again)
    assert hosts.changes == []
    assert hosts.state() == state
