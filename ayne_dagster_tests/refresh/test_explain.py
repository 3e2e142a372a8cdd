"""Decisions in a person's words, with rank, budget, dates and numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.refresh.explain import Circumstances, explain
from ayne_dagster.refresh.strategy import (
    SOURCES,
    Feed,
    MovieState,
    Override,
    SourceState,
    Strategy,
    ValueOfRefreshStrategy,
)
from ayne_dagster_tests.support.states import DAY, HOUR, INSTANTS, NOW, STRATEGIES, aged, checked, movie, movies
from ayne_dagster_tests.support.thoroughness import examples

VALUE = ValueOfRefreshStrategy({"tmdb": Feed()})


def told(state: MovieState, source: str, strategy: Strategy, **known: object) -> str:
    """The explanation, with the numbers where the strategy decides by them."""
    worth = strategy.assess(state, source, NOW) if isinstance(strategy, ValueOfRefreshStrategy) else None
    has_feed = isinstance(strategy, ValueOfRefreshStrategy) and source in strategy.feeds
    circumstances = Circumstances(worth=worth, has_feed=has_feed, **known)  # type: ignore[arg-type]
    return explain(state, strategy.decide(state, source, NOW), NOW, circumstances)


def at_omdb(days: float, **fields: object) -> MovieState:
    state = replace(checked(timedelta(days=days)), rate=0.032, exposure=1.0, changes=2.2, **fields)
    return movie(release_date=aged(5000), tmdb=checked(DAY), omdb=state)


def test_a_movie_that_is_due_by_value_is_told_with_its_rank_and_numbers() -> None:
    assert told(at_omdb(41), "omdb", VALUE, rank=312, due_total=1000) == (
        "due, rank 312 of 1,000: checked 41 days ago, 1.3 changes expected, P(stale) 73 %,"
        " rate 0.032/day = bucket 0.02 × 1.6"
    )


def test_a_movie_below_the_cut_off_is_told_with_the_date_at_which_it_reaches_it() -> None:
    state = movie(release_date=aged(5000), tmdb=replace(checked(10 * DAY), rate=0.02))
    text = told(state, "tmdb", ValueOfRefreshStrategy({"tmdb": Feed(recall=0.9)}, cutoff=0.05))
    assert text.startswith("not due: checked 10 days ago, 0.02 changes expected, P(stale) 2 %")
    assert text.endswith(", feed silent, reaches the cut-off about 1 July 2024")


@pytest.mark.parametrize("source", ["tmdb", "omdb"])
def test_a_movie_that_hardly_ever_changes_is_told_when_it_is_asked_for_all_the_same(source: str) -> None:
    state = movie(release_date=aged(5000), **{source: replace(checked(10 * DAY), rate=1e-6)})
    text = told(state, source, VALUE)
    assert text.startswith("not due: checked 10 days ago")
    assert text.endswith(", asked for again about 3 November 2024 whatever it is worth")


def test_a_movie_that_is_due_below_the_cut_off_is_told_why() -> None:
    state = movie(release_date=aged(5000), tmdb=checked(DAY), omdb=replace(checked(151 * DAY), rate=1e-6))
    text = told(state, "omdb", VALUE)
    assert text.startswith("due: checked 151 days ago, 0.00015 changes expected")
    assert text.endswith(", so long ago that it is asked for whatever it is worth")


def test_a_signal_is_told() -> None:
    state = movie(tmdb=replace(checked(3 * DAY), signals=2, signalled_at=NOW))
    assert told(state, "tmdb", STRATEGIES["age table"], rank=1, due_total=9) == (
        "due, rank 1 of 9: checked 3 days ago, and TMDB's feed has signalled 2 changes since"
    )


def test_a_signal_that_is_not_the_sources_own_is_told_as_such() -> None:
    state = movie(omdb=replace(checked(3 * DAY), signals=1, signalled_at=NOW))
    assert told(state, "omdb", STRATEGIES["age table"], rank=1, due_total=9) == (
        "due, rank 1 of 9: checked 3 days ago, and another source has signalled a change since"
    )


def test_a_second_look_is_told() -> None:
    state = movie(tmdb=replace(checked(6 * HOUR), recheck_at=NOW))
    assert "TMDB's answer may have been an older one" in told(state, "tmdb", VALUE)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_budget_that_is_used_up_is_told(name: str) -> None:
    hindrance = "OMDb's 1,000 requests of today are used up; the next are released at 00:00 UTC"
    assert told(movie(), "omdb", STRATEGIES[name], hindrance=hindrance).endswith(f"; but {hindrance}")


def test_a_frozen_movie_is_told_when_the_terms_of_use_ask_for_it() -> None:
    frozen = movie(override=Override.FREEZE, override_at=NOW - DAY, tmdb=checked(DAY))
    assert told(frozen, "tmdb", STRATEGIES["age table"]) == (
        "not due until 2024-12-01 12:30 UTC, when the terms of use ask for it: frozen by hand on 2024-06-14 12:30 UTC"
    )


def test_a_failing_movie_is_told_until_when_it_waits() -> None:
    failing = movie(tmdb=SourceState(attempted_at=NOW - HOUR, failures=3))
    assert told(failing, "tmdb", VALUE) == (
        "not due until 2024-06-19 11:30 UTC: 3 attempts in a row failed, so it waits 4 days"
    )


@settings(deadline=None, max_examples=examples(200))
@given(st.data())
def test_every_decision_of_every_strategy_can_be_told(data: st.DataObject) -> None:
    now = data.draw(INSTANTS)
    state, strategy = data.draw(movies(now)), data.draw(st.sampled_from(list(STRATEGIES.values())))
    for source in SOURCES:
        decision = strategy.decide(state, source, now)
        worth = strategy.assess(state, source, now) if isinstance(strategy, ValueOfRefreshStrategy) else None
        text = explain(state, decision, now, Circumstances(worth=worth))
        assert text.startswith("due: " if decision.due else "not due")
        assert "\n" not in text
