"""From Wikidata's statements about an item to rows of figures. No HTTP; which figure is shown is chosen elsewhere.

Statements as they stand are no box office: a currency is a unit that has to be read, a place says whose box office it
is, and without one it is the domestic figure as often as not (so that is `unspecified`, and never taken for worldwide).
"""

from __future__ import annotations

import re
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

from ayne_dagster.partitions import FIRST_YEAR
from ayne_dagster.sources.values import iso_date
from ayne_dagster.sources.wikidata.models import ENTITY, Item, Statement
from ayne_dagster.sources.wikidata.places_and_units import (
    COUNTRIES,
    CURRENCIES,
    NO_CURRENCY,
    NO_UNIT,
    UNITED_STATES,
    WORLDWIDE,
)

SOURCE = "wikidata"
MEASURES = {"P2142": "gross", "P2130": "production_budget", "P2769": "production_budget"}
"""By property; `budget` is used for `cost` now and then."""
FLOORS = {"gross": 10_000, "production_budget": 1_000}
"""US dollars; less is mostly a figure in millions whose millions were left out."""
CEILINGS = {"gross": 5_000_000_000, "production_budget": 1_000_000_000}
"""US dollars; no film has had more, and more is mostly another currency's figure."""
LARGEST = Decimal(10) ** 16
"""DECIMAL(18,2) ends below it."""
_CENT = Decimal("0.01")
_AMOUNT = re.compile(r"\+?([0-9]{1,40}(?:\.[0-9]{0,40})?)")

Figure = dict[str, object]
"""A row: source, measure, scope, currency, source_ref, amount, as_of, preferred, suspect."""


def figures_of(item: Item, today: date) -> tuple[Figure, ...]:
    """What an item states of its film's money, in the order of measure, scope, currency and statement.

    Left out are statements that are deprecated, have no known value, or none above zero.

    Args:
        item: as read.
        today: by the platform's clock; a date beyond it is no day for which a figure can hold.
    """
    rows = (_figure(statement, today) for statement in item.statements.values())
    return tuple(sorted((row for row in rows if row), key=_order))


def _order(row: Figure) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("measure", "scope", "currency", "source_ref"))


def _figure(statement: Statement, today: date) -> Figure | None:
    measure, amount = MEASURES.get(statement.property), _amount(statement.amounts)
    if measure is None or amount is None or statement.rank.endswith("#DeprecatedRank"):
        return None
    unit = _item(next(iter(statement.units))) if len(statement.units) == 1 else None
    currency = CURRENCIES.get(unit or "", NO_CURRENCY)
    return {
        "source": SOURCE,
        "measure": measure,
        "scope": _scope(statement),
        "currency": currency,
        "source_ref": statement.ref,
        "amount": amount,
        "as_of": _as_of(statement.times, today),
        "preferred": statement.rank.endswith("#PreferredRank"),
        "suspect": _suspect(measure, amount, currency, unit),
    }


def _amount(amounts: set[str]) -> Decimal | None:
    """The one number above zero that fits the column; Wikibase writes a plus sign before it, the query service none."""
    match = _AMOUNT.fullmatch(next(iter(amounts))) if len(amounts) == 1 else None
    if match is None:
        return None
    number = Decimal(match[1])
    if number >= LARGEST:
        return None
    number = number.quantize(_CENT, ROUND_HALF_EVEN)
    return number if 0 < number < LARGEST else None


def _scope(statement: Statement) -> str:
    """Whose box office a figure is."""
    if statement.aspects or len(statement.places) > 1:
        return "other"
    if not statement.places:
        return "unspecified"
    place = _item(next(iter(statement.places)))
    if place in WORLDWIDE:
        return "worldwide"
    return "domestic" if place == UNITED_STATES else COUNTRIES.get(place or "", "other")


def _as_of(times: set[str], today: date) -> date | None:
    """The newest day that is stated; a year alone is written as its first of January."""
    days = (iso_date(time) for time in times)
    return max((day for day in days if day is not None and day.year >= FIRST_YEAR and day <= today), default=None)


def _suspect(measure: str, amount: Decimal, currency: str, unit: str | None) -> str | None:
    """Why a figure is doubtful by itself, in a few words."""
    if currency == NO_CURRENCY:
        return "no currency" if unit in (None, NO_UNIT) else f"unit {unit} is no known currency"
    if currency != "USD":
        return None
    if amount < FLOORS[measure]:
        return f"less than {FLOORS[measure]:,} USD"
    return f"more than {CEILINGS[measure]:,} USD" if amount > CEILINGS[measure] else None


def _item(address: str) -> str | None:
    match = ENTITY.fullmatch(address)
    return match[1] if match else None
