#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pki_info
short_description: List every certificate and kubeconfig of a host
version_added: 0.1.0
description:
  - Reads the directories in which Kubernetes and etcd keep certificates, and the files elsewhere that running
    components use, and says of each certificate whose it is, who issued it, for which names and uses, how long it
    lasts, whether the key beside it belongs to it, and what uses it.
  - Private keys are read on the host to compare them with their certificates. No byte of one is returned or logged.
  - Changes nothing.
options:
  directories:
    description:
      - Where to look, with everything below. A directory that does not exist is passed over.
      - With directories of your own, files elsewhere are not listed, used or not.
    type: list
    elements: path
    default: [/etc/kubernetes, /var/lib/kubelet/pki, /etc/etcd, /etc/ssl/etcd, /var/lib/etcd/pki]
  root:
    description: A directory that stands for the host's C(/), for a demo or an image.
    type: path
    default: /
attributes:
  check_mode:
    description: Can run in check mode and says the same there, since it changes nothing.
    support: full
  diff_mode:
    description: Returns no differences, since it changes nothing.
    support: none
  platform:
    description: Where it runs.
    platforms: posix
    support: full
seealso:
  - plugin: kubeharden.core.pki_info
    plugin_type: filter
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: List the certificates of this host
  kubeharden.core.pki_info:
  register: pki

- name: Show what ends within 30 days
  ansible.builtin.debug:
    msg: "{{ item.path }} of {{ item.subject }} ends on {{ item.not_after }}"
  loop: "{{ pki.certificates | selectattr('days_left', 'defined') | selectattr('days_left', 'lt', 30) }}"
  loop_control:
    label: "{{ item.path }}"
"""

RETURN = r"""
certificates:
  description: One entry for each certificate, and one for each file that holds certificates but cannot be read.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: "What kubeadm's layout calls it, such as V(apiserver); empty for other files.", type: str}
    path: {description: The file., type: str}
    kind:
      description:
        - V(certificate), V(bundle) (one of several authorities in a file), V(kubeconfig) or V(unreadable).
        - An unreadable file has only C(name), C(path), C(kind), C(problem) and C(used_by).
      type: str
    subject: {description: The subject., type: str}
    issuer: {description: The subject of the authority that signed it., type: str}
    names: {description: DNS names and IP addresses., type: list, elements: str}
    key_usages: {description: Key usages as RFC 5280 names them., type: list, elements: str}
    extended_usages: {description: V(serverAuth) and V(clientAuth)., type: list, elements: str}
    authority: {description: Whether it may sign certificates., type: bool}
    self_issued: {description: Whether subject and issuer are the same., type: bool}
    key_algorithm: {description: "Such as V(ECDSA-P256).", type: str}
    serial_number: {description: In hexadecimal digits., type: str}
    not_before: {description: "Begin, in UTC.", type: str}
    not_after: {description: "End, in UTC.", type: str}
    days_left: {description: Whole days until the end; negative when it has ended., type: int}
    fingerprint_sha256: {description: Over the whole certificate., type: str}
    key_path: {description: The file with its private key; empty when none was found., type: str}
    key_fits: {description: Whether that key belongs to it; null without a key., type: bool}
    server: {description: "Of a kubeconfig, the API server.", type: str}
    user: {description: "Of a kubeconfig, the name of its user entry.", type: str}
    certificate_path: {description: "Of a kubeconfig without data, the file that it names.", type: str}
    note: {description: "Of a kubeconfig without data, where its credentials are.", type: str}
    used_by:
      description:
        - What uses the file, each as component and flag by which the running process has it, such as
          V(kube-apiserver --tls-cert-file). What the kubelet uses without a flag is told by the nearest one.
        - Empty where nothing does, as for administrators' kubeconfigs, and where nothing runs, as on a directory. There
          the files of the kubelet's configuration still count.
      type: list
      elements: str
    problem: {description: "What a person must act on, as a sentence; empty when all is well.", type: str}
  sample:
    - name: front-proxy-client
      path: /etc/kubernetes/pki/front-proxy-client.crt
      kind: certificate
      subject: CN=front-proxy-client
      issuer: CN=front-proxy-ca
      names: []
      key_usages: [digitalSignature]
      extended_usages: [clientAuth]
      authority: false
      self_issued: false
      key_algorithm: ECDSA-P256
      serial_number: 5b1f0e9a1c2d3e4f5a6b
      not_before: "2026-11-24T10:04:57Z"
      not_after: "2027-11-24T10:09:57Z"
      days_left: 364
      fingerprint_sha256: 7e1c...
      key_path: /etc/kubernetes/pki/front-proxy-client.key
      key_fits: true
      used_by: [kube-apiserver --proxy-client-cert-file]
      problem: ""
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import require_libraries, run

# No file with certificates is that large; what is larger is something else.
LARGEST = 1 << 20
DIRECTORIES = ["/etc/kubernetes", "/var/lib/kubelet/pki", "/etc/etcd", "/etc/ssl/etcd", "/var/lib/etcd/pki"]


def read(root: str, directories: list[str], used: list[str]) -> dict[str, bytes]:
    """Return the bytes of every file that may hold certificates, kubeconfigs or keys, by its path on the host.

    Those that are used count by whatever name, and what may be the key beside one.
    """
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
    from ansible_collections.kubeharden.core.plugins.module_utils.pki import listing

    host = Host(root)
    paths: set[str] = set()
    for directory in directories:
        for parent, _below, names in os.walk(host.path(directory)):
            paths.update(host.shown(os.path.join(parent, name)) for name in names)
    beside = [f"{os.path.splitext(path)[0]}.key" for path in used]
    found = {}
    for path in sorted({*listing.relevant(paths), *used, *beside}):
        # A link, such as the kubelet's current certificate, is followed inside the host.
        real = host.path(path)
        if os.path.isfile(real) and os.path.getsize(real) <= LARGEST:
            with open(real, "rb") as handle:
                found[path] = handle.read()
    return found


def work(module: AnsibleModule) -> dict[str, object]:
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
    from ansible_collections.kubeharden.core.plugins.module_utils.pki import listing
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence import Collector
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import View

    root, now = module.params["root"], time.time()
    collector = Collector(View(Host(root)), True, None, lambda _command: (1, "", ""), now, time.monotonic)
    users = collector.users_of_files()
    directories = module.params["directories"]
    used = [path for path in users if path.startswith("/")] if directories == DIRECTORIES else []
    files = read(root, directories, used)
    found = [{**entry, "used_by": users.get(entry["path"], [])} for entry in listing.describe(files, now, named=used)]
    return {"changed": False, "certificates": found}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directories": {
                "type": "list",
                "elements": "path",
                "default": DIRECTORIES,
            },
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work, under_lock=False)


if __name__ == "__main__":
    main()
