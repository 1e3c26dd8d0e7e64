# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the pages of docs/ that say what the code says: docs/variables.md, docs/settings.md, docs/controls.md and
docs/errors.md.

A unit test holds the pages to the code; run this file after a change of the one or the other.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import jinja2
import yaml

from tools import catalogue_page, sentences

PROFILES = ("baseline", "cis")
MINORS = range(33, 38)
"""Kubernetes 1.33 to 1.37"""

RULES = {
    "exact": "is {}",
    "keep": "is {} where it was absent",
    "loopback": "is on the loopback, {} where it was absent",
    "at_least": "is {} or more",
    "at_most": "is {} or less",
    "ordered_minimum": "is {} or newer",
    "contains": "has {}",
    "narrowed": "has none but {}",
    "also": "and where they are found {}",
    "without": "never has {}",
    "absent": "is absent",
    "mode": "has mode {} at most",
    "owner": "owner {}",
    "group": "group {}",
    "positive": "also where it was 0 or less",
    "unlimited": "where {} is no limit",
    "default": "and is {} by itself",
    "none": "as where it is {}",
}
"""how a setting's keys are said, in this order"""

ROOT = pathlib.Path(__file__).resolve().parents[2]
_MARKUP = re.compile(r"\b[VCOM]\(([^)]*)\)")
_CONTROL = re.compile(r"^(?P<indent> *)  control: (?P<control>[\w-]+)(?:\s+# (?P<why>.*))?$")
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[\w.-]+):(?:\s*|\s+#.*)$")


def _plain(text: str) -> str:
    return _MARKUP.sub(r"`\1`", " ".join(text.split())).replace("|", "\\|")


def variables() -> str:
    """Return docs/variables.md."""
    specs = yaml.safe_load((ROOT / "roles/kubeharden/meta/argument_specs.yml").read_text(encoding="utf-8"))
    options: dict[str, dict[str, Any]] = specs["argument_specs"]["variables"]["options"]
    lines = [
        "# Variables",
        "",
        (
            "Set them in the inventory or with `-e`. Each has the prefix `kubeharden_`; a name with the prefix that "
            "is not here"
        ),
        "stops the run and names the nearest one. Made by `tests/tools/reference.py` from `roles/kubeharden`.",
        "",
        "| variable | type | default | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for name, option in options.items():
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        if "choices" in option:
            kind += ": " + ", ".join(f"`{choice}`" if choice else "empty" for choice in option["choices"])
        lines.append(f"| `{name}` | {kind} | `{json.dumps(option['default'])}` | {_plain(option['description'])} |")
    return "\n".join(lines) + "\n"


def _settings_of(path: pathlib.Path) -> list[tuple[str, str, str]]:
    """Return setting, control and reason of each line of a template that names a control."""
    found = []
    keys: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        header = _KEY.match(line)
        if header:
            keys[header["indent"]] = header["key"]
        control = _CONTROL.match(line)
        if control:
            found.append((keys[control["indent"]], control["control"], _plain(control["why"] or "")))
    return found


def settings() -> str:
    """Return docs/settings.md."""
    lines = [
        "# What is written",
        "",
        (
            "Every setting, its control, and who else asks for it. Made by `tests/tools/reference.py` from "
            "`templates/`, which is the"
        ),
        "only place where a value stands.",
    ]
    for path in sorted((ROOT / "templates").rglob("*.yaml.j2")):
        entries = _settings_of(path)
        if entries:
            lines += [
                "",
                f"## {path.relative_to(ROOT)}",
                "",
                "| setting | control | asked for by, and why |",
                "| --- | --- | --- |",
            ]
            lines += [f"| `{key}` | `{control}` | {why} |" for key, control, why in entries]
    return "\n".join(lines) + "\n"


@dataclasses.dataclass
class Setting:
    """One setting of a control, in all renderings of its template.

    ``rules`` has by profile what is written; ``minors`` are the minor versions in which it is.
    """

    name: str
    control: str
    rules: dict[str, str] = dataclasses.field(default_factory=dict)
    minors: set[int] = dataclasses.field(default_factory=set)

    def text(self) -> str:
        """The setting and its rule."""
        rules = set(self.rules.values())
        if len(rules) == 1:
            rule = rules.pop()
        else:
            rule = "; ".join(f"{text} in `{profile}`" for profile, text in self.rules.items())
        since = f", from 1.{min(self.minors)} on" if min(self.minors) > min(MINORS) else ""
        return f"`{self.name}` {rule}{since}"


def page_data() -> dict[str, Any]:
    """What docs/controls.yml says: titles of controls, and what kube-bench still finds."""
    data: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "controls.yml").read_text(encoding="utf-8"))
    return data


