"""A renewal that dies between any two of its acts, somebody who reads meanwhile, and the next run."""

import ssl
import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import dotenv
import pytest
from cryptography import x509

from selfhost import plugin, safely
from selfhost.enrolling import enroll
from selfhost.renewing import renew
from shared.domain.policy import DAY
from tests.selfhost.dying import Died, Dying
from tests.selfhost.issuer import Issuer, issuer


@pytest.fixture
def giving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with issuer(tmp_path_factory.mktemp("issuer")) as made:
        yield made


def pair(settings: Path) -> tuple[str, str]:
    kept = dotenv.dotenv_values(settings)
    return str(kept[plugin.CERT]), str(kept[plugin.KEY])


def serial(settings: Path) -> str:
    leaf = x509.load_pem_x509_certificates(Path(pair(settings)[0]).read_bytes())[0]
    return format(leaf.serial_number, "x")


def fits(certificate: str, key: str) -> None:
    """Raises where it does not."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key)


@pytest.mark.slow
@pytest.mark.parametrize("moved", [False, True])
def test_wherever_it_dies_the_pair_in_use_fits_and_the_next_run_brings_it_to_its_end(
    giving: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
):
    """`moved`: the next run comes when the server has forgotten the question."""
    last = 0
    for last in count(1):
        name, folder = f"user{last}", tmp_path / str(last)
        enroll(giving.open, giving.invite(name), folder, giving.factory.ca_file, giving.api, {})
        settings = folder / "sqlflow_playground.env"
        before, environment = pair(settings), {plugin.FILE: str(settings)}

        def look(settings: Path = settings, before: tuple[str, str] = before) -> None:
            fits(*pair(settings))
            fits(*before)  # who has read the settings long ago
            for file in settings.parent.glob("*.key"):
                assert stat.S_IMODE(file.stat().st_mode) == 0o600

        with monkeypatch.context() as patched:
            patched.setattr(safely, "os", Dying(last, look))
            try:
                renew(environment, None, giving.clock.now())
            except Died:
                pass
            else:
                break
        look()
        switched = pair(settings) != before
        if moved:
            giving.clock.turn(DAY)
        done = renew(environment, None, giving.clock.now())
        look()
        assert done.holder.serial == serial(settings)
        left = {file.name for file in folder.iterdir()}
        assert not [name for name in left if name.startswith(".") or name.endswith(".part")]
        # A run that died once its pair was in use had done it all, so the next one is another.
        assert len(giving.certificates(name)) in ((2, 3) if moved or switched else (2,))
        if not moved and not switched:
            assert len(left) == 6, "both pairs, the CA, the settings"
    assert last > 30, "four files, each with at least eight acts"
