"""The dashboard's server, on a socket that listens already. What is served is in `app`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import socket

import uvicorn

from ayne_dagster.config import Settings
from ayne_dagster.dashboard.app import create_app
from ayne_dagster.dashboard.health import Examine
from ayne_dagster.serving.listening import ADDRESS, PortTaken, listen


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


@contextmanager
def served_beside(settings: Settings, examine: Examine, port: int) -> Iterator[str | None]:
    """Serve the dashboard in a thread for the length of the block; its address, or None where the port is taken."""
    try:
        listener = listen(port)
    except PortTaken:
        yield None
        return
    with listener:
        beside = server(settings, examine)
        thread = threading.Thread(target=beside.run, args=([listener],), name="dashboard")
        thread.start()
        try:
            yield f"http://{ADDRESS}:{listener.getsockname()[1]}"
        finally:
            beside.should_exit = True
            thread.join()


def serve(settings: Settings, examine: Examine, listener: socket) -> None:
    """Serve until interrupted."""
    with suppress(KeyboardInterrupt):  # how it is meant to end
        server(settings, examine).run(sockets=[listener])
