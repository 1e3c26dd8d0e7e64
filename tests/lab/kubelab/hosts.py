# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host: namespaces of its own, a disk of its own over the shared root file system, systemd as its first process.

Everything here runs inside the lab's namespaces.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from lab.kubelab import session, state
from lab.kubelab.base import HERE, LabError, run, wait_for

MASKED_UNITS = (
    "apt-daily-upgrade.timer apt-daily.timer console-getty.service dev-hugepages.mount dev-mqueue.mount "
    "dpkg-db-backup.timer e2scrub_all.timer fstrim.timer getty.target sys-fs-fuse-connections.mount "
    "sys-kernel-debug.mount sys-kernel-tracing.mount systemd-firstboot.service systemd-networkd.service "
    "systemd-resolved.service systemd-timesyncd.service"
).split()


def disk(lab: state.Lab, host: state.Host) -> Path:
    """The directory that is the host's disk, and what the lab keeps about it."""
    return lab.directory / "hosts" / host.name


def install(lab: state.Lab, host: state.Host) -> None:
    """Lay a new host's disk: what its installer would have written."""
    home = disk(lab, host)
    upper = home / "upper"
    for name in ("root/.ssh", "etc/ssh", "etc/systemd/system", "etc/cni/net.d"):
        (upper / name).mkdir(parents=True)
    for name in ("work", "root", "data"):
        (home / name).mkdir()
    for folder in (upper, upper / "etc", upper / "etc/cni", upper / "etc/cni/net.d"):
        folder.chmod(0o755)
    (upper / "root").chmod(0o700)
    (upper / "root/.ssh").chmod(0o700)
    key = upper / "etc/ssh/ssh_host_ed25519_key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", key])
    names = "".join(f"{other.address} {other.name}\n" for other in lab.hosts)
    machine_id = hashlib.sha256(f"{lab.identity}-{host.name}".encode()).hexdigest()[:32]
    for path, text in {
        "root/.ssh/authorized_keys": (lab.directory / "id.pub").read_text(encoding="utf-8"),
        "root/.bashrc": "",
        "etc/hostname": f"{host.name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n{names}",
        "etc/machine-id": f"{machine_id}\n",
        # Nothing answers there, and nothing hangs: the port is closed.
        "etc/resolv.conf": f"nameserver {state.GATEWAY}\n",
        "etc/cni/net.d/10-lab.conflist": cni_configuration(host.pod_network),
    }.items():
        file = upper / path
        file.write_text(text, encoding="utf-8")
        file.chmod(0o644)
    for unit in MASKED_UNITS:
        (upper / "etc/systemd/system" / unit).symlink_to("/dev/null")
    store = Path(lab.node) / "store"
    if store.exists():
        copy_store(store, home / "data/containerd")


def write_known_hosts(lab: state.Lab) -> None:
    """The hosts' keys, so that nobody must trust one unseen."""
    lines = []
    for host in lab.hosts:
        key = (disk(lab, host) / "upper/etc/ssh/ssh_host_ed25519_key.pub").read_text(encoding="utf-8").split()
        lines.append(f"{host.address},{host.name} {key[0]} {key[1]}\n")
    (lab.directory / "known_hosts").write_text("".join(lines), encoding="utf-8")


def cni_configuration(pod_network: str) -> str:
    """A bridge on each host, addresses from its own range; the hosts route to each other's ranges."""
    return (
        '{\n  "cniVersion": "1.0.0",\n  "name": "lab",\n  "plugins": [\n    {\n      "type": "bridge",\n'
        '      "bridge": "cni0",\n      "isGateway": true,\n      "hairpinMode": true,\n      "ipam": {\n'
        '        "type": "host-local",\n        "ranges": [[{"subnet": "' + pod_network + '"}]],\n'
        '        "routes": [{"dst": "0.0.0.0/0"}]\n      }\n    },\n'
        '    {"type": "portmap", "capabilities": {"portMappings": true}}\n  ]\n}\n'
    )


def copy_store(store: Path, target: Path) -> None:
    """Give a host the images: hard links, since layers and blobs are never written again, and copies of the databases.

    Copying all would cost some 700 MiB and half a minute a host; it is done where the lab lies on another disk.
    """
    if store.stat().st_dev != target.parent.stat().st_dev:
        run(["cp", "-a", store, target])
        return
    run(["cp", "-al", store, target])
    for database in target.rglob("*.db"):
        database.unlink()
        run(["cp", "-a", store / database.relative_to(target), database])


