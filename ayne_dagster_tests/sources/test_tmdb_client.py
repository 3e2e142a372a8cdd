"""The TMDB client: over real HTTP against the stand-in, and over prepared answers where the stand-in has none."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster import AsyncTMDBClient
from ayne_dagster.config import ApiSettings, Settings
from ayne_dagster.sources import transport
from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    NotFound,
    RequestRejected,
    SourceError,
    SourceUnavailable,
    WrongAddress,
)
from ayne_dagster.sources.tmdb.client import MAX_WINDOW_ROWS, ChangedMovies, DateWindow, ListedPage
from ayne_dagster.sources.tmdb.models import OPTIONAL_PARTS, SUB_RESOURCES, MovieDetails
from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.running import StandIn

T = TypeVar("T")
Handler = Callable[[httpx.Request], httpx.Response]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BASE = "http://api.example/3"
TOKEN = "a-read-access-token"
KEY = "a-v3-key"


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with StandIn(600, epoch=NOON.date()) as standin:
        yield standin


@pytest.fixture
def standin(running: StandIn) -> StandIn:
    running.clear_faults()
    running.clear_log()
    running.set_now(NOON)
    return running


def settings(base_url: str = BASE, *, rate: float = 0.0, burst: int = 40, concurrent: int = 10) -> Settings:
    return Settings(tmdb=ApiSettings(base_url, rate, burst, concurrent, retry_wait=0.0))


def with_client(
    base_url: str, use: Callable[[AsyncTMDBClient], Coroutine[Any, Any, T]], token: str | None = TOKEN, **more: Any
) -> T:
    async def main() -> T:
        async with AsyncTMDBClient(token, settings=settings(base_url), **more) as tmdb:
            return await use(tmdb)

    return asyncio.run(main())


def over(handler: Handler, use: Callable[[AsyncTMDBClient], Coroutine[Any, Any, T]], **more: Any) -> T:
    return with_client(BASE, use, wire=httpx.MockTransport(handler), **more)


def fetched(standin: StandIn, tmdb_id: int, **more: Any) -> tuple[MovieDetails, int]:
    return with_client(standin.tmdb_url, lambda tmdb: tmdb.fetch_details(tmdb_id), **more)


def some_movie(standin: StandIn) -> dict[str, Any]:
    """A movie with all its sub-resources and no oddities."""
    for tmdb_id in standin.catalogue.ids(standin.now()):
        body = standin.catalogue.details(tmdb_id, standin.now(), frozenset(SUB_RESOURCES))
        if body and body["imdb_id"] and standin.catalogue.oddity(tmdb_id) is None:
            return body
    raise AssertionError("no such movie")


async def collected(pages: AsyncIterator[ListedPage]) -> list[ListedPage]:
    return [page async for page in pages]


def ids(pages: list[ListedPage]) -> list[int]:
    return [item["id"] for page in pages for item in page.items]


# Making one


def test_limits_can_be_set_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMDB_READ_TOKEN", TOKEN)
    monkeypatch.setenv("AYNE_TMDB_BURST", "17")

    async def main() -> ApiSettings:
        async with AsyncTMDBClient(requests_per_second=5.0, max_concurrent=15) as tmdb:
            return tmdb.account.settings

    limits = asyncio.run(main())
    assert (limits.requests_per_second, limits.max_concurrent, limits.burst) == (5.0, 15, 17)


def test_limits_set_by_hand_are_kept() -> None:
    most = in_flight = 0

    async def handler(request: httpx.Request) -> httpx.Response:
        nonlocal most, in_flight
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0.01)
        in_flight -= 1
        return httpx.Response(200, json={"id": int(request.url.path.rpartition("/")[2])})

    async def main() -> float:
        wire = httpx.MockTransport(handler)
        limits: dict[str, Any] = {"requests_per_second": 100.0, "burst": 20, "max_concurrent": 3}
        async with AsyncTMDBClient(TOKEN, **limits, wire=wire, settings=settings()) as tmdb:
            started = asyncio.get_running_loop().time()
            await asyncio.gather(*(tmdb.get_movie_details(number) for number in range(1, 61)))
            return asyncio.get_running_loop().time() - started

    took = asyncio.run(main())
    assert most == 3
    assert took >= (60 - 20) / 100


@pytest.mark.parametrize("limits", [{"max_concurrent": 0}, {"requests_per_second": -1.0}, {"burst": 0}])
def test_limits_with_which_nothing_could_ever_be_asked_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="|".join(limits)):
        AsyncTMDBClient(TOKEN, settings=settings(), **limits)


def test_without_a_key_the_person_is_told_which_variable_to_set() -> None:
    with pytest.raises(InvalidCredentials, match="TMDB_READ_TOKEN"):
        AsyncTMDBClient(settings=settings())


@pytest.mark.parametrize(
    ("token", "key", "expected"),
    [(TOKEN, None, "header"), (TOKEN, KEY, "header"), (None, KEY, "query")],
    ids=["token", "both", "key"],
)
def test_the_token_goes_into_a_header_and_is_preferred_to_the_key(
    token: str | None, key: str | None, expected: str
) -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"id": 550})

    over(handler, lambda tmdb: tmdb.get_movie_details(550), token=token, api_key=key)
    header, query = seen[0].headers.get("authorization"), seen[0].url.params.get("api_key")
    assert (header, query) == ((f"Bearer {TOKEN}", None) if expected == "header" else (None, KEY))


def test_keys_come_from_the_settings_where_none_is_given() -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(200, json={"id": 550})

    async def main() -> None:
        from_settings = Settings(tmdb=settings().tmdb, tmdb_read_token=TOKEN)
        async with AsyncTMDBClient(wire=httpx.MockTransport(handler), settings=from_settings) as tmdb:
            await tmdb.get_movie_details(550)

    asyncio.run(main())
    assert seen == [f"Bearer {TOKEN}"]


def test_nothing_that_a_client_shows_of_itself_holds_the_key() -> None:
    async def main() -> None:
        async with AsyncTMDBClient(TOKEN, settings=settings()) as tmdb:
            assert TOKEN not in f"{tmdb!r} {tmdb.account!r} {vars(tmdb)!r}"

    asyncio.run(main())


# Details


def test_details_are_those_of_the_movie_with_what_was_appended(standin: StandIn) -> None:
    expected = some_movie(standin)
    movie, requests = fetched(standin, expected["id"])
    assert requests == 1
    assert (movie.id, movie.title, movie.imdb_id) == (expected["id"], expected["title"], expected["imdb_id"])
    assert movie.credits is not None
    assert movie.credits.cast is not None
    assert [member.name for member in movie.credits.cast] == [c["name"] for c in expected["credits"]["cast"]]
    assert movie.external_ids is not None
    assert movie.keywords is not None
    assert movie.release_dates is not None
    assert standin.requests()["tmdb"] == 1


def test_get_movie_details_is_the_movie_alone(standin: StandIn) -> None:
    expected = some_movie(standin)
    movie = with_client(standin.tmdb_url, lambda tmdb: tmdb.get_movie_details(expected["id"]))
    assert movie.title == expected["title"]


def test_a_movie_that_does_not_exist_is_not_found(standin: StandIn) -> None:
    with pytest.raises(NotFound, match="404") as caught:
        fetched(standin, 999_999_999)
    assert caught.value.requests == 1
    assert standin.requests()["tmdb"] == 1


@pytest.mark.parametrize("credentials", [{"token": "invalid-token"}, {"token": None, "api_key": "invalid-key"}])
def test_an_invalid_key_stops_at_once_and_names_the_variable(standin: StandIn, credentials: dict[str, Any]) -> None:
    with pytest.raises(InvalidCredentials, match="TMDB_READ_TOKEN") as caught:
        fetched(standin, some_movie(standin)["id"], **credentials)
    assert "TMDB_API_KEY" in str(caught.value)
    assert "invalid-" not in str(caught.value)
    assert standin.requests()["tmdb"] == 1


@pytest.mark.parametrize("status", [400, 403, 405, 422])
def test_a_rejected_request_is_neither_retried_nor_a_missing_movie(standin: StandIn, status: int) -> None:
    message = "Invalid input."
    standin.inject(Fault("status", "tmdb", status=status, message=message))
    expected = InvalidCredentials if status == 403 else RequestRejected  # code 3: no permission
    with pytest.raises(expected, match=f"TMDB answered {status}: Invalid input.") as caught:
        fetched(standin, some_movie(standin)["id"])
    assert caught.value.requests == standin.requests()["tmdb"] == 1


REFUSALS: dict[str, tuple[int, bytes, type[SourceError], str]] = {
    "errors without a code": (422, b'{"errors": ["page must be less", "or equal"]}', RequestRejected, "must be less"),
    "no reason": (400, b"{}", RequestRejected, "no reason given"),
    "HTML": (403, b"<html>blocked</html>", RequestRejected, "no reason given"),
    "suspended": (401, b'{"status_code": 10, "status_message": "Suspended"}', InvalidCredentials, "TMDB_READ_TOKEN"),
    "404 in HTML": (404, b"<html>", NotFound, "404"),
    "invalid id": (404, b'{"status_code": 6, "status_message": "Invalid id"}', NotFound, "Invalid id"),
    "moved": (301, b"", WrongAddress, "301"),
}


@pytest.mark.parametrize(("status", "body", "kind", "text"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_of_any_shape_is_understood(status: int, body: bytes, kind: type[SourceError], text: str) -> None:
    with pytest.raises(kind, match=text) as caught:
        over(lambda _: httpx.Response(status, content=body), lambda tmdb: tmdb.get_movie_details(550))
    assert "\n" not in str(caught.value)


def test_a_refusals_words_are_one_short_line() -> None:
    body = json.dumps({"status_code": 47, "status_message": "so \n many " * 1000}).encode()
    with pytest.raises(RequestRejected) as caught:
        over(lambda _: httpx.Response(400, content=body), lambda tmdb: tmdb.get_movie_details(550))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_another_movies_body_is_malformed_and_kept(standin: StandIn) -> None:
    standin.inject(Fault("wrong_movie", "tmdb"))
    asked = some_movie(standin)["id"]
    with pytest.raises(MalformedAnswer, match=f"asked for movie {asked}, got") as caught:
        fetched(standin, asked)
    assert json.loads(caught.value.body)["id"] != asked
    assert caught.value.requests == 1


@pytest.mark.parametrize("body", [b'{"title": "no id"}', b"[]", b'{"id": "550"}', b'{"id": 0}', b'{"id": }'])
def test_a_body_that_is_no_movie_is_malformed_and_kept(body: bytes) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        over(lambda _: httpx.Response(200, content=body), lambda tmdb: tmdb.get_movie_details(550))
    assert caught.value.body == body
    assert caught.value.requests == 1


def test_requests_spent_on_a_malformed_answer_are_counted(standin: StandIn) -> None:
    standin.inject(Fault("status", "tmdb", status=502, times=2), Fault("wrong_movie", "tmdb"))
    with pytest.raises(MalformedAnswer) as caught:
        fetched(standin, some_movie(standin)["id"])
    assert caught.value.requests == 3


def test_requests_spent_on_a_refusal_are_counted(standin: StandIn) -> None:
    standin.inject(Fault("status", "tmdb", status=502, times=2), Fault("status", "tmdb", status=404))
    with pytest.raises(NotFound) as caught:
        fetched(standin, some_movie(standin)["id"])
    assert caught.value.requests == 3


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=500, times=1),
        Fault("html", status=503, times=1),
        Fault("html", status=200, times=1),
        Fault("reset", times=1),
        Fault("truncated", times=1),
        Fault("truncated_json", times=1),
        Fault("not_json", times=1),
        Fault("status", status=429, retry_after=0.05, times=1),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status}",
)
def test_a_passing_fault_is_overcome(standin: StandIn, fault: Fault) -> None:
    standin.inject(fault)
    expected = some_movie(standin)
    movie, requests = fetched(standin, expected["id"])
    assert movie.title == expected["title"]
    assert requests == 2


def test_a_source_that_hangs_is_asked_again(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", httpx.Timeout(0.2))
    standin.inject(Fault("hang", delay_seconds=1.0, times=1))
    expected = some_movie(standin)
    movie, requests = fetched(standin, expected["id"])
    assert (movie.title, requests) == (expected["title"], 2)


def test_a_lasting_fault_makes_the_source_unavailable(standin: StandIn) -> None:
    standin.inject(Fault("html", status=503))
    with pytest.raises(SourceUnavailable, match="503") as caught:
        fetched(standin, some_movie(standin)["id"])
    assert caught.value.requests == standin.requests()["tmdb"] == 5


def test_a_packed_body_that_is_not_declared_so_is_read(standin: StandIn) -> None:
    standin.inject(Fault("gzip_without_header"))
    expected = some_movie(standin)
    movie, requests = fetched(standin, expected["id"])
    assert (movie.title, requests) == (expected["title"], 1)


def test_an_answer_without_what_was_to_be_appended_says_what_is_missing(standin: StandIn) -> None:
    whole, _ = fetched(standin, some_movie(standin)["id"])
    assert whole.missing_parts == ()
    standin.inject(Fault("missing_subresources"))
    movie, _ = fetched(standin, some_movie(standin)["id"])
    assert movie.missing_parts == ("external_ids", "keywords", "release_dates", "credits")
    assert (movie.credits, movie.keywords, movie.external_ids, movie.release_dates) == (None, None, None, None)


def test_what_is_appended_on_demand_comes_in_the_same_request_and_is_no_part_of_a_whole_answer(
    standin: StandIn,
) -> None:
    tmdb_id = some_movie(standin)["id"]
    movie, requests = fetched(standin, tmdb_id, append=tuple(OPTIONAL_PARTS))
    assert requests == standin.requests()["tmdb"] == 1
    told = (movie.videos, movie.translations, movie.alternative_titles, movie.watch_providers)
    assert None not in told
    movie, _ = fetched(standin, tmdb_id)
    assert {getattr(movie, name) for name in OPTIONAL_PARTS} == {None}
    assert movie.missing_parts == ()


def test_what_is_appended_can_be_asked_for_alone(standin: StandIn) -> None:
    body = some_movie(standin)
    for name in OPTIONAL_PARTS.values():
        answer = httpx.get(f"{standin.tmdb_url}/movie/{body['id']}/{name}", params={"api_key": "demo"})
        assert answer.status_code == 200, name


def test_the_connections_stay_within_their_limit(standin: StandIn) -> None:
    known = list(standin.catalogue.ids(standin.now()))[:80]

    async def use(tmdb: AsyncTMDBClient) -> None:
        await asyncio.gather(*(tmdb.get_movie_details(tmdb_id) for tmdb_id in known))

    with_client(standin.tmdb_url, use, max_concurrent=4)
    assert standin.max_in_flight()["tmdb"] <= 4
    assert standin.requests()["tmdb"] == 80


# Windows


@given(st.dates(date(1874, 1, 1), date(2035, 12, 31)), st.integers(1, 60_000))
def test_halves_part_the_days_of_a_window(start: date, days: int) -> None:
    window = DateWindow(start, start + timedelta(days=days))
    early, late = window.halves()
    assert early.start == window.start
    assert late.end == window.end
    assert late.start - early.end == timedelta(days=1)
    lengths = [(half.end - half.start).days + 1 for half in (early, late)]
    assert min(lengths) >= 1
    assert abs(lengths[0] - lengths[1]) <= 1


def test_a_day_is_not_split() -> None:
    day = date(2024, 2, 29)
    assert DateWindow(day, day).is_one_day
    assert not DateWindow(day, day + timedelta(days=1)).is_one_day
    assert str(DateWindow(day, day)) == "2024-02-29 to 2024-02-29"


# Discover


class Listing:
    """TMDB's discover over invented movies: 20 rows a page, 500 pages at most, and what is told to go wrong."""

    def __init__(self, released: dict[int, date]) -> None:
        self.released = released
        self.last = min(released, key=lambda n: (released[n], n), default=None)
        self._ordered = sorted(released, key=lambda n: (released[n], n), reverse=True)
        self._found: dict[tuple[str, str], list[int]] = {}
        self.asked: list[tuple[str, str, int]] = []
        self.parameters: list[dict[str, str]] = []
        self.failing: dict[int, httpx.Response] = {}
        self.missing_at_first: set[int] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        asked = dict(request.url.params)
        self.parameters.append(asked)
        first, last, page = asked["primary_release_date.gte"], asked["primary_release_date.lte"], int(asked["page"])
        hidden = self.missing_at_first if (first, last, page) not in self.asked else set()
        self.asked.append((first, last, page))
        if not 1 <= page <= 500:
            return httpx.Response(400, json={"status_code": 22, "status_message": "Invalid page"})
        if page in self.failing:
            return self.failing[page]
        if (first, last) not in self._found:
            dates = date.fromisoformat(first), date.fromisoformat(last)
            self._found[first, last] = [n for n in self._ordered if dates[0] <= self.released[n] <= dates[1]]
        found = self._found[first, last]
        rows = [
            {"id": n, "title": f"Movie {n}", "release_date": str(self.released[n])}
            for n in found[20 * (page - 1) : 20 * page]
            if n not in hidden
        ]
        pages = max(1, -(-len(found) // 20))
        return httpx.Response(
            200, json={"page": page, "results": rows, "total_pages": pages, "total_results": len(found)}
        )

    def list(self, start: date, end: date, **more: Any) -> list[ListedPage]:
        return over(self, lambda tmdb: collected(tmdb.discover_movies(start, end, **more)))


def one_year(movies: int, year: int = 2024) -> dict[int, date]:
    """Movies spread over a year, more of them at its first days than elsewhere."""
    days = (date(year + 1, 1, 1) - date(year, 1, 1)).days
    return {n: date(year, 1, 1) + timedelta(days=(n * n) % days) for n in range(1, movies + 1)}


YEAR = (date(2024, 1, 1), date(2024, 12, 31))


def test_a_window_that_is_too_large_is_halved_until_all_of_it_can_be_listed() -> None:
    listing = Listing(one_year(17_000))
    pages = listing.list(*YEAR)
    assert set(ids(pages)) == set(listing.released)
    assert max(page for _, _, page in listing.asked) <= 500
    assert all(page.total_results <= MAX_WINDOW_ROWS for page in pages)
    assert not [page for page in pages if page.error]
    assert len(listing.asked) < 17_000 / 20 * 1.1, "hardly more requests than there are pages"
    assert max(Counter(listing.asked).values()) == 1, "no page is asked for twice"


def test_a_day_with_more_movies_than_can_be_listed_is_listed_as_far_as_it_can() -> None:
    day = date(2024, 1, 1)
    listing = Listing(dict.fromkeys(range(1, 10_101), day))
    pages = listing.list(day, day)
    assert len(set(ids(pages))) == MAX_WINDOW_ROWS
    assert max(page for _, _, page in listing.asked) == 500
    assert len(listing.asked) == 500, "what cannot be listed is no reason to list a second time"


def test_the_newest_come_first() -> None:
    listing = Listing(one_year(12_000) | {n + 50_000: day for n, day in one_year(100, 2023).items()})
    pages = listing.list(date(2023, 1, 1), date(2024, 12, 31))
    days = [listing.released[number] for number in ids(pages)]
    assert days == sorted(days, reverse=True)


def test_parameters_are_those_that_keep_a_listing_stable() -> None:
    listing = Listing(one_year(3))
    listing.list(*YEAR)
    assert listing.parameters == [
        {
            "primary_release_date.gte": "2024-01-01",
            "primary_release_date.lte": "2024-12-31",
            "sort_by": "primary_release_date.desc",
            "include_adult": "false",
            "include_video": "false",
            "language": "en-US",
            "page": "1",
        }
    ]
    listing.list(*YEAR, min_votes=200)
    assert listing.parameters[1]["vote_count.gte"] == "200"


def test_an_empty_window_is_one_empty_page_and_is_believed_the_second_time() -> None:
    listing = Listing({})
    pages = listing.list(*YEAR)
    assert [(page.items, page.error, page.total_results) for page in pages] == [([], None, 0)]
    assert len(listing.asked) == 2


def test_a_first_page_that_is_empty_by_mistake_loses_nothing() -> None:
    listing = Listing(one_year(70))
    empty = {"page": 1, "results": [], "total_pages": 1, "total_results": 0}

    def handler(request: httpx.Request) -> httpx.Response:
        answer = listing(request)
        return httpx.Response(200, json=empty) if len(listing.asked) == 1 else answer

    pages = over(handler, lambda tmdb: collected(tmdb.discover_movies(*YEAR)))
    assert set(ids(pages)) == set(listing.released)
    assert not [page for page in pages if page.error]


@pytest.mark.parametrize("liars", [{1}, {2}, {1, 2, 3, 4}], ids=str)
def test_pages_that_promise_too_little_lose_nothing(liars: set[int]) -> None:
    listing = Listing(one_year(70))

    def handler(request: httpx.Request) -> httpx.Response:
        body = listing(request).json()
        if body["page"] in liars:
            body |= {"total_pages": 1, "total_results": len(body["results"])}
        return httpx.Response(200, json=body)

    pages = over(handler, lambda tmdb: collected(tmdb.discover_movies(*YEAR)))
    assert set(ids(pages)) == set(listing.released)
    assert not [page for page in pages if page.error]


@pytest.mark.parametrize("odd", [10**12, -1, "many", "70", None, 1.5, [4], 10**300], ids=repr)
def test_totals_of_any_kind_lose_nothing(odd: Any) -> None:
    listing = Listing(one_year(70))

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=listing(request).json() | {"total_pages": odd, "total_results": odd})

    pages = over(handler, lambda tmdb: collected(tmdb.discover_movies(*YEAR)))
    assert set(ids(pages)) == set(listing.released)
    assert len(listing.asked) <= 30
    assert all(page.total_results >= 0 and page.total_pages > 0 for page in pages)


def test_a_window_whose_first_page_hid_that_it_is_too_large_is_halved_after_all() -> None:
    listing = Listing(one_year(12_000))

    def handler(request: httpx.Request) -> httpx.Response:
        body = listing(request).json()
        if len(listing.asked) == 1:
            body |= {"total_pages": 1, "total_results": 20}
        return httpx.Response(200, json=body)

    pages = over(handler, lambda tmdb: collected(tmdb.discover_movies(*YEAR)))
    assert set(ids(pages)) == set(listing.released)


def test_a_limit_of_pages_holds_for_each_release_year() -> None:
    movies = {year * 10_000 + n: day for year in (2022, 2023, 2024) for n, day in one_year(100, year).items()}
    listing = Listing(movies)
    pages = listing.list(date(2022, 1, 1), date(2024, 12, 31), max_pages=2)
    asked = [(first, last, page) for first, last, page in listing.asked]
    years = ("2024", "2023", "2022")
    assert sorted(asked, reverse=True) == [(f"{y}-01-01", f"{y}-12-31", page) for y in years for page in (2, 1)]
    assert len(pages) == 6
    assert len(ids(pages)) == 120


def test_a_limit_of_pages_keeps_to_the_dates_that_were_given() -> None:
    listing = Listing({})
    listing.list(date(2023, 6, 1), date(2024, 3, 31), max_pages=1)
    assert listing.asked == [("2024-01-01", "2024-03-31", 1), ("2023-06-01", "2023-12-31", 1)]


def test_a_limit_of_pages_does_not_split_a_year() -> None:
    listing = Listing(one_year(12_000))
    listing.list(*YEAR, max_pages=3)
    assert len(listing.asked) == 3


def test_no_limit_of_pages_reaches_beyond_the_last_page_that_tmdb_serves() -> None:
    listing = Listing(one_year(10_100))
    pages = listing.list(*YEAR, max_pages=600)
    assert max(page for _, _, page in listing.asked) == 500
    assert not [page for page in pages if page.error]


BROKEN_PAGES = {
    "rejected": httpx.Response(400, json={"status_code": 47, "status_message": "Invalid input"}),
    "malformed": httpx.Response(200, json={"results": None}),
    "unavailable": httpx.Response(503),
}


@pytest.mark.parametrize("broken", BROKEN_PAGES.values(), ids=BROKEN_PAGES)
def test_a_page_that_fails_is_told_and_the_others_go_on(broken: httpx.Response) -> None:
    listing = Listing(one_year(100))
    listing.failing = {2: broken}
    pages = listing.list(*YEAR)
    failed = [page for page in pages if page.error is not None]
    assert {page.page for page in failed} == {2, 0}
    assert all(page.items == [] for page in failed)
    assert len(set(ids(pages))) == 80


@pytest.mark.parametrize("broken", BROKEN_PAGES.values(), ids=BROKEN_PAGES)
def test_a_first_page_that_fails_does_not_lose_the_pages_after_it(broken: httpx.Response) -> None:
    listing = Listing(one_year(100))
    listing.failing = {1: broken}
    pages = listing.list(*YEAR)
    assert {page.page for page in pages if page.error is not None} == {1, 0}
    assert len(set(ids(pages))) == 80


def test_a_listing_that_came_out_short_is_listed_a_second_time() -> None:
    listing = Listing(one_year(90))
    listing.missing_at_first = {7, 42}
    pages = listing.list(*YEAR)
    assert set(ids(pages)) == set(listing.released)
    assert not [page for page in pages if page.error]
    assert Counter(page for _, _, page in listing.asked) == dict.fromkeys(range(1, 6), 2)


def test_a_listing_that_stays_short_is_told_to_be_and_not_listed_for_ever() -> None:
    listing = Listing(one_year(90))
    listing.failing = {3: BROKEN_PAGES["rejected"]}
    pages = listing.list(*YEAR)
    assert Counter(page for _, _, page in listing.asked) == dict.fromkeys(range(1, 6), 2)
    last = pages[-1]
    assert (last.page, last.items) == (0, [])
    assert "promised 90 movies and left out 20" in str(last.error)


def test_a_listing_that_shrinks_while_it_is_read_is_not_short_the_second_time() -> None:
    listing = Listing(one_year(50))

    def shrinking(request: httpx.Request) -> httpx.Response:
        body = listing(request).json()
        if len(listing.asked) >= 3:  # its last movie is gone
            body["results"] = [row for row in body["results"] if row["id"] != listing.last]
            body["total_results"] -= 1
        return httpx.Response(200, json=body)

    pages = over(shrinking, lambda tmdb: collected(tmdb.discover_movies(*YEAR)))
    assert len(listing.asked) == 6
    assert not [page for page in pages if page.error]


def test_an_invalid_key_ends_a_listing() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"status_code": 7, "status_message": "Invalid API key"})

    with pytest.raises(InvalidCredentials):
        over(handler, lambda tmdb: collected(tmdb.discover_movies(*YEAR)))


