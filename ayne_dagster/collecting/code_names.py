"""Asking TMDB for the names of countries and languages. When that is due is in `refresh`, storing in `warehouse`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ayne_dagster.collecting.streams import Emit, Now
from ayne_dagster.sources.errors import SourceError
from ayne_dagster.sources.limits.ledger import LedgerError
from ayne_dagster.sources.tmdb.client import AsyncTMDBClient
from ayne_dagster.warehouse.code_names import CodeNames


async def read_code_names(
    client: AsyncTMDBClient, kinds: Iterable[str], emit: Emit[CodeNames], *, now: Now, tell: Callable[[str], object]
) -> None:
    """Ask for the lists that are due, one request each, and emit them.

    One that cannot be had fails nothing: it is told, the names that are known hold, and the next reading asks again.
    """
    for kind in kinds:
        try:
            names = await client.list_names(kind)
        except (SourceError, LedgerError) as error:
            tell(f"TMDB's names of {kind} codes cannot be read ({error}): those that are known hold until they can.")
            continue
        await emit(CodeNames(kind, names, now()))
