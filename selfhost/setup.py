"""What a server on one machine needs and a user should not have to make: certificates, keys, settings."""

import getpass
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from selfhost import notebook
from selfhost.certs import CA_DAYS, CLIENT_DAYS, CertificateProblem, KeyStore, folder_name, kept_as
from selfhost.notebook import Notebook
from shared.adapters.canary_http import USER as CANARY
from shared.adapters.sealing import create_key_file
from shared.domain.errors import InvalidRequest
from shared.domain.identity import Principal, Role, check_name
from shared.edge import settings

TENANT = "default"
RENEWED = timedelta(days=30)  # before its end a certificate is issued anew


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
    def settings(self) -> Path:
        """The settings that the server was started with, see `selfhost.remembered`."""
        return self.folder / "settings.json"

    @property
    def notebook(self) -> Path:
        """The plugin's settings (`plugin.FILE`)."""
        return self.folder / notebook.NAME

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


def make_files(
    files: Files, user: str, hosts: tuple[str, ...], environment: Mapping[str, str], now: datetime | None = None
) -> list[str]:
    """Make what is missing of certificates and keys, and anew what ends within 30 days.

    Returns what was made; all that was there stays. Raises CertificateProblem, OSError.
    """
    files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key_store, now, made = KeyStore(files.key_store), now or datetime.now(UTC), []
    trust_domain = settings.TRUST_DOMAIN.read(environment)
    if not files.ca.exists():
        key_store.init(now)
        made.append("a certificate authority")
    last = key_store.end("ca")
    if last is None or last <= now:
        raise CertificateProblem(f"the CA in {files.key_store} has expired: keep that folder under another name")

    def make(name: str, what: str, issue: Callable[[bool], object]) -> None:
        folder = files.pair(name)[0].parent.name
        end = key_store.end(folder)
        if end is None:
            issue(False)
            made.append(what)
        elif end - now < RENEWED and end < last:
            issue(True)
            made.append(f"{what} anew; the one that ends on {end:%Y-%m-%d} is kept as {kept_as(folder, end)}")

    def make_client(name: str, what: str, days: int) -> None:
        principal = Principal(TENANT, Role.USER, name)
        make(name, what, lambda renew: key_store.issue(principal, trust_domain, now, days, renew=renew))

    server = f"a server certificate for {', '.join(hosts)}"
    make("server", server, lambda renew: key_store.server([*hosts], now, renew=renew))
    make_client(user, f"a client certificate for {user}", CLIENT_DAYS)
    # A canary that is refused is a plane that cannot hear, so nothing would ever be hibernated again.
    make_client(CANARY, "one for the canary", CA_DAYS)
    if not files.seal_keys.exists():
        create_key_file(str(files.seal_keys))
        made.append("a key that seals credentials")
    return made


def hosts() -> tuple[str, ...]:
    """The names by which this machine's server is reached."""
    return ("localhost", "127.0.0.1", platform.node() or "localhost")


def server_settings(files: Files, url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Settings of the server, those of the caller's environment first."""
    certificate, key = files.pair(CANARY)
    chosen = {
        settings.STORE_URL.name: f"sqlite:///{files.store}",
        settings.SEAL_KEYS.name: f"file:{files.seal_keys}",
        settings.CANARY_URL.name: url,
        settings.CANARY_CERT.name: str(certificate),
        settings.CANARY_KEY.name: str(key),
        settings.CANARY_CA.name: str(files.ca),
        settings.ISSUER_CRT.name: str(files.ca),
        settings.ISSUER_KEY.name: f"file:{files.ca.with_suffix('.key')}",
    }
    return {name: environment.get(name) or value for name, value in chosen.items()}


def write_notebook_settings(files: Files, url: str, user: str, sqlflow_server: str = "") -> bool:
    """The plugin's settings, for a user of this server. Returns whether they name a SQLFlow server.

    Without `sqlflow_server` a line that somebody has put there stays. Raises CannotStart, OSError.
    """
    certificate, key = files.pair(user)
    return notebook.write(files.notebook, Notebook(user, url, files.ca, certificate, key), sqlflow_server)
