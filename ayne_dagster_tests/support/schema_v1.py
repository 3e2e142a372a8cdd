"""A database as schema version 1 made it, with rows of every kind: frozen, never to be changed."""

from __future__ import annotations

from pathlib import Path

import duckdb

from ayne_dagster.warehouse.database import CONNECTION_CONFIG

DDL = """
CREATE TABLE discovered_movies (
    tmdb_id BIGINT,
    release_year VARCHAR,
    title VARCHAR,
    original_title VARCHAR,
    original_language VARCHAR,
    release_date DATE,
    overview VARCHAR,
    genre_ids INTEGER[],
    popularity DOUBLE,
    vote_average DOUBLE,
    vote_count BIGINT,
    poster_path VARCHAR,
    backdrop_path VARCHAR,
    adult BOOLEAN,
    video BOOLEAN,
    updated_at TIMESTAMP,
    PRIMARY KEY (tmdb_id)
);
CREATE TABLE tmdb_details (
    tmdb_id BIGINT,
    release_year VARCHAR,
    imdb_id VARCHAR,
    wikidata_id VARCHAR,
    title VARCHAR,
    original_title VARCHAR,
    original_language VARCHAR,
    origin_country VARCHAR[],
    overview VARCHAR,
    tagline VARCHAR,
    homepage VARCHAR,
    status VARCHAR,
    release_date DATE,
    runtime INTEGER,
    budget BIGINT,
    revenue BIGINT,
    popularity DOUBLE,
    vote_average DOUBLE,
    vote_count BIGINT,
    collection_id BIGINT,
    collection_name VARCHAR,
    genres VARCHAR[],
    production_companies VARCHAR[],
    production_countries VARCHAR[],
    spoken_languages VARCHAR[],
    keywords VARCHAR[],
    directors VARCHAR[],
    writers VARCHAR[],
    actors VARCHAR[],
    certification VARCHAR,
    us_release_date DATE,
    poster_path VARCHAR,
    backdrop_path VARCHAR,
    adult BOOLEAN,
    video BOOLEAN,
    updated_at TIMESTAMP,
    PRIMARY KEY (tmdb_id)
);
CREATE TABLE omdb_ratings (
    tmdb_id BIGINT,
    release_year VARCHAR,
    imdb_id VARCHAR,
    title VARCHAR,
    year INTEGER,
    type VARCHAR,
    rated VARCHAR,
    released DATE,
    runtime INTEGER,
    genre VARCHAR[],
    director VARCHAR[],
    writer VARCHAR,
    actors VARCHAR[],
    plot VARCHAR,
    language VARCHAR[],
    country VARCHAR[],
    awards VARCHAR,
    poster VARCHAR,
    imdb_rating DOUBLE,
    imdb_votes BIGINT,
    metascore INTEGER,
    rotten_tomatoes_rating INTEGER,
    box_office BIGINT,
    dvd DATE,
    production VARCHAR,
    website VARCHAR,
    updated_at TIMESTAMP,
    PRIMARY KEY (tmdb_id)
);
CREATE TABLE refresh_metadata (
    tmdb_id BIGINT,
    release_year VARCHAR,
    release_date DATE,
    imdb_id VARCHAR,
    first_seen_at TIMESTAMP,
    last_seen_at TIMESTAMP,
    unchanged_cycles SMALLINT,
    override VARCHAR,
    override_at TIMESTAMP,
    tmdb_attempted_at TIMESTAMP,
    tmdb_checked_at TIMESTAMP,
    tmdb_changed_at TIMESTAMP,
    tmdb_failures SMALLINT,
    tmdb_missing_since TIMESTAMP,
    tmdb_tombstoned_at TIMESTAMP,
    omdb_attempted_at TIMESTAMP,
    omdb_checked_at TIMESTAMP,
    omdb_changed_at TIMESTAMP,
    omdb_failures SMALLINT,
    omdb_missing_since TIMESTAMP,
    omdb_tombstoned_at TIMESTAMP,
    numbers_attempted_at TIMESTAMP,
    numbers_checked_at TIMESTAMP,
    numbers_changed_at TIMESTAMP,
    numbers_failures SMALLINT,
    numbers_missing_since TIMESTAMP,
    numbers_tombstoned_at TIMESTAMP,
    discovered_movies_hash BIGINT,
    tmdb_details_hash BIGINT,
    omdb_ratings_hash BIGINT,
    category VARCHAR,
    fully_refreshed BOOLEAN,
    frozen BOOLEAN,
    decided_at TIMESTAMP,
    PRIMARY KEY (tmdb_id)
);
CREATE TABLE movie_history (
    tmdb_id BIGINT,
    source VARCHAR,
    field VARCHAR,
    old_value VARCHAR,
    new_value VARCHAR,
    changed_at TIMESTAMP,
    run_id VARCHAR
);
CREATE TABLE fetch_log (
    tmdb_id BIGINT,
    source VARCHAR,
    fetched_at TIMESTAMP,
    outcome VARCHAR,
    changed BOOLEAN,
    requests INTEGER,
    reason VARCHAR,
    run_id VARCHAR
);
CREATE TABLE quarantine (
    tmdb_id BIGINT,
    source VARCHAR,
    subject VARCHAR,
    quarantined_at TIMESTAMP,
    reason VARCHAR,
    body VARCHAR,
    run_id VARCHAR
);
CREATE TABLE collection_status (
    observed_at TIMESTAMP,
    total_movies BIGINT,
    with_tmdb BIGINT,
    with_omdb BIGINT,
    fully_refreshed BIGINT,
    frozen BIGINT,
    recent BIGINT,
    established BIGINT,
    mature BIGINT,
    archived BIGINT,
    quarantined BIGINT,
    PRIMARY KEY (observed_at)
);
CREATE VIEW movies AS
SELECT m.tmdb_id, m.release_year, m.imdb_id, coalesce(d.title, l.title) AS title, coalesce(d.original_title,
l.original_title) AS original_title, coalesce(d.original_language, l.original_language) AS original_language,
coalesce(d.overview, l.overview) AS overview, m.release_date, coalesce(d.popularity, l.popularity) AS
popularity, coalesce(d.vote_average, l.vote_average) AS vote_average, coalesce(d.vote_count, l.vote_count) AS
vote_count, coalesce(d.poster_path, l.poster_path) AS poster_path, coalesce(d.backdrop_path, l.backdrop_path)
AS backdrop_path, coalesce(d.adult, l.adult) AS adult, coalesce(d.video, l.video) AS video, d.wikidata_id,
d.origin_country, d.tagline, d.homepage, d.status, d.runtime, d.budget, d.revenue, d.collection_id,
d.collection_name, d.genres, d.production_companies, d.production_countries, d.spoken_languages, d.keywords,
d.directors, d.writers, d.actors, d.certification, d.us_release_date, o.imdb_rating, o.imdb_votes,
o.metascore, o.rotten_tomatoes_rating, o.box_office, o.rated, o.awards, m.first_seen_at, m.tmdb_checked_at,
m.tmdb_changed_at, m.tmdb_tombstoned_at, m.omdb_checked_at, m.omdb_changed_at, m.category, m.frozen
FROM refresh_metadata AS m
LEFT JOIN discovered_movies AS l ON l.tmdb_id = m.tmdb_id
LEFT JOIN tmdb_details AS d ON d.tmdb_id = m.tmdb_id
LEFT JOIN omdb_ratings AS o ON o.tmdb_id = m.tmdb_id AND o.imdb_id = m.imdb_id;
CREATE TABLE warehouse_schema (version INTEGER);
INSERT INTO warehouse_schema VALUES (1);
"""

