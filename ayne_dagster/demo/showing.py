"""What `ayne dev`, `ayne ui` and `ayne dashboard` show: what is set up, or a demonstration's, with its world beside it.

Light to import, for the dashboard's sake: it loads no Dagster.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from ayne_dagster.config import LOOPBACK, Settings, load_settings
from ayne_dagster.demo.world import DEFAULT_DATABASE, read_world, variables
from ayne_dagster.settings.places import HOME, companion, resolve_database


@contextmanager
def with_its_world(settings: Settings) -> Iterator[tuple[Settings, str]]:
    """The settings to show, and what is to be said of the database, for the length of the block.

    A demonstration's database gets the stand-in of its world to ask, in the environment of the processes that are
    started in the block, unless a stand-in is set up.
    """
    settings = or_the_demonstration(settings)
    world = read_world(settings.database)
    if world is None or urlsplit(settings.tmdb.base_url).hostname in LOOPBACK:
        yield settings, ""
        return
    with world.standin() as standin:
        before = dict(os.environ)
        home = companion(settings.database, HOME)  # where its runs are, whatever a person has for others
        os.environ.update(variables(standin, settings.database) | {"DAGSTER_HOME": str(home)})
        try:
            yield load_settings(), f" (a demonstration's, with the stand-in for its sources on {standin.tmdb_url})"
        finally:
            os.environ.clear()
            os.environ.update(before)


def or_the_demonstration(settings: Settings) -> Settings:
    """The settings; where nothing is set up, and a demonstration was made here, those of its database."""
    if nothing_is_set_up(settings) and read_world(demonstration := resolve_database(DEFAULT_DATABASE)):
        return replace(settings, database=demonstration)
    return settings


def nothing_is_set_up(settings: Settings) -> bool:
    """Whether a person has neither movies nor a key, nor has named another file to collect into.

    A command that could not reach its source leaves a database with nothing in it.
    """
    if settings.database != Settings().database or settings.key_of("tmdb") or settings.key_of("omdb"):
        return False
    return not settings.database.exists() or _has_no_movie(settings)


def _has_no_movie(settings: Settings) -> bool:
    """Whether a database has none; of one that cannot be read nobody can say so."""
    from ayne_dagster.collecting.stores import open_store  # slow to load, and rarely wanted
    from ayne_dagster.warehouse.store import WarehouseError

    try:
        with open_store(settings, wait_seconds=1.0).connect(read_only=True) as connection:
            return connection.execute("SELECT 1 FROM refresh_metadata LIMIT 1").fetchone() is None
    except WarehouseError:
        return False
