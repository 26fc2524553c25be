"""`playground enroll` where something is wrong: one line, nothing sent or lost, and the next try works."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from selfhost import safely
from selfhost.enrolling import KEY
from tests.selfhost.dying import Failing
from tests.selfhost.enrolled import USUAL, Enroll, clean_place, enrolling, giving_for, printed, refused
from tests.selfhost.issuer import Issuer

COMPLETE = {"alice.crt", "alice.key", "ca.crt", "sqlflow_playground.env"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return clean_place(tmp_path, monkeypatch)


@pytest.fixture
def giving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with giving_for(tmp_path_factory.mktemp("issuer")) as made:
        yield made


@pytest.fixture
def enroll(giving: Issuer) -> Enroll:
    return enrolling(giving)


def names(folder: Path = USUAL) -> set[str]:
    return {file.name for file in folder.iterdir()}


def everything(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_nothing_is_told_to_a_server_of_another_ca(enroll: Enroll, giving: Issuer):
    Path("other.crt").write_bytes(giving.factory.foreign_ca.certificate.public_bytes(Encoding.PEM))
    assert "certificate verify failed" in refused(enroll(giving.invite(), "--ca", "other.crt"), 3)
    assert giving.arrived == []


def test_nothing_is_told_to_a_server_of_another_name(enroll: Enroll, giving: Issuer):
    url = giving.open.replace("localhost", "127.0.0.1")
    assert "certificate is not valid for '127.0.0.1'" in refused(enroll(giving.invite(), url=url), 3)
    assert giving.arrived == []


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "localhost:1", "https://", "https://a@localhost:1", "https://localhost:1/?a=b", "x"]
)
def test_only_an_https_url_is_asked_and_no_other_is_repeated(enroll: Enroll, giving: Issuer, url: str):
    token = giving.invite()
    assert refused(enroll(token, url=url), 2).startswith("URL must be https://host:port")
    assert refused(enroll(token, "--server", url), 2).startswith("--server must be https://host:port")
    assert token not in refused(enroll(token, url=token), 2)
    assert not giving.arrived and not USUAL.exists()


def test_a_ca_file_that_cannot_be_used_is_named(enroll: Enroll, giving: Issuer):
    Path("empty").touch()
    assert refused(enroll("token", "--ca", "missing"), 2) == "missing: No such file or directory"
    assert refused(enroll("token", "--ca", "empty"), 2).startswith("empty holds no certificate")
    assert not giving.arrived and not USUAL.exists()


def test_a_token_that_is_refused_is_told_in_one_line_and_the_next_one_works(enroll: Enroll, giving: Issuer):
    assert refused(enroll("nonsense")) == "that is no token: it has to be copied whole"
    late = giving.invite()
    giving.clock.turn(3600)
    assert "its time is over" in refused(enroll(late))
    assert names() == {KEY}
    token = giving.invite()
    printed(enroll(token))
    assert names() == COMPLETE
    assert "has been used" in refused(enroll(token, "--folder", "elsewhere"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: {},
        lambda answer: [],
        lambda answer: {**answer, "certificate": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"},
        lambda answer: {**answer, "certificate": answer["certificate"] * 2},
        lambda answer: {**answer, "certificate": None},
        lambda answer: {**answer, "name": "bob"},
        lambda answer: {**answer, "role": "admin"},
    ],
)
def test_an_answer_that_is_no_certificate_of_ones_own_changes_nothing(
    enroll: Enroll, giving: Issuer, spoil: Callable[[Any], Any]
):
    token, giving.changed = giving.invite(), spoil
    assert "answers" in refused(enroll(token), 3)
    assert names() == {KEY}
    giving.changed = lambda answer: answer
    printed(enroll(token))
    assert names() == COMPLETE


def test_a_certificate_for_another_key_or_of_another_ca_is_not_taken(enroll: Enroll, giving: Issuer):
    token = giving.invite()
    for other in (giving.factory.leaf(), giving.factory.leaf(ca=giving.factory.foreign_ca)):
        pem = other.certificate.read_text() + giving.factory.ca_pem.decode()
        giving.changed = lambda answer, pem=pem: {**answer, "certificate": pem}
        assert "no certificate that can be used" in refused(enroll(token), 3)
        assert names() == {KEY}


def test_a_chain_whose_ca_did_not_issue_it_is_not_taken(enroll: Enroll, giving: Issuer):
    foreign = giving.factory.foreign_ca.certificate.public_bytes(Encoding.PEM).decode()
    own = giving.factory.ca_pem.decode()
    giving.changed = lambda answer: {**answer, "certificate": answer["certificate"].replace(own, foreign)}
    assert "no certificate that can be used" in refused(enroll(giving.invite()), 3)
    assert names() == {KEY}


def test_files_of_somebody_are_neither_replaced_nor_is_anything_sent(enroll: Enroll, giving: Issuer):
    token = giving.invite()
    for number, name in enumerate(("sqlflow_playground.env", "bob.key", "ca.crt")):
        place = Path(f"folder{number}")
        place.mkdir()
        (place / name).write_text("somebody's")
        said = refused(enroll(token, "--folder", str(place)))
        assert said == f"{place.absolute()}/{name} is there already: nothing was changed; others need another --folder"
        assert everything(place) == {f"{place}/{name}": b"somebody's"}
    assert giving.arrived == []


def test_who_is_enrolled_is_not_enrolled_again_in_the_same_folder(enroll: Enroll, giving: Issuer):
    printed(enroll(giving.invite()))
    before = everything(USUAL)
    assert "is there already" in refused(enroll(giving.invite("bob")))
    assert everything(USUAL) == before and len(giving.arrived) == 1


def test_a_file_of_the_same_name_is_told_before_anything_is_changed(enroll: Enroll, giving: Issuer):
    token = giving.invite()
    USUAL.mkdir()
    (USUAL / "alice.crt").write_bytes(giving.factory.leaf().certificate.read_bytes())
    before = everything(USUAL)
    said = refused(enroll(token))
    assert said == f"{(USUAL / 'alice.crt').absolute()} is somebody else's: move it away, then run this again as it was"
    assert {name: text for name, text in everything(USUAL).items() if not name.endswith(KEY)} == before
    (USUAL / "alice.crt").unlink()
    printed(enroll(token))
    assert names() == COMPLETE


def test_a_ca_that_came_while_an_enrolment_waited_to_go_on_is_not_replaced(enroll: Enroll, giving: Issuer):
    token, giving.lost = giving.invite(), 1
    refused(enroll(token), 3)
    (USUAL / "ca.crt").write_text("somebody's")
    said = refused(enroll(token))
    assert said == f"{(USUAL / 'ca.crt').absolute()} is somebody else's: move it away, then run this again as it was"
    assert names() == {KEY, "ca.crt"} and (USUAL / "ca.crt").read_text() == "somebody's"


def test_a_key_of_an_enrolment_that_cannot_be_read_is_named(enroll: Enroll, giving: Issuer):
    USUAL.mkdir()
    (USUAL / KEY).write_text("no key")
    assert "is no key of an enrolment: move it away" in refused(enroll(giving.invite()))
    assert giving.arrived == []


def test_a_folder_that_the_plugin_would_read_otherwise_is_refused_before_the_token_is_used(
    enroll: Enroll, giving: Issuer
):
    assert "use another folder" in refused(enroll(giving.invite(), "--folder", "${HOME}"))
    assert giving.arrived == [] and not Path("${HOME}").exists()


def test_a_folder_that_cannot_be_made_or_written_is_one_line(
    enroll: Enroll, giving: Issuer, monkeypatch: pytest.MonkeyPatch
):
    token = giving.invite()
    Path("file").touch()
    assert refused(enroll(token, "--folder", "file")) == f"{Path('file').absolute()}: File exists"

    for name, error in (("write", errno.ENOSPC), ("replace", errno.EACCES), ("fsync", errno.EIO)):
        with monkeypatch.context() as patched:
            patched.setattr(safely, "os", Failing(name, error))
            said = refused(enroll(token, "--folder", name))
        assert said == f"{Path(name).absolute()}/{KEY}: {os.strerror(error)}"
        assert names(Path(name)) == set()
    assert giving.arrived == []


def test_a_disk_that_is_full_when_the_answer_comes_loses_nothing(
    enroll: Enroll, giving: Issuer, monkeypatch: pytest.MonkeyPatch
):
    token, write = giving.invite(), safely.write

    def full(file: Path, content: bytes, mode: int) -> None:
        if file.name == "alice.crt":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        write(file, content, mode)

    with monkeypatch.context() as patched:
        patched.setattr(safely, "write", full)
        assert refused(enroll(token)) == f"{(USUAL / 'alice.crt').absolute()}: No space left on device"
    printed(enroll(token))
    assert names() == COMPLETE and len(giving.certificates()) == 1
