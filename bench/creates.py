"""create_db for users whose database runs: a certificate check, one point read, one unsealing."""

from pathlib import Path

from bench import leases
from bench.figures import Figure
from bench.load import Job
from bench.servers import Server, environment, frontend, generate, prepare, serving
from selfhost.setup import Files

ROUNDS = 3
USERS = 1000
WAITING = "a closed loop of 32 measures how long they wait for each other"
BODY = '{"user_id": "%(user)s"}'


def create(files: Files, server: Server, **more: float) -> Job:
    """POST /api/create_db as the notebook plugin sends it, but over kept connections."""
    request = (
        "POST /api/create_db HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(BODY % {'user': f'user-{0:07d}'})}\r\n\r\n{BODY}"
    )
    return Job(
        port=server.port, request=request, expect='"data_source":"mysql://', ca=str(files.ca), pairs=frontend(files),
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


async def measure(folder: Path) -> list[Figure]:
    files = prepare(folder)
    await leases.seed(files, USERS, 0)
    figures = []
    async with serving(files, environment(files)) as server:
        for clients in (1, 8, 32):
            jobs = [create(files, server, users=USERS, clients=clients, seconds=2) for _ in range(ROUNDS)]
            outcomes = [await generate(job) for job in jobs]
            who = f"{clients} client{'s' if clients > 1 else ''}"
            figures += [
                Figure(f"create_db of a running database, kept mutual TLS, {who}", "/s", [o.rate for o in outcomes]),
                Figure("  p50", "ms", [o.p50 for o in outcomes], *("≤ 4",) if clients < 32 else ("", WAITING)),
                Figure("  p99", "ms", [o.p99 for o in outcomes], "≤ 20"),
            ]
    return figures
