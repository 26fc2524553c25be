"""A cluster that says no: the notebook is told why, in time, and what was refused for a while is had afterwards."""

import json
from collections.abc import Iterator

import pytest
from kubernetes import client

from tests.end_to_end import namespaces
from tests.end_to_end.conditions import until


@pytest.fixture
def full(real_cluster, tmp_path) -> Iterator[namespaces.Namespace]:
    """A namespace whose quota has no room for a pod."""
    with namespaces.namespace(real_cluster, tmp_path) as made:
        made.core.create_namespaced_resource_quota(
            made.name, {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "0"}}}
        )
        until(lambda: made.core.read_namespaced_resource_quota("full", made.name).status.hard)
        yield made


def problem(answer):
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    return answer.json()


def test_a_full_quota_is_told_and_its_end_is_enough(another, full, user):
    with another(full) as server:
        refused = server.create_db(user)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert "exceeded quota: full" in problem(refused)["detail"]
        assert server.beat(user)["state"] == "pending"
        generation = server.leases()[user]["generation"]
        full.core.delete_namespaced_resource_quota("full", full.name)
        # The controller tries again by itself, more and more seldom; a look does not wait for it.
        until(lambda: server.create_db(user).status_code == 200)
        assert server.leases()[user]["generation"] == generation, "the same life went on"
        assert server.source(user).sql("SELECT 1") == ((1,),)


def test_an_image_that_cannot_be_had_is_named(another, user):
    with another(PLAYGROUND_DATABASE_IMAGE="devcluster.local/mariadb:there-is-none") as server:
        refused = server.create_db(user)
        assert refused.status_code == 503
        assert "the image cannot be pulled" in problem(refused)["detail"]
        assert "devcluster.local/mariadb:there-is-none" in problem(refused)["detail"]


def test_a_life_that_never_was_ready_fails_and_goes_and_the_next_is_made(another, namespace, user):
    with another(PLAYGROUND_DATABASE_IMAGE="devcluster.local/mariadb:there-is-none") as server:
        server.create_db(user)
        first = server.leases()[user]["generation"]
        server.turn(11 * 60)
        server.reap()
        assert server.state(user) == "failed"
        assert namespace.workload(first).spec.replicas == 0
        server.stop()
        del server.settings["PLAYGROUND_DATABASE_IMAGE"]
        server.start()
        assert until(lambda: server.create_db(user).status_code == 200)
        assert server.leases()[user]["generation"] != first
        assert first not in namespace.standing(), "nothing is left of it"


def test_a_namespace_where_the_control_plane_may_not_work_is_told(another, namespace, real_cluster, tmp_path, user):
    with namespaces.namespace(real_cluster, tmp_path) as forbidden:
        forbidden.kubeconfig = namespace.kubeconfig  # whose account has no role here
        with another(forbidden) as server:
            refused = server.create_db(user)
            assert refused.status_code == 503
            assert "forbidden" in problem(refused)["detail"]
            assert forbidden.standing() == {}


def test_databases_keep_to_the_strictest_standard_that_is_enforced_beside_them(server, namespace, user):
    assert server.source(user)
    loose = namespaces.restricted_pod("loose", namespace.cluster.image, ["true"], {})
    loose["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(client.ApiException) as refused:
        namespace.core.create_namespaced_pod(namespace.name, loose)
    assert refused.value.status == 403
    assert 'violates PodSecurity "restricted' in json.loads(refused.value.body)["message"]
