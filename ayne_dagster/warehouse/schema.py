"""What the warehouse holds: every table and column, with its type and meaning. No queries, no connections.

What a table, a column and a view are is in `tables`; the views are in `views`.
"""

from __future__ import annotations

from ayne_dagster.refresh.strategy import CATEGORIES, SOURCES
from ayne_dagster.warehouse.tables import NEVER, TABLES_OF_SOURCES
from ayne_dagster.warehouse.tables import Column as Column
from ayne_dagster.warehouse.tables import Table as Table

SCHEMA_VERSION = 6
"""Written to every database; one with a newer number is refused, an older one is migrated when it is opened."""


TMDB_ID = Column("tmdb_id", "BIGINT", "TMDB's number of the movie", null=NEVER)
RELEASE_YEAR = Column("release_year", "VARCHAR", "Partition: year of release_date, or 'unknown'", null=NEVER)
UPDATED_AT = Column("updated_at", "TIMESTAMP", "When this row last changed (UTC)", null=NEVER)

DISCOVERED_MOVIES = Table(
    "discovered_movies",
    "One row a movie found on TMDB's discover pages, as the listing describes it. Texts are cut at 1,000 characters, "
    "lists at 500 items; what was cut ends in '…'.",
    (
        TMDB_ID,
        RELEASE_YEAR,
        Column("title", "VARCHAR", "Title in English, or the original one"),
        Column("original_title", "VARCHAR", "Title in the original language"),
        Column("original_language", "VARCHAR", "ISO 639-1 code; also 'xx' (none) and 'cn'"),
        Column("release_date", "DATE", "Primary (earliest) release date, any country"),
        Column("overview", "VARCHAR", "Plot in a paragraph", bulky=True),
        Column("genre_ids", "INTEGER[]", "TMDB's genre numbers"),
        Column("popularity", "DOUBLE", "TMDB's unitless, daily drifting score", drifts=True),
        Column(
            "vote_average",
            "DOUBLE",
            "Mean vote at TMDB",
            drifts=True,
            unit="points from 0 to 10",
            null="TMDB states none, or nobody has voted",
        ),
        Column("vote_count", "BIGINT", "Number of votes at TMDB", drifts=True),
        Column("poster_path", "VARCHAR", "Path of the poster below TMDB's image host", bulky=True),
        Column("backdrop_path", "VARCHAR", "Path of the backdrop below TMDB's image host", bulky=True),
        Column("adult", "BOOLEAN", "Adult content"),
        Column("video", "BOOLEAN", "Not a feature film (a concert, a making-of)"),
        UPDATED_AT,
    ),
    source="TMDB's discover pages",
    null="the listing does not say it",
)

TMDB_DETAILS = Table(
    "tmdb_details",
    "One row a movie: TMDB's details, with credits, keywords, external ids and US certification. Texts are cut as in "
    "discovered_movies.",
    (
        TMDB_ID,
        RELEASE_YEAR,
        Column("imdb_id", "VARCHAR", "IMDb's id, tt and at least 7 digits"),
        Column("wikidata_id", "VARCHAR", "Wikidata's id, Q and digits", bulky=True),
        Column("title", "VARCHAR", "Title in English, or the original one"),
        Column("original_title", "VARCHAR", "Title in the original language"),
        Column("original_language", "VARCHAR", "ISO 639-1 code; also 'xx' (none) and 'cn'"),
        Column("origin_country", "VARCHAR[]", "ISO 3166-1 codes"),
        Column("overview", "VARCHAR", "Plot in a paragraph", bulky=True),
        Column("tagline", "VARCHAR", "Tagline", bulky=True),
        Column("homepage", "VARCHAR", "Web page of the movie", bulky=True),
        Column("status", "VARCHAR", "Rumored, Planned, In Production, Post Production, Released or Canceled"),
        Column("release_date", "DATE", "Primary (earliest) release date, any country"),
        Column("runtime", "INTEGER", "Length", unit="minutes"),
        Column("budget", "BIGINT", "Budget, nominal, entered by users", unit="US dollars"),
        Column("revenue", "BIGINT", "Worldwide gross, nominal, entered by users", unit="US dollars"),
        Column("popularity", "DOUBLE", "TMDB's unitless, daily drifting score", drifts=True),
        Column(
            "vote_average",
            "DOUBLE",
            "Mean vote at TMDB",
            drifts=True,
            unit="points from 0 to 10",
            null="TMDB states none, or nobody has voted",
        ),
        Column("vote_count", "BIGINT", "Number of votes at TMDB", drifts=True),
        Column(
            "collection_id", "BIGINT", "TMDB's number of the series of films it belongs to", null="TMDB names no series"
        ),
        Column("collection_name", "VARCHAR", "Name of the series of films it belongs to", null="TMDB names no series"),
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
        Column("poster_path", "VARCHAR", "Path of the poster below TMDB's image host", bulky=True),
        Column("backdrop_path", "VARCHAR", "Path of the backdrop below TMDB's image host", bulky=True),
        Column("adult", "BOOLEAN", "Adult content"),
        Column("video", "BOOLEAN", "Not a feature film (a concert, a making-of)"),
        Column(
            "softcore",
            "BOOLEAN",
            "TRUE where TMDB calls it softcore",
            null="TMDB does not call it so: most answers do not say",
        ),
        UPDATED_AT,
    ),
    history=True,
    source="TMDB's details",
    null="TMDB does not say it",
)

