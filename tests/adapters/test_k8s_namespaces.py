"""Whether there is a namespace, as told by an API server of a few lines."""

import json

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from shared.adapters.k8s.namespaces import ensure_namespace
from shared.domain.errors import ClusterRefused, ClusterUnavailable
from tests.adapters.apiserver import Handler, listening

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "here"}}


def answering(read: int, create: int, asked: list[str] | None = None) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        if asked is not None:
            asked.append(f"{request.method} {request.path}")
        code = read if request.method == "GET" else create
        body = NAMESPACE if code < 300 else {"kind": "Status", "code": code}
        return web.json_response(body, status=code)

    return handler


@pytest.mark.parametrize(
    ("read", "create", "made"),
    [
        (200, 500, False),  # it is there: nothing is asked for
        (404, 201, True),
        (404, 409, False),  # somebody else was faster
        (403, 201, True),
        (403, 409, False),
        (403, 403, False),  # the rights of infra/kubernetes/role.yaml and no more
    ],
)
async def test_a_namespace_is_made_where_it_is_missing(read, create, made):
    async with listening(answering(read, create)) as configuration:
        assert await ensure_namespace(configuration, "here") is made


async def test_it_is_made_with_the_labels_of_the_standard():
    bodies = []

    async def handler(request: web.Request) -> web.Response:
        if request.method == "POST":
            bodies.append(json.loads(await request.text()))
            return web.json_response(NAMESPACE, status=201)
        return web.json_response({"kind": "Status", "code": 404}, status=404)

    async with listening(handler) as configuration:
        assert await ensure_namespace(configuration, "here")
    assert bodies[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(("read", "create"), [(404, 403), (404, 422), (403, 422)])
async def test_a_namespace_that_cannot_be_made_is_refused(read, create):
    async with listening(answering(read, create)) as configuration:
        with pytest.raises(ClusterRefused, match="namespace here is missing and cannot be made"):
            await ensure_namespace(configuration, "here")


@pytest.mark.parametrize(("read", "create"), [(500, 201), (401, 201), (429, 201), (404, 500), (403, 503), (404, 401)])
async def test_what_may_pass_by_waiting_is_unavailable(read, create):
    async with listening(answering(read, create)) as configuration:
        with pytest.raises(ClusterUnavailable):
            await ensure_namespace(configuration, "here")


async def test_a_cluster_that_is_not_there_is_unavailable_whichever_request_meets_it():
    with pytest.raises(ClusterUnavailable, match="cannot be reached"):
        await ensure_namespace(Configuration(host="http://127.0.0.1:1"), "here")

    async def handler(request: web.Request) -> web.Response:
        if request.method == "POST":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"kind": "Status", "code": 404}, status=404)

    async with listening(handler) as configuration:
        with pytest.raises(ClusterUnavailable, match="cannot be reached"):
            await ensure_namespace(configuration, "here")
