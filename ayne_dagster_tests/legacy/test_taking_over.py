"""The older collection taken over: every era, twice, half-way, over what is newer, and from files that are none."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ayne_dagster import cli
from ayne_dagster.legacy import reading, taking_over
from ayne_dagster.legacy.reading import Source, WrongFile, open_source, remove_left_copies
from ayne_dagster.legacy.taking_over import LONG_AGO, ImportInterrupted, Report, rehearse, take_over
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.refresh.strategy import Reason
from ayne_dagster.warehouse import database as database_module
from ayne_dagster.warehouse.answers import Answer, ListedMovie
from ayne_dagster.warehouse.care.integrity import check_database
from ayne_dagster.warehouse.care.purge import purge
from ayne_dagster.warehouse.database import Database, DatabaseNotWritten
from ayne_dagster.warehouse.lease import lease
from ayne_dagster.warehouse.merge import merge_answers, merge_listing
from ayne_dagster.warehouse.refresh_metadata import due_movies
from ayne_dagster.warehouse.rows import read_rows
from ayne_dagster.warehouse.schema import HELD_BEFORE, OMDB_RATINGS, REFRESH_METADATA, TABLES, TMDB_DETAILS
from ayne_dagster.warehouse.tables import Table
from ayne_dagster_tests.support.legacy import (
    COMMA_COMPANY,
    ERAS,
    legacy_collection,
    legacy_database,
    make_hostile,
    put_rows,
    write_csv_dumps,
    write_legacy,
    write_parquet_dumps,
)

NOW = datetime(2026, 8, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MOVIES = 60
INVENTED = LONG_AGO.replace(tzinfo=None)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "data" / "ayne.duckdb")


def no_note(text: str) -> None:
    raise AssertionError(f"nothing should have to be waited for: {text}")


def taken(path: Path, database: Database, now: datetime = NOW) -> Report:
    return take_over(path, database, now, no_note)


def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    with database.connect(read_only=True) as connection:
        return connection.execute(sql).fetchall()


def everything(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    with database.connect(read_only=True) as connection:
        return {t.name: connection.execute(f"FROM {t.name} ORDER BY ALL").fetchall() for t in TABLES}


def one(database: Database, sql: str) -> dict[str, Any]:
    with database.connect(read_only=True) as connection:
        found = connection.execute(sql).fetchall()
        assert len(found) == 1
        return dict(zip([column[0] for column in connection.description or ()], found[0], strict=True))


@pytest.mark.parametrize("era", ERAS)
def test_every_era_is_recognised_and_taken_over_whole(tmp_path: Path, database: Database, era: str) -> None:
    made = legacy_collection(MOVIES, NOW, era=era)
    report = taken(write_legacy(tmp_path / "old.duckdb", made, era), database)
    assert report.era == ("C" if era == "C-altered" else era)
    assert report.taken["tmdb_details"] == len(made.tmdb_movies)
    orphans = sum(1 for r in made.omdb_movies if r["imdb_id"].startswith("tt99"))
    assert report.taken["omdb_ratings"] == len(made.omdb_movies) - orphans
    assert report.refused["no_movie"] == orphans
    known = rows(database, "SELECT tmdb_id, imdb_id, tmdb_checked_at FROM refresh_metadata ORDER BY tmdb_id")
    assert known == sorted((r["tmdb_id"], r["imdb_id"] or None, r["last_updated_utc"]) for r in made.tmdb_movies)
    checked = {r["imdb_id"]: r["last_updated_utc"] for r in made.omdb_movies}
    found = rows(database, "SELECT imdb_id, omdb_checked_at FROM refresh_metadata WHERE omdb_checked_at IS NOT NULL")
    assert dict(found) == {imdb_id: at for imdb_id, at in checked.items() if not imdb_id.startswith("tt99")}
    assert check_database(database, NOW).findings == []


@pytest.mark.parametrize("era", ["B", "D4"])
def test_a_second_time_changes_nothing(tmp_path: Path, database: Database, era: str) -> None:
    path = legacy_database(tmp_path, MOVIES, NOW, era)
    first = taken(path, database)
    before = everything(database)
    again = taken(path, database, NOW + timedelta(hours=1))
    assert everything(database) == before
    assert sum(again.taken.values()) == 0
    assert {t: n for t, n in again.known.items() if n} == {t: n for t, n in first.taken.items() if n}
    assert again.refused == first.refused


def test_a_rehearsal_tells_all_and_changes_nothing(tmp_path: Path, database: Database) -> None:
    path = legacy_database(tmp_path, MOVIES, NOW)
    told = rehearse(path, database, NOW)
    assert not database.path.parent.exists()
    with database.connect():
        pass
    content, names = database.path.read_bytes(), sorted(database.path.parent.iterdir())
    assert rehearse(path, database, NOW) == told == taken(path, Database(tmp_path / "other" / "ayne.duckdb"))
    assert (database.path.read_bytes(), sorted(database.path.parent.iterdir())) == (content, names)


def test_the_source_stays_as_it_was(tmp_path: Path, database: Database) -> None:
    path = legacy_database(tmp_path, MOVIES, NOW)
    content, beside = path.read_bytes(), sorted(p.name for p in tmp_path.iterdir())
    path.chmod(0o444)
    taken(path, database)
    assert path.read_bytes() == content
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "data") == beside


def test_what_is_here_and_newer_is_never_overwritten(tmp_path: Path, database: Database) -> None:
    made = legacy_collection(MOVIES, NOW, era="D4")
    newer, older = made.tmdb_movies[-1], made.tmdb_movies[-2]
    with database.transaction() as connection:
        for row, at in ((newer, NOW - timedelta(hours=1)), (older, NOW - 100 * DAY)):
            here = {"tmdb_id": row["tmdb_id"], "title": "Here", "tagline": "Here alone", "imdb_id": row["imdb_id"]}
            here |= {"original_language": "en", "release_date": row["release_date"]}
            answer = Answer(row["tmdb_id"], Outcome.FETCHED, at, here)
            merge_answers(connection, TMDB_DETAILS, "tmdb", [answer], "run")
        rating = {"tmdb_id": newer["tmdb_id"], "imdb_id": newer["imdb_id"], "imdb_rating": 9.9}
        answer = Answer(newer["tmdb_id"], Outcome.FETCHED, NOW - timedelta(hours=1), rating)
        merge_answers(connection, OMDB_RATINGS, "omdb", [answer], "run")
    report = taken(write_legacy(tmp_path / "old.duckdb", made, "D4"), database)
    assert (report.known["tmdb_details"], report.known["omdb_ratings"]) == (1, 1)
    found = dict(rows(database, "SELECT tmdb_id, title FROM tmdb_details WHERE tagline = 'Here alone'"))
    assert found == {newer["tmdb_id"]: "Here", older["tmdb_id"]: older["title"]}
    assert rows(database, f"SELECT imdb_rating FROM omdb_ratings WHERE tmdb_id = {newer['tmdb_id']}") == [(9.9,)]
    # What is complete here stays so: it is not asked for once more.
    due = f"SELECT tmdb_parts_due_at FROM refresh_metadata WHERE tmdb_id IN ({newer['tmdb_id']}, {older['tmdb_id']})"
    assert rows(database, due) == [(None,), (None,)]


def test_movies_last_update_of_the_older_collection_is_not_believed(tmp_path: Path, database: Database) -> None:
    made = legacy_collection(MOVIES, NOW, era="C")
    assert all(movie["last_tmdb_update"] == NOW.replace(tzinfo=None) for movie in made.movies)
    taken(write_legacy(tmp_path / "old.duckdb", made), database)
    latest = max(row["last_updated_utc"] for row in made.tmdb_movies)
    assert rows(database, "SELECT max(tmdb_checked_at) FROM refresh_metadata") == [(latest,)]
    assert rows(database, "SELECT count(*) FROM refresh_metadata WHERE override IS NOT NULL OR frozen") == [(0,)]


def test_companies_with_a_comma_and_codes_are_stored_as_lists(tmp_path: Path, database: Database) -> None:
    made = legacy_collection(MOVIES, NOW)
    made.tmdb_movies[0] |= {
        "production_companies": f"Blue Door,{COMMA_COMPANY}",
        "production_countries": "Soviet Union",
        "genres": "Drama,TV Movie",
    }
    taken(write_legacy(tmp_path / "old.duckdb", made), database)
    found = rows(
        database,
        "SELECT production_companies, production_countries, genres FROM tmdb_details"
        f" WHERE tmdb_id = {made.tmdb_movies[0]['tmdb_id']}",
    )
    assert found == [(["Blue Door", COMMA_COMPANY], ["SU"], ["Drama", "TV Movie"])]


def test_hostile_rows_are_refused_or_repaired_and_told(tmp_path: Path, database: Database) -> None:
    path = legacy_database(tmp_path, MOVIES, NOW)
    make_hostile(path, NOW)
    report = taken(path, database)
    assert report.refused["no_tmdb_id"] == 2
    assert report.refused["no_imdb_id"] == 1
    assert report.repaired["unknown_country"] == 2
    assert report.repaired["unknown_language"] == 1
    assert report.repaired["time_unknown"] == 1
    kept = rows(database, "SELECT subject, reason, body FROM quarantine WHERE source = 'legacy' ORDER BY ALL")
    assert len(kept) == sum(report.refused.values())
    assert json.loads(next(body for subject, _, body in kept if "nm0000001" in subject))["title"] == "A person"
    assert any("movie_id=999999" in subject for subject, _, _ in kept)
    assert rows(database, "SELECT title FROM tmdb_details WHERE tmdb_id = 900001") == [("Odd",)]
    # Two movies with one IMDb id: the answer is that of both.
    assert rows(database, "SELECT tmdb_id, title FROM omdb_ratings WHERE imdb_id = 'tt0900001' ORDER BY 1") == [
        (900_001, None),
        (900_003, None),
    ]
    listed = rows(database, "SELECT tmdb_id, title, release_year FROM discovered_movies")
    assert listed == [(900_007, "Without details", "2003")]
    # Nobody knows when it was fetched: it is here, and due.
    state = rows(
        database,
        "SELECT tmdb_checked_at, tmdb_attempted_at, tmdb_changed_at, tmdb_failures FROM refresh_metadata"
        " WHERE tmdb_id = 900004",
    )
    assert state == [(None, None, None, 0)]
    assert not [at for table in everything(database).values() for row in table for at in row if at == INVENTED]
    before = everything(database)
    taken(path, database)
    assert everything(database) == before
    assert check_database(database, NOW).findings == []


def test_figures_are_found_by_any_number_that_a_movie_has_however_it_is_written(
    tmp_path: Path, database: Database
) -> None:
    path = legacy_database(tmp_path, MOVIES, NOW)
    whole = rehearse(path, Database(tmp_path / "other.duckdb"), NOW)
    assert whole.taken["box_office"] > 0
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE again AS SELECT * REPLACE (CAST(movie_id AS VARCHAR) AS movie_id) FROM movies")
        # Each movie once more, with another number and a later time: its figures are those of the first one.
        connection.execute(
            "INSERT INTO again SELECT * REPLACE ('9' || movie_id AS movie_id, now() AS created_at) FROM movies"
        )
        connection.execute("DROP TABLE movies CASCADE; ALTER TABLE again RENAME TO movies")
    report = taken(path, database)
    assert report.taken["box_office"] == whole.taken["box_office"]
    assert report.refused["no_movie"] == whole.refused["no_movie"]


def test_rows_without_a_key_have_nothing_in_common_and_are_all_kept(tmp_path: Path, database: Database) -> None:
    path = tmp_path / "old.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            """
