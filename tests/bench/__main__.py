# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: what certificates cost, and on a cluster of the lab what verify costs and a run with nothing to do.

Measured are:

- how many modules Ansible starts on a host, counted where they say so themselves: each writes a line with
  "Invoked with" to the host's journal. Of the profiles `baseline` and `cis` the larger number counts;
- how long the run takes in profile `baseline`, as a multiple of an empty play over the same connections. The empty play
  runs `true` on every host through `raw`, so that it pays for Ansible's start and one round trip, and for nothing else.
  The two are run in turn, and medians are compared, so that a slow minute of the machine meets both;
- how long verify.yml takes on a cluster of three control planes and two workers, as kubeadm made it, and how many
  modules it starts: one on each host, and one more on one control plane for what only the API knows. More is an error;
- what bench/verify.py and, without a cluster, bench/pki.py say.

Figures are printed as `name value unit`, and written to build/bench.json. Where those of certificates are not what was
asked for it ends with an error.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import pki, verify
from tools.checkout import ROOT
from tools.runs import RECAP

LAB = ROOT / "tests" / "lab" / "lab"
EMPTY_PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.raw: "true"
      changed_when: false
"""


SEVERAL = (3, 2)
"""Control planes and workers of the cluster on which the whole of verify.yml is timed."""


class BenchError(Exception):
    """A measure cannot be taken; the message says why."""


def run(command: Sequence[object]) -> str:
    """Run a command in the checkout. Returns its standard output; raises BenchError when it ends with an error."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}(ended with {done.returncode})")
    return done.stdout


@contextmanager
def cluster(directory: Path | None, control_planes: int, workers: int) -> Iterator[Path]:
    """The directory of a cluster: the one given, which is left as it is, or one that ends with the block."""
    if directory:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="kubeharden-bench-") as parent:
        made = Path(parent) / "lab"
        run([LAB, "up", "--control-planes", control_planes, "--workers", workers, made])
        try:
            yield made
        finally:
            run([LAB, "down", made])


def hosts(inventory: Path) -> list[str]:
    """Names of all hosts of an inventory."""
    listed = json.loads(run(["ansible-inventory", "-i", inventory, "--list"]))
    return sorted(listed["_meta"]["hostvars"])


def journal(directory: Path, host: str, *options: str) -> str:
    """Lines of a host's journal."""
    return run([LAB, "ssh", directory, host, "journalctl", "--quiet", "--no-pager", *options])


def play(inventory: Path, playbook: Path, profile: str = "baseline") -> tuple[float, str]:
    """Seconds that a playbook takes, and what it printed."""
    start = time.monotonic()
    output = run(["ansible-playbook", "-i", inventory, playbook, "-e", f"kubeharden_profile={profile}"])
    return time.monotonic() - start, output


def module_starts(directory: Path, inventory: Path, names: Sequence[str], profile: str) -> dict[str, int]:
    """Number of modules that one run without changes starts on each host, after one of the same profile."""
    play(inventory, ROOT / "harden.yml", profile)
    cursors = ends_of_journals(directory, names)
    without_a_change(play(inventory, ROOT / "harden.yml", profile)[1], names)
    return started_since(directory, cursors)


def without_a_change(output: str, names: Sequence[str]) -> None:
    """Raise BenchError where a play changed something, or left a host out."""
    changed = {match["host"]: match["changed"] for match in RECAP.finditer(output)}
    if any(count != "0" for count in changed.values()) or not set(names) <= set(changed):
        raise BenchError(f"the run that was to change nothing changed: {changed}")


def ends_of_journals(directory: Path, names: Sequence[str]) -> dict[str, str]:
    """Where each host's journal ends now."""
    return {
        host: journal(directory, host, "--lines=0", "--show-cursor").rpartition("-- cursor: ")[2].strip()
        for host in names
    }


def started_since(directory: Path, cursors: Mapping[str, str]) -> dict[str, int]:
    """Number of modules that were started on each host since its journal ended there."""
    starts = {}
    for host, cursor in cursors.items():
        run([LAB, "ssh", directory, host, "journalctl", "--sync"])
        # A cursor has semicolons, and ssh hands its words to a shell.
        after = f"--after-cursor={shlex.quote(cursor)}"
        lines = journal(directory, host, after, "--output=cat").splitlines()
        starts[host] = sum("Invoked with " in line for line in lines)
        if starts[host] == 0:
            raise BenchError(f"{host}: no module left a line in the journal, so nothing was counted")
    return starts


