"""`ayne show`: one movie on a screen. What is shown is put together in `warehouse.one_movie`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from ayne_dagster.commands.decisions import SWITCHED_OFF, described_sources, hindrances, switched_off
from ayne_dagster.commands.files import asking_beside_runs
from ayne_dagster.commands.options import json_option
from ayne_dagster.commands.output import fail, one_line, print_result, table
from ayne_dagster.config import Settings, load_settings
from ayne_dagster.settings.wording import counted

if TYPE_CHECKING:
    import duckdb

MOST_FOUND = 20
"""Movies that a list of those that may be meant names."""
WIDEST_VALUE = 72
"""Characters of a value."""
LONGEST_CURVE = 40
"""Points of a curve: the latest."""
BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
_ASCII = str.maketrans({"→": "->", "…": "...", "–": "-", "·": "|"})
_MONEY = frozenset({"budget", "revenue", "box_office", "worldwide_gross", "domestic_gross", "opening_weekend"}) | {
    "production_budget"
}


@click.command()
@click.argument("movie", metavar="TITLE|ID", nargs=-1, required=True)
@json_option
def show(movie: tuple[str, ...], as_json: bool) -> None:
    """Show one movie: its values with source and date, people, ratings over time, changes, and what comes next.

    Name it by its title, or by its TMDB or IMDb id. Case and accents do not count, and part of a title is enough. Where
    several movies may be meant, they are listed with their ids.
    """
    from ayne_dagster.warehouse.one_movie import describe_movie, find_movies

    sought, settings = " ".join(movie), load_settings()
    now = settings.now()
    with asking_beside_runs(settings) as connection:
        found = find_movies(connection, sought, MOST_FOUND + 1)
        meant = _the_one_meant(found)
        told = None
        if meant is not None:
            told = describe_movie(connection, _explained(connection, meant, settings, now), now)
    if not found:
        fail(f"No movie is found by {sought!r}: `ayne collect` discovers movies.")
    if told is None:
        result = {"sought": sought, "found": found[:MOST_FOUND], "more": len(found) > MOST_FOUND}
        print_result(result, as_json, _describe_found)
        return
    print_result(told, as_json, _describe)
    if others := [other for other in found if other["tmdb_id"] != meant]:
        _tell_of_others(others)


def _explained(
    connection: duckdb.DuckDBPyConnection, tmdb_id: int, settings: Settings, now: datetime
) -> dict[str, Any]:
    """When a known movie is asked for, and why, as `ayne explain` tells it but for the rank: that takes all movies."""
    from ayne_dagster.refresh.value import ValueOfRefreshStrategy
    from ayne_dagster.warehouse.questions import explain_movie
    from ayne_dagster.warehouse.strategies import load_strategy, value_of_refresh

    strategy, off = load_strategy(connection, settings.strategy), switched_off(settings)
    value = strategy if isinstance(strategy, ValueOfRefreshStrategy) else value_of_refresh(connection)

    def explain(held_back: Mapping[str, str]) -> dict[str, Any]:
        told = explain_movie(connection, tmdb_id, now, strategy, batch_limit=None, hindrances=held_back, value=value)
        return told or {}

    explained = explain(off)
    if any(told["due"] and source not in off for source, told in explained["sources"].items()):
        explained = explain(off | hindrances(settings, now))  # what is left of the budgets is slow to load
    for source in off:
        explained["sources"][source]["held_back"] = SWITCHED_OFF
    return explained


def _the_one_meant(found: Sequence[dict[str, Any]]) -> int | None:
    """The movie that is meant: the only one, that of the id, or the only one of just this title."""
    for certain in (found, [m for m in found if m["by_id"]], [m for m in found if m["is_title"]]):
        if len(certain) == 1:
            return int(certain[0]["tmdb_id"])
    return None


def _tell_of_others(others: Sequence[dict[str, Any]]) -> None:
    """Name on stderr the others that are found by the same words, the most likely first."""
    named = ", ".join(f"{other['title'] or 'Untitled'} ({other['tmdb_id']})" for other in others[:3])
    more = " …" if len(others) > 3 else ""
    click.echo(_for_this_terminal(one_line(f"Also found: {named}{more}"), sys.stderr), err=True)


def _describe_found(result: dict[str, Any]) -> Any:
    rows = table("TMDB id", "Year", "Title", "Popularity")
    rows.columns[3].justify = "right"
    for movie in result["found"]:
        title = _for_this_terminal(movie["title"] or "Untitled", sys.stdout)
        popularity = "" if movie["popularity"] is None else f"{movie['popularity']:,.1f}"
        rows.add_row(str(movie["tmdb_id"]), _year(movie["release_date"]), title, popularity)
    first = f"The first {len(result['found'])} movies" if result["more"] else counted(len(result["found"]), "movies")
    rows.caption = f"{first} that may be meant: `ayne show ID` shows one"
    rows.caption_justify = "left"
    return rows


def _year(released: date | None) -> str:
    return str(released.year) if released else "unknown"


def _describe(movie: dict[str, Any]) -> str:
    """All of a movie as lines."""
    sections = (
        ("", _heading(movie)),
        ("What is known", _values(movie["values"])),
        ("Ratings over time", _ratings(movie["ratings"])),
        ("Latest changes", [_change(change) for change in movie["changes"]]),
        ("What comes next", described_sources(movie["sources"])),
        ("What is doubtful", movie["doubts"]),
    )
    text = "\n\n".join("\n".join([title, *(f"  {line}" for line in lines)] if title else lines)
                       for title, lines in sections if lines)  # fmt: skip
    return _for_this_terminal(text, sys.stdout)


def _heading(movie: dict[str, Any]) -> list[str]:
    released = (movie["release_date"] or "unknown")[:4]
    ids = [f"TMDB {movie['tmdb_id']}", *([f"IMDb {movie['imdb_id']}"] if movie["imdb_id"] else [])]
    lines = [" · ".join([f"{movie['title'] or 'Untitled'} ({released})", *ids, movie["age"]])]
    if movie["directors"]:
        lines.append(f"Directed by {', '.join(movie['directors'])}")
    if movie["cast"]:
        parts = [f"{p['name']} ({p['character']})" if p["character"] else str(p["name"]) for p in movie["cast"]]
        more = f" and {movie['more_cast']:,} more" if movie["more_cast"] else ""
        lines.append(f"With {', '.join(parts)}{more}")
    return lines


def _values(values: Sequence[dict[str, Any]]) -> list[str]:
    """A line a value: name, value, who says it, as of when."""
    width = max((len(value["column"]) for value in values), default=0)
    lines = []
    for value in values:
        said = value["source"] or "unknown"
        if value["as_of"]:
            said += f" {value['as_of']:%Y-%m-%d}"
        shown = _shown(value["column"], value["value"])
        lines.append(f"{value['column'].replace('_', ' '):{width}}  {shown}  [{said}]")
    return lines


def _shown(column: str, value: Any) -> str:
    if isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, int | float | Decimal):
        counted = column in _MONEY or column.endswith(("_votes", "_count"))
        text = f"{value:,.0f}" if counted else f"{value:g}" if isinstance(value, float) else str(value)
    else:
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= WIDEST_VALUE else f"{text[: WIDEST_VALUE - 1]}…"


def _ratings(ratings: Sequence[dict[str, Any]]) -> list[str]:
    """A line a rating: its first value, its curve, its value now."""
    from ayne_dagster.warehouse.one_movie import RATINGS

    bars = BARS if _is_unicode(sys.stdout) else ASCII_BARS
    lines = []
    for rating in ratings:
        known = [value for value in rating["values"] if value is not None]
        changes = f"{rating['changes']} change{'' if rating['changes'] == 1 else 's'}"
        first, last = (f"{known[0]:g}", f"{known[-1]:g}") if known else ("–", "–")
        curve = sparkline(rating["values"][-LONGEST_CURVE:], bars)
        lines.append(f"{RATINGS[rating['rating']]:14}  {first} {curve} {last}  {changes}")
    return lines


def sparkline(values: Sequence[float | None], bars: str) -> str:
    """Values as a row of bars, the lowest to the highest; a blank for what is unknown, middling where all are alike."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    top = len(bars) - 1
    return "".join(
        " " if value is None else bars[round((value - low) / span * top) if span else top // 2] for value in values
    )


def _change(change: dict[str, Any]) -> str:
    from ayne_dagster.warehouse.changes import SOURCE_OF

    at: datetime = change["changed_at"]
    return f"{at:%Y-%m-%d %H:%M}  {SOURCE_OF.get(change['source'], change['source'])}  {change['told']}"


def _is_unicode(stream: Any) -> bool:
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"


def _for_this_terminal(text: str, stream: Any) -> str:
    """A text with our own signs in ASCII where the terminal has no others."""
    return text if _is_unicode(stream) else text.translate(_ASCII)
