"""The budget of a day: never above quota less reserve, released step by step, all of it by the day's last step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.refresh.budget import STEPS, DayBudget, hours_left, midnight

DAY = datetime(2026, 3, 1, tzinfo=UTC)
SECONDS = st.floats(0.0, 86_399.999)
QUOTAS = st.integers(1, 200_000)


def at(hour: float) -> datetime:
    return DAY + timedelta(hours=hour)


@given(quota=QUOTAS, reserve=st.integers(0, 300_000), used=st.integers(0, 300_000), second=SECONDS)
def test_never_more_is_released_than_the_quota_less_the_reserve(
    quota: int, reserve: int, used: int, second: float
) -> None:
    plan, now = DayBudget(quota, reserve, used), DAY + timedelta(seconds=second)
    assert 0 <= plan.released(now) <= max(0, quota - reserve)
    assert 0 <= plan.spendable(now) <= plan.left
    assert plan.spendable(now) == 0 or used + plan.spendable(now) <= quota - reserve


@given(quota=QUOTAS, reserve=st.integers(0, 300_000), seconds=st.tuples(SECONDS, SECONDS))
def test_what_is_released_stays_released(quota: int, reserve: int, seconds: tuple[float, float]) -> None:
    earlier, later = (DAY + timedelta(seconds=second) for second in sorted(seconds))
    plan = DayBudget(quota, reserve)
    assert plan.released(earlier) <= plan.released(later)


@given(quota=QUOTAS, reserve=st.integers(0, 300_000), used=st.integers(0, 300_000))
def test_by_the_last_step_all_is_released_and_nothing_unused_is_lost(quota: int, reserve: int, used: int) -> None:
    plan = DayBudget(quota, reserve, used)
    assert plan.released(at(23)) == plan.total
    assert plan.spendable(at(23.9)) == plan.left == max(0, quota - reserve - used)


@given(quota=QUOTAS, second=SECONDS)
def test_no_step_releases_more_than_its_share(quota: int, second: float) -> None:
    plan, now = DayBudget(quota), DAY + timedelta(seconds=second)
    step = timedelta(hours=24 / STEPS)
    before = plan.released(now - step) if now - step >= DAY else 0
    assert plan.released(now) - before <= quota / STEPS + 1


@given(quota=QUOTAS, reserve=st.integers(0, 300_000), used=st.integers(0, 300_000), second=SECONDS)
def test_at_the_next_release_there_is_more_to_spend_and_just_before_it_there_is_not(
    quota: int, reserve: int, used: int, second: float
) -> None:
    plan, now = DayBudget(quota, reserve, used), DAY + timedelta(seconds=second)
    later = plan.next_release(now)
    if later is None:
        assert plan.spendable(at(23.99)) == plan.spendable(now)
    else:
        assert now < later < DAY + timedelta(days=1)
        assert plan.spendable(later) > plan.spendable(now) == plan.spendable(later - timedelta(microseconds=1))


@given(
    quota=QUOTAS,
    reserve=st.integers(0, 1_000),
    ticks=st.lists(st.tuples(SECONDS, st.integers(0, 500)), max_size=60),
)
def test_a_day_of_ticks_that_spend_what_they_may_stays_within_the_budget(
    quota: int, reserve: int, ticks: list[tuple[float, int]]
) -> None:
    used = 0
    for second, wanted in sorted(ticks):
        now = DAY + timedelta(seconds=second)
        used += min(wanted, DayBudget(quota, reserve, used).spendable(now))
        assert used <= DayBudget(quota, reserve).released(now) <= max(0, quota - reserve)


def test_a_day_of_a_free_key_is_spread_over_its_hours() -> None:
    plan = DayBudget(1000, 40)
    assert [plan.released(at(hour)) for hour in (0, 0.99, 1, 12, 22.99, 23)] == [40, 40, 80, 520, 920, 960]


def test_what_a_person_spent_counts() -> None:
    plan = DayBudget(960, 0, used=100)
    assert (plan.spendable(at(1)), plan.spendable(at(2))) == (0, 20)
    assert plan.next_release(at(0.5)) == at(2)


def test_a_reserve_above_the_quota_leaves_nothing_to_collections() -> None:
    plan = DayBudget(100, 200)
    assert (plan.total, plan.spendable(at(23)), plan.next_release(at(0)), plan.days_for(5)) == (0, 0, None, None)


def test_a_backlog_is_told_in_days() -> None:
    assert DayBudget(1000, 200).days_for(2000) == pytest.approx(2.5)
    assert DayBudget(1000).days_for(0) == 0


def test_the_day_is_that_of_utc_wherever_the_instant_was_told() -> None:
    tokyo = datetime(2026, 3, 2, 8, 30, tzinfo=timezone(timedelta(hours=9)))
    assert midnight(tokyo) == DAY
    assert hours_left(tokyo) == pytest.approx(0.5)
    assert DayBudget(960).released(tokyo) == 960
