# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings among the API's objects: what an owner made is found, what Kubernetes makes is not."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls import api_findings
from ansible_collections.kubeharden.core.plugins.module_utils.controls.api_findings import NEEDS, RIGHTS


def thing(name: str, namespace: str = "", **more: t.Any) -> dict[str, t.Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **more.pop("metadata", {})}
    return {"metadata": metadata, **more}


def role(name: str, verbs: str, resources: str, group: str = "", namespace: str = "") -> dict[str, t.Any]:
    rule = {"verbs": verbs.split(","), "resources": resources.split(","), "apiGroups": [group]}
    return thing(name, namespace, rules=[rule])


def binding(name: str, to: str, kind: str, who: str, namespace: str = "", of: str = "") -> dict[str, t.Any]:
    subject = {"kind": kind, "name": who, **({"namespace": of} if of else {})}
    reference = {"kind": "Role" if to.startswith("role:") else "ClusterRole", "name": to.removeprefix("role:")}
    return thing(name, namespace, roleRef=reference, subjects=[subject])


def find(check: str, **read: list[dict[str, t.Any]]) -> list[str]:
    return api_findings.find(check, {name: read.get(name, []) for name in NEEDS[check]})


AUTHENTICATION = "authentication.k8s.io"


@pytest.mark.parametrize(
    ("check", "verbs", "resources", "group"),
    [
        ("rbac_secrets", "list", "secrets", ""),
        ("rbac_create_pods", "create", "daemonsets", "apps"),
        ("rbac_escalation", "escalate", "clusterroles", "rbac.authorization.k8s.io"),
        ("rbac_escalation", "impersonate", "users", ""),
        ("rbac_escalation", "impersonate", "uids", AUTHENTICATION),
        ("rbac_escalation", "impersonate", "userextras/scopes", AUTHENTICATION),
        ("rbac_escalation", "impersonate:user-info", "users", AUTHENTICATION),
        ("rbac_escalation", "impersonate:user-info", "groups", AUTHENTICATION),
        ("rbac_escalation", "impersonate:user-info", "uids", AUTHENTICATION),
        ("rbac_escalation", "impersonate:user-info", "userextras/scopes", AUTHENTICATION),
        ("rbac_escalation", "impersonate:serviceaccount", "serviceaccounts", AUTHENTICATION),
        ("rbac_escalation", "impersonate:arbitrary-node", "nodes", AUTHENTICATION),
        ("rbac_escalation", "impersonate:associated-node", "nodes", AUTHENTICATION),
        ("rbac_escalation", "*", "nodes", AUTHENTICATION),
        ("rbac_persistent_volumes", "create", "persistentvolumes", ""),
        ("rbac_proxy", "get", "nodes/proxy", ""),
        ("rbac_proxy", "get", "*/proxy", ""),
        *(("rbac_proxy", verb, "services/proxy", "") for verb in ("get", "create", "update", "patch", "delete")),
        ("rbac_proxy", "delete", "nodes/proxy", ""),
        ("rbac_proxy", "patch", "pods/proxy", ""),
        ("rbac_approval", "update", "certificatesigningrequests/approval", "certificates.k8s.io"),
        ("rbac_webhooks", "patch", "mutatingwebhookconfigurations", "admissionregistration.k8s.io"),
        ("rbac_tokens", "create", "serviceaccounts/token", ""),
        *((check, "*", "*", "*") for check in RIGHTS),
    ],
)
def test_a_right_is_found_with_who_has_it(check: str, verbs: str, resources: str, group: str) -> None:
    roles = [role("mine", verbs, resources, group)]
    found = find(check, clusterroles=roles, clusterrolebindings=[binding("b", "mine", "User", "alice")])
    assert found == ["User alice by binding b to mine"]
    system = [
        binding("b", "mine", "User", "system:kube-scheduler"),
        binding("c", "mine", "ServiceAccount", "node-controller", of="kube-system"),
    ]
    assert find(check, clusterroles=roles, clusterrolebindings=system) == []
    assert find(check, clusterroles=roles) == []


