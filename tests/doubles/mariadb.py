"""A database server in memory: what it counts for its user, and what it says when asked."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.adapters.k8s.api import Output
from shared.adapters.k8s.evidence import ARGV
from shared.manifests.mariadb import STARTED


@dataclass(slots=True)
class Server:
    """One start of a server. `deaf`: it does not answer; `babbling`: it answers nonsense."""

    data: list[str]
    connections: int = 0
    connected: int = 0
    statements: int = 0
    executing: int = 0
    deaf: bool = False
    babbling: bool = False

    def connect(self) -> None:
        self.connections += 1
        self.connected += 1

    def disconnect(self) -> None:
        self.connections -= 1

    def execute(self, write: str = "") -> None:
        """Run a statement to its end; `write` is kept on the volume."""
        self.statements += 1
        if write:
            self.data.append(write)

    def answer(self, argv: Sequence[str]) -> Output:
        if list(argv) == STARTED:
            return Output(int(self.deaf), b"")
        assert tuple(argv) == ARGV, "nothing else is ever asked"
        if self.deaf:
            return Output(1, b"")
        if self.babbling:
            return Output(0, b"ERROR 1040 (08004): Too many connections\n")
        row = (self.connections, self.executing, self.connected, self.statements)
        return Output(0, "\t".join(map(str, row)).encode() + b"\n")
