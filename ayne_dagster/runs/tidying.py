"""Housekeeping, in one place: what is old in the Dagster home, the warehouse and the ledger goes.

What is kept for how long is decided in `runs.retention` and `warehouse.care.thinning`. It is done daily: by a schedule,
or, where there is no daemon, at the end of a collection; and by `ayne tidy` whenever a person likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import dagster as dg

from ayne_dagster.config import Settings
from ayne_dagster.legacy.reading import remove_left_copies
from ayne_dagster.runs.home import TIDIED_EVERY, tidied_mark
from ayne_dagster.runs.retention import Instants, pack, remove_abandoned_files, remove_old_runs
from ayne_dagster.settings.wording import counted
from ayne_dagster.sources.limits.ledger import RequestLedger
from ayne_dagster.warehouse.care.thinning import LOG_KEPT, thin
from ayne_dagster.warehouse.care.witness import doubt_of_age
from ayne_dagster.warehouse.store import Store

_NOTHING: Mapping[str, Any] = MappingProxyType(
    {"runs": 0, "files": 0, "bytes": 0, "rows": {}, "ledger": 0, "doubt": None}
)


def tidy_up(instance: dg.DagsterInstance, database: Store, ledger: RequestLedger, settings: Settings) -> dict[str, Any]:
    """Remove what is old, unless what the warehouse noted speaks against the clock; see `tidy_up_surely`.

    Returns:
        What `tidy_up_surely` does; `doubt`: why nothing was removed, None where that was not in doubt.

    Raises:
        WarehouseError: the warehouse could not be had; what was removed before is said there.
        LedgerError: the ledger could not be had, after the warehouse was thinned out.
    """
    now = Instants.of(settings)
    if database.exists:
        with database.connect() as connection:
            doubt = doubt_of_age(connection, now.platform)
        if doubt:
            _note_tidied(instance, database, now)
            return {**_NOTHING, "doubt": doubt}
    return tidy_up_surely(instance, database, ledger, settings)


def tidy_up_surely(
    instance: dg.DagsterInstance, database: Store, ledger: RequestLedger, settings: Settings
) -> dict[str, Any]:
    """Remove what is old by the clock, of which a person is sure.

    Args:
        instance: whose runs.
        database: the warehouse; where there is none, none is made.
        ledger: the request ledger; where there is none, none is made.
        settings: for how long runs are kept, and what time it is.

    Returns:
        `runs`: how many went from the Dagster home; `files`: how many stray ones from there, and copies that killed
        imports had left beside the database; `bytes`: how much of the home was given back to the disk;
        `rows`: how many went from the warehouse, by table; `ledger`: how many days of accounts.

    Raises:
        WarehouseError: the warehouse could not be had, after the home was tidied.
        LedgerError: the ledger could not be had, after the warehouse was thinned out.
    """
    now = Instants.of(settings)
    told = dict(_NOTHING)
    if settings.run_retention is not None:
        told["runs"] = remove_old_runs(instance, settings.run_retention, now)
        told["files"] = remove_abandoned_files(instance, settings.run_retention, now.calendar)
        told["bytes"] = pack(instance)
    _note_tidied(instance, database, now)
    if database.path.parent.is_dir():
        told["files"] += remove_left_copies(database.path.parent, (now.calendar - TIDIED_EVERY).timestamp())
    if database.exists:
        with database.transaction() as connection:
            told["rows"] = {table: number for table, number in thin(connection, now.platform).items() if number}
    if ledger.exists:
        told["ledger"] = ledger.forget((now.platform - LOG_KEPT).date())
    return told


def _note_tidied(instance: dg.DagsterInstance, database: Store, now: Instants) -> None:
    tidied_mark(Path(instance.root_directory), database.path).write_text(now.platform.isoformat(), encoding="ascii")


def describe(told: dict[str, Any]) -> str:
    """What went, in a sentence, or why nothing did."""
    if told["doubt"]:
        return f"Nothing old was removed. {told['doubt']}. Look at the clock; if it is right, `ayne tidy --sure`."
    parts = []
    gone = [counted(told[name], what) for name, what in (("runs", "old runs"), ("files", "stray files")) if told[name]]
    if gone:
        parts.append(f"removed {' and '.join(gone)}")
    if told["bytes"]:
        parts.append(f"gave {told['bytes'] / 1e6:,.1f} MB back to the disk")
    if told["rows"]:
        rows = ", ".join(f"{number:,} of {table}" for table, number in told["rows"].items())
        parts.append(f"summed up or dropped old rows ({rows})")
    if told["ledger"]:
        parts.append(f"dropped {counted(told['ledger'], 'old entries')} of the ledger")
    return f"Tidied up: {'; '.join(parts)}." if parts else "Nothing is old enough to be removed."


def removed_anything(told: dict[str, Any]) -> bool:
    """Whether there is anything to tell of that a person may want to know: packing alone is none of it."""
    return bool(told["doubt"] or told["runs"] or told["files"] or told["rows"] or told["ledger"])
