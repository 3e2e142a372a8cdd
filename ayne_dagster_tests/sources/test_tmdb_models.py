"""TMDB's answers, as received and as rows. The bodies are made up, in the shape of real ones."""

import contextlib
import copy
import json
import math
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ayne_dagster.sources.errors import MalformedAnswer
from ayne_dagster.sources.json_body import validate, validate_json
from ayne_dagster.sources.tmdb.models import (
    ChangesPage,
    DiscoverItem,
    DiscoverPage,
    ErrorBody,
    MovieDetails,
)
from ayne_dagster.sources.tmdb.normalize import details_row, discovered_row
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES, TMDB_DETAILS, Table

from .test_json_body import BODIES, ODD_VALUES

DETAILS: dict[str, Any] = {
    "adult": False,
    "backdrop_path": "/backdrop.jpg",
    "belongs_to_collection": {"id": 77, "name": "The Lamp Collection", "poster_path": None},
    "budget": 63000000,
    "genres": [{"id": 18, "name": "Drama"}, {"id": 53, "name": "Thriller"}],
    "homepage": "https://example.com/lamp",
    "id": 4711,
    "imdb_id": "tt0200001",
    "origin_country": ["US", "DE"],
    "original_language": "de",
    "original_title": "Die Lampe",
    "overview": "A lamp is lit.",
    "popularity": 24.2,
    "poster_path": "/poster.jpg",
    "production_companies": [{"id": 1, "logo_path": None, "name": "Lamp Films", "origin_country": "US"}],
    "production_countries": [{"iso_3166_1": "US", "name": "United States of America"}],
    "release_date": "1999-10-15",
    "revenue": 2923706026,
    "runtime": 139,
    "softcore": False,
    "spoken_languages": [{"english_name": "German", "iso_639_1": "de", "name": "Deutsch"}],
    "status": "Released",
    "tagline": "Light.",
    "title": "The Lamp",
    "video": False,
    "vote_average": 8.4,
    "vote_count": 30717,
    "external_ids": {"imdb_id": "tt0200001", "wikidata_id": "Q4711", "facebook_id": None},
    "keywords": {"keywords": [{"id": 1, "name": "lamp"}, {"id": 2, "name": "light"}]},
    "release_dates": {
        "results": [
            {
                "iso_3166_1": "DE",
                "release_dates": [{"certification": "16", "release_date": "1999-11-11", "type": 3}],
            },
            {
                "iso_3166_1": "US",
                "release_dates": [
                    {"certification": "", "release_date": "1999-10-01T00:00:00.000Z", "type": 1},
                    {"certification": "NR", "release_date": "2000-10-01T00:00:00.000Z", "type": 5},
                    {"certification": "", "release_date": "2009-10-15T00:00:00.000Z", "type": 3},
                    {"certification": "R", "release_date": "1999-10-16T00:00:00.000Z", "type": 3},
                ],
            },
        ]
    },
    "credits": {
        "cast": [{"name": "Second", "order": 1}, {"name": "First", "order": 0}, {"name": "Extra"}],
        "crew": [
            {"name": "Dora", "job": "Director", "department": "Directing"},
            {"name": "Will", "job": "Screenplay", "department": "Writing"},
            {"name": "Nora", "job": "Novel", "department": "Writing"},
            {"name": "Will", "job": "Story", "department": "Writing"},
            {"name": "Stan", "job": "Characters", "department": "Writing"},
            {"name": "Carl", "job": "Director of Photography", "department": "Camera"},
        ],
    },
}
LISTED: dict[str, Any] = {
    "adult": False,
    "backdrop_path": None,
    "genre_ids": [18, 53, 18],
    "id": 4711,
    "original_language": "de",
    "original_title": "Die Lampe",
    "overview": "",
    "popularity": 24.2,
    "poster_path": "/poster.jpg",
    "release_date": "1999-10-15",
    "title": "The Lamp",
    "video": False,
    "vote_average": 8.4,
    "vote_count": 30717,
}


def row_of(body: dict[str, Any]) -> dict[str, object]:
    return details_row(validate_json(MovieDetails, json.dumps(body).encode()))


def check_row(row: dict[str, object], table: Table) -> None:
    """Every column but updated_at is there, in order, and holds what its DuckDB type can take."""
    told = [column.name for column in table.columns if not column.concluded]
    assert [*row, "updated_at"] == told
    fits: dict[str, Callable[[Any], bool]] = {
        "BIGINT": lambda v: type(v) is int and -(2**63) <= v < 2**63,
        "INTEGER": lambda v: type(v) is int and -(2**31) <= v < 2**31,
        "DOUBLE": lambda v: type(v) is float and math.isfinite(v),
        "BOOLEAN": lambda v: type(v) is bool,
        "DATE": lambda v: type(v) is date,
        "VARCHAR": lambda v: type(v) is str and v != "" and "\x00" not in v and bool(v.encode()),
    }
    for name, value in row.items():
        column_type = table.types[name]
        item_type = column_type.removesuffix("[]")
        assert value != []
        for item in value if column_type != item_type and isinstance(value, list) else [value]:
            assert value is None or fits[item_type](item), (name, column_type, item)


