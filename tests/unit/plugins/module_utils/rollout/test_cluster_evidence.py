# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the API: pages, refusals and kubelets that do not answer."""

from __future__ import annotations

import base64
import json
import os
import threading
import tracemalloc
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.controls import api_findings
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, bundle, profile
from ansible_collections.kubeharden.core.plugins.module_utils.probes import small_files
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubeconfig import Kubeconfig
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.cluster_evidence import (
    ClusterCollector,
    credentials,
    server_of,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import DAY, NOW
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.probes import sockets
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.probes.conftest import Authority
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.probes.made_proc import (
    STATIC,
    LivingDirectory,
    MadeProc,
)


class Api:
    """Answers by the beginning of a path; anything else is an empty list."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def get(self, path: str, accept: str = "") -> Answer:
        self.asked.append(path)
        if "service-account-token" in path:
            assert "as=PartialObjectMetadataList" in accept  # no token is sent
        for beginning, answer in self.answers.items():
            if path.startswith(beginning):
                return answer
        return reply({"items": []})


def reply(document: t.Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(document).encode())


def collect(answers: dict[str, Answer]) -> tuple[dict[str, t.Any], Api]:
    api = Api(answers)
    return ClusterCollector(api, NOW, clock=lambda: 0.0).collect(), api  # type: ignore[arg-type]


def secret(name: str, expiration: str) -> dict[str, t.Any]:
    values = {"token-id": name, "token-secret": "0123456789abcdef", "expiration": expiration}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items() if value}
    return {"metadata": {"name": f"bootstrap-token-{name}", "namespace": "kube-system"}, "data": data}


def test_a_list_is_read_to_its_end() -> None:
    page = reply({"items": [{"metadata": {"name": "b"}}], "metadata": {"continue": ""}})
    first = reply({"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "more"}})
    found, api = collect({"/api/v1/namespaces?limit=40&continue=more": page, "/api/v1/namespaces?": first})
    assert found["findings"]["namespaces_pod_security"]["findings"] == ["a has no level", "b has no level"]
    assert found["findings"]["namespaces_pod_security"]["looked_at"] == 2
    assert len(api.asked) > len(api_findings.NEEDS) / 2


def test_a_control_plane_asks_its_own_server_where_the_one_of_the_kubeconfig_is_down(tmp_path: Path) -> None:
    """By the name that kubeadm's certificates have everywhere: its address may not be among the names."""
    authority = Authority("kubernetes")
    pair = authority.issue("kube-apiserver")
    file = tmp_path / "server.pem"
    file.write_bytes(pair.certificate + pair.key)
    known = Kubeconfig("/etc/kubernetes/admin.conf", "c", "u", "https://127.0.0.1:1", ca=authority.certificate)
    empty = b'HTTP/1.0 200 OK\r\n\r\n{"items": []}'
    made = MadeProc(tmp_path)
    host = LivingDirectory(str(made.root))
    host.live = True
    assert server_of(host, str(made.proc)) == ""
    with sockets.serving(sockets.tls(file, answer=empty), "127.0.0.2") as port:
        flags = f"--bind-address=127.0.0.2\0--secure-port={port}"
        made.start(2, "kube-apiserver", STATIC, inner="1", flags=flags)
        server = server_of(host, str(made.proc))
        assert server == f"https://127.0.0.2:{port}"
        assert ClusterCollector.of(known, NOW, server).collect()["problems"] == {}
    down = ClusterCollector.of(known, NOW).collect()["problems"]
    assert down["nodes"].endswith("could not be read: refused")


class Counting(Api):
    """Answers with pages of pods, and measures what was held when each was asked for."""

    def __init__(self, pages: int) -> None:
        super().__init__({})
        self._pages = pages
        self.held: list[int] = []

    def get(self, path: str, accept: str = "") -> Answer:
        if not path.startswith("/api/v1/pods?"):
            return super().get(path, accept)
        self.held.append(tracemalloc.get_traced_memory()[0])
        number = int(path.rpartition("&continue=")[2]) if "&continue=" in path else 0
        managed: list[dict[str, t.Any]] = [{"fieldsV1": {f"f:{number}-{one}": {} for one in range(200)}}]
        metadata = {"namespace": "team", "managedFields": managed}
        spec = {"serviceAccountName": "own", "containers": [{"name": "a", "image": "a:1"}]}
        items = [{"metadata": {**metadata, "name": f"p{number}-{one}"}, "spec": spec} for one in range(40)]
        following = str(number + 1) if number + 1 < self._pages else ""
        return reply({"items": items, "metadata": {"continue": following}})


def test_pods_are_not_held_whole_until_all_were_read() -> None:
    tracemalloc.start()
    try:
        api = Counting(20)
        ClusterCollector(api, NOW, clock=lambda: 0.0).collect()  # type: ignore[arg-type]
    finally:
        tracemalloc.stop()
    a_pod = (api.held[-1] - api.held[1]) / (18 * 40)
    assert a_pod < 3000, a_pod  # bytes; whole it is ten times that


def test_of_large_objects_fewer_are_asked_for_at_once_down_to_one() -> None:
    """Forty Nodes with the images that they hold may be more than is read of an answer."""
    large = Answer(0, reason="too large")
    pages = {f"/api/v1/nodes?limit={number}": large for number in (40, 20, 10)}
    first = {"items": [{"metadata": {"name": "w1"}}], "metadata": {"continue": "more"}}
    last = reply({"items": [{"metadata": {"name": "w2"}}]})
    pages["/api/v1/nodes?limit=5&continue=more"] = large
    pages["/api/v1/nodes?limit=2&continue=more"] = last
    pages["/api/v1/nodes?limit=5"] = reply(first)
    found, _api = collect(pages)
    assert sorted(found["configz"]) == ["w1", "w2"]
    assert not found["problems"]

    found, api = collect({"/api/v1/nodes?": large})
    assert found["problems"] == {"nodes": "/api/v1/nodes?limit=1 could not be read: too large"}
    assert [path for path in api.asked if path.startswith("/api/v1/nodes?")][-1] == "/api/v1/nodes?limit=1"


def test_what_may_not_be_read_is_said_in_the_api_servers_words() -> None:
    refused = reply({"kind": "Status", "message": "pods is forbidden: User cannot list"}, 403)
    found, _api = collect({"/api/v1/pods": refused, "/api/v1/nodes": Answer(0, reason="timeout")})
    words = found["findings"]["secrets_in_environment"]["problem"]
    assert words == "/api/v1/pods?limit=40 could not be read: HTTP 403, pods is forbidden: User cannot list"
    assert found["problems"] == {"nodes": "/api/v1/nodes?limit=40 could not be read: timeout"}
    assert found["findings"]["cluster_admin"]["problem"] == ""


@pytest.mark.parametrize(("uid", "told"), [(1000, True), (0, False)])
def test_who_may_not_read_the_kubeconfig_is_told_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, uid: int, told: bool
) -> None:
    def refuse(_path: str) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(small_files, "read", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    with pytest.raises(HardeningError, match=r"admin\.conf cannot be read: Permission denied") as caught:
        credentials("/etc/kubernetes/admin.conf")
    assert ("run with become: true" in str(caught.value)) is told
    monkeypatch.setattr(small_files, "read", lambda _path: b"[]")
    with pytest.raises(HardeningError, match="kubeconfig") as caught:
        credentials("/etc/kubernetes/admin.conf")
    assert "become" not in str(caught.value)


def test_kube_proxy_has_the_version_of_its_image() -> None:
    def pod(node: str, image: str, app: str = "kube-proxy") -> dict[str, t.Any]:
        metadata = {"name": node, "namespace": "kube-system", "labels": {"k8s-app": app}}
        return {"metadata": metadata, "spec": {"nodeName": node, "containers": [{"name": app, "image": image}]}}

    pods = [
        pod("w1", "registry.k8s.io/kube-proxy:v1.37.1"),
        pod("w2", "mirror:5000/kube-proxy@sha256:00"),
        pod("w3", "coredns:v1.12.0", "kube-dns"),
    ]
    found, _api = collect({"/api/v1/pods": reply({"items": pods})})
    assert found["kube_proxy"] == {"w1": "1.37.1", "w2": ""}
    refused, _api = collect({"/api/v1/pods": reply({"message": "no"}, 403)})
    assert refused["kube_proxy"] == {}


KUBECONFIG = """\
clusters:
- cluster: {certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt, server: https://10.0.0.1:6443}
users:
- user: {token: hidden}
"""


@pytest.mark.parametrize(
    ("answer", "entry"),
    [
        (reply({"data": {"kubeconfig.conf": KUBECONFIG}}), {"findings": [], "problem": "", "looked_at": 1}),
        (
            reply({"data": {"kubeconfig.conf": KUBECONFIG.replace("https", "http")}}),
            {
                "findings": [
                    "kubeconfig.conf of ConfigMap kube-system/kube-proxy: its server is not spoken to by https"
                ],
                "problem": "",
                "looked_at": 1,
            },
        ),
        (
            reply({}, 404),
            {"findings": [], "problem": "ConfigMap kube-system/kube-proxy has no kubeconfig.conf", "absent": True},
        ),
        (
            reply({"message": "no"}, 403),
            {"findings": [], "problem": "ConfigMap kube-system/kube-proxy could not be read: HTTP 403, no"},
        ),
    ],
)
def test_how_kube_proxy_trusts_the_api_server(answer: Answer, entry: dict[str, t.Any]) -> None:
    found, _api = collect({"/api/v1/namespaces/kube-system/configmaps/kube-proxy": answer})
    assert found["findings"]["kube_proxy_kubeconfig"] == entry
    assert "hidden" not in json.dumps(found)


def test_what_kube_proxy_may_do_beside_its_own_role() -> None:
    account = {"kind": "ServiceAccount", "namespace": "kube-system", "name": "kube-proxy"}

    def binding(name: str, role: str, **metadata: str) -> dict[str, t.Any]:
        return {"metadata": {"name": name, **metadata}, "roleRef": {"name": role}, "subjects": [account]}

    own, wide = binding("kubeadm:node-proxier", "system:node-proxier"), binding("mine", "edit")
    narrow = binding("here", "view", namespace="shop")
    beginning = "/apis/rbac.authorization.k8s.io/v1"
    found, _api = collect({f"{beginning}/clusterrolebindings": reply({"items": [own]})})
    assert found["findings"]["kube_proxy_rights"] == {"findings": [], "problem": "", "looked_at": 1}
    answers = {
        f"{beginning}/clusterrolebindings": reply({"items": [own, wide]}),
        f"{beginning}/rolebindings": reply({"items": [narrow]}),
    }
    found, _api = collect(answers)
    entry = {"findings": ["mine (edit)", "shop/here (view)"], "problem": "", "looked_at": 3}
    assert found["findings"]["kube_proxy_rights"] == entry
    answers[f"{beginning}/rolebindings"] = reply({"message": "no"}, 403)
    found, _api = collect(answers)
    entry = found["findings"]["kube_proxy_rights"]
    assert entry["findings"] == []
    assert entry["problem"].endswith("HTTP 403, no")
    answers[f"{beginning}/rolebindings"] = reply({"items": [{**narrow, "subjects": ["word"]}]})
    found, _api = collect(answers)
    assert "not what it should be" in found["findings"]["kube_proxy_rights"]["problem"]


def test_what_pods_say_of_their_containers_reaches_its_checks() -> None:
    def pod(name: str, phase: str = "Running", **spec: t.Any) -> dict[str, t.Any]:
        owner = {"kind": "ReplicaSet", "name": "web-5d4f"}
        metadata = {"name": name, "namespace": "team", **({"ownerReferences": [owner]} if "web" in name else {})}
        return {"metadata": metadata, "spec": spec, "status": {"phase": phase}}

    plain, good = {"name": "main"}, {"name": "good", "securityContext": {"runAsNonRoot": True}}
    pods = [
        pod("web-1", containers=[plain]),
        pod("web-2", containers=[plain]),
        pod("ended", "Succeeded", containers=[plain]),
        pod("shell", containers=[good], ephemeralContainers=[{"name": "debug"}]),
        pod("first", containers=[good], initContainers=[{"name": "init"}]),
        pod("of-pod", containers=[plain], securityContext={"runAsUser": 7}),
        pod("panes", containers=[plain], os={"name": "windows"}),
    ]
    found, _api = collect({"/api/v1/pods": reply({"items": pods})})
    assert found["findings"]["pods_root"]["findings"] == [
        "ReplicaSet team/web-5d4f: main", "pod team/first: init", "pod team/shell: debug",
    ]  # fmt: skip


def test_the_secret_half_of_a_token_is_let_go_of() -> None:
    tokens = [secret("abcdef", ""), secret("ghijkl", "2027-01-01T00:00:00Z")]
    found, _api = collect({"/api/v1/namespaces/kube-system/secrets": reply({"items": tokens})})
    assert found["findings"]["bootstrap_tokens"]["findings"] == ["abcdef"]
    assert "0123456789abcdef" not in json.dumps(found)
    assert base64.b64encode(b"0123456789abcdef").decode() not in json.dumps(found)


def test_kubelets_and_config_maps() -> None:
    nodes = [{"metadata": {"name": name}} for name in ("w1", "w2", "w3")]
    found, _api = collect(
        {
            "/api/v1/nodes/w1/": reply({"kubeletconfig": {"readOnlyPort": 1, "logging": {}}}),
            "/api/v1/nodes/w2/": Answer(503, b"no JSON"),
            "/api/v1/nodes/w3/": reply([]),
            "/api/v1/nodes?": reply({"items": nodes}),
            "/api/v1/namespaces/kube-system/configmaps/kubelet-config": reply({"data": {"kubelet": "a: 1"}}),
            "/api/v1/namespaces/kube-system/configmaps/kubeadm-config": reply({}, 404),
        }
    )
    assert found["configz"]["w1"] == {"configuration": {"readOnlyPort": 1}}
    assert found["configz"]["w2"]["problem"].endswith("HTTP 503")
    assert found["configz"]["w3"]["problem"] == "its answer is no configuration"
    assert (found["kubelet_config"], found["kubeadm_config"]) == ("a: 1", "")


class Slow(Api):
    """Every kubelet that is away takes ten seconds of its clock until that is known."""

    def __init__(self, nodes: list[dict[str, t.Any]], away: t.Container[str]) -> None:
        super().__init__({"/api/v1/nodes?": reply({"items": nodes})})
        self._away = away
        self._lock = threading.Condition()
        self._now = 0.0

    def clock(self) -> float:
        with self._lock:
            return self._now

    def get(self, path: str, accept: str = "") -> Answer:
        if not path.endswith("/configz"):
            return super().get(path, accept)
        self.asked.append(path)
        node = path.split("/")[4]
        if node not in self._away:
            return reply({"kubeletconfig": {"maxPods": 5}})
        with self._lock:
            # Those that wait at the same time wait for the same ten seconds.
            end = self._now + 10.0
            self._lock.wait(0.2)
            self._now = max(self._now, end)
        return Answer(0, reason="timeout")


def of_state(name: str, ready: str) -> dict[str, t.Any]:
    conditions = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}]
    return {"metadata": {"name": name}, "status": {"conditions": conditions if ready else None}}


