"""Killing `ayne collect` at random moments, and looking at what is left. For the suite and for `make kills`.

A campaign is one database whose collection is killed again and again, at moments that a seed decides; after each kill
the file is opened and every invariant checked. In the end a rerun must complete it, and another one ask nothing.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

from ayne_dagster.collecting.streams import MAX_BATCH
from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.support.processes import Ayne, asked

CATALOGUE = 2000
YEARS = ("--start-year", "2019", "--end-year", "2026", "--min-votes", "0")
ALL = ("--refresh-limit", "1000")
PAGE_ROWS = 20
LATENCY = 0.08
CONNECTIONS = 4
SAFE_AFTER = 1.5
"""Seconds after which an answer must be on disk: half a second of company, a commit, and a busy machine."""
SAFE_IN_ANY_CASE = 15.0
"""The same where commits take so long that one of them is the longer bound."""
ONE_COMMIT = MAX_BATCH + CONNECTIONS
"""Answers that a kill may cost at most: a batch, and what is on its way."""
_TABLES = ("discovered_movies", "tmdb_details", "omdb_ratings", "refresh_metadata", "movies")
_LOOK_EVERY = 0.002
_LONGEST_LIFE = 120.0


class Moment(StrEnum):
    """Where in a collection a kill may come."""

    START_UP = "start-up"
    DISCOVERY = "discovery"
    FETCHING = "fetching"
    COMMIT = "within a commit"


class Broken(AssertionError):
    """An invariant that does not hold after a kill."""


@dataclass(frozen=True)
class Kill:
    """One kill: when it came, and what it cost."""

    moment: Moment
    delivered: int
    """Answers about movies that the stand-in had given in this life."""
    gone: int
    """Of these, answers that were not on disk: they were younger than a commit."""


@dataclass
class Tally:
    """What campaigns came to."""

    kills: list[Kill] = field(default_factory=list)
    movies: int = 0
    requests: int = 0
    """Requests about movies, of all lives."""
    over: int = 0
    """Requests beyond one a movie and what the kills cost."""

    def add(self, other: Tally) -> None:
        """Count another's kills too."""
        self.kills += other.kills
        self.movies += other.movies
        self.requests += other.requests
        self.over += other.over

    def describe(self) -> str:
        """What happened, in lines."""
        by_moment = Counter(kill.moment for kill in self.kills)
        gone = [kill.gone for kill in self.kills]
        moments = ", ".join(f"{by_moment[moment]} {moment}" for moment in Moment)
        return (
            f"{len(self.kills)} kills survived: {moments}. {self.requests:,} requests for {self.movies:,} answers; "
            f"a kill cost {max(gone, default=0)} answers at most, {sum(gone)} in all, none of them older than "
            f"{SAFE_AFTER} s or one commit. Requests over the bound: {self.over}."
        )


def require(holds: bool, what: str) -> None:
    """Raise `Broken` unless an invariant holds."""
    if not holds:
        raise Broken(what)


def delivered(standin: StandIn, endpoint: str, before: float, latency: float = LATENCY) -> list[dict[str, Any]]:
    """The answers that had left the stand-in before an instant."""
    return [e for e in standin.log() if e["endpoint"] == endpoint and e["status"] == 200 and e["at"] + latency < before]


def one_truth(command: Ayne, source: str) -> set[int]:
    """Rows, refresh state and log of a source tell of the same movies, each once; returns their ids."""
    table = {"tmdb": "tmdb_details", "omdb": "omdb_ratings"}[source]
    stored = command.column(f"SELECT tmdb_id FROM {table}")
    checked = command.column(f"SELECT tmdb_id FROM refresh_metadata WHERE {source}_checked_at IS NOT NULL")
    log = command.rows(f"SELECT tmdb_id, outcome FROM fetch_log WHERE source = '{source}'")
    outcomes = dict(log)
    require(len(log) == len(outcomes), f"the log tells twice of a movie at {source}")
    require(set(outcomes) == set(checked), f"log and state differ for {source}")
    require({i for i, outcome in outcomes.items() if outcome == "fetched"} == set(stored), f"log and {table} differ")
    no_duplicates(command)
    return set(outcomes)


