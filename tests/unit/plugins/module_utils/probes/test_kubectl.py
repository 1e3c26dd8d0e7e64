# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubectl's answers and errors; the error texts are what kubectl 1.37 printed against a 1.37 cluster."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubectl import (
    CANDIDATES,
    ConfigMap,
    Kubectl,
    find_kubectl,
)

KUBECONFIG = "/etc/kubernetes/admin.conf"
DOCUMENT: dict[str, Any] = {
    "kind": "ConfigMap",
    "apiVersion": "v1",
    "metadata": {
        "name": "kubeadm-config",
        "namespace": "kube-system",
        "uid": "u",
        "resourceVersion": "42",
        "annotations": {"k": "v"},
        "labels": {"l": "m"},
    },
    "data": {"ClusterConfiguration": "a: 1\n"},
    "binaryData": {"b": "AA=="},
    "immutable": False,
}


class Runner:
    """Stands for the program: notes how it was called and gives one prepared answer."""

    def __init__(self, code: int = 0, output: str = "", error: str = "") -> None:
        self.answer = code, output, error
        self.calls: list[tuple[list[str], str | None]] = []

    def __call__(self, args: list[str], *, data: str | None = None) -> tuple[int, str, str]:
        self.calls.append((args, data))
        return self.answer


def kubectl(run: Runner) -> Kubectl:
    return Kubectl("/usr/bin/kubectl", KUBECONFIG, run)


def read() -> ConfigMap:
    found = kubectl(Runner(output=json.dumps(DOCUMENT))).get_config_map("kube-system", "kubeadm-config")
    if found is None:
        raise AssertionError
    return found


def test_get() -> None:
    run = Runner(output=json.dumps(DOCUMENT))
    assert kubectl(run).get_config_map("kube-system", "kubeadm-config") == ConfigMap(
        "kubeadm-config", "kube-system", {"ClusterConfiguration": "a: 1\n"}, "42", {"k": "v"}, DOCUMENT
    )
    general = ["/usr/bin/kubectl", f"--kubeconfig={KUBECONFIG}", "--request-timeout=20s"]
    assert run.calls == [([*general, "get", "--raw", "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"], None)]


def test_get_one_without_data() -> None:
    document = {"metadata": {"name": "x", "namespace": "y", "resourceVersion": "1"}}
    found = kubectl(Runner(output=json.dumps(document))).get_config_map("y", "x")
    assert found == ConfigMap("x", "y", {}, "1", {}, document)


def test_names_cannot_leave_their_place() -> None:
    run = Runner(output=json.dumps(DOCUMENT))
    kubectl(run).get_config_map("a/b", "../c?d")
    assert run.calls[0][0][-1] == "/api/v1/namespaces/a%2Fb/configmaps/..%2Fc%3Fd"


def test_absent() -> None:
    run = Runner(1, error='Error from server (NotFound): configmaps "x" not found\n')
    assert kubectl(run).get_config_map("kube-system", "x") is None


@pytest.mark.parametrize("output", ["", "ok", "[]", "null", "{}", '{"metadata": {"name": "x"}}', '{"metadata": []}'])
def test_an_answer_that_is_no_config_map(output: str) -> None:
    with pytest.raises(HardeningError, match="gave something that is no ConfigMap"):
        kubectl(Runner(output=output)).get_config_map("kube-system", "x")


def test_replace_sends_the_whole_object_with_the_version_it_was_read_at() -> None:
    run = Runner(output="{}")
    kubectl(run).replace_config_map(dataclasses.replace(read(), data={"ClusterConfiguration": "a: 2\n"}))
    arguments, data = run.calls[0]
    assert arguments[-5:] == [
        "replace",
        "--raw",
        "/api/v1/namespaces/kube-system/configmaps/kubeadm-config",
        "-f",
        "-",
    ]
    assert data is not None
    assert json.loads(data) == {**DOCUMENT, "data": {"ClusterConfiguration": "a: 2\n"}}
    assert "a: 2" not in " ".join(arguments)


@pytest.mark.parametrize("annotations", [{}, {"new": "1"}])
def test_replace_annotations(annotations: dict[str, str]) -> None:
    document = json.loads(dataclasses.replace(read(), annotations=annotations).to_json())
    assert document["metadata"] == {**DOCUMENT["metadata"], "annotations": annotations}
    assert DOCUMENT["metadata"]["annotations"] == {"k": "v"}


