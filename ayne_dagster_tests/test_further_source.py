"""A source that is added from outside of the package is collected as the others are; nothing inside names it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ayne_dagster.settings.sources import SOURCES
from ayne_dagster_tests.support.samples import python

CODE = """
import sys
from pathlib import Path
from ayne_dagster_tests.locations.proof import proved
print(proved(Path(sys.argv[1])))
"""
pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process tells that has the source; it collects once, and once more a year later."""
    process = python(CODE, tmp_path_factory.mktemp("further"))
    out, _ = process.communicate(timeout=150)
    assert process.returncode == 0
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def sensed(told: dict[str, Any]) -> dict[str, Any]:
    return dict(told["sensed"])


def test_a_source_is_added_from_outside_and_is_not_there_otherwise(told: dict[str, Any]) -> None:
    assert told["pool"] == "locations"
    assert "locations" not in SOURCES


def test_the_sensor_picks_for_a_further_source(sensed: dict[str, Any]) -> None:
    assert f"locations: {sensed['known']} never_fetched" in sensed["reasons"]


def test_each_movie_is_asked_for_once_and_its_answer_stored(sensed: dict[str, Any]) -> None:
    assert sensed["asked"] - sensed["asked_twice"] == sensed["known"] > 10
    assert sensed["asked_twice"] <= 2, "the control question, for the first that are not there"
    assert sensed["stored"]
    assert all(row["places"] == ["Rome", f"Set {row['tmdb_id']}"] for row in sensed["stored"])
    assert sensed["told_fetched"] == len(sensed["stored"])


def test_its_refresh_state_and_log_are_kept(sensed: dict[str, Any]) -> None:
    outcomes = {row["outcome"]: row["n"] for row in sensed["logged"]}
    assert outcomes == {"fetched": len(sensed["stored"]), "absent": sensed["known"] - len(sensed["stored"])}
    assert sensed["checked"] == sensed["known"]
    assert sensed["hashed"] == outcomes["fetched"]


def test_its_asset_is_checked_and_its_lease_was_held(sensed: dict[str, Any]) -> None:
    assert sensed["checks"] == ["keys_are_unique", "no_orphans", "years_match_partitions"]
    assert sensed["lease"]


def test_its_requests_are_counted_within_its_own_quota(sensed: dict[str, Any]) -> None:
    assert (sensed["used"], sensed["quota"]) == (sensed["asked"], 400)


def test_its_movies_are_due_again_by_its_intervals(told: dict[str, Any]) -> None:
    due = told["due"]
    assert due["0"] == due["9"] == 0
    assert due["99"] < due["100"] == told["sensed"]["known"], "all are due when the longest interval has passed"


def test_it_is_explained_as_the_others_are(told: dict[str, Any]) -> None:
    explained = told["explained"]
    assert (explained["due"], explained["reason"]) == (False, "fresh")
    assert "asked every" in explained["explanation"]


def test_what_the_database_could_not_take_is_merged_from_the_spool(told: dict[str, Any]) -> None:
    later = told["later"]
    assert (later["waiting"], later["left_in_spool"]) == (1, 0)
    assert later["from_the_spool"] == [{"places": ["Kept"]}]


def test_a_collection_tells_its_numbers_under_its_name(told: dict[str, Any]) -> None:
    result = told["later"]["result"]
    assert result["requests"]["locations"] >= 5
    assert 0 < result["locations_updated"] <= 5
    assert {"tmdb_updated", "omdb_updated", "box_office_updated"} <= result.keys()
    shown = "\n".join(told["later"]["shown"])
    assert f"Locations     {result['locations_updated']} fetched" in shown
    assert f"{result['requests']['locations']} Places" in shown


def test_the_doctor_looks_at_it_and_nothing_is_wrong_with_the_database(told: dict[str, Any]) -> None:
    later = told["later"]
    assert set(later["doctor"]) == {"Places address", "Places today", "Places online"}
    assert {state for state, _ in later["doctor"].values()} == {"ok"}
    assert later["findings"] == []
