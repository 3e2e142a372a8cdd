"""An account's limits as the whole stack of transports keeps them: reserve, closed days, slowing, long pauses.

In virtual time: nothing waits (see `test_transport`).
"""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from ayne_dagster.config import ApiSettings, Settings
from ayne_dagster.sources import transport
from ayne_dagster.sources.errors import QuotaExhausted, SourcePaused
from ayne_dagster.sources.limits.account import Account, account_of
from ayne_dagster.sources.limits.ledger import RequestLedger
from ayne_dagster.sources.limits.pace import MOST_HALVINGS
from ayne_dagster.sources.omdb.client import AsyncOMDBClient
from ayne_dagster.sources.transport import PaceTransport, build_client
from ayne_dagster_tests.sources.test_transport import KEY, URL, Wire, answer, good, virtually

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FREE = ApiSettings("http://api.example/3", 0.0, 40, 5)
PACED = ApiSettings("http://api.example/3", 4.0, 40, 5)


@pytest.fixture
def ledger(tmp_path: Path) -> RequestLedger:
    return RequestLedger(tmp_path / "ledger.sqlite")


def account(settings: ApiSettings, ledger: RequestLedger | None = None, **more: Any) -> Account:
    return Account("omdb", settings, ledger, KEY, lambda: NOON, **more)


async def ask(wire: Wire, of: Account, times: int) -> list[Any]:
    async with build_client(of, wire=wire.transport) as client:
        return await asyncio.gather(*(client.get(URL) for _ in range(times)), return_exceptions=True)


# The reserve


def test_a_collection_leaves_the_reserve_and_a_person_may_use_it_up(ledger: RequestLedger) -> None:
    settings, wire = replace(FREE, daily_quota=10, quota_reserve=4), Wire()
    refused = virtually(lambda: ask(wire, account(settings, ledger, use_reserve=False), 9))[-1]
    assert len(wire.requests) == 6
    assert isinstance(refused, QuotaExhausted)
    assert "6 requests are used up; 4 more are kept in reserve for people" in str(refused)
    refused = virtually(lambda: ask(wire, account(settings, ledger), 9))[-1]
    assert len(wire.requests) == 10
    assert "10 requests are used up" in str(refused)
    assert "reserve" not in str(refused)


def test_a_reserve_above_the_quota_leaves_nothing_to_collections() -> None:
    wire = Wire()
    virtually(lambda: ask(wire, account(replace(FREE, daily_quota=10, quota_reserve=11), use_reserve=False), 5))
    assert wire.requests == []


def test_a_client_made_by_hand_with_the_ledger_may_use_the_reserve(ledger: RequestLedger) -> None:
    settings = Settings(omdb=replace(FREE, daily_quota=10, quota_reserve=10), omdb_api_key=KEY)
    body = {"Response": "True", "imdbID": "tt0137523", "Title": "Fight Club"}
    wire = httpx.MockTransport(lambda _: httpx.Response(200, json=body))

    async def main(**more: Any) -> None:
        async with AsyncOMDBClient(settings=settings, ledger=ledger, wire=wire, now=lambda: NOON, **more) as omdb:
            await omdb.get_movie_by_imdb_id("tt0137523")

    asyncio.run(main())
    with pytest.raises(QuotaExhausted):
        asyncio.run(main(use_reserve=False))
    assert account_of("omdb", settings, ledger, lambda: NOON).quota_use.used == 1


# "Request limit reached!"


def test_a_source_that_says_its_limit_is_reached_is_asked_by_nobody_else_that_day_though_no_quota_is_set(
    ledger: RequestLedger, tmp_path: Path
) -> None:
    settings = Settings(omdb=FREE, omdb_api_key=KEY)
    requests = 0

    def handler(_: httpx.Request) -> httpx.Response:
        nonlocal requests
        requests += 1
        return httpx.Response(401, json={"Response": "False", "Error": "Request limit reached!"})

    async def main(of: RequestLedger, now: datetime) -> None:
        wire = httpx.MockTransport(handler)
        async with AsyncOMDBClient(settings=settings, ledger=of, wire=wire, now=lambda: now) as omdb:
            with pytest.raises(QuotaExhausted):
                await omdb.get_movie_by_imdb_id("tt0137523")

    asyncio.run(main(ledger, NOON))
    asyncio.run(main(RequestLedger(tmp_path / "ledger.sqlite"), NOON))
    assert requests == 1, "a later run of the day sends none"
    asyncio.run(main(ledger, datetime(2026, 3, 2, tzinfo=UTC)))
    assert requests == 2, "a new day is a new chance"


