# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What verify costs: on a host beside kube-bench, and on the controller with the results of 300 hosts.

On the host the interpreter is a script that starts Python and writes down the processor time that it and its children
took; kube-bench is started in the same way, right after it. On the controller the evidence of a real control plane, a
real worker and a real cluster is taken as often as there are hosts, judged and reported in a process of its own. Each
of these hosts has its own copy with its own name and certificates, and not all of them are alike, as in an inventory.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.kubelab.kube_bench import PLACE, TARGETS
from tools.checkout import ROOT

CONTROL_PLANES, WORKERS = 3, 297
#: Of so many hosts one has a file that others may write, so that reports have something to tell apart.
_ODD_ONE = 10
# In a pipe `times` would be a shell of its own, whose children are none.
_TIMED = '#!/bin/bash\n/usr/bin/python3 "$@"\ncode=$?\ntimes >>/root/times-of-verify\nexit $code\n'

Run = Callable[..., str]


def _seconds(times: str) -> float:
    """User and system time of bash's `times`, such as ``0m1.234s 0m0.120s``, all lines together."""
    total = 0.0
    for word in times.split():
        minutes, _m, seconds = word.rstrip("s").partition("m")
        total += 60 * float(minutes) + float(seconds)
    return total


def host_cpu(run: Run, lab: Path, directory: Path, host: str, rounds: int) -> tuple[list[float], list[float]]:
    """Processor seconds on a control plane, of verify and of kube-bench, in turn.

    :param run: runs a command of the checkout and returns what it printed
    :param lab: the lab's tool
    """

    def on_host(script: str) -> str:
        return run([lab, "ssh", directory, host, script])

    inventory = directory / "inventory.yml"
    on_host(f"cat >/root/timed-python <<'END'\n{_TIMED}END\nchmod 700 /root/timed-python")
    run([lab.parent / "kube-bench-on", directory, host])  # it is installed by this
    bench = f"{PLACE}/kube-bench run --config-dir {PLACE}/cfg --config {PLACE}/cfg/config.yaml --benchmark cis-1.12"
    bench += f" --targets {TARGETS[True]} --json"
    ours, theirs = [], []
    for _round in range(rounds):
        on_host("rm -f /root/times-of-verify")
        words = ["-e", "ansible_python_interpreter=/root/timed-python", "-e", "kubeharden_fail_on=none"]
        run(["ansible-playbook", "-i", inventory, ROOT / "verify.yml", "--limit", host, *words])
        ours.append(_seconds(on_host("cat /root/times-of-verify")))
        said = on_host(f"bash -c 'KUBECONFIG=/etc/kubernetes/admin.conf {bench} >/dev/null 2>&1; times'")
        theirs.append(_seconds(said))
    on_host("rm -f /root/timed-python /root/times-of-verify")
    return ours, theirs


def evidence(run: Run, inventory: Path, host: str, module: str, *arguments: str) -> dict[str, Any]:
    """What a module of verify sees on a host."""
    said = run(["ansible", "-i", inventory, host, "-m", f"kubeharden.core.{module}", "-a", " ".join(arguments)])
    found: dict[str, Any] = json.loads(said[said.index("{") :])
    return found


def controller(seen: dict[str, Any]) -> tuple[float, float, float]:
    """Processor seconds, MiB and seconds that the judgement and the reports of 300 hosts take."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "bench.verify"],
        input=json.dumps(seen),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/tests:{ROOT}/collections"},
    )
    seconds, memory = (float(word) for word in done.stdout.split())
    return seconds, memory, time.monotonic() - begun


def own_copy(seen: dict[str, Any], name: str, odd: bool) -> dict[str, Any]:
    """What would be seen of a host of another name: nothing of it is shared, and its certificates are its own.

    :param odd: whether one of its files has a mode that it should not have
    """
    node = str(seen["evidence"]["node_name"])
    named = re.sub(rf"\b{re.escape(node)}\b", name, json.dumps(seen)) if node else json.dumps(seen)
    found: dict[str, Any] = json.loads(named)
    evidence = found["evidence"]
    for one in evidence["certificates"]:
        if one.get("sha256") and not one["authority"]:
            one["sha256"] = hashlib.sha256(f"{name} {one['sha256']}".encode()).hexdigest()
    if odd:
        evidence["files"]["kubelet_configuration"][0]["mode"] = "0666"
    return found


def inventory_of(seen: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Any], list[str]]:
    """What would be seen of all hosts, by their names, of the cluster, and which hosts are its control planes."""
    planes = [f"cp{number}" for number in range(1, CONTROL_PLANES + 1)]
    names = [*planes, *(f"w{number}" for number in range(1, WORKERS + 1))]
    hosts = {
        name: own_copy(seen["control_plane" if name in planes else "worker"], name, number % _ODD_ONE == _ODD_ONE - 1)
        for number, name in enumerate(names)
    }
    cluster: dict[str, Any] = json.loads(json.dumps(seen["cluster"]))
    node = str(seen["worker"]["evidence"]["node_name"])
    said, version = (cluster["evidence"][key][node] for key in ("configz", "kubelets"))
    cluster["evidence"]["configz"] = {name: json.loads(json.dumps(said)) for name in names}
    cluster["evidence"]["kubelets"] = dict.fromkeys(names, version)
    return hosts, cluster, planes


def _judge(seen: dict[str, Any]) -> None:
    """Judge and report, print processor seconds and MiB."""
    from ansible_collections.kubeharden.core.plugins.plugin_utils import (  # noqa: PLC0415
        catalogue_files,
        report_html,
        verdict_texts,
        verdicts,
    )

    hosts, cluster, planes = inventory_of(seen)
    settings = verdicts.Settings("bench", "baseline", "0", 1_795_500_000.0)
    report = verdicts.build(verdicts.Seen(hosts, cluster, planes), catalogue_files.load(), settings)
    for made in (json.dumps(report), verdict_texts.junit(report), report_html.render(report, None)):
        assert made
    assert verdict_texts.render(report, "/")
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


if __name__ == "__main__":
    _judge(json.load(sys.stdin))
