# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of controls on the controller: ours, and files of the user's own."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import CONTROL_PLANE
from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import Control, controls_from
from ansible_collections.kubeharden.core.plugins.module_utils.controls.judge import CHECKS
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.plugin_utils.controller import COLLECTION

DIRECTORY = COLLECTION / "controls"


def load(own: t.Sequence[str] = ()) -> list[Control]:
    """Return every control, those of the user's files last.

    Raises:
        HardeningError: A file that cannot be read or is no catalogue.
    """
    ours = {os.path.relpath(path, COLLECTION): document for path, document in _ours().items()}
    return controls_from({**ours, **{path: _read(path) for path in own}}, CHECKS)


def written() -> dict[str, dict[str, list[str]]]:
    """Return by component and control the flags that harden.yml sets where no judge of the kind ``flag`` names them.

    Some of these controls are not judged, and may be waived all the same.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for document in _ours().values():
        for component, controls in document.get("written", {}).items():
            found.setdefault(component, {}).update(controls)
    return found


def flags_by_control() -> dict[str, dict[str, set[str]]]:
    """Return by component of a control plane and control the flags that harden.yml sets for it.

    As this catalogue says it, which knows nothing of the templates. A control of the user's own sets none.
    """
    found = {
        component: {name: set(flags) for name, flags in controls.items()} for component, controls in written().items()
    }
    for control in load():
        judge = control.judge
        if control.component in CONTROL_PLANE and judge["kind"] == "flag":
            flags = judge["flag"] if isinstance(judge["flag"], list) else [judge["flag"]]
            of_component = found.setdefault(control.component, {})
            of_component.setdefault(control.part_of or control.id, set()).update(flags)
    return found


def flags_of(controls: t.Collection[str]) -> dict[str, set[str]]:
    """Return by component of a control plane the flags that harden.yml sets for some controls."""
    if not controls:
        return {}
    return {
        component: set().union(*(flags for name, flags in known.items() if name in controls))
        for component, known in flags_by_control().items()
    }


def _ours() -> dict[str, t.Any]:
    return {str(path): _read(str(path)) for path in sorted(DIRECTORY.glob("*.yml"))}


def _read(path: str) -> t.Any:
    try:
        with open(path, encoding="utf-8") as stream:
            return yaml_data.load(stream.read())
    except OSError as error:
        raise HardeningError(
            "KH007", f"kubeharden_controls_files: {path} could not be read: {error.strerror}. Mend that."
        ) from error
    except yaml_data.NoYamlError as error:
        place = f" (line {error.line})" if error.line else ""
        raise HardeningError("KH007", f"{path} is no YAML: {error}{place}. Correct the file.") from error
    except ValueError as error:
        raise HardeningError("KH007", f"{path} is no UTF-8 text. Correct the file.") from error
