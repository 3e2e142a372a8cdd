"""Gzip piece by piece: the same text as gzip itself reads, in bounded pieces, and nothing else."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.sources.unpacking import STEP, BrokenGzip, CutOffGzip, Gunzip, gunzipped

TEXT = b"one\ntwo\n" * 100


def read(packed: bytes, most_members: int = 100) -> bytes:
    return b"".join(gunzipped(packed, most_members))


@given(
    st.lists(st.binary(max_size=200), min_size=1, max_size=4),
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
    st.integers(1, 40),
)
def test_members_and_padding_are_read_however_they_arrive(texts: list[bytes], zeros: list[int], size: int) -> None:
    packed = b"".join(gzip.compress(text) + bytes(n) for text, n in zip(texts, zeros, strict=False))
    gunzip = Gunzip(10)
    pieces = [p for at in range(0, len(packed), size) for p in gunzip.feed(packed[at : at + size])]
    gunzip.finish()
    assert b"".join(pieces) == b"".join(texts)
    assert gunzip.padded == any(zeros[: len(texts)])


@given(st.integers(0, len(gzip.compress(TEXT)) - 1))
def test_whatever_is_cut_off_is_told(cut: int) -> None:
    with pytest.raises(CutOffGzip):
        read(gzip.compress(TEXT)[:cut])


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_told_and_never_anything_else(packed: bytes) -> None:
    for attempt in (packed, gzip.compress(TEXT) + packed, b"\x1f\x8b" + packed):
        try:
            text = read(attempt)
        except BrokenGzip:
            continue
        assert text == gzip.decompress(attempt)


@pytest.mark.parametrize("behind", [b"garbage", b"\0\0garbage", b"\x1f", b"\x1f\x8b", b"\x1fx"])
def test_something_else_behind_the_end_is_told(behind: bytes) -> None:
    with pytest.raises(BrokenGzip):
        read(gzip.compress(TEXT) + behind)


def test_pieces_are_bounded_and_come_before_the_rest_is_unpacked() -> None:
    pieces = iter(gunzipped(gzip.compress(bytes(10 * STEP)), 1))
    assert len(next(pieces)) == STEP
    assert all(0 < len(piece) <= STEP for piece in pieces)


def test_more_members_than_allowed_are_refused() -> None:
    assert read(gzip.compress(b"") * 3, 3) == b""
    with pytest.raises(BrokenGzip, match="more than 3 parts"):
        read(gzip.compress(b"") * 4, 3)
