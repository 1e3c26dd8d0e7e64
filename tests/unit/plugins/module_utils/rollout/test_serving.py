# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests for serving certificates: those of one batch of hosts first, whatever else waits once at the end."""

from __future__ import annotations

import dataclasses
import os
import typing as t
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, bundle, issue, keys, pem, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import Names, address_or_none
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Peer
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import serving

NODES = ("cp1", "w1", "w2")
NOW = 1_800_000_000.0
DAY = 86400
SIGNER = authority.create(profile.wanted_authority("kubernetes"), NOW - DAY)
PUBLIC_KEY = keys.public_bytes(ec.generate_private_key(ec.SECP256R1()))


def node(name: str) -> dict[str, t.Any]:
    return {"metadata": {"name": name}, "status": {"addresses": []}}


def request(name: str) -> dict[str, t.Any]:
    return {
        "metadata": {"name": f"csr-{name}"},
        "spec": {
            "signerName": "kubernetes.io/kubelet-serving",
            "username": f"system:node:{name}",
            "request": "bm9uZQ==",
        },
        "status": {},
    }


@pytest.fixture
def cluster() -> serving.Cluster:
    def refuse(_request: dict[str, t.Any]) -> bool:
        raise AssertionError("what cannot be read is not approved")

    return serving.Cluster(
        requests=lambda: [request(name) for name in NODES],
        nodes=lambda: [node(name) for name in NODES],
        approve=refuse,
        certify=lambda _request, _certificate: False,
        peer=lambda _host, _port: Peer(None, "nobody is asked"),
        authority=b"",
        now=lambda: 0.0,
        clock=lambda: 0.0,
        sleep=lambda _seconds: None,
    )


def served(
    names: t.Sequence[str] = ("192.0.2.11", "w1"), subject: str = "system:node:w1", signer: Authority = SIGNER
) -> bytes:
    """A certificate as a kubelet serves it, in DER, for a day from NOW on."""
    addresses = frozenset(name for name in names if address_or_none(name))
    wanted = profile.wanted(subject, ["system:nodes"], Names(frozenset(names) - addresses, addresses), [profile.SERVER])
    return issue.issue(wanted, PUBLIC_KEY, signer, NOW, DAY).der


def proven(cluster: serving.Cluster, certificate: bytes, known: list[dict[str, str]], **changes: t.Any) -> str:
    """What keeps node w1 from being proven, and where it was asked."""
    asked: list[str] = []

    def peer(host: str, _port: int) -> Peer:
        asked.append(host)
        return Peer(certificate)

    w1 = {"metadata": {"name": "w1"}, "status": {"addresses": known}}
    given = {"nodes": lambda: [w1], "peer": peer, "authority": bundle.join([SIGNER.facts]), "now": lambda: NOW + 60}
    made = dataclasses.replace(cluster, **{**given, **changes})
    trouble = serving.unproven(made).get("w1", "")
    return f"{', '.join(asked)}: {trouble}"


OTHER = authority.create(profile.wanted_authority("monitoring"), NOW - DAY)
#: Of a version that no certificate has, as some appliances write them.
ODD = pem.encode("CERTIFICATE", SIGNER.facts.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1))
INTERNAL = {"type": "InternalIP", "address": "192.0.2.11"}
SECOND = {"type": "InternalIP", "address": "2001:db8::11"}
EXTERNAL = {"type": "ExternalIP", "address": "198.51.100.11"}
HOSTNAME = {"type": "Hostname", "address": "W1"}


@pytest.mark.parametrize(
    ("before", "signer", "well"),
    [
        (OTHER, SIGNER, True),
        (ODD, SIGNER, True),
        (b"-----END CERTIFICATE-----\n", SIGNER, True),
        (SIGNER, OTHER, False),
    ],
)
def test_the_clusters_authority_may_stand_anywhere_in_the_file(
    cluster: serving.Cluster, before: Authority | bytes, signer: Authority, well: bool
) -> None:
    first = before if isinstance(before, bytes) else bundle.join([before.facts])
    held = first + bundle.join([SIGNER.facts])
    found = proven(cluster, served(signer=signer), [INTERNAL], authority=held)
    assert found.endswith("192.0.2.11: ") is well


