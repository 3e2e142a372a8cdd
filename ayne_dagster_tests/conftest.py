"""What all tests share: no address but loopback, no settings from outside, a stand-in, and a platform set up for it."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from ayne_dagster.config import ApiSettings, Settings
from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.support import forking
from ayne_dagster_tests.support.prepared import Prepared
from ayne_dagster_tests.support.thoroughness import examples

pytest_plugins = ["ayne_dagster_tests.support.postgres", "ayne_dagster_tests.support.lake"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """In which store the warehouse is where a test takes it from a fixture."""
    parser.addoption("--store", choices=("file", "lake"), default="file", help="where the warehouse of a test is")


def pytest_collection_finish() -> None:
    """Leave thousands of tests out of every later search for garbage: they stay to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def nothing_frozen() -> Iterator[None]:
    """Garbage is looked for as in a process that has just begun."""
    threshold = gc.get_threshold()
    gc.unfreeze()
    yield
    gc.enable()
    gc.set_threshold(*threshold)
    gc.freeze()


# Where a suite runs in the background these are ignored. Dagster has SIGTERM follow SIGINT, its own children inherit
# both, and it would wait half a minute for the end of each.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


class _NothingToFind(MetaPathFinder):
    """Says at once that a package is not installed.

    DuckDB asks for pandas twice with each bound parameter, and each time all of the path is searched: 0.2 ms.
    """

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


if find_spec("pandas") is None:
    sys.meta_path.insert(0, _NothingToFind())

hypothesis_settings.register_profile(
    # Machines that run tests are shared: a slow example is no finding.
    "ayne",
    max_examples=examples(100),
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.load_profile("ayne")

EPOCH = date(2026, 1, 1)
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""When the platform and the stand-in of a test begin, wherever the calendar is."""


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse any connection that would leave the machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    look_up = socket.getaddrinfo

    def guarded_look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in (None, "", "127.0.0.1", "::1", "localhost", "0.0.0.0"):  # noqa: S104 -- nothing is bound to it
            raise AssertionError(f"a test tried to look up {name}")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the person who runs the tests, no width of a screen, and a working directory without a `.env`."""
    for name in os.environ:
        if name.startswith(("AYNE_", "TMDB_", "OMDB_", "DAGSTER_HOME", "COLUMNS", "LINES")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared.within(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(autouse=True)
def _copied(monkeypatch: pytest.MonkeyPatch, _prepared: Prepared, request: pytest.FixtureRequest) -> None:
    """New databases and Dagster homes are copies: making a thousand would take minutes.

    Where a test is about how tables are made (`makes_tables`), they are.
    """
    if request.node.get_closest_marker("makes_tables") is None:
        _prepared.take_place(monkeypatch.setattr)
        monkeypatch.setattr(forking, "prepared", _prepared)


@pytest.fixture(scope="session")
def _ends_beside_the_next() -> Iterator[Executor]:
    """Ends what nobody asks any more while the next test runs: uvicorn sleeps for a tenth of a second as it ends."""
    with ThreadPoolExecutor(4) as threads:
        yield threads


@pytest.fixture
def standin(_ends_beside_the_next: Executor) -> Iterator[StandIn]:
    """A stand-in with 300 movies, its clock standing at START."""
    running = StandIn(300, epoch=EPOCH).__enter__()
    running.set_now(START)
    yield running
    _ends_beside_the_next.submit(running.__exit__, None, None, None)


@pytest.fixture
def make_settings(standin: StandIn, tmp_path: Path) -> Callable[..., Settings]:
    """Settings for the stand-in, unpaced, with the platform's clock at an instant (START by default)."""

    def make(now: datetime = START, **options: Any) -> Settings:
        return settings_for(standin, tmp_path / "ayne.duckdb", now, **options)

    return make


def settings_for(standin: StandIn, database: Path, now: datetime, *, omdb_quota: int = 0, **options: Any) -> Settings:
    """Settings for a stand-in, unpaced, with the platform's clock at an instant."""
    return Settings(
        database=database,
        tmdb=ApiSettings(standin.tmdb_url, 0, 40, 10, retry_wait=0.002),
        omdb=ApiSettings(standin.omdb_url, 0, 40, 5, daily_quota=omdb_quota, retry_wait=0.002),
        wikidata=ApiSettings(standin.wikidata_url, 0, 1, 1, retry_wait=0.002),
        tmdb_read_token=options.pop("tmdb_read_token", "demo"),
        omdb_api_key=options.pop("omdb_api_key", "demo"),
        clock_offset=now - datetime.now(UTC),
        sensor_min_batch=options.pop("sensor_min_batch", 1),  # what is due is worth a run
        **options,
    )


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A real Dagster instance that ends with the test."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def later(days: float) -> datetime:
    """An instant some days after START."""
    return START + timedelta(days=days)
