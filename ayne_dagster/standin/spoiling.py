"""What a fault makes of an answer: another one, or the right one spoilt. How it is sent is the server's matter."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ayne_dagster.standin import errors
from ayne_dagster.standin.answers import Answers, Request, empty_page
from ayne_dagster.standin.catalogue import dump
from ayne_dagster.standin.errors import Answer
from ayne_dagster.standin.faults import Fault

OVERSIZED_BYTES = 10_000_001
NESTED_LISTS = 100_000
REPEATED_ROWS = 5
BANNED_SECONDS = 86_400.0
_TITLE = re.compile(rb'"(?:original_)?title":"', re.IGNORECASE)


class Spoiler:
    """Spoils answers.

    Args:
        answers: where the right ones come from.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def spoilt(self, request: Request, fault: Fault, now: datetime, moment: float) -> Answer:
        """The answer that a fault makes of the right one.

        Args:
            request: the request.
            fault: what befalls it.
            now: the instant (UTC) whose data is told.
            moment: seconds on a clock that never runs back, for the rate limit.
        """
        if (other := _instead(request, fault)) is not None:
            return other
        if fault.kind == "wrong_movie":
            request = self._answers.neighbour(request, now)
        elif fault.kind == "missing_subresources":
            query = {k: v for k, v in request.query.items() if k != "append_to_response"}
            request = request._replace(query=query)
        answer = self._answers.answer(request, now, moment)
        if fault.kind == "shrinking_total":
            return _with_smaller_total(answer)
        if fault.kind == "repeated_rows":
            return self._with_repeated_rows(request, answer, now, moment)
        spoil = _SPOIL.get(fault.kind)
        return answer if spoil is None else answer._replace(body=spoil(answer.body))

    def _with_repeated_rows(self, request: Request, answer: Answer, now: datetime, moment: float) -> Answer:
        """A page that begins with the last rows of the page before, and has lost as many at its end."""
        page = json.loads(answer.body)
        earlier = request._replace(query={**request.query, "page": str(int(request.query["page"]) - 1)})
        before = json.loads(self._answers.answer(earlier, now, moment).body).get("results", [])[-REPEATED_ROWS:]
        if "results" not in page:
            return answer
        page["results"] = (before + page["results"])[: len(page["results"])]
        return answer._replace(body=dump(page))


def _instead(request: Request, fault: Fault) -> Answer | None:
    """The answer of the kinds that do not care what the right one is."""
    if fault.kind == "status":
        answer = errors.source_error(request.source, fault.status, fault.message, fault.retry_after)
        return answer._replace(retry_after=fault.retry_after)
    if fault.kind == "robot_policy":
        return errors.robot_policy(fault.status)
    if fault.kind == "banned":
        # By real time, as dates of HTTP are, wherever the clock of the data stands.
        seconds = BANNED_SECONDS if fault.retry_after is None else fault.retry_after
        return errors.banned(datetime.now(UTC) + timedelta(seconds=seconds))
    if fault.kind == "rejected":
        return errors.rejected(fault.message)
    if fault.kind == "html":
        return errors.html_page(fault.status)._replace(retry_after=fault.retry_after)
    if fault.kind == "body":
        return Answer(fault.status, (fault.message or "").encode("utf-8", "surrogatepass"))
    if fault.kind == "not_json":
        return Answer(200, b"upstream connect error or disconnect before headers")
    if fault.kind == "empty_body":
        return Answer(200, b"")
    if fault.kind == "empty_page":
        return empty_page(request)
    return None


def _with_smaller_total(answer: Answer) -> Answer:
    """A page that promises a page fewer than the one before it did, and the rows on that page."""
    page = json.loads(answer.body)
    if "total_pages" not in page:
        return answer
    page["total_pages"] = max(1, page["total_pages"] - page["page"])
    page["total_results"] = max(len(page["results"]), page["total_results"] - 20 * page["page"])
    return answer._replace(body=dump(page))


def _with_control_character(body: bytes) -> bytes:
    return _TITLE.sub(lambda found: found[0] + b"\x08", body, count=1)


def _timed_out(body: bytes) -> bytes:
    """An answer whose rows had begun to be sent when its time was over."""
    trace = b"java.util.concurrent.TimeoutException\n\tat java.util.concurrent.FutureTask.get(FutureTask.java:205)\n"
    return body[: len(body) // 2] + b"SPARQL-QUERY: queryStr=SELECT ...\n" + trace


_SPOIL: dict[str, Callable[[bytes], bytes]] = {
    "gzip_without_header": gzip.compress,
    "truncated_json": lambda body: body[: len(body) // 2],
    "invalid_json": _with_control_character,
    "deep_json": lambda _: b"[" * NESTED_LISTS + b"]" * NESTED_LISTS,
    "timeout_in_body": _timed_out,
    "no_results": lambda body: dump({"head": json.loads(body)["head"]}),
    "oversized": lambda body: body.ljust(OVERSIZED_BYTES),
}
