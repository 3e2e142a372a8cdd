"""A Dagster data platform that builds a movie dataset and keeps it fresh. This module re-exports the public names only.

They are imported at first use: planning a refresh must not load Dagster, nor a notebook the clients.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ayne_dagster.orchestrator import DataCollectionOrchestrator
    from ayne_dagster.refresh.strategy import calculate_refresh_plan
    from ayne_dagster.sources.omdb.client import AsyncOMDBClient, OMDBClient
    from ayne_dagster.sources.tmdb.client import AsyncTMDBClient, TMDBClient
    from ayne_dagster.sources.wikidata.client import AsyncWikidataClient, WikidataClient
    from ayne_dagster.warehouse.client import DuckDBClient

__all__ = [
    "AsyncOMDBClient",
    "AsyncTMDBClient",
    "AsyncWikidataClient",
    "DataCollectionOrchestrator",
    "DuckDBClient",
    "OMDBClient",
    "TMDBClient",
    "WikidataClient",
    "calculate_refresh_plan",
]

_HOMES = {
    "AsyncOMDBClient": "sources.omdb.client",
    "AsyncTMDBClient": "sources.tmdb.client",
    "AsyncWikidataClient": "sources.wikidata.client",
    "DataCollectionOrchestrator": "orchestrator",
    "DuckDBClient": "warehouse.client",
    "OMDBClient": "sources.omdb.client",
    "TMDBClient": "sources.tmdb.client",
    "WikidataClient": "sources.wikidata.client",
    "calculate_refresh_plan": "refresh.strategy",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ayne_dagster' has no attribute {name!r}")
    return getattr(import_module(f"ayne_dagster.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
