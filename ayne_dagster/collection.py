"""From due movies to answers: the one place where a source's errors become outcomes. No Dagster, no storage.

What stops a collection, and what only one movie, is decided here (DESIGN, "Invariants" 5 to 7).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime

from ayne_dagster.partitions import UNKNOWN_YEAR
from ayne_dagster.progress import Progress
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    NotFound,
    QuotaExhausted,
    RequestRejected,
    SourceError,
    SourcePaused,
    SourceUnavailable,
)
from ayne_dagster.sources.json_body import validate
from ayne_dagster.sources.omdb.client import AsyncOMDBClient
from ayne_dagster.sources.omdb.normalize import ratings_row
from ayne_dagster.sources.tmdb.client import AsyncTMDBClient, DateWindow, ListedPage
from ayne_dagster.sources.tmdb.models import DiscoverItem
from ayne_dagster.sources.tmdb.normalize import details_row, discovered_row
from ayne_dagster.streams import Emit, StreamClosed
from ayne_dagster.warehouse.change_feed import FeedDay, FeedPlan
from ayne_dagster.warehouse.merge import Answer, ListedMovie, QuarantinedBody
from ayne_dagster.warehouse.state import DueMovie

Clock = Callable[[], datetime]
Fetch = Callable[[DueMovie], Awaitable[Answer]]
Listed = ListedMovie | QuarantinedBody
FeedItem = Sequence[FeedDay] | QuarantinedBody

OUTAGE_AFTER = 10
"""So many movies in a row without a usable answer mean that the source is down, not that the movies are at fault."""


class SourceDown(SourceError):
    """The source gives no usable answers at all; what had not been asked is left for a later run."""


def details_fetcher(client: AsyncTMDBClient, now: Clock) -> Fetch:
    """Asks TMDB for a movie's details."""

    async def fetch(due: DueMovie) -> Answer:
        try:
            movie, requests = await client.fetch_details(due.tmdb_id)
            row = details_row(movie)
        except NotFound as error:
            return _without_row(due, Outcome.NOT_FOUND, now(), error)
        except MalformedAnswer as error:
            return _without_row(due, Outcome.QUARANTINED, now(), error)
        except RequestRejected as error:
            return _without_row(due, Outcome.FAILED, now(), error)
        answer = Answer(due.tmdb_id, Outcome.FETCHED, now(), row, due.release_year, requests)
        # Kept as far as it goes, but no check: TMDB once left sub-resources out for hours (see `MovieDetails`).
        missing = ", ".join(movie.missing_parts)
        return replace(answer, outcome=Outcome.INCOMPLETE, reason=f"TMDB left out {missing}") if missing else answer

    return fetch


def ratings_fetcher(client: AsyncOMDBClient, now: Clock) -> Fetch:
    """Asks OMDb for a movie's ratings, by its IMDb id."""

    async def fetch(due: DueMovie) -> Answer:
        try:
            movie, requests = await client.fetch_movie(due.imdb_id or "")
            row = ratings_row(movie, due.tmdb_id, due.release_year)
        except NotFound as error:
            return _without_row(due, Outcome.ABSENT, now(), error)
        except MalformedAnswer as error:
            return _without_row(due, Outcome.QUARANTINED, now(), error)
        except RequestRejected as error:
            return _without_row(due, Outcome.FAILED, now(), error)
        # The id as it was asked for: OMDb pads differently, and a row belongs to the id that TMDB gave.
        return Answer(due.tmdb_id, Outcome.FETCHED, now(), row | {"imdb_id": due.imdb_id}, due.release_year, requests)

    return fetch


def _without_row(due: DueMovie, outcome: Outcome, at: datetime, error: SourceError) -> Answer:
    body = error.body if isinstance(error, MalformedAnswer) else b""
    return Answer(due.tmdb_id, outcome, at, None, due.release_year, error.requests, str(error), body)


