"""What a single cell of a file of figures means: money, years, days, ids. Knows no column and no file.

A cell is a text, or what Parquet has instead of one. Functions return None for "unknown", which files write in many
ways, and raise `UnusableCell` for what is neither a value nor unknown; nothing else, whatever they are given.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation

from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR
from ayne_dagster.sources import values

MOST_MONEY = Decimal(10) ** 13
"""No figure of a movie is as large in any currency; what is fits no column either."""
UNKNOWN_CURRENCY = "XXX"
"""As ISO 4217 has it."""
"""ISO 4217's code for no currency."""
_CENT = Decimal("0.01")
_LONGEST_CELL = 200
"""Characters of a number, a date or an id; a title may be longer."""

_UNKNOWN = {
    *("", "-", "--", "–", "—", "?", ".", "..", "...", "…", "\\n", "n/a", "#n/a", "n.a.", "na", "nan", "<na>", "none"),
    *("null", "nil", "unknown", "tbd", "tba", "not available", "not known"),
}
_SYMBOLS = {
    "$": "USD", "us$": "USD", "a$": "AUD", "au$": "AUD", "c$": "CAD", "ca$": "CAD", "nz$": "NZD", "hk$": "HKD",
    "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₩": "KRW", "₽": "RUB",
}  # fmt: skip
_CURRENCY_NAMES = {
    **dict.fromkeys(("dollar", "dollars", "us dollar", "us dollars", "u.s. dollars", "u.s. dollar", "usd$"), "USD"),
    **dict.fromkeys(("euro", "euros"), "EUR"),
    **dict.fromkeys(("pound", "pounds", "pound sterling", "pounds sterling", "sterling"), "GBP"),
    **dict.fromkeys(("yen", "japanese yen"), "JPY"),
    **dict.fromkeys(("rupee", "rupees", "indian rupee", "indian rupees"), "INR"),
}
_UNITS = {
    **dict.fromkeys(("k", "thousand"), Decimal(10) ** 3),
    **dict.fromkeys(("m", "mm", "mn", "mln", "mio", "million", "millions"), Decimal(10) ** 6),
    **dict.fromkeys(("b", "bn", "bln", "billion", "billions"), Decimal(10) ** 9),
}
_CURRENCY = r"(?:us|au?|ca?|nz|hk)?\$|[€£¥₹₩₽]|(?-i:[A-Z]{3})"
_MONEY = re.compile(
    rf"(?P<before>{_CURRENCY})?\s*(?P<number>[0-9][0-9., '’]*?(?:e[+-]?[0-9]{{1,2}})?)"
    rf"\s*(?P<unit>{'|'.join(sorted(_UNITS, key=len, reverse=True))})?\s*(?P<after>{_CURRENCY})?",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(rf"\(.*[0-9].*\)|(?:{_CURRENCY})?\s*[-−–]\s*(?:{_CURRENCY})?\s*[0-9].*", re.IGNORECASE)
_PLAIN = re.compile(r"[0-9]{1,30}(?:\.[0-9]{0,30})?(?:e[+-]?[0-9]{1,2})?", re.IGNORECASE)
# By the mark before the decimals: what is in front of it in groups of three, or of two as in India.
_GROUPED = {
    ".": re.compile(
        r"[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}(?:\.[0-9]{0,30})?|[0-9]{1,3}(?:[ '’][0-9]{3})+(?:\.[0-9]{0,30})?"
    ),
    ",": re.compile(r"[0-9]{1,3}(?:[. '’][0-9]{3})+(?:,[0-9]{0,30})?|[0-9]{1,30}(?:,[0-9]{0,30})?"),
}
_POINTS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3}){2,}(?:,[0-9]{1,2})?")
_TWO_READINGS = re.compile(r"[0-9]{1,3}\.[0-9]{3}")

