"""Merging the older collection into the warehouse, in one transaction: movies, details, ratings, figures, and what was
refused. Reads no file itself, maps no row itself.

What is here already and as new is left as it is, so that the same file can be taken over twice. Answers go the way of
those that the sources give (`warehouse.merge`): history, hashes, log and refresh state are right by themselves.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa

from ayne_dagster.errors import INTERRUPTED, OneLineError
from ayne_dagster.legacy.mapping import (
    Repairs,
    details_row,
    fetched_at,
    figures,
    instant,
    listed_row,
    ratings_row,
    read_row,
    read_value,
)
from ayne_dagster.legacy.reading import COPIES, Row, Source, WrongFile, open_source
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.refresh.states import AHEAD, PARTS_WITHIN, SOURCES, is_ahead
from ayne_dagster.sources.values import imdb_id, positive_int
from ayne_dagster.warehouse.answers import KEPT_BYTES, Answer, ListedMovie, MergeReport
from ayne_dagster.warehouse.care.purge import KEEP
from ayne_dagster.warehouse.care.snapshot import copy_as_it_is
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.figures import StatedFigures, merge_figures
from ayne_dagster.warehouse.interruption import forget_waiting_signals, signal_is_waiting, signals_held_back
from ayne_dagster.warehouse.lease import lease
from ayne_dagster.warehouse.merge import merge_answers, merge_listing
from ayne_dagster.warehouse.rows import id_table, insert_rows, naive_utc, registered
from ayne_dagster.warehouse.schema import (
    OMDB_RATINGS,
    QUARANTINE,
    TMDB_DETAILS,
    Table,
    content_hash_column,
    since_column,
)
from ayne_dagster.warehouse.spool import kept, merge_kept
from ayne_dagster.warehouse.store import Store

RUN_ID = "import-legacy"
"""What stands for a run in log, history and quarantine."""
ORIGIN = "legacy"
"""What stands for a source in the quarantine."""
THE_NUMBERS = "the_numbers"
LONG_AGO = datetime(2025, 2, 1, tzinfo=UTC)
"""What stands for the time of a row that has none while it is merged: when the older collection began. No row of it is
older."""
NOTHING_TAKEN = "Interrupted: nothing was taken over."
ALL_TAKEN = "Interrupted too late to stop: everything was taken over."
REFUSALS: Mapping[str, str] = {
    "no_tmdb_id": "It has no TMDB id, by which all is known here",
    "no_imdb_id": "It has no IMDb id that could be one, by which OMDb's answers are known",
    "no_movie": "No movie is known that it belongs to",
    "no_figure": "It states no figure",
    "unreadable": "It is no row",
}
"""By code: why a row was not taken over."""


@dataclass
class Report:
    """What was taken over, or would be."""

    era: str
    was_copied: bool = False
    has_newer_schema: bool = False
    """Whether the file's schema is newer than any that was looked at."""
    rows: dict[str, int] = field(default_factory=dict)
    """By table of the older collection: its rows."""
    taken: Counter[str] = field(default_factory=Counter)
    """By table here: rows that were taken over."""
    known: Counter[str] = field(default_factory=Counter)
    """By table here: rows left alone, since what is here is as new or newer."""
    repaired: Repairs = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    past_terms: int = 0
    """Details that were fetched so long ago that TMDB's terms ask for them anew: due at once."""
    incomplete: int = 0
    """Details that are asked for once more within a month, last of all."""

    def as_json(self) -> dict[str, Any]:
        """The report as a command prints it; counts of nothing are left out."""
        told = vars(self).items()
        return {
            name: {key: number for key, number in value.items() if number} if isinstance(value, dict) else value
            for name, value in told
        }


class ImportInterrupted(OneLineError):
    """Somebody wished that the import end. The message says whether anything was taken over."""

    exit_code = INTERRUPTED


@dataclass
class _Refused:
    """Rows that were not taken over, for the quarantine."""

    report: Report
    now: datetime
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, code: str, subject: str, row: Mapping[str, Any] | str, tmdb_id: int | None = None) -> None:
        self.report.refused[code] += 1
        body = row if isinstance(row, str) else json.dumps(row, ensure_ascii=False, default=str)
        self.rows.append(
            {
                "tmdb_id": tmdb_id,
                "source": ORIGIN,
                "subject": subject[:1_000],
                "quarantined_at": naive_utc(self.now),
                "reason": REFUSALS[code],
                "body": body.encode("utf-8", "replace").decode().replace("\x00", "\\x00")[:KEPT_BYTES],
                "run_id": RUN_ID,
            }
        )


