"""Asks a server for what its description allows and for what it forbids: schemathesis, as a process of its own."""

import asyncio
import json
import os
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.certs import Made
from tests.http.certificates import People
from tests.http.ways import ROUTED

ROOT = Path(__file__).parents[2]
# All checks are on but two. `accepted_but_for_its_meaning` stands in for positive_data_acceptance and says why.
# use_after_free wants 404 after a DELETE; ours answers 202, and what becomes of a lease can be seen for days.
# ignored_auth is on and has nothing to leave out: a certificate is the connection's, and
# test_certificates.py sees to those that have none.
SETTINGS = """
hooks = "tests.http.described_hooks"
[generation]
deterministic = true
database = "none"
[checks]
positive_data_acceptance.enabled = false
use_after_free.enabled = false
# 413: what is too long for a field may be too long for a body.
negative_data_rejection.expected-statuses = [400, 403, 404, 405, 409, 413]
"""


@dataclass(frozen=True, slots=True)
class Run:
    """Its exit status (0: nothing is wrong), what it says, and the statuses that it saw by function."""

    status: int
    said: str
    seen: dict[str, set[int]]


async def run(document: dict[str, Any], port: int, people: People, by: Made | None, folder: Path, *options: str) -> Run:
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "schemathesis.toml").write_text(SETTINGS)
    shown = (f"--request-cert={by.certificate}", f"--request-cert-key={by.key}") if by else ()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file=schemathesis.toml", "run", "openapi.json"),
        *(f"--url=https://localhost:{port}", f"--tls-verify={people.factory.ca_file}", *shown, *options),
        *("--no-color", "--continue-on-failure", "--report=har", "--report-har-path=seen.har"),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return Run(process.returncode, said.decode(), _seen(folder / "seen.har"))


def _seen(har: Path) -> dict[str, set[int]]:
    seen: dict[str, set[int]] = defaultdict(set)
    for entry in json.loads(har.read_text())["log"]["entries"]:
        name, _, _ = ROUTED.find(entry["request"]["method"], urlsplit(entry["request"]["url"]).path)
        if name:
            seen[name].add(entry["response"]["status"])
    return seen
