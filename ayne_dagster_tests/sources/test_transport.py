"""The stack of transports: retry, pace, quota, credentials, whole body. What answers mean is the clients' matter.

Most tests run on an event loop with virtual time: it jumps to the next timer, so that pace and pauses are exact and
nothing waits. A few use real time and real connections on loopback.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import random
import socket
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import httpx
import pytest

from ayne_dagster.config import ApiSettings
from ayne_dagster.sources import transport
from ayne_dagster.sources.answer_rules import AnswerRules
from ayne_dagster.sources.errors import (
    MalformedAnswer,
    QuotaExhausted,
    SourceBanned,
    SourceError,
    SourcePaused,
    SourceUnavailable,
    TooMuchAsked,
)
from ayne_dagster.sources.json_body import MAX_BODY_BYTES, parse_json
from ayne_dagster.sources.limits import account as account_module
from ayne_dagster.sources.limits.account import Account
from ayne_dagster.sources.limits.ledger import RequestLedger
from ayne_dagster.sources.transport import (
    CredentialsTransport,
    PaceTransport,
    RetryTransport,
    WholeBodyTransport,
    build_client,
)
from ayne_dagster_tests.support.virtual_time import VirtualLoop

T = TypeVar("T")
Reply = httpx.Response | Exception | Callable[[], httpx.Response]

URL = "http://api.example/3/movie/550"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = "feedc0de-the-key"
NO_PACE = ApiSettings("http://api.example/3", 0.0, 40, 100)


def virtually(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in virtual time, which the transports' clocks show too."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, pytest.MonkeyPatch.context() as patch:
        now = runner.get_loop().time
        start = NOON.timestamp() - now()
        clock = SimpleNamespace(monotonic=now, time=lambda: start + now())
        for module in (transport, account_module):
            patch.setattr(module, "time", clock)
            patch.setattr(module, "steady_now", clock.time)
        return runner.run(main())


class Wire:
    """What is at the bottom: gives prepared replies, the last of them for ever, and notes what is asked and when."""

    def __init__(self, *replies: Reply, seconds: float | Callable[[int], float] = 0.0) -> None:
        self.replies = list(replies) or [good]
        self.seconds = seconds
        self.requests: list[httpx.Request] = []
        self.times: list[float] = []
        self.in_flight = self.most_in_flight = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        number = len(self.requests)
        self.requests.append(request)
        self.times.append(asyncio.get_running_loop().time())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.seconds(number) if callable(self.seconds) else self.seconds)
            reply = self.replies[min(number, len(self.replies) - 1)]
            if isinstance(reply, Exception):
                raise reply
            return reply() if callable(reply) else reply
        finally:
            self.in_flight -= 1

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)


class Chunks(httpx.AsyncByteStream):
    """A body that arrives piece by piece, and knows how much of it was taken."""

    def __init__(self, chunks: Sequence[bytes], error: Exception | None = None) -> None:
        self.chunks, self.error = chunks, error
        self.taken = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.taken += 1
            yield chunk
        if self.error is not None:
            raise self.error

    async def aclose(self) -> None:
        self.closed = True


def good() -> httpx.Response:
    return httpx.Response(200, json={"id": 550})


def answer(status: int = 200, content: bytes = b"{}", **headers: str) -> Callable[[], httpx.Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: httpx.Response(status, headers=named, stream=Chunks([content]))


def broken_in_the_middle(error: Exception) -> Callable[[], httpx.Response]:
    return lambda: httpx.Response(200, stream=Chunks([b'{"id":'], error))


def account(settings: ApiSettings = NO_PACE, *, ledger: RequestLedger | None = None, **more: Any) -> Account:
    return Account("tmdb", settings, ledger, **more)


async def ask(wire: Wire, of: Account | None = None, times: int = 1, **more: Any) -> list[httpx.Response]:
    async with build_client(of or account(), wire=wire.transport, **more) as client:
        return await asyncio.gather(*(client.get(URL) for _ in range(times)))


def ask_once(wire: Wire, of: Account | None = None, **more: Any) -> httpx.Response:
    return virtually(lambda: ask(wire, of, **more))[0]


def assert_within_pace(times: Sequence[float], rate: float, burst: int, tolerance: float = 0.0) -> None:
    """In no window were there more requests than the burst and what the rate adds in its length."""
    ordered = sorted(times)
    for first in range(len(ordered)):
        for last in range(first, len(ordered)):
            length = ordered[last] - ordered[first]
            allowed = burst + rate * length + tolerance + 1e-3
            assert last - first + 1 <= allowed, f"{last - first + 1} requests in {length:.3f} s, allowed {allowed:.2f}"


PASSING_TROUBLES: dict[str, Reply] = {
    **{f"HTTP {status}": answer(status, b'{"status_code":11}') for status in (500, 502, 503, 504)},
    "Cloudflare's 522": answer(522, b"<html>"),
    "429": answer(429),
    "ReadTimeout": httpx.ReadTimeout("slow"),
    "ConnectTimeout": httpx.ConnectTimeout("slow"),
    "ConnectError": httpx.ConnectError("refused"),
    "ReadError": httpx.ReadError("reset"),
    "RemoteProtocolError": httpx.RemoteProtocolError("server disconnected"),
    "ReadError in the body": broken_in_the_middle(httpx.ReadError("cut")),
    "DecodingError": answer(200, b"no gzip", content_encoding="gzip"),
    "HTML with 200": answer(200, b"<html><body>Sorry</body></html>", content_type="application/json"),
    "truncated JSON": answer(200, b'{"id":550,"title":"Fight'),
    "truncated list": answer(200, b'[{"id":550},'),
    "empty body": answer(200, b""),
    "plain text": answer(200, b"upstream connect error"),
}


# Retry


@pytest.mark.parametrize("trouble", PASSING_TROUBLES.values(), ids=PASSING_TROUBLES)
def test_a_trouble_that_may_pass_is_asked_again(trouble: Reply) -> None:
    wire = Wire(trouble, good)
    response = ask_once(wire)
    assert response.json() == {"id": 550}
    assert response.extensions["requests"] == len(wire.requests) == 2


@pytest.mark.parametrize("trouble", PASSING_TROUBLES.values(), ids=PASSING_TROUBLES)
def test_after_five_attempts_the_source_counts_as_unavailable(trouble: Reply) -> None:
    wire = Wire(trouble)
    with pytest.raises(SourceUnavailable, match=r"tmdb: .*5 times") as caught:
        ask_once(wire)
    assert caught.value.requests == len(wire.requests) == 5
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_not_asked_again(status: int) -> None:
    wire = Wire(answer(status, b"<html>no JSON either</html>"))
    response = ask_once(wire)
    assert response.status_code == status
    assert response.extensions["requests"] == len(wire.requests) == 1


def test_an_answer_at_once_counts_one_request() -> None:
    assert ask_once(Wire()).extensions["requests"] == 1


@pytest.mark.parametrize("body", [b"[]", b' {"id": 1}\n', b'\xef\xbb\xbf{"id": 1}', b'{"a": "Milli\\M"}', b"[NaN]"])
def test_a_body_that_can_be_parsed_is_not_asked_for_again(body: bytes) -> None:
    wire = Wire(answer(200, body))
    assert ask_once(wire).content == body
    assert len(wire.requests) == 1


def test_waits_between_attempts_double_and_vary() -> None:
    gaps = []
    for seed in range(20):
        wire = Wire(answer(503))

        async def main(wire: Wire = wire, seed: int = seed) -> None:
            retry = RetryTransport(wire.transport, account(), jitter=random.Random(seed))
            with pytest.raises(SourceUnavailable):
                await retry.handle_async_request(httpx.Request("GET", URL))

        virtually(main)
        gaps.append([later - earlier for earlier, later in zip(wire.times, wire.times[1:], strict=False)])
    for attempt, waits in enumerate(zip(*gaps, strict=True)):
        assert all(0.25 * 2**attempt <= wait <= 0.75 * 2**attempt + 1e-6 for wait in waits)
        assert len(set(waits)) > 10


def test_the_number_of_attempts_and_the_sleep_can_be_set() -> None:
    wire, slept = Wire(answer(500)), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def main() -> None:
        retry = RetryTransport(wire.transport, account(), attempts=3, sleep=sleep)
        with pytest.raises(SourceUnavailable) as caught:
            await retry.handle_async_request(httpx.Request("GET", URL))
        assert caught.value.requests == 3

    asyncio.run(main())
    assert len(wire.requests) == 3
    assert len(slept) == 2


def retry_after_values() -> dict[str, str]:
    return {"seconds": "30", "HTTP date": format_datetime(NOON + timedelta(seconds=30), usegmt=True)}


@pytest.mark.parametrize("value", retry_after_values().values(), ids=retry_after_values())
def test_a_429_pauses_all_workers_of_the_account_for_retry_after(value: str) -> None:
    wire = Wire(answer(429, retry_after=value), good)

    async def main() -> None:
        async with build_client(account(now=lambda: NOON), wire=wire.transport) as client:
            first = asyncio.create_task(client.get(URL))
            await asyncio.sleep(1)
            others = [asyncio.create_task(client.get(URL)) for _ in range(5)]
            assert (await first).extensions["requests"] == 2
            await asyncio.gather(*others)

    virtually(main)
    assert len(wire.times) == 7
    assert min(wire.times[1:]) == pytest.approx(wire.times[0] + 30, abs=1e-3)


def test_an_http_date_is_the_sources_time_however_the_platforms_clock_is_turned() -> None:
    wire = Wire(answer(429, retry_after=format_datetime(NOON + timedelta(seconds=30), usegmt=True)), good)
    ask_once(wire, account(now=lambda: NOON + timedelta(days=90)))
    assert wire.times[1] == pytest.approx(wire.times[0] + 30, abs=1)


def test_two_clients_of_one_account_share_the_pause() -> None:
    one, other = Wire(answer(429, retry_after="30"), good), Wire()

    async def main() -> None:
        shared = account()
        first = asyncio.create_task(ask(one, shared))
        await asyncio.sleep(1)
        await asyncio.gather(first, ask(other, shared))

    virtually(main)
    assert other.times[0] >= one.times[0] + 30


@pytest.mark.parametrize("headers", [{}, {"retry_after": "soon"}, {"retry_after": ""}, {"retry_after": "Mon, 99 Foo"}])
def test_a_429_without_a_readable_retry_after_backs_off_with_all_workers(headers: dict[str, str]) -> None:
    wire = Wire(*[answer(429, **headers)] * 4, good)

    async def main() -> None:
        async with build_client(account(), wire=wire.transport) as client:
            first = asyncio.create_task(client.get(URL))
            await asyncio.sleep(0.01)
            other = asyncio.create_task(client.get(URL))
            await asyncio.gather(first, other)

    virtually(main)
    waits = [later - earlier for earlier, later in zip(wire.times, wire.times[1:], strict=False)]
    assert waits[0] >= 0.5, "nobody asks before the first pause is over"
    assert sum(waits) >= 1.5


def test_the_last_429_pauses_the_others_too() -> None:
    wire = Wire(*[answer(429, retry_after="2")] * 5, good)

    async def main() -> None:
        async with build_client(account(), wire=wire.transport) as client:
            with pytest.raises(SourceUnavailable):
                await client.get(URL)
            await client.get(URL)

    virtually(main)
    assert wire.times[5] >= wire.times[4] + 2 - 1e-3


@pytest.mark.parametrize("value", ["301", "86400", "inf", format_datetime(NOON + timedelta(days=1), usegmt=True)])
def test_a_source_that_asks_for_a_long_pause_is_unavailable_at_once(value: str) -> None:
    wire = Wire(answer(429, retry_after=value))
    with pytest.raises(SourceUnavailable, match="wait") as caught:
        ask_once(wire, account(now=lambda: NOON))
    assert caught.value.requests == len(wire.requests) == 1


def test_requests_before_a_long_pause_are_counted() -> None:
    wire = Wire(answer(500), answer(500), answer(429, retry_after="86400"))
    with pytest.raises(SourceUnavailable) as caught:
        ask_once(wire)
    assert caught.value.requests == len(wire.requests) == 3


def test_requests_before_the_end_of_the_quota_are_counted() -> None:
    wire = Wire(answer(500))
    with pytest.raises(QuotaExhausted) as caught:
        ask_once(wire, account(ApiSettings(NO_PACE.base_url, 0.0, 40, 10, daily_quota=2)))
    assert caught.value.requests == len(wire.requests) == 2


def test_requests_before_a_body_that_is_too_large_are_counted() -> None:
    wire = Wire(answer(500), lambda: httpx.Response(200, stream=Chunks([b"[" * 1_000_000] * 11)))
    with pytest.raises(MalformedAnswer) as caught:
        ask_once(wire)
    assert caught.value.requests == len(wire.requests) == 2


# Pace


PACES = [(4.0, 40, 10), (2.0, 40, 5), (200.0, 10, 100), (5.0, 1, 3), (10.0, 2, 1), (1000.0, 100, 7), (4.0, 5, 300)]


@pytest.mark.parametrize("with_ledger", [False, True], ids=["alone", "through the ledger"])
@pytest.mark.parametrize(("rate", "burst", "concurrent"), PACES)
def test_requests_stay_within_the_pace_and_the_connections(
    tmp_path: Path, rate: float, burst: int, concurrent: int, with_ledger: bool
) -> None:
    wire = Wire(seconds=0.3 / rate)
    settings = ApiSettings(NO_PACE.base_url, rate, burst, concurrent)
    ledger = RequestLedger(tmp_path / "ledger.sqlite") if with_ledger else None
    number = burst + 60 + concurrent
    virtually(lambda: ask(wire, account(settings, ledger=ledger), times=number))
    assert len(wire.times) == number
    assert_within_pace(wire.times, rate, burst)
    assert wire.most_in_flight <= concurrent


@pytest.mark.parametrize("with_ledger", [False, True], ids=["alone", "through the ledger"])
@pytest.mark.parametrize(("rate", "burst", "number"), [(4.0, 40, 50), (2.0, 40, 200), (400.0, 40, 50)])
def test_requests_take_the_time_that_the_pace_asks_for_and_hardly_more(
    tmp_path: Path, rate: float, burst: int, number: int, with_ledger: bool
) -> None:
    wire = Wire()
    settings = ApiSettings(NO_PACE.base_url, rate, burst, 10)
    ledger = RequestLedger(tmp_path / "ledger.sqlite") if with_ledger else None
    virtually(lambda: ask(wire, account(settings, ledger=ledger), times=number))
    needed = (number - burst) / rate
    took = wire.times[-1] - wire.times[0]
    assert needed - 1e-3 <= took <= 1.1 * needed + 0.5


def test_real_time_is_kept_too() -> None:
    wire = Wire()
    started = time.monotonic()
    asyncio.run(ask(wire, account(ApiSettings(NO_PACE.base_url, 400.0, 40, 10)), times=50))
    assert time.monotonic() - started <= 1.1 * (10 / 400) + 3, "a busy machine is no finding"
    assert wire.times[-1] - wire.times[0] >= 10 / 400


def test_connections_are_used_up_to_the_limit_and_never_beyond() -> None:
    wire = Wire(seconds=1.0)
    virtually(lambda: ask(wire, account(ApiSettings(NO_PACE.base_url, 0.0, 40, 7)), times=50))
    assert wire.most_in_flight == 7


def test_a_rate_of_0_is_no_pace() -> None:
    wire = Wire()
    virtually(lambda: ask(wire, times=100))
    assert wire.times[-1] - wire.times[0] < 1e-3


def test_retries_are_paced_too() -> None:
    wire = Wire(answer(500))

    async def main() -> None:
        of = account(ApiSettings(NO_PACE.base_url, 1.0, 2, 20))
        async with build_client(of, wire=wire.transport) as client:
            results = await asyncio.gather(*(client.get(URL) for _ in range(10)), return_exceptions=True)
        assert all(isinstance(result, SourceUnavailable) for result in results)

    virtually(main)
    assert len(wire.times) == 50
    assert_within_pace(wire.times, 1.0, 2)


def test_slow_answers_are_not_made_up_for_by_a_rush() -> None:
    wire = Wire(seconds=lambda number: 20.0 if number < 2 else 0.0)
    virtually(lambda: ask(wire, account(ApiSettings(NO_PACE.base_url, 10.0, 5, 2)), times=100))
    assert_within_pace(wire.times, 10.0, 5)


@pytest.mark.parametrize("with_ledger", [False, True], ids=["alone", "through the ledger"])
def test_the_end_of_a_pause_is_no_rush(tmp_path: Path, with_ledger: bool) -> None:
    wire = Wire(*[good] * 30, answer(429, retry_after="60"), good, seconds=0.2)
    ledger = RequestLedger(tmp_path / "ledger.sqlite") if with_ledger else None
    settings = ApiSettings(NO_PACE.base_url, 4.0, 10, 10)
    virtually(lambda: ask(wire, account(settings, ledger=ledger), times=120))
    assert len(wire.times) == 121
    assert_within_pace(wire.times, 4.0, 10)


def test_two_processes_with_one_ledger_share_the_pace(tmp_path: Path) -> None:
    one, other = Wire(), Wire()
    settings = ApiSettings(NO_PACE.base_url, 4.0, 10, 5)

    async def main() -> None:
        accounts = [account(settings, ledger=RequestLedger(tmp_path / "ledger.sqlite"), key=KEY) for _ in range(2)]
        await asyncio.gather(ask(one, accounts[0], times=40), ask(other, accounts[1], times=40))

    virtually(main)
    assert_within_pace(one.times + other.times, 4.0, 10)


def test_two_event_loops_in_real_time_share_the_pace(tmp_path: Path) -> None:
    settings = ApiSettings(NO_PACE.base_url, 40.0, 20, 5)
    times: list[float] = []

    def handler(request: httpx.Request) -> httpx.Response:
        times.append(time.monotonic())
        return good()

    async def main() -> None:
        of = account(settings, ledger=RequestLedger(tmp_path / "ledger.sqlite"), key=KEY)
        async with build_client(of, wire=httpx.MockTransport(handler)) as client:
            await asyncio.gather(*(client.get(URL) for _ in range(35)))

    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == 70
    assert_within_pace(times, 40.0, 20, tolerance=1)


def test_accounts_with_different_keys_do_not_share_the_pace(tmp_path: Path) -> None:
    one, other = Wire(), Wire()
    settings = ApiSettings(NO_PACE.base_url, 1.0, 5, 5)

    async def main() -> None:
        ledger = RequestLedger(tmp_path / "ledger.sqlite")
        accounts = [account(settings, ledger=ledger, key=key) for key in ("one", "other")]
        await asyncio.gather(ask(one, accounts[0], times=4), ask(other, accounts[1], times=4))

    virtually(main)
    assert one.times[-1] - one.times[0] < 1e-3
    assert other.times[-1] - other.times[0] < 1e-3


@pytest.mark.parametrize("rate", [4.0, 0.0], ids=["with pace", "without pace"])
def test_a_429_pauses_other_processes_too(tmp_path: Path, rate: float) -> None:
    one, other = Wire(answer(429, retry_after="30"), good), Wire()
    settings = ApiSettings(NO_PACE.base_url, rate, 10, 5)

    async def main() -> None:
        accounts = [account(settings, ledger=RequestLedger(tmp_path / "ledger.sqlite"), key=KEY) for _ in range(2)]
        first = asyncio.create_task(ask(one, accounts[0]))
        await asyncio.sleep(1)
        await asyncio.gather(first, ask(other, accounts[1]))

    virtually(main)
    assert other.times[0] >= one.times[0] + 30 - 1e-3


def test_a_429_pauses_requests_of_other_processes_that_already_wait_for_their_turn(tmp_path: Path) -> None:
    one, other = Wire(answer(429, retry_after="30"), good, seconds=0.5), Wire()
    settings = ApiSettings(NO_PACE.base_url, 1.0, 2, 5)

    async def main() -> None:
        accounts = [account(settings, ledger=RequestLedger(tmp_path / "ledger.sqlite"), key=KEY) for _ in range(2)]
        first = asyncio.create_task(ask(one, accounts[0]))
        await asyncio.sleep(0.1)
        await asyncio.gather(first, ask(other, accounts[1]))

    virtually(main)
    refused = one.times[0] + 0.5
    assert not [at for at in other.times if refused < at < refused + 30 - 1e-3]


def test_pace_can_be_tested_alone_with_a_sleep_of_ones_own(tmp_path: Path) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def main() -> None:
        ledger = RequestLedger(tmp_path / "ledger.sqlite")
        of = account(ApiSettings(NO_PACE.base_url, 100.0, 1, 5), ledger=ledger)
        ledger.reserve(of.name, 100.0, 1, transport.time.time())
        pace = PaceTransport(Wire().transport, of, sleep=sleep)
        await pace.handle_async_request(httpx.Request("GET", URL))

    virtually(main)
    assert slept == [pytest.approx(0.01, abs=1e-4)]


# Quota


def quota(cap: int) -> ApiSettings:
    return ApiSettings(NO_PACE.base_url, 0.0, 40, 10, daily_quota=cap)


@pytest.mark.parametrize("with_ledger", [False, True], ids=["alone", "through the ledger"])
def test_no_more_requests_are_sent_than_the_quota_has(tmp_path: Path, with_ledger: bool) -> None:
    wire = Wire(seconds=0.1)
    of = account(quota(10), ledger=RequestLedger(tmp_path / "ledger.sqlite") if with_ledger else None)

    async def main() -> list[Any]:
        async with build_client(of, wire=wire.transport) as client:
            return await asyncio.gather(*(client.get(URL) for _ in range(25)), return_exceptions=True)

    results = virtually(main)
    refused = [result for result in results if isinstance(result, QuotaExhausted)]
    assert len(wire.requests) == of.requests_sent == 10
    assert len(refused) == 15
    assert {error.requests for error in refused} == {0}
    assert "10" in str(refused[0])


def test_a_request_is_charged_before_it_is_sent(tmp_path: Path) -> None:
    of = account(quota(10), ledger=RequestLedger(tmp_path / "ledger.sqlite"), now=lambda: NOON)
    used_at_the_wire: list[int] = []

    def handler(request: httpx.Request) -> httpx.Response:
        used_at_the_wire.append(RequestLedger(tmp_path / "ledger.sqlite").use(of.name, NOON.date(), 10).used)
        return good()

    async def main() -> None:
        async with build_client(of, wire=httpx.MockTransport(handler)) as client:
            await client.get(URL)
            await client.get(URL)

    asyncio.run(main())
    assert used_at_the_wire == [1, 2]


def test_every_attempt_is_charged() -> None:
    wire, of = Wire(answer(500), answer(500), good), account(quota(3))
    assert ask_once(wire, of).extensions["requests"] == 3
    with pytest.raises(QuotaExhausted):
        ask_once(Wire(answer(500)), account(quota(2)))
    assert of.requests_sent == 3


def test_the_end_of_the_quota_is_not_asked_again() -> None:
    async def main() -> None:
        wire = Wire()
        async with build_client(account(quota(1)), wire=wire.transport) as client:
            await client.get(URL)
            before = asyncio.get_running_loop().time()
            with pytest.raises(QuotaExhausted):
                await client.get(URL)
            assert asyncio.get_running_loop().time() - before < 1e-3

    virtually(main)


@pytest.mark.parametrize("with_ledger", [False, True], ids=["alone", "through the ledger"])
def test_a_new_utc_day_has_a_new_quota(tmp_path: Path, with_ledger: bool) -> None:
    wire, clock = Wire(), [datetime(2026, 3, 1, 23, 59, tzinfo=UTC)]
    ledger = RequestLedger(tmp_path / "ledger.sqlite") if with_ledger else None

    async def main() -> None:
        of = account(quota(2), ledger=ledger, now=lambda: clock[0])
        async with build_client(of, wire=wire.transport) as client:
            await client.get(URL)
            await client.get(URL)
            with pytest.raises(QuotaExhausted):
                await client.get(URL)
            clock[0] += timedelta(minutes=2)
            await client.get(URL)

    virtually(main)
    assert len(wire.requests) == 3


def test_a_quota_of_0_is_no_limit() -> None:
    wire = Wire()
    virtually(lambda: ask(wire, account(quota(0)), times=30))
    assert len(wire.requests) == 30


def test_a_request_that_is_given_up_while_it_waits_for_its_turn_costs_nothing(tmp_path: Path) -> None:
    ledger = RequestLedger(tmp_path / "ledger.sqlite")
    of = account(ApiSettings(NO_PACE.base_url, 0.01, 2, 10, 100), ledger=ledger, now=lambda: NOON)

    async def main() -> None:
        async with build_client(of, wire=Wire().transport) as client:
            await client.get(URL)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.get(URL), 1.0)

    virtually(main)
    assert ledger.use(of.name, NOON.date(), 100).used == 1


# Credentials

HEADER = {"headers": {"authorization": f"Bearer {KEY}"}}
QUERY = {"parameters": {"api_key": KEY}}
PLACES = pytest.mark.parametrize("credentials", [HEADER, QUERY], ids=["in a header", "in the query"])


def related(error: BaseException) -> Iterator[BaseException]:
    """The error and all that are chained to it, shown in a traceback or not."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) not in seen:
            seen.add(id(one))
            waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
            yield one


