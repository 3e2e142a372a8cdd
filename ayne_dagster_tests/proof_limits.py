"""`make proof-limits`: the full figures of `test_limits`, 1,000 requests at 20 a second, a minute for each ledger.

Not part of the suite: pytest collects it only when it is named.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.test_limits import PROCESSES, RATE, ask_until_the_quota_ends, assert_within_the_limits

QUOTA = 1000


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_thousand_requests_by_four_processes_one_of_them_killed(
    standin: StandIn, tmp_path: Path, request: pytest.FixtureRequest, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = str(request.getfixturevalue("postgres_url")) if kind == "postgres" else None
    seen = ask_until_the_quota_ends(standin, QUOTA, tmp_path, url)
    with capsys.disabled():
        print(  # noqa: T201 -- the figures are what it is run for
            f"\n{kind}: {PROCESSES} processes, one killed, {RATE} requests a second, quota {QUOTA:,}: "
            f"{len(seen.arrivals):,} arrived in {seen.seconds:.1f} s, {seen.fullest_second} in the fullest second, "
            f"{seen.arrivals_of_a_later_run} of a later run the same day"
        )
    assert_within_the_limits(seen, QUOTA)
