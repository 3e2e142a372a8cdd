"""What TMDB's details say of people, credits, companies, series and releases, read as columns. Bodies are made up."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.sources.json_body import validate
from ayne_dagster.sources.tmdb.entities import MOST_CREDITS, MOST_RELEASES, MOST_TEXT, entities_of, no_entities
from ayne_dagster.sources.tmdb.models import MovieDetails
from ayne_dagster.sources.tmdb.normalize import details_row
from ayne_dagster.warehouse.schema import ENTITY_TABLES
from ayne_dagster_tests.test_any_body import VALUES

ACTOR = {"id": 7, "credit_id": "c1", "name": "Ada", "gender": 1, "character": "Eve", "order": 0,
         "profile_path": "/a.jpg", "known_for_department": "Acting"}  # fmt: skip
DIRECTOR = {"id": 8, "credit_id": "c2", "name": "Bo", "gender": 0, "department": "Directing", "job": "Director"}


def read(**parts: Any) -> dict[str, list[tuple[Any, ...]]]:
    """The rows that are made of an answer with these parts, by table."""
    entities = entities_of(validate(MovieDetails, {"id": 1, "title": "A"} | parts))
    return {name: list(zip(*columns.values(), strict=True)) for name, columns in entities.items()}


def credited(*cast: Any, crew: Any = ()) -> dict[str, list[tuple[Any, ...]]]:
    return read(credits={"cast": list(cast), "crew": list(crew)})


def test_all_of_the_cast_and_crew_is_told_with_who_they_are() -> None:
    told = credited(ACTOR, crew=[DIRECTOR])
    assert told["credits"] == [
        ("c1", 7, "cast", None, None, "Eve", 0),
        ("c2", 8, "crew", "Directing", "Director", None, None),
    ]
    assert told["people"] == [(7, "Ada", 1, "Acting", "/a.jpg"), (8, "Bo", None, None, None)]
    assert len(credited(*(ACTOR | {"id": n, "credit_id": f"c{n}"} for n in range(1, 301)))["credits"]) == 300


def test_a_person_with_two_jobs_is_one_person_with_two_credits() -> None:
    told = credited(crew=[DIRECTOR, DIRECTOR | {"credit_id": "c3", "job": "Producer"}])
    assert ([row[0] for row in told["credits"]], len(told["people"])) == (["c2", "c3"], 1)


def test_companies_series_and_releases_of_every_country_are_told() -> None:
    release = {"type": 3, "release_date": "1999-10-15T00:00:00.000Z", "certification": "R", "note": "IMAX"}
    told = read(
        production_companies=[{"id": 5, "name": "Lamp", "origin_country": "DE", "logo_path": None}, {"name": "no id"}],
        belongs_to_collection={"id": 9, "name": "Lamps", "poster_path": "/p.jpg", "backdrop_path": None},
        release_dates={"results": [{"iso_3166_1": "DE", "release_dates": [release, release]}, {"release_dates": [{}]}]},
    )
    assert told == {
        "companies": [(5, "Lamp", "DE", None)],
        "movie_companies": [(5, 0)],
        "collections": [(9, "Lamps", "/p.jpg", None)],
        "releases": [("DE", 3, date(1999, 10, 15), "R", "IMAX", None)],
    }


def test_a_part_that_is_missing_or_empty_is_not_told() -> None:
    assert read() == credited() == read(credits=None, release_dates={"results": []}, production_companies=[]) == {}
    assert no_entities(validate(MovieDetails, {"id": 1})) is None


@pytest.mark.parametrize("bad", [None, 5, "x", [], {}, {"id": True}, {"id": "7"}, {"id": -1}, {"id": 2**70}, {"id": 0}])
def test_one_bad_credit_costs_neither_the_movie_nor_the_other_credits(bad: Any) -> None:
    assert credited(bad, ACTOR, crew=[bad, DIRECTOR]) == credited(ACTOR, crew=[DIRECTOR])


def test_a_name_without_an_id_is_still_among_the_actors() -> None:
    movie = validate(MovieDetails, {"id": 1, "credits": {"cast": [{"id": "7", "name": "Ada"}]}})
    assert (details_row(movie)["actors"], entities_of(movie)) == (["Ada"], {})


def test_a_credit_without_an_id_of_its_own_gets_one_that_stays() -> None:
    told = credited(ACTOR | {"credit_id": None}, crew=[DIRECTOR | {"credit_id": ""}])
    assert [row[0] for row in told["credits"]] == ["cast-7-0", "crew-8-Director"]


def test_numbers_and_lengths_are_bounded() -> None:
    many = [DIRECTOR | {"id": n, "credit_id": f"c{n}"} for n in range(1, MOST_CREDITS + 50)]
    assert len(credited(crew=many)["credits"]) == MOST_CREDITS
    long = [ACTOR | {"id": n, "credit_id": f"c{n}", "character": "x" * 5_000} for n in range(1, 2_000)]
    characters = [row[5] for row in credited(*long)["credits"]]
    assert all(len(text) <= 1_000 for text in characters)
    assert sum(map(len, characters)) <= MOST_TEXT
    days = [{"type": 1 + n % 6, "note": f"n{n}"} for n in range(MOST_RELEASES + 10)]
    told = read(release_dates={"results": [{"iso_3166_1": "US", "release_dates": days}]})
    assert len(told["releases"]) == MOST_RELEASES


MEMBERS = st.dictionaries(st.sampled_from([*ACTOR, "department", "job"]), VALUES, max_size=6) | VALUES
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "credits": st.fixed_dictionaries({}, optional={"cast": st.lists(MEMBERS), "crew": st.lists(MEMBERS)}) | VALUES,
        "production_companies": st.lists(MEMBERS) | VALUES,
        "belongs_to_collection": MEMBERS,
        "release_dates": st.fixed_dictionaries(
            {
                "results": st.lists(
                    st.fixed_dictionaries(
                        {"iso_3166_1": VALUES, "release_dates": st.lists(
                            st.dictionaries(st.sampled_from(["type", "release_date", "note", "iso_639_1"]), VALUES)
                        )}
                    )
                )
            }
        ) | VALUES,
    },
)  # fmt: skip


@settings(max_examples=60)
@given(PARTS)
def test_whatever_an_answer_holds_its_rows_have_the_columns_of_the_tables_and_keys(parts: dict[str, Any]) -> None:
    entities = entities_of(validate(MovieDetails, {"id": 1} | parts))
    tables = {table.name: table for table in ENTITY_TABLES}
    for name, columns in entities.items():
        table = tables[name]
        assert list(columns) == [c for c in table.column_names if c not in ("tmdb_id", "row_hash", "updated_at")]
        (length,) = {len(values) for values in columns.values()}
        key = [c for c in table.key if c != "tmdb_id"]
        if key:
            keys = list(zip(*(columns[c] for c in key), strict=True))
            assert len(set(keys)) == length
            assert not any(None in found for found in keys)
