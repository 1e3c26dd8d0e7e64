# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ConfigMaps through kubectl: credentials go by the kubeconfig's path, so that no secret is in an argument vector.

Requests are raw ones (``kubectl get --raw``): these need no discovery, so kubectl writes no cache below the home
directory.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Protocol
from urllib.parse import quote

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import mask

_WARNING = "Warning: "
#: What kubectl asks on its standard output where a kubeconfig has no credentials.
_PROMPT = "Please enter Username"

CANDIDATES = ("/usr/bin/kubectl", "/usr/local/bin/kubectl", "/opt/bin/kubectl", "/snap/bin/kubectl")


class Run(Protocol):
    """Runs a command; gives return code, standard output and standard error, as AnsibleModule.run_command does."""

    def __call__(self, args: list[str], *, data: str | None = None) -> tuple[int, str, str]: ...


@dataclass(frozen=True)
class ConfigMap:
    """A ConfigMap as the API server gave it. To change one: ``dataclasses.replace(config_map, data=...)``.

    ``document`` is the whole object; what is not ``data`` or ``annotations`` is sent back from there as it was.
    """

    name: str
    namespace: str
    data: dict[str, str]
    resource_version: str
    annotations: dict[str, str]
    document: dict[str, Any] = field(repr=False)

    def to_json(self) -> str:
        """The object to send, with the resourceVersion that it was read at."""
        metadata = {**self.document.get("metadata", {}), "resourceVersion": self.resource_version}
        if self.annotations or "annotations" in metadata:
            metadata["annotations"] = self.annotations
        return json.dumps({**self.document, "metadata": metadata, "data": self.data})


