"""Single values of the APIs, as written there and as stored here."""

import locale
import math
from collections.abc import Callable
from datetime import date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR, release_year
from ayne_dagster.sources import values
from ayne_dagster.sources.omdb.models import OMDbMovie
from ayne_dagster.sources.omdb.normalize import LONG as OMDB_LONG
from ayne_dagster.sources.omdb.normalize import ratings_row
from ayne_dagster.sources.tmdb.models import DiscoverItem, MovieDetails
from ayne_dagster.sources.tmdb.normalize import LONG as TMDB_LONG
from ayne_dagster.sources.tmdb.normalize import details_row, discovered_row
from ayne_dagster.sources.values import (
    BIGINT_MAX,
    INTEGER_MAX,
    LONGEST_NAME,
    LONGEST_TEXT,
    MOST_ITEMS,
    MOST_LISTED,
    bounded,
    end_year,
    text,
)

from .test_json_body import JSON_VALUES

NOTHING = [None, "", " ", "N/A", "abc", True, False, [], {}, [1], {"a": 1}, math.nan, math.inf, -math.inf]


def check(parse: Callable[[object], object], written: object, stored: object) -> None:
    read = parse(written)
    assert read == stored
    assert type(read) is type(stored)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("Amélie", "Amélie"),
        ("  two\nlines\t", "two\nlines"),
        ("", None),
        (" \u00a0", None),
        (" N/A ", "N/A"),
        ("n/a", "n/a"),
        ("None", "None"),
        ("\x00", None),
        ("a\x80b\x9b31mc\x9fd", "ab31mcd"),
        ("one\x85two\u2028three\u2029four", "one\ntwo\nthree\nfour"),
        ("\ufeffa\u202eb\u202cc\u2066d\u2069e\u206a", "abcde"),
        ("a\ufffeb\uffffc\ufdd0d\U0001ffffe\ufffbf\U000e0041g", "abcdefg"),
        ("\u200b\u2060\u200d", None),
        ("क्\u200dष می\u200cخواهم \u200eABC\u200f a\u00adb", "क्\u200dष می\u200cخواهم \u200eABC\u200f a\u00adb"),
        ("a\x00b\x08c\x1ad", "abcd"),
        ("\ud800x", "�x"),
        ("x\udc00", "x�"),
        ("👩‍👩‍👧", "👩‍👩‍👧"),
        (1917, "1917"),
        (8.3, "8.3"),
        (10**400, None),
        (math.nan, None),
        (math.inf, None),
        (True, None),
        (None, None),
        (["x"], None),
    ],
)
def test_a_text_is_clean_or_unknown(written: object, stored: str | None) -> None:
    check(values.text, written, stored)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        (5, 5),
        ("2,757,076", 2757076),
        (" 12\u00a0345 ", 12345),
        (120.0, 120),
        ("120.9", 120),
        (0, None),
        ("0", None),
        (0.5, None),
        (-3, None),
        ("-3", None),
        (BIGINT_MAX, BIGINT_MAX),
        (BIGINT_MAX + 1, None),
        (1e300, None),
        ("9" * 5000, None),
        ("١٢", None),
        *((value, None) for value in NOTHING),
    ],
)
def test_a_positive_number_is_whole_and_fits_or_is_unknown(written: object, stored: int | None) -> None:
    check(values.positive_int, written, stored)


def test_a_number_too_large_for_an_integer_column_is_unknown() -> None:
    assert INTEGER_MAX == 2_147_483_647
    assert values.positive_int(INTEGER_MAX, INTEGER_MAX) == INTEGER_MAX
    assert values.positive_int(INTEGER_MAX + 1, INTEGER_MAX) is None


