# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's command line."""

from __future__ import annotations

import argparse
import array
import os
import signal
import socket
import sys
import uuid
from pathlib import Path
from typing import NoReturn

from lab.kubelab import bring, checks, cluster, components, hosts, prepare, session, state
from lab.kubelab.base import HERE, LabError, Stopwatch, main, say


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lab",
        description="Real Kubernetes clusters on one machine, for tests. See docs/lab.md.",
        epilog="The environment variable KUBEHARDEN_CACHE says where programs and root file systems are kept.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    add("check", "say what the machine lacks for a lab; exit code 77 when something is missing")
    for name, text in (
        ("build", "compile the programs of these versions (default: the newest); done once"),
        ("prepare", "make what hosts of these versions start from; done once, builds when needed"),
    ):
        add(name, text).add_argument("versions", nargs="*", metavar="VERSION", help="such as 1.37")
    add("versions", "list the versions that the lab can make")
    add("pin", "for maintainers: write the Go modules of a patch release").add_argument(
        "version", help="such as 1.37.1"
    )
    one = add("up", "make a cluster that stays up; nothing to do when DIR has one")
    one.add_argument("--version", default=None, metavar="VERSION", help="default: the newest")
    one.add_argument("--control-planes", type=int, default=1, metavar="N")
    one.add_argument("--workers", type=int, default=1, metavar="N")
    one.add_argument(
        "--without", action="append", default=[], metavar="HOST:PACKAGE", help="this host lacks a Debian package"
    )
    one.add_argument("--bare", action="store_true", help="the hosts alone, on which no kubeadm has run")
    one.add_argument(
        "--algorithm", default=state.ALGORITHM, metavar="NAME", help="of kubeadm's keys, such as ECDSA-P256"
    )
    one.add_argument("directory", type=Path, metavar="DIR", help="made by this command and removed by `lab down`")
    one = add("in", "run a command inside the lab's namespaces, with KUBECONFIG set; default: a shell")
    one.add_argument("directory", type=Path, metavar="DIR")
    one.add_argument("arguments", nargs=argparse.REMAINDER, metavar="CMD")
    one = add("ssh", "run a command on a host as root; default: a shell")
    one.add_argument("directory", type=Path, metavar="DIR")
    one.add_argument("host", metavar="HOST")
    one.add_argument("arguments", nargs=argparse.REMAINDER, metavar="CMD")
    for name, text in (
        ("power-cut", "kill everything on a host at once and start it again on the same disk"),
        ("power-off", "kill everything on a host at once; its disk stays"),
        ("power-on", "start a host on the disk that it has"),
        ("renew", "put a new machine in a host's place, on which nothing is but what its installer laid there"),
    ):
        one = add(name, text)
        one.add_argument("directory", type=Path, metavar="DIR")
        one.add_argument("host", metavar="HOST")
    one = add("wait", "wait until every node and every pod of kube-system is ready")
    one.add_argument("directory", type=Path, metavar="DIR")
    one = add("bring", "let the registry serve another version's images, and lay its programs in /opt of every host")
    one.add_argument("directory", type=Path, metavar="DIR")
    one.add_argument("version", metavar="VERSION", help="such as 1.37")
    add("down", "end a lab; nothing of it stays").add_argument("directory", type=Path, metavar="DIR")
    # For the tool itself.
    for name, names in (
        ("guard", "directory"),
        ("hold", "directory"),
        ("make-cluster", "directory"),
        ("fill-store", "directory tars store"),
        ("set-power", "directory host action"),
        ("connect", "directory host port"),
    ):
        one = commands.add_parser(name)
        for argument in names.split():
            one.add_argument(argument, type=str if argument in {"host", "port", "action"} else Path)
        if name == "make-cluster":
            one.add_argument("--bare", action="store_true")
            one.add_argument("without", nargs="*")
    one = commands.add_parser("within")
    one.add_argument("directory", type=Path)
    one.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


