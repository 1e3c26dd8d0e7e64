# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units as texts: what systemd would read back is what was asked for."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.components import units
from ansible_collections.kubeharden.core.plugins.module_utils.components.units import Job, Settings

ROTATE = Job("rotate", "/opt/kubeharden/rotate_certificates.yml", "*-*-* 03:00:00")
VERIFY = Job("verify", "kubeharden.core.verify", "Sun 05:00")
PLAIN = Settings("root", "/opt/kubeharden", "/opt/kubeharden/.venv/bin/ansible-playbook", ("inventories/mine",))
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_ESCAPES = {"\\n": "\n", "\\t": "\t", '\\"': '"', "\\\\": "\\"}


def read_back(line: str) -> list[str]:
    """The words of a command line by systemd's rules (systemd.service(5), "Command lines"), as far as they are used."""
    words = []
    for quoted, bare in _WORD.findall(line):
        word = re.sub(r"\\.", lambda match: _ESCAPES[match.group()], quoted) if quoted or not bare else bare
        words.append(word.replace("%%", "%").replace("$$", "$"))
    return words


def settings_of(unit: str, section: str) -> dict[str, str]:
    (body,) = re.findall(rf"^\[{section}\]\n((?:[^\[\n].*\n)*)", unit, re.MULTILINE)
    return dict(line.split("=", 1) for line in body.splitlines())


def test_the_command_of_a_run() -> None:
    service = settings_of(units.service(ROTATE, PLAIN), "Service")
    assert read_back(service["ExecStart"]) == [
        "/opt/kubeharden/.venv/bin/ansible-playbook",
        "--inventory",
        "inventories/mine",
        "/opt/kubeharden/rotate_certificates.yml",
    ]
    assert (service["Type"], service["User"], service["WorkingDirectory"]) == ("oneshot", "root", "/opt/kubeharden")
    assert "ExecStopPost" not in service


def test_secrets_are_credentials_and_only_their_places_are_in_the_command() -> None:
    asked = Settings(
        **{
            **vars(PLAIN),
            "credentials": {"vault-password": "/etc/v%1", "private-key": "/etc/k", "mine": "/etc/m"},
            "arguments": ("-e", "@${CREDENTIALS_DIRECTORY}/mine", "-e", "price=$5"),
        }
    )
    unit = units.service(ROTATE, asked)
    loaded = re.findall(r"^LoadCredential=(.*)$", unit, re.MULTILINE)
    assert loaded == ["mine:/etc/m", "private-key:/etc/k", "vault-password:/etc/v%%1"]
    words = read_back(settings_of(unit, "Service")["ExecStart"])
    assert words[3:7] == [
        "--private-key",
        "${CREDENTIALS_DIRECTORY}/private-key",
        "--vault-password-file",
        "${CREDENTIALS_DIRECTORY}/vault-password",
    ]
    assert words[7:-1] == ["-e", "@${CREDENTIALS_DIRECTORY}/mine", "-e", "price=$5"]
    # The one is a variable to systemd, the other is text.
    assert "@${CREDENTIALS_DIRECTORY}" in unit
    assert "price=$$5" in unit


def test_metrics_of_a_rotation_and_of_every_run() -> None:
    asked = Settings(**{**vars(PLAIN), "metrics_dir": "/var/lib/node exporter"})
    for job, wants in ((ROTATE, True), (VERIFY, False)):
        unit = units.service(job, asked)
        service = settings_of(unit, "Service")
        words = read_back(service["ExecStart"])
        assert ("--extra-vars" in words) is wants
        if wants:
            extra = json.loads(words[words.index("--extra-vars") + 1])
            assert extra == {"kubeharden_schedule_metrics_dir": "/var/lib/node exporter"}
        assert read_back(service["ExecStopPost"]) == ["/bin/sh", units.RECORDER, job.name, "/var/lib/node exporter"]
        assert read_back(service["ReadWritePaths"]) == ["/opt/kubeharden", "/var/lib/node exporter"]
        assert units.metrics_of(unit) == "/var/lib/node exporter"
    assert units.metrics_of(units.service(ROTATE, PLAIN)) == ""


def test_an_unprotected_run_may_write_everywhere() -> None:
    assert "ProtectSystem=full" in units.service(ROTATE, PLAIN)
    unit = units.service(ROTATE, Settings(**{**vars(PLAIN), "protect": False}))
    assert not re.search(r"^(Protect|Private|Restrict|ReadWrite|NoNew)", unit, re.MULTILINE)


def test_no_run_is_hidden_the_processes_of_other_users() -> None:
    """A run looks whether the process that holds a lock is alive."""
    hidden = r"^(ProtectProc|ProcSubset|PrivateUsers|PrivatePIDs)"
    assert not re.search(hidden, units.service(ROTATE, PLAIN), re.MULTILINE)


def test_the_timer() -> None:
    timer = settings_of(units.timer(VERIFY, PLAIN), "Timer")
    assert timer == {"OnCalendar": "Sun 05:00", "RandomizedDelaySec": "1h", "Persistent": "true"}


def test_the_command_after_a_failure_is_not_touched_by_systemd() -> None:
    words = ("/bin/sh", "-c", 'mail -s "$KUBEHARDEN_UNIT failed: 100%" root')
    asked = Settings(**{**vars(PLAIN), "on_failure": words})
    unit = units.failed(asked)
    service = settings_of(unit, "Service")
    assert read_back(service["ExecStart"]) == list(words)
    assert "$$KUBEHARDEN_UNIT failed: 100%%" in service["ExecStart"]
    assert service["Environment"] == "KUBEHARDEN_UNIT=%i.service"
    assert settings_of(units.service(ROTATE, asked), "Unit")["OnFailure"] == "kubeharden-failed@%p.service"
    assert "OnFailure" not in units.service(ROTATE, PLAIN)


# systemd takes no control character but these in a quoted word.
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t\"'\\$%{};"), min_size=1)


@given(st.lists(TEXTS, min_size=1).filter(lambda words: units.CREDENTIALS not in "".join(words)))
def test_every_word_comes_back(words: list[str]) -> None:
    line = units.command(words)
    assert "\n" not in line
    assert read_back(line) == words


@pytest.mark.parametrize("word", [";", "", "#", "@", "-", "!x"])
def test_words_with_a_meaning_of_their_own_are_quoted(word: str) -> None:
    assert units.quoted(word) in (word, f'"{word}"')
    assert read_back(units.command(["/bin/echo", word])) == ["/bin/echo", word]
