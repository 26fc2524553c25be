"""The main job, done once as a notebook would do it and shown: create_db, a heartbeat, a round trip in SQL."""

import asyncio
import json
import re
import ssl
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import pymysql

from selfhost.errors import CannotStart
from selfhost.setup import Files
from selfhost.steps import short, step
from shared.edge import settings

ANSWER = 20.0  # seconds after which the notebook plugin gives up
ATTEMPTS = 30  # an image that is pulled for the first time takes several answers
SAME = 5  # so often the same refusal, at once, is an answer
PAUSE = 5.0  # seconds between two attempts, at most
CONNECT = 10.0  # seconds
AGAIN = ", then `make down` and `make run`"  # a pod that was made keeps what it was made with
HINTS = {
    "the image": f"; set PLAYGROUND_DATABASE_IMAGE to one that the cluster can pull{AGAIN}",
    "no node has room": f"; make room, or set PLAYGROUND_DATABASE_MEMORY and _CPU lower{AGAIN}",
    "exceeded quota": f"; raise the quota, or set PLAYGROUND_DATABASE_MEMORY and _CPU lower{AGAIN}",
}
UNREACHED = (2002, 2003, 2006, 2013)  # what a MySQL client says of a server that it does not reach


async def show(files: Files, url: str, user: str, environment: Mapping[str, str]) -> None:
    """All of it with the user's own certificate. Raises CannotStart naming the step that failed and what to do."""
    certificate, key = files.pair(user)
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(certificate, key)
    timeout = aiohttp.ClientTimeout(total=ANSWER)
    print(f"\nAs a notebook of {user} would, with {short(certificate)}:")
    async with aiohttp.ClientSession(url, timeout=timeout, connector=aiohttp.TCPConnector(ssl=context)) as session:
        source = await _created(session, url, user)
        print(f"    data_source: {re.sub(r':[^:@]*@', ':••••@', source)}")
        with step(f"GET {url}/api/heart_beat?user_id={user}"):
            status, beat = await _ask(session, "GET", "/api/heart_beat", params={"user_id": user})
            if status != 200:
                raise CannotStart(f"GET /api/heart_beat is answered {status}: {beat.get('detail', beat)}")
            print(f" {json.dumps(beat, separators=(',', ':'))}", end="")
    with step("SQL in the database"):
        rows = await asyncio.to_thread(round_trip, source, environment)
    print(f"    {rows}")


async def _created(session: aiohttp.ClientSession, url: str, user: str) -> str:
    """The data source, as soon as there is one."""
    refusals: list[str] = []
    why = ""
    for attempt in range(ATTEMPTS):
        began, before = time.monotonic(), why
        with step(f"POST {url}/api/create_db"):
            status, answer = await _ask(session, "POST", "/api/create_db", json={"user_id": user})
        if status == 200 and isinstance(answer.get("data_source"), str):
            return str(answer["data_source"])
        why = str(answer.get("detail", answer))
        if status != 503:
            raise CannotStart(f"POST /api/create_db is answered {status}: {why}")
        # What takes its time is on its way; what is said again at once, is not.
        at_once = time.monotonic() - began < ANSWER / 2
        refusals = [*refusals, why] if at_once and refusals[-1:] in ([], [why]) else [why] * at_once
        if len(refusals) >= SAME:
            break
        print(f"    {'the same' if why == before else f'{status} {why}'}; asking again")
        await asyncio.sleep(min(PAUSE, attempt))
    hint = next((hint for words, hint in HINTS.items() if words in why), "")
    raise CannotStart(f"no database was to be had: {why}{hint}")


async def _ask(session: aiohttp.ClientSession, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """Status and JSON object of an answer."""
    try:
        async with session.request(method, path, **options) as response:
            status, content = response.status, await response.read()
    except TimeoutError as error:
        raise CannotStart(f"{method} {path} is not answered within {ANSWER:.0f} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise CannotStart(f"{method} {path} failed: {error or type(error).__name__}") from error
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise CannotStart(f"{method} {path} is answered {status} and no JSON object: {content[:60]!r}")
    return status, answer


def round_trip(source: str, environment: Mapping[str, str]) -> str:
    """Write, read back, and count the sample data; what the data source says is all it knows. Raises CannotStart."""
    found = re.fullmatch(r"mysql://(\w+):(\w+)@tcp\((.+):(\d+)\)/.*", source)
    if not found:
        raise CannotStart("POST /api/create_db is answered no data source that the Go MySQL driver takes")
    user, password, host, port = found.groups()
    try:
        connection = pymysql.connect(
            host=host.strip("[]"), port=int(port), user=user, password=password, autocommit=True,
            connect_timeout=CONNECT, read_timeout=CONNECT, write_timeout=CONNECT,
        )  # fmt: skip
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE IF NOT EXISTS mine")
            cursor.execute("CREATE OR REPLACE TABLE mine.notes (body TEXT)")
            cursor.execute("INSERT INTO mine.notes VALUES ('written and read back')")
            cursor.execute("SELECT body, (SELECT COUNT(*) FROM iris.train), VERSION() FROM mine.notes")
            row = cursor.fetchone()
    except (pymysql.MySQLError, OSError) as error:
        raise CannotStart(_advice(f"{host}:{port}", error, environment)) from error
    assert row
    return f"mine.notes: {row[0]!r}; iris.train has {row[1]} rows; {row[2]}"


def _advice(address: str, error: Exception, environment: Mapping[str, str]) -> str:
    """What to do about a database that cannot be used."""
    code, *texts = error.args or ("",)
    why = " ".join(str(text) for text in texts) or str(error)
    if isinstance(error, pymysql.MySQLError) and code not in UNREACHED:
        return f"SQL in the database at {address} failed: {why}"
    networks = ", ".join(settings.CLIENT_NETWORKS.read(environment)) or "none"
    chosen = settings.ADDRESS.read(environment)
    inside = chosen in ("cluster-ip", "dns")
    other = "set PLAYGROUND_ADDRESS=node-port or load-balancer if this machine is outside of the cluster, and " * inside
    return (
        f"the database at {address} cannot be reached from here ({why}): {other}have this machine's network in"
        f" PLAYGROUND_CLIENT_NETWORKS (now: {networks}); then `make down` (which deletes it) and `make run`, as it"
        " keeps the address and the networks that it was started with"
    )
