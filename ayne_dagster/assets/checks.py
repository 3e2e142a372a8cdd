"""Asset checks and freshness policies, applied to all assets in one place. The counting itself is in the warehouse.

The checks of an asset are one step, after it (`checks_of`): so each can be run alone, from the UI, at no request, and
those of an asset open the database once together. Dagster's freshness policies see only an asset's latest
materialization, of whatever partition; how fresh the movies really are is told by `no_overdue_movies`.

https://docs.dagster.io/guides/test/asset-checks
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

import dagster as dg
import duckdb

from ayne_dagster.assets.markdown import markdown_table
from ayne_dagster.config import Settings
from ayne_dagster.refresh.gathering import TICK
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY, COLLECTED, Strategy
from ayne_dagster.resources.clients import Clock, DuckDBDatabase
from ayne_dagster.warehouse.best_figures import agreement
from ayne_dagster.warehouse.doubts import count_doubts, list_doubts
from ayne_dagster.warehouse.outlook import misfits
from ayne_dagster.warehouse.row_checks import count_of, duplicate_keys, misplaced_rows, orphans
from ayne_dagster.warehouse.schema import (
    ALL_TABLES,
    BOX_OFFICE,
    COLLECTION_STATUS,
    OMDB_RATINGS,
    REFRESH_METADATA,
    Table,
)
from ayne_dagster.warehouse.statistics import overdue_by_category
from ayne_dagster.warehouse.store import WarehouseError
from ayne_dagster.warehouse.tables import View
from ayne_dagster.warehouse.views import MOVIES

_OF_MOVIES = {
    "years_match_partitions": (
        misplaced_rows,
        "misplaced",
        "Every row is in the partition of its movie's release year.",
    ),
    "no_orphans": (orphans, "orphans", "Every row belongs to a known movie."),
}
"""By check: what finds the rows that it is about, what these are called, and what holds where there are none."""
OVERDUE = "no_overdue_movies"
AGREE = "sources_agree"
OF_THE_MOVIE = "ratings_are_of_the_movie"
DOUBTS_SHOWN = 10
MOST_APART = 0.15
"""Share of figures stated by several sources that may differ: of two comparisons of Wikidata with The Numbers, 9 % did
after its figures without a place had been looked at."""

FRESHNESS = timedelta(days=2)
"""An asset fails its freshness policy when it has not been materialized for this long, and warns at half of it."""
FRESHNESS_OF_FILES = {"tmdb_id_export": timedelta(days=3), "imdb_ratings": timedelta(days=3)}
"""A file that is published daily may be a day late."""


def check_specs(table: Table | View) -> list[dg.AssetCheckSpec]:
    """The checks that an asset with this table or view declares."""
    specs = [
        dg.AssetCheckSpec(name, asset=table.name, description=description)
        for name, (_, _, description) in _counted(table).items()
    ]
    if table is BOX_OFFICE:
        description = "Sources that state the same figure of a movie differ by more than a quarter in few cases."
        specs.append(dg.AssetCheckSpec(AGREE, asset=table.name, description=description))
    if table is OMDB_RATINGS:
        description = "No answer is of another work than TMDB's movie, by title, year, people and runtime at both."
        specs.append(dg.AssetCheckSpec(OF_THE_MOVIE, asset=table.name, description=description))
    if table is REFRESH_METADATA:
        description = (
            "No movie has been due, for a source that is collected, for longer than a batch is gathered "
            "(AYNE_SENSOR_MAX_WAIT) and a tick of the sensor; counted by age category."
        )
        specs.append(dg.AssetCheckSpec(OVERDUE, asset=table.name, description=description))
    return specs


def _counted(table: Table | View) -> dict[str, tuple[str, str, str]]:
    """By check of rows that makes sense: its query, what it finds, and what holds where it finds nothing.

    What feeds say of movies that are not known is kept too, outside all partitions; of a view, joins may double rows.
    """
    found = {"keys_are_unique": (duplicate_keys(table), "duplicates", "No movie stands in the table twice.")}
    if isinstance(table, View) or "release_year" not in table.types:
        return found
    return found | {
        name: (find(table), called, description)
        for name, (find, called, description) in _OF_MOVIES.items()
        if not (table is REFRESH_METADATA and name == "no_orphans")
    }


def checks_of(table: Table | View) -> dg.AssetChecksDefinition:
    """The checks of the asset with this table: a step after the asset's, or alone those that somebody chose."""

    @dg.multi_asset_check(
        name=f"check_{table.name}",
        specs=check_specs(table),
        can_subset=True,
        description=f"Counts in {table.name} what must not be there; fetches nothing.",
        config_schema={},
    )
    def check(
        context: dg.AssetCheckExecutionContext,
        database: DuckDBDatabase,
        clock: dg.ResourceParam[Clock],
        settings: dg.ResourceParam[Settings],
    ) -> Iterator[dg.AssetCheckResult]:
        chosen = {key.name for key in context.selected_asset_check_keys}
        yield from check_results(table, database, clock.now(), settings, chosen)

    return check


