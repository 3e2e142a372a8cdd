"""The default strategy's rules as SQL over `refresh_metadata`, for those who ask for no other. No connection, no I/O.

Every expression takes the instant as the parameter `$now` (TIMESTAMP, UTC) and yields exactly what `decide` does.
"""

from __future__ import annotations

from ayne_dagster.refresh.age_table import AGE_TABLE_STRATEGY, ORDER
from ayne_dagster.refresh.ages import category_sql
from ayne_dagster.refresh.states import fully_refreshed_sql

__all__ = [
    "ORDER",
    "category_sql",
    "due_count_query",
    "due_query",
    "due_sql",
    "frozen_sql",
    "fully_refreshed_sql",
    "reason_sql",
]

frozen_sql = AGE_TABLE_STRATEGY.frozen_sql
reason_sql = AGE_TABLE_STRATEGY.reason_sql
due_sql = AGE_TABLE_STRATEGY.due_sql
due_query = AGE_TABLE_STRATEGY.due_query
due_count_query = AGE_TABLE_STRATEGY.due_count_query
