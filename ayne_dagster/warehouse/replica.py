"""A copy of the database that follows it and takes no lock, so that no commit waits for a reader. Asks no question.

A reader of a DuckDB file keeps every writer of other processes out. So nothing is read in the file itself: file and log
are copied, and the copy is believed only when neither has changed meanwhile. DuckDB keeps what is on disk whole at any
moment, or a kill would cost data; so is a copy of one moment. While batches are committed only the log changes (8 MB at
most), and only the log is copied again: following a large database costs milliseconds.

The copy lies beside the database, where a file system that can share blocks does so, and goes with the process. Who
needs one of an instant while nobody writes (a snapshot) finds it in `warehouse.care.snapshot`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ayne_dagster.settings.locks import lock_now
from ayne_dagster.warehouse.care.snapshot import copied_by_another_process
from ayne_dagster.warehouse.database import Database, WarehouseError, WrongDatabase, log_of
from ayne_dagster.warehouse.migrations import schema_version
from ayne_dagster.warehouse.schema import SCHEMA_VERSION
from ayne_dagster.warehouse.store import none_at

LEAST_PAUSE, REST = 1.0, 20
"""Seconds between two copies at least, and how many times as long as a copy took."""
TRIES = 6
SETTLED_SECONDS = 0.02
"""What was written later than this long ago may be written again without a new time: clocks of files are coarse."""
LEFT_FREE = 500 * 2**20
"""Bytes of the disk that no copy takes: commits need them."""

Stamp = tuple[int, int, int]
"""Inode, size and time of change (ns) of a file."""


class ReplicaError(WarehouseError):
    """No copy can be had; `str()` says why, and what to do."""


@dataclass(frozen=True)
class Copy:
    """The database as it was at a moment."""

    connection: duckdb.DuckDBPyConnection
    stamp: object
    """The same for the same content; of a file that of file and log."""
    checked_at: float
    """When it was last found to be what the database holds, by `time.monotonic()`."""


class Replica:
    """Follows a database; for one process, by one thread at a time.

    Args:
        database: the file that is followed.
        copy: copies a file; another process does by default, since closing a descriptor of the database in this one
            would drop the lock of whoever has it open here.
    """

    def __init__(self, database: Path, copy: Callable[[Path, Path], None] | None = None) -> None:
        self.path = database
        self._copy_file = copy or _copy_bytes
        self._lock = threading.RLock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._held = -1
        self._open: ExitStack | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._main: Stamp | None = None
        self._stamp: tuple[Stamp | None, Stamp | None] = (None, None)
        self._checked_at = 0.0
        self._next = 0.0

    @property
    def newest(self) -> tuple[Stamp | None, Stamp | None]:
        """The stamp of the database as it is on disk; looks at no content."""
        return _stamp(self.path), _stamp(log_of(self.path))

    @property
    def due_in(self) -> float:
        """Seconds until it is looked again whether the database has changed."""
        return max(0.0, self._next - time.monotonic())

    @contextmanager
    def reading(self) -> Iterator[Copy]:
        """The latest copy, for some questions; brought up to date before, unless it was a moment ago.

        Raises:
            ReplicaError: there is none, and none can be made now.
            WrongDatabase: there is no database, or none of ours.
        """
        with self._lock:
            self._follow()
            if self._connection is None:
                raise ReplicaError(
                    f"{self.path} was being written to whenever it was looked at: try again in a moment."
                )
            yield Copy(self._connection, self._stamp, self._checked_at)

    @contextmanager
    def apart(self) -> Iterator[Path]:
        """A copy of the latest copy, for work that takes long; it does not follow.

        Raises:
            as `reading`.
        """
        with self.reading():
            self._require_room(self._file.stat().st_size)
            folder = Path(tempfile.mkdtemp(dir=self._place()))
            for file in (self._file, log_of(self._file)):
                if file.exists():
                    self._copy_file(file, folder / file.name)
        try:
            yield folder / self._file.name
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove the copy."""
        with self._lock:
            self._shut()
            if self._folder is not None:
                os.close(self._held)
                self._folder.cleanup()
                self._folder = None

    @property
    def _file(self) -> Path:
        return self._place() / "copy.duckdb"

    def _follow(self) -> None:
        """Bring the copy up to date, as far as that can be done now."""
        if time.monotonic() < self._next:
            return
        started = time.monotonic()
        if self.newest[0] is None:
            self._shut()
            raise none_at(str(self.path), self.path)
        for attempt in range(TRIES):
            if self._connection is not None and self.newest == self._stamp:
                self._checked_at = started
                return
            if self._copied():
                self._checked_at = started
                break
            time.sleep(SETTLED_SECONDS * 2**attempt)  # a commit is under way, or has just been made
        took = time.monotonic() - started
        self._next = time.monotonic() + max(LEAST_PAUSE, REST * took)

    def _copied(self) -> bool:
        """Copy what has changed; False where something was written meanwhile, and the copy is left as it was."""
        main = _stamp(self.path)
        new, new_log = self._place() / "new.duckdb", self._place() / "new.log"
        if main is None or not _has_settled(main):
            return False
        if main != self._main:
            self._require_room(main[1])
            self._copy_file(self.path, new)
        log = _stamp(log_of(self.path))
        if log is not None:
            try:
                self._copy_file(log_of(self.path), new_log)
            except FileNotFoundError:
                return False
        if self.newest != (main, log) or not (log is None or _has_settled(log)):
            return False
        self._shut()
        if main != self._main:
            new.replace(self._file)
            self._main = main
        if log is None:
            log_of(self._file).unlink(missing_ok=True)
        else:
            new_log.replace(log_of(self._file))
        self._stamp = (main, log)
        self._reopen()
        return True

    def _reopen(self) -> None:
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(Database(self._file).inspect())
                found = schema_version(connection)
            except WarehouseError as error:
                raise WrongDatabase(str(error).replace(str(self._file), str(self.path))) from None
            if found != SCHEMA_VERSION:
                raise WrongDatabase(_of_another_version(self.path, found))
            self._open, self._connection = stack.pop_all(), connection

    def _shut(self) -> None:
        self._connection = None
        if self._open is not None:
            self._open.close()
            self._open = None

    def remove_files(self) -> None:
        """Remove the copy though it may be open: for a process that ends in the middle of a question."""
        if self._folder is not None:
            shutil.rmtree(self._folder.name, ignore_errors=True)

    def _place(self) -> Path:
        """The folder of the copy, made when it is first needed; those that killed processes left go."""
        if self._folder is None:
            beside = self.path.parent if os.access(self.path.parent, os.W_OK) else None
            prefix = f".{self.path.name}.copy-"
            if beside is not None:
                _sweep(beside, prefix)
            self._folder = tempfile.TemporaryDirectory(prefix=prefix, dir=beside, ignore_cleanup_errors=True)
            self._held = os.open(Path(self._folder.name), os.O_RDONLY)
            lock_now(self._held)
        return Path(self._folder.name)

    def _require_room(self, size: int) -> None:
        free = shutil.disk_usage(self._place()).free
        if free < size + LEFT_FREE:
            raise ReplicaError(
                f"A copy of the database is what is read, and there is no room for one ({free / 1e9:,.1f} GB free, "
                f"{(size + LEFT_FREE) / 1e9:,.1f} GB needed): free some."
            )


def _stamp(file: Path) -> Stamp | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _has_settled(stamp: Stamp) -> bool:
    return not 0 <= time.time_ns() - stamp[2] < SETTLED_SECONDS * 1e9


def _copy_bytes(source: Path, target: Path) -> None:
    if reason := copied_by_another_process(source, target):
        if not source.exists():
            raise FileNotFoundError(source)
        raise ReplicaError(f"A copy of the database is what is read, and none can be made ({reason}).")


def _of_another_version(path: Path, found: int | None) -> str:
    if found is None:
        return f"{path} is a DuckDB database of another program: choose another AYNE_DATABASE."
    if found > SCHEMA_VERSION:
        return f"{path} has schema version {found}, this program knows {SCHEMA_VERSION}: install the newer one."
    return f"{path} has the older schema version {found}: the next command, `ayne stats` say, brings it up to date."


def _sweep(folder: Path, prefix: str) -> None:
    """Remove the copies of processes that are gone: their locks went with them."""
    for left in folder.glob(f"{prefix}*"):
        with suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY)
            try:
                if lock_now(descriptor):
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(descriptor)
