"""`ayne dev`, started once for the tests of this folder that ask it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.support.processes import Ayne
from ayne_dagster_tests.support.serving import Running, serving


@pytest.fixture(scope="package")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """It runs, on a stand-in; no test may leave anything in it."""
    with StandIn(20) as standin, serving(Ayne(tmp_path_factory.mktemp("dev")).asking(standin), "dev") as running:
        yield running
