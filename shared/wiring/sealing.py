"""The keys that seal credentials."""

import asyncio
import os
from pathlib import Path

from shared.adapters.sealing import KeyRing
from shared.edge import settings
from shared.edge.config import SettingError
from shared.wiring.once import Once


def read() -> KeyRing:
    """The key ring that is set. Raises SettingError."""
    text = settings.SEAL_KEYS.read(os.environ)
    try:
        if text.startswith("file:"):
            text = Path(text.removeprefix("file:")).read_text()
        return KeyRing.parse(text)
    except OSError as error:
        raise SettingError(f"{settings.SEAL_KEYS.name}: its file: {error.strerror}") from None
    except UnicodeDecodeError:  # its text would repeat bytes of the file
        raise SettingError(f"{settings.SEAL_KEYS.name}: its file is no text") from None
    except ValueError as error:
        raise SettingError(f"{settings.SEAL_KEYS.name}: {error}") from None


async def _make() -> KeyRing:
    return await asyncio.to_thread(read)


sealer = Once(_make)
