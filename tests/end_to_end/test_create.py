"""A notebook asks for its database."""

from concurrent.futures import ThreadPoolExecutor

import pymysql
import pytest

from tests.end_to_end.conditions import until


def test_a_cold_create_db_ends_in_sql_through_its_data_source(server, user):
    source = server.source(user)
    source.keep("written")
    assert source.kept() == ["written"]
    assert server.source(user) == source, "the next kernel of a user gets the same database"


def test_ten_who_ask_at_once_for_one_user_get_one_database(server, namespace, user):
    before = set(namespace.standing())
    with ThreadPoolExecutor(10) as pool:
        sources = set(pool.map(lambda _: server.source(user), range(10)))
    assert len(sources) == 1
    assert len(set(namespace.standing()) - before) == 1


def test_two_users_have_a_database_each_and_no_way_into_the_others(server):
    one, other = server.source("one"), server.source("other")
    assert one.host != other.host
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        other.connect(password=one.password)


def test_the_tutorials_data_is_there(server):
    rows = server.source("one").sql("SELECT class, COUNT(*) FROM iris.train GROUP BY class ORDER BY class")
    assert list(rows) == [(0, 40), (1, 40), (2, 40)]


def test_the_user_reads_no_accounts_and_makes_none(server):
    source = server.source("one")
    for statement in ("SELECT * FROM mysql.global_priv", "SELECT * FROM mysql.user", "CREATE USER eve"):
        with pytest.raises(pymysql.err.MySQLError, match="denied"):
            source.sql(statement)


def test_a_pod_that_is_killed_comes_back_with_its_data_at_the_same_address(server, namespace, user):
    source = server.source(user)
    source.keep("survives")
    [pod] = namespace.pods(server.leases()[user]["generation"])
    namespace.core.delete_namespaced_pod(pod.metadata.name, namespace.name, grace_period_seconds=0)

    def replaced():
        found = namespace.pods(server.leases()[user]["generation"])
        return found and found[0].metadata.uid != pod.metadata.uid

    until(replaced)
    assert until(source.kept) == ["survives"]
    assert server.source(user) == source


def test_a_user_who_hangs_up_while_it_starts_finds_it_made(server, user):
    with pytest.raises(Exception, match="timed out"):
        server.ask(user, "POST", "/api/create_db", json={"user_id": user}, timeout=0.2)
    assert server.source(user).sql("SELECT 1") == ((1,),)
    assert len({event["generation"] for event in server.tell("events", "default", user)}) == 1
