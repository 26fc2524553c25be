"""Certificates that nobody accepts: refused wherever they come from, and nothing is touched."""

import ssl

import pytest

from shared.wiring import callers
from tests.certs import BAD_KINDS, Made
from tests.http.asserting import assert_problem, nothing_changes
from tests.http.certificates import People
from tests.http.ways import Called, Served, Way, raw

HEADERS = ("base64_with_newline", "base64_with_space_inside", "base64_url_safe", "base64_not_padded", "two_headers",
           "base64_too_much_padding", "pem", "not_ascii", "too_long", "empty")  # fmt: skip
BODY = b'{"user_id": "alice"}'


class Header:
    """Stands where a certificate would, with any value for the header."""

    def __init__(self, header: str):
        self.header = header


@pytest.fixture(scope="session")
def bad_headers(people: People) -> dict[str, str]:
    return people.factory.bad_headers()


@pytest.mark.parametrize("kind", [*BAD_KINDS, *HEADERS])
async def test_a_header_with_a_bad_certificate_is_refused(called: Called, bad_headers: dict[str, str], kind: str):
    await called.create_db("alice")
    by: Made = Header(bad_headers[kind])  # type: ignore[assignment]
    async with nothing_changes(called):
        assert_problem(await called.ask("POST", "/api/create_db", BODY, by), 403, "not-authenticated")
        assert_problem(await called.ask("GET", "/api/heart_beat?user_id=alice", by=by), 403, "not-authenticated")


def test_every_bad_header_is_tried(bad_headers: dict[str, str]):
    assert set(bad_headers) == {*BAD_KINDS, *HEADERS}


@pytest.mark.parametrize("kind", BAD_KINDS)
async def test_a_bad_certificate_gets_nowhere_through_tls(fronted: Way, kind: str):
    bad = fronted.people.factory.bad(kind)
    try:
        fronted.people.tls(bad)
    except (ssl.SSLError, OSError):
        return  # no client can even show it
    async with nothing_changes(fronted):
        for method, target, body in (("POST", "/api/create_db", BODY), ("GET", "/api/heart_beat?user_id=alice", b"")):
            try:
                reply = await fronted.ask(method, target, body, bad)
            except (ssl.SSLError, ConnectionError):
                continue  # the handshake failed
            assert_problem(reply, 403, "not-authenticated")


async def test_without_a_certificate_there_is_no_connection(fronted: Way):
    async with nothing_changes(fronted):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await fronted.ask("POST", "/api/create_db", BODY)


async def test_without_a_certificate_nobody_is_served(called: Called):
    async with nothing_changes(called):
        assert_problem(await called.ask("POST", "/api/create_db", BODY), 403, "not-authenticated")
        assert_problem(await called.ask("GET", "/api/heart_beat?user_id=alice"), 403, "not-authenticated")


@pytest.mark.parametrize("name", ["X-ARR-ClientCert", "x-arr-clientcert", "X_ARR_ClientCert"])
async def test_a_certificate_in_a_header_does_not_count_behind_our_own_front(fronted: Way, name: str):
    alice, bob = fronted.people.user("alice"), fronted.people.user("bob")
    await fronted.create_db("bob")
    forged = [f"{name}: {bob.header}"]
    async with nothing_changes(fronted):
        reply = await fronted.ask("POST", "/api/create_db", b'{"user_id": "bob"}', alice, forged)
        assert_problem(reply, 404, "not-found")
        beat = await fronted.ask("GET", "/api/heart_beat?user_id=bob", b"", alice, forged)
        assert beat.json()["renewed"] is False


@pytest.mark.parametrize("setting", ["none", ""])
async def test_where_no_front_is_set_everybody_is_refused(near: Called, setting: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAYGROUND_CERTIFICATE_FROM", setting)
    await callers.certificates.close()
    async with nothing_changes(near):
        for by in (near.people.user("alice"), near.people.frontend()):
            assert_problem(await near.create_db("alice", by), 403, "not-authenticated", "PLAYGROUND_CERTIFICATE_FROM")
            assert_problem(await near.heart_beat("alice", by), 403, "not-authenticated")


async def test_a_certificate_expires_to_the_second(near: Called):
    near.world.clock.began = float(int(near.world.clock.began))
    brief = near.people.factory.leaf(name="alice", end=3600)
    end = near.people.factory.now.timestamp() + 3600
    near.world.clock.turn(int(end) - near.world.clock.now())
    assert (await near.heart_beat("alice", brief)).status == 200
    near.world.clock.turn(1)
    assert_problem(await near.heart_beat("alice", brief), 403, "not-authenticated", "expired")


async def test_the_front_of_azure_is_believed_where_it_is_set(called: Called, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAYGROUND_CERTIFICATE_FROM", "arr")
    await callers.certificates.close()
    assert (await called.create_db("alice")).status == 200


async def test_a_certificate_is_demanded_before_anything_is_read(served: Served):
    async with nothing_changes(served):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await served.send(raw("POST", "/api/create_db", b"[" * 100_000, ()), None)
