"""Tokens from the program that a kubeconfig names (`exec`): kubelogin, aws, gke-gcloud-auth-plugin and the like.

As kubectl runs it, see "client-go credential plugins" in Kubernetes' documentation; not through the
library, whose run has no time limit and whose failure leaves no token for the life of the process.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.domain.errors import ClusterUnavailable

SECONDS = 10.0  # for one run; an Azure login takes two or three
AHEAD = 60.0  # so many seconds before its end a token is renewed
UNDATED = 60.0  # for so many seconds one that names no end is used


@dataclass(frozen=True, slots=True)
class Credential:
    """What a plugin gave: a token, or a certificate with its key (PEM), and until when (epoch)."""

    until: float
    token: str = field(default="", repr=False)
    certificate: str = ""
    key: str = field(default="", repr=False)


class Plugin:
    """One program, `settings` as they stand under `exec`; relative to `folder` if it is given by a path."""

    def __init__(self, settings: Mapping[str, Any], folder: str = ""):
        command = str(settings["command"])
        self.name = os.path.basename(command)
        self._argv = [os.path.join(folder, command) if "/" in command else command, *(settings.get("args") or ())]
        self._more = {str(pair["name"]): str(pair["value"]) for pair in settings.get("env") or ()}
        self._more["KUBERNETES_EXEC_INFO"] = json.dumps(
            {"apiVersion": settings["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
        )
        self._kept: Credential | None = None
        self._run: asyncio.Task[Credential] | None = None

    async def credential(self) -> Credential:
        """One that is good for now. Raises ClusterUnavailable if the program gives none.

        It runs once for all who ask meanwhile; who gives up does not end it, as the next would
        only have to begin again.
        """
        kept, now = self._kept, time.time()
        if kept is not None and now < kept.until - AHEAD:
            return kept
        if self._run is None or self._run.done():
            self._run = asyncio.create_task(self._renew())
            self._run.add_done_callback(lambda run: run.cancelled() or run.exception())  # somebody may have listened
        try:
            return await asyncio.shield(self._run)
        except ClusterUnavailable:
            if kept is None or now >= kept.until:
                raise
            return kept

    async def _renew(self) -> Credential:
        try:
            async with asyncio.timeout(SECONDS):
                code, output = await self._output()
        except TimeoutError as error:
            raise self._none(f"did not end within {SECONDS:g} s") from error
        except OSError as error:
            raise self._none(f"cannot be run: {error.strerror}") from error
        if code != 0:
            raise self._none(f"ended with exit code {code}")
        try:
            found = _read(output)
        except (ValueError, KeyError, TypeError, AttributeError):  # its text would repeat the token
            raise self._none("printed no ExecCredential") from None
        if not found.token and not (found.certificate and found.key):
            raise self._none("gave neither a token nor a certificate with its key")
        self._kept = found
        return found

    async def _output(self) -> tuple[int, bytes]:
        """Exit code and standard output; what it complains of goes to our own standard error."""
        # Our own settings, keys that seal among them, are none of its business.
        others = {name: value for name, value in os.environ.items() if not name.startswith("PLAYGROUND_")}
        # A session of its own, so that what a script has started ends with it, too.
        program = await asyncio.create_subprocess_exec(
            *self._argv, env=others | self._more, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = await program.communicate()
            return program.returncode or 0, output
        finally:
            if program.returncode is None:
                os.killpg(program.pid, signal.SIGKILL)
                await program.wait()

    def _none(self, why: str) -> ClusterUnavailable:
        return ClusterUnavailable(f"no token for the cluster: the kubeconfig's program {self.name} {why}")


def _read(output: bytes) -> Credential:
    """An ExecCredential. Raises whatever comes of reading what is none."""
    status = json.loads(output)["status"]
    ends = status.get("expirationTimestamp")
    until = datetime.fromisoformat(ends).timestamp() if ends else time.time() + AHEAD + UNDATED
    parts = [status.get(key) or "" for key in ("token", "clientCertificateData", "clientKeyData")]
    if not all(isinstance(part, str) for part in parts):
        raise TypeError
    return Credential(until, *parts)


def folder_of(path: str | None) -> str:
    """Where the kubeconfig is that a program was named in."""
    return str(Path(path).expanduser().absolute().parent) if path else ""