def take_over(path: Path, database: Store, now: datetime, tell: Callable[[str], None]) -> Report:
    """Take over the older collection at `path`, whole or not at all.

    Waits while a collection asks a source; what an earlier one could not commit is merged first.

    Args:
        path: its database, a dump, or a folder of dumps; it is not written to.
        database: the warehouse; made where there is none.
        now: the present instant (aware UTC).
        tell: told in a sentence what it waits for.

    Raises:
        WrongFile: there is nothing of the older collection at `path`; nothing was changed.
        ImportInterrupted: a signal came; the message says whether anything was taken over.
        WarehouseError: the warehouse cannot be used; nothing was changed.
    """
    _require_another(path, database.path)
    with _told_when_interrupted(), ExitStack() as stack:
        source = stack.enter_context(open_source(path, _folder_beside(database.path)))
        for name in SOURCES:
            stack.enter_context(lease(database, name, tell))
            if kept(database.path, name):
                merge_kept(database, name, tell)
        if database.exists or not isinstance(database, Database):
            return _taken_over_in_one_piece(database, source, now)
        return _taken_over_into_a_new_one(database, source, now)


@contextmanager
def _told_when_interrupted() -> Iterator[None]:
    """A signal within the block means that nothing was taken over: what comes too late for that has its own error."""
    try:
        yield
    except KeyboardInterrupt:
        raise ImportInterrupted(NOTHING_TAKEN) from None


def _taken_over_into_a_new_one(database: Database, source: Source, now: datetime) -> Report:
    """Take over into a database that is put in its place when it is whole: an import that fails leaves none."""
    is_there = False
    try:
        with (
            TemporaryDirectory(prefix=COPIES[1], dir=database.path.parent) as folder,
            signals_held_back(),  # between the commit and the move
        ):
            new = Database(Path(folder) / database.path.name)
            report = _taken_over_in_one_piece(new, source, now)
            is_there = database.put_in_place(new.path)
    except KeyboardInterrupt:
        if not is_there:
            raise
        raise ImportInterrupted(ALL_TAKEN) from None
    # Somebody has made one meanwhile: theirs is added to.
    return report if is_there else _taken_over_in_one_piece(database, source, now)


def _taken_over_in_one_piece(database: Store, source: Source, now: datetime) -> Report:
    """One transaction, which a signal ends before its commit, or comes too late to end."""
    report = None
    try:
        with database.transaction() as connection:  # which holds signals back
            try:
                report = _TakingOver(connection, source, now).run()
            except ImportInterrupted:
                forget_waiting_signals()
                raise
        return report
    except KeyboardInterrupt:
        if report is None:
            raise
        raise ImportInterrupted(ALL_TAKEN) from None


def _require_another(path: Path, database: Path) -> None:
    """Refuse to read what is written to: opening it would wait for its own lock.

    Raises:
        WrongFile: they are one file.
    """
    if path.exists() and database.exists() and path.samefile(database):
        raise WrongFile(f"{path} is the database of this platform (AYNE_DATABASE), and not the older collection's.")


def rehearse(path: Path, database: Store, now: datetime) -> Report:
    """Tell what `take_over` would do: it is done to a copy of the warehouse, which is removed afterwards.

    Raises:
        WrongFile: there is nothing of the older collection at `path`.
        WarehouseError: the warehouse cannot be used.
    """
    _require_another(path, database.path)
    beside = _folder_beside(database.path)
    with (
        _told_when_interrupted(),
        open_source(path, beside) as source,
        TemporaryDirectory(prefix=COPIES[1], dir=beside) as folder,
    ):
        if not isinstance(database, Database):  # what is done to a lake can be undone: no copy is needed
            with database.rehearsal() as connection:
                return _TakingOver(connection, source, now).run()
        copy = Database(Path(folder) / "ayne.duckdb")
        if database.exists:
            with database.inspect():
                copy_as_it_is(database.path, copy.path)
        return _taken_over_in_one_piece(copy, source, now)


