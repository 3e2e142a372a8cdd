"""Rows of the older collection as rows of today: what each value means, and that no value breaks anything."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.legacy.mapping import (
    Repairs,
    codes,
    details_row,
    fetched_at,
    figures,
    listed_row,
    ratings_row,
    split_names,
)
from ayne_dagster.legacy.reading import COLUMNS
from ayne_dagster.warehouse.iso_names import (
    COUNTRY_CODES,
    COUNTRY_NAMES,
    LANGUAGE_CODES,
    LANGUAGE_NAMES,
    key_of,
)
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES, OMDB_RATINGS, TMDB_DETAILS

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def row(table: str, **values: Any) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS[table]) | values


def details(**values: Any) -> dict[str, Any]:
    return details_row(row("tmdb_movies", **{"tmdb_id": 1} | values), {}, Counter())


def ratings(**values: Any) -> dict[str, Any]:
    return ratings_row(row("omdb_movies", **{"imdb_id": "tt0000001"} | values), 1, "1999", Counter())


@pytest.mark.parametrize("name", ["budget", "revenue", "runtime"])
def test_0_is_unknown_and_small_numbers_are_what_was_stated(name: str) -> None:
    assert details(**{name: 0})[name] is None
    assert details(**{name: 5})[name] == 5


def test_a_vote_average_without_votes_is_none() -> None:
    assert details(vote_count=0, vote_average=0.0)["vote_average"] is None
    assert details(vote_count=3, vote_average=7.25)["vote_average"] == 7.25


def test_names_of_countries_and_languages_become_codes() -> None:
    mapped = details(
        production_countries="United States of America,Soviet Union, South Korea",
        spoken_languages="English,Cantonese,No Language",
    )
    assert mapped["production_countries"] == ["US", "SU", "KR"]
    assert mapped["spoken_languages"] == ["en", "cn", "xx"]


@pytest.mark.parametrize("names", ["Congo", "France,Congo", "Atlantis", "Atlantis,France"])
def test_a_name_that_is_unknown_or_stands_for_two_leaves_the_list_unknown(names: str) -> None:
    repairs: Repairs = Counter()
    assert codes(names, COUNTRY_CODES, "unknown_country", repairs) is None
    assert repairs == {"unknown_country": 1}


def test_every_name_but_two_is_that_of_one_code() -> None:
    for names, found, ambiguous in (
        (COUNTRY_NAMES, COUNTRY_CODES, {"CD", "CG"}),
        (LANGUAGE_NAMES, LANGUAGE_CODES, {"nd", "nr"}),
    ):
        assert {code for code, name in names.items() if found.get(key_of(name)) != code} == ambiguous
        assert not any("," in name for name in names.values())


@pytest.mark.parametrize(
    ("joined", "names"),
    [
        ("A,B", ["A", "B"]),
        ("A,X Films, Ltd.,B", ["A", "X Films, Ltd.", "B"]),
        ("X Films, Ltd.", ["X Films, Ltd."]),
        ("A, B", ["A", "B"]),
        ("A, X Films, Inc., B", ["A", "X Films, Inc.", "B"]),
        ("", []),
        (None, []),
    ],
)
def test_lists_are_split_where_they_can_be(joined: str | None, names: list[str]) -> None:
    assert list(split_names(joined, Counter())) == names


def test_what_omdb_does_not_know_is_unknown() -> None:
    texts = ("title", "genre", "director", "writer", "actors", "released", "language", "country", "rated", "awards")
    mapped = ratings(**dict.fromkeys(texts, "N/A"), box_office=0, runtime=0)
    assert {name: mapped[name] for name in (*texts, "box_office", "runtime")} == dict.fromkeys(
        (*texts, "box_office", "runtime")
    )


def test_omdb_texts_are_read_as_omdb_writes_them() -> None:
    mapped = ratings(
        genre="Action, Drama", writer="A (novel), B", released="02 Feb 1972", imdb_votes="1,234", runtime="136 min"
    )
    assert mapped["genre"] == ["Action", "Drama"]
    assert mapped["writer"] == "A (novel), B"
    assert (mapped["released"], mapped["imdb_votes"], mapped["runtime"]) == (date(1972, 2, 2), 1234, 136)


def test_a_metascore_is_taken_from_the_ratings_where_it_is_missing() -> None:
    assert ratings(meta_critic_rating=76)["metascore"] == 76
    assert ratings(metascore=0, meta_critic_rating=76)["metascore"] == 0


def test_the_imdb_id_of_the_details_wins_over_that_of_the_movie() -> None:
    repairs: Repairs = Counter()
    movie = row("movies", imdb_id="tt0000002")
    assert details_row(row("tmdb_movies", tmdb_id=1, imdb_id="tt1"), movie, repairs)["imdb_id"] == "tt0000002"
    assert repairs == {"bad_imdb_id": 1, "imdb_id_from_movies": 1}
    assert details_row(row("tmdb_movies", imdb_id="tt00000003"), movie, Counter())["imdb_id"] == "tt0000003"


def test_a_time_that_is_missing_or_lies_ahead_is_not_known() -> None:
    repairs: Repairs = Counter()
    for at in (None, "", "yesterday", NOW + timedelta(days=1)):
        assert fetched_at({"last_updated_utc": at}, NOW, repairs) is None
    assert repairs == {"time_unknown": 4}
    assert fetched_at({"last_updated_utc": "2026-05-01T10:00:00.5+00:00"}, NOW, repairs) == datetime(
        2026, 5, 1, 10, 0, 0, 500_000, tzinfo=UTC
    )


def test_figures_have_measure_scope_and_page() -> None:
    stated = row("numbers_movies", movie_id=7, worldwide_box_office=300, domestic_box_office=0, production_budget=50)
    assert [(f["measure"], f["scope"], f["amount"], f["source_ref"]) for f in figures(stated)] == [
        ("gross", "worldwide", Decimal(300), "legacy:7"),
        ("production_budget", "unspecified", Decimal(50), "legacy:7"),
    ]


ANYTHING = st.one_of(
    st.none(), st.text(max_size=40), st.integers(), st.floats(), st.booleans(), st.dates(), st.datetimes()
)


def rows_of(table: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(dict.fromkeys(COLUMNS[table], ANYTHING))


@given(rows_of("tmdb_movies"), rows_of("movies"), rows_of("omdb_movies"), rows_of("numbers_movies"))
def test_any_values_give_rows_of_the_types_of_the_columns(
    stored: dict[str, Any], movie: dict[str, Any], omdb: dict[str, Any], numbers: dict[str, Any]
) -> None:
    kinds = {"BIGINT": int, "INTEGER": int, "DOUBLE": float, "VARCHAR": str, "DATE": date, "VARCHAR[]": list}
    mapped = (
        (TMDB_DETAILS, details_row(stored, movie, Counter())),
        (DISCOVERED_MOVIES, listed_row(movie)),
        (OMDB_RATINGS, ratings_row(omdb, 1, "1999", Counter())),
    )
    for table, found in mapped:
        for name, value in found.items():
            assert value is None or isinstance(value, kinds[table.types[name]]), (name, value)
            assert value not in ("", []), name
    assert all(figure["amount"] > 0 for figure in figures(numbers))  # type: ignore[operator]
    fetched_at(stored, NOW, Counter())


@given(st.lists(st.sampled_from(sorted(COUNTRY_CODES)), min_size=1, max_size=5, unique_by=COUNTRY_CODES.__getitem__))
def test_known_countries_survive_the_way_to_codes(names: list[str]) -> None:
    assert codes(",".join(names), COUNTRY_CODES, "x", Counter()) == [COUNTRY_CODES[name] for name in names]