def test_nodes_that_are_away_leave_time_for_the_others() -> None:
    away = [f"a{number:02}" for number in range(24)]
    # Of half of them the API does not know yet.
    nodes = [of_state(name, "True" if number % 2 else "Unknown") for number, name in enumerate(away)]
    nodes += [of_state(f"w{number:02}", "True") for number in range(100)]
    api = Slow([*nodes, of_state("new", "")], away)
    found = ClusterCollector(api, NOW, clock=api.clock).collect()["configz"]  # type: ignore[arg-type]
    assert set(found) == {*away, *(f"w{number:02}" for number in range(100)), "new"}
    assert {name for name, one in found.items() if "problem" in one} == set(away)
    # They are asked too, after all others: some answer though they are not Ready.
    asked = [path.split("/")[4] for path in api.asked if path.endswith("/configz")]
    unknown = set(away[::2])
    assert not unknown & set(asked[: len(asked) - len(unknown) - 8]), "8 are under way at a time"


def test_nodes_say_which_kubelet_they_have() -> None:
    said = {"w1": "v1.37.1", "w2": "v1.36.0-eks-1", "w3": ""}
    nodes: list[dict[str, t.Any]] = [
        {"metadata": {"name": name}, "status": {"nodeInfo": {"kubeletVersion": version}}}
        for name, version in said.items()
    ]
    nodes += [
        {"metadata": {"name": "w4"}, "status": {"nodeInfo": "odd"}},
        {"metadata": {"name": "w5"}, "status": "odd"},
    ]
    found, _api = collect({"/api/v1/nodes?": reply({"items": nodes})})
    assert found["kubelets"] == {"w1": "1.37.1", "w2": "1.36.0", "w3": "", "w4": "", "w5": ""}
    assert collect({"/api/v1/nodes?": Answer(0, reason="timeout")})[0]["kubelets"] == {}


