"""Daily files in the warehouse: unpacked for a merge, weighed against the last accepted one, and recorded.

What is done with their lines is in `id_export` and `imdb`; where they come from, in `sources.daily_files`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb

from ayne_dagster.warehouse.database import WarehouseError
from ayne_dagster.warehouse.rows import naive_utc

LEAST_LINES = 100
"""A file with fewer is no such file, whatever was there before."""
LEAST_SHARE = 0.95
"""Of the lines of the last accepted file; a shorter one is a mishap of its publication, not a loss of movies."""
MOST_UNREADABLE = 0.05
"""Share of lines that may be unreadable."""
_PARSER = {"threads": "2", "memory_limit": "512MB", "preserve_insertion_order": "false"}


class FileRefused(WarehouseError):
    """A file is not believed: nothing of it is stored, and what was known before stays."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A daily file as Parquet, which a merge reads in no time: the database is not held open while a file is parsed."""

    path: Path
    lines: int
    """Lines that could be used."""
    unreadable: int
    """Lines that could not."""


@contextmanager
def unpacked(
    source: Path, target: Path, select: str, readable: str, parameters: Mapping[str, object]
) -> Iterator[Unpacked]:
    """Parse a file into Parquet, for the length of the block; memory stays bounded.

    Args:
        source: the file, gzip or not.
        target: the Parquet file; what lies there is replaced, and it is removed in the end.
        select: SQL that yields its lines as rows, with `$source` and `$compression` as parameters.
        readable: condition on those rows: the line could be used.
        parameters: more parameters of the SQL.

    Raises:
        FileRefused: it cannot be parsed at all.
    """
    try:
        yield _parsed(source, target, select, readable, parameters)
    finally:
        target.unlink(missing_ok=True)


def _parsed(source: Path, target: Path, select: str, readable: str, parameters: Mapping[str, object]) -> Unpacked:
    with source.open("rb") as file:
        compression = "gzip" if file.read(2) == b"\x1f\x8b" else "uncompressed"
    quoted = str(target).replace("'", "''")  # COPY takes no parameter for its target
    try:
        with duckdb.connect(config=dict(_PARSER)) as parser:
            parser.execute(
                f"COPY ({select}) TO '{quoted}' (FORMAT parquet)",
                {"source": str(source), "compression": compression, **parameters},
            )
            lines, unreadable = parser.execute(
                f"SELECT count(*) FILTER (WHERE {readable}), count(*) FILTER (WHERE NOT ({readable}))"
                " FROM read_parquet($target)",
                {"target": str(target)},
            ).fetchall()[0]
    except duckdb.Error as error:
        raise FileRefused(f"{source.name} cannot be read as what it should be: {str(error).splitlines()[0]}") from None
    return Unpacked(target, lines, unreadable)


def last_accepted(connection: duckdb.DuckDBPyConnection, name: str) -> tuple[date, int] | None:
    """Day and lines of the last file that was believed."""
    rows = connection.execute(
        "SELECT day, lines FROM daily_files WHERE name = ? AND accepted ORDER BY day DESC LIMIT 1", [name]
    ).fetchall()
    return (rows[0][0], rows[0][1]) if rows else None


def doubts(file: Unpacked, before: int | None) -> str | None:
    """Why a file is not to be believed; None when it is.

    Args:
        file: the file.
        before: lines of the last accepted one.
    """
    if file.lines < LEAST_LINES:
        return f"it has {file.lines:,} usable lines, fewer than {LEAST_LINES:,}"
    if file.unreadable > MOST_UNREADABLE * (file.lines + file.unreadable):
        return f"{file.unreadable:,} of its {file.lines + file.unreadable:,} lines cannot be read"
    if before is not None and file.lines < LEAST_SHARE * before:
        return f"it has {file.lines:,} usable lines, the last accepted one had {before:,}"
    return None


def record(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    day: date,
    file: Unpacked,
    now: datetime,
    run_id: str,
    *,
    refused: str | None = None,
) -> None:
    """Note that a file was accepted, or refused and why; an accepted file of a day is not unmade by a refused one."""
    connection.execute("DELETE FROM daily_files WHERE name = $name AND day = $day AND ($accepted OR NOT accepted)",
                       {"name": name, "day": day, "accepted": refused is None})  # fmt: skip
    connection.execute(
        """
        INSERT INTO daily_files BY NAME
        SELECT $name AS name, $day AS day, $accepted AS accepted, $lines AS lines, $unreadable AS unreadable,
               $reason AS reason, $now AS read_at, $run_id AS run_id
        WHERE NOT EXISTS (FROM daily_files WHERE name = $name AND day = $day)""",
        {
            "name": name,
            "day": day,
            "accepted": refused is None,
            "lines": file.lines,
            "unreadable": file.unreadable,
            "reason": refused,
            "now": naive_utc(now),
            "run_id": run_id,
        },
    )
