"""Health: what `ayne doctor` and `ayne check` say, runs that failed and what to do, and how large the files are.

Verifying reads every row, so it is done in a copy of its own, behind, and not more often than every ten minutes. What
examines the machine is handed in: it needs Dagster, which is loaded when this page is asked for, and not before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ayne_dagster.config import Settings
from ayne_dagster.dashboard import running
from ayne_dagster.errors import OneLineError
from ayne_dagster.warehouse.care.integrity import Report, check_database
from ayne_dagster.warehouse.file_sizes import OnDisk, on_disk
from ayne_dagster.warehouse.following import Following

FAILED_RUNS = 10
KEPT_SECONDS, VERIFIED_SECONDS = 30.0, 600.0


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
    """

    def __init__(self, settings: Settings, copy: Following, examine: Examine) -> None:
        self._settings, self._replica, self._examine = settings, copy, examine
        self._lines: Sequence[Line] = ()
        self._examined_at = -KEPT_SECONDS
        self._verified: Verified | None = None
        self._verified_at = -VERIFIED_SECONDS
        self._verified_stamp: object = None
        self._lock = threading.Lock()
        self._behind = ThreadPoolExecutor(1, "verification")
        self._is_verifying = False

    def lines(self) -> Sequence[Line]:
        """What the doctor says, at most half a minute old."""
        with self._lock:
            if time.monotonic() - self._examined_at >= KEPT_SECONDS:
                self._lines = tuple(self._examine())
                self._examined_at = time.monotonic()
            return self._lines

    def verified(self) -> tuple[Verified | None, bool]:
        """What the last verification found, and whether one goes on; one is begun where it is time."""
        with self._lock:
            is_due = time.monotonic() - self._verified_at >= VERIFIED_SECONDS
            if is_due and not self._is_verifying and self._replica.newest != self._verified_stamp:
                self._is_verifying = True
                self._behind.submit(self._verify)
            return self._verified, self._is_verifying

    def failed_runs(self) -> list[tuple[running.Run, str | None]]:
        """The latest runs that failed, with the reason."""
        home = running.home_of(self._settings)
        return [(run, running.why_it_failed(home, run.run_id)) for run in running.failed(home, FAILED_RUNS)]

    def files(self) -> list[OnDisk]:
        """What lies on the disk."""
        lake = self._settings.lake
        return on_disk(self._settings.database, [running.home_of(self._settings)], lake.data if lake else None)

    def close(self) -> None:
        """Wait for what goes on."""
        self._behind.shutdown(wait=True, cancel_futures=True)

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