def told_by(error: BaseException) -> str:
    """All that an error says, in every way in which it is usually shown."""
    parts = traceback.format_exception(error)
    for one in related(error):
        parts += [str(one), repr(one), repr(one.args), *traceback.format_exception(one)]
        parts += getattr(one, "__notes__", [])
    request = getattr(error, "_request", None)
    if request is not None:
        parts += [str(request.url), repr(request), repr(request.headers.multi_items())]
    return "\n".join(parts)


def outcome_of(ask: Callable[[], httpx.Response]) -> str:
    """All that an answer shows of its request and itself; or all that an error tells."""
    try:
        response = ask()
    except SourceError as error:
        return told_by(error)
    headers = f"{response.headers.multi_items()} {response.request.headers.multi_items()}"
    return f"{response!r} {response.url} {headers} {response.text}"


def logged(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(f"{record.getMessage()} {record.args!r} {record.exc_text or ''}" for record in caplog.records)


@contextmanager
def listening(payload: bytes | None, held: list[socket.socket] | None = None) -> Iterator[int]:
    """A server on loopback that sends the same bytes to everybody, and closes; None: that never answers.

    Its connections are noted in `held`.
    """
    held = [] if held is None else held
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.append(connection)
            if payload is not None:
                connection.recv(65_536)
                connection.sendall(payload)
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in held:
            connection.close()


def http_answer(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


def over_the_real_wire(port: int, credentials: dict[str, Any], timeout: float = 5.0) -> httpx.Response:
    async def main() -> httpx.Response:
        base = f"http://127.0.0.1:{port}/3"
        of = Account("tmdb", ApiSettings(base, 0.0, 40, 10, retry_wait=0.0), key=KEY)
        async with build_client(of, **credentials) as client:
            return await client.get(f"{base}/movie/550", params={"language": "en-US"}, timeout=timeout)

    return asyncio.run(main(), debug=True)


@PLACES
def test_the_key_reaches_the_wire_and_the_layers_above_never_see_it(credentials: dict[str, Any]) -> None:
    wire = Wire()
    response = ask_once(wire, **credentials)
    sent = wire.requests[0]
    if credentials is HEADER:
        assert sent.headers["authorization"] == f"Bearer {KEY}"
        assert KEY not in str(sent.url)
    else:
        assert sent.url.params["api_key"] == KEY
    for request in (response.request, response._request):
        assert request is not None
        assert KEY not in f"{request.url} {request.headers.multi_items()}"
    assert KEY not in f"{response!r} {response.url} {response.headers.multi_items()}"


@PLACES
def test_an_answer_and_an_error_belong_to_the_request_without_the_key(credentials: dict[str, Any]) -> None:
    replies: list[Reply] = [good, httpx.ReadTimeout("slow")]
    layers = CredentialsTransport(WholeBodyTransport(Wire(*replies).transport), **credentials)
    asked = httpx.Request("GET", URL)

    async def main() -> None:
        assert (await layers.handle_async_request(asked)).request is asked
        with pytest.raises(httpx.ReadTimeout) as caught:
            await layers.handle_async_request(asked)
        assert caught.value.request is asked

    virtually(main)


def test_parameters_of_the_request_stay_beside_the_key() -> None:
    wire = Wire()

    async def main() -> None:
        async with build_client(account(), wire=wire.transport, **QUERY) as client:
            await client.get(URL, params={"language": "en-US", "page": "2"})

    virtually(main)
    assert dict(wire.requests[0].url.params) == {"language": "en-US", "page": "2", "api_key": KEY}


REAL_CASES = {
    "success": http_answer("200 OK", b'{"id": 550}'),
    "401": http_answer("401 Unauthorized", b'{"status_code": 7, "status_message": "Invalid API key"}'),
    "500": http_answer("500 Oops", b"<html>"),
    "HTML": http_answer("200 OK", b"<html>"),
    "truncated": http_answer("200 OK", b'{"id": 550}')[:-4],
    "reset": b"",
}


@PLACES
@pytest.mark.parametrize("payload", REAL_CASES.values(), ids=REAL_CASES)
def test_no_error_and_no_log_line_holds_the_key(
    caplog: pytest.LogCaptureFixture, credentials: dict[str, Any], payload: bytes
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "aiohttp", "asyncio", "ayne_dagster"):
        caplog.set_level(logging.DEBUG, logger=name)
    with listening(payload) as port:
        told = outcome_of(lambda: over_the_real_wire(port, credentials))
    assert KEY not in told
    assert "HTTP Request" in logged(caplog) or "SourceUnavailable" in told
    assert KEY not in logged(caplog)


@PLACES
def test_a_connection_that_fails_tells_no_key(caplog: pytest.LogCaptureFixture, credentials: dict[str, Any]) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(SourceUnavailable, match="no connection") as caught:
        over_the_real_wire(port, credentials)
    assert caught.value.requests == 5
    assert KEY not in told_by(caught.value)
    assert KEY not in logged(caplog)


@PLACES
def test_a_time_out_tells_no_key(caplog: pytest.LogCaptureFixture, credentials: dict[str, Any]) -> None:
    caplog.set_level(logging.DEBUG)
    with listening(None) as port, pytest.raises(SourceUnavailable, match=r"Timeout|in time") as caught:
        over_the_real_wire(port, credentials, timeout=0.05)
    assert caught.value.requests == 5
    assert KEY not in told_by(caught.value)
    assert KEY not in logged(caplog)


MALFORMED_HTTP = {
    "no HTTP at all": b"garbage\r\n\r\n",
    "a header without a colon": b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n{}",
    "a length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n{}",
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}",
}


@PLACES
@pytest.mark.parametrize("payload", MALFORMED_HTTP.values(), ids=MALFORMED_HTTP)
def test_malformed_http_counts_as_unavailable_and_tells_no_key(credentials: dict[str, Any], payload: bytes) -> None:
    with listening(payload) as port, pytest.raises(Exception) as caught:  # noqa: PT011 -- the type is checked below
        over_the_real_wire(port, credentials)
    assert KEY not in told_by(caught.value)
    assert isinstance(caught.value, SourceUnavailable)
    assert caught.value.requests == 5


@PLACES
@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError])
def test_an_error_whose_text_quotes_the_key_is_redacted(
    credentials: dict[str, Any], kind: type[httpx.TransportError]
) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise kind(f"{request.url} {request.headers.multi_items()} {KEY}", request=request)

    async def main() -> None:
        async with build_client(account(), wire=httpx.MockTransport(handler), **credentials) as client:
            await client.get(URL)

    with pytest.raises(SourceUnavailable) as caught:
        virtually(main)
    assert KEY not in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert KEY not in repr(caught.value)


