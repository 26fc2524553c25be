"""What a server on one machine needs and a user should not have to make: certificates, keys, settings."""

import getpass
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from selfhost.certs import KeyStore, folder_name
from shared.adapters.canary_http import USER as CANARY
from shared.adapters.sealing import create_key_file
from shared.domain.errors import InvalidRequest
from shared.domain.identity import Principal, Role, check_name
from shared.edge import settings

TENANT = "default"


@dataclass(frozen=True, slots=True)
class Files:
    """Everything of one server, under one folder."""

    folder: Path

    @property
    def key_store(self) -> Path:
        return self.folder / "key_store"

    @property
    def store(self) -> Path:
        return self.folder / "leases.db"

    @property
    def has_leases(self) -> bool:
        return self.store.exists()

    @property
    def seal_keys(self) -> Path:
        return self.folder / "seal_keys"

    @property
    def log(self) -> Path:
        """What the server logs."""
        return self.folder / "server.log"

    @property
    def notebook(self) -> Path:
        """The plugin's settings (`SQLFLOW_JUPYTER_ENV_PATH`)."""
        return self.folder / "sqlflow_playground.env"

    @property
    def ca(self) -> Path:
        return self.key_store / "ca" / "ca.crt"

    def pair(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a name in the key store."""
        folder = "server" if name == "server" else folder_name(TENANT, name)
        return self.key_store / folder / f"{folder}.crt", self.key_store / folder / f"{folder}.key"


def current_user() -> str:
    """Who runs this, if that is a name a database can have; "notebook" otherwise."""
    name = getpass.getuser()
    try:
        check_name(name)
    except InvalidRequest:
        return "notebook"
    return name


def make_files(files: Files, user: str, hosts: tuple[str, ...], environment: Mapping[str, str]) -> list[str]:
    """Make what is missing of certificates and keys; what is there stays. Returns what was made."""
    files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key_store, now, made = KeyStore(files.key_store), datetime.now(UTC), []
    trust_domain = settings.TRUST_DOMAIN.read(environment)

    def make(path: Path, what: str, act: Callable[[], object]) -> None:
        if not path.exists():
            act()
            made.append(what)

    make(files.ca, "a certificate authority", lambda: key_store.init(now))
    make(
        files.pair("server")[0], f"a server certificate for {', '.join(hosts)}", lambda: key_store.server([*hosts], now)
    )
    for name, what in ((user, f"a client certificate for {user}"), (CANARY, "one for the canary")):
        principal = Principal(TENANT, Role.USER, name)
        make(files.pair(name)[0], what, lambda p=principal: key_store.issue(p, trust_domain, now))  # type: ignore[misc]
    make(files.seal_keys, "a key that seals credentials", lambda: create_key_file(str(files.seal_keys)))
    return made


def hosts() -> tuple[str, ...]:
    """The names by which this machine's server is reached."""
    return ("localhost", "127.0.0.1", platform.node() or "localhost")


def server_settings(files: Files, url: str) -> dict[str, str]:
    """Settings of the server, those of the caller's environment first."""
    certificate, key = files.pair(CANARY)
    chosen = {
        settings.STORE_URL.name: f"sqlite:///{files.store}",
        settings.SEAL_KEYS.name: f"file:{files.seal_keys}",
        settings.CANARY_URL.name: url,
        settings.CANARY_CERT.name: str(certificate),
        settings.CANARY_KEY.name: str(key),
        settings.CANARY_CA.name: str(files.ca),
    }
    return {name: os.environ.get(name) or value for name, value in chosen.items()}


def write_notebook_settings(files: Files, url: str, user: str) -> None:
    """The plugin's own format: dotenv, names as it spells them."""
    certificate, key = files.pair(user)
    lines = {
        "SQLFLOW_PLAYGROUND_USER_ID_ENV": "SQLFLOW_USER_ID",
        "SQLFLOW_USER_ID": user,
        "SQLFLOW_PLAYGROUND_SERVRE": url,  # spelled so by the plugin
        "SQLFLOW_PLAYGROUND_SERVER_CA": str(files.ca),
        "SQLFLOW_PLAYGROUND_CLIENT_KEY": str(key),
        "SQLFLOW_PLAYGROUND_CLIENT_CERT": str(certificate),
    }
    text = "".join(f"{name}={quoted(value)}\n" for name, value in lines.items())
    partial = files.notebook.with_suffix(".part")
    partial.write_text(text)
    partial.replace(files.notebook)


def quoted(value: str) -> str:
    """A dotenv value: bare where it may be, in single quotes otherwise."""
    if value.isascii() and all(character.isalnum() or character in "-._~/:@," for character in value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
