# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What verify reads of the API, on one control plane: objects are judged where they were read, so that only findings
travel. Read, never changed; what may not be read is said, with the API server's own word."""

from __future__ import annotations

import base64
import concurrent.futures
import functools
import json
import os
import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.components.kubelet import SECRET_FIELDS
from ansible_collections.kubeharden.core.plugins.module_utils.controls import api_fields, api_findings, kube_proxy
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.pki import listing
from ansible_collections.kubeharden.core.plugins.module_utils.probes import kubeconfig as kubeconfig_files
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import (
    TOO_LARGE,
    Answer,
    ApiClient,
)
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubeconfig import Kubeconfig
from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import MASK, mask_named
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence import image_version, version_in
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_files import certificate_entry
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_ports import own_server
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import (
    View,
    explained,
    lacking_privilege,
)

SCHEMA = 1
#: Seconds that one request may take, and those for objects and for kubelets' configurations together.
REQUEST_LIMIT = 10.0
OBJECTS_LIMIT = 60.0
KUBELETS_LIMIT = 60.0
#: Kubelets that are asked at a time: one that is switched off takes its limit, and the others have no less for it.
_KUBELETS_AT_ONCE = 8
#: Objects a request: an answer is read up to a limit (api_client.LARGEST_ANSWER), and less is asked for above it.
_PAGE = 40

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_LISTS = {
    "clusterroles": f"{_RBAC}/clusterroles",
    "roles": f"{_RBAC}/roles",
    "clusterrolebindings": f"{_RBAC}/clusterrolebindings",
    "rolebindings": f"{_RBAC}/rolebindings",
    "serviceaccounts": "/api/v1/serviceaccounts",
    "pods": "/api/v1/pods",
    "namespaces": "/api/v1/namespaces",
    "networkpolicies": "/apis/networking.k8s.io/v1/networkpolicies",
    "tokens": "/api/v1/namespaces/kube-system/secrets?fieldSelector=type%3Dbootstrap.kubernetes.io%2Ftoken",
    "account_tokens": "/api/v1/secrets?fieldSelector=type%3Dkubernetes.io%2Fservice-account-token",
}
_STRANGE = "the answer is not what it should be"
#: Of these the names are enough, so that no token is sent.
_NAMES_ALONE = ("account_tokens",)
_METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
_CONFIG_MAPS = {
    "kubeadm_config": ("kube-system/kubeadm-config", "ClusterConfiguration"),
    "kubelet_config": ("kube-system/kubelet-config", "kubelet"),
}
#: Where pods find the cluster's authorities (the controller manager copies it to every namespace), and joining nodes.
_ROOT = ("kube-system/kube-root-ca.crt", "ca.crt")
_JOIN = ("kube-public/cluster-info", "kubeconfig")
#: How kube-proxy finds the API server, where it is run as kubeadm runs it.
_PROXY = ("kube-system/kube-proxy", "kubeconfig.conf")
#: Of the kubelet's configuration, nothing is secret; these say nothing that is judged.
_NOT_KEPT = ("logging", "memorySwap", "containerRuntimeEndpoint", "imageServiceEndpoint")


def credentials(path: str) -> Kubeconfig:
    """Return those of a kubeconfig.

    Raises:
        HardeningError: They cannot be read or used; where only a right is missing, with that right.
    """
    try:
        return kubeconfig_files.load(path)
    except HardeningError as error:
        privilege = "" if os.geteuid() == 0 else lacking_privilege()
        raise HardeningError(error.number, explained(error, privilege)) from None


def server_of(host: Host, proc: str = "/proc") -> str:
    """Return where the API server of a host itself is reached, empty where none is seen to run there.

    The server that a kubeconfig names may be another control plane, or a name of one, and be down.
    """
    view = View(host, proc)
    view.see_processes()
    return own_server(view)


