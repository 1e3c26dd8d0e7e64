# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What certificates cost: a whole cluster's, by pki_directories, beside an empty play and beside community.crypto.

The set is the table's for one control plane and further nodes, each kubelet's two certificates among them: 3
authorities, 11 leaves, and 2 a node, so 114 of 50 nodes. The empty play starts one module, ping, on localhost.
community.crypto makes exactly the same certificates (not the kubeconfigs and the service-account key) in the way in
which it is used: key, request and certificate one after the other, in loops over all of them.

Processor time is that of ansible-playbook with all that it starts. Plays that are compared run in turn, and the median
of the ratios of each turn counts.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.kubeharden.core.plugins.module_utils.pki import data, layout
from tools.checkout import find_python, venv

NODES = 50
SIZES = (1, 10, NODES)
LARGE = 500
LAYOUT = {"super_admin": True, "kubelet_serving": True, "kubelet_client": True}
#: What a play is run in: on nothing, on what is there, and in check mode.
STATES = ("fresh", "again", "check")

#: What is asked for of NODES nodes in each state: at most of an empty play, and at least of community.crypto.
MOST_OF_AN_EMPTY_PLAY = 1.25
LEAST_OF_THE_PEER = 100.0

Run = Callable[..., str]
Figure = dict[str, "str | float"]


def cluster(nodes: int) -> dict[str, Any]:
    """One control plane and workers, together as many nodes as are wanted."""
    workers = [
        {"node_name": f"w{number}", "addresses": [f"10.1.{number // 250}.{number % 250 + 1}"]}
        for number in range(1, nodes)
    ]
    return {"control_planes": [{"node_name": "cp1", "addresses": ["10.0.0.1"]}], "nodes": workers}


def certificates(nodes: int) -> int:
    """How many certificates the set has."""
    return 3 + 11 + 2 * nodes


def leaves(nodes: int) -> list[dict[str, Any]]:
    """The leaves of the set, as the table has them, for community.crypto."""
    known = data.cluster(cluster(nodes))
    found = []
    for host in (*known.control_planes, *known.nodes):
        for leaf in layout.host_pki(data.layout(LAYOUT), known, host.node_name).leaves:
            names = leaf.profile.names
            found.append(
                {
                    "file": f"{host.node_name}-{leaf.name}",
                    "authority": leaf.authority,
                    "common_name": leaf.profile.subject.common_name,
                    "organization": list(leaf.profile.subject.organizations),
                    "names": sorted(
                        [*(f"DNS:{name}" for name in names.dns), *(f"IP:{one}" for one in names.addresses)]
                    ),
                    "usages": sorted(leaf.profile.extended_usages),
                }
            )
    return found


def empty_play() -> list[dict[str, Any]]:
    """A play that does nothing but start one module."""
    return _play([{"ansible.builtin.ping": {}}])


def our_play(folder: Path, nodes: int) -> list[dict[str, Any]]:
    """The set by this collection."""
    task = {"path": str(folder), "cluster": cluster(nodes), "layout": LAYOUT}
    return _play([{"kubeharden.core.pki_directories": task}])


def peer_play(folder: Path, nodes: int) -> list[dict[str, Any]]:
    """The set by community.crypto, as its own guide to small authorities has it."""
    authorities = [{"file": f"ca-{row.name}", "common_name": row.common_name} for row in layout.AUTHORITIES]
    key = {"path": f"{folder}/{{{{ item.file }}}}.key", "type": "ECC", "curve": "secp256r1", "mode": "0600"}
    paired = "{{ requests.results | map(attribute='item') | zip(requests.results | map(attribute='csr')) }}"
    tasks: list[dict[str, Any]] = []
    for items, request, signing in (
        (
            authorities,
            {
                "basic_constraints": ["CA:TRUE"],
                "basic_constraints_critical": True,
                "key_usage": ["keyCertSign", "cRLSign", "digitalSignature"],
                "key_usage_critical": True,
            },
            {"provider": "selfsigned", "privatekey_path": f"{folder}/{{{{ item.0.file }}}}.key"},
        ),
        (
            leaves(nodes),
            {
                "organization_name": "{{ (item.organization | first) if item.organization else omit }}",
                "subject_alt_name": "{{ item.names or omit }}",
                "extended_key_usage": "{{ item.usages }}",
                "key_usage": ["digitalSignature"],
                "key_usage_critical": True,
            },
            {
                "provider": "ownca",
                "ownca_path": f"{folder}/ca-{{{{ item.0.authority }}}}.crt",
                "ownca_privatekey_path": f"{folder}/ca-{{{{ item.0.authority }}}}.key",
            },
        ),
    ):
        asked = {"privatekey_path": key["path"], "common_name": "{{ item.common_name }}", **request}
        issued = {
            "path": f"{folder}/{{{{ item.0.file }}}}.crt",
            "mode": "0644",
            "csr_content": "{{ item.1 }}",
            **signing,
        }
        tasks += [
            {"community.crypto.openssl_privatekey": key, "loop": items},
            {
                "community.crypto.openssl_csr_pipe": asked,
                "loop": items,
                "register": "requests",
                "changed_when": False,
                "check_mode": False,
            },
            {"community.crypto.x509_certificate": issued, "loop": paired},
        ]
    return _play(tasks)


def _play(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]


