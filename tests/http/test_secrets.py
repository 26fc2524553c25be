"""Through a whole life with every trouble on the way, no secret shows where it does not belong."""

import json
import logging
from typing import Any

import pytest

from shared.domain.leases import Owner
from shared.domain.policy import DAY, HOUR
from shared.wiring import control
from tests.http.ways import Called

ALICE = Owner("default", "alice")


async def test_no_secret_shows_in_a_whole_life(near: Called, timers: dict[str, Any], caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    world = near.world
    states: list[str] = []
    answers: list[bytes] = []
    sealed: set[str] = set()
    leases: list[str] = []

    async def look(turn: float = 0.0) -> None:
        """Time passes in which we could hear; then the timers fire."""
        world.clock.turn(turn)
        await world.hear()
        await timers["reap_leases"](None)
        await timers["reconcile_cluster"](None)
        found = await world.store.kept.get(ALICE, "database")
        states.append(str(found.state))
        sealed.add(found.credentials)
        leases.append(repr(found))

    async def ask() -> int:
        reply = await near.create_db("alice")
        if reply.status != 200:
            answers.append(reply.body)
        answers.append((await near.heart_beat("alice")).body)
        answers.extend([(await near.lease("GET", path)).body for path in ("", "/database", "/database/events")])
        return reply.status

    for trouble in ("the store is down", "the cluster is down", "the image is unknown"):
        await near.strike(trouble)
        assert await ask() == 503
        world.clock.turn(40)
    await look(11 * 60)  # past its start timeout: failed
    await near.strike("nothing")
    assert await ask() == 200  # a new life
    await near.strike("the key is missing")
    assert await ask() == 500
    world.clock.turn(60)
    await world.install()
    for turn in (HOUR, 12 * HOUR, 60):
        await look(turn)  # asleep
    await near.strike("the key is missing")
    assert await ask() == 503
    await look(60)
    await world.install()
    await look(300)
    assert await ask() == 200  # awake again
    for turn in (HOUR, 12 * HOUR, 60, 15 * DAY, 60, 60):
        await look(turn)  # asleep, and in the end away
    assert {"failed", "running", "hibernated", "released"} <= set(states), states

    secrets = {
        value
        for _, _, item in world.kubernetes._history
        if item["kind"] == "Secret"
        for value in item["stringData"].values()
    }
    assert len(secrets) == 4, "two lives of two passwords"
    sealed.discard("")
    assert len(sealed) == 2
    secrets |= sealed | {text.partition(".")[2] for text in sealed} | {world.key, world.key.partition(":")[2]}

    shown = {
        "the log": "\n".join(map(logging.Formatter().format, caplog.records)),
        "the answers": b"\n".join(answers).decode(),
        "objects": json.dumps([item for _, _, item in world.kubernetes._history if item["kind"] != "Secret"]),
        "events": repr(await world.store.kept.events(ALICE)),
        "a lease's own text": "\n".join(leases),
        "the text of all that acts": repr(await control.control.get()),
    }
    assert all(shown.values())
    assert "pg-" in shown["objects"] and "alice" in shown["the log"]
    for where, text in shown.items():
        for secret in secrets:
            assert secret not in text, f"a secret shows in {where}"
