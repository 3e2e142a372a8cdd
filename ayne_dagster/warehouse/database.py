"""Opening the DuckDB file: for milliseconds, one process at a time, closed whatever happens. No queries of its own.

One process may hold the file, and a reader elsewhere blocks the writer too (DESIGN, "How data flows"), so every use is
open, work, close. Waiting for another process is short and bounded, and the error names the holder.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ayne_dagster.errors import OneLineError, WrongUsage, is_of_the_place
from ayne_dagster.settings.locks import alone_in
from ayne_dagster.settings.places import FormerInUse, resolve_database, take_over_former
from ayne_dagster.warehouse.interruption import signals_held_back
from ayne_dagster.warehouse.migrations import (
    VERSION_TABLE,
    MigrationFailed,
    create_schema,
    migrate,
    schema_version,
)
from ayne_dagster.warehouse.schema import ALL_TABLES, SCHEMA_VERSION

CONNECTION_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    # A default file of DuckDB 2.0 cannot be read by 1.5: written so that both can.
    "storage_compatibility_version": "v1.5.0",
    # Merging is many small statements; more threads than this only wait for each other.
    "threads": 2,
    "memory_limit": "512MB",
}
"""Every connection of a process must ask for the same, or DuckDB refuses it."""

TELL_AFTER_SECONDS = 1.0
"""A wait shorter than this is the ordinary company of another command, and not worth a line."""
HEADER_BYTES = 3 * 4096
"""What stands before the first block of a DuckDB file: https://duckdb.org/docs/stable/internals/storage"""


class WarehouseError(OneLineError):
    """Base of the warehouse's errors."""


class DatabaseBusy(WarehouseError):
    """Another process holds the file, and still held it after the wait."""


class DatabaseUnusable(WarehouseError):
    """The file cannot be used as a database of ours, whoever holds it."""


class WrongDatabase(WrongUsage, DatabaseUnusable):
    """What `AYNE_DATABASE` names is missing, is no database of ours, or may not be written."""


class DatabaseNotWritten(WarehouseError):
    """A transaction could not be committed (a full disk, say); the file is as it was before."""


class MemoryExceeded(DatabaseNotWritten):
    """A question or a write needs more memory than a connection may have; the file is as it was before."""


class DatabaseDamaged(DatabaseUnusable):
    """Part of the file is missing or is not what was written; it was left as it is."""


@dataclass(frozen=True)
class Database:
    """A DuckDB file and how long to wait for it.

    Args:
        path: the file; its folder is made when it does not exist.
        wait_seconds: how long to wait while another process holds it.
        on_wait: told once, in a sentence that names the holder, when the wait is long enough to be noticed.
        give_up: asked during the wait; true ends it before its time.
        checkpoints: whether closing writes the log into the file. A row of commits leaves that to the last: on a large
            table it takes longer than the commit. DuckDB does it by itself when the log has grown to 16 MB.
    """

    path: Path
    wait_seconds: float = 30.0
    on_wait: Callable[[str], object] | None = None
    give_up: Callable[[], bool] | None = None
    checkpoints: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", resolve_database(self.path))

    def require_file(self) -> None:
        """Check that there is a database.

        Raises:
            DatabaseUnusable: there is none.
        """
        if not self.path.exists():
            raise WrongDatabase(f"There is no database at {self.path}: run `ayne collect` (or `ayne demo`) first.")

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
            raise WrongDatabase(f"There is no database at {self.path} yet: run `ayne collect` (or `ayne demo`) first.")
        connection = self._open_migrated() if read_only else self._open(read_only=False)
        # DuckDB looks for signals while it works; one that raised within a BEGIN or COMMIT left the file such that the
        # next `duckdb.connect` of the process never returned, and with it the batch that had arrived (DuckDB 1.5.6).
        with nullcontext() if read_only else signals_held_back():
            try:
                if not read_only:
                    if not self.checkpoints:
                        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
                    _require_whole(connection, self.path)
                    _ensure_schema(connection, self.path)
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
        with self.connect() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(duckdb.Error):  # nothing is open any more where the COMMIT is what failed
                    connection.execute("ROLLBACK")
                raise

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
            _require_ours(connection, self.path)
            if not _is_older(connection):
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
        _ensure_schema(connection, new)


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
    text = _first_line(error)
    if isinstance(error, PermissionError | FileExistsError | NotADirectoryError) or "Permission denied" in text:
        return WrongDatabase(f"{path} cannot be written ({text}): choose another AYNE_DATABASE or fix the permissions.")
    if "not a valid DuckDB" in text:
        return WrongDatabase(_not_a_database(path))
    if _tells_of_damage(text):
        return DatabaseDamaged(_damaged_message(path, text))
    return (WrongDatabase if is_of_the_place(error) else DatabaseUnusable)(f"{path} cannot be opened: {text}")


def _explained_in_use(error: duckdb.Error, path: Path) -> WarehouseError | None:
    """Why work in an open file failed, where the file is at fault; None where the work is."""
    text = _first_line(error)
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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


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


def _ensure_schema(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Create what is missing in a new file, migrate an older one."""
    _require_ours(connection, path)
    version = schema_version(connection)
    if version is None:
        create_schema(connection)
    elif version < SCHEMA_VERSION:
        try:
            migrate(connection, version)
        except MigrationFailed as error:
            raise DatabaseUnusable(
                f"{path} has schema version {version} and could not be brought to {SCHEMA_VERSION}: {error}; nothing "
                "was changed in it. Keep it, and run `ayne check`."
            ) from None


def _require_ours(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Refuse what a newer version wrote, and leave another program's database alone: one with tables, but not ours."""
    version = schema_version(connection)
    if version is not None and version > SCHEMA_VERSION:
        raise WrongDatabase(
            f"{path} has schema version {version}, this program knows {SCHEMA_VERSION}: install the newer ayne_dagster."
        )
    tables = {row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if tables and not tables & (ALL_TABLES.keys() | {VERSION_TABLE}):
        raise WrongDatabase(
            f"{path} is a DuckDB database of another program; nothing was changed in it. Choose another AYNE_DATABASE."
        )


def _is_older(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether a schema must be migrated (or a half-made one completed) before its tables can be read as ours."""
    version = schema_version(connection)
    return version is None or version < SCHEMA_VERSION
