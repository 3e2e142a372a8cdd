"""The yardsticks by which `proofs.omdb_gap` parts what is lost at OMDb, in small."""

from __future__ import annotations

import numpy as np
import pytest

from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.run import Copy, play, table_spends, world_of
from proofs.omdb_gap import YARDSTICKS, Learner, shares_of_bound

ASSUMED = Assumptions(movies=600, rate_spread=1.5, popularity_spread=0.5)
DAYS = 240


def test_whoever_is_told_the_rates_sooner_keeps_fresher_copies() -> None:
    world, reached = world_of(ASSUMED, DAYS, 1), []
    for start in YARDSTICKS.values():
        copy = Copy(world, "omdb")
        reached.append(play(world, copy, start(world, copy.checked), table_spends(world, "omdb")).figures().weighted)
    assert reached == sorted(reached)
    assert reached[-1] > reached[0] + 0.005


def test_what_is_told_of_a_rate_is_learned_from_answers_too() -> None:
    world = world_of(ASSUMED, DAYS, 1)
    copy = Copy(world, "omdb")
    learner = Learner(world, copy.checked)
    before = learner.expected_factors()
    play(world, copy, learner, 4 * table_spends(world, "omdb"))
    true = np.log(world.own_factor[world.known(0)])
    after = np.log(learner.expected_factors()[world.known(0)])
    assert np.ptp(before) == pytest.approx(0)
    assert np.corrcoef(true, after)[0, 1] > 0.5


def test_no_one_surpasses_the_bound() -> None:
    shares = shares_of_bound(Assumptions(movies=200), 60, 1.0, 1)
    assert all(0.7 < share < 1.03 for share in shares.values()), "a bound is of the expectation, what is reached a draw"
