"""The `ayne` command end to end against the stand-in: what it prints, asks, stores and records.

Wrong usage is in test_cli_errors, kills and signals in test_kills.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import dagster as dg
import duckdb
import pytest

from ayne_dagster import cli
from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.support.processes import (
    Ayne,
    Ended,
    asked,
    ended,
    lines_with_settings,
    number_asked,
    wait_until,
)
from ayne_dagster_tests.support.serving import free_port

FIRST_YEAR, LAST_YEAR = 2023, 2026
YEARS = ("--start-year", str(FIRST_YEAR), "--end-year", str(LAST_YEAR))
LIMIT = 25
COLLECT_KEYS = {
    "discovered", "tmdb_updated", "omdb_updated", "box_office_updated", "frozen", "failed", "deferred",
    "due_remaining", "requests", "seconds",
}  # fmt: skip
STATS_KEYS = {
    "total_movies", "with_tmdb", "with_omdb", "with_box_office", "fully_refreshed", "frozen", "recent", "established",
    "mature", "archived", "quarantined",
}  # fmt: skip
CATEGORIES = ("recent", "established", "mature", "archived")


@pytest.fixture(scope="module")
def standin() -> Iterator[StandIn]:
    with StandIn(1000, oddities=0) as standin:
        yield standin


@pytest.fixture(autouse=True)
def _fresh_log(standin: StandIn) -> None:
    standin.clear_faults()
    standin.clear_log()


@dataclass(frozen=True)
class Story:
    """One collection in two commands, and what the stand-in noted of each."""

    first: Ended
    first_log: list[dict[str, Any]]
    first_statuses: dict[str, dict[str, int]]
    partial: Ayne
    """The database after the first command: some movies fetched, most not."""
    second: Ended
    full: Ayne
    """After the second: everything fetched."""


@pytest.fixture(scope="module")
def story(standin: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Story:
    standin.clear_log()
    full = Ayne(tmp_path_factory.mktemp("full")).asking(standin)
    first = full.run("collect", "--json", *YEARS, "--refresh-limit", str(LIMIT))
    log, statuses = standin.log(), standin.statuses()
    partial = _copy(full, tmp_path_factory.mktemp("partial"))
    second = full.call("collect", "--json", *YEARS, "--refresh-limit", "1000")
    standin.clear_log()
    return Story(first, log, statuses, partial, second, full)


def _copy(command: Ayne, folder: Path) -> Ayne:
    """The command on a copy of its database."""
    copy = replace(command, folder=folder)
    shutil.copyfile(command.database, copy.database)
    return copy


def _listed(standin: StandIn, min_votes: int = 200) -> set[int]:
    """The movies that discovery should find, by the catalogue."""
    now = standin.now()
    bodies = {i: standin.catalogue.details(i, now) for i in standin.catalogue.ids(now)}
    return {
        i
        for i, body in bodies.items()
        if body
        and body["vote_count"] >= min_votes
        and FIRST_YEAR <= int((body["release_date"] or "0")[:4] or 0) <= LAST_YEAR
    }


def _due_ids(ended: Ended) -> list[int]:
    return [movie["tmdb_id"] for movie in ended.json["movies"]]


# collect


@pytest.mark.on_duckdb2
@pytest.mark.end_to_end
def test_collect_prints_one_json_object_whose_numbers_are_those_of_the_sources(story: Story, standin: StandIn) -> None:
    result = story.first.json
    endpoints = [entry["endpoint"] for entry in story.first_log]

    assert story.first.code == 0
    assert result.keys() >= COLLECT_KEYS
    assert result["discovered"] == len(_listed(standin)) > LIMIT
    assert result["requests"] == {
        "tmdb": sum(story.first_statuses["tmdb"].values()),
        "omdb": sum(story.first_statuses["omdb"].values()),
    }
    assert result["tmdb_updated"] == endpoints.count("details") == LIMIT
    assert 0 < result["omdb_updated"] <= endpoints.count("omdb") <= LIMIT
    assert result["due_remaining"] == result["discovered"] - LIMIT
    assert (result["failed"], result["deferred"], result["box_office_updated"]) == (0, 0, 0)
    assert 0 < result["seconds"] < 90


@pytest.mark.end_to_end
def test_collect_tells_progress_as_plain_lines_on_stderr(story: Story) -> None:
    lines = story.first.err.splitlines()

    assert any(line.startswith("Discovering movies:") and "requests" in line for line in lines)
    assert any(line.startswith("Fetching TMDB details:") and f"{LIMIT} fetched" in line for line in lines)
    assert any(line.startswith("Fetching OMDb ratings:") for line in lines)
    assert "\x1b" not in story.first.err
    assert "\r" not in story.first.err
    assert len(lines) < 20


@pytest.mark.end_to_end
def test_stats_agrees_with_what_collect_told(story: Story) -> None:
    result, stats = story.first.json, story.partial.call("stats", "--json").json

    assert stats.keys() >= STATS_KEYS
    assert stats["total_movies"] == result["discovered"] == sum(stats[name] for name in CATEGORIES)
    assert stats["with_tmdb"] == result["tmdb_updated"]
    assert stats["with_omdb"] == result["omdb_updated"]
    assert stats["fully_refreshed"] == LIMIT
    assert (stats["frozen"], stats["quarantined"]) == (0, 0)

    text = story.partial.call("stats")
    assert text.code == 0
    assert f"{stats['total_movies']}  movies" in text.out


@pytest.mark.end_to_end
def test_stats_counts_the_requests_left_of_the_quota(story: Story) -> None:
    quota = story.full.call("stats", "--json").json["quota"]["omdb"]

    used = story.first.json["requests"]["omdb"] + story.second.json["requests"]["omdb"]
    assert quota == {"used": used, "of": 1000, "left": 1000 - used, "reserve": 0}


@pytest.mark.end_to_end
def test_collect_records_its_runs_in_the_dagster_instance_beside_the_database(story: Story) -> None:
    runs = story.full.runs()

    assert {run.job_name for run in runs} == {"discover_movies", "refresh_movies"}
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    with story.full.instance() as instance:
        for name in ("discovered_movies", "tmdb_details", "omdb_ratings", "refresh_metadata", "movies"):
            event = instance.get_latest_materialization_event(dg.AssetKey([name]))
            assert event is not None, name
            assert event.run_id in {run.run_id for run in runs}


@pytest.mark.end_to_end
def test_collecting_again_asks_only_the_discover_pages(story: Story, standin: StandIn) -> None:
    again = story.full.call("collect", "--json", *YEARS, "--refresh-limit", "1000").json

    assert story.second.json["due_remaining"] == 0
    assert {entry["endpoint"] for entry in standin.log()} == {"discover"}
    assert again["requests"] == {"tmdb": standin.requests()["tmdb"], "omdb": 0}
    assert (again["discovered"], again["tmdb_updated"], again["omdb_updated"], again["due_remaining"]) == (0, 0, 0, 0)


@pytest.mark.end_to_end
def test_refreshing_asks_nothing_when_nothing_is_due(story: Story, standin: StandIn) -> None:
    result = story.full.call("collect", "--refresh-only")

    assert result.code == 0
    assert standin.requests() == {"tmdb": 0, "omdb": 0}
    assert "Still due     0" in result.out


@pytest.mark.end_to_end
def test_discovery_keeps_to_the_years_and_pages_that_are_asked_for(tmp_path: Path, standin: StandIn) -> None:
    command = Ayne(tmp_path).asking(standin, AYNE_REFRESH_LIMIT="3")
    options = ("--start-year", "2024", "--end-year", "2025", "--max-pages", "1", "--min-votes", "0")
    result = command.call("collect", "--json", *options).json

    assert number_asked(standin, "discover") == 2
    assert result["discovered"] == 40
    assert command.rows("SELECT release_year, count(*) FROM discovered_movies GROUP BY 1 ORDER BY 1") == [
        ("2024", 20),
        ("2025", 20),
    ]
    assert (result["tmdb_updated"], result["due_remaining"]) == (3, 37), "AYNE_REFRESH_LIMIT holds where no option does"


@pytest.mark.end_to_end
def test_the_refresh_limit_takes_the_first_of_what_is_due_and_tells_the_rest(
    tmp_path: Path, story: Story, standin: StandIn
) -> None:
    command = _copy(story.partial, tmp_path)
    due = _due_ids(command.call("due", "--json", "--limit", "1000"))
    result = command.call("collect", "--json", "--refresh-only", "--refresh-limit", "7").json

    assert {int(i) for i in asked(standin, "details")} == set(due[:7])
    assert number_asked(standin, "details") == 7
    assert result["due_remaining"] == len(due) - 7
    assert command.call("due", "--json").json["due"] == len(due) - 7

    standin.clear_log()
    nothing = command.call("collect", "--json", "--refresh-only", "--refresh-limit", "0").json
    assert standin.requests() == {"tmdb": 0, "omdb": 0}
    assert nothing["due_remaining"] == len(due) - 7


# due, explain


@pytest.mark.end_to_end
def test_due_lists_the_movies_never_refreshed_first_and_of_these_the_newest_first(story: Story) -> None:
    told = story.partial.call("due", "--json", "--limit", "1000").json
    movies = told["movies"]
    dates = [movie["release_date"] for movie in movies]

    assert told["due"] == len(movies) == story.first.json["due_remaining"]
    assert dates == sorted(dates, reverse=True)
    assert all(movie["needs_tmdb"] and "tmdb: never_fetched" in movie["reason"] for movie in movies)
    assert all(
        movie.keys() >= {"tmdb_id", "title", "release_date", "needs_tmdb", "needs_omdb", "needs_numbers", "reason"}
        for movie in movies
    )
    assert all(movie["title"] for movie in movies)

    later = story.partial.call("due", "--json", "--limit", "1000", "--as-of", _day(600)).json["movies"]
    assert [movie["tmdb_id"] for movie in later[: len(movies)]] == [movie["tmdb_id"] for movie in movies]
    refreshed = [movie["release_date"] for movie in later[len(movies) :]]
    assert len(refreshed) == LIMIT
    assert refreshed == sorted(refreshed, reverse=True)


@pytest.mark.end_to_end
def test_due_answers_for_one_source_one_day_and_as_many_as_asked(story: Story) -> None:
    assert _due_ids(story.full.call("due", "--json")) == []
    told = story.full.call("due", "--json").json["next_due"]
    assert told["movies"] > 1
    assert story.full.call("due").out == f"Nothing is due; the next, {told['movies']:,} movies, on {told['on']}.\n"
    then = story.full.call("due", "--json", "--as-of", f"{told['on']}T23:59:59.999999").json
    before = story.full.call("due", "--json", "--as-of", told["on"]).json
    assert (then["due"], then["next_due"], before["due"] < then["due"]) == (told["movies"], None, True)

    total = story.first.json["discovered"]
    with_imdb_id = story.full.column("SELECT count(*) FROM refresh_metadata WHERE imdb_id IS NOT NULL")[0]
    assert story.full.call("due", "--json", "--as-of", _day(600)).json["due"] == total
    omdb = story.full.call("due", "--json", "--source", "omdb", "--as-of", _day(600)).json
    assert omdb["due"] == with_imdb_id
    assert all(movie["needs_omdb"] and movie["reason"] == "omdb: age_table" for movie in omdb["movies"])

    first = story.full.call("due", "--json", "--as-of", _day(600), "--limit", "3").json
    assert len(first["movies"]) == 3
    assert first["due"] == total
    assert first["as_of"].startswith(_day(600))
    table = story.full.call("due", "--as-of", _day(600), "--limit", "3").out
    assert f"3 of {total} due" in table
    assert first["movies"][0]["title"] in table

    recent = story.full.call("due", "--json", "--as-of", _day(6), "--limit", "1000").json["movies"]
    assert 0 < len(recent) < total
    border = (datetime.now(UTC) - timedelta(days=60)).date().isoformat()
    assert all(movie["release_date"] >= border for movie in recent), "only recent movies come due within days"


@pytest.mark.end_to_end
def test_explain_agrees_with_due_to_the_second(story: Story) -> None:
    movie = story.full.call("due", "--json", "--source", "tmdb", "--as-of", _day(600), "--limit", "1").json["movies"][0]
    tmdb_id = str(movie["tmdb_id"])
    told = story.full.call("explain", tmdb_id, "--json").json

    assert told.keys() >= {
        "tmdb_id", "title", "release_date", "imdb_id", "age", "unchanged_cycles", "frozen", "override", "sources",
    }  # fmt: skip
    assert told["sources"].keys() == {"tmdb", "omdb", "numbers"}
    tmdb = told["sources"]["tmdb"]
    assert (tmdb["due"], tmdb["reason"], tmdb["failures"]) == (False, "fresh", 0)
    assert tmdb["last_check"] == tmdb["last_attempt"] == tmdb["last_change"]

    due_at = datetime.fromisoformat(tmdb["due_at"])
    for seconds, expected in ((-1, False), (1, True)):
        moment = (due_at + timedelta(seconds=seconds)).isoformat()
        explained = story.full.call("explain", tmdb_id, "--json", "--as-of", moment).json["sources"]["tmdb"]
        listed = story.full.call("due", "--json", "--source", "tmdb", "--limit", "1000", "--as-of", moment)
        assert explained["due"] is expected
        assert (movie["tmdb_id"] in _due_ids(listed)) is expected

    text = story.full.call("explain", tmdb_id).out
    assert movie["title"] in text
    assert f"not due until {due_at:%Y-%m-%d}" in text


@pytest.mark.end_to_end
def test_explain_says_that_a_movie_is_unknown(story: Story) -> None:
    unknown = story.full.call("explain", "999999999", "--json")

    assert unknown.code == 1
    assert unknown.out == ""
    assert "999999999 is not known" in unknown.complaint


# freeze, thaw, force


@pytest.mark.end_to_end
def test_a_frozen_movie_is_not_due_until_it_is_thawed(tmp_path: Path, story: Story) -> None:
    command = _copy(story.partial, tmp_path)
    before = _due_ids(command.call("due", "--json", "--limit", "1000"))
    one, other = before[:2]

    frozen = command.call("freeze", str(one), str(other), "--json")
    assert frozen.code == 0
    assert frozen.json == {"override": "freeze", "movies": sorted([one, other]), "unknown": []}
    assert _due_ids(command.call("due", "--json", "--limit", "1000")) == before[2:]
    told = command.call("explain", str(one), "--json").json
    assert (told["frozen"], told["override"]) == (True, "freeze")
    assert (told["sources"]["tmdb"]["due"], told["sources"]["tmdb"]["reason"]) == (False, "frozen")
    assert "frozen by hand" in command.call("explain", str(one)).out
    assert command.call("stats", "--json").json["frozen"] == 2

    assert command.call("thaw", str(one), str(other)).code == 0
    assert _due_ids(command.call("due", "--json", "--limit", "1000")) == before
    assert command.call("explain", str(one), "--json").json["frozen"] is False


@pytest.mark.end_to_end
def test_a_forced_movie_is_due_at_once_and_only_once(tmp_path: Path, story: Story, standin: StandIn) -> None:
    command = _copy(story.full, tmp_path)
    tmdb_id, imdb_id = command.rows("SELECT tmdb_id, imdb_id FROM omdb_ratings ORDER BY tmdb_id LIMIT 1")[0]

    assert command.call("force", str(tmdb_id)).code == 0
    due = command.call("due", "--json").json["movies"]
    assert [(movie["tmdb_id"], movie["reason"]) for movie in due] == [(tmdb_id, "tmdb: manual; omdb: manual")]
    assert "forced by hand" in command.call("explain", str(tmdb_id)).out

    result = command.call("collect", "--json", "--refresh-only").json
    assert asked(standin, "details") == [str(tmdb_id)]
    assert asked(standin, "omdb") == [imdb_id]
    assert result["due_remaining"] == 0
    assert command.call("explain", str(tmdb_id), "--json").json["sources"]["tmdb"]["reason"] == "fresh"


@pytest.mark.end_to_end
def test_an_override_of_unknown_movies_is_told_and_the_known_ones_still_get_it(tmp_path: Path, story: Story) -> None:
    command = _copy(story.partial, tmp_path)
    known = _due_ids(command.call("due", "--json", "--limit", "1"))[0]
    result = command.call("freeze", "999999999", str(known), "--json")

    assert result.code == 1
    assert result.json == {"override": "freeze", "movies": [known], "unknown": [999999999]}
    assert "999999999" in result.complaint


# export


@pytest.mark.end_to_end
@pytest.mark.parametrize("file_format", ["parquet", "csv"])
def test_exported_files_hold_what_the_tables_hold(tmp_path: Path, story: Story, file_format: str) -> None:
    folder = tmp_path / "out" / "it's here"
    told = story.full.call("export", str(folder), "--format", file_format, "--json").json["files"]

    names = ("movies", "refresh_metadata", "movie_history", "fetch_log", "fetches_by_day", "collection_status")
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{name}.{file_format}" for name in names)
    for name in names:
        file = folder / f"{name}.{file_format}"
        read = f"read_{file_format}(?" + (")" if file_format == "parquet" else ", header = true, all_varchar = true)")
        rows = duckdb.execute(f"SELECT count(*) FROM {read}", [str(file)]).fetchall()[0][0]
        columns = [column[0] for column in duckdb.execute(f"SELECT * FROM {read}", [str(file)]).description]
        assert rows == told[str(file)] == story.full.column(f"SELECT count(*) FROM {name}")[0]
        assert columns == story.full.column(f"SELECT column_name FROM (DESCRIBE {name})")
    titles = f"SELECT title FROM read_{file_format}(?) ORDER BY tmdb_id"
    assert [row[0] for row in duckdb.execute(titles, [str(folder / f"movies.{file_format}")]).fetchall()] == (
        story.full.column("SELECT title FROM movies ORDER BY tmdb_id")
    )


@pytest.mark.end_to_end
def test_export_writes_the_tables_that_are_named_and_replaces_older_files(tmp_path: Path, story: Story) -> None:
    (tmp_path / "fetch_log.parquet").write_text("old")
    options = ("--table", "fetch_log", "--table", "omdb_ratings")
    result = story.full.call("export", str(tmp_path), *options)

    assert result.code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fetch_log.parquet", "omdb_ratings.parquet"]
    assert duckdb.execute("SELECT count(*) FROM read_parquet(?)", [str(tmp_path / "fetch_log.parquet")]).fetchall() == (
        story.full.rows("SELECT count(*) FROM fetch_log")
    )


# help, pipes


OPTIONS = {
    "demo": ("--movies", "--days", "--database", "--live", "--day-seconds", "--port"),
    "collect": (
        "--start-year", "--end-year", "--max-pages", "--min-votes", "--refresh-limit", "--refresh-only", "--json",
    ),
    "stats": ("--json",),
    "due": ("--source", "--limit", "--as-of", "--json"),
    "explain": ("TMDB_ID", "--as-of", "--json"),
    "freeze": ("TMDB_ID",),
    "thaw": ("TMDB_ID",),
    "force": ("TMDB_ID",),
    "export": ("--format", "--table", "--since", "--by-year", "--excel", "--raw"),
    "standin": ("--port", "--movies", "--world"),
}  # fmt: skip
"""The commands and options that are promised."""


@pytest.mark.parametrize("name", sorted({*OPTIONS, *cli.ayne.commands}))
def test_help_names_every_option_of_a_command(name: str, tmp_path: Path) -> None:
    told = Ayne(tmp_path).call(name, "--help")

    assert told.code == 0
    assert told.err == ""
    options = [opt for p in cli.ayne.commands[name].params if isinstance(p, click.Option) for opt in p.opts]
    for option in (*OPTIONS.get(name, ()), *options):
        assert option in told.out
    assert "None" not in told.out, "no bound is told where there is none"
    assert list(tmp_path.iterdir()) == [], "asking for help leaves nothing behind"


def test_help_names_every_command(tmp_path: Path) -> None:
    told = Ayne(tmp_path).call("--help")

    assert told.code == 0
    for name in {*OPTIONS, *cli.ayne.commands}:
        assert f"\n  {name} " in told.out


def test_the_command_alone_shows_its_help_in_lines(tmp_path: Path) -> None:
    told = Ayne(tmp_path).call()

    assert told.code == 2
    assert "Traceback" not in told.err
    shown = (told.out + told.err).splitlines()
    assert len(shown) > 10, "a help text on one line is no help"


@pytest.mark.end_to_end
def test_a_reader_that_goes_away_is_no_error_to_shout_about(story: Story) -> None:
    with story.full.running("due", "--json", "--limit", "1000", "--as-of", _day(600)) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        shouted = process.stderr.read()
        process.wait()

    assert shouted == ""


# quota, keys


@pytest.mark.end_to_end
def test_a_quota_that_ends_at_the_source_ends_the_run_well_and_the_asking_for_that_day(tmp_path: Path) -> None:
    with StandIn(1000, oddities=0, omdb_daily_quota=30) as standin:
        command = Ayne(tmp_path).asking(standin, AYNE_OMDB_DAILY_QUOTA="1000")
        first = command.run("collect", "--json", *YEARS, "--refresh-limit", "1000")
        omdb = standin.statuses()["omdb"]
        after_first = command.call("due", "--json", "--source", "omdb", "--limit", "1000").json["due"]
        standin.clear_log()
        second = command.call("collect", "--json", "--refresh-only", "--refresh-limit", "1000")
        asked_again = standin.requests()

    result = first.json
    answered = command.column("SELECT count(*) FROM fetch_log WHERE source = 'omdb'")[0]
    assert first.code == second.code == 0
    assert omdb["200"] == answered == 30
    assert 1 <= omdb["401"] <= 5, "no more than one a connection finds out"
    assert result["omdb_updated"] == command.column("SELECT count(*) FROM omdb_ratings")[0]
    assert result["requests"]["omdb"] == sum(omdb.values())
    assert result["deferred"] == result["due_remaining"] == after_first > 0
    assert result["failed"] == 0
    assert "stopped early" in first.err
    assert asked_again == {"tmdb": 0, "omdb": 0}
    assert (second.json["omdb_updated"], second.json["due_remaining"]) == (0, after_first)
    assert command.call("stats", "--json").json["quota"]["omdb"]["left"] == 0


@pytest.mark.end_to_end
def test_our_own_quota_is_kept_over_runs(tmp_path: Path, story: Story, standin: StandIn) -> None:
    command = _copy(story.partial, tmp_path).asking(standin, AYNE_OMDB_DAILY_QUOTA="20")
    results = [command.call("collect", "--json", "--refresh-only", "--refresh-limit", "16") for _ in range(3)]
    requests = [ended.json["requests"]["omdb"] for ended in results]

    assert [ended.code for ended in results] == [0, 0, 0]
    assert standin.requests()["omdb"] == 20 == sum(requests)
    assert 0 < requests[0] <= 16
    assert requests[2] == 0
    assert number_asked(standin, "details") == sum(ended.json["tmdb_updated"] for ended in results) > 32, (
        "the end of OMDb's quota does not stop TMDB"
    )
    assert command.call("stats", "--json").json["quota"]["omdb"] == {"used": 20, "of": 20, "left": 0, "reserve": 0}


@pytest.mark.end_to_end
def test_an_invalid_tmdb_key_stops_the_discovery_at_its_first_request(tmp_path: Path, standin: StandIn) -> None:
    result = Ayne(tmp_path).asking(standin, TMDB_READ_TOKEN="invalid-token").call("collect", "--json", *YEARS)

    assert result.code == 1
    assert len([line for line in result.err.splitlines() if "TMDB_READ_TOKEN" in line]) == 1, result.err
    assert "Traceback" not in result.err
    assert result.json["discovered"] == 0
    assert standin.requests() == {"tmdb": 1, "omdb": 0}
    assert result.json["requests"]["tmdb"] == 1, "a request is told of, whatever became of it"


@pytest.mark.end_to_end
def test_an_invalid_tmdb_key_loses_nothing_that_is_known(tmp_path: Path, story: Story, standin: StandIn) -> None:
    command = _copy(story.partial, tmp_path).asking(standin, TMDB_READ_TOKEN="invalid-token")
    states = "SELECT * FROM refresh_metadata ORDER BY tmdb_id"
    before = command.rows(states)
    result = command.call("collect", "--refresh-only")

    assert result.code == 1
    assert len([line for line in result.err.splitlines() if "TMDB_READ_TOKEN" in line]) == 1, result.err
    assert "Traceback" not in result.err
    assert 1 <= standin.requests()["tmdb"] <= 10, "no more than one a connection finds out"
    assert standin.requests()["omdb"] == 0
    assert command.rows(states) == before, "no movie is blamed for the key"
    assert command.column("SELECT count(*) FROM tmdb_details") == [LIMIT]


@pytest.mark.end_to_end
def test_an_invalid_omdb_key_keeps_what_tmdb_told(tmp_path: Path, story: Story, standin: StandIn) -> None:
    command = _copy(story.partial, tmp_path).asking(standin, OMDB_API_KEY="invalid-key")
    result = command.call("collect", "--json", "--refresh-only", "--refresh-limit", "10")
    complaints = [line for line in result.err.splitlines() if line.startswith("ayne:")]

    assert result.code == 1
    assert len(complaints) == 1
    assert "OMDB_API_KEY" in complaints[0]
    assert 1 <= standin.requests()["omdb"] <= 5
    assert result.json["tmdb_updated"] == 10
    assert command.column("SELECT count(*) FROM tmdb_details") == [LIMIT + 10]
    assert command.column("SELECT count(*) FROM refresh_metadata WHERE omdb_failures > 0") == [0]


# secrets


TMDB_SECRET, OMDB_SECRET = "sk-tmdb-7f3a9c51e0d24b68", "sk-omdb-b81c6a72f94e4d03"


def _traces_of_secrets(command: Ayne, *results: Ended) -> list[str]:
    """Where a key can be read: in what was printed, in any file, in any text column of the database."""
    traces = [f"printed by command {n}" for n, r in enumerate(results) for s in _SECRETS if s in r.out + r.err]
    for path in command.folder.rglob("*"):
        if path.is_file():
            body = path.read_bytes()
            traces += [str(path) for secret in _SECRETS if secret.encode() in body]
    columns = (
        "SELECT schema_name || '.' || table_name, column_name FROM duckdb_columns()"
        " WHERE data_type = 'VARCHAR' AND NOT internal"
    )
    for table, column in command.rows(columns):
        for secret in _SECRETS:
            if command.column(f"SELECT count(*) FROM {table} WHERE contains({column}, '{secret}')")[0]:
                traces.append(f"{table}.{column}")
    return traces


_SECRETS = (TMDB_SECRET, OMDB_SECRET)


@pytest.mark.end_to_end
def test_no_key_is_left_anywhere_by_a_collection_with_faults(tmp_path: Path, story: Story, standin: StandIn) -> None:
    # A v3 key travels in the address, where errors and logs find it more easily than in a header.
    keys = {"TMDB_READ_TOKEN": "", "TMDB_API_KEY": TMDB_SECRET, "OMDB_API_KEY": OMDB_SECRET}
    command = _copy(story.partial, tmp_path).asking(standin, **keys)
    standin.inject(Fault("reset", "tmdb", match="/discover/", times=1))
    for source, match in (("tmdb", "/3/movie/"), ("omdb", "/omdb/")):
        for kind in ("reset", "html", "truncated", "not_json", "wrong_movie"):
            standin.inject(Fault(kind, source, match=match, times=1, status=503))
        standin.inject(Fault("status", source, match=match, times=1, status=400))
    collected = command.run("collect", "--start-year", "2025", "--end-year", "2026", "--refresh-limit", "20")

    assert collected.code == 0, collected.err
    assert standin.statuses()["tmdb"].keys() >= {"0", "200", "400", "503"}
    assert standin.statuses()["omdb"].keys() >= {"0", "200", "400", "503"}
    assert _traces_of_secrets(command, collected) == []


@pytest.mark.end_to_end
def test_no_key_is_left_anywhere_by_a_source_that_repeats_it(tmp_path: Path, story: Story, standin: StandIn) -> None:
    keys = {"TMDB_READ_TOKEN": TMDB_SECRET, "OMDB_API_KEY": OMDB_SECRET}
    command = _copy(story.partial, tmp_path).asking(standin, **keys)
    for source, secret in (("tmdb", TMDB_SECRET), ("omdb", OMDB_SECRET)):
        standin.inject(Fault("status", source, times=2, status=400, message=f"bad request: key={secret}"))
        standin.inject(Fault("status", source, times=1, status=200, message=f"odd: /?apikey={secret}&i=tt1"))
    result = command.call("collect", "--json", "--refresh-only", "--refresh-limit", "20")

    assert result.json["failed"] > 0, "the answers have reached the store"
    assert _traces_of_secrets(command, result) == []


# demo, standin


@pytest.mark.end_to_end
def test_the_demonstration_runs_without_keys_and_sums_up_what_happened(tmp_path: Path) -> None:
    file = tmp_path / "demo.duckdb"
    command = Ayne(tmp_path, database_name="other.duckdb")
    result = command.run("demo", "--movies", "60", "--days", "100", "--database", str(file))

    assert result.code == 0, result.err
    assert not any(name.startswith(("TMDB", "OMDB")) for name in command.environment)
    for word in ("Discovered", "froze", "Requests spent", "The dataset is in demo.duckdb"):
        assert word in result.out
    assert "day 100  " in result.err
    assert "Traceback" not in result.err
    assert not command.database.exists(), "only the demonstration's own database is written"
    stats = replace(command, database_name="demo.duckdb").call("stats", "--json").json
    assert stats["total_movies"] == stats["with_tmdb"] > 0
    hints = re.findall(r"^  AYNE_DATABASE=demo\.duckdb \S+ (.+)$", result.out, re.MULTILINE)
    assert [hint.split()[0] for hint in hints] == ["due", "explain", "dev"]
    for hint in hints[:2]:
        shown = replace(command, database_name="demo.duckdb").call(*hint.split())
        assert shown.code == 0, shown.err
        assert len(shown.out.splitlines()) > 2, "each of them shows something"
        assert "Nothing is due" not in shown.out


@pytest.mark.end_to_end
def test_a_demonstration_that_is_interrupted_ends_in_one_line_and_the_next_begins_anew(tmp_path: Path) -> None:
    command = Ayne(tmp_path, database_name="data/demo.duckdb")
    with command.running("demo", "--movies", "60", "--days", "0") as process:
        wait_until(lambda: (tmp_path / "data/demo.duckdb").exists(), process)
        process.send_signal(signal.SIGINT)
        interrupted = ended(process)
    assert interrupted.code == 130
    assert interrupted.err.splitlines()[-1] == "ayne: Interrupted; everything that had arrived is kept."
    assert "Traceback" not in interrupted.err
    spooled = tmp_path / "data/demo.duckdb.spool"
    spooled.mkdir(exist_ok=True)
    (spooled / "left").touch()
    again = command.run("demo", "--movies", "60", "--days", "0")
    assert again.code == 0, again.err
    assert not spooled.exists()


def test_the_standin_serves_the_world_of_a_demonstration_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "demo.duckdb.world.json").write_text('{"movies": 41, "epoch": "2025-11-28"}')
    with Ayne(tmp_path).running("standin", "--port", str(free_port()), "--world", "demo.duckdb") as process:
        assert process.stdout is not None
        assert "41 invented movies" in lines_with_settings(process.stdout)[0]
    refused = Ayne(tmp_path).call("standin", "--world", "other.duckdb")
    assert (refused.code, "no demonstration's database" in refused.complaint) == (2, True)


@pytest.mark.end_to_end
def test_the_lines_that_the_standin_prints_are_all_the_settings_a_collection_needs(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Ayne(tmp_path).running("standin", "--port", str(port), "--movies", "40") as process:
        assert process.stdout is not None
        lines = lines_with_settings(process.stdout)
        words = [word for line in lines if line.startswith("export ") for word in shlex.split(line)[1:]]
        command = Ayne(tmp_path, dict(word.split("=", 1) for word in words))
        collected = command.call("collect", "--json", "--start-year", "2020", "--end-year", "2026", "--min-votes", "0")
        process.terminate()
        stopped = ended(process)

    assert collected.code == 0, collected.err
    assert collected.json["tmdb_updated"] == collected.json["discovered"] > 0
    assert stopped.code == 0
    assert "Traceback" not in stopped.err


def _day(days: int) -> str:
    """The day so many days from now."""
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


@pytest.mark.end_to_end
def test_settings_are_read_from_a_dotenv_file_and_the_environment_wins(tmp_path: Path, story: Story) -> None:
    copy = _copy(story.partial, tmp_path)
    (tmp_path / ".env").write_text(f"AYNE_DATABASE={copy.database}\nAYNE_OMDB_DAILY_QUOTA=77\nAYNE_REFRESH_LIMIT=x\n")
    command = replace(copy, settings={"AYNE_REFRESH_LIMIT": "5"}, database_name="")
    environment = {"AYNE_REFRESH_LIMIT": "5"}

    class FromFile(Ayne):
        @property
        def environment(self) -> dict[str, str]:
            return environment

    told = FromFile(command.folder).call("stats", "--json")
    assert json.loads(told.out)["quota"]["omdb"]["of"] == 77
    assert json.loads(told.out)["total_movies"] == story.first.json["discovered"]
