"""The runtime: an app is indexed, called, and refused where it could not be served as in Azure."""

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from azure_functions_runtime.bindings.datumdef import Datum
from azure_functions_runtime.native_invocation import invocation_request_native

from selfhost.errors import CannotStart, FunctionFailed
from selfhost.runtime import Answer, Runtime
from selfhost.triggers import HttpTrigger, QueueTrigger, TimerTrigger


async def call(runtime: Runtime, name: str, **changes: Any) -> Answer:
    request: dict[str, Any] = {"method": "GET", "url": "https://h/", "headers": {}, "query": {}, "params": {}}
    return await runtime.call_http(name, **request | {"body": b""} | changes)


@pytest.fixture
def start(one_app: None, tmp_path: Path) -> Callable[[str], Awaitable[Runtime]]:
    """`await start(source)` indexes an app of that source."""

    async def start(source: str) -> Runtime:
        app = "import azure.functions as func\napp = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)\n"
        (tmp_path / "function_app.py").write_text(app + source)
        runtime = Runtime()
        await runtime.start(tmp_path)
        return runtime

    return start


Start = Callable[[str], Awaitable[Runtime]]
ROUTE = '@app.route("a", methods=["GET"])\n'


async def test_triggers_are_listed_by_kind(runtime: Runtime) -> None:
    http = {trigger.name: trigger for trigger in runtime.http}
    assert http["create_db"] == HttpTrigger("create_db", "req", "api/create_db", ("POST",))
    assert http["any_method"].methods == ()
    assert http["read_item"].route == "api/items/{id:int}"
    assert runtime.timers == [TimerTrigger("tick", "timer", "%ECHO_SCHEDULE%", False)]
    assert runtime.queues == [QueueTrigger("take", "message", "looks")]


async def test_a_function_sees_the_request_as_it_is(runtime: Runtime) -> None:
    answer = await call(
        runtime, "create_db", method="POST", url="https://h/api/create_db?a=b", headers={"x-arr-clientcert": "DER"},
        query={"a": "b"}, params={"id": "7"}, body=b"\x00\xff{",
    )  # fmt: skip
    assert answer.status == 200
    assert json.loads(answer.body) == {
        "type": "azure.functions.http.HttpRequest",
        "method": "POST", "url": "https://h/api/create_db?a=b", "headers": {"x-arr-clientcert": "DER"},
        "params": {"a": "b"}, "route_params": {"id": "7"}, "body": "00ff7b",
    }  # fmt: skip


async def test_an_answer_keeps_status_headers_and_every_cookie(runtime: Runtime) -> None:
    answer = await call(runtime, "answers", params={"status": "418"})
    assert (answer.status, answer.body) == (418, b"as told")
    assert ("X-Told", "yes") in answer.headers
    assert [value for name, value in answer.headers if name.lower() == "set-cookie"] == ["a=1; Path=/", "b=2; Path=/"]


async def test_a_plain_string_is_an_answer(runtime: Runtime) -> None:
    assert await call(runtime, "root") == (200, [("content-type", "text/plain; charset=utf-8")], b"Hello, Echo!")


async def test_a_function_without_async_runs_in_a_thread(runtime: Runtime) -> None:
    assert b"ThreadPoolExecutor" in (await call(runtime, "in_a_thread")).body


async def test_a_failure_is_logged_once_with_its_trace(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(FunctionFailed):
        await call(runtime, "fails", method="POST", body=b"my password")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    text = logging.Formatter("%(message)s").format(record)
    assert text.startswith("function fails failed\nTraceback")
    assert "apps/echo/function_app.py" in text
    assert text.endswith("RuntimeError: wires crossed")
    assert "my password" not in text


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("answers_nothing", {}, "it returned no HTTP answer but NoneType"),
        ("answers", {"status": "100"}, "its answer ends no exchange: status 100"),
        ("answers", {"status": "999"}, "its answer ends no exchange: status 999"),
    ],
)
async def test_no_answer_is_a_failure(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, name: str, params: dict[str, str], message: str
) -> None:
    with pytest.raises(FunctionFailed):
        await call(runtime, name, params=params)
    assert len(caplog.records) == 1
    assert message in caplog.text


@pytest.mark.parametrize("header", ["x-a\\r\\nset-cookie", "x-a\\nset-cookie", "x-a\\0"])
async def test_a_header_that_would_split_the_answer_is_a_failure(start: Start, header: str) -> None:
    source = "async def f(req: func.HttpRequest) -> func.HttpResponse:\n"
    runtime = await start(ROUTE + source + f"    return func.HttpResponse('', headers={{'{header}': 'b'}})\n")
    with pytest.raises(FunctionFailed):
        await call(runtime, "f")


