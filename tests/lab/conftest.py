# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests that need a real cluster.

``cluster`` gives one with one control plane and one worker of the newest version; the marker ``on`` asks for another:
``@pytest.mark.on("3+2", version="1.36", without=("w1:python3-yaml",), name="mine")``; also ``bare`` and ``algorithm``.
See ``lab.kubelab.harness``.

Clusters are made one at a time, those of the newest version first, since the others may still be being compiled. The
environment's KUBEHARDEN_LAB_DIR names a lab that is up and is used where it fits. Where the machine can't run a lab,
the tests are skipped with the reason; in CI they fail.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.kubelab import checks, components
from lab.kubelab.harness import Cluster, Clusters, Shape, shape
from tools.lacking import lacking


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "on(hosts, version, without, name, bare, algorithm): the cluster that a test of the lab needs"
    )


def _wanted(item: pytest.Item) -> Shape:
    marker = item.get_closest_marker("on")
    return shape(*marker.args, **marker.kwargs) if marker else shape("1+1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses a cluster is a test of the lab; tests of the same cluster run one after the other."""
    order: dict[Shape, int] = {}
    minors = components.minors()
    for item in items:
        if isinstance(item, pytest.Function) and "cluster" in item.fixturenames:
            item.add_marker("lab")
            order.setdefault(_wanted(item), len(order) + 1)

    def rank(item: pytest.Item) -> tuple[int, int]:
        if isinstance(item, pytest.Function) and "cluster" in item.fixturenames:
            wanted = _wanted(item)
            return (minors.index(wanted.version), order[wanted])
        # Tests of a version's programs without a cluster come when its clusters have been made.
        minor = getattr(getattr(item, "callspec", None), "params", {}).get("minor")
        return (minors.index(minor), len(order) + 1) if minor in minors else (-1, 0)

    items.sort(key=rank)


@pytest.fixture(scope="session")
def clusters() -> Iterator[Clusters]:
    """Makes clusters, and takes the last one down at the end."""
    missing = checks.lacking()
    if missing:
        lacking(f"no lab on this machine: {'; '.join(missing)}")
    maker = Clusters()
    yield maker
    maker.end()


@pytest.fixture
def cluster(request: pytest.FixtureRequest, clusters: Clusters) -> Cluster:
    """The cluster that the test's marker ``on`` asks for, shared with the tests that ask for the same."""
    return clusters.get(_wanted(request.node))