def test_nodes_have_their_addresses() -> None:
    addresses = [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "w1"}]
    nodes = [
        {"metadata": {"name": "w1"}, "status": {"addresses": [*addresses, {"type": "InternalIP"}, "odd"]}},
        {"metadata": {"name": "w2"}, "status": {}},
        {"metadata": {"name": "w3"}, "status": {"addresses": "odd"}},
    ]
    found, _api = collect({"/api/v1/nodes?": reply({"items": nodes})})
    assert found["addresses"] == {"w1": addresses, "w2": [], "w3": []}
    assert collect({"/api/v1/nodes?": Answer(0, reason="timeout")})[0]["addresses"] == {}


def test_secrets_in_kubelets_configuration_and_config_maps_are_masked_alike() -> None:
    headers = {"X-Key": ["hidden"]}
    arguments = {"discovery-password": "hidden", "listen-metrics-urls": "http://127.0.0.1:2381"}
    extra = [{"name": name, "value": value} for name, value in arguments.items()]
    of_kubeadm = yaml.safe_dump({"etcd": {"local": {"extraArgs": extra}}})
    of_kubelets = yaml.safe_dump({"staticPodURLHeader": headers, "readOnlyPort": 1})
    place = "/api/v1/namespaces/kube-system/configmaps/"
    found, _api = collect(
        {
            "/api/v1/nodes/w1/": reply({"kubeletconfig": {"readOnlyPort": 1, "staticPodURLHeader": headers}}),
            "/api/v1/nodes?": reply({"items": [{"metadata": {"name": "w1"}}]}),
            f"{place}kubelet-config": reply({"data": {"kubelet": of_kubelets}}),
            f"{place}kubeadm-config": reply({"data": {"ClusterConfiguration": of_kubeadm}}),
        }
    )
    assert "hidden" not in json.dumps(found)
    assert yaml.safe_load(found["kubelet_config"]) == found["configz"]["w1"]["configuration"]
    shown = [{"name": "discovery-password", "value": "[masked]"}, extra[1]]
    assert yaml.safe_load(found["kubeadm_config"]) == {"etcd": {"local": {"extraArgs": shown}}}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"SSH-2.0-OpenSSH_9.2"),
        Answer(200, b"\xff\xfe"),
        reply([]),
        reply("word"),
        reply(None),
        reply({"items": "word"}),
        reply({"items": ["word"]}),
        reply({"items": [{"metadata": "word"}]}),
        reply({"items": [], "metadata": "word"}),
        Answer(0, reason="malformed: BadStatusLine"),
        Answer(0, reason="too large"),
    ],
)
def test_what_answers_in_an_api_servers_place_is_unknown_and_no_traceback(answer: Answer) -> None:
    found, _api = collect({"/": answer})
    assert all(one["problem"] and not one["findings"] for one in found["findings"].values()), found["findings"]
    assert set(found["problems"]) == {"kubeadm_config", "kubelet_config", "nodes", "trusted"} or (
        answer.body.startswith(b"{")
    )
    assert found["configz"] == {}


