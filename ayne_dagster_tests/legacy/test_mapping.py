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
    instant,
    listed_row,
    ratings_row,
    read_row,
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
    read = read_row(row("tmdb_movies", **{"tmdb_id": 1} | values), Counter())
    return details_row(read, {}, Counter(), joined_by_blank=False)


def ratings(**values: Any) -> dict[str, Any]:
    return ratings_row(read_row(row("omdb_movies", **{"imdb_id": "tt0000001"} | values), Counter()), 1, "1999")


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
        ("Foo, Bar & Baz", ["Foo, Bar & Baz"]),
        ("Warner Bros. Pictures,AB Svensk Filmindustri", ["Warner Bros. Pictures", "AB Svensk Filmindustri"]),
        ("", []),
        (None, []),
    ],
)
def test_a_comma_with_a_blank_is_part_of_a_name_where_names_are_joined_by_commas_alone(
    joined: str | None, names: list[str]
) -> None:
    assert list(split_names(joined, Counter(), joined_by_blank=False)) == names


@pytest.mark.parametrize(
    ("joined", "names"),
    [
        ("A, B", ["A", "B"]),
        ("X Films, Ltd.", ["X Films, Ltd."]),
        ("A, X Films, Inc., B", ["A", "X Films, Inc.", "B"]),
        ("Toho Co., Ltd., B", ["Toho Co., Ltd.", "B"]),
        ("Mosfilm, Sony, Ltd. Co. (JP)", ["Mosfilm", "Sony, Ltd. Co. (JP)"]),
        ("Warner Bros. Pictures, AB Svensk Filmindustri", ["Warner Bros. Pictures", "AB Svensk Filmindustri"]),
        ("A, Sara Films, Coproduction Office", ["A", "Sara Films", "Coproduction Office"]),
    ],
)
def test_only_a_legal_form_goes_with_what_is_before_it_where_names_are_joined_by_a_comma_and_a_blank(
    joined: str, names: list[str]
) -> None:
    assert list(split_names(joined, Counter(), joined_by_blank=True)) == names


@pytest.mark.parametrize("unknown", ["", " ", "N/A", "n/a", "None", "null", "NaN", "nan", "<NA>", "NaT", "\\N"])
def test_what_stands_for_unknown_in_dumps_is_unknown(unknown: str) -> None:
    assert details(overview=unknown, status=unknown, genres=unknown, imdb_id=unknown)["overview"] is None
    assert ratings(awards=unknown, metascore=unknown, director=unknown)["awards"] is None


@pytest.mark.parametrize(("title", "found"), [("None", "None"), ("Null", "Null"), ("N/A", None), ("", None)])
def test_films_are_called_none(title: str, found: str | None) -> None:
    assert details(title=title)["title"] == found


@pytest.mark.parametrize("written", ["76.0", "76", "76.00", 76.0, 76, Decimal("76.00"), " 76.0 "])
def test_whole_numbers_are_read_however_a_dump_writes_them(written: object) -> None:
    assert details(runtime=written, budget=written, vote_count=written) | {"overview": 0} == details(
        runtime=76, budget=76, vote_count=76
    ) | {"overview": 0}
    scores = ratings(metascore=written, rotten_tomatoes_rating=written, runtime=written, imdb_votes=written)
    names = ("metascore", "rotten_tomatoes_rating", "runtime", "imdb_votes")
    assert [scores[name] for name in names] == [76] * 4


def test_a_rating_in_per_cent_is_a_number() -> None:
    assert ratings(rotten_tomatoes_rating="85%")["rotten_tomatoes_rating"] == 85


def test_a_movie_without_votes_was_not_repaired() -> None:
    repairs: Repairs = Counter()
    read_row(row("tmdb_movies", vote_count=0, budget=0), repairs)
    assert repairs == {"zero_as_unknown": 1}


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
    former = row("tmdb_movies", tmdb_id=1, imdb_id="tt1")
    assert details_row(former, movie, repairs, joined_by_blank=False)["imdb_id"] == "tt0000002"
    assert repairs == {"bad_imdb_id": 1, "imdb_id_from_movies": 1}
    former["imdb_id"] = "tt00000003"
    assert details_row(former, movie, Counter(), joined_by_blank=False)["imdb_id"] == "tt0000003"


def test_a_time_that_is_missing_or_lies_ahead_is_not_known() -> None:
    repairs: Repairs = Counter()
    for at in (None, "", "yesterday", NOW + timedelta(days=1)):
        assert fetched_at(instant(at), NOW, repairs) is None
    assert repairs == {"time_unknown": 4}
    assert fetched_at(instant(date(2026, 5, 1)), NOW, repairs) == datetime(2026, 5, 1, tzinfo=UTC)
    assert fetched_at(instant("2026-05-01T10:00:00.5+00:00"), NOW, repairs) == datetime(
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
    joined = {"joined_by_blank": len(str(stored["title"])) % 2 == 0}
    kinds = {"BIGINT": int, "INTEGER": int, "DOUBLE": float, "VARCHAR": str, "DATE": date, "VARCHAR[]": list}
    mapped = (
        (TMDB_DETAILS, details_row(read_row(stored, Counter()), read_row(movie, Counter()), Counter(), **joined)),
        (DISCOVERED_MOVIES, listed_row(read_row(movie, Counter()))),
        (OMDB_RATINGS, ratings_row(read_row(omdb, Counter()), 1, "1999")),
    )
    for table, found in mapped:
        for name, value in found.items():
            assert value is None or isinstance(value, kinds[table.types[name]]), (name, value)
            assert value not in ("", []), name
    assert all(figure["amount"] > 0 for figure in figures(numbers))  # type: ignore[operator]
    fetched_at(instant(stored["last_updated_utc"]), NOW, Counter())


@given(st.lists(st.sampled_from(sorted(COUNTRY_CODES)), min_size=1, max_size=5, unique_by=COUNTRY_CODES.__getitem__))
def test_known_countries_survive_the_way_to_codes(names: list[str]) -> None:
    assert codes(",".join(names), COUNTRY_CODES, "x", Counter()) == [COUNTRY_CODES[name] for name in names]
