# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster whose users come from an OpenID Connect issuer by flags: they stay who they are when these flags move.

And what an owner gives by variables: another issuer, a token webhook, an admission plugin that asks a webhook.
"""

from __future__ import annotations

import json
from typing import Any

from lab.each_version import on_each_version
from lab.kubelab.harness import Cluster
from lab.product import Product, wait_until, without_random

pytestmark = on_each_version("1+1", name="oidc")

APISERVER = "/etc/kubernetes/manifests/kube-apiserver.yaml"
ISSUER = "https://10.213.0.11:8443"
FLAGS = {
    "oidc-issuer-url": ISSUER,
    "oidc-client-id": "kubernetes",
    "oidc-ca-file": "/etc/kubernetes/pki/oidc-ca.crt",
    "oidc-groups-claim": "groups",
    "oidc-groups-prefix": "oidc:",
    "oidc-required-claim": "team=platform,core",
}

# The issuer's authority, its server and its tokens: one of somebody of the team, one of somebody else.
_ISSUER = r"""
import base64, datetime, http.server, ipaddress, json, os, ssl, sys, time
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

def pem(key):
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())

def certificate(name, key, issuer, issuer_key, extension):
    now = datetime.datetime.utcnow()
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in (name, issuer)]
    builder = x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=2)).add_extension(extension, False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

def number(value):
    return part(value.to_bytes((value.bit_length() + 7) // 8, "big"))

def token(claims):
    said = ".".join(part(json.dumps(one).encode()) for one in ({"alg": "RS256", "kid": "one", "typ": "JWT"}, claims))
    return said + "." + part(signer.sign(said.encode(), padding.PKCS1v15(), hashes.SHA256()))

authority, server, signer = (rsa.generate_private_key(65537, 2048) for _number in range(3))
address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("10.213.0.11"))])
issuer = sys.argv[1]
os.makedirs("/root/issuer/.well-known", mode=0o700)
os.chdir("/root/issuer")
open("/etc/kubernetes/pki/oidc-ca.crt", "wb").write(
    certificate("issuers", authority, "issuers", authority, x509.BasicConstraints(True, None))
)
open("../issuer.pem", "wb").write(pem(server) + certificate("issuer", server, "issuers", authority, address))
public = signer.public_key().public_numbers()
key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "one", "n": number(public.n), "e": number(public.e)}
json.dump({"keys": [key]}, open("keys", "w"))
json.dump(
    {"issuer": issuer, "jwks_uri": issuer + "/keys", "id_token_signing_alg_values_supported": ["RS256"]},
    open(".well-known/openid-configuration", "w"),
)
claims = {"iss": issuer, "aud": "kubernetes", "sub": "ada", "groups": ["one", "two"], "exp": int(time.time()) + 86400}
json.dump(
    {"member": token({**claims, "team": "platform,core"}), "stranger": token({**claims, "team": "platform"})},
    open("../tokens.json", "w"),
)
"""

_SERVER = r"""
import http.server, os, ssl
os.chdir("/root/issuer")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/root/issuer.pem")
served = http.server.ThreadingHTTPServer(("10.213.0.11", 8443), http.server.SimpleHTTPRequestHandler)
served.socket = context.wrap_socket(served.socket, server_side=True)
served.serve_forever()
"""

# Status and answer of the API server to the question who asks, by the name of the token.
_WHO = r"""
import json, ssl, urllib.error, urllib.request
context = ssl.create_default_context(cafile="/etc/kubernetes/pki/ca.crt")
address = "https://10.213.0.11:6443/apis/authentication.k8s.io/v1/selfsubjectreviews"
body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).encode()
said = {}
for name, token in json.load(open("/root/tokens.json")).items():
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(address, body, headers), context=context, timeout=10)
        said[name] = [answer.status, json.load(answer)["status"]["userInfo"]]
    except urllib.error.HTTPError as error:
        said[name] = [error.code, {}]
    except OSError:
        said[name] = [0, {}]