def test_a_count_of_zero_is_known() -> None:
    assert values.count(0) == 0
    assert values.count("0") == 0


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("$389,804,217", 389804217),
        ("$292.6M", 292600000),
        ("$1.2B", 1200000000),
        ("$300K", 300000),
        ("$300k", 300000),
        ("$1.1 million", 1100000),
        ("$2 Billion", 2000000000),
        ("$5 thousand", 5000),
        ("US$ 1,000", 1000),
        ("1,234.56", 1234),
        (2923706026, 2923706026),
        ("$0", None),
        (0, None),
        ("$0.4", None),
        ("-$5", None),
        ("$-5", None),
        (-5, None),
        ("£1,000", None),
        ("$9999999999B", None),
        ("$", None),
        ("M", None),
        ("$5 a ticket", None),
        *((value, None) for value in NOTHING),
    ],
)
def test_money_is_whole_dollars_or_unknown(written: object, stored: int | None) -> None:
    check(values.money, written, stored)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("1999-10-15", date(1999, 10, 15)),
        ("1993-07-08T00:00:00.000Z", date(1993, 7, 8)),
        ("2023-04-08 16:35:05 UTC", date(2023, 4, 8)),
        (datetime(2023, 4, 8, 12), date(2023, 4, 8)),  # noqa: DTZ001
        (date(2023, 4, 8), date(2023, 4, 8)),
        ("0000-00-00", None),
        ("2023-02-29", None),
        ("2024-02-29", date(2024, 2, 29)),
        ("1999-10", None),
        ("1999", None),
        ("19991015", None),
        ("1999-10-151", None),
        ("1999/10/15", None),
        ("１９９９-10-15", None),
        (19991015, None),
        *((value, None) for value in NOTHING),
    ],
)
def test_an_iso_date_is_a_day_or_unknown(written: object, stored: date | None) -> None:
    check(values.iso_date, written, stored)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("02 Feb 1972", date(1972, 2, 2)),
        ("2 February 1972", date(1972, 2, 2)),
        (" 31 DEC 2019 ", date(2019, 12, 31)),
        ("31 Feb 1972", None),
        ("02 Mai 1972", None),
        ("Feb 1972", None),
        ("1972", None),
        ("1972-02-02", date(1972, 2, 2)),
        ("1972-02-02T00:00:00.000Z", date(1972, 2, 2)),
        ("Feb 2, 1972", date(1972, 2, 2)),
        ("February 2nd, 1972", date(1972, 2, 2)),
        ("Sept. 12 1972", date(1972, 9, 12)),
        ("02-Feb-1972", date(1972, 2, 2)),
        ("2. February 1972", date(1972, 2, 2)),
        ("02/03/1972", None),
        ("19720202", None),
        ("Februbry 2, 1972", None),
        ("01 Jan 0001", None),
        ("0001-01-01", None),
        *((value, None) for value in NOTHING),
    ],
)
def test_omdbs_date_is_a_day_or_unknown(written: object, stored: date | None) -> None:
    check(values.omdb_date, written, stored)


