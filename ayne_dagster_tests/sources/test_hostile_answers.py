"""Answers made to hang, to fill the memory, to mislead: each ends in time, fits, and is told as what it is.

Over real connections on loopback; deadlines are short, and what is waited for is the deadline alone.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from ayne_dagster.config import ApiSettings
from ayne_dagster.sources.daily_files import fetch
from ayne_dagster.sources.download import Slowest, _Download
from ayne_dagster.sources.errors import MalformedAnswer, SourceError, SourcePaused, SourceUnavailable, WrongAddress
from ayne_dagster.sources.json_body import MAX_BODY_BYTES
from ayne_dagster.sources.limits.account import Account
from ayne_dagster.sources.limits.pace import LONGEST_PAUSE
from ayne_dagster.sources.retry_after import retry_after
from ayne_dagster.sources.transport import SLOW_ATTEMPTS, build_client
from ayne_dagster_tests.support.hostile import ENDLESS, OK, Behaviour, answering, bomb, hostile, packed, raw

KEY = "feedc0de-the-key"
MOVIE = b'{"id": 550, "title": "Fight Club", "genres": [{"id": 18, "name": "Drama"}]}'
DEADLINE = 0.25


def account(base: str, deadline: float = 20.0) -> Account:
    settings = ApiSettings(base, 0.0, 40, 10, retry_wait=0.0, answer_deadline=deadline)
    return Account("tmdb", settings, key=KEY)


def ask(base: str, deadline: float = 20.0, of: Account | None = None) -> httpx.Response:
    async def main() -> httpx.Response:
        async with build_client(of or account(base, deadline), parameters={"api_key": KEY}) as client:
            return await client.get(f"{base}/movie/550")

    return asyncio.run(main())


# Time


@pytest.mark.parametrize("behaviour", ENDLESS.values(), ids=ENDLESS)
def test_an_answer_that_never_ends_ends_by_its_deadline(behaviour: Behaviour) -> None:
    with hostile(behaviour) as server, pytest.raises(SourceUnavailable) as caught:
        ask(server.address, DEADLINE)
    assert caught.value.requests == len(server.requests)


@pytest.mark.parametrize("name", ["no answer", "headers that drip", "a body that drips", "interim answers"])
def test_an_answer_that_hangs_is_asked_for_twice_and_no_more(name: str) -> None:
    with hostile(ENDLESS[name]) as server, pytest.raises(SourceUnavailable, match=r"within 0.25 s .*asked 2 times"):
        ask(server.address, DEADLINE)
    assert len(server.requests) == SLOW_ATTEMPTS == 2


def test_a_connection_that_hung_is_not_used_again() -> None:
    with hostile(ENDLESS["a body that drips"], answering(MOVIE)) as server:
        assert ask(server.address, DEADLINE).json()["id"] == 550
    assert server.handshakes == 2


@pytest.mark.parametrize("behaviour", ENDLESS.values(), ids=ENDLESS)
def test_a_file_that_never_ends_is_given_up(behaviour: Behaviour, tmp_path: Path) -> None:
    slowest = Slowest(window=0.1, least_bytes=1000, longest=0.3)
    with hostile(behaviour) as server, pytest.raises(SourceUnavailable):
        fetch(f"{server.address}/ids.json", tmp_path / "copy", sleep=lambda _: None, slowest=slowest)


def test_a_file_that_drips_is_given_up_by_its_rate(tmp_path: Path) -> None:
    slowest = Slowest(window=0.1, least_bytes=1000, longest=60)
    drips = hostile(ENDLESS["a body that drips"])
    with drips as server, pytest.raises(SourceUnavailable, match=r"fewer than 1,000 bytes in 0\.1 s"):
        fetch(f"{server.address}/ids.json", tmp_path / "copy", sleep=lambda _: None, slowest=slowest)


# Size


REFUSED_BODIES: dict[str, tuple[Callable[[], Behaviour], str]] = {
    "a bomb": (lambda: answering(bomb(100_000_000, 1), Content_Encoding="gzip"), "larger than 10,000,000"),
    "a bomb without its header": (lambda: answering(bomb(100_000_000, 1)), "larger than 10,000,000"),
    "a bomb in two layers": (lambda: answering(bomb(100_000_000, 2), Content_Encoding="gzip"), "more than once"),
    "a bomb in three layers": (lambda: answering(bomb(100_000_000, 3)), "more than once"),
    "layers by the header": (
        lambda: answering(packed(MOVIE, 2), Content_Encoding="gzip, gzip"),
        "was not asked for",
    ),
    "deflate": (lambda: answering(zlib.compress(MOVIE), Content_Encoding="deflate"), "was not asked for"),
    "brotli": (lambda: answering(b"\x0b\x02\x80{}\x03", Content_Encoding="br"), "was not asked for"),
    "more bytes than any real answer": (lambda: raw(OK + b"\r\n" + b"[" * (MAX_BODY_BYTES + 1)), "larger than"),
}


@pytest.mark.parametrize(("behaviour", "reason"), REFUSED_BODIES.values(), ids=REFUSED_BODIES)
def test_a_body_that_is_too_much_is_refused_after_one_request(behaviour: Callable[[], Behaviour], reason: str) -> None:
    with hostile(behaviour()) as server, pytest.raises(MalformedAnswer, match=reason) as caught:
        ask(server.address)
    assert len(server.requests) == 1
    assert len(caught.value.body) <= 1_000_000


@pytest.mark.parametrize(
    "behaviour",
    [
        answering(packed(MOVIE), Content_Encoding="gzip"),
        answering(packed(MOVIE), Content_Encoding="X-GZIP"),
        answering(packed(MOVIE)),
        answering(packed(MOVIE[:20]) + packed(MOVIE[20:]), Content_Encoding="gzip"),
        answering(packed(MOVIE) + b"\0" * 100, Content_Encoding="gzip"),
        answering(MOVIE, Content_Encoding="identity"),
    ],
    ids=["gzip", "x-gzip", "no header", "two members", "padding", "identity"],
)
def test_what_is_packed_once_is_read(behaviour: Behaviour) -> None:
    with hostile(behaviour) as server:
        assert ask(server.address).content == MOVIE
    assert b"accept-encoding: gzip\r\n" in server.requests[0]


@pytest.mark.parametrize(
    "body",
    [packed(MOVIE)[:-9], packed(MOVIE)[:15], MOVIE, packed(MOVIE) + b"more", packed(b"") * 17 + packed(MOVIE)],
    ids=["cut off", "cut off early", "not packed at all", "something behind it", "too many members"],
)
def test_a_packed_body_that_is_damaged_is_asked_for_again(body: bytes) -> None:
    with hostile(answering(body, Content_Encoding="gzip"), answering(packed(MOVIE), Content_Encoding="gzip")) as server:
        assert ask(server.address).content == MOVIE
    assert len(server.requests) == 2


def wide(item: bytes, size: int) -> bytes:
    """A movie with as many items as have room."""
    return b'{"id":550,"title":"x","credits":{"cast":[' + item * (size // len(item)) + b"1]}}"


MEMORY = {
    "a bomb": lambda: bomb(100_000_000, 1),
    "layers": lambda: bomb(100_000_000, 3),
    "millions of lists": lambda: packed(wide(b"[],", 9_900_000)),
    "thousands of wrong items": lambda: packed(wide(b"1,", 90_000)),
    "thousands of right items": lambda: packed(wide(b'{"id":1},', 90_000)),
    "one long text": lambda: packed(b'{"id":550,"title":"' + b"x" * 9_500_000 + b'"}'),
    "illegal escapes": lambda: packed(b'{"id":550,"title":"' + rb"\q" * 4_900_000 + b'"}'),
    "quotes": lambda: packed(b'{"id":550,"title":"' + b'" ' * 49_000 + b'"}'),
    "digits": lambda: packed(b'{"id":550,"popularity":' + b"9" * 9_900_000 + b"}"),
    "nesting": lambda: packed(b'{"id":550,"x":' + b"[" * 4_900_000 + b"]" * 4_900_000 + b"}"),
}

MEASURE = """
import asyncio, os, resource, sys
from ayne_dagster.config import ApiSettings, Settings
from ayne_dagster.sources.errors import SourceError
from ayne_dagster.sources.tmdb.client import AsyncTMDBClient

