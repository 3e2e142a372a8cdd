"""`ayne query`, `tables` and `schema`: what is answered, in which form, and what SQL cannot do."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from ayne_dagster import cli
from ayne_dagster.warehouse import query, replica
from ayne_dagster.warehouse.care import export as export_module
from ayne_dagster.warehouse.client import DuckDBClient
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.lease import lease
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.movies_at import MACROS
from ayne_dagster.warehouse.query import Limits, QuestionEnded, WrongQuestion, ask
from ayne_dagster.warehouse.schema import ALL_TABLES, TMDB_DETAILS
from ayne_dagster.warehouse.views import VIEWS
from ayne_dagster_tests.support.processes import Ayne, ended, wait_until
from ayne_dagster_tests.support.samples import HOLD, details, line, opens_elsewhere, python

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MOVIES = 120
ORDINARY = Limits()
EVIL = "\x1b[31mRed | \u202emoor"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    database = Database(tmp_path_factory.mktemp("asked") / "ayne.duckdb")
    with database.transaction() as connection:
        answers = [details(number, title=f"Film {number}") for number in range(1, MOVIES)]
        merge_answers(connection, TMDB_DETAILS, "tmdb", [*answers, details(MOVIES, title=EVIL)], "run")
    return database.path


@pytest.fixture
def database(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    path = tmp_path / "ayne.duckdb"
    shutil.copyfile(template, path)
    monkeypatch.setenv("AYNE_DATABASE", str(path))
    return Database(path)


def answer(database: Database, sql: str, limits: Limits = ORDINARY) -> list[dict[str, Any]]:
    with ask(database, sql, limits, NOW) as answered:
        return [row for batch in answered.batches for row in batch.to_pylist()]


class Said:
    """What a command printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        self.code = cli.run(list(arguments))
        self.out, self.err = capsys.readouterr()


