"""From a token to a certificate that is accepted, to the next one, to the end of both."""

import asyncio
import json
import logging
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.domain.identity import Role
from tests.certs import Made
from tests.http.asserting import assert_problem, nothing_changes
from tests.http.ways import ROUTES, Called, Served, Way, over_tls, raw
from tests.selfhost.clients import Reply

type Key = ec.EllipticCurvePrivateKey


@cache
def key(number: int = 0) -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def csr(of: Key | None = None) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(of or key(), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


async def enroll(way: Way, token: str, of: Key | None = None, **how: Any) -> Reply:
    body = json.dumps({"token": token, "csr": csr(of)}).encode()
    return await way.ask("POST", "/api/enrolments", body, **how)


async def renew(way: Way, by: Made, of: Key | None = None) -> Reply:
    return await way.ask("POST", "/api/certificates", json.dumps({"csr": csr(of)}).encode(), by)


async def revoke(way: Way, serial: str, by: Made, owner: str = "") -> Reply:
    query = f"?owner={owner}" if owner else ""
    return await way.ask("DELETE", f"/api/certificates/{serial}{query}", by=by)


async def listed(way: Way, by: Made, owner: str = "") -> Reply:
    return await way.ask("GET", f"/api/certificates{f'?owner={owner}' if owner else ''}", by=by)


def made(reply: Reply, folder: Path, of: Key | None = None) -> Made:
    """What a 201 brought, as its holder would keep it."""
    assert reply.status == 201, reply.body
    told = reply.json()
    leaf, issuer = x509.load_pem_x509_certificates(told["certificate"].encode())
    assert leaf.issuer == issuer.subject and format(leaf.serial_number, "x") == told["serial"]
    certificate, private = folder / f"{told['serial']}.crt", folder / f"{told['serial']}.key"
    certificate.write_text(told["certificate"])
    private.write_bytes((of or key()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Made(leaf.public_bytes(Encoding.DER), certificate, private)


async def test_who_was_invited_enrolls_without_a_certificate_and_then_has_one(way: Way, tmp_path: Path):
    reply = await enroll(way, await way.invite("alice"))
    told = reply.json()
    assert (told["tenant"], told["role"], told["name"]) == ("default", "user", "alice")
    assert reply.header("cache-control") == "no-store"
    alice = made(reply, tmp_path)
    assert (await way.create_db("alice", alice)).status == 200
    assert (await way.heart_beat("alice", alice)).json()["renewed"] is True
    assert_problem(await way.create_db("bob", alice), 404, "not-found")


async def test_a_token_is_used_once_even_by_two_callers_at_once(way: Way):
    token = await way.invite("alice")
    replies = await asyncio.gather(*(enroll(way, token, key(n)) for n in range(3)))
    assert sorted(reply.status for reply in replies) == [201, 403, 403]
    for reply in replies:
        if reply.status != 201:
            assert_problem(reply, 403, "not-invited", "has been used")


async def test_who_lost_the_answer_asks_again(way: Way):
    token = await way.invite("alice")
    first, second = (await enroll(way, token)).json(), (await enroll(way, token)).json()
    assert first["serial"] == second["serial"] and first["expires_at"] == second["expires_at"]


async def test_a_certificate_is_renewed_with_itself_and_both_are_accepted(way: Way, tmp_path: Path):
    first = made(await enroll(way, await way.invite("alice")), tmp_path)
    second = made(await renew(way, first, key(1)), tmp_path, key(1))
    for each in (first, second):
        assert (await way.heart_beat("alice", each)).status == 200
    found = (await listed(way, second)).json()["certificates"]
    assert [each.get("renewed_from") for each in found] == [None, found[0]["serial"]]
    assert all("revoked_at" not in each for each in found)


async def test_what_is_revoked_is_refused_by_every_function_within_30_s(near: Called, tmp_path: Path):
    first = made(await enroll(near, await near.invite("alice")), tmp_path)
    second = made(await renew(near, first, key(1)), tmp_path, key(1))
    serial = format(x509.load_der_x509_certificate(first.der).serial_number, "x")
    assert (await near.heart_beat("alice", second)).status == 200
    reply = await revoke(near, serial, second)
    assert reply.status == 200 and reply.json()["revoked_by"] == "user alice"
    near.world.clock.turn(30)
    for by in (first, second):
        for (method, path), name in ROUTES.items():
            if name in ("greet", "enroll", "publish_crl", "show_openapi"):
                continue
            reply = await near.ask(method, path.replace("{id}", "database").replace("{serial}", "ab"), b"{}", by)
            assert_problem(reply, 403, "not-authenticated", "revoked")
    assert (await near.heart_beat("alice")).status == 200, "another of hers, which has nothing to do with it"


async def test_an_admin_sees_and_ends_what_its_tenant_holds_and_nothing_of_another(way: Way, tmp_path: Path):
    serial = (await enroll(way, await way.invite("alice"))).json()["serial"]
    admin, stranger = (way.people.holder(Role.ADMIN, "ops", tenant) for tenant in ("default", "other"))
    found = (await listed(way, admin, "alice")).json()["certificates"]
    assert [(each["serial"], each["role"]) for each in found] == [(serial, "user")]
    assert (await listed(way, stranger, "alice")).json() == {"certificates": []}
    assert_problem(await revoke(way, serial, stranger, "alice"), 404, "not-found")
    assert_problem(await revoke(way, serial, way.people.user("bob"), "alice"), 404, "not-found")
    assert_problem(await listed(way, way.people.frontend(), "alice"), 404, "not-found")
    assert (await revoke(way, serial.upper(), admin, "alice")).json()["revoked_by"] == "admin ops"
    assert (await revoke(way, serial, admin, "alice")).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b"null", b'{"token": "x"}', b'{"csr": "x"}', b'{"token": 1, "csr": "x"}',
        b'{"token": "x", "csr": 1}', b'{"token": "x", "csr": null}', b'{"token": "x", "csr": "-----BEGIN"}', b"{",
        json.dumps({"token": None, "csr": csr()}).encode(), json.dumps({"token": ["x"], "csr": csr()}).encode(),
    ],
)  # fmt: skip
async def test_what_is_no_enrolment_is_refused_and_the_token_stays_good(near: Called, body: bytes):
    token = await near.invite("alice")
    async with nothing_changes(near):
        assert_problem(await near.ask("POST", "/api/enrolments", body.replace(b'"x"', json.dumps(token).encode())),
                       400, "invalid-request")  # fmt: skip
    assert (await enroll(near, token)).status == 201


@pytest.mark.parametrize("token", ["", "x", "a.b", ".", "a" * 5000, "é", "../..", "YQ." + "A" * 43, "\x00"])
async def test_a_token_that_nobody_gave_brings_nothing(near: Called, token: str):
    async with nothing_changes(near):
        assert_problem(await enroll(near, token), 403, "not-invited")


async def test_a_request_without_its_key_brings_nothing(near: Called):
    pem = csr()
    body = pem.splitlines()
    body[3] = body[3][::-1]
    asked = json.dumps({"token": await near.invite("alice"), "csr": "\n".join(body)}).encode()
    async with nothing_changes(near):
        assert_problem(await near.ask("POST", "/api/enrolments", asked), 400, "invalid-request", "csr: ")


async def test_where_anybody_is_let_in_there_is_nothing_for_who_is_somebody(served: Served):
    async with nothing_changes(served):
        for (method, path), name in ROUTES.items():
            if name == "show_openapi":
                continue
            if name in ("enroll", "publish_crl"):
                port, by = served._port, served.people.user("alice")
            else:
                port, by = served._open_port, None
            reply = await over_tls(port, served.people, raw(method, path, b"{}", ()), by)
            assert_problem(reply, 404, "not-found", "nothing is served at this path")


async def test_a_certificate_in_a_header_makes_nobody_a_caller_at_the_open_door(served: Served):
    forged = [f"X-ARR-ClientCert: {served.people.user('alice').header}"]
    async with nothing_changes(served):
        reply = await over_tls(served._open_port, served.people, raw("GET", "/api/leases", b"", forged), None)
        assert_problem(reply, 404, "not-found")
        assert_problem(await enroll(served, "x", headers=forged), 403, "not-invited")


async def test_the_revocation_list_is_for_everybody_and_signed(way: Way):
    reply = await way.ask("GET", "/api/crl")
    assert (reply.status, reply.header("content-type")) == (200, "application/pkix-crl")
    crl = x509.load_der_x509_crl(reply.body)
    assert crl.is_signature_valid(way.people.factory.ca.certificate.public_key())  # type: ignore[arg-type]
    assert len(crl) == 0 and crl.next_update_utc is not None


async def test_a_revoked_certificate_is_on_the_list_ten_minutes_later(near: Called):
    serial = (await enroll(near, await near.invite("alice"))).json()["serial"]
    before = x509.load_der_x509_crl((await near.ask("GET", "/api/crl")).body)
    await revoke(near, serial, near.people.holder(Role.ADMIN, "ops", "default"), "alice")
    near.world.clock.turn(601)
    crl = x509.load_der_x509_crl((await near.ask("GET", "/api/crl")).body)
    assert [format(each.serial_number, "x") for each in crl] == [serial]
    numbers = [each.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for each in (before, crl)]
    assert numbers[0] < numbers[1]


async def test_an_old_list_serves_while_no_new_one_can_be_made(near: Called, caplog: pytest.LogCaptureFixture):
    first = (await near.ask("GET", "/api/crl")).body
    near.world.clock.turn(3600)
    await near.strike("the store is down")
    assert (await near.ask("GET", "/api/crl")).body == first
    assert "not made anew" in caplog.text
    near.world.clock.turn(86_400)
    assert_problem(await near.ask("GET", "/api/crl"), 503, "store-unavailable")


async def test_a_minute_without_news_of_revocations_leaves_beats_alone(near: Called):
    await near.create_db("alice")
    blind = False

    async def trouble(name: str) -> None:
        if name == "revoked" and blind:
            from shared.domain.errors import StoreUnavailable

            raise StoreUnavailable("the partition is away")

    near.world.store.trouble = trouble
    blind = True
    near.world.clock.turn(59)
    assert (await near.create_db("alice")).status == 200
    near.world.clock.turn(2)
    assert_problem(await near.create_db("alice"), 503, "store-unavailable")
    assert_problem(await near.lease("GET"), 503, "store-unavailable")
    assert (await near.heart_beat("alice")).json()["renewed"] is True
    blind = False
    assert (await near.create_db("alice")).status == 200


async def test_where_no_ca_is_set_nothing_is_issued_and_no_token_used(near: Called, monkeypatch: pytest.MonkeyPatch):
    from shared.wiring import issuing

    token = await near.invite("alice")
    monkeypatch.setenv("PLAYGROUND_ISSUER_KEY", "none")
    await issuing.authority.close()
    async with nothing_changes(near):
        assert_problem(await enroll(near, token), 503, "authority-unavailable")
    monkeypatch.undo()


async def test_no_token_and_no_key_shows_in_a_log(near: Called, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    token = await near.invite("alice")
    for trouble in ("the store is down", "nothing"):
        await near.strike(trouble)
        await enroll(near, token)
        await enroll(near, token, key(1))
    assert token not in caplog.text and token.partition(".")[2] not in caplog.text
