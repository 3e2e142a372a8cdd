"""The views of the warehouse: what analysts read, over the tables of `schema`. No tables, no connections."""

from __future__ import annotations

from collections.abc import Mapping

from ayne_dagster.warehouse.best_figures import (
    BEST_FIGURES_SQL,
    BOX_OFFICE_FIGURES,
    FIGURE_COLUMNS,
    FIGURE_LINES,
    FROM_TABLES,
)
from ayne_dagster.warehouse.iso_names import COUNTRY_NAMES, LANGUAGE_NAMES
from ayne_dagster.warehouse.legacy_views import LEGACY_VIEWS
from ayne_dagster.warehouse.movie_columns import (
    ADDED_COLUMNS,
    ADDED_LINES,
    ADDED_ORIGINS,
    EXPORT_JOIN,
    ITS_IMDB_ID,
    NAMES_JOIN,
    OMDB_JOIN,
    POPULARITY,
    filled,
    filled_origins,
)
from ayne_dagster.warehouse.schema import (
    ANSWER_TABLES,
    CODE_NAMES,
    DISCOVERED_MOVIES,
    FETCH_LOG,
    FETCH_LOG_DAILY,
    IMDB_RATINGS,
    MOVIE_HISTORY,
    OMDB_RATINGS,
    REFRESH_METADATA,
    RELEASE_YEAR,
    TMDB_DETAILS,
    TMDB_ID,
    TMDB_ID_EXPORT,
)
from ayne_dagster.warehouse.tables import NEVER, Column, Table, View

_RATED_BY_FILE = (
    "i.imdb_rating IS NOT NULL AND (o.imdb_rating IS NULL OR m.omdb_checked_at IS NULL"
    " OR i.listed_at >= m.omdb_checked_at - INTERVAL 1 DAY)"
)
"""Whether a movie's IMDb rating is the daily file's: OMDb has none, or was asked at most a day after the file was read.
OMDb's answers are cached for a day, and what is cached lags behind IMDb by days or weeks."""

_IMDB_LINES = (
    f"CASE WHEN {_RATED_BY_FILE} THEN i.imdb_rating ELSE o.imdb_rating END AS imdb_rating",
    f"CASE WHEN {_RATED_BY_FILE} THEN i.imdb_votes ELSE o.imdb_votes END AS imdb_votes",
    f"CASE WHEN {_RATED_BY_FILE} THEN 'imdb' WHEN o.imdb_rating IS NOT NULL THEN 'omdb' END AS imdb_rating_source",
    f"CASE WHEN {_RATED_BY_FILE} THEN i.listed_at WHEN o.imdb_rating IS NOT NULL THEN m.omdb_checked_at END"
    " AS imdb_rating_as_of",
)
_IMDB_COLUMNS = (
    Column(
        "imdb_rating", "DOUBLE", "IMDb rating, by the fresher of OMDb and IMDb's daily file", unit="points from 1 to 10"
    ),
    Column("imdb_votes", "BIGINT", "Number of IMDb votes, from where the rating is"),
    Column("imdb_rating_source", "VARCHAR", "Where rating and votes are from: imdb (its daily file) or omdb"),
    Column("imdb_rating_as_of", "TIMESTAMP", "When that source was last read or asked (UTC)"),
)


def _shared_sql(name: str) -> str:
    """What TMDB's details and listing both have; popularity is the freshest."""
    return POPULARITY if name == "popularity" else filled(name, f"coalesce(d.{name}, l.{name})")


def _columns_of(table: Table, *names: str) -> list[Column]:
    return [table.columns[table.column_names.index(name)] for name in names]


