"""What holds whatever the world is like, beyond noise. The worlds are tiny, and so is what they can show: a breach."""

from __future__ import annotations

from functools import lru_cache

import pytest

from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.measure import Figures
from ayne_dagster.simulation.run import Case, simulate
from ayne_dagster.simulation.worlds import WORLDS

MOVIES, DAYS = 150, 100
NOISE = 0.01
"""Two worlds that differ in nothing but their seed differ by more in so small a size; the policies meet the same."""


@lru_cache
def figures(policy: str, source: str, assumptions: Assumptions) -> Figures:
    return simulate(assumptions, DAYS, Case(policy, source, 1.0, seed=1)).series.figures()


@pytest.mark.parametrize("precision", [0.1, 0.5, 0.98])
@pytest.mark.parametrize("recall", [0.1, 0.5, 0.99])
def test_a_feed_however_bad_makes_nothing_less_fresh(recall: float, precision: float) -> None:
    """By weight and by mean taken together: a feed moves requests from the one to the other."""
    with_feed = figures("value_of_refresh_feed", "tmdb", Assumptions(MOVIES, recall=recall, precision=precision))
    without = figures("value_of_refresh", "tmdb", Assumptions(MOVIES))
    assert with_feed.weighted + with_feed.mean >= without.weighted + without.mean - 2 * NOISE


@pytest.mark.parametrize("world", ["default", "pareto", "bursts"])
def test_where_every_movie_counts_alike_no_fewer_are_fresh_than_by_round_robin(world: str) -> None:
    assumptions = WORLDS[world].assumptions(Assumptions(MOVIES))
    ours, round_robin = (figures(policy, "omdb", assumptions) for policy in ("value_all_alike", "round_robin"))
    assert ours.mean >= round_robin.mean - NOISE
