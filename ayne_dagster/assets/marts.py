"""What analysts use: the table `movies`, and how much is collected. No fetching, no decisions."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import dagster as dg
import duckdb

from ayne_dagster.assets.definition import DATASET, column_lineage, table_options
from ayne_dagster.assets.discovery import discovered_movies
from ayne_dagster.assets.empty_years import tell_of_empty_years, years_with_movies
from ayne_dagster.assets.imdb import imdb_ratings
from ayne_dagster.assets.markdown import markdown_table
from ayne_dagster.assets.refresh import refresh_metadata
from ayne_dagster.assets.refreshing import Steps
from ayne_dagster.assets.runless import are_told_by
from ayne_dagster.assets.switched_off import switched_off, tell_of_switched_off
from ayne_dagster.config import FigureChoice, Settings
from ayne_dagster.errors import OneLineError
from ayne_dagster.refresh.strategy import CATEGORIES, SOURCES
from ayne_dagster.resources.clients import Clock, DuckDBDatabase
from ayne_dagster.resources.io_manager import TableWrite
from ayne_dagster.sources.limits.account import accounts_of
from ayne_dagster.sources.limits.ledger import LedgerError, RequestLedger
from ayne_dagster.warehouse.best_figures import put_precedence
from ayne_dagster.warehouse.file_sizes import OnDisk, observe_sizes, on_disk
from ayne_dagster.warehouse.freshness import CATEGORY_OF_ALL, Observed, latest_freshness
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


class Page(Protocol):
    """The dashboard as a file, which is written where it is put together."""

    def renew(self, movies: int, run_id: str) -> Path:
        """Write it anew where that is worth its while; returns where it is.

        Raises:
            OneLineError: it cannot be written.
        """


@dg.asset(**table_options(COLLECTION_STATUS, DATASET, set()), deps=[refresh_metadata], config_schema={})
def collection_status(
    context: dg.AssetExecutionContext,
    database: DuckDBDatabase,
    clock: dg.ResourceParam[Clock],
    settings: dg.ResourceParam[Settings],
    ledger: dg.ResourceParam[RequestLedger],
    page: dg.ResourceParam[Page],
) -> Steps:
    """Count what is collected, and keep the counts: each materialization is a point in the UI's plots."""
    yield dg.Output(Counting(context, database, clock, settings, ledger, page))


def linked_to_dashboard(assets: Sequence[dg.AssetsDefinition], url: str | None) -> list[dg.AssetsDefinition]:
    """The assets, with a link to the dashboard at `collection_status` where it is known where that is served."""

    def linked(spec: dg.AssetSpec) -> dg.AssetSpec:
        if url is None or spec.key.path[-1] != COLLECTION_STATUS.name:
            return spec
        metadata = {**spec.metadata, "dashboard": dg.MetadataValue.url(url)}
        return spec.replace_attributes(
            description=f"{spec.description} [Open the dashboard]({url}).", metadata=metadata
        )

    return [asset.map_asset_specs(linked) for asset in assets]


@dataclass
class Counting(TableWrite[dict[str, int]]):
    """Today's counts, as a row of their own."""

    context: dg.AssetExecutionContext
    database: DuckDBDatabase
    clock: Clock
    settings: Settings
    ledger: RequestLedger
    page: Page
    years: Collection[str] = ()
    day: Mapping[str, DaySoFar] = field(default_factory=dict)
    fresh: Sequence[Observed] = ()

    def write(self, connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
        """Count, and keep the counts."""
        now, strategy = self.clock.now(), self.database.strategy(connection)
        self.years = years_with_movies(connection)
        self.day = day_so_far(connection, self.settings.sources, now, strategy)
        self.fresh = latest_freshness(connection, now)
        observe_sizes(connection, now, self._files)
        return record_stats(connection, now, strategy)

    def _files(self) -> list[OnDisk]:
        instance, lake = self.context.instance, self.settings.lake
        homes = [] if instance.is_ephemeral else [Path(instance.root_directory)]
        return on_disk(self.settings.database, homes, lake.data if lake else None)

    def report(self, written: dict[str, int]) -> None:
        """The counts; and, to whoever looks at Dagster's UI, what there is nothing to fetch of."""
        left = self._left()
        curves = {f"{name}_{source}": value for source, day in self.day.items() for name, value in _curves(day).items()}
        curves |= {f"requests_left_{source}": number for source, number in left.items()}
        curves |= fresh_shares(self.fresh)
        tables = {"today": as_table(self.day, left)} | ({"freshness": fresh_table(self.fresh)} if self.fresh else {})
        self.context.add_asset_metadata(
            {**written, **curves, **{name: dg.MetadataValue.md(text) for name, text in tables.items()}}
        )
        instance = self.context.instance
        if not instance.is_ephemeral:
            self._renew_page(written["total_movies"])
        if are_told_by(instance, self.context.run):
            tell_of_empty_years(instance, self.years)
            tell_of_switched_off(instance, switched_off(self.settings))

    def _renew_page(self, movies: int) -> None:
        """Have the dashboard written, and linked; a page that cannot be is no reason for a run to fail."""
        try:
            file = self.page.renew(movies, self.context.run.run_id)
        except OneLineError as error:
            self.context.log.warning(f"The page of the dashboard is as it was: {error}")
            return
        links: dict[str, Any] = {"page": dg.MetadataValue.path(file)}
        if self.settings.dashboard_url is not None:
            links["dashboard"] = dg.MetadataValue.url(self.settings.dashboard_url)
        self.context.add_asset_metadata(links)

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


def fresh_shares(observed: Sequence[Observed]) -> dict[str, float]:
    """What of an observation is a point in a plot: the shares over all ages, by source."""
    return {
        f"{name}_{each.source}": round(share, 4)
        for each in observed
        if each.category == CATEGORY_OF_ALL
        for name, share in each.shares.items()
        if name != "in_time"  # which `DaySoFar` has, of each run
    }


def fresh_table(observed: Sequence[Observed]) -> str:
    """The last observation as a Markdown table, a row a source: likely unchanged, and found so by checks."""
    shares = {(each.source, each.category): each.shares for each in observed}
    columns = (*CATEGORIES, CATEGORY_OF_ALL)

    def cell(source: str, category: str) -> str:
        told = shares.get((source, category), {})
        likely, found = told.get("likely_unchanged"), told.get("found_unchanged")
        return "" if likely is None else f"{likely:.0%}" + ("" if found is None else f" (found {found:.0%})")

    sources = dict.fromkeys(each.source for each in observed)
    rows = [(SOURCES[source].title, *(cell(source, category) for category in columns)) for source in sources]
    return markdown_table(("likely unchanged", *columns), rows)


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
