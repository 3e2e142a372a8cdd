"""Wikidata's side of the stand-in: which items there are, what they state, and how that agrees with TMDB and OMDb."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest

from ayne_dagster.sources.wikidata.query import question
from ayne_dagster.standin.catalogue import Catalogue
from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.items import (
    DEPRECATED,
    GROSS,
    NO_UNIT,
    PREFERRED,
    UNITED_STATES,
    UNKNOWN,
    USD,
    WORLDWIDE,
    Item,
)
from ayne_dagster.standin.running import StandIn

EPOCH = date(2026, 3, 1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AGENT = {"User-Agent": "test-bot/1 (me@example.org) httpx/0"}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue(4_000, epoch=EPOCH)


@pytest.fixture(scope="module")
def items(catalogue: Catalogue) -> dict[int, list[Item]]:
    """The items of each movie, by any of its keys."""
    return {tmdb_id: items_of(catalogue, tmdb_id, NOON) for tmdb_id in catalogue.ids(NOON)}


def named_item(catalogue: Catalogue, tmdb_id: int, now: datetime) -> int | None:
    body = catalogue.details(tmdb_id, now, frozenset(["external_ids"])) or {}
    number = body["external_ids"]["wikidata_id"]
    return int(number[1:]) if number else None


def items_of(catalogue: Catalogue, tmdb_id: int, now: datetime) -> list[Item]:
    number, imdb_id = named_item(catalogue, tmdb_id, now), catalogue.imdb_id_of(tmdb_id)
    found = catalogue.items([number] if number else [], [imdb_id] if imdb_id else [], [tmdb_id], now)
    return [item for item, _ in found]


def share(items: dict[int, list[Item]], has: object) -> float:
    return sum(any(has(item) for item in found) for found in items.values()) / len(items)  # type: ignore[operator]


def test_about_a_fifth_of_the_movies_have_a_box_office_and_a_budget(items: dict[int, list[Item]]) -> None:
    assert 0.6 < share(items, lambda item: True) < 0.9
    assert 0.17 < share(items, lambda item: any(claim.property == GROSS for claim in item.claims)) < 0.25
    assert 0.17 < share(items, lambda item: any(claim.property != GROSS for claim in item.claims)) < 0.25


def test_everything_odd_that_is_found_there_occurs(items: dict[int, list[Item]]) -> None:
    claims = [claim for found in items.values() for item in found for claim in item.claims]
    for odd in (
        lambda c: c.rank == DEPRECATED,
        lambda c: c.rank == PREFERRED,
        lambda c: c.amount == UNKNOWN,
        lambda c: c.unit == NO_UNIT,
        lambda c: c.unit not in (USD, NO_UNIT),
        lambda c: len(c.places) > 1,
        lambda c: c.parts,
        lambda c: c.time,
        lambda c: c.property == "P2769",
        lambda c: c.amount != UNKNOWN and float(c.amount) % 1,
        lambda c: c.ref.startswith("q"),
    ):
        assert any(odd(claim) for claim in claims)
    assert any(len(found) > 1 for found in items.values()), "second items of one film"
    assert any(len(item.imdb_ids) > 1 for found in items.values() for item in found)
    assert len({claim.ref.upper() for claim in claims}) == len({claim.ref for claim in claims})


def test_some_items_that_tmdb_names_are_merged_or_gone(catalogue: Catalogue, items: dict[int, list[Item]]) -> None:
    named = {tmdb_id: named_item(catalogue, tmdb_id, NOON) for tmdb_id in items}
    missed = [t for t, number in named.items() if number and not catalogue.items([number], [], [], NOON)]
    assert 0.01 < len(missed) / len(items) < 0.06
    assert any(items[tmdb_id] for tmdb_id in missed), "merged: found by another key"
    assert any(not items[tmdb_id] for tmdb_id in missed), "gone"


def test_worldwide_figures_are_near_tmdbs_and_domestic_ones_near_omdbs(
    catalogue: Catalogue, items: dict[int, list[Item]]
) -> None:
    near = {WORLDWIDE: 0, UNITED_STATES: 0}
    number = dict.fromkeys(near, 0)
    for tmdb_id, found in items.items():
        details = catalogue.details(tmdb_id, NOON) or {}
        released = date.fromisoformat(details["release_date"]) if details["release_date"] else date.min
        if EPOCH - released < timedelta(days=200):
            continue
        omdb = catalogue.omdb(catalogue.imdb_id_of(tmdb_id) or "", NOON) or {}
        said = {WORLDWIDE: details["revenue"], UNITED_STATES: re.sub(r"[$,]", "", omdb.get("BoxOffice", "N/A"))}
        for claim in (claim for item in found for claim in item.claims if len(claim.places) == 1):
            (place,) = claim.places
            is_plain = claim.unit == USD and claim.amount != UNKNOWN
            if is_plain and place in near and str(said[place]).isdigit():
                number[place] += 1
                near[place] += abs(float(claim.amount) - int(said[place])) < 0.02 * int(said[place])
    assert min(number.values()) > 20
    assert all(near[place] / number[place] > 0.9 for place in near), (near, number)


def test_figures_of_films_in_cinemas_grow_with_the_clock(catalogue: Catalogue) -> None:
    grown = 0
    for tmdb_id in catalogue.ids(NOON):
        then, later = (items_of(catalogue, tmdb_id, NOON + timedelta(days=d)) for d in (0, 60))
        for before, after in zip(then, later, strict=False):
            now = {claim.ref: claim.amount for claim in after.claims}
            grown += any(UNKNOWN != claim.amount != now.get(claim.ref, claim.amount) for claim in before.claims)
    assert grown > 5


def test_another_catalogue_of_the_same_seed_states_the_same(items: dict[int, list[Item]]) -> None:
    again = Catalogue(4_000, epoch=EPOCH)
    for tmdb_id in list(items)[:200]:
        assert items_of(again, tmdb_id, NOON) == items[tmdb_id]


# Over HTTP


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with StandIn(50, epoch=EPOCH, wikidata_most_keys=30) as standin:
        standin.set_now(NOON)
        yield standin


@pytest.fixture
def standin(running: StandIn) -> StandIn:
    running.clear_faults()
    running.clear_log()
    return running


def ask(standin: StandIn, query: str, agent: str | None = None, *, by_get: bool = False) -> httpx.Response:
    headers = AGENT if agent is None else {"User-Agent": agent}
    with httpx.Client(trust_env=False, headers=headers) as http:
        if by_get:
            return http.get(standin.wikidata_url, params={"query": query})
        return http.post(standin.wikidata_url, data={"query": query})


def test_it_answers_by_post_and_by_get_and_counts_what_it_is_asked(standin: StandIn) -> None:
    by_post, by_get = (ask(standin, question(["Q44578"]), by_get=by_get) for by_get in (False, True))
    assert by_post.headers["content-type"].startswith("application/sparql-results+json")
    (row,) = by_post.json()["results"]["bindings"]
    assert row in by_get.json()["results"]["bindings"]
    assert standin.requests()["wikidata"] == 2
    assert [entry["endpoint"] for entry in standin.log()] == ["sparql", "sparql_by_get"]


@pytest.mark.parametrize(
    "agent", ["", "python-httpx/0.28.1", "curl/8.0", "ayne_dagster", "Mozilla/5.0 (x@y)", "bot/1 (someone)"]
)
def test_who_does_not_say_who_asks_is_refused_with_a_line(standin: StandIn, agent: str) -> None:
    answer = ask(standin, question(["Q44578"]), agent)
    assert (answer.status_code, "robot policy" in answer.text) == (403, True)


def test_a_foreign_query_is_refused_as_one_that_cannot_be_read(standin: StandIn) -> None:
    answer = ask(standin, "SELECT * WHERE { ?s ?p ?o }")
    assert (answer.status_code, "MalformedQueryException" in answer.text) == (400, True)
    assert "SPARQL-QUERY" in answer.text


def test_a_query_of_more_keys_than_it_bears_times_out_and_one_too_long_for_an_address_is_refused(
    standin: StandIn,
) -> None:
    answer = ask(standin, question(f"Q{n}" for n in range(1, 32)))
    assert (answer.status_code, "TimeoutException" in answer.text) == (500, True)
    assert ask(standin, question(f"Q{n}" for n in range(1, 31))).status_code == 200
    assert ask(standin, question(f"Q{n}" for n in range(10**9, 10**9 + 500)), by_get=True).status_code == 414


def test_its_faults_are_what_it_says_when_it_does_not_answer(standin: StandIn) -> None:
    faults = {
        Fault("robot_policy", status=200): (200, "T400119"),
        Fault("banned"): (403, "banned until 20"),
        Fault("timeout_in_body"): (200, "TimeoutException"),
        Fault("no_results"): (200, '"head"'),
        Fault("status", status=429, retry_after=9): (429, "retry in 9 seconds"),
        Fault("status", status=503): (503, "<html>"),
    }
    for fault, (status, words) in faults.items():
        standin.clear_faults()
        standin.inject(fault)
        answer = ask(standin, question(["Q44578"]))
        assert (answer.status_code, words in answer.text) == (status, True), fault.kind
        assert "results" not in answer.text or fault.kind == "timeout_in_body"


def test_faults_of_wikidata_befall_nobody_else_and_a_film_may_be_named(standin: StandIn) -> None:
    standin.inject(Fault("robot_policy", status=403), Fault("empty_body", "wikidata", match="tt0000001"))
    with httpx.Client(trust_env=False) as http:
        assert http.get(f"{standin.tmdb_url}/configuration?api_key=demo").status_code == 200
    standin.clear_faults()
    standin.inject(Fault("empty_body", "wikidata", match="tt0000001"))
    assert ask(standin, question(["tt0000001"])).content == b""
    assert ask(standin, question(["tt0000002"])).content != b""
