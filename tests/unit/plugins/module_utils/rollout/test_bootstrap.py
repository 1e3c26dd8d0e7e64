# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node joins by TLS bootstrap: what is laid on it, where its flags go, and what becomes of its token, run by run.

The API is a dictionary behind kubectl's own words; the node is a directory.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import stat
import typing as t
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components import kubelet as kubelet_files
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_arguments
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.history import past_runs
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Change
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority,
    bootstrap,
    bundle,
    keys,
    kubeconfig,
)
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubectl import Kubectl
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import (
    bootstrap as rollout,
    bootstrap_tokens,
    one_time,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.bootstrap import (
    JOINED,
    KEEP,
    MAKE,
    NEW,
    REMOVE,
    Bootstrap,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.bootstrap_tokens import Node
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.discovery import Discovery
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_files import Store
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki import makers
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.probes.made_proc import LivingDirectory

SEEDS = Path(__file__).parents[5] / "inventories" / "demo" / "hosts.orig" / "w1"
ROTATING = (SEEDS / "var/lib/kubelet/config.yaml").read_text("utf-8")
CONFIGURATION = ROTATING.replace("rotateCertificates: true\n", "")
UNIT = "usr/lib/systemd/system/kubelet.service"
KUBEADMS_DROP_IN = f"{UNIT}.d/10-kubeadm.conf"
ADMIN = "/etc/kubernetes/admin.conf"
ROTATES = {"exact": True, "control": "kubelet-rotate-certificates"}
NOW, MINUTE = makers.NOW, 60.0
CA = authority.files(makers.root())[0]
DISCOVERY: dict[str, t.Any] = {
    "node_name": "cp1",
    "components": {
        "kube-apiserver": {"flags": {"enable-bootstrap-token-auth": "true"}},
        "kube-controller-manager": {"flags": {"cluster-signing-cert-file": "/c", "cluster-signing-key-file": "/k"}},
    },
    "certificates": [{"component": "kube-apiserver", "flag": "client-ca-file", "path": "/etc/kubernetes/pki/ca.crt"}],
}


class Api:
    """Secrets, ClusterRoleBindings and ConfigMaps, as kubectl reads and writes them."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, t.Any]] = {}
        self.words: list[str] = []
        self.lay("kubelet-config", {"kubelet": CONFIGURATION})
        self.lay("kubeadm-config", {"ClusterConfiguration": "controlPlaneEndpoint: lb.example.org:6444\n"})

    def lay(self, name: str, data: dict[str, str]) -> None:
        metadata = {"name": name, "namespace": "kube-system", "resourceVersion": "1"}
        self.objects[f"/api/v1/namespaces/kube-system/configmaps/{name}"] = {"metadata": metadata, "data": data}

    def __call__(self, args: list[str], *, data: str | None = None) -> tuple[int, str, str]:
        self.words += args
        verb, address = args[3], unquote(args[5]).partition("?")[0]
        document = json.loads(data) if data else {}
        if verb == "create":
            place = f"{address}/{document['metadata']['name']}"
            document["metadata"]["uid"] = f"uid-{len(self.objects)}"
            self.objects[place] = document
            return 0, json.dumps(document), ""
        if verb == "delete":
            assert self.objects[address]["metadata"]["uid"] == document["preconditions"]["uid"]
            del self.objects[address]
            return 0, "{}", ""
        if address in self.objects:
            return 0, json.dumps(self.objects[address]), ""
        below = [one for place, one in self.objects.items() if place.startswith(f"{address}/")]
        if address.endswith(("/secrets", "/clusterrolebindings")):
            return 0, json.dumps({"items": below}), ""
        return 1, "", "Error from server (NotFound): not found"

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl("/usr/bin/kubectl", ADMIN, self)

    @property
    def secrets(self) -> list[dict[str, str]]:
        """The tokens, with both halves."""
        found = [one["data"] for place, one in self.objects.items() if "/secrets/" in place]
        return [{key: base64.b64decode(text).decode() for key, text in one.items()} for one in found]

    @property
    def bindings(self) -> list[str]:
        return [place.rpartition("/")[2] for place in self.objects if "/clusterrolebindings/" in place]


def files_of_control_plane(path: str) -> bytes | None:
    admin = kubeconfig.render("https://cp1:6443", "admin", CA, b"CERT", b"KEY")
    return {ADMIN: admin, "/etc/kubernetes/pki/ca.crt": CA}.get(path)


class Machine:
    """A new host, and the runs of prepare_node.yml on it, each made of the calls that the role makes."""

    def __init__(self, root: Path, *files: str) -> None:
        self.root = root
        self.api = Api()
        self.now = NOW
        self.lay("etc/hostname", "w3\n")
        for name in files:
            self.lay(name, (SEEDS / name).read_text("utf-8"))
        self._run = 0
        self.seen: list[str] = []

    def lay(self, name: str, text: str) -> None:
        place = self.root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")

    def read(self, name: str) -> str:
        return (self.root / name).read_text("utf-8")

    def mode(self, name: str) -> int:
        return stat.S_IMODE((self.root / name).stat().st_mode)

    def files(self) -> set[str]:
        below = (Path(folder) / name for folder, _folders, names in os.walk(self.root) for name in names)
        return {str(path.relative_to(self.root)) for path in below if "kubeharden/" not in str(path)}

    def opened(self, store: Store) -> Bootstrap:
        return Bootstrap(store, Discovery(store.host, control_plane=False).before_join(), self.now)

    def run(self, check: bool = False) -> list[Change]:
        """A run of the playbook; returns its changes, through the API and on the host."""
        self._run += 1
        run_id = f"run-{self._run}"
        store = Store(Host(str(self.root)), run_id)
        look = self.opened(store).look()
        if look["state"] == JOINED and not look["spent"]:
            return []
        node = Node.from_data({**look, "receiver": "" if check else one_time.ask(store)})
        kubectl = self.api.kubectl
        cluster = bootstrap_tokens.cluster_of(kubectl, DISCOVERY, "", files_of_control_plane)
        bootstrap_tokens.require_fit([node], cluster)
        present = bootstrap_tokens.cluster_bindings(kubectl)
        wanted = bootstrap_tokens.plan([node], bootstrap_tokens.known_tokens(kubectl), present, self.now)
        changes = bootstrap_tokens.changes(wanted, 60)
        given = wanted.given["w3"]
        if not check:
            backup = Backup(Host(str(self.root.parent / "cp1")), run_id)
            given = bootstrap_tokens.apply(kubectl, wanted, [node], 60, backup, self.now)["w3"]
        handed_on = cluster.as_data()
        self.seen += [json.dumps(handed_on), given.sealed, given.ends]
        machine = self.opened(store)
        token = rollout.opened(store, given.sealed, machine.node) if given.sealed else ""
        joins = look["state"] == NEW
        changes += machine.plan(given.action, rollout.Cluster.from_data(handed_on) if joins else None, token, ROTATES)
        if not check:
            machine.apply(Backup(store.host, run_id))
            store.forget_waiting()
        self.seen += [json.dumps([change.as_record(), change.as_diff()]) for change in changes]
        return changes

    def command(self) -> dict[str, str]:
        """By flag what the kubelet would be started with."""
        host = Host(str(self.root))
        units = Discovery(host, control_plane=False).before_join()["kubelet"]["units"]
        texts = [Path(host.path(unit)).read_text("utf-8") for unit in units]

        def read(path: str) -> str | None:
            place = Path(host.path(path))
            return place.read_text("utf-8") if place.exists() else None

        words = kubelet_files.command_line(texts, read)
        assert words[0] == "/usr/bin/kubelet"
        return {one.name: one.effective for one in parse_arguments(words[1:])}

    def join(self, ends: float = 7200.0) -> None:
        """What the kubelet does: a key of its own, a certificate, a kubeconfig that names both."""
        certificate = bundle.join([makers.leaf(makers.client_profile(), lifetime=ends)])
        path = "/var/lib/kubelet/pki/kubelet-client-current.pem"
        self.lay(path.lstrip("/"), (certificate + keys.private_pem(makers.key())).decode("ascii"))
        data = kubeconfig.render("https://lb:6443", "default-auth", CA, path, path)
        self.lay("etc/kubernetes/kubelet.conf", data.decode("utf-8"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A host with the packages of kubelet and kubeadm."""
    return Machine(tmp_path / "w3", UNIT, KUBEADMS_DROP_IN)


def told(changes: t.Sequence[Change]) -> list[tuple[str, str]]:
    return [(change.action, change.target) for change in changes if change.kind != "directory"]


TOKEN_OF_W3 = "Secret in kube-system with a bootstrap token of w3"
MADE_TOKEN = ("create", TOKEN_OF_W3)
BOOTSTRAP = "/etc/kubernetes/bootstrap-kubelet.conf"
EVERYTHING = [
    ("create", "ClusterRoleBinding kubeadm:kubelet-bootstrap"),
    ("create", "ClusterRoleBinding kubeadm:node-autoapprove-bootstrap"),
    ("create", "ClusterRoleBinding kubeadm:node-autoapprove-certificate-rotation"),
    MADE_TOKEN,
    ("create", "/etc/kubernetes/pki/ca.crt"),
    ("create", BOOTSTRAP),
    ("create", "/var/lib/kubelet/config.yaml"),
]


def test_a_host_with_kubeadms_packages_gets_all_but_flags(machine: Machine) -> None:
    assert told(machine.run()) == EVERYTHING
    facts = kubeconfig.parse(machine.read(BOOTSTRAP[1:]).encode(), BOOTSTRAP)
    assert (facts.server, facts.authority) == ("https://lb.example.org:6444", CA)
    (secret,) = machine.api.secrets
    token = kubeconfig.token_of(machine.read(BOOTSTRAP[1:]).encode(), BOOTSTRAP)
    assert token == f"{secret['token-id']}.{secret['token-secret']}"
    assert secret["expiration"] == bootstrap.time_of(NOW + 60 * MINUTE)
    assert machine.read("etc/kubernetes/pki/ca.crt").encode() == CA
    assert machine.read("var/lib/kubelet/config.yaml") == ROTATING
    modes = {name: machine.mode(name) for name in (BOOTSTRAP[1:], "var/lib/kubelet/config.yaml")}
    assert set(modes.values()) == {0o600}
    assert machine.mode("etc/kubernetes/pki/ca.crt") == 0o644


def test_check_mode_foretells_it_and_does_nothing(machine: Machine) -> None:
    before = machine.files()
    foretold = [change.as_record() for change in machine.run(check=True)]
    assert (machine.files(), machine.api.secrets, machine.api.bindings) == (before, [], [])
    assert foretold == [change.as_record() for change in machine.run()]


def test_the_token_is_nowhere_but_in_its_secret_and_on_its_node(machine: Machine) -> None:
    machine.run()
    (secret,) = machine.api.secrets
    assert not [text for text in machine.seen if secret["token-secret"] in text]
    assert not [word for word in machine.api.words if secret["token-secret"] in word]
    holding = [
        path
        for path in machine.root.parent.rglob("*")
        if path.is_file() and secret["token-secret"] in path.read_text("utf-8", "replace")
    ]
    assert holding == [machine.root / BOOTSTRAP[1:]]
    assert not (machine.root / "run/kubeharden/pki.json").exists()


def test_a_second_run_makes_no_second_token_as_long_as_the_first_is_valid(machine: Machine) -> None:
    machine.run()
    (first,) = machine.api.secrets
    machine.now += 54 * MINUTE
    assert machine.run() == []
    assert machine.api.secrets == [first]
    # It says until when the node can come, as the run that made it did.
    assert machine.seen[-1] == machine.seen[2] == bootstrap.time_of(NOW + 60 * MINUTE)
    # One that ends while a person goes to start the kubelet is of no use.
    machine.now += 2 * MINUTE
    assert told(machine.run()) == [("remove", TOKEN_OF_W3), MADE_TOKEN, ("update", BOOTSTRAP)]
    (second,) = machine.api.secrets
    assert second["token-id"] != first["token-id"]
    assert second["token-id"] in machine.read(BOOTSTRAP[1:])


def test_a_token_whose_node_never_got_it_is_replaced(machine: Machine) -> None:
    """As when a run dies between the API and the node."""
    machine.run()
    (machine.root / BOOTSTRAP[1:]).unlink()
    assert told(machine.run()) == [("remove", TOKEN_OF_W3), MADE_TOKEN, ("create", BOOTSTRAP)]
    assert len(machine.api.secrets) == 1


def test_when_the_node_has_joined_its_token_goes_and_nothing_more_is_done(machine: Machine) -> None:
    machine.run()
    laid = machine.files()
    machine.join()
    foretold = machine.run(check=True)
    assert told(foretold) == [("remove", TOKEN_OF_W3), ("remove", BOOTSTRAP)]
    assert [one.as_record() for one in machine.run()] == [one.as_record() for one in foretold]
    assert machine.api.secrets == []
    assert laid - machine.files() == {BOOTSTRAP[1:]}
    assert len(machine.api.bindings) == 3
    assert machine.run() == []


def test_the_file_goes_though_the_cluster_has_cleaned_its_token_away(machine: Machine) -> None:
    machine.run()
    machine.join()
    for place in [place for place in machine.api.objects if "/secrets/" in place]:
        del machine.api.objects[place]
    assert told(machine.run()) == [("remove", BOOTSTRAP)]


def test_a_node_that_has_joined_in_another_way_is_left(machine: Machine) -> None:
    """By kubeadm, or by a bootstrap kubeconfig of the owner's, which other nodes may use too."""
    owners = kubeconfig.render_with_token("https://lb:6443", "tls-bootstrap", CA, "abcdef.0123456789abcdef")
    machine.lay(BOOTSTRAP[1:], owners.decode())
    machine.join()
    before = machine.files()
    assert machine.run() == []
    assert machine.files() == before


def test_a_node_whose_certificate_has_ended_joins_anew(machine: Machine) -> None:
    machine.join(ends=3600.0)
    machine.now += 3600.0
    assert MADE_TOKEN in told(machine.run())


def test_a_certificate_without_its_key_is_none(machine: Machine) -> None:
    machine.join()
    path = "var/lib/kubelet/pki/kubelet-client-current.pem"
    other = keys.private_pem(makers.key(number=7)).decode("ascii")
    certificate = machine.read(path).partition("-----END CERTIFICATE-----\n")
    machine.lay(path, certificate[0] + certificate[1] + other)
    assert MADE_TOKEN in told(machine.run())


def test_a_token_of_somebody_elses_with_which_the_node_can_come_is_kept(machine: Machine) -> None:
    token = bootstrap.Token("abcdef", "0123456789abcdef")
    document = bootstrap.secret(token, "another", NOW + 10 * MINUTE)
    document["metadata"]["uid"] = "u"
    machine.api.objects["/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef"] = document
    owners = kubeconfig.render_with_token("https://lb:6443", "tls-bootstrap", CA, token.text)
    machine.lay(BOOTSTRAP[1:], owners.decode())
    changes = told(machine.run())
    assert MADE_TOKEN not in changes
    assert ("create", "/var/lib/kubelet/config.yaml") in changes
    assert machine.read(BOOTSTRAP[1:]).encode() == owners


def test_a_bootstrap_kubeconfig_of_another_kind_is_in_the_way(machine: Machine) -> None:
    machine.lay(BOOTSTRAP[1:], kubeconfig.render("https://lb:6443", "x", CA, b"C", b"K").decode())
    with pytest.raises(HardeningError, match="is somebody else's and holds no bootstrap token") as caught:
        machine.run()
    assert caught.value.number == "KH313"
    assert machine.api.secrets == []


# Where flags go


def test_a_bare_kubelet_is_started_as_kubeadm_does_it(tmp_path: Path) -> None:
    """The package of the kubelet alone: its unit gives it no flag."""
    machine = Machine(tmp_path / "w3", UNIT)
    changes = told(machine.run())
    assert ("create", "/etc/systemd/system/kubelet.service.d/10-kubeharden.conf") in changes
    wanted = {
        "bootstrap-kubeconfig": BOOTSTRAP,
        "kubeconfig": "/etc/kubernetes/kubelet.conf",
        "config": "/var/lib/kubelet/config.yaml",
    }
    assert machine.command() == wanted
    machine.lay("var/lib/kubelet/kubeadm-flags.env", 'KUBELET_KUBEADM_ARGS="--v=3"\n')
    machine.lay("etc/default/kubelet", "KUBELET_EXTRA_ARGS=--v=4\n")
    assert machine.command() == {**wanted, "v": "4"}
    assert machine.run() == []


def test_a_host_without_any_kubelet_is_made_ready_for_its_package(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "w3")
    machine.run()
    assert machine.run() == []
    machine.lay(UNIT, (SEEDS / UNIT).read_text("utf-8"))
    machine.lay(KUBEADMS_DROP_IN, (SEEDS / KUBEADMS_DROP_IN).read_text("utf-8"))
    assert machine.command()["bootstrap-kubeconfig"] == BOOTSTRAP
    assert machine.run() == []


OWN_UNIT = "[Service]\nEnvironmentFile=-/etc/default/kubelet\nExecStart=/usr/bin/kubelet --v=2 $KUBELET_EXTRA_ARGS\n"


def test_a_unit_of_the_owners_gets_them_in_the_file_that_it_reads(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "w3")
    machine.lay("etc/systemd/system/kubelet.service", OWN_UNIT)
    machine.lay("etc/default/kubelet", "# mine\nKUBELET_EXTRA_ARGS=--node-ip=192.0.2.7\n")
    assert ("update", "/etc/default/kubelet") in told(machine.run())
    assert machine.command() == {
        "v": "2",
        "node-ip": "192.0.2.7",
        "bootstrap-kubeconfig": BOOTSTRAP,
        "kubeconfig": "/etc/kubernetes/kubelet.conf",
        "config": "/var/lib/kubelet/config.yaml",
    }
    assert machine.read("etc/default/kubelet").startswith("# mine\n")
    assert machine.run() == []


def test_places_that_the_owner_chose_are_used(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "w3")
    flags = "--bootstrap-kubeconfig=/own/b.conf --kubeconfig /own/k.conf --config=/own/c.yaml"
    machine.lay("etc/systemd/system/kubelet.service", f"[Service]\nExecStart=/usr/bin/kubelet {flags}\n")
    machine.lay("own/c.yaml", "kind: KubeletConfiguration\nauthentication: {x509: {clientCAFile: /own/ca.crt}}\n")
    changes = told(machine.run())
    assert changes[3:] == [
        MADE_TOKEN,
        ("create", "/own/ca.crt"),
        ("create", "/own/b.conf"),
        ("update", "/own/c.yaml"),
    ]
    assert yaml.safe_load(machine.read("own/c.yaml"))["rotateCertificates"] is True
    assert machine.run() == []


def test_a_unit_that_reads_no_file_is_the_owners_to_change(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "w3")
    machine.lay("etc/systemd/system/kubelet.service", "[Service]\nExecStart=/usr/bin/kubelet --v=2\n")
    with pytest.raises(HardeningError, match=f"--bootstrap-kubeconfig={BOOTSTRAP}") as caught:
        machine.run()
    assert caught.value.number == "KH122"
    assert machine.api.secrets == []


def test_what_is_no_configuration_is_met_before_there_is_a_token(machine: Machine) -> None:
    machine.lay("var/lib/kubelet/config.yaml", "kind: Other\n")
    with pytest.raises(HardeningError, match=r"/var/lib/kubelet/config\.yaml is no KubeletConfiguration"):
        machine.run()
    assert machine.api.secrets == []


def test_a_flag_that_takes_the_rotation_back_is_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "w3")
    machine.lay("etc/systemd/system/kubelet.service", OWN_UNIT)
    machine.lay("etc/default/kubelet", "KUBELET_EXTRA_ARGS=--rotate-certificates=false\n")
    opened = machine.opened(Store(Host(str(machine.root)), "run"))
    cluster = bootstrap_tokens.cluster_of(machine.api.kubectl, DISCOVERY, "", files_of_control_plane)
    opened.plan(MAKE, cluster, "", ROTATES)
    assert [sentence for sentence in opened.not_done if "--rotate-certificates=false beats" in sentence]


# The authority


def test_another_clusters_authority_is_in_the_way(machine: Machine) -> None:
    machine.lay("etc/kubernetes/pki/ca.crt", authority.files(makers.root("kubernetes", number=5))[0].decode())
    with pytest.raises(HardeningError, match="there without the cluster's authority") as caught:
        machine.run()
    assert caught.value.number == "KH313"
    assert machine.api.secrets == []


def test_it_is_met_on_the_node_too_where_the_others_know_clients_by_another_file(machine: Machine) -> None:
    """The node has no configuration yet, so that its first look was at kubeadm's place."""
    machine.api.lay("kubelet-config", {"kubelet": CONFIGURATION.replace("/etc/kubernetes/pki/ca.crt", "/own/ca.crt")})
    machine.lay("own/ca.crt", authority.files(makers.root("kubernetes", number=5))[0].decode())
    with pytest.raises(HardeningError, match="No file was changed"):
        machine.run()
    assert machine.files() == {"own/ca.crt", "etc/hostname", UNIT, KUBEADMS_DROP_IN}


def test_one_beside_which_there_is_another_stays(machine: Machine) -> None:
    both = authority.files(makers.root("other", number=5))[0] + CA
    machine.lay("etc/kubernetes/pki/ca.crt", both.decode())
    assert ("create", "/etc/kubernetes/pki/ca.crt") not in told(machine.run())
    assert machine.read("etc/kubernetes/pki/ca.crt").encode() == both


# The configuration


CONFIG = "/var/lib/kubelet/config.yaml"
CONTAINERD, CRIO = "/run/containerd/containerd.sock", "/run/crio/crio.sock"


@pytest.mark.parametrize(
    ("of_others", "present", "endpoint"),
    [("", (CRIO,), CRIO), (CONTAINERD, (CRIO,), CRIO), (CONTAINERD, (CONTAINERD, CRIO), CONTAINERD)],
)
def test_the_runtime_that_is_there_is_said_as_kubeadm_says_it(
    machine: Machine, of_others: str, present: tuple[str, ...], endpoint: str
) -> None:
    for path in present:
        machine.lay(path[1:], "")
    said = f"unix://{of_others}" if of_others else '""'
    machine.api.lay("kubelet-config", {"kubelet": f"kind: KubeletConfiguration\ncontainerRuntimeEndpoint: {said}\n"})
    store = Store(Host(str(machine.root)), "run")
    found = {**Discovery(store.host, control_plane=False).before_join(), "socket": CRIO}
    cluster = bootstrap_tokens.cluster_of(machine.api.kubectl, DISCOVERY, "", files_of_control_plane)
    opened = Bootstrap(store, found, NOW)
    opened.plan(KEEP, cluster, "", ROTATES)
    opened.apply(Backup(store.host, "run"))
    for name in ("instance-config", "config"):
        laid = yaml.safe_load(machine.read(f"var/lib/kubelet/{name}.yaml"))
        assert laid["containerRuntimeEndpoint"] == f"unix://{endpoint}"


def prepared(machine: Machine, host: Host, socket: str | None) -> Bootstrap:
    """What a run of the playbook does on a host whose runtime has that socket, with a token that it keeps."""
    store = Store(host, "run")
    opened = Bootstrap(store, {**Discovery(host, control_plane=False).before_join(), "socket": socket}, NOW)
    cluster = bootstrap_tokens.cluster_of(machine.api.kubectl, DISCOVERY, "", files_of_control_plane)
    opened.plan(KEEP, cluster, "", ROTATES)
    opened.apply(Backup(Host(host.root), "run"))
    return opened


def test_a_runtime_that_came_after_the_first_run_is_said_by_the_next(machine: Machine) -> None:
    machine.api.lay("kubelet-config", {"kubelet": "kind: KubeletConfiguration\ncontainerRuntimeEndpoint: ''\n"})
    host = Host(str(machine.root))
    prepared(machine, host, None)
    prepared(machine, host, CRIO)
    assert machine.read("var/lib/kubelet/instance-config.yaml") == f"containerRuntimeEndpoint: unix://{CRIO}\n"
    laid = machine.read(CONFIG[1:])
    assert yaml.safe_load(laid)["containerRuntimeEndpoint"] == f"unix://{CRIO}"
    # Once said, it is the owner's.
    prepared(machine, host, CONTAINERD)
    assert machine.read(CONFIG[1:]) == laid


def test_a_runtime_that_a_flag_names_is_not_said_again(machine: Machine) -> None:
    machine.lay("etc/default/kubelet", f"KUBELET_EXTRA_ARGS=--container-runtime-endpoint=unix://{CONTAINERD}\n")
    of_others = "kind: KubeletConfiguration\nrotateCertificates: true\n"
    machine.api.lay("kubelet-config", {"kubelet": of_others})
    for _run in range(2):
        prepared(machine, Host(str(machine.root)), CRIO)
        assert machine.read(CONFIG[1:]) == of_others
    assert not (machine.root / "var/lib/kubelet/instance-config.yaml").exists()


@pytest.mark.parametrize(
    ("of_others", "todo"),
    [
        ("", "and run again, which says where it is."),
        (f"unix://{CONTAINERD}", f"at unix://{CONTAINERD}, where the others have theirs."),
    ],
)
def test_a_host_without_a_runtime_is_told(machine: Machine, of_others: str, todo: str) -> None:
    said = f"kind: KubeletConfiguration\ncontainerRuntimeEndpoint: '{of_others}'\n"
    machine.api.lay("kubelet-config", {"kubelet": said})
    assert prepared(machine, Host(str(machine.root)), None).not_done == []  # nothing runs in a directory
    (machine.root / CONFIG[1:]).unlink()
    host = LivingDirectory(str(machine.root))
    (sentence,) = prepared(machine, host, None).not_done
    assert sentence == (
        f"No container runtime was found on w3, without which its kubelet does not start: start one, {todo}"
    )
    assert prepared(machine, host, CONTAINERD).not_done == []


RESOLVED = "run/systemd/resolve/resolv.conf"


def test_a_host_with_systemd_resolved_gets_its_file_as_from_kubeadm(machine: Machine) -> None:
    machine.lay(RESOLVED, "")
    machine.run()
    assert yaml.safe_load(machine.read(CONFIG[1:]))["resolvConf"] == f"/{RESOLVED}"
    assert machine.run() == []


@pytest.mark.parametrize("own", ["resolvConf: /own.conf\n", "resolvConf: ''\n"])
def test_a_file_of_dns_servers_that_the_others_name_is_named_here_too(machine: Machine, own: str) -> None:
    machine.lay(RESOLVED, "")
    machine.lay("own.conf", "")
    machine.api.lay("kubelet-config", {"kubelet": ROTATING + own})
    assert prepared(machine, Host(str(machine.root)), None).notes == []
    assert machine.read(CONFIG[1:]) == ROTATING + own


def test_one_that_this_host_lacks_is_told(machine: Machine) -> None:
    machine.api.lay("kubelet-config", {"kubelet": f"{ROTATING}resolvConf: /{RESOLVED}\n"})
    host = Host(str(machine.root))
    (note,) = prepared(machine, host, None).notes
    assert f"there is no such file on w3: pods do not start there without it. Name another in {CONFIG}" in note
    # From then on it is the owner's configuration.
    assert prepared(machine, host, None).notes == []


def test_a_configuration_that_is_there_and_a_flag_that_beats_it_are_left(machine: Machine) -> None:
    machine.lay(RESOLVED, "")
    machine.lay("etc/default/kubelet", "KUBELET_EXTRA_ARGS=--resolv-conf=/own.conf\n")
    machine.run()
    assert machine.read(CONFIG[1:]) == ROTATING
    (machine.root / "etc/default/kubelet").unlink()
    assert machine.run() == []


# What does not go back


def test_the_record_says_that_nothing_of_it_goes_back_and_keeps_what_was_there(machine: Machine) -> None:
    machine.lay("var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\n")
    machine.run()
    (run,) = past_runs(Host(str(machine.root)))
    assert {entry["kind"] for entry in run.entries} == {"one_way"}
    kept = {entry["target"]: entry.get("stored") for entry in run.entries}
    assert [target for target, stored in kept.items() if stored] == ["/var/lib/kubelet/config.yaml"]
    place = machine.root / "var/lib/kubeharden/backups/run-1" / str(kept["/var/lib/kubelet/config.yaml"])
    assert place.read_text("utf-8") == "kind: KubeletConfiguration\n"


def test_a_token_that_is_replaced_is_not_kept(machine: Machine) -> None:
    machine.run()
    token = kubeconfig.token_of(machine.read(BOOTSTRAP[1:]).encode(), BOOTSTRAP)
    machine.now += 61 * MINUTE
    machine.run()
    texts = [path.read_text("utf-8") for path in machine.root.rglob("*") if path.is_file()]
    assert not [text for text in texts if token in text]


# What a control plane says


def test_two_hosts_that_are_one_node_get_no_token() -> None:
    nodes = [Node("w3", NEW, ""), Node("w3", NEW, "")]
    with pytest.raises(HardeningError, match="Two hosts of this run say that they are the node w3"):
        bootstrap_tokens.plan(nodes, [], [], NOW)


def test_a_token_that_never_ends_is_kept_and_nothing_is_told_of_its_end() -> None:
    token = dataclasses.replace(bootstrap.known(bootstrap.secret(bootstrap.Token("abcdef", "x"), "w3", NOW)), ends=None)
    present = [one.document() for one in bootstrap.BINDINGS]
    given = bootstrap_tokens.plan([Node("w3", NEW, "abcdef")], [token], present, NOW).given["w3"]
    assert given == bootstrap_tokens.Given(KEEP)


def test_bindings_are_looked_at_only_for_a_node_that_is_to_join() -> None:
    assert bootstrap_tokens.plan([Node("w3", JOINED, "abcdef")], [], [], NOW).bindings == ()
    assert bootstrap_tokens.plan([Node("w3", JOINED, "abcdef")], [], [], NOW).given["w3"].action == REMOVE


@pytest.mark.parametrize("flags", [{}, {"enable-bootstrap-token-auth": "false"}])
def test_a_cluster_that_takes_no_tokens_is_refused(flags: dict[str, str]) -> None:
    found = {**DISCOVERY, "components": {"kube-apiserver": {"flags": flags}}}
    with pytest.raises(HardeningError, match="accepts no bootstrap tokens") as caught:
        bootstrap_tokens.require_acceptance(found)
    assert caught.value.number == "KH313"
    bootstrap_tokens.require_acceptance(DISCOVERY)


def test_it_is_told_where_nobody_signs() -> None:
    assert bootstrap_tokens.notes(DISCOVERY) == []
    flags = {"cluster-signing-cert-file": "", "cluster-signing-key-file": ""}
    found = {"components": {"kube-controller-manager": {"flags": flags}}}
    assert "signs nothing here" in bootstrap_tokens.notes(found)[0]


@pytest.mark.parametrize(
    ("given", "configmap", "server"),
    [
        ("", "controlPlaneEndpoint: lb:6444\n", "https://lb:6444"),
        ("api.example.org", "controlPlaneEndpoint: lb:6444\n", "https://api.example.org:6443"),
        ("[2001:db8::1]:7443", "", "https://[2001:db8::1]:7443"),
        ("", "networking: {}\n", "https://cp1:6443"),
        ("", "a: [\n", "https://cp1:6443"),
    ],
)
def test_where_the_api_is(given: str, configmap: str, server: str) -> None:
    api = Api()
    api.lay("kubeadm-config", {"ClusterConfiguration": configmap})
    said = bootstrap_tokens.cluster_of(api.kubectl, DISCOVERY, given, files_of_control_plane)
    assert said.server == server


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is missing or empty"),
        ("kind: Other\n", "is no KubeletConfiguration"),
        ("kind: KubeletConfiguration\nstaticPodURLHeader: {Authorization: [Bearer x]}\n", "a header with a secret"),
    ],
)
def test_a_configuration_that_cannot_be_handed_on_is_refused(text: str, words: str) -> None:
    api = Api()
    api.lay("kubelet-config", {"kubelet": text})
    with pytest.raises(HardeningError, match=words):
        bootstrap_tokens.cluster_of(api.kubectl, DISCOVERY, "", files_of_control_plane)