OMDB_RATINGS = Table(
    "omdb_ratings",
    "One row a movie: what OMDb says of the IMDb id that TMDB gives. Texts are cut at 1,000 characters, plot, writer "
    "and awards at 20,000; lists at 500 items.",
    (
        TMDB_ID,
        RELEASE_YEAR,
        Column("imdb_id", "VARCHAR", "The IMDb id that was asked for and answered"),
        Column("title", "VARCHAR", "Title at OMDb"),
        Column("year", "INTEGER", "First year at OMDb"),
        Column(
            "end_year",
            "INTEGER",
            "Last year at OMDb, where it states a span: 2010 in 2004–2010",
            null="OMDb states no span",
        ),
        Column("type", "VARCHAR", "movie, series, episode or game"),
        Column("rated", "VARCHAR", "US certification as written there"),
        Column("released", "DATE", "Release date at OMDb"),
        Column("runtime", "INTEGER", "Length", unit="minutes"),
        Column("genre", "VARCHAR[]", "Genres"),
        Column("director", "VARCHAR[]", "Directors"),
        Column("writer", "VARCHAR", "Writers, as one text: its commas do not separate reliably", bulky=True),
        Column("actors", "VARCHAR[]", "Leading actors"),
        Column("plot", "VARCHAR", "Plot in a sentence or two", bulky=True),
        Column("language", "VARCHAR[]", "Languages"),
        Column("country", "VARCHAR[]", "Countries"),
        Column("awards", "VARCHAR", "Awards, as one text", bulky=True),
        Column("poster", "VARCHAR", "Address of the poster", bulky=True),
        Column("imdb_rating", "DOUBLE", "IMDb rating", unit="points from 1 to 10"),
        Column("imdb_votes", "BIGINT", "Number of IMDb votes", drifts=True),
        Column("metascore", "INTEGER", "Metacritic score", unit="points from 0 to 100"),
        Column("rotten_tomatoes_rating", "INTEGER", "Tomatometer: critics who recommend it", unit="per cent"),
        Column("box_office", "BIGINT", "US and Canada gross, nominal, not worldwide", unit="US dollars"),
        Column("dvd", "DATE", "DVD release"),
        Column("production", "VARCHAR", "Production company"),
        Column("website", "VARCHAR", "Web page", bulky=True),
        Column(
            "match",
            "VARCHAR",
            "Whether this is the movie that TMDB means: same, doubtful, another (clearly)",
            null="it was not judged yet",
            concluded=True,
        ),
        Column(
            "match_reasons",
            "VARCHAR",
            "In what TMDB and OMDb differ, in words",
            null="in nothing",
            concluded=True,
        ),
        UPDATED_AT,
    ),
    history=True,
    source="OMDb",
    null="OMDb does not know it",
)

BOX_OFFICE = Table(
    "box_office",
    "One row a figure that a source states of a movie's money, as stated: nothing is converted or added up. What TMDB "
    "and OMDb state is in their own tables; `box_office_figures` has all, with what is doubtful about each.",
    (
        TMDB_ID,
        RELEASE_YEAR,
        Column("source", "VARCHAR", "wikidata, file, the_numbers", null=NEVER),
        Column("measure", "VARCHAR", "gross, opening_weekend or production_budget", null=NEVER),
        Column(
            "scope",
            "VARCHAR",
            "worldwide, domestic (US, Canada), international, an ISO country, unspecified, other",
            null=NEVER,
        ),
        Column("currency", "VARCHAR", "ISO 4217 code; XXX where the source states none that is known", null=NEVER),
        Column("source_ref", "VARCHAR", "The very statement there: a statement's address, a file and its row, a page"),
        Column("amount", "DECIMAL(18,2)", "The figure, nominal", unit="the row's currency", null=NEVER),
        Column(
            "as_of", "DATE", "The day for which the source states it", null="the source names no day: most name none"
        ),
        Column("preferred", "BOOLEAN", "The source itself prefers it to its others"),
        Column("derived", "BOOLEAN", "Worked out from other figures of the source, and not stated by it"),
        Column(
            "suspect",
            "VARCHAR",
            "Why it is doubtful by itself: its unit, or how small it is",
            null="by itself it is not doubtful",
        ),
        Column(
            "matched_by",
            "VARCHAR",
            "How a row of a file was found to be of this movie",
            null="the figure is not from a file",
        ),
        Column("observed_at", "TIMESTAMP", "When it was last read there (UTC)"),
        Column(
            "gone_at",
            "TIMESTAMP",
            "When the source was first seen to state it no more (UTC)",
            null="it still states it",
        ),
        UPDATED_AT,
    ),
    key=("tmdb_id", "source", "measure", "scope", "currency", "source_ref"),
    declares_key=False,
    source="Wikidata, The Numbers, and files that were imported",
    null="the source does not say it",
)

BOX_OFFICE_PRECEDENCE = Table(
    "box_office_precedence",
    "One row a column of `movies` and a kind of figure: which one is shown where several are known. By the settings.",
    (
        Column("figure", "VARCHAR", "worldwide_gross, domestic_gross, opening_weekend or production_budget"),
        Column("source", "VARCHAR", "Who states it"),
        Column("scope", "VARCHAR", "The scope that is stated"),
        Column("place", "SMALLINT", "The lowest that is known is shown", null=NEVER),
    ),
    key=("figure", "source", "scope"),
    source="the settings",
)

