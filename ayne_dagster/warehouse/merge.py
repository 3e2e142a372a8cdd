"""Merging answers by key: rows, history, refresh state, log and quarantine of a batch in one transaction.

The caller opens and commits the transaction (`Database.transaction`), so that a batch is on disk whole or not at all.
What decides is elsewhere: states change by `refresh.outcome`, columns and their kinds stand in `schema`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb
import pyarrow as pa

from ayne_dagster.partitions import release_year
from ayne_dagster.refresh.feeds import Feed
from ayne_dagster.refresh.outcome import Outcome, after, heard_at, is_outdated
from ayne_dagster.refresh.states import AHEAD, as_utc
from ayne_dagster.refresh.strategy import SOURCES, movie_state
from ayne_dagster.warehouse.answers import (
    KEPT_BYTES,
    Answer,
    ListedMovie,
    MergeCounts,
    MergeReport,
    QuarantinedBody,
    RowChange,
)
from ayne_dagster.warehouse.appended import merge_appended
from ayne_dagster.warehouse.doubts import IDENTIFYING, judge_movies, with_matches
from ayne_dagster.warehouse.entities import merge_entities
from ayne_dagster.warehouse.figures import StatedFigures, merge_figures
from ayne_dagster.warehouse.refresh_metadata import new_state_row, state_columns
from ayne_dagster.warehouse.rows import (
    Row,
    arrow_schema,
    as_json,
    content_hash,
    existing_ids,
    id_table,
    insert_rows,
    naive_utc,
    read_rows,
    registered,
    replace_rows,
    same_bulk,
)
from ayne_dagster.warehouse.schema import (
    ALWAYS_TOLD,
    BOX_OFFICE,
    DISCOVERED_MOVIES,
    FETCH_LOG,
    HELD_BEFORE,
    MOVIE_HISTORY,
    MOVIE_TABLES,
    OMDB_RATINGS,
    QUARANTINE,
    REFRESH_METADATA,
    TMDB_DETAILS,
    Table,
    content_hash_column,
    since_column,
)
from ayne_dagster.warehouse.strategies import load_feeds

_OF_A_FILM = ("checked_at", "missing_since", "tombstoned_at", "signalled_at", "recheck_at", "parts_due_at", "rate")
"""What is void when a movie's IMDb id turns out to be another film's."""
_HAPPENED = ("attempted_at", "checked_at", "changed_at", "missing_since", "tombstoned_at", "signalled_at")
"""What has happened at a source, and cannot have happened in the future."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What upserting one row did."""

    kind: RowChange
    content_hash: int | None = None
    """Of the row; None where a movie has several."""
    begins: bool = False
    """Whether the history of the row begins with this version: it is the first, or the first that has all parts."""
    date_before: date | None = None
    """The release date that the row had before."""
    identified: bool = False
    """Whether what tells which work it is has changed, or is new."""


