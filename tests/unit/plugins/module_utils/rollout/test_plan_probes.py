# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes follow the flag that says where a component listens, to where kubeadm would render them."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components import pod_probes
from ansible_collections.kubeharden.core.plugins.module_utils.components.pod_probes import Address
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.plan import ComponentPlan, plan_component
from ansible_collections.kubeharden.core.tests.unit.plugins import templates

FIXTURES = Path(__file__).parents[3] / "fixtures" / "kubeadm-1.37.1"
MANAGER, SCHEDULER, ETCD, API = "kube-controller-manager", "kube-scheduler", "etcd", "kube-apiserver"
METRICS = "http://127.0.0.1:2381"
ANYWHERE = "0.0.0.0"  # noqa: S104  (kubeadm's manifests have it)
Change = t.Callable[[str], str]


def kubeadms(component: str, host: str, value: str = "") -> str:
    """The manifest that kubeadm renders where a component's address is another one.

    :param host: of its probes, empty for none
    :param value: of the flag
    """
    text = (FIXTURES / "plain" / f"{component}.yaml").read_text(encoding="utf-8")
    flag = "listen-metrics-urls" if component == ETCD else "bind-address"
    old = METRICS if component == ETCD else "127.0.0.1"
    assert f"--{flag}={old}\n" in text
    written = f"'--{flag}={value}'" if value.endswith(":") else f"--{flag}={value or old}"
    text = text.replace(f"--{flag}={old}\n", f"{written}\n")
    line = "        host: 127.0.0.1\n"
    assert line in text
    return text.replace(line, f"        host: {host}\n" if host else "")


def plan(root: Path, component: str, text: str, flags: t.Mapping[str, t.Mapping[str, t.Any]]) -> ComponentPlan:
    host = Host(str(root))
    path = f"/etc/kubernetes/manifests/{component}.yaml"
    Path(host.path(path)).parent.mkdir(parents=True, exist_ok=True)
    Path(host.path(path)).write_text(text, encoding="utf-8")
    return plan_component(host, component, path, flags, {})


def of_template(component: str, value: str, profile: str = "cis") -> dict[str, dict[str, t.Any]]:
    """The address' setting as the template renders it for what is found."""
    flag = "listen-metrics-urls" if component == ETCD else "bind-address"
    rendered = templates.flags(component, kubeharden_profile=profile, found_flags={flag: value})
    return {flag: rendered[flag]}


def asked(made: ComponentPlan) -> list[tuple[str, int, str]]:
    addresses = [one.address for one in pod_probes.probes(made.manifest.container(made.component))]
    return [(one.host, one.port, one.scheme) for one in addresses]


@pytest.mark.parametrize(
    ("component", "value", "host"),
    [
        (MANAGER, ANYWHERE, ""),
        (MANAGER, "::", ""),
        (MANAGER, "192.0.2.11", "192.0.2.11"),
        (SCHEDULER, ANYWHERE, ""),
        (SCHEDULER, "2001:db8::1", "2001:db8::1"),
        (ETCD, "http://192.0.2.11:2381", "192.0.2.11"),
        (ETCD, "http://[2001:db8::1]:2381,http://127.0.0.1:2381", "2001:db8::1"),
        (ETCD, "http://0.0.0.0:2381", ANYWHERE),
    ],
)
def test_kubeadms_probes_come_to_be_what_it_renders_by_default(
    component: str, value: str, host: str, tmp_path: Path
) -> None:
    text = kubeadms(component, host, value)
    made = plan(tmp_path, component, text, of_template(component, value))
    assert made.manifest.text.replace("'", "") == kubeadms(component, "127.0.0.1")
    # With it the second run has nothing to do.
    written = METRICS if component == ETCD else "127.0.0.1"
    assert not plan(tmp_path, component, made.manifest.text, of_template(component, written)).changed


def test_the_port_of_etcds_metrics_and_its_scheme_move_too(tmp_path: Path) -> None:
    value = "https://192.0.2.11:9999,http://192.0.2.11:9998"
    text = kubeadms(ETCD, "192.0.2.11", value).replace("containerPort: 2381", "containerPort: 9999")
    made = plan(tmp_path, ETCD, text.replace("scheme: HTTP\n", "scheme: HTTPS\n"), of_template(ETCD, value))
    assert made.manifest.text == kubeadms(ETCD, "127.0.0.1")
    # Before 1.33 kubeadm wrote numbers.
    numbers = text.replace("port: probe-port", "port: 9999").replace("scheme: HTTP\n", "scheme: HTTPS\n")
    made = plan(tmp_path, ETCD, numbers, of_template(ETCD, value))
    assert set(asked(made)) == {("127.0.0.1", 2381, "HTTP")}


