# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that may take longer than the lock of the cluster lasts renew it while they wait."""

from __future__ import annotations

import contextlib
import typing as t

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible.module_utils.testing import patch_module_args

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Lock
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import kube_proxy_api, lease, pulls_api
from ansible_collections.kubeharden.core.plugins.modules import image_pulls, kube_proxy, renew_lock


class Lease:
    """The lock, which says when it is renewed."""

    renewals: t.ClassVar[list[tuple[str, str]]] = []

    def __init__(self, kubeconfig: str) -> None:
        self._kubeconfig = kubeconfig

    def renew(self, run_id: str, taken: bool) -> None:
        assert taken
        self.renewals.append((self._kubeconfig, run_id))


@pytest.fixture(autouse=True)
def renewals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    Lease.renewals.clear()
    monkeypatch.setattr(lease, "lease_of", Lease)
    monkeypatch.setattr(Lock, "in_use", lambda *_arguments: contextlib.nullcontext())
    return Lease.renewals


ARGUMENTS = {"run_id": "first", "discovery": {"admin_kubeconfig": "/a.conf"}, "locks": ["host", "cluster"]}


@pytest.mark.parametrize(("module", "api"), [(kube_proxy, kube_proxy_api), (image_pulls, pulls_api)])
def test_what_many_nodes_are_waited_for_with_renews_it(
    monkeypatch: pytest.MonkeyPatch, module: t.Any, api: t.Any
) -> None:
    given: list[t.Any] = []

    def build(*arguments: t.Any) -> None:
        given.extend(arguments)
        raise HardeningError("KH118", "That is enough.")

    monkeypatch.setattr(api, "build", build)
    with patch_module_args(ARGUMENTS), pytest.raises(SystemExit):
        module.main()
    assert isinstance(given[3], lease.Keeping)


def test_between_batches_of_nodes_a_call_does_nothing_else(
    renewals: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with patch_module_args(ARGUMENTS), pytest.raises(SystemExit) as ended:
        renew_lock.main()
    assert ended.value.code == 0
    assert '"changed": false' in capsys.readouterr().out
    assert renewals == [("/a.conf", "first")]
