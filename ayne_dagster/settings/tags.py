"""Tags of runs that rooms read which do not know each other. What a run is for stands in `runs`."""

from __future__ import annotations

from collections.abc import Mapping

OWN_RUN_TAG = "ayne/own_run"
"""On a run that a command executes itself: which Dagster home, and which lock in it (`runs.own_runs`)."""
LAUNCHED_RUN_TAG = "ayne/process"
"""On a run that Dagster has launched: where the lock of its process is, as above."""
REASONS_TAG = "ayne/reasons"
"""How many movies a refresh is to ask each source for, and why."""
PARENT_RUN_TAG = "dagster/parent_run_id"
"""On a run that a person has executed again in the UI; it has the tags of the former one, too."""


def is_own_run(tags: Mapping[str, str]) -> bool:
    """Whether a run with these tags is executed by a command, where somebody waits for it; Dagster launched others."""
    return OWN_RUN_TAG in tags and PARENT_RUN_TAG not in tags
