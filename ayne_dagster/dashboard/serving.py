"""The dashboard's server, on a socket that listens already. What is served is in `app`."""

from __future__ import annotations

from contextlib import suppress
from socket import socket

import uvicorn

from ayne_dagster.config import Settings
from ayne_dagster.dashboard.app import create_app
from ayne_dagster.dashboard.health import Examine


def server(settings: Settings, examine: Examine) -> uvicorn.Server:
    """The server, to be run on a listening socket of the loopback address."""
    return uvicorn.Server(
        uvicorn.Config(
            create_app(settings, examine, settings.ui_hosts),
            http="h11",  # httptools hides from the guard whether a request names its host in its first line
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
    )


def serve(settings: Settings, examine: Examine, listener: socket) -> None:
    """Serve until interrupted."""
    with suppress(KeyboardInterrupt):  # how it is meant to end
        server(settings, examine).run(sockets=[listener])
