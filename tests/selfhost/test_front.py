"""The front: what a client sends reaches the function as it is, what a function answers goes back."""

import pytest

from tests.selfhost.clients import assert_problem, get
from tests.selfhost.conftest import Serve

# What the notebook plugin puts on the wire, byte for byte (captured from it).
CREATE_DB = (
    b"POST %s HTTP/1.1\r\nConnection: close\r\nHost: 127.0.0.1:50054\r\nContent-Length: 20\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nAccept-Encoding: gzip\r\n\r\n"
    b'{"user_id": "alice"}'
)
HEART_BEAT = (
    b"GET /api/heart_beat?user_id=%s HTTP/1.1\r\nConnection: close\r\nHost: 127.0.0.1:50054\r\n"
    b"Accept-Encoding: gzip\r\n\r\n"
)


@pytest.mark.parametrize("target", [b"/api/create_db", b"//api/create_db", b"///api/create_db"])
async def test_the_plugins_create_db_reaches_the_function_byte_for_byte(serve: Serve, target: bytes) -> None:
    connection = await (await serve()).connect()
    reply = await connection.ask(CREATE_DB % target)
    seen = reply.json()
    assert reply.status == 200
    assert bytes.fromhex(seen["body"]) == b'{"user_id": "alice"}'
    assert seen["method"] == "POST"
    assert seen["url"] == "https://127.0.0.1:50054/api/create_db"
    assert seen["headers"]["content-type"] == "application/x-www-form-urlencoded"
    assert seen["params"] == {}
    assert reply.header("connection") == "close"
    assert await connection.ended() == b""


@pytest.mark.parametrize("user", ["alice", "a'b(c)*,:@/?=", "-._~!$'()*,:@/?=", "//", "a=b", "a?b", "x;y"])
async def test_the_plugins_heart_beat_keeps_its_user_id(serve: Serve, user: str) -> None:
    seen = (await (await serve()).ask(HEART_BEAT % user.encode())).json()
    assert seen["params"] == {"user_id": user}
    assert seen["url"] == f"https://127.0.0.1:50054/api/heart_beat?user_id={user}"


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("user_id=a+b%2Fc%C3%A9", {"user_id": "a b/cé"}),
        ("user_id=a&user_id=b", {"user_id": "a,b"}),
        ("user_id=&x", {}),
        ("user_id=%ff", {"user_id": "\ufffd"}),
        ("user_id=100%", {"user_id": "100%"}),
        ("&&a=1&", {"a": "1"}),
        ("", {}),
    ],
)
async def test_a_query_is_read_as_azures_host_reads_it(serve: Serve, query: str, params: dict[str, str]) -> None:
    seen = (await (await serve()).ask(get(f"/api/any?{query}"))).json()
    assert seen["params"] == params
    assert seen["url"].endswith(f"/api/any?{query}")


async def test_an_absolute_target_is_the_same_path(serve: Serve) -> None:
    seen = (await (await serve()).ask(get("http://elsewhere/api/any?a=b"))).json()
    assert seen["url"] == "https://127.0.0.1/api/any?a=b"


async def test_repeated_headers_are_joined_and_names_are_lower_case(serve: Serve) -> None:
    raw = get("/api/any", "X-One: 1", "x-one: 2", "traceparent: 00-ab-cd-01", "X-Two:   spaced  ")
    seen = (await (await serve()).ask(raw)).json()
    assert seen["headers"]["x-one"] == "1,2"
    assert seen["headers"]["x-two"] == "spaced"
    assert seen["headers"]["traceparent"] == "00-ab-cd-01"


async def test_what_is_no_utf8_in_a_header_can_be_told_of(serve: Serve) -> None:
    seen = (await (await serve()).ask(get("/api/any", "X-One: caf\xe9"))).json()
    assert seen["headers"]["x-one"] == "caf\ufffd"


async def test_a_compressed_body_is_not_unpacked(serve: Serve) -> None:
    raw = b"POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
    assert (await (await serve()).ask(raw)).json()["body"] == "1f8b0800"


async def test_a_chunked_body_arrives_whole(serve: Serve) -> None:
    raw = b"POST /api/any HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    seen = (await (await serve()).ask(raw)).json()
    assert bytes.fromhex(seen["body"]) == b"abcde"
    assert "transfer-encoding" not in seen["headers"]


