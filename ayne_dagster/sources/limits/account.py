"""An API account as the transports share it: identity, limits, pause, and what was spent. Sends nothing itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from ayne_dagster.config import API_OF, ApiSettings, Settings
from ayne_dagster.sources.errors import QuotaExhausted
from ayne_dagster.sources.limits.ledger import (
    LedgerError,
    QuotaUse,
    RequestLedger,
    Standing,
    steady_now,
)
from ayne_dagster.sources.limits.naming import account_name, former_account_names
from ayne_dagster.sources.limits.pace import LONGEST_BAN, LONGEST_PAUSE
from ayne_dagster.sources.trust import Trust

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 0.25
"""How often the ledger is asked for what others noted: a look costs as much as a third of a request."""
NOTICED = 5.0
"""Seconds from which on people notice a wait, and are told of it."""
_TOLD_EVERY = 60.0


@dataclass
class Account:
    """Identity, limits, pause, and the count of requests sent.

    What several processes must agree on is in the ledger; a client that was given none has one of its own in memory.
    """

    source: str
    settings: ApiSettings
    shared_ledger: RequestLedger | None = None
    """Where all who use the account agree; None: nobody else uses it."""
    key: str | None = field(default=None, repr=False)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """The platform's clock; it says which day's quota is charged."""
    use_reserve: bool = True
    """Whether the quota's reserve may be spent: it is kept for people, so collections may not."""
    trust: Trust | None = field(default=None, repr=False)
    """Weighs what comes back, in a collection; None: somebody asks who judges the answers himself."""
    on_wait: Callable[[str], object] = field(default=lambda text: None, repr=False)
    """Told in a sentence of waits that people notice, a minute apart at least."""
    requests_sent: int = 0
    exhausted_on: date | None = None
    """The day on which the source itself said that its quota is used up, to whichever process."""
    refusals: int = 0
    """Answers "too many requests" that this process got."""
    most_halvings: int = 0
    """How often the pace was halved at the slowest, as far as this process saw."""
    _halvings: int = 0
    _resume_at: float = 0.0
    _looked_at: float = float("-inf")
    _uncounted: int = 0
    _told_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.ledger = self.shared_ledger or RequestLedger.in_memory()
        """Where its requests are counted, and refusals noted."""
        self.name = account_name(self.source, self.settings.base_url, self.key)
        """Its name in the ledger."""
        former = former_account_names(self.source, self.settings.base_url, self.key)
        self.ledger.know_as(self.name, former)

    @property
    def today(self) -> date:
        """The UTC day whose quota is charged."""
        return self.now().astimezone(UTC).date()

    @property
    def quota_use(self) -> QuotaUse:
        """How much of today's quota is used."""
        return self.ledger.use(self.name, self.today, self.settings.daily_quota)

    @property
    def standing(self) -> Standing:
        """What holds for it now, in the ledger."""
        return self.ledger.standing(self.name, self.today, steady_now())

    @property
    def connections(self) -> int:
        """How many requests may be under way now: fewer while refusals slow an account that has no pace."""
        most = self.settings.max_concurrent
        return most if self.settings.requests_per_second else max(1, most >> self._halvings)

    @property
    def halvings(self) -> int:
        """How often refusals have halved the pace, as far as this process has seen."""
        return self._halvings

    @property
    def slowest_share(self) -> float | None:
        """Part of its pace that refusals slowed the account to, at the slowest; None when they did not."""
        return 0.5**self.most_halvings if self.most_halvings else None

    def waits(self, seconds: float, why: str) -> None:
        """Tell of a wait, unless it is short, or one was told of just now.

        Args:
            seconds: how long it is.
            why: its reason, as what follows "since".
        """
        now = time.monotonic()
        if seconds >= NOTICED and now - self._told_at >= _TOLD_EVERY:
            self._told_at = now
            self.on_wait(f"{self.source}: waiting {seconds:.0f} s, since {why}")

    async def admit(self) -> None:
        """Wait until the source may be asked one thing more.

        Raises:
            SourceError: it may not: it gives no usable answers.
        """
        if self.trust is not None:
            await self.trust.admit()

    @property
    def may_retry(self) -> bool:
        """Whether a request that failed may be worth sending once more."""
        return self.trust is None or self.trust.may_retry

    def answered(self, subject: object = None) -> None:
        """An answer of the source was of use; `subject` is what it was about, for a control question."""
        if self.trust is not None:
            self.trust.usable(subject)

    def charge(self) -> None:
        """Charge one request to today's quota, before it is sent.

        Raises:
            QuotaExhausted: nothing is left; the request must not be sent.
        """
        quota, today = self.settings.daily_quota, self.today
        if self.exhausted_on != today and not quota:
            self._look_again()
        if self.exhausted_on == today:
            raise QuotaExhausted(f"{self.source}: today's requests are used up, it says")
        if not quota:
            self._uncounted += 1
        elif not self.ledger.charge(self.name, today, self._cap):
            raise QuotaExhausted(self._why_refused())
        self.requests_sent += 1

    @property
    def _cap(self) -> int:
        """Requests a day that may be charged here, of those with a quota."""
        reserve = 0 if self.use_reserve else self.settings.quota_reserve
        return max(0, self.settings.daily_quota - reserve)

    def _why_refused(self) -> str:
        if self.quota_use.exhausted:
            self.exhausted_on = self.today
            return f"{self.source}: today's requests are used up, it says"
        kept = self.settings.daily_quota - self._cap
        reserve = f"; {kept} more are kept in reserve for people" if kept else ""
        return f"{self.source}: today's {self._cap} requests are used up{reserve}"

    def note_exhausted(self) -> None:
        """The source's own count is ahead of ours: ask nothing more today, in no process."""
        self.exhausted_on = self.today
        self.ledger.exhaust(self.name, self.today)

    def refused(self, pause: float) -> None:
        """The source answered "too many requests": let no worker send for some seconds, and slow down when repeated."""
        self.refusals += 1
        pause = min(pause, LONGEST_PAUSE)  # as the ledger has it
        self._resume_at = max(self._resume_at, time.monotonic() + pause)
        self.waits(pause, "it asks for a pause")
        self.ledger.refuse(self.name, pause, steady_now())
        self._look()

    def banned(self, seconds: float) -> None:
        """The source refuses everything for some seconds: let no worker of any process send before."""
        seconds = min(seconds, LONGEST_BAN)  # as the ledger has it
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)
        self.ledger.ban(self.name, seconds, steady_now())
        self._look()

    @property
    def pause_left(self) -> float:
        """Seconds until workers may send again; a pause that another process noted counts too."""
        self._look_again()
        return max(0.0, self._resume_at - time.monotonic())

    def _look_again(self) -> None:
        if time.monotonic() - self._looked_at >= _LOOK_SECONDS:
            self._look()

    def _look(self) -> None:
        """Read what holds for all, and add what was sent without a quota to the day's count."""
        self._looked_at = time.monotonic()
        self._count()
        standing = self.standing
        self._resume_at = max(self._resume_at, time.monotonic() + standing.pause_left)
        self._halvings = standing.halvings
        self.most_halvings = max(self.most_halvings, standing.halvings)
        if standing.exhausted:
            self.exhausted_on = self.today

    def settle(self) -> None:
        """Bring the day's count up to date, at the end."""
        try:
            self._count()
        except LedgerError as error:  # nothing depends on this count: it is for people
            _LOG.warning("%s requests of today are not counted: %s", self._uncounted, error)

    def _count(self) -> None:
        if self._uncounted:
            self.ledger.count(self.name, self.today, self._uncounted)
            self._uncounted = 0


def account_of(source: str, settings: Settings, ledger: RequestLedger, now: Callable[[], datetime]) -> Account:
    """The account, at the API that is asked for a source of the refresh rules, that the settings' clients use."""
    api = API_OF[source]
    return Account(api, settings.apis[api], ledger, settings.key_of(api), now)


def accounts_of(settings: Settings, ledger: RequestLedger, now: Callable[[], datetime]) -> dict[str, Account]:
    """By source of the refresh rules that is asked: the account at its API."""
    return {source: account_of(source, settings, ledger, now) for source in settings.sources}
