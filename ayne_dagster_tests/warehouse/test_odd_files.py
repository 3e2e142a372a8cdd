"""Daily files that are not what they should be: another file, a damaged one, one of another day, odd bytes in lines."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ayne_dagster.warehouse.feeds.daily_files import LEAST_LINES, FileRefused, Unpacked, doubts
from ayne_dagster.warehouse.feeds.id_export import doubts_of_export, merge_export, unpacked_export
from ayne_dagster.warehouse.feeds.imdb import doubts_of_ratings, merge_imdb_ratings, unpacked_ratings
from ayne_dagster.warehouse.feeds.published_lines import LONGEST_LINE
from ayne_dagster_tests.support.samples import DAY, Transaction, details, merge_details, rows

FIRST = date(2024, 1, 10)
MORNING = datetime(2024, 1, 10, 9, 15, tzinfo=UTC)
HEADING = "tconst\taverageRating\tnumVotes"


def movie(tmdb_id: int, **fields: Any) -> dict[str, Any]:
    names = {"adult": False, "id": tmdb_id, "original_title": f"Film {tmdb_id}", "popularity": 1.5, "video": False}
    return names | fields


def text_of(lines: Iterable[object]) -> bytes:
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


class Folder:
    """Reads a body as a file, packed or as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def export(self, body: bytes) -> tuple[Unpacked, list[tuple[Any, ...]]]:
        """The file, and its readable lines."""
        source = self.folder / "export"
        source.write_bytes(body)
        with unpacked_export(source, self.folder / "export.parquet") as file:
            query = (
                "SELECT tmdb_id, original_title, popularity FROM read_parquet(?) WHERE tmdb_id IS NOT NULL ORDER BY 1"
            )
            return file, duckdb.execute(query, [file.readable_path]).fetchall()

    def ratings(self, body: bytes) -> tuple[Unpacked, list[tuple[Any, ...]]]:
        source = self.folder / "ratings"
        source.write_bytes(body)
        with unpacked_ratings(source, self.folder / "ratings.parquet") as file:
            query = (
                "SELECT imdb_id, imdb_rating, imdb_votes FROM read_parquet(?) WHERE imdb_rating IS NOT NULL ORDER BY 1"
            )
            return file, duckdb.execute(query, [file.readable_path]).fetchall()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# Which file it is

OTHER_EXPORTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "series": lambda n: {"id": n, "original_name": f"Series {n}", "popularity": 2.5},
    "persons": lambda n: {"adult": False, "id": n, "name": f"Person {n}", "popularity": 2.5},
    "companies": lambda n: {"id": n, "name": f"Company {n}"},
    "adult movies": lambda n: movie(n, adult=True),
    "nothing but ids": lambda n: {"id": n},
    "dumped details": lambda n: {"id": n, "title": f"Film {n}", "imdb_id": "tt0000001"},
}


@pytest.mark.parametrize("line", OTHER_EXPORTS.values(), ids=OTHER_EXPORTS)
def test_another_of_tmdbs_exports_is_refused_by_its_lines(
    folder: Folder, line: Callable[[int], dict[str, Any]]
) -> None:
    with pytest.raises(FileRefused, match=r"no export of movies: .*AYNE_TMDB_EXPORT_URL"):
        folder.export(gzip.compress(text_of(line(n) for n in range(1, 500))))


def test_a_few_lines_of_another_kind_do_not_cost_the_others(folder: Folder) -> None:
    lines = [movie(n) for n in range(1, 500)] + [OTHER_EXPORTS["series"](1_000), movie(1_001, adult=True)]
    assert folder.export(text_of(lines))[0].lines == 501


@pytest.mark.parametrize(
    "body",
    [b"", b"\n\n", b"<html><body>Not found</body></html>", text_of([[movie(n) for n in range(500)]]), b"\x1f\x8b"],
    ids=["empty", "blank", "an error page", "an array", "a gzip file that ends at once"],
)
def test_a_file_that_is_none_is_not_believed(folder: Folder, body: bytes) -> None:
    try:
        file, _ = folder.export(body)
    except FileRefused:
        return
    assert doubts(file, None) is not None