def test_no_more_pages_are_asked_ahead_than_there_are_connections() -> None:
    listing = Listing(one_year(2_000))

    async def use(tmdb: AsyncTMDBClient) -> None:
        taken = 0
        async with aclosing(tmdb.discover_movies(*YEAR)) as pages:
            async for _ in pages:
                taken += 1
                for _ in range(50):
                    await asyncio.sleep(0)
                assert len(listing.asked) <= taken + 4
                if taken == 12:
                    break
        asked = len(listing.asked)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(listing.asked) == asked, "nothing is asked for whoever has left"

    over(listing, use, max_concurrent=4)


def test_pages_come_in_order_however_they_arrive() -> None:
    listing = Listing(one_year(400))

    async def handler(request: httpx.Request) -> httpx.Response:
        for _ in range(int(request.url.params["page"]) * 7 % 5):
            await asyncio.sleep(0)
        return listing(request)

    pages = over(handler, lambda tmdb: collected(tmdb.discover_movies(*YEAR)))  # type: ignore[arg-type]
    assert [page.page for page in pages] == list(range(1, 22)), "behind a full page one more is asked for"


def test_the_standins_movies_are_all_found(standin: StandIn) -> None:
    start, end = date(1990, 1, 1), date(2026, 12, 31)
    pages = with_client(standin.tmdb_url, lambda tmdb: collected(tmdb.discover_movies(start, end)))
    expected: set[int] = set()
    page = last = 1
    while page <= last:
        body = standin.catalogue.discover(NOON, start=start, end=end, min_votes=0, page=page)
        expected |= {row["id"] for row in body["results"]}
        page, last = page + 1, body["total_pages"]
    assert len(expected) > 100
    assert set(ids(pages)) == expected


