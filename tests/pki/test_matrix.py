# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every leaf for every purpose, before three verifiers, and every answer both ways."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority as authorities,
    issue,
    keys,
    layout,
    pem,
    plan,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import Names
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import (
    SERVER,
    from_pem,
    wanted,
    wanted_authority,
)

pytestmark = pytest.mark.pki

MATRIX = yaml.safe_load((Path(__file__).parent / "matrix.yml").read_text())
CELLS = [(leaf, purpose) for leaf, row in MATRIX["leaves"].items() for purpose in row]
CLUSTER = layout.ClusterFacts(
    control_planes=(layout.HostFacts("cp1", ("192.0.2.10", "2001:db8::10")),), load_balancer="lb.example.org:6443"
)
LAYOUT = layout.Layout(component_serving=True, kubelet_serving=True, kubelet_client=True, super_admin=True)


@dataclass(frozen=True)
class Pki:
    """Certificate and key of each leaf, and each authority's bundle."""

    leaves: dict[str, tuple[bytes, bytes]]
    below: dict[str, tuple[bytes, bytes]]
    roots: dict[str, bytes]
    throwaway: tuple[bytes, bytes]


def made(algorithm: str, is_intermediate: bool, anchor: str = "root") -> Pki:
    """A control plane's PKI; `anchor` says whether the verifiers trust the roots or the authorities' own files."""
    now = time.time()
    host = layout.host_pki(LAYOUT, CLUSTER, "cp1")
    signing = {}
    for item in host.authorities:
        if is_intermediate:
            root = authorities.create(wanted_authority(f"{item.name}-root"), now, algorithm)
            signing[item.name] = authorities.create_below(item.profile, root, now, algorithm)
        else:
            signing[item.name] = authorities.create(item.profile, now, algorithm)
    planned = plan.plan(host, {}, signing, now, Policy(key_algorithm=algorithm))
    leaves, below = {}, {}
    for item_plan in planned.leaves:
        authority = signing[item_plan.leaf.authority]
        prepared = plan.prepare(item_plan)
        facts = plan.sign(prepared.request, item_plan.profile, authority, now, item_plan.lifetime, "here")
        leaves[item_plan.leaf.name] = plan.complete(prepared, facts, authority.chain)
        forger = issue.Authority(facts, prepared.key, (authority.facts, *authority.above))
        below[item_plan.leaf.name] = signed_below(forger, now)
    tops = {name: one.above[-1] if one.above and anchor == "root" else one.facts for name, one in signing.items()}
    roots = {name: pem.encode("CERTIFICATE", one.der) for name, one in tops.items()}
    return Pki(leaves, below, roots, authorities.files(authorities.create(wanted_authority("throwaway"), now)))


def signed_below(leaf: issue.Authority, now: float) -> tuple[bytes, bytes]:
    """A certificate that the leaf signs as if it were an authority, with the chain that a forger would send."""
    key = keys.generate("ECDSA-P256")
    profile = wanted("forged", names=Names(frozenset({"forged.example.org"})), usages=(SERVER,))
    facts = issue.issue(profile, keys.public_bytes(key), leaf, now)
    chain = [leaf.facts, *[one for one in leaf.above if not one.is_self_issued]]
    return issue.certificate_pem(facts, chain), keys.private_pem(key)


VARIANTS: dict[str, tuple[Any, ...]] = {
    "ECDSA-P256": ("ECDSA-P256", False),
    "ECDSA-P384": ("ECDSA-P384", False),
    "RSA-2048": ("RSA-2048", False),
    "below-an-outside-root": ("ECDSA-P256", True),
    "trusting-the-intermediates": ("ECDSA-P256", True, "own"),
}


@pytest.fixture(scope="module", params=list(VARIANTS))
def pki(request: pytest.FixtureRequest) -> Pki:
    return made(*VARIANTS[request.param])


def question(pki: Pki, leaf: str, purpose: str) -> dict[str, str]:
    """The case for the Go program; the other verifiers are asked the same."""
    what = MATRIX["purposes"][purpose]
    pair = pki.leaves[leaf]
    own_authority = next(row.authority for row in planned_rows() if row.name == leaf)
    name = presented_name(pair[0])
    if purpose == "sign":
        pair, name = pki.below[leaf], "forged.example.org"
    roots = pki.roots[own_authority if what["authority"] == "own" else what["authority"]]
    return {
        "kind": what["presented_by"],
        "certificate": pair[0].decode(),
        "key": pair[1].decode(),
        "roots": roots.decode(),
        "name": name if what["presented_by"] == "server" else "",
    }


def planned_rows() -> tuple[layout.Leaf, ...]:
    return layout.host_pki(LAYOUT, CLUSTER, "cp1").leaves


def presented_name(certificate: bytes) -> str:
    names = from_pem(certificate, "the leaf").profile.names
    return min(names.dns) if names.dns else "localhost"


def test_the_table_has_every_leaf_and_every_purpose() -> None:
    assert sorted(MATRIX["leaves"]) == sorted(leaf.name for leaf in planned_rows())
    for row in MATRIX["leaves"].values():
        assert list(row) == list(MATRIX["purposes"])
        assert all(cell["source"] for cell in row.values())


EXPECTED = {(leaf, purpose): MATRIX["leaves"][leaf][purpose]["accepted"] for leaf, purpose in CELLS}


def test_go(pki: Pki, go_verdicts: Callable[..., dict[str, str]]) -> None:
    answers = go_verdicts([{"id": f"{leaf} {purpose}", **question(pki, leaf, purpose)} for leaf, purpose in CELLS])
    assert {cell: answers[" ".join(cell)] == "" for cell in CELLS} == EXPECTED


def test_openssl(pki: Pki, openssl_verdict: Callable[..., str], tmp_path: Path) -> None:
    accepted = {}
    for cell in CELLS:
        asked = question(pki, *cell)
        certificate, roots = asked["certificate"].encode(), asked["roots"].encode()
        accepted[cell] = openssl_verdict(tmp_path, certificate, roots, asked["kind"], asked["name"]) == ""
    assert accepted == EXPECTED


def test_python(pki: Pki, python_verdict: Callable[..., str]) -> None:
    accepted = {}
    for cell in CELLS:
        asked = question(pki, *cell)
        pair = asked["certificate"].encode(), asked["key"].encode()
        answer = python_verdict(*pair, asked["roots"].encode(), asked["kind"], asked["name"], pki.throwaway)
        accepted[cell] = answer == ""
    assert accepted == EXPECTED


def test_a_server_is_refused_under_a_name_that_is_not_its_own(
    pki: Pki, go_verdicts: Callable[..., dict[str, str]], openssl_verdict: Callable[..., str], tmp_path: Path
) -> None:
    servers = [leaf for leaf, row in MATRIX["leaves"].items() if row["serve_kubernetes"]["accepted"]]
    cases = [{**question(pki, leaf, "serve_kubernetes"), "id": leaf, "name": "other.example.org"} for leaf in servers]
    answers = go_verdicts(cases)
    for case in cases:
        assert "other.example.org" in answers[case["id"]]
        assert openssl_verdict(tmp_path, case["certificate"].encode(), case["roots"].encode(), "server", case["name"])