@pytest.mark.parametrize("month", range(1, 13))
def test_every_english_month_is_known_in_any_locale(month: int) -> None:
    names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    before = locale.setlocale(locale.LC_TIME)
    try:
        for name in ("C", "de_DE.UTF-8", "fr_FR.UTF-8"):
            try:
                locale.setlocale(locale.LC_TIME, name)
            except locale.Error:
                continue  # not installed here
            assert values.omdb_date(f"05 {names[month - 1]} 2001") == date(2001, month, 5)
    finally:
        locale.setlocale(locale.LC_TIME, before)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("136 min", 136),
        ("136", 136),
        (136, 136),
        ("1 h 36 min", 96),
        ("1h 36m", 96),
        ("2 h", 120),
        ("1 hr 5 mins", 65),
        ("2 hours 5 minutes", 125),
        ("1,440 min", 1440),
        ("0 min", None),
        ("min", None),
        ("S min", None),
        ("-5 min", None),
        (0, None),
        *((value, None) for value in NOTHING),
    ],
)
def test_minutes_are_counted_or_unknown(written: object, stored: int | None) -> None:
    check(values.minutes, written, stored)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("90%", 90),
        ("0%", 0),
        ("100 %", 100),
        ("101%", None),
        ("-1%", None),
        ("90", None),
        *((value, None) for value in NOTHING),
    ],
)
def test_a_percentage_is_from_0_to_100_or_unknown(written: object, stored: int | None) -> None:
    check(values.percent, written, stored)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("80/100", 80),
        ("80", 80),
        (80, 80),
        ("0", 0),
        ("101", None),
        ("80/10", None),
        ("8.3", None),
        *((value, None) for value in NOTHING),
    ],
)
def test_a_score_is_from_0_to_100_or_unknown(written: object, stored: int | None) -> None:
    check(values.score, written, stored)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("8.3/10", 8.3),
        ("8.3", 8.3),
        (8.3, 8.3),
        ("10", 10.0),
        (0, 0.0),
        ("10.1", None),
        (-0.1, None),
        ("83/100", None),
        *((value, None) for value in NOTHING),
    ],
)
def test_a_rating_is_from_0_to_10_or_unknown(written: object, stored: float | None) -> None:
    check(values.out_of_ten, written, stored)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("1999", 1999),
        (1999, 1999),
        ("2010–2014", 2010),
        ("2010–", 2010),
        ("2010-2014", 2010),
        (str(FIRST_YEAR), FIRST_YEAR),
        (str(FIRST_YEAR - 1), None),
        (str(LAST_YEAR + 1), None),
        ("19990", None),
        ("–2010", None),
        *((value, None) for value in NOTHING),
    ],
)
def test_the_first_year_counts_or_is_unknown(written: object, stored: int | None) -> None:
    check(values.year, written, stored)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("2004–2010", 2010),
        ("2004-2010", 2010),
        ("2004—2010", 2010),
        ("2004–2004", 2004),
        ("2010–2004", None),
        ("2010–", None),
        ("2010", None),
        (f"2010–{LAST_YEAR + 1}", None),
        ("2004–2010x", None),
        *((value, None) for value in NOTHING),
    ],
)
def test_the_last_year_of_a_span_counts_or_is_unknown(written: object, stored: int | None) -> None:
    assert end_year(written) == stored


@pytest.mark.parametrize("unknown", ["N/A", " n/a ", "N/a", "", None, "\x00N/A\x9f"])
def test_omdbs_word_for_unknown_is_unknown_to_it_alone(unknown: object) -> None:
    assert values.omdb_text(unknown) is None
    assert values.omdb_text("N/A Productions") == "N/A Productions"


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("1.234.567", 1_234_567),
        ("1 234 567", 1_234_567),
        ("1\u202f234", 1_234),
        ("1'234'567", 1_234_567),
        ("12,34,567", 1_234_567),
        ("1,234.9", 1_234),
        ("1.234", None),
        ("1,5", None),
        ("12,34", None),
        ("1,2345", None),
        ("1.234,56", None),
        ("12 34", None),
        ("1,234 567", None),
        ("1e6", None),
        ("+5", None),
    ],
)
def test_a_number_is_read_where_there_is_no_doubt_what_groups_its_digits(written: str, stored: int | None) -> None:
    check(values.count, written, stored)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("USD 5", 5),
        ("US$ 1,234,567", 1_234_567),
        ("1,234,567 USD", 1_234_567),
        ("$ 1 234 567", 1_234_567),
        ("$1.234 million", 1_234_000),
        ("$1.5 million", 1_500_000),
        ("£1,000", None),
        ("CA$1,000", None),
        ("A$5", None),
        ("1,000 €", None),
        ("$1.234", None),
        ("$1,5", None),
        ("$1,000 (est.)", None),
        ("-$5", None),
        ("$", None),
    ],
)
def test_money_of_other_currencies_or_in_doubtful_digits_is_unknown(written: str, stored: int | None) -> None:
    check(values.money, written, stored)


@pytest.mark.parametrize(
    ("written", "stored"),
    [("1h 36min", 96), ("PT2H16M", 136), ("PT96M", 96), ("1h36", 96), ("96 min, 101 min", None), ("1:36", None)],
)
def test_minutes_in_other_forms(written: str, stored: int | None) -> None:
    check(values.minutes, written, stored)


