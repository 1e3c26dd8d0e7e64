# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Static pod manifests: reading a component's arguments and mounts, and changing them without touching other lines.

A component's argument vector is its container's ``command:`` followed by its ``args:``; either may be missing, and a
flag may stand in one word (``--flag=value``) or in two. What is changed is changed where it stands and in the form in
which it stands; what is new comes last, which is where kubeadm puts it too when it renders the same settings.

Which edits are undone exactly, byte for byte, by their reverse:

- :meth:`Manifest.set_flag` of an absent flag by :meth:`Manifest.remove_flag`, where the container has arguments;
- :meth:`Manifest.set_flag` of a present flag by setting the old value, where the flag stood once, with a value, in one
  line and without needless escapes, and both values can be written in the quotes that it has;
- :meth:`Manifest.ensure_mount` of a new volume by :meth:`Manifest.remove_mount`, unless ``volumes:`` or
  ``volumeMounts:`` was there with nothing in it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.kubeharden.core.plugins.module_utils.components import flags, yamledit, yamlwrite
from ansible_collections.kubeharden.core.plugins.module_utils.components.paths import holds, moved, normal
from ansible_collections.kubeharden.core.plugins.module_utils.components.yamlread import shown
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

_SHELLS = ("sh", "bash", "dash", "ash", "busybox")
_HOST_PATH_TYPES = ("", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice")
_KEEP = "Nothing was changed; correct it, and run again."
_UNTRIED = "Nothing was changed; set kubeharden_trial to false to do without a trial."

# Where a component listens, and which of them elect a leader.
_TRIAL_COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
_ELECTING = ("kube-controller-manager", "kube-scheduler")
# Seconds after which the kubelet itself ends a trial, where its run died and nobody removes it. No run lets one go on
# for so long: 180 s to be well and 90 s to end (rollout/trial.py).
TRIAL_DEADLINE = 300
# What a trial must not have: its probes would ask the live server's port, its lifecycle hooks may act on the host, its
# requests would evict other pods to make room.
_NOT_IN_TRIAL = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "ports", "resources", "restartPolicy")


@dataclass(frozen=True)
class Mount:
    """One mount of a container.

    :param name: of the volume
    :param mount_path: in the container
    :param host_path: what of the host is seen there, the mount's ``subPath`` included; None where the volume is no
        hostPath
    :param host_path_type: the ``type`` of what is seen there, empty where none is said
    """

    name: str
    mount_path: str
    host_path: str | None
    read_only: bool
    host_path_type: str = ""


@dataclass(frozen=True)
class _Word:
    """One word of the argument vector, and where in the container it stands."""

    text: str
    field: str  # "command" or "args"
    index: int


def program_at(words: Sequence[str], component: str) -> int | None:
    """Where the component's own program stands in an argument vector, None where it is not named.

    Before it may stand what starts it (``go-runner``, ``tini --``), with flags of its own.
    """
    return next((index for index, name in _programs(words) if name == component), None)


