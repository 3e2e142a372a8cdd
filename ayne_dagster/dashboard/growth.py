"""Curves of growth: how many movies were known, how large the files were, and when the disk will be full at that pace.

As stored, nothing is counted or measured anew but what is free on the disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from ayne_dagster.dashboard.charts import Chart, Series
from ayne_dagster.dashboard.pages import Asked, Model
from ayne_dagster.dashboard.rendering import size
from ayne_dagster.warehouse.file_sizes import DISK, Pace, pace_of, sizes_over_time

GROWTH_ROWS = 400
NAMES = {
    "database": "Database",
    "log": "Its log of commits",
    "ledger": "Request ledger",
    "spool": "Spool",
    "page": "The dashboard as a file",
    "dagster": "Dagster's runs and logs",
    "lake": "Files of the lake",
}
"""What is measured, in words."""
_COLOURS = {"database": "tmdb", "lake": "tmdb", "dagster": "omdb", "log": "numbers", "spool": "bad", "ledger": "good"}


def growth(asked: Asked) -> Model:
    """Both curves, and what the disk has room for."""
    return {"growth": movies_over_time(asked), **_files(asked)}


def movies_over_time(asked: Asked) -> Chart:
    """How many movies were known at each observation."""
    rows = asked.rows(
        "SELECT observed_at, total_movies, with_tmdb, with_omdb FROM collection_status WHERE observed_at <= $now"
        f" ORDER BY observed_at DESC LIMIT {GROWTH_ROWS}"
    )[::-1]
    told = "Nothing has been counted yet."
    if rows:
        first, last = rows[0], rows[-1]
        told = (
            f"{first['total_movies']:,} movies on {first['observed_at']:%Y-%m-%d}, {last['total_movies']:,} on"
            f" {last['observed_at']:%Y-%m-%d}."
        )
    return Chart(
        "Growth of the collection",
        told,
        "lines",
        [int(row["observed_at"].replace(tzinfo=UTC).timestamp()) for row in rows],
        [
            Series("movies", [row["total_movies"] for row in rows], "plain"),
            Series("with details", [row["with_tmdb"] for row in rows], "tmdb"),
            Series("with ratings", [row["with_omdb"] for row in rows], "omdb"),
        ],
        ("Counted", "Movies", "With details", "With ratings"),
        [(f"{r['observed_at']:%Y-%m-%d %H:%M}", r["total_movies"], r["with_tmdb"], r["with_omdb"]) for r in rows[::-1]],
        time=True,
    )


def _files(asked: Asked) -> Model:
    """The curve of sizes, and what becomes of the disk; the sentence is a warning where it is full within a year."""
    seen = sizes_over_time(asked.connection, asked.now)
    try:
        free = shutil.disk_usage(_nearest(asked.settings.database.parent)).free
    except OSError:
        return {"sizes": sizes_chart(seen), "room": "", "is_scarce": False}
    used = [(day, sizes[DISK]) for day, sizes in seen.items() if DISK in sizes]
    pace = pace_of(used, free, asked.now.astimezone(UTC).date())
    return {"sizes": sizes_chart(seen), "room": told_of(pace, free), "is_scarce": bool(pace and pace.full_on)}


def sizes_chart(seen: Mapping[date, Mapping[str, int]]) -> Chart:
    """The size of each file on each day, in MB."""
    days = list(seen)
    shown = [what for what in NAMES if any(sizes.get(what) for sizes in seen.values())]
    curves = [
        Series(NAMES[what], [round(seen[day].get(what, 0) / 1e6, 2) for day in days], _COLOURS.get(what, "plain"))
        for what in shown
    ]
    rows = zip(days, *(curve.values for curve in curves), strict=True)
    return Chart(
        "Growth of the files, MB",
        _in_words(seen) if seen else "Nothing has been measured yet: a run does once a day.",
        "lines",
        [int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) for day in days],
        curves,
        ("Day", *(curve.label for curve in curves)),
        [(day, *values) for day, *values in reversed(list(rows))],
        time=True,
    )


def told_of(pace: Pace | None, free: int) -> str:
    """What the disk has room for, in a sentence."""
    room = f"{size(free)} are free on the disk"
    if pace is None:
        return f"{room}. How fast it fills is told after a week of runs."
    lately = f"over the last {pace.days} days"
    if pace.bytes_a_day <= 0:
        return f"{room}, and it has not filled {lately}."
    at = f"{room}. It filled by {size(round(pace.bytes_a_day))} a day {lately}, all that lies on it counted"
    if pace.full_on is None:
        return f"{at}: at this pace it is not full within a year."
    return f"{at}: at this pace it is full on {pace.full_on}."


def _in_words(seen: Mapping[date, Mapping[str, int]]) -> str:
    first, last = (_ours(list(seen.items())[place]) for place in (0, -1))
    return f"{size(first[1])} on {first[0]}, {size(last[1])} on {last[0]}."


def _ours(of_day: tuple[date, Mapping[str, int]]) -> tuple[date, int]:
    day, sizes = of_day
    return day, sum(number for what, number in sizes.items() if what != DISK)


def _nearest(folder: Path) -> Path:
    """The folder, or the one above it that is there."""
    return next((each for each in (folder, *folder.parents) if each.exists()), folder)
