"""Files that a source publishes daily: addresses by date, download, wholeness. What is in them is not read here.

Downloads ask no API: no key is sent, no quota charged, and one request brings everything.
"""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from ayne_dagster.sources.errors import MalformedAnswer, SourceError, SourceUnavailable

MAX_BYTES = 1 << 30
"""Of a download. TMDB's export has 28 MB, IMDb's ratings 8 MB (2026): more than this is no such file."""
MAX_UNPACKED_BYTES = 8 << 30
ATTEMPTS = 4
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20


class NotPublished(SourceError):
    """There is no such file, at least not yet."""


def address_of(place: str, day: date) -> str:
    """The address or path of a day's file: `{date}` in it stands for MM_DD_YYYY."""
    return place.replace("{date}", f"{day:%m_%d_%Y}")


def is_dated(place: str) -> bool:
    """Whether each day has a file of its own."""
    return "{date}" in place


def fetch(place: str, copy: Path, *, sleep: Callable[[float], None] = time.sleep) -> Path:
    """A published file as a whole file on this machine.

    Args:
        place: an http(s) address, or the path of a file.
        copy: where a download is put; what lies there is replaced, and it is the caller's to remove.
        sleep: waits between attempts, and is called between pieces of a download; what it raises ends all of it.

    Returns:
        The path of the file: `copy`, or the file itself.

    Raises:
        NotPublished: there is no such file (yet).
        MalformedAnswer: it is too large, or its end is missing.
        SourceUnavailable: it cannot be had now.
    """
    path = _download(place, copy, sleep) if "://" in place else Path(place)
    try:
        _require_whole(path, place)
    except FileNotFoundError:
        raise NotPublished(f"There is no file {place}") from None
    except OSError as error:
        raise SourceUnavailable(f"{_shown(place)} cannot be read: {error.strerror or error}") from None
    return path


def _download(place: str, copy: Path, sleep: Callable[[float], None]) -> Path:
    """Fetch a file, again after errors that may pass."""
    try:
        for attempt in Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(multiplier=1, max=30),
            retry=retry_if_exception_type(httpx.TransportError),
            sleep=sleep,
            reraise=True,
        ):
            with attempt:
                _download_once(place, copy, sleep)
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise SourceUnavailable(f"{_shown(place)} cannot be had: {reason} (asked {ATTEMPTS} times)") from None
    except OSError as error:
        raise SourceUnavailable(f"{copy} cannot be written: {error.strerror or error}") from None
    return copy


def _download_once(place: str, copy: Path, sleep: Callable[[float], None]) -> None:
    local = urlsplit(place).hostname in ("127.0.0.1", "localhost", "::1")
    headers = {"user-agent": f"ayne_dagster/{version('ayne_dagster')}", "accept-encoding": "identity"}
    with (
        httpx.Client(trust_env=not local, follow_redirects=True, timeout=TIMEOUT, headers=headers) as client,
        client.stream("GET", place) as response,
        copy.open("wb") as file,
    ):
        if response.status_code in (403, 404):
            # What the host says of a missing file is not documented: object stores say either.
            raise NotPublished(f"{_shown(place)} is not there (yet): HTTP {response.status_code}")
        if response.status_code == 429 or response.status_code >= 500:
            raise httpx.TransportError(f"HTTP {response.status_code}")
        if response.status_code != 200:
            raise SourceUnavailable(f"{_shown(place)} cannot be had: HTTP {response.status_code}")
        size = 0
        for chunk in response.iter_raw(_CHUNK):  # as it is: a gzip file declared as encoding would be unpacked
            sleep(0.0)
            size += len(chunk)
            if size > MAX_BYTES:
                raise MalformedAnswer(f"{_shown(place)} is larger than {MAX_BYTES:,} bytes")
            file.write(chunk)


def _require_whole(path: Path, place: str) -> None:
    """Read a gzip file to its end: DuckDB takes one that is cut off for a shorter one.

    Raises:
        MalformedAnswer: its end is missing, it is damaged, or it is too large when unpacked.
    """
    with path.open("rb") as raw:
        if raw.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
            return
    try:
        with gzip.open(path) as file:
            size = 0
            while chunk := file.read(_CHUNK):
                size += len(chunk)
                if size > MAX_UNPACKED_BYTES:
                    raise MalformedAnswer(f"{_shown(place)} unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MalformedAnswer(f"{_shown(place)} is damaged or cut off ({error})") from None


def _shown(place: str) -> str:
    """An address as messages show it: without user, password and query."""
    if "://" not in place:
        return place
    parts = urlsplit(place)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
