"""What a Retry-After header asks for, whatever stands in it. No waiting here."""

from __future__ import annotations

import math
from datetime import MAXYEAR, UTC, datetime
from email.utils import parsedate_tz

from ayne_dagster.sources.limits.pace import LONGEST_PAUSE


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks for, from 0 to `LONGEST_PAUSE`; None where it says nothing.

    Args:
        value: a number of seconds, or an HTTP date; anything else says nothing. A date that no calendar has room for
            is as far away as a pause can be.
        now: seconds since the epoch, real time, however the platform's clock is turned.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _until(value, now)
    return None if math.isnan(seconds) else _bounded(seconds)


def _until(date: str, now: float) -> float | None:
    try:
        parts = parsedate_tz(date)
    except (ValueError, LookupError, ArithmeticError, TypeError):
        return None
    if parts is None:
        return None
    if parts[0] > MAXYEAR:
        return LONGEST_PAUSE
    try:
        written = datetime(*parts[:6], tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return _bounded(written.timestamp() - (parts[9] or 0) - now)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_PAUSE)
