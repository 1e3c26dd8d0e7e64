# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One control plane from what it is to what it should be: one trial, one write, one proof, or the way back."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_bool
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import (
    API_SERVER,
    CONTROL_PLANE,
    TRIABLE,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.components.paths import holds
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError, do_all
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Saved
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    make_directory,
    read_text,
    require_room,
    write_atomic,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.absence import (
    Absence,
    put_back_in_order,
    refusal_of,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.cluster_health import require_cluster_well
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.containers import restart_container
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.draining import drained
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.front_door import require_behind, why_unseen
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.plan import ComponentPlan, Setting
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.standing import identities
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.trial import Attempt, Trial, TrialFailure
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.tried import (
    awaits_a_file,
    fingerprint,
    future,
    require_pairs,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.unproven import outcomes
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import (
    THIS_STEP,
    Failure,
    Sight,
    Watcher,
    local_server,
    matches,
    require_members_well,
    require_served,
    require_well,
)

_CONTAINERD = "/etc/containerd/config.toml"
# "sandbox_image" up to version 2 of its configuration, "sandbox" among the pinned images from version 3 on.
_SANDBOX_IMAGE = re.compile(r"^\s*sandbox(?:_image)?\s*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)
#: MiB that a trial of kube-apiserver, once it is as large as the running one, must leave to the host: the kubelet
#: evicts pods below 100 MiB, and the trials of the two others take as much again.
RESERVE = 256
# A flag in what a program prints of its flags.
_USAGE = re.compile(r"(?<![\w-])--([a-z0-9][a-z0-9-]*)")


@dataclasses.dataclass(frozen=True)
class Options:
    """How a control plane is changed.

    Attributes:
        run_id: The run, which names the backup.
        trial: Whether the future manifest is tried first.
        limit: Seconds that a changed component may take to be well.
        tried: By component, the fingerprint of what an earlier task of this run has tried here.
        api_servers: By host, the address of each API server that must be well before this control plane is changed.
        nodes: Names of the nodes that must be Ready before.
        front_door: Whether the API's clients must be served before. Not where a rollback began while they were not:
            it may be what heals that.
    """

    run_id: str
    trial: bool
    limit: float
    tried: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    api_servers: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    nodes: t.Collection[str] = ()
    front_door: bool = True


class ControlPlane:
    """Applies the plans of one host.

    Args:
        host: The host's file system.
        options: How.
        sight: How the host is seen; None where the files belong to no process (kubeharden_root).
        node: The node's name, for sentences.
    """

    def __init__(self, host: Host, options: Options, sight: Sight | None, node: str) -> None:
        self._host = host
        self._options = options
        self._sight = sight
        self._node = node
        self._journal = Journal(host)
        self._backup = Backup(host, options.run_id)
        #: Who waits for which component, from the moment at which the first live thing was touched.
        self._watchers: dict[str, Watcher] = {}
        #: The API server's, while etcd restarts.
        self._absence: Absence | None = None
        #: Whether the front door is seen to send clients to this API server beside another one, before the change.
        self._behind = False
        #: By component, the fingerprint of what was tried and found good, by an earlier task of the run or by this one.
        self.tried: dict[str, str] = dict(options.tried)
        #: Components of which the kubelet may have seen something: a new manifest, or a stopped container.
        self._touched: set[str] = set()

    def apply(self, plans: t.Sequence[ComponentPlan]) -> dict[str, float]:
        """Bring the host to its plans; return seconds from the first touch to its proof, by restarted component.

        Raises:
            HardeningError: What stopped it; the host is then what it was.
        """
        plans = _in_order(plans)
        if not plans:
            return {}
        self._require_room(plans)
        if self._sight is not None:
            self._require_ready(self._sight, plans)
            if self._options.front_door:
                require_served(self._sight, THIS_STEP)
            if any(plan.restarts for plan in plans):
                # Hosts before this one were changed since discovery looked at all of them.
                options = self._options
                ends = any(plan.restarts and plan.component in ("etcd", API_SERVER) for plan in plans)
                alone = self._node if ends else ""
                require_cluster_well(self._sight, options.api_servers, options.nodes, options.limit, alone)
            self._try(plans)
            self._behind = self._is_behind(self._sight, plans)
            self._require_members(plans, THIS_STEP)  # once more: trials may have taken minutes
        return self._write_and_prove(plans)

    def try_out(self, plans: t.Sequence[ComponentPlan]) -> None:
        """Try what the plans make of the host, beside what runs; nothing else is done, and nothing of it stays.

        A component with a flag that names a file which is not there yet is left out: an earlier step makes it when this
        host's turn comes, such as a certificate that is missing.

        Raises:
            HardeningError: What the change would be stopped by.
        """
        self.look(plans)
        if self._sight is not None:
            self._try([plan for plan in _in_order(plans) if not awaits_a_file(self._host, plan)])

    def look(self, plans: t.Sequence[ComponentPlan]) -> None:
        """Look whether each component that changes is well and could start again; nothing is started.

        Raises:
            HardeningError: What the change would be stopped by.
        """
        sight, plans = self._sight, _in_order(plans)
        if plans and sight is not None:
            do_all(
                [
                    lambda: self._require_room(plans),
                    lambda: self._require_ready(sight, plans),
                    *(functools.partial(require_pairs, self._host, plan) for plan in plans),
                ]
            )

    # Before

    def _require_ready(self, sight: Sight, plans: t.Sequence[ComponentPlan]) -> None:
        """Refuse where a component is not well or could not start again; say how etcd is going to be restarted."""
        do_all(functools.partial(self._require_component, sight, plan, plans) for plan in plans)

    def _require_component(self, sight: Sight, plan: ComponentPlan, plans: t.Sequence[ComponentPlan]) -> None:
        wanted = Manifest.parse(plan.before, plan.path).arguments(plan.component)
        process = require_well(sight, plan.component, wanted, self._left)
        self._require_images(plan)
        if plan.component == "etcd":
            self._require_known(plan, sight.usage(process))
            self._absence = self._absence_for(plan, plans, require_members_well(sight, process, THIS_STEP))

    @property
    def _left(self) -> str:
        """What a refusal leaves as it was: an earlier step of the run may have made certificates on this host."""
        return THIS_STEP if os.path.isdir(self._backup.directory) else "Nothing was changed on this host"

    def _is_behind(self, sight: Sight, plans: t.Sequence[ComponentPlan]) -> bool:
        """Return whether it can be seen at the front door that this host's API server is there again after its restart.

        Nobody looks where it does not restart, or the front door need not serve. Where the run knows no other one, such
        as with --limit, that nobody can see it is nothing to tell.
        """
        server = next((plan for plan in plans if plan.component == API_SERVER and plan.restarts), None)
        if server is None or not self._options.front_door:
            return False
        own = local_server(API_SERVER, Manifest.parse(server.before, server.path).arguments(API_SERVER))
        why = why_unseen(sight, own)
        if why and set(self._options.api_servers.values()) - {own}:
            server.notes.append(
                f"Whether the API's front door sends clients to kube-apiserver of {self._node} again was not looked "
                f"at: {why}."
            )
        return not why

    def _absence_for(self, etcd: ComponentPlan, plans: t.Sequence[ComponentPlan], members: int) -> Absence | None:
        """Return how the API server is away while etcd restarts, None where both restart by their manifests at once.

        The latter is the fastest on a single control plane: whatever the order, nobody else takes its requests.
        """
        companion = next((plan for plan in plans if plan.component == API_SERVER), None)
        if companion is None or (members == 1 and companion.manifest_changed):
            return None
        return Absence(self._host, self._sight, companion.path, etcd.path, apart=members > 1)

    def _require_members(self, plans: t.Sequence[ComponentPlan], left: str) -> None:
        """Refuse to restart etcd beside a member that is not well; nothing is asked where it does not restart."""
        for plan in plans:
            if plan.component == "etcd" and self._sight is not None:
                wanted = Manifest.parse(plan.before, plan.path).arguments("etcd")
                running = self._sight.find("etcd")
                if not running:
                    raise HardeningError(
                        "KH127", f"etcd on {self._node} does not run any more. {left}; get it running first."
                    )
                process = next((one for one in reversed(running) if matches(one, wanted)), running[-1])
                require_members_well(self._sight, process, left)

    def _require_room(self, plans: t.Sequence[ComponentPlan]) -> None:
        for plan in plans:
            for change in plan.changes():
                size = len((change.after or "").encode())
                require_room(self._host.path(os.path.dirname(change.target)), size)
            unwatched = self._unwatched(plan.path)
            if os.stat(unwatched).st_dev != os.stat(self._host.path(os.path.dirname(plan.path))).st_dev:
                raise HardeningError(
                    "KH210",
                    f"{os.path.dirname(plan.path)} is a file system of its own, so no file can be renamed into it from "
                    f"a directory that the kubelet does not watch. {self._left}; unmount it or move the manifests.",
                )

    def _unwatched(self, path: str) -> str:
        return self._host.path(os.path.dirname(os.path.dirname(path)))

    def _require_images(self, plan: ComponentPlan) -> None:
        """A new sandbox needs every image of its pod: one that was collected keeps the component down."""
        runtime = t.cast(Sight, self._sight).runtime
        if runtime is None:
            return
        spec = plan.manifest.pod["spec"]
        containers = [*spec["containers"], *(spec.get("initContainers") or [])]
        images = [str(container.get("image", "")) for container in containers]
        # What containerd was told says nothing of another runtime, beside which its file may have stayed.
        is_its = runtime.version().runtime_name == "containerd"
        named = sandbox_image(read_text(self._host.path(_CONTAINERD)) or "") if is_its else []
        missing = [image for image in dict.fromkeys([*images, *named]) if runtime.image(image) is None]
        if not named and not any(image.pinned or "pause" in " ".join(image.tags) for image in runtime.images()):
            missing.append("the pause image")
        if missing:
            raise HardeningError(
                "KH209",
                f"{', '.join(missing)}, which {plan.component} needs to start again, is not on {self._node}. "
                f"{self._left}; pull it (ctr -n k8s.io images pull, crictl pull) and run again.",
            )

    def _require_known(self, plan: ComponentPlan, usage: str) -> None:
        """There is no trial of etcd: what the program that runs says of its own flags stands for one."""
        known = set(_USAGE.findall(usage))
        added = [setting.flag for setting in plan.settings if setting.changed and setting.values]
        unknown = [f"--{flag}" for flag in added if flag not in known]
        if known and unknown:
            raise HardeningError(
                "KH008",
                f"{plan.component} on {self._node} says itself (--help) that it has no {', '.join(unknown)}. "
                f"{self._left} and nothing was restarted; correct the variable or the template.",
            )
        if added and not known:
            plan.notes.append(f"{plan.component} was not asked whether it knows its new flags: it prints no usage.")

    def _try(self, plans: t.Sequence[ComponentPlan]) -> None:
        """Try what can be tried and has not been, all of it at once."""
        if not self._options.trial:
            return
        attempts = []
        for plan in plans:
            if plan.component not in TRIABLE or not plan.differs:
                continue
            if self.tried.get(plan.component) == fingerprint(self._host, plan):
                continue
            untried = _untried(plan) or self._crowded(plan)
            if untried:
                plan.notes.append(f"{plan.component} was not tried beside the running one: {untried}.")
                continue
            files = {change.target: change.after or "" for change in plan.files}
            created = [change.target for change in (*plan.directories, *(plan.ahead.directories if plan.ahead else ()))]
            attempts.append(Attempt(plan.component, future(plan), files, created, plan.log_file))
        if not attempts:
            return
        try:
            Trial(self._host, self._journal, self._sight).run(attempts, os.path.dirname(plans[0].path))
        except TrialFailure as failure:
            told = [self._of_trial(plans, one) for one in (failure, *failure.others)]
            raise HardeningError("KH205", f"{' '.join(told)} {self._left}; nothing was restarted.") from failure
        good = [attempt.component for attempt in attempts]
        self.tried.update({plan.component: fingerprint(self._host, plan) for plan in plans if plan.component in good})

    def _of_trial(self, plans: t.Sequence[ComponentPlan], failure: TrialFailure) -> str:
        plan = next(plan for plan in plans if plan.component == failure.component)
        if plan.ahead:
            plan = dataclasses.replace(plan, settings=[*plan.settings, *plan.ahead.settings])
        return self._sentence(plan, failure, "its trial beside the running one failed")

    def _crowded(self, plan: ComponentPlan) -> str:
        """Return why there is no room for a second API server, empty where there is or where nobody knows."""
        sight = t.cast(Sight, self._sight)
        running = sight.find(plan.component) if plan.component == API_SERVER else []
        memory = sight.memory(running[-1]) if running else None
        if memory is None or memory.available >= memory.resident + RESERVE:
            return ""
        return (
            f"a second one of its {memory.resident} MiB would leave less than {RESERVE} MiB of the {memory.available} "
            "MiB of memory that can be had"
        )

    # The write and its proof

    def _write_and_prove(self, plans: t.Sequence[ComponentPlan]) -> dict[str, float]:
        # As they are now: an earlier step of this run may have been proven.
        moved = [self._absence.manifest] if self._absence is not None else []
        changes = [change for plan in plans for change in plan.changes()]
        saved = self._backup.save_changes(changes, moved)
        under_way: dict[str, t.Any] = {
            "run_id": self._options.run_id,
            "saved": [dataclasses.asdict(entry) for entry in saved],
            "after": outcomes(changes, saved),
            "manifests": os.path.dirname(plans[0].path),
            "components": {plan.component: plan.path for plan in plans if plan.restarts},
        }
        if self._sight is not None:
            under_way["running"] = {one: identities(self._sight.find(one)) for one in under_way["components"]}
        if self._absence is not None:
            under_way["away"] = self._absence.as_record()
        self._journal.note(apply=under_way)
        seconds: dict[str, float] = {}
        current = plans[0]
        try:
            self._lay_files(plans)
            begun = self._sight.clock() if self._sight is not None else 0.0
            if self._sight is not None:
                self._watchers = {plan.component: self._watcher(plan) for plan in plans if plan.restarts}
            for group in self._groups(plans):
                self._lay_manifests(group)
                waited = [plan for plan in group if plan.component in self._watchers]
                for number, current in enumerate(waited):
                    if current is not plans[0]:
                        self._watchers[current.component].forgive()
                    self._prove(current.component, waited[number + 1 :])
                    seconds[current.component] = t.cast(Sight, self._sight).clock() - begun
            if self._behind:
                server = next(plan for plan in plans if plan.component == API_SERVER)
                own = local_server(API_SERVER, server.manifest.arguments(API_SERVER))
                require_behind(t.cast(Sight, self._sight), own, self._node, self._options.limit)
        except (Failure, HardeningError) as problem:
            restored = self._go_back(plans, saved)
            if isinstance(problem, HardeningError):
                raise HardeningError(problem.number, f"{problem} {restored}.") from problem
            told = self._sentence(current, problem, "it did not come up")
            raise HardeningError("KH206", f"{told} {restored}.") from problem
        self._journal.strike("apply")
        return seconds

    def _prove(self, component: str, others: t.Sequence[ComponentPlan]) -> None:
        """Wait for a component. What is seen of the others meanwhile counts for them, but no end of theirs."""
        self._watchers[component].wait(self._options.limit, [self._watchers[plan.component] for plan in others])

    def _groups(self, plans: t.Sequence[ComponentPlan]) -> t.Iterator[t.Sequence[ComponentPlan]]:
        """Give what is laid in one moment, one group after the other is proven: etcd while the API server is away."""
        if self._absence is None:
            yield plans
            return
        self._touched.add(API_SERVER)
        self._absence.begin()
        if self._absence.apart and not self._absence.ended(self._options.limit):
            raise HardeningError(
                "KH211",
                f"{API_SERVER} on {self._node} did not end within {self._options.limit:.0f} s after its manifest was "
                "taken away, so that etcd was not touched.",
            )
        if self._absence.apart:
            self._require_members(plans[:1], "etcd was not touched")
        yield plans[:1]
        yield plans[1:]

    def _lay_files(self, plans: t.Sequence[ComponentPlan]) -> None:
        owner = (0, 0) if self._host.can_own else None
        for plan in plans:
            for change in plan.directories:
                make_directory(self._host.path(change.target), 0o700, owner)
            for change in plan.files:
                write_atomic(self._host.path(change.target), (change.after or "").encode(), 0o600, owner)

    def _lay_manifests(self, plans: t.Sequence[ComponentPlan]) -> None:
        """Lay each manifest in one rename; where only a file has changed, the container starts again."""
        with self._drained(plans):
            for plan in plans:
                self._touched.add(plan.component)
                away = self._absence if self._absence is not None and self._absence.manifest == plan.path else None
                if plan.manifest_changed:
                    self._lay_manifest(plan, away.moved_to if away else plan.path)
                if away:
                    away.end()
                elif plan.files and not plan.manifest_changed and self._sight is not None:
                    self._restart_container(plan.component)

    def _drained(self, plans: t.Sequence[ComponentPlan]) -> t.ContextManager[None]:
        """Let the API server among these finish what it has begun, where it does not end together with its etcd."""
        by_component = {plan.component: plan for plan in plans}
        ending = by_component.get(API_SERVER)
        if ending is None or not ending.restarts or "etcd" in by_component:
            return contextlib.nullcontext()
        return drained(self._sight, Manifest.parse(ending.before, ending.path).arguments(API_SERVER))

    def _lay_manifest(self, plan: ComponentPlan, path: str) -> None:
        status = os.stat(self._host.path(path))
        kept = (status.st_uid, status.st_gid) if self._host.can_own else None
        unwatched = self._unwatched(plan.path)
        write_atomic(self._host.path(path), plan.manifest.text.encode(), status.st_mode & 0o7777, kept, unwatched)

    def _watcher(self, plan: ComponentPlan, back: bool = False) -> Watcher:
        manifest = Manifest.parse(plan.before, plan.path) if back else plan.manifest
        name = str(manifest.pod["metadata"]["name"])
        arguments = manifest.arguments(plan.component)
        return Watcher(t.cast(Sight, self._sight), plan.component, name, arguments, back=back)

    def _restart_container(self, component: str) -> None:
        restart_container(t.cast(Sight, self._sight), component)

    # The way back

    def _go_back(self, plans: t.Sequence[ComponentPlan], saved: t.Sequence[Saved]) -> str:
        """Put everything back and prove the old component; returns the sentence that says so, whatever fails here."""
        touched = [plan for plan in plans if plan.component in self._watchers and plan.component in self._touched]
        # Before the bytes: from now on a new process is one of the old bytes.
        waiting = {plan.component: self._watcher(plan, back=True) for plan in touched}
        trouble = ""
        if self._absence is not None and "etcd" in waiting:
            etcd = waiting.pop("etcd")
            problems, trouble = put_back_in_order(
                self._backup, saved, self._absence, self._options.limit, lambda: self._trouble("etcd", etcd)
            )
        else:
            problems = self._backup.put_back(saved, os.path.dirname(plans[0].path))
            if self._absence is not None:
                problems += refusal_of(self._absence.end)
        if problems:
            # The journal stays: the next run tries again.
            return f"{' '.join(problems)} The old bytes are in {self._backup.directory}; the next run tries once more"
        self._journal.strike("apply")
        by_file = [plan.component for plan in touched if not plan.manifest_changed and not plan.along]
        for component, watcher in waiting.items():
            trouble = trouble or self._trouble(component, watcher, component in by_file)
        if trouble:
            return (
                f"The old bytes are back (from {self._backup.directory}), but {trouble}. Look at its log on this host "
                "before anything else"
            )
        what = (
            "the old component is proven well; hosts that come after were not touched"
            if touched
            else "nothing was restarted"
        )
        return f"The old bytes, modes and owners are back and {what}"

    def _trouble(self, component: str, watcher: Watcher, restart: bool = False) -> str:
        """Wait for an old component; returns what is wrong with it as half a sentence, empty where it is well."""
        try:
            if restart:
                self._restart_container(component)
            watcher.begin()  # what was waited for before is none of its time
            watcher.wait(self._options.limit)
        except (Failure, HardeningError) as failure:
            return f"{component} is not well yet: {str(failure).rstrip('.')}"
        return ""

    def _sentence(self, plan: ComponentPlan, failure: Failure, what: str) -> str:
        flags = ", ".join(plan.changed_flags) or "no flag, but a file that it reads"
        last = failure.last_word
        return (
            f"{plan.component} on {self._node}: {what}: {failure.reason}. "
            f"This run changed {flags}{_suspect(plan, last)}. "
            + (f'Its last words: "{last}".' if last else "It left no words.")
        )


def sandbox_image(configuration: str) -> list[str]:
    """Return the image that containerd's configuration names for every pod's sandbox, nothing where it names none."""
    return [match.group(1) for match in _SANDBOX_IMAGE.finditer(configuration)][-1:]


def _in_order(plans: t.Sequence[ComponentPlan]) -> list[ComponentPlan]:
    """Return the plans of components that change or restart, in the order in which they are changed."""
    concerned = (plan for plan in plans if plan.changed or plan.along)
    return sorted(concerned, key=lambda plan: CONTROL_PLANE.index(plan.component))


def _untried(plan: ComponentPlan) -> str:
    """Return why a component cannot run beside itself, empty where it can."""
    if plan.component != "kube-apiserver":
        # Without an election a second one would work beside the first.
        elects = plan.manifest.flag_values(plan.component, "leader-elect")
        if elects and parse_bool(elects[-1]) is not True:
            return "it takes part in no leader election"
        if not elects and plan.manifest.flag_values(plan.component, "config"):
            return "whether it takes part in the leader election stands in its configuration file"
    for change in plan.files:
        directory = os.path.dirname(change.target)
        mounts = [mount for mount in plan.manifest.mounts(plan.component) if mount.host_path]
        if not any(holds(directory, str(mount.host_path)) for mount in mounts):
            return f"{directory} is mounted with all that lies around it, so no other can stand in for it"
    return ""


def _suspect(plan: ComponentPlan, last: str) -> str:
    """Name the changed setting that the component's last words are about: by its name, else by a telling value."""
    changed = [setting for setting in plan.settings if setting.changed]
    for named in (_by_name, _by_value):
        for setting in changed:
            if named(setting, last):
                return f"; most likely --{setting.flag} is to blame"
    return ""


def _by_name(setting: Setting, last: str) -> bool:
    if setting.flag.endswith("cipher-suites") and re.search("CipherSuites|[Cc]ipher suite", last):
        return True
    # A flag may be called v.
    names = {setting.flag, setting.flag.replace("-", "")}
    return any(re.search(rf"(?<!\w){re.escape(name)}(?![\w-])", last) for name in names)


def _by_value(setting: Setting, last: str) -> bool:
    """Return whether a value is named that nobody says by chance: it is no number, and neither true nor false."""
    values = [value for value in setting.values if len(value) > 2 and not value.isdigit() and parse_bool(value) is None]
    return any(re.search(rf"(?<!\w){re.escape(value)}(?!\w)", last) for value in values)