print(json.dumps(said))
"""

_CONFIGURE = r"""
import json, os, sys
path, flags = "/etc/kubernetes/manifests/kube-apiserver.yaml", json.loads(sys.argv[1])
text = open(path).read()
added = "".join(f'    - "--{name}={value}"\n' for name, value in flags.items())
open("/etc/kubernetes/new.yaml", "w").write(text.replace("    - kube-apiserver\n", "    - kube-apiserver\n" + added))
os.chmod("/etc/kubernetes/new.yaml", 0o600)
os.rename("/etc/kubernetes/new.yaml", path)
"""


# What asks it whose a token is, and whether an image may run: one is somebody's, and one may not.
_WEBHOOKS = r"""
import http.server, json, ssl

class Answers(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = review["spec"]
        if review["kind"] == "TokenReview":
            known = asked["token"] == "opaque"
            status = {"authenticated": known, "user": {"username": "bob"} if known else {}}
        else:
            allowed = not any("forbidden" in one["image"] for one in asked["containers"])
            status = {"allowed": allowed, "reason": "" if allowed else "not ours"}
        body = json.dumps({**review, "status": status}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/root/issuer.pem")
served = http.server.ThreadingHTTPServer(("10.213.0.11", 8444), Answers)
served.socket = context.wrap_socket(served.socket, server_side=True)
served.serve_forever()
"""

# In a directory that kubeadm does not mount.
_WEBHOOK_FILE = "/etc/kubernetes/webhooks/webhook.conf"
_LAY_WEBHOOKS = f"""
set -eu
umask 077
cat >/root/webhooks.py
systemd-run --unit=webhooks python3 /root/webhooks.py
mkdir -p {_WEBHOOK_FILE.rpartition("/")[0]}
cat >{_WEBHOOK_FILE} <<'END'
apiVersion: v1
kind: Config
clusters:
- name: webhook
  cluster: {{server: "https://10.213.0.11:8444", certificate-authority: /etc/kubernetes/pki/oidc-ca.crt}}
users:
- name: api-server
  user:
    client-certificate: /etc/kubernetes/pki/apiserver-kubelet-client.crt
    client-key: /etc/kubernetes/pki/apiserver-kubelet-client.key
contexts:
- name: webhook
  context: {{cluster: webhook, user: api-server}}
current-context: webhook
END
echo '{{"opaque": "opaque", "unknown": "unknown"}}' >/root/tokens.json
"""
#: A plugin of the owner's, whose own file is named by its configuration.
PLUGIN = {
    "name": "ImagePolicyWebhook",
    "configuration": {
        "imagePolicy": {
            "kubeConfigFile": _WEBHOOK_FILE,
            "allowTTL": 1,
            "denyTTL": 1,
            "retryBackoff": 500,
            "defaultAllow": True,
        }
    },
    "files": [_WEBHOOK_FILE],
}


def who(cluster: Cluster) -> dict[str, Any]:
    said = json.loads(cluster.ssh("cp1", "python3 -", stdin=_WHO).stdout)
    assert isinstance(said, dict)
    return said


def configure(cluster: Cluster) -> None:
    """Set the flags as an owner does: in the manifest, and in kubeadm's ConfigMap."""
    config_map = cluster.objects("configmap", "kubeadm-config", "-n", "kube-system")
    listed = "".join(f"  - name: {name}\n    value: '{value}'\n" for name, value in FLAGS.items())
    text = config_map["data"]["ClusterConfiguration"].replace("apiServer: {}\n", "apiServer:\n  extraArgs:\n" + listed)
    assert ISSUER in text
    config_map["data"]["ClusterConfiguration"] = text
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(config_map))
    cluster.ssh("cp1", f"python3 - '{json.dumps(FLAGS)}'", stdin=_CONFIGURE)


def test_users_of_an_issuer_stay_who_they_are_when_its_flags_move(cluster: Cluster) -> None:
    cluster.ssh("cp1", f"python3 - {ISSUER}", stdin=_ISSUER)
    cluster.ssh("cp1", "cat >/root/server.py", stdin=_SERVER)
    cluster.ssh("cp1", "systemd-run --unit=issuer python3 /root/server.py")
    configure(cluster)
    wait_until("the issuer's tokens are accepted", 180, lambda: who(cluster)["member"][0] == 201, pause=2)
    before = who(cluster)
    assert before["member"][1]["username"] == f"{ISSUER}#ada"
    assert {"oidc:one", "oidc:two"} <= set(before["member"][1]["groups"])
    assert before["stranger"][0] == 401
    cluster.wait_quiet()

    product = Product(cluster)
    foretold = product.harden("--check", "--diff").well()
    done = product.harden("--diff").well()
    assert without_random(foretold.changes) == without_random(done.changes)

    manifest = cluster.ssh("cp1", f"cat {APISERVER}").stdout
    assert "--oidc-" not in manifest
    assert "--authentication-config=/etc/kubernetes/kubeharden/authentication.yaml" in manifest
    assert "oidc-" not in product.config_maps()["kubeadm-config"]["ClusterConfiguration"]
    (change,) = [change for change in done.changes if change["target"].endswith("/authentication.yaml")]
    assert f"+      url: {ISSUER}" in change["diff"]
    assert "stands in /etc/kubernetes/kubeharden/authentication.yaml from now on" in done.output
    wait_until("the issuer's tokens are accepted again", 60, lambda: who(cluster)["member"][0] == 201, pause=2)
    after = who(cluster)
    assert after["member"][1]["username"] == before["member"][1]["username"]
    assert sorted(after["member"][1]["groups"]) == sorted(before["member"][1]["groups"])
    assert after["stranger"][0] == 401

    again = product.harden().well()
    assert again.changes == []


def test_an_issuer_that_is_away_does_not_keep_the_server_from_starting(cluster: Cluster) -> None:
    product = Product(cluster)
    cluster.ssh("cp1", "systemctl stop issuer")
    run = product.harden(oidc_issuer_url="https://10.213.0.11:9443", oidc_client_id="kubernetes").well()
    assert {component for change in run.changes for component in change["restart"]} == {"kube-apiserver"}
    text = cluster.ssh("cp1", "cat /etc/kubernetes/kubeharden/authentication.yaml").stdout
    assert "url: https://10.213.0.11:9443" in text
    assert ISSUER not in text


def admits(cluster: Cluster, image: str) -> str:
    """What the API server says against a pod of that image, empty where nothing."""
    words = ("run", "asked", f"--image={image}", "--dry-run=server")
    return cluster.kubectl(*words, check=False).stderr


def test_the_owners_webhooks_are_asked(cluster: Cluster) -> None:
    """Of tokens and, by an admission plugin of his, of images; without, both images are admitted."""
    cluster.ssh("cp1", _LAY_WEBHOOKS, stdin=_WEBHOOKS)
    assert "denied" not in admits(cluster, "forbidden.example/x")
    given: dict[str, Any] = {
        "oidc_issuer_url": "https://10.213.0.11:9443",
        "oidc_client_id": "kubernetes",
        "token_webhook_config_file": _WEBHOOK_FILE,
        "admission_plugins_extra": [PLUGIN],
    }
    product = Product(cluster)
    run = product.harden("--diff", **given).well()
    assert {component for change in run.changes for component in change["restart"]} == {"kube-apiserver"}
    wait_until("the webhook's token is accepted", 60, lambda: who(cluster)["opaque"][0] == 201, pause=2)
    said = who(cluster)
    assert said["opaque"][1]["username"] == "bob"
    assert said["unknown"][0] == 401
    assert "denied one or more images: not ours" in admits(cluster, "forbidden.example/x")
    assert "denied" not in admits(cluster, "registry.example/x")
    assert product.harden(**given).well().changes == []
