"""AYNE_TMDB_APPEND in a whole collection: what is asked for is held, at no request more; what is not is not touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ayne_dagster.config import TMDB_PARTS, Settings
from ayne_dagster.orchestrator import DataCollectionOrchestrator, DiscoveryPlan
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.schema import APPENDED_PARTS, APPENDED_TABLES, PROVIDERS
from ayne_dagster_tests.support.samples import DAY, START

pytestmark = pytest.mark.whole_runs

TABLES = [table.name for table in (*APPENDED_TABLES, PROVIDERS, APPENDED_PARTS)]


def collect(settings: Settings) -> int:
    """Collect a few movies; returns how many TMDB was asked for."""
    result = DataCollectionOrchestrator(settings=settings).collect(DiscoveryPlan(2020, 2022, 1, 0), refresh_limit=15)
    return result.tmdb_updated


def held(settings: Settings) -> dict[str, int]:
    with Database(settings.database).connect(read_only=True) as connection:
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in TABLES}


def test_what_is_switched_on_is_held_and_switched_off_left_alone(
    make_settings: Callable[..., Settings], standin: StandIn
) -> None:
    off: dict[str, Any] = dict.fromkeys(TABLES, 0)
    settings = make_settings()
    assert collect(settings) == 15
    assert held(settings) == off
    before = standin.requests()["tmdb"]
    settings = make_settings(START + DAY, tmdb_append=TMDB_PARTS)
    again = collect(settings)
    found = held(settings)
    assert again == 15, "movies that are not due are not asked again for it"
    assert all(found.values()), found
    assert standin.requests()["tmdb"] - before <= before
    assert collect(make_settings(START + 2 * DAY)) > 0
    assert held(settings) == found
