# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written into kubeadm's memory is read by the lab's real kubeadm, in the older form of a past cluster too.

Only programs that the lab's cache has already are asked; nothing is compiled for it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from _pytest.mark import ParameterSet

from ansible_collections.kubeharden.core.plugins.module_utils.components.clusterconfig import ClusterConfiguration
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kubeadm import plan_cluster_configuration
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.plan import plan_component
from ansible_collections.kubeharden.core.tests.unit.plugins import templates
from lab.kubelab import components
from lab.test_version_table import of_version, program
from tools.checkout import ROOT

pytestmark = pytest.mark.lab

FIXTURES = ROOT / "tests" / "unit" / "fixtures" / "kubeadm-1.37.1" / "plain"
MANIFESTS = "/etc/kubernetes/manifests"
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
#: As kubeadm up to 1.30 wrote it, and as it still lies in the ConfigMap of a cluster that was upgraded since.
OLD = """\
apiServer:
  extraArgs:
    authorization-mode: Node,RBAC
  timeoutForControlPlane: 4m0s
apiVersion: kubeadm.k8s.io/v1beta3
certificatesDir: /etc/kubernetes/pki
clusterName: kubernetes
controllerManager: {{}}
dns: {{}}
etcd:
  local:
    dataDir: /var/lib/etcd
imageRepository: registry.k8s.io
kind: ClusterConfiguration
kubernetesVersion: {version}
networking:
  dnsDomain: cluster.local
  serviceSubnet: 10.96.0.0/12
scheduler: {{}}
"""


def forms() -> list[ParameterSet]:
    """Each version with the forms that its kubeadm reads: 1.37 has dropped the older one."""
    found = []
    for minor in components.minors():
        read = ("v1beta4",) if int(minor.split(".")[1]) >= 37 else ("v1beta3", "v1beta4")
        found += [of_version(minor, form) for form in read]
    return found


def hardened(tmp_path: Path, minor: str) -> dict[str, Any]:
    """What profile cis makes of the static pods of a control plane."""
    root = tmp_path / "host"
    (root / MANIFESTS.lstrip("/")).mkdir(parents=True)
    for component in COMPONENTS:
        shutil.copy(FIXTURES / f"{component}.yaml", root / MANIFESTS.lstrip("/"))
    known: dict[str, Any] = {
        "kubeharden_profile": "cis",
        "control_planes": 3,
        "minor": int(minor.split(".")[1]),
        "etcd_version": "3.5.24",
    }
    state = {}
    for component in COMPONENTS:
        files = templates.contents(**known) if component == "kube-apiserver" else {}
        wanted = templates.flags(component, **known)
        path = f"{MANIFESTS}/{component}.yaml"
        state[component] = plan_component(Host(str(root)), component, path, wanted, files).state()
    return state


def flags_of(part: dict[str, Any] | None) -> dict[str, str]:
    """The arguments of a component as the newer form has them."""
    return {one["name"]: one["value"] for one in (part or {}).get("extraArgs") or []}


@pytest.mark.parametrize(("minor", "form"), forms())
def test_kubeadm_reads_all_of_what_is_written_into_its_memory(tmp_path: Path, minor: str, form: str) -> None:
    kubeadm = program(minor, "kubeadm")
    version = subprocess.run(
        [kubeadm, "version", "--output=short"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    ).stdout.strip()
    before = OLD.format(version=version)
    if form == "v1beta4":
        before = re.sub(r"extraArgs:\n    (\S+): (\S+)\n", r"extraArgs:\n  - name: \1\n    value: \2\n", before)
        before = before.replace("v1beta3", form).replace("  timeoutForControlPlane: 4m0s\n", "")
    after, controls = plan_cluster_configuration(before, [hardened(tmp_path, minor)])
    assert len(controls) > 20
    written = tmp_path / "written.yaml"
    written.write_text(after, encoding="utf-8")
    done = subprocess.run(
        [kubeadm, "config", "migrate", "--old-config", written],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # A field that it does not know it passes over with a warning.
    assert "unknown field" not in done.stderr, done.stderr
    (read,) = [one for one in yaml.safe_load_all(done.stdout) if one["kind"] == "ClusterConfiguration"]
    ours = ClusterConfiguration.parse(after)
    parts = {
        "kube-apiserver": read["apiServer"],
        "kube-controller-manager": read["controllerManager"],
        "kube-scheduler": read["scheduler"],
        "etcd": read["etcd"]["local"],
    }
    for component, part in parts.items():
        assert flags_of(part) == dict(ours.extra_args(component)), component
        assert len(flags_of(part)) > 1, component
    mounted = {one["mountPath"]: bool(one.get("readOnly")) for one in read["apiServer"]["extraVolumes"]}
    assert mounted["/etc/kubernetes/kubeharden"] is True
    assert mounted["/var/log/kubernetes/audit"] is False
