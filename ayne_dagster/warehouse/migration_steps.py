"""The steps of `migrations`, as literal SQL: frozen, whatever the schema becomes. No Python decides anything here.

A step that was released is never edited: databases that it has led somewhere are there. What a step says of a column or
a row is what was so in its version; `migrations` runs the statements, and a test knows the digest of each step.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Step:
    """What leads to a version from the one before.

    Args:
        name: what it adds, in a few words.
        statements: SQL, run in this order; each may be run on a database that has its result already.
    """

    name: str
    statements: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 sum of its statements."""
        return hashlib.sha256(";".join(self.statements).encode()).hexdigest()[:16]


STEPS: dict[int, Step] = {
    2: Step(
        "learned rates, change signals and feeds",
        (
            """CREATE TABLE IF NOT EXISTS tmdb_changes (
    tmdb_id BIGINT, day DATE, seen_at TIMESTAMP, run_id VARCHAR, PRIMARY KEY (tmdb_id, day))""",
            """CREATE TABLE IF NOT EXISTS change_feed_days (
    day DATE, covered BOOLEAN, listed INTEGER, known INTEGER, read_at TIMESTAMP, run_id VARCHAR, PRIMARY KEY (day))""",
            """CREATE TABLE IF NOT EXISTS tmdb_id_export (
    tmdb_id BIGINT, original_title VARCHAR, popularity DOUBLE, video BOOLEAN, first_listed_on DATE,
    last_listed_on DATE, missing_since DATE, vanished_on DATE, PRIMARY KEY (tmdb_id))""",
            """CREATE TABLE IF NOT EXISTS imdb_ratings (
    tmdb_id BIGINT, release_year VARCHAR, imdb_id VARCHAR, imdb_rating DOUBLE, imdb_votes BIGINT,
    signalled_votes BIGINT, signalled_rating DOUBLE, listed_at TIMESTAMP, updated_at TIMESTAMP,
    PRIMARY KEY (tmdb_id))""",
            """CREATE TABLE IF NOT EXISTS daily_files (
    name VARCHAR, day DATE, accepted BOOLEAN, lines BIGINT, unreadable BIGINT, reason VARCHAR, read_at TIMESTAMP,
    run_id VARCHAR, PRIMARY KEY (name, day))""",
            """CREATE TABLE IF NOT EXISTS refresh_rates (
    source VARCHAR, category VARCHAR, popularity_bucket SMALLINT, rate DOUBLE, movies BIGINT, learned_at TIMESTAMP,
    PRIMARY KEY (source, category, popularity_bucket))""",
            """CREATE TABLE IF NOT EXISTS feed_quality (
    source VARCHAR, recall DOUBLE, precision DOUBLE, learned_at TIMESTAMP, PRIMARY KEY (source))""",
            # Counters start at 0 in new rows, and so they do here: NULL + 1 would stay unknown. By default and not by
            # UPDATE, after which DuckDB lets no later step alter the table.
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS tmdb_exposure DOUBLE DEFAULT 0",
            "ALTER TABLE refresh_metadata ALTER COLUMN tmdb_exposure DROP DEFAULT",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS tmdb_changes DOUBLE DEFAULT 0",
            "ALTER TABLE refresh_metadata ALTER COLUMN tmdb_changes DROP DEFAULT",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS tmdb_signals SMALLINT DEFAULT 0",
            "ALTER TABLE refresh_metadata ALTER COLUMN tmdb_signals DROP DEFAULT",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS tmdb_signalled_at TIMESTAMP",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS tmdb_recheck_at TIMESTAMP",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS tmdb_rate DOUBLE",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS tmdb_reason VARCHAR",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS omdb_exposure DOUBLE DEFAULT 0",
            "ALTER TABLE refresh_metadata ALTER COLUMN omdb_exposure DROP DEFAULT",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS omdb_changes DOUBLE DEFAULT 0",
            "ALTER TABLE refresh_metadata ALTER COLUMN omdb_changes DROP DEFAULT",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS omdb_signals SMALLINT DEFAULT 0",
            "ALTER TABLE refresh_metadata ALTER COLUMN omdb_signals DROP DEFAULT",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS omdb_signalled_at TIMESTAMP",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS omdb_recheck_at TIMESTAMP",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS omdb_rate DOUBLE",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS omdb_reason VARCHAR",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS numbers_exposure DOUBLE DEFAULT 0",
            "ALTER TABLE refresh_metadata ALTER COLUMN numbers_exposure DROP DEFAULT",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS numbers_changes DOUBLE DEFAULT 0",
            "ALTER TABLE refresh_metadata ALTER COLUMN numbers_changes DROP DEFAULT",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS numbers_signals SMALLINT DEFAULT 0",
            "ALTER TABLE refresh_metadata ALTER COLUMN numbers_signals DROP DEFAULT",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS numbers_signalled_at TIMESTAMP",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS numbers_recheck_at TIMESTAMP",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS numbers_rate DOUBLE",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS numbers_reason VARCHAR",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS popularity DOUBLE",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS importance DOUBLE",
            "ALTER TABLE fetch_log ADD COLUMN IF NOT EXISTS due_because VARCHAR",
            "ALTER TABLE fetch_log ADD COLUMN IF NOT EXISTS signals SMALLINT",
            "ALTER TABLE fetch_log ADD COLUMN IF NOT EXISTS days_since_check DOUBLE",
        ),
    ),
    3: Step(
        "daily sums of old attempts",
        (
            """CREATE TABLE IF NOT EXISTS fetch_log_daily (
    day DATE, source VARCHAR, outcome VARCHAR, changed BOOLEAN, due_because VARCHAR, attempts BIGINT,
    requests BIGINT)""",
        ),
    ),
    4: Step(
        "figures of movies' money, and when to ask for missing parts",
        (
            """CREATE TABLE IF NOT EXISTS box_office (
    tmdb_id BIGINT, release_year VARCHAR, source VARCHAR, measure VARCHAR, scope VARCHAR, currency VARCHAR,
    source_ref VARCHAR, amount DECIMAL(18,2), as_of DATE, preferred BOOLEAN, derived BOOLEAN, suspect VARCHAR,
    matched_by VARCHAR, observed_at TIMESTAMP, gone_at TIMESTAMP, updated_at TIMESTAMP)""",
            """CREATE TABLE IF NOT EXISTS box_office_precedence (
    figure VARCHAR, source VARCHAR, scope VARCHAR, place SMALLINT, PRIMARY KEY (figure, source, scope))""",
            """CREATE TABLE IF NOT EXISTS box_office_files (
    digest VARCHAR, name VARCHAR, layout VARCHAR, as_of DATE, rows BIGINT, matched BIGINT, ambiguous BIGINT,
    unmatched BIGINT, refused BIGINT, first_imported_at TIMESTAMP, imported_at TIMESTAMP, PRIMARY KEY (digest))""",
            """CREATE TABLE IF NOT EXISTS box_office_unmatched (
    file_digest VARCHAR, row_number BIGINT, title VARCHAR, other_titles VARCHAR[], year INTEGER, imdb_id VARCHAR,
    stated_tmdb_id BIGINT, why VARCHAR, reason VARCHAR, candidates BIGINT[], figures VARCHAR, as_of DATE,
    seen_at TIMESTAMP, PRIMARY KEY (file_digest, row_number))""",
            "DELETE FROM box_office_precedence",
            """INSERT INTO box_office_precedence (figure, source, scope, place) VALUES
    ('worldwide_gross', 'file', 'worldwide', 0), ('worldwide_gross', 'the_numbers', 'worldwide', 1),
    ('worldwide_gross', 'wikidata', 'worldwide', 2), ('worldwide_gross', 'tmdb', 'worldwide', 3),
    ('worldwide_gross', 'omdb', 'worldwide', 4), ('worldwide_gross', 'file', 'unspecified', 5),
    ('worldwide_gross', 'the_numbers', 'unspecified', 6), ('worldwide_gross', 'wikidata', 'unspecified', 7),
    ('worldwide_gross', 'tmdb', 'unspecified', 8), ('worldwide_gross', 'omdb', 'unspecified', 9),
    ('domestic_gross', 'file', 'domestic', 0), ('domestic_gross', 'the_numbers', 'domestic', 1),
    ('domestic_gross', 'omdb', 'domestic', 2), ('domestic_gross', 'wikidata', 'domestic', 3),
    ('opening_weekend', 'file', 'domestic', 0), ('opening_weekend', 'file', 'unspecified', 1),
    ('opening_weekend', 'the_numbers', 'domestic', 2), ('opening_weekend', 'the_numbers', 'unspecified', 3),
    ('opening_weekend', 'wikidata', 'domestic', 4), ('opening_weekend', 'wikidata', 'unspecified', 5),
    ('opening_weekend', 'tmdb', 'domestic', 6), ('opening_weekend', 'tmdb', 'unspecified', 7),
    ('opening_weekend', 'omdb', 'domestic', 8), ('opening_weekend', 'omdb', 'unspecified', 9),
    ('production_budget', 'file', 'unspecified', 0), ('production_budget', 'file', 'worldwide', 1),
    ('production_budget', 'the_numbers', 'unspecified', 2), ('production_budget', 'the_numbers', 'worldwide', 3),
    ('production_budget', 'tmdb', 'unspecified', 4), ('production_budget', 'tmdb', 'worldwide', 5),
    ('production_budget', 'wikidata', 'unspecified', 6), ('production_budget', 'wikidata', 'worldwide', 7)""",
            "ALTER TABLE collection_status ADD COLUMN IF NOT EXISTS with_box_office BIGINT",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS tmdb_parts_due_at TIMESTAMP",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS omdb_parts_due_at TIMESTAMP",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS numbers_parts_due_at TIMESTAMP",
        ),
    ),
    5: Step(
        "people, credits, companies, collections and releases; end years; since when history is whole; whether two"
        " sources mean one work",
        (
            """CREATE TABLE IF NOT EXISTS people (
    person_id BIGINT, name VARCHAR, gender SMALLINT, known_for_department VARCHAR, profile_path VARCHAR,
    row_hash BIGINT, updated_at TIMESTAMP)""",
            """CREATE TABLE IF NOT EXISTS credits (
    tmdb_id BIGINT, credit_id VARCHAR, person_id BIGINT, kind VARCHAR, department VARCHAR, job VARCHAR,
    character VARCHAR, billing_order INTEGER)""",
            """CREATE TABLE IF NOT EXISTS companies (
    company_id BIGINT, name VARCHAR, origin_country VARCHAR, logo_path VARCHAR, row_hash BIGINT,
    updated_at TIMESTAMP)""",
            "CREATE TABLE IF NOT EXISTS movie_companies (tmdb_id BIGINT, company_id BIGINT, place SMALLINT)",
            """CREATE TABLE IF NOT EXISTS collections (
    collection_id BIGINT, name VARCHAR, poster_path VARCHAR, backdrop_path VARCHAR, row_hash BIGINT,
    updated_at TIMESTAMP)""",
            """CREATE TABLE IF NOT EXISTS releases (
    tmdb_id BIGINT, country VARCHAR, type SMALLINT, release_date DATE, certification VARCHAR, note VARCHAR,
    language VARCHAR)""",
            """CREATE TABLE IF NOT EXISTS code_names (
    kind VARCHAR, code VARCHAR, name VARCHAR, listed_at TIMESTAMP, PRIMARY KEY (kind, code))""",
            """CREATE TABLE IF NOT EXISTS videos (
    tmdb_id BIGINT, video_id VARCHAR, name VARCHAR, type VARCHAR, site VARCHAR, site_key VARCHAR, official BOOLEAN,
    size INTEGER, language VARCHAR, country VARCHAR, published_on DATE)""",
            """CREATE TABLE IF NOT EXISTS translations (
    tmdb_id BIGINT, language VARCHAR, country VARCHAR, title VARCHAR, tagline VARCHAR, overview VARCHAR,
    homepage VARCHAR, runtime INTEGER)""",
            """CREATE TABLE IF NOT EXISTS alternative_titles (
    tmdb_id BIGINT, country VARCHAR, title VARCHAR, type VARCHAR)""",
            """CREATE TABLE IF NOT EXISTS providers (
    provider_id BIGINT, name VARCHAR, logo_path VARCHAR, row_hash BIGINT, updated_at TIMESTAMP)""",
            """CREATE TABLE IF NOT EXISTS watch_providers (
    tmdb_id BIGINT, provider_id BIGINT, country VARCHAR, offer VARCHAR)""",
            """CREATE TABLE IF NOT EXISTS appended_parts (
    tmdb_id BIGINT, part VARCHAR, row_hash BIGINT, checked_at TIMESTAMP, changed_at TIMESTAMP)""",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS entities_hash BIGINT",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS entities_checked_at TIMESTAMP",
            "ALTER TABLE tmdb_details ADD COLUMN IF NOT EXISTS softcore BOOLEAN",
            "ALTER TABLE omdb_ratings ADD COLUMN IF NOT EXISTS end_year INTEGER",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS discovered_movies_since TIMESTAMP",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS tmdb_details_since TIMESTAMP",
            "ALTER TABLE refresh_metadata ADD COLUMN IF NOT EXISTS omdb_ratings_since TIMESTAMP",
            "ALTER TABLE omdb_ratings ADD COLUMN IF NOT EXISTS match VARCHAR",
            "ALTER TABLE omdb_ratings ADD COLUMN IF NOT EXISTS match_reasons VARCHAR",
        ),
    ),
    6: Step(
        "how fresh the movies were, and how large the files, over time",
        (
            """CREATE TABLE IF NOT EXISTS freshness (
    observed_at TIMESTAMP, source VARCHAR, category VARCHAR, movies BIGINT, checked BIGINT, in_time BIGINT,
    likely_unchanged DOUBLE, looked_again BIGINT, found_unchanged BIGINT,
    PRIMARY KEY (observed_at, source, category))""",
            """CREATE TABLE IF NOT EXISTS file_sizes (
    day DATE, what VARCHAR, bytes BIGINT, observed_at TIMESTAMP, PRIMARY KEY (day, what))""",
        ),
    ),
}
"""By version: what leads to it from the one before."""
