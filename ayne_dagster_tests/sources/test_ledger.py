"""The request ledger: quota and pace that hold across processes, crashes and days."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.config import load_settings
from ayne_dagster.sources.limits.ledger import (
    LedgerError,
    QuotaUse,
    RequestLedger,
    Standing,
    account_name,
    open_ledger,
    steady_now,
)
from ayne_dagster.sources.limits.pace import LONGEST_PAUSE, MOST_HALVINGS
from ayne_dagster_tests.support.thoroughness import examples

TODAY = date(2026, 3, 1)
NOW = 1_772_366_400.0
OMDB = "omdb:0123456789abcdef"


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a ledger can be: a file, or a database of a real server."""
    if request.param == "sqlite":
        return tmp_path / "data" / "ayne.ledger.sqlite"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def ledger(place: Path | str) -> RequestLedger:
    return RequestLedger(place)


# Names


def test_an_accounts_name_tells_accounts_apart_and_holds_no_key() -> None:
    name = account_name("omdb", "https://www.omdbapi.com/", "feedc0de")
    assert name.startswith("omdb:")
    assert "feedc0de" not in name
    assert name == account_name("omdb", "https://www.omdbapi.com/", "feedc0de")
    others = {
        account_name("omdb", "https://www.omdbapi.com/", "feedc0df"),
        account_name("omdb", "http://127.0.0.1:8000/omdb/", "feedc0de"),
        account_name("tmdb", "https://www.omdbapi.com/", "feedc0de"),
        account_name("omdb", "https://www.omdbapi.com/", None),
    }
    assert len(others | {name}) == 5


def test_the_file_holds_no_key(tmp_path: Path) -> None:
    ledger = RequestLedger(tmp_path / "ayne.ledger.sqlite")
    name = account_name("omdb", "https://www.omdbapi.com/", "feedc0de")
    ledger.charge(name, TODAY, 10)
    ledger.reserve(name, 1.0, 1, NOW)
    files = list(tmp_path.iterdir())
    assert files
    assert all(b"feedc0de" not in file.read_bytes() for file in files)


# Quota


def test_no_more_than_the_cap_is_granted(ledger: RequestLedger) -> None:
    assert [ledger.charge(OMDB, TODAY, 3) for _ in range(5)] == [True, True, True, False, False]
    assert ledger.use(OMDB, TODAY, 3) == QuotaUse(used=3, cap=3)


def test_a_new_day_has_a_new_quota(ledger: RequestLedger) -> None:
    assert ledger.charge(OMDB, TODAY, 1)
    assert not ledger.charge(OMDB, TODAY, 1)
    assert ledger.charge(OMDB, TODAY + timedelta(days=1), 1)
    assert not ledger.charge(OMDB, TODAY, 1), "yesterday stays used up"


def test_accounts_do_not_share_a_quota(ledger: RequestLedger) -> None:
    assert ledger.charge(OMDB, TODAY, 1)
    assert ledger.charge("omdb:another", TODAY, 1)


def test_what_is_charged_outlives_the_process(place: Path | str) -> None:
    ledger = RequestLedger(place)
    ledger.charge(OMDB, TODAY, 2)
    again = RequestLedger(place)
    assert again.use(OMDB, TODAY, 2).used == 1
    assert again.charge(OMDB, TODAY, 2)
    assert not ledger.charge(OMDB, TODAY, 2)


def test_a_raised_cap_can_be_used_on_the_same_day(ledger: RequestLedger) -> None:
    assert ledger.charge(OMDB, TODAY, 1)
    assert not ledger.charge(OMDB, TODAY, 1)
    assert ledger.charge(OMDB, TODAY, 2)


def test_an_exhausted_day_grants_nothing_more_whatever_the_quota(ledger: RequestLedger) -> None:
    ledger.charge(OMDB, TODAY, 1000)
    ledger.exhaust(OMDB, TODAY)
    assert ledger.use(OMDB, TODAY, 1000) == QuotaUse(1, 1000, exhausted=True)
    assert ledger.use(OMDB, TODAY, 1000).left == ledger.use(OMDB, TODAY, 0).left == 0
    assert not ledger.charge(OMDB, TODAY, 1000)
    assert not ledger.charge(OMDB, TODAY, 2000)
    assert ledger.standing(OMDB, TODAY, NOW).exhausted
    assert ledger.charge(OMDB, TODAY + timedelta(days=1), 1000)
    assert ledger.charge("omdb:another", TODAY, 1000)


