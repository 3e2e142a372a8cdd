"""The `ayne` command: a thin face of the Python API. Reads options, calls one method, prints what it returned.

Results go to stdout (with `--json` exactly one JSON object), progress and messages to stderr. Exit codes: 0 done,
1 failed, 2 wrong usage or settings, 130 interrupted. Modules that are slow to load are loaded by the command that
needs them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import click

from ayne_dagster.config import Settings, SettingsError, load_settings
from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR
from ayne_dagster.refresh.strategy import COLLECTED, SOURCES, Override

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

TMDB_ID = click.IntRange(1, 2**63 - 1)
COUNT = click.IntRange(0, 1_000_000_000)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")


class _Instant(click.ParamType):  # type: ignore[type-arg]
    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date such as 2026-03-31 or 2026-03-31T18:00.", param, ctx)
        if not FIRST_YEAR <= instant.year < 2200:
            self.fail(f"{value!r} is too far from today to decide anything.", param, ctx)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


class _Year(click.ParamType):  # type: ignore[type-arg]
    name = "year"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (text.isascii() and text.isdigit() and FIRST_YEAR <= int(text) <= LAST_YEAR):
            self.fail(f"{text!r} is no year from {FIRST_YEAR} to {LAST_YEAR}.", param, ctx)
        return int(text)


as_of_option = click.option("--as-of", type=_Instant(), help="Decide for this day (UTC) instead of now.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ayne_dagster", prog_name="ayne")
def ayne() -> None:
    """Build a movie dataset and keep it fresh: discovery, details, ratings, and what to refresh next."""


@ayne.command()
@click.option("--movies", type=click.IntRange(1, 1_000_000), default=500, show_default=True, help="Catalogue size.")
@click.option("--days", type=click.IntRange(0, 3650), default=365, show_default=True, help="Days that pass.")
@click.option("--database", type=click.Path(path_type=Path), help="A new DuckDB file. Default: data/demo.duckdb.")
def demo(movies: int, days: int, database: Path | None) -> None:
    """Show the whole of it, without keys: collect invented movies from a stand-in while days pass."""
    from ayne_dagster.demo.story import run_demo

    run_demo(movies, days, database, _console(stderr=True), _console())


@ayne.command()
@click.option("--start-year", type=_Year(), help="Discover movies released from this year on.")
@click.option("--end-year", type=_Year(), help="Discover movies released up to this year.")
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
@json_option
def collect(
    start_year: int | None,
    end_year: int | None,
    max_pages: int | None,
    min_votes: int,
    refresh_limit: int | None,
    refresh_only: bool,
    as_json: bool,
) -> None:
    """Discover movies, then refresh those that are due."""
    first, last = start_year or FIRST_YEAR, end_year or LAST_YEAR
    if last < first:
        raise click.UsageError(f"--end-year {last} is before --start-year {first}.")
    settings = load_settings()
    settings.require_keys()
    from ayne_dagster.orchestrator import (
        CollectionFailed,
        CollectionInterrupted,
        DataCollectionOrchestrator,
        DiscoveryPlan,
    )
    from ayne_dagster.progress_display import shown_on_stderr

    plan = None if refresh_only else DiscoveryPlan(first, last, max_pages, min_votes)
    failure = None
    with shown_on_stderr() as display:
        try:
            result = DataCollectionOrchestrator(settings=settings, watcher=display).collect(
                plan, refresh_limit=refresh_limit
            )
        except CollectionFailed as error:
            result, failure = error.result, error
    _print_result(result.as_dict(), as_json, _describe_collection)
    if isinstance(failure, CollectionInterrupted):
        raise KeyboardInterrupt
    if failure is not None:
        _fail(str(failure))


@ayne.command()
@json_option
def stats(as_json: bool) -> None:
    """Tell how much is collected."""
    from ayne_dagster.warehouse.client import DuckDBClient

    settings = load_settings()
    counts: dict[str, Any] = DuckDBClient(settings.database).get_collection_stats(settings.now())
    _print_result(counts | {"quota": _quota(settings)}, as_json, _describe_stats)


@ayne.command()
@click.option("--source", type=click.Choice(list(SOURCES)), help="Only movies due for this source.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="Movies to list.")
@as_of_option
@json_option
def due(source: str | None, limit: int, as_of: datetime | None, as_json: bool) -> None:
    """List the movies due now, in the order in which they will be asked for.

    Without --source: those due for a source that is collected (tmdb, omdb).
    """
    from ayne_dagster.warehouse.questions import list_due
    from ayne_dagster.warehouse.state import due_counts

    settings = load_settings()
    sources = (source,) if source else COLLECTED
    now = as_of or settings.now()
    with _database(settings).connect(read_only=True) as connection:
        movies = list_due(connection, sources, now, limit)
        total = due_counts(connection, sources, now)["any_source"]
    _print_result({"movies": movies, "due": total, "as_of": now.isoformat()}, as_json, _describe_due)


@ayne.command()
@click.argument("tmdb_id", type=TMDB_ID)
@as_of_option
@json_option
def explain(tmdb_id: int, as_of: datetime | None, as_json: bool) -> None:
    """Tell why a movie is due or not, for each source, with dates."""
    from ayne_dagster.warehouse.questions import explain_movie

    settings = load_settings()
    with _database(settings).connect(read_only=True) as connection:
        explained = explain_movie(connection, tmdb_id, as_of or settings.now())
    if explained is None:
        _fail(f"Movie {tmdb_id} is not known: `ayne collect` discovers movies.")
    _print_result(explained, as_json, _describe_movie)


def _override_command(override: Override, help_text: str) -> None:
    @ayne.command(name=str(override), help=help_text)
    @click.argument("tmdb_ids", type=TMDB_ID, nargs=-1, required=True, metavar="TMDB_ID...")
    @json_option
    def command(tmdb_ids: tuple[int, ...], as_json: bool) -> None:
        from ayne_dagster.warehouse.state import set_override

        settings = load_settings()
        database = _database(settings)
        database.require_file()
        with database.transaction() as connection:
            known = set_override(connection, tmdb_ids, override, settings.now())
        unknown = sorted(set(tmdb_ids) - known)
        result = {"override": str(override), "movies": sorted(known), "unknown": unknown}
        _print_result(result, as_json, lambda r: f"{override}: {len(r['movies'])} movie(s)")
        if unknown:
            _fail(f"Not known, so left alone: {', '.join(map(str, unknown))}.")


_override_command(Override.FREEZE, "Stop refreshing movies, except where the terms of use ask for it.")
_override_command(Override.THAW, "Refresh movies again, and count their unchanged cycles anew.")
_override_command(Override.FORCE, "Make movies due now, once, whatever the rules say.")


@ayne.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=True))
@click.option("--format", "file_format", type=click.Choice(["parquet", "csv"]), default="parquet", show_default=True)
@click.option("--table", "tables", multiple=True, help="A table; may be repeated. Default: movies and the histories.")
@json_option
def export(folder: Path, file_format: str, tables: tuple[str, ...], as_json: bool) -> None:
    """Write tables to FOLDER, as files for notebooks and spreadsheets."""
    from ayne_dagster.warehouse.export import DEFAULT_TABLES, EXPORTABLE, export_tables

    unknown = [name for name in tables if name not in EXPORTABLE]
    if unknown:
        raise click.UsageError(f"There is no table {', '.join(unknown)}; there are {', '.join(EXPORTABLE)}.")
    with _database(load_settings()).connect(read_only=True) as connection:
        written = export_tables(connection, folder, tables or DEFAULT_TABLES, file_format)
    result = {"files": {str(path): rows for path, rows in written.items()}}
    _print_result(result, as_json, lambda r: "\n".join(f"{path}  {rows:,} rows" for path, rows in r["files"].items()))


@ayne.command()
@json_option
def purge(as_json: bool) -> None:
    """Drop what TMDB's terms forbid to keep: what was not fetched again for 180 days."""
    from ayne_dagster.warehouse.purge import purge as drop_expired

    settings = load_settings()
    database = _database(settings)
    database.require_file()
    with database.transaction() as connection:
        dropped = drop_expired(connection, settings.now())
    _print_result(
        {"dropped": dropped}, as_json, lambda r: "\n".join(f"{n:>8,}  {table}" for table, n in r["dropped"].items())
    )


