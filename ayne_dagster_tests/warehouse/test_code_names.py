"""Names of countries and languages: TMDB's, where it was asked, over those that are built in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import duckdb
import pytest

from ayne_dagster.refresh.code_names import NAMES_HOLD, names_are_due
from ayne_dagster.sources.errors import MalformedAnswer
from ayne_dagster.sources.tmdb.code_names import CODE_LISTS, names_by_code
from ayne_dagster.warehouse.care.purge import KEEP, purge
from ayne_dagster.warehouse.code_names import KINDS, CodeNames, due_kinds, merge_code_names
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.iso_names import COUNTRY_NAMES, LANGUAGE_NAMES
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster_tests.support.samples import DAY, START, details, merge_details, rows


def names_of(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """Of the one movie: countries, languages, and both as the older collection had them."""
    (found,) = rows(connection, "SELECT countries, languages FROM movies")
    (then,) = rows(connection, f"SELECT countries, languages FROM movies_at(TIMESTAMP '{naive_utc(START + DAY)}')")
    (older,) = rows(connection, "SELECT production_countries, spoken_languages FROM legacy.tmdb_movies")
    return [found, then, older]


def test_built_in_names_hold_until_tmdb_has_told_its_own(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, details(production_countries=["CZ", "DE", "ZZ"], spoken_languages=["cs", "qq"]))
    assert names_of(connection) == [
        (["Czech Republic", "Germany", "ZZ"], ["Czech", "qq"]),
        (["Czech Republic", "Germany", "ZZ"], ["Czech", "qq"]),
        ("Czech Republic,Germany,ZZ", "Czech,qq"),
    ]
    merge_code_names(connection, CodeNames("country", {"CZ": "Czechia", "ZZ": "Zedland"}, START))
    merge_code_names(connection, CodeNames("language", {"qq": "Quenya"}, START))
    assert names_of(connection) == [
        (["Czechia", "Germany", "Zedland"], ["Czech", "Quenya"]),
        (["Czechia", "Germany", "Zedland"], ["Czech", "Quenya"]),
        ("Czechia,Germany,Zedland", "Czech,Quenya"),
    ]
    told = rows(connection, "SELECT * FROM countries WHERE code IN ('CZ', 'DE') ORDER BY code")
    assert told == [("CZ", "Czechia", naive_utc(START)), ("DE", "Germany", None)]
    assert rows(connection, "SELECT count(*) FROM countries") == [(len(COUNTRY_NAMES) + 1,)]
    assert rows(connection, "SELECT count(*) FROM languages") == [(len(LANGUAGE_NAMES) + 1,)]


def test_names_are_asked_for_once_a_month_each(connection: duckdb.DuckDBPyConnection) -> None:
    assert due_kinds(connection, START) == list(KINDS)
    merge_code_names(connection, CodeNames("country", {"CZ": "Czechia"}, START))
    assert due_kinds(connection, START + DAY) == ["language"]
    assert due_kinds(connection, START + NAMES_HOLD) == list(KINDS)


def test_names_that_a_clock_noted_which_was_ahead_are_asked_for_again() -> None:
    assert names_are_due(START + timedelta(days=400), START)
    assert not names_are_due(START, START + timedelta(days=29))


def test_a_shorter_list_takes_no_name_away(connection: duckdb.DuckDBPyConnection) -> None:
    merge_code_names(connection, CodeNames("country", {"CZ": "Czechia", "ZZ": "Zedland"}, START))
    merge_code_names(connection, CodeNames("country", {"CZ": "Bohemia"}, START + DAY))
    found = rows(connection, "SELECT code, name FROM code_names ORDER BY code")
    assert found == [("CZ", "Bohemia"), ("ZZ", "Zedland")]


def test_purge_drops_names_that_tmdb_has_not_listed_for_long(database: Database) -> None:
    with database.transaction() as connection:
        merge_code_names(connection, CodeNames("country", {"CZ": "Czechia"}, START))
        assert purge(connection, START + KEEP + DAY)["code_names"] == 1
        assert rows(connection, "SELECT name FROM countries WHERE code = 'CZ'") == [("Czech Republic",)]


COUNTRIES = CODE_LISTS["country"]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'[{"iso_3166_1": "CZ", "english_name": "Czechia", "native_name": "x"}]', {"CZ": "Czechia"}),
        (b'[null, 5, {}, [], {"iso_3166_1": "DE", "english_name": " Germany "}]', {"DE": "Germany"}),
        (b'[{"iso_3166_1": "DE", "english_name": "A"}, {"iso_3166_1": "DE", "english_name": "B"}]', {"DE": "A"}),
        (b'[{"iso_3166_1": "de", "english_name": "A"}, {"iso_3166_1": "FR", "english_name": "F"}]', {"FR": "F"}),
    ],
)
def test_a_list_is_read_without_the_rows_that_are_none(body: bytes, names: dict[str, str]) -> None:
    assert names_by_code(COUNTRIES, body) == names


@pytest.mark.parametrize(
    "body",
    [
        *(b"[]", b"{}", b"null", b"<html>", b"", b'[{"iso_3166_1": "DE", "english_name": ""}]'),
        b'[{"iso_3166_1": "DE", "english_name": "%s"}]' % (b"x" * 5_000),
        b'[{"iso_3166_1": ["DE"], "english_name": {"a": 1}}]',
    ],
)
def test_a_list_that_names_nothing_is_no_answer(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        names_by_code(COUNTRIES, body)