async def collect_answers(
    due: Sequence[DueMovie], fetch: Fetch, emit: Emit[Answer], *, workers: int, now: Clock, progress: Progress
) -> None:
    """Ask for each due movie, a number of them at a time, and emit the answers as they arrive.

    The end of the quota ends the collection well: the rest is deferred. A source that is down ends it with an error;
    the movies that met the outage are not blamed for it.

    Raises:
        InvalidCredentials: the key is not accepted; nothing more was asked.
        SourceDown: the source gives no usable answers.
    """
    progress.total = len(due)
    await _Collection(due, fetch, emit, now, progress).run(workers)


class _Collection:
    """The shared state of the workers of one `collect_answers`."""

    def __init__(
        self, due: Sequence[DueMovie], fetch: Fetch, emit: Emit[Answer], now: Clock, progress: Progress
    ) -> None:
        self._waiting = iter(due)
        self._fetch = fetch
        self._emit = emit
        self._now = now
        self._progress = progress
        self._stop: SourceError | None = None
        self._suspects: list[tuple[DueMovie, Answer]] = []
        self._answered = False
        self._closed = False

    async def run(self, workers: int) -> None:
        tasks = [asyncio.create_task(self._work()) for _ in range(min(workers, self._progress.total))]
        try:
            await asyncio.gather(*tasks)
        except InvalidCredentials as error:
            self._stop = error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._progress.deferred.extend(self._waiting)
        if self._answered and self._stop is None:
            await self._blame_suspects()
        self._progress.deferred.extend(movie for movie, _ in self._suspects)
        if self._suspects and self._stop is None:
            self._stop = SourceDown(self._suspects[-1][1].reason)
        if self._stop is not None:
            self._progress.stopped_because = str(self._stop)
            if not isinstance(self._stop, QuotaExhausted):
                raise self._stop

    async def _work(self) -> None:
        for movie in self._waiting:
            if self._stop is not None or self._closed:
                self._progress.deferred.append(movie)
                return
            try:
                answer = await self._fetch(movie)
            except SourcePaused as error:
                # It concerns all movies alike: those that wait for their turn meet the same pause, and send nothing.
                self._progress.deferred.append(movie)
                self._stop = self._stop or SourceDown(str(error))
                return
            except SourceUnavailable as error:
                self._suspect(movie, error)
                continue
            except QuotaExhausted as error:
                self._progress.deferred.append(movie)
                self._stop = self._stop or error
                return
            except asyncio.CancelledError:
                self._progress.deferred.append(movie)
                raise
            except InvalidCredentials:
                # Raised, so that those are not sent which wait for their turn in the pace.
                self._progress.deferred.append(movie)
                raise
            self._answered = True
            # The answer first: to emit may mean to wait, and an interruption of the wait leaves out what comes after.
            await self._done(movie, answer)
            await self._blame_suspects()

    def _suspect(self, movie: DueMovie, error: SourceUnavailable) -> None:
        """Hold a failure back until another movie's answer shows that the source is up."""
        self._suspects.append((movie, _without_row(movie, Outcome.FAILED, self._now(), error)))
        if len(self._suspects) >= OUTAGE_AFTER and self._stop is None:
            self._stop = SourceDown(f"{error}; {len(self._suspects)} movies in a row, so the source counts as down")

    async def _blame_suspects(self) -> None:
        suspects, self._suspects = self._suspects, []
        for movie, answer in suspects:
            await self._done(movie, answer)

    async def _done(self, movie: DueMovie, answer: Answer) -> None:
        self._progress.done += 1
        # Each source is asked for movies that are due for it, so there is one reason.
        due_because = next(iter(movie.reasons.values()), None)
        try:
            await self._emit(replace(answer, due_because=due_because))
        except StreamClosed:
            # It has taken the answer. Nothing more is asked; what others have asked for already is waited for.
            self._closed = True


def date_span(years: Sequence[str]) -> tuple[date, date] | None:
    """First and last release date of partitions; None where there are only undated movies."""
    numbers = [int(year) for year in years if year != UNKNOWN_YEAR]
    return (date(min(numbers), 1, 1), date(max(numbers), 12, 31)) if numbers else None


