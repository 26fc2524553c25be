"""The plugin as it is published, in kernels of its own, against our server."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from selfhost.setup import Files, write_notebook_settings
from tests.end_to_end.servers import foreign_environment

HERE = Path(__file__).parent / "notebook"


@pytest.fixture(scope="session")
def python() -> Path:
    """The notebook's own environment, made once for each version of its requirements."""
    wanted = (HERE / "requirements.txt").read_bytes()
    digest = hashlib.sha256(wanted + sys.version.encode()).hexdigest()[:12]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "playground" / f"notebook-{digest}"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", HERE / "requirements.txt"], check=True)
        (folder / "complete").touch()
    return folder / "bin/python"


def test_two_kernels_of_a_user_ask_one_database_through_the_plugin_and_keep_it(server, python, user, tmp_path):
    server.context(user)  # makes the certificate
    files = Files(tmp_path)
    files.key_store.symlink_to(server.folder / "key_store")
    write_notebook_settings(files, server.url(), user)
    cells = [
        (0, "%load_ext sqlflow.magic"),
        (0, "%%sqlflow\nSELECT class, COUNT(*) AS n FROM iris.train GROUP BY class ORDER BY class;"),
        (0, "%%sqlflow\nCREATE DATABASE mine;"),
        (1, "%load_ext sqlflow.magic"),
        (1, "%%sqlflow\nSHOW DATABASES LIKE 'mine';"),
    ]
    done = subprocess.run(
        [python, HERE / "drive.py"],
        env=foreign_environment()
        | {"SQLFLOW_JUPYTER_ENV_PATH": str(files.notebook), "JUPYTER_RUNTIME_DIR": str(tmp_path)},
        input=json.dumps(cells), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    _, counted, made, _, seen = json.loads(done.stdout)
    assert [line.split() for line in counted[-1].strip().splitlines()[1:]] == [
        ["0", "0", "40"], ["1", "1", "40"], ["2", "2", "40"],
    ]  # fmt: skip
    assert made == []
    assert seen[-1].split()[-1] == "mine", "the other kernel has the same database"
    assert server.leases()[user]["beat_at"] > server.leases()[user]["ready_at"], "the plugin's first beat was heard"
