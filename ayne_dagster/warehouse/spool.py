"""Answers that the database could not take, in files beside it until it can. Merging is in `merge`, deciding when here.

A batch whose commit failed (the file is held by another program, the disk is full) was paid for all the same. It is
written to `<database>.spool/`, one file a batch, under another name first and synced, so that a file in its place is
whole. Whoever holds the source's lease next merges the files before anything else, oldest first, each in one
transaction, and removes it then: one that is merged twice changes nothing the second time (`merge`).

A file is JSON lines: what it belongs to, then an item a line. Types that JSON lacks are marked; nothing in it is run.
"""

from __future__ import annotations

import base64
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import duckdb

from ayne_dagster.places import SPOOL, companion
from ayne_dagster.warehouse.database import Database, WarehouseError
from ayne_dagster.warehouse.merge import (
    Answer,
    ListedMovie,
    MergeReport,
    QuarantinedBody,
    merge_answers,
    merge_listing,
    quarantine,
)
from ayne_dagster.warehouse.schema import ALL_TABLES

Item = Answer | ListedMovie | QuarantinedBody

FORMAT = 1
_KINDS = {kind.__name__: kind for kind in (Answer, ListedMovie, QuarantinedBody)}
_SUFFIX = ".jsonl"
SET_ASIDE = ".unusable"
_MARK = "$"


class SpoolError(WarehouseError):
    """A batch could not be written to the spool, or a file of the spool cannot be used."""


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


def spool_folder(database: Path) -> Path:
    """Where the spool of a database is; made when it is first needed."""
    return companion(database, SPOOL)


def keep(database: Path, origin: Origin, batch: Sequence[Item]) -> Path:
    """Write a batch to the spool; it is on disk when this returns.

    Returns:
        The file.

    Raises:
        SpoolError: it could not be written; nothing of it is left behind.
    """
    folder = spool_folder(database)
    name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}-{origin.source}"
    new, path = folder / f"{name}.new", folder / f"{name}{_SUFFIX}"
    try:
        text = "\n".join(_lines(origin, batch)) + "\n"
        folder.mkdir(parents=True, exist_ok=True)
        with new.open("x", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        _sync_folder(folder)
    except (OSError, TypeError, ValueError) as error:
        with suppress(OSError):  # the folder that cannot be written; the error before says so
            new.unlink(missing_ok=True)
        raise SpoolError(f"{folder} cannot be written either ({_reason(error)})") from error
    return path


def kept(database: Path, source: str | None = None) -> int:
    """How many answers and listed movies wait in the spool to be merged; those of one source, or of all."""
    return sum(_count(path) for path in _files(database, source))


def merge_kept(database: Database, source: str, tell: Callable[[str], object]) -> MergeReport:
    """Merge what the spool holds from a source; call it with the source's lease held.

    A file that cannot be read or merged is set aside under another name, and told; it stops nothing.

    Args:
        database: the warehouse.
        source: whose answers.
        tell: told in a sentence what was merged, and what could not be.

    Raises:
        WarehouseError: the database cannot take them now either; they stay where they are.
    """
    report = MergeReport()
    merged = 0
    for path in _files(database.path, source):
        try:
            origin, items = read(path)
            with database.transaction() as connection:
                part = _merge(connection, origin, items)
        except (SpoolError, duckdb.Error, ArithmeticError, LookupError, TypeError, ValueError) as error:
            aside = path.with_suffix(SET_ASIDE)
            path.replace(aside)
            tell(f"{aside} could not be merged and was set aside: {_reason(error)}")
            continue
        path.unlink()
        report.add(part)
        merged += len(items)
    if merged:
        tell(f"{merged:,} answers that the database could not take earlier are merged from the spool.")
    _tidy(database.path, source)
    return report


def read(path: Path) -> tuple[Origin, list[Item]]:
    """A file of the spool.

    Raises:
        SpoolError: it is not what was written, or was written by a newer version.
    """
    try:
        header, *lines = [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
        if header["format"] != FORMAT:
            raise SpoolError(f"{path} has format {header['format']}, this program knows {FORMAT}")
        if header["items"] != len(lines):
            raise SpoolError(f"{path} holds {len(lines)} of {header['items']} items")
        origin = Origin(header["source"], header["table"], header["run_id"])
        return origin, [_KINDS[line["kind"]](**decoded(line["fields"])) for line in lines]
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise SpoolError(f"{path} cannot be read ({_reason(error)})") from error


def _merge(connection: duckdb.DuckDBPyConnection, origin: Origin, items: Sequence[Item]) -> MergeReport:
    answers = [item for item in items if isinstance(item, Answer)]
    movies = [item for item in items if isinstance(item, ListedMovie)]
    bodies = [item for item in items if isinstance(item, QuarantinedBody)]
    report = MergeReport()
    if answers:
        report.add(merge_answers(connection, ALL_TABLES[origin.table], origin.source, answers, origin.run_id))
    if movies:
        report.add(merge_listing(connection, movies, origin.run_id))
    if bodies:
        report.add(quarantine(connection, bodies, origin.run_id))
    return report


def _files(database: Path, source: str | None) -> list[Path]:
    """The files of the spool, oldest first."""
    return sorted(spool_folder(database).glob(f"*-{source or '*'}{_SUFFIX}"))


def _tidy(database: Path, source: str) -> None:
    """Remove what a process left half written that was killed meanwhile, and the folder when it is empty."""
    folder = spool_folder(database)
    for half in folder.glob(f"*-{source}.new"):
        half.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        with suppress(OSError):  # another source's collection has just put something there
            folder.rmdir()


def _count(path: Path) -> int:
    try:
        with path.open(encoding="ascii") as file:
            return int(json.loads(file.readline())["items"])
    except (OSError, LookupError, TypeError, ValueError):
        return 0


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).splitlines() or [type(error).__name__])[0]


