"""The clock of paces and pauses, which no setting of the time moves; how machines agree is in `ledger_database`."""

from __future__ import annotations

import time
from pathlib import Path

FURTHEST_SECONDS = 1e11
"""3,000 years: what is further is no time of any clock, and leaves a number no room for the parts of a second."""
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_now() -> float:
    """Seconds since this machine started, sleep included: no setting of the time moves this clock.

    It is the same for all processes of a machine. A pace by the time of day stopped for up to an hour when a clock that
    was ahead was put right, and was void between two processes whose clocks differed.
    """
    return time.clock_gettime(_STEADY)


def boot() -> str:
    """What tells one start of this machine from another."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:80]
    except OSError:
        return "unknown"
