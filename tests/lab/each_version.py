# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that ask for a cluster of every version of Kubernetes that the lab has."""

from __future__ import annotations

import pytest

from lab.kubelab import components


def on_each_version(hosts: str, *, in_ci: int = 0, name: str = "", since: int = 0) -> pytest.MarkDecorator:
    """A mark by which a test runs on each version, the newest first.

    :param hosts: such as ``1+1``.
    :param in_ci: on how many versions, from the newest on, it runs in ``make test``; on the others it is slow.
    :param name: of a cluster that no other test touches; else it is everybody's.
    :param since: the first minor version that has what is tested.
    """
    cases = []
    minors = [minor for minor in components.minors() if int(minor.split(".")[1]) >= since]
    for place, minor in enumerate(minors):
        marks = [pytest.mark.on(hosts, version=minor, name=name), *([] if place < in_ci else [pytest.mark.slow])]
        cases.append(pytest.param(marks=marks, id=minor))
    return pytest.mark.parametrize((), cases)
