# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module of this collection does around its one call: libraries, host, result, sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.respawn import has_respawned, probe_interpreters_for_module, respawn_module

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError, numbered
from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import mask

#: Where distributions keep the Python that their packages of libraries belong to.
_INTERPRETERS = (
    "/usr/libexec/platform-python",
    "/usr/bin/python3",
    "/usr/bin/python3.9",
    "/usr/bin/python3.11",
    "/usr/bin/python3.12",
)
LIBRARIES = ("yaml", "cryptography")

HOST_OPTIONS: dict[str, dict[str, t.Any]] = {
    "root": {"type": "path", "default": "/"},
    "root_seed": {"type": "path"},
    "run_id": {"type": "str", "required": True},
    "locks": {"type": "list", "elements": "str", "choices": ["host", "cluster", "alone"], "default": []},
}
#: Where one task looks, on all hosts at once, and another does.
PLANNED_OPTIONS: dict[str, dict[str, t.Any]] = {
    "write": {"type": "bool", "default": True},
    "planned": {"type": "dict", "default": {}},
}
#: Beside HOST_OPTIONS, what the modules of certificates take.
PKI_OPTIONS: dict[str, dict[str, t.Any]] = {
    "node_name": {"type": "str", "required": True},
    "cluster": {"type": "dict", "required": True},
    "layout": {"type": "dict", "default": {}},
    "now": {"type": "float"},
    "report_dir": {"type": "path"},
}
#: Beside these, what the modules of leaves and kubeconfigs take.
LEAF_OPTIONS: dict[str, dict[str, t.Any]] = {
    "scope": {"type": "str", "choices": ["missing", "due"], "default": "due"},
    "only": {"type": "list", "elements": "str", "default": []},
    "policy": {"type": "dict", "default": {}},
    "expected": {"type": "list", "elements": "str", "default": []},
    "brought": {"type": "dict", "default": {}},
    "outside": {"type": "list", "elements": "str", "default": []},
    "returned": {"type": "dict", "default": {}},
    "signer": {"type": "bool", "default": True},
    "without_key": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "answers": {"type": "dict"},
    "bundles": {"type": "dict", "default": {}},
    "repair": {"type": "bool", "default": True},
    "discovery": {"type": "dict"},
    "gate_timeout": {"type": "int", "default": 300},
    "api_servers": {"type": "dict", "default": {}},
}


def missing_libraries() -> list[str]:
    """Return the names of the libraries that this interpreter lacks."""
    missing = []
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
    return missing


def find_libraries() -> list[str]:
    """Start the module again under an interpreter that has every library; returns what is missing without one."""
    missing = missing_libraries()
    if missing and not has_respawned():
        for interpreter in _INTERPRETERS:
            if all(probe_interpreters_for_module([interpreter], name) for name in LIBRARIES):
                respawn_module(interpreter)  # ends this process
    return missing


def require_libraries(module: AnsibleModule) -> None:
    """Fail with one sentence where no interpreter has the libraries."""
    missing = find_libraries()
    if missing:
        sentence = (
            f"No Python on this host has {' and '.join(missing)}. Nothing was changed; install the distribution's "
            "package, or leave kubeharden_install_packages at true and run again."
        )
        module.fail_json(msg=numbered("KH103", sentence))


@contextlib.contextmanager
def _at_work(module: AnsibleModule) -> t.Iterator[None]:
    """Mark the host's lock as in use: a module call goes on to its end when its controller dies.

    A call does not begin where the run does not have the locks any more that it took. A module that is called without a
    run, by a play of the user's, has none; it does not begin beside a run that has one.
    """
    # Here, since they need the libraries that a host may lack when a module begins.
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host  # noqa: PLC0415
    from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Lock  # noqa: PLC0415

    root = module.params.get("root")
    if module.check_mode or root is None:
        yield
        return
    locks = module.params.get("locks") or []
    lock = Lock(Host(root))
    if "alone" in locks:
        lock.note_alone(module.params["run_id"])
    with lock.in_use(module.params["run_id"], "host" in locks):
        kubeconfig = (module.params.get("discovery") or {}).get("admin_kubeconfig")
        if kubeconfig and root == "/":
            from ansible_collections.kubeharden.core.plugins.module_utils.rollout.lease import (  # noqa: PLC0415
                lease_of,
            )

            holder = lock.holder() if "alone" in locks else None
            if holder is None:
                lease_of(kubeconfig).renew(module.params["run_id"], "cluster" in locks)
            else:
                lease_of(kubeconfig).join(holder)
        yield


def runner(module: AnsibleModule) -> t.Callable[..., tuple[int, str, str]]:
    """Return what runs a command of the host: arguments, and ``data`` for its input, to code, output and complaints.

    AnsibleModule.run_command ends the module where a program is missing or cannot be started, past the way back of what
    is under way. Here that is a command that failed, with the shell's code for it.
    """

    def run_program(arguments: list[str], **options: t.Any) -> tuple[int, str, str]:
        try:
            return t.cast("tuple[int, str, str]", module.run_command(arguments, handle_exceptions=False, **options))
        except OSError as error:
            return 127, "", f"{arguments[0]}: {error.strerror or error}"

    return run_program


def run(module: AnsibleModule, work: t.Callable[[AnsibleModule], dict[str, t.Any]], under_lock: bool = True) -> None:
    """Do the work and return its result; what a person must act on becomes the module's message.

    Args:
        module: The module.
        work: What it does.
        under_lock: Whether it is done under the host's lock. It is not where it takes the lock itself, or only looks.
    """
    try:
        if under_lock:
            with _at_work(module):
                result = work(module)
        else:
            result = work(module)
    except HardeningError as error:
        module.fail_json(msg=error.numbered, refused=True, **error.facts)
    else:
        module.exit_json(**result)


def result_of(module: AnsibleModule, changes: t.Sequence[t.Any], **facts: t.Any) -> dict[str, t.Any]:
    """Return a result whose ``changed`` is derived from the changes and from nothing else.

    A file of the owner's may hold a secret (a proxy's password in a manifest's environment): it is masked wherever the
    text of a file is shown.

    Args:
        module: The module.
        changes: Values of files.record.Change.
        facts: What else is returned.
    """
    # Before they are compared: a difference may show a value without the name that says what it is.
    shown = [
        dataclasses.replace(change, before=_masked(change.before), after=_masked(change.after)) for change in changes
    ]
    result = {"changed": bool(changes), "changes": [change.as_record() for change in shown], **facts}
    if module._diff:
        result["diff"] = [change.as_diff() for change in shown]
    return result


def _masked(text: str | None) -> str | None:
    return None if text is None else mask(text)