def walls(inventory: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of a run without changes and of an empty play, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.yml"
        empty.write_text(EMPTY_PLAY, encoding="utf-8")
        # The first of each opens the connections and fills the caches.
        play(inventory, empty)
        ours, theirs = [], []
        for _round in range(rounds):
            ours.append(play(inventory, ROOT / "harden.yml")[0])
            theirs.append(play(inventory, empty)[0])
    return ours, theirs


def without_changes(
    directory: Path, inventory: Path, names: Sequence[str], rounds: int
) -> list[dict[str, str | float]]:
    """What a run of harden.yml with nothing to do costs."""
    starts = {"baseline": module_starts(directory, inventory, names, "baseline")}
    ours, theirs = walls(inventory, rounds)
    starts["cis"] = module_starts(directory, inventory, names, "cis")
    for profile, counted in starts.items():
        print(f"# modules started by host, profile {profile}: {json.dumps(counted)}")
    print(f"# a run without changes, seconds: {[round(seconds, 1) for seconds in ours]}")
    print(f"# an empty play, seconds: {[round(seconds, 1) for seconds in theirs]}")
    most = max(max(counted.values()) for counted in starts.values())
    ratio = round(statistics.median(ours) / statistics.median(theirs), 2)
    return [
        {"name": "no_change_module_starts_per_host", "value": most, "unit": "starts"},
        {"name": "no_change_wall_vs_empty_play", "value": ratio, "unit": "ratio"},
    ]


def calls_of_verify(starts: Mapping[str, int]) -> int:
    """Number of modules that a verify.yml started in all: one on each host, and one more on one of them.

    :raises BenchError: it started others
    """
    if sorted(starts.values()) != [1] * (len(starts) - 1) + [2]:
        raise BenchError(f"verify.yml is one module a host and one more on a control plane, and was: {dict(starts)}")
    return sum(starts.values())


def whole_verify(directory: Path, inventory: Path, names: Sequence[str], rounds: int) -> list[dict[str, str | float]]:
    """Seconds that verify.yml takes on all hosts, and the modules that one starts."""
    words = ["ansible-playbook", "-i", inventory, ROOT / "verify.yml", "-e", "kubeharden_fail_on=none"]
    run(words)  # opens the connections
    cursors = ends_of_journals(directory, names)
    without_a_change(run(words), names)
    calls = calls_of_verify(started_since(directory, cursors))
    walls = []
    for _round in range(rounds):
        begun = time.monotonic()
        run(words)
        walls.append(time.monotonic() - begun)
    print(f"# verify.yml on {len(names)} hosts, seconds: {[round(seconds, 1) for seconds in walls]}")
    planes = sum(name.startswith("cp") for name in names)
    shape = f"{planes}_{len(names) - planes}"
    return [
        {"name": f"verify_wall_{shape}", "value": round(statistics.median(walls), 1), "unit": "s"},
        {"name": f"verify_module_starts_{shape}", "value": calls, "unit": "starts"},
    ]


def less_than_kube_bench(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How often more processor time kube-bench took than verify, which judges more.

    :raises BenchError: it took no more
    """
    ratio = statistics.median(theirs) / statistics.median(ours)
    if ratio <= 1:
        raise BenchError(f"verify takes less of a host than kube-bench, and took {ours} s where that took {theirs} s")
    return round(ratio, 2)


def of_verify(directory: Path, names: Sequence[str], rounds: int) -> list[dict[str, str | float]]:
    """What verify costs on a control plane beside kube-bench, and on the controller with 300 hosts."""
    inventory = directory / "inventory.yml"
    plane, worker = names[0], names[-1]
    ours, theirs = verify.host_cpu(run, LAB, directory, plane, rounds)
    print(f"# verify on {plane}, processor seconds: {[round(seconds, 2) for seconds in ours]}")
    print(f"# kube-bench there: {[round(seconds, 2) for seconds in theirs]}")
    seen = {
        "control_plane": verify.evidence(run, inventory, plane, "verify_host", "control_plane=true"),
        "worker": verify.evidence(run, inventory, worker, "verify_host"),
        "cluster": verify.evidence(run, inventory, plane, "verify_cluster"),
    }
    seconds, memory, wall = verify.controller(seen)
    return [
        {"name": "verify_host_cpu_kube_bench_vs_ours", "value": less_than_kube_bench(ours, theirs), "unit": "ratio"},
        {"name": "verify_controller_cpu_300_hosts", "value": round(seconds, 1), "unit": "s"},
        {"name": "verify_controller_wall_300_hosts", "value": round(wall, 1), "unit": "s"},
        {"name": "verify_controller_memory_300_hosts", "value": round(memory), "unit": "MiB"},
    ]


def on_a_cluster(options: argparse.Namespace) -> list[dict[str, str | float]]:
    """What runs and verify cost on a cluster of the lab."""
    with cluster(options.lab, options.control_planes, options.workers) as directory:
        inventory = directory / "inventory.yml"
        names = hosts(inventory)
        figures = [] if options.only_verify else without_changes(directory, inventory, names, options.rounds)
        figures += of_verify(directory, names, options.rounds)
    # Another one, after the first has ended: the machine would not hold both.
    with cluster(options.several, *SEVERAL) as directory:
        inventory = directory / "inventory.yml"
        return figures + whole_verify(directory, inventory, hosts(inventory), options.rounds)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lab", type=Path, metavar="DIR", help="a cluster that is up and that may be hardened")
    parser.add_argument("--several", type=Path, metavar="DIR", help="a cluster of three and two that is up")
    parser.add_argument("--control-planes", type=int, default=1, metavar="N", help="of the cluster made; default 1")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="of the cluster made; default 1")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--only-verify", action="store_true", help="leave out certificates and the runs of harden.yml")
    only.add_argument("--only-pki", action="store_true", help="certificates alone, which need no cluster")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of each of the plays compared; default 5")
    parser.add_argument(
        "--peer-nodes",
        type=int,
        default=pki.NODES,
        metavar="N",
        help=f"nodes for which community.crypto makes certificates; of fewer than {pki.NODES} the time is scaled up",
    )
    options = parser.parse_args()
    os.environ["ANSIBLE_NOCOLOR"] = "1"
    figures = []
    try:
        if not options.only_verify:
            figures += pki.measure(run, options.rounds, options.peer_nodes)
        if not options.only_pki:
            figures += on_a_cluster(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    for figure in figures:
        print(f"{figure['name']} {figure['value']} {figure['unit']}")
    target = ROOT / "build" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    missed = pki.missed(figures)
    for sentence in missed:
        print(f"bench: {sentence}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
