"""Acts that stop where a later one was: nothing is changed but what was read.

An act reads the object, stops if the step there is higher than its own, and writes its step and
its change in one update under the resourceVersion that it read. So of two acts the later step
wins whatever order their requests arrive in, and a request that is repeated or comes late changes
nothing. What lacks this control plane's label does not exist for it.
"""

from collections.abc import Callable

from shared.adapters.k8s.api import Api, Object, ObjectConflict, ObjectGone
from shared.domain.errors import ClusterRefused, ClusterUnavailable, Fenced
from shared.manifests import database

TRIES = 5


class Fences:
    """Reads and changes the objects of one control plane's lives."""

    def __init__(self, api: Api, plane: str):
        self.api = api
        self.plane = plane

    async def own(self, kind: str, generation: str) -> Object | None:
        """The life's object of that kind, or None. Raises ClusterRefused if it is somebody else's."""
        found = await self.api.get(kind, database.name(generation))
        if found is not None:
            self.check(found, generation)
        return found

    def check(self, found: Object, generation: str) -> None:
        labels = found["metadata"].get("labels") or {}
        if labels.get(database.PLANE) != self.plane or labels.get(database.GENERATION) != generation:
            raise ClusterRefused(f"{found['kind']} {found['metadata']['name']} is not ours; left alone")

    async def change(
        self, generation: str, step: int, change: Callable[[Object], Object], found: Object | None = None
    ) -> Object | None:
        """Put `change` of the StatefulSet and `step` in its place; None if there is none.

        `found` saves the first read. Raises Fenced, ClusterRefused, ClusterUnavailable.
        """
        for _ in range(TRIES):
            found = found or await self.own("StatefulSet", generation)
            if found is None:
                return None
            fence(found, step)
            wanted = change(found)
            wanted["metadata"]["annotations"][database.STEP] = str(step)
            try:
                return await self.api.replace(wanted)
            except ObjectConflict:
                found = None
            except ObjectGone:
                return None
        raise ClusterUnavailable(f"StatefulSet {database.name(generation)} keeps changing", retry_after=1)

    async def delete(self, kind: str, generation: str, step: int = 0) -> bool:
        """Begin the deletion of one object; True if it was not there. A StatefulSet is fenced by `step`."""
        for _ in range(TRIES):
            found = await self.own(kind, generation)
            if found is None:
                return True
            if kind == "StatefulSet":
                fence(found, step)
            metadata = found["metadata"]
            try:
                await self.api.delete(kind, metadata["name"], metadata["uid"], metadata["resourceVersion"])
                return False
            except ObjectConflict:
                continue  # its controller writes a status; whoever wrote a step, is seen at the next read
        return False


def fence(found: Object, step: int) -> None:
    """Raise Fenced if a higher step was here, ClusterRefused if nobody can tell."""
    written = (found["metadata"].get("annotations") or {}).get(database.STEP, "0")
    if not written.isdecimal():
        raise ClusterRefused(f"{found['metadata']['name']} has no readable {database.STEP}; left alone")
    if int(written) > step:
        raise Fenced(f"{found['metadata']['name']} is at step {written}, this was step {step}")
