# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is masked in lines for users, and what must stay readable."""

from __future__ import annotations

import base64
import random
import re

import pytest
from hypothesis import given, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.components import versions
from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import (
    MASK,
    SECRET_FLAGS,
    mask,
    mask_arguments,
    mask_named,
)

JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----"
BASE64 = base64.b64encode(random.Random(1).randbytes(48)).decode()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"Authorization: Bearer {JWT}", f"Authorization: Bearer {MASK}"),
        ("Authorization: Bearer 31ada4fd-adec-460c-809a-9e56ceb75269", f"Authorization: Bearer {MASK}"),
        ("authorization: basic YWRtaW46c2VjcmV0", f"authorization: basic {MASK}"),
        ('{"Authorization": "Bearer abcdefgh"}', f'{{"Authorization": "Bearer {MASK}"}}'),
        ("Authorization:\n  - Basic abcdef\n", f"Authorization:\n  - Basic {MASK}\n"),
        ("+  Authorization:\n+  - Basic abcdef\n", f"+  Authorization:\n+  - Basic {MASK}\n"),
        ("got bearer 31ada4fdadec460c, which", f"got bearer {MASK}, which"),
        (f"token {JWT}, next", f"token {MASK}, next"),
        (f"before {KEY} after", f"before {MASK} after"),
        (KEY.replace("RSA ", "").replace("\n", "\\n"), MASK),
        ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQ (cut", MASK),
        ("using abcdef.0123456789abcdef", f"using abcdef.{MASK}"),
        ("password=hunter22", f"password={MASK}"),
        ('{"password": "hunter22", "user": "x"}', f'{{"password": "{MASK}", "user": "x"}}'),
        ('err="{\\"token\\":\\"s3cretvalue\\"}"', f'err="{{\\"token\\":\\"{MASK}\\"}}"'),
        ("client-key-data: LS0tLS1CRUdJ", f"client-key-data: {MASK}"),
        (f"secret is {BASE64}!", f"secret is {MASK}!"),
        # Flags whose values are secrets, as they stand in units, files of variables, manifests, logs and lists.
        ("--manifest-url-header=X-Key:abc --v=2", f"--manifest-url-header={MASK} --v=2"),
        ("--manifest_url_header=X-Key:a b c -v 2", f"--manifest_url_header={MASK} -v 2"),
        ("A=\"--manifest-url-header='X: a' --v=2\"", f'A="--manifest-url-header={MASK} --v=2"'),
        ('A="--manifest-url-header=X-Key:it\'s"', f'A="--manifest-url-header={MASK}"'),
        ("  - --manifest-url-header=X-Key: a b\n  - --v=2", f"  - --manifest-url-header={MASK}\n  - --v=2"),
        ("kubelet --manifest-url-header 'X-Key: a' -v", f"kubelet --manifest-url-header {MASK} -v"),
        ('["--storage-driver-password", "a"]', f'["--storage-driver-password", {MASK}]'),
        ('["--storage-driver-password","a"]', f'["--storage-driver-password",{MASK}]'),
        ("  - --discovery-password\n  - abc\n", f"  - --discovery-password\n  - {MASK}\n"),
        ('FLAG: --manifest-url-header="X-Key:a"', f"FLAG: --manifest-url-header={MASK}"),
        ("+    - name: discovery-user\n+      value: a:b", f'+    - name: discovery-user\n+      value: "{MASK}"'),
        ("    discovery-token: abc", f'    discovery-token: "{MASK}"'),
        ("staticPodURLHeader:\n  X-Key:\n  - a\n\n  B: [c]\nz: 1", f'staticPodURLHeader: "{MASK}"\nz: 1'),
        ("a:\n  staticPodURLHeader:\n    X: [b]\n  c: 1", f'a:\n  staticPodURLHeader: "{MASK}"\n  c: 1'),
        ("+staticPodURLHeader:\n+  X: [b]\n+z: 1", f'+staticPodURLHeader: "{MASK}"\n+z: 1'),
        ("   staticPodURLHeader:\n-    X: [b]\n   z: 1", f'   staticPodURLHeader: "{MASK}"\n   z: 1'),
        ('{"staticPodURLHeader":{"X":["b"]},"z":1}', f'{{"staticPodURLHeader": "{MASK}","z":1}}'),
        ("staticPodURLHeader: {X: [b],\n  Y: [c]}\nz: 1", f'staticPodURLHeader: "{MASK}"\nz: 1'),
    ],
)
def test_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        'Error: invalid argument "big" for "--audit-log-maxsize" flag: strconv.ParseInt: parsing "big": invalid syntax',
        "image registry.k8s.io/pause@sha256:ee6521f290b2168b6e0935a181d4cff9be1ac3f505666ef0e3c98fae8199917a",
        "container c0ffee" + "0123456789abcdef" * 4,
        "open /etc/kubernetes/pki/apiserver-etcd-client.crt: no such file or directory",
        "/var/lib/kubelet/pods/0b3f6a3e-0f4e-4c57-9d0c-5d5e3f1c2b9a/volumes/kubernetes.io~projected/kube-api-access-x2x4z",
        "Unable to authenticate the request: [invalid bearer token, Token has expired]",
        "bearer token authentication failed",
        "x509: basic constraints are missing; Basic Constraints: CA",
        "basic authentication is not supported",
        "--token-auth-file=/etc/kubernetes/tokens.csv",
        "--service-account-signing-key-file=/etc/kubernetes/pki/sa.key",
        "ValidatingAdmissionPolicyBindingParamKindResourceValidationFailure1",
        'MountVolume.SetUp failed for volume "token" : secret "kube-proxy-token-abcde" not found',
        "-----BEGIN CERTIFICATE-----",
        "expected 32 byte key for secretbox, got 16",
        "--requestheader-username-headers=X-Remote-User",
        "a: 1\nstaticPodURLHeader: {}\nb: 1",
        "staticPodURLHeader:\nb: 1",
        "staticPodURL: https://192.0.2.1/pods",
        "",
    ],
)
def test_kept(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize("size", [32, 48, 64, 100, 1000])
def test_base64_of_random_bytes_never_stays_whole(size: int) -> None:
    for seed in range(20):
        text = base64.b64encode(random.Random(seed).randbytes(size)).decode()
        assert text not in mask(f"key {text}")


@pytest.mark.parametrize("flag", SECRET_FLAGS)
def test_no_form_of_such_a_flag_is_left(flag: str) -> None:
    forms = (f"--{flag}=hidden", f"--{flag} hidden", f"{flag}: hidden", f"name: {flag}\n value: hidden")
    for form in forms:
        assert "hidden" not in mask_named(form)


def test_an_argument_vector_without_secrets() -> None:
    words = ["kubelet", "--manifest_url_header=X-Key:a", "-discovery-password", "b", "--discovery-user", "--v=2"]
    words += ["--manifest-url=https://u:p@192.0.2.1/pods", "discovery-token=c"]
    assert mask_arguments(words) == [
        "kubelet",
        f"--manifest_url_header={MASK}",
        "-discovery-password",
        MASK,
        "--discovery-user",
        "--v=2",
        f"--manifest-url=https://u:{MASK}@192.0.2.1/pods",
        "discovery-token=c",
    ]


#: What the names of flags have that is no secret: they name a file, a time, a number, a name or a method.
_NO_SECRET = re.compile(
    r"-(file|ttl|version|directory|dir|config|period|syncs|expiration|webhook|auth|prefix|names|headers)$"
    r"|^(auth-token|initial-cluster-token|storage-driver-user|use-service-account-credentials)$"
)


@pytest.mark.parametrize("version", ["kubernetes", "etcd"])
def test_flags_of_every_version_that_sound_secret_are_known(version: str) -> None:
    for number in versions.known_versions(version):
        table = versions.Table.load(versions.shown(number), version)
        for component in table.components:
            for name in table.flags(component):
                if re.search(r"header|password|passphrase|token|secret|credential|-user$", name):
                    assert name in SECRET_FLAGS or _NO_SECRET.search(name), name


@given(st.text(max_size=300))
def test_any_text_and_masking_twice_changes_nothing_more(text: str) -> None:
    assert mask(mask(text)) == mask(text)
