"""The tables of the older collection as views over today's, in the schema `legacy`: its queries go on working.

Names stand where codes are stored, and texts joined by commas where lists are, as they were. What is unknown is NULL,
also where the older collection had 0, an empty text or 'N/A'. `movie_id` is the TMDB id: it is the same in all of them.
What is new has no place here; new queries belong to the tables and views of `schema` and `views`.
"""

from __future__ import annotations

from dataclasses import replace

from ayne_dagster.refresh.ages import AGE_TABLE, by_age_sql
from ayne_dagster.refresh.states import fully_refreshed_sql
from ayne_dagster.warehouse.matching.same_work import Match
from ayne_dagster.warehouse.movie_columns import NAMES_JOIN, names_sql
from ayne_dagster.warehouse.tables import NEVER, Column, View

SCHEMA = "legacy"
FREEZE_AFTER_DAYS = next(band.up_to_days for band in reversed(AGE_TABLE) if band.up_to_days is not None)
"""Age from which a movie may freeze: where the last band begins."""

_MOVIE_ID = Column("movie_id", "BIGINT", "TMDB's number of the movie", null=NEVER)
_INTERVAL = by_age_sql([str(band.interval_days["tmdb"]) for band in AGE_TABLE]).replace("$now", "today()")
"""Days between two checks at TMDB, by the age of today."""


def _names_sql(codes: str, names: str) -> str:
    """A list of codes as a text of names."""
    return f"array_to_string({names_sql(codes, names)}, ',')"


def _view(name: str, description: str, select: str, columns: tuple[Column, ...]) -> View:
    """None of its columns is a table's column under the same name, as an origin is: names and texts are others."""
    key = (columns[0].name,)
    origins: dict[str, tuple[str, ...]] = {column.name: () for column in columns}
    return View(f"{SCHEMA}.{name}", description, select, columns, origins, key, unique=True)


