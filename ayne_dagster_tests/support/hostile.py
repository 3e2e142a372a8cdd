"""A server on 127.0.0.1 that speaks raw bytes: what no decent server sends, one way of misbehaving a function.

A behaviour gets the connection after the head of a request has been read, and what tells it that the test has ended.
"""

from __future__ import annotations

import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Behaviour = Callable[[socket.socket, threading.Event], None]

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@dataclass
class Hostile:
    """Where it listens, and what it was asked."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    """The head of each request."""
    handshakes: int = 0
    """How many connections were made."""

    @property
    def address(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def hostile(
    *behaviours: Behaviour, tls: ssl.SSLContext | None = None, raw_connections: bytes | None = None
) -> Iterator[Hostile]:
    """A server that behaves in these ways, one a request; the last of them for ever.

    Args:
        behaviours: the ways.
        tls: encrypts, with a certificate.
        raw_connections: sends this whatever comes, be it a request or not.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    server, ended, threads = Hostile(listener.getsockname()[1]), threading.Event(), list[threading.Thread]()

    def serve(connection: socket.socket) -> None:
        server.handshakes += 1
        with suppress(OSError), tls.wrap_socket(connection, server_side=True) if tls else connection as connection:
            if raw_connections is not None:
                connection.recv(65_536)
                connection.sendall(raw_connections)
                return
            while head := _head_of_a_request(connection):
                server.requests.append(head)
                behaviours[min(len(server.requests), len(behaviours)) - 1](connection, ended)

    def accept() -> None:
        with suppress(OSError):
            while not ended.is_set():
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield server
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()


def _head_of_a_request(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        received = connection.recv(1)
        if not received:
            return b""
        head += received
    return head


def raw(payload: bytes) -> Behaviour:
    """Sends these bytes, and closes."""

    def behave(connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(payload)
        connection.shutdown(socket.SHUT_RDWR)

    return behave


def answering(body: bytes = b"{}", status: str = "200 OK", **headers: str) -> Behaviour:
    """A proper answer; the connection stays open."""
    named = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())

    def behave(connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body)

    return behave


def silent(connection: socket.socket, ended: threading.Event) -> None:
    """Never answers."""
    ended.wait(60)


def dripping(payload: bytes, seconds: float = 0.02) -> Behaviour:
    """Sends a byte now and then: each read is in time, the whole is not."""

    def behave(connection: socket.socket, ended: threading.Event) -> None:
        for byte in payload:
            connection.sendall(bytes([byte]))
            if ended.wait(seconds):
                return

    return behave


def endless(start: bytes, again: bytes) -> Behaviour:
    """Sends a start, and then the same for ever, as fast as it is taken."""

    def behave(connection: socket.socket, ended: threading.Event) -> None:
        connection.sendall(start)
        piece = again * max(1, 10_000 // len(again))
        while not ended.is_set():
            connection.sendall(piece)

    return behave


ENDLESS: dict[str, Behaviour] = {
    "no answer": silent,
    "a status line that drips": dripping(b"HTTP/1.1 200 O" + b"K" * 5000),
    "headers that drip": dripping(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 5000),
    "a body that drips": dripping(OK + b"Content-Length: 5000\r\n\r\n" + b" " * 5000),
    "chunks that drip": dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 5000),
    "a body without an end": dripping(OK + b"\r\n" + b" " * 5000),
    "empty chunk extensions": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n1", b";x=y"),
    "interim answers": endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    "100 Continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers": endless(OK, b"X-Flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
    "cookies": endless(OK, b"Set-Cookie: a=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
    "one long header": endless(OK + b"X-Long: ", b"a"),
    "blank lines": endless(b"", b"\r\n"),
    "another protocol": endless(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", b"x"),
}
"""Answers that never end."""


def packed(text: bytes, layers: int = 1) -> bytes:
    """A text as gzip, several times over."""
    for _ in range(layers):
        compressor = zlib.compressobj(9, wbits=31)
        text = compressor.compress(text) + compressor.flush()
    return text


def bomb(unpacked_bytes: int, layers: int) -> bytes:
    """Few bytes that unfold to many, without ever holding those."""
    compressor = zlib.compressobj(9, wbits=31)
    zeros = b" " * 1_000_000
    parts = [compressor.compress(zeros) for _ in range(unpacked_bytes // len(zeros))]
    return packed(b"".join([*parts, compressor.flush()]), layers - 1)
