# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log of a hardened cluster: real requests are made, and what must be recorded is, but no secret."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab.kubelab.base import wait_for
from lab.kubelab.harness import Cluster
from lab.kubelab.prepare import TEST_IMAGE
from lab.story import Story, story_of

KUBE_PROXY = ("system:kube-proxy", "system:serviceaccount:kube-system:kube-proxy")
LOG = "/var/log/kubernetes/audit/audit.log"
NAMESPACE = f"recorded-{uuid.uuid4().hex[:6]}"

OBJECTS = """\
apiVersion: v1
kind: Pod
metadata: {{name: served, namespace: {namespace}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 0
  containers:
  - {{name: probe, image: "{image}", args: [serve]}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: recorded}}
webhooks:
- name: recorded.lab.invalid
  clientConfig: {{url: "https://lab.invalid/"}}
  rules: [{{apiGroups: [lab.invalid], apiVersions: [v1], operations: [CREATE], resources: [nothings]}}]
  sideEffects: None
  admissionReviewVersions: [v1]
  failurePolicy: Ignore
"""


def who(event: dict[str, Any]) -> str:
    """The user of a request; a request that was not authenticated has none."""
    name: str = event["user"].get("username", "")
    return name


class Recorded:
    """Requests of many kinds, and the log after them."""

    def __init__(self, story: Story) -> None:
        self._cluster = story.cluster
        self.marker = f"marker-{uuid.uuid4().hex}"
        self.token = ""
        self._request()
        (self._host,) = self._cluster.control_planes
        self.text = ""
        self.events: list[dict[str, Any]] = []
        wait_for("the audit log to show kube-proxy's new watches", 120, self._read, 1)

    def _read(self) -> bool:
        """Read the log; is a watch of the kube-proxy that was started last in it?"""
        self.text = self._cluster.ssh(self._host, f"cat {LOG}").stdout
        self.events = [json.loads(line) for line in self.text.splitlines()]
        return any(
            event["verb"] == "watch" and who(event) == KUBE_PROXY[1] and self._is_new(event) for event in self.events
        )

    def _is_new(self, event: dict[str, Any]) -> bool:
        (pod,) = event["user"]["extra"]["authentication.kubernetes.io/pod-name"]
        return pod in self._kube_proxies

    def _kubectl(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        return self._cluster.kubectl(*words, stdin=stdin, check=check).stdout

    def _request(self) -> None:
        kubectl, marker = self._kubectl, self.marker
        kubectl("create", "namespace", NAMESPACE)
        there = ("-n", NAMESPACE)
        for kind in (("secret", "generic"), ("configmap",)):
            kubectl("create", *kind, "marked", f"--from-literal=key={marker}", *there)
            kubectl("get", kind[0], "marked", "-o", "yaml", *there)
            kubectl("annotate", kind[0], "marked", f"note={marker}", *there)
        self.token = kubectl("create", "token", "default", *there).strip()
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": self.token}}
        kubectl("create", "-o", "yaml", "-f", "-", stdin=json.dumps(review))
        kubectl("create", "role", "reader", "--verb=get", "--resource=pods", *there)
        kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={NAMESPACE}:default", *there)
        kubectl("delete", "rolebinding", "reader", *there)
        worker = self._cluster.workers[0]
        kubectl("apply", "-f", "-", stdin=OBJECTS.format(node=worker, image=TEST_IMAGE, namespace=NAMESPACE))
        kubectl("delete", "validatingwebhookconfiguration", "recorded")
        kubectl("wait", "--for=condition=Ready", "pod/served", "--timeout=120s", *there)
        kubectl("exec", "served", *there, "--", "/bin/true")
        pod = f"/api/v1/namespaces/{NAMESPACE}/pods/served"
        kubectl("get", "--raw", f"{pod}:8080/proxy/")
        # Not upgraded, so refused, but asked for.
        kubectl("get", "--raw", f"{pod}/attach?container=probe&stdout=true", check=False)
        kubectl("get", "--raw", f"{pod}/portforward?ports=8080", check=False)
        kubectl("get", "--raw", "/readyz")
        self._as_kube_proxy()
        self._kube_proxies = self._new_kube_proxies()
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")

    def _new_kube_proxies(self) -> list[str]:
        """Names of kube-proxy's pods after each was started anew, since a watch lasts for minutes without a request."""
        there = ("-n", "kube-system", "-l", "k8s-app=kube-proxy")
        self._kubectl("delete", "pod", *there, "--wait")
        self._kubectl("-n", "kube-system", "rollout", "status", "daemonset/kube-proxy", "--timeout=120s")
        return self._kubectl("get", "pods", *there, "-o", "jsonpath={.items[*].metadata.name}").split()

    def _as_kube_proxy(self) -> None:
        """A request of `system:kube-proxy`, by a client certificate that the cluster itself signs."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "system:kube-proxy")])
        pem = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        wanted = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": "recorded"},
            "spec": {
                "request": base64.b64encode(pem.public_bytes(serialization.Encoding.PEM)).decode(),
                "signerName": "kubernetes.io/kube-apiserver-client",
                "usages": ["client auth"],
            },
        }
        self._kubectl("create", "-f", "-", stdin=json.dumps(wanted))
        self._kubectl("certificate", "approve", "recorded")
        self._kubectl("wait", "--for=jsonpath={.status.certificate}", "csr/recorded", "--timeout=60s")
        certificate = self._kubectl("get", "csr", "recorded", "-o", "jsonpath={.status.certificate}")
        self._kubectl("delete", "csr", "recorded")
        folder = self._cluster.directory
        (folder / "kube-proxy.crt").write_bytes(base64.b64decode(certificate))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / "kube-proxy.key").write_bytes(private)
        kubeconfig = folder / "kube-proxy.conf"
        config = json.loads(self._kubectl("config", "view", "--raw", "-o", "json"))
        config["users"][0]["user"] = {
            "client-certificate": str(folder / "kube-proxy.crt"),
            "client-key": str(folder / "kube-proxy.key"),
        }
        kubeconfig.write_text(json.dumps(config), encoding="utf-8")
        self._kubectl("--kubeconfig", str(kubeconfig), "get", "services", "-n", "default")

    def of(
        self, resource: str, verb: str = "", *, subresource: str = "", namespace: str = "", name: str = ""
    ) -> list[dict[str, Any]]:
        """The completed requests for a resource; what is left out is not looked at, but for the subresource."""
        found = []
        for event in self.events:
            asked = event.get("objectRef", {})
            if asked.get("resource") != resource or asked.get("subresource", "") != subresource:
                continue
            if (verb and event["verb"] != verb) or (name and asked.get("name") != name):
                continue
            if namespace and asked.get("namespace") != namespace:
                continue
            found.append(event)
        return found


_recorded: dict[str, Recorded] = {}


@pytest.fixture
def recorded(cluster: Cluster) -> Recorded:
    key = str(cluster.directory)
    if key not in _recorded:
        story = story_of(cluster)
        story.hardened[0].well()
        _recorded[key] = Recorded(story)
    return _recorded[key]


def test_no_secret_and_no_token_is_in_the_log(recorded: Recorded) -> None:
    assert len(recorded.token) > 100
    for text in (recorded.marker, base64.b64encode(recorded.marker.encode()).decode().rstrip("=")):
        assert text not in recorded.text
    assert recorded.token not in recorded.text
    assert recorded.token.split(".")[2] not in recorded.text


@pytest.mark.parametrize(
    ("resource", "subresource", "verbs"),
    [
        ("secrets", "", ("create", "get", "patch")),
        ("configmaps", "", ("create", "get", "patch")),
        ("serviceaccounts", "token", ("create",)),
        ("tokenreviews", "", ("create",)),
    ],
)
def test_who_touched_a_bearer_of_secrets_is_recorded_without_a_body(
    recorded: Recorded, resource: str, subresource: str, verbs: tuple[str, ...]
) -> None:
    for verb in verbs:
        events = recorded.of(resource, verb, subresource=subresource)
        assert [event for event in events if who(event) == "kubernetes-admin"], (resource, verb)
    for event in recorded.of(resource, subresource=subresource):
        assert event["level"] == "Metadata", event
        assert not {"requestObject", "responseObject"} & set(event), event


@pytest.mark.parametrize("subresource", ["exec", "attach", "portforward", "proxy"])
def test_every_way_into_a_container_is_recorded(recorded: Recorded, subresource: str) -> None:
    events = recorded.of("pods", subresource=subresource, namespace=NAMESPACE)
    assert events
    assert {who(event) for event in events} == {"kubernetes-admin"}
    assert {event["level"] for event in events} == {"Metadata"}


@pytest.mark.parametrize(
    ("resource", "verb", "name"),
    [
        ("roles", "create", "reader"),
        ("rolebindings", "create", "reader"),
        ("rolebindings", "delete", "reader"),
        ("validatingwebhookconfigurations", "create", "recorded"),
        ("validatingwebhookconfigurations", "delete", "recorded"),
        ("namespaces", "create", NAMESPACE),
        ("certificatesigningrequests", "create", "recorded"),
        ("certificatesigningrequests", "delete", "recorded"),
    ],
)
def test_every_change_of_trust_is_recorded_with_what_it_says(
    recorded: Recorded, resource: str, verb: str, name: str
) -> None:
    events = recorded.of(resource, verb, name=name)
    assert events, (resource, verb)
    for event in events:
        assert event["level"] == "RequestResponse"
        assert "responseObject" in event
        assert verb != "create" or "requestObject" in event


def test_the_approval_of_a_certificate_is_recorded(recorded: Recorded) -> None:
    (event,) = recorded.of("certificatesigningrequests", "update", subresource="approval", name="recorded")
    assert event["level"] == "RequestResponse"
    assert event["requestObject"]["status"]["conditions"][0]["type"] == "Approved"


@pytest.mark.parametrize("user", KUBE_PROXY)
def test_what_kube_proxy_asks_for_is_recorded(recorded: Recorded, user: str) -> None:
    """Its watches too, which the rules below drop for every other service account of kube-system."""
    events = [event for event in recorded.events if who(event) == user]
    assert events
    assert {event["level"] for event in events} == {"Metadata"}
    if user != "system:kube-proxy":
        assert "watch" in {event["verb"] for event in events}


def test_noise_is_dropped(recorded: Recorded) -> None:
    paths = {event["requestURI"].split("?")[0] for event in recorded.events}
    assert not {path for path in paths if path.startswith(("/healthz", "/livez", "/readyz", "/openapi"))}
    assert recorded.of("leases", "update", namespace="kube-system") == []
    assert recorded.of("leases", "update", namespace="kube-node-lease") == []
    # kube-proxy's own are recorded whatever they are.
    assert {who(event) for event in recorded.of("events")} <= set(KUBE_PROXY)
    for event in recorded.events:
        if event["verb"] == "watch" and "system:nodes" in event["user"].get("groups", []):
            # Who reads these is never noise.
            assert event["objectRef"]["resource"] in {"secrets", "configmaps"}, event


def test_the_log_is_the_live_server_s_alone(recorded: Recorded, cluster: Cluster) -> None:
    """The trial had a log of its own, which is gone, and nobody but root reads the log."""
    assert cluster.ssh("cp1", "ls -A /var/log/kubernetes/audit").stdout.split() == ["audit.log"]
    modes = cluster.ssh("cp1", f"stat -c '%a %U' /var/log/kubernetes/audit {LOG}").stdout.splitlines()
    assert modes == ["700 root", "600 root"]
    assert recorded.events