async def discover(
    client: AsyncTMDBClient,
    span: tuple[date, date],
    emit: Emit[Listed],
    *,
    min_votes: int,
    max_pages: int | None,
    now: Clock,
    progress: Progress,
) -> None:
    """List the movies released in a span of dates, and emit each once.

    A page or row that cannot be used, and a listing that stays short, is emitted as a quarantined body; the others go
    on.

    Raises:
        InvalidCredentials: the key is not accepted.
        SourceDown: no page at all could be had.
    """
    listing = _Listing(emit, now, progress)
    try:
        async for page in client.discover_movies(*span, min_votes=min_votes, max_pages=max_pages):
            await listing.take(page)
    except QuotaExhausted as error:
        progress.stopped_because = str(error)
        return
    except SourcePaused as error:
        progress.stopped_because = str(error)
        raise SourceDown(str(error)) from None
    progress.short_by = max(0, progress.total - len(listing.seen)) if max_pages is None else 0
    if listing.failed and not listing.answered:
        raise SourceDown(str(listing.failed[-1].error))


class _Listing:
    """What the pages of one `discover` have shown so far."""

    def __init__(self, emit: Emit[Listed], now: Clock, progress: Progress) -> None:
        self._emit = emit
        self._now = now
        self._progress = progress
        self._promised: dict[DateWindow, int] = {}
        self.seen: set[int] = set()
        self.failed: list[ListedPage] = []
        self.answered = False

    async def take(self, page: ListedPage) -> None:
        """Emit what is new on a page."""
        if page.error is None:
            self.answered = True
            self._note_promise(page)
        else:
            self.failed.append(page)
            if not page.page:
                self._progress.shortages.append(f"{page.window}: {page.error}")
            await self._emit(_quarantined_page(page, page.error, self._now()))
        for listed in _listed(page, self._now()):
            if isinstance(listed, ListedMovie):
                if listed.tmdb_id in self.seen:
                    continue
                self.seen.add(listed.tmdb_id)
                self._progress.done += 1
            await self._emit(listed)

    def _note_promise(self, page: ListedPage) -> None:
        """Count what a window promises; what one promised that was split, its parts promise again."""
        if page.window not in self._promised:
            self._promised = {w: n for w, n in self._promised.items() if not w.holds(page.window)}
        self._promised[page.window] = page.total_results
        self._progress.total = sum(self._promised.values())


def _listed(page: ListedPage, at: datetime) -> Iterator[Listed]:
    for position, raw in enumerate(page.items):
        try:
            row = discovered_row(validate(DiscoverItem, raw))
        except MalformedAnswer as error:
            subject = f"discover {page.window}, page {page.page}, row {position + 1}"
            yield QuarantinedBody("tmdb", subject, at, str(error), error.body or repr(raw).encode("utf-8", "replace"))
            continue
        yield ListedMovie(int(str(row["tmdb_id"])), at, row, str(row["release_year"]))


def _quarantined_page(page: ListedPage, error: SourceError, at: datetime) -> QuarantinedBody:
    body = error.body if isinstance(error, MalformedAnswer) else b""
    where = f"discover {page.window}" + (f", page {page.page}" if page.page else "")
    return QuarantinedBody("tmdb", where, at, str(error), body)


async def read_change_feed(
    client: AsyncTMDBClient, plan: FeedPlan, emit: Emit[FeedItem], *, now: Clock, progress: Progress
) -> None:
    """Read the days of a plan, oldest first, and emit each when it is whole; its gaps first, all together.

    A day whose list is not complete is emitted as not covered: its ids are signals all the same. The end of the quota
    ends the reading; a later one goes on with the day.

    Raises:
        InvalidCredentials: the key is not accepted.
        SourceDown: a day could not be read; those before it were emitted.
    """
    progress.total = len(plan.days)
    if plan.gaps:
        await emit([FeedDay(day, frozenset(), covered=False, at=now()) for day in plan.gaps])
    for day in plan.days:
        try:
            changes = await client.list_changes_of(day)
        except InvalidCredentials:
            raise
        except QuotaExhausted as error:
            progress.stopped_because = str(error)
            return
        except SourceError as error:
            if isinstance(error, MalformedAnswer):
                await emit(QuarantinedBody("tmdb", f"change feed of {day}", now(), str(error), error.body))
            raise SourceDown(f"The change feed of {day} cannot be read: {error}") from None
        progress.done += 1
        await emit([FeedDay(day, changes.ids, changes.complete, now())])
