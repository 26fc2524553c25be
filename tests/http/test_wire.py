"""The notebook plugin's own bytes, as they were captured from it."""

import json

import pytest

from tests.http.alone import Alone
from tests.http.asserting import assert_beat, assert_problem, nothing_changes
from tests.http.test_user_ids import GOOD
from tests.http.ways import Served
from tests.selfhost.clients import Reply

CREATE = (
    b"POST %s/api/create_db HTTP/1.1\r\n"
    b"Connection: close\r\n"
    b"Host: 127.0.0.1:50054\r\n"
    b"Content-Length: %d\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n"
    b"Accept-Encoding: gzip\r\n\r\n%s"
)
BEAT = (
    b"GET %s/api/heart_beat?user_id=%s HTTP/1.1\r\n"
    b"Connection: close\r\n"
    b"Host: 127.0.0.1:50054\r\n"
    b"Accept-Encoding: gzip\r\n\r\n"
)


@pytest.mark.parametrize("base", ["", "/"], ids=["no slash", "trailing slash"])
async def test_its_bytes_get_a_database_and_keep_it(fronted: Served | Alone, base: str):
    by = fronted.people.user("alice")
    created = await fronted.send(CREATE % (base.encode(), 20, b'{"user_id": "alice"}'), by)
    assert_one_answer(created)
    assert isinstance(created.json()["data_source"], str)
    beat = await fronted.send(BEAT % (base.encode(), b"alice"), by)
    assert_one_answer(beat)
    assert_beat(beat, "alice", renewed=True, state="running")


@pytest.mark.parametrize("user", [user for user in GOOD if len(user) < 100])
async def test_an_id_that_it_does_not_encode_arrives_unchanged(served: Served, user: str):
    by = served.people.user(user)
    body = json.dumps({"user_id": user}).encode()
    assert (await served.send(CREATE % (b"", len(body), body), by)).status == 200
    assert_beat(await served.send(BEAT % (b"", user.encode()), by), user, renewed=True, state="running")


@pytest.mark.parametrize(
    ("sent", "heard", "renewed", "state"),
    [
        ("alice&x", "alice", True, "running"),  # cut
        ("alice#x", "alice", True, "running"),
        ("%61lice", "alice", True, "running"),
        ("alice+", "alice ", False, "none"),  # an id that nobody can have
        ("alice%", "alice%", False, "none"),
    ],
)
async def test_an_id_that_it_would_mangle_arrives_as_another(
    served: Served, sent: str, heard: str, renewed: bool, state: str
):
    """Why create_db refuses such ids."""
    frontend = served.people.frontend()
    await served.create_db("alice")
    body = json.dumps({"user_id": sent}).encode()
    assert (await served.send(CREATE % (b"", len(body), body), frontend)).status == 400
    beat = await served.send(BEAT % (b"", sent.encode()), frontend)
    assert_one_answer(beat)
    assert_beat(beat, heard, renewed=renewed, state=state)


@pytest.mark.parametrize(
    "sent",
    ["älice".encode(), "älice".encode("latin-1"), b"a b", b"alice\tx", b"alice\x01", b"alice\x7f", b"\x00"],
)
async def test_an_id_that_no_request_line_can_carry_is_no_request(served: Served, sent: bytes):
    """The one beat that is not 200; create_db has refused that id, so no kernel beats for it."""
    frontend = served.people.frontend()
    body = json.dumps({"user_id": sent.decode("latin-1")}).encode()
    assert (await served.send(CREATE % (b"", len(body), body), frontend)).status == 400
    async with nothing_changes(served):
        beat = await served.send(BEAT % (b"", sent), frontend)
    assert_problem(beat, 400, "not-http", "The request is not valid HTTP")


async def test_the_answer_to_its_front_page_request(fronted: Served | Alone):
    reply = await fronted.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", fronted.people.user("alice"))
    assert reply.body == b"Hello, SQLFlow Playground!"


def assert_one_answer(reply: Reply) -> None:
    """Whole, in one piece, not compressed, and the connection ends as it asked."""
    assert reply.status == 200, reply.body
    assert reply.header("connection") == "close"
    assert reply.header("content-length") == str(len(reply.body))
    assert reply.header("transfer-encoding") is None
    assert reply.header("content-encoding") is None