def test_a_key_that_the_url_writes_in_another_way_is_redacted_too() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"cannot reach {request.url}", request=request)

    async def main() -> None:
        of = account()
        async with build_client(
            of, wire=httpx.MockTransport(handler), parameters={"apikey": "abc+def/ghi= jkl+mno/pqr="}
        ) as client:
            await client.get(URL)

    with pytest.raises(SourceUnavailable) as caught:
        virtually(main)
    assert "apikey=a" not in str(caught.value)


@PLACES
def test_a_decoding_error_tells_no_key(credentials: dict[str, Any]) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        ask_once(Wire(answer(200, b"no gzip", content_encoding="gzip")), **credentials)
    assert KEY not in told_by(caught.value)


@PLACES
@pytest.mark.parametrize("status", [200, 401, 404])
def test_a_body_that_quotes_the_key_is_redacted_before_anybody_reads_it(
    credentials: dict[str, Any], status: int
) -> None:
    body = json.dumps({"status_code": 7, "status_message": f"Invalid API key: {KEY}"}).encode()
    response = ask_once(Wire(answer(status, body)), **credentials)
    assert KEY.encode() not in response.content


@PLACES
def test_a_large_body_that_quotes_the_key_is_redacted_before_it_is_quarantined(credentials: dict[str, Any]) -> None:
    chunk = (KEY + " " * 1_000_000).encode()
    with pytest.raises(MalformedAnswer) as caught:
        ask_once(Wire(lambda: httpx.Response(200, stream=Chunks([chunk] * 11))), **credentials)
    assert KEY.encode() not in caught.value.body


