# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of controls on the controller: ours, and files of the user's own."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
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
    ours = sorted(str(path) for path in DIRECTORY.glob("*.yml"))
    documents = {os.path.relpath(path, COLLECTION) if path in ours else path: _read(path) for path in (*ours, *own)}
    return controls_from(documents, CHECKS)


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
