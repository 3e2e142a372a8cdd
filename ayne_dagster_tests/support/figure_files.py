"""Invented files of figures, and movies that they are about: seeded, with the defects that real ones have.

Titles are made of words; the ways to spell them, the shares and the defects are those of published files.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ayne_dagster.partitions import release_year
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.refresh_metadata import new_state_row
from ayne_dagster.warehouse.rows import insert_rows
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES, REFRESH_METADATA, TMDB_DETAILS
from ayne_dagster_tests.support.samples import START

FIRST = (
    "Amber", "Bitter", "Crimson", "Distant", "Élan", "Frozen", "Golden", "Hollow", "Iron", "Jade", "Último", "Midnight",
    "Northern", "Paper", "Quiet", "Señor", "Silent", "Über", "Velvet", "Winter", "Ancient", "Broken", "Copper", "Æther",
)  # fmt: skip
SECOND = (
    "Harbour", "Orchard", "Letter", "Mirror", "Garden", "Carnival", "Bridge", "Engine", "Island", "Lantern", "Compass",
    "Station", "Empire", "Feather", "Cathedral", "Horizon", "Market", "Painter", "River", "Café", "Signal", "Thunder",
)  # fmt: skip
THIRD = (
    "of Ashes",
    "in the Rain",
    "& Daughters",
    "at Dawn",
    "Returns",
    "of Our Fathers",
    "Forever",
    "Rising",
    "II",
    "",
)


@dataclass(frozen=True)
class Film:
    """An invented movie, as it is known to the warehouse."""

    tmdb_id: int
    title: str
    original_title: str
    released: date
    imdb_id: str | None


@dataclass(frozen=True)
class Stated:
    """What a file says of a film, and which one it is about."""

    film: Film
    title: str
    released: date
    budget: int
    domestic: int
    worldwide: int


def films(number: int, seed: int = 1) -> list[Film]:
    """So many films. Some share a title, a few of these in years beside each other; one in ten is foreign."""
    rng = random.Random(seed)
    made: list[Film] = []
    for tmdb_id in range(1, number + 1):
        title = " ".join(filter(None, (rng.choice(("The ", "", "", "A "))
                                       + rng.choice(FIRST), rng.choice(SECOND), rng.choice(THIRD))))  # fmt: skip
        original = f"{rng.choice(SECOND)} {rng.choice(FIRST)} {tmdb_id % 97}" if rng.random() < 0.1 else title
        released = date(1950, 1, 1) + timedelta(days=rng.randrange(74 * 365))
        imdb_id = f"tt{tmdb_id:07}" if rng.random() < 0.9 else None
        made.append(Film(tmdb_id, title, original, released, imdb_id))
    return made


def fill(database: Database, known: Iterable[Film]) -> None:
    """Make the warehouse know these films, with a listing and details of each."""
    with database.transaction() as connection:
        fill_connection(connection, known)


def fill_connection(connection: duckdb.DuckDBPyConnection, known: Iterable[Film]) -> None:
    listed, details, states = [], [], []
    for film in known:
        row = {
            "tmdb_id": film.tmdb_id,
            "release_year": release_year(film.released),
            "title": film.title,
            "original_title": film.original_title,
            "release_date": film.released,
        }
        listed.append(row)
        details.append(row | {"imdb_id": film.imdb_id})
        states.append(
            new_state_row(film.tmdb_id, START, release_year(film.released))
            | {"release_date": film.released, "imdb_id": film.imdb_id}
        )
    for table, rows in ((DISCOVERED_MOVIES, listed), (TMDB_DETAILS, details), (REFRESH_METADATA, states)):
        insert_rows(connection, table, rows)


def stated(about: Sequence[Film], seed: int = 2, *, vary: bool = True) -> list[Stated]:
    """What a file says of films, spelled and dated as files do it."""
    rng = random.Random(seed)
    rows = []
    for film in about:
        budget = rng.randrange(1, 200) * 1_000_000
        domestic = rng.choice((0, rng.randrange(10_000, 300_000_000)))
        worldwide = domestic + rng.choice((0, rng.randrange(10_000, 500_000_000)))
        title, released = film.title, film.released
        if vary:
            title, released = spelled(rng, title), dated(rng, released)
        rows.append(Stated(film, title, released, budget, domestic, worldwide))
    return rows


SPELLINGS: Mapping[str, tuple[float, Callable[[str], str]]] = {
    "as it is": (0.70, lambda title: title),
    "article behind": (0.06, lambda title: f"{title[4:]}, The" if title.startswith("The ") else title),
    "article dropped": (0.04, lambda title: title.removeprefix("The ")),
    "mojibake": (0.05, lambda title: title.encode().decode("cp1252", "replace").replace("\ufffd", "")),
    "entities": (0.03, lambda title: title.replace("&", "&amp;").replace("é", "&eacute;")),
    "and": (0.03, lambda title: title.replace("&", "and")),
    "without accents": (0.03, lambda title: title.translate(str.maketrans("éÉÚÜñÆ", "eEUUnE"))),
    "numerals": (0.03, lambda title: title.replace(" II", " 2")),
    "upper case": (0.02, str.upper),
    "another subtitle": (0.01, lambda title: f"{title}: The Untold Story"),
}
"""How a file spells a title: how often, and how. The last cannot be found."""


def spelled(rng: random.Random, title: str) -> str:
    """A title in one of the spellings."""
    (way,) = rng.choices([way for _, way in SPELLINGS.values()], [share for share, _ in SPELLINGS.values()])
    return way(title)


def dated(rng: random.Random, released: date) -> date:
    """A date as another source has it: in 98.7 % of the same year, 1.1 % one beside it, else quite another."""
    years = rng.choices((0, rng.choice((-1, 1)), 10), (98.7, 1.1, 0.2))[0]
    return released.replace(year=released.year + years, day=min(released.day, 28))


def dollars(amount: int) -> str:
    """As the budgets table writes money."""
    return f"${amount:,}"


def table_text(header: Sequence[str], rows: Iterable[Sequence[Any]], separator: str = ",") -> str:
    """A table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


