# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus' own parser reads the metrics back, whatever names and subjects have in them."""

from __future__ import annotations

import typing as t

from hypothesis import given, strategies as st
from prometheus_client.parser import text_string_to_metric_families

from ansible_collections.kubeharden.core.plugins.plugin_utils import metrics

NOW = 1_800_000_000.5
END = "2027-11-24T10:09:57Z"
END_SECONDS = 1_827_050_997.0


def certificate(**given_fields: t.Any) -> dict[str, t.Any]:
    fields = {"name": "apiserver", "path": "/etc/kubernetes/pki/apiserver.crt", "kind": "certificate"}
    return {**fields, "subject": "CN=kube-apiserver", "not_after": END, "new": False, **given_fields}


def parsed(text: str) -> dict[str, t.Any]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_every_end_and_the_success_are_there() -> None:
    found = parsed(metrics.render({"cp1": [certificate()], "w1": []}, NOW))
    assert set(found) == {metrics.ENDS, metrics.SUCCESS}
    assert all(family.type == "gauge" and family.documentation for family in found.values())
    (end,) = found[metrics.ENDS].samples
    assert end.value == END_SECONDS
    assert end.labels == {
        "host": "cp1",
        "path": "/etc/kubernetes/pki/apiserver.crt",
        "name": "apiserver",
        "kind": "certificate",
        "subject": "CN=kube-apiserver",
    }
    assert [sample.value for sample in found[metrics.SUCCESS].samples] == [1_800_000_000]


def test_of_two_authorities_of_one_name_in_a_file_the_one_that_ends_first_counts() -> None:
    later = certificate(kind="authority", not_after="2037-11-24T10:09:57Z")
    for both in ([later, certificate(kind="authority")], [certificate(kind="authority"), later]):
        found = parsed(metrics.render({"cp1": both}, NOW))
        assert [sample.value for sample in found[metrics.ENDS].samples] == [END_SECONDS]


# What a label may be in Prometheus: any text. Lone surrogates are in no file of UTF-8.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(TEXTS, TEXTS)
def test_labels_come_back_as_they_were(subject: str, path: str) -> None:
    found = parsed(metrics.render({"cp1": [certificate(subject=subject, path=path)]}, NOW))
    (end,) = found[metrics.ENDS].samples
    assert (end.labels["subject"], end.labels["path"]) == (subject, path)
