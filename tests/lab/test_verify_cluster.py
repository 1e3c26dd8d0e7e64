# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""verify.yml on the story of one control plane and one worker: beside kube-bench before and after a run, and broken."""

from __future__ import annotations

import json
import time

import pytest
import yaml

from lab.kubelab.harness import Cluster
from lab.product import Product, VerifyRun
from lab.story import OF_THE_OWNER, Story, differences, story_of
from tools import catalogue_page

MANIFESTS = "/etc/kubernetes/manifests"

NEWEST = pytest.param(marks=pytest.mark.on("1+1"), id="newest")
OLDEST = pytest.param(marks=[pytest.mark.on("1+1", version="1.34"), pytest.mark.slow], id="1.34")
newest_and_oldest = pytest.mark.parametrize((), [NEWEST, OLDEST])

#: Checks that kube-bench fails and we do not, and why ours is right.
NOT_OURS = {
    # Another owner of etcd's directory keeps nobody out while etcd runs as root; profile cis gives it away anyway.
    "1.1.12": "explained",
    # They are absent before a run, and the defaults of 1.36 and newer are 366 days, 100 files and 100 MB.
    "1.2.17": "pass",
    "1.2.18": "pass",
    "1.2.19": "pass",
}


def after_as_the_page_says(run: VerifyRun, profile: str) -> None:
    """Of each check of sections 1 to 4, our verdict on the control plane after a run is that of docs/controls.md."""
    page = catalogue_page.seen_after(catalogue_page.cis(), profile)
    ours = {**run.by_check("cluster"), **run.by_check("cp1")}
    assert differences(page, {check: ours.get(check) for check in page}) == []
    rows_as_the_page_says(run, profile)


def rows_as_the_page_says(run: VerifyRun, moment: str) -> None:
    """Our verdict on each row of the tables beside kubescape and the STIG is that of docs/controls.md."""
    rows = {name: ours for name, ours in catalogue_page.rows().items() if catalogue_page.row(ours, moment)}
    for name, ours in list(rows.items()):
        # Who made etcd's directory, and how, differs from host to host; the kernel is that of the lab's machine.
        if set(ours) & {"files-etcd-data-directory", "kubelet-kernel-defaults"}:
            del rows[name]
    said = {**run.statuses("cluster"), **run.statuses("cp1")}
    page = {name: catalogue_page.row(ours, moment) for name, ours in rows.items()}
    seen = {name: catalogue_page.worst(said[control] for control in ours) for name, ours in rows.items()}
    assert differences(page, seen) == []


def left(run: VerifyRun) -> dict[tuple[str, str], str]:
    """What failed or could not be judged, but for what is the owner's, with the evidence."""
    return {
        (one["host"], one["control"]): one["evidence"]
        for one in run.report["results"]
        if one["status"] in ("fail", "unknown") and not (one["host"] == "cluster" and one["control"] in OF_THE_OWNER)
    }


def verdicts(run: VerifyRun) -> dict[str, str]:
    """By host and control, what was said."""
    return {f"{one['host']} {one['control']}": one["status"] for one in run.report["results"]}


@pytest.fixture
def story(cluster: Cluster) -> Story:
    return story_of(cluster)


def unmoved(before: object, after: object) -> None:
    """Nothing that a run might touch differs between two looks."""
    for name in ("attributes", "content", "processes", "containers", "versions", "config_maps"):
        assert differences(getattr(before, name), getattr(after, name)) == [], name


def beside_kube_bench(run: VerifyRun, failed: dict[str, set[str]]) -> dict[str, dict[str, str]]:
    """By host, what we say of each check of sections 1 to 4 that kube-bench fails, where that is no failure."""
    return {
        host: {
            check: status
            for check, status in run.by_check(host).items()
            if check in checks and status != "fail" and not check.startswith("5.")
        }
        for host, checks in failed.items()
    }


def as_the_page_says(story: Story, run: VerifyRun) -> None:
    """Of each check of sections 1 to 4, both verdicts on the control plane are those of docs/controls.md."""
    page = catalogue_page.seen(catalogue_page.cis())
    del page["1.1.11"]  # who made etcd's directory, and how, differs from host to host
    theirs = {check: result for result, check in story.product.left_by_bench("before")["cp1"]}
    ours = {**run.by_check("cluster"), **run.by_check("cp1")}
    seen = {check: (theirs.get(check, "PASS"), ours.get(check)) for check in page}
    assert differences(page, seen) == []
    rows_as_the_page_says(run, "before")