class Kubectl:
    """The program ``path`` with the credentials in the file ``kubeconfig_path``; ``run`` starts it.

    ``timeout`` in seconds is what kubectl allows for one request. Every method raises HardeningError with a sentence.
    """

    def __init__(self, path: str, kubeconfig_path: str, run: Run, timeout: int = 20) -> None:
        self.path = path
        self.kubeconfig_path = kubeconfig_path
        self._run = run
        self._timeout = timeout

    def get_config_map(self, namespace: str, name: str) -> ConfigMap | None:
        """The ConfigMap, or None when there is none of that name."""
        what = f"ConfigMap {namespace}/{name}"
        code, output, error = self._kubectl(["get", "--raw", _address(namespace, name)])
        if code != 0:
            if "(NotFound)" in error:
                return None
            raise HardeningError("KH123", self._sentence(f"{what} cannot be read", output + error))
        try:
            document = json.loads(output)
            metadata = document["metadata"]
            return ConfigMap(
                name=metadata["name"],
                namespace=metadata["namespace"],
                data=document.get("data") or {},
                resource_version=metadata["resourceVersion"],
                annotations=metadata.get("annotations") or {},
                document=document,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise HardeningError(
                "KH123",
                f"{what} cannot be read: {self.path} gave something that is no ConfigMap. "
                "Nothing was changed; see that it is kubectl.",
            ) from None

    def list_objects(self, address: str) -> list[dict[str, Any]]:
        """The items of a list, by its address (``/apis/rbac.authorization.k8s.io/v1/clusterrolebindings``)."""
        code, output, error = self._kubectl(["get", "--raw", address])
        if code != 0:
            # A list that was cut in the middle is on the standard output, and may be one of Secrets.
            words = output + error if output.startswith(_PROMPT) else error
            raise HardeningError("KH123", self._sentence(f"{address} cannot be read", words))
        try:
            items = json.loads(output)["items"] or []  # an empty list may be null
            return [item for item in items if isinstance(item, dict)]
        except (ValueError, KeyError, TypeError):
            raise HardeningError(
                "KH123",
                f"{address} cannot be read: {self.path} gave something that is no list. "
                "Nothing was changed; see that it is kubectl.",
            ) from None

    def warnings_of_labels(self, namespace: Mapping[str, Any], labels: Mapping[str, str]) -> list[str] | None:
        """What the API server warns of, were these labels set on a namespace of a list; None where it is gone by now.

        A dry run: the server admits the change, and writes nothing.
        """
        metadata = namespace["metadata"]
        name = metadata["name"]
        changed = {**metadata, "labels": {**(metadata.get("labels") or {}), **labels}}
        # Somebody else may write it meanwhile, which is no matter here.
        changed.pop("resourceVersion", None)
        document = json.dumps({"apiVersion": "v1", "kind": "Namespace", **namespace, "metadata": changed})
        address = f"/api/v1/namespaces/{quote(name, safe='')}?dryRun=All"
        code, output, error = self._kubectl(["replace", "--raw", address, "-f", "-"], document)
        if code == 0:
            return [line[len(_WARNING) :] for line in error.splitlines() if line.startswith(_WARNING)]
        if "(NotFound)" in error:
            return None
        raise HardeningError(
            "KH123",
            self._sentence(f"Namespace {name} cannot be asked which of its pods Pod Security refuses", output + error)
            + f" Nothing was changed; a label {next(iter(labels))} of its own on the namespace makes the question "
            "unnecessary.",
        )

    def get_object(self, address: str, what: str) -> dict[str, Any] | None:
        """The object at an address, or None when there is none; ``what`` is what a sentence calls it."""
        code, output, error = self._kubectl(["get", "--raw", address])
        if code != 0:
            if "(NotFound)" in error:
                return None
            raise HardeningError("KH123", self._sentence(f"{what} cannot be read", output + error))
        try:
            document = json.loads(output)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise HardeningError(
                "KH123",
                f"{what} cannot be read: {self.path} gave something that is no object. "
                "Nothing was changed; see that it is kubectl.",
            )
        return document

    def try_get(self, address: str) -> str | None:
        """What an address answers, or None when the answer is a refusal or an error: for what is asked until it is."""
        code, output, _error = self._kubectl(["get", "--raw", address])
        return output if code == 0 else None

    def replace_object(self, address: str, what: str, document: dict[str, Any]) -> bool:
        """Writes an object, if nobody else wrote it since it was read (its resourceVersion); says whether it did."""
        code, output, error = self._kubectl(["replace", "--raw", address, "-f", "-"], json.dumps(document))
        if code == 0:
            return True
        if "(Conflict)" in error:
            return False
        raise HardeningError("KH124", self._sentence(f"{what} cannot be written and is as it was", output + error))

    def create_object(self, address: str, what: str, document: dict[str, Any]) -> None:
        """Makes an object below the address of its kind; what it holds goes by kubectl's standard input.

        What the API server answers is let go of: it repeats the object, which may be a secret.
        """
        code, _output, error = self._kubectl(["create", "--raw", address, "-f", "-"], json.dumps(document))
        if code != 0:
            raise HardeningError("KH124", self._sentence(f"{what} was not made", error))

    def remove_object(self, address: str, what: str, uid: str) -> None:
        """Removes an object, if it is still the one of that uid; well where it is gone, or another has its name."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        code, _output, error = self._kubectl(["delete", "--raw", address, "-f", "-"], json.dumps(options))
        if code != 0 and "(NotFound)" not in error and "(Conflict)" not in error:
            raise HardeningError("KH124", self._sentence(f"{what} was not removed", error))

    def approve(self, request: dict[str, Any], reason: str, message: str) -> bool:
        """Approves a CertificateSigningRequest, as it was read and judged; says whether it did.

        One that somebody has changed or removed since is left: the judgement was of another.
        """
        name = request["metadata"]["name"]
        condition = {"type": "Approved", "status": "True", "reason": reason, "message": message}
        status = {**(request.get("status") or {}), "conditions": [condition]}
        address = f"/apis/certificates.k8s.io/v1/certificatesigningrequests/{quote(name, safe='')}/approval"
        document = json.dumps(
            {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", **request, "status": status}
        )
        code, output, error = self._kubectl(["replace", "--raw", address, "-f", "-"], document)
        if code == 0:
            return True
        if "(Conflict)" in error or "(NotFound)" in error:
            return False
        raise HardeningError(
            "KH124", self._sentence(f"CertificateSigningRequest {name} was not approved", output + error)
        )

    def certify(self, request: dict[str, Any], certificate: bytes) -> bool:
        """Lays a certificate with its chain (PEM) in an approved CertificateSigningRequest, as a signer does.

        Says whether it did: one that somebody has changed since it was read is left.
        """
        name = request["metadata"]["name"]
        status = {**(request.get("status") or {}), "certificate": base64.b64encode(certificate).decode("ascii")}
        document = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            **request,
            "status": status,
        }
        address = f"/apis/certificates.k8s.io/v1/certificatesigningrequests/{quote(name, safe='')}/status"
        return self.replace_object(address, f"The certificate of CertificateSigningRequest {name}", document)

    def replace_config_map(self, config_map: ConfigMap) -> None:
        """Writes the ConfigMap, if nobody else wrote it since it was read."""
        what = f"ConfigMap {config_map.namespace}/{config_map.name}"
        address = _address(config_map.namespace, config_map.name)
        if not self.replace_object(address, what, json.loads(config_map.to_json())):
            raise HardeningError(
                "KH125",
                f"{what} was changed by someone else since this run read it; it was left as it is now. Run again.",
            )

    def _kubectl(self, arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        general = [f"--kubeconfig={self.kubeconfig_path}", f"--request-timeout={self._timeout}s"]
        return self._run([self.path, *general, *arguments], data=data)

    def _sentence(self, beginning: str, error: str) -> str:
        for pattern, sentence in _MEANINGS:
            if re.search(pattern, error):
                return f"{beginning}: " + sentence.format(kubeconfig=self.kubeconfig_path, words=_last_line(error))
        return f"{beginning}: kubectl says {_last_line(error)!r} (kubeconfig {self.kubeconfig_path})."


def find_kubectl(candidates: Iterable[str] = CANDIDATES, exists: Callable[[str], bool] | None = None) -> str:
    """The first candidate that can be run; ``exists`` says so of a path (default: a file with the execute bit)."""
    tried = list(candidates)
    for path in tried:
        if (exists or _executable)(path):
            return path
    raise HardeningError(
        "KH119",
        f"There is no kubectl on this host (looked for {', '.join(tried)}). "
        "Nothing was changed; install it, or set kubeharden_kubectl to its path.",
    )


def on_host(program: str | None, kubeconfig_path: str, run: Run) -> Kubectl:
    """The kubectl that is named, else that of the usual places, with a kubeconfig."""
    return Kubectl(find_kubectl([program] if program else CANDIDATES), kubeconfig_path, run)


# What kubectl says (client-go's and the API server's words), and what it means for the reader; the first match counts.
_MEANINGS = (
    (
        r"x509: certificate has expired or is not yet valid",
        (
            "the API server's certificate has expired or the clocks differ (kubeconfig {kubeconfig}). "
            "kubectl says {words!r}."
        ),
    ),
    (
        r"\(Unauthorized\)|must be logged in|asked for the client to provide credentials",
        (
            "the API server does not accept the credentials in {kubeconfig}: they have expired or are of "
            "another cluster. Renew them (kubeadm: `kubeadm certs renew admin.conf`) and run again."
        ),
    ),
    (r"\(Forbidden\)", "the user of {kubeconfig} may not do this. The API server says {words!r}."),
    (
        r"was refused|connection refused",
        (
            "the API server that {kubeconfig} names refuses connections: it is not running or not yet. "
            "kubectl says {words!r}."
        ),
    ),
    (
        r"handshake timeout|deadline exceeded|Client\.Timeout|i/o timeout|\(Timeout\)|timed out",
        "the API server that {kubeconfig} names does not answer in time. kubectl says {words!r}.",
    ),
    (
        r"x509:|to the server: tls:",
        "the connection to the API server that {kubeconfig} names is not to be trusted: {words!r}.",
    ),
    (r"\(NotFound\)", "it is no longer there. The API server says {words!r}."),
    (
        r"error loading config file|no configuration has been provided|no such file|Error in configuration",
        "{kubeconfig} is no kubeconfig that kubectl can use: {words!r}.",
    ),
    (_PROMPT, "{kubeconfig} has no credentials for the user of its current context."),
)


def _address(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/configmaps/{quote(name, safe='')}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return mask(lines[-1]) if lines else "nothing"


def _executable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)
