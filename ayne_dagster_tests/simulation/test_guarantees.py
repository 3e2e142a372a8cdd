"""What holds whatever the world is like, beyond noise. The worlds are tiny, and so is what they can show: a breach.

With more feeds, worlds and days: `make proof-strategies`.
"""

from __future__ import annotations

import pytest

from proofs.strategies import (
    Size,
    assert_a_feed_makes_nothing_less_fresh,
    assert_alike_no_fewer_are_fresh_than_by_round_robin,
    assert_popular_movies_are_fresher,
)

TINY = Size(movies=100, days=60)


@pytest.mark.parametrize(("recall", "precision"), [(0.1, 0.1), (0.99, 0.1)])
def test_a_feed_however_bad_makes_nothing_less_fresh(recall: float, precision: float) -> None:
    assert_a_feed_makes_nothing_less_fresh(TINY, recall, precision)


@pytest.mark.parametrize("world", ["default", "bursts"])
def test_where_every_movie_counts_alike_no_fewer_are_fresh_than_by_round_robin(world: str) -> None:
    assert_alike_no_fewer_are_fresh_than_by_round_robin(TINY, world)


@pytest.mark.parametrize("source", ["tmdb", "omdb"])
def test_value_of_refresh_keeps_popular_movies_fresher_than_the_age_table(source: str) -> None:
    assert_popular_movies_are_fresher(Size(movies=200, days=50), source, seed=1, first_day=20)
