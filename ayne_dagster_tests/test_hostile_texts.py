"""Titles, overviews, names and error texts are data wherever they surface: queries, metadata, output, exports."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.sources.tmdb.models import DiscoverItem, MovieDetails
from ayne_dagster.sources.tmdb.normalize import details_row, discovered_row
from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.answers import Answer, ListedMovie
from ayne_dagster.warehouse.care.export import export_tables
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_answers, merge_listing
from ayne_dagster.warehouse.schema import TABLES, TMDB_DETAILS
from ayne_dagster_tests.support.processes import Ayne, Ended

TEXTS = {
    "SQL": "'; DROP TABLE movies; DROP TABLE tmdb_details; --",
    "SQL, double quotes": '"; DELETE FROM refresh_metadata; --',
    "a parameter's name": "$now ? :1 %s {0} {title}",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "Markdown": "[click](javascript:alert(1)) ![x](http://192.0.2.1/) **bold** `code` | cell |",
    "rich markup": "[red]Alarm[/red] [bold]",
    "broken rich markup": "[red]…[/nope] [/] [link=http://192.0.2.1]x",
    "emoji code": ":smile: :warning:",
    "formula": "=HYPERLINK(\"http://192.0.2.1/\"&A1,\"free\")",
    "formula with plus": "+1+cmd|' /C calc'!A0",
    "formula with minus": "-2+3",
    "formula with at": "@SUM(1+9)*cmd|' /C calc'!A0",
    "wide formula": "＝1+1",
    "a number that is a title": "-1",
    "escape sequences": "\x1b[2J\x1b[31mred\x1b]0;title\x07 and \x9b31m",
    "line breaks": "one\ntwo\rthree\ttab\x0b",
    "other lines": "a\u2028b\u2029c\x85d",
    "reversed": "\u202egnp.exe\u2066",
    "a line of our own": "Wings\nayne: all is lost",
    "JSON": '{"a": [1, "b"]}\\',
    "path": "../../etc/passwd\x00.csv",
    "only an apostrophe": "'",
}  # fmt: skip
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
IDS = {name: number for number, name in enumerate(TEXTS, 1)}


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Ayne:
    """A database with a movie of each text: as title, overview, genre, name and keyword."""
    command = Ayne(tmp_path_factory.mktemp("hostile"), {"COLUMNS": "400"})
    listed = [ListedMovie(IDS[name], NOW, discovered_row(DiscoverItem(**_body(name)))) for name in TEXTS]
    answers = [
        Answer(IDS[name], Outcome.FETCHED, NOW, details_row(MovieDetails.model_validate(_body(name)))) for name in TEXTS
    ]
    with Database(command.database).transaction() as connection:
        merge_listing(connection, listed, "run-1")
        merge_answers(connection, TMDB_DETAILS, "tmdb", answers, "run-1")
    return command


def _body(name: str) -> dict[str, Any]:
    text = TEXTS[name]
    named = [{"name": text}, {"name": "plain"}]
    return {
        "id": IDS[name],
        "title": text,
        "original_title": text,
        "overview": text,
        "tagline": text,
        "status": text,
        "release_date": "1999-10-15",
        "vote_average": 7.5,
        "genres": named,
        "keywords": {"keywords": named},
        "credits": {"cast": named, "crew": [{"name": text, "job": "Director", "department": "Directing"}]},
    }


def stored_title(command: Ayne, name: str) -> str:
    (title,) = command.column(f"SELECT title FROM tmdb_details WHERE tmdb_id = {IDS[name]}")
    return str(title)


def assert_harmless(ended: Ended) -> None:
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    assert not STEERING.search(ended.out + ended.err)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_stored_as_it_came_but_for_control_characters(command: Ayne, name: str) -> None:
    kept = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069]", "", TEXTS[name])
    kept = re.sub("[\x85\u2028\u2029]", "\n", kept)
    assert stored_title(command, name) == kept
    row = command.rows(f"SELECT overview, genres, directors FROM tmdb_details WHERE tmdb_id = {IDS[name]}")[0]
    assert row == (kept, [kept, "plain"], [kept])


def test_no_text_has_reached_a_statement(command: Ayne) -> None:
    tables = command.column("SELECT table_name FROM duckdb_tables()")
    assert {table.name for table in TABLES} <= set(tables)
    for table in ("discovered_movies", "tmdb_details", "refresh_metadata"):
        assert command.column(f"SELECT count(*) FROM {table}") == [len(TEXTS)]


@pytest.mark.parametrize("name", TEXTS)
def test_explain_shows_a_title_in_one_line_and_as_it_is(command: Ayne, name: str) -> None:
    ended = command.call("explain", str(IDS[name]))
    assert_harmless(ended)
    first = ended.out.splitlines()[0]
    assert f" (TMDB {IDS[name]}), archived" in first
    title = stored_title(command, name)
    shown = STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", re.sub("[\t-\r]+", " ", title))
    assert first.startswith(shown)
    assert len(ended.out.splitlines()) == 6, "the title, three sources, a change, the cycles"


@pytest.mark.parametrize("name", TEXTS)
def test_json_holds_a_title_exactly_and_is_safe_to_look_at(command: Ayne, name: str) -> None:
    ended = command.call("explain", str(IDS[name]), "--json")
    assert_harmless(ended)
    assert ended.json["title"] == stored_title(command, name)


def test_the_table_of_due_movies_has_a_line_a_movie_and_interprets_nothing(command: Ayne) -> None:
    ended = command.call("due", "--limit", "100", "--as-of", "2027-01-01")
    assert_harmless(ended)
    for name in ("rich markup", "broken rich markup", "emoji code", "HTML", "Markdown", "SQL"):
        assert TEXTS[name] in ended.out
    rows = [line for line in ended.out.splitlines() if "1999-10-15" in line]
    assert len(rows) == len(TEXTS), "no title forges a line or hides one"
    listed = command.call("due", "--json", "--limit", "100", "--as-of", "2027-01-01")
    assert_harmless(listed)
    assert {movie["title"] for movie in listed.json["movies"]} == {stored_title(command, name) for name in TEXTS}


# Exports


@pytest.fixture(scope="module")
def exported(command: Ayne) -> dict[str, dict[int, dict[str, Any]]]:
    """The rows of `tmdb_details` as three kinds of files hold them, by movie."""
    files = {"csv": ("--format", "csv"), "raw": ("--format", "csv", "--raw"), "parquet": ()}
    for name, options in files.items():
        assert_harmless(command.call("export", str(command.folder / name), "--table", "tmdb_details", *options))
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for name in ("csv", "raw"):
        with (command.folder / name / "tmdb_details.csv").open(newline="") as file:
            found[name] = {int(row["tmdb_id"]): row for row in csv.DictReader(file)}
    rows = pq.read_table(command.folder / "parquet" / "tmdb_details.parquet").to_pylist()
    return found | {"parquet": {row["tmdb_id"]: row for row in rows}}


@pytest.mark.parametrize("name", TEXTS)
def test_no_cell_of_a_csv_file_is_a_formula(
    command: Ayne, exported: dict[str, dict[int, dict[str, Any]]], name: str
) -> None:
    row = exported["csv"][IDS[name]]
    title = stored_title(command, name)
    guard = "'" if title[0] in "=+-@\t\r\n＝＋－＠" else ""
    for column in ("title", "overview", "tagline", "status"):
        assert row[column] == guard + title
    assert all(cell[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n") for cell in row.values() if cell)


@pytest.mark.parametrize("name", TEXTS)
def test_a_raw_csv_file_and_a_parquet_file_are_exact(
    command: Ayne, exported: dict[str, dict[int, dict[str, Any]]], name: str
) -> None:
    title, row = stored_title(command, name), exported["parquet"][IDS[name]]
    assert exported["raw"][IDS[name]]["title"] == title
    assert (row["title"], row["genres"]) == (title, [title, "plain"])


def test_numbers_and_dates_stay_numbers_and_dates_in_csv(tmp_path: Path) -> None:
    with Database(tmp_path / "a.duckdb").transaction() as connection:
        connection.execute("INSERT INTO tmdb_details (tmdb_id, title, revenue, popularity) VALUES (1, '=1', -5, -0.5)")
        export_tables(connection, tmp_path, ["tmdb_details"], "csv")
    read = duckdb.sql(f"SELECT title, revenue, popularity FROM read_csv('{tmp_path / 'tmdb_details.csv'}')")
    assert read.fetchall() == [("'=1", -5, -0.5)]


# What a source says, on its way through a run


@pytest.mark.end_to_end
def test_a_hostile_source_steers_no_terminal_and_writes_no_metadata(tmp_path: Path) -> None:
    words = "\x1b[2J\x9b31m[red]gone[/nope]\nayne: <b>all</b> is lost\u202e"
    with StandIn(200, oddities=0) as standin:
        command = Ayne(tmp_path).asking(standin, AYNE_OMDB_RETRY_WAIT="0.01")
        standin.inject(
            Fault("status", "tmdb", match="/3/movie/", times=3, status=400, message=words),
            Fault("status", "omdb", times=3, status=200, message=words),
            Fault("body", "tmdb", match="/3/movie/", times=2, status=200, message=f"{{{words}}}"),
            Fault("status", "omdb", times=1, status=401, message=f"{words} API key"),
        )
        ended = command.run("collect", "--start-year", "2015", "--min-votes", "0", "--refresh-limit", "30")
        assert standin.befallen() == {"status": 7, "body": 2}
    assert ended.code == 1
    assert "OMDB_API_KEY" in ended.err
    assert not STEERING.search(ended.out + ended.err)
    reasons = command.column("SELECT reason FROM fetch_log WHERE reason IS NOT NULL")
    assert any("<b>all</b> is lost" in reason for reason in reasons)
    assert not any(STEERING.search(reason) or "\n" in reason for reason in reasons)
    with command.instance() as instance:
        told = [entry for record in instance.get_run_records() for entry in _metadata(instance, record)]
    assert len(told) > 10
    assert not [value for value in told if "lost" in value or "gone" in value]


def _metadata(instance: dg.DagsterInstance, record: dg.RunRecord) -> list[str]:
    """All values of all metadata of a run's materializations and checks."""
    values: list[str] = []
    for entry in instance.all_logs(record.dagster_run.run_id):
        event = entry.dagster_event
        if event is not None and event.is_step_materialization:
            values += [repr(value) for value in event.step_materialization_data.materialization.metadata.values()]
        if event is not None and event.event_type_value == "ASSET_CHECK_EVALUATION":
            values += [repr(value) for value in event.asset_check_evaluation_data.metadata.values()]
    return values