def test_a_run_under_way_stops_when_another_process_is_told_that_the_limit_is_reached(ledger: RequestLedger) -> None:
    wire, of = Wire(seconds=0.5), account(FREE, ledger)

    async def main() -> list[Any]:
        asking = asyncio.create_task(ask(wire, of, 100))
        await asyncio.sleep(2.2)
        account(FREE, ledger).note_exhausted()
        return await asking

    results = virtually(main)
    assert 20 <= len(wire.requests) <= 35
    assert sum(isinstance(result, QuotaExhausted) for result in results) == 100 - len(wire.requests)


# Counting without a quota


def test_requests_of_a_source_without_a_quota_are_counted_for_the_day(ledger: RequestLedger) -> None:
    virtually(lambda: ask(Wire(seconds=0.1), account(FREE, ledger), 33))
    assert account(FREE, ledger).quota_use.used == 33


def test_a_ledger_that_breaks_at_the_end_does_not_fail_what_was_fetched(tmp_path: Path) -> None:
    ledger = RequestLedger(tmp_path / "ledger.sqlite")

    async def main() -> None:
        async with build_client(account(FREE, ledger), wire=Wire().transport) as client:
            await client.get(URL)
            with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
                other.execute("DROP TABLE quota")

    virtually(main)


# Slowing down


