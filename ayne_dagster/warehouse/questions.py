"""What people ask about single movies: which are due, and why one is or is not. Answers as plain dictionaries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import duckdb

from ayne_dagster.refresh.explain import describe_age, explain
from ayne_dagster.refresh.strategy import SOURCES, MovieState, calculate_refresh_plan, decide, is_frozen
from ayne_dagster.warehouse.rows import id_table, registered
from ayne_dagster.warehouse.state import due_movies, movie_states


def list_due(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[str], now: datetime, limit: int
) -> list[dict[str, Any]]:
    """The movies due at `now`, in the order in which they are asked for, with what each needs and why."""
    due = due_movies(connection, sources, now, limit)
    ids = [movie.tmdb_id for movie in due]
    titles = movie_titles(connection, ids)
    states = {state.tmdb_id: state for state in movie_states(connection, ids)}
    return [
        {
            "tmdb_id": movie.tmdb_id,
            "title": titles.get(movie.tmdb_id),
            "release_date": movie.release_date.isoformat() if movie.release_date else None,
            **calculate_refresh_plan(states[movie.tmdb_id], now),
            "reason": "; ".join(f"{source}: {reason}" for source, reason in movie.reasons.items()),
        }
        for movie in due
    ]


def explain_movie(connection: duckdb.DuckDBPyConnection, tmdb_id: int, now: datetime) -> dict[str, Any] | None:
    """Why a movie is due or not, by source; None for an unknown movie."""
    states = movie_states(connection, [tmdb_id])
    if not states:
        return None
    movie = states[0]
    return {
        "tmdb_id": tmdb_id,
        "title": movie_titles(connection, [tmdb_id]).get(tmdb_id),
        "release_date": movie.release_date.isoformat() if movie.release_date else None,
        "imdb_id": movie.imdb_id,
        "age": describe_age(movie, now),
        "unchanged_cycles": movie.unchanged_cycles,
        "frozen": is_frozen(movie, now),
        "override": str(movie.override) if movie.override else None,
        "override_at": _iso(movie.override_at),
        "sources": {source: _explained_source(movie, source, now) for source in SOURCES},
    }


def _explained_source(movie: MovieState, source: str, now: datetime) -> dict[str, Any]:
    decision, state = decide(movie, source, now), movie.at(source)
    return {
        "due": decision.due,
        "reason": str(decision.reason),
        "due_at": _iso(decision.due_at),
        "last_attempt": _iso(state.attempted_at),
        "last_check": _iso(state.checked_at),
        "last_change": _iso(state.changed_at),
        "failures": state.failures,
        "explanation": explain(movie, decision, now),
    }


def movie_titles(connection: duckdb.DuckDBPyConnection, ids: Collection[int]) -> dict[int, str]:
    """Titles of movies, by id."""
    with registered(connection, "incoming_ids", id_table(ids)):
        rows = connection.execute("SELECT tmdb_id, title FROM movies SEMI JOIN incoming_ids USING (tmdb_id)").fetchall()
    return dict(rows)


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat(timespec="seconds") if instant else None
