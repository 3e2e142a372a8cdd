"""What TMDB appends to details on demand, read as columns. Bodies are made up."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.config import TMDB_PARTS
from ayne_dagster.sources.json_body import validate
from ayne_dagster.sources.tmdb.appended import MOST_OFFERS, MOST_TITLES, appending
from ayne_dagster.sources.tmdb.entities import MOST_TEXT, no_entities
from ayne_dagster.sources.tmdb.models import OPTIONAL_PARTS, MovieDetails
from ayne_dagster.warehouse.schema import ALL_TABLES, APPENDED_TABLES
from ayne_dagster_tests.test_any_body import VALUES

VIDEO = {
    "id": "5c9",
    "iso_639_1": "en",
    "iso_3166_1": "US",
    "name": "Trailer",
    "key": "abc",
    "site": "YouTube",
    "size": 1080,
    "type": "Trailer",
    "official": True,
    "published_at": "2016-03-05T02:03:14.000Z",
}
TEXTS = {"title": "Die Lampe", "overview": "Eine Lampe.", "tagline": "", "homepage": "", "runtime": 0}
GERMAN = {"iso_3166_1": "DE", "iso_639_1": "de", "name": "Deutsch", "english_name": "German", "data": TEXTS}
NETFLIX = {"provider_id": 8, "provider_name": "Lanternflix", "logo_path": "/l.jpg", "display_priority": 0}
OFFERS = {"link": "https://example.org", "flatrate": [NETFLIX], "rent": [NETFLIX, NETFLIX]}
WHOLE = {
    "videos": {"results": [VIDEO]},
    "translations": {"translations": [GERMAN]},
    "alternative_titles": {"titles": [{"iso_3166_1": "US", "title": "Lamp", "type": ""}]},
    "watch/providers": {"results": {"US": OFFERS}},
}


def read(*wanted: str, **parts: Any) -> dict[str, list[tuple[Any, ...]]]:
    """The rows that are made of an answer with these parts, by table."""
    body = {"id": 1, "title": "A"} | {OPTIONAL_PARTS.get(name, name): part for name, part in parts.items()}
    found = appending(no_entities, wanted or TMDB_PARTS)(validate(MovieDetails, body)) or {}
    return {name: list(zip(*columns.values(), strict=True)) for name, columns in found.items()}


def test_each_part_is_read_into_the_columns_of_its_table() -> None:
    parts = {name: WHOLE[theirs] for name, theirs in OPTIONAL_PARTS.items()}
    day = date(2016, 3, 5)
    assert read(**parts) == {
        "videos": [("5c9", "Trailer", "Trailer", "YouTube", "abc", True, 1080, "en", "US", day)],
        "translations": [("de", "DE", "Die Lampe", None, "Eine Lampe.", None, None)],
        "alternative_titles": [("US", "Lamp", None)],
        "watch_providers": [(8, "US", "flatrate"), (8, "US", "rent")],
        "providers": [(8, "Lanternflix", "/l.jpg")],
    }


def test_the_settings_name_what_can_be_appended_and_each_has_its_table() -> None:
    assert TMDB_PARTS == tuple(OPTIONAL_PARTS) == tuple(table.name for table in APPENDED_TABLES)


def test_what_is_not_wanted_is_not_read_whatever_the_answer_holds() -> None:
    parts = {name: WHOLE[theirs] for name, theirs in OPTIONAL_PARTS.items()}
    assert list(read("alternative_titles", **parts)) == ["alternative_titles"]
    assert appending(no_entities, ()) is no_entities


@pytest.mark.parametrize("nothing", [None, {}, [], "", 5, {"results": None, "translations": None, "titles": None}])
def test_a_part_that_is_missing_empty_or_of_another_shape_is_not_told(nothing: Any) -> None:
    assert read(**dict.fromkeys(OPTIONAL_PARTS, nothing)) == {}


@pytest.mark.parametrize("bad", [None, 5, "x", [], {}, {"id": 7}, {"provider_id": "8"}, {"title": ""}, {"data": None}])
def test_one_bad_item_costs_that_item_alone(bad: Any) -> None:
    told = read(
        videos={"results": [bad, VIDEO]},
        translations={"translations": [bad, GERMAN]},
        alternative_titles={"titles": [bad, {"title": "Lamp"}]},
        watch_providers={"results": {"US": {"flatrate": [bad, NETFLIX], "rent": bad}, "DE": bad, "": OFFERS}},
    )
    assert [len(rows) for rows in told.values()].count(1) >= 4
    assert told["watch_providers"] == [(8, "US", "flatrate")]


def test_a_translation_without_a_text_is_none() -> None:
    empty = {"title": "", "overview": "", "tagline": "", "homepage": "", "runtime": 0}
    assert read(translations={"translations": [GERMAN | {"data": empty}]}) == {}


def test_numbers_and_lengths_are_bounded_and_no_offer_is_of_a_provider_that_is_left_out() -> None:
    many = {"titles": [{"title": f"t{n}", "iso_3166_1": "US"} for n in range(MOST_TITLES + 9)]}
    assert len(read(alternative_titles=many)["alternative_titles"]) == MOST_TITLES
    long = [{"provider_id": n, "provider_name": "x" * 2_000} for n in range(1, MOST_OFFERS + 500)]
    told = read(watch_providers={"results": {"US": {"buy": long}}})
    assert sum(len(name) for _, name, _ in told["providers"]) <= MOST_TEXT
    assert {n for n, _, _ in told["watch_providers"]} == {n for n, _, _ in told["providers"]}
    texts = [GERMAN | {"iso_639_1": f"l{n}", "data": {"overview": "x" * 30_000}} for n in range(200)]
    told = read(translations={"translations": texts})
    assert sum(len(row[4]) for row in told["translations"]) <= MOST_TEXT


ITEMS = st.dictionaries(st.sampled_from([*VIDEO, *GERMAN, *NETFLIX, "title"]), VALUES, max_size=6) | VALUES
LISTS = st.lists(ITEMS, max_size=4) | VALUES
COUNTRIES = st.dictionaries(
    st.sampled_from(["US", "DE", ""]), st.dictionaries(st.sampled_from(["buy", "rent", "x"]), LISTS) | VALUES
)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "videos": st.fixed_dictionaries({"results": LISTS}) | VALUES,
        "translations": st.fixed_dictionaries({"translations": LISTS}) | VALUES,
        "alternative_titles": st.fixed_dictionaries({"titles": LISTS}) | VALUES,
        "watch/providers": st.fixed_dictionaries({"results": COUNTRIES}) | VALUES,
    },
)


@settings(max_examples=60)
@given(PARTS)
def test_whatever_an_answer_holds_its_rows_have_the_columns_of_the_tables_and_keys(parts: dict[str, Any]) -> None:
    read_parts = appending(no_entities, TMDB_PARTS)
    for name, columns in (read_parts(validate(MovieDetails, {"id": 1} | parts)) or {}).items():
        table = ALL_TABLES[name]
        names = {c for c in table.column_names if c not in ("tmdb_id", "row_hash", "updated_at")}
        assert set(columns) == names
        (length,) = {len(values) for values in columns.values()}
        keys = list(zip(*(columns[c] for c in table.key if c != "tmdb_id"), strict=True)) if table.key else []
        assert len(set(keys)) == (length if table.key else 0)
        assert not any(None in key for key in keys)
