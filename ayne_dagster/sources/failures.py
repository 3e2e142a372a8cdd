"""What a request that failed on its way means: may it pass, and what does a person look at? Sends nothing.

The words are ours: those of aiohttp and httpx quote whole addresses, where keys and passwords are.
"""

from __future__ import annotations

import os
import socket
import ssl

import aiohttp
import httpx

from ayne_dagster.sources.addresses import shown_address
from ayne_dagster.sources.errors import MalformedAnswer, SourceError, WrongAddress, WrongRoute
from ayne_dagster.sources.network import Route

_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")
"""What OpenSSL says of a server that speaks no TLS."""


def meaning_of(error: Exception, address: str, route: Route | None = None) -> httpx.TransportError | SourceError:
    """What an error from below means.

    Args:
        error: as it was raised.
        address: where the request was to go.
        route: how; names the proxy.

    Returns:
        An `httpx.TransportError`, which may pass, with no more of the address than its host; or a `SourceError`, for
        which asking again does not help.
    """
    where = shown_address(address)
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, SourceError):
            return cause
        if isinstance(cause, aiohttp.ClientHttpProxyError):
            return refused_by_proxy(cause.status, where, route)
        if isinstance(cause, aiohttp.ClientProxyConnectionError):
            return httpx.ProxyError(f"no connection to {_named(route)}: {_reason(causes)}")
    return _wrong_address(causes, where) or _passing(error, causes, where)


def refused_by_proxy(status: int, where: str, route: Route | None) -> httpx.TransportError | WrongAddress:
    """What a proxy's own answer means."""
    named = _named(route)
    named = named[0].upper() + named[1:]
    if status == 407:
        variable = route.variable if route and route.proxy else "HTTPS_PROXY"
        return _sent(
            WrongRoute(
                f"{named} wants a user and a password, or others (HTTP 407): write them into {variable}, as "
                "http://user:password@host:port."
            )
        )
    if 300 <= status < 500 and status not in (408, 429):
        return _sent(
            WrongRoute(f"{named} lets nothing through to {where} (HTTP {status}): except the host in NO_PROXY?")
        )
    return httpx.ProxyError(f"{named} does not reach {where} (HTTP {status})")


def _sent(error: WrongRoute) -> WrongRoute:
    """An error that was met on the way, not before it."""
    error.requests = 1
    return error


def _named(route: Route | None) -> str:
    return str(route) if route and route.proxy else "the proxy"


def _wrong_address(causes: list[BaseException], where: str) -> WrongAddress | None:
    for cause in reversed(causes):  # aiohttp's errors are of OpenSSL's classes too, without their parts
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = getattr(cause, "verify_message", "") or "not trusted"
            return WrongAddress(
                f"The certificate of {where} is not accepted ({reason}): correct the address, or name the authority "
                "that signed it in SSL_CERT_FILE."
            )
        if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None) in _NO_TLS:
            return WrongAddress(f"What answers at {where} speaks no TLS: correct the address (http, not https?).")
        if isinstance(cause, aiohttp.InvalidURL | httpx.UnsupportedProtocol):
            return WrongAddress(f"{where} is no usable address.")
    return None


def _passing(error: Exception, causes: list[BaseException], where: str) -> httpx.TransportError | SourceError:
    """Connections that fail, break or stall, and broken HTTP; anything else is a fault of ours."""
    kinds = tuple(type(cause) for cause in causes)

    def among(*classes: type[BaseException]) -> bool:
        return any(issubclass(kind, classes) for kind in kinds)

    if among(aiohttp.ClientConnectorError):
        return httpx.ConnectError(f"no connection to {where}: {_reason(causes)}")
    if among(aiohttp.ConnectionTimeoutError):
        return httpx.ConnectTimeout(f"no connection to {where} in time")
    if among(aiohttp.ServerTimeoutError):
        return httpx.ReadTimeout(f"nothing came from {where} for too long (Timeout)")
    if among(aiohttp.ClientPayloadError):
        return httpx.ReadError(f"the answer of {where} breaks off")
    if among(aiohttp.ClientConnectionError, ConnectionError):
        return httpx.ReadError(f"{where} closed the connection")
    if among(aiohttp.ClientError):
        return httpx.RemoteProtocolError(f"what {where} sends is no proper HTTP")
    if isinstance(error, httpx.TransportError):
        return type(error)(f"{where}: {type(error).__name__}: {error}")
    if isinstance(error, httpx.DecodingError):
        return httpx.ReadError(f"{where}: {error}")
    if isinstance(error, OSError):
        return httpx.ReadError(f"{where}: {_reason(causes)}")
    return MalformedAnswer(f"The answer of {where} could not be read ({type(error).__name__})")


def _causes(error: BaseException) -> list[BaseException]:
    """An error and what it came from, the outermost first."""
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        inner = getattr(cause, "os_error", None) or getattr(cause, "certificate_error", None)
        cause = inner or cause.__cause__
    return found


def _reason(causes: list[BaseException]) -> str:
    """The operating system's words for it, or its class."""
    for cause in reversed(causes):
        if isinstance(cause, ssl.SSLError | socket.gaierror):  # their numbers are not the system's
            return getattr(cause, "reason", None) or cause.strerror or type(cause).__name__
        if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
            return os.strerror(cause.errno)
    return type(causes[-1]).__name__
