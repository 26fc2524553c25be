"""Where things are, what they are called, and the addresses of a cluster."""

import dataclasses
import hashlib
import ipaddress
import os
import pathlib

HERE = pathlib.Path(__file__).resolve().parent.parent
REPOSITORY = HERE.parent.parent


def _folder(variable: str, default: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(os.environ.get(variable) or default).resolve()


# Everything of one running cluster; `down` removes it.
STATE = _folder("DEVCLUSTER_DIR", REPOSITORY / ".playground" / "devcluster")
# What was built, for every checkout of this user; survives `down`.
CACHE = _folder(
    "DEVCLUSTER_CACHE",
    pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "playground" / "devcluster",
)
IDENTITY = hashlib.sha256(str(STATE).encode()).hexdigest()[:8]
MARKER = ".devcluster"  # in STATE: the folder is ours, so `down` may remove it
CGROUP = f"devcluster-{IDENTITY}"

NODE_NAME = "node1"
IMAGE_PREFIX = "devcluster.local/"
IMAGES = {
    "pause": "pause:3.10",
    "addons": "addons:1",
    "busybox": "busybox:1.35",
    "mariadb": "mariadb:10.11",
    "archiver": "archiver:1",
    "jupyter": "jupyter:1",
}
ALWAYS = ("pause", "addons", "busybox", "mariadb", "archiver")  # jupyter is large, and only tests want it
WITH_PIP = ("archiver", "jupyter")  # what is built from PyPI's packages too
ARCHIVER = REPOSITORY / "archiver"
REQUIREMENTS = REPOSITORY / "requirements.txt"
ARCHIVER_NEEDS = ("azure-storage-blob", "cryptography")  # as pinned there
COMPONENTS = (
    "etcd",
    "registry",
    "containerd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "netpol",
)
NETS = range(16)  # how many clusters fit side by side
UNREACHABLE_METRIC = 4000


class Failed(Exception):
    """Something the reader can act on; `hint` says how."""

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.hint = hint


@dataclasses.dataclass(frozen=True)
class Net:
    """The addresses of cluster number 0..15 on this machine."""

    number: int

    @property
    def veth(self) -> str:
        return f"dc{self.number}"

    @property
    def link(self) -> str:
        return f"10.98.{self.number}.0/30"

    @property
    def host(self) -> str:
        """The machine, as node and pods see it."""
        return f"10.98.{self.number}.1"

    @property
    def node(self) -> str:
        return f"10.98.{self.number}.2"

    @property
    def pods(self) -> str:
        return f"10.244.{self.number}.0/24"

    @property
    def services(self) -> str:
        return f"10.{112 + self.number}.0.0/16"

    @property
    def kubernetes_service(self) -> str:
        return f"10.{112 + self.number}.0.1"

    @property
    def dns(self) -> str:
        return f"10.{112 + self.number}.0.10"

    @property
    def api(self) -> str:
        return f"https://{self.node}:6443"

    @property
    def networks(self) -> tuple[str, str, str]:
        return self.link, self.pods, self.services

    def overlaps(self, network: str) -> bool:
        other = ipaddress.ip_network(network, strict=False)
        return any(ipaddress.ip_network(own).overlaps(other) for own in self.networks)


def current_net() -> Net:
    """The net that `up` has taken for the cluster in STATE."""
    try:
        return Net(int((STATE / "net").read_text()))
    except (OSError, ValueError) as error:
        raise Failed("the cluster is not running", "start it: devcluster.py up") from error


def programs() -> dict[str, str]:
    """Environment in which the cluster's programs are found: built ones, Debian's unpacked ones, the machine's own."""
    debs = STATE / "debs"
    libraries = debs / "usr/lib/x86_64-linux-gnu"
    path = (f"{STATE}/bin", f"{debs}/usr/sbin", f"{debs}/usr/bin")
    system = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
    return {
        "PATH": ":".join(path + system),
        "LD_LIBRARY_PATH": str(libraries),
        "XTABLES_LIBDIR": f"{libraries}/xtables",
        "HOME": str(STATE),
        "TMPDIR": "/tmp",
        "OTEL_TRACES_EXPORTER": "none",  # or distribution tries to send traces
    }
