# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An authority wholly outside that is the real step-ca: what it signs is taken in, and what it spoils is refused.

Its server is compiled once into the lab's cache.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.client
import json
import secrets
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from pki.test_outside_root import OPENSSL, PKI, SERVED, OpensslAuthority

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import issue, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.outside import Returned
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import (
    Directory,
    assert_pairs_fit,
)
from lab.kubelab import components
from lab.kubelab.base import LabError
from lab.kubelab.cache import GIB, entry, key_of
from tools.lacking import lacking

pytestmark = [pytest.mark.pki, pytest.mark.slow]

MODULE = Path(__file__).parent / "step-ca"
#: What docs/pki.md says of templates, for provisioners that have one of their own.
TEMPLATE = """{
  "subject": {{ toJson .Insecure.CR.Subject }},
  "dnsNames": {{ toJson .Insecure.CR.DNSNames }},
  "ipAddresses": {{ toJson .Insecure.CR.IPAddresses }},
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["serverAuth", "clientAuth"]
}"""
#: The same with the names of step-ca's own template, which are the token's.
OF_THE_TOKEN = """{
  "subject": {{ toJson .Insecure.CR.Subject }},
  "sans": {{ toJson .SANs }},
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["serverAuth", "clientAuth"]
}"""
HOUR = 3600


def _make(target: Path) -> None:
    components.compile_alone(MODULE, target / "step-ca")


@pytest.fixture(scope="session")
def program() -> Path:
    """The server."""
    if shutil.which("go") is None:
        lacking("go is not installed")
    key = key_of(*(path.read_text(encoding="utf-8") for path in sorted(MODULE.iterdir())))
    try:
        return entry("programs", "step-ca", key, 4 * GIB, _make) / "step-ca"
    except (LabError, OSError) as problem:
        lacking(f"step-ca could not be compiled: {problem}")


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class RefusedError(Exception):
    """step-ca did not sign."""


class StepCa:
    """A step-ca on this machine, below an intermediate, and who may have it sign."""

    def __init__(self, directory: Path, authority: OpensslAuthority, templates: Mapping[str, str]) -> None:
        self.directory = directory
        self._authority = authority
        self._key = ec.generate_private_key(ec.SECP256R1())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._address = f"https://localhost:{self.port}"
        self.configuration = directory / "ca.json"
        self.configuration.write_text(json.dumps(self._settings(templates)), encoding="utf-8")

    def _settings(self, templates: Mapping[str, str]) -> dict[str, Any]:
        public = self._key.public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        numbers = public.public_numbers()
        key = {name: _encoded(value.to_bytes(32, "big")) for name, value in (("x", numbers.x), ("y", numbers.y))}
        key = {"use": "sig", "kty": "EC", "kid": "by-token", "crv": "P-256", "alg": "ES256", **key}
        provisioners: list[dict[str, Any]] = [
            {"type": "K8sSA", "name": "by-account", "publicKeys": base64.b64encode(pem).decode()},
            {"type": "JWK", "name": "by-token", "key": key},
        ]
        for one in provisioners:
            if one["name"] in templates:
                one["options"] = {"x509": {"template": templates[one["name"]]}}
        return {
            "root": str(self._authority.path("root.crt")),
            "crt": str(self._authority.path("issuing.crt")),
            "key": str(self._authority.path("issuing.key")),
            "address": f"127.0.0.1:{self.port}",
            "dnsNames": ["localhost"],
            "authority": {"provisioners": provisioners},
        }

    def wait(self, server: subprocess.Popen[bytes]) -> None:
        for _try in range(300):
            with contextlib.suppress(ConnectionError):
                self._ask("GET", "/health", {})
                return
            assert server.poll() is None, (self.directory / "log").read_text(encoding="utf-8")
            time.sleep(0.1)
        raise AssertionError((self.directory / "log").read_text(encoding="utf-8"))

    def _ask(self, method: str, path: str, document: dict[str, Any]) -> dict[str, Any]:
        trusted = ssl.create_default_context(cafile=str(self._authority.path("root.crt")))
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=20, context=trusted)
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(document), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
        if answer.status >= 400:
            raise RefusedError(f"{answer.status} {text}")
        found: dict[str, Any] = json.loads(text)
        return found

    def _token(self, claims: dict[str, Any]) -> str:
        now = int(time.time())
        claims = {"iat": now, "nbf": now - 5, "exp": now + 300, "jti": secrets.token_hex(16), **claims}
        head = {"alg": "ES256", "typ": "JWT", "kid": "by-token"}
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        halves = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encoded(b''.join(half.to_bytes(32, 'big') for half in halves))}"

    def sign_by_account(self, request: str) -> bytes:
        """What a service account's token has signed: subject and names are the request's."""
        account = {"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:pki:kubeharden"}
        return self._sign(request, self._token(account))

    def sign_by_token(self, request: str, name: str, names: Sequence[str]) -> bytes:
        """What a one-time token has signed, such as ``step ca token`` makes."""
        told = {"iss": "by-token", "aud": f"{self._address}/1.0/sign", "sub": name, "sans": list(names)}
        return self._sign(request, self._token(told))

    def _sign(self, request: str, token: str) -> bytes:
        answer = self._ask("POST", "/1.0/sign", {"csr": request, "ott": token})
        return "".join(answer["certChain"]).encode("ascii")


