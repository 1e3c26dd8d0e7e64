# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schedule under systemd: a worker of the cluster is the bastion, with Ansible and a copy of the project.

The tests are one story and run in their order.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lab.kubelab.base import HERE
from lab.kubelab.harness import Cluster
from lab.product import HardenRun, Product, wait_until
from tools.checkout import ROOT, copy_to
from tools.pod import Pod, manifest
from tools.runs import RECAP

pytestmark = [pytest.mark.slow, pytest.mark.on("1+1", name="schedule")]

BASTION = "w1"
METRICS = "/var/lib/node_exporter"
SERVICE = "kubeharden-rotate.service"
KEY = "/etc/kubeharden/key"
TOLD = "/root/told"
#: What only systemd leaves as it is when it starts a command.
WORDS = "100% \\o/ 'quoted' ${HOME}"
ANSIBLE_PLAYBOOK = """\
#!/bin/sh
PYTHONPATH=/opt/site exec /usr/bin/python3 -m ansible.cli.playbook "$@"
"""
GIVEN: dict[str, Any] = {
    "schedule_rotate_calendar": "2100-01-01",
    "schedule_directory": "/opt/kubeharden",
    "schedule_ansible_playbook": "/opt/site/bin/run-playbook",
    "schedule_inventory": ["inventories/mine"],
    "schedule_credentials": {"private-key": KEY},
    "schedule_metrics_dir": METRICS,
}
ON_FAILURE = ["/bin/sh", "-c", f'printf \'%s %s\\n\' "$KUBEHARDEN_UNIT" "$0" >>{TOLD}', WORDS]
OURS = ("/etc/systemd", "/usr/local", "/var/lib/systemd", METRICS, "/run/systemd/units", "/run/credentials")


def bring(cluster: Cluster, source: Path, target: str) -> None:
    """Lay what is in a directory of this machine on the bastion."""
    packed = subprocess.run(["tar", "-c", "-C", str(source), "."], check=True, capture_output=True).stdout
    command = [str(HERE / "lab"), "ssh", str(cluster.directory), BASTION, f"mkdir -p {target} && tar -x -C {target}"]
    done = subprocess.run(command, input=packed, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def write(cluster: Cluster, path: str, text: str, mode: str = "0644") -> None:
    folder = path.rpartition("/")[0]
    cluster.ssh(BASTION, f"mkdir -p {folder} && umask 077 && cat >{path} && chmod {mode} {path}", stdin=text)


@pytest.fixture(scope="module")
def prepared() -> set[Path]:
    """The clusters whose bastion is ready."""
    return set()


@pytest.fixture
def product(cluster: Cluster, prepared: set[Path], tmp_path: Path) -> Product:
    """The cluster, whose bastion has Ansible, the project, an inventory, and a key that root alone may read."""
    if cluster.directory not in prepared:
        site, project = tmp_path / "site", tmp_path / "project"
        # The bastion is a Debian 12, and has no way to an index.
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(site)]
        pip += ["--python-version", "3.11", "--only-binary=:all:", "--group", "runtime"]
        subprocess.run(pip, check=True, cwd=ROOT, stdin=subprocess.DEVNULL)
        copy_to(project, leave_out=("tests/", "docs/", "inventories/"))
        bring(cluster, site, "/opt/site")
        bring(cluster, project, "/opt/kubeharden")
        write(cluster, GIVEN["schedule_ansible_playbook"], ANSIBLE_PLAYBOOK, "0755")
        write(cluster, KEY, (cluster.directory / "id").read_text(encoding="ascii"), "0600")
        write(cluster, "/root/.ssh/known_hosts", (cluster.directory / "known_hosts").read_text(encoding="ascii"))
        write(cluster, "/opt/kubeharden/inventories/mine/hosts.yml", inventory(cluster))
        # systemd does this itself where it is not in a container: what it mounts for a unit is seen there.
        cluster.ssh(BASTION, f"mkdir -p {METRICS} && mount --make-rshared /")
        prepared.add(cluster.directory)
    return Product(cluster)


