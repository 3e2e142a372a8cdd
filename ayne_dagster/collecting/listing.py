"""From the pages of a listing to the movies on it, each once. How pages are asked for is in `sources.tmdb.listing`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import aclosing
from datetime import date, datetime

from ayne_dagster.collecting.progress import Progress
from ayne_dagster.collecting.streams import Emit, Now
from ayne_dagster.partitions import UNKNOWN_YEAR
from ayne_dagster.sources.errors import (
    MalformedAnswer,
    QuotaExhausted,
    SourceDown,
    SourceError,
    SourcePaused,
    SourceUnavailable,
    WrongAddress,
)
from ayne_dagster.sources.json_body import validate
from ayne_dagster.sources.tmdb.client import AsyncTMDBClient, DateWindow, ListedPage
from ayne_dagster.sources.tmdb.models import DiscoverItem
from ayne_dagster.sources.tmdb.normalize import discovered_row
from ayne_dagster.warehouse.answers import KEPT_BYTES, ListedMovie, QuarantinedBody

REFUSED_PAGES = 10
"""So many pages in a row that cannot be used end a listing: it is not asked for, window by window, to its end."""
Listed = ListedMovie | QuarantinedBody


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
    now: Now,
    progress: Progress,
) -> None:
    """List the movies released in a span of dates, and emit each once.

    A page or row that cannot be used, and a listing that stays short, is emitted as a quarantined body; the others go
    on. A page that no answer came for is no body: it is told as a shortage.

    Raises:
        InvalidCredentials: the key is not accepted.
        SourceDown: no page at all could be had.
    """
    listing = _Listing(emit, now, progress)
    try:
        async with aclosing(client.discover_movies(*span, min_votes=min_votes, max_pages=max_pages)) as pages:
            async for page in pages:
                await listing.take(page)
        if listing.failed and not listing.answered:
            raise SourceDown(f"No page could be used: {with_advice(listing.failed[-1].error)}")
    except QuotaExhausted as error:
        progress.stopped_because = str(error)
    except (SourcePaused, WrongAddress) as error:
        progress.stopped_because = str(error)
        raise error if isinstance(error, SourceDown) else SourceDown(str(error)) from None
    else:
        progress.short_by = max(0, progress.total - len(listing.seen)) if max_pages is None else 0
    finally:
        await listing.end()


class _Listing:
    """What the pages of one `discover` have shown so far."""

    def __init__(self, emit: Emit[Listed], now: Now, progress: Progress) -> None:
        self._emit = emit
        self._now = now
        self._progress = progress
        self._promised: dict[DateWindow, int] = {}
        self._held: list[tuple[ListedPage, SourceError, datetime]] = []
        self.seen: set[int] = set()
        self.failed: list[ListedPage] = []
        """Pages in a row that could not be used."""
        self.answered = False

    async def take(self, page: ListedPage) -> None:
        """Emit what is new on a page; one that failed is held back until another shows that the source is up.

        Raises:
            SourceDown: none does.
        """
        if isinstance(page.error, SourceDown):
            raise self._down()
        if page.error is not None and not page.page:  # of the window as a whole, whose pages were answered
            self._progress.shortages.append(f"{page.window}: {page.error}")
            await self._emit(_quarantined_page(page, page.error, self._now()))
            return
        if page.error is not None:
            if isinstance(page.error, WrongAddress):
                raise page.error
            self.failed.append(page)
            self._held.append((page, page.error, self._now()))
            if len(self.failed) >= REFUSED_PAGES:
                raise self._down()
            return
        await self._release()
        self.answered, self.failed = True, []
        self._note_promise(page)
        for listed in _listed(page, self._now()):
            if isinstance(listed, ListedMovie):
                if listed.tmdb_id in self.seen:
                    continue
                self.seen.add(listed.tmdb_id)
                self._progress.done += 1
            await self._emit(listed)

    def _down(self) -> SourceDown:
        last = with_advice(self.failed[-1].error) if self.failed else "there was none"
        return SourceDown(f"{len(self.failed)} pages in a row could not be used, the last one: {last}")

    async def end(self) -> None:
        """Emit what was held back; of a source that gave nothing usable at all, or no more, one body as an example."""
        if len(self.failed) >= REFUSED_PAGES or not self.answered:
            self._held = [held for held in self._held if not isinstance(held[1], SourceUnavailable)][:1]
        await self._release()

    async def _release(self) -> None:
        held, self._held = self._held, []
        for page, error, at in held:
            if isinstance(error, SourceUnavailable):
                self._tell(f"{page.window}, page {page.page}: {error}")
            else:
                await self._emit(_quarantined_page(page, error, at))

    def _tell(self, shortage: str) -> None:
        """Note a shortage; a window is listed twice, and is one shortage all the same."""
        if shortage not in self._progress.shortages:
            self._progress.shortages.append(shortage)

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
            body = error.body or repr(raw).encode("utf-8", "replace")
            yield QuarantinedBody("tmdb", subject, at, str(error), body[:KEPT_BYTES])
            continue
        yield ListedMovie(int(str(row["tmdb_id"])), at, row, str(row["release_year"]))


def _quarantined_page(page: ListedPage, error: SourceError, at: datetime) -> QuarantinedBody:
    body = error.body if isinstance(error, MalformedAnswer) else b""
    where = f"discover {page.window}" + (f", page {page.page}" if page.page else "")
    return QuarantinedBody("tmdb", where, at, str(error), body[:KEPT_BYTES])


def with_advice(error: SourceError | None) -> str:
    """What came back instead of a listing, and what to look at; some errors say that themselves."""
    if isinstance(error, SourceDown | SourcePaused | WrongAddress):
        return str(error)
    return f"{str(error).rstrip('.')}. Check AYNE_TMDB_BASE_URL, the network, and whether TMDB is up."
