"""Locks at the ledger's server are one for all, end with their session, and are never taken for ours after that."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ayne_dagster.sources.limits.ledger_database import LedgerDatabase, LedgerError
from ayne_dagster.sources.limits.server_session import ServerSession, session_at
from ayne_dagster_tests.support.postgres import PASSWORD, Postgres


@pytest.fixture
def sessions(postgres_url: str) -> Iterator[tuple[ServerSession, ServerSession]]:
    """Two processes' sessions."""
    pair = tuple(ServerSession(LedgerDatabase(postgres_url), "movies") for _ in range(2))
    yield pair[0], pair[1]
    for session in pair:
        session.close()


def end_all(postgres: Postgres, url: str) -> None:
    database = url.rpartition("/")[2]
    postgres.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")


def test_a_lock_is_one_for_all_and_its_holder_has_a_name(sessions: tuple[ServerSession, ServerSession]) -> None:
    one, other = sessions
    assert one.try_lock("turn")
    assert not one.try_lock("turn")
    assert not other.try_lock("turn")
    assert other.try_lock("lease tmdb")
    assert one.still_holds("turn")
    assert not other.still_holds("turn")
    assert other.holder("turn") == one.holder("turn")
    assert f"process {os.getpid()} on " in str(other.holder("turn"))
    one.unlock("turn")
    assert other.holder("turn") is None
    assert other.try_lock("turn")


def test_locks_of_another_scope_are_others(sessions: tuple[ServerSession, ServerSession], postgres_url: str) -> None:
    elsewhere = ServerSession(LedgerDatabase(postgres_url), "books")
    assert sessions[0].try_lock("turn")
    assert elsewhere.try_lock("turn")
    elsewhere.close()


def test_a_session_that_ends_lets_go_of_all_it_held(sessions: tuple[ServerSession, ServerSession]) -> None:
    one, other = sessions
    assert one.try_lock("turn")
    one.close()
    assert other.try_lock("turn")
    assert not one.still_holds("turn")


def test_what_was_locked_in_a_session_that_was_lost_is_not_ours_until_it_is_locked_anew(
    sessions: tuple[ServerSession, ServerSession], postgres: Postgres, postgres_url: str
) -> None:
    one, _ = sessions
    assert one.try_lock("lease tmdb")
    assert one.try_lock("turn")
    end_all(postgres, postgres_url)
    assert not one.still_holds("turn")
    one.unlock("turn")
    assert one.try_lock("turn")
    assert not one.still_holds("turn")  # the lease from before is somebody else's by now
    one.unlock("lease tmdb")
    assert one.still_holds("turn")


def test_a_server_that_does_not_answer_is_told_without_the_password(postgres: Postgres, postgres_url: str) -> None:
    gone = ServerSession(LedgerDatabase(postgres_url.replace(f":{postgres.port}/", ":1/")), "movies")
    with pytest.raises(LedgerError, match="cannot be used") as told:
        gone.try_lock("turn")
    assert PASSWORD not in str(told.value)


def test_a_forked_process_holds_nothing_and_leaves_the_session_to_its_parent(
    sessions: tuple[ServerSession, ServerSession],
) -> None:
    one, other = sessions
    assert one.try_lock("turn")
    if (child := os.fork()) == 0:
        os._exit(0 if not one.still_holds("turn") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert one.still_holds("turn")
    assert not other.try_lock("turn")


def test_a_process_has_one_session_for_a_ledger(postgres_url: str) -> None:
    assert session_at(postgres_url, "movies") is session_at(postgres_url, "movies")
