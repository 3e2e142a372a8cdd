"""The ways of reading the change feed that `proofs.todays_changes` compares, in small."""

from __future__ import annotations

import pytest

from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.world import World
from proofs.todays_changes import AT_ONCE, PATIENT, YESTERDAY, Asking


@pytest.fixture(scope="module")
def world() -> World:
    return World(Assumptions(movies=400, mean_rate=0.02), 40, 1)


def test_without_caches_the_sooner_is_asked_the_fresher(world: World) -> None:
    at_once, patient, later = (Asking(world, when, 4, 0).freshness() for when in (AT_ONCE, PATIENT, YESTERDAY))
    assert at_once > patient > later


def test_old_bodies_cost_whoever_asks_at_once_and_nobody_who_waits(world: World) -> None:
    cost = {
        when: Asking(world, when, 1, 0).freshness() - Asking(world, when, 1, 0.5).freshness()
        for when in (AT_ONCE, PATIENT)
    }
    assert cost[AT_ONCE] > 0.01
    assert cost[PATIENT] < cost[AT_ONCE] / 4
