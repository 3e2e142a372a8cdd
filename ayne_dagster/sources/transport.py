"""Pace, concurrency, retry, quota and redaction of requests: one place for all sources. No URLs, no parsing of answers.

Each concern is one small httpx transport that wraps the next, so that each layer can be tested alone over a
`MockTransport`:

    retry  →  pace  →  quota  →  credentials  →  whole body  →  the wire

The key is added just above the wire: no URL, log line or exception above it ever holds one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self
from urllib.parse import quote, quote_plus, urlencode, urlsplit

import aiohttp
import httpx
from aiolimiter import AsyncLimiter
from httpx_aiohttp import AiohttpTransport
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from ayne_dagster.config import ApiSettings
from ayne_dagster.sources.account import Account
from ayne_dagster.sources.errors import MalformedAnswer, SourceDown, SourceError, SourcePaused, SourceUnavailable
from ayne_dagster.sources.json_body import MAX_BODY_BYTES

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
ATTEMPTS = 5
LONGEST_WAIT = 300.0
"""A source that asks for a longer pause than this many seconds counts as unavailable, for all workers at once."""
MOST_LATENESS = 0.5
"""How late a request may leave, in distances between requests: a machine that is busy wakes sleepers late, and several
that leave late together would be a rush."""
LEAST_LATENESS = 0.01
"""Seconds that no timer can be relied on for."""


_LOG = logging.getLogger(__name__)


class RetryTransport(httpx.AsyncBaseTransport):
    """Asks again after time-outs, resets, 429, 5xx and bodies that are no JSON; waits grow, with jitter.

    A 429 pauses all workers of the account, for Retry-After where it is given; repeated, it slows them (`pace`). The
    number of requests spent is in `response.extensions["requests"]`, or on the error.

    Raises:
        SourceUnavailable: no usable answer after all attempts.
        SourcePaused: the source asks for a longer pause than a run waits for.
        SourceDown: it has given no usable answers for so long that it is not asked any more.
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

        def enough(state: RetryCallState) -> bool:
            return state.attempt_number >= self._attempts or not self._account.may_retry

        try:
            async for attempt in AsyncRetrying(
                stop=enough,
                wait=self._wait,
                retry=retry_if_exception_type(_TryAgain),
                sleep=self._sleep,
                reraise=True,
            ):
                with attempt:
                    await self._account.admit()
                    sent += 1
                    response = await self._attempt(request)
        except _TryAgain as error:
            unavailable = SourceUnavailable(f"{self._account.source}: {error.reason} (asked {sent} times)")
            unavailable.requests = sent
            raise unavailable from None
        except SourceDown:  # nothing was sent
            raise
        except SourceError as error:
            error.requests += sent - 1  # what the last attempt cost is on the error
            raise
        response.extensions["requests"] = sent
        return response

    async def _attempt(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await self._inner.handle_async_request(request)
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _TryAgain(_in_words(error)) from None
        if response.status_code == 429:
            retry_after = _retry_after(response.headers.get("retry-after"), time.time())
            raise _TryAgain("too many requests (HTTP 429)", retry_after, throttled=True)
        if response.status_code >= 500:
            raise _TryAgain(f"HTTP {response.status_code}")
        if response.status_code == 200 and not _looks_like_json(response.content):
            raise _TryAgain("the body is no JSON")
        return response

    def _wait(self, state: RetryCallState) -> float:
        """Seconds before the next attempt: `retry_wait`, doubled each time, with jitter; or what the source asks."""
        error = state.outcome.exception() if state.outcome else None
        first = self._account.settings.retry_wait
        wait = float(first * 2 ** (state.attempt_number - 1) * (0.5 + self._jitter.random()))
        if isinstance(error, _TryAgain) and error.throttled:
            wait = error.retry_after if error.retry_after is not None else 2 * wait
            self._account.refused(wait)
            if wait > LONGEST_WAIT:
                paused = SourcePaused(f"{self._account.source} asks to wait {wait:.0f} s: try again later")
                paused.requests = 1
                raise paused
        return wait

    async def aclose(self) -> None:
        """Close the layers below."""
        await self._inner.aclose()


class PaceTransport(httpx.AsyncBaseTransport):
    """Lets requests through at the account's rate, and no more at a time than its connections.

    The bucket is one request smaller than the burst that was set: requests that leave at the right distance may
    arrive a little closer together. A request that woke too late for its place takes another.

    Raises:
        SourcePaused: the account is paused for longer than a run waits for; nothing was sent.
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
        self._in_flight = 0
        self._freed = asyncio.Condition()
        rate = account.settings.requests_per_second
        self._bucket = max(1, account.settings.burst - 1)
        self._limiter = AsyncLimiter(self._bucket, self._bucket / rate) if rate else None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Wait for a connection and a place in the pace, then send.

        In this order: places taken while all connections are busy would be made up for by a rush. For the same reason
        a place from before a pause is void after it.
        """
        async with self._connection():
            await self._pause()
            in_time = await self._take_place()
            while await self._pause() or not in_time:
                in_time = await self._take_place()
            return await self._inner.handle_async_request(request)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[None]:
        """One of the connections, for the length of the block."""
        async with self._freed:
            await self._freed.wait_for(lambda: self._in_flight < self._account.connections)
            self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            async with self._freed:
                self._freed.notify(max(0, self._account.connections - self._in_flight))

    async def _pause(self) -> bool:
        """Wait while the account is paused; whether it was."""
        paused = False
        while left := self._account.pause_left:
            if left > LONGEST_WAIT:
                raise SourcePaused(f"{self._account.source} asked to wait: {left:.0f} s are left, try again later")
            paused = True
            await self._sleep(left)
        return paused

    async def _take_place(self) -> bool:
        """Wait for the next place in the pace; whether it was reached in time."""
        if self._limiter is None:
            return True
        rate = self._account.settings.requests_per_second
        await self._limiter.acquire()
        wait = self._account.ledger.reserve(self._account.name, rate, self._bucket, time.time())
        due = time.monotonic() + wait
        if wait:
            await self._sleep(wait)
        return time.monotonic() - due <= max(MOST_LATENESS / rate, LEAST_LATENESS)

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

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Charge, then send."""
        self._account.charge()
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Bring the day's count up to date, and close the layers below."""
        self._account.settle()
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
        values = [*(headers or {}).values(), *self._parameters.values()]
        self._secrets = spellings(word for value in values for word in value.split())
        self._secret_bytes = [secret.encode() for secret in self._secrets]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a copy of the request that has the key; the answer belongs to the one without."""
        signed = httpx.Request(
            request.method,
            request.url.copy_merge_params(self._parameters) if self._parameters else request.url,
            headers=[*request.headers.raw, *self._raw_headers],
            extensions=request.extensions,
        )
        failure: Exception
        try:
            response = await self._inner.handle_async_request(signed)
        except MalformedAnswer as error:
            failure = MalformedAnswer(self._redacted(error.reason), self._redacted_bytes(error.body))
        except httpx.TransportError as error:
            failure = type(error)(self._redacted(str(error)), request=request)
        except (aiohttp.ClientError, httpx.DecodingError, ValueError, OSError) as error:
            # Broken HTTP reaches us as errors of aiohttp's own, with the address in their text.
            reason = self._redacted(f"{type(error).__name__}: {error}")
            failure = httpx.RemoteProtocolError(reason, request=request)
        else:
            return self._answer(response, request)
        # Raised out here, since inside the handler it would carry the original along, with the signed request.
        raise failure

    def _answer(self, response: httpx.Response, request: httpx.Request) -> httpx.Response:
        """The answer to the request without the key, and without the key in its body."""
        content = response.content
        if any(secret in content for secret in self._secret_bytes):
            content = self._redacted_bytes(content)
            response = httpx.Response(response.status_code, headers=response.headers, content=content)
        response.request = request
        return response

    def _redacted(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text

    def _redacted_bytes(self, body: bytes) -> bytes:
        for secret in self._secret_bytes:
            body = body.replace(secret, b"...")
        return body

    async def aclose(self) -> None:
        """Close the layers below."""
        await self._inner.aclose()


def spellings(secrets: Iterable[str]) -> list[str]:
    """Secrets as they stand, and as addresses write them.

    Words shorter than any real key (OMDb's has 8 letters) stay: the stand-in's `demo` is a word of many plots.
    """
    spelled = {form for s in secrets if len(s) >= 8 for form in (s, quote(s), quote(s, safe=""), quote_plus(s))}
    return sorted(spelled - {"Bearer"}, key=len, reverse=True)


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


class AsyncClosing(ABC):
    """Something with connections, usable in `async with`."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close all connections."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class PacedClient(AsyncClosing):
    """GET requests through the stack of transports, for the life of its owner; close it, or use it in `async with`.

    Without `httpx.AsyncClient` on top: its cookies, redirects and merging of addresses, none of which an API here
    uses, cost up to a fifth of the CPU time of a request.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self.timeout: float | httpx.Timeout = TIMEOUT
        """Seconds, for each attempt."""

    async def get(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        *,
        timeout: float | httpx.Timeout | None = None,  # noqa: ASYNC109 -- of an attempt, not of the whole
    ) -> httpx.Response:
        """The answer to a request, its body read.

        Raises:
            SourceError: there is no usable answer, or none may be asked for.
        """
        address = f"{url}?{urlencode(params)}" if params else url
        limits = {"timeout": httpx.Timeout(self.timeout if timeout is None else timeout).as_dict()}
        request = httpx.Request("GET", address, headers=_REQUEST_HEADERS, extensions=limits)
        response = await self._transport.handle_async_request(request)
        _LOG.debug("HTTP Request: GET %s: %d", address, response.status_code)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


_REQUEST_HEADERS = {"accept": "application/json", "accept-encoding": "gzip, deflate", "user-agent": "ayne_dagster"}


def build_client(
    account: Account,
    *,
    headers: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
    wire: httpx.AsyncBaseTransport | None = None,
) -> PacedClient:
    """The stack of transports as a client.

    Args:
        account: whose limits apply.
        headers: credentials that go into headers.
        parameters: credentials that go into the query.
        wire: what is at the bottom; aiohttp's connections when left out (several times the requests per CPU second
            of httpx's own: `benchmarks/bench_wire.py`).
    """
    layers: httpx.AsyncBaseTransport = WholeBodyTransport(wire or _aiohttp_wire(account.settings))
    layers = CredentialsTransport(layers, headers=headers, parameters=parameters)
    return PacedClient(RetryTransport(PaceTransport(QuotaTransport(layers, account), account), account))


def _aiohttp_wire(settings: ApiSettings) -> httpx.AsyncBaseTransport:
    limits = httpx.Limits(max_connections=settings.max_concurrent, max_keepalive_connections=settings.max_concurrent)
    transport = AiohttpTransport(limits=limits)
    is_local = urlsplit(settings.base_url).hostname in ("127.0.0.1", "localhost", "::1")

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=settings.max_concurrent, ssl=transport.ssl_context)
        made = aiohttp.ClientSession(connector=connector, trust_env=not is_local)
        # aiohttp would send a GET a second time by itself when the server closes the connection: a request that nobody
        # charged. Retrying is ours.
        made._retry_connection = False
        return made

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
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return f"no connection ({error})"
    return f"{name}: {error}" if str(error) else name


def _retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or an HTTP date (`now`: real time, whatever our clock)."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError):
        return None


def _looks_like_json(body: bytes) -> bool:
    """Whether a body is worth parsing: a JSON object or list from start to end, or gzip without its header."""
    if body.startswith(b"\x1f\x8b"):
        return True
    text = body.removeprefix(b"\xef\xbb\xbf").strip()
    return text[:1] in (b"{", b"[") and text[-1:] in (b"}", b"]")
