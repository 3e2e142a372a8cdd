"""Any sequence of answers gives the rows, states, history and counts that a plain model in dictionaries gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from ayne_dagster.partitions import UNKNOWN_YEAR, release_year
from ayne_dagster.refresh.outcome import Outcome, after
from ayne_dagster.refresh.strategy import MovieState, SourceState
from ayne_dagster.warehouse.answers import Answer, ListedMovie, MergeReport
from ayne_dagster.warehouse.matching.same_work import compare_works, omdb_work, tmdb_work
from ayne_dagster.warehouse.refresh_metadata import movie_states
from ayne_dagster.warehouse.row_checks import count_of, duplicate_keys, misplaced_rows, orphans
from ayne_dagster.warehouse.rows import Row, as_json, naive_utc
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES, OMDB_RATINGS, TABLES, TMDB_DETAILS, Table
from ayne_dagster_tests.support.samples import (
    START,
    create_tables,
    everything,
    merge_details,
    merge_listed,
    merge_ratings,
    rows,
)
from ayne_dagster_tests.support.thoroughness import examples

IDS = (1, 2, 3)
ANSWER_TABLES = (DISCOVERED_MOVIES, TMDB_DETAILS, OMDB_RATINGS)
DATES = st.sampled_from([None, date(1999, 12, 31), date(2000, 1, 1), date(1850, 1, 1)])
LISTS = st.sampled_from([None, ["a"], ["a", "b"]])


TEXTS = st.sampled_from([None, "A", "B"])
COUNTERS = st.sampled_from([None, 1, 2])
SCORES = st.sampled_from([None, 1.5, 2.5])
FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "listing": {
        "title": TEXTS,
        "release_date": DATES,
        "genre_ids": st.sampled_from([None, [1], [1, 2]]),
        "popularity": SCORES,
        "vote_count": COUNTERS,
    },
    "tmdb": {
        "title": TEXTS,
        "release_date": DATES,
        "imdb_id": st.sampled_from([None, "tt0000001", "tt0000001", "tt0000002"]),
        "budget": COUNTERS,
        "genres": LISTS,
        "keywords": LISTS,
        "popularity": SCORES,
        "vote_count": COUNTERS,
    },
    "omdb": {"title": TEXTS, "metascore": COUNTERS, "genre": LISTS, "imdb_rating": SCORES, "imdb_votes": COUNTERS},
}
OUTCOMES = {
    "listing": st.just(Outcome.FETCHED),
    "tmdb": st.sampled_from(
        [*[Outcome.FETCHED] * 5, Outcome.NOT_FOUND, Outcome.NOT_FOUND, Outcome.FAILED, Outcome.QUARANTINED]
    ),
    "omdb": st.sampled_from([*[Outcome.FETCHED] * 4, Outcome.ABSENT, Outcome.FAILED, Outcome.QUARANTINED]),
}


def told(kind: str, **known: Any) -> tuple[str, timedelta, list[tuple[int, Outcome, Row]]]:
    """A batch of one movie's answer, of which nothing else is known."""
    return kind, timedelta(minutes=1), [(1, Outcome.FETCHED, dict.fromkeys(FIELDS[kind]) | known)]


@st.composite
def batch(draw: st.DrawFn) -> tuple[str, timedelta, list[tuple[int, Outcome, Row]]]:
    kind = draw(st.sampled_from(["listing", "tmdb", "tmdb", "omdb"]))
    one = st.tuples(st.sampled_from(IDS), OUTCOMES[kind], st.fixed_dictionaries(FIELDS[kind]))
    pause = draw(st.sampled_from([timedelta(minutes=1), timedelta(hours=9), timedelta(days=5), timedelta(days=90)]))
    return kind, pause, draw(st.lists(one, min_size=1, max_size=4))


