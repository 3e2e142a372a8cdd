"""The policies that are compared: shipped strategies, with and without what they may know, and a yardstick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ayne_dagster.refresh.age_table import AGE_TABLE_STRATEGY, CYCLE_SOURCE
from ayne_dagster.refresh.learning import POPULARITY_SHARE
from ayne_dagster.refresh.states import SOURCES
from ayne_dagster.refresh.value import ValueOfRefreshStrategy

SOURCES_WITH_FEED = tuple(source.name for source in SOURCES.values() if source.has_change_feed)
"""Sources that announce their changes. OMDb does not."""


@dataclass(frozen=True)
class Policy:
    """One way to spend the requests of a day."""

    name: str
    title: str
    strategy: str | None
    """The shipped strategy whose code it runs; None for the yardstick that is none."""
    feed: bool = False
    """Reads the change feed, at a source that has one."""
    freezes: bool = True
    """Freezes what proves stable; otherwise every movie is thawed at once."""
    popularity_share: float = POPULARITY_SHARE
    """How much of the weight goes by popularity (AYNE_FRESHNESS_WEIGHT)."""
    yardstick: Literal["round_robin", "plain_index"] | None = None
    """What it is where it is no strategy of the platform."""

    def reads_feed(self, source: str) -> bool:
        """Whether it reads a change feed at a source."""
        return self.feed and source in SOURCES_WITH_FEED

    def applies(self, source: str) -> bool:
        """Whether it is a policy of its own at a source: without a feed, or cycles to freeze by, some are the same."""
        if self.feed and self.yardstick is None and self.popularity_share == POPULARITY_SHARE:
            return source in SOURCES_WITH_FEED
        return self.freezes or source == CYCLE_SOURCE


POLICIES: Mapping[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy("round_robin", "round robin", None, yardstick="round_robin"),
        Policy("age_table", "the age table", AGE_TABLE_STRATEGY.name),
        Policy("age_table_unfrozen", "the age table without freezing", AGE_TABLE_STRATEGY.name, freezes=False),
        Policy("age_table_feed", "the age table + feed", AGE_TABLE_STRATEGY.name, feed=True),
        Policy("value_of_refresh", "value of refresh", ValueOfRefreshStrategy.name),
        Policy("value_of_refresh_feed", "value of refresh + feed", ValueOfRefreshStrategy.name, feed=True),
        Policy("value_all_alike", "value, all alike", ValueOfRefreshStrategy.name, feed=True, popularity_share=0),
        Policy("attainable", "attainable by weight", None, True, popularity_share=1, yardstick="plain_index"),
        Policy("attainable_mean", "attainable by mean", None, True, popularity_share=0, yardstick="plain_index"),
    )
}
