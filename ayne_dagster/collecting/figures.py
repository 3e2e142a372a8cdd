"""From due movies to figures of their money: many movies are one request. No Dagster, no storage.

`asking` gives each movie to a worker of its own, and tells errors from outcomes; here the workers' questions are put
together.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from ayne_dagster.collecting.asking import Fetch, answer_about, without_row
from ayne_dagster.collecting.streams import Emit, Now
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.sources.errors import MalformedAnswer, RequestRejected, SourceError
from ayne_dagster.sources.wikidata.client import Film, Statements
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.refresh_metadata import DueMovie

E = TypeVar("E", bound=Exception)

COMPANY_SECONDS = 0.02
"""How long the first question of a request waits for others: all workers ask at once, and begin anew at once."""


class AsksMany(Protocol):
    """A client that is asked for many films at a time."""

    BATCH: int
    """Films a request."""

    async def fetch_figures(self, films: Sequence[Film]) -> tuple[dict[int, Statements], int]:
        """What is stated of each film, by TMDB id, with the number of requests spent."""


class HeldUp:
    """Workers whose answers wait for room: they ask for another movie as soon as there is some, or end."""

    def __init__(self) -> None:
        self._number = 0
        self._fewer = asyncio.Event()

    def __bool__(self) -> bool:
        return self._number > 0

    def counting(self, emit: Emit[Answer]) -> Emit[Answer]:
        """The same, where whoever waits in it is counted."""

        async def counted(answer: Answer) -> None:
            self._number += 1
            try:
                await emit(answer)
            finally:
                self._number -= 1
                self._fewer.set()

        return counted

    async def fewer(self) -> None:
        """Wait until one of them goes on, or ends."""
        self._fewer.clear()
        await self._fewer.wait()


def figures_fetcher(client: AsksMany, now: Now, wikidata_ids: Mapping[int, str], held_up: HeldUp) -> Fetch:
    """Asks Wikidata for the figures of a movie, together with those that others ask for at the same time.

    Args:
        client: to be asked by as many workers as it takes films a request.
        now: the clock.
        wikidata_ids: by TMDB id, as far as they are known.
        held_up: those of the workers that will ask as well, but cannot yet.
    """
    together = _Together(client, held_up)

    async def fetch(due: DueMovie) -> Answer:
        try:
            stated, requests = await together.ask(Film(due.tmdb_id, due.imdb_id, wikidata_ids.get(due.tmdb_id)))
            if stated.failure is not None:
                raise _costing(stated.failure, requests)
        except MalformedAnswer as error:
            return without_row(due, Outcome.QUARANTINED, now(), error)
        except RequestRejected as error:
            return without_row(due, Outcome.FAILED, now(), error)
        if not stated.found:
            return answer_about(due, Outcome.ABSENT, now(), requests=requests, reason="Wikidata has no item of it")
        return answer_about(due, Outcome.FETCHED, now(), requests=requests, row={"wikidata": list(stated.figures)})

    return fetch


class _Together:
    """Puts questions that are asked at the same time into one request, and answers each for itself."""

    def __init__(self, client: AsksMany, held_up: HeldUp) -> None:
        self._client = client
        self._held_up = held_up
        self._waiting: list[tuple[Film, asyncio.Future[tuple[Statements, int]]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def ask(self, film: Film) -> tuple[Statements, int]:
        """What is stated of a film; the requests spent are told to the first of those asked for together.

        Raises:
            SourceError: what ended the request.
        """
        answer: asyncio.Future[tuple[Statements, int]] = asyncio.get_running_loop().create_future()
        self._waiting.append((film, answer))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        return await answer

    async def _send(self) -> None:
        while self._waiting:
            await asyncio.sleep(COMPANY_SECONDS)
            # Where answers come faster than they are stored, half of the workers may wait for room: a request without
            # them is half a request, and what it brings would only wait behind theirs.
            while self._held_up and len(self._waiting) < self._client.BATCH:
                await self._held_up.fewer()
            together = self._waiting[: self._client.BATCH]
            del self._waiting[: self._client.BATCH]
            # Whoever has gone meanwhile, since the collection ends, is not asked for.
            together = [(film, answer) for film, answer in together if not answer.done()]
            if together:
                await self._answer(together)

    async def _answer(self, together: list[tuple[Film, asyncio.Future[tuple[Statements, int]]]]) -> None:
        try:
            stated, requests = await self._client.fetch_figures([film for film, _ in together])
        except Exception as error:  # noqa: BLE001 -- it is raised where the films were asked for
            for number, (_, answer) in enumerate(together):
                if not answer.done():
                    answer.set_exception(error if number == 0 else _costing(error, 0))
            return
        for film, answer in together:
            if not answer.done():
                answer.set_result((stated[film.tmdb_id], requests))
            requests = 0


def _costing(error: E, requests: int) -> E:
    """The same error for another film: the requests that it cost are told once."""
    other = copy.copy(error)
    if isinstance(other, SourceError):
        other.requests = requests
    return other
