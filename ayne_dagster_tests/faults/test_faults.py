"""A collection through every kind of fault holds what a faultless one holds, or says which movies it lacks and why.

The stand-in decides which request a fault befalls, so that timing may change which movie it is: the tests hold
whichever it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import dagster as dg
import httpx
import pytest

from ayne_dagster.sources import transport
from ayne_dagster.standin.faults import WIKIDATA_KINDS, Fault, Kind, Planned, Script
from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.conftest import EPOCH, START, later
from ayne_dagster_tests.support.faulty_collections import CONTENT, Collection

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def standing() -> Iterator[StandIn]:
    with StandIn(300, epoch=EPOCH) as running:
        running.set_now(START)
        yield running


@pytest.fixture(scope="module")
def faultless(standing: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    standing.clear_faults()
    with dg.DagsterInstance.ephemeral() as instance:
        collection = Collection(tmp_path_factory.mktemp("faultless"), standing, instance)
        collection.run()
    assert collection.failures == []
    sizes = {name: len(rows) for name, rows in collection.content().items()}
    assert sizes["discovered_movies"] > 40, "several pages"
    assert sizes["tmdb_details"] == sizes["discovered_movies"] > sizes["omdb_ratings"] > 20
    return collection


@pytest.fixture
def collection(standing: StandIn, tmp_path: Path, instance: dg.DagsterInstance) -> Iterator[Collection]:
    standing.clear_faults()
    yield Collection(tmp_path, standing, instance)
    standing.clear_faults()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients give up on silence after half a second instead of half a minute."""
    monkeypatch.setattr(transport, "TIMEOUT", httpx.Timeout(0.5))


NO_MOVIES: dict[str, set[int]] = {name: set() for name in CONTENT}
Record = Callable[[str, object], None]
FEW = 4
"""Fewer than the attempts at a request: none can meet a passing fault at each of them."""
NEVER = 30.0
"""Seconds; clients give up long before."""


def both(*faults: Fault) -> list[Planned]:
    """Faults for the first requests to either source."""
    return [Script(faults, "tmdb"), Script(faults, "omdb")]


def of_movies(*faults: Fault) -> list[Planned]:
    """Faults for the first requests about a movie to either source."""
    return [Script(faults, "tmdb", match="/3/movie/"), Script(faults, "omdb")]


TOO_MANY = Fault("status", status=429)
TOO_MANY_FOR_NOW = Fault("status", status=429, retry_after=0.02)

OVERCOME: dict[str, list[Planned]] = {
    "errors of the API": both(Fault("status", status=500), Fault("status", status=503), Fault("status", status=504)),
    "a gateway's pages in HTML": both(*(Fault("html", status=status) for status in (502, 503, 522, 200))),
    "broken connections": both(Fault("reset"), Fault("truncated"), Fault("reset"), Fault("truncated")),
    "silence": both(Fault("stall", delay_seconds=NEVER), Fault("hang", delay_seconds=NEVER)),
    "slow answers": both(*(Fault(kind, delay_seconds=0.05) for kind in ("drip", "hang") for _ in range(10))),
    "bodies that are no JSON": both(Fault("empty_body"), Fault("not_json"), Fault("html", status=200)),
    "odd bodies that can be read": [Fault("invalid_json", ratio=0.5), Fault("gzip_without_header")],
    "429 in all shapes": both(TOO_MANY_FOR_NOW, TOO_MANY, Fault("html", status=429, retry_after=0.01), TOO_MANY),
    "a storm of 429 that ends": [Fault("status", status=429, retry_after=0.05, match="/3/movie/", times=FEW),
                                 Fault("status", "omdb", status=429, times=FEW)],
    "an empty first page": [Script((Fault("empty_page"),), match="/discover/")],
    "an empty page in between": [Script((None, Fault("empty_page")), match="/discover/")],
    "totals that shrink": [Fault("shrinking_total")],
    "rows repeated on the next page": [Fault("repeated_rows", times=1)],
    "rows repeated, and then totals that shrink": [
        Script((None, Fault("repeated_rows"), Fault("shrinking_total")), match="/discover/")
    ],
    "pages that cannot be used": [
        Script(tuple(Fault(kind) for kind in ("deep_json", "oversized", "truncated_json")), match="/discover/")
    ],
}  # fmt: skip
"""Faults after which the tables are those of a faultless collection, at the end of the very run that met them."""

LISTED: dict[str, list[Planned]] = {
    "another movie's body": of_movies(*[Fault("wrong_movie")] * FEW),
    "half a body": of_movies(*[Fault("truncated_json")] * 40),
    "sub-resources left out": [Fault("missing_subresources", times=20)],
    "deep JSON": of_movies(*[Fault("deep_json")] * FEW),
    "bodies of more than 10 MB": of_movies(*[Fault("oversized")] * 2),
    "400 for valid calls": of_movies(*[Fault("status", status=400, message="Invalid.")] * 10),
    "422 of the older shape": [Fault("rejected", match="/3/movie/", times=10)],
    "bodies of another shape": of_movies(*[Fault("body", status=200, message='{"what": ["is", "this"]}')] * FEW),
    "an OMDb error that nobody knows": [Fault("status", "omdb", status=200, times=FEW, message="Moved to the moon.")],
    "a page that is never served": [Fault("html", "tmdb", match="&page=2", status=502)],
    "a window that is always rejected": [Fault("rejected", match="&page=1")],
    "a storm of 429 without end for some": [Fault("status", status=429, match="/3/movie/", ratio=0.6)],
    "OMDb going down": [Script((None,) * 10 + (Fault("html", status=522),) * 1000, "omdb")],
    "TMDB going down": [Script((None,) * 20 + (Fault("reset"),) * 1000, "tmdb", match="/3/movie/")],
}
"""Faults that cost movies for the run that meets them: listed, and fetched once the faults have ended."""


