"""Collecting answers and listings: what ends a collection, what is one movie's matter, and what is left for later."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster import AsyncOMDBClient, AsyncTMDBClient
from ayne_dagster.collection import (
    OUTAGE_AFTER,
    Fetch,
    Listed,
    SourceDown,
    collect_answers,
    date_span,
    details_fetcher,
    discover,
    ratings_fetcher,
)
from ayne_dagster.config import ApiSettings, Settings
from ayne_dagster.progress import Progress
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.sources import transport
from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    NotFound,
    QuotaExhausted,
    RequestRejected,
    SourceError,
    SourceUnavailable,
)
from ayne_dagster.sources.ledger import RequestLedger
from ayne_dagster.sources.tmdb.client import DateWindow, ListedPage
from ayne_dagster.sources.transport import RetryTransport
from ayne_dagster.warehouse.merge import Answer, ListedMovie, QuarantinedBody
from ayne_dagster.warehouse.state import DueMovie

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
YEAR = (date(2024, 1, 1), date(2024, 12, 31))
Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""

    async def at_once(_: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(transport, "RetryTransport", partial(RetryTransport, sleep=at_once))


def noon() -> datetime:
    return NOON


def movies(count: int) -> list[DueMovie]:
    return [DueMovie(n, "1999", date(1999, 10, 15), f"tt{n:07}", {}) for n in range(1, count + 1)]


class Source:
    """Fetches as it is told, and notes which movies it was asked for, in order."""

    def __init__(self, what: Callable[[int], SourceError | None] = lambda _: None) -> None:
        self.what = what
        self.asked: list[int] = []

    async def __call__(self, due: DueMovie) -> Answer:
        self.asked.append(due.tmdb_id)
        await asyncio.sleep(0)
        if error := self.what(due.tmdb_id):
            raise error
        return Answer(due.tmdb_id, Outcome.FETCHED, NOON, {"tmdb_id": due.tmdb_id}, due.release_year)


class Collected:
    """A collection that has ended: the answers, the progress, and its error."""

    def __init__(
        self,
        due: Sequence[DueMovie],
        fetch: Fetch,
        workers: int = 1,
        emit: Callable[[Answer], Awaitable[None]] | None = None,
    ) -> None:
        self.answers: list[Answer] = []
        self.progress = Progress()
        self.error: BaseException | None = None

        async def keep(answer: Answer) -> None:
            self.answers.append(answer)

        async def main() -> None:
            await collect_answers(due, fetch, emit or keep, workers=workers, now=noon, progress=self.progress)

        try:
            asyncio.run(main())
        except SourceError as error:
            self.error = error

    def with_outcome(self, outcome: Outcome) -> set[int]:
        return {answer.tmdb_id for answer in self.answers if answer.outcome is outcome}

    @property
    def deferred(self) -> set[int]:
        return {movie.tmdb_id for movie in self.progress.deferred}


def unavailable(*numbers: int) -> Callable[[int], SourceError | None]:
    def what(number: int) -> SourceError | None:
        return SourceUnavailable(f"no answer about {number}") if number in numbers else None

    return what


# Answers


@pytest.mark.parametrize("workers", [1, 3, 50])
def test_each_due_movie_is_asked_for_once_in_order(workers: int) -> None:
    source = Source()
    collected = Collected(movies(20), source, workers)
    assert source.asked == list(range(1, 21))
    assert collected.with_outcome(Outcome.FETCHED) == set(range(1, 21))
    assert (collected.progress.total, collected.progress.done, collected.deferred) == (20, 20, set())
    assert collected.progress.stopped_because is None
    assert collected.error is None


def test_without_due_movies_nothing_is_asked() -> None:
    source = Source()
    collected = Collected([], source, 5)
    assert (source.asked, collected.answers, collected.progress.total) == ([], [], 0)


def test_no_more_movies_are_asked_for_at_a_time_than_there_are_workers() -> None:
    running = most = 0

    async def fetch(due: DueMovie) -> Answer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return Answer(due.tmdb_id, Outcome.FETCHED, NOON)

    Collected(movies(30), fetch, workers=4)
    assert most == 4


def test_answers_are_emitted_as_they_arrive() -> None:
    source, seen_by_then = Source(), list[int]()

    async def emit(answer: Answer) -> None:
        seen_by_then.append(len(source.asked))

    Collected(movies(5), source, 1, emit)
    assert seen_by_then == [1, 2, 3, 4, 5]


def test_a_bug_is_not_taken_for_a_sources_fault() -> None:
    async def fetch(due: DueMovie) -> Answer:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Collected(movies(5), fetch, 3)


# The end of the quota


def exhausted_after(number: int) -> Callable[[int], SourceError | None]:
    return lambda asked: QuotaExhausted("today's requests are used up") if asked > number else None


@pytest.mark.parametrize("workers", [1, 5])
def test_the_end_of_the_quota_ends_the_collection_well(workers: int) -> None:
    source = Source(exhausted_after(7))
    collected = Collected(movies(30), source, workers)
    assert collected.error is None
    assert collected.with_outcome(Outcome.FETCHED) == set(range(1, 8))
    assert collected.deferred == set(range(8, 31))
    assert len(collected.progress.deferred) == 23, "each once"
    assert collected.progress.stopped_because == "today's requests are used up"
    assert collected.progress.done == 7


@pytest.mark.parametrize("workers", [1, 5])
def test_nothing_is_asked_after_the_end_of_the_quota(workers: int) -> None:
    source = Source(exhausted_after(7))
    Collected(movies(30), source, workers)
    assert len(source.asked) <= 7 + workers


def test_a_movie_that_failed_before_the_end_of_the_quota_is_not_blamed_unless_the_source_was_up_after_it() -> None:
    def what(number: int) -> SourceError | None:
        return unavailable(3)(number) or exhausted_after(3)(number)

    collected = Collected(movies(10), Source(what))
    assert collected.error is None
    assert collected.with_outcome(Outcome.FAILED) == set()
    assert collected.deferred == set(range(3, 11))


def omdb_client(handler: Handler, ledger: RequestLedger | None, **limits: Any) -> AsyncOMDBClient:
    api = ApiSettings(
        "http://api.example/", **({"requests_per_second": 0.0, "burst": 40, "max_concurrent": 5} | limits)
    )
    wire = httpx.MockTransport(handler)  # type: ignore[arg-type]
    return AsyncOMDBClient("feedc0de", settings=Settings(omdb=api), ledger=ledger, now=noon, wire=wire)


def omdb_answer(request: httpx.Request) -> httpx.Response:
    body = {"Response": "True", "imdbID": request.url.params["i"], "Title": "A film", "imdbRating": "7.5"}
    return httpx.Response(200, json=body)


@pytest.mark.parametrize("ours", [True, False], ids=["our count", "OMDb's count"])
def test_the_quota_of_a_real_client_is_spent_to_the_last_request_and_no_further(tmp_path: Path, ours: bool) -> None:
    requests = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal requests
        requests += 1
        if requests > 12 and not ours:
            return httpx.Response(401, json={"Response": "False", "Error": "Request limit reached!"})
        return omdb_answer(request)

    progress, answers = Progress(), list[Answer]()

    async def emit(answer: Answer) -> None:
        answers.append(answer)

    async def main() -> None:
        ledger = RequestLedger(tmp_path / "ledger.sqlite")
        async with omdb_client(handler, ledger, daily_quota=12 if ours else 1000) as omdb:
            fetch = ratings_fetcher(omdb, noon)
            await collect_answers(movies(40), fetch, emit, workers=5, now=noon, progress=progress)

    asyncio.run(main())
    assert len(answers) == 12
    assert len(progress.deferred) == 28
    assert requests <= (12 if ours else 12 + 5), "nobody but those in flight meets OMDb's refusal"


# A key that is not accepted


@pytest.mark.parametrize("workers", [1, 5])
def test_a_key_that_is_not_accepted_stops_the_collection(workers: int) -> None:
    source = Source(lambda number: InvalidCredentials("set OMDB_API_KEY") if number >= 3 else None)
    collected = Collected(movies(30), source, workers)
    assert isinstance(collected.error, InvalidCredentials)
    assert collected.progress.stopped_because == "set OMDB_API_KEY"
    assert collected.with_outcome(Outcome.FETCHED) == {1, 2}
    assert collected.deferred == set(range(3, 31))
    assert len(source.asked) <= 2 + workers


def test_requests_that_wait_for_their_turn_are_not_sent_with_a_key_that_is_not_accepted() -> None:
    requests = 0

    async def handler(request: httpx.Request) -> httpx.Response:
        nonlocal requests
        requests += 1
        await asyncio.sleep(0.005)
        return httpx.Response(401, json={"Response": "False", "Error": "Invalid API key!"})

    async def emit(answer: Answer) -> None:
        raise AssertionError("there is no answer")

    async def main() -> None:
        async with omdb_client(handler, None, requests_per_second=50.0, burst=2) as omdb:
            fetch = ratings_fetcher(omdb, noon)
            with pytest.raises(InvalidCredentials):
                await collect_answers(movies(40), fetch, emit, workers=5, now=noon, progress=Progress())

    asyncio.run(main())
    assert requests <= 2, "the first answer stops those that have not been sent"


# Outages


def test_one_failing_movie_among_good_ones_is_that_movies_failure() -> None:
    collected = Collected(movies(10), Source(unavailable(4)))
    assert collected.error is None
    assert collected.with_outcome(Outcome.FAILED) == {4}
    assert collected.with_outcome(Outcome.FETCHED) == set(range(1, 11)) - {4}
    assert collected.progress.done == 10
    failed = next(answer for answer in collected.answers if answer.outcome is Outcome.FAILED)
    assert (failed.reason, failed.at, failed.row, failed.release_year) == ("no answer about 4", NOON, None, "1999")


def test_a_source_that_asks_for_a_long_pause_is_down_at_once_and_no_movie_is_blamed() -> None:
    requests = 0

    def handler(_: httpx.Request) -> httpx.Response:
        nonlocal requests
        requests += 1
        return httpx.Response(429, headers={"retry-after": "1800"})

    async def emit(answer: Answer) -> None:
        raise AssertionError("there is no answer")

    progress = Progress()

    async def main() -> None:
        async with omdb_client(handler, None, max_concurrent=1) as omdb:
            await collect_answers(movies(40), ratings_fetcher(omdb, noon), emit, workers=4, now=noon, progress=progress)

    with pytest.raises(SourceDown, match=r"^omdb asks to wait 1800 s: try again later$"):
        asyncio.run(main())
    assert requests == 1
    assert len(progress.deferred) == 40, "each once"


def test_failing_movies_at_the_end_are_their_own_failures() -> None:
    collected = Collected(movies(10), Source(unavailable(8, 9, 10)))
    assert collected.error is None
    assert collected.with_outcome(Outcome.FAILED) == {8, 9, 10}


def test_failing_movies_at_the_head_are_blamed_when_the_source_turns_out_to_be_up() -> None:
    collected = Collected(movies(10), Source(unavailable(*range(1, OUTAGE_AFTER))))
    assert collected.error is None
    assert collected.with_outcome(Outcome.FAILED) == set(range(1, OUTAGE_AFTER))
    assert collected.with_outcome(Outcome.FETCHED) == {OUTAGE_AFTER}


@pytest.mark.parametrize("workers", [1, 4])
def test_an_outage_ends_the_collection_and_no_movie_is_blamed(workers: int) -> None:
    source = Source(unavailable(*range(1, 101)))
    collected = Collected(movies(100), source, workers)
    assert isinstance(collected.error, SourceDown)
    assert OUTAGE_AFTER <= len(source.asked) < OUTAGE_AFTER + workers
    assert collected.answers == []
    assert collected.deferred == set(range(1, 101))
    assert len(collected.progress.deferred) == 100, "each once"
    assert collected.progress.stopped_because == str(collected.error)
    assert "no answer about" in str(collected.error)


def test_an_outage_in_the_middle_keeps_what_was_fetched_and_blames_no_movie() -> None:
    collected = Collected(movies(100), Source(unavailable(*range(21, 101))))
    assert isinstance(collected.error, SourceDown)
    assert collected.with_outcome(Outcome.FETCHED) == set(range(1, 21))
    assert collected.with_outcome(Outcome.FAILED) == set()
    assert collected.deferred == set(range(21, 101))


def test_an_outage_with_few_due_movies_is_an_outage_too() -> None:
    collected = Collected(movies(3), Source(unavailable(1, 2, 3)))
    assert isinstance(collected.error, SourceDown)
    assert collected.answers == []
    assert collected.deferred == {1, 2, 3}


def test_an_answer_of_any_kind_shows_that_the_source_is_up() -> None:
    async def fetch(due: DueMovie) -> Answer:
        if due.tmdb_id % 10:
            raise SourceUnavailable("no answer")
        return Answer(due.tmdb_id, Outcome.NOT_FOUND, NOON)

    collected = Collected(movies(30), fetch)
    assert collected.error is None
    assert len(collected.with_outcome(Outcome.FAILED)) == 27


@settings(max_examples=80, deadline=None)
@given(
    fates=st.lists(st.sampled_from(["good", "good", "unavailable", "quota", "key"]), max_size=40),
    workers=st.integers(1, 6),
)
def test_every_due_movie_is_answered_or_deferred_and_never_both(fates: list[str], workers: int) -> None:
    errors: dict[str, SourceError] = {
        "unavailable": SourceUnavailable("no answer"),
        "quota": QuotaExhausted("used up"),
        "key": InvalidCredentials("wrong key"),
    }
    collected = Collected(movies(len(fates)), Source(lambda number: errors.get(fates[number - 1])), workers)
    answered = [answer.tmdb_id for answer in collected.answers]
    deferred = [movie.tmdb_id for movie in collected.progress.deferred]
    assert sorted(answered + deferred) == list(range(1, len(fates) + 1))
    assert collected.progress.done == len(answered)
    good = {number for number, fate in enumerate(fates, 1) if fate == "good"}
    assert collected.with_outcome(Outcome.FETCHED) <= good
    if isinstance(collected.error, SourceDown):
        assert "unavailable" in fates
    if set(fates) <= {"good"}:
        assert collected.with_outcome(Outcome.FETCHED) == good


# What an error of one movie means

MEANINGS: dict[str, tuple[SourceError, Outcome, Outcome]] = {
    "not found": (NotFound("no such movie"), Outcome.NOT_FOUND, Outcome.ABSENT),
    "malformed": (MalformedAnswer("no JSON", b"<html>"), Outcome.QUARANTINED, Outcome.QUARANTINED),
    "rejected": (RequestRejected("400"), Outcome.FAILED, Outcome.FAILED),
}


class Client:
    """Stands for either client: whatever is asked of it fails in the same way."""

    def __init__(self, error: SourceError) -> None:
        self.error = error

    async def fetch_details(self, tmdb_id: int) -> Any:
        raise self.error

    async def fetch_movie(self, imdb_id: str) -> Any:
        raise self.error


@pytest.mark.parametrize(("error", "at_tmdb", "at_omdb"), MEANINGS.values(), ids=MEANINGS)
def test_an_error_of_one_movie_is_an_outcome(error: SourceError, at_tmdb: Outcome, at_omdb: Outcome) -> None:
    error.requests = 3
    client: Any = Client(error)
    for fetcher, outcome in ((details_fetcher, at_tmdb), (ratings_fetcher, at_omdb)):
        answer = asyncio.run(fetcher(client, noon)(movies(1)[0]))  # type: ignore[arg-type,operator]
        assert answer.outcome is outcome
        assert (answer.tmdb_id, answer.release_year, answer.at, answer.row) == (1, "1999", NOON, None)
        assert (answer.requests, answer.reason) == (3, str(error))
        assert answer.body == (b"<html>" if outcome is Outcome.QUARANTINED else b"")


@pytest.mark.parametrize("error", [SourceUnavailable("down"), QuotaExhausted("used up"), InvalidCredentials("wrong")])
def test_an_error_of_the_source_is_no_outcome(error: SourceError) -> None:
    client: Any = Client(error)
    for fetcher in (details_fetcher, ratings_fetcher):
        with pytest.raises(type(error)):
            asyncio.run(fetcher(client, noon)(movies(1)[0]))  # type: ignore[arg-type,operator]


def test_ratings_are_those_of_the_imdb_id_that_tmdb_gave() -> None:
    def unpadded(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=omdb_answer(request).json() | {"imdbID": "tt1"})

    due = DueMovie(1, "1999", None, "tt00000001", {})

    async def main() -> Answer:
        async with omdb_client(unpadded, None) as omdb:
            return await ratings_fetcher(omdb, noon)(due)

    answer = asyncio.run(main())
    assert answer.outcome is Outcome.FETCHED
    assert answer.row is not None
    assert (answer.row["imdb_id"], answer.row["tmdb_id"], answer.row["imdb_rating"]) == ("tt00000001", 1, 7.5)
    assert (answer.release_year, answer.requests) == ("1999", 1)


def tmdb_client(handler: Handler) -> AsyncTMDBClient:
    wire = httpx.MockTransport(handler)  # type: ignore[arg-type]
    return AsyncTMDBClient("token", settings=Settings(tmdb=ApiSettings("http://api.example/3", 0.0, 40, 5)), wire=wire)


WITHOUT_PARTS: dict[str, Any] = {name: {} for name in ("external_ids", "keywords", "release_dates", "credits")}


@pytest.mark.parametrize("left_out", [["credits"], ["keywords", "release_dates"], list(WITHOUT_PARTS)], ids=str)
def test_details_that_lack_a_part_are_a_row_and_incomplete(left_out: list[str]) -> None:
    body = {"id": 1, "title": "A film", **WITHOUT_PARTS}
    for name in left_out:
        del body[name]

    async def main() -> Answer:
        async with tmdb_client(lambda _: httpx.Response(200, json=body)) as tmdb:
            return await details_fetcher(tmdb, noon)(movies(1)[0])

    answer = asyncio.run(main())
    assert answer.outcome is Outcome.INCOMPLETE
    assert answer.row is not None
    assert answer.row["title"] == "A film"
    assert all(name in answer.reason for name in left_out)


def test_details_are_a_row_with_the_requests_that_it_took() -> None:
    replies = [
        httpx.Response(502),
        httpx.Response(200, json={"id": 1, "title": "A film", "release_date": "2024-02-03", **WITHOUT_PARTS}),
    ]

    async def main() -> Answer:
        async with tmdb_client(lambda _: replies.pop(0)) as tmdb:
            return await details_fetcher(tmdb, noon)(movies(1)[0])

    answer = asyncio.run(main())
    assert answer.row is not None
    assert (answer.row["title"], answer.row["release_year"]) == ("A film", "2024")
    assert (answer.outcome, answer.requests, answer.release_year) == (Outcome.FETCHED, 2, "1999")


# Spans


@pytest.mark.parametrize(
    ("years", "span"),
    [
        (["2024"], (date(2024, 1, 1), date(2024, 12, 31))),
        (["2022", "1999", "unknown", "2024"], (date(1999, 1, 1), date(2024, 12, 31))),
        (["unknown"], None),
        ([], None),
    ],
)
def test_a_span_reaches_over_all_years(years: list[str], span: tuple[date, date] | None) -> None:
    assert date_span(years) == span


# Discovery


def row(number: int, released: str = "2024-05-05", **more: Any) -> dict[str, Any]:
    return {"id": number, "title": f"Movie {number}", "release_date": released} | more


class Listing:
    """Pages of one window; a page is a list of rows, or the status of an error."""

    def __init__(self, *pages: list[Any] | int, total: int | None = None) -> None:
        self.pages = pages
        self.total = sum(len(page) for page in pages if isinstance(page, list)) if total is None else total
        self.asked: list[tuple[str, int]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        number = int(request.url.params["page"])
        self.asked.append((request.url.params["primary_release_date.gte"][:4], number))
        page = self.pages[number - 1]
        if isinstance(page, int):
            return httpx.Response(page, json={"status_code": 7 if page == 401 else 47, "status_message": "No."})
        body = {"page": number, "results": page, "total_pages": len(self.pages), "total_results": self.total}
        return httpx.Response(200, json=body)


class Discovered:
    """A discovery that has ended."""

    def __init__(self, handler: Handler, span: tuple[date, date] = YEAR, max_pages: int | None = None) -> None:
        self.emitted: list[Listed] = []
        self.progress = Progress()
        self.error: SourceError | None = None

        async def emit(listed: Listed) -> None:
            self.emitted.append(listed)

        async def main() -> None:
            async with tmdb_client(handler) as tmdb:
                await discover(tmdb, span, emit, min_votes=0, max_pages=max_pages, now=noon, progress=self.progress)

        try:
            asyncio.run(main())
        except SourceError as error:
            self.error = error

    @property
    def movies(self) -> list[int]:
        return [listed.tmdb_id for listed in self.emitted if isinstance(listed, ListedMovie)]

    @property
    def quarantined(self) -> list[QuarantinedBody]:
        return [listed for listed in self.emitted if isinstance(listed, QuarantinedBody)]


def test_every_listed_movie_is_emitted_as_a_row_of_its_year() -> None:
    found = Discovered(Listing([row(1), row(2, "2023-12-31")], [row(3, "")]))
    assert found.movies == [1, 2, 3]
    assert [listed.release_year for listed in found.emitted] == ["2024", "2023", "unknown"]
    first = found.emitted[0]
    assert isinstance(first, ListedMovie)
    assert (first.row["title"], first.row["release_date"], first.at) == ("Movie 1", date(2024, 5, 5), NOON)
    assert (found.progress.done, found.progress.total, found.progress.short_by) == (3, 3, 0)
    assert found.error is None


def test_the_same_movie_on_two_pages_is_emitted_once() -> None:
    found = Discovered(Listing([row(1), row(2)], [row(2), row(3)], total=3))
    assert found.movies == [1, 2, 3]
    assert found.progress.done == 3
    assert found.progress.short_by == 0


def test_a_row_that_cannot_be_used_is_quarantined_and_the_others_go_on() -> None:
    bad: list[Any] = [{"title": "no id"}, "no row", None, {"id": "7"}, {"id": -1}, [1, 2]]
    found = Discovered(Listing([row(1), *bad, row(2)]))
    assert found.movies == [1, 2]
    first_time = found.quarantined[: len(bad)]
    assert [body.subject for body in first_time] == [
        f"discover 2024-01-01 to 2024-12-31, page 1, row {position}" for position in range(2, 8)
    ]
    assert json.loads(first_time[0].body) == {"title": "no id"}
    assert all(body.source == "tmdb" and body.at == NOON and body.reason for body in first_time)
    assert found.progress.short_by == 6
    assert found.error is None


def test_a_page_that_cannot_be_used_is_quarantined_and_the_others_go_on() -> None:
    found = Discovered(Listing([row(1)], 400, [row(3)], total=3))
    assert found.movies == [1, 3]
    window = "discover 2024-01-01 to 2024-12-31"
    assert {body.subject for body in found.quarantined} == {f"{window}, page 2", window}
    assert "No." in found.quarantined[0].reason
    assert "left out 1" in found.quarantined[-1].reason
    assert found.error is None
    assert found.progress.short_by == 1


def test_a_last_page_that_fails_is_missed_in_the_count() -> None:
    found = Discovered(Listing([row(1)], [row(2)], 400, total=3))
    assert found.movies == [1, 2]
    assert (found.progress.total, found.progress.short_by) == (3, 1)


def test_the_body_of_a_malformed_page_is_kept() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        body = {"nothing": "here"} if request.url.params["page"] == "2" else Listing([row(1)], []).pages[0]
        if isinstance(body, list):
            body = {"results": body, "total_pages": 2, "total_results": 2}
        return httpx.Response(200, json=body)

    found = Discovered(handler)
    assert found.movies == [1]
    assert json.loads(found.quarantined[0].body) == {"nothing": "here"}


def test_no_page_at_all_means_that_the_source_is_down() -> None:
    found = Discovered(lambda _: httpx.Response(503))
    assert isinstance(found.error, SourceDown)
    assert "503" in str(found.error)
    assert found.movies == []


def test_a_page_without_rows_beside_one_that_fails_is_no_outage() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.params["primary_release_date.gte"] == "2024-01-01":
            return httpx.Response(400, json={"status_code": 47, "status_message": "No."})
        return httpx.Response(200, json={"results": [], "total_pages": 1, "total_results": 0})

    found = Discovered(handler, (date(2023, 1, 1), date(2024, 12, 31)), max_pages=1)
    assert found.error is None
    assert len(found.quarantined) == 1


def test_an_empty_span_is_no_outage() -> None:
    found = Discovered(Listing([]))
    assert (found.error, found.emitted, found.progress.total, found.progress.short_by) == (None, [], 0, 0)


def test_a_key_that_is_not_accepted_ends_the_discovery() -> None:
    listing = Listing(401)
    found = Discovered(listing)
    assert isinstance(found.error, InvalidCredentials)
    assert len(listing.asked) == 1


def test_a_key_that_is_revoked_in_between_leaves_no_error_unread(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    found = Discovered(Listing([row(1)], 401, 401, 401, 401))
    assert isinstance(found.error, InvalidCredentials)
    assert found.movies == [1]
    assert "never retrieved" not in caplog.text


def test_a_short_listing_is_told_by_how_many_movies() -> None:
    found = Discovered(Listing([row(1), row(2)], total=10))
    assert found.progress.short_by == 8
    assert found.error is None


def test_what_a_window_promised_is_not_counted_again_with_its_halves() -> None:
    older, newer = DateWindow(*YEAR).halves()

    class Split:
        async def discover_movies(self, *_: object, **__: object) -> AsyncIterator[ListedPage]:
            yield ListedPage(DateWindow(*YEAR), 1, [row(1)], 12_000, 600)
            yield ListedPage(newer, 1, [row(1), row(2)], 4, 1)
            yield ListedPage(newer, 0, [], error=MalformedAnswer("promised 4 movies and left out 2"))
            yield ListedPage(older, 1, [row(3), row(4)], 2, 1)

    async def emit(_: Listed) -> None:
        pass

    progress = Progress()
    client = cast("AsyncTMDBClient", Split())
    asyncio.run(discover(client, YEAR, emit, min_votes=0, max_pages=None, now=noon, progress=progress))
    assert (progress.done, progress.total, progress.short_by) == (4, 6, 2)
    assert progress.shortages == [f"{newer}: promised 4 movies and left out 2"]


def test_a_limit_of_pages_is_no_shortage() -> None:
    listing = Listing([row(1)], [row(2)], [row(3)])
    found = Discovered(listing, max_pages=2)
    assert found.movies == [1, 2]
    assert found.progress.short_by == 0
    assert listing.asked == [("2024", 1), ("2024", 2)]


def test_movies_of_several_windows_add_up() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        year = int(request.url.params["primary_release_date.gte"][:4])
        rows = [row(year * 10 + n, f"{year}-01-01") for n in range(year - 2020)]
        return httpx.Response(200, json={"results": rows, "total_pages": 1, "total_results": len(rows)})

    found = Discovered(handler, (date(2021, 1, 1), date(2024, 12, 31)), max_pages=5)
    assert (found.progress.total, found.progress.done, len(found.movies)) == (10, 10, 10)
