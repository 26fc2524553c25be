"""The cluster's own parts stop, die and are cut off: beats are heard all the while, and afterwards all goes on."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pymysql
import pytest

from tests.end_to_end.conditions import until
from tests.end_to_end.outages import Outage, cut, frozen, killed, stopped
from tests.end_to_end.servers import CLAIM, MINUTE


@pytest.mark.parametrize(("outage", "lasts"), [(stopped, 20.0), (killed, 0.0), (cut, 0.0)])
def test_while_the_api_server_is_away_beats_are_renewed_and_create_db_says_so_in_time(
    server, devcluster, user, outage: Outage, lasts: float
):
    source = server.served_again(user)
    source.keep("before")
    new, began = f"{user}-new", time.monotonic()
    with outage(devcluster):
        refused = server.create_db(new)
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) > 0
        assert server.beat(user).items() >= {"message": f"hello {user}", "renewed": True, "state": "running"}.items()
        assert server.source(user) == source, "who has a database is answered without the cluster"
        server.listen(CLAIM)
        assert server.reap()["failed"] == 1, "a pass goes on"
        assert server.beat(user)["renewed"]
        assert server.state(new) == "pending"
        while time.monotonic() - began < lasts:
            assert server.beat(user)["renewed"]
    assert server.served_again(new).sql("SELECT 1") == ((1,),)
    assert source.kept() == ["before"]


def test_an_outage_puts_nothing_to_sleep_and_who_was_heard_during_it_wakes_afterwards(
    server, devcluster, namespace, user
):
    silent, sleeper = f"{user}-silent", f"{user}-sleeper"
    asleep = server.served_again(sleeper)
    asleep.keep("before")
    server.look_twice()
    server.settle(sleeper)
    server.served_again(silent)
    with killed(devcluster):
        server.look_twice()
        assert server.state(silent) == "running", "nobody could ask whether it is used"
        assert server.beat(sleeper) == {"message": f"hello {sleeper}", "renewed": True, "state": "waking"}
        server.turn(CLAIM)
        server.reap()
        assert server.state(sleeper) == "waking"
    until(devcluster.whole)
    server.turn(MINUTE)
    server.reap()
    until(lambda: namespace.started(server.leases()[sleeper]["generation"]))
    assert until(asleep.kept) == ["before"], "soon: kube-proxy may be at its old watch for a while"
    server.listen(31 * MINUTE)
    server.reap()
    assert server.state(sleeper) == "running"
    assert server.state(silent) == "running", "the first answer only says what was counted until now"


def test_an_address_is_answered_when_it_leads_to_the_database_and_no_sooner(server, devcluster, namespace, user):
    asleep = server.served_again(user)
    asleep.keep("before")
    server.look_twice()
    server.settle(user)
    generation = server.leases()[user]["generation"]
    with ThreadPoolExecutor(1) as notebook, ExitStack() as kubelet:
        kubelet.enter_context(frozen(devcluster, "kubelet"))
        answer = notebook.submit(server.create_db, user)
        until(lambda: namespace.pods(generation))
        with frozen(devcluster, "kube-controller-manager"):
            kubelet.close()  # it goes on
            until(lambda: namespace.started(generation), 15)
            assert not answer.done(), "nobody has said yet where the address leads"
            with pytest.raises(pymysql.err.OperationalError, match="refused"):
                asleep.sql("SELECT 1")
        assert answer.result().status_code == 200
    assert until(asleep.kept) == ["before"]


def test_etcd_is_killed_and_comes_back_with_all_that_was_acknowledged(server, devcluster, namespace, user):
    source = server.served_again(user)
    source.keep("before")
    before, new = namespace.standing(), f"{user}-new"
    devcluster.run("kill", "etcd")
    assert server.create_db(new).status_code == 503
    assert server.beat(user)["renewed"]
    assert source.kept() == ["before"]
    devcluster.run("up")
    assert server.served_again(new)
    assert before.items() <= namespace.standing().items()
    assert server.source(user) == source
    assert source.kept() == ["before"]
