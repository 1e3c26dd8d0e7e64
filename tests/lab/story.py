# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One cluster's way from what kubeadm made to a hardened one: each step is taken once, whichever test asks first."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from lab.kubelab.harness import Cluster, Served
from lab.kubelab.prepare import TEST_IMAGE
from lab.product import BAD_CIPHERS, HardenRun, Product, VerifyRun, keep_figures, shape_of
from tools.reference import left_by_kube_bench

OPERATOR = ("-e", "ansible_user=engineer", "--become")
"""An ordinary user with sudo."""

EVALUATED = "/tmp/evaluated-by-kubeharden"
MARKER = "{{ lookup('ansible.builtin.pipe', 'touch " + EVALUATED + "') }} {{ marker }} {% raw %}"
"""What must stay text in a host's file."""

OF_THE_OWNER = frozenset({
    "default-account-tokens",
    "namespaces-default-unused",
    "namespaces-network-policy",
    "namespaces-pod-security",
    "versions-patched",
    "versions-supported",
})  # fmt: skip
"""What no run mends: the lab's pods lie in the namespace default with its account's token, its namespaces have neither
level nor policy, and it runs versions that are older than the newest."""

QUIET = 3.0
"""The load, of the minute before a run and of its last, below which nothing but the hosts of the lab was at work."""

LATE = 10
"""How many answers may come late from a cluster that is well, on a busy machine; 8 were seen (docs/measured.md).

Clients that one API server of three leaves hanging meet more within seconds.
"""

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 0
  containers:
  - name: probe
    image: {image}
    args: [serve]
"""

PRIVILEGED = """\
apiVersion: v1
kind: Pod
metadata:
  name: watcher
  namespace: watchers
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 0
  containers:
  - name: probe
    image: {image}
    args: [serve]
    securityContext: {{privileged: true}}
"""
"""A pod that Pod Security's level baseline refuses."""

# The manifest is replaced as a whole: what an editor leaves beside it would be a manifest of its own.
_PREPARE = """
id engineer >/dev/null 2>&1 || useradd --create-home --shell /bin/bash engineer
install -d -m 700 -o engineer -g engineer /home/engineer/.ssh
install -m 600 -o engineer -g engineer /root/.ssh/authorized_keys /home/engineer/.ssh/authorized_keys
echo 'engineer ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/engineer
manifest=/etc/kubernetes/manifests/kube-apiserver.yaml
if test -e $manifest && ! grep -q kubeharden $manifest; then
  { echo "# $1"; cat $manifest; } >/etc/kubernetes/new.yaml
  chmod 600 /etc/kubernetes/new.yaml
  mv /etc/kubernetes/new.yaml $manifest
fi
"""

# A package as distributions ship the kubelet's units, and one more file that nobody hardens.
_PACKAGE = """
mkdir -p /root/deb/DEBIAN /root/deb/usr/lib/systemd/system/kubelet.service.d /root/deb/usr/lib/lab-kubelet
cd /root/deb
cp /usr/lib/systemd/system/kubelet.service usr/lib/systemd/system/
cp /usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf usr/lib/systemd/system/kubelet.service.d/
echo plain >usr/lib/lab-kubelet/plain
find usr -type f -exec chmod 644 {} +
printf '%s\\n' 'Package: lab-kubelet' 'Version: 1.0' 'Architecture: all' 'Maintainer: lab <lab@lab.invalid>' \
  'Description: the units of the kubelet' >DEBIAN/control
dpkg-deb --root-owner-group --build /root/deb /root/lab-kubelet.deb
dpkg --install /root/lab-kubelet.deb
"""


@dataclasses.dataclass
class State:
    """Everything about a cluster that a run might change, by host where it is a host's."""

    attributes: dict[str, list[str]]
    content: dict[str, list[str]]
    processes: dict[str, dict[str, str]]
    containers: dict[str, list[str]]
    versions: dict[str, str]
    config_maps: dict[str, dict[str, str]]


