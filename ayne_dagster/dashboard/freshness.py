"""Curves of how fresh the movies were over a year, by source, and by age category: as stored, nothing counted anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from ayne_dagster.dashboard.charts import Chart, Series
from ayne_dagster.dashboard.pages import Asked
from ayne_dagster.dashboard.rendering import percent
from ayne_dagster.refresh.ages import CATEGORIES
from ayne_dagster.refresh.strategy import SOURCES
from ayne_dagster.warehouse.freshness import CATEGORY_OF_ALL, Observed, freshness_over_time

_MEASURES = (("likely_unchanged", "likely unchanged"), ("in_time", "in time"), ("found_unchanged", "found unchanged"))
_COLOURS = ("tmdb", "omdb", "numbers", "plain")


def freshness_curves(asked: Asked) -> list[Chart]:
    """Two charts a source: shares of all its movies, and of the likely unchanged ones by age category."""
    seen = freshness_over_time(asked.connection, asked.now)
    return [
        chart
        for source in SOURCES
        if (of_source := [each for each in seen if each.source == source])
        for chart in (_by_measure(source, of_source), _by_age(source, of_source))
    ]


def _by_measure(source: str, seen: Sequence[Observed]) -> Chart:
    of_all = [each for each in seen if each.category == CATEGORY_OF_ALL]
    days = [each.observed_at for each in of_all]
    curves = [
        Series(words, [_percent(each.shares.get(name)) for each in of_all], colour)
        for (name, words), colour in zip(_MEASURES, _COLOURS, strict=False)
    ]
    return _chart(
        f"{SOURCES[source].title}: share fresh, %",
        lambda curve: f"{curve.label} {_last(curve)}",
        days,
        curves,
        "Found unchanged: of the checks of 30 days that looked again, those that found nothing new.",
    )


def _by_age(source: str, seen: Sequence[Observed]) -> Chart:
    days = sorted({each.observed_at for each in seen})
    at = {(each.observed_at, each.category): each.shares.get("likely_unchanged") for each in seen}
    curves = [
        Series(category, [_percent(at.get((day, category))) for day in days], colour)
        for category, colour in zip(CATEGORIES, _COLOURS, strict=True)
    ]
    return _chart(
        f"{SOURCES[source].title}: likely unchanged by age, %", lambda c: f"{c.label} {_last(c)}", days, curves, ""
    )


def _chart(
    title: str, in_words: Callable[[Series], str], days: Sequence[datetime], curves: Sequence[Series], note: str
) -> Chart:
    shown = [curve for curve in curves if any(value is not None for value in curve.values)]
    rows = zip(days, *(curve.values for curve in shown), strict=True)
    table = [(f"{day:%Y-%m-%d}", *values) for day, *values in reversed(list(rows))]
    return Chart(
        title,
        f"On {days[-1]:%Y-%m-%d}: {', '.join(map(in_words, shown))}.",
        "lines",
        [int(day.replace(tzinfo=UTC).timestamp()) for day in days],
        shown,
        ("Day", *(curve.label for curve in shown)),
        table,
        time=True,
        note=note,
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)


def _last(curve: Series) -> str:
    value = curve.values[-1]
    return "unknown" if value is None else percent(value / 100)
