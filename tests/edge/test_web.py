"""What every HTTP function shares: who asks first, then what; an answer or a problem comes of it."""

import json
import logging

import azure.functions as func
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from shared.domain.errors import InvalidRequest, NotAuthenticated, NotFound, NotReady, StoreUnavailable
from shared.domain.identity import Principal, Role
from shared.edge.problems import TooLarge
from shared.edge.web import LARGEST_BODY, Answer, Asked, endpoint, parse_body

ALICE = Principal("default", Role.USER, "alice")


class Wish(Asked):
    user_id: str
    size: int = 1


class Where(Asked):
    id: str
    seen: str = Field("", alias="If-Match")


class Granted(Answer):
    to: str
    note: str | None = None

    @property
    def etag(self) -> str:
        return '"3"' if self.note else ""


async def anybody(req: func.HttpRequest) -> Principal:
    return ALICE


async def nobody(req: func.HttpRequest) -> Principal:
    raise NotAuthenticated("a client certificate is required")


def request(body: bytes = b"", **params: str) -> func.HttpRequest:
    return func.HttpRequest("POST", "https://playground.example/api/wish", params=params, body=body)


@endpoint(anybody, body=Wish)
async def wish(caller: Principal, asked: Wish) -> Granted:
    """Grants it."""
    return Granted(to=f"{caller.name} as {asked.user_id}")


@endpoint(anybody, query=Wish)
async def wish_by_query(caller: Principal, asked: Wish) -> Granted:
    return Granted(to=asked.user_id)


@endpoint(anybody, query=Where, body=Wish, status=202)
async def wish_there(caller: Principal, where: Where, asked: Wish) -> Granted:
    return Granted(to=f"{where.id} {where.seen}", note=asked.user_id)


def request_there(**headers: str) -> func.HttpRequest:
    return func.HttpRequest(
        "PUT",
        "https://playground.example/api/wish/a%2562",
        params={"id": "from the query", "If-Match": "from the query"},
        route_params={"id": "a%62"},
        headers=headers,
        body=b'{"user_id": "bob", "id": "from the body"}',
    )


async def test_path_query_header_and_body_are_kept_apart():
    told = json.loads((await wish_there(request_there(**{"if-match": '"3"'}))).get_body())
    assert told == {"to": 'a%62 "3"', "note": "bob"}, "the host has decoded the path already"
    assert json.loads((await wish_there(request_there())).get_body())["to"] == "a%62 "


async def test_an_answer_has_the_status_and_the_etag_that_it_is_told_to():
    answer = await wish_there(request_there())
    assert (answer.status_code, answer.headers["ETag"]) == (202, '"3"')
    assert "ETag" not in (await wish(request(b'{"user_id": "bob"}'))).headers


async def test_an_answer_is_json_without_what_is_not_there():
    answer = await wish(request(b'{"user_id": "bob", "unknown": {}}'))
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert json.loads(answer.get_body()) == {"to": "alice as bob"}
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_query_is_read_in_the_place_of_a_body():
    assert json.loads((await wish_by_query(request(user_id="a=b"))).get_body()) == {"to": "a=b"}
    assert (await wish_by_query(request())).status_code == 400


def test_the_handler_keeps_the_name_and_the_words_of_its_function():
    assert (wish.__name__, wish.__doc__) == ("wish", "Grants it.")


async def test_who_asks_is_looked_at_before_what():
    @endpoint(nobody, body=Wish)
    async def never(caller: Principal, asked: Wish) -> Granted:
        raise AssertionError("nobody asked")

    for body in (b"", b"[", b'{"user_id": "alice"}', b"x" * (LARGEST_BODY + 1)):
        assert (await never(request(body))).status_code == 403


@pytest.mark.parametrize(
    ("error", "status", "logged"),
    [
        (NotFound("there is no such user"), 404, []),
        (NotReady("ask again"), 503, []),
        (StoreUnavailable("no answer"), 503, [logging.WARNING]),
        (RuntimeError("a bug"), 500, [logging.ERROR]),
    ],
)
async def test_an_error_is_logged_once_where_somebody_should_look(
    error: Exception, status: int, logged: list[int], caplog: pytest.LogCaptureFixture
):
    @endpoint(anybody, body=Wish)
    async def fails(caller: Principal, asked: Wish) -> Granted:
        raise error

    assert (await fails(request(b'{"user_id": "alice"}'))).status_code == status
    assert [record.levelno for record in caplog.records] == logged
    assert all("fails" in record.getMessage() for record in caplog.records)


def test_a_body_is_measured_before_it_is_read():
    with pytest.raises(TooLarge, match="larger than 65536 bytes"):
        parse_body(Wish, b" " * (LARGEST_BODY + 1))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (
            b'{"user_id": 1, "size": "2"}',
            "user_id: input should be a valid string; size: input should be a valid integer",
        ),
        (b'{"user_id": "a", "size": true}', "size: input should be a valid integer"),
        (b'{"user_id": "a", "size": 1.0}', "size: input should be a valid integer"),
        (b"[]", "the body: input should be an object"),
    ],
)
def test_what_is_wrong_is_told_field_by_field(body: bytes, why: str):
    with pytest.raises(InvalidRequest, match=why):
        parse_body(Wish, body)


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_a_wish_or_an_invalid_request(body: bytes):
    try:
        assert isinstance(parse_body(Wish, body), Wish)
    except InvalidRequest as error:
        assert error.detail
        secret = body.strip(b" \r\n\t{}[]\"':,")
        assert len(secret) < 12 or secret.decode("utf-8", "replace") not in error.detail
