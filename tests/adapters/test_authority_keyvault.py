"""A CA's key in Key Vault: what is opened, what the vault's troubles cost, and that no token leaves."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from azure.core.exceptions import ClientAuthenticationError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from shared.adapters import authority, authority_keyvault
from shared.adapters import certificate_builders as builders
from shared.adapters.authority import KeyAuthority
from shared.adapters.authority_keyvault import LONGEST, VaultKey, open_key
from shared.domain.errors import AuthorityUnavailable
from tests.certs import TRUST_DOMAIN, CertificateFactory
from tests.doubles.key_vault import Fault, KeyVault, rsa_key


@pytest.fixture
async def vault(tmp_path: Path) -> AsyncIterator[KeyVault]:
    async with KeyVault.running(tmp_path) as vault:
        yield vault


@pytest.fixture
async def key(vault: KeyVault) -> AsyncIterator[VaultKey]:
    opened, close = await asyncio.to_thread(open_key, vault.url, vault.identity)
    yield opened
    close()


async def opened(vault: KeyVault, path: str = "") -> VaultKey:
    """The key, opened once and closed again."""
    key, close = await asyncio.to_thread(open_key, vault.url + path, vault.identity)
    close()
    return key


def sign(key: VaultKey) -> bytes:
    return key.sign(b"something", PKCS1v15(), hashes.SHA256())


async def signed(key: VaultKey) -> bytes:
    return await asyncio.to_thread(sign, key)


async def refused(act: Callable[[], object], vault: KeyVault) -> AuthorityUnavailable:
    """The error, in which no token is."""
    with pytest.raises(AuthorityUnavailable) as caught:
        await asyncio.to_thread(act)
    assert vault.identity.token not in "".join(traceback.format_exception(caught.value))
    return caught.value


# What is opened


async def test_a_key_is_opened_by_its_name_or_a_version_of_it(vault: KeyVault) -> None:
    for path in ("", f"/{vault.version}"):
        assert (await opened(vault, path)).public_key() == rsa_key().public_key()


async def test_a_key_stays_what_it_was_when_it_was_opened(vault: KeyVault, key: VaultKey) -> None:
    vault.version = "f" * 32
    with pytest.raises(AuthorityUnavailable, match="404"):
        await signed(key)


OURS = "https://ours.vault.azure.net"
NO_URLS = ["", OURS, f"{OURS}/secrets/ca", f"{OURS}/keys/", f"{OURS}/keys/ca/", f"{OURS}/keys/c_a", f"{OURS}/keys/ca/1",
           f"{OURS}/keys/ca?a=b", f"{OURS}/keys/ca\n", "http://ours.vault.azure.net/keys/ca", "ours/keys/ca",
           "https://me:hunter2@ours.vault.azure.net/keys/ca"]  # fmt: skip


@pytest.mark.parametrize("url", NO_URLS)
def test_a_url_that_no_key_has_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="a key's URL is") as caught:
        open_key(url)
    assert "hunter2" not in str(caught.value)


async def test_a_key_that_is_too_weak_or_of_another_kind_is_refused(vault: KeyVault) -> None:
    for vault.key in (ec.generate_private_key(ec.SECP256R1()), rsa_key(2048)):
        with pytest.raises(ValueError, match="no RSA key of at least 3072 bits"):
            await opened(vault)


@pytest.mark.parametrize("path", ["x", "/" + "0" * 32])
async def test_a_key_that_is_not_there_is_not_opened(vault: KeyVault, path: str) -> None:
    error = await refused(lambda: open_key(vault.url + path, vault.identity), vault)
    assert str(error) == "Key Vault answered 404 (KeyNotFound)"


async def test_the_process_s_own_identity_is_closed_with_the_key_or_where_none_is_opened(
    vault: KeyVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authority_keyvault, "DefaultAzureCredential", lambda **_: vault.identity)
    _, close = await asyncio.to_thread(open_key, vault.url)
    assert not vault.identity.closed
    close()
    assert vault.identity.closed
    vault.identity.closed = False
    vault.faults.append(Fault(403))
    await refused(lambda: open_key(vault.url), vault)
    assert vault.identity.closed


async def test_an_identity_that_was_given_is_not_closed(vault: KeyVault) -> None:
    await opened(vault)
    assert not vault.identity.closed


async def test_azure_s_own_way_to_sign_in_takes_our_bounds(vault: KeyVault) -> None:
    error = await refused(lambda: open_key("https://127.0.0.1:1/keys/nobody-there"), vault)
    assert str(error) == "Key Vault cannot be reached: ConnectionRefusedError"


async def test_who_cannot_sign_in_is_told_where_it_says_why(vault: KeyVault) -> None:
    vault.identity.failing = ClientAuthenticationError(f"refused: {vault.identity.token}")
    error = await refused(lambda: open_key(vault.url, vault.identity), vault)
    assert "cannot sign in" in str(error)
    assert not vault.asked("get")


async def test_a_vault_that_wants_a_token_for_something_else_gets_none(vault: KeyVault) -> None:
    vault.resource = "https://management.azure.com"
    await refused(lambda: open_key(vault.url, vault.identity), vault)
    assert vault.identity.scopes == []
    assert [kind for kind, _ in vault.log] == ["challenge"]


async def test_a_vault_with_another_s_certificate_gets_no_token(
    vault: KeyVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.crt"))
    (tmp_path / "other.crt").write_bytes(CertificateFactory(tmp_path).ca_pem)
    error = await refused(lambda: open_key(vault.url, vault.identity), vault)
    assert str(error) == "Key Vault cannot be reached: SSLCertVerificationError"
    assert (vault.log, vault.identity.scopes) == ([], [])


# Troubles

TROUBLES = {
    "refuses": (Fault(403), "403 (Forbidden)"),
    "knows no such token": (Fault(401), "401"),
    "takes it for wrong": (Fault(400), "400"),
    "sends elsewhere": (Fault(302), "302"),
    "is broken": (Fault(500, times=9), "500"),
    "throttles": (Fault(429, times=9), "429 (Throttled)"),
    "answers something else": (Fault(said="<html>"), "of no use"),
    "answers nothing": (Fault(said="{}"), "of no use"),
    "answers half": (Fault(said='{"key": {"kty": "RSA"}, "value": "AAAA"}'), "of no use"),
}


@pytest.mark.parametrize("what", TROUBLES)
@pytest.mark.parametrize("act", ["get", "sign"])
async def test_nothing_is_signed_where_the_vault(vault: KeyVault, key: VaultKey, what: str, act: str) -> None:
    fault, said = TROUBLES[what]
    vault.faults.append(Fault(fault.status, fault.retry_after, fault.said, times=fault.times))
    vault.log.clear()

    error = await refused(lambda: open_key(vault.url, vault.identity) if act == "get" else sign(key), vault)
    assert said in str(error)
    assert 1 <= len(vault.asked(act)) <= 3
    vault.faults.clear()
    assert await signed(key)


@pytest.mark.parametrize("status", [200, 403, 500])
async def test_a_vault_that_repeats_the_token_is_not_repeated(vault: KeyVault, key: VaultKey, status: int) -> None:
    token = vault.identity.token
    for said in (token, f'{{"error": {{"code": "{token}", "message": "{token}"}}}}'):
        vault.faults = [Fault(status, said=said, times=9)]
        await refused(lambda: sign(key), vault)


async def test_no_token_is_logged(vault: KeyVault, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key, close = await asyncio.to_thread(open_key, vault.url, vault.identity)
    await signed(key)
    vault.faults.append(Fault(403))
    await refused(lambda: sign(key), vault)
    close()
    assert "/sign" in caplog.text
    assert vault.identity.token not in caplog.text + repr(key)
    assert not [record for record in caplog.records if record.levelno >= logging.INFO]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_passes_is_tried_again(vault: KeyVault, key: VaultKey, status: int) -> None:
    vault.faults.append(Fault(status, retry_after=0, times=2))
    assert await signed(key)
    assert vault.asked("sign") == [status, status, 200]


async def test_a_vault_that_wants_to_be_left_alone_is_and_says_for_how_long(vault: KeyVault, key: VaultKey) -> None:
    vault.faults.append(Fault(429, retry_after=60))
    assert (await refused(lambda: sign(key), vault)).retry_after == 60
    assert vault.asked("sign") == [429]


async def test_a_signature_by_another_key_is_none(vault: KeyVault, key: VaultKey) -> None:
    vault.key = rsa_key(3072, 1)
    assert "InvalidSignature" in str(await refused(lambda: sign(key), vault))


# A vault that hangs


@pytest.mark.slow
async def test_who_opens_a_key_waits_for_no_answer_that_never_comes(
    vault: KeyVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authority_keyvault, "ANSWER", 0.25)
    held = Fault(hold=True, times=9)
    vault.faults.append(held)
    assert "cannot be reached" in str(await refused(lambda: open_key(vault.url, vault.identity), vault))
    assert 6 <= held.times <= 7  # two attempts or three came so far
    held.release.set()


async def a_ca(vault: KeyVault) -> KeyAuthority:
    key, close = await asyncio.to_thread(open_key, vault.url, vault.identity)
    now = datetime.now(UTC)
    unsigned = builders.authority(key.public_key(), now, now + timedelta(days=1))
    certificate = await asyncio.to_thread(unsigned.sign, key, hashes.SHA256())
    return KeyAuthority(certificate, key, TRUST_DOMAIN, close)


async def test_four_sign_at_once_while_everything_else_goes_on(vault: KeyVault) -> None:
    signing = await a_ca(vault)
    held = Fault(hold=True, of=("sign",), times=4)
    vault.faults.append(held)
    tasks = [asyncio.create_task(signing.revocation_list([], n, 1e9, 2e9)) for n in range(4)]
    for _ in tasks:
        await held.reached.acquire()  # the vault is served by this very loop
    assert not any(task.done() for task in tasks)
    held.release.set()
    assert len(set(await asyncio.gather(*tasks))) == 4
    await signing.close()


async def test_a_signature_that_takes_too_long_is_given_up(vault: KeyVault, monkeypatch: pytest.MonkeyPatch) -> None:
    signing = await a_ca(vault)
    monkeypatch.setattr(authority, "PATIENCE", 0.1)
    held = Fault(hold=True, of=("sign",))
    vault.faults.append(held)
    with pytest.raises(AuthorityUnavailable, match="nothing was signed within"):
        await signing.revocation_list([], 1, 1e9, 2e9)
    held.release.set()
    await signing.close()


def test_the_vault_is_given_up_before_who_waits_for_it_does() -> None:
    assert LONGEST < authority.PATIENCE


async def test_a_key_that_was_closed_asks_nobody(vault: KeyVault) -> None:
    key = await opened(vault)
    vault.log.clear()
    with pytest.raises(AuthorityUnavailable, match="was closed"):
        await signed(key)
    assert vault.log == []


# The stand-in refuses what Key Vault refuses

DIGEST = "A" * 43  # 32 bytes
REFUSED = {
    "no token": (401, "", {"alg": "RS256", "value": DIGEST}, False),
    "no api-version": (400, "", {"alg": "RS256", "value": DIGEST}, True),
    "an api-version that never was": (400, "?api-version=1.0", {"alg": "RS256", "value": DIGEST}, True),
    "a digest that is too long": (400, "?api-version=7.6", {"alg": "RS256", "value": DIGEST * 2}, True),
    "a digest of another hash": (400, "?api-version=7.6", {"alg": "RS512", "value": DIGEST}, True),
    "an algorithm of other keys": (400, "?api-version=7.6", {"alg": "ES256", "value": DIGEST}, True),
    "no algorithm": (400, "?api-version=7.6", {"value": DIGEST}, True),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_the_stand_in_refuses(vault: KeyVault, what: str) -> None:
    status, query, body, known = REFUSED[what]
    headers = {"Authorization": f"Bearer {vault.identity.token if known else 'wrong'}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(f"{vault.url}/sign{query}", json=body, ssl=False) as response:
            assert response.status == status
            assert ("WWW-Authenticate" in response.headers) == (not known)
        good = {"alg": "RS256", "value": DIGEST}
        async with session.post(f"{vault.url}//sign?api-version=7.6", json=good, ssl=False) as response:
            assert response.status == (200 if known else 401)
