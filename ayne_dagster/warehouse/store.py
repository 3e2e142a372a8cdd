"""What a store of the warehouse is, and the errors of one. No store itself: a file is in `database`, a lake in `lake`.

Everything above asks a store and does not know which it has. What belongs to one machine (spool, downloads) lies beside
`path`, which of a file is the file itself.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import duckdb

from ayne_dagster.errors import OneLineError, WrongUsage
from ayne_dagster.settings.places import DEMONSTRATION


class WarehouseError(OneLineError):
    """Base of the warehouse's errors."""


class DatabaseBusy(WarehouseError):
    """Another process holds the store, and still held it after the wait."""


class DatabaseUnusable(WarehouseError):
    """It cannot be used as a database of ours, whoever holds it."""


class WrongDatabase(WrongUsage, DatabaseUnusable):
    """What `AYNE_DATABASE` names is missing, is no database of ours, or may not be written."""


class DatabaseNotWritten(WarehouseError):
    """A transaction could not be committed (a full disk, say); the store is as it was before."""


class MemoryExceeded(DatabaseNotWritten):
    """A question or a write needs more memory than a connection may have; the store is as it was before."""


class DatabaseDamaged(DatabaseUnusable):
    """Part of the store is missing or is not what was written; it was left as it is."""


class DatabaseOutOfReach(WarehouseError):
    """The server or the storage that holds it does not answer; nothing of this transaction is in it."""


class WrittenMeanwhile(WarehouseError):
    """Somebody else committed to the same rows at the same moment; nothing of this transaction is in the store."""


class LeaseLost(WarehouseError):
    """The session that held leases and turn has ended: somebody else may hold them by now; nothing was committed."""


class SharedLocks(Protocol):
    """Locks that all machines share which use a store, held by one session of this process.

    They end with the session, however it ends, and so with the process.
    """

    def try_lock(self, what: str) -> bool:
        """Take a lock without waiting; whether it was free. Nobody has it twice, this process neither.

        Raises:
            OneLineError: it cannot be told: the server does not answer.
        """

    def unlock(self, what: str) -> None:
        """Let go of a lock."""

    def holder(self, what: str) -> str | None:
        """Who holds a lock, in words for a person; None where nobody does.

        Raises:
            OneLineError: as `try_lock`.
        """

    def still_holds(self, what: str) -> bool:
        """Whether a lock is ours at this moment, and whatever else this process locked too."""


@dataclass(frozen=True)
class Maintained:
    """What looking after a store did: each step, with how many files or rows it concerned, where that is known."""

    steps: dict[str, int]
    files_before: int
    files_after: int


def describe_maintained(done: Maintained) -> str:
    """What looking after a store did, in a sentence."""
    steps = ", ".join(f"{number:,} {step}" for step, number in done.steps.items() if number)
    return f"{steps or 'Nothing was to be done'}; {done.files_before:,} file(s) before, {done.files_after:,} after."


@dataclass(frozen=True)
class Store(ABC):
    """Where the tables are, and how long to wait for them.

    Args:
        path: what belongs to this machine is named after it; of a file the file itself, whose folder is made.
        wait_seconds: how long to wait while another process holds the store.
        on_wait: told once, in a sentence that names the holder, when the wait is long enough to be noticed.
        give_up: asked during the wait; true ends it before its time.
        checkpoints: whether closing writes the log into a file. A row of commits leaves that to the last: on a large
            table it takes longer than the commit. DuckDB does it by itself when the log has grown to 8 MB.
    """

    path: Path
    wait_seconds: float = 30.0
    on_wait: Callable[[str], object] | None = None
    give_up: Callable[[], bool] | None = None
    checkpoints: bool = True

    @property
    def shared_locks(self) -> SharedLocks | None:
        """Where leases and turns are held; None: files on this machine do."""
        return None

    @property
    @abstractmethod
    def name(self) -> str:
        """What a person knows it by; holds no password."""

    @property
    @abstractmethod
    def exists(self) -> bool:
        """Whether there is anything at its place.

        Raises:
            WarehouseError: it cannot be told.
        """

    @abstractmethod
    def describe(self) -> str:
        """Where it is and how large, for a person; looks at no rows."""

    @abstractmethod
    def connect(self, *, read_only: bool = False) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open it, with the schema in place, and close it in any case. Rows are written by `transaction` alone.

        Raises:
            WarehouseError: it cannot be had, or is none of ours.
        """

    @abstractmethod
    def transaction(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open it for one transaction: committed at the end, rolled back on any exception.

        Raises:
            WarehouseError: as `connect`; or what was done could not be stored.
        """

    @abstractmethod
    def rehearsal(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open it for a transaction that is rolled back at the end, whatever was done in it.

        Raises:
            WarehouseError: as `connect`.
        """

    @abstractmethod
    def inspect(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open it to read, with whatever is in it: nothing is migrated, refused or changed.

        Raises:
            DatabaseUnusable: there is none.
            WarehouseError: it cannot be had.
        """

    @abstractmethod
    def maintain(self, now: datetime) -> Maintained:
        """Look after what lies on the disk, so that years of commits cost no more than what they hold.

        Args:
            now: the present instant (aware UTC), by the calendar: times of files are.

        Raises:
            WarehouseError: as `transaction`.
        """

    @abstractmethod
    def erase_past(self, now: datetime) -> None:
        """See to it that what was deleted is not to be had any more by asking for an earlier state.

        Args:
            now: the present instant (aware UTC), by the calendar.

        Raises:
            WarehouseError: as `transaction`.
        """

    def require_file(self) -> None:
        """Check that there is a database.

        Raises:
            DatabaseUnusable: there is none.
        """
        if not self.exists:
            raise self.missing()

    def missing(self) -> WrongDatabase:
        """That there is none."""
        return none_at(self.name, self.path)


def none_at(name: str, path: Path) -> WrongDatabase:
    """That there is no database, and what to do.

    Args:
        name: what a person knows its place by.
        path: beside which a demonstration may have made one.
    """
    told = f"There is no database at {name} yet: run `ayne collect` (or `ayne demo`) first."
    demonstration = path.with_name(DEMONSTRATION)
    if demonstration != path and demonstration.is_file():
        told += f" The demonstration's is there: AYNE_DATABASE={shlex.quote(str(demonstration))}."
    return WrongDatabase(told)


@contextmanager
def committed(
    connection: duckdb.DuckDBPyConnection, before_commit: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """A transaction for the length of the block: committed at its end, rolled back on any exception.

    Args:
        connection: without a transaction.
        before_commit: asked last; what it raises rolls back.
    """
    connection.execute("BEGIN")
    try:
        yield
        before_commit()
        connection.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # nothing is open any more where the COMMIT is what failed
            connection.execute("ROLLBACK")
        raise


@contextmanager
def rolled_back(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """A transaction for the length of the block, of which nothing stays."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        with suppress(duckdb.Error):  # an error may have ended it
            connection.execute("ROLLBACK")


def first_line(error: Exception) -> str:
    """What an error says, without the SQL that follows."""
    return (str(error).splitlines() or [type(error).__name__])[0]
