# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts start from: the root file system, the node's own files, the images, and a containerd store with them."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
import uuid
from pathlib import Path

from lab.kubelab import components, hosts, session, state
from lab.kubelab.base import HERE, LabError, Stopwatch, cache_dir, run, wait_for
from lab.kubelab.cache import GIB, entry, key_of
from lab.kubelab.images import Image, Registry, make, write_layout

SUITE = "bookworm"
PACKAGES = (
    "ca-certificates conntrack containerd containernetworking-plugins curl dbus ethtool iproute2 iptables jq kmod "
    "nftables openssh-server procps python3 python3-apt python3-cryptography python3-yaml runc socat sudo systemd-sysv "
    "util-linux"
).split()

KEPT_PACKAGES = "python3-cffi-backend python3-cryptography libyaml-0-2 python3-yaml".split()
"""What a host may lack and must be able to install: an apt repository below ``LOCAL_REPOSITORY`` holds it."""

LOCAL_REPOSITORY = "var/lib/lab-packages"

TEST_IMAGE = "registry.lab.invalid/tools:1"
"""busybox's tools and the program ``probe``; no host has it, so each pull is a real one."""


def rootfs() -> Path:
    """The root file system that all hosts share, by mmdebstrap."""
    key = key_of(SUITE, *PACKAGES, *KEPT_PACKAGES, os.uname().release, 2)
    return entry("rootfs", SUITE, key, 2 * GIB, _make_rootfs) / "tree"


