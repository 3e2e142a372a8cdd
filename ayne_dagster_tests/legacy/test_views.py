"""The queries that people ran against the older collection, against the views that stand for its tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ayne_dagster.legacy.taking_over import take_over
from ayne_dagster.warehouse.care.export import export_tables
from ayne_dagster.warehouse.care.snapshot import publish_snapshot
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.legacy_views import LEGACY_FULL_DATASET, LEGACY_VIEWS
from ayne_dagster_tests.support.legacy import LegacyCollection, legacy_collection, write_legacy

NOW = datetime(2026, 8, 23, 12, tzinfo=UTC)
MADE = legacy_collection(80, NOW, era="D4")
FULL = (
    "movie_id, tmdb_id, imdb_id, title, release_date, created_at, last_full_refresh, last_tmdb_update,"
    " last_omdb_update, last_numbers_update, data_frozen, consecutive_unchanged_refreshes, tmdb_title, overview,"
    " popularity, tmdb_vote_average, tmdb_vote_count, tmdb_budget, tmdb_revenue, tmdb_runtime, status, genre_names,"
    " production_company_name, production_country_name, spoken_languages, rated, released, omdb_runtime, omdb_genre,"
    " director, writer, actors, language, country, awards, metascore, imdb_rating, imdb_votes, box_office,"
    " rotten_tomatoes_rating, meta_critic_rating, production_budget, domestic_gross, worldwide_gross"
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A warehouse into which a whole collection was taken over."""
    folder = tmp_path_factory.mktemp("views")
    database = Database(folder / "data" / "ayne.duckdb")
    take_over(write_legacy(folder / "old.duckdb", MADE, "D4"), database, NOW, print)
    return database


