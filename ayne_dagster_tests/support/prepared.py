"""New databases and Dagster homes as copies of empty ones: making one takes a quarter of a second, copying one nothing.

In the test's own process fixtures put them in place; a forked command is told where they lie (`support.forking`). A
command that an interpreter starts makes its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import dagster as dg

from ayne_dagster.config import Settings
from ayne_dagster.runs import instance as instance_module
from ayne_dagster.warehouse import database as database_module

_make_home = instance_module.dagster_home
_STORAGE = ("history", "schedules")


@dataclass(frozen=True)
class Prepared:
    """What is copied: an empty database, and an empty Dagster home."""

    database: Path
    home: Path

    @classmethod
    def within(cls, folder: Path) -> Prepared:
        """Made once, as the code makes them."""
        prepared = cls(folder / "ayne.duckdb", folder / "home")
        database_module._make_empty(prepared.database)
        prepared.home.mkdir()
        (prepared.home / "dagster.yaml").write_bytes((files("ayne_dagster") / "dagster.yaml").read_bytes())
        with dg.DagsterInstance.from_config(str(prepared.home)) as made:
            instance_module.ask_each_storage(made)
        return prepared

    def put_database(self, new: Path) -> None:
        """In place of `warehouse.database._make_empty`."""
        shutil.copyfile(self.database, new)

    def home_of(self, settings: Settings) -> Path:
        """In place of `runs.instance.dagster_home`."""
        home = _make_home(settings)
        for name in _STORAGE:
            if not (home / name).exists():
                new = home / f"{name}.{os.getpid()}"
                shutil.copytree(self.home / name, new)
                with suppress(OSError):  # another process was faster
                    new.rename(home / name)
                shutil.rmtree(new, ignore_errors=True)
        return home

    def take_place(self, put: Callable[[object, str, object], None]) -> None:
        """Have both copied from now on.

        Args:
            put: `setattr`, or what takes it back after a test.
        """
        put(database_module, "_make_empty", self.put_database)
        put(instance_module, "dagster_home", self.home_of)