class ClusterCollector:
    """Asks one API server.

    Args:
        client: With the administrator's credentials, or those of somebody who may only read.
        now: Seconds since 1970.
        clock: Seconds that only go forward.
    """

    def __init__(self, client: ApiClient, now: float, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._now = now
        self._clock = clock
        self._end = clock() + OBJECTS_LIMIT
        self._addresses: dict[str, list[dict[str, str]]] = {}
        self._kubelets: dict[str, str] = {}

    @classmethod
    def of(cls, kubeconfig: Kubeconfig, now: float, server: str = "") -> ClusterCollector:
        """Return a collector with these credentials.

        Args:
            kubeconfig: The credentials.
            now: Seconds since 1970.
            server: The API server to ask, one of kubeadm's; empty for the kubeconfig's own.
        """
        name = "kubernetes" if server else None
        return cls(ApiClient(kubeconfig, server or None, REQUEST_LIMIT, verify_hostname=name), now)

    def collect(self) -> dict[str, t.Any]:
        """Return findings, kubeadm's ConfigMaps and what kubelets report of themselves."""
        read: dict[str, list[api_findings.Object]] = {}
        problems: dict[str, str] = {}
        for name, path in _LISTS.items():
            try:
                keep = _token if name == "tokens" else functools.partial(api_fields.kept, name)
                read[name] = self._list(path, keep, _METADATA if name in _NAMES_ALONE else "")
            except HardeningError as error:
                problems[name] = str(error)
        texts: dict[str, t.Any] = {}
        for key, (name, field) in _CONFIG_MAPS.items():
            try:
                texts[key] = mask_named(self._config_map(name, field))
            except HardeningError as error:
                problems[key] = str(error)
        return {
            "schema": SCHEMA,
            "findings": {**_findings(read, problems), **self._of_kube_proxy(read, problems)},
            "kube_proxy": _kube_proxy_versions(read.get("pods") or []),
            "trusted": self._trusted(problems),
            "configz": self._configz(problems),
            "addresses": self._addresses,
            "kubelets": self._kubelets,
            "problems": {key: words for key, words in problems.items() if key not in _LISTS},
            **texts,
        }

    def _ask(self, path: str, accept: str = "") -> Answer:
        if self._clock() >= self._end:
            raise HardeningError("KH502", f"{path} was not asked for: there was no time left")
        return self._client.get(path, accept) if accept else self._client.get(path)

    def _get(self, path: str, accept: str = "") -> t.Any:
        return self._content(path, self._ask(path, accept))

    @staticmethod
    def _content(path: str, answer: Answer) -> t.Any:
        if answer.status != 200:
            raise HardeningError("KH502", f"{path} could not be read: {_words(answer)}")
        try:
            return json.loads(answer.body)
        except ValueError:
            raise HardeningError("KH502", f"{path} could not be read: the answer is no JSON") from None

    def _list(
        self, path: str, keep: t.Callable[[api_findings.Object], api_findings.Object], accept: str = ""
    ) -> list[api_findings.Object]:
        """Return all objects of a list, of each what is kept as soon as its page was read."""
        items: list[api_findings.Object] = []
        sign = "&" if "?" in path else "?"
        token, limit = "", _PAGE
        while True:
            more = f"&continue={token}" if token else ""
            asked = f"{path}{sign}limit={limit}{more}"
            answer = self._ask(asked, accept)
            if answer.reason == TOO_LARGE and limit > 1:
                limit //= 2  # Nodes with long lists of images, say
                continue
            page = self._content(asked, answer)
            found = _listed(page)
            if found is None:
                raise HardeningError("KH502", f"{path} could not be read: {_STRANGE}")
            items += map(keep, found)
            token = str((page.get("metadata") or {}).get("continue") or "")
            if not token:
                return items

    def _config_map(self, place: str, field: str) -> str:
        namespace, _slash, name = place.partition("/")
        if self._clock() >= self._end:
            raise HardeningError("KH502", f"ConfigMap {place} was not asked for: there was no time left")
        answer = self._client.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        if answer.status == 404:
            return ""
        if answer.status != 200:
            raise HardeningError("KH502", f"ConfigMap {place} could not be read: {_words(answer)}")
        try:
            return str((json.loads(answer.body).get("data") or {}).get(field) or "")
        except (ValueError, AttributeError):
            raise HardeningError("KH502", f"ConfigMap {place} could not be read: {_STRANGE}") from None

    def _of_kube_proxy(
        self, read: t.Mapping[str, t.Sequence[api_findings.Object]], problems: t.Mapping[str, str]
    ) -> dict[str, dict[str, t.Any]]:
        """Return how kube-proxy trusts the API server and what it may do there, judged here: its kubeconfig stays."""
        return {
            "kube_proxy_kubeconfig": self._kubeconfig_of_kube_proxy(),
            "kube_proxy_rights": _rights_of_kube_proxy(read, problems),
        }

    def _kubeconfig_of_kube_proxy(self) -> dict[str, t.Any]:
        try:
            text = self._config_map(*_PROXY)
        except HardeningError as error:
            return {"findings": [], "problem": str(error)}
        if not text:
            return {"findings": [], "problem": f"ConfigMap {_PROXY[0]} has no {_PROXY[1]}", "absent": True}
        found = [f"{_PROXY[1]} of ConfigMap {_PROXY[0]}: {words}" for words in kube_proxy.kubeconfig_problems(text)]
        return {"findings": found, "problem": "", "looked_at": 1}

    def _trusted(self, problems: dict[str, str]) -> list[dict[str, t.Any]]:
        """Return the authorities that the API hands out."""
        found = []
        try:
            texts = {
                f"ConfigMap {_ROOT[0]}": self._config_map(*_ROOT).encode(),
                f"ConfigMap {_JOIN[0]}": _authority_of(self._config_map(*_JOIN), _JOIN[0]),
            }
            for where, data in texts.items():
                found += [certificate_entry(one, where, kind, self._now) for one, kind in listing.kinds_of(data, where)]
        except HardeningError as error:
            problems["trusted"] = str(error)
        return found

    def _configz(self, problems: dict[str, str]) -> dict[str, dict[str, t.Any]]:
        """Return by node what its kubelet reports, through the API server's proxy."""
        try:
            nodes = self._list("/api/v1/nodes", functools.partial(api_fields.kept, "nodes"))
        except HardeningError as error:
            problems["nodes"] = str(error)
            return {}
        self._addresses = _addresses_of(nodes)
        self._kubelets = {api_findings.name_of(node): _version_of_kubelet(node) for node in nodes}
        self._end = self._clock() + KUBELETS_LIMIT
        names = [str((node.get("metadata") or {}).get("name")) for node in sorted(nodes, key=_is_ready, reverse=True)]
        with concurrent.futures.ThreadPoolExecutor(_KUBELETS_AT_ONCE) as pool:
            return dict(zip(names, pool.map(self._of_kubelet, names)))

    def _of_kubelet(self, node: str) -> dict[str, t.Any]:
        """Return what the kubelet of a node reports, or why it does not."""
        try:
            said = self._get(f"/api/v1/nodes/{node}/proxy/configz")["kubeletconfig"]
            kept = {key: value for key, value in said.items() if key not in _NOT_KEPT}
            # As the ConfigMap's text has them, with which they are compared.
            return {"configuration": {**kept, **dict.fromkeys(SECRET_FIELDS & kept.keys(), MASK)}}
        except (HardeningError, KeyError, TypeError, AttributeError) as error:
            return {"problem": str(error) if isinstance(error, HardeningError) else "its answer is no configuration"}


def _is_ready(node: api_findings.Object) -> bool:
    """Return whether a node is not known to be away; the kubelet of one that is may still answer."""
    status = node.get("status")
    conditions = status.get("conditions") if isinstance(status, dict) else None
    said = [one.get("status") for one in conditions or [] if isinstance(one, dict) and one.get("type") == "Ready"]
    return said in ([], ["True"])


def _version_of_kubelet(node: api_findings.Object) -> str:
    """Return the version that a node's kubelet has told the API, empty where it has told none."""
    try:
        return version_in(str(node["status"]["nodeInfo"]["kubeletVersion"]))
    except (LookupError, TypeError):
        return ""  # it has never run, or is no node


def _addresses_of(nodes: t.Sequence[api_findings.Object]) -> dict[str, list[dict[str, str]]]:
    """Return by node under which names and addresses it is known to the API, in their order."""
    found: dict[str, list[dict[str, str]]] = {}
    for node in nodes:
        status = node.get("status")
        addresses = status.get("addresses") if isinstance(status, dict) else None
        found[api_findings.name_of(node)] = [
            {"type": str(one.get("type")), "address": str(one.get("address"))}
            for one in (addresses if isinstance(addresses, list) else [])
            if isinstance(one, dict) and one.get("address")
        ]
    return found


def _authority_of(text: str, place: str) -> bytes:
    """Return the authorities (PEM) in a kubeconfig without credentials, as it is given to nodes that join.

    Raises:
        HardeningError: It is no kubeconfig.
    """
    if not text:
        return b""
    try:
        clusters = yaml_data.load(text)["clusters"]
        return b"\n".join(base64.b64decode(one["cluster"]["certificate-authority-data"]) for one in clusters)
    except (yaml_data.NoYamlError, LookupError, TypeError, ValueError):  # binascii.Error is such
        raise HardeningError("KH502", f"ConfigMap {place} could not be read: {_STRANGE}") from None


def _listed(page: t.Any) -> list[api_findings.Object] | None:
    """Return the objects of a list, None for what is none; each of them has metadata, as all that the API lists has."""
    if not isinstance(page, dict) or not isinstance(page.get("metadata") or {}, dict):
        return None
    items = page.get("items") or []
    if not isinstance(items, list):
        return None
    whole = all(isinstance(one, dict) and isinstance(one.get("metadata") or {}, dict) for one in items)
    return items if whole else None


def _words(answer: Answer) -> str:
    """Return the API server's own reason; a Status says it in a sentence."""
    if not answer.status:
        return str(answer.reason)
    try:
        message = str(json.loads(answer.body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status}"
    return f"HTTP {answer.status}, {message}"


def _token(secret: api_findings.Object) -> dict[str, str]:
    """Return the public half of a bootstrap token and when it ends; its secret half is let go of here."""
    data = secret.get("data")
    data = data if isinstance(data, dict) else {}
    try:
        expires = base64.b64decode(str(data.get("expiration") or "")).decode("ascii")
        name = base64.b64decode(str(data.get("token-id") or "")).decode("ascii")
    except ValueError:  # binascii.Error and UnicodeDecodeError are such
        expires, name = "", api_findings.name_of(secret)
    return {"id": name, "expires": expires}


def _kube_proxy_versions(pods: t.Sequence[api_findings.Object]) -> dict[str, str]:
    """Return by node the version that the image of its kube-proxy says, empty where its tag is none.

    The image alone knows it: a program out of a container is not started on the host to be asked.
    """
    found = {}
    for pod in pods:
        metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
        try:
            if metadata.get("namespace") != "kube-system" or metadata["labels"]["k8s-app"] != "kube-proxy":
                continue
            image = str(spec["containers"][0]["image"])
        except (LookupError, TypeError):
            continue  # it has no such label, or is no pod
        found[str(spec.get("nodeName"))] = image_version(image)
    return found


def _rights_of_kube_proxy(
    read: t.Mapping[str, t.Sequence[api_findings.Object]], problems: t.Mapping[str, str]
) -> dict[str, t.Any]:
    needs = ("clusterrolebindings", "rolebindings")
    unread = [problems[name] for name in needs if name in problems]
    if unread:
        return {"findings": [], "problem": unread[0]}
    bindings = [one for name in needs for one in read[name]]
    try:
        found = kube_proxy.foreign_bindings(bindings)
    except (AttributeError, LookupError, TypeError):
        return {"findings": [], "problem": f"{', '.join(needs)}: {_STRANGE}"}
    return {"findings": found, "problem": "", "looked_at": len(bindings)}


def _findings(
    read: t.Mapping[str, t.Sequence[api_findings.Object]], problems: t.Mapping[str, str]
) -> dict[str, dict[str, t.Any]]:
    found: dict[str, dict[str, t.Any]] = {}
    for check, needs in api_findings.NEEDS.items():
        unread = [problems[name] for name in needs if name in problems]
        if unread:
            found[check] = {"findings": [], "problem": unread[0]}
        else:
            looked_at = sum(len(read[name]) for name in needs)
            try:
                found[check] = {"findings": api_findings.find(check, read), "problem": "", "looked_at": looked_at}
            except (AttributeError, LookupError, TypeError, ValueError):
                # No API server has such objects; what answers in its place may.
                found[check] = {"findings": [], "problem": f"{', '.join(needs)}: {_STRANGE}"}
    return found
