"""The request ledger: pace and daily quota of each API account, shared by all processes and kept across crashes.

A small SQLite database beside the warehouse, written before each request is sent. Not for statistics: what was
fetched is in the warehouse's `fetch_log`. A ledger in DuckDB was tried and lost a worker; here every charge is one
atomic UPDATE (DESIGN, "Invariants" 6).
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random

_METADATA = sa.MetaData()
_QUOTA = sa.Table(
    "quota",
    _METADATA,
    sa.Column("account", sa.String, primary_key=True),
    sa.Column("day", sa.String, primary_key=True),
    sa.Column("used", sa.Integer, nullable=False),
)
_PACE = sa.Table(
    "pace",
    _METADATA,
    sa.Column("account", sa.String, primary_key=True),
    # Theoretical arrival time of the next request (GCRA), and the end of a pause, as seconds since the epoch.
    sa.Column("arrival", sa.Float, nullable=False),
    sa.Column("paused_until", sa.Float, nullable=False),
)


def account_name(source: str, base_url: str, key: str | None) -> str:
    """Name of an API account in the ledger: the source and a hash of address and key, never the key."""
    digest = hashlib.sha256(f"{base_url}\0{key or ''}".encode()).hexdigest()
    return f"{source}:{digest[:16]}"


class LedgerError(Exception):
    """The ledger cannot be used: one line that says why."""


@dataclass(frozen=True)
class QuotaUse:
    """Requests used on a day, of how many (0: no limit)."""

    used: int
    cap: int

    @property
    def left(self) -> int | None:
        """Requests left; None without a limit."""
        return max(0, self.cap - self.used) if self.cap else None


class RequestLedger:
    """Charges requests to accounts.

    Args:
        path: the SQLite file; it and its folder are made when they do not exist.

    Example:
        >>> ledger = RequestLedger(Path("/tmp/doctest.ledger.sqlite"))
        >>> ledger.charge("omdb:demo", date(2026, 1, 1), cap=1000)
        True
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine: Engine | None = None

    def charge(self, account: str, day: date, cap: int) -> bool:
        """Charge one request to the day's quota, before it is sent.

        Returns:
            False when the quota is used up: the request must not be sent.
        """
        use = (
            sa.update(_QUOTA)
            .where(_QUOTA.c.account == account, _QUOTA.c.day == day.isoformat(), _QUOTA.c.used < cap)
            .values(used=_QUOTA.c.used + 1)
        )
        with self._transaction() as connection:
            _ensure_row(connection, _QUOTA, account=account, day=day.isoformat(), used=0)
            return connection.execute(use).rowcount == 1

    def fill(self, account: str, day: date, cap: int) -> None:
        """Note that the source itself says the day's quota is used up."""
        with self._transaction() as connection:
            _ensure_row(connection, _QUOTA, account=account, day=day.isoformat(), used=0)
            connection.execute(
                sa.update(_QUOTA)
                .where(_QUOTA.c.account == account, _QUOTA.c.day == day.isoformat(), _QUOTA.c.used < cap)
                .values(used=cap)
            )

    def use(self, account: str, day: date, cap: int) -> QuotaUse:
        """How much of the day's quota is used."""
        query = sa.select(_QUOTA.c.used).where(_QUOTA.c.account == account, _QUOTA.c.day == day.isoformat())
        with self._transaction() as connection:
            return QuotaUse(connection.execute(query).scalar() or 0, cap)

    def reserve(self, account: str, rate: float, burst: int, now: float) -> float:
        """Reserve the next place in an account's pace (GCRA: a token bucket in one number).

        Args:
            account: whose pace.
            rate: requests a second, above 0.
            burst: size of the bucket.
            now: seconds since the epoch.

        Returns:
            Seconds to wait before sending.
        """
        step = 1.0 / rate
        with self._transaction() as connection:
            _ensure_row(connection, _PACE, account=account, arrival=0.0, paused_until=0.0)
            row = connection.execute(
                sa.select(_PACE.c.arrival, _PACE.c.paused_until).where(_PACE.c.account == account)
            ).one()
            start = max(now, _believable(row.paused_until, now))
            arrival = max(_believable(row.arrival, now), start) + step
            connection.execute(sa.update(_PACE).where(_PACE.c.account == account).values(arrival=arrival))
        return float(max(start, arrival - burst * step) - now)

    def pause_left(self, account: str, now: float) -> float:
        """Seconds until anybody may send for an account again (`now`: seconds since the epoch)."""
        query = sa.select(_PACE.c.paused_until).where(_PACE.c.account == account)
        with self._transaction() as connection:
            return float(max(0.0, _believable(connection.execute(query).scalar() or 0.0, now) - now))

    def pause(self, account: str, until: float) -> None:
        """Let nobody send for an account before `until` (seconds since the epoch)."""
        with self._transaction() as connection:
            _ensure_row(connection, _PACE, account=account, arrival=0.0, paused_until=0.0)
            connection.execute(
                sa.update(_PACE)
                .where(_PACE.c.account == account, _PACE.c.paused_until < until)
                .values(paused_until=until)
            )

    def _transaction(self) -> _Transaction:
        if self._engine is None:
            self._engine = _open(self.path)
        return _Transaction(self._engine, self.path)


def _believable(instant: float, now: float) -> float:
    """An instant of the ledger; one far ahead means that the clock was set back, and nobody waits for it."""
    return instant if instant < now + 3600 else 0.0


class _Transaction:
    """One write transaction; the lock is taken at its start, so that read and update are one step."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._path = path

    def __enter__(self) -> Connection:
        try:
            self._begin = self._engine.begin()
            return self._begin.__enter__()
        except sa.exc.SQLAlchemyError as error:
            raise _explained(error, self._path) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._begin.__exit__(kind, error, trace)
        except sa.exc.SQLAlchemyError as failure:
            raise _explained(failure, self._path) from None
        if isinstance(error, sa.exc.SQLAlchemyError):
            raise _explained(error, self._path) from None


def _open(path: Path) -> Engine:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 30, "check_same_thread": False})

        @sa.event.listens_for(engine, "connect")
        def _configure(connection: object, _: object) -> None:
            connection.isolation_level = None  # type: ignore[attr-defined]
            _set_journal(connection)

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        _METADATA.create_all(engine)
    except (OSError, sa.exc.SQLAlchemyError) as error:
        raise _explained(error, path) from None
    return engine


@retry(
    retry=retry_if_exception_type(sqlite3.OperationalError),
    stop=stop_after_delay(10),
    wait=wait_random(0.01, 0.05),
    reraise=True,
)
def _set_journal(connection: Any) -> None:
    """WAL: a killed process leaves nothing half written, and a charge costs a tenth of a millisecond.

    Changing to it fails at once while another process does so; SQLite's own wait does not cover it.
    """
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _explained(error: Exception, path: Path) -> LedgerError:
    reason = str(getattr(error, "orig", None) or error).splitlines()[0]
    return LedgerError(f"The request ledger {path} cannot be used ({reason}); nothing was asked. Check its folder.")


def _ensure_row(connection: Connection, table: sa.Table, **values: object) -> None:
    keys = [table.c[column.name] == values[column.name] for column in table.primary_key.columns]
    if connection.execute(sa.select(sa.literal(1)).where(*keys)).first() is None:
        connection.execute(sa.insert(table).values(**values))
