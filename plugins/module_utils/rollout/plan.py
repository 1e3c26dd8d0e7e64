# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a control plane's static pods must become: the difference of today's manifest and the wanted settings."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components import pod_probes
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import decide, rule_from_data
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import TOGETHER
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.controls import admission, audit_policy
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import CONFIGURATION_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change, directory_change, file_change
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_text
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import flag_files

#: Keys of a setting that are ours, not the rule's.
OWN_KEYS = ("after", "default", "files", "kubeadm", "mount")
_LABEL = 63


@dataclasses.dataclass(frozen=True)
class Setting:
    """One flag as it will be.

    Attributes:
        flag: Its name.
        data: The rule as the template has it, for those who must decide the same elsewhere (kubeadm's ConfigMap).
        values: Its occurrences, empty where it is absent.
        changed: Whether this run changes it.
    """

    flag: str
    data: t.Mapping[str, t.Any]
    values: tuple[str, ...]
    changed: bool


@dataclasses.dataclass(frozen=True)
class Mount:
    """What of the host a component is shown for a flag's sake.

    Attributes:
        flag: The flag whose file lies there.
        name: Of the volume.
        host_path: On the host; None where the volume is none of the host's.
        path: In the container.
        read_only: Whether the component may only read it.
        path_type: The hostPath's type, empty for none.
    """

    flag: str
    name: str
    host_path: str | None
    path: str
    read_only: bool
    path_type: str


@dataclasses.dataclass
class ComponentPlan:
    """The future of one component on one host."""

    component: str
    path: str
    before: str
    manifest: Manifest
    settings: list[Setting] = dataclasses.field(default_factory=list)
    mounts: list[Mount] = dataclasses.field(default_factory=list)
    files: list[Change] = dataclasses.field(default_factory=list)
    #: Directories that do not exist yet, by what they are for.
    directories: list[Change] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    #: Whether it restarts together with another component, though nothing of its own may change.
    along: bool = False
    #: What a later task of the run makes of it once something else is proven; it is tried together with this.
    ahead: ComponentPlan | None = None

    @property
    def manifest_changed(self) -> bool:
        return self.manifest.text != self.before

    @property
    def changed(self) -> bool:
        return self.manifest_changed or bool(self.files) or bool(self.directories)

    @property
    def differs(self) -> bool:
        """A changed manifest restarts the pod; a changed file is read at the next start only, so it must be one."""
        return self.manifest_changed or bool(self.files)

    @property
    def restarts(self) -> bool:
        return self.differs or self.along

    @property
    def changed_flags(self) -> list[str]:
        return [f"--{setting.flag}" for setting in self.settings if setting.changed]

    def changes(self) -> list[Change]:
        """Return everything that this plan writes."""
        changes = [*self.directories, *self.files]
        if self.manifest_changed:
            changed = [setting.data for setting in self.settings if setting.changed]
            controls = [str(data.get("control", "")) for data in changed]
            change = file_change(
                "manifest",
                self.path,
                self.before,
                self.manifest.text,
                [name for name in controls if name],
                [self.component, *TOGETHER.get(self.component, ())],
            )
            changes.append(dataclasses.replace(change, wait_for=waits(changed)))
        return changes

    def state(self) -> dict[str, t.Any]:
        """Return settings and mounts as data, for kubeadm's memory."""
        return {
            "settings": [
                {"flag": setting.flag, "data": dict(setting.data), "values": list(setting.values)}
                for setting in self.settings
            ],
            "mounts": [dataclasses.asdict(mount) for mount in self.mounts],
        }

    @property
    def log_file(self) -> str | None:
        """The audit log as the container names it, None where there is no file."""
        values = self.manifest.flag_values(self.component, "audit-log-path")
        return values[-1] if values and values[-1].startswith("/") else None


