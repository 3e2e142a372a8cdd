"""The rules as SQL give the same answers as the rules in Python, on every movie and for every source."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.refresh.ages import category_sql
from ayne_dagster.refresh.learning import expected_of_share
from ayne_dagster.refresh.states import fully_refreshed_sql
from ayne_dagster.refresh.strategy import (
    AGE_TABLE_STRATEGY,
    DUE_REASONS,
    SOURCES,
    MovieState,
    Override,
    Reason,
    SourceState,
    Strategy,
    ValueOfRefreshStrategy,
    band_of,
    is_fully_refreshed,
)
from ayne_dagster.refresh.value import CUTOFF
from ayne_dagster.warehouse import questions
from ayne_dagster.warehouse.questions import next_due
from ayne_dagster.warehouse.refresh_metadata import due_counts, new_state_row, state_columns
from ayne_dagster.warehouse.rows import Row, insert_rows, naive_utc
from ayne_dagster.warehouse.schema import REFRESH_METADATA
from ayne_dagster_tests.support.states import (
    DAY,
    INSTANTS,
    INTERVALS,
    NOW,
    SECOND,
    STRATEGIES,
    aged,
    checked,
    may_use_reserve,
    movie,
    movies,
)
from ayne_dagster_tests.support.thoroughness import examples

NAMES = tuple(SOURCES)
SUBSETS = [("tmdb",), ("omdb",), ("numbers",), ("tmdb", "omdb"), NAMES]


def row_of(state: MovieState) -> Row:
    """The movie's row in refresh_metadata."""
    row = new_state_row(state.tmdb_id, NOW, "unknown")
    for source in NAMES:
        row |= state_columns(state, source)
    return row | {
        "release_date": state.release_date,
        "imdb_id": state.imdb_id,
        "popularity": state.popularity,
        "importance": state.importance,
        "override": None if state.override is None else str(state.override),
        "override_at": None if state.override_at is None else naive_utc(state.override_at),
    }


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("SET default_null_order = 'nulls_first'")  # the order is the query's, not the connection's
        opened.execute(REFRESH_METADATA.ddl())
        yield opened


def store(connection: duckdb.DuckDBPyConnection, states: Sequence[MovieState]) -> None:
    connection.execute("DELETE FROM refresh_metadata")
    insert_rows(connection, REFRESH_METADATA, [row_of(state) for state in states])


def answers_in_sql(
    connection: duckdb.DuckDBPyConnection, now: datetime, strategy: Strategy = AGE_TABLE_STRATEGY
) -> dict[int, tuple[object, ...]]:
    expressions = [category_sql(), fully_refreshed_sql(), strategy.frozen_sql()]
    for source in NAMES:
        expressions += [strategy.reason_sql(source), strategy.due_sql(source)]
    query = f"SELECT tmdb_id, {', '.join(expressions)} FROM refresh_metadata"
    return {row[0]: row[1:] for row in connection.execute(query, {"now": naive_utc(now)}).fetchall()}


def answers_in_python(
    states: Sequence[MovieState], now: datetime, strategy: Strategy = AGE_TABLE_STRATEGY
) -> dict[int, tuple[object, ...]]:
    answers: dict[int, tuple[object, ...]] = {}
    for state in states:
        found: list[object] = [band_of(state.release_date, now).category, is_fully_refreshed(state)]
        found.append(strategy.is_frozen(state, now))
        for source in NAMES:
            decision = strategy.decide(state, source, now)
            assert decision.reason is strategy.reason_at(state, source, now)
            found += [str(decision.reason), decision.due]
        answers[state.tmdb_id] = tuple(found)
    return answers


Key = tuple[object, ...]


def by_age(sources: Sequence[str], now: datetime) -> Callable[[MovieState], Key]:
    """Never fully refreshed first, then the newest release; last of all whoever lacks parts alone."""

    def key(state: MovieState) -> Key:
        reasons = {AGE_TABLE_STRATEGY.reason_at(state, source, now) for source in sources} & set(DUE_REASONS)
        undated = state.release_date is None
        newest_first = 0 if state.release_date is None else -state.release_date.toordinal()
        return reasons == {Reason.INCOMPLETE}, is_fully_refreshed(state), undated, newest_first, state.tmdb_id

    return key


