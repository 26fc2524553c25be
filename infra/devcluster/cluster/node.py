"""The first process of the cluster, and talking to it.

It holds the mount, network and PID namespaces; its end, however caused, ends
every process, mount and interface of the cluster. It starts and signals the
components as it is told through a unix socket in the state directory.
"""

import contextlib
import json
import os
import pathlib
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

from .progress import sh
from .settings import HERE, STATE, Failed, programs

LOGS = STATE / "log"
# kubelet writes these; let it write to files of ours.
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
# The last three: a Service without endpoints refuses every connection at once, not one a second.
NETWORK_SYSCTLS = {
    "ip_forward": "1",
    "icmp_ratelimit": "0",
    "conf/all/send_redirects": "0",
    "conf/default/send_redirects": "0",
}


@contextlib.contextmanager
def control_address() -> Iterator[str]:
    """A short name of the control socket, however long the state directory's is (a socket's has 107 bytes)."""
    folder = os.open(STATE, os.O_PATH)
    try:
        yield f"/proc/self/fd/{folder}/control"
    finally:
        os.close(folder)


# ---- inside -------------------------------------------------------------------------------------------------------


def mount(*args) -> None:
    subprocess.run(["mount", *map(str, args)], check=True)


def lay_out() -> None:
    """Mounts and network settings, all in namespaces of our own."""
    mount("--make-rshared", "/")
    mount("-t", "tmpfs", "-o", "mode=755", "run", "/run")  # sockets of containerd and its shims, network namespaces
    upper, work = STATE / "var/upper", STATE / "var/work"
    upper.mkdir(parents=True)
    work.mkdir()
    mount("-t", "overlay", "-o", f"lowerdir=/var,upperdir={upper},workdir={work}", "var", "/var")
    # Images and containers' own layers live in memory: faster than many disks, and gone with the cluster.
    (STATE / "containerd").mkdir()
    mount("-t", "tmpfs", "-o", "mode=711,size=50%", "containerd", STATE / "containerd")
    # kubelet makes sockets below its root, whose names may not be long; a peer group of its own, or each
    # of its mounts would appear in both places.
    (STATE / "kubelet").mkdir()
    pathlib.Path("/run/kubelet").mkdir()
    mount("--bind", STATE / "kubelet", "/run/kubelet")
    mount("--make-private", "/run/kubelet")
    mount("--make-shared", "/run/kubelet")
    (STATE / "sysctl").mkdir()
    for name, value in SYSCTLS.items():
        if os.path.exists(f"/proc/sys/{name}"):
            file = STATE / "sysctl" / name.replace("/", ".")
            file.write_text(value + "\n")
            mount("--bind", file, f"/proc/sys/{name}")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name, value in NETWORK_SYSCTLS.items():
        pathlib.Path("/proc/sys/net/ipv4", name).write_text(value + "\n")


class Init:
    """PID 1: reaps, starts, signals, describes."""

    def __init__(self) -> None:
        self.running: dict[str, int] = {}  # name -> pid
        self.ended: dict[str, int] = {}  # name -> how
        self.stopping = False

    def run(self) -> None:
        woken, wake = os.pipe()
        for end in (woken, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        lay_out()
        server = socket.socket(socket.AF_UNIX)
        with control_address() as address:
            server.bind(address)
            os.chmod(address, 0o600)
        server.listen(16)
        events = selectors.DefaultSelector()
        events.register(server, selectors.EVENT_READ)
        events.register(woken, selectors.EVENT_READ)
        while not self.stopping:
            for key, _ in events.select():
                if key.fileobj is server:
                    self.answer(server.accept()[0])
                else:
                    with contextlib.suppress(BlockingIOError):
                        while os.read(woken, 4096):
                            pass
            self.reap()
        os._exit(0)  # the kernel ends every other process of the PID namespace

    def stop(self) -> None:
        self.stopping = True

    def answer(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        with connection, connection.makefile("rwb") as stream, contextlib.suppress(OSError):
            try:
                self.reap()
                reply = self.serve(**json.loads(stream.readline()))
            except Exception as error:  # the caller's mistake, told to the caller
                reply = {"error": f"{type(error).__name__}: {error}"}
            stream.write(json.dumps(reply).encode() + b"\n")
            stream.flush()

    def serve(self, op: str, name: str = "", argv=(), env=None, number: int = 0) -> dict:
        if op == "start" and name not in self.running:
            self.start(name, argv, env or {})
        elif op == "signal":
            if name not in self.running:
                raise ValueError(f"{name} is not running")
            os.kill(self.running[name], number)
        elif op == "stop":
            self.stop()
        return {"components": self.describe()}

    def start(self, name: str, argv, env: dict[str, str]) -> None:
        with open(LOGS / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **env},
                start_new_session=True,
                cwd=STATE,
            )
        self.running[name] = process.pid
        self.ended.pop(name, None)
        process.returncode = 0  # reap() waits for it, not Popen

    def reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                for name in [n for n, p in self.running.items() if p == pid]:
                    del self.running[name]
                    self.ended[name] = os.waitstatus_to_exitcode(status)

    def describe(self) -> dict[str, dict]:
        described: dict[str, dict] = {name: {"running": False, "exit": code} for name, code in self.ended.items()}
        for name, pid in self.running.items():
            described[name] = {"running": True}
            with contextlib.suppress(OSError, ValueError, IndexError):
                text = pathlib.Path(f"/proc/{pid}/status").read_text()
                described[name]["rss_kib"] = int(text.split("VmRSS:")[1].split()[0])
                ticks = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
                now = time.clock_gettime(time.CLOCK_BOOTTIME)
                described[name]["seconds"] = now - ticks / os.sysconf("SC_CLK_TCK")
        return described


# ---- outside ------------------------------------------------------------------------------------------------------


def spawn() -> subprocess.Popen:
    """Start init in new namespaces; what it has to say is in the log init."""
    namespaces = ("unshare", "-m", "-n", "-p", "--fork", "--mount-proc", "--kill-child", "--propagation", "private")
    with open(LOGS / "init.log", "ab") as log:
        return subprocess.Popen(
            [*namespaces, sys.executable, str(HERE / "devcluster.py"), "_init", str(STATE)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env={**os.environ, "DEVCLUSTER_DIR": str(STATE)},
        )


def leftovers() -> list[int]:
    """Processes holding this cluster's namespaces, by their command line: found even where the socket is gone."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                if words[-2:] == [b"_init", os.fsencode(STATE)]:
                    found.append(int(entry.name))
    return found


def ask(op: str, **question) -> dict | None:
    """Tell init something; its answer and its pid as seen from here, or None where there is no init."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    try:
        with control_address() as address:
            client.connect(address)
    except (FileNotFoundError, ConnectionRefusedError):
        client.close()
        return None
    with client, client.makefile("rwb") as stream:
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        stream.write(json.dumps({"op": op, **question}).encode() + b"\n")
        stream.flush()
        answer = json.loads(stream.readline() or b'{"error": "init went away"}')
    if "error" in answer:
        raise Failed(answer["error"])
    return {**answer, "pid": struct.unpack("3i", credentials)[0]}


def pid() -> int:
    answer = ask("ps")
    if answer is None:
        raise Failed("the cluster is not running", "start it: devcluster.py up")
    return answer["pid"]


def inside(*args, **options) -> str:
    """Run in the cluster's namespaces."""
    return sh("nsenter", "-t", pid(), "-m", "-n", "-p", "--", *args, env={**os.environ, **programs()}, **options)
