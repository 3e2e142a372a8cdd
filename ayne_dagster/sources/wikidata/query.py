"""The question that Wikidata is asked: its text, and by which keys films are named in it. Sends nothing, reads nothing.

One constant text, in which only three lists of keys differ. Plain SPARQL 1.1: Blazegraph, which answers today, is to be
replaced (https://www.wikidata.org/wiki/Wikidata:SPARQL_query_service/WDQS_backend_update), so no label service, no
hints and no prefix that goes without saying.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ayne_dagster.sources.values import imdb_id, wikidata_id

QUERY = """\
PREFIX wd: <http://www.wikidata.org/entity/>
PREFIX wdt: <http://www.wikidata.org/prop/direct/>
PREFIX p: <http://www.wikidata.org/prop/>
PREFIX psv: <http://www.wikidata.org/prop/statement/value/>
PREFIX pq: <http://www.wikidata.org/prop/qualifier/>
PREFIX wikibase: <http://wikiba.se/ontology#>
SELECT ?film ?keys ?property ?statement ?rank ?amount ?unit ?place ?aspect ?time WHERE {
  {
    SELECT ?film (GROUP_CONCAT(DISTINCT ?key; SEPARATOR=" ") AS ?keys) WHERE {
      {
        VALUES ?film { %(items)s }
        FILTER EXISTS { ?film wdt:P31 ?class }
        BIND(STRAFTER(STR(?film), "/entity/") AS ?key)
      } UNION {
        VALUES ?key { %(imdb)s }
        ?film wdt:P345 ?key .
      } UNION {
        VALUES ?key { %(tmdb)s }
        ?film wdt:P4947 ?key .
      }
    }
    GROUP BY ?film
  }
  OPTIONAL {
    {
      ?film p:P2142 ?statement .
      ?statement psv:P2142 ?value .
      BIND("P2142" AS ?property)
    } UNION {
      ?film p:P2130 ?statement .
      ?statement psv:P2130 ?value .
      BIND("P2130" AS ?property)
    } UNION {
      ?film p:P2769 ?statement .
      ?statement psv:P2769 ?value .
      BIND("P2769" AS ?property)
    }
    ?value wikibase:quantityAmount ?amount .
    ?value wikibase:quantityUnit ?unit .
    ?statement wikibase:rank ?rank .
    FILTER(?rank != wikibase:DeprecatedRank)
    OPTIONAL { ?statement pq:P3005 ?place }
    OPTIONAL { ?statement pq:P291|pq:P459|pq:P518|pq:P1001 ?aspect }
    OPTIONAL { ?statement pq:P585 ?time }
  }
}"""
"""One row a film, statement, place, aspect and time; a film of which nothing is stated has one row all the same.

A merged item has nothing but an `owl:sameAs` there, and so no class: it counts as none, and is found by its other keys.
P2142 is the box office, P2130 the cost, P2769 the budget; P3005 says where a figure holds, P585 when. Each of the four
aspects (place of publication, method, part, jurisdiction) says that it is no plain figure of the film.
"""

NOTHING = {"items": "wd:Q0", "imdb": '"-"', "tmdb": '"-"'}
"""What no item has: stands where there are no keys of a kind, since what engines make of an empty list differs."""


@dataclass(frozen=True, slots=True)
class Film:
    """A film that is asked for."""

    tmdb_id: int
    imdb_id: str | None = None
    wikidata_id: str | None = None
    """The item that TMDB names."""


def keys_of(film: Film) -> tuple[str, ...]:
    """The keys that name a film at Wikidata, the best first: its item, IMDb's id, TMDB's; what is none is left out."""
    number = str(film.tmdb_id) if film.tmdb_id > 0 else None
    keys = (wikidata_id(film.wikidata_id), imdb_id(film.imdb_id), number)
    return tuple(key for key in keys if key)


def question(keys: Iterable[str]) -> str:
    """The query for some keys, of any kind each."""
    lists: dict[str, list[str]] = {"items": [], "imdb": [], "tmdb": []}
    for key in sorted(set(keys)):
        if key.startswith("Q"):
            lists["items"].append(f"wd:{key}")
        else:
            lists["imdb" if key.startswith("tt") else "tmdb"].append(f'"{key}"')
    return QUERY % {name: " ".join(terms) or NOTHING[name] for name, terms in lists.items()}