# Changes


def changes(standin: StandIn, start: date, end: date) -> set[int]:
    return with_client(standin.tmdb_url, lambda tmdb: tmdb.get_changed_movie_ids(start, end))


def test_changed_movies_are_those_of_the_feed(standin: StandIn) -> None:
    start, end = NOON.date() - timedelta(days=14), NOON.date()
    expected = standin.catalogue.changed_ids(start, end, NOON)
    assert expected
    assert changes(standin, start, end) == set(expected)


def feed(*pages: list[Any], total_pages: int | None = None) -> tuple[Handler, list[int]]:
    asked: list[int] = []

    def handler(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params["page"])
        asked.append(page)
        rows = pages[min(page, len(pages)) - 1]
        return httpx.Response(200, json={"results": rows, "page": page, "total_pages": total_pages or len(pages)})

    return handler, asked


def test_all_pages_of_the_feed_are_read_and_rows_without_an_id_are_left_out() -> None:
    handler, asked = feed(
        [{"id": 1, "adult": False}, {"id": None, "adult": None}, {"id": 2, "adult": None}],
        [{"id": 2, "adult": False}, {"adult": False}, "no row", {"id": "3"}],
        [{"id": 4, "adult": True, "softcore": False}],
    )
    day = date(2026, 2, 1)
    assert over(handler, lambda tmdb: tmdb.get_changed_movie_ids(day, day)) == {1, 2, 4}
    assert asked == [1, 2, 3]