def _programs(words: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The words that may be programs, with their index: neither flags nor values in a word of their own."""
    for index, word in enumerate(words):
        before = words[index - 1] if index > 0 else ""
        is_value = before.startswith("-") and before != "--" and "=" not in before
        if not word.startswith("-") and not is_value:
            yield index, posixpath.basename(word)


class Manifest:
    """A static pod manifest.

    Every edit either gives a text in which nothing else has changed, or raises :class:`HardeningError` and leaves the
    manifest as it was.
    """

    def __init__(self, document: yamledit.Document) -> None:
        self._document = document

    @classmethod
    def parse(cls, text: str, source: str = "the manifest") -> Manifest:
        """Reads a manifest.

        :param source: what a sentence for the user calls it, for example its path
        :raises HardeningError: for what is no YAML, no Pod, or no single document
        """
        document = yamledit.Document(text, source)
        pod = document.value
        if not isinstance(pod, dict):
            raise HardeningError("KH111", f"{source} is no manifest: it holds no mapping with a kind. {_KEEP}")
        if pod.get("kind") != "Pod" or pod.get("apiVersion") != "v1":
            named = " ".join(shown(pod.get(key)) for key in ("apiVersion", "kind"))
            kind = named if "kind" in pod else "an object without a kind"
            raise HardeningError("KH111", f"{source} is no static pod manifest: it holds {kind}, not v1 Pod. {_KEEP}")
        containers = document.get(["spec", "containers"])
        if not isinstance(containers, list) or not containers:
            raise HardeningError("KH111", f"{source} is a Pod without containers. {_KEEP}")
        if not all(isinstance(container, dict) for container in containers):
            raise HardeningError("KH111", f"{source} has a container that is no mapping. {_KEEP}")
        return cls(document)

    @property
    def text(self) -> str:
        return self._document.text

    @property
    def source(self) -> str:
        return self._document.source

    @property
    def pod(self) -> dict[str, Any]:
        """The whole Pod as data, a copy."""
        value: dict[str, Any] = self._document.value
        return value

    def has_component(self, component: str) -> bool:
        return self._container_index(component) is not None

    def container(self, component: str) -> dict[str, Any]:
        """The component's container as data, a copy: the one of that name, else the one that runs that program.

        :raises HardeningError: where no container is the component's
        """
        value: dict[str, Any] = self._document.get(self._container_path(component))
        return value

    # -- arguments

    def arguments(self, component: str) -> list[str]:
        """The argument vector as the process will have it: command and args, with ``$(NAME)`` of the container's
        literal environment variables put in. What only the kubelet can know (``valueFrom``) stays as it is written, and
        where there is no ``command:`` the image's own entry point, which stands before it, is not part of it."""
        environment = self._environment(component)
        return [_expand(word.text, environment) for word in self._words(component)]

    def flag_values(self, component: str, flag: str) -> list[str]:
        """The values with which a flag stands there, in order; empty where it is absent."""
        argv = self.arguments(component)
        return flags.occurrences(flags.parse_arguments(argv[self._first_argument(component) :]), flag)

    def set_flag(self, component: str, flag: str, value: str | Sequence[str]) -> None:
        """Gives a flag a value, or several occurrences one value each (for flags of the kind ``array``).

        What is there is changed where it stands, in its form and quoting; occurrences beyond the wanted ones go; what
        is missing comes behind the last occurrence, or behind the last argument, in the form that most of the
        component's arguments have.

        :param flag: with or without its dashes
        """
        wanted = [value] if isinstance(value, str) else list(value)
        if not wanted:
            self.remove_flag(component, flag)
            return
        with self._document.all_or_nothing():
            present = self._occurrences(component, flag)
            for argument, one in zip(present, wanted):
                self._rewrite(component, argument, one)
            for argument in reversed(present[len(wanted) :]):
                self._remove(component, argument)
            for one in wanted[len(present) :]:
                self._add(component, flag, one)

    def remove_flag(self, component: str, flag: str) -> None:
        """Takes every occurrence of a flag away; nothing happens where there is none."""
        with self._document.all_or_nothing():
            for argument in reversed(self._occurrences(component, flag)):
                self._remove(component, argument)

    # -- probes

    def move_probe(self, component: str, probe: str, host: str, port: int, scheme: str) -> None:
        """Lets a probe over HTTP ask elsewhere.

        :param probe: for example ``livenessProbe``
        :param host: empty for the node's own address
        :param port: 0 for that which it asks already
        :param scheme: empty for that in which it asks already
        """
        path = [*self._container_path(component), probe, "httpGet"]
        with self._document.all_or_nothing():
            if host:
                self._set_entry(path, "host", host)
            elif self._document.has([*path, "host"]):
                self._document.remove_entry(path, "host")
            if scheme and (self._document.get([*path, "scheme"]) or "HTTP") != scheme:
                self._set_entry(path, "scheme", scheme)
            if port:
                self._set_port(component, path, port)

    def _set_port(self, component: str, path: Sequence[str | int], port: int) -> None:
        """Changes the port where it is a number, the probe's own or that of the container's port that it names."""
        written = self._document.get([*path, "port"])
        ports = self._document.get([*self._container_path(component), "ports"])
        names = _names(ports)
        if not isinstance(written, str) or written not in names:
            self._document.replace([*path, "port"], port)
            return
        named = [*self._container_path(component), "ports", names.index(written)]
        for key in ("containerPort", "hostPort"):
            if self._document.has([*named, key]):
                self._document.replace([*named, key], port)

    def _set_entry(self, path: Sequence[str | int], key: str, value: str) -> None:
        if self._document.has([*path, key]):
            self._document.replace([*path, key], value)
        else:
            self._document.add_entry(path, key, value)

    # -- mounts

    def mounts(self, component: str) -> list[Mount]:
        """The mounts of the component's container, in their order."""
        container = self.container(component)
        volumes = {_name(volume): volume for volume in _mappings(self._document.get(["spec", "volumes"]))}
        found = []
        for mount in _mappings(container.get("volumeMounts")):
            name, path = mount.get("name"), mount.get("mountPath")
            if isinstance(name, str) and isinstance(path, str):
                found.append(_mount(name, path, mount, volumes.get(name, {})))
        return found

    def mount_for(self, component: str, path: str) -> Mount | None:
        """The mount through which the component sees a path of its container: the one with the longest mountPath."""
        holding = [mount for mount in self.mounts(component) if holds(mount.mount_path, path)]
        return max(holding, key=lambda mount: len(normal(mount.mount_path)), default=None)

    def host_path_of(self, component: str, path: str) -> str | None:
        """Where a path of the container lies on the host; None where it is not mounted from the host."""
        mount = self.mount_for(component, path)
        if mount is None or mount.host_path is None:
            return None
        return moved(path, mount.mount_path, mount.host_path)

    def ensure_mount(
        self,
        component: str,
        name: str,
        host_path: str,
        mount_path: str,
        read_only: bool = True,
        path_type: str = "DirectoryOrCreate",
    ) -> Mount:
        """Lets the component see a path of the host, and returns the mount that does it.

        A mount that serves already stays as it is, also that of a parent directory; a read-only one of exactly this
        path becomes writable where that is wanted. A volume of the same host path is used again, else one is added
        under the wanted name, or, where another volume has that name, under the name with a number. Lists that are
        sorted by name stay sorted, as kubeadm writes them.

        :param path_type: hostPath type; empty for none
        :raises HardeningError: where another host path is mounted at exactly this place
        """
        if path_type not in _HOST_PATH_TYPES:
            raise HardeningError("KH111", f"{path_type} is no type of a hostPath volume. {_KEEP}")
        mount = self.mount_for(component, mount_path)
        exact = mount is not None and normal(mount.mount_path) == normal(mount_path)
        if mount is not None and self.host_path_of(component, mount_path) == normal(host_path):
            if read_only or not mount.read_only:
                return mount
            if exact:
                self._make_writable(component, mount)
                return self._mounted(component, mount_path)
        elif mount is not None and exact:
            raise HardeningError(
                "KH114",
                f"{self.source} mounts {mount.host_path or 'a volume that is not of the host'} at {mount_path} of "
                f"{component}, where {host_path} is needed; mount the other one elsewhere. {_KEEP}",
            )
        with self._document.all_or_nothing():
            entry: dict[str, Any] = {"mountPath": mount_path, "name": self._volume_for(name, host_path, path_type)}
            if read_only:
                entry["readOnly"] = True
            self._add_named(self._container_path(component), "volumeMounts", entry)
        return self._mounted(component, mount_path)

    def remove_mount(self, component: str, name: str, mount_path: str | None = None) -> None:
        """Takes the mounts of a volume from the component's container, and the volume where nobody else mounts it.

        :param mount_path: only the mount at this place; by default all of the volume

        A list of which nothing is left goes with its key. Nothing happens where there is no such mount.
        """
        path = self._container_path(component)
        with self._document.all_or_nothing():
            mounts = self._document.get([*path, "volumeMounts"])
            for index, one in reversed(list(enumerate(_names(mounts)))):
                if one == name and mount_path in (None, mounts[index].get("mountPath")):
                    self._remove_from_list(path, "volumeMounts", index)
            names = _names(self._document.get(["spec", "volumes"]))
            if name in names and name not in self._mounted_names():
                self._remove_from_list(["spec"], "volumes", names.index(name))

    # -- containers

    def _container_index(self, component: str) -> int | None:
        containers = self._document.get(["spec", "containers"])
        for index, container in enumerate(containers):
            if container.get("name") == component:
                return index
        for index, container in enumerate(containers):
            command = container.get("command")
            if isinstance(command, list) and command and posixpath.basename(str(command[0])) == component:
                return index
        return None

    def _container_path(self, component: str) -> list[str | int]:
        index = self._container_index(component)
        if index is None:
            raise HardeningError(
                "KH111", f"{self.source} has no container that is called {component} or runs {component}. {_KEEP}"
            )
        return ["spec", "containers", index]

    def _environment(self, component: str) -> dict[str, str]:
        variables = _mappings(self.container(component).get("env"))
        return {str(one.get("name")): str(one.get("value", "")) for one in variables if "valueFrom" not in one}

    # -- words

    def _words(self, component: str) -> list[_Word]:
        container = self.container(component)
        words: list[_Word] = []
        for field in ("command", "args"):
            items = container.get(field) or []
            if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
                raise HardeningError(
                    "KH111",
                    f"{self.source}: {field} of {component} must be a list of strings (numbers and true or false in "
                    f"quotes); the kubelet refuses it as it is. {_KEEP}",
                )
            words += [_Word(item, field, index) for index, item in enumerate(items)]
        texts = [word.text for word in words]
        if any(name in _SHELLS for _index, name in _programs(texts[: program_at(texts, component)])):
            raise HardeningError(
                "KH111",
                f"{self.source} starts {component} through a shell, where its flags cannot be told from the script; "
                f"write command: with the program and its flags as a list. {_KEEP}",
            )
        return words

    def _first_argument(self, component: str) -> int:
        """The index behind the program itself, before which may stand what starts it."""
        words = self._words(component)
        named = program_at([word.text for word in words], component)
        if named is not None:
            return named + 1
        return 1 if words and words[0].field == "command" else 0

    def _parsed(self, component: str) -> list[flags.Argument]:
        """The arguments, with positions in the whole vector; values as they are written."""
        first = self._first_argument(component)
        found = flags.parse_arguments([word.text for word in self._words(component)[first:]])
        return [
            flags.Argument(one.name, one.value, one.form, tuple(first + position for position in one.positions))
            for one in found
        ]

    def _occurrences(self, component: str, flag: str) -> list[flags.Argument]:
        name = flags.flag_name(flag)
        found = [argument for argument in self._parsed(component) if argument.name == name]
        flags.refuse_countless(len(found), flag, component, self.source)
        return found

    def _rewrite(self, component: str, argument: flags.Argument, value: str) -> None:
        words = self._words(component)
        if _expand(argument.effective, self._environment(component)) == value:
            return
        word = words[argument.positions[-1]]
        text = _escape(value)
        if argument.form != "words":
            head = word.text.partition("=")[0]
            text = (head if flags.flag_name(head) == argument.name else f"-{argument.name}") + "=" + text
        self._document.replace([*self._container_path(component), word.field, word.index], text)

    def _remove(self, component: str, argument: flags.Argument) -> None:
        words = self._words(component)
        path = self._container_path(component)
        for position in reversed(argument.positions):
            self._document.remove_item([*path, words[position].field], words[position].index)

    def _add(self, component: str, flag: str, value: str) -> None:
        words = self._words(component)
        parsed = self._parsed(component)
        same = [argument for argument in parsed if argument.name == flags.flag_name(flag)]
        after = (same or parsed)[-1].positions[-1] if parsed else len(words) - 1
        if after >= 0:
            field, index = words[after].field, words[after].index + 1
        else:
            field, index = "args", 0
        if not parsed and "args" in self.container(component):
            field, index = "args", len(self.container(component)["args"] or [])
        path = self._container_path(component)
        if field not in self.container(component):
            self._document.add_entry(path, field, _new_words(flag, value, parsed))
            return
        for offset, text in enumerate(_new_words(flag, value, parsed)):
            self._document.insert_item([*path, field], index + offset, text)

    # -- volumes

    def _mounted(self, component: str, path: str) -> Mount:
        """The mount at exactly this path."""
        return next(mount for mount in self.mounts(component) if normal(mount.mount_path) == normal(path))

    def _make_writable(self, component: str, mount: Mount) -> None:
        path = [*self._container_path(component), "volumeMounts"]
        places = [_mapping(entry).get("mountPath") for entry in self._document.get(path)]
        self._document.remove_entry([*path, places.index(mount.mount_path)], "readOnly")

    def _volume_for(self, name: str, host_path: str, path_type: str) -> str:
        """The name of a volume of this host path, which is added where there is none."""
        volumes = _mappings(self._document.get(["spec", "volumes"]))
        for volume in volumes:
            source = volume.get("hostPath")
            if (
                isinstance(source, dict)
                and normal(str(source.get("path"))) == normal(host_path)
                and (source.get("type") or "") in (path_type, "DirectoryOrCreate", "Directory", "")
                and isinstance(volume.get("name"), str)
            ):
                return str(volume["name"])
        taken = {_name(volume) for volume in volumes}
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name}-{number}", number + 1
        source = {"path": host_path, "type": path_type} if path_type else {"path": host_path}
        self._add_named(["spec"], "volumes", {"hostPath": source, "name": unique})
        return unique

    def _add_named(self, parent: Sequence[str | int], key: str, entry: Mapping[str, Any]) -> None:
        """Puts an entry into a list of things with names: in its place where the list is sorted, else at the end."""
        items = self._document.get([*parent, key])
        if not self._document.has([*parent, key]):
            self._document.add_entry(parent, key, [dict(entry)])
            return
        if not isinstance(items, list):
            items = []
        names = _names(items)
        index = len(items)
        if len(items) > 1 and names == sorted(names):
            index = next((place for place, name in enumerate(names) if name > entry["name"]), len(items))
        self._document.insert_item([*parent, key], index, dict(entry))

    def _remove_from_list(self, parent: Sequence[str | int], key: str, index: int) -> None:
        if len(self._document.get([*parent, key])) == 1:
            self._document.remove_entry(parent, key)
        else:
            self._document.remove_item([*parent, key], index)

    def _mounted_names(self) -> set[str]:
        spec = self._document.get(["spec"])
        containers = [*_mappings(spec.get("containers")), *_mappings(spec.get("initContainers"))]
        return {_name(mount) for container in containers for mount in _mappings(container.get("volumeMounts"))}


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _name(value: Mapping[str, Any]) -> str:
    """The name of a volume, mount or container; empty where it is none."""
    name = value.get("name")
    return name if isinstance(name, str) else ""


