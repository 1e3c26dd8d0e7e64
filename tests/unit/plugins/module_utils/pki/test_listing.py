# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, issue, keys, kubeconfig, listing
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import Layout
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import (
    DAY,
    NOW,
    Odd,
    alternative,
    client_profile,
    key,
    leaf,
    root,
    server_profile,
)

ROOT_FILE, ROOT_KEY = authority.files(root())
LEAF = leaf(server_profile())
LEAF_FILE, LEAF_KEY = issue.certificate_pem(LEAF), keys.private_pem(key())
OTHER_KEY = keys.private_pem(key(number=1))


def shown(files: dict[str, bytes], *columns: str, now: float = NOW) -> list[tuple[Any, ...]]:
    return [tuple(entry.get(column) for column in columns) for entry in listing.describe(files, now)]


def test_a_pair_in_kubeadms_place() -> None:
    files = {"/etc/kubernetes/pki/apiserver.crt": LEAF_FILE, "/etc/kubernetes/pki/apiserver.key": LEAF_KEY}
    (entry,) = listing.describe(files, NOW)
    assert entry["name"] == "apiserver"
    assert entry["kind"] == "certificate"
    assert (entry["key_path"], entry["key_fits"], entry["problem"]) == ("/etc/kubernetes/pki/apiserver.key", True, "")
    assert (entry["subject"], entry["issuer"]) == ("CN=server", "CN=kubernetes")
    assert entry["days_left"] == 365


@pytest.mark.parametrize(
    ("later", "days"), [(0, 365), (1, 364), (364 * DAY, 1), (364 * DAY + 1, 0), (365 * DAY, 0), (365 * DAY + 1, -1)]
)
def test_days_left_are_rounded_down(later: float, days: int) -> None:
    assert shown({"/a.crt": LEAF_FILE}, "days_left", now=NOW + later) == [(days,)]


@pytest.mark.parametrize(
    ("files", "key_path", "fits", "problem"),
    [
        pytest.param({"/a.crt": LEAF_FILE}, "", None, "", id="no key"),
        pytest.param({"/a.crt": LEAF_FILE, "/a.key": LEAF_KEY}, "/a.key", True, "", id="beside it"),
        pytest.param({"/a.pem": LEAF_FILE, "/a-key.pem": LEAF_KEY}, "/a-key.pem", True, "", id="as cfssl calls it"),
        pytest.param({"/a.pem": LEAF_FILE + LEAF_KEY}, "/a.pem", True, "", id="in the same file"),
        pytest.param({"/a.crt": LEAF_FILE, "/a.key": OTHER_KEY}, "/a.key", False, "does not belong", id="another"),
        pytest.param({"/a.crt": LEAF_FILE, "/a.key": LEAF_KEY[:90]}, "/a.key", None, "truncated", id="truncated"),
        pytest.param(
            {"/a.crt": LEAF_FILE, "/a.key": keys.private_pem(key(), b"secret")},
            "/a.key",
            None,
            "encrypted",
            id="encrypted",
        ),
    ],
)
def test_keys(files: dict[str, bytes], key_path: str, fits: bool | None, problem: str) -> None:
    ((found_path, found_fits, found_problem),) = shown(files, "key_path", "key_fits", "problem")
    assert (found_path, found_fits) == (key_path, fits)
    assert (problem in found_problem) if problem else found_problem == ""


def test_bundles_and_chains() -> None:
    other, _rest = authority.files(root("other", number=5))
    files = {"/ca.crt": ROOT_FILE + other, "/ca.key": ROOT_KEY, "/server.crt": LEAF_FILE + ROOT_FILE}
    assert shown(files, "path", "kind", "subject", "key_fits") == [
        ("/ca.crt", "bundle", "CN=kubernetes", True),
        ("/ca.crt", "bundle", "CN=other", None),
        ("/server.crt", "certificate", "CN=server", None),
        ("/server.crt", "bundle", "CN=kubernetes", None),
    ]


def test_kubeconfigs() -> None:
    pair = issue.certificate_pem(leaf(client_profile())), keys.private_pem(key())
    files = {
        "/etc/kubernetes/admin.conf": kubeconfig.render("https://lb:6443", "admin", ROOT_FILE, *pair),
        "/etc/kubernetes/kubelet.conf": kubeconfig.render("https://lb:6443", "n1", ROOT_FILE, "/k.pem", "/k.pem"),
        "/etc/kubernetes/token.conf": kubeconfig.render("https://lb:6443", "t", ROOT_FILE, "", "").replace(
            b"client-certificate: ''\n    client-key: ''", b"token: secret-token"
        ),
    }
    assert shown(files, "name", "kind", "user", "server", "subject", "key_fits", "note") == [
        ("admin.conf", "kubeconfig", "admin", "https://lb:6443", "O=group, CN=client", True, None),
        ("kubelet.conf", "kubeconfig", "n1", "https://lb:6443", None, None, "its certificate is in /k.pem"),
        ("", "kubeconfig", "t", "https://lb:6443", None, None, "it has no certificate but token"),
    ]


def test_what_cannot_be_read_is_said_and_the_rest_is_shown() -> None:
    files = {
        "/a.crt": ROOT_FILE[:-1] + LEAF_FILE,
        "/b.crt": LEAF_FILE,
        "/c.conf": b"kind: Config\n",
        "/d.conf": b"other: 1",
    }
    found = listing.describe(files, NOW)
    assert [(entry["path"], entry["kind"]) for entry in found] == [
        ("/a.crt", "unreadable"),
        ("/b.crt", "certificate"),
        ("/c.conf", "unreadable"),
    ]
    assert "without a newline" in found[0]["problem"]


def test_a_certificate_that_go_cannot_read() -> None:
    odd = issue.certificate_pem(Odd(extensions=[alternative("::ffff:192.0.2.1")]).facts())
    ((problem,),) = shown({"/a.crt": odd}, "problem")
    assert "Go refuses since 1.27" in problem


def test_nothing_secret_is_shown() -> None:
    pair = issue.certificate_pem(leaf(client_profile())), keys.private_pem(key())
    files = {
        "/a.crt": LEAF_FILE,
        "/a.key": LEAF_KEY,
        "/both.pem": LEAF_FILE + LEAF_KEY,
        "/admin.conf": kubeconfig.render("https://lb:6443", "admin", ROOT_FILE, *pair),
        "/broken.pem": LEAF_FILE + LEAF_KEY[:120],
    }
    text = repr(listing.describe(files, NOW))
    for line in LEAF_KEY.decode().splitlines()[1:-1]:
        assert line not in text


def test_other_layouts_have_names_too() -> None:
    (entry,) = listing.describe({"/ssl/etcd/peer.crt": LEAF_FILE}, NOW, Layout(pki="/ssl"))
    assert entry["name"] == "etcd-peer"


def test_which_files_are_read() -> None:
    paths = ["/a.crt", "/a.key", "/b.pem", "/c.conf", "/d.yaml", "/e.txt", "/f.kubeconfig"]
    assert listing.relevant(paths) == ["/a.crt", "/a.key", "/b.pem", "/c.conf", "/f.kubeconfig"]
