"""Why a movie was asked for more than once: what became of the first answer, and what broke just then.

Four logs are laid side by side: that of the stand-in (when a movie was asked for), `fetch_log` (when its answer came,
in which run), the lake's own changes (when that was committed), and what lay in the spools: an answer that a later one
has overtaken leaves no trace when it is merged. What they do not explain is a fault.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Self

from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.spool import read, spool_folder
from ayne_dagster.warehouse.spool_file import SpoolError
from ayne_dagster.warehouse.store import Store

ENDPOINTS = {"tmdb": "details", "omdb": "omdb"}
"""By source, where the stand-in is asked for one movie."""
UNCOMMITTED_SECONDS = 3.0
"""How long an answer may be there without being on a disk: it gathers, then commits, on a busy machine."""
LATEST_ANSWER_SECONDS = 1.0
"""By how much an answer may come later than the stand-in's latency, on a busy machine."""


class Kind(Enum):
    """What can break."""

    POWER = "switched off"
    """All that ran on a machine is gone, at once."""
    SERVER = "Postgres restarted"
    """That costs no answer, and has none asked for again."""
    NETWORK = "network cut"
    """A machine goes on alone: it can neither ask nor commit."""


@dataclass(frozen=True)
class Break:
    """Something that was broken in the middle of a run."""

    kind: Kind
    run_id: str
    """The run that it struck."""
    at: float
    """When, by the stand-in's clock (seconds since 1970)."""


@dataclass(frozen=True)
class Kept:
    """An answer that is in the lake."""

    arrived: float
    committed: float
    run_id: str


@dataclass(frozen=True)
class Repeat:
    """A movie that was asked for once more: the two requests, and what is in the lake of the first one's answer."""

    source: str
    movie: str
    first: float
    again: float
    kept: Kept | None
    spooled: bool
    """Whether it lay in the spool of a machine."""

    def why(self, breaks: Sequence[Break], latency: float) -> str | None:
        """Why it had to be asked for again, in words; None: it had not, and that is a fault."""
        broken = next((each for each in breaks if self.first - LATEST_ANSWER_SECONDS <= each.at < self.again), None)
        if broken is None or (self.kept is not None and self.kept.run_id != broken.run_id):
            return None
        if self.spooled or self.kept is not None:
            cut_off = broken.kind is Kind.NETWORK and (self.kept is None or self.kept.committed > self.again)
            return "network cut: its answer lay in the spool of the machine that was cut off" if cut_off else None
        before = broken.at - self.first
        match broken.kind:
            case Kind.POWER if before <= latency:
                return f"switched off {before:.1f} s after it was asked for: its answer was on the way"
            case Kind.POWER if before <= latency + UNCOMMITTED_SECONDS:
                return f"switched off {before:.1f} s after it was asked for: its answer was not committed yet"
            case Kind.NETWORK if before <= latency + LATEST_ANSWER_SECONDS:
                return f"network cut {before:.1f} s after it was asked for: its answer was on the way"
            case _:  # where the process goes on, what comes is committed or spooled, and merged before it asks again
                return None

    def __str__(self) -> str:
        """What is known of it, for whoever looks for the fault."""
        known = str(self.kept or ("an answer in a spool" if self.spooled else "no answer to be found"))
        return f"{self.source} {self.movie}: asked at {self.first:.2f} and {self.again:.2f}, {known}"


class SpoolWatch:
    """Notes what lies in spools, while it is there: a file goes when it is merged.

    Args:
        databases: as what each spool is named after.
        ahead: by how many seconds the clock of those who asked is ahead.
    """

    def __init__(self, databases: Sequence[Path], ahead: float) -> None:
        self._folders = [spool_folder(database) for database in databases]
        self._ahead = ahead
        self._read: set[Path] = set()
        self._found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def has(self, source: str, movie: str, first: float, again: float) -> bool:
        """Whether an answer about a movie that arrived between two instants lay in a spool."""
        return any(first <= at < again for at in self._found[source, movie])

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            for folder in self._folders:
                for path in set(folder.glob("*.jsonl")) - self._read:
                    with suppress(SpoolError, FileNotFoundError):  # it has just been merged
                        self._note(path)

    def _note(self, path: Path) -> None:
        origin, items = read(path)
        for item in items:
            if isinstance(item, Answer):
                movie = item.asked_imdb_id if origin.source == "omdb" else str(item.tmdb_id)
                self._found[origin.source, movie or ""].append(_seconds(item.at) - self._ahead)
        self._read.add(path)


def repeats(standin: StandIn, store: Store, spools: SpoolWatch, ahead: float) -> list[Repeat]:
    """All requests for a movie that had been asked for before.

    Args:
        standin: which was asked.
        store: the lake, with its past.
        spools: what lay in them.
        ahead: by how many seconds the clock of those who asked was ahead of the stand-in's.
    """
    asked: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for entry in standin.log():
        if entry["endpoint"] == ENDPOINTS.get(entry["source"]):
            asked[entry["source"], str(entry["id"])].append(float(entry["at"]))
    answers = _answers(store, ahead)
    return [
        Repeat(*of, *at, _between(answers.get(of, []), *at), spools.has(*of, *at))
        for of, times in sorted(asked.items())
        for at in pairwise(sorted(times))
    ]


def _between(answers: Iterable[Kept], first: float, again: float) -> Kept | None:
    return next((each for each in answers if first <= each.arrived < again), None)


def _answers(store: Store, ahead: float) -> Mapping[tuple[str, str], list[Kept]]:
    """What is in the lake of each answer, by source and the id that the stand-in was asked for."""
    query = (
        "SELECT l.source, CASE l.source WHEN 'omdb' THEN d.imdb_id ELSE l.tmdb_id::VARCHAR END, l.fetched_at,"
        " s.snapshot_time, l.run_id"
        " FROM ducklake_table_changes('lake_reading', 'main', 'fetch_log', 0, ?) AS l"
        " JOIN ducklake_snapshots('lake_reading') AS s USING (snapshot_id)"
        " JOIN tmdb_details AS d ON d.tmdb_id = l.tmdb_id WHERE l.change_type = 'insert' ORDER BY l.fetched_at"
    )
    with store.inspect() as connection:
        ((newest,),) = connection.execute("FROM ducklake_current_snapshot('lake_reading')").fetchall()
        rows = connection.execute(query, [newest]).fetchall()
    found: defaultdict[tuple[str, str], list[Kept]] = defaultdict(list)
    for source, movie, arrived, committed, run_id in rows:
        kept = Kept(_seconds(arrived) - ahead, _seconds(committed), run_id)
        found[str(source), str(movie)].append(kept)
    return found


def _seconds(at: datetime) -> float:
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
