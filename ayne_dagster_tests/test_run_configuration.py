"""What a launcher of a run may decide: which movies, how many, how hard; no address, path, key, clock or limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_duckdb import DuckDBResource
from pydantic import Field

from ayne_dagster.assets.run_config import RunConfig
from ayne_dagster.config import Settings
from ayne_dagster.definitions import build_defs
from ayne_dagster.runs.batch import BATCH_TAG, range_tags
from ayne_dagster.runs.own_runs import close_abandoned_runs, own_run
from ayne_dagster.settings.tags import OWN_RUN_TAG
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.client import DuckDBClient
from ayne_dagster_tests.conftest import START, later

MakeSettings = Callable[..., Settings]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
MAY_BE_SAID = {
    "discovered_movies": {"min_votes", "max_pages", "use_reserve"},
    "tmdb_details": {"tmdb_ids", "anyway", "picked", "limit", "use_reserve"},
    "omdb_ratings": {"tmdb_ids", "anyway", "picked", "limit", "use_reserve"},
    "box_office": {"tmdb_ids", "anyway", "picked", "limit", "use_reserve"},
    "tmdb_id_export": {"believe"},
    "imdb_ratings": {"believe"},
}
SECRET = "914703562"
"""A key of digits alone: Dagster would take it for a number."""


def jobs(settings: Settings) -> Iterator[dg.JobDefinition]:
    repository = build_defs(settings).get_repository_def()
    yield from repository.get_all_jobs()


def fields(config_type: Any, *path: str) -> dict[str, Any]:
    """The fields of a job's run configuration below a path."""
    for name in path:
        config_type = config_type.fields[name].config_type
    return dict(getattr(config_type, "fields", {}) or {})


def parts(config_type: Any) -> Iterator[Any]:
    """A type of a run configuration, and all that it is made of."""
    yield config_type
    for field in (getattr(config_type, "fields", None) or {}).values():
        yield from parts(field.config_type)
    for name in ("inner_type", "scalar_type", "non_scalar_type", "key_type"):
        if inner := getattr(config_type, name, None):
            yield from parts(inner)


def test_a_run_may_say_what_its_assets_take_and_nothing_else(make_settings: MakeSettings) -> None:
    seen = set()
    for job in jobs(make_settings()):
        schema = job.run_config_schema.run_config_schema_type
        assert set(fields(schema)) <= {"ops", "resources", "loggers", "execution"}
        assert not fields(schema, "execution", "config")
        assert set(fields(schema, "loggers")) == {"console"}
        assert set(fields(schema, "loggers", "console", "config")) == {"log_level", "name"}
        for resource in fields(schema, "resources"):
            assert not fields(schema, "resources", resource, "config"), resource
        for op in fields(schema, "ops"):
            assert set(fields(schema, "ops", op)) == {"config"}
            assert set(fields(schema, "ops", op, "config")) == MAY_BE_SAID.get(op, set()), op
            seen.add(op)
    assert set(MAY_BE_SAID) <= seen


def test_no_part_of_a_run_configuration_can_be_taken_from_the_environment_or_be_anything(
    make_settings: MakeSettings,
) -> None:
    for job in jobs(make_settings()):
        for part in parts(job.run_config_schema.run_config_schema_type):
            assert "env" not in (getattr(part, "fields", None) or {}), part
            assert part.key != "Any", job.name


HOSTILE = {
    "tmdb": {"base_url": "http://stranger.example/3", "api_key_name": "AWS_SECRET_ACCESS_KEY"},
    "omdb": {"base_url": "http://stranger.example/", "daily_quota": 0},
    "database": {"database": "elsewhere.duckdb", "connection_config": {"temp_directory": "."}},
    "clock": {"offset_seconds": 1e9},
    "settings": {"database": "elsewhere.duckdb"},
    "notifier": {"url": "http://stranger.example/"},
    "io_manager": {"database": {"database": "elsewhere.duckdb"}},
    "daily_files": {"imdb_ratings": "http://10.0.0.1/"},
}


@pytest.mark.parametrize("resource", HOSTILE)
@pytest.mark.parametrize("job", ["discover_movies", "refresh_movies", "read_change_feed", "read_daily_files"])
def test_a_run_that_would_configure_a_resource_is_refused_before_anything_is_asked(
    make_settings: MakeSettings, standin: StandIn, instance: dg.DagsterInstance, job: str, resource: str, tmp_path: Path
) -> None:
    before = set(tmp_path.iterdir())
    run_config = {"resources": {resource: {"config": HOSTILE[resource]}}}
    with pytest.raises(dg.DagsterInvalidConfigError):
        launch(make_settings(), instance, job, run_config)
    assert standin.log() == []
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("job", "op", "config"),
    [
        ("discover_movies", "discovered_movies", {"min_votes": {"env": "OMDB_API_KEY"}}),
        ("discover_movies", "discovered_movies", {"max_pages": {"env": "OMDB_API_KEY"}}),
        ("discover_movies", "discovered_movies", {"use_reserve": {"env": "OMDB_API_KEY"}}),
        ("refresh_movies", "tmdb_details", {"tmdb_ids": [{"env": "OMDB_API_KEY"}]}),
        ("refresh_movies", "omdb_ratings", {"limit": {"env": "OMDB_API_KEY"}}),
        ("read_daily_files", "imdb_ratings", {"believe": {"env": "OMDB_API_KEY"}}),
        ("refresh_movies", "movies", {"anything": {"env": "OMDB_API_KEY"}}),
    ],
)
def test_a_run_cannot_read_an_environment_variable(
    make_settings: MakeSettings,
    standin: StandIn,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    job: str,
    op: str,
    config: dict[str, Any],
) -> None:
    monkeypatch.setenv("OMDB_API_KEY", SECRET)
    with pytest.raises(dg.DagsterInvalidConfigError) as refused:
        launch(make_settings(), instance, job, {"ops": {op: {"config": config}}})
    assert SECRET not in str(refused.value)
    assert standin.log() == []


