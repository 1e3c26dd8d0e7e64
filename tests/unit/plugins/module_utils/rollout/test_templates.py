# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The templates are the only source: a value changed in one of them is changed in the plan, and nothing else is."""

from __future__ import annotations

import difflib
import re
import shutil
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components import kubeletconfig
from ansible_collections.kubeharden.core.plugins.module_utils.components.clusterconfig import ClusterConfiguration
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_arguments
from ansible_collections.kubeharden.core.plugins.module_utils.components.kubeadm_flags import OF_ITSELF
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.components.versions import contradictions
from ansible_collections.kubeharden.core.plugins.module_utils.controls.cluster_checks import Cluster
from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import Host as Seen
from ansible_collections.kubeharden.core.plugins.module_utils.controls.judge import judge_cluster
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.attributes import wanted_from_data
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kubeadm import plan_cluster_configuration
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.plan import ComponentPlan, plan_component
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files
from ansible_collections.kubeharden.core.plugins.plugin_utils.selection import without_controls
from ansible_collections.kubeharden.core.tests.unit.plugins import templates

FIXTURES = Path(__file__).parents[3] / "fixtures" / "kubeadm-1.37.1" / "plain"
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
DIRECTORY = "/etc/kubernetes/manifests"
PKI = "/etc/kubernetes/pki"
CIS: dict[str, t.Any] = {
    "kubeharden_profile": "cis",
    "control_planes": 3,
    "kubeharden_token_webhook_config_file": "/etc/kubernetes/webhook/config",
    "kubeharden_pki_authorities_dir": "/secure/authorities",
}

# A line that gives a rule its value: the flag is the line above it.
_VALUE = re.compile(r"^    (?:\{\{.*\}\}|keep|exact|at_least|at_most|ordered_minimum): (?P<value>\S+)(?P<rest>.*)$")
_FLAG = re.compile(r"^  (?P<flag>[a-z][a-z-]+):$")


def other_than(value: str) -> str:
    """Another value of the same form."""
    table = {
        "": "/elsewhere",
        "TLS1.2": "TLS1.3",
        "http://127.0.0.1:2381": "http://127.0.0.1:2382",
        "true": "false",
        "v1": "v1beta1",
        "VersionTLS12": "VersionTLS13",
        "127.0.0.1": "192.0.2.7",
        "5m": "4m",
    }
    plain = value.strip('"')
    if plain in table:
        other = table[plain]
    elif plain == "false":
        other = "true"
    elif plain.isdigit():
        other = str(int(plain) + 7)
    elif plain.startswith("/"):
        other = plain.replace("/audit", "/elsewhere", 1) if plain.startswith("/var/log") else plain + ".other"
    elif plain[0].isdigit() and plain.endswith("s"):
        other = "11s"
    else:
        other = plain.replace("31536000", "63072000").replace("4588,", "")
    return f'"{other}"' if value.startswith('"') else other


def values() -> list[tuple[str, int, str, str]]:
    """Component, number of the line, flag and value of each value that a template sets."""
    found = []
    for component in COMPONENTS:
        lines = (templates.TEMPLATES / component / "flags.yaml.j2").read_text(encoding="utf-8").splitlines()
        flag = ""
        for number, line in enumerate(lines):
            name, value = _FLAG.match(line), _VALUE.match(line)
            flag = name.group("flag") if name else flag
            if value and "{{" not in value.group("value"):
                found.append((component, number, flag, value.group("value")))
    return found


VALUES = values()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """Manifests as kubeadm writes them; no test changes them."""
    return make_host(tmp_path_factory.mktemp("fresh"))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """The same, to be changed."""
    return make_host(tmp_path / "host")


@pytest.fixture(scope="module")
def plans(fresh: Host) -> dict[str, ComponentPlan]:
    """What the templates as they are make of them."""
    return {component: plan(fresh, component, **CIS) for component in COMPONENTS}


def make_host(root: Path, folder: Path = FIXTURES) -> Host:
    (root / DIRECTORY.lstrip("/")).mkdir(parents=True)
    for component in COMPONENTS:
        shutil.copy(folder / f"{component}.yaml", root / DIRECTORY.lstrip("/"))
    return Host(str(root))


def plan(host: Host, component: str, folder: Path = templates.TEMPLATES, **variables: t.Any) -> ComponentPlan:
    contents = templates.contents(folder, **variables) if component == "kube-apiserver" else {}
    wanted = templates.flags(component, folder, **variables)
    return plan_component(host, component, f"{DIRECTORY}/{component}.yaml", wanted, contents)


def copy(tmp_path: Path) -> Path:
    target = tmp_path / "templates"
    shutil.copytree(templates.TEMPLATES, target)
    return target


def edit(path: Path, number: int, old: str, new: str) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    assert old in lines[number]
    lines[number] = lines[number].replace(old, new, 1)
    path.write_text("".join(lines), encoding="utf-8")


