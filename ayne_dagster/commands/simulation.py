"""`ayne simulate`: options, progress and the printed table. The simulation itself is in `ayne_dagster.simulation`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ayne_dagster.commands.options import FilePath, Number, OneOf, json_option
from ayne_dagster.commands.output import console, fail, print_result, table
from ayne_dagster.refresh.states import COLLECTED, SOURCES
from ayne_dagster.settings.variables import did_you_mean
from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.worlds import WORLDS

if TYPE_CHECKING:
    from ayne_dagster.simulation.run import Case, Result

DEFAULT_MOVIES = 2_000
"""Fewer than the assumptions', so that a first run ends in about a minute."""


def assumption_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each field of `Assumptions` but the number of movies."""
    for parameter in reversed(fields(Assumptions)):
        if parameter.name != "movies":
            name = f"--{parameter.name.replace('_', '-')}"
            kind = click.IntRange(0, 1000) if isinstance(parameter.default, int) else Number(0)
            option = click.option(
                name, type=kind, default=parameter.default, show_default=True, help=parameter.metadata["help"]
            )
            command = option(command)
    return command


@click.command()
@click.option(
    "--movies",
    type=click.IntRange(10, 1_000_000),
    default=DEFAULT_MOVIES,
    show_default=True,
    help="Movies known on the first day.",
)
@click.option("--days", type=click.IntRange(7, 3650), default=730, show_default=True, help="Days that pass.")
@click.option("--seeds", type=click.IntRange(1, 1000), default=1, show_default=True, help="Worlds to average over.")
@click.option("--seed", type=click.IntRange(0, 2**31), default=1, show_default=True, help="The first of the seeds.")
@click.option("--source", "sources", type=OneOf(COLLECTED), multiple=True, help="May be repeated. Default: tmdb.")
@click.option("--policy", "policies", multiple=True, metavar="NAME", help="Repeatable. Default: all.")
@click.option(
    "--budget",
    "budgets",
    type=Number(0, 1000, min_open=True),
    multiple=True,
    help="Multiple of what the age table asks for; repeatable. Default: 1.",
)
@click.option(
    "--world",
    "world_name",
    type=OneOf(list(WORLDS)),
    metavar="NAME",
    help=f"A named world: {', '.join(WORLDS)} (docs/freshness.md).",
)
@click.option("--plot", type=FilePath(), help="Draw into this file: png, svg or pdf.")
@click.option("--processes", type=click.IntRange(1, 256), help="Processes at once. Default: one a processor.")
@assumption_options
@json_option
def simulate(
    movies: int,
    days: int,
    seeds: int,
    seed: int,
    sources: tuple[str, ...],
    policies: tuple[str, ...],
    budgets: tuple[float, ...],
    world_name: str | None,
    plot: Path | None,
    processes: int | None,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Measure the refresh strategies in a modelled world whose every change is known.

    The shipped rules choose what to ask for, day by day; nothing is fetched, and no key or database is needed.
    Freshness is the share of movies whose stored copy equals the truth; see docs/freshness.md.
    """
    from ayne_dagster.simulation.plots import draw
    from ayne_dagster.simulation.report import Report
    from ayne_dagster.simulation.run import cases_of, simulate_all

    try:
        assumptions = Assumptions(movies=movies, **parameters)
        world = WORLDS[world_name or "default"]
        assumptions = world.assumptions(assumptions)
    except ValueError as error:
        raise click.UsageError(f"These assumptions cannot be simulated: {error}.") from None
    chosen = _known_policies(policies)
    _check_plot(plot)
    numbers = range(seed, seed + seeds)
    cases = cases_of(sources or ("tmdb",), chosen, sorted(set(budgets)) or [world.budget or 1.0], numbers)
    if not cases:
        raise click.UsageError("None of these policies is one of its own at this source, so there is nothing to do.")
    with _progress(len(cases)) as done:
        results = simulate_all(assumptions, days, cases, processes or os.cpu_count() or 1, done)
    report = Report(assumptions, days, list(numbers), results).as_json()
    if plot is not None:
        draw(report, plot)
    print_result(report, as_json, _describe)


def _known_policies(names: tuple[str, ...]) -> tuple[str, ...]:
    from ayne_dagster.simulation.policies import POLICIES

    unknown = [name for name in names if name not in POLICIES]
    if unknown:
        meant = did_you_mean(unknown[0], POLICIES)
        raise click.UsageError(f"There is no policy {', '.join(unknown)}; there are {', '.join(POLICIES)}.{meant}")
    return names or tuple(POLICIES)


def _check_plot(file: Path | None) -> None:
    """Find out before minutes of simulation that its result could not be drawn."""
    from ayne_dagster.simulation.plots import FORMATS, PlotsUnavailable, require_matplotlib

    if file is None:
        return
    if file.suffix.lower() not in FORMATS:
        raise click.UsageError(f"{file} cannot be drawn: its name must end in {', '.join(FORMATS)}.")
    if not file.absolute().parent.is_dir():
        raise click.UsageError(f"{file} cannot be written: there is no folder {file.parent}.")
    try:
        require_matplotlib()
    except PlotsUnavailable as error:
        fail(str(error))


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Result], None]]:
    """Progress on stderr: a bar on a terminal, a line a case elsewhere."""
    from rich.progress import Progress

    screen = console(stderr=True)
    if screen.is_terminal:
        with Progress(console=screen, transient=True) as bar:
            task = bar.add_task("Simulating", total=total)
            yield lambda result: bar.advance(task)
        return
    ended: list[Case] = []

    def line(result: Result) -> None:
        ended.append(result.case)
        case = result.case
        text = f"{len(ended)} of {total}: {case.source}, {case.policy}, budget {case.budget:g}, seed {case.seed}"
        screen.print(text, markup=False, soft_wrap=True)

    yield line


def _describe(report: dict[str, Any]) -> Any:
    from rich.console import Group

    from ayne_dagster.simulation.report import table_headings, table_rows

    parts: list[Any] = []
    sources = report["sources"]
    for source, told in sources.items():
        for budget, at_budget in told["budgets"].items():
            rows = table(*table_headings(sources, source, budget))
            rows.padding = (0, 0)  # one space between columns: nine of them fit on 80 characters
            for column in rows.columns[1:]:
                column.justify = "right"
            for policy, row in table_rows(sources, source, budget).items():
                rows.add_row(policy, *row)
            requests = at_budget["requests_a_day"]
            rows.title = f"{SOURCES[source].title}, {budget}×: at most {requests:,.0f} requests a day"
            rows.title_justify = "left"
            parts.append(rows)
        for policy, times in told["times_fewer_requests"].items():
            parts.append(f"{policy} needs {times:.1f} times fewer requests than age_table for its weighted freshness")
    parts.append(_CAPTION.format(movies=report["assumptions"]["movies"], days=report["days"], n=len(report["seeds"])))
    return Group(*parts)


_CAPTION = (
    "{movies:,} movies, {days:,} days, {n} world(s). Freshness: the mean over movies; weighted by popularity, also\n"
    "by year; of new releases. Asked: requests a day. Wasted: found nothing new. Longest: days without a check."
)
