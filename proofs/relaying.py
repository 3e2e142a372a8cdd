"""A relay of TCP, for the stand-in, which listens on 127.0.0.1 alone: so machines of a proof reach it as their own.

    python -m proofs.relaying HOST:PORT HOST:PORT

Listens at the first address, and passes on to the second what comes.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from functools import partial


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _relayed(to: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        there, back = await asyncio.open_connection(*to)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))


def address(text: str) -> tuple[str, int]:
    """Host and port of `host:port`."""
    host, _, port = text.rpartition(":")
    return host, int(port)


async def relay(at: tuple[str, int], to: tuple[str, int]) -> None:
    """Pass on what comes, until cancelled."""
    server = await asyncio.start_server(partial(_relayed, to), *at)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(relay(address(sys.argv[1]), address(sys.argv[2])))