def test_details_become_a_row_with_the_columns_of_the_table() -> None:
    row = row_of(DETAILS)
    check_row(row, TMDB_DETAILS)
    assert row == {
        "tmdb_id": 4711,
        "release_year": "1999",
        "imdb_id": "tt0200001",
        "wikidata_id": "Q4711",
        "title": "The Lamp",
        "original_title": "Die Lampe",
        "original_language": "de",
        "origin_country": ["US", "DE"],
        "overview": "A lamp is lit.",
        "tagline": "Light.",
        "homepage": "https://example.com/lamp",
        "status": "Released",
        "release_date": date(1999, 10, 15),
        "runtime": 139,
        "budget": 63000000,
        "revenue": 2923706026,
        "popularity": 24.2,
        "vote_average": 8.4,
        "vote_count": 30717,
        "collection_id": 77,
        "collection_name": "The Lamp Collection",
        "genres": ["Drama", "Thriller"],
        "production_companies": ["Lamp Films"],
        "production_countries": ["US"],
        "spoken_languages": ["de"],
        "keywords": ["lamp", "light"],
        "directors": ["Dora"],
        "writers": ["Will", "Nora"],
        "actors": ["First", "Second", "Extra"],
        "certification": "R",
        "us_release_date": date(1999, 10, 16),
        "poster_path": "/poster.jpg",
        "backdrop_path": "/backdrop.jpg",
        "adult": False,
        "video": False,
        "softcore": None,
    }


def test_a_movie_of_which_only_the_id_is_known_is_a_row_of_unknowns() -> None:
    row = row_of({"id": 5})
    check_row(row, TMDB_DETAILS)
    assert {name: value for name, value in row.items() if value is not None} == {
        "tmdb_id": 5,
        "release_year": "unknown",
    }


def test_a_title_that_is_omdbs_word_for_unknown_is_a_title() -> None:
    assert row_of(DETAILS | {"title": "N/A", "original_title": "n/a"})["title"] == "N/A"


@pytest.mark.parametrize("nothing", [0, "", None, [], {}])
def test_a_field_without_a_value_is_unknown(nothing: object) -> None:
    for field in DETAILS.keys() - {"id", "softcore"}:
        row = row_of({"id": 5, field: nothing})
        known = {name: value for name, value in row.items() if value is not None}
        known.pop("vote_count", None)  # 0 votes are known
        for name in ("adult", "video", "popularity"):
            if nothing == 0:
                known.pop(name, None)
        assert known == {"tmdb_id": 5, "release_year": "unknown"}, field


def test_a_vote_average_without_votes_is_unknown_and_the_count_stays_0() -> None:
    row = row_of(DETAILS | {"vote_average": 7.0, "vote_count": 0})
    assert row["vote_average"] is None
    assert row["vote_count"] == 0


def test_sub_resources_that_tmdb_left_out_are_unknown_and_the_rest_stays() -> None:
    body = {k: v for k, v in DETAILS.items() if k not in ("external_ids", "keywords", "release_dates", "credits")}
    row = row_of(body)
    assert row["title"] == "The Lamp"
    unknown = "wikidata_id keywords directors writers actors certification us_release_date"
    assert {row[name] for name in unknown.split()} == {None}


@pytest.mark.parametrize(
    ("body_id", "external_id", "stored"),
    [
        ("tt0200001", "tt0200002", "tt0200001"),
        (None, "tt0200002", "tt0200002"),
        ("", "tt0200002", "tt0200002"),
        ("nm0200001", "tt0200002", "tt0200002"),
        ("", "", None),
    ],
)
def test_the_imdb_id_comes_from_the_body_or_else_from_the_external_ids(
    body_id: str | None, external_id: str, stored: str | None
) -> None:
    assert row_of({"id": 5, "imdb_id": body_id, "external_ids": {"imdb_id": external_id}})["imdb_id"] == stored


def test_only_the_first_15_actors_in_billing_order_are_kept() -> None:
    cast = [{"name": f"Actor {i}", "order": i} for i in reversed(range(40))]
    assert row_of({"id": 5, "credits": {"cast": cast}})["actors"] == [f"Actor {i}" for i in range(15)]


