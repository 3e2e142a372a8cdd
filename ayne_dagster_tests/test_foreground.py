"""Ending work from where somebody waits for it: Ctrl-C, cancellation, a second time, the end of the interpreter."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

import dagster as dg
import pytest

from ayne_dagster import cli
from ayne_dagster.collecting.stopping import Interrupted, Stop, pause, stopping
from ayne_dagster.runs import foreground
from ayne_dagster.runs.foreground import Foreground
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.lease import lease
from ayne_dagster_tests.support.processes import Ayne, ended, number_asked, wait_until
from proofs.killing import delivered, no_orphans, one_truth

SOON = 20.0
APART = foreground.BOUNCE_SECONDS * 5
"""Seconds between two signals to another process, which a busy machine may let have them late."""


class Worker:
    """Work that listens to no wish, but notes how often one came; it ends when it may."""

    def __init__(self, *, sealed: bool = False) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.wishes = 0
        self._sealed = sealed

    def __call__(self) -> str:
        with stopping().told(self._count):
            self.begun.set()
            if not self._sealed:
                assert self.may_end.wait(SOON)
                return "done"
            with stopping().seal():
                assert self.may_end.wait(SOON)
        return "done"

    def heard(self, wishes: int) -> Callable[[], object]:
        """Wait until so many wishes came."""

        def wait() -> None:
            deadline = time.monotonic() + SOON
            while self.wishes < wishes and time.monotonic() < deadline:
                time.sleep(0.002)

        return wait

    def _count(self) -> None:
        self.wishes += 1


def obedient(begun: threading.Event) -> None:
    begun.set()
    while True:
        pause(SOON)


def once(begun: threading.Event, *acts: Callable[[], object]) -> None:
    """Do something in another thread once work has begun, one after the other."""

    def act() -> None:
        assert begun.wait(SOON)
        for one in acts:
            one()

    threading.Thread(target=act, daemon=True).start()


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def _handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A suite that runs in the background has SIGINT ignored. Two signals are two wishes, however soon they come."""
    monkeypatch.setattr(foreground, "BOUNCE_SECONDS", 0.0)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_result_and_the_error_of_the_work_are_those_of_the_call() -> None:
    variable: ContextVar[str] = ContextVar("variable")
    variable.set("the caller's")
    assert Foreground(variable.get).result() == "the caller's"
    with pytest.raises(ZeroDivisionError):
        Foreground(lambda: 1 // 0).result()

    async def both() -> str:
        with pytest.raises(ZeroDivisionError):
            await Foreground(lambda: 1 // 0).result_async()
        return await Foreground(lambda: "done").result_async()

    assert asyncio.run(both()) == "done"


def test_a_process_that_the_work_starts_leaves_ctrl_c_to_the_command() -> None:
    told_by_the_terminal = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('goes on')"
    child = Foreground(
        lambda: subprocess.run(
            [sys.executable, "-c", told_by_the_terminal], capture_output=True, text=True, check=False
        )
    ).result()
    assert (child.stdout, child.stderr) == ("goes on\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_pause_and_the_handlers_are_as_before(number: signal.Signals) -> None:
    begun = threading.Event()
    before = signal.getsignal(number)
    once(begun, lambda: os.kill(os.getpid(), number))
    with pytest.raises(Interrupted):
        Foreground(lambda: obedient(begun)).result()
    assert signal.getsignal(number) is before


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker()
    once(worker.begun, interrupt, worker.may_end.set)
    assert Foreground(worker).result() == "done"
    assert worker.wishes == 0


def test_work_that_commits_is_waited_for_and_a_second_signal_is_passed_on() -> None:
    worker = Worker(sealed=True)
    once(worker.begun, interrupt, worker.heard(1), interrupt, worker.heard(2), worker.may_end.set)
    assert Foreground(worker).result() == "done"
    assert worker.wishes == 2


def test_two_signals_in_one_moment_are_one_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreground, "BOUNCE_SECONDS", SOON)
    worker = Worker(sealed=True)
    handled: list[int] = []
    wish = Foreground._wish

    def noted(self: Foreground[str]) -> None:
        wish(self)
        handled.append(1)

    monkeypatch.setattr(Foreground, "_wish", noted)

    def until_both_are_handled() -> None:
        deadline = time.monotonic() + SOON
        while len(handled) < 2 and time.monotonic() < deadline:
            time.sleep(0.002)

    once(worker.begun, interrupt, worker.heard(1), interrupt, until_both_are_handled, worker.may_end.set)
    Foreground(worker).result()
    assert (len(handled), worker.wishes) == (2, 1)


def test_work_that_does_not_end_is_left_alone_and_at_the_third_signal_whatever_it_is_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deaf = Worker()
    with monkeypatch.context() as patch:
        patch.setattr(foreground, "LEFT_AFTER", {1: 0.0, 2: 0.0})
        once(deaf.begun, interrupt)
        with pytest.raises(Interrupted):
            Foreground(deaf).result()
    deaf.may_end.set()
    committing = Worker(sealed=True)
    once(committing.begun, interrupt, committing.heard(1), interrupt, committing.heard(2), interrupt)
    with pytest.raises(Interrupted):
        Foreground(committing).result()
    committing.may_end.set()


def test_whoever_notes_the_end_is_told_once_also_where_the_work_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreground, "LEFT_AFTER", {1: 0.0})
    told: list[str] = []
    worker = Worker()

    def work() -> None:
        with stopping().told_of_the_end(lambda: told.append("ends")):
            worker()
            stopping().check()

    once(worker.begun, interrupt)
    with pytest.raises(Interrupted):
        Foreground(work).result()
    assert told == ["ends"]
    worker.may_end.set()


def test_a_cancelled_coroutine_has_the_work_end_first_and_a_second_cancellation_is_passed_on() -> None:
    worker = Worker(sealed=True)

    async def cancelled_twice() -> None:
        task = asyncio.ensure_future(Foreground(worker).result_async())
        await asyncio.to_thread(worker.begun.wait)
        for wishes in (1, 2):
            task.cancel()
            await asyncio.to_thread(worker.heard(wishes))
        assert not task.done(), "it commits"
        worker.may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled_twice())
    assert worker.wishes == 2


