"""One policy in one world: day by day, what is asked and how fresh the copy is. Seeds in parallel processes.

What is chosen and what an answer means is the policy's; what is true, the world's.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from ayne_dagster.refresh.strategy import AGE_TABLE
from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.collector import ShippedCollector
from ayne_dagster.simulation.measure import NEW_UP_TO_DAYS, Day, Series
from ayne_dagster.simulation.policies import POLICIES, Policy
from ayne_dagster.simulation.world import KNOWN_BEFORE_RELEASE, Numbers, Reals, World
from ayne_dagster.simulation.yardstick import PlainIndex, RoundRobin


@dataclass(frozen=True)
class Case:
    """What to simulate: a policy at a source, a budget as a multiple of the age table's, a seed."""

    policy: str
    source: str
    budget: float
    seed: int


@dataclass(frozen=True)
class Result:
    """A simulated case."""

    case: Case
    budget_per_day: float
    series: Series


def cases_of(
    sources: Iterable[str], policies: Sequence[str], budgets: Sequence[float], seeds: Sequence[int]
) -> list[Case]:
    """All combinations in which the policy is one of its own, seed by seed: a world is made once a process."""
    return [
        Case(policy, source, budget, seed)
        for seed in seeds
        for source in sources
        for budget in budgets
        for policy in policies
        if POLICIES[policy].applies(source)
    ]


class Collector(Protocol):
    """What spends the requests of a day."""

    def begin_day(self, day: int) -> None:
        """Take in what is known before the day's requests: new movies, the change feed."""

    def choose(self, day: int, limit: int) -> Numbers:
        """The movies (numbers from 0) to ask for, at most `limit`."""

    def record(self, movies: Numbers, changed: Numbers, day: int) -> None:
        """Take in the answers: for each movie that answered, 1 if it had changed, else 0."""

    def fail(self, movies: Numbers, day: int) -> None:
        """Take in which requests failed."""


def start_collector(policy: Policy, source: str, world: World, checked: Numbers) -> Collector:
    """A collector that follows a policy at a source, with what was last checked when."""
    match policy.yardstick:
        case None:
            return ShippedCollector(world, source, checked, policy)
        case "round_robin":
            return RoundRobin(world, checked)
        case "plain_index":
            by_popularity, feed = bool(policy.popularity_share), policy.reads_feed(source)
            return PlainIndex(world, checked, by_popularity=by_popularity, feed=feed)


class Copy:
    """The collector's copy of a source: which version of each movie it holds, and since when.

    On the first day everything known has been fetched once, each movie at a moment within the interval that the age
    table gives it, as if the table had long been at work.
    """

    def __init__(self, world: World, source: str) -> None:
        draw = np.random.default_rng([world.seed, 3])
        known = world.known(0)
        longest = np.minimum(table_intervals(world, source, 0), np.maximum(KNOWN_BEFORE_RELEASE - world.released, 1))
        since = np.ceil(draw.uniform(0, longest)).astype(np.int64)
        self.checked: Numbers = np.where(known, -since, world.released - KNOWN_BEFORE_RELEASE)
        """Day of the last check; before the first, the day of discovery."""
        self.stored: Numbers = np.where(known, 0, -1)
        self.true: Numbers = np.where(known, draw.poisson(world.rates(0) * since), 0)

    def fetch(self, movies: Numbers, day: int) -> Numbers:
        """Fetch movies; returns 1 for each that had changed, 0 for the others."""
        changed: Numbers = (self.stored[movies] != self.true[movies]).astype(np.int64)
        self.stored[movies] = self.true[movies]
        self.checked[movies] = day
        return changed


def table_intervals(world: World, source: str, day: int) -> Reals:
    """Days between two checks that the age table gives each movie on a day."""
    age = day - world.released
    bands = [(age <= band.up_to_days, band.interval_days[source]) for band in AGE_TABLE if band.up_to_days is not None]
    conditions, intervals = zip(*bands, strict=True)
    days: Reals = np.select(conditions, intervals, default=AGE_TABLE[-1].interval_days[source]).astype(float)
    return days


def table_spends(world: World, source: str) -> float:
    """Requests a day that the age table asks for while nothing is frozen: the budget that multiples refer to."""
    return float((1 / table_intervals(world, source, 0)[world.known(0)]).sum())


@lru_cache(maxsize=4)
def world_of(assumptions: Assumptions, days: int, seed: int) -> World:
    """The world of a seed, kept for the next policy."""
    return World(assumptions, days, seed)


def simulate(assumptions: Assumptions, days: int, case: Case) -> Result:
    """Simulate one case."""
    world = world_of(assumptions, days, case.seed)
    copy, budget = Copy(world, case.source), case.budget * table_spends(world, case.source)
    collector = start_collector(POLICIES[case.policy], case.source, world, copy.checked)
    return Result(case, budget, play(world, copy, collector, budget))


def play(world: World, copy: Copy, collector: Collector, budget: float) -> Series:
    """Let a collector ask day by day, as many times a day as the budget is, until the world ends."""
    measured = []
    for day in range(world.days):
        limit = int((day + 1) * budget) - int(day * budget)
        collector.begin_day(day)
        asked = collector.choose(day, limit)
        answers = ~world.fails(asked, day)
        changed = copy.fetch(asked[answers], day)
        collector.record(asked[answers], changed, day)
        collector.fail(asked[~answers], day)
        measured.append(_measure(world, copy, day, len(asked), int(changed.sum())))
    return Series.of(measured)


def _measure(world: World, copy: Copy, day: int, asked: int, changed: int) -> Day:
    """Let the day's changes happen, then compare copy and truth."""
    events = world.changes(day)
    copy.true[events.movies] += events.times
    known = world.known(day)
    fresh, weight = (copy.stored == copy.true)[known], world.popularity(day)[known]
    new = (day - world.released)[known] <= NEW_UP_TO_DAYS
    return Day(
        mean=float(fresh.mean()),
        # Not a dot product: BLAS starts a thread a core, which spins between the days and starves the other seeds.
        weighted=float(weight[fresh].sum() / weight.sum()),
        new_releases=float(fresh[new].mean()) if new.any() else float("nan"),
        requests=asked,
        wasted=asked - changed,
        longest_unchecked=int((day - copy.checked[known]).max()),
    )


def simulate_all(
    assumptions: Assumptions, days: int, cases: Sequence[Case], processes: int, done: Callable[[Result], None]
) -> list[Result]:
    """Simulate cases in parallel; `done` hears of each as it ends.

    Returns:
        The results in the order of the cases.
    """
    results = {}
    for result in _results(assumptions, days, cases, processes):
        results[result.case] = result
        done(result)
    return [results[case] for case in cases]


def _results(assumptions: Assumptions, days: int, cases: Sequence[Case], processes: int) -> Iterator[Result]:
    if processes == 1 or len(cases) == 1:
        yield from (simulate(assumptions, days, case) for case in cases)
        return
    # Spawned, not forked: DuckDB's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(min(processes, len(cases)), context, _leave_the_terminal_to_the_parent) as pool:
        futures = [pool.submit(simulate, assumptions, days, case) for case in cases]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            # The pool would wait for the cases under way, each of which may take minutes.
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _leave_the_terminal_to_the_parent() -> None:
    """Ctrl-C and the end of a terminal reach all processes; here they would be the error of one case."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