@pytest.mark.parametrize(
    ("job", "op", "config", "named"),
    [
        ("discover_movies", "discovered_movies", {"max_pages": 0}, "max_pages"),
        ("discover_movies", "discovered_movies", {"max_pages": 501}, "max_pages"),
        ("discover_movies", "discovered_movies", {"min_votes": -1}, "min_votes"),
        ("discover_movies", "discovered_movies", {"min_votes": 10**30}, "min_votes"),
        ("refresh_movies", "tmdb_details", {"limit": -1}, "limit"),
        ("refresh_movies", "tmdb_details", {"limit": 10**30}, "limit"),
        ("refresh_movies", "tmdb_details", {"tmdb_ids": [0]}, "tmdb_ids"),
        ("refresh_movies", "tmdb_details", {"tmdb_ids": [2**63]}, "tmdb_ids"),
        ("refresh_movies", "tmdb_details", {"tmdb_ids": [7] * 10_001}, "tmdb_ids"),
    ],
)
def test_a_number_out_of_bounds_fails_the_step_in_one_line_and_asks_nothing(
    make_settings: MakeSettings,
    standin: StandIn,
    instance: dg.DagsterInstance,
    job: str,
    op: str,
    config: dict[str, Any],
    named: str,
) -> None:
    outcome = launch(make_settings(), instance, job, {"ops": {op: {"config": config}}})
    (failure,) = [e for e in outcome.all_events if e.is_step_failure]
    assert failure.step_failure_data.user_failure_data is not None
    told = failure.step_failure_data.user_failure_data.description or ""
    assert told.startswith(f"The run's configuration cannot be used ({named}")
    assert "\n" not in told
    assert standin.log() == []


def launch(
    settings: Settings, instance: dg.DagsterInstance, job: str, run_config: dict[str, Any]
) -> dg.ExecuteInProcessResult:
    ranged = job in ("discover_movies", "refresh_movies")
    return (
        build_defs(settings)
        .resolve_job_def(job)
        .execute_in_process(
            instance=instance,
            run_config={**QUIET, **run_config},
            tags=range_tags("2019", "2020") if ranged else {},
            raise_on_error=False,
        )
    )


def test_a_configuration_has_no_texts() -> None:
    class Named(RunConfig):
        place: str = Field(default="")

    with pytest.raises(TypeError, match="no type of a run's configuration"):
        Named.schema_for_runs()


# Settings by one door


def test_the_refresh_limit_is_that_of_the_settings_whatever_the_environment_says(
    make_settings: MakeSettings, instance: dg.DagsterInstance, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AYNE_REFRESH_LIMIT", "50")
    settings = make_settings(refresh_limit=3)
    assert launch(settings, instance, "discover_movies", {}).success
    standin.clear_log()
    assert launch(settings, instance, "refresh_movies", {}).success
    assert len([e for e in standin.log() if e["endpoint"] == "details"]) == 3


def test_statistics_are_counted_by_the_platforms_clock(
    make_settings: MakeSettings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings()
    assert launch(settings, instance, "discover_movies", {}).success
    years_on = make_settings(later(3650))
    by_clock = DuckDBClient(settings.database, settings=years_on).get_collection_stats()
    assert by_clock == DuckDBClient(settings.database).get_collection_stats(later(3650))
    assert by_clock["archived"] == by_clock["total_movies"] > 0
    monkeypatch.setenv("AYNE_CLOCK_OFFSET_DAYS", "36500")
    assert DuckDBClient(settings.database).get_collection_stats()["recent"] == 0
    assert settings.now().date() == START.date()


def test_an_asset_that_wants_dagster_duckdbs_resource_takes_ours(
    make_settings: MakeSettings, instance: dg.DagsterInstance
) -> None:
    settings = make_settings()
    assert launch(settings, instance, "discover_movies", {}).success

    @dg.asset
    def counted(database: DuckDBResource) -> int:
        with database.get_connection() as connection:
            return int(connection.execute("SELECT count(*) FROM movies").fetchall()[0][0])

    ours = build_defs(settings).resources or {}
    outcome = dg.materialize([counted], resources={"database": ours["database"]}, instance=instance)
    assert outcome.output_for_node("counted") > 0


# Tags


def test_a_tag_names_no_file_that_is_locked_or_deleted(make_settings: MakeSettings, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    precious = tmp_path / "precious"
    precious.write_text("do not delete")
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        with own_run(instance) as tags:
            ours = tags[OWN_RUN_TAG].partition("/")[0]
        job = build_defs(make_settings()).resolve_job_def("refresh_movies")
        for named in ("../../precious", str(precious), "./home", "", "..", "home"):
            instance.create_run_for_job(
                job,
                tags={OWN_RUN_TAG: f"{ours}/{named}", BATCH_TAG: "x"},
                status=dg.DagsterRunStatus.STARTED,
            )
            assert close_abandoned_runs(instance) == [], named
            assert precious.exists(), named
            assert (home / "own_runs" / "home").exists(), named