def kinds(planned: list[Planned]) -> set[str]:
    """The kinds in a plan."""
    steps = (p.steps if isinstance(p, Script) else (p,) for p in planned)
    return {fault.kind for faults in steps for fault in faults if fault is not None}


def assert_each_kind_befell(collection: Collection, planned: list[Planned], record: Record) -> None:
    befallen = collection.standin.befallen()
    record("faults", befallen)
    assert set(befallen) == kinds(planned), befallen


def test_every_kind_of_fault_is_among_these() -> None:
    assert {kind for plan in (*OVERCOME.values(), *LISTED.values()) for kind in kinds(plan)} == set(get_args(Kind)) - {
        *WIKIDATA_KINDS
    }, "those of Wikidata alone are tried on its client"


@pytest.mark.parametrize("planned", OVERCOME.values(), ids=OVERCOME)
def test_a_fault_that_passes_leaves_the_tables_as_if_it_had_not_been(
    collection: Collection, faultless: Collection, planned: list[Planned], record_property: Record
) -> None:
    collection.standin.inject(*planned)
    collection.run()
    assert_each_kind_befell(collection, planned, record_property)
    assert collection.failures == []
    assert collection.differing(faultless) == NO_MOVIES
    assert collection.state() == faultless.state()


@pytest.mark.parametrize("planned", LISTED.values(), ids=LISTED)
def test_what_a_fault_costs_is_listed_and_the_next_run_fetches_it(
    collection: Collection, faultless: Collection, planned: list[Planned], record_property: Record
) -> None:
    collection.standin.inject(*planned)
    collection.run()
    assert_each_kind_befell(collection, planned, record_property)
    assert any(collection.differing(faultless).values()), "the faults cost something, or this shows nothing"
    assert collection.unlisted(faultless) == {}

    collection.standin.clear_faults()
    collection.run(later(2))
    assert collection.differing(faultless) == NO_MOVIES
    assert collection.state() == faultless.state()


MIX: list[Planned] = [
    *(Fault("status", ratio=0.02, status=status) for status in (429, 500, 503)),
    Fault("status", ratio=0.02, status=429, retry_after=0.01),
    Fault("status", "tmdb", ratio=0.02, status=400, match="/3/movie/"),
    *(Fault("html", ratio=0.015, status=status) for status in (200, 429, 502, 522)),
    *(Fault(kind, ratio=0.02) for kind in ("reset", "truncated", "truncated_json", "empty_body", "not_json")),
    *(Fault(kind, ratio=0.02) for kind in ("invalid_json", "gzip_without_header", "wrong_movie")),
    Fault("missing_subresources", ratio=0.02),
    *(Fault(kind, ratio=0.02, delay_seconds=0.02) for kind in ("drip", "hang", "stall")),
    Fault("rejected", ratio=0.02, match="/3/movie/"),
    Fault("deep_json", ratio=0.02),
    Fault("body", ratio=0.02, status=200, message='{"id": "550", "imdbID": 7}'),
    *(Fault(kind, ratio=0.1) for kind in ("empty_page", "shrinking_total", "repeated_rows")),
]  # fmt: skip
"""About four of ten requests meet something."""


@pytest.mark.parametrize("seed", [1895, 1927, 1968])
def test_a_random_mix_of_faults_loses_nothing_in_silence(
    seed: int, faultless: Collection, tmp_path: Path, instance: dg.DagsterInstance, record_property: Record
) -> None:
    with StandIn(300, epoch=EPOCH, seed=faultless.standin.catalogue.seed, fault_seed=seed) as standin:
        standin.set_now(START)
        standin.inject(*MIX)
        collection = Collection(tmp_path, standin, instance)
        collection.run()
        befallen = standin.befallen()
        record_property("faults", befallen)
        assert len(befallen) > 10, befallen
        assert sum(befallen.values()) > 40, befallen
        assert collection.unlisted(faultless) == {}

        collection.run(later(2))
        assert collection.unlisted(faultless) == {}, "a second faulty run loses nothing either"

        standin.clear_faults()
        collection.run(later(40))
    assert collection.differing(faultless) == NO_MOVIES


def test_what_a_source_says_not_to_hold_is_listed_and_believed_until_it_is_due_again(
    collection: Collection, faultless: Collection, record_property: Record
) -> None:
    planned: list[Planned] = [
        Fault("status", "omdb", status=200, times=FEW, message="Error getting data."),
        Fault("status", match="append_to_response", status=404, times=FEW),
    ]
    collection.standin.inject(*planned)
    collection.run()
    assert_each_kind_befell(collection, planned, record_property)
    outcomes = dict(collection.query("SELECT outcome, count(*) FROM fetch_log WHERE outcome <> 'fetched' GROUP BY 1"))
    assert outcomes.keys() == {"absent", "not_found"}
    assert outcomes["absent"] >= FEW == outcomes["not_found"], "OMDb lacks some movies of the catalogue anyway"
    assert collection.unlisted(faultless) == {}

    collection.standin.clear_faults()
    collection.run(later(200))
    assert collection.differing(faultless) == NO_MOVIES


def test_a_collection_that_failed_does_not_keep_the_next_one_in_the_process_waiting(collection: Collection) -> None:
    collection.standin.inject(Fault("html", "tmdb", status=502))
    collection.run()
    assert collection.failures
    failures_held = list(collection.failures)  # and with them whatever hangs on the errors

    collection.standin.clear_faults()
    collection.run(later(1))
    assert collection.failures == failures_held
    assert collection.content()["tmdb_details"]
