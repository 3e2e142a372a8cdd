"""Answers that the database could not take, in files beside it until it can. Merging is in `merge`, deciding when here.

A batch whose commit failed (the file is held by another program, the disk is full) was paid for all the same. It is
written to the database's spool folder, one file a batch, under another name first and synced, so that a file in its
place is whole. Whoever holds the source's lease next merges the files before anything else, oldest first, in parts of
one transaction each, and removes a file then: what is merged twice changes nothing the second time (`merge`).

No file keeps a run from its work, whatever is in it or in its place. An item that cannot be read or merged is set aside
and told, and the rest of its file is merged; a file of a newer version waits for the program that knows it.

A file is JSON lines: what it belongs to, then an item a line. How a value is written is in `spool_values`.
"""

from __future__ import annotations

import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import duckdb

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.settings.places import SPOOL, companion
from ayne_dagster.warehouse.answers import KEPT_BYTES, Answer, ListedMovie, MergeReport, QuarantinedBody
from ayne_dagster.warehouse.apart import merge_apart
from ayne_dagster.warehouse.merge import merge_answers, merge_listing, quarantine
from ayne_dagster.warehouse.spool_file import (
    LONGEST_LINE,
    TABLES,
    Item,
    NewerFile,
    SpoolError,
    checked,
    header_line,
    item_lines,
    item_of,
    lines_of,
    parts_of,
    read_header,
    reason_of,
    whole_lines,
)
from ayne_dagster.warehouse.spool_file import Origin as Origin
from ayne_dagster.warehouse.spool_values import decoded as decoded
from ayne_dagster.warehouse.spool_values import encoded as encoded
from ayne_dagster.warehouse.store import Store, WarehouseError

SET_ASIDE = ".unusable"
_SUFFIX = ".jsonl"


@dataclass(frozen=True)
class Contents:
    """What is in a spool folder, as far as it can be told without merging it."""

    waiting: int = 0
    """Files that the next collections merge."""
    newer: int = 0
    """Files of a newer version, which stay for it."""
    unusable: int = 0
    """Files in which what could not be merged was set aside."""
    strange: int = 0
    """What is no file that could be read: folders, pipes, links, files of somebody else."""
    blocked: bool = False
    """Whether something that is no folder, or one that cannot be written, lies in its place: nothing can be kept."""


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
        folder.mkdir(parents=True, exist_ok=True)
        with new.open("x", encoding="ascii") as file:
            file.write(header_line(origin, len(batch)))
            file.writelines(item_lines(batch))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        _sync_folder(folder)
    except (OSError, TypeError, ValueError, RecursionError) as error:
        with suppress(OSError):  # the folder that cannot be written; the error before says so
            new.unlink(missing_ok=True)
        raise SpoolError(f"{folder} cannot be written either ({reason_of(error)})") from error
    return path


def kept(database: Path, source: str | None = None) -> int:
    """How many answers and listed movies wait in the spool to be merged; those of one source, or of all."""
    return sum(_count(path) for path in _files(database, source))


def contents(database: Path) -> Contents:
    """What is in the spool of a database."""
    folder = spool_folder(database)
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return Contents(blocked=folder.is_symlink())
    except OSError:
        return Contents(blocked=True)
    found = Contents(blocked=not os.access(folder, os.W_OK | os.X_OK))
    for path in paths:
        if path.suffix == SET_ASIDE:
            found = replace(found, unusable=found.unusable + 1)
        elif not _is_file(path):
            found = replace(found, strange=found.strange + 1)
        elif path.suffix == _SUFFIX and _is_newer(path):
            found = replace(found, newer=found.newer + 1)
        else:
            found = replace(found, waiting=found.waiting + 1)
    return found


