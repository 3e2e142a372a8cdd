"""A glance at the request ledger tells what the ledger tells, or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from ayne_dagster.sources.limits.clock import steady_now
from ayne_dagster.sources.limits.ledger import RequestLedger
from ayne_dagster.sources.limits.noted import glance

TODAY, CAP = date(2026, 3, 7), 1_000
ACCOUNT, FORMER = "omdb:abc", "omdb:as-it-was"
NAMES = {ACCOUNT: (FORMER,)}


def charged(ledger: RequestLedger, now: float) -> None:
    for day in (TODAY, TODAY, TODAY, TODAY - timedelta(days=1)):
        assert ledger.charge(ACCOUNT, day, CAP)


def exhausted(ledger: RequestLedger, now: float) -> None:
    ledger.exhaust(ACCOUNT, TODAY)


def of_another_day(ledger: RequestLedger, now: float) -> None:
    ledger.exhaust(ACCOUNT, TODAY - timedelta(days=1))


def refused(ledger: RequestLedger, now: float) -> None:
    for _ in range(3):
        ledger.refuse(ACCOUNT, 30.0, now)


def banned(ledger: RequestLedger, now: float) -> None:
    ledger.ban(ACCOUNT, 3_600.0, now)


@pytest.mark.parametrize("happened", [charged, exhausted, of_another_day, refused, banned])
def test_a_glance_tells_what_the_ledger_tells(tmp_path: Path, happened: Callable[[RequestLedger, float], None]) -> None:
    ledger, now = RequestLedger(tmp_path / "a ledger.sqlite"), steady_now()
    ledger.standing(ACCOUNT, TODAY, now)
    happened(ledger, now)
    seen = glance(tmp_path / "a ledger.sqlite", NAMES, TODAY, now)
    use = ledger.use(ACCOUNT, TODAY, CAP)
    assert seen == {ACCOUNT: (use.used, ledger.standing(ACCOUNT, TODAY, now))}
    assert use.exhausted == seen[ACCOUNT][1].exhausted


def test_a_ledger_that_is_not_there_is_not_made_by_a_glance(tmp_path: Path) -> None:
    assert glance(tmp_path / "ledger.sqlite", NAMES, TODAY, steady_now()) is None
    assert list(tmp_path.iterdir()) == []


def test_what_is_noted_under_a_former_name_is_left_to_the_ledger(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    RequestLedger(file).charge(FORMER, TODAY, CAP)
    assert glance(file, NAMES, TODAY, steady_now()) is None
    ledger = RequestLedger(file)
    ledger.know_as(ACCOUNT, NAMES[ACCOUNT])
    assert ledger.use(ACCOUNT, TODAY, CAP).used == 1
    assert glance(file, NAMES, TODAY, steady_now()) is not None


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE quota SET used = 'many'",
        "UPDATE quota SET used = -1",
        "DELETE FROM clocks",
        "UPDATE clocks SET ahead = 1e300",
        "DROP TABLE account_pace",
        "ALTER TABLE quota RENAME COLUMN used TO spent",
    ],
)
def test_what_is_not_as_it_should_be_is_left_to_the_ledger(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "ledger.sqlite"
    RequestLedger(file).charge(ACCOUNT, TODAY, CAP)
    assert glance(file, NAMES, TODAY, steady_now()) is not None
    connection = sqlite3.connect(file)
    connection.execute(damage)
    connection.commit()
    connection.close()
    assert glance(file, NAMES, TODAY, steady_now()) is None


def test_what_is_no_database_is_left_to_the_ledger(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    file.write_bytes(b"nothing of the kind " * 100)
    assert glance(file, NAMES, TODAY, steady_now()) is None
