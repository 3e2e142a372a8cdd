"""Opening the DuckDB file: for milliseconds, one process at a time, closed whatever happens. No queries of its own.

One process may hold the file, and a reader elsewhere blocks the writer too (DESIGN, "How data flows"), so every use is
open, work, close. Waiting for another process is short and bounded, and the error names the holder.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import duckdb

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


class WarehouseError(Exception):
    """Base of the warehouse's errors: `str()` says what is wrong and what to do, in one line."""


class DatabaseBusy(WarehouseError):
    """Another process holds the file, and still held it after the wait."""


class DatabaseUnusable(WarehouseError):
    """The file is no database of ours, is missing, or its folder cannot be written."""


@dataclass(frozen=True)
class Database:
    """A DuckDB file and how long to wait for it.

    Args:
        path: the file; its folder is made when it does not exist.
        wait_seconds: how long to wait while another process holds it.
    """

    path: Path
    wait_seconds: float = 30.0

    def require_file(self) -> None:
        """Check that there is a database.

        Raises:
            DatabaseUnusable: there is none.
        """
        if not self.path.exists():
            raise DatabaseUnusable(f"There is no database at {self.path}: run `ayne collect` (or `ayne demo`) first.")

    @contextmanager
    def connect(self, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file, with the schema in place, and close it in any case.

        An older schema is migrated first, for readers too: what they ask for may be in the newer one alone.

        Raises:
            DatabaseBusy: another process holds it.
            DatabaseUnusable: no DuckDB file, a newer schema, a folder that cannot be written; when reading, no file.
        """
        if read_only and not self.path.exists():
            raise DatabaseUnusable(
                f"There is no database at {self.path} yet: run `ayne collect` (or `ayne demo`) first."
            )
        connection = self._open_migrated() if read_only else self._open(read_only=False)
        with nullcontext() if read_only else _signals_held_back():
            try:
                if not read_only:
                    _ensure_schema(connection, self.path)
                yield connection
            finally:
                connection.close()

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file for one transaction: committed at the end, rolled back on any exception."""
        with self.connect() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

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
        deadline = time.monotonic() + self.wait_seconds
        pause = 0.01
        while True:
            try:
                if not read_only:
                    _create_if_missing(self.path)
                # The prefix keeps DuckDB from opening other formats, an SQLite file with an extension, say. Looking at
                # the first bytes instead would be fatal: closing any descriptor of the file drops the process's locks.
                return duckdb.connect(f"duckdb:{self.path}", read_only=read_only, config=self._config)
            except (duckdb.Error, OSError) as error:
                if not _may_pass(error):
                    raise _explained(error, self.path) from None
                if time.monotonic() >= deadline:
                    raise DatabaseBusy(_busy_message(error, self.path, self.wait_seconds)) from None
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM act when the file is closed, milliseconds later.

    DuckDB looks for signals while it works; one that raised within a BEGIN or COMMIT left the file such that the next
    `duckdb.connect` of the process never returned, and with it the batch that had arrived (DuckDB 1.5.6).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for caught in handlers:
        signal.signal(caught, lambda number, _: held.append(number))
    try:
        yield
    finally:
        for caught, handler in handlers.items():
            signal.signal(caught, handler)
        for number in held[:1]:
            signal.raise_signal(number)


def _create_if_missing(path: Path) -> None:
    """Put a new database in its place, whole: made under another name, by one process at a time.

    DuckDB creates a file of no bytes and fills it later; another process that starts just then would take it for no
    database. A file of no bytes, as `mktemp` leaves it, is replaced.
    """
    if _has_content(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if not _has_content(path):
            new = path.with_name(f".{path.name}.new")
            new.unlink(missing_ok=True)
            with duckdb.connect(str(new), config=CONNECTION_CONFIG) as connection:
                _ensure_schema(connection, new)
            new.replace(path)
    finally:
        os.close(folder)


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _not_a_database(path: Path) -> str:
    return f"{path} is not a DuckDB database: move it away or choose another AYNE_DATABASE."


def _may_pass(error: Exception) -> bool:
    """Whether waiting may help: the file is locked, or open in this process in another mode."""
    text = str(error)
    return "lock on file" in text or "different configuration" in text


def _busy_message(error: Exception, path: Path, waited: float) -> str:
    holder = re.search(r"Conflicting lock is held in (.*?)\(PID (\d+)\)", str(error))
    who = f"process {holder[2]} ({holder[1].strip()})" if holder else "another connection"
    return (
        f"{path} is in use by {who} and was not released within {waited:.0f} s; nothing was written. "
        "Close that program (a notebook? another run?) and try again."
    )


def _explained(error: Exception, path: Path) -> WarehouseError:
    text = str(error).splitlines()[0]
    if isinstance(error, PermissionError | FileExistsError | NotADirectoryError) or "Permission denied" in text:
        return DatabaseUnusable(
            f"{path} cannot be written ({text}): choose another AYNE_DATABASE or fix the permissions."
        )
    if "not a valid DuckDB" in text:
        return DatabaseUnusable(_not_a_database(path))
    return DatabaseUnusable(f"{path} cannot be opened: {text}")


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
        raise DatabaseUnusable(
            f"{path} has schema version {version}, this program knows {SCHEMA_VERSION}: install the newer ayne_dagster."
        )
    tables = {row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if tables and not tables & (ALL_TABLES.keys() | {VERSION_TABLE}):
        raise DatabaseUnusable(
            f"{path} is a DuckDB database of another program; nothing was changed in it. Choose another AYNE_DATABASE."
        )


def _is_older(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether a schema must be migrated (or a half-made one completed) before its tables can be read as ours."""
    version = schema_version(connection)
    return version is None or version < SCHEMA_VERSION
