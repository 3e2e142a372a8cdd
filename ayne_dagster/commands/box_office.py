"""`ayne box-office`: figures from files that a user brings. The work is in `collecting.figure_import` and below."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from ayne_dagster.commands.files import reading, warehouse
from ayne_dagster.commands.options import FilePath, Instant, json_option
from ayne_dagster.commands.output import fail, print_result, table
from ayne_dagster.commands.working import working
from ayne_dagster.config import SettingsError, load_settings
from ayne_dagster.settings.wording import counted

SHOWN = 10
"""Rows of each kind on a screen; `--json` has more."""
MOST_SHOWN = 200
"""Unmatched rows on a terminal."""


@click.group(name="box-office")
def box_office() -> None:
    """Box-office figures: take them from files or pages, and see which rows found no movie."""


@box_office.command(name="import")
@click.argument("file", type=FilePath())
@click.option("--mapping", type=FilePath(), help="A TOML file that says which column is what.")
@click.option("--as-of", type=Instant(), help="The day for which the figures hold. The newest known ones are shown.")
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and change nothing.")
@json_option
def import_file(file: Path, mapping: Path | None, as_of: datetime | None, dry_run: bool, as_json: bool) -> None:
    """Take figures from FILE: CSV, Parquet, or the folder of an OpusData extract.

    Import only what you may use: that you may is your word. Rows find their movie by IMDb id, TMDB id, or title and
    year; those that do not are kept, and tried again by the next import. The same file again changes nothing.
    """
    from ayne_dagster.collecting.figure_import import import_figures

    settings = load_settings()
    now = settings.now()
    if as_of is not None and as_of.date() > now.date():
        raise click.UsageError("--as-of: no figure holds for a day to come.")
    day = as_of.date() if as_of is not None else None
    choice = settings.box_office
    with working("Importing"):
        report = import_figures(
            warehouse(settings), file, now, mapping=mapping, as_of=day, choice=choice, dry_run=dry_run
        )
    print_result(_as_result(asdict(report)), as_json, _describe_import)


@box_office.command()
@json_option
def unmatched(as_json: bool) -> None:
    """List the rows of imported files whose movie was not found, with the movies that may be meant."""
    from ayne_dagster.warehouse.figure_files import unmatched_rows

    with reading(load_settings()) as connection:
        rows = unmatched_rows(connection)
    print_result({"rows": rows, "unmatched": len(rows)}, as_json, _describe_unmatched)


@box_office.command()
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Movies at most.")
@json_option
def pages(limit: int, as_json: bool) -> None:
    """Read pages of The Numbers, for movies that are due for it.

    Only where AYNE_NUMBERS_ACKNOWLEDGE_TERMS=yes and AYNE_CONTACT are set; at most one page in five seconds. Each
    movie's figures are stored as they come: Ctrl-C loses none.
    """
    from ayne_dagster.collecting.pages import read_pages
    from ayne_dagster.sources.limits.ledger import open_ledger
    from ayne_dagster.sources.the_numbers.client import AsyncNumbersClient

    settings = load_settings()
    if why := settings.why_the_numbers_are_not_asked:
        raise SettingsError(f"The Numbers is not asked: {why}.")
    database = warehouse(settings)
    database.require_file()
    run_id = f"box-office-pages-{settings.now():%Y%m%dT%H%M%S}"
    client = partial(AsyncNumbersClient, settings=settings, ledger=open_ledger(settings), now=settings.now)
    report = read_pages(database, settings, client, limit, run_id=run_id, tell=lambda text: click.echo(text, err=True))
    print_result(asdict(report), as_json, _describe_pages)
    if report.stopped:
        fail(f"{report.stopped.rstrip('.')}. What was read is kept; the rest stays due.")


def _describe_pages(told: dict[str, Any]) -> str:
    return (
        f"{counted(told['asked'], 'movies')} asked for, {told['found']:,} with a page, {told['changed']:,} of them "
        f"with new or other figures; {told['failed']:,} failed; {counted(told['requests'], 'requests')}; "
        f"{told['due_left']:,} still due"
    )


def _as_result(report: dict[str, Any]) -> dict[str, Any]:
    """A report whose amounts are numbers: JSON has no decimals of its own."""
    for item in report["disagreements"]:
        item["amount"], item["other_amount"] = float(item["amount"]), float(item["other_amount"])
    return report


def _describe_import(told: dict[str, Any]) -> Any:
    from rich.console import Group

    matched = sum(told["matched"].values())
    by_rule = ", ".join(f"{number:,} by {rule.replace('_', ' ')}" for rule, number in told["matched"].items())
    without = counted(told["without_figures"], "rows")
    rows = counted(told["rows"], "rows")
    lines = [
        f"{'Would read' if told['dry_run'] else 'Read':11} {rows} of {told['file']} as {told['layout']}",
        f"{'Matched':11} {matched:,}{f': {by_rule}' if by_rule else ''}",
        f"{'Ambiguous':11} {told['ambiguous_rows']:,}",
        f"{'Unmatched':11} {told['unmatched_rows']:,}",
        f"{'Refused':11} {told['refused_cells']:,} rows or cells",
        f"{'Left out':11} {without} without a figure, {told['repeated']:,} repeated ones",
        f"{'Figures':11} {told['figures']:,}, {told['suspect']:,} of them suspect",
    ]
    for version in told["replaces"]:
        lines.append(f"{'Replaces':11} what {version} states")
    if told["movies"]:
        lines.append(f"{'Movies':11} {', '.join(f'{number:,} {kind}' for kind, number in told['movies'].items())}")
    if told["matched_later"]:
        lines.append(f"{'Also':11} {told['matched_later']:,} rows of earlier files have found their movie")
    if told["compared"]:
        lines.append(
            f"{'Disagree':11} {told['disagreeing']:,} of {told['compared']:,} figures by more than a fifth with another"
            " source's"
        )
    lines += [f"Note: {remark}" for remark in told["remarks"]]
    if told["dry_run"]:
        lines.append("Nothing was changed.")
    parts: list[Any] = ["\n".join(lines)]
    if told["disagreements"]:
        parts.append(_disagreements(told["disagreements"]))
    for heading, rows in (("Ambiguous", told["ambiguous"]), ("Unmatched", told["unmatched"])):
        if rows:
            parts.append(_without_movie(heading, rows))
    if told["refused"]:
        refused = table("Row", "Title", "Refused because it")
        for row in told["refused"][:SHOWN]:
            refused.add_row(str(row["row"]), row["title"] or "", row["reason"])
        parts.append(refused)
    return Group(*parts)


def _disagreements(items: list[dict[str, Any]]) -> Any:
    rows = table("TMDB id", "Title", "Measure", "Scope", "In the file", "Elsewhere", "Source")
    for item in items:
        amounts = (f"{item[name]:,.0f} {item['currency']}" for name in ("amount", "other_amount"))
        where = (str(item["tmdb_id"]), item["title"] or "", item["measure"].replace("_", " "), item["scope"])
        rows.add_row(*where, *amounts, item["source"])
    return rows


def _without_movie(heading: str, rows: list[dict[str, Any]]) -> Any:
    shown = table("Row", heading, "Year", "Why", "Perhaps")
    for row in rows[:SHOWN]:
        perhaps = ", ".join(f"{m['title']} ({m['year']}, TMDB {m['tmdb_id']})" for m in row["candidates"])
        shown.add_row(str(row["row"]), row["title"] or "", str(row["year"] or ""), row["reason"], perhaps)
    return shown


def _describe_unmatched(result: dict[str, Any]) -> Any:
    if not result["rows"]:
        return "Every row of the imported files has found its movie."
    rows = table("File", "Row", "Title", "Year", "Why", "Perhaps")
    shown = result["rows"][:MOST_SHOWN]
    for row in shown:
        perhaps = ", ".join(f"{m['title']} ({m['year']}, TMDB {m['tmdb_id']})" for m in row["candidates"])
        cells = (row["file"], str(row["row"]), row["title"] or row["imdb_id"] or "", str(row["year"] or ""))
        rows.add_row(*cells, row["reason"], perhaps)
    left = f"; the first {len(shown):,} are shown, --json has all" if len(shown) < result["unmatched"] else ""
    rows.caption = f"{counted(result['unmatched'], 'rows')}{left}"
    return rows