def test_a_timeout_around_the_coroutine_ends_it() -> None:
    begun = threading.Event()

    async def limited() -> None:
        async with asyncio.timeout(0.05):
            await Foreground(lambda: obedient(begun)).result_async()

    with pytest.raises(TimeoutError):
        asyncio.run(limited())


def test_a_wish_that_came_before_is_told_to_who_listens_later() -> None:
    stop = Stop()
    stop.request()
    heard: list[int] = []
    with stop.told(lambda: heard.append(1)):
        assert heard == [1]
    with pytest.raises(Interrupted):
        stop.check()


def test_a_wait_for_a_lease_ends_with_a_wish(tmp_path: Path) -> None:
    database = tmp_path / "movies.duckdb"
    waits = threading.Event()

    def wait_for_it() -> None:
        with lease(database, "tmdb", lambda _: waits.set(), sleep=pause):
            pass

    with lease(database, "tmdb", lambda _: None):
        once(waits, interrupt)
        with pytest.raises(Interrupted):
            Foreground(wait_for_it).result()


# Whole processes


LATENCY = 0.1
COLLECT = "discover_start_year=2024, discover_end_year=2026, refresh_limit=1000, min_votes=0"
AWAITED = f"""
import asyncio
from ayne_dagster import DataCollectionOrchestrator
asyncio.run(DataCollectionOrchestrator().run_full_collection({COLLECT}))
"""
RUNNING_LOOP = f"""
import asyncio
from ayne_dagster import DataCollectionOrchestrator
loop = asyncio.new_event_loop()  # without asyncio.run, which turns Ctrl-C into a cancellation
loop.run_until_complete(DataCollectionOrchestrator().run_full_collection({COLLECT}))
"""
BLOCKING = """
from ayne_dagster.orchestrator import DataCollectionOrchestrator, DiscoveryPlan
DataCollectionOrchestrator().collect(DiscoveryPlan(2024, 2026, None, 0), refresh_limit=1000)
"""
IN_A_THREAD = """
import threading
from ayne_dagster.orchestrator import DataCollectionOrchestrator, DiscoveryPlan
collect = lambda: DataCollectionOrchestrator().collect(DiscoveryPlan(2024, 2026, None, 0), refresh_limit=1000)
threading.Thread(target=collect).start()
threading.Event().wait()
"""
PROGRAMS = {
    "asyncio.run": AWAITED, "a loop of one's own": RUNNING_LOOP, "blocking": BLOCKING, "in a thread": IN_A_THREAD
}  # fmt: skip


@pytest.fixture(scope="module")
def slow() -> Iterator[StandIn]:
    with StandIn(2000, oddities=0, latency_seconds=LATENCY) as standin:
        yield standin


@pytest.mark.end_to_end
@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_ends_a_collection_from_python_and_everything_that_arrived_is_kept(
    tmp_path: Path, slow: StandIn, program: str
) -> None:
    slow.clear_log()
    # So slow that it would go on for long.
    command = Ayne(tmp_path).asking(slow, AYNE_TMDB_MAX_CONCURRENT="2")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAMS[program]],
        env=command.environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        wait_until(lambda: number_asked(slow, "details") >= 20, process)
        at = time.time()
        process.send_signal(signal.SIGINT)
        result = ended(process)
    finally:
        process.kill()
    assert result.code != 0
    assert number_asked(slow, "details") < command.column("SELECT count(*) FROM discovered_movies")[0], "it went on"
    arrived = {int(entry["id"]) for entry in delivered(slow, "details", at - 0.25, LATENCY)}
    assert arrived <= one_truth(command, "tmdb")
    no_orphans(command)
    (run, *_) = command.runs("refresh_movies")
    assert run.status is dg.DagsterRunStatus.CANCELED


@pytest.mark.end_to_end
@pytest.mark.timeout(300)
def test_a_second_ctrl_c_does_not_wait_for_what_is_on_its_way(tmp_path: Path) -> None:
    with StandIn(500, oddities=0) as standin:
        command = Ayne(tmp_path).asking(standin)
        assert command.call("collect", "--start-year", "2025", "--refresh-limit", "0", "--min-votes", "0").code == 0
    with StandIn(500, oddities=0, latency_seconds=60) as never:
        command = command.asking(never)
        with command.running("collect", "--refresh-only") as process:
            wait_until(lambda: never.max_in_flight().get("tmdb", 0) > 0, process)
            process.send_signal(signal.SIGINT)
            time.sleep(APART)  # a terminal would do the same
            process.send_signal(signal.SIGINT)
            result = ended(process)
    assert result.code == cli.INTERRUPTED
    assert "Traceback" not in result.err
    (run, *_) = command.runs("refresh_movies")
    assert run.status is dg.DagsterRunStatus.CANCELED
