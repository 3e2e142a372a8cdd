"""The request ledger: pace and daily quota of each API account, shared by all processes and kept across crashes.

Written before each request is sent. A small SQLite file beside the warehouse by default; what `AYNE_LEDGER_URL` names
where several machines share a key (Postgres is tested, SQLAlchemy's other databases are not). Not for statistics: what
was fetched is in the warehouse's `fetch_log`. A ledger in DuckDB was tried and lost a worker; here every charge is one
atomic UPDATE (DESIGN, "Invariants" 6). How an account is slowed is reckoned in `pace`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ayne_dagster.config import Settings
from ayne_dagster.settings.places import FormerInUse, take_over_former
from ayne_dagster.sources.limits.clock import steady_now
from ayne_dagster.sources.limits.ledger_database import IN_MEMORY, METADATA, LedgerDatabase, LedgerError
from ayne_dagster.sources.limits.naming import account_name, canonical_address, former_account_names
from ayne_dagster.sources.limits.noted import (
    EXHAUSTED,
    PACE,
    USED,
    QuotaUse,
    Standing,
    count_of,
    pace_of,
    standing_of,
)
from ayne_dagster.sources.limits.pace import Pace

__all__ = [
    "LedgerError",
    "QuotaUse",
    "RequestLedger",
    "Standing",
    "account_name",
    "canonical_address",
    "former_account_names",
    "open_ledger",
    "steady_now",
]

T = TypeVar("T")

_QUOTA = sa.Table(
    "quota",
    METADATA,
    sa.Column("account", sa.String(80), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("used", sa.Integer, nullable=False),
)
_EXHAUSTED = sa.Table(  # days on which the source itself said that the quota is used up
    "closed_days",
    METADATA,
    sa.Column("account", sa.String(80), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),
)
_PACE = sa.Table(
    "account_pace",
    METADATA,
    sa.Column("account", sa.String(80), primary_key=True),
    sa.Column("arrival", sa.Double, nullable=False),
    sa.Column("paused_until", sa.Double, nullable=False),
    sa.Column("halvings", sa.Integer, nullable=False),
    sa.Column("refused_at", sa.Double, nullable=False),
    sa.Column("refusals", sa.Integer, nullable=False),
)


def open_ledger(settings: Settings) -> RequestLedger:
    """The ledger of the settings, opened at first use: that of `AYNE_LEDGER_URL`, or the file beside the database.

    Raises:
        LedgerError: a former version's ledger cannot be taken over.
    """
    if settings.ledger_url:
        return RequestLedger(settings.ledger_url)
    try:
        take_over_former(settings.database)
    except (OSError, FormerInUse) as error:
        raise LedgerError(f"The former request ledger cannot be taken over: {error}; nothing was asked.") from None
    return RequestLedger(settings.ledger)


class RequestLedger:
    """Charges requests to accounts.

    Args:
        place: the SQLite file (it and its folder are made when they do not exist), or a database as SQLAlchemy writes
            it. It is opened at first use.

    Each call waits for its transaction: half a millisecond for a file, some milliseconds for a server.

    Raises:
        LedgerError: by every method, when the ledger cannot be used.

    Example:
        >>> ledger = RequestLedger(Path("/tmp/doctest.ledger.sqlite"))
        >>> ledger.charge("omdb:demo", date(2026, 1, 1), cap=1000)
        True
    """

    def __init__(self, place: Path | str) -> None:
        self._database = LedgerDatabase(place)
        self._former: dict[str, tuple[str, ...]] = {}

    def know_as(self, account: str, former: Collection[str]) -> None:
        """Have what is noted under former names of an account count for it, before it is next charged or looked at."""
        self._former.setdefault(account, tuple(name for name in former if name != account))

    def _run(self, account: str, work: Callable[[Connection], T]) -> T:
        """Do something about an account in one transaction, with what is noted under its former names taken over."""
        former = self._former.get(account, ())

        def all_of_it(connection: Connection) -> T:
            for name in former:
                self._rename(connection, name, account)
            return work(connection)

        result = self._database.run(all_of_it)
        self._former[account] = ()
        return result

    def _rename(self, connection: Connection, former: str, account: str) -> None:
        """Add what was noted under a former name of an account to what is noted of it."""
        for row in connection.execute(sa.select(_QUOTA).where(_QUOTA.c.account == former)).mappings().all():
            number = self._count_of(row["used"], former, row["day"])
            _insert_new(connection, _QUOTA, {"account": account, "day": row["day"], "used": 0})
            mine = sa.update(_QUOTA).where(_QUOTA.c.account == account, _QUOTA.c.day == row["day"])
            connection.execute(mine.values(used=_QUOTA.c.used + number))
        for row in connection.execute(sa.select(_EXHAUSTED).where(_EXHAUSTED.c.account == former)).mappings().all():
            _insert_new(connection, _EXHAUSTED, {"account": account, "day": row["day"]})
        for table in (_QUOTA, _EXHAUSTED, _PACE):
            connection.execute(sa.delete(table).where(table.c.account == former))

    @classmethod
    def in_memory(cls) -> RequestLedger:
        """A ledger that only this object knows and that ends with it."""
        return cls(IN_MEMORY)

    def __repr__(self) -> str:
        return f"RequestLedger({self.name!r})"

    @property
    def name(self) -> str:
        """Where it is, without user and password."""
        return self._database.name

    @property
    def exists(self) -> bool:
        """False for a file that nothing has been written to yet; looking at it would make it."""
        return self._database.exists

    def charge(self, account: str, day: date, cap: int) -> bool:
        """Charge one request to the day's quota, before it is sent.

        Returns:
            False when the quota is used up: the request must not be sent.
        """
        row = {"account": account, "day": day.isoformat()}
        use = (
            sa.update(_QUOTA)
            .where(_QUOTA.c.account == account, _QUOTA.c.day == row["day"])
            .where(_QUOTA.c.used >= 0, _QUOTA.c.used < cap)
            .where(~_is_exhausted(account, day))
            .values(used=_QUOTA.c.used + 1)
        )

        def work(connection: Connection) -> bool:
            if connection.execute(use).rowcount == 1:
                return True
            self._used(connection, account, day)
            _insert_new(connection, _QUOTA, row | {"used": 0})
            return connection.execute(use).rowcount == 1  # the row may have come from another process just now

        return self._run(account, work)

    def count(self, account: str, day: date, number: int) -> None:
        """Note requests that were sent without a quota to charge them to."""
        row = {"account": account, "day": day.isoformat()}
        add = (
            sa.update(_QUOTA)
            .where(_QUOTA.c.account == account, _QUOTA.c.day == row["day"])
            .values(used=_QUOTA.c.used + number)
        )

        def work(connection: Connection) -> None:
            self._used(connection, account, day)
            if not connection.execute(add).rowcount:
                _insert_new(connection, _QUOTA, row | {"used": 0})
                connection.execute(add)

        self._run(account, work)

    def exhaust(self, account: str, day: date) -> None:
        """Note that the source itself says the day's quota is used up: it holds for everybody, whatever their quota."""
        row = {"account": account, "day": day.isoformat()}
        self._run(account, lambda connection: _insert_new(connection, _EXHAUSTED, row))

    def use(self, account: str, day: date, cap: int) -> QuotaUse:
        """How much of the day's quota is used."""

        def work(connection: Connection) -> QuotaUse:
            exhausted = _says_exhausted(connection, account, day)
            return QuotaUse(self._used(connection, account, day), cap, exhausted)

        return self._run(account, work)

    def _used(self, connection: Connection, account: str, day: date) -> int:
        """The requests that are counted on a day.

        Raises:
            LedgerError: what stands there is no count. What it was is not known, so nothing may be asked by it.
        """
        row = connection.execute(sa.text(USED), {"account": account, "day": day.isoformat()}).first()
        return 0 if row is None else self._count_of(row[0], account, day.isoformat())

    def _count_of(self, used: object, account: str, day: str) -> int:
        """See `_used`."""
        count = count_of(used)
        if count is not None:
            return count
        raise LedgerError(
            f"The request ledger {self.name} has {str(used)[:40]!r} requests of {account} on {day}, which is no count;"
            " nothing was asked. Set it to what was sent (table quota, column used), or remove the row if nothing was."
        )

    def forget(self, before: date) -> int:
        """Forget the counts of days before this one; returns how many rows went."""

        def work(connection: Connection) -> int:
            old = [sa.delete(table).where(table.c.day < before.isoformat()) for table in (_QUOTA, _EXHAUSTED)]
            return sum(connection.execute(statement).rowcount for statement in old)

        return self._database.run(work)

    def reserve(self, account: str, rate: float, burst: int, now: float) -> float:
        """Reserve the next place in an account's pace.

        Args:
            account: whose pace.
            rate: requests a second, above 0; refusals slow it.
            burst: size of the bucket.
            now: the instant, by `steady_now`.

        Returns:
            Seconds to wait before sending.
        """
        return self._change_pace(account, now, lambda pace, instant: pace.place(rate, burst, instant))

    def refuse(self, account: str, pause: float, now: float) -> None:
        """Note that the source refused a request: nobody sends for `pause` seconds, at most an hour; see `pace`."""
        self._change_pace(account, now, lambda pace, instant: (pace.refused(pause, instant), None))

    def ban(self, account: str, seconds: float, now: float) -> None:
        """Note that the source refuses everything for some seconds, two days at most; see `pace`."""
        self._change_pace(account, now, lambda pace, instant: (pace.banned(seconds, instant), None))

    def standing(self, account: str, day: date, now: float) -> Standing:
        """What holds for an account (`day`: whose quota; `now`: the instant, by `steady_now`)."""

        def work(connection: Connection) -> Standing:
            instant = self._database.shared_time(now)
            row = connection.execute(sa.text(PACE), {"account": account}).mappings().first()
            return standing_of(row, _says_exhausted(connection, account, day), instant)

        return self._run(account, work)

    def _change_pace(self, account: str, now: float, change: Callable[[Pace, float], tuple[Pace, T]]) -> T:
        """Read the state of an account's pace, change it and write it: one step for all others."""
        query = sa.select(_PACE).where(_PACE.c.account == account).with_for_update()

        def work(connection: Connection) -> T:
            row = connection.execute(query).mappings().first()
            if row is None:
                _insert_new(connection, _PACE, {"account": account, **asdict(Pace())})
                row = connection.execute(query).mappings().one()
            changed, told = change(pace_of(row), self._database.shared_time(now))
            connection.execute(sa.update(_PACE).where(_PACE.c.account == account).values(asdict(changed)))
            return told

        return self._run(account, work)


def _says_exhausted(connection: Connection, account: str, day: date) -> bool:
    return bool(connection.execute(sa.text(EXHAUSTED), {"account": account, "day": day.isoformat()}).scalar())


def _is_exhausted(account: str, day: date) -> sa.Exists:
    return sa.exists().where(_EXHAUSTED.c.account == account, _EXHAUSTED.c.day == day.isoformat())


def _insert_new(connection: Connection, table: sa.Table, row: dict[str, Any]) -> None:
    """Insert a row unless it is there; two processes may do so at the same moment, and to be second is as good."""
    keys = [table.c[column.name] == row[column.name] for column in table.primary_key.columns]
    if connection.execute(sa.select(sa.literal(1)).select_from(table).where(*keys)).first() is None:
        with suppress(sa.exc.IntegrityError), connection.begin_nested():
            connection.execute(sa.insert(table).values(row))
