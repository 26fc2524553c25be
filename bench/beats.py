"""Durable heartbeats against JupyterHub's activity writes, round about.

Every beat names another user with a running lease, so nothing is coalesced and each is one
conditional write, answered after its fsync. That they arrived is counted in the file afterwards.
The certificate is a frontend's, which may beat for all its users; one figure has each user's own.
"""

import time
from collections import defaultdict
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from bench import jupyterhub, leases, machine
from bench.figures import Figure, ratios
from bench.load import Job, Outcome
from bench.servers import Broken, Server, environment, frontend, generate, prepare, serving
from selfhost import certs
from selfhost.setup import TENANT, Files
from shared.domain.identity import Principal, Role
from shared.edge import settings

ROUNDS = 5
USERS = 300_000
OWN = 500  # beats a round with certificates that the server has not seen
HEAD = "GET /api/heart_beat?user_id=%(user)s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\n"
RENEWED = '"renewed":true'


@dataclass
class Beats:
    """Beats for one server, each for the next user."""

    files: Files
    server: Server
    users: int
    next: int = 0
    answered: int = 0
    began: float = field(default_factory=time.time)

    async def send(self, *, fresh: bool = False, pairs: tuple[tuple[str, str], ...] = (), **more: float) -> Outcome:
        close = "Connection: close\r\n" if fresh else ""
        job = Job(
            port=self.server.port, request=f"{HEAD}{close}\r\n", expect=RENEWED, first=self.next,
            users=self.users - self.next, fresh=fresh, ca=str(self.files.ca), pairs=pairs or frontend(self.files),
            **more,  # type: ignore[arg-type]
        )  # fmt: skip
        outcome = await generate(job)
        self.next += outcome.sent
        self.answered += outcome.sent - sum(outcome.failures.values())
        if self.next > self.users:
            raise Broken(f"{self.users} users are too few for this machine: some beat twice")
        return outcome

    def check(self) -> None:
        """Raises Broken unless the file has every beat that was answered."""
        if leases.heard_since(self.files, self.began) < self.answered:
            raise Broken(f"{self.answered} beats were answered, fewer are in the file")


async def measure(folder: Path) -> list[Figure]:
    await jupyterhub.install()
    files = prepare(folder)
    await leases.seed(files, 1, USERS - 1)
    found: dict[str, list[float]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(files, environment(files)))
        hub = await stack.enter_async_context(jupyterhub.hub(folder / "hub-0", 0))
        default = await stack.enter_async_context(jupyterhub.hub(folder / "hub-30", 30))
        beats, began = Beats(files, server, USERS), time.time()

        async def note(name: str, pid: int, sending: Awaitable[Outcome]) -> None:
            before = machine.cpu(pid)
            outcome = await sending
            found[name].append(outcome.rate)
            found[f"{name} p99"].append(outcome.p99)
            found[f"{name} cpu"].append((machine.cpu(pid) - before) / outcome.sent * 1e6)

        for _ in range(ROUNDS):
            for clients in (32, 1):
                await note(f"kept {clients}", server.pid, beats.send(clients=clients))
                await note(f"hub {clients}", hub.pid, generate(hub.job(clients=clients)))
                await note(f"new {clients}", server.pid, beats.send(clients=clients, fresh=True))
            await note("default 32", default.pid, generate(default.job(clients=32)))
            own = issue_many(files, beats.next, OWN)
            sending = beats.send(clients=32, fresh=True, pairs=own, requests=OWN, warm=0, seconds=60)
            await note("own 32", server.pid, sending)
        beats.check()
        if await hub.active_since(began) < jupyterhub.USERS:
            raise Broken("JupyterHub has not written what it answered")
        resident = machine.memory(server.pid)
    return [*_rates(found), Figure("memory of the server after this load", "MB", [resident], "≤ 150", "all functions")]


def _rates(found: dict[str, list[float]]) -> list[Figure]:
    hub = found["hub 32"]
    kept, new, default = found["kept 32"], found["new 32"], found["default 32"]
    return [
        Figure("durable beats, kept mutual TLS, 32 clients", "/s", kept),
        Figure("  p99", "ms", found["kept 32 p99"]),
        Figure("  server's processor time a beat", "µs", found["kept 32 cpu"]),
        Figure("durable beats, kept mutual TLS, 1 client", "/s", found["kept 1"]),
        Figure("durable beats, new mutual TLS connection each, 32 clients", "/s", new),
        Figure("  p99, handshake included", "ms", found["new 32 p99"]),
        Figure("  server's processor time a beat", "µs", found["new 32 cpu"]),
        Figure("durable beats, new mutual TLS connection each, 1 client", "/s", found["new 1"]),
        Figure("the same, 32 clients, each user's own certificate, never seen before", "/s", found["own 32"]),
        Figure("  server's processor time a beat", "µs", found["own 32 cpu"]),
        Figure("JupyterHub activity, kept plain HTTP, 32 clients", "/s", hub),
        Figure("  its processor time a write", "µs", found["hub 32 cpu"]),
        Figure("JupyterHub activity, kept plain HTTP, 1 client", "/s", found["hub 1"]),
        Figure("JupyterHub with its default activity_resolution, 32 clients", "/s", default),
        Figure("kept beats : JupyterHub, 32 clients", "times", ratios(kept, hub), "≥ 25"),
        Figure("kept beats : JupyterHub, 1 client", "times", ratios(found["kept 1"], found["hub 1"])),
        Figure("kept beats : JupyterHub's default, 32 clients", "times", ratios(kept, default)),
        Figure("beats with a new connection each : JupyterHub, 32 clients", "times", ratios(new, hub), "≥ 4"),
        Figure("beats with a new connection each : JupyterHub's default", "times", ratios(new, default)),
        Figure("processor time of a JupyterHub write : of a kept beat", "times",
               ratios(found["hub 32 cpu"], found["kept 32 cpu"])),
    ]  # fmt: skip


def issue_many(files: Files, first: int, users: int) -> tuple[tuple[str, str], ...]:
    """Each user's own certificate and key; not through the key store, which syncs every file."""
    ca = files.key_store / "ca"
    key = load_pem_private_key((ca / "ca.key").read_bytes(), password=None)
    authority = certs.Pair(load_pem_x509_certificate((ca / "ca.crt").read_bytes()), key)  # type: ignore[arg-type]
    domain, now, pairs = settings.TRUST_DOMAIN.read({}), datetime.now(UTC), []
    folder = files.folder / "users"
    folder.mkdir(exist_ok=True)
    for user in range(first, first + users):
        principal = Principal(TENANT, Role.USER, f"user-{user:07d}")
        made = certs.make_client(authority, principal, domain, now, certs.CLIENT_DAYS)
        names = folder / f"{user}.crt", folder / f"{user}.key"
        names[0].write_bytes(made.certificate.public_bytes(Encoding.PEM))
        names[1].write_bytes(made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        pairs.append((str(names[0]), str(names[1])))
    return tuple(pairs)
