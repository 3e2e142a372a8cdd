"""Videos, translations, other titles and who streams a movie, merged with the movie where they are asked for."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import duckdb
import pytest

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.care.integrity import check_database, mend_database
from ayne_dagster.warehouse.care.purge import KEEP, purge
from ayne_dagster.warehouse.care.selection import changed_since
from ayne_dagster.warehouse.changes import told
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.schema import APPENDED_PARTS, APPENDED_TABLES, ENTITY_TABLES, PROVIDERS, TMDB_DETAILS
from ayne_dagster_tests.support.samples import DAY, START, details, merge_details, merge_ratings, ratings, rows
from ayne_dagster_tests.warehouse.test_entities import credits_of, telling

TOLD_TABLES = (*APPENDED_TABLES, PROVIDERS, APPENDED_PARTS)


def titles(*names: str) -> dict[str, Any]:
    """What an answer tells when these are the other titles."""
    return {"alternative_titles": {"country": ["DE"] * len(names), "title": [*names], "type": [None] * len(names)}}


def streamed(*ids: int, name: str = "Lanternflix", country: str = "US") -> dict[str, Any]:
    """What an answer tells when these providers have the movie in their subscription."""
    offers = {"provider_id": [*ids], "country": [country] * len(ids), "offer": ["flatrate"] * len(ids)}
    named = {"provider_id": [*ids], "name": [f"{name} {n}" for n in ids], "logo_path": [None] * len(ids)}
    return {"watch_providers": offers, "providers": named}


def videos(*ids: str) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {
        name: [None] * len(ids)
        for name in ("site", "site_key", "official", "size", "language", "country", "published_on")
    }
    return {"videos": {"video_id": [*ids], "name": [f"Video {n}" for n in ids], "type": ["Clip"] * len(ids)} | columns}


def translated(**by_language: str) -> dict[str, Any]:
    none: dict[str, list[Any]] = {name: [None] * len(by_language) for name in ("tagline", "homepage", "runtime")}
    texts = {"title": list(by_language.values()), "overview": [f"Of {t}" for t in by_language.values()]}
    languages = {"language": list(by_language), "country": [name.upper() for name in by_language]}
    return {"translations": languages | texts | none}


ALL = titles("Lampe") | streamed(8, 9) | videos("a", "b") | translated(de="Lampe", fr="Lampe")


def history(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """Of the appended parts: field, what went, what came."""
    names = [table.name for table in APPENDED_TABLES]
    found = connection.execute(
        "SELECT field, old_value, new_value FROM movie_history WHERE list_contains($names, field) ORDER BY ALL",
        {"names": names},
    ).fetchall()
    return [(field, json.loads(old or "null"), json.loads(new or "null")) for field, old, new in found]


def content(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[Any, ...]]]:
    return {t.name: rows(connection, f"SELECT rowid, * FROM {t.name} ORDER BY ALL") for t in TOLD_TABLES}


def noted(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return rows(connection, "SELECT part, checked_at, changed_at FROM appended_parts ORDER BY part")


def test_each_part_is_stored_with_the_movie_and_its_first_rows_are_no_news(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    merge_details(connection, telling(ALL))
    assert rows(connection, "SELECT title FROM alternative_titles") == [("Lampe",)]
    assert rows(
        connection, "SELECT name, country FROM watch_providers JOIN providers USING (provider_id) ORDER BY 1"
    ) == [
        ("Lanternflix 8", "US"),
        ("Lanternflix 9", "US"),
    ]
    assert rows(connection, "SELECT video_id FROM videos ORDER BY 1") == [("a",), ("b",)]
    assert rows(connection, "SELECT language, title, overview FROM translations ORDER BY 1") == [
        ("de", "Lampe", "Of Lampe"),
        ("fr", "Lampe", "Of Lampe"),
    ]
    assert [part for part, _, _ in noted(connection)] == sorted(table.name for table in APPENDED_TABLES)
    assert history(connection) == []
    assert rows(connection, "SELECT entities_hash, entities_checked_at FROM refresh_metadata") == [(None, None)]


def test_what_came_and_went_is_told_and_counts_as_no_change_of_the_movie(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    merge_details(connection, telling(ALL))
    other = titles("Leuchte") | streamed(9, 10) | videos("b") | translated(de="Lampe", fr="Phare")
    report = merge_details(connection, telling(other, days=1))
    flatrate = {"country": "US", "offer": "flatrate"}
    assert history(connection) == [
        ("alternative_titles", [{"country": "DE", "title": "Lampe"}], [{"country": "DE", "title": "Leuchte"}]),
        (
            "translations",
            [{"language": "fr", "country": "FR", "title": "Lampe"}],
            [{"language": "fr", "country": "FR", "title": "Phare"}],
        ),
        ("videos", [{"video_id": "a", "type": "Clip", "name": "Video a"}], None),
        (
            "watch_providers",
            [{"provider_id": 8, **flatrate, "name": "Lanternflix 8"}],
            [{"provider_id": 10, **flatrate, "name": "Lanternflix 10"}],
        ),
    ]
    assert report.total().unchanged == 1
    assert rows(connection, "SELECT tmdb_changed_at FROM refresh_metadata") == [(naive_utc(START),)]
    assert {at for _, _, at in noted(connection)} == {naive_utc(START + DAY)}


def test_changes_are_told_in_words(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, telling(ALL))
    merge_details(connection, telling(titles("Leuchte") | streamed(9) | videos("b") | translated(de="Licht"), days=1))
    found = connection.execute(
        "SELECT source, field, old_value, new_value FROM movie_history ORDER BY field"
    ).fetchall()
    assert [told(*change) for change in found] == [
        "alternative titles: now without Lampe (DE), with Leuchte (DE)",
        "translations: now without Lampe (de-DE), Lampe (fr-FR), with Licht (de-DE)",
        "videos: now without Video a (Clip)",
        "watch providers: now without Lanternflix 8 (flatrate US)",
    ]


def test_the_same_again_writes_nothing_but_when_it_was_told(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, telling(ALL | credits_of(7)))
    before = content(connection)
    merge_details(connection, telling(ALL | credits_of(7), days=1))
    after = content(connection)
    for table in (*APPENDED_TABLES, PROVIDERS):
        assert after[table.name] == before[table.name]
    assert {(checked, changed) for _, checked, changed in noted(connection)} == {
        (naive_utc(START + DAY), naive_utc(START))
    }


def test_a_provider_with_another_name_is_written_and_is_no_news(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, telling(streamed(8)))
    merge_details(connection, telling(streamed(8, name="Lantern"), days=1))
    assert rows(connection, "SELECT name FROM providers") == [("Lantern 8",)]
    assert history(connection) == []


@pytest.mark.parametrize("answer", [None, {}, credits_of(7)])
def test_without_the_setting_nothing_of_them_is_touched(
    connection: duckdb.DuckDBPyConnection, answer: dict[str, Any] | None
) -> None:
    merge_details(connection, telling(ALL))
    before = content(connection)
    merge_details(connection, telling(answer, days=1))
    assert content(connection) == before


def test_a_part_that_is_not_told_stays_while_others_change(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, telling(ALL))
    merge_details(connection, telling(videos("c"), days=1))
    assert rows(connection, "SELECT title FROM alternative_titles") == [("Lampe",)]
    assert [part for part, at, _ in noted(connection) if at == naive_utc(START + DAY)] == ["videos"]


def test_what_is_told_first_of_a_movie_that_is_known_is_no_news(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, telling(credits_of(7)))
    merge_details(connection, telling(credits_of(7) | ALL, days=1))
    assert history(connection) == []
    assert len(rows(connection, "FROM videos")) == 2


def merged(database: Database, *answers: Answer) -> None:
    with database.transaction() as connection:
        merge_answers(connection, TMDB_DETAILS, "tmdb", answers, "run")


def test_a_part_that_is_asked_for_no_more_goes_with_purge_while_the_movie_stays(database: Database) -> None:
    merged(database, telling(ALL | credits_of(7)))
    merged(database, telling(titles("Lampe") | credits_of(7), days=100))
    with database.transaction() as connection:
        dropped = purge(connection, START + KEEP + 2 * DAY)
    assert (dropped["videos"], dropped["translations"], dropped["watch_providers"]) == (2, 2, 2)
    assert (dropped["providers"], dropped["appended_parts"]) == (2, 3)
    assert (dropped["alternative_titles"], dropped["credits"]) == (0, 0)
    merged(database, telling(ALL, days=KEEP.days + 3))
    with database.connect() as connection:
        assert len(rows(connection, "FROM videos")) == 2
        assert history(connection) == []


def test_purge_drops_them_with_a_movie_that_is_gone_and_their_history(database: Database) -> None:
    merged(database, telling(ALL))
    merged(database, telling(videos("c"), days=1))
    for days in (11, 12, 13):
        merged(database, Answer(550, Outcome.NOT_FOUND, START + timedelta(days=days)))
    with database.transaction() as connection:
        purge(connection, START + timedelta(days=20))
        assert [t.name for t in TOLD_TABLES if rows(connection, f"FROM {t.name}")] == []
        purge(connection, START + KEEP + 30 * DAY)
        assert history(connection) == []


def test_only_what_was_told_anew_is_exported_since_an_instant(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, telling(ALL), telling(ALL, 551, imdb_id="tt1"))
    merge_details(connection, telling(ALL, days=5), telling(ALL | videos("c"), 551, days=5, imdb_id="tt1"))
    for name, expected in (("videos", [("c",)]), ("alternative_titles", [])):
        selection = changed_since(name, START + 3 * DAY)
        column = "video_id" if name == "videos" else "title"
        assert connection.execute(selection.sql(column), dict(selection.bound)).fetchall() == expected


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("DELETE FROM providers", ("unnamed", "watch_providers")),
        ("UPDATE videos SET tmdb_id = 9", ("orphan", "videos")),
        ("UPDATE alternative_titles SET tmdb_id = 9", ("orphan", "alternative_titles")),
        ("INSERT INTO translations FROM translations", ("duplicate_key", "translations")),
        ("UPDATE appended_parts SET tmdb_id = 9", ("orphan", "appended_parts")),
    ],
)
def test_a_check_finds_rows_that_hang_in_the_air(database: Database, damage: str, found: tuple[str, str]) -> None:
    merged(database, telling(ALL))
    assert check_database(database, START + DAY).sound
    with database.transaction() as connection:
        connection.execute(damage)
    assert {(f.code, f.where) for f in check_database(database, START + DAY).findings} == {found}


def test_another_title_of_a_movie_tells_that_it_is_the_work_of_which_omdb_tells(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    def match() -> list[tuple[Any, ...]]:
        return rows(connection, "SELECT match, match_reasons FROM omdb_ratings")

    merge_details(connection, details(550, title="Qwertz", original_title="Qwertz", directors=["Ada"], runtime=100))
    merge_ratings(connection, ratings(550, title="Lampe", director=["Zed Quux"], runtime=100))
    ((before, reasons),) = match()
    assert (before, "the title" in reasons) == ("doubtful", True)
    other = details(550, START + DAY, title="Qwertz", original_title="Qwertz", directors=["Ada"], runtime=100)
    merge_details(connection, Answer(**{f: getattr(other, f) for f in other.__slots__} | {"entities": titles("Lampe")}))
    ((after, reasons),) = match()
    assert (after, "the title" in reasons) == ("same", False)


def test_all_tables_of_parts_are_among_the_entities() -> None:
    assert set(TOLD_TABLES) <= set(ENTITY_TABLES)


def test_a_video_that_is_to_come_is_no_fault_of_a_clock(database: Database) -> None:
    told = videos("a")
    told["videos"]["published_on"] = [(START + 400 * DAY).date()]
    merged(database, telling(told))
    assert check_database(database, START + DAY).sound
    assert mend_database(database, START + DAY) == {}