def test_a_day_can_be_exhausted_before_the_first_charge_and_more_than_once(ledger: RequestLedger) -> None:
    ledger.exhaust(OMDB, TODAY)
    ledger.exhaust(OMDB, TODAY)
    assert not ledger.charge(OMDB, TODAY, 1000)


def test_requests_without_a_quota_are_counted_all_the_same(ledger: RequestLedger) -> None:
    ledger.count(OMDB, TODAY, 7)
    ledger.count(OMDB, TODAY, 5)
    assert ledger.use(OMDB, TODAY, 0) == QuotaUse(12, 0)


def test_an_unused_day_is_unused(ledger: RequestLedger) -> None:
    assert ledger.use(OMDB, TODAY, 1000) == QuotaUse(0, 1000)
    assert ledger.use(OMDB, TODAY, 1000).left == 1000
    assert ledger.use(OMDB, TODAY, 0).left is None


# Pace


@settings(max_examples=examples(40), deadline=None)
@given(
    rate=st.sampled_from([0.5, 2.0, 4.0, 50.0]),
    burst=st.integers(1, 40),
    gaps=st.lists(st.one_of(st.just(0.0), st.floats(0.0, 20.0)), min_size=1, max_size=60),
)
def test_reserved_places_stay_within_the_pace(
    tmp_path_factory: pytest.TempPathFactory, rate: float, burst: int, gaps: list[float]
) -> None:
    ledger = RequestLedger(tmp_path_factory.mktemp("pace") / "ledger.sqlite")
    now, sent = NOW, list[float]()
    for gap in gaps:
        now += gap
        wait = ledger.reserve("tmdb:x", rate, burst, now)
        assert wait >= 0
        sent.append(now + wait)
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            assert last - first + 1 <= burst + rate * (sent[last] - sent[first]) + 1e-3


def test_a_burst_goes_at_once_and_the_next_one_waits(ledger: RequestLedger) -> None:
    waits = [ledger.reserve("tmdb:x", 4.0, 3, NOW) for _ in range(5)]
    assert waits == pytest.approx([0, 0, 0, 0.25, 0.5], abs=1e-5)


def test_an_idle_account_has_its_burst_again_and_no_more(ledger: RequestLedger) -> None:
    for _ in range(3):
        ledger.reserve("tmdb:x", 4.0, 3, NOW)
    waits = [ledger.reserve("tmdb:x", 4.0, 3, NOW + 3600) for _ in range(4)]
    assert waits == pytest.approx([0, 0, 0, 0.25], abs=1e-5)


def test_a_clock_that_was_set_back_does_not_make_everybody_wait_for_the_difference(ledger: RequestLedger) -> None:
    ledger.reserve("tmdb:x", 4.0, 3, NOW)
    assert ledger.reserve("tmdb:x", 4.0, 3, NOW - 30 * 86_400) <= 3601


def test_nobody_sends_during_a_pause(ledger: RequestLedger) -> None:
    ledger.refuse("tmdb:x", 30, NOW)
    assert ledger.reserve("tmdb:x", 4.0, 3, NOW) == pytest.approx(30)
    assert ledger.reserve("tmdb:x", 4.0, 3, NOW + 29) == pytest.approx(1)
    assert ledger.reserve("tmdb:x", 4.0, 3, NOW + 31) == 0
    assert ledger.reserve("tmdb:other", 4.0, 3, NOW) == 0


def test_what_one_process_learns_of_a_source_holds_for_the_others(place: Path | str) -> None:
    one, other = RequestLedger(place), RequestLedger(place)
    assert other.standing("tmdb:x", TODAY, NOW) == Standing(0.0, exhausted=False, halvings=0)
    one.refuse("tmdb:x", 30, NOW)
    assert other.standing("tmdb:x", TODAY, NOW + 10).pause_left == pytest.approx(20.0, abs=0.1)
    other.refuse("tmdb:x", 30, NOW + 40)
    assert one.standing("tmdb:x", TODAY, NOW + 70.1) == Standing(0.0, exhausted=False, halvings=1)
    waits = [one.reserve("tmdb:x", 4.0, 3, NOW + 71), other.reserve("tmdb:x", 4.0, 3, NOW + 71)]
    assert waits == pytest.approx([0, 0.5], abs=0.1)