def merge_answers(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    source: str,
    answers: Iterable[Answer],
    run_id: str,
    *,
    now: datetime | None = None,
) -> MergeReport:
    """Merge a batch of answers about movies, with the refresh state that belongs to it.

    Args:
        connection: with an open transaction.
        table: where the rows go (`tmdb_details`, `omdb_ratings`, `box_office`).
        source: which source answered.
        answers: the batch; of several for a movie the last counts.
        run_id: the run that asked, for the log.
        now: the present instant (aware UTC): what a state says of later was noted by a clock that was ahead, and does
            not make an answer outdated. Without it all that it says is believed.
    """
    latest = {answer.tmdb_id: answer for answer in answers}
    states = read_rows(connection, REFRESH_METADATA, latest)
    known = states.keys() & latest.keys()
    if now is not None:
        states = {tmdb_id: _without_the_future(state, source, now) for tmdb_id, state in states.items()}
    for answer in latest.values():
        states.setdefault(answer.tmdb_id, new_state_row(answer.tmdb_id, answer.at, answer.release_year))
    former = _of_former_ids(connection, source, latest.values())
    batch = {i: a for i, a in latest.items() if i not in former and not _is_outdated(a, source, states[i])}
    fetched = {i: a for i, a in batch.items() if a.row is not None}
    changes = _merge_rows(connection, table, fetched, states, run_id)
    became: Counter[tuple[str, RowChange | Outcome, int]] = Counter()
    new_states = []
    feed = load_feeds(connection).get(source)
    for answer in batch.values():
        change = changes.get(answer.tmdb_id)
        new_states.append(_state_after(states[answer.tmdb_id], table, source, answer, change, feed))
        complete = change is not None and answer.outcome is Outcome.FETCHED
        became[answer.release_year, change.kind if change and complete else answer.outcome, answer.requests] += 1
    if table is TMDB_DETAILS:
        _keep_only_of_the_same_film(connection, states, new_states)
        _move_years(connection, states, (row for row in new_states if row["tmdb_id"] in known))
        insert_rows(connection, MOVIE_HISTORY, _moved_listings(connection, batch, states, new_states, changes, run_id))
        merge_entities(connection, batch.values(), new_states, run_id)
        retitled = merge_appended(connection, batch.values(), run_id)
        judge_movies(connection, retitled.union(i for i, change in changes.items() if change.identified))
    replace_rows(connection, REFRESH_METADATA, new_states)
    _log(connection, source, batch.values(), states, changes, run_id)
    report = MergeReport()
    for (year, kind, requests), times in became.items():
        report.count(year, MergeCounts.of(kind, requests, times))
    return report


def _merge_rows(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    fetched: Mapping[int, Answer],
    states: Mapping[int, Row],
    run_id: str,
) -> dict[int, _Change]:
    """What the answers hold: a row a movie, or all figures of it."""
    if table is BOX_OFFICE:
        stated = {
            i: StatedFigures(states[i]["release_year"], answer.at, answer.row or {}) for i, answer in fetched.items()
        }
        return {i: _Change(kind) for i, kind in merge_figures(connection, stated, run_id).items()}
    rows = {i: _placed(dict(answer.row or {}), states[i]) for i, answer in fetched.items()}
    return _upsert(connection, table, rows, fetched, states, run_id)


def _without_the_future(state: Row, source: str, now: datetime) -> Row:
    """A state without the times at a source that lie ahead."""
    late = naive_utc(now + AHEAD)
    names = (f"{source}_{name}" for name in _HAPPENED)
    return state | {name: None for name in names if (at := state[name]) is not None and at > late}


def _is_outdated(answer: Answer, source: str, state: Row) -> bool:
    """Whether an answer must not be merged: it was already, a later one was, or it is about a former IMDb id.

    A batch is merged twice when its first commit was interrupted; nothing of it may count twice.
    """
    if is_outdated(as_utc(state[f"{source}_{heard_at(answer.outcome)}"]), answer.at):
        return True
    if not SOURCES[source].needs_imdb_id:
        return False
    # What was spooled by 0.2.0 says only by its row which id it was asked for.
    asked = answer.asked_imdb_id or (answer.row or {}).get("imdb_id")
    if asked is None or asked == state["imdb_id"]:
        return False
    # A row says for good which film it is of: while no id is known (after a purge, say) it waits for the same one.
    return state["imdb_id"] is not None or answer.row is None


def _of_former_ids(connection: duckdb.DuckDBPyConnection, source: str, answers: Iterable[Answer]) -> set[int]:
    """Of answers that do not say for which IMDb id they were asked, those that came before it became another."""
    if not SOURCES[source].needs_imdb_id:
        return set()
    silent = {a.tmdb_id: naive_utc(a.at) for a in answers if a.asked_imdb_id is None and a.row is None}
    if not silent:
        return set()
    with registered(connection, "incoming_ids", id_table(silent)):
        changed = connection.execute(
            "SELECT tmdb_id, max(changed_at) FROM movie_history SEMI JOIN incoming_ids USING (tmdb_id)"
            " WHERE source = 'tmdb_details' AND field = 'imdb_id' AND old_value IS NOT NULL GROUP BY tmdb_id"
        ).fetchall()
    return {tmdb_id for tmdb_id, at in changed if silent[tmdb_id] < at}


