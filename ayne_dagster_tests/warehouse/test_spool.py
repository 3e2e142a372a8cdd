"""The spool: what is put into it comes back exactly, is merged once, and is not lost when something is wrong."""

from __future__ import annotations

import errno
import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.warehouse import spool
from ayne_dagster.warehouse.database import Database, DatabaseBusy
from ayne_dagster.warehouse.merge import Answer, ListedMovie, QuarantinedBody, merge_answers
from ayne_dagster.warehouse.schema import TMDB_DETAILS
from ayne_dagster.warehouse.spool import Item, Origin, SpoolError, decoded, encoded, keep, kept, merge_kept, read

from .samples import DAY, HOLD, RUN, START, details, end, everything, line, listed, python, ratings, without_row

TMDB = Origin("tmdb", "tmdb_details", RUN)
OMDB = Origin("omdb", "omdb_ratings", RUN)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=[])),  # lone surrogates too
    st.dates(),
    st.datetimes(timezones=st.none() | st.just(UTC)),
    st.binary(),
    st.sampled_from(Outcome),
)
keys = st.text(st.characters(exclude_categories=[]), max_size=5) | st.sampled_from(["$date", "$", ""]) | st.integers()
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        return list(map(type, one)) == list(map(type, other)) and all(same(one[key], other[key]) for key in one)
    return all(map(same, one, other)) if isinstance(one, list | tuple) else True


@given(anything)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert same(decoded(encoded(value)), value)


@given(
    st.builds(
        Answer,
        st.integers(),
        st.sampled_from(Outcome),
        st.datetimes(timezones=st.just(UTC)),
        st.none() | st.dictionaries(st.text(max_size=8), scalars),
        st.text(),
        st.integers(),
        st.text(),
        st.binary(),
    )
)
def test_an_answer_comes_back_from_its_file_as_it_was(tmp_path_factory: pytest.TempPathFactory, answer: Answer) -> None:
    database = tmp_path_factory.mktemp("spool") / "ayne.duckdb"
    assert read(keep(database, TMDB, [answer])) == (TMDB, [answer])


BATCH: list[Item] = [
    details(1, budget=2**40),
    without_row(Outcome.QUARANTINED, 2, body=b"\xff\x00{"),
    listed(3),
    QuarantinedBody("tmdb", "discover 1999, page 3", START, "no JSON", b"<html>"),
]


def test_all_kinds_of_items_come_back_in_order(database: Database) -> None:
    assert read(keep(database.path, TMDB, BATCH)) == (TMDB, BATCH)


def test_what_is_spooled_is_merged_as_if_it_had_been_committed(database: Database, tmp_path: Path) -> None:
    answers = [details(1), details(2, release_date=date(2001, 5, 1)), without_row(Outcome.QUARANTINED, 3, body=b"{")]
    straight = Database(tmp_path / "straight.duckdb")
    with straight.transaction() as connection:
        merge_answers(connection, TMDB_DETAILS, "tmdb", answers, RUN)
    keep(database.path, TMDB, answers)
    told: list[str] = []
    report = merge_kept(database, "tmdb", told.append)

    assert report.total()["inserted"] == 2
    assert told == ["3 answers that the database could not take earlier are merged from the spool."]
    assert contents(database) == contents(straight)
    assert not spool.spool_folder(database.path).exists(), "nothing is left behind"


def test_files_are_merged_oldest_first(database: Database) -> None:
    keep(database.path, TMDB, [details(1, START, budget=1)])
    keep(database.path, TMDB, [details(1, START + DAY, budget=2)])
    merge_kept(database, "tmdb", silent)
    with database.connect() as connection:
        assert connection.execute("SELECT budget FROM tmdb_details").fetchall() == [(2,)]
        assert connection.execute("SELECT old_value FROM movie_history WHERE field = 'budget'").fetchall() == [("1",)]


def test_a_file_that_is_merged_twice_changes_nothing_the_second_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.connect():
        pass
    path = keep(database.path, TMDB, BATCH)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)  # the kill comes between the commit and the removal
        with pytest.raises(Killed):
            merge_kept(database, "tmdb", silent)
    once = contents(database)
    assert path.exists()
    merge_kept(database, "tmdb", silent)
    assert contents(database) == once
    assert not path.exists()


def test_only_the_files_of_the_source_are_merged(database: Database) -> None:
    keep(database.path, OMDB, [ratings(1)])
    keep(database.path, TMDB, [details(2), details(3)])
    assert (kept(database.path), kept(database.path, "omdb"), kept(database.path, "tmdb")) == (3, 1, 2)
    merge_kept(database, "tmdb", silent)
    assert (kept(database.path), kept(database.path, "omdb")) == (1, 1)
    merge_kept(database, "omdb", silent)
    assert kept(database.path) == 0


