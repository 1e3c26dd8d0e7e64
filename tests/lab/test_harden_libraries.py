# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host without the libraries that the modules need: the package is installed, foretold, or asked for."""

from __future__ import annotations

import pytest

from lab.kubelab.harness import Cluster
from lab.product import Product


@pytest.fixture
def product(cluster: Cluster) -> Product:
    """The cluster, whose worker has no PyYAML."""
    cluster.ssh("w1", "dpkg --purge --force-depends python3-yaml")
    assert not has_library(cluster)
    return Product(cluster)


def has_library(cluster: Cluster) -> bool:
    return cluster.ssh("w1", "/usr/bin/python3 -c 'import yaml'", check=False).returncode == 0


def test_a_missing_library_is_named_where_it_may_not_be_installed(product: Product) -> None:
    """And the other hosts keep no lock, nor does the cluster."""
    run = product.harden(install_packages=False)
    assert run.code == 2, str(run)
    assert run.messages == {
        "w1": "KH103: No Python on w1 has yaml. Nothing was changed; install python3-yaml, or leave "
        "kubeharden_install_packages at true."
    }
    assert not has_library(product.cluster)
    assert product.locked() == []


def test_a_missing_library_is_foretold_then_installed_and_the_run_goes_on(product: Product) -> None:
    foretold = product.harden("--limit", "w1", "--check").well()
    assert foretold.changed == {"w1": 1}, str(foretold)
    assert not has_library(product.cluster)
    run = product.harden("--limit", "w1").well()
    assert run.changed["w1"] >= 1
    assert has_library(product.cluster)
    # The run that installed it went on: nothing is left to do.
    assert product.harden("--limit", "w1").well().changed == {"w1": 0}
