"""`playground down` on the files' side; what it does on a cluster is in tests/end_to_end/test_run.py."""

import os
from pathlib import Path

import pytest

from selfhost import lock
from selfhost.down import down
from selfhost.errors import CannotStart
from selfhost.remembered import remember
from selfhost.setup import Files, make_files, server_settings, write_notebook_settings

URL = "https://127.0.0.1:50052"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """What `run` leaves that used the development cluster, and beside it what that cluster has."""
    outside = {name: os.environ[name] for name in os.environ if not name.startswith(("PLAYGROUND_", "DEVCLUSTER_"))}
    monkeypatch.setattr(os, "environ", outside)  # `down` puts its settings there
    files = Files(tmp_path / ".playground")
    make_files(files, "alice", ("localhost",), {})
    write_notebook_settings(files, URL, "alice")
    used(files, files.folder / "devcluster" / "admin.kubeconfig")
    with lock.held(files.folder):
        for name in ("leases.db", "leases.db-wal", "leases.db-shm", "leases.db.lock", "server.log", "settings.part"):
            (files.folder / name).touch()
    (files.folder / "devcluster").mkdir()
    return files


def used(files: Files, kubeconfig: Path) -> None:
    """The last `run` used that cluster."""
    remember(files, server_settings(files, URL, {}) | {"PLAYGROUND_KUBECONFIG": str(kubeconfig)})


def left(files: Files) -> list[str]:
    return sorted(entry.name for entry in files.folder.iterdir())


async def test_all_that_run_made_goes_and_what_others_have_there_stays(files: Files):
    await down(files)
    assert left(files) == ["devcluster"], "which goes as a whole, by itself"


async def test_a_folder_that_holds_nothing_else_goes_too(files: Files):
    (files.folder / "devcluster").rmdir()
    await down(files)
    assert not files.folder.exists()
    await down(files)


async def test_a_folder_in_which_nobody_ran_is_left_alone(tmp_path: Path):
    files = Files(tmp_path)
    make_files(files, "alice", ("localhost",), {})  # such as gen_cert.sh's user has at home
    before = left(files)
    await down(files)
    assert left(files) == before


async def test_a_cluster_that_cannot_be_asked_keeps_the_files_and_says_what_to_do(files: Files, tmp_path: Path):
    used(files, tmp_path / "kind.kubeconfig")
    before = left(files)
    with pytest.raises(CannotStart) as caught:
        await down(files)
    said = str(caught.value)
    assert said.startswith("its databases cannot be deleted: PLAYGROUND_KUBECONFIG names no file that is there; ")
    assert said.endswith(f"remove {files.folder} yourself")
    assert left(files) == before


async def test_with_a_cluster_of_one_s_own_in_the_environment_the_development_cluster_is_asked_too(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`make down` then leaves the development cluster running, so its databases do not go with it."""
    (files.folder / "devcluster" / "admin.kubeconfig").write_text("{}")
    monkeypatch.setenv("PLAYGROUND_KUBECONFIG", str(tmp_path / "kind.kubeconfig"))
    with pytest.raises(CannotStart, match=r"the cluster of .*/devcluster/admin.kubeconfig is no more"):
        await down(files)
