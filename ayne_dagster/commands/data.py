"""The warehouse as a whole: exporting and purging. The work itself is in `warehouse`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ayne_dagster.commands.files import warehouse
from ayne_dagster.commands.options import FilePath, OneOf, Since, json_option, sure_option
from ayne_dagster.commands.output import fail, print_result
from ayne_dagster.commands.working import working
from ayne_dagster.config import load_settings
from ayne_dagster.settings.wording import counted

if TYPE_CHECKING:
    from ayne_dagster.warehouse.store import Store

_LONGEST_AGO = timedelta(days=36_500)


@click.command()
@click.argument("folder", type=FilePath())
@click.option("--format", "file_format", type=OneOf(["parquet", "csv", "sqlite"]), default="parquet", show_default=True)
@click.option("--table", "tables", multiple=True, help="A table; may be repeated. Default: movies and the histories.")
@click.option("--since", type=Since(), help="Only what is new since a day, an instant, or for so long: 7d, 36h.")
@click.option("--by-year", is_flag=True, help="Parquet: a folder a table, with a folder for each release year.")
@click.option("--excel", is_flag=True, help="CSV: begin with the mark by which Excel knows UTF-8.")
@click.option("--raw", is_flag=True, help="CSV: leave texts that begin like a formula as they are.")
@json_option
def export(
    folder: Path,
    file_format: str,
    tables: tuple[str, ...],
    since: datetime | timedelta | None,
    by_year: bool,
    excel: bool,
    raw: bool,
    as_json: bool,
) -> None:
    """Write tables to FOLDER, as files for notebooks, spreadsheets and SQLite.

    Titles and other texts come from outside, and spreadsheets run what begins with = + - @ as a formula: in CSV such
    texts get an apostrophe before them, unless --raw is given. Parquet and SQLite are exact, and say what each column
    is.

    --format sqlite makes one file, ayne.sqlite, with keys, indexes and a full-text search of movies, and a
    metadata.json for Datasette.

    With --since, the files are named after the instant and hold new rows alone; what is gone since is not told.
    """
    from ayne_dagster.warehouse.care.export import DEFAULT_TABLES, EXPORTABLE, export_tables, no_such_table
    from ayne_dagster.warehouse.care.selection import meaning_of_new
    from ayne_dagster.warehouse.query import reading_a_copy

    unknown = [name for name in tables if name not in EXPORTABLE]
    if unknown:
        raise click.UsageError(no_such_table(unknown))
    settings = load_settings()
    instant, chosen = _instant(since, settings.now()), tables or DEFAULT_TABLES
    with working("Writing"), reading_a_copy(warehouse(settings)) as connection:
        written = export_tables(
            connection, folder, chosen, file_format, raw=raw, excel=excel, by_year=by_year, since=instant
        )
    result: dict[str, Any] = {"files": {str(path): rows for path, rows in written.items()}}
    if instant is not None:
        result["since"] = instant.isoformat(timespec="seconds")
        result["new"] = {name: meaning_of_new(name) for name in chosen}
    print_result(result, as_json, _describe_export)


def _instant(since: datetime | timedelta | None, now: datetime) -> datetime | None:
    """The instant from which on rows are new, to the second."""
    if since is None:
        return None
    if isinstance(since, timedelta) and since > _LONGEST_AGO:
        raise click.UsageError("--since is too long ago: leave it out, and everything is written.")
    instant = (now - since if isinstance(since, timedelta) else since).replace(microsecond=0)
    if instant > now:
        raise click.UsageError(
            f"--since {instant:%Y-%m-%d %H:%M:%S} UTC is yet to come: nothing can be new since then."
        )
    return instant


def _describe_export(result: dict[str, Any]) -> str:
    lines = [f"{path}  {counted(rows, 'rows')}" for path, rows in result["files"].items()]
    if "since" in result:
        lines.append(f"Only what is new since {result['since']}; what is gone since is not told:")
        lines += [f"  {name}: {meaning}" for name, meaning in result["new"].items()]
    return "\n".join(lines)


@click.command()
@click.option("--dry-run", is_flag=True, help="Tell what would go, by reason and with examples; nothing is changed.")
@sure_option
@json_option
def purge(dry_run: bool, sure: bool, as_json: bool) -> None:
    """Drop what TMDB's terms forbid to keep: what was not fetched again for 180 days.

    Where most of the movies would go, or nothing was noted for two months, the clock may be ahead: then nothing is
    dropped, and the exit code is 1, unless --sure says that the clock is right.
    """
    from ayne_dagster.warehouse.care.purge import purge as drop_expired
    from ayne_dagster.warehouse.care.witness import doubt_of_purge

    settings = load_settings()
    database = warehouse(settings)
    database.require_file()
    now = settings.now()
    if dry_run:
        _foretell(database, now, as_json)
        return
    with working("Dropping"), database.transaction() as connection:
        doubt = None if sure else doubt_of_purge(connection, now)
        if doubt:
            fail(f"Nothing was dropped. {doubt}. Look at the clock; if it is right, `ayne purge --sure`.")
        dropped = drop_expired(connection, now)
    with working("Erasing what was dropped"):
        database.erase_past(datetime.now(UTC))
    print_result(
        {"dropped": dropped}, as_json, lambda r: "\n".join(f"{n:>8,}  {table}" for table, n in r["dropped"].items())
    )


def _foretell(database: Store, now: datetime, as_json: bool) -> None:
    """Print what a purge would drop."""
    from ayne_dagster.warehouse.care.purge import foretell
    from ayne_dagster.warehouse.care.witness import doubt_of_purge

    with database.connect(read_only=True) as connection:  # brings an older one up to date, too, which a copy is not
        doubt = doubt_of_purge(connection, now)
    parts = [asdict(part) for part in foretell(database, now)]
    print_result({"would_drop": parts, "as_of": now.isoformat(), "doubt": doubt}, as_json, _describe_foretold)


def _describe_foretold(result: dict[str, Any]) -> str:
    lines = [
        f"{part['rows']:>8,}  {part['table']}: {part['reason']}"
        + (f" ({', '.join(part['examples'])}{' …' if part['rows'] > len(part['examples']) else ''})"
           if part["examples"] else "")
        for part in result["would_drop"]
    ]  # fmt: skip
    if result["doubt"]:
        lines.append(f"It would drop nothing without --sure: {result['doubt']}.")
    return "\n".join(lines or ["Nothing would be dropped."])
