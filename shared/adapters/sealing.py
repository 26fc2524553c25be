"""AES-GCM under a key ring: sealed text is `<key id>.<base64 of nonce and ciphertext>`."""

import base64
import binascii
import os
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.domain.errors import SealBroken

NONCE = 12  # bytes, the size AES-GCM is meant for


class KeyRing:
    """Seals with the first key, opens with any.

    A new key goes in front. Whoever finds text that is `stale` seals it anew, so that an old key may
    be dropped once everything was found: for leases, when each was looked at since.
    """

    def __init__(self, keys: dict[str, bytes]):
        if not keys:
            raise ValueError("there is no key")
        self._keys = {name: AESGCM(key) for name, key in keys.items()}
        self._first = next(iter(keys))

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """From `<id>:<base64 of 32 bytes>`, separated by commas or lines. Raises ValueError."""
        keys: dict[str, bytes] = {}
        for number, entry in enumerate(text.replace(",", "\n").split(), 1):
            name, _, encoded = entry.partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                key = b""
            if not name.isalnum() or len(key) != 32 or name in keys:
                raise ValueError(f"key {number} is not <id>:<base64 of 32 bytes> with an id of its own")
            keys[name] = key
        return cls(keys)

    def seal(self, text: str, context: str) -> str:
        nonce = secrets.token_bytes(NONCE)
        sealed = nonce + self._keys[self._first].encrypt(nonce, text.encode(), context.encode())
        return f"{self._first}.{base64.b64encode(sealed).decode()}"

    def open(self, sealed: str, context: str) -> str:
        name, _, encoded = sealed.partition(".")
        key = self._keys.get(name)
        if key is None:
            raise SealBroken(f"credentials are sealed with key {name[:20]!r}, which is not in PLAYGROUND_SEAL_KEYS")
        try:
            data = base64.b64decode(encoded, validate=True)
            return key.decrypt(data[:NONCE], data[NONCE:], context.encode()).decode()
        except (InvalidTag, ValueError):
            raise SealBroken("credentials are not what was sealed") from None

    def stale(self, sealed: str) -> bool:
        return sealed.partition(".")[0] != self._first


def new_key() -> str:
    """A key as `parse` reads it, named after nothing."""
    return f"k{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(32)).decode()}"


def create_key_file(path: str) -> None:
    """Write a new key to `path` with mode 0600. Raises FileExistsError: a key is never overwritten."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(new_key() + "\n")
        file.flush()
        os.fsync(file.fileno())
