# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What actions share that read files of the controller, keys of authorities among them."""

from __future__ import annotations

import os
import typing as t
from types import MappingProxyType

from ansible.errors import AnsibleError

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.plugin_utils import authorities_directory, per_host
from ansible_collections.kubeharden.core.plugins.plugin_utils.authorities_directory import AuthoritiesDirectory
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction, reason


class KeepingAction(HostAction):
    """An action that may sign on the controller."""

    def kept(self, variables: t.Mapping[str, t.Any], now: float) -> AuthoritiesDirectory | None:
        """Return where the controller alone has the authorities' keys; None where hosts have them."""
        directory = variables.get(authorities_directory.VARIABLE)
        if not directory:
            return None
        secret = variables.get(authorities_directory.PHRASE_FILE) or ""
        others = {os.path.abspath(os.path.expanduser(secret)): authorities_directory.PHRASE_FILE} if secret else {}
        return AuthoritiesDirectory(directory, secret, self.reader(authorities_directory.VARIABLE, others), now)

    def moves(self, variables: t.Mapping[str, t.Any]) -> bool:
        """Return whether keys that control planes have are moved to the controller."""
        return per_host.yes(variables.get(authorities_directory.MOVE))

    def reader(self, variable: str, others: t.Mapping[str, str] = MappingProxyType({})) -> t.Callable[[str], bytes]:
        """Return what reads a file of the controller, decrypted where ansible-vault encrypted it.

        Args:
            variable: Which names the files, for the sentence.
            others: By its path, the variable that names a file instead.
        """

        def read(path: str) -> bytes:
            try:
                return str(self._loader.get_text_file_contents(path)).encode("utf-8", "surrogateescape")
            except AnsibleError as error:
                raise HardeningError(
                    "KH303",
                    f"{path}, which {others.get(path, variable)} names, could not be read: {reason(error)} Nothing was "
                    "changed; correct the path, or who may read it.",
                ) from None

        return read
