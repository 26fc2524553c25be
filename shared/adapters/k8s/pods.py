"""The pods of a control plane, watched once for all who wait for one: a watch is a connection of its own.

Each who waits lists its own life's pods, which are few, and takes from the common watch what came
after. A resourceVersion of the same kind of object may be compared as a number (Kubernetes' API
concepts, "Resource versions").
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from shared.adapters.k8s.api import Api, Change
from shared.adapters.k8s.watching import Seen, everything, patiently, relisted, tail
from shared.manifests import database

# What comes to who waits: a change, the news that the watch has begun (None), or why it ended.
type _Inbox = asyncio.Queue[Change | Exception | None]


class Pods:
    """The pods of one control plane (`plane`, its random id). Watches while anybody follows."""

    def __init__(self, api: Api, plane: str):
        self._api = api
        self._plane = f"{database.PLANE}={plane}"
        self._inboxes: dict[str, set[_Inbox]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._begun = False

    def selector(self, generation: str) -> str:
        """The labels of one life."""
        return f"{self._plane},{database.GENERATION}={generation}"

    async def follow(self, generation: str) -> AsyncGenerator[Seen]:
        """The pods of one life, again after every change; never ends by itself.

        What is there when it begins is seen. Raises ClusterUnavailable if watching or listing failed six times.
        """
        mine = self.selector(generation)
        inbox: _Inbox = asyncio.Queue()
        self._inboxes.setdefault(generation, set()).add(inbox)
        if self._watch is None:
            self._begun = False
            self._watch = asyncio.ensure_future(self._run())
        elif self._begun:
            inbox.put_nowait(None)
        seen: Seen | None = None
        version = ""
        try:
            while True:
                news = await inbox.get()
                if isinstance(news, Exception):
                    raise news
                if news is None:
                    pods, version = await patiently(lambda: everything(self._api, "Pod", mine))
                    seen = relisted(seen, pods)
                elif seen is not None and int(news.object["metadata"]["resourceVersion"]) > int(version):
                    seen.apply(news)
                else:
                    continue  # the list knows it
                yield seen
        finally:
            self._leave(generation, inbox)

    def _leave(self, generation: str, inbox: _Inbox) -> None:
        mine = self._inboxes[generation]
        mine.discard(inbox)
        if not mine:
            del self._inboxes[generation]
        if not self._inboxes and self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def _run(self) -> None:
        try:
            async with aclosing(tail(self._api, "Pod", self._plane, "", self._begin)) as changes:
                async for change in changes:
                    self._begun = True
                    if change is None:
                        self._tell(None, *self._inboxes)
                    else:
                        self._tell(change, change.object["metadata"]["labels"].get(database.GENERATION, ""))
        except Exception as error:  # handed to all who wait
            self._watch = None
            self._tell(error, *self._inboxes)

    async def _begin(self) -> str:
        """Since when we watch. Nobody needs a list of all pods there are."""
        return (await self._api.page("Pod", self._plane, limit=1)).version

    def _tell(self, news: Change | Exception | None, *generations: str) -> None:
        for generation in generations:
            for inbox in self._inboxes.get(generation, ()):
                inbox.put_nowait(news)