@pytest.mark.parametrize(
    ("names", "addresses", "found"),
    [
        (("192.0.2.11", "w1"), [HOSTNAME, INTERNAL, SECOND], "192.0.2.11: "),
        (("2001:db8::11", "w1"), [INTERNAL, SECOND], "192.0.2.11: its certificate is not for 192.0.2.11,"),
        (("w1",), [HOSTNAME, INTERNAL], "but for w1"),
        ((), [INTERNAL], "but for no name"),
        (("192.0.2.12",), [INTERNAL, EXTERNAL], "its certificate is not for 192.0.2.11,"),
        (("2001:db8::11",), [{**SECOND, "address": "2001:DB8:0::11"}], "2001:DB8:0::11: "),
        (("198.51.100.11",), [HOSTNAME, EXTERNAL], "198.51.100.11: "),
        (("w1",), [HOSTNAME], "W1: "),
        (("w2",), [HOSTNAME], "its certificate is not for W1,"),
        (("w1",), [], "its address is not known"),
    ],
)
def test_a_certificate_must_be_for_the_address_that_api_servers_take(
    cluster: serving.Cluster, names: tuple[str, ...], addresses: list[dict[str, str]], found: str
) -> None:
    """Else logs and exec end as soon as API servers verify kubelets."""
    told = proven(cluster, served(names), addresses)
    assert found in told
    assert found.endswith(": ") == told.endswith(": ")


def test_the_address_is_the_one_that_the_owners_flag_prefers(cluster: serving.Cluster) -> None:
    told = proven(cluster, served(("w1",)), [INTERNAL, HOSTNAME], addresses=serving.OWN_ADDRESSES)
    assert told == "W1: "


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (NOW - 3600, "its certificate holds from 2027-01-15T07:55:00Z on only"),
        (NOW - 200, ""),
        (NOW + DAY, ""),
        (NOW + DAY + 1, "its certificate ended on 2027-01-16T08:00:00Z"),
    ],
)
def test_a_certificate_must_hold_now(cluster: serving.Cluster, now: float, found: str) -> None:
    assert proven(cluster, served(), [INTERNAL], now=lambda: now) == f"192.0.2.11: {found}"


def test_a_certificate_of_another_node_or_authority_proves_nothing(cluster: serving.Cluster) -> None:
    other = authority.create(profile.wanted_authority("other"), NOW - DAY)
    assert "is that of CN=system:node:w2,O=system:nodes" in proven(
        cluster, served(subject="system:node:w2"), [INTERNAL]
    )
    assert "signed by CN=other, not by the cluster's authority" in proven(cluster, served(signer=other), [INTERNAL])
    assert "cannot be read" in proven(cluster, b"none", [INTERNAL])


def named(sentences: list[str]) -> list[str]:
    return [sentence.split()[1] for sentence in sentences]


@pytest.mark.parametrize(
    ("expected", "judged"),
    [((), ["csr-cp1", "csr-w1", "csr-w2"]), (("w2",), ["csr-w2"]), (("w1", "cp1"), ["csr-cp1", "csr-w1"])],
)
def test_requests_of_other_nodes_than_the_expected_are_left_to_the_end(
    cluster: serving.Cluster, expected: tuple[str, ...], judged: list[str]
) -> None:
    good, refused = serving.pending(cluster, expected)
    assert good == []
    assert named(refused) == judged


@pytest.mark.parametrize(("asked", "addresses"), [(["w1"], ["192.0.2.2"]), ([], ["192.0.2.1", "192.0.2.2"])])
def test_nobody_is_asked_who_is_not_meant(cluster: serving.Cluster, asked: list[str], addresses: list[str]) -> None:
    """Each that is silent takes seconds."""
    found: list[str] = []

    def peer(host: str, _port: int) -> Peer:
        found.append(host)
        return Peer(None, "timeout")

    given = [
        {"metadata": {"name": name}, "status": {"addresses": [{"type": "InternalIP", "address": f"192.0.2.{number}"}]}}
        for number, name in enumerate(["cp1", "w1"], 1)
    ]
    made = dataclasses.replace(cluster, nodes=lambda: given, peer=peer)
    assert set(serving.unproven(made, asked).values()) == {"its kubelet shows no certificate (timeout)"}
    assert found == addresses


def test_while_kubelets_are_waited_for_no_other_is_asked(cluster: serving.Cluster, tmp_path: Path) -> None:
    found: list[str] = []
    times = iter(range(100))

    def peer(host: str, _port: int) -> Peer:
        found.append(host)
        return Peer(None, "timeout")

    given = [
        {"metadata": {"name": name}, "status": {"addresses": [{"type": "Hostname", "address": name}]}} for name in NODES
    ]
    made = dataclasses.replace(cluster, nodes=lambda: given, peer=peer, clock=lambda: float(next(times)))
    with pytest.raises(HardeningError, match="after 3 s"):
        serving.approve(made, ["w1"], 3.0, Backup(Host(str(tmp_path)), "run-1"))
    assert set(found) == {"w1"}


