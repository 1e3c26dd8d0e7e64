# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units of systemd that run a playbook on a schedule, as texts."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

#: Where systemd gives a unit its credentials: the one word that stays a variable in what the user asks for.
CREDENTIALS = "${CREDENTIALS_DIRECTORY}"
#: Credentials that ansible-playbook takes, by name, and the option that takes the file.
KNOWN_CREDENTIALS = {
    "become-password": "--become-password-file",
    "connection-password": "--connection-password-file",
    "private-key": "--private-key",
    "vault-password": "--vault-password-file",
}
#: Says in the metrics' directory how a run ended.
RECORDER = "/usr/local/lib/kubeharden/record-run"
FAILED = "kubeharden-failed@.service"
#: A key of ours, which systemd passes over: by it a later call finds the metrics that the unit leaves.
METRICS_KEY = "X-Kubeharden-Metrics"

#: By this a file is known to be ours, and nobody else's is replaced.
MARK = "Laid by schedule.yml of Kubeharden"
_HEADER = (
    f"# {MARK}, which replaces it; -e kubeharden_schedule_state=absent removes it.\n"
    "# SPDX-License-Identifier: GPL-3.0-or-later\n"
)
_DOCUMENTATION = "https://github.com/kubeharden/kubeharden/blob/main/docs/schedule.md"
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")

# ProtectProc is left out on purpose: a run looks whether the process that holds a lock is alive.
_PROTECTION = """\
NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=full
ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
"""


@dataclasses.dataclass(frozen=True)
class Job:
    """One playbook on its schedule.

    Attributes:
        name: rotate or verify; its units are called after it.
        playbook: As ansible-playbook takes it.
        calendar: When, as systemd's OnCalendar has it.
    """

    name: str
    playbook: str
    calendar: str

    @property
    def service(self) -> str:
        """Name of the unit that runs it."""
        return f"kubeharden-{self.name}.service"

    @property
    def timer(self) -> str:
        """Name of the unit that starts it."""
        return f"kubeharden-{self.name}.timer"


DOES = {"rotate": "renew the certificates of a cluster that are due", "verify": "judge what is in force in a cluster"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all jobs have in common.

    Attributes:
        user: Who runs it.
        directory: The working directory: ansible.cfg is read there, reports go below it.
        program: ansible-playbook.
        inventory: Inventories.
        arguments: More words for ansible-playbook.
        credentials: Files with secrets, by the name under which the run has them.
        random_delay: At most how much later than the calendar says, as systemd writes a span of time.
        timeout: How long a run may take, likewise.
        on_failure: A command that is run after a failure; empty for none.
        metrics_dir: Where metrics go; empty for nowhere.
        protect: Whether the run may only write where ansible-playbook has to.
    """

    user: str
    directory: str
    program: str
    inventory: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    credentials: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    random_delay: str = "1h"
    timeout: str = "6h"
    on_failure: tuple[str, ...] = ()
    metrics_dir: str = ""
    protect: bool = True


def percent(text: str) -> str:
    """Return a text in which systemd sees no specifier."""
    return text.replace("%", "%%")


def quoted(word: str) -> str:
    """Return a word as systemd reads it back from a list of words."""
    word = percent(word)
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def command(words: t.Sequence[str]) -> str:
    """Return a command line that systemd starts with exactly these words.

    Variables are not replaced in them but for the directory of the credentials.
    """
    return " ".join(
        quoted(word).replace("$", "$$").replace(CREDENTIALS.replace("$", "$$"), CREDENTIALS) for word in words
    )


def words(job: Job, settings: Settings) -> list[str]:
    """Return the command of a job."""
    found = [settings.program]
    for source in settings.inventory:
        found += ["--inventory", source]
    for name, option in KNOWN_CREDENTIALS.items():
        if name in settings.credentials:
            found += [option, f"{CREDENTIALS}/{name}"]
    if settings.metrics_dir and job.name == "rotate":
        found += ["--extra-vars", json.dumps({"kubeharden_schedule_metrics_dir": settings.metrics_dir})]
    return [*found, *settings.arguments, job.playbook]


def service(job: Job, settings: Settings) -> str:
    """Return the unit that runs a job. Of a oneshot systemd never starts a second one while the first is at work."""
    lines = [
        "[Unit]",
        f"Description=Kubeharden: {DOES[job.name]}",
        f"Documentation={_DOCUMENTATION}",
        "Wants=network-online.target",
        "After=network-online.target",
    ]
    if settings.on_failure:
        lines.append("OnFailure=kubeharden-failed@%p.service")
    if settings.metrics_dir:
        lines.append(f"{METRICS_KEY}={settings.metrics_dir}")
    lines += [
        "",
        "[Service]",
        "Type=oneshot",
        f"User={settings.user}",
        f"WorkingDirectory={percent(settings.directory)}",
        "Environment=ANSIBLE_NOCOLOR=1 PYTHONUNBUFFERED=1",
        *(f"LoadCredential={name}:{percent(path)}" for name, path in sorted(settings.credentials.items())),
        f"ExecStart={command(words(job, settings))}",
    ]
    if settings.metrics_dir:
        lines.append(f"ExecStopPost={command(['/bin/sh', RECORDER, job.name, settings.metrics_dir])}")
    lines += [f"TimeoutStartSec={settings.timeout}", "KillMode=mixed", "UMask=0077"]
    text = "\n".join(lines) + "\n"
    if settings.protect:
        writable = [path for path in (settings.directory, settings.metrics_dir) if path]
        text += f"{_PROTECTION}ReadWritePaths={' '.join(quoted(path) for path in writable)}\n"
    return _HEADER + text


def timer(job: Job, settings: Settings) -> str:
    """Return the unit that starts a job; one that was missed while the machine was off is made up for."""
    return (
        f"{_HEADER}[Unit]\nDescription=Kubeharden: when to {DOES[job.name]}\nDocumentation={_DOCUMENTATION}\n\n"
        f"[Timer]\nOnCalendar={job.calendar}\nRandomizedDelaySec={settings.random_delay}\nPersistent=true\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )


def failed(settings: Settings) -> str:
    """Return the unit that runs the user's command after a failure; KUBEHARDEN_UNIT is the unit that failed."""
    return (
        f"{_HEADER}[Unit]\nDescription=Kubeharden: tell that %i.service failed\nDocumentation={_DOCUMENTATION}\n\n"
        f"[Service]\nType=oneshot\nUser={settings.user}\nEnvironment=KUBEHARDEN_UNIT=%i.service\n"
        f"ExecStart={command(settings.on_failure)}\n"
    )


def metrics_of(text: str) -> str:
    """Return the metrics' directory that a unit of ours names, empty where it has none."""
    match = re.search(rf"^{METRICS_KEY}=(.+)$", text, re.MULTILINE)
    return match.group(1) if match else ""