def test_the_demonstrations_key_is_an_ordinary_word_and_alters_no_body() -> None:
    body = json.dumps({"id": 550, "title": "Demolition: a demonstration of demonic democracy"}).encode()
    for credentials in ({"headers": {"authorization": "Bearer demo"}}, {"parameters": {"apikey": "demo"}}):
        assert ask_once(Wire(answer(200, body)), **credentials).content == body


def test_an_accounts_repr_holds_no_key() -> None:
    of = account(key=KEY)
    assert KEY not in repr(of)
    assert KEY not in of.name


# Whole body


def test_a_body_larger_than_any_real_one_is_malformed_and_not_read_to_its_end() -> None:
    stream = Chunks([b"[" * 1_000_000] * 50)
    wire = Wire(lambda: httpx.Response(200, stream=stream))
    with pytest.raises(MalformedAnswer, match="larger than 10,000,000 bytes") as caught:
        ask_once(wire)
    assert len(wire.requests) == 1, "not asked again"
    assert stream.taken <= 11
    assert stream.closed
    assert len(caught.value.body) <= MAX_BODY_BYTES


def test_a_small_body_that_unpacks_to_a_large_one_is_malformed() -> None:
    packed = gzip.compress(b"[" * (MAX_BODY_BYTES + 1))
    with pytest.raises(MalformedAnswer, match="larger"):
        ask_once(Wire(answer(200, packed, content_encoding="gzip")))


