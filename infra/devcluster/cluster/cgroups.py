"""The cgroup the pods live in, in every hierarchy there is."""

import contextlib
import os
import pathlib
import time

from .settings import CGROUP, Failed

BASE = pathlib.Path("/sys/fs/cgroup")


def folders() -> list[pathlib.Path]:
    if (BASE / "cgroup.controllers").exists():  # cgroup v2 only; not tried on the machine this was written on
        return [BASE / CGROUP]
    return [d / CGROUP for d in BASE.iterdir() if d.is_dir() and not d.is_symlink()]


def make() -> None:
    for folder in folders():
        folder.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):  # v1: a new one is empty, and no process may enter it
            own, above = folder / name, folder.parent / name
            if own.exists() and not own.read_text().strip() and above.exists():
                own.write_text(above.read_text())
        if (folder / "cgroup.subtree_control").exists():
            for level in (folder.parent, folder):
                controllers = (level / "cgroup.controllers").read_text().split()
                if controllers:
                    with contextlib.suppress(OSError):
                        (level / "cgroup.subtree_control").write_text(" ".join("+" + c for c in controllers))


def remove() -> None:
    """Processes that were just killed may take a moment to leave."""
    left: OSError | None = None
    for _ in range(50):
        left = None
        for top in folders():
            for folder, _folders, _files in os.walk(top, topdown=False):
                try:
                    os.rmdir(folder)
                except FileNotFoundError:
                    pass
                except OSError as error:
                    left = error
        if not left:
            return
        time.sleep(0.1)
    raise Failed(f"cgroups are left: {left}", "run devcluster.py down again")
