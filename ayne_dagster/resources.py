"""Dagster resources: thin wrappers that turn configuration into the sources and the warehouse. No logic of their own.

https://docs.dagster.io/guides/build/external-resources
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import Field

from ayne_dagster.config import ANSWER_DEADLINE, STRATEGIES, ApiSettings, Settings
from ayne_dagster.keyring import key_of, name_of
from ayne_dagster.refresh.strategy import Strategy
from ayne_dagster.sources.account import Account, account_of
from ayne_dagster.sources.ledger import RequestLedger, open_ledger
from ayne_dagster.sources.omdb.client import AsyncOMDBClient
from ayne_dagster.sources.tmdb.client import AsyncTMDBClient
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.strategies import load_strategy


class DuckDBDatabase(DuckDBResource):
    """The warehouse file. Unlike its base it closes the file whatever happens, and waits only briefly for it.

    dagster-duckdb's resource has no `finally` (a failure leaks the connection, and with it the lock on the file) and
    retries for up to 102 s, longer than a sensor may take.
    """

    wait_seconds: float = Field(default=30.0, description="How long to wait for a file that another process holds")
    refresh_strategy: str = Field(default=STRATEGIES[0], description="What decides which movies are due")

    @property
    def file(self) -> Database:
        """The file, to be opened for milliseconds at a time."""
        return Database(Path(self.database), self.wait_seconds)

    def strategy(self, connection: duckdb.DuckDBPyConnection) -> Strategy:
        """What decides which movies are due, knowing what the warehouse knows."""
        return load_strategy(connection, self.refresh_strategy)

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """An open connection, with the schema in place."""
        with self.file.connect() as connection:
            yield connection


class Clock(dg.ConfigurableResource):  # type: ignore[type-arg]
    """What time it is: the only clock of the platform, so that demonstrations and tests can turn it."""

    offset_seconds: float = Field(default=0.0, description="How far the clock is turned forward")

    def now(self) -> datetime:
        """The present instant, aware UTC."""
        return datetime.now(UTC) + timedelta(seconds=self.offset_seconds)


class _ApiResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    base_url: str = Field(description="Address of the API")
    requests_per_second: float = Field(description="Sustained rate; 0: no pace")
    burst: int = Field(description="Size of the token bucket")
    max_concurrent: int = Field(description="Connections")
    daily_quota: int = Field(default=0, description="Requests a UTC day; 0: no limit")
    quota_reserve: int = Field(default=0, description="Requests of the daily quota that collections leave to people")
    retry_wait: float = Field(default=0.5, description="Seconds before the second attempt at a request")
    answer_deadline: float = Field(default=ANSWER_DEADLINE, description="Seconds that an answer may take as a whole")
    ledger: dg.ResourceDependency[RequestLedger]
    """Shared by all processes. An object, not configuration: its address may hold a password."""

    @property
    def api(self) -> ApiSettings:
        """The limits as the sources take them."""
        return ApiSettings(
            self.base_url,
            self.requests_per_second,
            self.burst,
            self.max_concurrent,
            self.daily_quota,
            self.quota_reserve,
            self.retry_wait,
            self.answer_deadline,
        )


class TMDBResource(_ApiResource):
    """Access to TMDB. Its configuration names its keys and holds none (see `keyring`)."""

    read_token_name: str | None = Field(default=None, description="Name of the API Read Access Token (bearer)")
    api_key_name: str | None = Field(default=None, description="Name of the v3 key, used where there is no token")

    def client(self, clock: Clock, *, use_reserve: bool = False) -> AsyncTMDBClient:
        """A new client; the caller closes it. Collections leave the quota's reserve to people unless told otherwise."""
        return AsyncTMDBClient(settings=self._settings, ledger=self.ledger, now=clock.now, use_reserve=use_reserve)

    def account(self, clock: Clock) -> Account:
        """Where the clients' requests are counted."""
        return account_of("tmdb", self._settings, self.ledger, clock.now)

    @property
    def _settings(self) -> Settings:
        return Settings(
            tmdb=self.api, tmdb_read_token=key_of(self.read_token_name), tmdb_api_key=key_of(self.api_key_name)
        )


class OMDBResource(_ApiResource):
    """Access to OMDb. Its configuration names its key and holds none (see `keyring`)."""

    api_key_name: str | None = Field(default=None, description="Name of the API key")

    def client(self, clock: Clock, *, use_reserve: bool = False) -> AsyncOMDBClient:
        """A new client; the caller closes it. Collections leave the quota's reserve to people unless told otherwise."""
        return AsyncOMDBClient(settings=self._settings, ledger=self.ledger, now=clock.now, use_reserve=use_reserve)

    def account(self, clock: Clock) -> Account:
        """Where the clients' requests are counted."""
        return account_of("omdb", self._settings, self.ledger, clock.now)

    @property
    def _settings(self) -> Settings:
        return Settings(omdb=self.api, omdb_api_key=key_of(self.api_key_name))


class DailyFiles(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The files that TMDB and IMDb publish daily: where they are, each an address or a path."""

    tmdb_id_export: str | None = Field(default=None, description="TMDB's ID export, {date} being MM_DD_YYYY; none: off")
    imdb_ratings: str | None = Field(default=None, description="IMDb's title.ratings.tsv.gz; none: off")
    min_popularity: float | None = Field(
        default=None, description="Movies that only the export has become known from this popularity on; none: none do"
    )


def build_resources(settings: Settings) -> dict[str, Any]:
    """The resources of a code location, by the names that assets ask for.

    Keys are referred to by name, so that no configuration of Dagster's, stored, shown or resolved, holds one.
    """
    ledger = open_ledger(settings)
    return {
        "database": DuckDBDatabase(database=str(settings.database), refresh_strategy=settings.refresh_strategy),
        "clock": Clock(offset_seconds=settings.clock_offset.total_seconds()),
        "tmdb": TMDBResource(
            **_limits(settings.tmdb, ledger),
            read_token_name=name_of("TMDB_READ_TOKEN", settings.tmdb_read_token),
            api_key_name=name_of("TMDB_API_KEY", settings.tmdb_api_key),
        ),
        "omdb": OMDBResource(
            **_limits(settings.omdb, ledger), api_key_name=name_of("OMDB_API_KEY", settings.omdb_api_key)
        ),
        "daily_files": DailyFiles(
            tmdb_id_export=settings.tmdb_export,
            imdb_ratings=settings.imdb_ratings_url,
            min_popularity=settings.tmdb_export_min_popularity,
        ),
    }


def _limits(api: ApiSettings, ledger: RequestLedger) -> dict[str, Any]:
    return {
        "base_url": api.base_url,
        "requests_per_second": api.requests_per_second,
        "burst": api.burst,
        "max_concurrent": api.max_concurrent,
        "daily_quota": api.daily_quota,
        "quota_reserve": api.quota_reserve,
        "retry_wait": api.retry_wait,
        "answer_deadline": api.answer_deadline,
        "ledger": ledger,
    }
