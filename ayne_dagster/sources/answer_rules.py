"""What an answer means before its body is read: an error for good, or a pause. A source may have rules of its own.

Sends nothing and waits for nothing: `transport` does what is said here.
"""

from __future__ import annotations

import httpx

from ayne_dagster.sources.errors import SourceError
from ayne_dagster.sources.retry_after import retry_after


class AnswerRules:
    """The general rule: a source answers in JSON, and says by status and Retry-After when it does not.

    A source that says more than that, in words, has a class of its own.
    """

    def fault(self, response: httpx.Response, now: float) -> SourceError | None:
        """The error that an answer is, where sending the same again cannot help; None: it may be one of use.

        Args:
            response: the answer, its body read, whatever its status.
            now: seconds since the epoch, real time.
        """
        return None

    def pause(self, response: httpx.Response, now: float) -> float | None:
        """Seconds that a refusal (429, or a 5xx) asks everybody to wait; None where it says nothing.

        Args:
            response: the refusal.
            now: seconds since the epoch, real time.
        """
        return retry_after(response.headers.get("retry-after"), now)


GENERAL_RULES = AnswerRules()
