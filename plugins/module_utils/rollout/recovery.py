# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run that died left under way, finished or undone before anything else."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import API_SERVER
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.history import remove_leftovers
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
from ansible_collections.kubeharden.core.plugins.module_utils.files.together import Unfinished, finish, unfinished
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_text
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import kube_proxy, kubelet, pulls
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.absence import (
    Absence,
    put_back_in_order,
    refusal_of,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.standing import require_spare, stands
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.trial import Trial
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.unproven import Unproven, is_whole, sort
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import (
    Failure,
    Sight,
    Watcher,
)


def foretell(host: Host) -> list[str]:
    """Return what the next run outside check mode does first, as sentences."""
    journal = Journal(host)
    left = journal.read()
    told = []
    begun = unfinished(host)
    if begun.changed:
        told.append(f"{_changed_since(begun)} The next run removes what was still to be laid and renames nothing more.")
    elif begun.paths:
        paths = ", ".join(begun.paths)
        told.append(f"A run that died began to replace {paths} together; the next run finishes it first.")
    if "trial" in left:
        told += [
            f"A run that died left its trial {path}; the next run takes it away first."
            for path in left["trial"]["manifests"]
        ]
    if "apply" in left:
        proves = "running" in left["apply"] and is_whole(host, left["apply"])
        told += _foretold(unproven(host, left["apply"]), "its change was", "proves it, or " if proves else "")
    if "kubelet" in left:
        told += _foretold(kubelet.unproven(host, left["kubelet"])[0], "its kubelet was")
    if "kube_proxy" in left:
        told.append(
            f"Run {left['kube_proxy']['run_id']} died before kube-proxy was proven; the next run puts its ConfigMap "
            "and DaemonSet back first, unless somebody has changed them since."
        )
    if "image_pulls" in left:
        told.append(
            f"Run {left['image_pulls']['run_id']} died while nodes pulled images; the next run removes its pods first."
        )
    if "restarts" in left:
        told.append(
            f"A run that died did not come to restart {', '.join(left['restarts'])} after a new kubeconfig; "
            "rotate_certificates.yml does it."
        )
    return told


def _foretold(found: Unproven, what: str, before: str = "") -> list[str]:
    paths = ", ".join(entry.path for entry in found.back)
    then = f"the next run {before}puts {paths} back first" if paths else "nothing of it is left to put back"
    return [f"Run {found.run_id} died before {what} proven; {then}.", *found.told()]


def unproven(host: Host, pending: t.Mapping[str, t.Any]) -> Unproven:
    """Return what of the journal's step ``apply`` goes back.

    Where a manifest is somebody else's by now, files beside it stay too: it may name them.
    """
    found = sort(host, pending)
    manifests = pending["manifests"]
    if not any(os.path.dirname(path) == manifests for path in found.left):
        return found
    return found.keep([entry.path for entry in found.back if os.path.dirname(entry.path) != manifests])


def finish_files(host: Host) -> list[str]:
    """Finish the renames that a run which died had begun, unless somebody has mended it; return it as sentences."""
    found = finish(host)
    if found.changed:
        return [f"{_changed_since(found)} What was still to be laid was removed, and nothing more was renamed."]
    if not found.paths:
        return []
    return [f"A run died while it replaced files that belong together: {', '.join(found.paths)} are finished now."]


def _changed_since(found: Unfinished) -> str:
    waiting = f", before it came to {', '.join(found.left)}" if found.left else ""
    return (
        f"A run died while it replaced {', '.join(found.paths)} together{waiting}, and somebody has changed "
        f"{', '.join(found.changed)} since: what is there stays."
    )


def require_presence(host: Host, journal: Journal) -> None:
    """Refuse to foretell anything of a control plane whose API server a run that died has left away.

    Raises:
        HardeningError: Where its manifest is, and what brings it back.
    """
    pending = journal.read().get("apply") or {}
    if "away" in pending and Absence.from_record(host, None, pending["away"]).in_force:
        raise HardeningError(
            "KH406",
            f"Run {pending['run_id']} died while kube-apiserver was away for a restart of etcd: its manifest is "
            f"{pending['away']['moved_to']}. Nothing can be foretold of this host; a run without --check puts it back "
            "first.",
        )


def recover(host: Host, sight: Sight | None, limit: float) -> list[str]:
    """Prove or undo what a run that died left under way on this host, and return what was done, as sentences.

    A trial is taken away. A change of which nothing but the proof was left is proven where its components are well with
    it. Any other goes back: the run that follows makes it again with its proof. What somebody else has changed since
    stays as it is. Temporary files are removed without a word, since nobody has seen them; the renames that were begun
    (finish_files) are finished by then.

    Args:
        host: The host's file system.
        sight: How the host is seen, None where no process belongs to the files.
        limit: Seconds that a component may take to be well with its old bytes.

    Raises:
        HardeningError: A component does not come up with its old bytes either, or one that is well cannot be spared by
            the cluster as it is.
    """
    journal = Journal(host)
    remove_leftovers(host)
    told = []
    try:
        trials = Trial(host, journal, sight).clean()
    except Failure as failure:
        raise HardeningError(
            "KH215",
            f"A run that died left its trial, and {failure.reason}. No component was changed; look at "
            "the kubelet (journalctl -u kubelet), and run again.",
        ) from failure
    told += [f"The trial {path} of a run that died was taken away." for path in trials]
    pending = journal.read().get("apply")
    if pending is None:
        return told
    if sight is not None:
        for process in sight.find(API_SERVER):
            sight.reopen(process)  # one that was about to end when the run died takes no new connections
        if stands(host, sight, pending, limit):
            journal.strike("apply")
            proven = ", ".join(pending["components"])
            return [*told, f"Run {pending['run_id']} died before its change was proven: it is proven now ({proven})."]
    found = unproven(host, pending)
    if sight is not None:
        _require_spare(host, sight, pending, found)
    problems, trouble = put_back(host, sight, pending, found, limit)
    if problems:
        raise HardeningError(
            "KH406", f"Run {pending['run_id']} died before its change was proven. {' '.join(problems)}"
        )
    if trouble:
        words = f"A run died here and its bytes went back, but {trouble}"
        raise HardeningError("KH406", " ".join([words, *found.told()]))
    paths = ", ".join(entry.path for entry in found.back)
    done = f"{paths} went back to what they were" if paths else "there was nothing to put back"
    return [*told, f"Run {pending['run_id']} died before its change was proven: {done}.", *found.told()]


def _require_spare(host: Host, sight: Sight, pending: t.Mapping[str, t.Any], found: Unproven) -> None:
    """Refuse what the cluster cannot spare; an API server that is away is no help to anybody, and comes back."""
    try:
        require_spare(host, sight, pending, found)
    except HardeningError as error:
        absence = Absence.from_record(host, sight, pending["away"]) if "away" in pending else None
        if absence is None or not absence.in_force:
            raise
        ended = refusal_of(absence.end) or [f"{absence.manifest}, which was away for etcd's sake, is there again."]
        raise HardeningError(error.number, " ".join([str(error), *ended])) from error


def recover_cluster(
    host: Host,
    proxy: t.Callable[[], kube_proxy.Api],
    cluster: t.Callable[[], pulls.Cluster],
    limit: float,
    answers: t.Callable[[], bool] | None = None,
) -> list[str]:
    """Undo what a run that died left under way in the API, and return what was done, as sentences.

    Args:
        host: The host through which the API is spoken to.
        proxy: How kube-proxy is seen and changed.
        cluster: How pods are seen and removed.
        limit: Seconds without a step forward after which kube-proxy counts as not well.
        answers: Whether the API answers, for a run that goes on without it: what is left waits then. None where the run
            needs the API.

    Raises:
        HardeningError: kube-proxy does not come up with what it had, or the API cannot be asked.
    """
    runs = _runs_in_the_cluster(host)
    if runs and answers is not None and not answers():
        return [f"What run {runs} left under way in the API when it died waits until the API answers; run again then."]
    return [*kube_proxy.recover(host, proxy, limit), *pulls.recover(host, cluster)]


def left_in_the_cluster(host: Host) -> list[str]:
    """Return in a sentence what a run which died left under way in the API, on a host that cannot ask it any more."""
    runs = _runs_in_the_cluster(host)
    if not runs:
        return []
    sentence = (
        f"What run {runs} left under way in the API when it died waits for harden.yml or rollback.yml with "
        "kubeharden_kubeconfig, a kubeconfig on this host that can be used."
    )
    return [sentence]


def _runs_in_the_cluster(host: Host) -> str:
    """Return the runs that died while something was under way in the API, empty where there is none."""
    left = [step for name, step in Journal(host).read().items() if name in ("kube_proxy", pulls.STEP)]
    return " and ".join(dict.fromkeys(str(step["run_id"]) for step in left))


def put_back(
    host: Host, sight: Sight | None, pending: t.Mapping[str, t.Any], found: Unproven, limit: float
) -> tuple[list[str], str]:
    """Put back what the journal has as under way, in its order, and wait for the components.

    Args:
        host: The host's file system.
        sight: As for recover.
        pending: The journal's step ``apply``.
        found: What of it goes back.
        limit: Seconds that a component may take to be well.

    Returns:
        A sentence for each file that did not go back (the journal stays then), and what is wrong with a component.
    """
    backup = Backup(host, pending["run_id"])
    trouble = ""
    absence = Absence.from_record(host, sight, pending["away"]) if "away" in pending else None
    if absence is not None and any(entry.path == absence.etcd for entry in found.back):
        etcd = absence.etcd
        problems, trouble = put_back_in_order(
            backup, found.back, absence, limit, lambda: _trouble(host, sight, "etcd", etcd, limit)
        )
    else:
        problems = backup.put_back(found.back, pending["manifests"])
        if absence is not None and absence.is_left:
            problems += refusal_of(absence.end)
    if problems:
        return problems, trouble
    # Struck out before the proof: what a person mends by hand after this must not be put back once more.
    Journal(host).strike("apply")
    for component, path in pending["components"].items():
        if path not in found.left:
            trouble = trouble or _trouble(host, sight, component, path, limit)
    return [], trouble


def _trouble(host: Host, sight: Sight | None, component: str, path: str, limit: float) -> str:
    """Wait for a component with its old manifest; returns what is wrong with it, empty where it is well."""
    if sight is None:
        return ""
    manifest = Manifest.parse(read_text(host.path(path)) or "", path)
    name = str(manifest.pod["metadata"]["name"])
    try:
        Watcher(sight, component, name, manifest.arguments(component), back=True).wait(limit)
    except (Failure, HardeningError) as failure:
        return (
            f"{component} was not well with its old manifest {path} "
            f"within {limit:.0f} s: {str(failure).rstrip('.')}. Look at its log on this host before anything else."
        )
    return ""
