"""The front's word on who the peer is: from the TLS connection, and from nothing a client writes."""

import asyncio
import logging
import ssl
import warnings

import pytest

from tests.selfhost.clients import Client, assert_problem, get, until
from tests.selfhost.conftest import Serve

FORGED = [
    ["X-ARR-ClientCert: forged"],
    ["x-arr-clientcert: forged"],
    ["X-Arr-Clientcert:forged"],
    ["X_ARR_ClientCert: forged"],
    ["X-ARR_ClientCert: forged"],
    ["x_arr_clientcert: forged", "X-ARR-ClientCert: forged", "X-ARR-CLIENTCERT: forged"],
    ["X-ARR-ClientCert:"],
    ["X-One: 1", "X-ARR-ClientCert: \t forged \t"],
    ["Connection: close, X-ARR-ClientCert", "X-ARR-ClientCert: forged"],
]


@pytest.mark.parametrize("headers", FORGED, ids=lambda headers: "|".join(headers))
async def test_a_certificate_that_a_client_writes_is_dropped(serve: Serve, headers: list[str]) -> None:
    client = await serve()
    seen = (await client.ask(get("/api/any", *headers))).json()["headers"]
    assert seen["x-arr-clientcert"] == client.certificate()
    assert [name for name in seen if "clientcert" in name.replace("_", "-")] == ["x-arr-clientcert"]
    assert "forged" not in str(seen)


@pytest.mark.parametrize("headers", FORGED, ids=lambda headers: "|".join(headers))
async def test_without_tls_it_is_dropped_too(serve: Serve, headers: list[str]) -> None:
    seen = (await (await serve(tls=False)).ask(get("/api/any", *headers))).json()["headers"]
    assert "forged" not in str(seen)
    assert not [name for name in seen if "clientcert" in name.replace("_", "-")]


@pytest.mark.parametrize(
    "header",
    [
        "X-One: 1\r\n X-ARR-ClientCert: forged",  # obs-fold
        "X-One: 1\r\n\tX-ARR-ClientCert: forged",
        "X-ARR-ClientCert : forged",
        "X-ARR-ClientCert\x00: forged",
        "X-ARR\xadClientCert: forged",
        " X-ARR-ClientCert: forged",
        "X-One: 1\nX-ARR-ClientCert: forged",
        "X-One: 1\rX-ARR-ClientCert: forged",
    ],
)
async def test_a_header_that_two_parsers_may_read_differently_is_refused(serve: Serve, header: str) -> None:
    reply = await (await serve()).ask(get("/api/any", header))
    assert_problem(reply, 400, "not-http", "The request is not valid HTTP")


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"POST /api/any HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"GET /api/any HTTP/1.1\r\n\r\n",
        b"GET /api/any HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ],
)
async def test_a_request_whose_end_is_ambiguous_is_refused_and_ended(serve: Serve, raw: bytes) -> None:
    connection = await (await serve()).connect()
    assert (await connection.ask(raw)).status == 400
    assert await connection.ended() == b""


async def test_what_only_a_front_may_say_is_dropped_and_the_trace_kept(serve: Serve) -> None:
    names = (
        *("X-Forwarded-Client-Cert", "X-Forwarded-For", "X_Forwarded_Proto", "Forwarded", "X-Real-IP", "Client-Cert"),
        *("Client-Cert-Chain", "X-MS-CLIENT-PRINCIPAL", "X-MS-CLIENT-PRINCIPAL-ID", "X-ARR-SSL", "X-ARR-LOG-ID"),
        *("X-SSL-Client-Cert", "SSL-Client-Cert", "X-Client-Cert", "X-AppService-Proto", "Keep-Alive", "TE"),
    )
    raw = get("/api/any", *(f"{name}: forged" for name in names), "traceparent: 00-ab-cd-01", "tracestate: a=b")
    seen = (await (await serve()).ask(raw)).json()["headers"]
    assert "forged" not in str(seen)
    assert (seen["traceparent"], seen["tracestate"]) == ("00-ab-cd-01", "a=b")


async def test_each_connection_has_the_certificate_of_its_own_peer(serve: Serve) -> None:
    client = await serve()
    connections = [await client.connect(name) for name in ("client", "other", "client")]
    replies = [await connection.ask(get()) for connection in connections for _ in range(2)]
    seen = [reply.json()["headers"]["x-arr-clientcert"] for reply in replies]
    mine, others = client.certificate("client"), client.certificate("other")
    assert seen == [mine, mine, others, others, mine, mine]
    assert mine != others


async def refused(client: Client, context: ssl.SSLContext, caplog: pytest.LogCaptureFixture) -> str:
    """Why the server ended the handshake; the client is told little (with TLS 1.3 at its first read)."""
    caplog.set_level(logging.DEBUG, "selfhost")
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await (await client.open(context)).ask(get())
    await until(lambda: client.front.listener.bad_handshakes)
    assert not client.front.connections
    (record,) = caplog.records
    return record.getMessage()


async def test_a_client_without_certificate_gets_no_further(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    client = await serve()
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in await refused(client, client.context(""), caplog)


async def test_a_certificate_of_a_foreign_ca_gets_no_further(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    client = await serve()
    assert "unable to get local issuer certificate" in await refused(client, client.context("stranger"), caplog)


async def test_a_servers_certificate_is_no_clients(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    client = await serve()
    assert "unsuitable certificate purpose" in await refused(client, client.context("server"), caplog)


async def test_tls_1_1_is_refused(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    client = await serve()
    context = client.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert "UNSUPPORTED_PROTOCOL" in await refused(client, context, caplog)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_newer_tls_is_served_and_gives_no_tickets(serve: Serve, version: ssl.TLSVersion) -> None:
    client = await serve()
    context = client.context()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    connection = await client.open(context)
    assert (await connection.ask(get("/api/any", "Connection: close"))).status == 200
    tls = connection.writer.get_extra_info("ssl_object")
    assert tls.selected_alpn_protocol() == "http/1.1"
    assert not tls.session or not tls.session.has_ticket
