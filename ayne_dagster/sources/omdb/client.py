"""Asking OMDb for a movie by its IMDb id. No rows, no storage; the quota is the transport's.

https://www.omdbapi.com/ ; only lookups by id: by title OMDb easily answers with another film.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import httpx

from ayne_dagster.config import Settings, load_settings
from ayne_dagster.sources.blocking import BlockingClient
from ayne_dagster.sources.errors import InvalidCredentials, MalformedAnswer, QuotaExhausted, SourceError
from ayne_dagster.sources.limits.account import Account
from ayne_dagster.sources.limits.ledger import RequestLedger
from ayne_dagster.sources.omdb.models import OMDbMovie, read_answer
from ayne_dagster.sources.omdb.normalize import is_same_imdb_id
from ayne_dagster.sources.transport import AsyncClosing, build_client
from ayne_dagster.sources.trust import one_of_them

WELL_KNOWN = ("tt0137523", "tt0111161")
"""Titles that OMDb has surely, should one of them be broken for a while ("Error getting data.")."""


class AsyncOMDBClient(AsyncClosing):
    """OMDb, for asyncio. One pooled client for its life: close it, or use it in `async with`.

    Args:
        api_key: the key; it travels in the query, added just above the wire.
        base_url: address of the API.
        requests_per_second: sustained rate; 0: no pace.
        burst: size of the token bucket.
        max_concurrent: connections.
        daily_quota: requests a UTC day; 0: no limit.
        ledger: shares pace and quota with other processes; in memory by default, for this client alone.
        use_reserve: whether the reserve of the quota may be spent.
        now: the clock; it says which day's quota is charged.
        wire: the transport at the bottom, for tests.
        settings: where everything that is left out comes from; the environment by default.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        requests_per_second: float | None = None,
        burst: int | None = None,
        max_concurrent: int | None = None,
        daily_quota: int | None = None,
        ledger: RequestLedger | None = None,
        use_reserve: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        wire: httpx.AsyncBaseTransport | None = None,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or load_settings()
        api = settings.omdb.but(
            base_url=base_url,
            requests_per_second=requests_per_second,
            burst=burst,
            max_concurrent=max_concurrent,
            daily_quota=daily_quota,
        )
        api_key = api_key or settings.omdb_api_key
        if not api_key:
            raise InvalidCredentials("No OMDb key: set OMDB_API_KEY.")
        self.account = Account("omdb", api, ledger, api_key, now, use_reserve)
        self._http = build_client(self.account, parameters={"apikey": api_key}, wire=wire)

    async def get_movie_by_imdb_id(self, imdb_id: str) -> OMDbMovie:
        """What OMDb says of an IMDb id.

        Raises:
            NotFound: OMDb does not hold it.
            QuotaExhausted: the day's requests are used up, by our count or by OMDb's.
            InvalidCredentials: the key is missing or wrong.
            MalformedAnswer: the body is unusable, or is that of another movie.
            SourceError: any other of its kinds.
        """
        return (await self.fetch_movie(imdb_id))[0]

    async def fetch_movie(self, imdb_id: str) -> tuple[OMDbMovie, int]:
        """As `get_movie_by_imdb_id`, with the number of requests spent."""
        response = await self._http.get(self.account.settings.base_url, params={"i": imdb_id, "plot": "short"})
        requests = response.extensions["requests"]
        try:
            movie = read_answer(response.status_code, response.content)
            if not is_same_imdb_id(imdb_id, movie.imdb_id):
                raise MalformedAnswer(f"asked for {imdb_id}, got {movie.imdb_id}", response.content)
        except SourceError as error:
            error.requests = requests
            if isinstance(error, QuotaExhausted):
                self.account.note_exhausted()
            raise
        if movie.title:
            self.account.answered(imdb_id)
        return movie, requests

    async def probe(self, known: Iterable[str] = ()) -> None:
        """One cheap question that shows whether OMDb works at all: a title that it surely has.

        There is none but for titles: that OMDb does not have one ("Error getting data.", "Incorrect IMDb ID.") is also
        what it answers to everything when it is broken.

        Args:
            known: IMDb ids that it has answered before, the likeliest first; otherwise well-known ones.

        Raises:
            SourceError: there is no usable answer.
        """
        await one_of_them(self._titled, tuple(known) or WELL_KNOWN)

    async def _titled(self, imdb_id: str) -> None:
        movie, _ = await self.fetch_movie(imdb_id)
        if not movie.title:
            raise MalformedAnswer(f"{imdb_id} has no title")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()


class OMDBClient(BlockingClient[AsyncOMDBClient]):
    """OMDb, for code without asyncio: the same arguments as `AsyncOMDBClient`, answers when they are there."""

    _make = AsyncOMDBClient

    def get_movie_by_imdb_id(self, imdb_id: str) -> OMDbMovie:
        """See `AsyncOMDBClient.get_movie_by_imdb_id`."""
        return self._call(self._client.get_movie_by_imdb_id, imdb_id)
