"""The cache: what is built anew, what is not, and what is said when it cannot be built."""

import os
import pathlib
import subprocess
import threading
import time

import pytest
from cluster import artefacts, prerequisites, progress
from harness import Cluster


@pytest.fixture
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(artefacts, "CACHE", tmp_path)
    return tmp_path


def writes(text: str):
    def make(artefact: artefacts.Artefact, out: pathlib.Path) -> None:
        (out / "file").write_text(text)

    return make


@pytest.fixture
def sources(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A copy of what artefacts are made of."""
    copy = tmp_path / "sources"
    subprocess.run(["cp", "-r", artefacts.HERE, copy], check=True)
    programs = {n: copy / f.relative_to(artefacts.HERE) for n, f in artefacts.GO_PROGRAMS.items()}
    monkeypatch.setattr(artefacts, "HERE", copy)
    monkeypatch.setattr(artefacts, "GO_PROGRAMS", programs)
    return copy


def keys() -> dict[str, str]:
    return {a.name: a.key for a in artefacts.wanted(jupyter=True)}


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("kube/go.sum", {"kube"}),
        ("addons/netpol.go", {"addons", "image-addons"}),
        ("images/pause/main.go", {"pause", "image-pause"}),
        ("images/mariadb/my.cnf", {"image-mariadb"}),
        ("images/jupyter/start-notebook.py", {"image-jupyter"}),
        ("images/build.py", {f"image-{n}" for n in ("pause", "addons", "busybox", "mariadb", "archiver", "jupyter")}),
        ("README.md", set()),
    ],
)
def test_a_changed_source_changes_the_key_of_what_it_makes(sources: pathlib.Path, file: str, changed: set[str]) -> None:
    before = keys()
    with open(sources / file, "a") as text:
        text.write("\n")
    after = keys()
    assert {name for name in before if before[name] != after[name]} == changed


@pytest.fixture
def archiver(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A copy of the repository, as far as the image of the archiver is made of it."""
    copy = tmp_path / "repository"
    subprocess.run(["mkdir", copy], check=True)
    subprocess.run(["cp", "-r", artefacts.ARCHIVER, artefacts.REQUIREMENTS, copy], check=True)
    monkeypatch.setattr(artefacts, "REPOSITORY", copy)
    monkeypatch.setattr(artefacts, "ARCHIVER", copy / "archiver")
    monkeypatch.setattr(artefacts, "REQUIREMENTS", copy / "requirements.txt")
    return copy


@pytest.mark.parametrize(
    ("file", "text", "changed"),
    [
        ("archiver/sealed.py", "\n", {"image-archiver"}),
        ("archiver/new.py", "\n", {"image-archiver"}),
        ("archiver/__pycache__/new.pyc", "\n", set()),
        ("requirements.txt", "cryptography==0.0.0\n", {"image-archiver"}),
        ("requirements.txt", "something==1.0.0\n", set()),
    ],
)
def test_the_archivers_image_is_made_of_its_program_and_what_that_needs(
    archiver: pathlib.Path, file: str, text: str, changed: set[str]
) -> None:
    before = keys()
    (archiver / file).parent.mkdir(exist_ok=True)
    with open(archiver / file, "a") as opened:
        opened.write(text)
    after = keys()
    assert {name for name in before if before[name] != after[name]} == changed


def test_the_archivers_image_has_the_versions_of_the_control_plane() -> None:
    lines = artefacts.REQUIREMENTS.read_text().splitlines()
    assert set(artefacts.packages("archiver")) <= set(lines)
    assert {line.partition("==")[0] for line in artefacts.packages("archiver")} == set(artefacts.ARCHIVER_NEEDS)
    assert artefacts.packages("jupyter") == []


def test_an_artefact_is_built_once(cache: pathlib.Path) -> None:
    artefacts.build([artefacts.Artefact("thing", "1", 0, writes("first"))])
    artefacts.build([artefacts.Artefact("thing", "1", 0, writes("second"))])
    artefacts.build([artefacts.Artefact("thing", "2", 0, writes("other"))])
    assert (cache / "thing-1/file").read_text() == "first"
    assert (cache / "thing-2/file").read_text() == "other"


def test_an_interrupted_build_leaves_nothing_and_the_next_one_builds(cache: pathlib.Path) -> None:
    def interrupted(artefact: artefacts.Artefact, out: pathlib.Path) -> None:
        (out / "file").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        artefacts.build([artefacts.Artefact("thing", "1", 0, interrupted)])
    assert not list(cache.glob("thing*")) and not list(cache.glob("tmp-*"))
    (cache / "tmp-killed").mkdir()  # what kill -9 leaves
    artefacts.build([artefacts.Artefact("thing", "1", 0, writes("whole"))])
    assert (cache / "thing-1/file").read_text() == "whole"
    assert not list(cache.glob("tmp-*"))


def test_two_builds_at_once_build_one_after_the_other(cache: pathlib.Path) -> None:
    built = []
    begun, go_on = threading.Event(), threading.Event()

    def slow(artefact: artefacts.Artefact, out: pathlib.Path) -> None:
        begun.set()
        assert go_on.wait(30)
        built.append("slow")

    def fast(artefact: artefacts.Artefact, out: pathlib.Path) -> None:
        built.append("fast")

    first = threading.Thread(target=artefacts.build, args=([artefacts.Artefact("thing", "1", 0, slow)],))
    first.start()
    assert begun.wait(30)
    second = threading.Thread(target=artefacts.build, args=([artefacts.Artefact("thing", "1", 0, fast)],))
    second.start()
    go_on.set()
    first.join()
    second.join()
    assert built == ["slow"]


def test_versions_that_nobody_used_for_a_month_are_forgotten(cache: pathlib.Path) -> None:
    for key in ("1", "2"):
        artefacts.build([artefacts.Artefact("thing", key, 0, writes(key))])
    long_ago = time.time() - 31 * 86400
    os.utime(cache / "thing-1", (long_ago, long_ago))
    artefacts.build([artefacts.Artefact("thing", "3", 0, writes("3"))])
    assert sorted(p.name for p in cache.glob("thing-*")) == ["thing-2", "thing-3"]


def test_a_full_disk_is_told_before_anything_is_built(tmp_path: pathlib.Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], check=True)
    try:
        said = Cluster(tmp_path / "state", DEVCLUSTER_CACHE=str(disk)).run("up", check=False)
    finally:
        subprocess.run(["umount", disk], check=True)
    assert "not enough disk space to build" in said
    assert f"free on the disk of {disk}" in said
    assert "DEVCLUSTER_CACHE" in said


