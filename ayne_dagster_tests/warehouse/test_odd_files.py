"""Daily files that are not what they should be: another file, a damaged one, one of another day, odd bytes in lines."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.warehouse.feeds.daily_files import (
    LEAST_KNOWN,
    LEAST_LINES,
    FileRefused,
    Unpacked,
    doubts,
    last_accepted,
    weigh,
)
from ayne_dagster.warehouse.feeds.id_export import doubts_of_export, merge_export, unpacked_export
from ayne_dagster.warehouse.feeds.imdb import doubts_of_ratings, merge_imdb_ratings, unpacked_ratings
from ayne_dagster.warehouse.feeds.published_lines import LONGEST_LINE
from ayne_dagster_tests.support.samples import (
    DAY,
    Transaction,
    details,
    listed,
    merge_details,
    merge_listed,
    merge_ratings,
    ratings,
    rows,
    without_row,
)

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

    before: tuple[date, int] | None = None
    """Day and lines of the last one; by its record when left out."""
    remark: str | None = None

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.connection, self.folder = connection, folder

    def read(self, day: int, lines: Iterable[object]) -> str | None:
        """Why it was refused; None when it was merged."""
        source, now = self.folder / "export", MORNING + day * DAY
        source.write_bytes(text_of(lines))
        with unpacked_export(source, self.folder / "out.parquet") as file, Transaction(self.connection):
            before = self.before or last_accepted(self.connection, "tmdb_id_export", now)
            verdict = weigh(file, before and before[1], doubts_of_export(self.connection, file, now))
            self.remark = verdict.remark
            if verdict.doubt:
                return verdict.doubt
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
    exports.before = (FIRST, 1)  # a short one is doubted for being short
    for day in range(12):
        assert exports.read(day, (movie(n) for n in range(1 + 40 * day, 1001))) is None


def test_an_older_export_under_a_newer_name_is_doubted(exports: Exports) -> None:
    assert exports.read(0, (movie(n) for n in range(1, 5001))) is None
    doubt = exports.read(1, (movie(n) for n in range(1, 4901)))
    assert doubt == "it lacks 100 of the 100 newest movies of the last accepted one: an older file?"
    assert exports.read(1, (movie(n) for n in range(1, 5101) if n % 3)) is not None
    assert exports.read(1, (movie(n) for n in range(1, 5101) if n % 30)) is None


# Beside what TMDB has answered


def know(connection: duckdb.DuckDBPyConnection, ids: Iterable[int], at: datetime = MORNING) -> None:
    """Movies that TMDB has answered."""
    merge_details(connection, *(details(n, at=at, imdb_id=None) for n in ids))


WRONG_EXPORTS: dict[str, Callable[[], Iterable[object]]] = {
    "other movies": lambda: (movie(n) for n in range(5_000_001, 5_000_421)),
    "few of them, and many others": lambda: (movie(n) for n in [*range(1, 100), *range(9_000, 10_000)]),
    "half a file": lambda: (movie(n) for n in range(1, 421) if n % 2),
    "its first half": lambda: (movie(n) for n in range(1, 211)),
    "its second half": lambda: (movie(n) for n in range(211, 421)),
}


@pytest.mark.parametrize("lines", WRONG_EXPORTS.values(), ids=WRONG_EXPORTS)
@pytest.mark.parametrize("known", [range(1, 421), range(1, 421, 7)], ids=len)
def test_the_first_export_is_weighed_against_the_movies_that_tmdb_has_answered(
    exports: Exports, lines: Callable[[], Iterable[object]], known: range
) -> None:
    know(exports.connection, known)
    doubt = exports.read(0, lines())
    assert doubt is not None
    assert f"of the {len(known):,} movies that TMDB has answered" in doubt
    assert exports.read(1, (movie(n) for n in range(1, 421))) is None
    assert exports.remark is None


def test_movies_that_were_only_listed_are_known_to_exist_too(exports: Exports) -> None:
    merge_listed(exports.connection, *(listed(n, at=MORNING) for n in range(1, 50)))
    doubt = exports.read(0, (movie(n) for n in range(100, 300)))
    assert doubt == "it lacks 49 of the 49 movies that TMDB has answered"


def test_what_tmdb_denies_keeps_elsewhere_or_was_only_heard_of_in_an_export_speaks_against_none(
    exports: Exports,
) -> None:
    connection = exports.connection
    know(connection, range(1, 31))
    merge_details(connection, *(details(n, at=MORNING, adult=True) for n in range(31, 61)))
    for hours in (1, 40):
        gone = (without_row(Outcome.NOT_FOUND, n, MORNING + timedelta(hours=hours)) for n in range(1, 31))
        merge_details(connection, *gone)
    with Transaction(connection):
        connection.execute("INSERT INTO refresh_metadata BY NAME SELECT range AS tmdb_id FROM range(61, 91)")
    assert exports.read(3, (movie(n) for n in range(1000, 1200))) is None


@pytest.mark.parametrize("known", [0, 1, 4, 5, 19])
def test_less_than_a_handful_of_movies_says_nothing_of_the_first_export(exports: Exports, known: int) -> None:
    know(exports.connection, range(1, known + 1))
    assert (exports.read(0, (movie(n) for n in range(100, 300))) is None) == (known < LEAST_KNOWN)


@pytest.mark.parametrize(("known", "absent"), [(5, 2), (6, 3), (40, 20), (1000, 90)])
def test_some_movies_that_are_younger_than_the_first_export_cast_no_doubt_on_it(
    exports: Exports, known: int, absent: int
) -> None:
    know(exports.connection, range(1000, 1000 + known))
    assert exports.read(0, (movie(n) for n in range(1, 1000 + known - absent))) is None


def test_an_old_export_is_doubted_though_it_is_the_first(exports: Exports) -> None:
    know(exports.connection, range(1, 2001), at=MORNING - 10 * DAY)
    know(exports.connection, range(2001, 2101), at=MORNING)  # too new for any export
    doubt = exports.read(0, (movie(n) for n in range(1, 1901)))
    assert doubt == "it lacks 100 of the 100 newest movies that TMDB has answered: an older file?"
    assert exports.read(0, (movie(n) for n in range(1, 2001))) is None


def test_a_right_export_is_read_though_a_wrong_one_was_believed_before(exports: Exports) -> None:
    """The wrong one came before anything was known; it had more lines, which are others."""
    assert exports.read(0, (movie(n) for n in range(5_000_001, 5_003_001))) is None
    know(exports.connection, range(1, 421, 11), at=MORNING + DAY)
    assert exports.read(1, (movie(n) for n in range(1, 421))) is None
    assert exports.remark == (
        "it has 420 usable lines, the last accepted one had 3,000: that one is wrong itself,"
        " it lacked 39 of the 39 movies that TMDB has answered"
    )
    assert exports.read(2, (movie(n) for n in range(1, 436))) is None
    assert exports.remark is None
    assert exports.read(3, (movie(n) for n in range(5_000_001, 5_003_001))) is not None


@pytest.mark.parametrize(
    "lines",
    [
        *WRONG_EXPORTS.values(),
        lambda: (movie(n) for n in [*range(1, 421, 11), *range(5_000_001, 5_000_801)]),
        lambda: (movie(n) for n in range(1, 421) if n % 11 == 1 or n > 210),
    ],
    ids=[*WRONG_EXPORTS, "the known ones among others", "half a file that has the known ones"],
)
def test_a_wrong_export_is_refused_after_a_right_one_whatever_it_has(
    exports: Exports, lines: Callable[[], Iterable[object]]
) -> None:
    know(exports.connection, range(1, 421, 11))
    assert exports.read(0, (movie(n) for n in range(1, 421))) is None
    know(exports.connection, range(421, 431), at=MORNING + DAY)  # new ones, which the last export cannot have
    assert exports.read(1, lines()) is not None
    assert exports.read(2, (movie(n) for n in range(1, 436))) is None


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

    remark: str | None = None

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.connection, self.folder = connection, folder
        merge_details(connection, *(details(n, at=MORNING - 30 * DAY, imdb_id=f"tt{n:07}") for n in range(1, 101)))

    def read(self, day: int, made: Callable[[int], tuple[float, int]], titles: Iterable[int]) -> str | None:
        source, now = self.folder / "ratings", MORNING + day * DAY
        source.write_bytes(rated([f"tt{n:07}\t{made(n)[0]}\t{made(n)[1]}" for n in titles]))
        with unpacked_ratings(source, self.folder / "out.parquet") as file, Transaction(self.connection):
            before = last_accepted(self.connection, "imdb_ratings", now)
            verdict = weigh(file, before and before[1], doubts_of_ratings(self.connection, file, now))
            self.remark = verdict.remark
            if verdict.doubt:
                return verdict.doubt
            merge_imdb_ratings(self.connection, file, FIRST + day * DAY, now, "run")
        return None


def usual(number: int) -> tuple[float, int]:
    number = abs(number) % 300
    return round(5 + number / 60, 1), 1000 * number


def test_a_file_of_ratings_that_tells_of_something_else_is_doubted_and_the_next_good_one_is_not(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    files, all_titles = Ratings(connection, tmp_path), range(1, 300)
    assert files.read(0, usual, all_titles) is None
    before = rows(connection, "FROM imdb_ratings ORDER BY 1")
    doubted = {
        "rescaled": lambda n: (usual(n)[0] / 2, usual(n)[1]),
        "other votes": lambda n: (usual(n)[0], usual(n)[1] // 10),
        "those of other titles": lambda n: usual(300 - n),
    }
    for made in doubted.values():
        assert "quite others than in the last accepted one" in (files.read(1, made, all_titles) or "")
    lacking = files.read(1, usual, range(60, 400))
    assert lacking == "it lacks 59 of the 100 known titles of the last accepted one"
    assert rows(connection, "FROM imdb_ratings ORDER BY 1") == before
    assert files.read(2, lambda n: (usual(n)[0], usual(n)[1] + n), all_titles) is None
    assert rows(connection, "SELECT imdb_votes FROM imdb_ratings WHERE tmdb_id = 7") == [(7007,)]


# Beside what OMDb has told


def told(connection: duckdb.DuckDBPyConnection, numbers: Iterable[int]) -> None:
    """Titles that OMDb has rated, years ago."""
    merge_ratings(
        connection,
        *(
            ratings(n, at=MORNING - 20 * DAY, imdb_id=f"tt{n:07}", imdb_rating=usual(n)[0], imdb_votes=usual(n)[1] // 9)
            for n in numbers
        ),
    )


WRONG_RATINGS: dict[str, Callable[[int], tuple[float, int]]] = {
    "rescaled": lambda n: (usual(n)[0] / 2, usual(n)[1]),
    "a hundredth of the votes": lambda n: (usual(n)[0], usual(n)[1] // 100),
    "those of other titles": lambda n: usual(300 - n),
}


@pytest.mark.parametrize("made", WRONG_RATINGS.values(), ids=WRONG_RATINGS)
def test_the_first_file_of_ratings_is_weighed_against_what_omdb_has_told(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, made: Callable[[int], tuple[float, int]]
) -> None:
    read = Ratings(connection, tmp_path).read
    told(connection, range(1, 101))
    assert "titles are quite others than OMDb has told" in (read(0, made, range(1, 300)) or "")
    assert read(0, usual, range(60, 300)) == "it lacks 59 of the 100 titles that OMDb rates"
    assert read(0, usual, range(10_000, 10_300)) is not None
    assert rows(connection, "SELECT count(*) FROM imdb_ratings") == [(0,)]
    assert read(1, usual, range(1, 300)) is None


@pytest.mark.parametrize("made", WRONG_RATINGS.values(), ids=WRONG_RATINGS)
def test_right_ratings_are_read_though_wrong_ones_were_believed_before(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, made: Callable[[int], tuple[float, int]]
) -> None:
    files = Ratings(connection, tmp_path)
    assert files.read(0, made, range(1, 400)) is None
    told(connection, range(1, 101))
    assert files.read(1, usual, range(1, 300)) is None
    assert "were quite others in it than OMDb has told" in (files.remark or "")
    assert files.read(2, made, range(1, 300)) is not None
    assert files.read(3, usual, range(1, 200)) is not None, "half a file"


def test_ratings_of_other_titles_that_were_believed_keep_no_right_file_out(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    files = Ratings(connection, tmp_path)
    assert files.read(0, lambda _: (5.0, 9), range(10_000, 11_000)) is None
    told(connection, range(1, 101))
    assert files.read(1, usual, range(1, 300)) is None
    assert "nothing in it told of 100 of the 100 titles that OMDb rates" in (files.remark or "")
