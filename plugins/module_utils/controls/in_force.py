# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in force on a host, from what was collected there: values of flags and fields, with where each comes from."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components import versions
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import (
    Argument,
    effective_values,
    flag_name,
    kind_of,
    occurrences,
    parse_arguments,
    parse_quantity,
    split_list,
)
from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import (
    NOT_APPLICABLE,
    PASS,
    UNKNOWN,
    Verdict,
)
from ansible_collections.kubeharden.core.plugins.module_utils.controls.conditions import same, text_of
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

#: The files of fields, by the component that reads them.
FILES_OF_FIELDS = {
    "kubelet": ("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"),
    "kube-proxy": ("kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration"),
}
_MISSING = object()


@dataclasses.dataclass(frozen=True)
class Value:
    """What is in force.

    Attributes:
        items: One value, or the items of a list.
        words: Where it comes from, for the evidence.
        known: Whether this version has such a flag or field.
        doubt: Why it may not be what runs; empty where it is.
    """

    items: tuple[str, ...]
    words: str
    known: bool = True
    doubt: str = ""


def passed(words: str, *values: Value) -> Verdict:
    """Return that a control holds; where one of the values may not be what runs, that this is not known."""
    doubt = next((value.doubt for value in values if value.doubt), "")
    return Verdict(UNKNOWN, f"{words}; {doubt}") if doubt else Verdict(PASS, words)


class NotJudged(Exception):
    """Nothing can be said: why is the verdict."""

    def __init__(self, status: str, evidence: str) -> None:
        super().__init__(evidence)
        self.verdict = Verdict(status, evidence)


def table_for(component: str, version: str) -> versions.Table:
    """Return the version table of a component; the nearest where there is none, or where the version is not known."""
    product = versions.product_of(component)
    known = versions.known_versions(product)
    try:
        return versions.choose(component, version or versions.shown(known[-1]))[0]
    except HardeningError:
        return versions.Table.load(versions.shown(known[0]), product)


