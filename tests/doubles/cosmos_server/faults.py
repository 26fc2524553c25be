"""What is to go wrong with requests to come."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

KINDS = Literal["account", "container", "ranges", "plan", "query", "batch", "patch", "read"]


@dataclass
class Fault:
    """Befalls the next `times` requests of the kinds `of` (all that touch items, unless given).

    * `status`, with `retry_after_ms` and `sub_status`: refused, nothing is done.
    * `cut`: the connection is closed without an answer, "before" or "after" the request was carried out.
    * `hold`: not answered until `release` is set; what then comes is as if nothing had been.
      `reached` is set when a request has begun to wait.
    """

    status: int = 0
    sub_status: int = 0
    retry_after_ms: int | None = None
    cut: Literal["", "before", "after"] = ""
    hold: bool = False
    times: int = 1
    of: tuple[KINDS, ...] = ("plan", "query", "batch", "patch", "read")
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)


def next_fault(faults: list[Fault], kind: str) -> Fault | None:
    """The first that befalls such a request; one that is used up is taken off the list."""
    for fault in faults:
        if kind in fault.of:
            fault.times -= 1
            if not fault.times:
                faults.remove(fault)
            return fault
    return None