def merge_kept(database: Store, source: str, tell: Callable[[str], object]) -> MergeReport:
    """Merge what the spool holds from a source; call it with the source's lease held.

    What cannot be read or merged is set aside in a file of another name, and told; it stops nothing.

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
            with path.open("rb") as file:
                origin, items = read_header(path, file)
                if origin.source != source:
                    raise SpoolError(f"{path} is not of {source}, as its name says")
                merging = _Merging(path, origin, database)
                merging.run(file, items)
        except NewerFile as error:
            tell(f"{error}; it stays for the newer version.")
            continue
        except SpoolError as error:
            tell(_set_aside(path, error))
            continue
        except WarehouseError:
            raise
        except Exception as error:  # noqa: BLE001 -- no file keeps a run from its work
            tell(f"{path} cannot be merged ({reason_of(error)}); it stays where it is.")
            continue
        report += merging.report
        merged += merging.merged
        for text in merging.end():
            tell(text)
    if merged:
        tell(f"{merged:,} answers that the database could not take earlier are merged from the spool.")
    _tidy(database.path, source)
    return report


def read(path: Path) -> tuple[Origin, list[Item]]:
    """A file of the spool, as a whole.

    Raises:
        SpoolError: it is not what was written, or was written by a newer version.
    """
    try:
        with path.open("rb") as file:
            origin, promised = read_header(path, file)
            items = [item_of(line) for line in whole_lines(file)]
    except SpoolError:
        raise
    except Exception as error:
        raise SpoolError(f"{path} cannot be read ({reason_of(error)})") from error
    if promised != len(items):
        raise SpoolError(f"{path} holds {len(items)} of {promised} items")
    return origin, items


class _Merging:
    """One file on its way into the database, in parts."""

    def __init__(self, path: Path, origin: Origin, database: Store) -> None:
        self._path = path
        self._origin = origin
        self._database = database
        self._aside: BinaryIO | None = None
        self._refused = 0
        self._why = ""
        self._is_whole = True
        self.report = MergeReport()
        self.merged = 0

    def run(self, file: BinaryIO, promised: int) -> None:
        """Merge the items of a file that was read up to the end of its header.

        Raises:
            WarehouseError: the database takes nothing now.
            OSError: the file cannot be read, or what is refused not be written.
        """
        found = 0
        try:
            for part in parts_of(lines_of(file)):
                found += len(part)
                self._merge([pair for line in part if (pair := self._readable(line)) is not None])
        finally:
            if self._aside is not None:
                self._aside.close()
        if found != promised:
            self._is_whole = False
            self._why = self._why or f"it holds {found} of {promised} items"

    def end(self) -> Iterator[str]:
        """Remove the file, or put it aside if it was not what was written; yields what is to be told."""
        aside = self._path.with_suffix(SET_ASIDE)
        try:
            if self._is_whole:
                self._path.unlink()
            else:
                self._path.replace(aside)
        except OSError as error:
            yield f"{self._path} could not be removed ({reason_of(error)}); it is merged once more without effect."
        if self._refused or not self._is_whole:
            number = f"{self._refused:,} item(s) of it" if self._refused else "it"
            yield f"{aside}: {number} could not be merged and was set aside: {self._why}"

    def _readable(self, line: bytes | None) -> tuple[bytes, Item] | None:
        if line is None:
            self._is_whole = False
            self._refused += 1
            self._why = self._why or f"a line of more than {LONGEST_LINE:,} bytes"
            return None
        try:
            return line, checked(item_of(line))
        except Exception as error:  # noqa: BLE001 -- whatever a line holds, it is this line's matter
            self._refuse((line, None), error)
            return None

    def _merge(self, part: Sequence[tuple[bytes, Item]]) -> None:
        refused = self._refused

        def merge(pairs: Sequence[tuple[bytes, Item]]) -> None:
            with self._database.transaction() as connection:
                merged = merge_items(connection, self._origin, [item for _, item in pairs])
            self.report += merged

        merge_apart(part, merge, self._refuse, self._database)
        self.merged += len(part) - (self._refused - refused)

    def _refuse(self, pair: tuple[bytes, Item | None], error: Exception) -> None:
        """Put an item aside, as it was written."""
        if self._aside is None:
            self._aside = self._path.with_suffix(SET_ASIDE).open("wb")
        self._refused += 1
        self._why = self._why or reason_of(error)
        self._aside.seek(0)
        self._aside.write(header_line(self._origin, self._refused).encode("ascii"))
        self._aside.seek(0, os.SEEK_END)
        self._aside.write(pair[0].rstrip(b"\n") + b"\n")


def merge_items(connection: duckdb.DuckDBPyConnection, origin: Origin, items: Sequence[Item]) -> MergeReport:
    """Merge items of any kind within an open transaction, each kind where it belongs."""
    answers = [item for item in items if isinstance(item, Answer)]
    movies = [item for item in items if isinstance(item, ListedMovie)]
    bodies = [item for item in items if isinstance(item, QuarantinedBody)]
    report = MergeReport()
    if answers:
        report += merge_answers(connection, TABLES[origin.table], origin.source, answers, origin.run_id)
    if movies:
        report += merge_listing(connection, movies, origin.run_id)
    if bodies:
        report += quarantine(connection, bodies, origin.run_id)
    return report


def put_aside(database: Path, origin: Origin, item: Item) -> Path:
    """Keep an item that cannot be merged, for people: no run takes it up.

    Returns:
        The file.

    Raises:
        SpoolError: it could not be written.
    """
    path = keep(database, origin, [item])
    aside = path.with_suffix(SET_ASIDE)
    try:
        return path.replace(aside)
    except OSError as error:
        raise SpoolError(f"{path} cannot be renamed ({reason_of(error)})") from error


def instead_of(item: Item, origin: Origin, error: Exception) -> Item:
    """What is merged in place of an item that cannot be: that it came, and why it could not be stored."""
    reason = f"could not be stored: {reason_of(error)}"
    if isinstance(item, Answer):
        return replace(item, outcome=Outcome.QUARANTINED, row=None, reason=reason, body=_written(item.row))
    if isinstance(item, ListedMovie):
        subject = f"listed movie {item.tmdb_id}"
        return QuarantinedBody(origin.source, subject, item.at, reason, _written(item.row), item.release_year)
    return replace(item, reason=reason, body=b"")


def _written(row: object) -> bytes:
    return repr(row).encode("utf-8", "backslashreplace")[:KEPT_BYTES]


def _files(database: Path, source: str | None) -> list[Path]:
    """The files of the spool, oldest first; what only has the name of one is left alone."""
    try:
        return sorted(path for path in spool_folder(database).glob(f"*-{source or '*'}{_SUFFIX}") if _is_file(path))
    except OSError:
        return []


def _is_file(path: Path) -> bool:
    """Whether it is a file itself: a pipe would be waited for, a link leads anywhere."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _is_newer(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            read_header(path, file)
    except NewerFile:
        return True
    except (SpoolError, OSError):
        pass
    return False


def _count(path: Path) -> int:
    """How many items a file holds that this program can merge: lines, whatever its header says."""
    try:
        with path.open("rb") as file:
            read_header(path, file)
            last, lines = b"\n", 0
            while chunk := file.read(1 << 20):
                lines += chunk.count(b"\n")
                last = chunk[-1:]
            return lines + (last != b"\n")
    except (OSError, SpoolError):
        return 0


def _set_aside(path: Path, error: SpoolError) -> str:
    """Give a file that cannot be used another name; returns what is to be told."""
    aside = path.with_suffix(SET_ASIDE)
    try:
        path.replace(aside)
    except OSError as failure:
        return f"{path} could not be merged ({error}), nor set aside ({reason_of(failure)})"
    return f"{aside} could not be merged and was set aside: {error}"


def _tidy(database: Path, source: str) -> None:
    """Remove what a process left half written that was killed meanwhile, and the folder when it is empty."""
    folder = spool_folder(database)
    with suppress(OSError):  # what cannot be removed does no harm, nor does what another source has just put there
        for half in folder.glob(f"*-{source}.new"):
            if _is_file(half):
                half.unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