_STATE = "main.refresh_metadata"
LEGACY_MOVIES = _view(
    "movies",
    "One row a movie: the older collection's `movies`.",
    f"""
SELECT m.tmdb_id AS movie_id, m.tmdb_id, m.imdb_id, coalesce(d.title, l.title) AS title, m.release_date,
       m.first_seen_at AS created_at,
       CASE WHEN {fully_refreshed_sql()} THEN greatest(m.tmdb_checked_at, m.omdb_checked_at) END AS last_full_refresh,
       m.tmdb_checked_at AS last_tmdb_update, m.omdb_checked_at AS last_omdb_update,
       m.numbers_checked_at AS last_numbers_update, coalesce(m.frozen, FALSE) AS data_frozen,
       CAST(m.unchanged_cycles AS INTEGER) AS consecutive_unchanged_refreshes
FROM {_STATE} AS m
LEFT JOIN (SELECT tmdb_id, title FROM main.discovered_movies) AS l ON l.tmdb_id = m.tmdb_id
LEFT JOIN (SELECT tmdb_id, title FROM main.tmdb_details) AS d ON d.tmdb_id = m.tmdb_id""",
    (
        _MOVIE_ID,
        Column("tmdb_id", "BIGINT", "TMDB's number of the movie", null=NEVER),
        Column("imdb_id", "VARCHAR", "IMDb's id"),
        Column("title", "VARCHAR", "Title in English, or the original one"),
        Column("release_date", "DATE", "Primary (earliest) release date, any country"),
        Column("created_at", "TIMESTAMP", "When the movie was discovered first (UTC)"),
        Column("last_full_refresh", "TIMESTAMP", "Last check, of movies that every source has answered for (UTC)"),
        Column("last_tmdb_update", "TIMESTAMP", "Last successful check at TMDB (UTC)"),
        Column("last_omdb_update", "TIMESTAMP", "Last successful check at OMDb (UTC)"),
        Column("last_numbers_update", "TIMESTAMP", "Last successful check for box-office figures (UTC)"),
        Column("data_frozen", "BOOLEAN", "No more refreshed for freshness' sake"),
        Column("consecutive_unchanged_refreshes", "INTEGER", "Refresh cycles in a row without a change"),
    ),
)
LEGACY_TMDB_MOVIES = _view(
    "tmdb_movies",
    "One row a movie with TMDB's details: the older collection's `tmdb_movies`.",
    f"""
SELECT d.tmdb_id, d.imdb_id, d.title, d.release_date, d.status, d.budget, d.revenue, d.runtime,
       d.vote_count, d.vote_average, d.popularity,
       array_to_string(d.genres, ',') AS genres,
       array_to_string(d.production_companies, ',') AS production_companies,
       {_names_sql("d.production_countries", "ck")} AS production_countries,
       {_names_sql("d.spoken_languages", "lk")} AS spoken_languages,
       d.overview, coalesce(m.tmdb_checked_at, d.updated_at) AS last_updated_utc
FROM main.tmdb_details AS d JOIN {_STATE} AS m ON m.tmdb_id = d.tmdb_id
{NAMES_JOIN}""",
    (
        Column("tmdb_id", "BIGINT", "TMDB's number of the movie", null=NEVER),
        Column("imdb_id", "VARCHAR", "IMDb's id"),
        Column("title", "VARCHAR", "Title in English, or the original one"),
        Column("release_date", "DATE", "Primary (earliest) release date, any country"),
        Column("status", "VARCHAR", "Released, Post Production, In Production …"),
        Column("budget", "BIGINT", "Budget, nominal, entered by users", unit="US dollars"),
        Column("revenue", "BIGINT", "Worldwide gross, nominal, entered by users", unit="US dollars"),
        Column("runtime", "INTEGER", "Length", unit="minutes"),
        Column("vote_count", "BIGINT", "Number of votes"),
        Column("vote_average", "DOUBLE", "Mean vote at TMDB", unit="points from 0 to 10"),
        Column("popularity", "DOUBLE", "TMDB's unitless, daily drifting score"),
        Column("genres", "VARCHAR", "Genre names, joined by commas"),
        Column("production_companies", "VARCHAR", "Company names, joined by commas"),
        Column("production_countries", "VARCHAR", "English names of countries, joined by commas"),
        Column("spoken_languages", "VARCHAR", "English names of languages, joined by commas"),
        Column("overview", "VARCHAR", "Plot in a paragraph"),
        Column("last_updated_utc", "TIMESTAMP", "When TMDB last answered (UTC)"),
    ),
)
LEGACY_OMDB_MOVIES = _view(
    "omdb_movies",
    "One row an IMDb id that OMDb has answered for: the older collection's `omdb_movies`.",
    f"""
SELECT o.imdb_id, o.title, o.year, array_to_string(o.genre, ', ') AS genre,
       array_to_string(o.director, ', ') AS director, o.writer, array_to_string(o.actors, ', ') AS actors,
       o.imdb_rating, o.imdb_votes, o.metascore, o.box_office,
       strftime(o.released, '%d %b %Y') AS released, o.runtime, array_to_string(o.language, ', ') AS language,
       array_to_string(o.country, ', ') AS country, o.rated, o.awards, o.rotten_tomatoes_rating,
       o.metascore AS meta_critic_rating,
       coalesce(CASE WHEN m.imdb_id = o.imdb_id THEN m.omdb_checked_at END, o.updated_at) AS last_updated_utc
FROM main.omdb_ratings AS o JOIN {_STATE} AS m ON m.tmdb_id = o.tmdb_id
WHERE o.imdb_id IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY o.imdb_id ORDER BY last_updated_utc DESC, o.tmdb_id) = 1""",
    (
        Column("imdb_id", "VARCHAR", "IMDb's id: no other row has it"),
        Column("title", "VARCHAR", "Title at OMDb"),
        Column("year", "INTEGER", "First year at OMDb"),
        Column("genre", "VARCHAR", "Genres, joined by a comma and a blank, as all lists of OMDb"),
        Column("director", "VARCHAR", "Directors"),
        Column("writer", "VARCHAR", "Writers"),
        Column("actors", "VARCHAR", "Leading actors"),
        Column("imdb_rating", "DOUBLE", "IMDb rating", unit="points from 1 to 10"),
        Column("imdb_votes", "BIGINT", "Number of IMDb votes"),
        Column("metascore", "INTEGER", "Metacritic score", unit="points from 0 to 100"),
        Column("box_office", "BIGINT", "US and Canada gross, nominal, not worldwide", unit="US dollars"),
        Column("released", "VARCHAR", "Release date at OMDb, as 02 Feb 1972"),
        Column("runtime", "INTEGER", "Length", unit="minutes"),
        Column("language", "VARCHAR", "Languages"),
        Column("country", "VARCHAR", "Countries"),
        Column("rated", "VARCHAR", "US certification as written there"),
        Column("awards", "VARCHAR", "Awards, as one text"),
        Column("rotten_tomatoes_rating", "INTEGER", "Tomatometer: critics who recommend it", unit="per cent"),
        Column("meta_critic_rating", "INTEGER", "The same as metascore", unit="points from 0 to 100"),
        Column("last_updated_utc", "TIMESTAMP", "When OMDb last answered (UTC)"),
    ),
)


