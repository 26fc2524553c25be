"""List and watch, as Kubernetes wants it done: what is there, and every change, through cuts and 410s."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from shared.adapters.k8s.api import Api, Change, Object, WatchExpired
from shared.domain.errors import ClusterUnavailable

RETRIES = 5
PAUSE = 0.1  # seconds before the first retry; doubled for each one after it


@dataclass(slots=True)
class Seen:
    """The objects of a selector by name, and which of them changed after the first list."""

    objects: dict[str, Object] = field(default_factory=dict)
    news: set[str] = field(default_factory=set)

    def apply(self, change: Change) -> None:
        name = change.object["metadata"]["name"]
        self.news.add(name)
        if change.type == "DELETED":
            self.objects.pop(name, None)
        else:
            self.objects[name] = change.object


async def everything(api: Api, kind: str, labels: str = "", fields: str = "") -> tuple[list[Object], str]:
    """All objects of a selector and the resourceVersion from which to watch on."""
    while True:
        page = await api.page(kind, labels, fields)
        objects = list(page.items)
        try:
            while page.after:
                page = await api.page(kind, labels, fields, page.after)
                objects += page.items
        except WatchExpired:
            continue  # the token outlived what it points to
        return objects, page.version


async def patiently[T](act: Callable[[], Awaitable[T]]) -> T:
    """What `act` returns, tried again five times while the cluster does not answer. Raises ClusterUnavailable."""
    for attempt in range(RETRIES):
        try:
            return await act()
        except ClusterUnavailable:
            await asyncio.sleep(PAUSE * 2**attempt)
    return await act()


async def follow(api: Api, kind: str, labels: str = "", fields: str = "") -> AsyncGenerator[Seen]:
    """What is there, again after every change; never ends by itself.

    Raises ClusterUnavailable when watching or listing failed six times without a change in between.
    """
    seen: Seen | None = None

    async def begin() -> str:
        nonlocal seen
        objects, version = await everything(api, kind, labels, fields)
        seen = relisted(seen, objects)
        return version

    async with aclosing(tail(api, kind, labels, fields, begin)) as changes:
        async for change in changes:
            assert seen is not None
            if change is not None:
                seen.apply(change)
            yield seen


async def tail(
    api: Api, kind: str, labels: str, fields: str, begin: Callable[[], Awaitable[str]]
) -> AsyncGenerator[Change | None]:
    """Every change after what `begin` has listed; None each time that it has. Never ends by itself.

    `begin` says from which resourceVersion to watch on. A watch that is cut goes on from where it
    was; one that is too old (410) begins anew. Raises ClusterUnavailable as `follow` does.
    """
    version = ""
    failures = 0
    while True:
        try:
            if not version:
                version = await begin()
                yield None
            async with aclosing(api.watch(kind, labels, fields, version)) as changes:
                async for change in changes:
                    version = change.object["metadata"]["resourceVersion"]
                    failures = 0
                    if change.type != "BOOKMARK":
                        yield change
            await asyncio.sleep(PAUSE)  # the server ended it, as it does; but not in a tight loop
        except WatchExpired:
            version = ""
            await asyncio.sleep(PAUSE)
        except ClusterUnavailable:
            failures += 1
            if failures > RETRIES:
                raise
            await asyncio.sleep(PAUSE * 2 ** (failures - 1))


def relisted(seen: Seen | None, objects: list[Object]) -> Seen:
    """What was seen before, if anything was, and what is there now."""
    now = {object["metadata"]["name"]: object for object in objects}
    if seen is None:
        return Seen(now)
    versions = {name: object["metadata"]["resourceVersion"] for name, object in seen.objects.items()}
    news = {name for name, object in now.items() if versions.get(name) != object["metadata"]["resourceVersion"]}
    return Seen(now, seen.news | news)
