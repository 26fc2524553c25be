"""The TLS context: a file that cannot be used is named, before anything is served."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from selfhost.errors import CannotStart
from selfhost.tls import server_context
from tests.selfhost.clients import Files


def test_the_context_demands_certificates_and_gives_no_tickets(files: Files) -> None:
    context = server_context(files.ca_crt, files.server_key, files.server_crt)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.num_tickets == 0
    assert context.options & ssl.OP_NO_TICKET
    assert [certificate["serialNumber"] for certificate in context.get_ca_certs()]


def refusal(ca_crt: Path, server_key: Path, server_crt: Path) -> str:
    with pytest.raises(CannotStart) as caught:
        server_context(ca_crt, server_key, server_crt)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_named_with_its_option(files: Files) -> None:
    gone = files.folder / "gone"
    assert refusal(gone, files.server_key, files.server_crt) == f"--ca_crt={gone}: No such file or directory"
    assert refusal(files.ca_crt, gone, files.server_crt) == f"--server_key={gone}: No such file or directory"
    assert refusal(files.ca_crt, files.server_key, gone) == f"--server_crt={gone}: No such file or directory"
    assert refusal(files.folder, files.server_key, gone) == f"--ca_crt={files.folder}: Is a directory"


def test_files_in_the_wrong_order_are_told_apart(files: Files) -> None:
    assert refusal(files.ca_key, files.server_key, files.server_crt).endswith("ca.key: holds no PEM certificate")
    assert refusal(files.ca_crt, files.server_crt, files.server_key).endswith("server.crt: holds no PEM private key")
    assert refusal(files.ca_crt, files.server_key, files.server_key).endswith("server.key: holds no PEM certificate")


def test_a_key_of_another_certificate_is_refused(files: Files) -> None:
    said = refusal(files.ca_crt, files.client_key, files.server_crt)
    assert said == f"--server_key={files.client_key} does not belong to --server_crt={files.server_crt}"


@pytest.mark.parametrize("option", ["ca_crt", "server_key", "server_crt"])
def test_a_damaged_file_is_named(files: Files, tmp_path: Path, option: str) -> None:
    good = {name: getattr(files, name) for name in ("ca_crt", "server_key", "server_crt")}
    lines = good[option].read_text().splitlines()
    damaged = tmp_path / "damaged"
    damaged.write_text("\n".join([lines[0], "AAAA", lines[-1], ""]))
    assert f"--{option}={damaged}" in refusal(**good | {option: damaged})


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(files: Files, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        locked = tmp_path / "locked"
        locked.write_bytes(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret")))
        assert "is encrypted" in refusal(files.ca_crt, locked, files.server_crt)
