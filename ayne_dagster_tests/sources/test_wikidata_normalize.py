"""From rows of a SPARQL result to figures: scope, currency, amount, date, and what is doubtful by itself."""

from __future__ import annotations

import json
import random
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ayne_dagster.sources.errors import MalformedAnswer
from ayne_dagster.sources.wikidata.models import by_key, read_items
from ayne_dagster.sources.wikidata.normalize import figures_of
from ayne_dagster.sources.wikidata.places_and_units import COUNTRIES, CURRENCIES
from ayne_dagster_tests.support.wikidata import ENTITY, REF, entity, literal, result, row, stated, uri

TODAY = date(2026, 3, 1)
KEYS = {"Q900000001", "tt9900001", "9001"}


def figures(*rows: dict[str, Any]) -> tuple[dict[str, object], ...]:
    """The figures of the one item that the rows are about."""
    (item,) = read_items(result(*rows), KEYS)
    return figures_of(item, TODAY)


def figure(*rows: dict[str, Any]) -> dict[str, object]:
    (found,) = figures(*rows)
    return found


def another(k: int) -> str:
    return f"{REF[:-4]}{k:04}"


def test_a_statement_is_a_row_with_where_it_stands() -> None:
    assert figure(stated("123456789")) == {
        "source": "wikidata",
        "measure": "gross",
        "scope": "unspecified",
        "currency": "USD",
        "source_ref": REF,
        "amount": Decimal("123456789.00"),
        "as_of": None,
        "preferred": False,
        "suspect": None,
    }


@pytest.mark.parametrize(
    ("places", "scope"),
    [
        (["Q13780930"], "worldwide"),
        (["Q30"], "domestic"),
        (["Q145"], "GB"),
        (["Q8646"], "HK"),
        (["Q49"], "other"),
        (["Q30", "Q16"], "other"),
        (["Q13780930", "Q30"], "other"),
        ([], "unspecified"),
    ],
)
def test_the_place_says_whose_box_office_it_is(places: list[str], scope: str) -> None:
    rows = [stated(place=entity(place)) for place in places] or [stated()]
    assert figure(*rows)["scope"] == scope


@pytest.mark.parametrize(
    "place", [{"type": "bnode", "value": "b0"}, uri("http://www.wikidata.org/.well-known/genid/1f"), literal("here")]
)
def test_an_unknown_place_is_not_no_place(place: dict[str, str]) -> None:
    assert figure(stated(place=place))["scope"] == "other"


def test_what_narrows_a_figure_down_in_another_way_makes_it_no_plain_one() -> None:
    assert figure(stated(place=entity("Q13780930"), aspect=entity("Q1261214")))["scope"] == "other"


@pytest.mark.parametrize(
    ("name", "measure"), [("P2142", "gross"), ("P2130", "production_budget"), ("P2769", "production_budget")]
)
def test_cost_and_budget_are_budgets(name: str, measure: str) -> None:
    assert figure(stated(property=literal(name)))["measure"] == measure


def test_another_property_states_nothing() -> None:
    assert figures(stated(property=literal("P2139"))) == ()


@pytest.mark.parametrize(
    ("unit", "currency", "suspect"),
    [
        ("Q4917", "USD", None),
        ("Q31015", "HKD", None),
        ("Q199", "XXX", "no currency"),
        ("Q123456789", "XXX", "unit Q123456789 is no known currency"),
    ],
)
def test_the_unit_is_the_currency(unit: str, currency: str, suspect: str | None) -> None:
    found = figure(stated(unit=unit))
    assert (found["currency"], found["suspect"]) == (currency, suspect)


def test_a_unit_that_is_none_of_wikidatas_is_no_currency() -> None:
    found = figure(stated() | {"unit": uri("http://example.org/dollar")})
    assert (found["currency"], found["suspect"]) == ("XXX", "no currency")


