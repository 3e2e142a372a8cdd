"""Databases and dumps as the older collection left them: all its eras, with its defects. Seeded; knows nothing of ours.

The schemas are those of each era in turn; shares of unknown values and the like are the measured ones.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]

ERAS = ("B", "C", "C-altered", "D1", "D2", "D3", "D4")
"""Of the DuckDB files; era A is CSV and Parquet."""
ZONE = timedelta(hours=2)
"""How far the clock of `created_at` is ahead of UTC."""
WORDS = (
    "River",
    "Night",
    "Garden",
    "Harbour",
    "Winter",
    "Letter",
    "Mirror",
    "Road",
    "Island",
    "Clock",
    "Fire",
    "Glass",
)
GENRES = ("Action", "Drama", "Comedy", "Science Fiction", "Thriller", "Romance", "Documentary", "TV Movie")
COMPANIES = ("Northlight Pictures", "Harbour Films", "Studio Kite", "Blue Door", "Grand Arc")
COMMA_COMPANY = "X Films, Ltd."
COUNTRIES = ("United States of America", "France", "Japan", "Germany", "United Kingdom", "Soviet Union", "South Korea")
LANGUAGES = ("English", "French", "Japanese", "German", "Cantonese", "No Language", "Korean")
PEOPLE = ("Ada Brook", "Ben Cole", "Cleo Dane", "Dan Eek", "Eva Fall", "Finn Gray")

_MOVIES = """CREATE TABLE movies (
    movie_id INTEGER PRIMARY KEY DEFAULT nextval('seq_movies_id'), tmdb_id INTEGER UNIQUE, imdb_id VARCHAR UNIQUE,
    title VARCHAR{title}, release_date DATE, created_at TIMESTAMP{required} DEFAULT current_timestamp,
    last_full_refresh TIMESTAMP, last_tmdb_update TIMESTAMP, last_omdb_update TIMESTAMP,
    last_numbers_update TIMESTAMP, data_frozen BOOLEAN{required} DEFAULT FALSE{counter})"""
_TMDB = """CREATE TABLE tmdb_movies (
    tmdb_id INTEGER PRIMARY KEY, imdb_id VARCHAR, title VARCHAR, release_date DATE, status VARCHAR,
    budget BIGINT{positive_budget}, revenue BIGINT, runtime INTEGER, vote_count INTEGER, vote_average DOUBLE,
    popularity DOUBLE, genres VARCHAR, production_companies VARCHAR, production_countries VARCHAR,
    spoken_languages VARCHAR, overview VARCHAR, last_updated_utc TIMESTAMP)"""
_OMDB = """CREATE TABLE omdb_movies (
    imdb_id VARCHAR PRIMARY KEY, title VARCHAR, year INTEGER, genre VARCHAR, director VARCHAR, writer VARCHAR,
    actors VARCHAR, imdb_rating DOUBLE, imdb_votes INTEGER, metascore INTEGER, box_office BIGINT, released VARCHAR,
    runtime INTEGER, language VARCHAR, country VARCHAR, rated VARCHAR, awards VARCHAR, rotten_tomatoes_rating INTEGER,
    meta_critic_rating INTEGER, last_updated_utc TIMESTAMP)"""
_NUMBERS_B = """CREATE TABLE numbers_movies (
    movie_id INTEGER, domestic_box_office BIGINT, international_box_office BIGINT, worldwide_box_office BIGINT,
    release_year INTEGER, production_budget BIGINT, opening_weekend_box_office BIGINT, last_updated_utc TIMESTAMP)"""
_NUMBERS_C = """CREATE TABLE numbers_movies (
    movie_id INTEGER PRIMARY KEY, domestic_box_office BIGINT, international_box_office BIGINT,
    worldwide_box_office BIGINT, release_year INTEGER, production_budget BIGINT, opening_weekend_box_office BIGINT,
    source_url VARCHAR, last_updated_utc TIMESTAMP)"""
_STATE = """CREATE TABLE movie_refresh_state (
    movie_id INTEGER PRIMARY KEY, refresh_interval_days INTEGER DEFAULT 30, next_refresh_due TIMESTAMP,
    freeze_after_days INTEGER DEFAULT 365, frozen BOOLEAN DEFAULT FALSE, last_checked TIMESTAMP)"""
_USAGE = """CREATE TABLE api_usage_daily (
    provider VARCHAR NOT NULL, usage_date DATE NOT NULL, requests_used INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (provider, usage_date))"""
_MIGRATIONS = """CREATE TABLE schema_migrations (
    version INTEGER PRIMARY KEY, name VARCHAR NOT NULL, checksum VARCHAR NOT NULL,
    applied_at TIMESTAMP NOT NULL DEFAULT current_timestamp)"""
_MANIFESTS = """CREATE TABLE dataset_manifests (
    manifest_id VARCHAR PRIMARY KEY, schema_version INTEGER NOT NULL, source_commit VARCHAR NOT NULL,
    generated_at TIMESTAMP NOT NULL, database_path VARCHAR NOT NULL, row_counts JSON NOT NULL,
    input_hashes JSON NOT NULL, manifest_sha256 VARCHAR UNIQUE NOT NULL)"""
_INDEXES = (
    "CREATE INDEX idx_movies_tmdb_id ON movies (tmdb_id)",
    "CREATE INDEX idx_movies_release_date ON movies (release_date)",
    "CREATE INDEX idx_tmdb_movies_imdb_id ON tmdb_movies (imdb_id)",
    "CREATE INDEX idx_omdb_movies_year ON omdb_movies (year)",
)
_NAMES_OF_VERSIONS = ("initial_schema", "data_foundation", "remove_orphan_rows", "harden_nullability")


@dataclass
class LegacyCollection:
    """What one database of the older collection holds."""

    movies: list[Row] = field(default_factory=list)
    tmdb_movies: list[Row] = field(default_factory=list)
    omdb_movies: list[Row] = field(default_factory=list)
    numbers_movies: list[Row] = field(default_factory=list)


def legacy_collection(
    number: int, now: datetime, *, era: str = "C", seed: int = 1, oldest_days: int = 60, orphans: bool = True
) -> LegacyCollection:
    """Movies of an era, with its defects, fetched over the last days before `now`.

    Args:
        number: how many movies.
        now: when the older collection was last used (aware UTC).
        era: out of `ERAS`.
        seed: of the chance that draws them.
        oldest_days: how long ago the first of them was fetched.
        orphans: whether rows without a movie are among them, where the era has such.
    """
    chance, made = random.Random(seed), LegacyCollection()
    at_utc = now.astimezone(UTC).replace(tzinfo=None)
    years = sorted(_year(chance, now.year) for _ in range(number))
    ids = iter(sorted(chance.sample(range(2, 20 * number + 100), number + number // 300 + 1)))
    first_id = number + 1 if era == "B" else 1
    for place, year in enumerate(years):
        tmdb_id = next(ids)
        fetched = at_utc - timedelta(days=oldest_days * (1 - (place // 100) / (number / 100 + 1)), seconds=place % 100)
        details = _details(chance, tmdb_id, year, fetched)
        movie = {
            "movie_id": first_id + place + place // 7,
            "tmdb_id": tmdb_id,
            "imdb_id": None if era == "B" else details["imdb_id"] or None,
            "title": details["title"],
            "release_date": details["release_date"],
            "created_at": fetched + ZONE,
            # Invented by a script in era C: the same instant for all, later than any answer.
            "last_tmdb_update": at_utc if era.startswith("C") else fetched,
            "data_frozen": era == "B" and year < now.year - 1,
            "consecutive_unchanged_refreshes": chance.choice((0, 1, 3)),
        }
        made.movies.append(movie)
        made.tmdb_movies.append(details)
        if place >= number * 2 // 3 and details["imdb_id"]:
            made.omdb_movies.append(_ratings(chance, str(details["imdb_id"]), details, fetched))
    if not era.startswith("B"):
        made.numbers_movies = [_figures(chance, m, at_utc) for m in made.movies[-max(1, number // 60) :]]
    if orphans and era in ("B", "C", "C-altered", "D1", "D2"):
        for _ in range(max(1, number // 300)):
            made.tmdb_movies.append(_details(chance, next(ids), 1999, at_utc - timedelta(days=3)))
        for place in range(max(1, number // 100)):
            stray = f"tt{9_900_000 + place}"
            made.omdb_movies.append(_ratings(chance, stray, made.tmdb_movies[0], at_utc - timedelta(days=2)))
    return made


def _year(chance: random.Random, last: int) -> int:
    """Rising density, from 1950 on."""
    return min(last, 1950 + int((last - 1950) * chance.random() ** 0.4))


def _details(chance: random.Random, tmdb_id: int, year: int, fetched: datetime) -> Row:
    companies = chance.sample(COMPANIES, chance.randint(1, 3))
    if chance.random() < 0.004:
        companies.append(COMMA_COMPANY)
    votes = chance.randint(50, 30_000)
    return {
        "tmdb_id": tmdb_id,
        "imdb_id": f"tt{1_000_000 + tmdb_id}" if chance.random() > 0.009 else chance.choice(("", None)),
        "title": f"The {chance.choice(WORDS)} and the {chance.choice(WORDS)} {tmdb_id}",
        "release_date": date(year, chance.randint(1, 12), chance.randint(1, 28)),
        "status": "Released" if chance.random() > 0.005 else "Post Production",
        "budget": chance.randint(10**5, 2 * 10**8) if chance.random() > 0.29 else 0,
        "revenue": chance.randint(10**5, 10**9) if chance.random() > 0.23 else 0,
        "runtime": chance.randint(60, 200) if chance.random() > 0.002 else 0,
        "vote_count": votes,
        "vote_average": round(chance.uniform(3, 9), 3),
        "popularity": round(chance.expovariate(0.1) + 10, 4),
        "genres": ",".join(chance.sample(GENRES, chance.randint(1, 3))) if chance.random() > 0.0006 else "",
        "production_companies": ",".join(companies) if chance.random() > 0.026 else "",
        "production_countries": ",".join(chance.sample(COUNTRIES, chance.randint(1, 2))),
        "spoken_languages": ",".join(chance.sample(LANGUAGES, chance.randint(1, 2))),
        "overview": " ".join(chance.choices(WORDS, k=40)) if chance.random() > 0.002 else "",
        "last_updated_utc": fetched,
    }


def _ratings(chance: random.Random, imdb_id: str, details: Row, fetched: datetime) -> Row:
    released, metascore = details["release_date"], chance.randint(10, 99) if chance.random() > 0.57 else None
    return {
        "imdb_id": imdb_id,
        "title": details["title"],
        "year": released.year if chance.random() > 0.01 else None,
        "genre": "Action, Drama",
        "director": chance.choice(PEOPLE),
        "writer": f"{chance.choice(PEOPLE)} (novel), {chance.choice(PEOPLE)} (screenplay)",
        "actors": ", ".join(chance.sample(PEOPLE, 3)),
        "imdb_rating": round(chance.uniform(2, 9), 1) if chance.random() > 0.066 else None,
        "imdb_votes": chance.randint(100, 10**6) if chance.random() > 0.012 else None,
        "metascore": metascore,
        "box_office": chance.randint(10**5, 10**8) if chance.random() > 0.73 else None,
        "released": f"{released:%d %b %Y}" if chance.random() > 0.01 else "N/A",
        "runtime": details["runtime"] or None,
        "language": chance.choice(("English, French", "Japanese")) if chance.random() > 0.015 else "N/A",
        "country": "United States, France",
        "rated": chance.choice(("PG-13", "R")) if chance.random() > 0.37 else "N/A",
        "awards": "2 wins & 3 nominations" if chance.random() > 0.39 else "N/A",
        "rotten_tomatoes_rating": chance.randint(0, 100) if metascore else None,
        "meta_critic_rating": metascore,
        "last_updated_utc": fetched + timedelta(hours=3),
    }


def _figures(chance: random.Random, movie: Row, at: datetime) -> Row:
    domestic = chance.randint(10**6, 10**8)
    return {
        "movie_id": movie["movie_id"],
        "domestic_box_office": domestic,
        "international_box_office": chance.choice((None, 2 * domestic)),
        "worldwide_box_office": 3 * domestic,
        "release_year": movie["release_date"].year,
        "production_budget": chance.choice((None, 5 * 10**7)),
        "opening_weekend_box_office": domestic // 3,
        "source_url": f"https://www.the-numbers.com/movie/{movie['movie_id']}",
        "last_updated_utc": at - timedelta(days=10),
    }


# DuckDB files


def write_legacy(path: Path, made: LegacyCollection, era: str = "C") -> Path:
    """A DuckDB file of an era that holds a collection."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SEQUENCE seq_movies_id START 1")
        for ddl in _tables(era):
            connection.execute(ddl)
        for name in ("movies", "tmdb_movies", "omdb_movies", "numbers_movies"):
            put_rows(connection, name, getattr(made, name))
        if era == "C-altered":
            connection.execute("ALTER TABLE movies ADD COLUMN consecutive_unchanged_refreshes INTEGER DEFAULT 0")
        if era.startswith("D"):
            for version in range(1, int(era[1:]) + 1):
                connection.execute(
                    "INSERT INTO schema_migrations (version, name, checksum) VALUES (?, ?, ?)",
                    [version, [*_NAMES_OF_VERSIONS, "later"][min(version, 5) - 1], f"{version:064}"],
                )
    return path


