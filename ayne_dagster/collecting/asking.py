"""From due movies to answers: the one place where a source's errors become outcomes. No Dagster, no storage.

What stops a collection, and what only one movie, is decided here (DESIGN, "Invariants" 5 to 7).
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from ayne_dagster.collecting.progress import Progress
from ayne_dagster.collecting.streams import GRACE_SECONDS, Emit, Now, StreamClosed
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    NotFound,
    QuotaExhausted,
    RequestRejected,
    SourceDown,
    SourceError,
    SourcePaused,
    SourceUnavailable,
    WrongAddress,
)
from ayne_dagster.sources.limits.ledger import LedgerError
from ayne_dagster.sources.omdb.client import AsyncOMDBClient
from ayne_dagster.sources.omdb.normalize import ratings_row
from ayne_dagster.sources.tmdb.client import AsyncTMDBClient
from ayne_dagster.sources.tmdb.entities import Reader as EntityReader
from ayne_dagster.sources.tmdb.entities import entities_of
from ayne_dagster.sources.tmdb.normalize import details_row
from ayne_dagster.sources.trust import Trust
from ayne_dagster.warehouse.answers import KEPT_BYTES, Answer
from ayne_dagster.warehouse.refresh_metadata import DueMovie

T = TypeVar("T")
Fetch = Callable[[DueMovie], Awaitable[Answer]]


def details_fetcher(client: AsyncTMDBClient, now: Now, read_entities: EntityReader = entities_of) -> Fetch:
    """Asks TMDB for a movie's details; what they say of people, companies and releases is read as the last one does."""

    async def fetch(due: DueMovie) -> Answer:
        movie, requests = await client.fetch_details(due.tmdb_id)
        row = normalized(lambda: details_row(movie), movie, requests)
        entities = normalized(lambda: read_entities(movie), movie, requests)
        answer = answer_about(due, Outcome.FETCHED, now(), row=row, entities=entities, requests=requests)
        # Kept as far as it goes, but no check: TMDB once left sub-resources out for hours (see `MovieDetails`).
        missing = ", ".join(movie.missing_parts)
        return replace(answer, outcome=Outcome.INCOMPLETE, reason=f"TMDB left out {missing}") if missing else answer

    return with_outcomes(fetch, now, missing=Outcome.NOT_FOUND)


def ratings_fetcher(client: AsyncOMDBClient, now: Now) -> Fetch:
    """Asks OMDb for a movie's ratings, by its IMDb id."""

    async def fetch(due: DueMovie) -> Answer:
        movie, requests = await client.fetch_movie(due.imdb_id or "")
        row = normalized(lambda: ratings_row(movie, due.tmdb_id, due.release_year), movie, requests)
        # The id as it was asked for: OMDb pads differently, and a row belongs to the id that TMDB gave.
        return answer_about(due, Outcome.FETCHED, now(), row=row | {"imdb_id": due.imdb_id}, requests=requests)

    return with_outcomes(fetch, now, missing=Outcome.ABSENT)


def with_outcomes(fetch: Fetch, now: Now, *, missing: Outcome) -> Fetch:
    """The same, where an error that concerns one movie alone is an answer about it.

    Args:
        fetch: asks for a movie; raises what its client does.
        now: the clock.
        missing: what it means that the source does not know a movie: `NOT_FOUND` where its id came from there, `ABSENT`
            where it may have never been there.
    """

    async def answered(due: DueMovie) -> Answer:
        try:
            return await fetch(due)
        except NotFound as error:
            return without_row(due, missing, now(), error)
        except MalformedAnswer as error:
            return without_row(due, Outcome.QUARANTINED, now(), error)
        except RequestRejected as error:
            return without_row(due, Outcome.FAILED, now(), error)

    return answered


def normalized(row: Callable[[], T], movie: BaseModel, requests: int) -> T:
    """The row of an answer, say; a fault of ours in making it costs this one answer.

    Raises:
        MalformedAnswer: no row can be made of it; the body is what was read of the answer.
    """
    try:
        return row()
    except Exception as error:
        fault = MalformedAnswer(_fault(error), movie.model_dump_json().encode())
        fault.requests = requests
        raise fault from error


