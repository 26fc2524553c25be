"""Waiting for a life to be ready: by watching, until it is or something shows that it will not."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from shared.adapters.k8s.addresses import slices_of
from shared.adapters.k8s.api import Api, Object
from shared.adapters.k8s.pods import Pods
from shared.adapters.k8s.readiness import View, running, server, standing, started, unschedulable, waiting
from shared.adapters.k8s.watching import Seen, follow
from shared.domain.errors import PlaygroundError
from shared.manifests import database
from shared.manifests.mariadb import CONTAINER, STARTED
from shared.ports.cluster import Status

MISSING = 0.5  # seconds that a StatefulSet's controller has to make a pod before we ask what keeps it


class Wait:
    """One wait: the pods of a life are followed until `judge` is content with them.

    Its StatefulSet and where its Service leads are read when there is something to judge, and what the
    cluster says about it when no pod comes: most starts need no watch of their own.
    `volume` and `service` are as read before; `followed` has the Service followed, too, because a
    balancer's address comes later than the Service. That nobody has room passes by itself where
    nodes are added, so it ends a wait only after `patience` seconds.
    """

    def __init__(self, api: Api, pods: Pods, generation: str, judge: Callable[[View], Status], patience: float):
        self._api = api
        self._pods = pods
        self._generation = generation
        self._name = database.name(generation)
        self._judge = judge
        self._patience = patience
        self._feeds: dict[str, asyncio.Future[None]] = {}
        self._seen: dict[str, Seen] = {}
        self._changed = asyncio.Event()
        self._error: Exception | None = None
        self._question: asyncio.Future[None] | None = None
        self._answered = ""

    async def ready(self, volume: Object | None, service: Object | None, followed: bool) -> Status:
        """The status that ended the wait. Raises ClusterUnavailable if the watches cannot be kept up."""
        self._follow("Pod", *(["Service"] if followed else []))
        missing_since: float | None = None
        full_since: float | None = None
        try:
            while True:
                left: float | None = None
                if all(kind in self._seen for kind in self._feeds):
                    pod = standing(self._seen["Pod"].objects.values())
                    if pod is not None and running(pod):
                        self._ask(pod)
                    missing_since = (missing_since or _now()) if pod is None else None
                    full_since = (full_since or _now()) if pod is not None and unschedulable(pod) else None
                    if missing_since is not None and "Event" not in self._feeds:
                        left = missing_since + MISSING - _now()
                        if left <= 0:
                            self._follow("StatefulSet", "Event")
                            continue
                    elif pod is not None and self._matters(pod):
                        self._follow("StatefulSet", "EndpointSlice")
                    if "StatefulSet" in self._seen:
                        status = self._judge(self._view(volume, service))
                        if status.ready:
                            return status
                        if status.replicas == 0:
                            return replace(status, failure="it was stopped meanwhile")
                        if full_since is not None:
                            left = full_since + self._patience - _now()
                        if status.failure and (left is None or left <= 0):
                            return status
                await self._change(left)
        finally:
            tasks = [*self._feeds.values(), *([self._question] if self._question else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # A cancelled task holds its frames and they hold this wait: two hundred objects that would go in no other
            # way than by a collection, for which everybody waits.
            self._feeds.clear()
            self._question = None

    def _matters(self, pod: Object) -> bool:
        """Whether there is something to judge: the pod serves, or says why it does not."""
        return started(pod) or self._answered == server(pod) != "" or bool(waiting(pod) or unschedulable(pod))

    def _follow(self, *kinds: str) -> None:
        for kind in kinds:
            if kind not in self._feeds:
                self._feeds[kind] = asyncio.ensure_future(self._feed(kind, self._states(kind)))

    def _states(self, kind: str) -> AsyncGenerator[Seen]:
        if kind == "Pod":
            return self._pods.follow(self._generation)
        if kind == "Event":
            return follow(self._api, kind, fields=f"involvedObject.name={self._name}")
        if kind == "EndpointSlice":
            return follow(self._api, kind, slices_of(self._generation))
        return follow(self._api, kind, self._pods.selector(self._generation))

    def _ask(self, pod: Object) -> None:
        """Ask the server itself, once at a time: kubelet would ask a second later, and tell later still."""
        if self._question is None or self._question.done():
            self._question = asyncio.ensure_future(self._answer(pod))

    async def _answer(self, pod: Object) -> None:
        try:
            output = await self._api.run(pod["metadata"]["name"], CONTAINER, STARTED)
        except PlaygroundError:
            return  # then kubelet's word will do
        if output.code == 0:
            self._answered = server(pod)
            self._changed.set()

    async def _feed(self, kind: str, states: AsyncGenerator[Seen]) -> None:
        try:
            async with aclosing(states):
                async for seen in states:
                    self._seen[kind] = seen
                    self._changed.set()
                    await asyncio.sleep(0)  # whoever waits may have seen enough to need no watch
        except Exception as error:  # handed to whoever waits
            self._error = error
            self._changed.set()

    async def _change(self, left: float | None) -> None:
        """Until something changed, or for `left` seconds."""
        try:
            async with asyncio.timeout(left):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()
        if self._error is not None:
            raise self._error

    def _view(self, volume: Object | None, service: Object | None) -> View:
        services = self._seen.get("Service")
        events = self._seen.get("Event") or Seen()
        slices = self._seen.get("EndpointSlice") or Seen()
        return View(
            workload=self._seen["StatefulSet"].objects.get(self._name),
            volume=volume,
            service=services.objects.get(self._name) if services else service,
            slices=slices.objects,
            pods=self._seen["Pod"].objects,
            events=events.objects,
            news=frozenset(events.news),
            answered=self._answered,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