@pytest.mark.parametrize(
    ("amount", "number"),
    [
        ("56.964", "56.96"),
        ("+123", "123.00"),
        ("341517.73", "341517.73"),
        ("25000000000", "25000000000.00"),
        ("9999999999999999.99", "9999999999999999.99"),
        ("1.", "1.00"),
        ("0.01", "0.01"),
    ],
)
def test_amounts_keep_two_places(amount: str, number: str) -> None:
    assert figure(stated(amount, unit="Q4916"))["amount"] == Decimal(number)


@pytest.mark.parametrize(
    "amount",
    ["0", "-5", "0.001", "10000000000000000", "9" * 50, "9999999999999999.999", "1e9", "NaN", "", "t1", "٣", "1_000"],
)
def test_what_is_no_amount_of_money_is_no_figure(amount: str) -> None:
    assert figures(stated(amount)) == ()


@pytest.mark.parametrize(
    "amount", [uri("http://www.wikidata.org/.well-known/genid/ab"), {"type": "bnode", "value": "t5"}, None]
)
def test_an_unknown_value_is_no_figure(amount: dict[str, str] | None) -> None:
    told = stated() | {"amount": amount}
    assert figures({column: term for column, term in told.items() if term is not None}) == ()


def test_two_amounts_of_one_statement_are_no_figure() -> None:
    assert figures(stated("100000"), stated("200000")) == ()


@pytest.mark.parametrize(
    ("measure", "amount", "suspect"),
    [
        ("P2142", "9999.99", "less than 10,000 USD"),
        ("P2142", "10000", None),
        ("P2142", "25000000000", "more than 5,000,000,000 USD"),
        ("P2130", "999", "less than 1,000 USD"),
        ("P2130", "1000", None),
        ("P2130", "2000000000", "more than 1,000,000,000 USD"),
    ],
)
def test_dollars_that_no_film_has_are_doubtful(measure: str, amount: str, suspect: str | None) -> None:
    assert figure(stated(amount, property=literal(measure)))["suspect"] == suspect
    assert figure(stated(amount, property=literal(measure), unit="Q8146"))["suspect"] is None


def test_ranks_are_told_and_what_is_deprecated_is_left_out() -> None:
    ranks = "http://wikiba.se/ontology#"
    assert figure(stated(rank=uri(f"{ranks}PreferredRank")))["preferred"] is True
    assert figure(stated(rank=None))["preferred"] is False
    assert figures(stated(rank=uri(f"{ranks}DeprecatedRank"))) == ()


@pytest.mark.parametrize(
    ("times", "day"),
    [
        (["2020-05-17T00:00:00Z"], date(2020, 5, 17)),
        (["2019-01-01T00:00:00Z", "2020-01-01T00:00:00Z"], date(2020, 1, 1)),
        (["2026-03-02T00:00:00Z"], None),
        (["-0050-01-01T00:00:00Z"], None),
        (["1066-01-01T00:00:00Z"], None),
        (["2020-00-00T00:00:00Z"], None),
        (["t12"], None),
    ],
)
def test_the_newest_day_that_can_be_is_what_a_figure_holds_for(times: list[str], day: date | None) -> None:
    assert figure(*(stated(time=literal(time, "dateTime")) for time in times))["as_of"] == day


def test_places_and_times_of_one_statement_are_one_figure() -> None:
    rows = [
        stated(place=entity(place), time=literal(f"{year}-01-01T00:00:00Z", "dateTime"))
        for place in ("Q30", "Q16")
        for year in (2019, 2021)
    ]
    found = figure(*rows)
    assert (found["scope"], found["as_of"]) == ("other", date(2021, 1, 1))


def test_the_order_of_an_answer_means_nothing() -> None:
    rows = [stated(str(10_000 + k), ref=another(k), unit=("Q4917", "Q4916")[k % 2]) for k in range(6)]
    expected, shuffle = figures(*rows), random.Random(7)
    assert len(expected) == 6
    for _ in range(5):
        shuffle.shuffle(rows)
        assert figures(*(dict(shuffle.sample(list(r.items()), len(r))) for r in rows)) == expected


