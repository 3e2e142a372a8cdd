"""The assets on a real Dagster instance, against the stand-in over HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ayne_dagster.assets import marts, refreshing
from ayne_dagster.assets.empty_years import PARTITIONED
from ayne_dagster.assets.markdown import markdown_table
from ayne_dagster.assets.refreshing import left_out, taken
from ayne_dagster.assets.switched_off import switched_off, tell_of_switched_off
from ayne_dagster.collecting.streams import Batches
from ayne_dagster.config import Settings
from ayne_dagster.definitions import build_defs
from ayne_dagster.partitions import PARTITION_KEYS
from ayne_dagster.refresh.strategy import Override, Reason
from ayne_dagster.resources.clients import DuckDBDatabase
from ayne_dagster.resources.io_manager import MergeStream, MergingDuckDBIOManager
from ayne_dagster.runs.batch import pick_batch, range_tags
from ayne_dagster.runs.instance import open_instance
from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.answers import ListedMovie, MergeReport
from ayne_dagster.warehouse.client import DuckDBClient
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_listing
from ayne_dagster.warehouse.refresh_metadata import DueMovie, due_counts, set_override
from ayne_dagster.warehouse.rows import read_rows
from ayne_dagster.warehouse.schema import REFRESH_METADATA
from ayne_dagster.warehouse.views import MOVIES
from ayne_dagster_tests.conftest import START, later

pytestmark = pytest.mark.whole_runs

MakeSettings = Callable[..., Settings]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Platform:
    """A code location with an instance: runs jobs at an instant, on a range of years."""

    def __init__(self, make_settings: MakeSettings, standin: StandIn, instance: dg.DagsterInstance) -> None:
        self.make_settings = make_settings
        self.standin = standin
        self.instance = instance
        self.settings = make_settings()

    def run(
        self,
        job: str,
        now: datetime = START,
        *,
        years: tuple[str, str] = ("2019", "2022"),
        config: dict[str, Any] | None = None,
        **settings: Any,
    ) -> dg.ExecuteInProcessResult:
        self.standin.set_now(now)
        self.settings = self.make_settings(now, **settings)
        definition = build_defs(self.settings).resolve_job_def(job)
        return definition.execute_in_process(
            instance=self.instance,
            tags=range_tags(*years),
            run_config={"ops": config or {}, **QUIET},
            raise_on_error=False,
        )

    def discover(self, now: datetime = START, **options: Any) -> dg.ExecuteInProcessResult:
        return self.run("discover_movies", now, **options)

    def refresh(self, now: datetime = START, limit: int = 1000, **options: Any) -> dg.ExecuteInProcessResult:
        config = {"config": {"limit": limit}}
        return self.run("refresh_movies", now, config={"tmdb_details": config, "omdb_ratings": config}, **options)

    def query(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        return DuckDBClient(self.settings.database).query(sql, list(parameters) or None)

    def value(self, sql: str) -> Any:
        return next(iter(self.query(sql)[0].values()))

    def details_asked(self) -> list[int]:
        return [int(entry["id"]) for entry in self.standin.log() if entry["endpoint"] == "details"]


@pytest.fixture
def platform(make_settings: MakeSettings, standin: StandIn, instance: dg.DagsterInstance) -> Platform:
    return Platform(make_settings, standin, instance)


@pytest.mark.on_duckdb2
def test_a_collection_fills_every_table(platform: Platform) -> None:
    assert platform.discover().success
    assert platform.refresh().success
    movies = platform.value("SELECT count(*) FROM discovered_movies")
    assert movies > 20
    assert platform.value("SELECT count(*) FROM tmdb_details") == movies
    assert platform.value("SELECT count(*) FROM movies") == movies
    assert platform.value("SELECT count(*) FROM movies WHERE imdb_rating IS NOT NULL") > movies / 2
    assert platform.value("SELECT total_movies FROM collection_status ORDER BY observed_at DESC LIMIT 1") == movies


@pytest.mark.on_duckdb2
def test_the_ui_gets_curves_of_each_day_and_a_look_at_the_movies(platform: Platform) -> None:
    platform.discover()
    result = platform.refresh(limit=10, omdb_quota=100)
    (status,) = (m.metadata for m in result.asset_materializations_for_node("collection_status"))
    known = platform.value("SELECT count(*) FROM movies")
    names = ("requests_tmdb", "changed_tmdb", "failed_tmdb", "due_tmdb", "share_in_time_tmdb", "requests_left_omdb")
    told = {name: status[name].value for name in names}
    assert told["requests_tmdb"] == told["changed_tmdb"] == 10
    assert (told["failed_tmdb"], told["due_tmdb"], told["share_in_time_tmdb"]) == (0, known - 10, 1.0)
    assert told["requests_left_omdb"] == 100 - platform.value("SELECT sum(requests) FROM fetch_log WHERE source='omdb'")
    assert "| TMDB | 10 |" in str(status["today"].value)
    assert 0 < status["likely_unchanged_tmdb"].value < 1, "most were never asked for"
    assert re.search(r"\| TMDB \| (\d+\\%)? \|", str(status["freshness"].value))
    (movies,) = (m.metadata for m in result.asset_materializations_for_node("movies"))
    assert len(str(movies["preview"].value).splitlines()) == 2 + 5
    assert movies["share_with_imdb_id"].value == round(platform.value("SELECT count(imdb_id) FROM movies") / known, 4)


@pytest.mark.on_duckdb2
def test_a_run_tells_of_years_without_movies_and_of_feeds_that_are_off_before_its_checks_look(
    make_settings: MakeSettings, standin: StandIn, tmp_path: Path
) -> None:
    with open_instance(Settings(database=tmp_path / "ayne.duckdb")) as home:
        platform = Platform(make_settings, standin, home)
        platform.discover()
        (known,) = platform.query("SELECT list(DISTINCT release_year) AS years FROM discovered_movies")
        assert home.get_materialized_partitions(dg.AssetKey("tmdb_details")) == set(PARTITION_KEYS) - set(
            known["years"]
        )
        platform.refresh()
        for asset in PARTITIONED:
            assert home.get_materialized_partitions(asset) == set(PARTITION_KEYS)
            latest = home.get_latest_materialization_event(asset)
            assert latest is not None
            assert latest.run_id, "what was told without a run would stand before the checks' results"
        for feed in ("tmdb_id_export", "imdb_ratings"):
            told = home.get_latest_materialization_event(dg.AssetKey(feed))
            assert told is not None
            assert told.asset_materialization is not None
            assert str(told.asset_materialization.description).startswith("Switched off: AYNE_")
        assert tell_of_switched_off(home, switched_off(platform.settings)) == 0, "once"


def test_what_is_switched_off_says_so_and_is_never_late(make_settings: MakeSettings, tmp_path: Path) -> None:
    def specs(settings: Settings) -> dict[str, dg.AssetSpec]:
        return {spec.key.path[-1]: spec for spec in build_defs(settings).resolve_all_asset_specs()}

    off = specs(make_settings())["tmdb_id_export"]
    assert str(off.description).startswith("Switched off: AYNE_TMDB_EXPORT_URL is not set")
    assert off.freshness_policy is None
    on = specs(make_settings(tmdb_export_url=str(tmp_path / "export.json.gz")))["tmdb_id_export"]
    assert on.freshness_policy is not None
    assert "Switched off" not in str(on.description)


def nothing_due(result: dg.ExecuteInProcessResult, asset: str) -> dict[str | None, str]:
    """By release year: what a run said of that nothing is due."""
    return {
        m.partition: str(m.metadata["nothing_due"].value)
        for m in result.asset_materializations_for_node(asset)
        if "nothing_due" in m.metadata
    }


def test_a_run_that_has_nothing_to_ask_says_why_until_when_and_how_to_ask_all_the_same(platform: Platform) -> None:
    everything: dict[str, Any] = {}
    platform.discover()
    platform.refresh()
    asked = len(platform.details_asked())
    again = platform.run("refresh_movies", START + timedelta(hours=1), config=everything)
    assert again.success
    assert len(platform.details_asked()) == asked
    told = nothing_due(again, "tmdb_details")
    assert set(told) == {row["release_year"] for row in platform.query("SELECT DISTINCT release_year FROM movies")}
    with Database(platform.settings.database).connect() as connection:
        for year, why in told.items():
            found = re.fullmatch(r"Nothing is due at TMDB until (\d{4}-\d\d-\d\d): \d+ checked lately\.", why)
            assert found, why
            assert year is not None
            day = datetime.combine(date.fromisoformat(found[1]), time(23, 59, 59), UTC)
            assert due_counts(connection, ("tmdb",), day, years=[year])["tmdb"] > 0
            assert due_counts(connection, ("tmdb",), day - timedelta(days=1), years=[year])["tmdb"] == 0
    log = [record.message for record in platform.instance.all_logs(again.run_id)]
    assert any("TMDB is asked for nothing." in line and "{config: {anyway: true}}" in line for line in log)


def test_years_with_something_due_are_not_said_to_have_nothing(platform: Platform) -> None:
    platform.discover()
    result = platform.run("refresh_movies", config={})
    assert nothing_due(result, "tmdb_details") == {}
    assert platform.details_asked()


def test_asked_anyway_a_source_is_asked_for_what_is_not_due_but_not_for_what_a_person_froze(platform: Platform) -> None:
    platform.discover()
    platform.refresh()
    first, second = (row["tmdb_id"] for row in platform.query("SELECT tmdb_id FROM movies ORDER BY 1 LIMIT 2"))
    with Database(platform.settings.database).transaction() as connection:
        set_override(connection, [first], Override.FREEZE, START)
    before = platform.details_asked()
    anyway = {"tmdb_details": {"config": {"anyway": True, "limit": 1000}}}
    result = platform.run("refresh_movies", START + timedelta(hours=1), config=anyway)
    asked = platform.details_asked()[len(before) :]
    movies = platform.value("SELECT count(*) FROM movies")
    assert (len(asked), first in asked, second in asked) == (movies - 1, False, True)
    assert nothing_due(result, "tmdb_details") == {}
    assert platform.value("SELECT max(unchanged_cycles) FROM refresh_metadata") == 0, "an hour later proves nothing"
    only = {"tmdb_details": {"config": {"anyway": True, "tmdb_ids": [first, second]}}}
    platform.run("refresh_movies", START + timedelta(hours=2), config=only)
    assert platform.details_asked()[len(before) + len(asked) :] == [second]


@pytest.mark.on_duckdb2
def test_each_check_runs_alone_at_no_request_and_all_of_them_are_a_job(platform: Platform) -> None:
    platform.discover()
    platform.refresh()
    repository = build_defs(platform.settings).get_repository_def()
    graph = repository.asset_graph
    alone = [key for key in graph.asset_check_keys if graph.get_execution_set_identifier(key) is not None]
    assert alone == [], "Dagster's UI would offer no button for them"
    before = len(platform.standin.log())
    job = repository.get_implicit_global_asset_job_def()
    key = dg.AssetCheckKey(dg.AssetKey("tmdb_details"), "no_orphans")
    one = job.get_subset(asset_selection=set(), asset_check_selection={key}).execute_in_process(
        instance=platform.instance, run_config=QUIET
    )
    assert [(e.asset_check_key, e.passed) for e in one.get_asset_check_evaluations()] == [(key, True)]
    assert one.get_asset_materialization_events() == []
    everything = platform.run("check_tables", years=("unknown", "unknown"))
    counted = {e.asset_check_key for e in everything.get_asset_check_evaluations()}
    assert counted == graph.asset_check_keys
    assert len(platform.standin.log()) == before


def test_a_check_of_a_database_that_is_not_there_says_so_and_makes_none(platform: Platform) -> None:
    result = platform.run("check_tables", years=("unknown", "unknown"))
    assert not result.success
    failed = result.failure_data_for_node("check_tmdb_details")
    assert failed is not None
    assert failed.user_failure_data is not None
    assert "run discover_movies first" in str(failed.user_failure_data.description)
    assert not platform.settings.database.exists()


def test_of_a_large_collection_nothing_but_the_number_of_movies_is_shown(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marts, "PREVIEWED", 5)
    platform.discover()
    (movies,) = (m.metadata for m in platform.refresh(limit=1).asset_materializations_for_node("movies"))
    assert "dagster/row_count" in movies
    assert not [name for name in movies if name == "preview" or name.startswith("share_with_")]


def test_a_title_is_shown_as_it_is_and_is_no_picture_link_or_column() -> None:
    evil = "![x](https://example.org/x.png) | <img src=x>\n# *big* `code` \u202eback"
    shown = markdown_table(("title",), [(evil,), (None,)])
    heading, rule, row, empty = shown.split("\n")
    assert (heading, rule, empty) == ("| title |", "| --- |", "|  |")
    assert not re.search(r"(?<!\\)[\[\]()!<>|`*#]", row.removeprefix("| ").removesuffix(" |"))
    assert re.sub(r"\\(.)", r"\1", row) == "| ![x](https://example.org/x.png) | <img src=x> # *big* `code`  back |"


def test_an_omdb_answer_stamps_its_movie_though_the_imdb_id_came_only_from_tmdb(platform: Platform) -> None:
    platform.discover()
    assert platform.value("SELECT count(imdb_id) FROM refresh_metadata") == 0
    platform.refresh()
    rated = platform.query("SELECT tmdb_id FROM omdb_ratings")
    stamped = platform.query("SELECT tmdb_id FROM refresh_metadata WHERE omdb_changed_at IS NOT NULL")
    assert sorted(r["tmdb_id"] for r in rated) == sorted(r["tmdb_id"] for r in stamped)
    assert rated


def test_rediscovery_keeps_the_refresh_state(platform: Platform) -> None:
    platform.discover()
    platform.refresh()
    columns = "tmdb_id, first_seen_at, tmdb_checked_at, omdb_checked_at, unchanged_cycles, imdb_id"
    before = platform.query(f"SELECT {columns} FROM refresh_metadata ORDER BY ALL")
    assert platform.discover(later(1)).success
    known = {row["tmdb_id"] for row in before}
    after = platform.query(f"SELECT {columns} FROM refresh_metadata ORDER BY ALL")
    assert [row for row in after if row["tmdb_id"] in known] == before


def test_a_second_refresh_with_nothing_due_asks_nothing(platform: Platform) -> None:
    platform.discover()
    platform.refresh()
    platform.standin.clear_log()
    assert platform.refresh().success
    assert platform.standin.log() == []


def test_a_run_without_config_picks_the_due_movies_of_its_partitions(platform: Platform) -> None:
    platform.discover()
    platform.run("refresh_movies", years=("2020", "2021"))
    assert {row["release_year"] for row in platform.query("SELECT release_year FROM tmdb_details")} == {"2020", "2021"}


def test_the_chosen_ids_alone_are_fetched(platform: Platform) -> None:
    platform.discover()
    chosen = [row["tmdb_id"] for row in platform.query("SELECT tmdb_id FROM refresh_metadata ORDER BY 1 LIMIT 3")]
    config = {"config": {"tmdb_ids": chosen}}
    platform.run("refresh_movies", config={"tmdb_details": config, "omdb_ratings": config})
    assert sorted(platform.details_asked()) == chosen


def test_what_was_picked_is_not_picked_again_but_for_what_was_done_meanwhile(platform: Platform) -> None:
    platform.discover()
    file = Database(platform.settings.database)
    batch = pick_batch(file, START, {"tmdb": 5})
    fetched, frozen, *left = batch.ids
    none, one = {"config": {"limit": 0}}, {"config": {"tmdb_ids": [fetched]}}
    platform.run("refresh_movies", config={"tmdb_details": one, "omdb_ratings": none})
    with file.transaction() as connection:
        set_override(connection, [frozen], Override.FREEZE, START)
    result = platform.run("refresh_movies", config=batch.run_config()["ops"])
    assert sorted(platform.details_asked()) == sorted([fetched, *left]), "and no movie in place of those left out"
    told = [entry.message for entry in platform.instance.all_logs(result.run_id)]
    assert any("2 of 5 movies that were picked" in line and "1 fresh, 1 frozen" in line for line in told)


def test_what_was_picked_comes_before_what_became_due_since() -> None:
    due = [DueMovie(number, "2020", None, None, {"omdb": Reason.AGE_TABLE}) for number in (5, 3, 8, 1)]
    assert [movie.tmdb_id for movie in taken(due, [8, 1], 3)] == [5, 8, 1], "in the order of the strategy"
    assert [movie.tmdb_id for movie in taken(due, [8, 1], 2)] == [8, 1]
    assert [movie.tmdb_id for movie in taken(due, [8, 1, 7], 9)] == [5, 3, 8, 1]
    assert taken(due, [8, 1], 0) == []


def test_movies_that_are_left_out_are_told_by_reason() -> None:
    told = left_out(9, 6, {Reason.FRESH: 3, Reason.FROZEN: 1, Reason.AGE_TABLE: 1})
    assert told.startswith("6 of 9 movies that were picked for this run")
    assert told.endswith("left out: 3 fresh, 1 frozen, 1 moved to another year, 1 no more known.")


def test_no_movie_freezes_before_three_counted_unchanged_cycles(platform: Platform) -> None:
    platform.discover()
    platform.refresh()
    frozen = []
    for number in range(1, 4):
        platform.refresh(later(number * 91))
        frozen.append(platform.value("SELECT count(*) FROM refresh_metadata WHERE frozen"))
        cycles = platform.value("SELECT max(unchanged_cycles) FROM refresh_metadata")
        assert cycles == number
    assert frozen[:2] == [0, 0]
    assert frozen[2] > 10
    unstable = "SELECT count(*) FROM refresh_metadata WHERE frozen AND unchanged_cycles < 3"
    assert platform.value(unstable) == 0
    changed_after_the_first_fetch = """
        SELECT count(*) FROM refresh_metadata AS m JOIN fetch_log AS f USING (tmdb_id)
        WHERE frozen AND changed AND fetched_at > first_seen_at + INTERVAL 1 DAY"""
    assert platform.value(changed_after_the_first_fetch) == 0


def test_a_frozen_movie_is_asked_again_before_the_terms_of_use_forbid_to_keep_it(platform: Platform) -> None:
    platform.discover()
    for number in range(4):
        platform.refresh(later(number * 91))
    frozen = {row["tmdb_id"] for row in platform.query("SELECT tmdb_id FROM refresh_metadata WHERE frozen")}
    platform.standin.clear_log()
    platform.refresh(later(3 * 91 + 169))
    assert not frozen & set(platform.details_asked())
    platform.refresh(later(3 * 91 + 171))
    assert frozen <= set(platform.details_asked())


def test_the_end_of_the_quota_ends_the_run_well(platform: Platform) -> None:
    platform.discover()
    assert platform.refresh(omdb_quota=10).success
    assert platform.value("SELECT count(*) FROM fetch_log WHERE source = 'omdb'") == 10
    asked = [entry for entry in platform.standin.log() if entry["source"] == "omdb"]
    assert len(asked) == 10
    assert platform.refresh(omdb_quota=10).success
    assert len([entry for entry in platform.standin.log() if entry["source"] == "omdb"]) == 10
    assert platform.refresh(later(1), omdb_quota=10).success
    assert len([entry for entry in platform.standin.log() if entry["source"] == "omdb"]) == 20


def test_a_failing_movie_is_not_first_in_the_queue_for_ever(platform: Platform) -> None:
    platform.discover()
    due = platform.query("SELECT tmdb_id FROM refresh_metadata ORDER BY release_date DESC NULLS LAST, tmdb_id LIMIT 4")
    failing = due[0]["tmdb_id"]
    platform.standin.inject(Fault("status", "tmdb", match=str(failing), status=400))
    for hour in range(2):
        platform.refresh(later(hour / 24), limit=2)
    asked = platform.details_asked()
    assert asked.count(failing) == 1
    assert {row["tmdb_id"] for row in due} == set(asked)
    platform.refresh(later(1.1), limit=1000)
    assert platform.details_asked().count(failing) == 2


@pytest.mark.on_duckdb2
def test_a_movie_whose_year_changes_is_in_one_partition(platform: Platform) -> None:
    platform.discover()
    platform.refresh()
    moved = platform.query("SELECT tmdb_id FROM omdb_ratings WHERE release_year = '2020' LIMIT 1")[0]["tmdb_id"]
    with Database(platform.settings.database).transaction() as connection:
        for table in ("discovered_movies", "tmdb_details", "refresh_metadata"):
            columns = "release_year = '2019', release_date = DATE '2019-12-31'"
            connection.execute(f"UPDATE {table} SET {columns} WHERE tmdb_id = ?", [moved])
        connection.execute("UPDATE omdb_ratings SET release_year = '2019' WHERE tmdb_id = ?", [moved])
        connection.execute("UPDATE refresh_metadata SET tmdb_details_hash = NULL WHERE tmdb_id = ?", [moved])
    platform.refresh(later(91))
    for table in ("discovered_movies", "tmdb_details", "omdb_ratings", "refresh_metadata"):
        years = platform.query(f"SELECT release_year FROM {table} WHERE tmdb_id = {moved}")
        assert [row["release_year"] for row in years] == ["2020"], table


def test_one_bad_body_is_quarantined_and_the_others_are_stored(platform: Platform) -> None:
    platform.discover()
    bad = platform.query("SELECT tmdb_id FROM refresh_metadata ORDER BY 1 LIMIT 1")[0]["tmdb_id"]
    platform.standin.inject(Fault("wrong_movie", "tmdb", match=str(bad)))
    assert platform.refresh().success
    quarantined = platform.query("SELECT tmdb_id, source, reason, body FROM quarantine")
    assert [row["tmdb_id"] for row in quarantined] == [bad]
    assert str(bad) in quarantined[0]["reason"]
    assert quarantined[0]["body"]
    assert platform.value("SELECT count(*) FROM tmdb_details") == platform.value("SELECT count(*) FROM movies") - 1


def test_a_source_that_is_down_fails_the_run_and_blames_no_movie(platform: Platform) -> None:
    platform.discover()
    platform.standin.inject(Fault("status", "tmdb", status=401))
    result = platform.refresh()
    assert not result.success
    failures = platform.value("SELECT sum(tmdb_failures) FROM refresh_metadata")
    assert failures == 0


def test_an_invalid_key_stops_at_once_with_what_to_do(platform: Platform) -> None:
    result = platform.discover(tmdb_read_token="invalid")
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "TMDB_READ_TOKEN" in str(failure.step_failure_data.user_failure_data.description)
    assert len(platform.standin.log()) == 1


def test_metadata_is_reported_by_partition(platform: Platform) -> None:
    platform.discover()
    result = platform.refresh(limit=10)
    events = result.asset_materializations_for_node("tmdb_details")
    by_year = {event.partition: {k: v.value for k, v in event.metadata.items()} for event in events}
    stored = platform.query("SELECT release_year, count(*) AS n FROM tmdb_details GROUP BY 1")
    for row in stored:
        metadata = by_year[row["release_year"]]
        assert metadata["fetched"] == metadata["changed"] == metadata["requests"] == row["n"]
        assert {"unchanged", "failed", "deferred", "due_left", "seconds"} <= metadata.keys()
    assert sum(m.get("due_left", 0) for m in by_year.values()) == platform.value("SELECT count(*) FROM movies") - 10


def test_years_chosen_in_the_ui_are_fetched_whole(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.discover()
    nothing: dict[str, Any] = {}
    platform.run("refresh_movies", config=nothing, refresh_limit=3)
    assert platform.value("SELECT count(*) FROM tmdb_details") == 3
    monkeypatch.setattr(refreshing, "is_launched", lambda _: True)
    platform.run("refresh_movies", config=nothing, refresh_limit=3)
    assert platform.value("SELECT count(*) FROM tmdb_details") == platform.value("SELECT count(*) FROM movies")


def test_the_checks_pass_on_a_sound_warehouse_and_tell_what_is_overdue(platform: Platform) -> None:
    platform.discover()
    result = platform.refresh(START + timedelta(hours=7), limit=10)
    checks = {(e.asset_key.path[-1], e.check_name): e for e in result.get_asset_check_evaluations()}
    per_table, of_agreement, of_the_movie, overdue_one, without_orphans, of_movies = 3, 1, 1, 1, -1, 1
    assert len(checks) == 4 * per_table + of_agreement + of_the_movie + overdue_one + without_orphans + of_movies
    overdue = checks.pop(("refresh_metadata", "no_overdue_movies"))
    assert all(check.passed for check in checks.values())
    assert not overdue.passed
    assert overdue.severity is dg.AssetCheckSeverity.WARN
    assert overdue.metadata["overdue"].value == platform.value("SELECT count(*) FROM movies") - 10
    assert overdue.description is not None
    assert overdue.description.endswith(" overdue by more than 6 h 1 min")
    assert checks["tmdb_details", "keys_are_unique"].description == "0 duplicates"
    assert checks["movies", "keys_are_unique"].description == "0 duplicates"


def test_what_is_due_is_not_overdue_before_a_batch_could_be_gathered(platform: Platform) -> None:
    platform.discover()
    result = platform.refresh(START + timedelta(hours=6), limit=10)
    (overdue,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "no_overdue_movies"]
    assert overdue.passed


@pytest.mark.on_duckdb2
def test_answers_that_a_former_version_stored_are_judged_by_the_next_run(platform: Platform) -> None:
    platform.discover()
    platform.refresh(limit=10)
    judged = platform.value("SELECT count(match) FROM omdb_ratings")
    assert judged == platform.value("SELECT count(*) FROM omdb_ratings")
    with Database(platform.settings.database).transaction() as connection:
        connection.execute("UPDATE omdb_ratings SET match = NULL")
    platform.refresh(limit=1)
    assert platform.value("SELECT count(match) FROM omdb_ratings") >= judged > 0


def test_a_check_of_movies_fails_when_a_movie_stands_there_twice(platform: Platform) -> None:
    platform.discover()
    with Database(platform.settings.database).connect() as connection:
        connection.execute(
            f"CREATE OR REPLACE VIEW movies AS ({MOVIES.select}) UNION ALL (SELECT * FROM ({MOVIES.select}) LIMIT 2)"
        )
    result = platform.run("check_tables", years=("unknown", "unknown"))
    (twice,) = [e for e in result.get_asset_check_evaluations() if e.asset_key.path[-1] == "movies"]
    assert (twice.passed, twice.description) == (False, "2 duplicates")


def test_a_check_fails_when_a_row_is_in_the_wrong_partition(platform: Platform) -> None:
    platform.discover()
    platform.refresh()
    with Database(platform.settings.database).transaction() as connection:
        connection.execute(
            "UPDATE tmdb_details SET release_year = '1999' WHERE tmdb_id = (SELECT min(tmdb_id) FROM tmdb_details)"
        )
    result = platform.refresh()
    checks = {(e.asset_key.path[-1], e.check_name): e.passed for e in result.get_asset_check_evaluations()}
    assert checks["tmdb_details", "years_match_partitions"] is False
    assert checks["omdb_ratings", "years_match_partitions"] is True


@pytest.mark.on_duckdb2
def test_assets_can_be_loaded_downstream_by_partition(platform: Platform, instance: dg.DagsterInstance) -> None:
    platform.discover()
    platform.refresh()
    settings = platform.settings
    defs = build_defs(settings)

    @dg.asset
    def budget_total(movies: Any) -> None:
        assert movies.num_rows == platform.value("SELECT count(*) FROM movies")

    result = dg.materialize(
        [budget_total, *defs.assets], selection=[budget_total], resources=dict(defs.resources), instance=instance
    )  # type: ignore[arg-type, misc, list-item]
    assert result.success


def test_an_interruption_keeps_what_has_arrived(platform: Platform) -> None:
    """Dagster's interruption is a BaseException in the step's thread."""

    class Interruption(BaseException):
        pass

    class Interrupted(MergeStream[ListedMovie, MergeReport]):
        merged = 0

        async def produce(self, emit: Any) -> None:
            for number in range(1, 8):
                row = {"tmdb_id": number, "release_year": "unknown", "title": str(number)}
                await emit(ListedMovie(number, START, row))
            await asyncio.Event().wait()

        def batches(self) -> Batches[ListedMovie]:
            return Batches(self.produce, max_batch=2, max_wait=0.05)

        def merge(self, connection: Any, batch: list[ListedMovie]) -> MergeReport:
            self.merged += 1
            report = merge_listing(connection, batch, "run")
            if self.merged == 2:
                raise Interruption
            return report

        def nothing(self) -> MergeReport:
            return MergeReport()

        def report(self, merged: MergeReport, seconds: float) -> None:
            pass

    database = DuckDBDatabase(database=str(platform.settings.database))
    manager = MergingDuckDBIOManager(database=database)
    stream = Interrupted()
    context = dg.build_output_context()
    with pytest.raises(Interruption):
        manager.handle_output(context, stream)
    with Database(Path(platform.settings.database)).connect() as connection:
        assert sorted(read_rows(connection, REFRESH_METADATA, range(1, 8))) == list(range(1, 8))