ROWS = """
INSERT INTO refresh_metadata BY NAME
SELECT 550 AS tmdb_id, '1999' AS release_year, DATE '1999-10-15' AS release_date, 'tt0137523' AS imdb_id,
       TIMESTAMP '2025-12-01 12:00:00' AS first_seen_at, TIMESTAMP '2025-12-20 12:00:00' AS last_seen_at,
       2 AS unchanged_cycles, 'thaw' AS override, TIMESTAMP '2025-12-02 12:00:00' AS override_at,
       TIMESTAMP '2025-12-03 12:00:00' AS tmdb_attempted_at, TIMESTAMP '2025-12-03 12:00:00' AS tmdb_checked_at,
       TIMESTAMP '2025-12-03 12:00:00' AS tmdb_changed_at, 0 AS tmdb_failures,
       TIMESTAMP '2025-12-04 12:00:00' AS omdb_attempted_at, TIMESTAMP '2025-12-04 12:00:00' AS omdb_checked_at,
       TIMESTAMP '2025-12-04 12:00:00' AS omdb_changed_at, 0 AS omdb_failures, 0 AS numbers_failures,
       'archived' AS category, TRUE AS fully_refreshed, FALSE AS frozen;
INSERT INTO refresh_metadata BY NAME
SELECT 551 AS tmdb_id, '2020' AS release_year, DATE '2020-05-01' AS release_date, 0 AS unchanged_cycles,
       TIMESTAMP '2025-12-01 12:00:00' AS first_seen_at, TIMESTAMP '2025-12-01 12:00:00' AS last_seen_at,
       TIMESTAMP '2025-12-05 12:00:00' AS tmdb_attempted_at, 3 AS tmdb_failures, 0 AS omdb_failures,
       0 AS numbers_failures;
INSERT INTO discovered_movies BY NAME
SELECT 550 AS tmdb_id, '1999' AS release_year, 'Fight Club' AS title, DATE '1999-10-15' AS release_date,
       [18, 53] AS genre_ids, 61.4 AS popularity, 26280 AS vote_count
UNION ALL BY NAME
SELECT 551 AS tmdb_id, '2020' AS release_year, 'Another' AS title, DATE '2020-05-01' AS release_date;
INSERT INTO tmdb_details BY NAME
SELECT 550 AS tmdb_id, '1999' AS release_year, 'tt0137523' AS imdb_id, 'Fight Club' AS title,
       DATE '1999-10-15' AS release_date, ['Drama', 'Thriller'] AS genres, 63000000 AS budget;
INSERT INTO omdb_ratings BY NAME
SELECT 550 AS tmdb_id, '1999' AS release_year, 'tt0137523' AS imdb_id, 8.8 AS imdb_rating, 2100000 AS imdb_votes;
INSERT INTO fetch_log BY NAME
SELECT 550 AS tmdb_id, 'tmdb' AS source, TIMESTAMP '2025-12-03 12:00:00' AS fetched_at, 'fetched' AS outcome,
       TRUE AS changed, 1 AS requests, 'r1' AS run_id
UNION ALL BY NAME
SELECT 550 AS tmdb_id, 'omdb' AS source, TIMESTAMP '2025-12-04 12:00:00' AS fetched_at, 'fetched' AS outcome,
       TRUE AS changed, 1 AS requests, 'r1' AS run_id
UNION ALL BY NAME
SELECT 551 AS tmdb_id, 'tmdb' AS source, TIMESTAMP '2025-12-05 12:00:00' AS fetched_at, 'failed' AS outcome,
       FALSE AS changed, 5 AS requests, 'r1' AS run_id;
INSERT INTO movie_history BY NAME
SELECT 550 AS tmdb_id, 'tmdb_details' AS source, 'budget' AS field, '1' AS old_value, '63000000' AS new_value,
       TIMESTAMP '2025-12-03 12:00:00' AS changed_at, 'r1' AS run_id;
INSERT INTO collection_status BY NAME SELECT TIMESTAMP '2025-12-05 13:00:00' AS observed_at, 2 AS total_movies;
"""


def make_version_1(path: Path) -> None:
    """Write such a database."""
    with duckdb.connect(str(path), config=CONNECTION_CONFIG) as connection:
        connection.execute(DDL)
        connection.execute(ROWS)