def by_value(
    states: Sequence[MovieState], sources: Sequence[str], now: datetime, limit: int, strategy: ValueOfRefreshStrategy
) -> Callable[[MovieState], Key]:
    """Forced, never fetched, the share for the oldest near the ceiling, then by value."""

    def reason(state: MovieState, source: str) -> Reason:
        return strategy.reason_at(state, source, now)

    near: dict[int, datetime] = {}
    for state, source in ((state, source) for state in states for source in sources):
        checked_at = state.at(source).checked_at
        if checked_at is not None and may_use_reserve(strategy, state, source, now):
            near[state.tmdb_id] = min(checked_at, near.get(state.tmdb_id, checked_at))
    places = strategy.reserved_places(tuple(sources), now, limit)
    reserved = dict(sorted(near.items(), key=lambda item: (item[1], item[0]))[:places])

    def key(state: MovieState) -> Key:
        due_at = [source for source in sources if reason(state, source) in DUE_REASONS]
        turns = []
        for source in due_at:
            if reason(state, source) is Reason.MANUAL:
                turns.append(0)
            elif state.at(source).checked_at is None:
                turns.append(1)
            else:
                takes = Reason.CEILING if source == "tmdb" else Reason.INDEX
                by_value = 4 if reason(state, source) is Reason.INCOMPLETE else 3
                turns.append(2 if state.tmdb_id in reserved and reason(state, source) is takes else by_value)
        turn = min(turns)
        if turn < 2:
            return turn, -strategy.importance_of(state, now), state.tmdb_id
        if turn == 2:
            return turn, reserved[state.tmdb_id], state.tmdb_id
        worth = [strategy.value(state, s, now) for s, t in zip(due_at, turns, strict=True) if t >= 3]
        return turn, -max(worth), state.tmdb_id

    return key


def in_order(
    states: Sequence[MovieState],
    sources: Sequence[str],
    now: datetime,
    limit: int,
    strategy: Strategy = AGE_TABLE_STRATEGY,
) -> list[tuple[object, ...]]:
    """What the due query must yield, by sorting in Python."""
    waiting = [s for s in states if any(strategy.decide(s, source, now).due for source in sources)]
    if isinstance(strategy, ValueOfRefreshStrategy):
        key = by_value(waiting, sources, now, limit, strategy)
    else:
        key = by_age(sources, now)
    return [
        (s.tmdb_id, "unknown", s.release_date, s.imdb_id, *(str(strategy.reason_at(s, x, now)) for x in sources))
        for s in sorted(waiting, key=key)[:limit]
    ]


