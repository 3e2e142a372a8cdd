"""The lowest versions that `pyproject.toml` allows, as constraints for pip: `make test-lowest`. Installs nothing.

What our dependencies need themselves is taken as `constraints.txt` pins it, so that the outcome is the same each time;
but for the packages that come in the version of another one.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*>=\s*([0-9.]+)")
_FOLLOWING = {"dagster-graphql", "dagster-pipes", "dagster-shared", "pydantic-core", "psycopg-binary"}


def _name(package: str) -> str:
    return re.sub("[-_.]+", "-", package).lower()


def pinned(constraints: Path, but: set[str]) -> list[str]:
    """The constraints of a file, but for some packages."""
    lines = constraints.read_text("utf-8").splitlines()
    return [line for line in lines if "==" in line and _name(line.partition("==")[0]) not in but]


def lowest(pyproject: Path, extras: tuple[str, ...] = ("postgres",)) -> list[str]:
    """A constraint `name==version` for each dependency, and each of some extras.

    Raises:
        ValueError: a dependency has no lower bound.
    """
    project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    found = []
    for requirement in wanted:
        match = _REQUIREMENT.match(requirement)
        if match is None:
            raise ValueError(f"{requirement} has no lower bound")
        found.append(f"{match[1]}=={match[2]}")
    return found


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    direct = lowest(root / "pyproject.toml")
    names = {_name(line.partition("==")[0]) for line in direct}
    sys.stdout.write("\n".join([*direct, *pinned(root / "constraints.txt", names | _FOLLOWING)]) + "\n")
