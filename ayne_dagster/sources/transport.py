"""Pace, concurrency, retry and quota of requests: one place for all sources. No URLs, no parsing of answers.

Each concern is one small httpx transport that wraps the next, so that each layer can be tested alone over a
`MockTransport`:

    retry  →  pace  →  quota  →  credentials  →  whole answer  →  the wire

The key is added just above the wire: no URL, log line or exception above it ever holds one. What can be wrong on this
machine (a proxy, a certificate file, the address) is looked at on top of them all, before anything is charged.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlencode, urljoin, urlsplit

import httpx
from aiolimiter import AsyncLimiter
from pydantic import BaseModel
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from ayne_dagster.sources.addresses import shown_address
from ayne_dagster.sources.answer_rules import GENERAL_RULES, AnswerRules
from ayne_dagster.sources.credentials import CredentialsTransport
from ayne_dagster.sources.errors import (
    SourceBanned,
    SourceDown,
    SourceError,
    SourcePaused,
    SourceUnavailable,
    WrongAddress,
    WrongRoute,
)
from ayne_dagster.sources.json_body import NotWhole
from ayne_dagster.sources.limits.account import Account
from ayne_dagster.sources.limits.ledger import steady_now
from ayne_dagster.sources.limits.pace import LONGEST_WAIT
from ayne_dagster.sources.network import TIMEOUT, Wire
from ayne_dagster.sources.whole_answer import ACCEPTED_ENCODING, TooSlow, WholeBodyTransport

ATTEMPTS = 5
SLOW_ATTEMPTS = 2
"""A request whose answers run into the deadline is sent so often: each costs a request and a minute."""
MOST_LATENESS = 0.5
"""How late a request may leave, in distances between requests: a machine that is busy wakes sleepers late, and several
that leave late together would be a rush."""
MOST_WAITING_HERE = 20
"""Places that one client takes ahead: those of several stay below what the ledger believes (`pace.MOST_WAITING`)."""
LEAST_LATENESS = 0.01
"""Seconds that no timer can be relied on for."""


_LOG = logging.getLogger(__name__)


class RetryTransport(httpx.AsyncBaseTransport):
    """Asks again after time-outs, resets, 429, 5xx and bodies that are no whole JSON; waits grow, with jitter.

    A 429 pauses all workers of the account, for Retry-After where it is given; repeated, it slows them (`pace`). So
    does a 5xx that says when to come back. The number of requests spent is in `response.extensions["requests"]`, or on
    the error.

    Args:
        inner: what sends an attempt.
        account: whose limits apply.
        rules: what an answer means before it is read.
        attempts: how often a request is sent at most.
        sleep: waits between attempts.
        jitter: spreads the waits.

    Raises:
        SourceUnavailable: no usable answer after all attempts.
        SourcePaused: the source asks for a longer pause than a run waits for.
        SourceBanned: it refuses everything until an instant that it names; what else `rules` finds comes up as well.
        SourceDown: it has given no usable answers for so long that it is not asked any more.
        WrongAddress: what answers is not the source, but something that redirects or asks for a password.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        account: Account,
        *,
        rules: AnswerRules = GENERAL_RULES,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: random.Random | None = None,
    ) -> None:
        self._inner = inner
        self._account = account
        self._rules = rules
        self._attempts = attempts
        self._sleep = sleep
        # Jitter needs no secrecy; a seed makes tests repeatable.
        self._jitter = jitter or random.Random()  # noqa: S311

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and send again while that may help."""
        sent = slow = 0

        def enough(state: RetryCallState) -> bool:
            last = state.attempt_number >= self._attempts or slow >= SLOW_ATTEMPTS
            return last or not self._account.may_retry

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
                    try:
                        response = await self._attempt(request)
                    except _TooSlow:
                        slow += 1
                        raise
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
        except TooSlow as error:
            raise _TooSlow(str(error)) from None
        except httpx.TransportError as error:
            raise _TryAgain(str(error) or type(error).__name__) from None
        self._refuse_faults(response)
        status = response.status_code
        if status == 429 or status >= 500:
            asked = self._rules.pause(response, time.time())
            reason = "too many requests (HTTP 429)" if status == 429 else f"HTTP {status}"
            raise _TryAgain(reason, asked, throttled=status == 429 or asked is not None)
        if status < 200:  # the connection has become something else
            raise _TryAgain(f"HTTP {status}")
        if 300 <= status < 400:
            raise self._redirected(response)
        if status == 200:
            try:
                response.extensions["value"] = self._rules.value(response.content, request.extensions.get("model"))
            except NotWhole as error:
                raise _TryAgain(str(error)) from None
        return response

    def _refuse_faults(self, response: httpx.Response) -> None:
        """Raise what an answer is, where the source's own rules know it for an error that will not pass."""
        fault = self._rules.fault(response, time.time())
        if fault is None:
            return
        if isinstance(fault, SourceBanned):
            self._account.banned(fault.seconds)
        fault.requests = 1
        raise fault

    def _redirected(self, response: httpx.Response) -> WrongAddress:
        """What a redirect means. It is not followed: the key would go with the request."""
        source, base = self._account.source, self._account.settings.base_url
        return WrongAddress(
            f"{source}: {shown_address(base)} sends requests elsewhere (HTTP {response.status_code}"
            f"{_target(base, response.headers.get('location', ''))}), where no key is sent: set "
            f"AYNE_{source.upper()}_BASE_URL to the address that answers itself."
        )

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

    The ledger tells the places where others share the account; a token bucket of its own where nobody does.
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
        self._bucket = max(1, account.settings.burst - 1)
        self._alone = None if account.shared_ledger else PaceAlone(account, self._bucket)
        self._waiting = asyncio.Semaphore(MOST_WAITING_HERE)

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
            self._account.waits(left, "it asked for a pause")
            await self._sleep(left)
        return paused

    async def _take_place(self) -> bool:
        """Wait for the next place in the pace; whether it was reached in time."""
        rate = self._account.settings.requests_per_second
        if not rate:
            return True
        if self._alone is not None:
            return await self._alone.take_place()
        async with self._waiting:
            wait = self._account.ledger.reserve(self._account.name, rate, self._bucket, steady_now())
            due = time.monotonic() + wait
            if wait:
                _tell_of_place(self._account, wait)
                await self._sleep(wait)
        return time.monotonic() - due <= max(MOST_LATENESS / rate, LEAST_LATENESS)

    async def aclose(self) -> None:
        """Close the layers below."""
        await self._inner.aclose()


