"""What waits and since when, in a warehouse whose movies become due one by one; and how many runs come of it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.refresh.budget import DayBudget, midnight
from ayne_dagster.refresh.gathering import Gathering
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY, COLLECTED, Override, Strategy
from ayne_dagster.warehouse.refresh_metadata import due_movies, new_state_row, set_override
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.schema import REFRESH_METADATA
from ayne_dagster.warehouse.strategies import value_of_refresh
from ayne_dagster.warehouse.waiting import waiting_at
from ayne_dagster_tests.conftest import START
from ayne_dagster_tests.support.samples import create_tables
from ayne_dagster_tests.support.thoroughness import examples

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
OLD = (START - 3000 * DAY).date()
NEW = START.date()


def state(number: int, **columns: Any) -> dict[str, Any]:
    """A movie that was fetched from both sources just now, but for what is said."""
    row = new_state_row(number, START - 100 * DAY, "2017") | {"release_date": OLD, "imdb_id": f"tt{number:07}"}
    for source in COLLECTED:
        row |= {f"{source}_attempted_at": naive_utc(START), f"{source}_checked_at": naive_utc(START)}
    return row | columns


def checked(ago: timedelta, source: str = "tmdb", **columns: Any) -> dict[str, Any]:
    at = naive_utc(START - ago)
    return {f"{source}_attempted_at": at, f"{source}_checked_at": at, **columns}


def fill(connection: duckdb.DuckDBPyConnection, *rows: Mapping[str, Any]) -> None:
    insert_rows(connection, REFRESH_METADATA, rows)


@pytest.mark.parametrize(
    ("columns", "since"),
    [
        (checked(90 * DAY + 3 * HOUR), START - 3 * HOUR),
        (checked(5 * DAY + HOUR, release_date=NEW), START - HOUR),
        (checked(40 * DAY, tmdb_signals=1, tmdb_signalled_at=naive_utc(START - 2 * HOUR)), START - 2 * HOUR),
        (checked(40 * DAY, tmdb_recheck_at=naive_utc(START - 4 * HOUR)), START - 4 * HOUR),
        (
            checked(100 * DAY, tmdb_attempted_at=naive_utc(START - DAY - HOUR), tmdb_failures=1),
            START - HOUR,
        ),
        (
            {"tmdb_attempted_at": None, "tmdb_checked_at": None, "first_seen_at": naive_utc(START - 7 * HOUR)},
            START - 7 * HOUR,
        ),
    ],
    ids=["interval", "young", "signalled", "second look", "backed off", "never fetched"],
)
def test_a_movie_waits_since_the_rule_that_makes_it_due_does(
    connection: duckdb.DuckDBPyConnection, columns: dict[str, Any], since: datetime
) -> None:
    fill(connection, state(1, **columns), state(2))
    found = waiting_at(connection, "tmdb", START, 10)
    assert (set(found.movies), found.since, found.forced, found.lapses) == ({1}, since, False, False)


def test_a_movie_does_not_wait_for_requests_that_are_not_released_yet(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, state(1, **checked(200 * DAY, "omdb")))
    released = START - HOUR
    assert waiting_at(connection, "omdb", START, 10, unspent_since=released).since == released
    assert waiting_at(connection, "omdb", START, 10).since == START - 20 * DAY
    assert waiting_at(connection, "omdb", START, 0).movies == ()


def test_where_more_is_due_than_may_be_asked_for_requests_would_lapse(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, *(state(number, **checked(200 * DAY, "omdb")) for number in range(1, 8)))
    found = waiting_at(connection, "omdb", START, 3, unspent_since=START - 2 * HOUR)
    assert (len(found.movies), found.since, found.lapses) == (3, START - 2 * HOUR, True)
    assert not waiting_at(connection, "omdb", START, 8, unspent_since=START - 2 * HOUR).lapses


def test_a_forced_movie_is_noticed_among_many_that_are_due(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, *(state(number, **checked(200 * DAY)) for number in range(1, 8)), state(9))
    assert not waiting_at(connection, "tmdb", START, 3).forced
    set_override(connection, [9], Override.FORCE, START + MINUTE)
    assert waiting_at(connection, "tmdb", START + MINUTE, 3).forced


BELOW_CEILING = st.one_of(
    st.tuples(st.just("tmdb"), st.lists(st.floats(0, 149), min_size=1, max_size=15)),
    st.tuples(st.just("omdb"), st.lists(st.floats(0, 400), min_size=1, max_size=15)),
)
"""A source, and for how many days movies were not checked at it: less than makes them due a second time."""


@settings(max_examples=examples(15))
@given(BELOW_CEILING, st.booleans())
def test_what_waits_is_what_is_due_and_was_not_due_before_it_waited(
    unchecked: tuple[str, list[float]], by_value: bool
) -> None:
    source, days = unchecked
    with duckdb.connect(config={"threads": 1}) as connection:
        create_tables(connection)
        fill(connection, *(state(n, **checked(ago * DAY, source)) for n, ago in enumerate(days, start=1)))
        strategy: Strategy = value_of_refresh(connection) if by_value else AGE_TABLE_STRATEGY
        found = waiting_at(connection, source, START, 100, strategy=strategy)
        due = due_movies(connection, (source,), START, 100, strategy=strategy)
        assert set(found.movies) == {movie.tmdb_id for movie in due}
        if found.since is not None:
            assert due_movies(connection, (source,), found.since, 1, strategy=strategy)
            before = found.since - MINUTE  # at which a later check is one by a clock that was ahead
            noted = [n for n, ago in enumerate(days, start=1) if START - ago * DAY <= before]
            assert not (noted and due_movies(connection, (source,), before, 1, ids=noted, strategy=strategy))


@dataclass
class Sensor:
    """What the sensor does at each tick, without Dagster: look, gather, and ask for what is due."""

    connection: duckdb.DuckDBPyConnection
    gathering: Gathering
    limit: int = 100
    sources: tuple[str, ...] = ("tmdb",)
    quota: int = 0
    """Of OMDb, a day."""
    runs: int = 0
    asked: int = 0
    lapsed: int = 0
    waits: list[timedelta] = field(default_factory=list)
    """Of each movie that was asked for at TMDB: how long it had been due."""
    used: int = 0
    day: datetime | None = None

    def tick(self, now: datetime) -> None:
        if self.day != midnight(now):
            self.lapsed += self.quota - self.used if self.day else 0
            self.day, self.used = midnight(now), 0
        plan = DayBudget(self.quota, 0, self.used) if self.quota else None
        limits = {"tmdb": self.limit, "omdb": min(self.limit, plan.spendable(now)) if plan else self.limit}
        since = {"tmdb": None, "omdb": plan.unspent_since(now) if plan else None}
        waiting = [waiting_at(self.connection, s, now, limits[s], unspent_since=since[s]) for s in self.sources]
        if self.gathering.decide(waiting, now).ready:
            self.runs += 1
            for source in self.sources:
                self.ask(source, now, limits[source])

    def ask(self, source: str, now: datetime, limit: int) -> None:
        ids = [movie.tmdb_id for movie in due_movies(self.connection, (source,), now, limit)]
        if source == "tmdb":
            self.waits += [
                now - 90 * DAY - row[0].replace(tzinfo=now.tzinfo)
                for row in self.connection.execute(
                    "SELECT tmdb_checked_at FROM refresh_metadata WHERE tmdb_id IN (SELECT unnest(?))", [ids]
                ).fetchall()
            ]
        self.connection.execute(
            f"UPDATE refresh_metadata SET {source}_checked_at = $now, {source}_attempted_at = $now"
            " WHERE tmdb_id IN (SELECT unnest($ids))",
            {"now": naive_utc(now), "ids": ids},
        )
        self.asked += len(ids)
        self.used += len(ids) if source == "omdb" else 0


def trickling(connection: duckdb.DuckDBPyConnection, source: str, movies: int, span: timedelta) -> None:
    """Archived movies whose intervals end one by one within a span from START on."""
    chance = random.Random(7)
    interval = {"tmdb": 90 * DAY, "omdb": 180 * DAY}[source]
    fill(connection, *(state(n, **checked(interval - chance.random() * span, source)) for n in range(1, movies + 1)))


def test_of_200_ticks_at_which_movies_trickle_few_request_a_run_and_none_waits_too_long(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    trickling(connection, "tmdb", 1000, 1000 * MINUTE)
    sensor = Sensor(connection, Gathering(100, 6 * HOUR))
    for minute in range(0, 1000, 5):
        sensor.tick(START + minute * MINUTE)
    assert sensor.asked >= 900
    assert sensor.runs <= 10, "at once, it would have been a run at almost every tick"
    assert max(sensor.waits) <= 6 * HOUR + 5 * MINUTE
    mean = sum(sensor.waits, timedelta()) / len(sensor.waits)
    assert mean <= 90 * DAY * 0.001, "what gathering costs is below a thousandth of the interval"


def test_over_days_with_few_movies_none_waits_longer_than_is_set(connection: duckdb.DuckDBPyConnection) -> None:
    trickling(connection, "tmdb", 60, 10 * DAY)
    sensor = Sensor(connection, Gathering(100, 6 * HOUR))
    for tick in range(0, 11 * 24 * 6, 3):
        sensor.tick(START + tick * 10 * MINUTE)
    assert sensor.asked == 60
    assert sensor.runs <= 40
    assert max(sensor.waits) <= 6 * HOUR + 30 * MINUTE


@pytest.mark.parametrize("quota", [50, 1000])
def test_of_a_scarce_quota_nothing_lapses_and_a_day_takes_few_runs(
    connection: duckdb.DuckDBPyConnection, quota: int
) -> None:
    trickling(connection, "omdb", 3 * quota, DAY / 1000)
    sensor = Sensor(connection, Gathering(100, 6 * HOUR), sources=("omdb",), quota=quota)
    for tick in range(0, 2 * 24 * 6, 2):
        sensor.tick(midnight(START) + DAY + tick * 10 * MINUTE)
    assert sensor.lapsed == 0
    assert sensor.used == quota
    assert sensor.asked == 2 * quota
    assert sensor.runs <= 2 * 13