BOX_OFFICE_FILES = Table(
    "box_office_files",
    "One row a file of figures that was imported; `source_ref` in box_office begins with its digest.",
    (
        Column("digest", "VARCHAR", "The first 16 hexadecimal digits of the file's SHA-256 sum"),
        Column("name", "VARCHAR", "Its name, without folder"),
        Column("layout", "VARCHAR", "The layout by which it was read, or the name of the mapping"),
        Column("as_of", "DATE", "The day for which its figures hold", null="nobody has said it"),
        Column("rows", "BIGINT", "Rows that it has"),
        Column("matched", "BIGINT", "Of these, rows whose movie was found"),
        Column("ambiguous", "BIGINT", "Of these, rows that may be of several movies"),
        Column("unmatched", "BIGINT", "Of these, rows of which no movie is known"),
        Column("refused", "BIGINT", "Rows, or cells in them, that could not be used"),
        Column("first_imported_at", "TIMESTAMP", "When it was imported first (UTC)"),
        Column("imported_at", "TIMESTAMP", "When it was imported last (UTC)"),
    ),
    key=("digest",),
    source="files that were imported",
)

BOX_OFFICE_UNMATCHED = Table(
    "box_office_unmatched",
    "One row a row of a file whose movie was not found. The next import, of whatever file, tries it again.",
    (
        Column("file_digest", "VARCHAR", "The file, by its digest in box_office_files"),
        Column("row_number", "BIGINT", "The row in it, the first below the names of the columns being 1"),
        Column("title", "VARCHAR", "Title as the file has it, its encoding mended"),
        Column("other_titles", "VARCHAR[]", "What the title may be as well, where it names two"),
        Column("year", "INTEGER", "Year as the file has it"),
        Column("imdb_id", "VARCHAR", "IMDb id as the file has it"),
        Column("stated_tmdb_id", "BIGINT", "TMDB id as the file has it"),
        Column("why", "VARCHAR", "ambiguous (several movies can be meant) or unmatched"),
        Column("reason", "VARCHAR", "In words"),
        Column("candidates", "BIGINT[]", "TMDB ids: of the movies that can be meant, else of those that are alike"),
        Column("figures", "VARCHAR", "Its figures, as JSON: measure, scope, currency, amount, derived, suspect"),
        Column("as_of", "DATE", "The day for which they hold", null="it is not said"),
        Column("seen_at", "TIMESTAMP", "When the row was read first (UTC)"),
    ),
    key=("file_digest", "row_number"),
    source="files that were imported",
    null="the file does not say it",
)

TABLE_OF: dict[str, Table] = {"tmdb": TMDB_DETAILS, "omdb": OMDB_RATINGS, "numbers": BOX_OFFICE, **TABLES_OF_SOURCES}
"""By source: the table with what it says of a movie. Its name is the asset's."""
ANSWER_TABLES: tuple[Table, ...] = (DISCOVERED_MOVIES, *TABLE_OF.values())
"""Tables filled with answers."""
HASHED_TABLES: tuple[Table, ...] = tuple(table for table in ANSWER_TABLES if table is not BOX_OFFICE)
"""Tables with one row a movie that is merged by key, told apart by a hash of its content."""


ALWAYS_TOLD = {TMDB_DETAILS.name: "original_language", OMDB_RATINGS.name: "type"}
"""By table: a column that every answer of the source itself fills, and that the older collection never had."""
HELD_BEFORE: dict[str, frozenset[str]] = {
    TMDB_DETAILS.name: frozenset(
        {"imdb_id", "title", "status", "release_date", "runtime", "budget", "revenue", "popularity", "vote_average"}
        | {"vote_count", "genres", "production_companies"}
    ),
    OMDB_RATINGS.name: frozenset(
        {"imdb_id", "title", "rated", "released", "runtime", "genre", "director", "writer", "actors", "language"}
        | {"country", "awards", "imdb_rating", "imdb_votes", "metascore", "rotten_tomatoes_rating", "box_office"}
    ),
}
"""By table: the columns in which NULL, in a row of the older collection, is what the source said: it knows nothing. In
all others it may be that nobody asked (its first dumps have no overview), or that the answer could not be read (a
series' years, a country with an unknown name)."""


_LATER = "it was not worked out yet"


def content_hash_column(table: Table) -> str:
    """Name of the column of `refresh_metadata` that holds the hash of a movie's significant content in a table."""
    return f"{table.name}_hash"


def since_column(table: Table) -> str:
    """Name of the column of `refresh_metadata` with the instant from which on the history has every change of a row."""
    return f"{table.name}_since"