def test_a_body_of_just_the_largest_size_passes() -> None:
    body = b"[" + b" " * (MAX_BODY_BYTES - 2) + b"]"
    assert len(ask_once(Wire(answer(200, body))).content) == MAX_BODY_BYTES


def test_a_packed_body_is_unpacked_and_its_headers_say_so() -> None:
    packed = gzip.compress(b'{"id": 550}', mtime=0)
    response = ask_once(Wire(answer(200, packed, content_encoding="gzip", content_type="application/json")))
    assert response.json() == {"id": 550}
    assert "content-encoding" not in response.headers
    assert response.headers["content-type"] == "application/json"
    assert int(response.headers["content-length"]) == len(b'{"id": 550}')


def test_a_packed_body_that_is_not_declared_so_can_be_parsed_in_the_end() -> None:
    wire = Wire(answer(200, gzip.compress(b'{"id": 550}', mtime=0)))
    assert parse_json(ask_once(wire).content) == {"id": 550}
    assert len(wire.requests) == 1


@pytest.mark.parametrize("error", [None, httpx.ReadError("cut")])
def test_a_response_is_closed_whatever_happens(error: Exception | None) -> None:
    streams: list[Chunks] = []

    def reply() -> httpx.Response:
        streams.append(Chunks([b"{}"], error))
        return httpx.Response(200, stream=streams[-1])

    if error is None:
        ask_once(Wire(reply))
    else:
        with pytest.raises(SourceUnavailable):
            ask_once(Wire(reply))
    assert all(stream.closed for stream in streams)


