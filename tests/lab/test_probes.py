# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probes on real hosts: processes, API server, container runtime, kubectl, logs, and how faults show there.

Each test sends the probes and a short program to a host, where it runs with the host's own Python and prints JSON.
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
from typing import Any

import pytest

from lab.kubelab.harness import CHECKOUT, Cluster

COMPONENTS = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]

PACKAGE = "ansible_collections/kubeharden/core/plugins/module_utils"

BEGIN = """
import dataclasses, json, os, subprocess, sys, time
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes import (
    api_client, belonging, cri, grpc, kubeconfig, kubectl, pod_logs, processes,
)

runtime = cri.Runtime("unix:///run/containerd/containerd.sock")


def run(args, *, data=None):
    done = subprocess.run(args, input=data, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def tell(**values):
    print(json.dumps(values, default=lambda value: value.decode() if isinstance(value, bytes) else vars(value)))


def sentence(function, *arguments):
    try:
        return repr(function(*arguments))
    except HardeningError as error:
        return str(error)


def wait(seconds, condition):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.5)

"""


def on_host(cluster: Cluster, host: str, program: str) -> Any:
    """Run ``program`` on a host with the probes importable; what it gave to ``tell``."""
    source = CHECKOUT / "plugins" / "module_utils"
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for path in [source / "errors.py", source / "yaml_data.py", *sorted((source / "probes").glob("*.py"))]:
            archive.add(path, f"{PACKAGE}/{path.relative_to(source)}")
        entry = tarfile.TarInfo("program.py")
        content = (BEGIN + program).encode()
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    folder = "d=$(mktemp -d) && trap 'rm -rf $d' EXIT && base64 -d | tar xz -C $d && cd $d"
    command = f"{folder} && HOME=$d/home python3 program.py"
    done = cluster.ssh(host, command, stdin=base64.b64encode(data.getvalue()).decode())
    return json.loads(done.stdout)


def test_processes_containers_and_logs_of_a_control_plane(cluster: Cluster) -> None:
    seen = on_host(
        cluster,
        cluster.control_planes[0],
        f"""
found = {{}}
for name in {COMPONENTS!r}:
    (process,) = processes.find(name)
    (container,) = runtime.containers(state=cri.RUNNING, labels={{cri.LABEL_CONTAINER_NAME: name}})
    (sandbox,) = runtime.sandboxes(state=cri.READY, labels={{cri.LABEL_POD_UID: container.pod_uid}})
    status = runtime.container(container.id)
    manifest = open(f"/etc/kubernetes/manifests/{{name}}.yaml").read()
    found[name] = dict(
        same=processes.same(process),
        belongs=belonging.find(name) == [process],
        program=belonging.program(process) == f"/proc/{{process.pid}}/exe",
        not_in_manifest=[word for word in process.arguments if word not in manifest],
        started=abs(process.started - status.started),
        state=status.state,
        log=os.path.exists(status.log_path),
        folder=os.path.isdir(f"/var/log/pods/kube-system_{{sandbox.name}}_{{sandbox.uid}}"),
        lines=pod_logs.last_lines(container.pod_uid, name),
        image=runtime.image(status.image) is not None,
    )
tell(
    found=found,
    version=runtime.version(),
    images=len(runtime.images()),
    absent=[runtime.image("registry.invalid/none:1"), runtime.container("0" * 64)],
    refused=sentence(runtime.stop_container, "0" * 64, 1),
)
""",
    )
    assert seen["version"]["runtime_name"] == "containerd"
    assert seen["version"]["api_version"] == "v1"
    assert seen["images"] >= len(COMPONENTS)
    assert seen["absent"] == [None, None]
    assert list(seen["found"]) == COMPONENTS
    for found in seen["found"].values():
        lines = found.pop("lines")
        assert 1 <= len(lines) <= 5
        assert found.pop("started") < 5
        assert found == {
            "same": True,
            "belongs": True,
            "program": True,
            "not_in_manifest": [],
            "state": "running",
            "log": True,
            "folder": True,
            "image": True,
        }