_OF_A_SOURCE = (
    ("attempted_at", "TIMESTAMP", "Last attempt to ask {} (UTC)", "it was never asked"),
    ("checked_at", "TIMESTAMP", "Last successful check at {} (UTC)", "it has never answered"),
    ("changed_at", "TIMESTAMP", "Last change found at {} (UTC)", "nothing has been told yet"),
    ("failures", "SMALLINT", "Failed attempts at {} in a row", NEVER),
    ("missing_since", "TIMESTAMP", "First of the 404s in a row at {} (UTC)", "the last answer was no 404"),
    ("tombstoned_at", "TIMESTAMP", "When {} was confirmed to hold it no more (UTC)", "it holds it, as far as is known"),
    ("exposure", "DOUBLE", "Changes at {} that its bucket's rate made expect so far", NEVER),
    ("changes", "DOUBLE", "Changes found at {} so far, corrected for several at once", NEVER),
    ("signals", "SMALLINT", "Change signals since the last successful check at {}", NEVER),
    ("signalled_at", "TIMESTAMP", "Latest instant of the last change signalled at {} (UTC)", "no signal is known"),
    ("recheck_at", "TIMESTAMP", "When to ask {} once more: its cache may be stale (UTC)", "need not be"),
    ("parts_due_at", "TIMESTAMP", "When to ask {} for parts its last answer lacks (UTC)", "it lacks none"),
    ("rate", "DOUBLE", "Relevant changes at {}, as learned", _LATER),
    ("reason", "VARCHAR", "Code of the reason why it is due at {}, or not (at decided_at)", _LATER),
)
"""Of each source: name after its own, type, what it is, what NULL means."""


def _source_columns(source: str, title: str) -> tuple[Column, ...]:
    units = {"rate": "changes a day"}
    return tuple(
        Column(f"{source}_{name}", kind, what.format(title), unit=units.get(name, ""), null=null)
        for name, kind, what, null in _OF_A_SOURCE
    )


REFRESH_METADATA = Table(
    "refresh_metadata",
    "One row a known movie: when each source was last asked, answered and changed, and what follows from it. "
    "Narrow on purpose: every check touches it.",
    (
        TMDB_ID,
        RELEASE_YEAR,
        Column(
            "release_date",
            "DATE",
            "Release date by the best source so far: details, else the listing",
            null="none is known",
        ),
        Column("imdb_id", "VARCHAR", "IMDb id, by TMDB's details", null="TMDB knows none, or was not asked yet"),
        Column("first_seen_at", "TIMESTAMP", "When the movie was discovered first (UTC)", null=NEVER),
        Column("last_seen_at", "TIMESTAMP", "When it was last on a discover page (UTC)", null="it never was"),
        Column("unchanged_cycles", "SMALLINT", "Refresh cycles in a row without a change", null=NEVER),
        Column(
            "override",
            "VARCHAR",
            "A person's decision: freeze, thaw, force, or force_frozen: force once, then frozen as before",
            null="nobody has decided",
        ),
        Column("override_at", "TIMESTAMP", "When it was taken (UTC)", null="nobody has decided"),
        *(column for s in SOURCES.values() for column in _source_columns(s.name, s.title)),
        *(
            Column(content_hash_column(t), "BIGINT", f"Hash of the fields of {t.name} that count as a change")
            for t in HASHED_TABLES
        ),
        *(
            Column(
                since_column(t),
                "TIMESTAMP",
                f"From when on every change of its row in {t.name} is in movie_history (UTC)",
                null="it was not noted",
            )
            for t in HASHED_TABLES
        ),
        Column(
            "entities_hash",
            "BIGINT",
            "Hash of what its rows in credits, releases and the like were made of",
            null="none are stored",
        ),
        Column("entities_checked_at", "TIMESTAMP", "When TMDB last told them (UTC)", null="none are stored"),
        Column("popularity", "DOUBLE", "TMDB's popularity, as last heard of", null="it was never heard of"),
        Column("importance", "DOUBLE", "Weight of the movie's freshness: share of popularity, more while it is new"),
        Column("category", "VARCHAR", "Age category at decided_at: recent, established, mature, archived", null=_LATER),
        Column("fully_refreshed", "BOOLEAN", "Every source that applies has answered (at decided_at)"),
        Column("frozen", "BOOLEAN", "No more refreshed for freshness' sake (at decided_at)", null=_LATER),
        Column("decided_at", "TIMESTAMP", "When category, reasons and the like were last worked out (UTC)"),
    ),
    null=_LATER,
)

MOVIE_HISTORY = Table(
    "movie_history",
    "One row a changed field: what a source said before and after.",
    (
        TMDB_ID,
        Column("source", "VARCHAR", "Table whose row changed", null=NEVER),
        Column("field", "VARCHAR", "Column that changed", null=NEVER),
        Column("old_value", "VARCHAR", "Value before, as JSON", null="it was not known before"),
        Column("new_value", "VARCHAR", "Value after, as JSON", null="it is no more, in tables of several rows a movie"),
        Column("changed_at", "TIMESTAMP", "When the change was seen (UTC)", null=NEVER),
        Column("run_id", "VARCHAR", "Run that saw it"),
    ),
    key=(),
    source="what the sources said, compared by this platform",
)

FETCH_LOG = Table(
    "fetch_log",
    "One row an attempt to ask a source about a movie. Append-only; after 400 days `fetch_log_daily` sums up all but "
    "each movie's last attempt and last success.",
    (
        TMDB_ID,
        Column("source", "VARCHAR", "Source that was asked: tmdb, omdb …", null=NEVER),
        Column("fetched_at", "TIMESTAMP", "When the answer arrived (UTC)", null=NEVER),
        Column(
            "outcome",
            "VARCHAR",
            "fetched, absent, not_found, failed, unavailable, quarantined or incomplete",
            null=NEVER,
        ),
        Column("changed", "BOOLEAN", "Whether a field that counts has changed"),
        Column("requests", "INTEGER", "Requests spent, retries included"),
        Column("reason", "VARCHAR", "What went wrong", null="nothing did"),
        Column("due_because", "VARCHAR", "Code of the reason for which the movie was asked for"),
        Column("signals", "SMALLINT", "Change signals that had not been followed up before"),
        Column(
            "days_since_check", "DOUBLE", "Time since the last successful check", unit="days", null="it is the first"
        ),
        Column("run_id", "VARCHAR", "Run that asked"),
    ),
    key=(),
    null="it was not noted",
)