def test_a_ledger_in_memory_serves_several_threads() -> None:
    ledger = RequestLedger.in_memory()
    with ThreadPoolExecutor(8) as threads:
        granted = list(threads.map(lambda _: ledger.charge("omdb:x", TODAY, 150), range(200)))
    assert granted.count(True) == 150
    assert ledger.use("omdb:x", TODAY, 150).used == 150


@pytest.mark.parametrize("how", ["removed", "replaced", "garbled"])
def test_a_ledger_file_that_is_lost_while_it_is_used_is_noticed(tmp_path: Path, how: str) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = RequestLedger(path)
    assert ledger.charge("omdb:x", TODAY, 10)
    path.unlink()
    if how == "replaced":
        assert RequestLedger(path).charge("omdb:x", TODAY, 10)
    if how == "garbled":
        path.write_text("a letter " * 500)
    for _ in range(2):
        with pytest.raises(LedgerError, match="nothing was asked") as told:
            ledger.charge("omdb:x", TODAY, 10)
        assert "\n" not in str(told.value)


def test_a_ledger_with_other_columns_is_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE quota (account TEXT, day TEXT, spent INTEGER)")
    with pytest.raises(LedgerError, match="its table quota has other columns"):
        RequestLedger(path).charge("omdb:x", TODAY, 10)


def test_all_processes_of_a_machine_reckon_with_one_time_whatever_their_clocks_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.sqlite"
    right = RequestLedger(path)
    assert right.reserve("omdb:x", 20.0, 1, steady_now()) == pytest.approx(0)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86_400)
    ahead = RequestLedger(path)
    monkeypatch.setattr(time, "time", lambda: real() - 86_400)
    behind = RequestLedger(path)
    now = steady_now()
    waits = [ledger.reserve("omdb:x", 20.0, 1, now) for _ in range(10) for ledger in (ahead, right, behind)]
    steps = [after - before for before, after in itertools.pairwise(waits)]
    assert steps == pytest.approx([0.05] * 29, abs=1e-4), "a place each, whoever asks"


# Threads, processes, crashes

CHARGE = """
import sys
from datetime import date
from pathlib import Path
from ayne_dagster.sources.limits.ledger import RequestLedger

place, account, cap, share = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
place = place if "://" in place else Path(place)
killed = Path(sys.argv[5])
ledger, day, granted = RequestLedger(place), date(2026, 3, 1), 0
print("ready", flush=True)
sys.stdin.readline()
while True:
    if granted >= share and not killed.exists():
        ledger.charge("somebody else", day, 10**9)  # keeps the file busy until the victim is dead
        continue
    if not ledger.charge(account, day, cap):
        break
    granted += 1
    print("granted", flush=True)
"""


