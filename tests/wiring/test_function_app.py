"""What Azure's host does with the app: it loads `function_app.py` and no more, before the first call."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared.adapters.sealing import new_key

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
LOAD = "import sys, function_app; print('shared.adapters.k8s.client' in sys.modules, 'kubernetes' in sys.modules)"
WRONG = {
    "a duration": {"PLAYGROUND_GRACE": "hunter2"},
    "periods that contradict each other": {"PLAYGROUND_HARD_CAP": "PT1H"},
    "a name that nobody reads": {"PLAYGROUND_GRASE": "hunter2"},
    "an unknown function": {"PLAYGROUND_FUNCTIONS": "greet,hunter2"},
    "a schedule of a function that is not served": {"PLAYGROUND_REAP_SCHEDULE": "*/5 * * * *"},
    "a level that no log has": {"PLAYGROUND_LOG_LEVEL": "hunter2"},
    "a CA that is not there": {"PLAYGROUND_CLIENT_CA": "hunter2", "PLAYGROUND_CERTIFICATE_FROM": "arr"},
    "keys": {"PLAYGROUND_SEAL_KEYS": "hunter2", "PLAYGROUND_FUNCTIONS": "reap_leases"},
}


def load(tmp_path: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "PLAYGROUND_FUNCTIONS": "heart_beat", **settings}
    return subprocess.run(
        [sys.executable, "-c", LOAD], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_setting_stops_the_app_from_loading_and_is_named(tmp_path: Path, kind: str):
    ended = load(tmp_path, **WRONG[kind])
    assert ended.returncode == 1 and ended.stdout == ""
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"shared.edge.config.SettingError: {next(iter(WRONG[kind]))}")
    assert "hunter2" not in last


@pytest.mark.parametrize(
    ("functions", "loaded"),
    [("heart_beat", False), ("greet,heart_beat,beat_canary", False), ("create_db", True), ("look_at_lease", True)],
)
def test_the_clusters_library_is_loaded_before_the_first_call_where_one_needs_it(
    tmp_path: Path, functions: str, loaded: bool
):
    ended = load(tmp_path, PLAYGROUND_FUNCTIONS=functions, PLAYGROUND_SEAL_KEYS=new_key())
    assert (ended.returncode, ended.stdout) == (0, f"{loaded} {loaded}\n"), ended.stderr
    assert list(tmp_path.iterdir()) == [], "nothing is opened or made"
