"""How an address is reached: proxies, certificates, loopback. One rule for every client; no keys, no bodies, no limits.

* **Proxies** come from the environment of the process, in upper or lower case (lower wins): `HTTPS_PROXY` or
  `HTTP_PROXY`, by the scheme of the address, then `ALL_PROXY`; `NO_PROXY` names what is reached directly: `*`, hosts
  with all below them, addresses, networks (`10.0.0.0/8`), each with a port where that matters. A proxy's own
  user:password is sent to it alone. SOCKS is refused.
* **Loopback** is never reached through a proxy.
* **Certificates**: those of `SSL_CERT_FILE` and `SSL_CERT_DIR` where they are set, else certifi's.
* **Credentials** are those that a client adds itself. `~/.netrc` is not read, cookies are not kept.

What is wrong with any of it is found before a request is sent or charged.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import certifi
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from httpx_aiohttp import AiohttpTransport
from yarl import URL

from ayne_dagster.settings.texts import require_file
from ayne_dagster.sources.addresses import shown_address, shown_origin
from ayne_dagster.sources.errors import WrongAddress, WrongRoute
from ayne_dagster.sources.hosts import is_internal, is_loopback, literal

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
"""Seconds for a single step: a connection, or some bytes. What bounds an answer as a whole is its deadline."""


@dataclass(frozen=True)
class Route:
    """How requests to an address travel."""

    proxy: httpx.Proxy | None = None
    """None: directly."""
    variable: str = ""
    """The environment variable that names the proxy."""

    def __str__(self) -> str:
        return f"the proxy {shown_origin(str(self.proxy.url))} ({self.variable})" if self.proxy else "no proxy"


def route_to(address: str, environment: Mapping[str, str] = os.environ) -> Route:
    """How the environment wants an address to be reached.

    Raises:
        WrongAddress: it is no http(s) address.
        WrongRoute: the proxy that is named for it cannot be used.
    """
    host, port = _host_and_port(address)
    if is_loopback(host) or _is_excepted(host, port, _variable("no_proxy", environment)[1]):
        return Route()
    scheme = urlsplit(address).scheme.lower()
    for kind in (f"{scheme}_proxy", "all_proxy"):
        variable, value = _variable(kind, environment)
        if value:
            return Route(_proxy(variable, value, host), variable)
    return Route()


def certificates(environment: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """Whose certificates are trusted.

    Raises:
        WrongRoute: a file or folder that the environment names cannot be used.
    """
    file, folder = (environment.get(name) or None for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    if file is None and folder is None:
        return ssl.create_default_context(cafile=certifi.where())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if folder is not None and not any(Path(part).is_dir() for part in folder.split(os.pathsep)):
        raise WrongRoute(f"SSL_CERT_DIR names {folder}, which is no folder: no certificate can be checked.")
    try:
        if file is not None:
            require_file(Path(file))
        context.load_verify_locations(cafile=file, capath=folder)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__
        raise WrongRoute(f"SSL_CERT_FILE names {file}, which cannot be read as certificates: {reason}.") from None
    return context


class Wire(httpx.AsyncBaseTransport):
    """Connections to one address, over aiohttp (several times the requests per CPU second of httpx's own).

    Args:
        address: where requests will go.
        connections: at most so many at a time.
        only_public: refuse to connect to this machine and to private networks, also where a name leads there.
    """

    def __init__(self, address: str, *, connections: int = 1, only_public: bool = False) -> None:
        self._address = address
        self._connections = connections
        self._only_public = only_public
        self._inner: AiohttpTransport | None = None
        self.route = Route()

    def prepare(self) -> None:
        """Find the way, once, without going it.

        Raises:
            WrongAddress: there is none.
        """
        if self._inner is None:
            self.route = route_to(self._address)
            self._inner = self._opened()

    def _opened(self) -> AiohttpTransport:
        proxy = self.route.proxy
        needs_tls = "https" in (urlsplit(self._address).scheme.lower(), proxy.url.scheme if proxy else "")
        # Without a certificate to trust, what never needs one could not open anything by mistake either.
        trusted = certificates() if needs_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        transport = AiohttpTransport(verify=trusted, trust_env=False, proxy=self.route.proxy)
        transport.client = self._session
        self._trusted = trusted
        return transport

    def _session(self) -> aiohttp.ClientSession:
        resolver = _PublicResolver() if self._only_public and self.route.proxy is None else None
        connector = aiohttp.TCPConnector(limit=self._connections, ssl=self._trusted, resolver=resolver)
        # trust_env would read ~/.netrc; a cookie jar would grow with whatever a server sends.
        made = aiohttp.ClientSession(connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
        # aiohttp would send a GET a second time by itself when the server closes the connection: a request that nobody
        # charged. Retrying is ours.
        made._retry_connection = False
        return made

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send."""
        self.prepare()
        assert self._inner is not None  # noqa: S101 -- prepared
        if self._only_public and is_internal(request.url.host):
            raise WrongAddress(f"{shown_address(str(request.url))} is not on the public network")
        proxy = self.route.proxy
        if proxy and request.url.scheme == "http":  # without a tunnel, the request itself is what the proxy reads
            request.headers.update(proxy.headers)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._inner is not None:
            await self._inner.aclose()


class _PublicResolver(AbstractResolver):
    """Names that lead to public addresses alone: what is connected to is what was looked at."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if any(is_internal(result["host"]) for result in found):
            raise WrongAddress(f"{host} leads to an address that is not on the public network")
        return found

    async def close(self) -> None:
        await self._inner.close()


def _host_and_port(address: str) -> tuple[str, int]:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
        URL(address)  # aiohttp's own reading, which refuses more
    except ValueError:
        host, port = None, None
    if not host or parts.scheme.lower() not in ("http", "https"):
        raise WrongAddress(f"{shown_address(address)} is no http(s) address.")
    return host, port or (443 if parts.scheme.lower() == "https" else 80)


def _variable(kind: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """Name and value of a variable that is written in upper or lower case; lower case wins, also where it is empty."""
    for name in (kind, kind.upper()):
        # A web server's CGI sets HTTP_PROXY from a header that anybody sends.
        if name in environment and not (name == "HTTP_PROXY" and "REQUEST_METHOD" in environment):
            return name, environment[name].strip()
    return kind.upper(), ""


def _proxy(variable: str, value: str, host: str) -> httpx.Proxy:
    text = value if "://" in value else f"http://{value}"
    scheme = text.partition("://")[0].lower()
    if scheme.startswith("socks"):
        raise WrongRoute(
            f"{variable} names a SOCKS proxy ({shown_origin(text)}), which is not supported: name an HTTP proxy in "
            f"HTTPS_PROXY, or except {host} from it in NO_PROXY."
        )
    try:
        proxy = _with_password(httpx.Proxy(text))
        usable = scheme in ("http", "https") and bool(proxy.url.host) and urlsplit(text).port != 0
    except (ValueError, httpx.InvalidURL):  # UnicodeError is a ValueError
        usable = False
    if not usable:
        raise WrongRoute(
            f"{variable} is {shown_origin(text)}: it must be an http(s) address, as http://user:password@host:port, "
            "with what is special in the password as %XX."
        )
    return proxy


def _with_password(proxy: httpx.Proxy) -> httpx.Proxy:
    """The proxy with its user and password as the header that it gets."""
    if proxy.auth is None:
        return proxy
    if ":" in proxy.auth[0]:
        raise ValueError("a user's name holds no colon")
    encoded = base64.b64encode(":".join(proxy.auth).encode("latin-1")).decode()
    return httpx.Proxy(proxy.url, headers={"proxy-authorization": f"Basic {encoded}"})


def _is_excepted(host: str, port: int, no_proxy: str) -> bool:
    name, address = host.rstrip(".").lower(), literal(host)
    for entry in no_proxy.replace(",", " ").lower().split():
        if entry == "*":
            return True
        pattern, only_port = _entry(entry)
        if only_port is not None and only_port != port:
            continue
        if address is not None:
            try:
                if address in ipaddress.ip_network(pattern, strict=False):
                    return True
            except ValueError:
                continue
        elif pattern and (name == pattern or name.endswith(f".{pattern}")):
            return True
    return False


def _entry(entry: str) -> tuple[str, int | None]:
    """Host or network of an entry of NO_PROXY, and its port."""
    entry = entry.rpartition("://")[2].rstrip("/")
    host, colon, port = entry.rpartition(":")
    if colon and port.isdecimal() and (":" not in host or host.endswith("]")):
        entry, number = host, int(port)
    else:
        number = None
    return entry.strip("[]").removeprefix("*").strip("."), number