@pytest.mark.parametrize("odd", ["1", True, None, -1, 0, 1e20, 2**63, [], 1.5])
def test_a_feed_whose_rows_name_no_movie_is_malformed(odd: Any) -> None:
    handler, _ = feed([{"id": odd}] * 40)
    with pytest.raises(MalformedAnswer, match="none of 40 rows"):
        over(handler, lambda tmdb: tmdb.list_changes_of(date(2026, 2, 1)))


@pytest.mark.parametrize(("lost", "complete"), [(2, True), (3, False)])
def test_a_feed_that_loses_rows_is_not_complete(lost: int, complete: bool) -> None:
    handler, _ = feed([{"id": 1}, {"id": 2}], [{"id": 3}, *[{"id": "x"}] * lost])
    listed = over(handler, lambda tmdb: tmdb.list_changes_of(date(2026, 2, 1)))
    assert listed == ChangedMovies(frozenset({1, 2, 3}), complete=complete)


def test_an_empty_feed_is_no_movie() -> None:
    handler, asked = feed([])
    assert over(handler, lambda tmdb: tmdb.get_changed_movie_ids(NOON.date(), NOON.date())) == set()
    assert asked == [1]


def test_no_page_of_the_feed_is_asked_for_that_tmdb_would_reject() -> None:
    handler, asked = feed(*([{"id": number}] for number in range(1, 901)))
    listed = over(handler, lambda tmdb: tmdb.list_changes_of(NOON.date()))
    assert asked == list(range(1, 501))
    assert listed == ChangedMovies(frozenset(range(1, 501)), complete=False)


