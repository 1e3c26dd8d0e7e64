# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""harden.yml ends with what verify.yml does, on directories that stand for hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.test_directory_hosts import Hosts


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def test_a_run_verifies_at_its_end_and_check_mode_judges_what_is_there_now(hosts: Hosts) -> None:
    state = hosts.state()
    foretold = hosts.harden("--check", verified=True)
    assert foretold.code == 0, str(foretold)
    assert not foretold.complaints, str(foretold)
    assert hosts.state() == state
    expected = hosts.changes
    assert hosts.verdicts is not None
    # Modes of files are judged on a directory too; the package lays this one open, and a run closes it.
    assert hosts.verdicts["w1"]["files-kubelet-unit"] == "fail"
    # The run will mend it, so the console only counts it.
    assert "Judged as it is now, before what check mode foretells" in foretold.output
    assert "Failed, severity" not in foretold.output

    done = hosts.harden(verified=True)
    assert done.code == 0, str(done)
    assert not done.complaints, str(done)
    assert hosts.changes == expected
    assert set(hosts.verdicts) == {*hosts.names, "cluster"}
    assert hosts.verdicts["w1"]["files-kubelet-unit"] == "pass"
    assert done.output.index("changes.json") < done.output.index("report.html")

    state = hosts.state()
    again = hosts.harden("--limit", "w1", verified=True)
    assert again.code == 0, str(again)
    assert set(hosts.verdicts) == {"w1", "cluster"}
    assert hosts.state() == state


def test_it_verifies_where_the_tag_is_wanted(hosts: Hosts) -> None:
    other = hosts.harden("--tags", "audit", "--limit", "w1", verified=True)
    assert other.code == 0, str(other)
    assert hosts.verdicts is None
    alone = hosts.harden("--tags", "verify", "--limit", "w1", verified=True)
    assert alone.code == 0, str(alone)
    assert hosts.changes == []
    assert hosts.verdicts is not None


def test_findings_end_it_with_an_error_where_the_user_says_so_and_waivers_hold_by_ansibles_patterns(
    hosts: Hosts,
) -> None:
    """What a directory cannot show is unknown, which counts; the work is done all the same."""
    waiver = {
        "control": "files-kubelet-unit",
        "hosts": "all:!cp1",
        "reason": "until the package is rebuilt",
        "owner": "ops",
        "expires": "2099-12-31",
    }
    run = hosts.harden(verified=True, fail_on="high", waivers=[waiver])
    assert run.code == 2, str(run)
    assert "results of severity high or above failed or could not be judged" in run.output
    assert {change["host"] for change in hosts.changes} == set(hosts.names)
    assert hosts.verdicts is not None
    found = {host: hosts.verdicts[host]["files-kubelet-unit"] for host in hosts.names}
    assert found == {"cp1": "pass", "cp2": "waived", "w1": "waived"}


def test_a_catalogue_that_is_none_stops_the_run_before_its_first_write(hosts: Hosts) -> None:
    catalogue = hosts.directory / "mine.yml"
    catalogue.write_text("controls: [{id: x}]\n", encoding="utf-8")
    state = hosts.state()
    run = hosts.harden(verified=True, controls_files=[str(catalogue)])
    assert run.code == 2, str(run)
    assert "mine.yml" in run.output
    assert "Nothing was changed" in run.output
    assert hosts.state() == state
