"""Where the request ledger is kept: opening, transactions, errors in one line without secrets. What is kept: `ledger`.

SQLite locks the whole file at the start of a transaction; other databases lock the rows that are read to be changed.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine
from tenacity import retry, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_random

from ayne_dagster.errors import OneLineError, WrongUsage, is_of_the_place
from ayne_dagster.settings.places import absolute
from ayne_dagster.sources.limits.clock import boot, steady_now
from ayne_dagster.sources.limits.noted import AHEAD, ahead_of

METADATA = sa.MetaData()
IN_MEMORY = "sqlite://"
POSTGRES = "postgresql+psycopg"
MEASURED_FOR_SECONDS = 300.0
"""How long a measured difference to a server's clock is relied on."""
OLD_BOOT_SECONDS = 86_400.0
"""A start of the machine so long before the present one is forgotten."""
_CLOCKS = sa.Table(  # starts of machines, and what their steady clocks lack to the time of day
    "clocks",
    METADATA,
    sa.Column("boot", sa.String(80), primary_key=True),
    sa.Column("ahead", sa.Double, nullable=False),
)

_HOST = re.compile(r"[\w.-]*|[0-9a-fA-F:.]+(%\w+)?")  # names, and addresses of IPv6, whose brackets are gone by now
_DATABASE = re.compile(r"[^@/:?#\s]*")

_NO_SECRETS = {"user", "host", "hostaddr", "port", "dbname", "sslmode", "connect_timeout", "application_name"}
"""Options of an address that may be read by everybody."""
_SHORTEST_SECRET = 2
"""Letters of a word that is found everywhere in a text: to take it out would hide the text and keep no secret."""

T = TypeVar("T")


class LedgerError(OneLineError):
    """The ledger cannot be used."""


class WrongLedger(WrongUsage, LedgerError):
    """What `AYNE_LEDGER_URL` says cannot be used, or needs something that is not installed."""