def _amount_sql(measure: str, scopes: str, name: str) -> str:
    """A figure of The Numbers, in whole dollars."""
    return f"CAST(max(amount) FILTER (WHERE measure = '{measure}' AND scope IN ({scopes})) AS BIGINT) AS {name}"


LEGACY_NUMBERS_MOVIES = _view(
    "numbers_movies",
    "One row a movie with figures of The Numbers: the older collection's `numbers_movies`.",
    f"""
SELECT tmdb_id AS movie_id, {_amount_sql("gross", "'domestic'", "domestic_box_office")},
       {_amount_sql("gross", "'international'", "international_box_office")},
       {_amount_sql("gross", "'worldwide'", "worldwide_box_office")},
       TRY_CAST(max(release_year) AS INTEGER) AS release_year,
       {_amount_sql("production_budget", "'unspecified', 'worldwide'", "production_budget")},
       {_amount_sql("opening_weekend", "'domestic', 'unspecified'", "opening_weekend_box_office")},
       max(source_ref) FILTER (WHERE starts_with(source_ref, 'http')) AS source_url,
       max(observed_at) AS last_updated_utc
FROM main.box_office WHERE source = 'the_numbers' AND currency = 'USD' AND gone_at IS NULL
GROUP BY tmdb_id""",
    (
        _MOVIE_ID,
        Column("domestic_box_office", "BIGINT", "US and Canada gross, nominal", unit="US dollars"),
        Column("international_box_office", "BIGINT", "Gross of all other countries, nominal", unit="US dollars"),
        Column("worldwide_box_office", "BIGINT", "Worldwide gross, nominal", unit="US dollars"),
        Column("release_year", "INTEGER", "Year of the release date"),
        Column("production_budget", "BIGINT", "Budget without marketing, nominal", unit="US dollars"),
        Column("opening_weekend_box_office", "BIGINT", "Gross of the opening weekend, nominal", unit="US dollars"),
        Column("source_url", "VARCHAR", "The page"),
        Column("last_updated_utc", "TIMESTAMP", "When the page was last read (UTC)"),
    ),
)
LEGACY_MOVIE_REFRESH_STATE = _view(
    "movie_refresh_state",
    "One row a movie: the older collection's `movie_refresh_state`, of which nothing was ever filled in.",
    f"""
SELECT tmdb_id AS movie_id, {_INTERVAL} AS refresh_interval_days,
       tmdb_checked_at + to_days(refresh_interval_days) AS next_refresh_due,
       {FREEZE_AFTER_DAYS} AS freeze_after_days, coalesce(frozen, FALSE) AS frozen, tmdb_checked_at AS last_checked
FROM {_STATE}""",
    (
        _MOVIE_ID,
        Column("refresh_interval_days", "INTEGER", "Time between two checks at TMDB, by the age table", unit="days"),
        Column("next_refresh_due", "TIMESTAMP", "When that interval has passed since the last check (UTC)"),
        Column("freeze_after_days", "INTEGER", "Age from which it may freeze", unit="days"),
        Column("frozen", "BOOLEAN", "No more refreshed for freshness' sake"),
        Column("last_checked", "TIMESTAMP", "Last successful check at TMDB (UTC)"),
    ),
)
_FULL = {
    "t.title": "tmdb_title",
    "t.overview": "overview",
    "t.popularity": "popularity",
    "t.vote_average": "tmdb_vote_average",
    "t.vote_count": "tmdb_vote_count",
    "t.budget": "tmdb_budget",
    "t.revenue": "tmdb_revenue",
    "t.runtime": "tmdb_runtime",
    "t.status": "status",
    "t.genres": "genre_names",
    "t.production_companies": "production_company_name",
    "t.production_countries": "production_country_name",
    "t.spoken_languages": "spoken_languages",
    "o.rated": "rated",
    "o.released": "released",
    "o.runtime": "omdb_runtime",
    "o.genre": "omdb_genre",
    "o.director": "director",
    "o.writer": "writer",
    "o.actors": "actors",
    "o.language": "language",
    "o.country": "country",
    "o.awards": "awards",
    "o.metascore": "metascore",
    "o.imdb_rating": "imdb_rating",
    "o.imdb_votes": "imdb_votes",
    "o.box_office": "box_office",
    "o.rotten_tomatoes_rating": "rotten_tomatoes_rating",
    "o.meta_critic_rating": "meta_critic_rating",
    "n.production_budget": "production_budget",
    "n.domestic_box_office": "domestic_gross",
    "n.worldwide_box_office": "worldwide_gross",
}
"""By column of the joined views: its name in the older collection's joined table."""
_JOINED = {"t": LEGACY_TMDB_MOVIES, "o": LEGACY_OMDB_MOVIES, "n": LEGACY_NUMBERS_MOVIES}