_SHARED = [c for c in TMDB_DETAILS.columns if c.name in DISCOVERED_MOVIES.types and c.name in TMDB_DETAILS.content]
_DETAILS_ONLY = [
    c for c in TMDB_DETAILS.columns if c.name in TMDB_DETAILS.content and c not in _SHARED and c.name != "imdb_id"
]
_RATINGS = _columns_of(OMDB_RATINGS, "metascore", "rotten_tomatoes_rating", "box_office", "rated", "awards")
_STATES = _columns_of(
    REFRESH_METADATA,
    *("first_seen_at", "tmdb_checked_at", "tmdb_changed_at", "tmdb_tombstoned_at"),
    *("omdb_checked_at", "omdb_changed_at", "category", "frozen"),
)
_IMDB_ID = Column("imdb_id", "VARCHAR", "IMDb's id, tt and at least 7 digits")
_LINES = [
    "m.tmdb_id",
    "m.release_year",
    "m.imdb_id",
    *("m.release_date" if c.name == "release_date" else f"{_shared_sql(c.name)} AS {c.name}" for c in _SHARED),
    *(f"{filled(c.name, f'd.{c.name}')} AS {c.name}" for c in _DETAILS_ONLY),
    *ADDED_LINES,
    *_IMDB_LINES,
    *(f"o.{c.name}" for c in _RATINGS),
    *FIGURE_LINES,
    *(f"m.{c.name}" for c in _STATES),
]
MOVIES = View(
    "movies",
    "One row a movie: the table to analyse. Details where TMDB gave them, else the listing, else OMDb's, with who "
    "says so; ratings; its money, and who states it; when each source last confirmed it. Nothing under an IMDb id that "
    "is clearly another work's.",
    f"""
SELECT {", ".join(_LINES)}
FROM refresh_metadata AS m
LEFT JOIN discovered_movies AS l ON l.tmdb_id = m.tmdb_id
LEFT JOIN tmdb_details AS d ON d.tmdb_id = m.tmdb_id
{OMDB_JOIN}
LEFT JOIN imdb_ratings AS i ON i.tmdb_id = m.tmdb_id AND i.imdb_id = {ITS_IMDB_ID}
{EXPORT_JOIN}
{NAMES_JOIN}
LEFT JOIN ({BEST_FIGURES_SQL}) AS b ON b.tmdb_id = m.tmdb_id""",
    (
        TMDB_ID,
        RELEASE_YEAR,
        _IMDB_ID,
        *_SHARED,
        *_DETAILS_ONLY,
        *ADDED_COLUMNS,
        *_IMDB_COLUMNS,
        *_RATINGS,
        *FIGURE_COLUMNS,
        *_STATES,
    ),
    {
        **{c.name: (TMDB_DETAILS.name, DISCOVERED_MOVIES.name) for c in _SHARED},
        **{c.name: (TMDB_DETAILS.name, *filled_origins(c.name)) for c in _DETAILS_ONLY},
        **ADDED_ORIGINS,
        **{c.name: (OMDB_RATINGS.name,) for c in _RATINGS},
        **{c.name: (REFRESH_METADATA.name,) for c in (TMDB_ID, RELEASE_YEAR, _IMDB_ID, *_STATES)},
        "release_date": (REFRESH_METADATA.name,),
        "popularity": (TMDB_DETAILS.name, DISCOVERED_MOVIES.name, TMDB_ID_EXPORT.name),
        "imdb_rating": (IMDB_RATINGS.name, OMDB_RATINGS.name),
        "imdb_votes": (IMDB_RATINGS.name, OMDB_RATINGS.name),
        "imdb_rating_source": (),
        "imdb_rating_as_of": (),
        **dict.fromkeys((c.name for c in FIGURE_COLUMNS), FROM_TABLES),
    },
    key=("tmdb_id",),
    unique=True,
    null="no source says it, or none was asked yet",
)
"""The analysts' table: details where they are known, else the listing; ratings and refresh times beside them."""
FETCHES_BY_DAY = View(
    "fetches_by_day",
    "One row a day and kind of attempts to ask a source, from the first day on: what the requests of each day brought.",
    """
SELECT day, source, outcome, changed, due_because,
       CAST(sum(attempts) AS BIGINT) AS attempts, CAST(sum(requests) AS BIGINT) AS requests
FROM (
    SELECT CAST(fetched_at AS DATE) AS day, source, outcome, changed, due_because, 1 AS attempts, requests
    FROM fetch_log
    UNION ALL
    SELECT day, source, outcome, changed, due_because, attempts, requests FROM fetch_log_daily
)
GROUP BY ALL""",
    FETCH_LOG_DAILY.columns,
    dict.fromkeys(FETCH_LOG_DAILY.column_names, (FETCH_LOG_DAILY.name,))
    | dict.fromkeys(
        ("source", "outcome", "changed", "due_because", "requests"), (FETCH_LOG.name, FETCH_LOG_DAILY.name)
    ),
    key=("day", "source", "outcome", "changed", "due_because"),
    null=FETCH_LOG_DAILY.null,
)