def _placed(row: Row, state: Row) -> Row:
    """A row in its movie's partition: that of its own date, else of the date that is known so far."""
    return row | {"release_year": release_year(row.get("release_date") or state["release_date"])}


def merge_listing(connection: duckdb.DuckDBPyConnection, listed: Iterable[ListedMovie], run_id: str) -> MergeReport:
    """Merge discovered movies: new ones get a refresh state, known ones keep theirs and their first-seen time.

    Once TMDB's details are known they say when a movie was released: a listing page may be hours older.
    """
    batch = {movie.tmdb_id: movie for movie in listed}
    states = read_rows(connection, REFRESH_METADATA, batch)
    before = {i: dict(state) for i, state in states.items()}
    rows: dict[int, Row] = {}
    for movie in batch.values():
        rows[movie.tmdb_id] = dict(movie.row)
        state = states.setdefault(movie.tmdb_id, new_state_row(movie.tmdb_id, movie.at, movie.release_year))
        if state["tmdb_checked_at"] is None and state[content_hash_column(TMDB_DETAILS)] is None:
            state["release_date"] = movie.row.get("release_date") or state["release_date"]
            state["release_year"] = release_year(state["release_date"])
        rows[movie.tmdb_id] |= {"release_date": state["release_date"], "release_year": state["release_year"]}
        state["popularity"] = _known(movie.row.get("popularity"), state["popularity"])
        state["last_seen_at"] = naive_utc(movie.at)
    changes = _upsert(connection, DISCOVERED_MOVIES, rows, batch, states, run_id)
    report = MergeReport()
    for tmdb_id, change in changes.items():
        states[tmdb_id][content_hash_column(DISCOVERED_MOVIES)] = change.content_hash
        if change.begins:
            states[tmdb_id][since_column(DISCOVERED_MOVIES)] = naive_utc(batch[tmdb_id].at)
        report.count(states[tmdb_id]["release_year"], MergeCounts.of(change.kind))
    _move_years(connection, before, (states[i] for i in before))
    replace_rows(connection, REFRESH_METADATA, list(states.values()))
    return report


def quarantine(connection: duckdb.DuckDBPyConnection, bodies: Iterable[QuarantinedBody], run_id: str) -> MergeReport:
    """Keep bodies that could not be used, with the reason."""
    report = MergeReport()
    rows = []
    kept = set(
        connection.execute("SELECT subject, quarantined_at FROM quarantine WHERE run_id = ?", [run_id]).fetchall()
    )
    for item in bodies:
        if (item.subject, naive_utc(item.at)) in kept:
            continue
        report.count(item.release_year, MergeCounts.of(Outcome.QUARANTINED))
        rows.append(_quarantine_row(item.source, item.subject, item.at, item.reason, item.body, run_id))
    insert_rows(connection, QUARANTINE, rows)
    return report