Make = Callable[..., StepCa]


@pytest.fixture(params=OPENSSL)
def authority(request: pytest.FixtureRequest, tmp_path: Path) -> OpensslAuthority:
    return OpensslAuthority(tmp_path / "outside", OPENSSL[request.param])


@pytest.fixture
def make(program: Path, authority: OpensslAuthority, tmp_path: Path) -> Iterator[Make]:
    """Starts a server; its provisioners have step-ca's own templates but for those that are given."""
    with contextlib.ExitStack() as stack:

        def start(**templates: str) -> StepCa:
            named = {name.replace("_", "-"): text for name, text in templates.items()}
            made = StepCa(tmp_path, authority, named)
            with (tmp_path / "log").open("wb") as log:
                command = [str(program), str(made.configuration)]
                server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            stack.callback(server.wait, 20)
            stack.callback(server.terminate)
            made.wait(server)
            return made

        yield start


@dataclasses.dataclass
class Asking:
    """A control plane whose certificates the authority outside signs, and what it asked for first."""

    host: Directory
    options: dict[str, Any]
    asked: dict[str, str]

    def take(self, returned: Mapping[str, bytes], now: float) -> Any:
        found = {name: Returned(data, f"{name}.crt") for name, data in returned.items()}
        return self.host.leaves(now=now, returned=found, **self.options)[1]


@pytest.fixture
def asking(authority: OpensslAuthority, tmp_path: Path) -> Asking:
    host = Directory(tmp_path / "host", "cp1", kubelet_serving=True)
    host.authorities(create=True, now=time.time(), brought={"kubernetes": authority.brought})
    options: dict[str, Any] = {"outside": frozenset({"kubernetes"}), "brought": {"kubernetes": authority.brought}}
    planned = host.leaves(now=time.time(), **options)[1]
    return Asking(host, options, {one["name"]: one["request"] for one in planned.unsigned()})