@ayne.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8765, show_default=True)
@click.option("--movies", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="Catalogue size.")
@click.option("--latency-ms", type=click.FloatRange(0), default=0.0, help="How long each answer takes at least.")
def standin(port: int, movies: int, latency_ms: float) -> None:
    """Serve the stand-in for TMDB and OMDb on 127.0.0.1, with invented movies, until interrupted."""
    from ayne_dagster.demo.standin import StandInError, serve

    try:
        serve(port, movies, latency_seconds=latency_ms / 1000)
    except StandInError as error:
        _fail(str(error))


@ayne.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
def dev(port: int) -> None:
    """Start Dagster's UI and daemon on 127.0.0.1, with the runs of `ayne collect` in it."""
    from importlib.resources import files

    from ayne_dagster.instance import dagster_home

    home = dagster_home(load_settings())
    workspace = str(files("ayne_dagster") / "workspace.yaml")
    dagster_dev = ["-m", "dagster", "dev", "-w", workspace, "-h", "127.0.0.1", "-p", str(port)]
    arguments = [sys.executable, "-W", "ignore", *dagster_dev]  # its note on a successor helps no user
    click.echo(f"Dagster on http://127.0.0.1:{port}, its home in {home}", err=True)
    os.execve(sys.executable, arguments, {**os.environ, "DAGSTER_HOME": str(home)})  # noqa: S606 -- no shell is meant


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code; every error is one line on stderr."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    from ayne_dagster.sources.errors import SourceError
    from ayne_dagster.sources.ledger import LedgerError
    from ayne_dagster.warehouse.database import DatabaseBusy, WarehouseError

    try:
        ayne.main(args=arguments, prog_name="ayne", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return WRONG_USAGE
    except click.UsageError as error:
        where = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        return _say(f"{error.format_message()}{where}", WRONG_USAGE)
    except SettingsError as error:
        return _say(str(error), WRONG_USAGE)
    except (click.Abort, KeyboardInterrupt):
        return _say("Interrupted; everything that had arrived is kept.", INTERRUPTED)
    except (DatabaseBusy, SourceError) as error:
        return _say(str(error), FAILED)
    except (WarehouseError, LedgerError) as error:
        return _say(str(error), WRONG_USAGE)
    except _Failed as error:
        return _say(str(error), FAILED)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 -- the reader went away (`ayne due | head`)
        return FAILED
    return DONE


class _Failed(Exception):
    """The command could not do what it was asked; the text is for the person."""


def _fail(message: str) -> NoReturn:
    raise _Failed(message)


def _say(message: str, code: int) -> int:
    click.echo(f"ayne: {' '.join(message.split())}", err=True)
    return code


def _console(*, stderr: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def _database(settings: Settings) -> Any:
    from ayne_dagster.warehouse.database import Database

    return Database(settings.database)


def _quota(settings: Settings) -> dict[str, Any]:
    """OMDb's quota of today, as the ledger counts it."""
    from ayne_dagster.sources.ledger import RequestLedger, account_name

    account = account_name("omdb", settings.omdb.base_url, settings.omdb_api_key)
    cap = settings.omdb.daily_quota
    used = RequestLedger(settings.ledger).use(account, settings.now().date(), cap) if settings.ledger.exists() else None
    return {"omdb": {"used": used.used if used else 0, "of": cap or None, "left": used.left if used else cap or None}}


def _print_result(result: dict[str, Any], as_json: bool, describe: Callable[[dict[str, Any]], Any]) -> None:
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False, default=str))
    else:
        _console().print(describe(result), markup=False, soft_wrap=True)


