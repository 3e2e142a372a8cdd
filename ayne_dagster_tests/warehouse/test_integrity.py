"""`check_database`: a sound database is called so, and each kind of damage is named."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.refresh.strategy import Override
from ayne_dagster.warehouse.answers import QuarantinedBody
from ayne_dagster.warehouse.care.integrity import ROWS_OF, Finding, Report, check_database, describe
from ayne_dagster.warehouse.care.purge import purge
from ayne_dagster.warehouse.database import CONNECTION_CONFIG, Database, DatabaseBusy, DatabaseUnusable
from ayne_dagster.warehouse.merge import merge_answers, quarantine
from ayne_dagster.warehouse.refresh_metadata import derive_columns, set_override
from ayne_dagster.warehouse.schema import ANSWER_TABLES, SCHEMA_VERSION, TMDB_DETAILS
from ayne_dagster.warehouse.spool import SET_ASIDE, spool_folder
from ayne_dagster.warehouse.statistics import record_stats
from ayne_dagster_tests.support.samples import (
    DAY,
    HOLD,
    HOUR,
    START,
    details,
    line,
    listed,
    merge_details,
    merge_listed,
    merge_money,
    merge_ratings,
    money,
    python,
    ratings,
    without_row,
)
from ayne_dagster_tests.support.schema_v1 import make_version_1

NOW = START + 30 * DAY


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all that a collection rightfully leaves: changes, failures, absences, quarantine, overrides."""
    database = Database(tmp_path_factory.mktemp("whole") / "ayne.duckdb")
    with database.connect() as connection:
        merge_listed(connection, *(listed(number) for number in range(1, 13)))
        at = START + HOUR
        merge_details(connection, *(details(number, at, imdb_id=f"tt000000{number}") for number in range(1, 9)))
        merge_details(connection, without_row(Outcome.NOT_FOUND, 9, at), without_row(Outcome.FAILED, 10, at))
        merge_details(connection, without_row(Outcome.QUARANTINED, 11, at, body=b"{"))
        merge_ratings(connection, *(ratings(n, at + HOUR, imdb_id=f"tt000000{n}") for n in range(1, 7)))
        merge_ratings(connection, without_row(Outcome.ABSENT, 7, at + HOUR))
        merge_money(connection, *(money(n, at + HOUR) for n in (1, 6)), without_row(Outcome.ABSENT, 7, at + HOUR))
        merge_details(connection, details(1, at + DAY, imdb_id="tt0000001", title="Renamed"))
        merge_details(connection, details(2, at + DAY, imdb_id="tt0000002", release_date=None))
        merge_details(connection, without_row(Outcome.FAILED, 3, at + DAY))
        merge_details(connection, details(4, at + DAY, imdb_id="tt4444444"))
        quarantine(connection, [QuarantinedBody("tmdb", "discover, page 7", at, "no JSON", b"<html>")], "run-2")
        set_override(connection, [5], Override.FREEZE, NOW)
        derive_columns(connection, NOW)
        record_stats(connection, NOW)
    return database.path


@pytest.fixture
def sound(database: Database, whole: Path) -> Database:
    """A copy of it."""
    shutil.copyfile(whole, database.path)
    return database


def damaged(database: Database, sql: str) -> Report:
    with duckdb.connect(str(database.path), config=CONNECTION_CONFIG) as connection:
        connection.execute(sql)
    return check_database(database, NOW)


def broken(report: Report) -> set[tuple[str, str]]:
    return {(finding.code, finding.where) for finding in report.findings}


def test_what_a_collection_leaves_is_sound(sound: Database) -> None:
    report = check_database(sound, NOW)
    assert report.findings == []
    assert report.sound
    assert (report.version, report.movies, report.notes) == (SCHEMA_VERSION, 12, [])


def test_what_a_purge_leaves_is_sound(sound: Database) -> None:
    with sound.connect() as connection:
        merge_ratings(connection, ratings(1, START + 3 * HOUR + DAY, imdb_id="tt0000001", imdb_rating=1.0))
        later = START + 200 * DAY
        connection.execute("BEGIN")
        dropped = purge(connection, later)
        connection.execute("COMMIT")
    assert dropped["refresh_metadata"]
    assert check_database(sound, later).findings == []


