"""Downloading a file that is published: once, again where that may help, within bounds of size and time.

A redirect is followed, as hosts of files use them, but not everywhere: at most three times, never from https to http,
and from a public address never to this machine or into a private network. Name and password in the address that is set
are sent to that address alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from ayne_dagster.sources.addresses import shown_address
from ayne_dagster.sources.errors import MalformedAnswer, NotPublished, SourceUnavailable, WrongAddress
from ayne_dagster.sources.failures import meaning_of, refused_by_proxy
from ayne_dagster.sources.hosts import is_internal
from ayne_dagster.sources.network import TIMEOUT, Wire
from ayne_dagster.sources.retry_after import retry_after

MAX_BYTES = 1 << 30
"""Of a download. TMDB's export has 28 MB, IMDb's ratings 8 MB (2026): more than this is no such file."""
ATTEMPTS = 4
LONGEST_WAIT = 300.0
"""A host that asks for a longer pause than this many seconds is left for another time."""
MOST_REDIRECTS = 3
LOOK_SECONDS = 0.2
"""How often a download asks whether it is to go on."""
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Slowest:
    """How slow a download may be before it counts as hanging."""

    window: float = 60.0
    """Seconds within which some bytes have to come, the answer's head before the first."""
    least_bytes: int = 600_000
    """So many in each window: 10 KB/s. At that rate the largest real file takes 47 minutes."""
    longest: float = 3600.0
    """Seconds for all of it."""


SLOWEST = Slowest()


def download(place: str, copy: Path, sleep: Callable[[float], None], slowest: Slowest) -> Path:
    """Fetch a file, again after errors that may pass.

    Args:
        place: an http(s) address.
        copy: where to put it; what lies there is replaced.
        sleep: waits between attempts, and is called now and then meanwhile; what it raises ends all of it.
        slowest: what counts as hanging.

    Raises:
        NotPublished: there is no such file (yet).
        MalformedAnswer: it is too large.
        WrongAddress: the address cannot be right, or there is no way to it from here.
        SourceUnavailable: it cannot be had now, or not be written.
    """
    try:
        for attempt in Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=_wait,
            retry=retry_if_exception_type(httpx.TransportError),
            sleep=sleep,
            reraise=True,
        ):
            with attempt:
                asyncio.run(_interruptible(_Download(place, slowest).to(copy), sleep))
    except httpx.TransportError as error:
        reason = f"{shown_address(place)} cannot be had: {error} (asked {attempt.retry_state.attempt_number} times)"
        raise SourceUnavailable(reason) from None
    except OSError as error:
        raise not_written(copy, error) from None
    return copy


async def _interruptible(work: Coroutine[Any, Any, None], sleep: Callable[[float], None]) -> None:
    """Do it, and ask now and then whether to go on: what the question raises ends it."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=LOOK_SECONDS))[0]:
            sleep(0.0)
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _wait(state: RetryCallState) -> float:
    """1, 2, 4 … seconds, or what the host asks for."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.seconds if isinstance(error, _TryLater) else 0.0
    if asked > LONGEST_WAIT and error is not None:
        raise error
    return max(2.0 ** (state.attempt_number - 1), asked)


def not_written(copy: Path, error: OSError) -> SourceUnavailable:
    """The file has no place here."""
    return SourceUnavailable(f"{copy} cannot be written: {error.strerror or error}")


class _TryLater(httpx.TransportError):
    """The host has no file to give just now."""

    def __init__(self, status: int, retry_after: float | None) -> None:
        self.seconds = retry_after or 0.0
        super().__init__(f"HTTP {status}" + (f", try again in {self.seconds:.0f} s" if self.seconds else ""))


