"""The lowest versions that `pyproject.toml` allows, as constraints for pip: `make test-lowest`. Installs nothing."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*>=\s*([0-9.]+)")


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
    sys.stdout.write("\n".join(lowest(Path(__file__).parents[1] / "pyproject.toml")) + "\n")
