"""How far TMDB's lists are believed: windows of dates, pages, what they promise and what they bear out. No HTTP.

Whatever is promised, a list ends when its pages bring nothing new; what was promised and not shown is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any, TypeVar

from ayne_dagster.sources.errors import MalformedAnswer, SourceDown, SourceError

P = TypeVar("P")

PAGE_ROWS = 20
LAST_PAGE = 500
"""TMDB serves no page beyond it, whatever total_pages says."""
MAX_WINDOW_ROWS = PAGE_ROWS * LAST_PAGE
DRY_PAGES = 5
"""After so many pages in a row that bring nothing new a list has ended, whatever it promises. Real ones have a page
now and then that comes empty, fails, or repeats the one before it: each is cached on its own."""
CHEAP_PAGES = 25
"""A window of so few pages is listed a second time whatever it has left out; a longer one when half of it was shown."""
MOST_WINDOWS = 1_000
"""Of one listing. All that TMDB holds (1,200,000 movies in 2026) takes about 250 windows of at most 10,000."""
MOST_REQUESTS = 150_000
"""Of one listing. All that TMDB holds takes 60,000 pages and about 2,000 requests to find the windows: this is room for
a window in two to be listed twice, or for ten years of growth at 150,000 movies a year."""
MOST_REQUESTS_A_YEAR = 12_000
"""Of a listing, for each year of release dates that it has been through, and once more to begin with: 200,000 movies
take as many. The fullest years have a third of it."""
CROWDED_DAY = 3_000
"""Movies on a day. The first of January, which stands for a year alone, may have more of them, no day beside it has."""
CROWDED_WINDOWS = 2
"""After so many windows in a row with more movies than so many crowded days have, no more are asked for."""
DEAF_WINDOWS = 3
"""After so many windows in a row of which no page could be had, no more are asked for."""
BORNE_OUT = 0.9
"""A window that showed this share of what TMDB serves of one is full, whatever its last page was like."""
_AS_MUCH = 0.9
"""Halves that promise this share of the whole, each of them, contradict it."""
_YEAR = timedelta(days=365)
_WHAT_TO_DO = "Look at what answers at AYNE_TMDB_BASE_URL; a later discovery lists it again"


@dataclass(frozen=True, slots=True)
class DateWindow:
    """Release dates from `start` to `end`, both included."""

    start: date
    end: date

    def halves(self) -> tuple[DateWindow, DateWindow]:
        """The window in two; it must be longer than a day."""
        middle = self.start + (self.end - self.start) // 2
        return DateWindow(self.start, middle), DateWindow(middle + timedelta(days=1), self.end)

    def by_year(self) -> Iterator[DateWindow]:
        """The window cut at the turns of the years, oldest first."""
        for year in range(self.start.year, self.end.year + 1):
            yield DateWindow(max(self.start, date(year, 1, 1)), min(self.end, date(year, 12, 31)))

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.end - self.start).days + 1

    @property
    def is_one_day(self) -> bool:
        """Whether it cannot be split."""
        return self.start >= self.end

    def holds(self, other: DateWindow) -> bool:
        """Whether another window lies within it."""
        return self.start <= other.start and other.end <= self.end

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

    @property
    def ids(self) -> set[int]:
        """Ids of its rows."""
        return {item["id"] for item in self.items if _has_id(item)}

    @property
    def own_ids(self) -> set[int]:
        """Ids of the rows that are dated within the window, as every movie found by its date is."""
        first, last = self.window.start.isoformat(), self.window.end.isoformat()
        return {item["id"] for item in self.items if _has_id(item) and first <= _date(item) <= last}

    @property
    def news(self) -> set[int]:
        """Ids of the rows that are not dated outside of the window: those may be another list's."""
        first, last = self.window.start.isoformat(), self.window.end.isoformat()
        return {i["id"] for i in self.items if _has_id(i) and (not _date(i) or first <= _date(i) <= last)}

    @property
    def promises_a_full_window(self) -> bool:
        """Whether the window has as many movies as TMDB serves of one, or more.

        For years TMDB told exactly 500 pages or 10,000 movies of any window that had more.
        """
        return self.total_results >= MAX_WINDOW_ROWS or self.total_pages >= LAST_PAGE


AskPage = Callable[[DateWindow, int], Awaitable[ListedPage]]


@dataclass
class Faith:
    """How far a list is believed: how many pages are asked for ahead, and when it has ended.

    Args:
        most: pages asked for ahead at most.
    """

    most: int
    ahead: int = 1
    """Twice as many after each page that brought something new, one after a page that did not."""
    dry: int = 0
    """Pages in a row that brought nothing new."""

    def note(self, *, brought_news: bool) -> None:
        """Count a page."""
        self.dry = 0 if brought_news else self.dry + 1
        self.ahead = min(self.most, 2 * self.ahead) if brought_news else 1

    @property
    def is_lost(self) -> bool:
        """Whether the list has ended."""
        return self.dry >= DRY_PAGES


