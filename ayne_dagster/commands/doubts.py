"""What sources contradict each other in. How that is judged is in `warehouse.doubts`."""

from __future__ import annotations

from typing import Any

import click

from ayne_dagster.commands.files import asking_beside_runs
from ayne_dagster.commands.options import json_option
from ayne_dagster.commands.output import print_result
from ayne_dagster.config import load_settings


@click.command()
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="Movies to list.")
@json_option
def doubts(limit: int, as_json: bool) -> None:
    """List the movies whose IMDb id is doubtful: TMDB and OMDb tell of two works under it.

    another: clearly another work; `movies` shows nothing of it. doubtful: perhaps; it is shown. shared: two movies have
    one IMDb id. follow: TMDB has deleted the movie, and another one has its IMDb id. Where TMDB is wrong, correct the
    id there: the next refresh of the movie finds it.
    """
    from ayne_dagster.warehouse.doubts import count_doubts, list_doubts

    with asking_beside_runs(load_settings()) as connection:
        counts, found = count_doubts(connection), list_doubts(connection, limit)
    result = {
        "doubts": found,
        "counts": dict(counts.by_kind),
        "judged": counts.judged,
        "not_judged": counts.not_judged,
    }
    print_result(result, as_json, _describe_doubts)


def _describe_doubts(result: dict[str, Any]) -> str:
    waiting = f"; {result['not_judged']:,} are not compared yet" if result["not_judged"] else ""
    if not result["doubts"]:
        return f"No doubt: {result['judged']:,} answers of OMDb are of TMDB's movies, as far as is known{waiting}."
    lines = []
    for found in result["doubts"]:
        at_omdb = f"; at OMDb {_titled(found['omdb_title'], found['omdb_year'])}" if found["omdb_title"] else ""
        title = _titled(found["title"], found["year"])
        lines.append(f"{found['doubt']:9} TMDB {found['tmdb_id']}, {found['imdb_id']}: {title}{at_omdb}")
        if found["reasons"]:
            lines.append(f"{'':9} {found['reasons']}")
    total = sum(result["counts"].values())
    lines.append(f"{len(result['doubts']):,} of {total:,}; {result['judged']:,} answers were compared{waiting}.")
    return "\n".join(lines)


def _titled(title: str | None, year: int | None) -> str:
    return f"{title or 'untitled'} ({year or 'no year'})"
