# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of one control plane and one worker, from what kubeadm made to a hardened one.

The tests follow the cluster's story (``lab.story``) in its order; each can also be run alone.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lab.each_version import on_each_version
from lab.kubelab.harness import Cluster
from lab.kubelab.prepare import TEST_IMAGE
from lab.product import (
    HardenRun,
    announced,
    fails_as_kubeadm_made_it,
    of_this_slice,
    restarted,
    started,
    warns_of_no_more_than_is_promised,
    without_random,
)
from lab.story import EVALUATED, MARKER, PRIVILEGED, Story, differences, story_of

APISERVER = "/etc/kubernetes/manifests/kube-apiserver.yaml"
ETCD = "/etc/kubernetes/manifests/etcd.yaml"
KUBEADM = "ConfigMap kube-system/kubeadm-config"
KUBELET = "ConfigMap kube-system/kubelet-config"

NEWEST = pytest.param(marks=pytest.mark.on("1+1"), id="newest")
OLDEST = pytest.param(marks=[pytest.mark.on("1+1", version="1.34"), pytest.mark.slow], id="1.34")
#: What CI sees of the version before the newest is kube-bench, whose run is the story's; the rest costs it too much.
each_version = on_each_version("1+1", in_ci=1)
two_versions_in_ci = on_each_version("1+1", in_ci=2)
newest_and_oldest = pytest.mark.parametrize((), [NEWEST, OLDEST])


@pytest.fixture
def story(cluster: Cluster) -> Story:
    """Two versions go to profile baseline and from there to cis, the one between them straight to cis."""
    return story_of(cluster, "cis" if cluster.lab.minor == "1.36" else "baseline")


# Bad input: one sentence each, nothing written.


def refused(story: Story, run: HardenRun, host: str, *words: str, code: int = 2) -> None:
    """The run ended with this code and one message on that host, and the cluster is what it was."""
    assert run.code == code, str(run)
    assert set(run.messages) == {host}, str(run)
    for word in words:
        assert word in run.messages[host], run.messages[host]
    assert "Traceback" not in run.output
    product = story.product
    assert differences(story.untouched.attributes, product.on_each(product.attributes)) == []
    assert differences(story.untouched.versions, product.versions()) == []
    assert differences(story.untouched.processes, product.on_each(product.processes)) == []


def test_what_kubeadm_made_fails_what_it_is_known_to_fail(story: Story) -> None:
    """Else the checks after the run would prove nothing."""
    fails_as_kubeadm_made_it(story.bench_before, story.cluster.control_planes)


def test_a_host_that_cannot_be_reached_stops_the_run(story: Story, tmp_path: Path) -> None:
    story.untouched  # noqa: B018
    inventory = tmp_path / "more.yml"
    inventory.write_text("kube_node: {hosts: {w9: {ansible_host: 10.213.0.99}}}\n", encoding="utf-8")
    run = story.product.harden(inventory=inventory)
    refused(story, run, "w9", "w9 could not be reached", "Nothing was changed on any host", code=4)
    # Those that were reached gave their locks back.
    assert not story.product.exists("cp1", "/run/kubeharden/lock")
    assert story.cluster.kubectl("get", "lease", "kubeharden", "-n", "kube-system", check=False).returncode != 0
    assert run.messages["w9"].count("10.213.0.99") == 1, run.messages["w9"]


def test_an_expired_kubeconfig_stops_the_run(story: Story) -> None:
    story.untouched  # noqa: B018
    script = """
import base64, datetime, re
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "admin")])
begin = datetime.datetime(2020, 1, 1)
builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
builder = builder.not_valid_before(begin).not_valid_after(begin + datetime.timedelta(days=1))
pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
text = open("/etc/kubernetes/admin.conf").read()
text = re.sub("client-certificate-data: .*", "client-certificate-data: " + base64.b64encode(pem).decode(), text)
open("/root/expired.conf", "w").write(text)
"""
    story.cluster.ssh("cp1", "python3 -", stdin=script)
    run = story.product.harden(kubeconfig="/root/expired.conf")
    refused(story, run, "cp1", "/root/expired.conf", "2020-01-02", "Nothing was changed")


