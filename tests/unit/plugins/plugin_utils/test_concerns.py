# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags that there are not are told, and those that there are stand in the roles."""

from __future__ import annotations

import re

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.plugin_utils import concerns, controller


@pytest.mark.parametrize(
    ("run", "skip", "words"),
    [
        (["all"], [], []),
        (["audit", "kube_proxy"], ["verify", "never"], []),
        (["always"], [], []),
        (["audits"], [], ["--tags: there is no tag audits; the nearest is audit."]),
        (["audit", "kube-proxy"], [], ["--tags: there is no tag kube-proxy; the nearest is kube_proxy."]),
        (["untagged"], [], ["--tags: there is no tag untagged; there are discover, files, "]),
        (["all"], ["verfy"], ["--skip-tags: there is no tag verfy; the nearest is verify."]),
        (["all"], ["discover"], ["--skip-tags: discover is part of every run; name what is to be left out, or use"]),
    ],
)
def test_a_tag_that_is_none_is_told_with_the_nearest(run: list[str], skip: list[str], words: list[str]) -> None:
    found = concerns.problems(run, skip, True)
    assert len(found) == len(words)
    assert all(sentence.startswith(start) for sentence, start in zip(found, words))
    # Of a playbook of the user's nothing is known but what is ours.
    assert bool(concerns.problems(run, skip, False)) == ("discover" in skip)


def test_every_tag_of_a_role_or_a_playbook_is_known() -> None:
    def tags(data: object) -> set[str]:
        if isinstance(data, dict):
            own = data.get("tags") or []
            own = [own] if isinstance(own, str) else own
            # Of a task that is for several, those that are skipped are taken away: their names stand in quotes.
            named = {name for tag in own for name in (re.findall(r"'(\w+)'", tag) if "{{" in tag else [tag])}
            return named.union(*map(tags, data.values()))
        return set().union(*map(tags, data)) if isinstance(data, list) else set()

    root = controller.COLLECTION
    paths = [*root.glob("roles/*/tasks/*.yml"), *root.glob("playbooks/*.yml")]
    found = {tag for path in paths for tag in tags(yaml.safe_load(path.read_text(encoding="utf-8")))}
    assert found == {*concerns.TAGS, "always", "never"}