ODD = {
    "metadata": {"name": "a"},
    "rules": "word",
    "subjects": "word",
    "roleRef": "word",
    "spec": "word",
    "data": "word",
}


def test_objects_that_are_none_are_unknown_for_who_needs_them() -> None:
    found, _api = collect({"/": reply({"items": [ODD]})})
    problems = {check: one["problem"] for check, one in found["findings"].items()}
    assert problems["cluster_admin"].endswith("the answer is not what it should be")
    assert problems["secrets_in_environment"].endswith("the answer is not what it should be")
    # Names alone are there.
    assert found["findings"]["account_token_secrets"]["findings"] == ["Secret a"]


def test_an_api_server_that_hangs_is_not_waited_for_without_end() -> None:
    moments = iter(float(number * 9) for number in range(1000))
    api = Api({"/": Answer(0, reason="timeout")})
    found = ClusterCollector(api, NOW, clock=lambda: next(moments)).collect()  # type: ignore[arg-type]
    problems = [one["problem"] for one in found["findings"].values()]
    assert all(problems)
    assert any("no time left" in problem for problem in problems)
    assert all("no time left" in found["problems"][name] for name in ("kubeadm_config", "trusted"))


ROOT = "/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt"
JOIN = "/api/v1/namespaces/kube-public/configmaps/cluster-info"


