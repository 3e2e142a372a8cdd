"""What a database notes bears its clock out, or not: a wrong clock removes and mends nothing until a person is sure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from ayne_dagster.refresh.strategy import Override
from ayne_dagster.warehouse.care.witness import HOLE, doubt_of_age, doubt_of_mend, doubt_of_purge
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.refresh_metadata import set_override
from ayne_dagster_tests.support.processes import Ayne
from ayne_dagster_tests.support.samples import DAY, START, details, listed, merge_details, merge_listed, rows

NOW = START


def collected(connection: duckdb.DuckDBPyConnection, *days_ago: float, movies: int = 10) -> None:
    """On each of these days a few movies are asked for, the last ones anew."""
    for number, days in enumerate(days_ago):
        at = NOW - days * DAY
        ids = range(number * movies + 1, (number + 1) * movies + 1)
        merge_listed(connection, *(listed(i, at) for i in ids))
        merge_details(connection, *(details(i, at) for i in ids))


def ahead(days: float) -> datetime:
    return NOW + days * DAY


def test_where_something_is_noted_now_and_then_age_is_believed(connection: duckdb.DuckDBPyConnection) -> None:
    assert doubt_of_age(connection, NOW) is None, "nothing at all is noted"
    collected(connection, *range(300, 0, -30))
    for days in (0, 7, 30):
        assert doubt_of_age(connection, ahead(days)) is None


@pytest.mark.parametrize("days", [90, 365, 4000])
@pytest.mark.parametrize("since", [0, 1, 20])
def test_a_clock_that_is_ahead_leaves_a_hole_by_which_it_is_doubted_though_it_has_noted_something(
    connection: duckdb.DuckDBPyConnection, days: int, since: int
) -> None:
    collected(connection, 20, 10, 1, *(-days - n for n in range(since)))
    told = doubt_of_age(connection, ahead(days + since))
    assert told is not None
    assert f"Nothing was noted from {(NOW - DAY).date()} until" in told
    assert " until now" not in told, "what it noted today itself was noted"


def test_a_pause_is_doubted_for_no_longer_than_what_counts_as_a_hole(connection: duckdb.DuckDBPyConnection) -> None:
    collected(connection, 300, 100, *range(100, 0, -5))
    assert doubt_of_age(connection, NOW) is None
    assert doubt_of_age(connection, NOW - 101 * DAY + HOLE) is not None


def test_a_purge_of_what_few_movies_have_outlived_is_not_doubted(connection: duckdb.DuckDBPyConnection) -> None:
    collected(connection, 190, 100, 50, 1)
    assert doubt_of_purge(connection, NOW) is None
    assert doubt_of_purge(connection, NOW - 20 * DAY) is None, "nothing would go"


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (70, f"Nothing was noted since {(NOW - DAY).date()}"),
        (200, "40 of 40 movies with details would lose these, and 40 of 40 movies go altogether"),
        (5000, f"the last attempt was noted on {(NOW - DAY).date()}"),
    ],
)
def test_a_purge_by_a_clock_that_is_ahead_is_doubted(
    connection: duckdb.DuckDBPyConnection, days: int, told: str
) -> None:
    collected(connection, 160, 110, 50, 1)
    assert told in (doubt_of_purge(connection, ahead(days)) or "")


def test_movies_that_were_only_ever_listed_hide_no_loss_of_all_details(connection: duckdb.DuckDBPyConnection) -> None:
    collected(connection, 200, movies=2)
    merge_listed(connection, *(listed(i, NOW - DAY) for i in range(100, 150)))
    assert "2 of 2 movies with details" in (doubt_of_purge(connection, NOW) or "")


def test_a_mend_is_doubted_where_most_of_the_log_lies_in_the_future(connection: duckdb.DuckDBPyConnection) -> None:
    collected(connection, 30, 20, 10, -400)
    assert doubt_of_mend(connection, NOW) is None
    told = doubt_of_mend(connection, datetime.fromtimestamp(0, UTC))
    assert told is not None
    assert "40 of 40 attempts in the log" in told
    assert "the clock that says 1970-01-01 00:00 UTC: it may be behind" in told


@pytest.fixture
def command(tmp_path: Path) -> Ayne:
    """A database of some movies, one of which a person froze; all of it was noted today."""
    command = Ayne(tmp_path)
    now = datetime.now(UTC)
    with Database(command.database).connect() as connection:
        merge_listed(connection, *(listed(i, now - DAY) for i in range(1, 6)))
        merge_details(connection, *(details(i, now - DAY) for i in range(1, 6)))
        set_override(connection, [1], Override.FREEZE, now)
    return command


def turned(command: Ayne, days: float) -> Ayne:
    return Ayne(command.folder, command.settings | {"AYNE_CLOCK_OFFSET_DAYS": str(days)})


def number(command: Ayne, table: str) -> int:
    with Database(command.database).connect(read_only=True) as connection:
        return len(rows(connection, f"FROM {table}"))


def test_a_purge_under_a_clock_that_is_ahead_drops_nothing_until_a_person_is_sure(command: Ayne) -> None:
    refused = turned(command, 365).call("purge", "--json")
    assert (refused.code, refused.out) == (1, "")
    assert "Nothing was dropped." in refused.complaint
    assert "ayne purge --sure" in refused.complaint
    assert number(command, "refresh_metadata") == number(command, "tmdb_details") == 5
    assert turned(command, 365).call("purge", "--sure", "--json").json["dropped"]["tmdb_details"] == 5


def test_housekeeping_under_a_clock_that_is_ahead_removes_nothing_and_says_so(command: Ayne) -> None:
    with Database(command.database).transaction() as connection:
        connection.execute("INSERT INTO quarantine (source, quarantined_at, body) VALUES ('tmdb', '2024-01-01', 'x')")
    told = turned(command, 500).call("tidy", "--json").json
    assert "Nothing was noted from" in told["doubt"]
    assert "ayne tidy --sure" in turned(command, 500).call("tidy").out
    assert number(command, "quarantine") == 1
    assert turned(command, 500).call("tidy", "--sure", "--json").json["rows"]["quarantine"] == 1


def test_a_mend_under_a_clock_that_is_behind_mends_nothing_until_a_person_is_sure(command: Ayne) -> None:
    behind = turned(command, -3000)
    refused = behind.call("check", "--mend", "--json")
    assert refused.code == 1
    assert "Nothing was mended." in refused.complaint
    assert f"by the clock that says {datetime.now(UTC).date() - timedelta(days=3000)}" in refused.complaint
    assert command.call("check", "--json").json["sound"]
    assert behind.call("check", "--sure").code == 2, "sure of what?"
    assert behind.call("check", "--mend", "--sure", "--json").json["mended"]["fetch_log"] == 5
