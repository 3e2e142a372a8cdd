"""What serves something until it is interrupted, and the demonstration: stand-in, Dagster's UI, demo."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ayne_dagster.commands.options import FilePath, Number
from ayne_dagster.commands.output import console, fail, one_line
from ayne_dagster.config import load_settings
from ayne_dagster.settings.texts import read_named_text

if TYPE_CHECKING:
    from socket import socket

    from dagster import DagsterInstance

    from ayne_dagster.standin.faults import Planned


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
@click.option("--latency-ms", type=Number(0, 3_600_000), default=0.0, help="How long each answer takes at least.")
@click.option("--faults", type=FilePath(), help="A JSON list of what goes wrong: see docs/faults.md.")
def standin(port: int, movies: int, latency_ms: float, faults: Path | None) -> None:
    """Serve the stand-in for TMDB and OMDb on 127.0.0.1, with invented movies, until interrupted."""
    from ayne_dagster.standin.running import StandInError, serve

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
    from ayne_dagster.standin.faults import read_faults

    try:
        return read_faults(read_named_text(file))
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise click.UsageError(f"{file} holds no faults that the stand-in knows: {error}.") from None


_port = click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)


@click.command()
@_port
def dev(port: int) -> None:
    """Start Dagster's UI and daemon on 127.0.0.1, with the runs of `ayne collect` in it."""
    from ayne_dagster.serving.code_servers import shared_code_servers
    from ayne_dagster.serving.daemon import daemon_running

    with _instance_and_listener(port) as (instance, listener, hosts, workspace):
        try:
            with shared_code_servers(instance, workspace) as shared, daemon_running(shared) as daemon:
                _serve(instance, shared, hosts, listener, daemon)
                code = daemon.poll()
        except KeyboardInterrupt:
            return  # how it is meant to end
        if code is None:
            return  # where SIGINT was ignored at the start, in the background, the server heeds it all the same
        fail(f"Dagster's daemon ended by itself (code {code}); what it said stands above. Nothing is left running.")


@click.command()
@_port
def ui(port: int) -> None:
    """Start Dagster's UI alone on 127.0.0.1; the daemon is a service of its own."""
    with _instance_and_listener(port) as (instance, listener, hosts, workspace), suppress(KeyboardInterrupt):
        _serve(instance, workspace, hosts, listener, None)


@click.command()
def daemon() -> None:
    """Run Dagster's daemon alone, as a service; the UI is `ayne ui`.

    A clock that was ahead keeps no sensor and no schedule waiting: it is looked to at the start and every few seconds.
    """
    from ayne_dagster.runs.instance import open_instance
    from ayne_dagster.serving.code_servers import shared_code_servers
    from ayne_dagster.serving.daemon import daemon_running

    settings = load_settings()
    with open_instance(settings) as instance:
        os.environ["DAGSTER_HOME"] = instance.root_directory
        try:
            with shared_code_servers(instance, _workspace()) as shared, daemon_running(shared) as process:
                code = process.wait()
        except KeyboardInterrupt:
            return  # how it is meant to end
    fail(f"Dagster's daemon ended by itself (code {code}); what it said stands above. Nothing is left running.")


def _workspace() -> Path:
    from importlib.resources import files

    return Path(str(files("ayne_dagster") / "workspace.yaml"))


@contextmanager
def _instance_and_listener(port: int) -> Iterator[tuple[DagsterInstance, socket, tuple[str, ...], Path]]:
    """What both commands need, with the port taken before anything is started: instance, socket, hosts, workspace."""
    from ayne_dagster.runs.instance import open_instance
    from ayne_dagster.serving.ui import ADDRESS, PortTaken, listen

    settings = load_settings()
    try:
        listener = listen(port)
    except PortTaken as error:
        fail(str(error))
    with listener, open_instance(settings) as instance:
        home = instance.root_directory
        os.environ["DAGSTER_HOME"] = home  # for daemon, code servers and the runs that they launch
        served = f"Dagster on http://{ADDRESS}:{port}, database {settings.database}, its home in {home}"
        click.echo(one_line(served), err=True)
        yield instance, listener, settings.ui_hosts, _workspace()


def _serve(
    instance: DagsterInstance,
    workspace: Path,
    hosts: tuple[str, ...],
    listener: socket,
    daemon: subprocess.Popen[bytes] | None,
) -> None:
    """Serve the UI until a signal comes (KeyboardInterrupt) or the daemon ends."""
    from ayne_dagster.serving.ui import ui_server

    with ui_server(instance, workspace, hosts) as server:

        def stop_with_daemon(daemon: subprocess.Popen[bytes]) -> None:
            daemon.wait()
            server.should_exit = True

        if daemon is not None:
            threading.Thread(target=stop_with_daemon, args=(daemon,), daemon=True).start()
        server.run(sockets=[listener])
