"""A collector in the modelled world: the shipped tables, queries and transitions, on an in-memory DuckDB.

What the platform does in a day, without its APIs: new movies are discovered, the change feed is noted, the strategy's
own SQL chooses, each answer changes the movie's state by `refresh.outcome.after`, and rates and weights are worked out
anew. Movies are numbered from 0 in the world, from 1 in the tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ayne_dagster.config import StrategyChoice
from ayne_dagster.refresh.age_table import AGE_TABLE_STRATEGY
from ayne_dagster.refresh.feeds import Feed
from ayne_dagster.refresh.outcome import Outcome, after
from ayne_dagster.refresh.states import COLLECTED, MovieState
from ayne_dagster.refresh.strategy import Strategy
from ayne_dagster.refresh.value import ValueOfRefreshStrategy
from ayne_dagster.simulation.policies import Policy
from ayne_dagster.simulation.world import Numbers, Reals, World
from ayne_dagster.warehouse.feeds.change_signals import Signal, note_signals
from ayne_dagster.warehouse.rates import learn_if_due, renew_rates, usual_popularity
from ayne_dagster.warehouse.refresh_metadata import due_movies, movie_states, new_state_row, state_columns
from ayne_dagster.warehouse.rows import Row, arrow_schema, insert_rows, naive_utc, registered
from ayne_dagster.warehouse.schema import CHANGE_FEED_DAYS, FETCH_LOG, REFRESH_METADATA, TABLES
from ayne_dagster.warehouse.strategies import load_strategy

FIRST_DAY = date(2026, 1, 1)
REQUESTS_AT = timedelta(hours=12)
"""Hour of a day's requests: long enough after midnight for no edge cache to hold a body of the day before."""
_RATES_EVERY_DAYS = 7
"""How often popularity is heard of, and rates and weights of movies that were not asked for are worked out."""


def midnight(day: int) -> datetime:
    """The instant at which a day begins (aware UTC)."""
    return datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC) + timedelta(days=day)


def noon(day: int) -> datetime:
    """The instant of a day's requests."""
    return midnight(day) + REQUESTS_AT


