"""Whatever is sent to the TLS port that is no handshake of ours ends there, and is hardly mentioned."""

import asyncio
import logging
import os
import shutil
import ssl
import warnings
from contextlib import suppress

import pytest

from tests.attack.cases import request
from tests.http.asserting import nothing_changes
from tests.http.ways import Served
from tests.selfhost.clients import Connection, until
from tests.selfhost.conftest import Serve

HELLO = bytes.fromhex("160301007801000074") + b"\x03\x03" + bytes(32) + b"\x00\x00\x02\x13\x01\x01\x00" + bytes(40)
NO_HANDSHAKES = {
    "HTTP in clear": request("/api/leases"),
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a proxy's header": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n",
    "a proxy's header, in binary": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12),
    "NUL": bytes(4096),
    "noise": bytes(range(256)) * 16,
    "SSLv2's hello": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37),
    "SSLv3's hello": b"\x16\x03\x00" + HELLO[3:],
    "a hello of no length": b"\x16\x03\x01\x00\x00" * 50,
    "a hello of another length": HELLO[:5] + b"\x01\xff\xff\xff" + HELLO[9:],
    "a record that is too long": b"\x16\x03\x01\xff\xff" + bytes(65_535),
    "a record of another kind": b"\x63\x03\x03\x00\x05hello",
    "data before the handshake": b"\x17\x03\x03\x00\x10" + bytes(16),
    "a heartbeat": b"\x18\x03\x02\x00\x03\x01\x40\x00",
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "a change of cipher": b"\x14\x03\x03\x00\x01\x01",
    "an extension that is longer than its hello": HELLO[:-40] + b"\x00\x26\x00\x00\xff\xff" + bytes(34),
}


async def in_clear(served: Served, raw: bytes) -> bytes:
    """What came back of TLS for these very bytes and an end."""
    connection = Connection(*await asyncio.open_connection("127.0.0.1", served._port))
    with suppress(OSError):
        await connection.send(raw)
        connection.writer.write_eof()
    said = await connection.ended()
    await gone(connection)
    return said


async def gone(connection: Connection) -> None:
    connection.writer.transport.abort()
    with suppress(OSError, ssl.SSLError):
        await connection.writer.wait_closed()


@pytest.mark.parametrize("kind", NO_HANDSHAKES)
async def test_what_is_no_handshake_is_closed(
    served: Served, kind: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    caplog.set_level(logging.INFO)
    async with nothing_changes(served):
        said = await in_clear(served, NO_HANDSHAKES[kind])
        await until(lambda: served.front.listener.bad_handshakes == 1)
    assert b"HTTP" not in said
    assert caplog.records == [] and "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("length", [1, 5, 9, 60, len(HELLO) - 1])
async def test_a_handshake_that_is_broken_off_is_closed(served: Served, length: int, caplog: pytest.LogCaptureFixture):
    await in_clear(served, HELLO[:length])
    await until(lambda: served.front.listener.bad_handshakes == 1 and not served.front.listener.handshakes)
    assert caplog.records == []


def old(version: ssl.TLSVersion, context: ssl.SSLContext) -> None:
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version


def without_encryption(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("eNULL:@SECLEVEL=0")


def without_authentication(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")


WEAK = {
    "TLS 1.0": lambda context: old(ssl.TLSVersion.TLSv1, context),
    "TLS 1.1": lambda context: old(ssl.TLSVersion.TLSv1_1, context),
    "no encryption": without_encryption,
    "no authentication": without_authentication,
}


@pytest.mark.parametrize("kind", WEAK)
async def test_a_handshake_that_is_too_weak_fails(served: Served, kind: str, caplog: pytest.LogCaptureFixture):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    alice = served.people.user("alice")
    context.load_cert_chain(alice.certificate, alice.key)
    WEAK[kind](context)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", served._port, ssl=context)
    await until(lambda: served.front.listener.bad_handshakes == 1)
    assert caplog.records == []


@pytest.mark.parametrize("kind", ["nobody", "foreign_ca", "self_signed", "expired", "server_eku_only", "tampered"])
async def test_who_shows_no_good_certificate_sends_no_request(
    served: Served, kind: str, caplog: pytest.LogCaptureFixture
):
    """With TLS 1.3 the client believes that it is in, and learns otherwise when it reads."""
    by = None if kind == "nobody" else served.people.factory.bad(kind)
    async with nothing_changes(served):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await served.send(request("/api/leases", method="DELETE"), by)
    await until(lambda: served.front.listener.bad_handshakes == 1)
    assert not served.front.clients and caplog.records == []


@pytest.mark.parametrize("sent", [b"", b"G", request("/api/leases")[:-2], request("/api/leases"), bytes(100)])
async def test_who_ends_a_connection_at_any_time_is_forgotten(
    served: Served, sent: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    context = served.people.tls(served.people.user("alice"))
    for abrupt in (True, False):
        connection = Connection(*await asyncio.open_connection("127.0.0.1", served._port, ssl=context))
        await connection.send(sent)
        if not abrupt:
            connection.writer.close()
        await gone(connection)
    await until(lambda: not served.front.clients and not served.front.listener.handshakes)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.skipif(shutil.which("openssl") is None, reason="asks for a renegotiation, which Python cannot")
async def test_a_renegotiation_is_refused(serve: Serve):
    client = await serve()
    folder = client.files.folder
    process = await asyncio.create_subprocess_exec(
        "openssl", "s_client", "-connect", f"127.0.0.1:{client.port}", "-tls1_2", "-CAfile", str(client.files.ca_crt),
        "-cert", str(folder / "client.crt"), "-key", str(folder / "client.key"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    async with asyncio.timeout(10):
        said, _ = await process.communicate(b"R\n")
    assert b"RENEGOTIATING" in said and b"no renegotiation" in said.lower()
    await until(lambda: not client.front.clients)