@pytest.fixture
def connection(database: Database) -> Iterator[duckdb.DuckDBPyConnection]:
    """As a person would ask: the views stand first, so that old queries need no change."""
    with database.connect(read_only=True) as opened:
        opened.execute("SET schema = 'legacy'")
        yield opened


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The older collection itself, with what is unknown made unknown: there the queries come from."""
    made = LegacyCollection(
        MADE.movies,
        [_without_unknown(row) for row in MADE.tmdb_movies],
        [_without_unknown(row) for row in MADE.omdb_movies],
        MADE.numbers_movies,
    )
    path = write_legacy(tmp_path_factory.mktemp("old") / "old.duckdb", made, "D4")
    with duckdb.connect(str(path), read_only=True) as opened:
        yield opened


def _without_unknown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if value in ("", "N/A") or (value == 0 and name != "rotten_tomatoes_rating") else value
        for name, value in row.items()
    }


@pytest.mark.parametrize(
    "query",
    [
        # as they were written: counts, lists, joins, money, names
        "SELECT count(*) FROM movies",
        "SELECT tmdb_id, imdb_id, title, release_date FROM movies ORDER BY tmdb_id",
        "SELECT * FROM tmdb_movies ORDER BY tmdb_id",
        "SELECT * FROM omdb_movies ORDER BY imdb_id",
        "SELECT EXTRACT(YEAR FROM release_date) AS year, count(*) FROM movies GROUP BY year ORDER BY year",
        "SELECT m.title, o.imdb_rating FROM movies m JOIN omdb_movies o ON m.imdb_id = o.imdb_id ORDER BY m.tmdb_id",
        "SELECT m.tmdb_id, t.title, o.awards FROM movies m LEFT JOIN tmdb_movies t USING (tmdb_id)"
        " LEFT JOIN omdb_movies o ON o.imdb_id = m.imdb_id ORDER BY m.tmdb_id",
        "SELECT title, revenue * 1.0 / budget AS roi FROM tmdb_movies"
        " WHERE budget >= 100000 AND revenue >= 1 ORDER BY roi",
        "SELECT t.title, t.revenue - o.box_office AS international FROM tmdb_movies t"
        " JOIN omdb_movies o ON o.imdb_id = t.imdb_id WHERE o.box_office > 0 ORDER BY t.tmdb_id",
        "SELECT count(*) FROM tmdb_movies WHERE production_countries LIKE '%United States of America%'",
        "SELECT trim(g) AS genre, count(*) FROM (SELECT unnest(string_split(genres, ',')) AS g FROM tmdb_movies)"
        " GROUP BY genre ORDER BY genre",
        "SELECT count(*) FROM omdb_movies WHERE regexp_matches(awards, '([0-9]+) wins?')",
        "SELECT string_split(actors, ', ')[1] AS first, count(*) FROM omdb_movies GROUP BY first ORDER BY first",
        "SELECT round(100.0 * count(o.imdb_id) / count(*), 1) FROM movies m"
        " LEFT JOIN omdb_movies o ON o.imdb_id = m.imdb_id",
        "SELECT count(*) FROM movies WHERE release_date BETWEEN DATE '2000-01-01' AND DATE '2010-12-31'",
        "SELECT CASE WHEN DATEDIFF('day', release_date, DATE '2026-08-23') <= 60 THEN 'recent' ELSE 'older' END AS age,"
        " count(*) FROM movies GROUP BY age ORDER BY age",
        "SELECT m.tmdb_id, n.domestic_box_office, n.international_box_office, n.worldwide_box_office,"
        " n.production_budget, n.opening_weekend_box_office, n.release_year, n.source_url, n.last_updated_utc"
        " FROM movies m JOIN numbers_movies n ON n.movie_id = m.movie_id ORDER BY m.tmdb_id",
    ],
)
def test_a_query_of_the_older_collection_gives_what_it_gave(
    connection: duckdb.DuckDBPyConnection, old: duckdb.DuckDBPyConnection, query: str
) -> None:
    expected = old.execute(query).fetchall()
    assert expected, "a query that finds nothing proves nothing"
    assert connection.execute(query).fetchall() == expected


def test_the_joined_table_has_the_columns_that_it_had(connection: duckdb.DuckDBPyConnection) -> None:
    columns = [row[0] for row in connection.execute("DESCRIBE full_dataset").fetchall()]
    assert columns == FULL.split(", ") == [column.name for column in LEGACY_FULL_DATASET.columns]
    assert connection.execute("SELECT count(*), count(DISTINCT movie_id) FROM full_dataset").fetchall() == [(80, 80)]
    usable = "tmdb_budget IS NOT NULL AND tmdb_revenue IS NOT NULL"
    assert connection.execute(f"SELECT count(*) FROM full_dataset WHERE {usable}").fetchall()[0][0] > 20


def test_every_view_has_the_columns_and_types_that_are_documented(connection: duckdb.DuckDBPyConnection) -> None:
    for view in LEGACY_VIEWS:
        found = [(row[0], row[1]) for row in connection.execute(f"DESCRIBE {view.name}").fetchall()]
        assert found == [(column.name, column.type) for column in view.columns], view.name


def test_todays_views_stand_beside_them(connection: duckdb.DuckDBPyConnection) -> None:
    row = connection.execute("SELECT genres, production_countries FROM main.movies WHERE genres IS NOT NULL").fetchone()
    assert row is not None
    assert isinstance(row[0], list)
    state = connection.execute("SELECT count(*), count(next_refresh_due) FROM movie_refresh_state").fetchall()
    assert state == [(80, 80)]


def test_movies_say_when_each_source_answered(connection: duckdb.DuckDBPyConnection) -> None:
    checked = {r["tmdb_id"]: r["last_updated_utc"] for r in MADE.tmdb_movies}
    found = connection.execute("SELECT tmdb_id, last_tmdb_update FROM movies").fetchall()
    assert dict(found) == checked
    full = "last_full_refresh IS NOT NULL AND imdb_id IS NOT NULL AND last_omdb_update IS NULL"
    assert connection.execute(f"SELECT count(*) FROM movies WHERE {full}").fetchall() == [(0,)]


def test_the_views_are_in_snapshots_and_can_be_exported(database: Database, tmp_path: Path) -> None:
    publish_snapshot(database, tmp_path / "copy.duckdb")
    with duckdb.connect(str(tmp_path / "copy.duckdb"), read_only=True) as copy:
        assert copy.execute("SELECT count(*) FROM legacy.full_dataset").fetchall() == [(80,)]
    with database.connect(read_only=True) as connection:
        written = export_tables(connection, tmp_path / "files", ["legacy.tmdb_movies", "legacy.movies"], "csv")
    assert list(written.values()) == [80, 80]
    first = (tmp_path / "files" / "legacy.tmdb_movies.csv").read_text().splitlines()[0]
    assert first.startswith("tmdb_id,imdb_id,title,release_date,status,budget")


def test_dates_are_as_omdb_writes_them(connection: duckdb.DuckDBPyConnection) -> None:
    (released,) = connection.execute("SELECT released FROM omdb_movies WHERE released IS NOT NULL").fetchall()[0]
    assert datetime.strptime(released, "%d %b %Y").replace(tzinfo=UTC).date() > date(1950, 1, 1)
