"""Reading pages of The Numbers: which movies are asked for, what is stored of each, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from ayne_dagster.collecting.pages import PagesReport, due_pages, read_pages
from ayne_dagster.config import Settings
from ayne_dagster.sources.errors import MalformedAnswer, QuotaExhausted, SourceBanned, SourceError
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.schema import TMDB_DETAILS
from ayne_dagster_tests.support.processes import Ayne
from ayne_dagster_tests.support.samples import DAY, details, figure

NOW = datetime.now(UTC)


class Pages:
    """Answers as it is told, and notes what it was asked for."""

    def __init__(self, what: Callable[[str], list[Any] | SourceError | None] = lambda _: [figure()]) -> None:
        self.asked: list[tuple[str, int]] = []
        self.account = SimpleNamespace(on_wait=None)
        self._what = what

    async def fetch_figures(self, title: str, year: int) -> tuple[list[Any] | None, int]:
        self.asked.append((title, year))
        await asyncio.sleep(0)
        found = self._what(title)
        if isinstance(found, SourceError):
            found.requests = 2
            raise found
        return found, 1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Five movies: three long released, one still to come, one without a date."""
    database = Database(tmp_path / "ayne.duckdb")
    dates = {1: NOW.date() - 900 * DAY, 2: NOW.date() - 800 * DAY, 3: NOW.date() - 700 * DAY, 4: NOW.date() + 9 * DAY}
    answers = [details(i, NOW - DAY, title=f"Film {i}", release_date=dates.get(i), imdb_id=None) for i in range(1, 6)]
    with database.transaction() as connection:
        merge_answers(connection, TMDB_DETAILS, "tmdb", answers, "run-1")
    return database


def read(database: Database, pages: Pages, limit: int = 10, later: timedelta = timedelta(0)) -> PagesReport:
    settings = Settings(database=database.path, clock_offset=later)
    client: Any = pages
    return read_pages(database, settings, lambda: client, limit, run_id="pages-1", tell=lambda _: None)


def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    with database.connect(read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_released_movies_are_asked_for_the_newest_first(database: Database) -> None:
    pages = Pages()
    report = read(database, pages)
    assert [title for title, _ in pages.asked] == ["Film 3", "Film 2", "Film 1"]
    assert (report.asked, report.found, report.changed, report.requests, report.due_left) == (3, 3, 3, 3, 0)
    assert rows(database, "SELECT DISTINCT source FROM box_office") == [("the_numbers",)]
    assert rows(database, "SELECT count(*) FROM movies WHERE worldwide_gross_source = 'the_numbers'") == [(3,)]


def test_what_was_asked_for_is_due_again_after_its_interval(database: Database) -> None:
    read(database, Pages())
    again = Pages()
    assert read(database, again).asked == 0
    assert read(database, again, later=181 * DAY).asked == 4, "and what has been released since"
    with database.connect(read_only=True) as connection:
        assert due_pages(connection, NOW + 182 * DAY, 10) == []


def test_a_limit_leaves_the_rest_due(database: Database) -> None:
    report = read(database, Pages(), limit=1)
    assert (report.asked, report.due_left) == (1, 2)


def test_a_movie_without_a_page_is_noted_and_left_alone(database: Database) -> None:
    report = read(database, Pages(lambda _: None))
    assert (report.asked, report.found, report.due_left) == (3, 0, 0)
    assert rows(database, "SELECT DISTINCT outcome FROM fetch_log WHERE source = 'the_numbers'") == [("absent",)]


def test_one_bad_page_costs_the_others_nothing(database: Database) -> None:
    report = read(database, Pages(lambda title: MalformedAnswer("cut off") if title == "Film 2" else [figure()]))
    assert (report.asked, report.found, report.failed, report.requests) == (3, 2, 1, 4)


@pytest.mark.parametrize("error", [SourceBanned("HTTP 403"), QuotaExhausted("used up")])
def test_a_refusal_ends_it_and_blames_no_movie(database: Database, error: SourceError) -> None:
    report = read(database, Pages(lambda title: error if title == "Film 2" else [figure()]))
    assert (report.asked, report.found, report.due_left, report.stopped) == (1, 1, 2, str(error))
    assert rows(database, "SELECT count(*) FROM fetch_log WHERE source = 'the_numbers'") == [(1,)]


def test_without_the_terms_acknowledged_nothing_is_asked(tmp_path: Path) -> None:
    for settings in ({}, {"AYNE_NUMBERS_ACKNOWLEDGE_TERMS": "yes"}, {"AYNE_CONTACT": "you@example.org"}):
        ended = Ayne(tmp_path, settings).call("box-office", "pages")
        assert ended.code == 2
        assert "The Numbers is not asked" in ended.complaint
    assert list(tmp_path.iterdir()) == []
