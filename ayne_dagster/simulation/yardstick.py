"""The yardstick that knows nothing: round robin. It is no strategy of the platform, and keeps no table."""

from __future__ import annotations

import numpy as np

from ayne_dagster.simulation.world import Numbers, World

_NEVER = np.iinfo(np.int64).min


class RoundRobin:
    """The yardstick that knows nothing: what was never fetched comes first, then whatever was checked longest ago.

    Args:
        world: the modelled world.
        checked: day of each movie's last check at the start.
    """

    def __init__(self, world: World, checked: Numbers) -> None:
        self._world = world
        self._checked = np.where(world.known(0), checked, _NEVER)

    def begin_day(self, day: int) -> None:
        """Nothing to take in."""

    def choose(self, day: int, limit: int) -> Numbers:
        """The movies checked longest ago."""
        known = np.flatnonzero(self._world.known(day))
        return known[np.argsort(self._checked[known], kind="stable")[:limit]]

    def record(self, movies: Numbers, changed: Numbers, day: int) -> None:
        """Note when they were checked."""
        self._checked[movies] = day
