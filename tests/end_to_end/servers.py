"""A server under test: a process of its own with a folder of its own, asked over mutual TLS, told over a socket."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import httpx

from selfhost.certs import KeyStore
from shared.adapters.sealing import create_key_file
from shared.domain.identity import Principal, Role
from tests.cluster_fixture import ROOT
from tests.end_to_end.conditions import FOUND_TOGETHER, until
from tests.end_to_end.namespaces import Namespace
from tests.end_to_end.sources import Source

PLUGIN_PATIENCE = 20.0  # seconds after which the notebook plugin hangs up
NEVER = "0 0 0 1 1 *"  # but on the first of January
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
STANDS = ("running", "hibernated", "none", "failed")  # where only its user or a long time moves a lease
CLAIM = 31.0  # seconds after which a claim of the dead is over


class Died(Exception):
    """The server ended instead of answering."""


@dataclass
class Server:
    """One control plane. `offset` is by how much its clock is ahead, through all its processes."""

    folder: Path
    namespace: Namespace
    settings: dict[str, str] = field(default_factory=dict)
    port: int = 0
    open_port: int = 0
    offset: float = 0.0
    process: "subprocess.Popen[str] | None" = None
    _log: IO[bytes] | None = None
    _issuing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        key_store, now = KeyStore(self.folder / "key_store"), datetime.now(UTC)
        key_store.init(now)
        key_store.server(["localhost", "127.0.0.1"], now)
        create_key_file(str(self.folder / "seal_keys"))

    # The process

    def start(self) -> None:
        """Returns once it listens. Raises AssertionError with its log if it does not."""
        files, self._log = self.folder / "key_store", open(self.folder / "log", "ab")
        argv = [sys.executable, "-W", "error::ResourceWarning", "-m", "tests.end_to_end.launcher"]
        argv += [f"--control={self.folder / 'control'}", f"--offset={self.offset}", f"--port={self.port}"]
        argv += [f"--ca_crt={files / 'ca/ca.crt'}", f"--server_key={files / 'server/server.key'}"]
        argv += [f"--server_crt={files / 'server/server.crt'}", f"--open_port={self.open_port}"]
        self.process = subprocess.Popen(
            argv, cwd=ROOT, env=self.environment(), text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
        assert self.process.stdout
        for name, begins in (("open_port", "open to all"), ("port", "listening")):
            line = self.process.stdout.readline()
            said = re.fullmatch(rf"{begins} on https://127\.0\.0\.1:(\d+)\n", line)
            assert said, f"it did not start: {self.log()[-2000:]}"
            setattr(self, name, int(said[1]))

    def environment(self) -> dict[str, str]:
        cluster = self.namespace.cluster
        own = {
            "PLAYGROUND_STORE": f"sqlite:///{self.folder / 'leases.db'}",
            "PLAYGROUND_SEAL_KEYS": f"file:{self.folder / 'seal_keys'}",
            "PLAYGROUND_KUBECONFIG": str(self.namespace.kubeconfig),
            "PLAYGROUND_NAMESPACE": self.namespace.name,
            "PLAYGROUND_DATABASE_IMAGE": cluster.image,
            "PLAYGROUND_DATABASE_MEMORY": "256Mi",
            "PLAYGROUND_DATABASE_STORAGE": "256Mi",
            "PLAYGROUND_CLIENT_NETWORKS": ",".join(cluster.client_networks),
            "PLAYGROUND_PROBE": "false",
            "PLAYGROUND_ISSUER_KEY": f"file:{self.folder / 'key_store/ca/ca.key'}",
            "PLAYGROUND_ISSUER_CRT": str(self.folder / "key_store/ca/ca.crt"),
            "PLAYGROUND_REAP_SCHEDULE": NEVER,
            "PLAYGROUND_RECONCILE_SCHEDULE": NEVER,
            "PLAYGROUND_CANARY_SCHEDULE": NEVER,
            "PLAYGROUND_REFILL_SCHEDULE": NEVER,
        }
        return foreign_environment() | own | self.settings

    def stop(self) -> None:
        """Ask it to end, and see that it does in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(40) == 0, self.log()[-2000:]
        self._let_go()

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._let_go()

    def await_death(self) -> None:
        """Until it has killed itself."""
        assert self.process is not None
        assert self.process.wait(30) == -signal.SIGKILL
        self._let_go()

    def _let_go(self) -> None:
        if self.process is not None:
            for pipe in (self.process.stdin, self.process.stdout, self._log):
                if pipe is not None:
                    pipe.close()
            self.process = None

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    # What a notebook does

    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def context(self, user: str) -> ssl.SSLContext:
        """TLS as this user, whose certificate is made when it is first wanted."""
        files = self.folder / "key_store"
        with self._issuing:
            if not (files / user).exists():
                principal = Principal("default", Role.USER, user)
                KeyStore(files).issue(principal, "playground.local", datetime.now(UTC), days=365)
        context = ssl.create_default_context(cafile=str(files / "ca/ca.crt"))
        context.load_cert_chain(files / user / f"{user}.crt", files / user / f"{user}.key")
        return context

    def ask(self, user: str, method: str, path: str, **options: Any) -> httpx.Response:
        """One request on a connection of its own, as the plugin makes them, within the plugin's patience."""
        with httpx.Client(verify=self.context(user), timeout=PLUGIN_PATIENCE, trust_env=False) as http:
            return http.request(method, f"{self.url()}{path}", **options)

    def create_db(self, user: str) -> httpx.Response:
        body = json.dumps({"user_id": user})
        return self.ask(
            user, "POST", "/api/create_db", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )

    def source(self, user: str) -> Source:
        """The user's database, made or woken."""
        answer = self.create_db(user)
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}\n{self.log()[-2000:]}"
        return Source.parse(answer.json()["data_source"])

    def served_again(self, user: str) -> Source:
        """The user's database, as soon as the cluster's parts have found together again after an outage."""

        def served() -> bool:
            self.turn(10)  # what was put off while the cluster was away falls due
            return self.create_db(user).status_code == 200

        until(served, FOUND_TOGETHER)
        return self.source(user)

    def beat(self, user: str) -> dict[str, Any]:
        answer = self.ask(user, "GET", f"/api/heart_beat?user_id={user}")
        assert answer.status_code == 200, "whatever happens: any other answer freezes the user's kernel"
        said: dict[str, Any] = answer.json()
        return said

    # What time and fate do

    def tell(self, command: str, *arguments: Any) -> Any:
        """See `launcher.OBEY`. Raises Died if the process ended meanwhile."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(120)
            until(lambda: control.connect(str(self.folder / "control")) is None, 10)
            control.sendall(json.dumps([command, *arguments]).encode() + b"\n")
            try:
                with control.makefile("rb") as stream:
                    line = stream.readline()
            except ConnectionResetError:
                line = b""
        if not line:
            raise Died(command)
        answer = json.loads(line)
        assert "error" not in answer, f"{answer['error']}\n{self.log()[-3000:]}"
        return answer["result"]

    def reap(self) -> dict[str, Any]:
        """One pass of the reaper; its counts."""
        counts: dict[str, Any] = self.tell("fire", "reap_leases")
        return counts

    def reconcile(self) -> dict[str, Any]:
        compared: dict[str, Any] = self.tell("fire", "reconcile_cluster")
        return compared

    def refill(self) -> dict[str, Any]:
        """One pass over the pool of spares."""
        done: dict[str, Any] = self.tell("fire", "refill_pool")
        return done

    def turn(self, seconds: float) -> None:
        """Time passes in which nobody listened."""
        self.offset += seconds
        self.tell("turn", seconds)

    def listen(self, seconds: float) -> None:
        """Time passes in which beats would have been heard."""
        self.offset += seconds
        self.tell("listen", seconds)

    def leases(self) -> dict[str, dict[str, Any]]:
        """The leases by user; a released one is none."""
        return {lease["owner"]["user"]: lease for lease in self.tell("leases")}

    def state(self, user: str) -> str:
        lease = self.leases().get(user)
        return str(lease["state"]) if lease else "none"

    # What takes several of these

    def look_twice(self, silence: float = 12 * HOUR) -> None:
        """Silence: a first look learns what the database has counted, a second one what came of it."""
        self.listen(31 * MINUTE)
        self.reap()
        self.listen(silence)
        self.reap()

    def reap_when_due(self) -> None:
        """A pass, as soon as all leases are due that are on their way."""
        due = [lease["due_at"] for lease in self.leases().values() if lease["state"] not in STANDS]
        if due:
            self.turn(max(0.0, max(due) - time.time() - self.offset) + 1)
        self.reap()

    def settle(self, user: str) -> None:
        """Passes, as often as it is due, until the user's lease stands."""

        def settled() -> bool:
            if self.state(user) in STANDS:
                return True
            self.turn(5)
            self.reap()
            return False

        until(settled)


def foreign_environment() -> dict[str, str]:
    """This process's environment without what is ours: a server refuses settings it does not know."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PLAYGROUND_")}


@contextmanager
def running(folder: Path, namespace: Namespace, **settings: str) -> Iterator[Server]:
    folder.mkdir(mode=0o700)
    server = Server(folder, namespace, settings)
    try:
        server.start()
        yield server
        server.stop()
        assert "Traceback" not in server.log(), server.log()[-5000:]
    finally:
        server.kill()