def test_a_pretty_printed_array_is_not_believed(folder: Folder) -> None:
    body = json.dumps([movie(n) for n in range(500)], indent=1).encode()
    assert doubts(folder.export(body)[0], None) is not None


# What is in its lines

BODIES: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda body: body,
    "packed": gzip.compress,
    "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "carriage returns": lambda body: body.replace(b"\n", b"\r\n"),
    "U+0000 here and there": lambda body: body.replace(b"Film", b"Fi\x00lm").replace(b"\n", b"\x00\n"),
    "several members": lambda body: gzip.compress(body[:1000]) + gzip.compress(body[1000:]),
    "zeros behind it": lambda body: gzip.compress(body) + bytes(4096),
    "no last line end": lambda body: body.rstrip(b"\n"),
    "blank lines": lambda body: body.replace(b"\n", b"\n\n  \n"),
}


@pytest.mark.parametrize("made", BODIES.values(), ids=BODIES)
def test_a_file_says_the_same_however_it_is_packed_and_its_lines_end(
    folder: Folder, made: Callable[[bytes], bytes]
) -> None:
    file, found = folder.export(made(text_of(movie(n) for n in range(1, 301))))
    assert (file.lines, file.unreadable) == (300, 0)
    assert found == [(n, f"Film {n}", 1.5) for n in range(1, 301)]


@pytest.mark.parametrize(
    ("title", "read"),
    [
        (b"caf\xe9", "caf\N{REPLACEMENT CHARACTER}"),
        (b"\xff\xfe\xfd", "\N{REPLACEMENT CHARACTER}" * 3),
        (b"a\x01b\x1fc", "a b c"),
        (rb"half \ud83d pair", "half \N{REPLACEMENT CHARACTER} pair"),
        (rb"a pair \ud83d\ude00", "a pair \N{GRINNING FACE}"),
        (rb"\\ud83d", r"\ud83d"),
        ("\u2028".encode(), "\u2028"),
    ],
    ids=repr,
)
def test_a_bad_byte_in_a_title_costs_no_line_its_id(folder: Folder, title: bytes, read: str) -> None:
    odd = b'{"adult":false,"id":7,"original_title":"%b","popularity":1.5,"video":false}\n' % title
    file, found = folder.export(odd + text_of([movie(8)]))
    assert (file.lines, file.unreadable) == (2, 0)
    assert found[0] == (7, read, 1.5)


def test_every_line_that_cannot_be_read_is_counted(folder: Folder) -> None:
    bad = [
        "[",
        "{",
        '{"id":',
        '{"id":1',
        "no line",
        "[]",
        "7",
        '{"id":"8"}',
        '{"id":8.0}',
        '{"id":null}',
        '{"id":[9]}',
        '{"id":0}',
    ]
    too_long = json.dumps(movie(5, original_title="x" * 3 * LONGEST_LINE))
    body = text_of(movie(n) for n in range(1, 301)) + "\n".join([*bad, too_long]).encode()
    file, _ = folder.export(body)
    assert (file.lines, file.unreadable) == (300, len(bad) + 1)


def test_a_line_without_end_takes_no_memory_and_is_one_bad_line(folder: Folder) -> None:
    file, _ = folder.export(gzip.compress(text_of([movie(1)]) + b"x" * 20_000_000 + b"\n" + text_of([movie(2)])))
    assert (file.lines, file.unreadable) == (2, 1)


def test_a_movie_that_stands_twice_counts_once(folder: Folder) -> None:
    twice = [movie(n, popularity=p) for n in range(1, 61) for p in (1.0, 2.0)]
    file, _ = folder.export(text_of(twice))
    assert (file.lines, file.unreadable) == (60, 0)
    assert file.lines < LEAST_LINES < len(twice), "the other half of the movies may be missing"


@pytest.mark.parametrize(
    "odd", ["Infinity", "-Infinity", "NaN", "1e300", "1e400", "-1", '"much"', "null", "{}", "true"]
)
def test_a_popularity_that_is_none_is_unknown_and_costs_no_line(folder: Folder, odd: str) -> None:
    body = b'{"id":7,"original_title":"Odd","popularity":%b}\n' % odd.encode() + text_of([movie(8)])
    file, found = folder.export(body)
    assert (file.lines, file.unreadable) == (2, 0)
    assert found == [(7, "Odd", None), (8, "Film 8", 1.5)]