def check_batch(
    connection: duckdb.DuckDBPyConnection, states: Sequence[MovieState], now: datetime, strategy: Strategy
) -> None:
    """All answers of SQL about the movies against those of Python: decisions, order and counts."""
    store(connection, states)
    by_sql, by_python = answers_in_sql(connection, now, strategy), answers_in_python(states, now, strategy)
    assert [(s, by_sql[s.tmdb_id]) for s in states] == [(s, by_python[s.tmdb_id]) for s in states]
    bound = {"now": naive_utc(now)}
    for sources in SUBSETS:
        for limit in (len(states), max(1, len(states) // 3)):
            found = connection.execute(strategy.due_query(sources), {**bound, "limit": limit}).fetchall()
            assert found == in_order(states, sources, now, limit, strategy)
        counts = connection.execute(strategy.due_count_query(sources), bound).fetchall()[0]
        due_at = [[strategy.decide(s, source, now).due for s in states] for source in sources]
        assert counts == (*map(sum, due_at), sum(map(any, zip(*due_at, strict=True))))


@st.composite
def batches(draw: st.DrawFn) -> tuple[datetime, list[MovieState]]:
    now = draw(INSTANTS)
    states = draw(st.lists(movies(now), min_size=1, max_size=15))
    ids = draw(st.permutations(range(1, len(states) + 1)))
    return now, [replace(state, tmdb_id=tmdb_id) for tmdb_id, state in zip(ids, states, strict=True)]


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
@settings(deadline=None, max_examples=examples(20))
@given(batch=batches())
def test_python_and_sql_agree_on_generated_movies(
    connection: duckdb.DuckDBPyConnection, strategy: Strategy, batch: tuple[datetime, list[MovieState]]
) -> None:
    check_batch(connection, batch[1], batch[0], strategy)


CROWD = examples(2000)


def crowd(number: int, now: datetime, chance: random.Random) -> list[MovieState]:
    """Many movies, each of whose times stands at a boundary or a second beside it."""
    days = [*INTERVALS, 1, 2, 4, 8, 16, 30, 170, 180, 0, 250, 400]

    def ago() -> datetime | None:
        offset = timedelta(days=chance.choice(days), seconds=chance.choice([-1, 0, 0, 1]))
        return None if chance.random() < 0.2 else now - offset

    def at_source() -> SourceState:
        failures = chance.choice([0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 12])
        tombstone = now if chance.random() < 0.05 else None
        return SourceState(
            ago(),
            ago(),
            failures=failures,
            tombstoned_at=tombstone,
            signals=chance.choice([0] * 9 + [1, 2]),
            signalled_at=ago(),
            recheck_at=ago() if chance.random() < 0.1 else None,
            parts_due_at=ago() if chance.random() < 0.5 else None,
            # At the lowest of them the cut-off is reached on a day of the list above, to the second.
            rate=chance.choice([None, CUTOFF / 30, CUTOFF / 250, expected_of_share(0.05) / 30, 0.02, 0.5]),
        )

    return [
        MovieState(
            tmdb_id=tmdb_id,
            release_date=chance.choice(
                [None, *(aged(age, now) for age in (-30, 0, 59, 60, 61, 180, 181, 365, 366, 367, 900, 20000))]
            ),
            imdb_id=chance.choice([None, "tt0000001", "tt0000002", "tt0000003"]),
            unchanged_cycles=chance.choice([0, 1, 2, 3, 4, 9]),
            override=chance.choice([None, None, None, None, *Override]),
            override_at=ago(),
            sources={source: at_source() for source in NAMES},
            popularity=chance.choice([None, 0.0, chance.random() * 100]),
            importance=chance.choice([None, 0.2, chance.random() * 10]),
        )
        for tmdb_id in range(1, number + 1)
    ]


@pytest.mark.parametrize("name", STRATEGIES)
def test_python_and_sql_agree_on_a_crowd_at_every_boundary(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    chance, strategy = random.Random(20240615), STRATEGIES[name]
    theirs = {Reason.INDEX, Reason.BELOW_CUTOFF} if name == "age table" else {Reason.AGE_TABLE, Reason.FRESH}
    for now in (NOW, datetime.fromisoformat("2025-01-01T00:00:00+00:00")):
        states = crowd(CROWD, now, chance)
        check_batch(connection, states, now, strategy)
        reasons = Counter(strategy.reason_at(state, source, now) for state in states for source in NAMES)
        assert set(reasons) == set(Reason) - theirs, "the crowd must meet every rule"
        assert min(reasons.values()) > CROWD / 67


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_the_first_day_on_which_movies_are_due_is_the_first_of_those_looked_at_one_by_one(
    connection: duckdb.DuckDBPyConnection, strategy: Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "_LOOK_AHEAD_DAYS", 40)
    sources, days, found = ("tmdb", "omdb"), [NOW.replace(hour=23, minute=59, second=59, microsecond=999_999)], set()
    days += [days[0] + n * DAY for n in range(1, 40)]
    for state in crowd(examples(40), NOW, random.Random(1)):
        store(connection, [state])
        counted = ((day.date(), due_counts(connection, sources, day, strategy=strategy)["any_source"]) for day in days)
        expected = next((day for day in counted if day[1]), None)
        assert next_due(connection, sources, NOW, strategy) == expected
        found.add(expected and (expected[0] - NOW.date()).days)
    assert {None, 0} < found, "some are due at once, some later, some never"


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_the_rank_of_a_movie_is_its_place_in_the_due_query(
    connection: duckdb.DuckDBPyConnection, strategy: Strategy
) -> None:
    states = crowd(60, NOW, random.Random(3))
    store(connection, states)
    bound = {"now": naive_utc(NOW), "limit": 40}
    due_now = [row[0] for row in connection.execute(strategy.due_query(("tmdb",)), bound).fetchall()]
    for state in states:
        rank = connection.execute(strategy.rank_query("tmdb"), {**bound, "tmdb_id": state.tmdb_id}).fetchall()
        if state.tmdb_id in due_now:
            assert rank == [(due_now.index(state.tmdb_id) + 1,)]
        elif not strategy.decide(state, "tmdb", NOW).due:
            assert rank == []


def test_the_limit_takes_the_first(connection: duckdb.DuckDBPyConnection) -> None:
    states = crowd(200, NOW, random.Random(1))
    store(connection, states)
    found = connection.execute(AGE_TABLE_STRATEGY.due_query(("tmdb",)), {"now": naive_utc(NOW), "limit": 7}).fetchall()
    assert found == in_order(states, ("tmdb",), NOW, 7)


def test_what_was_never_fully_refreshed_comes_first_then_the_newest(connection: duckdb.DuckDBPyConnection) -> None:
    old, new = aged(5000), aged(-5)
    complete = {"tmdb": checked(100 * DAY), "omdb": checked(DAY)}
    states = [
        movie(tmdb_id=1, release_date=new, **complete),
        movie(tmdb_id=2, release_date=old),
        movie(tmdb_id=3, release_date=None),
        movie(tmdb_id=4, release_date=new),
        movie(tmdb_id=5, release_date=old, **complete),
        movie(tmdb_id=7, release_date=new, imdb_id=None, tmdb=checked(100 * DAY)),
        movie(tmdb_id=6, release_date=new, imdb_id=None, tmdb=checked(100 * DAY)),
        movie(tmdb_id=8, release_date=new, tmdb=checked(100 * DAY)),
    ]
    store(connection, states)
    found = connection.execute(
        AGE_TABLE_STRATEGY.due_query(("tmdb",)), {"now": naive_utc(NOW), "limit": 100}
    ).fetchall()
    assert [row[0] for row in found] == [4, 8, 2, 3, 1, 6, 7, 5]


def test_conditions_narrow_the_query_and_the_count(connection: duckdb.DuckDBPyConnection) -> None:
    store(connection, [movie(tmdb_id=1), movie(tmdb_id=2), movie(tmdb_id=3, tmdb=checked(SECOND))])
    bound = {"now": naive_utc(NOW)}
    query = AGE_TABLE_STRATEGY.due_query(("tmdb",), within="tmdb_id > 1")
    assert [row[0] for row in connection.execute(query, {**bound, "limit": 9}).fetchall()] == [2]
    counting = AGE_TABLE_STRATEGY.due_count_query(("tmdb", "omdb"), within="tmdb_id > 1")
    assert connection.execute(counting, bound).fetchall() == [(1, 2, 2)]


def test_a_row_older_than_the_columns_of_a_source_is_due_for_it(connection: duckdb.DuckDBPyConnection) -> None:
    # Columns added for a new source are NULL in the rows that were there before.
    connection.execute("DELETE FROM refresh_metadata")
    connection.execute("INSERT INTO refresh_metadata BY NAME SELECT 1 AS tmdb_id, 'tt0137523' AS imdb_id")
    (answers,) = answers_in_sql(connection, NOW).values()
    assert answers == ("recent", False, False, *("never_fetched", True) * 3)
    assert answers == answers_in_python([movie()], NOW)[1]
