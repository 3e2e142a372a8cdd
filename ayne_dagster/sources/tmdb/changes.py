"""TMDB's change feed, page by page: what it names, and whether that is all. No HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from ayne_dagster.sources.tmdb.listing import LAST_PAGE, Faith, in_order

CHANGES_PAGE_ROWS = 100
MOST_UNREADABLE = 2
"""Rows of a page that may lack an id; what more of them named is lost, and the day is not covered."""
MOST_CHANGES = CHANGES_PAGE_ROWS * LAST_PAGE
"""Of one answer of the feed; real days have about 10,000 (2026)."""


@dataclass(frozen=True, slots=True)
class ChangedMovies:
    """What the change feed names."""

    ids: frozenset[int]
    complete: bool
    """False where the feed has more than it showed: pages beyond the last that is served, or pages kept back."""


@dataclass(frozen=True, slots=True)
class ChangesShown:
    """One page of the change feed: the ids in it, its rows (those without an id too), and how many pages there are."""

    ids: frozenset[int]
    rows: int
    last: int
    unreadable: int = 0
    """Rows without an id."""

    @property
    def is_whole(self) -> bool:
        """Whether next to nothing of it is lost."""
        return self.unreadable <= MOST_UNREADABLE


async def list_changes(ask: Callable[[int], Awaitable[ChangesShown]], ahead: int) -> ChangedMovies:
    """All pages of a feed, as far as they bring anything new; at most 500.

    A feed that ends before its last page, since `DRY_PAGES` in a row brought nothing new, is not complete.

    Args:
        ask: yields a page.
        ahead: pages asked for ahead at most.

    Raises:
        SourceError: a page could not be had.
    """
    first = await ask(1)
    ids, last, read, complete, faith = set(first.ids), first.last, 1, first.is_whole, Faith(ahead)
    while read < min(last, LAST_PAGE):
        async with aclosing(in_order(range(read + 1, min(last, LAST_PAGE) + 1), ask, faith)) as pages:
            async for page in pages:
                read, last = read + 1, max(last, page.last)
                if page.ids and page.ids == first.ids:
                    # The feed ignores `page`, as it did in 2022: then all rows stand on each, or the rest is lost.
                    return ChangedMovies(first.ids, complete=first.is_whole and first.rows > CHANGES_PAGE_ROWS)
                complete = complete and page.rows > 0 and page.is_whole
                faith.note(brought_news=not page.ids <= ids)
                ids |= page.ids
                if faith.is_lost or len(ids) > MOST_CHANGES:
                    return ChangedMovies(frozenset(ids), complete=False)
    return ChangedMovies(frozenset(ids), complete and last <= LAST_PAGE)
