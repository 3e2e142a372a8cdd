"""Collecting figures: many movies are one request, and each movie's outcome is its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime

import pytest

from ayne_dagster.collecting import figures
from ayne_dagster.collecting.asking import collect_answers
from ayne_dagster.collecting.figures import HeldUp, figures_fetcher
from ayne_dagster.collecting.progress import Progress
from ayne_dagster.collecting.streams import StreamClosed
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.sources.errors import (
    MalformedAnswer,
    QuotaExhausted,
    SourceDown,
    SourceError,
    SourceUnavailable,
    TooMuchAsked,
)
from ayne_dagster.sources.trust import Trust
from ayne_dagster.sources.wikidata.client import Film, Statements
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.refresh_metadata import DueMovie
from ayne_dagster_tests.support.samples import figure

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NONE = Statements(True, "Q1", ())
ABSENT = Statements(False, None, ())


class Wikidata:
    """Answers as it is told, and notes which films each request was about."""

    BATCH = 200

    def __init__(self, state: Callable[[Film], Statements] = lambda _: NONE, error: SourceError | None = None) -> None:
        self.requests: list[list[Film]] = []
        self._state = state
        self._error = error

    async def fetch_figures(self, films: Sequence[Film]) -> tuple[dict[int, Statements], int]:
        self.requests.append(list(films))
        await asyncio.sleep(0)
        if self._error is not None:
            self._error.requests = 3
            raise self._error
        return {film.tmdb_id: self._state(film) for film in films}, 1


def movies(count: int) -> list[DueMovie]:
    return [DueMovie(n, "1999", date(1999, 10, 15), f"tt{n:07}", {}) for n in range(1, count + 1)]


async def at_once() -> None:
    """There is room for every answer."""


def collected(
    wikidata: Wikidata, due: Sequence[DueMovie], room: Callable[[], Awaitable[None]] = at_once
) -> tuple[list[Answer], Progress]:
    """All answers about the movies; raises what ended the collection. `room` is waited for behind each answer."""
    answers: list[Answer] = []
    progress = Progress()

    async def emit(answer: Answer) -> None:
        answers.append(answer)
        await room()

    async def up(_: object) -> None:
        pass

    async def run() -> None:
        trust = Trust(up)
        trust.usable()
        held_up = HeldUp()
        fetch = figures_fetcher(wikidata, lambda: NOON, {1: "Q42"}, held_up)
        taking, workers = held_up.counting(emit), wikidata.BATCH
        await collect_answers(due, fetch, taking, workers=workers, now=lambda: NOON, progress=progress, trust=trust)

    asyncio.run(asyncio.wait_for(run(), 30))
    return answers, progress


def test_two_hundred_movies_are_one_request() -> None:
    wikidata = Wikidata()
    answers, _ = collected(wikidata, movies(1_000))
    assert [len(films) for films in wikidata.requests] == [200] * 5
    assert sorted(answer.tmdb_id for answer in answers) == list(range(1, 1_001))
    assert sum(answer.requests for answer in answers) == 5


def test_requests_are_full_also_while_answers_wait_for_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "COMPANY_SECONDS", 0)
    taken = 0

    async def every_second_waits() -> None:
        nonlocal taken
        taken += 1
        for _ in range(50 if taken % 2 else 0):  # turns of the loop, many more than a request takes
            await asyncio.sleep(0)

    wikidata = Wikidata()
    answers, _ = collected(wikidata, movies(1_050), every_second_waits)
    assert [len(films) for films in wikidata.requests] == [200] * 5 + [50]
    assert len(answers) == 1_050


def test_who_waits_for_company_is_asked_for_when_the_others_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "COMPANY_SECONDS", 0)
    taken = 0

    async def closed_for_half() -> None:
        nonlocal taken
        taken += 1
        if 100 <= taken <= 200:
            await asyncio.sleep(0)
            raise StreamClosed

    wikidata = Wikidata()
    answers, progress = collected(wikidata, movies(1_000), closed_for_half)
    assert [len(films) for films in wikidata.requests] == [200, 99], "those who had asked before it was closed"
    assert len(answers) == 299
    assert len(progress.deferred) == 701


def test_a_film_is_asked_for_by_all_ids_that_are_known() -> None:
    wikidata = Wikidata()
    collected(wikidata, movies(2))
    assert wikidata.requests == [[Film(1, "tt0000001", "Q42"), Film(2, "tt0000002", None)]]


def test_figures_come_by_who_states_them_and_a_film_without_has_none() -> None:
    stated = Statements(True, "Q1", (figure(),))
    answers, _ = collected(Wikidata(lambda film: stated if film.tmdb_id == 1 else NONE), movies(2))
    rows = {answer.tmdb_id: answer.row for answer in answers}
    assert rows == {1: {"wikidata": [figure()]}, 2: {"wikidata": []}}
    assert {answer.outcome for answer in answers} == {Outcome.FETCHED}


def test_a_film_that_wikidata_has_not_is_absent() -> None:
    answers, _ = collected(Wikidata(lambda film: ABSENT if film.tmdb_id % 2 else NONE), movies(10))
    assert Counter(answer.outcome for answer in answers) == {Outcome.ABSENT: 5, Outcome.FETCHED: 5}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(SourceUnavailable("HTTP 502"), Outcome.UNAVAILABLE), (MalformedAnswer("no JSON", b"<"), Outcome.QUARANTINED)],
)
def test_an_error_is_that_of_all_films_of_its_request_and_costs_its_requests_once(
    error: SourceError, outcome: Outcome
) -> None:
    answers, _ = collected(Wikidata(error=error), movies(150))
    assert Counter(answer.outcome for answer in answers) == {outcome: 150}
    assert sum(answer.requests for answer in answers) == 3


def test_a_film_that_cannot_be_answered_alone_costs_the_others_nothing() -> None:
    failed = {
        1: Statements(False, None, (), MalformedAnswer("no figure", b"{")),
        2: Statements(False, None, (), TooMuchAsked("time limit")),
        3: Statements(False, None, (), SourceUnavailable("HTTP 502")),
    }
    answers, _ = collected(Wikidata(lambda film: failed.get(film.tmdb_id, NONE)), movies(10))
    outcomes = {answer.tmdb_id: answer.outcome for answer in answers}
    assert (outcomes[1], outcomes[2], outcomes[3]) == (Outcome.QUARANTINED, Outcome.FAILED, Outcome.UNAVAILABLE)
    assert Counter(outcomes.values())[Outcome.FETCHED] == 7
    assert sum(answer.requests for answer in answers) == 1


def test_the_end_of_the_quota_defers_what_was_not_asked() -> None:
    answers, progress = collected(Wikidata(error=QuotaExhausted("used up")), movies(300))
    assert answers == []
    assert sorted(movie.tmdb_id for movie in progress.deferred) == list(range(1, 301))


def test_a_source_that_is_down_ends_it_and_blames_no_film() -> None:
    with pytest.raises(SourceDown):
        collected(Wikidata(error=SourceDown("it is down")), movies(300))
