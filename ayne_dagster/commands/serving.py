"""What serves something until it is interrupted, and the demonstration: stand-in, Dagster's UI, demo."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ayne_dagster.commands.options import FilePath, Number, json_option
from ayne_dagster.commands.output import console, fail, one_line, print_result
from ayne_dagster.config import Settings, load_settings
from ayne_dagster.settings.texts import read_named_text

if TYPE_CHECKING:
    from socket import socket

    from dagster import DagsterInstance

    from ayne_dagster.standin.faults import Planned


_port = click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)


@click.command()
@click.option("--movies", type=click.IntRange(1, 1_000_000), default=500, show_default=True, help="Catalogue size.")
@click.option("--days", type=click.IntRange(0, 3650), default=365, show_default=True, help="Days that pass.")
@click.option(
    "--database", type=FilePath(), help="A new DuckDB file. Default: data/demo.duckdb, live demo-live.duckdb."
)
@click.option("--live", is_flag=True, help="Go on until interrupted, with Dagster's UI, sensor and schedules on.")
@click.option(
    "--day-seconds", type=Number(1, 86_400), default=60.0, show_default=True, help="With --live: a day's length."
)
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="With --live: of the UI.")
@json_option
@click.pass_context
def demo(
    context: click.Context,
    movies: int,
    days: int,
    database: Path | None,
    live: bool,
    day_seconds: float,
    port: int,
    as_json: bool,
) -> None:
    """Show the whole of it, without keys: collect invented movies from a stand-in while days pass.

    With --live nine months pass at once, and then days in minutes, in Dagster's UI: new movies, refreshes, movies that
    freeze, a quota that ends, sources that fail and come back.
    """
    _require_fitting(context, live)
    if live:
        from ayne_dagster.demo.live import run_live

        run_live(movies, day_seconds, port, database, console(stderr=True))
        return
    from ayne_dagster.demo.story import run_demo

    story = run_demo(movies, days, database, console(stderr=True))
    if as_json:
        print_result(story.as_dict(), True, str)
        return
    story.tell(console())


def _require_fitting(context: click.Context, live: bool) -> None:
    """Refuse options that would be ignored.

    Raises:
        UsageError: one of them is given.
    """
    for name in ("days", "as_json") if live else ("day_seconds", "port"):
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            option = f"--{name.removeprefix('as_').replace('_', '-')}"
            raise click.UsageError(f"{option} means nothing {'with' if live else 'without'} --live.")


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8765, show_default=True)
@click.option("--movies", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="Catalogue size.")
@click.option("--world", type=FilePath(), help="Serve what a demonstration's database was collected from instead.")
@click.option("--latency-ms", type=Number(0, 3_600_000), default=0.0, help="How long each answer takes at least.")
@click.option("--faults", type=FilePath(), help="A JSON list of what goes wrong: see docs/faults.md.")
def standin(port: int, movies: int, world: Path | None, latency_ms: float, faults: Path | None) -> None:
    """Serve the stand-in for TMDB, OMDb and Wikidata on 127.0.0.1, with invented movies, until interrupted."""
    from ayne_dagster.standin.running import StandInError, serve

    planned = [] if faults is None else _read_faults(faults)
    try:
        size, more = (movies, {}) if world is None else _catalogue_of(world)
        serve(port, size, faults=planned, latency_seconds=latency_ms / 1000, **more)
    except StandInError as error:
        fail(str(error))


def _catalogue_of(database: Path) -> tuple[int, dict[str, Any]]:
    """Size and epoch of the catalogue that a demonstration's database was collected from."""
    from ayne_dagster.demo.world import read_world
    from ayne_dagster.settings.places import resolve_database

    found = read_world(resolve_database(database))
    if found is None:
        raise click.UsageError(f"{database} is no demonstration's database: `ayne demo` makes one.")
    return found.movies, {"epoch": found.epoch}


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


@click.command()
@_port
def dev(port: int) -> None:
    """Start Dagster's UI and daemon on 127.0.0.1, with the runs of `ayne collect` in it, and the dashboard beside.

    The dashboard is on the next port (3001), as `ayne dashboard` serves it.

    A demonstration's database is shown with its stand-in beside it. Where nothing else is set up, that is the one of
    `ayne demo`, data/demo.duckdb.
    """
    from ayne_dagster.runs.instance import only_daemon
    from ayne_dagster.serving.together import serve_together

    with (
        _instance_and_listener(port, only_daemon) as (instance, listener, shown, workspace),
        _dashboard_beside(shown, port),
    ):
        serve_together(instance, workspace, shown.ui_hosts, listener)


