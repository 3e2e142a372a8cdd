"""Runs that a command executes itself: marked while they run, and closed when their process is gone. And how any run
ends that was interrupted: it is canceled, and nothing has failed.

Dagster watches the runs that it launches, not these: a `kill -9` would leave such a run "started" for ever, its pool
slot taken, and both the sensor and the next command waiting for it. A process id tells too little: it is given out
again, it outlives the process until the parent asks, and in another container it means somebody else. So a run holds a
lock on a file of its own in the Dagster home, which the operating system lets go of when the process ends, however. Of
a store that machines share it is a lock at the server.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import dagster as dg

from ayne_dagster.errors import OneLineError
from ayne_dagster.settings.locks import holding, is_held
from ayne_dagster.settings.tags import OWN_RUN_TAG, is_own_run
from ayne_dagster.warehouse.store import SharedLocks

_LOCK_NAME = re.compile("[0-9a-f]{32}")

_SHARED = "shared"
"""In place of a Dagster home in the tag of a run whose lock all machines share."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
GONE = "The process that executed this run is gone (killed, or its machine was switched off); what had arrived is kept."


@contextmanager
def own_run(instance: dg.DagsterInstance, locks: SharedLocks | None = None) -> Iterator[dict[str, str]]:
    """The tag of a run that this process executes, alive for the length of the block.

    Args:
        instance: where it is recorded.
        locks: of a store that machines share: then each of them can tell that the process is gone.
    """
    name = uuid.uuid4().hex
    if locks is not None:
        locks.try_lock(_lock_of(name))
        try:
            yield {OWN_RUN_TAG: f"{_SHARED}/{name}"}
        finally:
            locks.unlock(_lock_of(name))
        return
    folder = _folder(instance)
    path = folder / name
    with holding(path):
        try:
            yield {OWN_RUN_TAG: f"{_home_id(folder)}/{name}"}
        finally:
            path.unlink(missing_ok=True)


def close_abandoned_runs(instance: dg.DagsterInstance, locks: SharedLocks | None = None) -> list[str]:
    """Close runs whose command is gone, and free the pool slots that they held; returns their ids.

    They have failed, but for those that were to end anyway: these are canceled.

    Args:
        instance: where they are recorded.
        locks: of a store that machines share: runs of commands on any of them are closed.
    """
    folder = _folder(instance)
    closed = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED)):
        run = record.dagster_run
        home, _, name = run.tags.get(OWN_RUN_TAG, "").partition("/")
        # Whoever launches a run writes its tags: only a name as `own_run` gives it may become a path.
        if not (is_own_run(run.tags) and _LOCK_NAME.fullmatch(name) and _is_gone(folder, home, name, locks)):
            continue
        # It may have ended well since the records were read: it lets go of its lock after it has recorded its end.
        now = instance.get_run_by_id(run.run_id)
        if now is not None and now.status in UNFINISHED:
            if now.status is dg.DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, "Interrupted; what had arrived is kept.")
            else:
                instance.report_run_failed(run, GONE)
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            (folder / name).unlink(missing_ok=True)
            closed.append(run.run_id)
    return closed


def _is_gone(folder: Path, home: str, name: str, locks: SharedLocks | None) -> bool:
    """Whether nobody holds the lock of a run any more; False where that cannot be told here."""
    if home == _SHARED:
        with suppress(OneLineError):
            return locks is not None and locks.holder(_lock_of(name)) is None
        return False
    return home == _home_id(folder) and not is_held(folder / name)


def _lock_of(name: str) -> str:
    return f"run {name}"


def remove_abandoned_locks(instance: dg.DagsterInstance, before: datetime) -> int:
    """Remove the files of locks that nobody holds any more and that are older than this; returns how many."""
    removed = 0
    for path in _folder(instance).iterdir():
        with suppress(FileNotFoundError):
            is_lock = bool(_LOCK_NAME.fullmatch(path.name)) or path.name.startswith("home.")
            if is_lock and path.stat().st_mtime < before.timestamp() and not is_held(path):
                path.unlink()
                removed += 1
    return removed


def note_interruption(instance: dg.DagsterInstance, run_id: str) -> None:
    """Note on a run that it is interrupted, before Dagster records its end: canceled, then, instead of failed.

    Dagster takes an interruption for a failure unless it was asked for in the UI, and would have people alerted of it.
    """
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status in UNFINISHED and run.status is not dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceling(run, "Interrupted (Ctrl-C, or a service that stops).")


def _folder(instance: dg.DagsterInstance) -> Path:
    folder = Path(instance.root_directory) / "own_runs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _home_id(folder: Path) -> str:
    """What tells this Dagster home from another on the same storage."""
    path = folder / "home"
    if not path.exists():
        # Whole before it is in its place: one that a kill left empty would make all foreign runs look like ours.
        new = folder / f"home.{uuid.uuid4().hex}"
        new.write_text(uuid.uuid4().hex)
        with suppress(FileExistsError):
            path.hardlink_to(new)
        new.unlink()
    return path.read_text()