async def ask(base):
    api = ApiSettings(base, 0.0, 40, 10, retry_wait=0.0)
    async with AsyncTMDBClient(settings=Settings(tmdb=api, tmdb_api_key="feedc0de-the-key")) as client:
        answers = await asyncio.gather(*(client.fetch_details(550) for _ in range(10)), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, SourceError):
            raise answer

for base in sys.argv[1:]:
    if os.fork() == 0:
        asyncio.run(ask(base))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(peak // (1024 if sys.platform != "darwin" else 1 << 20), flush=True)
        sys.exit()
    if os.wait()[1] != 0:
        sys.exit("ten of these were too much: " + base)
"""


def test_ten_bodies_at_once_made_to_fill_the_memory_do_not() -> None:
    """Each kind in a process of its own, which is forked: to import the client takes a second."""
    with ExitStack() as servers:
        kinds = (hostile(answering(body(), Content_Encoding="gzip")) for body in MEMORY.values())
        addresses = [servers.enter_context(kind).address for kind in kinds]
        # A shell between, since a process inherits the peak of the one that starts it.
        command = ["/bin/sh", "-c", '"$@"', "sh", sys.executable, "-c", MEASURE, *addresses]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    peaks = dict(zip(MEMORY, map(int, result.stdout.split()), strict=True))
    assert max(peaks.values()) <= 400, peaks


# Wholeness


@pytest.mark.parametrize("cut", range(1, len(MOVIE)))
def test_a_body_that_is_cut_off_anywhere_is_asked_for_again(cut: int) -> None:
    with hostile(answering(MOVIE[:cut]), answering(MOVIE)) as server:
        assert ask(server.address).content == MOVIE
    assert len(server.requests) == 2


def test_a_body_that_is_cut_off_every_time_leaves_no_answer_and_blames_no_body() -> None:
    cut = json.dumps({"id": 550, "genres": [{"id": 18}, {"id": 19}]}).encode()[:-2]
    assert cut.endswith(b"}"), "it looks whole at its end"
    with hostile(answering(cut)) as server, pytest.raises(SourceUnavailable, match="cut off"):
        ask(server.address)
    assert len(server.requests) == 5


@pytest.mark.parametrize("body", [rb'{"Plot":"Milli\M \x {"}', b'{"Plot":"a \x08 b"}', b'{"a": NaN}', b'{"a": 1}}'])
def test_a_body_that_is_wrong_in_itself_is_not_asked_for_again(body: bytes) -> None:
    with hostile(answering(body)) as server:
        assert ask(server.address).content == body
    assert len(server.requests) == 1


@pytest.mark.parametrize("length", [len(MOVIE) + 1, 10**15])
def test_an_answer_shorter_than_it_says_is_asked_for_again(length: int) -> None:
    short = raw(OK + f"Content-Length: {length}\r\n\r\n".encode() + MOVIE)
    with hostile(short, answering(MOVIE)) as server:
        assert ask(server.address).content == MOVIE
    assert len(server.requests) == 2


# Wrong addresses


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("https://me:secret-pass@other.example/3/movie/550?api_key=secret-key", "https://other.example/3/movie/550"),
        ("/login?api_key=secret-key", "/login"),
        ("//[broken", "broken"),
        ("", "sends requests elsewhere"),
    ],
)
def test_a_redirect_is_told_once_and_never_followed(status: str, location: str, told: str) -> None:
    with hostile(answering(b"<html>", status, Location=location)) as server, pytest.raises(WrongAddress) as caught:
        ask(f"{server.address}/3")
    assert len(server.requests) == 1
    assert f"{server.address}/3" in str(caught.value)
    assert told in str(caught.value)
    assert "AYNE_TMDB_BASE_URL" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.requests == 1


def test_a_redirect_that_quotes_the_key_in_its_path_is_told_without_it() -> None:
    moved = answering(b"", "302 Found", Location=f"https://other.example/{KEY}/x")
    with hostile(moved) as server, pytest.raises(WrongAddress, match=r"other\.example") as caught:
        ask(server.address)
    assert KEY not in str(caught.value)


def test_a_redirect_to_https_says_so() -> None:
    moved = answering(b"", "301 Moved", Location="https://127.0.0.1/3")
    with hostile(moved) as server, pytest.raises(WrongAddress, match=r"https://127\.0\.0\.1/3 with https"):
        ask(server.address)


def test_requests_before_a_redirect_are_counted() -> None:
    moved = answering(b"", "301 Moved", Location="https://other.example")
    with hostile(answering(b"", "500 Oops"), moved) as server, pytest.raises(WrongAddress) as caught:
        ask(server.address)
    assert caught.value.requests == len(server.requests) == 2


# Retry-After

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("30", 30.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("2.5", 2.5),
        ("nan", None),
        ("inf", LONGEST_PAUSE),
        ("-inf", 0.0),
        ("1e308", LONGEST_PAUSE),
        ("9" * 5000, LONGEST_PAUSE),
        ("999999999", LONGEST_PAUSE),
        ("soon", None),
        ("\x00", None),
        (format_datetime(datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC), usegmt=True), 30.0),
        (format_datetime(datetime(2020, 3, 1, 12, 0, 30, tzinfo=UTC), usegmt=True), 0.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Sun, 01 Mar 2026 14:00:30 +0200", 30.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_PAUSE),
        ("Fri, 31 Dec 9999 23:59:59 -1200", LONGEST_PAUSE),
        ("Fri, 31 Dec 99999 23:59:59 GMT", LONGEST_PAUSE),
        ("Fri, 31 Dec 9999999999999999999 23:59:59 GMT", LONGEST_PAUSE),
        ("Sat, 01 Jan 0000 00:00:00 GMT", 0.0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("Fri, 99 Dec 2026 23:59:59 GMT", None),
        ("Fri, 31 Dec 2026 99:99:99 GMT", None),
        ("Fri, 31 Dec 2026 23:59:59 +99999999999999999999", 0.0),
    ],
)
def test_a_pause_of_any_spelling_is_read_or_left_out(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize("status", ["429 Slow Down", "503 Unavailable", "502 Bad Gateway", "500 Oops"])
@pytest.mark.parametrize("value", ["Fri, 31 Dec 99999 23:59:59 GMT", "999999999", "1e308", "inf"])
def test_a_pause_of_any_length_is_the_same_in_the_process_and_in_the_ledger(status: str, value: str) -> None:
    with hostile(answering(b"", status, Retry_After=value)) as server:
        of = account(server.address)
        with pytest.raises(SourcePaused):
            ask(server.address, of=of)
    assert len(server.requests) == 1
    assert of.pause_left == pytest.approx(LONGEST_PAUSE, abs=5)
    assert of.standing.pause_left == pytest.approx(LONGEST_PAUSE, abs=5)


def test_whoever_notes_a_refusal_pauses_for_an_hour_at_most() -> None:
    of = account("http://api.example")
    of.refused(1e12)
    assert of.pause_left == pytest.approx(LONGEST_PAUSE, abs=5)


def test_a_5xx_without_a_pause_stops_nobody_else() -> None:
    with hostile(answering(b"", "503 Unavailable", Retry_After="nonsense"), answering(MOVIE)) as server:
        of = account(server.address)
        assert ask(server.address, of=of).content == MOVIE
    assert of.refusals == 0


@pytest.mark.parametrize(
    "status", [b"", b"GARBAGE", b"HTTP/9.9 abc\r\n\r\n", b"\xff" * 100, b"HTTP/1.1 99999 x\r\n\r\n"]
)
def test_whatever_is_no_http_is_a_source_without_an_answer(status: bytes) -> None:
    with hostile(raw(status)) as server, pytest.raises(SourceUnavailable):
        ask(server.address)


def test_whatever_breaks_below_is_an_error_of_a_source_and_not_asked_again() -> None:
    class Broken(httpx.AsyncBaseTransport):
        asked = 0

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.asked += 1
            raise TypeError(f"a fault of ours, with {KEY} in its text")

    broken = Broken()

    async def main() -> None:
        async with build_client(account("http://api.example"), parameters={"api_key": KEY}, wire=broken) as client:
            await client.get("http://api.example")

    with pytest.raises(SourceError, match="TypeError") as caught:
        asyncio.run(main())
    assert broken.asked == 1
    assert KEY not in str(caught.value)


# Daily files


def test_a_daily_file_follows_a_redirect_and_its_password_stays_behind(tmp_path: Path) -> None:
    body = gzip.compress(b'{"id":1}\n')
    with hostile(answering(body)) as target:
        moved = answering(b"", "302 Found", Location=f"{target.address}/real.gz")
        with hostile(moved) as server:
            address = f"http://me:secret-pass@127.0.0.1:{server.port}/ids.gz"
            assert fetch(address, tmp_path / "copy").read_bytes() == body
    assert b"authorization: basic" in server.requests[0].lower()
    assert b"authorization" not in target.requests[0].lower()


@pytest.mark.parametrize("location", ["ftp://x/y", "file:///etc/passwd", "", "//[x", "data:,x"])
def test_a_daily_file_is_not_fetched_from_anywhere_else(location: str, tmp_path: Path) -> None:
    with hostile(answering(b"", "302 Found", Location=location)) as server, pytest.raises(SourceError):
        fetch(f"{server.address}/ids.gz", tmp_path / "copy", sleep=lambda _: None)
    assert len(server.requests) <= 4


def test_a_daily_file_is_not_fetched_without_encryption_when_its_address_has_it() -> None:
    """Where a redirect leads, told from an answer that a test cannot get: there is no TLS on loopback to start from."""
    moved = httpx.Response(302, headers={"location": "http://files.example/ids.gz?token=secret"})
    start = _Download("https://files.example/ids.gz", Slowest())
    with pytest.raises(WrongAddress, match=r"redirects to http://files\.example/ids\.gz: not followed"):
        start._target(moved, "https://files.example/ids.gz")
    assert start._target(moved, "http://files.example/ids.gz") == moved.headers["location"]


def test_a_redirect_in_a_circle_ends(tmp_path: Path) -> None:
    with (
        hostile(answering(b"", "302 Found", Location="/ids.gz")) as server,
        pytest.raises(WrongAddress, match="3 times"),
    ):
        fetch(f"{server.address}/ids.gz", tmp_path / "copy", sleep=lambda _: None)
    assert len(server.requests) == 4


@pytest.mark.parametrize("seconds", ["7", "-1", "nan", "soon"])
def test_a_host_of_files_is_waited_for_as_long_as_it_asks(seconds: str, tmp_path: Path) -> None:
    waits: list[float] = []
    with hostile(answering(b"", "503 Busy", Retry_After=seconds), answering(b"x")) as server:
        fetch(f"{server.address}/ids", tmp_path / "copy", sleep=waits.append)
    assert waits == [7.0 if seconds == "7" else 1.0]


def test_a_host_of_files_that_asks_for_a_long_pause_is_left_for_another_time(tmp_path: Path) -> None:
    with hostile(answering(b"", "503 Busy", Retry_After="99999999")) as server, pytest.raises(SourceUnavailable):
        fetch(f"{server.address}/ids", tmp_path / "copy", sleep=lambda _: None)
    assert len(server.requests) == 1
