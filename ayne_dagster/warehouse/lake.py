"""The warehouse as a lake that several machines write to: one committer at a time, readers that wait for nobody.

How a lake is attached is in `lake_instance`; where turns and leases are held, whoever makes the store says
(`SharedLocks`). A turn is taken before BEGIN and looked at once more before COMMIT: DuckLake checks what two
transactions did to one table only in part (docs/scale.md), and with turns nothing rests on that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import duckdb

from ayne_dagster.errors import OneLineError
from ayne_dagster.settings.lake import LakePlace
from ayne_dagster.warehouse.interruption import signals_held_back
from ayne_dagster.warehouse.lake_instance import READING, WRITING, Instance, instance_of
from ayne_dagster.warehouse.migrations import schema_version
from ayne_dagster.warehouse.schema_check import ensure_schema, is_older, require_ours
from ayne_dagster.warehouse.store import (
    DatabaseBusy,
    DatabaseOutOfReach,
    DatabaseUnusable,
    LeaseLost,
    Maintained,
    SharedLocks,
    Store,
    WrongDatabase,
    committed,
    rolled_back,
)

T = TypeVar("T")

TURN = "turn"
"""The lock of whoever commits."""
TELL_AFTER_SECONDS = 1.0
POLL_SECONDS = 0.05
"""Between two looks whether it is our turn. Were the server to wait, nobody could give up meanwhile."""
PAST_KEPT = timedelta(days=7)
"""How long an earlier state can be asked for."""
ORPHANS_AFTER = timedelta(days=1)
"""A file that no commit names is somebody's who is about to commit, unless it is so old."""
REWRITE_FROM = 0.2
"""A file is written anew when this share of its rows is deleted. DuckLake's own 0.95 comes too late for rows that are
replaced again and again."""


