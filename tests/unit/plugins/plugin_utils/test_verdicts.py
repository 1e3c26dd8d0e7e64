# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""report.json keeps to its schema, and its statuses to what profile and waivers make of a verdict."""

from __future__ import annotations

import dataclasses
import datetime
import json
import typing as t
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.plugin_utils import (
    catalogue_files,
    report_waivers,
    selection,
    verdicts,
)
from ansible_collections.kubeharden.core.plugins.plugin_utils.report_waivers import ReportWaiver
from ansible_collections.kubeharden.core.plugins.plugin_utils.verdict_texts import junit, render

SCHEMA = Path(__file__).parents[4] / "docs" / "report.schema.json"
CONTROLS = catalogue_files.load()
NOW = 1_795_500_000.0  # 2026-11-24
DAY = datetime.date(2026, 11, 24)


def component(name: str, *flags: str) -> dict[str, t.Any]:
    return {"running": True, "arguments": [name, *flags], "version": "1.37.1", "manifest": ""}


def seen() -> verdicts.Seen:
    certificate = {
        "path": "/c", "subject": "CN=a", "issuer": "CN=b", "names": ["a"], "not_after": "2027-01-01T00:00:00Z",
        "days_left": 38, "seconds_left": 38 * 86400, "seconds_valid": 365 * 86400,
        "used_by": ["kubelet"], "key_algorithm": "ECDSA-P256", "problem": "",
    }  # fmt: skip
    evidence = {
        "live": True,
        "privileged": False,
        "node_name": "cp1",
        "components": {"kube-apiserver": component("kube-apiserver", "--profiling"), "kubelet": component("kubelet")},
        "certificates": [certificate, {"path": "/d", "kind": "unreadable", "problem": "no certificate"}],
    }
    configz = {"cp1": {"configuration": {"readOnlyPort": 10255}}}
    return verdicts.Seen(
        {"cp1": {"evidence": evidence}, "w1": {"problem": "w1 could not be reached\x00"}},
        {"evidence": {"configz": configz, "findings": {}, "problems": {}}},
        ["cp1"],
    )


def test_a_host_of_etcd_alone_is_judged_and_called_so() -> None:
    """By what runs there, and unknown where nothing was seen: no host of the inventory is passed over."""
    evidence = {"live": True, "privileged": True, "components": {"etcd": component("etcd", "--client-cert-auth=false")}}
    hosts = {
        **seen().hosts,
        "e1": {"evidence": evidence, "problem": "", "etcd_alone": True},
        "e2": {"problem": "No Python on this host has yaml, so nothing could be read; install them."},
    }
    document = verdicts.build(
        dataclasses.replace(seen(), hosts=hosts), CONTROLS, verdicts.Settings("r", "cis", "1", NOW)
    )
    roles = {one["name"]: one["roles"] for one in document["hosts"]}
    assert roles == {"cp1": ["control_plane"], "e1": ["etcd"], "e2": ["worker"], "w1": ["worker"]}
    (note,) = [one["note"] for one in document["hosts"] if one["name"] == "e1"]
    assert note == "etcd on a host of its own, without a kubelet"
    said = {
        control: result(document, control, "e1")["status"] for control in ("etcd-client-cert-auth", "kubelet-seccomp")
    }
    assert said == {"etcd-client-cert-auth": "fail", "kubelet-seccomp": "not_applicable"}
    assert result(document, "etcd-client-cert-auth", "e2")["status"] == "unknown"
    assert [one for one in verdicts.failures(document, "high") if one["host"] == "e1"]


def report(profile: str = "baseline", *waivers: ReportWaiver, given: verdicts.Seen | None = None) -> dict[str, t.Any]:
    return verdicts.build(given or seen(), CONTROLS, verdicts.Settings("run-1", profile, "1.0.0", NOW, waivers))


def result(document: dict[str, t.Any], control: str, host: str = "cp1") -> dict[str, t.Any]:
    (found,) = [one for one in document["results"] if (one["control"], one["host"]) == (control, host)]
    return t.cast("dict[str, t.Any]", found)


