"""The form of a spool file: a header, then an item a line. How a value is written is in `spool_values`.

Nothing here merges, or decides when a file is written or read: that is in `spool`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from ayne_dagster.warehouse.answers import Answer, ListedMovie, QuarantinedBody
from ayne_dagster.warehouse.database import WarehouseError
from ayne_dagster.warehouse.schema import ANSWER_TABLES
from ayne_dagster.warehouse.spool_values import KINDS, decoded, encoded

Item = Answer | ListedMovie | QuarantinedBody

FORMAT = 3
"""1: answers do not say which IMDb id they were asked for; 2: they have no entities. All are read."""
PART_ITEMS = 500
PART_BYTES = 16 * 1024 * 1024
"""A part of a file that is merged at once: so many items, or so many bytes."""
LONGEST_LINE = 100 * 1024 * 1024
"""Bytes of an item: more than 0.2.0 could write, which cut no texts."""
TABLES = {table.name: table for table in ANSWER_TABLES}


class SpoolError(WarehouseError):
    """A batch could not be written to the spool, or a file of the spool cannot be used."""


class NewerFile(SpoolError):
    """A file of the spool is of a newer version of this program, which will merge it."""


@dataclass(frozen=True)
class Origin:
    """Where a batch comes from and goes to.

    Args:
        source: who answered, and whose lease orders the merging.
        table: name of the table that the rows are for.
        run_id: the run that asked.
    """

    source: str
    table: str
    run_id: str


def header_line(origin: Origin, items: int) -> str:
    """The first line; of the same length whatever the number of items is, so that it can be written over."""
    header = {"format": FORMAT, "source": origin.source, "table": origin.table, "run_id": origin.run_id}
    written = json.dumps(header | {"items": items})
    return written + " " * (12 - len(str(items))) + "\n"


def item_lines(batch: Iterable[Item]) -> Iterator[str]:
    """The lines of a batch.

    Raises:
        TypeError, ValueError, RecursionError: an item has no form in the spool.
    """
    for item in batch:
        values = {f.name: getattr(item, f.name) for f in fields(item)}
        yield json.dumps({"kind": type(item).__name__, "fields": encoded(values)}) + "\n"


def read_header(path: Path, file: BinaryIO) -> tuple[Origin, int]:
    """What a file belongs to, and how many items it should hold.

    Raises:
        NewerFile: it is of a newer version.
        SpoolError: it is no file of the spool.
        OSError: it cannot be read.
    """
    line = file.readline(LONGEST_LINE)
    try:
        header = json.loads(line.decode("ascii"))
        written_as = header["format"]
        if type(written_as) is not int or written_as < 1:
            raise SpoolError(f"{path} says no format")
        if written_as > FORMAT:
            raise NewerFile(f"{path} has format {written_as}, this program knows {FORMAT}")
        origin = Origin(header["source"], header["table"], header["run_id"])
        items = header["items"]
    except SpoolError:
        raise
    except Exception as error:
        raise SpoolError(f"{path} cannot be read ({reason_of(error)})") from error
    if not isinstance(origin.table, str) or origin.table not in TABLES or type(items) is not int:
        raise SpoolError(f"{path} does not say what it holds")
    if not isinstance(origin.source, str) or not isinstance(origin.run_id, str):
        raise SpoolError(f"{path} does not say where it is from")
    return origin, items


def lines_of(file: BinaryIO) -> Iterator[bytes | None]:
    """The lines that follow; None for one that is longer than any item."""
    while line := file.readline(LONGEST_LINE):
        if line.endswith(b"\n") or len(line) < LONGEST_LINE:
            yield line
            continue
        while (more := file.readline(LONGEST_LINE)) and not more.endswith(b"\n"):
            pass
        yield None


def whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """As `lines_of`.

    Raises:
        ValueError: a line is longer than any item.
    """
    for line in lines_of(file):
        if line is None:
            raise ValueError(f"a line of more than {LONGEST_LINE:,} bytes")
        yield line


def parts_of(lines: Iterable[bytes | None]) -> Iterator[list[bytes | None]]:
    """The lines in parts that can be merged at once."""
    part: list[bytes | None] = []
    size = 0
    for line in lines:
        length = len(line or b"")
        if part and (len(part) >= PART_ITEMS or size + length > PART_BYTES):
            yield part
            part, size = [], 0
        part.append(line)
        size += length
    if part:
        yield part


def item_of(line: bytes) -> Item:
    """The item that a line holds; raises whatever it likes where it holds none."""
    written = json.loads(line.decode("ascii"))
    return KINDS[written["kind"]](**decoded(written["fields"]))


def checked(item: Item) -> Item:
    """An item whose parts are of their types, as far as merging relies on it unasked.

    Raises:
        ValueError: one is not.
    """
    if not isinstance(item.at, datetime) or item.at.tzinfo is None:
        raise ValueError("an item without an instant")
    if not isinstance(item.release_year, str):
        raise ValueError("an item without a release year")
    if isinstance(item, QuarantinedBody):
        texts: tuple[Any, ...] = (item.source, item.subject, item.reason)
    else:
        if type(item.tmdb_id) is not int or not 0 <= item.tmdb_id < 2**63:
            raise ValueError("an item without a movie's number")
        if item.row is not None and item.row.get("tmdb_id", item.tmdb_id) != item.tmdb_id:
            raise ValueError("a row of another movie")
        texts = (item.reason, str(item.outcome)) if isinstance(item, Answer) else ()
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("an item with a wrong text")
    if not isinstance(item, ListedMovie) and not isinstance(item.body, bytes):
        raise ValueError("an item with a wrong body")
    return item


def reason_of(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
