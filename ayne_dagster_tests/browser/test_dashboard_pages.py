"""Every page of the dashboard as people see it: phone and screen, light and dark, by keyboard, by a screen reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from ayne_dagster_tests.browser.chromium import Told, looking
from ayne_dagster_tests.support.serving import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAGES = ("/", "/queue", "/history", "/catalogue", "/health", "/movie", "/search?q=night")
WITH_CHARTS = ("/", "/catalogue")

pytestmark = [pytest.mark.browser, pytest.mark.end_to_end, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def movie(demonstration: Running) -> str:
    """The page of a movie of which much is known."""
    (tmdb_id,) = demonstration.command.column(
        "SELECT tmdb_id FROM movies WHERE imdb_rating IS NOT NULL ORDER BY vote_count DESC, tmdb_id LIMIT 1"
    )
    return f"/movie/{tmdb_id}"


def open_page(told: Told, dashboard: str, path: str, movie: str) -> None:
    told.page.goto(dashboard + (movie if path == "/movie" else path))
    told.page.wait_for_load_state("load")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("narrow", [False, True], ids=["wide", "narrow"])
def test_a_page_says_nothing_wrong_asks_nobody_else_and_fits(
    browser: Browser, dashboard: str, movie: str, path: str, dark: bool, narrow: bool
) -> None:
    with looking(browser, narrow=narrow, dark=dark) as told:
        open_page(told, dashboard, path, movie)
        if path in WITH_CHARTS:
            told.page.wait_for_selector("canvas")
        assert told.complaints == []
        assert told.asked == {urlsplit(dashboard).netloc}
        assert told.overflow <= 0
        assert told.cut == []
        shade = told.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3)")
        assert (sum(map(int, shade)) < 3 * 128) == dark, shade


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_that_keeps_people_out(
    browser: Browser, dashboard: str, movie: str, axe: str, path: str, dark: bool
) -> None:
    with looking(browser, dark=dark) as told:
        open_page(told, dashboard, path, movie)
        assert violations(told, axe) == []


def test_axe_would_find_something_on_a_page_that_keeps_people_out(browser: Browser, axe: str) -> None:
    with looking(browser) as told:
        told.page.set_content("<p style='color: #aaa; background: #fff'>pale<img src='data:,'>")
        found = " ".join(violations(told, axe))
        assert "color-contrast" in found
        assert "image-alt" in found


def violations(told: Told, axe: str) -> list[str]:
    """What axe-core calls a violation: rule, and the elements. Its script is let in as a browser's tools are."""
    told.page.evaluate(axe)
    found: dict[str, Any] = told.page.evaluate("axe.run()")
    return [f"{rule['id']}: {[node['html'][:120] for node in rule['nodes'][:3]]}" for rule in found["violations"]]


def focused(told: Told, most: int) -> Iterator[dict[str, Any]]:
    """What the tabulator key leads to, one after the other, until it leaves the page."""
    for _ in range(most):
        told.page.keyboard.press("Tab")
        at: dict[str, Any] = told.page.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e), b = e.getBoundingClientRect();
            return {tag: e.tagName, href: e.getAttribute("href"), seen: b.width > 0 && b.height > 0,
                    outline: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0}; }"""
        )
        if at["tag"] == "BODY":
            return
        yield at


@pytest.mark.parametrize("path", PAGES)
def test_every_link_is_reached_by_keyboard_and_shows_that_it_is_chosen(
    browser: Browser, dashboard: str, movie: str, path: str
) -> None:
    with looking(browser) as told:
        open_page(told, dashboard, path, movie)
        reached = list(focused(told, 40))
        assert {"/", "/queue", "/history", "/catalogue", "/health"} <= {at["href"] for at in reached}
        assert any(at["tag"] == "INPUT" for at in reached), "the search"
        assert all(at["seen"] and at["outline"] for at in reached), [at for at in reached if not at["outline"]]


def test_a_movie_is_found_by_typing_its_title(browser: Browser, dashboard: str, demonstration: Running) -> None:
    (title,) = demonstration.command.column("SELECT title FROM movies ORDER BY vote_count DESC, tmdb_id LIMIT 1")
    with looking(browser) as told:
        told.page.goto(dashboard)
        told.page.fill("input[name=q]", title)
        told.page.keyboard.press("Enter")
        told.page.wait_for_url(re.compile("/(movie|search)"))
        assert title in told.page.inner_text("main")
