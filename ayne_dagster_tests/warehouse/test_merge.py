"""What merging an answer does to rows, history, state, log and quarantine."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import duckdb
import pytest

from ayne_dagster.partitions import UNKNOWN_YEAR
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.refresh.strategy import Override, SourceState
from ayne_dagster.warehouse.answers import Answer, MergeCounts, MergeReport, QuarantinedBody, RowChange
from ayne_dagster.warehouse.care.purge import purge
from ayne_dagster.warehouse.merge import quarantine
from ayne_dagster.warehouse.refresh_metadata import set_override
from ayne_dagster.warehouse.row_checks import count_of, duplicate_keys, misplaced_rows, orphans
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.schema import OMDB_RATINGS, TABLES, TMDB_DETAILS, Table
from ayne_dagster_tests.support.samples import (
    DAY,
    DETAILS,
    HOUR,
    RATINGS,
    RUN,
    START,
    details,
    everything,
    history,
    listed,
    merge_details,
    merge_listed,
    merge_ratings,
    one,
    ratings,
    rows,
    state_of,
    without_row,
)

Connection = duckdb.DuckDBPyConnection
TABLES_OF_MOVIES = ("discovered_movies", "tmdb_details", "omdb_ratings", "refresh_metadata")


def counts(report: MergeReport) -> dict[str, int]:
    return {what: number for what, number in report.total().not_zero().items() if what != "requests"}


def years(connection: Connection, tmdb_id: int = 550) -> list[str]:
    """The partition of a movie in each table, where it must stand exactly once."""
    return [one(connection, table, tmdb_id)["release_year"] for table in TABLES_OF_MOVIES]


# Rows


def test_a_first_answer_is_inserted(connection: Connection) -> None:
    assert counts(merge_details(connection, details())) == {"inserted": 1}
    row = one(connection, "tmdb_details")
    assert {name: row[name] for name in DETAILS} == DETAILS
    assert row["updated_at"] == naive_utc(START)


def test_the_same_answer_later_is_unchanged(connection: Connection) -> None:
    merge_details(connection, details())
    assert counts(merge_details(connection, details(at=START + DAY))) == {"unchanged": 1}
    assert one(connection, "tmdb_details")["updated_at"] == naive_utc(START)
    assert state_of(connection).at("tmdb").checked_at == START + DAY


@pytest.mark.parametrize("change", [{"budget": 1}, {"genres": ["Drama"]}, {"title": "Fight Club 2"}, {"adult": True}])
def test_an_answer_that_says_something_else_is_an_update(connection: Connection, change: dict[str, object]) -> None:
    merge_details(connection, details())
    assert counts(merge_details(connection, details(at=START + DAY, **change))) == {"updated": 1}
    row = one(connection, "tmdb_details")
    assert {name: row[name] for name in change} == change
    assert row["updated_at"] == naive_utc(START + DAY)


def test_inserted_updated_and_unchanged_are_told_apart_in_one_batch(connection: Connection) -> None:
    merge_details(connection, details(1), details(2))
    report = merge_details(connection, *(details(i, START + DAY, budget=i) for i in (1, 3)), details(2, START + DAY))
    assert counts(report) == {"updated": 1, "inserted": 1, "unchanged": 1}


def test_counts_are_by_the_year_under_which_the_movie_was_asked_for(connection: Connection) -> None:
    report = merge_details(
        connection,
        details(1),
        details(2, release_date=date(2001, 1, 1)),
        without_row(Outcome.FAILED, 3, release_year="2002"),
    )
    assert {year: found.not_zero() for year, found in report.by_year.items()} == {
        "1999": {"inserted": 1, "requests": 1},
        "2001": {"inserted": 1, "requests": 1},
        "2002": {"failed": 1, "requests": 1},
    }


def test_requests_are_summed_whatever_became_of_them(connection: Connection) -> None:
    report = merge_details(
        connection, replace(details(1), requests=3), without_row(Outcome.FAILED, 2, requests=5), details(3)
    )
    assert report.total().requests == 9


def test_reports_add_up() -> None:
    first, second = MergeReport(), MergeReport()
    first.count("1999", MergeCounts(inserted=1))
    second.count("1999", MergeCounts(inserted=2, requests=4))
    second.count("2000", MergeCounts(failed=1))
    both = first + second
    assert both.by_year == {"1999": MergeCounts(inserted=3, requests=4), "2000": MergeCounts(failed=1)}
    assert both.total() == MergeCounts(inserted=3, failed=1, requests=4)
    assert first.total() == MergeCounts(inserted=1), "neither of them changes"


@pytest.mark.parametrize("became", [*RowChange, *(outcome for outcome in Outcome if outcome is not Outcome.FETCHED)])
def test_whatever_becomes_of_an_answer_has_a_number(became: RowChange | Outcome) -> None:
    assert MergeCounts.of(became, requests=2).not_zero() == {str(became): 1, "requests": 2}


def test_what_was_fetched_is_counted_by_what_it_changed() -> None:
    assert MergeCounts.of(Outcome.FETCHED, requests=1) == MergeCounts(requests=1)


def test_an_empty_batch_is_nothing(connection: Connection) -> None:
    assert counts(merge_details(connection)) == {}
    assert counts(merge_listed(connection)) == {}
    assert not any(everything(connection).values())


@pytest.mark.parametrize("name", sorted(DETAILS))
def test_unknown_never_overwrites_known_details(connection: Connection, name: str) -> None:
    merge_details(connection, details())
    report = merge_details(connection, details(at=START + DAY, **{name: None}))
    assert one(connection, "tmdb_details")[name] == DETAILS[name]
    assert counts(report) == {"unchanged": 1}
    assert history(connection) == []
    assert one(connection, "tmdb_details")["release_year"] == "1999"


@pytest.mark.parametrize("name", sorted(set(RATINGS) - {"imdb_id"}))
def test_unknown_never_overwrites_known_ratings(connection: Connection, name: str) -> None:
    merge_details(connection, details())
    merge_ratings(connection, ratings())
    assert counts(merge_ratings(connection, ratings(at=START + DAY, **{name: None}))) == {"unchanged": 1}
    assert one(connection, "omdb_ratings")[name] == RATINGS[name]


def test_a_missing_key_is_as_good_as_unknown(connection: Connection) -> None:
    merge_details(connection, details())
    short = {"tmdb_id": 550, "release_year": "1999", "release_date": DETAILS["release_date"], "budget": 7}
    merge_details(connection, Answer(550, Outcome.FETCHED, START + DAY, short, "1999"))
    row = one(connection, "tmdb_details")
    assert {name: row[name] for name in DETAILS} == DETAILS | {"budget": 7}


def test_a_known_value_joins_what_is_unknown(connection: Connection) -> None:
    merge_details(connection, details(budget=None, genres=None))
    assert counts(merge_details(connection, details(at=START + DAY))) == {"updated": 1}
    assert one(connection, "tmdb_details")["genres"] == DETAILS["genres"]
    assert ("tmdb_details", "budget", None, "63000000") in history(connection)


def test_an_update_keeps_the_lists_that_it_does_not_mention(connection: Connection) -> None:
    merge_details(connection, details())
    merge_details(connection, details(at=START + DAY, genres=None, directors=["A. Smithee"], budget=1))
    row = one(connection, "tmdb_details")
    assert (row["genres"], row["directors"], row["budget"]) == (DETAILS["genres"], ["A. Smithee"], 1)


def test_an_answer_for_another_imdb_id_replaces_the_ratings_whole(connection: Connection) -> None:
    merge_details(connection, details())
    merge_ratings(connection, ratings())
    merge_details(connection, details(at=START + HOUR, imdb_id="tt0000002"))
    other = ratings(at=START + DAY, imdb_id="tt0000002", metascore=None, box_office=None, imdb_votes=None, genre=None)
    assert counts(merge_ratings(connection, other)) == {"updated": 1}
    row = one(connection, "omdb_ratings")
    assert row["imdb_id"] == "tt0000002"
    assert [row[name] for name in ("metascore", "box_office", "imdb_votes", "genre")] == [None] * 4


def test_the_history_of_another_imdb_id_tells_every_value_that_went(connection: Connection) -> None:
    merge_details(connection, details())
    merge_ratings(connection, ratings())
    merge_details(connection, details(at=START + HOUR, imdb_id="tt0000002"))
    merge_ratings(connection, ratings(at=START + DAY, imdb_id="tt0000002", metascore=None, imdb_votes=None))
    assert [change for change in history(connection) if change[0] == "omdb_ratings"] == [
        ("omdb_ratings", "imdb_id", '"tt0137523"', '"tt0000002"'),
        ("omdb_ratings", "imdb_votes", "2100000", None),
        ("omdb_ratings", "metascore", "67", None),
    ]


def test_values_of_any_text_survive(connection: Connection) -> None:
    odd = 'O\'Brien "q" — 千と千尋; DROP TABLE tmdb_details; --\n\t\\'
    merge_details(connection, details(title=odd, genres=[odd, ""]))
    row = one(connection, "tmdb_details")
    assert (row["title"], row["genres"]) == (odd, [odd, ""])


# Drifting counters


DRIFTS = {"popularity": 5.5, "vote_average": 8.3, "vote_count": 30_000}


def test_drift_updates_the_counters_and_is_no_change(connection: Connection) -> None:
    merge_details(connection, details())
    assert counts(merge_details(connection, details(at=START + DAY, **DRIFTS))) == {"unchanged": 1}
    row = one(connection, "tmdb_details")
    assert {name: row[name] for name in DRIFTS} == DRIFTS
    assert state_of(connection).at("tmdb").changed_at == START
    assert rows(connection, "SELECT changed FROM fetch_log ORDER BY fetched_at") == [(True,), (False,)]


def test_drift_writes_history(connection: Connection) -> None:
    merge_details(connection, details())
    merge_details(connection, details(at=START + DAY, popularity=5.5, vote_count=30_000))
    assert history(connection) == [
        ("tmdb_details", "popularity", "61.4", "5.5"),
        ("tmdb_details", "vote_count", "26280", "30000"),
    ]


def test_drift_of_a_listing_is_stored_without_history(connection: Connection) -> None:
    merge_listed(connection, listed())
    assert counts(merge_listed(connection, listed(at=START + DAY, popularity=5.5))) == {"unchanged": 1}
    assert one(connection, "discovered_movies")["popularity"] == 5.5
    assert history(connection) == []


def test_drift_does_not_reset_the_cycles(connection: Connection) -> None:
    merge_details(connection, details())
    for cycle in (1, 2, 3):
        merge_details(connection, details(at=START + cycle * 90 * DAY, vote_count=cycle))
    assert state_of(connection).unchanged_cycles == 3


def test_a_change_resets_the_cycles(connection: Connection) -> None:
    merge_details(connection, details())
    merge_details(connection, details(at=START + 90 * DAY))
    assert state_of(connection).unchanged_cycles == 1
    merge_details(connection, details(at=START + 180 * DAY, budget=1))
    assert state_of(connection).unchanged_cycles == 0


def test_a_change_at_omdb_resets_the_cycles(connection: Connection) -> None:
    merge_details(connection, details())
    merge_ratings(connection, ratings())
    merge_details(connection, details(at=START + 90 * DAY))
    merge_ratings(connection, ratings(at=START + 91 * DAY, imdb_votes=1))
    assert state_of(connection).unchanged_cycles == 1
    merge_ratings(connection, ratings(at=START + 92 * DAY, imdb_rating=1.5))
    assert state_of(connection).unchanged_cycles == 0


def test_drift_beside_a_change_is_in_the_row_and_in_the_history(connection: Connection) -> None:
    merge_details(connection, details())
    merge_details(connection, details(at=START + DAY, budget=1, vote_count=2))
    row = one(connection, "tmdb_details")
    assert (row["budget"], row["vote_count"], row["popularity"]) == (1, 2, DETAILS["popularity"])
    assert [entry[1] for entry in history(connection)] == ["budget", "vote_count"]


def test_an_unknown_counter_keeps_the_known_one(connection: Connection) -> None:
    merge_details(connection, details())
    merge_details(connection, details(at=START + DAY, popularity=None, vote_count=5))
    row = one(connection, "tmdb_details")
    assert (row["popularity"], row["vote_count"]) == (DETAILS["popularity"], 5)


# History and log


def test_a_first_version_writes_no_history(connection: Connection) -> None:
    merge_listed(connection, listed())
    merge_details(connection, details())
    merge_ratings(connection, ratings())
    assert history(connection) == []


def test_history_tells_field_old_new_when_source_and_run(connection: Connection) -> None:
    merge_details(connection, details())
    at = START + DAY
    merge_details(connection, details(at=at, genres=["Drama"], release_date=date(1999, 9, 10)), run_id="run-2")
    found = rows(connection, "SELECT * FROM movie_history ORDER BY field")
    stamp = (naive_utc(at), "run-2")
    assert found == [
        (550, "tmdb_details", "genres", '["Drama", "Thriller"]', '["Drama"]', *stamp),
        (550, "tmdb_details", "release_date", '"1999-10-15"', '"1999-09-10"', *stamp),
    ]


def test_every_attempt_is_logged(connection: Connection) -> None:
    merge_details(connection, details())
    merge_details(connection, without_row(Outcome.FAILED, at=START + DAY, requests=4), run_id="run-2")
    columns = "tmdb_id, source, fetched_at, outcome, changed, requests, reason, run_id"
    assert rows(connection, f"SELECT {columns} FROM fetch_log ORDER BY fetched_at") == [
        (550, "tmdb", naive_utc(START), "fetched", True, 1, None, RUN),
        (550, "tmdb", naive_utc(START + DAY), "failed", False, 4, "why", "run-2"),
    ]


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.NOT_FOUND, Outcome.QUARANTINED, Outcome.ABSENT])
def test_an_answer_without_a_row_leaves_the_stored_row(connection: Connection, outcome: Outcome) -> None:
    merge_details(connection, details())
    before = one(connection, "tmdb_details")
    assert counts(merge_details(connection, without_row(outcome, at=START + DAY))) == {str(outcome): 1}
    assert one(connection, "tmdb_details") == before
    state = one(connection, "refresh_metadata")
    assert (state["release_date"], state["release_year"]) == (DETAILS["release_date"], "1999")
    assert history(connection) == []


def test_the_last_of_several_answers_for_a_movie_in_a_batch_counts(connection: Connection) -> None:
    report = merge_details(connection, details(budget=1), details(at=START + HOUR, budget=2))
    assert counts(report) == {"inserted": 1}
    assert one(connection, "tmdb_details")["budget"] == 2
    assert state_of(connection).at("tmdb").checked_at == START + HOUR


def test_a_movie_listed_twice_in_a_batch_is_stored_once(connection: Connection) -> None:
    merge_listed(connection, listed(), listed(at=START + HOUR, title="Fight Club!"))
    assert one(connection, "discovered_movies")["title"] == "Fight Club!"
    assert one(connection, "refresh_metadata")["last_seen_at"] == naive_utc(START + HOUR)


# The same batch again, as after an interruption in the middle of a commit


@pytest.mark.parametrize("outcome", list(Outcome))
def test_the_same_batch_merged_twice_changes_nothing(connection: Connection, outcome: Outcome) -> None:
    merge_details(connection, details(at=START - DAY), details(1, START - DAY))
    answer = details(budget=1) if outcome is Outcome.FETCHED else without_row(outcome, body=b"{")
    batch = [answer, details(2), details(1, vote_count=3)]
    merge_details(connection, *batch)
    once = everything(connection)
    merge_details(connection, *batch)
    assert everything(connection) == once


def test_the_same_listing_merged_twice_changes_nothing(connection: Connection) -> None:
    merge_listed(connection, listed(at=START - DAY), listed(1, START - DAY))
    batch = [listed(title="New"), listed(1, vote_count=3), listed(2)]
    merge_listed(connection, *batch)
    once = everything(connection)
    assert counts(merge_listed(connection, *batch)) == {"unchanged": 3}
    assert everything(connection) == once


def test_the_same_bodies_quarantined_twice_are_kept_once(connection: Connection) -> None:
    bodies = [QuarantinedBody("tmdb", f"discover 1999, page {page}", START, "no JSON", b"<html>") for page in (1, 2)]
    quarantine(connection, bodies, RUN)
    quarantine(connection, bodies, RUN)
    assert rows(connection, "SELECT subject FROM quarantine ORDER BY ALL") == [
        ("discover 1999, page 1",),
        ("discover 1999, page 2",),
    ]


def test_an_answer_older_than_the_stored_one_does_not_replace_it(connection: Connection) -> None:
    merge_details(connection, details(at=START + DAY, budget=2, release_date=date(2000, 1, 1)))
    merge_details(connection, details(budget=1))
    assert one(connection, "tmdb_details")["budget"] == 2
    assert one(connection, "refresh_metadata")["release_year"] == "2000"


# Discovery


def test_a_discovered_movie_gets_a_state(connection: Connection) -> None:
    assert counts(merge_listed(connection, listed())) == {"inserted": 1}
    row = one(connection, "refresh_metadata")
    assert (row["release_year"], row["first_seen_at"], row["last_seen_at"]) == (
        "1999",
        naive_utc(START),
        naive_utc(START),
    )
    assert state_of(connection).sources == dict.fromkeys(("tmdb", "omdb", "numbers"), SourceState())


def test_discovering_again_keeps_the_refresh_state_and_the_first_seen_time(connection: Connection) -> None:
    merge_listed(connection, listed())
    merge_details(connection, details(at=START + HOUR))
    merge_ratings(connection, ratings(at=START + HOUR))
    set_override(connection, [550], Override.FREEZE, START + 2 * HOUR)
    before = one(connection, "refresh_metadata")
    merge_listed(connection, listed(at=START + DAY, title="Fight Club!"))
    after = one(connection, "refresh_metadata")
    changed = {"last_seen_at", "discovered_movies_hash"}
    assert {name: after[name] for name in before if name not in changed} == {
        name: before[name] for name in before if name not in changed
    }
    assert after["last_seen_at"] == naive_utc(START + DAY)


def test_details_of_a_movie_that_was_never_listed_give_it_a_state(connection: Connection) -> None:
    merge_details(connection, details())
    row = one(connection, "refresh_metadata")
    assert (row["first_seen_at"], row["last_seen_at"], row["release_year"]) == (naive_utc(START), None, "1999")


def test_a_failure_about_a_movie_never_listed_is_kept_too(connection: Connection) -> None:
    merge_details(connection, without_row(Outcome.FAILED))
    assert state_of(connection).at("tmdb").failures == 1


def test_unknown_never_overwrites_known_in_a_listing(connection: Connection) -> None:
    merge_listed(connection, listed())
    merge_listed(connection, listed(at=START + DAY, title=None, genre_ids=None, release_date=None, popularity=None))
    row = one(connection, "discovered_movies")
    assert (row["title"], row["genre_ids"], row["popularity"]) == ("Fight Club", [18, 53], 61.4)
    assert (row["release_date"], row["release_year"]) == (DETAILS["release_date"], "1999")
    state = one(connection, "refresh_metadata")
    assert (state["release_date"], state["release_year"]) == (DETAILS["release_date"], "1999")


# Years


def fill(connection: Connection) -> None:
    merge_listed(connection, listed())
    merge_details(connection, details(at=START + HOUR))
    merge_ratings(connection, ratings(at=START + 2 * HOUR))


def test_a_movie_is_in_one_partition_everywhere(connection: Connection) -> None:
    fill(connection)
    assert years(connection) == ["1999"] * 4


def test_a_movie_whose_year_changes_moves_in_every_table(connection: Connection) -> None:
    fill(connection)
    merge_details(connection, details(at=START + DAY, release_date=date(2000, 1, 7)))
    assert years(connection) == ["2000"] * 4
    assert one(connection, "discovered_movies")["release_date"] == date(2000, 1, 7)


def test_a_movie_that_gets_a_date_leaves_the_unknown_year(connection: Connection) -> None:
    merge_listed(connection, listed(release_date=None))
    merge_details(connection, details(at=START + HOUR, release_date=None))
    merge_ratings(connection, ratings(at=START + HOUR, year=UNKNOWN_YEAR))
    assert years(connection) == [UNKNOWN_YEAR] * 4
    merge_details(connection, details(at=START + DAY))
    assert years(connection) == ["1999"] * 4


def test_a_date_that_tmdb_drops_is_kept(connection: Connection) -> None:
    fill(connection)
    merge_details(connection, details(at=START + DAY, release_date=None))
    assert years(connection) == ["1999"] * 4
    assert one(connection, "refresh_metadata")["release_date"] == DETAILS["release_date"]


def test_details_without_a_date_join_the_year_of_the_listing(connection: Connection) -> None:
    merge_listed(connection, listed())
    merge_details(connection, details(at=START + HOUR, release_date=None))
    assert one(connection, "refresh_metadata")["release_year"] == "1999"
    assert one(connection, "tmdb_details")["release_year"] == "1999"
    assert count_of(connection, misplaced_rows(TMDB_DETAILS)) == 0


def test_ratings_join_the_year_to_which_the_movie_moved_meanwhile(connection: Connection) -> None:
    merge_details(connection, details(release_date=date(2000, 1, 7)))
    merge_ratings(connection, ratings(at=START + HOUR, year="1999"))
    assert one(connection, "omdb_ratings")["release_year"] == "2000"
    assert count_of(connection, misplaced_rows(OMDB_RATINGS)) == 0


def test_a_listing_older_than_the_details_does_not_move_a_movie_back(connection: Connection) -> None:
    merge_listed(connection, listed())
    merge_details(connection, details(at=START + HOUR, release_date=date(2000, 1, 7)))
    merge_listed(connection, listed(at=START + DAY))
    row = one(connection, "discovered_movies")
    assert (row["release_date"], row["release_year"]) == (date(2000, 1, 7), "2000")
    assert one(connection, "refresh_metadata")["release_date"] == date(2000, 1, 7)


def test_a_listing_moves_a_movie_whose_details_are_not_known_yet(connection: Connection) -> None:
    merge_listed(connection, listed())
    merge_listed(connection, listed(at=START + DAY, release_date=date(2000, 1, 7)))
    assert one(connection, "refresh_metadata")["release_year"] == "2000"
    assert one(connection, "discovered_movies")["release_year"] == "2000"


def all_years(connection: Connection) -> set[tuple[str, str]]:
    """Table and partition of each row of a movie."""
    partitioned = [table.name for table in TABLES if "release_year" in table.types]
    return {
        (table, year)
        for table in partitioned
        for (year,) in connection.execute(f"SELECT release_year FROM {table}").fetchall()
    }


def test_a_listing_that_moves_a_movie_moves_what_other_sources_said_of_it(connection: Connection) -> None:
    fill(connection)
    connection.execute("INSERT INTO imdb_ratings (tmdb_id, release_year, imdb_id) VALUES (550, '1999', 'tt0137523')")
    merge_listed(connection, listed(at=START + 199 * DAY))
    purge(connection, START + 200 * DAY)
    merge_listed(connection, listed(at=START + 201 * DAY, release_date=date(2000, 1, 7)))
    tables = {"discovered_movies", "omdb_ratings", "imdb_ratings", "refresh_metadata"}
    assert all_years(connection) == {(table, "2000") for table in tables}


def test_a_listing_moves_no_movie_whose_details_came_without_all_of_their_parts(connection: Connection) -> None:
    merge_listed(connection, listed())
    merge_details(connection, replace(details(at=START + HOUR), outcome=Outcome.INCOMPLETE))
    merge_listed(connection, listed(at=START + DAY, release_date=date(2000, 1, 7)))
    assert {year for _, year in all_years(connection)} == {"1999"}


@pytest.mark.parametrize("released", [date(1850, 1, 1), date(2036, 1, 1)])
def test_a_year_out_of_bounds_is_unknown(connection: Connection, released: date) -> None:
    merge_listed(connection, listed(release_date=released))
    merge_details(connection, details(at=START + HOUR, release_date=released))
    assert one(connection, "tmdb_details")["release_year"] == UNKNOWN_YEAR
    assert one(connection, "refresh_metadata")["release_year"] == UNKNOWN_YEAR
    assert one(connection, "refresh_metadata")["release_date"] == released


def test_movies_that_swap_years_stay_apart(connection: Connection) -> None:
    early, late = date(1999, 1, 1), date(2000, 1, 1)
    merge_listed(connection, listed(1, release_date=early), listed(2, release_date=late))
    merge_details(connection, details(1, release_date=late), details(2, release_date=early))
    assert rows(connection, "SELECT tmdb_id, release_year FROM discovered_movies ORDER BY 1") == [
        (1, "2000"),
        (2, "1999"),
    ]


# The IMDb id


def test_the_imdb_id_comes_from_the_details(connection: Connection) -> None:
    merge_listed(connection, listed())
    assert state_of(connection).imdb_id is None
    merge_details(connection, details(at=START + HOUR))
    assert state_of(connection).imdb_id == "tt0137523"


def test_an_imdb_id_that_tmdb_drops_is_kept(connection: Connection) -> None:
    fill(connection)
    merge_details(connection, details(at=START + DAY, imdb_id=None))
    assert state_of(connection).imdb_id == "tt0137523"
    assert state_of(connection).at("omdb").checked_at == START + 2 * HOUR


def test_another_imdb_id_voids_what_omdb_said(connection: Connection) -> None:
    fill(connection)
    merge_ratings(connection, without_row(Outcome.FAILED, at=START + 3 * HOUR))
    merge_details(connection, details(at=START + DAY, imdb_id="tt0000002"))
    state = state_of(connection)
    assert state.imdb_id == "tt0000002"
    assert (state.at("omdb").checked_at, state.at("omdb").failures) == (None, 0)
    assert state.at("tmdb").checked_at == START + DAY


def test_the_same_imdb_id_voids_nothing(connection: Connection) -> None:
    fill(connection)
    merge_details(connection, details(at=START + DAY, budget=1))
    assert state_of(connection).at("omdb").checked_at == START + 2 * HOUR


def test_ratings_of_the_former_imdb_id_do_not_count_as_a_check_of_the_present_one(connection: Connection) -> None:
    merge_details(connection, details(imdb_id="tt0000002"))
    merge_ratings(connection, ratings(at=START + HOUR, imdb_id="tt0137523"))
    assert state_of(connection).at("omdb").checked_at is None


@pytest.mark.parametrize("outcome", [Outcome.ABSENT, Outcome.FAILED, Outcome.QUARANTINED, Outcome.UNAVAILABLE])
def test_no_answer_about_a_former_imdb_id_counts_for_the_present_one(connection: Connection, outcome: Outcome) -> None:
    merge_details(connection, details(imdb_id="tt0000002"))
    late = without_row(outcome, at=START + HOUR, asked_imdb_id="tt0137523")
    assert merge_ratings(connection, late).total().not_zero() == {}
    assert state_of(connection).at("omdb") == SourceState()
    assert connection.execute("SELECT count(*) FROM fetch_log WHERE source = 'omdb'").fetchall() == [(0,)]
    merge_ratings(connection, without_row(outcome, at=START + HOUR, asked_imdb_id="tt0000002"))
    assert state_of(connection).at("omdb").attempted_at == START + HOUR


def test_an_answer_that_does_not_say_its_imdb_id_does_not_count_when_the_id_has_changed_since(
    connection: Connection,
) -> None:
    merge_details(connection, details())
    merge_details(connection, details(at=START + DAY, imdb_id="tt0000002"))
    assert merge_ratings(connection, without_row(Outcome.ABSENT, at=START + HOUR)).total().not_zero() == {}
    assert merge_ratings(connection, without_row(Outcome.ABSENT, at=START + 2 * DAY)).total().absent == 1


@pytest.mark.parametrize(("then", "counts"), [("tt0137523", True), ("tt0000002", False)])
def test_what_omdb_said_counts_after_a_purge_if_the_movie_has_the_same_imdb_id(
    connection: Connection, then: str, counts: bool
) -> None:
    merge_details(connection, details())
    merge_ratings(connection, ratings(at=START + 170 * DAY))
    merge_listed(connection, listed(at=START + 180 * DAY))
    purge(connection, START + 190 * DAY)
    assert one(connection, "refresh_metadata")["imdb_id"] is None
    merge_details(connection, details(at=START + 191 * DAY, imdb_id=then))
    assert (state_of(connection).at("omdb").checked_at is not None) is counts


def test_that_omdb_holds_nothing_is_asked_again_after_a_purge(connection: Connection) -> None:
    merge_details(connection, details())
    merge_ratings(connection, without_row(Outcome.ABSENT, at=START + 170 * DAY, asked_imdb_id="tt0137523"))
    merge_listed(connection, listed(at=START + 180 * DAY))
    purge(connection, START + 190 * DAY)
    assert state_of(connection).at("omdb").checked_at is not None
    merge_details(connection, details(at=START + 191 * DAY))
    assert state_of(connection).at("omdb").checked_at is None


def test_the_movies_view_shows_no_ratings_of_another_film(connection: Connection) -> None:
    fill(connection)
    assert one(connection, "movies")["imdb_rating"] == RATINGS["imdb_rating"]
    merge_details(connection, details(at=START + DAY, imdb_id="tt0000002"))
    row = one(connection, "movies")
    assert (row["imdb_id"], row["imdb_rating"]) == ("tt0000002", None)


def test_the_movies_view_falls_back_on_the_listing(connection: Connection) -> None:
    merge_listed(connection, listed(title="Listed"))
    row = one(connection, "movies")
    assert (row["title"], row["release_date"], row["budget"]) == ("Listed", DETAILS["release_date"], None)


def test_a_movie_is_once_in_the_view(connection: Connection) -> None:
    fill(connection)
    merge_listed(connection, listed(1), listed(2))
    assert rows(connection, "SELECT tmdb_id FROM movies ORDER BY ALL") == [(1,), (2,), (550,)]


# State by outcome


def test_two_confirmed_404s_are_a_tombstone_and_a_success_clears_it(connection: Connection) -> None:
    merge_listed(connection, listed())
    for hours in (1, 7, 10):
        merge_details(connection, without_row(Outcome.NOT_FOUND, at=START + hours * HOUR))
    row = one(connection, "refresh_metadata")
    assert row["tmdb_missing_since"] == naive_utc(START + HOUR)
    assert row["tmdb_tombstoned_at"] == naive_utc(START + 10 * HOUR)
    assert row["tmdb_failures"] == 3
    merge_details(connection, details(at=START + DAY))
    row = one(connection, "refresh_metadata")
    assert (row["tmdb_missing_since"], row["tmdb_tombstoned_at"], row["tmdb_failures"]) == (None, None, 0)


def test_absent_at_omdb_is_a_check_without_a_row(connection: Connection) -> None:
    merge_details(connection, details())
    merge_ratings(connection, without_row(Outcome.ABSENT, at=START + HOUR))
    assert state_of(connection).at("omdb").checked_at == START + HOUR
    assert rows(connection, "SELECT count(*) FROM omdb_ratings") == [(0,)]


# Quarantine


def bodies(connection: Connection) -> list[str]:
    return [row[0] for row in rows(connection, "SELECT body FROM quarantine")]


def test_a_body_that_cannot_be_used_is_kept_with_its_reason(connection: Connection) -> None:
    report = merge_details(connection, without_row(Outcome.QUARANTINED, reason="no JSON", body=b"<html>"))
    assert counts(report) == {"quarantined": 1}
    assert rows(connection, "SELECT * FROM quarantine") == [
        (550, "tmdb", "movie 550", naive_utc(START), "no JSON", "<html>", RUN)
    ]
    state = state_of(connection).at("tmdb")
    assert (state.failures, state.checked_at) == (1, None)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.NOT_FOUND, Outcome.ABSENT])
def test_other_failures_are_not_quarantined(connection: Connection, outcome: Outcome) -> None:
    merge_details(connection, without_row(outcome, body=b"x"))
    assert bodies(connection) == []


def test_a_quarantined_body_is_cut_to_64_kib(connection: Connection) -> None:
    merge_details(connection, without_row(Outcome.QUARANTINED, body=b"a" * 65536 + b"b"))
    assert bodies(connection) == ["a" * 65536]


def test_a_body_cut_inside_a_character_is_kept(connection: Connection) -> None:
    merge_details(connection, without_row(Outcome.QUARANTINED, body=b"a" * 65535 + "é".encode()))
    assert bodies(connection) == ["a" * 65535 + "\\xc3"]


def test_undecodable_bytes_are_escaped(connection: Connection) -> None:
    merge_details(connection, without_row(Outcome.QUARANTINED, body=b"\xff\xfe caf\xe9 caf\xc3\xa9"))
    assert bodies(connection) == ["\\xff\\xfe caf\\xe9 café"]


def test_nul_bytes_are_escaped(connection: Connection) -> None:
    merge_details(connection, without_row(Outcome.QUARANTINED, body=b"a\x00b"))
    assert bodies(connection) == ["a\\x00b"]


def test_an_empty_body_is_kept_too(connection: Connection) -> None:
    merge_details(connection, without_row(Outcome.QUARANTINED))
    assert bodies(connection) == [""]


def test_bodies_of_no_movie_are_quarantined_by_subject(connection: Connection) -> None:
    page = QuarantinedBody("tmdb", "discover 1999, page 3", START, "no JSON", b"\xff\x00", "1999")
    report = quarantine(connection, [page], RUN)
    assert report.by_year == {"1999": MergeCounts(quarantined=1)}
    assert rows(connection, "SELECT * FROM quarantine") == [
        (None, "tmdb", "discover 1999, page 3", naive_utc(START), "no JSON", "\\xff\\x00", RUN)
    ]


# Long batches


def test_a_full_batch_is_merged_at_once(connection: Connection) -> None:
    report = merge_details(connection, *(details(i, imdb_id=f"tt{i:07}") for i in range(500)))
    assert counts(report) == {"inserted": 500}
    report = merge_details(
        connection,
        *(
            details(i, START + DAY, imdb_id=f"tt{i:07}", **({"budget": 1} if i % 2 else {"vote_count": 1}))
            for i in range(500)
        ),
    )
    assert counts(report) == {"updated": 250, "unchanged": 250}
    assert rows(connection, "SELECT count(*) FILTER (WHERE budget = 1), sum(vote_count = 1) FROM tmdb_details") == [
        (250, 250)
    ]


@pytest.mark.parametrize("table", [TMDB_DETAILS, OMDB_RATINGS], ids=lambda table: table.name)
def test_nothing_is_doubled_or_orphaned(connection: Connection, table: Table) -> None:
    for step in range(4):
        fill_at = START + step * timedelta(days=40)
        merge_details(connection, *(details(i, fill_at, budget=step // 2 + i) for i in (1, 2, 3)))
        merge_ratings(connection, *(ratings(i, fill_at, metascore=step) for i in (1, 2)))
    assert (
        count_of(connection, duplicate_keys(table)),
        count_of(connection, orphans(table)),
        count_of(connection, misplaced_rows(table)),
    ) == (
        0,
        0,
        0,
    )


def test_an_incomplete_answer_is_kept_listed_and_no_check(connection: Connection) -> None:
    answer = replace(details(550, keywords=None), outcome=Outcome.INCOMPLETE, reason="TMDB left out keywords")
    report = merge_details(connection, answer)
    assert one(connection, "tmdb_details")["title"] == "Fight Club"
    state = state_of(connection).at("tmdb")
    assert (state.checked_at, state.failures) == (None, 1)
    assert one(connection, "refresh_metadata")["imdb_id"] == "tt0137523", "OMDb can be asked"
    assert rows(connection, "SELECT outcome, reason FROM fetch_log") == [("incomplete", "TMDB left out keywords")]
    assert report.total().incomplete == 1
    assert report.total().inserted == 0


def test_an_incomplete_answer_takes_nothing_away_and_the_next_one_completes_it(connection: Connection) -> None:
    merge_details(connection, details(550, keywords=["soap"]))
    merge_details(connection, replace(details(550, START + DAY, runtime=140), outcome=Outcome.INCOMPLETE, reason="x"))
    assert [one(connection, "tmdb_details")[name] for name in ("keywords", "runtime")] == [["soap"], 140]
    merge_details(connection, details(550, START + 2 * DAY, runtime=140, keywords=["soap", "fight"]))
    assert one(connection, "tmdb_details")["keywords"] == ["soap", "fight"]
    assert state_of(connection).at("tmdb").failures == 0
