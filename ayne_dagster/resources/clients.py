"""Dagster resources: the operator's settings as the objects that assets ask for. No logic of their own.

None of them has a field that a run's configuration could set. What is an address, a path, a limit or a key comes from
`Settings` alone: whoever may launch a run could otherwise send a key to an address of choice, or have a file written.

https://docs.dagster.io/guides/build/external-resources
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import PrivateAttr

from ayne_dagster.collecting.stores import open_store
from ayne_dagster.config import STRATEGIES, Settings, StrategyChoice
from ayne_dagster.refresh.strategy import Strategy
from ayne_dagster.settings.clock import Clock as Clock
from ayne_dagster.sources.limits.ledger import RequestLedger, open_ledger
from ayne_dagster.sources.omdb.client import AsyncOMDBClient
from ayne_dagster.sources.tmdb.client import AsyncTMDBClient
from ayne_dagster.sources.wikidata.client import AsyncWikidataClient
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.store import Store
from ayne_dagster.warehouse.strategies import load_strategy

Client = TypeVar("Client")


class DuckDBDatabase(DuckDBResource):
    """The warehouse file. An asset that was written for dagster-duckdb's `DuckDBResource` takes it as it is.

    Unlike its base it closes the file whatever happens, and waits only briefly for it: the base has no `finally` (a
    failure leaks the connection, and with it the lock on the file) and retries for up to 102 s, longer than a sensor
    may take. And a code location hands it out `sealed`: its fields are set here, in code, and by no run.
    """

    wait_seconds: float = 30.0
    """How long to wait for a file that another process holds."""
    refresh_strategy: str = STRATEGIES[0]
    """What decides which movies are due."""
    refresh_cutoff: float = StrategyChoice.cutoff
    """Probability of being stale below which it asks for none, where it knows one."""
    freshness_weight: float = StrategyChoice.freshness_weight
    """What fresh means to it: from 0, every movie alike, to 1, by popularity."""
    _settings: Settings | None = PrivateAttr(None)
    """Which store it is; None: the file `database`."""

    @property
    def file(self) -> Store:
        """The warehouse, to be opened for milliseconds at a time."""
        if self._settings is not None:
            return open_store(self._settings, wait_seconds=self.wait_seconds)
        return Database(Path(self.database), self.wait_seconds)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The warehouse of the settings, with the strategy of these."""
        made = cls(
            database=str(settings.database),
            refresh_strategy=settings.refresh_strategy,
            refresh_cutoff=settings.strategy.cutoff,
            freshness_weight=settings.freshness_weight,
        )
        made._settings = settings
        return made

    def strategy(self, connection: duckdb.DuckDBPyConnection) -> Strategy:
        """What decides which movies are due, knowing what the warehouse knows."""
        return load_strategy(connection, self.choice)

    @property
    def choice(self) -> StrategyChoice:
        """The strategy with what is set of it."""
        return StrategyChoice(self.refresh_strategy, self.refresh_cutoff, self.freshness_weight)

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """An open connection, with the schema in place."""
        with self.file.connect() as connection:
            yield connection


@dataclass(frozen=True)
class ApiResource(Generic[Client]):
    """Access to an API, within the limits that all processes share."""

    settings: Settings
    ledger: RequestLedger
    """Shared by all processes."""

    _make: ClassVar[Callable[..., Any]]

    def client(self, clock: Clock, *, use_reserve: bool = False) -> Client:
        """A new client; the caller closes it. Collections leave the quota's reserve to people unless told otherwise."""
        make: Callable[..., Client] = type(self)._make
        return make(settings=self.settings, ledger=self.ledger, now=clock.now, use_reserve=use_reserve)


class TMDBResource(ApiResource[AsyncTMDBClient]):
    """Access to TMDB."""

    _make = AsyncTMDBClient


class OMDBResource(ApiResource[AsyncOMDBClient]):
    """Access to OMDb."""

    _make = AsyncOMDBClient


class WikidataResource(ApiResource[AsyncWikidataClient]):
    """Access to Wikidata."""

    _make = AsyncWikidataClient


RESOURCES: dict[str, type[ApiResource[Any]]] = {
    "tmdb": TMDBResource,
    "omdb": OMDBResource,
    "wikidata": WikidataResource,
}
"""By API: what gives access to it, under the name that assets ask for."""


def build_resources(settings: Settings) -> dict[str, Any]:
    """The resources of a code location, by the names that assets ask for; `settings` themselves among them."""
    ledger = open_ledger(settings)
    return {
        "settings": settings,
        "database": DuckDBDatabase.of(settings),
        "clock": settings.clock,
        "ledger": ledger,
        **{name: resource(settings, ledger) for name, resource in RESOURCES.items()},
    }


def sealed(resource: object, description: str) -> dg.ResourceDefinition:
    """A resource that hands out an object as it is: no run configuration reaches it.

    A bare object would do as much, but would take any configuration and ignore it; this one refuses it.

    Args:
        resource: the object.
        description: what Dagster's UI says of it.
    """
    return dg.ResourceDefinition(lambda _: resource, config_schema={}, description=description)
