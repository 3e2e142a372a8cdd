"""`calculate_refresh_plan` reads whatever a program has at hand: rows, objects, texts, gaps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ayne_dagster
from ayne_dagster.refresh.strategy import (
    AGE_TABLE_STRATEGY,
    Override,
    SourceState,
    as_date,
    as_utc,
    calculate_refresh_plan,
    movie_state,
)
from ayne_dagster_tests.support.states import DAY, INSTANTS, NOW, SECOND, aged, checked, movie, movies
from ayne_dagster_tests.support.thoroughness import examples

ALL = {"needs_tmdb": True, "needs_omdb": True, "needs_numbers": True}
FRESH = {"needs_tmdb": False, "needs_omdb": False, "needs_numbers": False}
CHECKED_AT = {f"{source}_checked_at": NOW - DAY for source in ("tmdb", "omdb", "numbers")}
ROW: dict[str, Any] = {"tmdb_id": 550, "release_date": date(1999, 10, 15), "imdb_id": "tt0137523", **CHECKED_AT}


def test_the_public_name_is_this_function() -> None:
    assert ayne_dagster.calculate_refresh_plan is calculate_refresh_plan


def test_a_movie_of_which_nothing_is_known_needs_all_but_omdb() -> None:
    assert calculate_refresh_plan({}, NOW) == ALL | {"needs_omdb": False}


def test_the_example_of_the_documentation_holds() -> None:
    assert calculate_refresh_plan({"release_date": "1999-10-15", "imdb_id": "tt0137523"}) == ALL


def test_a_mapping_is_read() -> None:
    assert calculate_refresh_plan(ROW, NOW) == FRESH
    assert calculate_refresh_plan(MappingProxyType(ROW), NOW) == FRESH


def test_an_object_is_read() -> None:
    assert calculate_refresh_plan(SimpleNamespace(**ROW), NOW) == FRESH


def test_an_object_may_lack_attributes() -> None:
    @dataclass
    class Movie:
        imdb_id: str
        tmdb_checked_at: datetime

    plan = calculate_refresh_plan(Movie("tt0137523", NOW - DAY), NOW)
    assert plan == {"needs_tmdb": False, "needs_omdb": True, "needs_numbers": True}


def test_a_movie_state_is_taken_as_it_is() -> None:
    assert calculate_refresh_plan(movie(tmdb=checked(DAY)), NOW) == ALL | {"needs_tmdb": False}


@pytest.mark.parametrize(
    "written",
    ["2024-06-14T12:30:00+00:00", "2024-06-14T12:30:00Z", "2024-06-14 12:30:00", "2024-06-14T14:30:00+02:00"],
)
def test_times_may_be_texts(written: str) -> None:
    for offset, due in ((0 * SECOND, True), (-SECOND, False)):
        plan = calculate_refresh_plan({"tmdb_checked_at": written}, datetime(2024, 6, 19, 12, 30, tzinfo=UTC) + offset)
        assert plan["needs_tmdb"] is due


def test_dates_may_be_texts_dates_or_datetimes() -> None:
    for written in ("2024-06-01", "2024-06-01T00:00:00", date(2024, 6, 1), datetime(2024, 6, 1, 5, tzinfo=UTC)):
        state = movie_state({"release_date": written})
        assert state.release_date == date(2024, 6, 1)
        assert type(state.release_date) is date


def test_a_date_as_time_of_a_check_means_its_midnight() -> None:
    assert as_utc(date(2024, 6, 14)) == datetime(2024, 6, 14, tzinfo=UTC)
    assert as_utc("2024-06-14") == datetime(2024, 6, 14, tzinfo=UTC)


def test_naive_times_are_utc_and_others_are_converted() -> None:
    assert as_utc(datetime(2024, 6, 14, 12, tzinfo=UTC).replace(tzinfo=None)) == datetime(2024, 6, 14, 12, tzinfo=UTC)
    assert as_utc(datetime(2024, 6, 14, 12, tzinfo=timezone(timedelta(hours=2)))) == datetime(
        2024, 6, 14, 10, tzinfo=UTC
    )


@pytest.mark.parametrize("gap", [None, math.nan, float("nan"), ""])
@pytest.mark.parametrize("name", sorted(ROW))
def test_a_gap_is_the_same_as_a_missing_key(name: str, gap: object) -> None:
    without = {key: value for key, value in ROW.items() if key != name}
    assert movie_state({**ROW, name: gap}) == movie_state(without)
    assert calculate_refresh_plan({**ROW, name: gap}, NOW) == calculate_refresh_plan(without, NOW)


def test_not_a_time_of_a_data_frame_is_a_gap() -> None:
    class NotATime(datetime):
        def __ne__(self, other: object) -> bool:
            return True

        __hash__ = datetime.__hash__

    assert movie_state({"tmdb_checked_at": NotATime(2024, 1, 1)}).at("tmdb").checked_at is None


@pytest.mark.parametrize("source", ["tmdb", "omdb", "numbers"])
def test_last_update_is_another_name_for_the_check(source: str) -> None:
    at = NOW - DAY
    assert movie_state({f"last_{source}_update": at}).at(source).checked_at == at
    assert not calculate_refresh_plan({"imdb_id": "tt0137523", f"last_{source}_update": at}, NOW)[f"needs_{source}"]


def test_the_column_of_the_warehouse_wins_over_the_other_name() -> None:
    both = {"tmdb_checked_at": NOW - DAY, "last_tmdb_update": NOW - 100 * DAY}
    assert movie_state(both).at("tmdb").checked_at == NOW - DAY


def test_every_column_is_read() -> None:
    row = {
        "tmdb_id": 7.0,
        "unchanged_cycles": 2.0,
        "override": "force",
        "override_at": NOW,
        "tmdb_attempted_at": NOW,
        "tmdb_checked_at": NOW - DAY,
        "tmdb_changed_at": NOW - 2 * DAY,
        "tmdb_failures": 3.0,
        "tmdb_missing_since": NOW - 3 * DAY,
        "tmdb_tombstoned_at": NOW - 4 * DAY,
    }
    state = movie_state(row)
    assert (state.tmdb_id, state.unchanged_cycles, state.override, state.override_at) == (7, 2, Override.FORCE, NOW)
    assert state.at("tmdb") == SourceState(NOW, NOW - DAY, NOW - 2 * DAY, 3, NOW - 3 * DAY, NOW - 4 * DAY)


@pytest.mark.parametrize(
    "row", [{"release_date": "last summer"}, {"tmdb_checked_at": "yesterday"}, {"release_date": "0000-00-00"}]
)
def test_an_unreadable_date_is_an_error_and_no_guess(row: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        calculate_refresh_plan(row, NOW)


def test_an_empty_date_is_unknown_as_tmdb_writes_it() -> None:
    assert as_date("") is None
    assert as_utc("") is None


def test_now_may_be_naive_or_in_another_zone() -> None:
    row = {"tmdb_checked_at": NOW - 5 * DAY}
    elsewhere = NOW.astimezone(timezone(timedelta(hours=-8)))
    for now in (NOW, NOW.replace(tzinfo=None), elsewhere):
        assert calculate_refresh_plan(row, now)["needs_tmdb"]
        assert not calculate_refresh_plan(row, now - SECOND)["needs_tmdb"]


def test_without_now_the_present_decides() -> None:
    just_now = datetime.now(UTC)
    assert not calculate_refresh_plan({"tmdb_checked_at": just_now})["needs_tmdb"]
    assert calculate_refresh_plan({"tmdb_checked_at": just_now - 6 * DAY})["needs_tmdb"]


@settings(deadline=None, max_examples=examples(200))
@given(st.data())
def test_the_same_now_gives_the_same_answer(data: st.DataObject) -> None:
    now = data.draw(INSTANTS)
    state = data.draw(movies(now))
    plan = calculate_refresh_plan(state, now)
    assert plan == calculate_refresh_plan(state, now)
    assert plan == {
        f"needs_{source}": AGE_TABLE_STRATEGY.decide(state, source, now).due for source in ("tmdb", "omdb", "numbers")
    }


def test_a_movie_of_the_default_age_is_planned_by_the_table() -> None:
    row = {"release_date": aged(100).isoformat(), "imdb_id": "tt0137523", "last_tmdb_update": NOW - 15 * DAY}
    row |= {"last_omdb_update": NOW - 29 * DAY}
    assert calculate_refresh_plan(row, NOW) == {"needs_tmdb": True, "needs_omdb": False, "needs_numbers": True}
