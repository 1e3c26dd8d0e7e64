# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where our verdict on what others made must be the verifiers' own: each case is asked of them, and of us."""

from __future__ import annotations

import ipaddress
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority,
    bundle,
    decide,
    issue,
    keys,
    pem,
    refuse,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import Names, names
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import (
    CLIENT,
    SERVER,
    CertificateFacts,
    from_pem,
    wanted,
    wanted_authority,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import (
    AUTHORITY_EXTENSIONS,
    Odd,
    alternative,
    key,
    usage,
    with_negative_serial,
)

pytestmark = pytest.mark.pki

NOW = time.time()
BASIC = (x509.BasicConstraints(True, None), True)
CRITICAL_KEY_ID = (x509.SubjectKeyIdentifier(b"12345678901234567890"), True)
ROOT = authority.create(wanted_authority("kubernetes"), NOW)
OTHER = authority.create(wanted_authority("other"), NOW)
ONE, TWO = (pem.encode("CERTIFICATE", root.facts.der) for root in (ROOT, OTHER))


def odd(**options: object) -> bytes:
    return Odd(**{"start": NOW - 300, "end": NOW + 1e7, **options}).der()  # type: ignore[arg-type]


def in_pem(der: bytes) -> bytes:
    return pem.encode("CERTIFICATE", der)


# Bundles: (bytes, whether Go finds exactly the certificates that a person would expect there)
BUNDLES: dict[str, tuple[bytes, bool]] = {
    "one": (ONE, True),
    "two": (ONE + TWO, True),
    "text between": (ONE + b"# old\n" + TWO, True),
    "CRLF": ((ONE + TWO).replace(b"\n", b"\r\n"), True),
    "no newline at the end": (ONE + TWO[:-1], True),
    "joined without a newline": (ONE[:-1] + TWO, False),
    "indented": (ONE.replace(b"\n", b"\n  ").replace(b"-----BEGIN", b"  -----BEGIN"), False),
    "trusted": (ONE.replace(b"CERTIFICATE-", b"TRUSTED CERTIFICATE-"), False),
    "truncated": (ONE[:200], False),
    "empty": (b"", False),
    "negative serial number": (ONE + in_pem(with_negative_serial(odd(extensions=AUTHORITY_EXTENSIONS))), False),
    "critical key identifier": (ONE + in_pem(odd(extensions=[BASIC, CRITICAL_KEY_ID])), False),
}


def test_bundles(go_verdicts: Callable[..., dict[str, str]]) -> None:
    cases = [{"id": name, "kind": "bundle", "roots": data.decode()} for name, (data, _expected) in BUNDLES.items()]
    answers = go_verdicts(cases)
    ours = {}
    for name, (data, _expected) in BUNDLES.items():
        try:
            bundle.parse(data, name)
            ours[name] = True
        except HardeningError:
            ours[name] = False
    expected = {name: readable for name, (_data, readable) in BUNDLES.items()}
    assert {name: answers[name] == "" for name in BUNDLES} == expected
    assert ours == expected


def network(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_network(text))


def constraints(permitted: list[x509.GeneralName] | None, excluded: list[x509.GeneralName] | None = None) -> object:
    return x509.NameConstraints(permitted, excluded), True


SERVER_ONLY = x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")]), False
API = names(["kubernetes", "x.cluster.local", "10.96.0.1"])
LAB, ALL_OF_LAB = names(["lab.example"]), names(["*.lab.example"])

# Restrictions of an authority: (its extensions, usage of the leaf below, the leaf's names, accepted)
RESTRICTIONS: dict[str, tuple[list[object], str, Names, bool]] = {
    "none": ([BASIC, usage("keyCertSign")], "server", API, True),
    "no key usage": ([BASIC], "server", API, True),
    "permitted short names missing": ([BASIC, constraints([x509.DNSName("cluster.local")])], "server", API, False),
    "permitted names only leave addresses free": (
        [BASIC, constraints([x509.DNSName("cluster.local"), x509.DNSName("kubernetes")])],
        "server",
        API,
        True,
    ),
    "permitted network": ([BASIC, constraints([network("10.0.0.0/8")])], "server", API, True),
    "another permitted network": ([BASIC, constraints([network("192.0.2.0/24")])], "server", API, False),
    "excluded networks": ([BASIC, constraints(None, [network("0.0.0.0/0")])], "server", API, False),
    "excluded name": ([BASIC, constraints(None, [x509.DNSName("local")])], "server", API, False),
    "excluded part of a label": ([BASIC, constraints(None, [x509.DNSName("cal")])], "server", API, True),
    "permitted names below alone": ([BASIC, constraints([x509.DNSName(".lab.example")])], "server", LAB, False),
    "permitted names below": ([BASIC, constraints([x509.DNSName(".lab.example")])], "server", ALL_OF_LAB, True),
    "excluded names below alone": ([BASIC, constraints(None, [x509.DNSName(".lab.example")])], "server", LAB, True),
    "excluded name of a wildcard": (
        [BASIC, constraints(None, [x509.DNSName("secret.lab.example")])],
        "server",
        ALL_OF_LAB,
        False,
    ),
    "excluded name below a wildcard's": (
        [BASIC, constraints(None, [x509.DNSName("a.secret.lab.example")])],
        "server",
        ALL_OF_LAB,
        True,
    ),
    "permitted name of a wildcard": (
        [BASIC, constraints([x509.DNSName("secret.lab.example")])],
        "server",
        ALL_OF_LAB,
        False,
    ),
    "usage that fits": ([BASIC, SERVER_ONLY], "server", API, True),
    "usage that does not": ([BASIC, SERVER_ONLY], "client", Names(), False),
    "directory names": ([BASIC, constraints([x509.DirectoryName(x509.Name([]))])], "client", Names(), False),
    "unknown critical extension": (
        [BASIC, (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"), True)],
        "client",
        Names(),
        False,
    ),
    "path length 0": ([(x509.BasicConstraints(True, 0), True)], "client", Names(), True),
    "no authority": ([(x509.BasicConstraints(False, None), True)], "client", Names(), False),
    "no basic constraints": ([], "client", Names(), False),
    "no keyCertSign": ([BASIC, usage("digitalSignature")], "client", Names(), False),
}


def test_restrictions_of_authorities(go_verdicts: Callable[..., dict[str, str]]) -> None:
    cases, ours = [], {}
    for name, (extensions, kind, leaf_names, _accepted) in RESTRICTIONS.items():
        facts = Odd(subject="ca", extensions=extensions, start=NOW - 300, end=NOW + 1e7).facts()  # type: ignore[arg-type]
        what = wanted("leaf", (), leaf_names, (SERVER if kind == "server" else CLIENT,))
        leaf = issue.issue(what, keys.public_bytes(key(number=1)), Authority(facts, key()), NOW)
        cases.append(verify_case(name, leaf, facts, kind))
        try:
            refuse.unusable_authority(facts, NOW, name)
            refuse.forbidden_by_authority([facts], what, name)
            ours[name] = True
        except HardeningError:
            ours[name] = False
    answers = go_verdicts(cases)
    expected = {name: accepted for name, (*_rest, accepted) in RESTRICTIONS.items()}
    assert {name: answers[name] == "" for name in RESTRICTIONS} == expected
    assert ours == expected


def verify_case(
    name: str, leaf: CertificateFacts, root: CertificateFacts, kind: str, *chain: CertificateFacts
) -> dict[str, str]:
    return {
        "id": name,
        "kind": "verify",
        "usage": kind,
        "certificate": issue.certificate_pem(leaf, chain).decode(),
        "roots": in_pem(root.der).decode(),
    }


def test_path_length_of_a_root_above_an_intermediate(go_verdicts: Callable[..., dict[str, str]]) -> None:
    top = authority.create(wanted_authority("top", path_length=0), NOW)
    with pytest.raises(HardeningError, match="path length is 0"):
        authority.create_below(wanted_authority("below"), top, NOW)
    below = issue.issue(wanted_authority("below"), keys.public_bytes(key()), top, NOW)
    leaf = issue.issue(wanted("leaf", usages=(CLIENT,)), keys.public_bytes(key(number=1)), Authority(below, key()), NOW)
    assert "too many intermediates" in go_verdicts([verify_case("x", leaf, top.facts, "client", below)])["x"]


def test_go_compares_names_byte_for_byte_and_openssl_does_not(
    go_verdicts: Callable[..., dict[str, str]], openssl_verdict: Callable[..., str], tmp_path: Path
) -> None:
    """Why the parsed subject of an authority is reused: a kubeadm authority under a freshly built name."""
    text = x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes", _type=x509.name._ASN1Type.PrintableString)
    key_id = (x509.SubjectKeyIdentifier.from_public_key(key().public_key()), False)
    extensions = [*AUTHORITY_EXTENSIONS, key_id]
    real = Odd(subject=x509.Name([text]), extensions=extensions, start=NOW - 300, end=NOW + 1e7).facts()
    rebuilt = Odd(subject="kubernetes", extensions=extensions, start=NOW - 300, end=NOW + 1e7).facts()
    what = wanted("leaf", usages=(CLIENT,))
    public = keys.public_bytes(key(number=1))
    right, wrong = (issue.issue(what, public, Authority(facts, key()), NOW) for facts in (real, rebuilt))
    answers = go_verdicts([verify_case("right", right, real, "client"), verify_case("wrong", wrong, real, "client")])
    assert answers["right"] == ""
    assert "unknown authority" in answers["wrong"]
    for leaf in (right, wrong):
        assert openssl_verdict(tmp_path, issue.certificate_pem(leaf), in_pem(real.der), "client") == ""
    settled = decide.settled(what, wrong, decide.Policy())
    (reason,) = decide.reasons(wrong, settled, real, NOW, decide.Policy())
    assert "in another encoding" in str(reason)


def test_openssl_compares_key_identifiers_and_go_does_not(
    go_verdicts: Callable[..., dict[str, str]], openssl_verdict: Callable[..., str], tmp_path: Path
) -> None:
    """Why the authority's key identifier is copied: Go since 1.25 makes others than cryptography."""
    key_id = (x509.SubjectKeyIdentifier(b"as Go makes it, 20 b"), False)
    real = Odd(subject="ca", extensions=[*AUTHORITY_EXTENSIONS, key_id], start=NOW - 300, end=NOW + 1e7).facts()
    what = wanted("leaf", usages=(CLIENT,))
    public = keys.public_bytes(key(number=1))
    right = issue.issue(what, public, Authority(real, key()), NOW)
    wrong = issue.issue(what, public, Authority(replace(real, subject_key_id=None), key()), NOW)
    answers = go_verdicts([verify_case("right", right, real, "client"), verify_case("wrong", wrong, real, "client")])
    assert (answers["right"], answers["wrong"]) == ("", "")
    assert openssl_verdict(tmp_path, issue.certificate_pem(right), in_pem(real.der), "client") == ""
    assert openssl_verdict(tmp_path, issue.certificate_pem(wrong), in_pem(real.der), "client") != ""
    settled = decide.settled(what, wrong, decide.Policy())
    assert [reason.name for reason in decide.reasons(wrong, settled, real, NOW, decide.Policy())] == ["authority"]


def openssl_signs(directory: Path, request: bytes, extensions: str, days: int = 365) -> CertificateFacts:
    """The certificate that an outside authority makes with openssl's command."""
    certificate, own_key = authority.files(ROOT)
    for name, data in (("root.crt", certificate), ("request.csr", request), ("extensions", extensions.encode())):
        (directory / name).write_bytes(data)
    (directory / "root.key").touch(0o600)
    (directory / "root.key").write_bytes(own_key)
    command = "openssl x509 -req -in request.csr -CA root.crt -CAkey root.key -CAcreateserial -extfile extensions"
    command += f" -out out.crt -days {days}"
    subprocess.run(command.split(), cwd=directory, check=True, stderr=subprocess.DEVNULL)
    return from_pem((directory / "out.crt").read_bytes(), "out.crt")


AS_ASKED = """
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign,digitalSignature
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


@pytest.mark.parametrize(
    ("extensions", "sentence"),
    [
        (
            AS_ASKED,
            "",
        ),
        ("basicConstraints=critical,CA:FALSE\n", "it is not one of an authority"),
        ("basicConstraints=critical,CA:TRUE\nkeyUsage=digitalSignature\n", "does not include keyCertSign"),
    ],
    ids=["as asked", "a leaf", "without keyCertSign"],
)
def test_an_outside_authority_signs_our_request(
    extensions: str, sentence: str, tmp_path: Path, go_verdicts: Callable[..., dict[str, str]]
) -> None:
    own_key = keys.generate("ECDSA-P256")
    data = issue.signing_request(wanted_authority("kubernetes"), own_key)
    request = issue.read_request(data, "request.csr")
    answer = openssl_signs(tmp_path, data, extensions)
    if sentence:
        with pytest.raises(HardeningError, match=sentence):
            refuse.wrong_answer(answer, request, "out.crt")
        return
    refuse.wrong_answer(answer, request, "out.crt")
    refuse.unusable_authority(answer, time.time(), "out.crt")
    own = Authority(answer, own_key, (ROOT.facts,))
    leaf = issue.issue(wanted("leaf", names=API, usages=(SERVER,)), keys.public_bytes(key()), own, NOW)
    assert go_verdicts([verify_case("x", leaf, ROOT.facts, "server", answer)])["x"] == ""


def test_openssl_reads_our_requests(tmp_path: Path) -> None:
    data = issue.signing_request(wanted("leaf", ("group",), API, (SERVER, CLIENT)), key("RSA-2048"))
    done = subprocess.run(
        ["openssl", "req", "-verify", "-noout", "-text"],
        input=data,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )
    for text in (b"O = group, CN = leaf", b"DNS:kubernetes", b"IP Address:10.96.0.1", b"TLS Web Client Authentication"):
        assert text in done.stdout
    assert tmp_path.exists()


@pytest.mark.parametrize("address", ["::ffff:192.0.2.1"])
def test_a_mapped_address_never_gets_into_a_certificate(address: str) -> None:
    """Go 1.27 refuses the whole certificate; Go 1.26, which may run here, still reads it."""
    assert names([address]) == names(["192.0.2.1"])
    with pytest.raises(HardeningError, match=r"Go refuses since 1\.27"):
        bundle.parse(in_pem(odd(extensions=[alternative(address)])), "here")
