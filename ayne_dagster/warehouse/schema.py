"""What the warehouse holds: every table and column, with its type and meaning. No queries, no connections.

A column's `drifts` mark says that its value moves daily by itself (popularity, vote counters): it is stored and its
history kept, but it does not count as a change of the movie (DESIGN, "Refresh rules").

The DDL stays within what DuckLake accepts too, except for the keys, which only a native file declares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from ayne_dagster.refresh.strategy import SOURCES

SCHEMA_VERSION = 1
"""Written to every database; one with a newer number is refused, an older one is migrated when it is opened."""


@dataclass(frozen=True)
class Column:
    """One column: its name, DuckDB type, meaning, and whether its value drifts without the movie changing."""

    name: str
    type: str
    description: str
    drifts: bool = False


@dataclass(frozen=True)
class Table:
    """One table: columns in order, its key (empty for append-only logs), and what a row is."""

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ("tmdb_id",)
    source: str | None = None
    """The API whose answers fill the table, where there is one."""
    upstream: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns, in order."""
        return tuple(c.name for c in self.columns)

    @cached_property
    def types(self) -> dict[str, str]:
        """DuckDB type of each column."""
        return {c.name: c.type for c in self.columns}

    @cached_property
    def content(self) -> tuple[str, ...]:
        """Columns that hold what the source said: all but the key, the partition and the bookkeeping."""
        return tuple(c.name for c in self.columns if c.name not in (*self.key, "release_year", "updated_at"))

    @cached_property
    def significant(self) -> tuple[str, ...]:
        """Content columns whose change counts as a change of the movie."""
        drifting = {c.name for c in self.columns if c.drifts}
        return tuple(name for name in self.content if name not in drifting)

    def ddl(self) -> str:
        """The CREATE TABLE statement."""
        lines = [f"{c.name} {c.type}" for c in self.columns]
        if self.key:
            lines.append(f"PRIMARY KEY ({', '.join(self.key)})")
        return f"CREATE TABLE IF NOT EXISTS {self.name} (\n    " + ",\n    ".join(lines) + "\n)"


TMDB_ID = Column("tmdb_id", "BIGINT", "TMDB's number of the movie: the key")
RELEASE_YEAR = Column("release_year", "VARCHAR", "Partition: year of release_date, or 'unknown'")
UPDATED_AT = Column("updated_at", "TIMESTAMP", "When this row last changed (UTC)")

DISCOVERED_MOVIES = Table(
    "discovered_movies",
    "One row a movie found on TMDB's discover pages, as the listing describes it.",
    (
        TMDB_ID,
        RELEASE_YEAR,
        Column("title", "VARCHAR", "Title in English, or the original one"),
        Column("original_title", "VARCHAR", "Title in the original language"),
        Column("original_language", "VARCHAR", "ISO 639-1 code; also 'xx' (none) and 'cn'"),
        Column("release_date", "DATE", "Primary (earliest) release date, any country"),
        Column("overview", "VARCHAR", "Plot in a paragraph"),
        Column("genre_ids", "INTEGER[]", "TMDB's genre numbers"),
        Column("popularity", "DOUBLE", "TMDB's unitless, daily drifting score", drifts=True),
        Column("vote_average", "DOUBLE", "Mean vote, 0 to 10", drifts=True),
        Column("vote_count", "BIGINT", "Number of votes", drifts=True),
        Column("poster_path", "VARCHAR", "Path of the poster below TMDB's image host"),
        Column("backdrop_path", "VARCHAR", "Path of the backdrop below TMDB's image host"),
        Column("adult", "BOOLEAN", "Adult content"),
        Column("video", "BOOLEAN", "Not a feature film (a concert, a making-of)"),
        UPDATED_AT,
    ),
    source="tmdb",
)