def test_what_step_ca_signs_by_default_is_taken_in_accepted_and_renewed_in_time(
    asking: Asking,
    authority: OpensslAuthority,
    make: Make,
    go_verdicts: Callable[..., dict[str, str]],
    openssl_verdict: Callable[..., str],
    tmp_path: Path,
) -> None:
    server = make()
    returned = {name: server.sign_by_account(request) for name, request in asking.asked.items()}
    first = {name: profile.from_pem(data, name) for name, data in returned.items()}
    # Its habits: the intermediate in the answer, a minute's backdate, a day's life, both usages.
    assert {data.count(b"BEGIN CERTIFICATE") for data in returned.values()} == {2}
    assert {one.not_after - one.not_before for one in first.values()} == {24 * HOUR + 60}
    assert {frozenset(one.profile.extended_usages) for one in first.values()} == {
        frozenset({"serverAuth", "clientAuth"})
    }
    planned = asking.take(returned, time.time())
    assert {one.name for one in planned.issued} == set(asking.asked)
    host = asking.host
    assert_pairs_fit(host)
    now = time.time()
    assert host.leaves(check=True, now=now + 7 * HOUR, **asking.options)[0] == []
    due, planned = host.leaves(check=True, now=now + 9 * HOUR, **asking.options)
    assert len(due) == len(planned.unsigned()) == len(asking.asked)
    cases = []
    for name, (kind, dialled) in SERVED.items():
        pair = host.path(f"{PKI}/{name}.crt").read_bytes(), host.path(f"{PKI}/{name}.key").read_bytes()
        for trusted, roots in (("root", authority.path("root.crt")), ("ca.crt", host.path(f"{PKI}/ca.crt"))):
            case = {"kind": kind, "certificate": pair[0].decode(), "key": pair[1].decode(), "name": dialled}
            cases.append({"id": f"{name} by {trusted}", "roots": roots.read_text(encoding="ascii"), **case})
            assert openssl_verdict(tmp_path, pair[0], roots.read_bytes(), kind, dialled) == ""
    answers = go_verdicts(cases)
    assert {case["id"]: answers[case["id"]] for case in cases} == {case["id"]: "" for case in cases}


def test_a_day_later_it_is_renewed_by_step_ca_again(asking: Asking, make: Make) -> None:
    """What it issued differs from the table in its usages, and stays what it is."""
    server = make()
    asking.take({name: server.sign_by_account(request) for name, request in asking.asked.items()}, time.time())
    later = time.time() + 9 * HOUR
    again = asking.host.leaves(now=later, **asking.options)[1].unsigned()
    assert {one["name"] for one in again} == set(asking.asked)
    assert not {one["request"] for one in again} & set(asking.asked.values())
    # Signed now, it has begun by then, and is due as soon again as it is old by then.
    planned = asking.take({one["name"]: server.sign_by_account(one["request"]) for one in again}, later)
    assert {one.name for one in planned.issued} == set(asking.asked)
    assert asking.host.leaves(check=True, now=time.time(), **asking.options)[0] == []


def told(request: str) -> tuple[str, list[str]]:
    """What a token says of a request: the common name, and all other names."""
    asked = issue.read_request(request.encode(), "the request").profile
    return asked.subject.common_name, [*asked.names.dns, *map(str, asked.names.addresses)]


def test_one_time_tokens_have_all_signed_by_a_template_with_what_the_request_says(asking: Asking, make: Make) -> None:
    server = make(by_token=TEMPLATE)
    returned = {name: server.sign_by_token(request, *told(request)) for name, request in asking.asked.items()}
    planned = asking.take(returned, time.time())
    assert {one.name for one in planned.issued} == set(asking.asked)


def test_a_client_is_given_the_tokens_subject_for_a_name_which_is_refused(asking: Asking, make: Make) -> None:
    server = make(by_token=OF_THE_TOKEN)
    request = asking.asked["apiserver"]
    assert asking.take({"apiserver": server.sign_by_token(request, *told(request))}, time.time()).issued
    request = asking.asked["admin.conf"]
    answer = server.sign_by_token(request, *told(request))
    with pytest.raises(HardeningError, match=r"admin\.conf\.crt does not answer its request.*kubernetes-admin"):
        asking.take({"admin.conf": answer}, time.time())


def test_without_a_template_one_time_tokens_take_groups_away_which_is_refused(asking: Asking, make: Make) -> None:
    server = make()
    request = asking.asked["kubelet-server"]
    answer = server.sign_by_token(request, *told(request))
    with pytest.raises(HardeningError, match=r"kubelet-server\.crt does not answer its request"):
        asking.take({"kubelet-server": answer}, time.time())
