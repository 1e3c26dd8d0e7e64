# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeadm's ClusterConfiguration: what the next ``kubeadm upgrade`` makes the manifests from.

It stands as the inner document of the ConfigMap ``kube-system/kubeadm-config`` and is edited as text, like a manifest:
lines that are not meant stay as they are. In ``kubeadm.k8s.io/v1beta3`` extraArgs is a mapping, from ``v1beta4`` on a
list of names with values, in which a name may stand several times. kubeadm takes strings only, so numbers and booleans
are written in quotes.

Which edits are undone exactly, byte for byte, by their reverse: :meth:`ClusterConfiguration.set_extra_arg` of an absent
argument by :meth:`ClusterConfiguration.remove_extra_arg`, where the component's entry was there (kubeadm writes
``apiServer: {}``) and did not hold an empty ``extraArgs``; of a present one by setting the old value, where that stands
in one line without needless escapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.kubeharden.core.plugins.module_utils.components import flags, yamledit, yamlwrite
from ansible_collections.kubeharden.core.plugins.module_utils.components.paths import holds, moved, normal
from ansible_collections.kubeharden.core.plugins.module_utils.components.yamlread import shown
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

_KEEP = "Nothing was changed; correct it, and run again."
_VERSIONS = {"kubeadm.k8s.io/v1beta3": "mapping", "kubeadm.k8s.io/v1beta4": "list"}
_PLACES: Mapping[str, tuple[str, ...]] = {
    "kube-apiserver": ("apiServer",),
    "kube-controller-manager": ("controllerManager",),
    "kube-scheduler": ("scheduler",),
    "etcd": ("etcd", "local"),
}
# What kubeadm mounts of itself, in cmd/kubeadm/app/phases/controlplane/volumes.go of Kubernetes 1.33 to 1.37. It keeps
# volumes by name, and knows no two of one mountPath, which the kubelet refuses.
_TRUSTED = "/etc/ssl/certs"
_MORE_TRUSTED = (  # where the host has them
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
)
_FLEX_VOLUMES = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec"
_OWN_NAMES = frozenset(
    ("k8s-certs", "ca-certs", "flexvolume-dir", "kubeconfig", *(path[1:].replace("/", "-") for path in _MORE_TRUSTED))
)


@dataclass(frozen=True)
class ExtraVolume:
    """A directory or file of the host that kubeadm mounts into a component's container.

    :param path_type: hostPath type; empty where it is not said, which kubeadm takes for none
    """

    name: str
    host_path: str
    mount_path: str
    read_only: bool
    path_type: str = ""


