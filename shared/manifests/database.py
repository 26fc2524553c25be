"""What a database is on Kubernetes: pure functions from a life and a specification to objects."""

from typing import Any

from shared.manifests.mariadb import PORT, AddressKind, Spec, pod
from shared.ports.cluster import Life

type Manifest = dict[str, Any]

PLANE = "playground.dev/plane"
GENERATION = "playground.dev/generation"
OWNER = "playground.dev/owner"
LEASE = "playground.dev/lease"
STEP = "playground.dev/step"
ADDRESS = "playground.dev/address"  # on the Service: the kind of address that its database was started with
ORPHAN = "playground.dev/orphan"
ORPHAN_SINCE = "playground.dev/orphan-since"
CLIENT_POD = "playground.dev/database-client"
CLIENT_NAMESPACE = "playground.dev/database-clients"


def name(generation: str) -> str:
    """The name of every object of one life, but its pod."""
    return f"pg-{generation}"


def labels(plane: str, generation: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "mariadb",
        "app.kubernetes.io/instance": name(generation),
        "app.kubernetes.io/component": "database",
        "app.kubernetes.io/part-of": "playground",
        "app.kubernetes.io/managed-by": "playground",
        PLANE: plane,
        GENERATION: generation,
    }


def metadata_of(life: Life, plane: str, volume: str) -> Manifest:
    """What its objects have; owned by the volume claim: what a late request makes of a dead life is collected."""
    owner = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": name(life.generation), "uid": volume}
    return {
        "name": name(life.generation),
        "labels": labels(plane, life.generation),
        "annotations": {OWNER: life.owner.key, LEASE: life.lease},
        "ownerReferences": [owner],
    }


def volume_claim(life: Life, spec: Spec, plane: str) -> Manifest:
    metadata = metadata_of(life, plane, "")
    del metadata["ownerReferences"]
    wanted: Manifest = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": spec.storage}}}
    if spec.storage_class:
        wanted["storageClassName"] = spec.storage_class
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": wanted}


def secret(life: Life, plane: str, volume: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata_of(life, plane, volume),
        "type": "Opaque",
        "stringData": {"password": life.password, "root-password": life.root_password},
    }


def service(life: Life, spec: Spec, plane: str, volume: str) -> Manifest:
    """Answers before the pod is ready: then a proxy has learnt the way when the server opens its port."""
    metadata = metadata_of(life, plane, volume)
    metadata["annotations"] = dict(spec.service_annotations) | metadata["annotations"] | {ADDRESS: spec.address.value}
    wanted: Manifest = {
        "type": "ClusterIP",
        "selector": {GENERATION: life.generation},
        "ports": [{"name": "mysql", "port": PORT, "targetPort": "mysql", "protocol": "TCP"}],
        "publishNotReadyAddresses": True,
    }
    if spec.address is AddressKind.NODE_PORT:
        wanted |= {"type": "NodePort", "externalTrafficPolicy": "Local"}
    if spec.address is AddressKind.LOAD_BALANCER:
        wanted |= {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
        if spec.client_networks:
            wanted["loadBalancerSourceRanges"] = list(spec.client_networks)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": wanted}


def network_policy(life: Life, spec: Spec, plane: str, volume: str) -> Manifest:
    """Nothing goes out; in come the clients' networks and pods that say they are clients."""
    peers: list[Manifest] = [{"ipBlock": {"cidr": network}} for network in spec.client_networks]
    peers.append(
        {
            "namespaceSelector": {"matchLabels": {CLIENT_NAMESPACE: "true"}},
            "podSelector": {"matchLabels": {CLIENT_POD: "true"}},
        }
    )
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata_of(life, plane, volume),
        "spec": {
            "podSelector": {"matchLabels": {GENERATION: life.generation}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": peers, "ports": [{"protocol": "TCP", "port": PORT}]}],
        },
    }


def stateful_set(life: Life, spec: Spec, plane: str, volume: str, step: int, replicas: int) -> Manifest:
    metadata = metadata_of(life, plane, volume)
    metadata["annotations"][STEP] = str(step)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            "serviceName": name(life.generation),
            "podManagementPolicy": "Parallel",
            "revisionHistoryLimit": 1,
            # A new image or limit is for the next wake: a server in use is not restarted for it.
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": {GENERATION: life.generation}},
            "template": {
                # No owner: a spare's pod runs on, under the same template, when its life is given to somebody.
                "metadata": {"labels": labels(plane, life.generation)},
                "spec": pod(name(life.generation), spec),
            },
        },
    }
