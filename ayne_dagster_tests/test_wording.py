"""A number and what is counted fit each other, in every text that is put together with one."""

from __future__ import annotations

import pytest

from ayne_dagster.commands.feeds import _describe_changes
from ayne_dagster.config import Settings
from ayne_dagster.dashboard.front import standing
from ayne_dagster.runs.recorded import Run
from ayne_dagster.settings.wording import counted


@pytest.mark.parametrize(
    ("number", "many", "said"),
    [
        (1, "movies", "1 movie"),
        (1, "bodies", "1 body"),
        (1, "old entries", "1 old entry"),
        (1, "fetched", "1 fetched"),
        (0, "days", "0 days"),
        (2000, "requests", "2,000 requests"),
    ],
)
def test_what_is_counted_fits_its_number(number: int, many: str, said: str) -> None:
    assert counted(number, many) == said


def test_one_day_of_the_change_feed_is_told_in_the_singular() -> None:
    one = dict.fromkeys(("days", "listed", "known", "signals", "thawed", "requests"), 1)
    told = _describe_changes({**one, "gaps": 0, "read_up_to": "2026-01-01"})
    for words in ("1 day, up to", "1 movie, 1 of them", "1 movie for it", "1 request"):
        assert words in told
    assert "1 requests" not in told


def test_a_run_that_is_not_yet_under_way_is_told_of_in_a_sentence() -> None:
    run = Run("one", "discover_movies", "STARTING", None, None, None, {})
    assert standing(Settings(), [run], []) == "A run is starting: Discovering movies."
