"""Fetching a file that is published daily: whole, within bounds, without a key, and again where that may help."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import duckdb
import pytest

from ayne_dagster.sources import daily_files, download
from ayne_dagster.sources.daily_files import NotPublished, address_of, fetch, is_dated
from ayne_dagster.sources.download import ATTEMPTS
from ayne_dagster.sources.errors import MalformedAnswer, SourceError, SourceUnavailable
from ayne_dagster_tests.support.http_server import http_server

BODY = gzip.compress(b"one\ntwo\n" * 1000)


class Site:
    """A site on loopback, and what was asked of it."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.handler, self.address = Handler, ""


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[Site]:
    site = Site(answer)
    with http_server(site.handler) as address:
        site.address = f"{address}/file.gz"
        yield site


def sends(
    body: bytes, status: int = 200, length: int | None = None, **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(body) if length is None else length), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def at_once(_: float) -> None:
    """No wait."""


def test_a_day_stands_in_the_address_as_tmdb_writes_it() -> None:
    place = "https://files.example/movie_ids_{date}.json.gz"
    assert address_of(place, date(2026, 3, 1)) == "https://files.example/movie_ids_03_01_2026.json.gz"
    assert is_dated(place)
    assert not is_dated("https://files.example/title.ratings.tsv.gz")
    assert address_of("ratings.tsv.gz", date(2026, 3, 1)) == "ratings.tsv.gz"


def test_a_download_arrives_as_it_is_and_sends_no_key(tmp_path: Path) -> None:
    for headers in ({}, {"Content_Encoding": "gzip"}):
        with serving(sends(BODY, **headers)) as site:
            assert fetch(site.address, tmp_path / "copy") == tmp_path / "copy"
        assert (tmp_path / "copy").read_bytes() == BODY
        ((_, asked),) = site.asked
        assert asked["user-agent"].startswith("ayne_dagster/")
        assert not {"authorization", "cookie"} & asked.keys()


def test_a_file_on_this_machine_is_used_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "own.gz").write_bytes(BODY)
    assert fetch(str(tmp_path / "own.gz"), tmp_path / "copy") == tmp_path / "own.gz"
    assert not (tmp_path / "copy").exists()


def test_a_file_without_compression_is_taken_too(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("one\n")
    assert fetch(str(tmp_path / "own"), tmp_path / "copy").read_text() == "one\n"


@pytest.mark.parametrize("status", [403, 404])
def test_what_is_not_there_is_not_published_yet_and_asked_for_once(tmp_path: Path, status: int) -> None:
    with serving(sends(b"<Error/>", status)) as site, pytest.raises(NotPublished, match=f"HTTP {status}"):
        fetch(site.address, tmp_path / "copy", sleep=at_once)
    assert len(site.asked) == 1


def test_a_path_that_does_not_exist_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(NotPublished, match="There is no file"):
        fetch(str(tmp_path / "none.gz"), tmp_path / "copy")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="cannot be read"):
        fetch(str(tmp_path), tmp_path / "copy")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_site_in_trouble_is_asked_again_and_then_given_up(tmp_path: Path, status: int) -> None:
    waits: list[float] = []
    with serving(sends(b"", status)) as site, pytest.raises(SourceUnavailable, match=f"HTTP {status}"):
        fetch(site.address, tmp_path / "copy", sleep=waits.append)
    assert len(site.asked) == ATTEMPTS
    assert waits == [1, 2, 4]


