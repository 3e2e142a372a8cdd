"""Runs that a home keeps elsewhere than in its files, in Postgres say: asked for in time, or not told of.

A server may be down, slow or silent, and whoever asks draws a page. So each question has a thread of its own and is
waited for a few seconds. After one that was not answered nobody waits: it is asked again later, behind. Dagster, which
takes a second to load, is loaded with the first question. What a run is, is in `recorded`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ayne_dagster.runs.recorded import MOST_UNDER_WAY, OF_OURS, Run, RunsUnknown, instant, is_gone, reason_of
from ayne_dagster.settings.behind import begun

if TYPE_CHECKING:
    import dagster as dg

T = TypeVar("T")

LONGEST_SECONDS = 3.0
"""How long a page waits for an answer."""
KEPT_SECONDS = 1.5
"""How old an answer may be that is given again: however many pages are looked at, so often is the storage asked."""
AGAIN_SECONDS = 30.0
"""After an error, the storage is left alone for so long."""
LOST_SECONDS, MOST_LOST = 60.0, 4
"""A question that has gone on for so long is given up, and another one may be asked; unless so many have been."""
_EVENTS_LOOKED_AT = 10
_THREAD = "asking for runs"


class RunsInStorage:
    """The records of a home, by Dagster's own storage.

    Each question raises `RunsUnknown` where it has no answer in time.

    Args:
        home: whose `dagster.yaml` names the storage.
        longest_seconds: how long an answer is waited for.
        clock: seconds that pass.
    """

    def __init__(
        self,
        home: Path,
        longest_seconds: float = LONGEST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._asking = _Asking(home, longest_seconds, clock)
        self._reasons: dict[str, str | None] = {}

    def under_way(self) -> list[Run]:
        """The runs that have not ended, the oldest first."""
        return self._asking.answer("under way", self._under_way)

    def latest(self, limit: int) -> list[Run]:
        """The latest runs, the newest first."""
        return self._asking.answer(f"latest {limit}", lambda instance: self._runs(instance, limit))

    def failed(self, limit: int) -> list[tuple[Run, str | None]]:
        """The latest runs that failed, the newest first, each with its reason."""
        return self._asking.answer(f"failed {limit}", lambda instance: self._failed(instance, limit))

    def stamp(self) -> tuple[object, ...]:
        """Changes whenever a run begins, ends or goes on; costs what is under way."""
        return tuple((run.run_id, run.status) for run in self.under_way())

    def is_recorded(self) -> bool:
        """Whether any run is recorded."""
        return bool(self.latest(1))

    def close(self) -> None:
        """Let go of the storage."""
        self._asking.close()

    def _under_way(self, instance: dg.DagsterInstance) -> list[Run]:
        from ayne_dagster.runs.own_runs import UNFINISHED

        return self._runs(instance, MOST_UNDER_WAY, UNFINISHED)[::-1]

    def _failed(self, instance: dg.DagsterInstance, limit: int) -> list[tuple[Run, str | None]]:
        import dagster as dg

        found = self._runs(instance, limit, [dg.DagsterRunStatus.FAILURE])
        for run in found:
            # Kept one by one: where the storage is slow, the next question has less to ask.
            if run.run_id not in self._reasons:
                self._reasons[run.run_id] = _why_it_failed(instance, run.run_id)
        self._reasons = {run.run_id: self._reasons[run.run_id] for run in found}
        return [(run, self._reasons[run.run_id]) for run in found]

    def _runs(
        self, instance: dg.DagsterInstance, limit: int, statuses: list[dg.DagsterRunStatus] | None = None
    ) -> list[Run]:
        import dagster as dg

        records = instance.get_run_records(dg.RunsFilter(statuses=statuses), limit=limit)
        return [self._run(record) for record in records]

    def _run(self, record: dg.RunRecord) -> Run:
        run = record.dagster_run
        status, tags = run.status.value, {key: text for key, text in run.tags.items() if key.startswith(OF_OURS)}
        gone = is_gone(self._home, run.run_id, status, tags)
        started, ended = instant(record.start_time), instant(record.end_time)
        return Run(run.run_id, run.job_name, status, record.create_timestamp, started, ended, tags, gone)


def _why_it_failed(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """The reason of the first step that failed, as its log has it; None where it does not say."""
    import dagster as dg

    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    found = instance.get_records_for_run(run_id, of_type=kinds, limit=_EVENTS_LOOKED_AT).records
    entries = [record.event_log_entry for record in found]
    entries.sort(key=lambda entry: entry.dagster_event_type is not dg.DagsterEventType.STEP_FAILURE)
    reasons = (reason_of(dg.serialize_value(entry)) for entry in entries)
    return next((reason for reason in reasons if reason), None)


@dataclass(frozen=True)
class _Question:
    """A question that is under way."""

    name: str
    since: float
    outcome: Future[tuple[dg.DagsterInstance, Any]]


class _Asking:
    """Puts questions to the storage of a home, one at a time, and keeps their answers for a moment.

    What comes of a question is taken in by whoever asks next: threads of questions change nothing here.
    """

    def __init__(self, home: Path, longest_seconds: float, clock: Callable[[], float]) -> None:
        self._home, self._longest, self._clock = home, longest_seconds, clock
        self._lock = threading.Lock()
        self._instance: dg.DagsterInstance | None = None
        self._question: _Question | None = None
        self._lost: list[Future[Any]] = []
        self._kept: dict[str, tuple[float, Any]] = {}
        self._trouble = ""
        self._again_at = 0.0

    def answer(self, name: str, question: Callable[[dg.DagsterInstance], T]) -> T:
        """What the storage answers, now or a moment ago.

        Args:
            name: what tells the question from others.
            question: what to ask.

        Raises:
            RunsUnknown: it has not answered in time, or with an error; told before without asking.
        """
        with self._lock:
            self._take_in()
            if self._trouble:
                if self._question is None and self._clock() >= self._again_at:
                    self._begin(name, question)
            elif not self._is_fresh(name):
                outcome = self._begin(name, question)
                if outcome not in wait((outcome,), self._longest).done:
                    self._trouble = self._told_of_silence()
                self._take_in()
            if self._trouble:
                raise RunsUnknown(f"What runs is not known: {self._trouble}")
            found: T = self._kept[name][1]
            return found

    def close(self) -> None:
        """Let go of the storage; a question that is still under way is left alone."""
        with self._lock:
            self._take_in()
            self._let_go()

    def _is_fresh(self, name: str) -> bool:
        return name in self._kept and self._clock() - self._kept[name][0] < KEPT_SECONDS

    def _begin(
        self, name: str, question: Callable[[dg.DagsterInstance], Any]
    ) -> Future[tuple[dg.DagsterInstance, Any]]:
        import dagster as dg  # here, where its second is no server's

        logging.getLogger().addFilter(_is_told)
        opened, home = self._instance, self._home

        def work() -> tuple[dg.DagsterInstance, Any]:
            instance = opened or dg.DagsterInstance.from_config(str(home))
            return instance, question(instance)

        self._question = _Question(name, self._clock(), begun(work, _THREAD))
        return self._question.outcome

    def _take_in(self) -> None:
        """Look at what has become of the question that is under way."""
        question = self._question
        if question is None:
            return
        self._lost = [lost for lost in self._lost if not lost.done()]
        if not question.outcome.done():
            if self._clock() - question.since >= LOST_SECONDS and len(self._lost) < MOST_LOST:
                self._lost.append(question.outcome)
                self._question = self._instance = None
            return
        self._question = None
        error = question.outcome.exception()
        if error is None:
            self._instance, answer = question.outcome.result()
            self._kept[question.name] = (self._clock(), answer)
            self._trouble = ""
        else:
            self._let_go()
            self._kept.clear()
            self._trouble = self._told_of(error)
            self._again_at = self._clock() + AGAIN_SECONDS

    def _let_go(self) -> None:
        instance, self._instance = self._instance, None
        if instance is not None:
            with suppress(Exception):
                instance.dispose()

    def _told_of(self, error: BaseException) -> str:
        """What an error means, without what a driver says: that may hold a password."""
        from ayne_dagster.runs.instance import fault_of

        fault = fault_of(self._home, error)
        what = fault.what.replace("The ", "the ", 1) if fault.what.startswith("The ") else fault.what
        return f"{what}. {fault.do}"

    def _told_of_silence(self) -> str:
        file = self._home / "dagster.yaml"
        return f"Dagster's storage, which {file} names, has not answered within {self._longest:g} seconds."


def _is_told(record: logging.LogRecord) -> bool:
    """Whether what is logged goes on to a terminal: not that a server is tried again and again, which a page says."""
    return record.threadName != _THREAD
