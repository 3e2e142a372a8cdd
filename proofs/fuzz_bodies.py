"""Mutates bodies of the stand-in and sends them through clients, models, normalizers and the merge. Outside the suite.

    python -m proofs.fuzz_bodies --seconds 60 --seed 1

What must hold for any body and status: the outcome is an answer, a quarantined body, or an error of `sources.errors`;
what comes of it can be stored in DuckDB and is read back equal. Anything else is printed with the seed of its body, and
the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import httpx

from ayne_dagster.collecting.asking import details_fetcher, ratings_fetcher
from ayne_dagster.collecting.listing import Listed, discover
from ayne_dagster.collecting.progress import Progress
from ayne_dagster.config import ApiSettings, Settings
from ayne_dagster.sources.errors import SourceError
from ayne_dagster.sources.omdb.client import AsyncOMDBClient
from ayne_dagster.sources.tmdb.client import AsyncTMDBClient
from ayne_dagster.sources.tmdb.models import SUB_RESOURCES
from ayne_dagster.standin.catalogue import Catalogue, dump
from ayne_dagster.warehouse.answers import Answer, ListedMovie, QuarantinedBody
from ayne_dagster.warehouse.merge import merge_answers, merge_listing, quarantine
from ayne_dagster.warehouse.refresh_metadata import DueMovie, new_state_row
from ayne_dagster.warehouse.rows import insert_rows, read_rows
from ayne_dagster.warehouse.schema import (
    DISCOVERED_MOVIES,
    OMDB_RATINGS,
    REFRESH_METADATA,
    TABLES,
    TMDB_DETAILS,
    Table,
)

BATCH = 100
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
YEAR = (date(2024, 1, 1), date(2024, 12, 31))
TMDB, OMDB, LISTING = "tmdb", "omdb", "listing"
STATUSES = (200, 200, 200, 200, 200, 200, 200, 200, 200, 204, 400, 401, 404, 422, 429, 500, 503)


class Judge:
    """Sends bodies through the real clients over a wire that answers them, and stores what comes of it, in batches.

    Raises whatever is no outcome of ours, and AssertionError when what was stored is not what was meant.
    """

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._reply = (200, b"")
        self._pending: dict[tuple[str, int], Answer] = {}
        wire = httpx.MockTransport(lambda _: httpx.Response(self._reply[0], content=self._reply[1]))
        api = ApiSettings("http://api.example", 0, 40, 5, retry_wait=0)
        settings = Settings(tmdb=api, omdb=api, tmdb_read_token="token-of-tmdb", omdb_api_key="feedc0de")
        self._tmdb = AsyncTMDBClient(settings=settings, wire=wire)
        self._omdb = AsyncOMDBClient(settings=settings, wire=wire)
        self._connection = duckdb.connect()
        for table in TABLES:
            self._connection.execute(table.ddl())

    def close(self) -> None:
        """End the event loop and the database."""
        self._runner.close()
        self._connection.close()

    def outcome(self, kind: str, status: int, body: bytes, tmdb_id: int = 1, imdb_id: str = "tt0000001") -> str:
        """What becomes of a body, in a word: fetched, quarantined …, or the name of a source's error."""
        self._reply = (status, body)
        try:
            if kind == LISTING:
                return self._store_listing(self._runner.run(self._list()))
            fetch = details_fetcher(self._tmdb, _now) if kind == TMDB else ratings_fetcher(self._omdb, _now)
            due = DueMovie(tmdb_id, "1999", date(1999, 10, 15), imdb_id, {})
            answer: Answer = self._runner.run(fetch(due))
        except SourceError as error:
            self._omdb.account.exhausted_on = None
            refusal = error
        else:
            return self._noted(kind, tmdb_id, answer)
        assert str(refusal).splitlines() == [str(refusal)]
        return type(refusal).__name__

    def _noted(self, kind: str, tmdb_id: int, answer: Answer) -> str:
        if len(self._pending) >= BATCH or (kind, tmdb_id) in self._pending:
            self.flush()
        self._pending[kind, tmdb_id] = answer
        return str(answer.outcome)

    async def _list(self) -> list[Listed]:
        listed: list[Listed] = []

        async def emit(item: Listed) -> None:
            listed.append(item)

        await discover(self._tmdb, YEAR, emit, min_votes=0, max_pages=2, now=_now, progress=Progress())
        return listed

    def flush(self) -> None:
        """Store what is pending, and compare."""
        pending, self._pending = self._pending, {}
        for kind, table in ((TMDB, TMDB_DETAILS), (OMDB, OMDB_RATINGS)):
            answers = {i: answer for (at, i), answer in pending.items() if at == kind}
            if answers:
                self._store_answers(table, kind, answers)

    def _store_answers(self, table: Table, source: str, answers: dict[int, Answer]) -> None:
        with _rolled_back(self._connection):
            known = [new_state_row(i, a.at, "1999") | {"imdb_id": a.asked_imdb_id} for i, a in answers.items()]
            insert_rows(self._connection, REFRESH_METADATA, known)
            merge_answers(self._connection, table, source, answers.values(), "run-1")
            self._assert_stored(table, [answer.row for answer in answers.values() if answer.row is not None])
            logged = dict(self._connection.execute("SELECT tmdb_id, reason FROM fetch_log").fetchall())
            assert logged == {i: answer.reason or None for i, answer in answers.items()}
            assert not [reason for reason in logged.values() if "\n" in (reason or "")]

    def _store_listing(self, listed: Sequence[Listed]) -> str:
        movies = [item for item in listed if isinstance(item, ListedMovie)]
        bodies = [item for item in listed if isinstance(item, QuarantinedBody)]
        with _rolled_back(self._connection):
            merge_listing(self._connection, movies, "run-1")
            quarantine(self._connection, bodies, "run-1")
            self._assert_stored(DISCOVERED_MOVIES, [movie.row for movie in movies])
        return "listed, some quarantined" if movies and bodies else "listed" if movies else "quarantined"

    def _assert_stored(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        stored = read_rows(self._connection, table, [row["tmdb_id"] for row in rows])
        for row in rows:
            found = stored[row["tmdb_id"]]
            different = {name: (row[name], found[name]) for name in table.content if found[name] != row[name]}
            assert not different, (row["tmdb_id"], different)


class _rolled_back:
    """A transaction that leaves nothing, for the length of the block."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN")

    def __exit__(self, *_: object) -> None:
        self._connection.execute("ROLLBACK")


def _now() -> datetime:
    return NOW


ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63 - 1, 2**63, -(2**63), 10**30, 0.1, -0.0, 1e308, 5e-324),
    *("", " ", "N/A", "0", "-1", "NaN", "0000-00-00", "1999-10-15", "9999-12-31", "2024-02-30", "15 Oct 1999", "tt0"),
    *("\x00", "\x1b[2J", "\ud800", "\udfff\ud83d", "😀", "\u202e", "=1+1", "'; DROP TABLE movies; --", "a" * 10_000),
    *([], {}, [[]], [None], {"name": None}, {"name": {"name": []}}, ["tt0137523"], "1,234,567", "$1.2B", "90%", "8/10"),
)
TOKENS: tuple[bytes, ...] = (
    *(b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"\\ud800", b"\\u0000", b"\\x", b"\\", b'"', b"'", b"\x00", b"\x08"),
    *(b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"{", b"}", b"[" * 2000, b"]", b",", b":", b"null", b"</html>"),
    *(b"true", b"-", b"0x10", b"\n", b"/*", b"\x1f\x8b"),
)


def spoil(body: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """A body with something wrong in it: in its values, in its bytes, or in both."""
    if chance.random() < 0.6:
        body = _with_odd_values(body, chance)
    for _ in range(chance.choice((0, 0, 1, 1, 2, 5))):
        body = _with_odd_bytes(body, others, chance)
    return gzip.compress(body, 1) if chance.random() < 0.02 else body


def _with_odd_values(body: bytes, chance: random.Random) -> bytes:
    try:
        value = json.loads(body)
    except ValueError:  # some of the stand-in's own are as invalid as OMDb's
        return body
    for _ in range(chance.randint(1, 4)):
        places = list(_places(value))
        holder, key = chance.choice(places)
        action = chance.random()
        if action < 0.7:
            holder[key] = chance.choice(ODD_VALUES)
        elif action < 0.85:
            del holder[key]
        else:
            other, other_key = chance.choice(places)
            holder[key] = json.loads(json.dumps(other[other_key])) if other_key in _keys(other) else None
    return json.dumps(value, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each holder and key below a value; one at least."""
    pending = [value]
    while pending:
        holder = pending.pop()
        for key in list(_keys(holder)):
            yield holder, key
            if isinstance(holder[key], dict | list):
                pending.append(holder[key])
    if not _keys(value):
        yield [None], 0


def _keys(holder: Any) -> Any:
    return holder.keys() if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()


def _with_odd_bytes(body: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    begin = chance.randrange(len(body) + 1)
    end = min(len(body), begin + chance.choice((0, 1, 1, 2, 8, 64, 1000)))
    action = chance.randrange(6)
    if action == 0:  # cut out
        return body[:begin] + body[end:]
    if action == 1:  # twice
        return body[:end] + body[begin:]
    if action == 2:  # flipped
        return body[:begin] + bytes(b ^ (1 << chance.randrange(8)) for b in body[begin : begin + 1]) + body[begin + 1 :]
    if action == 3:  # ended too soon
        return body[:begin]
    if action == 4:  # another body's part
        other = chance.choice(others)
        start = chance.randrange(len(other))
        return body[:begin] + other[start : start + 200] + body[end:]
    return body[:begin] + chance.choice(TOKENS) + body[end:]


def good_bodies() -> dict[str, list[tuple[int, str, bytes]]]:
    """What the stand-in answers: by kind, the ids that are asked for and the body."""
    catalogue = Catalogue(150, epoch=NOW.date(), oddities=0.3)
    bodies: dict[str, list[tuple[int, str, bytes]]] = {TMDB: [], OMDB: [], LISTING: []}
    for tmdb_id in catalogue.ids(NOW):
        imdb_id = catalogue.imdb_id_of(tmdb_id) or "tt0000001"
        bodies[TMDB].append((tmdb_id, imdb_id, dump(catalogue.details(tmdb_id, NOW, frozenset(SUB_RESOURCES)))))
        if (text := catalogue.omdb_text(imdb_id, NOW)) is not None:
            bodies[OMDB].append((tmdb_id, imdb_id, text))
    for page in range(1, 6):
        bodies[LISTING].append((1, "", dump(catalogue.discover(NOW, start=None, end=None, page=page))))
    return bodies


def fuzz(seed: int, count: int, seconds: float) -> tuple[Counter[str], list[str]]:
    """Fuzz so many bodies, or for so long; returns the outcomes, and what must not have happened.

    Each body has a generator of its own, seeded by the seed and its number, so that one alone can be made again.
    """
    judge, bodies = Judge(), good_bodies()
    everything = [body for kind in bodies.values() for _, _, body in kind]
    outcomes: Counter[str] = Counter()
    violations: list[str] = []
    deadline = time.monotonic() + seconds
    for number in range(count):
        if time.monotonic() > deadline or len(violations) >= 20:
            break
        chance = random.Random(f"{seed}:{number}")
        kind = chance.choice((TMDB, TMDB, TMDB, OMDB, OMDB, OMDB, LISTING))
        tmdb_id, imdb_id, body = chance.choice(bodies[kind])
        status, body = chance.choice(STATUSES), spoil(body, everything, chance)
        try:
            outcomes[f"{kind}: {judge.outcome(kind, status, body, tmdb_id, imdb_id)}"] += 1
        except Exception:  # noqa: BLE001 -- whatever it is, it is a finding
            violations.append(
                f"up to body {number} of seed {seed} ({kind}, HTTP {status}):\n{traceback.format_exc(limit=-6)}"
            )
    try:
        judge.flush()
    except Exception:  # noqa: BLE001
        violations.append(f"the last batch of seed {seed}:\n{traceback.format_exc(limit=-6)}")
    judge.close()
    return outcomes, violations


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz, print what came out, and return 1 when something did that must not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000, help="bodies at most")
    parser.add_argument("--seconds", type=float, default=60.0, help="seconds at most")
    parser.add_argument("--seed", type=int, default=1895)
    options = parser.parse_args(arguments)
    outcomes, violations = fuzz(options.seed, options.count, options.seconds)
    lines = [f"{number:>9,}  {outcome}" for outcome, number in sorted(outcomes.items())]
    lines.append(f"{sum(outcomes.values()) + len(violations):>9,}  bodies fuzzed, seed {options.seed}")
    lines.append(f"{len(violations):>9,}  of them ended in what must not happen")
    sys.stdout.write("\n".join([*violations, *lines]) + "\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