@pytest.mark.parametrize("shared", [False, True], ids=["in memory", "through the ledger"])
def test_refusals_that_repeat_halve_the_pace_and_quiet_minutes_restore_it(ledger: RequestLedger, shared: bool) -> None:
    of = account(PACED, ledger if shared else None)
    wire = Wire(*[good] * 41, answer(429, retry_after="2"), *[good] * 7, answer(429, retry_after="2"), good)
    virtually(lambda: ask(wire, of, 900))
    times = [at - wire.times[49] for at in wire.times[50:]]
    slow = [later - earlier for earlier, later in pairwise(times) if 20 < earlier < 110]
    fast = [later - earlier for earlier, later in pairwise(times) if earlier > 150]
    assert min(slow) == pytest.approx(0.5, abs=0.01)
    assert sorted(fast)[len(fast) // 2] == pytest.approx(0.25, abs=0.01)
    assert (of.refusals, of.slowest_share) == (2, 0.5)


def test_a_process_that_was_not_refused_itself_slows_down_with_the_others(ledger: RequestLedger) -> None:
    one, other = account(PACED, ledger), account(PACED, ledger)
    quiet = Wire()

    async def main() -> None:
        await ask(Wire(answer(429, retry_after="1"), answer(429, retry_after="1"), good), one, 1)
        await ask(quiet, other, 10)

    virtually(main)
    distances = [later - earlier for earlier, later in pairwise(quiet.times)]
    assert min(distances) == pytest.approx(0.5, abs=0.01), "and has no burst"
    assert (other.refusals, other.slowest_share) == (0, 0.5)


def test_one_refusal_is_told_and_slows_nobody() -> None:
    of = account(PACED)
    virtually(lambda: ask(Wire(answer(429, retry_after="1"), good), of, 3))
    assert (of.refusals, of.slowest_share) == (1, None)


def test_a_storm_of_refusals_never_slows_below_the_floor() -> None:
    of = account(PACED)
    virtually(lambda: ask(Wire(answer(429, retry_after="0")), of, 12))
    assert of.slowest_share == 0.5**MOST_HALVINGS


def test_an_account_without_a_pace_has_half_its_connections_while_refusals_repeat(ledger: RequestLedger) -> None:
    first = account(FREE, ledger)
    wire = Wire(answer(429, retry_after="1"), answer(429, retry_after="1"), good)
    slowed, restored = Wire(seconds=1.0), Wire(seconds=1.0)

    async def main() -> None:
        await ask(wire, first, 1)
        await ask(slowed, account(FREE, ledger), 30)
        await asyncio.sleep(300)
        await ask(restored, account(FREE, ledger), 30)

    virtually(main)
    assert first.slowest_share == 0.5
    assert (slowed.most_in_flight, restored.most_in_flight) == (2, 5)


def test_connections_come_back_during_a_run_and_never_fall_below_one() -> None:
    wire = Wire(*[answer(429, retry_after="1")] * 20, good, seconds=1.0)
    of = account(FREE)
    virtually(lambda: ask(wire, of, 700))
    assert of.slowest_share == 0.5**MOST_HALVINGS
    assert wire.most_in_flight == 5
    late = wire.times[-20:]
    assert late[-1] - late[0] < 6, "five at a time again"


# Long pauses


def test_a_pause_longer_than_a_run_waits_for_is_met_by_all_workers_without_a_request(ledger: RequestLedger) -> None:
    wire, of = Wire(answer(429, retry_after="301"), seconds=0.1), account(replace(PACED, max_concurrent=1), ledger)
    results = virtually(lambda: ask(wire, of, 5))
    assert len(wire.requests) == 1
    assert all(isinstance(result, SourcePaused) for result in results)
    assert [result.requests for result in results] == [1, 0, 0, 0, 0]
    assert "301 s" in str(results[0])
    elsewhere = Wire()
    (refused,) = virtually(lambda: ask(elsewhere, account(PACED, ledger), 1))
    assert isinstance(refused, SourcePaused)
    assert elsewhere.requests == []


def test_a_pause_of_five_minutes_is_waited_for() -> None:
    wire = Wire(answer(429, retry_after="300"), good)
    (got,) = virtually(lambda: ask(wire, account(PACED), 1))
    assert got.status_code == 200
    assert wire.times[1] - wire.times[0] == pytest.approx(300, abs=0.1)


def test_a_wait_that_people_notice_is_told_once() -> None:
    told: list[str] = []
    wire = Wire(answer(429, retry_after="30"), good, answer(429, retry_after="2"), good)
    of = account(PACED)
    of.on_wait = told.append
    virtually(lambda: ask(wire, of, 3))
    assert told == ["omdb: waiting 30 s, since it asks for a pause"]


def test_a_place_that_others_have_taken_is_a_wait_that_is_told() -> None:
    told: list[str] = []
    ledger = RequestLedger.in_memory()
    of = account(ApiSettings(FREE.base_url, 1.0, 1, 1), ledger)
    of.on_wait = told.append

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def main() -> None:
        for _ in range(8):
            ledger.reserve(of.name, 1.0, 1, transport.time.time())
        await PaceTransport(Wire().transport, of, sleep=sleep).handle_async_request(httpx.Request("GET", URL))

    virtually(main)
    assert told == ["omdb: waiting 8 s, since its pace was slowed by refusals, or others use it too"]


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "through the ledger"])
def test_a_place_that_refusals_put_off_is_a_wait_that_is_told(shared: bool) -> None:
    told: list[str] = []
    of = account(ApiSettings(FREE.base_url, 1.0, 10, 2, retry_wait=0.0), RequestLedger.in_memory() if shared else None)
    of.on_wait = told.append

    async def main() -> None:
        for _ in range(2 * MOST_HALVINGS):
            of.refused(0.0)
            await asyncio.sleep(1.1)
        await ask(Wire(), of, 2)

    virtually(main)
    assert [text for text in told if "slowed by refusals" in text], "one request in 8 s"


# Machines that wake sleepers late


def test_a_request_that_wakes_too_late_for_its_place_takes_another() -> None:
    slept: list[float] = []
    ledger = RequestLedger.in_memory()
    of = account(ApiSettings(FREE.base_url, 10.0, 1, 5), ledger)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(seconds + (0.09 if len(slept) == 1 else 0.0))

    async def main() -> None:
        ledger.reserve(of.name, 10.0, 1, transport.time.time())
        await PaceTransport(Wire().transport, of, sleep=sleep).handle_async_request(httpx.Request("GET", URL))

    virtually(main)
    assert slept == pytest.approx([0.1, 0.01], abs=1e-3), "its place, missed by 0.09 s, and the next one"