def start(lab: state.Lab, host: state.Host) -> None:
    """Switch a host on, on the disk that it has.

    :raises LabError: it did not come up; its first process' output is shown.
    """
    home = disk(lab, host)
    if running(lab, host):
        return
    run(["ip", "link", "delete", f"v{host.name}"], check=False)
    routes = [f"{other.pod_network}={other.address}" for other in lab.hosts if other is not host]
    command = ["setsid", "unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--fork"]
    command += ["--kill-child=SIGKILL", "--propagation", "private", str(HERE / "host-init"), host.name, str(home)]
    command += [":".join(lab.lower), host.address, state.GATEWAY, *routes]
    with (home / "log").open("ab") as log:
        unshare = subprocess.Popen(
            ["bash", "-c", 'read -r _ && exec "$@"', "host", *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd="/",
        )
    _join_cgroups(f"{lab.identity}-{host.name}", unshare.pid)
    assert unshare.stdin is not None
    unshare.stdin.write(b"go\n")
    unshare.stdin.close()
    pid = _first_process(unshare, home)
    (home / "pid").write_text(f"{pid}\n", encoding="utf-8")
    run(["ip", "link", "add", f"v{host.name}", "type", "veth", "peer", "name", "eth0", "netns", str(pid)])
    run(["ip", "link", "set", f"v{host.name}", "master", "lab0", "up"])
    # So that the gateway's refusals find the way back to a pod.
    run(["ip", "route", "replace", host.pod_network, "via", host.address])
    try:
        wait_for(f"{host.name}: ssh", 60, lambda: _answers(lab, host, unshare), 0.1)
    except LabError as error:
        raise LabError(f"{error}\n{(home / 'log').read_text(encoding='utf-8')[-2000:]}") from error
    # It outlives this command, and pid 1 of the lab will reap it: no wait, and no warning about that.
    unshare.returncode = 0


def _first_process(unshare: subprocess.Popen[bytes], home: Path) -> int:
    found: list[str] = []

    def ready() -> bool:
        if unshare.poll() is not None:
            raise LabError(f"{home.name}: {(home / 'log').read_text(encoding='utf-8')[-2000:]}")
        children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text(encoding="utf-8").split()
        # Its command line shows when it is in namespaces of its own.
        found[:] = [child for child in children if _network(child) != _network("self")]
        return bool(found)

    wait_for(f"{home.name}: its first process", 20, ready, 0.01)
    return int(found[0])


def _network(pid: str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return os.readlink("/proc/self/ns/net")


def _answers(lab: state.Lab, host: state.Host, unshare: subprocess.Popen[bytes]) -> bool:
    if unshare.poll() is not None:
        raise LabError(f"{host.name}: its first process ended")
    return ssh(lab, host, ["true"], check=False).returncode == 0


def _join_cgroups(name: str, pid: int) -> None:
    """Move a process into a new child of its own group, in every hierarchy: that becomes the host's root group."""
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _dummy, controllers, path = line.split(":", 2)
        mount = {"": "unified", "name=systemd": "systemd"}.get(controllers, controllers)
        parent = session.CGROUPS / mount / path.lstrip("/")
        if not (session.CGROUPS / mount).is_dir():
            continue
        group = parent / name
        group.mkdir(exist_ok=True)
        if controllers == "cpuset":
            for file in ("cpuset.cpus", "cpuset.mems"):
                (group / file).write_text((parent / file).read_text(encoding="utf-8"), encoding="utf-8")
            (group / "cgroup.clone_children").write_text("1", encoding="utf-8")
        (group / "cgroup.procs").write_text(str(pid), encoding="utf-8")


def running(lab: state.Lab, host: state.Host) -> bool:
    """Does the host's first process live?"""
    try:
        pid = (disk(lab, host) / "pid").read_text(encoding="utf-8").split()[0]
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (OSError, IndexError):
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def power_off(lab: state.Lab, host: state.Host) -> None:
    """Cut a host's power: everything it runs is killed at once, its disk stays as it was at that moment."""
    pidfile = disk(lab, host) / "pid"
    if pidfile.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pidfile.read_text(encoding="utf-8")), signal.SIGKILL)
    wait_for(f"{host.name}: its end", 30, lambda: not running(lab, host), 0.02)
    pidfile.unlink(missing_ok=True)
    run(["ip", "link", "delete", f"v{host.name}"], check=False)
    group = f"{lab.identity}-{host.name}"
    wait_for(f"{host.name}: its cgroups' end", 30, lambda: not session.remove_cgroups(group), 0.05)


def ssh_options(lab: state.Lab) -> list[str]:
    """What ssh needs to reach a host from inside the lab."""
    options = ["-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={lab.directory}/known_hosts"]
    return [
        "-i",
        f"{lab.directory}/id",
        *options,
        "-o",
        "LogLevel=ERROR",
        "-o",
        "ConnectTimeout=5",
        "-o",
        "BatchMode=yes",
    ]


def ssh(
    lab: state.Lab,
    host: state.Host,
    command: Sequence[str],
    *,
    stdin: str | None = None,
    check: bool = True,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command line on a host as root; its words are joined by spaces, as ssh does."""
    vector = ["ssh", *ssh_options(lab), f"root@{host.address}", *command]
    return run(vector, stdin=stdin, check=check, timeout=timeout)


def run_with_file(command: Sequence[str], data: BinaryIO) -> None:
    """Run a command with a file as its standard input."""
    done = subprocess.run(command, stdin=data, capture_output=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{command[-1]}: {done.stderr.decode(errors='replace')[-2000:]}")
