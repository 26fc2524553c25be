"""A CA's key that never leaves Azure Key Vault: whoever signs with it asks the vault to.

All of it blocks; `KeyAuthority` calls it in threads of its own.
"""

import re
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from logging import DEBUG
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import DefaultAzureCredential
from azure.keyvault.keys import KeyClient, KeyVaultKey  # noqa: TID251
from azure.keyvault.keys.crypto import CryptographyClient, KeyVaultRSAPrivateKey  # noqa: TID251
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding

from shared.domain.errors import AuthorityUnavailable

LEAST_BITS = 3072  # as strong as what is signed with it: NIST SP 800-57 part 1, 128 bits
CONNECT = 2.0  # seconds for a connection
ANSWER = 2.0  # seconds for an answer
LONGEST = 9.0  # seconds for all attempts, the pauses between them included; `KeyAuthority` waits for 10
AGAIN = 2  # attempts after the first
PAUSE = 0.2  # seconds before another, where the vault does not say how many
PASSING = (408, 429, 500, 502, 503, 504)  # statuses that the next attempt may not meet

_URL = re.compile(r"(https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?)/keys/([A-Za-z0-9-]{1,127})(?:/([A-Za-z0-9]{32}))?")
_CODE = re.compile(r"[A-Za-z]{1,64}")
_SECONDS = re.compile(r"[0-9]{1,6}")


class VaultKey(KeyVaultRSAPrivateKey):
    """The SDK's key, with what it lacks: a public key that equals a certificate's, patience, and errors of ours.

    `sign` raises AuthorityUnavailable.
    """

    def __init__(
        self, client: CryptographyClient, key: KeyVaultKey, public: rsa.RSAPublicKey, closing: threading.Event
    ):
        super().__init__(client, key.key)
        self._public, self._closing = public, closing

    def public_key(self) -> rsa.RSAPublicKey:  # type: ignore[override]
        return self._public

    def sign(self, data: bytes, padding: AsymmetricPadding, algorithm: Any) -> bytes:
        def signed() -> bytes:
            signature = super(VaultKey, self).sign(data, padding, algorithm)
            self._public.verify(signature, data, padding, algorithm)
            return signature

        return _asked(signed, self._closing)


def open_key(url: str, credential: TokenCredential | None = None) -> tuple[VaultKey, Callable[[], None]]:
    """The key at `https://<vault>.vault.azure.net/keys/<name>[/<version>]`, and what closes it.

    Without a version it is today's newest, for as long as this process lives. Without `credential` the
    process's own identity is used (AZURE_CLIENT_ID says which, where it has several). Raises ValueError
    for a wrong URL, or a key of another kind than RSA or of less than 3072 bits, and AuthorityUnavailable.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError("a key's URL is https://<vault>.vault.azure.net/keys/<name>, and /<version> if it is to stay")
    vault, name, version = found.groups()
    # Nothing is tried again by the SDK: it would sleep for as long as a Retry-After says.
    options: dict[str, Any] = {"connection_timeout": CONNECT, "read_timeout": ANSWER, "http_logging_level": DEBUG}
    closing = threading.Event()
    with ExitStack() as opened:
        if credential is None:
            own = DefaultAzureCredential(retry_total=AGAIN, process_timeout=int(LONGEST), **options)
            opened.callback(own.close)
            credential = own
        with KeyClient(vault, credential, retry_total=0, **options) as keys:
            key, public = _asked(lambda: _read(keys.get_key(name, version)), closing)
        if public is None or public.key_size < LEAST_BITS:
            raise ValueError(f"the key in Key Vault is no RSA key of at least {LEAST_BITS} bits")
        client = opened.enter_context(CryptographyClient(key, credential, retry_total=0, **options))
        opened.callback(closing.set)
        return VaultKey(client, key, public, closing), opened.pop_all().close


def _read(key: KeyVaultKey) -> tuple[KeyVaultKey, rsa.RSAPublicKey | None]:
    """With its public key, if it is an RSA key; any error says that this is no key."""
    jwk: Any = key.key
    if jwk.kty not in ("RSA", "RSA-HSM"):
        return key, None
    return key, rsa.RSAPublicNumbers(int.from_bytes(jwk.e), int.from_bytes(jwk.n)).public_key()


def _asked[Answer](ask: Callable[[], Answer], closing: threading.Event) -> Answer:
    """What the vault answers, in the end. Raises AuthorityUnavailable."""
    if closing.is_set():
        raise AuthorityUnavailable("the key was closed")
    deadline = time.monotonic() + LONGEST
    left = AGAIN
    while True:
        try:
            return ask()
        except Exception as error:  # the SDK has its own for what it expects, and any other for what it does not
            problem, pause = _problem(error), _pause(error)
        if pause is None or not left or time.monotonic() + pause + CONNECT + ANSWER > deadline or closing.wait(pause):
            raise problem  # with nothing that led to it: the SDK's errors hold answers, which might repeat a token
        left -= 1


def _pause(error: Exception) -> float | None:
    """Seconds before it is worth another attempt; None: it is not."""
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return PAUSE
    if not isinstance(error, HttpResponseError) or error.status_code not in PASSING:
        return None
    return PAUSE if (told := _retry_after(error)) is None else told


def _problem(error: Exception) -> AuthorityUnavailable:
    """In words of our own, and the vault's code."""
    if isinstance(error, HttpResponseError) and (error.status_code or 0) >= 300:
        code = getattr(error.error, "code", None)
        known = f" ({code})" if isinstance(code, str) and _CODE.fullmatch(code) else ""
        return AuthorityUnavailable(f"Key Vault answered {error.status_code}{known}", _retry_after(error))
    if isinstance(error, ClientAuthenticationError):
        return AuthorityUnavailable("this process cannot sign in to Key Vault; azure.identity's log says why")
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return AuthorityUnavailable(f"Key Vault cannot be reached: {type(_first(error)).__name__}", retry_after=5)
    return AuthorityUnavailable(f"what Key Vault answers is of no use: {type(error).__name__}")


def _retry_after(error: HttpResponseError) -> int | None:
    told = getattr(error.response, "headers", {}).get("Retry-After", "")
    return int(told) if _SECONDS.fullmatch(told) else None


def _first(error: BaseException) -> BaseException:
    """What an error began with."""
    while (earlier := getattr(error, "inner_exception", None) or error.__cause__ or error.__context__) is not None:
        error = earlier
    return error
