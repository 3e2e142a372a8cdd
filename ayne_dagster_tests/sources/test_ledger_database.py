"""Where the ledger is kept: what cannot be opened is told in one line, without the password; locks and lost servers."""

from __future__ import annotations

import sys
import threading
import time
from datetime import date
from pathlib import Path

import psycopg
import pytest

from ayne_dagster.sources.limits import ledger_database
from ayne_dagster.sources.limits.ledger import LedgerError, RequestLedger
from ayne_dagster_tests.support.postgres import PASSWORD, Postgres

TODAY = date(2026, 3, 1)
NOW = 1_772_366_400.0
OMDB = "omdb:0123456789abcdef"
SECRET = "s3cret/word"
QUOTED = "s3cret%2Fword"


def complaint(place: str) -> str:
    """What the first use of a ledger says, in one line, without secrets."""
    with pytest.raises(LedgerError) as caught:
        RequestLedger(place).charge(OMDB, TODAY, 10)
    text = str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "\n" not in text
    for secret in (SECRET, QUOTED, "s3cret", PASSWORD):
        assert secret not in text
        assert secret not in repr(RequestLedger(place))
    assert "nothing was asked" in text
    return text


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://me:{QUOTED}@127.0.0.1:1/ayne",
        f"postgres://me:{QUOTED}@127.0.0.1:1/ayne",
        f"postgresql+psycopg://me:{QUOTED}@127.0.0.1:1/ayne",
        f"postgresql://127.0.0.1:1/ayne?user=me&password={QUOTED}",
    ],
)
def test_a_server_that_is_not_there_is_told_without_the_password(address: str) -> None:
    text = complaint(address)
    assert "127.0.0.1:1/ayne" in text
    assert "AYNE_LEDGER_URL" in text


def test_a_short_value_and_an_open_option_garble_no_message() -> None:
    for address in ("postgresql://127.0.0.1:1/ayne?user=u&sslmode=disable", "postgresql://u:e@127.0.0.1:1/ayne"):
        text = complaint(address)
        assert "refused" in text
        assert "…" not in text


def test_a_wrong_password_is_told_without_it(postgres: Postgres) -> None:
    text = complaint(postgres.url(password=QUOTED))
    assert "password authentication failed" in text
    assert f"127.0.0.1:{postgres.port}" in text


def test_a_database_that_does_not_exist_is_named(postgres: Postgres) -> None:
    assert '"nowhere" does not exist' in complaint(postgres.url("nowhere"))


@pytest.mark.parametrize(
    "address",
    ["s3cret", "postgresql:s3cret", "://me:s3cret@127.0.0.1/ayne", "postgresql://me:p@s3cret@127.0.0.1/ayne",
     "postgresql://me:s3cret@127.0.0.1:port/ayne", "postgresql://me:p@ss:s3cret@127.0.0.1:5432/ayne"],
)  # fmt: skip
def test_an_address_that_cannot_be_read_is_told_with_how_to_write_it(address: str) -> None:
    text = complaint(address)
    assert "AYNE_LEDGER_URL" in text


def test_a_database_that_sqlalchemy_does_not_know_is_told() -> None:
    assert "oracled" in complaint(f"oracled://me:{QUOTED}@127.0.0.1/ayne")


def test_a_missing_driver_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert "ayne_dagster[postgres]" in complaint(f"postgresql://me:{QUOTED}@127.0.0.1:1/ayne")


def test_an_sqlite_address_is_a_file_too(tmp_path: Path) -> None:
    ledger = RequestLedger(f"sqlite:///{tmp_path}/deep/ledger.sqlite")
    assert ledger.charge(OMDB, TODAY, 1)
    assert not RequestLedger(tmp_path / "deep" / "ledger.sqlite").charge(OMDB, TODAY, 1)


def test_the_plain_address_of_a_postgres_and_the_one_with_its_driver_are_the_same(postgres_url: str) -> None:
    assert RequestLedger(postgres_url).charge(OMDB, TODAY, 1)
    assert not RequestLedger(postgres_url.replace("postgresql://", "postgresql+psycopg://")).charge(OMDB, TODAY, 1)


def test_a_connection_that_the_server_closed_is_made_anew(postgres: Postgres, postgres_url: str) -> None:
    ledger = RequestLedger(postgres_url)
    assert ledger.charge(OMDB, TODAY, 2)
    database = postgres_url.rpartition("/")[2]
    ended = postgres.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
    assert ended == [(True,)]
    assert ledger.charge(OMDB, TODAY, 2)
    assert ledger.use(OMDB, TODAY, 2).used == 2


def test_a_machine_that_vanishes_in_the_middle_of_a_charge_does_not_keep_its_lock(postgres_url: str) -> None:
    ledger = RequestLedger(postgres_url)
    ledger.charge(OMDB, TODAY, 10)
    engine = ledger._database._engine
    assert engine is not None
    with engine.connect() as connection:
        told = {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in ("idle_in_transaction_session_timeout", "lock_timeout")
        }
    assert told == {"idle_in_transaction_session_timeout": "10s", "lock_timeout": "30s"}


def test_a_row_that_another_process_is_changing_is_waited_for(postgres_url: str) -> None:
    ledger = RequestLedger(postgres_url)
    ledger.reserve(OMDB, 1.0, 1, NOW)
    with psycopg.connect(postgres_url) as holder:
        holder.execute("SELECT * FROM account_pace FOR UPDATE")
        waits: list[float] = []
        waiting = threading.Thread(target=lambda: waits.append(RequestLedger(postgres_url).reserve(OMDB, 1.0, 1, NOW)))
        waiting.start()
        blocked = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        deadline = time.monotonic() + 30
        with psycopg.connect(postgres_url, autocommit=True) as onlooker:
            while onlooker.execute(blocked).fetchone() == (0,):
                assert time.monotonic() < deadline, "nobody waits for the lock"
        assert waits == []
        holder.execute("UPDATE account_pace SET arrival = arrival + 5")
        holder.commit()
        waiting.join(30)
    assert waits == [pytest.approx(6, abs=0.1)]


def test_machines_whose_clocks_differ_share_one_pace(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = RequestLedger(postgres_url)
    now = ledger_database.steady_now()
    assert right.reserve(OMDB, 1.0, 1, now) == 0
    monkeypatch.setattr(ledger_database, "steady_now", lambda real=ledger_database.steady_now: real() + 20)
    fast = RequestLedger(postgres_url)
    assert fast.reserve(OMDB, 1.0, 1, now + 20) == pytest.approx(1, abs=0.2), "as for a clock that shows the same"
    assert right.reserve(OMDB, 1.0, 1, now) == pytest.approx(2, abs=0.2)


def test_the_time_that_all_share_is_the_server_s(postgres_url: str) -> None:
    ledger = RequestLedger(postgres_url)
    ledger.charge(OMDB, TODAY, 1)
    assert ledger._database.shared_time(ledger_database.steady_now()) == pytest.approx(time.time(), abs=30)
