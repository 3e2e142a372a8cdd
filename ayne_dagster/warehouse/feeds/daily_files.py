"""Daily files in the warehouse: unpacked for a merge, weighed against what is known and the last one, and recorded.

What is done with their lines is in `id_export` and `imdb`; where they come from, in `sources.daily_files`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from glob import escape
from pathlib import Path

import duckdb

from ayne_dagster.warehouse.database import WarehouseError
from ayne_dagster.warehouse.feeds.published_lines import Unpackable, write_lines
from ayne_dagster.warehouse.rows import naive_utc

LEAST_LINES = 100
"""A file with fewer is no such file, whatever was there before."""
LEAST_SHARE = 0.95
"""Of the lines of the last accepted file; a shorter one is a mishap of its publication, not a loss of movies."""
MOST_UNREADABLE = 0.05
"""Share of lines that may be unreadable."""
LEAST_OVERLAP = 0.9
"""Of what the last accepted file had; day by day less than a thousandth goes."""
FEW = 20
"""So few say nothing of a whole file."""
LEAST_KNOWN = 5
"""Fewer things that are known to exist say nothing of a file that lacks them."""
REFUTED = 0.5
"""The last accepted file is wrong itself when it lacks more than this share of what the sources have answered, or tells
it quite otherwise. A right one lacks only what came after it."""
BELIEVE = "if that is right, run {name} with the config `believe: true`"
ONE_LINE_A_ROW = (
    "SELECT line FROM read_csv($lines, compression = 'none', delim = '\x01', header = false, quote = '', escape = '',"
    " auto_detect = false, strict_mode = false, ignore_errors = true, columns = {line: 'VARCHAR'})"
)
"""SQL that yields the lines of a file that `write_lines` has written: no line has the delimiter."""
_PARSER = {"threads": "2", "memory_limit": "512MB", "preserve_insertion_order": "false"}


class FileRefused(WarehouseError):
    """A file is not believed: nothing of it is stored, and what was known before stays."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A daily file as Parquet, which a merge reads in no time: the database is not held open while a file is parsed."""

    path: Path
    lines: int
    """Lines that could be used; a second one of the same thing does not count."""
    unreadable: int
    """Lines that could not."""

    @property
    def readable_path(self) -> str:
        """The path as DuckDB's readers take it: to them a bracket or star is a pattern."""
        return escape(str(self.path))


@dataclass(frozen=True, slots=True)
class Doubts:
    """What speaks against a file, in words; None where nothing does."""

    by_known: str | None = None
    """What the sources have answered: it holds without an earlier file."""
    by_last: str | None = None
    """The last accepted file."""
    of_last: str | None = None
    """What the sources have answered, against that last file itself."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a file is believed."""

    doubt: str | None = None
    """Why not."""
    remark: str | None = None
    """What speaks against it, and why it is believed all the same."""


@contextmanager
def unpacked(source: Path, target: Path, select: str, key: str, readable: str) -> Iterator[Unpacked]:
    """Parse a file into Parquet, for the length of the block; memory stays bounded.

    Its lines are counted before DuckDB sees them: what it drops is unreadable, and no line the less.

    Args:
        source: the file, gzip or not.
        target: the Parquet file; what lies there is replaced, and it is removed in the end.
        select: SQL that yields rows of the lines, as it finds them in `ONE_LINE_A_ROW`.
        key: column of those rows that names what a line is about.
        readable: condition on those rows: the line could be used.

    Raises:
        FileRefused: it cannot be parsed at all.
    """
    lines = target.with_name(f"{target.name}.lines")
    try:
        yield _parsed(source, lines, target, select, key, readable)
    finally:
        target.unlink(missing_ok=True)


def _parsed(source: Path, lines: Path, target: Path, select: str, key: str, readable: str) -> Unpacked:
    quoted = str(target).replace("'", "''")  # COPY takes no parameter for its target
    counts = f"count(*) FILTER (WHERE {readable}), count(DISTINCT {key}) FILTER (WHERE {readable})"
    try:
        found = write_lines(source, lines)
        with duckdb.connect(config=dict(_PARSER)) as parser:
            parser.execute(f"COPY ({select}) TO '{quoted}' (FORMAT parquet)", {"lines": escape(str(lines))})
            readable_lines, different = parser.execute(
                f"SELECT {counts} FROM read_parquet($target)", {"target": escape(str(target))}
            ).fetchall()[0]
    except (duckdb.Error, Unpackable) as error:
        raise FileRefused(f"{source.name} cannot be read as what it should be: {str(error).splitlines()[0]}") from None
    finally:
        lines.unlink(missing_ok=True)
    return Unpacked(target, different, found - readable_lines)


def last_accepted(connection: duckdb.DuckDBPyConnection, name: str, now: datetime) -> tuple[date, int] | None:
    """Day and lines of the last file that was believed; one of a day to come was noted by a clock that was ahead."""
    rows = connection.execute(
        "SELECT day, lines FROM daily_files WHERE name = $name AND accepted AND day <= CAST($now AS DATE)"
        " ORDER BY day DESC LIMIT 1",
        {"name": name, "now": naive_utc(now)},
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


def lost(what: str, had: int, missing: int) -> str | None:
    """Why a file is not to be believed that lacks some of what the last accepted one had; None when it is.

    Args:
        what: what is counted, in the plural.
        had: how many of them the last accepted file had.
        missing: how many of these the file lacks.
    """
    if missing <= FEW or missing <= (1 - LEAST_OVERLAP) * had:
        return None
    return f"it lacks {missing:,} of the {had:,} {what} of the last accepted one"


def is_unlike(known: int, wrong: int, share: float = 1 - LEAST_OVERLAP) -> bool:
    """Whether a file contradicts what the sources have answered.

    Args:
        known: number of things that they have answered, which a right file has.
        wrong: how many of these it lacks, or tells quite otherwise.
        share: so many of them may be wrong. Of a small collection half may: it can be all of today.
    """
    return known >= LEAST_KNOWN and wrong > max(min(FEW, known // 2), share * known)


def weigh(file: Unpacked, before: int | None, doubts_of_it: Doubts) -> Verdict:
    """Whether a file is believed, by all that can be said of it.

    What the sources have answered themselves weighs more than a file that was accepted: a right file that is refused
    for being unlike a wrong one would be refused for good. The last file is only given up for one that fits what is
    known, and only when it does not itself.

    Args:
        file: the file.
        before: lines of the last accepted one; None when there is none.
        doubts_of_it: what its content says.
    """
    if doubt := doubts(file, None) or doubts_of_it.by_known:
        return Verdict(doubt)
    if before is None or not (doubt := doubts(file, before) or doubts_of_it.by_last):
        return Verdict()
    if doubts_of_it.of_last is None:
        return Verdict(doubt)
    return Verdict(remark=f"{doubt}: that one is wrong itself, {doubts_of_it.of_last}")


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