def waiver(control: str, hosts: set[str] | None = None, days: int = 0) -> ReportWaiver:
    until = DAY + datetime.timedelta(days=days)
    return ReportWaiver(control, (), "ours", "ops", until, frozenset(hosts) if hosts is not None else None)


def test_the_report_keeps_to_its_published_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    document = json.loads(json.dumps(report("baseline", waiver("apiserver-profiling"))))
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(document)] == []
    document["results"][0]["status"] = "fine"
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(document))


def test_every_control_has_a_result_on_every_host() -> None:
    document = report()
    pairs = [(one["control"], one["host"]) for one in document["results"]]
    assert len(pairs) == len(set(pairs))
    own = sum(1 for control in CONTROLS if not control.for_cluster)
    assert len(pairs) == 2 * own + (len(CONTROLS) - own)
    assert sum(document["summary"].values()) == len(pairs)
    assert result(document, "apiserver-profiling", "w1")["status"] == "unknown"
    assert [host["reachable"] for host in document["hosts"]] == [True, False]
    assert result(document, "kubelet-read-only-port")["status"] == "fail"


def test_what_was_not_seen_by_somebody_who_is_not_root_says_so() -> None:
    one = seen()
    document = report()
    unknown = [entry for entry in document["results"] if entry["status"] == "unknown" and entry["host"] != "w1"]
    assert {entry["host"] for entry in unknown} == {"cp1", "cluster"}
    assert [entry for entry in unknown if "become: true" not in entry["evidence"]] == []
    one.hosts["cp1"]["evidence"]["privileged"] = True
    document = verdicts.build(one, CONTROLS, verdicts.Settings("run-1", "baseline", "1.0.0", NOW))
    assert not any("become" in entry["evidence"] for entry in document["results"])


def test_a_kubelet_that_was_not_asked_has_the_reason_why_nobody_was() -> None:
    one = dataclasses.replace(seen(), cluster={"problem": "admin.conf cannot be read (run with become: true)"})
    one.hosts["cp1"]["evidence"]["kubelet"] = {"file": "/config.yaml", "fields": {"readOnlyPort": 0}}
    document = verdicts.build(one, CONTROLS, verdicts.Settings("run-1", "baseline", "1.0.0", NOW))
    assert "admin.conf cannot be read" in result(document, "kubelet-read-only-port")["evidence"]


def alone(cluster: dict[str, t.Any] | None) -> dict[str, t.Any]:
    """What is said of nodes whose control plane somebody else keeps."""
    evidence = {"live": True, "node_name": "w1", "components": {"kubelet": component("kubelet")}, "certificates": []}
    one = verdicts.Seen({"w1": {"evidence": evidence}}, cluster, [], nodes_alone=True)
    return verdicts.build(one, CONTROLS, verdicts.Settings("run-1", "cis", "1.0.0", NOW))


def test_without_a_control_plane_in_the_inventory_what_is_the_apis_is_not_applicable() -> None:
    document = alone(None)
    of_cluster = {one["control"]: one for one in document["results"] if one["host"] == "cluster"}
    assert [name for name, one in of_cluster.items() if one["status"] == "unknown"] == []
    (words,) = {one["evidence"] for name, one in of_cluster.items() if name.startswith("rbac-")}
    assert "the inventory has no control plane, and kubeharden_kubeconfig names no kubeconfig on a node" in words
    of_server = {one["status"] for one in document["results"] if one["control"].startswith("apiserver-")}
    assert of_server == {"not_applicable"}
    # In a run on nodes of a cluster that has one it is not known, and so is what the API did not say when asked.
    whole = dataclasses.replace(seen(), cluster=None)
    settings = verdicts.Settings("run-1", "cis", "1.0.0", NOW)
    assert result(verdicts.build(whole, CONTROLS, settings), "rbac-secrets", "cluster")["status"] == "unknown"
    asked = alone({"problem": "the kubeconfig /x cannot be read"})
    assert result(asked, "rbac-secrets", "cluster")["status"] == "unknown"
    assert result(asked, "rbac-secrets", "cluster")["evidence"].startswith("the kubeconfig /x cannot be read")