def test_a_control_plane_without_kubectl_stops_the_run(story: Story) -> None:
    story.untouched  # noqa: B018
    story.cluster.ssh("cp1", "mv /usr/bin/kubectl /root/kubectl")
    try:
        run = story.product.harden()
    finally:
        story.cluster.ssh("cp1", "mv /root/kubectl /usr/bin/kubectl")
    refused(story, run, "cp1", "kubectl", "kubeharden_kubectl")


def test_an_ordinary_user_without_sudo_is_told_to_use_it(story: Story) -> None:
    story.untouched  # noqa: B018
    run = story.product.harden("-e", "ansible_user=engineer")
    assert run.code == 2, str(run)
    assert "become" in run.messages["cp1"], str(run)
    assert "Nothing was changed" in run.messages["cp1"] or "Nothing was written" in run.messages["cp1"], str(run)


# Just some controls, and all but some: in kubeadm's ConfigMaps too.


@pytest.mark.slow
def test_only_some_controls_reach_the_config_maps(story: Story) -> None:
    story.untouched  # noqa: B018
    only = ["apiserver-profiling", "kubelet-profiling"]
    run = story.product.harden("--check", profile="cis", only=only).well()
    kubelet = "/var/lib/kubelet/config.yaml"
    diffs = {(change["host"], change["target"]): change["diff"] for change in run.changes}
    assert set(diffs) == {("cp1", APISERVER), ("cp1", kubelet), ("w1", kubelet), ("cp1", KUBEADM), ("cp1", KUBELET)}
    added = {place: re.findall(r"^\+ *(?:- )?([^+\s].*)$", diff, re.MULTILINE) for place, diff in diffs.items()}
    assert added["cp1", APISERVER] == ["--profiling=false"]
    assert added["w1", kubelet] == added["cp1", KUBELET] == ["enableProfilingHandler: false"]
    assert [line for line in added["cp1", KUBEADM] if line.startswith("name:")] == ["name: profiling"]


@pytest.mark.slow
def test_what_one_host_has_waived_stays_out_of_the_config_maps(story: Story) -> None:
    story.untouched  # noqa: B018
    words = {"reason": "an old client", "owner": "platform", "expires": "9999-12-31"}
    waivers = [
        {"control": "apiserver-profiling", **words},
        {"control": "kubelet-profiling", "hosts": ["w*"], **words},
        {"control": "kubelet-serving-certificate", **words},
    ]
    run = story.product.harden("--check", profile="cis", waivers=waivers).well()
    diffs: dict[tuple[str, str], str] = {}
    for change in run.changes:
        # What waits for the pulls of every node is written for itself.
        place = (change["host"], change["target"])
        diffs[place] = diffs.get(place, "") + change["diff"]
    assert "profiling" not in diffs["cp1", APISERVER]
    assert "enableProfilingHandler" in diffs["cp1", "/var/lib/kubelet/config.yaml"]
    assert "enableProfilingHandler" not in diffs["w1", "/var/lib/kubelet/config.yaml"] + diffs["cp1", KUBELET]
    assert "enableDebugFlagsHandler" in diffs["cp1", KUBELET]
    # That of kube-apiserver alone: the other components have their own.
    added = [line for line in diffs["cp1", KUBEADM].splitlines() if line.startswith("+")]
    assert len([line for line in added if line.endswith("name: profiling")]) == 2
    assert "kubelet-profiling is waived on w1, so ConfigMap kube-system/kubelet-config, which all hosts" in run.output
    assert not any("serverTLSBootstrap" in diff or "certificate-authority" in diff for diff in diffs.values())
    assert not any("CertificateSigningRequest" in target for _host, target in diffs)


# A value that only the component can refuse.


def test_the_trial_stops_a_value_that_the_component_refuses(story: Story) -> None:
    run, after = story.refused
    assert run.code == 2, str(run)
    assert set(run.messages) == {"cp1"}
    message = run.messages["cp1"]
    assert message.startswith(
        "KH205: kube-apiserver on cp1: its trial beside the running one failed: it ended with exit code 1"
    )
    assert "--tls-cipher-suites" in message
    assert "most likely --tls-cipher-suites is to blame" in message
    assert "missing an HTTP/2-required AES_128_GCM_SHA256 cipher" in message
    assert message.endswith("; nothing was restarted.")
    before = story.untouched
    assert differences(before.processes, after.processes) == []
    assert differences(before.content, after.content) == []
    assert differences(before.attributes["w1"], after.attributes["w1"]) == []
    assert differences(before.config_maps, after.config_maps) == []
    assert story.served["refused-by-trial"].failed == 0, story.served["refused-by-trial"].output
    assert story.cluster.ssh("cp1", "ls -A /etc/kubernetes/manifests").stdout.split() == [
        f"{name}.yaml" for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    ]