async def in_order(numbers: Iterable[int], ask: Callable[[int], Awaitable[P]], faith: Faith) -> AsyncGenerator[P, None]:
    """Pages in order, asked for ahead as far as they are believed; none any more when the iterator is closed."""
    tasks: list[asyncio.Future[P]] = []
    waiting = iter(numbers)
    try:
        while True:
            while len(tasks) < faith.ahead and (number := next(waiting, None)) is not None:
                tasks.append(asyncio.ensure_future(ask(number)))
            if not tasks:
                return
            yield await tasks.pop(0)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class _Tally:
    """What the pages of a window have shown and promised. A page may promise too little, or more than there is."""

    seen: set[int] = field(default_factory=set)
    own: set[int] = field(default_factory=set)
    """Of these, movies that are dated within the window."""
    strange: int = 0
    """Rows that are dated outside of it."""
    promised: int = 0
    pages: int = 1
    """How many there seem to be."""
    read: int = 0
    heard: bool = False
    """Whether any page could be used."""
    is_full: bool = False
    """Whether it has as many movies as TMDB serves of a window, or more, by what was promised or shown."""

    def note(self, page: ListedPage) -> None:
        """Count a page. Behind a full page there may always be another, whatever it says."""
        self.read += 1
        if page.error is not None:
            return
        self.heard = True
        self.seen |= page.ids
        self.own |= page.own_ids
        self.strange += len(page.ids - page.news)
        self.promised = max(self.promised, page.total_results)
        self.pages = max(self.pages, page.total_pages, page.page + (len(page.items) >= PAGE_ROWS))
        self.is_full = self.is_full or page.promises_a_full_window or self.pages > LAST_PAGE

    @property
    def missing(self) -> int:
        """Number of movies promised, as far as TMDB serves them, and not shown."""
        return max(0, min(self.promised, MAX_WINDOW_ROWS) - len(self.seen))

    def is_crowded(self, days: int) -> bool:
        """Whether it has more movies than so many days can have."""
        return len(self.seen) > days * CROWDED_DAY or (self.is_full and days == 1)

    @property
    def deserves_a_second_listing(self) -> bool:
        """Whether it came out short by what may have been a mishap."""
        if not self.heard:
            return True
        is_near = self.read <= CHEAP_PAGES or self.missing <= len(self.seen)
        return bool(self.missing) and is_near and 2 * self.strange <= len(self.seen)

    @property
    def shortage(self) -> str | None:
        """What was promised and not shown, in words; None where nothing is known to be."""
        if not self.heard:
            return None  # then there is no page that did not tell of its own error
        if self.is_full:
            told = f"promised {self.promised:,} movies" if self.promised else f"announced {self.pages:,} pages"
            return (
                f"TMDB {told} and showed {len(self.seen):,}: it serves {MAX_WINDOW_ROWS:,} of a window at most, and"
                " this one was not split any further, so there may be more"
            )
        if self.missing:
            return (
                f"TMDB promised {self.promised:,} movies and left out {self.missing:,}, listed twice; a later discovery"
                " may find them"
            )
        return None


