"""Merging a batch apart where it cannot be merged whole: in halves, down to the item that is at fault. Merges nothing
itself.

An error that passes (the file is held, the disk is full) concerns all items alike and is the caller's matter. One that
never passes is some item's: it is found, refused, and the rest is merged, each part in a transaction of its own. Items
that were merged already are merged again without effect (`merge`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ayne_dagster.warehouse.store import DatabaseNotWritten, Store, WarehouseError

T = TypeVar("T")

_FULL = ("No space left", "Could not write")
"""What is said of a full disk, on which a little may still find room."""
_PROBED_ROWS = 1_000
"""More than a lake keeps in its catalogue: that may take rows while nothing can be written to the files."""


def merge_apart(
    items: Sequence[T],
    merge: Callable[[Sequence[T]], object],
    refuse: Callable[[T, Exception], object],
    database: Store,
) -> None:
    """Merge all of the items that can be merged.

    Args:
        items: what to merge, in order.
        merge: merges some of them in one transaction, and keeps count of what it did.
        refuse: told of each item that cannot be merged, and why.
        database: where they go; asked whether it takes anything at all.

    Raises:
        WarehouseError: the database cannot take anything now; some of the items may be merged.
        Exception: as `refuse` raises.
    """
    parts = [items]
    while parts:
        part = parts.pop()
        if not part:
            continue
        try:
            merge(part)
        except Exception as error:
            if _may_pass(error, database):
                raise
            if len(part) == 1:
                refuse(part[0], error)
            else:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]


def _may_pass(error: Exception, database: Store) -> bool:
    """Whether an error is of the machine, and not of what was to be merged."""
    if not isinstance(error, WarehouseError):
        return False
    if not isinstance(error, DatabaseNotWritten) or any(words in str(error) for words in _FULL):
        return True
    # DuckDB's memory, an error within it, a commit that failed: where anything else is taken, the work is at fault.
    return not _takes_writes(database)


def _takes_writes(database: Store) -> bool:
    """Whether the database takes anything at all, however little."""
    try:
        with database.transaction() as connection:
            connection.execute("CREATE TABLE ayne_probe AS SELECT * FROM range(?)", [_PROBED_ROWS])
            connection.execute("DROP TABLE ayne_probe")
    except Exception:  # noqa: BLE001 -- whatever it is, it does not
        return False
    return True
