"""`ayne changes` and `ayne files`: what the sources tell of all movies at once. Thin faces of the jobs that read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from ayne_dagster.commands.options import json_option
from ayne_dagster.commands.output import fail, print_result
from ayne_dagster.config import load_settings
from ayne_dagster.settings.wording import counted

if TYPE_CHECKING:
    from ayne_dagster.orchestrator import DataCollectionOrchestrator


@click.command()
@json_option
def changes(as_json: bool) -> None:
    """Read which movies changed at TMDB, up to yesterday, and make those that are collected due."""
    load_settings().require_tmdb_key()
    print_result(_run(lambda orchestrator: orchestrator.read_change_feed()), as_json, _describe_changes)


@click.command()
@json_option
def files(as_json: bool) -> None:
    """Read the files published daily: TMDB's ID export, and IMDb's ratings where they are switched on."""
    print_result(_run(lambda orchestrator: orchestrator.read_daily_files()), as_json, _describe_files)


def _run(read: Callable[[DataCollectionOrchestrator], dict[str, Any]]) -> dict[str, Any]:
    from ayne_dagster.commands.progress_display import shown_on_stderr
    from ayne_dagster.orchestrator import CollectionFailed, CollectionInterrupted, DataCollectionOrchestrator

    try:
        with shown_on_stderr() as display:
            return read(DataCollectionOrchestrator(settings=load_settings(), watcher=display))
    except CollectionInterrupted:
        raise click.Abort from None
    except CollectionFailed as error:
        fail(str(error))


def _describe_changes(result: Mapping[str, Any]) -> str:
    if not result["days"] and not result["gaps"]:
        return f"Nothing to read: TMDB's changes are read up to {result['read_up_to']}."
    gaps = f"; {result['gaps']:,} could not be read as a whole" if result["gaps"] else ""
    return "\n".join(
        [
            f"Read     {counted(result['days'], 'days')}, up to {result['read_up_to']}{gaps}",
            f"Changed  {counted(result['listed'], 'movies')}, {result['known']:,} of them collected here",
            f"Due      {counted(result['signals'], 'movies')} for it, {result['thawed']:,} of them frozen until now",
            f"Spent    {counted(result['requests'], 'requests')}",
        ]
    )


def _describe_files(result: Mapping[str, Mapping[str, int]]) -> str:
    lines = []
    for name, counts in result.items():
        told = ", ".join(counted(number, what.replace("_", " ")) for what, number in counts.items() if number)
        lines.append(f"{name:15} {told or 'nothing new'}")
    return "\n".join(lines)
