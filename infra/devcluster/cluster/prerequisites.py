"""What the machine must have, checked at the beginning and all at once."""

import os
import pathlib
import platform
import shutil

from . import artefacts
from .settings import CACHE, REPOSITORY, STATE, WITH_PIP, Failed

TOOLS = {
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "openssl": "openssl",
}
BUILD_TOOLS = {"dpkg": "dpkg", "tar": "tar", "perl": "perl", "chroot": "coreutils"}
COVERED = ("/run", "/var", "/proc", "/sys", "/dev")


def check(jupyter: bool = False) -> None:
    wrong = [*machine(), *folders()]
    missing = [a for a in artefacts.wanted(jupyter) if a.missing]
    tools = TOOLS | (BUILD_TOOLS if missing else {})
    absent = [tool for tool in tools if not shutil.which(tool)]
    if absent:
        packages = sorted({tools[tool] for tool in absent})
        wrong.append(f"missing: {', '.join(absent)}. Install: apt-get install {' '.join(packages)}")
    if missing:
        wrong += building({a.name for a in missing})
    if wrong:
        raise Failed(
            "this machine cannot run the development cluster:\n" + "\n".join(f"  * {w}" for w in wrong),
            "put that right, or use a cluster that exists already: PLAYGROUND_KUBECONFIG=<its kubeconfig file>",
        )


def machine() -> list[str]:
    wrong = []
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        wrong.append(f"Linux on x86_64 is needed, this is {platform.system()} on {platform.machine()}")
    if os.geteuid():
        wrong.append("root is needed for namespaces, mounts and cgroups. Run it with sudo, or in a root shell")
    release = artefacts.os_release()
    if "debian" not in f"{release.get('ID', '')} {release.get('ID_LIKE', '')}".split() or not shutil.which("apt-get"):
        name = release.get("PRETTY_NAME", "unknown")
        wrong.append(f"Debian or Ubuntu with apt-get is needed (containerd and images come from it), this is {name}")
    if not any(pathlib.Path("/sys/fs/cgroup").glob("*")):
        wrong.append("no cgroups are mounted at /sys/fs/cgroup: mount them, or start the container with --privileged")
    return wrong


def folders() -> list[str]:
    """In the cluster's mount namespace /run is empty, and /var an overlay that cannot be made over itself."""
    wrong = []
    for folder, covered, advice in (
        (STATE, COVERED, "set DEVCLUSTER_DIR to a folder"),
        (CACHE, ("/run",), "set DEVCLUSTER_CACHE to a folder"),
        (REPOSITORY, ("/run",), "move the checkout"),
    ):
        if any(folder.is_relative_to(c) for c in covered):
            wrong.append(f"{folder} is not seen inside the cluster: {advice} outside {' '.join(covered)}")
    return wrong


def building(missing: set[str]) -> list[str]:
    wrong = []
    needs_go = bool(missing & set(artefacts.GO_PROGRAMS)) and not artefacts.machine_go()
    if (needs_go or missing & {f"image-{name}" for name in WITH_PIP}) and not artefacts.pip():
        go = ".".join(map(str, artefacts.go_needed()))
        what = f"Go >= {go}, or pip to install it" if needs_go else "pip"
        wrong.append(f"missing: {what}. Install: apt-get install python3-pip")
    keyring = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if "image-mariadb" in missing and not keyring.exists():
        wrong.append("missing: Debian's keys. Install: apt-get install debian-archive-keyring")
    return wrong