@pytest.mark.parametrize("component", [MANAGER, SCHEDULER])
@pytest.mark.parametrize("value", ["::1", "127.0.0.2"])
def test_any_loopback_is_right(component: str, value: str, tmp_path: Path) -> None:
    text = kubeadms(component, value, value)
    for profile in ("baseline", "cis"):
        setting = of_template(component, value, profile)
        assert not plan(tmp_path, component, text, setting).changed
    # And kubeadm's ConfigMap has to say it.
    assert setting["bind-address"]["exact"] == value


def test_the_users_own_flag_takes_them_along(tmp_path: Path) -> None:
    made = plan(tmp_path, SCHEDULER, kubeadms(SCHEDULER, "127.0.0.1"), {"bind-address": {"exact": ANYWHERE}})
    assert made.manifest.text == kubeadms(SCHEDULER, "", ANYWHERE)


def test_what_is_not_changed_takes_nothing_along(tmp_path: Path) -> None:
    """Its probes ask where nothing listens before too, which verify says."""
    text = kubeadms(SCHEDULER, "192.0.2.77")
    made = plan(tmp_path, SCHEDULER, text, {"profiling": {"exact": "false"}})
    assert made.manifest.text.replace("    - --profiling=false\n", "") == text


def test_a_probe_that_asks_loopback_already_stays(tmp_path: Path) -> None:
    text = kubeadms(MANAGER, "127.0.0.1", ANYWHERE)
    made = plan(tmp_path, MANAGER, text, of_template(MANAGER, ANYWHERE))
    assert made.manifest.text == kubeadms(MANAGER, "127.0.0.1")


KUBEADMS = """\
      httpGet:
        host: 127.0.0.1
        path: /healthz
        port: probe-port
        scheme: HTTPS
"""
OTHERS = {"address": KUBEADMS.replace("127.0.0.1", "192.0.2.11"), "kind": "      tcpSocket:\n        port: 10257\n"}


@pytest.mark.parametrize("other", OTHERS)
def test_a_probe_of_the_owners_that_asks_elsewhere_is_refused(other: str, tmp_path: Path) -> None:
    text = kubeadms(MANAGER, "127.0.0.1", ANYWHERE)
    assert KUBEADMS in text
    with pytest.raises(HardeningError, match=r"livenessProbe .* would listen on 127\.0\.0\.1:10257 only") as refused:
        plan(tmp_path, MANAGER, text.replace(KUBEADMS, OTHERS[other]), of_template(MANAGER, ANYWHERE))
    assert refused.value.number == "KH142"
    assert "--bind-address" in str(refused.value)


@pytest.mark.parametrize("component", [API, MANAGER, SCHEDULER])
def test_a_port_that_kubeadms_probes_do_not_follow_is_refused(component: str, tmp_path: Path) -> None:
    text = (FIXTURES / "plain" / f"{component}.yaml").read_text(encoding="utf-8")
    with pytest.raises(HardeningError, match=r"would listen on .*:7443 only"):
        plan(tmp_path, component, text, {"secure-port": {"exact": "7443"}})


def test_a_probe_that_runs_a_program_is_told(tmp_path: Path) -> None:
    text = kubeadms(ETCD, "192.0.2.11", "http://192.0.2.11:2381")
    pod = yaml.safe_load(text)
    pod["spec"]["containers"][0]["livenessProbe"] = {"exec": {"command": ["/check"]}}
    made = plan(tmp_path, ETCD, yaml.safe_dump(pod), of_template(ETCD, "http://192.0.2.11:2381"))
    (note,) = made.notes
    assert "livenessProbe of etcd" in note
    assert "127.0.0.1:2381" in note


# ---- who answers whom


