"""Azure Monitor's exporter against a stand-in of its endpoint: what would be sent, to whom, and of whom it speaks."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from shared.adapters import telemetry as adapter
from shared.edge import observing, tracing
from shared.edge.config import SettingError
from shared.ports import metrics
from shared.ports.telemetry import SILENT, Reach
from shared.wiring import telemetry

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Endpoint(ThreadingHTTPServer):
    """Takes everything; `taken` is the envelopes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken: list[dict[str, Any]] = []

    @property
    def connection(self) -> str:
        url = f"http://127.0.0.1:{self.server_port}/"
        return f"InstrumentationKey=00000000-0000-0000-0000-000000000001;IngestionEndpoint={url};LiveEndpoint={url}"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        envelopes = json.loads(body)
        self.server.taken += envelopes
        number = len(envelopes)
        answer = json.dumps({"itemsReceived": number, "itemsAccepted": number, "errors": []}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    for name in adapter.ITS_OWN:
        monkeypatch.setenv(name, "true")  # put back afterwards
    with Endpoint() as endpoint:
        serving = threading.Thread(target=endpoint.serve_forever)
        serving.start()
        yield endpoint
        endpoint.shutdown()
        serving.join()


@pytest.mark.slow
async def test_a_request_with_its_trace_and_its_time_arrive(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAYGROUND_TELEMETRY", "azure")
    monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", endpoint.connection)
    before = {thread.name for thread in threading.enumerate()}
    telemetry.begin()
    told = observing.telemetry
    with tracing.entered(f"00-{ID}-{SPAN}-01"), told.span("create_db", Reach.SERVER) as span:
        span.note("http.response.status_code", 200)
        with told.span("store get", Reach.CLIENT):
            pass
    told.tell(metrics.LOOKS, 1, "reaper", "stop", "running", "hibernated", "done")
    begun = {thread.name for thread in threading.enumerate()} - before
    await telemetry.end()
    assert observing.telemetry is SILENT
    assert begun == {"OtelPeriodicExportingMetricReader", "OtelBatchSpanRecordProcessor"}, "nothing of its own"
    found = {each["data"]["baseType"]: each for each in endpoint.taken if "metrics" not in each["data"]["baseData"]}
    request, asked = found["RequestData"], found["RemoteDependencyData"]
    assert request["data"]["baseData"]["name"] == "create_db"
    assert (request["tags"]["ai.operation.id"], request["tags"]["ai.operation.parentId"]) == (ID, SPAN)
    assert asked["tags"]["ai.operation.parentId"] == request["data"]["baseData"]["id"]
    counted = [each["data"]["baseData"] for each in endpoint.taken if "metrics" in each["data"]["baseData"]]
    (looks,) = [each for each in counted if each["metrics"][0]["name"] == "playground.looks"]
    assert looks["metrics"][0]["value"] == 1 and looks["properties"]["after"] == "hibernated"


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["", "hunter2", "InstrumentationKey=hunter2"])
def test_a_connection_string_that_is_none_stops_the_start_and_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, wrong: str
):
    monkeypatch.setenv("PLAYGROUND_TELEMETRY", "azure")
    monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", wrong)
    with pytest.raises(SettingError, match="APPLICATIONINSIGHTS_CONNECTION_STRING") as refused:
        telemetry.begin()
    assert "hunter2" not in str(refused.value)
    assert observing.telemetry is SILENT
