"""What The Numbers means by answers that are no page: refusals, redirects. Reads them; sends nothing.

A site that refuses is not asked once more, by no run and no process, before the pause is over: its pages are made for
people, and "no" means no.
"""

from __future__ import annotations

import httpx
from pydantic import BaseModel

from ayne_dagster.sources.answer_rules import AnswerRules
from ayne_dagster.sources.errors import SourceBanned, SourceError

FORBIDDEN_SECONDS = 24 * 3600.0
"""How long nothing is asked after HTTP 403."""
REFUSED_SECONDS = 3600.0
"""How long nothing is asked after HTTP 429; longer where Retry-After says so."""
_MOVED = (301, 302, 303, 307, 308)


class Moved(SourceError):
    """The page is at another address.

    Args:
        status: of the answer.
        location: what stands in the Location header.
    """

    def __init__(self, status: int, location: str) -> None:
        super().__init__(f"the_numbers: the page is elsewhere (HTTP {status})")
        self.status = status
        self.location = location


class NumbersRules(AnswerRules):
    """The rules for www.the-numbers.com."""

    def fault(self, response: httpx.Response, now: float) -> SourceError | None:
        """See `AnswerRules.fault`.

        Returns:
            `SourceBanned`: it refuses, and is left alone. `Moved`: a redirect, which the client looks at.
        """
        status = response.status_code
        if status == 403:
            return _refusal("refuses to show its pages (HTTP 403)", FORBIDDEN_SECONDS)
        if status == 429:
            asked = self.pause(response, now) or 0.0
            return _refusal("finds our requests too many (HTTP 429)", max(REFUSED_SECONDS, asked))
        if status in _MOVED:
            return Moved(status, response.headers.get("location", ""))
        return None

    def value(self, body: bytes, model: type[BaseModel] | None) -> object | None:
        """See `AnswerRules.value`: a page is no JSON, and an empty robots.txt says something, too."""
        return None


def _refusal(what: str, seconds: float) -> SourceBanned:
    banned = SourceBanned(
        f"the_numbers: it {what}: nothing more is asked for {seconds / 3600:g} h, and figures of other sources count; "
        "if it goes on, take the_numbers out of AYNE_BOX_OFFICE, or use its files (OpusData)."
    )
    banned.seconds = seconds
    return banned