@pytest.mark.parametrize("days", [15, 365, -1])
def test_a_span_that_tmdb_would_reject_is_not_asked_for(days: int) -> None:
    handler, asked = feed([])
    with pytest.raises(ValueError, match="14 days"):
        over(handler, lambda tmdb: tmdb.get_changed_movie_ids(NOON.date(), NOON.date() + timedelta(days=days)))
    assert asked == []


def test_a_feed_that_is_no_feed_is_malformed() -> None:
    with pytest.raises(MalformedAnswer):
        over(
            lambda _: httpx.Response(200, json={"id": 1}),
            lambda tmdb: tmdb.get_changed_movie_ids(NOON.date(), NOON.date()),
        )


def test_pages_of_the_feed_are_asked_for_side_by_side_within_the_connections() -> None:
    in_flight, most = 0, 0

    async def handler(request: httpx.Request) -> httpx.Response:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0.01)
        in_flight -= 1
        page = int(request.url.params["page"])
        return httpx.Response(200, json={"results": [{"id": page}], "total_pages": 30})

    listed = over(handler, lambda tmdb: tmdb.list_changes_of(NOON.date()), max_concurrent=5)  # type: ignore[arg-type]
    assert listed == ChangedMovies(frozenset(range(1, 31)), complete=True)
    assert most == 5