@newest_and_oldest
def test_verify_on_what_kubeadm_made_changes_nothing_and_fails_what_kube_bench_fails(story: Story) -> None:
    run, before, after = story.verified_before
    assert run.code == 0, str(run)
    assert run.complaints == [], str(run)
    assert set(run.changed.values()) == {0}
    unmoved(before, after)
    for host, others in beside_kube_bench(run, story.bench_before).items():
        known = {"1.2.5", "1.2.30"} | set(NOT_OURS)  # the first two are explained: baseline does not enforce them
        assert set(others) <= known, (host, others)
    if story.cluster.lab.minor >= "1.37":
        as_the_page_says(story, run)
    # What kube-bench lets pass, since it looks at no default and at no port.
    statuses = run.statuses("cp1")
    assert statuses["apiserver-anonymous"] == "fail"
    assert statuses["probe-old-tls"] == "pass"
    assert statuses["probe-anonymous-etcd"] == "pass"
    assert statuses["probe-audit-record"] == "fail"
    assert statuses["probe-hsts"] == "fail"
    # Nor is anything that Kubernetes and kubeadm themselves give to somebody a finding.
    rights = {name: one for name, one in run.statuses("cluster").items() if name.startswith(("rbac-", "cluster-admin"))}
    assert set(rights.values()) == {"pass"}, {name: run.evidence("cluster", name) for name in rights}
    # The controller is within the lab's network.
    assert {run.statuses(host)["probe-outside"] for host in story.cluster.hosts} == {"pass"}


@newest_and_oldest
def test_verify_after_a_run_finds_nothing_of_weight_and_changes_nothing(story: Story) -> None:
    run, again, before, after = story.verified_after
    assert (run.code, again.code) == (0, 0), str(run)
    unmoved(before, after)
    assert left(run) == {}
    if story.cluster.lab.minor >= "1.37":
        after_as_the_page_says(run, "baseline")
    # A second look finds the same, and changes nothing.
    assert differences(verdicts(run), verdicts(again)) == []
    assert set(run.changed.values()) == set(again.changed.values()) == {0}
    for host in story.cluster.hosts:
        # What the run wrote is what kubelets say of themselves.
        assert "the kubelet itself reports" in run.evidence(host, "kubelet-profiling")
    # What was done is seen, not read off a flag.
    statuses = run.statuses("cp1")
    assert {statuses[name] for name in ("probe-audit-record", "probe-audit-bodies", "probe-hsts")} == {"pass"}
    assert "level Metadata" in run.evidence("cp1", "probe-audit-record")
    assert "plain text: " in run.evidence("cp1", "probe-stored-secrets")
    assert run.statuses("w1")["probe-audit-record"] == "not_applicable"
    assert {run.statuses(host)["kube-proxy-privileges"] for host in story.cluster.hosts} == {"explained"}


@newest_and_oldest
def test_one_call_looks_at_each_host_and_one_more_at_the_cluster(story: Story) -> None:
    story.verified_after  # noqa: B018
    assert story.verify_starts == {"cp1": 2, "w1": 1}


@newest_and_oldest
def test_verify_after_profile_cis_explains_only_what_no_profile_enforces(story: Story) -> None:
    run = story.verified_cis
    assert run.code == 0, str(run)
    assert left(run) == {}
    explained = {control for host in story.cluster.hosts for control, status in run.statuses(host).items()
                 if status == "explained"}  # fmt: skip
    if story.cluster.lab.minor >= "1.37":
        after_as_the_page_says(run, "cis")
        for host in story.cluster.hosts:
            statuses = run.statuses(host)
            assert {statuses["kube-proxy-privileges"], statuses["kube-proxy-files"]} == {"pass"}, statuses
    else:  # below, every upgrade would take it back
        explained -= {"kube-proxy-privileges", "kube-proxy-files"}
    # Every node pulls what the lab's pods run, so the run has switched it on.
    assert run.statuses("cp1")["apiserver-always-pull-images"] == "pass", run.evidence(
        "cp1", "apiserver-always-pull-images"
    )
    assert explained <= {
        "apiserver-encryption",
        "apiserver-encryption-provider",
        "apiserver-user-authentication",
        "kubelet-kernel-defaults",
        "probe-stored-secrets",
    }