def test_a_process_that_is_only_called_like_a_component_is_none(cluster: Cluster) -> None:
    """The kubelet and kube-proxy are; decoys are another user's, and one with process ids of its own."""
    seen = on_host(
        cluster,
        cluster.workers[0],
        """
NAMES = ("etcd", "kubelet", "kube-proxy")
decoy = ["bash", "-c", "exec -a $0 sleep 60"]


def told(one):
    return "decoy" if one.arguments[1:] == ["60"] else belonging.program(one) is not None


def called(find):
    return {name: sorted({str(told(one)) for one in find(name)}) for name in NAMES}


strangers = [subprocess.Popen([*decoy, name], user="nobody") for name in ("etcd", "kubelet")]
strangers.append(subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", *decoy, "kube-proxy"]))
try:
    wait(20, lambda: all("decoy" in some for some in called(processes.find).values()))
    tell(called=called(processes.find), found=called(belonging.find))
finally:
    for stranger in strangers:
        stranger.kill()
""",
    )
    assert all("decoy" in some for some in seen["called"].values())
    # Whoever may change kube-proxy's DaemonSet says what its program is, so that it is not for root to start.
    assert seen["found"] == {"etcd": [], "kubelet": ["True"], "kube-proxy": ["False"]}


def test_answers_of_the_api_server(cluster: Cluster) -> None:
    seen = on_host(
        cluster,
        cluster.control_planes[0],
        """
import ssl
config = kubeconfig.load("/etc/kubernetes/admin.conf")
local = "https://127.0.0.1:6443"
with open("/etc/kubernetes/pki/apiserver.crt") as stream:
    on_disk = ssl.PEM_cert_to_DER_cert(stream.read())
files = set(os.listdir("/tmp"))
tell(
    shown=repr(config),
    ready=api_client.ApiClient(config).get("/readyz"),
    local=api_client.ApiClient(config, local, verify_hostname="kubernetes").get("/livez"),
    authorised=api_client.ApiClient(config, local, verify_hostname="kubernetes")
    .get("/api/v1/namespaces/kube-system")
    .status,
    wrong_name=api_client.ApiClient(config, local).get("/livez"),
    nobody=api_client.ApiClient(config, "https://127.0.0.1:1").get("/livez"),
    own_certificate=api_client.ApiClient(None, "https://127.0.0.1:10257").get("/healthz"),
    leaf=api_client.tls_peer("127.0.0.1", 6443).certificate == on_disk,
    no_tls=api_client.tls_peer("127.0.0.1", 22).reason,
    new_files=sorted(set(os.listdir("/tmp")) - files),
    expired=[config.expired(time.time()), bool(config.expired(time.time() + 3660 * 86400))],
)
""",
    )
    assert "PRIVATE KEY" not in seen["shown"]
    assert seen["ready"]["headers"]["content-length"] == "2"
    for answer in (seen["ready"], seen["local"]):
        assert {key: answer[key] for key in ("status", "body", "reason")} == {
            "status": 200,
            "body": "ok",
            "reason": None,
        }
    assert seen["authorised"] == 200
    assert seen["wrong_name"]["reason"].startswith("tls: ")
    assert seen["nobody"]["reason"] == "refused"
    assert seen["own_certificate"]["body"] == "ok"
    assert seen["leaf"] is True
    assert seen["no_tls"] == "tls: wrong version number"
    assert seen["new_files"] == []
    assert seen["expired"] == [None, True]


