"""Asking The Numbers for a film's page: robots.txt first, then guessed addresses, one at a time. No storage.

https://www.the-numbers.com/ has no API; its terms are for the person who switches this on. A page counts only where its
heading names the film that is meant, since a guessed address may be another film's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote, urljoin, urlsplit

import httpx

from ayne_dagster.config import Settings, load_settings
from ayne_dagster.sources.addresses import shown_address
from ayne_dagster.sources.blocking import BlockingClient
from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    NotFound,
    RequestRejected,
    SourceDown,
    SourceError,
    SourcePaused,
    SourceUnavailable,
    WrongAddress,
)
from ayne_dagster.sources.identity import PRODUCT, user_agent
from ayne_dagster.sources.limits.account import Account
from ayne_dagster.sources.limits.ledger import RequestLedger, steady_now
from ayne_dagster.sources.the_numbers.pages import Figure, Page, read_page
from ayne_dagster.sources.the_numbers.robots import Robots, read_robots
from ayne_dagster.sources.the_numbers.rules import Moved, NumbersRules
from ayne_dagster.sources.the_numbers.slugs import MOVIES, candidate_paths
from ayne_dagster.sources.the_numbers.titles import is_same_title
from ayne_dagster.sources.transport import AsyncClosing, build_client
from ayne_dagster.sources.trust import one_of_them

E = TypeVar("E", bound=SourceError)

Film = tuple[str, int]
"""Title and release year."""

LEAST_DISTANCE = 5.0
"""Seconds between requests, at least: no setting makes them more."""
MOST_DISTANCE = 300.0
"""A robots.txt that asks for more seconds than these between requests is understood as wanting none."""
MOST_PAGES = 6
"""Requests for one film: the guesses, and where they lead."""
YEARS_APART = 1
"""By so much the years of two sources may differ for the same film (festival and release)."""
ROBOTS_HOURS = 24
"""How old what is known of a robots.txt may get (RFC 9309)."""
WELL_KNOWN: tuple[Film, ...] = (("Avatar", 2009), ("Titanic", 1997))
"""Films that surely have a page."""
NAMES = frozenset((PRODUCT, "ayne_dagster", "ayne"))
"""By which a robots.txt may name us."""
_LONGEST_PATH = 300
_ORDINARY_BYTES = 100_000


class AsyncNumbersClient(AsyncClosing):
    """The Numbers, for asyncio. One client for its life: close it, or use it in `async with`.

    Args:
        contact: mail or web address that the site may turn to; it is sent with every request.
        base_url: address of the site.
        requests_per_second: sustained rate; never more than one in `LEAST_DISTANCE`, nor than its robots.txt asks for.
        daily_quota: requests a UTC day; 0: no limit.
        ledger: shares pace and quota with other processes; in memory by default, for this client alone.
        use_reserve: whether the reserve of the quota may be spent.
        now: the clock; it says which day's quota is charged, and when robots.txt is read again.
        wire: the transport at the bottom, for tests.
        settings: where everything that is left out comes from; the environment by default.

    Raises:
        InvalidCredentials: the site may not be asked: its terms are not acknowledged, or there is no contact.
        SettingsError: the contact is none that can be sent.
    """

    def __init__(
        self,
        contact: str | None = None,
        *,
        base_url: str | None = None,
        requests_per_second: float | None = None,
        daily_quota: int | None = None,
        ledger: RequestLedger | None = None,
        use_reserve: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        wire: httpx.AsyncBaseTransport | None = None,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or load_settings()
        settings = replace(settings, contact=contact or settings.contact)
        if settings.why_the_numbers_are_not_asked is not None:
            raise InvalidCredentials(f"The Numbers is not asked: {settings.why_the_numbers_are_not_asked}.")
        api = settings.the_numbers.but(
            base_url=base_url, requests_per_second=requests_per_second, daily_quota=daily_quota
        )
        rate = min(api.requests_per_second or 1 / LEAST_DISTANCE, 1 / LEAST_DISTANCE)
        api = api.but(requests_per_second=rate, burst=1, max_concurrent=1)
        self.account = Account("the_numbers", api, ledger or RequestLedger.in_memory(), None, now, use_reserve)
        headers = {"accept": "text/html", "user-agent": user_agent(settings.contact or "")}
        self._http = build_client(self.account, request_headers=headers, rules=NumbersRules(), wire=wire)
        self._base = api.base_url.rstrip("/")
        self._now = now
        self._asking = asyncio.Lock()
        self._robots = Robots()
        self._robots_read_at: datetime | None = None
        self._refusal: str | None = None

    async def fetch_figures(self, title: str, year: int | None) -> tuple[list[Figure] | None, int]:
        """The figures that a film's page states, and the number of requests spent.

        Args:
            title: the film's title.
            year: of its release; without it no page can be told from that of another film of the same title, and none
                is asked for.

        Returns:
            Rows with source, measure, scope, currency, source_ref, amount, as_of, preferred, derived and suspect; none
            where the page states nothing. None instead of a list: no page was found that is surely the film's.

        Raises:
            SourceBanned: the site refuses (HTTP 403, 429): nothing more may be asked for hours.
            SourceDown: its robots.txt forbids to ask, or cannot be read.
            MalformedAnswer: a page that may be the film's cannot be used.
            SourceError: any other of its kinds.
        """
        if year is None:
            return None, 0
        search = _Search(candidate_paths(title, year))
        if not search.is_open:
            return None, 0
        try:
            async with self._asking:
                search.requests += await self._heed_robots()
            while (path := search.next()) is not None:
                if not self._robots.allows(urlsplit(self._base).path + path):
                    continue
                page = await self._page(path, search)
                if page is not None and _is_of(page, title, year):
                    self.account.answered((title, year))
                    return page.figures(shown_address(self._base + path)), search.requests
            if search.unreadable is not None:
                raise search.unreadable
        except SourceError as error:
            error.requests += search.requests
            raise
        return None, search.requests

    async def get_figures(self, title: str, year: int | None) -> list[Figure] | None:
        """As `fetch_figures`, without the number of requests."""
        return (await self.fetch_figures(title, year))[0]

    async def probe(self, known: Iterable[Film] = ()) -> None:
        """One question that shows whether The Numbers works at all: a film that surely has a page.

        Args:
            known: films whose pages were found before, the likeliest first; otherwise well-known ones.

        Raises:
            SourceError: there is no usable answer.
        """
        await one_of_them(self._with_page, tuple(known) or WELL_KNOWN)

    async def _with_page(self, film: Film) -> None:
        figures, requests = await self.fetch_figures(*film)
        if figures is None:
            error = NotFound(f"the_numbers: {film[0]} ({film[1]}) has no page")
            error.requests = requests
            raise error

    async def _page(self, path: str, search: _Search) -> Page | None:
        """The page at a path, as far as there is one; what it costs, and where else to look, is noted in the search."""
        try:
            response = await self._http.get(self._base + path)
        except Moved as moved:
            search.requests += moved.requests
            search.add(self._followed(path, moved))
            return None
        search.requests += response.extensions["requests"]
        status = response.status_code
        if status in (404, 410):
            return None
        if status != 200:
            raise _free(RequestRejected(f"the_numbers: {path} is answered with HTTP {status}"))
        try:
            page = await _read(response.content)
        except MalformedAnswer as error:
            search.unreadable = _free(error)
            return None
        self.account.answered()
        return page

    def _followed(self, path: str, moved: Moved) -> str | None:
        """The path that a redirect leads to, if it is that of a movie page of the same site; None: of no page.

        Raises:
            WrongAddress: it leads to another host.
        """
        here = urlsplit(self._base)
        try:
            target = urlsplit(urljoin(self._base + path, moved.location))
            origin = (target.scheme, target.hostname, target.port)
        except ValueError:
            return None
        if origin != (here.scheme, here.hostname, here.port):
            where = shown_address(f"{target.scheme}://{target.hostname or ''}")
            raise _free(
                WrongAddress(
                    f"the_numbers: {shown_address(self._base)} sends requests elsewhere (HTTP {moved.status}, to "
                    f"{where}): set AYNE_NUMBERS_BASE_URL to the address that answers itself."
                )
            )
        found = quote(target.path, safe="/%-()_.~!$&'*+,;=:@")
        prefix = here.path + MOVIES
        slug = found.removeprefix(prefix)
        is_movie = found.startswith(prefix) and slug and "/" not in slug and len(found) <= _LONGEST_PATH
        return found[len(here.path) :] if is_movie else None

    async def _heed_robots(self) -> int:
        """Know what robots.txt lets us do; the number of requests that took.

        Raises:
            SourceDown: nothing.
            SourceError: it could not be asked for.
        """
        now = self._now()
        requests = 0
        if self._robots_read_at is None or abs((now - self._robots_read_at).total_seconds()) > ROBOTS_HOURS * 3600:
            self._robots, self._refusal, requests = await self._read_robots()
            self._robots_read_at = now
            if self._refusal is None:
                self._slow_down(self._robots.crawl_delay)
        if self._refusal is not None:
            refused = SourceDown(self._refusal)
            refused.requests = requests
            raise refused
        return requests

    async def _read_robots(self) -> tuple[Robots, str | None, int]:
        """What robots.txt says, or why that forbids everything, and the number of requests spent.

        None at all (HTTP 404) forbids nothing; one that cannot be read forbids everything (RFC 9309, 2.3.1).
        """
        try:
            response = await self._http.get(urljoin(self._base, "/robots.txt"))
            requests: int = response.extensions["requests"]
        except SourcePaused:
            raise
        except (SourceUnavailable, MalformedAnswer, Moved) as error:
            return Robots(), _unreadable(str(error)), error.requests
        if response.status_code in (404, 410):
            return Robots(), None, requests
        if response.status_code != 200:
            return Robots(), _unreadable(f"HTTP {response.status_code}"), requests
        try:
            robots = read_robots(response.content, NAMES)
        except MalformedAnswer as error:
            return Robots(), _unreadable(error.reason), requests
        return robots, self._why_forbidden(robots), requests

    def _why_forbidden(self, robots: Robots) -> str | None:
        if not robots.allows(urlsplit(self._base).path + MOVIES):
            return (
                "the_numbers: its robots.txt forbids programs to ask for movie pages: none is asked for; take "
                "the_numbers out of AYNE_BOX_OFFICE."
            )
        if robots.crawl_delay > MOST_DISTANCE:
            return f"the_numbers: its robots.txt asks for {robots.crawl_delay:g} s between requests: none is sent."
        return None

    def _slow_down(self, crawl_delay: float) -> None:
        """Keep so many seconds between requests from now on, if it is more than we keep anyway."""
        distance = 1 / self.account.settings.requests_per_second
        if crawl_delay <= distance:
            return
        # The place of the next request was reckoned by the shorter distance from the one for robots.txt.
        self.account.ledger.reserve(self.account.name, 1 / (crawl_delay - distance), 1, steady_now())
        self.account.settings = replace(self.account.settings, requests_per_second=1 / crawl_delay)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()


class _Search:
    """The search for one film's page: where it may be, where it was looked for, what that has cost."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._waiting = deque(paths)
        self._seen = set[str]()
        self.requests = 0
        self.unreadable: MalformedAnswer | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is anywhere to look."""
        return bool(self._waiting)

    def add(self, path: str | None) -> None:
        """Look there next, unless it is nowhere, or was looked at."""
        if path is not None:
            self._waiting.appendleft(path)

    def next(self) -> str | None:
        """The next path, each once."""
        while self._waiting and len(self._seen) < MOST_PAGES:
            path = self._waiting.popleft()
            if path not in self._seen:
                self._seen.add(path)
                return path
        return None


class NumbersClient(BlockingClient[AsyncNumbersClient]):
    """The Numbers, for code without asyncio: the arguments of `AsyncNumbersClient`, answers when they are there."""

    _make = AsyncNumbersClient

    def get_figures(self, title: str, year: int | None) -> list[Figure] | None:
        """See `AsyncNumbersClient.get_figures`."""
        return self._call(self._client.get_figures, title, year)


async def _read(body: bytes) -> Page:
    """Read a page; one that is unusually large in a thread, since it may take a second or two."""
    return read_page(body) if len(body) <= _ORDINARY_BYTES else await asyncio.to_thread(read_page, body)


def _is_of(page: Page, title: str, year: int) -> bool:
    return page.year is not None and abs(page.year - year) <= YEARS_APART and is_same_title(page.title, title)


def _unreadable(why: str) -> str:
    return (
        f"the_numbers: its robots.txt cannot be read ({why.rstrip('.')}), which counts as forbidding everything: no "
        "page is asked for in this run; the next one looks again."
    )


def _free(error: E) -> E:
    """An error whose requests are counted in the search."""
    error.requests = 0
    return error