def _fault(error: Exception) -> str:
    """Where an unforeseen error arose; not its text, which may quote anything."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"a fault of this program: {type(error).__name__}{where}"


def without_row(due: DueMovie, outcome: Outcome, at: datetime, error: SourceError) -> Answer:
    """The answer about a movie that an error stands for."""
    body = error.body if isinstance(error, MalformedAnswer) else b""
    return answer_about(due, outcome, at, requests=error.requests, reason=str(error), body=body[:KEPT_BYTES])


def answer_about(due: DueMovie, outcome: Outcome, at: datetime, **more: Any) -> Answer:
    """What became of asking for a movie; `more` are fields of `Answer`."""
    return Answer(due.tmdb_id, outcome, at, release_year=due.release_year, asked_imdb_id=due.imdb_id, **more)


async def collect_answers(
    due: Sequence[DueMovie],
    fetch: Fetch,
    emit: Emit[Answer],
    *,
    workers: int,
    now: Now,
    progress: Progress,
    trust: Trust,
) -> None:
    """Ask for each due movie, a number of them at a time, and emit the answers as they arrive.

    The end of the quota ends the collection well: the rest is deferred. A source that is down ends it with an error;
    the movies that met the outage are not blamed for it. Whatever ends it, what was not asked counts as deferred.

    Args:
        due: the movies.
        fetch: asks for one; counts its requests, and the answers that are of use, in `trust`.
        emit: takes an answer.
        workers: movies at a time.
        now: the clock.
        progress: told how it goes on.
        trust: tells whether the source or its movies are at fault for answers that are of no use.

    Raises:
        InvalidCredentials: the key is not accepted; nothing more was asked.
        SourceDown: the source gives no usable answers.
        LedgerError: quota and pace cannot be counted; nothing more was asked.
    """
    progress.total = len(due)
    await _Collection(due, fetch, emit, now, progress, trust).run(workers)


class _Collection:
    """The shared state of the workers of one `collect_answers`."""

    def __init__(
        self, due: Sequence[DueMovie], fetch: Fetch, emit: Emit[Answer], now: Now, progress: Progress, trust: Trust
    ) -> None:
        self._waiting = iter(due)
        self._fetch = fetch
        self._emit = emit
        self._now = now
        self._progress = progress
        self._trust = trust
        self._stop: Exception | None = None
        self._suspects: list[tuple[DueMovie, Answer]] = []
        self._cleared = trust.cleared
        self._closed = False

    async def run(self, workers: int) -> None:
        tasks = [asyncio.create_task(self._work()) for _ in range(min(workers, self._progress.total))]
        try:
            await asyncio.gather(*tasks)
            if self._suspects and self._stop is None and not self._closed:
                await self._judge()
        except InvalidCredentials as error:
            self._stop = error
        except LedgerError as error:
            self._stop = error
            # Nothing more can be counted, and so asked; what is on its way was counted, and is paid for.
            await asyncio.wait(tasks, timeout=GRACE_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._progress.deferred.extend(self._waiting)
            self._progress.deferred.extend(movie for movie, _ in self._suspects)
            if self._stop is not None:
                self._progress.stopped_because = str(self._stop)
        if self._stop is not None and not isinstance(self._stop, QuotaExhausted):
            raise self._stop

    async def _work(self) -> None:
        for movie in self._waiting:
            if self._stop is not None or self._closed:
                self._progress.deferred.append(movie)
                return
            try:
                answer = await self._ask(movie)
            except BaseException:
                # Those that wait for their turn in the pace are not sent then.
                self._progress.deferred.append(movie)
                raise
            if answer is None:
                self._progress.deferred.append(movie)
                return
            await self._take(movie, answer)

    async def _ask(self, movie: DueMovie) -> Answer | None:
        """What became of asking for a movie; None: nothing more is to be asked, for a reason that is noted."""
        try:
            return await self._fetch(movie)
        except (InvalidCredentials, LedgerError):
            raise
        except QuotaExhausted as error:
            self._stop = self._stop or error
        except (SourcePaused, WrongAddress) as error:
            # It concerns all movies alike: those that wait for their turn meet the same, and send nothing.
            self._stop = self._stop or (error if isinstance(error, SourceDown) else SourceDown(str(error)))
        except SourceUnavailable as error:
            return without_row(movie, Outcome.UNAVAILABLE, self._now(), error)
        except Exception as error:  # noqa: BLE001 -- of one answer: it must not cost those of the other workers
            return answer_about(movie, Outcome.QUARANTINED, self._now(), reason=_fault(error))
        return None

    async def _take(self, movie: DueMovie, answer: Answer) -> None:
        """Emit an answer that is of use; hold any other back until it is known who is at fault for it."""
        await self._blame_if_cleared()
        if not answer.is_of_use:
            self._suspects.append((movie, answer))
            return
        # The answer first: to emit may mean to wait, and an interruption of the wait leaves out what comes after.
        await self._done(movie, answer)
        if self._trust.is_full:
            await self._blame_suspects()

    async def _judge(self) -> None:
        """Find out who is at fault for the last answers."""
        await self._blame_if_cleared()
        if not self._suspects:
            return
        try:
            await self._trust.settle()
        except (QuotaExhausted, SourceDown) as error:
            self._stop = error
        else:
            await self._blame_suspects()

    async def _blame_if_cleared(self) -> None:
        """Blame those that are held back, if a control question has shown since then that the source is up."""
        if self._cleared != self._trust.cleared:
            self._cleared = self._trust.cleared
            await self._blame_suspects()

    async def _blame_suspects(self) -> None:
        while self._suspects:
            await self._done(*self._suspects.pop(0))

    async def _done(self, movie: DueMovie, answer: Answer) -> None:
        self._progress.done += 1
        # Each source is asked for movies that are due for it, so there is one reason.
        due_because = next(iter(movie.reasons.values()), None)
        try:
            await self._emit(replace(answer, due_because=due_because))
        except StreamClosed:
            # It has taken the answer. Nothing more is asked; what others have asked for already is waited for.
            self._closed = True