def _renamed(origin: str, name: str) -> Column:
    view, _, former = origin.partition(".")
    column = next(c for c in _JOINED[view].columns if c.name == former)
    return replace(column, name=name)


LEGACY_FULL_DATASET = _view(
    "full_dataset",
    "One row a movie, with the columns that the older collection's `load_full_dataset` returned.",
    f"""
SELECT m.*, {", ".join(f"{origin} AS {name}" for origin, name in _FULL.items())}
FROM {SCHEMA}.movies AS m
LEFT JOIN {SCHEMA}.tmdb_movies AS t ON t.tmdb_id = m.tmdb_id
LEFT JOIN (SELECT tmdb_id, imdb_id FROM main.omdb_ratings WHERE match = '{Match.ANOTHER}') AS w
    ON w.tmdb_id = m.tmdb_id AND w.imdb_id = m.imdb_id
LEFT JOIN {SCHEMA}.omdb_movies AS o ON o.imdb_id = CASE WHEN w.tmdb_id IS NULL THEN m.imdb_id END
LEFT JOIN {SCHEMA}.numbers_movies AS n ON n.movie_id = m.movie_id""",
    (*LEGACY_MOVIES.columns, *(_renamed(origin, name) for origin, name in _FULL.items())),
)
LEGACY_VIEWS = (
    LEGACY_MOVIES,
    LEGACY_TMDB_MOVIES,
    LEGACY_OMDB_MOVIES,
    LEGACY_NUMBERS_MOVIES,
    LEGACY_MOVIE_REFRESH_STATE,
    LEGACY_FULL_DATASET,
)
"""In the order in which they can be made."""