def test_a_question_is_answered_as_a_table_with_what_was_left_out(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    said = Said(
        capsys, "query", "SELECT tmdb_id, title, genres, imdb_votes FROM movies ORDER BY tmdb_id", "--limit", "3"
    )
    assert said.code == 0
    assert "Film 3" in said.out
    assert "Film 4" not in said.out
    assert "Drama, Thriller" in said.out
    assert "NULL" in said.out
    assert said.err == f"The first 3 of {MOVIES} rows; --limit 0 shows all.\n"


def test_a_title_steers_no_terminal(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ((), ("--markdown",), ("--json",)):
        said = Said(capsys, "query", f"SELECT title FROM movies WHERE tmdb_id = {MOVIES}", *form)
        assert said.code == 0
        assert "\x1b" not in said.out
        assert "\u202e" not in said.out
    assert "\\|" in Said(capsys, "query", f"SELECT title FROM movies WHERE tmdb_id = {MOVIES}", "--markdown").out


def test_every_form_has_all_rows(database: Database, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sql = "SELECT tmdb_id, genres, release_date, NULL AS nothing FROM movies ORDER BY tmdb_id"
    found = json.loads(Said(capsys, "query", sql, "--json").out)
    assert list(found["columns"]) == ["tmdb_id", "genres", "release_date", "nothing"]
    assert len(found["rows"]) == MOVIES
    assert found["rows"][0] == {
        "tmdb_id": 1, "genres": ["Drama", "Thriller"], "release_date": "1999-10-15", "nothing": None
    }  # fmt: skip
    lines = Said(capsys, "query", sql, "--csv").out.splitlines()
    assert lines[:2] == ["tmdb_id,genres,release_date,nothing", '1,"[""Drama"", ""Thriller""]",1999-10-15,']
    assert len(lines) == MOVIES + 1
    file = tmp_path / "movies.parquet"
    assert Said(capsys, "query", sql, "--parquet", str(file)).err == f"{file}  {MOVIES} rows\n"
    assert pq.read_table(file).num_rows == MOVIES


@pytest.mark.parametrize("is_of_a_copy", [False, True])
def test_columns_of_one_name_are_told_apart_and_none_is_lost(
    database: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_of_a_copy: bool
) -> None:
    if is_of_a_copy:
        monkeypatch.setattr(query, "MOST_ROWS_HELD", 0)
    sql = "SELECT 1 AS a, 2 AS a, 3 AS b, 4 AS a_1"
    assert Said(capsys, "query", sql, "--csv").out == "a,a_2,b,a_1\n1,2,3,4\n"
    assert json.loads(Said(capsys, "query", sql, "--json").out)["rows"] == [{"a": 1, "a_2": 2, "b": 3, "a_1": 4}]
    client = DuckDBClient(database.path)
    assert client.query(sql) == client.arrow(sql).to_pylist() == [{"a": 1, "a_2": 2, "b": 3, "a_1": 4}]


def test_a_number_that_json_does_not_know_is_null_there(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    told = Said(capsys, "query", "SELECT 'nan'::DOUBLE AS x, ['inf'::DOUBLE, 1.5] AS y", "--json").out
    assert "NaN" not in told
    assert json.loads(told)["rows"] == [{"x": None, "y": [None, 1.5]}]


def test_a_question_may_stand_in_a_file(database: Database, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "q.sql"
    file.write_text("-- how many\nSELECT count(*) AS n FROM movies;\n", encoding="utf-8-sig")
    assert json.loads(Said(capsys, "query", "--file", str(file), "--json").out)["rows"] == [{"n": MOVIES}]


HOSTILE = [
    "DELETE FROM tmdb_details",
    "CREATE TABLE x (i INTEGER)",
    "ATTACH 'x.duckdb'",
    "COPY movies TO 'x.csv'",
    "EXPORT DATABASE 'x'",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA memory_limit = '99GB'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CALL pragma_version()",
    "SELECT 1; SELECT 2",
    "",
    "-- nothing",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('q.sql')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM 'other.parquet'",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM sql",
    "SELECT * FROM limits",
    "EXPLAIN ANALYZE DELETE FROM tmdb_details",
    "SELEC 1",
    "SELECT nothing FROM movies",
    "SELECT * FROM moves",
]


@pytest.mark.parametrize("sql", HOSTILE)
def test_what_is_no_question_or_reaches_for_more_is_one_line_and_changes_nothing(
    database: Database, capsys: pytest.CaptureFixture[str], tmp_path: Path, sql: str
) -> None:
    duckdb.sql("SELECT 1 AS a").write_parquet(str(tmp_path / "other.parquet"))
    before, files = database.path.read_bytes(), sorted(tmp_path.iterdir())
    said = Said(capsys, "query", sql)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("ayne: ")
    assert said.err.count("\n") == 1
    assert database.path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == files


def test_a_pivot_is_answered_where_its_values_are_named(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    pivot = "PIVOT (SELECT 'Drama' AS genre, 7 AS votes) ON genre {} USING first(votes)"
    assert json.loads(Said(capsys, "query", pivot.format("IN ('Drama')"), "--json").out)["rows"] == [{"Drama": 7}]
    said = Said(capsys, "query", pivot.format(""))
    assert (said.code, said.out) == (2, "")
    assert "ON column IN" in said.err


def test_no_file_is_read_while_a_question_is_taken_apart(
    database: Database, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "schema.sql").write_text("confidential")
    (tmp_path / "load.sql").write_text("")
    said = Said(capsys, "query", f"IMPORT DATABASE '{tmp_path}'")
    assert (said.code, said.out) == (2, "")
    assert "confidential" not in said.err


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM range(10000000) AS a, range(10000000) AS b WHERE a.range % 7 = b.range % 11",
        "WITH RECURSIVE t AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM t) SELECT count(*) FROM t",
        "SELECT * FROM range(100000000000) WHERE range < 0",
    ],
)
def test_a_question_without_an_end_is_ended(database: Database, sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "ALONE_SECONDS", 0.01)
    with pytest.raises(QuestionEnded, match=r"took longer than 0\.1 s"):
        answer(database, sql, Limits(seconds=0.1))


def test_a_question_that_takes_too_much_memory_is_told_so(database: Database) -> None:
    with pytest.raises(WrongQuestion, match="more memory"):
        answer(database, "SELECT list(range) FROM range(30000000)", Limits(memory="40MB"))


def test_a_value_that_nobody_can_look_at_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "MOST_BYTES_AT_ONCE", 1_000)
    with pytest.raises(WrongQuestion, match="ask for parts"):
        answer(database, "SELECT repeat('x', 2000)")


def test_a_quick_question_is_put_to_the_database_itself_and_a_long_one_to_a_copy(
    database: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Said(capsys, "query", "SELECT count(*) FROM movies").err == ""
    monkeypatch.setattr(query, "MOST_ROWS_HELD", 10)
    said = Said(capsys, "query", "SELECT tmdb_id FROM movies", "--csv")
    assert len(said.out.splitlines()) == MOVIES + 1
    assert said.err.startswith(f"Asked a copy of {database.path} as of 20")
    assert not [f for f in database.path.parent.iterdir() if f.name.startswith(".ayne.duckdb.copy-")]


def test_nobody_waits_while_an_answer_is_read(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for most in (query.MOST_ROWS_HELD, 10):
        monkeypatch.setattr(query, "MOST_ROWS_HELD", most)
        with ask(database, "SELECT tmdb_id FROM movies", Limits(), NOW) as answered:
            first = next(answered.batches)
            with Database(database.path, wait_seconds=0).transaction() as connection:
                merge_answers(connection, TMDB_DETAILS, "tmdb", [details(999)], "run")
            assert first.num_rows == MOVIES + (most == 10)


@pytest.fixture
def running(database: Database) -> Iterator[None]:
    with lease(database.path, "omdb", print):
        yield


def test_beside_a_collection_a_question_is_answered_and_has_the_database_itself_for_less_time(
    database: Database, running: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    asked = query._of_the_database_itself
    monkeypatch.setattr(query, "_of_the_database_itself", lambda *a: given.append(a[3]) or asked(*a))
    monkeypatch.setattr(query, "MOST_ROWS_HELD", 10)
    with ask(database, "SELECT tmdb_id FROM movies", Limits(), NOW) as answered:
        assert answered.as_of == NOW
        assert sum(batch.num_rows for batch in answered.batches) == MOVIES
    assert given == [query.BESIDE_A_RUN_SECONDS]


@pytest.mark.parametrize("command", [("show", "Film", "3"), ("doubts",)])
def test_commands_that_read_much_leave_the_database_to_a_collection(
    database: Database,
    running: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
) -> None:
    @contextmanager
    def refused(*_: object, **__: object) -> Iterator[None]:
        raise AssertionError("a commit would wait for it")
        yield

    monkeypatch.setattr(Database, "connect", refused)
    assert Said(capsys, *command).code == 0


def test_while_a_commit_goes_on_a_copy_of_what_was_before_it_is_asked(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(replica, "SETTLED_SECONDS", 0.0)
    holder = python(HOLD, database.path)
    try:
        assert line(holder) == "held"
        assert answer(database, "SELECT count(*) AS n FROM movies") == [{"n": MOVIES}]
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Say the question"),
        (("SELECT 1", "--file", "x.sql"), "Say the question"),
        (("--file", "nowhere.sql"), "cannot be read"),
        (("SELECT 1", "--json", "--parquet", "x"), "choose one"),
        (("SELECT 1", "--csv", "--json"), "--csv and --json are two ways of having the answer"),
        (("SELECT 1", "--memory", "lots"), "--memory must be a size"),
        (("SELECT 1", "--memory", "512"), "--memory must be a size"),
        (("SELECT 1", "--seconds", "nan"), "--seconds"),
        (("SELECT 1", "--parquet", "no/folder/x.parquet"), "cannot be written"),
        (("SELECT 1", "--database", "nowhere.duckdb"), "There is no database"),
    ],
)
def test_wrong_usage_is_one_line(
    database: Database, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    ended = Said(capsys, "query", *arguments)
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1


def test_all_tables_and_views_are_listed_and_described(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(Said(capsys, "tables", "--json").out)["tables"]
    assert {row["table"] for row in listed} == {*ALL_TABLES, *(item.name for item in (*VIEWS, *MACROS))}
    assert listed[0]["table"] == "movies"
    assert next(row["rows"] for row in listed if row["table"] == "tmdb_details") == MOVIES
    assert "tmdb_details" in Said(capsys, "tables").out
    for name, asked in [(row["table"], row["asked"].replace("instant", "now()")) for row in listed]:
        columns = json.loads(Said(capsys, "schema", name, "--json").out)["columns"]
        with database.connect(read_only=True) as connection:
            found = connection.execute(f"DESCRIBE FROM {asked}").fetchall()
        assert [(c["column"], c["type"]) for c in columns] == [(row[0], row[1]) for row in found]
        assert all(c["description"] for c in columns)
    assert "Tomatometer" in Said(capsys, "schema", "omdb_ratings").out
    assert "Length (minutes). NULL: OMDb does not know it." in " ".join(
        Said(capsys, "schema", "omdb_ratings").out.split()
    )
    assert "movies_at(instant)" in Said(capsys, "tables").out
    assert Said(capsys, "schema", "movies_at").out.startswith("movies_at(instant): One row a movie that was known")


def test_the_dataset_of_a_day_can_be_asked(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT count(*) AS movies FROM movies_at(TIMESTAMP '{}')"
    found = [
        json.loads(Said(capsys, "query", sql.format(day), "--json").out)["rows"] for day in ("2023-01-01", "2025-01-01")
    ]
    assert found == [[{"movies": 0}], [{"movies": MOVIES}]]


def test_what_became_of_a_movie_is_told_the_latest_first(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    with database.transaction() as connection:
        for number, changes in enumerate([{"title": "Renamed", "budget": 5}, {"genres": None, "title": EVIL}], start=1):
            answer = details(7, at=datetime(2026, 1, number, tzinfo=UTC), **changes)
            merge_answers(connection, TMDB_DETAILS, "tmdb", [answer], f"run {number}")
    found = json.loads(Said(capsys, "history", "7", "--field", "title", "--json").out)
    assert [(c["from"], c["to"]) for c in found["changes"]] == [("Renamed", EVIL), ("Film 7", "Renamed")]
    said = Said(capsys, "history", "7")
    assert "2026-01-02 00:00" in said.out
    assert "63000000" in said.out
    assert "\x1b" not in said.out
    assert "no change was noted" in Said(capsys, "history", "8").out
    assert len(json.loads(Said(capsys, "history", "7", "--limit", "1", "--json").out)["changes"]) == 1
    for command in ("history", "explain"):
        said = Said(capsys, command, "999999")
        assert (said.code, said.err) == (1, "ayne: Movie 999999 is not known: `ayne collect` discovers movies.\n")
    for misspelt, meant in (("imdb_ratng", "imdb_rating"), ("credit", "credits")):
        said = Said(capsys, "history", "7", "--field", "title", "--field", misspelt)
        assert (said.code, f"no column '{misspelt}'" in said.err) == (2, True)
        assert f"Did you mean {meant}?" in said.err
    later = json.loads(Said(capsys, "history", "7", "--since", "2026-01-02", "--json").out)["changes"]
    assert {change["changed_at"] for change in later} == {"2026-01-02 00:00:00"}
    assert "no change was noted" in Said(capsys, "history", "7", "--since", "2026-01-03").out


def test_a_column_that_no_change_can_be_of_is_told_with_the_nearest(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    said = Said(capsys, "history", "7", "--field", "titel")
    assert said.code == 2
    assert "Did you mean title?" in said.err
    for known in ("title", "credits", "imdb_rating"):
        assert "no change was noted" in Said(capsys, "history", "7", "--field", known).out


class Looks(threading.Event):
    """Tells when it was looked at a few times."""

    def __init__(self) -> None:
        super().__init__()
        self.number, self.enough = 0, threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.number += 1
        if self.number > 3:
            self.enough.set()
        return super().wait(0)


def test_whoever_takes_their_time_to_read_an_answer_is_not_taken_for_a_question_that_is_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stuck = threading.Event()
    with duckdb.connect() as connection:
        deadline = query._Deadline(connection, 0.0, stuck.set)
        monkeypatch.setattr(deadline, "_over", looks := Looks())
        with deadline:
            assert looks.enough.wait(10)
            assert deadline.has_passed
            assert not stuck.is_set()
            with deadline.at_work():
                assert stuck.wait(10)


@pytest.mark.end_to_end
def test_a_question_that_heeds_no_interruption_lets_go_of_the_database_and_ends(
    database: Database, tmp_path: Path
) -> None:
    one_value_for_an_hour = "SELECT levenshtein(repeat('a', 800000), repeat('b', 800000))"
    command = Ayne(tmp_path, database_name=database.path.name)
    process = command.spawn("query", "--seconds", "5", one_value_for_an_hour)
    try:
        wait_until(lambda: any(tmp_path.glob(".ayne.duckdb.copy-*")), process)
        with database.transaction() as connection:
            assert connection.execute("SELECT count(*) FROM tmdb_details").fetchall() == [(MOVIES,)]
        assert process.poll() is None, "it had ended: what it held back is not known"
        result = ended(process)
    finally:
        process.kill()
    assert (result.code, result.out) == (1, "")
    assert result.complaint == (
        "ayne: The question took longer than 5 s and was ended: ask for less, or give it more time (--seconds)."
    )
    assert not any(tmp_path.glob(".ayne.duckdb.copy-*"))


def test_a_table_that_there_is_not_is_told_with_the_nearest(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    said = Said(capsys, "schema", "movie")
    assert said.code == 2
    assert "did you mean movies?" in said.err


def test_an_export_of_what_is_new_tells_what_that_means(
    database: Database, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = Said(capsys, "export", str(tmp_path / "out"), "--table", "movies", "--since", "2020-01-01")
    assert said.code == 0
    assert "movies.since-2020-01-01.parquet" in said.out
    assert "what is gone since is not told" in said.out
    assert "found since, or with a change since (TMDB" in said.out
    told = json.loads(Said(capsys, "export", str(tmp_path / "out"), "--table", "movies", "--since", "7d", "--json").out)
    assert set(told) == {"files", "since", "new"}
    assert list(told["new"]) == ["movies"]


@pytest.mark.parametrize("room", [True, False])
def test_an_export_holds_up_no_commit_where_there_is_room_for_a_copy(
    database: Database, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: bool
) -> None:
    write, free = export_module.export_tables, []

    def watched(*arguments: Any, **options: Any) -> dict[Path, int]:
        free.append(opens_elsewhere(database.path))
        return write(*arguments, **options)

    monkeypatch.setattr(export_module, "export_tables", watched)
    if not room:
        monkeypatch.setattr(replica, "LEFT_FREE", 2**62)
    said = Said(capsys, "export", str(tmp_path / "out"), "--table", "movies", "--json")
    assert said.code == 0
    assert list(json.loads(said.out)["files"].values()) == [len(database_rows(database))]
    assert free == [room]


def database_rows(database: Database) -> list[Any]:
    with database.connect(read_only=True) as connection:
        return connection.execute("SELECT tmdb_id FROM movies").fetchall()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "yesterday"), "7d or 36h"),
        (("--since", "2199-01-01"), "yet to come"),
        (("--since", "99999d"), "too long ago"),
        (("--excel",), "--format csv"),
        (("--format", "csv", "--by-year"), "--format parquet"),
        (("--format", "csv", "--raw", "--excel"), "contradict"),
    ],
)
def test_an_export_that_cannot_be_meant_is_wrong_usage_in_one_line_and_writes_nothing(
    database: Database, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    ended = Said(capsys, "export", str(tmp_path / "out"), *arguments)
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
