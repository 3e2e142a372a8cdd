"""Which Dagster instance runs are recorded in: `$DAGSTER_HOME`, else a folder beside the database, named after it."""

from __future__ import annotations

import fcntl
import os
import shutil
from importlib.resources import as_file, files
from pathlib import Path

import dagster as dg

from ayne_dagster.config import Settings, SettingsError

ONE_PLANNED_EVENT = "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS"
"""Dagster's switch for one event that names all partitions which a run plans for an asset, instead of one a partition.
A run that fails then marks no partition as failed, which ours need not: what it had fetched is kept."""


def home_path(settings: Settings) -> Path:
    """Where the Dagster home of a database is, or will be."""
    given = os.environ.get("DAGSTER_HOME")
    return Path(given) if given else settings.database.with_suffix(".dagster_home")


def dagster_home(settings: Settings) -> Path:
    """The Dagster home of a database, made ready with our `dagster.yaml` when it has none.

    Raises:
        SettingsError: the folder cannot be written.
    """
    home = home_path(settings)
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            # Whole before it is in its place: half a file, as a kill leaves it, would be taken for what was meant.
            new = home / f"dagster.yaml.{os.getpid()}"
            with as_file(files("ayne_dagster") / "dagster.yaml") as shipped:
                shutil.copyfile(shipped, new)
            new.replace(home / "dagster.yaml")
    except OSError as error:
        raise SettingsError(
            f"The Dagster home {home} cannot be written ({error.strerror}): set DAGSTER_HOME or AYNE_DATABASE."
        ) from None
    return home.resolve()


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance, for use in `with`, its storage made by one process at a time.

    Two commands that start together on a new home would both find no tables and both create them; one of them failed.
    """
    home = dagster_home(settings)
    os.environ.setdefault(ONE_PLANNED_EVENT, "true")  # also for the daemon and servers that this process starts
    folder = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        instance = dg.DagsterInstance.from_config(str(home))
        instance.get_runs_count()
        instance.get_asset_keys(limit=1)
        instance.all_instigator_state()
        return instance
    finally:
        os.close(folder)
