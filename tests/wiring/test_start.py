"""A wrong setting stops the start of the real server: exit status 2, one line that names it."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared.adapters.sealing import new_key
from tests.certs import CertificateFactory, Made

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
RUN = "import sys; from selfhost.server import main; sys.exit(main())"
CLUSTER = {"PLAYGROUND_FUNCTIONS": "create_db"}
WRONG = {
    "a duration": {"PLAYGROUND_GRACE": "hunter2"},
    "periods that contradict each other": {"PLAYGROUND_HARD_CAP": "PT1H"},
    "a name that nobody reads": {"PLAYGROUND_GRASE": "hunter2"},
    "an unknown function": {"PLAYGROUND_FUNCTIONS": "greet,hunter2"},
    "a function twice": {"PLAYGROUND_FUNCTIONS": "greet,greet"},
    "a schedule": {"PLAYGROUND_REAP_SCHEDULE": "hunter2"},
    "a schedule of five fields": {"PLAYGROUND_CANARY_SCHEDULE": "*/5 * * * *", "PLAYGROUND_FUNCTIONS": "greet"},
    "a second that no minute has": {"PLAYGROUND_RECONCILE_SCHEDULE": "99 * * * * *"},
    "a day that no month has": {"PLAYGROUND_REAP_SCHEDULE": "0 0 0 30 2 *"},
    "a level that no log has": {"PLAYGROUND_LOG_LEVEL": "hunter2"},
    "a trust domain": {"PLAYGROUND_TRUST_DOMAIN": "Hunter2/hunter2"},
    "a store that cannot be": {"PLAYGROUND_STORE": "hunter2"},
    "a store where none can be": {"PLAYGROUND_STORE": "sqlite:///missing/leases.db"},
    "keys": {"PLAYGROUND_SEAL_KEYS": "hunter2", **CLUSTER},
    "a file of keys": {"PLAYGROUND_SEAL_KEYS": "file:hunter2", **CLUSTER},
    "a kubeconfig": {"PLAYGROUND_KUBECONFIG": "hunter2", **CLUSTER},
    "memory": {"PLAYGROUND_DATABASE_MEMORY": "1G", **CLUSTER},
}


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> CertificateFactory:
    return CertificateFactory(tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="module")
def server(factory: CertificateFactory) -> Made:
    return factory.server("localhost")


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_setting_stops_the_start_and_is_named(
    factory: CertificateFactory, server: Made, tmp_path: Path, kind: str
):
    named = next(iter(WRONG[kind]))
    right = {"PLAYGROUND_STORE": f"sqlite:///{tmp_path}/leases.db", "PLAYGROUND_SEAL_KEYS": new_key()}
    environment = {"PYTHONPATH": str(ROOT), **right, **WRONG[kind]}
    files = [f"--ca_crt={factory.ca_file}", f"--server_key={server.key}", f"--server_crt={server.certificate}"]
    ended = subprocess.run(
        [sys.executable, "-c", RUN, "--port=0", *files],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("sqlflow_playground: ") and named in line
    assert "hunter2" not in line.lower()
