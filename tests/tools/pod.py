# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pod of docs/schedule.md without a cluster and without an image from elsewhere.

Its command runs as the manifest says: that user, no capability and no way to one, a root that cannot be written, the
volumes with the owners and modes that the kubelet gives them. What stands for the image has this machine's /usr, the
Python that runs the tests with its packages, the collection, and of /etc next to nothing. A kubelet's filter of system
calls, its network and its limits are not there.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tools.checkout import ROOT, copy_to
from tools.lacking import lacking

#: Ansible's program where an image would have it.
PROGRAM = "/opt/ansible/bin/ansible-playbook"
_PROGRAM = """\
#!/bin/sh
PYTHONPATH=/opt/ansible/site exec {python} -m ansible.cli.playbook "$@"
"""
#: What the container must ask for, and nothing else: each of it is done here, or said above not to be.
_OF_THE_POD = {"runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "seccompProfile"}
_OF_THE_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def manifest() -> str:
    """The CronJob of docs/schedule.md as it stands there."""
    text = (ROOT / "docs" / "schedule.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if "kind: CronJob" in block]
    return str(found)


def cronjob() -> dict[str, Any]:
    """The same as data."""
    job = yaml.safe_load(manifest())
    assert isinstance(job, dict)
    return job


class Pod:
    """The CronJob's pod, for as often as its command is run.

    Args:
        directory: Where its image and volumes are made.
        files: By name of a ConfigMap or Secret, the files in it.
    """

    def __init__(self, directory: Path, files: Mapping[str, Mapping[str, bytes]]) -> None:
        if os.geteuid() != 0:
            lacking("only root can start a process as another user, on a root of its own")
        template = cronjob()["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        (self._container,) = template["containers"]
        self._user = template["securityContext"]
        assert set(self._user) == _OF_THE_POD
        assert self._container["securityContext"] == _OF_THE_CONTAINER
        self._image = directory / "image"
        self._volumes = directory / "volumes"
        self._read_only = {mount["name"]: mount.get("readOnly", False) for mount in self._container["volumeMounts"]}
        for volume in template["volumes"]:
            self._fill(volume, files)
        self._binds = self._make_image(directory)

    @property
    def command(self) -> list[str]:
        """That of the container."""
        return list(self._container["command"])

    def volume(self, name: str) -> Path:
        """Where what lies in a volume can be seen from outside."""
        return self._volumes / name

    def give(self, name: str, source: Path) -> None:
        """Lay a directory in a volume, as if the pod had written it."""
        target = self.volume(name) / source.name
        shutil.copytree(source, target, symlinks=True)
        for path in (target, *target.rglob("*")):
            os.chown(path, self._user["runAsUser"], self._user["fsGroup"], follow_symlinks=False)

    def words(self, command: list[str]) -> list[str]:
        """What root starts to have a command run in the pod."""
        mounts = [("--bind", self._image, "", False)]
        mounts += [("--rbind", source, place, False) for place, source in self._binds.items()]
        for mount in self._container["volumeMounts"]:
            mounts.append(
                ("--bind", self.volume(mount["name"]), mount["mountPath"], not self._read_only[mount["name"]])
            )
        script = ["set -eu"]
        for how, source, place, _is_writable in mounts:
            script.append(shlex.join(["mount", how, str(source), f"{self._image}{place}"]))
        for _how, _source, place, is_writable in mounts:
            if not is_writable and place not in ("/dev", "/proc"):
                script.append(shlex.join(["mount", "-o", "remount,bind,ro", f"{self._image}{place}"]))
        user = ["setpriv", f"--reuid={self._user['runAsUser']}", f"--regid={self._user['runAsGroup']}"]
        user += [f"--groups={self._user['fsGroup']}", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        own = {entry["name"]: entry["value"] for entry in self._container["env"]}
        environment = {
            "PATH": f"{Path(PROGRAM).parent}:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": "/opt/ansible/collections",
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "1000",
            **own,
        }
        inside = ["env", "--ignore-environment", f"--chdir={self._container['workingDir']}"]
        inside += [*(f"{name}={value}" for name, value in environment.items()), *command]
        script.append("exec " + shlex.join(["chroot", str(self._image), *user, *inside]))
        return ["unshare", "--mount", "--propagation=private", "sh", "-c", "\n".join(script)]

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in the pod on this machine; standard output and error are one text."""
        return subprocess.run(
            self.words(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def _fill(self, volume: Mapping[str, Any], files: Mapping[str, Mapping[str, bytes]]) -> None:
        """Make a volume as the kubelet does for a pod with an fsGroup."""
        name, group = volume["name"], self._user["fsGroup"]
        place = self.volume(name)
        place.mkdir(parents=True)
        os.chown(place, 0, group)
        place.chmod(0o2777)
        if "emptyDir" in volume:
            return
        if "configMap" in volume:
            source, mode = volume["configMap"]["name"], volume["configMap"].get("defaultMode", 0o644)
        else:
            source, mode = volume["secret"]["secretName"], volume["secret"].get("defaultMode", 0o644)
        self._read_only[name] = True
        # A directory of which the files are links, so that all of them change at once.
        data = place / "..2026"
        data.mkdir()
        for file, content in files[source].items():
            (data / file).write_bytes(content)
            os.chown(data / file, 0, group)
            (data / file).chmod(mode | 0o440)
            (place / file).symlink_to(f"..data/{file}")
        (place / "..data").symlink_to("..2026")

    def _make_image(self, directory: Path) -> dict[str, Path]:
        """Lay what is the image's own; return what of this machine is seen in it, by place."""
        etc = {
            "etc/passwd": f"root:x:0:0::/root:/bin/sh\nansible:x:{self._user['runAsUser']}:0::/home/ansible:/bin/sh\n",
            "etc/group": "root:x:0:\n",
            PROGRAM[1:]: _PROGRAM.format(python=Path(sys.executable).resolve()),
        }
        for path, text in etc.items():
            (self._image / path).parent.mkdir(parents=True, exist_ok=True)
            (self._image / path).write_text(text, encoding="utf-8")
        (self._image / PROGRAM[1:]).chmod(0o755)
        shutil.copy2("/etc/ld.so.cache", self._image / "etc")
        collection = directory / "collection"
        copy_to(collection, leave_out=("tests/", "docs/", "inventories/"))
        binds = {
            "/usr": Path("/usr"),
            "/dev": Path("/dev"),
            "/proc": Path("/proc"),
            "/opt/ansible/site": Path(sysconfig.get_path("purelib")).resolve(),
            "/opt/ansible/collections/ansible_collections/kubeharden/core": collection,
        }
        if not Path(sys.base_prefix).is_relative_to("/usr"):
            binds[sys.base_prefix] = Path(sys.base_prefix)
        for name in ("bin", "sbin", "lib", "lib64"):
            if Path("/", name).is_symlink():
                (self._image / name).symlink_to(f"usr/{name}")
            elif Path("/", name).is_dir():
                binds[f"/{name}"] = Path("/", name)
        for place in (*binds, *(mount["mountPath"] for mount in self._container["volumeMounts"])):
            (self._image / place[1:]).mkdir(parents=True, exist_ok=True)
        return binds