def us_releases(*releases: tuple[int, str, str]) -> dict[str, Any]:
    rows = [{"type": t, "release_date": day, "certification": mark} for t, day, mark in releases]
    return {"id": 5, "release_dates": {"results": [{"iso_3166_1": "US", "release_dates": rows}]}}


@pytest.mark.parametrize(
    ("releases", "certification", "released"),
    [
        ([(1, "1999-01-01", "PG"), (3, "1999-03-03", "R")], "R", date(1999, 3, 3)),
        ([(1, "1999-01-01", "PG"), (3, "1999-03-03", " ")], "PG", date(1999, 3, 3)),
        ([(3, "2009-03-03", ""), (3, "1999-03-03", "R")], "R", date(1999, 3, 3)),
        ([(1, "1999-01-01", ""), (2, "1999-02-02", "")], None, date(1999, 2, 2)),
        ([(1, "1999-01-01", ""), (3, "", "R")], "R", date(1999, 1, 1)),
        ([(4, "1999-04-04", "NR"), (6, "1998-04-04", "TV-14")], "NR", None),
        ([(99, "1999-04-04", "G")], "G", None),
        ([], None, None),
    ],
)
def test_theatrical_releases_in_the_us_come_before_others(
    releases: list[tuple[int, str, str]], certification: str | None, released: date | None
) -> None:
    row = row_of(us_releases(*releases))
    assert row["certification"] == certification
    assert row["us_release_date"] == released


def test_a_wrong_type_in_an_optional_field_costs_that_field_only() -> None:
    body = copy.deepcopy(DETAILS)
    body["runtime"] = "long"
    body["genres"][0] = 18
    body["credits"]["cast"] = {"name": "x"}
    row = row_of(body)
    expected = row_of(DETAILS) | {"runtime": None, "genres": ["Thriller"], "actors": None}
    assert row == expected


def test_a_number_that_its_column_cannot_hold_is_unknown() -> None:
    body = json.dumps(DETAILS | {"runtime": 2**31, "revenue": 2**63}).replace("24.2", "1e999").encode()
    row = details_row(validate_json(MovieDetails, body))
    assert row == row_of(DETAILS) | {"runtime": None, "revenue": None, "popularity": None}
    listed = DiscoverItem.model_validate(LISTED | {"genre_ids": [18, 2**31], "popularity": math.inf})
    assert discovered_row(listed)["genre_ids"] == [18]
    assert discovered_row(listed)["popularity"] is None


@pytest.mark.parametrize("wrong", [None, "550", "", 0, -1, 5.5, True, 2**63, [550], {}])
def test_a_movie_without_a_proper_id_is_malformed(wrong: object) -> None:
    for model in (MovieDetails, DiscoverItem):
        with pytest.raises(MalformedAnswer, match=f"^{model.__name__} id: "):
            validate_json(model, json.dumps({"id": wrong, "title": "x"}).encode())


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"1", b"[{}]"])
def test_a_body_that_is_no_object_is_malformed(body: bytes) -> None:
    for model in (MovieDetails, DiscoverPage, ChangesPage):
        with pytest.raises(MalformedAnswer, match="body: "):
            validate_json(model, body)


def test_a_listed_movie_becomes_a_row_with_the_columns_of_the_table() -> None:
    row = discovered_row(DiscoverItem.model_validate(LISTED))
    check_row(row, DISCOVERED_MOVIES)
    assert row == {
        **{name: value for name, value in LISTED.items() if name != "id"},
        "tmdb_id": 4711,
        "release_year": "1999",
        "release_date": date(1999, 10, 15),
        "genre_ids": [18, 53],
        "overview": None,
    }


@pytest.mark.parametrize("released", ["", None, "0000-00-00", 5])
def test_a_listed_movie_without_a_date_belongs_to_the_unknown_year(released: object) -> None:
    row = discovered_row(DiscoverItem.model_validate(LISTED | {"release_date": released}))
    assert (row["release_date"], row["release_year"]) == (None, "unknown")
    without = {k: v for k, v in LISTED.items() if k != "release_date"}
    assert discovered_row(DiscoverItem.model_validate(without)) == row


def test_the_original_title_stands_in_for_a_missing_one() -> None:
    assert discovered_row(DiscoverItem.model_validate(LISTED | {"title": ""}))["title"] == "Die Lampe"
    assert row_of(DETAILS | {"title": None})["title"] == "Die Lampe"


