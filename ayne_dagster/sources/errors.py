"""Why a source could not give an answer. Every error a client raises is one of these; no HTTP, no parsing here.

The classes follow what a caller has to do, not what went wrong on the wire.
"""

from __future__ import annotations

from ayne_dagster.errors import OneLineError

KEPT_BYTES = 1_000_000
"""Of a body that cannot be used, so much is kept: many may wait to be stored at the same time."""


class SourceError(OneLineError):
    """Base of all."""

    requests: int = 1
    """Requests that were spent on the answer, retries included."""


class MalformedAnswer(SourceError):
    """The body is not what the API promises: quarantine it and go on with the next.

    Args:
        reason: one line, for people.
        body: the body as received, for the quarantine, which keeps the first `KEPT_BYTES` of it.
    """

    def __init__(self, reason: str, body: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.body = body[:KEPT_BYTES]


class NotFound(SourceError):
    """The source answered that it has no such movie (HTTP 404, or OMDb's "Error getting data.")."""


class RequestRejected(SourceError):
    """The source refused this one request (a 4xx that is no 401, 404 or 429): try again another day.

    TMDB answered 400 to valid calls on 2025-10-24 and 2026-05-20, so this is never a tombstone.
    """


class TooMuchAsked(RequestRejected):
    """The source could not answer so much within its own time: the same again fails again, a part of it may not."""


class SourceUnavailable(SourceError):
    """No usable answer after all retries: time-outs, resets, 5xx, 429."""


class SourcePaused(SourceUnavailable):
    """The source asks for a longer pause than a run waits for: ask it nothing more before that is over."""

    requests = 0


class SourceDown(SourcePaused):
    """The source gives no usable answers at all; what had not been asked is left for a later run."""


class SourceBanned(SourcePaused):
    """The source refuses everything until an instant that it names: ask it nothing before."""

    seconds: float = 0.0
    """How long that is, from now."""


class QuotaExhausted(SourceError):
    """The day's quota is used up, or the source says so: ask nothing more today."""

    requests = 0


class InvalidCredentials(SourceError):
    """What says who asks (a key, a token, a contact) is missing, wrong or not accepted: stop, and tell the person which
    variable to set."""


class NotPublished(SourceError):
    """There is no such file, at least not yet."""


class WrongAddress(SourceError):
    """The address that is set is not that of the source: it redirects, or its certificate is another's.

    Asking again cannot help and no movie is to blame: stop, and tell the person which setting to look at.
    """


class WrongRoute(WrongAddress):
    """Something on this machine keeps every request from being sent: a proxy, a certificate file, a key's spelling."""

    requests = 0
