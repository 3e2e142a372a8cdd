"""Exported files say what the tables say, and none is left half written."""

from __future__ import annotations

import csv
import json
from datetime import date
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from ayne_dagster.warehouse.care import selection
from ayne_dagster.warehouse.care.export import DEFAULT_TABLES, EXPORTABLE, ExportError, export_tables
from ayne_dagster.warehouse.database import WarehouseError
from ayne_dagster.warehouse.schema import TMDB_DETAILS
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
ODD = 'He said "no", then\nleft; O\'Brien\\千\t— end, '
LISTS = [ODD, "a, b", "[c]", ""]


@pytest.fixture
def filled(connection: Connection) -> Connection:
    merge_listed(connection, listed(1), listed(2, release_date=None))
    merge_details(
        connection,
        details(1, title=ODD, overview="", genres=LISTS, keywords=None),
        details(2, imdb_id=None, release_date=None, genres=[]),
    )
    merge_details(connection, details(1, START + DAY, title=ODD, overview="", genres=LISTS, budget=None, revenue=7))
    merge_ratings(connection, ratings(1))
    return connection


def table_rows(connection: Connection, source: str) -> list[tuple[object, ...]]:
    return sorted(connection.execute(f"SELECT * FROM {source}").fetchall(), key=repr)


def types_of(connection: Connection, table: str) -> str:
    found = connection.execute(f"DESCRIBE {table}").fetchall()
    return "{" + ", ".join(f"'{row[0]}': '{row[1]}'" for row in found) + "}"


def test_every_table_round_trips_through_parquet(filled: Connection, tmp_path: Path) -> None:
    written = export_tables(filled, tmp_path, EXPORTABLE, "parquet")
    for name in EXPORTABLE:
        path = tmp_path / f"{name}.parquet"
        found = table_rows(filled, f"read_parquet('{path}')")
        assert found == table_rows(filled, name)
        assert written[path] == len(found)
        assert pq.read_schema(path).names == [row[0] for row in filled.execute(f"DESCRIBE {name}").fetchall()]


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("file_format", ["parquet", "csv"])
def test_movies_are_the_same_however_few_are_joined_at_a_time(
    filled: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: str, at_once: int
) -> None:
    merge_listed(filled, listed(7), listed(30))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    export_tables(filled, whole, ["movies"], file_format)
    monkeypatch.setattr(selection, "MOVIES_AT_ONCE", at_once)
    (written,) = export_tables(filled, parts, ["movies"], file_format).values()
    assert written == 4
    read = f"read_{file_format}('{{}}/movies.{file_format}')"
    assert table_rows(filled, read.format(parts)) == table_rows(filled, read.format(whole))
    assert [file.name for file in parts.iterdir()] == [f"movies.{file_format}"]


def test_every_table_round_trips_through_csv(filled: Connection, tmp_path: Path) -> None:
    written = export_tables(filled, tmp_path, EXPORTABLE, "csv")
    for name in EXPORTABLE:
        path = tmp_path / f"{name}.csv"
        options = f"header = true, columns = {types_of(filled, name)}, nullstr = '', allow_quoted_nulls = false"
        found = table_rows(filled, f"read_csv('{path}', {options})")
        assert found == table_rows(filled, name), name
        assert written[path] == len(found)


def test_a_csv_file_is_read_by_other_programs(filled: Connection, tmp_path: Path) -> None:
    export_tables(filled, tmp_path, ["tmdb_details"], "csv")
    with (tmp_path / "tmdb_details.csv").open(newline="", encoding="utf-8") as file:
        first, second = sorted(csv.DictReader(file), key=lambda row: row["tmdb_id"])
    assert list(first) == list(TMDB_DETAILS.column_names)
    assert (first["title"], first["release_date"], first["revenue"]) == (ODD, "1999-10-15", "7")
    assert (second["imdb_id"], second["release_date"], second["title"]) == ("", "", "Fight Club")


