"""Opening the DuckDB file: for milliseconds, one process at a time, closed whatever happens. No queries of its own.

One process may hold the file, and a reader elsewhere blocks the writer too (DESIGN, "How data flows"), so every use is
open, work, close. Waiting for another process is short and bounded, and the error names the holder.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from ayne_dagster.errors import is_of_the_place
from ayne_dagster.settings.locks import alone_in
from ayne_dagster.settings.places import FormerInUse, resolve_database, take_over_former
from ayne_dagster.warehouse.interruption import signals_held_back
from ayne_dagster.warehouse.schema_check import ensure_schema, is_older, require_ours
from ayne_dagster.warehouse.store import (
    DatabaseBusy,
    DatabaseDamaged,
    DatabaseNotWritten,
    DatabaseUnusable,
    Maintained,
    MemoryExceeded,
    Store,
    WarehouseError,
    WrongDatabase,
    committed,
    first_line,
    rolled_back,
)

__all__ = [
    "CONNECTION_CONFIG",
    "Database",
    "DatabaseBusy",
    "DatabaseDamaged",
    "DatabaseNotWritten",
    "DatabaseUnusable",
    "MemoryExceeded",
    "WarehouseError",
    "WrongDatabase",
    "log_of",
]

CONNECTION_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    # A default file of DuckDB 2.0 cannot be read by 1.5: written so that both can.
    "storage_compatibility_version": "v1.5.0",
    # Merging is many small statements; more threads than this only wait for each other.
    "threads": 2,
    "memory_limit": "512MB",
    # Who opens the file next replays the log, 30 ms a megabyte; to write it into the file takes 0.05 to 0.9 s. DuckDB's
    # own 16 MB make a row of commits to 1,000,000 movies slower by a sixth, 4 MB write three times as much.
    "checkpoint_threshold": "8MB",
}
"""Every connection of a process must ask for the same, or DuckDB refuses it."""

TELL_AFTER_SECONDS = 1.0
"""A wait shorter than this is the ordinary company of another command, and not worth a line."""
HEADER_BYTES = 3 * 4096
"""What stands before the first block of a DuckDB file: https://duckdb.org/docs/stable/internals/storage"""