def inventory(cluster: Cluster) -> str:
    """The cluster's hosts by their addresses, as they are reached from one of them."""

    def hosts(names: list[str]) -> dict[str, Any]:
        return {"hosts": {name: {"ansible_host": cluster.lab.host(name).address} for name in names}}

    groups = {"kube_control_plane": cluster.control_planes, "etcd": cluster.control_planes}
    children = {group: hosts(names) for group, names in {**groups, "kube_node": cluster.workers}.items()}
    variables = {"ansible_user": "root", "ansible_python_interpreter": "/usr/bin/python3"}
    return json.dumps({"all": {"children": children, "vars": variables}})


def schedule(product: Product, *arguments: str, **variables: Any) -> HardenRun:
    """Run schedule.yml on this machine for the bastion."""
    file = product.cluster.directory / "scheduler.yml"
    file.write_text(json.dumps({"kubeharden_scheduler": {"hosts": {BASTION: None}}}), encoding="utf-8")
    return product.play("schedule.yml", *arguments, inventory=file, **{**GIVEN, **variables})


def shown(product: Product, unit: str, *properties: str) -> dict[str, str]:
    said = product.cluster.ssh(BASTION, f"systemctl show {unit} -p {','.join(properties)}").stdout
    return dict(line.split("=", 1) for line in said.splitlines())


def ours(product: Product) -> list[str]:
    """Everything of the schedule that is on the bastion, and that systemd knows."""
    found = product.cluster.ssh(BASTION, f"find {' '.join(OURS)} -name '*kubeharden*' 2>/dev/null", check=False).stdout
    known = product.cluster.ssh(BASTION, "systemctl list-units --all --plain --no-legend 'kubeharden*'").stdout
    return sorted([*found.splitlines(), *known.splitlines()])


def metrics(product: Product, name: str) -> dict[str, Any]:
    """By name of the metric, its samples; empty where there is no such file."""
    done = product.cluster.ssh(BASTION, f"cat {METRICS}/{name}", check=False)
    families = text_string_to_metric_families(done.stdout)
    return {family.name: family.samples for family in families} if done.returncode == 0 else {}


def has_ended(product: Product) -> bool:
    return shown(product, SERVICE, "ActiveState")["ActiveState"] in ("inactive", "failed")


def started(product: Product) -> str:
    """Start a run, wait for its end, and return what it said."""
    product.cluster.ssh(BASTION, f"systemctl start {SERVICE}", check=False)
    return product.cluster.ssh(BASTION, f"journalctl -u {SERVICE} -o cat --no-pager").stdout


@pytest.fixture(autouse=True)
def log_of_the_last_run(product: Product) -> Iterator[None]:
    """What the service said, for whoever looks at a test that failed."""
    yield
    print(product.cluster.ssh(BASTION, f"journalctl -u {SERVICE} -n 40 --no-pager", check=False).stdout)


def test_bad_input_is_said_and_nothing_is_laid(product: Product) -> None:
    run = schedule(product, schedule_rotate_calendar="nightly", schedule_random_delay="soon")
    assert run.code == 2, str(run)
    assert "kubeharden_schedule_rotate_calendar: systemd does not take 'nightly'" in run.messages[BASTION]
    assert "kubeharden_schedule_random_delay: systemd does not take 'soon'" in run.messages[BASTION]
    run = schedule(product, schedule_user="engineer-of-another-house", schedule_credentials={"a": "/etc/none"})
    assert "there is no user engineer-of-another-house on this host." in run.messages[BASTION]
    assert "kubeharden_schedule_credentials: there is no /etc/none on this host." in run.messages[BASTION]
    assert ours(product) == []


def test_check_run_run(product: Product) -> None:
    foretold = schedule(product, "--check").well()
    assert ours(product) == []
    done = schedule(product).well()
    assert done.changes == foretold.changes
    assert shown(product, "kubeharden-rotate.timer", "ActiveState", "UnitFileState") == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
    }
    again = schedule(product).well()
    assert (again.changes, again.changed[BASTION]) == ([], 0)
    assert schedule(product, "--check").well().changes == []