# Check mode, the run, the second run.


@each_version
def test_check_mode_touches_nothing(story: Story) -> None:
    run, before, after = story.foretold
    run.well()
    assert differences(before.attributes, after.attributes) == []
    assert differences(before.versions, after.versions) == []
    assert differences(before.processes, after.processes) == []
    assert differences(before.containers, after.containers) == []


@pytest.mark.on("1+1")
def test_preflight_says_that_the_cluster_is_ready_and_changes_nothing(story: Story) -> None:
    run, before, after = story.preflight
    run.well()
    assert "Ready: nothing keeps a run from beginning on 2 hosts. Nothing was changed." in run.output
    assert re.search(r"^The restarts would take about \d+ s: ", run.output, re.MULTILINE), run.output
    assert without_random(run.changes) == without_random(story.foretold[0].changes)
    # The trial's manifest lay in the one, for which it was made in the other.
    told = differences(before.attributes, after.attributes)
    assert [line for line in told if not re.match(r"cp1: [-+] /etc/kubernetes(/manifests)? d ", line)] == []
    assert differences(before.versions, after.versions) == []
    assert differences(before.processes, after.processes) == []


@each_version
def test_check_mode_foretells_the_run(story: Story) -> None:
    foretold, done = story.foretold[0].changes, story.hardened[0].well().changes
    assert without_random(foretold) == without_random(done)
    assert {change["host"] for change in done} == {"cp1", "w1"}
    restarts = {change["target"]: change["restart"] for change in done if change["kind"] == "manifest"}
    assert restarts[APISERVER] == ["kube-apiserver"]
    assert restarts[ETCD] == ["etcd", "kube-apiserver"]
    for run, seconds in ((story.foretold[0], r"about \d+"), (story.hardened[0], r"\d+")):
        row = re.search(rf"^cp1 +\d+ +(\S.*\S) +{seconds}$", run.output, re.MULTILINE)
        assert row, run.output
        assert {"etcd", "kube-apiserver"} <= set(row[1].split(", ")), run.output


@each_version
def test_the_run_restarts_what_it_announced_and_nothing_else(story: Story) -> None:
    before, (run, after) = story.foretold[2].processes, story.hardened
    for host in story.cluster.hosts:
        seen, said = restarted(before[host], after.processes[host]), announced(run.well().changes, host)
        assert said <= seen, host
        # These two end by themselves when the only API server is away for longer than their lease. kube-proxy is one
        # object of the API; the host through which it is changed announces it for all.
        of_all = {"kube-proxy"} & announced(run.changes, "cp1")
        assert seen - said <= {"kube-controller-manager", "kube-scheduler", *of_all}, host
    assert "kube-apiserver" in announced(run.changes, "cp1")


@each_version
def test_etcd_was_there_before_its_api_server_started(story: Story) -> None:
    processes = story.hardened[1].processes["cp1"]
    assert story.foretold[2].processes["cp1"]["etcd"] != processes["etcd"]
    assert started(processes, "etcd") <= started(processes, "kube-apiserver")


@each_version
def test_etcd_agrees_to_authenticated_encryption_only(story: Story) -> None:
    strong = {
        "any": "TLSv1.3",
        "ECDHE-RSA-AES128-GCM-SHA256": "TLSv1.2",
        "ECDHE-RSA-CHACHA20-POLY1305": "TLSv1.2",
    }
    assert story.etcd_suites_before == {**strong, "ECDHE-RSA-AES128-SHA": "TLSv1.2"}
    story.hardened[0].well()
    assert story.product.etcd_suites("cp1") == {**strong, "ECDHE-RSA-AES128-SHA": "refused"}