class Story:
    """The steps, in their order.

    Args:
        cluster: As kubeadm made it.
        profile: What the first run hardens it to.
    """

    def __init__(self, cluster: Cluster, profile: str) -> None:
        self.cluster = cluster
        self.profile = profile
        self.product = Product(cluster)
        self.served: dict[str, Served] = {}
        #: By host, the modules that the second run started there; empty before.
        self.module_starts: dict[str, int] = {}
        #: The same of the first of both looks after the first run.
        self.verify_starts: dict[str, int] = {}
        self._prepare()

    def _prepare(self) -> None:
        pod = POD.format(name="steady", node=self.cluster.workers[0], image=TEST_IMAGE)
        self.cluster.kubectl("apply", "-f", "-", stdin=pod)
        self.cluster.kubectl("create", "namespace", "watchers")
        watcher = PRIVILEGED.format(node=self.cluster.control_planes[0], image=TEST_IMAGE)
        self.cluster.kubectl("apply", "-f", "-", stdin=watcher)
        for host in self.cluster.hosts:
            self.cluster.ssh(host, f"set -- {_quoted(MARKER)}; set -eu; {_PREPARE}")
            self.cluster.ssh(host, f"set -eu; {_PACKAGE}")
        self.cluster.kubectl("wait", "--for=condition=Ready", "pod/steady", "--timeout=120s")

    def look(self) -> State:
        """The cluster as it is now."""
        product = self.product
        return State(
            product.on_each(product.attributes),
            product.on_each(product.content),
            product.on_each(product.processes),
            product.on_each(product.containers),
            product.versions(),
            product.config_maps(),
        )

    def keep(self, name: str, served: Served) -> None:
        """Print the poller's figures and keep them below build/artefacts."""
        self.served[name] = served
        keep_served(self.cluster, name, served)

    @functools.cached_property
    def bench_before(self) -> dict[str, set[str]]:
        """The checks that kube-bench fails on what kubeadm made."""
        return self.product.bench("before")

    @functools.cached_property
    def verified_before(self) -> tuple[VerifyRun, State, State]:
        """Verify on what kubeadm made, in check mode, and the cluster before and after it."""
        before = self.look()
        return self.product.verify("--check"), before, self.look()

    @functools.cached_property
    def untouched(self) -> State:
        """What kubeadm made."""
        return self.look()

    @functools.cached_property
    def etcd_suites_before(self) -> dict[str, str]:
        """What the first control plane's etcd agrees to before it is hardened."""
        return self.product.etcd_suites(self.cluster.control_planes[0])

    @functools.cached_property
    def refused(self) -> tuple[HardenRun, State]:
        """A run with a value that only the component can refuse, and the cluster after it."""
        self.untouched  # noqa: B018
        flags = {"kube-apiserver": {"tls-cipher-suites": BAD_CIPHERS}}
        trial = len(self.cluster.control_planes) == 1
        with self.cluster.poller() as served:
            run = self.product.harden(extra_flags=flags, trial=trial)
        self.keep("refused-by-trial" if trial else "put-back-by-gate", served)
        return run, self.look()

    @functools.cached_property
    def foretold(self) -> tuple[HardenRun, State, State]:
        """A check run, and the cluster before and after it; with one fork where that takes no minutes."""
        before = self.look()
        forks = ("--forks", "1") if len(self.cluster.control_planes) == 1 else ()
        run = self.product.harden("--check", "--diff", *forks, *OPERATOR, profile=self.profile)
        return run, before, self.look()

    @functools.cached_property
    def preflight(self) -> tuple[HardenRun, State, State]:
        """Preflight after that, and the cluster before and after it."""
        before = self.foretold[2]
        return (
            self.product.play(
                "preflight.yml",
                *OPERATOR,
            ),
            before,
            self.look(),
        )

    @functools.cached_property
    def hardened(self) -> tuple[HardenRun, State]:
        """The run that hardens the cluster, by an ordinary user with sudo, and the cluster after it."""
        self.bench_before  # noqa: B018
        if self.profile == "baseline":
            self.verified_before  # noqa: B018  (what is asked of it is asked of these clusters)
        self.foretold  # noqa: B018
        self.etcd_suites_before  # noqa: B018
        with self.cluster.poller() as served:
            run = self.product.harden("--diff", *OPERATOR, profile=self.profile)
        self.keep("hardened", served)
        self.cluster.wait_quiet()
        return run, self.look()

    @functools.cached_property
    def bench_after(self) -> dict[str, set[str]]:
        """The checks that kube-bench fails after that."""
        self.hardened[0].well()
        return self.product.bench(self.profile)

    @functools.cached_property
    def verified_after(self) -> tuple[VerifyRun, VerifyRun, State, State]:
        """Verify after kube-bench has looked too, twice, and the cluster before and after both."""
        self.bench_after  # noqa: B018
        before = self.look()
        ends = {host: self.product.journal_end(host) for host in self.cluster.hosts}
        first = self.product.verify(fail_on="high")
        self.verify_starts = {host: self.product.module_starts(host, end) for host, end in ends.items()}
        return first, self.product.verify(fail_on="high"), before, self.look()

    @functools.cached_property
    def again(self) -> tuple[HardenRun, State, State]:
        """A second run, which verifies at its end, and the cluster before and after it."""
        self.hardened[0].well()
        before = self.look()
        ends = {host: self.product.journal_end(host) for host in self.cluster.hosts}
        run = self.product.harden(verified=True, profile=self.profile)
        self.module_starts = {host: self.product.module_starts(host, end) for host, end in ends.items()}
        return run, before, self.look()

    @functools.cached_property
    def cis(self) -> HardenRun:
        """A run with the profile cis, and kube-bench has seen what there was before."""
        if self.profile == "cis":
            return self.hardened[0]
        self.verified_after  # noqa: B018
        return self.product.harden(profile="cis")

    @functools.cached_property
    def bench_cis(self) -> dict[str, set[str]]:
        """The checks that kube-bench fails after that."""
        if self.profile == "cis":
            return self.bench_after
        self.cis.well()
        return self.product.bench("cis")

    @functools.cached_property
    def verified_cis(self) -> VerifyRun:
        """Verify after that."""
        self.bench_cis  # noqa: B018
        return self.product.verify(profile="cis", fail_on="high")

    def said_in_the_page(self, profile: str) -> dict[str, set[tuple[str, str]]]:
        """By host, what docs/controls.md says that kube-bench fails and warns of."""
        older = {("WARN", "4.2.9")} if int(self.cluster.lab.minor.split(".")[1]) < 36 else set()
        return {
            host: left_by_kube_bench(profile, "control_plane" if host in self.cluster.control_planes else "worker")
            | older
            for host in self.cluster.hosts
        }