class _Download:
    """One attempt at a file."""

    def __init__(self, place: str, slowest: Slowest) -> None:
        self._place = place
        self._shown = shown_address(place)
        self._slowest = slowest

    async def to(self, copy: Path) -> None:
        """Put the file there.

        Raises:
            SourceError: there is none, or it is none.
            httpx.TransportError: it may be had by another attempt.
            OSError: `copy` cannot be written.
        """
        bound = asyncio.timeout(self._slowest.longest)
        try:
            async with bound:
                await self._follow(copy)
        except TimeoutError:
            if not bound.expired():
                raise
            raise httpx.ReadTimeout(f"not whole within {self._slowest.longest:g} s") from None

    async def _follow(self, copy: Path) -> None:
        """Go where the file is, by way of redirects."""
        address, stays_public = self._place, not is_internal(urlsplit(self._place).hostname or "")
        for redirects in range(MOST_REDIRECTS + 1):
            # The address that is set may have a public name for a private host; where it leads to may not.
            wire = Wire(address, only_public=stays_public and redirects > 0)
            try:
                wire.prepare()
                response = await self._sent(wire, address)
                try:
                    target = self._target(response, address)
                    if target is None:
                        self._require_ok(response, wire)
                        await self._write(response, wire, copy)
                        return
                finally:
                    await response.aclose()
            finally:
                await wire.aclose()
            address = target
        raise WrongAddress(f"{self._shown} redirects more than {MOST_REDIRECTS} times")

    async def _sent(self, wire: Wire, address: str) -> httpx.Response:
        """The head of the answer."""
        headers = {"user-agent": f"ayne_dagster/{version('ayne_dagster')}", "accept-encoding": "identity"}
        failure: Exception
        window = asyncio.timeout(self._slowest.window)
        try:
            request = httpx.Request("GET", address, headers=headers, extensions={"timeout": TIMEOUT.as_dict()})
            async with window:
                return await wire.handle_async_request(request)
        except Exception as error:  # noqa: BLE001 -- whatever it is, its text may hold the address
            failure = self._stalled() if window.expired() else meaning_of(error, address, wire.route)
        raise failure

    def _target(self, response: httpx.Response, address: str) -> str | None:
        """Where a redirect leads; None for what is none."""
        if response.status_code not in _REDIRECTS:
            return None
        try:
            target = str(urljoin(address, response.headers.get("location", "")))
            scheme = urlsplit(target).scheme
        except ValueError:
            target, scheme = "", ""
        if scheme not in ("http", "https") or (scheme == "http" and address.startswith("https:")):
            raise WrongAddress(f"{self._shown} redirects to {shown_address(target) or 'nowhere'}: not followed")
        return target

    def _require_ok(self, response: httpx.Response, wire: Wire) -> None:
        status = response.status_code
        if status in (403, 404, 410):
            # What the host says of a missing file is not documented: object stores say either.
            raise NotPublished(f"{self._shown} is not there (yet): HTTP {status}")
        if status == 407:
            raise refused_by_proxy(status, self._shown, wire.route)
        if status == 429 or status >= 500:
            raise _TryLater(status, retry_after(response.headers.get("retry-after"), time.time()))
        if status != 200:
            raise SourceUnavailable(f"{self._shown} cannot be had: HTTP {status}")

    async def _write(self, response: httpx.Response, wire: Wire, copy: Path) -> None:
        """Write what comes, as it is: a gzip file that is declared as encoding stays one."""
        stream = response.stream
        assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101
        chunks, size, is_whole = aiter(stream), 0, False
        with copy.open("wb") as file:
            while not is_whole:
                enough = size + self._slowest.least_bytes
                window = asyncio.timeout(self._slowest.window)
                try:
                    async with window:
                        while size < enough and not is_whole:
                            chunk = await self._next(chunks, wire)
                            size, is_whole = size + len(chunk), not chunk
                            if size > MAX_BYTES:
                                raise MalformedAnswer(f"{self._shown} is larger than {MAX_BYTES:,} bytes")
                            file.write(chunk)
                except TimeoutError:
                    if not window.expired():
                        raise
                    raise self._stalled() from None

    async def _next(self, chunks: AsyncIterator[bytes], wire: Wire) -> bytes:
        """The next bytes; none at the end."""
        failure: Exception
        try:
            async for chunk in chunks:
                if chunk:
                    return chunk
            return b""
        except Exception as error:  # noqa: BLE001 -- whatever it is, its text may hold the address
            failure = meaning_of(error, self._place, wire.route)
        raise failure

    def _stalled(self) -> httpx.ReadTimeout:
        return httpx.ReadTimeout(f"fewer than {self._slowest.least_bytes:,} bytes in {self._slowest.window:g} s")