def _names(value: Any) -> list[str]:
    """The names of all items of a list; an item without one has an empty name."""
    return [_name(_mapping(item)) for item in value] if isinstance(value, list) else []


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _new_words(flag: str, value: str, neighbours: Sequence[flags.Argument]) -> list[str]:
    """A new flag in the form that most of its neighbours have; a boolean takes no word of its own."""
    name = flags.flag_name(flag)
    two = sum(1 for argument in neighbours if argument.form == "words")
    one = sum(1 for argument in neighbours if argument.form == "equals")
    if two > one and flags.kind_of(name) != "bool":
        return [f"--{name}", _escape(value)]
    return [f"--{name}={_escape(value)}"]


_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def _expand(text: str, environment: Mapping[str, str]) -> str:
    """``$(NAME)`` and ``$$`` as the kubelet expands them; a name that is not known stays as it is written."""
    if "$" not in text:
        return text

    def put_in(match: re.Match[str]) -> str:
        name = match.group(1)
        return "$" if name is None else environment.get(name, match.group(0))

    return _REFERENCE.sub(put_in, text)


def _escape(text: str) -> str:
    return text.replace("$$", "$$$$").replace("$(", "$$(") if "$" in text else text


def _mount(name: str, path: str, mount: Mapping[str, Any], volume: Mapping[str, Any]) -> Mount:
    source = volume.get("hostPath")
    host_path: str | None = None
    path_type = ""
    if isinstance(source, dict) and isinstance(source.get("path"), str) and not mount.get("subPathExpr"):
        host_path = normal(posixpath.join(source["path"], str(mount.get("subPath") or "")))
        # The type is of the volume's own path, not of what is below it.
        path_type = "" if mount.get("subPath") else str(source.get("type") or "")
    return Mount(name, path, host_path, mount.get("readOnly") is True, path_type)


