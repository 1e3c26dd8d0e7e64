# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a call for a host's certificates says of their ends, due or not, foretold and done."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change
from ansible_collections.kubeharden.core.plugins.module_utils.pki import issue, keys, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import iso_time
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Peer
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import leaves, pki_call
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_call import leaves_call
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.probes.made_proc import LivingDirectory
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import (
    CLUSTER,
    DAY,
    Directory,
    made,
)

PKI = "/etc/kubernetes/pki"
KUBELET = "/var/lib/kubelet/pki"


def unused(args: list[str]) -> tuple[int, str, str]:
    raise AssertionError(f"a directory runs nothing, and not {args}")


def call(root: Path, check: bool = False, **given: Any) -> dict[str, Any]:
    return whole_call(root, check, **given)[1]


def whole_call(root: Path, check: bool = False, **given: Any) -> tuple[list[Change], dict[str, Any]]:
    parameters = {
        "root": str(root),
        "root_seed": None,
        "run_id": "run",
        "node_name": "cp1",
        "cluster": CLUSTER,
        "layout": {},
        "policy": {},
        "scope": leaves.SCOPE_DUE,
        "only": [],
        "expected": [],
        "signer": True,
        "without_key": [],
        "brought": {},
        "outside": [],
        "returned": {},
        "answers": None,
        "bundles": {},
        "repair": True,
        "discovery": None,
        "gate_timeout": 1,
        "api_servers": {},
        **given,
    }
    return leaves_call(parameters, check, lambda: str(root), unused)


def ends(facts: dict[str, Any]) -> dict[str, tuple[str, str, bool]]:
    """By path, the kind, the end, and whether it is new."""
    found = {one["path"]: (one["kind"], one["not_after"], one["new"]) for one in facts["certificates"]}
    assert len(found) == len(facts["certificates"])
    return found


@pytest.fixture
def host(tmp_path: Path) -> Directory:
    return made(Directory(tmp_path, "cp1"), now=time.time())


