"""Names as requests give them: text to the models, whose schemas say what `domain.identity` lets pass."""

from typing import Annotated

from pydantic import WithJsonSchema

from shared.domain.identity import LONGEST_NAME

_NAME = {"type": "string", "maxLength": LONGEST_NAME, "pattern": r"^[A-Za-z0-9\-._~!$'()*,:@/?=]*$"}

UserId = Annotated[str, WithJsonSchema({**_NAME, "minLength": 1, "examples": ["alice"]})]
LeaseId = Annotated[str, WithJsonSchema({**_NAME, "minLength": 1, "examples": ["database"]})]
UserIdIfAny = Annotated[str, WithJsonSchema({**_NAME, "examples": ["alice"]})]
"""Empty for nobody."""
