"""`ayne changes`, `ayne files` and `ayne collect --change-feed`: as a person calls them, and killed while they run."""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.answers import ListedMovie
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_listing
from ayne_dagster_tests.support.processes import Ayne, number_asked, wait_until

pytestmark = pytest.mark.end_to_end

TODAY = datetime.now(UTC).date()
EPOCH = TODAY - timedelta(days=20)
NOON = datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC)
LATENCY = 0.4
DAY = timedelta(days=1)
WEEK = 7
YEAR = EPOCH.year
"""Recent movies change the most."""


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with StandIn(800, epoch=EPOCH, oddities=0) as standin:
        yield standin


@pytest.fixture(scope="module")
def slow_running() -> Iterator[StandIn]:
    """The same movies, from a source that takes its time."""
    with StandIn(800, epoch=EPOCH, oddities=0, latency_seconds=LATENCY) as standin:
        yield standin


@pytest.fixture
def standin(running: StandIn) -> StandIn:
    running.clear_faults()
    running.clear_log()
    running.set_now(NOON)
    return running


@pytest.fixture
def slow(slow_running: StandIn) -> StandIn:
    slow_running.clear_log()
    slow_running.set_now(NOON)
    return slow_running


@pytest.fixture
def command(standin: StandIn, tmp_path: Path) -> Ayne:
    """The command, at noon, with a database that knows the movies of one year, none of which was fetched."""
    files = {"AYNE_TMDB_EXPORT_URL": standin.tmdb_export_url, "AYNE_IMDB_RATINGS_URL": standin.imdb_ratings_url}
    asking = Ayne(tmp_path).asking(standin, **files)
    with Database(asking.database).transaction() as connection:
        at = NOON - 60 * DAY
        listed = standin.catalogue.discover(NOON, start=date(YEAR, 1, 1), end=date(YEAR, 12, 31))
        assert listed["total_results"] >= 15
        for row in listed["results"]:
            released = date.fromisoformat(row["release_date"])
            columns = {"tmdb_id": row["id"], "release_date": released, "release_year": str(YEAR)}
            merge_listing(connection, [ListedMovie(row["id"], at, columns, str(YEAR))], "run")
    return at_noon(asking, 0)


def at_noon(command: Ayne, days: float) -> Ayne:
    """The command some days from today, at noon."""
    offset = (NOON + days * DAY - datetime.now(UTC)) / DAY
    return Ayne(command.folder, command.settings | {"AYNE_CLOCK_OFFSET_DAYS": str(offset)}, command.database_name)


def named(standin: StandIn, *days: date) -> set[tuple[int, date]]:
    return {(i, day) for day in days for i in standin.catalogue.changed_ids(day, day, NOON + 400 * DAY)}


def known_of(command: Ayne, changes: set[tuple[int, date]]) -> set[tuple[int, date]]:
    """The changes of movies that are known."""
    known = set(command.column("SELECT tmdb_id FROM refresh_metadata"))
    return {change for change in changes if change[0] in known}


def read(command: Ayne) -> set[tuple[int, date]]:
    return set(command.rows("SELECT tmdb_id, day FROM tmdb_changes"))


def test_changes_are_read_up_to_yesterday_once_a_day(command: Ayne, standin: StandIn) -> None:
    told = command.call("changes", "--json")
    assert told.code == 0, told.err
    yesterday = TODAY - DAY
    listed, known = len(named(standin, yesterday)), len(known_of(command, named(standin, yesterday)))
    assert told.json == {
        "read_up_to": str(yesterday),
        "days": 1,
        "gaps": 0,
        "listed": listed,
        "known": known,
        "signals": known,
        "thawed": 0,
        "requests": len(standin.log()),  # with those for the names of countries and languages
    }
    assert read(command) == named(standin, yesterday)
    standin.clear_log()
    again = command.call("changes")
    assert (again.code, again.out) == (0, f"Nothing to read: TMDB's changes are read up to {yesterday}.\n")
    assert standin.log() == []
    standin.set_now(NOON + 3 * DAY)
    later = at_noon(command, 3).call("changes")
    assert f"Read     4 days, up to {TODAY + 2 * DAY}" in later.out


def test_one_run_with_a_clock_that_is_ahead_stops_nothing_and_is_mended_when_a_person_says_so(
    command: Ayne, standin: StandIn, capfd: pytest.CaptureFixture[str]
) -> None:
    standin.set_now(NOON + 400 * DAY)
    assert at_noon(command, 400).call("changes").code == 0
    standin.set_now(NOON)
    told = command.call("changes")
    assert told.code == 0
    assert f"Read     1 day, up to {TODAY - DAY}" in told.out
    progress = capfd.readouterr().err
    assert "1 row(s) of change_feed_days lie in the future" in progress
    assert "ayne check --mend" in progress
    found = command.call("check", "--json")
    assert (found.code, found.json["mended"]) == (1, {})
    assert {finding["code"] for finding in found.json["findings"]} == {"future"}
    mended = command.call("check", "--mend")
    assert mended.code == 0, mended.err
    assert "Mended: 1 row of change_feed_days" in mended.out
    assert "Sound: " in mended.out
    again = command.call("changes")
    assert again.out == f"Nothing to read: TMDB's changes are read up to {TODAY - DAY}.\n"
    assert "future" not in capfd.readouterr().err