#: What takes a right that only root has on a hardened control plane: to read manifests, the kubelet's configuration,
#: the environment of etcd's process, the audit log and the API server's keys.
NEEDS_ROOT = (
    "apiserver-paths-mounted",
    "etcd-plain-listeners",
    "kubelet-configuration-keys",
    "manifests-directory",
    "probe-audit-record",
    "probe-hsts",
    "probe-stored-secrets",
    "static-pod-probes",
)


@pytest.mark.on("1+1")
def test_a_user_who_may_only_read_is_told_what_is_missing(story: Story) -> None:
    story.verified_after  # noqa: B018
    run = story.product.verify("-e", "ansible_user=engineer")
    assert run.code == 0, str(run)
    assert "Traceback" not in run.output
    told = {name: (run.statuses("cp1")[name], run.evidence("cp1", name)) for name in NEEDS_ROOT}
    assert {name: one for name, one in told.items() if one[0] != "unknown" or "become" not in one[1]} == {}
    # Whatever could not be seen says what was lacking, that of the API too.
    unknown = [one for one in run.report["results"] if one["status"] == "unknown"]
    assert [one for one in unknown if "become: true" not in one["evidence"]] == []
    assert "/etc/kubernetes/admin.conf cannot be read" in run.evidence("cluster", "rbac-secrets")
    # Arguments of processes are open to everybody, what the keys' owner alone may read is not.
    assert run.statuses("cp1")["apiserver-profiling"] == "pass"
    # So are versions, which a newer patch makes a finding.
    patches = ("etcd-patched", "versions-patched")
    shared = {name: status for name, status in run.statuses("cluster").items() if name not in patches}
    assert set(shared.values()) <= {"unknown", "pass", "not_applicable"}, shared


_READER = """
set -eu
umask 077
export KUBECONFIG=/etc/kubernetes/admin.conf
cp /etc/kubernetes/admin.conf /root/reader.conf
token=$(kubectl -n watchers create token reader)
kubectl --kubeconfig /root/reader.conf config set-credentials reader --token="$token"
kubectl --kubeconfig /root/reader.conf config set-context --current --user=reader
kubectl --kubeconfig /root/reader.conf config unset users.kubernetes-admin
"""


@pytest.mark.slow
@pytest.mark.on("1+1")
def test_who_may_only_read_a_part_of_the_api_is_told_which_right_is_missing(story: Story) -> None:
    story.verified_after  # noqa: B018
    cluster = story.cluster
    cluster.kubectl("-n", "watchers", "create", "serviceaccount", "reader")
    cluster.kubectl("create", "clusterrolebinding", "reader", "--clusterrole=view", "--serviceaccount=watchers:reader")
    try:
        cluster.ssh("cp1", _READER)
        run = story.product.verify(kubeconfig="/root/reader.conf")
    finally:
        cluster.ssh("cp1", "rm -f /root/reader.conf")
        cluster.kubectl("delete", "clusterrolebinding", "reader")
        cluster.kubectl("-n", "watchers", "delete", "serviceaccount", "reader")
    assert run.code == 0, str(run)
    statuses = run.statuses("cluster")
    for control, resource in (("rbac-secrets", "clusterroles"), ("bootstrap-tokens", "secrets")):
        assert statuses[control] == "unknown", control
        said = run.evidence("cluster", control)
        assert f'"system:serviceaccount:watchers:reader" cannot list resource "{resource}"' in said, said
    # Pods may be seen with that role.
    assert statuses["pods-secrets-in-environment"] != "unknown", run.evidence("cluster", "pods-secrets-in-environment")


BREAK = f"""
set -eu
chmod 644 {MANIFESTS}/etcd.yaml
chown nobody /etc/kubernetes/scheduler.conf
cp {MANIFESTS}/kube-scheduler.yaml /root/kept.yaml
# The probes as kubeadm renders them of that address: without a host.
sed -e '/--profiling=/d' -e 's/--bind-address=127.0.0.1/--bind-address=0.0.0.0/' -e '/^ *host: 127.0.0.1$/d' \\
    /root/kept.yaml >/root/new.yaml
chmod 600 /root/new.yaml
echo nothing >{MANIFESTS}/notes.txt
mv /root/new.yaml {MANIFESTS}/kube-scheduler.yaml
"""
BROKEN = {
    "files-etcd-manifest",
    "files-scheduler-kubeconfig-owner",
    "manifests-directory",
    "probe-local-ports",
    "probe-outside",
    "scheduler-bind-address",
    "scheduler-profiling",
}


