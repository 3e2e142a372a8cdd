"""The query text, given to a real SPARQL engine with a small graph in Wikidata's statement model.

The graph has what makes Wikidata odd: merged and second items, several ids, ranks, unknown values, two places on one
statement, people and series beside films. What is expected of each item is written beside it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import httpx
import pyoxigraph
import pytest

from ayne_dagster.sources.wikidata.client import Film, Statements
from ayne_dagster.sources.wikidata.query import QUERY, keys_of, question
from ayne_dagster.standin.items import Claim, Item
from ayne_dagster.standin.sparql import COLUMNS, QUESTION, read_question, write_result
from ayne_dagster_tests.support.wikidata import Service, with_client

NORMAL, PREFERRED, DEPRECATED = "NormalRank", "PreferredRank", "DeprecatedRank"
PREFIXES = """
@prefix wd: <http://www.wikidata.org/entity/> . @prefix wds: <http://www.wikidata.org/entity/statement/> .
@prefix wdt: <http://www.wikidata.org/prop/direct/> . @prefix wdv: <http://www.wikidata.org/value/> .
@prefix p: <http://www.wikidata.org/prop/> . @prefix ps: <http://www.wikidata.org/prop/statement/> .
@prefix psv: <http://www.wikidata.org/prop/statement/value/> . @prefix pq: <http://www.wikidata.org/prop/qualifier/> .
@prefix wikibase: <http://wikiba.se/ontology#> . @prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> . @prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
"""


@dataclass(frozen=True)
class Stated:
    """A statement of the graph."""

    ref: str
    amount: str | None
    """None: an unknown value."""
    prop: str = "P2142"
    unit: str = "Q4917"
    rank: str = NORMAL
    qualifiers: tuple[tuple[str, str], ...] = ()
    """Property and term, as Turtle writes it."""

    def turtle(self, item: str) -> str:
        node = f"wdv:{self.ref}"
        lines = [f"wd:{item} p:{self.prop} wds:{self.ref} .", f"wds:{self.ref} wikibase:rank wikibase:{self.rank} ."]
        if self.amount is None:
            lines.append(f"wds:{self.ref} ps:{self.prop} <http://www.wikidata.org/.well-known/genid/{self.ref}> .")
        else:
            lines += [
                f'wds:{self.ref} ps:{self.prop} "{self.amount}"^^xsd:decimal ; psv:{self.prop} {node} .',
                f'{node} wikibase:quantityAmount "{self.amount}"^^xsd:decimal ; wikibase:quantityUnit wd:{self.unit} .',
            ]
        if self.rank != DEPRECATED and self.amount is not None:
            lines.append(f'wd:{item} wdt:{self.prop} "{self.amount}"^^xsd:decimal .')
        return "\n".join(lines + [f"wds:{self.ref} pq:{name} {term} ." for name, term in self.qualifiers])


@dataclass(frozen=True)
class Entity:
    """An item of the graph."""

    imdb_ids: tuple[str, ...] = ()
    tmdb_ids: tuple[str, ...] = ()
    stated: tuple[Stated, ...] = ()
    classes: tuple[str, ...] = ("Q11424",)
    more: str = ""

    def turtle(self, item: str) -> str:
        parts = [f"wd:{item} wdt:P31 wd:{name} ." for name in self.classes]
        parts += [f'wd:{item} wdt:P345 "{key}" .' for key in self.imdb_ids]
        parts += [f'wd:{item} wdt:P4947 "{key}" .' for key in self.tmdb_ids]
        return "\n".join([*parts, *(one.turtle(item) for one in self.stated), self.more])


def at(place: str) -> tuple[tuple[str, str], ...]:
    return (("P3005", f"wd:{place}"),)


def on(day: str) -> tuple[tuple[str, str], ...]:
    return (("P585", f'"{day}T00:00:00Z"^^xsd:dateTime'),)


GRAPH = {
    "Q101": Entity(("tt0000101",), ("101",), (Stated("Q101-A", "900000000", qualifiers=at("Q13780930")),)),
    "Q102": Entity(
        ("tt0000102",),
        ("102",),
        (
            Stated("q102-a", "5000000", qualifiers=at("Q30")),
            Stated("Q102-B", "7000000", rank=PREFERRED, qualifiers=on("2020-05-01") + on("2021-06-01")),
            Stated("Q102-C", "99", rank=DEPRECATED),
            Stated("Q102-D", None),
            Stated("Q102-E", "4000000", "P2130"),
            Stated("Q102-F", "4500000", "P2769", "Q4916"),
        ),
        ("Q11424", "Q24862"),
    ),
    "Q103": Entity(("tt0000103",), ("103",)),
    "Q104": Entity(classes=(), more="wd:Q104 owl:sameAs wd:Q114 ."),
    "Q114": Entity(("tt0000104",), (), (Stated("Q114-A", "1000000", qualifiers=at("Q30") + at("Q16")),)),
    "Q105": Entity((), ("105",), (Stated("Q105-A", "2500000.5", unit="Q259502", qualifiers=at("Q408")),)),
    "Q106": Entity(("tt0000106",), (), (Stated("Q106-A", "3000000"),)),
    "Q116": Entity(("tt0000106",), (), (Stated("Q116-A", "2000000"),)),
    "Q107": Entity(("tt0000107", "tt0000117"), (), (Stated("Q107-A", "6000000", unit="Q199"),)),
    "Q108": Entity(
        ("tt0000108",),
        (),
        (Stated("Q108-A", "8000000", qualifiers=(*at("Q30"), ("P518", "wd:Q1261214"))),),
    ),
    "Q201": Entity(("nm0000101",), (), (Stated("Q201-A", "123456", "P2130"),), ("Q5",)),
    "Q202": Entity(("tt0000202",), (), (), ("Q5398426",), 'wd:Q202 wdt:P4983 "101" .'),
    "Q203": Entity((), (), (Stated("Q203-A", "10", "P2139"),)),
}

FILMS = [
    Film(101, "tt0000101", "Q101"),
    Film(102, "tt0000102", None),
    Film(103, None, "Q103"),
    Film(104, "tt0000104", "Q104"),
    Film(105, None, None),
    Film(106, "tt0000106", None),
    Film(107, "tt0000117", None),
    Film(108, "tt0000108", "Q999"),
    Film(109, "tt0000109", "Q998"),
    Film(110, None, "Q203"),
]
WANTED: dict[int, tuple[str | None, set[tuple[str, str, str, str, bool, str | None]]]] = {
    101: ("Q101", {("gross", "worldwide", "USD", "900000000.00", False, None)}),
    102: (
        "Q102",
        {
            ("gross", "domestic", "USD", "5000000.00", False, None),
            ("gross", "unspecified", "USD", "7000000.00", True, "2021-06-01"),
            ("production_budget", "unspecified", "USD", "4000000.00", False, None),
            ("production_budget", "unspecified", "EUR", "4500000.00", False, None),
        },
    ),
    103: ("Q103", set()),
    104: ("Q114", {("gross", "other", "USD", "1000000.00", False, None)}),
    105: ("Q105", {("gross", "AU", "AUD", "2500000.50", False, None)}),
    106: ("Q106", {("gross", "unspecified", "USD", "3000000.00", False, None)}),
    107: ("Q107", {("gross", "unspecified", "XXX", "6000000.00", False, None)}),
    108: ("Q108", {("gross", "other", "USD", "8000000.00", False, None)}),
    109: (None, set()),
    110: ("Q203", set()),
}


@dataclass
class Engine:
    """A SPARQL engine, asked as the service is."""

    store: pyoxigraph.Store = field(default_factory=pyoxigraph.Store)

    def ask(self, query: str) -> bytes:
        found = self.store.query(query)
        assert isinstance(found, pyoxigraph.QuerySolutions)
        told = found.serialize(format=pyoxigraph.QueryResultsFormat.JSON)
        assert told is not None
        return told


@pytest.fixture(scope="module")
def engine() -> Engine:
    engine = Engine()
    turtle = PREFIXES + "\n".join(entity.turtle(item) for item, entity in GRAPH.items())
    engine.store.load(turtle.encode(), format=pyoxigraph.RdfFormat.TURTLE)
    return engine


def told_of(answers: dict[int, Statements]) -> dict[int, Any]:
    columns = ("measure", "scope", "currency", "amount", "preferred", "as_of")
    return {
        tmdb_id: (
            statements.wikidata_id,
            {
                tuple(str(f[c]) if isinstance(f[c], Decimal | date) else f[c] for c in columns)
                for f in statements.figures
            },
        )
        for tmdb_id, statements in answers.items()
    }


def test_a_real_engine_answers_the_query_with_what_the_graph_states(engine: Engine) -> None:
    service = Service(engine.ask)
    answers, requests = with_client(lambda client: client.fetch_figures(FILMS), service)
    assert requests == 1
    assert told_of(answers) == WANTED
    assert all(statements.failure is None for statements in answers.values())
    assert answers[102].figures[0]["source_ref"] == "http://www.wikidata.org/entity/statement/q102-a"


@pytest.mark.parametrize("film", FILMS, ids=lambda film: str(film.tmdb_id))
def test_a_film_alone_has_the_answer_that_it_has_among_others(engine: Engine, film: Film) -> None:
    answers, _ = with_client(lambda client: client.fetch_figures([film]), Service(engine.ask))
    assert told_of(answers) == {film.tmdb_id: WANTED[film.tmdb_id]}


def test_people_series_and_other_properties_are_no_films(engine: Engine) -> None:
    rows = json.loads(engine.ask(question(["101", "nm0000101"])))["results"]["bindings"]
    assert {row["film"]["value"].rpartition("/")[2] for row in rows} == {"Q101"}


def test_an_empty_list_leads_to_nothing_and_not_to_everything(engine: Engine) -> None:
    assert json.loads(engine.ask(question([])))["results"]["bindings"] == []


# The stand-in


def test_the_standin_takes_the_query_of_the_client_and_no_other() -> None:
    assert "".join(QUERY.split()) == "".join(
        QUESTION.replace("?film { }", "?film { %(items)s }")
        .replace("?key { }", "?key { %(imdb)s }", 1)
        .replace("?key { }", "?key { %(tmdb)s }")
        .split()
    )
    keys = read_question(question(["Q5", "tt0000005", "5"]))
    assert keys is not None
    assert (keys.items, keys.imdb_ids, keys.tmdb_ids) == ([5], ["tt0000005"], [5])
    assert read_question(question([])) == ([], [], [])
    for foreign in ("", "SELECT ?x WHERE { ?x ?y ?z }", question(["5"]) + " LIMIT 5", QUERY.replace("P2142", "P2139")):
        assert read_question(foreign) is None


def test_the_standin_answers_in_the_shape_of_the_engine(engine: Engine) -> None:
    """The same items, as the stand-in would tell of them: the same rows but for their order."""
    found = [
        (_as_item(item, entity), entity) for item, entity in GRAPH.items() if item in ("Q101", "Q102", "Q103", "Q114")
    ]
    asked = {"Q101", "tt0000102", "Q103", "tt0000104"}
    keyed = [(item, [key for key in asked if key in (f"Q{item.number}", *entity.imdb_ids)]) for item, entity in found]
    mine = json.loads(write_result(keyed, random.Random(1)))
    theirs = json.loads(engine.ask(question(asked)))
    assert mine["head"]["vars"] == list(COLUMNS) == theirs["head"]["vars"]
    assert _rows(mine["results"]["bindings"]) == _rows(theirs["results"]["bindings"])


def _as_item(item: str, entity: Entity) -> Item:
    claims = []
    for one in entity.stated:
        qualified = [(name, term.removeprefix("wd:")) for name, term in one.qualifiers]
        times = [term.partition('"')[2].partition('"')[0] for name, term in qualified if name == "P585"]
        places = tuple(term for name, term in qualified if name == "P3005")
        make = partial(Claim, one.ref, one.prop, one.amount or "unknown", one.unit, one.rank, places, ())
        claims += [make(time) for time in times or [None]]
    return Item(int(item[1:]), entity.imdb_ids, None, tuple(claims))


def _rows(rows: Iterable[dict[str, Any]]) -> set[str]:
    return {json.dumps(row, sort_keys=True) for row in rows}


def test_the_keys_of_all_films_fit_a_form_and_not_an_address() -> None:
    films = [Film(10_000_000 + n, f"tt{10_000_000 + n}", f"Q{100_000_000 + n}") for n in range(200)]
    query = question(key for film in films for key in keys_of(film))
    assert 7_000 < len(httpx.QueryParams({"query": query}).__str__()) < 20_000
