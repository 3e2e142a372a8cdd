"""A webhook on 127.0.0.1 that does as a test says, and remembers what it was sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from threading import Event
from typing import Any

from ayne_dagster_tests.support.http_server import http_server

SECRET_PATH = "/hooks/very-secret-7f3a9c"


@dataclass
class Webhook:
    """What it does, and what it got."""

    url: str = ""
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    """Whether it sends a part of its answer and then nothing more, until the test ends."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """What was posted and answered with 2xx."""
    paths: list[str] = field(default_factory=list)
    ended: Event = field(default_factory=Event)


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A webhook, for the length of the block."""
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.paths.append(self.path)
            if hook.silent:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                self.wfile.flush()
                hook.ended.wait(60)
                return
            if 200 <= hook.status < 300:
                hook.bodies.append(body)
            self.send_response(hook.status)
            for name, value in hook.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http_server(Handler) as address:
        hook.url = address + SECRET_PATH
        try:
            yield hook
        finally:
            hook.ended.set()
