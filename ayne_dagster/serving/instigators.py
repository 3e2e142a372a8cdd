"""When Dagster's sensors and schedules ticked last, and that no such instant keeps them waiting. Not what they do.

Dagster's daemon lets a sensor tick again so many seconds after its last tick, and a schedule at the first of its times
after its last one. Both are noted by the clock of the machine. Where that was ahead, Dagster waits until the date that
it showed, and tells nobody. Runs, run keys and cursors are left as they are: nothing is launched a second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick

TOLERATED_SECONDS = 60.0
"""So far ahead is the clock of another machine that shares the storage, and the wait that comes of it is no harm."""
_TICKS_AT_ONCE = 500
_APART_SECONDS = 0.001
"""Between ticks that are brought back: Dagster goes on after the last one, so they stay in their order."""


@dataclass(frozen=True)
class Ahead:
    """A sensor or schedule that waits for a date in the future."""

    name: str
    until: datetime
    """The latest instant that is noted of it (aware UTC)."""


def waiting_for_the_future(instance: dg.DagsterInstance, now: datetime) -> list[Ahead]:
    """The sensors and schedules that ticked later than now, by name; nothing is changed.

    Args:
        instance: whose.
        now: the present instant (aware), by the clock that Dagster goes by.
    """
    present = now.timestamp()
    found = []
    for state in instance.all_instigator_state():
        last = max(_noted(state).values(), default=0.0)
        last = max([last, *(tick.timestamp for tick in _ticks_after(instance, state, present, 1))])
        if last > present + TOLERATED_SECONDS:
            found.append(Ahead(state.instigator_name, _instant(last)))
    return sorted(found, key=lambda ahead: ahead.name)


def bring_back(instance: dg.DagsterInstance, now: datetime) -> list[Ahead]:
    """Have those that ticked later than now have ticked just now, so that they go on; returns which these were.

    A daemon that runs must be started again afterwards: it remembers by itself when schedules come next.

    Args:
        instance: whose.
        now: the present instant (aware), by the clock that Dagster goes by.
    """
    found = waiting_for_the_future(instance, now)
    names = {ahead.name for ahead in found}
    present = now.timestamp()
    for state in instance.all_instigator_state():
        if state.instigator_name not in names:
            continue
        _bring_ticks_back(instance, state, present)
        late: dict[str, Any] = {name: present for name, instant in _noted(state).items() if instant > present}
        if late and state.instigator_data is not None:
            instance.update_instigator_state(state.with_data(state.instigator_data._replace(**late)))
    return found


def _bring_ticks_back(instance: dg.DagsterInstance, state: InstigatorState, present: float) -> None:
    """The latest first, so that one which is interrupted leaves the order as it was."""
    places = count(0)
    while ticks := _ticks_after(instance, state, present, _TICKS_AT_ONCE):
        for tick in ticks:
            at = present - next(places) * _APART_SECONDS
            ended = tick.tick_data.end_timestamp
            data = tick.tick_data._replace(timestamp=at, end_timestamp=None if ended is None else min(ended, present))
            instance.update_tick(tick._replace(tick_data=data))


def _ticks_after(
    instance: dg.DagsterInstance, state: InstigatorState, present: float, number: int
) -> list[InstigatorTick]:
    """Ticks later than now, the latest first."""
    return list(instance.get_ticks(state.instigator_origin_id, state.selector_id, after=present, limit=number))


def _noted(state: InstigatorState) -> dict[str, float]:
    """The instants that a state holds, by the name of their field; Dagster calls them all so."""
    fields: dict[str, object] = state.instigator_data._asdict() if state.instigator_data is not None else {}
    return {
        name: float(value)
        for name, value in fields.items()
        if name.endswith("_timestamp") and isinstance(value, int | float)
    }


def _instant(timestamp: float) -> datetime:
    try:
        return datetime.fromtimestamp(timestamp, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=UTC)
