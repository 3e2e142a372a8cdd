"""The older collection: taking its files over. The work itself is in `legacy`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from ayne_dagster.commands.files import warehouse
from ayne_dagster.commands.options import FilePath, json_option
from ayne_dagster.commands.output import print_result
from ayne_dagster.commands.working import working
from ayne_dagster.config import load_settings


@click.command(name="import-legacy")
@click.argument("file", type=FilePath())
@click.option("--dry-run", is_flag=True, help="Tell what would be taken over, and change nothing.")
@json_option
def import_legacy(file: Path, dry_run: bool, as_json: bool) -> None:
    """Take over the older collection: movies, TMDB's details, OMDb's ratings, The Numbers' figures.

    FILE is its DuckDB database in any of its states, a CSV or Parquet dump, or a folder of such dumps. It is only read,
    also while another program holds it. Everything is taken over or nothing, Ctrl-C included; a second time changes
    nothing, and what is here and newer stays. Rows that cannot be used are kept in the table quarantine, with the
    reason.

    Afterwards the views legacy.movies, legacy.tmdb_movies, legacy.omdb_movies, legacy.numbers_movies,
    legacy.movie_refresh_state and legacy.full_dataset answer its queries.
    """
    from ayne_dagster.legacy.taking_over import rehearse, take_over

    settings = load_settings()
    started = time.monotonic()
    with working("Comparing" if dry_run else "Taking over"):
        if dry_run:
            report = rehearse(file, warehouse(settings), settings.now())
        else:
            report = take_over(file, warehouse(settings), settings.now(), _tell)
    result = {"file": str(file), "dry_run": dry_run} | report.as_json()
    print_result(result | {"seconds": round(time.monotonic() - started, 3)}, as_json, _describe)


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _describe(result: dict[str, Any]) -> str:
    from ayne_dagster.legacy.mapping import REPAIRS
    from ayne_dagster.legacy.taking_over import REFUSALS

    held = ", held by another program: a copy was read" if result["was_copied"] else ""
    rows = ", ".join(f"{number:,} {table}" for table, number in result["rows"].items())
    lines = [f"{result['file']}: era {result['era']}{held}; {rows or 'no rows'}"]
    if result["has_newer_schema"]:
        lines.append("its schema is newer than any that this program knows: what it has was read by name")
    taken = "would be taken over" if result["dry_run"] else "taken over"
    lines += [f"{number:>9,}  {table}: {taken}" for table, number in result["taken"].items()]
    lines += [f"{n:>9,}  {table}: here already, as new or newer" for table, n in result["known"].items()]
    lines += [f"{number:>9,}  repaired: {REPAIRS[code]}" for code, number in result["repaired"].items()]
    lines += [f"{number:>9,}  refused: {REFUSALS[code]}" for code, number in result["refused"].items()]
    if result["incomplete"]:
        lines.append(f"{result['incomplete']:>9,}  details lack credits and more: asked for once more within 30 days")
    if result["past_terms"]:
        lines.append(f"{result['past_terms']:>9,}  of them are older than TMDB's terms allow: due at once")
    verdict = "Nothing was changed." if result["dry_run"] else f"Done in {result['seconds']:.1f} s."
    return "\n".join([*lines, verdict])
