"""The modelled world: it is what the assumptions say, and the same for every policy."""

from __future__ import annotations

import numpy as np
import pytest

from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.world import KNOWN_BEFORE_RELEASE, World

ASSUMED = Assumptions(movies=4000)
DAYS = 200


@pytest.fixture(scope="module")
def world() -> World:
    return World(ASSUMED, DAYS, seed=1)


def total(world: World, what: str) -> int:
    return sum(int(getattr(world, what)(day).times.sum()) for day in range(world.days))


def test_the_same_seed_is_the_same_world_and_another_seed_another(world: World) -> None:
    again, other = World(ASSUMED, DAYS, seed=1), World(ASSUMED, DAYS, seed=2)
    for day in (0, DAYS - 1):
        assert np.array_equal(world.changes(day).movies, again.changes(day).movies)
        assert np.array_equal(world.signals(day).movies, again.signals(day).movies)
        assert not np.array_equal(world.changes(day).movies, other.changes(day).movies)


def test_the_mean_rate_on_the_first_day_is_the_assumed_one(world: World) -> None:
    assert world.rates(0)[world.known(0)].mean() == pytest.approx(ASSUMED.mean_rate)


def test_as_many_movies_are_known_on_the_first_day_as_assumed_and_more_come(world: World) -> None:
    assert world.known(0).sum() == ASSUMED.movies
    assert world.known(DAYS).sum() == world.size > ASSUMED.movies


def test_movies_change_as_often_as_their_rates_say(world: World) -> None:
    expected = sum(float(world.rates(day)[world.known(day)].sum()) for day in range(DAYS))
    assert total(world, "changes") == pytest.approx(expected, rel=0.05)


def test_rates_fall_with_age_and_grow_with_popularity(world: World) -> None:
    age, rates = -world.released, world.rates(0)
    released = age >= 0
    assert rates[released & (age < 365)].mean() > 2 * rates[age > 20 * 365].mean()
    popular = world.popularity(0) > np.median(world.popularity(0))
    assert rates[popular].mean() > 1.5 * rates[~popular].mean()


def test_popularity_is_heavy_tailed_and_fades_after_release(world: World) -> None:
    share = np.sort(world.popularity(0)[world.known(0)])
    assert share[-40:].sum() > 0.15 * share.sum()  # the first hundredth
    new = int(np.flatnonzero(world.released == world.released[world.known(0)].max())[0])
    assert world.popularity(0)[new] == pytest.approx(5 * world._fame[new])
    assert world.popularity(DAYS + 1000)[new] < 1.1 * world._fame[new]


def test_the_feed_tells_of_the_assumed_share_of_changes_and_is_as_often_right() -> None:
    rare = Assumptions(movies=4000, mean_rate=0.001, recall=0.8, precision=0.4)
    world = World(rare, 400, seed=3)
    changed = {(day, int(movie)) for day in range(400) for movie in world.changes(day).movies}
    told = {(day - 1, int(movie)) for day in range(1, 400) for movie in world.signals(day).movies}
    assert len(changed & told) / len(changed) == pytest.approx(0.8, abs=0.03)
    assert len(changed & told) / len(told) == pytest.approx(0.4, abs=0.03)


def test_a_signal_comes_as_late_as_assumed_and_names_a_movie_once() -> None:
    world = World(Assumptions(movies=500, mean_rate=2.0, recall=0.999, precision=0.999, delay_days=3), 20, seed=1)
    assert all(len(world.signals(day).movies) == 0 for day in range(3))
    listed = world.signals(10).movies
    assert len(set(listed.tolist())) == len(listed)
    assert set(world.changes(7).movies.tolist()) - set(listed.tolist()) == set() or len(listed) > 400


def test_nothing_happens_to_a_movie_before_it_is_known(world: World) -> None:
    for day in range(DAYS):
        assert (world.released[world.changes(day).movies] - KNOWN_BEFORE_RELEASE <= day).all()


@pytest.mark.parametrize(
    ("name", "value"), [("movies", 0), ("mean_rate", 0), ("recall", 1.0), ("precision", 0.0), ("rate_spread", -1)]
)
def test_an_impossible_assumption_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Assumptions(**{name: value})