class ShippedCollector:
    """A warehouse of refresh states, and the shipped rules at work on it.

    Args:
        world: the modelled world.
        source: the one source that is asked.
        checked: day of each movie's last check at the start.
        policy: which shipped strategy it runs, and what it may know.
    """

    def __init__(self, world: World, source: str, checked: Numbers, policy: Policy) -> None:
        self._world, self._source, self._policy = world, source, policy
        # One thread: seeds run side by side, and tables this small gain nothing from more.
        self._connection = duckdb.connect(":memory:", config={"threads": 1})
        for table in TABLES:
            self._connection.execute(table.ddl())
        self._first_unknown = 0
        self._reasons: dict[int, str] = {}
        self._strategy = self._load_strategy()
        self._discover(0, checked)

    def begin_day(self, day: int) -> None:
        """Discover the day's new movies, hear of popularity, read the feed, work out rates and weights."""
        if day:
            self._discover(day, None)
        if self._policy.reads_feed(self._source):
            self._read_feed(day)
        if day % _RATES_EVERY_DAYS == 0:
            self._set("popularity", self._popularity(day), day)
            usual = usual_popularity(self._connection)
            learn_if_due(self._connection, noon(day), usual)
            renew_rates(self._connection, noon(day), usual, popularity_share=self._policy.popularity_share)
        self._strategy = self._load_strategy()

    def _popularity(self, day: int) -> Reals:
        """What is heard of popularity; not a number where it is not told."""
        return np.where(self._world.popularity_told, self._world.popularity(day), np.nan)

    def choose(self, day: int, limit: int) -> Numbers:
        """The first movies of the strategy's query."""
        if limit == 0:
            return np.empty(0, np.int64)
        due = due_movies(self._connection, (self._source,), noon(day), limit, strategy=self._strategy)
        self._reasons = {movie.tmdb_id: str(movie.reasons[self._source]) for movie in due}
        return np.fromiter(self._reasons, np.int64, len(self._reasons)) - 1

    def record(self, movies: Numbers, changed: Numbers, day: int) -> None:
        """Apply the shipped transition to each answer, and store the new states."""
        if not len(movies):
            return
        found = dict(zip((movies + 1).tolist(), (changed > 0).tolist(), strict=True))
        before = movie_states(self._connection, found)
        after_answer = [self._after(state, found[state.tmdb_id], day) for state in before]
        self._update([{"tmdb_id": state.tmdb_id} | state_columns(state, self._source) for state in after_answer])
        # Feeds, and what a budget can keep, are judged by the log.
        insert_rows(self._connection, FETCH_LOG, [self._logged(s, found[s.tmdb_id], day) for s in before])

    def fail(self, movies: Numbers, day: int) -> None:
        """Requests that failed: nothing is known, and the movies wait."""
        if len(movies):
            states = movie_states(self._connection, (movies + 1).tolist())
            failed = [after(state, self._source, Outcome.FAILED, noon(day)) for state in states]
            self._update([{"tmdb_id": state.tmdb_id} | state_columns(state, self._source) for state in failed])

    def _after(self, state: MovieState, changed: bool, day: int) -> MovieState:
        new = after(state, self._source, Outcome.FETCHED, noon(day), changed=changed, feed=self._feed)
        return new if self._policy.freezes else replace(new, unchanged_cycles=0)

    def _logged(self, before: MovieState, changed: bool, day: int) -> Row:
        """The row of the fetch log that belongs to an answer."""
        known = before.at(self._source)
        return {
            "tmdb_id": before.tmdb_id,
            "source": self._source,
            "fetched_at": naive_utc(noon(day)),
            "outcome": str(Outcome.FETCHED),
            "changed": changed,
            "requests": 1,
            "due_because": self._reasons[before.tmdb_id],
            "signals": known.signals,
            "days_since_check": (noon(day) - known.checked_at) / timedelta(days=1) if known.checked_at else None,
        }

    @property
    def _feed(self) -> Feed | None:
        known = self._strategy
        return known.feeds.get(self._source) if isinstance(known, ValueOfRefreshStrategy) else None

    def _load_strategy(self) -> Strategy:
        name, weight = self._policy.strategy or AGE_TABLE_STRATEGY.name, self._policy.popularity_share
        return load_strategy(self._connection, StrategyChoice(name, freshness_weight=weight))

    def _read_feed(self, day: int) -> None:
        """Note what the feed says of the day before, as the change feed's asset does."""
        signals = self._world.signals(day)
        listed = day - self._world.assumptions.delay_days
        if self._world.is_listed(listed):
            covered = {"day": FIRST_DAY + timedelta(days=listed), "covered": True, "read_at": naive_utc(noon(day))}
            insert_rows(self._connection, CHANGE_FEED_DAYS, [covered])
        latest = midnight(listed + 1)
        noted = [Signal(int(movie) + 1, latest) for movie in signals.movies]
        note_signals(self._connection, self._source, noted, noon(day))

    def _discover(self, day: int, checked: Numbers | None) -> None:
        """Insert the movies that became known since the last call; with `checked`, as fetched once already."""
        known = np.flatnonzero(self._world.known(day))
        new = known[known >= self._first_unknown]
        if not len(new):
            return
        self._first_unknown = int(known[-1]) + 1
        told = [None if np.isnan(popularity) else float(popularity) for popularity in self._popularity(day)[new]]
        rows = [self._row(int(n), day, checked) | {"popularity": p} for n, p in zip(new, told, strict=True)]
        insert_rows(self._connection, REFRESH_METADATA, rows)

    def _row(self, movie: int, day: int, checked: Numbers | None) -> Row:
        released = FIRST_DAY + timedelta(days=int(self._world.released[movie]))
        row = new_state_row(movie + 1, noon(day), str(released.year))
        # The other sources have answered, so that no movie waits for what is not simulated.
        fetched = {source: noon(day) for source in COLLECTED if source != self._source}
        if checked is not None:
            fetched[self._source] = noon(int(checked[movie]))
        for source, at in fetched.items():
            row |= dict.fromkeys((f"{source}_attempted_at", f"{source}_checked_at"), naive_utc(at))
        return row | {"release_date": released, "imdb_id": f"tt{movie + 1:07}"}

    def _set(self, column: str, values: npt.NDArray[np.float64], day: int) -> None:
        """Set a column of all known movies."""
        known = np.flatnonzero(self._world.known(day))
        self._apply(pa.table({"tmdb_id": known + 1, column: pa.array(values[known], from_pandas=True)}))

    def _update(self, rows: Iterable[Row]) -> None:
        """Set some columns of some movies' rows."""
        rows = list(rows)
        self._apply(pa.Table.from_pylist(rows, schema=arrow_schema(REFRESH_METADATA, list(rows[0]))))

    def _apply(self, values: pa.Table) -> None:
        assignments = ", ".join(f"{name} = v.{name}" for name in values.column_names if name != "tmdb_id")
        with registered(self._connection, "incoming_values", values):
            self._connection.execute(
                f"UPDATE refresh_metadata SET {assignments} FROM incoming_values AS v"
                " WHERE refresh_metadata.tmdb_id = v.tmdb_id"
            )
