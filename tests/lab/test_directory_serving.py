# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serving certificates of kube-controller-manager and kube-scheduler, on directories: made, named, mounted, renewed.

Needs neither a cluster nor root. What is served is seen in test_pki_serving.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.pki import profile
from lab.test_directory_authorities import Outside
from lab.test_directory_hosts import MANIFESTS, Hosts

PKI = "/etc/kubernetes/pki"
COMPONENTS = ("controller-manager", "scheduler")
#: By component, certificate and key.
PAIRS = {name: (f"{PKI}/{name}/server.crt", f"{PKI}/{name}/server.key") for name in COMPONENTS}


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def at(hosts: Hosts, host: str, path: str) -> Path:
    """A path of a host as this machine has it."""
    return hosts.root(host) / path.lstrip("/")


def certificate(hosts: Hosts, host: str, name: str) -> profile.CertificateFacts:
    path = at(hosts, host, PAIRS[name][0])
    return profile.from_pem(path.read_bytes(), str(path))


def flags(hosts: Hosts, host: str, name: str) -> dict[str, str]:
    """What a component is started with for the certificate that it serves."""
    pod = yaml.safe_load((hosts.root(host) / MANIFESTS / f"kube-{name}.yaml").read_text(encoding="utf-8"))
    words = [word.partition("=") for word in pod["spec"]["containers"][0]["command"]]
    return {flag: value for flag, _sign, value in words if flag.startswith("--tls-") and flag.endswith("-file")}


def mounts(hosts: Hosts, host: str, name: str) -> dict[str, bool]:
    """By path on the host, whether a component has it mounted read-only."""
    pod = yaml.safe_load((hosts.root(host) / MANIFESTS / f"kube-{name}.yaml").read_text(encoding="utf-8"))
    paths = {one["name"]: one["hostPath"]["path"] for one in pod["spec"]["volumes"]}
    return {paths[one["name"]]: one.get("readOnly", False) for one in pod["spec"]["containers"][0]["volumeMounts"]}


def named(name: str) -> dict[str, str]:
    return dict(zip(("--tls-cert-file", "--tls-private-key-file"), PAIRS[name]))


@pytest.mark.slow
def test_both_are_given_certificates_of_the_clusters_authority_and_no_other_key(hosts: Hosts) -> None:
    hosts.harden("--tags", "pki")
    before = hosts.state()
    foretold = hosts.harden("--check", pki_component_serving=True)
    assert foretold.code == 0, str(foretold)
    assert hosts.state() == before
    expected = hosts.changes
    done = hosts.harden(pki_component_serving=True)
    assert done.code == 0, str(done)
    assert hosts.changes == expected
    for host in ("cp1", "cp2"):
        for name in COMPONENTS:
            one = certificate(hosts, host, name)
            assert str(one.profile.subject) == f"CN=kube-{name}"
            assert {host, "localhost"} <= set(one.profile.names.dns)
            assert one.profile.extended_usages == {"serverAuth"}
            assert flags(hosts, host, name) == named(name)
            assert at(hosts, host, PAIRS[name][1]).stat().st_mode & 0o777 == 0o600
        # The one has all of the directory anyway, for the key with which it signs. The other has its own alone.
        assert [path for path in mounts(hosts, host, "controller-manager") if path.startswith(PKI)] == [PKI]
        of_scheduler = {path: ro for path, ro in mounts(hosts, host, "scheduler").items() if path.startswith(PKI)}
        assert of_scheduler == {f"{PKI}/scheduler": True}
    assert not at(hosts, "w1", f"{PKI}/scheduler").exists()
    state = hosts.state()
    second = hosts.harden(pki_component_serving=True)
    assert second.changed == dict.fromkeys(hosts.names, 0), str(second)
    assert hosts.state() == state
    # Nobody asks for them any more, and they are served all the same: they are renewed.
    again = hosts.harden()
    assert again.changed == dict.fromkeys(hosts.names, 0), str(again)
    serials = {(host, name): certificate(hosts, host, name).serial_number for host in ("cp1", "cp2") for name in PAIRS}
    renewed = hosts.play("rotate_certificates.yml", pki_renew="all", pki_only=["scheduler-server"])
    assert renewed.code == 0, str(renewed)
    for (host, name), serial in serials.items():
        assert (certificate(hosts, host, name).serial_number != serial) == (name == "scheduler"), (host, name)