def test_an_object_without_annotations_gets_none() -> None:
    document = {"metadata": {"name": "x", "namespace": "y", "resourceVersion": "1"}}
    assert "annotations" not in json.loads(ConfigMap("x", "y", {}, "1", {}, document).to_json())["metadata"]


def test_conflict() -> None:
    run = Runner(
        1,
        error='Error from server (Conflict): Operation cannot be fulfilled on configmaps "x": the object has been '
        "modified; please apply your changes to the latest version and try again\n",
    )
    with pytest.raises(HardeningError, match="changed by someone else since this run read it; it was left"):
        kubectl(run).replace_config_map(read())


ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


@pytest.mark.parametrize(
    ("output", "items"),
    [('{"items": [{"a": 1}, "x", {}]}', [{"a": 1}, {}]), ('{"items": []}', []), ('{"items": null}', [])],
)
def test_lists(output: str, items: list[dict[str, Any]]) -> None:
    run = Runner(output=output)
    assert kubectl(run).list_objects(ROLES) == items
    assert run.calls[0][0][-3:] == ["get", "--raw", ROLES]


@pytest.mark.parametrize("output", ["", "{}", "[]", '{"items": 5}', "null"])
def test_an_answer_that_is_no_list(output: str) -> None:
    with pytest.raises(HardeningError, match="gave something that is no list"):
        kubectl(Runner(output=output)).list_objects(ROLES)


def test_a_list_that_may_not_be_read() -> None:
    run = Runner(1, error="Error from server (Forbidden): clusterrolebindings is forbidden")
    with pytest.raises(HardeningError, match=f"{ROLES} cannot be read: the user of {KUBECONFIG} may not do this"):
        kubectl(run).list_objects(ROLES)


def test_a_list_that_was_cut_in_the_middle_is_not_in_the_sentence() -> None:
    """What kubectl 1.37 says when the connection ends within a body, which it has written as far as it came."""
    run = Runner(1, '{"items": [{"data": {"token-secret": "c2VjcmV0', "error: unexpected EOF\n")
    with pytest.raises(HardeningError) as caught:
        kubectl(run).list_objects("/api/v1/secrets")
    assert str(caught.value) == (
        f"/api/v1/secrets cannot be read: kubectl says 'error: unexpected EOF' (kubeconfig {KUBECONFIG})."
    )


def test_a_list_without_credentials() -> None:
    """kubectl 1.34 and 1.37 ask for a user on the standard output, and find nobody at the input."""
    run = Runner(1, "Please enter Username: ", "error: EOF\n")
    with pytest.raises(HardeningError, match=f"{ROLES} cannot be read: {KUBECONFIG} has no credentials"):
        kubectl(run).list_objects(ROLES)


REFUSED = "The connection to the server 10.213.0.11:6443 was refused - did you specify the right host or port?"


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        ("error: You must be logged in to the server (Unauthorized)", "does not accept the credentials in"),
        (
            'Error from server (Forbidden): configmaps "x" is forbidden: User "system:kube-scheduler" cannot get it',
            "may not do this. The API server says 'Error from server (Forbidden)",
        ),
        (REFUSED, "refuses connections"),
        ("Unable to connect to the server: context deadline exceeded", "does not answer in time"),
        (
            (
                "Unable to connect to the server: net/http: request canceled while waiting for connection "
                "(Client.Timeout exceeded while awaiting headers)"
            ),
            "does not answer in time",
        ),
        (
            (
                "Unable to connect to the server: tls: failed to verify certificate: x509: certificate has expired or "
                "is not yet valid: current time 2026-11-24T10:00:00Z is after 2026-01-01T00:00:00Z"
            ),
            "the API server's certificate has expired or the clocks differ",
        ),
        (
            (
                "Unable to connect to the server: tls: failed to verify certificate: x509: certificate signed by "
                "unknown authority"
            ),
            "not to be trusted",
        ),
        ("Unable to connect to the server: tls: first record does not look like a TLS handshake", "not to be trusted"),
        (
            "Error in configuration: context was not found for specified context: nope",
            "no kubeconfig that kubectl can use",
        ),
        ('error: error loading config file "/x": yaml: line 1: did not find', "no kubeconfig that kubectl can use"),
        ("error: stat /x: no such file or directory", "no kubeconfig that kubectl can use"),
        ("error: tls: private key type does not match public key type", "kubectl says 'error: tls: private key"),
        ("Please enter Username: error: EOF", "no credentials"),
        ("W1124 a warning first\nsomething new", "kubectl says 'something new'"),
        ("", "kubectl says 'nothing'"),
    ],
)
def test_errors_become_sentences(error: str, meaning: str) -> None:
    with pytest.raises(HardeningError) as caught:
        kubectl(Runner(1, error=error + "\n")).get_config_map("kube-system", "x")
    assert str(caught.value).startswith("ConfigMap kube-system/x cannot be read: ")
    assert meaning in str(caught.value)
    assert KUBECONFIG in str(caught.value)
    with pytest.raises(HardeningError, match="ConfigMap kube-system/kubeadm-config cannot be written and is as it was"):
        kubectl(Runner(1, error=error)).replace_config_map(read())


