"""Asking Wikidata what films have grossed and cost: many at a time, by item, IMDb id or TMDB id. No storage.

https://www.wikidata.org/wiki/Wikidata:SPARQL_query_service ; content is CC0. There is no key: who asks is said in the
User-Agent (https://foundation.wikimedia.org/wiki/Policy:Wikimedia_Foundation_User-Agent_Policy).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import httpx

from ayne_dagster.config import Settings, load_settings
from ayne_dagster.sources.blocking import BlockingClient
from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    SourceError,
    SourcePaused,
    SourceUnavailable,
    TooMuchAsked,
)
from ayne_dagster.sources.identity import user_agent
from ayne_dagster.sources.limits.account import Account
from ayne_dagster.sources.limits.ledger import LedgerError, RequestLedger
from ayne_dagster.sources.network import TIMEOUT
from ayne_dagster.sources.transport import AsyncClosing, build_client
from ayne_dagster.sources.wikidata.models import Item, by_key, read_items
from ayne_dagster.sources.wikidata.normalize import Figure, figures_of
from ayne_dagster.sources.wikidata.query import Film, keys_of, question
from ayne_dagster.sources.wikidata.rules import WikidataRules

__all__ = ["AsyncWikidataClient", "Film", "Statements", "WikidataClient"]

WELL_KNOWN = ("Q24871", "Q44578")
"""Avatar and Titanic: items that surely have figures, should one of them be spoilt for a while."""
MOST_REFUSED = 20
"""Refusals in a row after which a client asks nothing more: the service bans for a day whoever goes on to 200."""
MOST_LONE_FAILURES = 2
"""Films that run into the time limit alone, with none that does not: then it is not the films."""
GROWS_AFTER = 20
"""Answers in a row after which a batch that had to be made smaller may be twice as large again."""


@dataclass(frozen=True, slots=True)
class Statements:
    """What Wikidata says of a film's money."""

    found: bool
    """Whether an item was found; it may state nothing."""
    wikidata_id: str | None
    """That item, which is another than was asked for where items have been merged."""
    figures: tuple[Figure, ...]
    """Rows with source, measure, scope, currency, source_ref, amount, as_of, preferred, suspect; in a fixed order."""
    failure: SourceError | None = None
    """Why nothing is known of this film, while others of the same call have answers: a body that cannot be read, a
    query that times out, or what ended the call half-way. Its requests are in those of the call."""


