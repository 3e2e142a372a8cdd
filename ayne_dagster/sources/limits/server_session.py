"""Locks that all machines share, in the ledger's Postgres: one session a process. What they are for, others decide.

They are advisory locks of a session (https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS): the
server lets go of them when the session ends, and so when the process does, however that is. A session that was lost is
never taken for one that holds: what was locked in it is not ours until it was let go of and locked anew. A pooler that
hands out another session for each transaction (PgBouncer's transaction mode) must not stand in between.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ayne_dagster.sources.limits.ledger_database import LedgerDatabase

_KEEPALIVES = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
"""So that the server notices within half a minute that a machine has vanished."""
_LOCK = sa.text("SELECT pg_try_advisory_lock(:key)")
_UNLOCK = sa.text("SELECT pg_advisory_unlock(:key)")
_HOLDER = sa.text(
    "SELECT coalesce(a.application_name, '') FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a USING (pid)"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database ="
    " (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND (l.classid::bigint << 32 | l.objid::bigint) = :key"
)
T = TypeVar("T")


class ServerSession:
    """One session at the server, opened at first use, with the locks that this process holds in it.

    Args:
        database: the ledger's, on a Postgres server.
        scope: whose locks these are: those of another scope are others.
    """

    def __init__(self, database: LedgerDatabase, scope: str) -> None:
        self._database = database
        self._scope = scope
        self._connection: Connection | None = None
        self._number = 0
        self._held: dict[str, int] = {}
        """By lock: the number of the session in which it was taken."""
        self._process = os.getpid()
        self._guard = threading.RLock()

    def try_lock(self, what: str) -> bool:
        """Take a lock without waiting; whether it was free. Nobody has it twice, this process neither.

        Raises:
            LedgerError: the server cannot be had.
        """
        with self._guard:
            self._notice_fork()
            if what in self._held:
                return False
            if not self._ask(lambda connection: bool(connection.execute(_LOCK, self._key(what)).scalar_one())):
                return False
            self._held[what] = self._number
            return True

    def unlock(self, what: str) -> None:
        """Let go of a lock; nothing where it is not held."""
        with self._guard:
            self._notice_fork()
            number = self._held.pop(what, None)
            if number is None or number != self._number or self._connection is None:
                return
            with suppress(sa.exc.SQLAlchemyError):  # a session that is lost has let go of it
                self._connection.execute(_UNLOCK, self._key(what))

    def still_holds(self, what: str) -> bool:
        """Whether a lock is ours at this moment, and whatever else this process locked too."""
        with self._guard:
            self._notice_fork()
            if what not in self._held or any(number != self._number for number in self._held.values()):
                return False
            if self._connection is None:
                return False
            try:
                self._connection.execute(sa.text("SELECT 1")).scalar_one()
            except sa.exc.SQLAlchemyError:
                self._close()
                return False
            return True

    def holder(self, what: str) -> str | None:
        """Who holds a lock, in words for a person; None where nobody does.

        Raises:
            LedgerError: the server cannot be had.
        """
        with self._guard:
            self._notice_fork()
            found = self._ask(lambda connection: connection.execute(_HOLDER, self._key(what)).scalar())
        return None if found is None else str(found) or "another process"

    def close(self) -> None:
        """End the session, and with it all its locks."""
        with self._guard:
            self._close()
            self._held.clear()

    def _ask(self, work: Callable[[Connection], T]) -> T:
        """Ask the server something; once more in a new session where the last one was lost since."""
        for attempt in (1, 2):
            try:
                return work(self._connected())
            except sa.exc.SQLAlchemyError as error:
                self._close()
                if attempt == 2 or not getattr(error, "connection_invalidated", False):
                    raise self._database.explained(error) from None
        raise AssertionError

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = self._database.session()
            name = f"process {os.getpid()} on {socket.gethostname()}"[:63]
            for setting, value in {**_KEEPALIVES, "application_name": name}.items():
                connection.execute(sa.text("SELECT set_config(:setting, :value, false)").bindparams(
                    setting=setting, value=value
                ))  # fmt: skip
            self._connection = connection
            self._number += 1
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sa.exc.SQLAlchemyError):
                connection.close()

    def _notice_fork(self) -> None:
        """Leave the session to the parent in a forked process, which holds none of its locks."""
        if self._process != os.getpid():
            self._abandoned = self._connection  # closing it, or having it collected, would end the parent's session
            self._connection = None
            self._held.clear()
            self._process = os.getpid()

    def _key(self, what: str) -> dict[str, int]:
        """A lock as the server numbers it."""
        digest = hashlib.blake2b(f"{self._scope}\0{what}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return {"key": int.from_bytes(digest, "big", signed=True)}


_sessions: dict[tuple[str, str], ServerSession] = {}
_sessions_guard = threading.Lock()


def session_at(ledger_url: str, scope: str) -> ServerSession:
    """The session of this process at a ledger's server, the same each time; opened at first use."""
    with _sessions_guard:
        if (ledger_url, scope) not in _sessions:
            _sessions[ledger_url, scope] = ServerSession(LedgerDatabase(ledger_url), scope)
        return _sessions[ledger_url, scope]