def test_what_the_profile_does_not_enforce_is_explained_and_never_a_pass() -> None:
    document = report("baseline")
    assert result(document, "apiserver-token-expiration")["status"] == "explained"
    assert "Programs that never read" in result(document, "apiserver-token-expiration")["evidence"]
    assert result(report("cis"), "apiserver-token-expiration")["status"] == "fail"
    # What was not seen is not explained away.
    assert result(document, "apiserver-token-expiration", "w1")["status"] == "unknown"


@pytest.mark.parametrize(
    ("flags", "lacking"),
    [
        # As kubeadm tells it, an API server dials the first address of the first kind; by itself it prefers the name.
        (["--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname"], "lacks 10.0.0.5"),
        (["--kubelet-preferred-address-types=ExternalDNS,ExternalIP"], "lacks 192.0.2.5"),
        ([], ""),
        (["--kubelet-preferred-address-types=InternalDNS"], ""),
        (None, ""),
    ],
)
def test_the_address_that_api_servers_dial_has_to_be_in_a_kubelets_certificate(
    flags: list[str] | None, lacking: str
) -> None:
    given = seen()
    own = given.hosts["cp1"]["evidence"]
    names = {"names": ["w1"], "used_as": ["kubelet --tls-cert-file"], "extended_usages": [], "authority": False}
    worker = {**own, "node_name": "w1", "components": {"kubelet": component("kubelet")}}
    worker["certificates"] = [{**own["certificates"][0], **names}]
    own["components"] = {"kube-apiserver": component("kube-apiserver", *flags)} if flags is not None else {}
    assert given.cluster is not None
    given.cluster["evidence"]["addresses"] = {
        "w1": [
            {"type": "InternalIP", "address": "10.0.0.5"},
            {"type": "InternalIP", "address": "2001:db8::5"},
            {"type": "ExternalIP", "address": "192.0.2.5"},
            {"type": "Hostname", "address": "w1"},
        ]
    }
    document = report(given=dataclasses.replace(given, hosts={**given.hosts, "w1": {"evidence": worker}}))
    found = result(document, "certificates-names", "w1")
    assert (found["status"], lacking in found["evidence"]) == ("fail" if lacking else "pass", True), found


