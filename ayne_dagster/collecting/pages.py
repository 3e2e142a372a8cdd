"""Figures from pages of The Numbers, one movie after another, each stored as it comes. No Dagster.

A page takes five seconds at least, a movie one to four pages: apart from the assets, whose answers wait for nothing so
slow. What was asked, and when, is in the fetch log like every other attempt; by that a movie is due again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from ayne_dagster.config import Settings
from ayne_dagster.refresh.ages import AGE_TABLE, by_age_sql
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.sources.errors import MalformedAnswer, QuotaExhausted, RequestRejected, SourceError
from ayne_dagster.sources.limits.ledger import LedgerError
from ayne_dagster.sources.the_numbers.client import AsyncNumbersClient
from ayne_dagster.warehouse.answers import RowChange
from ayne_dagster.warehouse.best_figures import put_precedence
from ayne_dagster.warehouse.figures import StatedFigures, merge_figures
from ayne_dagster.warehouse.lease import lease
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.schema import FETCH_LOG
from ayne_dagster.warehouse.store import Store

SOURCE = "the_numbers"
"""In `box_office`, in the fetch log, and as the name of the account."""
_INTERVAL = by_age_sql([str(band.interval_days["numbers"]) for band in AGE_TABLE])


@dataclass(frozen=True, slots=True)
class SoughtPage:
    """A movie whose page is looked for."""

    tmdb_id: int
    release_year: str
    title: str
    year: int


@dataclass
class PagesReport:
    """What reading pages did."""

    asked: int = 0
    """Movies."""
    found: int = 0
    """Movies with a page that is surely theirs."""
    changed: int = 0
    """Of these, movies with new or other figures."""
    failed: int = 0
    requests: int = 0
    due_left: int = 0
    stopped: str | None = None
    """Why nothing more is asked, where movies are left that should have been."""


def read_pages(
    database: Store,
    settings: Settings,
    open_client: Callable[[], AsyncNumbersClient],
    limit: int,
    *,
    run_id: str,
    tell: Callable[[str], object],
) -> PagesReport:
    """Ask for the pages of movies that are due for it: those never asked for first, the newest release first.

    Args:
        database: the warehouse.
        settings: with terms acknowledged and a contact.
        open_client: makes what asks for a page.
        limit: movies at most.
        run_id: noted in history and log.
        tell: told of waits and of each movie, in a sentence.

    Raises:
        InvalidCredentials: the site may not be asked.
        WarehouseError: the database cannot be used.
    """
    with lease(database, SOURCE, tell):
        with database.connect(read_only=True) as connection:
            due = due_pages(connection, settings.now(), limit)
        report = PagesReport()
        asyncio.run(_Reading(database, settings, open_client, run_id, tell, report).run(due))
        with database.connect(read_only=True) as connection:
            report.due_left = pages_left(connection, settings.now())
    return report


def due_pages(connection: duckdb.DuckDBPyConnection, now: datetime, limit: int) -> list[SoughtPage]:
    """The movies whose pages are due at `now`, in order: released, with a title, by the intervals of box office."""
    rows = connection.execute(
        f"SELECT tmdb_id, release_year, title, year(release_date) FROM ({_DUE})"
        " ORDER BY asked_at IS NOT NULL, release_date DESC, tmdb_id LIMIT $limit",
        {"now": naive_utc(now), "limit": limit},
    ).fetchall()
    return [SoughtPage(*row) for row in rows]


def pages_left(connection: duckdb.DuckDBPyConnection, now: datetime) -> int:
    """How many movies are due for a page."""
    return int(connection.execute(f"SELECT count(*) FROM ({_DUE})", {"now": naive_utc(now)}).fetchall()[0][0])


_RELEASED = f"""
    SELECT m.tmdb_id, m.release_year, m.release_date, coalesce(d.title, l.title) AS title, a.asked_at
    FROM refresh_metadata AS m
    LEFT JOIN tmdb_details AS d USING (tmdb_id)
    LEFT JOIN discovered_movies AS l USING (tmdb_id)
    LEFT JOIN (
        SELECT tmdb_id, max(fetched_at) AS asked_at FROM fetch_log WHERE source = '{SOURCE}' GROUP BY tmdb_id
    ) AS a USING (tmdb_id)
    WHERE m.release_date <= CAST($now AS DATE) AND m.tmdb_tombstoned_at IS NULL
      AND coalesce(d.title, l.title) IS NOT NULL"""
_DUE = f"""
    SELECT * FROM ({_RELEASED})
    WHERE asked_at IS NULL OR asked_at <= $now - to_days(CAST({_INTERVAL} AS INTEGER)) OR asked_at > $now"""


class _Reading:
    """One after another, until all are asked or nothing more may be."""

    def __init__(
        self,
        database: Store,
        settings: Settings,
        open_client: Callable[[], AsyncNumbersClient],
        run_id: str,
        tell: Callable[[str], object],
        report: PagesReport,
    ) -> None:
        self._database = database
        self._settings = settings
        self._open_client = open_client
        self._run_id = run_id
        self._tell = tell
        self._report = report

    async def run(self, due: list[SoughtPage]) -> None:
        if not due:
            return
        with self._database.transaction() as connection:
            put_precedence(connection, self._settings.box_office)
        async with self._open_client() as client:
            client.account.on_wait = self._tell
            for movie in due:
                if not await self._ask(client, movie):
                    return

    async def _ask(self, client: AsyncNumbersClient, movie: SoughtPage) -> bool:
        """Ask for one page and store what it states; returns whether more may be asked."""
        try:
            figures, requests = await client.fetch_figures(movie.title, movie.year)
        except (MalformedAnswer, RequestRejected) as error:
            self._report.failed += 1
            self._store(movie, Outcome.FAILED, error.requests, reason=str(error))
            return True
        except (QuotaExhausted, SourceError, LedgerError) as error:
            # It concerns all movies alike, and this one is not blamed for it.
            self._report.requests += getattr(error, "requests", 0)
            self._report.stopped = str(error)
            return False
        if figures is None:
            self._store(movie, Outcome.ABSENT, requests, reason="no page that is surely of it")
            return True
        self._report.found += 1
        self._store(movie, Outcome.FETCHED, requests, figures={SOURCE: figures})
        return True

    def _store(
        self,
        movie: SoughtPage,
        outcome: Outcome,
        requests: int,
        *,
        reason: str | None = None,
        figures: Mapping[str, Any] | None = None,
    ) -> None:
        """Figures and log of one movie, in one transaction."""
        at = self._settings.now()
        with self._database.transaction() as connection:
            kind = RowChange.UNCHANGED
            if figures is not None:
                stated = {movie.tmdb_id: StatedFigures(movie.release_year, at, figures)}
                kind = merge_figures(connection, stated, self._run_id)[movie.tmdb_id]
            logged = {
                "tmdb_id": movie.tmdb_id,
                "source": SOURCE,
                "fetched_at": naive_utc(at),
                "outcome": str(outcome),
                "changed": kind is not RowChange.UNCHANGED,
                "requests": requests,
                "reason": reason,
                "run_id": self._run_id,
            }
            insert_rows(connection, FETCH_LOG, [logged])
        self._report.asked += 1
        self._report.requests += requests
        self._report.changed += kind is not RowChange.UNCHANGED
        self._tell(f"{movie.title} ({movie.year}): {reason or f'figures: {len((figures or {})[SOURCE])}'}")