_NUMERIC_DATE = re.compile(r"[0-9]{1,2}([/.-])[0-9]{1,2}\1([0-9]{4})")
_SHORT_YEAR = re.compile(
    r"[0-9]{1,2}([ -])[a-z]{3,9}\1([0-9]{2})|[0-9]{1,2}([/.])[0-9]{1,2}\3([0-9]{2})", re.IGNORECASE
)
"""As spreadsheets shorten dates: 18-Dec-09, 12/18/09. Of numbers joined by dashes the year may be the first."""
_BARE_YEAR = re.compile(r"([0-9]{4})(?:\.0+)?")
_REMARK = re.compile(r"\s*\([^()]*\)$")
_IMDB_ADDRESS = re.compile(r"\b(tt[0-9]{7,10})\b", re.IGNORECASE)
_DIGITS = re.compile(r"([0-9]{1,18})(?:\.0+)?")
_TMDB_ADDRESS = re.compile(r"themoviedb\.org/movie/([0-9]{1,18})\b", re.IGNORECASE)


class UnusableCell(ValueError):
    """A cell holds something, and not what it should; `str()` says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount above 0 as a cell states it, to the cent."""

    amount: Decimal
    currency: str | None = None
    """ISO 4217 code, where the cell names one or has its sign."""
    in_words: bool = False
    """The cell names its unit ("1.2 million"): the amount is in whole units whatever the column is in."""


def is_unknown(cell: object) -> bool:
    """Whether a cell says that nothing is known: empty, a dash, "n/a", "Unknown", NaN."""
    if cell is None:
        return True
    if isinstance(cell, float | Decimal):
        return cell.is_nan() if isinstance(cell, Decimal) else math.isnan(cell)
    return isinstance(cell, str) and cell.strip().lower() in _UNKNOWN


def money(cell: object, *, decimal_mark: str | None = None) -> Money | None:
    """The amount of "$1,234", " 35,000,000 ", "1.2 million", "US$ 5", "5 EUR", 1234.5; None for unknown and for 0.

    Where a point may group or part ("1.234") and nobody has said which it does, the cell is of no use.

    Args:
        cell: the cell.
        decimal_mark: what stands before decimals, "." or ","; None where it is not known.

    Raises:
        UnusableCell: it is negative, too large, or no amount.
    """
    if is_unknown(cell):
        return None
    if isinstance(cell, bool) or not isinstance(cell, int | float | Decimal | str):
        raise UnusableCell("is no amount of money")
    if not isinstance(cell, str):
        return _of_number(cell)
    written = " ".join(cell.split())
    if len(written) > _LONGEST_CELL:
        raise UnusableCell("is no amount of money")
    if _NEGATIVE.fullmatch(written):
        raise UnusableCell("is negative")
    match = _MONEY.fullmatch(written)
    if match is None:
        raise UnusableCell("is no amount of money")
    unit = _UNITS[match["unit"].lower()] if match["unit"] else None
    number = _number(match["number"].strip(), decimal_mark, with_unit=unit is not None)
    currencies = {_code(sign) for sign in (match["before"], match["after"]) if sign}
    if len(currencies) > 1 and currencies != {"USD", _code(match["after"] or "$")}:
        raise UnusableCell("names two currencies")
    currency = _code(match["after"] or match["before"]) if currencies else None
    found = _bounded(number * unit if unit else number)
    return None if found is None else Money(found, currency, in_words=unit is not None)


def _of_number(cell: int | float | Decimal) -> Money | None:
    """The amount of a cell that is a number already."""
    try:
        number = Decimal(str(cell)) if isinstance(cell, float) else Decimal(cell)
    except InvalidOperation:
        raise UnusableCell("is no amount of money") from None
    if not number.is_finite():
        raise UnusableCell("is no amount of money")
    if number < 0:
        raise UnusableCell("is negative")
    found = _bounded(number)
    return None if found is None else Money(found)


def _bounded(number: Decimal) -> Decimal | None:
    """An amount to the cent; None for 0, which stands for unknown in every file of figures."""
    if number >= MOST_MONEY:
        raise UnusableCell("is larger than any movie's figure")
    return number.quantize(_CENT) or None


