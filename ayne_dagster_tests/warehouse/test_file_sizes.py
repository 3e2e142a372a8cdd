"""How large the files were: what is measured, how often it is noted, and when the disk is full at that pace."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from ayne_dagster.settings.places import HOME, LEDGER, SPOOL, companion
from ayne_dagster.warehouse.care.thinning import thin
from ayne_dagster.warehouse.file_sizes import DISK, OnDisk, observe_sizes, on_disk, pace_of, sizes_over_time
from ayne_dagster_tests.support.samples import DAY, START

Connection = duckdb.DuckDBPyConnection
GB = 10**9


def of(*sizes: tuple[str, int]) -> list[OnDisk]:
    return [OnDisk(what, Path("/"), size) for what, size in sizes]


def test_each_file_and_folder_of_a_collection_is_measured_and_nothing_that_is_not_there(tmp_path: Path) -> None:
    database = tmp_path / "movies.duckdb"
    database.write_bytes(b"x" * 1000)
    companion(database, LEDGER).write_bytes(b"x" * 20)
    for folder, size in ((companion(database, SPOOL), 3), (companion(database, HOME) / "history" / "runs", 500)):
        folder.mkdir(parents=True)
        (folder / "one").write_bytes(b"x" * size)
        (folder / "gone").symlink_to(tmp_path / "nowhere")
    elsewhere, lake = tmp_path / "home", tmp_path / "lake"
    for folder in (elsewhere, lake):
        folder.mkdir()
        (folder / "one").write_bytes(b"x" * 7)
    found = on_disk(database, [elsewhere], str(lake))
    assert [(each.what, each.bytes) for each in found] == [
        ("database", 1000), ("ledger", 20), ("spool", 3), ("dagster", 7), ("dagster", 500), ("lake", 7),
    ]  # fmt: skip
    assert {each.what for each in on_disk(tmp_path / "none.duckdb", data="s3://bucket/folder/")} == set()
    assert len(on_disk(database, [companion(database, HOME)])) == 4, "a home beside the database is measured once"


def test_sizes_are_noted_once_a_day_with_what_is_used_of_the_disk(connection: Connection) -> None:
    assert observe_sizes(connection, START, lambda: of(("database", 10), ("dagster", 5), ("dagster", 2)))

    def not_again() -> Sequence[OnDisk]:
        raise AssertionError("it was measured today")

    assert not observe_sizes(connection, START, not_again)
    assert observe_sizes(connection, START + DAY, lambda: of(("database", 20)))
    seen = sizes_over_time(connection, START + DAY)
    assert list(seen) == [START.date(), (START + DAY).date()]
    assert seen[START.date()] | {DISK: 0} == {"database": 10, "dagster": 7, DISK: 0}
    assert seen[START.date()][DISK] > 0
    assert list(sizes_over_time(connection, START)) == [START.date()], "what a clock that was ahead noted is not told"


def test_a_year_is_kept_and_told(connection: Connection) -> None:
    for days in (0, 300, 401):
        observe_sizes(connection, START + days * DAY, lambda: of(("database", 10)))
    end = START + 401 * DAY
    assert thin(connection, end)["file_sizes"] == 2, "the database's and the disk's of the first day"
    assert list(sizes_over_time(connection, end)) == [(START + days * DAY).date() for days in (300, 401)]


@pytest.mark.parametrize(
    ("a_day", "free", "full_in"),
    [(GB, 40 * GB, 40), (GB, 365 * GB, 365), (GB, 366 * GB + 1, None), (0, GB, None), (-GB, GB, None)],
    ids=["soon", "within a year", "after a year", "no growth", "more room"],
)
def test_the_day_on_which_the_disk_is_full_follows_from_the_last_month(
    a_day: int, free: int, full_in: int | None
) -> None:
    today = date(2026, 6, 30)
    before = [(today - timedelta(days=days), 10_000 * GB) for days in (300, 60)]
    lately = [(today - timedelta(days=days), 900 * GB - days * a_day) for days in (30, 20, 10, 0)]
    pace = pace_of([*before, *lately], free, today)
    assert pace is not None
    assert pace.bytes_a_day == pytest.approx(a_day)
    assert pace.full_on == (None if full_in is None else today + timedelta(days=full_in))


def test_no_pace_is_told_of_less_than_a_week() -> None:
    today = date(2026, 6, 30)
    assert pace_of([], GB, today) is None
    assert pace_of([(today - timedelta(days=days), GB) for days in (6, 3, 0)], GB, today) is None
    assert pace_of([(today - timedelta(days=days), GB) for days in (7, 0)], GB, today) is not None