@dataclass
class Model:
    """What the warehouse must hold, by plain rules: unknown keeps known, a movie has one year, changes are told."""

    tables: dict[str, dict[int, Row]] = field(default_factory=lambda: {table.name: {} for table in ANSWER_TABLES})
    states: dict[int, MovieState] = field(default_factory=dict)
    seen: dict[int, tuple[datetime, datetime | None]] = field(default_factory=dict)
    history: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    log: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    quarantined: int = 0

    def listing(self, movies: Sequence[ListedMovie]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for movie in {m.tmdb_id: m for m in movies}.values():
            state = self.states.setdefault(movie.tmdb_id, MovieState(movie.tmdb_id))
            if state.at("tmdb").checked_at is None and movie.row["release_date"]:
                state = replace(state, release_date=movie.row["release_date"])
            if movie.row["popularity"] is not None:
                state = replace(state, popularity=movie.row["popularity"])
            self.states[movie.tmdb_id] = state
            self.seen[movie.tmdb_id] = (self.seen.get(movie.tmdb_id, (movie.at, None))[0], movie.at)
            row = dict(movie.row) | {"release_date": state.release_date}
            counts[self._upsert(DISCOVERED_MOVIES, movie.tmdb_id, row, movie.at)] += 1
        self._follow_years()
        return counts

    def answers(self, table: Table, source: str, answers: Sequence[Answer]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for answer in {a.tmdb_id: a for a in answers}.values():
            state = self.states.setdefault(answer.tmdb_id, MovieState(answer.tmdb_id))
            self.seen.setdefault(answer.tmdb_id, (answer.at, None))
            kind = str(answer.outcome)
            date_before = self.tables[table.name].get(answer.tmdb_id, {}).get("release_date", "no row")
            if answer.row is not None:
                kind = self._upsert(table, answer.tmdb_id, dict(answer.row), answer.at)
            changed = kind in ("inserted", "updated")
            counts[kind] += 1
            counts["requests"] += answer.requests
            self.log[answer.tmdb_id, source, answer.at, str(answer.outcome), changed] += 1
            self.quarantined += answer.outcome is Outcome.QUARANTINED
            state = after(state, source, answer.outcome, answer.at, changed=changed)
            if table is TMDB_DETAILS and answer.row is not None:
                state = self._by_details(state, answer, date_before)
            self.states[answer.tmdb_id] = state
        self._follow_years()
        return counts

    def _by_details(self, state: MovieState, answer: Answer, date_before: date | str | None) -> MovieState:
        row: Row = dict(answer.row or {})
        released = row["release_date"] or state.release_date
        if row["imdb_id"] and state.imdb_id and row["imdb_id"] != state.imdb_id:
            forgotten = SourceState(state.at("omdb").attempted_at, changed_at=state.at("omdb").changed_at)
            state = replace(state, sources={**state.sources, "omdb": forgotten})
        listing = self.tables["discovered_movies"].get(state.tmdb_id)
        if listing and released != state.release_date:
            listing["release_date"] = released
            # Else the history of the details tells it; that the listing had none, it does not.
            if state.release_date is None or state.release_date != date_before:
                moved = as_json(state.release_date), as_json(released)
                self.history[state.tmdb_id, "discovered_movies", "release_date", *moved, answer.at] += 1
        popularity = state.popularity if row["popularity"] is None else row["popularity"]
        imdb_id = row["imdb_id"] or state.imdb_id
        return replace(state, release_date=released, imdb_id=imdb_id, popularity=popularity)

    def _upsert(self, table: Table, tmdb_id: int, row: Row, at: datetime) -> str:
        stored = self.tables[table.name]
        old = stored.get(tmdb_id)
        if old is None:
            stored[tmdb_id] = {name: row.get(name) for name in table.content} | {"updated_at": at}
            return "inserted"
        if table is OMDB_RATINGS and old["imdb_id"] != row["imdb_id"]:
            new = {name: row.get(name) for name in table.content}
        else:
            new = {name: old[name] if row.get(name) is None else row[name] for name in table.content}
        told = table.content if table.history else table.significant
        for name in told:
            if old[name] != new[name]:
                self.history[tmdb_id, table.name, name, as_json(old[name]), as_json(new[name]), at] += 1
        updated = any(old[name] != new[name] for name in table.significant)
        stored[tmdb_id] = new | {"updated_at": at if updated else old["updated_at"]}
        return "updated" if updated else "unchanged"

    def _follow_years(self) -> None:
        """A movie is in the partition of its release date in every table."""
        for stored in self.tables.values():
            for tmdb_id, row in stored.items():
                row["release_year"] = release_year(self.states[tmdb_id].release_date)


@pytest.fixture(scope="module")
def shared() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        create_tables(opened)
        yield opened


def judgement_of(model: Model, tmdb_id: int) -> tuple[str | None, str | None]:
    """Of what both sources say by now, whichever of them spoke last."""
    details = model.tables["tmdb_details"].get(tmdb_id)
    if details is None:
        return None, None
    judgement = compare_works(tmdb_work(details), omdb_work(model.tables["omdb_ratings"][tmdb_id]))
    return judgement.match, "; ".join(judgement.reasons) or None


def check(connection: duckdb.DuckDBPyConnection, model: Model) -> None:
    for table in ANSWER_TABLES:
        names = [c.name for c in table.columns if c.name != "tmdb_id" and not c.concluded]
        found = rows(connection, f"SELECT tmdb_id, {', '.join(names)} FROM {table.name}")
        expected = {
            tmdb_id: tuple(naive_utc(row[name]) if name == "updated_at" else row[name] for name in names)
            for tmdb_id, row in model.tables[table.name].items()
        }
        assert {row[0]: row[1:] for row in found} == expected, table.name
        assert (
            count_of(connection, duplicate_keys(table)),
            count_of(connection, misplaced_rows(table)),
            count_of(connection, orphans(table)),
        ) == (
            0,
            0,
            0,
        )
    judged = rows(connection, "SELECT tmdb_id, match, match_reasons FROM omdb_ratings")
    assert {row[0]: row[1:] for row in judged} == {i: judgement_of(model, i) for i in model.tables["omdb_ratings"]}
    for state in movie_states(connection, IDS):
        mine = model.states[state.tmdb_id]
        assert replace(state, sources={}) == replace(mine, sources={})
        assert [state.at(s) for s in ("tmdb", "omdb", "numbers")] == [mine.at(s) for s in ("tmdb", "omdb", "numbers")]
    seen = rows(connection, "SELECT tmdb_id, first_seen_at, last_seen_at, release_year FROM refresh_metadata")
    assert sorted(seen) == sorted(
        (i, naive_utc(first), last and naive_utc(last), release_year(model.states[i].release_date))
        for i, (first, last) in model.seen.items()
    )
    told = rows(connection, "SELECT tmdb_id, source, field, old_value, new_value, changed_at FROM movie_history")
    assert Counter(told) == Counter({(*key[:-1], naive_utc(key[-1])): n for key, n in model.history.items()})
    logged = rows(connection, "SELECT tmdb_id, source, fetched_at, outcome, changed FROM fetch_log")
    assert Counter(logged) == Counter({(k[0], k[1], naive_utc(k[2]), *k[3:]): n for k, n in model.log.items()})
    assert rows(connection, "SELECT count(*) FROM quarantine") == [(model.quarantined,)]


@settings(deadline=None, max_examples=examples(20), phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink))
@given(batches=st.lists(batch(), min_size=1, max_size=7), again=st.booleans())
@example(
    batches=[told("listing"), told("tmdb"), told("tmdb", release_date=date(1999, 12, 31))], again=False
)  # both learn of the date at once, and each has a history
def test_any_sequence_of_answers_gives_what_the_model_gives(
    shared: duckdb.DuckDBPyConnection, batches: list[tuple[str, timedelta, list[tuple[int, Outcome, Row]]]], again: bool
) -> None:
    for table in TABLES:
        shared.execute(f"DELETE FROM {table.name}")
    model, at = Model(), START
    for kind, pause, items in batches:
        at += pause
        report, expected = merged(shared, model, kind, at, items)
        assert report.total().not_zero() == +expected
        check(shared, model)
    if again:
        once = everything(shared)
        merged(shared, Model(), kind, at, items)
        assert everything(shared) == once


def merged(
    connection: duckdb.DuckDBPyConnection,
    model: Model,
    kind: str,
    at: datetime,
    items: list[tuple[int, Outcome, Row]],
) -> tuple[MergeReport, Counter[str]]:
    """Merge a batch into the warehouse and into the model; each answer arrives a second after the one before."""
    times = [at + timedelta(seconds=number) for number in range(len(items))]
    if kind == "listing":
        movies = [
            ListedMovie(i, when, {"tmdb_id": i, "release_year": release_year(content["release_date"]), **content})
            for when, (i, _, content) in zip(times, items, strict=True)
        ]
        return merge_listed(connection, *movies), model.listing(movies)
    answers = []
    for when, (i, outcome, content) in zip(times, items, strict=True):
        found = movie_states(connection, [i])
        asked_under = release_year(found[0].release_date) if found else UNKNOWN_YEAR
        row = {"tmdb_id": i, **content}
        if kind == "tmdb":
            row["release_year"] = release_year(content["release_date"])
        else:
            if not found or found[0].imdb_id is None:
                continue
            row |= {"imdb_id": found[0].imdb_id, "release_year": asked_under}
        fetched = outcome is Outcome.FETCHED
        answers.append(Answer(i, outcome, when, row if fetched else None, asked_under, 1, "why", b"{"))
    if kind == "tmdb":
        return merge_details(connection, *answers), model.answers(TMDB_DETAILS, "tmdb", answers)
    return merge_ratings(connection, *answers), model.answers(OMDB_RATINGS, "omdb", answers)
