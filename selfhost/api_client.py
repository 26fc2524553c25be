"""Asks a Playground over HTTPS, with the settings and the certificate of the notebook plugin."""

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from dotenv import dotenv_values

from selfhost.plugin import CA, CERT, FILE, KEY, SERVER

SECONDS = 20.0  # an answer may take
USUAL_FILE = ".playground/sqlflow_playground.env"


class NotSet(Exception):
    """It is not said where the server is or who asks; `str()` is one sentence."""


class Refused(Exception):
    """The server said no; `str()` is its sentence."""


class NoAnswer(Exception):
    """The server was not reached, or could not say just now; `str()` is one sentence."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where the server is, and the PEM files with its CA ("": the system's alone) and of who asks ("": nobody)."""

    url: str
    ca: str
    certificate: str
    key: str

    @classmethod
    def read(cls, given: Mapping[str, str], environment: Mapping[str, str]) -> Self:
        """What is given, then what the environment says, then the plugin's file. Raises NotSet."""
        path = environment.get(FILE) or USUAL_FILE
        kept = dotenv_values(path) if os.path.exists(path) else {}
        url, ca, certificate, key = (
            given.get(name) or environment.get(name) or kept.get(name) or "" for name in (SERVER, CA, CERT, KEY)
        )
        if not url:
            raise NotSet(f"no server is named: use --url, or {SERVER} in the environment or in {path}")
        if not url.startswith("https://"):
            raise NotSet(f"{url} is no https:// URL")
        return cls(url, ca, certificate, key)

    def context(self, *, same_host: bool = False) -> ssl.SSLContext:
        """As the plugin's: the server's certificate is required, its name is not compared. Raises NotSet.

        `same_host`: its name is compared as well.
        """
        context, file = ssl.create_default_context(), ""
        context.check_hostname = same_host
        try:
            for file in filter(None, (self.ca, self.certificate, self.key)):
                Path(file).read_bytes()  # or OpenSSL does not say which of them it is
            if file := self.ca:
                context.load_verify_locations(file)
            if file := self.certificate:
                context.load_cert_chain(file, self.key or None, password=lambda: b"")  # rather fail than ask
        except ssl.SSLError:
            raise NotSet(f"{file} holds no certificate that can be used, or not the one of its key") from None
        except OSError as error:
            raise NotSet(f"{file}: {error.strerror}") from None
        return context


class ApiClient:
    """One server. Every request may raise Refused and NoAnswer. Needs a running loop."""

    def __init__(self, url: str, context: ssl.SSLContext):
        self._url = url.rstrip("/")
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=SECONDS), connector=aiohttp.TCPConnector(ssl=context)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._session.close()

    async def ask(
        self, method: str, path: str, query: Mapping[str, str] = {}, revision: int | None = None, **how: Any
    ) -> dict[str, Any]:
        """The JSON object that it answers; `revision`: only if the thing is of that one still."""
        how["headers"] = {} if revision is None else {"If-Match": f'"{revision}"'}
        how["params"] = query
        try:
            async with self._session.request(method, self._url + path, allow_redirects=False, **how) as answer:
                told = json.loads(await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswer(f"no answer from {self._url}: {_reason(error)}") from error
        except ValueError as error:
            raise NoAnswer(f"{self._url} answers {answer.status} and no JSON: is it a Playground?") from error
        if not isinstance(told, dict):
            raise NoAnswer(f"{self._url} answers {answer.status} and no JSON object: is it a Playground?")
        if answer.status < 300:
            return told
        sentence = str(told.get("detail") or told.get("title") or answer.status)
        raise NoAnswer(sentence) if answer.status >= 500 else Refused(sentence)


def is_https(url: str) -> bool:
    """Whether that is the https:// URL of a server, and no more: no user, no query."""
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return named and parts.scheme == "https" and parts.username is None and not parts.query and not parts.fragment


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came within {SECONDS:.0f} s"
    return str(error) or type(error).__name__
