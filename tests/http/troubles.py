"""What can go wrong around a request, by name: `strike(world, "the cluster answers 429")`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from shared.adapters.k8s.answers import Refusal, refused, unavailable
from shared.adapters.k8s.api import ObjectConflict
from shared.adapters.sealing import KeyRing, new_key
from shared.domain.errors import Conflict, StoreUnavailable
from shared.wiring import control, sealing
from tests.doubles.network import Fate, Request

if TYPE_CHECKING:
    from tests.http.world import World

type StoreTrouble = Callable[[str], Awaitable[None]]
type ClusterTrouble = Callable[[Request], Awaitable[Fate | None]]

REFUSALS = {
    "the cluster answers 403": Refusal(403, "Forbidden", 'secrets is forbidden: User "playground" cannot create'),
    "the cluster answers 409": Refusal(409, "Conflict", "the object has been modified"),
    "the cluster answers 429": Refusal(429, "TooManyRequests", "please try again later", 7),
    "the cluster answers 500": Refusal(500, "InternalError", "etcdserver: request timed out"),
}
PODS = {
    "quota": 'pods "pg" is forbidden: exceeded quota: team-a',
    "pod security": 'pods "pg" is forbidden: violates PodSecurity "restricted:latest"',
}
IMAGE = 'failed to pull image "nobody/nothing": not found'


async def no_store_trouble(name: str) -> None:
    """All is well."""


async def no_cluster_trouble(request: Request) -> None:
    """All is well."""


async def hang(_: object) -> None:
    """Never an answer."""
    await asyncio.Event().wait()


async def store_down(name: str) -> None:
    raise StoreUnavailable(f"the store did not answer ({name})", retry_after=2)


async def cluster_down(request: Request) -> Fate | None:
    raise unavailable(ConnectionRefusedError())


def conflicts(times: float) -> StoreTrouble:
    """So many writes meet somebody else's."""
    left = times

    async def conflict(name: str) -> None:
        nonlocal left
        if name in ("create", "replace") and left > 0:
            left -= 1
            raise Conflict("written by somebody else")

    return conflict


def object_conflict() -> ClusterTrouble:
    """The first replace of a StatefulSet meets its controller's status update."""
    struck: list[Request] = []

    async def conflict(request: Request) -> Fate | None:
        if request.verb == "replace" and not struck:
            struck.append(request)
            raise ObjectConflict
        return None

    return conflict


def refuse(refusal: Refusal) -> ClusterTrouble:
    async def refuse(request: Request) -> Fate | None:
        raise refused(refusal)

    return refuse


async def strike(world: "World", name: str) -> None:
    """This trouble from now on, and no other but a missing key. Raises KeyError for a name that is none."""
    controllers = world.kubernetes.controllers
    world.trouble, world.store.trouble = no_cluster_trouble, no_store_trouble
    controllers.refuse_pods, controllers.waiting, controllers.asleep = "", None, False
    match name:
        case "nothing":
            pass
        case "the cluster is down":
            world.trouble = cluster_down
        case "the cluster hangs":
            world.trouble = hang
        case "the cluster conflicts once":
            world.trouble = object_conflict()
        case "the cluster refuses the pod (quota)":
            controllers.refuse_pods = PODS["quota"]
        case "the cluster refuses the pod (pod security)":
            controllers.refuse_pods = PODS["pod security"]
        case "the image is unknown":
            controllers.waiting = ("ErrImagePull", IMAGE)
        case "pods never start":
            controllers.asleep = True
        case "the store is down":
            world.store.trouble = store_down
        case "the store hangs":
            world.store.trouble = hang
        case "the store conflicts once":
            world.store.trouble = conflicts(1)
        case "the store always conflicts":
            world.store.trouble = conflicts(float("inf"))
        case "the key is missing":
            sealing.sealer.set(KeyRing.parse(new_key()))
            await control.control.close()  # it holds the old one
        case _:
            world.trouble = refuse(REFUSALS[name])