def no_duplicates(command: Ayne) -> None:
    """Every table has a movie once."""
    for table in _TABLES:
        require(
            command.column(f"SELECT count(*) - count(DISTINCT tmdb_id) FROM {table}") == [0], f"duplicates in {table}"
        )


def no_orphans(command: Ayne) -> None:
    """Every row belongs to a movie that was discovered and has a state."""
    known = set(command.column("SELECT tmdb_id FROM refresh_metadata"))
    require(set(command.column("SELECT tmdb_id FROM discovered_movies")) == known, "a movie without state, or the like")
    for table in ("tmdb_details", "omdb_ratings", "fetch_log", "movie_history"):
        require(set(command.column(f"SELECT tmdb_id FROM {table}")) <= known, f"orphans in {table}")


def imdb_ids(command: Ayne, ids: set[int]) -> set[str]:
    """The IMDb ids of movies."""
    known = dict(command.rows("SELECT tmdb_id, imdb_id FROM refresh_metadata"))
    return {known[movie] for movie in ids}


def movies_to_find(fast: StandIn) -> set[int]:
    """The movies that a discovery of `YEARS` finds."""
    with tempfile.TemporaryDirectory() as folder:
        command = Ayne(Path(folder)).asking(fast)
        result = command.call("collect", "--json", *YEARS, "--refresh-limit", "0")
        require(result.code == 0, result.err)
        return set(command.column("SELECT tmdb_id FROM discovered_movies"))


