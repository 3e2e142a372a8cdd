"""Release years: their order, and how a run names those that it touches."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.partitions import (
    FIRST_YEAR,
    LAST_YEAR,
    PARTITION_KEYS,
    UNKNOWN_YEAR,
    describe_years,
    described_years,
    partition_range,
    release_year,
)


def test_unknown_is_the_last_partition_and_years_are_in_order() -> None:
    assert (*(str(year) for year in range(FIRST_YEAR, LAST_YEAR + 1)), UNKNOWN_YEAR) == PARTITION_KEYS


def test_one_undated_movie_among_new_ones_stretches_a_run_over_the_years_to_come_and_no_past_ones() -> None:
    assert partition_range({"2024", UNKNOWN_YEAR}) == ("2024", UNKNOWN_YEAR)
    assert partition_range({UNKNOWN_YEAR}) == (UNKNOWN_YEAR, UNKNOWN_YEAR)


@given(st.sets(st.sampled_from(PARTITION_KEYS)))
def test_what_is_described_is_read_back_in_order(years: set[str]) -> None:
    text = describe_years(years)
    assert described_years(text) == [key for key in PARTITION_KEYS if key in years]
    assert len(text) < 2000, "a tag's value"


def test_a_description_that_somebody_else_wrote_names_no_partition() -> None:
    assert described_years("all of them") == []
    assert described_years("2: 1999, 3000") == ["1999"]


def test_a_date_out_of_bounds_has_no_year() -> None:
    assert release_year(date(LAST_YEAR + 1, 1, 1)) == UNKNOWN_YEAR
