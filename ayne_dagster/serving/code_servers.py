"""The servers of our code that UI and daemon share, and what becomes of their runs at the end. No run's work.

Dagster offers this as a part of `dagster dev` alone; so it is taken from within.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
from dagster._cli.proxy_server_manager import ProxyServerManager
from dagster._core.errors import DagsterUserCodeProcessError, DagsterUserCodeUnreachableError
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.workspace.load_target import WorkspaceFileTarget

RUN_SECONDS = 20.0
"""How long runs under way may take to commit what has arrived, once they are told to end."""
SERVER_SECONDS = 10.0
"""How long servers may take to end after that, before they are left to end by themselves."""
_UNDER_WAY = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_POLL_SECONDS = 0.1


@contextmanager
def shared_code_servers(instance: dg.DagsterInstance, workspace: Path) -> Iterator[Path]:
    """The code servers of a workspace for several programs, watched and started again; yields the workspace of these.

    They have ended with the block, or half a minute after this process where that has no time for it. Runs that they
    have under way are cancelled: left alone they would go on asking, with nobody there to see it.

    Args:
        instance: of Dagster.
        workspace: file that says what to load.
    """
    target = WorkspaceFileTarget([str(workspace)])
    with deaf_to_hangups():
        manager = ProxyServerManager(instance, target, code_server_log_level="warning")
    with _ended(manager), manager as servers, TemporaryDirectory() as folder:
        with deaf_to_hangups():
            specs = servers.get_code_server_specs()
        shared = Path(folder) / "workspace.yaml"
        shared.write_text(json.dumps({"load_from": specs}))  # JSON is YAML
        try:
            yield shared
        finally:
            _cancel_runs(instance, {spec["grpc_server"].get("socket") for spec in specs})


@contextmanager
def _ended(manager: ProxyServerManager) -> Iterator[None]:
    """Wait after the block, which tells the servers to end, until their processes have: they take seconds to."""
    # Dagster has no other way to them; of one that keeps them elsewhere none is waited for.
    servers = list(getattr(getattr(manager, "_grpc_server_registry", None), "_all_processes", ()))
    try:
        yield
    finally:
        deadline = time.monotonic() + SERVER_SECONDS
        for server in servers:
            with suppress(subprocess.TimeoutExpired):
                server.server_process.wait(max(0.0, deadline - time.monotonic()))


@contextmanager
def deaf_to_hangups() -> Iterator[None]:
    """Have processes and threads that are started within the block, and theirs, never be ended by SIGHUP.

    A terminal that is closed sends it to all of them at once. This process ends the others in order; a server that died
    of it would take its runs along, with what they had not committed.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cancel_runs(instance: dg.DagsterInstance, sockets: Collection[str | None]) -> None:
    """Cancel the runs that these servers launched, and wait until they have ended; what had arrived is kept."""
    ours = [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=_UNDER_WAY)) if _socket_of(run) in sockets]
    for run_id in ours:
        # A server that Ctrl-C has ended already has told its runs itself.
        with suppress(DagsterUserCodeUnreachableError, DagsterUserCodeProcessError):
            instance.run_launcher.terminate(run_id)
    deadline = time.monotonic() + RUN_SECONDS
    while any(_is_under_way(instance, run_id) for run_id in ours) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _is_under_way(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and not run.is_finished


def _socket_of(run: dg.DagsterRun) -> str:
    """Where the server listens that launched a run; empty where it cannot be told."""
    try:
        told = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
    except ValueError:
        return ""
    return str(told.get("socket", "")) if isinstance(told, dict) else ""
