"""The files that a command works on. Loaded only when a command opens one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ayne_dagster.config import Settings

if TYPE_CHECKING:
    from ayne_dagster.warehouse.database import Database


def warehouse(settings: Settings) -> Database:
    """The database of the settings, not yet opened."""
    from ayne_dagster.warehouse.database import Database

    return Database(settings.database)
