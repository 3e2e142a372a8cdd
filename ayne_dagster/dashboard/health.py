"""Health: what `ayne doctor` and `ayne check` say, runs that failed and what to do, and how large the files are.

Verifying reads every row, so it is done in a copy of its own, behind, and not more often than every ten minutes. What
examines the machine is handed in: it needs Dagster, which takes longer to load than a page may take. So it is begun
behind, once the pages that people open first are put together.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ayne_dagster.config import Settings
from ayne_dagster.dashboard.running import RunRecords
from ayne_dagster.errors import OneLineError
from ayne_dagster.runs.recorded import RunsUnknown
from ayne_dagster.settings.behind import begun
from ayne_dagster.settings.places import home_seen
from ayne_dagster.warehouse.care.integrity import Report, check_database
from ayne_dagster.warehouse.file_sizes import OnDisk, on_disk
from ayne_dagster.warehouse.following import Following

FAILED_RUNS = 10
KEPT_SECONDS, VERIFIED_SECONDS = 30.0, 600.0
WAITED_SECONDS, HELD_UP_SECONDS = 0.5, 5.0
"""How long the page waits for what examines the machine, and from when on something is said to hold that up."""


class Line(Protocol):
    """What is said about one thing that a collection needs."""

    @property
    def name(self) -> str:
        """The thing."""

    @property
    def state(self) -> str:
        """ok, warning or wrong."""

    @property
    def text(self) -> str:
        """What is found."""

    @property
    def do(self) -> str:
        """What to do; empty where nothing is."""


Examine = Callable[[], Sequence[Line]]


@dataclass(frozen=True)
class Note:
    """A line of the page's own."""

    name: str
    state: str
    text: str
    do: str


BEING_LOOKED_AT = Note("machine", "warning", "is being looked at now", "Reload in a moment.")
HELD_UP = Note("machine", "warning", "is still being looked at: something does not answer", "Reload in a while.")


@dataclass(frozen=True)
class Verified:
    """What a verification of the database found."""

    report: Report | None
    at: datetime
    took: float
    trouble: str = ""
    """Why it could not be verified."""


class Health:
    """Keeps what was examined and verified for a while.

    Args:
        settings: of what.
        copy: of the database.
        examine: looks at the machine, asking nothing over the network.
        records: whom to ask for runs.
    """

    def __init__(self, settings: Settings, copy: Following, examine: Examine, records: RunRecords) -> None:
        self._settings, self._replica, self._examine, self._records = settings, copy, examine, records
        self._lines: Sequence[Line] = ()
        self._examined_at = -KEPT_SECONDS
        self._examination: tuple[float, Future[tuple[float, Sequence[Line]]]] | None = None
        self._verified: Verified | None = None
        self._verified_at = -VERIFIED_SECONDS
        self._verified_stamp: object = None
        self._lock = threading.Lock()
        self._behind = ThreadPoolExecutor(1, "verification")
        self._is_verifying = False

    def begin(self) -> None:
        """Look at the machine behind, unless that was done a moment ago, or goes on."""
        with self._lock:
            self._take()
            if self._examination is None and time.monotonic() - self._examined_at >= KEPT_SECONDS:
                self._examination = time.monotonic(), begun(self._look, "examination")

    def lines(self) -> Sequence[Line]:
        """What the doctor says, at most half a minute old; where its look takes long, that, and what it said last."""
        self.begin()
        if (under_way := self._examination) is not None:
            wait((under_way[1],), WAITED_SECONDS)
        with self._lock:
            self._take()
            if self._examination is None:
                return self._lines
            is_held_up = time.monotonic() - self._examination[0] >= HELD_UP_SECONDS
            return HELD_UP if is_held_up else BEING_LOOKED_AT, *self._lines

    def verified(self) -> tuple[Verified | None, bool]:
        """What the last verification found, and whether one goes on; one is begun where it is time."""
        with self._lock:
            is_due = time.monotonic() - self._verified_at >= VERIFIED_SECONDS
            if is_due and not self._is_verifying and self._replica.newest != self._verified_stamp:
                self._is_verifying = True
                self._behind.submit(self._verify)
            return self._verified, self._is_verifying

    def runs(self) -> dict[str, Any]:
        """The latest runs that failed, with the reason and what to do; or why nothing is known of runs."""
        try:
            failed = self._records.failed(FAILED_RUNS)
            is_recorded, trouble = bool(failed) or self._records.is_recorded(), ""
        except RunsUnknown as error:
            failed, is_recorded, trouble = [], False, str(error)
        told = [(run, why, what_to_do(why)) for run, why in failed]
        return {"failed": told, "is_recorded": is_recorded, "runs_trouble": trouble}

    def files(self) -> list[OnDisk]:
        """What lies on the disk."""
        home, lake = home_seen(self._settings.database, self._settings.dagster_home), self._settings.lake
        return on_disk(self._settings.database, [home], lake.data if lake else None)

    def close(self) -> None:
        """Wait for what goes on."""
        self._behind.shutdown(wait=True, cancel_futures=True)

    def _look(self) -> tuple[float, Sequence[Line]]:
        """What is found, and when: it may be long before somebody asks."""
        lines = tuple(self._examine())
        return time.monotonic(), lines

    def _take(self) -> None:
        """Take over what a look has found."""
        if self._examination is not None and self._examination[1].done():
            outcome, self._examination = self._examination[1], None
            self._examined_at, self._lines = outcome.result()

    def _verify(self) -> None:
        started, stamp = time.monotonic(), self._replica.newest
        now = self._settings.now()
        try:
            with self._replica.apart() as store:
                report = check_database(store, now)
            found = Verified(report, now, time.monotonic() - started)
        except (OneLineError, OSError) as error:
            found = Verified(None, now, time.monotonic() - started, str(error))
        finally:
            with self._lock:
                self._is_verifying = False
        with self._lock:
            self._verified, self._verified_at, self._verified_stamp = found, time.monotonic(), stamp


def what_to_do(reason: str | None) -> str:
    """What a person does about a run that failed, by the reason that it gave."""
    told = (reason or "").lower()
    if "key" in told and ("reject" in told or "invalid" in told or "no " in told):
        return "Set the key right, then collect again: what was due is still due."
    if "in use by" in told or "lock" in told:
        return "Close the program that keeps the database open; the next run takes up what is left."
    if "gone" in told or "killed" in told:
        return "Nothing is lost: the next run merges what had arrived, and asks for the rest."
    if "disk" in told or "space" in told:
        return "Free disk space, then run `ayne check`."
    return "What had arrived is kept, and the rest is still due: collect again. Its log is in Dagster's UI."