def _tables(era: str) -> Iterator[str]:
    is_hard = era.startswith("D")
    counter = ", consecutive_unchanged_refreshes INTEGER DEFAULT 0" if era == "C" or is_hard else ""
    yield _MOVIES.format(
        title=" CHECK (trim(title) <> '')" if is_hard else "", required=" NOT NULL" if is_hard else "", counter=counter
    )
    yield _TMDB.format(positive_budget=" CHECK (budget >= 0)" if is_hard else "")
    yield _OMDB
    yield _NUMBERS_B if era in ("B", "C-altered") else _NUMBERS_C
    yield _STATE
    if era not in ("B", "C-altered"):
        yield _USAGE
    if is_hard:
        yield _MIGRATIONS
        if int(era[1:]) >= 2:
            yield _MANIFESTS
    yield from _INDEXES


def put_rows(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    """Insert rows by the columns that the table has."""
    if not rows:
        return
    columns = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
    names = [name for name in columns if any(name in row for row in rows)]
    data = pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
    connection.register("incoming", data)
    connection.execute(f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(names)} FROM incoming")
    connection.unregister("incoming")


def legacy_database(folder: Path, number: int, now: datetime, era: str = "C", seed: int = 1) -> Path:
    """A DuckDB file of an era, with so many movies."""
    return write_legacy(folder / f"legacy_{era}.duckdb", legacy_collection(number, now, era=era, seed=seed), era)


def make_hostile(path: Path, now: datetime) -> None:
    """Put into a file of era C whatever can be in one and should not."""
    at = now.astimezone(UTC).replace(tzinfo=None) - timedelta(days=1)
    with duckdb.connect(str(path)) as connection:
        connection.execute("ALTER TABLE movies ADD COLUMN mood VARCHAR DEFAULT 'odd'")
        connection.execute("DROP TABLE api_usage_daily")
        connection.execute("CREATE VIEW secrets AS SELECT * FROM read_text('/etc/hostname')")
        put_rows(
            connection,
            "movies",
            [
                {"movie_id": 900_001, "tmdb_id": 900_001, "title": "N/A", "release_date": date(2001, 1, 1)},
                {"movie_id": 900_002, "tmdb_id": None, "title": "No id at all", "release_date": date(2001, 1, 1)},
                {"movie_id": 900_003, "tmdb_id": 900_003, "title": "Bell\x07 and \x1b[31mred", "release_date": None},
                {"movie_id": 900_004, "tmdb_id": 900_004, "title": "Future", "release_date": date(2002, 2, 2)},
                {"movie_id": 900_005, "tmdb_id": -5, "title": "Negative", "release_date": date(2002, 2, 2)},
                {"movie_id": 900_007, "tmdb_id": 900_007, "title": "Without details", "release_date": date(2003, 3, 3)},
            ],
        )
        base: Row = {"title": "Odd", "release_date": date(2001, 1, 1), "status": "Released", "last_updated_utc": at}
        put_rows(
            connection,
            "tmdb_movies",
            [
                base
                | {"tmdb_id": 900_001, "imdb_id": "tt0900001", "budget": 5, "production_countries": "Congo,France"},
                base | {"tmdb_id": 900_003, "imdb_id": "tt0900001", "spoken_languages": "Ndebele"},
                base | {"tmdb_id": 900_004, "imdb_id": "nonsense", "last_updated_utc": at + timedelta(days=400)},
                base | {"tmdb_id": 900_006, "imdb_id": None, "production_countries": "Atlantis", "genres": "Drama"},
            ],
        )
        put_rows(
            connection,
            "omdb_movies",
            [
                {"imdb_id": "tt0900001", "title": "N/A", "genre": "N/A", "rated": "N/A", "last_updated_utc": at},
                {"imdb_id": "nm0000001", "title": "A person", "last_updated_utc": at},
                {"imdb_id": "tt9999999", "title": "Nobody's", "last_updated_utc": at},
            ],
        )
        put_rows(connection, "numbers_movies", [{"movie_id": 999_999, "domestic_box_office": 1_000_000}])


# Dumps of era A

_MOVIE_IDS = ("ID", "GENRE_IDS", "RELEASE_DATE", "VOTE_COUNT", "VOTE_AVERAGE", "TITLE")
_FEATURES = {
    "ID": "tmdb_id",
    "IMDB_ID": "imdb_id",
    "GENRE_ID": "",
    "GENRE_NAME": "genres",
    "RELEASE_DATE": "release_date",
    "STATUS": "status",
    "TITLE": "title",
    "BUDGET": "budget",
    "REVENUE": "revenue",
    "RUNTIME": "runtime",
    "VOTE_COUNT": "vote_count",
    "VOTE_AVERAGE": "vote_average",
    "POPULARITY": "popularity",
    "PRODUCTION_COMPANY_ID": "",
    "PRODUCTION_COMPANY_NAME": "production_companies",
    "PRODUCTION_COMPANY_ORIGIN_COUNTRY": "",
    "PRODUCTION_COUNTRY_NAME": "production_countries",
    "SPOKEN_LANGUAGES": "spoken_languages",
}
_OMDB_DUMP = {
    "IMDBID": "imdb_id",
    "TITLE": "title",
    "YEAR": "year",
    "GENRE": "genre",
    "DIRECTOR": "director",
    "WRITER": "writer",
    "ACTORS": "actors",
    "IMDBRATING": "imdb_rating",
    "IMDBVOTES": "imdb_votes",
    "METASCORE": "metascore",
    "BOXOFFICE": "box_office",
    "RELEASED": "released",
    "RUNTIME": "runtime",
    "LANGUAGE": "language",
    "COUNTRY": "country",
    "RATED": "rated",
    "AWARDS": "awards",
    "ROTTEN_TOMATOES_RATING": "rotten_tomatoes_rating",
    "META_CRITIC_RATING": "meta_critic_rating",
}
_LISTS = ("genres", "production_companies", "production_countries", "spoken_languages")


def write_csv_dumps(folder: Path, made: LegacyCollection) -> Path:
    """The three CSV files of era A: semicolons, capitals, lists joined by comma and blank, no times."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = [
        [m["tmdb_id"], "[28, 35]", m["release_date"], d["vote_count"], d["vote_average"], m["title"]]
        for m, d in zip(made.movies, made.tmdb_movies, strict=False)
    ]
    _write_csv(folder / "01_movie_ids.csv", _MOVIE_IDS, ids)
    spaced = [row | {name: (row[name] or "").replace(",", ", ") for name in _LISTS} for row in made.tmdb_movies]
    _write_csv(folder / "02_movie_features.csv", tuple(_FEATURES), [_values(row, _FEATURES) for row in spaced])
    old = [
        row
        | {
            "imdb_votes": f"{row['imdb_votes']:,}" if row["imdb_votes"] else "N/A",
            "runtime": f"{row['runtime']} min" if row["runtime"] else "N/A",
        }
        for row in made.omdb_movies
    ]
    empty = [[""] * len(_OMDB_DUMP)] * 3
    _write_csv(folder / "01_omdb_movies.csv", tuple(_OMDB_DUMP), [_values(row, _OMDB_DUMP) for row in old] + empty)
    return folder


def write_parquet_dumps(folder: Path, made: LegacyCollection) -> Path:
    """The Parquet files of the last days of era A: what was discovered, a file a year, and the details."""
    folder.mkdir(parents=True, exist_ok=True)
    half = len(made.movies) // 2
    for year, movies in ((2001, made.movies[:half]), (2002, made.movies[half:])):
        listed = {
            "tmdb_id": [m["tmdb_id"] for m in movies],
            "title": [m["title"] for m in movies],
            "release_date": [str(m["release_date"]) for m in movies],
            "genre_ids": ["18,53" for _ in movies],
            "last_updated_utc": [f"{m['created_at'].isoformat()}+00:00" for m in movies],
        }
        pq.write_table(pa.table(listed), folder / f"tmdb_discovered_{year}_{year}.parquet")
    names = list(made.tmdb_movies[0])
    columns = {name: pa.array([row[name] for row in made.tmdb_movies]) for name in names}
    columns["last_updated_utc"] = pa.array([f"{r['last_updated_utc'].isoformat()}+00:00" for r in made.tmdb_movies])
    pq.write_table(pa.table(columns), folder / "tmdb_detailed_features.parquet")
    return folder


def _values(row: Row, columns: dict[str, str]) -> list[Any]:
    return ["" if not name or row[name] is None else row[name] for name in columns.values()]


def _write_csv(path: Path, heading: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(heading)
        writer.writerows(rows)