def test_a_timer_that_somebody_stopped_is_started_again(product: Product) -> None:
    product.cluster.ssh(BASTION, "systemctl stop kubeharden-rotate.timer")
    foretold = schedule(product, "--check").well()
    assert [change["kind"] for change in foretold.changes] == ["unit"]
    assert schedule(product).well().changes == foretold.changes
    assert shown(product, "kubeharden-rotate.timer", "ActiveState")["ActiveState"] == "active"


def test_the_timer_fires_and_the_run_leaves_metrics(product: Product) -> None:
    assert metrics(product, "kubeharden-rotate.prom") == {}
    schedule(product, schedule_rotate_calendar="*:*:0/15", schedule_random_delay="0").well()
    wait_until("metrics of a run", 600, lambda: bool(metrics(product, "kubeharden-rotate-run.prom")))
    schedule(product).well()
    wait_until("the end of the run", 600, lambda: has_ended(product))
    ended = shown(product, SERVICE, "Result", "ExecMainStatus", "TriggeredBy")
    assert ended == {"Result": "success", "ExecMainStatus": "0", "TriggeredBy": "kubeharden-rotate.timer"}
    found = metrics(product, "kubeharden-rotate.prom")
    ends = found["kubeharden_certificate_not_after_timestamp_seconds"]
    seen = {(one.labels["host"], one.labels["name"], one.labels["kind"]) for one in ends}
    assert seen >= {
        ("cp1", "apiserver", "certificate"),
        ("cp1", "etcd", "authority"),
        ("cp1", "admin.conf", "kubeconfig"),
        ("cp1", "kubelet-client", "certificate"),
        ("w1", "kubelet-client", "certificate"),
        ("w1", "kubelet-server", "certificate"),
    }
    # It says what openssl says.
    (served,) = [one for one in ends if (one.labels["host"], one.labels["name"]) == ("cp1", "apiserver")]
    read = 'date +%s -d "$(openssl x509 -noout -enddate -in /etc/kubernetes/pki/apiserver.crt | cut -d = -f 2)"'
    assert served.value == float(product.cluster.ssh("cp1", read).stdout)
    last = metrics(product, "kubeharden-rotate-run.prom")
    assert [one.value for one in last["kubeharden_rotate_last_exit_code"]] == [0]
    listed = product.cluster.ssh(BASTION, f"stat -c '%a %U' {METRICS}/kubeharden-*.prom").stdout
    assert set(listed.splitlines()) == {"644 root"}


def test_secrets_are_where_only_the_run_has_them(product: Product) -> None:
    """The key is in no argument, and it was what opened the hosts: the bastion has no other one."""
    assert product.cluster.ssh(BASTION, "ls /root/.ssh/id_* 2>/dev/null", check=False).stdout == ""
    unit = product.cluster.ssh(BASTION, f"systemctl cat {SERVICE}").stdout
    assert f"LoadCredential=private-key:{KEY}" in unit
    assert "${CREDENTIALS_DIRECTORY}/private-key" in unit
    assert "kubeharden" not in product.cluster.ssh(BASTION, "ls -A /run/credentials 2>/dev/null", check=False).stdout


def test_a_run_that_fails_shows_and_its_command_is_run(product: Product) -> None:
    success = metrics(product, "kubeharden-rotate.prom")["kubeharden_rotate_last_success_timestamp_seconds"]
    wrong = ["-e", "kubeharden_no_such=1"]
    schedule(product, schedule_arguments=wrong, schedule_on_failure=ON_FAILURE).well()
    said = started(product)
    assert "There is no variable kubeharden_no_such; the nearest is" in said
    assert shown(product, SERVICE, "ActiveState", "Result", "ExecMainStatus") == {
        "ActiveState": "failed",
        "Result": "exit-code",
        "ExecMainStatus": "2",
    }
    assert SERVICE in product.cluster.ssh(BASTION, "systemctl --failed --plain --no-legend").stdout
    told = f"{SERVICE} {WORDS}\n"
    wait_until("the command", 30, lambda: product.cluster.ssh(BASTION, f"cat {TOLD}", check=False).stdout == told)
    last = metrics(product, "kubeharden-rotate-run.prom")
    assert [one.value for one in last["kubeharden_rotate_last_exit_code"]] == [2]
    now = metrics(product, "kubeharden-rotate.prom")["kubeharden_rotate_last_success_timestamp_seconds"]
    assert [one.value for one in now] == [one.value for one in success]