MAX_IN_FLIGHT = settings().tmdb.max_concurrent


def numbered(start: int, rows: int) -> list[dict[str, int]]:
    return [{"id": number} for number in range(start, start + rows)]


def test_a_feed_that_shows_all_rows_on_one_page_is_complete() -> None:
    for pages in (1, 27):  # as in 2022, with a total of 1, and with the total of a feed of 100 rows a page
        handler, asked = feed(numbered(1, 2687), total_pages=pages)
        listed = over(handler, lambda tmdb: tmdb.list_changes_of(NOON.date()))
        assert listed == ChangedMovies(frozenset(range(1, 2688)), complete=True)
        assert len(asked) <= 1 + MAX_IN_FLIGHT * (pages > 1), (
            "the same page again and again is not asked for to the end"
        )


def test_a_feed_that_shows_its_first_page_again_and_again_is_not_complete() -> None:
    handler, asked = feed(numbered(1, 100), total_pages=27)
    listed = over(handler, lambda tmdb: tmdb.list_changes_of(NOON.date()))
    assert listed == ChangedMovies(frozenset(range(1, 101)), complete=False)
    assert len(asked) <= 1 + MAX_IN_FLIGHT


@pytest.mark.parametrize(("times", "complete"), [(1, True), (2, False)])
def test_a_page_that_comes_empty_is_asked_for_again_and_one_that_stays_empty_makes_the_day_incomplete(
    times: int, complete: bool
) -> None:
    empty = [{"results": [], "page": 1, "total_pages": 1}] * times

    def handler(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params["page"])
        if page == 2 and empty:
            return httpx.Response(200, json=empty.pop())
        return httpx.Response(200, json={"results": [{"id": page}], "total_pages": 3})

    listed = over(handler, lambda tmdb: tmdb.list_changes_of(NOON.date()))
    assert listed == ChangedMovies(frozenset({1, 2, 3} if complete else {1, 3}), complete)


