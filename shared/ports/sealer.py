"""How credentials are kept at rest. Adapter: `adapters.sealing`."""

from typing import Protocol


class Sealer(Protocol):
    """Seals text under a key ring, bound to a context that must be the same when it is opened."""

    def seal(self, text: str, context: str) -> str:
        """Sealed text that names its key."""

    def open(self, sealed: str, context: str) -> str:
        """The text. Raises SealBroken if the key is unknown, or text or context are not the sealed ones."""

    def stale(self, sealed: str) -> bool:
        """Whether it was sealed with another key than the one that seals now."""
