"""A small collection for the tests of the dashboard, and asking its pages without a socket. No tests."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from ayne_dagster.config import Settings
from ayne_dagster.dashboard.app import Dashboard, create_app
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.warehouse.database import Database
from ayne_dagster_tests.support.samples import details, listed, merge_details, merge_listed, merge_ratings, ratings
from ayne_dagster_tests.support.samples import without_row as failed

NOW = datetime.now(UTC)
HOSTILE = "<script>alert(1)</script>\u202egnp.exe\x07\x1b[31m' onmouseover=\"x"
PAGES = ("/", "/queue", "/history", "/catalogue", "/health", "/movie/550", "/search?q=fight", "/part/now")
BASE = "http://127.0.0.1:3001"


def collected(folder: Path, title: str = "Fight Club") -> Settings:
    """The settings of a database with three movies: one with a history, one that failed, one never asked for."""
    settings = Settings(database=folder / "films.duckdb", dagster_home=folder / "home", tmdb_read_token="t")
    earlier, later = NOW - timedelta(days=40), NOW - timedelta(hours=2)
    with Database(settings.database).connect() as connection:
        merge_listed(connection, listed(550, earlier, title=title), listed(551, earlier), listed(552, earlier))
        merge_details(connection, details(550, earlier, title=title, revenue=90_000_000), failed(Outcome.FAILED, 551))
        merge_ratings(connection, ratings(550, earlier, imdb_rating=8.1))
        merge_details(connection, details(550, later, title=title, revenue=100_853_753), run_id="run-now")
        merge_ratings(connection, ratings(550, later, imdb_rating=8.8), run_id="run-now")
    return settings


@contextmanager
def served(settings: Settings, lines: Any = ()) -> Iterator[ASGIApp]:
    """The application; what it made for reading is gone afterwards."""
    app: Any = create_app(settings, lambda: lines)
    try:
        yield app
    finally:
        shared_by(app).close()


def shared_by(app: Any) -> Dashboard:
    """What the pages of an application share: behind the guard, and what marks its answers."""
    inner = app._app.__closure__[0].cell_contents
    shared: Dashboard = inner.state.dashboard
    return shared


def ask(app: ASGIApp, path: str, method: str = "GET", base: str = BASE, **headers: str) -> httpx.Response:
    """What a page is, without a socket."""

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, headers={n.replace("_", "-"): v for n, v in headers.items()})

    return asyncio.run(asked())


def recorded_run(home: Path, run_id: str, status: str, **tags: str) -> None:
    """A run as Dagster records it in its home."""
    (home / "history").mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(home / "history" / "runs.db")) as connection, connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY, run_id, pipeline_name, status,"
            " create_timestamp, start_time FLOAT, end_time FLOAT)"
        )
        connection.execute("CREATE TABLE IF NOT EXISTS run_tags (run_id, key, value)")
        connection.execute(
            "INSERT INTO runs (run_id, pipeline_name, status, create_timestamp, start_time) VALUES (?, ?, ?, ?, ?)",
            [run_id, "refresh_movies", status, "2026-11-28 01:40:27.942049", 1795830028.1],
        )
        connection.executemany("INSERT INTO run_tags VALUES (?, ?, ?)", [(run_id, k, v) for k, v in tags.items()])