@pytest.mark.slow
def test_a_certificate_of_the_owners_stays_and_what_is_not_there_yet_is_not_named(hosts: Hosts) -> None:
    own = {"tls-cert-file": f"{PKI}/own.crt", "tls-private-key-file": f"{PKI}/own.key"}
    manifest = hosts.root("cp1") / MANIFESTS / "kube-controller-manager.yaml"
    lines = "".join(f"    - --{flag}={path}\n" for flag, path in own.items())
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("    image:", f"{lines}    image:", 1), "utf-8")
    run = hosts.harden("--limit", "cp1", "--skip-tags", "pki", pki_component_serving=True)
    assert run.code == 0, str(run)
    assert flags(hosts, "cp1", "scheduler") == {}
    assert "kube-scheduler goes on with a certificate of its own making" in run.output
    run = hosts.harden("--limit", "cp1,cp2", pki_component_serving=True)
    assert run.code == 0, str(run)
    assert flags(hosts, "cp1", "controller-manager") == {f"--{flag}": path for flag, path in own.items()}
    assert not at(hosts, "cp1", f"{PKI}/controller-manager").exists()
    assert "is without effect for kube-controller-manager" in run.output
    assert flags(hosts, "cp1", "scheduler") == named("scheduler")
    assert flags(hosts, "cp2", "controller-manager") == named("controller-manager")
    second = hosts.harden("--limit", "cp1,cp2", pki_component_serving=True)
    assert second.changed == {"cp1": 0, "cp2": 0}, str(second)


@pytest.mark.slow
def test_what_an_authority_outside_signs_is_named_when_it_is_there(hosts: Hosts, tmp_path: Path) -> None:
    outside = Outside(tmp_path / "outside")
    first = hosts.harden(pki_component_serving=True, **outside.variables)
    assert first.code == 0, str(first)
    wanted = {f"{host}/{name}-server.csr" for host in ("cp1", "cp2") for name in COMPONENTS}
    assert wanted <= outside.waiting()
    assert {str(flags(hosts, host, name)) for host in ("cp1", "cp2") for name in COMPONENTS} == {"{}"}
    outside.sign()
    (outside.requests / "cp2/scheduler-server.crt").unlink()
    second = hosts.harden(pki_component_serving=True, **outside.variables)
    assert second.code == 0, str(second)
    for host in ("cp1", "cp2"):
        for name in COMPONENTS:
            is_there = (host, name) != ("cp2", "scheduler")
            assert flags(hosts, host, name) == (named(name) if is_there else {}), (host, name)


@pytest.mark.slow
@pytest.mark.parametrize("kept", [False, True])
def test_a_new_control_plane_has_them_before_it_joins(hosts: Hosts, kept: bool) -> None:
    """kubeadm join writes the flags: without the files neither component would start there."""
    variables: dict[str, Any] = {}
    if kept:
        variables["pki_authorities_dir"] = str(hosts.directory / "authorities")
        (hosts.directory / "authorities").mkdir(mode=0o700)
    shutil.rmtree(hosts.root("cp2") / "etc/kubernetes")
    (hosts.root("cp2") / "etc/kubernetes").mkdir()
    inventory = hosts.inventory.read_text(encoding="utf-8")
    hosts.inventory.write_text(inventory.replace("        cp2:\n", ""), encoding="utf-8")
    assert hosts.harden(pki_component_serving=True, **variables).code == 0
    hosts.inventory.write_text(inventory, encoding="utf-8")
    before = hosts.state()
    foretold = hosts.play("prepare_node.yml", "--check", "--limit", "cp2", **variables)
    assert foretold.code == 0, str(foretold)
    assert hosts.state() == before
    expected = hosts.changes
    # What kubeadm will write is what the control planes have, whatever is asked for here.
    run = hosts.play("prepare_node.yml", "--limit", "cp2", "-vvv", **variables)
    assert run.code == 0, str(run)
    assert hosts.changes == expected
    laid = {str(path.relative_to(hosts.root("cp2"))) for path in at(hosts, "cp2", PKI).rglob("*") if path.is_file()}
    assert laid == {path.lstrip("/") for pair in PAIRS.values() for path in pair} | {f"{PKI.lstrip('/')}/ca.crt"}
    for name in COMPONENTS:
        one = certificate(hosts, "cp2", name)
        assert {"cp2", "localhost"} <= set(one.profile.names.dns)
        key = at(hosts, "cp2", PAIRS[name][1])
        assert key.stat().st_mode & 0o777 == 0o600
        assert key.read_text(encoding="ascii").splitlines()[2] not in run.output
    state = hosts.state()
    again = hosts.play("prepare_node.yml", "--limit", "cp2", **variables)
    assert again.changed["cp2"] == 0, str(again)
    assert hosts.state() == state