TMDB_DETAILS = Table(
    "tmdb_details",
    "One row a movie: TMDB's details, with credits, keywords, external ids and US certification.",
    (
        TMDB_ID,
        RELEASE_YEAR,
        Column("imdb_id", "VARCHAR", "IMDb's id, tt and at least 7 digits"),
        Column("wikidata_id", "VARCHAR", "Wikidata's id, Q and digits"),
        Column("title", "VARCHAR", "Title in English, or the original one"),
        Column("original_title", "VARCHAR", "Title in the original language"),
        Column("original_language", "VARCHAR", "ISO 639-1 code; also 'xx' (none) and 'cn'"),
        Column("origin_country", "VARCHAR[]", "ISO 3166-1 codes"),
        Column("overview", "VARCHAR", "Plot in a paragraph"),
        Column("tagline", "VARCHAR", "Tagline"),
        Column("homepage", "VARCHAR", "Web page of the movie"),
        Column("status", "VARCHAR", "Rumored, Planned, In Production, Post Production, Released or Canceled"),
        Column("release_date", "DATE", "Primary (earliest) release date, any country"),
        Column("runtime", "INTEGER", "Minutes"),
        Column("budget", "BIGINT", "US dollars, entered by users"),
        Column("revenue", "BIGINT", "Worldwide, US dollars, entered by users"),
        Column("popularity", "DOUBLE", "TMDB's unitless, daily drifting score", drifts=True),
        Column("vote_average", "DOUBLE", "Mean vote, 0 to 10", drifts=True),
        Column("vote_count", "BIGINT", "Number of votes", drifts=True),
        Column("collection_id", "BIGINT", "TMDB's number of the series it belongs to"),
        Column("collection_name", "VARCHAR", "Name of the series it belongs to"),
        Column("genres", "VARCHAR[]", "Genre names"),
        Column("production_companies", "VARCHAR[]", "Company names"),
        Column("production_countries", "VARCHAR[]", "ISO 3166-1 codes"),
        Column("spoken_languages", "VARCHAR[]", "ISO 639-1 codes"),
        Column("keywords", "VARCHAR[]", "Keywords"),
        Column("directors", "VARCHAR[]", "Names of the directors"),
        Column("writers", "VARCHAR[]", "Names of the writing department's credited writers"),
        Column("actors", "VARCHAR[]", "Names of the first 15 of the cast, in billing order"),
        Column("certification", "VARCHAR", "US certification (PG-13, R, …)"),
        Column("us_release_date", "DATE", "First theatrical release in the US"),
        Column("poster_path", "VARCHAR", "Path of the poster below TMDB's image host"),
        Column("backdrop_path", "VARCHAR", "Path of the backdrop below TMDB's image host"),
        Column("adult", "BOOLEAN", "Adult content"),
        Column("video", "BOOLEAN", "Not a feature film (a concert, a making-of)"),
        UPDATED_AT,
    ),
    source="tmdb",
)

OMDB_RATINGS = Table(
    "omdb_ratings",
    "One row a movie: what OMDb says of the IMDb id that TMDB gives.",
    (
        TMDB_ID,
        RELEASE_YEAR,
        Column("imdb_id", "VARCHAR", "The IMDb id that was asked for and answered"),
        Column("title", "VARCHAR", "Title at OMDb"),
        Column("year", "INTEGER", "First year at OMDb"),
        Column("type", "VARCHAR", "movie, series, episode or game"),
        Column("rated", "VARCHAR", "US certification as written there"),
        Column("released", "DATE", "Release date at OMDb"),
        Column("runtime", "INTEGER", "Minutes"),
        Column("genre", "VARCHAR[]", "Genres"),
        Column("director", "VARCHAR[]", "Directors"),
        Column("writer", "VARCHAR", "Writers, as one text: its commas do not separate reliably"),
        Column("actors", "VARCHAR[]", "Leading actors"),
        Column("plot", "VARCHAR", "Plot in a sentence or two"),
        Column("language", "VARCHAR[]", "Languages"),
        Column("country", "VARCHAR[]", "Countries"),
        Column("awards", "VARCHAR", "Awards, as one text"),
        Column("poster", "VARCHAR", "Address of the poster"),
        Column("imdb_rating", "DOUBLE", "IMDb rating, 1 to 10"),
        Column("imdb_votes", "BIGINT", "Number of IMDb votes", drifts=True),
        Column("metascore", "INTEGER", "Metacritic score, 0 to 100"),
        Column("rotten_tomatoes_rating", "INTEGER", "Tomatometer, per cent"),
        Column("box_office", "BIGINT", "US and Canada gross, US dollars (not worldwide)"),
        Column("dvd", "DATE", "DVD release"),
        Column("production", "VARCHAR", "Production company"),
        Column("website", "VARCHAR", "Web page"),
        UPDATED_AT,
    ),
    source="omdb",
)
