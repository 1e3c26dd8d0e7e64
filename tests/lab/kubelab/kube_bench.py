# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run kube-bench on a host of a lab and say how many checks fail.

kube-bench reads the process list: run it while nothing is being restarted, else it fails what it doesn't see.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from lab.kubelab import cluster, components, hosts, session, state
from lab.kubelab.base import HERE, LabError, main, run, say

PLACE = "/opt/kube-bench"
TARGETS = {True: "master,controlplane,etcd,node,policies", False: "node"}
"""by whether the host is a control plane"""


def bench(lab: state.Lab, host: state.Host, benchmark: str) -> dict[str, object]:
    """kube-bench's own report of the host."""
    cluster.wait_quiet(lab)
    _install(lab, host)
    command = f"{PLACE}/kube-bench run --config-dir {PLACE}/cfg --config {PLACE}/cfg/config.yaml"
    command += f" --benchmark {benchmark} --targets {TARGETS[host.control_plane]} --json"
    kubeconfig = "/etc/kubernetes/admin.conf" if host.control_plane else "/etc/kubernetes/kubelet.conf"
    done = hosts.ssh(lab, host, [f"KUBECONFIG={kubeconfig} {command}"], timeout=120)
    try:
        report: dict[str, object] = json.loads(done.stdout)
    except ValueError as error:
        raise LabError(f"{host.name}: kube-bench printed no JSON: {done.stdout[:500]}{done.stderr[:500]}") from error
    return report


def _install(lab: state.Lab, host: state.Host) -> None:
    """Once a host; the tools come from the cache that made the lab."""
    if hosts.ssh(lab, host, ["test", "-x", f"{PLACE}/kube-bench"], check=False).returncode == 0:
        return
    tools = components.tools()
    target = f"root@{host.address}"
    hosts.ssh(lab, host, ["mkdir", "-p", PLACE])
    options = hosts.ssh_options(lab)
    run(["scp", "-q", *options, "-r", tools / "kube-bench-cfg", f"{target}:{PLACE}/cfg"])
    run(["scp", "-q", *options, tools / "kube-bench", f"{target}:{PLACE}/kube-bench"])


def command() -> int:
    parser = argparse.ArgumentParser(prog="kube-bench-on", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path, metavar="DIR", help="of a lab that is up")
    parser.add_argument("host", metavar="HOST")
    parser.add_argument("--benchmark", default="cis-1.12", metavar="NAME", help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write kube-bench's report there")
    options = parser.parse_args()
    directory = options.directory.resolve()
    if not state.inside(directory):
        session.enter(directory, [str(HERE / "kube-bench-on"), *sys.argv[1:]])
    lab = state.load(directory)
    report = bench(lab, lab.host(options.host), options.benchmark)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for line, _dummy in sorted(
        findings(report).items(), key=lambda item: [int(n) for n in item[0].split()[1].split(".")]
    ):
        say(line)
    totals = report["Totals"]
    if not isinstance(totals, dict):
        raise LabError(f"{options.host}: kube-bench's report has no totals")
    say(f"FAIL {totals['total_fail']} WARN {totals['total_warn']}")
    return 0


def findings(report: dict[str, object]) -> dict[str, str]:
    """`FAIL 1.2.3 text` -> state, for each check that is FAIL or WARN."""
    found: dict[str, str] = {}
    controls = report["Controls"]
    for control in controls if isinstance(controls, list) else []:
        for section in control["tests"]:
            for result in section["results"]:
                if result["status"] in {"FAIL", "WARN"}:
                    line = f"{result['status']} {result['test_number']} {result['test_desc']}"
                    found[line] = result["status"]
    return found


if __name__ == "__main__":
    main(command)
