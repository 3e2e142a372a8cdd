"""IMDb's daily ratings: stored for known movies, shown where they are fresher, and OMDb's signals when they jump."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.warehouse.feeds.daily_files import FileRefused
from ayne_dagster.warehouse.feeds.imdb import RatingsReport, merge_imdb_ratings, unpacked_ratings
from ayne_dagster_tests.support.samples import (
    DAY,
    HOUR,
    Transaction,
    create_tables,
    details,
    everything,
    merge_details,
    merge_ratings,
    one,
    ratings,
    rows,
    state_of,
)
from ayne_dagster_tests.support.thoroughness import examples

HEADING = "tconst\taverageRating\tnumVotes\n"
FIRST = date(2024, 1, 10)
MORNING = datetime(2024, 1, 10, 9, 15, tzinfo=UTC)
LONG_AGO = MORNING - 30 * DAY
Lines = dict[str, tuple[float, int]]


class Files:
    """Files of the days after FIRST, read in the morning."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.connection = connection
        self.folder = folder

    def merge(self, day: int, lines: Lines | str) -> RatingsReport:
        if not isinstance(lines, str):
            lines = "".join(f"{imdb_id}\t{rating}\t{votes}\n" for imdb_id, (rating, votes) in lines.items())
        source = self.folder / "title.ratings.tsv.gz"
        source.write_bytes(gzip.compress((HEADING + lines).encode()))
        # Of a name of its own: DuckDB takes a file that was replaced within a second, in the same size, for the former.
        target = self.folder / f"ratings-{day}.parquet"
        with unpacked_ratings(source, target) as file, Transaction(self.connection):
            return merge_imdb_ratings(self.connection, file, FIRST + DAY * day, MORNING + DAY * day, "run")


