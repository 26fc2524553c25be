"""The settings of a folder's server: `run` keeps them for who comes after it, `down` and `reap`."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from selfhost.errors import CannotStart
from selfhost.setup import Files
from shared.edge import settings
from shared.edge.config import SETTINGS

WHERE = (settings.STORE_URL.name, settings.SEAL_KEYS.name, settings.KUBECONFIG.name)


def remember(files: Files, environment: Mapping[str, str]) -> None:
    """Keep what is set, but no secret: keys that seal are kept as the name of their file, or not."""
    # A queue's address may hold a token, too, and whoever comes after posts no looks.
    wanted = [name for name in SETTINGS if not name.startswith(settings.LOOKS_VIA.name)]
    kept = {name: environment[name] for name in wanted if environment.get(name)}
    if not kept.get(settings.SEAL_KEYS.name, "").startswith("file:"):
        kept.pop(settings.SEAL_KEYS.name, None)
    if settings.KUBECONFIG.name in kept:
        kept[settings.KUBECONFIG.name] = os.pathsep.join(map(str, kubeconfigs(kept[settings.KUBECONFIG.name])))
    partial = files.settings.with_suffix(".part")
    partial.write_text(json.dumps(kept, indent=1))
    partial.replace(files.settings)


def remembered(files: Files) -> dict[str, str]:
    """What was kept; nothing where no server was started. Raises CannotStart."""
    try:
        kept = json.loads(files.settings.read_text())
        return {str(name): str(value) for name, value in kept.items() if name in SETTINGS}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as error:
        raise CannotStart(f"{files.settings} cannot be read: it is no JSON object") from error


def settings_for(files: Files, environment: Mapping[str, str]) -> dict[str, str]:
    """All settings for who looks at the leases now: of the environment, or else of the folder's server.

    What is set counts more, but where it names store, keys or cluster it stands alone. Raises CannotStart.
    """
    if any(environment.get(name) for name in WHERE):
        return dict(environment)
    kept = remembered(files)
    if not kept:
        raise CannotStart(f"{files.folder} is not the folder of a `playground run`, and {', '.join(WHERE)} are not set")
    return kept | {name: value for name, value in environment.items() if value}


def kubeconfigs(paths: str) -> list[Path]:
    """The files that PLAYGROUND_KUBECONFIG names, separated as for kubectl."""
    return [Path(os.path.abspath(os.path.expanduser(path))) for path in paths.split(os.pathsep) if path]
