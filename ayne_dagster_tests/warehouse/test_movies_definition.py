"""The view `movies` against its plain definition, on invented worlds: what saves it joins changes no row of it."""

from __future__ import annotations

import duckdb
import pytest

from ayne_dagster.config import FIGURES, FigureChoice
from ayne_dagster.warehouse.best_figures import put_precedence

MOVIES = 400
_WORLD = (
    """INSERT INTO refresh_metadata BY NAME
    SELECT i AS tmdb_id, '2001' AS release_year, TIMESTAMP '2026-01-01' AS first_seen_at, 0 AS unchanged_cycles,
           if(luck(i, 'id') % 5 = 0, NULL, 'tt' || (1000000 + i)) AS imdb_id,
           if(luck(i, 't') % 6 = 0, NULL, TIMESTAMP '2026-02-01' + to_minutes(i)) AS tmdb_checked_at,
           if(luck(i, 'o') % 6 = 0, NULL, TIMESTAMP '2026-03-01' + to_minutes(i)) AS omdb_checked_at
    FROM range($movies) AS r(i)""",
    """INSERT INTO tmdb_details BY NAME
    SELECT i AS tmdb_id, '2001' AS release_year, 'A' AS title,
           if(luck(i, 'p') % 2 = 0, 'told', NULL) AS overview,
           [NULL, 0, 900, 60000, 2000000][1 + (luck(i, 'b') % 5)::INTEGER] AS budget,
           [NULL, 500, 90000, 5000000, 20000000000][1 + (luck(i, 'r') % 5)::INTEGER] AS revenue
    FROM range($movies) AS r(i) WHERE luck(i, 'd') % 4 > 0""",
    """INSERT INTO omdb_ratings BY NAME
    SELECT i AS tmdb_id, '2001' AS release_year, 'A' AS title, 'a plot' AS plot, 'movie' AS type,
           'tt' || (1000000 + if(luck(i, 'f') % 7 = 0, i + 1, i)) AS imdb_id,
           [NULL, 'same', 'doubtful', 'another'][1 + (luck(i, 'm') % 4)::INTEGER] AS match,
           if(luck(i, 's') % 3 = 0, NULL, 50) AS metascore,
           if(luck(i, 'v') % 3 = 0, NULL, 6.5) AS imdb_rating,
           [NULL, 700, 90000, 4000000][1 + (luck(i, 'g') % 4)::INTEGER] AS box_office
    FROM range($movies) AS r(i) WHERE luck(i, 'x') % 4 > 0""",
    """INSERT INTO imdb_ratings BY NAME
    SELECT i AS tmdb_id, 'tt' || (1000000 + i) AS imdb_id, 7.5 AS imdb_rating, 100 AS imdb_votes,
           TIMESTAMP '2026-03-01' + to_hours((luck(i, 'l') % 96)::INTEGER) AS listed_at
    FROM range($movies) AS r(i) WHERE luck(i, 'y') % 2 = 0""",
    """INSERT INTO box_office BY NAME
    SELECT i AS tmdb_id, '2001' AS release_year, source, 'gross' AS measure, scope, 'USD' AS currency,
           source || i || scope AS source_ref,
           (10000 * (1 + luck(i, source || scope) % 500))::DECIMAL(18,2) AS amount,
           if(luck(i, scope) % 2 = 0, NULL, DATE '2026-01-15') AS as_of, FALSE AS preferred, FALSE AS derived,
           'imdb_id' AS matched_by, TIMESTAMP '2026-04-01' + to_minutes(i) AS observed_at,
           TIMESTAMP '2026-04-01' AS updated_at
    FROM range($movies) AS r(i), (VALUES ('numbers'), ('wikidata')) AS s(source),
         (VALUES ('worldwide'), ('domestic'), ('unspecified')) AS p(scope)
    WHERE luck(i, source || scope || 'z') % 3 = 0""",
)
_PLAIN = """
SELECT m.tmdb_id, coalesce(d.overview, o.plot) AS overview, o.type, o.metascore, o.box_office,
       coalesce(w.match, o.match) AS omdb_match,
       CASE WHEN by_file THEN i.imdb_rating ELSE o.imdb_rating END AS imdb_rating,
       CASE WHEN by_file THEN i.listed_at WHEN o.imdb_rating IS NOT NULL THEN m.omdb_checked_at END AS imdb_rating_as_of
FROM refresh_metadata AS m
LEFT JOIN tmdb_details AS d ON d.tmdb_id = m.tmdb_id
LEFT JOIN (FROM omdb_ratings WHERE match <> 'same') AS w ON w.tmdb_id = m.tmdb_id AND w.imdb_id = m.imdb_id
LEFT JOIN omdb_ratings AS o
    ON o.tmdb_id = m.tmdb_id AND o.imdb_id = CASE WHEN w.match IS DISTINCT FROM 'another' THEN m.imdb_id END
LEFT JOIN imdb_ratings AS i
    ON i.tmdb_id = m.tmdb_id AND i.imdb_id = CASE WHEN w.match IS DISTINCT FROM 'another' THEN m.imdb_id END,
LATERAL (SELECT i.imdb_rating IS NOT NULL AND (o.imdb_rating IS NULL OR m.omdb_checked_at IS NULL
                OR i.listed_at >= m.omdb_checked_at - INTERVAL 1 DAY) AS by_file)
ORDER BY m.tmdb_id"""
"""What OMDb and IMDb say, by a join for each thing that can be said."""


