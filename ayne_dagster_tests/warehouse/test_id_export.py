"""The daily ID export: new movies, popularity, and movies that are gone only when two exports say so."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY, FREEZE_AFTER_CYCLES, Reason
from ayne_dagster.warehouse.feeds.id_export import ExportReport, merge_export, unpacked_export
from ayne_dagster.warehouse.rows import Row
from ayne_dagster_tests.support.samples import (
    DAY,
    Transaction,
    details,
    everything,
    merge_details,
    merge_ratings,
    one,
    ratings,
    rows,
    state_of,
    without_row,
)

FIRST = date(2024, 1, 10)
MORNING = datetime(2024, 1, 10, 9, 15, tzinfo=UTC)


def line(tmdb_id: int, popularity: float = 1.0, title: str | None = None, *, video: bool = False) -> Row:
    name = title or f"Film {tmdb_id}"
    return {"adult": False, "id": tmdb_id, "original_title": name, "popularity": popularity, "video": video}


class Exports:
    """Exports of the days after FIRST, merged in the morning."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.connection = connection
        self.folder = folder

    def merge(self, day: int, lines: Iterable[Mapping[str, Any]] | bytes, **options: Any) -> ExportReport:
        body = lines if isinstance(lines, bytes) else "\n".join(json.dumps(item) for item in lines).encode()
        source = self.folder / "export.json.gz"
        source.write_bytes(gzip.compress(body))
        with unpacked_export(source, self.folder / "export.parquet") as file, Transaction(self.connection):
            return merge_export(self.connection, file, FIRST + DAY * day, MORNING + DAY * day, "run", **options)


