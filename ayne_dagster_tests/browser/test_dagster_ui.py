"""What people do in Dagster's UI: see the lineage, fetch a year, read curves and checks, ask the sensor.

Its console is not looked at: the UI warns of itself there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from ayne_dagster_tests.browser.chromium import Told, looking
from ayne_dagster_tests.support.serving import RUNS, Running, eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.end_to_end, pytest.mark.timeout(600)]
GROUPS = {
    "answers": ("discovered_movies", "tmdb_details", "omdb_ratings", "box_office"),
    "feeds": ("tmdb_changes", "tmdb_id_export", "imdb_ratings"),
    "dataset": ("refresh_metadata", "movies", "collection_status"),
}


def ended(demonstration: Running, year: str) -> str | None:
    """The run of a year, once it has ended, however."""
    for run in demonstration.graphql(RUNS)["runsOrError"]["results"]:
        is_of_year = {"key": "dagster/partition", "value": year} in run["tags"]
        if is_of_year and run["status"] in ("SUCCESS", "FAILURE", "CANCELED"):
            return str(run["runId"])
    return None


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
    (year,) = demonstration.command.column(
        "SELECT release_year FROM movies GROUP BY release_year ORDER BY count(*) DESC, release_year LIMIT 1"
    )
    with looking(browser) as told:
        page = told.page
        page.goto(f"{ui}/assets/tmdb_details?view=partitions")
        page.get_by_role("button", name="Materialize").first.click()
        page.get_by_text("Select a partition").click()
        page.keyboard.type(year)
        page.get_by_text("Select all (1)").click()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Launch 1 run").click()
        # The dialog closes when the server has the run.
        page.get_by_text("Launch runs to materialize").wait_for(state="detached")
        eventually(lambda: ended(demonstration, year) is not None)
        page.goto(f"{ui}/runs/{ended(demonstration, year)}")
        page.get_by_text("Success", exact=True).first.wait_for()
        page.goto(f"{ui}/assets/tmdb_details?view=checks")
        for check in ("keys_are_unique", "no_orphans", "years_match_partitions"):
            page.get_by_text(check, exact=True).first.wait_for()
        page.get_by_text("Passed", exact=True).first.wait_for()
        assert page.get_by_text("Failed", exact=True).count() == 0
        assert_asked_nobody_else(told, ui)


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
