"""The one question that Wikidata's query service is asked here, and how an answer to it is written. Knows no movie.

No query engine: a text that is not the constant one, but for its three lists of keys, is answered as one that cannot be
read. The real thing is tested against a real engine (`test_wikidata_query.py`), and this text against the client's.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ayne_dagster.standin.items import UNKNOWN, Claim, Item

QUESTION = """
PREFIX wd: <http://www.wikidata.org/entity/>
PREFIX wdt: <http://www.wikidata.org/prop/direct/>
PREFIX p: <http://www.wikidata.org/prop/>
PREFIX psv: <http://www.wikidata.org/prop/statement/value/>
PREFIX pq: <http://www.wikidata.org/prop/qualifier/>
PREFIX wikibase: <http://wikiba.se/ontology#>
SELECT ?film ?keys ?property ?statement ?rank ?amount ?unit ?place ?aspect ?time WHERE {
  { SELECT ?film (GROUP_CONCAT(DISTINCT ?key; SEPARATOR=" ") AS ?keys) WHERE {
      { VALUES ?film { } FILTER EXISTS { ?film wdt:P31 ?class } BIND(STRAFTER(STR(?film), "/entity/") AS ?key) }
      UNION { VALUES ?key { } ?film wdt:P345 ?key . }
      UNION { VALUES ?key { } ?film wdt:P4947 ?key . } }
    GROUP BY ?film }
  OPTIONAL {
    { ?film p:P2142 ?statement . ?statement psv:P2142 ?value . BIND("P2142" AS ?property) }
    UNION { ?film p:P2130 ?statement . ?statement psv:P2130 ?value . BIND("P2130" AS ?property) }
    UNION { ?film p:P2769 ?statement . ?statement psv:P2769 ?value . BIND("P2769" AS ?property) }
    ?value wikibase:quantityAmount ?amount .
    ?value wikibase:quantityUnit ?unit .
    ?statement wikibase:rank ?rank .
    FILTER(?rank != wikibase:DeprecatedRank)
    OPTIONAL { ?statement pq:P3005 ?place }
    OPTIONAL { ?statement pq:P291|pq:P459|pq:P518|pq:P1001 ?aspect }
    OPTIONAL { ?statement pq:P585 ?time } } }
"""
"""Its three VALUES lists are empty here."""
COLUMNS = ("film", "keys", "property", "statement", "rank", "amount", "unit", "place", "aspect", "time")

_VALUES = re.compile(r"VALUES \?(film|key) \{([^{}]*)\}")
_ENTITY = "http://www.wikidata.org/entity/"
_RANKS = "http://wikiba.se/ontology#"
_XSD = "http://www.w3.org/2001/XMLSchema#"


class Keys(NamedTuple):
    """What a question asks for."""

    items: list[int]
    imdb_ids: list[str]
    tmdb_ids: list[int]

    @property
    def number(self) -> int:
        """Of all keys."""
        return len(self.items) + len(self.imdb_ids) + len(self.tmdb_ids)


def read_question(text: str) -> Keys | None:
    """The keys of a question; None for any other text."""
    lists = [words.split() for _, words in _VALUES.findall(text)]
    if _plain(_VALUES.sub(r"VALUES ?\1 { }", text)) != _plain(QUESTION) or len(lists) != 3:
        return None
    items, imdb_ids, tmdb_ids = lists
    return Keys(
        [int(word[4:]) for word in items if re.fullmatch(r"wd:Q[1-9]\d{0,18}", word)],
        [word[1:-1] for word in imdb_ids if re.fullmatch(r'"tt\d{7,10}"', word)],
        [int(word[1:-1]) for word in tmdb_ids if re.fullmatch(r'"[1-9]\d{0,17}"', word)],
    )


def write_result(found: Iterable[tuple[Item, Iterable[str]]], shuffle: random.Random) -> bytes:
    """The answer, its rows and columns in no order.

    Args:
        found: items, each with the keys that led to it.
        shuffle: decides the order.
    """
    rows = [row for item, keys in found for row in _rows(item, " ".join(keys))]
    shuffle.shuffle(rows)
    for n, row in enumerate(rows):
        cells = list(row.items())
        shuffle.shuffle(cells)
        rows[n] = dict(cells)
    return json.dumps({"head": {"vars": list(COLUMNS)}, "results": {"bindings": rows}}).encode()


def _rows(item: Item, keys: str) -> list[dict[str, Any]]:
    about = {"film": _uri(f"{_ENTITY}Q{item.number}"), "keys": _literal(keys)}
    rows = [
        about | row
        for claim in item.claims
        if claim.rank != "DeprecatedRank" and claim.amount != UNKNOWN
        for row in _claim_rows(claim)
    ]
    return rows or [about]


def _claim_rows(claim: Claim) -> Iterable[dict[str, Any]]:
    """A row a place and part: what has two of one is told twice."""
    stated = {
        "property": _literal(claim.property),
        "statement": _uri(f"{_ENTITY}statement/{claim.ref}"),
        "rank": _uri(f"{_RANKS}{claim.rank}"),
        "amount": _literal(claim.amount, "decimal"),
        "unit": _uri(f"{_ENTITY}{claim.unit}"),
    }
    if claim.time is not None:
        stated["time"] = _literal(claim.time, "dateTime")
    for place in claim.places or (None,):
        for part in claim.parts or (None,):
            where = {} if place is None else {"place": _uri(f"{_ENTITY}{place}")}
            what = {} if part is None else {"aspect": _uri(f"{_ENTITY}{part}")}
            yield stated | where | what


def _uri(value: str) -> dict[str, str]:
    return {"type": "uri", "value": value}


def _literal(value: str, kind: str = "") -> dict[str, str]:
    typed = {"datatype": f"{_XSD}{kind}"} if kind else {}
    return typed | {"type": "literal", "value": value}


def _plain(text: str) -> str:
    """A text in which blanks and line breaks mean nothing."""
    return "".join(text.split())
