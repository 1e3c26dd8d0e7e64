# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which concerns --tags and --skip-tags leave in."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils.nearest import nearest

#: Every tag that our tasks have, but for Ansible's ``always``.
TAGS = (
    *("discover", "files", "audit", "apiserver", "controller_manager", "scheduler", "etcd", "kubelet", "kube_proxy"),
    *("kubeadm", "pki", "verify"),
)
#: Words of Ansible's that stand for tags.
_ALL = ("all", "always", "tagged")
_NONE = ("never", "untagged")
#: Without it nothing of a run is left; what else leaves all of it out (``--skip-tags always``) no task can see.
_NEEDED = "discover"


def problems(run_tags: t.Iterable[str], skip_tags: t.Iterable[str], ours: bool) -> list[str]:
    """Return a sentence for each tag with which a run would do nothing, or not what its user means.

    Args:
        run_tags: What ``--tags`` says.
        skip_tags: What ``--skip-tags`` says.
        ours: Whether the playbook is one of ours; one of the user's that imports ours may have more tags.
    """
    run, skip = set(run_tags), set(skip_tags)
    found = []
    if ours:
        unknown = [("--tags", tag) for tag in sorted(run - {*TAGS, *_ALL})]
        unknown += [("--skip-tags", tag) for tag in sorted(skip - {*TAGS, *_NONE})]
        for option, tag in unknown:
            found.append(f"{option}: there is no tag {tag}; {nearest(tag, TAGS)}.")
    if _NEEDED in skip:
        found.append(f"--skip-tags: {_NEEDED} is part of every run; name what is to be left out, or use --tags.")
    return found


def wanted(run_tags: t.Sequence[str], skip_tags: t.Sequence[str], concern: str) -> bool:
    """Return whether a run is about a concern; its tag has the concern's name."""
    return concern not in skip_tags and any(tag in run_tags for tag in ("all", "tagged", concern))


#: Beside the concerns a template may say what it left as it is, and why, and what a later run may do.
NOTES = "notes"
NOT_DONE = "not_done"


def select(concerns: t.Mapping[str, t.Any], run_tags: t.Sequence[str], skip_tags: t.Sequence[str]) -> dict[str, t.Any]:
    """Return the settings of those concerns that a run is about."""
    return {
        field: data
        for name, settings in concerns.items()
        if name not in (NOTES, NOT_DONE) and wanted(run_tags, skip_tags, name)
        for field, data in (settings or {}).items()
    }
