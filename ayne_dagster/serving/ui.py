"""Dagster's web server behind the guard, on the loopback address. No other process: see `code_servers` and `daemon`.

Dagster offers its web server as a command alone, which listens by itself; so the application is taken from within.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.types import ASGIApp

from ayne_dagster.serving.code_servers import deaf_to_hangups
from ayne_dagster.serving.guard import Guard, at_hosts, changing_by_json_alone, framed_by_itself_alone, from_own_pages
from ayne_dagster.serving.listening import ADDRESS as ADDRESS
from ayne_dagster.serving.listening import PortTaken as PortTaken
from ayne_dagster.serving.listening import listen as listen

_STATEMENT_TIMEOUT_MS, _RECYCLE_SECONDS, _MOST_CONNECTIONS = 15_000, 3_600, 20
"""For Dagster's storage, as its own command has them."""
_POLL_MS = 2_000
_NO_PAGES = ("/graphql", "/logs/", "/download_debug/", "/report_asset_")
_NOTEBOOKS = ("/notebook", "/dagit/notebook")


def guarded(app: ASGIApp, hosts: Iterable[str]) -> ASGIApp:
    """Dagster's web application, as it may be served.

    Args:
        app: the application.
        hosts: the names besides the loopback ones under which it is asked (`AYNE_UI_HOSTS`).
    """
    rules = [at_hosts(hosts, "AYNE_UI_HOSTS"), from_own_pages(_is_page), changing_by_json_alone(_only_reads)]
    return Guard(framed_by_itself_alone(app), rules)


def _is_page(path: str) -> bool:
    return not path.startswith((*_NO_PAGES, *_NOTEBOOKS))


def _only_reads(path: str, query: bytes) -> bool:
    """Whether a GET reads: GraphQL in the address may be a mutation, and Dagster's pages ask by POST.

    Notebooks, which this platform has none of, would be files of the asker's choice, shown as pages of this origin.
    """
    trimmed = path.rstrip("/")
    return not (trimmed == "/graphql" and query) and trimmed not in _NOTEBOOKS


@contextmanager
def ui_server(instance: dg.DagsterInstance, workspace: Path, hosts: Iterable[str]) -> Iterator[uvicorn.Server]:
    """The server of the guarded UI, to be run on a listening socket.

    Args:
        instance: of Dagster.
        workspace: file that says what to load.
        hosts: as `guarded` takes them.
    """
    instance.optimize_for_webserver(_STATEMENT_TIMEOUT_MS, _RECYCLE_SECONDS, _MOST_CONNECTIONS)
    target = WorkspaceFileTarget([str(workspace)])
    with deaf_to_hangups():
        loaded = WorkspaceProcessContext(instance, target, code_server_log_level="warning")
    with loaded as context:
        app = create_app_from_workspace_process_context(context, live_data_poll_rate=_POLL_MS)
        yield uvicorn.Server(
            uvicorn.Config(
                guarded(app, hosts),
                http="h11",  # httptools hides from the guard whether a request names its host in its first line
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,  # what a proxy says of the request is for people who can write headers, too
                server_header=False,
                timeout_graceful_shutdown=2,
            )
        )