def test_authorities_that_the_api_hands_out_are_told_with_their_place() -> None:
    old, new = (authority.create(profile.wanted_authority("kubernetes"), NOW - days * DAY).facts for days in (365, 3))
    within = base64.b64encode(bundle.join([new])).decode()
    cluster_info = yaml.safe_dump(
        {"apiVersion": "v1", "kind": "Config", "clusters": [{"cluster": {"certificate-authority-data": within}}]}
    )
    found, _api = collect(
        {
            ROOT: reply({"data": {"ca.crt": bundle.join([new, old]).decode()}}),
            JOIN: reply({"data": {"kubeconfig": cluster_info}}),
        }
    )
    assert [(one["path"], one["sha256"], one["age_days"]) for one in found["trusted"]] == [
        ("ConfigMap kube-system/kube-root-ca.crt", new.fingerprint, 3),
        ("ConfigMap kube-system/kube-root-ca.crt", old.fingerprint, 365),
        ("ConfigMap kube-public/cluster-info", new.fingerprint, 3),
    ]
    assert "trusted" not in found["problems"]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (
            {ROOT: reply({"message": "no"}, 403)},
            "ConfigMap kube-system/kube-root-ca.crt could not be read: HTTP 403, no",
        ),
        (
            {ROOT: reply({"data": {"ca.crt": "-----BEGIN CERTIFICATE-----\nx\n"}})},
            "ConfigMap kube-system/kube-root-ca.crt",
        ),
        (
            {JOIN: reply({"data": {"kubeconfig": "clusters: 3"}})},
            "ConfigMap kube-public/cluster-info could not be read",
        ),
        ({JOIN: reply({"data": {"kubeconfig": "a: [}"}})}, "ConfigMap kube-public/cluster-info could not be read"),
    ],
)
def test_authorities_that_cannot_be_read_are_a_problem(answers: dict[str, Answer], words: str) -> None:
    found, _api = collect(answers)
    assert words in found["problems"]["trusted"]