# Beside the last one


class Exports:
    """Exports day by day, weighed and merged as the asset does."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.connection, self.folder = connection, folder

    def read(self, day: int, lines: Iterable[object]) -> str | None:
        """Why it was refused; None when it was merged."""
        source, now = self.folder / "export", MORNING + day * DAY
        source.write_bytes(text_of(lines))
        with unpacked_export(source, self.folder / "out.parquet") as file, Transaction(self.connection):
            if doubt := doubts_of_export(self.connection, file, now):
                return doubt
            merge_export(self.connection, file, FIRST + day * DAY, now, "run")
        return None


@pytest.fixture
def exports(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> Exports:
    return Exports(connection, tmp_path)


def test_an_export_of_quite_other_movies_is_doubted_and_the_next_good_one_is_not(exports: Exports) -> None:
    assert exports.read(0, (movie(n) for n in range(1, 1001))) is None
    before = rows(exports.connection, "FROM tmdb_id_export ORDER BY 1")
    doubt = exports.read(1, (movie(n) for n in range(201, 1401)))
    assert doubt == "it lacks 200 of the 1,000 movies of the last accepted one"
    assert rows(exports.connection, "FROM tmdb_id_export ORDER BY 1") == before
    assert exports.read(2, (movie(n) for n in range(20, 1201))) is None
    query = "SELECT count(*) FROM tmdb_id_export WHERE missing_since IS NOT NULL"
    assert rows(exports.connection, query) == [(19,)]


def test_movies_that_are_known_to_be_missing_are_not_missed_again(exports: Exports) -> None:
    for day in range(12):
        assert exports.read(day, (movie(n) for n in range(1 + 40 * day, 1001))) is None


def test_an_older_export_under_a_newer_name_is_doubted(exports: Exports) -> None:
    assert exports.read(0, (movie(n) for n in range(1, 5001))) is None
    doubt = exports.read(1, (movie(n) for n in range(1, 4901)))
    assert doubt == "it lacks 100 of the 100 newest movies of the last accepted one: an older file?"
    assert exports.read(1, (movie(n) for n in range(1, 5101) if n % 3)) is not None
    assert exports.read(1, (movie(n) for n in range(1, 5101) if n % 30)) is None


# IMDb's


def rated(lines: Iterable[str], heading: str = HEADING) -> bytes:
    return "\n".join([heading, *lines, ""]).encode()


HEADINGS: dict[str, tuple[str, Callable[[str, str, str], str]]] = {
    "as it is": (HEADING, lambda i, r, v: f"{i}\t{r}\t{v}"),
    "one column more at the end": (f"{HEADING}\tweighted", lambda i, r, v: f"{i}\t{r}\t{v}\t9.9"),
    "one column more in front": (f"row\t{HEADING}", lambda i, r, v: f"1\t{i}\t{r}\t{v}"),
    "another order": ("numVotes\ttconst\taverageRating", lambda i, r, v: f"{v}\t{i}\t{r}"),
    "a byte order mark": (f"\ufeff{HEADING}", lambda i, r, v: f"{i}\t{r}\t{v}"),
    "carriage returns": (f"{HEADING}\r", lambda i, r, v: f"{i}\t{r}\t{v}\r"),
    "blanks": (" tconst \taverageRating \t numVotes", lambda i, r, v: f"{i} \t {r}\t{v} "),
}


@pytest.mark.parametrize(("heading", "line"), HEADINGS.values(), ids=HEADINGS)
def test_the_columns_of_imdbs_file_are_found_by_their_names(
    folder: Folder, heading: str, line: Callable[[str, str, str], str]
) -> None:
    body = rated([line(f"tt{n:07}", "5.7", str(n)) for n in range(1, 200)], heading)
    for packed in (body, gzip.compress(body)):
        file, found = folder.ratings(packed)
        assert (file.lines, file.unreadable) == (199, 0)
        assert found == [(f"tt{n:07}", 5.7, n) for n in range(1, 200)]


@pytest.mark.parametrize(
    ("heading", "absent"),
    [
        ("tconst\ttitleType\tprimaryTitle\toriginalTitle\tisAdult", "averageRating, numVotes"),
        ("tconst\taverageRating", "numVotes"),
        ("tconst,averageRating,numVotes", "tconst, averageRating, numVotes"),
        ("tconst\ttconst\taverageRating\tnumVotes", "tconst"),
        ("tt0000001\t5.7\t1965", "tconst, averageRating, numVotes"),
    ],
)
def test_a_heading_without_a_column_says_what_was_expected_and_found_and_what_to_do(
    folder: Folder, heading: str, absent: str
) -> None:
    with pytest.raises(FileRefused) as refused:
        folder.ratings(rated(["tt0000001\t5.7\t7"], heading))
    said = str(refused.value)
    assert f"must have the columns tconst, averageRating, numVotes, and {absent} cannot be found" in said
    assert f"it begins with {heading[:80].replace(chr(9), chr(32))!r}" in said
    assert "AYNE_IMDB_RATINGS_URL" in said
    assert "\n" not in said


def test_every_line_of_imdbs_file_that_is_no_rating_is_counted(folder: Folder) -> None:
    good = [f"tt{n:07}\t5.7\t{n}" for n in range(1, 200)]
    bad = [
        "tt0000201\t5,7\t8",
        "tt0000202",
        "tt0000203\t5.7\t1,000",
        "nm0000001\t5.7\t8",
        "tt0000204\t57\t8",
        '"',
        "\t\t",
    ]
    body = rated([*good, *bad]) + b"tt0000300\t5.7\t9\xff\n" + b"tt0000301\xe9\t5.7\t9\n"
    file, _ = folder.ratings(body)
    assert (file.lines, file.unreadable) == (199, len(bad) + 2)
    file, found = folder.ratings(rated(good, f"{HEADING}\ttitle") + b"tt0000300\t5.7\t9\tcaf\xe9\n")
    assert (file.lines, file.unreadable) == (200, 0)
    assert found[-1] == ("tt0000300", 5.7, 9)


class Ratings:
    """IMDb's files day by day, over 100 known movies."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.connection, self.folder = connection, folder
        merge_details(connection, *(details(n, at=MORNING - 30 * DAY, imdb_id=f"tt{n:07}") for n in range(1, 101)))

    def read(self, day: int, made: Callable[[int], tuple[float, int]], titles: Iterable[int]) -> str | None:
        source, now = self.folder / "ratings", MORNING + day * DAY
        source.write_bytes(rated([f"tt{n:07}\t{made(n)[0]}\t{made(n)[1]}" for n in titles]))
        with unpacked_ratings(source, self.folder / "out.parquet") as file, Transaction(self.connection):
            if doubt := doubts_of_ratings(self.connection, file, now):
                return doubt
            merge_imdb_ratings(self.connection, file, FIRST + day * DAY, now, "run")
        return None


def usual(number: int) -> tuple[float, int]:
    return round(5 + number / 50, 1), 1000 * number


def test_a_file_of_ratings_that_tells_of_something_else_is_doubted_and_the_next_good_one_is_not(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    ratings, all_titles = Ratings(connection, tmp_path), range(1, 300)
    assert ratings.read(0, usual, all_titles) is None
    before = rows(connection, "FROM imdb_ratings ORDER BY 1")
    doubted = {
        "rescaled": lambda n: (usual(n)[0] / 2, usual(n)[1]),
        "other votes": lambda n: (usual(n)[0], usual(n)[1] // 10),
        "those of other titles": lambda n: usual(300 - n),
    }
    for made in doubted.values():
        assert "quite others than in the last accepted one" in (ratings.read(1, made, all_titles) or "")
    lacking = ratings.read(1, usual, range(60, 300))
    assert lacking == "it lacks 59 of the 100 known titles of the last accepted one"
    assert rows(connection, "FROM imdb_ratings ORDER BY 1") == before
    assert ratings.read(2, lambda n: (usual(n)[0], usual(n)[1] + n), all_titles) is None
    assert rows(connection, "SELECT imdb_votes FROM imdb_ratings WHERE tmdb_id = 7") == [(7007,)]
