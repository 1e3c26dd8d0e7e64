# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every control that is enforced is broken behind harden.yml's back, named by verify, and mended: on live hosts.

A component's settings are broken together in one restart, and one after the other, each beside those before it. What a
directory shows is in test_directory_mutations.py.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

import pytest
import yaml

from lab import mutations
from lab.breaker import MANIFESTS, script
from lab.kubelab.harness import Cluster
from lab.mutations import API, ETCD, FILES, KUBELET, MANAGER, PROXY, SCHEDULER, Mutation
from lab.product import VerifyRun, wait_until
from lab.story import OF_THE_OWNER, Story, story_of

OF_CLUSTER = ("kubeadm-drift", "kubelet-drift")
STATIC_PODS = (API, MANAGER, SCHEDULER, ETCD)
Failing = set[tuple[str, str]]


def failing(run: VerifyRun) -> Failing:
    """What fails or could not be judged, as host and control."""
    return {(one["host"], one["control"]) for one in run.report["results"] if one["status"] in ("fail", "unknown")}


class Breaking:
    """Breaks what profile cis has hardened, a step at a time, and looks what verify makes of it."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.cluster, self.product = story.cluster, story.product
        self.before = failing(story.verified_cis)
        # So that nothing which is broken was so before.
        assert {control for _host, control in self.before} <= OF_THE_OWNER, self.before
        self._expected: Failing = set()

    def step(self, broken: Sequence[Mutation], hosts: Sequence[str]) -> None:
        """Break some more, and assert that verify names exactly what is broken by now."""
        for host in hosts:
            self._break(host, broken)
            self._expected |= {named for one in broken for named in self._named(one, host)}
        self.cluster.wait_quiet()
        run = self.product.verify(profile="cis")
        assert run.code == 0, str(run)
        assert "Traceback" not in run.output
        found = failing(run) - self.before
        assert found == self._expected, {
            (host, control): run.evidence(host, control) for host, control in found ^ self._expected
        }

    def _named(self, one: Mutation, host: str) -> Failing:
        """What verify names of it; what is broken through the API is broken on every node."""
        hosts = self.cluster.hosts if one.patch else [host]
        return {
            (place, control)
            for control in one.fails_live
            for place in (["cluster"] if control in OF_CLUSTER else hosts)
        }

    def mend(self) -> None:
        """One run mends everything, and what it verifies at its end is what was there before."""
        run = self.product.harden(profile="cis", verified=True)
        assert run.code == 0, str(run)
        assert failing(run.verified) == self.before, failing(run.verified) ^ self.before

    def _break(self, host: str, broken: Sequence[Mutation]) -> None:
        changes = [change for one in broken for change in one.changes]
        processes = self.product.processes(host)
        if changes:
            self.cluster.ssh(host, "python3 -", stdin=script(changes))
        self._patch([one for one in broken if one.patch])
        for component in sorted({one.component for one in broken}):
            self._restart(host, component, processes.get(component, ""), changes)

    def _restart(self, host: str, component: str, before: str, changes: Sequence[dict[str, object]]) -> None:
        """Wait until the component runs with what was changed."""
        if component == KUBELET:
            self.cluster.ssh(host, "systemctl restart kubelet")
        elif component in STATIC_PODS:
            if not any(change["path"] == f"{MANIFESTS}/{component}.yaml" for change in changes):
                self.cluster.ssh(host, f"kill {before.split(maxsplit=1)[0]}")

            def another() -> bool:
                return self.product.processes(host).get(component, before) != before

            wait_until(f"{component} of {host} was started anew", 180, another, 1)
        if component in (API, ETCD):
            ready = "curl -sk --max-time 5 https://127.0.0.1:6443/readyz | grep -qx ok"
            wait_until(
                f"the API server of {host} is ready",
                180,
                lambda: self.cluster.ssh(host, ready, check=False).returncode == 0,
                1,
            )
        if component == KUBELET:
            healthy = "curl -s --max-time 5 http://127.0.0.1:10248/healthz | grep -qx ok"
            wait_until(
                f"the kubelet of {host} is healthy",
                60,
                lambda: self.cluster.ssh(host, healthy, check=False).returncode == 0,
                1,
            )

    def _patch(self, broken: Sequence[Mutation]) -> None:
        """Break what is kube-proxy's, through the API, and wait until every node has it."""
        if not broken:
            return
        fields: dict[str, object] = {}
        for one in broken:
            assert one.patch
            target, name, value = one.patch
            if target == mutations.CONFIG_MAP:
                fields[name] = value
            elif name == "securityContext":
                self._patch_pods({"containers": [{"name": "kube-proxy", name: {"$patch": "replace", **value}}]})
            else:
                self._patch_pods({"volumes": [{"name": "kube-proxy", "configMap": {name: value}}]})
        if fields:
            found = self.cluster.objects("configmap", "kube-proxy", "-n", "kube-system")["data"]["config.conf"]
            text = yaml.safe_dump({**yaml.safe_load(found), **fields})
            self._kubectl_patch("configmap/kube-proxy", {"data": {"config.conf": text}})
        self.cluster.kubectl("-n", "kube-system", "rollout", "restart", "daemonset/kube-proxy")
        self.cluster.kubectl("-n", "kube-system", "rollout", "status", "daemonset/kube-proxy", "--timeout=180s")

    def _patch_pods(self, spec: dict[str, object]) -> None:
        self._kubectl_patch("daemonset/kube-proxy", {"spec": {"template": {"spec": spec}}})

    def _kubectl_patch(self, target: str, patch: dict[str, object]) -> None:
        self.cluster.kubectl("-n", "kube-system", "patch", target, "--type=strategic", "-p", json.dumps(patch))


