"""What each constant of value of refresh is worth: the shipped simulation with one of them changed at a time.

    python -m proofs.one_at_a_time --source omdb --budget 1 --seed 11 --seed 12

Prints by how many points freshness differs from that with the constants as they are, by weight, by mean and of new
releases, and the longest wait (`docs/freshness.md`, "Tried, and not kept"). No seed of the documentation's figures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from unittest import mock

import duckdb

from ayne_dagster.refresh import learning, value, worth
from ayne_dagster.simulation import collector
from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.criteria import DEFAULTS
from ayne_dagster.simulation.measure import Figures, average
from ayne_dagster.simulation.policies import POLICIES, Policy
from ayne_dagster.simulation.run import Case, simulate
from ayne_dagster.simulation.worlds import WORLDS
from ayne_dagster.warehouse import rates, strategies


def constants(**changed: float) -> Callable[[], ExitStack]:
    """Constants at another value, wherever a module has them."""

    def begin() -> ExitStack:
        stack = ExitStack()
        for name, other in changed.items():
            homes = [home for home in (learning, value, worth, rates, strategies, collector) if hasattr(home, name)]
            if not homes:
                raise ValueError(f"no module has a constant {name}")
            for home in homes:
                stack.enter_context(mock.patch.object(home, name, other))
        return stack

    return begin


@contextmanager
def forgetting(half_life_days: float) -> Iterator[None]:
    """What was found counts half after so many days."""
    kept, recalibrate = 0.5 ** (rates.RECALIBRATE_AFTER_DAYS / half_life_days), rates.recalibrate

    def forget(connection: duckdb.DuckDBPyConnection, now: datetime, popularity: rates.Popularity) -> None:
        for source in ("tmdb", "omdb"):
            connection.execute(
                f"UPDATE refresh_metadata SET {source}_exposure = {source}_exposure * {kept},"
                f" {source}_changes = {source}_changes * {kept}"
            )
        recalibrate(connection, now, popularity)

    with mock.patch.object(rates, "recalibrate", forget):
        yield


def _by_popularity_alone() -> dict[str, Policy]:
    """The policies with AYNE_FRESHNESS_WEIGHT at 1."""
    return {name: replace(POLICIES[name], popularity_share=1.0) for name in DEFAULTS.values()}


VARIANTS: Mapping[str, Callable[[], AbstractContextManager[object]]] = {
    "reserve at OMDb 5 %": constants(RESERVE_WITHOUT_CEILING=0.05),
    "reserve at OMDb 1 %": constants(RESERVE_WITHOUT_CEILING=0.01),
    "reserve 10 % where the ceiling cannot be kept": constants(SMALL_RESERVE=0.1),
    "new releases weigh 2": constants(NEW_RELEASE_BOOST=2.0),
    "new releases weigh 1": constants(NEW_RELEASE_BOOST=1.0),
    "no harmonic share": constants(HARMONIC_SHARE=0.0),
    "buckets learn faster": constants(SHRINKAGE=3.0),
    "buckets learn slower": constants(SHRINKAGE=30.0),
    "rates learned every 3 days": constants(RECALIBRATE_AFTER_DAYS=3, _RATES_EVERY_DAYS=3),
    "weight by popularity alone": lambda: mock.patch.dict(POLICIES, _by_popularity_alone()),
    "forgetting, half in 180 days": lambda: forgetting(180),
    "forgetting, half in 365 days": lambda: forgetting(365),
}


def achieved(source: str, budget: float, world: str, seeds: list[int], movies: int, days: int) -> Figures:
    """What value of refresh achieves, over seeds the mean."""
    assumptions = WORLDS[world].assumptions(Assumptions(movies=movies))
    cases = (Case(DEFAULTS[source], source, budget, seed) for seed in seeds)
    return average(simulate(assumptions, days, case).series.figures() for case in cases)


def main() -> int:
    """Print each variant's difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", choices=DEFAULTS, default="omdb")
    parser.add_argument("--world", choices=WORLDS, default="default")
    parser.add_argument("--budget", type=float, default=1.0)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--movies", type=int, default=1_500)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--variant", choices=VARIANTS, action="append")
    told = parser.parse_args()
    where = (told.source, told.budget, told.world, told.seed or [11, 12], told.movies, told.days)
    base = achieved(*where)
    print(
        f"{'as it is':46} {base.weighted:6.4f} {base.mean:6.4f} {base.new_releases:6.4f} {base.longest_unchecked:4.0f}"
    )
    for name in told.variant or VARIANTS:
        with VARIANTS[name]():
            other = achieved(*where)
        points = [100 * (getattr(other, part) - getattr(base, part)) for part in ("weighted", "mean", "new_releases")]
        print(
            f"{name:46} " + " ".join(f"{each:+6.2f}" for each in points) + f" {other.longest_unchecked:4.0f}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
