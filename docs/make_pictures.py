"""Makes the pictures of README and docs that show the demonstration: what it prints, and what a browser shows of it.

`make pictures` runs it, for some minutes: every wait is on a condition. Pictures may be named on the command line.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright
from rich.console import Console

from ayne_dagster.demo.story import run_demo
from ayne_dagster_tests.browser.chromium import CHROMIUM, FLAGS
from ayne_dagster_tests.support.processes import Ayne
from ayne_dagster_tests.support.serving import RUNS, Running, eventually, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HERE = Path(__file__).parent
LONGEST = 1_200.0
"""Seconds that a condition is waited for, however busy the machine is."""
RUNS_SHOWN = 12
"""So many runs have ended in the live demonstration when it is shown: discovery, feed, refreshes."""


def prints() -> None:
    """Save what `make demo` prints."""
    out = Console(record=True, width=88, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        run_demo(500, 365, Path(folder) / "demo.duckdb", Console(stderr=True)).tell(out)
        picture = out.export_svg(title="make demo").replace(f"{folder}/", "data/")
    # rich names a font on somebody's server; a page of ours asks nobody else, and any fixed-width font will do.
    picture = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    # It says how long each text is, too: those of the folder, which is another here, would be stretched.
    (HERE / "demo.svg").write_text(re.sub(r' textLength="[^"]*"', "", picture), "utf-8")


def timeline(running: Running, browser: Browser) -> None:
    """Dagster's timeline of the live demonstration."""
    page = _opened(browser, f"http://127.0.0.1:{running.port}/overview/activity/timeline", 1400, 520)
    page.get_by_text("1hr", exact=True).click()
    for job in ("discover_movies", "read_change_feed", "refresh_movies"):
        page.get_by_text(job, exact=True).first.wait_for()
    _save(page, "timeline.png")


def asset(running: Running, browser: Browser) -> None:
    """An asset in Dagster's UI."""
    page = _opened(browser, f"http://127.0.0.1:{running.port}/assets/tmdb_details", 1500, 900)
    for text in ("Latest materialization", "Freshness policy", "wikidata_id", "due_movies_sensor"):
        page.get_by_text(text, exact=True).first.wait_for()
    page.get_by_text("Passing").first.wait_for()
    _save(page, "asset.png")


def dashboard_light(running: Running, browser: Browser) -> None:
    """The dashboard's front page, wide."""
    _dashboard(_opened(browser, f"http://127.0.0.1:{running.port + 1}/", 1280, 1250), "dashboard-light.png")


def dashboard_dark(running: Running, browser: Browser) -> None:
    """The same on a phone, in the dark."""
    page = _opened(browser, f"http://127.0.0.1:{running.port + 1}/", 390, 1250, dark=True)
    _dashboard(page, "dashboard-dark.png")


def health(running: Running, browser: Browser) -> None:
    """What the dashboard's page about health shows of files."""
    page = _opened(browser, f"http://127.0.0.1:{running.port + 1}/health", 1280, 1250)
    page.locator("canvas").first.wait_for()
    page.locator(".pair").last.screenshot(path=HERE / "growth.png")
    page.context.close()


def _dashboard(page: Page, name: str) -> None:
    page.locator("canvas").first.wait_for()
    # A page that takes a while is shown as it was, until a newer one is put together.
    eventually(lambda: page.get_by_text("a newer one is on its way").count() == 0 or not page.reload(), LONGEST)
    _save(page, name)


def _opened(browser: Browser, address: str, width: int, height: int, *, dark: bool = False) -> Page:
    """A page in a profile of its own."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", timezone_id="UTC"
    )
    context.set_default_timeout(LONGEST * 1000)
    page = context.new_page()
    page.goto(address)
    return page


def _save(page: Page, name: str) -> None:
    page.screenshot(path=HERE / name)
    page.context.close()


def _runs_that_ended(running: Running) -> int:
    runs: list[dict[str, str]] = running.graphql(RUNS)["runsOrError"]["results"]
    return sum(run["status"] == "SUCCESS" for run in runs)


def in_browser(pictures: Iterable[Callable[[Running, Browser], None]]) -> None:
    """Make pictures of a live demonstration that has run for some days."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = Ayne(Path(folder))
        with serving(command, "demo", "--live", longest=LONGEST) as running, sync_playwright() as playwright:
            before = _runs_that_ended(running)
            eventually(lambda: _runs_that_ended(running) >= before + RUNS_SHOWN, LONGEST)
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--hide-scrollbars"])
            for picture in pictures:
                picture(running, browser)
            browser.close()


IN_BROWSER = {each.__name__: each for each in (timeline, asset, dashboard_light, dashboard_dark, health)}


def main(names: list[str]) -> None:
    """Make the pictures of these names, or all."""
    if unknown := set(names) - {"prints", *IN_BROWSER}:
        raise SystemExit(f"There is no picture {', '.join(sorted(unknown))}: prints, {', '.join(IN_BROWSER)}.")
    if not names or "prints" in names:
        prints()
    if wanted := [each for name, each in IN_BROWSER.items() if not names or name in names]:
        in_browser(wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