FETCH_LOG_DAILY = Table(
    "fetch_log_daily",
    "One row a day and kind of old attempts, no more in `fetch_log` one by one. `fetches_by_day` has both.",
    (
        Column("day", "DATE", "UTC day of the attempts", null=NEVER),
        *(FETCH_LOG.columns[FETCH_LOG.column_names.index(n)] for n in ("source", "outcome", "changed", "due_because")),
        Column("attempts", "BIGINT", "How many attempts", null=NEVER),
        Column("requests", "BIGINT", "Requests spent on them, retries included"),
    ),
    key=(),
    null="it was not noted",
)

QUARANTINE = Table(
    "quarantine",
    "One row a body that could not be used, with the reason, for 400 days; the bodies for 30.",
    (
        TMDB_ID,
        Column("source", "VARCHAR", "Source that was asked: tmdb, omdb …", null=NEVER),
        Column("subject", "VARCHAR", "What was asked for: a movie, a listing page"),
        Column("quarantined_at", "TIMESTAMP", "When the body arrived (UTC)"),
        Column("reason", "VARCHAR", "Why it could not be used"),
        Column("body", "VARCHAR", "The body, its first 64 KiB, undecodable bytes escaped"),
        Column("run_id", "VARCHAR", "Run that asked"),
    ),
    key=(),
    source="the source whose body it is",
    null="it does not apply, or was removed with time",
)

COLLECTION_STATUS = Table(
    "collection_status",
    "One row an observation: how much is collected, by source and age category. After 90 days one a day is kept.",
    (
        Column("observed_at", "TIMESTAMP", "When it was counted (UTC)"),
        Column("total_movies", "BIGINT", "Movies known"),
        Column("with_tmdb", "BIGINT", "Movies with TMDB details"),
        Column("with_omdb", "BIGINT", "Movies with OMDb ratings"),
        Column("with_box_office", "BIGINT", "Movies of which a figure is known besides TMDB's and OMDb's"),
        Column("fully_refreshed", "BIGINT", "Movies that every applicable source has answered for"),
        Column("frozen", "BIGINT", "Movies no more refreshed for freshness' sake"),
        *(Column(category, "BIGINT", f"Movies in age category {category}") for category in CATEGORIES),
        Column("quarantined", "BIGINT", "Bodies in quarantine"),
    ),
    key=("observed_at",),
    null="it was not counted then",
)

FRESHNESS = Table(
    "freshness",
    "One row an observation, source and age category: how fresh the movies were. At most hourly; after 90 days the "
    "last of each day is kept. Of more than 50,000 movies, estimated from one in so many.",
    (
        Column("observed_at", "TIMESTAMP", "When it was observed (UTC)", null=NEVER),
        Column("source", "VARCHAR", "Source: tmdb, omdb …", null=NEVER),
        Column("category", "VARCHAR", "Age category then: recent, established, mature, archived", null=NEVER),
        Column("movies", "BIGINT", "Movies that the source may be asked for", null=NEVER),
        Column("checked", "BIGINT", "Of these, movies that it has answered for", null=NEVER),
        Column("in_time", "BIGINT", "Of these, movies that were not overdue by the strategy", null=NEVER),
        Column(
            "likely_unchanged",
            "DOUBLE",
            "How many of them were as they had been when checked, as expected by the rates learned: a sum of "
            "probabilities",
            null=NEVER,
        ),
        Column("looked_again", "BIGINT", "Checks of the 30 days before that were not a movie's first", null=NEVER),
        Column("found_unchanged", "BIGINT", "Of these, checks that found nothing new", null=NEVER),
    ),
    key=("observed_at", "source", "category"),
)

FILE_SIZES = Table(
    "file_sizes",
    "One row a day and kind of file: how large the files of the collection were when the first run of the day ended. "
    "After 400 days it goes. Of a lake, those of the machine of that run.",
    (
        Column("day", "DATE", "UTC day", null=NEVER),
        Column(
            "what",
            "VARCHAR",
            "database; log: committed, and not in its file yet; ledger: of requests; spool: answers that wait; "
            "dagster: runs and logs; page: the dashboard as a file; lake: files of a lake in a folder; disk: all that "
            "is used on the disk",
            null=NEVER,
        ),
        Column("bytes", "BIGINT", "Size", unit="bytes", null=NEVER),
        Column("observed_at", "TIMESTAMP", "When it was measured (UTC)", null=NEVER),
    ),
    key=("day", "what"),
)

TMDB_CHANGES = Table(
    "tmdb_changes",
    "One row a movie and day on which TMDB's change feed names it.",
    (
        TMDB_ID,
        Column("day", "DATE", "UTC day of the change"),
        Column("seen_at", "TIMESTAMP", "When the feed was read (UTC)"),
        Column("run_id", "VARCHAR", "Run that read it"),
    ),
    key=("tmdb_id", "day"),
    source="TMDB's change feed",
)

