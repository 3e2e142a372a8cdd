"""What the request ledger has noted of an account: the questions for it, and what the answers mean. Writes nothing.

A ledger in a file can be asked these without SQLAlchemy (`glance`), which takes longer to load than a person likes to
wait for a movie on a screen; `ledger` asks the same.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ayne_dagster.sources.limits.clock import FURTHEST_SECONDS, boot
from ayne_dagster.sources.limits.pace import MOST_HALVINGS, REPEATED, Pace

USED = "SELECT used FROM quota WHERE account = :account AND day = :day"
EXHAUSTED = "SELECT count(*) AS days FROM closed_days WHERE account = :account AND day = :day"
PACE = "SELECT arrival, paused_until, halvings, refused_at, refusals FROM account_pace WHERE account = :account"
AHEAD = "SELECT ahead FROM clocks WHERE boot = :boot"
"""What to add to this machine's steady clock for the time that all users of the ledger share."""
_TABLES = ("quota", "closed_days", "account_pace")
_PATIENCE = 5.0


@dataclass(frozen=True)
class QuotaUse:
    """Requests used on a day, of how many."""

    used: int
    cap: int
    """The day's quota; 0: no limit."""
    exhausted: bool = False
    """Whether the source itself said that nothing is left, whatever our count."""

    @property
    def left(self) -> int | None:
        """Requests left; None without a limit."""
        if self.exhausted:
            return 0
        return max(0, self.cap - self.used) if self.cap else None


@dataclass(frozen=True)
class Standing:
    """What holds for an account now, by whichever process it came about."""

    pause_left: float
    """Seconds until anybody may send."""
    exhausted: bool
    """Whether the source says that today's quota is used up."""
    halvings: int
    """How often refusals have halved the pace."""


def count_of(used: object) -> int | None:
    """A count of requests as it is stored; None for what is no count."""
    return int(used) if isinstance(used, int | float) and math.isfinite(used) and used >= 0 else None


def ahead_of(stored: object) -> float | None:
    """What a shared clock is ahead, as it is stored; None for what is no time of any clock."""
    return float(stored) if isinstance(stored, int | float) and abs(stored) < FURTHEST_SECONDS else None


def pace_of(row: Any) -> Pace:
    """A row as it is reckoned with; what is no number counts as long ago, a place that is none as far ahead."""
    return Pace(
        arrival=_number(row["arrival"], math.inf),
        paused_until=_number(row["paused_until"], 0.0),
        halvings=int(max(0.0, min(_number(row["halvings"], 0.0), MOST_HALVINGS))),
        refused_at=_number(row["refused_at"], 0.0),
        refusals=int(max(0.0, min(_number(row["refusals"], 0.0), REPEATED))),
    )


def _number(value: object, otherwise: float) -> float:
    """A column of SQLite holds whatever was written to it."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else otherwise


def glance(
    file: Path, accounts: Mapping[str, Collection[str]], day: date, now: float
) -> dict[str, tuple[int, Standing]] | None:
    """What a ledger in a file has noted of some accounts, asked without writing to it.

    Args:
        file: the ledger.
        accounts: by name, the names that former versions gave it.
        day: whose counts.
        now: the instant, by `steady_now`.

    Returns:
        By account the requests used on the day, and what holds for it. None where anything is not as it is nearly
        always (no file, another version's, something under a former name, what is no count): `RequestLedger` puts it
        right, or says what is wrong.
    """
    if not file.exists():
        return None
    try:
        # No new file is made, should it go just now; a ledger that others write to needs more than reading alone.
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=_PATIENCE)) as ledger:
            ledger.row_factory = sqlite3.Row
            ledger.execute("PRAGMA query_only = ON")
            ledger.execute("BEGIN")
            return _seen(ledger, accounts, day, now)
    except sqlite3.Error:
        return None


def _seen(
    ledger: sqlite3.Connection, accounts: Mapping[str, Collection[str]], day: date, now: float
) -> dict[str, tuple[int, Standing]] | None:
    former = [name for names in accounts.values() for name in names]
    marks = ", ".join("?" * len(former))
    if any(ledger.execute(f"SELECT 1 FROM {table} WHERE account IN ({marks})", former).fetchone() for table in _TABLES):
        return None
    clock = ledger.execute(AHEAD, {"boot": boot()}).fetchone()
    ahead = ahead_of(clock["ahead"]) if clock else None
    if ahead is None:
        return None
    seen = {}
    for account in accounts:
        asked = {"account": account, "day": day.isoformat()}
        count = ledger.execute(USED, asked).fetchone()
        used = count_of(count["used"]) if count else 0
        if used is None:
            return None
        exhausted = bool(ledger.execute(EXHAUSTED, asked).fetchone()["days"])
        row = ledger.execute(PACE, {"account": account}).fetchone()
        seen[account] = used, standing_of(row, exhausted, now + ahead)
    return seen


def standing_of(row: Any, exhausted: bool, instant: float) -> Standing:
    """What a row of an account's pace, if there is one, means at an instant of the shared clock."""
    pace = pace_of(row) if row else Pace()
    return Standing(pace.pause_left(instant), exhausted, pace.halvings_at(instant))