# ---- trial -----------------------------------------------------------------------------------------------------------


def trial_manifest(
    manifest: Manifest,
    component: str,
    name: str,
    port: int,
    host_paths: Mapping[str, str] | None = None,
    flag_values: Mapping[str, str | None] | None = None,
    leader_election: bool | None = None,
) -> str:
    """The same component as a static pod of another name that runs beside the live one and disturbs nothing.

    Image, user, mounts and arguments are those of the manifest, but: name and ``component`` label are ``name``; no
    probes, ports, lifecycle hooks, resources, sidecars and init containers; ``restartPolicy: Never``, an end by itself
    (:data:`TRIAL_DEADLINE`) and a second to end in; the secure port is ``port``; kube-apiserver listens on 127.0.0.1
    only and never enters the ``kubernetes`` Service (``--endpoint-reconciler-type=none``). Controller-manager and
    scheduler keep the live lease's name, so that they only stand by.

    :param host_paths: host paths that the trial must not share with the live process, and what to mount in their place;
        what lies below an old path is meant too
    :param flag_values: flags that must be different in the trial; None takes a flag away
    :param leader_election: whether leader election is on, for a component whose configuration file says it; by default
        its flag is read, and with a configuration file and without the flag the trial is refused
    :raises HardeningError: for etcd (one data directory), where leader election is off or cannot be known, and where
        the API server's trial would write the live audit log
    """
    if component not in _TRIAL_COMPONENTS:
        raise HardeningError(
            "KH204", f"There is no trial of {component}: two of it cannot run beside each other. {_UNTRIED}"
        )
    if component in _ELECTING:
        _require_leader_election(manifest, component, leader_election)
    changed = Manifest.parse(manifest.text, manifest.source)
    overrides: dict[str, str | None] = {"secure-port": str(port)}
    if component == "kube-apiserver":
        overrides.update({"endpoint-reconciler-type": "none", "bind-address": "127.0.0.1"})
    overrides.update({flags.flag_name(flag): value for flag, value in (flag_values or {}).items()})
    for flag, value in overrides.items():
        changed.set_flag(component, flag, [] if value is None else value)
    substitutes = host_paths or {}
    if component == "kube-apiserver":
        _refuse_live_audit_log(manifest, changed, substitutes)
    return yamlwrite.dump(_trial_pod(changed, component, name, substitutes))


