# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of one layer: as an OCI layout in a tar, which containerd imports, and in a registry."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import io
import json
import socket
import subprocess
import tarfile
from pathlib import Path

from lab.kubelab.base import LabError, wait_for

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


@dataclasses.dataclass
class Image:
    """An image: its full name with tag, and the bytes of its three parts."""

    reference: str
    layer: bytes
    config: bytes
    manifest: bytes

    @property
    def repository(self) -> str:
        """The name below its registry, without the tag."""
        return self.reference.split("/", 1)[1].rsplit(":", 1)[0]

    @property
    def tag(self) -> str:
        return self.reference.rsplit(":", 1)[1]


def make(reference: str, tree: Path, entrypoint: str) -> Image:
    """The same bytes for the same tree: owners, groups and times are left out."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        return info

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(tree.iterdir()):
            archive.add(path, path.name, filter=plain)
    layer = buffer.getvalue()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [entrypoint], "Env": [f"PATH={SEARCH_PATH}"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, config),
            "layers": [_descriptor(LAYER, layer)],
        }
    ).encode()
    return Image(reference, layer, config, manifest)


def write_layout(image: Image, path: Path) -> None:
    """Write the image as a tar that ``ctr images import`` reads."""
    entry = _descriptor(MANIFEST, image.manifest)
    entry["annotations"] = {
        "io.containerd.image.name": image.reference,
        "org.opencontainers.image.ref.name": image.tag,
    }
    entry["platform"] = {"os": "linux", "architecture": "amd64"}
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
    }
    for blob in (image.config, image.manifest, image.layer):
        files["blobs/sha256/" + _digest(blob).split(":")[1]] = blob
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


class Registry:
    """Debian's docker-registry over a directory, for as long as the ``with`` block lasts."""

    def __init__(self, storage: Path, configuration: Path, address: str = "127.0.0.1", port: int = 0) -> None:
        self.address, self.port = address, port or _free_port(address)
        configuration.write_text(registry_configuration(storage, f"{address}:{self.port}"), encoding="utf-8")
        self._configuration = configuration

    def __enter__(self) -> Registry:
        with open(f"{self._configuration}.log", "ab") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", self._configuration], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_for("docker-registry", 20, lambda: listens(self.address, self.port))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def push(self, image: Image) -> None:
        """Put an image into the registry under its name and tag.

        :raises LabError: the registry refused a part.
        """
        for blob in (image.config, image.layer):
            location = self._ask("POST", f"/v2/{image.repository}/blobs/uploads/", b"", {}, 202)
            separator = "&" if "?" in location else "?"
            target = location.split(str(self.port), 1)[-1] + f"{separator}digest={_digest(blob)}"
            self._ask("PUT", target, blob, {"Content-Type": "application/octet-stream"}, 201)
        path = f"/v2/{image.repository}/manifests/{image.tag}"
        self._ask("PUT", path, image.manifest, {"Content-Type": MANIFEST}, 201)

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str], expected: int) -> str:
        connection = http.client.HTTPConnection(self.address, self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != expected:
            raise LabError(f"registry: {method} {path}: {answer.status} {text[:300]!r}")
        return answer.headers.get("Location") or ""


def registry_configuration(storage: Path, listen: str) -> str:
    """What docker-registry reads: plain HTTP, no cache, no access control."""
    return (
        "version: 0.1\nlog:\n  level: warn\n  accesslog:\n    disabled: true\n"
        f"storage:\n  filesystem:\n    rootdirectory: {storage}\n"
        f"http:\n  addr: {listen}\n  secret: the registry runs alone and keeps no secret\n"
    )


def listens(address: str, port: int) -> bool:
    """Does someone accept connections there?"""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((address, port)) == 0


def _free_port(address: str) -> int:
    with socket.socket() as server:
        server.bind((address, 0))
        port: int = server.getsockname()[1]
        return port
