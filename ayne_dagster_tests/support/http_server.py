"""An HTTP server of a test's own on 127.0.0.1, in a thread: what it answers is the test's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@contextmanager
def http_server(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Its address, without a slash at its end, for the length of the block."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        # It looks so often whether it should end; half a second, as it would, is longer than most tests take.
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