@contextmanager
def processes(number: int, code: str, *arguments: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Python processes that have said "ready" and wait for a line; none is left behind."""
    command = [sys.executable, "-c", code, *arguments]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(number)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.mark.end_to_end
def test_four_processes_one_of_them_killed_use_exactly_the_quota(place: Path | str, tmp_path: Path) -> None:
    killed, cap = tmp_path / "killed", 800
    with processes(4, CHARGE, str(place), OMDB, str(cap), "100", str(killed)) as started:
        victim, *others = started
        for process in started:
            go(process)
        assert victim.stdout is not None
        of_victim = [victim.stdout.readline() for _ in range(20)]
        os.kill(victim.pid, signal.SIGKILL)
        of_victim += victim.stdout.read().splitlines()
        used_then = RequestLedger(place).use(OMDB, TODAY, cap).used
        killed.touch()
        counts = [len(process.communicate()[0].splitlines()) for process in others]
        assert [process.wait() for process in started] == [-signal.SIGKILL, 0, 0, 0]
    assert used_then <= 400, "the victim died in the middle"
    assert len(of_victim) < cap
    assert RequestLedger(place).use(OMDB, TODAY, cap).used == cap
    # The victim may have charged one request and died before it could send it: it is lost, never sent twice.
    assert cap - 1 <= len(of_victim) + sum(counts) <= cap
    assert not RequestLedger(place).charge(OMDB, TODAY, cap)


OPEN = """
import sys
from datetime import date
from pathlib import Path
from ayne_dagster.sources.limits.ledger import RequestLedger

print("ready", flush=True)
for place in sys.argv[1:]:
    sys.stdin.readline()
    ledger = RequestLedger(place if "://" in place else Path(place))
    assert ledger.charge("x", date(2026, 3, 1), 100)
    ledger.reserve("x", 1.0, 1, 1000.0)
    ledger.exhaust("x", date(2026, 3, 2))
    print("opened", flush=True)
"""


@pytest.mark.end_to_end
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_processes_that_make_the_ledger_at_the_same_moment_do_not_trip_over_each_other(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    places: list[Path | str] = [tmp_path / str(number) / "ledger.sqlite" for number in range(6)]
    if kind == "postgres":
        server = request.getfixturevalue("postgres")
        places = [server.new_database() for _ in range(4)]
    with processes(3, OPEN, *map(str, places)) as started:
        for place in places:
            for process in started:
                go(process)
            assert [process.stdout.readline() for process in started if process.stdout] == ["opened\n"] * 3
            ledger = RequestLedger(place)
            assert ledger.use("x", TODAY, 100).used == 3
            assert ledger.reserve("x", 1.0, 1, 1000.0) == pytest.approx(3, abs=0.1), "three places are taken"


def test_threads_of_one_process_use_exactly_the_quota(ledger: RequestLedger) -> None:
    granted: list[bool] = []

    def charge() -> None:
        granted.extend(ledger.charge(OMDB, TODAY, 100) for _ in range(50))

    threads = [threading.Thread(target=charge) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 100
    assert len(granted) == 200


# Places where it cannot be


def unusable(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder.sqlite").mkdir()
    (tmp_path / "text.sqlite").write_text("This is no database, though it is long enough to be taken for one." * 100)
    return {
        "below a file": tmp_path / "file" / "ledger.sqlite",
        "a folder": tmp_path / "folder.sqlite",
        "no database": tmp_path / "text.sqlite",
        "not to be made": Path("/proc/nowhere/ledger.sqlite"),
        "too long a name": tmp_path / ("x" * 300),
    }


@pytest.mark.parametrize("kind", ["below a file", "a folder", "no database", "not to be made", "too long a name"])
@pytest.mark.parametrize("call", ["charge", "exhaust", "use", "reserve", "refuse", "count", "standing"])
def test_a_place_that_cannot_hold_it_is_told_in_one_line(tmp_path: Path, kind: str, call: str) -> None:
    path = unusable(tmp_path)[kind]
    ledger = RequestLedger(path)
    arguments: dict[str, tuple[object, ...]] = {
        "charge": (OMDB, TODAY, 10),
        "exhaust": (OMDB, TODAY),
        "use": (OMDB, TODAY, 10),
        "reserve": (OMDB, 1.0, 1, NOW),
        "refuse": (OMDB, 1.0, NOW),
        "count": (OMDB, TODAY, 1),
        "standing": (OMDB, TODAY, NOW),
    }
    for _ in range(2):
        with pytest.raises(LedgerError) as caught:
            getattr(ledger, call)(*arguments[call])
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "nothing was asked" in str(caught.value)


def test_a_ledger_that_breaks_while_it_is_open_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = RequestLedger(path)
    ledger.charge(OMDB, TODAY, 10)
    other = sqlite3.connect(path)
    other.execute("DROP TABLE quota")
    other.commit()
    other.close()
    with pytest.raises(LedgerError) as caught:
        ledger.charge(OMDB, TODAY, 10)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_failed_transaction_leaves_the_ledger_usable(place: Path | str) -> None:
    ledger = RequestLedger(place)
    assert ledger.charge(OMDB, TODAY, 10)
    with pytest.raises(Exception):  # noqa: B017, PT011 -- whichever, as long as the lock is given back
        ledger.charge(object(), TODAY, 10)  # type: ignore[arg-type]
    assert RequestLedger(place).charge(OMDB, TODAY, 10)
    assert ledger.charge(OMDB, TODAY, 10)


# Which one the settings name


def test_the_settings_name_the_file_beside_the_database_or_the_address_that_is_set(tmp_path: Path) -> None:
    beside = load_settings({"AYNE_DATABASE": str(tmp_path / "movies.duckdb")})
    assert open_ledger(beside).name == str(tmp_path / "movies.duckdb.ledger.sqlite")
    shared = load_settings({"AYNE_LEDGER_URL": "postgresql://me:secret@127.0.0.1:5433/ayne"})
    assert open_ledger(shared).name == "postgresql+psycopg://127.0.0.1:5433/ayne"


def test_a_ledger_that_nothing_was_written_to_is_not_made_by_asking_whether_it_exists(tmp_path: Path) -> None:
    ledger = RequestLedger(tmp_path / "ledger.sqlite")
    assert not ledger.exists
    assert list(tmp_path.iterdir()) == []
    ledger.exhaust(OMDB, TODAY)
    assert ledger.exists


def test_ledgers_in_memory_know_nothing_of_each_other() -> None:
    one, other = RequestLedger.in_memory(), RequestLedger.in_memory()
    one.exhaust(OMDB, TODAY)
    assert not one.charge(OMDB, TODAY, 10)
    assert other.charge(OMDB, TODAY, 10)


def _spoiled(tmp_path: Path, statement: str) -> RequestLedger:
    """A ledger that was used, and in which somebody or something else has written."""
    file = tmp_path / "ledger.sqlite"
    used = RequestLedger(file)
    used.charge(OMDB, TODAY, 10)
    used.reserve(OMDB, 1.0, 1, 1000.0)
    with sqlite3.connect(file) as connection:
        assert connection.execute(statement).rowcount > 0
    connection.close()
    return RequestLedger(file)


@pytest.mark.parametrize("used", ["'abc'", "-5000", "x'00'", "9e999", "-1e999", "''"])
@pytest.mark.parametrize("call", ["charge", "count", "use"])
def test_a_count_that_is_none_is_told_in_a_line_and_grants_nothing(tmp_path: Path, used: str, call: str) -> None:
    ledger = _spoiled(tmp_path, f"UPDATE quota SET used = {used}")
    calls = {
        "charge": lambda: ledger.charge(OMDB, TODAY, 10),
        "count": lambda: ledger.count(OMDB, TODAY, 1),
        "use": lambda: ledger.use(OMDB, TODAY, 10),
    }
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"which is no count; nothing was asked\. .*\(table quota, column used\)"):
            calls[call]()


@pytest.mark.parametrize("used", ["3.0", "9000000000000000000", "9e18"])
def test_a_count_of_another_type_or_size_is_a_count(tmp_path: Path, used: str) -> None:
    ledger = _spoiled(tmp_path, f"UPDATE quota SET used = {used}")
    assert ledger.use(OMDB, TODAY, 2).left == 0
    assert not ledger.charge(OMDB, TODAY, 2)


@pytest.mark.parametrize("value", ["'x'", "''", "x'00'", "9e300", "-9e300", "9e999", "-9e999", "9223372036854775807"])
@pytest.mark.parametrize("column", ["arrival", "paused_until", "halvings", "refused_at", "refusals"])
def test_whatever_stands_in_a_pace_raises_nothing_and_makes_nobody_wait_for_long(
    tmp_path: Path, column: str, value: str
) -> None:
    ledger = _spoiled(tmp_path, f"UPDATE account_pace SET {column} = {value}")
    assert ledger.standing(OMDB, TODAY, 1000.0).halvings <= MOST_HALVINGS
    first, second = (ledger.reserve(OMDB, 1.0, 1, 1000.0) for _ in range(2))
    assert 0 <= first <= second <= LONGEST_PAUSE + 2 * 2**MOST_HALVINGS
    assert second - first >= 1.0
    ledger.refuse(OMDB, 5.0, 1000.0)
    assert ledger.standing(OMDB, TODAY, 1000.0).pause_left >= 5.0


def test_a_ban_holds_for_other_processes_and_goes_over_an_hour(tmp_path: Path) -> None:
    RequestLedger(tmp_path / "ledger.sqlite").ban(OMDB, 86_400.0, 1000.0)
    other = RequestLedger(tmp_path / "ledger.sqlite")
    assert other.standing(OMDB, TODAY, 1000.0).pause_left == pytest.approx(86_400.0, abs=1)
    assert other.standing(OMDB, TODAY, 1000.0 + 80_000).pause_left == pytest.approx(6_400.0, abs=1)
    assert other.standing(OMDB, TODAY, 1000.0 + 86_401).pause_left == 0


@pytest.mark.parametrize("ahead", ["9e18", "'x'", "-9e18", "9e999"])
def test_a_time_that_is_none_is_agreed_on_anew(tmp_path: Path, ahead: str) -> None:
    ledger = _spoiled(tmp_path, f"UPDATE clocks SET ahead = {ahead}")
    first, second = (ledger.reserve(OMDB, 4.0, 1, 1000.0) for _ in range(2))
    assert second - first == pytest.approx(0.25, abs=0.001)
    assert RequestLedger(tmp_path / "ledger.sqlite").reserve(OMDB, 4.0, 1, 1000.0) == pytest.approx(
        second + 0.25, abs=0.001
    )