@click.command()
@_port
def ui(port: int) -> None:
    """Start Dagster's UI alone on 127.0.0.1; the daemon is a service of its own."""
    from ayne_dagster.serving.together import serve_alone

    with _instance_and_listener(port) as (instance, listener, shown, workspace), suppress(KeyboardInterrupt):
        serve_alone(instance, workspace, shown.ui_hosts, listener)


@click.command()
def daemon() -> None:
    """Run Dagster's daemon alone, as a service; the UI is `ayne ui`.

    A clock that was ahead keeps no sensor and no schedule waiting: it is looked to at the start and every few seconds.
    """
    from ayne_dagster.runs.instance import only_daemon, open_instance, served
    from ayne_dagster.serving.code_servers import shared_code_servers
    from ayne_dagster.serving.daemon import daemon_running
    from ayne_dagster.serving.together import DaemonEnded, workspace_file

    settings = load_settings()
    with open_instance(settings) as instance, served(home := Path(instance.root_directory)), only_daemon(home):
        os.environ["DAGSTER_HOME"] = instance.root_directory
        try:
            with shared_code_servers(instance, workspace_file()) as shared, daemon_running(shared) as process:
                code = process.wait()
        except KeyboardInterrupt:
            return  # how it is meant to end
    raise DaemonEnded(code)


@contextmanager
def _instance_and_listener(
    port: int, alone: Callable[[Path], AbstractContextManager[object]] = nullcontext
) -> Iterator[tuple[DagsterInstance, socket, Settings, Path]]:
    """What both commands need, with the port taken before anything is started.

    Args:
        port: of the UI.
        alone: what is to be held of the home beside.

    Yields:
        Instance, socket, the settings of what is shown, workspace.
    """
    from ayne_dagster.demo.showing import with_its_world
    from ayne_dagster.runs.instance import open_instance, served
    from ayne_dagster.serving.together import workspace_file
    from ayne_dagster.serving.ui import ADDRESS, PortTaken, listen

    settings = load_settings()
    try:
        listener = listen(port)
    except PortTaken as error:
        fail(str(error))
    with listener, with_its_world(settings) as (shown, world), open_instance(shown) as instance:
        home = instance.root_directory
        os.environ["DAGSTER_HOME"] = home  # for daemon, code servers and the runs that they launch
        with served(Path(home)), alone(Path(home)):
            show_nothing_as_missing(instance, shown)
            about = f"Dagster on http://{ADDRESS}:{port} shows the database {shown.database_name}"
            click.echo(one_line(f"{about}{world}; its runs are in {home}"), err=True)
            yield instance, listener, shown, workspace_file()


def show_nothing_as_missing(instance: DagsterInstance, settings: Settings) -> None:
    """Have no asset be grey for years in which there is nothing, nor for being switched off: no run may tell of it."""
    from ayne_dagster.assets.empty_years import tell_of_empty_years, years_with_movies
    from ayne_dagster.assets.switched_off import switched_off, tell_of_switched_off
    from ayne_dagster.collecting.stores import open_store
    from ayne_dagster.warehouse.store import WarehouseError

    database = open_store(settings, wait_seconds=1.0)
    with suppress(WarehouseError):  # what is wrong with it, each page and run says
        if not database.exists:
            return
        with database.connect(read_only=True) as connection:
            years = years_with_movies(connection)
        tell_of_empty_years(instance, years)
        tell_of_switched_off(instance, switched_off(settings))


@contextmanager
def _dashboard_beside(settings: Settings, port: int) -> Iterator[None]:
    """The dashboard on the port after the UI's; where that is taken, the UI is served without."""
    from ayne_dagster.commands.dashboard import examined
    from ayne_dagster.dashboard.serving import served_beside

    with served_beside(settings, examined(settings), min(port + 1, 65535)) as address:
        if address:
            os.environ.setdefault("AYNE_DASHBOARD_URL", address)  # for the code servers, whose assets link it
        without = f"No dashboard: port {port + 1} is in use; `ayne dashboard --port` serves it on another"
        click.echo(one_line(f"Dashboard on {address}" if address else without), err=True)
        yield
