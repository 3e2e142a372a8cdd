"""What people do in Dagster's UI: see the lineage, fetch a year, read curves and checks, ask the sensor.

Its console is not looked at: the UI warns of itself there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from ayne_dagster_tests.browser.chromium import Told, done_until, looking
from ayne_dagster_tests.support.serving import RUNS, Running, eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.end_to_end, pytest.mark.timeout(600)]
GROUPS = {
    "answers": ("discovered_movies", "tmdb_details", "omdb_ratings", "box_office"),
    "feeds": ("tmdb_changes", "tmdb_id_export", "imdb_ratings"),
    "dataset": ("refresh_metadata", "movies", "collection_status"),
}


def all_ended(demonstration: Running, year: str) -> list[str]:
    """The runs of a year that have ended, however; the newest first."""
    return [
        str(run["runId"])
        for run in demonstration.graphql(RUNS)["runsOrError"]["results"]
        if {"key": "dagster/partition", "value": year} in run["tags"]
        and run["status"] in ("SUCCESS", "FAILURE", "CANCELED")
    ]


def ended(demonstration: Running, year: str) -> str | None:
    """The latest run of a year that has ended, however."""
    return next(iter(all_ended(demonstration, year)), None)


def year_of_most(demonstration: Running) -> str:
    (year,) = demonstration.command.column(
        "SELECT release_year FROM movies GROUP BY release_year ORDER BY count(*) DESC, release_year LIMIT 1"
    )
    return str(year)


def materialize(page: Page, ui: str, year: str, config: str = "") -> None:
    """Fetch a year by the button, with this as the configuration of the run."""
    page.goto(f"{ui}/assets/tmdb_details?view=partitions")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Select a partition").click()
    the_one = page.get_by_text("Select all (1)")
    done_until(the_one, lambda: (page.keyboard.press("Control+A"), page.keyboard.type(year)))
    the_one.click()
    page.keyboard.press("Escape")
    if config:
        page.get_by_text("Partition selection").click()
        page.get_by_text("Config", exact=True).click()
        page.get_by_text("Add config").click()
        page.locator(".CodeMirror").first.click()
        page.keyboard.press("Control+A")
        page.keyboard.type(config)
        page.get_by_role("button", name="Save config").click()
    page.get_by_role("button", name="Launch 1 run").click()
    # The dialog closes when the server has the run.
    page.get_by_text("Launch runs to materialize").wait_for(state="detached")


def assert_asked_nobody_else(told: Told, ui: str) -> None:
    assert told.asked - {""} == {urlsplit(ui).netloc}


@pytest.mark.parametrize("group", GROUPS)
def test_the_lineage_shows_each_asset(browser: Browser, ui: str, group: str) -> None:
    with looking(browser) as told:
        told.page.goto(f"{ui}/locations/ayne_dagster/asset-groups/{group}/lineage")
        for asset in GROUPS[group]:
            told.page.get_by_text(asset, exact=True).first.wait_for()
        assert_asked_nobody_else(told, ui)


def test_a_year_that_is_materialized_in_the_ui_goes_well_and_its_checks_are_green(
    browser: Browser, ui: str, demonstration: Running
) -> None:
    year = year_of_most(demonstration)
    with looking(browser) as told:
        page = told.page
        materialize(page, ui, year)
        eventually(lambda: ended(demonstration, year) is not None)
        page.goto(f"{ui}/runs/{ended(demonstration, year)}")
        page.get_by_text("Success", exact=True).first.wait_for()
        page.goto(f"{ui}/assets/tmdb_details?view=checks")
        for check in ("keys_are_unique", "no_orphans", "years_match_partitions"):
            page.get_by_text(check, exact=True).first.wait_for()
        page.get_by_text("Passed", exact=True).first.wait_for()
        assert page.get_by_text("Failed", exact=True).count() == 0
        assert_asked_nobody_else(told, ui)


def test_a_year_with_nothing_due_says_so_and_is_asked_for_all_the_same_where_the_configuration_says_it(
    browser: Browser, ui: str, demonstration: Running
) -> None:
    year = year_of_most(demonstration)
    with looking(browser) as told:
        page, before = told.page, len(all_ended(demonstration, year))
        materialize(page, ui, year)
        eventually(lambda: len(all_ended(demonstration, year)) > before)
        page.goto(f"{ui}/assets/tmdb_details?view=events")
        page.get_by_text(re.compile(r"Nothing is due at TMDB until \d{4}-\d\d-\d\d: ")).first.wait_for()
        page.get_by_text("ops: {tmdb_details: {config: {anyway: true}}}").first.wait_for()
        asked = demonstration.command.column("SELECT count(*) FROM fetch_log")[0]
        materialize(page, ui, year, "ops: {tmdb_details: {config: {anyway: true}}}")
        eventually(lambda: len(all_ended(demonstration, year)) > before + 1)
        assert demonstration.command.column("SELECT count(*) FROM fetch_log")[0] > asked
        assert_asked_nobody_else(told, ui)


def test_after_the_demonstration_nothing_is_missing_and_each_check_can_be_executed_alone(
    browser: Browser, ui: str, demonstration: Running
) -> None:
    stale = "{assetNodes{assetKey{path} staleStatus freshnessStatusInfo{freshnessStatus}}}"
    for node in demonstration.graphql(stale)["assetNodes"]:
        assert node["staleStatus"] == "FRESH", node
        assert (node["freshnessStatusInfo"] or {}).get("freshnessStatus") in (None, "HEALTHY"), node
    with looking(browser) as told:
        page = told.page
        page.goto(f"{ui}/assets/imdb_ratings?view=checks&checkDetail=no_orphans")
        page.get_by_text("Not Evaluated").first.wait_for()
        page.get_by_text("Execute", exact=True).first.click()
        page.get_by_text("0 orphans").first.wait_for()
        page.get_by_text("Passed", exact=True).first.wait_for()
        assert page.get_by_text("Not Evaluated").count() == 2, "the others were left alone"
        assert_asked_nobody_else(told, ui)


def test_the_status_of_the_collection_links_the_dashboard(browser: Browser, ui: str, dashboard: str) -> None:
    with looking(browser) as told:
        told.page.goto(f"{ui}/assets/collection_status")
        link = told.page.get_by_role("link", name="Open the dashboard").first
        link.wait_for()
        assert (link.get_attribute("href") or "").rstrip("/") == dashboard


def test_the_status_of_the_collection_has_curves(browser: Browser, ui: str) -> None:
    with looking(browser) as told:
        told.page.goto(f"{ui}/assets/collection_status")
        told.page.get_by_role("button", name="Plots").click()
        told.page.locator("canvas").first.wait_for()
        told.page.get_by_text("total_movies", exact=True).first.wait_for()
        assert_asked_nobody_else(told, ui)


def test_a_tick_of_the_sensor_says_in_words_what_it_would_do(browser: Browser, ui: str) -> None:
    with looking(browser) as told:
        told.page.goto(f"{ui}/locations/ayne_dagster/sensors/due_movies_sensor")
        told.page.get_by_role("button", name="Preview tick result").click()
        told.page.get_by_role("button", name="Continue").click()
        told.page.get_by_text("Computed cursor value").wait_for()
        result = told.page.get_by_role("dialog").last.inner_text()
        assert re.search(r'Skip reason: "[A-Z].+\."|Requested runs \([1-9]', result), result
        assert "Failed" not in result
        assert_asked_nobody_else(told, ui)
