"""Materializations that no run made, recorded in one go. Which they are is said by whoever tells them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import dagster as dg
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata, DagsterEventType, StepMaterializationData
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID


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
