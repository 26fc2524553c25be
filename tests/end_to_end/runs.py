"""`playground run` as its own process, with a folder, a port and a namespace of its own."""

import os
import secrets
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kubernetes import client, config

from tests.cluster_fixture import NAMESPACE_PREFIX, RealCluster
from tests.end_to_end.conditions import until
from tests.end_to_end.servers import foreign_environment

PLAYGROUND = Path(sys.executable).with_name("playground")


@dataclass
class Run:
    """One `playground run` with a terminal of its own, as far as Ctrl-C is concerned."""

    process: "subprocess.Popen[bytes]"
    output: Path

    def said(self) -> str:
        return self.output.read_text() + self.complained()

    def complained(self) -> str:
        return self.output.with_suffix(".err").read_text()

    def until_it_says(self, words: str) -> None:
        until(lambda: words in self.said() or self.process.poll() is not None, 90)
        assert words in self.said(), self.said()

    def ctrl_c(self) -> int:
        """What a terminal sends to all in the foreground; its exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(40)


class Playground:
    """A folder, a port and a namespace that `run` is given; the namespace does not exist before."""

    def __init__(self, cluster: RealCluster, folder: Path):
        self.cluster, self.folder = cluster, folder
        self.namespace = f"{NAMESPACE_PREFIX}{secrets.token_hex(4)}"
        self.port = free_port()
        self.runs: list[Run] = []

    @property
    def kept(self) -> Path:
        return self.folder / "kept"

    def run(self, *command: Path, folder: Path | None = None, **settings: str) -> Run:
        """`playground run`, through another command if one is given."""
        arguments = ["run", "--folder", folder or self.kept, "--port", str(self.port), "--open-port", "0"]
        return self._start([*command, PLAYGROUND, *arguments], settings)

    def down(self) -> str:
        """`playground down`, which knows what `run` was told; what it says."""
        run = self._start([PLAYGROUND, "down", "--folder", self.kept], {})
        assert run.process.wait(150) == 0, run.said()
        return run.said()

    def _start(self, argv: "list[str | Path]", settings: dict[str, str]) -> Run:
        own = {
            "PLAYGROUND_KUBECONFIG": self.cluster.kubeconfig,
            "PLAYGROUND_NAMESPACE": self.namespace,
            "PLAYGROUND_DATABASE_IMAGE": self.cluster.image,
            "PLAYGROUND_DATABASE_MEMORY": "256Mi",
            "PLAYGROUND_CLIENT_NETWORKS": ",".join(self.cluster.client_networks),
            "PLAYGROUND_PROBE": "false",
        }
        chosen = {name: value for name, value in (own | settings).items() if value}
        output = self.folder / f"output{len(self.runs)}"
        with open(output, "wb") as stream, open(output.with_suffix(".err"), "wb") as errors:
            process = subprocess.Popen(
                argv, env=foreign_environment() | chosen, cwd=self.folder, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=stream, stderr=errors, preexec_fn=hear_ctrl_c,
            )  # fmt: skip
        self.runs.append(Run(process, output))
        return self.runs[-1]

    def nobody_listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) != 0

    def namespaces(self) -> list[str]:
        with config.new_client_from_config(self.cluster.kubeconfig, persist_config=False) as api:
            return [item.metadata.name for item in client.CoreV1Api(api).list_namespace().items]

    def a_pod(self) -> bool:
        with config.new_client_from_config(self.cluster.kubeconfig, persist_config=False) as api:
            return bool(client.CoreV1Api(api).list_namespaced_pod(self.namespace).items)

    def end(self) -> None:
        for run in self.runs:
            if run.process.poll() is None:
                run.process.send_signal(signal.SIGTERM)
                run.process.wait(40)
        with config.new_client_from_config(self.cluster.kubeconfig, persist_config=False) as api:
            with suppress(client.ApiException):  # it may be gone
                client.CoreV1Api(api).delete_namespace(self.namespace)


def hear_ctrl_c() -> None:
    """As in a terminal's foreground: whoever starts the tests in the background has them ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
