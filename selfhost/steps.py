"""What a command says while it works: each step, and how long it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def step(what: str) -> Iterator[None]:
    """Says what is done, and at the end of the line how it went."""
    began, ended = time.monotonic(), "interrupted after "
    print(f"  {what} …", end="", flush=True)
    try:
        yield
        ended = ""
    except Exception:
        ended = "failed after "
        raise
    finally:
        print(f" {ended}{time.monotonic() - began:.1f} s", flush=True)


def short(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