CREATE TABLE tmdb_movies (tmdb_id VARCHAR, title VARCHAR, last_updated_utc TIMESTAMP);
CREATE TABLE omdb_movies (imdb_id VARCHAR, title VARCHAR, last_updated_utc TIMESTAMP);
INSERT INTO tmdb_movies FROM (VALUES ('None', 'a'), ('None', 'b'), ('-5', 'c'), ('-5', 'd'), (NULL, 'e'), (NULL, 'f')),
    (VALUES (now()));
INSERT INTO omdb_movies FROM (VALUES ('N/A', 'a'), ('N/A', 'b'), ('N/A', 'c'), (NULL, 'd'), (NULL, 'e')),
    (VALUES (now()));
"""
        )
    report = taken(path, database)
    assert report.refused == {"no_tmdb_id": 6, "no_imdb_id": 5}
    assert not report.repaired["duplicate_key"]
    assert rows(database, "SELECT count(DISTINCT body) FROM quarantine WHERE source = 'legacy'") == [(11,)]


def test_doubled_rows_count_once_and_the_latest_wins(tmp_path: Path, database: Database) -> None:
    made = legacy_collection(5, NOW, era="C", orphans=False)
    path = tmp_path / "old.duckdb"
    with duckdb.connect(str(path)) as connection:  # as in-between files are: without keys
        connection.execute("CREATE TABLE movies (movie_id INTEGER, tmdb_id INTEGER, title VARCHAR, release_date DATE)")
        names = ", ".join(f"{name} VARCHAR" for name in made.tmdb_movies[0] if name != "last_updated_utc")
        connection.execute(f"CREATE TABLE tmdb_movies ({names}, last_updated_utc TIMESTAMP)")
        later = made.tmdb_movies[0] | {"title": "Later", "last_updated_utc": NOW.replace(tzinfo=None) - DAY}
        texts = [
            {n: v if n == "last_updated_utc" or v is None else str(v) for n, v in row.items()}
            for row in (later, *made.tmdb_movies)
        ]
        put_rows(connection, "tmdb_movies", texts)
    report = taken(path, database)
    assert (report.taken["tmdb_details"], report.repaired["duplicate_key"]) == (5, 1)
    first = made.tmdb_movies[0]["tmdb_id"]
    assert rows(database, f"SELECT title FROM tmdb_details WHERE tmdb_id = {first}") == [("Later",)]


# What is due afterwards


def due(database: Database, source: str, now: datetime = NOW) -> dict[int, Reason]:
    with database.connect(read_only=True) as connection:
        return {m.tmdb_id: m.reasons[source] for m in due_movies(connection, [source], now, 100_000)}


def test_fresh_answers_are_not_asked_for_and_incomplete_ones_come_last_and_not_all_at_once(
    tmp_path: Path, database: Database
) -> None:
    made = legacy_collection(300, NOW, era="D4", oldest_days=4)
    taken(write_legacy(tmp_path / "old.duckdb", made, "D4"), database)
    never_at_omdb = {r["tmdb_id"] for r in made.tmdb_movies if r["imdb_id"]} - {
        r["tmdb_id"] for r in made.tmdb_movies if r["imdb_id"] in {o["imdb_id"] for o in made.omdb_movies}
    }
    assert due(database, "omdb") == dict.fromkeys(never_at_omdb, Reason.NEVER_FETCHED)
    at_tmdb = due(database, "tmdb")
    assert set(at_tmdb.values()) == {Reason.INCOMPLETE}
    assert len(at_tmdb) < len(made.tmdb_movies) / 10
    # Every one within a month, and then no more.
    within = {movie for movie, reason in due(database, "tmdb", NOW + 30 * DAY).items() if reason}
    assert within == {r["tmdb_id"] for r in made.tmdb_movies}
    with database.connect(read_only=True) as connection:
        order = [m.reasons for m in due_movies(connection, ["tmdb", "omdb"], NOW, 100_000)]
    waits = [r["tmdb"] is Reason.INCOMPLETE and r["omdb"] is not Reason.NEVER_FETCHED for r in order]
    assert waits == sorted(waits)
    assert any(waits)


PARTS = {
    TMDB_DETAILS: {"original_language": "en", "tagline": "One line", "directors": ["A Person"], "cast_names": ["B"]},
    OMDB_RATINGS: {"type": "movie", "plot": "Much happens.", "poster": "https://example.org/p.jpg"},
}
"""What the older collection never asked for, by table."""


def asked_again(
    database: Database, table: Table, source: str, at: datetime, **changes: object
) -> tuple[int, dict[str, int]]:
    """Merge what the source answers about the first movie that is stored: that, and the parts that were never asked
    for; returns its id and what was counted."""
    parts = {name: value for name, value in PARTS[table].items() if name in table.types}
    assert len(parts) >= 3
    with database.transaction() as connection:
        tmdb_id = connection.execute(f"SELECT min(tmdb_id) FROM {table.name}").fetchall()[0][0]
        stored = read_rows(connection, table, [tmdb_id], table.content)[tmdb_id]
        state = read_rows(connection, REFRESH_METADATA, [tmdb_id])[tmdb_id]
        row = stored | parts | changes | {"tmdb_id": tmdb_id, "release_year": state["release_year"]}
        answer = Answer(tmdb_id, Outcome.FETCHED, at, row, state["release_year"], asked_imdb_id=state["imdb_id"])
        merged = merge_answers(connection, table, source, [answer], "again", now=at)
        return tmdb_id, merged.total().not_zero()


@pytest.mark.parametrize(("table", "source"), [(TMDB_DETAILS, "tmdb"), (OMDB_RATINGS, "omdb")])
def test_parts_that_nobody_had_asked_for_are_stored_and_are_no_change(
    tmp_path: Path, database: Database, table: Table, source: str
) -> None:
    taken(legacy_database(tmp_path, MOVIES, NOW), database)
    later = NOW + 40 * DAY
    tmdb_id, counted = asked_again(database, table, source, later)
    assert (counted["unchanged"], counted.get("updated", 0)) == (1, 0)
    stored = one(database, f"FROM {table.name} WHERE tmdb_id = {tmdb_id}")
    assert stored[next(iter(PARTS[table]))] == next(iter(PARTS[table].values()))
    assert rows(database, "FROM movie_history WHERE run_id = 'again'") == []
    assert rows(database, "SELECT changed FROM fetch_log WHERE run_id = 'again'") == [(False,)]
    state = one(database, f"FROM refresh_metadata WHERE tmdb_id = {tmdb_id}")
    assert state[f"{source}_changes"] == 0
    assert state[f"{source}_exposure"] > 0
    assert state[f"{source}_changed_at"] < NOW.replace(tzinfo=None)
    # From now on it is whole: the next difference is one.
    _, counted = asked_again(database, table, source, later + DAY, **{next(iter(PARTS[table])): "xx"})
    assert counted["updated"] == 1


def test_of_what_was_held_another_value_is_a_change(tmp_path: Path, database: Database) -> None:
    taken(legacy_database(tmp_path, MOVIES, NOW), database)
    _, counted = asked_again(database, TMDB_DETAILS, "tmdb", NOW + DAY, title="Another title")
    assert counted["updated"] == 1
    assert rows(database, "SELECT field FROM movie_history WHERE run_id = 'again'") == [("title",)]


@pytest.mark.parametrize(
    ("table", "source", "column", "value"),
    [(TMDB_DETAILS, "tmdb", "revenue", 5_000_000), (OMDB_RATINGS, "omdb", "metascore", 70)],
)
def test_what_the_source_did_not_know_and_now_knows_is_a_change(
    tmp_path: Path, database: Database, table: Table, source: str, column: str, value: int
) -> None:
    made = legacy_collection(MOVIES, NOW)
    for row in (*made.tmdb_movies, *made.omdb_movies):
        row |= {name: None for name in ("revenue", "metascore", "meta_critic_rating") if name in row}
    taken(write_legacy(tmp_path / "old.duckdb", made), database)
    _, counted = asked_again(database, table, source, NOW + DAY, **{column: value})
    assert counted["updated"] == 1
    found = rows(database, "SELECT field, old_value, new_value FROM movie_history WHERE run_id = 'again'")
    assert found == [(column, None, str(value))]
    assert rows(database, "SELECT changed FROM fetch_log WHERE run_id = 'again'") == [(True,)]


def test_an_overview_that_the_first_dumps_do_not_have_is_no_change(tmp_path: Path, database: Database) -> None:
    made = legacy_collection(MOVIES, NOW)
    for row in made.tmdb_movies:
        row["overview"] = None
    taken(write_legacy(tmp_path / "old.duckdb", made), database)
    _, counted = asked_again(database, TMDB_DETAILS, "tmdb", NOW + DAY, overview="Much happens.")
    assert counted["unchanged"] == 1


def test_columns_held_before_are_those_that_an_import_fills(tmp_path: Path, database: Database) -> None:
    taken(legacy_database(tmp_path, MOVIES, NOW), database)
    for table, held in HELD_BEFORE.items():
        columns = next(t for t in TABLES if t.name == table).content
        filled = ", ".join(f"count({name}) AS {name}" for name in columns)
        counted = one(database, f"SELECT {filled} FROM {table}")
        filled_by_it = {name for name, number in counted.items() if number}
        assert held <= filled_by_it
        assert filled_by_it - held <= {"overview", "production_countries", "spoken_languages", "year"}


@pytest.mark.parametrize("outcome", [Outcome.UNAVAILABLE, Outcome.FAILED])
def test_an_attempt_without_an_answer_does_not_stand_for_one(
    tmp_path: Path, database: Database, outcome: Outcome
) -> None:
    path = legacy_database(tmp_path, MOVIES, NOW)
    made = Database(tmp_path / "other.duckdb")
    taken(path, made)
    ids = [row[0] for row in rows(made, "SELECT tmdb_id FROM refresh_metadata ORDER BY 1")]
    at = NOW - timedelta(minutes=1)
    with database.transaction() as connection:
        failed = [Answer(i, outcome, at, None, "unknown") for i in ids]
        merge_answers(connection, TMDB_DETAILS, "tmdb", failed, "run", now=NOW)
    report, whole = taken(path, database), rehearse(path, Database(tmp_path / "third.duckdb"), NOW)
    assert (report.taken, report.refused) == (whole.taken, whole.refused)
    state = one(database, f"FROM refresh_metadata WHERE tmdb_id = {ids[0]}")
    assert state["tmdb_checked_at"] < state["tmdb_attempted_at"] == at.replace(tzinfo=None)
    before = everything(database)
    assert not taken(path, database).taken["tmdb_details"]
    assert everything(database) == before


def test_what_a_purge_dropped_is_taken_over_again(tmp_path: Path, database: Database) -> None:
    path = legacy_database(tmp_path, MOVIES, NOW)
    whole = taken(path, database)
    later = NOW + 200 * DAY
    with database.transaction() as connection:
        purge(connection, later)
    assert rows(database, "SELECT count(*) FROM tmdb_details") == [(0,)]
    again = taken(path, database, later)
    assert again.taken["tmdb_details"] == whole.taken["tmdb_details"]


def test_movies_without_details_are_known_as_of_the_import(tmp_path: Path, database: Database) -> None:
    path = legacy_database(tmp_path, MOVIES, NOW)
    make_hostile(path, NOW)
    taken(path, database)
    seen = rows(database, "SELECT DISTINCT last_seen_at FROM refresh_metadata JOIN discovered_movies USING (tmdb_id)")
    assert seen == [(NOW.replace(tzinfo=None),)]
    with database.transaction() as connection:
        assert purge(connection, NOW + 100 * DAY)["refresh_metadata"] == 0


def test_a_later_file_does_not_put_off_what_is_to_be_asked_for(tmp_path: Path, database: Database) -> None:
    path = legacy_database(tmp_path, MOVIES, NOW)
    taken(path, database)
    due = "SELECT tmdb_id, tmdb_parts_due_at FROM refresh_metadata ORDER BY 1"
    before = rows(database, due)
    assert any(at for _, at in before)
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE tmdb_movies SET last_updated_utc = ?", [NOW.replace(tzinfo=None)])
    report = taken(path, database, NOW + 50 * DAY)
    assert report.taken["tmdb_details"] > 0
    assert rows(database, due) == before


def test_an_imdb_id_is_taken_for_a_movie_that_is_listed_without_one(tmp_path: Path, database: Database) -> None:
    path = legacy_database(tmp_path, MOVIES, NOW)
    with duckdb.connect(str(path)) as connection:
        ((tmdb_id, imdb_id),) = connection.execute(
            "SELECT tmdb_id, imdb_id FROM movies SEMI JOIN omdb_movies USING (imdb_id) LIMIT 1"
        ).fetchall()
        connection.execute("DELETE FROM tmdb_movies WHERE tmdb_id = ?", [tmdb_id])
    with database.transaction() as connection:
        listed = ListedMovie(tmdb_id, NOW - DAY, {"tmdb_id": tmdb_id, "title": "Known"}, "unknown")
        merge_listing(connection, [listed], "run")
    taken(path, database)
    assert one(database, f"FROM refresh_metadata WHERE tmdb_id = {tmdb_id}")["imdb_id"] == imdb_id
    assert rows(database, f"SELECT count(*) FROM omdb_ratings WHERE imdb_id = '{imdb_id}'") == [(1,)]


def test_a_whole_answer_ends_the_wish_for_missing_parts(tmp_path: Path, database: Database) -> None:
    taken(legacy_database(tmp_path, MOVIES, NOW), database)
    movie = next(iter(due(database, "tmdb", NOW + 4 * DAY)))
    at = NOW + 4 * DAY
    with database.transaction() as connection:
        whole = {"tmdb_id": movie, "title": "Whole", "original_language": "en"}
        merge_answers(connection, TMDB_DETAILS, "tmdb", [Answer(movie, Outcome.FETCHED, at, whole)], "run")
    assert rows(database, f"SELECT tmdb_parts_due_at FROM refresh_metadata WHERE tmdb_id = {movie}") == [(None,)]
    assert movie not in due(database, "tmdb", at + timedelta(hours=1))


def test_what_is_older_than_the_terms_allow_is_due_at_once_and_dropped_by_a_purge(
    tmp_path: Path, database: Database
) -> None:
    made = legacy_collection(MOVIES, NOW - 200 * DAY, era="D4")
    report = taken(write_legacy(tmp_path / "old.duckdb", made, "D4"), database)
    assert report.past_terms == MOVIES
    assert set(due(database, "tmdb").values()) == {Reason.CEILING}
    with database.transaction() as connection:
        purge(connection, NOW)
    # OMDb's answers were paid for, and are under no such terms.
    assert rows(database, "SELECT count(*) FROM tmdb_details") == [(0,)]
    assert rows(database, "SELECT count(*) FROM omdb_ratings") == [(len(made.omdb_movies),)]
    assert rows(database, "SELECT count(*) FROM refresh_metadata") == [(MOVIES,)]


# Dumps of era A


@pytest.mark.parametrize("write", [write_csv_dumps, write_parquet_dumps])
def test_dumps_are_taken_over(tmp_path: Path, database: Database, write: Any) -> None:
    made = legacy_collection(MOVIES, NOW, era="D4")
    report = taken(write(tmp_path / "dumps", made), database)
    assert (report.era, report.taken["tmdb_details"]) == ("A", MOVIES)
    found = rows(database, "SELECT tmdb_id, title, release_date, budget FROM tmdb_details ORDER BY tmdb_id")
    assert found == [
        (r["tmdb_id"], r["title"], r["release_date"], r["budget"] or None)
        for r in sorted(made.tmdb_movies, key=lambda r: r["tmdb_id"])
    ]
    before = everything(database)
    taken(tmp_path / "dumps", database)
    assert everything(database) == before
    assert check_database(database, NOW).findings == []


def test_a_dump_without_times_fills_the_tables_and_leaves_the_movies_due(tmp_path: Path, database: Database) -> None:
    made = legacy_collection(MOVIES, NOW, era="D4")
    report = taken(write_csv_dumps(tmp_path / "dumps", made), database)
    assert report.taken["omdb_ratings"] == len(made.omdb_movies)
    assert report.refused == {"unreadable": 3}, "three lines are empty"
    asked = due(database, "omdb")
    assert set(asked.values()) == {Reason.NEVER_FETCHED}
    votes = rows(database, "SELECT imdb_id, imdb_votes, runtime FROM omdb_ratings ORDER BY imdb_id")
    expected = [(r["imdb_id"], r["imdb_votes"], r["runtime"]) for r in made.omdb_movies]
    assert votes == sorted(expected)


def test_lines_of_a_dump_that_are_no_rows_are_refused(tmp_path: Path, database: Database) -> None:
    folder = write_csv_dumps(tmp_path / "dumps", legacy_collection(5, NOW, era="D4"))
    with (folder / "02_movie_features.csv").open("ab") as file:
        file.write(b"1;2;3\n")
    report = taken(folder, database)
    assert report.refused["unreadable"] == 4, "and three that are empty"
    ((subject, reason),) = rows(database, "SELECT subject, reason FROM quarantine WHERE subject LIKE '02%.csv%'")
    assert subject == "02_movie_features.csv row 7"
    assert reason == "It is no row"


@pytest.mark.parametrize("later", ["Three", '"Three"', "Three\n" * 3])
def test_a_quote_that_is_never_closed_costs_the_line_that_it_is_in_alone(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, later: str
) -> None:
    monkeypatch.setattr(reading, "LONGEST_FIELD", 400)
    dump = tmp_path / "tmdb_movies.csv"
    quoted = later if later.count("\n") == 0 else f'"{later}"'
    more = "".join(f"{number},Number {number},Released,90,Drama\n" for number in range(10, 60))
    dump.write_text(
        "tmdb_id,title,status,runtime,genres\n1,One,Released,90,Drama\n"
        f'2,"Two,Released,91,Drama\n3,{quoted},Released,92,\n{more}'
    )
    report = taken(dump, database)
    assert report.refused == {"unreadable": 1}
    ids = [row[0] for row in rows(database, "SELECT tmdb_id FROM tmdb_details ORDER BY 1")]
    assert ids == [1, 3, *range(10, 60)]
    assert rows(database, "SELECT title FROM tmdb_details WHERE tmdb_id = 3")[0][0].split()[0] == "Three"
    body = rows(database, "SELECT body FROM quarantine")[0][0]
    assert body.startswith("a quote in it is not closed")
    assert body.rstrip().endswith('2,"Two,Released,91,Drama')


def test_a_dump_of_few_columns_is_one_of_details_where_any_of_them_is(tmp_path: Path, database: Database) -> None:
    dump = tmp_path / "small.csv"
    dump.write_text("tmdb_id,imdb_id,title,release_date,budget,genre_name\n1,tt0000001,One,1999-03-31,63000000,Drama\n")
    assert taken(dump, database).taken["tmdb_details"] == 1
    assert rows(database, "SELECT budget, genres, runtime FROM tmdb_details") == [(63_000_000, ["Drama"], None)]


def test_a_dump_of_a_listing_alone_is_no_details(tmp_path: Path, database: Database) -> None:
    dump = tmp_path / "base.csv"
    dump.write_text("id,tmdb_id,title,release_date,vote_count\n7,1,One,1999-03-31,90\n")
    assert "tmdb_details" not in taken(dump, database).taken
    assert rows(database, "SELECT tmdb_id, title FROM discovered_movies") == [(1, "One")]


def test_a_dump_in_utf_16_is_read(tmp_path: Path, database: Database) -> None:
    dump = tmp_path / "tmdb_movies.csv"
    dump.write_text("tmdb_id,title,status,runtime,genres\n1,Amélie,Released,122,Comedy\n", encoding="utf-16")
    taken(dump, database)
    assert rows(database, "SELECT title, runtime FROM tmdb_details") == [("Amélie", 122)]


def test_a_dump_of_another_encoding_is_read(tmp_path: Path, database: Database) -> None:
    folder = tmp_path / "dumps"
    folder.mkdir()
    line = "ID;TITLE;STATUS;RUNTIME\n7;Amélie à Paris;Released;120\n"
    (folder / "02_movie_features.csv").write_bytes(line.encode("cp1252"))
    taken(folder, database)
    assert rows(database, "SELECT title FROM tmdb_details") == [("Amélie à Paris",)]


# Locks, kills, files that are none


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    """A database that another process has open to write."""
    path = legacy_database(tmp_path, MOVIES, NOW)
    hold = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]);"
        " c.execute(\"UPDATE tmdb_movies SET title = 'In the log'\"); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield path
        assert holder.stdin is not None
        holder.stdin.close()


def test_a_file_that_another_program_holds_is_read_from_a_copy_with_its_log(held: Path, database: Database) -> None:
    report = taken(held, database)
    assert report.was_copied
    assert rows(database, "SELECT DISTINCT title FROM tmdb_details") == [("In the log",)]
    assert not [p for p in database.path.parent.iterdir() if p.name.startswith(".ayne-legacy")]


def test_a_source_that_breaks_while_it_is_read_is_told_as_the_source_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = legacy_database(tmp_path, 3_000, NOW)
    content = bytearray(source.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300_000] = b"\xa5" * 300_000
    source.write_bytes(content)
    database = tmp_path / "data" / "ayne.duckdb"
    monkeypatch.setenv("AYNE_DATABASE", str(database))
    for arguments in ((), ("--dry-run",)):
        assert cli.run(["import-legacy", str(source), *arguments]) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"ayne: {source} cannot be read"), told
        assert told.count("\n") == 1
        assert not database.exists()


@pytest.mark.parametrize("error", [duckdb.IOException("Corrupt"), duckdb.OutOfMemoryException("no more")])
def test_what_the_source_cannot_give_is_never_told_as_a_fault_of_ours(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    path = legacy_database(tmp_path, 5, NOW)

    def fails(*_: object) -> object:
        raise error

    monkeypatch.setattr(Source, "_rows", fails)
    with pytest.raises(WrongFile, match=re.escape(str(path))):
        taken(path, database)
    assert not database.path.exists()
    assert not [f for f in database.path.parent.iterdir() if f.suffix != ".lease"]


def test_what_does_not_fit_into_memory_goes_beside_the_database_and_nothing_of_it_stays(
    tmp_path: Path, database: Database
) -> None:
    path = legacy_database(tmp_path, 5, NOW)
    database.path.parent.mkdir()
    sources = [path, write_csv_dumps(tmp_path / "dumps", legacy_collection(5, NOW))]
    before = sorted(tmp_path.iterdir())
    for source in sources:
        with open_source(source, database.path.parent) as opened:
            opened.connection.execute("SET memory_limit = '20MB'; SET threads = 1")
            opened.connection.execute(
                "CREATE TEMP TABLE much AS SELECT md5(CAST(i AS VARCHAR)) FROM range(1000000) t(i)"
            )
            assert list(database.path.parent.glob(".ayne-legacy-*"))
        assert list(database.path.parent.iterdir()) == []
        assert sorted(tmp_path.iterdir()) == before


def test_a_database_that_was_made_meanwhile_is_added_to(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, insert = legacy_database(tmp_path, MOVIES, NOW), taking_over.insert_rows

    def somebody_makes_one(*arguments: Any) -> None:
        insert(*arguments)
        if not database.path.exists():
            with database.transaction() as connection:
                listed = ListedMovie(77_777_777, NOW, {"tmdb_id": 77_777_777, "title": "Theirs"}, "unknown")
                merge_listing(connection, [listed], "run")

    monkeypatch.setattr(taking_over, "insert_rows", somebody_makes_one)
    report = taken(path, database)
    assert rows(database, "SELECT count(*) FROM tmdb_details") == [(report.taken["tmdb_details"],)]
    assert rows(database, "SELECT title FROM discovered_movies WHERE tmdb_id = 77777777") == [("Theirs",)]
    assert not list(database.path.parent.glob(".ayne-*"))


def test_the_database_itself_is_refused_at_once(database: Database) -> None:
    with database.connect():
        pass
    for import_of in (lambda: taken(database.path, database), lambda: rehearse(database.path, database, NOW)):
        with pytest.raises(WrongFile, match="is the database of this platform"):
            import_of()


def test_a_signal_in_the_middle_takes_nothing_over_and_says_so(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = legacy_database(tmp_path, MOVIES, NOW)
    with database.connect():
        pass
    before, merge = everything(database), taking_over.merge_answers

    def interrupted(*arguments: Any, **more: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return merge(*arguments, **more)

    monkeypatch.setattr(taking_over, "merge_answers", interrupted)
    with pytest.raises(ImportInterrupted, match="nothing was taken over") as raised:
        taken(path, database)
    assert raised.value.exit_code == 130
    assert everything(database) == before
    monkeypatch.undo()
    assert taken(path, database).taken["tmdb_details"] > MOVIES


@pytest.mark.parametrize(
    "moment",
    ["while the source is opened", "before the database is opened", "while the database is opened", "between the rows"],
)
def test_a_signal_at_any_time_before_the_commit_leaves_no_database_where_there_was_none(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path = legacy_database(tmp_path, MOVIES, NOW)
    where: dict[str, tuple[Any, str]] = {
        "while the source is opened": (Source, "read_through"),
        "before the database is opened": (database_module, "_require_no_device"),
        "while the database is opened": (database_module, "_require_whole"),
        "between the rows": (taking_over, "merge_answers"),
    }
    module, name = where[moment]
    step = getattr(module, name)

    def interrupted(*arguments: Any, **more: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return step(*arguments, **more)

    monkeypatch.setattr(module, name, interrupted)
    with pytest.raises(ImportInterrupted, match="nothing was taken over"):
        taken(path, database)
    assert not database.path.exists()
    assert not list(tmp_path.rglob(".ayne-*"))


def test_a_signal_that_comes_too_late_is_told_so(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = legacy_database(tmp_path, MOVIES, NOW)
    insert = taking_over.insert_rows  # of the quarantine, last of all

    def interrupted(*arguments: Any) -> None:
        insert(*arguments)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(taking_over, "insert_rows", interrupted)
    with pytest.raises(ImportInterrupted, match="everything was taken over"):
        taken(path, database)
    assert rows(database, "SELECT count(*) > 0 FROM tmdb_details") == [(True,)]


def test_lists_decimals_views_and_other_names_of_tables_are_read(tmp_path: Path, database: Database) -> None:
    path = tmp_path / "odd.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            """
