"""What serves something until it is interrupted, and the demonstration: stand-in, Dagster's UI, demo."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ayne_dagster.commands.options import FilePath
from ayne_dagster.commands.output import console, fail
from ayne_dagster.config import load_settings

if TYPE_CHECKING:
    from ayne_dagster.demo.faults import Planned


@click.command()
@click.option("--movies", type=click.IntRange(1, 1_000_000), default=500, show_default=True, help="Catalogue size.")
@click.option("--days", type=click.IntRange(0, 3650), default=365, show_default=True, help="Days that pass.")
@click.option("--database", type=FilePath(), help="A new DuckDB file. Default: data/demo.duckdb.")
def demo(movies: int, days: int, database: Path | None) -> None:
    """Show the whole of it, without keys: collect invented movies from a stand-in while days pass."""
    from ayne_dagster.demo.story import run_demo

    run_demo(movies, days, database, console(stderr=True), console())


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8765, show_default=True)
@click.option("--movies", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="Catalogue size.")
@click.option(
    "--latency-ms", type=click.FloatRange(0, 3_600_000), default=0.0, help="How long each answer takes at least."
)
@click.option("--faults", type=FilePath(), help="A JSON list of what goes wrong: see docs/faults.md.")
def standin(port: int, movies: int, latency_ms: float, faults: Path | None) -> None:
    """Serve the stand-in for TMDB and OMDb on 127.0.0.1, with invented movies, until interrupted."""
    from ayne_dagster.demo.standin import StandInError, serve

    planned = [] if faults is None else _read_faults(faults)
    try:
        serve(port, movies, faults=planned, latency_seconds=latency_ms / 1000)
    except StandInError as error:
        fail(str(error))


def _read_faults(file: Path) -> list[Planned]:
    """The faults and scripts in a file.

    Raises:
        UsageError: it cannot be read, or holds no list of faults.
    """
    from ayne_dagster.demo.faults import read_faults

    try:
        return read_faults(file.read_text("utf-8"))
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise click.UsageError(f"{file} holds no faults that the stand-in knows: {error}.") from None


@click.command()
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
