"""An enrolment that dies between any two of its acts, and the same command run again."""

import asyncio
import os
import ssl
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import dotenv
import pytest
from cryptography import x509

from selfhost import plugin, safely
from selfhost.api_client import Access, NoAnswer
from selfhost.certs import CertificateProblem
from selfhost.enrolling import KEY, Enrolled, enroll
from tests.selfhost.dying import Died, Dying
from tests.selfhost.issuer import Issuer, issuer

SERVER = "https://playground.example:50052"


@pytest.fixture
def giving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with issuer(tmp_path_factory.mktemp("issuer")) as made:
        yield made


def run(giving: Issuer, token: str, folder: Path) -> Enrolled:
    return enroll(giving.open, token, folder, giving.factory.ca_file, SERVER, {})


def check_complete(giving: Issuer, folder: Path, name: str) -> None:
    """All is there, fits together, and is the only certificate that was issued; nothing else is left."""
    assert {file.name for file in folder.iterdir()} == {
        "ca.crt",
        f"{name}.crt",
        f"{name}.key",
        "sqlflow_playground.env",
    }
    kept = dotenv.dotenv_values(folder / "sqlflow_playground.env")
    assert (kept[plugin.USER_ID], kept[plugin.SERVER]) == (name, SERVER)
    paths = [str(kept[each]) for each in (plugin.CA, plugin.CERT, plugin.KEY)]
    Access(SERVER, *paths).context()  # raises where the pair does not fit
    [issued] = giving.certificates(name)
    leaf = x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())
    assert format(leaf.serial_number, "x") == issued.serial


class Watch:
    """Looks at a folder between acts: who holds a key was nobody else's from its first moment, and settings fit."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._first: dict[int, int] = {}  # mode of each inode when it was seen first

    def __call__(self) -> None:
        for file in self._folder.glob("*"):
            found = file.stat()
            first = self._first.setdefault(found.st_ino, stat.S_IMODE(found.st_mode))
            if b"PRIVATE" in file.read_bytes():
                assert first == stat.S_IMODE(found.st_mode) == 0o600
        if (settings := self._folder / "sqlflow_playground.env").exists():
            kept = dotenv.dotenv_values(settings)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_cert_chain(str(kept[plugin.CERT]), str(kept[plugin.KEY]))  # raises where it does not fit
            context.load_verify_locations(str(kept[plugin.CA]))


@pytest.mark.slow
def test_wherever_it_dies_the_same_command_brings_it_to_its_end(
    giving: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    os.umask(0)
    at_the_end = 0
    for last in count(1):
        name, folder = f"user{last}", tmp_path / str(last)
        token = giving.invite(name)
        dying = Dying(last, Watch(folder))
        with monkeypatch.context() as patched:
            patched.setattr(safely, "os", dying)
            try:
                run(giving, token, folder)
            except Died:
                pass
            else:
                break
        if (folder / "sqlflow_playground.env").exists() and not (folder / KEY).exists():
            at_the_end += 1
            with pytest.raises(CertificateProblem, match="is there already"):
                run(giving, token, folder)
        else:
            assert run(giving, token, folder).holder.serial == giving.certificates(name)[0].serial
        check_complete(giving, folder, name)
    check_complete(giving, folder, name)
    assert last > 40, "five files, each with at least eight acts"
    assert at_the_end == 1, "all was done but to free the folder"


def test_who_dies_while_the_answer_is_on_its_way_asks_again_with_the_same_key(giving: Issuer, tmp_path: Path):
    token, giving.lost = giving.invite(), 3
    for _ in range(3):
        with pytest.raises(NoAnswer):
            run(giving, token, tmp_path / "kept")
    run(giving, token, tmp_path / "kept")
    check_complete(giving, tmp_path / "kept", "alice")
    assert (len(giving.arrived), len(giving.keys())) == (4, 1)


def test_what_a_dead_run_had_in_place_already_needs_no_token_any_more(
    giving: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    token = giving.invite()
    remove = safely.remove

    def die(file: Path) -> None:
        if file.name == KEY:
            raise Died
        remove(file)

    with monkeypatch.context() as patched, pytest.raises(Died):
        patched.setattr(safely, "remove", die)
        run(giving, token, tmp_path)
    giving.clock.turn(3600)
    assert run(giving, token, tmp_path).notebook.url == SERVER
    assert len(giving.arrived) == 1
    check_complete(giving, tmp_path, "alice")


def test_a_dead_run_s_key_is_of_no_use_in_a_folder_that_somebody_else_took_since(giving: Issuer, tmp_path: Path):
    token, giving.lost = giving.invite(), 1
    with pytest.raises(NoAnswer):
        run(giving, token, tmp_path)
    (tmp_path / "sqlflow_playground.env").write_text(f"{plugin.KEY}=/somebody/s.key\n{plugin.CERT}=x\n{plugin.CA}=y\n")
    with pytest.raises(CertificateProblem, match="is there already"):
        run(giving, token, tmp_path)
    assert (tmp_path / "sqlflow_playground.env").read_text().startswith(plugin.KEY)
    assert len(giving.arrived) == 1


def test_two_at_once_in_one_folder_are_one_enrolment(giving: Issuer, tmp_path: Path):
    token = giving.invite()

    def attempt(_: int) -> str:
        try:
            return run(giving, token, tmp_path / "kept").holder.name
        except CertificateProblem as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        said = sorted(threads.map(attempt, range(4)), key=len)
    assert said[0] == "alice" and all("is there already" in each for each in said[1:])
    check_complete(giving, tmp_path / "kept", "alice")
    assert len(giving.arrived) == 1


def test_nothing_of_a_loop_is_left_for_who_calls_from_one(giving: Issuer, tmp_path: Path):
    async def call() -> str:
        return (await asyncio.to_thread(run, giving, giving_token, tmp_path)).holder.name

    giving_token = giving.invite()
    assert asyncio.run(call()) == "alice"