class LedgerDatabase:
    """A database for the ledger's tables, opened at first use.

    Args:
        place: an SQLite file, or an address as SQLAlchemy writes it.
    """

    def __init__(self, place: Path | str) -> None:
        self._url = URL.create("sqlite", database=str(place)) if isinstance(place, Path) else _parsed(place)
        self._engine: Engine | None = None
        self._ahead = 0.0
        self._measured_at = 0.0
        self._opened: tuple[int, int] | None = None
        self._process = os.getpid()
        self._lock = threading.RLock()

    @property
    def name(self) -> str:
        """The file, or the address without user, password and options."""
        if self._url is None:
            return "of AYNE_LEDGER_URL"
        if self._file is not None:
            return str(self._file)
        url = self._url
        return URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()

    @property
    def exists(self) -> bool:
        """False for a file that is not there yet."""
        return self._file is None or self._file.exists()

    @property
    def _file(self) -> Path | None:
        if (
            self._url is None
            or self._url.get_backend_name() != "sqlite"
            or self._url.database in (None, "", ":memory:")
        ):
            return None
        return Path(str(self._url.database))

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do something in one transaction.

        A connection that the server has closed meanwhile is made anew, once: what was under way was rolled back, or
        at worst is charged twice.

        Raises:
            LedgerError: it cannot be done; nothing was changed.
        """
        try:
            try:
                return self._transaction(work)
            except sa.exc.DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                return self._transaction(work)
        except (OSError, ImportError, sa.exc.SQLAlchemyError) as error:
            raise self.explained(error) from None

    def session(self) -> Connection:
        """A connection of its own to the server, in autocommit, for what lasts as long; the caller closes it.

        Raises:
            LedgerError: the server cannot be had.
        """
        try:
            with self._lock:
                engine = self._current_engine()
            connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()  # given back to the engine's others it would keep what it holds
        except (OSError, ImportError, sa.exc.SQLAlchemyError) as error:
            raise self.explained(error) from None
        return connection

    def shared_time(self, now: float) -> float:
        """An instant of `steady_now`, by the clock that all users of the ledger share.

        That of a server, for a file that of the machine. Called within `run`.
        """
        return now + self._ahead

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        with self._lock:
            engine = self._current_engine()
        if self._is_in_memory:  # one connection for all threads
            with self._lock, engine.begin() as connection:
                return work(connection)
        with engine.begin() as connection:
            return work(connection)

    def _current_engine(self) -> Engine:
        """The engine, made once a process; a file must still be the one that was opened.

        Raises:
            LedgerError: it is another, or gone: others count there, or will, without what was counted here.
        """
        if self._process != os.getpid() and self._engine is not None and not self._is_in_memory:
            self._engine.dispose(close=False)  # its connections belong to the parent
            self._engine, self._process = None, os.getpid()
        if self._engine is None:
            self._engine = self._open()
            self._opened = _identity(self._file)
        elif self._file is not None and _identity(self._file) != self._opened:
            raise LedgerError(
                f"The request ledger {self._file} was removed or replaced while it was in use: what was sent today may "
                "not be counted in it any more; nothing was asked. Put it back, or start again what collects."
            )
        if self._engine.dialect.name == "postgresql" and time.monotonic() - self._measured_at > MEASURED_FOR_SECONDS:
            self._ahead, self._measured_at = _clock_ahead(self._engine), time.monotonic()
        return self._engine

    @property
    def _is_in_memory(self) -> bool:
        return self._url is not None and self._url.get_backend_name() == "sqlite" and self._file is None

    def _open(self) -> Engine:
        if self._url is None:
            raise WrongLedger(
                "AYNE_LEDGER_URL cannot be read; nothing was asked. Write it as "
                "postgresql://user:password@host/database, with %40 for @, %3A for : and %2F for / inside the password."
            )
        if self._url.get_backend_name() == "sqlite":
            engine = _open_sqlite(self._url, self._file)
        else:
            engine = _open_server(self._url)
        _make_tables(engine)
        _require_our_columns(engine, self.name)
        if self._file is not None:
            self._ahead = _agreed_time(engine)
        return engine

    def explained(self, error: Exception) -> LedgerError:
        """What an error of the database means, in one line without secrets."""
        if isinstance(error, ModuleNotFoundError | sa.exc.NoSuchModuleError):
            wanted = "ayne_dagster[postgres]" if "psycopg" in str(error) else "its SQLAlchemy driver"
            return WrongLedger(
                f"The request ledger {self.name} cannot be used: {self._redacted(str(error))}; nothing was asked. "
                f"Install {wanted}."
            )
        advice = "Check its folder." if self._file is not None else "Check AYNE_LEDGER_URL and its server."
        reason = self._redacted(" ".join(str(getattr(error, "orig", None) or error).splitlines()[:1]))
        kind = WrongLedger if isinstance(error, OSError) and is_of_the_place(error) else LedgerError
        return kind(f"The request ledger {self.name} cannot be used ({reason}); nothing was asked. {advice}")

    def _redacted(self, text: str) -> str:
        if self._url is None:
            return text
        options = [value for name, value in self._url.query.items() if name.lower() not in _NO_SECRETS]
        for secret in (self._url.password, *map(str, options)):
            if secret and len(secret) > _SHORTEST_SECRET:
                for spelling in {str(secret), quote(str(secret), safe=""), quote_plus(str(secret)), repr(str(secret))}:
                    text = text.replace(spelling, "…")
        return text


def _parsed(address: str) -> URL | None:
    """The address; None where it cannot be read, which the first use tells."""
    try:
        url = sa.make_url(address)
        if not _is_plain(url):
            return None
        if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
            return url.set(database=absolute(str(url.database)))
        return url.set(drivername=POSTGRES) if url.drivername in ("postgresql", "postgres") else url
    except (sa.exc.ArgumentError, ValueError):
        return None


def _is_plain(url: URL) -> bool:
    """Whether host and database can be shown: an @ or a / in a user or password makes its rest a part of them."""
    if url.get_backend_name() == "sqlite":
        return url.username is None and url.password is None and url.host is None
    return bool(_HOST.fullmatch(url.host or "")) and bool(_DATABASE.fullmatch(url.database or ""))


def _open_sqlite(url: URL, file: Path | None) -> Engine:
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    pool: dict[str, Any] = {} if file is not None else {"poolclass": sa.pool.StaticPool}
    engine = sa.create_engine(url, connect_args={"timeout": 30, "check_same_thread": False}, **pool)

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: object, _: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]
        _set_journal(connection)

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _open_server(url: URL) -> Engine:
    if url.drivername != POSTGRES:
        return sa.create_engine(url)
    # A server or a network that goes silent ends in an error, not in a wait for ever.
    patience = {"connect_timeout": 10, "tcp_user_timeout": 30_000, "keepalives_idle": 30}
    engine = sa.create_engine(url, connect_args=patience, isolation_level="READ COMMITTED")

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _: object) -> None:
        # A machine that vanishes in the middle of a charge must not keep its lock for the hours that TCP would.
        with connection.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = '10s'")
            cursor.execute("SET lock_timeout = '30s'")
        connection.commit()

    return engine


@retry(
    retry=retry_if_exception_type((sa.exc.IntegrityError, sa.exc.ProgrammingError)),
    stop=stop_after_attempt(5),
    wait=wait_random(0.01, 0.05),
    reraise=True,
)
def _make_tables(engine: Engine) -> None:
    """Make the tables that are missing; on a server another process may be making them at the same moment."""
    METADATA.create_all(engine)


def _agreed_time(engine: Engine) -> float:
    """What to add to `steady_now` for the time that all users of a file agree on: whoever comes first after a start of
    the machine takes it from the time of day, and the others from the file."""
    this = boot()
    with engine.begin() as connection:
        agreed = ahead_of(connection.execute(sa.text(AHEAD), {"boot": this}).scalar())
        if agreed is not None:
            return agreed
        ahead = time.time() - steady_now()
        forgotten = sa.or_(_CLOCKS.c.ahead < ahead - OLD_BOOT_SECONDS, _CLOCKS.c.boot == this)
        connection.execute(sa.delete(_CLOCKS).where(forgotten))
        connection.execute(sa.insert(_CLOCKS).values(boot=this, ahead=ahead))
    return ahead


def _clock_ahead(engine: Engine) -> float:
    """What to add to `steady_now` for the time of the server, which all its users share."""
    differences = []
    with engine.begin() as connection:
        for _ in range(3):
            before = steady_now()
            server = float(connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
            after = steady_now()
            differences.append((after - before, server - (before + after) / 2))
    return min(differences)[1]


def _identity(file: Path | None) -> tuple[int, int] | None:
    """What tells a file from another at the same path; None where there is none."""
    if file is None:
        return None
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _require_our_columns(engine: Engine, name: str) -> None:
    """Refuse tables of another program, or of a version that we do not know, before anything is counted in them."""
    found = sa.inspect(engine)
    for table in METADATA.sorted_tables:
        columns = {column["name"] for column in found.get_columns(table.name)}
        if not {column.name for column in table.columns} <= columns:
            raise LedgerError(
                f"The request ledger {name} is none that this program knows (its table {table.name} has other "
                "columns); nothing was asked. Install the ayne_dagster that made it, or set AYNE_LEDGER_URL to another."
            )


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
