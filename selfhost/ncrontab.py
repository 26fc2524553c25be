"""When a schedule comes next, and which one is meant; how it is read: `shared.edge.ncrontab`."""

import math
import re
from collections.abc import Mapping

from shared.edge.ncrontab import canonical

_SETTING = re.compile(r"%([^%]+)%")


def resolve(schedule: str, settings: Mapping[str, str]) -> str:
    """The schedule meant: `%NAME%` is looked up in `settings`, as Azure does with app settings.

    Raises ValueError if it is not set.
    """
    found = _SETTING.fullmatch(schedule.strip())
    if found is None:
        return schedule
    if found[1] not in settings:
        raise ValueError(f"the setting {found[1]} is not set")
    return settings[found[1]]


def next_after(expression: str, when: float) -> float:
    """The first instant of the schedule after `when`; both in seconds since the epoch.

    Raises ValueError if the expression is wrong or never comes.
    """
    from croniter import croniter  # 60 ms that an app without timers saves

    # NCrontab cuts the fraction off, so that 12:00:00.5 counts as 12:00:00.
    start = float(math.floor(when))
    return float(croniter(canonical(expression), start, second_at_beginning=True, day_or=False).get_next(float))
