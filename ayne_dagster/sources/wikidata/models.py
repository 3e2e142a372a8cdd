"""The shape of Wikidata's answers: rows of a SPARQL result, put together to items and statements. No HTTP, no meaning.

https://www.w3.org/TR/sparql11-results-json/ ; the columns are those of `query.QUERY`. The order of rows, of keys and of
columns means nothing, and what has no value in a row is left out of it. What a statement is worth is in `normalize.py`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from ayne_dagster.sources.errors import MalformedAnswer
from ayne_dagster.sources.json_body import validate_json

ENTITY = re.compile(r"https?://www\.wikidata\.org/entity/(Q[1-9][0-9]{0,18})")
_STATEMENT = re.compile(r"https?://www\.wikidata\.org/entity/statement/[A-Za-z0-9$-]{3,120}")
_LITERALS = ("literal", "typed-literal")


class Term(BaseModel):
    """A value in a row."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    type: str
    """uri, literal or bnode."""
    value: str


class _Rows(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    bindings: list[dict[str, Term]]


class SparqlResult(BaseModel):
    """An answer as a whole. Nothing in it may be of another shape: machines write it, and a part is no answer."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    results: _Rows


@dataclass
class Statement:
    """A statement, as Wikidata has it."""

    ref: str
    """Its address."""
    property: str
    """P2142, P2130 or P2769."""
    rank: str = ""
    amounts: set[str] = field(default_factory=set)
    """The number; more than one is a fault, none an unknown value."""
    units: set[str] = field(default_factory=set)
    """Addresses of the items that are its unit."""
    places: set[str] = field(default_factory=set)
    """Addresses of where it holds, or whatever stands for an unknown place."""
    aspects: set[str] = field(default_factory=set)
    """What else narrows it down."""
    times: set[str] = field(default_factory=set)


@dataclass
class Item:
    """An item that one of the keys led to."""

    wikidata_id: str
    keys: set[str] = field(default_factory=set)
    """The keys that led to it."""
    statements: dict[str, Statement] = field(default_factory=dict)
    """By address."""

    @property
    def number(self) -> int:
        """The older of two has the smaller one."""
        return int(self.wikidata_id[1:])


def read_items(body: bytes, asked: Collection[str]) -> list[Item]:
    """The items of an answer, by their numbers.

    Args:
        body: as received.
        asked: the keys that were asked for.

    Raises:
        MalformedAnswer: it is no SPARQL result, lacks what each row must have, or answers another question.
    """
    asked = frozenset(asked)
    items: dict[str, Item] = {}
    for row in validate_json(SparqlResult, body).results.bindings:
        match = ENTITY.fullmatch(_value(row.get("film"), ("uri",)) or "")
        keys = asked.intersection((_value(row.get("keys"), _LITERALS) or "").split())
        if match is None:
            raise MalformedAnswer("a row of Wikidata's answer names no item", body)
        if not keys:
            raise MalformedAnswer(f"Wikidata answers about {match[1]}, which was not asked for", body)
        item = items.setdefault(match[1], Item(match[1]))
        item.keys |= keys
        _add_statement(item, row)
    return sorted(items.values(), key=lambda item: item.number)


def by_key(items: Iterable[Item]) -> dict[str, list[Item]]:
    """The items that each key leads to: several where two items are of one film, and one item may have several keys."""
    found: dict[str, list[Item]] = {}
    for item in items:
        for key in item.keys:
            found.setdefault(key, []).append(item)
    return found


def _add_statement(item: Item, row: dict[str, Term]) -> None:
    """Add what a row says of a statement: two places or two times are two rows."""
    ref, name = _value(row.get("statement"), ("uri",)), _value(row.get("property"), _LITERALS)
    if ref is None or name is None or not _STATEMENT.fullmatch(ref):
        return
    statement = item.statements.setdefault(ref, Statement(ref, name))
    statement.rank = _value(row.get("rank"), ("uri",)) or statement.rank
    for kept, column, types in (
        (statement.amounts, "amount", _LITERALS),
        (statement.units, "unit", ("uri",)),
        (statement.times, "time", _LITERALS),
    ):
        if (value := _value(row.get(column), types)) is not None:
            kept.add(value)
    for kept, column in ((statement.places, "place"), (statement.aspects, "aspect")):
        if column in row:  # whatever it is: an unknown place is not no place
            kept.add(row[column].value)


def _value(term: Term | None, types: Collection[str]) -> str | None:
    """The value of a term of one of these types."""
    return term.value if term is not None and term.type in types else None
