"""Snapshot, check and recovery as a person meets them: real commands, and real runs beside them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from ayne_dagster.settings.places import LEDGER, companion
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.care.integrity import check_database
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.schema import SCHEMA_VERSION
from ayne_dagster_tests.support.processes import Ayne, asked, number_asked, wait_until
from ayne_dagster_tests.support.schema_v1 import make_version_1

YEARS = ("--start-year", "2025", "--end-year", "2026", "--min-votes", "0")
ALL = ("--refresh-limit", "1000")


@pytest.fixture(scope="module")
def source() -> Iterator[StandIn]:
    with StandIn(2000, oddities=0) as standin:
        yield standin


@pytest.fixture(scope="module")
def slow() -> Iterator[StandIn]:
    """The same movies, from a source that takes its time."""
    with StandIn(2000, oddities=0, latency_seconds=0.08) as standin:
        yield standin


@pytest.fixture
def command(source: StandIn, tmp_path: Path) -> Ayne:
    source.clear_log()
    return Ayne(tmp_path).asking(source)


def sound(command: Ayne) -> bool:
    told = command.call("check", "--json")
    assert told.code == (0 if told.json["sound"] else 1)
    return bool(told.json["sound"])


@pytest.mark.end_to_end
def test_snapshots_taken_while_a_collection_writes_are_consistent_and_can_be_read(
    command: Ayne, slow: StandIn, tmp_path: Path
) -> None:
    movies = command.call("collect", "--json", *YEARS, "--refresh-limit", "0").json["discovered"]
    slow.clear_log()
    target = tmp_path / "published.duckdb"
    stored: list[int] = []
    running = command.asking(slow, AYNE_TMDB_MAX_CONCURRENT="1")  # so slow that several are taken meanwhile
    with running.running("collect", "--json", "--refresh-only", *ALL) as process:
        wait_until(lambda: number_asked(slow, "details") > 50, process)
        while process.poll() is None:
            taken = running.call("snapshot", str(target), "--json")
            assert taken.code == 0, taken.err
            report = check_database(Database(target), datetime.now(UTC))
            assert report.findings == [], report.findings
            with duckdb.connect(str(target), read_only=True) as reader:
                stored.append(reader.execute("SELECT count(*) FROM tmdb_details").fetchall()[0][0])
        assert process.wait() == 0, process.communicate()
    assert len(stored) >= 3
    assert stored == sorted(stored)
    assert any(0 < number < movies for number in stored), "a snapshot was taken while the collection was half done"
    left = {path.name for path in tmp_path.iterdir() if "published" in path.name}
    assert left == {"published.duckdb"}


@pytest.mark.end_to_end
def test_a_collection_into_a_restored_snapshot_asks_only_for_what_is_missing(
    command: Ayne, source: StandIn, tmp_path: Path
) -> None:
    # The ledger rightly goes on counting what was sent: with OMDb's quota the rest would have to wait for tomorrow.
    command = command.asking(source, AYNE_OMDB_DAILY_QUOTA="0")
    movies = command.call("collect", "--json", *YEARS, "--refresh-limit", "40").json["discovered"]
    snapshot = tmp_path / "snapshot.duckdb"
    assert command.call("snapshot", str(snapshot)).code == 0
    kept = set(command.column("SELECT tmdb_id FROM tmdb_details"))
    assert command.call("collect", "--json", "--refresh-only", *ALL).code == 0

    command.database.write_bytes(command.database.read_bytes()[:5000])  # the disaster
    broken = command.call("check", "--json")
    assert (broken.code, broken.json["findings"][0]["code"]) == (1, "unreadable")

    command.database.with_name(f"{command.database.name}.wal").unlink(missing_ok=True)
    shutil.copyfile(snapshot, command.database)
    assert sound(command)
    source.clear_log()
    again = command.call("collect", "--json", "--refresh-only", *ALL)
    assert again.code == 0, again.err
    details = asked(source, "details")
    assert len(details) == len(set(details)) == movies - len(kept)
    assert not {int(movie) for movie in details} & kept
    assert again.json["due_remaining"] == 0
    assert sound(command)


@pytest.mark.end_to_end
def test_a_collected_database_is_sound_and_damage_is_told_with_exit_code_1(command: Ayne) -> None:
    assert command.call("collect", "--json", *YEARS, "--refresh-limit", "40").code == 0
    told = command.call("check")
    assert told.code == 0, told.out
    assert "Sound: " in told.out

    with Database(command.database).connect() as connection:
        connection.execute("DELETE FROM tmdb_details WHERE tmdb_id IN (SELECT tmdb_id FROM tmdb_details LIMIT 3)")
    told = command.call("check")
    assert told.code == 1
    assert "3 movie(s) were fetched from TMDB, by refresh state and log, and have no row." in told.out
    assert "NOT sound" in told.out
    assert told.complaint == f"ayne: 1 thing is wrong in {command.database}; nothing was changed."
    assert set(command.call("check", "--json").json) == {
        "sound", "database", "schema_version", "movies", "findings", "mended", "resumed", "notes", "seconds",
    }  # fmt: skip


def test_a_ledger_that_cannot_be_read_is_told_by_the_check(command: Ayne) -> None:
    with Database(command.database).connect():
        pass
    companion(command.database, LEDGER).write_text("a letter " * 200)
    told = command.call("check", "--json")
    assert [finding["code"] for finding in told.json["findings"]] == ["ledger"]
    assert told.code == 1


def test_checking_what_is_not_there_is_wrong_usage(command: Ayne) -> None:
    for arguments in (("check",), ("snapshot", "copy.duckdb")):
        told = command.call(*arguments)
        assert told.code == 2
        assert "There is no database" in told.complaint


def test_an_older_database_is_sound_to_check_and_migrated_by_stats(command: Ayne) -> None:
    make_version_1(command.database)
    for _ in range(2):
        told = command.call("check", "--json")
        assert (told.code, told.json["schema_version"]) == (0, 1)
        assert "schema version 1" in told.json["notes"][0]
    assert command.call("stats", "--json").json["total_movies"] == 2
    assert command.call("check", "--json").json["schema_version"] == SCHEMA_VERSION


def test_a_snapshot_to_an_impossible_place_is_one_line(command: Ayne, tmp_path: Path) -> None:
    with Database(command.database).connect():
        pass
    told = command.call("snapshot", str(tmp_path))
    assert told.code == 2
    assert "is a folder" in told.complaint