def test_where_nobody_is_expected_everything_that_waits_is_judged_once(
    cluster: serving.Cluster, tmp_path: Path
) -> None:
    backup = Backup(Host(str(tmp_path)), "run-1")
    changes, refused = serving.approve(cluster, [], 10.0, backup)
    assert changes == []
    assert not os.path.exists(backup.directory)  # what is not approved is no change
    assert named(refused) == ["csr-cp1", "csr-w1", "csr-w2"]


# ---- what is told


def seen_of(cluster: serving.Cluster, certificates: t.Mapping[str, bytes], **changes: t.Any) -> serving.Cluster:
    """A cluster whose nodes show these certificates, each at an address of its name."""
    nodes = [{"metadata": {"name": name}, "status": {"addresses": [INTERNAL_OF[name]]}} for name in certificates]
    by_address = {INTERNAL_OF[name]["address"]: one for name, one in certificates.items()}
    given = {
        "nodes": lambda: nodes,
        "peer": lambda host, _port: Peer(by_address[host]),
        "authority": bundle.join([SIGNER.facts]),
        "now": lambda: NOW + 60,
    }
    return dataclasses.replace(cluster, **{**given, **changes})


INTERNAL_OF = {name: {"type": "InternalIP", "address": f"192.0.2.{number}"} for number, name in enumerate(("w1", "w2"))}
W1 = ("192.0.2.0", "w1")


def test_the_next_approval_is_due_before_the_first_certificate_ends(cluster: serving.Cluster) -> None:
    """A kubelet asks when 70 to 90 % of a certificate's life are over."""
    shown = {"w1": served(W1), "w2": served(("192.0.2.1",), "system:node:w2", OTHER)}
    made = seen_of(cluster, shown)
    begin, end = serving.serving_request.life_of(shown["w1"])
    sentence = serving.next_approval(serving.look(made))
    assert serving._shown(begin + 0.7 * (end - begin)) + " on." in sentence
    assert f"due by {serving._shown(end)}, when that of w1 ends" in sentence
    assert serving.next_approval({"w2": serving.look(made)["w2"]}) == ""  # nobody approves what others sign


def test_what_was_just_approved_is_waited_for_before_its_end_is_told(cluster: serving.Cluster) -> None:
    clock = [0.0]
    old, new = served(W1), served((*W1, "new"))

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    made = seen_of(
        cluster,
        {"w1": old},
        peer=lambda _host, _port: Peer(new if clock[0] > 3 else old),
        now=lambda: NOW + 0.8 * DAY if clock[0] <= 3 else NOW + 60,
        clock=lambda: clock[0],
        sleep=sleep,
    )
    assert serving.look_when_renewed(made, 10.0)["w1"].certificate == new
    clock[0] = -100.0
    assert serving.look_when_renewed(made, 10.0)["w1"].certificate == old
    assert clock[0] < -80


def test_where_api_servers_go_by_an_authority_of_the_owners_that_counts(cluster: serving.Cluster) -> None:
    theirs = served(W1, "CN of the company", OTHER)
    made = seen_of(cluster, {"w1": theirs}, verifier=bundle.join([OTHER.facts]), foreign=True)
    assert serving.look(made) == {"w1": serving.Seen("")}
    (trouble,) = serving.unproven(seen_of(cluster, {"w1": served(W1)}, verifier=made.verifier, foreign=True)).values()
    assert trouble.endswith("not by the authority that kube-apiserver verifies kubelets by")
    (trouble,) = serving.unproven(seen_of(cluster, {"w1": served(W1)}, verifier=made.verifier)).values()
    assert "signed by" in trouble


def test_which_kubelets_are_not_verified_is_one_sentence() -> None:
    left = {f"w{number:02}": "its address is not known" for number in range(12)}
    sentence = serving.not_verified(left, "")
    assert sentence.startswith("kube-apiserver was not told to verify kubelets, since not all of them serve")
    assert "w00: its address is not known; w01: " in sentence
    assert "; and 2 more" in sentence
    assert "w10" not in sentence
    assert serving.not_verified({"w1": "it is away"}, "/srv/ca.crt") == (
        "kube-apiserver, which verifies kubelets by /srv/ca.crt, refuses logs and exec of w1: it is away."
    )
