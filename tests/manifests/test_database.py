"""The objects of a life, whole, against literals."""

from dataclasses import replace

import pytest

from shared.domain.leases import Owner
from shared.manifests import database
from shared.manifests.mariadb import AddressKind, Spec, init_scripts, mebibytes
from shared.ports.cluster import Life

LIFE = Life(Owner("acme", "Alice B"), "database", "abcdefghij0123456789", "Pass1", "Root1")
SPEC = Spec(image="mariadb:10.11", client_networks=("192.0.2.0/24", "2001:db8::/32"))
NAME = "pg-abcdefghij0123456789"
LABELS = {
    "app.kubernetes.io/name": "mariadb",
    "app.kubernetes.io/instance": NAME,
    "app.kubernetes.io/component": "database",
    "app.kubernetes.io/part-of": "playground",
    "app.kubernetes.io/managed-by": "playground",
    "playground.dev/plane": "plane-a",
    "playground.dev/generation": "abcdefghij0123456789",
}
ANNOTATIONS = {"playground.dev/owner": "acme/Alice%20B", "playground.dev/lease": "database"}
OWNED = [{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": NAME, "uid": "volume-uid"}]
METADATA = {"name": NAME, "labels": LABELS, "annotations": ANNOTATIONS, "ownerReferences": OWNED}


def test_a_volume_claim_belongs_to_nobody_but_its_life():
    assert database.volume_claim(LIFE, SPEC, "plane-a") == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": NAME, "labels": LABELS, "annotations": ANNOTATIONS},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
    }


def test_a_storage_class_is_named_only_where_one_is_chosen():
    claim = database.volume_claim(LIFE, replace(SPEC, storage_class="fast"), "plane-a")
    assert claim["spec"]["storageClassName"] == "fast"


def test_a_secret_holds_both_passwords():
    assert database.secret(LIFE, "plane-a", "volume-uid") == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": METADATA,
        "type": "Opaque",
        "stringData": {"password": "Pass1", "root-password": "Root1"},
    }


def test_a_service_answers_inside_the_cluster():
    assert database.service(LIFE, SPEC, "plane-a", "volume-uid") == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": METADATA | {"annotations": ANNOTATIONS | {"playground.dev/address": "cluster-ip"}},
        "spec": {
            "type": "ClusterIP",
            "selector": {"playground.dev/generation": "abcdefghij0123456789"},
            "ports": [{"name": "mysql", "port": 3306, "targetPort": "mysql", "protocol": "TCP"}],
            "publishNotReadyAddresses": True,
        },
    }


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (AddressKind.CLUSTER_IP, {"type": "ClusterIP"}),
        (AddressKind.DNS, {"type": "ClusterIP"}),
        (AddressKind.NODE_PORT, {"type": "NodePort", "externalTrafficPolicy": "Local"}),
        (
            AddressKind.LOAD_BALANCER,
            {
                "type": "LoadBalancer",
                "externalTrafficPolicy": "Local",
                "loadBalancerSourceRanges": ["192.0.2.0/24", "2001:db8::/32"],
            },
        ),
    ],
)
def test_a_service_from_outside_keeps_the_client_s_address(kind, spec):
    service = database.service(LIFE, replace(SPEC, address=kind), "plane-a", "volume-uid")
    inside = {"selector", "ports", "publishNotReadyAddresses"}
    assert {key: value for key, value in service["spec"].items() if key not in inside} == spec
    assert service["metadata"]["annotations"]["playground.dev/address"] == kind


def test_what_a_cloud_wants_said_stands_on_the_service():
    said = (("cloud.example/internal", "true"), ("playground.dev/owner", "somebody else"))
    spec = replace(SPEC, service_annotations=said)
    annotations = database.service(LIFE, spec, "plane-a", "volume-uid")["metadata"]["annotations"]
    mine = ANNOTATIONS | {"playground.dev/address": "cluster-ip"}
    assert annotations == mine | {"cloud.example/internal": "true"}, "and nothing of ours is said otherwise"


def test_a_network_policy_lets_clients_in_and_nothing_out():
    assert database.network_policy(LIFE, SPEC, "plane-a", "volume-uid") == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": METADATA,
        "spec": {
            "podSelector": {"matchLabels": {"playground.dev/generation": "abcdefghij0123456789"}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [
                        {"ipBlock": {"cidr": "192.0.2.0/24"}},
                        {"ipBlock": {"cidr": "2001:db8::/32"}},
                        {
                            "namespaceSelector": {"matchLabels": {"playground.dev/database-clients": "true"}},
                            "podSelector": {"matchLabels": {"playground.dev/database-client": "true"}},
                        },
                    ],
                    "ports": [{"protocol": "TCP", "port": 3306}],
                }
            ],
        },
    }