def keep_served(cluster: Cluster, name: str, served: Served) -> None:
    """Print the poller's figures of a cluster and keep them below build/artefacts."""
    figures = {key: getattr(served, key) for key in ("requests", "failed", "kept", "longest", "failures")}
    keep_figures("poller", cluster, name, figures)
    print(f"poller {shape_of(cluster)} {name}: requests {served.requests} F {served.failed} K {served.kept}")


def lost(served: Served, run: HardenRun) -> list[dict[str, Any]]:
    """What clients lost on new connections, or of events, while a run was at work.

    On a machine that is busy with other things an answer may take more than the poller's 5 s from a server that nobody
    has touched: there a few of them are no word on the run. What is refused, reset or cut off always counts.
    """
    failed = [failure for failure in served.failures if failure["counts"] == "failed"]
    assert len(failed) == served.failed, served.output
    late = [failure for failure in failed if failure["reason"].startswith(("took ", "TimeoutError"))]
    is_busy = max(run.load) >= QUIET
    return [one for one in failed if one not in late] if is_busy and len(late) <= LATE else failed


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


_stories: dict[str, Story] = {}


def story_of(cluster: Cluster, profile: str = "baseline") -> Story:
    """The cluster's story; it begins when it is asked for first."""
    key = str(cluster.directory)
    if key not in _stories:
        _stories[key] = Story(cluster, profile)
    return _stories[key]


def leave(cluster: Cluster, host: str) -> None:
    """A host leaves for good, as Kubernetes' documentation has it, and a new machine takes its place."""
    cluster.ssh(host, "kubeadm reset --force")
    cluster.kubectl("delete", "node", host)
    on_it = ("--field-selector", f"spec.nodeName={host}", "--all-namespaces")
    # Whoever else tidies up may be the first.
    cluster.kubectl("delete", "pods", *on_it, "--force", "--grace-period=0", "--ignore-not-found")
    cluster.renew(host)
    old = "/etc/kubernetes /var/lib/kubelet /var/lib/etcd /var/lib/kubeharden"
    assert cluster.ssh(host, f"find {old} -type f", check=False).stdout == "", host


def is_ready(cluster: Cluster, host: str) -> bool:
    """Whether a host's node is there and Ready."""
    wait = ("wait", "--for=condition=Ready", f"node/{host}", "--timeout=5s")
    return cluster.kubectl(*wait, check=False).returncode == 0


def differences(before: Any, after: Any) -> list[str]:
    """What differs between two looks, one line each, so that a failed test names it."""
    if isinstance(before, dict) and isinstance(after, dict):
        found = []
        for key in sorted(set(before) | set(after)):
            found += [f"{key}: {line}" for line in differences(before.get(key), after.get(key))]
        return found
    if isinstance(before, (list, set)) and isinstance(after, (list, set)):
        gone = [f"- {line}" for line in before if line not in after]
        return gone + [f"+ {line}" for line in after if line not in before]
    return [] if before == after else [f"- {before}", f"+ {after}"]
