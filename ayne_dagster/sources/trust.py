"""How far a source is believed while a collection asks it: counts requests without a usable answer. Sends nothing.

A source that is wrong as a whole (down, misconfigured, not the source at all) refuses every movie alike, in ways that
each for itself would be one movie's matter. So evidence is weighed, whatever its kind: a request counts against the
source until an answer turns out to be usable, and a usable answer outweighs several that are not. Where too much has
gathered, nothing more is asked until one control question tells whether the source or the movies are at fault.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any

from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    NotFound,
    QuotaExhausted,
    SourceDown,
    SourceError,
)

PATIENCE = 10
"""Requests, retries included, that may bring nothing usable before the control question is asked."""
RESERVE = 3
"""So many more than there are connections: while all are busy, the answers of as many are still to come."""
WORTH = 4
"""A usable answer outweighs so many requests, itself among them: a source of which three answers of four are of no use
comes under suspicion though it is up at times."""
CONTROL_REQUESTS = 3
"""Requests that a control question may cost, retries included. With 10 connections a source that is wrong as a whole
costs at most 26: these, the 13 that count, and those under way when its last usable answer came."""
CONTROL_REQUESTS_AGAIN = 2
"""The same where a source was at fault a short while ago: a step that is tried again asks nothing before."""

_controlling: ContextVar[bool] = ContextVar("controlling", default=False)


class Trust:
    """What the answers of a source so far say of it. One collection's; for one event loop.

    Args:
        control: asks the control question; raises a `SourceError` where the answer is of no use. It is given what the
            source has answered before.
        words: what to check when the source turns out to be at fault, as a sentence.
        connections: how many requests may be under way at the same time.
    """

    def __init__(
        self, control: Callable[[Iterable[Any]], Awaitable[None]], words: str = "", *, connections: int = 1
    ) -> None:
        self._control = control
        self._words = words
        self._limit = max(PATIENCE, connections + RESERVE)
        self._doubt = 0
        self._control_requests = 0
        self._most_control_requests = CONTROL_REQUESTS
        self._cleared = 0
        self._known: deque[Any] = deque(maxlen=2)
        self._ended: SourceError | None = None
        self._asking = asyncio.Lock()

    @property
    def is_full(self) -> bool:
        """Whether nothing that came speaks against the source."""
        return self._doubt == 0

    @property
    def cleared(self) -> int:
        """How often a control question has shown so far that the source is up."""
        return self._cleared

    def remember(self, subjects: Iterable[Any]) -> None:
        """Note what the source has answered before (the last two count): the control question asks for it."""
        self._known.extend(subjects)

    def suspect(self) -> None:
        """Begin with the control question: the source was at fault a short while ago."""
        self._doubt = self._limit
        self._most_control_requests = CONTROL_REQUESTS_AGAIN

    async def admit(self) -> None:
        """Wait until one more request, or one more attempt at it, may be sent, and count it.

        Raises:
            SourceError: none may: the control question had no usable answer either.
        """
        if _controlling.get():
            self._control_requests += 1
            return
        while self._doubt >= self._limit:
            async with self._asking:
                if self._doubt >= self._limit:
                    await self._ask()
        self._doubt += 1

    @property
    def may_retry(self) -> bool:
        """Whether a request that failed may be sent once more, if `admit` lets it."""
        return not _controlling.get() or self._control_requests < self._most_control_requests

    def usable(self, subject: Any = None) -> None:
        """An answer was of use.

        Args:
            subject: what it was about, in the words of the control question.
        """
        if _controlling.get():
            return
        self._doubt = max(0, self._doubt - WORTH)
        if subject is not None and subject not in self._known:
            self._known.append(subject)

    async def settle(self) -> None:
        """Find out who is at fault for what was of no use.

        Raises:
            SourceError: the source is.
        """
        async with self._asking:
            await self._ask()

    async def _ask(self) -> None:
        """Ask the control question. What ended it ends every later one."""
        if self._ended is not None:
            raise type(self._ended)(str(self._ended))
        token = _controlling.set(True)
        self._control_requests = 0
        try:
            await self._control(tuple(self._known))
        except (InvalidCredentials, QuotaExhausted) as error:
            self._ended = error
            raise
        except SourceError as error:
            came_back = str(error).rstrip(".")
            self._ended = SourceDown(
                f"No usable answer to the last {self._doubt} request(s), and none to a control question: {came_back}. "
                f"{self._words}".rstrip()
            )
            raise self._ended from None
        finally:
            _controlling.reset(token)
        self._doubt = 0
        self._cleared += 1
        self._most_control_requests = CONTROL_REQUESTS


async def one_of_them(ask: Callable[[Any], Awaitable[object]], subjects: Iterable[Any]) -> None:
    """Ask about each in turn, until one has a usable answer.

    Raises:
        SourceError: none has; of the last. One that concerns all subjects alike is raised at once.
    """
    last: SourceError | None = None
    for subject in subjects:
        try:
            await ask(subject)
        except (NotFound, MalformedAnswer) as error:
            last = error
        else:
            return
    if last is not None:
        raise last