def probed_well(cluster: Cluster) -> bool:
    """Whether the kubelet's startup probe of a scheduler on the loopback is answered; it ends what it is not of."""
    for _attempt in range(120):
        for pod in cluster.objects("pods", "-n", "kube-system", "-l", "component=kube-scheduler")["items"]:
            command = pod["spec"]["containers"][0]["command"]
            started = [one.get("started") for one in pod["status"].get("containerStatuses") or []]
            if "--bind-address=127.0.0.1" in command and started == [True]:
                return True
        time.sleep(1)
    return False


@pytest.mark.slow
@pytest.mark.on("1+1")
def test_what_is_broken_out_of_band_is_named_exactly_and_mended_by_a_run(story: Story) -> None:
    story.verified_cis  # noqa: B018
    cluster, product = story.cluster, story.product
    old = product.processes("cp1")["kube-scheduler"]
    cluster.ssh("cp1", BREAK)
    wait = "for i in $(seq 100); do pgrep -f 'kube-schedule[r] .*bind-address=0.0.0.0' && exit 0; sleep 1; done; exit 1"
    cluster.ssh("cp1", wait)
    assert product.processes("cp1")["kube-scheduler"] != old
    cluster.wait_quiet()
    broken = product.verify(profile="cis", fail_on="high")
    assert broken.code == 2, str(broken)
    found = {control for control, status in broken.statuses("cp1").items() if status in ("fail", "unknown")}
    assert found == BROKEN, {control: broken.evidence("cp1", control) for control in found ^ BROKEN}
    assert "fail" not in broken.statuses("w1").values()
    drift = broken.statuses("cluster")["kubeadm-drift"]
    assert drift == "fail", broken.evidence("cluster", "kubeadm-drift")
    cluster.ssh("cp1", f"rm {MANIFESTS}/notes.txt")
    product.harden(profile="cis").well()
    assert "host: 127.0.0.1" in cluster.ssh("cp1", f"cat {MANIFESTS}/kube-scheduler.yaml").stdout
    assert probed_well(cluster)
    mended = product.verify(profile="cis", fail_on="high")
    assert mended.code == 0, str(mended)
    assert mended.statuses("cp1") == story.verified_cis.statuses("cp1")


ENCRYPT = f"""
set -eu
umask 077
cat >/etc/kubernetes/pki/encryption.yaml <<END
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - aescbc:
      keys: [{{name: key-of-tests, secret: $(head -c 32 /dev/urandom | base64)}}]
  - identity: {{}}
END
echo do-not-show-token,nobody,1 >/etc/kubernetes/pki/tokens.csv
flags='    - --encryption-provider-config=/etc/kubernetes/pki/encryption.yaml'
flags="$flags\\n    - --token-auth-file=/etc/kubernetes/pki/tokens.csv"
sed -e "s|^    - kube-apiserver\\$|&\\n$flags|" {MANIFESTS}/kube-apiserver.yaml >/root/new.yaml
mv /root/new.yaml {MANIFESTS}/kube-apiserver.yaml
"""


def shows_neither_key_nor_token(cluster: Cluster, run: VerifyRun) -> None:
    """Of files that the API server was given, the first of which was opened."""
    key = cluster.ssh("cp1", "grep -oE '[A-Za-z0-9+/]{43}=' /etc/kubernetes/pki/encryption.yaml").stdout.strip()
    assert "Secrets are written by aescbc" in run.evidence("cp1", "apiserver-encryption")
    assert "/etc/kubernetes/pki/tokens.csv" in run.evidence("cp1", "apiserver-static-tokens")
    journal = cluster.ssh("cp1", "journalctl --no-pager -o cat").stdout
    for secret in (key, "do-not-show-token"):
        assert secret
        for text in (run.output, json.dumps(run.report), journal):
            assert secret not in text


