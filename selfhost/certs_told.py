"""Certificates as a server knows them, on a terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from selfhost.leases_told import printable
from shared.domain.identity import Principal

SHORT = 8  # characters of a serial that is there to be found among the others
DAY = len("2027-01-15")


def listed(certificates: Sequence[dict[str, Any]]) -> Table:
    """One row a certificate, in 80 columns; whole serials, so that one can be handed on to `revoke`."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("serial", "role", "ends"):
        table.add_column(name, no_wrap=True)
    for name in ("from", "revoked"):
        table.add_column(name, overflow="fold")
    for each in certificates:
        revoked = f"{_local(each['revoked_at'])} by {each.get('revoked_by', '')}" if each.get("revoked_at") else ""
        row = (each["serial"], each["role"], _local(each["expires_at"])[:DAY], each.get("renewed_from", "")[:SHORT])
        table.add_row(*map(printable, (*row, revoked)))
    return table


def document(who: Principal) -> dict[str, str]:
    """Whose certificate, and which if there is one, as JSON."""
    serial = {"serial": who.serial} if who.serial else {}
    expires_at = datetime.fromtimestamp(who.until, UTC).isoformat()
    return {"tenant": who.tenant, "role": who.role, "name": who.name, **serial, "expires_at": expires_at}


def when(seconds: float) -> str:
    """In the time zone of whoever reads it."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M}"


def _local(instant: str) -> str:
    return when(datetime.fromisoformat(instant).timestamp())
