# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes are the cluster's, by a made /proc, and what of real ones is none."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.probes import belonging, processes
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.probes.made_proc import (
    CONTAINER,
    HASH,
    UUID,
    MadeProc,
)

SLICE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{HASH}.slice"
SYSTEMD = f"{SLICE}/cri-containerd-{CONTAINER}.scope"
HYBRID = "\n".join(
    [
        f"9:name=systemd:/lab/kubepods/burstable/pod{HASH}/{CONTAINER}",
        f"4:memory:/outer/lab/kubepods/burstable/pod{HASH}/{CONTAINER}",
        "0::/lab/system.slice/containerd.service",
    ]
)
FIRST = "9:name=systemd:/lab/init.scope\n4:memory:/outer/lab\n0::/lab/init.scope\n"
USER = "/user.slice/user-1000.slice/user@1000.service"


def found(host: MadeProc, name: str) -> list[int]:
    return [one.pid for one in belonging.find(name, str(host.proc), str(host.logs))]


def started(host: MadeProc, name: str) -> list[bool]:
    """Say of each that is called so whether its program may be started."""
    return [belonging.program(one) is not None for one in processes.find(name, str(host.proc))]


@pytest.fixture(name="host")
def a_host(tmp_path: Path) -> MadeProc:
    return MadeProc(tmp_path)


@pytest.mark.parametrize(
    "cgroup",
    [
        f"0::{SYSTEMD}\n",
        f"0::{SYSTEMD}/container\n",
        f"0::/kubepods.slice/kubepods-pod{HASH}.slice/crio-{CONTAINER}.scope\n",
        f"0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{HASH}.slice/cri-containerd-{CONTAINER}.scope\n",
        f"0::/kubepods/burstable/pod{HASH}/{CONTAINER}\n",
        f"0::/kubelet/kubepods/besteffort/pod{HASH}/{CONTAINER}\n",
    ],
)
@pytest.mark.parametrize("uid", ["0", "64123"])
def test_a_static_pods_process_is_the_component(host: MadeProc, cgroup: str, uid: str) -> None:
    host.start(7, "etcd", cgroup, uid=uid, inner="1")
    assert (found(host, "etcd"), started(host, "etcd")) == ([7], [True])


def test_groups_are_those_below_the_first_processs(host: MadeProc) -> None:
    (host.proc / "1" / "cgroup").write_text(FIRST)
    host.start(7, "etcd", HYBRID, inner="1")
    assert found(host, "etcd") == [7]
    # As a container sees that asks for the host's.
    (host.proc / "1" / "cgroup").write_text("0::/../../init.scope\n")
    (host.proc / "7" / "cgroup").write_text(f"0::/../..{SYSTEMD}\n")
    assert found(host, "etcd") == [7]


@pytest.mark.parametrize(
    "cgroup",
    [
        f"0::/kubepods/burstable/pod{UUID}/{CONTAINER}\n",
        f"0::/kubepods.slice/kubepods-pod{UUID.replace('-', '_')}.slice/cri-containerd-{CONTAINER}.scope\n",
        # Groups that somebody else than root made, to look like a static pod's.
        f"0::/kubepods/burstable/pod{UUID}/{CONTAINER}/kubepods/pod{HASH}/{CONTAINER}\n",
        f"0::{USER}/kubepods/burstable/pod{HASH}/{CONTAINER}\n",
        f"0::{USER}{SYSTEMD}\n",
        f"0::/system.slice/docker-{CONTAINER}.scope{SYSTEMD}\n",
        f"0::/lxc.payload.one/kubepods/burstable/pod{HASH}/{CONTAINER}\n",
        f"9:name=systemd:/kubepods/burstable/pod{HASH}/{CONTAINER}\n4:memory:/kubepods/pod{UUID}/{CONTAINER}\n",
        f"0::/kubepods/burstable/pod{HASH}0/{CONTAINER}\n",
    ],
)
@pytest.mark.parametrize("name", ["etcd", "kube-apiserver", "kubelet", "kube-proxy"])
def test_a_process_of_another_pod_is_none_whatever_it_is_called(host: MadeProc, cgroup: str, name: str) -> None:
    host.start(7, name, cgroup, inner="1")
    # Nor is one that sees the host's process ids.
    host.start(8, name, cgroup)
    assert (found(host, name), started(host, name)) == ([], [False, False])


