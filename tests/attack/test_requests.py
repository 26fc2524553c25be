"""Every bad request of the tables: refused as it should be, and nothing else comes of it.

That is: one answer and no second one, no 5xx, not a line at warning level or above in the log,
nothing changed in store or cluster; and the connection is over, or in step for the next request.
"""

import asyncio
import logging
import ssl
from collections import Counter
from contextlib import suppress

import pytest

from tests.attack import asked, framing, heads
from tests.attack.cases import HEAD_TOO_LARGE, NOT_HTTP, Case, request
from tests.http.asserting import nothing_changes
from tests.http.ways import Served
from tests.selfhost.clients import Connection

CASES = [
    *heads.LINES, *heads.TARGETS, *heads.HEADERS,
    *framing.LENGTH, *framing.CODING, *framing.CHUNKS, *framing.SMUGGLED,
    *asked.BODIES, *asked.HOLDS, *asked.QUERIES, *asked.MATCHES,
    *asked.TOKENS, *asked.CSRS, *asked.RENEWALS, *asked.BEATS,
]  # fmt: skip
GROUPS = list(dict.fromkeys(case.group for case in CASES))
NEXT = request("/api/the-next")


def test_there_are_as_many_as_is_said():
    assert len({(case.raw, case.opened) for case in CASES}) == len(CASES) >= 400
    assert min(Counter(case.group for case in CASES).values()) >= 6


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
async def test_each_is_refused_and_nothing_comes_of_it(served: Served, group: str, caplog: pytest.LogCaptureFixture):
    await served.create_db("alice")
    await served.create_db("bob")
    caplog.set_level(logging.INFO)
    cases, told, said = [case for case in CASES if case.group == group], {}, {}
    for case in cases:
        caplog.clear()
        async with nothing_changes(served):
            told[case.name] = await exchange(served, case)
        if "Traceback" in caplog.text or any(record.levelno >= logging.WARNING for record in caplog.records):
            said[case.name] = caplog.text
        served.world.clock.turn(1)  # one request a second is nobody's whole share
    assert told == {case.name: case.answer for case in cases}
    assert said == {}


async def exchange(served: Served, case: Case) -> str:
    """What is answered to a case; "" for nothing. Fails unless the connection is over afterwards, or in step."""
    port = served._open_port if case.opened else served._port
    context = served.people.tls(None if case.opened else served.people.user("alice"))
    connection = Connection(*await asyncio.open_connection("127.0.0.1", port, ssl=context))
    try:
        with suppress(ConnectionError):  # it answers before the end, and closes
            await connection.send(case.raw)
        reply = await connection.reply(head=b"HEAD" in case.raw[:4])
        told = str(reply.status)
        if reply.header("content-type") == "application/problem+json" and reply.body:
            told += " " + reply.json()["type"].rpartition(":")[2]
        if reply.header("connection") == "close" or told in (NOT_HTTP, HEAD_TOO_LARGE):
            assert await connection.ended() == b""
        else:
            following = await connection.ask(NEXT)
            assert (following.status, following.json()["detail"]) == (404, "nothing is served at this path"), case
    except (asyncio.IncompleteReadError, ConnectionError):
        return ""
    finally:
        connection.writer.transport.abort()
        with suppress(OSError, ssl.SSLError):
            await connection.writer.wait_closed()
    return told