CHANGE_FEED_DAYS = Table(
    "change_feed_days",
    "One row a day of TMDB's change feed: read, or never to be read any more. The last day read is the feed's cursor.",
    (
        Column("day", "DATE", "UTC day"),
        Column("covered", "BOOLEAN", "Whether the feed of that day was read; FALSE for a gap"),
        Column("listed", "INTEGER", "Movies that the feed named"),
        Column("known", "INTEGER", "Of these, movies that are collected"),
        Column("read_at", "TIMESTAMP", "When it was read, or given up (UTC)"),
        Column("run_id", "VARCHAR", "Run that did"),
    ),
    key=("day",),
    source="TMDB's change feed",
    null="the day was not read",
)

TMDB_ID_EXPORT = Table(
    "tmdb_id_export",
    "One row a movie in TMDB's daily ID export: that it exists, and how popular it is.",
    (
        TMDB_ID,
        Column("original_title", "VARCHAR", "Title in the original language"),
        Column("popularity", "DOUBLE", "TMDB's unitless, daily drifting score"),
        Column("video", "BOOLEAN", "Not a feature film (a concert, a making-of)"),
        Column("first_listed_on", "DATE", "First export that has it"),
        Column("last_listed_on", "DATE", "Last export that has it"),
        Column("missing_since", "DATE", "First of the later exports that do not have it", null="the last one has it"),
        Column("vanished_on", "DATE", "Export that confirmed that it is gone", null="it is not gone"),
    ),
    source="TMDB's daily ID export",
    null="the export does not say it",
)

IMDB_RATINGS = Table(
    "imdb_ratings",
    "One row a movie: IMDb's rating and votes, from the file that IMDb publishes daily.",
    (
        TMDB_ID,
        RELEASE_YEAR,
        Column("imdb_id", "VARCHAR", "IMDb's id, by TMDB's details"),
        Column("imdb_rating", "DOUBLE", "IMDb rating", unit="points from 1 to 10"),
        Column("imdb_votes", "BIGINT", "Number of IMDb votes"),
        Column("signalled_votes", "BIGINT", "Number of votes when OMDb was last asked, or due for a change of them"),
        Column("signalled_rating", "DOUBLE", "Rating when OMDb was last asked, or due for a change of it"),
        Column("listed_at", "TIMESTAMP", "When the last file that has it was read (UTC)"),
        UPDATED_AT,
    ),
    source="IMDb's daily file of ratings",
    null="the file does not say it",
)

DAILY_FILES = Table(
    "daily_files",
    "One row a published file and day: accepted, or refused as a whole. The next one is measured by the last accepted.",
    (
        Column("name", "VARCHAR", "Table that the file fills: tmdb_id_export, imdb_ratings"),
        Column("day", "DATE", "Day of the file (UTC)"),
        Column("accepted", "BOOLEAN", "Whether it was believed; nothing of a refused file is stored"),
        Column("lines", "BIGINT", "Lines that could be used"),
        Column("unreadable", "BIGINT", "Lines that could not, and were skipped"),
        Column("reason", "VARCHAR", "Why it was refused", null="it was accepted"),
        Column("read_at", "TIMESTAMP", "When it was read (UTC)"),
        Column("run_id", "VARCHAR", "Run that read it"),
    ),
    key=("name", "day"),
    source="the daily files of TMDB and IMDb",
)

REFRESH_RATES = Table(
    "refresh_rates",
    "One row a bucket of movies alike in age and popularity: how often they change at a source, as learned so far.",
    (
        Column("source", "VARCHAR", "Source that was asked: tmdb, omdb …", null=NEVER),
        Column("category", "VARCHAR", "Age category"),
        Column("popularity_bucket", "SMALLINT", "Octave of popularity over the median: 0 at the median"),
        Column("rate", "DOUBLE", "Relevant changes of a movie", unit="changes a day"),
        Column("movies", "BIGINT", "Movies in the bucket when it was last worked out"),
        Column("learned_at", "TIMESTAMP", "When it was last corrected by what was found (UTC)"),
    ),
    key=("source", "category", "popularity_bucket"),
    source="what refreshes found, learned by this platform",
)

FEED_QUALITY = Table(
    "feed_quality",
    "One row a source with a change feed: how much the feed tells and how often it is right, as learned so far.",
    (
        Column("source", "VARCHAR", "tmdb: the only source with a feed of its own"),
        Column("recall", "DOUBLE", "Share of relevant changes that the feed signals", unit="a share from 0 to 1"),
        Column(
            "precision", "DOUBLE", "Probability that a signal stands for a relevant change", unit="a share from 0 to 1"
        ),
        Column("learned_at", "TIMESTAMP", "When they were last corrected by what was found (UTC)"),
    ),
    key=("source",),
    source="what refreshes found, learned by this platform",
)

PERSON_ID = Column("person_id", "BIGINT", "TMDB's number of the person")
COMPANY_ID = Column("company_id", "BIGINT", "TMDB's number of the company")

ROW_HASH = Column("row_hash", "BIGINT", "Hash of the row: tells whether an answer describes it otherwise")