def _require_leader_election(manifest: Manifest, component: str, leader_election: bool | None) -> None:
    values = manifest.flag_values(component, "leader-elect")
    if values:
        elects: bool | None = flags.parse_bool(values[-1])
    elif manifest.flag_values(component, "config"):
        elects = leader_election
    else:
        elects = leader_election is not False
    if not elects:
        raise HardeningError(
            "KH204",
            f"There is no trial of {component}: without leader election (or where it cannot be seen that it is on) a "
            f"second one would act beside the first. {_UNTRIED}",
        )


def _refuse_live_audit_log(manifest: Manifest, trial: Manifest, substitutes: Mapping[str, str]) -> None:
    paths = []
    for one in (manifest, trial):
        values = one.flag_values("kube-apiserver", "audit-log-path")
        paths.append(one.host_path_of("kube-apiserver", values[-1]) if values and values[-1].startswith("/") else None)
    live, new = paths[0], _substituted(paths[1], substitutes)
    if new is not None and new == live:
        raise HardeningError("KH204", f"The trial of kube-apiserver would write the live audit log {new}. {_UNTRIED}")


def _substituted(path: str | None, substitutes: Mapping[str, str]) -> str | None:
    if path is None:
        return None
    holding = [old for old in substitutes if holds(old, path)]
    if not holding:
        return path
    old = max(holding, key=lambda one: len(normal(one)))
    return moved(path, old, substitutes[old])