@pytest.fixture(params=(1, 2, 3))
def world(request: pytest.FixtureRequest, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    connection.execute(f"CREATE TEMP MACRO luck(i, what) AS hash(concat_ws('-', {request.param}, i, what))")
    for statement in _WORLD:
        connection.execute(statement, {"movies": MOVIES})
    put_precedence(connection, FigureChoice())
    return connection


def test_what_omdb_and_imdb_say_is_that_of_the_plain_definition(world: duckdb.DuckDBPyConnection) -> None:
    expected = world.execute(_PLAIN)
    names = [column[0] for column in expected.description or ()]
    rows = expected.fetchall()
    assert {row[names.index("omdb_match")] for row in rows} == {None, "same", "doubtful", "another"}
    assert world.execute(f"SELECT {', '.join(names)} FROM movies ORDER BY tmdb_id").fetchall() == rows


def test_a_figure_of_tmdb_or_omdb_was_read_when_its_source_was_last_asked(world: duckdb.DuckDBPyConnection) -> None:
    found = world.execute(
        """SELECT f.source, count(*), count(*) FILTER (WHERE f.observed_at IS NOT DISTINCT FROM CASE f.source
               WHEN 'tmdb' THEN m.tmdb_checked_at WHEN 'omdb' THEN m.omdb_checked_at ELSE b.observed_at END)
        FROM box_office_figures AS f JOIN refresh_metadata AS m USING (tmdb_id)
        LEFT JOIN box_office AS b ON b.tmdb_id = f.tmdb_id AND b.source_ref = f.source_ref GROUP BY 1"""
    ).fetchall()
    assert {source for source, _, _ in found} == {"tmdb", "omdb", "numbers", "wikidata"}
    assert all(figures == alike > 10 for _, figures, alike in found)


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_that_is_shown_has_the_day_of_the_one_that_is_stated(
    world: duckdb.DuckDBPyConnection, figure: str
) -> None:
    ((shown, stated),) = world.execute(
        f"""SELECT count(*), count(*) FILTER (WHERE EXISTS (
               SELECT 1 FROM box_office_figures AS f
               WHERE f.tmdb_id = v.tmdb_id AND f.source = v.{figure}_source AND f.amount = v.{figure}
                 AND f.suspect IS NULL
                 AND coalesce(CAST(f.as_of AS TIMESTAMP), f.observed_at) IS NOT DISTINCT FROM v.{figure}_as_of))
        FROM movies AS v WHERE v.{figure} IS NOT NULL"""
    ).fetchall()
    assert shown == stated
    assert shown > 20 or figure == "opening_weekend"
