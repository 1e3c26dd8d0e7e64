# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose requests for serving certificates are approved where a run is not asked to approve any."""

from __future__ import annotations

import base64
import calendar
import time
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.history import past_runs, prune
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Peer
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import approvals, serving
from ansible_collections.kubeharden.core.plugins.modules.serving_certificates import verifier_of

ROLES = Path(__file__).parents[4] / "roles"


def waiting() -> dict[str, t.Any]:
    """A request of node w1 that nothing speaks against."""
    subject = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
        x509.NameAttribute(NameOID.COMMON_NAME, "system:node:w1"),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("w1")]), critical=False)
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return {
        "metadata": {"name": "csr-abcde"},
        "spec": {
            "signerName": "kubernetes.io/kubelet-serving",
            "username": "system:node:w1",
            "groups": ["system:nodes"],
            "usages": ["digital signature", "server auth"],
            "request": base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode(),
        },
    }


def cluster() -> serving.Cluster:
    return serving.Cluster(
        requests=lambda: [waiting()],
        nodes=lambda: [{"metadata": {"name": "w1"}, "status": {"addresses": [{"address": "w1"}]}}],
        approve=lambda _request: True,
        certify=lambda _request, _certificate: False,
        peer=lambda _host, _port: Peer(None, "nobody is asked"),
        authority=b"",
        now=lambda: 0.0,
        clock=lambda: 0.0,
        sleep=lambda _seconds: None,
    )


def test_renewals_are_ours_after_an_approval_until_it_is_put_back(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    assert not approvals.are_ours(host)
    Backup(host, "run-1").note("one_way", "/etc/kubernetes/pki/ca.key", why="It was removed for good.")
    assert not approvals.are_ours(host)
    for run_id in ("run-2", "run-3", "run-2"):
        serving.approve(cluster(), [], 10.0, Backup(host, run_id))
        assert approvals.are_ours(host)
    approvals.strike(host, ["run-1", "run-3"])
    assert approvals.are_ours(host)
    approvals.strike(host, ["run-2"])
    assert not approvals.are_ours(host)
    assert not (tmp_path / "var/lib/kubeharden/approvals.json").exists()
    approvals.strike(host, ["run-2"])


def test_renewals_stay_ours_when_the_record_of_the_approval_is_pruned(tmp_path: Path) -> None:
    """A run a day that changes something is twenty records in less than a month, and a certificate lives a year."""
    host = Host(str(tmp_path))
    serving.approve(cluster(), [], 10.0, Backup(host, "run-1"))
    for number in range(2, 5):
        Backup(host, f"run-{number}").note("one_way", "/something", why="It was done.")
    prune(host, 2, 0, time.time(), "run-4")
    assert [run.run_id for run in past_runs(host)] == ["run-3", "run-4"]
    assert approvals.are_ours(host)


def test_a_list_of_approvals_that_is_damaged_is_no_list(tmp_path: Path) -> None:
    path = tmp_path / "var/lib/kubeharden/approvals.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"runs": "all"}', encoding="utf-8")
    with pytest.raises(HardeningError, match="is damaged: it is no list of runs"):
        approvals.are_ours(Host(str(tmp_path)))


def test_what_is_left_to_others_is_told() -> None:
    good, refused = serving.pending(cluster())
    assert not refused
    assert approvals.left([], 0.0) == ([], [])
    # Nobody approves what has waited for as long as a kubelet does; somebody may be about to approve the others.
    made = calendar.timegm((2026, 11, 24, 10, 0, 0))
    for request in good:
        request["metadata"]["creationTimestamp"] = "2026-11-24T10:00:00Z"
    notes, not_done = approvals.left(good, made + approvals.PATIENCE)
    assert (len(notes), not_done) == (1, [])
    assert notes[0].startswith("csr-abcde: ")
    notes, not_done = approvals.left(good, made + approvals.PATIENCE + 1)
    assert (notes, len(not_done)) == ([], 1)
    assert not_done[0].startswith("csr-abcde: ")
    assert "set kubeharden_pki_approve to always" in not_done[0]


def test_an_api_server_without_a_certificate_that_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "apiserver.crt"
    used = [{"component": "kube-apiserver", "flag": "tls-cert-file", "path": str(path)}]
    path.write_bytes(b"-----BEGIN CERTIFICATE-----\n")
    with pytest.raises(HardeningError, match="Nothing was approved"):
        serving.api_server_names({"certificates": used})
    assert serving.api_server_names({"certificates": [{**used[0], "component": "etcd"}]}) == []


def test_what_the_api_server_of_this_host_verifies_kubelets_by() -> None:
    used = [
        {"component": "kube-apiserver", "flag": "client-ca-file", "path": "/etc/kubernetes/pki/ca.crt"},
        {"component": "kube-apiserver", "flag": "kubelet-certificate-authority", "path": "/srv/ca.crt"},
    ]
    assert verifier_of({"certificates": used}) == "/srv/ca.crt"
    assert verifier_of({"certificates": used[:1]}) == ""


def test_a_rotation_approves_on_the_condition_of_a_hardening() -> None:
    def task(path: str) -> dict[str, t.Any]:
        tasks = yaml.safe_load((ROLES / path).read_text(encoding="utf-8"))
        found: dict[str, t.Any] = tasks[0]
        return found

    hardening, rotation = task("harden_kubelet/tasks/certificates.yml"), task("pki/tasks/approve.yml")
    approves, asked = (one["kubeharden.core.serving_certificates"] for one in (hardening, rotation))
    variable = "kubeharden_pki_approve"
    # What kubelets that it made ask for is a hardening's to approve, whatever is said of a rotation.
    words = " ".join(asked["approve"].split()).replace(f"{variable} == 'auto' and ", "")
    assert " ".join(approves["approve"].split()) == words
    for one in (approves, asked):
        # Kubelets that were made to ask need their renewals, and new nodes ask too, when the profile is another by now.
        assert (one["renewals"], one["by_record"]) == (True, f"{{{{ {variable} != 'never' }}}}")
    assert hardening["when"] == "kubeharden_profile == 'cis' or __harden_kubelet_ask"
    assert "when" not in rotation  # kubelets' certificates as clients are signed whatever the profile is