def left_by_kube_bench(profile: str, host: str) -> set[tuple[str, str]]:
    """What kube-bench says after a run with a profile, as result and check.

    :param host: ``control_plane`` or ``worker``
    """
    return {
        (entry["result"], check)
        for entry in page_data()["kube_bench"]
        for check in entry["checks"]
        if profile in entry["profiles"] and host in entry["hosts"]
    }


class _Everything:
    """A host on which every file lies that a template asks for."""

    def __contains__(self, _path: str) -> bool:
        return True


def _rendered(path: pathlib.Path, profile: str, minor: int) -> Any:
    """What a template says of a cluster of three control planes with nothing of the owner's."""
    environment = jinja2.Environment(  # noqa: S701 - YAML, no HTML
        trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.ChainableUndefined
    )
    environment.filters["bool"] = bool
    environment.tests["match"] = lambda value, pattern: re.match(pattern, value) is not None
    text = environment.from_string(path.read_text(encoding="utf-8")).render(
        kubeharden_profile=profile,
        kubeharden_token_join=True,
        kubeharden_token_webhook_config_file="/etc/kubernetes/webhook.yaml",
        kubeharden_pki_authorities_dir="/secure/authorities",
        kubeharden_pki_component_serving=True,
        laid=_Everything(),
        there=_Everything(),
        client_authority=True,
        minor=minor,
        etcd_version="3.7.0",
        control_planes=3,
        approver=True,
        signer=True,
        oldest_kubelet=minor,
        kubelet_pki="/var/lib/kubelet/pki",
    )
    return yaml.safe_load(text)