def test_secrets_in_kubectls_words_are_masked() -> None:
    with pytest.raises(HardeningError) as caught:
        kubectl(Runner(1, error="odd: Bearer abcdefgh12345678")).get_config_map("a", "b")
    assert "abcdefgh12345678" not in str(caught.value)


def test_find_kubectl() -> None:
    assert find_kubectl(["/a", "/b", "/c"], lambda path: path != "/a") == "/b"
    assert find_kubectl(exists=lambda path: path == CANDIDATES[-1]) == CANDIDATES[-1]
    assert find_kubectl(["/", "/etc/passwd", "/bin/sh"]) == "/bin/sh"
    with pytest.raises(HardeningError, match=r"no kubectl on this host \(looked for /a, /b\)\. Nothing was changed"):
        find_kubectl(iter(["/a", "/b"]), lambda _path: False)


NAMESPACE: dict[str, Any] = {
    "metadata": {"name": "hot", "resourceVersion": "7", "labels": {"a": "b"}},
    "spec": {"finalizers": ["kubernetes"]},
}
LABEL = "pod-security.kubernetes.io/enforce"


def test_what_the_server_warns_of_a_label_that_is_not_set() -> None:
    run = Runner(output="{}", error="Warning: existing pods\nwords\nWarning: hostly: host namespaces\n")
    found = kubectl(run).warnings_of_labels(NAMESPACE, {LABEL: "baseline"})
    assert found == ["existing pods", "hostly: host namespaces"]
    ((words, sent),) = run.calls
    assert words[3:] == ["replace", "--raw", "/api/v1/namespaces/hot?dryRun=All", "-f", "-"]
    assert json.loads(str(sent)) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "hot", "labels": {"a": "b", LABEL: "baseline"}},
        "spec": {"finalizers": ["kubernetes"]},
    }


def test_a_namespace_that_is_gone_is_asked_nothing() -> None:
    run = Runner(1, error='Error from server (NotFound): namespaces "hot" not found\n')
    assert kubectl(run).warnings_of_labels(NAMESPACE, {LABEL: "baseline"}) is None


def test_a_webhook_that_takes_no_dry_run_is_one_sentence() -> None:
    run = Runner(1, error='Error from server (BadRequest): admission webhook "x" does not support dry run\n')
    with pytest.raises(HardeningError) as caught:
        kubectl(run).warnings_of_labels(NAMESPACE, {LABEL: "baseline", f"{LABEL}-version": "v1.37"})
    assert str(caught.value).startswith("Namespace hot cannot be asked which of its pods Pod Security refuses: ")
    assert str(caught.value).endswith(
        f"Nothing was changed; a label {LABEL} of its own on the namespace makes the question unnecessary."
    )


REQUEST: dict[str, Any] = {
    "metadata": {"name": "csr-1", "resourceVersion": "7"},
    "spec": {"signerName": "kubernetes.io/kubelet-serving"},
    "status": {"conditions": [{"type": "Approved", "status": "True"}]},
}


