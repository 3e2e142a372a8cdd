"""What a host is by its name alone: an address, this machine, a private network. Asks nobody, loads no client.

Apart from `network`, since who only names an account, to look at its budget, needs no client of HTTP.
"""

from __future__ import annotations

import ipaddress
import socket

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_LOOPBACK_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, in whatever spelling: 127.0.0.1, 127.1, [::1], localhost, api.localhost."""
    name = host.rstrip(".").lower()
    address = literal(name)
    if address is not None:
        return address.is_loopback or address.is_unspecified
    return name in _LOOPBACK_NAMES or name.endswith(".localhost")


def is_internal(host: str) -> bool:
    """Whether a host is told by its name alone to be this machine or a private network."""
    address = literal(host.rstrip(".").lower())
    return is_loopback(host) or (address is not None and not address.is_global)


def literal(host: str) -> IPAddress | None:
    """The address that a host is, None for a name; also as old programs write one: 127.1, 0x7f000001, 2130706433."""
    host = host.strip("[]").partition("%")[0]
    try:
        found: IPAddress = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host)) if host[:1].isdecimal() else None
        except OSError:
            return None
    return getattr(found, "ipv4_mapped", None) or found
