"""Telling people: what an alert is, and the ways to send one. What is worth an alert is decided in `alerts`."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import httpx

from ayne_dagster.config import Settings
from ayne_dagster.errors import OneLineError
from ayne_dagster.sources.errors import WrongRoute
from ayne_dagster.sources.failures import meaning_of
from ayne_dagster.sources.network import Wire

DEADLINE_SECONDS = 8.0
"""For one delivery as a whole, however slowly it goes: a sensor's tick has 60 s, and may have five to send."""
LONGEST_REASON = 500
"""Characters of a reason; services cut messages off, or refuse long ones."""

_LOG = logging.getLogger(__name__)


class NotificationFailed(OneLineError):
    """An alert was not delivered; `str()` says why in one line, without the address."""


@dataclass(frozen=True)
class Alert:
    """Something that a person should know."""

    kind: str
    """`run_failed` or `quota_used_up`."""
    what: str
    """What happened, in one line."""
    means: str
    """What that means for the data."""
    do: str
    """What to do about it."""
    at: str
    """When (ISO 8601, UTC)."""
    run_id: str | None = None
    job: str | None = None
    source: str | None = None

    @property
    def text(self) -> str:
        """All of it as one line, which chat services show."""
        run = f" (run {self.run_id})" if self.run_id else ""
        return f"{self.what}{run} {self.means} {self.do}"

    def as_json(self) -> dict[str, Any]:
        """The object that a webhook gets."""
        return {**asdict(self), "text": self.text}


class Notifier(Protocol):
    """A way to tell people. Another one is passed to `build_defs` as the resource `notifier`."""

    def notify(self, alert: Alert) -> None:
        """Deliver an alert, within seconds.

        Raises:
            NotificationFailed: it was not delivered, and is to be sent again later.
        """


class LogNotifier:
    """Writes alerts to the log of the code location."""

    def notify(self, alert: Alert) -> None:
        """Log it as a warning."""
        _LOG.warning("%s", alert.text)


@dataclass(frozen=True)
class WebhookNotifier:
    """Posts each alert as one JSON object to an address, and logs it too.

    The address is a secret: whoever has it can post. It is in no configuration, log line or error.
    """

    url: str = field(repr=False)
    deadline_seconds: float = DEADLINE_SECONDS

    def notify(self, alert: Alert) -> None:
        """Post it; anything but a 2xx answer within the deadline is a failure."""
        LogNotifier().notify(alert)
        wire = Wire(self.url)
        try:
            wire.prepare()
            status = asyncio.run(self._post(wire, alert.as_json()))
        except TimeoutError:
            raise NotificationFailed(f"the webhook did not answer within {self.deadline_seconds:g} s") from None
        except WrongRoute as error:  # it names a variable of the environment, not the address
            raise NotificationFailed(f"the webhook could not be reached: {error}") from None
        except Exception as error:  # noqa: BLE001 -- whatever it is, its text may hold the address
            raise NotificationFailed(f"the webhook could not be reached ({type(error).__name__})") from None
        if not 200 <= status < 300:
            raise NotificationFailed(f"the webhook answered with HTTP {status}")

    async def _post(self, wire: Wire, body: dict[str, Any]) -> int:
        # A redirect would carry the alert elsewhere: it is not followed.
        timeout = httpx.Timeout(self.deadline_seconds).as_dict()
        request = httpx.Request("POST", self.url, json=body, extensions={"timeout": timeout})
        failure: Exception
        deadline = asyncio.timeout(self.deadline_seconds)
        try:
            async with deadline:
                response = await wire.handle_async_request(request)
                await response.aclose()
                return response.status_code
        except Exception as error:  # noqa: BLE001 -- see above
            failure = TimeoutError() if deadline.expired() else meaning_of(error, "the webhook", wire.route)
        finally:
            await wire.aclose()
        raise failure


def build_notifier(settings: Settings) -> Notifier:
    """The way that the settings choose: the webhook where there is an address, else the log alone."""
    return WebhookNotifier(settings.alert_webhook_url) if settings.alert_webhook_url else LogNotifier()


def shortened(reason: str) -> str:
    """A reason as one line of bounded length."""
    line = " ".join(reason.split())
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}…"