@pytest.fixture
def files(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> Files:
    return Files(connection, tmp_path)


def know(connection: duckdb.DuckDBPyConnection, *imdb_ids: str | None, rated_at: datetime | None = LONG_AGO) -> None:
    """Movies 1, 2 … with these IMDb ids."""
    for tmdb_id, imdb_id in enumerate(imdb_ids, start=1):
        merge_details(connection, details(tmdb_id, at=LONG_AGO, imdb_id=imdb_id))
        if imdb_id is not None and rated_at is not None:
            merge_ratings(connection, ratings(tmdb_id, at=rated_at, imdb_id=imdb_id))


def signals(connection: duckdb.DuckDBPyConnection, tmdb_id: int = 1) -> int:
    return state_of(connection, tmdb_id).at("omdb").signals


def test_lines_that_are_no_rating_are_skipped_and_counted_and_unknown_ones_tell_nothing(tmp_path: Path) -> None:
    source = tmp_path / "title.ratings.tsv"
    good = ["tt0000001\t5.7\t2102", "tt10000002\t10.0\t7", "tt0000003\t\\N\t\\N", "tt0000004\t7.1\t\\N"]
    bad = [
        "tt0000005\tx\t7",
        "tt0000006",
        "nm0000007\t5.0\t7",
        "tt0000008\t11.0\t7",
        "tt0000009\t5.0\t-7",
        '"tt1\t5\t5',
    ]
    source.write_text(HEADING + "\n".join([*good, *bad]) + "\n")
    with unpacked_ratings(source, tmp_path / "out") as file:
        assert (file.lines, file.unreadable) == (len(good), len(bad))


@pytest.mark.parametrize("body", ["", "<html>", "tconst\tprimaryTitle\n", '{"tconst": 1}'])
def test_a_file_with_another_heading_is_refused(tmp_path: Path, body: str) -> None:
    source = tmp_path / "title.ratings.tsv"
    source.write_text(body)
    with pytest.raises(FileRefused, match="no file of IMDb's ratings"), unpacked_ratings(source, tmp_path / "out"):
        pass


def test_known_movies_get_rating_and_votes_and_other_titles_are_left_out(files: Files) -> None:
    know(files.connection, "tt0000001", None, "tt0000003")
    told = files.merge(0, {"tt0000001": (7.5, 1000), "tt0000009": (5.0, 50)})
    assert (told.rated, told.new, told.changed) == (1, 1, 0)
    row = one(files.connection, "imdb_ratings", 1)
    assert (row["imdb_id"], row["imdb_rating"], row["imdb_votes"], row["release_year"]) == (
        *("tt0000001", 7.5, 1000),
        "1999",
    )
    assert rows(files.connection, "SELECT count(*) FROM imdb_ratings") == [(1,)]


def test_a_file_merged_a_second_time_changes_nothing(files: Files) -> None:
    know(files.connection, "tt0000001", "tt0000002")
    files.merge(0, {"tt0000001": (7.5, 1000), "tt0000002": (5.0, 10)})
    files.merge(1, {"tt0000001": (7.7, 2000), "tt0000002": (5.0, 11)})
    once = everything(files.connection)
    files.merge(1, {"tt0000001": (7.7, 2000), "tt0000002": (5.0, 11)})
    assert everything(files.connection) == once


def test_a_row_says_when_it_changed_and_when_a_file_last_had_it(files: Files) -> None:
    know(files.connection, "tt0000001")
    for day, lines in enumerate(({"tt0000001": (7.5, 1000)}, {"tt0000001": (7.5, 1000)}, {"tt0000002": (1.0, 1)})):
        files.merge(day, lines)
    row = one(files.connection, "imdb_ratings", 1)
    assert (row["updated_at"], row["listed_at"]) == (MORNING.replace(tzinfo=None), (MORNING + DAY).replace(tzinfo=None))


def test_unknown_leaves_what_is_known(files: Files) -> None:
    know(files.connection, "tt0000001")
    files.merge(0, {"tt0000001": (7.5, 1000)})
    files.merge(1, "tt0000001\t\\N\t\\N\n")
    assert one(files.connection, "imdb_ratings", 1)["imdb_rating"] == 7.5


def test_a_movie_with_another_imdb_id_gets_that_ones_rating_and_no_signal(files: Files) -> None:
    know(files.connection, "tt0000001")
    files.merge(0, {"tt0000001": (7.5, 1000), "tt0000002": (3.0, 90_000)})
    merge_details(files.connection, details(1, at=MORNING + HOUR, imdb_id="tt0000002"))
    told = files.merge(1, {"tt0000001": (7.5, 1000), "tt0000002": (3.0, 90_000)})
    assert (told.new, told.jumped) == (1, 0)
    assert one(files.connection, "imdb_ratings", 1)["imdb_votes"] == 90_000


def test_two_movies_that_share_an_imdb_id_both_get_its_rating(files: Files) -> None:
    know(files.connection, "tt0000001", "tt0000001")
    assert files.merge(0, {"tt0000001": (7.5, 1000)}).rated == 2


def test_a_movie_that_changes_its_year_takes_its_rating_along(files: Files) -> None:
    know(files.connection, "tt0000001")
    files.merge(0, {"tt0000001": (7.5, 1000)})
    merge_details(files.connection, details(1, at=MORNING, imdb_id="tt0000001", release_date=date(2001, 1, 1)))
    assert one(files.connection, "imdb_ratings", 1)["release_year"] == "2001"


# Jumps


@pytest.mark.parametrize(
    ("before", "after", "jumps"),
    [
        ((7.5, 1000), (7.5, 1200), True),  # a fifth more votes
        ((7.5, 1000), (7.5, 1199), False),
        ((7.5, 1000), (7.6, 1050), True),  # a step of the rating, made by new votes
        ((7.5, 1000), (7.4, 1050), True),
        ((7.5, 1000), (7.6, 1049), False),  # a step without noticeably more votes
        ((7.5, 1000), (9.9, 1000), False),
        ((7.5, 100), (7.5, 149), False),  # half as many again, and still a handful
        ((7.5, 100), (7.5, 150), True),
        ((7.5, 1000), (7.5, 10), False),  # votes taken away
        ((6.3, 2000), (6.4, 2100), True),  # 6.4 - 6.3 is less than 0.1 in binary
    ],
)
def test_a_jump_is_many_new_votes_or_a_step_of_the_rating_with_some(
    files: Files, before: tuple[float, int], after: tuple[float, int], jumps: bool
) -> None:
    know(files.connection, "tt0000001")
    files.merge(0, {"tt0000001": before})
    told = files.merge(1, {"tt0000001": after})
    assert (told.jumped, told.signals, signals(files.connection)) == (int(jumps),) * 3


def test_a_first_rating_is_no_jump(files: Files) -> None:
    know(files.connection, "tt0000001")
    assert files.merge(0, {"tt0000001": (1.0, 5_000_000)}).jumped == 0


def test_a_rise_in_small_steps_is_a_jump_at_last_and_then_counts_anew(files: Files) -> None:
    know(files.connection, "tt0000001")
    jumped = [files.merge(day, {"tt0000001": (7.5, 1000 + 60 * day)}).jumped for day in range(9)]
    assert jumped == [0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert files.merge(9, {"tt0000001": (7.5, 1488)}).jumped == 1


def test_what_omdb_was_asked_after_is_no_news_to_it(files: Files) -> None:
    know(files.connection, "tt0000001", "tt0000002")
    files.merge(0, {"tt0000001": (7.5, 1000), "tt0000002": (7.5, 1000)})
    files.merge(1, {"tt0000001": (7.5, 1150), "tt0000002": (7.5, 1150)})
    merge_ratings(files.connection, ratings(1, at=MORNING + DAY + HOUR, imdb_id="tt0000001"))
    told = files.merge(2, {"tt0000001": (7.5, 1250), "tt0000002": (7.5, 1250)})
    assert (told.jumped, told.signals) == (1, 1)
    assert [signals(files.connection, i) for i in (1, 2)] == [0, 1]


def expected_jumps(steps: list[tuple[int, int]]) -> list[bool]:
    """The rule, in other words: rating in tenths and votes of each day, against those of the last jump."""
    rating, votes = steps[0]
    jumps = [False]
    for new_rating, new_votes in steps[1:]:
        grown = new_votes - votes
        jump = grown >= 50 and (5 * grown >= votes or (20 * grown >= votes and new_rating != rating))
        jumps.append(jump)
        if jump:
            rating, votes = new_rating, new_votes
    return jumps


steps_of_a_week = st.lists(st.tuples(st.integers(10, 100), st.integers(0, 3000)), min_size=6, max_size=6)


@settings(max_examples=examples(8))
@given(st.lists(steps_of_a_week, min_size=10, max_size=12))
def test_jumps_are_those_of_the_rule(
    tmp_path_factory: pytest.TempPathFactory, titles: list[list[tuple[int, int]]]
) -> None:
    with duckdb.connect() as connection:
        create_tables(connection)
        ids = [f"tt{number:07}" for number in range(1, len(titles) + 1)]
        know(connection, *ids)
        files = Files(connection, tmp_path_factory.mktemp("files"))
        expected = [expected_jumps(steps) for steps in titles]
        for day in range(6):
            lines = {i: (steps[day][0] / 10, steps[day][1]) for i, steps in zip(ids, titles, strict=True)}
            assert files.merge(day, lines).jumped == sum(jumps[day] for jumps in expected)


# The view


def shown(connection: duckdb.DuckDBPyConnection) -> tuple[object, ...]:
    row = one(connection, "movies", 1)
    return tuple(row[f"imdb_{name}"] for name in ("rating", "votes", "rating_source", "rating_as_of"))


@pytest.mark.parametrize(
    ("asked_after", "from_file"),
    [(-30 * DAY, True), (timedelta(0), True), (DAY, True), (DAY + HOUR, False), (9 * DAY, False)],
)
def test_movies_show_the_fresher_rating_and_say_from_where(
    files: Files, asked_after: timedelta, from_file: bool
) -> None:
    asked = MORNING + asked_after
    know(files.connection, "tt0000001", rated_at=asked)
    files.merge(0, {"tt0000001": (7.5, 1000)})
    if from_file:
        assert shown(files.connection) == (7.5, 1000, "imdb", MORNING.replace(tzinfo=None))
    else:
        assert shown(files.connection) == (8.8, 2_100_000, "omdb", asked.replace(tzinfo=None))


def test_movies_show_the_only_rating_there_is(files: Files) -> None:
    know(files.connection, "tt0000001", rated_at=None)
    assert shown(files.connection) == (None, None, None, None)
    files.merge(0, {"tt0000001": (7.5, 1000)})
    assert shown(files.connection)[:3] == (7.5, 1000, "imdb")
    files.connection.execute("DELETE FROM imdb_ratings")
    merge_ratings(files.connection, ratings(1, at=MORNING, imdb_id="tt0000001"))
    assert shown(files.connection)[:3] == (8.8, 2_100_000, "omdb")


def test_a_rating_that_omdb_does_not_have_is_the_files_however_old(files: Files) -> None:
    know(files.connection, "tt0000001", rated_at=None)
    files.merge(0, {"tt0000001": (7.5, 1000)})
    late = ratings(1, at=MORNING + 90 * DAY, imdb_id="tt0000001", imdb_rating=None, imdb_votes=None)
    merge_ratings(files.connection, late)
    assert shown(files.connection)[:3] == (7.5, 1000, "imdb")
