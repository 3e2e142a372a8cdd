"""Every number of the collection's statistics, and checks that find a planted fault."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import pytest

from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.refresh.strategy import Override, ValueOfRefreshStrategy
from ayne_dagster.warehouse.refresh_metadata import set_override
from ayne_dagster.warehouse.row_checks import count_of, duplicate_keys, misplaced_rows, orphans
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.schema import (
    ANSWER_TABLES,
    COLLECTION_STATUS,
    DISCOVERED_MOVIES,
    OMDB_RATINGS,
    REFRESH_METADATA,
    TMDB_DETAILS,
    Table,
)
from ayne_dagster.warehouse.statistics import (
    collection_stats,
    overdue_by_category,
    record_stats,
)
from ayne_dagster_tests.support.samples import (
    DAY,
    HOUR,
    START,
    details,
    listed,
    merge_details,
    merge_listed,
    merge_money,
    merge_ratings,
    money,
    ratings,
    rows,
    without_row,
)

Connection = duckdb.DuckDBPyConnection
NOW = START


def released(age: int) -> date:
    return (NOW - timedelta(days=age)).date()


@pytest.fixture
def filled(connection: Connection) -> Connection:
    """Ten movies: two recent, one undated, two established, three mature, two archived, one of them frozen."""
    ages = {1: 0, 2: 60, 3: None, 4: 61, 5: 180, 6: 181, 7: 300, 8: 365, 9: 366, 10: 9000}
    dates = {i: None if age is None else released(age) for i, age in ages.items()}
    merge_listed(connection, *(listed(i, NOW - DAY, release_date=when) for i, when in dates.items()))
    merge_details(
        connection,
        *(details(i, NOW - HOUR, release_date=dates[i], imdb_id=f"tt{i:07}") for i in (1, 4, 6, 10)),
        details(9, NOW - HOUR, release_date=dates[9], imdb_id=None),
        without_row(Outcome.QUARANTINED, 7, NOW - HOUR, body=b"{"),
        without_row(Outcome.QUARANTINED, 8, NOW - HOUR, body=b"{"),
    )
    merge_ratings(
        connection, ratings(1, year="2024", imdb_id="tt0000001"), ratings(4, year="2023", imdb_id="tt0000004")
    )
    merge_ratings(connection, without_row(Outcome.ABSENT, 6))
    merge_money(connection, money(1, year="2024"), money(4, year="2023"))
    set_override(connection, [10], Override.FREEZE, NOW)
    return connection


EXPECTED = {
    "total_movies": 10,
    "with_tmdb": 5,
    "with_omdb": 2,
    "with_box_office": 2,
    "fully_refreshed": 4,
    "frozen": 1,
    "recent": 3,
    "established": 2,
    "mature": 3,
    "archived": 2,
    "quarantined": 2,
}


def test_every_number_is_right(filled: Connection) -> None:
    assert collection_stats(filled, NOW) == EXPECTED


def test_categories_are_as_of_now(filled: Connection) -> None:
    later = collection_stats(filled, NOW + DAY)
    assert [later[name] for name in ("recent", "established", "mature", "archived")] == [2, 2, 3, 3]


def test_an_empty_warehouse_has_zeros(connection: Connection) -> None:
    assert collection_stats(connection, NOW) == dict.fromkeys(EXPECTED, 0)


def test_statistics_can_be_recorded(filled: Connection) -> None:
    assert record_stats(filled, NOW) == EXPECTED
    cursor = filled.execute("SELECT * FROM collection_status")
    names = [column[0] for column in cursor.description]
    assert [dict(zip(names, row, strict=True)) for row in cursor.fetchall()] == [
        {"observed_at": naive_utc(NOW), **EXPECTED}
    ]
    assert names == list(COLLECTION_STATUS.column_names)


def test_a_second_count_at_the_same_instant_replaces_the_first(filled: Connection) -> None:
    record_stats(filled, NOW)
    filled.execute("DELETE FROM quarantine")
    record_stats(filled, NOW)
    record_stats(filled, NOW + DAY)
    assert rows(filled, "SELECT quarantined FROM collection_status ORDER BY observed_at") == [(0,), (0,)]


def test_overdue_movies_are_counted_by_category(filled: Connection) -> None:
    due_now = {"recent": 2, "established": 1, "mature": 0, "archived": 0}  # two of the mature back off
    assert overdue_by_category(filled, NOW, ("tmdb",)) == due_now
    assert overdue_by_category(filled, NOW) == due_now
    in_a_month = overdue_by_category(filled, NOW + 40 * DAY, ("tmdb",))
    assert sum(in_a_month.values()) == 8


def test_what_is_only_next_by_the_index_is_not_overdue(connection: Connection) -> None:
    merge_details(connection, details(1, NOW - 100 * DAY), details(2, NOW - DAY))
    connection.execute("UPDATE refresh_metadata SET tmdb_signals = 1 WHERE tmdb_id = 2")
    strategy = ValueOfRefreshStrategy()
    now = {"now": naive_utc(NOW)}
    assert connection.execute(strategy.due_count_query(("tmdb",)), now).fetchall() == [(2, 2)]
    assert sum(overdue_by_category(connection, NOW, ("tmdb",), strategy=strategy).values()) == 1


def test_a_movie_is_not_overdue_as_soon_as_it_is_found(connection: Connection) -> None:
    merge_listed(connection, listed(1, NOW))
    assert sum(overdue_by_category(connection, NOW, ("tmdb",)).values()) == 1
    assert sum(overdue_by_category(connection, NOW, ("tmdb",), patience=HOUR).values()) == 0
    assert sum(overdue_by_category(connection, NOW + HOUR, ("tmdb",), patience=HOUR).values()) == 1


def test_a_movie_is_overdue_when_it_was_due_all_the_while(connection: Connection) -> None:
    merge_details(connection, details(1, NOW - 100 * DAY), details(2, NOW - HOUR))
    later = NOW + 400 * DAY
    assert sum(overdue_by_category(connection, later, ("tmdb",), patience=DAY).values()) == 2
    merge_details(connection, details(1, later))
    assert sum(overdue_by_category(connection, later, ("tmdb",), patience=DAY).values()) == 1


def test_nothing_overdue_is_zeros(connection: Connection) -> None:
    assert overdue_by_category(connection, NOW) == dict.fromkeys(("recent", "established", "mature", "archived"), 0)


# Planted faults


@pytest.mark.parametrize("table", [*ANSWER_TABLES, REFRESH_METADATA], ids=lambda table: table.name)
def test_sound_tables_have_no_faults(filled: Connection, table: Table) -> None:
    assert (
        count_of(filled, duplicate_keys(table)),
        count_of(filled, misplaced_rows(table)),
        count_of(filled, orphans(table)),
    ) == (0, 0, 0)


@pytest.mark.parametrize("table", [*ANSWER_TABLES, REFRESH_METADATA], ids=lambda table: table.name)
def test_a_doubled_key_is_found_where_the_file_does_not_enforce_keys(filled: Connection, table: Table) -> None:
    filled.execute(f"CREATE TEMP TABLE copied AS FROM {table.name}")
    filled.execute(f"DROP TABLE {table.name}")
    filled.execute(f"CREATE TABLE {table.name} AS FROM copied UNION ALL (FROM copied WHERE tmdb_id IN (1, 4))")
    assert count_of(filled, duplicate_keys(table)) == 2


@pytest.mark.parametrize("table", ANSWER_TABLES, ids=lambda table: table.name)
@pytest.mark.parametrize("year", ["'1901'", "NULL"])
def test_a_row_in_another_partition_than_its_movie_is_found(filled: Connection, table: Table, year: str) -> None:
    filled.execute(f"UPDATE {table.name} SET release_year = {year} WHERE tmdb_id IN (1, 4)")
    assert count_of(filled, misplaced_rows(table)) == 2
    assert all(count_of(filled, misplaced_rows(other)) == 0 for other in ANSWER_TABLES if other is not table)


@pytest.mark.parametrize("year", ["'1901'", "'unknown'", "NULL"])
def test_a_movie_in_a_partition_that_is_not_its_release_year_is_found(filled: Connection, year: str) -> None:
    filled.execute(f"UPDATE refresh_metadata SET release_year = {year} WHERE tmdb_id = 1")
    assert count_of(filled, misplaced_rows(REFRESH_METADATA)) == 1


def test_an_undated_movie_in_a_year_is_found(filled: Connection) -> None:
    filled.execute("UPDATE refresh_metadata SET release_year = '1901' WHERE tmdb_id = 3")
    assert count_of(filled, misplaced_rows(REFRESH_METADATA)) == 1


@pytest.mark.parametrize(
    ("year", "partition"),
    [
        (FIRST_YEAR - 1, "unknown"),
        (FIRST_YEAR, str(FIRST_YEAR)),
        (LAST_YEAR, str(LAST_YEAR)),
        (LAST_YEAR + 1, "unknown"),
    ],
)
def test_the_bounds_of_the_partitions_are_those_of_the_check(connection: Connection, year: int, partition: str) -> None:
    merge_listed(connection, listed(release_date=date(year, 7, 1)))
    assert rows(connection, "SELECT release_year FROM refresh_metadata") == [(partition,)]
    assert count_of(connection, misplaced_rows(REFRESH_METADATA)) == 0


@pytest.mark.parametrize("table", [DISCOVERED_MOVIES, TMDB_DETAILS, OMDB_RATINGS], ids=lambda table: table.name)
def test_a_row_of_no_known_movie_is_found(filled: Connection, table: Table) -> None:
    filled.execute("DELETE FROM refresh_metadata WHERE tmdb_id IN (1, 4)")
    assert count_of(filled, orphans(table)) == 2
