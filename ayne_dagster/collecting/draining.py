"""A stream of answers into the warehouse: a commit a batch, and what has arrived is kept however the stream ends.

How batches form is in `streams`, what a merge does in `warehouse.merge`, how answers wait for a database that cannot
take them in `warehouse.spool`. Which of these comes when is decided here.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from typing import Any, Generic, Protocol, Self, TypeVar

import dagster as dg
import duckdb

from ayne_dagster.collecting.garbage import seldom_looked_for
from ayne_dagster.collecting.progress import watcher
from ayne_dagster.collecting.stopping import stopping
from ayne_dagster.collecting.streams import Batches, Emit
from ayne_dagster.collecting.watch import Watch
from ayne_dagster.warehouse.apart import merge_apart
from ayne_dagster.warehouse.interruption import HeldSignals, signals_held_back
from ayne_dagster.warehouse.spool import Origin, instead_of, keep, merge_items, put_aside, spool_folder
from ayne_dagster.warehouse.spool_file import SpoolError, reason_of
from ayne_dagster.warehouse.store import DatabaseBusy, Store, WarehouseError

T = TypeVar("T")
R = TypeVar("R", bound="Report")

LAST_WAIT_SECONDS = 2.0
"""How long an ending run waits for a file that another process holds, before what has arrived goes to the spool: with
all the rest well within the ten seconds that a supervisor leaves between SIGTERM and SIGKILL."""
FAULTS_OF_ITEMS = 3
"""So many items of a batch, and no other, that cannot be merged are not at fault: it is the merging."""


class Report(Protocol):
    """What merging a batch did, in numbers that can be added up."""

    def __add__(self, other: Self, /) -> Self:
        """Both together."""


class MergeStream(ABC, Generic[T, R]):
    """What an asset hands to the IO manager to have batches merged as they arrive. Each kind of it is a class."""

    origin: Origin | None = None
    """Under what a batch that cannot be committed is spooled; None: it cannot be, and is lost then."""

    def held(self) -> AbstractContextManager[object]:
        """What holds while the stream runs: a lease, say.

        An asset that held it itself, around its `yield`, would keep it after a failure as long as somebody keeps the
        error, and the next collection of the process would wait for ever.
        """
        return nullcontext()

    @abstractmethod
    async def produce(self, emit: Emit[T]) -> None:
        """Find items and emit each; runs in an event loop of its own, once what is held is held."""

    def batches(self) -> Batches[T]:
        """The items as batches: how large they are, and how long one waits."""
        return Batches(self.produce)

    @abstractmethod
    def merge(self, connection: duckdb.DuckDBPyConnection, batch: list[T]) -> R:
        """Merge one batch within an open transaction; merging it twice must change nothing the second time."""

    @abstractmethod
    def nothing(self) -> R:
        """The report of a stream that has merged nothing yet."""

    @abstractmethod
    def report(self, merged: R, seconds: float) -> None:
        """Tell what was merged in how many seconds, before the materialization is recorded."""

    def report_stop(self, merged: R, seconds: float) -> None:
        """The same where the stream ended before its time. The database may be out of reach."""
        self.report(merged, seconds)


class Drain:
    """One stream on its way into the file.

    While it runs, Ctrl-C, SIGTERM and SIGHUP raise nothing, wherever they come. They end the stream, as a wish of
    whoever waits for this thread does: the producer is told to stop, a wait for the file ends, what has arrived is
    committed, or spooled where it cannot be. Then they act. A second wish has what is on its way not waited for.

    Args:
        stream: the stream.
        database: where its batches go.
        log: of the run.
    """

    def __init__(self, stream: MergeStream[Any, Any], database: Store, log: dg.DagsterLogManager) -> None:
        self._stream = stream
        self._batches: Batches[Any] = stream.batches()
        self._database = replace(
            database, on_wait=self._tell, give_up=lambda: self._batches.interrupted, checkpoints=False
        )
        self._log = log
        self._committed_batches = 0
        self._watcher = watcher()
        self._watch = Watch(lambda: self._batches.arrived + self._committed_batches, log.info, self._warn)
        self._report = stream.nothing()
        self._uncommitted: list[Any] = []
        self._interrupted = False
        self._kept = self._lost = 0
        self._why_lost = ""

    def run(self) -> None:
        """Merge all of it.

        Raises:
            dagster.Failure: answers could not be committed; says whether they are in the spool or lost.
            BaseException: what ended the producer or this thread, after what had arrived was kept.
        """
        with self._watch.kept(), ExitStack() as held:
            with self._watch.waiting("waiting for another run to end"):
                held.enter_context(self._stream.held())
            stopping().check()
            with seldom_looked_for(), stopping().seal():
                self._run()

    def _run(self) -> None:
        started = time.monotonic()
        with signals_held_back(self._batches.interrupt) as held, stopping().told(self._wished):
            failure = self._commit_all()
            if failure is not None or self._batches.interrupted:
                self._interrupted = self._batches.interrupted
                if self._interrupted and isinstance(failure, DatabaseBusy):
                    failure = None  # the interruption ended the wait for the file: tried once more below
                self._keep_the_rest(failure)
                self._report_stop(time.monotonic() - started)
                self._end(failure, held)
        self._stream.report(self._report, time.monotonic() - started)

    def _wished(self) -> None:
        """Whoever waits for this thread wishes that it end, or once more that it hurry."""
        if self._batches.interrupted:
            self._batches.hurry()
        else:
            self._batches.interrupt()

    def _commit_all(self) -> BaseException | None:
        """Commit each batch as it arrives; returns what went wrong, after which nothing was lost yet."""
        try:
            for batch in self._batches:
                self._uncommitted = batch
                self._commit(self._database, batch)
                self._uncommitted = []
                self._committed_batches += 1
        except BaseException as error:  # noqa: BLE001 -- raised again by `_end`
            return error
        return None

    def _commit(self, database: Store, batch: list[Any]) -> None:
        """Commit a batch: in parts where it does not go as a whole, and without the items that cannot be merged."""
        done = 0
        refused: list[tuple[Any, Exception]] = []

        def merge(part: Sequence[Any]) -> None:
            nonlocal done
            with database.transaction() as connection:
                merged = self._stream.merge(connection, list(part))
            self._report += merged
            done += len(part)

        def refuse(item: Any, error: Exception) -> None:
            refused.append((item, error))
            if self._stream.origin is None or (len(refused) >= FAULTS_OF_ITEMS and not done):
                raise error

        merge_apart(batch, merge, refuse, database)
        for item, error in refused:
            self._replace(database, item, error)

    def _replace(self, database: Store, item: Any, error: Exception) -> None:
        """Merge the news that an item could not be stored, and keep it aside for people."""
        origin = self._stream.origin
        assert origin is not None  # noqa: S101 -- else nothing is refused
        aside = put_aside(database.path, origin, item)
        with database.transaction() as connection:
            merged = merge_items(connection, origin, [instead_of(item, origin, error)])
        self._report += merged
        self._tell(
            f"An answer could not be stored ({reason_of(error)}): it is in quarantine, and as it came in {aside}."
        )

    def _keep_the_rest(self, failure: BaseException | None) -> None:
        """Commit what has arrived; spool it where a commit has failed."""
        takes_more = not self._uncommitted or not isinstance(failure, Exception)
        last = replace(self._database, wait_seconds=LAST_WAIT_SECONDS, give_up=lambda: self._batches.hurried)
        self._batches.interrupt()
        for batch in (self._uncommitted, *self._batches.stop()):
            if batch and not (takes_more and self._committed(last, batch)):
                takes_more = False
                self._spool(batch)

    def _committed(self, database: Store, batch: list[Any]) -> bool:
        try:
            self._commit(database, batch)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the batch goes to the spool
            self._tell(f"The last answers could not be committed: {error}")
            return False
        return True

    def _spool(self, batch: Sequence[Any]) -> None:
        try:
            if self._stream.origin is None:
                raise SpoolError("this asset's batches have no place in the spool")
            keep(self._database.path, self._stream.origin, batch)
        except SpoolError as error:
            self._lost += len(batch)
            self._why_lost = str(error)
        else:
            self._kept += len(batch)

    def _report_stop(self, seconds: float) -> None:
        self._log.info(f"Stopped early; committed before that: {self._report}")
        try:
            self._stream.report_stop(self._report, seconds)
        except Exception as error:  # noqa: BLE001 -- it must not hide why the stream stopped
            self._log.warning(f"The counts of this run are not complete: {error}")

    def _end(self, failure: BaseException | None, held: HeldSignals) -> None:
        """Raise what the run ends with: lost answers before all, then an interruption, then the first error."""
        producer = self._batches.error
        if producer is not None and producer is not failure:
            self._log.error(f"Beside that, fetching failed: {producer}")
        what_became = self._what_became()
        if self._lost or (self._kept and not self._interrupted):
            held.forget()
            reason = _sentence(failure) if failure is not None else ""
            raise dg.Failure(f"{reason} {what_became}".strip()) from failure
        if what_became:
            self._tell(what_became)
        if not held:  # else they act now, with the end of the block
            if self._interrupted and stopping().requested:
                stopping().obey()
            raise failure if failure is not None else dg.DagsterExecutionInterruptedError()

    def _what_became(self) -> str:
        parts = []
        if self._kept:
            folder = spool_folder(self._database.path)
            parts.append(f"{self._kept:,} answers are kept in {folder} and merged by the next run.")
        if self._lost:
            parts.append(f"{self._why_lost}: {self._lost:,} answers are lost.")
        return " ".join(parts)

    def _warn(self, text: str) -> None:
        """Tell something from the thread of the watch, which knows no watcher of its own."""
        self._log.warning(text)
        self._watcher.note(text)

    def _tell(self, text: str) -> None:
        self._log.warning(text)
        watcher().note(text)


def _sentence(error: BaseException) -> str:
    if isinstance(error, WarehouseError | dg.Failure):
        return str(getattr(error, "description", None) or error)
    return f"A batch could not be committed ({type(error).__name__}: {(str(error).splitlines() or [''])[0]})."