class ClusterConfiguration:
    """The text of a ClusterConfiguration.

    Every edit either gives a text in which nothing else has changed, or raises :class:`HardeningError` and leaves the
    text as it was. Components are named as their containers are: ``kube-apiserver``, ``kube-controller-manager``,
    ``kube-scheduler``, ``etcd``.
    """

    def __init__(self, document: yamledit.Document) -> None:
        self._document = document

    @classmethod
    def parse(cls, text: str, source: str = "the ConfigMap kube-system/kubeadm-config") -> ClusterConfiguration:
        """Reads the inner document.

        :param source: what a sentence for the user calls it
        :raises HardeningError: for what is no YAML, no ClusterConfiguration, or one of a version that is not known
        """
        document = yamledit.Document(text, source)
        content = document.value
        if not isinstance(content, dict) or content.get("kind") != "ClusterConfiguration":
            raise HardeningError("KH116", f"{source} does not hold a ClusterConfiguration of kubeadm. {_KEEP}")
        version = content.get("apiVersion")
        if not isinstance(version, str) or version not in _VERSIONS:
            raise HardeningError(
                "KH116",
                f"{source} is written in {shown(version)}, and only {' and '.join(sorted(_VERSIONS))} are known; "
                f"'kubeadm config migrate' writes a newer version from an older one. {_KEEP}",
            )
        return cls(document)

    @property
    def text(self) -> str:
        return self._document.text

    @property
    def source(self) -> str:
        return self._document.source

    @property
    def api_version(self) -> str:
        return str(self._document.get(["apiVersion"]))

    @property
    def content(self) -> dict[str, Any]:
        """The whole configuration as data, a copy."""
        value: dict[str, Any] = self._document.value
        return value

    @property
    def etcd_is_external(self) -> bool:
        """Whether etcd is somebody else's, so that kubeadm has no arguments for it."""
        return self._document.get(["etcd", "external"]) is not None

    # -- arguments

    def extra_args(self, component: str) -> list[tuple[str, str]]:
        """The component's extra arguments in their order, as kubeadm will pass them on."""
        path = [*self._place(component), "extraArgs"]
        value = self._document.get(path)
        if value is None or value in ({}, []):
            return []
        if self._listed and isinstance(value, list):
            return [self._named(component, item) for item in value]
        if not self._listed and isinstance(value, dict):
            return [(_as_string(key), _as_string(item)) for key, item in value.items()]
        wanted = "a list of names and values" if self._listed else "a mapping"
        raise HardeningError(
            "KH116", f"{self.source}: {'.'.join(path)} must be {wanted} in {self.api_version}, and is not. {_KEEP}"
        )

    def extra_arg_values(self, component: str, flag: str) -> list[str]:
        """The values of one argument, in order; empty where it is absent."""
        name = flags.flag_name(flag)
        return [value for key, value in self.extra_args(component) if flags.flag_name(key) == name]

    @property
    def says_several(self) -> bool:
        """Whether an argument may have several occurrences: from v1beta4 on."""
        return self._listed

    def set_extra_arg(self, component: str, flag: str, value: str | Sequence[str]) -> None:
        """Gives an argument a value, or (from v1beta4 on) several occurrences one value each.

        :raises HardeningError: for several values in v1beta3, and where etcd is not kubeadm's
        """
        wanted = [value] if isinstance(value, str) else list(value)
        if len(wanted) > 1 and not self._listed:
            raise HardeningError(
                "KH116",
                f"{self.source}: {flag} of {component} needs {len(wanted)} values, which {self.api_version} cannot "
                f"say; write it in v1beta4 with 'kubeadm config migrate'. {_KEEP}",
            )
        with self._document.all_or_nothing():
            present = self._positions(component, flag)
            for position, one in zip(present, wanted):
                self._replace(component, position, one)
            for position in reversed(present[len(wanted) :]):
                self._take(component, "extraArgs", position)
            following = present[-1] if present else None
            for one in wanted[len(present) :]:
                following = self._add_arg(component, flags.flag_name(flag), one, following)

    def remove_extra_arg(self, component: str, flag: str) -> None:
        """Takes every occurrence of an argument away; ``extraArgs`` goes with the last one."""
        with self._document.all_or_nothing():
            for position in reversed(self._positions(component, flag)):
                self._take(component, "extraArgs", position)

    # -- volumes

    def extra_volumes(self, component: str) -> list[ExtraVolume]:
        """The component's extra volumes, in their order; etcd can have none."""
        if component == "etcd":
            return []
        value = self._document.get([*self._place(component), "extraVolumes"])
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise HardeningError(
                "KH116", f"{self.source}: extraVolumes of {component} must be a list of mappings. {_KEEP}"
            )
        return [
            ExtraVolume(
                str(item.get("name") or ""),
                str(item.get("hostPath") or ""),
                str(item.get("mountPath") or ""),
                item.get("readOnly") is True,
                str(item.get("pathType") or ""),
            )
            for item in value
        ]

    def ensure_extra_volume(
        self,
        component: str,
        name: str,
        host_path: str,
        mount_path: str,
        read_only: bool = True,
        path_type: str = "DirectoryOrCreate",
    ) -> ExtraVolume:
        """Lets kubeadm mount a path of the host into the component's container, and returns the volume that does it.

        A volume that serves already stays as it is, also one of a parent directory; a read-only one of exactly this
        path becomes writable where that is wanted; where another one has the wanted name, the new one gets a number
        behind it.

        :raises HardeningError: for etcd, which has no extraVolumes, and where another host path is mounted there
        """
        if component == "etcd":
            raise HardeningError("KH116", f"{self.source}: kubeadm knows no extra volumes for etcd. {_KEEP}")
        volumes = self.extra_volumes(component)
        # An extra volume of one of its names takes the place of kubeadm's own.
        taken = {*_OWN_NAMES, *(one.name for one in volumes)}
        holding = [one for one in volumes if one.mount_path and holds(one.mount_path, mount_path)]
        nearest = max(holding, key=lambda one: len(normal(one.mount_path)), default=None)
        path = [*self._place(component), "extraVolumes"]
        exact = nearest is not None and normal(nearest.mount_path) == normal(mount_path)
        if nearest and moved(mount_path, nearest.mount_path, nearest.host_path) == normal(host_path):
            if read_only or not nearest.read_only:
                return nearest
            if exact:
                position = volumes.index(nearest)
                self._document.remove_entry([*path, position], "readOnly")
                return self.extra_volumes(component)[position]
        elif nearest and exact:
            raise HardeningError(
                "KH114",
                f"{self.source} has {nearest.host_path} mounted at {mount_path} of {component}, where {host_path} is "
                f"needed; mount the other one elsewhere. {_KEEP}",
            )
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name}-{number}", number + 1
        # The order of keys in which kubeadm writes them.
        entry: dict[str, Any] = {"hostPath": host_path, "mountPath": mount_path, "name": unique}
        if path_type:
            entry["pathType"] = path_type
        if read_only:
            entry["readOnly"] = True
        with self._document.all_or_nothing():
            self._add(component, "extraVolumes", entry)
        return ExtraVolume(unique, host_path, mount_path, read_only, path_type)

    def own_mounts(self, component: str) -> list[str]:
        """What kubeadm mounts into the component's container whatever its configuration says: paths of the host, under
        the same path in the container."""
        certificates = normal(str(self._document.get(["certificatesDir"]) or "/etc/kubernetes/pki"))
        if component == "etcd":
            data = self._document.get(["etcd", "local", "dataDir"]) or "/var/lib/etcd"
            return [f"{certificates}/etcd", normal(str(data))]
        if component == "kube-scheduler":
            return ["/etc/kubernetes/scheduler.conf"]
        trusted = [certificates, _TRUSTED, *_MORE_TRUSTED]
        if component != "kube-controller-manager":
            return trusted
        flex_volumes = self.extra_arg_values(component, "flex-volume-plugin-dir")[-1:] or [_FLEX_VOLUMES]
        return [*trusted, "/etc/kubernetes/controller-manager.conf", *map(normal, flex_volumes)]

    def remove_extra_volume(self, component: str, name: str) -> None:
        """Takes the extra volume of that name away; ``extraVolumes`` goes with the last one."""
        names = [one.name for one in self.extra_volumes(component)]
        if name in names:
            self._take(component, "extraVolumes", names.index(name))

    # -- places

    @property
    def _listed(self) -> bool:
        return _VERSIONS[self.api_version] == "list"

    def _place(self, component: str) -> tuple[str, ...]:
        if component not in _PLACES:
            raise HardeningError("KH116", f"kubeadm's ClusterConfiguration has no place for {component}. {_KEEP}")
        if component == "etcd" and self.etcd_is_external:
            raise HardeningError(
                "KH116", f"{self.source}: etcd is external, so that kubeadm has no arguments for it. {_KEEP}"
            )
        place = _PLACES[component]
        for length in range(1, len(place) + 1):
            if not isinstance(self._document.get(place[:length]), (dict, type(None))):
                raise HardeningError("KH116", f"{self.source}: {'.'.join(place[:length])} must be a mapping. {_KEEP}")
        return place

    def _named(self, component: str, item: Any) -> tuple[str, str]:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise HardeningError("KH116", f"{self.source}: an item of extraArgs of {component} has no name. {_KEEP}")
        return item["name"], _as_string(item.get("value", ""))

    def _positions(self, component: str, flag: str) -> list[int]:
        """Where in extraArgs a flag stands: indices into the list, or among the keys of the mapping."""
        name = flags.flag_name(flag)
        found = [
            index for index, (key, _dummy) in enumerate(self.extra_args(component)) if flags.flag_name(key) == name
        ]
        flags.refuse_countless(len(found), flag, component, self.source)
        return found

    def _step(self, component: str, position: int) -> list[str | int]:
        """The path of an argument's value."""
        path: list[str | int] = [*self._place(component), "extraArgs"]
        if self._listed:
            return [*path, position, "value"]
        return [*path, list(self._document.get(path))[position]]

    # -- edits

    def _replace(self, component: str, position: int, value: str) -> None:
        path = self._step(component, position)
        if self._listed and not self._document.has(path):
            self._document.append_entry(path[:-1], "value", value)
        else:
            self._document.replace(path, value)

    def _add_arg(self, component: str, name: str, value: str, after: int | None) -> int:
        """Puts an argument behind another, or at the end, and returns its index."""
        count = len(self.extra_args(component))
        index = count if after is None else after + 1
        path = [*self._place(component), "extraArgs"]
        if not self._listed:
            self._reach(component)
            if self._document.has(path):
                self._document.add_entry(path, name, value)
            else:
                self._document.add_entry(path[:-1], "extraArgs", {name: value})
        else:
            self._add(component, "extraArgs", {"name": name, "value": value}, index)
        return index

    def _add(self, component: str, key: str, entry: Mapping[str, Any], index: int | None = None) -> None:
        self._reach(component)
        place = self._place(component)
        path = [*place, key]
        if not self._document.has(path):
            self._document.add_entry(place, key, [dict(entry)])
            return
        items = self._document.get(path) or []
        self._document.insert_item(path, len(items) if index is None else index, dict(entry))

    def _reach(self, component: str) -> None:
        """Makes the component's place where the configuration does not have it yet."""
        place = self._place(component)
        for length in range(1, len(place) + 1):
            if not self._document.has(place[:length]):
                self._document.add_entry(place[: length - 1], place[length - 1], {})

    def _take(self, component: str, key: str, position: int) -> None:
        """Takes an item from a list, or an entry from a mapping; the key goes with the last one."""
        place = self._place(component)
        content = self._document.get([*place, key])
        if len(content) == 1:
            self._document.remove_entry(place, key)
        elif isinstance(content, list):
            self._document.remove_item([*place, key], position)
        else:
            self._document.remove_entry([*place, key], list(content)[position])


def _as_string(value: Any) -> str:
    """What kubeadm makes of a value that is no string is an error; for reading its text will do."""
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        return yamlwrite.write_flow(value)
    return value if isinstance(value, str) else yamlwrite.write_scalar(value)
