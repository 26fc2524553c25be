"""The rights that the control plane needs in its namespace, and which of them it lacks."""

import asyncio
from collections.abc import Iterator

from shared.adapters.k8s.api import Api, Object

# (API group, resource) → verbs. infra/kubernetes/role.yaml grants these and no others.
RIGHTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("apps", "statefulsets"): ("get", "list", "watch", "create", "update", "delete"),
    ("", "persistentvolumeclaims"): ("get", "list", "create", "update", "delete"),
    ("", "services"): ("get", "list", "watch", "create", "update", "delete"),
    ("discovery.k8s.io", "endpointslices"): ("list", "watch"),
    ("", "secrets"): ("get", "create", "delete"),
    ("", "configmaps"): ("create",),
    ("networking.k8s.io", "networkpolicies"): ("get", "create", "update", "delete"),
    ("", "pods"): ("get", "list", "watch"),
    ("", "events"): ("get", "list", "watch"),
    ("", "pods/exec"): ("get", "create"),
}


async def missing_rights(api: Api, namespace: str) -> list[str]:
    """What we may not do, as `verb resource`, asked of the API server itself."""
    asked = [(f"{verb} {resource}", _review(namespace, group, resource, verb)) for group, resource, verb in _all()]
    answers = await asyncio.gather(*(api.create(review) for _, review in asked))
    return [what for (what, _), answer in zip(asked, answers, strict=True) if not answer["status"].get("allowed")]


def _all() -> Iterator[tuple[str, str, str]]:
    for (group, resource), verbs in RIGHTS.items():
        for verb in verbs:
            yield group, resource, verb


def _review(namespace: str, group: str, resource: str, verb: str) -> Object:
    resource, _, subresource = resource.partition("/")
    attributes = {
        "namespace": namespace,
        "group": group,
        "resource": resource,
        "subresource": subresource,
        "verb": verb,
    }
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": attributes},
    }
