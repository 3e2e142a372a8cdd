"""A demonstration's database, the platform that serves it, and a browser: each once for all tests here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ayne_dagster_tests.browser.chromium import CHROMIUM, FLAGS
from ayne_dagster_tests.support.processes import Ayne
from ayne_dagster_tests.support.serving import Running, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

AXE = Path(sys.prefix) / "axe-core/node_modules/axe-core/axe.min.js"
"""Where `make test-browser` has npm put axe-core."""


@pytest.fixture(scope="package")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`ayne dev` on what a small `ayne demo` has made: UI, daemon and stand-in; the dashboard on the next port."""
    command = Ayne(tmp_path_factory.mktemp("demonstration"))
    made = command.run("demo", "--movies", "60", "--days", "5", "--database", str(command.database))
    assert made.code == 0, made.err
    with serving(command, "dev") as running:
        yield running


@pytest.fixture(scope="package")
def browser(demonstration: Running) -> Iterator[Browser]:
    """Started after the platform, which forks."""
    playwright = pytest.importorskip("playwright.sync_api", reason="make test-browser installs Playwright")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (make test-browser says how)")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def axe() -> str:
    """The script of axe-core."""
    if not AXE.exists():
        pytest.skip("axe-core is not there (make test-browser fetches it by npm)")
    return AXE.read_text("utf-8")


@pytest.fixture
def dashboard(demonstration: Running) -> str:
    """Its address."""
    return f"http://127.0.0.1:{demonstration.port + 1}"


@pytest.fixture
def ui(demonstration: Running) -> str:
    """The address of Dagster's UI."""
    return f"http://127.0.0.1:{demonstration.port}"
