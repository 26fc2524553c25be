"""Kubernetes as seven verbs on plain objects: the seam between fencing and transport.

`client.KubernetesApi` speaks to a real API server, `tests.doubles.kubernetes` is one in memory.
Everything is in one namespace. Every verb may raise ClusterUnavailable (no answer, 429, 5xx) and
ClusterRefused (the API server's own sentence). Objects are the API's own JSON.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

type Object = dict[str, Any]


class AlreadyExists(Exception):
    """A create found an object of that name."""


class ObjectConflict(Exception):
    """The object is not the one that was read: its resourceVersion or its UID differs."""


class ObjectGone(Exception):
    """A replace found no object of that name."""


class WatchExpired(Exception):
    """The server no longer knows that resourceVersion (410): list again."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects; `after` is the token for the next page ("" ends), `version` where a watch begins."""

    items: Sequence[Object]
    version: str
    after: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch. A BOOKMARK's object holds a resourceVersion and nothing else."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Object


@dataclass(frozen=True, slots=True)
class Output:
    """What a command in a container left: its exit code and its standard output."""

    code: int
    stdout: bytes


class Api(Protocol):
    """The verbs. Selectors are the API's own strings: `key=value,key=value`."""

    async def get(self, kind: str, name: str) -> Object | None:
        """The object, or None."""

    async def create(self, manifest: Object) -> Object:
        """Make it. Raises AlreadyExists."""

    async def replace(self, manifest: Object) -> Object:
        """Put it in the place of the object with its uid and resourceVersion.

        Raises ObjectConflict if that is not what is there, ObjectGone if nothing is.
        """

    async def delete(self, kind: str, name: str, uid: str, version: str) -> None:
        """Begin its deletion if it still has that UID and resourceVersion; gone is done.

        Raises ObjectConflict.
        """

    async def page(self, kind: str, labels: str = "", fields: str = "", after: str = "", limit: int = 500) -> Page:
        """Up to `limit` objects as they are now. Raises WatchExpired if the token `after` is too old."""

    def watch(self, kind: str, labels: str, fields: str, version: str) -> AsyncGenerator[Change]:
        """Changes after `version`; ends when the server ends it. Raises WatchExpired."""

    async def run(self, pod: str, container: str, argv: Sequence[str]) -> Output:
        """Run a program in a container. Sets no time limit of its own."""