def test_pages_that_are_announced_later_are_read_too() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params["page"])
        return httpx.Response(200, json={"results": [{"id": page}], "total_pages": min(page + 1, 4)})

    assert over(handler, lambda tmdb: tmdb.list_changes_of(NOON.date())).ids == {1, 2, 3, 4}


DAY_AFTER = NOON.date() + timedelta(days=1)


@pytest.mark.parametrize("end_included", [True, False])
@pytest.mark.parametrize("today", [frozenset({1, 2}), frozenset()])
@pytest.mark.parametrize("tomorrow", [frozenset({2, 3}), frozenset()])
def test_a_day_is_read_whether_or_not_the_end_date_is_included(
    end_included: bool, today: frozenset[int], tomorrow: frozenset[int]
) -> None:
    by_day = {NOON.date(): today, DAY_AFTER: tomorrow}

    def handler(request: httpx.Request) -> httpx.Response:
        start, end = (date.fromisoformat(request.url.params[name]) for name in ("start_date", "end_date"))
        shown = (ids for day, ids in by_day.items() if start <= day <= end and (end_included or day < end))
        return httpx.Response(200, json={"results": [{"id": i} for i in set().union(*shown)], "total_pages": 1})

    listed = over(handler, lambda tmdb: tmdb.list_changes_of(NOON.date()))
    assert listed == ChangedMovies(today, complete=True)


def test_a_day_that_lists_something_is_asked_for_once() -> None:
    handler, asked = feed([{"id": 1}])
    over(handler, lambda tmdb: tmdb.list_changes_of(NOON.date()))
    assert asked == [1]
