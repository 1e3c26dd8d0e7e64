# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a name may have been meant to be is said only where one is like it."""

from __future__ import annotations

from ansible_collections.kubeharden.core.plugins.plugin_utils.nearest import nearest


def test_only_what_is_like_it_is_the_nearest() -> None:
    assert nearest("kubernets", ["etcd", "kubernetes"]) == "the nearest is kubernetes"
    assert nearest("nosuch", ["etcd", "kubernetes"]) == "there are etcd, kubernetes"
    assert nearest(7, ["etcd"], "docs/a.md lists them") == "docs/a.md lists them"
