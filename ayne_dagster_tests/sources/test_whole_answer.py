"""Whose time an answer takes: its own up to its deadline, and that of no other while large bodies take turns.

In virtual time: a body comes in pieces, each after so many seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from ayne_dagster.sources.whole_answer import ORDINARY_BYTES, TooSlow, WholeBodyTransport
from ayne_dagster_tests.support.virtual_time import VirtualLoop

DEADLINE = 10.0
LARGE, MORE = bytes(ORDINARY_BYTES + 1), bytes(1000)
Pieces = Sequence[tuple[float, bytes]]


class Slow(httpx.AsyncByteStream):
    """A body in pieces, with the seconds that each is waited for."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for seconds, piece in self._pieces:
            await asyncio.sleep(seconds)
            yield piece

    async def aclose(self) -> None:
        self.closed = True


class Bodies(httpx.AsyncBaseTransport):
    """Answers each request with the next of some bodies."""

    def __init__(self, bodies: Sequence[Pieces]) -> None:
        self.sent = [Slow(pieces) for pieces in bodies]
        self._next = iter(self.sent)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=next(self._next))


def ended(*bodies: Pieces, cancelled_after: dict[int, float] | None = None) -> list[tuple[str, float]]:
    """How the answers with these bodies, all asked for at once, ended, and after how many seconds."""
    wire = Bodies(bodies)

    async def one(transport: WholeBodyTransport, number: int) -> tuple[str, float]:
        now = asyncio.get_running_loop().time
        begun = now()
        try:
            async with asyncio.timeout((cancelled_after or {}).get(number)):
                response = await transport.handle_async_request(httpx.Request("GET", "http://api.example"))
            assert len(response.content) == sum(len(piece) for _, piece in bodies[number])
            said = "whole"
        except TooSlow:
            said = "too slow"
        except TimeoutError:
            said = "cancelled"
        return said, round(now() - begun, 2)

    async def main() -> list[tuple[str, float]]:
        transport = WholeBodyTransport(wire, deadline=DEADLINE)
        return await asyncio.gather(*(one(transport, number) for number in range(len(bodies))))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        found = runner.run(main())
    assert all(body.closed for body in wire.sent)
    return found


def test_an_answer_that_waits_for_its_turn_is_not_too_slow() -> None:
    quick = [(0.5, LARGE), (1.0, MORE)]
    drips = [(0.0, LARGE), *[(1.0, MORE)] * 100]
    assert sorted(ended(drips, quick, quick, quick)) == [
        ("too slow", 10.0),
        ("whole", 11.0),
        ("whole", 12.0),
        ("whole", 13.0),
    ]


def test_a_body_that_drips_has_the_turn_no_longer_than_to_its_own_deadline() -> None:
    """What it took before its turn counts, the wait for it does not."""
    drips = [(4.0, LARGE), *[(1.0, MORE)] * 100]
    assert sorted(ended(drips, drips, drips)) == [("too slow", 10.0), ("too slow", 16.0), ("too slow", 22.0)]


def test_ordinary_answers_do_not_wait_for_the_turn_of_large_ones() -> None:
    drips = [(0.0, LARGE), *[(1.0, MORE)] * 100]
    assert ended(drips, [(1.0, MORE)], [*[(3.0, MORE)] * 9]) == [("too slow", 10.0), ("whole", 1.0), ("too slow", 10.0)]


@pytest.mark.parametrize("seconds", [2.0, 6.0])
def test_an_answer_that_is_given_up_leaves_its_turn_to_the_next(seconds: float) -> None:
    """Given up while it has the turn, or while it waits for it."""
    slow = [(0.0, LARGE), *[(1.0, MORE)] * 5]
    found = ended(slow, slow, slow, cancelled_after={1: seconds})
    assert found == [("whole", 5.0), ("cancelled", seconds), ("whole", 10.0 if seconds < 5 else seconds + 5)]