# The wire


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with listening(http_answer("200 OK", b'{"id": 550}')) as port:
        assert over_the_real_wire(port, HEADER).json() == {"id": 550}


def test_nothing_is_sent_that_was_not_charged(tmp_path: Path) -> None:
    ledger, received = RequestLedger(tmp_path / "ledger.sqlite"), list[socket.socket]()

    async def main(port: int) -> Account:
        of = Account("omdb", quota(100).but(retry_wait=0.0), ledger, now=lambda: NOON)
        async with build_client(of) as client:
            with pytest.raises(SourceUnavailable):
                await client.get(f"http://127.0.0.1:{port}/")
        return of

    with listening(b"", received) as port:
        of = asyncio.run(main(port))
    assert ledger.use(of.name, NOON.date(), 100).used == of.requests_sent == len(received) == 5


def test_closing_the_client_closes_the_wire() -> None:
    class Closing(httpx.MockTransport):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    wire = Closing(Wire())

    async def main() -> None:
        async with build_client(account(), wire=wire) as client:
            await client.get(URL)

    asyncio.run(main())
    assert wire.closed


# Forms, and rules of a source's own


class Wordy(AnswerRules):
    """A source that says in words what it means."""

    def fault(self, response: httpx.Response, now: float) -> SourceError | None:
        """An error, or a ban of a day."""
        if response.content == b"go away":
            banned = SourceBanned("it is over")
            banned.seconds = 86_400.0
            return banned
        return TooMuchAsked("too much") if response.content == b"too much" else None

    def pause(self, response: httpx.Response, now: float) -> float | None:
        """Never less than 7 seconds."""
        return max(7.0, super().pause(response, now) or 0.0)