@dataclass(frozen=True)
class Database(Store):
    """A DuckDB file and how long to wait for it; its path is resolved, and its folder made when it does not exist."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", resolve_database(self.path))

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    @property
    def exists(self) -> bool:
        """Whether there is a file."""
        return self.path.exists()

    def describe(self) -> str:
        """Its path and size."""
        return f"{self.path}, {self.path.stat().st_size / 1e6:,.1f} MB" if self.exists else str(self.path)

    @contextmanager
    def connect(self, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file, with the schema in place, and close it in any case.

        An older schema is migrated first, for readers too: what they ask for may be in the newer one alone.

        Raises:
            DatabaseBusy: another process holds it.
            DatabaseDamaged: part of it is missing or is not what was written.
            DatabaseNotWritten: what was done in it could not be stored.
            DatabaseUnusable: no DuckDB file, a newer schema, a folder that cannot be written; when reading, no file.
        """
        if read_only and not self.path.exists():
            raise self.missing()
        connection = self._open_migrated() if read_only else self._open(read_only=False)
        # DuckDB looks for signals while it works; one that raised within a BEGIN or COMMIT left the file such that the
        # next `duckdb.connect` of the process never returned, and with it the batch that had arrived (DuckDB 1.5.6).
        with nullcontext() if read_only else signals_held_back():
            try:
                if not read_only:
                    if not self.checkpoints:
                        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
                    _require_whole(connection, self.path)
                    ensure_schema(connection, self.name)
                yield connection
            except duckdb.Error as error:
                explained = _explained_in_use(error, self.path)
                if explained is None:
                    raise
                raise explained from error
            finally:
                connection.close()

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file for one transaction: committed at the end, rolled back on any exception.

        Raises:
            WarehouseError: as `connect`.
        """
        with self.connect() as connection, committed(connection):
            yield connection

    @contextmanager
    def rehearsal(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file for a transaction that is rolled back at the end.

        Raises:
            WarehouseError: as `connect`.
        """
        with self.connect() as connection, rolled_back(connection):
            yield connection

    def maintain(self, now: datetime) -> Maintained:
        """Write the log of commits into the file; DuckDB uses freed space again by itself."""
        self.require_file()
        with self.connect() as connection:
            connection.execute("CHECKPOINT")
        return Maintained({"checkpoint": 1}, 1, 1)

    def erase_past(self, now: datetime) -> None:
        """Nothing: a file has no earlier states that could be asked for."""

    def put_in_place(self, made: Path) -> bool:
        """Make a closed database, made in the same file system, this one, unless there is one by now.

        Returns:
            Whether it was; else it lies where it lay.

        Raises:
            DatabaseUnusable: it was not closed: a part of it is in its log, which would be left behind.
        """
        with alone_in(self.path.parent):
            if _has_content(self.path):
                return False
            if log_of(made).exists():
                raise DatabaseUnusable(f"{made} could not be closed: nothing was put in the place of {self.path}.")
            _put(made, self.path)
            return True

    @contextmanager
    def inspect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file to read, with whatever is in it: nothing is migrated, refused or changed.

        Raises:
            DatabaseBusy: another process holds it.
            DatabaseUnusable: no file, or no DuckDB file.
        """
        self.require_file()
        connection = self._open(read_only=True)
        try:
            yield connection
        finally:
            connection.close()

    def _open_migrated(self) -> duckdb.DuckDBPyConnection:
        """The file, open to read and with the schema of today."""
        connection = self._open(read_only=True)
        try:
            if not is_older(require_ours(connection, self.name)):
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
        with self.connect():
            pass
        return self._open(read_only=True)

    @property
    def _config(self) -> dict[str, str | bool | int | float | list[str]]:
        # Left to itself, DuckDB takes the prefix of the path for part of the folder in which it puts what does not fit
        # into memory, and cannot make it.
        return CONNECTION_CONFIG | {"temp_directory": f"{self.path}.tmp"}

    def _open(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        _require_no_device(self.path)
        started = time.monotonic()
        pause, told = 0.01, self.on_wait is None
        while True:
            try:
                if not read_only:
                    take_over_former(self.path)
                    _create_if_missing(self.path)
                    _require_writable_folder(self.path.parent)
                # The prefix keeps DuckDB from opening other formats, an SQLite file with an extension, say. Looking at
                # the first bytes instead would be fatal: closing any descriptor of the file drops the process's locks.
                return duckdb.connect(f"duckdb:{self.path}", read_only=read_only, config=self._config)
            except FormerInUse as error:
                raise DatabaseBusy(str(error)) from None
            except (duckdb.Error, OSError) as error:
                if not _may_pass(error):
                    raise _explained(error, self.path) from None
                waited = time.monotonic() - started
                if waited >= self.wait_seconds or (self.give_up is not None and self.give_up()):
                    raise DatabaseBusy(_busy_message(error, self.path, waited)) from None
                if not told and self.on_wait is not None and waited >= TELL_AFTER_SECONDS:
                    told = True
                    self.on_wait(
                        f"{self.path} is in use by {_holder(error)}; waiting up to {self.wait_seconds:.0f} s for it."
                    )
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)


def _require_no_device(path: Path) -> None:
    """Leave what is neither file nor folder alone: it has no bytes, and would be taken for a file to be made anew."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise WrongDatabase(f"{path} is no file but a device, pipe or socket: choose another AYNE_DATABASE.")


def _create_if_missing(path: Path) -> None:
    """Put a new database in its place, whole: made under another name, by one process at a time.

    DuckDB creates a file of no bytes and fills it later; another process that starts just then would take it for no
    database. A file of no bytes, as `mktemp` leaves it, is replaced.
    """
    if _has_content(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(path.parent):
        if not _has_content(path):
            new = path.with_name(f".{path.name}.new")
            new.unlink(missing_ok=True)
            log_of(new).unlink(missing_ok=True)
            _make_empty(new)
            _put(new, path)


def _put(made: Path, path: Path) -> None:
    """Put a database where none is; a log that one which is gone has left would be taken for its own."""
    log_of(path).unlink(missing_ok=True)
    made.replace(path)


def _make_empty(new: Path) -> None:
    """Make a database without a row."""
    with duckdb.connect(str(new), config=CONNECTION_CONFIG) as connection:
        ensure_schema(connection, str(new))


def _require_writable_folder(folder: Path) -> None:
    """Refuse at once what only the first commit would: the log of a commit is a file beside the database."""
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, "its folder is read-only", str(folder))


