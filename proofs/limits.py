"""`make proof-limits`: quota and pace over four processes with the full figures, a minute for each ledger.

    python -m proofs.limits

In small the same is a test (`ayne_dagster_tests/test_limits.py`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.support.asking_together import (
    PROCESSES,
    RATE,
    ask_until_the_quota_ends,
    assert_within_the_limits,
    fullest_second,
)
from ayne_dagster_tests.support.postgres import running_postgres

QUOTA = 1000


def prove(kind: str, ledger_url: str | None) -> None:
    """Ask until the quota ends, and say what the source saw.

    Raises:
        AssertionError: it saw more than the limits allow.
    """
    with StandIn(catalogue_size=50) as standin, tempfile.TemporaryDirectory() as folder:
        seen = ask_until_the_quota_ends(standin, QUOTA, Path(folder), ledger_url)
    print(
        f"{kind}: {PROCESSES} processes, one killed, {RATE} requests a second, quota {QUOTA:,}: "
        f"{len(seen.arrivals):,} arrived in {seen.seconds:.1f} s, "
        f"{fullest_second(seen.arrivals)} in the fullest second, "
        f"{seen.arrivals_of_a_later_run} of a later run the same day"
    )
    assert_within_the_limits(seen, QUOTA)


def main() -> None:
    """Both ledgers."""
    prove("SQLite", None)
    with running_postgres() as postgres:
        prove("Postgres", postgres.new_database())


if __name__ == "__main__":
    main()
