"""NCRONTAB, the schedules of Azure's timer triggers: `{second} {minute} {hour} {day} {month} {day-of-week}`.

Azure reads them with the NCrontab library; its rules are kept, also where they differ from cron:
day and day-of-week must both match, a range written backwards is turned round, names are prefixes
of English month and day names, Sunday is 0 and never 7. Schedules are in UTC. What Azure's host
takes besides is refused: five fields, TimeSpans (`00:05:00`, dedicated plans only), a step of 0.
Sources: NCrontab's CrontabSchedule, CrontabField and CrontabFieldImpl; CronSchedule and
TimerSchedule of azure-webjobs-sdk-extensions.
"""

import re
from dataclasses import dataclass

_PART = re.compile(r"(?P<first>\*|\w+)(-(?P<last>\w+))?(/(?P<step>\d+))?", re.ASCII)
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days that each month can have


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def values(self, text: str) -> list[int]:
        """All values that `text` stands for, sorted. Raises ValueError, which does not repeat it."""
        values: set[int] = set()
        for part in text.split(","):
            found = _PART.fullmatch(part)
            step = int((found and found["step"]) or 1)
            if found is None or (found["first"] == "*" and found["last"]) or not step:
                raise ValueError(f"its {self.name} cannot be read")
            if found["first"] == "*":
                first, last = self.low, self.high
            else:
                first = self._value(found["first"])
                last = self._value(found["last"]) if found["last"] else self.high if found["step"] else first
            values.update(range(min(first, last), max(first, last) + 1, step))
        return sorted(values)

    def _value(self, text: str) -> int:
        if text.isdigit():
            value = int(text)
        else:
            matching = (index for index, name in enumerate(self.names) if name.startswith(text.lower()))
            value = self.low + next(matching, self.high - self.low + 1)
        if not self.low <= value <= self.high:
            raise ValueError(f"its {self.name} must be {self.low} to {self.high}")
        return value


_MONTHS = "january february march april may june july august september october november december"
_DAYS = "sunday monday tuesday wednesday thursday friday saturday"
_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, tuple(_MONTHS.split())),
    _Field("day-of-week", 0, 6, tuple(_DAYS.split())),
)


def canonical(expression: str) -> str:
    """The expression with every field a sorted list of numbers or `*`: no name, range or step.

    Raises ValueError, naming the field and not repeating it, for what Azure would refuse or read
    differently, and for what never comes (the 30th of February).
    """
    texts = [text for text in expression.split(" ") if text]
    if len(texts) != len(_FIELDS):
        raise ValueError("it must have six fields, from second to day-of-week")
    found = [field.values(text) for field, text in zip(_FIELDS, texts, strict=True)]
    first_day, months = found[3][0], found[4]
    if all(first_day > _LONGEST[month - 1] for month in months):  # every date there is falls on every day of a week
        raise ValueError("it never comes: no such month has such a day")
    fields = []
    for field, values in zip(_FIELDS, found, strict=True):
        every = len(values) == field.high - field.low + 1
        fields.append("*" if every else ",".join(map(str, values)))
    return " ".join(fields)