_TOLD = ("tmdb_id", "source", "field", "changed_at", "run_id")
_DATES = sorted({c.name for table in ANSWER_TABLES for c in table.columns if c.type == "DATE" and c.name != "as_of"})
_IS_DATE = f"field IN ({', '.join(repr(name) for name in _DATES)})"


def _readings_sql(side: str) -> str:
    """A value of the history, which is JSON, as a number, a date and a text: NULL for what it is not."""
    value, plain = f"{side}_value", f"json_extract_string({side}_value, '$')"
    # A list of texts is joined; rows of credits and the like, which are objects, stay as they are.
    joined = f"array_to_string(TRY_CAST(TRY_CAST({value} AS JSON) AS VARCHAR[]), ', ')"
    return (
        f"TRY_CAST({value} AS DOUBLE) AS {side}_number,"
        f" CASE WHEN {_IS_DATE} THEN TRY_CAST({plain} AS DATE) END AS {side}_date,"
        f" CASE WHEN starts_with({value}, '[') AND NOT starts_with({value}, '[{{') THEN {joined} ELSE {plain} END"
        f" AS {side}_text"
    )


def _readings(side: str, when: str) -> tuple[Column, ...]:
    return (
        Column(f"{side}_number", "DOUBLE", f"Value {when}, of a field that is a number"),
        Column(f"{side}_date", "DATE", f"Value {when}, of a field that is a day"),
        Column(f"{side}_text", "VARCHAR", f"Value {when} as a text, of any field; lists of texts are joined by commas"),
    )


MOVIE_CHANGES = View(
    "movie_changes",
    "One row a changed field, as movie_history, with the values before and after as number, date and text: NULL where "
    "the value is not of that kind, or was unknown.",
    f"SELECT {', '.join(_TOLD)}, {_readings_sql('old')}, {_readings_sql('new')} FROM movie_history",
    (
        *_columns_of(MOVIE_HISTORY, *_TOLD),
        *_readings("old", "before"),
        *_readings("new", "after"),
    ),
    dict.fromkeys(_TOLD, (MOVIE_HISTORY.name,)) | {c.name: () for side in ("old", "new") for c in _readings(side, "")},
    null="the value is of another kind, or was not known",
)


def _names_view(name: str, what: str, codes: str, names: Mapping[str, str]) -> View:
    """Codes with their English names: TMDB's where it has listed them, else the facts of `iso_names`."""
    rows = ", ".join(f"('{code}', '{text.replace(chr(39), chr(39) * 2)}')" for code, text in names.items())
    columns = (
        Column("code", "VARCHAR", codes),
        Column("name", "VARCHAR", "English name, as TMDB calls it", null=NEVER),
        Column(
            "listed_at",
            "TIMESTAMP",
            "When TMDB last listed it (UTC)",
            null="the name is the one that is built in: TMDB was not asked yet, or does not list it",
        ),
    )
    select = f"""
SELECT coalesce(told.code, known.code) AS code, coalesce(told.name, known.name) AS name, told.listed_at
FROM (VALUES {rows}) AS known (code, name)
FULL JOIN (SELECT code, name, listed_at FROM main.code_names WHERE kind = '{what}') AS told ON told.code = known.code"""
    description = f"One row a {what}: its code and English name."
    origins: dict[str, tuple[str, ...]] = {column.name: (CODE_NAMES.name,) for column in columns}
    return View(name, description, select, columns, origins, key=("code",), unique=True)


COUNTRIES = _names_view("countries", "country", "ISO 3166-1 code, also of former states", COUNTRY_NAMES)
LANGUAGES = _names_view("languages", "language", "ISO 639-1 code; also 'xx' (none) and 'cn'", LANGUAGE_NAMES)
VIEWS = (BOX_OFFICE_FIGURES, COUNTRIES, LANGUAGES, MOVIES, MOVIE_CHANGES, FETCHES_BY_DAY, *LEGACY_VIEWS)
"""In the order in which they can be made."""
