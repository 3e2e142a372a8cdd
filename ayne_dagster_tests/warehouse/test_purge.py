"""What the terms of use forbid to keep is dropped, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ayne_dagster.cli import run
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.refresh.strategy import Reason
from ayne_dagster.warehouse.answers import Answer, ListedMovie
from ayne_dagster.warehouse.care import purge as purge_module
from ayne_dagster.warehouse.care.purge import Dropped, foretell, purge
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_answers, merge_listing
from ayne_dagster.warehouse.refresh_metadata import due_movies
from ayne_dagster.warehouse.schema import OMDB_RATINGS, TMDB_DETAILS
from ayne_dagster_tests.support.samples import everything, opens_elsewhere

NOW = datetime(2026, 6, 30, tzinfo=UTC)


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """Movie 1: listed lately, details 181 days old. 2: all fresh. 3: listed 181 days ago, never fetched."""
    database = Database(tmp_path / "ayne.duckdb")
    with database.transaction() as connection:
        for tmdb_id, listed, fetched in ((1, 10, 181), (2, 10, 179), (3, 181, None)):
            row = {"tmdb_id": tmdb_id, "title": "T", "release_date": date(2020, 1, 1), "release_year": "2020"}
            merge_listing(connection, [ListedMovie(tmdb_id, days_ago(listed), row, "2020")], "run")
            if fetched is not None:
                details = row | {"imdb_id": f"tt000000{tmdb_id}"}
                answer = Answer(tmdb_id, Outcome.FETCHED, days_ago(fetched), details, "2020")
                merge_answers(connection, TMDB_DETAILS, "tmdb", [answer], "run")
                rating = {"tmdb_id": tmdb_id, "release_year": "2020", "imdb_id": f"tt000000{tmdb_id}"}
                answer = Answer(tmdb_id, Outcome.FETCHED, days_ago(fetched), rating, "2020")
                merge_answers(connection, OMDB_RATINGS, "omdb", [answer], "run")
    return database


def ids(database: Database, table: str) -> list[int]:
    with database.connect() as connection:
        return [row[0] for row in connection.execute(f"SELECT tmdb_id FROM {table} ORDER BY 1").fetchall()]


def test_details_older_than_180_days_go_and_younger_ones_stay(database: Database) -> None:
    with database.transaction() as connection:
        dropped = purge(connection, NOW)
    assert dropped["tmdb_details"] == 1
    assert ids(database, "tmdb_details") == [2]


def test_a_movie_whose_details_went_is_due_as_if_never_fetched(database: Database) -> None:
    with database.transaction() as connection:
        purge(connection, NOW)
        due = due_movies(connection, ("tmdb",), NOW, 10, ids=[1])
    assert [movie.reasons["tmdb"] for movie in due] == [Reason.NEVER_FETCHED]
    assert due[0].imdb_id is None


def test_a_movie_not_listed_for_180_days_and_not_fetched_goes_altogether(database: Database) -> None:
    with database.transaction() as connection:
        purge(connection, NOW)
    assert ids(database, "discovered_movies") == ids(database, "refresh_metadata") == [1, 2]


def test_details_without_all_of_their_parts_go_with_their_movie(database: Database) -> None:
    with database.transaction() as connection:
        row = {"tmdb_id": 3, "title": "A film", "release_date": date(2020, 1, 1)}
        answer = Answer(3, Outcome.INCOMPLETE, days_ago(181), row, "2020", 1, "no credits")
        merge_answers(connection, TMDB_DETAILS, "tmdb", [answer], "run")
        assert purge(connection, NOW)["refresh_metadata"] == 1
    assert 3 not in ids(database, "tmdb_details")


def test_history_and_quarantine_from_tmdb_older_than_180_days_go(database: Database) -> None:
    with database.transaction() as connection:
        for days in (181, 179):
            row = {"tmdb_id": 2, "title": f"{days}", "release_date": date(2020, 1, 1), "release_year": "2020"}
            merge_listing(connection, [ListedMovie(2, days_ago(days), row, "2020")], "run")
            answer = Answer(4, Outcome.QUARANTINED, days_ago(days), None, "2020", 1, "bad", b"{")
            merge_answers(connection, TMDB_DETAILS, "tmdb", [answer], "run")
        dropped = purge(connection, NOW)
    assert dropped["quarantine"] == 1
    with database.connect() as connection:
        assert connection.execute("SELECT min(changed_at) FROM movie_history").fetchall()[0][0] >= datetime(2026, 1, 1)  # noqa: DTZ001


def test_a_second_purge_drops_nothing(database: Database) -> None:
    with database.transaction() as connection:
        purge(connection, NOW)
        assert not any(purge(connection, NOW).values())


def test_what_is_foretold_is_what_goes_and_nothing_is_changed(database: Database) -> None:
    with database.transaction() as connection:
        old = {"tmdb_id": 2, "title": "Old", "release_date": date(2020, 1, 1), "release_year": "2020"}
        for days, title in ((181, "Old"), (179, "New")):
            merge_listing(connection, [ListedMovie(2, days_ago(days), old | {"title": title}, "2020")], "run")
        before = everything(connection)
    foretold = foretell(database, NOW)
    with database.transaction() as connection:
        assert everything(connection) == before
        dropped = purge(connection, NOW)
    rows: Counter[str] = Counter()
    for part in foretold:
        rows[part.table] += part.rows
    assert rows == {table: number for table, number in dropped.items() if number}
    told = {(part.table, part.reason): part.examples for part in foretold}
    assert told["tmdb_details", "TMDB has not answered for 180 days"] == ("1 T",)
    assert told["refresh_metadata", "the movie was neither listed nor answered for 180 days"] == ("3 T",)
    assert told["movie_history", "a change at TMDB, older than 180 days"] == ("2 T",)


def test_a_dry_run_holds_up_no_commit(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    drop, free = purge_module._drop, []

    def watched(*arguments: Any) -> Iterator[Dropped]:
        free.append(opens_elsewhere(database.path))
        yield from drop(*arguments)

    monkeypatch.setattr(purge_module, "_drop", watched)
    assert foretell(database, NOW)
    assert free == [True]


def test_a_dry_run_tells_it_and_the_purge_goes_on_to_do_it(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AYNE_DATABASE", str(database.path))
    assert run(["purge", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["would_drop"]
    assert "may be ahead" in told["doubt"], "all of it is old by the clock of today"
    assert run(["purge", "--dry-run"]) == 0
    assert "tmdb_details: TMDB has not answered for 180 days (1 T, 2 T)" in capsys.readouterr().out
    assert ids(database, "tmdb_details") == [1, 2]
    assert run(["purge", "--sure"]) == 0
    assert ids(database, "tmdb_details") == []
    capsys.readouterr()
    assert run(["purge", "--dry-run"]) == 0
    assert capsys.readouterr().out == "Nothing would be dropped.\n"
