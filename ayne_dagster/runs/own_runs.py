"""Runs are marked while their process lives, and closed when it is gone. And how any run ends that was interrupted: it
is canceled, and nothing has failed.

Nobody else would: Dagster does not know the processes of commands, and what it launched by its default launcher it
watches through the code server alone. A `kill -9` of the one, a machine that is switched off under the other, would
leave a run "started" for ever, its pool slot taken, and both the sensor and the next command waiting for it. A process
id tells too little: it is given out again, it outlives the process until the parent asks, and in another container it
means somebody else. So a run holds a lock on a file of its own in the Dagster home, which the operating system lets go
of when the process ends, however. Of a store that machines share it is a lock at the server.
"""

from __future__ import annotations

import atexit
import re
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

import dagster as dg

from ayne_dagster.errors import OneLineError
from ayne_dagster.settings.locks import holding, is_held
from ayne_dagster.settings.tags import LAUNCHED_RUN_TAG, OWN_RUN_TAG, is_own_run
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
    with _alive(instance, uuid.uuid4().hex, locks) as mark:
        yield {OWN_RUN_TAG: mark}


_until_the_end = ExitStack()
"""The marks of launched runs: let go of after Dagster has recorded how one ended, which comes after its executor."""
_marked: set[str] = set()
atexit.register(_until_the_end.close)


def mark_launched_run(instance: dg.DagsterInstance, run_id: str, locks: SharedLocks | None = None) -> None:
    """Mark a run that Dagster has launched as alive, until this process ends.

    Where no mark can be made, on a full disk say, the run goes on without: nobody then closes it but Dagster.

    Args:
        instance: where it is recorded.
        run_id: which run this process executes.
        locks: as `own_run` takes them.
    """
    if run_id in _marked:
        return
    with suppress(OneLineError, OSError):
        mark = _until_the_end.enter_context(_alive(instance, _name_of_launched(run_id), locks))
        _marked.add(run_id)
        instance.add_run_tags(run_id, {LAUNCHED_RUN_TAG: mark})


def _name_of_launched(run_id: str) -> str:
    """The name of a launched run's lock, which it alone has: one that is executed again has the former one's tags."""
    return run_id.replace("-", "")


@contextmanager
def _alive(instance: dg.DagsterInstance, name: str, locks: SharedLocks | None) -> Iterator[str]:
    """The mark of a run that is alive for the length of the block: where its lock is, and its name."""
    if locks is not None:
        locks.try_lock(_lock_of(name))
        try:
            yield f"{_SHARED}/{name}"
        finally:
            locks.unlock(_lock_of(name))
        return
    folder = _folder(instance)
    path = folder / name
    with holding(path):
        try:
            yield f"{_home_id(folder)}/{name}"
        finally:
            path.unlink(missing_ok=True)


def close_abandoned_runs(instance: dg.DagsterInstance, locks: SharedLocks | None = None) -> list[str]:
    """Close runs whose process is gone, and free the pool slots that they held; returns their ids.

    They have failed, but for those that were to end anyway: these are canceled.

    Args:
        instance: where they are recorded.
        locks: of a store that machines share: runs on any of them are closed.
    """
    closed = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED)):
        run = record.dagster_run
        home, name = _mark_of(run)
        if not (name and _is_gone(instance, home, name, locks)):
            continue
        # It may have ended well since the records were read: it lets go of its lock after it has recorded its end.
        now = instance.get_run_by_id(run.run_id)
        if now is not None and now.status in UNFINISHED:
            if now.status is dg.DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, "Interrupted; what had arrived is kept.")
            else:
                instance.report_run_failed(run, GONE)
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            if home != _SHARED:
                (_folder(instance) / name).unlink(missing_ok=True)
            closed.append(run.run_id)
    return closed


def _mark_of(run: dg.DagsterRun) -> tuple[str, str]:
    """Where the lock of a run is, and its name; an empty name where it has none."""
    own = is_own_run(run.tags)
    home, _, name = run.tags.get(OWN_RUN_TAG if own else LAUNCHED_RUN_TAG, "").partition("/")
    # Whoever launches a run writes its tags: only a name as we give it may become a path.
    is_ours = _LOCK_NAME.fullmatch(name) and (own or name == _name_of_launched(run.run_id))
    return (home, name) if is_ours else ("", "")


def _is_gone(instance: dg.DagsterInstance, home: str, name: str, locks: SharedLocks | None) -> bool:
    """Whether nobody holds the lock of a run any more; False where that cannot be told here."""
    if home == _SHARED:
        with suppress(OneLineError):
            return locks is not None and locks.holder(_lock_of(name)) is None
        return False
    folder = _folder(instance)
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