class Listing:
    """One listing of movies by release date, window by window, the newest first.

    TMDB serves 500 pages of a window. One that is full is halved, if its last page bears out that it is, and if its
    halves do not promise as much as the whole, each of them. So a server that promises more than it has costs
    `DRY_PAGES` a listing of a window and a few pages a window more than an honest one, whatever it promises. One that
    shows ever new movies of the right dates is left when its days have more of them than days can have, or its years
    (`MOST_REQUESTS_A_YEAR`), and at last when the listing has more than TMDB can have (`MOST_REQUESTS`).

    Args:
        ask: yields a page; what went wrong with it is in it.
        ahead: pages asked for ahead at most.
        max_pages: at most so many pages of each release year, which is then not split.
    """

    def __init__(self, ask: AskPage, ahead: int, max_pages: int | None) -> None:
        self._send = ask
        self._requests = 0
        self._ahead = ahead
        self._max_pages = max_pages
        self._shown: set[int] = set()
        """Ids on the first pages of the windows that were listed: shown by another, they are no news."""

    async def pages(self, span: DateWindow) -> AsyncGenerator[ListedPage, None]:
        """All pages, and what came out short as errors of windows."""
        windows = [span] if self._max_pages is None else span.by_year()
        waiting: list[tuple[DateWindow, list[ListedPage]]] = [(window, []) for window in windows]
        listed = deaf = crowded = 0
        while waiting:
            rest = DateWindow(waiting[0][0].start, waiting[-1][0].end)
            if deaf == DEAF_WINDOWS:
                yield _without_an_answer(rest)
                return
            if why := self._enough(listed, crowded, span.end - rest.end):
                yield ListedPage(rest, 0, [], error=MalformedAnswer(f"Not listed: {why}. {_WHAT_TO_DO}"))
                return
            window, opening = waiting.pop()
            opening = opening or await self._opening(window)
            halves = await self._halves_at_once(opening[-1])
            if halves:
                waiting += halves
                continue
            tally = _Tally()
            async with aclosing(self._window(opening, tally)) as pages:
                async for page in pages:
                    yield page
            listed, deaf = listed + 1, 0 if tally.heard else deaf + 1
            crowded = crowded + 1 if tally.is_crowded(window.days) else 0
            self._shown |= opening[-1].ids
            # None: nothing contradicts that it is full. Its last page may have failed, or its first have hidden it.
            if halves is None and tally.is_full and len(tally.own) >= BORNE_OUT * MAX_WINDOW_ROWS:
                halves = await self._halves(opening[-1])
                waiting += halves
            if not halves and tally.shortage and self._max_pages is None:
                yield ListedPage(window, 0, [], error=MalformedAnswer(tally.shortage))

    def _enough(self, listed: int, crowded: int, covered: timedelta) -> str | None:
        """Why no more windows are listed; None where more may be.

        Args:
            listed: number of windows so far.
            crowded: of these, in a row, such as have more movies than their days can have.
            covered: release dates that lie behind.
        """
        if crowded == CROWDED_WINDOWS:
            return (
                f"of {crowded} windows in a row TMDB showed more than {CROWDED_DAY:,} movies a day, which no days have"
            )
        if listed == MOST_WINDOWS:
            return f"so many windows ({listed:,}) are no listing"
        most = min(MOST_REQUESTS, MOST_REQUESTS_A_YEAR * (1 + covered / _YEAR))
        if self._requests >= most:
            return f"{self._requests:,} requests are more than all movies of these years can take"
        return None

    async def _ask(self, window: DateWindow, page: int) -> ListedPage:
        self._requests += 1
        return await self._send(window, page)

    async def _opening(self, window: DateWindow) -> list[ListedPage]:
        """The first page of a window; with the second where it failed, since every page tells how many there are.

        A listing that is empty is not believed at once.
        """
        first = await self._ask(window, 1)
        if first.error is not None and self._max_pages != 1:
            return [first, await self._ask(window, 2)]
        if first.error is None and not first.items and self._max_pages is None:
            first = await self._ask(window, 1)
        return [first]

    async def _halves_at_once(self, first: ListedPage) -> list[tuple[DateWindow, list[ListedPage]]] | None:
        """The halves of a window that is full by its first page and bears it out by its last; empty where they
        contradict it, None where the window has to be listed to know more."""
        if not first.promises_a_full_window or not self._can_split(first.window) or not first.ids - self._shown:
            return None
        last = await self._ask(first.window, LAST_PAGE)
        if last.error is not None or not last.items:  # it may be a mishap
            last = await self._ask(first.window, LAST_PAGE)
        if len(last.own_ids - first.ids - self._shown) < PAGE_ROWS / 2:
            return None
        return await self._halves(first)

    async def _halves(self, first: ListedPage) -> list[tuple[DateWindow, list[ListedPage]]]:
        """The halves of a window with their first pages, the newer one last; none where it cannot or must not be split.

        Halves that promise as much as the whole are no halves: such a server would be asked for each single day.
        """
        if not self._can_split(first.window):
            return []
        halves = [(half, await self._opening(half)) for half in first.window.halves()]
        least = min(opening[-1].total_results for _, opening in halves)
        return [] if first.total_results > MAX_WINDOW_ROWS and least >= _AS_MUCH * first.total_results else halves

    def _can_split(self, window: DateWindow) -> bool:
        return self._max_pages is None and not window.is_one_day

    async def _window(self, opening: list[ListedPage], tally: _Tally) -> AsyncGenerator[ListedPage, None]:
        """The pages of a window, twice where they came out short."""
        for page in opening:
            yield page
            tally.note(page)
        for start in (2, 1):
            if start == 1:
                if self._max_pages is not None or not tally.deserves_a_second_listing:
                    return
                tally.promised = 0
            async with aclosing(self._pages_from(start, opening[0].window, tally)) as pages:
                async for page in pages:
                    yield page

    async def _pages_from(self, number: int, window: DateWindow, tally: _Tally) -> AsyncGenerator[ListedPage, None]:
        """The pages from a number on, as far as they turn out to go and bring anything that these have not shown."""
        faith, shown = Faith(self._ahead), set(tally.seen) if number > 1 else set()
        most = min(self._max_pages or LAST_PAGE, LAST_PAGE)
        while number <= (last := min(tally.pages, most)):
            async with aclosing(in_order(range(number, last + 1), partial(self._ask, window), faith)) as pages:
                async for page in pages:
                    yield page
                    tally.note(page)
                    faith.note(brought_news=bool(page.news - shown))
                    if len(page.items) > PAGE_ROWS:  # no page of TMDB's: it may be of any size
                        faith.ahead = 1
                    shown |= page.ids
                    if faith.is_lost or len(shown) >= MAX_WINDOW_ROWS:
                        return
            number = last + 1


def _without_an_answer(rest: DateWindow) -> ListedPage:
    """What stands for the windows that are not listed since none of those before could be had."""
    return ListedPage(rest, 0, [], error=SourceDown(f"No page could be had of {DEAF_WINDOWS} windows in a row"))


def _has_id(item: Any) -> bool:
    return isinstance(item, dict) and type(item.get("id")) is int and item["id"] > 0  # `true` is an int to Python


def _date(item: dict[str, Any]) -> str:
    released = item.get("release_date")
    return released[:10] if isinstance(released, str) else ""
