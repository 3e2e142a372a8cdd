"""How much each source may be asked for now: the ledger's count of today, and the plan of `refresh.budget`, together.

The sensor takes its limits from here and `ayne budget` shows them. Nothing here spends or asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ayne_dagster.config import API_OF, API_TITLES, ApiSettings, Settings
from ayne_dagster.refresh.budget import DayBudget, midnight
from ayne_dagster.sources.limits.clock import steady_now
from ayne_dagster.sources.limits.naming import account_name, former_account_names
from ayne_dagster.sources.limits.noted import QuotaUse, glance
from ayne_dagster.sources.limits.pace import LONGEST_WAIT

if TYPE_CHECKING:
    from ayne_dagster.sources.limits.account import Account


@dataclass(frozen=True)
class SourceBudget:
    """What a source grants at an instant."""

    source: str
    now: datetime
    use: QuotaUse
    plan: DayBudget | None
    """Today's plan; None where there is no daily quota, so that only the refresh limit holds."""
    pause_left: float
    """Seconds until the source may be asked again."""

    def limit(self, refresh_limit: int) -> int:
        """Movies that may be asked for now, at most `refresh_limit`."""
        if self.use.exhausted or self.pause_left > LONGEST_WAIT:
            return 0
        return refresh_limit if self.plan is None else min(refresh_limit, self.plan.spendable(self.now))

    @property
    def unspent_since(self) -> datetime | None:
        """Since when what may be asked for now could have been; None where no plan tells."""
        return self.plan.unspent_since(self.now) if self.plan else None

    @property
    def hindrance(self) -> str | None:
        """Why nothing may be asked for now, and until when; None when something may."""
        title = API_TITLES[API_OF[self.source]]
        tomorrow = midnight(self.now) + timedelta(days=1)
        if self.use.exhausted:
            return f"{title} says that today's requests are used up; the next are released at {_shown(tomorrow)}"
        if self.pause_left > LONGEST_WAIT:
            return f"{title} asked to wait until {_shown(self.now + timedelta(seconds=self.pause_left))}"
        if self.plan is None or self.plan.spendable(self.now):
            return None
        later = self.plan.next_release(self.now)
        kept = f", {self.plan.reserve:,} kept for people" if self.plan.reserve else ""
        if later is None or not self.plan.left:
            what = f"{title}'s {self.plan.quota:,} requests of today are used up ({self.plan.used:,} spent{kept})"
            return f"{what}; the next are released at {_shown(tomorrow)}"
        released = f"{self.plan.used:,} spent of {self.plan.released(self.now):,} released by now{kept}"
        return f"{title}'s requests are spread over the day ({released}); the next are released at {_shown(later)}"


def source_budgets(accounts: Mapping[str, Account], now: datetime) -> dict[str, SourceBudget]:
    """What each source grants at `now`, by source; the accounts are those of the APIs that are asked.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    return {
        source: _budget(source, now, account.quota_use, account.settings, account.standing.pause_left)
        for source, account in accounts.items()
    }


def granted(settings: Settings, now: datetime) -> dict[str, SourceBudget]:
    """What each source grants; a ledger that is not there yet is not made by looking.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    seen = _granted_at_a_glance(settings, now)
    if seen is not None:
        return seen
    from ayne_dagster.sources.limits.account import accounts_of  # slow to load
    from ayne_dagster.sources.limits.ledger import RequestLedger, open_ledger

    ledger = open_ledger(settings)
    ledger = ledger if ledger.exists else RequestLedger.in_memory()
    return source_budgets(accounts_of(settings, ledger, lambda: now), now)


def _granted_at_a_glance(settings: Settings, now: datetime) -> dict[str, SourceBudget] | None:
    """The same by a look at a ledger in a file; None where that does not tell."""
    if settings.ledger_url:
        return None
    apis = {source: API_OF[source] for source in settings.sources}
    addresses = {api: (api, settings.apis[api].base_url, settings.key_of(api)) for api in apis.values()}
    names = {api: account_name(*address) for api, address in addresses.items()}
    former = {names[api]: set(former_account_names(*addresses[api])) - {names[api]} for api in names}
    seen = glance(settings.ledger, former, now.astimezone(UTC).date(), steady_now())
    if seen is None:
        return None
    granted = {}
    for source, api in apis.items():
        (used, standing), limits = seen[names[api]], settings.apis[api]
        use = QuotaUse(used, limits.daily_quota, standing.exhausted)
        granted[source] = _budget(source, now, use, limits, standing.pause_left)
    return granted


def _budget(source: str, now: datetime, use: QuotaUse, api: ApiSettings, pause_left: float) -> SourceBudget:
    plan = DayBudget(api.daily_quota, api.quota_reserve, use.used) if api.daily_quota else None
    return SourceBudget(source, now, use, plan, pause_left)


def _shown(at: datetime) -> str:
    return f"{at:%H:%M} UTC"
