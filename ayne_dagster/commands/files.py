"""The files that a command works on. Loaded only when a command opens one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ayne_dagster.config import Settings

if TYPE_CHECKING:
    from ayne_dagster.warehouse.store import Store


def warehouse(settings: Settings) -> Store:
    """The store of the settings, not yet opened."""
    from ayne_dagster.collecting.stores import open_store

    return open_store(settings)
