"""Reading files of the older collection: which era they are of, and their rows by name. Changes nothing, judges no row.

Columns are read by name: order, keys and types are other ones in each era, and what is missing is unknown.
"""

from __future__ import annotations

import codecs
import csv
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any
from uuid import uuid4

import duckdb
import pyarrow as pa

from ayne_dagster.errors import WrongUsage

Row = dict[str, Any]

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "movies": ("movie_id", "tmdb_id", "imdb_id", "title", "release_date", "created_at"),
    "tmdb_movies": (
        *("tmdb_id", "imdb_id", "title", "release_date", "status", "budget", "revenue", "runtime", "vote_count"),
        *("vote_average", "popularity", "genres", "production_companies", "production_countries", "spoken_languages"),
        *("overview", "last_updated_utc"),
    ),
    "omdb_movies": (
        *("imdb_id", "title", "year", "genre", "director", "writer", "actors", "imdb_rating", "imdb_votes"),
        *("metascore", "box_office", "released", "runtime", "language", "country", "rated", "awards"),
        *("rotten_tomatoes_rating", "meta_critic_rating", "last_updated_utc"),
    ),
    "numbers_movies": (
        *("movie_id", "domestic_box_office", "international_box_office", "worldwide_box_office", "production_budget"),
        *("opening_weekend_box_office", "source_url", "last_updated_utc"),
    ),
}
"""By table: the columns that are taken over. What the older collection worked out from them is worked out anew."""
_TOLD_BY_DETAILS = {
    *("budget", "revenue", "runtime", "genres", "production_companies", "production_countries", "spoken_languages"),
}
"""What a listing never has: any of them makes a dump one of details, however few of their columns it has."""
_KEYS = {"movies": "tmdb_id", "tmdb_movies": "tmdb_id", "omdb_movies": "imdb_id", "numbers_movies": "movie_id"}
_IS_A_NUMBER = "TRY_CAST({0} AS DOUBLE) > 0"
_IS_A_KEY = dict.fromkeys(("movies", "tmdb_movies", "numbers_movies"), _IS_A_NUMBER) | {
    "omdb_movies": "regexp_full_match(trim(CAST({0} AS VARCHAR)), 'tt[0-9]+', 'i')"
}
"""By table: whether a value can be its key. Rows with another one ('N/A') have nothing in common."""
_LATEST = {"movies": ("created_at",)} | dict.fromkeys(
    ("tmdb_movies", "omdb_movies", "numbers_movies"), ("last_updated_utc",)
)
"""By table: what tells which of two rows with one key is the later one."""
_FORMER_TABLES = {
    "01_tmdb_movies_base": "movies",
    "02_tmdb_movies": "tmdb_movies",
    "03_omdb_movies": "omdb_movies",
}
"""The tables of era A, and what they became."""
_FORMER_COLUMNS = {
    "id": "tmdb_id",
    "imdbid": "imdb_id",
    "imdbrating": "imdb_rating",
    "imdbvotes": "imdb_votes",
    "boxoffice": "box_office",
    "genre_name": "genres",
    "production_company_name": "production_companies",
    "production_country_name": "production_countries",
}
"""Other names of columns, in era A and its dumps."""
_COMPARABLE = (
    *("BIGINT", "HUGEINT", "INTEGER", "SMALLINT", "TINYINT", "UBIGINT", "UINTEGER", "DOUBLE", "FLOAT", "VARCHAR"),
)
_INSTANTS = ("DATE", "TIMESTAMP")
_SUFFIXES = (".csv", ".parquet")
_SEPARATORS = ";,\t|"
LONGEST_FIELD = 1_000_000
"""Characters of a field of a CSV file; a longer one is no text of a movie."""
KNOWN_SCHEMA = 4
"""The newest schema version of era D that was looked at."""
_ENOUGH = 2
"""So many of the collection's tables make a database one of its own; the one with TMDB's details does by itself."""
COPIES = (".ayne-legacy-", ".ayne-rehearsal-")
"""How the names of folders begin, beside the database, in which copies, and what does not fit into memory, are held for
as long as an import takes."""
FETCHED_AT_ONCE = 4_000
_Config = dict[str, str | bool | int | float | list[str]]
_CONFIG: _Config = {"threads": 2, "memory_limit": "100MB"}


