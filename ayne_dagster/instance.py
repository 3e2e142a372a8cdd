"""Which Dagster instance runs are recorded in: `$DAGSTER_HOME`, else a folder beside the database, named after it."""

from __future__ import annotations

import os
import shutil
from importlib.resources import as_file, files
from pathlib import Path

import dagster as dg

from ayne_dagster.config import Settings, SettingsError


def dagster_home(settings: Settings) -> Path:
    """The Dagster home of a database, made ready with our `dagster.yaml` when it has none.

    Raises:
        SettingsError: the folder cannot be written.
    """
    given = os.environ.get("DAGSTER_HOME")
    home = Path(given) if given else settings.database.with_suffix(".dagster_home")
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            with as_file(files("ayne_dagster") / "dagster.yaml") as shipped:
                shutil.copyfile(shipped, home / "dagster.yaml")
    except OSError as error:
        raise SettingsError(
            f"The Dagster home {home} cannot be written ({error.strerror}): set DAGSTER_HOME or AYNE_DATABASE."
        ) from None
    return home.resolve()


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance, for use in `with`."""
    return dg.DagsterInstance.from_config(str(dagster_home(settings)))