class PaceAlone:
    """The pace of an account that nobody shares: a token bucket, and one without a burst while refusals slow it.

    Args:
        account: whose pace.
        bucket: requests that may leave at once.
    """

    def __init__(self, account: Account, bucket: int) -> None:
        self._account = account
        self._bucket = bucket
        self._halvings = -1
        self._waiting = 0

    async def take_place(self) -> bool:
        """Wait for the next place; whether the pace is still the one by which it was given."""
        rate = self._account.settings.requests_per_second
        if self._halvings != self._account.halvings:
            self._halvings = self._account.halvings
            bucket = 1 if self._halvings else self._bucket
            self._limiter = AsyncLimiter(bucket, bucket * 2**self._halvings / rate)
        limiter = self._limiter
        self._waiting += 1
        try:
            if not limiter.has_capacity():
                _tell_of_place(self._account, self._waiting * 2**self._halvings / rate)
            await limiter.acquire()
        finally:
            self._waiting -= 1
        return limiter is self._limiter


def _tell_of_place(account: Account, wait: float) -> None:
    """Tell of a wait for a place in the pace that is longer than what our own workers cause."""
    if wait > 2 * account.connections / account.settings.requests_per_second:
        account.waits(wait, "its pace was slowed by refusals, or others use it too")


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
    """Requests through the stack of transports, for the life of its owner; close it, or use it in `async with`.

    Without `httpx.AsyncClient` on top: its cookies, redirects and merging of addresses, none of which an API here
    uses, cost up to a fifth of the CPU time of a request.

    Args:
        transport: the stack.
        prepare: finds out whether anything here is in the way of a request, before it is charged.
        headers: of every request, no secrets; in lower case, they go before those that all clients send.
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        prepare: Callable[[], None] = lambda: None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._transport = transport
        self._prepare = prepare
        self._headers = {**_REQUEST_HEADERS, **(headers or {})}
        self.timeout: float | httpx.Timeout = TIMEOUT
        """Seconds, for each step of an attempt."""

    async def get(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        *,
        model: type[BaseModel] | None = None,
        timeout: float | httpx.Timeout | None = None,  # noqa: ASYNC109 -- of a step, not of the whole
    ) -> httpx.Response:
        """The answer to a request, its body read.

        Args:
            url: the address.
            params: the query.
            model: what the body should be; `extensions["value"]` of the answer is that, where the body needs no repair,
                so that it is not parsed twice.
            timeout: seconds for each step.

        Raises:
            SourceError: there is no usable answer, or none may be asked for.
        """
        query = f"?{urlencode(params)}" if params else ""
        response = await self._send("GET", url + query, model=model, timeout=timeout)
        if _LOG.isEnabledFor(logging.DEBUG):
            _LOG.debug("HTTP Request: GET %s%s: %d", shown_address(url), query, response.status_code)
        return response

    async def post_form(self, url: str, form: Mapping[str, str]) -> httpx.Response:
        """The answer to a form that is sent, its body read.

        Only for a question that may be asked twice: it is sent again as a GET is. What is sent and what comes back is
        in no log.

        Args:
            url: the address.
            form: the fields.

        Raises:
            SourceError: there is no usable answer, or none may be asked for.
        """
        response = await self._send("POST", url, data=form)
        _LOG.debug("HTTP Request: POST %s: %d", shown_address(url), response.status_code)
        return response

    async def _send(
        self,
        method: str,
        url: str,
        *,
        data: Mapping[str, str] | None = None,
        model: type[BaseModel] | None = None,
        timeout: float | httpx.Timeout | None = None,  # noqa: ASYNC109 -- of a step, not of the whole
    ) -> httpx.Response:
        self._prepare()
        limits = httpx.Timeout(self.timeout if timeout is None else timeout).as_dict()
        extensions = {"timeout": limits, "model": model}
        try:
            request = httpx.Request(method, url, headers=self._headers, data=data, extensions=extensions)
        except (httpx.InvalidURL, ValueError):
            raise _unusable(url) from None
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


_REQUEST_HEADERS = {
    "accept": "application/json",
    "accept-encoding": ACCEPTED_ENCODING,
    "user-agent": "ayne_dagster",
}


def build_client(
    account: Account,
    *,
    headers: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
    request_headers: Mapping[str, str] | None = None,
    rules: AnswerRules = GENERAL_RULES,
    wire: httpx.AsyncBaseTransport | None = None,
) -> PacedClient:
    """The stack of transports as a client.

    Args:
        account: whose limits apply.
        headers: credentials that go into headers.
        parameters: credentials that go into the query.
        request_headers: other headers of every request, in lower case: no secrets.
        rules: what an answer means before it is read.
        wire: what is at the bottom; connections by the rules of `network` when left out.

    Raises:
        InvalidCredentials: the key cannot be sent.
    """
    settings = account.settings
    wire = wire or Wire(settings.base_url, connections=settings.max_concurrent)
    in_address = _secrets_in(settings.base_url)
    layers: httpx.AsyncBaseTransport = WholeBodyTransport(
        wire, address=settings.base_url, deadline=settings.answer_deadline
    )
    layers = CredentialsTransport(layers, headers=headers, parameters=parameters, secrets=in_address)
    stack = RetryTransport(PaceTransport(QuotaTransport(layers, account), account), account, rules=rules)

    def prepare() -> None:
        if headers and in_address:
            raise WrongRoute(
                f"{account.source}: {shown_address(settings.base_url)} is set with a user or password, which cannot be "
                "sent beside a token: take them out of the address, or use the key that travels in the query."
            )
        if isinstance(wire, Wire):
            wire.prepare()

    return PacedClient(stack, prepare, request_headers)


class _TryAgain(Exception):
    """One attempt failed in a way that may pass."""

    def __init__(self, reason: str, retry_after: float | None = None, *, throttled: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        self.throttled = throttled


class _TooSlow(_TryAgain):
    """The answer was not whole by its deadline."""


def _secrets_in(address: str) -> list[str]:
    """User and password in an address."""
    user = urlsplit(address).netloc.rpartition("@")[0]
    return [unquote(part) for part in user.split(":") if part]


def _unusable(address: str) -> WrongAddress:
    error = WrongAddress(f"{shown_address(address)} is no usable address.")
    error.requests = 0
    return error


def _target(base: str, location: str) -> str:
    """Where a redirect leads, in words; only the host where the path may name what was asked for."""
    if not location:
        return ""
    try:
        target = urljoin(base, location)
    except ValueError:
        target = location
    hint = " with https" if base.startswith("http:") and target.startswith("https:") else ""
    return f", to {shown_address(target)}{hint}"