def test_an_imdb_id_that_changes_and_changes_back_is_sound(sound: Database) -> None:
    with sound.connect() as connection:
        for number, imdb_id in enumerate(("tt9999999", "tt0000006"), 3):
            merge_details(connection, details(6, START + number * DAY, imdb_id=imdb_id))
    assert check_database(sound, NOW).findings == []


def test_what_an_incomplete_answer_leaves_is_sound(sound: Database) -> None:
    with sound.connect() as connection:
        for number in (20, 1):
            merge_details(connection, replace(details(number, NOW - HOUR), outcome=Outcome.INCOMPLETE, reason="TMDB"))
    assert check_database(sound, NOW).findings == []


def test_what_a_clock_that_was_behind_leaves_is_sound_and_worth_a_note_until_the_next_collection(
    sound: Database,
) -> None:
    behind = NOW - 3650 * DAY
    answers = (details(1, behind), without_row(Outcome.FAILED, 2, behind + HOUR), details(1, NOW), details(2, NOW))
    left = (1, 2, 1, 0)
    for answer, number in zip(answers, left, strict=True):
        with sound.transaction() as connection:
            merge_answers(connection, TMDB_DETAILS, "tmdb", [answer], "run", now=answer.at)
        report = check_database(sound, NOW)
        assert report.findings == []
        notes = [note.split(" at TMDB")[0] for note in report.notes if "by a clock that was behind" in note]
        assert notes == ([f"{number} movie(s) were asked for"] if number else [])


def test_a_new_database_is_sound(database: Database) -> None:
    with database.connect():
        pass
    assert check_database(database, NOW).sound


def _twice(table: str) -> str:
    """A table that lost its key, with a row in it twice."""
    return f"CREATE OR REPLACE TABLE {table} AS FROM {table}; INSERT INTO {table} FROM {table} LIMIT 1"


