"""The notebook, run to its end: each of its eight questions has an answer; without a database it says what to do."""

from __future__ import annotations

import importlib.util
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_answers, merge_listing
from ayne_dagster.warehouse.schema import OMDB_RATINGS, TMDB_DETAILS
from ayne_dagster_tests.support.samples import details, listed, ratings

pytest.importorskip("marimo", reason="the extra `notebook` is not installed: `make test-notebook` installs it")
pytest.importorskip("altair", reason="the extra `notebook` is not installed: `make test-notebook` installs it")

FILE = Path(__file__).parents[1] / "notebooks" / "movies.py"
CHARTS = ("genres", "ratings", "months", "directors", "series", "changes", "movers", "film")
FEBRUARY = datetime(2026, 2, 1, 12, tzinfo=UTC)
OF_A_SERIES = {
    "genres": ["Drama"],
    "collection_id": 1,
    "collection_name": "Lamps",
    "budget": 2_000_000,
    "revenue": 90_000_000,
}


def run(place: Path) -> tuple[Any, Any]:
    """Run the notebook as a copy that lies there, away from any database of this folder."""
    copy = place / "notebooks" / "movies.py"
    copy.parent.mkdir()
    shutil.copyfile(FILE, copy)
    spec = importlib.util.spec_from_file_location("notebook_of_movies", copy)
    assert spec is not None
    assert spec.loader is not None
    notebook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(notebook)
    return notebook.app.run()


def fill(database: Database) -> None:
    """Four movies of a series, whose ratings move after March."""
    with database.transaction() as connection:
        merge_listing(connection, [listed(i, FEBRUARY) for i in range(1, 5)], "run")
        told = [details(i, FEBRUARY, imdb_id=f"tt000000{i}", directors=["Ada"], **OF_A_SERIES) for i in range(1, 5)]
        merge_answers(connection, TMDB_DETAILS, "tmdb", told, "run")
        for days, rating in ((0, 6.0), (80, 7.5)):
            at = FEBRUARY + timedelta(days=days)
            rated = [ratings(i, at, imdb_id=f"tt000000{i}", imdb_rating=rating, metascore=60) for i in range(1, 5)]
            merge_answers(connection, OMDB_RATINGS, "omdb", rated, "run")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AYNE_DATABASE", str(tmp_path / "movies.duckdb"))
    return tmp_path


def test_each_question_has_an_answer_and_a_plot(place: Path) -> None:
    fill(Database(place / "movies.duckdb"))
    _, found = run(place)
    for name in CHARTS:
        chart = found[name]
        assert chart.data.num_rows > 0, name
        assert chart.to_dict()["datasets"], name
    assert found["film"].data.to_pylist()[0]["title"] is not None
    assert {row["known"] for row in found["film"].data.to_pylist()} == {"at the end of March", "today"}
    assert {row["points"] for row in found["movers"].data.to_pylist()} == {1.5}


def test_a_database_in_which_nothing_is_has_plots_without_marks(place: Path) -> None:
    with Database(place / "movies.duckdb").connect():
        pass
    _, found = run(place)
    assert [found[name].data.num_rows for name in CHARTS] == [0] * len(CHARTS)


def test_without_a_database_a_line_says_what_to_do(place: Path) -> None:
    outputs, found = run(place)
    assert not set(CHARTS) & set(found)
    (told,) = [output.text for output in outputs if output is not None and "make demo" in output.text]
    assert "AYNE_DATABASE" in told