def test_config_maps_through_kubectl(cluster: Cluster) -> None:
    seen = on_host(
        cluster,
        cluster.control_planes[0],
        """
admin = "/etc/kubernetes/admin.conf"
client = kubectl.Kubectl(kubectl.find_kubectl(), admin, run)
kubeadm = client.get_config_map("kube-system", "kubeadm-config")
subprocess.run(["kubectl", "--kubeconfig", admin, "--cache-dir", "/tmp/probe-cache", "-n", "default", "create",
                "configmap", "probe-test", "--from-literal=a=1"], check=True, stdout=subprocess.DEVNULL)
try:
    first = client.get_config_map("default", "probe-test")
    client.replace_config_map(dataclasses.replace(first, data={"a": "2", "b": 'x: "y"\\n'}, annotations={"k": "v"}))
    second = client.get_config_map("default", "probe-test")
    conflict = sentence(client.replace_config_map, dataclasses.replace(first, data={"a": "3"}))
    third = client.get_config_map("default", "probe-test")
finally:
    subprocess.run(["kubectl", "--kubeconfig", admin, "--cache-dir", "/tmp/probe-cache", "-n", "default", "delete",
                    "configmap", "probe-test"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["rm", "-rf", "/tmp/probe-cache"], check=True)
with open(admin) as stream:
    broken = stream.read().replace(":6443", ":1")
with open("refused.conf", "w") as stream:
    stream.write(broken)


def other(path):
    return kubectl.Kubectl(client.path, path, run)


tell(
    data=sorted(kubeadm.data),
    versions=[first.resource_version, second.resource_version, third.resource_version],
    second=second,
    conflict=conflict,
    gone=sentence(client.replace_config_map, third),
    absent=[client.get_config_map("default", "probe-test"), client.get_config_map("no-such-namespace", "x")],
    forbidden=sentence(other("/etc/kubernetes/scheduler.conf").get_config_map, "kube-system", "kubeadm-config"),
    refused=sentence(other("refused.conf").get_config_map, "kube-system", "kubeadm-config"),
    left=os.path.exists(os.path.expanduser("~/.kube")),
)
""",
    )
    assert seen["data"] == ["ClusterConfiguration"]
    assert seen["second"]["data"] == {"a": "2", "b": 'x: "y"\n'}
    assert seen["second"]["annotations"] == {"k": "v"}
    assert seen["versions"][0] != seen["versions"][1] == seen["versions"][2]
    assert "changed by someone else" in seen["conflict"]
    assert "it is no longer there" in seen["gone"]
    assert seen["absent"] == [None, None]
    assert "may not do this" in seen["forbidden"]
    assert "refuses connections" in seen["refused"]
    assert seen["left"] is False, "a raw request writes no cache"


STATIC_PODS = """
images = {tag.rsplit("/", 1)[1].split(":")[0]: tag for image in runtime.images() for tag in image.tags}
MANIFESTS = "/etc/kubernetes/manifests/"


def pod(name, command, image, missing_directory=None):
    container = {"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "command": command}
    spec = {"containers": [container], "priorityClassName": "system-node-critical", "terminationGracePeriodSeconds": 1}
    if missing_directory:
        spec["volumes"] = [{"name": "v", "hostPath": {"path": missing_directory, "type": "Directory"}}]
        container["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
    metadata = {"name": name, "namespace": "kube-system"}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def lay(name, content):
    os.makedirs(MANIFESTS, exist_ok=True)
    with open("/etc/kubernetes/." + name, "w") as stream:
        stream.write(content)
    os.rename("/etc/kubernetes/." + name, MANIFESTS + name + ".yaml")


def containers(name):
    return runtime.containers(labels={cri.LABEL_CONTAINER_NAME: name})


def take_away(names):
    for name in names:
        os.unlink(MANIFESTS + name + ".yaml")
    wait(60, lambda: not any(containers(name) for name in names))

"""


