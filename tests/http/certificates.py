"""Who calls in these tests, with certificates made once and kept."""

import ssl
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.domain.identity import Role
from tests.certs import CertificateFactory, Made

YEAR = 366 * 86_400.0


class People:
    """Certificates of a CA by role and name, and TLS contexts that show them."""

    def __init__(self, folder: Path):
        self.factory = CertificateFactory(folder)
        self.server = self.factory.server("localhost")
        self.holder = cache(self._holder)
        self.tls = cache(self._tls)

    @property
    def issuer(self) -> dict[str, str]:
        """The settings of whoever issues under the same CA."""
        key = self.factory.folder / "ca.key"
        if not key.exists():
            pem = self.factory.ca.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            key.write_bytes(pem)
        return {"PLAYGROUND_ISSUER_KEY": f"file:{key}", "PLAYGROUND_ISSUER_CRT": str(self.factory.ca_file)}

    def user(self, name: str, tenant: str = "default") -> Made:
        """That user's own certificate; for a name no certificate can have, a frontend's."""
        return self.holder(Role.USER if name not in (".", "..") else Role.FRONTEND, name, tenant)

    def frontend(self, tenant: str = "default") -> Made:
        return self.holder(Role.FRONTEND, "hub", tenant)

    def _holder(self, role: Role, name: str, tenant: str) -> Made:
        return self.factory.leaf(role, "hub" if name in (".", "..") else name, tenant, end=YEAR)

    def _tls(self, by: Made | None) -> ssl.SSLContext:
        """As the plugin's: the server's certificate is checked, its name is not."""
        context = ssl.create_default_context(cafile=str(self.factory.ca_file))
        context.check_hostname = False
        if by is not None:
            context.load_cert_chain(by.certificate, by.key)
        return context