PEOPLE = Table(
    "people",
    "One row a person of whom TMDB credits work in a collected movie, as the latest answer describes them.",
    (
        PERSON_ID,
        Column("name", "VARCHAR", "Name"),
        Column("gender", "SMALLINT", "1 female, 2 male, 3 non-binary"),
        Column("known_for_department", "VARCHAR", "The department that they mostly work in: Acting, Directing …"),
        Column("profile_path", "VARCHAR", "Path of the portrait below TMDB's image host"),
        ROW_HASH,
        UPDATED_AT,
    ),
    key=("person_id",),
    declares_key=False,
    source="TMDB's details",
    null="TMDB does not say it",
)

CREDITS = Table(
    "credits",
    "One row a credit: a person in a part or a job of a movie, all of the cast and crew. At most 5,000 a movie.",
    (
        TMDB_ID,
        Column("credit_id", "VARCHAR", "TMDB's id of the credit; made of person and job where it gives none"),
        PERSON_ID,
        Column("kind", "VARCHAR", "cast or crew"),
        Column(
            "department", "VARCHAR", "Department of the crew: Directing, Writing, Sound …", null="it is of the cast"
        ),
        Column("job", "VARCHAR", "Job in it: Director, Screenplay …", null="it is of the cast"),
        Column("character", "VARCHAR", "Whom they play", null="it is of the crew, or TMDB does not say"),
        Column("billing_order", "INTEGER", "Place in the cast, from 0", null="it is of the crew, or TMDB does not say"),
    ),
    key=("tmdb_id", "credit_id"),
    declares_key=False,
    source="TMDB's details",
    null="TMDB does not say it",
)

COMPANIES = Table(
    "companies",
    "One row a company that produced a collected movie, as the latest answer describes it.",
    (
        COMPANY_ID,
        Column("name", "VARCHAR", "Name"),
        Column("origin_country", "VARCHAR", "ISO 3166-1 code of the country that it is from"),
        Column("logo_path", "VARCHAR", "Path of the logo below TMDB's image host"),
        ROW_HASH,
        UPDATED_AT,
    ),
    key=("company_id",),
    declares_key=False,
    source="TMDB's details",
    null="TMDB does not say it",
)

MOVIE_COMPANIES = Table(
    "movie_companies",
    "One row a company of a movie.",
    (TMDB_ID, COMPANY_ID, Column("place", "SMALLINT", "Place among the companies of the movie, from 0")),
    key=("tmdb_id", "company_id"),
    declares_key=False,
    source="TMDB's details",
    null="TMDB does not say it",
)

COLLECTIONS = Table(
    "collections",
    "One row a series of films of which a movie is collected; `collection_id` in tmdb_details and movies names it.",
    (
        Column("collection_id", "BIGINT", "TMDB's number of the series"),
        Column("name", "VARCHAR", "Name"),
        Column("poster_path", "VARCHAR", "Path of the poster below TMDB's image host"),
        Column("backdrop_path", "VARCHAR", "Path of the backdrop below TMDB's image host"),
        ROW_HASH,
        UPDATED_AT,
    ),
    key=("collection_id",),
    declares_key=False,
    source="TMDB's details",
    null="TMDB does not say it",
)

RELEASES = Table(
    "releases",
    "One row a release of a movie: in a country, of a type, on a day. At most 2,000 a movie.",
    (
        TMDB_ID,
        Column("country", "VARCHAR", "ISO 3166-1 code"),
        Column("type", "SMALLINT", "1 premiere, 2 limited, 3 theatrical, 4 digital, 5 physical, 6 TV"),
        Column("release_date", "DATE", "The day"),
        Column("certification", "VARCHAR", "Certification in that country (PG-13, 16, …)"),
        Column("note", "VARCHAR", "What the release was: a festival, a platform"),
        Column("language", "VARCHAR", "ISO 639-1 code, where the release is for a language"),
    ),
    key=(),
    source="TMDB's details",
    null="TMDB does not say it",
)

_APPENDED = "TMDB's details, where AYNE_TMDB_APPEND names it"
VIDEOS = Table(
    "videos",
    "One row a trailer, teaser, clip or the like of a movie, of those in English. At most 2,000 a movie.",
    (
        TMDB_ID,
        Column("video_id", "VARCHAR", "TMDB's id of the video"),
        Column("name", "VARCHAR", "Name"),
        Column("type", "VARCHAR", "Trailer, Teaser, Clip, Featurette, Behind the Scenes, Bloopers …"),
        Column("site", "VARCHAR", "Where it can be seen: YouTube, Vimeo"),
        Column("site_key", "VARCHAR", "Its id there"),
        Column("official", "BOOLEAN", "Whether those who made the movie have published it"),
        Column("size", "INTEGER", "Height of the picture", unit="lines"),
        Column("language", "VARCHAR", "ISO 639-1 code"),
        Column("country", "VARCHAR", "ISO 3166-1 code"),
        Column("published_on", "DATE", "The day on which it was published there"),
    ),
    key=("tmdb_id", "video_id"),
    declares_key=False,
    source=_APPENDED,
    null="TMDB does not say it",
)

TRANSLATIONS = Table(
    "translations",
    "One row a language of a country in which TMDB has texts of a movie. At most 500 a movie. Texts are cut as in "
    "discovered_movies, overviews at 20,000 characters.",
    (
        TMDB_ID,
        Column("language", "VARCHAR", "ISO 639-1 code"),
        Column("country", "VARCHAR", "ISO 3166-1 code"),
        Column("title", "VARCHAR", "Title", null="it is the original one, or none is given"),
        Column("tagline", "VARCHAR", "Tagline"),
        Column("overview", "VARCHAR", "Plot in a paragraph", bulky=True),
        Column("homepage", "VARCHAR", "Web page"),
        Column("runtime", "INTEGER", "Length of that version", unit="minutes"),
    ),
    key=("tmdb_id", "language", "country"),
    declares_key=False,
    source=_APPENDED,
    null="there is none in that language",
)

