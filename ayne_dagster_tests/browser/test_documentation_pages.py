"""The site of docs/ in a browser: served by nobody but this machine, it asks nobody else, and fits on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from ayne_dagster_tests.browser.chromium import done_until, looking
from ayne_dagster_tests.support.http_server import http_server
from ayne_dagster_tests.test_site import site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["site"]

pytestmark = [pytest.mark.browser, pytest.mark.end_to_end, pytest.mark.timeout(600)]


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with http_server(partial(Silent, directory=str(site))) as served:
        yield served


@pytest.mark.parametrize("narrow", [False, True], ids=["wide", "narrow"])
def test_every_page_asks_nobody_else_says_nothing_wrong_and_fits(
    browser: Browser,
    address: str,
    site: Path,
    narrow: bool,
) -> None:
    pages = sorted(file.relative_to(site).as_posix() for file in site.rglob("*.html") if file.name != "404.html")
    assert len(pages) > 20
    with looking(browser, narrow=narrow, dark=narrow) as told:
        for name in pages:
            told.page.goto(f"{address}/{name}")
            told.page.wait_for_load_state("load")
            assert told.overflow <= 0, name
            assert told.complaints == [], name
            assert told.asked - {""} == {urlsplit(address).netloc}, name


def test_a_page_is_found_by_its_words(browser: Browser, address: str) -> None:
    with looking(browser) as told:
        told.page.goto(f"{address}/index.html")
        words = told.page.get_by_role("textbox", name="Search")
        found = told.page.locator(".md-search-result__link", has_text="Settings").first
        # Typed key by key: the search listens for keys, and not for what `fill` does.
        done_until(found, lambda: (words.fill(""), words.press_sequentially("AYNE_SENSOR_MAX_WAIT")))