class Bench:
    """Plays in a folder, run one after the other.

    Args:
        run: Runs a command of the checkout.
        folder: For playbooks, and what they make.
    """

    def __init__(self, run: Run, folder: Path) -> None:
        self._run = run
        self._folder = folder
        self._peer = Path()

    def seconds(self, play: list[dict[str, Any]], check: bool = False, program: str = "ansible-playbook") -> float:
        """Processor seconds that a play takes."""
        book = self._folder / "play.yml"
        book.write_text(json.dumps(play), encoding="utf-8")
        begun = _used()
        self._run([program, "-i", "localhost,", "-c", "local", book, *(["--check"] if check else [])])
        return _used() - begun

    def turn(self, nodes: int) -> dict[str, float]:
        """Processor seconds of the set in each state, once."""
        made = self._folder / f"made-{nodes}"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        return {state: self.seconds(our_play(made, nodes), state == "check") for state in STATES}

    def peer_turn(self, nodes: int) -> dict[str, float]:
        """The same by community.crypto."""
        made = self._folder / "peer"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        program = str(self._peer_program())
        return {state: self.seconds(peer_play(made, nodes), state == "check", program) for state in STATES}

    def _peer_program(self) -> Path:
        if self._peer == Path():
            python = find_python("3.13", "3.12", "3.11")
            if python is None:
                raise OSError("community.crypto needs Python 3.11, 3.12 or 3.13")
            self._peer = venv("community", "community", python) / "bin" / "ansible-playbook"
        return self._peer


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def missed(figures: Sequence[Figure]) -> list[str]:
    """A sentence for each figure that is not what was asked for."""
    found = []
    for figure in figures:
        name, value = str(figure["name"]), float(figure["value"])
        for state in STATES:
            if name == f"pki_{NODES}_{state}_cpu_vs_empty_play" and value > MOST_OF_AN_EMPTY_PLAY:
                found.append(f"{name} is {value}, and at most {MOST_OF_AN_EMPTY_PLAY} was asked for")
            if name == f"pki_{NODES}_{state}_cpu_community_crypto_vs_ours" and value < LEAST_OF_THE_PEER:
                found.append(f"{name} is {value}, and at least {LEAST_OF_THE_PEER:.0f} was asked for")
    return found


def ratio(name: str, above: Sequence[float], below: Sequence[float]) -> Figure:
    """The median of the ratios of each turn."""
    return {"name": name, "value": round(statistics.median(a / b for a, b in zip(above, below)), 2), "unit": "ratio"}


def measure(run: Run, rounds: int, peer_nodes: int = NODES) -> list[Figure]:
    """All figures of certificates.

    Args:
        run: Runs a command of the checkout.
        rounds: How many turns; community.crypto and the large cluster have one each.
        peer_nodes: For how many nodes community.crypto makes certificates.
    """
    # `make` lets no Python keep what it compiled, which would be measured in each turn.
    kept = os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="kubeharden-bench-") as folder:
        os.environ["PYTHONPYCACHEPREFIX"] = f"{folder}/compiled"
        try:
            return _measure(Bench(run, Path(folder)), rounds, peer_nodes)
        finally:
            del os.environ["PYTHONPYCACHEPREFIX"]
            if kept is not None:
                os.environ["PYTHONDONTWRITEBYTECODE"] = kept


def _measure(bench: Bench, rounds: int, peer_nodes: int) -> list[Figure]:
    bench.turn(1)  # compiles
    bench.seconds(empty_play())
    empty = []
    ours: dict[tuple[int, str], list[float]] = {(nodes, state): [] for nodes in SIZES for state in STATES}
    for _round in range(rounds):
        empty.append(bench.seconds(empty_play()))
        for nodes in SIZES:
            for state, seconds in bench.turn(nodes).items():
                ours[nodes, state].append(seconds)
    print(f"# an empty play, processor seconds: {[round(one, 2) for one in empty]}")
    figures = []
    for (nodes, state), taken in ours.items():
        print(f"# certificates of {nodes} nodes, {state}: {[round(one, 2) for one in taken]}")
        figures.append(ratio(f"pki_{nodes}_{state}_cpu_vs_empty_play", taken, empty))
    figures += _against_the_peer(bench, peer_nodes)
    return figures + _large(bench)


def _against_the_peer(bench: Bench, nodes: int) -> list[Figure]:
    """One turn of each: the peer's takes minutes. Of a smaller set what is above an empty play is scaled up."""
    empty, ours, theirs = bench.seconds(empty_play()), bench.turn(NODES), bench.peer_turn(nodes)
    scale = certificates(NODES) / certificates(nodes)
    figures = []
    for state in STATES:
        scaled = empty + (theirs[state] - empty) * scale
        how = "" if nodes == NODES else f", scaled from {certificates(nodes)} to {certificates(NODES)}: {scaled:.1f}"
        print(f"# community.crypto, {certificates(nodes)} certificates, {state}: {theirs[state]:.1f}{how}")
        print(f"# beside it {certificates(NODES)} by ours: {ours[state]:.2f}")
        figures.append(ratio(f"pki_{NODES}_{state}_cpu_community_crypto_vs_ours", [scaled], [ours[state]]))
    return figures


def _large(bench: Bench) -> list[Figure]:
    """What each node above 50 costs."""
    few, many = bench.turn(NODES), bench.turn(LARGE)
    figures: list[Figure] = []
    for state in STATES:
        print(f"# certificates of {NODES} and {LARGE} nodes, {state}: {few[state]:.2f}, {many[state]:.2f}")
        each = (many[state] - few[state]) / (LARGE - NODES) * 1000
        figures.append({"name": f"pki_{LARGE}_{state}_cpu_per_further_node", "value": round(each, 1), "unit": "ms"})
    return figures
