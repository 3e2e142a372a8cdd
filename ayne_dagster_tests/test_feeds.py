"""The feeds on a real Dagster instance, against the stand-in over HTTP, its clock turned over days."""

from __future__ import annotations

import gzip
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ayne_dagster.config import Settings
from ayne_dagster.definitions import build_defs
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY, FREEZE_AFTER_CYCLES, movie_state
from ayne_dagster.standin.catalogue import Catalogue
from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.client import DuckDBClient
from ayne_dagster.warehouse.database import Database
from ayne_dagster_tests.conftest import EPOCH, START, later, settings_for
from ayne_dagster_tests.support.processes import number_asked

pytestmark = pytest.mark.whole_runs

DAY = timedelta(days=1)
ALL_YEARS = {"dagster/asset_partition_range_start": "1874", "dagster/asset_partition_range_end": "unknown"}
REFRESH_ALL = {name: {"config": {"limit": 9999}} for name in ("tmdb_details", "omdb_ratings")}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Platform:
    """A code location with an instance: runs jobs at an instant."""

    def __init__(
        self, make_settings: Callable[..., Settings], standin: StandIn, instance: dg.DagsterInstance, **settings: Any
    ) -> None:
        self.make_settings = make_settings
        self.standin = standin
        self.instance = instance
        self.settings = {
            "tmdb_export_url": standin.tmdb_export_url,
            "imdb_ratings_url": standin.imdb_ratings_url,
        } | settings

    def run(
        self, job: str, now: datetime, config: dict[str, Any] | None = None, **tags: str
    ) -> dg.ExecuteInProcessResult:
        self.standin.set_now(now)
        settings = self.make_settings(now, **self.settings)
        return (
            build_defs(settings)
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance, run_config={"ops": config or {}, **QUIET}, tags=tags, raise_on_error=False
            )
        )

    def read_changes(self, days: float) -> dg.ExecuteInProcessResult:
        return self.run("read_change_feed", later(days))

    def read_files(self, now: datetime, **config: Any) -> dg.ExecuteInProcessResult:
        return self.run("read_daily_files", now, {"tmdb_id_export": {"config": config}} if config else None)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in DuckDBClient(self.make_settings().database).query(sql)]

    def signals(self, source: str = "tmdb") -> dict[int, int]:
        column = f"{source}_signals"
        return dict(self.rows(f"SELECT tmdb_id, {column} FROM refresh_metadata WHERE {column} > 0"))


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    """600 movies: enough for the feed to say something on most days."""
    with StandIn(600, epoch=EPOCH, oddities=0) as standin:
        yield standin


@pytest.fixture
def standin(running: StandIn) -> StandIn:
    running.clear_faults()
    running.clear_log()
    running.set_now(START)
    return running