class CommitsSeen:
    """When commits ended, as seen from outside: the write-ahead log of the database is gone again."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._ends: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> CommitsSeen:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def safe_before(self, killed_at: float) -> float:
        """When an answer must have come to be on disk: a second and a half before the kill, or one commit.

        What came before the last commit but one had ended was part of the last one, whatever commits take.
        """
        ends = [end for end in self._ends if end < killed_at]
        one_commit = ends[-2] if len(ends) >= 2 else 0.0
        return max(killed_at - SAFE_IN_ANY_CASE, min(killed_at - SAFE_AFTER, one_commit))

    def _watch(self) -> None:
        there = False
        while not self._over.wait(_LOOK_EVERY):
            was, there = there, self._log.exists()
            if was and not there:
                self._ends.append(time.time())


class Campaign:
    """One database and its kills.

    Args:
        folder: an empty folder, for the database.
        slow: the source, with a latency of `LATENCY`.
        fast: the same movies without it, to end with.
        movies: those that there are to find.
        seed: decides when the kills come.
        years: what is collected, as options of the command.
    """

    def __init__(
        self, folder: Path, slow: StandIn, fast: StandIn, movies: set[int], seed: int, years: Sequence[str] = YEARS
    ) -> None:
        self._command, self._years = Ayne(folder), years
        self._slow, self._fast = slow, fast
        self._movies = movies
        self._random = random.Random(seed)
        self._wal = self._command.database.with_suffix(".duckdb.wal")
        self._first_seen: dict[int, datetime] = {}
        self._asked: Counter[str] = Counter()
        self._start_up_seconds = 2.0
        self.tally = Tally()

    def run(self, kills: int) -> Tally:
        """Kill so many times at moments of chance, the first in discovery; then let it end.

        Raises:
            Broken: an invariant does not hold.
        """
        drawn = (self._random.choices(list(Moment), weights=(3, 2, 4, 7))[0] for _ in repeat(None))
        return self.kill_in(chain([Moment.DISCOVERY], drawn), kills)

    def kill_in(self, moments: Iterable[Moment], kills: int) -> Tally:
        """Kill so many times, each life in the next of these moments; then let it end.

        Raises:
            Broken: an invariant does not hold.
        """
        for life, moment in enumerate(islice(moments, 2 * kills), start=1):  # some end before their moment comes
            if len(self.tally.kills) == kills:
                break
            try:
                self._live_and_die(moment)
            except Broken as error:
                raise Broken(f"life {life}, meant to end in {moment}: {error}") from None
        self._end()
        return self.tally

    def _live_and_die(self, moment: Moment) -> None:
        """One process, killed at a moment of its life; what is on disk then is compared with what it was given."""
        self._slow.clear_log()
        before = self._log_of_commits()
        stored = self._stored_ids()
        with CommitsSeen(self._wal) as commits, self._running(moment) as process:
            reached = self._wait_for(moment, process)
            killed_at = time.time()
            process.kill()
            code = process.wait()
        if reached and code == -signal.SIGKILL:
            hit = self._hit(before)
            self._look_at_what_is_left(hit, commits.safe_before(killed_at), stored)
        else:
            require(code in (0, -signal.SIGKILL), f"the collection ended with {code} by itself")
            self._asked.update(f"{e['endpoint']} {e['id']}" for e in self._slow.log() if e["endpoint"] != "discover")

    @contextmanager
    def _running(self, moment: Moment) -> Iterator[subprocess.Popen[bytes]]:
        """The collection as a process; what it says is of no interest."""
        whole = moment in (Moment.DISCOVERY, Moment.START_UP) or not self._discovery_is_complete()
        command = self._command.asking(self._slow, AYNE_TMDB_MAX_CONCURRENT=str(CONNECTIONS))
        process = subprocess.Popen(
            [sys.executable, "-m", "ayne_dagster", "collect", *(self._years if whole else ("--refresh-only",)), *ALL],
            env=command.environment | {"AYNE_OMDB_MAX_CONCURRENT": str(CONNECTIONS)},
            cwd=command.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def _discovery_is_complete(self) -> bool:
        return len(self._first_seen) >= len(self._movies)

    def _wait_for(self, moment: Moment, process: subprocess.Popen[bytes]) -> bool:
        """Wait until the moment has come; False when the collection ended before."""
        dice = self._random
        pages, answers = dice.randint(2, len(self._movies) // PAGE_ROWS), dice.randint(15, 110)
        part, in_commit = dice.random(), max(0.0, dice.uniform(-0.01, 0.01))
        if moment is Moment.START_UP:
            return not self._ends_within(part * self._start_up_seconds, process)
        started = time.monotonic()
        if not self._until(lambda: bool(self._slow.log()), process):
            return False
        self._start_up_seconds = min(10.0, time.monotonic() - started)
        if moment is Moment.DISCOVERY:
            return self._until(lambda: self._number("discover") >= pages, process)
        if moment is Moment.FETCHING:
            reached = self._until(lambda: self._number("details", "omdb") >= answers, process)
            return reached and not self._ends_within(part / 2, process)
        reached = self._until(lambda: self._number("discover", "details", "omdb") >= answers // 2, process)
        before = self._log_of_commits()
        reached = reached and self._until(lambda: self._log_of_commits() not in (None, before), process)
        return reached and not self._ends_within(in_commit, process)

    def _ends_within(self, seconds: float, process: subprocess.Popen[bytes]) -> bool:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _until(self, condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + _LONGEST_LIFE
        while not condition():
            if process.poll() is not None:
                return False
            require(time.monotonic() < deadline, "the collection hangs")
            time.sleep(_LOOK_EVERY)
        return True

    def _number(self, *endpoints: str) -> int:
        return sum(entry["endpoint"] in endpoints for entry in self._slow.log())

    def _log_of_commits(self) -> tuple[int, int] | None:
        """What tells one state of the database's write-ahead log from another; None when there is none."""
        try:
            found = self._wal.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size

    def _hit(self, before: tuple[int, int] | None) -> Moment:
        """Which moment a kill came in, by what it left: a commit is under way while there is a write-ahead log."""
        if self._log_of_commits() not in (None, before):
            return Moment.COMMIT
        if not self._slow.log():
            return Moment.START_UP
        return Moment.FETCHING if self._number("details", "omdb") else Moment.DISCOVERY

    def _stored_ids(self) -> dict[str, set[str]]:
        """The ids that details and ratings are stored under, as the stand-in is asked for them."""
        if not self._command.database.exists():
            return {"details": set(), "omdb": set()}
        with_ratings = set(self._command.column("SELECT tmdb_id FROM omdb_ratings"))
        return {
            "details": {str(movie) for movie in self._command.column("SELECT tmdb_id FROM tmdb_details")},
            "omdb": imdb_ids(self._command, with_ratings),
        }

    def _look_at_what_is_left(self, hit: Moment, safe_before: float, before: dict[str, set[str]]) -> None:
        given = {endpoint: Counter(asked(self._slow, endpoint)) for endpoint in ("details", "omdb")}
        total = sum(sum(counts.values()) for counts in given.values())
        if not self._command.database.exists():
            require(total == 0 and hit is Moment.START_UP, "answers, and no database")
            self.tally.kills.append(Kill(hit, 0, 0))
            return
        for source in ("tmdb", "omdb"):
            one_truth(self._command, source)
        no_orphans(self._command)
        self._first_seen_is_kept()
        pages = len(delivered(self._slow, "discover", safe_before))
        require((pages - CONNECTIONS) * PAGE_ROWS <= len(self._first_seen), "pages that had arrived are missing")
        stored = self._stored_ids()
        gone = 0
        for endpoint, counts in given.items():
            require(before[endpoint] <= stored[endpoint], f"{endpoint} that were stored are gone")
            require(not before[endpoint] & set(counts), f"{endpoint} were asked for that were stored")
            require(max(counts.values(), default=1) == 1, f"{endpoint} were asked for twice in one life")
            safe = {str(entry["id"]) for entry in delivered(self._slow, endpoint, safe_before)}
            require(safe <= stored[endpoint], f"{len(safe - stored[endpoint])} {endpoint} are lost")
            gone += len(set(counts) - stored[endpoint])
        require(gone <= ONE_COMMIT, f"{gone} answers are lost, which is more than a commit holds")
        self._asked.update({f"{e} {i}": n for e, counts in given.items() for i, n in counts.items()})
        self.tally.kills.append(Kill(hit, total, gone))

    def _first_seen_is_kept(self) -> None:
        now: dict[int, datetime] = dict(self._command.rows("SELECT tmdb_id, first_seen_at FROM refresh_metadata"))
        require(self._first_seen.items() <= now.items(), "a movie that was seen before is new, or gone")
        self._first_seen = now

    def _end(self) -> None:
        """A rerun ends complete, and another one asks nothing."""
        for life in range(2):
            self._fast.clear_log()
            stored = self._stored_ids()
            options = self._years if life == 0 else ("--refresh-only",)
            result = self._command.asking(self._fast).call("collect", "--json", *options, *ALL)
            require(result.code == 0, f"the rerun failed: {result.err}")
            for endpoint in ("details", "omdb"):
                require(not set(asked(self._fast, endpoint)) & stored[endpoint], f"stored {endpoint} were asked for")
                self._asked.update(f"{endpoint} {i}" for i in asked(self._fast, endpoint))
        require(self._fast.requests() == {"tmdb": 0, "omdb": 0}, "a third run asked again")
        require(one_truth(self._command, "tmdb") == self._movies, "movies are missing in the end")
        one_truth(self._command, "omdb")
        no_orphans(self._command)
        self._first_seen_is_kept()
        stats = self._command.call("stats", "--json").json
        require(stats["total_movies"] == stats["fully_refreshed"] == len(self._movies), f"not complete: {stats}")
        self.tally.movies, self.tally.requests = len(self._asked), self._asked.total()
        self.tally.over = max(0, self.tally.requests - self.tally.movies - sum(k.gone for k in self.tally.kills))
        require(self.tally.over == 0, f"{self.tally.over} requests more than movies and kills account for")


def main(arguments: Sequence[str]) -> int:
    """Run campaigns of ten kills with seeds 1, 2, …; returns the exit code."""
    campaigns = int(arguments[0]) if arguments else 10
    tally = Tally()
    broken = 0
    with StandIn(CATALOGUE, oddities=0) as fast, StandIn(CATALOGUE, oddities=0, latency_seconds=LATENCY) as slow:
        movies = movies_to_find(fast)
        for seed in range(1, campaigns + 1):
            with tempfile.TemporaryDirectory() as folder:
                campaign = Campaign(Path(folder), slow, fast, movies, seed)
                try:
                    campaign.run(10)
                except Broken as error:
                    broken += 1
                    _say(f"seed {seed}: BROKEN: {error}")
                else:
                    _say(f"seed {seed}: {campaign.tally.describe()}")
                tally.add(campaign.tally)
    _say(f"{campaigns} campaigns, invariants broken in {broken}: {tally.describe()}")
    return 1 if broken else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
