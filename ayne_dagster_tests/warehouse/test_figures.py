"""Figures of movies' money: what is stored of them, and which of several is shown."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.config import FIGURES, FigureChoice
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.warehouse.best_figures import agreement, precedence_rows, put_precedence
from ayne_dagster.warehouse.figures import stated_before, wikidata_ids
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.schema import BOX_OFFICE
from ayne_dagster.warehouse.spool_values import decoded, encoded
from ayne_dagster_tests.support.samples import (
    DAY,
    START,
    Transaction,
    create_tables,
    details,
    everything,
    figure,
    history,
    merge_details,
    merge_money,
    merge_ratings,
    money,
    one,
    ratings,
    rows,
    state_of,
    without_row,
)
from ayne_dagster_tests.support.thoroughness import examples

TMDB_REVENUE = 100_853_753
OMDB_DOMESTIC = 37_030_102


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    """A warehouse with the details and ratings of a movie."""
    connection = duckdb.connect()
    create_tables(connection)
    merge_details(connection, details())
    merge_ratings(connection, ratings())
    return connection


def stored(connection: duckdb.DuckDBPyConnection, columns: str = "amount") -> list[Any]:
    return rows(connection, f"SELECT {columns} FROM box_office ORDER BY ALL")


def shown(connection: duckdb.DuckDBPyConnection, name: str = "worldwide_gross") -> tuple[Any, Any]:
    """Amount and source of a figure in `movies`."""
    ((amount, source),) = rows(connection, f"SELECT {name}, {name}_source FROM movies WHERE tmdb_id = 550")
    return (None if amount is None else int(amount)), source


# Merging


def test_the_first_figures_of_a_movie_are_a_change_without_history(connection: duckdb.DuckDBPyConnection) -> None:
    report = merge_money(connection, money())
    assert report.total().inserted == 1
    assert stored(connection, "tmdb_id, release_year, source, amount") == [
        (550, "1999", "wikidata", Decimal("101209702.00"))
    ]
    assert state_of(connection).at("numbers").checked_at == START
    assert state_of(connection).at("numbers").changed_at == START
    assert [change for change in history(connection) if change[0] == "box_office"] == []


def test_figures_that_are_stated_again_are_no_change_and_are_confirmed(connection: duckdb.DuckDBPyConnection) -> None:
    merge_money(connection, money())
    report = merge_money(connection, money(at=START + DAY))
    assert report.total().unchanged == 1
    ((observed, updated),) = stored(connection, "observed_at, updated_at")
    assert (observed - updated) == DAY
    assert state_of(connection).at("numbers").checked_at == START + DAY
    assert state_of(connection).at("numbers").changed_at == START


def test_a_figure_that_changes_goes_into_the_history_with_scope_and_source(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    merge_money(connection, money())
    merge_money(connection, money(550, START + DAY, figure("101209703.50")))
    assert history(connection) == [("box_office", "gross worldwide USD (wikidata)", "101209702", "101209703.5")]


def test_a_figure_that_is_stated_no_more_is_kept_and_marked(connection: duckdb.DuckDBPyConnection) -> None:
    merge_money(connection, money(550, START, figure(), figure(37_000_000, "domestic", source_ref="Q1-2")))
    report = merge_money(connection, money(550, START + DAY, figure()))
    assert report.total().updated == 1
    assert [gone is not None for (gone,) in stored(connection, "gone_at")].count(True) == 1
    assert history(connection) == [("box_office", "gross domestic USD (wikidata)", "37000000", None)]
    assert merge_money(connection, money(550, START + 2 * DAY, figure())).total().unchanged == 1
    again = money(550, START + 3 * DAY, figure(), figure(37_000_000, "domestic", source_ref="Q1-2"))
    assert merge_money(connection, again).total().updated == 1
    assert stored(connection, "gone_at") == [(None,), (None,)]


def test_what_one_source_states_leaves_the_figures_of_others_alone(connection: duckdb.DuckDBPyConnection) -> None:
    merge_money(connection, money(source="file"))
    merge_money(connection, money(550, START + DAY, figure(5_000_000)))
    assert stored(connection, "source, gone_at") == [("file", None), ("wikidata", None)]


def test_a_movie_without_figures_is_checked_and_has_none(connection: duckdb.DuckDBPyConnection) -> None:
    with Transaction(connection):
        none = [money()]
        object.__setattr__(none[0], "row", {"wikidata": []})
        report = merge_answers(connection, BOX_OFFICE, "numbers", none, "run-1")
    assert report.total().unchanged == 1
    assert stored(connection) == []
    assert state_of(connection).at("numbers").checked_at == START


def test_a_movie_that_wikidata_has_not_keeps_its_figures(connection: duckdb.DuckDBPyConnection) -> None:
    merge_money(connection, money())
    merge_money(connection, without_row(Outcome.ABSENT, at=START + DAY))
    assert stored(connection, "amount, gone_at") == [(Decimal("101209702.00"), None)]


def test_merging_a_batch_twice_changes_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    batch = [money(550, START, figure(), figure(9, "domestic", source_ref="x")), money(551)]
    merge_money(connection, *batch)
    once = everything(connection)
    merge_money(connection, *batch)
    assert everything(connection) == once


def test_figures_move_with_their_movie_to_another_year(connection: duckdb.DuckDBPyConnection) -> None:
    merge_money(connection, money())
    merge_details(connection, details(at=START + DAY, release_date=date(2001, 1, 2)))
    assert stored(connection, "release_year") == [("2001",)]


def test_an_answer_with_figures_survives_the_spool() -> None:
    answer = money(550, START, figure("12.34", as_of=date(2020, 1, 2)))
    assert decoded(encoded(answer.row)) == answer.row


amounts = st.decimals(min_value=Decimal("0.01"), max_value=Decimal(10**15), places=2)
stated = st.lists(
    st.builds(
        figure,
        amounts,
        st.sampled_from(["worldwide", "domestic", "unspecified", "FR"]),
        source_ref=st.sampled_from(["a", "b", "c"]),
        currency=st.sampled_from(["USD", "EUR", "XXX"]),
        measure=st.sampled_from(["gross", "production_budget"]),
    ),
    max_size=5,
)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(stated, max_size=5))
def test_whatever_is_stated_in_turn_the_last_is_what_is_stated_still(turns: list[list[dict[str, Any]]]) -> None:
    connection = duckdb.connect()
    create_tables(connection)
    seen = set()
    for number, figures in enumerate(turns):
        answer = money(550, START + number * DAY, *figures)
        object.__setattr__(answer, "row", {"wikidata": figures})
        merge_money(connection, answer)
        seen |= {identity(f) for f in figures}
    names = "measure, scope, currency, source_ref"
    assert len(stored(connection)) == len(seen)
    still = {identity(f): f["amount"] for f in turns[-1]} if turns else {}
    found = rows(connection, f"SELECT {names}, amount FROM box_office WHERE gone_at IS NULL")
    assert {row[:4]: row[4] for row in found} == still


def identity(stated: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(stated[name] for name in ("measure", "scope", "currency", "source_ref"))


# What is shown


def test_without_figures_of_others_tmdbs_and_omdbs_are_shown(connection: duckdb.DuckDBPyConnection) -> None:
    assert shown(connection) == (TMDB_REVENUE, "tmdb")
    assert shown(connection, "domestic_gross") == (OMDB_DOMESTIC, "omdb")
    assert shown(connection, "production_budget") == (63_000_000, "tmdb")
    assert shown(connection, "opening_weekend") == (None, None)


def test_the_columns_that_were_there_stay_as_they_were(connection: duckdb.DuckDBPyConnection) -> None:
    merge_money(connection, money())
    row = one(connection, "movies")
    assert (row["revenue"], row["budget"], row["box_office"]) == (TMDB_REVENUE, 63_000_000, OMDB_DOMESTIC)


def test_a_worldwide_figure_of_wikidata_comes_before_tmdbs(connection: duckdb.DuckDBPyConnection) -> None:
    merge_money(connection, money())
    assert shown(connection) == (101_209_702, "wikidata")
    assert one(connection, "movies")["worldwide_gross_as_of"] == START.replace(tzinfo=None)


def test_a_figure_without_a_place_comes_after_tmdbs(connection: duckdb.DuckDBPyConnection) -> None:
    merge_money(connection, money(550, START, figure(99_000_000, "unspecified")))
    assert shown(connection) == (TMDB_REVENUE, "tmdb")
    merge_details(connection, details(551, revenue=None, imdb_id="tt0000551"))
    merge_money(connection, money(551, START, figure(99_000_000, "unspecified")))
    assert rows(connection, "SELECT worldwide_gross_source FROM movies WHERE tmdb_id = 551") == [("wikidata",)]


def test_a_file_comes_before_all(connection: duckdb.DuckDBPyConnection) -> None:
    merge_money(connection, money())
    merge_money(connection, money(550, START + DAY, figure(77_000_000), source="file"))
    assert shown(connection) == (77_000_000, "file")


def test_a_figure_without_a_place_that_equals_the_domestic_one_is_the_domestic_one(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    merge_details(connection, details(at=START + DAY, budget=None))
    merge_money(connection, money(550, START + DAY, figure(37_100_000, "unspecified")))
    ((scope, inferred),) = rows(
        connection, "SELECT scope, scope_inferred FROM box_office_figures WHERE source = 'wikidata'"
    )
    assert (scope, inferred) == ("domestic", True)
    assert shown(connection) == (TMDB_REVENUE, "tmdb")


def test_it_is_not_where_no_larger_worldwide_figure_is_known(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, details(at=START + DAY, revenue=38_000_000))
    merge_money(connection, money(550, START + DAY, figure(37_100_000, "unspecified")))
    assert rows(connection, "SELECT scope FROM box_office_figures WHERE source = 'wikidata'") == [("unspecified",)]


@pytest.mark.parametrize(
    ("stated", "why"),
    [
        (figure("56.954"), "a gross below 10,000 US dollars"),
        (figure(5, "unspecified", measure="production_budget"), "a budget below 1,000 US dollars"),
        (figure(30_000_000), "less than the domestic gross"),
        (figure(7_000_000, suspect="no unit"), "no unit"),
    ],
    ids=["millions", "budget 5", "below domestic", "unit"],
)
def test_what_is_doubtful_is_kept_told_and_not_shown(
    connection: duckdb.DuckDBPyConnection, stated: dict[str, Any], why: str
) -> None:
    merge_money(connection, money(550, START, stated))
    assert rows(connection, "SELECT suspect FROM box_office_figures WHERE source = 'wikidata'") == [(why,)]
    assert shown(connection) == (TMDB_REVENUE, "tmdb")
    assert shown(connection, "production_budget") == (63_000_000, "tmdb")


@pytest.mark.parametrize("currency", ["EUR", "JPY", "XXX"])
def test_no_other_currency_stands_among_dollars(connection: duckdb.DuckDBPyConnection, currency: str) -> None:
    merge_money(connection, money(550, START, figure(9_999_999_999, currency=currency)))
    assert shown(connection) == (TMDB_REVENUE, "tmdb")
    assert len(rows(connection, "SELECT 1 FROM box_office_figures WHERE currency <> 'USD'")) == 1


def test_what_is_stated_no_more_is_shown_only_where_nothing_else_is(connection: duckdb.DuckDBPyConnection) -> None:
    merge_money(connection, money())
    other = money(550, START + DAY)
    object.__setattr__(other, "row", {"wikidata": []})
    merge_money(connection, other)
    assert shown(connection) == (TMDB_REVENUE, "tmdb")
    connection.execute("UPDATE tmdb_details SET revenue = NULL")
    assert shown(connection) == (101_209_702, "wikidata")


@pytest.mark.parametrize(
    "better",
    [
        figure(50_000_000, source_ref="b", preferred=True),
        figure(50_000_000, source_ref="b", as_of=date(2020, 1, 1)),
        figure(150_000_000, source_ref="b"),
    ],
    ids=["preferred", "newer", "larger"],
)
def test_of_several_of_a_source_one_is_shown(connection: duckdb.DuckDBPyConnection, better: dict[str, Any]) -> None:
    merge_money(connection, money(550, START, figure(120_000_000, source_ref="a"), better))
    assert shown(connection) == (int(better["amount"]), "wikidata")


def test_the_day_that_is_stated_is_told(connection: duckdb.DuckDBPyConnection) -> None:
    merge_money(connection, money(550, START, figure(as_of=date(2012, 5, 6))))
    assert str(one(connection, "movies")["worldwide_gross_as_of"]) == "2012-05-06 00:00:00"


def test_the_order_of_sources_is_a_setting(connection: duckdb.DuckDBPyConnection) -> None:
    merge_money(connection, money())
    assert put_precedence(connection, FigureChoice(("tmdb", "wikidata"), {"domestic_gross": ()}))
    assert shown(connection) == (TMDB_REVENUE, "tmdb")
    assert shown(connection, "domestic_gross") == (None, None)
    assert not put_precedence(connection, FigureChoice(("tmdb", "wikidata"), {"domestic_gross": ()}))


def test_a_gross_without_a_place_comes_last_in_any_order() -> None:
    for source, *rest in (("wikidata", "tmdb"), ("file", "wikidata", "tmdb")):
        chosen = precedence_rows(FigureChoice((source, *rest), {}))
        of_gross = sorted((place, scope) for name, _, scope, place in chosen if name == "worldwide_gross")
        scopes = [scope for _, scope in of_gross]
        assert scopes == sorted(scopes, key=lambda scope: scope == "unspecified")
    assert {row[0] for row in precedence_rows(FigureChoice())} == set(FIGURES)


# Agreement


def test_sources_that_differ_by_more_than_a_quarter_are_named(connection: duckdb.DuckDBPyConnection) -> None:
    merge_money(connection, money(550, START, figure(200_000_000)))
    merge_details(connection, details(551, revenue=1_000_000, imdb_id=None))
    merge_money(connection, money(551, START, figure(1_100_000)))
    found = agreement(connection, START)
    assert (found.compared, found.apart, found.share_apart) == (2, 1, 0.5)
    ((tmdb_id, title, measure, scope, low, least, high, most),) = found.cases
    assert (tmdb_id, title, measure, scope) == (550, "Fight Club", "gross", "worldwide")
    assert (low, int(least), high, int(most)) == ("tmdb", TMDB_REVENUE, "wikidata", 200_000_000)


@pytest.mark.parametrize("age", [timedelta(days=0), timedelta(days=89)])
def test_figures_that_still_grow_are_not_compared(connection: duckdb.DuckDBPyConnection, age: timedelta) -> None:
    merge_details(connection, details(at=START + DAY, release_date=(START + DAY - age).date()))
    merge_money(connection, money(550, START + DAY, figure(200_000_000)))
    assert agreement(connection, START + DAY).compared == 0


@pytest.mark.parametrize(("days", "compared"), [(0, 1), (7, 1), (8, 0)])
def test_figures_that_still_grow_are_compared_where_they_are_of_the_same_week(
    connection: duckdb.DuckDBPyConnection, days: int, compared: int
) -> None:
    now = START + 10 * DAY
    merge_details(connection, details(at=now, release_date=(START - DAY).date()))
    of_file = figure(150_000_000, source_ref="digest:1", as_of=now.date())
    of_wikidata = figure(200_000_000, as_of=(now - days * DAY).date())
    merge_money(connection, money(550, now - DAY, of_wikidata))
    merge_money(connection, money(550, now, of_file, source="file"))
    found = agreement(connection, now)
    assert (found.compared, found.apart) == (compared, compared)


def test_nothing_to_compare_is_no_disagreement(connection: duckdb.DuckDBPyConnection) -> None:
    assert agreement(connection, START).share_apart == 0.0


# What is asked with


def test_wikidatas_ids_are_those_of_the_details(connection: duckdb.DuckDBPyConnection) -> None:
    merge_details(connection, details(551, imdb_id=None, wikidata_id="Q551"))
    assert wikidata_ids(connection, [550, 551, 552]) == {551: "Q551"}
    merge_money(connection, money(551))
    assert stated_before(connection) == ["Q551"]


LARGEST = Decimal("9999999999999999.99")


@pytest.mark.parametrize("scope", ["unspecified", "domestic", "worldwide"])
def test_no_amount_that_can_be_stored_is_too_large_to_be_judged_beside_others(
    connection: duckdb.DuckDBPyConnection, scope: str
) -> None:
    merge_details(connection, details(at=START + DAY, revenue=10**15, budget=10**15))
    merge_ratings(connection, ratings(at=START + DAY, box_office=10**15))
    merge_money(
        connection, money(550, START, figure(LARGEST, scope), figure(OMDB_DOMESTIC, "domestic", source_ref="2"))
    )
    assert shown(connection) == (None, None)
    judged = rows(connection, "SELECT suspect FROM box_office_figures WHERE tmdb_id = 550 AND amount >= 1e14")
    assert set(judged) == {("more than 10,000,000,000 US dollars",)}
    assert agreement(connection, START + 10 * DAY).compared >= 0