class WrongFile(WrongUsage):
    """What was named holds nothing of the older collection, or cannot be read; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that is no row."""

    where: str
    reason: str
    text: str


@dataclass
class Source:
    """Files of the older collection, open to read."""

    path: Path
    era: str
    """A, B, C or D, with the version of its schema where it says one."""
    connection: duckdb.DuckDBPyConnection
    relations: dict[str, list[str]]
    """By table: queries for its rows, each with the columns of `COLUMNS`."""
    unreadable: list[Unreadable] = field(default_factory=list)
    """Lines of CSV files that could not be read."""
    was_copied: bool = False
    """Whether another program held the file, so that a copy is read."""
    has_newer_schema: bool = False
    """Whether its schema is newer than any that was looked at: what it has is read by name all the same."""
    joined_by_blank: bool = False
    """Whether the names in a text of names have a comma and a blank between them, as in dumps of era A, and not a comma
    alone, so that a blank behind a comma tells that both are part of a name."""

    def count(self, table: str) -> int:
        """How many rows a table has.

        Raises:
            WrongFile: they cannot be read.
        """
        with _of_the_source(self.path):
            return sum(
                int(self.connection.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0])
                for query in self.relations.get(table, ())
            )

    def read_through(self) -> None:
        """Read all that will be taken over, once: what is damaged is to be found before anything is begun.

        Raises:
            WrongFile: part of it cannot be read.
        """
        with _of_the_source(self.path):
            for query in (query for queries in self.relations.values() for query in queries):
                self.connection.execute(f"SELECT bit_xor(hash(r)) FROM ({query}) AS r").fetchall()

    def movies_by_number(self) -> Iterator[tuple[Any, Any]]:
        """Each number that the collection has for a movie (any type), with its TMDB id (any type).

        Raises:
            WrongFile: they cannot be read.
        """
        for query in self.relations.get("movies", ()):
            with _of_the_source(self.path):
                found = self.connection.execute(f"SELECT movie_id, tmdb_id FROM ({query}) WHERE movie_id IS NOT NULL")
                yield from found.fetchall()

    def rows(self, table: str) -> Iterator[list[Row]]:
        """The rows of a table of `COLUMNS`, some thousand at a time; of several with one key, the latest.

        Each says under `copies` how many have its key.

        Raises:
            WrongFile: they cannot be read.
        """
        if queries := self.relations.get(table):
            with _of_the_source(self.path):
                yield from self._rows(table, queries)

    def _rows(self, table: str, queries: Sequence[str]) -> Iterator[list[Row]]:
        names, united = COLUMNS[table], _united(queries)
        key = f"CASE WHEN {_IS_A_KEY[table].format(_KEYS[table])} THEN {_KEYS[table]} END"
        doubled = self.connection.execute(f"SELECT count({key}) - count(DISTINCT {key}) FROM ({united})").fetchall()
        if doubled[0][0]:  # else the rows need not be gathered: they are read as they lie
            order = ", ".join([f"{latest} DESC NULLS LAST" for latest in _LATEST.get(table, ())] + list(names))
            found = self.connection.execute(
                f"SELECT *, if({key} IS NULL, 1, count(*) OVER (PARTITION BY {key})) AS copies FROM ({united})"
                f" QUALIFY {key} IS NULL OR row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1"
            )
        else:
            found = self.connection.execute(f"SELECT *, 1 AS copies FROM ({united})")
        while values := found.fetchmany(FETCHED_AT_ONCE):
            yield [dict(zip((*names, "copies"), row, strict=True)) for row in values]


