"""A person's question in SQL: it only reads, ends within limits, and stands in no run's way. Prints nothing.

DuckDB lets nobody write to a file that another process has open, so a question has the database itself for a moment
only. One that takes longer is asked again of a copy (`replica`). The SQL may come from anywhere: it reaches no other
file, no variable of this process and no network, and cannot undo that.

Arrow and what makes copies are loaded where they are used: whoever shows a movie needs neither.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb

from ayne_dagster.errors import WrongUsage
from ayne_dagster.refresh.states import SOURCES
from ayne_dagster.warehouse.lake import LakeStore
from ayne_dagster.warehouse.lease import is_leased
from ayne_dagster.warehouse.rows import unique_names
from ayne_dagster.warehouse.store import DatabaseBusy, Store, WarehouseError

if TYPE_CHECKING:
    import pyarrow as pa

ALONE_SECONDS = 1.0
"""How long a question may have the database itself while no collection runs: one that begins waits for so long."""
BESIDE_A_RUN_SECONDS = 0.02
"""The same while one runs; with opening and closing the file, a commit is held up by less than 50 ms."""
WAIT_SECONDS = 0.5
"""How long a commit is waited for before a copy is asked instead."""
ROWS_AT_ONCE = 5_000
STUCK_SECONDS = 0.5
"""How long after it was interrupted a question may go on before it counts as one that cannot be."""
MOST_ROWS_HELD = 50_000
"""Rows of an answer that are taken from the database itself; more are read from a copy, as they are needed."""
MOST_BYTES_AT_ONCE = 256 * 1024 * 1024
"""Bytes of so many rows; real ones have a hundredth of that."""
_QUESTIONS = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
_SHUT = (
    "SET temp_directory = ''",  # what does not fit into memory is not put on the disk instead
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET python_enable_replacements = false",  # a name is a table, and never a variable of the program
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


class WrongQuestion(WrongUsage):
    """The SQL is no question, or cannot be answered; nothing was changed."""


class QuestionEnded(WarehouseError):
    """A question took longer than it may."""


@dataclass(frozen=True)
class Limits:
    """What a question may take."""

    seconds: float = 60.0
    memory: str = "512MB"


@dataclass(frozen=True)
class Answered:
    """An answer, as long as the block lasts in which it was given."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    as_of: datetime | None
    """When the copy that was asked was made (aware UTC); None: the database itself was asked."""


@dataclass(frozen=True)
class WayOut:
    """What ends a question that does not heed its interruption; DuckDB looks for one between two chunks of rows only,
    and a function may be at one value for minutes. It is told from another thread."""

    to_a_copy: Callable[[], object]
    """Let go of the database itself, and ask a copy."""
    to_an_end: Callable[[str], object]
    """End, and say why."""


class _TooLong(Exception):
    """A question has had the database itself for as long as it may."""


@contextmanager
def ask(database: Store, sql: str, limits: Limits, now: datetime, way_out: WayOut | None = None) -> Iterator[Answered]:
    """Put a question: one SELECT, or what DuckDB makes one of (FROM, DESCRIBE, SUMMARIZE, SHOW, EXPLAIN).

    Args:
        database: the warehouse, or a snapshot of it.
        sql: the question.
        limits: what it may take.
        now: the present instant (aware UTC).
        way_out: for a question that cannot be interrupted; without one, it is waited for.

    Raises:
        WrongQuestion: it is none, or is wrong.
        QuestionEnded: it took longer than it may.
        WarehouseError: there is no database, or it cannot be had.
    """
    database.require_file()
    _require_question(sql)
    if not isinstance(database, LakeStore):
        seconds = BESIDE_A_RUN_SECONDS if _is_written_to(database) else ALONE_SECONDS
        found = None
        with suppress(_TooLong, DatabaseBusy):
            found = _of_the_database_itself(database, sql, limits, seconds, way_out)
        if found is not None:
            yield found
            return
    with _asked_of_a_copy(database, sql, limits, now, way_out) as answered:
        yield answered


@contextmanager
def ask_a_copy(
    database: Store, sql: str, limits: Limits, now: datetime, way_out: WayOut | None = None
) -> Iterator[Answered]:
    """The same, put to a copy at once; in a lake nobody waits for a reader, and there is none. See `ask`."""
    database.require_file()
    _require_question(sql)
    with _asked_of_a_copy(database, sql, limits, now, way_out) as answered:
        yield answered


