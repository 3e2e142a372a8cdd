"""`movies_at`: the dataset as it was known at an instant is what `movies` was then, and never a value of later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.warehouse.care.purge import KEEP, purge
from ayne_dagster.warehouse.client import DuckDBClient
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.movies_at import MOVIES_AT, UNTOLD
from ayne_dagster.warehouse.refresh_metadata import movie_states
from ayne_dagster.warehouse.rows import Row, naive_utc
from ayne_dagster.warehouse.schema import TMDB_DETAILS
from ayne_dagster.warehouse.views import MOVIES
from ayne_dagster_tests.support.samples import (
    DAY,
    HOUR,
    START,
    Transaction,
    create_tables,
    details,
    figure,
    listed,
    merge_details,
    merge_listed,
    merge_money,
    merge_ratings,
    money,
    ratings,
    without_row,
)
from ayne_dagster_tests.support.thoroughness import examples

COLUMNS = tuple(column.name for column in MOVIES_AT.columns)
OF_DETAILS_ALONE = ("popularity", "vote_average", "vote_count")
"""Columns that a listing fills in `movies`, and of which its past is not kept."""
Connection = duckdb.DuckDBPyConnection


def then(connection: Connection, instant: datetime) -> dict[int, Row]:
    """The movies of an instant, by id."""
    return by_id(connection.execute("FROM movies_at($at)", {"at": naive_utc(instant)}))


def by_id(result: Connection) -> dict[int, Row]:
    names = [column[0] for column in result.description]
    return {row["tmdb_id"]: row for values in result.fetchall() for row in [dict(zip(names, values, strict=True))]}


def now_stored(connection: Connection) -> dict[int, Row]:
    """A copy of `movies`, with what `movies_at` can tell of it."""
    copy = by_id(connection.execute(f"SELECT {', '.join(COLUMNS)} FROM movies"))
    detailed = by_id(connection.execute(f"SELECT tmdb_id, {', '.join(OF_DETAILS_ALONE)} FROM tmdb_details"))
    unknown = dict.fromkeys(OF_DETAILS_ALONE)
    return {tmdb_id: row | detailed.get(tmdb_id, unknown) for tmdb_id, row in copy.items()}


def test_it_has_the_columns_and_types_of_movies_that_have_a_history(connection: Connection) -> None:
    found = [(row[0], row[1]) for row in connection.execute("DESCRIBE FROM movies_at(now())").fetchall()]
    assert found == [(column.name, column.type) for column in MOVIES_AT.columns]
    assert found == [(c.name, c.type) for c in MOVIES.columns if c.name not in UNTOLD]


def test_each_value_is_the_one_that_was_known_then(connection: Connection) -> None:
    merge_listed(connection, listed(title="As listed", release_date=date(1998, 1, 1)))
    merge_details(connection, details(at=START + DAY, genres=["A, B", 'C"'], runtime=None))
    merge_details(connection, details(at=START + 2 * DAY, title='The "New" Title', genres=["D"], runtime=90))
    merge_ratings(connection, ratings(at=START + 3 * DAY))
    columns = ("title", "release_date", "release_year", "genres", "runtime", "runtime_source", "metascore")
    found = [then(connection, START + n * DAY) for n in range(-1, 4)]
    assert found[0] == {}
    released = date(1999, 10, 15)
    assert [tuple(movies[550][name] for name in columns) for movies in found[1:]] == [
        ("As listed", date(1998, 1, 1), "1998", None, None, None, None),
        ("Fight Club", released, "1999", ["A, B", 'C"'], None, None, None),
        ('The "New" Title', released, "1999", ["D"], 90, "tmdb", None),
        ('The "New" Title', released, "1999", ["D"], 90, "tmdb", 67),
    ]


def test_a_change_is_known_from_its_very_instant_on(connection: Connection) -> None:
    merge_details(connection, details(title="Before"))
    merge_details(connection, details(at=START + DAY, title="After"))
    just_before = START + DAY - timedelta(microseconds=1)
    assert [then(connection, at)[550]["title"] for at in (just_before, START + DAY)] == ["Before", "After"]


def test_what_a_listing_alone_tells_and_has_no_history_is_unknown(connection: Connection) -> None:
    merge_listed(connection, listed(vote_count=1))
    merge_listed(connection, listed(at=START + DAY, vote_count=2))
    row = then(connection, START + 2 * DAY)[550]
    assert {name: row[name] for name in OF_DETAILS_ALONE} == dict.fromkeys(OF_DETAILS_ALONE)
    assert row["title"] == "Fight Club"


def test_the_date_of_a_listing_is_told_though_the_details_have_replaced_it(connection: Connection) -> None:
    dates = (date(1997, 1, 1), None, date(1998, 2, 2), date(1999, 3, 3))
    merge_listed(connection, listed(release_date=dates[0]))
    for day, released in enumerate(dates[1:], start=1):
        merge_details(connection, details(at=START + day * DAY, release_date=released))
    found = [then(connection, START + day * DAY)[550]["release_date"] for day in range(4)]
    assert found == [dates[0], dates[0], dates[2], dates[3]]
    told = connection.execute("SELECT source, old_value, new_value FROM movie_history WHERE field = 'release_date'")
    assert sorted(told.fetchall(), key=repr) == [
        ("discovered_movies", '"1997-01-01"', '"1998-02-02"'),
        ("tmdb_details", '"1998-02-02"', '"1999-03-03"'),
        ("tmdb_details", None, '"1998-02-02"'),
    ]


@pytest.mark.parametrize("listed_date", [date(1998, 1, 1), None])
def test_a_date_that_details_tell_late_was_the_listings_before_only_where_it_had_it(
    connection: Connection, listed_date: date | None
) -> None:
    merge_listed(connection, listed(release_date=listed_date))
    merge_details(connection, details(at=START + DAY, release_date=None))
    merge_details(connection, details(at=START + 2 * DAY, release_date=date(1998, 1, 1)))
    found = [then(connection, START + day * DAY)[550]["release_date"] for day in range(3)]
    assert found == [listed_date, listed_date, date(1998, 1, 1)]


def test_a_row_of_the_older_collection_is_told_from_its_completion_on(connection: Connection) -> None:
    merge_details(connection, details(original_language=None, tagline=None))
    merge_details(connection, details(at=START + DAY, tagline="Asked for only now"))
    assert then(connection, START)[550]["tagline"] is None
    assert then(connection, START + DAY)[550]["tagline"] == "Asked for only now"


def test_a_row_whose_beginning_was_not_noted_counts_from_its_first_change_or_last_check(connection: Connection) -> None:
    for tmdb_id in (1, 2):
        merge_details(connection, details(tmdb_id, title="First"))
        merge_details(connection, details(tmdb_id, START + 4 * DAY, title="First"))
    merge_details(connection, details(1, START + 2 * DAY + HOUR, title="First"))
    merge_details(connection, details(1, START + 5 * DAY, title="Second"))
    connection.execute("UPDATE refresh_metadata SET tmdb_details_since = NULL")
    titles = [{i: row["title"] for i, row in then(connection, START + n * DAY).items()} for n in (3, 4, 5)]
    assert titles == [{1: None, 2: None}, {1: None, 2: "First"}, {1: "Second", 2: "First"}]


def test_what_was_purged_is_not_there_again(database: Database) -> None:
    later = KEEP + 10 * DAY
    with database.transaction() as connection:
        for at, title in ((START, "Forgotten"), (START + 5 * DAY, "Kept"), (START + later, "New")):
            merge_answers(connection, TMDB_DETAILS, "tmdb", [details(1, at, title=title)], "run")
        merge_answers(connection, TMDB_DETAILS, "tmdb", [details(2, title="Expired", imdb_id="tt2")], "run")
        purge(connection, START + later + HOUR)
        answer = details(2, START + later + DAY, title="Told anew", imdb_id="tt2")
        merge_answers(connection, TMDB_DETAILS, "tmdb", [answer], "run")
    with database.connect(read_only=True) as connection:
        days = (0, 5, later.days, later.days + 1)
        titles = [{i: row["title"] for i, row in then(connection, START + n * DAY).items()} for n in days]
    assert titles[0] == {1: None}
    assert titles[1:] == [{1: "Kept"}, {1: "New"}, {1: "New", 2: "Told anew"}]


def test_the_client_tells_the_movies_of_an_instant(database: Database) -> None:
    with database.transaction() as connection:
        for at, title in ((START, "Before"), (START + DAY, "After")):
            merge_answers(connection, TMDB_DETAILS, "tmdb", [details(at=at, title=title)], "run")
    client = DuckDBClient(database.path)
    assert [row["title"] for row in client.movies_at(START + HOUR)] == ["Before"]
    assert [row["title"] for row in client.movies_at(naive_utc(START + DAY))] == ["After"]
    assert client.movies_at(START - DAY) == []


IDS = (1, 2)
TEXTS = st.sampled_from([None, "A", 'B "b"', "Ü, 'ü'"])
NUMBERS = st.sampled_from([None, 1, 2_000_000])
SCORES = st.sampled_from([None, 1.5, 2.25])
LISTS = st.sampled_from([None, ["a"], ["a, b", 'c"']])
DATES = st.sampled_from([None, date(1999, 12, 31), date(2000, 1, 1), date(1850, 1, 1)])
FLAGS = st.sampled_from([None, True, False])
CONTENT = {
    "listing": st.fixed_dictionaries(
        {"title": TEXTS, "overview": TEXTS, "release_date": DATES, "adult": FLAGS, "popularity": SCORES}
    ),
    "tmdb": st.fixed_dictionaries(
        {"title": TEXTS, "overview": TEXTS, "release_date": DATES, "adult": FLAGS, "popularity": SCORES}
        | {"imdb_id": st.sampled_from([None, "tt1", "tt1", "tt2"]), "runtime": NUMBERS, "budget": NUMBERS}
        | {"vote_count": NUMBERS, "genres": LISTS, "us_release_date": DATES}
        | {"production_countries": st.sampled_from([None, ["DE"], ["FR", "ZZ"]])}
    ),
    "omdb": st.fixed_dictionaries(
        {"plot": TEXTS, "genre": LISTS, "runtime": NUMBERS, "imdb_rating": SCORES, "imdb_votes": NUMBERS}
    ),
    "money": st.fixed_dictionaries({"amount": st.sampled_from([20_000, 30_000])}),
    "entities": st.fixed_dictionaries({"country": st.sampled_from(["US", "DE"])}),
    "failed": st.just({}),
}
UNDATED: Row = {"title": "A", "release_date": None}
DATED: Row = {"title": None, "release_date": date(1850, 1, 1), "imdb_id": "tt1"}
BATCHES = st.lists(
    st.sampled_from(list(CONTENT)).flatmap(
        lambda kind: st.tuples(
            st.just(kind),
            st.sampled_from([HOUR, 3 * DAY, 40 * DAY]),
            st.dictionaries(st.sampled_from(IDS), CONTENT[kind], min_size=1),
        )
    ),
    min_size=2,
    max_size=7,
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Connection]:
    with duckdb.connect() as opened:
        create_tables(opened)
        yield opened


def merged(connection: Connection, kind: str, at: datetime, content: dict[int, Row]) -> None:
    """Merge one batch of a kind."""
    if kind == "listing":
        merge_listed(connection, *(listed(i, at, **{"vote_count": None} | row) for i, row in content.items()))
    elif kind == "tmdb":
        merge_details(connection, *(details(i, at, **row) for i, row in content.items()))
    elif kind == "money":
        merge_money(connection, *(money(i, at, figure(row["amount"]), year="unknown") for i, row in content.items()))
    elif kind == "entities":
        empty = {name: [None] for name in ("release_date", "certification", "note", "language")}
        parts = {i: {"releases": {"country": [r["country"]], "type": [3], **empty}} for i, r in content.items()}
        answers = [replace(details(i, at, imdb_id=None, release_date=None), entities=parts[i]) for i in content]
        merge_details(connection, *answers)
    elif kind == "failed":
        merge_details(connection, *(without_row(Outcome.FAILED, i, at, release_year="unknown") for i in content))
    else:
        imdb_ids = {state.tmdb_id: state.imdb_id for state in movie_states(connection, IDS)}
        asked = [ratings(i, at, imdb_id=imdb_ids[i], **row) for i, row in content.items() if imdb_ids.get(i)]
        merge_ratings(connection, *asked)


@settings(max_examples=examples(24), phases=(Phase.explicit, Phase.generate), deadline=None)
@given(BATCHES)
@example([("listing", HOUR, {1: UNDATED}), ("entities", HOUR, {1: {"country": "US"}}), ("tmdb", HOUR, {1: DATED})])
@example([("listing", HOUR, {1: UNDATED}), ("tmdb", HOUR, {1: DATED}), ("listing", HOUR, {1: UNDATED})])
def test_any_instant_is_what_was_stored_then(
    shared: Connection, batches: list[tuple[str, timedelta, dict[int, Row]]]
) -> None:
    shared.execute("DELETE FROM box_office")
    for table in ("refresh_metadata", "discovered_movies", "tmdb_details", "omdb_ratings", "movie_history", "releases"):
        shared.execute(f"DELETE FROM {table}")
    copies: list[tuple[datetime, dict[int, Row]]] = []
    at = START
    for kind, pause, content in batches:
        at += pause
        merged(shared, kind, at, content)
        copies.append((at, now_stored(shared)))
    for instant, copy in copies:
        assert then(shared, instant + HOUR / 2) == copy
    with Transaction(shared):
        purge(shared, START + KEEP + 2 * DAY)
    for instant, copy in copies:
        for tmdb_id, row in then(shared, instant).items():
            differing = {name for name, value in row.items() if value is not None and value != copy[tmdb_id][name]}
            assert differing <= {"release_year", *OF_BOTH}, "what was purged may be missing, and is never another"


OF_BOTH = ("title", "original_title", "original_language", "overview", "release_date", "adult", "video")
"""Columns in which the listing of then stands in where the details are forgotten."""


def test_instants_may_be_written_in_any_way_that_a_timestamp_can(connection: Connection) -> None:
    merge_details(connection, details())
    for written in ("TIMESTAMP '2024-01-02'", "'2024-01-02 00:00:00'", "DATE '2024-01-02'", "now()::TIMESTAMP"):
        assert connection.execute(f"SELECT count(*) FROM movies_at({written})").fetchall() == [(1,)], written
    assert connection.execute("SELECT count(*) FROM movies_at(NULL)").fetchall() == [(0,)]


def test_a_value_that_cannot_be_read_is_unknown_and_not_todays(connection: Connection) -> None:
    merge_details(connection, details())
    merge_details(connection, details(at=START + DAY, budget=5))
    connection.execute("""UPDATE movie_history SET old_value = '"much"' WHERE field = 'budget'""")
    assert then(connection, START)[550]["budget"] is None


def test_now_is_not_asked(connection: Connection) -> None:
    """An instant to come is today."""
    merge_details(connection, details())
    found: dict[int, Any] = then(connection, datetime(2100, 1, 1, tzinfo=UTC))
    assert found == now_stored(connection)


def test_what_omdb_says_of_another_work_is_told_of_no_instant(connection: Connection) -> None:
    merge_details(connection, details(actors=["A B", "C D"]))
    merge_ratings(connection, ratings(at=START + DAY))
    connection.execute("UPDATE omdb_ratings SET match = 'another'")
    assert then(connection, START + 2 * DAY)[550]["imdb_rating"] is None
    connection.execute("UPDATE omdb_ratings SET match = 'doubtful'")
    assert then(connection, START + 2 * DAY)[550]["imdb_rating"] == 8.8
