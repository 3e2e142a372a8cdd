"""Contradictions between TMDB and OMDb: judged with either side's answers, kept out of `movies`, counted and listed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import duckdb
import pytest

from ayne_dagster import cli
from ayne_dagster.assets.checks import OF_THE_MOVIE, check_results
from ayne_dagster.config import Settings
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.resources.clients import DuckDBDatabase
from ayne_dagster.warehouse import doubts
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.care.integrity import check_database
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.doubts import count_doubts, judge_unjudged, list_doubts
from ayne_dagster.warehouse.matching.catalogue import keyed, read_titles
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.schema import IMDB_RATINGS, OMDB_RATINGS
from ayne_dagster_tests.support import samples
from ayne_dagster_tests.support.samples import (
    DAY,
    HOUR,
    START,
    details,
    everything,
    history,
    merge_details,
    merge_ratings,
    one,
    rows,
    state_of,
    without_row,
)

Connection = duckdb.DuckDBPyConnection
CAST = {"actors": ["Edward Norton", "Brad Pitt", "Meat Loaf"]}
STRANGER: dict[str, Any] = {
    "title": "Salt Roads",
    "year": 1961,
    "runtime": 84,
    "director": ["Grete Halvorsen"],
    "actors": ["Milo Okafor", "Sun Yiling"],
    "plot": "A caravan.",
    "language": ["Norwegian"],
}
"""What OMDb says of another film."""
SHOWN = ("metascore", "box_office", "awards", "overview", "languages", "imdb_rating", "domestic_gross", "type")


def ratings(tmdb_id: int = 550, at: datetime = START, **changes: Any) -> Answer:
    """OMDb's answer about a movie; `year` is OMDb's, too."""
    answer = samples.ratings(tmdb_id, at)
    return replace(answer, row={**(answer.row or {}), **changes})


def judged(connection: Connection, tmdb_id: int = 550) -> tuple[str | None, str | None]:
    row = one(connection, "omdb_ratings", tmdb_id)
    return row["match"], row["match_reasons"]


def shown(connection: Connection) -> dict[str, Any]:
    (row,) = rows(connection, f"SELECT {', '.join((*SHOWN, 'omdb_match'))} FROM movies WHERE tmdb_id = 550")
    return dict(zip((*SHOWN, "omdb_match"), row, strict=True))


# Judged


def test_an_answer_is_judged_when_it_is_merged(connection: Connection) -> None:
    merge_details(connection, details(**CAST))
    merge_ratings(connection, ratings())
    assert judged(connection) == ("same", None)
    merge_ratings(connection, ratings(at=START + DAY, **STRANGER))
    match, reasons = judged(connection)
    assert match == "another"
    assert reasons is not None
    assert reasons.startswith(
        'the title: "Fight Club" at TMDB, "Salt Roads" at OMDb; the year: 1999 at TMDB, 1961 at OMDb;'
    )


def test_an_answer_is_judged_again_when_tmdbs_details_change(connection: Connection) -> None:
    merge_details(connection, details(**CAST))
    merge_ratings(connection, ratings(**STRANGER))
    corrected = {"title": "Salt Roads", "release_date": date(1961, 5, 5), "directors": ["Grete Halvorsen"]}
    merge_details(connection, details(at=START + DAY, runtime=84, **corrected))
    assert judged(connection)[0] == "same"
    merge_details(connection, details(at=START + 2 * DAY, **CAST))
    assert judged(connection)[0] == "another"


def test_a_change_that_tells_nothing_of_the_work_keeps_the_judgement(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge_details(connection, details(**CAST))
    merge_ratings(connection, ratings(**STRANGER))
    before = judged(connection)

    def compared(*_: object) -> None:
        raise AssertionError("nothing had to be compared")

    monkeypatch.setattr(doubts, "compare_works", compared)
    merge_ratings(connection, ratings(at=START + DAY, **STRANGER | {"metascore": 12}))
    merge_details(connection, details(at=START + DAY, budget=1, **CAST))
    assert one(connection, "omdb_ratings")["metascore"] == 12
    assert judged(connection) == before
    monkeypatch.undo()
    connection.execute("UPDATE omdb_ratings SET match = NULL, match_reasons = NULL")
    merge_ratings(connection, ratings(at=START + 2 * DAY, **STRANGER | {"metascore": 13}))
    assert judged(connection) == before, "where there is none, it is made"


def test_an_answer_without_details_waits_for_them(connection: Connection) -> None:
    merge_ratings(connection, ratings(**STRANGER))
    assert judged(connection) == (None, None)
    assert count_doubts(connection).total == 0
    merge_details(connection, details(**CAST))
    assert judged(connection)[0] == "another"


def test_a_judgement_is_no_change_and_no_history(connection: Connection) -> None:
    merge_details(connection, details(**CAST))
    merge_ratings(connection, ratings(**STRANGER))
    assert not {"match", "match_reasons"} & {*OMDB_RATINGS.content, *OMDB_RATINGS.significant}
    before = state_of(connection).at("omdb")
    merge_details(connection, details(at=START + DAY, title="Salt Roads", release_date=date(1961, 1, 1), runtime=84))
    assert judged(connection)[0] != "another"
    assert state_of(connection).at("omdb") == before
    assert not [row for row in history(connection) if "match" in str(row)]
    report = merge_ratings(connection, ratings(at=START + 2 * DAY, **STRANGER))
    assert report.total().unchanged == 1


def test_answers_of_a_former_version_are_judged_in_bounded_batches(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "JUDGED_AT_ONCE", 2)
    monkeypatch.setattr(doubts, "MOST_BATCHES", 2)
    for number in range(1, 8):
        merge_details(connection, details(number, imdb_id=f"tt{number:07}", **CAST))
        merge_ratings(connection, ratings(number, imdb_id=f"tt{number:07}", **STRANGER))
    merge_ratings(connection, ratings(99, imdb_id="tt0000099"))
    connection.execute("UPDATE omdb_ratings SET match = NULL, match_reasons = NULL")
    assert count_doubts(connection).not_judged == 7
    assert [judge_unjudged(connection, years) for years in (["2001"], None, ["1999"], None)] == [0, 4, 3, 0]
    assert count_doubts(connection).by_kind["another"] == 7
    assert judged(connection, 99) == (None, None), "of the one without details there is nothing to say"


# Shown


def test_movies_shows_nothing_of_another_work(connection: Connection) -> None:
    merge_details(connection, details(**CAST))
    merge_ratings(connection, ratings(**STRANGER))
    listed_at = naive_utc(START)
    insert_rows(
        connection,
        IMDB_RATINGS,
        [{"tmdb_id": 550, "release_year": "1999", "imdb_id": "tt0137523", "imdb_rating": 3.1, "listed_at": listed_at}],
    )
    assert shown(connection) == dict.fromkeys(SHOWN) | {"omdb_match": "another"}
    connection.execute("UPDATE omdb_ratings SET match = 'same'")
    expected = {"metascore": 67, "overview": "A caravan.", "languages": ["Norwegian"], "imdb_rating": 3.1}
    assert shown(connection).items() >= {**expected, "domestic_gross": 37_030_102, "omdb_match": "same"}.items()


def test_movies_shows_what_is_doubtful_and_says_so(connection: Connection) -> None:
    merge_details(connection, details(directors=None))
    merge_ratings(connection, ratings(title="Salt Roads", year=1961))
    assert shown(connection).items() >= {"metascore": 67, "box_office": 37_030_102, "omdb_match": "doubtful"}.items()


def test_a_former_ids_answer_is_no_doubt(connection: Connection) -> None:
    merge_details(connection, details(**CAST))
    merge_ratings(connection, ratings(**STRANGER))
    merge_details(connection, details(at=START + DAY, imdb_id="tt7777777", **CAST))
    assert count_doubts(connection).total == 0
    assert shown(connection)["omdb_match"] is None
    assert shown(connection)["metascore"] is None


def test_a_figure_of_another_work_is_told_and_not_shown(connection: Connection) -> None:
    merge_details(connection, details(**CAST))
    merge_ratings(connection, ratings(**STRANGER))
    found = "SELECT amount, suspect FROM box_office_figures WHERE source = 'omdb'"
    assert rows(connection, found) == [(37_030_102, "the IMDb id is another work's")]


def test_another_works_title_finds_no_row_of_a_file(connection: Connection) -> None:
    merge_details(connection, details(**CAST))
    merge_ratings(connection, ratings(**STRANGER))
    assert keyed(read_titles(connection, None))["key"].to_pylist() == ["fight club"]


def test_old_queries_show_nothing_of_another_work(connection: Connection) -> None:
    merge_details(connection, details(**CAST))
    merge_ratings(connection, ratings(**STRANGER))
    assert rows(connection, "SELECT title, metascore FROM legacy.full_dataset") == [("Fight Club", None)]


# Listed


def fill(connection: Connection) -> None:
    """A doubt of each kind: 1 is another work, 2 doubtful, 3 and 4 share an id, 5 is deleted and lives on as 6."""
    merge_details(connection, details(1, imdb_id="tt0000001", popularity=1.0, **CAST))
    merge_details(connection, details(2, imdb_id="tt0000002", directors=None))
    merge_details(connection, *(details(number, imdb_id="tt0000034") for number in (3, 4)))
    merge_details(connection, *(details(number, imdb_id="tt0000056") for number in (5, 6)))
    merge_details(connection, details(7, imdb_id="tt0000007", popularity=9.0, **CAST))
    merge_ratings(connection, ratings(1, imdb_id="tt0000001", **STRANGER))
    merge_ratings(connection, ratings(2, imdb_id="tt0000002", title="Salt Roads", year=1961))
    merge_ratings(connection, ratings(7, imdb_id="tt0000007", **STRANGER | {"title": "A \x1b[31m | film"}))
    for hours in (1, 12):
        merge_details(connection, without_row(Outcome.NOT_FOUND, 5, START + hours * HOUR))


def test_doubts_are_listed_by_kind_and_then_by_popularity(connection: Connection) -> None:
    fill(connection)
    found = list_doubts(connection, 100)
    kinds = [(7, "another"), (1, "another"), (3, "shared"), (4, "shared"), (5, "follow"), (2, "doubtful")]
    assert [(each["tmdb_id"], each["doubt"]) for each in found] == kinds
    assert list_doubts(connection, 2) == found[:2]
    assert count_doubts(connection).by_kind == {"another": 2, "shared": 2, "follow": 1, "doubtful": 1}
    first = found[1]
    assert first.pop("reasons") == judged(connection, 1)[1]
    assert first == {
        "tmdb_id": 1,
        "imdb_id": "tt0000001",
        "doubt": "another",
        "title": "Fight Club",
        "year": 1999,
        "omdb_title": "Salt Roads",
        "omdb_year": 1961,
        "follow": None,
    }
    assert (found[2]["reasons"], found[2]["omdb_title"]) == ("movies 3, 4 have one IMDb id", None)
    assert (found[4]["reasons"], found[4]["follow"]) == ("TMDB has deleted it, and movie 6 has its IMDb id", 6)


def test_what_tmdb_has_deleted_is_no_doubt_of_the_others(connection: Connection) -> None:
    merge_details(connection, details(1, imdb_id="tt0000001", **CAST))
    merge_ratings(connection, ratings(1, imdb_id="tt0000001", **STRANGER))
    for hours in (1, 12):
        merge_details(connection, without_row(Outcome.NOT_FOUND, 1, START + hours * HOUR))
    assert list_doubts(connection, 100) == []


def test_the_check_warns_of_another_work_and_tells_of_the_doubtful(database: Database) -> None:
    with database.transaction():
        pass
    resource = DuckDBDatabase(database=str(database.path))
    (clean,) = (r for r in check_results(OMDB_RATINGS, resource, START, Settings()) if r.check_name == OF_THE_MOVIE)
    assert (clean.passed, dict(clean.metadata)["another"].value) == (True, 0)
    with database.connect() as connection:
        fill(connection)
    (warning,) = (r for r in check_results(OMDB_RATINGS, resource, START, Settings()) if r.check_name == OF_THE_MOVIE)
    assert (warning.passed, warning.severity.value) == (False, "WARN")
    numbers = {name: value.value for name, value in warning.metadata.items()}
    told = numbers.pop("doubts")
    assert numbers == {"another": 2, "shared": 2, "follow": 1, "doubtful": 1, "judged": 3, "not_judged": 0}
    assert isinstance(told, str)
    assert [line.count(" | ") for line in told.splitlines()] == [3] * 8, "no title is a cell of its own"


def test_verifying_a_database_tells_of_doubts_and_finds_nothing_wrong(database: Database) -> None:
    with database.connect() as connection:
        fill(connection)
    report = check_database(database, START + 2 * DAY)
    assert report.sound
    assert report.notes == [
        "2 movie(s) have the IMDb id of another work, and `movies` shows nothing under it; 2 share an IMDb id with"
        " another movie; 1 that TMDB has deleted live on under another TMDB id; of 1 it is doubtful whether OMDb means"
        " the same work: `ayne doubts` lists them."
    ]
    with database.connect() as connection:
        connection.execute("UPDATE omdb_ratings SET match = NULL")
    assert check_database(database, START + 2 * DAY).notes[-1].startswith("3 answer(s) of OMDb were not compared")


def test_the_command_lists_them(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AYNE_DATABASE", str(database.path))
    with database.connect() as connection:
        merge_details(connection, details(**CAST))
        merge_ratings(connection, ratings())
    assert cli.run(["doubts"]) == 0
    assert capsys.readouterr().out == "No doubt: 1 answers of OMDb are of TMDB's movies, as far as is known.\n"
    with database.connect() as connection:
        fill(connection)
    assert cli.run(["doubts", "--json", "--limit", "3"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [each["tmdb_id"] for each in result["doubts"]] == [7, 1, 3]
    assert result["counts"] == {"another": 2, "shared": 2, "follow": 1, "doubtful": 1}
    assert (result["judged"], result["not_judged"]) == (4, 0)
    assert cli.run(["doubts"]) == 0
    out = capsys.readouterr().out
    assert "6 of 6; 4 answers were compared" in " ".join(out.split())
    assert "\x1b" not in out


def test_the_command_changes_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AYNE_DATABASE", str(database.path))
    with database.connect() as connection:
        fill(connection)
        before = everything(connection)
    assert cli.run(["doubts"]) == 0
    assert cli.run(["doubts", "--limit", "0"]) == 2
    with database.connect() as connection:
        assert everything(connection) == before