@contextmanager
def _asked_of_a_copy(
    database: Store, sql: str, limits: Limits, now: datetime, way_out: WayOut | None
) -> Iterator[Answered]:
    told = way_out.to_an_end if way_out else None
    if isinstance(database, LakeStore):
        with database.alone() as connection, _asked_at_length(connection, sql, limits, None, told) as answered:
            yield answered
        return
    from ayne_dagster.warehouse.replica import Replica

    with closing(Replica(database.path)) as replica, replica.reading() as copy:

        def end(why: str) -> None:
            replica.remove_files()
            if told:
                told(why)

        with _asked_at_length(copy.connection, sql, limits, now, end if told else None) as answered:
            yield answered


@contextmanager
def _asked_at_length(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    limits: Limits,
    as_of: datetime | None,
    to_an_end: Callable[[str], object] | None,
) -> Iterator[Answered]:
    """An answer of any size, read while it is printed, from what waits for nobody and has nobody wait."""
    _shut_off(connection, limits)
    stuck = (lambda: to_an_end(_too_long(limits))) if to_an_end else None
    with _Deadline(connection, limits.seconds, stuck) as deadline, _told(deadline, limits):
        with deadline.at_work():
            reader = _named_apart(connection.execute(sql).to_arrow_reader(ROWS_AT_ONCE))
        yield Answered(reader.schema, _read(reader, deadline, limits), as_of)


@contextmanager
def reading_beside_runs(database: Store) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database, for questions of our own that can take longer than a moment; while a collection goes on, a copy.

    Raises:
        WarehouseError: there is no database, or it cannot be had.
    """
    database.require_file()
    if database.shared_locks is None and _is_written_to(database):
        from ayne_dagster.warehouse.replica import Replica

        with closing(Replica(database.path)) as replica, replica.reading() as copy:
            yield copy.connection
    else:
        with database.connect(read_only=True) as connection:
            yield connection


@contextmanager
def reading_a_copy(database: Store) -> Iterator[duckdb.DuckDBPyConnection]:
    """A copy of the database, for reading that takes long: no run waits, whenever it begins.

    Where there is no room for a copy, it is the database itself.

    Raises:
        WarehouseError: there is no database, or it cannot be had.
    """
    from ayne_dagster.warehouse.following import following
    from ayne_dagster.warehouse.replica import ReplicaError

    database.require_file()
    with database.connect(read_only=True):
        pass  # an older one is brought up to date, which a copy is not
    with ExitStack() as held:
        try:
            replica = held.enter_context(closing(following(database)))
            connection = held.enter_context(replica.reading()).connection
        except ReplicaError:
            connection = held.enter_context(database.connect(read_only=True))
        yield connection


def _is_written_to(database: Store) -> bool:
    return any(_is_collected_from(source, database) for source in SOURCES)


def _is_collected_from(source: str, database: Store) -> bool:
    try:
        return is_leased(database, source)
    except OSError:  # a snapshot in a place where this person may only read
        return False


def _of_the_database_itself(
    database: Store, sql: str, limits: Limits, seconds: float, way_out: WayOut | None
) -> Answered:
    """The whole of a small answer, with the file closed again.

    Raises:
        _TooLong: it is not to be had so quickly, or is not small.
    """
    import pyarrow as pa

    with replace(database, wait_seconds=WAIT_SECONDS).connect(read_only=True) as connection:
        _shut_off(connection, limits)
        with _Deadline(connection, seconds, way_out.to_a_copy if way_out else None) as deadline, deadline.at_work():
            try:
                return _whole(_named_apart(connection.execute(sql).to_arrow_reader(ROWS_AT_ONCE)))
            except (duckdb.Error, pa.ArrowException, OSError) as error:  # Arrow tells of an interruption in its way
                if deadline.has_passed:
                    raise _TooLong from None
                if isinstance(error, duckdb.Error):
                    raise _wrong(error) from None
                raise


def _named_apart(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same rows, with no two columns of one name."""
    import pyarrow as pa

    names = unique_names(reader.schema.names)
    if names == reader.schema.names:
        return reader
    schema = pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)])
    return pa.RecordBatchReader.from_batches(
        schema, (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in reader)
    )