def kubelets(host: Directory, name: str, days: float) -> None:
    """Lay a certificate that a kubelet looks after, with its key in the same file as the kubelet has it."""
    key = keys.generate("ECDSA-P256")
    signer = host.signers(time.time())["kubernetes"]
    wanted = host.pki.leaf("apiserver-kubelet-client").profile
    facts = issue.issue(wanted, keys.public_bytes(key), signer, time.time(), days * DAY)
    path = host.path(f"{KUBELET}/{name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(issue.certificate_pem(facts) + keys.private_pem(key))


def test_no_load_balancer_is_lost_where_kubeconfigs_name_another_server(host: Directory) -> None:
    unset = {**CLUSTER, "load_balancer": ""}
    for name in ("admin.conf", "kubelet.conf"):
        path = host.path(f"/etc/kubernetes/{name}")
        path.write_bytes(path.read_bytes().replace(b"192.0.2.1:6443", b"192.0.2.11:6443"))
    facts = call(host.root, check=True, cluster=unset)
    assert facts["endpoint"] == "192.0.2.11:6443"
    assert not any(new for _kind, _end, new in ends(facts).values())


def test_the_kubelets_kubeconfig_of_a_control_plane_is_not_asked_for_the_load_balancer(host: Directory) -> None:
    host.path("/etc/kubernetes/admin.conf").unlink()
    unset = {**CLUSTER, "load_balancer": ""}
    facts = call(host.root, check=True, cluster=unset, layout={"absent": ["admin.conf"]})
    assert facts["endpoint"] == ""
    assert not any(new for _kind, _end, new in ends(facts).values())


def test_every_end_is_told_when_nothing_is_due(host: Directory) -> None:
    found = ends(call(host.root))
    in_table = {leaf.certificate_file for leaf in host.pki.leaves}
    authorities = {item.path.certificate for item in host.pki.authorities}
    assert set(found) == in_table | authorities
    assert {path for path, (kind, *_rest) in found.items() if kind == "authority"} == authorities
    assert found["/etc/kubernetes/admin.conf"][0] == "kubeconfig"
    assert not any(new for _kind, _end, new in found.values())


def test_a_renewal_is_foretold_with_the_old_end_and_told_with_the_new_one(host: Directory) -> None:
    before = ends(call(host.root))
    asked: dict[str, Any] = {"policy": {"renew_all": True, "lifetime_days": 400}, "only": ["apiserver", "admin.conf"]}
    foretold, done = call(host.root, check=True, **asked), call(host.root, **asked)
    renewed = {f"{PKI}/apiserver.crt", "/etc/kubernetes/admin.conf"}
    for facts in (foretold, done):
        assert {path for path, (_kind, _end, new) in ends(facts).items() if new} == renewed
    assert {path: end for path, (_kind, end, _new) in ends(foretold).items()} == {
        path: end for path, (_kind, end, _new) in before.items()
    }
    issued = {one["path"]: one["not_after"] for one in done["issued"]}
    assert set(issued) == renewed
    for path, (_kind, end, _new) in ends(done).items():
        assert end == issued.get(path, before[path][1])


def test_what_a_kubelet_uses_is_told_and_what_it_does_not_use_is_not(host: Directory) -> None:
    kubelets(host, "kubelet-client-current.pem", 5)
    kubelets(host, "kubelet.crt", 6)
    assert {f"{KUBELET}/kubelet-client-current.pem", f"{KUBELET}/kubelet.crt"} <= set(ends(call(host.root)))
    kubelets(host, "kubelet-server-current.pem", 7)
    found = ends(call(host.root))
    assert f"{KUBELET}/kubelet.crt" not in found
    assert found[f"{KUBELET}/kubelet-server-current.pem"][1][:10] == iso_time(time.time() + 7 * DAY)[:10]
    configured = {"kubelet": {"configuration": {"tlsCertFile": f"{KUBELET}/kubelet.crt"}, "flags": {}}}
    assert f"{KUBELET}/kubelet.crt" in ends(call(host.root, discovery=configured))


def test_a_kubelets_certificate_that_cannot_be_read_is_told_and_ends_nothing(host: Directory) -> None:
    path = host.path(f"{KUBELET}/kubelet.crt")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n")
    facts = call(host.root)
    assert [note for note in facts["notes"] if str(f"{KUBELET}/kubelet.crt") in note]
    assert f"{PKI}/apiserver.crt" in ends(facts)


def owners(host: Directory, path: str, days: float) -> dict[str, str]:
    """Lay a certificate of somebody's; what tells its end."""
    key = keys.generate("ECDSA-P256")
    facts = issue.self_signed_authority(profile.wanted_authority("corporation"), key, time.time())
    theirs = issue.Authority(facts, key)
    leaf = issue.issue(
        host.pki.leaf("apiserver").profile,
        keys.public_bytes(keys.generate("ECDSA-P256")),
        theirs,
        time.time(),
        days * DAY,
    )
    host.path(path).parent.mkdir(parents=True, exist_ok=True)
    host.path(path).write_bytes(issue.certificate_pem(leaf) + issue.certificate_pem(facts))
    return {path: iso_time(leaf.not_after)}


def test_what_flags_name_of_the_owners_is_told_too_and_ends_nothing(host: Directory) -> None:
    """What no row of the table has: nobody renews it here, and somebody has to."""
    expected = {
        **owners(host, "/srv/pki/by-name.pem", 5),
        **owners(host, "/srv/pki/scheduler.crt", 6),
        **owners(host, "/srv/pki/manager.crt", 7),
    }
    host.path("/srv/pki/broken.crt").write_bytes(b"-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n")
    named = {
        "/srv/pki/manager.crt": ("kube-controller-manager", "tls-cert-file"),
        "/srv/pki/scheduler.crt": ("kube-scheduler", "tls-cert-file"),
        "/srv/pki/scheduler.key": ("kube-scheduler", "tls-private-key-file"),
        "/srv/pki/broken.crt": ("kube-scheduler", "client-ca-file"),
        "/srv/pki/gone.crt": ("kube-scheduler", "requestheader-client-ca-file"),
        "": ("kube-controller-manager", "cluster-signing-cert-file"),
        f"{PKI}/apiserver.crt": ("kube-apiserver", "tls-cert-file"),
    }
    discovery = {
        "kubelet": {"configuration": {}, "flags": {}},
        "certificates": [{"path": path, "component": use[0], "flag": use[1]} for path, use in named.items()],
        "sni_certificates": ["/srv/pki/by-name.pem"],
    }
    before = ends(call(host.root))
    changes, facts = whole_call(host.root, discovery=discovery)
    assert changes == []
    told = {one["path"]: one["not_after"] for one in facts["certificates"] if one["kind"] == "owner"}
    assert told == expected
    assert {one["path"] for one in facts["certificates"] if one["kind"] == "authority"} >= set(expected)
    (note,) = facts["notes"]
    assert "/srv/pki/broken.crt" in note
    mine = [one for one in facts["certificates"] if one["path"] not in expected]
    assert {one["path"]: (one["kind"], one["not_after"], one["new"]) for one in mine} == before


def test_a_run_that_only_makes_what_is_missing_does_not_list(host: Directory) -> None:
    assert "certificates" not in call(host.root, scope=leaves.SCOPE_MISSING)


def test_a_restart_that_a_dead_run_did_not_come_to_is_foretold(
    host: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def running(root: str, *_rest: Any) -> Host:
        found = LivingDirectory(root)
        found.live = True
        return found

    monkeypatch.setattr(pki_call, "open_host", running)
    found: dict[str, Any] = {"discovery": {"components": {}, "kubelet": {"configuration": {}, "flags": {}}}}
    assert whole_call(host.root, check=True, **found)[0] == []
    Journal(host.host).note(restarts=["kube-scheduler"])
    changes, facts = whole_call(host.root, check=True, **found)
    assert [(change.target, change.action) for change in changes] == [("kube-scheduler", "restart")]
    assert not any(new for _kind, _end, new in ends(facts).values())
    # What only makes what is missing restarts nothing.
    assert whole_call(host.root, check=True, scope=leaves.SCOPE_MISSING, **found)[0] == []


@pytest.mark.parametrize("check", [True, False])
def test_what_the_authoritys_host_will_refuse_is_foretold(host: Directory, check: bool) -> None:
    """As others than kubeadm name it: where the key is here it is renewed with its name."""
    leaf, signer, key = host.pki.leaf("apiserver"), host.signers(time.time())["kubernetes"], keys.generate("ECDSA-P256")
    assert leaf.path is not None
    theirs = dataclasses.replace(leaf.profile, subject=profile.distinguished_name("kubernetes"))
    facts = issue.issue(theirs, keys.public_bytes(key), signer, time.time() - 300 * DAY)
    host.path(leaf.path.certificate).write_bytes(issue.certificate_pem(facts))
    host.path(leaf.path.key).write_bytes(keys.private_pem(key))
    assert f"{PKI}/apiserver.crt" in {change.target for change in whole_call(host.root, check=True)[0]}
    for item in host.pki.authorities:
        host.path(item.path.key).unlink()
    before = host.state()
    with pytest.raises(HardeningError, match=r"but its common name is not 'kube-apiserver'. Nothing was signed"):
        call(host.root, check=check)
    assert host.state() == before
    # What is not due is not asked for.
    call(host.root, check=True, only=["etcd-peer"])


def test_no_key_is_told(host: Directory) -> None:
    kubelets(host, "kubelet-client-current.pem", 5)
    text = repr(call(host.root))
    assert "PRIVATE" not in text
    body = host.path(f"{KUBELET}/kubelet-client-current.pem").read_text(encoding="ascii").split("PRIVATE KEY-----\n")[1]
    assert body.splitlines()[0] not in text


def test_when_the_certificates_of_an_etcd_elsewhere_end_is_seen_at_its_door(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = {"etcd-servers": "https://192.0.2.31:2379,https://[2001:db8::32]:2379,http://192.0.2.33:2379"}
    elsewhere: dict[str, Any] = {"components": {"kube-apiserver": {"flags": flags}}}
    key = keys.generate("ECDSA-P256")
    shown = issue.self_signed_authority(profile.wanted_authority("etcd1"), key, time.time())

    def peer(address: str, port: int) -> Peer:
        assert port == 2379
        return Peer(shown.certificate.public_bytes(Encoding.DER)) if address == "192.0.2.31" else Peer(None, "silent")

    monkeypatch.setattr(pki_call, "tls_peer", peer)
    found, notes = pki_call._shown_by_etcd(elsewhere)
    assert [(one["path"], one["kind"], one["not_after"]) for one in found] == [
        ("https://192.0.2.31:2379", "served", iso_time(shown.not_after))
    ]
    (note,) = notes
    assert "https://[2001:db8::32]:2379 shows none (silent)" in note
    # One of the cluster's own is known by its files, and so is one on a directory.
    assert pki_call._shown_by_etcd({"components": {**elsewhere["components"], "etcd": {}}}) == ([], [])
    assert pki_call._shown_by_etcd(None) == ([], [])


def test_a_clock_that_is_far_off_is_refused_where_something_is_issued_by_it(host: Directory) -> None:
    """A node whose clock is wrong, and which needs nothing, must not end the rotation of all others."""
    others = time.time() + 3600
    assert whole_call(host.root, now=others)[0] == []
    host.path(f"{PKI}/apiserver.crt").unlink()
    for check in (True, False):
        with pytest.raises(HardeningError, match=r"is 3(599|600) seconds behind the controller's"):
            call(host.root, check=check, now=others)
    assert not host.path(f"{PKI}/apiserver.crt").exists()
    host.path(f"{PKI}/ca.crt").write_bytes(b"-----BEGIN CERTIFICATE-----")
    with pytest.raises(HardeningError, match="Synchronise the clocks"):
        call(host.root, now=others)
