"""What Wikidata's query service means by answers that are none: time-outs, bans, refusals. Reads them; sends nothing.

Much of it is said in words, some with status 200. What they looked like is noted beside each; when the service moves to
another engine some will go, and none of them can be mistaken for a result.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import httpx

from ayne_dagster.sources.answer_rules import AnswerRules
from ayne_dagster.sources.errors import (
    InvalidCredentials,
    SourceBanned,
    SourceError,
    TooMuchAsked,
    WrongAddress,
)
from ayne_dagster.sources.limits.pace import LONGEST_PAUSE

LEAST_PAUSE = 5.0
"""Seconds; "retry in 0 seconds" was seen, and whoever does is refused again."""
USUAL_PAUSE = 60.0
"""Seconds after a refusal that names none, as the operators advise."""
_LOOKED_AT = 4_096
"""Bytes at the beginning of a page that says in words what is the matter."""
_POLICY = re.compile(r"robot[- ]?policy|user[- ]?agent|T400119", re.IGNORECASE)
_TIMED_OUT = re.compile(rb"TimeoutException|QueryTimeout|operation timed out", re.IGNORECASE)
_TRACE = re.compile(rb"TimeoutException|\bat (?:java|javax|com|org)\.[\w.$]{3,200}\(")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?", re.ASCII)


class WikidataRules(AnswerRules):
    """The rules of query.wikidata.org, and of engines that may follow."""

    def fault(self, response: httpx.Response, now: float) -> SourceError | None:
        """See `AnswerRules.fault`.

        Returns:
            `TooMuchAsked`: a batch must be smaller. `InvalidCredentials`: who asks is not accepted. `SourceBanned`:
            nothing may be asked until then. `WrongAddress`: what answers does not understand the question.
        """
        status = response.status_code
        if status == 200:
            return _fault_of_body(response.content)
        if status == 403:
            return _refused_identity(response.content) or self._ban(response, now)
        if status in (413, 414):
            return TooMuchAsked(f"Wikidata: the query is too long (HTTP {status})")
        if status in (429, 500) and _TIMED_OUT.search(response.content):  # 429: QLever
            return TooMuchAsked(f"Wikidata: the query ran into its time limit (HTTP {status})")
        if 400 <= status < 500 and status not in (408, 429):
            return WrongAddress(
                f"Wikidata: what AYNE_WIKIDATA_BASE_URL names does not take our query (HTTP {status}): correct the "
                "address, or report a fault of this program."
            )
        return None

    def pause(self, response: httpx.Response, now: float) -> float | None:
        """See `AnswerRules.pause`."""
        asked = super().pause(response, now)
        if asked is None:
            return USUAL_PAUSE if response.status_code == 429 else None
        return max(LEAST_PAUSE, asked)

    def _ban(self, response: httpx.Response, now: float) -> SourceBanned:
        """A page in whose title stands when the ban ends; an hour where nothing says it."""
        ends = [end - now for end in _instants(response.content)]
        asked = super().pause(response, now)
        named = [*ends, *([] if asked is None else [asked])]
        seconds = max([USUAL_PAUSE, *named]) if named else LONGEST_PAUSE
        until = datetime.fromtimestamp(min(now + seconds, 4e9), UTC)
        banned = SourceBanned(
            f"Wikidata refuses all our requests (HTTP 403) until {until:%Y-%m-%d %H:%M} UTC: nothing is asked before; "
            "lower AYNE_WIKIDATA_REQUESTS_PER_SECOND if it happens again."
        )
        banned.seconds = seconds
        return banned


def _fault_of_body(body: bytes) -> SourceError | None:
    """What a 200 is that is no result."""
    if not body.lstrip().startswith(b"{"):
        return _refused_identity(body)
    # A time-out that struck while rows were being sent: they end in a text with the query and a Java trace
    # (https://github.com/osm-search/wikipedia-wikidata/issues/4).
    if _TRACE.search(body) and not _is_json(body):
        return TooMuchAsked("Wikidata: the query ran into its time limit while its answer was sent")
    return None


def _refused_identity(body: bytes) -> InvalidCredentials | None:
    """A line about robots and user agents, with 403 or with 200 (https://github.com/RDFLib/sparqlwrapper/issues/250)."""
    if not _POLICY.search(body[:_LOOKED_AT].decode("utf-8", "replace")):
        return None
    return InvalidCredentials(
        "Wikidata does not accept who asks (its policy for robots and User-Agents): set AYNE_CONTACT to a mail or web "
        "address that is yours and works."
    )


def _instants(page: bytes) -> list[float]:
    """The instants that a page names, in seconds since the epoch; UTC where no zone is told."""
    found = []
    for text in _INSTANT.findall(page[:_LOOKED_AT].decode("utf-8", "replace")):
        try:
            instant = datetime.fromisoformat(text)
            found.append((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp())
        except (ValueError, OverflowError):
            continue
    return found


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True