def test_how_faults_show_without_the_api(cluster: Cluster) -> None:
    seen = on_host(
        cluster,
        cluster.workers[0],
        STATIC_PODS
        + """
begun = time.time()
server = images["kube-apiserver"]
faults = {
    "probe-flag": pod("probe-flag", ["kube-apiserver", "--no-such-flag"], server),
    "probe-program": pod("probe-program", ["nonsense"], server),
    "probe-image": pod("probe-image", ["x"], "registry.invalid/none:1"),
    "probe-mount": pod("probe-mount", ["kube-apiserver"], server, "/does/not/exist"),
    "probe-garbage": "{{ nonsense",
}


def journal(name):
    return " ".join(pod_logs.kubelet_journal(run, begun, about=name))


def failed(name):
    return any(c.state == cri.EXITED and c.attempt > 0 for c in containers(name))


try:
    for name, content in faults.items():
        lay(name, content)
    wait(90, lambda: failed("probe-flag") and failed("probe-program") and all(map(journal, faults)))
    newest = {name: (containers(name) or [None])[-1] for name in ("probe-flag", "probe-program")}
    tell(
        status={name: runtime.container(container.id) for name, container in newest.items()},
        lines={name: pod_logs.last_lines(container.pod_uid, name) for name, container in newest.items()},
        words=pod_logs.last_words(newest["probe-flag"].pod_uid, "probe-flag"),
        none=[containers("probe-image"), containers("probe-mount")],
        journal={name: journal(name) for name in faults},
    )
finally:
    take_away(faults)
""",
    )
    flag, program = seen["status"]["probe-flag"], seen["status"]["probe-program"]
    assert (flag["state"], flag["exit_code"], flag["reason"]) == ("exited", 1, "Error")
    assert flag["started"] <= flag["finished"]
    assert (program["state"], program["exit_code"], program["reason"]) == ("exited", 128, "StartError")
    assert "nonsense" in program["message"]
    assert seen["lines"] == {"probe-flag": ["Error: unknown flag: --no-such-flag"], "probe-program": []}
    assert seen["words"] == "Error: unknown flag: --no-such-flag"
    assert seen["none"] == [[], []]
    assert "CrashLoopBackOff" in seen["journal"]["probe-flag"]
    assert "ErrImagePull" in seen["journal"]["probe-image"]
    assert "MountVolume.SetUp failed" in seen["journal"]["probe-mount"]
    assert "couldn't parse as pod" in seen["journal"]["probe-garbage"]


def test_a_stopped_container_is_started_anew_by_the_kubelet(cluster: Cluster) -> None:
    seen = on_host(
        cluster,
        cluster.workers[0],
        STATIC_PODS
        + """
def running():
    return [c for c in containers("probe-runs") if c.state == cri.RUNNING]


lay("probe-runs", pod("probe-runs", ["etcd", "--data-dir=/tmp/probe"], images["etcd"]))
try:
    wait(60, running)
    (first,) = running()
    before = [p for p in processes.find("etcd") if "--data-dir=/tmp/probe" in p.arguments]
    runtime.stop_container(first.id, 5)
    stopped = runtime.container(first.id)
    same = [processes.same(p) for p in before]
    runtime.stop_container(first.id, 5)
    wait(60, running)
    (second,) = running()
    tell(first=first, stopped=stopped, same=same, second=second)
finally:
    take_away(["probe-runs"])
""",
    )
    assert seen["stopped"]["state"] == "exited"
    assert seen["same"] == [False]
    assert seen["second"]["attempt"] == seen["first"]["attempt"] + 1
    assert seen["second"]["sandbox_id"] == seen["first"]["sandbox_id"]


@pytest.mark.parametrize("socket", ["/run/containerd/absent.sock", "/run/systemd/private", "/run/systemd/notify"])
def test_a_socket_that_is_no_runtimes(cluster: Cluster, socket: str) -> None:
    program = f"""
begun = time.monotonic()
said = sentence(cri.Runtime({socket!r}, timeout=2).version)
tell(said=said, seconds=time.monotonic() - begun)
"""
    seen = on_host(cluster, cluster.workers[0], program)
    assert seen["said"].startswith(socket)
    assert seen["seconds"] < 4
