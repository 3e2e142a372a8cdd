"""Whatever a source sends: an answer, a quarantined body or an error of ours comes of it, and DuckDB stores it exactly.

Hypothesis writes bodies from nothing; `fuzz_bodies` spoils the stand-in's, here a few hundred of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ayne_dagster.collecting import asking as collection
from ayne_dagster.sources.omdb.models import OMDbMovie
from ayne_dagster.sources.tmdb.models import DiscoverItem, MovieDetails
from ayne_dagster_tests.support.thoroughness import examples
from proofs.fuzz_bodies import LISTING, OMDB, STATUSES, TMDB, Judge, fuzz

OUTCOMES = {
    TMDB: {"fetched", "incomplete", "not_found", "failed", "quarantined"},
    OMDB: {"fetched", "absent", "failed", "quarantined"},
    LISTING: {"listed", "listed, some quarantined", "quarantined"},
}
ERRORS = {"InvalidCredentials", "QuotaExhausted", "SourceUnavailable", "SourceDown"}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(codec=None), max_size=30),  # lone surrogates too
    st.sampled_from(["0000-00-00", "1999-10-15", "2024-02-30", "N/A", "tt0137523", "$1.2B", "1,234", "90%", "=1+1"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
DETAILS_FIELDS = sorted({*MovieDetails.model_fields, "name", "cast", "crew", "results"})
OMDB_FIELDS = sorted(field.alias or name for name, field in OMDbMovie.model_fields.items())
LISTING_FIELDS = sorted(DiscoverItem.model_fields)


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    judge = Judge()
    yield judge
    judge.close()


def judged(judge: Judge, kind: str, body: bytes, status: int = 200, tmdb_id: int = 1) -> str:
    """The outcome, with all that came of it stored and compared."""
    outcome = judge.outcome(kind, status, body, tmdb_id)
    judge.flush()
    assert outcome in OUTCOMES[kind] | ERRORS
    return outcome


def written(value: Any) -> bytes:
    return json.dumps(value).encode()


@settings(max_examples=examples(40))
@given(st.dictionaries(st.sampled_from(DETAILS_FIELDS), VALUES, max_size=12))
def test_a_movie_of_tmdb_is_stored_exactly_whatever_its_fields_hold(judge: Judge, fields: dict[str, Any]) -> None:
    assert judged(judge, TMDB, written(fields | {"id": 1})) in ("fetched", "incomplete")


@settings(max_examples=examples(40))
@given(st.dictionaries(st.sampled_from(OMDB_FIELDS), VALUES, max_size=12))
def test_a_movie_of_omdb_is_stored_exactly_whatever_its_fields_hold(judge: Judge, fields: dict[str, Any]) -> None:
    told = {name: value for name, value in fields.items() if name not in ("Error", "Response")}
    assert judged(judge, OMDB, written(told | {"imdbID": "tt0000001"})) == "fetched"


@settings(max_examples=examples(40))
@given(st.lists(st.dictionaries(st.sampled_from(LISTING_FIELDS), VALUES, max_size=8) | VALUES, max_size=5))
def test_a_listing_is_stored_row_by_row_whatever_its_rows_hold(judge: Judge, rows: list[Any]) -> None:
    good = {"id": 550, "title": "Fight Club"}
    page = {"page": 1, "total_pages": 1, "total_results": len(rows) + 1, "results": [*rows, good]}
    assert judged(judge, LISTING, written(page)).startswith("listed"), "the good row is never lost"


@given(st.sampled_from((TMDB, OMDB, LISTING)), st.sampled_from(STATUSES), st.binary(max_size=60) | VALUES.map(written))
@example(TMDB, 200, b"[" * 100_000)
@example(OMDB, 200, b'{"a":' * 100_000)
@example(OMDB, 200, b'{"imdbID": "tt0000001", "Title": "\\ud800\\u0000"}')
@example(TMDB, 200, b'{"id": 1, "budget": NaN, "revenue": -Infinity, "popularity": 1e999, "runtime": 99999999999}')
@example(TMDB, 200, b'{"id": 1, "release_date": "0000-00-00", "vote_count": 1e400}')
@example(TMDB, 200, b'{"id": 99999999999999999999}')
@example(TMDB, 200, b'{"id": ' + b"9" * 5000 + b"}")
@example(
    LISTING, 200, b'{"page": 1, "results": [{"id": -1}, {"id": 1.5}, null], "total_pages": 1e9, "total_results": 5}'
)
@example(OMDB, 200, b"{" + b" " * 10_000_001 + b"}")
@settings(max_examples=examples(150))
def test_any_body_with_any_status_has_an_outcome(judge: Judge, kind: str, status: int, body: bytes) -> None:
    judged(judge, kind, body, status)


@pytest.mark.parametrize("seed", [1, 2])
def test_spoilt_bodies_of_the_standin_have_an_outcome(seed: int) -> None:
    outcomes, violations = fuzz(seed, 250, seconds=120)
    assert violations == []
    assert sum(outcomes.values()) == 250
    assert {outcome.split(": ")[0] for outcome in outcomes} == {TMDB, OMDB, LISTING}
    assert any(outcome.endswith("quarantined") for outcome in outcomes), "they are spoilt enough to show something"
    assert any(outcome.endswith("fetched") for outcome in outcomes), "and not too much"


def test_what_must_not_happen_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "details_row", lambda movie: {"tmdb_id": movie.id, "vote_count": 2**64})
    _, violations = fuzz(1, 30, seconds=60)
    assert violations