def _folder_beside(database: Path) -> Path | None:
    """The folder of the database, for copies; None where there is none yet: the system's will do."""
    return database.parent if database.parent.is_dir() else None


class _TakingOver:
    """One import, within an open transaction."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, source: Source, now: datetime) -> None:
        self.connection, self.source, self.now = connection, source, now
        self.report = Report(source.era, source.was_copied, source.has_newer_schema)
        self.refused = _Refused(self.report, now)
        self.note = f"Taken over from the older collection (era {source.era})"
        self.movies: dict[int, Row] = {}
        """The older collection's movies, by TMDB id."""
        self.tmdb_ids: dict[str, int] = {}
        """By its own number of a movie, as a text: the TMDB id. One movie may have several."""

    def run(self) -> Report:
        """Merge all there is."""
        self.report.rows = {table: self.source.count(table) for table in self.source.relations}
        self.connection.execute(
            "CREATE TEMP TABLE known_before AS SELECT tmdb_id, tmdb_parts_due_at FROM refresh_metadata"
        )
        self._read_movies()
        with_details = self._merge_details()
        self._merge_listed(self.movies.keys() - with_details)
        self._merge_ratings()
        self._merge_figures()
        self._settle_states()
        for line in self.source.unreadable:
            self.refused.add("unreadable", line.where, f"{line.reason}: {line.text}")
        self._quarantine()
        self.connection.execute("DROP TABLE known_before")
        return self.report

    def _batches(self, table: str) -> Iterator[list[Row]]:
        """The rows of a table; those that other rows stand for are counted."""
        for rows in self.source.rows(table):
            self._stop_if_wished()
            self.report.repaired["duplicate_key"] += sum(row.pop("copies") - 1 for row in rows)
            yield rows

    def _stop_if_wished(self) -> None:
        if signal_is_waiting():
            raise ImportInterrupted(NOTHING_TAKEN)

    def _read_movies(self) -> None:
        for rows in self._batches("movies"):
            for row in rows:
                tmdb_id = _id_in(row["tmdb_id"])
                if tmdb_id is None:
                    self.refused.add("no_tmdb_id", f"movies movie_id={row['movie_id']}", row)
                    continue
                self.movies[tmdb_id] = read_row(row, self.report.repaired)
        for number, value in self.source.movies_by_number():
            if (tmdb_id := _id_in(value)) is not None:
                self.tmdb_ids[_number_of(number)] = tmdb_id

    def _merge_details(self) -> set[int]:
        """Returns the movies that have some."""
        found: set[int] = set()
        has_movies = bool(self.movies)
        for rows in self._batches("tmdb_movies"):
            answers = []
            ids = [_id_in(row["tmdb_id"]) for row in rows]
            here = self._answered(TMDB_DETAILS, "tmdb", [tmdb_id for tmdb_id in ids if tmdb_id is not None])
            for tmdb_id, row in zip(ids, rows, strict=True):
                if tmdb_id is None:
                    self.refused.add("no_tmdb_id", f"tmdb_movies tmdb_id={row['tmdb_id']}", row)
                    continue
                found.add(tmdb_id)
                at = instant(row["last_updated_utc"])
                if self._is_known(at, here.get(tmdb_id)):
                    self.report.known[TMDB_DETAILS.name] += 1
                    continue
                self.report.repaired["no_movie"] += has_movies and tmdb_id not in self.movies
                mapped = details_row(
                    read_row(row, self.report.repaired),
                    self.movies.get(tmdb_id, {}),
                    self.report.repaired,
                    joined_by_blank=self.source.joined_by_blank,
                )
                answers.append(self._answer(tmdb_id, at, mapped, f"{self.note}, without credits and other parts"))
            self._merge(TMDB_DETAILS, "tmdb", answers)
        return found

    def _answered(self, table: Table, source: str, ids: Sequence[int]) -> dict[int, datetime]:
        """By movie that the source has answered for here: when, as far as that is known and not in the future; else
        long ago. An attempt without an answer stands for none."""
        with registered(self.connection, "incoming_ids", id_table(ids)):
            rows = self.connection.execute(
                f"SELECT tmdb_id, coalesce(if({source}_checked_at <= $late, {source}_checked_at, NULL), $long_ago)"
                f" FROM refresh_metadata SEMI JOIN incoming_ids USING (tmdb_id)"
                f" WHERE {source}_checked_at <= $late OR {content_hash_column(table)} IS NOT NULL",
                {"late": naive_utc(self.now + AHEAD), "long_ago": naive_utc(LONG_AGO)},
            ).fetchall()
        return dict(rows)

    def _is_known(self, at: datetime | None, answered_at: datetime | None) -> bool:
        """Whether what is here is as new as a row: merging would leave it out, after all the work of mapping it."""
        known_at = LONG_AGO if at is None or is_ahead(at, self.now) else at
        return answered_at is not None and naive_utc(known_at) <= answered_at

    def _answer(
        self,
        tmdb_id: int,
        at: datetime | None,
        mapped: Mapping[str, Any],
        note: str,
        asked_imdb_id: str | None = None,
    ) -> Answer:
        """A row as the answer that it was; of one without a time `_forget_invented_times` makes what is no check."""
        return Answer(
            tmdb_id,
            Outcome.FETCHED,
            fetched_at(at, self.now, self.report.repaired) or LONG_AGO,
            mapped,
            str(mapped["release_year"]),
            requests=0,
            reason=note,
            asked_imdb_id=asked_imdb_id,
        )

    def _merge(self, table: Table, source: str, answers: Sequence[Answer]) -> None:
        merged = merge_answers(self.connection, table, source, answers, RUN_ID, now=self.now)
        self._count(table.name, len(answers), merged)

    def _count(self, table: str, offered: int, merged: MergeReport) -> None:
        taken = merged.total().stored
        self.report.taken[table] += taken
        self.report.known[table] += offered - taken

    def _merge_listed(self, ids: Iterable[int]) -> None:
        """Movies without details: known by title and date, and by their IMDb id where they have one."""
        known = {row[0] for row in self.connection.execute("SELECT tmdb_id FROM known_before").fetchall()}
        ids = set(ids)
        listed = []
        for tmdb_id in sorted(ids):
            if tmdb_id in known:
                self.report.known["discovered_movies"] += 1
                continue
            row = listed_row(self.movies[tmdb_id])
            listed.append(ListedMovie(tmdb_id, self._created_at(tmdb_id), row, str(row["release_year"])))
        for first in range(0, len(listed), 2_000):
            self._stop_if_wished()
            part = listed[first : first + 2_000]
            self._count("discovered_movies", len(part), merge_listing(self.connection, part, RUN_ID))
        imdb_ids = {tmdb_id: found for tmdb_id in ids if (found := imdb_id(self.movies[tmdb_id]["imdb_id"]))}
        # TMDB's own word, that there is none, stays.
        with registered(self.connection, "incoming_imdb", _pairs("imdb_id", imdb_ids, pa.string())):
            self.connection.execute(
                "UPDATE refresh_metadata SET imdb_id = i.imdb_id FROM incoming_imdb AS i"
                " WHERE refresh_metadata.tmdb_id = i.tmdb_id AND refresh_metadata.imdb_id IS NULL"
                " AND refresh_metadata.tmdb_checked_at IS NULL"
            )

    def _created_at(self, tmdb_id: int) -> datetime:
        """When the older collection found a movie, by a clock of some time zone: at the latest now."""
        return min(instant(self.movies[tmdb_id]["created_at"]) or self.now, self.now)

    def _merge_ratings(self) -> None:
        """OMDb's answers, for the movies that have their IMDb ids."""
        for rows in self._batches("omdb_movies"):
            by_imdb_id: dict[str, list[Row]] = {}
            for row in rows:
                if found := imdb_id(row["imdb_id"]):
                    by_imdb_id.setdefault(found, []).append(row)
                else:
                    self.refused.add("no_imdb_id", f"omdb_movies imdb_id={row['imdb_id']}", row)
            answers = []
            places = self._movies_of(by_imdb_id)
            here = self._answered(OMDB_RATINGS, "omdb", [tmdb_id for same in places.values() for tmdb_id, _ in same])
            for found, same in by_imdb_id.items():
                dated = [(instant(row["last_updated_utc"]), row) for row in same]
                at, row = max(dated, key=lambda one: one[0] or LONG_AGO)
                if found not in places:
                    self.refused.add("no_movie", f"omdb_movies imdb_id={found}", row)
                for tmdb_id, year in places.get(found, ()):
                    if self._is_known(at, here.get(tmdb_id)):
                        self.report.known[OMDB_RATINGS.name] += 1
                        continue
                    mapped = ratings_row(read_row(row, self.report.repaired), tmdb_id, year)
                    answers.append(self._answer(tmdb_id, at, mapped, self.note, found))
            self._merge(OMDB_RATINGS, "omdb", answers)

    def _movies_of(self, imdb_ids: Iterable[str]) -> dict[str, list[tuple[int, str]]]:
        """By IMDb id: the movies that have it, with their partitions."""
        found: dict[str, list[tuple[int, str]]] = {}
        with registered(self.connection, "incoming_imdb", pa.table({"imdb_id": pa.array(list(imdb_ids), pa.string())})):
            for key, tmdb_id, year in self.connection.execute(
                "SELECT imdb_id, tmdb_id, release_year FROM refresh_metadata SEMI JOIN incoming_imdb USING (imdb_id)"
                " ORDER BY tmdb_id"
            ).fetchall():
                found.setdefault(key, []).append((tmdb_id, year))
        return found

    def _merge_figures(self) -> None:
        """The Numbers' figures. They are no check of the source of figures here, which has others to tell."""
        for rows in self._batches("numbers_movies"):
            wanted: dict[int, tuple[datetime | None, list[dict[str, object]]]] = {}
            for row in rows:
                subject = f"numbers_movies movie_id={row['movie_id']}"
                tmdb_id = self.tmdb_ids.get(_number_of(row["movie_id"]))
                stated = figures(read_row(row, self.report.repaired))
                if tmdb_id is None:
                    self.refused.add("no_movie", subject, row)
                elif not stated:
                    self.refused.add("no_figure", subject, row, tmdb_id)
                else:
                    at = fetched_at(instant(row["last_updated_utc"]), self.now, self.report.repaired)
                    # A movie may be there twice, with a row each.
                    if tmdb_id not in wanted or (wanted[tmdb_id][0] or LONG_AGO) < (at or LONG_AGO):
                        wanted[tmdb_id] = at, stated
            places, seen = self._figures_seen(wanted)
            fresh = {
                tmdb_id: StatedFigures(places[tmdb_id], at or self.now, {THE_NUMBERS: stated})
                for tmdb_id, (at, stated) in wanted.items()
                if tmdb_id not in seen or (at is not None and seen[tmdb_id] < naive_utc(at))
            }
            merge_figures(self.connection, fresh, RUN_ID)
            self.report.taken["box_office"] += sum(len(one.figures[THE_NUMBERS]) for one in fresh.values())
            self.report.known["box_office"] += sum(
                len(stated) for tmdb_id, (_, stated) in wanted.items() if tmdb_id not in fresh
            )

    def _figures_seen(self, ids: Iterable[int]) -> tuple[dict[int, str], dict[int, datetime]]:
        """By movie: its partition; and when its figures of The Numbers were last read, where there are some."""
        with registered(self.connection, "incoming_ids", id_table(ids)):
            rows = self.connection.execute(
                "SELECT m.tmdb_id, m.release_year, max(b.observed_at) FROM refresh_metadata AS m"
                " SEMI JOIN incoming_ids USING (tmdb_id)"
                " LEFT JOIN box_office AS b ON b.tmdb_id = m.tmdb_id AND b.source = $source GROUP BY ALL",
                {"source": THE_NUMBERS},
            ).fetchall()
        return {row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows if row[2] is not None}

    def _settle_states(self) -> None:
        """What the refresh state says of movies that are new here, and of details that lack parts."""
        self._forget_invented_times()
        created = {tmdb_id: naive_utc(self._created_at(tmdb_id)) for tmdb_id in self.movies}
        # Known as of now: a purge must not take away what was just taken over because no listing has shown it since.
        with registered(self.connection, "incoming_created", _pairs("created_at", created, pa.timestamp("us"))):
            self.connection.execute(
                """
UPDATE refresh_metadata SET
    first_seen_at = coalesce(least(nullif(first_seen_at, $long_ago), c.created_at), $now),
    last_seen_at = $now
FROM (
    SELECT tmdb_id, n.created_at FROM refresh_metadata LEFT JOIN incoming_created AS n USING (tmdb_id)
    WHERE tmdb_id NOT IN (SELECT tmdb_id FROM known_before)
) AS c
WHERE refresh_metadata.tmdb_id = c.tmdb_id""",
                {"now": naive_utc(self.now), "long_ago": naive_utc(LONG_AGO)},
            )
        # Every answer of TMDB itself names the original language.
        incomplete = (
            "tmdb_parts_due_at IS NULL AND tmdb_checked_at IS NOT NULL AND tmdb_id IN"
            " (SELECT d.tmdb_id FROM tmdb_details AS d WHERE d.original_language IS NULL)"
            " AND (tmdb_id, tmdb_checked_at) IN (SELECT tmdb_id, fetched_at FROM fetch_log"
            " WHERE source = 'tmdb' AND run_id = $run_id)"
        )
        ((self.report.incomplete, self.report.past_terms),) = self.connection.execute(
            f"SELECT count(*), count(*) FILTER (WHERE tmdb_checked_at < $cutoff) FROM refresh_metadata"
            f" WHERE {incomplete}",
            {"run_id": RUN_ID, "cutoff": naive_utc(self.now - KEEP)},
        ).fetchall()
        # What was to be asked for before is not put off by taking over a later file.
        self.connection.execute(
            "UPDATE refresh_metadata SET tmdb_parts_due_at = least((SELECT k.tmdb_parts_due_at FROM known_before AS k"
            f" WHERE k.tmdb_id = refresh_metadata.tmdb_id), $now + to_days(CAST(tmdb_id % {PARTS_WITHIN.days}"
            f" AS INTEGER))) WHERE {incomplete}",
            {"run_id": RUN_ID, "now": naive_utc(self.now)},
        )

    def _forget_invented_times(self) -> None:
        """Answers of which nobody knows when they came are no checks: the movie is due as if never asked for, and has
        what there is."""
        times = {"now": naive_utc(self.now), "long_ago": naive_utc(LONG_AGO)}
        for table, source in ((TMDB_DETAILS, "tmdb"), (OMDB_RATINGS, "omdb")):
            names = [f"{source}_{name}" for name in ("attempted_at", "checked_at", "changed_at")]
            self.connection.execute(
                f"UPDATE refresh_metadata SET {', '.join(f'{name} = nullif({name}, $long_ago)' for name in names)}"
                f" WHERE {source}_checked_at = $long_ago",
                {"long_ago": times["long_ago"]},
            )
            self.connection.execute(f"UPDATE {table.name} SET updated_at = $now WHERE updated_at = $long_ago", times)
            since = since_column(table)
            self.connection.execute(f"UPDATE refresh_metadata SET {since} = $now WHERE {since} = $long_ago", times)
        self.connection.execute(
            "DELETE FROM fetch_log WHERE run_id = $run_id AND fetched_at = $long_ago",
            {"run_id": RUN_ID, "long_ago": times["long_ago"]},
        )

    def _quarantine(self) -> None:
        """Keep the refused rows, each once, however often the file is read."""
        before = set(
            self.connection.execute(
                "SELECT subject, reason, body FROM quarantine WHERE source = ?", [ORIGIN]
            ).fetchall()
        )
        new = {(r["subject"], r["reason"], r["body"]): r for r in self.refused.rows}
        insert_rows(self.connection, QUARANTINE, [row for key, row in new.items() if key not in before])


def _id_in(value: object) -> int | None:
    """A TMDB id in any way of writing it."""
    return positive_int(value if isinstance(value, int) else read_value("tmdb_id", value, Counter()))


def _number_of(movie_id: object) -> str:
    """The older collection's own number of a movie, which one of its tables may hold as a text."""
    return str(read_value("movie_id", movie_id, Counter())).strip()


def _pairs(name: str, values: Mapping[int, Any], kind: pa.DataType) -> pa.Table:
    """Values by TMDB id, as an Arrow table."""
    return pa.table(
        {"tmdb_id": pa.array(list(values), pa.int64()), name: pa.array(list(values.values()), kind)},
    )
