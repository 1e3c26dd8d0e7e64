# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting runs back on a host: the same gate as a change has, where the new bytes are the old ones."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import API_SERVER
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Saved, staging_for
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import explain, read_text, require_room
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import recovery
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.absence import Absence
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.attributes import Run, remove_user, set_override
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.control_plane import ControlPlane, Options
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kubelet import Kubelet
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.plan import (
    ComponentPlan,
    Setting,
    add_companions,
    plan_component,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.sysctl import Sysctls
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.undo import KUBELET, STATIC_PODS, Step
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.unproven import saved_state
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import (
    INTERVAL,
    SETTLED,
    Sight,
    matches,
    require_members_well,
    require_well,
    unwell_here,
)

#: Errors of a host that is well, for what is wrong with another one: its API server, etcd's members, and the API's
#: front door.
_ELSEWHERE = ("KH131", "KH133", "KH140")


class StaticPodsBack(ControlPlane):
    """Puts the static pods of one host back.

    Args:
        host: The host's file system.
        options: How.
        sight: How the host is seen; None where the files belong to no process.
        node: The node's name, for sentences.
        manifests: By component, its manifest on the host.
    """

    def __init__(
        self, host: Host, options: Options, sight: Sight | None, node: str, manifests: t.Mapping[str, str]
    ) -> None:
        super().__init__(host, options, sight, node)
        self._manifests = manifests
        self._steps: dict[str, Step] = {}
        #: What a person should know, as sentences.
        self.notes: list[str] = []

    def put_back(self, steps: t.Sequence[Step]) -> dict[str, float]:
        """Put the static pods' steps back, and return seconds by component that was restarted.

        Where a component is not well there is nothing to lose: the old bytes go in and stay. Those that are well are
        changed after that, as harden.yml changes them: tried, written, proven, or the present bytes stay.

        Raises:
            HardeningError: What stopped it.
        """
        try:
            return self._put_back(steps)
        except HardeningError as error:
            if error.number not in _ELSEWHERE:
                raise
            gone = " Of one that is gone for good, remove the node (kubectl delete node)."
            raise HardeningError(
                error.number,
                f"{error} Where another control plane is the one that is broken, put that back first: rollback.yml "
                f"--limit HOST.{gone if error.number == 'KH131' else ''}",
            ) from error

    def _put_back(self, steps: t.Sequence[Step]) -> dict[str, float]:
        self._steps = {step.change.target: step for step in steps if step.part == STATIC_PODS}
        forced: dict[str, float] = {}
        if self._sight is not None:
            plans = self._with_nothing_to_lose(self._plans())
            forced = self._force(plans) if plans else {}
        plans = self._plans()
        try:
            seconds = {**forced, **self.apply(plans)}
        except HardeningError as error:
            if not forced:
                raise
            raise HardeningError(
                error.number,
                f"{' and '.join(forced)} of {self._node}, where something was not well, got back what was there before "
                f"the runs. After that: {error}",
            ) from error
        self.notes = [note for plan in plans for note in plan.notes]
        return seconds

    def _plans(self) -> list[ComponentPlan]:
        components = dict.fromkeys(step.component for step in self._steps.values())
        plans = [self._plan(component) for component in components]
        return add_companions(plans, lambda name: plan_component(self._host, name, self._manifests[name], {}, {}))

    def _plan(self, component: str) -> ComponentPlan:
        path = self._manifests[component]
        before = read_text(self._host.path(path)) or ""
        step = self._steps.get(path)
        manifest = Manifest.parse(before if step is None else step.change.after or "", path)
        files = [one.change for one in self._steps.values() if one.component == component and one.change.target != path]
        settings = _differences(component, Manifest.parse(before, path), manifest)
        return ComponentPlan(component, path, before, manifest, settings, files=files)

    def _with_nothing_to_lose(self, plans: t.Sequence[ComponentPlan]) -> list[ComponentPlan]:
        """Return the plans of components that are not well, and of those that go together with them.

        An etcd that is not well takes its API server along, which is nothing without it. The other way round etcd's
        own change is to blame only where the API server has nothing left to go back to.

        Raises:
            HardeningError: etcd is the one that is well, and members of its cluster are not.
        """
        components = {plan.component: plan for plan in plans}
        unwell = {plan.component for plan in self._unwell(plans)}
        etcd = components.get("etcd")
        if "etcd" in unwell and API_SERVER in components:
            unwell.add(API_SERVER)
        elif etcd is not None and API_SERVER in unwell and not components[API_SERVER].changed:
            wanted = Manifest.parse(etcd.before, etcd.path).arguments("etcd")
            require_members_well(t.cast(Sight, self._sight), require_well(t.cast(Sight, self._sight), "etcd", wanted))
            unwell.add("etcd")
        return [plan for plan in plans if plan.component in unwell]

    def _unwell(self, plans: t.Sequence[ComponentPlan]) -> t.Sequence[ComponentPlan]:
        """Return the plans of components that are never seen well within a while: on a busy host one look may fail."""
        sight = t.cast(Sight, self._sight)
        end = sight.clock() + SETTLED
        left = [plan for plan in plans if self._is_unwell(plan)]
        while left and sight.clock() < end:
            sight.sleep(INTERVAL)
            left = [plan for plan in left if self._is_unwell(plan)]
        return left

    def _is_unwell(self, plan: ComponentPlan) -> bool:
        sight = t.cast(Sight, self._sight)
        wanted = Manifest.parse(plan.before, plan.path).arguments(plan.component)
        process = next((one for one in reversed(sight.find(plan.component)) if matches(one, wanted)), None)
        return process is None or bool(unwell_here(sight, process))

    # In place of what a change writes

    def _lay_files(self, plans: t.Sequence[ComponentPlan]) -> None:
        for plan in plans:
            for change in plan.files:
                restore(self._host, self._steps[change.target])

    def _lay_manifest(self, plan: ComponentPlan, path: str) -> None:
        step = self._steps[plan.path]
        saved = dataclasses.replace(t.cast(Saved, step.saved), path=path)
        Backup(self._host, step.run_id).restore(saved, self._unwatched(plan.path))

    # Where there is nothing to lose

    def _force(self, plans: t.Sequence[ComponentPlan]) -> dict[str, float]:
        """Put the steps of some components back without trial and way back; the other components' are left over."""
        sight = t.cast(Sight, self._sight)
        by_component = {plan.component: plan for plan in plans}
        kept = self._backup.save_changes([one.change for one in self._steps.values() if one.component in by_component])
        goals = [self._goal(entry.path) for entry in kept]
        pending: dict[str, t.Any] = {
            "run_id": self._options.run_id,
            "manifests": os.path.dirname(plans[0].path),
            "components": {plan.component: plan.path for plan in plans},
        }
        if "etcd" in by_component and API_SERVER in by_component:
            away = Absence(self._host, sight, by_component[API_SERVER].path, by_component["etcd"].path, apart=True)
            pending["away"] = away.as_record()
        pending["saved"] = [dataclasses.asdict(goal) for goal in goals]
        # Of this way back the goal is what was saved, and what is there now is what it has not come to yet.
        pending["after"] = {entry.path: saved_state(entry) for entry in kept}
        self._journal.note(apply=pending)
        begun = sight.clock()
        problems, trouble = recovery.put_back(
            self._host, sight, pending, recovery.unproven(self._host, pending), self._options.limit
        )
        if problems:
            raise HardeningError("KH407", f"{' '.join(problems)} The next run tries once more.")
        self._steps = {path: one for path, one in self._steps.items() if one.component not in by_component}
        if trouble:
            rest = " and ".join(dict.fromkeys(one.component for one in self._steps.values()))
            raise HardeningError(
                "KH407",
                f"What was there before is back on {self._node}, but {trouble} It had not been well before either."
                + (f" What the runs changed of {rest} is still there; run rollback.yml again." if rest else ""),
            )
        return dict.fromkeys(by_component, sight.clock() - begun)

    def _goal(self, path: str) -> Saved:
        step = self._steps[path]
        return self._backup.adopt(t.cast(Saved, step.saved), Backup(self._host, step.run_id))


class KubeletBack(Kubelet):
    """Puts the kubelet's own files back; the kernel's settings, on which it may insist until then, come after it."""

    def put_back(self, steps: t.Sequence[Step]) -> KubeletBack:
        """Take the kubelet's steps for what is to be written."""
        self._steps = {step.change.target: step for step in steps if step.part == KUBELET and step.change.restart}
        self._files = [step.change for step in self._steps.values()]
        self._texts = {change.target: change.after or "" for change in self._files}
        return self

    def _write(self, change: t.Any) -> None:
        restore(self._host, self._steps[change.target])


def restore(host: Host, step: Step) -> None:
    """Put one path back."""
    Backup(host, step.run_id).restore(t.cast(Saved, step.saved), staging_for(host, step.change.target, None))


def put_rest_back(host: Host, steps: t.Sequence[Step], backup: Backup, run: Run) -> None:
    """Put back what restarts nothing, in the order of the steps; what is there now is recorded first.

    Args:
        host: The host's file system.
        steps: Of files, directories, attributes, kernel settings, exceptions of the package manager and users.
        backup: Where what is there now is kept.
        run: Runs a command of the host.

    Raises:
        HardeningError: What was refused; steps before it are made, and the next rollback.yml goes on from there.
    """
    for step in steps:
        if step.saved is not None and step.saved.kind == "file":
            size = len((step.change.after or "").encode())
            require_room(host.path(os.path.dirname(step.change.target)), size)
    for step in steps:
        change = step.change
        if change.kind == "sysctl":
            backup.note("sysctl", change.target, before=(change.before or "").strip(), after=step.value)
            Sysctls(host, {}).write(change.target, str(step.value))
        elif change.kind == "override":
            backup.note("override", change.target, before=change.before, after=change.after)
            set_override(run, change.target, step.value)
        elif change.kind == "user":
            remove_user(run, change.target)
        elif change.kind == "attributes":
            backup.save_step(change.target, content=False)
            _set_attributes(host, t.cast(Saved, step.saved))
        else:
            if change.kind == "file":
                backup.save_changes([change])
            restore(host, step)


def _set_attributes(host: Host, saved: Saved) -> None:
    real = host.path(saved.path)
    try:
        if host.can_own:
            os.chown(real, saved.uid, saved.gid)
        os.chmod(real, saved.mode)  # after the owner, which takes the set-id bits away
    except OSError as error:
        raise HardeningError(
            "KH404", f"Owner and mode of {saved.path} could not be put back: {explain(error)}. Mend that and run again."
        ) from error


def _differences(component: str, before: Manifest, after: Manifest) -> list[Setting]:
    """Return the flags that differ, so that a failure can name them."""
    flags = dict.fromkeys(
        word[2:].partition("=")[0]
        for manifest in (before, after)
        for word in manifest.arguments(component)
        if word.startswith("--")
    )
    return [
        Setting(flag, {}, tuple(after.flag_values(component, flag)), True)
        for flag in flags
        if before.flag_values(component, flag) != after.flag_values(component, flag)
    ]
