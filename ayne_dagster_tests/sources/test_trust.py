"""Trust: how many requests may bring nothing usable, when the control question is asked, and what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from ayne_dagster import AsyncOMDBClient, AsyncTMDBClient
from ayne_dagster.config import ApiSettings, Settings
from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    NotFound,
    QuotaExhausted,
    RequestRejected,
    SourceDown,
    SourceError,
    SourceUnavailable,
)
from ayne_dagster.sources.omdb.client import WELL_KNOWN
from ayne_dagster.sources.trust import CONTROL_REQUESTS, CONTROL_REQUESTS_AGAIN, PATIENCE, WORTH, Trust

Script = Callable[["Question"], Awaitable[None]]


class Question:
    """A control question that counts how often it is asked, and about what."""

    def __init__(self, error: SourceError | None = None) -> None:
        self.error = error
        self.asked: list[tuple[Any, ...]] = []

    async def __call__(self, known: Any) -> None:
        self.asked.append(tuple(known))
        await asyncio.sleep(0)
        if self.error:
            raise self.error


def admitted(trust: Trust, most: int = 1000) -> int:
    """How many requests in a row are let through, without an answer to any."""

    async def main() -> int:
        for number in range(most):
            try:
                await trust.admit()
            except SourceError:
                return number
        return most

    return asyncio.run(main())


def test_so_many_requests_may_bring_nothing_and_then_the_control_question_decides() -> None:
    question = Question(SourceUnavailable("nobody there"))
    assert admitted(Trust(question)) == PATIENCE
    assert question.asked == [()]


def test_where_the_source_is_up_it_is_asked_on_and_controlled_again() -> None:
    question = Question()
    trust = Trust(question)
    assert admitted(trust, 3 * PATIENCE + 1) == 3 * PATIENCE + 1
    assert len(question.asked) == trust.cleared == 3


def test_as_many_as_there_are_connections_may_be_under_way() -> None:
    question = Question()
    assert admitted(Trust(question, connections=50), 50) == 50
    assert question.asked == []


def test_of_workers_that_wait_at_once_one_asks_the_question() -> None:
    question = Question()
    trust = Trust(question)

    async def main() -> None:
        trust.suspect()
        await asyncio.gather(*(trust.admit() for _ in range(PATIENCE)))

    asyncio.run(main())
    assert len(question.asked) == 1


def test_a_source_that_was_found_down_is_not_asked_again() -> None:
    question = Question(MalformedAnswer("no JSON"))
    trust = Trust(question, "Check the address.")
    trust.suspect()
    for _ in range(3):
        with pytest.raises(SourceDown, match=r"no JSON\. Check the address\.$"):
            asyncio.run(trust.admit())
    assert len(question.asked) == 1


@pytest.mark.parametrize("error", [QuotaExhausted("used up"), InvalidCredentials("set the key")])
def test_the_end_of_the_quota_and_a_wrong_key_stay_what_they_are(error: SourceError) -> None:
    trust = Trust(Question(error))
    trust.suspect()
    for _ in range(2):
        with pytest.raises(type(error)):
            asyncio.run(trust.admit())


@pytest.mark.parametrize(("usable", "found_out"), [(WORTH - 1, False), (WORTH + 1, True)])
def test_a_share_of_answers_that_are_of_use_is_enough(usable: int, found_out: bool) -> None:
    question = Question(SourceUnavailable("nobody there"))
    trust = Trust(question)

    async def main() -> None:
        for number in range(500):
            await trust.admit()
            if number % usable == 0:
                trust.usable()

    if found_out:
        with pytest.raises(SourceDown):
            asyncio.run(main())
    else:
        asyncio.run(main())
        assert question.asked == []


def test_the_question_is_about_what_was_answered_last() -> None:
    question = Question()
    trust = Trust(question)
    trust.remember([1, 2])
    trust.usable(3)
    trust.usable(3)
    trust.usable()
    asyncio.run(trust.settle())
    assert question.asked == [(2, 3)]


@pytest.mark.parametrize("which", ["tmdb", "omdb"])
def test_retries_are_requests_too(which: str) -> None:
    question = Question(SourceUnavailable("nobody there"))
    wire = Wire(lambda *_: httpx.Response(500))

    async def main() -> None:
        client: Any = client_of(which, wire)
        async with client:
            client.account.trust = Trust(question)
            ask = client.fetch_details if which == "tmdb" else client.fetch_movie
            for number in range(3):
                with pytest.raises(SourceUnavailable) as error:
                    await ask(number if which == "tmdb" else f"tt{number:07}")
                assert isinstance(error.value, SourceDown) is (number == 2)
                assert error.value.requests == (0 if number == 2 else 5)

    asyncio.run(main())
    assert len(wire.asked) == PATIENCE


def test_a_retry_waits_for_the_control_question_and_goes_on_when_the_source_is_up() -> None:
    question = Question()
    replies = [httpx.Response(500)] * 3 + [httpx.Response(200, json={"id": 1, "title": "A film"})]
    wire = Wire(lambda *_: replies.pop(0))

    async def main() -> None:
        async with client_of("tmdb", wire) as tmdb:
            tmdb.account.trust = trust = Trust(question)
            for _ in range(PATIENCE - 2):
                await trust.admit()
            _, requests = await tmdb.fetch_details(1)
            assert requests == 4

    asyncio.run(main())
    assert len(question.asked) == 1


# The control questions


def api(**more: Any) -> ApiSettings:
    return ApiSettings("http://api.example/3", 0.0, 40, 5, retry_wait=0.0, **more)


class Wire:
    """Answers by a function, and notes the requests."""

    def __init__(self, answer: Callable[[str, str | None], httpx.Response]) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        asked_id = request.url.params.get("i")
        self.asked.append(asked_id or request.url.path)
        return self.answer(request.url.path, asked_id)


def client_of(which: str, wire: Wire) -> Any:
    transport = httpx.MockTransport(wire)
    if which == "tmdb":
        return AsyncTMDBClient("token", settings=Settings(tmdb=api()), wire=transport)
    return AsyncOMDBClient("feedc0de", settings=Settings(omdb=api()), wire=transport)


def probe(which: str, wire: Wire, known: tuple[Any, ...] = ()) -> None:
    async def main() -> None:
        async with client_of(which, wire) as client:
            client.account.trust = Trust(client.probe)
            client.account.trust.remember(known)
            await client.account.trust.settle()

    asyncio.run(main())


def probe_tmdb(wire: Wire, known: tuple[int, ...] = ()) -> None:
    probe("tmdb", wire, known)


def probe_omdb(wire: Wire, known: tuple[str, ...] = ()) -> None:
    probe("omdb", wire, known)


NO_SUCH = httpx.Response(404, json={"status_code": 34, "status_message": "The resource could not be found."})
LISTING = httpx.Response(200, json={"page": 1, "results": [{"id": 11}, {"id": 12}, {"id": 13}], "total_pages": 9})


def whole(tmdb_id: int) -> dict[str, Any]:
    """A movie with all that is asked for with it."""
    parts = {"external_ids": {}, "keywords": {"keywords": []}, "release_dates": {"results": []}}
    return {"id": tmdb_id, "title": "A film", **parts, "credits": {"cast": [], "crew": []}}


def listing_and(details: Callable[[int], httpx.Response]) -> Wire:
    """TMDB with a listing that works, and details of some kind."""
    return Wire(lambda path, _: LISTING if "discover" in path else details(int(path.rpartition("/")[2])))


def test_tmdb_is_up_when_it_has_a_movie_that_it_lists() -> None:
    wire = listing_and(lambda number: NO_SUCH if number == 11 else httpx.Response(200, json=whole(number)))
    probe_tmdb(wire)
    assert wire.asked == ["/3/discover/movie", "/3/movie/11", "/3/movie/12"]


@pytest.mark.parametrize(
    "reply", [{}, [], {"results": []}, {"results": [{"name": "x"}]}, {"id": 550, "title": "x"}], ids=str
)
def test_what_lists_no_movie_is_not_tmdb(reply: Any) -> None:
    with pytest.raises(SourceDown):
        probe_tmdb(Wire(lambda *_: httpx.Response(200, json=reply)))


@pytest.mark.parametrize(
    "reply",
    [
        NO_SUCH,
        httpx.Response(400, json={"status_code": 6, "status_message": "Invalid id."}),
        httpx.Response(403),
        httpx.Response(200, text="<html>log in</html>"),
    ],
)
def test_what_lists_movies_and_has_none_of_them_is_at_fault(reply: httpx.Response) -> None:
    wire = listing_and(lambda _: reply)
    with pytest.raises(SourceDown):
        probe_tmdb(wire)
    assert len(wire.asked) <= CONTROL_REQUESTS


@pytest.mark.parametrize("missing", ["credits", "external_ids", "keywords", "release_dates"])
def test_what_leaves_out_a_part_of_every_movie_is_at_fault(missing: str) -> None:
    def details(number: int) -> httpx.Response:
        return httpx.Response(200, json={name: value for name, value in whole(number).items() if name != missing})

    with pytest.raises(SourceDown, match=f"without its {missing}"):
        probe_tmdb(listing_and(details))


def test_tmdb_is_up_when_one_of_the_movies_that_it_had_is_there() -> None:
    wire = Wire(lambda path, _: httpx.Response(200, json=whole(7)) if path.endswith("/7") else NO_SUCH)
    probe_tmdb(wire, (5, 7))
    assert wire.asked == ["/3/movie/5", "/3/movie/7"]
    with pytest.raises(SourceDown, match="could not be found"):
        probe_tmdb(wire, (5, 6))


def test_omdb_is_up_when_it_has_a_title_that_it_surely_has() -> None:
    def answer(_: str, asked: str | None) -> httpx.Response:
        if asked == WELL_KNOWN[1]:
            return httpx.Response(200, json={"Response": "True", "imdbID": asked, "Title": "A film"})
        return httpx.Response(200, json={"Response": "False", "Error": "Error getting data."})

    wire = Wire(answer)
    probe_omdb(wire)
    assert wire.asked == list(WELL_KNOWN[:2])
    with pytest.raises(SourceDown, match="Error getting data"):
        probe_omdb(wire, ("tt0000001", "tt0000002"))


@pytest.mark.parametrize("which", ["tmdb", "omdb"])
def test_a_control_question_costs_few_requests_retries_included(which: str) -> None:
    wire = Wire(lambda *_: httpx.Response(503))
    with pytest.raises(SourceDown, match="HTTP 503"):
        probe(which, wire)
    assert len(wire.asked) <= CONTROL_REQUESTS


def test_a_step_that_is_tried_again_begins_with_a_control_question_that_costs_less() -> None:
    wire = Wire(lambda *_: httpx.Response(503))

    async def main() -> None:
        async with client_of("tmdb", wire) as tmdb:
            tmdb.account.trust = Trust(tmdb.probe)
            tmdb.account.trust.suspect()
            with pytest.raises(SourceDown):
                await tmdb.fetch_details(1)

    asyncio.run(main())
    assert wire.asked == ["/3/discover/movie"] * CONTROL_REQUESTS_AGAIN


def test_what_nobody_weighs_is_asked_for_as_often_as_somebody_likes() -> None:
    async def main() -> None:
        transport = httpx.MockTransport(lambda _: NO_SUCH)
        async with AsyncTMDBClient("token", settings=Settings(tmdb=api()), wire=transport) as tmdb:
            for number in range(1, 4 * PATIENCE):
                with pytest.raises((NotFound, RequestRejected)):
                    await tmdb.get_movie_details(number)

    asyncio.run(main())