def difference(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [f"{line[0]}{line[1:].strip()}" for line in list(lines)[2:] if line[0] in "+-"]


def test_every_rule_of_every_template_is_among_the_values() -> None:
    flags = {(component, flag) for component, _number, flag, _value in VALUES}
    assert ("kube-apiserver", "audit-log-maxage") in flags
    assert ("kube-scheduler", "profiling") in flags
    assert len(VALUES) > 20


@pytest.mark.parametrize(
    ("component", "number", "flag", "value"), VALUES, ids=[f"{row[0]}-{row[2]}-{row[1]}" for row in VALUES]
)
def test_a_value_changed_in_a_template_is_the_only_change_in_the_plan(
    fresh: Host,
    plans: dict[str, ComponentPlan],
    tmp_path: Path,
    component: str,
    number: int,
    flag: str,
    value: str,
) -> None:
    changed, other = copy(tmp_path), other_than(value)
    edit(changed / component / "flags.yaml.j2", number, f": {value}", f": {other}")
    before, after = plans[component], plan(fresh, component, changed, **CIS)
    lines = difference(before.manifest.text, after.manifest.text)
    plain, new = value.strip('"'), other.strip('"')
    expected = {f"-- --{flag}={plain}", f"+- --{flag}={new}"}
    data = templates.flags(component, **CIS)[flag]
    if "keep" in data and "kubeadm" in data:
        # kubeadm has written it, and what is found stays.
        assert lines == []
    elif "default" in data and f"- --{flag}=" not in (FIXTURES / f"{component}.yaml").read_text(encoding="utf-8"):
        # What the component takes anyway is not written.
        assert set(lines) < expected
    elif plain.startswith("/"):
        assert expected <= set(lines)
        words = (Path(plain).parent.as_posix(), Path(new).parent.as_posix())
        names = [word.strip("/").replace("/", "-") for word in words]
        assert all(any(word in line for word in (*words, *names)) for line in lines), lines
    else:
        # Probes ask where the component listens.
        probes = {f"-host: {plain}", f"+host: {new}"} if flag == "bind-address" else set()
        assert set(lines) == expected | probes
    if flag not in ("audit-policy-file", "admission-control-config-file", "authentication-config"):
        assert before.files == after.files


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("audit/policy.yaml.j2", "      - /swagger*", "      - /swagger2*"),
        ("audit/policy.yaml.j2", "omitManagedFields: true", "omitManagedFields: false"),
    ],
)
def test_a_line_changed_in_the_policy_is_the_only_change_of_the_file(
    fresh: Host, tmp_path: Path, name: str, old: str, new: str
) -> None:
    changed = copy(tmp_path)
    text = (changed / name).read_text(encoding="utf-8")
    assert text.count(old) == 1
    (changed / name).write_text(text.replace(old, new), encoding="utf-8")
    before, after = plan(fresh, "kube-apiserver"), plan(fresh, "kube-apiserver", changed)
    assert before.manifest.text == after.manifest.text
    pairs = [(one, two) for one, two in zip(before.files, after.files) if one != two]
    assert len(pairs) == 1
    assert difference(str(pairs[0][0].after), str(pairs[0][1].after)) == [f"-{old.strip()}", f"+{new.strip()}"]


def test_a_mode_changed_in_the_attributes_is_the_only_change_of_what_files_may_be(tmp_path: Path) -> None:
    paths = {name: [f"/somewhere/{name}"] for name in yaml.safe_load(templates.render("files/attributes.yaml.j2"))}
    changed = copy(tmp_path)
    lines = (changed / "files/attributes.yaml.j2").read_text(encoding="utf-8").splitlines()
    number = lines.index("cni_configuration:") + 1
    edit(changed / "files/attributes.yaml.j2", number, '"0600"', '"0400"')
    wanted = [
        wanted_from_data(paths, yaml.safe_load(templates.render("files/attributes.yaml.j2", folder)))
        for folder in (templates.TEMPLATES, changed)
    ]
    different = [(one.path, oct(one.mode), oct(two.mode)) for one, two in zip(*wanted) if one != two]
    assert different == [("/somewhere/cni_configuration", "0o600", "0o400")]


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("profile", ["baseline", "cis"])
@pytest.mark.parametrize("minor", [34, 35, 36, 37])
def test_every_setting_has_one_rule_and_a_control(component: str, profile: str, minor: int) -> None:
    for flag, data in templates.flags(component, kubeharden_profile=profile, minor=minor, control_planes=3).items():
        assert flag == flag.lower().replace("_", "-")
        assert data["control"], flag


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("profile", ["baseline", "cis"])
def test_a_plan_that_was_written_is_not_changed_again(host: Host, component: str, profile: str) -> None:
    first = plan(host, component, kubeharden_profile=profile)
    Path(host.path(first.path)).write_text(first.manifest.text, encoding="utf-8")
    for change in first.directories:
        Path(host.path(change.target)).mkdir(parents=True)
    for change in first.files:
        Path(host.path(change.target)).write_text(str(change.after), encoding="utf-8")
    found = {flag: first.manifest.flag_values(component, flag)[-1] for flag in flags_of(first)}
    second = plan(host, component, kubeharden_profile=profile, found_flags=found)
    assert difference(first.manifest.text, second.manifest.text) == []
    assert second.changes() == []


@pytest.mark.parametrize("profile", ["baseline", "cis"])
@pytest.mark.parametrize("made", ["plain", "past"])
def test_kubeadm_writes_again_every_flag_of_what_was_hardened(tmp_path: Path, profile: str, made: str) -> None:
    """So that verify calls nothing of ours a drift (kubeadm-drift)."""
    folder = FIXTURES.parent / made
    host = make_host(tmp_path / "host", folder)
    plans = {component: plan(host, component, kubeharden_profile=profile) for component in COMPONENTS}
    text = (folder / "cluster-configuration.yaml").read_text(encoding="utf-8")
    states = [{component: one.state() for component, one in plans.items()}]
    remembered = ClusterConfiguration.parse(plan_cluster_configuration(text, states)[0])
    for component, one in plans.items():
        written = {argument.name for argument in parse_arguments(one.manifest.arguments(component)[1:])}
        assert written <= OF_ITSELF[component] | {name for name, _value in remembered.extra_args(component)}