@contextmanager
def _of_the_source(path: Path) -> Iterator[None]:
    """Within the block, what DuckDB cannot do is said of the source: whoever writes at the same time, with another
    connection, must not take it for a fault of its own file."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise WrongFile(
            f"{path} has rows that need more memory than there is for reading it, and the disk could not take the rest;"
            " nothing was taken over. Free disk space beside the database (AYNE_DATABASE)."
        ) from error
    except (duckdb.Error, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _united(queries: Sequence[str]) -> str:
    return " UNION ALL BY NAME ".join(f"SELECT * FROM ({query})" for query in queries)


@contextmanager
def open_source(path: Path, beside: Path | None) -> Iterator[Source]:
    """Open a DuckDB file, a CSV or Parquet file, or a folder of such files.

    Nothing is written to what is opened. A database that another program holds is copied first.

    Args:
        path: what to open.
        beside: a folder with room for a copy, which is removed afterwards; None: the system's for such things.

    Raises:
        WrongFile: there is nothing of the older collection there, or it cannot be read.
    """
    _require_readable(path)
    with ExitStack() as stack:
        try:
            config = _CONFIG | {"temp_directory": str(_spill_folder(beside, stack))}
            if path.is_dir() or path.suffix.lower() in _SUFFIXES:
                source = _open_files(path, config, stack)
            else:
                source = _open_database(path, beside, config, stack)
        except (duckdb.Error, pa.ArrowException, csv.Error, OSError, UnicodeError) as error:
            raise _unreadable(path, error) from None
        source.read_through()
        _require_a_row(source)
        source.joined_by_blank = _is_joined_by_blank(source)
        yield source


def _require_a_row(source: Source) -> None:
    """Empty tables are taken for what they are. Lines of which none is a row are the wrong file, or a broken one."""
    if source.unreadable and not any(source.count(table) for table in source.relations):
        first = source.unreadable[0]
        raise WrongFile(
            f"{source.path} has {len(source.unreadable):,} lines and not one row that can be read ({first.where}"
            f" {first.reason}); nothing was taken over. Name a dump whose lines have a field for each of its columns."
        )


def _spill_folder(beside: Path | None, stack: ExitStack) -> Path:
    """Where DuckDB puts what does not fit into memory. It makes the folder when it needs it; left to itself it would
    choose one beside the source, to which nothing is written, or the folder in which the command was given."""
    folder = (beside or Path(gettempdir())) / f"{COPIES[0]}{uuid4().hex}"
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def remove_left_copies(beside: Path, before: float) -> int:
    """Remove the copies that an import which was killed has left; returns how many.

    Args:
        beside: the folder of the database.
        before: seconds since 1970; what was touched later may be in use.
    """
    left = [f for f in beside.glob(".ayne-*-*") if f.name.startswith(COPIES) and f.is_dir() and not f.is_symlink()]
    old = [folder for folder in left if max(f.stat().st_mtime for f in (folder, *folder.iterdir())) < before]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    return len(old)


def _require_readable(path: Path) -> None:
    try:
        if not path.exists():
            raise WrongFile(f"There is nothing at {path}: name the older collection's database, or a folder of dumps.")
        if not (path.is_file() or path.is_dir()):
            raise WrongFile(f"{path} is a device, pipe or socket: name a file or a folder.")
        if path.is_file():
            with path.open("rb") as file:
                if not file.read(1):
                    raise WrongFile(f"{path} is empty: it holds nothing that could be taken over.")
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> WrongFile:
    reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
    return WrongFile(
        f"{path} cannot be read as a database or dump of the older collection ({reason}); nothing was taken over."
        " Name a whole copy of it."
    )


# DuckDB files


def _open_database(path: Path, beside: Path | None, config: _Config, stack: ExitStack) -> Source:
    connection, was_copied = _connect(path, beside, config, stack)
    connection.execute("SET enable_external_access = false")  # nothing in the file may name another one
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = current_database()"
        " AND schema_name = 'main' AND table_name IN (SELECT table_name FROM duckdb_tables() UNION ALL"
        " SELECT view_name FROM duckdb_views() WHERE NOT internal) ORDER BY column_index"
    ).fetchall():
        found.setdefault(table, {})[column] = kind
    if "refresh_metadata" in found or "warehouse_schema" in found:
        raise WrongFile(f"{path} is a database of this platform, and not of the older collection.")
    relations = {
        table: [_selection(f'"{name}"', found[name], table)]
        for name in found
        if (table := _FORMER_TABLES.get(name.lower(), name.lower())) in COLUMNS
        and _KEYS[table] in {_FORMER_COLUMNS.get(c.lower(), c.lower()) for c in found[name]}
    }
    if "tmdb_movies" not in relations and len(relations.keys() - {"numbers_movies"}) < _ENOUGH:
        raise WrongFile(
            f"{path} is a DuckDB database of another program: it has not the tables movies, tmdb_movies and"
            " omdb_movies."
        )
    era, version = _era(connection, found)
    return Source(path, era, connection, relations, was_copied=was_copied, has_newer_schema=version > KNOWN_SCHEMA)


def _connect(
    path: Path, beside: Path | None, config: _Config, stack: ExitStack
) -> tuple[duckdb.DuckDBPyConnection, bool]:
    """The file, open to read; where another program holds it, a copy."""
    try:
        return stack.enter_context(duckdb.connect(f"duckdb:{path}", read_only=True, config=config)), False
    except duckdb.Error as error:
        if not any(words in str(error) for words in ("lock on file", "different configuration")):
            raise
    folder = Path(stack.enter_context(TemporaryDirectory(prefix=COPIES[0], dir=beside)))
    copy = folder / "legacy.duckdb"
    for suffix in ("", ".wal"):
        with suppress(FileNotFoundError):
            shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
    try:
        return stack.enter_context(duckdb.connect(f"duckdb:{copy}", read_only=True, config=config)), True
    except duckdb.Error:
        raise WrongFile(
            f"{path} is being written to by another program, and could not be copied whole: close that program."
        ) from None


def _era(connection: duckdb.DuckDBPyConnection, found: Mapping[str, Mapping[str, str]]) -> tuple[str, int]:
    """The era, and the version of its schema, or 0."""
    found = {
        name.lower(): {column.lower(): kind for column, kind in columns.items()} for name, columns in found.items()
    }
    if any(name in _FORMER_TABLES for name in found):
        return "A", 0
    if "version" in found.get("schema_migrations", {}):
        version = connection.execute("SELECT max(TRY_CAST(version AS BIGINT)) FROM schema_migrations").fetchall()[0][0]
        return ("D", 0) if version is None else (f"D{version}", version)
    is_later = (
        "consecutive_unchanged_refreshes" in found.get("movies", {})
        or "source_url" in found.get("numbers_movies", {})
        or "api_usage_daily" in found
    )
    return ("C" if is_later else "B"), 0


def _selection(relation: str, columns: Mapping[str, str], table: str) -> str:
    """The query for the columns of a table, by name, in types that Python has; NULL for those that are missing."""
    by_name: dict[str, tuple[str, str]] = {}
    for column, kind in columns.items():
        name = column.strip().lower().lstrip("\ufeff")
        name = _FORMER_COLUMNS.get(name, name) if _FORMER_COLUMNS.get(name) not in columns else name
        by_name.setdefault(name, (column, kind))
    if table == "tmdb_movies" and "last_updated_utc" not in by_name and "created_at" in by_name:
        by_name["last_updated_utc"] = by_name["created_at"]  # of era A: when the answer was stored
    lines = []
    for name in COLUMNS[table]:
        column, kind = by_name.get(name, ("", ""))
        quoted = '"' + column.replace('"', '""') + '"'
        if not column:
            value = "NULL"
        elif kind in _COMPARABLE:
            value = quoted
        elif kind in _INSTANTS:  # Python has no years before 1 and beyond 9999, and no infinity
            value = f"CASE WHEN {quoted} BETWEEN DATE '0001-01-02' AND DATE '9999-12-30' THEN {quoted} END"
        elif kind.endswith("[]"):
            value = f"array_to_string(CAST({quoted} AS VARCHAR[]), ',')"
        else:
            value = f"CAST({quoted} AS VARCHAR)"
        lines.append(f"{value} AS {name}")
    return f"SELECT {', '.join(lines)} FROM {relation}"


# CSV and Parquet files


def _open_files(path: Path, config: _Config, stack: ExitStack) -> Source:
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file())
    connection = stack.enter_context(duckdb.connect(config=config))
    source = Source(path, "A", connection, {})
    for number, file in enumerate(files):
        name = f"file_{number}"
        if file.suffix.lower() == ".csv":
            rows = _read_csv(file, source.unreadable)
            connection.register(name, rows)
            columns = dict.fromkeys(rows.column_names, "VARCHAR")
            relation = name
        else:
            quoted = str(file).replace("'", "''")
            relation = f"read_parquet('{quoted}')"
            columns = {row[0]: row[1] for row in connection.execute(f"DESCRIBE FROM {relation}").fetchall()}
        if table := _table_of(columns):
            source.relations.setdefault(table, []).append(_selection(relation, columns, table))
    if not source.relations:
        raise WrongFile(f"{path} holds no CSV or Parquet file of the older collection.")
    return source


def _is_joined_by_blank(source: Source) -> bool:
    """Genres tell: no name of one has a comma in it. Where no movie has two, only dumps are taken to have blanks."""
    with _of_the_source(source.path):
        for query in source.relations.get("tmdb_movies", ()):
            with_blank, without = source.connection.execute(
                "SELECT count(*) FILTER (WHERE names LIKE '%, %'),"
                " count(*) FILTER (WHERE regexp_matches(names, ',[^ ]'))"
                f" FROM (SELECT CAST(genres AS VARCHAR) AS names FROM ({query}))"
            ).fetchall()[0]
            if with_blank or without:
                return bool(with_blank > without)
    return source.era == "A"


def _table_of(columns: Mapping[str, str]) -> str | None:
    """Which table a dump is of, by the names of its columns."""
    names = {_FORMER_COLUMNS.get(name, name) for name in (c.strip().lower() for c in columns)}
    if "imdb_id" in names and names & {"imdb_rating", "metascore", "rotten_tomatoes_rating"}:
        return "omdb_movies"
    if "movie_id" in names and names & {"domestic_box_office", "worldwide_box_office"}:
        return "numbers_movies"
    if "tmdb_id" in names and names & _TOLD_BY_DETAILS:
        return "tmdb_movies"
    return "movies" if {"tmdb_id", "title"} <= names else None


def _read_csv(file: Path, unreadable: list[Unreadable]) -> pa.Table:
    """All fields of a CSV file as texts; lines that are no rows are told apart."""
    csv.field_size_limit(LONGEST_FIELD)
    with file.open(encoding=_encoding_of(file), errors="replace", newline="") as text:
        first = text.readline()
        separator = max(_SEPARATORS, key=first.count)
        text.seek(0)
        lines = _Lines(text, separator)
        heading = lines.fields() or []
        kept: list[list[str | None]] = []
        number = 1
        while (line := lines.fields()) is not None:
            number += 1
            where = f"{file.name} row {number}"
            if len(line) == len(heading) and any(line) and not lines.is_open:
                kept.append([field or None for field in line])
            elif len(lines.taken) > 1:
                unreadable.append(
                    Unreadable(where, "a quote in it is not closed where it should be", lines.only_the_first())
                )
            elif line:
                reason = f"has {len(line)} fields, and not {len(heading)}" if any(line) else "is empty"
                unreadable.append(Unreadable(where, reason, separator.join(line)))
    names = _distinct(heading)
    values = zip(*kept, strict=True) if kept else [()] * len(names)
    return pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, values, strict=True)})


class _Lines:
    """The rows of a CSV file. One that took several lines for a quote's sake, and is none, costs its first line."""

    def __init__(self, text: Iterable[str], separator: str) -> None:
        self._text, self._separator = iter(text), separator
        self._again: deque[str] = deque()
        self._reader = csv.reader(self, delimiter=separator)
        self.taken: list[str] = []
        """The lines of the last row."""
        self.is_open = False
        """Whether a quote in it is never closed: it goes to the end of the file, or for longer than any text."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        # Without the character that no text has.
        self.taken.append(line := self._again.popleft() if self._again else next(self._text).replace("\x00", ""))
        return line

    def fields(self) -> list[str] | None:
        """The next row; None at the end."""
        self.taken.clear()
        try:
            fields = next(self._reader, None)
        except csv.Error:  # longer than `LONGEST_FIELD`
            if len(self.taken) == 1:
                raise
            self.is_open = True
            return []
        self.is_open = len(self.taken) > 1 and sum(line.count('"') for line in self.taken) % 2 == 1
        return fields

    def only_the_first(self) -> str:
        """Give back all lines of the last row but its first, to be read as rows of their own; returns that one."""
        first, *others = self.taken
        self._again.extendleft(reversed(others))
        self._reader = csv.reader(self, delimiter=self._separator)
        return first


def _encoding_of(file: Path) -> str:
    content = file.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of columns, with a number behind those that are there twice."""
    found: list[str] = []
    for name in names:
        found.append(name if name not in found else f"{name}_{len(found)}")
    return found
