"""The OMDb client: over real HTTP against the stand-in, and over prepared answers where the stand-in has none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from ayne_dagster import AsyncOMDBClient
from ayne_dagster.config import ApiSettings, Settings
from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    NotFound,
    QuotaExhausted,
    RequestRejected,
    SourceError,
    SourceUnavailable,
)
from ayne_dagster.sources.limits.ledger import RequestLedger
from ayne_dagster.sources.omdb.models import OMDbMovie
from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.running import StandIn

T = TypeVar("T")
Handler = Callable[[httpx.Request], httpx.Response]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BASE = "http://api.example/omdb/"
KEY = "feedc0de"
MOVIE = {"Response": "True", "imdbID": "tt0137523", "Title": "Fight Club", "imdbRating": "8.8"}
LIMIT = {"Response": "False", "Error": "Request limit reached!"}


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with StandIn(300, epoch=NOON.date()) as standin:
        yield standin


@pytest.fixture
def standin(running: StandIn) -> StandIn:
    running.clear_faults()
    running.clear_log()
    running.set_now(NOON)
    return running


@pytest.fixture
def ledger(tmp_path: Path) -> RequestLedger:
    return RequestLedger(tmp_path / "ayne.ledger.sqlite")


class OMDb:
    """Gives prepared answers, the last of them for ever, and counts what it was asked."""

    def __init__(self, *answers: tuple[int, bytes | dict[str, Any]]) -> None:
        self.answers = answers
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        status, body = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(request)
        return httpx.Response(status, content=body if isinstance(body, bytes) else json.dumps(body).encode())


def settings(base_url: str = BASE, quota: int = 0) -> Settings:
    return Settings(omdb=ApiSettings(base_url, 0.0, 40, 5, quota, retry_wait=0.0))


def with_client(
    use: Callable[[AsyncOMDBClient], Coroutine[Any, Any, T]],
    base_url: str = BASE,
    key: str = KEY,
    quota: int = 0,
    **more: Any,
) -> T:
    async def main() -> T:
        async with AsyncOMDBClient(key, settings=settings(base_url, quota), now=lambda: NOON, **more) as omdb:
            return await use(omdb)

    return asyncio.run(main())


def over(omdb: Handler, imdb_id: str = "tt0137523", **more: Any) -> tuple[OMDbMovie, int]:
    return with_client(lambda client: client.fetch_movie(imdb_id), wire=httpx.MockTransport(omdb), **more)


def some_movie(standin: StandIn) -> dict[str, Any]:
    """A movie that OMDb holds, without oddities."""
    for tmdb_id in standin.catalogue.ids(standin.now()):
        imdb_id = standin.catalogue.imdb_id_of(tmdb_id)
        body = standin.catalogue.omdb(imdb_id or "", standin.now())
        if body and standin.catalogue.oddity(tmdb_id) is None:
            return body
    raise AssertionError("no such movie")


# Answers


def test_an_answer_is_that_of_the_movie(standin: StandIn) -> None:
    expected = some_movie(standin)
    movie, requests = with_client(lambda omdb: omdb.fetch_movie(expected["imdbID"]), standin.omdb_url)
    assert requests == standin.requests()["omdb"] == 1
    assert (movie.imdb_id, movie.title, movie.year) == (expected["imdbID"], expected["Title"], expected["Year"])
    alone = with_client(lambda omdb: omdb.get_movie_by_imdb_id(expected["imdbID"]), standin.omdb_url)
    assert alone == movie


def test_only_the_id_is_asked_for_and_the_key_goes_into_the_query() -> None:
    omdb = OMDb((200, MOVIE))
    over(omdb)
    assert dict(omdb.asked[0].url.params) == {"i": "tt0137523", "plot": "short", "apikey": KEY}


def test_unknown_values_are_none() -> None:
    movie, _ = over(OMDb((200, MOVIE | {"BoxOffice": "N/A", "imdbVotes": "N/A", "Ratings": [], "Metascore": ""})))
    assert (movie.box_office, movie.imdb_votes, movie.metascore, movie.released) == (None, None, None, None)
    assert movie.imdb_rating == "8.8"
    assert movie.ratings == []


@pytest.mark.parametrize(("asked", "answered"), [("tt0137523", "tt137523"), ("tt0137523", "tt00137523")])
def test_another_zero_padding_of_the_id_is_the_same_movie(asked: str, answered: str) -> None:
    movie, _ = over(OMDb((200, MOVIE | {"imdbID": answered})), asked)
    assert movie.title == "Fight Club"


@pytest.mark.parametrize("answered", ["tt0137524", "tt1375230", "tt01375230"])
def test_another_movies_body_is_malformed_and_kept(answered: str) -> None:
    body = json.dumps(MOVIE | {"imdbID": answered}).encode()
    with pytest.raises(MalformedAnswer, match=f"asked for tt0137523, got {answered}") as caught:
        over(OMDb((200, body)))
    assert caught.value.body == body
    assert caught.value.requests == 1


def test_the_standins_wrong_movie_is_malformed(standin: StandIn) -> None:
    standin.inject(Fault("wrong_movie", "omdb"))
    asked = some_movie(standin)["imdbID"]
    with pytest.raises(MalformedAnswer, match=f"asked for {asked}"):
        with_client(lambda omdb: omdb.fetch_movie(asked), standin.omdb_url)


def test_invalid_json_that_can_be_repaired_is_read() -> None:
    body = rb'{"Response":"True","imdbID":"tt0137523","Title":"Miliardi\Millions"}'
    movie, requests = over(OMDb((200, body)))
    assert (movie.title, requests) == (r"Miliardi\Millions", 1)


# Errors

ERRORS: dict[str, tuple[int, str, type[SourceError]]] = {
    "malformed id": (200, "Incorrect IMDb ID.", NotFound),
    "not held": (200, "Error getting data.", NotFound),
    "not found": (404, "Movie not found!", NotFound),
    "series": (200, "Series or season not found!", NotFound),
    "no number": (200, "Conversion from string \"011f8539\" to type 'Double' is not valid.", NotFound),
    "invalid key": (401, "Invalid API key!", InvalidCredentials),
    "no key": (401, "No API key provided.", InvalidCredentials),
    "limit": (401, "Request limit reached!", QuotaExhausted),
    "older limit": (401, "Daily request limit reached!", QuotaExhausted),
    "transient": (200, "Something went wrong.", SourceUnavailable),
    "unknown": (200, "The stars are not right.", MalformedAnswer),
    "unknown 401": (401, "Whatever.", InvalidCredentials),
    "firewall": (403, "Forbidden", RequestRejected),
}


@pytest.mark.parametrize(("status", "text", "kind"), ERRORS.values(), ids=ERRORS)
def test_each_error_text_stands_for_what_to_do(status: int, text: str, kind: type[SourceError]) -> None:
    omdb = OMDb((status, {"Response": "False", "Error": text}))
    with pytest.raises(kind) as caught:
        over(omdb)
    assert type(caught.value) is kind
    assert caught.value.requests == len(omdb.asked) == 1
    assert "\n" not in str(caught.value)


def test_an_error_that_is_invalid_json_is_understood() -> None:
    body = b'{"Response":"False","Error":"Conversion from string "011f8539" to type \'Double\' is not valid."}'
    with pytest.raises(NotFound):
        over(OMDb((200, body)))


def test_an_invalid_key_names_the_variable(standin: StandIn) -> None:
    asked = some_movie(standin)["imdbID"]
    with pytest.raises(InvalidCredentials, match="OMDB_API_KEY") as caught:
        with_client(lambda omdb: omdb.fetch_movie(asked), standin.omdb_url, key="invalid0")
    assert "invalid0" not in str(caught.value)
    assert standin.requests()["omdb"] == 1


def test_without_a_key_the_person_is_told_which_variable_to_set() -> None:
    with pytest.raises(InvalidCredentials, match="OMDB_API_KEY"):
        AsyncOMDBClient(settings=settings())


def test_the_key_comes_from_the_settings_where_none_is_given() -> None:
    omdb = OMDb((200, MOVIE))

    async def main() -> None:
        from_settings = Settings(omdb=settings().omdb, omdb_api_key=KEY)
        async with AsyncOMDBClient(wire=httpx.MockTransport(omdb), settings=from_settings) as client:
            await client.get_movie_by_imdb_id("tt0137523")

    asyncio.run(main())
    assert omdb.asked[0].url.params["apikey"] == KEY


def test_an_outage_behind_the_cdn_is_asked_again(standin: StandIn) -> None:
    standin.inject(Fault("html", "omdb", status=522, times=2))
    expected = some_movie(standin)
    movie, requests = with_client(lambda omdb: omdb.fetch_movie(expected["imdbID"]), standin.omdb_url)
    assert (movie.title, requests) == (expected["Title"], 3)


def test_a_lasting_outage_makes_the_source_unavailable() -> None:
    omdb = OMDb((523, b"<html>"))
    with pytest.raises(SourceUnavailable, match="523") as caught:
        over(omdb)
    assert caught.value.requests == len(omdb.asked) == 5


def test_requests_spent_on_an_error_are_counted() -> None:
    with pytest.raises(NotFound) as caught:
        over(OMDb((502, b""), (502, b""), (200, {"Response": "False", "Error": "Error getting data."})))
    assert caught.value.requests == 3


def test_nothing_that_a_client_shows_of_itself_holds_the_key() -> None:
    async def use(omdb: AsyncOMDBClient) -> None:
        assert KEY not in f"{omdb!r} {omdb.account!r} {vars(omdb)!r}"

    with_client(use)


# Quota


def test_the_quota_ends_before_the_limit_is_met(ledger: RequestLedger) -> None:
    omdb = OMDb((200, MOVIE))

    async def use(client: AsyncOMDBClient) -> None:
        for _ in range(3):
            await client.fetch_movie("tt0137523")
        with pytest.raises(QuotaExhausted) as caught:
            await client.fetch_movie("tt0137523")
        assert caught.value.requests == 0

    with_client(use, quota=3, ledger=ledger, wire=httpx.MockTransport(omdb))
    assert len(omdb.asked) == 3
    with pytest.raises(QuotaExhausted):
        over(omdb, quota=3, ledger=RequestLedger(Path(ledger.name)))
    assert len(omdb.asked) == 3, "another client with the same ledger asks nothing either"


def test_omdbs_own_count_is_believed_by_all_clients_of_the_ledger(ledger: RequestLedger) -> None:
    omdb = OMDb((200, MOVIE), (401, LIMIT))
    over(omdb, quota=1000, ledger=ledger)
    with pytest.raises(QuotaExhausted) as caught:
        over(omdb, quota=1000, ledger=ledger)
    assert caught.value.requests == 1
    for same in (ledger, RequestLedger(Path(ledger.name))):
        with pytest.raises(QuotaExhausted):
            over(omdb, quota=1000, ledger=same)
    assert len(omdb.asked) == 2


def test_a_client_without_a_ledger_believes_omdbs_count_too() -> None:
    omdb = OMDb((401, LIMIT))

    async def use(client: AsyncOMDBClient) -> None:
        for _ in range(3):
            with pytest.raises(QuotaExhausted):
                await client.fetch_movie("tt0137523")

    with_client(use, quota=1000, wire=httpx.MockTransport(omdb))
    assert len(omdb.asked) == 1


def test_omdbs_count_holds_for_its_day_only(ledger: RequestLedger) -> None:
    omdb, clock = OMDb((401, LIMIT), (200, MOVIE)), [NOON]

    async def main() -> None:
        wire = httpx.MockTransport(omdb)
        client = AsyncOMDBClient(KEY, settings=settings(quota=1000), ledger=ledger, now=lambda: clock[0], wire=wire)
        async with client:
            with pytest.raises(QuotaExhausted):
                await client.fetch_movie("tt0137523")
            clock[0] += timedelta(days=1)
            await client.fetch_movie("tt0137523")

    asyncio.run(main())
    assert len(omdb.asked) == 2


def test_another_keys_quota_is_its_own(ledger: RequestLedger) -> None:
    omdb = OMDb((401, LIMIT), (200, MOVIE))
    with pytest.raises(QuotaExhausted):
        over(omdb, quota=1000, ledger=ledger)
    over(omdb, quota=1000, ledger=ledger, key="feedc0df")
    assert len(omdb.asked) == 2


def test_the_quota_can_be_set_by_hand() -> None:
    omdb = OMDb((200, MOVIE))

    async def use(client: AsyncOMDBClient) -> None:
        await client.fetch_movie("tt0137523")
        with pytest.raises(QuotaExhausted):
            await client.fetch_movie("tt0137523")

    with_client(use, quota=0, daily_quota=1, wire=httpx.MockTransport(omdb))
    assert len(omdb.asked) == 1


def test_many_at_once_stay_within_the_quota_that_the_source_enforces(ledger: RequestLedger) -> None:
    with StandIn(100, epoch=NOON.date(), omdb_daily_quota=30) as standin:
        standin.set_now(NOON)
        known = [standin.catalogue.imdb_id_of(tmdb_id) for tmdb_id in standin.catalogue.ids(NOON)]
        asked = [imdb_id for imdb_id in known if imdb_id][:60]

        async def use(omdb: AsyncOMDBClient) -> list[Any]:
            return await asyncio.gather(*(omdb.fetch_movie(one) for one in asked), return_exceptions=True)

        results = with_client(use, standin.omdb_url, quota=30, ledger=ledger)
        assert sum(isinstance(result, QuotaExhausted) for result in results) == len(asked) - 30
        assert standin.requests()["omdb"] == 30
        assert "401" not in standin.statuses()["omdb"], "the limit was never met"
        assert standin.max_in_flight()["omdb"] <= 5