@pytest.mark.parametrize(
    ("component", "word"),
    [
        ("kube-apiserver", "--disable-admission-plugins=ServiceAccount"),
        ("kube-apiserver", "--max-mutating-requests-inflight=0"),
        ("kube-apiserver", "--max-requests-inflight=0"),
        ("kube-apiserver", "--request-timeout=1h"),
        ("kube-apiserver", "--request-timeout=2m"),
        ("kube-apiserver", "--service-account-lookup=false"),
        ("kube-apiserver", "--token-auth-file=/t.csv"),
        ("kube-apiserver", "--debug-socket-path=/run/debug.sock"),
        ("kube-apiserver", "--feature-gates=AllAlpha=true"),
        ("etcd", "--auto-tls=true"),
        ("etcd", "--enable-pprof=true"),
        ("etcd", "--peer-auto-tls=true"),
    ],
)
def test_what_was_set_behind_kubeadms_back_is_mended_in_its_memory_too(host: Host, component: str, word: str) -> None:
    """But for what a component does without the flag as well."""
    path = Path(host.path(f"{DIRECTORY}/{component}.yaml"))
    path.write_text(path.read_text(encoding="utf-8").replace("    image:", f"    - {word}\n    image:", 1), "utf-8")
    made = plan(host, component, kubeharden_profile="cis")
    text = (FIXTURES / "cluster-configuration.yaml").read_text(encoding="utf-8")
    after, _controls = plan_cluster_configuration(text, [{component: made.state()}])
    version = "3.7.0" if component == "etcd" else "1.37.1"
    process = {"running": True, "arguments": made.manifest.arguments(component), "version": version}
    # kubeadm's etcd has an API server on its host.
    beside = {"kube-apiserver": {"running": False, "arguments": [], "version": version}}
    seen = Seen("cp1", {"live": True, "components": {**beside, component: process}})
    drift = next(control for control in catalogue_files.load() if control.id == "kubeadm-drift")
    cluster = Cluster({"kubeadm_config": after}, "", [seen])
    said = judge_cluster(cluster, drift)
    assert said.status == "pass", said
    assert plan_cluster_configuration(after, [{component: made.state()}]) == (after, [])


# ---- what should not be there at all


LEFT = {
    "token-auth-file": "--token-auth-file=/t.csv was left as it is",
    "feature-gates": "AllAlpha=true in --feature-gates was left as it is",
}


@pytest.mark.parametrize(
    ("flag", "value", "cis", "baseline"),
    [
        ("debug-socket-path", "/run/debug.sock", [], []),
        ("token-auth-file", "/t.csv", [], ["/t.csv"]),
        ("feature-gates", "X=true,AllAlpha=true", ["X=true"], ["X=true,AllAlpha=true"]),
        ("feature-gates", "AllAlpha=T", [], ["AllAlpha=T"]),
        ("feature-gates", "kube:AllAlpha=true,kube:X=1", ["kube:X=1"], ["kube:AllAlpha=true,kube:X=1"]),
        ("feature-gates", "AllAlpha=false,X=true", ["AllAlpha=false,X=true"], ["AllAlpha=false,X=true"]),
    ],
)
def test_what_should_not_be_there_goes_where_no_working_cluster_needs_it_and_else_is_told(
    host: Host, flag: str, value: str, cis: list[str], baseline: list[str]
) -> None:
    path = Path(host.path(f"{DIRECTORY}/kube-apiserver.yaml"))
    word = f"    - --{flag}={value}\n    image:"
    path.write_text(path.read_text(encoding="utf-8").replace("    image:", word, 1), encoding="utf-8")
    for profile, expected in (("cis", cis), ("baseline", baseline)):
        known: dict[str, t.Any] = {"kubeharden_profile": profile, "found_flags": {flag: value}}
        assert plan(host, "kube-apiserver", **known).manifest.flag_values("kube-apiserver", flag) == expected
        notes = yaml.safe_load(templates.render("kube-apiserver/flags.yaml.j2", **known)).get("notes", [])
        told = profile == "baseline" and flag in LEFT and value != "AllAlpha=false,X=true"
        assert ([LEFT[flag] in note for note in notes] == [True]) if told else not notes


@pytest.mark.parametrize(
    ("left_out", "rest"),
    [
        ([], "DefaultStorageClass"),
        # Each of the two controls is about its own plugins; what is not switched on may stay switched off.
        (["apiserver-admission-plugins-on"], "ServiceAccount,DefaultStorageClass"),
        (["apiserver-admission-plugins"], "NodeRestriction,EventRateLimit,PodNodeSelector,DefaultStorageClass"),
        (["apiserver-admission-plugins-on", "apiserver-admission-plugins"], None),
    ],
)
def test_a_plugin_that_a_run_switches_on_is_not_left_switched_off(
    host: Host, left_out: list[str], rest: str | None
) -> None:
    """In both lists it would keep the server from starting. What cis and the user add is among them."""
    off = "NodeRestriction,ServiceAccount,EventRateLimit,PodNodeSelector,DefaultStorageClass"
    path = Path(host.path(f"{DIRECTORY}/kube-apiserver.yaml"))
    word = f"    - --disable-admission-plugins={off},DenyServiceExternalIPs\n    image:"
    path.write_text(path.read_text(encoding="utf-8").replace("    image:", word, 1), encoding="utf-8")
    known: dict[str, t.Any] = {
        "kubeharden_profile": "cis",
        "kubeharden_admission_plugins_extra": [{"name": "PodNodeSelector"}],
        "left_out": left_out,
        "found_flags": {"disable-admission-plugins": off},
    }
    wanted = without_controls(templates.flags("kube-apiserver", **known), left_out)
    made = plan_component(host, "kube-apiserver", f"{DIRECTORY}/kube-apiserver.yaml", wanted, {})
    (found,) = made.manifest.flag_values("kube-apiserver", "disable-admission-plugins")
    if "apiserver-admission-plugins" in left_out:
        assert found == f"{rest or off},DenyServiceExternalIPs"
        return
    assert found == rest
    enabled = made.manifest.flag_values("kube-apiserver", "enable-admission-plugins")
    flags = {"enable-admission-plugins": enabled, "disable-admission-plugins": [found]}
    assert contradictions("kube-apiserver", "1.37.1", flags) == []


