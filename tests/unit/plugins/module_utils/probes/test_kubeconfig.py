# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs: every kind of credential, and each way in which one can be wrong."""

from __future__ import annotations

import base64
import builtins
import contextlib
import os
import time
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from hypothesis import given, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubeconfig import Kubeconfig, load, parse

CA = b"-----BEGIN CERTIFICATE-----\n"
CERTIFICATE = b"certificate"
KEY = b"private"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def document(**user: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "admin@here",
        "clusters": [
            {"name": "other", "cluster": {"server": "https://other"}},
            {
                "name": "here",
                "cluster": {"server": "https://10.0.0.1:6443", "certificate-authority-data": encoded(CA)},
            },
        ],
        "contexts": [
            {"name": "admin@other", "context": {"cluster": "other", "user": "admin"}},
            {"name": "admin@here", "context": {"cluster": "here", "user": "admin", "namespace": "x"}},
        ],
        "users": [{"name": "nobody", "user": {}}, {"name": "admin", "user": user}],
    }


EMBEDDED = {"client-certificate-data": encoded(CERTIFICATE), "client-key-data": encoded(KEY)}


def expected(**more: Any) -> Kubeconfig:
    return Kubeconfig("/k", "admin@here", "admin", "https://10.0.0.1:6443", CA, **more)


@pytest.mark.parametrize(
    ("user", "result"),
    [
        (EMBEDDED, expected(certificate=CERTIFICATE, key=KEY)),
        ({"token": "abc"}, expected(token="abc")),
        ({**EMBEDDED, "token": "abc"}, expected(certificate=CERTIFICATE, key=KEY, token="abc")),
        ({"token": "", "client-certificate-data": "", "client-key-data": None}, expected()),
        ({}, expected()),
        ({**EMBEDDED, "client-key": "/absent"}, expected(certificate=CERTIFICATE, key=KEY)),
    ],
)
def test_credentials(user: dict[str, Any], result: Kubeconfig) -> None:
    assert parse(yaml.safe_dump(document(**user)), "/k") == result


def test_files_are_beside_the_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "admin.crt").write_bytes(CERTIFICATE)
    (tmp_path / "admin.key").write_bytes(KEY)
    (tmp_path / "token").write_bytes(b"from-file\n")
    (tmp_path / "ca.crt").write_bytes(CA)
    content = document(
        **{
            "client-certificate": "pki/admin.crt",
            "client-key": str(tmp_path / "admin.key"),
            "tokenFile": "token",
            "token": "overruled",
        }
    )
    content["clusters"][1]["cluster"] = {
        "server": "https://h",
        "certificate-authority": "ca.crt",
        "tls-server-name": "kubernetes",
    }
    (tmp_path / "admin.conf").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path.parent)
    for path in (str(tmp_path / "admin.conf"), f"{tmp_path.name}/admin.conf"):
        assert load(path) == Kubeconfig(
            path, "admin@here", "admin", "https://h", CA, CERTIFICATE, KEY, "from-file", "kubernetes"
        )


def test_no_authority_means_the_systems() -> None:
    content = document()
    del content["clusters"][1]["cluster"]["certificate-authority-data"]
    assert parse(yaml.safe_dump(content), "/k").ca is None


