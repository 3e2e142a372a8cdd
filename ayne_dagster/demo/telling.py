"""What happens in the live demonstration, in lines for a terminal. It only looks, and starts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

import dagster as dg

from ayne_dagster.config import API_OF, API_TITLES, Settings
from ayne_dagster.runs.budgets import source_budgets
from ayne_dagster.runs.own_runs import FINISHED
from ayne_dagster.sources.limits.account import accounts_of
from ayne_dagster.sources.limits.ledger import LedgerError, open_ledger
from ayne_dagster.warehouse.client import DuckDBClient
from ayne_dagster.warehouse.database import WarehouseError

_COUNTED = {
    "total_movies": "movies found",
    "with_tmdb": "with details",
    "with_omdb": "with ratings",
    "frozen": "frozen",
}
"""Numbers of `ayne stats` whose growth is told."""
_ANSWERS = "SELECT count(*) AS asked, count(*) FILTER (WHERE changed) AS changed FROM fetch_log"
_RUNS_AT_ONCE = 20


class Reporter:
    """Tells what has happened since it was last asked.

    Args:
        settings: of the demonstration.
        instance: where its runs are.
    """

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self._settings, self._instance = settings, instance
        self._client = DuckDBClient(settings.database, settings=settings)
        self._accounts = accounts_of(settings, open_ledger(settings), settings.now)
        self._known = {run.run_id for run in instance.get_runs()}
        self._counts = self._count()
        self._used_up: set[tuple[str, str]] = set()
        self._waits: set[tuple[str, int]] = set()

    def now(self) -> datetime:
        """What time it is in the demonstration."""
        return self._settings.now()

    def news(self, now: datetime) -> Iterator[str]:
        """What there is to tell: runs that ended, steps that wait, quotas that are used up."""
        yield from self._ended_runs()
        yield from self._waiting_steps()
        yield from self._used_up_quotas(now)

    def _ended_runs(self) -> Iterator[str]:
        for run in reversed(self._instance.get_runs(dg.RunsFilter(statuses=FINISHED), limit=_RUNS_AT_ONCE)):
            if run.run_id in self._known:
                continue
            self._known.add(run.run_id)
            how = {"SUCCESS": "done", "FAILURE": "failed", "CANCELED": "canceled"}[run.status.value]
            yield f"{run.job_name} {how}{self._growth()}"

    def _waiting_steps(self) -> Iterator[str]:
        """Steps whose source was down, and that Dagster tries again."""
        for run in self._instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            waits = self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)
            if waits and (key := (run.run_id, len(waits))) not in self._waits:
                self._waits.add(key)
                yield f"{run.job_name} waits: {waits[-1].step_key} is tried again in a minute or two"

    def _growth(self) -> str:
        """What has come since it was looked at last; nothing while somebody writes to the database."""
        with suppress(WarehouseError):
            before, self._counts = self._counts, self._count()
            grown = {name: number - before[name] for name, number in self._counts.items()}
            told = [f"{grown['asked']:,} looked at, {grown['changed']:,} new or changed"] if grown["asked"] > 0 else []
            told += [
                f"{grown[name]:+,} {what} ({self._counts[name]:,})" for name, what in _COUNTED.items() if grown[name]
            ]
            return f": {', '.join(told)}" if told else ""
        return ""

    def _count(self) -> dict[str, int]:
        (answers,) = self._client.query(_ANSWERS)
        return {**self._client.get_collection_stats(), **answers}

    def _used_up_quotas(self, now: datetime) -> Iterator[str]:
        with suppress(LedgerError):
            for source, budget in source_budgets(self._accounts, now).items():
                is_over = budget.use.exhausted or (budget.plan is not None and not budget.plan.left)
                if is_over and (key := (source, f"{now:%Y-%m-%d}")) not in self._used_up:
                    self._used_up.add(key)
                    yield budget.hindrance or f"{API_TITLES[API_OF[source]]}'s requests of today are used up."
