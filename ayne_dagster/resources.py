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

from ayne_dagster.config import ApiSettings, Settings
from ayne_dagster.keyring import key_of, name_of
from ayne_dagster.sources.ledger import QuotaUse, RequestLedger
from ayne_dagster.sources.omdb.client import AsyncOMDBClient
from ayne_dagster.sources.tmdb.client import AsyncTMDBClient
from ayne_dagster.sources.transport import Account
from ayne_dagster.warehouse.database import Database


class DuckDBDatabase(DuckDBResource):
    """The warehouse file. Unlike its base it closes the file whatever happens, and waits only briefly for it.

    dagster-duckdb's resource has no `finally` (a failure leaks the connection, and with it the lock on the file) and
    retries for up to 102 s, longer than a sensor may take.
    """

    wait_seconds: float = Field(default=30.0, description="How long to wait for a file that another process holds")

    @property
    def file(self) -> Database:
        """The file, to be opened for milliseconds at a time."""
        return Database(Path(self.database), self.wait_seconds)

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
    retry_wait: float = Field(default=0.5, description="Seconds before the second attempt at a request")
    ledger: str = Field(description="The request ledger, shared by all processes")

    @property
    def api(self) -> ApiSettings:
        """The limits as the sources take them."""
        return ApiSettings(
            self.base_url,
            self.requests_per_second,
            self.burst,
            self.max_concurrent,
            self.daily_quota,
            retry_wait=self.retry_wait,
        )

    @property
    def request_ledger(self) -> RequestLedger:
        """The ledger, opened at first use."""
        return RequestLedger(Path(self.ledger))


class TMDBResource(_ApiResource):
    """Access to TMDB. Its configuration names its keys and holds none (see `keyring`)."""

    read_token_name: str | None = Field(default=None, description="Name of the API Read Access Token (bearer)")
    api_key_name: str | None = Field(default=None, description="Name of the v3 key, used where there is no token")

    def client(self, clock: Clock) -> AsyncTMDBClient:
        """A new client; the caller closes it."""
        return AsyncTMDBClient(
            key_of(self.read_token_name),
            key_of(self.api_key_name),
            settings=Settings(tmdb=self.api),
            ledger=self.request_ledger,
            now=clock.now,
        )


class OMDBResource(_ApiResource):
    """Access to OMDb. Its configuration names its key and holds none (see `keyring`)."""

    api_key_name: str | None = Field(default=None, description="Name of the API key")

    def client(self, clock: Clock) -> AsyncOMDBClient:
        """A new client; the caller closes it."""
        return AsyncOMDBClient(
            key_of(self.api_key_name), settings=Settings(omdb=self.api), ledger=self.request_ledger, now=clock.now
        )

    def quota(self, clock: Clock) -> QuotaUse:
        """How much of today's quota is used."""
        account = Account("omdb", self.api, self.request_ledger, key_of(self.api_key_name), clock.now)
        return self.request_ledger.use(account.name, account.today, self.daily_quota)


def build_resources(settings: Settings) -> dict[str, Any]:
    """The resources of a code location, by the names that assets ask for.

    Keys are referred to by name, so that no configuration of Dagster's, stored, shown or resolved, holds one.
    """
    return {
        "database": DuckDBDatabase(database=str(settings.database)),
        "clock": Clock(offset_seconds=settings.clock_offset.total_seconds()),
        "tmdb": TMDBResource(
            **_limits(settings.tmdb, settings),
            read_token_name=name_of("TMDB_READ_TOKEN", settings.tmdb_read_token),
            api_key_name=name_of("TMDB_API_KEY", settings.tmdb_api_key),
        ),
        "omdb": OMDBResource(
            **_limits(settings.omdb, settings), api_key_name=name_of("OMDB_API_KEY", settings.omdb_api_key)
        ),
    }


def _limits(api: ApiSettings, settings: Settings) -> dict[str, Any]:
    return {
        "base_url": api.base_url,
        "requests_per_second": api.requests_per_second,
        "burst": api.burst,
        "max_concurrent": api.max_concurrent,
        "daily_quota": api.daily_quota,
        "retry_wait": api.retry_wait,
        "ledger": str(settings.ledger),
    }