def _whole(reader: pa.RecordBatchReader) -> Answered:
    batches: list[pa.RecordBatch] = []
    for batch in reader:
        batches.append(_bounded(batch))
        if sum(b.num_rows for b in batches) > MOST_ROWS_HELD:
            raise _TooLong
    return Answered(reader.schema, iter(batches), None)


def _read(reader: pa.RecordBatchReader, deadline: _Deadline, limits: Limits) -> Iterator[pa.RecordBatch]:
    batches = iter(reader)
    with _told(deadline, limits):
        while True:
            with deadline.at_work():
                batch = next(batches, None)
            if batch is None:
                return
            yield _bounded(batch)


def _bounded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Some rows of an answer, if anybody can look at them: DuckDB bounds its own memory, and not what it hands out."""
    if batch.nbytes > MOST_BYTES_AT_ONCE:
        raise WrongQuestion(
            f"The answer holds rows of {batch.nbytes / batch.num_rows / 1e6:,.0f} MB: ask for parts of such values."
        )
    return batch


@contextmanager
def _told(deadline: _Deadline, limits: Limits) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        if deadline.has_passed:
            raise QuestionEnded(_too_long(limits)) from None
        if isinstance(error, duckdb.Error):
            raise _wrong(error) from None
        raise


def _too_long(limits: Limits) -> str:
    ended = f"The question took longer than {limits.seconds:g} s and was ended"
    return f"{ended}: ask for less, or give it more time (--seconds)."


def _require_question(sql: str) -> None:
    try:
        # IMPORT DATABASE is read from its files where it is taken apart already: that reaches for none, either.
        with duckdb.connect(config={"enable_external_access": "false"}) as nowhere:
            statements = nowhere.extract_statements(sql)
    except duckdb.Error as error:
        raise _wrong(error) from None
    # DuckDB makes a type of the values first: in a statement that nobody wrote, or, from version 2 on, in one of both.
    if any(not statement.query or statement.type is duckdb.StatementType.MULTI for statement in statements):
        raise WrongQuestion("PIVOT is answered where its values are named: ON column IN (…). Nothing was done.")
    if len(statements) != 1:
        number = "several statements" if statements else "no statement"
        raise WrongQuestion(f"One question at a time: these are {number}. Nothing was done.")
    if statements[0].type not in _QUESTIONS:
        raise WrongQuestion(
            "Only questions are answered (SELECT, FROM, DESCRIBE, SUMMARIZE, EXPLAIN). Nothing was done."
        )


def _wrong(error: duckdb.Error) -> WrongQuestion:
    lines: Sequence[str] = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, duckdb.OutOfMemoryException):
        return WrongQuestion(
            "The question needs more memory than it may have: ask for less, or give it more (--memory)."
        )
    hints = [line for line in lines[1:] if line.startswith(("Did you mean", "Candidate"))]
    return WrongQuestion("; ".join([*lines[:1], *hints[:1]]) or type(error).__name__)


def _shut_off(connection: duckdb.DuckDBPyConnection, limits: Limits) -> None:
    """Have a connection reach nothing but its file, and take no more than it may."""
    connection.execute("SET memory_limit = $memory", {"memory": limits.memory})
    for statement in _SHUT:
        connection.execute(statement)


class _Deadline:
    """Within the block, what a connection does is interrupted after some time.

    Args:
        connection: whose work it is.
        seconds: after how long.
        stuck: is called, in another thread, where DuckDB does not heed that.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, seconds: float, stuck: Callable[[], object] | None
    ) -> None:
        self._connection, self._seconds, self._stuck = connection, seconds, stuck
        self._passed, self._over = threading.Event(), threading.Event()
        self._is_at_work = False

    def __enter__(self) -> _Deadline:
        threading.Thread(target=self._watch, name="ayne-deadline", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    @property
    def has_passed(self) -> bool:
        """Whether the connection was interrupted."""
        return self._passed.is_set()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While DuckDB works: whoever reads its answer may take their time."""
        self._is_at_work = True
        try:
            yield
        finally:
            self._is_at_work = False

    def _watch(self) -> None:
        if self._over.wait(self._seconds):
            return
        self._passed.set()
        self._connection.interrupt()
        while not self._over.wait(STUCK_SECONDS):
            if self._is_at_work and self._stuck is not None:
                self._stuck()
                return
