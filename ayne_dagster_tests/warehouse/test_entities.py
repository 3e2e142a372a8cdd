"""People, credits, companies, series and releases, merged with the movie that names them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.care.integrity import check_database
from ayne_dagster.warehouse.care.purge import KEEP, purge
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.entities import MOST_TOLD
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.schema import ENTITY_TABLES, TMDB_DETAILS
from ayne_dagster.warehouse.spool import Origin, keep, merge_kept
from ayne_dagster_tests.support.samples import DAY, START, create_tables, details, merge_details, rows, without_row

NAMES = {7: "Ada", 8: "Bo", 9: "Cy"}


def credits_of(*people: int, job: str = "Director", names: dict[int, str] | None = None) -> dict[str, Any]:
    """What an answer tells when these people have that job."""
    names = NAMES | (names or {})
    return {
        "credits": {
            "credit_id": [f"c{n}" for n in people],
            "person_id": [*people],
            "kind": ["crew" for _ in people],
            "department": ["Directing" for _ in people],
            "job": [job for _ in people],
            "character": [None for _ in people],
            "billing_order": [None for _ in people],
        },
        "people": {
            "person_id": [*people],
            "name": [names.get(n) for n in people],
            "gender": [1 for _ in people],
            "known_for_department": [None for _ in people],
            "profile_path": [None for _ in people],
        },
    }


def releases_of(*countries: str) -> dict[str, Any]:
    given_none = {name: [None for _ in countries] for name in ("certification", "note", "language")}
    days = [date(2000, 1, 1) for _ in countries]
    return {"releases": {"country": [*countries], "type": [3 for _ in countries], "release_date": days} | given_none}


def companies_of(*ids: int) -> dict[str, Any]:
    return {
        "companies": {
            "company_id": [*ids],
            "name": [f"Company {n}" for n in ids],
            "origin_country": ["US" for _ in ids],
            "logo_path": [None for _ in ids],
        },
        "movie_companies": {"company_id": [*ids], "place": [*range(len(ids))]},
    }


def telling(entities: dict[str, Any] | None, tmdb_id: int = 550, days: int = 0, **changes: Any) -> Answer:
    return replace(details(tmdb_id, START + days * DAY, **changes), entities=entities)


def history(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """Field, what went and what came, of all changes but those of the movie's own columns."""
    found = rows(connection, "SELECT field, old_value, new_value FROM movie_history WHERE source <> 'tmdb_details'")
    return sorted((field, *(old and json.loads(old) for old in values)) for field, *values in found)


def people_of(connection: duckdb.DuckDBPyConnection, tmdb_id: int = 550) -> list[Any]:
    return [r[0] for r in rows(connection, f"SELECT person_id FROM credits WHERE tmdb_id = {tmdb_id} ORDER BY ALL")]


def test_what_an_answer_tells_is_stored_beside_the_movie(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, telling(credits_of(7, 8) | releases_of("US", "DE") | companies_of(5)))
    assert rows(connection, "SELECT name, job, department FROM credits JOIN people USING (person_id) ORDER BY 1") == [
        ("Ada", "Director", "Directing"),
        ("Bo", "Director", "Directing"),
    ]
    assert rows(connection, "SELECT country FROM releases ORDER BY 1") == [("DE",), ("US",)]
    assert rows(connection, "SELECT name FROM movie_companies JOIN companies USING (company_id)") == [("Company 5",)]
    assert rows(connection, "SELECT entities_checked_at FROM refresh_metadata") == [(naive_utc(START),)]


def test_the_first_rows_are_no_change(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, telling(None))
    report = merge_details(connection, telling(credits_of(7) | releases_of("US"), days=1))
    assert history(connection) == []
    assert report.total().unchanged == 1
    assert rows(connection, "SELECT changed FROM fetch_log ORDER BY fetched_at") == [(True,), (False,)]


