"""Health: what `ayne doctor` and `ayne check` say, runs that failed and what to do, and how large the files are.

Verifying reads every row, so it is done in a copy of its own, behind, and not more often than every ten minutes. What
examines the machine is handed in: it needs Dagster, which is loaded when this page is asked for, and not before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from ayne_dagster.config import Settings
from ayne_dagster.dashboard import running
from ayne_dagster.dashboard.charts import Chart, Series
from ayne_dagster.dashboard.pages import Asked
from ayne_dagster.errors import OneLineError
from ayne_dagster.settings.places import HOME, LEDGER, SPOOL, companion
from ayne_dagster.warehouse.care.integrity import Report, check_database
from ayne_dagster.warehouse.database import log_of
from ayne_dagster.warehouse.following import Following

FAILED_RUNS = 10
KEPT_SECONDS, VERIFIED_SECONDS = 30.0, 600.0
GROWTH_ROWS = 400


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

    def files(self) -> list[tuple[str, Path, int]]:
        """What lies on the disk: name, path, bytes; nothing of what is not there."""
        path = self._settings.database
        named = [
            ("Database", path),
            ("Its log of commits", log_of(path)),
            ("Request ledger", companion(path, LEDGER)),
            ("Spool", companion(path, SPOOL)),
            ("Dagster's runs and logs", running.home_of(self._settings)),
            ("Dagster's runs and logs", companion(path, HOME)),
        ]
        found = {file: (name, file, _size(file)) for name, file in named if file.exists()}
        return list(found.values())

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


def growth(asked: Asked) -> Chart:
    """How many movies were known at each observation."""
    rows = asked.rows(
        "SELECT observed_at, total_movies, with_tmdb, with_omdb FROM collection_status WHERE observed_at <= $now"
        f" ORDER BY observed_at DESC LIMIT {GROWTH_ROWS}"
    )[::-1]
    told = "Nothing has been counted yet."
    if rows:
        first, last = rows[0], rows[-1]
        told = (
            f"{first['total_movies']:,} movies on {first['observed_at']:%Y-%m-%d}, {last['total_movies']:,} on"
            f" {last['observed_at']:%Y-%m-%d}."
        )
    return Chart(
        "Growth of the collection",
        told,
        "lines",
        [int(row["observed_at"].replace(tzinfo=UTC).timestamp()) for row in rows],
        [
            Series("movies", [row["total_movies"] for row in rows], "plain"),
            Series("with details", [row["with_tmdb"] for row in rows], "tmdb"),
            Series("with ratings", [row["with_omdb"] for row in rows], "omdb"),
        ],
        ("Counted", "Movies", "With details", "With ratings"),
        [(f"{r['observed_at']:%Y-%m-%d %H:%M}", r["total_movies"], r["with_tmdb"], r["with_omdb"]) for r in rows[::-1]],
        time=True,
    )


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


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    total = 0
    for file in path.rglob("*"):
        with suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total