@pytest.mark.slow
@pytest.mark.on("1+1", name="encrypted")
def test_a_marker_shows_how_the_next_secret_is_stored_and_is_gone_afterwards(cluster: Cluster) -> None:
    """A cluster of its own: what encrypts is not ours to switch off again."""
    product = Product(cluster)
    product.harden().well()
    before = product.versions()
    run = product.verify(probe_writes=True)
    assert (run.statuses("cp1")["probe-marker"], run.statuses("cp1")["probe-audit-bodies"]) == ("explained", "pass")
    assert "was stored in plain text, and was removed" in run.evidence("cp1", "probe-marker")
    assert differences(before, product.versions()) == []
    assert "marker-" not in json.dumps(run.report) + run.output
    # In check mode nothing is made.
    assert product.verify("--check", probe_writes=True).statuses("cp1")["probe-marker"] == "not_applicable"

    old = product.processes("cp1")["kube-apiserver"]
    cluster.ssh("cp1", ENCRYPT)
    for _attempt in range(120):
        if product.processes("cp1").get("kube-apiserver", old) != old:
            break
        time.sleep(1)
    cluster.wait_quiet()
    run = product.verify("-vvvv", "--diff", probe_writes=True)
    shows_neither_key_nor_token(cluster, run)
    assert run.statuses("cp1")["probe-marker"] == "pass"
    assert "stored by aescbc with key key-of-tests" in run.evidence("cp1", "probe-marker")
    # What was there before lies there as it was, until it is written again.
    assert "plain text: " in run.evidence("cp1", "probe-stored-secrets")
    assert run.statuses("cp1")["apiserver-encryption"] == "pass"
    secrets = json.dumps(cluster.objects("secrets", "--all-namespaces"))
    cluster.kubectl("replace", "-f", "-", stdin=secrets)
    assert product.verify().statuses("cp1")["probe-stored-secrets"] == "pass"


#: Looks at the arguments and environments of all processes, over and over, until it is told to end: prints the modules
#: that were among them, and the processes in which one of the texts of its input stood.
_SAMPLER = """
import glob, os, re, sys
needles = [line.encode() for line in open("/run/sampler-needles").read().split()]
seen, shown = set(), set()
while not os.path.exists("/run/sampler-end"):
    for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
        try:
            data = open(path, "rb").read()
        except OSError:
            continue
        seen.update(re.findall(rb"AnsiballZ_(\\w+)", data))
        shown.update(path for needle in needles if needle in data)
print(b" ".join(sorted(seen)).decode(), sorted(shown))
"""
#: The middle of keys and certificates' keys as kubeconfigs have them, long enough to be nothing else's.
_OF_KUBECONFIG = "sed -n 's/.*client-key-data: *//p' {path} | cut -c 100-160"


@pytest.mark.slow
@pytest.mark.on("1+1")
def test_no_secret_of_a_live_host_is_shown_at_any_verbosity(story: Story) -> None:
    """In what is printed, the reports, the journal and the processes' arguments, with keys and kubeconfigs' keys."""
    story.verified_after  # noqa: B018
    cluster = story.cluster
    needles = [
        cluster.ssh("cp1", _OF_KUBECONFIG.format(path=path)).stdout.strip()
        for path in ("/etc/kubernetes/admin.conf", "/etc/kubernetes/scheduler.conf")
    ]
    needles += [
        cluster.ssh("cp1", f"sed -n 3p /etc/kubernetes/pki/{key}").stdout.strip() for key in ("ca.key", "sa.key")
    ]
    assert min(map(len, needles)) > 40, [len(one) for one in needles]
    cluster.ssh("cp1", "umask 077; rm -f /run/sampler-*; cat >/run/sampler-needles", stdin="\n".join(needles))
    cluster.ssh("cp1", "cat >/run/sampler.py && systemd-run --unit sampler -p StandardOutput=file:/run/sampler-out "
                "python3 /run/sampler.py", stdin=_SAMPLER)  # fmt: skip
    try:
        # What is piped to an interpreter is no argument. Here modules are files, so that one is seen to be looked at.
        run = story.product.verify("-vvvv", "--check", "--diff", "-e", "ansible_pipelining=false")
    finally:
        cluster.ssh("cp1", "touch /run/sampler-end; while systemctl is-active -q sampler; do sleep 0.2; done")
    sampled = cluster.ssh("cp1", "cat /run/sampler-out; rm -f /run/sampler*").stdout
    assert run.code == 0, run.output[-4000:]
    assert "verify_host" in sampled
    assert sampled.rstrip().endswith("[]"), sampled
    journal = cluster.ssh("cp1", "journalctl --no-pager -o cat").stdout
    for needle in needles:
        for text in (run.output, json.dumps(run.report), journal):
            assert needle not in text


