"""Whole collections through faults: discovery, details, ratings by the real assets over HTTP, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from ayne_dagster.config import ApiSettings, Settings
from ayne_dagster.definitions import build_defs
from ayne_dagster.runs.batch import range_tags
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.schema import HASHED_TABLES, REFRESH_METADATA, content_hash_column
from ayne_dagster_tests.conftest import START

YEARS = ("2016", "2021")
CONTENT = {table.name: ("release_year", *table.content) for table in HASHED_TABLES}
STATE = (
    *("release_year", "release_date", "imdb_id", "unchanged_cycles", "override"),
    *(f"{source}_{column}" for source in ("tmdb", "omdb") for column in ("failures", "missing_since", "tombstoned_at")),
    *(content_hash_column(table) for table in HASHED_TABLES),
)
"""The refresh state but for times, and for what is worked out of it at some instant."""
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
Rows = dict[int, tuple[Any, ...]]

COLLECTED = {
    dg.AssetKey([name])
    for name in (
        "discovered_movies",
        "tmdb_details",
        "omdb_ratings",
        "refresh_metadata",
        "movies",
        "collection_status",
    )
}
"""The feeds are left out: a second asset of TMDB's would wait for the pool long after the first has failed."""


@dataclass
class Collection:
    """A database and what fills it. The stand-in's clock stands, whatever time the platform believes it to be."""

    folder: Path
    standin: StandIn
    instance: dg.DagsterInstance
    failures: list[str] = field(default_factory=list)
    """What Dagster says of the runs that failed."""

    @property
    def database(self) -> Path:
        return self.folder / "ayne.duckdb"

    def run(self, now: datetime = START) -> None:
        """Discovery, details, ratings and what follows from them, in one run."""
        limit = {"config": {"limit": 1000}}
        config = {"discovered_movies": {"config": {"min_votes": 0}}, "tmdb_details": limit, "omdb_ratings": limit}
        settings = Settings(
            database=self.database,
            tmdb=ApiSettings(self.standin.tmdb_url, 0, 40, 10, retry_wait=0.002),
            omdb=ApiSettings(self.standin.omdb_url, 0, 40, 5, retry_wait=0.002),
            tmdb_read_token="demo",
            omdb_api_key="demo",
            clock_offset=now - datetime.now(UTC),
        )
        assets = build_defs(settings).resolve_implicit_global_asset_job_def().get_subset(asset_selection=COLLECTED)
        ended = assets.execute_in_process(
            instance=self.instance,
            tags=range_tags(*YEARS),
            run_config={"ops": config, **QUIET},
            raise_on_error=False,
        )
        for event in ended.all_events:
            if event.is_step_failure:
                self.failures.append(str(event.step_failure_data.user_failure_data or event.message))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def content(self) -> dict[str, Rows]:
        """The content columns of each table, by movie."""
        return {name: self._rows(name, columns) for name, columns in CONTENT.items()}

    def state(self) -> Rows:
        """The refresh state but for times, by movie."""
        return self._rows(REFRESH_METADATA.name, STATE)

    def _rows(self, table: str, columns: tuple[str, ...]) -> Rows:
        return {row[0]: row[1:] for row in self.query(f"SELECT tmdb_id, {', '.join(columns)} FROM {table}")}

    def differing(self, faultless: Collection) -> dict[str, set[int]]:
        """The movies whose rows are not those of a faultless collection, by table."""
        mine, right = self.content(), faultless.content()
        return {
            name: {i for i in mine[name].keys() | right[name].keys() if mine[name].get(i) != right[name].get(i)}
            for name in CONTENT
        }

    def unlisted(self, faultless: Collection) -> dict[str, set[int]]:
        """Of these, the movies that nothing accounts for: what was lost in silence."""
        differing = self.differing(faultless)
        details, ratings = self._troubled("tmdb"), self._troubled("omdb")
        not_shown = self._in_short_windows(faultless, differing["discovered_movies"])
        lost = {
            "discovered_movies": differing["discovered_movies"] - not_shown,
            "tmdb_details": differing["tmdb_details"] - details - not_shown,
            # Without details there is no IMDb id to ask OMDb for.
            "omdb_ratings": differing["omdb_ratings"] - ratings - details - not_shown,
        }
        return {name: ids for name, ids in lost.items() if ids}

    def _troubled(self, source: str) -> set[int]:
        """Movies that the log or the quarantine names; when a source went down, also those still to be asked for."""
        logged = self.query(
            f"SELECT tmdb_id FROM fetch_log WHERE source = '{source}' AND outcome <> 'fetched' AND reason IS NOT NULL"
            f" UNION SELECT tmdb_id FROM quarantine WHERE source = '{source}' AND tmdb_id IS NOT NULL"
        )
        deferred = self.query(f"SELECT tmdb_id FROM refresh_metadata WHERE {source}_attempted_at IS NULL")
        return {row[0] for row in logged} | ({row[0] for row in deferred} if self.failures else set())

    def _in_short_windows(self, faultless: Collection, ids: set[int]) -> set[int]:
        """Movies that were not found, in a span of release dates whose listing is in the quarantine."""
        spans = self.query(
            "SELECT DISTINCT split_part(subject, ' ', 2)::DATE, trim(split_part(subject, ' ', 4), ',')::DATE"
            " FROM quarantine WHERE subject LIKE 'discover %'"
        )
        released = dict(faultless.query("SELECT tmdb_id, release_date FROM discovered_movies"))
        known = self._rows("discovered_movies", ("title",))
        return {i for i in ids if i not in known and any(first <= released[i] <= last for first, last in spans)}
