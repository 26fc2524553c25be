"""`api.Api`, timed: what is asked of Kubernetes, and what came of it."""

import time
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing

from shared.adapters.k8s.answers import Refusal
from shared.adapters.k8s.api import (
    AlreadyExists,
    Api,
    Change,
    Object,
    ObjectConflict,
    ObjectGone,
    Output,
    Page,
    WatchExpired,
)
from shared.ports import metrics
from shared.ports.telemetry import Reach, Telemetry

ANSWERS = {AlreadyExists: "409", ObjectConflict: "409", ObjectGone: "404", WatchExpired: "410"}


class ObservedApi:
    """`k8s.api.Api`: each request is timed, and done as it would be; of watches there are no spans."""

    def __init__(self, api: Api, telemetry: Telemetry):
        self._api, self._telemetry = api, telemetry

    async def get(self, kind: str, name: str) -> Object | None:
        return await self._timed("get", kind, self._api.get(kind, name))

    async def create(self, manifest: Object) -> Object:
        return await self._timed("create", manifest["kind"], self._api.create(manifest))

    async def replace(self, manifest: Object) -> Object:
        return await self._timed("replace", manifest["kind"], self._api.replace(manifest))

    async def delete(self, kind: str, name: str, uid: str, version: str) -> None:
        await self._timed("delete", kind, self._api.delete(kind, name, uid, version))

    async def page(self, kind: str, labels: str = "", fields: str = "", after: str = "", limit: int = 500) -> Page:
        return await self._timed("page", kind, self._api.page(kind, labels, fields, after, limit))

    async def run(self, pod: str, container: str, argv: Sequence[str]) -> Output:
        return await self._timed("run", "Pod", self._api.run(pod, container, argv))

    async def watch(self, kind: str, labels: str, fields: str, version: str) -> AsyncGenerator[Change]:
        began, status = time.perf_counter(), "200"
        try:
            async with aclosing(self._api.watch(kind, labels, fields, version)) as changes:
                async for change in changes:
                    yield change
        except Exception as error:
            status = _status(error)
            raise
        finally:
            self._telemetry.tell(metrics.CLUSTER, time.perf_counter() - began, "watch", kind, status)

    async def _timed[T](self, verb: str, kind: str, request: Awaitable[T]) -> T:
        began, status = time.perf_counter(), "cancelled"
        with self._telemetry.span(f"kubernetes {verb} {kind}", Reach.CLIENT) as span:
            try:
                answer = await request
                status = "404" if answer is None and verb == "get" else "200"
                return answer
            except Exception as error:
                status = _status(error)
                raise
            finally:
                self._telemetry.tell(metrics.CLUSTER, time.perf_counter() - began, verb, kind, status)
                span.note("http.response.status_code", status)


def _status(error: Exception) -> str:
    """The API server's, as far as it answered."""
    if type(error) in ANSWERS:
        return ANSWERS[type(error)]
    return str(error.__cause__.code) if isinstance(error.__cause__, Refusal) else "none"
