# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own files on a host, one JSON object each: what they should be in every part, or a sentence.

They are written in one step, but a disk may give back what no run wrote, and who acts on half of a journal makes more
of the damage.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes

#: A value is of a type, or of one of several; a list of one form is a list of any number of such values, a tuple is a
#: list of just these, and a mapping has just these keys, where one that ends with ``?`` may be missing and ``*`` stands
#: for any other key. A function says it itself, and nothing in particular is wanted of ANYTHING.
Form = t.Any

ANYTHING = None
TEXT_OR_NOTHING = frozenset({str, type(None)})
NUMBER = frozenset({int, float})


def fits(value: t.Any, form: Form) -> bool:
    """Return whether a value has a form."""
    if form is ANYTHING:
        return True
    if isinstance(form, dict):
        return isinstance(value, dict) and _mapping_fits(value, form)
    if isinstance(form, list):
        return isinstance(value, list) and all(fits(item, form[0]) for item in value)
    if isinstance(form, tuple):
        return isinstance(value, list) and len(value) == len(form) and all(map(fits, value, form))
    if not isinstance(form, (type, frozenset)):
        return bool(form(value))
    # Python's True is an int, JSON's is not.
    return type(value) in (form if isinstance(form, frozenset) else (form,))


def _mapping_fits(value: t.Mapping[str, t.Any], form: t.Mapping[str, Form]) -> bool:
    known = {key.rstrip("?"): one for key, one in form.items()}
    if not all(key in value for key in form if not key.endswith("?") and key != "*"):
        return False
    if "*" not in form and not set(value) <= set(known):
        return False
    return all(fits(one, known[key] if key in known else form["*"]) for key, one in value.items())


def read_object(path: str, form: Form, what: str, way_out: str, limit: int = 4 * 1024 * 1024) -> t.Any:
    """Return what a file holds, None where there is no file.

    Args:
        path: The file.
        form: What it must be.
        what: What it is, for the sentence: ``record of a run``.
        way_out: What to do, a clause in the imperative.
        limit: Bytes that are still read.

    Raises:
        HardeningError: It is something else.
    """
    data = read_bytes(path, limit=limit)
    if data is None:
        return None
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not fits(document, form):
        raise HardeningError("KH401", f"{path} is damaged: it is no {what}. Nothing was changed; {way_out}.")
    return document
