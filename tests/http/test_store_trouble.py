"""What is answered while the store is in trouble, or the keys that seal what it keeps."""

import logging
from pathlib import Path

import pytest

from shared.wiring import policies, store
from tests.http.asserting import assert_beat, assert_problem, nothing_changes
from tests.http.ways import Called, Way


async def test_without_its_store_create_db_says_so_and_a_beat_is_not_renewed(way: Way):
    await way.create_db("alice")
    await way.strike("the store is down")
    for user in ("alice", "bob"):
        reply = await way.create_db(user)
        assert_problem(reply, 503, "store-unavailable", "in the log of this server")
        assert b"the store did not answer" not in reply.body
        assert reply.header("retry-after") == "2"
        assert_beat(await way.heart_beat(user), user, renewed=False, state="unknown")


async def test_a_store_that_hangs_freezes_no_kernel(way: Way):
    await way.create_db("alice")
    await way.hurry(0.2)
    await way.strike("the store hangs")
    assert_beat(await way.heart_beat("alice"), "alice", renewed=False, state="unknown")
    assert_problem(await way.create_db("alice"), 503, "not-ready")


async def test_a_conflict_is_invisible(way: Way):
    await way.strike("the store conflicts once")
    assert (await way.create_db("alice")).status == 200


async def test_conflicts_without_end_are_given_up_in_time(way: Way):
    await way.hurry(0.3)
    await way.strike("the store always conflicts")
    assert_problem(await way.create_db("alice"), 503, "not-ready")
    state = await way.state()
    assert (state["leases"], state["objects"]) == ([], {})


async def test_a_missing_key_is_the_servers_fault_and_tells_nothing(way: Way):
    await way.create_db("alice")
    await way.strike("the key is missing")
    async with nothing_changes(way):
        reply = await way.create_db("alice")
    assert_problem(reply, 500, "seal-broken", "in the log of this server")
    assert b"SEAL" not in reply.body and b"key" not in reply.body
    assert (await way.heart_beat("alice")).json()["renewed"] is True, "a beat needs no key"


async def test_where_the_store_is_and_what_it_said_is_in_the_log_alone(
    called: Called, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("PLAYGROUND_STORE", f"sqlite:///{tmp_path}/missing/leases.db")
    await store.store.close()
    reply = await called.create_db("alice")
    assert_problem(reply, 503, "store-unavailable", "in the log of this server")
    assert str(tmp_path).encode() not in reply.body
    (record,) = [record for record in caplog.records if record.name == "playground.web"]
    assert f"{tmp_path}/missing/leases.db" in record.getMessage()
    beat = await called.heart_beat("alice")
    assert (beat.status, beat.json()["state"]) == (200, "unknown")


async def test_what_is_our_fault_is_in_the_log(near: Called, caplog: pytest.LogCaptureFixture):
    await near.create_db("alice")
    await near.strike("the key is missing")
    await near.create_db("alice")
    (record,) = [record for record in caplog.records if record.name == "playground.web"]
    assert record.levelno >= logging.WARNING
    assert "PLAYGROUND_SEAL_KEYS" in record.getMessage()


async def test_a_bug_of_ours_is_a_500_for_create_db_and_no_answer_but_200_for_a_beat(
    near: Called, caplog: pytest.LogCaptureFixture
):
    async def bug(name: str) -> None:
        raise ZeroDivisionError("hunter2")

    near.world.store.trouble = bug
    reply = await near.create_db("alice")
    assert_problem(reply, 500, "internal", "in the log of this server")
    assert b"hunter2" not in reply.body
    beat = await near.heart_beat("alice")
    assert (beat.status, beat.json()["renewed"], beat.json()["state"]) == (200, False, "unknown")
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError] * 2


async def test_a_wrong_setting_freezes_no_kernel(called: Called, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAYGROUND_GRACE", "eleven hours")
    await policies.policy.close()
    assert (await called.heart_beat("alice")).json()["state"] == "unknown"
    assert_problem(await called.create_db("alice"), 500, "internal")
