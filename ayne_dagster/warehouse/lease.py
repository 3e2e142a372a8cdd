"""One collection a source at a time on a store, across processes. Held by the operating system, or by the server that
machines share, so a crash frees it.

Dagster's pools do the same within one Dagster instance; the lease also holds between instances, and for programs that
use none. Two runs that ask for the same due movies would spend the quota twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ayne_dagster.errors import OneLineError, is_of_the_place
from ayne_dagster.settings.locks import is_held, lock_now, open_to_lock
from ayne_dagster.settings.places import companion
from ayne_dagster.warehouse.store import DatabaseOutOfReach, DatabaseUnusable, SharedLocks, Store, WrongDatabase

POLL_SECONDS = 0.2


def lease_path(database: Path, source: str) -> Path:
    """The file that is locked."""
    return companion(database, f"{source}.lease")


def is_in_the_way(path: Path) -> bool:
    """Whether what lies in a lease's place is no file: a folder, a pipe, a device, a link to nowhere."""
    return os.path.lexists(path) and not path.is_file()


@contextmanager
def lease(
    store: Store | Path, source: str, on_wait: Callable[[str], object], *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """Hold the right to collect from a source into a store; waits while another process has it.

    Args:
        store: the store, or the path of a DuckDB file; of a file the lease is a file beside it, of a lake a lock at
            the server that all machines share.
        source: tmdb, omdb …
        on_wait: told once, in a sentence, when there is a wait.
        sleep: waits between two looks; what it raises ends the wait.

    Raises:
        DatabaseUnusable: the file of the lease cannot be made or written.
        DatabaseOutOfReach: the server does not answer.
    """
    locks = None if isinstance(store, Path) else store.shared_locks
    path = store if isinstance(store, Path) else store.path
    with _lease_of_file(path, source, on_wait, sleep) if locks is None else _lease_at(locks, source, on_wait, sleep):
        yield


def is_leased(store: Store, source: str) -> bool:
    """Whether somebody collects from a source now.

    Raises:
        OSError, OneLineError: it cannot be told.
    """
    if store.shared_locks is not None:
        return store.shared_locks.holder(_lock_of(source)) is not None
    return is_held(lease_path(store.path, source))


def _lock_of(source: str) -> str:
    return f"lease {source}"


@contextmanager
def _lease_at(
    locks: SharedLocks, source: str, on_wait: Callable[[str], object], sleep: Callable[[float], None]
) -> Iterator[None]:
    """The lease as a lock at a server."""
    lock, told = _lock_of(source), False
    try:
        while not locks.try_lock(lock):
            if not told:
                on_wait(
                    f"{locks.holder(lock) or 'another process'} is collecting from {source}; waiting for it to end."
                )
                told = True
            sleep(POLL_SECONDS)
    except OneLineError as error:
        raise DatabaseOutOfReach(f"Nobody can say whether {source} is being collected from: {error}") from None
    try:
        yield
    finally:
        locks.unlock(lock)


@contextmanager
def _lease_of_file(
    database: Path, source: str, on_wait: Callable[[str], object], sleep: Callable[[float], None]
) -> Iterator[None]:
    """The lease as a lock of a file beside the database."""
    path = lease_path(database, source)
    if is_in_the_way(path):
        raise WrongDatabase(
            f"{path}, which keeps two collections apart, is no file, as it must be; nothing was asked. Move it away."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = open_to_lock(path)
    except OSError as error:
        raise (WrongDatabase if is_of_the_place(error) else DatabaseUnusable)(
            f"{path}, which keeps two collections apart, cannot be written ({error.strerror}); nothing was asked. "
            "Free disk space, or fix the permissions of the folder."
        ) from None
    try:
        _acquire(descriptor, path, source, on_wait, sleep)
        yield
    finally:
        os.close(descriptor)


def _acquire(
    descriptor: int, path: Path, source: str, on_wait: Callable[[str], object], sleep: Callable[[float], None]
) -> None:
    told = False
    while not lock_now(descriptor):
        if not told:
            holder = path.read_text().strip() or "another process"
            on_wait(f"{holder} is collecting from {source}; waiting for it to end.")
            told = True
        sleep(POLL_SECONDS)
    # The name is for those who wait; on a full disk the lease holds without.
    with suppress(OSError):
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}".encode(), 0)
