"""The client for The Numbers: over prepared answers in virtual time, and over real HTTP against the stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, TypeVar

import httpx
import pytest

from ayne_dagster.config import ApiSettings, Settings, load_settings
from ayne_dagster.sources import transport
from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    NotFound,
    RequestRejected,
    SourceBanned,
    SourceDown,
    SourceError,
    SourcePaused,
    SourceUnavailable,
    WrongAddress,
)
from ayne_dagster.sources.limits import account as account_module
from ayne_dagster.sources.limits.ledger import RequestLedger
from ayne_dagster.sources.the_numbers import client as client_module
from ayne_dagster.sources.the_numbers.client import AsyncNumbersClient, NumbersClient
from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.support.virtual_time import VirtualLoop

T = TypeVar("T")
Pages = dict[str, httpx.Response | str | int]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BASE = "https://numbers.example"
ON = {
    "AYNE_CONTACT": "you@example.org",
    "AYNE_NUMBERS_ACKNOWLEDGE_TERMS": "yes",
    "AYNE_NUMBERS_BASE_URL": BASE,
    "AYNE_NUMBERS_MAX_CONCURRENT": "5",
}


def page(title: str, figures: str = "$1,234,567") -> str:
    totals = f"<table id=movie_finances><tr><td>Worldwide Box Office<td>{figures}</table>"
    return f"<html><h1>{title}</h1>{totals}</html>"


def moved(location: str, status: int = 301) -> httpx.Response:
    return httpx.Response(status, headers={"location": location})


class Site:
    """Answers by path, 404 for what it does not know; notes what is asked, and when in virtual time."""

    def __init__(self, pages: Pages, robots: httpx.Response | str | int = "") -> None:
        self.pages: Pages = {"/robots.txt": robots, **pages}
        self.asked: list[str] = []
        self.at: list[float] = []
        self.headers: list[httpx.Headers] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        self.asked.append(path)
        self.at.append(asyncio.get_running_loop().time())
        self.headers.append(request.headers)
        found = self.pages.get(path, 404)
        if isinstance(found, str):
            return httpx.Response(200, text=found)
        return httpx.Response(found) if isinstance(found, int) else found


def asking(
    site: Callable[[httpx.Request], Any], use: Callable[[AsyncNumbersClient], Coroutine[Any, Any, T]], **options: Any
) -> T:
    """Use a client of a site, in virtual time."""

    async def main() -> T:
        wire = httpx.MockTransport(site)
        async with AsyncNumbersClient(settings=load_settings(ON), wire=wire, **options) as client:
            return await use(client)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner, pytest.MonkeyPatch.context() as patch:
        now = runner.get_loop().time
        start = NOON.timestamp() - now()
        clock = SimpleNamespace(monotonic=now, time=lambda: start + now())
        for module in (transport, account_module):
            patch.setattr(module, "time", clock)
        for module in (transport, account_module, client_module):
            patch.setattr(module, "steady_now", clock.time)
        return runner.run(main())


def fetched(
    site: Site, title: str = "Avatar", year: int | None = 2009, **options: Any
) -> tuple[list[dict[str, object]] | None, int]:
    return asking(site, lambda client: client.fetch_figures(title, year), **options)


def error_of(site: Site, kind: type[SourceError], **options: Any) -> SourceError:
    with pytest.raises(kind) as raised:
        fetched(site, **options)
    assert type(raised.value) is kind
    assert "\n" not in str(raised.value)
    return raised.value


def test_the_figures_of_a_page_come_with_where_they_stand_and_what_they_cost() -> None:
    site = Site({"/movie/Avatar-(2009)": page("Avatar (2009)")})
    rows, requests = fetched(site)
    assert rows is not None
    assert [(row["scope"], row["amount"]) for row in rows] == [("worldwide", Decimal("1234567.00"))]
    assert rows[0]["source_ref"] == f"{BASE}/movie/Avatar-(2009)#Worldwide-Box-Office"
    assert (requests, site.asked) == (2, ["/robots.txt", "/movie/Avatar-(2009)"])
    assert site.headers[1]["user-agent"].startswith("ayne_dagster-bot/")
    assert "you@example.org" in site.headers[1]["user-agent"]
    assert site.headers[1]["accept"] == "text/html"


def test_a_page_that_states_nothing_is_no_missing_page() -> None:
    assert fetched(Site({"/movie/Avatar-(2009)": page("Avatar (2009)", "n/a")})) == ([], 2)


@pytest.mark.parametrize("heading", ["Avatar (2010)", "Avatar (2008)", "AVATAR (2009)", "The Avatar (2009)"])
def test_a_page_counts_where_its_title_is_the_same_and_its_year_at_most_one_apart(heading: str) -> None:
    assert fetched(Site({"/movie/Avatar": page(heading)}))[0]


@pytest.mark.parametrize(
    "heading", ["Avatar (2011)", "Avatar (2007)", "Avatar", "Avatars (2009)", "Avatar: Part 2 (2009)"]
)
def test_the_page_of_another_film_under_a_guessed_address_is_not_believed(heading: str) -> None:
    site = Site({"/movie/Avatar-(2009)": page(heading), "/movie/Avatar": page("Avatar (2009)", "$5")})
    rows, requests = fetched(site)
    assert rows is not None
    assert [row["amount"] for row in rows] == [Decimal("5.00")]
    assert requests == 3


def test_a_film_without_a_page_costs_four_guesses_at_most_and_one_without_a_year_costs_nothing() -> None:
    site = Site({})
    assert fetched(site) == (None, 5)
    assert len(site.asked) == 5
    assert fetched(site, year=None) == (None, 0)
    assert fetched(site, title="崖の上のポニョ") == (None, 0)
    assert len(site.asked) == 5


def test_robots_txt_is_read_once_a_day_and_before_anything_else() -> None:
    site = Site({"/movie/Avatar-(2009)": page("Avatar (2009)")})
    clock = SimpleNamespace(now=NOON)

    async def use(client: AsyncNumbersClient) -> list[int]:
        costs = [(await client.fetch_figures("Avatar", 2009))[1] for _ in range(2)]
        clock.now += timedelta(hours=25)
        return [*costs, (await client.fetch_figures("Avatar", 2009))[1]]

    assert asking(site, use, now=lambda: clock.now) == [2, 1, 2]


@pytest.mark.parametrize("rate", [None, 0.0, 100.0])
def test_no_setting_makes_more_than_one_request_in_five_seconds(rate: float | None) -> None:
    site = Site({})
    fetched(site, requests_per_second=rate)
    assert min(later - at for at, later in zip(site.at, site.at[1:], strict=False)) >= 4.999


def test_one_request_is_under_way_at_a_time_however_slow_the_site_is() -> None:
    under_way = [0]

    async def slowly(_: httpx.Request) -> httpx.Response:
        under_way.append(under_way[-1] + 1)
        await asyncio.sleep(30)
        under_way.append(under_way[-1] - 1)
        return httpx.Response(404)

    async def use(client: AsyncNumbersClient) -> None:
        await asyncio.gather(client.fetch_figures("Avatar", 2009), client.fetch_figures("Titanic", 1997))

    asking(slowly, use)
    assert max(under_way) == 1


def test_a_slower_pace_that_is_set_or_that_robots_txt_asks_for_is_kept_from_the_first_page_on() -> None:
    for robots, rate, seconds in (("", 0.05, 20), ("User-agent: *\nCrawl-delay: 10", None, 10)):
        site = Site({}, robots)
        fetched(site, requests_per_second=rate)
        assert len(site.at) == 5
        assert min(later - at for at, later in zip(site.at, site.at[1:], strict=False)) >= seconds - 0.001


def test_clients_that_share_a_ledger_share_the_pace() -> None:
    site = Site({})

    async def use(client: AsyncNumbersClient) -> None:
        wire = httpx.MockTransport(site)
        async with AsyncNumbersClient(settings=load_settings(ON), wire=wire, ledger=client.account.ledger) as other:
            await asyncio.gather(client.fetch_figures("Avatar", 2009), other.fetch_figures("Titanic", 1997))

    asking(site, use)
    assert len(site.at) == 10
    assert min(later - at for at, later in zip(site.at, site.at[1:], strict=False)) >= 4.999


@pytest.mark.parametrize(
    "robots",
    [
        "User-agent: *\nDisallow: /",
        "User-agent: *\nCrawl-delay: 86400",
        "<html>Just a moment</html>",
        500,
        503,
        401,
        moved("/other.txt"),
    ],
)
def test_where_robots_txt_forbids_or_cannot_be_read_no_page_is_asked_for_in_the_run(
    robots: httpx.Response | str | int,
) -> None:
    site = Site({"/movie/Avatar-(2009)": page("Avatar (2009)")}, robots)

    async def use(client: AsyncNumbersClient) -> list[SourceError]:
        errors = []
        for _ in range(2):
            with pytest.raises(SourceDown, match=r"robots\.txt") as raised:
                await client.fetch_figures("Avatar", 2009)
            errors.append(raised.value)
        return errors

    first, second = asking(site, use)
    assert set(site.asked) == {"/robots.txt"}
    assert (first.requests, second.requests) == (len(site.asked), 0)


@pytest.mark.parametrize("robots", [404, 410])
def test_where_there_is_no_robots_txt_nothing_is_forbidden(robots: int) -> None:
    assert fetched(Site({"/movie/Avatar-(2009)": page("Avatar (2009)")}, robots))[0]


def test_an_address_that_robots_txt_forbids_is_passed_over() -> None:
    site = Site({"/movie/Avatar": page("Avatar (2009)")}, "User-agent: *\nDisallow: /movie/*(2009)$")
    assert fetched(site)[0]
    assert site.asked == ["/robots.txt", "/movie/Avatar"]


@pytest.mark.parametrize(("status", "hours"), [(403, 24), (429, 1)])
@pytest.mark.parametrize("where", ["/robots.txt", "/movie/Avatar-(2009)"])
def test_a_refusal_is_never_asked_again_by_nobody_who_shares_the_ledger(status: int, hours: int, where: str) -> None:
    site = Site({where: httpx.Response(status, headers={"retry-after": "3"})})
    ledger = RequestLedger.in_memory()

    async def use(client: AsyncNumbersClient) -> None:
        with pytest.raises(SourceBanned, match=f"HTTP {status}") as raised:
            await client.fetch_figures("Avatar", 2009)
        assert raised.value.requests == len(site.asked)
        assert raised.value.seconds == hours * 3600
        wire = httpx.MockTransport(site)
        async with AsyncNumbersClient(settings=load_settings(ON), wire=wire, ledger=ledger) as other:
            for each in (client, other):
                with pytest.raises(SourcePaused):
                    await each.fetch_figures("Titanic", 1997)

    asking(site, use, ledger=ledger)
    assert site.asked.count(where) == 1
    assert site.asked[-1] == where


@pytest.mark.parametrize(
    "location",
    [
        "/movie/Avatar-(2009)-Special#tab=summary",
        "Avatar-(2009)-Special",
        f"{BASE}/movie/Avatar-%282009%29-Special?x=1",
    ],
)
def test_a_redirect_to_another_movie_page_is_followed_by_asking_there(location: str) -> None:
    right = page("Avatar (2009)")
    site = Site(
        {
            "/movie/Avatar-(2009)": moved(location),
            "/movie/Avatar-(2009)-Special": right,
            "/movie/Avatar-%282009%29-Special": right,
        }
    )
    rows, requests = fetched(site)
    assert rows
    assert requests == 3


@pytest.mark.parametrize(
    "location",
    [
        "/",
        "/search?q=Avatar",
        "/movie/",
        "/movie/a/b",
        "/movies/x",
        "",
        "/movie/../secret",
        "http://[",
        "/movie/" + "x" * 999,
    ],
)
def test_a_redirect_to_anything_else_of_the_site_is_no_page(location: str) -> None:
    site = Site({"/movie/Avatar-(2009)": moved(location, 302)})
    assert fetched(site) == (None, 5)


@pytest.mark.parametrize(
    "location",
    [
        "https://other.example/movie/Avatar",
        "//other.example/movie/Avatar",
        "http://numbers.example/movie/Avatar",
        "https://numbers.example:8443/movie/Avatar",
    ],
)
def test_a_redirect_to_another_site_is_told_and_not_followed(location: str) -> None:
    site = Site({"/movie/Avatar-(2009)": moved(location)})
    error = error_of(site, WrongAddress)
    assert "AYNE_NUMBERS_BASE_URL" in str(error)
    assert error.requests == len(site.asked) == 2


def test_redirects_in_a_circle_end() -> None:
    circle: Pages = {f"/movie/x{n}": moved(f"/movie/x{n + 1}") for n in range(50)}
    site = Site({**circle, "/movie/Avatar-(2009)": moved("/movie/x0")})
    assert fetched(site) == (None, 7)
    site = Site({"/movie/Avatar-(2009)": moved("/movie/Avatar"), "/movie/Avatar": moved("/movie/Avatar-(2009)")})
    assert fetched(site) == (None, 5)


def test_a_page_that_cannot_be_read_is_malformed_only_where_no_other_is_the_film_s() -> None:
    site = Site({"/movie/Avatar-(2009)": "<html><h1>Avatar (2009)", "/movie/Avatar": page("Avatar (2009)")})
    assert fetched(site)[0]
    del site.pages["/movie/Avatar"]
    error = error_of(site, MalformedAnswer)
    assert isinstance(error, MalformedAnswer)
    assert error.body.startswith(b"<html>")
    assert error.requests == 5


@pytest.mark.parametrize("body", ["no page at all", "", "{}"])
def test_what_is_no_page_is_malformed_and_not_asked_for_again(body: str) -> None:
    site = Site({"/movie/Avatar-(2009)": body})
    error_of(site, MalformedAnswer)
    assert site.asked.count("/movie/Avatar-(2009)") == 1


def test_a_page_that_a_fault_keeps_back_is_asked_for_again_at_the_same_pace() -> None:
    site = Site({"/movie/Avatar-(2009)": 502})
    assert error_of(site, SourceUnavailable).requests == len(site.asked) == 1 + transport.ATTEMPTS
    assert min(later - at for at, later in zip(site.at, site.at[1:], strict=False)) >= 4.999


def test_an_odd_status_rejects_the_movie_alone() -> None:
    assert error_of(Site({"/movie/Avatar-(2009)": 400}), RequestRejected).requests == 2


def test_the_control_question_is_a_film_that_was_found_before_or_that_surely_has_a_page() -> None:
    site = Site({"/movie/Titanic": page("Titanic (1997)")})
    asking(site, lambda client: client.probe())
    with pytest.raises(NotFound):
        asking(Site({}), lambda client: client.probe([("Quiet Harbour", 2001)]))


@pytest.mark.parametrize(
    ("left_out", "told"),
    [
        ({"AYNE_NUMBERS_ACKNOWLEDGE_TERMS": ""}, "AYNE_NUMBERS_ACKNOWLEDGE_TERMS"),
        ({"AYNE_NUMBERS_ACKNOWLEDGE_TERMS": "true"}, "AYNE_NUMBERS_ACKNOWLEDGE_TERMS"),
        ({"AYNE_CONTACT": ""}, "AYNE_CONTACT"),
        ({"AYNE_BOX_OFFICE": "wikidata"}, "AYNE_BOX_OFFICE"),
    ],
)
def test_without_acknowledged_terms_a_contact_or_the_wish_it_is_not_asked_and_says_why(
    left_out: dict[str, str], told: str
) -> None:
    settings = load_settings(ON | left_out)
    assert told in (settings.why_the_numbers_are_not_asked or "")
    with pytest.raises(InvalidCredentials, match=told):
        AsyncNumbersClient(settings=settings)
    assert Settings().why_the_numbers_are_not_asked is not None
    assert load_settings(ON).why_the_numbers_are_not_asked is None


# Over HTTP


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with StandIn(120, epoch=NOON.date(), oddities=0) as standin:
        standin.set_now(NOON)
        yield standin


@pytest.fixture
def client(running: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[NumbersClient]:
    monkeypatch.setattr(client_module, "LEAST_DISTANCE", 0.0001)
    running.clear_faults()
    running.clear_log()
    # A robots.txt without the delay that the stand-in's asks for, too.
    running.inject(
        Fault("body", source="the_numbers", match="/robots.txt", status=200, message="User-agent: *\nAllow: /")
    )
    settings = replace(load_settings(ON), the_numbers=ApiSettings(running.numbers_url, 0, 1, 1, retry_wait=0.0))
    with NumbersClient(settings=settings) as blocking:
        yield blocking


def films(standin: StandIn) -> list[tuple[int, str, int]]:
    """TMDB id, title and year of all that have been released."""
    found = []
    for tmdb_id in standin.catalogue.ids(NOON):
        details = standin.catalogue.details(tmdb_id, NOON)
        if details and details["release_date"]:
            found.append((tmdb_id, details["title"], int(details["release_date"][:4])))
    return found


def test_what_is_found_at_the_stand_in_is_what_it_knows_of_that_very_film(
    running: StandIn, client: NumbersClient
) -> None:
    hits = 0
    for tmdb_id, title, year in films(running)[:60]:
        known = running.catalogue.numbers_figures(tmdb_id, NOON)
        rows = client.get_figures(title, year)
        assert known is not None
        if rows is None:
            continue
        hits += 1
        found = {(row["measure"], row["scope"]): row["amount"] for row in rows}
        assert (
            found.items()
            <= {
                ("gross", "worldwide"): Decimal(known.worldwide),
                ("gross", "domestic"): Decimal(known.domestic),
                ("gross", "international"): Decimal(known.worldwide - known.domestic),
                ("opening_weekend", "domestic"): Decimal(known.opening),
                ("production_budget", "unspecified"): Decimal(known.budget),
            }.items()
        )
    assert hits >= 30
    assert {"200", "301", "404"} <= set(running.statuses()["the_numbers"])


def test_the_stand_in_s_wrong_page_under_an_address_is_not_believed(running: StandIn, client: NumbersClient) -> None:
    running.inject(Fault("wrong_movie", source="the_numbers"))
    assert client.get_figures("Avatar", 2009) is None
    assert running.befallen()["wrong_movie"] >= 1


@pytest.mark.parametrize("status", [403, 429])
def test_a_refusal_of_the_stand_in_stops_the_client(running: StandIn, client: NumbersClient, status: int) -> None:
    running.inject(Fault("status", source="the_numbers", match="/movie/", status=status))
    with pytest.raises(SourceBanned):
        client.get_figures("Avatar", 2009)
    assert running.statuses()["the_numbers"] == {"200": 1, str(status): 1}
