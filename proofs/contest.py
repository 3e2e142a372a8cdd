"""Strategies side by side: the real sensor and assets on a stand-in while its days pass, judged by its truth.

Each strategy gets a stand-in, a database and a Dagster instance of its own, and the same budget. Nothing here decides
or fetches: it turns two clocks, evaluates the sensor, and executes the runs that the sensor requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from ayne_dagster.automation.due_movies import due_movies_sensor
from ayne_dagster.config import ApiSettings, Settings
from ayne_dagster.definitions import build_defs
from ayne_dagster.refresh.states import COLLECTED, SOURCES
from ayne_dagster.resources.clients import build_resources
from ayne_dagster.runs.batch import range_tags
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.client import DuckDBClient

EPOCH = date(2026, 1, 1)
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_ALL = 1_000_000


@dataclass(frozen=True)
class Conditions:
    """What all strategies of a contest meet.

    Args:
        movies: size of the stand-in's catalogue.
        days: days that pass.
        every: days from one evaluation of the sensor to the next.
        limit: movies a run and source.
        years: first and last release year that is discovered.
        seed: of the stand-in's catalogue.
        feed: whether TMDB's change feed is read before each evaluation.
    """

    movies: int = 300
    days: int = 60
    every: int = 5
    limit: int = 10
    years: tuple[str, str] = ("2015", "2027")
    seed: int = 1895
    feed: bool = False


@dataclass(frozen=True)
class Standing:
    """What a strategy achieved: shares of the known movies whose stored copy equalled the truth, over all rounds."""

    mean: Mapping[str, float]
    """By source; a movie counts alike whatever it is."""
    weighted: Mapping[str, float]
    """By source; a movie counts by its popularity."""
    requests: Mapping[str, int]
    """By source: movies asked for after the first collection."""


def contest(strategy: str, conditions: Conditions, folder: Path) -> Standing:
    """Let a strategy keep a collection fresh while the stand-in's days pass.

    Args:
        strategy: its name (`config.STRATEGIES`).
        conditions: the same for all.
        folder: where the database goes; one a strategy.

    Raises:
        dagster.DagsterInvariantViolationError: a run failed.
    """
    with collector(strategy, conditions, folder) as rounds:
        return rounds.play()


@contextmanager
def collector(strategy: str, conditions: Conditions, folder: Path) -> Iterator[Rounds]:
    """A stand-in, a database in the folder and a Dagster instance, for a strategy."""
    standin = StandIn(conditions.movies, epoch=EPOCH, seed=conditions.seed, oddities=0)
    with standin, dg.DagsterInstance.ephemeral() as instance:
        yield Rounds(strategy, conditions, standin, instance, folder / f"{strategy}.duckdb")


class Rounds:
    """The rounds of one strategy, on a stand-in whose clock they turn."""

    def __init__(
        self, strategy: str, conditions: Conditions, standin: StandIn, instance: dg.DagsterInstance, database: Path
    ) -> None:
        self._strategy, self._conditions, self._standin = strategy, conditions, standin
        self._instance, self._database = instance, database

    def play(self) -> Standing:
        """Collect everything once, then refresh within the limit, round by round."""
        self.discover(START)
        self.fetch_all(START)
        collected = self._asked()
        seen: list[dict[str, tuple[float, float]]] = []
        for day in range(self._conditions.every, self._conditions.days + 1, self._conditions.every):
            now = START + timedelta(days=day)
            self._standin.set_now(now)
            seen.append(self.freshness(now))  # the worst moment: just before something is asked
            self._refresh(now)
            seen.append(self.freshness(now))
        asked = self._asked()
        return Standing(
            mean={source: sum(moment[source][0] for moment in seen) / len(seen) for source in COLLECTED},
            weighted={source: sum(moment[source][1] for moment in seen) / len(seen) for source in COLLECTED},
            requests={source: asked[source] - collected[source] for source in COLLECTED},
        )

    def discover(self, now: datetime) -> None:
        """Discover all movies of the release years, however few votes they have."""
        self._run("discover_movies", now, {"ops": {"discovered_movies": {"config": {"min_votes": 0}}}})

    def fetch_all(self, now: datetime) -> None:
        """Fetch everything that is due, without a limit."""
        everything = {"config": {"limit": _ALL}}
        self._run("refresh_movies", now, {"ops": {"tmdb_details": everything, "omdb_ratings": everything}})

    def _refresh(self, now: datetime) -> None:
        """Read the change feed, if that is among the conditions; evaluate the sensor, and execute what it requests."""
        settings = self._settings(now)
        if self._conditions.feed:
            self._execute("read_change_feed", settings, {}, {})
        with dg.build_sensor_context(instance=self._instance, resources=build_resources(settings)) as context:
            requested = due_movies_sensor(context)
        if isinstance(requested, dg.RunRequest):
            self._execute("refresh_movies", settings, dict(requested.run_config), dict(requested.tags))

    def _run(self, job: str, now: datetime, run_config: dict[str, Any]) -> None:
        self._standin.set_now(now)
        self._execute(job, self._settings(now), run_config, range_tags(*self._conditions.years))

    def _execute(self, job: str, settings: Settings, run_config: dict[str, Any], tags: dict[str, str]) -> None:
        definition = build_defs(settings).resolve_job_def(job)
        definition.execute_in_process(instance=self._instance, tags=tags, run_config=run_config | QUIET)

    def _settings(self, now: datetime) -> Settings:
        return Settings(
            database=self._database,
            tmdb=ApiSettings(self._standin.tmdb_url, 0, 40, 10, retry_wait=0.002),
            omdb=ApiSettings(self._standin.omdb_url, 0, 40, 5, retry_wait=0.002),
            tmdb_read_token="demo",
            omdb_api_key="demo",
            clock_offset=now - datetime.now(UTC),
            refresh_limit=self._conditions.limit,
            sensor_min_batch=1,
            refresh_strategy=self._strategy,
        )

    def _asked(self) -> dict[str, int]:
        found = DuckDBClient(self._database).query("SELECT source, sum(requests) AS n FROM fetch_log GROUP BY source")
        return dict.fromkeys(COLLECTED, 0) | {row["source"]: int(row["n"]) for row in found}

    def freshness(self, now: datetime) -> dict[str, tuple[float, float]]:
        """Share of the known movies whose copy is current, by source: each alike, and weighted by popularity."""
        return {source: self._share(source, self.stale(source, now)) for source in COLLECTED}

    def stale(self, source: str, now: datetime) -> set[int]:
        """The known movies whose copy is not what the stand-in holds now: it changed since the last check."""
        version = self._standin.catalogue.version
        at: Literal["tmdb", "omdb"] = "omdb" if source == "omdb" else "tmdb"
        return {
            tmdb_id
            for tmdb_id, checked, _ in self._known(source)
            if checked is None or version(tmdb_id, at, checked.replace(tzinfo=UTC)) != version(tmdb_id, at, now)
        }

    def _share(self, source: str, stale: set[int]) -> tuple[float, float]:
        popularity = {tmdb_id: popularity for tmdb_id, _, popularity in self._known(source)}
        fresh = [popularity[tmdb_id] for tmdb_id in popularity.keys() - stale]
        return len(fresh) / len(popularity), sum(fresh) / sum(popularity.values())

    def _known(self, source: str) -> list[tuple[int, datetime | None, float]]:
        """Id, last check and popularity of the movies that the source can be asked for."""
        rows = DuckDBClient(self._database).query(
            f"SELECT tmdb_id, {source}_checked_at AS checked_at, coalesce(d.popularity, 0) AS popularity"
            " FROM refresh_metadata JOIN discovered_movies AS d USING (tmdb_id)"
            f" WHERE {'imdb_id IS NOT NULL' if SOURCES[source].needs_imdb_id else 'TRUE'}"
        )
        return [(row["tmdb_id"], row["checked_at"], row["popularity"]) for row in rows]