def log_of(database: Path) -> Path:
    """Where DuckDB keeps what is committed to a database and not written into its file yet."""
    return database.with_name(f"{database.name}.wal")


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _not_a_database(path: Path) -> str:
    return f"{path} is not a DuckDB database: move it away or choose another AYNE_DATABASE."


def _may_pass(error: Exception) -> bool:
    """Whether waiting may help: the file is locked, or open in this process in another mode."""
    text = str(error)
    return "lock on file" in text or "different configuration" in text


def _holder(error: Exception) -> str:
    """Who holds the file, as DuckDB's error tells it."""
    holder = re.search(r"Conflicting lock is held in (.*?)\(PID (\d+)\)", str(error))
    return f"process {holder[2]} ({holder[1].strip()})" if holder else "another connection"


def _busy_message(error: Exception, path: Path, waited: float) -> str:
    return (
        f"{path} is in use by {_holder(error)} and was not released within {waited:.0f} s. "
        "Close that program (a notebook? another run?) and try again."
    )


def _explained(error: Exception, path: Path) -> WarehouseError:
    """Why the file could not be opened, in a person's words."""
    text = first_line(error)
    if isinstance(error, PermissionError | FileExistsError | NotADirectoryError) or "Permission denied" in text:
        return WrongDatabase(f"{path} cannot be written ({text}): choose another AYNE_DATABASE or fix the permissions.")
    if "not a valid DuckDB" in text:
        return WrongDatabase(_not_a_database(path))
    if _tells_of_damage(text):
        return DatabaseDamaged(_damaged_message(path, text))
    return (WrongDatabase if is_of_the_place(error) else DatabaseUnusable)(f"{path} cannot be opened: {text}")


def _explained_in_use(error: duckdb.Error, path: Path) -> WarehouseError | None:
    """Why work in an open file failed, where the file is at fault; None where the work is."""
    text = first_line(error)
    if _tells_of_damage(text):
        return DatabaseDamaged(_damaged_message(path, text))
    if isinstance(error, duckdb.OutOfMemoryException):
        return MemoryExceeded(
            f"More memory is needed for this than a connection to {path} may have, and its temporary folder could not "
            "take the rest; nothing was changed. Ask for less at a time."
        )
    broken = isinstance(error, duckdb.FatalException | duckdb.InternalException)
    if broken or re.search(r"Failed to commit|Could not write|No space left|Cannot open file \"[^\"]*\.wal\"", text):
        return DatabaseNotWritten(
            f"{path} could not be written ({text}); it is as it was before. Free disk space or fix the permissions."
        )
    return None


def _tells_of_damage(text: str) -> bool:
    return bool(re.search(r"Corrupt|checksum|Could not read enough bytes|Failure while replaying WAL", text))


def _damaged_message(path: Path, text: str) -> str:
    return (
        f"{path} is damaged ({text}); it was left as it is. Put a copy in its place, or move it and {path.name}.wal "
        "away to collect anew."
    )


def _require_whole(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Refuse a file that was cut off, before anything is written to it.

    DuckDB notices only when it reads what is missing. Until then it would write the log of the last transactions, which
    may be all that is left of them, into the stump, and remove it. Only used blocks tell: a whole file may end before
    free ones.
    """
    for pause in (0.1, 0.0):
        ((size,),) = connection.execute(
            "SELECT block_size * used_blocks + ? FROM pragma_database_size()", [HEADER_BYTES]
        ).fetchall()
        stored = path.stat().st_size
        if size is None or size <= stored:
            return
        time.sleep(pause)  # another thread of this process may be about to write a block that it has counted
    connection.execute("PRAGMA disable_checkpoint_on_shutdown")
    raise DatabaseDamaged(_damaged_message(path, f"{stored:,} of {size:,} bytes in use are there"))
