"""Keeping it running: snapshot, check, maintain, move, doctor. What they do is in `warehouse` and `doctor`."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ayne_dagster.commands.files import warehouse
from ayne_dagster.commands.options import FilePath, json_option, sure_option
from ayne_dagster.commands.output import fail, one_line, print_result
from ayne_dagster.commands.working import working
from ayne_dagster.config import Settings, SettingsError, load_settings
from ayne_dagster.settings.wording import counted


@click.command()
@click.argument("file", type=FilePath())
@json_option
def snapshot(file: Path, as_json: bool) -> None:
    """Copy the database to FILE, consistent and whole, also while a run writes to it.

    FILE is replaced in one step. To restore it: stop everything, remove the database's .wal file, copy FILE over the
    database, run `ayne check`, then collect.
    """
    from ayne_dagster.warehouse.care.snapshot import publish_snapshot

    started = time.monotonic()
    with working("Copying"):
        size = publish_snapshot(warehouse(load_settings()), file)
    result = {"snapshot": str(file), "bytes": size, "seconds": round(time.monotonic() - started, 3)}
    print_result(result, as_json, _describe_snapshot)


def _describe_snapshot(result: dict[str, Any]) -> str:
    return f"{result['snapshot']}  {result['bytes'] / 1e6:,.1f} MB, in {result['seconds']:.1f} s"


@click.command()
@click.option("--mend", is_flag=True, help="First mend what lies in the future since a clock was ahead.")
@sure_option
@json_option
def check(mend: bool, sure: bool, as_json: bool) -> None:
    """Verify the database: keys, refresh state against tables and log, times, schema. Without --mend nothing changes.

    With it what was noted by a clock that was ahead is put right, in one transaction: such movies are due again, days
    of feeds and files are read again. Take a snapshot before, and make sure that the clock is right now. Sensors and
    schedules that wait for the date of that clock go on, once the daemon is started again. Where most of the log lies
    in the future, the clock may be behind: then nothing is mended, unless --sure says that it is right.

    Exit code 0: sound; 1: something is wrong, and what to do is said.
    """
    from ayne_dagster.warehouse.care.integrity import check_database, describe, mend_database

    if sure and not mend:
        raise click.UsageError("--sure goes with --mend: without it nothing is changed.")
    settings = load_settings()
    started = time.monotonic()
    if mend and not sure:
        _require_a_clock_that_is_borne_out(settings)
    mended = mend_database(warehouse(settings), settings.now()) if mend else {}
    resumed = _bring_ticks_back(settings) if mend else []
    with working("Reading every row"):
        report = check_database(warehouse(settings), settings.now())
    found = [describe(finding) for finding in report.findings]
    if trouble := _ledger_trouble(settings):
        found.append(trouble)
    result = {
        "sound": not found,
        "database": settings.database_name,
        "schema_version": report.version,
        "movies": report.movies,
        "findings": found,
        "mended": mended,
        "resumed": resumed,
        "notes": report.notes,
        "seconds": round(time.monotonic() - started, 3),
    }
    print_result(result, as_json, _describe_check)
    if found:
        changed = "what was mended is said above" if mended else "nothing was changed"
        are = "is" if len(found) == 1 else "are"
        fail(f"{counted(len(found), 'things')} {are} wrong in {settings.database_name}; {changed}.")


def _require_a_clock_that_is_borne_out(settings: Settings) -> None:
    """End the command where the clock may be behind.

    Raises:
        CommandFailed: it may; nothing was mended.
    """
    from ayne_dagster.warehouse.care.witness import doubt_of_mend

    database = warehouse(settings)
    database.require_file()
    with database.connect() as connection:
        doubt = doubt_of_mend(connection, settings.now())
    if doubt:
        fail(f"Nothing was mended. {doubt}. Look at the clock; if it is right, `ayne check --mend --sure`.")


def _bring_ticks_back(settings: Settings) -> list[str]:
    """The sensors and schedules that need not wait any more, by name."""
    from ayne_dagster.runs.home import home_path
    from ayne_dagster.runs.instance import open_instance
    from ayne_dagster.runs.retention import Instants
    from ayne_dagster.serving.instigators import bring_back

    if not (home_path(settings) / "dagster.yaml").exists():
        return []
    with open_instance(settings) as instance:
        return [ahead.name for ahead in bring_back(instance, Instants.of(settings).calendar)]


def _ledger_trouble(settings: Settings) -> dict[str, Any] | None:
    """The ledger as a finding, where it cannot be read."""
    from ayne_dagster.doctor import ledger_use
    from ayne_dagster.sources.limits.ledger import LedgerError

    try:
        ledger_use(settings)
    except LedgerError as error:
        do = "Until it can be used, nothing is asked: no request is sent that is not counted."
        return {"code": "ledger", "where": "request ledger", "what": str(error), "do": do, "count": 1, "examples": []}
    return None


def _describe_check(result: dict[str, Any]) -> str:
    lines = [f"Mended: {counted(rows, 'rows')} of {table}" for table, rows in result["mended"].items()]
    lines += [f"Waits no more for a date in the future: {name}" for name in result["resumed"]]
    for finding in result["findings"]:
        examples = f" For example {', '.join(finding['examples'])}." if finding["examples"] else ""
        lines.append(f"{finding['where']}: {finding['what']}{examples}\n    {finding['do']}")
    lines += [f"Note: {note}" for note in result["notes"]]
    verdict = "Sound" if result["sound"] else "NOT sound"
    lines.append(
        f"{verdict}: {counted(result['movies'], 'movies')}, schema version {result['schema_version'] or 'unknown'}."
    )
    return "\n".join(lines)


@click.command()
@json_option
def maintain(as_json: bool) -> None:
    """Look after what lies on the disk: few files, a short past, nothing that no commit names.

    Of a lake, inlined rows are written out, files with many deleted rows rewritten, small ones merged, states older
    than 7 days forgotten, files removed that nothing names for a day. It waits for its turn, and commits wait
    meanwhile. Of a DuckDB file, the log of commits is written into it.
    """
    from ayne_dagster.warehouse.store import describe_maintained

    store, started = warehouse(load_settings()), time.monotonic()
    store.require_file()
    with working("Looking after the files"):
        done = store.maintain(datetime.now(UTC))
    result = {**asdict(done), "seconds": round(time.monotonic() - started, 3)}
    print_result(result, as_json, lambda _: describe_maintained(done))


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@json_option
def move(source: str, target: str, as_json: bool) -> None:
    """Copy a whole store into another: a DuckDB file into a lake, or back. FROM is left as it is.

    Each is the path of a file, or `ducklake:postgres:…` as AYNE_DATABASE has it; everything else is as the settings
    say. Rows are counted and compared. What was interrupted goes on where it was; then set AYNE_DATABASE to the new
    one.
    """
    from ayne_dagster.collecting.stores import store_at
    from ayne_dagster.warehouse.care.moving import move_store

    started = time.monotonic()
    stores = store_at(source), store_at(target)
    rows = move_store(*stores, lambda text: click.echo(one_line(text), err=True))
    result = {"rows": rows, "target": stores[1].name, "seconds": round(time.monotonic() - started, 3)}
    print_result(result, as_json, lambda r: f"{sum(rows.values()):,} rows are the same in {r['target']}.")


@click.command()
@sure_option
@json_option
def tidy(sure: bool, as_json: bool) -> None:
    """Remove old runs and their logs, and sum up old entries of the warehouse's logs by day.

    Done daily by Dagster's schedule, or by `ayne collect` where no daemon runs. Runs are kept for
    AYNE_RUN_RETENTION_DAYS; those that hold the latest state of an asset stay. Where nothing was noted for two months,
    the clock may be ahead: then nothing is removed, unless --sure says that the clock is right.
    """
    from ayne_dagster.runs.instance import open_instance
    from ayne_dagster.runs.tidying import describe, tidy_up, tidy_up_surely
    from ayne_dagster.sources.limits.ledger import open_ledger

    settings = load_settings()
    started = time.monotonic()
    with open_instance(settings) as instance, working("Removing what is old"):
        tidying = tidy_up_surely if sure else tidy_up
        told = tidying(instance, warehouse(settings), open_ledger(settings), settings)
    print_result(told | {"seconds": round(time.monotonic() - started, 3)}, as_json, describe)


@click.command()
@click.option("--online", is_flag=True, help="Ask each API once whether its key works; the requests are counted.")
@json_option
def doctor(online: bool, as_json: bool) -> None:
    """Tell whether keys, addresses, database, ledger, Dagster, disk and clock are usable, on one screen.

    Exit code 0: usable, perhaps with warnings; 1: something is wrong, and what to do is said.
    """
    from ayne_dagster.doctor import WRONG, Line, examine

    try:
        with working("Asking each API" if online else "Looking"):
            lines = examine(load_settings(), online=online)
    except SettingsError as error:
        lines = [Line("settings", WRONG, str(error), "Correct it in the environment or in .env.")]
    wrong = [line.name for line in lines if line.state == WRONG]
    result = {"usable": not wrong, "lines": [line.as_json() for line in lines]}
    print_result(result, as_json, _describe_doctor)
    if wrong:
        fail(f"{counted(len(wrong), 'things')} {'is' if len(wrong) == 1 else 'are'} wrong: {', '.join(wrong)}.")


def _describe_doctor(result: dict[str, Any]) -> str:
    width = max(len(line["name"]) for line in result["lines"])
    shown = []
    for line in result["lines"]:
        shown.append(f"{line['state']:7}  {line['name']:{width}}  {line['text']}")
        if line["do"]:
            shown.append(f"{'':7}  {'':{width}}  → {line['do']}")
    return "\n".join(shown)
