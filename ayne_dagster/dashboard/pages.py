"""What pages show, kept until the database changes, so that a reload costs nothing. Puts nothing together itself.

What was quick to put together is put together anew when the database has changed. What was slow is shown as it was,
with its age, while a thread puts it together; what nobody has asked for in a while is waited for, but not for long.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import duckdb

from ayne_dagster.config import Settings
from ayne_dagster.refresh.strategy import Strategy, ValueOfRefreshStrategy
from ayne_dagster.warehouse.database import WarehouseError
from ayne_dagster.warehouse.following import Following
from ayne_dagster.warehouse.replica import ReplicaError
from ayne_dagster.warehouse.strategies import load_strategy, value_of_refresh

SLOW_SECONDS = 0.3
"""What took longer is not waited for a second time."""
LEAST_AGE, MOST_AGE = 2.0, 60.0
"""Seconds for which nothing is put together anew, and after which it is, though the database has not changed."""
PATIENCE = 3.0
"""Seconds that a person waits for a newer page, where the one that is kept is old."""
WORTH_TELLING = 10.0
"""Seconds by which a copy is old before a page says so."""
MOST_PAGES = 64

Model = dict[str, Any]
"""What a template is given."""


@dataclass(frozen=True)
class Asked:
    """With what a page is put together."""

    connection: duckdb.DuckDBPyConnection
    settings: Settings
    now: datetime
    strategy: Strategy
    value: ValueOfRefreshStrategy
    """Its numbers are of interest under any strategy."""

    def rows(self, query: str, **bound: Any) -> list[dict[str, Any]]:
        """The rows that a question yields, as dictionaries; `$now` is bound where the question has it."""
        if "$now" in query:
            bound = {"now": self.now.replace(tzinfo=None)} | bound
        found = self.connection.execute(query, bound)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def row(self, query: str, **bound: Any) -> dict[str, Any]:
        """The only row that a question yields."""
        return self.rows(query, **bound)[0]


@dataclass(frozen=True)
class Page:
    """What was put together, and when."""

    model: Model
    as_of: datetime
    """The instant for which it holds."""
    at: float
    """The same by `time.monotonic()`."""
    took: float
    stamp: object
    note: str = ""
    """Why it is not newer, for the person."""


class Pages:
    """The pages of one database.

    Args:
        settings: which database, sources and strategy.
        copy: what reads it.
    """

    def __init__(self, settings: Settings, copy: Following) -> None:
        self.settings = settings
        self._replica = copy
        self._kept: OrderedDict[str, Page] = OrderedDict()
        self._pending: dict[str, Future[Page | None]] = {}
        self._decides: tuple[float, Strategy, ValueOfRefreshStrategy] | None = None
        self._lock = threading.Lock()
        self._behind = ThreadPoolExecutor(1, "dashboard")

    def read(self, name: str, work: Callable[[Asked], Model]) -> Page:
        """A page, put together now or a while ago.

        Args:
            name: of the page, with what was asked of it.
            work: puts it together.

        Raises:
            WarehouseError: the database cannot be read, and the page was never put together.
        """
        with self._lock:
            kept = self._kept.get(name)
        if kept is None:
            return self._renewed(name, work, None)
        age, changed = time.monotonic() - kept.at, kept.stamp != self._replica.newest
        if age < LEAST_AGE or (not changed and age < MOST_AGE):
            return kept
        if kept.took <= SLOW_SECONDS:
            return self._renewed(name, work, kept)
        newer = self._renewed_behind(name, work, kept)
        if age >= MOST_AGE:
            with suppress(TimeoutError, CancelledError):
                if page := newer.result(PATIENCE):
                    return page
        told = f"This page was put together {ago(age)} ago; a newer one is on its way."
        return replace(kept, note=told) if changed else kept

    def close(self) -> None:
        """Stop what is going on behind, and remove the copy."""
        self._behind.shutdown(wait=True, cancel_futures=True)
        self._replica.close()

    def _renewed(self, name: str, work: Callable[[Asked], Model], kept: Page | None) -> Page:
        try:
            with self._replica.reading() as copy:
                started, now = time.monotonic(), self.settings.now()
                asked = Asked(copy.connection, self.settings, now, *self._strategies(copy.connection))
                model = work(asked)
                lag = started - copy.checked_at
                note = f"The database is being written to: this page is {ago(lag)} old." if lag > WORTH_TELLING else ""
                page = Page(model, now, started, time.monotonic() - started, copy.stamp, note)
        except ReplicaError as error:
            if kept is None:
                raise
            return replace(kept, note=f"This page is {ago(time.monotonic() - kept.at)} old: {error}")
        with self._lock:
            self._kept[name] = page
            self._kept.move_to_end(name)
            while len(self._kept) > MOST_PAGES:
                self._kept.popitem(last=False)
        return page

    def _strategies(self, connection: duckdb.DuckDBPyConnection) -> tuple[Strategy, ValueOfRefreshStrategy]:
        """What decides, at most a minute old: what it knows of feeds and means changes once a day."""
        if self._decides is None or time.monotonic() - self._decides[0] >= MOST_AGE:
            choice = self.settings.strategy
            value = value_of_refresh(connection, choice)
            strategy = value if choice.name == value.name else load_strategy(connection, choice)
            self._decides = time.monotonic(), strategy, value
        return self._decides[1], self._decides[2]

    def _renewed_behind(self, name: str, work: Callable[[Asked], Model], kept: Page) -> Future[Page | None]:
        """A page that a thread puts together, by whoever asked first; None where the database cannot be read."""

        def renew() -> Page | None:
            try:
                with suppress(WarehouseError):
                    return self._renewed(name, work, kept)
                return None
            finally:
                with self._lock:
                    del self._pending[name]

        with self._lock:
            if name not in self._pending:
                self._pending[name] = self._behind.submit(renew)
            return self._pending[name]


def ago(seconds: float) -> str:
    """A time that has passed, in the largest unit of which there are two.

    Example:
        >>> ago(15.2), ago(525), ago(9000)
        ('15 s', '9 min', '2 h')
    """
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:,.0f} s"
