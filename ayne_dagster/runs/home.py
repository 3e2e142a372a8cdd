"""A Dagster home as a folder: where that of a database is, and when it was tidied last. Loads no Dagster."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path

from ayne_dagster.config import Settings, SettingsError
from ayne_dagster.settings.places import home_beside, home_named

TIDIED_EVERY = timedelta(days=1)
"""How often a home is tidied."""
_MARK = "tidied_at"
"""Begins the name of a file in the Dagster home that says when it was tidied last, by the platform's clock."""
_NOT_IN_A_HOME = set("%?#")
"""What SQLAlchemy, Alembic and SQLite read as something else in the addresses that Dagster makes of a path."""


def home_path(settings: Settings) -> Path:
    """Where the Dagster home of a database is, or will be; absolute.

    Raises:
        SettingsError: Dagster can keep nothing at this path, or what a former version left cannot be moved to it.
    """
    try:
        home = home_named(settings.dagster_home) or home_beside(settings.database)
    except OSError as error:
        raise SettingsError(
            f"What a former version left beside {settings.database} cannot be moved ({error.strerror}): fix the "
            "permissions of the folder."
        ) from None
    if wrong := sorted(set(str(home)) & _NOT_IN_A_HOME):
        raise SettingsError(
            f"Dagster can keep nothing in {home}: its storage takes {' and '.join(wrong)} in a path for something "
            "else. Set DAGSTER_HOME to a folder without."
        )
    return home


def is_tidying_due(home: Path, database: Path, now: datetime) -> bool:
    """Whether a database and its Dagster home were not tidied for a day, by the platform's clock."""
    try:
        last = datetime.fromisoformat(tidied_mark(home, database).read_text(encoding="ascii"))
        return not timedelta(0) <= now - last < TIDIED_EVERY  # a clock that was put back counts as well
    except (OSError, ValueError, TypeError):
        return True


def tidied_mark(home: Path, database: Path) -> Path:
    """The file that says when a home was tidied last for a database, of which several may share it."""
    return home / f"{_MARK}.{hashlib.sha256(str(database).encode()).hexdigest()[:8]}"