def check_results(
    table: Table | View,
    database: DuckDBDatabase,
    now: datetime,
    settings: Settings,
    chosen: Collection[str] | None = None,
) -> Iterator[dg.AssetCheckResult]:
    """Results of the checks that `check_specs` declares, counted now.

    Args:
        table: of the asset.
        database: the warehouse, with the strategy that says what is due.
        now: the instant (aware UTC).
        settings: which sources are asked, and how long a movie may be due before it is overdue.
        chosen: names of the checks to count; None: all.

    Raises:
        dagster.Failure: the database cannot be read.
    """
    try:
        if not database.file.exists:
            raise dg.Failure(f"There is no database at {database.file.name} yet: run discover_movies first.")
        with database.file.connect() as connection:
            for spec in check_specs(table):
                if chosen is None or spec.name in chosen:
                    yield _result(spec.name, table, connection, database, now, settings)
    except WarehouseError as error:
        raise dg.Failure(str(error)) from None


def _result(
    name: str,
    table: Table | View,
    connection: duckdb.DuckDBPyConnection,
    database: DuckDBDatabase,
    now: datetime,
    settings: Settings,
) -> dg.AssetCheckResult:
    if name == OVERDUE:
        return _overdue(connection, database.strategy(connection), now, settings)
    if name == AGREE:
        return _agreement(connection, now)
    if name == OF_THE_MOVIE:
        return _doubts(connection)
    query, called, _ = _counted(table)[name]
    rows = count_of(connection, query)
    return dg.AssetCheckResult(
        check_name=name, passed=rows == 0, description=f"{rows:,} {called}", metadata={called: rows}
    )


def _overdue(
    connection: duckdb.DuckDBPyConnection, strategy: Strategy, now: datetime, settings: Settings
) -> dg.AssetCheckResult:
    """How many movies have waited for longer than a batch is gathered; whether the age table fits the budgets."""
    patience, quotas = settings.sensor_max_wait + TICK, settings.spendable
    overdue = overdue_by_category(connection, now, tuple(quotas or COLLECTED), strategy=strategy, patience=patience)
    wrong = misfits(connection, now, quotas) if strategy is AGE_TABLE_STRATEGY else []
    told = {"strategy": "; ".join(map(str, wrong))} if wrong else {}
    return dg.AssetCheckResult(
        check_name=OVERDUE,
        passed=not any(overdue.values()),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{sum(overdue.values()):,} overdue by more than {_in_words(patience)}",
        metadata={"overdue": sum(overdue.values()), **overdue, **told},
    )


def _in_words(patience: timedelta) -> str:
    minutes = patience // timedelta(minutes=1)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _agreement(connection: duckdb.DuckDBPyConnection, now: datetime) -> dg.AssetCheckResult:
    """How far the sources of figures agree, with the movies of which they agree least."""
    found = agreement(connection, now)
    rows = [
        (tmdb_id, title, f"{measure} {scope}", f"{least:,.0f} ({low})", f"{most:,.0f} ({high})")
        for tmdb_id, title, measure, scope, low, least, high, most in found.cases
    ]
    cases = markdown_table(("TMDB id", "title", "figure", "least", "most"), rows)
    numbers = {"compared": found.compared, "apart": found.apart, "share_apart": round(found.share_apart, 4)}
    return dg.AssetCheckResult(
        check_name=AGREE,
        passed=found.share_apart <= MOST_APART,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{found.apart:,} of {found.compared:,} figures differ by more than a quarter",
        metadata=numbers | ({"cases": dg.MetadataValue.md(cases)} if found.cases else {}),
    )


def _doubts(connection: duckdb.DuckDBPyConnection) -> dg.AssetCheckResult:
    """How many answers are of another work, or may be, and the first of them: a warning, since TMDB must correct it."""
    counts = count_doubts(connection)
    found = list_doubts(connection, DOUBTS_SHOWN) if counts.total else []
    cases = [[each[name] for name in ("tmdb_id", "title", "doubt", "reasons")] for each in found]
    table = markdown_table(("TMDB id", "title", "doubt", "reasons"), cases)
    numbers = {**counts.by_kind, "judged": counts.judged, "not_judged": counts.not_judged}
    return dg.AssetCheckResult(
        check_name=OF_THE_MOVIE,
        passed=counts.another == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{counts.another:,} of {counts.judged:,} answers are of another work",
        metadata=numbers | ({"doubts": dg.MetadataValue.md(table)} if found else {}),
    )


def checks_of_all(assets: Sequence[dg.AssetsDefinition]) -> list[dg.AssetChecksDefinition]:
    """The checks of all assets but of the observations, which are rows of their own."""
    described: dict[str, Table | View] = {**ALL_TABLES, MOVIES.name: MOVIES}
    names = [asset.key.path[-1] for asset in assets]
    return [checks_of(described[name]) for name in names if name in described and name != COLLECTION_STATUS.name]


def with_freshness_policies(
    assets: Sequence[dg.AssetsDefinition], switched_off: Collection[str] = ()
) -> list[dg.AssetsDefinition]:
    """The assets, each with its freshness policy, but for those that nothing is read for."""

    def with_policy(spec: dg.AssetSpec) -> dg.AssetSpec:
        if spec.key.path[-1] in switched_off:
            return spec
        window = FRESHNESS_OF_FILES.get(spec.key.path[-1], FRESHNESS)
        policy = dg.FreshnessPolicy.time_window(fail_window=window, warn_window=window / 2)
        return spec.replace_attributes(freshness_policy=policy)

    return [asset.map_asset_specs(with_policy) for asset in assets]
