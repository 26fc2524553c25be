"""Who reaches a database on a cluster that enforces network policies: pods that try, with the password."""

import pytest

from shared.manifests.database import CLIENT_NAMESPACE, CLIENT_POD
from tests.end_to_end import namespaces


@pytest.fixture(scope="module")
def source(server):
    return server.source("alice")


@pytest.fixture(scope="module")
def clients(real_cluster, folder):
    """Another namespace, whose pods may be clients."""
    with namespaces.namespace(real_cluster, folder, {CLIENT_NAMESPACE: "true"}) as made:
        yield made


def what_it_says(namespace, source, name, labels):
    argv = ["mariadb", "--no-defaults", "--protocol=tcp", f"--host={source.host}", f"--user={source.user}",
            f"--password={source.password}", "--connect-timeout=3", "--batch", "--skip-column-names",
            "--execute=SELECT COUNT(*) FROM iris.train"]  # fmt: skip
    return namespace.run_pod(name, namespace.cluster.image, argv, labels).strip()


def test_a_client_in_a_namespace_of_clients_gets_in(clients, source):
    assert what_it_says(clients, source, "friend", {CLIENT_POD: "true"}) == "120"


@pytest.mark.parametrize(
    ("where", "labels"),
    [
        pytest.param("namespace", {}, id="beside the database"),
        pytest.param("namespace", {CLIENT_POD: "true"}, id="beside the database with a client's label"),
        pytest.param("clients", {}, id="among the clients without their label"),
    ],
)
def test_no_other_pod_gets_in_although_it_knows_the_password(request, source, where, labels):
    said = what_it_says(request.getfixturevalue(where), source, f"stranger-{len(labels)}", labels)
    assert said.startswith("ERROR 2002"), "it could not connect"