def test_the_figure_of_a_single_control_plane_is_known(story: Story) -> None:
    """One control plane cannot serve while it restarts; the figure is printed and kept, not limited."""
    story.hardened[0].well()
    served = story.served["hardened"]
    assert served.requests > 100
    # So this poller can fail: an API server of which there is only one was away.
    assert served.failed > 0


def test_untouched_lines_of_the_manifest_stay_and_nothing_in_it_is_evaluated(story: Story) -> None:
    (change,) = [change for change in story.hardened[0].well().changes if change["target"] == APISERVER]
    flag = re.compile(r"^([+-])    - (--[a-z-]+)=")
    signs: dict[str, set[str]] = {"+": set(), "-": set()}
    for line in change["diff"].splitlines()[2:]:
        match = flag.match(line)
        if match:
            signs[match[1]].add(match[2])
        # Beside flags, lines only come.
        assert match or not line.startswith("-"), line
    # A flag's line goes only where its new one comes.
    assert signs["-"] < signs["+"]
    text = story.cluster.ssh("cp1", f"cat {APISERVER}").stdout
    assert text.startswith(f"# {MARKER}\n")
    assert not story.product.exists("cp1", EVALUATED)
    assert not Path(EVALUATED).exists()


@each_version
def test_a_second_run_changes_nothing(story: Story) -> None:
    run, before, after = story.again
    run.well()
    assert run.changed == {"cp1": 0, "w1": 0}, str(run)
    assert run.changes == []
    # It verifies at its end. What only its owner can mend does not make a good run a failed one.
    verified = run.verified
    for host in story.cluster.hosts:
        assert {name for name, status in verified.statuses(host).items() if status in ("fail", "unknown")} == set()
    assert "fail" in verified.statuses("cluster").values()
    assert differences(before.attributes, after.attributes) == []
    assert differences(before.processes, after.processes) == []
    assert differences(before.containers, after.containers) == []
    assert differences(before.versions, after.versions) == []


@each_version
def test_a_run_without_changes_starts_few_modules(story: Story) -> None:
    """Each costs a third of a second and more of every run; verify at the end included."""
    story.again[0].well()
    print(f"modules started: {story.module_starts}")
    # Where none was counted none left its line.
    assert all(0 < count <= 12 for count in story.module_starts.values()), story.module_starts


# What is in force.


@newest_and_oldest
def test_kube_bench_finds_only_the_owner_of_etcds_directory_in_profile_baseline(story: Story) -> None:
    after = story.bench_after
    assert {host: of_this_slice(failed) for host, failed in after.items()} == {"cp1": {"1.1.12"}, "w1": set()}
    assert all(after[host] <= story.bench_before[host] for host in after)


@newest_and_oldest
def test_what_kube_bench_leaves_in_profile_baseline_stands_in_the_page_with_its_reason(story: Story) -> None:
    story.bench_after  # noqa: B018
    assert differences(story.said_in_the_page("baseline"), story.product.left_by_bench("baseline")) == []


def test_pods_run_on_and_logs_and_exec_work(story: Story) -> None:
    story.hardened[0].well()
    (status,) = story.cluster.objects("pod", "steady")["status"]["containerStatuses"]
    assert (status["restartCount"], status["ready"]) == (0, True)
    story.cluster.kubectl("exec", "steady", "--", "/bin/sh", "-c", "echo said-after-the-run >/proc/1/fd/1")
    assert "said-after-the-run" in story.cluster.kubectl("logs", "steady").stdout


def test_certificates_and_kubeconfigs_of_kubeadms_are_adopted_as_they_are(story: Story) -> None:
    written = {change["target"] for change in story.hardened[0].well().changes if change["kind"] == "file"}
    pki = {target for target in written if target.startswith("/etc/kubernetes/pki/")}
    assert not pki | {target for target in written if re.fullmatch(r"/etc/kubernetes/[a-z-]+\.conf", target)}
    assert "is to be issued anew" not in story.hardened[0].output


