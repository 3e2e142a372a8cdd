"""`ayne dev`, started once for the tests of this folder that ask it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.support.processes import Ayne
from ayne_dagster_tests.support.serving import Running, serving


@pytest.fixture(scope="package")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """It runs, on a stand-in; no test may leave anything in it."""
    folder = tmp_path_factory.mktemp("dev")
    # As in the root of a clone, where bare `dagster dev` finds it: Dagster warns of it at each start.
    (folder / "dagster.yaml").symlink_to(Path(str(files("ayne_dagster") / "dagster.yaml")))
    with StandIn(20) as standin, serving(Ayne(folder).asking(standin), "dev") as running:
        yield running
