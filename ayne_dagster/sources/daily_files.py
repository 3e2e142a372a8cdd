"""Files that a source publishes daily: addresses by date, and wholeness. What is in them is not read here.

Downloads ask no API: no key is sent, no quota charged, and one request brings everything (`download`).
"""

from __future__ import annotations

import gzip
import shutil
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from ayne_dagster.settings.texts import require_file
from ayne_dagster.sources.addresses import shown_address
from ayne_dagster.sources.download import SLOWEST, Slowest, download, not_written
from ayne_dagster.sources.errors import MalformedAnswer, NotPublished, SourceUnavailable
from ayne_dagster.sources.unpacking import GZIP_MAGIC, BrokenGzip, Gunzip

__all__ = ["NotPublished", "address_of", "fetch", "is_dated"]

MAX_UNPACKED_BYTES = 8 << 30
MAX_MEMBERS = 1_000_000
"""Parts of a gzip file; those of parallel packers have one for each 64 KB."""
_CHUNK = 1 << 20
_COMMON_FLAGS = 0x04 | 0x08
"""Of a gzip heading: extra field and file name. DuckDB knows no others."""


def address_of(place: str, day: date) -> str:
    """The address or path of a day's file: `{date}` in it stands for MM_DD_YYYY."""
    return place.replace("{date}", f"{day:%m_%d_%Y}")


def is_dated(place: str) -> bool:
    """Whether each day has a file of its own."""
    return "{date}" in place


def fetch(place: str, copy: Path, *, sleep: Callable[[float], None] = time.sleep, slowest: Slowest = SLOWEST) -> Path:
    """A published file as a whole file on this machine, of a kind that DuckDB reads.

    Args:
        place: an http(s) address, or the path of a file.
        copy: where a download is put; what lies there is replaced, and it is the caller's to remove.
        sleep: waits between attempts, and is called now and then meanwhile; what it raises ends all of it.
        slowest: what counts as hanging.

    Returns:
        The path of the file: `copy`, or the file itself.

    Raises:
        NotPublished: there is no such file (yet).
        MalformedAnswer: it is too large, or its end is missing.
        WrongAddress: the address cannot be right, or there is no way to it from here.
        SourceUnavailable: it cannot be had now.
    """
    path = download(place, copy, sleep, slowest) if "://" in place else Path(place)
    shown = shown_address(place)
    try:
        require_file(path)
        if _require_whole(path, shown):
            return path
    except FileNotFoundError:
        raise NotPublished(f"There is no file {shown}") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise SourceUnavailable(f"{shown} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        return _repacked(path, copy)
    except OSError as error:
        raise not_written(copy, error) from None


def _require_whole(path: Path, shown: str) -> bool:
    """Read a gzip file to its end: DuckDB takes one that is cut off for a shorter one.

    Returns:
        Whether DuckDB will read it too: it knows neither padding nor the rarer parts of a heading.

    Raises:
        MalformedAnswer: its end is missing, it is damaged, or it is too large when unpacked.
    """
    gunzip, size = Gunzip(MAX_MEMBERS), 0
    with path.open("rb") as file:
        heading = file.read(4)
        if heading[:2] != GZIP_MAGIC:
            return True
        file.seek(0)
        try:
            while packed := file.read(_CHUNK):
                for piece in gunzip.feed(packed):
                    size += len(piece)
                    if size > MAX_UNPACKED_BYTES:
                        raise MalformedAnswer(f"{shown} unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
            gunzip.finish()
        except BrokenGzip as error:
            raise MalformedAnswer(f"{shown} is damaged or cut off ({error})") from None
    return not gunzip.padded and not heading[3] & ~_COMMON_FLAGS


def _repacked(path: Path, copy: Path) -> Path:
    """The same text as a gzip file that DuckDB reads, at `copy`."""
    fresh = copy.with_name(f"{copy.name}.repacked")
    try:
        with gzip.open(path) as old, gzip.open(fresh, "wb", compresslevel=1) as new:
            shutil.copyfileobj(old, new, _CHUNK)
        return fresh.replace(copy)
    finally:
        fresh.unlink(missing_ok=True)