def test_kubeadm_would_write_the_manifest_that_is_running(story: Story) -> None:
    """`kubeadm upgrade` and `kubeadm join` render from the ConfigMap: the same flags and mounts."""
    story.hardened[0].well()
    configuration = story.product.config_maps()["kubeadm-config"]["ClusterConfiguration"]
    init = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n"
    init += "localAPIEndpoint: {advertiseAddress: 10.213.0.11}\n"
    story.cluster.ssh("cp1", "cat >/root/rendered.yaml", stdin=f"{init}---\n{configuration}")
    command = "KUBEADM_INIT_DRYRUN_DIR=/root kubeadm init phase control-plane apiserver --dry-run"
    story.cluster.ssh("cp1", f"{command} --config /root/rendered.yaml")
    rendered = story.cluster.ssh("cp1", "cat /root/kube-apiserver.yaml").stdout
    live = story.cluster.ssh("cp1", f"cat {APISERVER}").stdout
    flag = re.compile(r"^\s+- (--\S+)$", re.MULTILINE)
    assert set(flag.findall(live)) == set(flag.findall(rendered))
    mount = re.compile(r"^\s+- mountPath: (\S+)$", re.MULTILINE)
    # No place is named twice, which the kubelet would refuse.
    assert sorted(mount.findall(live)) == sorted(mount.findall(rendered))
    assert {"/etc/kubernetes/kubeharden", "/var/log/kubernetes/audit"} <= set(mount.findall(live))
    command = "KUBEADM_INIT_DRYRUN_DIR=/root kubeadm init phase etcd local --dry-run"
    story.cluster.ssh("cp1", f"{command} --config /root/rendered.yaml")
    rendered = story.cluster.ssh("cp1", "cat /root/etcd.yaml").stdout
    live = story.cluster.ssh("cp1", f"cat {ETCD}").stdout
    assert set(flag.findall(live)) == set(flag.findall(rendered))
    assert "--tls-min-version=TLS1.2" in flag.findall(live)


def test_the_mode_of_a_packaged_unit_stays_when_the_package_is_installed_again(story: Story) -> None:
    story.hardened[0].well()
    units = ("/usr/lib/systemd/system/kubelet.service", "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf")
    plain = "/usr/lib/lab-kubelet/plain"
    modes = f"chmod 600 {plain}; dpkg --install /root/lab-kubelet.deb >/dev/null; stat -c %a {' '.join(units)} {plain}"
    for host in story.cluster.hosts:
        # The package does put its modes back, but not those of the units.
        assert story.cluster.ssh(host, modes).stdout.split() == ["600", "600", "644"], host


def test_changes_json_names_the_run_and_its_mode(story: Story) -> None:
    for run, mode in ((story.foretold[0], "check"), (story.hardened[0], "run")):
        document = json.loads((run.report / "changes.json").read_text(encoding="utf-8"))
        assert document["mode"] == mode
        assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{4}", document["run_id"])
    backup = f"/var/lib/kubeharden/backups/{document['run_id']}"
    assert story.cluster.ssh("cp1", f"stat -c %a /var/lib/kubeharden {backup}").stdout.split() == ["700", "700"]
    assert backup in story.hardened[0].output


def test_a_worker_joins_the_hardened_cluster_and_limit_hardens_it_alone(story: Story) -> None:
    """Here the only worker leaves and joins anew, with kubeadm's own commands."""
    story.bench_after  # noqa: B018
    cluster, product = story.cluster, story.product
    cluster.kubectl("delete", "pod", "steady", "--now")
    cluster.kubectl("delete", "node", "w1")
    cluster.ssh("w1", "kubeadm reset --force")
    join = cluster.ssh("cp1", "kubeadm token create --print-join-command").stdout.strip()
    cluster.ssh("w1", f"{join} --ignore-preflight-errors=all")
    cluster.wait_quiet()
    control_plane = product.attributes("cp1")
    versions = product.versions()
    run = product.harden("--limit", "w1").well()
    assert set(run.changed) == {"w1"}
    # kubeadm wrote what is in its ConfigMap, with the mode that it always gives.
    (change,) = run.changes
    assert (change["host"], change["kind"], change["target"]) == ("w1", "attributes", "/var/lib/kubelet/config.yaml")
    assert differences(control_plane, product.attributes("cp1")) == []
    assert differences(versions, product.versions()) == []
    assert of_this_slice({line.split()[1] for line in cluster.kube_bench("w1") if line.startswith("FAIL")}) == set()


@two_versions_in_ci
def test_kube_bench_finds_nothing_in_profile_cis(story: Story) -> None:
    assert story.bench_cis == {"cp1": set(), "w1": set()}


