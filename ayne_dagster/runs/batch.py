"""What a refresh run is for: the movies that it is to refresh, and how its tags and its configuration say so."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ayne_dagster.config import STRATEGIES, StrategyChoice
from ayne_dagster.partitions import YEARS_TAG, describe_years, partition_range
from ayne_dagster.refresh.explain import counted_in_words
from ayne_dagster.refresh.strategy import DUE_REASONS, SOURCES
from ayne_dagster.settings.tags import REASONS_TAG
from ayne_dagster.warehouse.refresh_metadata import DueMovie, due_movies
from ayne_dagster.warehouse.schema import TABLE_OF
from ayne_dagster.warehouse.store import Store
from ayne_dagster.warehouse.strategies import load_strategy

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
BATCH_TAG = "ayne/batch"
WHY_TAG = "ayne/why"
"""What `REASONS_TAG` says, in words, for people."""
MAX_IDS_IN_CONFIG = 2000
"""Above this the run picks its due movies itself: longer lists make run configs that storages choke on."""
ASSET_OF = {source: table.name for source, table in TABLE_OF.items()}
"""Which asset fetches from which source."""


@dataclass(frozen=True)
class RefreshBatch:
    """The movies that one run is to refresh, and why; and how many of them each source may be asked for."""

    movies: Sequence[DueMovie]
    limits: Mapping[str, int]
    """Movies at most, by source; a source that is left out is not asked."""

    def picked_for(self, source: str) -> list[int]:
        """The ids of those that were picked for a source."""
        return [movie.tmdb_id for movie in self.movies if source in movie.reasons]

    @property
    def ids(self) -> list[int]:
        """Their TMDB ids, in the order of the strategy."""
        return [movie.tmdb_id for movie in self.movies]

    @property
    def fingerprint(self) -> str:
        """The same for the same movies due for the same reasons."""
        text = repr([(movie.tmdb_id, sorted(movie.reasons.items())) for movie in self.movies])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def reasons(self) -> str:
        """How many are due for what reason: `tmdb: 37 never_fetched, 63 age_table; omdb: …`, well below 2 KB."""
        parts = []
        for source in self.limits:
            counts = Counter(str(movie.reasons[source]) for movie in self.movies if source in movie.reasons)
            due = ", ".join(f"{number} {reason}" for reason, number in counts.most_common() if reason in DUE_REASONS)
            parts.append(f"{source}: {due or 'none due'}")
        return "; ".join(parts)

    @property
    def why(self) -> str:
        """`reasons` in a person's words: `TMDB: 37 never answered for yet; OMDb: none due`."""
        by_source = {s: [movie.reasons[s] for movie in self.movies if s in movie.reasons] for s in self.limits}
        return "; ".join(f"{SOURCES[s].title}: {counted_in_words(reasons)}" for s, reasons in by_source.items())

    def tags(self) -> dict[str, str]:
        """Tags of the run: one contiguous range of release years, those that it touches, and what was chosen."""
        years = {movie.release_year for movie in self.movies}
        span = partition_range(years)
        if span is None:
            return {}
        chosen = {YEARS_TAG: describe_years(years), BATCH_TAG: self.fingerprint}
        return range_tags(*span) | chosen | {REASONS_TAG: self.reasons, WHY_TAG: self.why}

    def run_config(self, *, use_reserve: bool = False) -> dict[str, Any]:
        """Run config: each source's limit and the chosen ids, or only the limit where they are too many to list.

        A step takes the movies that were picked for its source. The others are named behind them: one that gets its
        IMDb id in this run is due at OMDb in this run.
        """
        return {"ops": {asset: {"config": self._config(source, use_reserve)} for source, asset in ASSET_OF.items()}}

    def _config(self, source: str, use_reserve: bool) -> dict[str, Any]:
        config: dict[str, Any] = {"limit": self.limits.get(source, 0), "use_reserve": use_reserve}
        if len(self.movies) > MAX_IDS_IN_CONFIG:
            return config | {"tmdb_ids": []}
        picked = self.picked_for(source)
        ids = dict.fromkeys([*picked, *self.ids])
        return config | {"tmdb_ids": list(ids), "picked": len(picked)}


def range_tags(first: str, last: str) -> dict[str, str]:
    """Tags that make a run serve a range of partitions."""
    return {RANGE_START_TAG: first, RANGE_END_TAG: last}


def pick_batch(
    database: Store, now: datetime, limits: Mapping[str, int], strategy: str | StrategyChoice = STRATEGIES[0]
) -> RefreshBatch:
    """The movies for a run: those due for any of the sources, at most its limit for each.

    Args:
        database: the warehouse.
        now: the instant (aware UTC).
        limits: movies at most, by source; one that is left out, or has 0, is not asked.
        strategy: the refresh strategy.
    """
    chosen: dict[int, DueMovie] = {}
    with database.connect() as connection:
        decides = load_strategy(connection, strategy)
        for source, limit in limits.items():
            for movie in due_movies(connection, (source,), now, limit, strategy=decides):
                earlier = chosen.get(movie.tmdb_id)
                reasons: Mapping[str, Any] = {**(earlier.reasons if earlier else {}), **movie.reasons}
                chosen[movie.tmdb_id] = DueMovie(
                    movie.tmdb_id, movie.release_year, movie.release_date, movie.imdb_id, reasons
                )
    return RefreshBatch(list(chosen.values()), limits)