@pytest.mark.parametrize("profile", ["baseline", "cis"])
@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("", []),
        ("Other=true", ["Other=true"]),
        ("RotateKubeletServerCertificate=false", []),
        ("kube:RotateKubeletServerCertificate=F,Other=true", ["Other=true"]),
        ("AllBeta=false", ["AllBeta=false,RotateKubeletServerCertificate=true"]),
        (
            "RotateKubeletServerCertificate=false,AllBeta=0",
            ["AllBeta=0,RotateKubeletServerCertificate=true"],
        ),
        ("RotateKubeletServerCertificate=true", ["RotateKubeletServerCertificate=true"]),
    ],
)
def test_the_gate_for_serving_certificates_of_kubelets_is_not_left_off(
    host: Host, profile: str, found: str, expected: list[str]
) -> None:
    component = "kube-controller-manager"
    path = Path(host.path(f"{DIRECTORY}/{component}.yaml"))
    if found:
        word = f"    - --feature-gates={found}\n    image:"
        path.write_text(path.read_text(encoding="utf-8").replace("    image:", word, 1), encoding="utf-8")
    known: dict[str, t.Any] = {"kubeharden_profile": profile, "found_flags": {"feature-gates": found} if found else {}}
    assert plan(host, component, **known).manifest.flag_values(component, "feature-gates") == expected


#: Of kubeadm's own flags, those that are put back, with a value of an owner's.
PUT_BACK = {
    "kube-apiserver": {
        "tls-cert-file": "/srv/server.crt",
        "tls-private-key-file": "/srv/server.key",
        "client-ca-file": "/srv/ca.crt",
        "kubelet-client-certificate": "/srv/client.crt",
        "kubelet-client-key": "/srv/client.key",
        "etcd-cafile": "/srv/etcd-ca.crt",
        "etcd-certfile": "/srv/etcd.crt",
        "etcd-keyfile": "/srv/etcd.key",
        "service-account-key-file": "/srv/sa.pub",
        "proxy-client-cert-file": "/srv/proxy.crt",
        "proxy-client-key-file": "/srv/proxy.key",
        "requestheader-client-ca-file": "/srv/front-ca.crt",
        "requestheader-allowed-names": "somebody",
        "requestheader-username-headers": "X-User",
        "requestheader-group-headers": "X-Group",
        "requestheader-extra-headers-prefix": "X-Extra-",
    },
    "kube-controller-manager": {
        "root-ca-file": "/srv/ca.crt",
        "service-account-private-key-file": "/srv/sa.key",
    },
}


def with_flags(host: Host, component: str, change: t.Callable[[Manifest], None]) -> dict[str, str]:
    """Change a manifest; return its flags as discovery finds them."""
    path = Path(host.path(f"{DIRECTORY}/{component}.yaml"))
    manifest = Manifest.parse(path.read_text(encoding="utf-8"))
    change(manifest)
    path.write_text(manifest.text, encoding="utf-8")
    return {argument.name: argument.effective for argument in parse_arguments(manifest.arguments(component)[1:])}


@pytest.mark.parametrize(
    ("component", "flag"), [(component, flag) for component, flags in PUT_BACK.items() for flag in flags]
)
def test_a_flag_of_kubeadms_that_is_missing_is_put_back_where_its_files_are(
    host: Host, component: str, flag: str
) -> None:
    """And kubeadm's memory, which writes it of itself, has nothing to say."""
    kubeadms = Manifest.parse(Path(host.path(f"{DIRECTORY}/{component}.yaml")).read_text("utf-8"))
    found = with_flags(host, component, lambda manifest: manifest.remove_flag(component, flag))
    made = plan(host, component, found_flags=found, there=templates.THERE)
    assert made.manifest.flag_values(component, flag) == kubeadms.flag_values(component, flag)
    text = (FIXTURES / "cluster-configuration.yaml").read_text(encoding="utf-8")
    after, _controls = plan_cluster_configuration(text, [{component: made.state()}])
    assert ClusterConfiguration.parse(after).extra_arg_values(component, flag) == []
    if not flag.endswith(("names", "headers", "prefix")):
        without = plan(host, component, found_flags=found, there=[])
        assert without.manifest.flag_values(component, flag) == []


@pytest.mark.parametrize("component", PUT_BACK)
def test_what_the_owner_has_in_its_place_stays_and_reaches_no_other_host(host: Host, component: str) -> None:
    def change(manifest: Manifest) -> None:
        for flag, value in PUT_BACK[component].items():
            manifest.set_flag(component, flag, value)

    found = with_flags(host, component, change)
    made = plan(host, component, found_flags=found, there=templates.THERE)
    assert {flag: made.manifest.flag_values(component, flag) for flag in PUT_BACK[component]} == {
        flag: [value] for flag, value in PUT_BACK[component].items()
    }
    assert not {setting.flag for setting in made.settings} & set(PUT_BACK[component])