def _upsert(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    rows: dict[int, Row],
    seen: Mapping[int, Answer] | Mapping[int, ListedMovie],
    states: Mapping[int, Row],
    run_id: str,
) -> dict[int, _Change]:
    """Insert, update or leave each row: told apart by content hash; unknown never overwrites known.

    A row whose significant content is the same only has its drifting counters updated, in place. Where what is stored
    came without parts that nobody asked for, to fill them in is no change: the film is as it was.
    """
    known = {i: states[i][content_hash_column(table)] for i in rows}
    incoming = {i: content_hash(table, row) for i, row in rows.items()}
    suspects = [i for i in rows if known[i] != incoming[i]]
    stored = _read_stored(connection, table, suspects, rows, known, incoming)
    changes: dict[int, _Change] = {}
    written: list[Row] = []
    history: list[Row] = []
    completed: set[int] = set()
    for i in suspects:
        row, old = rows[i], stored.get(i)
        if old is not None:
            _keep_known(table, row, old)
            incoming[i] = content_hash(table, row)
            if _lacks_parts(table, old) and not _lacks_parts(table, row):
                completed.add(i)
                old = _with_parts(table, old, row)
        differs = old is None or incoming[i] != content_hash(table, old)
        if differs or i in completed:
            written.append(row | {"updated_at": naive_utc(seen[i].at)})
            fields = table.content if table.history else table.significant
            history += _differences(table, fields, old, row, seen[i].at, run_id)
        if differs:
            kind = RowChange.INSERTED if old is None else RowChange.UPDATED
            begins, date_before = old is None or i in completed, (old or {}).get("release_date")
            identified = i in completed or _is_identified_anew(table, old, row)
            changes[i] = _Change(kind, incoming[i], begins, date_before, identified)
    unchanged = [i for i in rows if i not in changes]
    changes |= {
        i: _Change(RowChange.UNCHANGED, incoming[i], begins=i in completed, identified=i in completed)
        for i in unchanged
    }
    history += _drift(connection, table, [i for i in unchanged if i not in completed], rows, seen, run_id)
    if table is OMDB_RATINGS:
        written = with_matches(connection, written, {i for i, change in changes.items() if change.identified})
    replace_rows(connection, table, written)
    insert_rows(connection, MOVIE_HISTORY, history)
    return changes


def _read_stored(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    ids: Collection[int],
    rows: Mapping[int, Row],
    known: Mapping[int, int | None],
    incoming: Mapping[int, int],
) -> dict[int, Row]:
    """The stored rows of these movies; bulky columns are read only where the hashes say that they differ."""
    present = existing_ids(connection, table, ids)
    stored = read_rows(connection, table, present, (*table.slim, *table.drifting))
    differ = [i for i in present if (before := known[i]) is None or not same_bulk(before, incoming[i])]
    bulk = read_rows(connection, table, differ, table.bulky)
    for i, old in stored.items():
        old |= bulk.get(i) or {name: rows[i].get(name) for name in table.bulky}
    return stored


def _lacks_parts(table: Table, row: Row) -> bool:
    """Whether a row came from somebody who never asked for all of it, as the older collection."""
    always = ALWAYS_TOLD.get(table.name)
    return always is not None and row.get(always) is None


def _with_parts(table: Table, old: Row, new: Row) -> Row:
    """A row that lacks parts, with those of a whole one; what was asked for and is unknown stays so."""
    held = HELD_BEFORE[table.name]
    return {name: new.get(name) if value is None and name not in held else value for name, value in old.items()}


def _keep_known(table: Table, row: Row, old: Row) -> None:
    """Fill what the answer leaves unknown with what is stored, unless the ratings are those of another film."""
    if table is OMDB_RATINGS and row.get("imdb_id") != old.get("imdb_id"):
        return
    for name in table.content:
        if row.get(name) is None:
            row[name] = old.get(name)


def _is_identified_anew(table: Table, old: Row | None, new: Row) -> bool:
    """Whether a row tells of its work in other words than before, by title, year, people and the like."""
    return old is None or any(old.get(name) != new.get(name) for name in IDENTIFYING.get(table.name, ()))


def _drift(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    ids: Collection[int],
    rows: Mapping[int, Row],
    seen: Mapping[int, Answer] | Mapping[int, ListedMovie],
    run_id: str,
) -> list[Row]:
    """Update the drifting counters of rows that are otherwise unchanged; returns their history.

    An update in place of three numeric columns leaves the wide text alone.
    """
    names = table.drifting
    stored = read_rows(connection, table, ids, names)
    history: list[Row] = []
    moved = []
    for i, old in stored.items():
        new = {name: old[name] if rows[i].get(name) is None else rows[i][name] for name in names}
        rows[i].update(new)
        if new != {name: old[name] for name in names}:
            moved.append({"tmdb_id": i, **new})
            if table.history:
                history += _differences(table, names, old, rows[i], seen[i].at, run_id)
    if moved:
        schema = arrow_schema(table, ("tmdb_id", *names))
        with registered(connection, "incoming_drift", pa.Table.from_pylist(moved, schema=schema)):
            assignments = ", ".join(f"{name} = incoming_drift.{name}" for name in names)
            connection.execute(
                f"UPDATE {table.name} SET {assignments} FROM incoming_drift"
                f" WHERE {table.name}.tmdb_id = incoming_drift.tmdb_id"
            )
    return history