def _lines(origin: Origin, batch: Sequence[Item]) -> Iterator[str]:
    header = {"format": FORMAT, "source": origin.source, "table": origin.table, "run_id": origin.run_id}
    yield json.dumps(header | {"items": len(batch)})
    for item in batch:
        values = {f.name: getattr(item, f.name) for f in fields(item)}
        yield json.dumps({"kind": type(item).__name__, "fields": encoded(values)})


def encoded(value: Any) -> Any:
    """A value in terms of JSON; what JSON lacks becomes an object with one marked key.

    Raises:
        TypeError: a type that `decoded` could not give back.
    """
    if isinstance(value, Enum):
        if type(value).__name__ not in _ENUMS:
            raise TypeError(f"{type(value).__name__} is not among the types of the items")
        return {f"{_MARK}enum": [type(value).__name__, value.value]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, datetime):
        return {f"{_MARK}datetime": value.isoformat()}
    if isinstance(value, date):
        return {f"{_MARK}date": value.isoformat()}
    if isinstance(value, bytes):
        return {f"{_MARK}bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, list):
        return [encoded(item) for item in value]
    if isinstance(value, tuple):
        return {f"{_MARK}tuple": [encoded(item) for item in value]}
    if isinstance(value, Mapping):
        if all(type(key) is str and not key.startswith(_MARK) for key in value):
            return {key: encoded(item) for key, item in value.items()}
        return {f"{_MARK}pairs": [[encoded(key), encoded(item)] for key, item in value.items()]}
    raise TypeError(f"a {type(value).__name__} has no form in the spool")


def decoded(value: Any) -> Any:
    """The value that `encoded` was given.

    Raises:
        LookupError, TypeError, ValueError: nothing that `encoded` gives.
    """
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    key = next(iter(value), "")
    if not key.startswith(_MARK):
        return {name: decoded(item) for name, item in value.items()}
    return _UNMARKED[key](value[key])


def _enums(hint: Any) -> Iterator[type[Enum]]:
    """The enumerations within a type hint."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        yield hint
    for inner in get_args(hint):
        yield from _enums(inner)


_ENUMS = {
    enum.__name__: enum for kind in _KINDS.values() for hint in get_type_hints(kind).values() for enum in _enums(hint)
}
_UNMARKED: dict[str, Callable[[Any], Any]] = {
    f"{_MARK}enum": lambda pair: _ENUMS[pair[0]](pair[1]),
    f"{_MARK}datetime": datetime.fromisoformat,
    f"{_MARK}date": date.fromisoformat,
    f"{_MARK}bytes": base64.b64decode,
    f"{_MARK}tuple": lambda items: tuple(decoded(item) for item in items),
    f"{_MARK}pairs": lambda pairs: {decoded(key): decoded(item) for key, item in pairs},
}
