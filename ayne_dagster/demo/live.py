"""The demonstration that goes on: Dagster's UI, daemon and sensor at work on a stand-in, while days pass in minutes.

Nine months pass first, as in `story`, so that there is something to see: movies of every age, and many that are about
to be looked at for the third time and will freeze. Then the clock of platform and stand-in runs, and nothing here
collects: it starts what an operator starts, has sources fail by a plan (`faults`), and tells what happens.
"""

from __future__ import annotations

import os
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from rich.console import Console

from ayne_dagster.config import load_settings
from ayne_dagster.dashboard.serving import served_beside
from ayne_dagster.demo.faults import Plan
from ayne_dagster.demo.story import collect_on, first_instant, program_name
from ayne_dagster.demo.telling import Reporter
from ayne_dagster.demo.world import World, new_database, only_these_variables, settings_for, variables
from ayne_dagster.doctor import examine
from ayne_dagster.runs.instance import open_instance, served
from ayne_dagster.serving.together import serve_together, workspace_file
from ayne_dagster.serving.ui import ADDRESS, listen
from ayne_dagster.settings.clock import Fast
from ayne_dagster.settings.places import companion, resolve_database

DEFAULT_DATABASE = Path("data/demo-live.duckdb")
HISTORY = (0, 90, 180)
"""Days on which it has been collected before."""
BEGINS_ON = 269
"""A day before what was looked at three times is due again."""
AHEAD = timedelta(days=60)
"""So much before today the clock begins to run: an hour of watching stays in the past."""
OMDB_QUOTA = 60
"""Requests a day: a thousand would never end with so few movies."""
LATENCY_SECONDS = 0.02
STARTS_AFTER = timedelta(seconds=12)
"""The clock stands until Dagster is there."""
_LOOK_SECONDS = 1.0


def run_live(movies: int, day_seconds: float, port: int, database: Path | None, console: Console) -> None:
    """Serve the demonstration until it is interrupted.

    Args:
        movies: size of the stand-in's catalogue.
        day_seconds: how long a day takes.
        port: of the UI.
        database: a new file; None for the default one, which is made anew each time.
        console: where it is told what happens.

    Raises:
        PortTaken: nothing can be served there.
        SettingsError: the database exists already, or is no demonstration's.
        InUse: somebody uses it.
    """
    file = resolve_database(database or DEFAULT_DATABASE)
    begin = (datetime.now(UTC) - AHEAD).replace(hour=0, minute=0, second=0, microsecond=0)
    start = first_instant((*HISTORY, BEGINS_ON), begin)
    world = World(movies, start.date())
    program = program_name()
    with (
        listen(port) as listener,
        new_database(file, world, replace=database is None),
        world.standin(latency_seconds=LATENCY_SECONDS) as standin,
        only_these_variables({**variables(standin, file), "AYNE_OMDB_DAILY_QUOTA": str(OMDB_QUOTA)}),
    ):
        console.print(f"A stand-in serves {movies:,} invented movies. Nine months pass at once:", soft_wrap=True)
        collect_on(HISTORY, start, standin, settings_for(standin, file), movies, console)
        os.environ["AYNE_CLOCK"] = str(clock := Fast(begin, datetime.now(UTC) + STARTS_AFTER, 86_400 / day_seconds))
        standin.follow(lambda: clock.at(datetime.now(UTC)))
        settings = load_settings()
        with (
            open_instance(settings) as instance,
            served(Path(instance.root_directory)),
            served_beside(settings, partial(examine, settings), min(port + 1, 65535)) as page,
        ):
            os.environ["DAGSTER_HOME"] = instance.root_directory
            if page:
                os.environ["AYNE_DASHBOARD_URL"] = page
            _tell_how_to_watch(file, page, port, day_seconds, program, console)
            with (
                _others_say_it_to(companion(file, "log"), console) as told,
                _telling(Reporter(settings, instance), Plan(begin, standin), told),
            ):
                serve_together(instance, workspace_file(), (), listener)
    console.print("The demonstration has ended; nothing of it is left running.")


def _tell_how_to_watch(
    file: Path, page: str | None, port: int, day_seconds: float, program: str, console: Console
) -> None:
    """Say where to look, and leave the settings for commands beside."""
    settings_file = companion(file, "env")
    settings_file.write_text(
        "".join(f"{name}={shlex.quote(value)}\n" for name, value in os.environ.items() if _is_a_setting(name))
    )
    for line in (
        f"\nNow a day passes in {day_seconds:g} seconds. Watch http://{ADDRESS}:{port} (ready in some seconds), and",
        f"{f'{page} (the dashboard), and ' if page else ''}this terminal. In another one, ask beside:",
        f"  (set -a; . {shlex.quote(str(settings_file))}; {program} due)",
        f"Ctrl-C ends it. What Dagster's processes say is in {companion(file, 'log')}.\n",
    ):
        console.print(line, markup=False, soft_wrap=True)


def _heard(reporter: Reporter, now: datetime) -> Iterator[str]:
    """The news, as far as it can be had: a storage that is busy is asked again in a second."""
    with suppress(Exception):
        yield from reporter.news(now)


@contextmanager
def _others_say_it_to(log: Path, console: Console) -> Iterator[Console]:
    """Within the block, what Dagster and its processes say goes to a file; yields what is still the terminal.

    A run says a hundred lines, all of which are in the UI, too.
    """
    terminal = os.dup(2)
    before = {number: os.dup(number) for number in (1, 2)}
    try:
        with log.open("w") as file, os.fdopen(terminal, "w", encoding="utf-8", errors="replace") as screen:
            for number in before:
                os.dup2(file.fileno(), number)
            yield Console(file=screen, width=console.width, highlight=False, emoji=False, markup=False)
    finally:
        for number, descriptor in before.items():
            os.dup2(descriptor, number)
            os.close(descriptor)


def _is_a_setting(name: str) -> bool:
    return name.startswith(("AYNE_", "TMDB_", "OMDB_"))


@contextmanager
def _telling(reporter: Reporter, plan: Plan, console: Console) -> Iterator[None]:
    """Within the block, have the plan's faults happen in time, and what happens be told."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            now = reporter.now()
            for line in (*plan.carry_out(now), *_heard(reporter, now)):
                console.print(f"{now:%Y-%m-%d %H:%M}  {line}", markup=False, soft_wrap=True)

    thread = threading.Thread(target=look, name="telling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)
