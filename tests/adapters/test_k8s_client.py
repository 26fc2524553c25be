"""The real client's requests against an API server of a few lines: what it sends, what it makes of answers."""

import asyncio
import json

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from shared.adapters.k8s import client as module
from shared.adapters.k8s.api import AlreadyExists, ObjectConflict, ObjectGone, WatchExpired
from shared.adapters.k8s.client import HANDSHAKE, KubernetesApi
from shared.adapters.k8s.configurations import at
from shared.adapters.k8s.pacing import Pacing
from shared.domain.errors import ClusterRefused, ClusterUnavailable
from tests.adapters.apiserver import SECRET, answering, listening, served


async def test_each_verb_sends_what_the_api_asks_for():
    sent = []

    async def handler(request: web.Request) -> web.Response:
        sent.append((request.method, request.path_qs, json.loads(await request.text() or "null")))
        return web.json_response(SECRET)

    async with served(handler) as api:
        assert await api.get("Secret", "s") == SECRET
        assert await api.create(SECRET) == SECRET
        assert await api.replace(SECRET) == SECRET
        await api.delete("StatefulSet", "s", "u", "7")
    options = {"propagationPolicy": "Background", "preconditions": {"uid": "u", "resourceVersion": "7"}}
    assert sent == [
        ("GET", "/api/v1/namespaces/here/secrets/s", None),
        ("POST", "/api/v1/namespaces/here/secrets?fieldManager=playground", SECRET),
        ("PUT", "/api/v1/namespaces/here/secrets/s?fieldManager=playground", SECRET),
        ("DELETE", "/apis/apps/v1/namespaces/here/statefulsets/s", options),
    ]


async def test_whatever_is_asked_of_the_api_server_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch):
    turns = []

    async def turn(_: Pacing, weight: int = 1) -> None:
        turns.append(weight)
        raise Waited

    monkeypatch.setattr(Pacing, "turn", turn)
    async with served(answering(500)) as api:
        watched = api.watch("Secret", "", "", "1")
        asked = [api.get("Secret", "s"), api.create(SECRET), api.replace(SECRET), api.delete("Secret", "s", "u", "7"),
                 api.page("Secret"), anext(watched), api.run("p", "c", ["true"])]  # fmt: skip
        for each in asked:
            with pytest.raises(Waited):
                await each
    assert turns == [1, 1, 1, 1, 1, HANDSHAKE, HANDSHAKE]


async def test_some_requests_go_at_once_and_the_others_spread(monkeypatch: pytest.MonkeyPatch):
    made = []
    monkeypatch.setattr(module, "Pacing", lambda *bucket: made.append(bucket) or Pacing(*bucket))
    async with served(answering(200)):
        assert made == [(module.RATE, module.BURST)]


class Waited(Exception):
    """A turn was waited for."""


@pytest.mark.parametrize("named", ["in the kubeconfig", "by the environment"])
async def test_a_proxy_is_gone_through(named: str, monkeypatch: pytest.MonkeyPatch):
    asked = []

    async def proxy(request: web.Request) -> web.Response:
        asked.append(f"{request.host}{request.path}")
        return web.json_response(SECRET)

    async with listening(proxy) as here:
        there = Configuration(host="http://cluster.test", proxy=here.host if named == "in the kubeconfig" else None)
        if named == "by the environment":
            monkeypatch.setenv("http_proxy", here.host)
        api = KubernetesApi(there, "here")
        assert await api.get("Secret", "s") == SECRET
        await api.close()
    assert asked == ["cluster.test/api/v1/namespaces/here/secrets/s"]


async def test_no_proxy_is_gone_through_to_what_the_environment_excepts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with served(answering(404, "NotFound")) as api:
        assert await api.get("Secret", "s") is None


async def test_what_is_not_there_is_none_and_its_deletion_is_done():
    async with served(answering(404, "NotFound", "gone")) as api:
        assert await api.get("Secret", "s") is None
        await api.delete("Secret", "s", "u", "7")
        with pytest.raises(ObjectGone):
            await api.replace(SECRET)


async def test_a_proxy_s_404_proves_no_absence():
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="404 page not found", status=404)

    async with served(handler) as api:
        with pytest.raises(ClusterRefused):
            await api.get("PersistentVolumeClaim", "s")


