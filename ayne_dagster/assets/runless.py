"""Materializations that no run made, recorded in one go. Which they are is said by whoever tells them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import dagster as dg
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata, DagsterEventType, StepMaterializationData
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID
from dagster._core.storage.event_log import SqliteEventLogStorage

from ayne_dagster.assets.definition import is_launched


def are_told_by(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run should tell such: one that Dagster launched, or any where they are stored in a moment.

    Dagster's own SQLite storage makes an engine for each event, so that hundreds take seconds, for which nobody in the
    foreground should wait; what is in memory nobody looks at.
    """
    quick = not instance.is_ephemeral and type(instance.event_log_storage) is not SqliteEventLogStorage
    return quick or is_launched(run)


def record_runless(instance: dg.DagsterInstance, events: Sequence[dg.AssetMaterialization]) -> None:
    """Record them in one go: one by one, as `report_runless_asset_event` does, hundreds take seconds."""
    batch = uuid.uuid4().hex
    for number, event in enumerate(events, 1):
        instance.report_dagster_event(
            DagsterEvent(
                event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
                event_specific_data=StepMaterializationData(event),
                job_name=RUNLESS_JOB_NAME,
            ),
            run_id=RUNLESS_RUN_ID,
            batch_metadata=DagsterEventBatchMetadata(batch, is_end=number == len(events)),
        )
