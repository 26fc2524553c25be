"""Functions that tell what they were called with."""

import asyncio
import json
import logging
import os
import threading
from pathlib import Path

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
bp = func.Blueprint()
seen: list[object] = []  # what the timer and the queue function were called with
arrived: asyncio.Queue[str] = asyncio.Queue()  # who is in `stays`
may_end = asyncio.Event()  # `stays` answers once it is set


def told(req: func.HttpRequest) -> func.HttpResponse:
    """Everything a function can see of a request, as JSON; the body byte by byte."""
    fields = {
        "type": f"{type(req).__module__}.{type(req).__name__}",
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "params": dict(req.params),
        "route_params": dict(req.route_params),
        "body": req.get_body().hex(),
    }
    return func.HttpResponse(json.dumps(fields), mimetype="application/json")


@app.route("api/heart_beat", methods=["GET"])
async def heart_beat(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)


@app.route("api/create_db", methods=["POST"])
async def create_db(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)


@app.route("api/any")
async def any_method(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)


@app.route("")
async def root(req: func.HttpRequest) -> str:
    return "Hello, Echo!"


@bp.route("api/items/{id:int}", methods=["GET"])
async def read_item(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)


@bp.route("api/items/{id:int}", methods=["DELETE"])
async def delete_item(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)


@bp.route("api/in_a_thread", methods=["GET"])
def in_a_thread(req: func.HttpRequest) -> str:
    return threading.current_thread().name


@bp.route("api/answers/{status:int}", methods=["GET"])
async def answers(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse("as told", status_code=int(req.route_params["status"]))
    response.headers.add("Set-Cookie", "a=1; Path=/")
    response.headers.add("Set-Cookie", "b=2; Path=/")
    response.headers.add("X-Told", "yes")
    response.headers.add("Transfer-Encoding", "chunked")  # framing is the front's business
    response.headers.add("Server", "function/1.0")
    return response


@bp.route("api/typed", methods=["GET"])
async def typed(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("as told", mimetype=req.route_params["mimetype"])


@bp.route("api/large", methods=["GET"])
async def large(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(bytes(20_000_000), mimetype="application/octet-stream")


@bp.route("api/fails", methods=["GET", "POST"])
async def fails(req: func.HttpRequest) -> str:
    raise RuntimeError("wires crossed")


@bp.route("api/answers_nothing", methods=["GET"])
async def answers_nothing(req: func.HttpRequest) -> str:
    return None  # type: ignore[return-value]


@bp.route("api/stays", methods=["GET", "POST"])
async def stays(req: func.HttpRequest) -> str:
    """Answers when the test allows it: by `may_end`, or through the pipe that ECHO_MAY_END names."""
    arrived.put_nowait(req.url)
    if "ECHO_MAY_END" not in os.environ:
        await may_end.wait()
        return "ended"
    print("in flight", flush=True)
    await asyncio.to_thread(Path(os.environ["ECHO_MAY_END"]).read_bytes)
    return "ended"


@app.timer_trigger(schedule="%ECHO_SCHEDULE%", arg_name="timer")
async def tick(timer: func.TimerRequest) -> None:
    seen.append(timer.past_due)
    logging.getLogger("echo").info("tick")
    if os.environ.get("ECHO_TICK") == "fails":
        raise RuntimeError("no tick")


@app.queue_trigger(arg_name="message", queue_name="looks", connection="AzureWebJobsStorage")
async def take(message: func.QueueMessage) -> None:
    seen.append((message.id, message.get_body(), message.dequeue_count))
    if message.get_body() == b"poison":
        raise RuntimeError("cannot take it")


app.register_functions(bp)