def test_changes_need_a_key_for_tmdb_alone(command: Ayne) -> None:
    assert Ayne(command.folder, command.settings | {"OMDB_API_KEY": ""}).call("changes").code == 0
    none = Ayne(command.folder, command.settings | {"TMDB_READ_TOKEN": ""}).call("changes")
    assert none.code == 2
    assert "TMDB_READ_TOKEN" in none.complaint


def test_a_reader_that_is_killed_between_days_goes_on_where_it_stopped(
    command: Ayne, standin: StandIn, slow: StandIn
) -> None:
    assert command.call("changes").code == 0
    undisturbed = Ayne(command.folder, command.settings, "undisturbed.duckdb")
    shutil.copyfile(command.database, undisturbed.database)
    for source in (standin, slow):
        source.set_now(NOON + WEEK * DAY)
    assert at_noon(undisturbed, WEEK).call("changes").code == 0

    late = at_noon(command, WEEK)
    with late.asking(slow).running("changes") as process:
        wait_until(lambda: number_asked(slow, "changes") >= 6, process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    covered = command.column("SELECT day FROM change_feed_days ORDER BY day")
    assert covered == [TODAY - DAY + n * DAY for n in range(len(covered))], "no day is left out"
    assert len(covered) < WEEK + 1, "it was killed before its end"
    assert read(command) == named(standin, *covered), "a day is there with its ids, or not at all"

    standin.clear_log()
    assert late.call("changes", "--json").json["days"] == WEEK + 1 - len(covered) + 1, "with a day's overlap"
    assert read(command) == read(undisturbed) == named(standin, *(TODAY + n * DAY for n in range(-1, WEEK)))
    signals = "SELECT tmdb_id, tmdb_signals, tmdb_signalled_at FROM refresh_metadata ORDER BY tmdb_id"
    assert command.rows(signals) == undisturbed.rows(signals)
    counted = {row[0]: row[1] for row in command.rows(signals) if row[1]}
    assert counted == Counter(i for i, _ in known_of(command, read(command)))
    assert counted


def test_files_tell_what_they_brought_and_say_so_when_there_is_nothing_new(command: Ayne, standin: StandIn) -> None:
    told = command.call("files", "--json")
    assert told.code == 0, told.err
    listed = sum(1 for _ in standin.catalogue.ids(NOON))
    assert (told.json["tmdb_id_export"]["listed"], told.json["tmdb_id_export"]["new"]) == (listed, listed)
    assert told.json["imdb_ratings"]["rated"] == 0, "no IMDb id is known yet"
    again = command.call("files")
    assert (again.code, again.out.count("nothing new")) == (0, 2)
    assert standin.requests() == {"tmdb": 0, "omdb": 0, "files": 2}


def test_files_that_are_refused_fail_the_command_in_one_line(command: Ayne, tmp_path: Path) -> None:
    (tmp_path / "movie_ids.json.gz").write_bytes(b"<html>")
    bad = Ayne(command.folder, command.settings | {"AYNE_TMDB_EXPORT_URL": str(tmp_path / "movie_ids.json.gz")})
    told = bad.call("files")
    assert told.code == 1
    assert "0 usable lines" in told.complaint
    assert "what the last good file said stays" in told.complaint


@pytest.mark.parametrize(
    ("strategy", "options", "reads"),
    [
        ("age_table", (), False),
        ("age_table", ("--change-feed",), True),
        ("value_of_refresh", (), True),
        ("value_of_refresh", ("--no-change-feed",), False),
    ],
)
def test_a_collection_reads_the_change_feed_where_it_is_wanted_and_once_a_day(
    command: Ayne, standin: StandIn, strategy: str, options: tuple[str, ...], reads: bool
) -> None:
    chosen = Ayne(command.folder, command.settings | {"AYNE_REFRESH_STRATEGY": strategy})
    told = chosen.call("collect", "--json", "--refresh-only", "--refresh-limit", "2", *options)
    assert told.code == 0, told.err
    assert (number_asked(standin, "changes") > 0) == reads
    assert told.json["requests"]["tmdb"] == standin.requests()["tmdb"]
    assert told.json["signals"] == (len(known_of(command, named(standin, TODAY - DAY))) if reads else 0)
    standin.clear_log()
    assert chosen.call("collect", "--json", "--refresh-only", "--refresh-limit", "2", *options).code == 0
    assert number_asked(standin, "changes") == 0


def test_a_feed_that_cannot_be_read_fails_the_collection_after_the_refresh(command: Ayne, standin: StandIn) -> None:
    standin.inject(Fault("status", "tmdb", match="movie/changes", status=400))
    told = command.call("collect", "--json", "--refresh-only", "--refresh-limit", "3", "--change-feed")
    assert told.code == 1
    assert "The change feed of" in told.complaint
    assert told.json["tmdb_updated"] == 3