def _differences(table: Table, names: Iterable[str], old: Row | None, new: Row, at: datetime, run_id: str) -> list[Row]:
    """History rows of what changed between two versions of a row; none for its first version."""
    if old is None:
        return []
    return [
        {
            "tmdb_id": new["tmdb_id"],
            "source": table.name,
            "field": name,
            "old_value": as_json(old.get(name)),
            "new_value": as_json(new.get(name)),
            "changed_at": naive_utc(at),
            "run_id": run_id,
        }
        for name in names
        if old.get(name) != new.get(name)
    ]


def _state_after(
    before: Row, table: Table, source: str, answer: Answer, change: _Change | None, feed: Feed | None
) -> Row:
    """The movie's row in refresh_metadata after an answer."""
    changed = change is not None and change.kind is not RowChange.UNCHANGED
    state = after(movie_state(before), source, answer.outcome, answer.at, changed=changed, feed=feed)
    row = before | state_columns(state, source)
    if change is not None and change.content_hash is not None:
        row[content_hash_column(table)] = change.content_hash
    if change is not None and change.begins:
        row[since_column(table)] = naive_utc(answer.at)
    if table is TMDB_DETAILS and answer.row is not None:
        row["release_date"] = answer.row.get("release_date") or before["release_date"]
        row["release_year"] = release_year(row["release_date"])
        row["popularity"] = _known(answer.row.get("popularity"), before["popularity"])
        _take_imdb_id(row, answer.row.get("imdb_id"))
    return row


def _known(new: float | None, old: float | None) -> float | None:
    """A number as it was last told; unknown never overwrites known."""
    return old if new is None else new


def _take_imdb_id(row: Row, imdb_id: str | None) -> None:
    """Note the IMDb id; another one than before makes what is known at it void: that was another film."""
    if imdb_id is None or imdb_id == row["imdb_id"]:
        return
    if row["imdb_id"] is not None:
        _void_of_a_film(row)
    row["imdb_id"] = imdb_id


def _void_of_a_film(row: Row) -> None:
    """Forget what the sources that are asked by the IMDb id have said."""
    for name in SOURCES:
        if SOURCES[name].needs_imdb_id:
            row |= {f"{name}_{column}": None for column in _OF_A_FILM}
            row |= {f"{name}_{column}": 0 for column in ("failures", "exposure", "changes", "signals")}


def _keep_only_of_the_same_film(
    connection: duckdb.DuckDBPyConnection, before: Mapping[int, Row], states: Iterable[Row]
) -> None:
    """Of movies whose IMDb id was not known for a while, void what is known at it if it was of another film.

    A purge forgets the id with TMDB's details, and not OMDb's answer.
    """
    found = [row for row in states if row["imdb_id"] is not None and before[row["tmdb_id"]]["imdb_id"] is None]
    asked = [row for row in found if row["omdb_attempted_at"] is not None]
    stored = read_rows(connection, OMDB_RATINGS, [row["tmdb_id"] for row in asked], ("imdb_id",))
    for row in asked:
        if stored.get(row["tmdb_id"], {}).get("imdb_id") != row["imdb_id"]:
            _void_of_a_film(row)