async def test_what_is_there_already_or_another_is_told_apart():
    async with served(answering(409, "AlreadyExists")) as api:
        with pytest.raises(AlreadyExists):
            await api.create(SECRET)
    async with served(answering(409, "Conflict", "the object has been modified")) as api:
        with pytest.raises(ObjectConflict):
            await api.replace(SECRET)
        with pytest.raises(ObjectConflict):
            await api.delete("Secret", "s", "u", "7")
        with pytest.raises(ClusterUnavailable):  # two creates that count against one quota
            await api.create(SECRET)


@pytest.mark.parametrize("code", [400, 403, 422])
async def test_a_no_is_told_in_the_cluster_s_words(code):
    async with served(answering(code, "Forbidden", 'secrets "s" is forbidden: exceeded quota: q')) as api:
        for act in (api.get("Secret", "s"), api.create(SECRET), api.replace(SECRET), api.page("Secret")):
            with pytest.raises(ClusterRefused, match="exceeded quota: q"):
                await act
        with pytest.raises(ClusterRefused, match="exceeded quota: q"):
            await anext(api.watch("Secret", "", "", "1"))


@pytest.mark.parametrize("code", [401, 429, 500, 503, 504])
async def test_what_may_pass_by_waiting_is_unavailable(code):
    async with served(answering(code, **{"Retry-After": "7"})) as api:
        for act in (api.get("Secret", "s"), api.create(SECRET), api.replace(SECRET), api.page("Secret")):
            with pytest.raises(ClusterUnavailable) as caught:
                await act
            assert caught.value.retry_after == 7


async def test_an_answer_that_is_no_status_is_unavailable():
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="<html>bad gateway", status=502 if request.method == "GET" else 200)

    async with served(handler) as api:
        with pytest.raises(ClusterUnavailable):
            await api.get("Secret", "s")
        with pytest.raises(ClusterUnavailable):
            await api.create(SECRET)


async def test_a_server_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(module, "TOTAL", 0.05)

    async def handler(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with served(handler) as api:
        with pytest.raises(ClusterUnavailable, match="no answer"):
            await api.get("Secret", "s")


async def test_a_server_that_is_not_there_is_unavailable():
    api = KubernetesApi(Configuration(host="http://127.0.0.1:1"), "here")
    for act in (api.get("Secret", "s"), api.run("pod", "c", ["true"]), anext(api.watch("Secret", "", "", "1"))):
        with pytest.raises(ClusterUnavailable, match="no answer"):
            await act
    await api.close()


async def test_a_replace_without_a_version_is_a_fault_of_ours():
    async with served(answering(500)) as api:
        with pytest.raises(ValueError, match="resourceVersion"):
            await api.replace({"kind": "Secret", "metadata": {"name": "s"}})


async def test_pages_follow_the_token_and_name_their_kind():
    async def handler(request: web.Request) -> web.Response:
        if "continue" not in request.query:
            assert dict(request.query) == {"labelSelector": "a=b,c=d", "limit": "500"}
            items, token = [{"metadata": {"name": "one"}}], "next"
        else:
            items, token = [{"metadata": {"name": "two"}}], ""
        metadata = {"resourceVersion": "9", "continue": token}
        return web.json_response({"apiVersion": "v1", "kind": "SecretList", "metadata": metadata, "items": items})

    async with served(handler) as api:
        first = await api.page("Secret", "a=b,c=d")
        second = await api.page("Secret", "a=b,c=d", after=first.after)
    assert first.items == [{"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "one"}}]
    assert (first.version, second.after, second.items[0]["metadata"]["name"]) == ("9", "", "two")


async def test_a_page_whose_token_is_too_old_is_expired():
    async with served(answering(410, "Expired")) as api:
        with pytest.raises(WatchExpired):
            await api.page("Secret", after="old")


async def test_a_token_is_asked_for_before_each_request_and_its_failure_is_unavailable():
    tokens = iter(["first", "second"])
    seen = []

    async def token() -> str:
        return next(tokens)

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.json_response(SECRET)

    async with served(handler) as api:
        configuration = at("", None, token)  # type: ignore[arg-type]
        configuration.host = api._short.configuration.host
        named = KubernetesApi(configuration, "here")
        await named.get("Secret", "s")
        await named.get("Secret", "s")
        with pytest.raises(ClusterUnavailable, match="no token"):
            await named.get("Secret", "s")
        await named.close()
    assert seen == ["Bearer first", "Bearer second"]