def test_what_went_is_removed_and_what_came_and_went_is_told_with_names(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, telling(credits_of(7, 8) | releases_of("US", "DE") | companies_of(5, 6)))
    report = merge_details(connection, telling(credits_of(8, 9) | releases_of("US") | companies_of(6), days=1))
    assert people_of(connection) == [8, 9]
    assert rows(connection, "SELECT country FROM releases") == [("US",)]
    ada = {"person_id": 7, "job": "Director", "name": "Ada"}
    assert history(connection) == [
        ("credits", [ada], [ada | {"person_id": 9, "name": "Cy"}]),
        ("movie_companies", [{"company_id": 5, "name": "Company 5"}], None),
        ("releases", [{"country": "DE", "type": 3, "release_date": "2000-01-01"}], None),
    ]
    assert report.total().unchanged == 1, "what counts as a change are the columns of tmdb_details"
    assert rows(connection, "SELECT tmdb_changed_at FROM refresh_metadata") == [(naive_utc(START),)]


def test_another_character_or_place_is_written_and_is_no_news(connection: duckdb.DuckDBPyConnection) -> None:
    first = credits_of(7)
    merge_details(connection, telling(first))
    other = first | {"credits": first["credits"] | {"department": ["Direction"]}}
    merge_details(connection, telling(other, days=1))
    assert rows(connection, "SELECT department FROM credits") == [("Direction",)]
    assert history(connection) == []


def test_the_same_again_writes_nothing_but_when_it_was_told(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = credits_of(7) | releases_of("US") | companies_of(5)
    merge_details(connection, telling(told))
    before = {t.name: rows(connection, f"SELECT rowid, * FROM {t.name} ORDER BY ALL") for t in ENTITY_TABLES}
    merge_details(connection, telling(told, days=1))
    assert before == {t.name: rows(connection, f"SELECT rowid, * FROM {t.name} ORDER BY ALL") for t in ENTITY_TABLES}
    assert rows(connection, "SELECT entities_checked_at FROM refresh_metadata") == [(naive_utc(START + DAY),)]


@pytest.mark.parametrize("told", [None, {}, releases_of("FR")])
def test_a_part_that_is_not_told_stays(connection: duckdb.DuckDBPyConnection, told: dict[str, Any] | None) -> None:
    merge_details(connection, telling(credits_of(7)))
    merge_details(connection, telling(told, days=1))
    assert people_of(connection) == [7]
    merge_details(connection, telling(credits_of(7), days=2))
    assert people_of(connection) == [7]
    assert history(connection) == []


def test_an_answer_without_all_of_its_parts_tells_those_that_it_has(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, replace(telling(releases_of("US")), outcome=Outcome.INCOMPLETE))
    merge_details(connection, telling(releases_of("US") | credits_of(7), days=1))
    assert people_of(connection) == [7]
    assert history(connection) == []


def test_an_answer_that_came_before_the_last_one_changes_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, telling(credits_of(7), days=1))
    merge_details(connection, telling(credits_of(8), days=0))
    assert people_of(connection) == [7]


def test_people_are_as_the_latest_answer_of_any_movie_describes_them(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, telling(credits_of(7)))
    merge_details(connection, telling(credits_of(7, names={7: "Ada L."}), 551, days=2, imdb_id="tt1"))
    merge_details(connection, telling(credits_of(7, names={7: "A."}), 552, days=1, imdb_id="tt2"))
    assert rows(connection, "SELECT name FROM people") == [("Ada L.",)]


def test_history_names_so_many_differences_and_how_many_more(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, telling(credits_of(7)))
    merge_details(connection, telling(credits_of(7, *range(100, 100 + MOST_TOLD + 5)), days=1))
    ((_, removed, added),) = history(connection)
    assert removed is None
    assert len(added) == MOST_TOLD + 1
    assert added[-1] == {"more": 5}