def post(wire: Wire, account: Account, **more: Any) -> httpx.Response:
    async def main() -> httpx.Response:
        async with build_client(account, wire=wire.transport, **more) as client:
            return await client.post_form("http://api.example/3", {"query": "a & b = \N{SNOWMAN}"})

    return virtually(main)


def test_a_form_arrives_whole_with_its_headers_at_every_attempt() -> None:
    wire = Wire(answer(502), good)
    post(wire, Account("test", NO_PACE), request_headers={"user-agent": "me/1", "accept": "text/x"})
    assert len(wire.requests) == 2
    for request in wire.requests:
        assert request.method == "POST"
        assert dict(httpx.QueryParams(request.content.decode())) == {"query": "a & b = \N{SNOWMAN}"}
        assert request.headers["content-length"] == str(len(request.content))
        assert request.headers["host"] == "api.example"
        assert (request.headers["user-agent"], request.headers["accept"]) == ("me/1", "text/x")
        assert request.headers["accept-encoding"] == "gzip"


def test_a_key_goes_beside_a_form_and_comes_back_in_nothing() -> None:
    wire = Wire(answer(200, b'{"echo": "%s"}' % KEY.encode()))
    response = post(wire, Account("test", NO_PACE, key=KEY), parameters={"apikey": KEY})
    assert wire.requests[0].url.params["apikey"] == KEY
    assert KEY not in response.text + str(response.request.url)


