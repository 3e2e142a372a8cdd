"""Keeping it running: snapshot, check, doctor. What they do is in `warehouse` and `doctor`."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import click

from ayne_dagster.commands.files import warehouse
from ayne_dagster.commands.options import json_option
from ayne_dagster.commands.output import print_result
from ayne_dagster.config import load_settings


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def snapshot(file: Path, as_json: bool) -> None:
    """Copy the database to FILE, consistent and whole, also while a run writes to it.

    FILE is replaced in one step. To restore it: stop everything, remove the database's .wal file, copy FILE over the
    database, run `ayne check`, then collect.
    """
    from ayne_dagster.warehouse.snapshot import publish_snapshot

    # So that a service manager's stop, too, leaves nothing half-written.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    size = publish_snapshot(warehouse(load_settings()), file)
    result = {"snapshot": str(file), "bytes": size, "seconds": round(time.monotonic() - started, 3)}
    print_result(result, as_json, _describe_snapshot)


def _describe_snapshot(result: dict[str, Any]) -> str:
    return f"{result['snapshot']}  {result['bytes'] / 1e6:,.1f} MB, in {result['seconds']:.1f} s"