def test_half_of_an_owners_pair_is_not_made_whole_with_half_of_kubeadms(host: Host) -> None:
    def change(manifest: Manifest) -> None:
        manifest.set_flag("kube-apiserver", "kubelet-client-certificate", "/srv/client.crt")
        manifest.remove_flag("kube-apiserver", "kubelet-client-key")

    found = with_flags(host, "kube-apiserver", change)
    made = plan(host, "kube-apiserver", found_flags=found, there=templates.THERE)
    assert made.manifest.flag_values("kube-apiserver", "kubelet-client-key") == []


@pytest.mark.parametrize(("found", "wanted"), [("0", "6443"), ("8443", "8443"), (None, None)])
def test_the_secure_port_is_the_owners_but_never_0(host: Host, found: str | None, wanted: str | None) -> None:
    def change(manifest: Manifest) -> None:
        if found is None:
            manifest.remove_flag("kube-apiserver", "secure-port")
        else:
            manifest.set_flag("kube-apiserver", "secure-port", found)

    flags = with_flags(host, "kube-apiserver", change)
    made = plan(host, "kube-apiserver", found_flags=flags)
    assert made.manifest.flag_values("kube-apiserver", "secure-port") == ([] if wanted is None else [wanted])


SUITES = {
    "kube-apiserver": "tls-cipher-suites",
    "kube-controller-manager": "tls-cipher-suites",
    "kube-scheduler": "tls-cipher-suites",
    "etcd": "cipher-suites",
    "kubelet": "tlsCipherSuites",
}


def suites_of(component: str) -> dict[str, t.Any]:
    """What a template says of the cipher suites of a component."""
    if component != "kubelet":
        return templates.flags(component)[SUITES[component]]
    text = templates.render("kubelet/configuration.yaml.j2", approver=True)
    return dict(yaml.safe_load(text)["kubelet"]["tlsCipherSuites"])


@pytest.mark.parametrize("component", SUITES)
def test_suites_that_verify_calls_strong_are_taken_from_nobody(component: str) -> None:
    """Under whatever name, and those of TLS 1.3 too."""
    control = next(one for one in catalogue_files.load() if one.id == suites_of(component)["control"])
    strong = [str(suite) for suite in control.judge["only"]]
    assert kubeletconfig.good_enough(suites_of(component), strong)
    assert not kubeletconfig.good_enough(suites_of(component), [*strong, "TLS_RSA_WITH_AES_128_CBC_SHA"])


def test_an_owners_names_of_strong_suites_stay_on_the_host_and_in_kubeadms_memory(host: Host) -> None:
    found = "TLS_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"
    path = Path(host.path(f"{DIRECTORY}/kube-apiserver.yaml"))
    word = f"    - --tls-cipher-suites={found},TLS_RSA_WITH_AES_128_CBC_SHA\n    image:"
    path.write_text(path.read_text(encoding="utf-8").replace("    image:", word, 1), encoding="utf-8")
    made = plan(host, "kube-apiserver")
    assert made.manifest.flag_values("kube-apiserver", "tls-cipher-suites") == [found]
    text = (FIXTURES / "cluster-configuration.yaml").read_text(encoding="utf-8")
    after, _controls = plan_cluster_configuration(text, [{"kube-apiserver": made.state()}])
    remembered = ClusterConfiguration.parse(after).extra_arg_values("kube-apiserver", "tls-cipher-suites")
    assert remembered == [found]


def test_a_waiver_of_what_is_left_anyway_leaves_nothing_to_tell() -> None:
    found = {"token-auth-file": "/t.csv", "feature-gates": "AllAlpha=true"}
    out = ["apiserver-static-tokens", "apiserver-alpha-features"]
    text = templates.render("kube-apiserver/flags.yaml.j2", found_flags=found, left_out=out)
    assert "notes" not in yaml.safe_load(text)


def flags_of(made: ComponentPlan) -> list[str]:
    return [setting.flag for setting in made.settings if setting.values]


# ---- authentication


OIDC: dict[str, t.Any] = {"found_flags": {"oidc-issuer-url": "https://a", "oidc-client-id": "k"}}
JWT: dict[str, t.Any] = {
    "jwt": "jwt:\n  - issuer: {url: https://a}",
    "obstacles": [],
    "restricted": False,
    "anonymous": [],
}
STUCK: dict[str, t.Any] = {**JWT, "jwt": "", "obstacles": ["--oidc-signing-algs=RS256"]}
OURS = {"authentication-config": "/etc/kubernetes/kubeharden/authentication.yaml"}
THEIRS = {"authentication-config": "/etc/kubernetes/own.yaml"}
USER: dict[str, t.Any] = {"kubeharden_oidc_issuer_url": "https://a", "authentication": JWT}