@pytest.mark.parametrize(("written", "stored"), [("8,3/10", 8.3), ("8,3", 8.3), ("83", None), ("8.3/5", None)])
def test_a_rating_with_a_decimal_comma_is_one(written: str, stored: float | None) -> None:
    check(values.out_of_ten, written, stored)


@pytest.mark.parametrize(
    ("written", "stored"), [(12.5, 12.5), (0, 0.0), (-1.0, None), (1e300, None), (math.inf, None), (True, None)]
)
def test_a_popularity_is_no_absurd_number(written: object, stored: float | None) -> None:
    check(values.popularity, written, stored)


def test_names_keep_their_order_and_lose_repetitions_and_blanks() -> None:
    assert values.names(["b", " a", "", None, "N/A", "b", "c"]) == ["b", "a", "N/A", "c"]
    assert values.names([]) is None
    assert values.names(["", None, {}]) is None


def test_comma_separated_names_are_split() -> None:
    assert values.comma_separated("Action, Drama,  Action,") == ["Action", "Drama"]
    assert values.comma_separated("N/A") is None
    assert values.comma_separated("N/A, Drama") == ["Drama"]
    assert values.comma_separated(None) is None


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("tt0137523", "tt0137523"),
        (" TT0137523 ", "tt0137523"),
        ("tt10872600", "tt10872600"),
        ("tt1234567890", "tt1234567890"),
        ("tt12345678901", None),
        ("tt013752", None),
        ("tt000137523", "tt0137523"),
        ("nm0000001", None),
        ("0137523", None),
        ("tt0137523\n?", None),
        ("tt٠١٣٧٥٢٣", None),
        *((value, None) for value in NOTHING),
    ],
)
def test_an_imdb_id_is_tt_and_digits_or_unknown(written: object, stored: str | None) -> None:
    check(values.imdb_id, written, stored)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("Q190050", "Q190050"),
        ("q5", "Q5"),
        ("Q0", None),
        ("P345", None),
        *((value, None) for value in NOTHING),
    ],
)
def test_a_wikidata_id_is_q_and_digits_or_unknown(written: object, stored: str | None) -> None:
    check(values.wikidata_id, written, stored)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        (1, 1.0),
        (1.5, 1.5),
        ("1.5", 1.5),
        (-2.0, -2.0),
        ("nan", None),
        ("1e999", None),
        (10**400, None),
        *((value, None) for value in NOTHING),
    ],
)
def test_a_float_is_finite_or_unknown(written: object, stored: float | None) -> None:
    check(values.finite, written, stored)


@pytest.mark.parametrize(
    ("released", "year"),
    [
        (None, "unknown"),
        (date(1999, 10, 15), "1999"),
        (date(FIRST_YEAR, 1, 1), "1874"),
        (date(FIRST_YEAR - 1, 12, 31), "unknown"),
        (date(LAST_YEAR, 12, 31), "2035"),
        (date(LAST_YEAR + 1, 1, 1), "unknown"),
        (date(1, 1, 1), "unknown"),
    ],
)
def test_the_release_year_is_a_partition(released: date | None, year: str) -> None:
    assert release_year(released) == year


PARSERS = [
    values.text,
    values.count,
    values.positive_int,
    values.finite,
    values.money,
    values.iso_date,
    values.omdb_date,
    values.minutes,
    values.percent,
    values.score,
    values.out_of_ten,
    values.year,
    values.comma_separated,
    values.imdb_id,
    values.wikidata_id,
]
TEXTS = st.text(st.characters(), max_size=30) | st.text("0123456789.,$%/-–: hminKMBT\ud800\x00", max_size=20)


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@settings(deadline=None)
@given(value=JSON_VALUES | TEXTS | st.integers(-(10**400), 10**400))
def test_no_value_makes_a_parser_raise_or_return_what_cannot_be_stored(
    parse: Callable[[object], object], value: object
) -> None:
    match parse(value):
        case None | bool() | date():
            pass
        case str() as text:
            assert text == text.strip() != ""
            assert "\x00" not in text
            text.encode()
        case int() as number:
            assert 0 <= number <= BIGINT_MAX
        case float() as number:
            assert math.isfinite(number)
        case list() as items:
            assert items
            assert all(isinstance(item, str) and item for item in items)
        case other:
            pytest.fail(f"unexpected {other!r}")


