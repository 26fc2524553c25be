"""What was measured, as a table: a figure has a value for each round and perhaps a target."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One row. `target` is `≥ 25` or `≤ 15`, of the median; "" has none."""

    what: str
    unit: str
    values: Sequence[float]
    target: str = ""
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the median keeps to the target; None where there is none, or nothing was measured."""
        if not self.target or not self.values:
            return None
        sign, _, bound = self.target.partition(" ")
        return self.median >= float(bound) if sign == "≥" else self.median <= float(bound)

    def cells(self) -> list[str]:
        if not self.values:
            return [self.what, self.unit, "not measured", "", "", self.target, self.note]
        verdict = {None: "", True: "met", False: "**missed**"}[self.met]
        said = "; ".join(part for part in (verdict, self.note) if part)
        numbers = map(_shown, (self.median, min(self.values), max(self.values)))
        return [self.what, self.unit, *numbers, self.target, said]


def ratios(ours: Sequence[float], peers: Sequence[float]) -> list[float]:
    """Round by round: what was measured one after the other is compared."""
    return [mine / theirs for mine, theirs in zip(ours, peers, strict=True)]


def table(figures: Iterable[Figure]) -> str:
    """Markdown that reads well as plain text."""
    rows = [["", "unit", "median", "min", "max", "target", ""], *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(7)]
    widths[6] = 0  # the last column may be ragged

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if 2 <= column <= 4 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded).rstrip()} |"

    rule = "|" + "|".join("-" * (width + 1) + (":" if 2 <= column <= 4 else "-") for column, width in enumerate(widths))
    return "\n".join([line(rows[0]), f"{rule}|", *map(line, rows[1:])])


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
