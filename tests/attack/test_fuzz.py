"""Whatever bytes come, each parser says yes or one of the errors that it is documented to raise."""

import asyncio
import json
import logging
import random
import ssl
from base64 import b64encode
from contextlib import suppress
from typing import Any

import azure.functions as func
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.create_db import CreateDb
from functions.enroll import Enrolment
from selfhost.connections import tenant_of
from selfhost.front import _query, _target
from shared.domain.errors import InvalidRequest, NotAuthenticated
from shared.domain.identity import check_tenant
from shared.edge.certificates import Certificates, Source
from shared.edge.issued import Signing
from shared.edge.leases import Listing, Named, Steered, Wished
from shared.edge.problems import TooLarge
from shared.edge.web import Asked, parse_body, parse_query
from tests.attack import asked, framing, heads
from tests.certs import TRUST_DOMAIN, CertificateFactory, Hands
from tests.http.ways import ROUTED, ROUTES, Served
from tests.selfhost.clients import Connection

pytestmark = pytest.mark.slow

MODELS: tuple[type[Asked], ...] = (CreateDb, Enrolment, Signing, Wished)
QUERIES = (Listing, Named, Steered)
NAMES = (
    st.sampled_from(["limit", "after", "owner", "kind", "state", "id", "purge", "user_id", "If-Match", ""]) | st.text()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(["user_id", "csr", "token", "until", "note"])
PATHS = st.lists(
    st.sampled_from(["api", "leases", "database", "hold", "%2e", "..", "", "%2F", "%", "\x00"]) | st.text()
)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _as_parsed(target: bytes) -> str:
    return target.decode("utf-8", "surrogateescape")


@pytest.fixture(scope="module")
def leaf(factory: CertificateFactory) -> bytes:
    return factory.leaf().der


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> CertificateFactory:
    return CertificateFactory(tmp_path_factory.mktemp("fuzz"))


def read_body(model: type[Asked], body: bytes) -> None:
    with suppress(InvalidRequest, TooLarge):
        assert isinstance(parse_body(model, body), model)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MODELS), st.binary(max_size=300) | st.text(max_size=300).map(_encoded))
def test_any_bytes_are_a_body_or_an_invalid_request(model: type[Asked], body: bytes):
    read_body(model, body)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(MODELS), JSON | st.dictionaries(KEYS, JSON))
def test_any_json_is_a_body_or_an_invalid_request(model: type[Asked], value: Any):
    read_body(model, json.dumps(value).encode())


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(QUERIES), st.dictionaries(NAMES, st.text(), max_size=5), st.text())
def test_any_query_and_any_if_match_are_read_or_an_invalid_request(
    model: type[Asked], given_: dict[str, str], match: str
):
    asked = func.HttpRequest("GET", "/", headers={"If-Match": match}, params=given_, route_params={"id": "a"}, body=b"")
    with suppress(InvalidRequest):
        assert isinstance(parse_query(model, asked), model)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200).map(_as_parsed) | PATHS.map("/".join))
def test_any_target_is_a_path_with_one_slash_in_front_and_its_query_is_read(raw: str):
    path, mark, query = _target(raw)
    assert path.startswith("/") and not path.startswith("//") and "?" not in path
    assert mark in ("", "?") and (mark or not query)
    assert all(_query(query).values())
    name, params, _ = ROUTED.find("GET", path)
    assert not name or name in ROUTES.values()
    assert not {".", ".."} & {*params.values()}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_certificate_makes_anything_but_a_principal_or_a_refusal(
    factory: CertificateFactory, leaf: bytes, data: st.DataObject
):
    verifying = Certificates(Source.SELFHOST, factory.ca_pem, TRUST_DOMAIN, Hands(wall=factory.now.timestamp()))
    bent = bytearray(data.draw(st.just(leaf) | st.binary(max_size=400)))
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(bent)))
        bent[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    check_tenant(tenant_of(bytes(bent)) or "none")
    with suppress(NotAuthenticated):
        assert verifying.principal_from_header(b64encode(bent).decode()).name == "alice"


SEEDS = [case.raw for case in (*heads.HEADERS, *framing.CHUNKS, *asked.QUERIES, *asked.MATCHES) if len(case.raw) < 500]
PIECES = (b"\r\n", b"\n", b"\r", b"\x00", b" ", b":", b"%", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n",
          b"0\r\n\r\n", b"\xff", b"?", b"HTTP/1.1", b"\r\n\r\n")  # fmt: skip


def mutated(dice: random.Random) -> bytes:
    raw = bytearray(dice.choice(SEEDS))
    for _ in range(dice.randint(1, 5)):
        at = dice.randrange(len(raw) + 1)
        raw[at : at + dice.choice((0, 0, 1, 1, 4, 20))] = dice.choice((*PIECES, dice.randbytes(dice.randint(1, 4))))
    return bytes(raw)


@pytest.mark.parametrize("seed", range(4))
async def test_a_hundred_broken_requests_break_nothing(served: Served, seed: int, caplog: pytest.LogCaptureFixture):
    dice = random.Random(seed)
    await served.create_db("bob")
    caplog.set_level(logging.INFO)
    before, context = await served.state(), served.people.tls(served.people.user("alice"))
    for number in range(100):
        raw = mutated(dice)
        connection = Connection(*await asyncio.open_connection("127.0.0.1", served._port, ssl=context))
        with suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            await connection.send(raw)
            connection.writer.write_eof() if connection.writer.can_write_eof() else connection.writer.write(b"\r\n\r\n")
            reply = await asyncio.wait_for(connection.reply(), 0.3)  # or it waits for more, as the request has no end
            assert reply.status < 500, (seed, number, raw)
        connection.writer.transport.abort()
        with suppress(OSError, ssl.SSLError):
            await connection.writer.wait_closed()
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [], raw
        served.world.clock.turn(1)
    assert [lease for lease in (await served.state())["leases"] if "bob" in str(lease)] == before["leases"]