def test_what_a_sources_rules_call_an_error_is_not_asked_again() -> None:
    wire = Wire(answer(500, b"too much"))
    with pytest.raises(TooMuchAsked) as caught:
        post(wire, Account("test", NO_PACE), rules=Wordy())
    assert (len(wire.requests), caught.value.requests) == (1, 1)
    with pytest.raises(SourceUnavailable):
        post(Wire(answer(500, b"too much")), Account("test", NO_PACE))


def test_a_pause_is_as_long_as_a_sources_rules_say() -> None:
    wire = Wire(answer(429, retry_after="1"), good)
    post(wire, Account("test", NO_PACE), rules=Wordy())
    assert wire.times[1] - wire.times[0] == pytest.approx(7.0, abs=0.1)


def test_a_ban_stops_all_who_share_the_account_until_it_is_over() -> None:
    wire, ledger = Wire(answer(403, b"go away"), good), RequestLedger.in_memory()

    async def main() -> None:
        for _ in range(2):
            async with build_client(Account("test", NO_PACE, ledger), wire=wire.transport, rules=Wordy()) as client:
                with pytest.raises(SourcePaused):
                    await client.post_form("http://api.example/3", {})
        await asyncio.sleep(86_400.0)
        async with build_client(Account("test", NO_PACE, ledger), wire=wire.transport, rules=Wordy()) as client:
            await client.post_form("http://api.example/3", {})

    virtually(main)
    assert len(wire.requests) == 2