def test_a_connection_that_breaks_is_no_shorter_file(tmp_path: Path) -> None:
    def first_broken(request: BaseHTTPRequestHandler) -> None:
        broken = len(site.asked) == 1
        sends(BODY[: len(BODY) // 2] if broken else BODY, length=len(BODY))(request)

    with serving(first_broken) as site:
        assert fetch(site.address, tmp_path / "copy", sleep=at_once).read_bytes() == BODY
    assert len(site.asked) == 2


@pytest.mark.parametrize("cut", [1, 8, 20, len(BODY) // 2, len(BODY) - 3])
def test_a_gzip_file_that_is_cut_off_is_malformed(tmp_path: Path, cut: int) -> None:
    with serving(sends(BODY[:-cut])) as site, pytest.raises(MalformedAnswer, match="damaged or cut off"):
        fetch(site.address, tmp_path / "copy")


def test_a_gzip_file_that_is_damaged_is_malformed(tmp_path: Path) -> None:
    body = bytearray(gzip.compress(bytes(range(256)) * 40))
    body[len(body) // 2] ^= 0xFF
    (tmp_path / "own.gz").write_bytes(body)
    with pytest.raises(MalformedAnswer, match="damaged or cut off"):
        fetch(str(tmp_path / "own.gz"), tmp_path / "copy")


def test_a_file_larger_than_any_real_one_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", len(BODY) - 1)
    with serving(sends(BODY)) as site, pytest.raises(MalformedAnswer, match="is larger than"):
        fetch(site.address, tmp_path / "copy")


def test_a_file_that_unpacks_to_more_than_any_real_one_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daily_files, "MAX_UNPACKED_BYTES", 7999)
    (tmp_path / "own.gz").write_bytes(BODY)
    with pytest.raises(MalformedAnswer, match="unpacks to more than"):
        fetch(str(tmp_path / "own.gz"), tmp_path / "copy")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with serving(sends(BODY)) as site, pytest.raises(SourceUnavailable, match="cannot be written"):
        fetch(site.address, tmp_path / "none" / "copy")


@pytest.mark.parametrize("status", [404, 418, 500])
def test_no_message_shows_a_password_or_a_query(tmp_path: Path, status: int) -> None:
    with serving(sends(b"", status)) as site:
        address = site.address.replace("http://", "http://user:secret@") + "?token=secret"
        with pytest.raises(SourceError) as caught:
            fetch(address, tmp_path / "copy", sleep=at_once)
    assert "secret" not in str(caught.value)
    assert "file.gz" in str(caught.value)


def with_heading(heading: bytes, text: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    end = zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little")
    return heading + packer.compress(text) + packer.flush() + end


def checked_heading(text: bytes) -> bytes:
    heading = b"\x1f\x8b\x08\x02" + bytes(6)
    return with_heading(heading + (zlib.crc32(heading) & 0xFFFF).to_bytes(2, "little"), text)


TEXT = b'{"id":1}\n' * 1000
ODD_GZIP = {
    "padded with zeros": gzip.compress(TEXT) + bytes(512),
    "padded between its members": gzip.compress(TEXT[:900]) + bytes(3) + gzip.compress(TEXT[900:]),
    "in members": b"".join(gzip.compress(TEXT[at : at + 900]) for at in range(0, len(TEXT), 900)),
    "with an empty member": gzip.compress(TEXT) + gzip.compress(b""),
    "with a comment": with_heading(b"\x1f\x8b\x08\x10" + bytes(6) + b"by hand\0", TEXT),
    "with a checked heading": checked_heading(TEXT),
    "with a name": with_heading(b"\x1f\x8b\x08\x08" + bytes(6) + b"name\0", TEXT),
}


@pytest.mark.parametrize("own", [False, True], ids=["downloaded", "of this machine"])
@pytest.mark.parametrize("packed", ODD_GZIP.values(), ids=ODD_GZIP)
def test_a_gzip_file_of_a_rarer_kind_is_handed_on_as_one_that_duckdb_reads(
    tmp_path: Path, packed: bytes, own: bool
) -> None:
    place = tmp_path / "own.gz"
    place.write_bytes(packed)
    with serving(sends(packed)) as site:
        path = fetch(str(place) if own else site.address, tmp_path / "copy")
    lines = duckdb.connect().execute("SELECT count(*) FROM read_json(?, compression = 'gzip')", [str(path)]).fetchone()
    assert lines == (1000,)
    assert place.read_bytes() == packed, "a person's file is left as it is"
    assert {entry.name for entry in tmp_path.iterdir()} <= {"own.gz", "copy"}


@pytest.mark.parametrize(
    "place",
    ["me:secret@files.example/ids.gz?token=secret", "//me:secret@files.example/ids.gz", "ids.gz?token=secret", "a\0b"],
)
def test_no_message_about_a_path_shows_what_would_be_secret_in_an_address(tmp_path: Path, place: str) -> None:
    with pytest.raises(SourceError) as caught:
        fetch(place, tmp_path / "copy")
    assert "secret" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("place", ["htp://me:secret@files.example/x", "://me:secret@x", "https://me:secret@:x/"])
def test_an_address_that_is_none_is_told_without_its_secrets(tmp_path: Path, place: str) -> None:
    with pytest.raises(SourceError, match=r"is no http\(s\) address") as caught:
        fetch(place, tmp_path / "copy")
    assert "secret" not in str(caught.value)