def test_an_older_decoy_hides_nothing(host: MadeProc) -> None:
    host.start(5, "etcd", f"0::/kubepods/pod{UUID}/{CONTAINER}\n", inner="1")
    host.start(7, "etcd", f"0::/kubepods/pod{HASH}/{CONTAINER}\n", inner="1")
    assert found(host, "etcd") == [7]


def test_no_pod_has_the_kubelet(host: MadeProc) -> None:
    host.start(7, "kubelet", f"0::/kubepods/pod{HASH}/{CONTAINER}\n", inner="1")
    assert found(host, "kubelet") == []


@pytest.mark.parametrize(
    ("cgroup", "uid", "inner", "seen", "trusted"),
    [
        ("0::/system.slice/kubelet.service\n", "0", "", True, True),
        ("0::/kube.slice/kubelet.service/sub\n", "0", "", True, True),
        ("0::/user.slice/user-0.slice/session-3.scope\n", "0", "", True, True),
        ("0::/system.slice/docker-1.scope\n", "0", "1", False, False),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", "1000", "", False, False),
        (f"0::{USER}/app.slice/kubelet.service\n", "1000", "", False, False),
        ("0::/system.slice/apache2.service\n", "33", "", False, False),
        # A service of a user of its own is seen, and its program is its user's to choose.
        ("0::/system.slice/kubelet.service\n", "998", "", True, False),
    ],
)
def test_a_service_is_roots_or_has_the_units_name(
    host: MadeProc, cgroup: str, uid: str, inner: str, seen: bool, trusted: bool
) -> None:
    host.start(7, "kubelet", cgroup, uid=uid, inner=inner)
    assert (found(host, "kubelet"), started(host, "kubelet")) == ([7] if seen else [], [trusted])


def test_a_container_with_the_hosts_process_ids_has_another_root(host: MadeProc, tmp_path: Path) -> None:
    host.start(7, "kubelet", "0::/docker/1\n")
    assert found(host, "kubelet") == [7]
    (host.proc / "7" / "root").unlink()
    (host.proc / "7" / "root").symlink_to(tmp_path)
    assert found(host, "kubelet") == []
    (host.proc / "7" / "root").unlink()
    assert found(host, "kubelet") == []


@pytest.mark.parametrize(
    ("folder", "its"),
    [
        (f"kube-system_kube-proxy-gggrq_{UUID}", True),
        (f"apps_kube-proxy-gggrq_{UUID}", False),
        (f"kube-system_coredns-gggrq_{UUID}", False),
        (f"kube-system_kube-proxy-gggrq_{UUID[::-1]}", False),
    ],
)
@pytest.mark.parametrize("listed", [True, False])
def test_kube_proxy_is_what_the_kubelet_keeps_logs_of_as_such(
    host: MadeProc, folder: str, its: bool, listed: bool
) -> None:
    host.start(7, "kube-proxy", f"0::/kubepods/besteffort/pod{UUID}/{CONTAINER}\n", inner="1")
    assert found(host, "kube-proxy") == []
    (host.logs / "pods" / folder).mkdir()
    os.symlink(f"/var/log/pods/{folder}/kube-proxy/0.log", host.logs / "containers" / "one.log")
    if not listed:  # as by a user who is not root
        (host.logs / "pods").rename(host.logs / "away")
    assert found(host, "kube-proxy") == ([7] if its else [])
    assert started(host, "kube-proxy") == [False]


def test_what_is_gone_belongs_to_nobody(host: MadeProc) -> None:
    host.start(7, "kubelet", "0::/system.slice/kubelet.service\n")
    (process,) = processes.find("kubelet", str(host.proc))
    (host.proc / "7" / "status").unlink()
    (host.proc / "7" / "cgroup").unlink()
    assert (belonging.belongs(process), belonging.program(process)) == (False, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be somebody else")
@pytest.mark.parametrize(("user", "believed"), [(0, True), (65534, False)])
def test_a_real_process_of_another_user_is_none(user: int, believed: bool) -> None:
    name = f"kube-test-{os.getpid()}"
    with subprocess.Popen([name, "60"], executable="/bin/sleep", user=user) as child:
        try:
            deadline = time.monotonic() + 5
            while not processes.find(name) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert [one.pid for one in processes.find(name)] == [child.pid]
            assert bool(belonging.find(name)) is believed
        finally:
            child.kill()