@pytest.mark.parametrize(
    ("kind", "who", "of", "shown"),
    [
        ("Group", "system:serviceaccounts", "", ""),
        ("Group", "system:serviceaccounts:dev", "", ""),
        ("Group", "system:serviceaccounts:kube-system", "", ""),
        ("Group", "system:nodes", "", ""),
        ("Group", "system:bootstrappers:kubeadm:default-node-token", "", ""),
        ("User", "system:serviceaccount:dev:default", "", "ServiceAccount dev/default"),
        ("User", "system:serviceaccount:kube-system:default", "", "ServiceAccount kube-system/default"),
        ("User", "system:mine", "", ""),
        ("User", "system:kube-mine", "", ""),
        ("User", "kubeadm:cluster-admins", "", ""),
        ("ServiceAccount", "robot", "kube-public", "ServiceAccount kube-public/robot"),
        ("ServiceAccount", "robot", "kube-node-lease", "ServiceAccount kube-node-lease/robot"),
        ("ServiceAccount", "default", "kube-system", "ServiceAccount kube-system/default"),
        ("ServiceAccount", "tiller", "kube-system", "ServiceAccount kube-system/tiller"),
        ("User", "system:serviceaccount:kube-system:tiller", "", "ServiceAccount kube-system/tiller"),
        # What a node holds, who takes it over has.
        ("User", "system:node:w1", "", ""),
        ("User", "system:kube-proxy", "", ""),
        ("ServiceAccount", "coredns", "kube-system", "ServiceAccount kube-system/coredns"),
        ("ServiceAccount", "kube-dns", "kube-system", "ServiceAccount kube-system/kube-dns"),
        ("User", "system:serviceaccount:kube-system:kube-proxy", "", "ServiceAccount kube-system/kube-proxy"),
    ],
)
@pytest.mark.parametrize("check", RIGHTS)
def test_a_name_that_begins_as_the_systems_do_is_no_component(
    check: str, kind: str, who: str, of: str, shown: str
) -> None:
    given = binding("b", "all", kind, who, of=of)
    # Anybody can give a binding a label, and a name.
    given["metadata"] |= {"name": "system:b", "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}
    found = find(check, clusterroles=[role("all", "*", "*", "*")], clusterrolebindings=[given])
    assert found == [f"{shown or f'{kind} {who}'} by binding system:b to all"]


@pytest.mark.parametrize(
    ("kind", "who", "of"),
    [
        ("User", "system:kube-controller-manager", ""),
        ("User", "system:serviceaccount:kube-system:node-controller", ""),
        ("Group", "system:masters", ""),  # has every right, and rbac_masters names the binding
        ("Group", "kubeadm:cluster-admins", ""),
        ("ServiceAccount", "clusterrole-aggregation-controller", "kube-system"),
    ],
)
def test_components_of_a_control_plane_may_have_rights(kind: str, who: str, of: str) -> None:
    given = binding("b", "all", kind, who, of=of)
    assert find("rbac_secrets", clusterroles=[role("all", "*", "*", "*")], clusterrolebindings=[given]) == []


def test_the_api_server_reaches_kubelets_by_kubeadms_binding_and_no_other() -> None:
    roles = [role("system:kubelet-api-admin", "*", "nodes/proxy"), role("mine", "*", "nodes/proxy")]
    name, user = "kubeadm:apiserver-kubelet-client", "kube-apiserver-kubelet-client"

    def seen(given: dict[str, t.Any]) -> list[str]:
        return find("rbac_proxy", clusterroles=roles, clusterrolebindings=[given])

    assert seen(binding(name, "system:kubelet-api-admin", "User", user)) == []
    assert seen(binding(name, "mine", "User", user))
    assert seen(binding(name, "system:kubelet-api-admin", "User", "alice"))
    assert seen(binding("b", "system:kubelet-api-admin", "User", user))


def test_a_namespaces_own_binding_counts_where_the_right_reaches_beyond_it() -> None:
    inside = binding("b", "role:mine", "User", "alice", "team")
    assert find("rbac_secrets", roles=[role("mine", "get", "secrets", "", "team")], rolebindings=[inside]) == []
    assert find(
        "rbac_tokens", roles=[role("mine", "create", "serviceaccounts/token", "", "team")], rolebindings=[inside]
    )


@pytest.mark.parametrize(
    ("verbs", "resources", "group"),
    [
        ("impersonate-on:user-info:list", "pods", ""),  # what for, without as whom
        ("create", "tokenreviews", AUTHENTICATION),
        ("impersonate:user-info", "nodes", AUTHENTICATION),
        ("impersonate:user-info", "users", ""),
    ],
)
def test_what_lets_nobody_act_as_another_is_no_finding(verbs: str, resources: str, group: str) -> None:
    given = [binding("b", "mine", "User", "eve")]
    assert (
        find("rbac_escalation", clusterroles=[role("mine", verbs, resources, group)], clusterrolebindings=given) == []
    )


def test_acting_as_an_account_of_a_namespace_counts_there_and_as_a_user_does_not() -> None:
    inside = [binding("b", "role:mine", "User", "alice", "team")]
    for verb, resource, found in (("serviceaccount", "serviceaccounts", 1), ("user-info", "users", 0)):
        mine = role("mine", f"impersonate:{verb}", resource, AUTHENTICATION, "team")
        assert len(find("rbac_escalation", roles=[mine], rolebindings=inside)) == found


@pytest.mark.parametrize(
    ("check", "verbs", "resources", "group", "found"),
    [
        ("rbac_escalation", "impersonate", "groups", "", True),
        ("rbac_escalation", "impersonate:user-info", "users", AUTHENTICATION, True),
        ("rbac_escalation", "bind", "clusterroles", "rbac.authorization.k8s.io", True),
        ("rbac_tokens", "create", "serviceaccounts/token", "", True),
        ("rbac_proxy", "get", "nodes/proxy", "", True),
        ("rbac_proxy", "get", "*/proxy", "", True),
        ("rbac_approval", "update", "certificatesigningrequests/approval", "certificates.k8s.io", True),
        ("rbac_approval", "approve", "signers", "certificates.k8s.io", True),
        ("rbac_webhooks", "patch", "mutatingwebhookconfigurations", "admissionregistration.k8s.io", True),
        ("rbac_webhooks", "*", "mutatingwebhookconfigurations", "admissionregistration.k8s.io", True),
        # To read one Secret is not to read all; what is made has no name yet, so that no such rule ever matches.
        ("rbac_secrets", "get,list,watch", "secrets", "", False),
        ("rbac_secrets", "*", "*", "*", False),
        ("rbac_create_pods", "*", "pods", "", False),
        ("rbac_persistent_volumes", "create", "persistentvolumes", "", False),
        ("rbac_webhooks", "create", "mutatingwebhookconfigurations", "admissionregistration.k8s.io", False),
    ],
)
def test_a_rule_that_names_objects_counts_where_one_of_them_is_enough(
    check: str, verbs: str, resources: str, group: str, found: bool
) -> None:
    mine = role("mine", verbs, resources, group)
    mine["rules"][0]["resourceNames"] = ["one"]
    given = [binding("b", "mine", "User", "eve")]
    assert bool(find(check, clusterroles=[mine, thing("odd", rules=["no rule"])], clusterrolebindings=given)) is found


def test_cluster_admin_is_found_beyond_kubernetes_own_bindings() -> None:
    bindings = [
        binding("cluster-admin", "cluster-admin", "Group", "system:masters"),
        binding("kubeadm:cluster-admins", "cluster-admin", "Group", "kubeadm:cluster-admins"),
        binding("helm", "cluster-admin", "ServiceAccount", "tiller", of="kube-system"),
    ]
    assert find("cluster_admin", clusterrolebindings=bindings) == ["ServiceAccount kube-system/tiller by binding helm"]
    of_the_name = [binding("cluster-admin", "cluster-admin", "User", "system:masters")]
    assert find("cluster_admin", clusterrolebindings=of_the_name) == ["User system:masters by binding cluster-admin"]


def test_a_namespaces_role_of_that_name_is_judged_by_what_it_gives() -> None:
    inside = [binding("b", "role:cluster-admin", "User", "alice", "team")]
    roles = [role("cluster-admin", "*", "*", "*", "team")]
    assert find("cluster_admin", rolebindings=inside) == []
    assert find("rbac_escalation", roles=roles, rolebindings=inside) == [
        "User alice by binding team/b to cluster-admin"
    ]  # fmt: skip


@pytest.mark.parametrize("resource", ["services/proxy", "pods/proxy", "*/proxy", "*"])
def test_the_way_through_the_api_server_counts_within_a_namespace_too(resource: str) -> None:
    roles = [role("mine", "get", resource, "", "team")]
    inside = [binding("b", "role:mine", "User", "alice", "team")]
    assert find("rbac_proxy", roles=roles, rolebindings=inside) == ["User alice by binding team/b to mine"]
    # Nodes are in no namespace.
    nodes = [role("mine", "get", "nodes/proxy", "", "team")]
    assert find("rbac_proxy", roles=nodes, rolebindings=inside) == []


#: What is of note in system:aggregate-to-edit of Kubernetes 1.33 to 1.37, which edit and admin are made of.
CHANGE = "create,delete,deletecollection,patch,update"
EDIT = (
    ("get,list,watch", "pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy"),
    ("impersonate", "serviceaccounts"),
    (CHANGE, "pods,pods/attach,pods/exec,pods/portforward,pods/proxy"),
    (CHANGE, "configmaps,secrets,serviceaccounts,services,services/proxy"),
    ("create", "serviceaccounts/token"),
)
OF_EDITORS = ("rbac_escalation", "rbac_proxy", "rbac_tokens")


def editing(name: str, *more: dict[str, t.Any], namespace: str = "") -> dict[str, t.Any]:
    rules = [rule for one in EDIT for rule in role("", *one)["rules"]] + [one["rules"][0] for one in more]
    return thing(name, namespace, rules=rules, aggregationRule={"clusterRoleSelectors": [{}]})


@pytest.mark.parametrize("name", ["edit", "admin"])
def test_who_edits_a_namespace_has_a_finding_of_his_own(name: str) -> None:
    inside = {"clusterroles": [editing(name)], "rolebindings": [binding("devs", name, "Group", "devs", "team-a")]}
    assert {check: found for check in RIGHTS if (found := find(check, **inside))} == {}
    assert find("namespace_editors", **inside) == [f"Group devs by binding team-a/devs to {name}"]
    assert find("namespace_editors", rolebindings=[binding("v", "view", "Group", "devs", "team-a")]) == []
    assert find("namespace_editors", rolebindings=[binding("c", name, "User", "system:kube-scheduler", "team-a")]) == []


@pytest.mark.parametrize(
    ("made", "to", "namespace"),
    [
        (editing("edit"), "edit", ""),  # in the whole cluster
        (editing("edit"), "edit", "kube-system"),  # where accounts may do everything
        (editing("mine"), "mine", "team-a"),
        (editing("edit", namespace="team-a"), "role:edit", "team-a"),
    ],
)
def test_who_edits_more_than_a_namespace_is_found_as_anybody(made: dict[str, t.Any], to: str, namespace: str) -> None:
    given = binding("devs", to, "Group", "devs", namespace)
    read = {
        "roles" if to.startswith("role:") else "clusterroles": [made],
        "rolebindings" if namespace else "clusterrolebindings": [given],
    }
    for check in OF_EDITORS:
        assert len(find(check, **read)) == 1, check
    assert find("namespace_editors", **read) == []


def test_what_an_operator_adds_to_edit_is_found() -> None:
    more = role("", "impersonate", "users")
    inside = {
        "clusterroles": [editing("edit", more)],
        "rolebindings": [binding("d", "edit", "Group", "devs", "team-a")],
    }
    found = {check: words for check in OF_EDITORS if (words := find(check, **inside))}
    assert found == {"rbac_escalation": ["Group devs by binding team-a/d to edit"]}


def test_rights_in_the_whole_cluster_are_named_first() -> None:
    roles = [role("mine", "create", "serviceaccounts/token")]
    wide, inside = binding("z", "mine", "User", "zoe"), binding("a", "mine", "User", "alice", "a")
    found = find("rbac_tokens", clusterroles=roles, clusterrolebindings=[wide], rolebindings=[inside])
    assert found == ["User zoe by binding z to mine", "User alice by binding a/a to mine"]


#: Kubernetes' own in 1.33 to 1.37: verbs and resources, as its bootstrap policy has them.
WITH_WILDCARDS = (
    ("cluster-admin", "*", "*"),
    ("system:kube-controller-manager", "list,watch", "*"),
    ("system:kubelet-api-admin", "*", "nodes/proxy"),
    ("system:controller:generic-garbage-collector", "delete,get,list,patch,update,watch", "*"),
    ("system:controller:horizontal-pod-autoscaler", "get,list", "*"),
    ("system:controller:namespace-controller", "delete,deletecollection,get,list", "*"),
    ("system:controller:resourcequota-controller", "list,watch", "*"),
    ("system:controller:storage-version-migrator-controller", "get,list,patch", "*"),
)


def test_wildcards_are_known_by_the_whole_name_of_a_clusterrole_and_where_they_stand() -> None:
    assert find("rbac_wildcards", clusterroles=[role(*one) for one in WITH_WILDCARDS]) == []
    label = {"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}
    roles = [
        role("mine", "*", "pods"),
        role("system:mine", "get", "*"),
        role("kubeadm:mine", "get", "*"),
        role("view", "*", "pods"),
        # Kubernetes gives this one all verbs on some resources, and it stays as somebody changed it.
        role("system:kubelet-api-admin", "*", "*"),
        thing("labelled", rules=[{"verbs": ["*"]}], metadata=label),
    ]
    own = [role("admin", "*", "pods", "", "team"), role("cluster-admin", "*", "pods", "", "team")]
    assert find("rbac_wildcards", clusterroles=roles, roles=own) == [
        "kubeadm:mine has * in resources",
        "labelled has * in verbs",
        "mine has * in verbs",
        "system:kubelet-api-admin has * in resources and verbs",
        "system:mine has * in resources",
        "team/admin has * in verbs",
        "team/cluster-admin has * in verbs",
        "view has * in verbs",
    ]


def test_of_an_aggregated_role_the_parts_are_named() -> None:
    whole = {**role("edit", "*", "things"), "aggregationRule": {"clusterRoleSelectors": [{}]}}
    assert find("rbac_wildcards", clusterroles=[whole, role("things-edit", "*", "things")]) == [
        "things-edit has * in verbs"
    ]


def test_everybody_masters_and_default_accounts() -> None:
    known = binding("system:discovery", "system:discovery", "Group", "system:authenticated")
    mine = binding("open", "view", "Group", "system:unauthenticated")
    assert find("rbac_anonymous", clusterrolebindings=[known, mine]) == [
        "system:unauthenticated by binding open to view"
    ]
    for name, to, who in (
        ("system:discovery", "view", "system:authenticated"),
        ("system:discovery", "system:discovery", "system:unauthenticated"),
        ("accounts", "view", "system:serviceaccounts"),
    ):
        given = binding(name, to, "Group", who)
        assert find("rbac_anonymous", clusterrolebindings=[given]) == [f"{who} by binding {name} to {to}"]
    assert find("rbac_masters", rolebindings=[binding("m", "edit", "Group", "system:masters", "a")]) == ["binding a/m"]
    default = binding("d", "edit", "ServiceAccount", "default", "a", of="a")
    assert find("default_account_bindings", rolebindings=[default]) == [
        "ServiceAccount a/default by binding a/d to edit"
    ]


@pytest.mark.parametrize(
    ("kind", "who", "shown"),
    [
        ("User", "system:serviceaccount:a:default", "ServiceAccount a/default"),
        ("Group", "system:serviceaccounts", "Group system:serviceaccounts"),
        ("Group", "system:serviceaccounts:a", "Group system:serviceaccounts:a"),
    ],
)
def test_default_accounts_have_what_all_accounts_have(kind: str, who: str, shown: str) -> None:
    given = [binding("d", "edit", kind, who)]
    assert find("default_account_bindings", clusterrolebindings=given) == [f"{shown} by binding d to edit"]


#: Name, role and subject of what Kubernetes 1.37 and its kubeadm bind, but for controllers and kubelets.
MADE = (
    ("cluster-admin", "cluster-admin", "Group", "system:masters", ""),
    ("system:basic-user", "system:basic-user", "Group", "system:authenticated", ""),
    ("system:discovery", "system:discovery", "Group", "system:authenticated", ""),
    ("system:public-info-viewer", "system:public-info-viewer", "Group", "system:authenticated", ""),
    ("system:public-info-viewer", "system:public-info-viewer", "Group", "system:unauthenticated", ""),
    (
        "system:service-account-issuer-discovery",
        "system:service-account-issuer-discovery",
        "Group",
        "system:serviceaccounts",
        "",
    ),
    (
        "system:cluster-trust-bundle-discovery",
        "system:cluster-trust-bundle-discovery",
        "Group",
        "system:serviceaccounts",
        "",
    ),
    ("kubeadm:cluster-admins", "cluster-admin", "Group", "kubeadm:cluster-admins", ""),
    (
        "kubeadm:bootstrap-signer-clusterinfo",
        "role:kubeadm:bootstrap-signer-clusterinfo",
        "User",
        "system:anonymous",
        "kube-public",
    ),
)


@pytest.mark.parametrize(("name", "to", "kind", "who", "namespace"), MADE, ids=[f"{one[0]}-{one[3]}" for one in MADE])
def test_what_kubernetes_and_kubeadm_bind_is_no_finding(
    name: str, to: str, kind: str, who: str, namespace: str
) -> None:
    given = [binding(name, to, kind, who, namespace)]
    read = {"rolebindings" if namespace else "clusterrolebindings": given}
    for check in ("cluster_admin", "rbac_anonymous", "rbac_masters", "default_account_bindings", "bootstrap_rights"):
        assert find(check, **read) == [], check


#: Rules of these roles as Kubernetes 1.33 to 1.37 (bootstrappolicy) and kubeadm write them: verbs, group, resources,
#: and the one name that they are about; or verbs and paths.
HEALTH = "/healthz /livez /readyz /version /version/"
OWN_RULES: dict[str, list[tuple[str, ...]]] = {
    "cluster-admin": [("*", "*", "*"), ("*", "*")],
    "system:basic-user": [
        ("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        ("create", "authentication.k8s.io", "selfsubjectreviews"),
    ],
    "system:discovery": [("get", f"/api /api/* /apis /apis/* /openapi /openapi/* {HEALTH}")],
    "system:public-info-viewer": [("get", HEALTH)],
    "system:service-account-issuer-discovery": [
        (
            "get",
            "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
        )
    ],
    "system:cluster-trust-bundle-discovery": [("get list watch", "certificates.k8s.io", "clustertrustbundles")],
    "role:kubeadm:bootstrap-signer-clusterinfo": [("get", "", "configmaps", "cluster-info")],
    "kubeadm:get-nodes": [("get", "", "nodes")],
    "system:node-bootstrapper": [("create get list watch", "certificates.k8s.io", "certificatesigningrequests")],
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": [
        ("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient")
    ],
    "system:kubelet-api-admin": [
        ("get list watch", "", "nodes"),
        ("proxy", "", "nodes"),
        ("*", "", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
        ("*", "", "nodes/configz nodes/healthz nodes/pods"),
    ],
    "role:kubeadm:kubelet-config": [("get", "", "configmaps", "kubelet-config")],
    "role:kubeadm:kubelet-config-1.23": [("get", "", "configmaps", "kubelet-config-1.23")],
    "role:kubeadm:nodes-kubeadm-config": [("get", "", "configmaps", "kubeadm-config")],
    "role:kubeadm:kubeadm-certs": [("get", "", "secrets", "kubeadm-certs")],
    "role:kube-proxy": [("get", "", "configmaps", "kube-proxy")],
    # kube-proxy's, CoreDNS's and nodes' own.
    "system:node-proxier": [
        ("list watch", "", "services endpoints"),
        ("get list watch", "", "nodes"),
        ("create patch update", "", "events"),
        ("list watch", "networking.k8s.io", "servicecidrs"),
        ("list watch", "discovery.k8s.io", "endpointslices"),
    ],
    "system:kube-dns": [("list watch", "", "endpoints services")],
    "system:coredns": [
        ("list watch", "", "endpoints services pods namespaces"),
        ("list watch", "discovery.k8s.io", "endpointslices"),
    ],
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": [
        ("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient")
    ],
    "system:node": [
        ("get list watch", "", "secrets configmaps"),
        ("create", "", "serviceaccounts/token"),
        ("create delete", "", "pods"),
    ],
}
JOINING = "system:bootstrappers:kubeadm:default-node-token"
BOUND = (
    *MADE,
    ("kubeadm:get-nodes", "kubeadm:get-nodes", "Group", JOINING, ""),
    ("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", "Group", JOINING, ""),
    (
        "kubeadm:node-autoapprove-bootstrap",
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        "Group",
        JOINING,
        "",
    ),
    *(
        (name, f"role:{name}", "Group", JOINING, "kube-system")
        for name in (
            "kubeadm:kubelet-config",
            "kubeadm:kubelet-config-1.23",
            "kubeadm:nodes-kubeadm-config",
            "kubeadm:kubeadm-certs",
            "kube-proxy",
        )
    ),
    ("kubeadm:apiserver-kubelet-client", "system:kubelet-api-admin", "User", "kube-apiserver-kubelet-client", ""),
    ("system:node-proxier", "system:node-proxier", "User", "system:kube-proxy", ""),
    ("system:kube-dns", "system:kube-dns", "User", "system:serviceaccount:kube-system:kube-dns", ""),
    ("kubeadm:node-proxier", "system:node-proxier", "User", "system:serviceaccount:kube-system:kube-proxy", ""),
    ("system:coredns", "system:coredns", "User", "system:serviceaccount:kube-system:coredns", ""),
    (
        "kubeadm:node-autoapprove-certificate-rotation",
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        "Group",
        "system:nodes",
        "",
    ),
    *(
        (name, f"role:{name}", "Group", "system:nodes", "kube-system")
        for name in ("kubeadm:kubelet-config", "kubeadm:nodes-kubeadm-config")
    ),
)


def rule_of(parts: tuple[str, ...]) -> dict[str, list[str]]:
    if len(parts) == 2:
        return {"verbs": parts[0].split(), "nonResourceURLs": parts[1].split()}
    named = {"resourceNames": [parts[3]]} if len(parts) == 4 else {}
    return {"verbs": parts[0].split(), "apiGroups": [parts[1]], "resources": parts[2].split(), **named}


def as_made(added_to: str = "", added: tuple[str, ...] = ()) -> dict[str, list[dict[str, t.Any]]]:
    """Roles and bindings of a new cluster, and a rule more in one of the roles."""
    places = {to: namespace for _name, to, _kind, _who, namespace in BOUND}
    read: dict[str, list[dict[str, t.Any]]] = {name: [] for name in NEEDS["rbac_anonymous"]}
    for to, parts in OWN_RULES.items():
        rules = [rule_of(one) for one in parts] + ([rule_of(added)] if to == added_to else [])
        made = thing(to.removeprefix("role:"), places.get(to, ""), rules=rules)
        read["roles" if to.startswith("role:") else "clusterroles"].append(made)
    for name, to, kind, who, namespace in BOUND:
        read["rolebindings" if namespace else "clusterrolebindings"].append(binding(name, to, kind, who, namespace))
    # The Node authorizer answers nodes, so that Kubernetes binds their role to nobody.
    reference = {"kind": "ClusterRole", "name": "system:node"}
    read["clusterrolebindings"].append(thing("system:node", roleRef=reference))
    return read


def failing(read: dict[str, list[dict[str, t.Any]]]) -> dict[str, list[str]]:
    found = {check: find(check, **read) for check, needs in NEEDS.items() if set(needs) <= set(read)}
    return {check: findings for check, findings in found.items() if findings}


def test_a_new_cluster_has_no_finding_among_its_rights() -> None:
    assert failing(as_made()) == {}


def test_who_binds_the_role_of_nodes_gives_one_what_the_node_authorizer_keeps_from_it() -> None:
    read = as_made()
    read["clusterrolebindings"].append(binding("mine", "system:node", "User", "system:node:w1"))
    found = ["User system:node:w1 by binding mine to system:node"]
    assert failing(read) == dict.fromkeys(("rbac_secrets", "rbac_create_pods", "rbac_tokens"), found)


def by(who: str, name: str, added: str = "", of: str = "") -> list[str]:
    """The finding of a binding that is called as its role is."""
    more = f", to which somebody added {added}" if added else ""
    return [f"{who} by binding {f'{of}/' if of else ''}{name} to {name}{more}"]


DISCOVERY, ISSUER = "system:discovery", "system:service-account-issuer-discovery"
VIEWER, BASIC = "system:public-info-viewer", "system:basic-user"
SIGNER, CONFIG = "kubeadm:bootstrap-signer-clusterinfo", "kubeadm:kubelet-config-1.23"
NODES, KUBELETS = "kubeadm:get-nodes", "system:kubelet-api-admin"


@pytest.mark.parametrize(
    ("role_name", "added", "findings"),
    [
        (
            DISCOVERY,
            ("get list", "", "secrets"),
            {
                "rbac_anonymous": by("system:authenticated", DISCOVERY, "get and list secrets"),
                "rbac_secrets": by("Group system:authenticated", DISCOVERY),
            },
        ),
        (
            VIEWER,
            ("get", "/metrics /healthz/etcd"),
            {
                "rbac_anonymous": by("system:authenticated", VIEWER, "get /metrics, get /healthz/etcd")
                + by("system:unauthenticated", VIEWER, "get /metrics, get /healthz/etcd"),
            },
        ),
        (
            BASIC,
            ("*", "authorization.k8s.io", "selfsubjectaccessreviews"),
            {
                "rbac_anonymous": by("system:authenticated", BASIC, "* selfsubjectaccessreviews"),
                "rbac_wildcards": ["system:basic-user has * in verbs"],
            },
        ),
        (
            ISSUER,
            ("get", "", "pods"),
            {
                "rbac_anonymous": by("system:serviceaccounts", ISSUER, "get pods"),
                "default_account_bindings": by("Group system:serviceaccounts", ISSUER, "get pods"),
            },
        ),
        (
            f"role:{SIGNER}",
            ("get", "", "configmaps"),
            {"rbac_anonymous": by("system:anonymous", SIGNER, "get configmaps", "kube-public")},
        ),
        (
            f"role:{CONFIG}",
            ("get", "", "configmaps", "kube-proxy"),
            {"bootstrap_rights": by(JOINING, CONFIG, "get configmaps kube-proxy", "kube-system")},
        ),
        (
            NODES,
            ("get", "", "nodes/proxy"),
            {
                "bootstrap_rights": by(JOINING, NODES, "get nodes/proxy"),
                "rbac_proxy": by(f"Group {JOINING}", NODES),
            },
        ),
        (
            KUBELETS,
            ("*", "", "secrets"),
            {
                "rbac_secrets": [
                    f"User kube-apiserver-kubelet-client by binding kubeadm:apiserver-kubelet-client to {KUBELETS}"
                ],
                "rbac_wildcards": [f"{KUBELETS} has * in verbs"],
            },
        ),
        (
            "system:coredns",
            ("list", "", "secrets"),
            {"rbac_secrets": by("ServiceAccount kube-system/coredns", "system:coredns")},
        ),
        # What is added and gives nothing more, or as older versions had it, is nobody's doing.
        (DISCOVERY, ("get", "/swagger.json /swaggerapi /swaggerapi/* /api/v1"), {}),
        (KUBELETS, ("create get", "", "nodes/spec"), {}),
        ("cluster-admin", ("get", "", "secrets"), {}),
    ],
)
def test_what_somebody_added_to_a_role_of_kubernetes_own_is_found(
    role_name: str, added: tuple[str, ...], findings: dict[str, list[str]]
) -> None:
    assert failing(as_made(role_name, added)) == findings


def test_pods_that_get_a_token_nobody_asked_for() -> None:
    pods = [
        thing("quiet", "a", spec={"serviceAccountName": "default"}),
        thing("loud", "b", spec={"serviceAccountName": "default"}),
        thing("says-no", "b", spec={"serviceAccountName": "default", "automountServiceAccountToken": False}),
        thing("own", "b", spec={"serviceAccountName": "own"}),
        thing("static", "kube-system", spec={}),
    ]
    accounts = [thing("default", "a", automountServiceAccountToken=False), thing("default", "b")]
    assert find("default_account_tokens", serviceaccounts=accounts, pods=pods) == ["pod b/loud"]


def test_namespaces_without_level_or_policy_and_what_lies_in_default() -> None:
    level = {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    namespaces = [thing("a", metadata=level), thing("b"), thing("kube-system")]
    assert find("namespaces_pod_security", namespaces=namespaces) == ["b has no level"]
    assert find("namespaces_network_policy", namespaces=namespaces, networkpolicies=[thing("deny", "a")]) == ["b"]
    assert find("namespaces_default_unused", pods=[thing("p", "default"), thing("q", "a")]) == ["pod default/p"]


def test_secrets_in_the_environment() -> None:
    named = {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}
    pods = [
        thing("a", "n", spec={"containers": [named]}),
        thing("b", "n", spec={"containers": [{}], "initContainers": [{"envFrom": [{"secretRef": {"name": "s"}}]}]}),
        thing("c", "n", spec={"containers": [{"env": [{"name": "A", "value": "b"}]}]}),
    ]
    assert find("secrets_in_environment", pods=pods) == ["pod n/a", "pod n/b"]


def test_tokens_without_an_end() -> None:
    tokens: list[dict[str, t.Any]] = [
        {"id": "abcdef", "expires": ""},
        {"id": "ghijkl", "expires": "2027-01-01T00:00:00Z"},
    ]
    assert find("bootstrap_tokens", tokens=tokens) == ["abcdef"]


def test_what_a_bootstrap_token_may_do_beyond_joining() -> None:
    known = [
        binding("kubeadm:get-nodes", "kubeadm:get-nodes", "Group", "system:bootstrappers:kubeadm:default-node-token"),
        binding("ops", "view", "Group", "system:masters"),
    ]
    group = "system:bootstrappers:kubeadm:default-node-token"
    known += [
        binding("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", "Group", group),
        binding(
            "kubeadm:node-autoapprove-bootstrap",
            "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
            "Group",
            group,
        ),
    ]
    joining = [
        binding(name, f"role:{name}", "Group", group, "kube-system")
        for name in (
            "kube-proxy",
            "kubeadm:kubelet-config",
            "kubeadm:kubelet-config-1.23",
            "kubeadm:nodes-kubeadm-config",
            "kubeadm:kubeadm-certs",
        )
    ]
    assert find("bootstrap_rights", clusterrolebindings=known, rolebindings=joining) == []
    for name in ("kubeadm:get-nodes", "system:mine"):
        named = binding(name, "view", "Group", group)
        named["metadata"]["labels"] = {"kubernetes.io/bootstrapping": "rbac-defaults"}
        assert find("bootstrap_rights", clusterrolebindings=[named]) == [f"{group} by binding {name} to view"]
    mine = binding("ops", "view", "Group", "system:bootstrappers:ops")
    assert find("bootstrap_rights", clusterrolebindings=[*known, mine]) == [
        "system:bootstrappers:ops by binding ops to view"
    ]


def test_secrets_with_tokens_of_accounts() -> None:
    assert find("account_token_secrets", account_tokens=[thing("robot", "team")]) == ["Secret team/robot"]
    assert find("account_token_secrets") == []


def test_ports_of_the_host() -> None:
    def pod(namespace: str, *ports: int) -> dict[str, t.Any]:
        listed = [{"containerPort": 1, **({"hostPort": port} if port else {})} for port in ports]
        return thing("a", namespace, spec={"containers": [{"ports": listed}, {}]})

    assert find("privileged_host_ports", pods=[pod("team", 8080, 0), pod("kube-system", 53)]) == []
    assert find("privileged_host_ports", pods=[pod("team", 80, 443)]) == ["pod team/a takes 80, 443"]
