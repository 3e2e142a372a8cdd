"""How far a listing is believed: over servers that promise what they do not have, and honest ones beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import date, timedelta
from itertools import count
from typing import Any

import pytest

from ayne_dagster.sources.errors import RequestRejected, SourceDown
from ayne_dagster.sources.tmdb.changes import MOST_CHANGES, ChangedMovies, ChangesShown, list_changes
from ayne_dagster.sources.tmdb.listing import (
    DEAF_WINDOWS,
    LAST_PAGE,
    MAX_WINDOW_ROWS,
    MOST_REQUESTS,
    MOST_REQUESTS_A_YEAR,
    MOST_WINDOWS,
    PAGE_ROWS,
    DateWindow,
    Faith,
    ListedPage,
    Listing,
    in_order,
)

ALL_YEARS = DateWindow(date(1874, 1, 1), date(2035, 12, 31))
YEAR = DateWindow(date(2024, 1, 1), date(2024, 12, 31))
DAY = date(2024, 5, 5)
AHEAD = 10
Rows = list[Any]
Server = Callable[[DateWindow, int], tuple[Rows, int, int]]
"""Rows, total_results and total_pages of a page."""


class Asked:
    """A listing that has ended: its pages, and what was asked for them."""

    def __init__(self, server: Server, span: DateWindow = ALL_YEARS, max_pages: int | None = None) -> None:
        self.asked: list[tuple[DateWindow, int]] = []

        async def ask(window: DateWindow, page: int) -> ListedPage:
            self.asked.append((window, page))
            await asyncio.sleep(0)
            rows, results, pages = server(window, page)
            return ListedPage(window, page, rows, results, pages)

        async def main() -> list[ListedPage]:
            async with aclosing(Listing(ask, AHEAD, max_pages).pages(span)) as pages:
                return [page async for page in pages]

        self.pages = asyncio.run(main())

    @property
    def requests(self) -> int:
        return len(self.asked)

    @property
    def ids(self) -> set[int]:
        return set().union(*(page.ids for page in self.pages))

    @property
    def short(self) -> list[str]:
        return [str(page.error) for page in self.pages if page.error is not None and page.page == 0]


def row(tmdb_id: int, day: date | None = DAY) -> dict[str, Any]:
    return {"id": tmdb_id, "release_date": str(day) if day else ""}


def numbered(first: int, rows: int = PAGE_ROWS, day: date | None = DAY) -> Rows:
    return [row(number, day) for number in range(first, first + rows)]


def honest(released: dict[int, date], told: Callable[[int], tuple[int, int]]) -> Server:
    """What TMDB does, over invented movies; `told` makes the promise out of the true number."""
    ordered = sorted(released, key=lambda number: (released[number], number), reverse=True)
    found: dict[DateWindow, list[int]] = {}

    def server(window: DateWindow, page: int) -> tuple[Rows, int, int]:
        if window not in found:
            found[window] = [n for n in ordered if window.start <= released[n] <= window.end]
        ids = found[window][PAGE_ROWS * (page - 1) : PAGE_ROWS * page] if page <= LAST_PAGE else []
        return [row(n, released[n]) for n in ids], *told(len(found[window]))

    return server


def truly(number: int) -> tuple[int, int]:
    return number, -(-number // PAGE_ROWS)


def capped(number: int) -> tuple[int, int]:
    """As TMDB told it for years: never more than it serves."""
    return min(number, MAX_WINDOW_ROWS), min(-(-number // PAGE_ROWS), LAST_PAGE)


def pages_capped(number: int) -> tuple[int, int]:
    return number, min(-(-number // PAGE_ROWS), LAST_PAGE)


def rows_capped(number: int) -> tuple[int, int]:
    return min(number, MAX_WINDOW_ROWS), -(-number // PAGE_ROWS)


def spread(movies: int, window: DateWindow = YEAR) -> dict[int, date]:
    days = (window.end - window.start).days + 1
    return {n: window.start + timedelta(days=(n * 7919) % days) for n in range(1, movies + 1)}


@pytest.mark.parametrize("told", [truly, capped, pages_capped, rows_capped])
def test_of_a_window_with_more_movies_than_are_served_all_are_found_however_the_total_is_told(
    told: Callable[[int], tuple[int, int]],
) -> None:
    released = spread(16_800)
    listing = Asked(honest(released, told), YEAR)
    assert listing.ids == set(released)
    assert listing.short == []
    assert listing.requests < 16_800 / PAGE_ROWS * 1.05, "an honest server is hardly asked for more than it has"


@pytest.mark.parametrize("hidden", [{LAST_PAGE}, {1}, {1, LAST_PAGE}, {LAST_PAGE - 1, LAST_PAGE}], ids=str)
@pytest.mark.parametrize("told", [truly, capped])
def test_a_full_window_is_split_though_a_page_of_it_always_comes_empty(
    told: Callable[[int], tuple[int, int]], hidden: set[int]
) -> None:
    released = spread(12_000)
    whole = honest(released, told)

    def server(window: DateWindow, page: int) -> tuple[Rows, int, int]:
        rows, *totals = whole(window, page)
        return ([] if window == YEAR and page in hidden else rows), *totals

    assert Asked(server, YEAR).ids == set(released)


def test_a_day_that_is_full_cannot_be_split_and_is_told() -> None:
    day = DateWindow(DAY, DAY)
    listing = Asked(honest(dict.fromkeys(range(1, 10_500), DAY), capped), day)
    assert len(listing.ids) == MAX_WINDOW_ROWS
    assert listing.requests == LAST_PAGE
    (short,) = listing.short
    assert "promised 10,000 movies and showed 10,000" in short
    assert "there may be more" in short


def test_a_full_day_within_a_year_is_told_and_the_other_days_are_whole() -> None:
    released = dict.fromkeys(range(1, 10_500), date(2024, 1, 1)) | {n + 100_000: d for n, d in spread(3_000).items()}
    listing = Asked(honest(released, capped), YEAR)
    assert len(listing.short) == 1
    assert {n for n, day in released.items() if day != date(2024, 1, 1)} <= listing.ids


def same_page(window: DateWindow, page: int) -> Rows:
    return numbered(1)


def no_page(window: DateWindow, page: int) -> Rows:
    return []


def first_pages_only(window: DateWindow, page: int) -> Rows:
    return numbered(PAGE_ROWS * page) if page <= 3 else []


def rows_without_ids(window: DateWindow, page: int) -> Rows:
    return [{"title": "no id"}, "no row", None, {"id": "7"}, {"id": True}, {"id": -1}] * 4


def two_pages_in_turn(window: DateWindow, page: int) -> Rows:
    return numbered(1 + PAGE_ROWS * (page % 2))


def pages_of_another_century(window: DateWindow, page: int) -> Rows:
    return numbered(PAGE_ROWS * page, day=date(1500, 1, 1))


TOTALS: dict[str, Callable[[int], tuple[int, int]]] = {
    "beyond all bounds": lambda page: (10**12, 10**11),
    "as TMDB caps it": lambda page: (MAX_WINDOW_ROWS, LAST_PAGE),
    "just more than is served": lambda page: (MAX_WINDOW_ROWS + 1, LAST_PAGE + 1),
    "pages alone": lambda page: (0, 10**9),
    "movies alone": lambda page: (10**12, 1),
    "ever more": lambda page: (10**page % 10**15, 7 * page),
    "first little, then much": lambda page: (20, 1) if page == 1 else (10**12, 10**12),
}
LIES = (same_page, no_page, first_pages_only, rows_without_ids, two_pages_in_turn, pages_of_another_century)


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
@pytest.mark.parametrize("totals", TOTALS.values(), ids=TOTALS)
def test_a_server_that_promises_what_it_does_not_have_costs_a_handful_of_requests(
    totals: Callable[[int], tuple[int, int]], lie: Callable[[DateWindow, int], Rows]
) -> None:
    listing = Asked(lambda window, page: (lie(window, page), *totals(page)))
    assert listing.requests <= 50
    assert listing.short or (not listing.ids and lie in (no_page, rows_without_ids)) or totals(1) == (20, 1)


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_about_each_year_costs_a_handful_of_requests_a_year(lie: Callable[[DateWindow, int], Rows]) -> None:
    span = DateWindow(date(2020, 1, 1), date(2024, 12, 31))
    listing = Asked(lambda window, page: (lie(window, page), 10**12, 10**12), span, max_pages=400)
    assert listing.requests <= 5 * 10


def fresh(day: Callable[[DateWindow], date | None], rows: int = PAGE_ROWS) -> Callable[[DateWindow, int], Rows]:
    """New movies on every page."""
    numbers = count(1)
    return lambda window, page: [row(next(numbers), day(window)) for _ in range(rows)]


@pytest.mark.parametrize("totals", [(10**12, 10**11), (MAX_WINDOW_ROWS, LAST_PAGE), (0, 10**9)], ids=str)
@pytest.mark.parametrize("rows", [1, PAGE_ROWS])
def test_ever_new_movies_without_a_date_cost_no_more_than_what_is_served_of_a_window(
    totals: tuple[int, int], rows: int
) -> None:
    ever_new = fresh(lambda _: None, rows)
    listing = Asked(lambda window, page: (ever_new(window, page), *totals))
    assert listing.requests <= LAST_PAGE + 30
    assert listing.short


def test_ever_new_movies_of_one_day_are_sought_in_that_day_alone() -> None:
    ever_new = fresh(lambda _: DAY)
    listing = Asked(lambda window, page: (ever_new(window, page), MAX_WINDOW_ROWS, LAST_PAGE))
    assert listing.requests <= LAST_PAGE + 300
    assert listing.short


def test_halves_that_promise_as_much_as_the_whole_are_not_believed() -> None:
    ever_new = fresh(lambda window: window.end)
    listing = Asked(lambda window, page: (ever_new(window, page), 10**12, 10**11))
    assert listing.requests <= LAST_PAGE + 30
    assert len(listing.short) == 1


Dense = Callable[[DateWindow], tuple[int, int]]
"""Totals of a window by its days."""
# Two windows, each listed twice where its pages come half empty.
DENSE: dict[str, tuple[Dense, int]] = {
    "as TMDB caps it": (lambda window: (MAX_WINDOW_ROWS, LAST_PAGE), 4 * LAST_PAGE + 100),
    "a few more movies a day than are served": (lambda window: truly(12_000 * window.days), 4 * LAST_PAGE + 100),
    "nearly as many a day as are served": (lambda window: truly(9_900 * window.days), 4 * LAST_PAGE + 100),
    "as many a day as no days have": (lambda window: truly(4_000 * window.days), 4 * LAST_PAGE + 100),
    "nearly as many": (lambda window: truly(2_900 * window.days), MOST_REQUESTS_A_YEAR * 3 // 2),
    "twice as many as a year can have": (lambda window: truly(1_100 * window.days), MOST_REQUESTS_A_YEAR * 5 // 2),
}


@pytest.mark.parametrize(("totals", "most"), DENSE.values(), ids=DENSE)
@pytest.mark.parametrize("rows", [PAGE_ROWS, PAGE_ROWS // 2])
def test_ever_new_movies_of_the_right_dates_are_listed_as_far_as_days_and_years_can_have_them(
    totals: Dense, most: int, rows: int
) -> None:
    ever_new = fresh(lambda window: window.end, rows)
    listing = Asked(lambda window, page: (ever_new(window, page), *totals(window)))
    assert listing.requests <= most
    assert listing.short[-1].startswith("Not listed: ")
    assert listing.pages[-1].window.start == ALL_YEARS.start, "what was not listed is told"


def test_ever_new_movies_that_no_other_bound_ends_are_as_many_requests_as_tmdb_can_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ayne_dagster.sources.tmdb.listing.MOST_REQUESTS", 2_000)
    ever_new = fresh(lambda window: window.end)
    listing = Asked(lambda window, page: (ever_new(window, page), *truly(100 * window.days)))
    assert 2_000 <= listing.requests <= 2_000 + LAST_PAGE
    assert "more than all movies of these years can take" in listing.short[-1]
    assert MOST_REQUESTS * PAGE_ROWS >= 2 * 1_200_000, "all that TMDB holds is far below the bound"


def test_so_many_windows_are_no_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ayne_dagster.sources.tmdb.listing.MOST_WINDOWS", 4)
    ever_new = fresh(lambda window: window.end)
    listing = Asked(lambda window, page: (ever_new(window, page), *truly(100 * window.days)))
    assert len({window for window, page in listing.asked if page == 2}) == 4
    assert "so many windows (4)" in listing.short[-1]
    assert MOST_WINDOWS * MAX_WINDOW_ROWS > 5 * 1_200_000, "all that TMDB holds is far below the bound"


def test_full_first_days_of_years_are_no_crowd() -> None:
    released = {n: date(2015 + n % 10, 1, 1) for n in range(1, 90_000)} | {
        10**6 + n: d for n, d in spread(9_000).items()
    }
    listing = Asked(honest(released, truly), DateWindow(date(2015, 1, 1), date(2024, 12, 31)))
    assert listing.ids == set(released)
    assert listing.short == []


def test_empty_pages_in_the_middle_and_pages_that_repeat_end_no_listing() -> None:
    released = spread(1_000)
    whole = honest(released, truly)
    odd = {7: 6, 8: 6, 20: 99, 21: 99, 22: 99, 23: 99, 41: 40}
    asked: set[int] = set()

    def server(window: DateWindow, page: int) -> tuple[Rows, int, int]:
        rows, *totals = whole(window, odd.get(page, page) if page not in asked else page)
        asked.add(page)
        return rows, *totals

    listing = Asked(server, YEAR)
    assert listing.ids == set(released)
    assert listing.short == []


def test_totals_that_are_smaller_than_the_truth_or_absent_lose_nothing() -> None:
    released = spread(12_000)
    for told in ((0, 1), (0, 0), (20, 1)):
        assert Asked(honest(released, lambda _, told=told: told), YEAR).ids == set(released)  # type: ignore[misc]


def test_after_some_windows_of_which_no_page_can_be_had_no_more_are_asked_for() -> None:
    asked: list[DateWindow] = []

    async def ask(window: DateWindow, page: int) -> ListedPage:
        asked.append(window)
        return ListedPage(window, page, [], error=RequestRejected("TMDB answered 400: No."))

    async def main() -> list[ListedPage]:
        return [page async for page in Listing(ask, AHEAD, 5).pages(ALL_YEARS)]

    pages = asyncio.run(main())
    assert len(set(asked)) == DEAF_WINDOWS
    assert len(asked) <= 10
    assert str(pages[-1].window) == "1874-01-01 to 2032-12-31"
    assert isinstance(pages[-1].error, SourceDown)


def test_a_page_of_far_too_many_rows_ends_its_window() -> None:
    day = DateWindow(DAY, DAY)
    listing = Asked(lambda window, page: (numbered(30_000 * page, 30_000), 10**12, 10**12), day)
    assert listing.requests <= 1 + AHEAD


@pytest.mark.parametrize(("rows", "most"), [(PAGE_ROWS, AHEAD), (PAGE_ROWS + 1, 1)])
def test_pages_that_are_larger_than_tmdbs_are_asked_for_one_at_a_time(rows: int, most: int) -> None:
    in_flight = 0
    seen: list[int] = []

    async def ask(window: DateWindow, page: int) -> ListedPage:
        nonlocal in_flight
        in_flight += 1
        seen.append(in_flight)
        for _ in range(20):
            await asyncio.sleep(0)
        in_flight -= 1
        return ListedPage(window, page, numbered(page * rows, rows), 2_000, 100)

    async def main() -> None:
        async with aclosing(Listing(ask, AHEAD, None).pages(DateWindow(DAY, DAY))) as pages:
            async for _ in pages:
                pass

    asyncio.run(main())
    assert max(seen) == most


def test_pages_are_asked_for_ahead_as_far_as_they_have_been_believed() -> None:
    in_flight: list[int] = []
    most: list[int] = []
    faith = Faith(8)

    async def ask(number: int) -> int:
        in_flight.append(number)
        for _ in range(20):
            await asyncio.sleep(0)
        most.append(len(in_flight))
        in_flight.remove(number)
        return number

    async def main() -> None:
        async with aclosing(in_order(range(40), ask, faith)) as pages:
            async for number in pages:
                faith.note(brought_news=number < 20)

    asyncio.run(main())
    assert most[0] == 1, "nothing is believed of the first"
    assert max(most) == 8
    assert most[-1] == 1, "nor of those after one that brought nothing"


# The change feed


def changes(server: Callable[[int], ChangesShown]) -> tuple[ChangedMovies, int]:
    asked: list[int] = []

    async def ask(page: int) -> ChangesShown:
        asked.append(page)
        await asyncio.sleep(0)
        return server(page)

    return asyncio.run(list_changes(ask, AHEAD)), len(asked)


def shown(ids: Iterator[int] | range | set[int], last: int, rows: int | None = None) -> ChangesShown:
    found = frozenset(ids)
    return ChangesShown(found, len(found) if rows is None else rows, last)


FEEDS: dict[str, Callable[[int], ChangesShown]] = {
    "empty pages": lambda page: shown(set(), 10**12),
    "rows without ids": lambda page: shown(set(), 10**12, rows=100),
    "the same page": lambda page: shown(range(1, 101), 10**12),
    "two pages in turn": lambda page: shown(range(100 * (page % 2), 100 * (page % 2) + 100), 10**12),
    "parts of the first page": lambda page: shown(range(page, 101), 10**12),
    "ever more pages": lambda page: shown({1, 2}, page + 100),
}


@pytest.mark.parametrize("server", FEEDS.values(), ids=FEEDS)
def test_a_feed_without_end_is_read_as_long_as_it_brings_anything_new(server: Callable[[int], ChangesShown]) -> None:
    found, requests = changes(server)
    assert requests <= 20
    assert not found.complete, "its ids are signals, and the day is no covered one"


def test_a_feed_that_always_brings_one_more_movie_is_read_as_far_as_it_is_served() -> None:
    found, requests = changes(lambda page: shown({page}, 10**12))
    assert requests == LAST_PAGE
    assert found == ChangedMovies(frozenset(range(1, LAST_PAGE + 1)), complete=False)


def test_a_feed_with_more_movies_on_a_page_than_there_are_is_not_read_to_its_end() -> None:
    found, requests = changes(lambda page: shown(range(page * 10**6, page * 10**6 + MOST_CHANGES), 10**12))
    assert requests <= 2 + AHEAD
    assert not found.complete


def test_pages_of_a_feed_that_repeat_or_overlap_here_and_there_are_complete() -> None:
    found, requests = changes(lambda page: shown(range(80 * page, 80 * page + 100), 60))
    assert (len(found.ids), found.complete, requests) == (80 * 60 + 20, True, 60)
