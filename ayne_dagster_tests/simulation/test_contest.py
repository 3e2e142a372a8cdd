"""Both strategies in small but whole: real sensor, assets and HTTP while 60 days pass, judged by the stand-in's truth.

With other sizes the same runs as `benchmarks/bench_freshness.py`, and which strategy is the fresher in `make
proof-strategies`: rounds as few as these tell only that both work, each in its own way.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from ayne_dagster.refresh.states import COLLECTED
from proofs.contest import START, Conditions, Standing, collector
from proofs.strategies import both

CONDITIONS = Conditions(movies=120, days=60, every=20, limit=6, years=("2020", "2027"))
ROUNDS = CONDITIONS.days // CONDITIONS.every

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contest")


@pytest.fixture(scope="module")
def standings(folder: Path) -> dict[str, Standing]:
    return both(CONDITIONS, folder)


@pytest.fixture(scope="module")
def logs(standings: dict[str, Standing], folder: Path) -> Iterator[dict[str, duckdb.DuckDBPyConnection]]:
    opened = {name: duckdb.connect(str(folder / f"{name}.duckdb"), read_only=True) for name in standings}
    yield opened
    for connection in opened.values():
        connection.close()


def test_no_strategy_asks_for_more_than_the_budget_of_its_rounds(standings: dict[str, Standing]) -> None:
    for standing in standings.values():
        assert all(0 < asked <= ROUNDS * CONDITIONS.limit for asked in standing.requests.values())


def test_each_strategy_asked_for_its_own_reasons(logs: dict[str, duckdb.DuckDBPyConnection]) -> None:
    asked = {
        name: {reason for (reason,) in log.execute("SELECT DISTINCT due_because FROM fetch_log").fetchall()}
        for name, log in logs.items()
    }
    assert "age_table" in asked["age_table"] - asked["value_of_refresh"]
    assert {"index", "change_feed"} <= asked["value_of_refresh"] - asked["age_table"]


def test_exactly_what_counts_as_stale_is_found_changed_when_everything_is_asked_again(tmp_path: Path) -> None:
    now = START + timedelta(days=200)
    with collector("age_table", Conditions(movies=60), tmp_path) as rounds:
        rounds.discover(START)
        rounds.fetch_all(START)
        assert [rounds.stale(source, START) for source in COLLECTED] == [set(), set()]
        stale = {source: rounds.stale(source, now) for source in COLLECTED}
        rounds.fetch_all(now)
        assert [rounds.stale(source, now) for source in COLLECTED] == [set(), set()]
    for source in COLLECTED:
        with duckdb.connect(str(tmp_path / "age_table.duckdb"), read_only=True) as log:
            changed = log.execute(
                "SELECT tmdb_id FROM fetch_log WHERE changed AND days_since_check > 0 AND source = ?", [source]
            ).fetchall()
        assert {tmdb_id for (tmdb_id,) in changed} == stale[source] != set()
