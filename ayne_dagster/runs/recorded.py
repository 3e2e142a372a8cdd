"""A run as Dagster has recorded it, in values and in words, wherever it is kept. Imports no Dagster, asks nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ayne_dagster.errors import OneLineError
from ayne_dagster.settings.locks import is_held
from ayne_dagster.settings.tags import LAUNCHED_RUN_TAG, OWN_RUN_TAG, REASONS_TAG

UNFINISHED = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
MOST_UNDER_WAY = 20
"""Runs that are shown as under way."""
OF_OURS = "ayne/"
"""How the tags begin that a run is shown by."""
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
    """A run, and how it stands."""

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


class RunsUnknown(OneLineError):
    """What runs, and what has run, cannot be told now."""


def is_gone(home: Path, run_id: str, status: str, tags: Mapping[str, str]) -> bool:
    """Whether a run is unfinished, and the lock that it holds in a home while it lives is free.

    False where none is known of here: another machine's, or one that all machines share.
    """
    launched = tags.get(LAUNCHED_RUN_TAG, "")
    # One that is executed again has the tags of the former one, too.
    is_of_this = launched.endswith(f"/{run_id.replace('-', '')}")
    where, _, name = (launched if is_of_this else tags.get(OWN_RUN_TAG, "")).partition("/")
    if status not in UNFINISHED or not _LOCK_NAME.fullmatch(name):
        return False
    with suppress(OSError):
        return where == (home / "own_runs" / "home").read_text() and not is_held(home / "own_runs" / name)
    return False


def reason_of(event: str) -> str | None:
    """What a person should know of an event of failure: a description where somebody gave one, else the root error.

    Args:
        event: as Dagster keeps it, JSON.
    """
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


def instant(seconds: float | None) -> datetime | None:
    """When that is which Dagster keeps in seconds of the epoch."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
