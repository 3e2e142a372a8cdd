"""Several machines on one lake: processes that share nothing but catalogue, files and ledger."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.care.integrity import check_database
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES, OMDB_RATINGS, TMDB_DETAILS, Table
from ayne_dagster.warehouse.spool import kept
from ayne_dagster.warehouse.store import Store
from ayne_dagster_tests.conftest import EPOCH, START
from ayne_dagster_tests.support.lake import Lake, forget, opened, variables
from ayne_dagster_tests.support.postgres import restartable_postgres
from ayne_dagster_tests.support.processes import Ayne, asked, ended, number_asked, wait_until

pytestmark = [pytest.mark.on_lake, pytest.mark.end_to_end, pytest.mark.timeout(900)]

MOVIES = 30
ALL = ("--start-year", "1874", "--end-year", "2035", "--min-votes", "0", "--json")


@pytest.fixture
def few() -> Iterator[StandIn]:
    """A stand-in with so few movies that a busy machine has them collected in seconds."""
    with StandIn(MOVIES, oddities=0, epoch=EPOCH) as running:
        running.set_now(START)
        yield running


def test_two_machines_ask_nothing_twice_and_their_lake_holds_what_one_file_would(
    lake: Lake, few: StandIn, tmp_path: Path
) -> None:
    alone = Ayne(machine(tmp_path, "alone")).asking(few)
    assert alone.run("collect", *ALL).code == 0
    few.clear_log()

    machines = [on_machine(lake, tmp_path, name).asking(few) for name in ("a", "b")]
    processes = [command.spawn("collect", *ALL) for command in machines]
    results = [ended(process) for process in processes]
    assert [result.code for result in results] == [0, 0], results
    for endpoint in ("details", "omdb"):
        assert [movie for movie, times in Counter(asked(few, endpoint)).items() if times > 1] == [], endpoint
    for table in (DISCOVERED_MOVIES, TMDB_DETAILS, OMDB_RATINGS):
        assert told_by_sources(lake.store, table) == told_by_sources(Database(alone.database), table), table.name
    assert check_database(lake.store, datetime.now(UTC)).findings == []


def test_a_server_that_is_restarted_in_the_middle_costs_no_answer(
    lake_template: str, few: StandIn, tmp_path: Path
) -> None:
    assert lake_template  # there is a lake to be had
    with (
        restartable_postgres("fsync=off") as (server, restart),
        StandIn(MOVIES, oddities=0, epoch=EPOCH, latency_seconds=0.3) as slow,
    ):
        slow.set_now(START)
        names = [server.new_database() for _ in range(2)]
        environment = variables(server, names[0].rpartition("/")[2], names[1], tmp_path)
        lake = Lake(opened(environment), environment, names[0])
        command = on_machine(lake, tmp_path, "a")
        asking = command.asking(slow, AYNE_TMDB_MAX_CONCURRENT="1")
        process = asking.spawn("collect", *ALL)
        wait_until(lambda: number_asked(slow, "details") >= MOVIES // 3, process)
        restart()
        first = ended(process)
        arrived = set(asked(slow, "details"))

        assert command.asking(few).run("collect", *ALL).code == 0
        again = arrived & set(asked(few, "details"))
        assert len(again) <= 1, (first, again)  # the one that was on its way
        assert kept(opened(lake.on_machine(command.folder / "state")).path) == 0
        with lake.store.connect(read_only=True) as connection:
            rows = connection.execute("SELECT count(*), count(DISTINCT tmdb_id) FROM tmdb_details").fetchall()
        assert rows == [(len(arrived | set(asked(few, "details"))),) * 2]
        forget(lake.store.place)


def test_a_machine_that_is_killed_lets_another_one_go_on_at_once(lake: Lake, few: StandIn, tmp_path: Path) -> None:
    with StandIn(MOVIES, oddities=0, epoch=EPOCH, latency_seconds=0.3) as slow:
        slow.set_now(START)
        process = on_machine(lake, tmp_path, "a").asking(slow, AYNE_TMDB_MAX_CONCURRENT="1").spawn("collect", *ALL)
        wait_until(lambda: number_asked(slow, "details") >= 3, process)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    result = on_machine(lake, tmp_path, "b").asking(few).run("collect", *ALL)
    assert result.code == 0, result
    assert "waiting for it to end" not in result.err
    assert check_database(lake.store, datetime.now(UTC)).findings == []


def test_a_lake_without_a_shared_ledger_is_refused_in_a_line_before_anything_is_done(
    tmp_path: Path,
) -> None:
    settings = {"AYNE_DATABASE": "ducklake:postgres:host=127.0.0.1 dbname=x", "AYNE_LAKE_DATA": str(tmp_path / "files")}
    refused = Ayne(tmp_path, settings).call("stats")
    assert refused.code == 2
    assert "AYNE_LEDGER_URL names no Postgres" in refused.complaint
    assert list(tmp_path.iterdir()) == []


def machine(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    return folder


def on_machine(lake: Lake, tmp_path: Path, name: str) -> Ayne:
    folder = machine(tmp_path, name)
    return Ayne(folder, lake.on_machine(folder / "state"))


def told_by_sources(store: Store, table: Table) -> list[tuple[object, ...]]:
    """What is stored of what sources said, without when that was."""
    names = ", ".join((*table.key, *table.content))
    with store.connect(read_only=True) as connection:
        return sorted(connection.execute(f"SELECT {names} FROM {table.name}").fetchall(), key=repr)
