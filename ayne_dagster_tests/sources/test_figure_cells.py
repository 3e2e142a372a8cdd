"""What a cell of a file of figures means: money, years, days, ids and titles, whatever is written there."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR
from ayne_dagster.sources.figure_files import cells, titles
from ayne_dagster.sources.figure_files.cells import MOST_MONEY, Money, UnusableCell, money

CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), st.text(), st.binary(), st.dates(),
    st.text(alphabet="0123456789.,$€() -–' kmKMeE\u00a0US", max_size=20), st.lists(st.integers(), max_size=2),
)  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "amount", "currency"),
    [
        ("$1,234", "1234", "USD"),
        (" $35,000,000 ", "35000000", "USD"),
        ("$2,776,345,279", "2776345279", "USD"),
        ("936.7", "936.70", None),
        ("1,131.60", "1131.60", None),
        ("1131.600", "1131.60", None),
        ("1.2 million", "1200000", None),
        ("$292.6M", "292600000", "USD"),
        ("US$ 1.5bn", "1500000000", "USD"),
        ("$300K", "300000", "USD"),
        ("7.6050762E8", "760507620", None),
        ("1'234'567", "1234567", None),
        ("1 234 567 €", "1234567", "EUR"),
        ("€1.234.567,50", "1234567.50", "EUR"),
        ("12,34,567", "1234567", None),
        ("USD 5", "5", "USD"),
        ("5 EUR", "5", "EUR"),
        ("A$5,000", "5000", "AUD"),
        ("¥2500000000", "2500000000", "JPY"),
        ("\N{NO-BREAK SPACE}$1\N{NO-BREAK SPACE}", "1", "USD"),
        (1234, "1234", None),
        (1234.5, "1234.50", None),
        (Decimal("27797000.00"), "27797000", None),
    ],
    ids=repr,
)
def test_money_is_read_as_it_is_written(cell: object, amount: str, currency: str | None) -> None:
    found = money(cell)
    assert found is not None
    assert (found.amount, found.currency) == (Decimal(amount), currency)


@pytest.mark.parametrize(
    "cell",
    [None, "", " ", "$0", "0", "0.00", 0, 0.0, "-", "–", "n/a", "N/A", "#N/A", "Unknown", "NaN", float("nan"), "\\N"],
    ids=repr,
)
def test_what_stands_for_unknown_is_unknown(cell: object) -> None:
    assert money(cell) is None


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("(1,234)", "negative"),
        ("-5", "negative"),
        ("$-5", "negative"),
        ("−7", "negative"),
        (-5, "negative"),
        ("1.234", "two ways"),
        ("12,34", "no number"),
        ("1,2,3", "no number"),
        ("about 5", "no amount"),
        ("5-6", "no amount"),
        ("5 apples", "no amount"),
        ("€5 GBP", "two currencies"),
        ("99999999999999999999", "larger"),
        ("1e60", "larger"),
        (float("inf"), "no amount"),
        (True, "no amount"),
        (date(2020, 1, 1), "no amount"),
        ("9" * 1000, "no amount"),
    ],
    ids=lambda cell: repr(cell)[:30],
)
def test_what_is_no_money_is_refused_with_the_reason(cell: object, why: str) -> None:
    with pytest.raises(UnusableCell, match=why):
        money(cell)


def test_a_mapping_can_say_which_mark_stands_before_decimals() -> None:
    assert money("1.234", decimal_mark=".") == Money(Decimal("1.23"))
    assert money("1.234", decimal_mark=",") == Money(Decimal(1234))
    assert money("12,34", decimal_mark=",") == Money(Decimal("12.34"))


def test_an_amount_in_words_knows_its_own_unit() -> None:
    assert money("3 million") == Money(Decimal(3_000_000), in_words=True)


@given(CELLS, st.sampled_from((None, ".", ",")))
def test_whatever_a_cell_holds_it_is_money_unknown_or_refused(cell: Any, mark: str | None) -> None:
    try:
        found = money(cell, decimal_mark=mark)
    except UnusableCell:
        return
    assert found is None or 0 < found.amount < MOST_MONEY
    assert found is None or found.amount == round(found.amount, 2)


@given(st.integers(1, 10**12), st.sampled_from(("${:,}", " ${:,} ", "{:,}", "{}", "USD {:,}", "{}.00", "{:,} USD")))
def test_money_in_any_of_the_usual_spellings_is_the_amount(amount: int, spelling: str) -> None:
    found = money(spelling.format(amount))
    assert found is not None
    assert found.amount == amount


@pytest.mark.parametrize(
    ("cell", "day", "year"),
    [
        ("Dec 9, 2022", date(2022, 12, 9), 2022),
        ("2009-12-18", date(2009, 12, 18), 2009),
        ("November 12th, 2008 (Limited)", date(2008, 11, 12), 2008),
        ("9 December 2022", date(2022, 12, 9), 2022),
        (date(1999, 10, 15), date(1999, 10, 15), 1999),
        (datetime(1999, 10, 15, 3), date(1999, 10, 15), 1999),  # noqa: DTZ001 -- as Parquet has them
        ("2009", None, 2009),
        (2009, None, 2009),
        (2009.0, None, 2009),
        ("12/18/2009", None, 2009),
        ("31.12.2010", None, 2010),
        ("02-03-1972", None, 1972),
        ("Unknown", None, None),
        ("", None, None),
        ("18-Dec-09", None, 2009),
        ("19-Dec-97", None, 1997),
        ("12/18/09", None, 2009),
        ("31-Dec-35", None, 2035),
        ("31-Dec-36", None, 1936),
        ("09-12-18", None, None),
        ("Dec-09", None, None),
        ("0000-00-00", None, None),
        ("1/2-2009", None, None),
        ("1700", None, None),
        (None, None, None),
        (True, None, None),
    ],
    ids=repr,
)
def test_days_and_years_are_read_where_they_are_certain(cell: object, day: date | None, year: int | None) -> None:
    assert (cells.day(cell), cells.year(cell)) == (day, year)


@given(CELLS)
def test_whatever_a_cell_holds_no_date_id_or_title_fails(cell: Any) -> None:
    year = cells.year(cell)
    assert year is None or FIRST_YEAR <= year <= LAST_YEAR
    day = cells.day(cell)
    assert day is None or type(day) is date
    assert (cells.imdb_id(cell) or "tt").startswith("tt")
    assert (cells.tmdb_id(cell) or 1) > 0
    title = titles.title(cell)
    assert title is None or (title.strip() and "\n" not in title and title.encode())


@pytest.mark.parametrize(
    ("cell", "title"),
    [
        ("AmÃ©lie", "Amélie"),
        ("BoÃ®te noire", "Boîte noire"),
        ("Donâ€™t Look", "Don’t Look"),
        ("Don\u00e2\u0080\u0099t Look", "Don’t Look"),
        ("2Â½ Men", "2½ Men"),
        ("Ã  Paris", "à Paris"),
        ("åä¸åå°", "åä¸åå°"),
        ("F&uuml;r &amp; wider", "Für & wider"),
        ("Amélie", "Amélie"),
        ("  The\n Long  Way ", "The Long Way"),
        ("千と千尋の神隠し", "千と千尋の神隠し"),
        ("Unknown", "Unknown"),
        ("$", "$"),
        (300, "300"),
        ("", None),
        ("N/A", None),
        (None, None),
        (float("nan"), None),
        (b"Heat", None),
    ],
    ids=repr,
)
def test_titles_are_mended_and_nothing_else_is_changed(cell: object, title: str | None) -> None:
    assert titles.title(cell) == title


def test_a_year_in_brackets_behind_a_title_is_its_year() -> None:
    assert titles.year_behind("Heat (1995)") == ("Heat", 1995)
    assert titles.year_behind("Heat [1995]") == ("Heat", 1995)
    assert titles.year_behind("Blade Runner (9999)") == ("Blade Runner (9999)", None)
    assert titles.year_behind("1984") == ("1984", None)


def test_a_title_in_brackets_is_another_title_unless_it_tells_of_a_part_or_a_run() -> None:
    assert titles.other_titles("A Prophet (Un prophète)") == ("A Prophet", "Un prophète")
    for alone in ("Heat", "Heat (1995)", "Halloween (Part Two)", "Grease (Sing-a-Long re-issue)", "(Heat)", "Heat ()"):
        assert titles.other_titles(alone) == ()


def test_ids_are_read_from_numbers_and_addresses() -> None:
    assert cells.imdb_id("http://www.imdb.com/title/tt0137523/") == "tt0137523"
    assert cells.imdb_id("137523") == cells.imdb_id(137523.0) == "tt0137523"
    assert cells.imdb_id("nm0000001") is None
    assert cells.tmdb_id("https://www.themoviedb.org/movie/603-the-matrix") == cells.tmdb_id("603.0") == 603
    assert cells.tmdb_id("0") is None