@pytest.fixture(scope="module")
def collection(running: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which everything that exists at START is known and was fetched then."""
    database = tmp_path_factory.mktemp("collection") / "ayne.duckdb"

    def make_settings(now: datetime, **options: Any) -> Settings:
        return settings_for(running, database, now, **options)

    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(make_settings, running, instance)
        config: dict[str, Any] = {"discovered_movies": {"config": {"min_votes": 0}}}
        assert platform.run("discover_movies", START, config, **ALL_YEARS).success
        assert platform.run("refresh_movies", START, REFRESH_ALL, **ALL_YEARS).success
    return database


@pytest.fixture
def platform(make_settings: Callable[..., Settings], standin: StandIn, instance: dg.DagsterInstance) -> Platform:
    return Platform(make_settings, standin, instance)


@pytest.fixture
def collected(platform: Platform, collection: Path) -> Platform:
    """A platform with a copy of the collection."""
    platform.standin.clear_log()
    shutil.copyfile(collection, platform.make_settings().database)
    return platform


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def reason(result: dg.ExecuteInProcessResult) -> str:
    """Why the one step that failed did."""
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    return str(failure.step_failure_data.user_failure_data.description)


def changed_on(catalogue: Catalogue, *days: date) -> set[tuple[int, date]]:
    """What the feed has to say of some days, long after them."""
    return {(i, day) for day in days for i in catalogue.changed_ids(day, day, later(400))}


def days_from(first: int, last: int) -> list[date]:
    """Days by their number from EPOCH on, both included."""
    return [EPOCH + DAY * n for n in range(first, last + 1)]


# Change feed


def test_signals_arrive_for_exactly_the_movies_that_changed_whatever_the_overlap(collected: Platform) -> None:
    for days in range(1, 12):
        assert collected.read_changes(days).success
    expected = changed_on(collected.standin.catalogue, *days_from(0, 10))
    assert set(collected.rows("SELECT tmdb_id, day FROM tmdb_changes")) == expected
    known = {row[0] for row in collected.rows("SELECT tmdb_id FROM refresh_metadata")}
    assert collected.signals() == Counter(i for i, _ in expected if i in known)
    assert len(collected.signals()) > 3
    assert collected.rows("SELECT count(*), min(day), max(day) FROM change_feed_days WHERE covered") == [
        (11, EPOCH, EPOCH + 10 * DAY)
    ]
    assert {entry["endpoint"] for entry in collected.standin.log()} == {"changes", "countries", "languages"}


def test_a_second_reading_on_a_day_asks_nothing(collected: Platform) -> None:
    collected.read_changes(1)
    collected.standin.clear_log()
    result = collected.read_changes(1.2)
    assert result.success
    assert collected.standin.log() == []
    assert metadata(result, "tmdb_changes")["cursor"] == str(EPOCH)


def test_a_gap_of_20_days_is_recorded_and_the_rest_is_read(collected: Platform) -> None:
    collected.read_changes(1)
    result = collected.read_changes(22)
    told = metadata(result, "tmdb_changes")
    assert (told["days"], told["gaps"], told["cursor"]) == (14, 7, str(EPOCH + 21 * DAY))
    recorded = collected.rows("SELECT day, covered FROM change_feed_days ORDER BY day")
    assert recorded == [(day, day == EPOCH or day >= EPOCH + 8 * DAY) for day in days_from(0, 21)]
    expected = changed_on(collected.standin.catalogue, EPOCH, *days_from(8, 21))
    assert set(collected.rows("SELECT tmdb_id, day FROM tmdb_changes")) == expected


def test_a_day_that_cannot_be_read_fails_the_run_and_keeps_those_before(collected: Platform) -> None:
    collected.read_changes(1)
    bad = EPOCH + 4 * DAY
    collected.standin.inject(Fault("status", "tmdb", match=f"start_date={bad}&end_date={bad}", status=400))
    result = collected.read_changes(8)
    assert not result.success
    assert f"The change feed of {bad} cannot be read" in reason(result)
    assert collected.rows("SELECT max(day) FROM change_feed_days") == [(bad - DAY,)]
    collected.standin.clear_faults()
    assert collected.read_changes(8).success
    expected = changed_on(collected.standin.catalogue, *days_from(0, 7))
    assert set(collected.rows("SELECT tmdb_id, day FROM tmdb_changes")) == expected


def test_names_of_countries_and_languages_come_with_the_feed_once_a_month(collected: Platform) -> None:
    for days in (1, 2, 9, 32):
        assert collected.read_changes(days).success
    asked = Counter(entry["endpoint"] for entry in collected.standin.log())
    assert (asked["countries"], asked["languages"]) == (2, 2)
    found = collected.rows("SELECT name, CAST(listed_at AS DATE) FROM countries WHERE code = 'CZ'")
    assert found == [("Czechia", later(32).date())]


def test_names_that_cannot_be_had_fail_nothing_and_are_asked_for_by_the_next_reading(collected: Platform) -> None:
    collected.standin.inject(Fault("status", "tmdb", match="configuration/countries", status=400))
    result = collected.read_changes(1)
    assert result.success
    assert metadata(result, "tmdb_changes")["cursor"] == str(EPOCH)
    assert collected.rows("SELECT DISTINCT kind FROM code_names") == [("language",)]
    collected.standin.clear_faults()
    assert collected.read_changes(1.1).success
    assert collected.rows("SELECT DISTINCT kind FROM code_names ORDER BY 1") == [("country",), ("language",)]


def test_a_day_that_lists_nothing_is_doubted(collected: Platform) -> None:
    collected.standin.inject(Fault("empty_page", "tmdb", match="movie/changes", times=1))
    assert collected.read_changes(1).success
    expected = changed_on(collected.standin.catalogue, EPOCH) - {
        (i, EPOCH) for i, _ in changed_on(collected.standin.catalogue, EPOCH + DAY)
    }
    assert set(collected.rows("SELECT tmdb_id, day FROM tmdb_changes")) == expected


def test_an_invalid_key_stops_the_reading_at_once(collected: Platform) -> None:
    collected.settings["tmdb_read_token"] = "invalid"
    result = collected.read_changes(1)
    assert "TMDB_READ_TOKEN" in reason(result)
    assert number_asked(collected.standin, "changes") == 1
    assert collected.rows("SELECT count(*) FROM change_feed_days") == [(0,)]


def test_a_frozen_movie_that_changed_is_thawed(collected: Platform) -> None:
    database = collected.make_settings().database
    with Database(database).connect() as connection:
        connection.execute("UPDATE refresh_metadata SET unchanged_cycles = ?", [FREEZE_AFTER_CYCLES])
    movies = DuckDBClient(database).query("SELECT * FROM refresh_metadata")
    frozen = {movie["tmdb_id"] for movie in movies if AGE_TABLE_STRATEGY.is_frozen(movie_state(movie), later(1))}
    named = {i for i, _ in changed_on(collected.standin.catalogue, *days_from(0, 13))}
    thawed = [metadata(collected.read_changes(days), "tmdb_changes")["thawed"] for days in (1, 14)]
    assert sum(thawed) == len(frozen & named) > 0


# ID export


def test_movies_that_vanish_are_marked_on_the_second_export_and_new_ones_are_listed(collected: Platform) -> None:
    catalogue = collected.standin.catalogue
    gone, on = min(
        ((i, on) for i in catalogue.ids(START) if (on := catalogue.deleted_on(i))), key=lambda found: found[1]
    )
    morning = datetime.combine(on, time(9, 15), UTC)
    for days in (-1, 0, 1, 2):
        assert collected.read_files(morning + DAY * days).success
        existing = set(catalogue.ids(morning + DAY * days))
        listed = f"SELECT tmdb_id FROM tmdb_id_export WHERE last_listed_on = DATE '{on + DAY * days}'"
        assert {row[0] for row in collected.rows(listed)} == existing
    assert collected.rows(
        "SELECT tmdb_id, missing_since, vanished_on FROM tmdb_id_export WHERE missing_since < now()"
    ) == [(gone, on, on + DAY)]
    assert collected.signals() == {gone: 1}
    assert collected.rows(f"SELECT count(*) FROM tmdb_details WHERE tmdb_id = {gone}") == [(1,)]
    assert collected.standin.requests() == {"tmdb": 0, "omdb": 0, "files": 8}
    popularity = dict(collected.rows("SELECT tmdb_id, popularity FROM refresh_metadata"))
    now = collected.standin.now()
    assert all(popularity[i] == catalogue.details(i, now)["popularity"] for i in existing & popularity.keys())  # type: ignore[index]


def test_before_todays_export_is_there_yesterdays_is_read_and_none_twice(platform: Platform) -> None:
    seven = datetime.combine(EPOCH + DAY, time(7), UTC)
    assert metadata(platform.read_files(seven), "tmdb_id_export")["file"] == str(EPOCH)
    asked = len(platform.standin.log())
    assert metadata(platform.read_files(seven), "tmdb_id_export")["file"] == "the last one was read already"
    result = platform.read_files(seven + timedelta(hours=2))
    assert metadata(result, "tmdb_id_export")["file"] == str(EPOCH + DAY)
    assert platform.read_files(seven + timedelta(hours=3)).success
    exports = [entry["status"] for entry in platform.standin.log() if entry["endpoint"] == "id_export"]
    assert exports == [403, 200, 403, 200]
    assert asked == 3, "two exports and one file of ratings"


def test_no_export_for_two_days_fails_its_step_and_not_that_of_the_ratings(platform: Platform) -> None:
    platform.standin.inject(Fault("status", "any", match="/p/exports", status=404))
    result = platform.read_files(later(1))
    assert not result.success
    assert "not there (yet): HTTP 404" in reason(result)
    assert result.asset_materializations_for_node("imdb_ratings")


class Folder:
    """Exports as files in a folder."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.folder = folder
        platform.settings["tmdb_export_url"] = str(folder / "movie_ids_{date}.json.gz")

    def put(self, day: date, body: bytes) -> None:
        (self.folder / f"movie_ids_{day:%m_%d_%Y}.json.gz").write_bytes(body)


def test_a_short_export_is_refused_as_a_whole_and_believed_when_a_person_says_so(
    platform: Platform, tmp_path: Path
) -> None:
    folder = Folder(platform, tmp_path)
    lines = platform.standin.catalogue.id_export(EPOCH).splitlines(keepends=True)
    folder.put(EPOCH, gzip.compress(b"".join(lines)))
    assert platform.read_files(START).success
    stored = "SELECT * FROM tmdb_id_export ORDER BY tmdb_id"
    before = platform.rows(stored)
    kept = int(len(lines) * 0.94)
    folder.put(EPOCH + DAY, gzip.compress(b"".join(lines[:kept])))
    said = reason(platform.read_files(later(1)))
    assert f"it has {kept} usable lines, the last accepted one had {len(lines)}" in said
    assert "what the last good file said stays" in said
    assert platform.rows(stored) == before
    record = "SELECT accepted, lines FROM daily_files WHERE name = 'tmdb_id_export' ORDER BY day"
    assert platform.rows(record) == [(True, len(lines)), (False, kept)]
    result = platform.read_files(later(1), believe=True)
    assert metadata(result, "tmdb_id_export")["missing"] == len(lines) - kept
    assert platform.rows(record) == [(True, len(lines)), (True, kept)]


@pytest.mark.parametrize("kind", ["cut", "html", "empty", "other", "series"])
def test_a_file_that_is_no_export_is_refused_and_leaves_nothing_behind(
    platform: Platform, tmp_path: Path, kind: str
) -> None:
    folder = Folder(platform, tmp_path)
    whole = gzip.compress(platform.standin.catalogue.id_export(EPOCH))
    ratings = gzip.compress(platform.standin.catalogue.imdb_ratings(EPOCH))
    series = platform.standin.catalogue.id_export(EPOCH).replace(b"original_title", b"original_name")
    bodies = {"cut": whole[: len(whole) * 3 // 4], "html": b"<html>503</html>", "empty": b"", "other": ratings}
    bodies["series"] = gzip.compress(series)
    folder.put(EPOCH, bodies[kind])
    result = platform.read_files(START)
    assert not result.success
    assert reason(result).count("\n") == 0
    assert platform.rows("SELECT count(*) FROM tmdb_id_export") == [(0,)]
    beside = platform.make_settings().database.parent
    assert not [*beside.glob("*.part"), *beside.glob("*.parquet"), *beside.glob("*.lines")]
    assert result.asset_materializations_for_node("imdb_ratings"), "the other file is read all the same"


def test_an_export_of_quite_other_movies_is_refused_for_its_day_and_the_next_good_one_is_read(
    platform: Platform, tmp_path: Path
) -> None:
    folder = Folder(platform, tmp_path)
    whole = platform.standin.catalogue.id_export(EPOCH)
    folder.put(EPOCH, gzip.compress(whole))
    folder.put(EPOCH + DAY, gzip.compress(whole.replace(b'"id":', b'"id":9')))
    folder.put(EPOCH + 2 * DAY, gzip.compress(whole))
    assert platform.read_files(START).success
    stored = "SELECT tmdb_id, missing_since FROM tmdb_id_export ORDER BY tmdb_id"
    before = platform.rows(stored)
    said = reason(platform.read_files(later(1)))
    assert "movies of the last accepted one" in said
    assert "run tmdb_id_export with the config `believe: true`" in said
    assert platform.rows(stored) == before
    assert platform.read_files(later(2)).success
    assert platform.rows(stored) == before


def test_the_first_export_is_refused_when_it_lacks_what_tmdb_has_answered_and_the_right_one_is_read_the_next_day(
    collected: Platform, tmp_path: Path
) -> None:
    folder = Folder(collected, tmp_path)
    whole = collected.standin.catalogue.id_export(EPOCH)
    folder.put(EPOCH, gzip.compress(whole.replace(b'"id":', b'"id":9')))
    folder.put(EPOCH + DAY, gzip.compress(whole))
    assert "movies that TMDB has answered" in reason(collected.read_files(START))
    assert collected.rows("SELECT count(*) FROM tmdb_id_export") == [(0,)]
    assert collected.read_files(later(1)).success
    assert collected.rows("SELECT count(*) FROM tmdb_id_export") == [(whole.count(b"\n"),)]


def test_a_right_export_is_read_and_told_though_a_wrong_one_was_believed(collected: Platform, tmp_path: Path) -> None:
    folder = Folder(collected, tmp_path)
    whole = collected.standin.catalogue.id_export(EPOCH)
    folder.put(EPOCH, gzip.compress(whole.replace(b'"id":', b'"id":9')))
    folder.put(EPOCH + DAY, gzip.compress(whole))
    assert collected.read_files(START, believe=True).success
    result = collected.read_files(later(1))
    assert result.success
    messages = [record.message for record in collected.instance.all_logs(result.run_id)]
    assert any("is believed though" in message and "that one is wrong itself" in message for message in messages)


def test_what_is_switched_off_says_so_and_does_nothing(
    make_settings: Callable[..., Settings], standin: StandIn, instance: dg.DagsterInstance
) -> None:
    platform = Platform(make_settings, standin, instance, tmdb_export_url=None, imdb_ratings_url=None)
    result = platform.read_files(START)
    assert result.success
    assert not [event for event in result.all_events if event.is_step_materialization]
    assert standin.log() == []
    messages = [record.message for record in instance.all_logs(result.run_id)]
    for name in ("AYNE_TMDB_EXPORT_URL", "AYNE_IMDB_RATINGS_URL"):
        assert any(f"is off: {name} is not set" in message for message in messages)


def test_movies_become_known_from_the_popularity_that_is_set(platform: Platform) -> None:
    platform.settings["tmdb_export_min_popularity"] = 2.0
    result = platform.read_files(START)
    popular = platform.rows("SELECT tmdb_id FROM tmdb_id_export WHERE popularity >= 2.0 ORDER BY 1")
    assert platform.rows("SELECT tmdb_id FROM refresh_metadata ORDER BY 1") == popular
    assert metadata(result, "tmdb_id_export")["became_known"] == len(popular) > 10
    undated = dict.fromkeys(ALL_YEARS, "unknown")
    assert platform.run("refresh_movies", START, REFRESH_ALL, **undated).success
    assert platform.rows("SELECT count(*) FROM movies WHERE title IS NOT NULL") == [(len(popular),)]


# IMDb's ratings


def test_the_file_agrees_with_what_omdb_tells_on_the_day(collected: Platform) -> None:
    assert collected.read_files(START).success
    both = collected.rows(
        "SELECT count(*), count(*) FILTER (WHERE o.imdb_rating = i.imdb_rating AND o.imdb_votes = i.imdb_votes)"
        " FROM imdb_ratings AS i JOIN omdb_ratings AS o USING (tmdb_id) WHERE o.imdb_rating IS NOT NULL"
    )
    assert both[0][0] == both[0][1] > 200


def rated(catalogue: Catalogue, day: date) -> dict[str, tuple[int, int]]:
    """Rating in tenths and votes of each title."""
    lines = catalogue.imdb_ratings(day).decode().splitlines()[1:]
    return {imdb_id: (round(float(r) * 10), int(v)) for imdb_id, r, v in (line.split("\t") for line in lines)}


def test_titles_whose_votes_or_rating_jumped_are_signalled_to_omdb_and_shown_fresh(collected: Platform) -> None:
    assert collected.read_files(START).success
    assert collected.signals("omdb") == {}
    assert collected.read_files(later(40)).success
    catalogue = collected.standin.catalogue
    before, after = rated(catalogue, EPOCH), rated(catalogue, EPOCH + 40 * DAY)
    known = collected.rows("SELECT tmdb_id, imdb_id FROM refresh_metadata WHERE imdb_id IS NOT NULL")
    expected = set()
    for tmdb_id, imdb_id in known:
        if imdb_id in before and imdb_id in after:
            (old_rating, old), (rating, votes) = before[imdb_id], after[imdb_id]
            if votes - old >= 50 and (votes >= 1.2 * old or (votes >= 1.05 * old and rating != old_rating)):
                expected.add(tmdb_id)
    assert set(collected.signals("omdb")) == expected
    assert expected
    shown = collected.rows("SELECT imdb_id, imdb_rating, imdb_votes FROM movies WHERE imdb_rating_source = 'imdb'")
    assert {i: (round(r * 10), v) for i, r, v in shown} == {i: after[i] for _, i in known if i in after}


def test_the_terms_are_shown_where_the_file_is_switched_on(collected: Platform, instance: dg.DagsterInstance) -> None:
    result = collected.read_files(START)
    messages = [record.message for record in instance.all_logs(result.run_id)]
    assert any("personal and non-commercial use" in message for message in messages)
    spec = next(
        s for s in build_defs(collected.make_settings()).resolve_all_asset_specs() if s.key.path == ["imdb_ratings"]
    )
    assert "personal and non-commercial use" in str(spec.description)


# Checks and schedules


def test_the_checks_of_the_feeds_pass(collected: Platform) -> None:
    results = [collected.read_changes(3), collected.read_files(later(3))]
    checks = {
        (check.asset_key.path[-1], check.check_name): check.passed
        for result in results
        for check in result.get_asset_check_evaluations()
    }
    assert checks == {
        ("tmdb_changes", "keys_are_unique"): True,
        ("tmdb_id_export", "keys_are_unique"): True,
        ("imdb_ratings", "keys_are_unique"): True,
        ("imdb_ratings", "years_match_partitions"): True,
        ("imdb_ratings", "no_orphans"): True,
    }


@pytest.mark.parametrize(
    ("name", "job", "after_hour"),
    [("change_feed_schedule", "read_change_feed", 8), ("daily_files_schedule", "read_daily_files", 9)],
)
def test_the_feeds_are_read_daily_when_they_are_ready(
    make_settings: Callable[..., Settings], name: str, job: str, after_hour: int
) -> None:
    schedule = build_defs(make_settings()).resolve_schedule_def(name)
    assert schedule.job_name == job
    assert schedule.execution_timezone == "UTC"
    minute, hour, *rest = str(schedule.cron_schedule).split()
    assert (int(hour), rest) == (after_hour, ["*", "*", "*"])
    assert int(minute) > 0