def test_json_and_a_context_without_a_user() -> None:
    content = document()
    del content["contexts"][1]["context"]["user"]
    assert parse(yaml.safe_dump(content, default_flow_style=True), "/k").user == ""


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update({"current-context": ""}), "does not say which context is in use"),
        (lambda d: d.pop("current-context"), "does not say which context is in use"),
        (lambda d: d.update({"current-context": "nope"}), "has no context named 'nope'"),
        (lambda d: d.update({"contexts": None}), "has no context named"),
        (lambda d: d.update({"contexts": ["x", {"name": "admin@here", "context": "text"}]}), "has no context named"),
        (lambda d: d["contexts"][1]["context"].pop("cluster"), "does not say which cluster"),
        (lambda d: d["contexts"][1]["context"].update({"cluster": "x"}), "has no cluster named 'x'"),
        (lambda d: d["contexts"][1]["context"].update({"user": "x"}), "has no user named 'x'"),
        (lambda d: d.update({"kind": "Pod"}), "no `kind: Config`"),
        (lambda d: d["clusters"][1]["cluster"].update({"server": "http://h"}), "'http://h' is no https:// address"),
        (lambda d: d["clusters"][1]["cluster"].update({"server": "h:6443"}), "is no https:// address"),
        (lambda d: d["clusters"][1]["cluster"].update({"server": ["x"]}), "is no https:// address"),
        (lambda d: d["clusters"][1]["cluster"].pop("server"), "is no https:// address"),
        (lambda d: d["clusters"][1]["cluster"].update({"server": "https://[::1"}), "is no https:// address"),
        (lambda d: d["clusters"][1]["cluster"].update({"server": "https://h:99999"}), "is no https:// address"),
        (lambda d: d["clusters"][1]["cluster"].update({"insecure-skip-tls-verify": True}), "insecure-skip-tls-verify"),
        (lambda d: d["clusters"][1]["cluster"].update({"tls-server-name": 5}), "the tls-server-name 5 is no text"),
        (
            lambda d: d["clusters"][1]["cluster"].update({"certificate-authority-data": "%%"}),
            "certificate-authority-data is not base64",
        ),
    ],
)
def test_what_is_wrong_with_the_file(change: Change, words: str) -> None:
    content = document(**EMBEDDED)
    change(content)
    with pytest.raises(HardeningError, match=r"^/k") as caught:
        parse(yaml.safe_dump(content), "/k")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({"exec": {"command": "aws", "args": ["s3cret"]}}, "from a program (exec: aws)"),
        ({"exec": None}, "from a program"),
        ({"exec": "text"}, "from a program"),
        ({"auth-provider": "text"}, "auth-provider"),
        ({"auth-provider": {"name": "oidc", "config": {"refresh-token": "s3cret"}}}, "the auth-provider oidc"),
        ({"username": "a", "password": "s3cret"}, "has a password"),
        ({"client-key-data": encoded(b"s3cret")}, "only one of client-certificate and client-key"),
        ({"client-certificate-data": encoded(CERTIFICATE)}, "only one of client-certificate and client-key"),
        ({"client-certificate-data": "s3cret!", "client-key-data": "x"}, "client-certificate-data is not base64"),
        ({"client-certificate-data": 5}, "client-certificate-data is not base64"),
        ({"client-certificate": "absent.crt"}, "client-certificate is /absent.crt, which cannot be read: No such file"),
        ({"tokenFile": "/absent"}, "tokenFile is /absent, which cannot be read"),
        ({"token": "s3cret\r\nX-Header: y"}, "white space or control characters"),
        ({"token": "s3cret\x00"}, "white space or control characters"),
    ],
)
def test_credentials_that_cannot_be_used(user: dict[str, Any], words: str) -> None:
    with pytest.raises(HardeningError) as caught:
        parse(yaml.safe_dump(document(**user)), "/k")
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_token_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff")
    with pytest.raises(HardeningError, match="holds no token"):
        parse(yaml.safe_dump(document(tokenFile="token")), str(tmp_path / "k"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no `kind: Config`"),
        (b"text", "no `kind: Config`"),
        (b"a: [s3cret", "not valid YAML (line "),
        (b"a: 1\nb:\tc: s3cret\n\t- x", "not valid YAML"),
        (b"\xff\xfe\xff", "not UTF-8"),
        (b"a: \x01", "not valid YAML"),
        (b"a: 2026-99-99", "which context is in use"),
        (b"[" * 1200, "not valid YAML"),
        (None, "cannot be read: No such file"),
    ],
)
def test_no_kubeconfig(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "k"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HardeningError) as caught:
        load(str(path))
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value).replace(str(path), "")


def test_what_lies_in_place_of_a_kubeconfig_or_of_a_file_that_it_names(tmp_path: Path) -> None:
    """A FIFO, 2 GiB, a directory and a loop of links: each is said at once."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(2 << 30)
    for name, words in (
        ("pipe", "no regular file"),
        ("loop", "Too many levels of symbolic links"),
        ("large", "larger than"),
        (".", "no regular file"),
    ):
        with pytest.raises(HardeningError, match=rf"cannot be read: .*{words}"):
            load(str(tmp_path / name))
        with pytest.raises(HardeningError, match=rf"tokenFile is .*, which cannot be read: .*{words}"):
            parse(yaml.safe_dump(document(tokenFile=name)), str(tmp_path / "k"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["here", "admin", "admin@here"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "cluster", "user"]), inner),
    max_leaves=4,
)


@given(st.data())
def test_a_value_of_any_kind_anywhere_is_a_kubeconfig_or_a_sentence(data: st.DataObject) -> None:
    content: Any = document(**EMBEDDED, tokenFile="/dev/null")
    place: Any = content
    key: Any = data.draw(st.sampled_from(sorted(content)))
    while isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(VALUES)
    with contextlib.suppress(HardeningError):
        assert parse(yaml.safe_dump(content), "/k").server.startswith("https://")


def with_certificate(data: bytes | None) -> Kubeconfig:
    return Kubeconfig("/k", "c", "u", "https://h", certificate=data, key=KEY)


def test_when_the_client_certificate_ends(authority: Any) -> None:
    now = time.time()
    valid = with_certificate(authority.issue("admin", days=10).certificate)
    assert abs((valid.certificate_expires() or 0) - (now + 10 * 86400)) < 60
    assert valid.expired(now) is None
    assert valid.expired(now + 11 * 86400) is not None
    sentence = with_certificate(authority.issue("admin", days=-1).certificate).expired(now)
    assert str(sentence).startswith("The client certificate in /k ended 20")


def test_without_a_client_certificate() -> None:
    assert with_certificate(None).certificate_expires() is None
    assert with_certificate(None).expired(1e12) is None


def test_a_client_certificate_that_is_none() -> None:
    with pytest.raises(HardeningError, match="/k: the client certificate of user u is unreadable"):
        with_certificate(b"garbage").certificate_expires()


def test_without_the_cryptography_library(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *more: Any) -> Any:
        if name == "cryptography":
            raise ImportError
        return original(name, *more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert with_certificate(CERTIFICATE).certificate_expires() is None
