"""`ayne collect`: discovery and refresh. What a collection does is in `orchestrator` and `assets`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from ayne_dagster.commands.options import Year, json_option
from ayne_dagster.commands.output import OutputLost, fail, print_result
from ayne_dagster.config import API_OF, API_TITLES, load_settings
from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR
from ayne_dagster.settings.sources import SOURCES
from ayne_dagster.settings.wording import counted


@click.command()
@click.option("--start-year", type=Year(), help="Discover movies released from this year on.")
@click.option("--end-year", type=Year(), help="Discover movies released up to this year.")
@click.option("--max-pages", type=click.IntRange(1, 500), help="Pages of 20 movies to discover a release year.")
@click.option(
    "--min-votes",
    type=click.IntRange(0, 1_000_000_000),
    default=200,
    show_default=True,
    help="Discover none with fewer.",
)
@click.option(
    "--refresh-limit",
    type=click.IntRange(0, 1_000_000_000),
    help="Movies a source. Default: AYNE_REFRESH_LIMIT, or 100.",
)
@click.option("--refresh-only", is_flag=True, help="Discover nothing, refresh what is due.")
@click.option(
    "--change-feed/--no-change-feed",
    default=None,
    help="Read TMDB's change feed once a day. Default: by strategy value_of_refresh.",
)
@click.option("--use-reserve", is_flag=True, help="Use up the quotas, with the part that is kept for people.")
@json_option
def collect(
    start_year: int | None,
    end_year: int | None,
    max_pages: int | None,
    min_votes: int,
    refresh_limit: int | None,
    refresh_only: bool,
    change_feed: bool | None,
    use_reserve: bool,
    as_json: bool,
) -> None:
    """Discover movies, then refresh those that are due."""
    first, last = start_year or FIRST_YEAR, end_year or LAST_YEAR
    if last < first:
        raise click.UsageError(f"--end-year {last} is before --start-year {first}.")
    settings = load_settings()
    settings.require_keys()
    from ayne_dagster.commands.progress_display import shown_on_stderr
    from ayne_dagster.orchestrator import (
        CollectionFailed,
        CollectionInterrupted,
        DataCollectionOrchestrator,
        DiscoveryPlan,
    )

    plan = None if refresh_only else DiscoveryPlan(first, last, max_pages, min_votes)
    failure = None
    with shown_on_stderr() as display:
        try:
            result = DataCollectionOrchestrator(settings=settings, watcher=display).collect(
                plan, refresh_limit=refresh_limit, change_feed=change_feed, use_reserve=use_reserve
            )
        except CollectionFailed as error:
            result, failure = error.result, error
    try:
        print_result(result.as_dict(), as_json, _describe_collection)
    except OutputLost:
        if not isinstance(failure, CollectionInterrupted):  # else the terminal is gone, and that was the interruption
            raise
    if isinstance(failure, CollectionInterrupted):
        raise click.Abort  # click would meet KeyboardInterrupt with an empty line, to a terminal that may be gone
    if failure is not None:
        fail(str(failure))


def _describe_collection(result: dict[str, Any]) -> str:
    asked = result["requests"].items()
    requests = ", ".join(f"{number:,} {API_TITLES[API_OF[source]]}" for source, number in asked)
    slowed = [
        f"Slowed down   {API_TITLES[API_OF[source]]} to 1/{1 / how['slowest_share']:.0f} of its pace,"
        f" after {counted(how['refusals'], 'refusals')} (HTTP 429)"
        for source, how in result["slowed"].items()
    ]
    return "\n".join(
        [
            f"Discovered    {counted(result['discovered'], 'new movies')}",
            *([f"Change feed   {counted(result['signals'], 'movies')} made due"] if result["signals"] else []),
            f"TMDB details  {result['tmdb_updated']:,} fetched, {result['tmdb_changed']:,} of them new or changed",
            f"OMDb ratings  {result['omdb_updated']:,} fetched, {result['omdb_changed']:,} of them new or changed",
            *([money] if (money := _money(result)) else []),
            *(_fetched(source, result) for source in result["requests"] if source not in _TOLD_APART),
            f"Frozen        {counted(result['frozen'], 'movies')} found stable",
            f"Failed        {result['failed']:,}",
            f"Still due     {_number(result['due_remaining'])}, {result['deferred']:,} of them deferred by this run",
            f"Requests      {requests}, in {timedelta(seconds=round(result['seconds']))}",
            *slowed,
        ]
    )


_TOLD_APART = ("tmdb", "omdb", "numbers")
"""Sources whose line has words of its own."""


def _fetched(source: str, result: dict[str, Any]) -> str:
    """What was fetched from a source."""
    updated, changed = result[f"{source}_updated"], result[f"{source}_changed"]
    return f"{SOURCES[source].title:13} {updated:,} fetched, {changed:,} of them new or changed"


def _money(result: dict[str, Any]) -> str | None:
    """What was fetched of movies' money; None where nothing was asked."""
    if not result["requests"].get("numbers"):
        return None
    changed = result["box_office_changed"]
    return f"Box office    {result['box_office_updated']:,} looked at, {changed:,} of them with new or other figures"


def _number(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,}"
