# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What schedule.yml lays before systemd's own judge, and what docs/schedule.md says to do without systemd.

That it works under systemd is tested in tests/lab/test_schedule.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tools.checkout import ROOT
from tools.lacking import lacking
from tools.pod import Pod, cronjob
from tools.runs import Run, ansible

pytestmark = pytest.mark.frame

PROGRAMS = Path(sys.executable).parent
RECORDER = ROOT / "roles" / "schedule" / "files" / "record-run.sh"
#: One control plane, which is a directory: all that a run of the rotation needs.
INVENTORY = """\
all:
  children:
    kube_control_plane: {hosts: {cp1: }}
    etcd: {hosts: {cp1: }}
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    kubeharden_root: PROJECT/build/host/{{ inventory_hostname }}
    kubeharden_root_seed: PROJECT/inventories/demo/hosts.orig/{{ inventory_hostname }}
"""
EVERYTHING = {
    "kubeharden_schedule_verify_calendar": "Sun 05:00",
    "kubeharden_schedule_credentials": {"private-key": "/etc/kubeharden/key", "mine": "/etc/kubeharden/mine"},
    "kubeharden_schedule_arguments": ["--become", "-e", "@${CREDENTIALS_DIRECTORY}/mine", "-e", '{"a": "$b %c"}'],
    "kubeharden_schedule_on_failure": ["/bin/sh", "-c", 'echo "$KUBEHARDEN_UNIT: 100% \\o/"'],
    "kubeharden_schedule_metrics_dir": "/var/lib/node exporter",
}


