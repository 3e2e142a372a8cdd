"""What a single value of an API's answer means: numbers, dates, texts and ids as the warehouse stores them.

Pure functions from any JSON value to a clean value or None, where None is "unknown". They never raise,
whatever they are given. Which field holds what is in each source's `normalize.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR
from ayne_dagster.refresh.learning import HIGHEST_POPULARITY

INTEGER_MAX = 2**31 - 1
"""Largest value of a DuckDB INTEGER."""

BIGINT_MAX = 2**63 - 1
"""Largest value of a DuckDB BIGINT."""

LONGEST_TEXT = 20_000
"""Characters of an overview or a plot: TMDB allows 1,000 and real ones are shorter, a text of megabytes is a fault."""

LONGEST_NAME = 1_000
"""Characters of any other text and of the items of a list."""

LONGEST_ADDRESS = 2_000
"""Characters of an address; a longer one is unknown, since the part of an address leads nowhere."""

MOST_ITEMS = 500
"""Items of a list."""

MOST_LISTED = 20_000
"""Characters of the lists of a row, all of them together; real ones have less than 10,000. With nine lists as long as
they may be, a row would have 4 million, and what is written is held in memory, with its neighbours in the table."""

MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)

_NO_TEXT: dict[int, str | None] = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0))),  # control characters: a terminal obeys U+009B as it does ESC [
    **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x2070))),  # they turn the text around them
    **dict.fromkeys((0xFEFF, *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080))),  # byte order mark, annotations, tags
    **dict.fromkeys((*range(0xFDD0, 0xFDF0), *(plane + last for plane in range(0, 0x110000, 0x10000)
                                               for last in (0xFFFE, 0xFFFF)))),  # no characters
    **dict.fromkeys((0x85, 0x2028, 0x2029), "\n"),  # line breaks of other systems
}  # fmt: skip
for _kept in "\t\n\r":
    del _NO_TEXT[ord(_kept)]
_BLANKS = " \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}"
_WITHOUT_BLANKS = {ord(c): None for c in _BLANKS}
_POWERS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}

# Digits are spelt [0-9]: \d also takes those of other scripts.
_NUMBER = re.compile(r"[0-9]{1,19}(?:\.[0-9]{0,30})?")
# Commas in groups of three, or of two as in India; points and others only where there is no doubt that they group.
_GROUPED = re.compile(
    rf"[0-9]{{1,3}}(?:,[0-9]{{2,3}})*,[0-9]{{3}}(?:\.[0-9]{{0,30}})?"
    rf"|[0-9]{{1,3}}(?:\.[0-9]{{3}}){{2,}}|[0-9]{{1,3}}(?:['’][0-9]{{3}})+|[0-9]{{1,3}}(?:[{_BLANKS}][0-9]{{3}})+"
)
_MONEY = re.compile(
    rf"(?:US\$|USD|\$)?[{_BLANKS}]*([0-9][0-9.,'’{_BLANKS}]{{0,60}}?)[{_BLANKS}]*"
    rf"(?:(k|m|b)|thousand|(m)illion|(b)illion)?[{_BLANKS}]*(?:USD)?",
    re.IGNORECASE,
)
_DAY_FIRST = re.compile(r"([0-9]{1,2})[. -]{1,2}([a-z]{3,9})[., -]{1,2}([0-9]{4})", re.IGNORECASE)
_MONTH_FIRST = re.compile(r"([a-z]{3,9})\.? ([0-9]{1,2})(?:st|nd|rd|th)?,? ([0-9]{4})", re.IGNORECASE)
_MINUTES = re.compile(
    r"(?:PT)?(?:([0-9]{1,4})h(?:(?:ou)?rs?)?)?(?:([0-9]{1,6})(?:m|mins?|minutes?)?\.?)?", re.IGNORECASE
)
_PERCENT = re.compile(r"([0-9]{1,3}) ?%")
_SCORE = re.compile(r"([0-9]{1,3})(?: ?/ ?100)?")
_OUT_OF_TEN = re.compile(r"([0-9]{1,2}(?:[.,][0-9]{1,15})?)(?: ?/ ?10)?")
_YEAR = re.compile(r"([0-9]{4})(?![0-9])")
_SPAN = re.compile(r"([0-9]{4}) ?[-\N{EN DASH}\N{EM DASH}] ?([0-9]{4})")
_IMDB_ID = re.compile(r"tt([0-9]{7,10})")
_WIKIDATA_ID = re.compile(r"Q[1-9][0-9]{0,18}")


def text(value: object) -> str | None:
    """A text without the blanks around it; None for "", for what nobody can see and for anything that is no text.

    Dropped are control characters (databases choke on U+0000, terminals obey U+009B, and OMDb sends U+0008, U+001A and
    others: https://github.com/omdbapi/OMDb-API/issues/322), embeddings, overrides and isolates of the direction of
    writing, tags and noncharacters. Joiners, non-joiners and marks of direction stay: Indic, Persian and Hebrew titles
    need them. Line breaks of other systems become U+000A, half of a surrogate pair U+FFFD, a number its digits.
    What is longer than LONGEST_TEXT is cut.
    """
    if not isinstance(value, str):
        return _digits(value)
    if len(value) > LONGEST_TEXT:
        value = cut(value, LONGEST_TEXT)
    if not value.isprintable():  # so are line breaks, which stay
        value = value.translate(_NO_TEXT).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if not any(character.isprintable() and not character.isspace() for character in value):
            return None
    return value.strip() or None


def omdb_text(value: object) -> str | None:
    """As `text`, and None for "N/A", which is how OMDb writes unknown; to TMDB it is a title like others."""
    found = text(value)
    return None if found is None or found.lower() == "n/a" else found


def cut(value: str, longest: int) -> str:
    """A text of at most so many characters, the last of which says where it was cut."""
    return value if len(value) <= longest else value[: longest - 1].rstrip() + "…"


def bounded(row: dict[str, object], *, long: Collection[str], addresses: Collection[str]) -> dict[str, object]:
    """A row whose texts and lists are no longer than they can sensibly be, whatever a source sent.

    Lists share MOST_LISTED characters, in the order of the row; one for which there is no room is unknown.

    Args:
        row: clean values, by column.
        long: columns whose texts may be as long as LONGEST_TEXT; others are cut at LONGEST_NAME.
        addresses: columns that are unknown rather than cut.
    """
    room = MOST_LISTED
    for name, value in row.items():
        if isinstance(value, list):
            kept, room = _fitting(value, room)
            row[name] = kept or None
        elif not isinstance(value, str) or len(value) <= LONGEST_NAME:
            continue
        elif name in addresses:
            row[name] = value if len(value) <= LONGEST_ADDRESS else None
        elif name not in long:
            row[name] = cut(value, LONGEST_NAME)
    return row


def _fitting(items: list[Any], room: int) -> tuple[list[Any], int]:
    """The first items of a list that have room in so many characters, and the room that is left."""
    kept = []
    for item in items[:MOST_ITEMS]:
        if isinstance(item, str):
            item = cut(item, LONGEST_NAME)
            if len(item) > room:
                break
            room -= len(item)
        kept.append(item)
    return kept, room


def count(value: object, maximum: int = BIGINT_MAX) -> int | None:
    """A whole number from 0 to `maximum`, also written "2,757,076" or "2.757.076"; a fraction is cut off.

    None where commas and points may mean either: 1.234 is one or a thousand, by where it was written.
    """
    if isinstance(value, float):
        value = int(value) if math.isfinite(value) else None
    elif isinstance(value, str):
        digits = _plain_digits(value.strip())
        value = int(Decimal(digits)) if digits else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= maximum else None


def positive_int(value: object, maximum: int = BIGINT_MAX) -> int | None:
    """A whole number from 1 to `maximum`, for the fields in which 0 means unknown."""
    return count(value, maximum) or None


def finite(value: object) -> float | None:
    """A floating-point number; None for NaN, infinities and what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def popularity(value: object) -> float | None:
    """TMDB's score of popularity; None for what is none, such as a negative or an absurdly large number."""
    number = finite(value)
    return number if number is not None and 0 <= number <= HIGHEST_POPULARITY else None


def money(value: object) -> int | None:
    """Whole US dollars: "$389,804,217", "USD 5", "$292.6M" (OMDb until about 2016), "$1.2B", "$300K", a plain number.

    None for "$0" (it means unknown), negative amounts and other currencies.
    """
    if not isinstance(value, str):
        return positive_int(value)
    match = _MONEY.fullmatch(value.strip())
    if match is None:
        return None
    unit = (match[2] or match[3] or match[4] or "").lower()
    if "thousand" in value.lower():
        unit = "k"
    digits = _plain_digits(match[1], with_unit=bool(unit))
    return positive_int(int(Decimal(digits) * _POWERS[unit])) if digits else None


def iso_date(value: object) -> date | None:
    """The day of "1999-10-15" or "1993-07-08T00:00:00.000Z"; None for "", "0000-00-00" and impossible days.

    TMDB writes an unknown date as "" (https://github.com/lardbit/nefarious/issues/170) and the dates of the
    `release_dates` resource as timestamps (https://github.com/ChrisKruegerDev/tmdb-kotlin/issues/137).
    """
    if isinstance(value, date):
        return value.date() if isinstance(value, datetime) else value
    if not isinstance(value, str):
        return None
    value = value.strip()
    if value[4:5] != "-" or value[7:8] != "-" or value[10:11] not in ("", "T", " "):
        return None
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None


def omdb_date(value: object) -> date | None:
    """The day of "02 Feb 1972", "Feb 2, 1972" or "1972-02-02"; None where no day is named, and before there were films.

    Months are English whatever the locale of the process, so no strptime. Numbers alone, as 02/03/1972, do not say
    which is the month. Year 1 is what a date that was never set is in .NET.
    """
    found = iso_date(value)
    if found is None and isinstance(value, str):
        if match := _DAY_FIRST.fullmatch(value.strip()):
            found = _date_of(match[3], match[2], match[1])
        elif match := _MONTH_FIRST.fullmatch(value.strip()):
            found = _date_of(match[3], match[1], match[2])
    return found if found is not None and found.year >= FIRST_YEAR else None


def minutes(value: object) -> int | None:
    """Minutes of "136 min", "1 h 36 min", "2h", "PT2H16M" or a plain number; None for 0, which means unknown."""
    if not isinstance(value, str):
        return positive_int(value, INTEGER_MAX)
    match = _MINUTES.fullmatch(value.strip().translate(_WITHOUT_BLANKS | {ord(","): None}))
    return int(match[1] or 0) * 60 + int(match[2] or 0) or None if match else None


def percent(value: object) -> int | None:
    """The number of "90%", 0 to 100; 0 is a real Tomatometer and stays 0."""
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    return count(match[1], 100) if match else None


def score(value: object) -> int | None:
    """Points out of 100: "80/100", "80" or 80."""
    if not isinstance(value, str):
        return count(value, 100)
    match = _SCORE.fullmatch(value.strip())
    return count(match[1], 100) if match else None


def out_of_ten(value: object) -> float | None:
    """A rating from 0 to 10: "8.3/10", "8,3/10", "8.3" or 8.3."""
    if isinstance(value, str):
        match = _OUT_OF_TEN.fullmatch(value.strip())
        value = match[1].replace(",", ".") if match else None
    number = finite(value)
    return number if number is not None and 0 <= number <= 10 else None


def year(value: object) -> int | None:
    """The first year of "1999", "2010–2014" or "2010–" (OMDb's series), from FIRST_YEAR to LAST_YEAR."""
    match = _YEAR.match(text(value) or "")
    return int(match[1]) if match and FIRST_YEAR <= int(match[1]) <= LAST_YEAR else None


def end_year(value: object) -> int | None:
    """The last year of "2004–2010"; None for one year, for "2010–", and for a span that ends before it begins."""
    match = _SPAN.fullmatch(text(value) or "")
    return int(match[2]) if match and FIRST_YEAR <= int(match[1]) <= int(match[2]) <= LAST_YEAR else None


def quoted(words: str, maximum: int) -> str:
    """A source's own words for a message: one line of printable characters, at most so many."""
    return "".join(c for c in " ".join(words.split()) if c.isprintable())[:maximum]


def names(values: Iterable[object]) -> list[str] | None:
    """Clean texts in their order, each once; None when there are none, since an empty list says "unknown"."""
    return list(dict.fromkeys(name for value in values if (name := text(value)))) or None


def comma_separated(value: object) -> list[str] | None:
    """The names in OMDb's "Action, Drama"."""
    return names(omdb_text(name) for name in (text(value) or "").split(","))


def imdb_id(value: object) -> str | None:
    """An IMDb title id: tt and 7 to 10 digits. None for anything else, such as a person's nm0000001.

    Superfluous zeros are dropped, so that the same title always has the same id: tt00137523 is tt0137523.
    """
    match = _IMDB_ID.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    return f"tt{int(match[1]):07}" if match else None


def wikidata_id(value: object) -> str | None:
    """A Wikidata item id: Q and digits."""
    if not isinstance(value, str):
        return None
    value = value.strip().upper()
    return value if _WIKIDATA_ID.fullmatch(value) else None


def _plain_digits(written: str, *, with_unit: bool = False) -> str | None:
    """A number as it would be computed with; None for what is none, or can mean two numbers.

    Args:
        written: as it was written.
        with_unit: a unit follows, as in "1.234 million": then a point is a decimal point.
    """
    if _GROUPED.fullmatch(written):
        keeps_point = "," in written
        return "".join(c for c in written if c.isdigit() or (keeps_point and c == "."))
    if not _NUMBER.fullmatch(written) or (not with_unit and len(written.partition(".")[2]) == 3):
        return None
    return written


def _date_of(year_of: str, month: str, day: str) -> date | None:
    """A date with an English month, in full or as its first letters; None for one that does not exist."""
    numbers = [number for number, name in enumerate(MONTHS, start=1) if name.startswith(month.lower())]
    try:
        return date(int(year_of), numbers[0], int(day)) if numbers else None
    except ValueError:
        return None


def _digits(value: object) -> str | None:
    """A number as a text, unless it is too long to be a name, a year or a rating."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(value) if abs(value) <= BIGINT_MAX else None
