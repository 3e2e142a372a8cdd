"""Dagster's records of runs, read where its home keeps them: SQLite files. Starts no Dagster, and changes nothing.

Opening a Dagster instance takes seconds; what is asked here is three columns of a table. A home whose storage is
elsewhere (Postgres, say) has no such file: then nothing is told of runs, and Dagster's own UI shows them.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ayne_dagster.config import Settings
from ayne_dagster.settings.locks import is_held
from ayne_dagster.settings.places import HOME, companion, expanded
from ayne_dagster.settings.tags import LAUNCHED_RUN_TAG, OWN_RUN_TAG

UNFINISHED = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
REASONS_TAG = "ayne/reasons"
_JOBS = {
    "refresh_movies": "Refreshing movies",
    "discover_movies": "Discovering movies",
    "read_change_feed": "Reading TMDB's change feed",
    "read_daily_files": "Reading daily files",
    "__ASSET_JOB": "Materializing assets",
}
_STATES = {
    "QUEUED": "waits in the queue",
    "NOT_STARTED": "is about to start",
    "STARTING": "is starting",
    "STARTED": "runs",
    "CANCELING": "is being stopped",
    "SUCCESS": "succeeded",
    "FAILURE": "failed",
    "CANCELED": "was stopped",
}
_LOCK_NAME = re.compile("[0-9a-f]{32}")
_LONGEST_REASON = 600


@dataclass(frozen=True)
class Run:
    """A run as Dagster has recorded it."""

    run_id: str
    job: str
    status: str
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    tags: dict[str, str]
    is_gone: bool = False
    """Whether it is unfinished, and the process that executed it is gone."""

    @property
    def title(self) -> str:
        """What it does, in words."""
        return _JOBS.get(self.job, self.job)

    @property
    def state(self) -> str:
        """How it stands, in words."""
        return "was cut off: its process is gone" if self.is_gone else _STATES.get(self.status, self.status.lower())

    @property
    def planned(self) -> dict[str, int]:
        """By source: how many movies it was to ask for; empty where its tags do not say.

        Example:
            >>> tags = {REASONS_TAG: "tmdb: 3 never_fetched, 4 index; omdb: none due"}
            >>> Run("", "", "", None, None, None, tags).planned
            {'tmdb': 7, 'omdb': 0}
        """
        parts = [part.partition(":") for part in self.tags.get(REASONS_TAG, "").split(";") if ":" in part]
        return {source.strip(): sum(map(int, re.findall(r"\b(\d+) [a-z]", text))) for source, _, text in parts}


def home_of(settings: Settings) -> Path:
    """Where the Dagster home of a database is; nothing is made or moved by looking."""
    given = settings.dagster_home or os.environ.get("DAGSTER_HOME", "").strip()
    return Path(os.path.realpath(expanded(str(given)))) if given else companion(settings.database, HOME)


def under_way(home: Path) -> list[Run]:
    """The runs that have not ended, the oldest first; none where nothing is recorded here."""
    marks = ", ".join("?" * len(UNFINISHED))
    return _runs(home, f"WHERE status IN ({marks}) ORDER BY id DESC LIMIT 20", UNFINISHED)[::-1]


def latest(home: Path, limit: int) -> list[Run]:
    """The latest runs, the newest first."""
    return _runs(home, "ORDER BY id DESC LIMIT ?", (limit,))


def failed(home: Path, limit: int) -> list[Run]:
    """The latest runs that failed, the newest first."""
    return _runs(home, "WHERE status = 'FAILURE' ORDER BY id DESC LIMIT ?", (limit,))


def stamp(home: Path) -> tuple[int, ...]:
    """Changes whenever a run begins, ends or goes on; two looks at files."""
    found = []
    for file in (_storage(home), _storage(home).with_name("runs.db-wal")):
        with suppress(OSError):
            status = file.stat()
            found += [status.st_size, status.st_mtime_ns]
    return tuple(found)


def is_recorded(home: Path) -> bool:
    """Whether runs are recorded in this home, and in files."""
    return _storage(home).is_file()


def why_it_failed(home: Path, run_id: str) -> str | None:
    """The reason of the first step that failed, as its log has it; None where it does not say."""
    file = home / "history" / "runs" / f"{Path(run_id).name}.db"
    query = (
        "SELECT event FROM event_logs WHERE dagster_event_type IN ('STEP_FAILURE', 'PIPELINE_FAILURE', 'RUN_FAILURE')"
        " ORDER BY CASE dagster_event_type WHEN 'STEP_FAILURE' THEN 0 ELSE 1 END, id LIMIT 3"
    )
    reasons = (_reason(row[0]) for row in _asked(file, query, ()))
    return next((reason for reason in reasons if reason), None)


def _reason(event: str) -> str | None:
    """What a person should know of an event of failure: a description where somebody gave one, else the root error."""
    try:
        told = json.loads(event)["dagster_event"]
        data = told.get("event_specific_data") or {}
        given = (data.get("user_failure_data") or {}).get("description")
        error = data.get("error")
        while error and error.get("cause"):
            error = error["cause"]
        text = given or (error or {}).get("message") or told.get("message") or ""
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    shown = re.sub(r"^[\w.]+(?:Error|Exception|Failed|Failure|Busy|Unusable): ", "", str(text).strip())
    return shown[:_LONGEST_REASON] or None


def _runs(home: Path, which: str, bound: tuple[Any, ...]) -> list[Run]:
    columns = "run_id, pipeline_name, status, create_timestamp, start_time, end_time"
    rows = list(_asked(_storage(home), f"SELECT {columns} FROM runs {which}", bound))
    tags: dict[str, dict[str, str]] = {}
    marks = ", ".join("?" * len(rows))
    ids = tuple(row[0] for row in rows)
    for run_id, key, value in _asked(
        _storage(home), f"SELECT run_id, key, value FROM run_tags WHERE run_id IN ({marks}) AND key LIKE 'ayne/%'", ids
    ):
        tags.setdefault(run_id, {})[key] = value or ""
    return [_run(home, row, tags.get(row[0], {})) for row in rows]


def _run(home: Path, row: tuple[Any, ...], tags: dict[str, str]) -> Run:
    run_id, job, status, created, started, ended = row
    begun = datetime.fromisoformat(created).replace(tzinfo=UTC) if isinstance(created, str) else None
    launched = tags.get(LAUNCHED_RUN_TAG, "")
    # One that is executed again has the tags of the former one, too.
    is_of_this = launched.endswith(f"/{str(run_id).replace('-', '')}")
    gone = status in UNFINISHED and _has_gone(home, launched if is_of_this else tags.get(OWN_RUN_TAG, ""))
    return Run(str(run_id), str(job), str(status), begun, _instant(started), _instant(ended), tags, gone)


def _has_gone(home: Path, tag: str) -> bool:
    """Whether the lock that a run holds while it lives is free; False where none is known of here."""
    name = tag.partition("/")[2]
    try:
        ours = (home / "own_runs" / "home").read_text()
    except OSError:
        return False
    if not _LOCK_NAME.fullmatch(name) or tag.partition("/")[0] != ours:
        return False
    with suppress(OSError):
        return not is_held(home / "own_runs" / name)
    return False


def _storage(home: Path) -> Path:
    return home / "history" / "runs.db"


def _asked(file: Path, query: str, bound: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The rows of a question; none where the file is missing, held or damaged: `ayne doctor` tells of that."""
    if not file.is_file():
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=0.5)) as found:
        yield from found.execute(query, bound).fetchall()


def _instant(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
