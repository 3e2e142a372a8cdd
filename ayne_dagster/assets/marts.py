"""What analysts use: the table `movies`, and how much is collected. No fetching, no decisions."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import duckdb

from ayne_dagster.assets.definition import DATASET, column_lineage, table_options
from ayne_dagster.assets.discovery import discovered_movies
from ayne_dagster.assets.empty_years import tell_of_empty_years, years_with_movies
from ayne_dagster.assets.imdb import imdb_ratings
from ayne_dagster.assets.markdown import markdown_table
from ayne_dagster.assets.refresh import refresh_metadata
from ayne_dagster.assets.refreshing import Steps
from ayne_dagster.assets.switched_off import switched_off, tell_of_switched_off
from ayne_dagster.config import FigureChoice, Settings
from ayne_dagster.refresh.strategy import SOURCES
from ayne_dagster.resources.clients import Clock, DuckDBDatabase
from ayne_dagster.resources.io_manager import TableWrite
from ayne_dagster.sources.limits.account import accounts_of
from ayne_dagster.sources.limits.ledger import LedgerError, RequestLedger
from ayne_dagster.warehouse.best_figures import put_precedence
from ayne_dagster.warehouse.schema import COLLECTION_STATUS
from ayne_dagster.warehouse.statistics import DaySoFar, day_so_far, record_stats
from ayne_dagster.warehouse.views import MOVIES

PREVIEWED = 20_000
"""Rows of `movies` up to which a run shows some of them, and how much is known. All of the view is worked out for it,
with the database held: two seconds of CPU at 200,000."""
_SHOWN = ("tmdb_id", "title", "release_date", "runtime", "imdb_rating", "worldwide_gross")
_COUNTED = ("imdb_id", "release_date", "runtime", "genres", "imdb_rating", "metascore", "worldwide_gross")


@dg.asset(
    **table_options(MOVIES, DATASET, set()), deps=[discovered_movies, refresh_metadata, imdb_ratings], config_schema={}
)
def movies(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> Steps:
    """One row a movie. A view over the other tables: it cannot be older than they are, whatever becomes of a run."""
    yield dg.Output(MoviesView(context, settings.box_office))


@dataclass
class MoviesView(TableWrite[int]):
    """The view `movies`, made anew: a newer version may tell it otherwise."""

    context: dg.AssetExecutionContext
    figures: FigureChoice
    preview: str = ""
    known: Mapping[str, int] = field(default_factory=dict)

    def write(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Make it; returns its rows."""
        put_precedence(connection, self.figures)
        connection.execute(MOVIES.ddl())
        rows = int(connection.execute("SELECT count(*) FROM movies").fetchall()[0][0])
        if rows <= PREVIEWED:
            self.preview = _preview(connection)
            self.known = _known(connection)
        return rows

    def report(self, written: int) -> None:
        """Rows, and from which columns of which tables each of its own comes."""
        lineage = column_lineage(MOVIES)
        told: dict[str, Any] = {"dagster/row_count": written, "dagster/column_lineage": lineage}
        if self.preview:
            told["preview"] = dg.MetadataValue.md(self.preview)
        told |= {f"share_with_{name}": round(count / written, 4) for name, count in self.known.items() if written}
        self.context.add_asset_metadata(told)


def _preview(connection: duckdb.DuckDBPyConnection) -> str:
    """The most popular movies as a Markdown table."""
    rows = connection.execute(
        f"SELECT {', '.join(_SHOWN)} FROM movies ORDER BY popularity DESC NULLS LAST, tmdb_id LIMIT 5"
    ).fetchall()
    return markdown_table(_SHOWN, rows)


def _known(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """By column that analysts ask for first: movies that have a value in it."""
    counts = ", ".join(f"count({name})" for name in _COUNTED)
    return dict(zip(_COUNTED, connection.execute(f"SELECT {counts} FROM movies").fetchall()[0], strict=True))


@dg.asset(**table_options(COLLECTION_STATUS, DATASET, set()), deps=[refresh_metadata], config_schema={})
def collection_status(
    context: dg.AssetExecutionContext,
    database: DuckDBDatabase,
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
    ledger: dg.ResourceParam[RequestLedger],
) -> Steps:
    """Count what is collected, and keep the counts: each materialization is a point in the UI's plots."""
    yield dg.Output(Counting(context, database, clock, settings, ledger))


@dataclass
class Counting(TableWrite[dict[str, int]]):
    """Today's counts, as a row of their own."""

    context: dg.AssetExecutionContext
    database: DuckDBDatabase
    clock: Clock
    settings: Settings
    ledger: RequestLedger
    years: Collection[str] = ()
    day: Mapping[str, DaySoFar] = field(default_factory=dict)

    def write(self, connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
        """Count, and keep the counts."""
        now, strategy = self.clock.now(), self.database.strategy(connection)
        self.years = years_with_movies(connection)
        self.day = day_so_far(connection, self.settings.sources, now, strategy)
        return record_stats(connection, now, strategy)

    def report(self, written: dict[str, int]) -> None:
        """The counts; and, to whoever looks at Dagster's UI, what there is nothing to fetch of."""
        left = self._left()
        curves = {f"{name}_{source}": value for source, day in self.day.items() for name, value in _curves(day).items()}
        curves |= {f"requests_left_{source}": number for source, number in left.items()}
        table = dg.MetadataValue.md(as_table(self.day, left))
        self.context.add_asset_metadata({**written, **curves, "today": table})
        instance = self.context.instance
        if not instance.is_ephemeral:
            tell_of_empty_years(instance, self.years)
            tell_of_switched_off(instance, switched_off(self.settings))

    def _left(self) -> dict[str, int]:
        """By source with a daily quota: requests that are left of today's; nothing while the ledger is down."""
        accounts = accounts_of(self.settings, self.ledger, self.clock.now)
        with suppress(LedgerError):
            uses = {source: account.quota_use for source, account in accounts.items()}
            return {source: use.left for source, use in uses.items() if use.left is not None}
        return {}


def _curves(day: DaySoFar) -> dict[str, int | float]:
    """What of a day is a point in a plot."""
    points: dict[str, int | float] = {
        "requests": day.requests,
        "changed": day.changed,
        "failed": day.failed,
        "due": day.due,
    }
    return points | ({} if day.share_in_time is None else {"share_in_time": day.share_in_time})


def as_table(days: Mapping[str, DaySoFar], left: Mapping[str, int]) -> str:
    """The day so far as a Markdown table, a row a source, with a bar for the share that is in time."""
    rows = []
    for source, day in days.items():
        share = day.share_in_time
        bar = "" if share is None else f"{'█' * round(10 * share):░<10} {share:.0%}"
        numbers = (day.requests, left.get(source), day.changed, day.failed, day.due)
        cells = ("" if number is None else f"{number:,}" for number in numbers)
        rows.append((SOURCES[source].title, *cells, bar))
    return markdown_table(("source", "requests today", "left", "changed", "failed", "due now", "in time"), rows)
