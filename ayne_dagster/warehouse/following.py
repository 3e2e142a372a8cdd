"""Reading a store for long, while it is written to, without a commit that waits: a file by a copy, a lake as it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.lake import LakeStore
from ayne_dagster.warehouse.replica import Copy, Replica
from ayne_dagster.warehouse.store import Store, WarehouseError


class Following(Protocol):
    """Follows a store; for one process, by one thread at a time."""

    @property
    def newest(self) -> object:
        """What tells the present content of the store from another."""

    def reading(self) -> AbstractContextManager[Copy]:
        """The latest content, for some questions.

        Raises:
            WarehouseError: it cannot be had.
        """

    def apart(self) -> AbstractContextManager[Store]:
        """The latest content as a store of its own, for work that takes long.

        Raises:
            WarehouseError: as `reading`.
        """

    def close(self) -> None:
        """Remove what was made for it."""


def following(store: Store) -> Following:
    """What follows a store."""
    return LakeFollower(store) if isinstance(store, LakeStore) else FileFollower(store)


class FileFollower:
    """Follows a file by a copy (`replica`).

    Args:
        store: the file.
    """

    def __init__(self, store: Store) -> None:
        self._replica = Replica(store.path)

    @property
    def newest(self) -> object:
        """Size and time of file and log."""
        return self._replica.newest

    def reading(self) -> AbstractContextManager[Copy]:
        """The latest copy."""
        return self._replica.reading()

    @contextmanager
    def apart(self) -> Iterator[Store]:
        """A copy of the copy."""
        with self._replica.apart() as file:
            yield Database(file)

    def close(self) -> None:
        """Remove the copy."""
        self._replica.close()


class LakeFollower:
    """Follows a lake, which needs no copy: nobody waits for a reader.

    Args:
        store: the lake.
    """

    def __init__(self, store: LakeStore) -> None:
        self._store = store

    @property
    def newest(self) -> object:
        """The number of the last commit; None where there is none, or it cannot be told."""
        try:
            return self._store.stamp()
        except WarehouseError:
            return None

    @contextmanager
    def reading(self) -> Iterator[Copy]:
        """The lake as it is at this moment."""
        stamp = self._store.stamp()
        with self._store.connect(read_only=True) as connection:
            yield Copy(connection, stamp, time.monotonic())

    @contextmanager
    def apart(self) -> Iterator[Store]:
        """The lake itself: who reads it for long sees one moment of it."""
        yield self._store

    def close(self) -> None:
        """Nothing was made."""