def test_one_bad_row_costs_only_itself() -> None:
    rows = [LISTED, {"title": "no id"}, 5, None, LISTED | {"id": 2, "vote_count": "many"}]
    body = {"page": 1, "results": rows, "total_pages": 58326, "total_results": 1166518}
    page = validate_json(DiscoverPage, json.dumps(body).encode())
    assert page.total_pages == 58326
    good, bad = [], []
    for row in page.results:
        try:
            good.append(validate(DiscoverItem, row).id)
        except MalformedAnswer as error:
            bad.append(error.body)
    assert good == [4711, 2]
    assert bad == [b'{"title": "no id"}', b"5", b"null"]


def test_an_empty_listing_is_a_page() -> None:
    page = validate_json(DiscoverPage, b'{"page":1,"results":[],"total_pages":1,"total_results":0}')
    assert page.results == []


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"results":[]}', b'{"total_pages":1}', b'{"results":{},"total_pages":1}',
     b'{"results":null,"total_pages":1}', b'{"results":[],"total_pages":null}', b'{"success":false}'],
)  # fmt: skip
def test_a_body_that_is_no_page_is_malformed_rather_than_an_empty_listing(body: bytes) -> None:
    for model in (DiscoverPage, ChangesPage):
        with pytest.raises(MalformedAnswer):
            validate_json(model, body)


def test_a_change_with_a_null_or_wrong_id_costs_only_itself() -> None:
    rows = [{"id": 3, "adult": None}, {"id": None}, {"id": 1, "adult": True}, {"id": "x"}, 7]
    body = {"results": rows, "page": 1, "total_pages": 1, "total_results": 5}
    page = validate_json(ChangesPage, json.dumps(body).encode())
    assert [row.id for row in page.results] == [3, None, 1, None]


def test_both_shapes_of_an_error_are_read() -> None:
    error = validate_json(ErrorBody, b'{"success":false,"status_code":7,"status_message":"Invalid API key"}')
    assert (error.status_code, error.status_message) == (7, "Invalid API key")
    error = validate_json(ErrorBody, b'{"errors":["page must be less than or equal to 500"]}')
    assert (error.status_code, error.errors) == (None, ["page must be less than or equal to 500"])


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {"id": st.integers(-1, 2**64) | ODD_VALUES},
        optional={field: ODD_VALUES for field in DETAILS if field != "id"},
    )
)
def test_any_value_in_any_field_gives_a_storable_row_or_a_malformed_answer(body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    with contextlib.suppress(MalformedAnswer):
        check_row(details_row(validate_json(MovieDetails, content)), TMDB_DETAILS)
    with contextlib.suppress(MalformedAnswer):
        check_row(discovered_row(validate_json(DiscoverItem, content)), DISCOVERED_MOVIES)


def paths(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all values inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in items for found in ((*path, key), *paths(inner, (*path, key)))]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(paths(DETAILS)), ODD_VALUES), min_size=1, max_size=4))
def test_any_value_at_any_depth_leaves_a_good_movie_storable(
    changes: list[tuple[tuple[Any, ...], object]],
) -> None:
    body = copy.deepcopy(DETAILS)
    for path, value in changes:
        target: Any = body
        try:
            for key in path[:-1]:
                target = target[key]
            target[path[-1]] = value
        except (TypeError, KeyError, IndexError):
            continue  # an earlier change has removed the place
    try:
        movie = validate_json(MovieDetails, json.dumps(body).encode())
    except MalformedAnswer:
        assert body["id"] != DETAILS["id"]
    else:
        check_row(details_row(movie), TMDB_DETAILS)


@settings(deadline=None)
@given(BODIES)
def test_any_bytes_are_an_answer_or_malformed(body: bytes) -> None:
    for model in (MovieDetails, DiscoverPage, ChangesPage, ErrorBody):
        for attempt in (body, b'{"id":1,"total_pages":1,"results":[' + body + b'],"title":' + body + b"}"):
            try:
                answer = validate_json(model, attempt)
            except MalformedAnswer:
                continue
            if isinstance(answer, MovieDetails):
                check_row(details_row(answer), TMDB_DETAILS)
            if isinstance(answer, DiscoverPage):
                for row in answer.results:
                    with contextlib.suppress(MalformedAnswer):
                        check_row(discovered_row(validate(DiscoverItem, row)), DISCOVERED_MOVIES)


def test_the_models_can_be_used_without_bytes() -> None:
    assert MovieDetails.model_validate(DETAILS) == validate_json(MovieDetails, json.dumps(DETAILS).encode())
    with pytest.raises(ValidationError):
        MovieDetails.model_validate({})


@pytest.mark.parametrize(("said", "stored"), [(True, True), (False, None), (None, None), ("x", None)])
def test_softcore_is_told_where_it_is_so(said: object, stored: bool | None) -> None:
    assert details_row(validate(MovieDetails, DETAILS | {"softcore": said}))["softcore"] is stored