DAMAGE = {
    "a movie twice": (_twice("tmdb_details"), {("duplicate_key", "tmdb_details")}),
    "a state twice": (_twice("refresh_metadata"), {("duplicate_key", "refresh_metadata")}),
    "an observation twice": (_twice("collection_status"), {("duplicate_key", "collection_status")}),
    "a row without a key": (
        "CREATE OR REPLACE TABLE omdb_ratings AS FROM omdb_ratings; INSERT INTO omdb_ratings (title) VALUES ('?')",
        {("missing_key", "omdb_ratings"), ("orphan", "omdb_ratings")},
    ),
    "no state": (
        "DELETE FROM refresh_metadata WHERE tmdb_id = 6",
        {("orphan", table.name) for table in ANSWER_TABLES},
    ),
    "no state, with history": (
        "DELETE FROM refresh_metadata WHERE tmdb_id = 1",
        {("orphan", table.name) for table in ANSWER_TABLES} | {("unknown_history", "movie_history")},
    ),
    "details gone": ("DELETE FROM tmdb_details WHERE tmdb_id = 6", {("missing_row", "tmdb_details")}),
    "ratings gone": ("DELETE FROM omdb_ratings WHERE tmdb_id = 6", {("missing_row", "omdb_ratings")}),
    "details of which the state knows nothing": (
        "UPDATE refresh_metadata SET tmdb_checked_at = NULL WHERE tmdb_id = 6",
        {("missing_check", "tmdb_details")},
    ),
    "ratings of which the state knows nothing": (
        "UPDATE refresh_metadata SET omdb_checked_at = NULL WHERE tmdb_id = 6",
        {("missing_check", "omdb_ratings")},
    ),
    "a check that the log has not": (
        "DELETE FROM fetch_log WHERE tmdb_id = 6 AND source = 'omdb'",
        {("log", "refresh_metadata")},
    ),
    "a check that came back": (
        "UPDATE refresh_metadata SET tmdb_checked_at = tmdb_checked_at - INTERVAL 1 DAY,"
        " tmdb_changed_at = NULL WHERE tmdb_id = 6",
        {("log", "refresh_metadata")},
    ),
    "an attempt that the log has not": (
        "DELETE FROM fetch_log WHERE tmdb_id = 10",
        {("log", "refresh_metadata")},
    ),
    "details in another year": (
        "UPDATE tmdb_details SET release_year = '2001' WHERE tmdb_id = 6",
        {("misplaced", "tmdb_details")},
    ),
    "a state in another year": (
        "UPDATE refresh_metadata SET release_date = DATE '2001-01-01' WHERE tmdb_id = 6",
        {("misplaced", "refresh_metadata")},
    ),
    "a check in the future": (
        "UPDATE refresh_metadata SET tmdb_checked_at = '2999-01-01', tmdb_attempted_at = '2999-01-01'"
        " WHERE tmdb_id = 6;"
        "UPDATE fetch_log SET fetched_at = '2999-01-01' WHERE tmdb_id = 6 AND source = 'tmdb'",
        {("future", "refresh_metadata"), ("future", "fetch_log")},
    ),
    "a discovery in the future": (
        "UPDATE refresh_metadata SET first_seen_at = '2999-01-01' WHERE tmdb_id = 6",
        {("future", "refresh_metadata")},
    ),
    "a count in the future": (
        "UPDATE collection_status SET observed_at = '2999-01-01'",
        {("future", "collection_status")},
    ),
    "a check after the attempt": (
        "UPDATE refresh_metadata SET tmdb_attempted_at = tmdb_attempted_at - INTERVAL 1 HOUR WHERE tmdb_id = 6",
        {("order", "refresh_metadata"), ("log", "refresh_metadata")},
    ),
    "a check without an attempt": (
        "UPDATE refresh_metadata SET tmdb_attempted_at = NULL WHERE tmdb_id = 6",
        {("order", "refresh_metadata")},
    ),
    "a change after the check": (
        "UPDATE refresh_metadata SET tmdb_changed_at = tmdb_changed_at + INTERVAL 1 HOUR WHERE tmdb_id = 6",
        {("order", "refresh_metadata")},
    ),
    "negative failures": (
        "UPDATE refresh_metadata SET omdb_failures = -1 WHERE tmdb_id = 6",
        {("counter", "refresh_metadata")},
    ),
    "unknown signals": (
        "UPDATE refresh_metadata SET tmdb_signals = NULL WHERE tmdb_id = 6",
        {("counter", "refresh_metadata")},
    ),
    "negative cycles": (
        "UPDATE refresh_metadata SET unchanged_cycles = -3 WHERE tmdb_id = 6",
        {("counter", "refresh_metadata")},
    ),
    "negative requests": ("UPDATE fetch_log SET requests = -1 WHERE tmdb_id = 6", {("counter", "fetch_log")}),
    "an override that means nothing": (
        "UPDATE refresh_metadata SET override = 'maybe' WHERE tmdb_id = 6",
        {("override", "refresh_metadata")},
    ),
    "a column gone": ("ALTER TABLE quarantine DROP COLUMN body", {("schema_column", "quarantine")}),
    "a column of another type": (
        "ALTER TABLE fetch_log ALTER requests TYPE VARCHAR USING 'some'",
        {("schema_column", "fetch_log")},
    ),
    "a table gone": ("DROP TABLE feed_quality", {("schema_table", "feed_quality")}),
    "the view gone": ("DROP VIEW movies", {("schema_table", "movies")}),
    "no version": ("DROP TABLE warehouse_schema", {("schema_version", "warehouse_schema")}),
    "a newer version": (
        f"UPDATE warehouse_schema SET version = {SCHEMA_VERSION + 1}",
        {("schema_version", "warehouse_schema")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(sound: Database, damage: str) -> None:
    sql, expected = DAMAGE[damage]
    report = damaged(sound, sql)
    assert broken(report) == expected
    assert not report.sound
    for finding in report.findings:
        assert finding.count >= 1
        assert finding.what.endswith(".")
        assert finding.do
        assert "\n" not in finding.what + finding.do


def test_a_finding_tells_how_many_rows_and_which(sound: Database) -> None:
    (finding,) = damaged(sound, "UPDATE refresh_metadata SET tmdb_failures = -1 WHERE tmdb_id BETWEEN 1 AND 7").findings
    assert finding.count == 7
    assert finding.what == "7 movie(s) have tmdb_failures negative or unknown; it starts at 0."
    assert len(finding.examples) == 5
    assert set(finding.examples) <= {str(number) for number in range(1, 8)}
    assert describe(finding)["examples"] == list(finding.examples)


def test_a_key_that_is_not_declared_is_worth_a_note(sound: Database) -> None:
    report = damaged(sound, "CREATE OR REPLACE TABLE tmdb_details AS FROM tmdb_details")
    assert report.sound
    assert ["tmdb_details declares no key" in note for note in report.notes] == [True]


def test_answers_that_wait_are_worth_a_note(sound: Database) -> None:
    spool = spool_folder(sound.path)
    spool.mkdir()
    (spool / "1.json").write_text("{}")
    report = check_database(sound, NOW)
    assert report.sound
    assert report.notes == ["1 file(s) of answers wait in ayne.duckdb.spool: the next collection takes them in."]
    (spool / "1.json").rename(spool / f"1{SET_ASIDE}")
    (note,) = check_database(sound, NOW).notes
    assert "could not be merged, and were set aside" in note


def test_an_older_schema_is_checked_as_far_as_it_goes_and_not_migrated(tmp_path: Path) -> None:
    make_version_1(tmp_path / "old.duckdb")
    report = check_database(Database(tmp_path / "old.duckdb"), START + 800 * DAY)
    assert report.findings == []
    assert report.version == 1
    assert "schema version 1" in report.notes[0]
    again = damaged(Database(tmp_path / "old.duckdb"), "DELETE FROM tmdb_details; UPDATE fetch_log SET requests = -1")
    assert {("missing_row", "tmdb_details"), ("counter", "fetch_log")} <= broken(again)
    assert again.version == 1


def test_checking_changes_nothing(sound: Database) -> None:
    before = sound.path.read_bytes()
    check_database(sound, NOW)
    assert sound.path.read_bytes() == before
    assert [path.name for path in sound.path.parent.iterdir()] == [sound.path.name]


def _unreadable(report: Report) -> Finding:
    (finding,) = report.findings
    assert finding.code == "unreadable"
    assert "\n" not in finding.what
    return finding


def test_a_file_that_is_no_database_is_one_finding(tmp_path: Path) -> None:
    (tmp_path / "ayne.duckdb").write_text("a letter " * 1000)
    assert "not a DuckDB database" in _unreadable(check_database(Database(tmp_path / "ayne.duckdb"), NOW)).what


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_was_cut_off_is_one_finding(sound: Database, share: float) -> None:
    content = sound.path.read_bytes()
    sound.path.write_bytes(content[: int(len(content) * share)])
    _unreadable(check_database(sound, NOW))


def test_a_damaged_block_of_a_column_that_no_rule_reads_is_found(sound: Database) -> None:
    text = "a plot that only a damaged block can lose "
    with sound.connect() as connection:
        connection.execute("UPDATE tmdb_details SET overview = ? || tmdb_id WHERE tmdb_id = 6", [text])
        connection.execute("CHECKPOINT")
    content = bytearray(sound.path.read_bytes())
    at = content.rfind(text.encode())
    assert at > 0
    content[at] ^= 1
    sound.path.write_bytes(content)
    assert "checksum" in _unreadable(check_database(sound, NOW)).what


def test_another_program_s_database_is_told_apart(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "theirs.duckdb")) as connection:
        connection.execute("CREATE TABLE theirs (i INTEGER)")
    (finding,) = check_database(Database(tmp_path / "theirs.duckdb"), NOW).findings
    assert "no table of ours" in finding.what


def test_a_missing_or_busy_database_is_an_error_of_its_own(sound: Database, tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match="There is no database"):
        check_database(Database(tmp_path / "none.duckdb"), NOW)
    holder = python(HOLD, sound.path)
    try:
        assert line(holder) == "held"
        with pytest.raises(DatabaseBusy, match=str(holder.pid)):
            check_database(sound, NOW)
    finally:
        holder.kill()
        holder.communicate()


def test_the_tables_of_the_sources_are_those_that_answers_go_to() -> None:
    assert set(ROWS_OF.values()) == {table for table in ANSWER_TABLES if table.history}
