"""A server on loopback that knows where every other movie was shot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from ayne_dagster_tests.support.http_server import http_server


class Served:
    """Its address, and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[int] = []


@contextmanager
def served() -> Iterator[Served]:
    """The server, for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            number = int(self.path.rpartition("/")[2])
            told.asked.append(number)
            known = number % 2 == 0
            body = json.dumps(
                {"places": ["Rome", f"Set {number}"], "visits": len(told.asked)} if known else {}
            ).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http_server(Handler) as address:
        told = Served(f"{address}/movies")
        yield told