class Host:
    """One host's evidence, as the module ``verify_host`` returned it.

    Args:
        name: The inventory's name.
        evidence: What was collected; None where nothing was.
        problem: Why nothing was.
        configz: What the kubelet says to be its configuration, None where it was not asked or did not answer.
        configz_problem: Why it did not.
        kubeadm: What kubeadm's ConfigMap of the cluster says (ClusterConfiguration), None where it was not seen.
        reached_at: At which names or addresses API servers reach the kubelet, as far as that was seen.
    """

    def __init__(
        self,
        name: str,
        evidence: t.Mapping[str, t.Any] | None,
        problem: str = "",
        configz: t.Mapping[str, t.Any] | None = None,
        configz_problem: str = "",
        kubeadm: str | None = None,
        reached_at: t.Sequence[str] = (),
    ) -> None:
        self.name = name
        self.evidence: t.Mapping[str, t.Any] = evidence or {}
        self.problem = "" if evidence else problem or "nothing was collected on this host"
        self._configz = configz
        self._configz_problem = configz_problem
        self.kubeadm = kubeadm
        self.reached_at = reached_at
        self._arguments: dict[str, list[Argument]] = {}
        self._tables: dict[str, versions.Table] = {}

    @property
    def live(self) -> bool:
        """Whether processes belong to the files."""
        return bool(self.evidence.get("live"))

    @property
    def components(self) -> t.Mapping[str, t.Mapping[str, t.Any]]:
        """What runs, or should run, on the host."""
        return self.evidence.get("components") or {}

    def known_versions(self) -> dict[str, str]:
        """Return the version of each component that said one."""
        return {name: str(one["version"]) for name, one in self.components.items() if one.get("version")}

    def component(self, name: str) -> t.Mapping[str, t.Any]:
        """Return a component that runs.

        Raises:
            NotJudged: It is not on this host, or has no process.
        """
        if self.problem:
            raise NotJudged(UNKNOWN, self.problem)
        found = self.components.get(name)
        if found is None:
            raise NotJudged(NOT_APPLICABLE, f"{name} is not on this host")
        if not found.get("running"):
            raise NotJudged(UNKNOWN, str(found.get("problem") or f"{name} has no process"))
        return found

    def document(self, name: str) -> t.Mapping[str, t.Any]:
        """Return what was read of a file that a component names.

        Raises:
            NotJudged: It could not be read.
        """
        found = (self.evidence.get("documents") or {}).get(name) or {}
        if found.get("problem"):
            raise NotJudged(UNKNOWN, str(found["problem"]))
        return t.cast(t.Mapping[str, t.Any], found)

    def read_at_start(self, component: str, name: str) -> Value:
        """Return a document's place; in doubt where the component reads it when it starts, and it was written since.

        Raises:
            NotJudged: It could not be read.
        """
        found = self.document(name)
        written = ", ".join(str(path) for path in found.get("written_since") or [])
        doubt = f"{written} was written after {component} had started, which read it then: restart it"
        return Value((str(found.get("path") or ""),), "", doubt=doubt if written else "")

    def table(self, component: str) -> versions.Table:
        """Return the version table of a component."""
        if component not in self._tables:
            self._tables[component] = table_for(component, str(self.components.get(component, {}).get("version", "")))
        return self._tables[component]

    def occurrences(self, component: str, flag: str) -> list[str]:
        """Return the values with which a flag stands in the argument vector of a process."""
        return occurrences(self._vector(component), flag)

    def items(self, component: str, flag: str, given: t.Sequence[str]) -> list[str]:
        """Return what a component makes of a flag that stands with these values: one, or the items of a list."""
        return effective_values(given, self._kind(component, flag)) or []

    def flags(self, component: str) -> list[str]:
        """Return the names of the flags in the argument vector of a process, each once."""
        return list(dict.fromkeys(argument.name for argument in self._vector(component)))

    def is_default(self, component: str, flag: str) -> bool:
        """Return whether a flag of the process says what its version does without it."""
        known = self.table(component).lookup(component, flag)
        if known is None:
            return False
        have = self.items(component, flag, self.occurrences(component, flag))
        without = default_items(known.default, known.kind)
        return len(have) == len(without) and all(same(one, other) for one, other in zip(have, without))

    def _kind(self, component: str, flag: str) -> str:
        known = self.table(component).lookup(component, flag)
        return known.kind if known else kind_of(flag)

    def _vector(self, component: str) -> list[Argument]:
        if component not in self._arguments:
            words = list(self.component(component).get("arguments") or [])
            bare = self.table(component).bare_flags(component)
            self._arguments[component] = parse_arguments(words[1:], bare)
        return self._arguments[component]

    def flag(self, component: str, flag: str) -> Value:
        """Return what a flag comes to: as the process was started, else the version's own default.

        Raises:
            NotJudged: The component does not run, or what it takes for the flag was not seen.
        """
        present = self.occurrences(component, flag)
        known = self.table(component).lookup(component, flag)
        shown = " ".join(f"--{flag_name(flag)}={value}" for value in present)
        if component == "etcd" and known is not None:
            present, shown = self._flag_of_etcd(flag_name(flag), present, shown)
        if present:
            return Value(tuple(self.items(component, flag, present)), f"the process has {shown}")
        if known is None:
            return Value((), f"{component} {self._version(component)} has no flag --{flag_name(flag)}", known=False)
        self._require_one_default(component, flag, known)
        items = default_items(known.default, known.kind)
        shown = ",".join(items) or "empty"
        return Value(
            tuple(items), f"--{flag_name(flag)} is absent, so it is {shown}, the default of {self._version(component)}"
        )

    def file_of_etcd(self) -> str:
        """Return why nothing is known of what etcd was told, which is that a file says it; empty where none does.

        Raises:
            NotJudged: It is not on this host, or has no process.
        """
        values = self._environment_of_etcd().get("flags") or {}
        file = (self.occurrences("etcd", "config-file") or [str(values.get("config-file") or "")])[-1]
        return f"no flag of etcd counts beside --config-file {file}, which was not looked at" if file else ""

    def _environment_of_etcd(self) -> t.Mapping[str, t.Any]:
        return self.component("etcd").get("environment") or {}

    def _flag_of_etcd(self, flag: str, present: list[str], shown: str) -> tuple[list[str], str]:
        """Return what stands for a flag of etcd, and as which words: a flag counts more than its variable.

        Raises:
            NotJudged: Its variable was not seen, or a file says everything.
        """
        file = self.file_of_etcd()
        if file and flag != "config-file":
            raise NotJudged(UNKNOWN, file)
        if present:
            return present, shown
        environment = self._environment_of_etcd()
        variable = "ETCD_" + flag.upper().replace("-", "_")
        if flag in (environment.get("others") or []):
            raise NotJudged(UNKNOWN, f"--{flag} is absent and {variable} is set, whose value was not looked at")
        if environment.get("problem"):
            raise NotJudged(UNKNOWN, f"--{flag} is absent, and {environment['problem']}")
        values = environment.get("flags") or {}
        return ([str(values[flag])], f"{variable}={values[flag]}") if flag in values else ([], "")

    def _require_one_default(self, component: str, flag: str, known: versions.Flag) -> None:
        """Refuse to take a default for granted where the version is not known and versions differ in it."""
        if self.components.get(component, {}).get("version"):
            return
        product = versions.product_of(component)
        for version in versions.known_versions(product):
            other = versions.Table.load(versions.shown(version), product).lookup(component, flag)
            if other is None or other.default != known.default:
                raise NotJudged(
                    UNKNOWN, f"--{flag_name(flag)} is absent and the version, whose default it is, could not be told"
                )

    def said_by_kubelet(self) -> t.Mapping[str, t.Any]:
        """Return what the kubelet says itself to be its configuration.

        Raises:
            NotJudged: It is not there, or was not heard.
        """
        self.component("kubelet")
        if self._configz is None:
            words = self._configz_problem or "nobody asked it what it runs with"
            raise NotJudged(UNKNOWN, f"the kubelet was not heard: {words}")
        return self._configz

    def field(self, component: str, field: str, flag: str) -> Value:
        """Return what a field of a component's configuration file comes to.

        The kubelet's own word (/configz) counts first; it leaves out what is zero, since defaults are in it. Else the
        process's flags, the file with its drop-ins, and the version's default, in this order; kube-proxy's flags count
        only where it has no file. What a running kubelet's file says is in doubt where the kubelet was not asked: it
        read it when it started.

        Raises:
            NotJudged: The component is not there, or its file cannot be read.
        """
        self.component(component)
        if component == "kubelet" and self._configz is not None:
            value = within(self._configz, field)
            if value is _MISSING:
                return Value((), f"the kubelet itself reports no {field}, which is the zero value")
            items = _items(value)
            return Value(items, f"the kubelet itself reports {field} {_shown(items)}")
        # With a file kube-proxy ignores all flags for what a file can say, but the name of the host.
        beats = component != "kube-proxy" or not self.occurrences(component, "config")
        if flag and beats:
            present = self.occurrences(component, flag)
            if present:
                return self.flag(component, flag)
        return self._field_from_files(component, field, flag)

    def _field_from_files(self, component: str, field: str, flag: str) -> Value:
        found = self.evidence.get(component.replace("-", "_")) or {}
        if found.get("problem"):
            raise NotJudged(UNKNOWN, str(found["problem"]))
        if not found.get("file"):
            if flag:
                return self.flag(component, flag)  # without a file the flags' defaults hold, which are weaker
            raise NotJudged(UNKNOWN, f"{component} has no configuration file and there is no flag for {field}")
        doubt = ""
        if component == "kubelet" and self.live and self._configz_problem:
            doubt = f"whether that is what runs is not known, since the kubelet was not heard: {self._configz_problem}"
        value = within(found.get("fields") or {}, field)
        known = self.table(component).fields(*FILES_OF_FIELDS[component]) or {}
        # A duration of 0s, which kubeadm writes everywhere, means the default.
        is_default = field in known and known[field].type == "duration" and parse_quantity(text_of(value)) == 0
        if value is not _MISSING and not is_default:
            items = _items(value)
            return Value(items, f"{found['file']} has {field} {_shown(items)}", doubt=doubt)
        items = _items(known[field].default if field in known else None)
        words = f"{found['file']} has no {field}, so it is {_shown(items)}"
        return Value(items, words, known=field in known, doubt=doubt)

    def _version(self, component: str) -> str:
        return str(self.components.get(component, {}).get("version") or self.table(component).minor)


def within(document: t.Any, path: str) -> t.Any:
    """Return the value of a field by its path, ``_MISSING`` where there is none."""
    for key in path.split("."):
        if not isinstance(document, dict) or key not in document:
            return _MISSING
        document = document[key]
    return document


def default_items(default: str, kind: str) -> list[str]:
    """Return a flag's default, as its program prints it, as items."""
    if default in ("", "<nil>", "[]", "map[]"):
        return []
    if kind in ("slice", "array", "map"):
        return split_list(default[1:-1] if default.startswith("[") and default.endswith("]") else default)
    return [default]


def _items(value: t.Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list):
        return tuple(text_of(item) for item in value)
    if isinstance(value, dict):
        return tuple(f"{key}={text_of(item)}" for key, item in value.items())
    return (text_of(value),)


def _shown(items: t.Sequence[str]) -> str:
    return ",".join(items) or "empty"
