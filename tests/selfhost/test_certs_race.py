import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from selfhost.certs import KeyStore

RACER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from selfhost.certs import CertificateProblem, KeyStore
from shared.domain.identity import Principal, Role
store = KeyStore(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    try:
        kept = store.issue(Principal("default", Role.USER, f"user-{number}"), "playground.local", datetime.now(UTC))
        print(f"{kept.certificate.serial_number:x}")
    except CertificateProblem as problem:
        assert "exists already" in str(problem)
        print("lost")
"""


def test_of_two_processes_that_issue_one_name_exactly_one_wins(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "key_store")
    store.init(datetime.now(UTC))
    start = [sys.executable, "-c", RACER, str(store.folder)]
    racers = [
        subprocess.Popen(start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        for _ in range(2)
    ]
    for racer in racers:
        assert racer.stdout and racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("\n")
        racer.stdin.flush()
    results = [racer.communicate(timeout=60)[0].split() for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    for number, pair in enumerate(zip(*results, strict=True)):
        name = f"user-{number}"
        stored = x509.load_pem_x509_certificate((store.folder / name / f"{name}.crt").read_bytes())
        assert sorted(pair) == sorted(["lost", f"{stored.serial_number:x}"])