def test_a_certificate_is_laid_in_the_status_of_what_was_read() -> None:
    run = Runner()
    assert kubectl(run).certify(REQUEST, b"a certificate") is True
    ((arguments, data),) = run.calls
    assert "/apis/certificates.k8s.io/v1/certificatesigningrequests/csr-1/status" in arguments
    sent = json.loads(str(data))
    assert (sent["kind"], sent["metadata"]) == ("CertificateSigningRequest", REQUEST["metadata"])
    assert sent["status"] == {**REQUEST["status"], "certificate": base64.b64encode(b"a certificate").decode()}


def test_a_request_that_somebody_changed_meanwhile_gets_no_certificate() -> None:
    conflict = 'Error from server (Conflict): Operation cannot be fulfilled on certificatesigningrequests "csr-1"'
    assert kubectl(Runner(1, error=conflict)).certify(REQUEST, b"a certificate") is False
    with pytest.raises(HardeningError, match="The certificate of CertificateSigningRequest csr-1 cannot be written"):
        kubectl(Runner(1, error="Error from server (Forbidden): no")).certify(REQUEST, b"a certificate")


@pytest.mark.parametrize(
    ("code", "error", "approved"),
    [
        (0, "", True),
        (1, 'Error from server (Conflict): Operation cannot be fulfilled on "csr-1": modified\n', False),
        (1, 'Error from server (NotFound): certificatesigningrequests "csr-1" not found\n', False),
    ],
)
def test_a_request_that_somebody_changed_or_removed_meanwhile_is_not_approved(
    code: int, error: str, approved: bool
) -> None:
    request = {"metadata": {"name": "csr-1", "resourceVersion": "7"}, "spec": {}}
    run = Runner(code, error=error)
    assert kubectl(run).approve(request, "Checked", "all of it") is approved
    assert json.loads(run.calls[0][1] or "")["metadata"] == request["metadata"]


def test_an_approval_that_is_refused_is_one_sentence() -> None:
    run = Runner(1, error="Error from server (Forbidden): may not\n")
    with pytest.raises(HardeningError, match="CertificateSigningRequest csr-1 was not approved"):
        kubectl(run).approve({"metadata": {"name": "csr-1"}}, "Checked", "all of it")


def test_create_sends_what_may_be_a_secret_by_the_input_alone_and_lets_go_of_the_answer() -> None:
    run = Runner(output='{"data": {"token-secret": "c2VjcmV0"}}')
    address = "/api/v1/namespaces/kube-system/secrets"
    kubectl(run).create_object(address, "Secret x", {"data": {"token-secret": "c2VjcmV0"}})
    ((words, data),) = run.calls
    assert words[3:] == ["create", "--raw", address, "-f", "-"]
    assert json.loads(data or "") == {"data": {"token-secret": "c2VjcmV0"}}


def test_create_refused() -> None:
    error = 'Error from server (Forbidden): secrets is forbidden: User "u" cannot create resource'
    with pytest.raises(HardeningError, match=r"Secret x was not made: the user of \S+ may not do this") as caught:
        kubectl(Runner(1, '{"data": {"token-secret": "c2VjcmV0"}}', error)).create_object("/a", "Secret x", {})
    assert "c2VjcmV0" not in str(caught.value)


def test_remove_is_of_the_object_that_was_seen() -> None:
    run = Runner(output="{}")
    kubectl(run).remove_object("/a/b", "Secret x", "u1")
    ((words, data),) = run.calls
    assert words[3:] == ["delete", "--raw", "/a/b", "-f", "-"]
    assert json.loads(data or "")["preconditions"] == {"uid": "u1"}


@pytest.mark.parametrize(
    "error",
    [
        'Error from server (NotFound): secrets "b" not found',
        "Error from server (Conflict): Precondition failed: UID in precondition: u1, UID in object meta: u2",
    ],
)
def test_remove_is_well_where_it_is_gone_or_another_has_its_name(error: str) -> None:
    kubectl(Runner(1, "", error)).remove_object("/a/b", "Secret x", "u1")


def test_remove_refused() -> None:
    with pytest.raises(HardeningError, match="Secret x was not removed"):
        kubectl(Runner(1, "", "Error from server (Forbidden): no")).remove_object("/a/b", "Secret x", "u1")