def test_a_stateful_set_is_what_it_is():
    client = ["mariadb", "--no-defaults", "--socket=/run/mysqld/mysqld.sock", "--user=mysql", "--batch",
              "--skip-column-names"]  # fmt: skip
    assert database.stateful_set(LIFE, SPEC, "plane-a", "volume-uid", 7, 1) == {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": METADATA | {"annotations": ANNOTATIONS | {"playground.dev/step": "7"}},
        "spec": {
            "replicas": 1,
            "serviceName": NAME,
            "podManagementPolicy": "Parallel",
            "revisionHistoryLimit": 1,
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": {"playground.dev/generation": "abcdefghij0123456789"}},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 30,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 999,
                        "runAsGroup": 999,
                        "fsGroup": 999,
                        "fsGroupChangePolicy": "OnRootMismatch",
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": "mariadb",
                            "image": "mariadb:10.11",
                            "args": [
                                "--socket=/run/mysqld/mysqld.sock",
                                "--userstat=1",
                                "--max-connections=100",
                                "--max-user-connections=95",
                                "--skip-name-resolve",
                                "--local-infile=0",
                                "--skip-symbolic-links",
                                "--max-allowed-packet=64M",
                                "--wait-timeout=86400",
                                "--tcp-keepalive-time=120",
                                "--log-warnings=1",
                                "--character-set-server=utf8mb4",
                                "--ignore-db-dirs=lost+found",
                                "--innodb-buffer-pool-size=128M",
                                "--innodb-log-file-size=32M",
                            ],
                            "env": [
                                {"name": "MARIADB_USER", "value": "notebook"},
                                {
                                    "name": "MARIADB_PASSWORD",
                                    "valueFrom": {"secretKeyRef": {"name": NAME, "key": "password"}},
                                },
                                {
                                    "name": "MARIADB_ROOT_PASSWORD",
                                    "valueFrom": {"secretKeyRef": {"name": NAME, "key": "root-password"}},
                                },
                                {"name": "MARIADB_ROOT_HOST", "value": "localhost"},
                            ],
                            "ports": [{"name": "mysql", "containerPort": 3306, "protocol": "TCP"}],
                            "startupProbe": {
                                "exec": {
                                    "command": [
                                        "sh",
                                        "-c",
                                        'n=0; until "$@"; do n=$((n + 1)); [ $n -lt 50 ] || exit 1; sleep 0.1; done',
                                        "started",
                                        *client,
                                        "--execute=EXECUTE IMMEDIATE IF(@@skip_networking, 'not yet', 'DO 0')",
                                    ]
                                },
                                "periodSeconds": 1,
                                "timeoutSeconds": 10,
                                "failureThreshold": 720,
                            },
                            "resources": {
                                "requests": {"cpu": "100m", "memory": "512Mi"},
                                "limits": {"cpu": "2", "memory": "512Mi"},
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "capabilities": {"drop": ["ALL"]},
                                "readOnlyRootFilesystem": True,
                            },
                            "volumeMounts": [
                                {"name": "data", "mountPath": "/var/lib/mysql"},
                                {"name": "init", "mountPath": "/docker-entrypoint-initdb.d", "readOnly": True},
                                {"name": "run", "mountPath": "/run/mysqld"},
                                {"name": "tmp", "mountPath": "/tmp"},
                            ],
                        }
                    ],
                    "volumes": [
                        {"name": "data", "persistentVolumeClaim": {"claimName": NAME}},
                        {"name": "init", "configMap": {"name": init_scripts()["metadata"]["name"]}},
                        {"name": "run", "emptyDir": {"sizeLimit": "16Mi"}},
                        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
                    ],
                },
            },
        },
    }


def test_no_object_but_the_secret_holds_a_password():
    made = [
        database.volume_claim(LIFE, SPEC, "plane-a"),
        database.service(LIFE, SPEC, "plane-a", "volume-uid"),
        database.network_policy(LIFE, SPEC, "plane-a", "volume-uid"),
        database.stateful_set(LIFE, SPEC, "plane-a", "volume-uid", 1, 1),
        init_scripts(),
    ]
    assert "Pass1" not in str(made)
    assert "Root1" not in str(made)


def test_init_scripts_are_named_after_their_content_and_never_change(monkeypatch):
    scripts = init_scripts()
    assert list(scripts["data"]) == ["10-samples.sql", "20-accounts.sql"], "what proves the start is the last"
    assert scripts["immutable"] is True
    assert "playground.dev/plane" not in scripts["metadata"]["labels"], "no life takes it away"
    monkeypatch.setattr("shared.manifests.mariadb.SCRIPTS", {"10-other.sql": "SELECT 1;"})
    assert init_scripts()["metadata"]["name"] != scripts["metadata"]["name"]


@pytest.mark.parametrize(("quantity", "expected"), [("256Mi", 256), ("512Mi", 512), ("2Gi", 2048)])
def test_memory_is_read_in_mebibytes(quantity, expected):
    assert mebibytes(quantity) == expected


@pytest.mark.parametrize("quantity", ["", "Mi", "1G", "512", "-1Gi", "1.5Gi", "128Mi"])
def test_memory_that_is_no_sensible_amount_is_refused(quantity):
    with pytest.raises(ValueError, match="memory"):
        replace(SPEC, memory=quantity)


def test_a_client_network_that_is_none_is_refused():
    with pytest.raises(ValueError):
        replace(SPEC, client_networks=("192.0.2.1/24",))
