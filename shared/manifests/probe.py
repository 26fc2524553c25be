"""What the start-up probe makes besides a life: pods that try to reach its database, and who may."""

from typing import Any

from shared.manifests.database import GENERATION, PLANE, labels, name
from shared.manifests.mariadb import CONTAINER, PORT, UID, Spec

type Manifest = dict[str, Any]

CALLER = "playground.dev/probe"  # the label that lets a pod in


def admission(plane: str, generation: str, volume: str) -> Manifest:
    """Lets pods in that carry the label CALLER; policies add up. Goes with the life's volume claim."""
    owner = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": name(generation), "uid": volume}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": f"{name(generation)}-probe",
            "labels": {PLANE: plane, GENERATION: generation},
            "ownerReferences": [owner],
        },
        "spec": {
            "podSelector": {"matchLabels": {GENERATION: generation}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": {CALLER: "true"}}}],
                    "ports": [{"protocol": "TCP", "port": PORT}],
                }
            ],
        },
    }


def caller(plane: str, generation: str, spec: Spec, host: str, *, allowed: bool) -> Manifest:
    """A pod that tries to log in at `host`, again and again; the client's last words are its message.

    A StatefulSet, because the control plane may make those and no bare pods.
    """
    own = labels(plane, generation)
    argv = ["mariadb", "--no-defaults", "--protocol=tcp", f"--host={host}", f"--port={PORT}", "--user=probe",
            "--connect-timeout=3", "--execute=DO 0"]  # fmt: skip
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name(generation), "labels": own},
        "spec": {
            "replicas": 1,
            "serviceName": name(generation),
            "selector": {"matchLabels": {GENERATION: generation}},
            "template": {
                "metadata": {"labels": own | ({CALLER: "true"} if allowed else {})},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 0,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": UID,
                        "runAsGroup": UID,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": CONTAINER,
                            "image": spec.image,
                            "command": argv,
                            "terminationMessagePolicy": "FallbackToLogsOnError",
                            "resources": {
                                "requests": {"cpu": spec.cpu, "memory": "64Mi"},
                                "limits": {"cpu": spec.cpu_limit, "memory": "64Mi"},
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "capabilities": {"drop": ["ALL"]},
                                "readOnlyRootFilesystem": True,
                            },
                        }
                    ],
                },
            },
        },
    }
