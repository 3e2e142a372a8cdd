"""Asking TMDB: discover, details, changes. Which request, and which error an answer stands for; no rows, no storage.

https://developer.themoviedb.org/reference
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel

from ayne_dagster.config import Settings, load_settings
from ayne_dagster.sources.account import Account
from ayne_dagster.sources.blocking import BlockingClient
from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    NotFound,
    QuotaExhausted,
    RequestRejected,
    SourceError,
    SourcePaused,
)
from ayne_dagster.sources.json_body import validate_json
from ayne_dagster.sources.ledger import RequestLedger
from ayne_dagster.sources.tmdb.models import (
    SUB_RESOURCES,
    ChangesPage,
    Configuration,
    DiscoverPage,
    ErrorBody,
    MovieDetails,
)
from ayne_dagster.sources.transport import AsyncClosing, build_client
from ayne_dagster.sources.trust import one_of_them
from ayne_dagster.sources.values import quoted

P = TypeVar("P")
B = TypeVar("B", bound=BaseModel)
_DAY = timedelta(days=1)

APPENDED = ",".join(SUB_RESOURCES)
PAGE_ROWS = 20
CHANGES_PAGE_ROWS = 100
LAST_PAGE = 500
"""TMDB serves no page beyond it, whatever total_pages says."""
MAX_WINDOW_ROWS = PAGE_ROWS * LAST_PAGE
WELL_KNOWN = 550
"""A movie that TMDB has surely; a source that stands in for it may not."""


@dataclass(frozen=True, slots=True)
class DateWindow:
    """Release dates from `start` to `end`, both included."""

    start: date
    end: date

    def halves(self) -> tuple[DateWindow, DateWindow]:
        """The window in two; it must be longer than a day."""
        middle = self.start + (self.end - self.start) // 2
        return DateWindow(self.start, middle), DateWindow(middle + timedelta(days=1), self.end)

    @property
    def is_one_day(self) -> bool:
        """Whether it cannot be split."""
        return self.start >= self.end

    def __str__(self) -> str:
        return f"{self.start} to {self.end}"


@dataclass(frozen=True, slots=True)
class ListedPage:
    """One discover page of a window, or why there is none."""

    window: DateWindow
    page: int
    """Its number; 0 for an error of the window as a whole."""
    items: list[Any]
    total_results: int = 0
    total_pages: int = 1
    error: SourceError | None = None


@dataclass(frozen=True, slots=True)
class ChangedMovies:
    """What the change feed names."""

    ids: frozenset[int]
    complete: bool
    """False where the feed has more than it showed: pages beyond the last that is served, or pages kept back."""


@dataclass(frozen=True, slots=True)
class _ChangesPage:
    """One page of the change feed: the ids in it, its rows (those without an id too), and how many pages there are."""

    ids: frozenset[int]
    rows: int
    last: int


@dataclass
class _Tally:
    """What the pages of a window have shown and promised. Any page may promise too little; none promises too much."""

    seen: set[int] = field(default_factory=set)
    promised: int = 0
    pages: int = 1
    heard: bool = False
    """Whether any page could be used."""

    def note(self, page: ListedPage) -> None:
        """Count a page. Behind a full page there may always be another, whatever it says."""
        if page.error is not None:
            return
        self.heard = True
        self.seen |= _ids(page)
        self.promised = max(self.promised, page.total_results)
        is_full = len(page.items) >= PAGE_ROWS
        self.pages = max(self.pages, page.total_pages, page.page + is_full)

    @property
    def missing(self) -> int:
        """Number of movies promised, as far as TMDB serves them, and not shown."""
        return max(0, min(self.promised, MAX_WINDOW_ROWS) - len(self.seen))


class AsyncTMDBClient(AsyncClosing):
    """TMDB, for asyncio. One pooled client for its life: close it, or use it in `async with`.

    Args:
        read_token: API Read Access Token (bearer; preferred, since it stays out of URLs).
        api_key: v3 key, used where there is no token.
        base_url: address of the API.
        requests_per_second: sustained rate; 0: no pace.
        burst: size of the token bucket.
        max_concurrent: connections.
        ledger: shares pace and quota with other processes; in memory by default, for this client alone.
        use_reserve: whether the reserve of the quota may be spent.
        now: the clock.
        wire: the transport at the bottom, for tests.
        settings: where everything that is left out comes from; the environment by default.

    Example:
        >>> async with AsyncTMDBClient(requests_per_second=5.0, max_concurrent=15) as tmdb:  # doctest: +SKIP
        ...     movie = await tmdb.get_movie_details(550)
    """

    def __init__(
        self,
        read_token: str | None = None,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        requests_per_second: float | None = None,
        burst: int | None = None,
        max_concurrent: int | None = None,
        ledger: RequestLedger | None = None,
        use_reserve: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        wire: httpx.AsyncBaseTransport | None = None,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or load_settings()
        given = {
            "base_url": base_url,
            "requests_per_second": requests_per_second,
            "burst": burst,
            "max_concurrent": max_concurrent,
        }
        api = replace(settings.tmdb, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
        if read_token is None and api_key is None:
            read_token, api_key = settings.tmdb_read_token, settings.tmdb_api_key
        if not (read_token or api_key):
            raise InvalidCredentials("No TMDB key: set TMDB_READ_TOKEN (or TMDB_API_KEY).")
        self.account = Account(
            "tmdb", api, ledger or RequestLedger.in_memory(), read_token or api_key, now, use_reserve
        )
        self._base = api.base_url.rstrip("/")
        self._http = build_client(
            self.account,
            headers={"authorization": f"Bearer {read_token}"} if read_token else None,
            parameters={"api_key": api_key} if api_key and not read_token else None,
            wire=wire,
        )

    async def get_movie_details(self, tmdb_id: int) -> MovieDetails:
        """Details of a movie, with external ids, keywords, release dates and credits, in one request.

        Raises:
            NotFound: TMDB has no such movie (now).
            MalformedAnswer: the body is unusable, or is that of another movie.
            SourceError: any other of its kinds.
        """
        return (await self.fetch_details(tmdb_id))[0]

    async def fetch_details(self, tmdb_id: int) -> tuple[MovieDetails, int]:
        """As `get_movie_details`, with the number of requests spent."""
        response = await self._get(f"/movie/{int(tmdb_id)}", {"append_to_response": APPENDED}, MovieDetails)
        requests = response.extensions["requests"]
        try:
            movie = _body(MovieDetails, response)
            if movie.id != tmdb_id:
                raise MalformedAnswer(f"asked for movie {tmdb_id}, got {movie.id}", response.content)
        except MalformedAnswer as error:
            error.requests = requests
            raise
        if movie.title or movie.original_title:  # every movie has one: an id alone is what other APIs answer too
            self.account.answered(tmdb_id)
        return movie, requests

    async def probe(self, known: Iterable[int] = ()) -> None:
        """One cheap question that shows whether TMDB works at all: its configuration, or what it answered before.

        Args:
            known: movies that it has answered before, the likeliest first; one of them must be there then.

        Raises:
            SourceError: there is no usable answer.
        """
        if known := tuple(known):
            await one_of_them(self._titled, known)
            return
        response = await self._get("/configuration", {})
        validate_json(Configuration, response.content)
        with suppress(NotFound):
            await self._titled(WELL_KNOWN)

    async def _titled(self, tmdb_id: int) -> None:
        movie, _ = await self.fetch_details(tmdb_id)
        if not (movie.title or movie.original_title):
            raise MalformedAnswer(f"movie {tmdb_id} has no title")

    async def discover_movies(
        self, start: date, end: date, *, min_votes: int = 0, max_pages: int | None = None
    ) -> AsyncGenerator[ListedPage, None]:
        """All pages of movies released from `start` to `end`, as they come.

        A window with more rows than TMDB serves is halved until each holds at most 10,000. Pages repeat and miss rows
        and disagree on how many there are (each is cached on its own), so the order is by release date, the largest
        promise counts, and a window that came out short is listed a second time; the caller keeps each id once. What
        is missing even then is an error of the window.

        Args:
            start: first release date.
            end: last release date.
            min_votes: leave out movies with fewer votes.
            max_pages: at most this many pages of each release year.
        """
        windows = [DateWindow(start, end)] if max_pages is None else list(_years(start, end))
        while windows:
            window = windows.pop()  # the newest first
            first = await self._listed_page(window, min_votes, 1)
            if first.error is not None:
                yield first
                if max_pages == 1:
                    continue
                first = await self._listed_page(window, min_votes, 2)  # every page tells how many there are
            elif not first.items and max_pages is None:  # an empty listing is not believed at once
                first = await self._listed_page(window, min_votes, 1)
            can_be_split = not window.is_one_day and max_pages is None
            if first.total_results > MAX_WINDOW_ROWS and can_be_split:
                windows.extend(window.halves())
                continue
            tally = _Tally()
            async for page in self._window_pages(first, tally, min_votes, max_pages):
                yield page
            if tally.promised > MAX_WINDOW_ROWS and can_be_split:  # the first page had promised less
                windows.extend(window.halves())

    async def _window_pages(
        self, first: ListedPage, tally: _Tally, min_votes: int, max_pages: int | None
    ) -> AsyncIterator[ListedPage]:
        """The pages of a window, twice where they came out short."""
        yield first
        tally.note(first)
        for start in (2, 1):
            tally.promised = tally.promised if start == 2 else 0
            async for page in self._pages_from(start, first.window, tally, min_votes, max_pages or LAST_PAGE):
                yield page
            if max_pages is not None or (tally.heard and not tally.missing):
                return
        if not tally.heard:
            return
        reason = f"TMDB promised {tally.promised:,} movies and left out {tally.missing:,}, listed twice"
        yield ListedPage(first.window, 0, [], error=MalformedAnswer(f"{reason}; a later discovery may find them"))

    async def _pages_from(
        self, number: int, window: DateWindow, tally: _Tally, min_votes: int, max_pages: int
    ) -> AsyncIterator[ListedPage]:
        """The pages from a number on, as far as they turn out to go."""
        while number <= (last := min(tally.pages, max_pages, LAST_PAGE)):
            ask = partial(self._listed_page, window, min_votes)
            async for page in self._in_order(range(number, last + 1), ask):
                yield page
                tally.note(page)
            number = last + 1

    async def _in_order(self, numbers: Iterable[int], ask: Callable[[int], Awaitable[P]]) -> AsyncGenerator[P, None]:
        """Pages in order, a few asked for at a time; nothing more is asked for when the iterator is closed."""
        ahead = self.account.settings.max_concurrent
        tasks: list[asyncio.Future[P]] = []
        waiting = iter(numbers)
        try:
            while True:
                for number in waiting:
                    tasks.append(asyncio.ensure_future(ask(number)))
                    if len(tasks) >= ahead:
                        break
                if not tasks:
                    return
                yield await tasks.pop(0)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listed_page(self, window: DateWindow, min_votes: int, page: int) -> ListedPage:
        """One page; a body or page that fails is an error beside the others, not instead of them."""
        parameters = {
            "primary_release_date.gte": window.start.isoformat(),
            "primary_release_date.lte": window.end.isoformat(),
            "sort_by": "primary_release_date.desc",
            "include_adult": "false",
            "include_video": "false",
            "language": "en-US",
            "page": str(page),
            **({"vote_count.gte": str(min_votes)} if min_votes else {}),
        }
        try:
            response = await self._get("/discover/movie", parameters, DiscoverPage)
            body = _body(DiscoverPage, response)
        except (InvalidCredentials, QuotaExhausted, SourcePaused):  # they concern all pages alike
            raise
        except SourceError as error:
            return ListedPage(window, page, [], error=error)
        if not body.results or any(isinstance(item, dict) and isinstance(item.get("id"), int) for item in body.results):
            self.account.answered()
        return ListedPage(window, page, list(body.results or []), body.total_results or 0, body.total_pages or 1)

    async def get_changed_movie_ids(self, start: date, end: date) -> set[int]:
        """Ids of the movies that changed from `start` to `end` (UTC days, both included, at most 14 days).

        At most 50,000 ids can be had: ask for a day at a time; `list_changes_of` tells when there are more.

        https://developer.themoviedb.org/reference/changes-movie-list
        """
        if not timedelta(0) <= end - start <= timedelta(days=14):
            raise ValueError(f"The change list spans at most 14 days, not {start} to {end}.")
        return set((await self._list_changes(start, end)).ids)

    async def list_changes_of(self, day: date) -> ChangedMovies:
        """The movies that changed on a UTC day.

        Raises:
            SourceError: a page could not be had.
        """
        changes = await self._list_changes(day, day)
        if changes.ids:
            return changes
        # Thousands of movies change every day, and whether TMDB's end date is inclusive is not documented: a day that
        # lists nothing is asked for once more with the day after, less what that day has of its own.
        both, after = await self._list_changes(day, day + _DAY), await self._list_changes(day + _DAY, day + _DAY)
        return ChangedMovies(both.ids - after.ids, both.complete and after.complete)

    async def _list_changes(self, start: date, end: date) -> ChangedMovies:
        """All pages of a window, a few asked for at a time."""
        first = await self._changes_page(start, end, 1)
        ids, last, read, complete = first.ids, first.last, 1, True
        while read < min(last, LAST_PAGE):
            numbers = range(read + 1, min(last, LAST_PAGE) + 1)
            async with aclosing(self._in_order(numbers, partial(self._changes_page, start, end))) as pages:
                async for page in pages:
                    read, last = read + 1, max(last, page.last)
                    if page.ids and page.ids == first.ids:
                        # The feed ignores `page`, as it did in 2022: then all rows stand on each, or the rest is lost.
                        return ChangedMovies(ids, complete=first.rows > CHANGES_PAGE_ROWS)
                    complete = complete and page.rows > 0
                    ids |= page.ids
        return ChangedMovies(ids, complete and last <= LAST_PAGE)

    async def _changes_page(self, start: date, end: date, page: int) -> _ChangesPage:
        """One page of the change feed; one without rows, though a page before announced it, is asked for again."""
        parameters = {"start_date": start.isoformat(), "end_date": end.isoformat(), "page": str(page)}
        for _ in range(1 if page == 1 else 2):
            response = await self._get("/movie/changes", parameters, ChangesPage)
            body = _body(ChangesPage, response)
            if body.results:
                break
        ids = frozenset(row.id for row in body.results if row.id is not None)
        self.account.answered()
        return _ChangesPage(ids, len(body.results), body.total_pages)

    async def _get(self, path: str, parameters: dict[str, str], model: type[BaseModel] | None = None) -> httpx.Response:
        """One answered request; `model` is what its body should be.

        Raises:
            SourceError: of the kind that the status stands for.
        """
        response = await self._http.get(self._base + path, params=parameters, model=model)
        if response.status_code == 200:
            return response
        error = _error_of(response)
        error.requests = response.extensions.get("requests", 1)
        raise error

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()


class TMDBClient(BlockingClient[AsyncTMDBClient]):
    """TMDB, for code without asyncio: the same arguments as `AsyncTMDBClient`, answers when they are there.

    Example:
        >>> with TMDBClient() as tmdb:  # doctest: +SKIP
        ...     tmdb.get_movie_details(550).title
    """

    _make = AsyncTMDBClient

    def get_movie_details(self, tmdb_id: int) -> MovieDetails:
        """See `AsyncTMDBClient.get_movie_details`."""
        return self._call(self._client.get_movie_details, tmdb_id)

    def discover_movies(
        self, start: date, end: date, *, min_votes: int = 0, max_pages: int | None = None
    ) -> list[ListedPage]:
        """See `AsyncTMDBClient.discover_movies`; all pages at once."""

        async def listed() -> list[ListedPage]:
            pages = self._client.discover_movies(start, end, min_votes=min_votes, max_pages=max_pages)
            return [page async for page in pages]

        return self._call(listed)

    def get_changed_movie_ids(self, start: date, end: date) -> set[int]:
        """See `AsyncTMDBClient.get_changed_movie_ids`."""
        return self._call(self._client.get_changed_movie_ids, start, end)


def _years(start: date, end: date) -> Iterator[DateWindow]:
    """The window cut at the turns of the years, oldest first."""
    for year in range(start.year, end.year + 1):
        yield DateWindow(max(start, date(year, 1, 1)), min(end, date(year, 12, 31)))


def _ids(page: ListedPage) -> set[int]:
    return {item["id"] for item in page.items if isinstance(item, dict) and isinstance(item.get("id"), int)}


def _body(model: type[B], response: httpx.Response) -> B:
    """The body as a model; it was read already where it needed no repair.

    Raises:
        MalformedAnswer: it is none.
    """
    value = response.extensions.get("value")
    return value if isinstance(value, model) else validate_json(model, response.content)


def _error_of(response: httpx.Response) -> SourceError:
    """What a refusal means (https://developer.themoviedb.org/docs/errors)."""
    try:
        body = validate_json(ErrorBody, response.content)
        message = body.status_message or "; ".join(body.errors or []) or "no reason given"
        code = body.status_code
    except MalformedAnswer:
        message, code = "no reason given", None
    said = f"TMDB answered {response.status_code}: {quoted(message, 200)}"
    if response.status_code == 401 or code in (3, 7, 10, 45):
        return InvalidCredentials(f"{said} Check TMDB_READ_TOKEN (or TMDB_API_KEY); nothing more was asked.")
    if response.status_code == 404 or code in (6, 34):
        return NotFound(said)
    return RequestRejected(said)