@pytest.mark.parametrize(
    ("variables", "written", "anonymous", "words"),
    [
        ({}, True, True, ""),
        ({"found_flags": OURS}, True, True, ""),
        ({"found_flags": {"anonymous-auth": "false"}}, False, False, ""),
        ({"found_flags": {"anonymous-auth": "true"}}, True, True, ""),
        ({"anonymous_grants": ["own"], "authentication": JWT, "found_flags": OURS}, True, False, "role bindings"),
        ({"anonymous_grants": ["own"]}, False, False, "role bindings give them rights on purpose: own"),
        (
            {"found_flags": THEIRS},
            False,
            False,
            "The AuthenticationConfiguration /etc/kubernetes/own.yaml is the owner's and was kept; it allows anonymous",
        ),
        (
            {"found_flags": THEIRS, "authentication": {**JWT, "jwt": "", "anonymous": ["it allows them on /a"]}},
            False,
            False,
            "own.yaml is the owner's (it allows them on /a). kubeharden_replace: [authentication_configuration] puts",
        ),
        ({"found_flags": THEIRS, "kubeharden_replace": ["authentication_configuration"]}, True, True, ""),
        ({**OIDC, "authentication": JWT}, True, True, "What --oidc-client-id, --oidc-issuer-url say stands in"),
        ({**OIDC, "authentication": JWT, "anonymous_grants": ["own"]}, False, False, "role bindings"),
        ({**OIDC, "authentication": STUCK}, False, False, "cannot be carried over"),
        (USER, True, True, ""),
        ({**USER, "anonymous_grants": ["own"]}, True, False, "role bindings"),
        ({**USER, "found_flags": {"anonymous-auth": "false"}}, True, False, ""),
        ({**USER, "found_flags": THEIRS}, False, False, "kubeharden_oidc_issuer_url is without effect"),
        (
            {"anonymous_grants": ["own"], "authentication": {**JWT, "restricted": True}, "found_flags": OURS},
            True,
            True,
            "",
        ),
    ],
)
def test_when_authentication_is_configured(
    variables: dict[str, t.Any], written: bool, anonymous: bool, words: str
) -> None:
    """An AuthenticationConfiguration with a part anonymous and the flag, or one with --oidc-*, ends the server."""
    flags = templates.flags("kube-apiserver", **variables)
    assert ("authentication-config" in flags) == written
    assert (flags.get("oidc-issuer-url") == {"absent": True, "control": "apiserver-anonymous"}) == written
    assert ("anonymous-auth" in flags) == anonymous
    notes = yaml.safe_load(templates.render("kube-apiserver/flags.yaml.j2", **variables)).get("notes", [])
    assert (words in " ".join(notes)) if words else not notes
    if written:
        document = yaml.safe_load(templates.contents(**variables)["authentication-config"])
        assert ("anonymous" in document) == anonymous
        assert ("jwt" in document) == bool(variables.get("authentication", {}).get("jwt"))


@pytest.mark.parametrize(
    ("findings", "left_out", "words"),
    [
        (None, [], ""),
        ([], [], "(nothing is wrong with it)"),
        (["x", "y"], [], "(x; y)"),
        (["x"], ["apiserver-authorization"], ""),
    ],
)
def test_authorizers_of_the_owners_are_judged(findings: list[str] | None, left_out: list[str], words: str) -> None:
    found = None if findings is None else {"path": "/srv/a.yaml", "findings": findings}
    given: dict[str, t.Any] = {"authorization": found, "left_out": left_out}
    notes = yaml.safe_load(templates.render("kube-apiserver/flags.yaml.j2", **given)).get("notes", [])
    told = f"The AuthorizationConfiguration /srv/a.yaml is the owner's and was kept {words}."
    assert notes == ([told] if words else [])


# ---- the user's own admission plugins


EXTRA: list[dict[str, t.Any]] = [
    {"name": "PodNodeSelector", "path": "/etc/kubernetes/policy/selector.yaml"},
    {"name": "EventRateLimit", "configuration": {"limits": [{"type": "Server", "qps": 1, "burst": 1}]}},
    {"name": "ImagePolicyWebhook", "configuration": {"imagePolicy": {"allowTTL": 5}}, "files": ["/etc/policy/config"]},
    {"name": "DenyServiceExternalIPs"},
]


@pytest.mark.parametrize("profile", ["baseline", "cis"])
def test_plugins_of_the_users_are_switched_on_configured_and_mounted(profile: str) -> None:
    given: dict[str, t.Any] = {"kubeharden_admission_plugins_extra": EXTRA, "kubeharden_profile": profile}
    flags = templates.flags("kube-apiserver", **given)
    assert sorted(flags["enable-admission-plugins"]["contains"]) == [
        "DenyServiceExternalIPs",
        "EventRateLimit",
        "ImagePolicyWebhook",
        "NodeRestriction",
        "PodNodeSelector",
    ]
    assert flags["admission-control-config-file"]["files"] == [
        "/etc/policy/config",
        "/etc/kubernetes/policy/selector.yaml",
    ]
    plugins = yaml.safe_load(templates.contents(**given)["admission-control-config-file"])["plugins"]
    assert [plugin["name"] for plugin in plugins] == [
        "PodSecurity",
        "PodNodeSelector",
        "EventRateLimit",
        "ImagePolicyWebhook",
        "DenyServiceExternalIPs",
    ]
    assert [plugins[1]["path"], plugins[2]["configuration"], plugins[3]["configuration"]] == [
        EXTRA[0]["path"],
        EXTRA[1]["configuration"],
        EXTRA[2]["configuration"],
    ]


def test_a_plugin_that_the_user_takes_out_again_is_switched_off() -> None:
    """Without its configuration it might keep the server from starting."""
    given: dict[str, t.Any] = {
        "kubeharden_admission_plugins_extra": EXTRA[:1],
        "configured_plugins": ["EventRateLimit", "PodSecurity", "PodNodeSelector", "ImagePolicyWebhook"],
    }
    flags = templates.flags("kube-apiserver", **given)
    assert flags["enable-admission-plugins"]["without"] == ["AlwaysAdmit", "ImagePolicyWebhook"]
    theirs = {**given, "found_flags": {"admission-control-config-file": "/etc/kubernetes/own.yaml"}}
    assert templates.flags("kube-apiserver", **theirs)["enable-admission-plugins"]["without"] == ["AlwaysAdmit"]