def block(language: str) -> str:
    """The block of docs/schedule.md in a language; there is one."""
    text = (ROOT / "docs" / "schedule.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(found)


def families(text: str) -> dict[str, Any]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def play(project: Path, home: Path, *words: str, **variables: Any) -> Run:
    command = ["ansible-playbook", *words, "-e", json.dumps(variables)]
    run = ansible(PROGRAMS, command, directory=project, home=home)
    assert run.code == 0, str(run)
    assert not run.complaints, str(run)
    return run


@pytest.mark.parametrize("variables", [{}, EVERYTHING, {"kubeharden_schedule_protect": False}])
def test_systemd_has_nothing_to_say_of_the_units(project: Path, home: Path, variables: dict[str, Any]) -> None:
    judge = shutil.which("systemd-analyze")
    if judge is None:
        lacking("systemd-analyze was not found")
    play(project, home, "schedule.yml", **variables)
    laid = sorted((project / "build/demo/localhost/etc/systemd/system").glob("kubeharden-*"))
    assert len(laid) == (5 if variables is EVERYTHING else 2), laid
    words = [judge, "verify", "--man=no", *map(str, laid)]
    judged = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    # It ends well of what it warns of, such as a key that it does not know.
    assert (judged.returncode, judged.stdout + judged.stderr) == (0, "")
    play(project, home, "schedule.yml", kubeharden_schedule_state="absent")
    assert not list((project / "build/demo/localhost").rglob("*kubeharden*"))


@pytest.fixture
def rotated(project: Path, home: Path) -> Path:
    """The project, with an inventory whose host has certificates."""
    inventory = project / "inventories" / "mine"
    inventory.mkdir()
    (inventory / "hosts.yml").write_text(INVENTORY.replace("PROJECT", str(project)), encoding="utf-8")
    play(project, home, "-i", "inventories/mine", "harden.yml", "--tags", "pki")
    return project


def test_the_line_of_cron_does_its_work(rotated: Path, home: Path, tmp_path: Path) -> None:
    (line,) = block("cron").splitlines()
    fields = line.split(None, 6)
    assert len(fields) == 7
    assert all(re.fullmatch(r"[0-9*]+", field) for field in fields[:5])
    assert fields[5] == "root"
    command = fields[6]
    assert "%" not in command, "cron makes a new line of it"
    (rotated / ".venv").unlink(missing_ok=True)  # a link of the checkout's would be copied
    (rotated / ".venv").symlink_to(PROGRAMS.parent)
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    places = {"/opt/kubeharden": rotated, "/run/kubeharden-rotate.lock": tmp_path / "lock"}
    for place, here in {**places, "/var/lib/node_exporter": metrics}.items():
        assert command.count(place) == 1
        command = command.replace(place, str(here))
    # As cron starts it, by cron(8).
    environment = {"SHELL": "/bin/sh", "PATH": "/usr/bin:/bin", "HOME": str(home), "LOGNAME": "root"}
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
        env={**environment, "ANSIBLE_HOME": str(home / ".ansible")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = metrics.iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == ("kubeharden-rotate.prom", 0o644)
    found = families(file.read_text(encoding="utf-8"))
    ends = found["kubeharden_certificate_not_after_timestamp_seconds"].samples
    kinds = {(sample.labels["name"], sample.labels["kind"]) for sample in ends}
    assert kinds >= {("apiserver", "certificate"), ("admin.conf", "kubeconfig"), ("etcd", "authority")}
    (success,) = found["kubeharden_rotate_last_success_timestamp_seconds"].samples
    assert all(sample.value > success.value + 300 * 86400 for sample in ends)
    # The table names each of them, though nothing was due.
    for sample in ends:
        assert re.search(rf"^cp1 +\S+ +{re.escape(sample.labels['path'])} +20", done.stdout, re.MULTILINE)
    assert "changed=0" in done.stdout
    (report,) = (rotated / "reports").glob("*/metrics.prom")
    assert families(report.read_text(encoding="utf-8")).keys() == found.keys()


def test_a_run_that_does_not_see_every_host_leaves_the_metrics(rotated: Path, home: Path, tmp_path: Path) -> None:
    (rotated / "inventories/mine/more.yml").write_text("kube_node: {hosts: {w1: }}\n", encoding="utf-8")
    words = ("-i", "inventories/mine", "rotate_certificates.yml", "--limit", "cp1")
    run = play(rotated, home, *words, kubeharden_schedule_metrics_dir=str(tmp_path))
    assert "was left as it was, since this run did not see the certificates of w1." in run.output
    assert not list(tmp_path.glob("*.prom"))


def recorded(directory: Path, **environment: str) -> dict[str, Any]:
    command = ["/bin/sh", str(RECORDER), "rotate", str(directory)]
    bare: Mapping[str, str] = {"PATH": os.environ["PATH"], **environment}
    subprocess.run(command, env=bare, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    (file,) = directory.iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == ("kubeharden-rotate-run.prom", 0o644)
    return families(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({"SERVICE_RESULT": "success", "EXIT_CODE": "exited", "EXIT_STATUS": "0"}, 0),
        ({"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "4"}, 4),
        ({"SERVICE_RESULT": "signal", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"}, 255),
        ({"SERVICE_RESULT": "timeout", "EXIT_CODE": "exited", "EXIT_STATUS": "0"}, 255),
        ({"SERVICE_RESULT": "resources"}, 255),
    ],
)
def test_how_a_run_ended_is_recorded(tmp_path: Path, environment: dict[str, str], code: int) -> None:
    found = recorded(tmp_path, **environment)
    assert set(found) == {"kubeharden_rotate_last_exit_code", "kubeharden_rotate_last_end_timestamp_seconds"}
    assert [sample.value for sample in found["kubeharden_rotate_last_exit_code"].samples] == [code]
    assert all(family.type == "gauge" and family.documentation for family in found.values())


def test_a_record_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        recorded(tmp_path / "none", SERVICE_RESULT="success", EXIT_CODE="exited", EXIT_STATUS="0")


def test_the_cronjob_never_runs_twice_and_never_tries_again_at_once() -> None:
    """A real API server reads it in tests/lab/test_schedule.py."""
    job = cronjob()
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    template = job["spec"]["jobTemplate"]["spec"]
    assert template["backoffLimit"] == 0
    assert template["template"]["spec"]["restartPolicy"] == "Never"
    (container,) = template["template"]["spec"]["containers"]
    assert container["command"][-1] == "kubeharden.core.rotate_certificates"


#: Says of a process what it may do and write.
CONFINED = """
id -u; id -g; id -G
grep -E '^(CapEff|CapBnd|NoNewPrivs):' /proc/self/status
cat /secrets/private-key
for place in / /usr /etc /opt/ansible /inventory /secrets /work /tmp; do
  if touch "$place/written" 2>/dev/null; then echo "$place"; fi
done
"""


def test_the_command_of_the_cronjob_runs_with_what_its_pod_may(rotated: Path, tmp_path: Path) -> None:
    """The hosts are directories of the pod's own, so that nothing is said of ssh, nor of what --become is on a host.

    Both are in tests/lab/test_schedule.py.
    """
    inventory = INVENTORY.partition("    kubeharden_root_seed")[0].replace("PROJECT/build", "/work")
    inventory += "    ansible_become: false\n    ansible_remote_tmp: /tmp\n"
    files = {"kubeharden-inventory": {"hosts.yml": inventory.encode()}, "kubeharden": {"private-key": b"secret\n"}}
    pod = Pod(tmp_path / "pod", files)
    said = pod.run(["sh", "-c", CONFINED])
    assert said.stdout.split() == [
        *("1000", "1000", "1000", "CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1", "secret"),
        *("/work", "/tmp"),
    ], said.stdout
    pod.give("work", rotated / "build/host")
    run = pod.run(pod.command)
    assert run.returncode == 0, run.stdout
    assert "changed=0" in run.stdout
    assert "[WARNING" not in run.stdout
    (report,) = (pod.volume("work") / "reports").glob("*/metrics.prom")
    found = families(report.read_text(encoding="utf-8"))
    ends = found["kubeharden_certificate_not_after_timestamp_seconds"].samples
    assert ("apiserver", "certificate") in {(one.labels["name"], one.labels["kind"]) for one in ends}
    assert report.stat().st_uid == 1000
