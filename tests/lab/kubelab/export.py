# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the demo's hosts: what a real kubeadm wrote on a lab's hosts, without keys, tokens and certificates.

For each host a directory with its files, and beside it ``<host>.attributes.yml``: each path of the host with type,
owner, group and mode, since git keeps none of these. A file whose content is a secret or a certificate stands in the
attributes only, with ``content: ""``. The lab's addresses become those of the documentation network 192.0.2.0/24.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import shutil
import sys
from pathlib import Path

from lab.kubelab import hosts, session, state
from lab.kubelab.base import HERE, LabError, main, say

LOOK = """
import base64, grp, json, os, pwd, stat, sys
found = {}
def look(path):
    status = os.lstat(path)
    kind = "link" if stat.S_ISLNK(status.st_mode) else "directory" if stat.S_ISDIR(status.st_mode) else "file"
    one = {"type": kind, "owner": pwd.getpwuid(status.st_uid).pw_name, "group": grp.getgrgid(status.st_gid).gr_name}
    if kind == "link":
        one["target"] = os.readlink(path)
    else:
        one["mode"] = "%04o" % stat.S_IMODE(status.st_mode)
    if kind == "file":
        with open(path, "rb") as file:
            one["base64"] = base64.b64encode(file.read()).decode()
    found[path] = one
for top in sys.argv[1:]:
    if not os.path.lexists(top.rstrip("/")):
        continue
    path = ""
    for part in top.strip("/").split("/"):
        path += "/" + part
        look(path)
    if os.path.isdir(top) and top.endswith("/"):
        for folder, folders, files in os.walk(top.rstrip("/")):
            for name in folders + files:
                look(os.path.join(folder, name))
print(json.dumps(found))
"""

TREES = (
    "/etc/cni/",
    "/etc/default/kubelet",
    "/etc/kubernetes/",
    "/etc/systemd/system/multi-user.target.wants/kubelet.service",
    "/lib",
    "/usr/lib/systemd/system/kubelet.service",
    "/usr/lib/systemd/system/kubelet.service.d/",
    "/var/lib/cni/networks",
    "/var/lib/etcd",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/instance-config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
    "/var/lib/kubelet/pki/",
)
"""A name that ends in a slash stands for everything below, any other for itself alone; parents always come along."""

SECRET = re.compile(r"/pki/|\.(?:crt|key|pem)$")
EMBEDDED = re.compile(
    r"^\s*(?:certificate-authority-data|client-certificate-data|client-key-data|token): .*\n", re.MULTILINE
)
EMPTY_USER = re.compile(r"^(  user:)$(?!\n    )", re.MULTILINE)
"""What is left of a user whose credentials were all embedded; null is no user."""


def export(lab: state.Lab, target: Path) -> None:
    """Write the demo's hosts below ``target``, replacing what was there."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for host in lab.hosts:
        found = json.loads(hosts.ssh(lab, host, ["python3", "-", *TREES], stdin=LOOK).stdout)
        lines = ["# SPDX-License-Identifier: GPL-3.0-or-later"]
        for path in sorted(found):
            attributes = found[path]
            data = attributes.pop("base64", None)
            if data is not None and SECRET.search(path):
                attributes["content"] = ""
            elif data is not None:
                file = target / host.name / path.lstrip("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(publish(base64.b64decode(data).decode()), encoding="utf-8")
            values = ", ".join(f"{key}: {json.dumps(value)}" for key, value in attributes.items())
            lines.append(f"{path}: {{{values}}}")
        (target / f"{host.name}.attributes.yml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def publish(text: str) -> str:
    """Take embedded credentials out, and put documentation addresses in."""
    text = EMPTY_USER.sub(r"\1 {}", EMBEDDED.sub("", text))
    if "BEGIN " in text or re.search(r"[A-Za-z0-9+/]{200}", text):
        raise LabError("a file that was thought harmless holds a certificate or a key")
    return text.replace(f"{state.NETWORK}.", "192.0.2.")


def command() -> int:
    parser = argparse.ArgumentParser(prog="export-demo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path, metavar="DIR", help="of a lab of three control planes and two workers")
    parser.add_argument("target", type=Path, metavar="TARGET", help="such as inventories/demo/hosts.orig; is replaced")
    options = parser.parse_args()
    directory = options.directory.resolve()
    if not state.inside(directory):
        session.enter(directory, [str(HERE / "export-demo"), *sys.argv[1:]])
    lab = state.load(directory)
    export(lab, options.target.resolve())
    say(f"lab: {len(lab.hosts)} hosts written to {options.target}")
    return 0


if __name__ == "__main__":
    main(command)
