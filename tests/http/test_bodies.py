"""Bodies that create_db does not take: each is answered with a problem and changes nothing."""

import json

import pytest

from tests.http.asserting import assert_problem, nothing_changes
from tests.http.ways import Called, Way

DEEP = b"[" * 20_000
BAD = {
    "missing": (b"", "the body is missing"),
    "blank": (b" \r\n\t ", "the body is missing"),
    "a form": (b"user_id=alice", "the body: invalid JSON"),
    "cut off": (b'{"user_id": "al', "the body: invalid JSON"),
    "followed by more": (b'{"user_id": "alice"}{}', "the body: invalid JSON"),
    "in single quotes": (b"{'user_id': 'alice'}", "the body: invalid JSON"),
    "a list": (b'["alice"]', "the body: "),
    "a string": (b'"alice"', "the body: "),
    "null": (b"null", "the body: "),
    "a number": (b"1", "the body: "),
    "not UTF-8": (b'{"user_id": "al\xffice"}', "the body: invalid JSON"),
    "UTF-16": ('{"user_id": "alice"}'.encode("utf-16"), "the body: invalid JSON"),
    "with a byte order mark": (b'\xef\xbb\xbf{"user_id": "alice"}', "the body: invalid JSON"),
    "nested deeply": (DEEP, "the body: invalid JSON"),
    "nested deeply where nobody looks": (b'{"user_id": "alice", "x": ' + DEEP + b"]" * 20_000 + b"}", "invalid JSON"),
    "half a surrogate pair": (b'{"user_id": "\\ud800"}', "the body: invalid JSON"),
    "without user_id": (b"{}", "user_id: field required"),
    "with another case": (b'{"User_ID": "alice"}', "user_id: field required"),
    "user_id is null": (b'{"user_id": null}', "user_id: input should be a valid string"),
    "user_id is a number": (b'{"user_id": 7}', "user_id: input should be a valid string"),
    "user_id is a bool": (b'{"user_id": true}', "user_id: input should be a valid string"),
    "user_id is a list": (b'{"user_id": ["alice"]}', "user_id: input should be a valid string"),
    "user_id is an object": (b'{"user_id": {"user_id": "alice"}}', "user_id: input should be a valid string"),
    "user_id is empty": (b'{"user_id": ""}', "user_id has 0 characters; 1 to 128 are allowed"),
    "user_id is too long": (json.dumps({"user_id": "a" * 129}).encode(), "user_id has 129 characters"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_body_that_is_wrong_is_refused_and_says_why(way: Way, kind: str):
    body, why = BAD[kind]
    by = way.people.user("alice")
    async with nothing_changes(way):
        assert_problem(await way.ask("POST", "/api/create_db", body, by), 400, "invalid-request", why)


async def test_a_refusal_does_not_repeat_what_was_sent(way: Way):
    by = way.people.user("alice")
    for body in (b'{"user_id": 1234567890123}', b'{"user_id": ["hunter2"]}', b"hunter2", b'{"user_id": "hunter2'):
        reply = await way.ask("POST", "/api/create_db", body, by)
        assert reply.status == 400
        assert b"hunter2" not in reply.body and b"1234567890123" not in reply.body


async def test_of_a_key_that_is_there_twice_the_last_counts(way: Way):
    by = way.people.user("alice")
    reply = await way.ask("POST", "/api/create_db", b'{"user_id": "bob", "user_id": "alice"}', by)
    assert reply.status == 200
    async with nothing_changes(way):
        reply = await way.ask("POST", "/api/create_db", b'{"user_id": "alice", "user_id": "bob"}', by)
        assert_problem(reply, 404, "not-found")


async def test_a_body_of_64_kib_is_read_and_a_byte_more_is_not(way: Way):
    by = way.people.user("alice")
    body = b'{"user_id": "alice"}'
    async with nothing_changes(way):
        reply = await way.ask("POST", "/api/create_db", body.ljust(64 * 1024 + 1), by)
        assert_problem(reply, 413, "too-large", "the body is larger than 65536 bytes")
    assert (await way.ask("POST", "/api/create_db", body.ljust(64 * 1024), by)).status == 200


async def test_who_may_not_ask_is_not_told_what_could_be_asked(called: Called):
    async with nothing_changes(called):
        for body, _ in BAD.values():
            assert_problem(await called.ask("POST", "/api/create_db", body), 403, "not-authenticated")
