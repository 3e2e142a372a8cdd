"""What a chart shows, as plain data: drawn in the browser by uPlot, told in a sentence, and listed in a table.

uPlot, since it draws curves, bars and points with a thousand values in milliseconds from one file of 50 kB without a
dependency, needs neither `eval` nor inline styles, so that a strict policy holds, and brings its licence (MIT).
Grammars of graphics (Vega-Lite, Observable Plot) are ten times as large, and the first compiles what it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["lines", "bars", "points"]


@dataclass(frozen=True)
class Series:
    """One curve, row of bars, or cloud of points."""

    label: str
    values: Sequence[float | int | None]
    colour: str
    """Name of a colour of the style sheet: tmdb, omdb, numbers, good, bad, plain."""


@dataclass(frozen=True)
class Chart:
    """A chart with its alternatives in words."""

    title: str
    told: str
    """What is to be seen, in a sentence."""
    kind: Kind
    x: Sequence[float | int]
    """Seconds since 1970 where `time`, else numbers, rising."""
    series: Sequence[Series]
    table_head: Sequence[str]
    table: Sequence[Sequence[Any]]
    time: bool = False
    log_x: bool = False
    log_y: bool = False
    x_label: str = ""
    y_label: str = ""
    money: bool = False
    """Whether both axes are US dollars."""
    note: str = field(default="")
    """What should be known of where the figures are from."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(value for series in self.series for value in series.values)

    def drawn(self) -> dict[str, Any]:
        """What the script of the page is given."""
        return {
            "kind": self.kind,
            "x": list(self.x),
            "series": [{"label": s.label, "values": list(s.values), "colour": s.colour} for s in self.series],
            "time": self.time,
            "logX": self.log_x,
            "logY": self.log_y,
            "xLabel": self.x_label,
            "yLabel": self.y_label,
            "money": self.money,
        }
