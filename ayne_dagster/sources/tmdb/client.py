"""Asking TMDB: discover, details, changes. Which request, and which error an answer stands for; no rows, no storage.

https://developer.themoviedb.org/reference
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TypeVar

import httpx
from pydantic import BaseModel

from ayne_dagster.config import Settings, load_settings
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
from ayne_dagster.sources.limits.account import Account
from ayne_dagster.sources.limits.ledger import RequestLedger
from ayne_dagster.sources.tmdb.changes import ChangedMovies as ChangedMovies
from ayne_dagster.sources.tmdb.changes import ChangesShown, list_changes
from ayne_dagster.sources.tmdb.code_names import CODE_LISTS, names_by_code
from ayne_dagster.sources.tmdb.listing import MAX_WINDOW_ROWS as MAX_WINDOW_ROWS
from ayne_dagster.sources.tmdb.listing import DateWindow as DateWindow
from ayne_dagster.sources.tmdb.listing import ListedPage as ListedPage
from ayne_dagster.sources.tmdb.listing import Listing
from ayne_dagster.sources.tmdb.models import (
    OPTIONAL_PARTS,
    SUB_RESOURCES,
    ChangesPage,
    DiscoverPage,
    ErrorBody,
    MovieDetails,
)
from ayne_dagster.sources.transport import AsyncClosing, build_client
from ayne_dagster.sources.trust import one_of_them
from ayne_dagster.sources.values import quoted

B = TypeVar("B", bound=BaseModel)
_DAY = timedelta(days=1)

LISTED = 2
"""Movies of TMDB's own list that a control question asks for, where nothing is known that it has answered before."""


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
        append: which of `OPTIONAL_PARTS` are asked for with each movie's details.
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
        append: Collection[str] | None = None,
        use_reserve: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        wire: httpx.AsyncBaseTransport | None = None,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or load_settings()
        api = settings.tmdb.but(
            base_url=base_url,
            requests_per_second=requests_per_second,
            burst=burst,
            max_concurrent=max_concurrent,
        )
        if read_token is None and api_key is None:
            read_token, api_key = settings.tmdb_read_token, settings.tmdb_api_key
        if not (read_token or api_key):
            raise InvalidCredentials("No TMDB key: set TMDB_READ_TOKEN (or TMDB_API_KEY).")
        self.account = Account("tmdb", api, ledger, read_token or api_key, now, use_reserve)
        self._appended = appended_names(settings.tmdb_append if append is None else append)
        self._base = api.base_url.rstrip("/")
        self._http = build_client(
            self.account,
            headers={"authorization": f"Bearer {read_token}"} if read_token else None,
            parameters={"api_key": api_key} if api_key and not read_token else None,
            wire=wire,
        )

    async def get_movie_details(self, tmdb_id: int) -> MovieDetails:
        """Details of a movie, with external ids, keywords, release dates and credits, in one request; and with those
        of `OPTIONAL_PARTS` that the client was told to ask for.

        Raises:
            NotFound: TMDB has no such movie (now).
            MalformedAnswer: the body is unusable, or is that of another movie.
            SourceError: any other of its kinds.
        """
        return (await self.fetch_details(tmdb_id))[0]

    async def fetch_details(self, tmdb_id: int) -> tuple[MovieDetails, int]:
        """As `get_movie_details`, with the number of requests spent."""
        response = await self._get(f"/movie/{int(tmdb_id)}", {"append_to_response": self._appended}, MovieDetails)
        requests = response.extensions["requests"]
        try:
            movie = _body(MovieDetails, response)
            if movie.id != tmdb_id:
                raise MalformedAnswer(f"asked for movie {tmdb_id}, got {movie.id}", response.content)
        except MalformedAnswer as error:
            error.requests = requests
            raise
        # Every movie has a title: an id alone is what other APIs answer too. TMDB once left out parts of every movie.
        if _has_title(movie) and not movie.missing_parts:
            self.account.answered(tmdb_id)
        return movie, requests

    async def probe(self, known: Iterable[int] = ()) -> None:
        """One cheap question that shows whether TMDB answers about movies: one that it surely has, as a whole.

        No other question does: a server may list movies, or tell its configuration, and know no movie.

        Args:
            known: movies that it has answered before, the likeliest first; otherwise two that it lists.

        Raises:
            SourceError: there is no usable answer.
        """
        await one_of_them(self._require_whole, tuple(known) or await self._listed_ids())

    async def _listed_ids(self) -> tuple[int, ...]:
        """Two movies that TMDB has, as it says itself: those that most people voted on."""
        parameters = {"sort_by": "vote_count.desc", "include_adult": "false", "page": "1"}
        body = _body(DiscoverPage, await self._get("/discover/movie", parameters, DiscoverPage))
        ids = [item["id"] for item in body.results or [] if isinstance(item, dict) and type(item.get("id")) is int]
        if not ids:
            raise MalformedAnswer("it lists no movie at all")
        return tuple(ids[:LISTED])

    async def _require_whole(self, tmdb_id: int) -> None:
        movie, _ = await self.fetch_details(tmdb_id)
        if not _has_title(movie):
            raise MalformedAnswer(f"movie {tmdb_id} has no title")
        if missing := movie.missing_parts:
            raise MalformedAnswer(f"movie {tmdb_id} came without its {', '.join(missing)}")

    async def discover_movies(
        self, start: date, end: date, *, min_votes: int = 0, max_pages: int | None = None
    ) -> AsyncGenerator[ListedPage, None]:
        """All pages of movies released from `start` to `end`, as they come.

        A window with as many rows as TMDB serves, or more, is halved until each holds fewer than 10,000. Pages repeat
        and miss rows and disagree on how many there are (each is cached on its own), so the order is by release date,
        the largest promise counts, and a window that came out short is listed a second time; the caller keeps each id
        once. What is missing even then is an error of the window. Whatever is promised, a listing ends when its pages
        bring nothing new (`listing.Listing` says what a server that lies can cost).

        Args:
            start: first release date.
            end: last release date.
            min_votes: leave out movies with fewer votes.
            max_pages: at most this many pages of each release year.
        """
        listing = Listing(partial(self._listed_page, min_votes), self.account.settings.max_concurrent, max_pages)
        async with aclosing(listing.pages(DateWindow(start, end))) as pages:
            async for page in pages:
                yield page

    async def _listed_page(self, min_votes: int, window: DateWindow, page: int) -> ListedPage:
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

        At most 50,000 ids can be had: ask for a day at a time; `list_changes_of` tells when that was not all.

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

    async def list_names(self, kind: str) -> dict[str, str]:
        """TMDB's English names of countries or languages, by ISO code, in one request.

        Args:
            kind: one of `CODE_LISTS`, country or language.

        Raises:
            SourceError: they cannot be had.
        """
        listed = CODE_LISTS[kind]
        names = names_by_code(listed, (await self._get(listed.path, {})).content)
        self.account.answered()
        return names

    async def _list_changes(self, start: date, end: date) -> ChangedMovies:
        """All pages of a window."""
        return await list_changes(partial(self._changes_page, start, end), self.account.settings.max_concurrent)

    async def _changes_page(self, start: date, end: date, page: int) -> ChangesShown:
        """One page of the change feed; one without rows, though a page before announced it, is asked for again."""
        parameters = {"start_date": start.isoformat(), "end_date": end.isoformat(), "page": str(page)}
        for _ in range(1 if page == 1 else 2):
            response = await self._get("/movie/changes", parameters, ChangesPage)
            body = _body(ChangesPage, response)
            if body.results:
                break
        ids = [row.id for row in body.results if row.id is not None]
        if body.results and not ids:
            raise MalformedAnswer(f"none of {len(body.results):,} rows of the change feed has an id", response.content)
        self.account.answered()
        return ChangesShown(
            frozenset(ids), len(body.results), body.total_pages, unreadable=len(body.results) - len(ids)
        )

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


def appended_names(optional: Collection[str] = ()) -> str:
    """What is appended to a movie's details, as TMDB wants it.

    Raises:
        KeyError: a name is none of `OPTIONAL_PARTS`.
    """
    return ",".join((*SUB_RESOURCES, *(OPTIONAL_PARTS[name] for name in optional)))


def _has_title(movie: MovieDetails) -> bool:
    return bool(movie.title or movie.original_title)


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
