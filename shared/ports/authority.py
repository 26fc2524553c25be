"""Who signs certificates. Adapter: `adapters.authority`, with a key in a file or in Azure Key Vault."""

from collections.abc import Sequence
from typing import Protocol

from shared.domain.holders import Issued
from shared.domain.identity import Principal


class Authority(Protocol):
    """A CA of ours. Signing may raise AuthorityUnavailable, and takes 10 s at most."""

    @property
    def until(self) -> float:
        """The end of its own certificate."""

    async def issue(self, principal: Principal, issued: Issued, public_key: bytes) -> str:
        """That certificate, for that key (DER, SubjectPublicKeyInfo), and the CA's own, as PEM in that order."""

    async def revocation_list(self, revoked: Sequence[Issued], number: int, now: float, until: float) -> bytes:
        """A list (DER) of what is revoked, good until then. One of a higher number replaces those of lower ones."""

    async def close(self) -> None:
        """Nothing can be asked afterwards."""
