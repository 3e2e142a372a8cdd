"""The strategy by its name, and the feeds as far as they have been read."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import duckdb
import pytest

from ayne_dagster.config import STRATEGIES
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY, Feed, Gap, Reason, ValueOfRefreshStrategy
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.refresh_metadata import derive_columns
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.schema import CHANGE_FEED_DAYS, DAILY_FILES, FEED_QUALITY
from ayne_dagster.warehouse.strategies import load_feeds, load_strategy
from ayne_dagster_tests.support.samples import (
    DAY,
    START,
    details,
    listed,
    merge_details,
    merge_listed,
    merge_ratings,
    one,
    ratings,
    rows,
)

Connection = duckdb.DuckDBPyConnection


def day(number: int) -> datetime:
    return datetime(2024, 3, number, tzinfo=UTC)


def read(connection: Connection, *numbers: int, is_covered: bool = True) -> None:
    insert_rows(connection, CHANGE_FEED_DAYS, [{"day": date(2024, 3, n), "covered": is_covered} for n in numbers])


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_that_can_be_set_can_be_loaded(connection: Connection, name: str) -> None:
    assert load_strategy(connection, name).name == name


def test_the_default_is_the_age_table(connection: Connection) -> None:
    assert load_strategy(connection, STRATEGIES[0]) is AGE_TABLE_STRATEGY


def test_an_unknown_strategy_is_refused(connection: Connection) -> None:
    with pytest.raises(ValueError, match="no refresh strategy 'best'"):
        load_strategy(connection, "best")


def test_a_feed_that_was_never_read_is_none(connection: Connection) -> None:
    read(connection, 4, is_covered=False)
    assert load_feeds(connection) == {}


def test_gaps_lie_before_between_and_after_the_days_read(connection: Connection) -> None:
    read(connection, 3, 4, 5, 9)
    read(connection, 6, is_covered=False)
    (feed,) = load_feeds(connection).values()
    assert feed.gaps == (Gap(None, day(3)), Gap(day(6), day(9)), Gap(day(10), None))


def test_a_feed_is_as_good_as_it_was_learned_to_be(connection: Connection) -> None:
    read(connection, 3)
    assert (load_feeds(connection)["tmdb"].recall, load_feeds(connection)["tmdb"].precision) == (0.7, 0.5)
    insert_rows(connection, FEED_QUALITY, [{"source": "tmdb", "recall": 0.7, "precision": 0.2}])
    strategy = load_strategy(connection, "value_of_refresh")
    assert isinstance(strategy, ValueOfRefreshStrategy)
    assert strategy.feeds["tmdb"] == Feed(0.7, 0.2, (Gap(None, day(3)), Gap(day(4), None)))


def test_imdbs_file_is_no_feed_of_omdbs(connection: Connection) -> None:
    file = {"name": "imdb_ratings", "day": day(2).date(), "accepted": True, "read_at": naive_utc(day(2))}
    insert_rows(connection, DAILY_FILES, [file])
    insert_rows(connection, FEED_QUALITY, [{"source": "omdb", "recall": 0.7, "precision": 0.2}])
    read(connection, 3)
    assert load_feeds(connection).keys() == {"tmdb"}


# What answers leave for learning


def asked(answer: Answer, reason: Reason) -> Answer:
    return Answer(**{name: getattr(answer, name) for name in Answer.__slots__} | {"due_because": reason})


def test_the_log_tells_why_a_movie_was_asked_for_and_what_was_known(connection: Connection) -> None:
    merge_details(connection, asked(details(), Reason.NEVER_FETCHED))
    connection.execute("UPDATE refresh_metadata SET tmdb_signals = 2")
    merge_details(connection, asked(details(at=START + 12 * DAY, title="Another"), Reason.CHANGE_FEED))
    found = rows(
        connection, "SELECT due_because, signals, days_since_check, changed FROM fetch_log ORDER BY fetched_at"
    )
    assert found == [("never_fetched", 0, None, True), ("change_feed", 2, 12.0, True)]
    assert one(connection, "refresh_metadata")["tmdb_signals"] == 0


def test_answers_teach_the_rate_of_a_movie(connection: Connection) -> None:
    merge_details(connection, details())
    merge_details(connection, details(at=START + 45 * DAY))
    state = one(connection, "refresh_metadata")
    assert state["tmdb_exposure"] == pytest.approx(0.5)
    assert state["tmdb_rate"] is None
    derive_columns(connection, START + 45 * DAY)
    merge_details(connection, details(at=START + 90 * DAY))
    state = one(connection, "refresh_metadata")
    assert state["tmdb_exposure"] == pytest.approx(1.0)
    assert state["tmdb_rate"] == pytest.approx(1 / 90 / 2)


def test_popularity_is_kept_up_to_date_and_never_forgotten(connection: Connection) -> None:
    merge_listed(connection, listed(popularity=3.0))
    assert one(connection, "refresh_metadata")["popularity"] == 3.0
    merge_details(connection, details(popularity=4.5))
    merge_details(connection, details(at=START + DAY, popularity=None))
    merge_listed(connection, listed(at=START + 2 * DAY, popularity=None))
    assert one(connection, "refresh_metadata")["popularity"] == 4.5


def test_another_imdb_id_forgets_what_was_learned_of_the_other_film(connection: Connection) -> None:
    merge_details(connection, details())
    merge_ratings(connection, ratings())
    merge_ratings(connection, ratings(at=START + 90 * DAY))
    connection.execute("UPDATE refresh_metadata SET omdb_signals = 1")
    merge_details(connection, details(at=START + 91 * DAY, imdb_id="tt0000002"))
    state = one(connection, "refresh_metadata")
    assert (state["omdb_exposure"], state["omdb_changes"], state["omdb_signals"], state["omdb_rate"]) == (0, 0, 0, None)
    assert state["omdb_attempted_at"] == naive_utc(START + timedelta(days=90))
