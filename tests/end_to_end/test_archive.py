"""What was not used for long is stored before it goes, with real parts, and comes back with the next create_db."""

import pymysql
import pytest

from tests.end_to_end.conditions import until
from tests.end_to_end.servers import HOUR, Server
from tests.end_to_end.sources import Source

LEASE = "/api/leases/database"
ODD = "ü ⚙ 100 % -- ;"


@pytest.fixture
def server(another, real_cluster):
    settings = {"PLAYGROUND_ARCHIVE": "volume:archives", "PLAYGROUND_ARCHIVER_IMAGE": real_cluster.archiver}
    with another(**settings, PLAYGROUND_ARCHIVE_STORAGE="256Mi", PLAYGROUND_RETENTION="PT6H") as server:
        yield server


def database(server: Server, user: str) -> Source:
    """The user's database, asked for until it is there: an archive may take longer than an answer."""

    def asked() -> Source | None:
        answer = server.create_db(user)
        assert answer.status_code in (200, 503), answer.text
        return Source.parse(answer.json()["data_source"]) if answer.status_code == 200 else None

    found = until(asked, 120)
    assert found is not None
    return found


def looks(server: Server, user: str, state: str) -> None:
    """Passes until it is in this state."""

    def there() -> bool:
        server.turn(10)
        server.reap()
        return server.state(user) == state

    until(there, 120)


def archived(server: Server, user: str) -> None:
    server.look_twice()
    server.settle(user)
    server.listen(7 * HOUR)
    looks(server, user, "none")


def test_what_was_not_used_for_its_retention_is_stored_and_the_next_create_db_brings_it_back(server, namespace, user):
    first = server.source(user)
    first.keep(ODD)
    first.sql("DROP TABLE iris.test")
    first.sql(
        "CREATE VIEW mine.seen AS SELECT * FROM mine.texts",
        "CREATE TABLE mine.gone (x INT)",
        "CREATE VIEW mine.broken AS SELECT * FROM mine.gone",
        "DROP TABLE mine.gone",
        "CREATE TABLE mine.numbers (x FLOAT)",
        "INSERT INTO mine.numbers VALUES (16777216), (0.12345678)",
        "CREATE PROCEDURE mine.one() SELECT 1",
    )
    numbers = first.sql("SELECT CAST(x AS DOUBLE) FROM mine.numbers")
    generation = server.leases()[user]["generation"]
    archived(server, user)
    assert generation not in namespace.standing() and namespace.pods(generation) == []
    second = database(server, user)
    assert server.leases()[user]["generation"] != generation and second.password != first.password
    assert second.kept() == [ODD]
    assert second.sql("SHOW TABLES FROM iris") == (("train",),), "what its owner dropped stays away"
    assert second.sql("SELECT COUNT(*) FROM mine.seen") == ((1,),)
    assert second.sql("SELECT CAST(x AS DOUBLE) FROM mine.numbers") == numbers, "to the last bit"
    assert second.sql("CALL mine.one()") == ((1,),)
    with pytest.raises(pymysql.err.OperationalError, match="denied"):
        second.connect(password=first.password)
    second.keep("and it goes on")


def test_its_end_without_purge_stores_it_and_who_asks_at_once_has_it_back(server, user):
    source = server.source(user)
    source.keep("thesis")
    assert server.ask(user, "DELETE", LEASE).status_code == 202
    assert server.beat(user)["renewed"] is False, "a kernel that still beats does not bring it back"
    again = database(server, user)
    assert again.kept() == ["thesis"] and again == source, "it was not gone yet"
    assert server.ask(user, "DELETE", LEASE).status_code == 202
    looks(server, user, "none")
    assert database(server, user).kept() == ["thesis"]


def test_what_a_beat_wakes_while_it_is_stored_is_there_as_before(server, namespace, user):
    source = server.source(user)
    source.keep("nearly gone")
    server.look_twice()
    server.settle(user)
    server.listen(7 * HOUR)
    looks(server, user, "archiving")
    assert server.beat(user)["state"] == "waking"
    assert until(source.kept, 60) == ["nearly gone"]
    until(lambda: server.state(user) == "running")
    assert server.source(user) == source