def _walk(data: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each setting with its name, however deep it lies."""
    if isinstance(data, dict) and isinstance(data.get("control"), str):
        yield name, data
    elif isinstance(data, dict):
        for key, item in data.items():
            yield from _walk(item, str(key))


def _shown(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return ", ".join(
        "empty" if item == "" else f"`{str(item).lower() if isinstance(item, bool) else item}`" for item in values
    )


def _rule(data: dict[str, Any]) -> str:
    """A setting's rule in words."""
    words = [
        template.format(_shown(data[key]))
        for key, template in RULES.items()
        if key in data and data[key] not in ([], None)
    ]
    return _plain(", ".join(words))


def _settings_by_control(path: pathlib.Path) -> dict[str, list[Setting]]:
    found: dict[tuple[str, str], Setting] = {}
    dashes = "--" if path.name in ("flags.yaml.j2", "pulls.yaml.j2", "trust.yaml.j2") else ""
    for profile in PROFILES:
        for minor in MINORS:
            for key, data in _walk(_rendered(path, profile, minor)):
                setting = found.setdefault((data["control"], key), Setting(dashes + key, data["control"]))
                setting.rules[profile] = _rule(data)
                setting.minors.add(minor)
    by_control: dict[str, list[Setting]] = {}
    for setting in found.values():
        by_control.setdefault(setting.control, []).append(setting)
    return by_control


def controls() -> str:
    """Return docs/controls.md."""
    data = page_data()
    lines = [
        "# Controls",
        "",
        "What a run makes hold, by the ids that `kubeharden_only` and `kubeharden_waivers` take; then what verify",
        "judges, and how that stands beside others' lists:",
        "",
        "- [What verify judges](#what-verify-judges): every control and its rule",
        "- [Beside CIS 1.12 and kube-bench](#beside-cis-112-and-kube-bench): check by check, with both verdicts",
        "- [What kube-bench still says](#what-kube-bench-still-says) after a run, and why it is left",
        "- [Beside kubescape](#beside-kubescape): control by control",
        "- [Beside the STIG](#beside-the-stig): rule by rule",
        "",
        "Made by `tests/tools/reference.py` from `templates/`, `controls/` and `docs/*.yml`.",
        "",
        "A stricter value that is found stays; where a setting is right by itself, nothing is written.",
    ]
    for path in sorted((ROOT / "templates").rglob("*.yaml.j2")):
        reasons = {control: why for _key, control, why in reversed(_settings_of(path)) if why}
        by_control = _settings_by_control(path) if reasons else {}
        if not by_control:
            continue
        header = "| control | what holds | setting and rule | profile | asked for by, and why |"
        lines += ["", f"## {path.relative_to(ROOT / 'templates')}", "", header, "| --- | --- | --- | --- | --- |"]
        for control, found in by_control.items():
            profiles = [profile for profile in PROFILES if any(profile in setting.rules for setting in found)]
            lines.append(
                f"| `{control}` | {data['titles'].get(control, '')} | {'<br>'.join(s.text() for s in found)} "
                f"| {', '.join(profiles)} | {reasons.get(control, '')} |"
            )
    left = {profile: left_by_kube_bench(profile, "control_plane") for profile in PROFILES}
    lines += [*catalogue_page.judged(), *catalogue_page.beside_cis(left)]
    lines += [*_kube_bench(data["kube_bench"]), *catalogue_page.beside_kubescape(), *catalogue_page.beside_stig()]
    return "\n".join(lines) + "\n"


def _kube_bench(entries: list[dict[str, Any]]) -> list[str]:
    lines = [
        "",
        "## What kube-bench still says",
        "",
        "kube-bench with CIS 1.12 on a cluster that kubeadm made, after a run. It fails nothing else, and warns of",
        "nothing else; WARN is also what it says of every check that it leaves to a person.",
    ]
    for profile in PROFILES:
        counts = [
            f"{len([r for r, _check in left_by_kube_bench(profile, host) if r == result])} {result}"
            for host in ("control_plane", "worker")
            for result in ("FAIL", "WARN")
        ]
        lines += [
            "",
            f"### Profile `{profile}`",
            "",
            f"A control plane has {counts[0]} and {counts[1]}, a worker {counts[2]} and {counts[3]}.",
            "",
            "| checks | result | on | what they are about | why they are left |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {', '.join(entry['checks'])} | {entry['result']} | {', '.join(entry['hosts']).replace('_', ' ')} "
            f"| {entry['about']} | {_plain(entry['why'])} |"
            for entry in entries
            if profile in entry["profiles"]
        ]
    return lines


def error_data() -> dict[str, Any]:
    """What docs/errors.yml says: areas with their errors by number, and numbers that are retired."""
    data: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "errors.yml").read_text(encoding="utf-8"))
    return data


def errors() -> str:
    """Return docs/errors.md."""
    data = error_data()
    lines = [
        "# Errors",
        "",
        "What ends a run begins with a number. The sentence after it says what was wrong, where, what was left as it",
        "was and what to do; here is what holds for every error of that number. Made by `tests/tools/reference.py`",
        "from `docs/errors.yml`.",
        "",
        "A number keeps its meaning in all versions. Words of Ansible itself, such as of an undefined name in braces",
        "or a file that is no inventory, have none.",
    ]
    for area in data["areas"]:
        lines += [
            "",
            f"## {area['name']}",
            "",
            "| number | what is wrong | what was left as it was | what to do |",
            "| --- | --- | --- | --- |",
        ]
        for number, error in area["errors"].items():
            cells = (_plain(error[key]) for key in ("what", "left", "do"))
            lines.append(f"| `{number}` | {' | '.join(cells)} |")
    if data["retired"]:
        lines += ["", f"Used once, and never again: {', '.join(f'`{number}`' for number in data['retired'])}."]
    lines += [
        "",
        "## The sentences",
        "",
        "As they stand in the code, from where they are taken; `…` is what differs from run to run. Some are a part of",
        "a longer one, and of a number without any here each is put together of what was found.",
    ]
    for number, found in sentences.sentences().items():
        lines += ["", f"### {number}", "", "```text", *found, "```"] if found else []
    return "\n".join(lines) + "\n"


PAGES = {
    "docs/variables.md": variables,
    "docs/settings.md": settings,
    "docs/controls.md": controls,
    "docs/errors.md": errors,
}


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (ROOT / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