def test_purge_drops_what_is_of_movies_that_expired_or_are_gone_and_whom_no_movie_names(database: Database) -> None:
    now = START + KEEP + 2 * DAY
    with database.transaction() as connection:
        for tmdb_id, person, days in ((1, 7, 0), (2, 8, 10), (3, 9, 10), (4, 8, 10)):
            told = telling(credits_of(person) | companies_of(person) | releases_of("US"), tmdb_id, days)
            merge_details_within(connection, told)
        for days in (11, 12, 13):
            merge_details_within(connection, without_row(Outcome.NOT_FOUND, 3, START + days * DAY))
        dropped = purge(connection, now)
    with database.connect() as connection:
        assert rows(connection, "SELECT tmdb_id FROM credits ORDER BY 1") == [(2,), (4,)]
        assert rows(connection, "SELECT tmdb_id FROM releases ORDER BY 1") == [(2,), (4,)]
        assert rows(connection, "SELECT name FROM people") == [("Bo",)]
        assert rows(connection, "SELECT company_id FROM companies") == [(8,)]
    assert (dropped["credits"], dropped["people"]) == (2, 2)


def merge_details_within(connection: duckdb.DuckDBPyConnection, answer: Answer) -> None:
    merge_answers(connection, TMDB_DETAILS, "tmdb", [answer], "run")


def test_a_movie_told_again_after_a_purge_is_filled_anew_without_news(database: Database) -> None:
    with database.transaction() as connection:
        merge_details_within(connection, telling(credits_of(7)))
        purge(connection, START + KEEP + timedelta(days=2))
        merge_details_within(connection, telling(credits_of(8), days=183))
    with database.connect() as connection:
        assert people_of(connection) == [8]
        assert history(connection) == []


def test_what_waits_in_the_spool_is_merged_as_it_was_told(database: Database) -> None:
    keep(database.path, Origin("tmdb", "tmdb_details", "run"), [telling(credits_of(7, 8) | releases_of("US"))])
    merge_kept(database, "tmdb", lambda _: None)
    with database.connect() as connection:
        assert people_of(connection) == [7, 8]
        assert rows(connection, "SELECT release_date FROM releases") == [(date(2000, 1, 1),)]


TOLD = st.none() | st.builds(
    lambda people, countries, job: (
        (credits_of(*people, job=job) if people else {}) | (releases_of(*countries) if countries else {})
    ),
    st.lists(st.sampled_from([7, 8, 9]), unique=True),
    st.lists(st.sampled_from(["US", "DE", "FR"]), unique=True),
    st.sampled_from(["Director", "Producer"]),
)


@settings(max_examples=25)
@given(st.lists(st.lists(st.tuples(st.sampled_from([1, 2]), TOLD), max_size=3), max_size=4))
def test_any_sequence_of_answers_leaves_what_each_movie_was_told_last(
    batches: list[list[tuple[int, dict[str, Any] | None]]],
) -> None:
    expected: dict[str, dict[int, Any]] = {"credits": {}, "releases": {}}
    with duckdb.connect() as connection:
        create_tables(connection)
        for n, batch in enumerate(batches):
            merge_details(connection, *(telling(told, i, n, imdb_id=f"tt{i}") for i, told in batch))
            for i, told in dict(batch).items():
                for name in expected.keys() & (told or {}).keys():
                    expected[name][i] = (told or {})[name]
        for name, column in (("credits", "person_id, job"), ("releases", "country, type")):
            found = rows(connection, f"SELECT tmdb_id, {column} FROM {name} ORDER BY ALL")
            wanted = [
                (i, *values)
                for i, columns in expected[name].items()
                for values in zip(*(columns[c] for c in column.split(", ")), strict=True)
            ]
            assert found == sorted(wanted)
        assert not rows(connection, "FROM credits ANTI JOIN people USING (person_id)")


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("DELETE FROM people", ("unnamed", "credits")),
        ("DELETE FROM companies", ("unnamed", "movie_companies")),
        ("UPDATE credits SET tmdb_id = 9", ("orphan", "credits")),
        ("INSERT INTO credits FROM credits", ("duplicate_key", "credits")),
    ],
)
def test_a_check_finds_rows_that_hang_in_the_air(database: Database, damage: str, found: tuple[str, str]) -> None:
    with database.transaction() as connection:
        merge_details_within(connection, telling(credits_of(7) | companies_of(5)))
    assert check_database(database, START + DAY).sound
    with database.transaction() as connection:
        connection.execute(damage)
    assert [(f.code, f.where) for f in check_database(database, START + DAY).findings] == [found]