BUDGETS = ("id", "release_date", "movie", "production_budget", "domestic_gross", "worldwide_gross")


def budgets_rows(rows: Iterable[Stated]) -> list[tuple[Any, ...]]:
    """Rows of the budgets table; its id begins anew every hundred rows."""
    return [
        (place % 100 + 1, f"{row.released:%b} {row.released.day}, {row.released.year}", row.title, dollars(row.budget),
         dollars(row.domestic), dollars(row.worldwide))
        for place, row in enumerate(rows)
    ]  # fmt: skip


def write_budgets(path: Path, rows: Iterable[Stated], encoding: str = "utf-8", separator: str = ",") -> Path:
    """The budgets table as a CSV file; what an encoding does not have becomes a question mark."""
    path.write_bytes(table_text(BUDGETS, budgets_rows(rows), separator).encode(encoding, "replace"))
    return path


def write_budgets_parquet(path: Path, rows: Sequence[Stated], *, typed: bool) -> Path:
    """The same as Parquet: with dates and decimals, or with texts as in the CSV."""
    if typed:
        money = pa.decimal128(12, 2)
        columns = {
            "release_date": pa.array([row.released for row in rows], pa.date32()),
            "movie": pa.array([row.title for row in rows]),
            **{
                name: pa.array([Decimal(getattr(row, field)) or None for row in rows], money)
                for name, field in (
                    ("production_budget", "budget"), ("domestic_gross", "domestic"), ("worldwide_gross", "worldwide"),
                )
            },
        }  # fmt: skip
    else:
        columns = dict(zip(BUDGETS, zip(*[map(str, row) for row in budgets_rows(rows)], strict=True), strict=True))
    pq.write_table(pa.table(columns), path)
    return path


def write_opusdata(folder: Path, rows: Sequence[Stated], *, identifiers: bool = True) -> Path:
    """An extract of five files; there is no worldwide gross in it, and 0 is unknown."""
    folder.mkdir(parents=True, exist_ok=True)
    odid = {row: 900_000 + place for place, row in enumerate(rows)}
    summary = [
        (odid[r], r.title, r.released.year, r.released.isoformat(), r.domestic, r.worldwide - r.domestic, r.budget,
         r.domestic // 4, "PG-13", "Drama", 0, 101)
        for r in rows
    ]  # fmt: skip
    files = {
        "movie_summary.csv": (
            ("movie_odid", "display_name", "production_year", "release_date", "domestic_box_office",
             "international_box_office", "production_budget", "opening_weekend_revenue", "rating", "genre", "sequel",
             "running_time"), summary),
        "movie_identifiers.csv": (
            ("movie_odid", "domain", "id"),
            [(odid[r], "IMDB", r.film.imdb_id) for r in rows if r.film.imdb_id and identifiers]),
        "weekend_boxoffice.csv": (
            ("movie_odid", "display_name", "chart_date", "revenue"), [(odid[r], r.title, r.released, 1) for r in rows]),
        "weekly_boxoffice.csv": (
            ("movie_odid", "display_name", "chart_date", "revenue"), [(odid[r], r.title, r.released, 1) for r in rows]),
        "movie_ratings.csv": (("movie_odid", "rating"), [(odid[r], "PG-13") for r in rows]),
    }  # fmt: skip
    for name, (header, lines) in files.items():
        (folder / name).write_text(table_text(header, lines), "utf-8")
    return folder
