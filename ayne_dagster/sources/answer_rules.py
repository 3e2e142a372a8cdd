"""What an answer means before it is used: an error for good, a pause, a whole body. A source may have rules of its own.

Sends nothing and waits for nothing: `transport` does what is said here.
"""

from __future__ import annotations

import httpx
from pydantic import BaseModel

from ayne_dagster.sources.errors import SourceError
from ayne_dagster.sources.json_body import read_whole
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

    def value(self, body: bytes, model: type[BaseModel] | None) -> object | None:
        """What a body with status 200 is read as, once it is known to be whole; None: that is left to the client.

        Args:
            body: as received.
            model: what the client asked for.

        Raises:
            NotWhole: asking again may help.
        """
        return read_whole(body, model)


GENERAL_RULES = AnswerRules()