def _make_rootfs(target: Path) -> None:
    tree = target / "tree"
    download = f'cd "$1/{LOCAL_REPOSITORY}" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -q download'
    run(
        [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            f'--customize-hook=mkdir -p "$1/{LOCAL_REPOSITORY}"',
            f"--customize-hook={download} {' '.join(KEPT_PACKAGES)} busybox-static",
            SUITE,
            tree,
        ]
    )
    repository = tree / LOCAL_REPOSITORY
    (busybox,) = repository.glob("busybox-static_*.deb")
    run(["dpkg-deb", "--extract", busybox, target / "busybox"])
    busybox.unlink()
    _index(repository)
    (tree / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:/{LOCAL_REPOSITORY} ./\n", encoding="utf-8")
    run(["chroot", tree, "apt-get", "-qq", "update"])
    _built_in_modules(tree)


def _index(repository: Path) -> None:
    """The list of packages that apt reads."""
    paragraphs = []
    for package in sorted(repository.glob("*.deb")):
        fields = run(["dpkg-deb", "--field", package]).stdout.strip()
        checksum = run(["sha256sum", package]).stdout.split()[0]
        paragraphs.append(f"{fields}\nFilename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {checksum}\n")
    (repository / "Packages").write_text("\n".join(paragraphs), encoding="utf-8")


def _built_in_modules(tree: Path) -> None:
    """Let ``modprobe`` find what the machine's kernel has built in, as on an ordinary host."""
    folder = tree / "lib/modules" / os.uname().release
    folder.mkdir(parents=True)
    built_in = ("fs/overlayfs/overlay.ko", "net/bridge/br_netfilter.ko", "net/netfilter/nf_conntrack.ko")
    (folder / "modules.builtin").write_text("".join(f"kernel/{name}\n" for name in built_in), encoding="utf-8")
    (folder / "modules.order").touch()
    run(["chroot", tree, "depmod", os.uname().release])


def node(minor: str) -> Path:
    """What makes a host of that root file system a node of this version: ``layer``, ``store`` and ``registry``."""
    programs, tools, tree = components.programs(minor), components.tools(), rootfs()
    makers = [HERE / "node", HERE / "kubelab/images.py", HERE / "kubelab/prepare.py"]
    key = key_of(programs.name, tools.name, tree.parent.name, *makers)
    return entry("nodes", minor, key, 5 * GIB, lambda target: _make_node(minor, programs, tools, tree, target))


def _make_node(minor: str, programs: Path, tools: Path, tree: Path, target: Path) -> None:
    watch = Stopwatch()
    version = components.version_of(minor)
    with tempfile.TemporaryDirectory(prefix=".images-", dir=target) as folder:
        scratch = Path(folder)
        made = _images(minor, version, programs, tools, tree, scratch)
        test_image = _test_image(tree.parent / "busybox", tools, scratch / "tools")
        (target / "registry").mkdir()
        with Registry(target / "registry", scratch / "registry.yml") as registry:
            for image in [*made, test_image]:
                registry.push(image)
        tars = scratch / "tars"
        tars.mkdir()
        for image in made:
            write_layout(image, tars / f"{image.repository.replace('/', '_')}.tar")
        watch.lap("images")
        pause = next(image.reference for image in made if "/pause:" in image.reference)
        _layer(programs, pause, target / "layer")
        (target / "lock").touch()
        _fill_store(minor, tree, target, tars)
        watch.lap("containerd store")


def _layer(programs: Path, pause: str, layer: Path) -> None:
    """The files that a node's packages and its administrator have laid there."""
    shutil.copytree(HERE / "node", layer)
    configuration = layer / "etc/containerd/config.toml"
    configuration.write_text(configuration.read_text(encoding="utf-8").replace("@PAUSE@", pause), encoding="utf-8")
    mirror = (layer / "hosts.toml").read_text(encoding="utf-8").replace("@REGISTRY@", state.REGISTRY)
    (layer / "hosts.toml").unlink()
    default = layer / "etc/containerd/certs.d/_default"
    default.mkdir(parents=True)
    (default / "hosts.toml").write_text(mirror, encoding="utf-8")
    (layer / "usr/bin").mkdir()
    for program in ("kubeadm", "kubectl", "kubelet"):
        shutil.copy2(programs / program, layer / "usr/bin" / program)
    (layer / "etc/kubernetes/manifests").mkdir(parents=True)
    (layer / "opt/cni").mkdir(parents=True)
    (layer / "opt/cni/bin").symlink_to("/usr/lib/cni")
    for path in (layer, *layer.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)


def _images(minor: str, version: str, programs: Path, tools: Path, tree: Path, scratch: Path) -> list[Image]:
    """The images under the names that this version's kubeadm asks for.

    :raises LabError: it asks for another etcd or CoreDNS than ``modules/`` pins.
    """
    listed = run([programs / "kubeadm", "config", "images", "list", "--kubernetes-version", version]).stdout.split()
    pinned = {
        "etcd": components.required("etcd", minor, "go.etcd.io/etcd/server/v3"),
        "coredns": components.required("coredns", minor, "github.com/coredns/coredns"),
    }
    images = []
    for reference in listed:
        name, tag = reference.rsplit("/", 1)[1].split(":")
        if name in pinned and tag.removeprefix("v").split("-")[0] != pinned[name].removeprefix("v"):
            raise LabError(f"kubeadm {version} asks for {reference}, modules/{name}-{minor} pins {pinned[name]}")
        image_tree = scratch / name
        for folder in ("etc", "tmp", "usr/local/bin", "var"):
            (image_tree / folder).mkdir(parents=True)
        (image_tree / "etc/passwd").write_text("root:x:0:0::/:/bin/false\n", encoding="utf-8")
        entrypoint = f"/{name}" if name in {"pause", "coredns"} else f"/usr/local/bin/{name}"
        shutil.copy2((tools if name == "pause" else programs) / name, image_tree / entrypoint.lstrip("/"))
        if name == "etcd":
            for program in ("etcdctl", "etcdutl"):
                shutil.copy2(programs / program, image_tree / "usr/local/bin" / program)
        if name == "kube-proxy":
            _add_packet_filter(tree, image_tree)
        images.append(make(reference, image_tree, entrypoint))
    return images


def _test_image(busybox: Path, tools: Path, image_tree: Path) -> Image:
    (image_tree / "bin").mkdir(parents=True)
    (image_tree / "tmp").mkdir()
    program = next(path for path in busybox.rglob("busybox") if path.is_file() and os.access(path, os.X_OK))
    shutil.copy2(program, image_tree / "bin/busybox")
    for (
        applet
    ) in "cat date echo env false grep head id ls nslookup ps sh sleep sort tail test touch true wc wget".split():
        (image_tree / "bin" / applet).symlink_to("busybox")
    shutil.copy2(tools / "probe", image_tree / "bin/probe")
    return make(TEST_IMAGE, image_tree, "/bin/probe")


def _add_packet_filter(tree: Path, image_tree: Path) -> None:
    """kube-proxy calls iptables, nft and conntrack: the programs, their extensions, libraries and the loader."""
    libraries = "usr/lib/x86_64-linux-gnu"
    for folder in ("usr/sbin", libraries, "usr/lib64", "run"):
        (image_tree / folder).mkdir(parents=True, exist_ok=True)
    for name in ("lib", "lib64", "sbin"):
        (image_tree / name).symlink_to(f"usr/{name}")
    for program in ("xtables-nft-multi", "xtables-legacy-multi", "conntrack", "nft"):
        shutil.copy2(tree / "usr/sbin" / program, image_tree / "usr/sbin" / program)
    shutil.copytree(tree / libraries / "xtables", image_tree / libraries / "xtables", symlinks=True)
    for family in ("iptables", "ip6tables"):
        for action in ("", "-save", "-restore"):
            for name in (f"{family}{action}", f"{family}-nft{action}"):
                (image_tree / "usr/sbin" / name).symlink_to("xtables-nft-multi")
    needed = [path for folder in ("usr/sbin", f"{libraries}/xtables") for path in (image_tree / folder).iterdir()]
    inside = [f"/{path.relative_to(image_tree)}" for path in needed if not path.is_symlink()]
    listed = run(["chroot", tree, "ldd", *inside], check=False).stdout
    for library in sorted(set(re.findall(r"(/\S+\.so\S*) \(0x", listed))):
        target = image_tree / "usr" / library.removeprefix("/usr").lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tree / library.lstrip("/"), target)