def _up(options: argparse.Namespace) -> None:
    directory: Path = options.directory.resolve()
    wanted = state.plan_hosts(options.control_planes, options.workers)
    minor = options.version or components.minors()[0]
    if (directory / state.STATE_FILE).exists() and state.holder_pid(directory) is not None:
        lab = state.load(directory)
        names = [host.name for host in wanted]
        if (lab.minor, lab.algorithm, [host.name for host in lab.hosts]) != (minor, options.algorithm, names):
            found = f"{lab.minor}, {len(lab.hosts)} hosts, {lab.algorithm}"
            raise LabError(f"{directory}: another lab is up here ({found}); end it first")
        say(f"lab: {directory} is up already")
        return
    checks.require()
    if directory.exists() and any(directory.iterdir()):
        session.stop(directory)
    node = prepare.node(minor)
    watch = Stopwatch()
    directory.mkdir(parents=True, exist_ok=True)
    lower = [str(node / "layer"), str(prepare.rootfs())]
    version = components.version_of(minor)
    identity = f"lab-{uuid.uuid4().hex[:8]}"
    lab = state.Lab(directory, identity, minor, version, lower, str(node), wanted, options.algorithm)
    lab.save()
    try:
        session.start(directory)
        sys.stdout.flush()
        words = ["make-cluster", *(["--bare"] if options.bare else []), str(directory), *options.without]
        status = os.spawnvp(os.P_WAIT, str(HERE / "lab"), ["lab", "within", str(directory), str(HERE / "lab"), *words])
        if status != 0:
            raise LabError(f"{directory}: no cluster; the lab was ended")
    except BaseException:
        if "KUBEHARDEN_LAB_KEEP" not in os.environ:
            session.stop(directory)
        raise
    watch.lap("up")


def _connect(directory: Path, host: str, port: str) -> None:
    """ssh's ProxyCommand: pass a connection to a host over standard output, from inside or outside of the lab."""
    if not state.inside(directory):
        session.enter(directory, [str(HERE / "lab"), "connect", str(directory), host, port])
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.settimeout(None)
        with socket.socket(fileno=os.dup(1)) as ssh:
            rights = array.array("i", [connection.fileno()])
            ssh.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def _set_power(lab: state.Lab, host: state.Host, action: str) -> None:
    """Inside the lab: ``power-cut``, ``power-off``, ``power-on`` or ``renew``."""
    if action == "renew":
        cluster.renew(lab, host)
        return
    if action != "power-on":
        hosts.power_off(lab, host)
    if action != "power-off":
        hosts.start(lab, host)


def _bring(directory: Path, minor: str) -> None:
    if not state.inside(directory):
        # What the cache lacks is made outside, where a lab can be started for it.
        prepare.node(minor)
        session.enter(directory, [str(HERE / "lab"), "bring", str(directory), minor], everything=True)
    bring.bring(directory, minor)


def _ssh(directory: Path, name: str, arguments: list[str]) -> NoReturn:
    lab = state.load(directory)
    host = lab.host(name)
    terminal = ["-t"] if sys.stdin.isatty() and not arguments else []
    session.enter(directory, ["ssh", *terminal, *hosts.ssh_options(lab), f"root@{host.address}", *arguments])


def command() -> int:  # noqa: C901
    options = _parser().parse_args()
    name: str = options.command
    directory: Path = getattr(options, "directory", Path()).resolve()
    if name == "check":
        checks.require()
        say("lab: this machine can run a lab")
    elif name == "versions":
        say("\n".join(f"{minor} {components.version_of(minor)}" for minor in components.minors()))
    elif name == "pin":
        components.pin(options.version)
    elif name == "build":
        checks.require()
        components.build(options.versions or components.minors()[:1])
    elif name == "prepare":
        checks.require()
        wanted = options.versions or components.minors()[:1]
        components.build(wanted)
        for minor in wanted:
            prepare.node(minor)
    elif name == "up":
        _up(options)
    elif name == "down":
        session.stop(directory)
    elif name == "in":
        session.enter(directory, options.arguments or [os.environ.get("SHELL") or "bash"])
    elif name == "ssh":
        _ssh(directory, options.host, options.arguments)
    elif name.startswith("power-") or name == "renew":
        state.load(directory).host(options.host)
        session.enter(directory, [str(HERE / "lab"), "set-power", str(directory), options.host, name], everything=True)
    elif name == "set-power":
        lab = state.load(directory)
        _set_power(lab, lab.host(options.host), options.action)
    elif name == "wait":
        if not state.inside(directory):
            session.enter(directory, [str(HERE / "lab"), "wait", str(directory)])
        cluster.wait_quiet(state.load(directory))
    elif name == "bring":
        _bring(directory, options.version)
    elif name == "within":
        session.enter(directory, options.arguments, everything=True)
    elif name == "guard":
        return session.guard(directory)
    elif name == "hold":
        session.hold(directory)
    elif name == "make-cluster":
        cluster.up(directory, options.without, options.bare)
    elif name == "fill-store":
        prepare.fill_store(directory, options.tars, options.store)
    elif name == "connect":
        _connect(directory, options.host, options.port)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main(command)
