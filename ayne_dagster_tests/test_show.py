"""`ayne show`: one movie on a screen, and the movies that a few words may mean."""

from __future__ import annotations

import io
import json
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ayne_dagster import cli
from ayne_dagster.commands import showing
from ayne_dagster.commands.showing import ASCII_BARS, BARS, sparkline
from ayne_dagster.config import load_settings
from ayne_dagster.sources.limits.ledger import open_ledger
from ayne_dagster.warehouse import one_movie
from ayne_dagster.warehouse.database import Database
from ayne_dagster_tests.support.samples import (
    details,
    end,
    figure,
    listed,
    merge_details,
    merge_listed,
    merge_money,
    merge_ratings,
    money,
    python,
    ratings,
)

NOW = datetime.now(UTC)
EARLIER, LATER = NOW - timedelta(days=20), NOW - timedelta(days=2)
EVIL = "\x1b[31mRed\u202e"
CAST = {
    "people": {"person_id": [1, 2], "name": ["Brad Pitt", EVIL]}
    | {name: [None, None] for name in ("gender", "known_for_department", "profile_path")},
    "credits": {
        "credit_id": ["c1", "c2"],
        "person_id": [1, 2],
        "kind": ["cast", "crew"],
        "department": [None, "Directing"],
        "job": [None, "Director"],
        "character": ["Tyler Durden", None],
        "billing_order": [0, None],
    },
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    database = Database(tmp_path_factory.mktemp("shown") / "ayne.duckdb")
    with database.connect() as connection:
        merge_listed(connection, *(listed(n, EARLIER, title="Amélie") for n in (10, 11)))
        merge_listed(connection, listed(12, EARLIER, title="Le fabuleux destin d'Amélie Poulain", popularity=900.0))
        merge_listed(connection, listed(13, EARLIER, title="550", popularity=1.0))
        merge_details(connection, details(550, EARLIER, budget=90_000_000))
        merge_ratings(connection, ratings(550, EARLIER, imdb_rating=8.1))
        merge_details(connection, replace(details(550, LATER, revenue=200), entities=CAST))
        merge_ratings(connection, ratings(550, LATER, imdb_rating=8.8))
        merge_money(connection, money(550, LATER, figure(amount=999)))
    return database.path


@pytest.fixture(autouse=True)
def _database(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copyfile(template, tmp_path / "ayne.duckdb")
    monkeypatch.setenv("AYNE_DATABASE", str(tmp_path / "ayne.duckdb"))


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What is printed; of a failure, on stderr."""
    assert cli.run(["show", *arguments]) == code
    out, err = capsys.readouterr()
    return err if code else out


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(capsys, *arguments, "--json"))
    return found


def test_a_movie_is_shown_with_all_that_is_known_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "FIGHT", "club")
    assert text.startswith("Fight Club (1999) · TMDB 550 · IMDb tt0137523 · archived")
    assert "With Brad Pitt (Tyler Durden)" in text
    day = f"{LATER:%Y-%m-%d}"
    for line in (
        f"runtime            139  [tmdb {day}]",
        f"imdb rating        8.8  [omdb {day}]",
        f"production budget  63,000,000  [tmdb {day}]",
        "8.1 ▁██ 8.8  1 change",
        "TMDB  budget: 90,000,000 → 63,000,000",
        "gross, worldwide, of wikidata: 999 USD: a gross below 10,000 US dollars",
    ):
        assert line in text, line
    assert "TMDB          not due until" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_what_comes_next_is_what_explain_says(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, "550")["sources"]
    assert cli.run(["explain", "550", "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)["sources"]
    for source, other in explained.items():
        assert shown[source]["explanation"].partition(":")[0] == other["explanation"].partition(":")[0]
        assert (shown[source]["due"], shown[source]["reason"]) == (other["due"], other["reason"])


def test_every_value_has_a_source_and_a_date(capsys: pytest.CaptureFixture[str]) -> None:
    for tmdb_id in ("550", "10"):
        values = told(capsys, tmdb_id)["values"]
        assert {"title", "release_date"} <= {value["column"] for value in values}
        assert [v for v in values if not v["source"] or not v["as_of"]] == []


def test_where_no_credits_are_read_names_are_those_of_the_details(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_movie, "MOST_CREDITS_READ", 0)
    movie = told(capsys, "550")
    assert (movie["directors"], movie["cast"]) == (["David Fincher"], [])


def test_why_omdb_may_mean_another_work_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with Database(tmp_path / "ayne.duckdb").connect() as connection:
        connection.execute("UPDATE omdb_ratings SET match = 'doubtful', match_reasons = 'the years differ'")
    assert "OMDb's answer for tt0137523 may be another work's: the years differ" in told(capsys, "550")["doubts"]


@pytest.mark.parametrize("sought", ["amelie", "AMÉLIE", " Amélie "])
def test_a_title_that_several_have_lists_them_the_same_title_first(
    capsys: pytest.CaptureFixture[str], sought: str
) -> None:
    assert [movie["tmdb_id"] for movie in told(capsys, sought)["found"]] == [10, 11, 12]
    assert "3 movies that may be meant" in said(capsys, sought)


def test_a_part_of_a_title_is_enough_where_one_movie_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "poulain")["tmdb_id"] == 12


def test_an_id_is_an_id_and_a_title_that_is_that_number_is_named_beside_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for sought in ("550", "tt0137523", "TT0137523"):
        assert cli.run(["show", sought, "--json"]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["tmdb_id"] == 550
        assert err == ("Also found: 550 (13)\n" if sought == "550" else "")


@pytest.mark.parametrize("sought", ["nowhere", "%", "9" * 40, "'; DROP TABLE movies; --", " "])
def test_what_nobody_knows_is_one_line_and_a_failure(capsys: pytest.CaptureFixture[str], sought: str) -> None:
    text = said(capsys, sought, code=1)
    assert text.startswith("ayne: No movie is found by")
    assert text.count("\n") == 1


def test_a_terminal_without_unicode_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace"))
    assert cli.run(["show", "550"]) == 0
    sys.stdout.flush()
    text = raw.getvalue().decode("ascii")
    assert "8.1 _@@ 8.8" in text
    assert "90,000,000 -> 63,000,000" in text
    assert "\\u2" not in text.replace("\\u202e", "")


def test_budgets_are_looked_at_only_where_something_is_due(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(showing, "hindrances", lambda *a: asked.append(a) or {"tmdb": "nothing is left today"})
    assert told(capsys, "550")["sources"]["tmdb"]["held_back"] is None
    assert not asked
    assert told(capsys, "10")["sources"]["tmdb"]["explanation"].endswith("but nothing is left today")


@pytest.mark.parametrize(
    ("values", "curve"),
    [([], ""), ([None], ""), ([5.0], "▄"), ([1.0, None, 2.0], "▁ █"), ([1.0, 1.0], "▄▄"), ([0, 1, 2, 7], "▁▂▃█")],
)
def test_a_curve_goes_from_the_lowest_to_the_highest(values: list[float | None], curve: str) -> None:
    assert sparkline(values, BARS) == curve
    assert len(sparkline(values, ASCII_BARS)) == len(curve)
    assert len(BARS) == len(ASCII_BARS)


LOADS = """
import sys
from ayne_dagster import cli
assert cli.run(["show", "550"]) == 0
found = set(sys.argv[1:]) & set(sys.modules)
sys.exit(f"loaded: {found}" if found else 0)
"""
SLOW = ("dagster", "httpx", "aiohttp", "pydantic", "pandas", "pyarrow", "numpy")


def test_showing_a_movie_that_is_not_due_loads_nothing_slow() -> None:
    assert end(python(LOADS, *SLOW, "sqlalchemy")) == 0


def test_showing_a_movie_that_is_due_looks_at_the_ledger_without_what_writes_to_it() -> None:
    assert cli.run(["force", "550"]) == 0
    settings = load_settings()
    open_ledger(settings).charge("tmdb:another", settings.now().date(), 10)
    assert end(python(LOADS, *SLOW, "sqlalchemy")) == 0


def test_a_ledger_that_a_glance_does_not_tell_of_is_loaded() -> None:
    assert cli.run(["force", "550"]) == 0
    assert end(python(LOADS, *SLOW)) == 0
    assert end(python(LOADS, "sqlalchemy")) == 1
