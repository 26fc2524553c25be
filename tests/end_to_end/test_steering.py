"""What its owner says of a database is done, with a real one: it is kept, or it goes with all that is in it."""

from datetime import UTC, datetime, timedelta

import pymysql
import pytest

from tests.end_to_end.conditions import until
from tests.end_to_end.servers import HOUR

LEASE = "/api/leases/database"


def test_a_hold_keeps_an_idle_database_and_its_end_lets_it_sleep(server, user):
    source = server.source(user)
    end = datetime.now(UTC) + timedelta(seconds=server.offset, days=2)
    held = server.ask(user, "PUT", f"{LEASE}/hold", json={"until": end.isoformat(), "note": "thesis"})
    assert (held.status_code, held.json()["hold"]["note"]) == (200, "thesis")
    server.look_twice(25 * HOUR)
    assert server.state(user) == "running", "neither grace nor cap takes it"
    assert source.sql("SELECT 1") == ((1,),)
    assert server.ask(user, "PUT", f"{LEASE}/hold", json={"until": None}).status_code == 200
    server.look_twice()
    server.settle(user)
    assert server.state(user) == "hibernated"


def test_what_its_owner_purges_goes_with_its_data_and_the_next_one_is_new(server, namespace, user):
    source = server.source(user)
    source.keep("not wanted any more")
    generation = server.leases()[user]["generation"]
    kept = server.ask(user, "DELETE", LEASE)
    assert kept.status_code == 409, "without purge its data would have to be kept, and nothing archives it"
    assert source.kept() == ["not wanted any more"]
    for _ in range(2):
        assert server.ask(user, "DELETE", f"{LEASE}?purge=true").status_code == 202
    server.settle(user)
    assert (server.state(user), generation in namespace.standing(), namespace.pods(generation)) == ("none", False, [])
    with pytest.raises(pymysql.err.OperationalError):
        source.connect()
    again = server.source(user)
    assert again.password != source.password
    assert until(lambda: again.sql("SHOW DATABASES LIKE 'iris'")) and again.sql("SHOW DATABASES LIKE 'mine'") == ()


def test_what_belongs_to_somebody_else_does_not_exist(server, user):
    server.source(user)
    stranger = f"{user}-stranger"
    end = (datetime.now(UTC) + timedelta(seconds=server.offset, days=1)).isoformat()
    for method, path, options in (
        ("GET", LEASE, {}), ("DELETE", f"{LEASE}?purge=true", {}),
        ("PUT", f"{LEASE}/hold", {"json": {"until": end, "note": ""}}), ("GET", f"{LEASE}/events", {}),
    ):  # fmt: skip
        assert server.ask(stranger, method, path, **options).status_code == 404
    assert server.state(user) == "running"
