"""Why a run failed, in the words of the step that did. For whoever reports it: commands, alerts. Knows no job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg


def failure_reason(events: Iterable[dg.DagsterEvent]) -> str | None:
    """The reason of the first step that failed, in a line or so; None when none did."""
    for event in events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data and data.user_failure_data.description:
                return data.user_failure_data.description
            *_, root = [None, *error_chain(data.error)]
            return f"{event.step_key} failed: {_without_class(root) if root else event.message}"
    return None


def gave_a_reason(events: Iterable[dg.DagsterEvent]) -> bool:
    """Whether a step failed with a reason of its own, and was not merely interrupted."""
    return any(event.is_step_failure and event.step_failure_data.user_failure_data is not None for event in events)


def error_chain(error: Any) -> Iterator[Any]:
    """A serialized error and its causes."""
    while error is not None:
        yield error
        error = error.cause


def _without_class(error: Any) -> str:
    """The text of a serialized error; Dagster puts the class before it, which says nothing to a person."""
    text: str = error.message.strip()
    return re.sub(rf"^[\w.]*\b{re.escape(error.cls_name or '')}: ", "", text)
