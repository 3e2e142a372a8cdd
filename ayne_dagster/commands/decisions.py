"""What is due and why, and what a person decides instead. The rules are in `refresh`, the answers in `warehouse`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from ayne_dagster.commands.files import reading, warehouse
from ayne_dagster.commands.options import TMDB_ID, OneOf, as_of_option, json_option
from ayne_dagster.commands.output import fail, print_result, table
from ayne_dagster.commands.status import granted
from ayne_dagster.config import Settings, load_settings
from ayne_dagster.refresh.strategy import SOURCES, Override
from ayne_dagster.settings.wording import counted

SWITCHED_OFF = "switched_off"
"""Why a source is not asked that the settings leave out, in `held_back`."""


@click.command()
@click.option("--source", type=OneOf(list(SOURCES)), help="Only movies due for this source.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="Movies to list.")
@as_of_option
@json_option
def due(source: str | None, limit: int, as_of: datetime | None, as_json: bool) -> None:
    """List the movies due now, in the order in which they will be asked for.

    Without --source: those due for a source that is asked (tmdb, omdb; numbers where AYNE_CONTACT is set).
    """
    from ayne_dagster.warehouse.questions import list_due, next_due
    from ayne_dagster.warehouse.refresh_metadata import due_counts
    from ayne_dagster.warehouse.strategies import load_strategy

    settings = load_settings()
    sources = (source,) if source else settings.sources
    now = as_of or settings.now()
    with reading(settings) as connection:
        strategy = load_strategy(connection, settings.strategy)
        movies = list_due(connection, sources, now, limit, strategy)
        total = due_counts(connection, sources, now, strategy=strategy)["any_source"]
        later = None if total else next_due(connection, sources, now, strategy)
    following = {"on": later[0].isoformat(), "movies": later[1]} if later else None
    result = {"movies": movies, "due": total, "as_of": now.isoformat(), "next_due": following}
    print_result(result, as_json, _describe_due)


@click.command()
@click.argument("tmdb_id", type=TMDB_ID)
@as_of_option
@json_option
def explain(tmdb_id: int, as_of: datetime | None, as_json: bool) -> None:
    """Tell why a movie is due or not, for each source, with dates and numbers."""
    from ayne_dagster.warehouse.questions import explain_movie
    from ayne_dagster.warehouse.strategies import load_strategy

    settings = load_settings()
    now = as_of or settings.now()
    with reading(settings) as connection:
        explained = explain_movie(
            connection,
            tmdb_id,
            now,
            load_strategy(connection, settings.strategy),
            batch_limit=settings.refresh_limit,
            hindrances=switched_off(settings) | ({} if as_of else hindrances(settings, now)),
        )
    if explained is None:
        fail(f"Movie {tmdb_id} is not known: `ayne collect` discovers movies.")
    for source in switched_off(settings):
        explained["sources"][source]["held_back"] = SWITCHED_OFF
    print_result(explained, as_json, _describe_movie)


def hindrances(settings: Settings, now: datetime) -> dict[str, str]:
    """By source: why no request may be spent now, and until when; nothing of the sources that may be asked."""
    budgets = granted(settings, now)
    return {source: budget.hindrance for source, budget in budgets.items() if budget.hindrance}


def switched_off(settings: Settings) -> dict[str, str]:
    """By source that is not asked at all: why."""
    why = settings.why_no_figures_are_asked
    return {"numbers": why} if why else {}


def _override_command(override: Override, help_text: str) -> click.Command:
    @click.command(name=str(override), help=help_text)
    @click.argument("tmdb_ids", type=TMDB_ID, nargs=-1, required=True, metavar="TMDB_ID...")
    @json_option
    def command(tmdb_ids: tuple[int, ...], as_json: bool) -> None:
        from ayne_dagster.warehouse.refresh_metadata import set_override

        settings = load_settings()
        database = warehouse(settings)
        database.require_file()
        with database.transaction() as connection:
            known = set_override(connection, tmdb_ids, override, settings.now())
        unknown = sorted(set(tmdb_ids) - known)
        result = {"override": str(override), "movies": sorted(known), "unknown": unknown}
        print_result(result, as_json, lambda r: f"{override}: {counted(len(r['movies']), 'movies')}")
        if unknown:
            fail(f"Not known, so left alone: {', '.join(map(str, unknown))}.")

    return command


freeze = _override_command(Override.FREEZE, "Stop refreshing movies, except where the terms of use ask for it.")
thaw = _override_command(Override.THAW, "Refresh movies again, and count their unchanged cycles anew.")
force = _override_command(
    Override.FORCE, "Make movies due now, once, whatever the rules say; those frozen by hand stay so."
)


def _describe_due(result: dict[str, Any]) -> Any:
    if not result["movies"]:
        if not (following := result["next_due"]):
            return "Nothing is due."
        number = following["movies"]
        return f"Nothing is due; the next, {counted(number, 'movies')}, on {following['on']}."
    rows = table("TMDB id", "Released", "Title", "Why")
    for movie in result["movies"]:
        released, title = movie["release_date"] or "unknown", movie["title"] or ""
        rows.add_row(str(movie["tmdb_id"]), released, title, _why(movie))
    rows.caption = f"{len(result['movies']):,} of {result['due']:,} due"
    return rows


def _why(movie: dict[str, Any]) -> str:
    """A line a source: why it is to be asked, in words and by the code that the JSON has."""
    codes = (code.partition(": ")[2] for code in movie["reason"].split("; "))
    return "\n".join(f"{words} ({code})" for words, code in zip(movie["why"].split("; "), codes, strict=True))


def _describe_movie(movie: dict[str, Any]) -> str:
    lines = [f"{movie['title'] or 'Untitled'} (TMDB {movie['tmdb_id']}), {movie['age']}"]
    lines += described_sources(movie["sources"])
    lines.append(f"{movie['unchanged_cycles']} unchanged refresh cycles in a row")
    return "\n".join(lines)


def described_sources(sources: dict[str, Any]) -> list[str]:
    """A line or two a source: what comes next there, and why."""
    lines = []
    for source, told in sources.items():
        lines.append(f"{SOURCES[source].title:12}  {told['explanation']}")
        if told["last_change"]:
            lines.append(f"{'':12}  last change found {told['last_change'][:10]}")
    return lines
