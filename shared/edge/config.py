"""The settings: one table, read from the environment, each wrong value named.

README's table of settings is checked against `SETTINGS` by a test.
"""

import difflib
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.edge import ncrontab


class SettingError(Exception):
    """A setting is missing or wrong; the message names it."""


PREFIX = "PLAYGROUND_"
SETTINGS: "dict[str, Setting[Any]]" = {}


@dataclass(frozen=True)
class Setting[T]:
    """One environment variable. `default` is text as a user would write it; None: it must be set.

    `parts` are names that may stand for it, or beside it, as `<name>__<part>`: Azure's host reads those.
    """

    name: str
    parse: Callable[[str], T]
    default: str | None
    meaning: str
    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        SETTINGS[self.name] = self

    def read(self, environment: Mapping[str, str]) -> T:
        """Its value. Raises SettingError, which never repeats the value: it may be a secret."""
        text = environment.get(self.name, "").strip() or self.default
        if text is None:
            raise SettingError(f"{self.name} must be set: {self.meaning}")
        try:
            return self.parse(text)
        except ValueError as error:
            raise SettingError(f"{self.name}: {error}") from None


_ISO = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


def duration(text: str) -> float:
    """Seconds, from a number of them or an ISO 8601 duration of days to seconds (`PT11H`)."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        seconds = float(text)
    else:
        found = _ISO.fullmatch(text)
        if found is None or not any(found.groups()) or text.endswith("T"):
            raise ValueError("not a duration: write seconds (39600) or ISO 8601 (PT11H)")
        days, hours, minutes, rest = (float(group or 0) for group in found.groups())
        seconds = days * 86400 + hours * 3600 + minutes * 60 + rest
    if not 0 < seconds <= 10 * 366 * 86400:
        raise ValueError("a duration must be more than 0 and at most ten years")
    return seconds


def number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", text):
        raise ValueError("write a whole number")
    return int(text)


def count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,3}", text) or int(text) > 100:
        raise ValueError("write a whole number from 0 to 100")
    return int(text)


def flag(text: str) -> bool:
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise ValueError("write true or false")
    return values[text.lower()]


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def matching(pattern: str, what: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"not {what}")
        return text

    return parse


def optional(parse: Callable[[str], str]) -> Callable[[str], str]:
    """As `parse`, but empty is allowed and means: not set."""
    return lambda text: parse(text) if text else ""


def networks(text: str) -> tuple[str, ...]:
    """Networks in CIDR notation, separated by commas; `none` for no network at all."""
    if text == "none":
        return ()
    try:
        return tuple(str(ipaddress.ip_network(part.strip())) for part in text.split(","))
    except ValueError:  # its text would repeat the value
        raise ValueError("write networks such as 10.0.0.0/8, separated by commas, or none") from None


_ANNOTATION = re.compile(r"([a-z0-9][a-z0-9.-]{0,252}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def annotations(text: str) -> tuple[tuple[str, str], ...]:
    """Kubernetes annotations, a JSON object of strings. What is playground.dev's is ours to say."""
    try:
        found = json.loads(text)
    except ValueError:  # its text would repeat the value
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("write a JSON object of strings") from None
    if not all(_ANNOTATION.fullmatch(key) and not key.startswith("playground.dev/") for key in found):
        raise ValueError("write Kubernetes' names, such as cloud.example/internal, and none of playground.dev")
    return tuple(sorted(found.items()))


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas or blanks: one at least, each once."""
    found = tuple(part for part in re.split(r"[,\s]+", text) if part)
    if not found or len(set(found)) < len(found):
        raise ValueError("write names separated by commas, each once")
    return found


def at_least(least: float, units: Mapping[str, float], what: str) -> Callable[[str], str]:
    """A whole number and one of `units` (their sizes) that come to `least` or more."""

    def parse(text: str) -> str:
        found = re.fullmatch(r"([0-9]{1,9})([A-Za-z]*)", text)
        if found is None or int(found[1]) * units.get(found[2], 0) < least:
            raise ValueError(f"not {what}")
        return text

    return parse


def schedule(text: str) -> str:
    """NCRONTAB with six fields, as it is written."""
    try:
        ncrontab.canonical(text)
    except ValueError as error:
        raise ValueError(f"not an NCRONTAB expression such as 0 */10 * * * *: {error}") from None
    return text


LABEL = matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a DNS label (a-z, 0-9, -)")
QUEUE = matching(r"[a-z0-9](-?[a-z0-9]){2,62}", "the name of an Azure Storage queue (3 to 63 of a-z, 0-9 and single -)")
BINARY = {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTP", 1)}
CPU = at_least(100, {"m": 1, "": 1000}, "processors such as 500m or 2, and 100m at least: that much is asked for")
MEMORY = at_least(
    256 * BINARY["Mi"], {unit: BINARY[unit] for unit in ("Mi", "Gi")}, "a size such as 512Mi or 2Gi, and 256Mi at least"
)
SIZE = at_least(256 * BINARY["Mi"], BINARY, "a size such as 1Gi, and 256Mi at least")
IMAGE = matching(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*", "an image's name")
DOMAIN = matching(r"[a-z0-9._-]{1,255}", "a trust domain: a-z, 0-9, '.', '_' and '-'")
CLASS = matching(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", "the name of a storage class")
STORE = matching(
    r"sqlite:///.+|cosmos:https://[^/]+/[^/]+/[^/]+",
    "sqlite:///<path> or cosmos:https://<account>/<database>/<container>",
)
LOOKS = matching(r"inprocess|queue:https?://.+", "inprocess or queue:<url of a queue service>")
ARCHIVE = matching(
    r"none|volume:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?|blob:https?://[^/\s]+(/[^/\s]+){1,2}",
    "none, volume:<name of a claim> or blob:<url of a container of blobs>",
)
ISSUER = matching(
    r"none|file:.+|keyvault:https://[^/\s]+/keys/[0-9A-Za-z-]{1,127}(/[0-9A-Za-z]+)?",
    "none, file:<path> or keyvault:<url of a key>",
)
URL = matching(r"https?://[^\s]+", "an http(s) URL")


def validate(environment: Mapping[str, str], also: Iterable[str] = ()) -> None:
    """Read every setting that is set, and refuse PLAYGROUND_… names that nobody reads."""
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in also:
            continue
        whole, _, part = name.partition("__")
        if part and whole in SETTINGS and part.lower() in map(str.lower, SETTINGS[whole].parts):  # .NET knows no case
            continue
        if name not in SETTINGS:
            near = difflib.get_close_matches(
                name.removeprefix(PREFIX), (each.removeprefix(PREFIX) for each in SETTINGS), 1
            )
            raise SettingError(f"{name} is not a setting" + (f"; did you mean {PREFIX}{near[0]}?" if near else ""))
        SETTINGS[name].read(environment)
