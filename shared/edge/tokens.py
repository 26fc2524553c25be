"""Continuation tokens: where a list goes on, as text that callers hand back and do not read."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError


def encode(place: str) -> str:
    """The token for a place; of letters, digits, `-` and `_`, so that any URL carries it."""
    return urlsafe_b64encode(place.encode()).decode().rstrip("=")


def decode(token: Any) -> str:
    """The place that a token names. Raises PydanticCustomError for what `encode` never made."""
    try:
        place = urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (TypeError, ValueError):
        place = ""
    if encode(place) != token:
        raise PydanticCustomError("token", "not a token of ours")
    return place


Place = Annotated[str, BeforeValidator(decode), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_-]*$"})]
