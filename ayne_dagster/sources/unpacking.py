"""Gzip, unpacked piece by piece within bounds: a few bytes can be made to unfold to gigabytes. No HTTP, no files."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

GZIP_MAGIC = b"\x1f\x8b"
STEP = 1 << 18
"""Most bytes that are unpacked at once: what has to go on meanwhile may do so between two pieces."""
_FEED = 1 << 16
"""Most bytes that are looked at at once; what zlib leaves of them is copied."""


class BrokenGzip(Exception):
    """It is no gzip, or a damaged one; `str()` says which, in a few words."""


class CutOffGzip(BrokenGzip):
    """Its end is missing."""


class Gunzip:
    """Unpacks what is fed to it, and keeps nothing.

    Several members after each other are one text, as gzip itself takes them; zeros behind the last are padding.

    Args:
        most_members: more are refused; each costs time, also when it is empty.
    """

    def __init__(self, most_members: int) -> None:
        self._most_members = most_members
        self._member: zlib._Decompress | None = None
        self._members = 0
        self._start = b""
        """The first byte of what may be a next member."""
        self.padded = False
        """Whether there were zeros behind a member."""

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """The next packed bytes, as pieces of at most `STEP` bytes.

        Raises:
            BrokenGzip: they cannot be unpacked.
        """
        for start in range(0, len(packed), _FEED):
            waiting = packed[start : start + _FEED]
            while waiting:
                member = self._member
                if member is None:
                    waiting = self._next_member(waiting)
                    continue
                try:
                    piece = member.decompress(waiting, STEP)
                except zlib.error as error:
                    raise BrokenGzip(f"damaged gzip ({str(error).rpartition(': ')[2]})") from None
                if piece:
                    yield piece
                waiting = member.unconsumed_tail
                if member.eof:
                    waiting, self._member = member.unused_data, None

    def finish(self) -> None:
        """There is no more.

        Raises:
            CutOffGzip: but there should be.
        """
        if self._member is not None or self._start or not self._members:
            raise CutOffGzip("gzip that is cut off")

    def _next_member(self, waiting: bytes) -> bytes:
        """Begin the next member; returns what is left to unpack."""
        if self._members and not self._start:
            stripped = waiting.lstrip(b"\0")
            self.padded = self.padded or len(stripped) < len(waiting)
            waiting = stripped
        waiting = self._start + waiting
        if len(waiting) == 1 and waiting == GZIP_MAGIC[:1]:
            self._start = waiting
            return b""
        self._start = b""
        if not waiting:
            return b""
        if not waiting.startswith(GZIP_MAGIC):
            raise BrokenGzip("no gzip" if not self._members else "gzip with something else behind its end")
        self._members += 1
        if self._members > self._most_members:
            raise BrokenGzip(f"gzip of more than {self._most_members:,} parts")
        self._member = zlib.decompressobj(wbits=31)
        return waiting


def gunzipped(packed: bytes, most_members: int) -> Iterable[bytes]:
    """A whole gzip text, as pieces of at most `STEP` bytes.

    Raises:
        BrokenGzip: it cannot be unpacked, or its end is missing.
    """
    gunzip = Gunzip(most_members)
    yield from gunzip.feed(packed)
    gunzip.finish()
