"""The warehouse for analysts: ask in SQL, get rows. Opens the file for each question and closes it at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from ayne_dagster.config import Settings, load_settings
from ayne_dagster.errors import OneLineError
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.lake import LakeStore
from ayne_dagster.warehouse.rows import naive_utc, unique_names
from ayne_dagster.warehouse.statistics import collection_stats
from ayne_dagster.warehouse.store import Store
from ayne_dagster.warehouse.strategies import load_strategy


class NoDataFrames(OneLineError):
    """Neither pandas nor polars is installed."""


def _frames() -> Callable[[pa.Table], Any]:
    """What makes a data frame of an Arrow table."""
    for name, frame in (("pandas", _of_pandas), ("polars", _of_polars)):
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:  # it is installed, and lacks something itself
                raise
        else:
            return frame
    raise NoDataFrames(
        "A data frame needs pandas or polars, and neither is installed: `pip install pandas`, or take `query` (rows) or"
        " `arrow` (an Arrow table)."
    )


def _of_pandas(table: pa.Table) -> Any:
    return table.to_pandas()


def _of_polars(table: pa.Table) -> Any:
    return import_module("polars").from_arrow(table)


class DuckDBClient:
    """Reads the warehouse. It never keeps the file open, so that it does not stand in a run's way.

    Args:
        database: the DuckDB file, or a store; what `AYNE_DATABASE` names when left out. A lake is only read by it.
        settings: everything else; the environment when left out.

    Example:
        >>> with DuckDBClient() as db:  # doctest: +SKIP
        ...     db.query("SELECT title, imdb_rating FROM movies ORDER BY imdb_rating DESC LIMIT 10")
    """

    def __init__(self, database: str | Path | Store | None = None, *, settings: Settings | None = None) -> None:
        self._settings = settings
        self.database = self._store(database)

    def _store(self, database: str | Path | Store | None) -> Store:
        if isinstance(database, Store):
            return database
        if database is not None:
            return Database(Path(database))
        if self.settings.lake is not None:
            return LakeStore(self.settings.database, place=self.settings.lake)
        return Database(self.settings.database)

    @property
    def settings(self) -> Settings:
        """The settings; they are read from the environment when they are needed, since a query needs none."""
        if self._settings is None:
            self._settings = load_settings()
        return self._settings

    def query(self, sql: str, parameters: Sequence[Any] | dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of a query, each as a dictionary by column name.

        Raises:
            WarehouseError: there is no database, or it is in use.
            duckdb.Error: the query is wrong.
        """
        with self.database.connect(read_only=True) as connection:
            result = connection.execute(sql, parameters)
            names = unique_names([column[0] for column in result.description])
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def arrow(self, sql: str, parameters: Sequence[Any] | dict[str, Any] | None = None) -> pa.Table:
        """The rows of a query as an Arrow table; `df` makes a data frame of it."""
        with self.database.connect(read_only=True) as connection:
            found = connection.execute(sql, parameters).to_arrow_table()
            return found.rename_columns(unique_names(found.column_names))

    def df(self, sql: str, parameters: Sequence[Any] | dict[str, Any] | None = None) -> Any:
        """The rows of a query as a data frame: of pandas where it is installed, else of polars.

        Pandas comes first, since `.df()` gives its frames in DuckDB itself, and plots and models take them; who wants
        those of polars beside it has `polars.from_arrow(client.arrow(sql))`.

        Raises:
            NoDataFrames: neither is installed; nothing was asked.
            WarehouseError, duckdb.Error: as `query`.
        """
        frame = _frames()
        return frame(self.arrow(sql, parameters))

    def movies_at(self, instant: datetime) -> list[dict[str, Any]]:
        """The movies as they were known at an instant, each as a dictionary by column name: the macro `movies_at`.

        Args:
            instant: aware, or UTC as the timestamps in the tables.

        Raises:
            WarehouseError: there is no database, or it is in use.
        """
        at = naive_utc(instant) if instant.tzinfo is not None else instant
        return self.query("FROM movies_at($instant)", {"instant": at})

    def get_collection_stats(self, now: datetime | None = None) -> dict[str, int]:
        """How much is collected: the numbers of `ayne stats`.

        Args:
            now: the instant to count at (aware UTC); what the platform's clock shows when left out.
        """
        with self.database.connect(read_only=True) as connection:
            strategy = load_strategy(connection, self.settings.strategy)
            return collection_stats(connection, now or self.settings.now(), strategy)

    def close(self) -> None:
        """Nothing stays open between questions; here for symmetry with other clients."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