def test_plugins_of_the_users_have_no_effect_beside_an_admission_configuration_of_the_owners() -> None:
    given: dict[str, t.Any] = {
        "kubeharden_admission_plugins_extra": EXTRA,
        "found_flags": {"admission-control-config-file": "/etc/kubernetes/own.yaml"},
    }
    flags = templates.flags("kube-apiserver", **given)
    assert flags["enable-admission-plugins"]["contains"] == ["NodeRestriction"]
    assert "files" not in flags["admission-control-config-file"]
    notes = yaml.safe_load(templates.render("kube-apiserver/flags.yaml.j2", **given))["notes"]
    assert "kubeharden_admission_plugins_extra (PodNodeSelector, EventRateLimit, " in " ".join(notes)


def test_where_no_api_can_be_asked_pod_security_enforces_nothing_and_that_is_said() -> None:
    given: dict[str, t.Any] = {"kubeharden_profile": "cis", "exempt_namespaces": None}
    (words,) = yaml.safe_load(templates.render("kube-apiserver/flags.yaml.j2", **given))["not_done"]
    assert words.startswith("Pod Security enforces no level")
    assert "not_done" not in yaml.safe_load(templates.render("kube-apiserver/flags.yaml.j2", kubeharden_profile="cis"))


# ---- etcd


@pytest.mark.parametrize(("version", "known"), [("3.5.7", False), ("3.5.8", True), ("3.5.21", True), ("3.7.0", True)])
def test_etcd_is_told_a_tls_version_from_where_it_knows_the_flag(version: str, known: bool) -> None:
    assert ("tls-min-version" in templates.flags("etcd", etcd_version=version)) is known


@pytest.mark.parametrize(
    ("found", "extra", "only"),
    [
        ({}, {}, False),
        ({"tls-min-version": "TLS1.2"}, {}, False),
        ({"tls-min-version": "TLS1.3"}, {}, True),
        ({}, {"etcd": {"tls-min-version": "TLS1.3"}}, True),
        ({"tls-min-version": "TLS1.3"}, {"etcd": {"tls-min-version": "TLS1.2"}}, False),
        ({}, {"kube-apiserver": {"tls-min-version": "VersionTLS13"}}, False),
    ],
)
def test_an_etcd_of_tls_1_3_alone_is_given_no_suites(
    found: dict[str, str], extra: dict[str, dict[str, str]], only: bool
) -> None:
    suites = templates.flags("etcd", found_flags=found, kubeharden_extra_flags=extra)["cipher-suites"]
    assert suites.get("absent", False) is only


def test_of_what_kubeadm_gives_etcd_only_tls_is_changed(fresh: Host) -> None:
    """Each change restarts every member: the rest is there and stays byte for byte."""
    made = plan(fresh, "etcd", kubeharden_profile="cis")
    assert made.changed_flags == ["--tls-min-version", "--cipher-suites"]
    assert {line[:2] for line in difference(made.before, made.manifest.text)} == {"+-"}


@pytest.mark.parametrize(
    ("found", "rule"),
    [
        ("http://0.0.0.0:2381", "exact"),
        ("http://127.0.0.1:2381,http://192.0.2.11:2381", "exact"),
        ("http://127.0.0.1:2381,https://192.0.2.11:2381", "keep"),
        ("http://[::1]:2381", "keep"),
    ],
)
def test_plain_figures_of_etcd_that_other_hosts_reach_do_not_stay_in_profile_cis(found: str, rule: str) -> None:
    flag = "listen-metrics-urls"
    for profile, expected in (("cis", rule), ("baseline", "keep")):
        wanted = templates.flags("etcd", kubeharden_profile=profile, found_flags={flag: found})
        assert expected in wanted[flag], wanted[flag]


# ---- keys on the controller alone


SIGNING = ("cluster-signing-cert-file", "cluster-signing-key-file")


def test_the_controller_manager_signs_nothing_where_the_controller_has_the_keys(host: Host) -> None:
    manager = "kube-controller-manager"
    before = plan(host, manager).manifest
    assert [before.flag_values(manager, flag) for flag in SIGNING] == [[f"{PKI}/ca.crt"], [f"{PKI}/ca.key"]]
    made = plan(host, manager, kubeharden_pki_authorities_dir="/secure/authorities")
    assert [made.manifest.flag_values(manager, flag) for flag in SIGNING] == [[""], [""]]
    changed = difference(before.text, made.manifest.text)
    assert [line for line in changed if "cluster-signing" in line and line.startswith("+")] == [
        f"+- --{flag}=" for flag in SIGNING
    ]
    document = (FIXTURES / "cluster-configuration.yaml").read_text(encoding="utf-8")
    after, controls = plan_cluster_configuration(document, [{manager: made.state()}])
    said = {one["name"]: one["value"] for one in yaml.safe_load(after)["controllerManager"]["extraArgs"]}
    assert {flag: said[flag] for flag in SIGNING} == dict.fromkeys(SIGNING, "")
    assert "controller-manager-signing" in controls
    assert plan_cluster_configuration(after, [{manager: made.state()}]) == (after, [])


def test_it_signs_for_as_long_as_its_host_has_the_key(host: Host) -> None:
    made = plan(host, "kube-controller-manager", kubeharden_pki_authorities_dir="/secure/authorities", signing_key=True)
    assert made.manifest.flag_values("kube-controller-manager", SIGNING[1]) == [f"{PKI}/ca.key"]


def test_where_it_was_told_of_no_key_nothing_is_written(host: Host) -> None:
    path = Path(host.path(f"{DIRECTORY}/kube-controller-manager.yaml"))
    text = path.read_text(encoding="utf-8")
    path.write_text(
        "".join(line for line in text.splitlines(True) if "--cluster-signing-" not in line), encoding="utf-8"
    )
    made = plan(host, "kube-controller-manager", kubeharden_pki_authorities_dir="/secure/authorities")
    assert not any(made.manifest.flag_values("kube-controller-manager", flag) for flag in SIGNING)