@pytest.mark.parametrize(
    ("asked", "listening", "answered"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("", "127.0.0.1", False),  # the node's own address
        ("::1", "127.0.0.1", False),
        ("127.0.0.1", "::1", False),
        (ANYWHERE, "127.0.0.1", True),
        ("192.0.2.1", "127.0.0.1", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("127.0.0.1", "192.0.2.1", False),
        ("", "192.0.2.1", True),
        ("localhost", "127.0.0.1", True),
        ("127.0.0.1", "localhost", True),
        ("a.example", "127.0.0.1", True),
        *((host, wide, True) for wide in ("", "::", ANYWHERE) for host in ("", "::1", "192.0.2.1")),
    ],
)
def test_who_answers_whom(asked: str, listening: str, answered: bool) -> None:
    assert pod_probes.answered(Address(asked, 1), [Address(listening, 1)]) is answered
    assert pod_probes.answered(Address(asked, 1), [Address(asked, 2), Address(listening, 1)]) is answered
    assert not pod_probes.answered(Address(asked, 1), [Address(listening, 2)])
    assert pod_probes.answered(Address(asked, 0), [Address(listening, 2)])


@pytest.mark.parametrize("component", [API, MANAGER, SCHEDULER, ETCD])
def test_kubeadms_own_probes_are_answered_and_others_named(component: str) -> None:
    for folder in ("plain", "past"):
        container = yaml.safe_load((FIXTURES / folder / f"{component}.yaml").read_text(encoding="utf-8"))["spec"][
            "containers"
        ][0]
        command = container["command"]
        assert pod_probes.probes(container)
        assert pod_probes.unanswered(component, container, command) == []
        assert pod_probes.unanswered(component, container, ["/usr/bin/go-runner", *command]) == []
        container["startupProbe"]["httpGet"]["port"] = 1
        assert [one.name for one in pod_probes.unanswered(component, container, command)] == ["startupProbe"]


def test_what_etcds_variables_or_file_say_of_its_addresses_is_not_guessed() -> None:
    container = yaml.safe_load((FIXTURES / "plain/etcd.yaml").read_text(encoding="utf-8"))["spec"]["containers"][0]
    container["startupProbe"]["httpGet"]["port"] = 1
    container["env"] = [{"name": "ETCD_LISTEN_METRICS_URLS", "value": "http://127.0.0.1:1"}]
    assert pod_probes.unanswered("etcd", container, container["command"]) == []
    del container["env"]
    assert pod_probes.unanswered("etcd", container, ["etcd", "--config-file=/x"]) == []


@pytest.mark.parametrize(
    ("words", "listening"),
    [
        ([], [Address("localhost", 2379, "HTTP")]),
        (
            ["--listen-metrics-urls=http://127.0.0.1:2381"],
            [Address("127.0.0.1", 2381, "HTTP"), Address("localhost", 2379, "HTTP")],
        ),
        (["--listen-client-urls=https://192.0.2.11:2379"], [Address("192.0.2.11", 2379, "HTTPS")]),
        (["--listen-client-http-urls=http://127.0.0.1:2382"], [Address("127.0.0.1", 2382, "HTTP")]),
        (["--config-file=/x"], []),
    ],
)
def test_where_etcd_is_not_told_where_to_serve_clients_it_listens_on_localhost(
    words: list[str], listening: list[Address]
) -> None:
    """It was taken for closed as soon as there was a port for metrics beside it."""
    assert pod_probes.listens(ETCD, ["etcd", *words]) == listening
    assert not words or pod_probes.listens(ETCD, words) == listening
    container = {"livenessProbe": {"httpGet": {"host": "127.0.0.1", "port": 2379, "path": "/health"}}}
    closed = bool(listening) and not any(one.port == 2379 and one.host == "localhost" for one in listening)
    assert bool(pod_probes.unanswered(ETCD, container, ["etcd", *words])) is closed


def test_what_is_started_in_place_of_etcd_is_not_known_to_listen_by_default() -> None:
    assert pod_probes.listens(ETCD, ["/bin/sh", "-c", "/opt/start"]) == []


def test_an_etcd_that_serves_by_default_gets_a_port_for_metrics_beside(tmp_path: Path) -> None:
    """Its own probe asks the default still, where it still listens: no reason to refuse the run."""
    text = (FIXTURES / "plain" / "etcd.yaml").read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if "--listen-client-urls=" not in line and METRICS not in line]
    text = "\n".join(kept).replace("port: probe-port", "port: 2379") + "\n"
    assert "port: 2379" in text
    made = plan(tmp_path, ETCD, text, {"listen-metrics-urls": {"exact": METRICS}})
    assert made.changed_flags == ["--listen-metrics-urls"]
    assert {port for _host, port, _scheme in asked(made)} == {2379}


@pytest.mark.parametrize("url", ["http://[", "http://a:b", "http://127.0.0.1:99999", ""])
def test_an_address_that_is_none_is_nothing_to_go_by(url: str) -> None:
    assert pod_probes.rendered("etcd", ["etcd", f"--listen-metrics-urls={url}"]) == Address("127.0.0.1", 2381, "HTTP")
