"""Databases that were made ahead: given at once, to one owner or to none, whoever is killed meanwhile."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from shared.domain.pool import LEFT_ALONE
from tests.end_to_end import servers
from tests.end_to_end.conditions import FOUND_TOGETHER, until
from tests.end_to_end.namespaces import KINDS
from tests.end_to_end.servers import Died
from tests.end_to_end.sources import Source

SPARES = 2


@pytest.fixture(scope="module")
def server(namespace, folder):
    with servers.running(folder / "server", namespace, PLAYGROUND_SPARES=str(SPARES)) as started:
        yield started


@pytest.fixture
def full(server):
    """The server, its pool full; what the test's users have is purged after it: a node has no room for all."""
    until(lambda: fill(server) == SPARES, FOUND_TOGETHER)
    yield server
    for lease in server.leases().values():
        if lease["owner"]["tenant"] != "-pool":
            assert server.ask(lease["owner"]["user"], "DELETE", "/api/leases/database?purge=true").status_code == 202
    until(lambda: fill(server) == len(server.tell("leases")), FOUND_TOGETHER)


def fill(server):
    """Passes of everything; how many spares serve then."""
    server.turn(6)
    server.refill()
    server.reap()
    return len(ready(server))


def spares(server):
    return [lease for lease in server.tell("leases") if lease["owner"]["tenant"] == "-pool"]


def ready(server):
    return [spare for spare in spares(server) if spare["state"] == "running" and not spare["adopter"]]


def nothing_is_orphaned(server, namespace):
    """Each life on the cluster is whole, and one lease's."""
    generations = [lease["generation"] for lease in server.tell("leases")]
    whole = {generation: set(KINDS) for generation in generations}
    return len(whole) == len(generations) and namespace.standing() == whole


def test_who_asks_is_given_what_runs_already(full, namespace, user):
    server, before = full, {spare["generation"] for spare in spares(full)}
    pods = {pod.metadata.uid for generation in before for pod in namespace.pods(generation)}
    source = server.source(user)
    lease = server.leases()[user]
    assert lease["generation"] in before and lease["step"] > 2
    assert {pod.metadata.uid for pod in namespace.pods(lease["generation"])} < pods, "nothing was started for it"
    source.keep("mine")
    assert source.kept() == ["mine"] and server.source(user) == source
    assert source.sql("SELECT COUNT(*) FROM iris.test") == ((30,),)
    until(lambda: fill(server) == SPARES and nothing_is_orphaned(server, namespace), FOUND_TOGETHER)


def test_users_who_ask_at_once_have_a_database_and_a_password_each(full, namespace, user):
    users = [f"{user}-{number}" for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        sources: list[Source] = list(pool.map(full.source, users))
    assert len({source.password for source in sources}) == len({source.host for source in sources}) == 3
    for source, name in zip(sources, users, strict=True):
        source.keep(name)
        assert source.kept() == [name]
    until(lambda: fill(full) == SPARES and nothing_is_orphaned(full, namespace), FOUND_TOGETHER)


def test_a_database_from_the_pool_sleeps_and_wakes_with_its_data(full, user):
    source = full.source(user)
    source.keep("slept on")
    full.look_twice()
    full.settle(user)
    assert full.state(user) == "hibernated"
    assert full.source(user) == source
    assert until(source.kept) == ["slept on"]


@pytest.mark.parametrize(
    ("point", "calls"),
    [
        ("before create lease", 1), ("after create lease", 1), ("before take spare", 1), ("after take spare", 1),
        ("before become spare", 1), ("after become spare", 1), ("before start", 1), ("after scale to 1", 1),
        ("after start", 1), ("before write running", 1), ("after write running", 1),
    ],
)  # fmt: skip
def test_a_crash_while_a_spare_is_given_leaves_it_to_one_owner_or_to_none(full, namespace, revive, user, point, calls):
    server, passwords = full, {}
    server.tell("crash", point, calls)
    with pytest.raises(httpx.TransportError):
        server.create_db(user)
    revive()
    for name in (f"{user}-other", user):
        source = server.served_again(name)
        source.keep(name)
        passwords[name] = source.password
    assert len(set(passwords.values())) == 2
    until(lambda: fill(server) == SPARES, FOUND_TOGETHER)
    until(lambda: nothing_is_orphaned(server, namespace), FOUND_TOGETHER)
    assert server.source(user).kept() == [user]


@pytest.mark.parametrize(
    "point",
    [
        "after write pending",
        "after make PersistentVolumeClaim",
        "before write running",
        "before write released",
        "after write released",
    ],
)
def test_a_crash_while_the_pool_is_filled_leaves_a_pool_that_fills(full, namespace, revive, user, point):
    server = full
    server.source(user).keep("kept")
    server.turn(6)
    server.tell("crash", point, 1)
    with pytest.raises(Died):
        for _ in range(5):
            server.refill()
            server.turn(6)
    revive()
    until(lambda: fill(server) == SPARES, FOUND_TOGETHER)
    until(lambda: nothing_is_orphaned(server, namespace), FOUND_TOGETHER)
    assert server.served_again(user).kept() == ["kept"]


def test_another_image_or_size_is_for_the_next_spares_and_for_none_that_is_used(full, another, namespace, user):
    """The last one here: it begins the server anew."""
    full.source(user).keep("kept")
    until(lambda: fill(full) == SPARES, FOUND_TOGETHER)
    before = {spare["generation"] for spare in spares(full)}
    full.stop()
    full.settings["PLAYGROUND_DATABASE_MEMORY"] = "320Mi"
    full.start()
    full.turn(LEFT_ALONE)
    until(lambda: fill(full) == SPARES and not before & {spare["generation"] for spare in spares(full)}, 180)
    assert full.source(user).kept() == ["kept"]
    full.stop()
    full.settings["PLAYGROUND_SPARES"] = "0"
    full.start()
    full.turn(LEFT_ALONE)
    until(lambda: fill(full) == 0 and not spares(full) and nothing_is_orphaned(full, namespace), FOUND_TOGETHER)