@pytest.mark.parametrize(
    "ref", ["http://example.org/statement/Q1-A", f"{ENTITY}statement/Q1 drop", f"{ENTITY}statement/{'a' * 500}"]
)
def test_a_figure_without_a_statement_of_wikidatas_is_none(ref: str) -> None:
    assert figures(stated(ref=ref)) == ()


def test_several_items_of_one_key_and_several_keys_of_one_item_are_told() -> None:
    first, second = row("Q900000001", "tt9900001 9001"), row("Q900000002", "tt9900001")
    led_to = by_key(read_items(result(second, first), KEYS))
    assert {key: [item.wikidata_id for item in items] for key, items in led_to.items()} == {
        "tt9900001": ["Q900000001", "Q900000002"],
        "9001": ["Q900000001"],
    }


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"head": {}}', "results"),
        (b'{"head": {}, "results": {}}', "bindings"),
        (b'{"results": {"bindings": {}}}', "bindings"),
        (b'{"results": {"bindings": [1]}}', "bindings"),
        (result({"film": {"value": "x"}}), "type"),
        (result({"keys": literal("Q900000001")}), "names no item"),
        (result({"film": literal("Q900000001"), "keys": literal("Q900000001")}), "names no item"),
        (result({"film": entity("Q0"), "keys": literal("Q900000001")}), "names no item"),
        (result(row(keys="Q5")), "not asked for"),
        (result(row(keys="")), "not asked for"),
        (b"[]", "SparqlResult"),
        (b'{"boolean": true, "head": {}}', "results"),
    ],
)
def test_what_is_no_answer_to_the_question_is_malformed_and_kept(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedAnswer, match=reason) as caught:
        read_items(body, KEYS)
    assert caught.value.body == body


def test_an_empty_answer_is_one() -> None:
    assert read_items(result(), KEYS) == []


def test_the_lists_of_currencies_and_countries_are_codes_each_of_one_item() -> None:
    assert all(len(code) == 3 and code.isupper() for code in CURRENCIES.values())
    assert len(set(CURRENCIES.values())) == len(CURRENCIES)
    assert all(len(code) == 2 and code.isupper() for code in COUNTRIES.values())
    assert len(set(COUNTRIES.values())) == len(COUNTRIES) > 200
    assert "US" not in COUNTRIES.values()
    assert "XXX" not in CURRENCIES.values()


TERMS = st.builds(
    dict,
    type=st.sampled_from(["uri", "literal", "bnode", "typed-literal", "triple", ""]),
    value=st.one_of(
        st.sampled_from(
            [f"{ENTITY}Q900000001", REF, "Q900000001", f"{ENTITY}Q4917", "P2142", "5", "-1", "2020-01-01T0"]
        ),
        st.text(max_size=30),
        st.decimals().map(str),
    ),
)
COLUMNS = st.sampled_from(
    ["film", "keys", "property", "statement", "rank", "amount", "unit", "place", "aspect", "time", "more"]
)
ROWS = st.lists(st.dictionaries(COLUMNS, TERMS, max_size=11).map(lambda columns: stated() | columns), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["results", "bindings", "film", "type", "value"]), inner)
    ),
    max_leaves=20,
)


@given(ROWS | JSON)
@example([stated("1e400")])
@example({"results": {"bindings": [stated(time=literal("9999-99-99T"))]}})
def test_whatever_comes_is_figures_that_can_be_stored_or_a_malformed_answer(told: Any) -> None:
    body = (
        json.dumps(told).encode()
        if not isinstance(told, list)
        else json.dumps({"results": {"bindings": told}}).encode()
    )
    try:
        items = read_items(body, KEYS)
    except MalformedAnswer:
        return
    for item in items:
        assert item.keys <= KEYS
        for found in figures_of(item, TODAY):
            assert 0 < found["amount"] < 10**16  # type: ignore[operator]
            assert found["amount"].as_tuple().exponent == -2  # type: ignore[attr-defined]
            assert found["measure"] in ("gross", "production_budget")
            assert len(str(found["currency"])) == 3
            assert str(found["source_ref"]).startswith(f"{ENTITY}statement/")
            assert found["as_of"] is None or found["as_of"] <= TODAY  # type: ignore[operator]