def _move_years(connection: duckdb.DuckDBPyConnection, before: Mapping[int, Row], states: Iterable[Row]) -> None:
    """Move a movie whose year changed to its new partition in the other tables too, so that it exists once.

    Args:
        connection: with an open transaction.
        before: the states as they were, by movie.
        states: those that follow, of movies that were known: the others have no rows elsewhere.
    """
    moved = [
        {name: row[name] for name in ("tmdb_id", "release_date", "release_year")}
        for row in states
        if row["release_date"] != before[row["tmdb_id"]]["release_date"]
    ]
    if not moved:
        return
    schema = arrow_schema(REFRESH_METADATA, ("tmdb_id", "release_year", "release_date"))
    with registered(connection, "incoming_years", pa.Table.from_pylist(moved, schema=schema)):
        connection.execute(
            "UPDATE discovered_movies SET release_year = y.release_year, release_date = y.release_date"
            " FROM incoming_years AS y WHERE discovered_movies.tmdb_id = y.tmdb_id"
        )
        for table in MOVIE_TABLES:
            if table is not DISCOVERED_MOVIES:
                connection.execute(
                    f"UPDATE {table.name} SET release_year = y.release_year"
                    f" FROM incoming_years AS y WHERE {table.name}.tmdb_id = y.tmdb_id"
                )


def _moved_listings(
    connection: duckdb.DuckDBPyConnection,
    answers: Mapping[int, Answer],
    before: Mapping[int, Row],
    states: Iterable[Row],
    changes: Mapping[int, _Change],
    run_id: str,
) -> list[Row]:
    """The history of listings whose release date the details have replaced, where theirs does not tell the date before.

    Without it nobody could tell which date a movie had before its details came.
    """
    moved = {}
    for row in states:
        was, change = before[row["tmdb_id"]]["release_date"], changes.get(row["tmdb_id"])
        if change is None or was == row["release_date"]:
            continue
        if change.kind is RowChange.INSERTED or was != change.date_before:
            moved[row["tmdb_id"]] = row["release_date"]
    history = []
    for i in existing_ids(connection, DISCOVERED_MOVIES, moved):
        old, new = {"release_date": before[i]["release_date"]}, {"tmdb_id": i, "release_date": moved[i]}
        history += _differences(DISCOVERED_MOVIES, ("release_date",), old, new, answers[i].at, run_id)
    return history


def _log(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    answers: Collection[Answer],
    before: Mapping[int, Row],
    changes: Mapping[int, _Change],
    run_id: str,
) -> None:
    """Append to the fetch log, and to the quarantine what could not be used."""
    insert_rows(
        connection, FETCH_LOG, [_logged(source, a, before[a.tmdb_id], changes.get(a.tmdb_id), run_id) for a in answers]
    )
    insert_rows(
        connection,
        QUARANTINE,
        [
            {"tmdb_id": a.tmdb_id} | _quarantine_row(source, f"movie {a.tmdb_id}", a.at, a.reason, a.body, run_id)
            for a in answers
            if a.outcome is Outcome.QUARANTINED
        ],
    )


def _logged(source: str, answer: Answer, before: Row, change: _Change | None, run_id: str) -> Row:
    """The row of the fetch log about an answer: what came, and what was known when it was asked for."""
    at, checked_at = naive_utc(answer.at), before[f"{source}_checked_at"]
    return {
        "tmdb_id": answer.tmdb_id,
        "source": source,
        "fetched_at": at,
        "outcome": str(answer.outcome),
        "changed": change is not None and change.kind is not RowChange.UNCHANGED,
        "requests": answer.requests,
        "reason": answer.reason or None,
        "due_because": str(answer.due_because) if answer.due_because else None,
        "signals": before[f"{source}_signals"],
        "days_since_check": (at - checked_at) / timedelta(days=1) if checked_at else None,
        "run_id": run_id,
    }


def _quarantine_row(source: str, subject: str, at: datetime, reason: str, body: bytes, run_id: str) -> Row:
    text = body[:KEPT_BYTES].decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
    return {
        "source": source,
        "subject": subject,
        "quarantined_at": naive_utc(at),
        "reason": reason,
        "body": text,
        "run_id": run_id,
    }