async def test_nothing_is_logged_of_a_call_that_works(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await call(runtime, "create_db", method="POST", body=b"{}")
    assert caplog.records == []


async def test_a_timer_is_told_whether_it_is_late(runtime: Runtime, echo: ModuleType) -> None:
    await runtime.fire_timer("tick", past_due=False)
    await runtime.fire_timer("tick", past_due=True)
    assert echo.seen == [False, True]


async def test_a_queue_function_gets_its_message(runtime: Runtime, echo: ModuleType) -> None:
    await runtime.call_queue("take", '{"lease": 1}', "m1", 3)
    assert echo.seen == [("m1", b'{"lease": 1}', 3)]


@pytest.mark.parametrize(
    "fire",
    [
        lambda runtime: runtime.call_queue("take", "poison", "m2", 1),
        lambda runtime: runtime.fire_timer("tick", past_due=False),
    ],
)
async def test_a_failure_in_the_background_is_logged_once_with_its_trace(
    runtime: Runtime,
    fire: Callable[[Runtime], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("ECHO_TICK", "fails")
    with pytest.raises(FunctionFailed):
        await fire(runtime)
    (record,) = caplog.records
    assert "Traceback" in record.getMessage()
    assert "apps/echo/function_app.py" in record.getMessage()


SAME = [
    ("create_db", {"method": "post", "headers": {"content-type": "a/b", "X-One": "1"}, "body": b"\x00\xff{"}),
    ("heart_beat", {"query": {"user_id": "a'b(c)*,:@/?="}, "params": {"id": "7"}}),
    ("root", {}),
    ("in_a_thread", {}),
    ("answers", {"params": {"status": "418"}}),
    ("answers", {"params": {"status": "204"}}),
    ("typed", {"params": {"mimetype": "text/html"}}),
    ("typed", {"params": {"mimetype": "application/json"}}),
]


@pytest.mark.parametrize(("name", "request_parts"), SAME)
async def test_a_call_is_what_the_library_makes_of_it(
    runtime: Runtime, name: str, request_parts: dict[str, Any]
) -> None:
    parts = {"method": "GET", "url": "https://h/", "headers": {}, "query": {}, "params": {}, "body": b""}
    parts |= request_parts
    texts = {key: Datum(value, "string") for key, value in parts.items() if isinstance(value, str)}
    maps = {
        key: {name: Datum(text, "string") for name, text in value.items()}
        for key, value in parts.items()
        if isinstance(value, dict)
    }
    request = Datum(texts | maps | {"body": Datum(parts["body"], "bytes")}, "http")
    id = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
    ok, returned, *_ = await invocation_request_native("1", id, [("req", request)], {})
    assert ok
    answer = await call(runtime, name, **request_parts)
    if returned.type == "string":
        expected: tuple[int, dict[str, str], bytes] = (200, {}, returned.value.encode())
    else:
        value = returned.value
        headers = {key.lower(): text.value for key, text in value["headers"].items()}
        expected = (int(value["status_code"].value), headers, value["body"].value)
    headers = {key.lower(): text for key, text in answer.headers if key.lower() != "set-cookie"}
    assert answer.status == expected[0]
    assert headers == (expected[1] or {"content-type": "text/plain; charset=utf-8"})
    if name != "in_a_thread":
        assert answer.body == expected[2]


async def test_calls_run_side_by_side(runtime: Runtime, echo: ModuleType) -> None:
    waiting = asyncio.gather(call(runtime, "stays"), call(runtime, "stays"))
    await echo.arrived.get()
    await echo.arrived.get()
    echo.may_end.set()
    assert [answer.body for answer in await waiting] == [b"ended", b"ended"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nowhere", r"function_app.py does not load: ModuleNotFoundError: .*nowhere.* \(function_app.py:3\)"),
        ("def f(:", "function_app.py does not load: SyntaxError"),
        ("app = None", "must hold one FunctionApp, not 0"),
        ("other = func.FunctionApp()", "must hold one FunctionApp, not 2"),
        (ROUTE + "async def f(req: func.HttpRequest, more: int) -> str: ...", "function f: .*'more'"),
        (ROUTE + "async def f(request: func.HttpRequest) -> str: ...", "function f: .*'req"),
        (ROUTE + "async def f(req: 'Unknown') -> str: ...", "function f: NameError"),
        (ROUTE + "async def f(req: func.TimerRequest) -> str: ...", "function f: .*do not match"),
        (
            ROUTE + "async def f(req: func.HttpRequest) -> str: ...\n" + ROUTE.replace('"a"', '"b"')
            + "async def f(req: func.HttpRequest) -> str: ...",
            "Function f does not have a unique function name",
        ),
        (
            ROUTE + "async def f(req: func.HttpRequest, context: func.Context) -> str: ...",
            "function f: its context parameter cannot be served here",
        ),
        (
            '@app.route("a", auth_level=func.AuthLevel.FUNCTION)\nasync def f(req: func.HttpRequest) -> str: ...',
            "function f: its auth_level must be ANONYMOUS",
        ),
        (
            '@app.blob_trigger("b", path="c/{n}", connection="")\nasync def f(b: func.InputStream) -> None: ...',
            "function f: a blobTrigger cannot be served here",
        ),
        (
            ROUTE + '@app.queue_output("out", queue_name="q", connection="")\n'
            "async def f(req: func.HttpRequest, out: func.Out[str]) -> str: ...",
            "function f: a binding of type queue cannot be served here",
        ),
    ],
)  # fmt: skip
async def test_an_app_that_cannot_be_served_names_what_is_wrong(start: Start, source: str, message: str) -> None:
    with pytest.raises(CannotStart, match=message) as caught:
        await start(source)
    assert "\n" not in str(caught.value)


async def test_a_folder_without_an_app_is_refused(one_app: None, tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"no function_app\.py in"):
        await Runtime().start(tmp_path)


async def test_a_second_app_in_one_process_is_refused(runtime: Runtime, start: Start) -> None:
    with pytest.raises(CannotStart, match="another function_app is loaded already"):
        await start("")


async def test_another_release_of_the_library_is_refused(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure_functions_runtime.version.VERSION", "1.4.0")
    with pytest.raises(CannotStart, match=r"azure-functions-runtime==1.3.0 is needed, 1.4.0 is installed"):
        await start("")


async def test_a_library_without_the_expected_names_is_refused(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("azure_functions_runtime.native_invocation.invocation_request_native")
    with pytest.raises(CannotStart, match=r"azure-functions-runtime==1.3.0 is needed: ImportError"):
        await start("")
