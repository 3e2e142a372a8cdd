"""Exported files in forms of their own: SQLite, a folder a release year, for Excel, and what is new since then."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from ayne_dagster.warehouse.care import export_parquet, selection
from ayne_dagster.warehouse.care.export import EXPORTABLE, ExportError, WrongExport, export_tables
from ayne_dagster.warehouse.care.selection import meaning_of_new
from ayne_dagster.warehouse.dictionary import RELATIONS, column_texts
from ayne_dagster_tests.support.samples import (
    DAY,
    START,
    details,
    listed,
    merge_details,
    merge_listed,
    merge_ratings,
    ratings,
)

Connection = duckdb.DuckDBPyConnection
FOREIGN = "mine, and no file of an export"
LATER = START + DAY


@pytest.fixture
def filled(connection: Connection) -> Connection:
    merge_listed(connection, listed(1), listed(2, release_date=None), listed(3))
    merge_details(
        connection,
        details(1, title="Zażółć = gęślą", overview="The river at night", genres=['a "b"', "c, d"]),
        details(2, title="=1+1", imdb_id=None, release_date=None, overview="A desert by day", runtime=None),
    )
    merge_details(connection, details(1, LATER, title="Zażółć = gęślą", overview="The river at night", revenue=7))
    merge_ratings(connection, ratings(1))
    return connection


def in_sqlite(file: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as opened:
        return opened.execute(sql).fetchall()


# SQLite


def test_every_table_is_in_the_sqlite_file_with_its_rows_and_columns(filled: Connection, tmp_path: Path) -> None:
    written = export_tables(filled, tmp_path, EXPORTABLE, "sqlite")
    file = tmp_path / "ayne.sqlite"
    assert {path.name for path in tmp_path.iterdir()} == {"ayne.sqlite", "metadata.json"}
    rows = 0
    for name, relation in RELATIONS.items():
        table = name.replace(".", "_")
        found = in_sqlite(file, f'SELECT * FROM "{table}"')
        assert len(found) == filled.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0], name
        assert [row[1] for row in in_sqlite(file, f'PRAGMA table_info("{table}")')] == [
            c.name for c in relation.columns
        ]
        rows += len(found)
    assert written == {file: rows}
    assert in_sqlite(file, "PRAGMA integrity_check") == [("ok",)]


def test_lists_are_json_days_and_instants_iso_and_truth_values_numbers(filled: Connection, tmp_path: Path) -> None:
    export_tables(filled, tmp_path, ["movies", "tmdb_details"], "sqlite")
    columns = "genres, release_date, tmdb_checked_at, budget_plausible, worldwide_gross, runtime"
    first, second = in_sqlite(tmp_path / "ayne.sqlite", f"SELECT {columns} FROM movies ORDER BY tmdb_id LIMIT 2")
    assert json.loads(first[0]) == ["Drama", "Thriller"]
    assert first[1:4] == ("1999-10-15", "2024-01-02T12:00:00", 1)
    assert first[4] is None  # 7 dollars are no gross
    assert (second[1], second[5]) == (None, None)


def test_movies_are_found_by_words_of_title_and_plot_whatever_their_accents(filled: Connection, tmp_path: Path) -> None:
    export_tables(filled, tmp_path, ["movies"], "sqlite")
    file = tmp_path / "ayne.sqlite"
    search = "SELECT rowid FROM movies_fts WHERE movies_fts MATCH '{}'"
    assert in_sqlite(file, search.format("river")) == [(1,)]
    assert in_sqlite(file, search.format("overview: desert")) == [(2,)]
    assert in_sqlite(file, search.format("zazołc")) == [(1,)]
    (sql,) = in_sqlite(file, "SELECT sql FROM sqlite_master WHERE name = 'movies_fts'")[0]
    assert 'content="movies"' in sql  # by which Datasette knows it


def test_rows_are_found_by_their_key_and_by_the_movie(filled: Connection, tmp_path: Path) -> None:
    export_tables(filled, tmp_path, ["movies", "fetch_log", "tmdb_changes"], "sqlite")
    file = tmp_path / "ayne.sqlite"
    for table in ("movies", "fetch_log", "tmdb_changes"):
        ((*_, plan),) = in_sqlite(file, f"EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE tmdb_id = 1")
        assert plan.startswith(f"SEARCH {table}"), plan
    assert [row[1] for row in in_sqlite(file, "PRAGMA table_info(tmdb_changes)") if row[5]] == ["tmdb_id", "day"]


def test_the_sqlite_file_and_the_metadata_of_datasette_say_what_each_column_is(
    filled: Connection, tmp_path: Path
) -> None:
    export_tables(filled, tmp_path, ["movies", "fetch_log"], "sqlite")
    export_tables(filled, tmp_path, ["movies"], "sqlite", since=LATER)
    told = json.loads((tmp_path / "metadata.json").read_text())["databases"]
    assert set(told) == {"ayne", "ayne.since-2024-01-02T120000Z"}
    assert told["ayne"]["tables"]["movies"]["columns"] == column_texts(RELATIONS["movies"])
    query = "SELECT unit, null_means FROM data_dictionary WHERE table_name = 'movies' AND column_name = 'runtime'"
    assert in_sqlite(tmp_path / "ayne.sqlite", query) == [("minutes", "no source says it, or none was asked yet")]
    assert len(in_sqlite(tmp_path / "ayne.sqlite", "SELECT 1 FROM data_dictionary")) == sum(
        len(RELATIONS[name].columns) for name in ("movies", "fetch_log")
    )


@pytest.mark.parametrize("name", ["ayne.sqlite", "metadata.json"])
@pytest.mark.parametrize("content", [FOREIGN, '{"title": "of somebody else"}', "[1]"])
def test_what_is_no_export_is_not_replaced(filled: Connection, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(WrongExport, match="left alone"):
        export_tables(filled, tmp_path, ["movies"], "sqlite")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, content)]


def test_an_sqlite_file_that_somebody_writes_to_is_not_replaced(filled: Connection, tmp_path: Path) -> None:
    file = tmp_path / "ayne.sqlite"
    export_tables(filled, tmp_path, ["movies"], "sqlite")
    with closing(sqlite3.connect(file)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE mine (a)")
        with pytest.raises(WrongExport, match=r"ayne\.sqlite-wal is beside it"):
            export_tables(filled, tmp_path, ["movies"], "sqlite")
    export_tables(filled, tmp_path, ["movies"], "sqlite")
    assert in_sqlite(file, "SELECT count(*) FROM sqlite_master WHERE name = 'mine'") == [(0,)]


def test_an_sqlite_export_that_fails_leaves_the_file_before_it_and_nothing_else(
    filled: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_tables(filled, tmp_path, ["movies"], "sqlite")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    filled.execute("INSERT INTO refresh_metadata (tmdb_id, release_year) VALUES (9, '1999')")
    monkeypatch.setattr("ayne_dagster.warehouse.care.export_sqlite._search", lambda relation: ["no SQL"])
    with pytest.raises(ExportError, match="what was there is still there"):
        export_tables(filled, tmp_path, ["movies"], "sqlite")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# Parquet


@pytest.mark.parametrize("at_once", [1, 5_000])
def test_years_are_folders_that_hold_together_what_one_file_holds(
    filled: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(selection, "MOVIES_AT_ONCE", at_once)
    monkeypatch.setattr(export_parquet, "BYTES_WAITING", at_once)
    merge_listed(filled, *(listed(number) for number in range(10, 15)))
    written = export_tables(filled, tmp_path, ["movies", "movie_history"], "parquet", by_year=True)
    assert list(written.values()) == [8, 2]
    assert sorted(path.name for path in (tmp_path / "movies").iterdir()) == [
        "release_year=1999",
        "release_year=unknown",
    ]
    read = f"read_parquet('{tmp_path}/movies/*/*.parquet', hive_types = {{'release_year': VARCHAR}})"
    names = ", ".join(column.name for column in RELATIONS["movies"].columns)
    found, asked = (f"SELECT {names} FROM {source} ORDER BY tmdb_id" for source in (read, "movies"))
    assert filled.execute(found).fetchall() == filled.execute(asked).fetchall()


def test_movies_of_a_year_that_come_one_by_one_are_written_together(
    filled: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "MOVIES_AT_ONCE", 1)
    merge_listed(filled, *(listed(number) for number in range(10, 15)))
    export_tables(filled, tmp_path, ["movies"], "parquet", by_year=True)
    groups = [pq.read_metadata(file).num_row_groups for file in tmp_path.glob("movies/*/*.parquet")]
    assert groups == [1, 1]


def test_a_year_that_has_no_movie_any_more_is_gone_from_the_next_export(filled: Connection, tmp_path: Path) -> None:
    export_tables(filled, tmp_path, ["movies"], "parquet", by_year=True)
    filled.execute("DELETE FROM refresh_metadata WHERE release_year = 'unknown'")
    export_tables(filled, tmp_path, ["movies"], "parquet", by_year=True)
    assert [path.name for path in (tmp_path / "movies").iterdir()] == ["release_year=1999"]
    assert [path.name for path in tmp_path.iterdir()] == ["movies"]


def test_a_folder_with_something_else_in_it_is_not_replaced(filled: Connection, tmp_path: Path) -> None:
    (tmp_path / "movies").mkdir()
    (tmp_path / "movies" / "diary.txt").write_text(FOREIGN)
    with pytest.raises(WrongExport, match="something else than release years"):
        export_tables(filled, tmp_path, ["movies"], "parquet", by_year=True)
    assert (tmp_path / "movies" / "diary.txt").read_text() == FOREIGN


def test_years_that_cannot_be_written_leave_the_former_ones(
    filled: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_tables(filled, tmp_path, ["movies"], "parquet", by_year=True)

    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_parquet, "_write_years", fail)
    with pytest.raises(ExportError, match="No space left"):
        export_tables(filled, tmp_path, ["movies"], "parquet", by_year=True)
    assert [path.name for path in tmp_path.iterdir()] == ["movies"]
    assert len(list((tmp_path / "movies").rglob("*.parquet"))) == 2


def test_years_that_a_killed_export_had_put_aside_come_back_also_where_the_next_one_fails(
    filled: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_tables(filled, tmp_path, ["movies"], "parquet", by_year=True)
    (tmp_path / "movies").rename(tmp_path / ".movies.former")
    (tmp_path / ".movies.partial").mkdir()

    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as failing:
        failing.setattr(export_parquet, "_write_years", fail)
        with pytest.raises(ExportError, match="No space left"):
            export_tables(filled, tmp_path, ["movies"], "parquet", by_year=True)
    assert [path.name for path in tmp_path.iterdir()] == ["movies"]
    assert len(list((tmp_path / "movies").rglob("*.parquet"))) == 2


@pytest.mark.parametrize("at_once", [1, 5_000])
def test_a_parquet_file_says_what_its_table_and_columns_are(
    filled: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(selection, "MOVIES_AT_ONCE", at_once)
    export_tables(filled, tmp_path, ["movies", "credits"], "parquet")
    for name in ("movies", "credits"):
        told = pq.read_schema(tmp_path / f"{name}.parquet").metadata
        assert told[b"description"].decode() == RELATIONS[name].description
        assert json.loads(told[b"columns"]) == column_texts(RELATIONS[name])


# CSV


@pytest.mark.parametrize("at_once", [1, 5_000])
def test_a_file_for_excel_begins_with_the_mark_of_utf_8_and_is_the_same_otherwise(
    filled: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(selection, "MOVIES_AT_ONCE", at_once)
    for folder, excel in (("plain", False), ("excel", True)):
        export_tables(filled, tmp_path / folder, ["movies", "tmdb_details"], "csv", excel=excel)
    for name in ("movies.csv", "tmdb_details.csv"):
        plain = (tmp_path / "plain" / name).read_bytes()
        assert (tmp_path / "excel" / name).read_bytes() == b"\xef\xbb\xbf" + plain
        assert not plain.startswith(b"\xef")
        assert b"'=1+1" in plain
    assert {path.name for path in (tmp_path / "excel").iterdir()} == {"movies.csv", "tmdb_details.csv"}


# what is new


def ids(folder: Path, name: str) -> list[int]:
    (file,) = folder.glob(f"{name}.since-*.parquet")
    return sorted(pq.read_table(file)["tmdb_id"].to_pylist())


def test_only_what_is_new_since_an_instant_is_written_and_named_after_it(filled: Connection, tmp_path: Path) -> None:
    export_tables(filled, tmp_path, ["movies", "movie_history", "fetch_log"], "parquet", since=LATER)
    assert ids(tmp_path, "movies") == [1]
    assert ids(tmp_path, "movie_history") == [1, 1]
    assert ids(tmp_path, "fetch_log") == [1]
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.since-2024-01-02T120000Z.parquet" for name in ("movies", "movie_history", "fetch_log")
    }


@pytest.mark.parametrize("file_format", ["parquet", "csv", "sqlite"])
def test_every_table_has_rows_that_are_new_and_a_part_takes_no_wholes_place(
    filled: Connection, tmp_path: Path, file_format: str
) -> None:
    export_tables(filled, tmp_path, ["movies"], file_format)
    whole = {path.name for path in tmp_path.iterdir()}
    early = export_tables(filled, tmp_path, EXPORTABLE, file_format, since=START - 400 * DAY)
    late = export_tables(filled, tmp_path, EXPORTABLE, file_format, since=LATER + timedelta(microseconds=1))
    assert whole <= {path.name for path in tmp_path.iterdir()}
    assert sum(early.values()) == sum(filled.execute(f"SELECT count(*) FROM {n}").fetchall()[0][0] for n in EXPORTABLE)
    timeless = ("box_office_precedence", "countries", "languages")
    days = filled.execute("SELECT count(*) FROM fetches_by_day WHERE day >= DATE '2024-01-02'").fetchall()[0][0]
    rest = sum(filled.execute(f"SELECT count(*) FROM {n}").fetchall()[0][0] for n in timeless)
    assert sum(late.values()) == rest + days
    assert all(meaning_of_new(name) for name in EXPORTABLE)


# what contradicts


@pytest.mark.parametrize(
    ("file_format", "options", "said"),
    [
        ("parquet", {"excel": True}, "--excel is for --format csv"),
        ("sqlite", {"excel": True}, "--excel is for --format csv"),
        ("csv", {"by_year": True}, "--by-year is for --format parquet"),
        ("csv", {"raw": True, "excel": True}, "contradict each other"),
    ],
)
def test_options_that_contradict_each_other_are_an_error_and_nothing_is_written(
    filled: Connection, tmp_path: Path, file_format: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(WrongExport, match=said):
        export_tables(filled, tmp_path / "out", ["movies"], file_format, **options)
    assert not (tmp_path / "out").exists()