def test_what_was_sealed_for_another_run_is_not_opened(machine: Machine) -> None:
    store = Store(Host(str(machine.root)), "run-1")
    node = Node("w3", NEW, "", one_time.ask(store))
    wanted = bootstrap_tokens.plan([node], [], [one.document() for one in bootstrap.BINDINGS], NOW)
    backup = Backup(Host(str(machine.root.parent / "cp1")), "another-run")
    given = bootstrap_tokens.apply(machine.api.kubectl, wanted, [node], 60, backup, NOW)["w3"]
    with pytest.raises(HardeningError, match="could not be opened"):
        rollout.opened(store, given.sealed, "w3")


# A run that dies (test_killed.py)

TOKEN = b"abcdef.0123456789abcdef"


def killed(root: str) -> None:
    """Lay a node's files with that token, and with the authority that lies beside the node's directory."""
    machine = Machine(Path(root), UNIT)
    opened = machine.opened(Store(Host(root), "killed"))
    opened.plan(MAKE, said((Path(root).parent / "ca.crt").read_bytes()), TOKEN.decode(), ROTATES)
    opened.apply(Backup(Host(root), "killed"))


def finish(root: Path) -> list[Change]:
    """The next run, to which the token is valid where its file is there; returns what it changed."""
    machine = Machine(root, UNIT)
    store = Store(Host(str(root)), "next")
    machine.opened(store).recover()
    opened = machine.opened(store)
    token = TOKEN.decode()
    changes = opened.plan(KEEP if opened.look()["token_id"] else MAKE, said(CA), token, ROTATES)
    opened.apply(Backup(Host(str(root)), "next"))
    assert (root / BOOTSTRAP[1:]).read_bytes() == bootstrap.kubeconfig_with("https://lb:6443", CA, token)
    return changes


def said(authorities: bytes) -> rollout.Cluster:
    return rollout.Cluster("https://lb:6443", authorities, authorities, CONFIGURATION)
