"""Which store the settings name: a DuckDB file, or a lake with its locks at the ledger's server. Opens none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ayne_dagster.config import Settings, load_settings_at
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.lake import LakeStore
from ayne_dagster.warehouse.store import SharedLocks, Store


def open_store(
    settings: Settings,
    *,
    wait_seconds: float = 30.0,
    on_wait: Callable[[str], object] | None = None,
    give_up: Callable[[], bool] | None = None,
) -> Store:
    """The store of the settings, opened at first use.

    Args:
        settings: which one.
        wait_seconds: how long to wait while another process holds it.
        on_wait: told once, in a sentence that names the holder, when the wait is long enough to be noticed.
        give_up: asked during the wait; true ends it before its time.
    """
    if settings.lake is None:
        return Database(settings.database, wait_seconds, on_wait, give_up)
    locks = shared_locks(settings)
    return LakeStore(settings.database, wait_seconds, on_wait, give_up, place=settings.lake, locks=locks)


def named_store(named: Path | None, settings: Settings) -> Store:
    """A file that a person has named, a snapshot say; where none is named, the store of the settings."""
    return open_store(settings) if named is None else Database(named)


def store_at(place: str) -> Store:
    """The store at a place, as `AYNE_DATABASE` would have it; everything else as the environment says.

    Raises:
        SettingsError: it is none.
    """
    return open_store(load_settings_at(place))


def shared_locks(settings: Settings) -> SharedLocks | None:
    """Where leases, turns and the marks of own runs are held: of a lake in one session a process, of a file nowhere."""
    if settings.lake is None or settings.ledger_url is None:
        return None
    from ayne_dagster.sources.limits.server_session import session_at  # slow to load, and a file needs none

    return session_at(settings.ledger_url, settings.lake.database)
