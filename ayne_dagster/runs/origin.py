"""That a run which a command executes belongs to our code location, as Dagster's UI has it. No execution.

`execute_in_process` records no origin with a run (dagster#17707). Without one the timeline, the pages of jobs and the
overview show nothing of it, as if nothing had ever run; the run stands in the list of all runs alone.
"""

from __future__ import annotations

import sys
from functools import partial

import dagster as dg
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

LOCATION, MODULE = "ayne_dagster", "ayne_dagster.definitions"
"""As `workspace.yaml` names them."""


def job_origin(job_name: str) -> RemoteJobOrigin:
    """Where a job of ours comes from."""
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=MODULE)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, LOCATION)
    return RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME).get_job_origin(job_name)


def record_origin(instance: dg.DagsterInstance, job_name: str) -> None:
    """Have the runs that this object of the instance creates from now on be those of a job of our code location."""
    create = partial(instance.create_run_for_job, remote_job_origin=job_origin(job_name))
    setattr(instance, "create_run_for_job", create)  # noqa: B010 -- Dagster asks for no origin, and takes one here
