"""Daily files: what is unreadable is skipped, and what cannot be believed is refused as a whole."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.warehouse.feeds.daily_files import (
    LEAST_LINES,
    LEAST_SHARE,
    Doubts,
    FileRefused,
    Unpacked,
    doubts,
    last_accepted,
    record,
    unpacked,
    weigh,
)
from ayne_dagster_tests.support.samples import START, Transaction, rows

TEXT = "SELECT line FROM read_csv($lines, columns = {line: 'VARCHAR'}, header = false, delim = '\x01')"


def file_of(lines: int, unreadable: int = 0) -> Unpacked:
    return Unpacked(Path("any.parquet"), lines, unreadable)


def test_a_file_is_unpacked_beside_the_database_and_removed_in_the_end(tmp_path: Path) -> None:
    for name, body in (("packed", gzip.compress(b"one\ntwo\n")), ("plain", b"one\ntwo\n")):
        source, target = tmp_path / name, tmp_path / "it's.parquet"
        source.write_bytes(body)
        with unpacked(source, target, TEXT, "line", "line <> 'two'") as file:
            assert (file.lines, file.unreadable) == (1, 1)
            assert duckdb.execute("FROM read_parquet(?)", [str(file.path)]).fetchall() == [("one",), ("two",)]
        assert not target.exists()
        assert source.exists()


def test_a_file_that_cannot_be_parsed_at_all_is_refused_in_one_line(tmp_path: Path) -> None:
    source = tmp_path / "file.gz"
    source.write_bytes(b"\x1f\x8b\x00 no gzip after all")
    with (
        pytest.raises(FileRefused, match=r"^file\.gz cannot be read as what it should be: .+$"),
        unpacked(source, tmp_path / "out", TEXT, "line", "true"),
    ):
        pass
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "before", "doubt"),
    [
        (file_of(LEAST_LINES - 1), None, "usable lines, fewer than"),
        (file_of(949), 1000, "the last accepted one had 1,000"),
        (file_of(950), 1000, None),
        (file_of(5_000_000), 1000, None),
        (file_of(1000, 53), None, "cannot be read"),
        (file_of(1000, 50), None, None),
        (file_of(0), None, "0 usable lines"),
        (file_of(0, 1), 1000, "0 usable lines"),
    ],
)
def test_a_short_or_unreadable_file_is_doubted(file: Unpacked, before: int | None, doubt: str | None) -> None:
    said = doubts(file, before)
    assert (said is None) == (doubt is None)
    assert (doubt or "") in (said or "")


@given(st.integers(0, 3_000_000), st.integers(1, 3_000_000))
def test_no_file_that_lost_more_than_a_twentieth_is_believed(lines: int, before: int) -> None:
    if doubts(file_of(lines), before) is None:
        assert lines >= LEAST_SHARE * before


SAID = st.sampled_from([None, "why"])


@given(st.integers(0, 2000), st.integers(0, 200), st.none() | st.integers(1, 2000), SAID, SAID, SAID)
def test_the_last_file_is_given_up_only_for_one_that_fits_what_is_known_and_only_when_it_does_not_itself(
    lines: int, unreadable: int, before: int | None, by_known: str | None, by_last: str | None, of_last: str | None
) -> None:
    file = file_of(lines, unreadable)
    verdict = weigh(file, before, Doubts(by_known, by_last, of_last))
    alone, beside = doubts(file, None) or by_known, before is not None and (doubts(file, before) or by_last)
    assert (verdict.doubt is None) == (not alone and (not beside or of_last is not None))
    assert (verdict.remark is None) == (verdict.doubt is not None or not beside)


def test_the_last_accepted_file_is_the_measure_and_a_refused_one_is_not(connection: duckdb.DuckDBPyConnection) -> None:
    assert last_accepted(connection, "one", START) is None
    with Transaction(connection):
        record(connection, "one", date(2024, 1, 1), file_of(500), START, "run")
        record(connection, "one", date(2024, 1, 2), file_of(9), START, "run", refused="short")
        record(connection, "other", date(2024, 1, 3), file_of(700), START, "run")
    assert last_accepted(connection, "one", START) == (date(2024, 1, 1), 500)


def test_a_file_read_again_is_recorded_once_and_an_accepted_one_stays_accepted(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    day, query = date(2024, 1, 1), "SELECT accepted, lines, reason FROM daily_files"
    with Transaction(connection):
        record(connection, "one", day, file_of(9), START, "run", refused="short")
    assert rows(connection, query) == [(False, 9, "short")]
    with Transaction(connection):
        record(connection, "one", day, file_of(500), START, "run")
    assert rows(connection, query) == [(True, 500, None)]
    with Transaction(connection):
        record(connection, "one", day, file_of(8), START, "run", refused="short")
    assert rows(connection, query) == [(True, 500, None)]
