"""A collection that has nothing to ask for: most of those that a cron job starts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from ayne_dagster.config import load_settings
from ayne_dagster.runs.home import home_path, tidied_mark
from ayne_dagster_tests.support.samples import end, python

COLLECTS = """
import sys
from ayne_dagster import cli
assert cli.run(["collect", "--refresh-only", "--json"]) == 0
found = set(sys.argv[1:]) & set(sys.modules)
sys.exit(f"loaded: {found}" if found else 0)
"""


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMDB_API_KEY", "a-key")
    monkeypatch.setenv("OMDB_API_KEY", "another")


def tidied(ago: timedelta) -> None:
    """Have it look as if the home had been tidied so long ago."""
    settings = load_settings()
    mark = tidied_mark(home_path(settings), settings.database)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text((datetime.now(UTC) - ago).isoformat(), encoding="ascii")


def test_a_collection_with_nothing_due_loads_no_dagster() -> None:
    tidied(timedelta(hours=2))

    process = python(COLLECTS, "dagster", "sqlalchemy", "httpx", "aiohttp", "pydantic")
    told = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 0
    assert (told["requests"], told["due_remaining"]) == ({"tmdb": 0, "omdb": 0}, 0)


def test_once_a_day_it_tidies_up_which_loads_it(capfd: pytest.CaptureFixture[str]) -> None:
    tidied(timedelta(hours=25))

    assert end(python(COLLECTS, "dagster")) == 1
    assert "loaded: {'dagster'}" in capfd.readouterr().err
