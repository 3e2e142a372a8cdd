"""Collects with the further source, in a process of its own, and tells as JSON what came of it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from ayne_dagster import doctor
from ayne_dagster.automation.due_movies import due_movies_sensor
from ayne_dagster.commands.collecting import _describe_collection
from ayne_dagster.config import Settings, load_settings
from ayne_dagster.definitions import build_defs
from ayne_dagster.demo.world import variables
from ayne_dagster.orchestrator import DataCollectionOrchestrator
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.resources.clients import build_resources
from ayne_dagster.runs.batch import range_tags
from ayne_dagster.runs.budgets import source_budgets
from ayne_dagster.sources.limits.account import accounts_of
from ayne_dagster.sources.limits.ledger import open_ledger
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.care.integrity import check_database
from ayne_dagster.warehouse.client import DuckDBClient
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.lease import lease_path
from ayne_dagster.warehouse.questions import explain_movie
from ayne_dagster.warehouse.refresh_metadata import due_movies
from ayne_dagster.warehouse.spool import Origin, keep, kept
from ayne_dagster_tests.locations import LOCATIONS, locations
from ayne_dagster_tests.locations.server import Served, served

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Proof:
    """A database, a stand-in for the others, and the server of the further source."""

    def __init__(self, folder: Path, standin: StandIn, server: Served) -> None:
        self._file = folder / "ayne.duckdb"
        self._standin = standin
        self._server = server

    def settings(self, now: datetime) -> Settings:
        """As the environment would say, with the platform's clock at an instant."""
        self._standin.set_now(now)
        ours = {
            "AYNE_PLACES_BASE_URL": self._server.url,
            "AYNE_PLACES_REQUESTS_PER_SECOND": "0",
            "AYNE_PLACES_DAILY_QUOTA": "400",
            "AYNE_CLOCK_OFFSET_DAYS": str((now - datetime.now(UTC)) / timedelta(days=1)),
            "AYNE_SENSOR_MIN_BATCH": "1",
        }
        return load_settings(variables(self._standin, self._file) | ours)

    def query(self, sql: str) -> list[dict[str, Any]]:
        return DuckDBClient(self._file).query(sql)

    def discover(self, instance: dg.DagsterInstance) -> None:
        job = build_defs(self.settings(START)).resolve_job_def("discover_movies")
        assert job.execute_in_process(instance=instance, tags=range_tags("2017", "2024"), run_config=QUIET).success

    def sensed(self, instance: dg.DagsterInstance) -> dict[str, Any]:
        """What the sensor requests, and what came of the run."""
        settings = self.settings(START)
        with dg.build_sensor_context(instance=instance, resources=build_resources(settings)) as context:
            request = due_movies_sensor(context)
        assert isinstance(request, dg.RunRequest), request
        job = build_defs(settings).resolve_job_def("refresh_movies")
        run = job.execute_in_process(instance=instance, tags=request.tags, run_config={**request.run_config, **QUIET})
        told = [event.metadata for event in run.asset_materializations_for_node("locations")]
        checks = [each for each in run.get_asset_check_evaluations() if each.asset_key.path == ["locations"]]
        budget = source_budgets(accounts_of(settings, open_ledger(settings), settings.now), START)["locations"]
        return {
            "reasons": request.tags["ayne/reasons"],
            "told_fetched": sum(int(metadata["fetched"].value or 0) for metadata in told),  # type: ignore[arg-type]
            "checks": sorted(each.check_name for each in checks if each.passed),
            "asked": len(self._server.asked),
            "asked_twice": len(self._server.asked) - len(set(self._server.asked)),
            "known": len(self.query("SELECT tmdb_id FROM refresh_metadata")),
            "stored": self.query("SELECT tmdb_id, places FROM locations ORDER BY 1"),
            "logged": self.query(
                "SELECT outcome, count(*) AS n FROM fetch_log WHERE source = 'locations' GROUP BY 1 ORDER BY 1"
            ),
            "checked": self.query("SELECT count(locations_checked_at) AS n FROM refresh_metadata")[0]["n"],
            "hashed": self.query("SELECT count(locations_hash) AS n FROM refresh_metadata")[0]["n"],
            "used": budget.use.used,
            "quota": budget.plan.quota if budget.plan else None,
            "lease": lease_path(self._file, "locations").exists(),
        }

    def due_by_interval(self) -> dict[str, Any]:
        """By days after the answers: how many are due for the source."""
        found = {}
        with Database(self._file).connect() as connection:
            for days in (0, 9, 10, 20, 40, 99, 100):
                at = START + timedelta(days=days, minutes=1)
                found[str(days)] = len(due_movies(connection, ("locations",), at, 1000))
            some = min(self._server.asked)
            explained = explain_movie(connection, some, START)
        assert explained is not None
        return {"due": found, "explained": explained["sources"]["locations"]}

    def collected_later(self) -> dict[str, Any]:
        """A collection a year later, with an answer in the spool."""
        now = START + timedelta(days=365)
        absent = next(number for number in self._server.asked if number % 2)
        row = {"tmdb_id": absent, "release_year": "2020", "places": ["Kept"], "visits": 1}
        answer = Answer(absent, Outcome.FETCHED, now - timedelta(hours=1), row, "2020")
        keep(self._file, Origin("locations", LOCATIONS.name, "earlier"), [answer])
        waiting = kept(self._file, "locations")
        settings = self.settings(now)
        result = DataCollectionOrchestrator(settings=settings).collect(None, refresh_limit=5).as_dict()
        lines = {line.name: [line.state, line.text] for line in doctor.examine(settings, online=True)}
        return {
            "waiting": waiting,
            "left_in_spool": kept(self._file, "locations"),
            "from_the_spool": self.query(f"SELECT places FROM locations WHERE tmdb_id = {absent}"),
            "result": result,
            "shown": _describe_collection(result).splitlines(),
            "doctor": {name: line for name, line in lines.items() if name.startswith("Places")},
            "findings": [str(finding) for finding in check_database(Database(self._file), now).findings],
        }


def proved(folder: Path) -> str:
    """All of it, as JSON."""
    with StandIn(60, epoch=date(2026, 1, 1)) as standin, served() as server:
        proof = Proof(folder, standin, server)
        with dg.DagsterInstance.ephemeral() as instance:
            proof.discover(instance)
            told = {"pool": locations.op.pool, "sensed": proof.sensed(instance)}
        return json.dumps(told | proof.due_by_interval() | {"later": proof.collected_later()}, default=str)
