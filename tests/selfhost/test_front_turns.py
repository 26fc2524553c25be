"""The front's turns: a tenant's queue is its own, a beat waits for beats alone, and who hangs up has left."""

import asyncio
from pathlib import Path
from types import ModuleType

import pytest

from selfhost.connections import tenant_of
from selfhost.turns import Rules
from shared.domain.identity import Role
from tests.certs import BAD_URIS, CertificateFactory
from tests.selfhost.clients import Client, Connection, assert_problem, get, until
from tests.selfhost.conftest import Serve

FOR_EVER = 1000.0
ONE = Rules(1, share=1, queue=9, long=FOR_EVER)


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> CertificateFactory:
    return CertificateFactory(tmp_path_factory.mktemp("turns"))


async def staying(client: Client, echo: ModuleType) -> Connection:
    """Who has a turn until `may_end`."""
    connection = await client.connect()
    await connection.send(get("/api/stays"))
    await echo.arrived.get()
    return connection


async def waiting(client: Client) -> Connection:
    """Who waits for one."""
    connection, before = await client.connect(), client.front.turns.waiting
    await connection.send(get())
    await until(lambda: client.front.turns.waiting > before)
    return connection


async def test_who_waits_is_served_when_a_turn_is_free(serve: Serve, echo: ModuleType) -> None:
    client = await serve(turns=ONE)
    stays, waits = await staying(client, echo), await waiting(client)
    echo.may_end.set()
    assert [(await each.reply()).status for each in (stays, waits)] == [200, 200]
    assert client.front.turns.waiting == 0


async def test_a_beat_waits_for_nothing_but_beats(serve: Serve, echo: ModuleType) -> None:
    client = await serve(turns=ONE)
    await staying(client, echo)
    await waiting(client)
    assert (await client.ask(get("/api/heart_beat"))).status == 200
    assert client.front.turns.waiting == 1


async def test_a_turn_that_is_long_is_somebody_elses(serve: Serve, echo: ModuleType) -> None:
    client = await serve(turns=Rules(1, 1, 9, 0.05))
    await staying(client, echo)
    assert (await client.ask(get())).status == 200
    assert not echo.may_end.is_set()


async def test_beyond_a_tenants_queue_one_is_told_when_to_come_again(serve: Serve, echo: ModuleType) -> None:
    client = await serve(turns=Rules(1, 1, 2, FOR_EVER))
    await staying(client, echo)
    waits = [await waiting(client) for _ in range(2)]
    connection = await client.connect()
    reply = await connection.ask(get())
    assert_problem(reply, 429, "too-many", "too many requests of your tenant wait for their turn")
    assert reply.header("retry-after") == "2000"
    assert client.front.turns.crowded_out == 1
    echo.may_end.set()
    assert [(await each.reply()).status for each in waits] == [200, 200]
    assert (await connection.ask(get())).status == 200, "the connection is as good as before"


async def test_what_has_no_function_needs_no_turn(serve: Serve, echo: ModuleType) -> None:
    client = await serve(turns=ONE)
    await staying(client, echo)
    assert (await client.ask(get("/api/nowhere"))).status == 404
    assert (await client.ask(get("/api/create_db"))).status == 405


async def test_who_hangs_up_leaves_the_queue(serve: Serve, echo: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    client = await serve(turns=ONE)
    stays = await staying(client, echo)
    (await waiting(client)).writer.transport.abort()
    await until(lambda: not client.front.turns.waiting)
    echo.may_end.set()
    assert (await stays.reply()).body == b"ended"
    await until(lambda: len(client.front.clients) == 1)
    assert caplog.records == []


async def test_a_stop_serves_who_waits(serve: Serve, echo: ModuleType) -> None:
    client = await serve(turns=ONE)
    stays, waits = await staying(client, echo), await waiting(client)
    stopping = asyncio.create_task(client.front.stop(patience=30))
    await asyncio.wait([stopping], timeout=0.1)  # long enough to look at every connection
    echo.may_end.set()
    assert [(await each.reply()).status for each in (stays, waits)] == [200, 200]
    await stopping


@pytest.mark.parametrize("role", Role)
def test_whose_turn_it_is_stands_in_the_certificate(factory: CertificateFactory, role: Role) -> None:
    made = factory.leaf(role, "a/b@c", "acme")
    assert tenant_of(made.der) == tenant_of(made.der) == "acme"


@pytest.mark.parametrize(
    "kind", ["no_san", "two_sans", "dns_san", "malformed_der", "trailing_bytes", "no_bytes", "san_wrong_tenant",
             "san_other_scheme", "san_no_name", "san_empty"],
)  # fmt: skip
def test_whatever_names_no_tenant_shares_a_queue(factory: CertificateFactory, kind: str) -> None:
    assert kind.removeprefix("san_") in BAD_URIS or not kind.startswith("san_")
    assert tenant_of(factory.bad(kind).der) == ""


def test_more_certificates_than_are_remembered_are_read_all_the_same(
    factory: CertificateFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("selfhost.connections._REMEMBERED", 2)
    ders = {tenant: factory.leaf(tenant=tenant).der for tenant in ("a", "b", "c", "d")}
    for _ in range(2):
        assert [tenant_of(der) for der in ders.values()] == list(ders)
