"""How fresh each kind of field is said to be, by what answers found changed."""

from __future__ import annotations

from math import exp

import duckdb
import pytest

from ayne_dagster.warehouse.field_freshness import KINDS, LEAST_CHANGES, TEXTS, field_freshness
from ayne_dagster.warehouse.refresh_metadata import new_state_row
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.schema import FETCH_LOG, MOVIE_HISTORY, REFRESH_METADATA, TABLE_OF
from ayne_dagster.warehouse.strategies import value_of_refresh
from ayne_dagster_tests.support.samples import DAY, START

Connection = duckdb.DuckDBPyConnection


def collected(connection: Connection, answers: int, *fields: tuple[str, int]) -> None:
    """Movies of which one change in 100 days is expected, checked 30 days ago; of their answers, what had changed."""
    at = naive_utc(START - 30 * DAY)
    states = [
        new_state_row(n, START - 99 * DAY, "1999") | {"omdb_rate": 0.01, "omdb_checked_at": at}
        for n in range(1, answers + 1)
    ]
    insert_rows(connection, REFRESH_METADATA, states)
    row = {"source": "omdb", "fetched_at": at, "outcome": "fetched", "changed": True, "days_since_check": 9.0}
    insert_rows(connection, FETCH_LOG, [row | {"tmdb_id": n} for n in range(1, answers + 1)])
    changed = {"source": "omdb_ratings", "changed_at": at, "old_value": "1", "new_value": "2"}
    for field, times in fields:
        insert_rows(connection, MOVIE_HISTORY, [changed | {"tmdb_id": n, "field": field} for n in range(1, times + 1)])


def told(connection: Connection) -> dict[str, dict[str, float]]:
    return field_freshness(connection, ("tmdb", "omdb", "numbers"), START, value_of_refresh(connection))


def test_a_kind_of_field_is_as_fresh_as_its_share_of_the_changes_makes_it(connection: Connection) -> None:
    every, half, tenth = LEAST_CHANGES * 2, LEAST_CHANGES, LEAST_CHANGES // 5
    # Both of the critics' changed at once in these answers: that is one change of the kind.
    collected(
        connection, every, ("plot", every), ("metascore", half), ("rotten_tomatoes_rating", half), ("awards", tenth)
    )
    shares = {"imdb_rating": 0, "critics": 0.5, "money": 0, "awards": 0.1, "credits": 0, "texts": 1}
    expected = {kind: pytest.approx(exp(-0.3 * share), abs=1e-3) for kind, share in shares.items()}
    assert told(connection) == {"omdb": expected}


def test_of_few_changes_nothing_is_told(connection: Connection) -> None:
    collected(connection, LEAST_CHANGES - 1, ("plot", LEAST_CHANGES - 1))
    assert told(connection) == {}


def test_votes_that_drift_are_no_change_of_any_kind(connection: Connection) -> None:
    collected(connection, LEAST_CHANGES, ("imdb_votes", LEAST_CHANGES), ("awards", 1))
    assert told(connection)["omdb"][TEXTS] == 1
    assert told(connection)["omdb"]["awards"] > 0.99


def test_every_field_of_a_kind_is_one_that_counts_as_a_change() -> None:
    for source, kinds in KINDS.items():
        assert {field for fields in kinds.values() for field in fields} <= set(TABLE_OF[source].significant)