@pytest.fixture
def breaking(cluster: Cluster) -> Breaking:
    return Breaking(story_of(cluster))


def live(*components: str, apart: bool = False) -> list[Mutation]:
    """What is broken on live hosts of some components."""
    return [
        one for name in components for one in mutations.of(name, "live") if not one.refused and bool(one.apart) == apart
    ]


@pytest.mark.on("1+1")
def test_what_a_worker_has_is_broken_together_named_exactly_and_mended(breaking: Breaking) -> None:
    """The kubelet and the files of a worker; make test says by name that the rest is left to make test-all."""
    cluster = breaking.cluster
    cluster.ssh("w1", "python3 -", stdin=script(list(mutations.SET_UP)))
    mine = [one for one in live(KUBELET, FILES) if one.everywhere]
    assert {one.component for one in mine} == {KUBELET, FILES}
    breaking.step(mine, ["w1"])
    breaking.mend()


SETS = (
    pytest.param((API,), id=API),
    pytest.param((MANAGER, SCHEDULER), id="controllers"),
    pytest.param((ETCD,), id=ETCD),
    pytest.param((PROXY,), id=PROXY),
    pytest.param((FILES,), id=FILES),
    pytest.param((KUBELET,), id=KUBELET),
)


@pytest.mark.slow
@pytest.mark.on("1+1")
@pytest.mark.parametrize("components", SETS)
def test_a_components_settings_broken_together_are_named_exactly_and_mended(
    breaking: Breaking, components: tuple[str, ...]
) -> None:
    breaking.cluster.ssh("cp1", "python3 -", stdin=script(list(mutations.SET_UP)))
    breaking.step(live(*components), ["cp1"])
    breaking.mend()


@pytest.mark.slow
@pytest.mark.on("1+1")
@pytest.mark.parametrize("components", SETS)
def test_each_setting_broken_beside_those_before_it_adds_exactly_its_own(
    breaking: Breaking, components: tuple[str, ...]
) -> None:
    breaking.cluster.ssh("cp1", "python3 -", stdin=script(list(mutations.SET_UP)))
    for one in live(*components):
        breaking.step([one], ["cp1"])
    breaking.mend()


@pytest.mark.slow
@pytest.mark.on("1+1")
def test_what_does_not_go_together_with_others_is_broken_by_itself(breaking: Breaking) -> None:
    for one in live(API, apart=True):
        breaking.step([one], ["cp1"])
    breaking.mend()


_REFUSED = [one for one in mutations.MUTATIONS if one.refused]
#: Starts the program of the running component once more, with other ports, etcd and the kubelet in their own directory.
_START = """
set -eu
python3 - ASKED <<'END'
import json, subprocess, sys, tempfile
component, change = json.loads(sys.argv[1])
pid = subprocess.run(["pgrep", "-xo", component], capture_output=True, text=True, check=True).stdout.strip()
words = open(f"/proc/{pid}/cmdline").read().rstrip("\\0").split("\\0")[1:]
own = tempfile.mkdtemp()
if component == "kubelet":
    import yaml
    (path,) = [word.partition("=")[2] for word in words if word.startswith("--config=")]
    # As profile cis has it, whatever this host is: without it the kubelet has no need of what is taken away.
    fields = {**yaml.safe_load(open(path)), "serverTLSBootstrap": True, change["field"]: change["value"]}
    with open(f"{own}/config.yaml", "w") as stream:
        yaml.safe_dump(fields, stream)
    words = [word for word in words if not word.startswith(("--config=", "--root-dir="))]
    words += [f"--config={own}/config.yaml", f"--root-dir={own}"]
else:
    words = [word for word in words if not word.startswith(f"--{change['flag']}=")]
    value = change.get("value") or ",".join(change.get("with", ()))
    words += [f"--{change['flag']}={value}"] if value else []
if component == "etcd":
    words = [word.replace(":23", ":33") for word in words if not word.startswith("--data-dir=")]
    words += [f"--data-dir={own}"]
if component == "kube-apiserver":
    words = [word.replace("--secure-port=6443", "--secure-port=16443") for word in words]
done = subprocess.run([f"/proc/{pid}/exe", *words], capture_output=True, text=True, timeout=60, check=False)
print(done.returncode, done.stdout, done.stderr)
END
"""


@pytest.mark.slow
@pytest.mark.on("1+1")
@pytest.mark.parametrize("mutation", _REFUSED, ids=lambda one: one.control)
def test_what_is_not_broken_on_a_live_host_is_refused_by_the_component_itself(
    cluster: Cluster, mutation: Mutation
) -> None:
    (change,) = mutation.changes
    command = _START.replace("ASKED", shlex.quote(json.dumps([mutation.component, change])))
    said = cluster.ssh("cp1", command).stdout
    assert not said.startswith("0 "), said
    assert mutation.refused in said, said
