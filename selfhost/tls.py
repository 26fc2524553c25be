"""The server's side of TLS: who has no certificate of the CA gets no further, but at the open listener."""

import ssl
from pathlib import Path

from selfhost.errors import CannotStart


def server_context(ca_crt: Path | None, server_key: Path, server_crt: Path) -> ssl.SSLContext:
    """A context for TLS 1.2 and newer that demands a client certificate of `ca_crt`; None: that asks for none.

    Raises CannotStart naming the option whose file cannot be used.
    """
    if ca_crt is not None:
        _check("ca_crt", ca_crt, "CERTIFICATE")
    _check("server_key", server_key, "PRIVATE KEY")
    _check("server_crt", server_crt, "CERTIFICATE")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_NONE if ca_crt is None else ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0  # a ticket costs 0.4 ms where the client has a certificate, and nobody resumes
    context.set_alpn_protocols(["http/1.1"])
    try:
        if ca_crt is not None:
            context.load_verify_locations(cafile=str(ca_crt))
    except ssl.SSLError as error:
        raise CannotStart(f"--ca_crt={ca_crt}: not a certificate ({_reason(error)})") from error
    try:
        context.load_cert_chain(str(server_crt), str(server_key), password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CannotStart(f"--server_key={server_key} does not belong to --server_crt={server_crt}") from error
        raise CannotStart(f"--server_key={server_key} --server_crt={server_crt}: {_reason(error)}") from error
    return context


def _check(option: str, path: Path, kind: str) -> None:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise CannotStart(f"--{option}={path}: {error.strerror}") from error
    if f"{kind}-----".encode() not in text:
        raise CannotStart(f"--{option}={path}: holds no PEM {kind.lower()}")
    if b"ENCRYPTED" in text:
        raise CannotStart(f"--{option}={path}: is encrypted; a server that restarts alone needs a key without password")


def _no_password() -> str:
    raise CannotStart("--server_key: is encrypted")  # never ask a terminal


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")