class AsyncWikidataClient(AsyncClosing):
    """Wikidata, for asyncio. One pooled client for its life: close it, or use it in `async with`.

    Args:
        contact: mail or web address that the operators may turn to; it is sent with every request.
        base_url: address of the SPARQL endpoint.
        requests_per_second: sustained rate; 0: no pace.
        burst: size of the token bucket.
        max_concurrent: connections; the operators want one.
        daily_quota: requests a UTC day; 0: no limit.
        ledger: shares pace and quota with other processes; in memory by default, for this client alone.
        use_reserve: whether the reserve of the quota may be spent.
        now: the clock; it says which day's quota is charged, and what is still to come.
        wire: the transport at the bottom, for tests.
        settings: where everything that is left out comes from; the environment by default.

    Raises:
        InvalidCredentials: there is no contact.
        SettingsError: the contact is none that can be sent.
    """

    BATCH = 200
    """Films of one call of `fetch_figures`, at most, and of one request."""

    def __init__(
        self,
        contact: str | None = None,
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
        api = settings.wikidata.but(
            base_url=base_url,
            requests_per_second=requests_per_second,
            burst=burst,
            max_concurrent=max_concurrent,
            daily_quota=daily_quota,
        )
        settings = replace(settings, contact=contact or settings.contact)
        if settings.wikidata_off_because is not None:
            raise InvalidCredentials(settings.wikidata_off_because)
        self.account = Account("wikidata", api, ledger, None, now, use_reserve)
        headers = {"accept": "application/sparql-results+json", "user-agent": user_agent(settings.contact or "")}
        self._http = build_client(self.account, request_headers=headers, rules=WikidataRules(), wire=wire)
        # Of a step: an answer that takes long to find says nothing until it is found.
        self._http.timeout = httpx.Timeout(api.answer_deadline, connect=TIMEOUT.connect)
        self._now = now
        self._size = self.BATCH
        self._good = 0
        self._refusals_before = 0

    async def fetch_figures(self, films: Sequence[Film]) -> tuple[dict[int, Statements], int]:
        """What Wikidata states of some films' money, and the number of requests spent.

        One request, as a rule: a film is asked for by all of its keys at once, and is known by the best that leads to
        an item with figures, or else to an item. Where that is too much at once it is asked for in halves; where a
        part fails, the others have their answers all the same.

        Args:
            films: at most `BATCH`.

        Returns:
            By TMDB id, one of each film, whatever became of it.

        Raises:
            SourceError: nothing was answered at all; it concerns all films alike.
        """
        if len(films) > self.BATCH:
            raise ValueError(f"at most {self.BATCH} films at a time, not {len(films)}")
        call = _Call(self, films)
        return await call.run(self._size)

    async def get_figures(self, films: Iterable[Film]) -> dict[int, Statements]:
        """As `fetch_figures`, for any number of films and without the number of requests."""
        films, answers = list(films), dict[int, Statements]()
        for start in range(0, len(films), self.BATCH):
            found, _ = await self.fetch_figures(films[start : start + self.BATCH])
            answers |= found
        return answers

    async def ask(self, films: Sequence[Film]) -> tuple[dict[int, Statements], int]:
        """As `fetch_figures`, in one request and no other.

        Raises:
            TooMuchAsked: fewer films may have an answer.
            MalformedAnswer: the body cannot be used.
            SourceError: any other of its kinds.
        """
        keys = {key for film in films for key in keys_of(film)}
        items, requests = await self._items(keys) if keys else ([], 0)
        led_to, today = by_key(items), self._now().astimezone(UTC).date()
        figures = {item.wikidata_id: figures_of(item, today) for item in items}
        telling = next((number for number, stated in figures.items() if stated), None)
        if items:
            self.account.answered(telling)
        return {film.tmdb_id: _statements(film, led_to, figures) for film in films}, requests

    async def probe(self, known: Iterable[str] = ()) -> None:
        """One cheap question that shows whether Wikidata works at all: items that surely have figures.

        None but for figures: an engine without data has an answer to every question, and it is that there is nothing.

        Args:
            known: items whose figures it has told before; otherwise well-known ones.

        Raises:
            SourceError: there is no usable answer.
        """
        films = [Film(-1 - n, wikidata_id=number) for n, number in enumerate(tuple(known) or WELL_KNOWN)]
        answers, requests = await self.ask(films)
        if not any(statements.figures for statements in answers.values()):
            asked = ", ".join(str(film.wikidata_id) for film in films)
            error = MalformedAnswer(f"Wikidata states nothing of {asked}, which have figures")
            error.requests = requests
            raise error

    async def _items(self, keys: set[str]) -> tuple[list[Item], int]:
        if self.account.refusals - self._refusals_before >= MOST_REFUSED:
            raise SourcePaused(f"wikidata: it has refused {MOST_REFUSED} requests in a row: try again later")
        response = await self._http.post_form(self.account.settings.base_url, {"query": question(keys)})
        requests: int = response.extensions["requests"]
        try:
            if response.status_code != 200:
                raise SourceUnavailable(f"wikidata: HTTP {response.status_code}")
            items = read_items(response.content, keys)
        except SourceError as error:
            error.requests = requests
            raise
        self._refusals_before = self.account.refusals
        return items, requests

    def note_size(self, usable: int | None) -> None:
        """Learn how many films may be asked for at once.

        Args:
            usable: the most that had an answer where more had none; None: all that were asked for had one.
        """
        if usable is not None:
            self._size, self._good = max(1, usable), 0
        elif self._size < self.BATCH:
            self._good += 1
            if self._good >= GROWS_AFTER:
                self._size, self._good = min(self.BATCH, 2 * self._size), 0

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()


class _Call:
    """One `fetch_figures`: its parts, what they brought, what they cost."""

    def __init__(self, client: AsyncWikidataClient, films: Sequence[Film]) -> None:
        self._client = client
        self._films = films
        self._answers: dict[int, Statements] = {}
        self._requests = 0
        self._most_answered = 0
        self._lone_failures = 0

    async def run(self, size: int) -> tuple[dict[int, Statements], int]:
        waiting = deque(self._films[start : start + size] for start in range(0, len(self._films), size))
        were_split = False
        while waiting:
            part = waiting.popleft()
            try:
                await self._ask(part)
            except TooMuchAsked as error:
                self._requests += error.requests
                if len(part) > 1:
                    were_split = True
                    middle = (len(part) + 1) // 2
                    waiting.extendleft((part[middle:], part[:middle]))
                else:
                    self._fail(part, error)
                    self._lone_failures += 1
            except (SourceError, LedgerError) as error:
                self._end(error)
                break
            if self._lone_failures >= MOST_LONE_FAILURES and not self._most_answered:
                hopeless = SourceUnavailable("wikidata: a query for a single film runs into its time limit, too")
                hopeless.requests = 0
                self._end(hopeless)
        if self._most_answered:
            self._client.note_size(self._most_answered if were_split else None)
        return self._answers, self._requests

    async def _ask(self, part: Sequence[Film]) -> None:
        """Ask for some films in one request.

        Raises:
            SourceError: it concerns more than them.
        """
        try:
            answers, requests = await self._client.ask(part)
        except MalformedAnswer as error:
            self._requests += error.requests
            self._fail(part, error)
        else:
            self._requests += requests
            self._answers |= answers
            self._most_answered = max(self._most_answered, len(part))

    def _fail(self, part: Sequence[Film], error: SourceError) -> None:
        self._answers |= {film.tmdb_id: Statements(False, None, (), error) for film in part}

    def _end(self, error: SourceError | LedgerError) -> None:
        """End with an error that concerns all films. What others have cost and brought is kept.

        Raises:
            SourceError: nothing was brought.
            LedgerError: likewise.
        """
        if isinstance(error, SourceError):
            self._requests += error.requests
            error.requests = self._requests
        if not self._most_answered:
            raise error
        failure = error if isinstance(error, SourceError) else SourceUnavailable(str(error))
        self._fail([film for film in self._films if film.tmdb_id not in self._answers], failure)


class WikidataClient(BlockingClient[AsyncWikidataClient]):
    """Wikidata, for code without asyncio: the same arguments as `AsyncWikidataClient`, answers when they are there."""

    _make = AsyncWikidataClient

    def get_figures(self, films: Iterable[Film]) -> dict[int, Statements]:
        """See `AsyncWikidataClient.get_figures`."""
        return self._call(self._client.get_figures, films)


def _statements(film: Film, led_to: dict[str, list[Item]], figures: dict[str, tuple[Figure, ...]]) -> Statements:
    """What is stated of a film: by its best key that leads to figures, else by the best that leads to an item.

    Where one key leads to several items they are of the same film, and the one with figures counts, the older of two:
    figures of two items are never mixed.
    """
    items = [item for key in keys_of(film) for item in led_to.get(key, ())]
    item = next((item for item in items if figures[item.wikidata_id]), items[0] if items else None)
    if item is None:
        return Statements(False, None, ())
    return Statements(True, item.wikidata_id, figures[item.wikidata_id])