def _number(written: str, decimal_mark: str | None, *, with_unit: bool) -> Decimal:
    """A number as it was written.

    Args:
        written: digits and marks.
        decimal_mark: what stands before decimals, where it is known.
        with_unit: a unit follows, as in "1.234 million": then a point stands before decimals.
    """
    mark = decimal_mark or ("." if with_unit else None)
    if mark == ",":
        if not _GROUPED[","].fullmatch(written):
            raise UnusableCell("is no number with decimals behind a comma")
        return Decimal(re.sub(r"[^0-9,]", "", written).replace(",", "."))
    if mark is None and _TWO_READINGS.fullmatch(written):
        raise UnusableCell("can be read in two ways (a mapping can say `decimal_mark`)")
    if _PLAIN.fullmatch(written):
        return Decimal(written)
    if _GROUPED["."].fullmatch(written):
        return Decimal(re.sub(r"[^0-9.]", "", written))
    if mark is None and _POINTS.fullmatch(written):
        return Decimal(written.replace(".", "").replace(",", "."))
    raise UnusableCell("is no number")


def _code(sign: str) -> str:
    return _SYMBOLS.get(sign.lower(), sign.upper())


def day(cell: object) -> date | None:
    """The day of "2022-12-09", "Dec 9, 2022", "November 12th, 2008 (Limited)", "9 Dec 2022"; None for any other cell.

    Numbers alone, as 02/03/1972, do not say which is the month.
    """
    if isinstance(cell, date):
        found = values.iso_date(cell)
    elif isinstance(cell, str) and len(cell) <= _LONGEST_CELL:
        found = values.omdb_date(_REMARK.sub("", " ".join(cell.split())))
    else:
        return None
    return found if found is not None and FIRST_YEAR <= found.year <= LAST_YEAR else None


def year(cell: object) -> int | None:
    """The year of a date, of numbers like 31/12/2010 in whatever order, or of a bare year; None for any other cell.

    Of two digits, those up to 35 are of this century: 18-Dec-09 is 2009, 19-Dec-97 is 1997.
    """
    if (found := day(cell)) is not None:
        return found.year
    written = str(cell) if isinstance(cell, int | float | Decimal) and not isinstance(cell, bool) else cell
    if not isinstance(written, str) or len(written) > _LONGEST_CELL:
        return None
    written = _REMARK.sub("", " ".join(written.split()))
    if match := _SHORT_YEAR.fullmatch(written):
        short = int(match[2] or match[4])
        return short + (2000 if 2000 + short <= LAST_YEAR else 1900)
    match = _NUMERIC_DATE.fullmatch(written)
    digits = match[2] if match else match[1] if (match := _BARE_YEAR.fullmatch(written)) else None
    return int(digits) if digits and FIRST_YEAR <= int(digits) <= LAST_YEAR else None


def imdb_id(cell: object) -> str | None:
    """An IMDb title id: "tt0137523", an address with it, or its digits alone; None for any other cell."""
    written = _written_id(cell)
    if match := _IMDB_ADDRESS.search(written):
        return values.imdb_id(match[1])
    match = _DIGITS.fullmatch(written)
    return values.imdb_id(f"tt{int(match[1]):07}") if match and int(match[1]) else None


def tmdb_id(cell: object) -> int | None:
    """TMDB's number of a movie: its digits, or an address with them; None for any other cell."""
    written = _written_id(cell)
    match = _DIGITS.fullmatch(written) or _TMDB_ADDRESS.search(written)
    return int(match[1]) or None if match else None


def _written_id(cell: object) -> str:
    if isinstance(cell, bool) or not isinstance(cell, int | float | Decimal | str):
        return ""
    written = str(cell).strip()
    return written if len(written) <= _LONGEST_CELL else ""


def currency_code(named: object) -> str:
    """The code of a currency that a row names by its code, sign or English name; UNKNOWN_CURRENCY for any other."""
    text = named.strip() if isinstance(named, str) else ""
    known = _SYMBOLS.get(text.lower()) or _CURRENCY_NAMES.get(text.lower())
    if known is not None:
        return known
    return text.upper() if len(text) == 3 and text.isascii() and text.isalpha() else UNKNOWN_CURRENCY