HAD_PULLED = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
apiServer: {extraArgs: [{name: enable-admission-plugins, value: AlwaysPullImages}]}
"""


def test_what_kubeadms_configmap_says_counts_where_a_run_waits_for_every_node() -> None:
    control = "apiserver-always-pull-images"
    # Who could not read it knows nothing.
    assert [result(report(profile), control)["status"] for profile in ("baseline", "cis")] == ["unknown", "unknown"]
    one = seen()
    assert one.cluster is not None
    one.cluster["evidence"]["kubeadm_config"] = ""
    settings = verdicts.Settings("run-1", "cis", "1.0.0", NOW)
    assert result(verdicts.build(one, CONTROLS, settings), control)["status"] == "explained"
    one.cluster["evidence"]["kubeadm_config"] = HAD_PULLED
    assert result(verdicts.build(one, CONTROLS, settings), control)["status"] == "fail"


def test_each_host_is_judged_by_its_own_profile_and_the_cluster_by_its_first_control_planes() -> None:
    one = seen()
    evidence = one.hosts["cp1"]["evidence"]
    hosts = {
        "cp1": {"evidence": evidence, "profile": "baseline"},
        "cp2": {"evidence": evidence, "profile": "cis"},
        "w1": {"evidence": evidence, "profile": ""},
    }
    own = next(control for control in CONTROLS if control.for_cluster and control.id == "waiver-expired")
    strict = dataclasses.replace(own, id="of-the-cluster", profile="cis", explanation="Why not.")
    settings = verdicts.Settings("run-1", "cis", "1.0.0", NOW, [waiver("apiserver-profiling", days=-1)])
    found = {}
    for planes in (["cp1", "cp2"], ["cp2", "cp1"], []):
        document = verdicts.build(verdicts.Seen(hosts, one.cluster, planes), [*CONTROLS, strict], settings)
        statuses = [result(document, "apiserver-token-expiration", host)["status"] for host in hosts]
        assert statuses == ["explained", "fail", "fail"]
        found[", ".join(planes)] = (
            document["profile"],
            result(document, "of-the-cluster", "cluster")["status"],
            [host["name"] for host in document["hosts"] if "judged by its own profile" in host["note"]],
        )
    assert found == {
        "cp1, cp2": ("baseline", "explained", ["cp2", "w1"]),
        "cp2, cp1": ("cis", "fail", ["cp1"]),
        "": ("cis", "fail", ["cp1"]),
    }


@pytest.mark.parametrize(
    ("one", "status"),
    [
        (waiver("apiserver-profiling"), "waived"),
        (waiver("apiserver-profiling", {"cp1"}), "waived"),
        (waiver("apiserver-profiling", {"w1"}), "fail"),
        (waiver("apiserver-profiling", days=-1), "fail"),
    ],
)
def test_waivers(one: ReportWaiver, status: str) -> None:
    document = report("baseline", one)
    found = result(document, "apiserver-profiling")
    assert found["status"] == status
    assert ("waiver" in found) is (status == "waived")
    expired = result(document, "waiver-expired", "cluster")
    assert expired["status"] == ("fail" if one.expires < DAY else "pass")


PLANES = ("cp1", "cp2", "cp3")
KUBEADM = "kind: ClusterConfiguration\napiVersion: kubeadm.k8s.io/v1beta4\nkubernetesVersion: v1.37.1\n"


@pytest.mark.parametrize(
    ("waivers", "found"),
    [
        ((), ["cp1", "cp2", "cp3"]),
        # That of workers, of another control or of all is no reason why kubeadm's ConfigMap has not what some have.
        ((waiver("kubelet-hostname", {"w1"}),), ["cp1", "cp2", "cp3"]),
        ((waiver("apiserver-audit-policy", {"w1"}),), ["cp1", "cp2", "cp3"]),
        ((waiver("apiserver-audit-log-maxage", {"cp1"}),), ["cp1", "cp2", "cp3"]),
        ((waiver("apiserver-audit-policy", set(PLANES)),), ["cp1", "cp2", "cp3"]),
        ((waiver("apiserver-audit-policy"), waiver("apiserver-audit-policy", {"cp3"})), ["cp1", "cp2", "cp3"]),
        ((waiver("apiserver-audit-policy", {"cp3"}, days=-1),), ["cp1", "cp2", "cp3"]),
        ((waiver("apiserver-audit-policy", {"cp3"}),), ["cp1"]),
    ],
)
def test_drift_that_a_waiver_on_some_control_planes_explains(
    waivers: tuple[ReportWaiver, ...], found: list[str]
) -> None:
    flags = {"cp1": ("--audit-policy-file=/p", "--token-auth-file=/t"), "cp2": ("--audit-policy-file=/p",), "cp3": ()}
    if found != ["cp1"]:
        flags["cp3"] = ("--audit-policy-file=/p",)
    hosts = {
        name: {"evidence": {"live": True, "components": {"kube-apiserver": component("kube-apiserver", *flags[name])}}}
        for name in PLANES
    }
    cluster = {"evidence": {"kubeadm_config": KUBEADM, "findings": {}, "problems": {}, "configz": {}}}
    settings = verdicts.Settings("run-1", "baseline", "1.0.0", NOW, waivers)
    document = verdicts.build(verdicts.Seen({**hosts, "w1": {"problem": "no"}}, cluster, PLANES), CONTROLS, settings)
    drift = result(document, "kubeadm-drift", "cluster")
    assert drift["status"] == "fail"
    assert [name for name in PLANES if f"{name}: " in drift["evidence"]] == found


def test_what_a_template_says_of_a_control_hides_no_drift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = tmp_path / "templates" / "kube-apiserver" / "flags.yaml.j2"
    wrong.parent.mkdir(parents=True)
    wrong.write_text("flags:\n  token-auth-file:\n    control: apiserver-audit-policy\n", encoding="utf-8")
    monkeypatch.setattr(selection, "COLLECTION", tmp_path)
    flags = {"cp1": ("--audit-policy-file=/p", "--token-auth-file=/t"), "cp2": ("--audit-policy-file=/p",), "cp3": ()}
    hosts = {
        name: {"evidence": {"live": True, "components": {"kube-apiserver": component("kube-apiserver", *flags[name])}}}
        for name in PLANES
    }
    cluster = {"evidence": {"kubeadm_config": KUBEADM, "findings": {}, "problems": {}, "configz": {}}}
    settings = verdicts.Settings("run-1", "baseline", "1.0.0", NOW, (waiver("apiserver-audit-policy", {"cp3"}),))
    drift = result(
        verdicts.build(verdicts.Seen(hosts, cluster, PLANES), CONTROLS, settings), "kubeadm-drift", "cluster"
    )
    assert "cp1: kube-apiserver has --token-auth-file" in drift["evidence"]
    assert "audit-policy-file" not in drift["evidence"]


def test_a_waiver_of_harden_holds_for_its_parts() -> None:
    assert result(report("baseline", waiver("apiserver-admission-plugins")), "apiserver-node-restriction")[
        "status"
    ] == ("waived")


def test_failures_count_from_a_severity_on_and_unknown_counts() -> None:
    document = report()
    assert verdicts.failures(document, "none") == []
    high = {one["control"] for one in verdicts.failures(document, "high")}
    assert "kubelet-read-only-port" in high
    assert "apiserver-profiling" not in high
    assert "apiserver-profiling" in {one["control"] for one in verdicts.failures(document, "medium")}
    assert any(one["status"] == "unknown" for one in verdicts.failures(document, "high"))


def test_the_console_has_a_row_a_host_and_what_to_do() -> None:
    lines = render(report(), "/reports/run-1")
    text = "\n".join(lines)
    assert any(line.startswith("cp1 ") for line in lines)
    assert any(line.startswith("cluster ") for line in lines)
    assert "Failed, severity high:" in lines
    assert "apiserver-profiling: The API server hands out no profiles" in text
    assert "What to do: harden.yml sets --profiling=false (tag apiserver)." in text
    assert "Not judged:" in lines
    assert lines[-1].endswith("/reports/run-1/report.html, report.json, junit.xml")
    assert max(map(len, lines)) <= 140


def test_the_console_names_the_first_of_many_findings_and_the_report_all() -> None:
    given = seen()
    assert given.cluster is not None
    bindings = [f"User u{number:02} by binding b{number:02}" for number in range(12)]
    findings = {"findings": [*bindings, "User attacker by binding zz"], "problem": "", "looked_at": 13}
    given.cluster["evidence"]["findings"]["cluster_admin"] = findings
    document = report(given=given)
    said = result(document, "cluster-admin-bindings", "cluster")["evidence"]
    assert said == "; ".join([*bindings, "User attacker by binding zz"])
    text = " ".join(" ".join(render(document, "/reports/run-1")).split())
    assert "User u07 by binding b07; and 5 more, see report.json" in text
    assert "binding b08" not in text


def test_what_is_true_of_many_hosts_is_said_once() -> None:
    document = report()
    one = document["hosts"][0]
    document["hosts"] = [{**one, "name": f"w{number}", "note": "away"} for number in range(9)]
    document["results"] = []
    lines = render(document, "/reports/run-1")
    assert [line for line in lines if line.endswith(": away")] == ["w0, w1, w2, w3, w4, w5 and 3 more: away"]


def test_what_a_host_said_is_no_word_to_the_terminal() -> None:
    document = report()
    for result in document["results"]:
        result["evidence"] = "red \x1b[31m\x07\u202etext"
    document["hosts"][0]["note"] = "\x1b]0;title\x07"
    text = "\n".join(render(document, "/reports/run-1"))
    assert text.replace("\n", "").isprintable()
    assert "red \\x1b[31m\\x07\\u202etext" in text
    assert "\\x1b]0;title" in text


def test_junit_can_be_read_whatever_a_host_said() -> None:
    document = report("baseline", waiver("apiserver-profiling"))
    for one in document["results"]:
        one["evidence"] += "\x00\x1b\ud800\ufffe\uffff\U0001fffe"
    root = ElementTree.fromstring(junit(document))  # noqa: S314  (ours)
    assert [suite.get("name") for suite in root] == ["cluster", "cp1", "w1"] or {
        suite.get("name") for suite in root
    } == {"cluster", "cp1", "w1"}
    assert root.get("tests") == str(sum(report()["summary"].values()))
    assert root.findall(".//failure")
    assert root.findall(".//error")
    assert root.findall(".//skipped")


GOOD = {"control": "apiserver-profiling", "reason": "r", "owner": "o", "expires": "2027-01-31"}


def parse(*raw: t.Any, among: t.Collection[str] | None = None) -> list[ReportWaiver]:
    groups = {"workers": {"w1", "w2"}, "w1": {"w1"}}
    return report_waivers.parse(
        list(raw), CONTROLS, lambda patterns: groups.get(patterns[0], set()), verdicts.CLUSTER, among=among
    )


def test_waivers_are_read_with_their_hosts() -> None:
    one, two = parse({**GOOD, "hosts": ["workers", "cluster"]}, {**GOOD, "expires": datetime.date(2027, 1, 31)})
    assert one.hosts == frozenset({"w1", "w2", "cluster"})
    assert two.hosts is None
    assert two.expires == one.expires == datetime.date(2027, 1, 31)
    assert one.holds(datetime.datetime(2027, 1, 31, 23, 59, tzinfo=datetime.timezone.utc).timestamp())
    assert not one.holds(datetime.datetime(2027, 2, 1, tzinfo=datetime.timezone.utc).timestamp())


def test_a_waiver_in_a_groups_variables_is_about_that_group() -> None:
    one, two = parse({**GOOD, "hosts": ["workers", "cluster"]}, GOOD, among=["w1", "cp1"])
    assert one.hosts == frozenset({"w1", "cluster"})
    assert two.hosts == frozenset({"w1", "cp1"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"control": "apiserver-profilin"},
            "there is no control apiserver-profilin; the nearest is apiserver-profiling",
        ),
        ({"owner": ""}, "it lacks owner"),
        ({"until": "x"}, "there is no key until"),
        ({"expires": "soon"}, "soon is no day"),
        ({"expires": "20270131"}, "is no day"),
        ({"hosts": []}, "its hosts must be a pattern"),
        ({"hosts": "nobody"}, "no host and no group is called nobody"),
    ],
)
def test_a_waiver_that_makes_no_sense_stops_the_run(change: dict[str, t.Any], words: str) -> None:
    with pytest.raises(HardeningError, match="kubeharden_waivers, waiver 1") as caught:
        parse({**GOOD, **change})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        (None, "where --limit leaves them out, name one too"),
        ({"problem": "the API could not be asked"}, "the API could not be asked"),
        ({"evidence": {"configz": {"cp9": {}}}}, "the API server knows no node cp1"),
        ({"evidence": {"configz": {"cp1": {"problem": "HTTP 503"}}}}, "HTTP 503"),
        ({"evidence": {"problems": {"nodes": "HTTP 403, nodes is forbidden"}}}, "HTTP 403, nodes is forbidden"),
    ],
)
def test_a_kubelet_that_was_not_heard_passes_nothing_and_it_is_said_why(
    cluster: dict[str, t.Any] | None, words: str
) -> None:
    """A run of workers alone asks no control plane, and passed what their files say."""
    evidence = {**seen().hosts["cp1"]["evidence"], "kubelet": {"file": "/c", "fields": {"seccompDefault": True}}}
    told = verdicts.Seen({"cp1": {"evidence": evidence}}, cluster, [])
    document = verdicts.build(told, CONTROLS, verdicts.Settings("run-1", "cis", "1.0.0", NOW, []))
    for control in ("kubelet-seccomp", "kubelet-read-only-port"):
        found = result(document, control)
        assert (found["status"], words in found["evidence"]) == ("unknown", True), found
