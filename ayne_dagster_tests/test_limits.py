"""Pace and quota across real processes over real HTTP, one of them killed: what the source sees counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.support.asking_together import (
    ask_until_the_quota_ends,
    assert_within_the_limits,
    fullest_second,
)


@pytest.mark.end_to_end
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_four_processes_one_of_them_killed_never_exceed_pace_or_quota(
    standin: StandIn, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    url = str(request.getfixturevalue("postgres_url")) if kind == "postgres" else None
    quota = 60
    assert_within_the_limits(ask_until_the_quota_ends(standin, quota, tmp_path, url), quota)


def test_the_fullest_second_is_found_wherever_it_is() -> None:
    even = [float(number) / 4 for number in range(20)]
    assert fullest_second(even) == 5
    assert fullest_second(sorted([*even, 2.6, 2.7, 2.8])) == 8
