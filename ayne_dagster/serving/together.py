"""The UI and the daemon together, for as long as a person looks. What each is, its own module says."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from socket import socket

import dagster as dg
from dagster._core.workspace.load_target import WorkspaceFileTarget

from ayne_dagster.errors import OneLineError, WrongUsage
from ayne_dagster.serving.code_servers import shared_code_servers
from ayne_dagster.serving.daemon import daemon_running
from ayne_dagster.serving.ui import ui_server


class DaemonEnded(OneLineError):
    """The daemon ended by itself; nothing is left running.

    Args:
        code: its exit code.
    """

    def __init__(self, code: int) -> None:
        super().__init__(
            f"Dagster's daemon ended by itself (code {code}); what it said stands above. Nothing is left running."
        )


def workspace_file() -> Path:
    """The file that says what of ours Dagster loads."""
    return Path(str(files("ayne_dagster") / "workspace.yaml"))


def require_workspace(file: Path) -> Path:
    """A workspace that a person has named, if Dagster can read it; whether its servers answer is not asked.

    Raises:
        WrongUsage: it cannot.
    """
    try:
        has_any = bool(WorkspaceFileTarget([str(file)]).create_origins())
    except Exception:  # noqa: BLE001 -- Dagster raises what its parser does
        has_any = False
    if not has_any:
        raise WrongUsage(
            f"{file} is no workspace that Dagster can read; nothing was started. It needs a list `load_from` of code "
            "servers (docs/how-to/fleet.md)."
        )
    return file


def serve_together(instance: dg.DagsterInstance, workspace: Path, hosts: Iterable[str], listener: socket) -> None:
    """Serve UI and daemon until a signal comes, which is how it is meant to end.

    Args:
        instance: of Dagster; `DAGSTER_HOME` names the same one.
        workspace: file that says what to load.
        hosts: as `ui.guarded` takes them.
        listener: the socket that the UI is served on.

    Raises:
        DaemonEnded: the daemon ended by itself.
    """
    try:
        with shared_code_servers(instance, workspace) as shared, daemon_running(shared) as daemon:
            serve_alone(instance, shared, hosts, listener, daemon)
            code = daemon.poll()
    except KeyboardInterrupt:
        return
    if code is not None:  # where SIGINT was ignored at the start, in the background, the server heeds it all the same
        raise DaemonEnded(code)


def serve_alone(
    instance: dg.DagsterInstance,
    workspace: Path,
    hosts: Iterable[str],
    listener: socket,
    daemon: subprocess.Popen[bytes] | None = None,
) -> None:
    """Serve the UI until a signal comes (KeyboardInterrupt) or the daemon ends."""
    with ui_server(instance, workspace, hosts) as server:

        def stop_with_daemon(daemon: subprocess.Popen[bytes]) -> None:
            daemon.wait()
            server.should_exit = True

        if daemon is not None:
            threading.Thread(target=stop_with_daemon, args=(daemon,), daemon=True).start()
        server.run(sockets=[listener])