@two_versions_in_ci
def test_what_kube_bench_leaves_in_profile_cis_stands_in_the_page_with_its_reason(story: Story) -> None:
    story.bench_cis  # noqa: B018
    left = story.product.left_by_bench("cis")
    assert differences(story.said_in_the_page("cis"), left) == []
    warns_of_no_more_than_is_promised(left, story.cluster.control_planes, story.cluster.lab.minor)


def test_profile_cis_gives_etcds_directory_away_and_etcd_goes_on_writing(story: Story) -> None:
    before = story.again[2].processes["cp1"]["etcd"]
    changes = story.cis.well().changes
    made = {(change["host"], change["kind"], change["target"]): change["restart"] for change in changes}
    assert made["cp1", "user", "etcd"] == made["cp1", "attributes", "/var/lib/etcd"] == []
    assert story.cluster.ssh("cp1", "stat -c '%U:%G %a' /var/lib/etcd").stdout == "etcd:etcd 700\n"
    assert story.product.processes("cp1")["etcd"] == before
    story.cluster.kubectl("create", "configmap", "written-after-cis")
    story.cluster.kubectl("delete", "configmap", "written-after-cis")


def test_profile_cis_refuses_privileged_pods_but_where_there_were_some(story: Story) -> None:
    run = story.cis.well()
    (change,) = [change for change in run.changes if change["target"] == "/etc/kubernetes/kubeharden/admission.yaml"]
    assert '+          - "watchers"' in change["diff"]
    assert "Namespace watchers becomes exempt from Pod Security, since level baseline refuses pods" in run.output
    pod = PRIVILEGED.format(node="w1", image=TEST_IMAGE).replace("name: watcher\n", "name: another\n")
    create = ("create", "--dry-run=server", "-f", "-")
    story.cluster.kubectl(*create, stdin=pod)
    elsewhere = pod.replace("namespace: watchers", "namespace: default")
    refusal = story.cluster.kubectl(*create, stdin=elsewhere, check=False)
    assert 'violates PodSecurity "baseline:latest"' in refusal.stderr


@pytest.mark.slow
def test_an_exemption_stays_without_its_pods_until_the_namespace_has_a_level_of_its_own(story: Story) -> None:
    story.cis.well()
    cluster, check = story.cluster, ("--check", "--tags", "apiserver")
    cluster.kubectl("delete", "pod", "watcher", "--namespace", "watchers", "--now")
    kept = story.product.harden(*check, profile="cis").well()
    assert kept.changes == []
    assert "Exempt from Pod Security since an earlier run: watchers." in kept.output
    cluster.kubectl("label", "namespace", "watchers", "pod-security.kubernetes.io/enforce=privileged")
    (change,) = story.product.harden(*check, profile="cis").well().changes
    assert '-          - "watchers"' in change["diff"]


def test_profile_cis_of_every_node(story: Story) -> None:
    """kube-proxy with one right, a kubelet that insists on its kernel and names the certificate that it serves."""
    story.cis.well()
    current = "/var/lib/kubelet/pki/kubelet-server-current.pem"
    served = "openssl s_client -connect 127.0.0.1:10250 </dev/null 2>/dev/null | openssl x509 -noout -serial"
    for host in story.cluster.hosts:
        rights = story.cluster.ssh(host, "grep CapEff /proc/$(pidof kube-proxy)/status").stdout.split()[1]
        assert int(rights, 16) == 1 << 12, host  # CAP_NET_ADMIN
        story.cluster.ssh(host, "curl -sSk --max-time 5 -o /dev/null https://10.96.0.1/version")
        story.cluster.ssh(host, "grep -q 'kernel.panic = 10' /etc/sysctl.d/90-kubeharden.conf")
        configuration = story.cluster.ssh(host, "cat /var/lib/kubelet/config.yaml").stdout
        assert {"protectKernelDefaults: true", f"tlsCertFile: {current}"} <= set(configuration.splitlines()), host
        stored = story.cluster.ssh(host, f"openssl x509 -noout -serial -in {current}").stdout
        assert story.cluster.ssh(host, served).stdout == stored, host
    assert "protectKernelDefaults" not in story.product.config_maps()["kubelet-config"]["kubelet"]
