"""When this control plane could hear beats at all: time in which it could not is not silence."""

from dataclasses import dataclass

from shared.domain.policy import CLOCK_SKEW, DAY, MINUTE, PLUGIN_INTERVAL

RECORD = "hearing"
LONGEST_SILENCE = 2 * MINUTE  # between two canary beats of one instance
GAP = LONGEST_SILENCE + CLOCK_SKEW  # of two instances that take turns one may be so far ahead of the other
REMEMBERED = 400 * DAY  # no period that counts silence may be longer
GAPS = 100  # kept at most: those that are closest become one, so that we rather count as deaf


@dataclass(frozen=True, slots=True)
class Hearing:
    """When the canary was heard last, and the gaps (begin, end) between its beats before that."""

    heard_at: float
    gaps: tuple[tuple[float, float], ...] = ()

    def heard(self, now: float) -> "Hearing":
        """What is known after the canary was heard `now`."""
        gaps = [gap for gap in self.gaps if gap[1] > now - REMEMBERED]
        if now - self.heard_at > GAP:
            gaps.append((self.heard_at, now))
        if len(gaps) > GAPS:
            closest = min(range(1, len(gaps)), key=lambda i: gaps[i][0] - gaps[i - 1][1])
            gaps[closest - 1 : closest + 1] = [(gaps[closest - 1][0], gaps[closest][1])]
        return Hearing(max(self.heard_at, now), tuple(gaps))

    def silence(self, since: float, now: float) -> float:
        """Seconds of [since, now] in which a beat would have been heard."""
        deaf = sum(max(0.0, min(end, now) - max(begin, since)) for begin, end in self.gaps)
        return max(0.0, now - since - deaf)

    def trusted(self, now: float) -> bool:
        """Whether silence proves anything: not in a gap, nor within two plugin intervals of one."""
        if now - self.heard_at > LONGEST_SILENCE + CLOCK_SKEW:
            return False
        return all(now >= end + 2 * PLUGIN_INTERVAL for _, end in self.gaps)


DEAF = Hearing(heard_at=float("-inf"))  # never heard of: trusts no silence
BIRTH = Hearing(heard_at=0.0)  # what the first canary finds: all before it is one gap


def to_value(hearing: Hearing) -> dict[str, object]:
    return {"heard_at": hearing.heard_at, "gaps": [list(gap) for gap in hearing.gaps]}


def from_value(value: dict[str, object]) -> Hearing:
    gaps = value["gaps"]
    assert isinstance(gaps, list)
    return Hearing(float(str(value["heard_at"])), tuple((float(begin), float(end)) for begin, end in gaps))