def _table(*headings: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    return table


def _describe_collection(result: dict[str, Any]) -> str:
    requests = ", ".join(f"{number:,} {SOURCES[source].title}" for source, number in result["requests"].items())
    return "\n".join(
        [
            f"Discovered    {result['discovered']:,} new movies",
            f"TMDB details  {result['tmdb_updated']:,} fetched, {result['tmdb_changed']:,} of them new or changed",
            f"OMDb ratings  {result['omdb_updated']:,} fetched, {result['omdb_changed']:,} of them new or changed",
            f"Frozen        {result['frozen']:,} movies found stable",
            f"Failed        {result['failed']:,}",
            f"Still due     {result['due_remaining']:,}, {result['deferred']:,} of them deferred by this run",
            f"Requests      {requests}, in {timedelta(seconds=round(result['seconds']))}",
        ]
    )


def _describe_stats(counts: dict[str, Any]) -> Any:
    names = {
        "total_movies": "movies",
        "with_tmdb": "with TMDB details",
        "with_omdb": "with OMDb ratings",
        "fully_refreshed": "fully refreshed",
        "frozen": "frozen",
        "recent": "recent (up to 60 days, or not yet released)",
        "established": "established (61 to 180 days)",
        "mature": "mature (181 to 365 days)",
        "archived": "archived (over 365 days)",
        "quarantined": "bodies in quarantine",
    }
    lines = [f"{counts[key]:>10,}  {text}" for key, text in names.items()]
    quota = counts["quota"]["omdb"]
    if quota["of"]:
        lines.append(f"{quota['left']:>10,}  of {quota['of']:,} OMDb requests left today")
    return "\n".join(lines)


def _describe_due(result: dict[str, Any]) -> Any:
    if not result["movies"]:
        return "Nothing is due."
    table = _table("TMDB id", "Released", "Title", "Why")
    for movie in result["movies"]:
        table.add_row(str(movie["tmdb_id"]), movie["release_date"] or "unknown", movie["title"] or "", movie["reason"])
    table.caption = f"{len(result['movies']):,} of {result['due']:,} due"
    return table


def _describe_movie(movie: dict[str, Any]) -> str:
    lines = [f"{movie['title'] or 'Untitled'} (TMDB {movie['tmdb_id']}), {movie['age']}"]
    for source, told in movie["sources"].items():
        collected = "" if SOURCES[source].collected else " (not collected yet)"
        lines.append(f"{SOURCES[source].title + collected:12}  {told['explanation']}")
        if told["last_change"]:
            lines.append(f"{'':12}  last change found {told['last_change'][:10]}")
    lines.append(f"{movie['unchanged_cycles']} unchanged refresh cycles in a row")
    return "\n".join(lines)