# ---- a scheduler with a configuration file


def scheduler(**given: t.Any) -> dict[str, t.Any]:
    data: dict[str, t.Any] = yaml.safe_load(templates.render("kube-scheduler/flags.yaml.j2", **given))
    return data


@pytest.mark.parametrize(
    "given",
    [
        {"found_flags": {"config": "/etc/kubernetes/scheduler.yaml"}},
        {"kubeharden_extra_flags": {"kube-scheduler": {"config": "/etc/kubernetes/scheduler.yaml"}}},
    ],
)
def test_a_flag_that_a_configuration_file_beats_is_told_and_not_written(given: dict[str, t.Any]) -> None:
    assert "profiling" in scheduler()["scheduler"]
    assert not scheduler().keys() & {"not_done", "notes"}
    rendered = scheduler(**given)
    assert "profiling" not in rendered["scheduler"]
    # The file is not read, and may say so already: every run tells, and none calls it work that is left.
    (told,) = rendered["notes"]
    assert "enableProfiling: false into /etc/kubernetes/scheduler.yaml" in told
    assert "not_done" not in rendered
    # Who has waived it is told nothing.
    assert "notes" not in scheduler(**given, left_out=["scheduler-profiling"])
    both = scheduler(**given, kubeharden_pki_component_serving=True)
    assert (len(both["notes"]), len(both["not_done"])) == (1, 1)


# ---- serving certificates of controller-manager and scheduler

SERVED = {"kube-controller-manager": f"{PKI}/controller-manager/server", "kube-scheduler": f"{PKI}/scheduler/server"}
SERVING = ("tls-cert-file", "tls-private-key-file")


@pytest.mark.parametrize("component", SERVED)
def test_what_is_laid_is_served_mounted_alone_and_kubeadms_too(host: Host, component: str) -> None:
    base = SERVED[component]
    assert {f"{base}.crt"} <= set(templates.LAID)
    given: dict[str, t.Any] = {"kubeharden_pki_component_serving": "true", "laid": templates.LAID}
    made, without = plan(host, component, **given), plan(host, component, kubeharden_pki_component_serving=True)
    assert [made.manifest.flag_values(component, flag) for flag in SERVING] == [[f"{base}.crt"], [f"{base}.key"]]
    assert [without.manifest.flag_values(component, flag) for flag in SERVING] == [[], []]
    lines = [line for line in difference(without.manifest.text, made.manifest.text) if "--tls-" not in line]
    mounted = [f"+- mountPath: {PKI}/scheduler", f"+path: {PKI}/scheduler", "+readOnly: true", "+type: Directory"]
    assert sorted(line for line in lines if "name:" not in line and "hostPath:" not in line) == (
        sorted(mounted) if component == "kube-scheduler" else []
    )
    # In check mode another step has not made it yet, and tells it.
    assert made.directories == []
    document = (FIXTURES / "cluster-configuration.yaml").read_text(encoding="utf-8")
    after, controls = plan_cluster_configuration(document, [{component: made.state()}])
    said = yaml.safe_load(after)["scheduler" if component == "kube-scheduler" else "controllerManager"]
    assert {one["name"]: one["value"] for one in said["extraArgs"]}.items() >= {
        SERVING[0]: f"{base}.crt",
        SERVING[1]: f"{base}.key",
    }.items()
    volumes = [(one["hostPath"], one["readOnly"]) for one in said.get("extraVolumes", [])]
    assert volumes == ([(f"{PKI}/scheduler", True)] if component == "kube-scheduler" else [])
    assert f"{component.partition('-')[2]}-serving" in controls
    assert plan_cluster_configuration(after, [{component: made.state()}]) == (after, [])


@pytest.mark.parametrize("component", SERVED)
@pytest.mark.parametrize(
    ("found", "extra", "is_owners"),
    [
        ({"tls-cert-file": "/own.crt", "tls-private-key-file": "/own.key"}, {}, True),
        ({"tls-private-key-file": "/own.key"}, {}, True),
        ({}, {"tls-cert-file": "/own.crt"}, True),
        ({}, {"tls_private_key_file": "/own.key"}, True),
        ({"tls-sni-cert-key": "/own.crt,/own.key"}, {"tls-min-version": "VersionTLS13"}, False),
    ],
)
def test_a_certificate_of_the_owners_is_left_and_told(
    component: str, found: dict[str, str], extra: dict[str, str], is_owners: bool
) -> None:
    given: dict[str, t.Any] = {"found_flags": found, "kubeharden_extra_flags": {component: extra}}
    given.update(laid=templates.LAID, kubeharden_pki_component_serving=True)
    told = yaml.safe_load(templates.render(f"{component}/flags.yaml.j2", **given))
    assert (SERVING[0] in templates.flags(component, **given)) is not is_owners
    assert bool(told.get("notes")) is is_owners
    assert "not_done" not in told
    (words,) = yaml.safe_load(templates.render(f"{component}/flags.yaml.j2", **{**given, "laid": []})).get(
        "notes" if is_owners else "not_done"
    )
    assert component in words


@pytest.mark.parametrize(
    ("token_join", "open_to_joining"), [(True, True), ("true", True), (False, False), ("false", False)]
)
def test_a_no_on_the_command_line_is_text_and_still_a_no(token_join: t.Any, open_to_joining: bool) -> None:
    text = templates.render("authentication/authentication.yaml.j2", kubeharden_token_join=token_join)
    assert ("configmaps/cluster-info" in text) is open_to_joining
