"""Imports run one way: the three layers at the bottom load neither Dagster nor each other's tools."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import pytest

from ayne_dagster_tests.support.samples import end, python

FORBIDDEN = {
    "refresh": {"dagster", "duckdb", "httpx", "pyarrow", "ayne_dagster.warehouse", "ayne_dagster.sources"},
    "warehouse": {"dagster", "httpx", "ayne_dagster.sources"},
    "sources": {"dagster", "duckdb", "ayne_dagster.warehouse"},
}
LOAD = """
import sys
from importlib import import_module
for name in sys.argv[2:]:
    import_module(name)
found = sorted(set(sys.argv[1].split(",")) & set(sys.modules))
sys.exit(f"loaded: {found}" if found else 0)
"""


@pytest.mark.parametrize("layer", sorted(FORBIDDEN))
def test_a_layer_loads_nothing_of_what_stands_above_it(layer: str) -> None:
    package = import_module(f"ayne_dagster.{layer}")
    modules = [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    assert modules
    assert end(python(LOAD, ",".join(FORBIDDEN[layer]), *modules)) == 0


@pytest.mark.parametrize("name", ["strategy", "rules", "outcome"])
def test_the_refresh_rules_load_alone(name: str) -> None:
    assert end(python(LOAD, "dagster,duckdb,httpx,pydantic", f"ayne_dagster.refresh.{name}")) == 0


def test_the_guard_of_what_listens_loads_alone() -> None:
    others = (
        "dagster",
        "dagster_webserver",
        "duckdb",
        "httpx",
        "ayne_dagster.config",
        "ayne_dagster.resources.clients",
    )
    assert end(python(LOAD, ",".join(others), "ayne_dagster.serving.guard")) == 0


def test_the_package_itself_loads_nothing_heavy() -> None:
    assert end(python(LOAD, "dagster,duckdb,httpx,pyarrow", "ayne_dagster")) == 0
