"""What requests buy under the age table and by value: the arithmetic, and when it is worth a word."""

from __future__ import annotations

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.refresh.outlook import LEAST_ANSWERS, Alike, Outlook, outlook

groups = st.lists(
    st.builds(
        Alike, st.integers(1, 500), st.floats(1e-4, 0.5), st.floats(0.05, 50), st.sampled_from([5.0, 15.0, 90.0, 180.0])
    ),
    min_size=1,
    max_size=12,
)


def told(found: Outlook | None) -> Outlook:
    assert found is not None
    return found


def test_movies_asked_for_at_their_interval_are_stale_as_often_as_they_change() -> None:
    found = told(outlook("omdb", [Alike(100, 0.01, 1.0, 50.0)], 1000, 999))
    assert found.demand == pytest.approx(2.0)
    assert found.stale_by_table == pytest.approx(1 - (1 - exp(-0.5)) / 0.5)


def test_a_table_that_asks_for_more_than_there_is_takes_longer_for_all() -> None:
    found = told(outlook("omdb", [Alike(100, 0.01, 1.0, 50.0)], 1, 999))
    assert found.stale_by_table == pytest.approx(1 - (1 - exp(-1.0)) / 1.0)
    # All alike: by value there is nothing to gain.
    assert found.stale_by_value == pytest.approx(found.stale_by_table, abs=1e-3)


def test_requests_that_are_left_unspent_would_keep_movies_fresh() -> None:
    found = told(outlook("tmdb", [Alike(700, 0.01, 1.0, 90.0)], 150, 999))
    assert found.stale_by_table > 0.3
    assert found.stale_by_value < 0.03
    assert found.misfit
    assert str(found) == (
        "TMDB: the age table asks for 8 of 150 requests a day, and leaves about 34 % stale by popularity;"
        " value_of_refresh, which spends them by what changes, about 2 % (by what 999 answers of this collection found)"
    )


def test_scarce_requests_go_to_what_matters() -> None:
    found = told(outlook("omdb", [Alike(1000, 0.005, 0.2, 180.0), Alike(50, 0.01, 20.0, 180.0)], 3, 999))
    assert found.demand > found.quota
    assert found.stale_by_value < found.stale_by_table - 0.1
    assert found.misfit
    assert "which orders them by what changes" in str(found)


def test_a_table_that_fits_its_requests_is_left_in_peace() -> None:
    movies = [Alike(1000, 0.005, 0.2, 180.0), Alike(50, 0.01, 20.0, 180.0)]
    assert not told(outlook("omdb", movies, 8, 999)).misfit


def test_a_table_that_leaves_most_of_twenty_requests_a_day_unspent_is_told_of_within_45_days() -> None:
    answers = round(45 * 20 * 0.12)
    assert told(outlook("tmdb", [Alike(736, 0.008, 1.0, 90.0)], 20, answers)).misfit


def test_it_is_told_how_much_rests_on_belief() -> None:
    movies = [Alike(700, 0.01, 1.0, 90.0, learned=False), Alike(700, 0.01, 1.0, 90.0)]
    found = told(outlook("tmdb", movies, 150, 999))
    assert found.believed == pytest.approx(0.5)
    assert str(found).endswith(
        "(by what 999 answers of this collection found; 50 % of the staleness is belief: movies of that age were hardly"
        " looked at twice)"
    )


def test_nothing_is_said_of_rates_that_were_hardly_learned_or_where_little_is_stale() -> None:
    assert not told(outlook("tmdb", [Alike(700, 0.01, 1.0, 90.0)], 150, LEAST_ANSWERS - 1)).misfit
    assert not told(outlook("tmdb", [Alike(700, 0.0001, 1.0, 90.0)], 150, 999)).misfit


def test_there_is_no_outlook_without_movies_or_requests() -> None:
    assert outlook("tmdb", [], 100, 999) is None
    assert outlook("tmdb", [Alike(1, 0.1, 1.0, 5.0)], 0, 999) is None


@given(groups, st.integers(1, 400))
def test_shares_are_shares_and_more_requests_leave_no_more_stale(found: list[Alike], quota: int) -> None:
    some, more = told(outlook("omdb", found, quota, 999)), told(outlook("omdb", found, 4 * quota, 999))
    for each in (some, more):
        assert 0 <= each.stale_by_value <= 1
        assert 0 <= each.stale_by_table <= 1
    assert more.stale_by_value <= some.stale_by_value + 1e-6
