"""A job of Dagster's, executed in this process and recorded in the instance. Knows no asset and no collection."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from ayne_dagster.collecting.stopping import Interrupted, stopping
from ayne_dagster.collecting.stores import shared_locks
from ayne_dagster.config import Settings
from ayne_dagster.errors import OneLineError
from ayne_dagster.runs.failures import failure_reason, gave_a_reason
from ayne_dagster.runs.origin import record_origin
from ayne_dagster.runs.own_runs import close_abandoned_runs, note_interruption, own_run
from ayne_dagster.runs.retention import Instants

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class RunFailed(OneLineError):
    """A run failed; `str()` is the reason in one line."""


def execute(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    settings: Settings,
    tags: Mapping[str, str],
    run_config: Mapping[str, Any],
    watched: AbstractContextManager[None],
) -> None:
    """Execute a job as a run of this process.

    Args:
        job: what is executed.
        instance: records it.
        settings: where its marks are held, and what time it is.
        tags: of the run, beside our own.
        run_config: of the run.
        watched: is entered for as long as the run takes.

    Raises:
        RunFailed: it failed, or cannot be recorded.
        Interrupted: it was interrupted, and gave no reason of its own.
        BaseException: an interruption came outside of its steps; the run is closed all the same.
    """
    run_id, locks = str(uuid.uuid4()), shared_locks(settings)
    with watched:
        close_abandoned_runs(instance, locks)
        record_origin(instance, job.name)
        canceling = partial(note_interruption, instance, run_id)
        try:
            with own_run(instance, locks) as own_tag, stopping().told_of_the_end(canceling):
                outcome = job.execute_in_process(
                    run_config={**run_config, **_QUIET},
                    instance=instance,
                    tags={**tags, **own_tag, **Instants.of(settings).clock_tag()},
                    raise_on_error=False,
                    run_id=run_id,
                )
        except SQLAlchemyError as error:
            raise RunFailed(
                f"The run cannot be recorded in {instance.root_directory} ({type(error).__name__}: "
                f"{getattr(error, 'orig', None) or 'its storage'}); what had arrived is kept. Free disk space, or "
                "look at Dagster's storage."
            ) from None
        except dg.DagsterExecutionInterruptedError:
            close_abandoned_runs(instance, locks)
            raise Interrupted from None
        except BaseException:
            close_abandoned_runs(instance, locks)
            raise
    if not outcome.success:
        if stopping().requested and not gave_a_reason(outcome.all_events):
            raise Interrupted
        reason = failure_reason(outcome.all_events)
        raise RunFailed(reason or "The run failed before its first step; its log says more.")
