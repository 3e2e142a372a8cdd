"""The spool: what is put into it comes back exactly, is merged once, and is not lost when something is wrong."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.warehouse import spool, spool_file
from ayne_dagster.warehouse.answers import Answer, ListedMovie, MergeReport, QuarantinedBody
from ayne_dagster.warehouse.database import Database, DatabaseBusy, DatabaseNotWritten
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.schema import TMDB_DETAILS
from ayne_dagster.warehouse.spool import (
    Contents,
    Item,
    Origin,
    SpoolError,
    decoded,
    encoded,
    keep,
    kept,
    merge_kept,
    read,
)
from ayne_dagster.warehouse.spool import contents as contents_of_spool
from ayne_dagster_tests.support.samples import (
    DAY,
    HOLD,
    RUN,
    START,
    details,
    end,
    everything,
    line,
    listed,
    python,
    ratings,
    without_row,
)

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

    assert report.total().inserted == 2
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


def test_while_the_database_cannot_take_them_the_files_stay(tmp_path: Path) -> None:
    database = Database(tmp_path / "ayne.duckdb", wait_seconds=0.05)
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


HEADERS: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{{{\n",
    "no object": b"[1]\n",
    "null": b"null\n",
    "no format": b'{"source": "tmdb"}\n',
    "a format of no number": b'{"format": "2", "source": "tmdb"}\n',
    "an absurd format": b'{"format": 1%s}\n' % (b"0" * 5000),
    "no table": b'{"format": 3, "source": "tmdb", "table": "passwords", "run_id": "r", "items": 1}\n',
    "a table of no name": b'{"format": 3, "source": "tmdb", "table": ["tmdb_details"], "run_id": "r", "items": 1}\n',
    "another source": b'{"format": 3, "source": "omdb", "table": "omdb_ratings", "run_id": "r", "items": 1}\n',
    "a count of no number": b'{"format": 3, "source": "tmdb", "table": "tmdb_details", "run_id": "r", "items": "x"}\n',
    "nested lists": b"[" * 100_000 + b"\n",
    "binary": b"\xff\x00\xfe" * 100,
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_file_that_does_not_say_what_it_is_is_set_aside_as_it_is_and_stops_nothing(
    database: Database, header: bytes
) -> None:
    bad = keep(database.path, TMDB, [details(1), details(2)])
    bad.write_bytes(header)
    keep(database.path, TMDB, [details(3)])
    assert kept(database.path) == 1
    told: list[str] = []
    merge_kept(database, "tmdb", told.append)
    assert stored(database) == [3]
    aside = bad.with_suffix(".unusable")
    assert aside.read_bytes() == header, "a person may still make something of it"
    assert str(aside) in told[0]
    assert "\n" not in told[0]


DEEP = "[" * 100_000 + "]" * 100_000
LINES: dict[str, Callable[[str], str]] = {
    "cut off": lambda line: line[:-10],
    "no JSON": lambda _: "oh",
    "empty": lambda _: "",
    "no object": lambda _: "[1, 2]",
    "an unknown field": lambda line: line.replace('"reason"', '"motive"'),
    "an unknown kind": lambda line: line.replace('"Answer"', '"Path"'),
    "an unknown outcome": lambda line: line.replace('"fetched"', '"sung"'),
    "an unknown enumeration": lambda line: line.replace('"Outcome"', '"Colour"'),
    "an unknown mark": lambda line: line.replace('"$datetime"', '"$moment"'),
    "no instant": lambda line: re.sub(r'"at": [^}]*}', '"at": null', line),
    "an instant without a zone": lambda line: line.replace("+00:00", ""),
    "an instant outside of time": lambda line: line.replace("2024-", "9999999-"),
    "a number that is a text": lambda line: line.replace('"tmdb_id": 2', '"tmdb_id": "2"'),
    "a number that is a truth": lambda line: line.replace('"tmdb_id": 2', '"tmdb_id": true'),
    "a number that is too large": lambda line: line.replace('"tmdb_id": 2', f'"tmdb_id": {10**30}'),
    "a number of too many digits": lambda line: line.replace('"tmdb_id": 2', '"tmdb_id": ' + "9" * 5_000),
    "another movie's row": lambda line: line.replace('"row": {"tmdb_id": 2', '"row": {"tmdb_id": 3'),
    "a row that is a list": lambda line: re.sub(r'"row": {.*?}, "release_year"', '"row": [1], "release_year"', line),
    "a value of a wrong type": lambda line: line.replace('"runtime": 139', '"runtime": "long"'),
    "a value that no column takes": lambda line: line.replace('"runtime": 139', f'"runtime": {2**40}'),
    "a date outside of time": lambda line: line.replace('"$date": "1999', '"$date": "99999'),
    "nested lists": lambda line: line.replace('"runtime": 139', f'"runtime": {DEEP}'),
    "deeply nested values": lambda line: line.replace('"runtime": 139', f'"runtime": {"[" * 900 + "]" * 900}'),
    "no year": lambda line: line.replace('"release_year": "1999", "requests"', '"release_year": 1999, "requests"'),
    "no requests": lambda line: line.replace('"requests": 1', '"requests": "one"'),
    "absurd requests": lambda line: line.replace('"requests": 1', f'"requests": {10**18}'),
    "a reason that is none": lambda line: line.replace('"reason": ""', '"reason": 7'),
    "a body that is none": lambda line: line.replace('"$bytes": ""', '"$bytes": 7'),
    "not ASCII": lambda line: line.replace("Fight Club", "Amélie"),
}


@pytest.mark.parametrize("spoil", LINES.values(), ids=LINES)
def test_an_item_that_cannot_be_merged_is_set_aside_as_it_is_and_the_rest_is_merged(
    database: Database, spoil: Callable[[str], str]
) -> None:
    path = keep(database.path, TMDB, [details(1), details(2), details(3)])
    lines = path.read_text().splitlines()
    spoilt = spoil(lines[2])
    assert spoilt != lines[2]
    path.write_text("\n".join([*lines[:2], spoilt, lines[3]]) + "\n", encoding="utf-8")
    told: list[str] = []
    merge_kept(database, "tmdb", told.append)
    assert stored(database) == [1, 3]
    aside = path.with_suffix(".unusable").read_text(encoding="utf-8").splitlines()
    assert aside[1:] == [spoilt]
    assert json.loads(aside[0])["items"] == 1
    assert any("1 item(s) of it could not be merged" in text for text in told)
    assert any(text.startswith("2 answers") for text in told)
    assert not path.exists()
    merge_kept(database, "tmdb", never)


@pytest.mark.parametrize("promised", [0, 1, 3, 10**12, -1])
def test_whatever_a_header_promises_what_is_there_is_counted_and_merged(database: Database, promised: int) -> None:
    path = keep(database.path, TMDB, [details(1), details(2)])
    path.write_text(path.read_text().replace('"items": 2', f'"items": {promised}'))
    assert kept(database.path) == 2
    told: list[str] = []
    merge_kept(database, "tmdb", told.append)
    assert stored(database) == [1, 2]
    assert path.with_suffix(".unusable").exists()
    assert f"it holds 2 of {promised} items" in told[0]


def test_a_file_of_a_newer_version_stays_for_it(database: Database) -> None:
    newer = keep(database.path, TMDB, [details(1)])
    newer.write_text(newer.read_text().replace('"format": 3', '"format": 4'))
    written = newer.read_bytes()
    keep(database.path, TMDB, [details(2)])
    told: list[str] = []
    for _ in range(2):
        merge_kept(database, "tmdb", told.append)
    assert stored(database) == [2]
    assert newer.read_bytes() == written
    assert [text for text in told if "has format 4, this program knows 3" in text]
    assert kept(database.path) == 0, "nothing of it can be merged here"
    assert contents_of_spool(database.path) == Contents(newer=1)


@pytest.mark.parametrize(("version", "lacking"), [(1, ("asked_imdb_id", "entities")), (2, ("entities",))])
def test_a_file_of_an_older_version_is_merged(database: Database, version: int, lacking: tuple[str, ...]) -> None:
    older = keep(database.path, OMDB, [ratings(1)])
    text = older.read_text().replace('"format": 3', f'"format": {version}')
    for name in lacking:
        assert f', "{name}": null' in text
        text = text.replace(f', "{name}": null', "")
    older.write_text(text)
    merge_kept(database, "omdb", silent)
    with database.connect() as connection:
        assert connection.execute("SELECT tmdb_id FROM omdb_ratings").fetchall() == [(1,)]


def test_what_only_has_the_name_of_a_file_is_left_alone(database: Database, tmp_path: Path) -> None:
    path = keep(database.path, TMDB, [details(1)])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(path.read_bytes().replace(b'"tmdb_id": 1', b'"tmdb_id": 9'))
    folder = path.parent
    (folder / "00-a-tmdb.jsonl").mkdir()
    os.mkfifo(folder / "00-b-tmdb.jsonl")
    (folder / "00-c-tmdb.jsonl").symlink_to(elsewhere)
    (folder / "00-d-tmdb.jsonl").symlink_to(folder / "nowhere")
    (folder / "00-e-tmdb.new").mkdir()
    assert kept(database.path) == 1
    assert contents_of_spool(database.path) == Contents(waiting=1, strange=5)
    merge_kept(database, "tmdb", silent)
    assert stored(database) == [1]
    assert len(list(folder.iterdir())) == 5


def test_a_file_that_may_not_be_read_stays_and_stops_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = keep(database.path, TMDB, [details(1)])
    keep(database.path, TMDB, [details(2)])
    opened = Path.open

    def refused(self: Path, *arguments: Any, **options: Any) -> Any:
        if self == secret:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    told: list[str] = []
    merge_kept(database, "tmdb", told.append)
    assert stored(database) == [2]
    assert secret.exists()
    assert "Permission denied" in told[0]


def test_a_large_file_is_merged_in_parts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_file, "PART_ITEMS", 10)
    parts: list[int] = []
    merge = spool.merge_items

    def noted(connection: Any, origin: Origin, items: Sequence[Item]) -> MergeReport:
        parts.append(len(items))
        return merge(connection, origin, items)

    monkeypatch.setattr(spool, "merge_items", noted)
    keep(database.path, TMDB, [details(number) for number in range(1, 26)])
    assert merge_kept(database, "tmdb", silent).total().inserted == 25
    assert parts == [10, 10, 5]

    monkeypatch.setattr(spool_file, "PART_BYTES", 1)
    keep(database.path, TMDB, [details(number) for number in range(26, 29)])
    merge_kept(database, "tmdb", silent)
    assert parts[3:] == [1, 1, 1]


def test_a_part_that_does_not_fit_into_memory_is_merged_in_smaller_ones(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = spool.merge_items

    def limited(connection: Any, origin: Origin, items: Sequence[Item]) -> MergeReport:
        if len(items) > 3 or any(isinstance(item, Answer) and item.tmdb_id == 7 for item in items):
            raise duckdb.OutOfMemoryException("Out of Memory Error: failed to pin block")
        return merge(connection, origin, items)

    monkeypatch.setattr(spool, "merge_items", limited)
    path = keep(database.path, TMDB, [details(number) for number in range(1, 11)])
    told: list[str] = []
    merge_kept(database, "tmdb", told.append)
    assert stored(database) == [number for number in range(1, 11) if number != 7]
    assert read(path.with_suffix(".unusable"))[1] == [details(7)]


def test_a_full_disk_is_no_items_fault(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> MergeReport:
        raise duckdb.IOException("Could not write file: No space left on device")

    path = keep(database.path, TMDB, [details(1), details(2)])
    with monkeypatch.context() as patch:
        patch.setattr(spool, "merge_items", full)
        with pytest.raises(DatabaseNotWritten):
            merge_kept(database, "tmdb", never)
    assert path.exists()
    assert not path.with_suffix(".unusable").exists()
    merge_kept(database, "tmdb", silent)
    assert stored(database) == [1, 2]


def test_a_line_longer_than_any_item_is_not_read_as_a_whole(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_file, "LONGEST_LINE", 3_000)
    path = keep(database.path, TMDB, [details(1), details(2, overview="x" * 10_000), details(3)])
    written = path.read_bytes()
    merge_kept(database, "tmdb", silent)
    assert stored(database) == [1, 3]
    assert path.with_suffix(".unusable").read_bytes() == written


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
    with pytest.raises(SpoolError, match=r"\.spool cannot be written either \(No space left on device\)"):
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
    assert merge_kept(database, "tmdb", never).total().not_zero() == {}
    assert not database.path.exists()


class Killed(BaseException):
    pass


def killed(*_: object, **__: object) -> None:
    raise Killed


def silent(text: str) -> None:
    pass


def never(text: str) -> None:
    raise AssertionError(text)


def stored(database: Database) -> list[int]:
    with database.connect() as connection:
        return [row[0] for row in connection.execute("SELECT tmdb_id FROM tmdb_details ORDER BY 1").fetchall()]


def contents(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    with database.connect() as connection:
        return everything(connection)


def test_times_keep_their_zone_and_dates_stay_dates() -> None:
    assert decoded(encoded(datetime(2026, 1, 1, tzinfo=UTC))).tzinfo is UTC
    assert type(decoded(encoded(date(2026, 1, 1)))) is date