def test_a_disk_too_full_to_run_on_is_told_before_the_start(tmp_path: pathlib.Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], check=True)
    try:
        said = Cluster(disk / "state").run("up", check=False)
    finally:
        subprocess.run(["umount", disk], check=True)
    assert "not enough disk space to run" in said
    assert "DEVCLUSTER_DIR" in said


def test_all_that_is_missing_is_told_at_once(tmp_path: pathlib.Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    environment = {"PATH": str(nothing), "DEVCLUSTER_CACHE": str(tmp_path / "cache")}
    said = Cluster(tmp_path / "state", **environment).run("up", check=False)
    for word in ("ip, unshare, nsenter, mount, openssl", "iproute2", "util-linux", "apt-get", "PLAYGROUND_KUBECONFIG="):
        assert word in said
    assert not (tmp_path / "state").exists()


def test_without_go_and_pip_both_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artefacts, "machine_go", lambda: None)
    monkeypatch.setattr(artefacts, "pip", lambda: None)
    assert "Go >= 1.26" in prerequisites.building({"kube"})[0]


def test_pip_is_asked_for_where_an_image_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artefacts, "pip", lambda: None)
    for name in ("image-archiver", "image-jupyter"):
        assert prerequisites.building({name}) == ["missing: pip. Install: apt-get install python3-pip"]
    assert prerequisites.building({"image-pause"}) == []


def test_an_old_go_is_not_taken(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for version, taken in (("go1.21.13", None), ("go1.99.0", str(go))):
        go.write_text(f"#!/bin/sh\necho {version}\n")
        go.chmod(0o755)
        assert artefacts.machine_go() == taken


def test_a_failing_build_tells_what_failed_how_its_log_ends_and_what_to_do(tmp_path: pathlib.Path) -> None:
    script = 'for n in $(seq 30); do echo "line $n"; done; echo "write: no space left on device"; exit 3'
    with pytest.raises(artefacts.Failed) as failed, progress.Step("build kube") as step:
        progress.logged(["sh", "-c", script], tmp_path / "log", step)
    said = str(failed.value)
    assert "build kube failed (exit 3)" in said
    assert "line 30" in said and "line 10" not in said
    assert "the disk is full" in failed.value.hint