CREATE TABLE base (TMDB_ID INTEGER, Title VARCHAR, genres VARCHAR[], budget DECIMAL(18, 2), runtime DECIMAL(9, 1),
    release_date DATE, status VARCHAR, last_updated_utc DATE);
INSERT INTO base VALUES (7, 'A film', ['Drama', 'Comedy'], 1200000.00, 96.0, DATE '2001-02-03', 'Released',
    DATE '2026-08-01');
CREATE VIEW "TMDB_Movies" AS FROM base;
"""
        )
    report = taken(path, database)
    assert report.taken["tmdb_details"] == 1
    found = one(database, "FROM tmdb_details")
    assert (found["genres"], found["budget"], found["runtime"]) == (["Drama", "Comedy"], 1_200_000, 96)
    state = one(database, "FROM refresh_metadata")
    assert state["tmdb_checked_at"] == datetime(2026, 8, 1, tzinfo=UTC).replace(tzinfo=None)


def test_the_era_is_told_by_names_in_any_case(tmp_path: Path, database: Database) -> None:
    path = tmp_path / "upper.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE TMDB_MOVIES (TMDB_ID INTEGER, TITLE VARCHAR);"
            "CREATE TABLE SCHEMA_MIGRATIONS (VERSION INTEGER); INSERT INTO SCHEMA_MIGRATIONS VALUES (3)"
        )
    assert rehearse(path, database, NOW).era == "D3"


def test_a_schema_that_is_newer_than_known_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = legacy_database(tmp_path, 5, datetime.now(UTC), era="D4")
    monkeypatch.setenv("AYNE_DATABASE", str(tmp_path / "data" / "ayne.duckdb"))
    assert cli.run(["import-legacy", str(path), "--dry-run"]) == 0
    assert "newer than" not in capsys.readouterr().out
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE schema_migrations SET version = 5 WHERE version = 4")
    assert cli.run(["import-legacy", str(path), "--dry-run"]) == 0
    assert "its schema is newer than" in capsys.readouterr().out


def test_empty_tables_are_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_legacy(tmp_path / "old.duckdb", legacy_collection(0, NOW, era="B", orphans=False), "B")
    monkeypatch.setenv("AYNE_DATABASE", str(tmp_path / "data" / "ayne.duckdb"))
    assert cli.run(["import-legacy", str(path), "--dry-run"]) == 0
    assert "era B; no rows" in capsys.readouterr().out


def test_copies_that_a_killed_import_has_left_are_removed_when_they_are_old(tmp_path: Path) -> None:
    for number, name in enumerate((".ayne-legacy-abc", ".ayne-rehearsal-def", ".ayne-other-x", "ayne-legacy-y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "copy.duckdb").write_bytes(b"x")
        os.utime(tmp_path / name / "copy.duckdb", (number, number))
        os.utime(tmp_path / name, (number, number))
    (tmp_path / ".ayne-legacy-new").mkdir()
    assert remove_left_copies(tmp_path, NOW.timestamp()) == 2
    assert sorted(f.name for f in tmp_path.iterdir()) == [".ayne-legacy-new", ".ayne-other-x", "ayne-legacy-y"]


def test_an_error_in_the_middle_leaves_the_database_as_it_was(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = legacy_database(tmp_path, MOVIES, NOW)
    with database.connect():
        pass
    before = everything(database)

    def fails(*_: object, **__: object) -> None:
        raise DatabaseNotWritten("no room")

    for step in ("merge_figures", "insert_rows"):
        with monkeypatch.context() as patched:
            patched.setattr(taking_over, step, fails)
            with pytest.raises(DatabaseNotWritten):
                taken(path, database)
        assert everything(database) == before


def test_a_kill_in_the_middle_leaves_the_database_as_it_was(tmp_path: Path, database: Database) -> None:
    path = legacy_database(tmp_path, MOVIES, NOW)
    with database.connect():
        pass
    before = everything(database)
    dies = (
        "import os, sys; from pathlib import Path; from datetime import datetime, UTC;"
        " from ayne_dagster.legacy import taking_over as t; from ayne_dagster.warehouse.database import Database;"
        " t.merge_figures = lambda *_: os.kill(os.getpid(), 9);"
        " t.take_over(Path(sys.argv[1]), Database(Path(sys.argv[2])), datetime.now(UTC), print)"
    )
    done = subprocess.run([sys.executable, "-c", dies, path, database.path], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert everything(database) == before
    assert taken(path, database).taken["tmdb_details"] > MOVIES


def test_an_import_waits_for_a_collection(tmp_path: Path, database: Database) -> None:
    path = legacy_database(tmp_path, 5, NOW)
    told: list[str] = []

    class Waited(Exception):
        pass

    def stop(text: str) -> None:
        told.append(text)
        raise Waited

    with lease(database.path, "omdb", no_note), pytest.raises(Waited):
        take_over(path, database, NOW, stop)
    assert "omdb" in told[0]
    assert not database.path.exists()


def bad_files(folder: Path) -> dict[str, Path]:
    """Files of which nothing can be taken over, by what is said of them."""
    (folder / "empty.duckdb").write_bytes(b"")
    (folder / "text.duckdb").write_text("no database at all\n" * 1000)
    (folder / "folder").mkdir()
    (folder / "text.csv").write_text("a;b\n1;2\n")
    (folder / "no_row.csv").write_text("tmdb_id,title,runtime\n" + "1,One\n" * 50)
    (folder / "broken.parquet").write_text("PAR1 and nothing else")
    os.mkfifo(folder / "pipe")
    with duckdb.connect(str(folder / "foreign.duckdb")) as connection:
        connection.execute("CREATE TABLE movies (id INTEGER, title VARCHAR)")
    with Database(folder / "ours.duckdb").connect():
        pass
    whole = legacy_database(folder, 200, NOW)
    (folder / "cut.duckdb").write_bytes(whole.read_bytes()[: 3 * 4096 + 100])
    with duckdb.connect() as connection:
        secret = folder / "secret.duckdb"
        connection.execute("SET force_mbedtls_unsafe = 'true'")  # it need not be secure
        connection.execute(f"ATTACH '{secret}' AS secret (ENCRYPTION_KEY 'of no use')")
        connection.execute("CREATE TABLE secret.movies (tmdb_id INTEGER)")
    newer = bytearray(whole.read_bytes())
    newer[12:20] = (200).to_bytes(8, "little")  # the version of the storage, in the main header
    (folder / "newer.duckdb").write_bytes(newer)
    return {
        "There is nothing at": folder / "nowhere.duckdb",
        "is empty": folder / "empty.duckdb",
        "cannot be read": folder / "text.duckdb",
        "holds no CSV or Parquet": folder / "folder",
        "holds no CSV or Parquet file": folder / "text.csv",
        "50 lines and not one row that can be read (no_row.csv row 2 has 2 fields": folder / "no_row.csv",
        "cannot be read as": folder / "broken.parquet",
        "is a device, pipe or socket": folder / "pipe",
        "of another program": folder / "foreign.duckdb",
        "is a database of this platform": folder / "ours.duckdb",
        "cannot be read as a": folder / "cut.duckdb",
        "cannot be read as a database": folder / "secret.duckdb",
        "cannot be read as a database or": folder / "newer.duckdb",
    }


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_a_file_of_which_nothing_can_be_taken_over_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    (tmp_path / "files").mkdir()
    database = Database(tmp_path / "data" / "ayne.duckdb")
    with database.connect():
        pass
    content = database.path.read_bytes()
    monkeypatch.setenv("AYNE_DATABASE", str(database.path))
    for said, path in bad_files(tmp_path / "files").items():
        assert cli.run(["import-legacy", str(path), *arguments]) == 2, path
        printed = capsys.readouterr()
        assert said in printed.err, (path, printed.err)
        assert printed.err.count("\n") == 1, printed.err
        assert printed.out == ""
        assert database.path.read_bytes() == content


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read_is_wrong_usage(tmp_path: Path, database: Database) -> None:
    path = legacy_database(tmp_path, 5, NOW)
    path.chmod(0)
    with pytest.raises(taking_over.WrongFile, match="Permission denied"):  # type: ignore[attr-defined]
        taken(path, database)


def test_the_command_tells_counts_as_json_and_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = legacy_database(tmp_path, MOVIES, datetime.now(UTC))
    monkeypatch.setenv("AYNE_DATABASE", str(tmp_path / "data" / "ayne.duckdb"))
    assert cli.run(["import-legacy", str(path), "--dry-run", "--json"]) == 0
    rehearsed = json.loads(capsys.readouterr().out)
    assert not (tmp_path / "data").exists()
    assert cli.run(["import-legacy", str(path), "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert rehearsed["dry_run"]
    assert not done["dry_run"]
    assert rehearsed["taken"] == done["taken"]
    assert cli.run(["import-legacy", str(path)]) == 0
    assert "tmdb_details: here already, as new or newer" in capsys.readouterr().out