def test_a_credential_that_is_gone_shows_too(product: Product) -> None:
    product.cluster.ssh(BASTION, f"mv {KEY} {KEY}.away")
    started(product)
    product.cluster.ssh(BASTION, f"mv {KEY}.away {KEY}")
    assert shown(product, SERVICE, "ActiveState", "ExecMainStatus") == {
        "ActiveState": "failed",
        "ExecMainStatus": "243",
    }


def test_verify_runs_likewise(product: Product) -> None:
    both = {"schedule_verify_calendar": "2100-01-01", "schedule_arguments": ["-e", "kubeharden_fail_on=none"]}
    schedule(product, **both).well()
    product.cluster.ssh(BASTION, "systemctl start kubeharden-verify.service")
    last = metrics(product, "kubeharden-verify-run.prom")
    assert [one.value for one in last["kubeharden_verify_last_exit_code"]] == [0]
    product.cluster.ssh(BASTION, "test -s /opt/kubeharden/reports/*/report.html")


def test_what_is_at_work_is_not_removed(product: Product) -> None:
    before = ours(product)
    product.cluster.ssh(BASTION, f"systemctl start --no-block {SERVICE}")
    run = schedule(product, schedule_state="absent")
    assert run.code == 2, str(run)
    assert f"{SERVICE} is at work, so it was not removed and nothing was changed." in run.messages[BASTION]
    assert {line.split()[0] for line in before} <= {line.split()[0] for line in ours(product)}
    wait_until("the end of the run", 600, lambda: has_ended(product))


def test_nothing_is_left_of_it(product: Product) -> None:
    foretold = schedule(product, "--check", schedule_state="absent").well()
    assert ours(product) != []
    assert schedule(product, schedule_state="absent").well().changes == foretold.changes
    assert ours(product) == []
    assert product.cluster.ssh(BASTION, "systemctl list-units --failed --plain --no-legend 'kubeharden*'").stdout == ""
    assert schedule(product, schedule_state="absent").well().changes == []


def test_the_cronjob_of_the_page_is_one_to_a_real_api_server(product: Product) -> None:
    cluster = product.cluster
    cluster.kubectl("create", "namespace", "kubeharden")
    cluster.kubectl("label", "namespace", "kubeharden", "pod-security.kubernetes.io/warn=restricted")
    done = cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=manifest())
    # A field that is not known, or a pod that is not restricted, would be warned of.
    assert (done.stdout, done.stderr) == ("cronjob.batch/kubeharden-rotate created (server dry run)\n", "")
    cluster.kubectl("delete", "namespace", "kubeharden", "--wait=false")


def test_the_command_of_the_cronjob_reaches_the_hosts_from_what_its_pod_is(product: Product, tmp_path: Path) -> None:
    """Confined as in tests/frame/test_schedule.py, over ssh, with the key and the hosts' keys of its volumes."""
    cluster = product.cluster
    known, key = ((cluster.directory / name).read_bytes() for name in ("known_hosts", "id"))
    hosts = {"hosts.yml": inventory(cluster).encode(), "known_hosts": known}
    pod = Pod(tmp_path / "pod", {"kubeharden-inventory": hosts, "kubeharden": {"private-key": key}})
    run = cluster.run(*pod.words(pod.command), check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    changed = {match["host"]: match["changed"] for match in RECAP.finditer(run.stdout)}
    assert changed == dict.fromkeys(cluster.hosts, "0"), run.stdout
    (report,) = (pod.volume("work") / "reports").glob("*/metrics.prom")
    (family, _success) = text_string_to_metric_families(report.read_text(encoding="utf-8"))
    assert {(one.labels["host"], one.labels["name"]) for one in family.samples} >= {
        ("cp1", "apiserver"),
        ("w1", "kubelet-client"),
    }
