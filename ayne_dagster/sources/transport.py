"""Pace, concurrency, retry, quota and redaction of requests: one place for all sources. No URLs, no parsing of answers.

Each concern is one small httpx transport that wraps the next, so that the clients above are plain httpx and each layer
can be tested alone over a `MockTransport`:

    retry  →  pace  →  quota  →  credentials  →  whole body  →  the wire

The key is added just above the wire: no URL, log line or exception above it ever holds one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp
import httpx
from aiolimiter import AsyncLimiter
from httpx_aiohttp import AiohttpTransport
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from ayne_dagster.config import ApiSettings
from ayne_dagster.sources.errors import MalformedAnswer, QuotaExhausted, SourceUnavailable
from ayne_dagster.sources.json_body import MAX_BODY_BYTES
from ayne_dagster.sources.ledger import RequestLedger, account_name

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
ATTEMPTS = 5
LONGEST_WAIT = 300.0
"""A source that asks for a longer pause than this many seconds counts as unavailable."""


@dataclass
class Account:
    """An API account as the transports share it: identity, limits, pause, and the count of requests sent."""

    source: str
    settings: ApiSettings
    ledger: RequestLedger | None = None
    key: str | None = field(default=None, repr=False)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """The platform's clock; it says which day's quota is charged."""
    requests_sent: int = 0
    _resume_at: float = 0.0

    @property
    def name(self) -> str:
        """Its name in the ledger."""
        return account_name(self.source, self.settings.base_url, self.key)

    @property
    def today(self) -> date:
        """The UTC day whose quota is charged."""
        return self.now().astimezone(UTC).date()

    def pause(self, seconds: float) -> None:
        """Let no worker of this account send for some time."""
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)
        if self.ledger is not None:
            self.ledger.pause(self.name, time.time() + seconds)

    @property
    def pause_left(self) -> float:
        """Seconds until workers may send again."""
        return max(0.0, self._resume_at - time.monotonic())


class RetryTransport(httpx.AsyncBaseTransport):
    """Asks again after time-outs, resets, 429, 5xx and bodies that are no JSON; waits grow, with jitter.

    A 429 pauses all workers of the account, for Retry-After where it is given. The number of requests spent is in
    `response.extensions["requests"]`, or on the error.

    Raises:
        SourceUnavailable: no usable answer after all attempts.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        account: Account,
        *,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: random.Random | None = None,
    ) -> None:
        self._inner = inner
        self._account = account
        self._attempts = attempts
        self._sleep = sleep
        # Jitter needs no secrecy; a seed makes tests repeatable.
        self._jitter = jitter or random.Random()  # noqa: S311

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and send again while that may help."""
        sent = 0
        try:
            async for attempt in AsyncRetrying(
                stop=stop_after_attempt(self._attempts),
                wait=self._wait,
                retry=retry_if_exception_type(_TryAgain),
                sleep=self._sleep,
                reraise=True,
            ):
                with attempt:
                    sent += 1
                    response = await self._attempt(request)
        except _TryAgain as error:
            unavailable = SourceUnavailable(f"{self._account.source}: {error.reason} (asked {sent} times)")
            unavailable.requests = sent
            raise unavailable from None
        except SourceUnavailable as error:
            error.requests = sent
            raise
        response.extensions["requests"] = sent
        return response

    async def _attempt(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await self._inner.handle_async_request(request)
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _TryAgain(_in_words(error)) from None
        if response.status_code == 429:
            retry_after = _retry_after(response.headers.get("retry-after"), self._account.now())
            raise _TryAgain("too many requests (HTTP 429)", retry_after, throttled=True)
        if response.status_code >= 500:
            raise _TryAgain(f"HTTP {response.status_code}")
        if response.status_code == 200 and not _looks_like_json(response.content):
            raise _TryAgain("the body is no JSON")
        return response

    def _wait(self, state: RetryCallState) -> float:
        """Seconds before the next attempt: 0.5, 1, 2 … with jitter; as long as the source asks for where it says."""
        error = state.outcome.exception() if state.outcome else None
        wait = float(0.5 * 2 ** (state.attempt_number - 1) * (0.5 + self._jitter.random()))
        if isinstance(error, _TryAgain) and error.throttled:
            wait = error.retry_after if error.retry_after is not None else 2 * wait
            if wait > LONGEST_WAIT:
                raise SourceUnavailable(f"{self._account.source} asks to wait {wait:.0f} s: try again later")
            self._account.pause(wait)
        return wait

    async def aclose(self) -> None:
        """Close the layers below."""
        await self._inner.aclose()


class PaceTransport(httpx.AsyncBaseTransport):
    """Lets requests through at the account's rate, and no more at a time than its connections.

    The bucket is one request smaller than the burst that was set: requests that leave at the right distance may
    arrive a little closer together.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        account: Account,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._inner = inner
        self._account = account
        self._sleep = sleep
        self._connections = asyncio.Semaphore(account.settings.max_concurrent)
        rate = account.settings.requests_per_second
        self._bucket = max(1, account.settings.burst - 1)
        self._limiter = AsyncLimiter(self._bucket, self._bucket / rate) if rate else None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Wait for a place, then send."""
        await self._wait_for_place()
        async with self._connections:
            while pause := self._account.pause_left:
                await self._sleep(pause)
            return await self._inner.handle_async_request(request)

    async def _wait_for_place(self) -> None:
        if self._limiter is None:
            return
        await self._limiter.acquire()
        if self._account.ledger is not None:
            rate = self._account.settings.requests_per_second
            wait = self._account.ledger.reserve(self._account.name, rate, self._bucket, time.time())
            if wait:
                await self._sleep(wait)

    async def aclose(self) -> None:
        """Close the layers below."""
        await self._inner.aclose()


class QuotaTransport(httpx.AsyncBaseTransport):
    """Charges each request to the day's quota before it is sent, and counts it.

    Raises:
        QuotaExhausted: nothing is left for today; nothing was sent.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, account: Account) -> None:
        self._inner = inner
        self._account = account
        self._used_here = 0
        self._day = account.today

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Charge, then send."""
        cap = self._account.settings.daily_quota
        if cap and not self._charge(cap):
            exhausted = QuotaExhausted(f"{self._account.source}: today's {cap} requests are used up")
            exhausted.requests = 0
            raise exhausted
        self._account.requests_sent += 1
        return await self._inner.handle_async_request(request)

    def _charge(self, cap: int) -> bool:
        """Charge the ledger, or where there is none what this process has used."""
        if self._account.ledger is not None:
            return self._account.ledger.charge(self._account.name, self._account.today, cap)
        if self._day != self._account.today:
            self._day, self._used_here = self._account.today, 0
        self._used_here += 1
        return self._used_here <= cap

    async def aclose(self) -> None:
        """Close the layers below."""
        await self._inner.aclose()


class CredentialsTransport(httpx.AsyncBaseTransport):
    """Adds the key on the way down, and takes it out of whatever error comes up."""

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        *,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        self._inner = inner
        self._raw_headers = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        self._parameters = dict(parameters or {})
        self._secrets = [*(headers or {}).values(), *self._parameters.values()]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a copy of the request that has the key; the answer belongs to the one without."""
        signed = httpx.Request(
            request.method,
            request.url.copy_merge_params(self._parameters) if self._parameters else request.url,
            headers=[*request.headers.raw, *self._raw_headers],
            extensions=request.extensions,
        )
        try:
            response = await self._inner.handle_async_request(signed)
        except httpx.TransportError as error:
            # The original holds the signed request; so would a chained one.
            raise type(error)(self._redacted(str(error)), request=request) from None
        response.request = request
        return response

    def _redacted(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text

    async def aclose(self) -> None:
        """Close the layers below."""
        await self._inner.aclose()


_KEPT_HEADERS = (b"content-type", b"retry-after", b"location")
"""What is read above: httpx parses every header that it is given, and TMDB sends dozens."""


class WholeBodyTransport(httpx.AsyncBaseTransport):
    """Reads the whole body, within bounds, so that a fault in the middle of it is met where it can be retried.

    Raises:
        MalformedAnswer: the body is larger than any real one.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and read the answer to its end."""
        response = await self._inner.handle_async_request(request)
        chunks, size = [], 0
        try:
            async for chunk in response.aiter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    raise MalformedAnswer(f"the body is larger than {MAX_BODY_BYTES:,} bytes", chunks[0])
        finally:
            await response.aclose()
        headers = [(name, value) for name, value in response.headers.raw if name.lower() in _KEPT_HEADERS]
        return httpx.Response(response.status_code, headers=headers, content=b"".join(chunks), request=request)

    async def aclose(self) -> None:
        """Close the layers below."""
        await self._inner.aclose()


def build_client(
    account: Account,
    *,
    headers: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
    wire: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """The stack of transports as a plain httpx client, one for the life of its owner.

    Args:
        account: whose limits apply.
        headers: credentials that go into headers.
        parameters: credentials that go into the query.
        wire: what is at the bottom; aiohttp's connections when left out (several times the requests per CPU second
            of httpx's own: `benchmarks/bench_wire.py`).
    """
    layers: httpx.AsyncBaseTransport = WholeBodyTransport(wire or _aiohttp_wire(account.settings))
    layers = CredentialsTransport(layers, headers=headers, parameters=parameters)
    layers = RetryTransport(PaceTransport(QuotaTransport(layers, account), account), account)
    return httpx.AsyncClient(transport=layers, timeout=TIMEOUT, headers={"user-agent": "ayne_dagster"})


def _aiohttp_wire(settings: ApiSettings) -> httpx.AsyncBaseTransport:
    limits = httpx.Limits(max_connections=settings.max_concurrent, max_keepalive_connections=settings.max_concurrent)
    transport = AiohttpTransport(limits=limits)
    is_local = urlsplit(settings.base_url).hostname in ("127.0.0.1", "localhost", "::1")

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=settings.max_concurrent, ssl=transport.ssl_context)
        return aiohttp.ClientSession(connector=connector, trust_env=not is_local)

    transport.client = session
    return transport


class _TryAgain(Exception):
    """One attempt failed in a way that may pass."""

    def __init__(self, reason: str, retry_after: float | None = None, *, throttled: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        self.throttled = throttled


def _in_words(error: Exception) -> str:
    name = type(error).__name__
    if isinstance(error, httpx.ConnectError):
        return f"no connection ({error})"
    return f"{name}: {error}" if str(error) else name


def _retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or an HTTP date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (TypeError, ValueError):
        return None


def _looks_like_json(body: bytes) -> bool:
    """Whether a body is worth parsing: a JSON object or list from start to end, or gzip without its header."""
    if body.startswith(b"\x1f\x8b"):
        return True
    text = body.removeprefix(b"\xef\xbb\xbf").strip()
    return text[:1] in (b"{", b"[") and text[-1:] in (b"}", b"]")
