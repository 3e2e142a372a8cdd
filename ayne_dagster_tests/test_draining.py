"""A stream into the warehouse: whatever ends it, all that had arrived is committed, spooled, or told to be lost."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from dagster._utils.interrupts import raise_interrupts_as

from ayne_dagster.collecting import draining, watch
from ayne_dagster.collecting.draining import Drain, MergeStream
from ayne_dagster.collecting.progress import Progress, watched_by
from ayne_dagster.collecting.streams import Batches, Emit
from ayne_dagster.warehouse import spool
from ayne_dagster.warehouse.answers import Answer, MergeReport, Numbers
from ayne_dagster.warehouse.database import Database, DatabaseBusy
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.schema import TMDB_DETAILS
from ayne_dagster.warehouse.spool import Origin, kept, merge_kept
from ayne_dagster_tests.support.samples import HOLD, details, end, line, python

ORIGIN = Origin("tmdb", "tmdb_details", "run")
SOON = 20.0
Interrupted = dg.DagsterExecutionInterruptedError


class Noting:
    """A watcher that keeps what is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.noted = threading.Event()

    def started(self, step: str, progress: Progress) -> None:
        pass

    def finished(self, step: str, numbers: Numbers) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.noted.set()


class Log:
    """As much of a run's log as a drain uses."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)

    warning = error = info


@dataclass
class Streaming(MergeStream[Answer, MergeReport]):
    """A stream of given batches, and given functions for the rest."""

    given: Batches[Answer]
    merging: Callable[[duckdb.DuckDBPyConnection, list[Answer]], MergeReport]
    done: Callable[[MergeReport, float], None]
    origin: Origin | None = None
    stopped: Callable[[MergeReport, float], None] | None = None

    async def produce(self, emit: Emit[Answer]) -> None:
        raise AssertionError("the batches are given")

    def batches(self) -> Batches[Answer]:
        return self.given

    def merge(self, connection: duckdb.DuckDBPyConnection, batch: list[Answer]) -> MergeReport:
        return self.merging(connection, batch)

    def nothing(self) -> MergeReport:
        return MergeReport()

    def report(self, merged: MergeReport, seconds: float) -> None:
        self.done(merged, seconds)

    def report_stop(self, merged: MergeReport, seconds: float) -> None:
        (self.stopped or self.done)(merged, seconds)


class Run:
    """One stream of answers 0, 1, 2 … and what becomes of it."""

    def __init__(self, folder: Path, wait_seconds: float = 0.3) -> None:
        self.database = Database(folder / "ayne.duckdb", wait_seconds)
        self.emitted = 0
        self.commits = 0
        self.watcher = Noting()
        self.log = Log()
        self.told: list[tuple[str, int]] = []
        self.in_merge: Callable[[], object] = lambda: None
        self.at_the_end: Callable[[], object] = lambda: None
        self.origin: Origin | None = ORIGIN
        self.poison: set[int] = set()
        self.most = 1000
        with self.database.connect():
            pass

    async def endless(self, emit: Emit[Answer]) -> None:
        while True:
            await emit(details(self.emitted, imdb_id=f"tt{self.emitted:07}"))
            self.emitted += 1
            await asyncio.sleep(0)

    def upto(self, count: int, then: BaseException | None = None) -> Callable[[Emit[Answer]], Awaitable[None]]:
        async def produce(emit: Emit[Answer]) -> None:
            while self.emitted < count:
                await emit(details(self.emitted, imdb_id=f"tt{self.emitted:07}"))
                self.emitted += 1
            if then is not None:
                raise then

        return produce

    def drain(self, produce: Callable[[Emit[Answer]], Awaitable[None]], **options: Any) -> None:
        def merge(connection: duckdb.DuckDBPyConnection, batch: list[Answer]) -> MergeReport:
            for answer in batch:
                if answer.tmdb_id in self.poison:
                    raise ValueError(f"no place for {answer.tmdb_id}")
            if len(batch) > self.most:
                raise duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate")
            report = merge_answers(connection, TMDB_DETAILS, "tmdb", batch, "run")
            self.commits += 1
            self.in_merge()
            return report

        def done(report: MergeReport, seconds: float) -> None:
            self.told.append(("done", report.total().inserted))
            self.at_the_end()

        def stopped(report: MergeReport, seconds: float) -> None:
            self.told.append(("stopped", report.total().inserted))
            self.at_the_end()

        batches = Batches(produce, **{"max_batch": 10, "max_wait": 0.01, "capacity": 30} | options)
        stream = Streaming(batches, merge, done, self.origin, stopped)
        with watched_by(self.watcher):
            Drain(stream, self.database, self.log).run()  # type: ignore[arg-type]

    @property
    def stored(self) -> int:
        with duckdb.connect(str(self.database.path), read_only=True) as connection:
            return len(connection.execute("SELECT tmdb_id FROM tmdb_details").fetchall())

    @property
    def logged(self) -> int:
        with duckdb.connect(str(self.database.path), read_only=True) as connection:
            return len(connection.execute("SELECT tmdb_id FROM fetch_log").fetchall())

    @property
    def in_spool(self) -> int:
        return kept(self.database.path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.fixture(autouse=True)
def _interrupting() -> Iterator[None]:
    """Signals as in a step that Dagster executes."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with raise_interrupts_as(Interrupted):
        yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def holder(run: Run) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the database."""
    process = python(HOLD, run.database.path)
    try:
        assert line(process) == "held"
        yield process
    finally:
        process.kill()
        process.communicate()


def send(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def test_a_stream_that_ends_is_merged_whole(run: Run) -> None:
    run.drain(run.upto(95))
    assert (run.stored, run.in_spool, run.told) == (95, 0, [("done", 95)])


# Interruptions


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_within_a_commit_keeps_and_counts_all_that_had_arrived(run: Run, number: int) -> None:
    run.in_merge = lambda: run.commits == 3 and send(number)
    with pytest.raises(Interrupted):
        run.drain(run.endless)
    assert run.stored == run.logged >= max(30, run.emitted)
    assert run.told == [("stopped", run.stored)], "the counts are those of the table"


def test_an_interruption_between_two_commits_keeps_all_that_had_arrived(run: Run) -> None:
    async def produce(emit: Emit[Answer]) -> None:
        await run.upto(25)(emit)
        await asyncio.sleep(0.2)  # the drain waits for more
        send()
        await asyncio.sleep(SOON)

    started = time.monotonic()
    with pytest.raises(Interrupted):
        run.drain(produce)
    assert (run.stored, run.told) == (25, [("stopped", 25)])
    assert time.monotonic() - started < SOON / 2


def test_further_signals_during_the_flush_change_nothing(run: Run) -> None:
    def hammer() -> None:
        if run.commits >= 3:
            send(signal.SIGINT)
            send(signal.SIGTERM)

    run.in_merge = hammer
    with pytest.raises(Interrupted):
        run.drain(run.endless)
    assert run.stored == run.logged >= max(30, run.emitted)


def test_an_interruption_at_any_of_many_moments_loses_nothing(tmp_path: Path) -> None:
    for number in range(12):
        folder = tmp_path / str(number)
        folder.mkdir()
        run = Run(folder)
        timer = threading.Timer(0.02 * number, send)

        async def produce(emit: Emit[Answer], run: Run = run, timer: threading.Timer = timer) -> None:
            timer.start()
            await run.endless(emit)

        with pytest.raises(Interrupted):
            run.drain(produce)
        timer.join()
        assert run.stored == run.logged >= run.emitted
        assert run.told == [("stopped", run.stored)]


def test_an_interruption_ends_the_wait_for_a_file_that_is_held(
    run: Run, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "LAST_WAIT_SECONDS", 0.1)
    run.database = Database(run.database.path, wait_seconds=60)
    timer = threading.Timer(0.3, send)
    timer.start()
    started = time.monotonic()
    with pytest.raises(Interrupted):
        run.drain(run.endless)
    assert time.monotonic() - started < SOON
    assert run.in_spool >= run.emitted > 0
    (told,) = [note for note in run.watcher.notes if "kept" in note]
    assert told.startswith(f"{run.in_spool} answers are kept in {spool.spool_folder(run.database.path)}")


def test_an_interruption_whose_last_commit_comes_through_leaves_no_spool(
    run: Run, holder: subprocess.Popen[str]
) -> None:
    run.database = Database(run.database.path, wait_seconds=60)

    def interrupt_and_release() -> None:
        send()
        holder.kill()

    timer = threading.Timer(0.3, interrupt_and_release)
    timer.start()
    with pytest.raises(Interrupted):
        run.drain(run.endless)
    assert (run.in_spool, run.stored >= run.emitted) == (0, True)


def test_in_another_thread_a_stream_can_be_interrupted_too(run: Run) -> None:
    errors: list[BaseException] = []
    batches = Batches(run.endless, max_batch=10, max_wait=0.01, capacity=30)
    merge = Streaming(
        batches,
        lambda connection, batch: merge_answers(connection, TMDB_DETAILS, "tmdb", batch, "run"),
        lambda *_: None,
        ORIGIN,
    )

    def work() -> None:
        try:
            Drain(merge, run.database, run.log).run()  # type: ignore[arg-type]
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    deadline = time.monotonic() + SOON
    while run.emitted < 50 and time.monotonic() < deadline:
        time.sleep(0.01)
    batches.interrupt()
    thread.join(SOON)
    assert [type(error) for error in errors] == [Interrupted]
    assert run.stored >= run.emitted >= 50


# Commits that fail


def test_a_file_that_is_held_is_told_and_waited_for_and_then_everything_is_kept(
    run: Run, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ayne_dagster.warehouse.database.TELL_AFTER_SECONDS", 0.1)
    with pytest.raises(dg.Failure) as caught:
        run.drain(run.endless)
    assert caught.value.description is not None
    assert f"in use by process {holder.pid}" in caught.value.description
    assert f"{run.in_spool} answers are kept in" in caught.value.description
    assert "merged by the next run" in caught.value.description
    assert run.in_spool >= run.emitted >= 30, "fetching went on until the queue was full"
    assert any(f"in use by process {holder.pid}" in note and "waiting" in note for note in run.watcher.notes)
    end(holder)
    merge_kept(run.database, "tmdb", lambda _: None)
    assert run.stored == run.logged >= run.emitted


def test_a_wait_that_ends_well_loses_and_spools_nothing(run: Run, holder: subprocess.Popen[str]) -> None:
    run.database = Database(run.database.path, wait_seconds=60)
    timer = threading.Timer(0.3, holder.kill)
    timer.start()
    run.drain(run.upto(50))
    assert (run.stored, run.in_spool) == (50, 0)


def test_a_commit_that_fails_spools_its_batch_and_all_that_arrived_after_it(run: Run) -> None:
    def fail() -> None:
        if run.commits == 3:
            raise duckdb.IOException("IO Error: Could not write file: No space left on device")

    run.in_merge = fail
    with pytest.raises(dg.Failure, match=r"No space left.*answers are kept in .*ayne\.duckdb\.spool"):
        run.drain(run.endless)
    assert run.commits == 3, "no further commit is tried: their order is kept"
    assert run.stored == 20
    assert run.in_spool >= run.emitted - 20
    assert run.told == [("stopped", 20)]
    run.in_merge = lambda: None
    merge_kept(run.database, "tmdb", lambda _: None)
    assert run.stored == run.logged >= run.emitted


@pytest.mark.parametrize("case", ["the spool cannot be written", "the batch has no place in it"])
def test_answers_that_can_be_kept_nowhere_are_counted_in_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if case.startswith("the spool"):
        monkeypatch.setattr(os, "fsync", fail)
    else:
        run.origin = None
    run.in_merge = fail
    with pytest.raises(dg.Failure) as caught:
        run.drain(run.upto(25))
    told = caught.value.description or ""
    assert "25 answers are lost" in told
    assert "\n" not in told
    assert run.stored == run.in_spool == 0


def test_lost_answers_are_told_even_when_an_interruption_came_meanwhile(run: Run) -> None:
    def fail_and_interrupt() -> None:
        send()
        raise OSError(28, "No space left on device")

    run.origin = None
    run.in_merge = fail_and_interrupt
    with pytest.raises(dg.Failure, match="answers are lost"):
        run.drain(run.upto(25))


def test_a_commit_that_fails_beside_an_interruption_is_an_interruption_with_all_kept(run: Run) -> None:
    def fail_and_interrupt() -> None:
        send()
        raise OSError(28, "No space left on device")

    run.in_merge = fail_and_interrupt
    with pytest.raises(Interrupted):
        run.drain(run.upto(25))
    assert run.in_spool == 25
    assert any("25 answers are kept" in note for note in run.watcher.notes)


# Errors of the producer and of those who are told


def test_an_error_of_the_producer_comes_after_what_had_arrived(run: Run) -> None:
    with pytest.raises(dg.Failure, match="the key is not accepted"):
        run.drain(run.upto(25, then=dg.Failure("the key is not accepted")))
    assert (run.stored, run.told) == (25, [("stopped", 25)])


def test_an_error_of_the_producer_beside_a_failed_commit_is_told_too(run: Run) -> None:
    failed = threading.Event()

    async def produce(emit: Emit[Answer]) -> None:
        try:
            await run.upto(25)(emit)
            raise dg.Failure("the key is not accepted")
        finally:
            failed.set()

    def fail() -> None:
        assert failed.wait(SOON)
        raise OSError(28, "No space left on device")

    run.in_merge = fail
    with pytest.raises(dg.Failure, match=r"No space left.*25 answers are kept"):
        run.drain(produce, capacity=100)
    assert run.in_spool == 25
    assert any("the key is not accepted" in text for text in run.log.lines)


def test_who_is_told_at_the_end_cannot_hide_an_interruption(run: Run) -> None:
    def fail() -> None:
        raise DatabaseBusy("in use by a notebook")

    run.at_the_end = fail
    run.in_merge = lambda: run.commits == 2 and send()
    with pytest.raises(Interrupted):
        run.drain(run.endless)
    assert run.stored >= run.emitted
    assert any("in use by a notebook" in text for text in run.log.lines)


def test_an_error_of_who_is_told_at_a_good_end_is_raised_and_everything_is_stored(run: Run) -> None:
    def fail() -> None:
        raise DatabaseBusy("in use by a notebook")

    run.at_the_end = fail
    with pytest.raises(DatabaseBusy):
        run.drain(run.upto(25))
    assert (run.stored, run.told) == (25, [("done", 25)])


# Items that cannot be merged


def poisoned(run: Run, *numbers: int) -> None:
    """Have the merge fail whenever one of these answers is among what is merged."""
    run.poison = set(numbers)


def test_an_answer_that_cannot_be_stored_is_quarantined_and_kept_aside_and_the_rest_goes_on(run: Run) -> None:
    poisoned(run, 17)
    run.drain(run.upto(95))
    assert run.told == [("done", 94)]
    assert (run.stored, run.logged, run.in_spool) == (94, 95, 0)
    with duckdb.connect(str(run.database.path), read_only=True) as connection:
        ((tmdb_id, reason, body),) = connection.execute("SELECT tmdb_id, reason, body FROM quarantine").fetchall()
    assert tmdb_id == 17
    assert reason == "could not be stored: no place for 17"
    assert "tt0000017" in body, "what was paid for is not lost"
    (aside,) = spool.spool_folder(run.database.path).glob("*.unusable")
    assert [item.tmdb_id for item in spool.read(aside)[1] if isinstance(item, Answer)] == [17]
    (note,) = run.watcher.notes
    assert "no place for 17" in note
    assert str(aside) in note


def test_where_nothing_can_be_merged_the_merging_is_at_fault_and_everything_is_kept(run: Run) -> None:
    poisoned(run, *range(100))
    with pytest.raises(dg.Failure, match="no place for"):
        run.drain(run.upto(40))
    assert (run.stored, run.logged) == (0, 0)
    assert run.in_spool >= run.emitted
    assert not list(spool.spool_folder(run.database.path).glob("*.unusable"))


def test_a_batch_that_does_not_fit_into_memory_is_committed_in_parts(run: Run) -> None:
    run.most = 3
    run.drain(run.upto(43))
    assert (run.stored, run.told, run.in_spool) == (43, [("done", 43)], 0)
    assert run.watcher.notes == []


@pytest.mark.usefixtures("nothing_frozen")
def test_while_a_stream_runs_garbage_is_looked_for_seldom(run: Run) -> None:
    left_out: list[bool] = []
    run.in_merge = lambda: left_out.append(gc.get_freeze_count() > 0)
    run.drain(run.upto(20))
    assert [*left_out, gc.get_freeze_count() > 0] == [True, True, False]


# The watch


def test_a_run_in_which_nothing_moves_is_told_in_its_log_and_to_whoever_watches(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "STALLED_AFTER", 0.0)
    monkeypatch.setattr(watch, "LOOKS_EVERY", 0.001)

    async def produce(emit: Emit[Answer]) -> None:
        await run.upto(10)(emit)
        await asyncio.to_thread(run.watcher.noted.wait, SOON)

    run.drain(produce)
    assert run.stored == 10
    assert "Nothing has arrived or been committed for 0 minutes" in run.watcher.notes[0]
    assert run.watcher.notes[0] in run.log.lines