# Lengths


def test_a_text_is_cut_at_its_length_and_says_so() -> None:
    assert text("a" * LONGEST_TEXT) == "a" * LONGEST_TEXT
    cut_text = text("a" * (LONGEST_TEXT + 1))
    assert cut_text is not None
    assert (len(cut_text), cut_text[-2:]) == (LONGEST_TEXT, "a…")
    assert text("a" * 9_500_000) == cut_text


def test_a_row_is_bounded_column_by_column() -> None:
    long = "a" * 5_000
    row = {
        "title": long,
        "overview": long,
        "homepage": long,
        "poster": "p" * 1_500,
        "genres": [long] * 600,
        "genre_ids": list(range(600)),
        "runtime": 7,
    }
    bounded(row, long=("overview",), addresses=("homepage", "poster"))
    assert row["title"] == "a" * (LONGEST_NAME - 1) + "…"
    assert (row["overview"], row["homepage"], row["poster"]) == (long, None, "p" * 1_500)
    assert row["genres"] == ["a" * (LONGEST_NAME - 1) + "…"] * (MOST_LISTED // LONGEST_NAME)
    assert row["genre_ids"] == list(range(MOST_ITEMS))


HUGE = "x" * 9_000_000


def test_no_row_of_any_source_is_larger_than_its_columns_allow() -> None:
    names = [{"name": f"{n}{HUGE}"} for n in range(2)] + [{"name": f"{n}"} for n in range(5_000)]
    crew = [{"name": f"{n}", "job": "Director"} for n in range(5_000)]
    texts = dict.fromkeys(("title", "original_title", "overview", "tagline", "homepage", "status", "poster_path"), HUGE)
    lists = {"genres": names, "production_companies": names, "keywords": {"keywords": names}, "credits": {"crew": crew}}
    tmdb = details_row(MovieDetails.model_validate({"id": 1, **texts, **lists, "origin_country": [HUGE] * 3}))
    listed = discovered_row(DiscoverItem.model_validate({"id": 1, **texts, "genre_ids": list(range(1, 5_000))}))
    words = ("Title", "Rated", "Writer", "Plot", "Awards", "Poster", "Production", "Website", "Type")
    body = dict.fromkeys(words, HUGE) | {"Actors": "a, " * 100_000 + HUGE, "imdbID": "tt0137523"}
    omdb = ratings_row(OMDbMovie.model_validate(body), 1, "1999")
    for row, long in ((tmdb, TMDB_LONG), (listed, ()), (omdb, OMDB_LONG)):
        for name, value in row.items():
            texts_of = value if isinstance(value, list) else [value]
            assert len(texts_of) <= MOST_ITEMS, name
            assert max(len(str(item)) for item in texts_of) <= (LONGEST_TEXT if name in long else LONGEST_NAME), name
        listed_characters = sum(len(str(item)) for value in row.values() if isinstance(value, list) for item in value)
        assert listed_characters <= MOST_LISTED


def test_lists_of_long_names_share_the_room_of_a_row_and_those_without_room_are_unknown() -> None:
    long = [f"{n:0900}" for n in range(400)]
    row: dict[str, object] = {
        "genres": ["Drama"],
        "keywords": long,
        "directors": ["Ida"],
        "actors": long,
        "ids": [1, 2],
    }
    found = bounded(dict(row), long=(), addresses=())
    assert found == row | {"keywords": long[:22], "actors": None}
    real = [f"a keyword of {n}" for n in range(450)]
    assert bounded({"keywords": list(real)}, long=(), addresses=()) == {"keywords": real}