def _trial_pod(manifest: Manifest, component: str, name: str, substitutes: Mapping[str, str]) -> dict[str, Any]:
    pod = manifest.pod
    container = {key: value for key, value in manifest.container(component).items() if key not in _NOT_IN_TRIAL}
    metadata = _trial_metadata(pod.get("metadata"), name)
    spec = {key: value for key, value in pod["spec"].items() if key not in ("initContainers", "resources")}
    spec["containers"] = [container]
    spec["restartPolicy"] = "Never"
    spec["activeDeadlineSeconds"] = TRIAL_DEADLINE
    # Nobody is served by it: under --shutdown-delay-duration it would go on for that long after it was well.
    spec["terminationGracePeriodSeconds"] = 1
    used = {_name(mount) for mount in _mappings(container.get("volumeMounts"))}
    spec["volumes"] = [
        _substituted_volume(volume, substitutes)
        for volume in _mappings(pod["spec"].get("volumes"))
        if _name(volume) in used
    ]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _trial_metadata(value: Any, name: str) -> dict[str, Any]:
    """A name, label and (by leaving it out) uid of its own, without kubeadm's annotations, from which it reads the live
    servers' addresses."""
    live = _mapping(value)
    annotations = _mapping(live.get("annotations"))
    kept = {key: one for key, one in annotations.items() if not str(key).startswith("kubeadm.kubernetes.io/")}
    metadata = {key: one for key, one in live.items() if key not in ("annotations", "uid")}
    metadata.update({"labels": {**_mapping(live.get("labels")), "component": name}, "name": name})
    return {"annotations": kept, **metadata} if kept else metadata


def _substituted_volume(volume: dict[str, Any], substitutes: Mapping[str, str]) -> dict[str, Any]:
    source = volume.get("hostPath")
    if not isinstance(source, dict) or not isinstance(source.get("path"), str):
        return volume
    return {**volume, "hostPath": {**source, "path": _substituted(source["path"], substitutes)}}
