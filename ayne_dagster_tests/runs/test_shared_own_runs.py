"""A run of a command is closed by whichever machine finds that its process is gone, and by none before."""

from __future__ import annotations

import dagster as dg

from ayne_dagster.runs.own_runs import close_abandoned_runs, own_run
from ayne_dagster.sources.limits.ledger_database import LedgerDatabase
from ayne_dagster.sources.limits.server_session import ServerSession


@dg.job
def nothing() -> None:
    """A job."""


def test_any_machine_closes_a_run_whose_process_is_gone_and_no_other(
    instance: dg.DagsterInstance, postgres_url: str
) -> None:
    theirs, ours = (ServerSession(LedgerDatabase(postgres_url), "movies") for _ in range(2))
    with own_run(instance, theirs) as tags:
        run = instance.create_run_for_job(nothing, tags=tags, status=dg.DagsterRunStatus.STARTED)
        assert close_abandoned_runs(instance, ours) == []
        assert close_abandoned_runs(instance) == []  # nobody can tell without the server
        theirs.close()  # as when its process is killed
        assert close_abandoned_runs(instance, ours) == [run.run_id]
    closed = instance.get_run_by_id(run.run_id)
    assert closed is not None
    assert closed.status is dg.DagsterRunStatus.FAILURE
    ours.close()
