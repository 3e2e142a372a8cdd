"""Reads a whole answer within bounds of time and size: deadline, body, packing. No JSON, no keys, no second attempts.

What a server can do to a program that believes it: send a byte a second, or no end at all; send a body that unfolds to
gigabytes, once or in layers. Here each answer ends, by a deadline for the whole of it; a body is taken as it was sent,
up to a size, and unpacked in steps between which the event loop goes on.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import httpx

from ayne_dagster.sources.errors import MalformedAnswer
from ayne_dagster.sources.failures import meaning_of, refused_by_proxy
from ayne_dagster.sources.json_body import MAX_BODY_BYTES
from ayne_dagster.sources.network import Route, Wire
from ayne_dagster.sources.unpacking import GZIP_MAGIC, STEP, BrokenGzip, gunzipped

ACCEPTED_ENCODING = "gzip"
"""The one that is asked for and unpacked."""
ORDINARY_BYTES = 1 << 20
"""No real answer is larger. Of those that are, one is held at a time; the others wait for their turn."""
MOST_MEMBERS = 16
"""Parts of a packed body; servers send one."""
_NOT_PACKED = ("", "identity")
_GZIP = ("gzip", "x-gzip")
_KEPT_HEADERS = (b"content-type", b"retry-after", b"location")
"""What is read above: httpx parses every header that it is given, and TMDB sends dozens."""


class TooSlow(httpx.ReadTimeout):
    """The answer was not whole by its deadline."""


class WholeBodyTransport(httpx.AsyncBaseTransport):
    """Reads the whole body, so that a fault in the middle of it is met where it can be retried.

    Args:
        inner: what sends.
        address: for messages; that of each request when left out.
        deadline: seconds from sending to the last byte, without those that it waits for its turn because of others.

    Raises:
        TooSlow: the deadline has passed.
        MalformedAnswer: the body is larger than any real one, packed in a way that was not asked for, or twice.
        httpx.TransportError: another fault that may pass.
        WrongAddress: a fault that will not.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, *, address: str = "", deadline: float = 60.0) -> None:
        self._inner = inner
        self._address = address
        self._deadline = deadline
        self._large = asyncio.Lock()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and read the answer to its end."""
        address = self._address or str(request.url)
        failure: Exception
        deadline = asyncio.timeout(self._deadline)
        try:
            async with deadline:
                return await self._answer(request, deadline)
        except Exception as error:  # noqa: BLE001 -- whatever comes from below becomes one of ours
            failure = (
                TooSlow(f"no whole answer within {self._deadline:g} s (Timeout)")
                if deadline.expired()
                else meaning_of(error, address, self._route)
            )
        # Raised out here, since inside the handler it would carry the original along, with the signed request.
        raise failure

    async def _answer(self, request: httpx.Request, deadline: asyncio.Timeout) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        try:
            if response.status_code == 407:
                raise refused_by_proxy(407, "", self._route)
            async with _Room(self._large, deadline) as room:
                body = await _body(response, room)
        finally:
            await response.aclose()
        headers = [(name, value) for name, value in response.headers.raw if name.lower() in _KEPT_HEADERS]
        return httpx.Response(response.status_code, headers=headers, content=body, request=request)

    @property
    def _route(self) -> Route | None:
        return self._inner.route if isinstance(self._inner, Wire) else None

    async def aclose(self) -> None:
        """Close the layers below."""
        await self._inner.aclose()


class _Room:
    """Memory for one body at a time: little for each, much for one among all.

    Args:
        large: the turn of large bodies.
        deadline: of the answer; it goes on while the answer has its turn, so that none has it for longer.
    """

    def __init__(self, large: asyncio.Lock, deadline: asyncio.Timeout) -> None:
        self._large = large
        self._deadline = deadline
        self._is_large = False

    async def hold(self, pieces: list[bytes], size: int) -> None:
        """Let a body of so many bytes be held, as soon as it may.

        Raises:
            MalformedAnswer: it is larger than any real one.
        """
        if size > MAX_BODY_BYTES:
            raise MalformedAnswer(f"the body is larger than {MAX_BODY_BYTES:,} bytes", pieces[0])
        if size > ORDINARY_BYTES and not self._is_large:
            await self._take_turn()

    async def _take_turn(self) -> None:
        """Wait for the turn of large bodies. What others take of it is none of this answer's time."""
        now, due = asyncio.get_running_loop().time, self._deadline.when()
        begun = now()
        self._deadline.reschedule(None)
        try:
            self._is_large = await self._large.acquire()
        finally:
            self._deadline.reschedule(None if due is None else due + now() - begun)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_large:
            self._large.release()


async def _body(response: httpx.Response, room: _Room) -> bytes:
    """The body, unpacked."""
    pieces, size = list[bytes](), 0
    stream = response.stream  # as it was sent: httpx's own readers unpack without bounds
    assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101
    async for chunk in stream:
        pieces.append(chunk)
        size += len(chunk)
        await room.hold(pieces, size)
    body = b"".join(pieces)
    return await _unpacked(body, room) if _is_packed(response.headers.get("content-encoding", ""), body) else body


def _is_packed(encoding: str, body: bytes) -> bool:
    """Whether a body is gzip: by its header, or by its first bytes where that says nothing.

    TMDB sent gzip without the header on 2026-05-20 (https://github.com/seerr-team/seerr/issues/3050).
    """
    encoding = encoding.strip().lower()
    if encoding in _NOT_PACKED:
        return body.startswith(GZIP_MAGIC)
    if encoding in _GZIP:
        return bool(body)
    raise MalformedAnswer("the body is packed in a way that was not asked for", body)


async def _unpacked(packed: bytes, room: _Room) -> bytes:
    pieces, size = list[bytes](), 0
    try:
        for piece in gunzipped(packed, MOST_MEMBERS):
            pieces.append(piece)
            size += len(piece)
            await room.hold(pieces, size)
            if len(piece) == STEP:
                await asyncio.sleep(0)
    except BrokenGzip as error:
        raise httpx.ReadError(str(error)) from None
    body = b"".join(pieces)
    if body.startswith(GZIP_MAGIC):
        raise MalformedAnswer("the body is packed more than once", packed)
    return body