def waits(settings: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    """Return the states that must come before these settings, empty where there is none."""
    return "; ".join(sorted({str(data["after"]) for data in settings if data.get("after")}))


def plan_component(
    host: Host,
    component: str,
    path: str,
    flags: t.Mapping[str, t.Mapping[str, t.Any]],
    contents: t.Mapping[str, str],
    base: t.Mapping[str, t.Mapping[str, t.Any]] | None = None,
) -> ComponentPlan:
    """Return what one component must become.

    Args:
        host: The host's file system.
        component: The component.
        path: Its manifest on the host.
        flags: The wanted settings by flag, as the templates render them.
        contents: The text of a configuration file by the flag that names it, for files of ours.
        base: Settings that count as written already, though in check mode they are not.
    """
    text = read_text(host.path(path))
    if text is None:
        raise HardeningError(
            "KH109", f"The manifest {path} is missing. Nothing was changed; put it back or correct the inventory."
        )
    plan = ComponentPlan(component, path, text, Manifest.parse(text, path))
    if base:
        written = plan_component(host, component, path, base, {}).manifest
        plan = ComponentPlan(component, path, written.text, written)
    arguments = plan.manifest.arguments(component)
    for flag, data in flags.items():
        plan.settings.append(_apply(plan.manifest, component, flag, data))
    _let_probes_follow(plan, arguments)
    for setting in plan.settings:
        for file in _files(setting):
            _mount(host, plan, setting, file)
    for flag, content in contents.items():
        _file(host, plan, flag, content, flags)
    return plan


def add_companions(plans: t.Sequence[ComponentPlan], plan_of: t.Callable[[str], ComponentPlan]) -> list[ComponentPlan]:
    """Return the plans with those of the components that restart together with one of them.

    Args:
        plans: Of the components that this run is about.
        plan_of: Plans a component of which this run changes nothing.
    """
    planned = {plan.component: plan for plan in plans}
    for component, companions in TOGETHER.items():
        if component in planned and planned[component].differs:
            for companion in companions:
                planned.setdefault(companion, plan_of(companion)).along = True
    return list(planned.values())


def _apply(manifest: Manifest, component: str, flag: str, data: t.Mapping[str, t.Any]) -> Setting:
    rule = rule_from_data({key: value for key, value in data.items() if key not in OWN_KEYS}, flag)
    current = manifest.flag_values(component, flag)
    if not current and "default" in data and decide(rule, [str(data["default"])]).satisfied:
        return Setting(flag, data, (), False)
    decision = decide(rule, current)
    if not decision.satisfied and decision.value is None:
        manifest.remove_flag(component, flag)
    elif decision.value is not None and not decision.satisfied:
        manifest.set_flag(component, flag, list(decision.values))
    return Setting(flag, data, tuple(manifest.flag_values(component, flag)), not decision.satisfied)


def _let_probes_follow(plan: ComponentPlan, before: t.Sequence[str]) -> None:
    """Let the probes ask where the component is going to listen, as kubeadm would render them.

    Raises:
        HardeningError: One asks elsewhere, of its owner's will: the kubelet would end the component for it.
    """
    component, manifest = plan.component, plan.manifest
    arguments = manifest.arguments(component)
    listened, listens = pod_probes.listens(component, before), pod_probes.listens(component, arguments)
    if listened == listens:
        return
    container = manifest.container(component)
    probes = pod_probes.probes(container)
    old, new = (pod_probes.rendered(component, words) for words in (before, arguments))
    for probe in probes:
        if old is not None and new is not None and pod_probes.is_rendered(probe, old):
            manifest.move_probe(component, probe.name, new.host, new.port, new.scheme)
    well = {probe.name for probe in probes if pod_probes.answered(probe.address, listened)}
    for probe in pod_probes.unanswered(component, manifest.container(component), arguments):
        if probe.name in well:
            raise HardeningError(
                "KH142",
                f"The {probe.name} of {component} in {plan.path} asks {probe.address.shown}, and with the flags of "
                f"this run ({', '.join(plan.changed_flags)}) it would listen on "
                f"{' and '.join(address.shown for address in listens)} only, so that the kubelet would end it again "
                "and again. Nothing was changed; let the probe ask there, or keep the flag as it is with a waiver.",
            )
    for name in pod_probes.own_programs(container):
        plan.notes.append(
            f"The {name} of {component} in {plan.path} runs a program of its own; see that it asks "
            f"{' or '.join(address.shown for address in listens)}."
        )


def volume_name(directory: str) -> str:
    """Return the volume's name for a directory: legal in Kubernetes, and the same in manifest and kubeadm's memory."""
    return re.sub(r"[^a-z0-9-]+", "-", directory.lower()).strip("-")[-_LABEL:].strip("-")


def _files(setting: Setting) -> list[str]:
    """Return the files that a flag names, and those that its file names itself."""
    named = [path for value in setting.values for path in flag_files.paths(setting.flag, value)]
    return [*named, *(setting.data.get("files") or [] if setting.values else [])]


def _mount(host: Host, plan: ComponentPlan, setting: Setting, file: str) -> None:
    """Mount the directory of a file, unless the owner's own mount holds it already; that one is as good for kubeadm."""
    access = setting.data.get("mount")
    directory = os.path.dirname(file)
    existing = plan.manifest.mount_for(plan.component, file)
    if existing is not None:
        if access == "read_write" and existing.read_only:
            raise HardeningError(
                "KH114",
                f"{plan.component} is to write {file}, but {plan.path} mounts {existing.mount_path} read-only. "
                "Nothing was changed; make that mount writable or choose another path with kubeharden_extra_flags.",
            )
        plan.mounts.append(
            Mount(
                setting.flag,
                existing.name,
                existing.host_path,
                existing.mount_path,
                existing.read_only,
                existing.host_path_type,
            )
        )
        if access and directory == CONFIGURATION_DIRECTORY:
            _directory(host, plan, plan.manifest.host_path_of(plan.component, directory) or directory, setting)
        return
    if not access:
        return
    read_only = access != "read_write"
    path_type = "Directory" if read_only else "DirectoryOrCreate"
    mount = Mount(setting.flag, volume_name(directory), directory, directory, read_only, path_type)
    plan.manifest.ensure_mount(plan.component, mount.name, directory, directory, read_only, mount.path_type)
    plan.mounts.append(mount)
    # In check mode another step has not made it.
    if access != "laid":
        _directory(host, plan, directory, setting)


def _directory(host: Host, plan: ComponentPlan, directory: str, setting: Setting) -> None:
    """Make a directory that does not exist yet, once however many files lie in it."""
    if os.path.isdir(host.path(directory)) or directory in [change.target for change in plan.directories]:
        return
    control = str(setting.data.get("control", ""))
    plan.directories.append(directory_change(host, directory, (control,) if control else ()))


def _file(
    host: Host,
    plan: ComponentPlan,
    flag: str,
    content: str,
    flags: t.Mapping[str, t.Mapping[str, t.Any]],
) -> None:
    """Write our own file where the flag names it; the owner's own is judged and kept."""
    values = plan.manifest.flag_values(plan.component, flag)
    if flag not in flags or not values:
        return
    path = plan.manifest.host_path_of(plan.component, values[-1]) or values[-1]
    if not path.startswith(CONFIGURATION_DIRECTORY + "/"):
        _judge(host, plan, flag, path)
        return
    before = read_text(host.path(path))
    if before == content:
        return
    control = str(flags[flag].get("control", ""))
    plan.files.append(file_change("file", path, before, content, [control] if control else [], [plan.component]))


def _judge(host: Host, plan: ComponentPlan, flag: str, path: str) -> None:
    """Say how good a file of the owner's is."""
    if flag == "audit-policy-file":
        kind, what = "audit_policy", "audit policy"
        findings = audit_policy.judge(read_text(host.path(path)) or "")
    elif flag == "admission-control-config-file":
        kind, what = "admission_configuration", "admission configuration"
        findings = admission.judge(read_text(host.path(path)) or "", lambda name: _read_beside(host, plan, flag, name))
    else:
        return
    verdict = "; ".join(findings) if findings else "nothing is wrong with it"
    plan.notes.append(
        f"The {what} {path} is the owner's and was kept ({verdict}). "
        f"kubeharden_replace: [{kind}] puts Kubeharden's in its place."
    )


def _read_beside(host: Host, plan: ComponentPlan, flag: str, name: str) -> str | None:
    """Return the text of a file that a configuration file names as seen from its own place, None where none is."""
    own = plan.manifest.flag_values(plan.component, flag)[-1]
    path = plan.manifest.host_path_of(plan.component, os.path.join(os.path.dirname(own), name))
    return read_text(host.path(path)) if path and name else None
