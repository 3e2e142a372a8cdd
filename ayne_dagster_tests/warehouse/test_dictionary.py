"""What tables, views and columns are is said of each of them, and stands in the database, its copies and migrations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from ayne_dagster.warehouse import database as database_module
from ayne_dagster.warehouse.care.snapshot import publish_snapshot
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.dictionary import ASKED, RELATIONS, column_texts, made_of, null_meaning, unit
from ayne_dagster.warehouse.movies_at import MACROS
from ayne_dagster.warehouse.schema import ALL_TABLES, OMDB_RATINGS, TMDB_DETAILS
from ayne_dagster.warehouse.tables import NEVER
from ayne_dagster.warehouse.views import MOVIES, VIEWS
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
from ayne_dagster_tests.support.schema_v1 import make_version_1

QUALIFIED = "if(schema_name = 'main', '', schema_name || '.') || "


def comments_in(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """The comments of a database: of relations by name, of columns by relation and name."""
    ours = "WHERE NOT internal AND database_name = current_database()"
    found: dict[str, Any] = {}
    for kind in ("table", "view"):
        found |= dict(
            connection.execute(f"SELECT {QUALIFIED}{kind}_name, comment FROM duckdb_{kind}s() {ours}").fetchall()
        )
    macros = (
        "SELECT function_name, comment FROM duckdb_functions() WHERE function_type = 'table_macro' AND NOT internal"
    )
    found |= dict(connection.execute(macros).fetchall())
    columns = connection.execute(
        f"SELECT {QUALIFIED}table_name || '.' || column_name, comment FROM duckdb_columns() {ours}"
    ).fetchall()
    return found | dict(columns)


def expected() -> dict[str, str]:
    """Of what a database says; a macro's columns can have no comment."""
    texts = {name: relation.description for name, relation in ASKED.items()}
    for name, relation in RELATIONS.items():
        texts |= {f"{name}.{column}": text for column, text in column_texts(relation).items()}
    return texts


def assert_commented(connection: duckdb.DuckDBPyConnection) -> None:
    found = comments_in(connection)
    assert {name: found.get(name) for name in expected()} == expected()


@pytest.mark.makes_tables
def test_a_new_database_says_of_every_table_view_and_column_what_it_is(tmp_path: Path) -> None:
    database_module._make_empty(tmp_path / "new.duckdb")
    with duckdb.connect(str(tmp_path / "new.duckdb"), read_only=True) as connection:
        assert_commented(connection)
    assert len(expected()) > 500


def test_a_migrated_database_says_so_too(tmp_path: Path) -> None:
    make_version_1(tmp_path / "old.duckdb")
    with Database(tmp_path / "old.duckdb").connect() as connection:
        assert_commented(connection)


def test_a_snapshot_says_so_too(database: Database, tmp_path: Path) -> None:
    with database.connect():
        pass
    publish_snapshot(database, tmp_path / "copy.duckdb")
    with duckdb.connect(str(tmp_path / "copy.duckdb"), read_only=True) as connection:
        assert_commented(connection)


def test_every_text_is_one_line_and_says_what_null_means() -> None:
    of_macros = {f"{m.name}.{column}": text for m in MACROS for column, text in column_texts(m).items()}
    for name, text in (expected() | of_macros).items():
        assert text == " ".join(text.split()), name
        assert len(text) > 10, name
        if "." in name.removeprefix("legacy."):
            assert text.endswith(".")
            assert text.count("NULL") == 1, f"{name}: {text}"


def test_units_and_the_meanings_of_null_are_said_where_the_column_is_described() -> None:
    columns = {column.name: column for column in TMDB_DETAILS.columns}
    assert column_texts(TMDB_DETAILS)["runtime"] == "Length (minutes). NULL: TMDB does not say it."
    assert column_texts(MOVIES)["runtime"] == "Length (minutes). NULL: no source says it, or none was asked yet."
    assert column_texts(MOVIES)["tmdb_id"] == "TMDB's number of the movie. Never NULL."
    assert unit(columns["updated_at"]) == "UTC"
    assert unit(columns["vote_count"]) == ""
    amounts = [c for r in RELATIONS.values() for c in r.columns if c.type.startswith("DECIMAL")]
    assert all("dollars" in unit(column) or "currency" in unit(column) for column in amounts)


@pytest.fixture
def filled(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    merge_listed(connection, listed(1), listed(2, release_date=None), listed(3))
    merge_details(connection, details(1), details(2, imdb_id=None, release_date=None, budget=None))
    merge_details(connection, details(1, START + DAY, title=None, genres=["Drama"], runtime=100))
    merge_ratings(connection, ratings(1))
    return connection


def test_no_column_that_is_never_null_is_null(filled: duckdb.DuckDBPyConnection) -> None:
    for name, relation in RELATIONS.items():
        for column in relation.columns:
            if null_meaning(relation, column) == NEVER:
                sql = f"SELECT count(*) FROM {name} WHERE {column.name} IS NULL"
                assert filled.execute(sql).fetchall() == [(0,)], f"{name}.{column.name}"


def test_keys_are_of_columns_that_there_are_and_unique_where_it_is_said(filled: duckdb.DuckDBPyConnection) -> None:
    for view in VIEWS:
        assert view.key or view.name == "movie_changes"  # of a table to which rows are only added
        assert set(view.key) <= {column.name for column in view.columns}
        if view.unique:
            keys = f"SELECT {', '.join(view.key)} FROM {view.name} GROUP BY ALL HAVING count(*) > 1"
            assert filled.execute(keys).fetchall() == [], view.name


def test_what_a_view_is_made_of_are_the_tables_that_its_query_reads() -> None:
    views = {view.name: view for view in VIEWS}
    assert made_of(views["fetches_by_day"]) == ["fetch_log", "fetch_log_daily"]
    assert {OMDB_RATINGS.name, TMDB_DETAILS.name, "imdb_ratings"} <= set(made_of(MOVIES))
    for view in VIEWS:
        told = {origin for origins in view.origins.values() for origin in origins}
        through = {name for made in made_of(view) if made in views for name in made_of(views[made])}
        assert told <= {*made_of(view), *through}, view.name
    assert set(RELATIONS) == {*ALL_TABLES, *views}
