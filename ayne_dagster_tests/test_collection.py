"""Collecting answers and listings: what ends a collection, what is one movie's matter, and what is left for later."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster import AsyncOMDBClient, AsyncTMDBClient
from ayne_dagster.collecting import asking
from ayne_dagster.collecting.asking import Fetch, collect_answers, details_fetcher, ratings_fetcher
from ayne_dagster.collecting.listing import REFUSED_PAGES, Listed, date_span, discover
from ayne_dagster.collecting.progress import Progress
from ayne_dagster.config import ApiSettings, Settings
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    NotFound,
    QuotaExhausted,
    RequestRejected,
    SourceDown,
    SourceError,
    SourceUnavailable,
    WrongAddress,
)
from ayne_dagster.sources.limits.ledger import LedgerError, RequestLedger
from ayne_dagster.sources.tmdb.client import DateWindow, ListedPage
from ayne_dagster.sources.trust import CONTROL_REQUESTS, PATIENCE, RESERVE, Trust
from ayne_dagster.warehouse.answers import Answer, ListedMovie, QuarantinedBody
from ayne_dagster.warehouse.refresh_metadata import DueMovie
from ayne_dagster_tests.support.thoroughness import examples

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
YEAR = (date(2024, 1, 1), date(2024, 12, 31))
Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


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
        return Answer(due.tmdb_id, Outcome.FETCHED, NOON, {"tmdb_id": due.tmdb_id, "title": "A film"}, due.release_year)


class Collected:
    """A collection that has ended: the answers, the progress, and its error.

    Args:
        due: the movies.
        fetch: what asks for one; each call counts as a request.
        workers: movies at a time.
        emit: takes an answer.
        control: what the control question is answered with; None: the source is up.
    """

    def __init__(
        self,
        due: Sequence[DueMovie],
        fetch: Fetch,
        workers: int = 1,
        emit: Callable[[Answer], Awaitable[None]] | None = None,
        control: Exception | None = None,
    ) -> None:
        self.answers: list[Answer] = []
        self.progress = Progress()
        self.error: BaseException | None = None
        self.controls = 0

        async def question(_: object) -> None:
            self.controls += 1
            if control:
                raise control

        trust = Trust(question, "Check the address.")

        async def counted(due: DueMovie) -> Answer:
            await trust.admit()
            answer = await fetch(due)
            if answer.row and answer.row.get("title") and answer.outcome is Outcome.FETCHED:
                trust.usable(due.tmdb_id)
            return answer

        async def keep(answer: Answer) -> None:
            self.answers.append(answer)

        async def main() -> None:
            await collect_answers(
                due, counted, emit or keep, workers=workers, now=noon, progress=self.progress, trust=trust
            )

        try:
            asyncio.run(main())
        except (SourceError, LedgerError) as error:
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


@pytest.mark.parametrize(
    "bug", [ValueError("x"), OverflowError(), RecursionError(), MemoryError(), AssertionError()], ids=repr
)
def test_a_fault_of_ours_costs_the_one_answer_and_no_other(bug: Exception) -> None:
    async def fetch(due: DueMovie) -> Answer:
        if due.tmdb_id == 3:
            raise bug
        return await Source()(due)

    collected = Collected(movies(8), fetch, 3)
    assert collected.error is None
    assert collected.with_outcome(Outcome.FETCHED) == {1, 2, 4, 5, 6, 7, 8}
    (answer,) = (answer for answer in collected.answers if answer.outcome is Outcome.QUARANTINED)
    assert answer.tmdb_id == 3
    assert answer.reason.startswith(f"a fault of this program: {type(bug).__name__} in test_collection.py, line ")


def test_a_fault_in_making_a_row_costs_the_one_answer_and_keeps_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(movie: object) -> dict[str, object]:
        raise OverflowError("int too large")

    monkeypatch.setattr(asking, "details_row", broken)

    async def main() -> Answer:
        body = {"id": 1, "title": "A film", **WITHOUT_PARTS}
        async with tmdb_client(lambda _: httpx.Response(200, json=body)) as tmdb:
            return await details_fetcher(tmdb, noon)(movies(1)[0])

    answer = asyncio.run(main())
    assert (answer.outcome, answer.requests) == (Outcome.QUARANTINED, 1)
    assert "OverflowError" in answer.reason
    assert b"A film" in answer.body


@pytest.mark.parametrize("workers", [1, 5])
def test_whatever_ends_a_collection_what_was_not_asked_counts_as_deferred(workers: int) -> None:
    async def fetch(due: DueMovie) -> Answer:
        if due.tmdb_id > 7:
            raise LedgerError("the ledger is full")
        return await Source()(due)

    collected = Collected(movies(30), fetch, workers)
    assert isinstance(collected.error, LedgerError)
    assert collected.with_outcome(Outcome.FETCHED) == set(range(1, 8))
    assert collected.deferred == set(range(8, 31))
    assert len(collected.progress.deferred) == 23, "each once"
    assert collected.progress.stopped_because == "the ledger is full"


def test_what_was_asked_before_the_ledger_failed_is_waited_for_and_kept() -> None:
    asked, failed = set[int](), asyncio.Event()

    async def fetch(due: DueMovie) -> Answer:
        if due.tmdb_id == 3:
            failed.set()
            raise LedgerError("the server is gone")
        asked.add(due.tmdb_id)
        await failed.wait()
        await asyncio.sleep(0)  # the answer comes after the failure
        return await Source()(due)

    collected = Collected(movies(30), fetch, 3)
    assert isinstance(collected.error, LedgerError)
    assert asked == collected.with_outcome(Outcome.FETCHED) == {1, 2}
    assert collected.deferred == set(range(3, 31))


def test_a_cancelled_collection_counts_what_it_did_not_ask_as_deferred() -> None:
    progress, source = Progress(), Source()

    async def main() -> None:
        waiting = asyncio.Event()

        async def emit(answer: Answer) -> None:
            if answer.tmdb_id == 5:
                waiting.set()
                await asyncio.Event().wait()

        trust = Trust(lambda _: asyncio.sleep(0))
        collecting = asyncio.ensure_future(
            collect_answers(movies(30), source, emit, workers=1, now=noon, progress=progress, trust=trust)
        )
        await waiting.wait()
        collecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await collecting

    asyncio.run(main())
    assert {movie.tmdb_id for movie in progress.deferred} == set(range(6, 31))


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
    assert collected.with_outcome(Outcome.UNAVAILABLE) == set()
    assert collected.deferred == set(range(3, 11))


def omdb_client(handler: Handler, ledger: RequestLedger | None, **limits: Any) -> AsyncOMDBClient:
    api = ApiSettings(
        "http://api.example/",
        **({"requests_per_second": 0.0, "burst": 40, "max_concurrent": 5, "retry_wait": 0.0} | limits),
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
            await collect_answers(
                movies(40), fetch, emit, workers=5, now=noon, progress=progress, trust=Trust(omdb.probe)
            )

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
        async with omdb_client(handler, None, requests_per_second=0.5, burst=2) as omdb:
            fetch = ratings_fetcher(omdb, noon)
            with pytest.raises(InvalidCredentials):
                await collect_answers(
                    movies(40), fetch, emit, workers=5, now=noon, progress=Progress(), trust=Trust(omdb.probe)
                )

    asyncio.run(main())
    assert requests <= 2, "the first answer stops those that have not been sent"


# Outages


def test_one_movie_without_an_answer_among_good_ones_is_noted_so() -> None:
    collected = Collected(movies(10), Source(unavailable(4)))
    assert collected.error is None
    assert collected.with_outcome(Outcome.UNAVAILABLE) == {4}
    assert collected.with_outcome(Outcome.FETCHED) == set(range(1, 11)) - {4}
    assert collected.progress.done == 10
    (failed,) = (answer for answer in collected.answers if answer.outcome is Outcome.UNAVAILABLE)
    assert (failed.reason, failed.at, failed.row, failed.release_year) == ("no answer about 4", NOON, None, "1999")
    assert collected.controls == 0, "the good ones show that the source is up"


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
            fetch = ratings_fetcher(omdb, noon)
            await collect_answers(
                movies(40), fetch, emit, workers=4, now=noon, progress=progress, trust=Trust(omdb.probe)
            )

    with pytest.raises(SourceDown, match=r"^omdb asks to wait 1800 s: try again later$"):
        asyncio.run(main())
    assert requests == 1
    assert len(progress.deferred) == 40, "each once"


KINDS: dict[str, Exception | Outcome] = {
    "no answer": SourceUnavailable("no answer"),
    "a body of another API": Outcome.QUARANTINED,
    "refused": Outcome.FAILED,
    "no such movie": Outcome.NOT_FOUND,
    "not held": Outcome.ABSENT,
    "an answer without a title": Outcome.FETCHED,
    "an answer without its parts": Outcome.INCOMPLETE,
    "a fault of ours": ZeroDivisionError("oh"),
}


def source_of(kind: Exception | Outcome, *numbers: int) -> Fetch:
    """A source that is of no use, in a certain way, for these movies."""

    async def fetch(due: DueMovie) -> Answer:
        if due.tmdb_id not in numbers:
            return await Source()(due)
        await asyncio.sleep(0)
        if isinstance(kind, Exception):
            raise kind
        titles = {Outcome.FETCHED: None, Outcome.INCOMPLETE: "A film"}
        row = {"tmdb_id": due.tmdb_id, "title": titles[kind]} if kind in titles else None
        return Answer(due.tmdb_id, kind, NOON, row, due.release_year)

    return fetch


DOWN = SourceUnavailable("no answer to the control question")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(("first", "workers"), [(1, 1), (1, 10), (21, 1), (21, 10), (99, 4)])
def test_a_source_that_is_wrong_as_a_whole_ends_the_collection_and_no_movie_is_blamed(
    kind: Exception | Outcome, first: int, workers: int
) -> None:
    asked: list[int] = []
    fetch = source_of(kind, *range(first, 101))

    async def noting(due: DueMovie) -> Answer:
        asked.append(due.tmdb_id)
        return await fetch(due)

    collected = Collected(movies(100), noting, workers, control=DOWN)
    assert isinstance(collected.error, SourceDown)
    assert "no answer to the control question" in str(collected.error)
    assert "Check the address." in str(collected.error)
    assert collected.progress.stopped_because == str(collected.error)
    assert collected.controls == 1
    assert {answer.tmdb_id for answer in collected.answers} == set(range(1, first))
    assert collected.with_outcome(Outcome.FETCHED) == set(range(1, first)), "what was fetched is kept"
    assert collected.deferred == set(range(first, 101))
    assert len(collected.progress.deferred) == 101 - first, "each once"
    assert len([number for number in asked if number >= first]) <= PATIENCE + workers


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("workers", [1, 4])
def test_where_the_source_is_up_the_movies_are_at_fault(kind: Exception | Outcome, workers: int) -> None:
    collected = Collected(movies(40), source_of(kind, *range(5, 41)), workers)
    assert collected.error is None
    assert {answer.tmdb_id for answer in collected.answers} == set(range(1, 41))
    assert len(collected.answers) == 40, "each once"
    assert collected.deferred == set()
    assert 1 <= collected.controls <= 36 // PATIENCE + 1


def test_a_source_that_is_up_at_times_is_found_out() -> None:
    good = set(range(50, 1001, 50))
    source = Source(lambda number: None if number in good else SourceUnavailable("no answer"))
    collected = Collected(movies(1000), source, 5, control=DOWN)
    assert isinstance(collected.error, SourceDown)
    assert len(source.asked) < 100


def test_a_source_of_which_every_other_answer_is_of_use_is_up() -> None:
    collected = Collected(movies(200), Source(unavailable(*range(1, 201, 2))), 5, control=None)
    assert collected.error is None
    assert len(collected.with_outcome(Outcome.UNAVAILABLE)) == 100
    assert collected.controls <= 1


def test_few_due_movies_without_a_usable_answer_are_a_matter_of_the_source_too() -> None:
    collected = Collected(movies(3), Source(unavailable(1, 2, 3)), control=DOWN)
    assert isinstance(collected.error, SourceDown)
    assert collected.answers == []
    assert collected.deferred == {1, 2, 3}


def test_failing_movies_at_the_end_are_their_own_failures_when_the_source_is_up() -> None:
    collected = Collected(movies(10), Source(unavailable(8, 9, 10)))
    assert (collected.error, collected.controls) == (None, 1)
    assert collected.with_outcome(Outcome.UNAVAILABLE) == {8, 9, 10}


def test_the_end_of_the_quota_in_a_control_question_ends_the_collection_well() -> None:
    collected = Collected(movies(10), Source(unavailable(9, 10)), control=QuotaExhausted("used up"))
    assert collected.error is None
    assert collected.progress.stopped_because == "used up"
    assert collected.deferred == {9, 10}


def test_a_key_that_is_not_accepted_in_a_control_question_ends_the_collection() -> None:
    collected = Collected(movies(50), Source(unavailable(*range(3, 51))), 4, control=InvalidCredentials("set the key"))
    assert isinstance(collected.error, InvalidCredentials)
    assert collected.deferred == set(range(3, 51))


def test_a_wrong_address_ends_the_collection_at_once() -> None:
    source = Source(lambda number: WrongAddress("it redirects") if number > 3 else None)
    collected = Collected(movies(50), source, 4)
    assert isinstance(collected.error, SourceDown)
    assert str(collected.error) == "it redirects"
    assert collected.deferred == set(range(4, 51))
    assert len(source.asked) <= 3 + 4


# Requests that a source costs which is wrong as a whole

BODY_OF_550 = {"id": 550, "title": "Fight Club", "imdbID": "tt0137523", "Title": "Fight Club", "Response": "True"}
NOT_HELD = {"Response": "False", "Error": "Error getting data."}
REFUSALS: dict[str, Callable[[], httpx.Response]] = {
    "500": lambda: httpx.Response(500),
    "503 in HTML": lambda: httpx.Response(503, html="<html>down</html>"),
    "400": lambda: httpx.Response(400, json={"status_code": 47, "status_message": "Invalid."}),
    "403": lambda: httpx.Response(403, html="<html>Forbidden</html>"),
    "404": lambda: httpx.Response(404),
    "404 of TMDB": lambda: httpx.Response(404, json={"status_code": 34, "status_message": "Not found."}),
    "a page for everything": lambda: httpx.Response(200, html="<html>Welcome</html>"),
    "another API": lambda: httpx.Response(200, json={"hello": "world"}),
    "an empty object": lambda: httpx.Response(200, json={}),
    "an empty list": lambda: httpx.Response(200, json=[]),
    "null": lambda: httpx.Response(200, text="null"),
    "one movie for all": lambda: httpx.Response(200, json=BODY_OF_550 | {"id": 551, "imdbID": "tt0000551"}),
    "TMDB's errors with 200": lambda: httpx.Response(200, json={"status_code": 11, "status_message": "Internal."}),
    "OMDb holds nothing": lambda: httpx.Response(200, json=NOT_HELD),
    "OMDb knows no id": lambda: httpx.Response(200, json=NOT_HELD | {"Error": "Incorrect IMDb ID."}),
    "unknown words": lambda: httpx.Response(200, json=NOT_HELD | {"Error": "Moved to the moon."}),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("good", [0, 25])
@pytest.mark.parametrize("which", ["tmdb", "omdb"])
def test_a_source_that_is_wrong_as_a_whole_costs_a_handful_of_requests_retries_included(
    refusal: Callable[[], httpx.Response], good: int, which: str
) -> None:
    wasted = served = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal wasted, served
        if served < good:
            served += 1
            if which == "omdb":
                return omdb_answer(request)
            number = int(request.url.path.rpartition("/")[2])
            return httpx.Response(200, json={"id": number, "title": "A film", **WITHOUT_PARTS})
        wasted += 1
        return refusal()

    answers, progress = list[Answer](), Progress()

    async def emit(answer: Answer) -> None:
        answers.append(answer)

    async def main() -> None:
        client: Any = (
            omdb_client(handler, None, max_concurrent=10)
            if which == "omdb"
            else tmdb_client(handler, max_concurrent=10)
        )
        async with client:
            trust = client.account.trust = Trust(client.probe, connections=10)
            fetch = (ratings_fetcher if which == "omdb" else details_fetcher)(client, noon)
            await collect_answers(movies(300), fetch, emit, workers=10, now=noon, progress=progress, trust=trust)

    with pytest.raises(SourceDown) as error:
        asyncio.run(main())
    assert "\n" not in str(error.value)
    assert wasted <= 10 + (10 + RESERVE) + CONTROL_REQUESTS <= 30
    assert len(answers) == good
    assert {answer.outcome for answer in answers} <= {Outcome.FETCHED}
    assert len(progress.deferred) == 300 - good


@pytest.mark.parametrize(
    "details",
    [
        lambda _: httpx.Response(404, json={"status_code": 34, "status_message": "Not found."}),
        lambda _: httpx.Response(400, json={"status_code": 6, "status_message": "Invalid id."}),
        lambda number: httpx.Response(200, json={"id": number, "title": "A film"}),
    ],
    ids=["no movie at all", "no id is valid", "no part of any movie"],
)
def test_a_source_that_lists_movies_and_answers_about_none_is_found_out_before_it_has_ever_answered(
    details: Callable[[int], httpx.Response],
) -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(path := request.url.path)
        if path.endswith("/configuration"):
            return httpx.Response(200, json={"images": {"base_url": "http://image.example/"}})
        if path.endswith("/discover/movie"):
            return httpx.Response(200, json={"results": [{"id": 1}, {"id": 2}], "total_pages": 1, "total_results": 2})
        return details(int(path.rpartition("/")[2]))

    progress = Progress()

    async def emit(answer: Answer) -> None:
        raise AssertionError(f"{answer} is blamed")

    async def main() -> None:
        async with tmdb_client(handler, max_concurrent=10) as tmdb:
            trust = tmdb.account.trust = Trust(tmdb.probe, connections=10)
            fetch = details_fetcher(tmdb, noon)
            await collect_answers(movies(300), fetch, emit, workers=10, now=noon, progress=progress, trust=trust)

    with pytest.raises(SourceDown):
        asyncio.run(main())
    assert len(asked) <= 30
    assert len(progress.deferred) == 300


@settings(max_examples=examples(80), deadline=None)
@given(
    fates=st.lists(st.sampled_from(["good", "good", "unavailable", "quota", "key"]), max_size=40),
    workers=st.integers(1, 6),
    down=st.booleans(),
)
def test_every_due_movie_is_answered_or_deferred_and_never_both(fates: list[str], workers: int, down: bool) -> None:
    errors: dict[str, SourceError] = {
        "unavailable": SourceUnavailable("no answer"),
        "quota": QuotaExhausted("used up"),
        "key": InvalidCredentials("wrong key"),
    }
    source = Source(lambda number: errors.get(fates[number - 1]))
    collected = Collected(movies(len(fates)), source, workers, control=DOWN if down else None)
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


def tmdb_client(handler: Handler, max_concurrent: int = 5) -> AsyncTMDBClient:
    wire = httpx.MockTransport(handler)  # type: ignore[arg-type]
    api = ApiSettings("http://api.example/3", 0.0, 40, max_concurrent, retry_wait=0.0)
    return AsyncTMDBClient("token", settings=Settings(tmdb=api), wire=wire)


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


def test_pages_that_no_answer_came_for_are_no_bodies() -> None:
    def unreachable(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    for handler in (unreachable, lambda _: httpx.Response(503)):
        found = Discovered(handler)
        assert isinstance(found.error, SourceDown)
        assert (found.emitted, found.progress.shortages) == ([], [])


def test_one_page_that_no_answer_came_for_is_told_as_a_shortage() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.params["page"] == "2":
            raise httpx.ConnectError("no route", request=request)
        return Listing([row(1)], [row(2)], [row(3)])(request)

    found = Discovered(handler, max_pages=3)
    assert found.movies == [1, 3]
    assert found.quarantined == []
    assert [told.split(": ")[0] for told in found.progress.shortages] == ["2024-01-01 to 2024-12-31, page 2"]


def test_a_page_without_rows_beside_one_that_fails_is_no_outage() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.params["primary_release_date.gte"] == "2024-01-01":
            return httpx.Response(400, json={"status_code": 47, "status_message": "No."})
        return httpx.Response(200, json={"results": [], "total_pages": 1, "total_results": 0})

    found = Discovered(handler, (date(2023, 1, 1), date(2024, 12, 31)), max_pages=1)
    assert found.error is None
    assert len(found.quarantined) == 1


def test_a_listing_whose_every_page_is_refused_ends_after_a_handful() -> None:
    requests = 0

    def handler(_: httpx.Request) -> httpx.Response:
        nonlocal requests
        requests += 1
        return httpx.Response(400, json={"status_code": 47, "status_message": "No."})

    found = Discovered(handler, (date(1900, 1, 1), date(2024, 12, 31)), max_pages=3)
    assert isinstance(found.error, SourceDown)
    assert "No." in str(found.error)
    assert requests <= REFUSED_PAGES + 1
    assert len(found.emitted) == 1, "one body is kept, as an example"


def test_a_listing_that_breaks_in_the_middle_ends_and_keeps_what_was_found() -> None:
    requests = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal requests
        requests += 1
        if requests > 20:
            return httpx.Response(404, json={"status_code": 34, "status_message": "Gone."})
        return httpx.Response(200, json={"results": [row(requests)], "total_pages": 1, "total_results": 1})

    found = Discovered(handler, (date(1900, 1, 1), date(2024, 12, 31)), max_pages=3)
    assert isinstance(found.error, SourceDown)
    assert found.movies == list(range(1, 21))
    assert requests <= 20 + REFUSED_PAGES + 1


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