@pytest.mark.on("1+1")
def test_no_secret_is_in_a_report(story: Story) -> None:
    run = story.verified_after[0]
    text = json.dumps(run.report)
    token = story.cluster.ssh("cp1", "kubeadm token list -o jsonpath='{.token}' | head -1").stdout.strip()
    key = story.cluster.ssh("cp1", "sed -n 5p /etc/kubernetes/pki/ca.key").stdout.strip()
    journal = story.cluster.ssh("cp1", "journalctl --no-pager -o cat").stdout
    assert key
    assert journal
    for secret in (key, token.partition(".")[2] or key):
        assert secret not in text
        assert secret not in run.output
        assert secret not in journal


#: Carries what comes to an address of the host to the same port of its loopback.
_RELAY = """
import socket, sys, threading
def carry(source, target):
    while data := source.recv(65536):
        target.sendall(data)
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    client = server.accept()[0]
    inner = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
    for ends in ((client, inner), (inner, client)):
        threading.Thread(target=carry, args=ends, daemon=True).start()
"""


def address_of(cluster: Cluster, control_plane: str) -> str:
    """Where Ansible reaches a control plane."""
    inventory = yaml.safe_load(cluster.inventory.read_text(encoding="utf-8"))
    return str(inventory["all"]["children"]["kube_control_plane"]["hosts"][control_plane]["ansible_host"])


@pytest.mark.slow
@pytest.mark.on("1+1")
def test_what_carries_a_port_of_the_loopback_to_the_network_is_found(story: Story) -> None:
    """The scheduler's flags are right, and still its port is reached from elsewhere."""
    story.verified_after  # noqa: B018
    cluster = story.cluster
    address = address_of(cluster, "cp1")
    cluster.ssh(
        "cp1", f"cat >/run/relay.py && systemd-run --unit relay python3 /run/relay.py {address} 10259", stdin=_RELAY
    )
    try:
        run = story.product.verify()
    finally:
        cluster.ssh("cp1", "systemctl stop relay; rm /run/relay.py")
    statuses = run.statuses("cp1")
    assert statuses["scheduler-bind-address"] == "pass"
    assert (statuses["probe-local-ports"], statuses["probe-outside"]) == ("fail", "fail")
    assert "kube-scheduler listens on port 10259" in run.evidence("cp1", "probe-local-ports")
    assert run.evidence("cp1", "probe-outside").startswith(
        f"kube-scheduler at {address}:10259, asked from the controller"
    )


#: Answers as an API server does without credentials.
_API = """
import http.server
class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"kind": "APIVersions", "versions": ["v1"]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("192.0.2.2", 8080), Api).serve_forever()
"""
#: What CNI's portmap does for hostPort 8080 of a pod, with a network that is nobody else's.
_HOST_PORT = """
set -eu
cat >/run/api.py
ip netns add far
ip link add far0 type veth peer name far1 netns far
ip addr add 192.0.2.1/30 dev far0
ip link set far0 up
ip -n far addr add 192.0.2.2/30 dev far1
ip -n far link set far1 up
ip -n far route add default via 192.0.2.1
systemd-run --unit far ip netns exec far python3 /run/api.py
iptables -t nat -I PREROUTING -d {address} -p tcp --dport 8080 -j DNAT --to-destination 192.0.2.2:8080
iptables -I FORWARD -i far0 -j ACCEPT
iptables -I FORWARD -o far0 -j ACCEPT
"""
_NO_HOST_PORT = """
iptables -D FORWARD -o far0 -j ACCEPT
iptables -D FORWARD -i far0 -j ACCEPT
iptables -t nat -D PREROUTING -d {address} -p tcp --dport 8080 -j DNAT --to-destination 192.0.2.2:8080
systemctl stop far
ip netns del far
rm -f /run/api.py
"""


@pytest.mark.slow
@pytest.mark.on("1+1")
def test_a_port_of_old_that_leads_to_a_pod_and_is_no_socket_of_the_host_is_found(story: Story) -> None:
    story.verified_after  # noqa: B018
    cluster = story.cluster
    address = address_of(cluster, "cp1")
    cluster.ssh("cp1", _HOST_PORT.format(address=address), stdin=_API)
    try:
        run = story.product.verify()
    finally:
        cluster.ssh("cp1", _NO_HOST_PORT.format(address=address))
    assert run.statuses("cp1")["probe-plain-ports"] == "fail", run.evidence("cp1", "probe-plain-ports")
    said = run.evidence("cp1", "probe-plain-ports")
    assert said == f"port 8080 at {address}, asked from the controller, answers without credentials"
    assert run.statuses("w1")["probe-plain-ports"] == "pass"