def _fill_store(minor: str, tree: Path, target: Path, tars: Path) -> None:
    """Import the images once, in a host made for it: unpacking them on every new host takes half a minute each."""
    directory = Path(tempfile.mkdtemp(prefix=".filling-", dir=cache_dir()))
    host = state.Host("filler", f"{state.NETWORK}.9", "10.244.9.0/24", False)
    lower = [str(target / "layer"), str(tree)]
    lab = state.Lab(directory, f"lab-{uuid.uuid4().hex[:8]}", minor, "", lower, str(target), [host])
    lab.save()
    try:
        session.start(directory)
        run([HERE / "lab", "within", directory, HERE / "lab", "fill-store", directory, tars, target / "store"])
    finally:
        session.stop(directory)


def fill_store(directory: Path, tars: Path, store: Path) -> None:
    """Inside the lab made for it: start the host, import, stop, keep containerd's directory."""
    lab = state.load(directory)
    (host,) = lab.hosts
    make_keys(lab)
    hosts.install(lab, host)
    hosts.write_known_hosts(lab)
    hosts.start(lab, host)
    hosts.ssh(lab, host, ["systemctl", "start", "containerd"])
    wait_for("containerd", 30, lambda: hosts.ssh(lab, host, ["ctr", "version"], check=False).returncode == 0)
    for tar in sorted(tars.iterdir()):
        with tar.open("rb") as data:
            command = ["ssh", *hosts.ssh_options(lab), f"root@{host.address}", "ctr -n k8s.io images import -"]
            hosts.run_with_file(command, data)
    # The CRI plugin marks an image as its own when it hears of it.
    time.sleep(1)
    hosts.ssh(lab, host, ["systemctl", "stop", "containerd"])
    hosts.power_off(lab, host)
    run(["cp", "-a", hosts.disk(lab, host) / "data/containerd", store])


def make_keys(lab: state.Lab) -> None:
    """The key that opens every host."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", lab.identity, "-f", lab.directory / "id"])
