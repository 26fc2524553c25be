"""`python -m bench`: what this costs, beside JupyterHub, into bench/results.md.

    python -m bench              everything, about five minutes
    python -m bench beats cold   these parts only; the others' sections stay as they are

The server is the real one, a process of its own, on SQLite with synchronous=FULL on this disk; the
load generator is another. A figure is the median of rounds, and rounds alternate with the peer's,
so that a busy machine slows both: on such a machine believe ratios and processor times.
"""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench import attack, beats, cold, creates, jupyterhub, machine, passes, pooled, profiles, scale, starts, steady
from bench.figures import Figure, table
from bench.servers import ROOT, Broken

PARTS = {
    "beats": beats, "steady": steady, "creates": creates, "cold": cold, "pool": pooled, "passes": passes,
    "scale": scale, "starts": starts, "attack": attack,
    "profile": profiles,
}  # fmt: skip
RESULTS = Path(__file__).with_name("results.md")
BY_HAND = "## Read by a person"  # from here on results.md is kept as it is

HEAD = """# What it costs

Written by `python -m bench` (`make bench`), last on {now}; what each part does is said in its module beside this file.

{machine}
* the peer is JupyterHub {hub} from PyPI on SQLite, its spawner and its proxy doing nothing, called over plain HTTP with
  the API token of a service: one timestamp a request and no server named, the form that takes it least. With
  `activity_resolution=0` it also writes its token's own activity; with its default it does so every 30 s

A row has the median, least and greatest of its rounds; a target is one of the median. Latencies are of the single
requests of a round. "Cores taken by others" are of processes that the run did not start: where there are any, believe
the ratios and the processor times, which were taken one after the other, and not the rates and latencies. The same
holds where the fixed piece of Python took longer than elsewhere: a shared host slows its guests, unseen by them.
"""


async def measure(name: str, folder: Path) -> tuple[str, list[Figure]]:
    """A part's section, and its figures."""
    part, load, others, began = PARTS[name], os.getloadavg()[0], machine.Others(), time.monotonic()
    pace = machine.pace()
    figures = await part.measure(folder)
    said = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {time.monotonic() - began:.0f} s; load average {load:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after; cores taken by others {others.cores():.1f}; "
        f"a fixed piece of Python took {pace:.0f} ms before, {machine.pace():.0f} after."
    )
    first_line = (part.__doc__ or "").partition("\n")[0]
    return f"## {name}\n\n{first_line}\n{said}\n\n{table(figures)}\n", figures


def write(sections: dict[str, str], described: list[str]) -> None:
    """Put these sections into results.md, in the place of those of the same name."""
    before = RESULTS.read_text() if RESULTS.exists() else ""
    measured, _, by_hand = before.partition(BY_HAND)
    kept = {text.partition("\n")[0]: f"## {text.rstrip()}\n" for text in measured.split("\n## ")[1:]}
    told = "\n".join(f"* {line}" for line in described)
    head = HEAD.format(now=f"{datetime.now(UTC):%Y-%m-%d}", machine=told, hub=jupyterhub.VERSION)
    chosen = [(kept | sections)[name] for name in PARTS if name in kept | sections]
    RESULTS.write_text("\n".join([head, *chosen, f"{BY_HAND}{by_hand}"]))


def _missed(figures: list[Figure]) -> Iterator[str]:
    """Names of the figures that miss their target; an indented one belongs to the one above it."""
    of = ""
    for figure in figures:
        of = of if figure.what.startswith(" ") else figure.what
        if figure.met is False:
            yield of if figure.what == of else f"{of}, {figure.what.strip()}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    names = parser.parse_args().parts
    if wrong := set(names) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(wrong))}")
    began, home = time.monotonic(), ROOT / ".playground"
    home.mkdir(exist_ok=True)
    sections, figures, code = {}, [], 0
    with tempfile.TemporaryDirectory(prefix="bench-", dir=home) as folder:  # on the disk that a server would use
        described = machine.describe(Path(folder))
        try:
            for name in names or PARTS:
                (Path(folder) / name).mkdir()
                sections[name], found = asyncio.run(measure(name, Path(folder) / name))
                print(sections[name], flush=True)
                figures += found
                shutil.rmtree(Path(folder) / name)
        except Broken as error:  # what was measured before it counts all the same
            print(f"bench: {error}", file=sys.stderr)
            code = 1
    write(sections, described)
    print(f"{time.monotonic() - began:.0f} s; targets missed: {'; '.join(_missed(figures)) or 'none'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