@pytest.fixture
def exports(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> Exports:
    return Exports(connection, tmp_path)


def test_lines_are_parsed_as_json_and_bad_ones_are_skipped_and_counted(tmp_path: Path) -> None:
    source = tmp_path / "export.json"
    good = [
        json.dumps(line(1, title='A "quoted" \\ title')),
        json.dumps(line(2, title="Дом \u0000 é")),
        '{"adult":false,"id":3}',
        '{"id":4,"popularity":1e400,"original_title":null,"video":null}',
    ]
    bad = ['{"id":5,"original_title":"cut', "<html>", "[]", "{}", '{"id":"6"}', '{"id":7.5}', '{"id":-8}']
    bad += ['{"id":true}', '{"id":99999999999999999999}']
    source.write_text("\n".join([*good, *bad]) + "\n")
    with unpacked_export(source, tmp_path / "out") as file:
        assert (file.lines, file.unreadable) == (len(good), len(bad))
        query = "SELECT tmdb_id, original_title, popularity, video FROM read_parquet(?) WHERE tmdb_id IS NOT NULL"
        found = duckdb.execute(query, [str(file.path)]).fetchall()
    assert found == [
        (1, 'A "quoted" \\ title', 1.0, False),
        (2, "Дом \u0000 é", 1.0, False),
        (3, None, None, None),
        (4, None, None, None),
    ]


def test_an_export_lists_every_movie_once(exports: Exports) -> None:
    told = exports.merge(0, [line(1), line(2, 3.5), line(2, 3.0)])
    assert (told.listed, told.new) == (2, 2)
    query = "SELECT tmdb_id, popularity, first_listed_on, last_listed_on FROM tmdb_id_export ORDER BY 1"
    assert rows(exports.connection, query) == [(1, 1.0, FIRST, FIRST), (2, 3.5, FIRST, FIRST)]
    exports.merge(1, [line(1, 2.0, "Renamed"), {"id": 2}, line(3)])
    assert rows(exports.connection, query) == [
        (1, 2.0, FIRST, FIRST + DAY),
        (2, 3.5, FIRST, FIRST + DAY),
        (3, 1.0, FIRST + DAY, FIRST + DAY),
    ]
    titles = rows(exports.connection, "SELECT original_title FROM tmdb_id_export ORDER BY tmdb_id")
    assert titles == [("Renamed",), ("Film 2",), ("Film 3",)]


def test_an_export_merged_a_second_time_changes_nothing(exports: Exports) -> None:
    merge_details(exports.connection, details(1), details(2))
    exports.merge(0, [line(1), line(2)])
    exports.merge(1, [line(1, 5.0)])
    exports.merge(2, [line(1, 6.0)])
    once = everything(exports.connection)
    exports.merge(2, [line(1, 6.0)])
    assert everything(exports.connection) == once


def test_a_movie_is_gone_only_when_a_later_export_misses_it_too(exports: Exports) -> None:
    merge_details(exports.connection, details(1), details(2))
    exports.merge(0, [line(1), line(2)])
    first = exports.merge(1, [line(1)])
    assert (first.missing, first.vanished, first.signals) == (1, 0, 0)
    assert one(exports.connection, "tmdb_id_export", 2)["missing_since"] == FIRST + DAY
    again = exports.merge(1, [line(1)])
    assert (again.missing, again.vanished) == (0, 0), "the same day's export confirms nothing"
    second = exports.merge(2, [line(1)])
    assert (second.missing, second.vanished, second.signals) == (0, 1, 1)
    assert one(exports.connection, "tmdb_id_export", 2)["vanished_on"] == FIRST + 2 * DAY
    third = exports.merge(3, [line(1)])
    assert (third.vanished, third.signals) == (0, 0), "it is signalled once"
    assert state_of(exports.connection, 2).at("tmdb").signals == 1
    assert rows(exports.connection, "SELECT count(*) FROM tmdb_details") == [(2,)], "nothing is deleted"


def test_a_movie_that_is_back_before_the_second_export_was_never_gone(exports: Exports) -> None:
    exports.merge(0, [line(1), line(2)])
    exports.merge(1, [line(1)])
    assert exports.merge(2, [line(1), line(2)]).back == 1
    assert exports.merge(3, [line(1)]).vanished == 0


def test_a_movie_checked_after_the_export_was_made_is_not_due_for_having_vanished(exports: Exports) -> None:
    merge_details(exports.connection, details(1, at=MORNING), details(2, at=MORNING + 2 * DAY - timedelta(hours=1)))
    exports.merge(0, [line(1), line(2), line(3)])
    exports.merge(1, [line(3)])
    told = exports.merge(2, [line(3)])
    assert (told.vanished, told.signals) == (2, 1)


def test_a_movie_that_comes_back_is_asked_for_again(exports: Exports) -> None:
    connection = exports.connection
    merge_details(connection, details(2, at=MORNING - DAY))
    exports.merge(0, [line(1), line(2)])
    exports.merge(1, [line(1)])
    exports.merge(2, [line(1)])
    for hours in (10, 40):
        at = MORNING + 2 * DAY + timedelta(hours=hours)
        merge_details(connection, without_row(Outcome.NOT_FOUND, 2, at))
    assert AGE_TABLE_STRATEGY.decide(state_of(connection, 2), "tmdb", MORNING + 60 * DAY).reason is Reason.TOMBSTONE
    told = exports.merge(60, [line(1), line(2)])
    assert (told.back, told.signals) == (1, 1)
    state = state_of(connection, 2)
    assert AGE_TABLE_STRATEGY.decide(state, "tmdb", MORNING + 60 * DAY).reason is not Reason.TOMBSTONE
    assert (state.at("tmdb").failures, state.at("tmdb").signals) == (0, 2)
    export = one(connection, "tmdb_id_export", 2)
    assert (export["missing_since"], export["vanished_on"]) == (None, None)


def test_known_movies_get_their_popularity_and_unknown_popularity_leaves_it(exports: Exports) -> None:
    merge_details(exports.connection, details(1), details(2))
    assert exports.merge(0, [line(1, 7.5), line(2, 2.0), line(3)]).popularity == 2
    assert exports.merge(1, [line(1, 7.5), {"id": 2}, line(3)]).popularity == 0
    assert [state_of(exports.connection, i).popularity for i in (1, 2)] == [7.5, 2.0]


def test_no_movie_becomes_known_unless_a_popularity_is_named(exports: Exports) -> None:
    lines = [line(1, 50.0), line(2, 10.0), line(3, 9.9), line(4, 60.0, video=True), {"id": 5}]
    assert exports.merge(0, lines).became_known == 0
    assert rows(exports.connection, "SELECT count(*) FROM refresh_metadata") == [(0,)]
    assert exports.merge(1, lines, min_popularity=10.0).became_known == 2
    state = state_of(exports.connection, 2)
    assert (state.popularity, state.at("tmdb").failures) == (10.0, 0)
    assert AGE_TABLE_STRATEGY.decide(state, "tmdb", MORNING).reason is Reason.NEVER_FETCHED
    assert one(exports.connection, "refresh_metadata", 2)["release_year"] == "unknown"
    assert exports.merge(2, lines, min_popularity=10.0).became_known == 0


# Jumps


def frozen_movies(connection: duckdb.DuckDBPyConnection, number: int, popularity: float = 10.0) -> None:
    """Movies from 1 on that the rules have frozen, with the popularity that their details came with."""
    at = MORNING - 30 * DAY
    ids = range(1, number + 1)
    merge_details(connection, *(details(i, at=at, popularity=popularity) for i in ids))
    merge_ratings(connection, *(ratings(i, at=at) for i in ids))
    connection.execute("UPDATE refresh_metadata SET unchanged_cycles = ?", [FREEZE_AFTER_CYCLES])


def test_a_frozen_movie_in_new_demand_thaws_once(exports: Exports) -> None:
    frozen_movies(exports.connection, 3)
    told = exports.merge(0, [line(1, 20.0), line(2, 19.9), line(3, 10.0)])
    assert (told.jumped, told.signals, told.thawed) == (1, 1, 1)
    assert [state_of(exports.connection, i).at("tmdb").signals for i in (1, 2, 3)] == [1, 0, 0]
    assert exports.merge(1, [line(1, 40.0), line(2, 19.9), line(3, 10.0)]).jumped == 0


def test_a_rise_in_small_steps_is_a_jump_too(exports: Exports) -> None:
    frozen_movies(exports.connection, 3)
    jumped = [exports.merge(day, [line(1, 10.0 + 2 * day), line(2), line(3)]).jumped for day in range(7)]
    assert jumped == [0, 0, 0, 0, 0, 1, 0]


def test_a_movie_below_the_median_does_not_jump(exports: Exports) -> None:
    frozen_movies(exports.connection, 3, popularity=0.5)
    assert exports.merge(0, [line(1, 1.5), line(2, 30.0), line(3, 0.5)]).jumped == 1


def test_a_movie_that_is_not_frozen_does_not_jump(exports: Exports) -> None:
    frozen_movies(exports.connection, 3)
    exports.connection.execute("UPDATE refresh_metadata SET unchanged_cycles = 0")
    assert exports.merge(0, [line(1, 20.0), line(2), line(3)]).jumped == 0


def test_a_score_that_is_rescaled_thaws_nobody(exports: Exports) -> None:
    frozen_movies(exports.connection, 60)
    told = exports.merge(0, [line(i, 30.0 + i) for i in range(1, 61)])
    assert told.rescaled
    assert (told.jumped, told.signals) == (30, 0)