async def test_a_body_sent_after_its_head_arrives_whole(serve: Serve) -> None:
    connection = await (await serve()).connect()
    head, _, body = (CREATE_DB % b"/api/create_db").partition(b"\r\n\r\n")
    await connection.send(head + b"\r\n\r\n" + body[:3])
    await connection.send(body[3:])
    assert bytes.fromhex((await connection.reply()).json()["body"]) == body


async def test_who_expects_a_100_gets_it(serve: Serve) -> None:
    connection = await (await serve()).connect()
    await connection.send(b"POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await connection.ask(b"ok")).json()["body"] == b"ok".hex()


async def test_a_connection_serves_many_requests(serve: Serve) -> None:
    connection = await (await serve()).connect()
    for number in range(3):
        reply = await connection.ask(get(f"/api/any?number={number}"))
        assert reply.json()["params"] == {"number": str(number)}
        assert reply.header("connection") is None


async def test_requests_sent_together_are_answered_in_order(serve: Serve) -> None:
    connection = await (await serve()).connect()
    await connection.send(get("/api/any?n=1") + get("/api/any?n=2") + get("/api/any?n=3"))
    assert [(await connection.reply()).json()["params"]["n"] for _ in range(3)] == ["1", "2", "3"]


async def test_http_1_0_gets_its_answer_and_the_end(serve: Serve) -> None:
    connection = await (await serve()).connect()
    assert (await connection.ask(b"GET /api/any HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")).status == 200
    assert await connection.ended() == b""


@pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/2.0"])
async def test_what_says_it_is_of_another_http_is_none_of_ours(serve: Serve, version: str) -> None:
    connection = await (await serve()).connect()
    reply = await connection.ask(get().replace(b"HTTP/1.1", version.encode()))
    assert (reply.status, reply.json()["type"]) == (400, "urn:playground:problem:not-http")
    assert await connection.ended() == b""


async def test_head_is_answered_like_get_without_a_body(serve: Serve) -> None:
    connection = await (await serve()).connect()
    reply = await connection.ask(b"HEAD /api/heart_beat HTTP/1.1\r\nHost: h\r\n\r\n")
    assert reply.status == 200
    assert int(reply.header("content-length") or 0) > 0
    assert (await connection.ask(get("/api/any"))).status == 200  # nothing of a body lies in between


async def test_an_answers_headers_pass_but_framing_is_the_fronts(serve: Serve) -> None:
    reply = await (await serve()).ask(get("/api/answers/202"))
    assert (reply.status, reply.body) == (202, b"as told")
    assert reply.header("x-told") == "yes"
    assert [value for name, value in reply.headers if name == "set-cookie"] == ["a=1; Path=/", "b=2; Path=/"]
    assert reply.header("transfer-encoding") is None
    assert reply.header("server") == "playground"
    assert reply.header("date") is not None


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_may_have_no_body_has_none(serve: Serve, status: int) -> None:
    connection = await (await serve()).connect()
    reply = await connection.ask(get(f"/api/answers/{status}"))
    assert (reply.status, reply.header("content-length")) == (status, None)
    assert (await connection.ask(get("/api/any"))).status == 200


async def test_an_unknown_path_is_a_404(serve: Serve) -> None:
    reply = await (await serve()).ask(get("/api/nowhere"))
    assert reply.status == 404
    assert_problem(reply, 404, "not-found", "nothing is served at this path")


async def test_a_wrong_method_is_a_405_that_says_which_are_right(serve: Serve) -> None:
    client = await serve()
    reply = await client.ask(get("/api/create_db"))
    assert_problem(reply, 405, "wrong-method", "this path takes POST")
    assert reply.header("allow") == "POST"
    reply = await client.ask(b"PUT /api/items/7 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
    assert_problem(reply, 405, "wrong-method", "this path takes DELETE, GET, HEAD")
    assert reply.header("allow") == "DELETE, GET, HEAD"


async def test_a_function_that_fails_is_a_500_without_details(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    reply = await (await serve()).ask(get("/api/fails"))
    assert_problem(reply, 500, "internal", "what it was is in the log of this server")
    assert len(caplog.records) == 1


async def test_without_tls_nobody_has_a_certificate(serve: Serve) -> None:
    client = await serve(tls=False)
    seen = (await client.ask(get("/api/any", "X-ARR-ClientCert: forged", "Host2: h"))).json()
    assert "x-arr-clientcert" not in seen["headers"]
    assert seen["url"] == "http://127.0.0.1/api/any"