def test_while_the_database_cannot_take_them_the_files_stay(database: Database) -> None:
    with database.connect():
        pass
    keep(database.path, TMDB, [details(1)])
    holder = python(HOLD, database.path)
    try:
        assert line(holder) == "held"
        with pytest.raises(DatabaseBusy, match=str(holder.pid)):
            merge_kept(database, "tmdb", silent)
        assert kept(database.path) == 1
    finally:
        end(holder)
    merge_kept(database, "tmdb", silent)
    assert kept(database.path) == 0


@pytest.mark.parametrize(
    "case", ["cut off", "no JSON", "a newer format", "an unknown field", "an unknown kind", "binary"]
)
def test_a_file_that_cannot_be_read_is_set_aside_and_stops_nothing(database: Database, case: str) -> None:
    bad = keep(database.path, TMDB, [details(1), details(2)])
    text = bad.read_text()
    bad.write_bytes(
        {
            "cut off": text.splitlines()[0].encode(),
            "no JSON": text[:-10].encode(),
            "a newer format": text.replace('"format": 1', '"format": 2').encode(),
            "an unknown field": text.replace('"reason"', '"motive"').encode(),
            "an unknown kind": text.replace('"Answer"', '"Path"').encode(),
            "binary": os.urandom(100) + b"\xff",
        }[case]
    )
    damaged = bad.read_bytes()
    keep(database.path, TMDB, [details(3)])
    told: list[str] = []
    merge_kept(database, "tmdb", told.append)

    with database.connect() as connection:
        assert connection.execute("SELECT tmdb_id FROM tmdb_details").fetchall() == [(3,)]
    aside = bad.with_suffix(".unusable")
    assert aside.read_bytes() == damaged, "a person may still make something of it"
    assert str(aside) in told[0]
    assert "\n" not in told[0]


def test_a_batch_that_no_table_takes_is_set_aside_and_stops_nothing(database: Database) -> None:
    bad = keep(database.path, TMDB, [details(1, runtime="long")])
    keep(database.path, TMDB, [details(2)])
    merge_kept(database, "tmdb", silent)
    with database.connect() as connection:
        assert connection.execute("SELECT tmdb_id FROM tmdb_details").fetchall() == [(2,)]
    assert read(bad.with_suffix(".unusable"))[1] == [details(1, runtime="long")]


def test_a_batch_that_cannot_be_written_leaves_nothing_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SpoolError, match=r"ayne\.duckdb\.spool cannot be written either \(No space left on device\)"):
        keep(database.path, TMDB, BATCH)
    assert list(spool.spool_folder(database.path).iterdir()) == []


def test_a_type_that_would_not_come_back_is_refused(database: Database) -> None:
    with pytest.raises(SpoolError, match="complex"):
        keep(database.path, TMDB, [ListedMovie(1, START, {"title": 1j})])
    assert kept(database.path) == 0


def test_a_file_is_synced_before_it_is_in_its_place(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    replace, fsync = Path.replace, os.fsync

    def noted_replace(self: Path, target: Path) -> Path:
        steps.append("replace")
        return replace(self, target)

    def noted_fsync(descriptor: int) -> None:
        steps.append("fsync")
        fsync(descriptor)

    monkeypatch.setattr(Path, "replace", noted_replace)
    monkeypatch.setattr(os, "fsync", noted_fsync)
    keep(database.path, TMDB, BATCH)
    assert steps == ["fsync", "replace", "fsync"]


def test_what_a_kill_left_half_written_is_not_counted_and_tidied_up(database: Database) -> None:
    path = keep(database.path, TMDB, [details(1)])
    half = path.with_name("00000000000000000001-abcdef-tmdb.new")
    half.write_text('{"format": 1, "source": "tm')
    assert kept(database.path) == 1
    merge_kept(database, "tmdb", silent)
    assert not half.exists()


def test_without_a_spool_nothing_happens(database: Database) -> None:
    assert kept(database.path) == 0
    assert merge_kept(database, "tmdb", never).total() == {}
    assert not database.path.exists()


class Killed(BaseException):
    pass


def killed(*_: object, **__: object) -> None:
    raise Killed


def silent(text: str) -> None:
    pass


def never(text: str) -> None:
    raise AssertionError(text)


def contents(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    with database.connect() as connection:
        return everything(connection)


def test_times_keep_their_zone_and_dates_stay_dates() -> None:
    assert decoded(encoded(datetime(2026, 1, 1, tzinfo=UTC))).tzinfo is UTC
    assert type(decoded(encoded(date(2026, 1, 1)))) is date
