"""Runs of commands in Dagster's UI: where it looks for them, they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest

from ayne_dagster.config import Settings
from ayne_dagster.orchestrator import DataCollectionOrchestrator, DiscoveryPlan
from ayne_dagster.runs.instance import open_instance
from ayne_dagster.serving.ui import ui_server

WORKSPACE = Path(str(files("ayne_dagster") / "workspace.yaml"))
SELECTOR = '{repositoryName: "__repository__", repositoryLocationName: "ayne_dagster"}'
OF_THE_TIMELINE = """{ runsOrError { ... on Runs { results {
    jobName repositoryOrigin { repositoryName repositoryLocationName }
} } } }"""
OF_THE_JOBS = "{ repositoryOrError(repositorySelector: SELECTOR) { ... on Repository { jobs { name runs { id } } } } }"


@pytest.mark.end_to_end
def test_the_runs_of_a_command_stand_in_the_timeline_and_on_the_pages_of_their_jobs(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings()
    DataCollectionOrchestrator(settings=settings).collect(DiscoveryPlan(2021, 2021, 1, 0), refresh_limit=2)
    monkeypatch.setenv("AYNE_DATABASE", str(settings.database))
    with open_instance(settings) as instance:
        monkeypatch.setenv("DAGSTER_HOME", instance.root_directory)
        with ui_server(instance, WORKSPACE, ()) as server:
            told, of_jobs = asyncio.run(_asked(server.config.app, OF_THE_TIMELINE, OF_THE_JOBS))
    shown = told["runsOrError"]["results"]
    jobs = {job["name"]: len(job["runs"]) for job in of_jobs["repositoryOrError"]["jobs"]}
    ours = {"repositoryName": "__repository__", "repositoryLocationName": "ayne_dagster"}
    assert [run["jobName"] for run in shown] == ["refresh_movies", "discover_movies"]
    assert [run["repositoryOrigin"] for run in shown] == [ours, ours]
    assert (jobs["refresh_movies"], jobs["discover_movies"], jobs["tidy_up"]) == (1, 1, 0)


async def _asked(app: Any, *queries: str) -> list[Any]:
    """What the web server answers to each query."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as client:
        return [
            (await client.post("/graphql", json={"query": query.replace("SELECTOR", SELECTOR)})).json()["data"]
            for query in queries
        ]