ALTERNATIVE_TITLES = Table(
    "alternative_titles",
    "One row another title of a movie: of a country, a working title, one in other letters. At most 1,000 a movie.",
    (
        TMDB_ID,
        Column("country", "VARCHAR", "ISO 3166-1 code"),
        Column("title", "VARCHAR", "The title", null=NEVER),
        Column("type", "VARCHAR", "What kind of title, in the words of whoever entered it", null="most have none"),
    ),
    key=(),
    source=_APPENDED,
    null="TMDB does not say it",
)

PROVIDER_ID = Column("provider_id", "BIGINT", "TMDB's number of the provider")
PROVIDERS = Table(
    "providers",
    "One row a service by which a movie can be watched, as the latest answer describes it.",
    (
        PROVIDER_ID,
        Column("name", "VARCHAR", "Name: Netflix, Apple TV …"),
        Column("logo_path", "VARCHAR", "Path of the logo below TMDB's image host"),
        ROW_HASH,
        UPDATED_AT,
    ),
    key=("provider_id",),
    declares_key=False,
    source=_APPENDED,
    null="TMDB does not say it",
)

WATCH_PROVIDERS = Table(
    "watch_providers",
    "One row a way to watch a movie in a country: who offers it, and how. JustWatch's data, by TMDB, which wants to be "
    "named with it. At most 10,000 a movie. `appended_parts` says as of when.",
    (
        TMDB_ID,
        PROVIDER_ID,
        Column("country", "VARCHAR", "ISO 3166-1 code"),
        Column("offer", "VARCHAR", "flatrate (in a subscription), free, ads (with advertisements), rent, buy"),
    ),
    key=("tmdb_id", "provider_id", "country", "offer"),
    declares_key=False,
    source=_APPENDED,
    null="TMDB does not say it",
)

APPENDED_PARTS = Table(
    "appended_parts",
    "One row a movie and part of TMDB's details that AYNE_TMDB_APPEND adds, once TMDB has told something of it.",
    (
        TMDB_ID,
        Column("part", "VARCHAR", "Table that has its rows: videos, translations, alternative_titles, watch_providers"),
        ROW_HASH,
        Column("checked_at", "TIMESTAMP", "When TMDB last told them (UTC)", null=NEVER),
        Column("changed_at", "TIMESTAMP", "When they were last found to be others than before (UTC)", null=NEVER),
    ),
    key=("tmdb_id", "part"),
    declares_key=False,
)

CODE_NAMES = Table(
    "code_names",
    "One row a code of a country or language that TMDB has named. The views `countries` and `languages` show them with "
    "those that are built in.",
    (
        Column("kind", "VARCHAR", "country (ISO 3166-1) or language (ISO 639-1)"),
        Column("code", "VARCHAR", "The code"),
        Column("name", "VARCHAR", "English name", null=NEVER),
        Column("listed_at", "TIMESTAMP", "When TMDB last listed it (UTC)", null=NEVER),
    ),
    key=("kind", "code"),
    source="TMDB's configuration",
)

ENTITIES_OF_MOVIES = (CREDITS, MOVIE_COMPANIES, RELEASES)
"""Tables of entities with several rows a movie, by `tmdb_id`: they go with the movie, whatever its release year."""
SHARED_ENTITIES = (PEOPLE, COMPANIES, COLLECTIONS)
"""Tables of what movies share: a row goes when no movie names it any more."""
APPENDED_TABLES = (VIDEOS, TRANSLATIONS, ALTERNATIVE_TITLES, WATCH_PROVIDERS)
"""The same of what is told only where AYNE_TMDB_APPEND asks for it; `APPENDED_PARTS` says of which movies it was."""
PARTS_OF_MOVIES = (*ENTITIES_OF_MOVIES, *APPENDED_TABLES)
ENTITY_TABLES = (*SHARED_ENTITIES, PROVIDERS, *PARTS_OF_MOVIES, APPENDED_PARTS)

MOVIE_TABLES = (*ANSWER_TABLES, IMDB_RATINGS)
"""What sources say of a movie: it moves with the movie to another release year, and goes with it."""
TABLES = (
    *ANSWER_TABLES,
    BOX_OFFICE_PRECEDENCE,
    BOX_OFFICE_FILES,
    BOX_OFFICE_UNMATCHED,
    REFRESH_METADATA,
    MOVIE_HISTORY,
    FETCH_LOG,
    FETCH_LOG_DAILY,
    QUARANTINE,
    COLLECTION_STATUS,
    FRESHNESS,
    FILE_SIZES,
    TMDB_CHANGES,
    CHANGE_FEED_DAYS,
    TMDB_ID_EXPORT,
    IMDB_RATINGS,
    DAILY_FILES,
    REFRESH_RATES,
    FEED_QUALITY,
    CODE_NAMES,
    *ENTITY_TABLES,
)
ALL_TABLES: dict[str, Table] = {table.name: table for table in TABLES}
