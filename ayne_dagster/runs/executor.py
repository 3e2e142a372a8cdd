"""How the steps of a launched run are executed: in the run's own process, such that an interruption acts at once, and
that it is noticed when the process is gone.

What a step does is in `assets`; runs that a command executes itself have no executor of ours (`orchestrator`).
https://docs.dagster.io/deployment/execution/run-executors
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import dagster as dg

from ayne_dagster.collecting.stores import shared_locks
from ayne_dagster.config import load_settings
from ayne_dagster.runs.own_runs import mark_launched_run, note_interruption


class InterruptibleExecutor(dg.Executor):
    """Dagster's in-process executor, but a run that is interrupted is canceled, and does not wait before it is.

    Dagster notes a signal and looks for it when a step begins: one that comes while a step waits for its next attempt,
    or for its pool, acts only after the wait. And it takes the interruption for a failure unless the UI asked for it.

    Args:
        inner: Dagster's executor.
    """

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> Any:
        """Whether steps are tried again."""
        return self._inner.retries

    @property
    def step_dependency_config(self) -> Any:
        """What a step waits for."""
        return self._inner.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Execute the steps."""
        mark_launched_run(plan_context.instance, plan_context.run_id, shared_locks(load_settings()))
        events = iter(self._inner.execute(plan_context, execution_plan))
        waits = False
        try:
            while True:
                acting: AbstractContextManager[None] = dg.raise_execution_interrupts() if waits else nullcontext()
                with acting:
                    event = next(events, None)
                if event is None:
                    return
                waits = _begins_a_wait(event)
                yield event
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            note_interruption(plan_context.instance, plan_context.run_id)
            raise


def _begins_a_wait(event: dg.DagsterEvent) -> bool:
    """Whether nothing is done after this event until a step's time, or its pool's, has come."""
    blocked_by_its_pool = event.event_type is dg.DagsterEventType.ENGINE_EVENT and event.step_key is not None
    return event.is_step_up_for_retry or blocked_by_its_pool


def _create(init_context: dg.InitExecutorContext) -> dg.Executor:
    create: Any = dg.in_process_executor.executor_creation_fn
    return InterruptibleExecutor(create(init_context))


interruptible_executor = dg.ExecutorDefinition(
    name="in_process",
    config_schema=cast("Any", dg.in_process_executor.config_schema),
    executor_creation_fn=_create,
    description="All steps in the run's process; an interruption cancels the run at once.",
)