@dataclass(frozen=True)
class LakeStore(Store):
    """A lake and how long to wait for a turn.

    Args:
        place: where it is.
        locks: where turns and leases are held; None: it can only be read.
    """

    place: LakePlace = field(kw_only=True)
    locks: SharedLocks | None = field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        """Where its catalogue is."""
        return self.place.name

    @property
    def shared_locks(self) -> SharedLocks | None:
        """Where leases and turns are held."""
        return self.locks

    @property
    def exists(self) -> bool:
        """Whether the catalogue's database holds a lake with our tables.

        Raises:
            WarehouseError: it cannot be had.
        """
        instance = self._instance
        if not instance.attach_to_read():
            return False
        with instance.cursor(READING) as connection:
            return schema_version(connection) is not None

    def describe(self) -> str:
        """Where it is, and the number and size of its files."""
        if not self.exists:
            return self.name
        with self._instance.cursor(READING) as connection:
            files, size = _files(connection)
        return f"{self.name}, {files:,} files of {size / 1e6:,.1f} MB in {self.place.data}"

    @contextmanager
    def connect(self, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Read the lake as it is at this moment, for the length of the block; nobody waits for that.

        Nothing can be written here, `read_only` or not: that takes a turn, and so `transaction`. Where there is no
        lake, one is made, unless it is `read_only`.

        Raises:
            WrongDatabase: there is none, or none of ours.
            WarehouseError: it cannot be had.
        """
        instance = self._in_order(may_make=not read_only)
        with instance.cursor(READING) as connection, rolled_back(connection):
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction, in its turn: committed at the end, rolled back on any exception.

        Raises:
            DatabaseBusy: others had the turn for too long.
            LeaseLost: the session that holds turn and leases ended meanwhile; nothing was committed.
            WarehouseError: as `connect`; or it could not be stored.
        """
        instance = self._in_order(may_make=True)
        with self._turn(instance), signals_held_back():
            instance.attach_to_write()
            with instance.cursor(WRITING) as connection, committed(connection, self._require_turn):
                yield connection

    @contextmanager
    def rehearsal(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction, in its turn, that is rolled back at the end.

        Raises:
            WarehouseError: as `transaction`.
        """
        instance = self._in_order(may_make=False)
        with self._turn(instance):
            instance.attach_to_write()
            with instance.cursor(WRITING) as connection, rolled_back(connection):
                yield connection

    @contextmanager
    def inspect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Read what is there, whatever it is.

        Raises:
            WrongDatabase: there is nothing.
            WarehouseError: it cannot be had.
        """
        instance = self._instance
        if not instance.attach_to_read():
            raise self.missing()
        with instance.cursor(READING) as connection, rolled_back(connection):
            yield connection

    @contextmanager
    def alone(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """As `connect` to read, in a DuckDB of its own, whose settings a question may be given.

        Raises:
            WarehouseError: as `connect`.
        """
        self._in_order(may_make=False)
        instance = Instance(self.place, self.path.with_name(f"{self.path.name}.tmp"))
        try:
            instance.attach_to_read()
            instance.keep_to_its_files()
            with instance.cursor(READING) as connection, rolled_back(connection):
                yield connection
        finally:
            instance.close()

    def maintain(self, now: datetime) -> Maintained:
        """Write inlined rows out, rewrite and merge files, forget old states, remove files that nothing names.

        All in one turn: flushing or rewriting beside a commit has lost rows (docs/scale.md).
        """
        with self._at_work() as connection:
            before, _ = _files(connection)
            steps = {name: _called(connection, call) for name, call in _care(now).items()}
            after, _ = _files(connection)
        return Maintained(steps, before, after)

    def erase_past(self, now: datetime) -> None:
        """Forget all states but the present one, and remove the files of those and the deleted rows in the others."""
        with self._at_work() as connection:
            for call in (
                "ducklake_flush_inlined_data('lake')",
                "ducklake_rewrite_data_files('lake', delete_threshold => 0)",
                f"ducklake_expire_snapshots('lake', older_than => {_instant(now)})",
                "ducklake_cleanup_old_files('lake', cleanup_all => true)",
            ):
                _called(connection, call)

    def stamp(self) -> int:
        """The number of the last commit.

        Raises:
            WarehouseError: the lake cannot be had.
        """
        with self.inspect() as connection:
            return int(connection.execute("FROM ducklake_current_snapshot('lake_reading')").fetchall()[0][0])

    @property
    def _instance(self) -> Instance:
        return instance_of(self.place, self.path.with_name(f"{self.path.name}.tmp"))

    @contextmanager
    def _at_work(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """In turn, without a transaction: each call is one of its own."""
        instance = self._in_order(may_make=False)
        with self._turn(instance), signals_held_back():
            instance.attach_to_write()
            with instance.cursor(WRITING) as connection:
                yield connection
                self._require_turn()

    def _in_order(self, *, may_make: bool) -> Instance:
        """The instance, with today's schema in the lake; looked at once a process."""
        instance = self._instance
        if instance.is_ours:
            return instance
        self._make_folder()
        if not may_make and not self.exists:
            raise self.missing()
        if not self._has_todays_schema(instance):
            with self._turn(instance), signals_held_back():
                instance.attach_to_write()
                with instance.cursor(WRITING) as connection:
                    ensure_schema(connection, self.name)
            instance.attach_to_read()
        instance.is_ours = True
        return instance

    def _make_folder(self) -> None:
        """Make the folder of what is this machine's: downloads are put there, and a spool where it is needed."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WrongDatabase(
                f"{self.path.parent}, where this machine keeps what it could not commit, cannot be made "
                f"({error.strerror}); nothing was asked. Choose another AYNE_STATE_FOLDER."
            ) from None

    def _has_todays_schema(self, instance: Instance) -> bool:
        if not instance.attach_to_read():
            return False
        with instance.cursor(READING) as connection:
            return not is_older(require_ours(connection, self.name))

    def _require_turn(self) -> None:
        if self.locks is None or not self.locks.still_holds(TURN):
            raise LeaseLost(
                f"The session at the ledger's Postgres that held the turn to write to {self.name} has ended; nothing "
                "of this commit is in it. What had arrived is merged by the next run."
            )

    @contextmanager
    def _turn(self, instance: Instance) -> Iterator[None]:
        """Hold the turn; waits while another thread, process or machine has it.

        Raises:
            DatabaseBusy: it was not to be had in time.
            DatabaseOutOfReach: the server does not say whose turn it is.
            DatabaseUnusable: this store can only be read.
        """
        locks = self.locks
        if locks is None:
            raise DatabaseUnusable(
                f"{self.name} was opened to read, and has no tables of this version: `ayne stats` makes them."
            )
        waiting = _Waiting(self, locks)
        while not instance.turn.acquire(timeout=POLL_SECONDS):
            waiting.tell_or_end()
        try:
            while not _asked(self, lambda: locks.try_lock(TURN)):
                waiting.tell_or_end()
                time.sleep(POLL_SECONDS)
            try:
                yield
            finally:
                locks.unlock(TURN)
        finally:
            instance.turn.release()


class _Waiting:
    """One wait for a turn: when it is told of, and when it ends."""

    def __init__(self, store: LakeStore, locks: SharedLocks) -> None:
        self._store, self._locks = store, locks
        self._started = time.monotonic()
        self._told = store.on_wait is None

    def tell_or_end(self) -> None:
        """Tell of the wait when it is long enough for that.

        Raises:
            DatabaseBusy: it has lasted too long, or is to end.
        """
        store, waited = self._store, time.monotonic() - self._started
        if waited >= store.wait_seconds or (store.give_up is not None and store.give_up()):
            raise DatabaseBusy(
                f"{store.name} is written to by {self._holder()}, and it was nobody else's turn within {waited:.0f} s. "
                "Wait for its end, or end it, and try again."
            )
        if not self._told and store.on_wait is not None and waited >= TELL_AFTER_SECONDS:
            self._told = True
            store.on_wait(
                f"{store.name} is written to by {self._holder()}; waiting up to {store.wait_seconds:.0f} s for a turn."
            )

    def _holder(self) -> str:
        return _asked(self._store, lambda: self._locks.holder(TURN)) or "another thread"


def _asked(store: LakeStore, ask: Callable[[], T]) -> T:
    """What the server of turns and leases says.

    Raises:
        DatabaseOutOfReach: it does not answer.
    """
    try:
        return ask()
    except OneLineError as error:
        raise DatabaseOutOfReach(f"Nobody can say whose turn it is to write to {store.name}: {error}") from None


def _care(now: datetime) -> dict[str, str]:
    """The steps of maintenance, in order: what each is called, and the call."""
    orphans = f"older_than => {_instant(now - ORPHANS_AFTER)}"
    return {
        "flushed": "ducklake_flush_inlined_data('lake')",
        "rewritten": f"ducklake_rewrite_data_files('lake', delete_threshold => {REWRITE_FROM})",
        "merged": "ducklake_merge_adjacent_files('lake')",
        "expired": f"ducklake_expire_snapshots('lake', older_than => {_instant(now - PAST_KEPT)})",
        "cleaned": f"ducklake_cleanup_old_files('lake', {orphans})",
        "orphans": f"ducklake_delete_orphaned_files('lake', {orphans})",
    }


def _called(connection: duckdb.DuckDBPyConnection, call: str) -> int:
    """Call a function of DuckLake's; how many rows it tells of, which are files or tables."""
    return len(connection.execute(f"CALL {call}").fetchall())


def _instant(at: datetime) -> str:
    """An instant as the calls take it."""
    return f"TIMESTAMPTZ '{at.isoformat()}'"


def _files(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """How many files the tables are in, and their bytes; deletions are files too."""
    query = (
        "SELECT coalesce(sum(file_count + delete_file_count), 0)::BIGINT,"
        " coalesce(sum(file_size_bytes + delete_file_size_bytes), 0)::BIGINT"
        " FROM ducklake_table_info(current_database())"
    )
    ((files, size),) = connection.execute(query).fetchall()
    return int(files), int(size)
