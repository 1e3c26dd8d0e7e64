# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How good an admission configuration is, whoever wrote it: judged by what it does, never by what our own says."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data

#: Every plugin that Kubernetes 1.33 to 1.37 has: the API server passes over another name without a word.
_PLUGINS = frozenset(
    """
    AlwaysAdmit AlwaysDeny AlwaysPullImages CertificateApproval CertificateSigning CertificateSubjectRestriction
    ClusterTrustBundleAttest DefaultIngressClass DefaultStorageClass DefaultTolerationSeconds
    DenyServiceExternalIPs EventRateLimit ExtendedResourceToleration ImagePolicyWebhook JobValidation
    LimitPodHardAntiAffinityTopology LimitRanger MutatingAdmissionPolicy MutatingAdmissionWebhook
    NamespaceAutoProvision NamespaceExists NamespaceLifecycle NodeDeclaredFeatureValidator NodeRestriction
    OwnerReferencesPermissionEnforcement PersistentVolumeClaimResize PodGroupProtection PodGroupWorkloadExists
    PodNodeSelector PodResizeValidator PodSecurity PodTolerationRestriction PodTopologyLabels Priority
    ResourceQuota RuntimeClass ServiceAccount StorageObjectInUseProtection TaintNodesByCondition
    ValidatingAdmissionPolicy ValidatingAdmissionWebhook
    """.split()
)


def judge(text: str, read: t.Callable[[str], str | None]) -> list[str]:
    """Return what is wrong with an admission configuration, one clause each; empty where nothing is.

    Args:
        text: The file's text.
        read: Gives the text of a file that a plugin's ``path`` names, None where it cannot be read.
    """
    document = _load(text)
    if document is None or document.get("kind") != "AdmissionConfiguration":
        return ["it is no AdmissionConfiguration"]
    entries = [entry for entry in _list(document.get("plugins")) if isinstance(entry, dict)]
    names = [str(entry.get("name")) for entry in entries]
    findings = [f"{name} is no admission plugin and counts for nothing" for name in names if name not in _PLUGINS]
    configurations = {str(entry.get("name")): _configuration(entry, read) for entry in entries}
    return [
        *findings,
        *_event_rate_limit(configurations.get("EventRateLimit")),
        *_pod_security(configurations.get("PodSecurity")),
    ]


def files_named(text: str) -> tuple[list[str], list[str]]:
    """Return the files that a configuration of admission names: those of plugins, and kubeconfigs.

    Args:
        text: Of the file that a flag names, or of a plugin's own.
    """
    document = _load(text) or {}
    entries = [entry for entry in _list(document.get("plugins")) if isinstance(entry, dict)]
    return [str(entry["path"]) for entry in entries if entry.get("path")], list(_kubeconfigs(document))


def _kubeconfigs(value: t.Any) -> t.Iterator[str]:
    """Give what stands below kubeConfigFile, however deep."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "kubeConfigFile" and item and isinstance(item, str):
                yield item
            yield from _kubeconfigs(item)
    for item in _list(value):
        yield from _kubeconfigs(item)


def _load(text: str) -> dict[str, t.Any] | None:
    try:
        document = yaml_data.load(text)
    except yaml_data.NoYamlError:
        return None
    return document if isinstance(document, dict) else None


def _configuration(entry: t.Mapping[str, t.Any], read: t.Callable[[str], str | None]) -> dict[str, t.Any]:
    inline = entry.get("configuration")
    if isinstance(inline, dict):
        return inline
    return _load(read(str(entry.get("path") or "")) or "") or {}


def _event_rate_limit(configuration: t.Mapping[str, t.Any] | None) -> list[str]:
    return [] if configuration and configuration.get("limits") else ["nothing limits events (EventRateLimit)"]


def _pod_security(configuration: t.Mapping[str, t.Any] | None) -> list[str]:
    """NSA/CISA and STIG V-254800 want a level; without kube-system's exemption static pods would have no mirror pod."""
    levels = _mapping((configuration or {}).get("defaults"))
    if all(levels.get(mode, "privileged") == "privileged" for mode in ("enforce", "audit", "warn")):
        return ["Pod Security has no level for a namespace that says none (PodSecurity)"]
    exempt = _list(_mapping((configuration or {}).get("exemptions")).get("namespaces"))
    if levels.get("enforce", "privileged") != "privileged" and "kube-system" not in exempt:
        return ["Pod Security refuses the pods of kube-system, which is not exempt"]
    return []


def _mapping(value: t.Any) -> dict[str, t.Any]:
    return value if isinstance(value, dict) else {}


def _list(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else []