def test_a_parquet_file_keeps_types(filled: Connection, tmp_path: Path) -> None:
    export_tables(filled, tmp_path, ["tmdb_details"], "parquet")
    rows = {row["tmdb_id"]: row for row in pq.read_table(tmp_path / "tmdb_details.parquet").to_pylist()}
    assert rows[1]["genres"] == LISTS
    assert rows[1]["release_date"] == date(1999, 10, 15)
    assert rows[1]["popularity"] == 61.4
    assert rows[2]["release_date"] is None


def test_the_history_is_exported_as_json_values(filled: Connection, tmp_path: Path) -> None:
    export_tables(filled, tmp_path, ["movie_history"], "parquet")
    (change,) = pq.read_table(tmp_path / "movie_history.parquet").to_pylist()
    assert (change["field"], json.loads(change["old_value"]), json.loads(change["new_value"])) == (
        "revenue",
        100_853_753,
        7,
    )


def test_default_tables_can_be_exported() -> None:
    assert set(DEFAULT_TABLES) <= set(EXPORTABLE)


def test_an_export_replaces_the_one_before(filled: Connection, tmp_path: Path) -> None:
    export_tables(filled, tmp_path, ["tmdb_details"], "csv")
    filled.execute("DELETE FROM tmdb_details WHERE tmdb_id = 1")
    assert export_tables(filled, tmp_path, ["tmdb_details"], "csv") == {tmp_path / "tmdb_details.csv": 1}
    assert len((tmp_path / "tmdb_details.csv").read_text().splitlines()) == 2


def test_the_folder_is_made_whatever_its_name(filled: Connection, tmp_path: Path) -> None:
    folder = tmp_path / "it's" / "a folder; --"
    assert export_tables(filled, folder, ["movies"], "parquet") == {folder / "movies.parquet": 2}


@pytest.mark.parametrize("table", ["films", "movies; DROP TABLE movies", "warehouse_schema", ""])
def test_an_unknown_table_is_an_error_that_says_where_the_known_ones_are(
    filled: Connection, tmp_path: Path, table: str
) -> None:
    with pytest.raises(ExportError, match=r"no table.*`ayne tables` lists all"):
        export_tables(filled, tmp_path / "out", ["movies", table], "csv")
    assert not (tmp_path / "out").exists()


def test_an_unknown_format_is_an_error(filled: Connection, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="'xlsx' is no format; choose parquet, csv or sqlite"):
        export_tables(filled, tmp_path, ["movies"], "xlsx")


@pytest.mark.parametrize("below", ["", "deep"])
def test_a_folder_that_cannot_be_made_is_an_error(filled: Connection, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine")
    folder = tmp_path / "file" / below
    with pytest.raises(ExportError, match="cannot be written") as caught:
        export_tables(filled, folder, ["movies"], "csv")
    assert isinstance(caught.value, WarehouseError)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_nothing_half_written_is_left(filled: Connection, tmp_path: Path, file_format: str) -> None:
    export_tables(filled, tmp_path, EXPORTABLE, file_format)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{file_format}" for name in EXPORTABLE}


def test_a_target_that_cannot_be_replaced_is_an_error_and_leaves_nothing_behind(
    filled: Connection, tmp_path: Path
) -> None:
    (tmp_path / "movies.csv").mkdir()
    with pytest.raises(ExportError, match="cannot be written"):
        export_tables(filled, tmp_path, ["movies"], "csv")
    assert [path.name for path in tmp_path.iterdir()] == ["movies.csv"]


def test_a_failed_export_leaves_the_file_before_it(filled: Connection, tmp_path: Path) -> None:
    export_tables(filled, tmp_path, ["movies"], "csv")
    before = (tmp_path / "movies.csv").read_bytes()
    (tmp_path / ".movies.csv.partial").mkdir()
    with pytest.raises(ExportError, match="cannot be written"):
        export_tables(filled, tmp_path, ["movies"], "csv")
    assert (tmp_path / "movies.csv").read_bytes() == before
