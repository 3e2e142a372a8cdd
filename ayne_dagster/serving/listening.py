"""Where pages are served: a port of the loopback address. Knows nothing of what is served there."""

from __future__ import annotations

import errno
import socket

from ayne_dagster.errors import OneLineError

ADDRESS = "127.0.0.1"
"""What is listened on; whoever wants it elsewhere puts a proxy with a login in front."""


class PortTaken(OneLineError):
    """The port cannot be listened on; `str()` says why in one line."""


def listen(port: int) -> socket.socket:
    """A socket that listens on the loopback address.

    Raises:
        PortTaken: another program listens there, or the system does not let us.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise PortTaken(f"Port {port} {why}: choose another with --port.") from None
    return listener
