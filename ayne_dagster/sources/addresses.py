"""An address as messages show it: where it leads, without what it gives away. Opens nothing, imports nothing of ours.

Addresses are typed by people, so nothing here trusts their syntax: whatever may be part of a name, a password, a
signature or a token is left out, also where that hides a part that would have been harmless.
"""

from __future__ import annotations

import re

HIDDEN = "…"
LONGEST_SHOWN = 200
"""Characters of an address in a message."""

# One slash is enough: "https:/host" is a slip of the finger, not a path.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:)?/{2,}|[A-Za-z][A-Za-z0-9+.-]*:/+")
_SURELY_SCHEME = re.compile(r"((https?|ftps?|socks[0-9a-z]*|sqlite|postgres(ql)?)(\+[a-z0-9]+)?:)?//", re.IGNORECASE)
"""What else stands before a colon may be the name of a user, and what follows a password that begins with a slash."""
# A "&" or ";" begins what should have been a query.
_TAIL = re.compile(r"[?#&;]")
_PORT = re.compile(r"[0-9]{0,5}")


def shown_address(text: str) -> str:
    """An address, or what somebody took for one: scheme, host, port and path.

    User, password, query and fragment are left out. A path on this machine stays as it is. One line, never longer than
    a message bears; never raises.

    Example:
        >>> shown_address("https://me:secret@files.example:8443/ids.gz?signature=secret")
        'https://files.example:8443/ids.gz'
    """
    text = _one_line(text)
    if _is_path(text):
        return text
    scheme, host, path = _parts(text)
    return _shortened(f"{scheme}{host}{path}")


def shown_origin(text: str) -> str:
    """As `shown_address`, without the path: for addresses whose path is a secret, as those of webhooks are."""
    scheme, host, path = _parts(_one_line(text))
    return _shortened(f"{scheme}{host}{'/' + HIDDEN if path not in ('', '/') else ''}")


def _one_line(text: str) -> str:
    return "".join(c for c in text.strip() if c.isprintable())


def _is_path(text: str) -> bool:
    """Whether it can only be a path on this machine; a relative one may as well be an address without its scheme."""
    return text.startswith(("/", "./", "../", "~")) and not text.startswith("//")


def _parts(text: str) -> tuple[str, str, str]:
    """Scheme with its slashes, host with its port, and path, as far as each may be shown."""
    match = _SCHEME.match(text)
    scheme = match[0] if match else ""
    before, tail = _cut(text[len(scheme) :])
    authority, slash, path = _split(before)
    # An @ behind the authority may be harmless, or the end of a password that holds a "/" or a "?".
    may_be_a_name = bool(scheme) and not _SURELY_SCHEME.fullmatch(scheme)
    if "@" in tail and (":" in before or may_be_a_name):
        return scheme, HIDDEN, ""
    if "@" in path:
        host = HIDDEN if ":" in authority or may_be_a_name else _host(authority)
        return scheme, host, f"/{HIDDEN}@{path.rpartition('@')[2]}"
    return scheme, _host(authority), slash + path


def _cut(text: str) -> tuple[str, str]:
    match = _TAIL.search(text)
    return (text[: match.start()], text[match.end() :]) if match else (text, "")


def _split(before: str) -> tuple[str, str, str]:
    """Authority, slash and path; some programs take a backslash for a slash."""
    end = next((at for at, c in enumerate(before) if c in "/\\"), len(before))
    return before[:end], before[end : end + 1], before[end + 1 :]


def _host(authority: str) -> str:
    host = authority.rpartition("@")[2]
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]") or _PORT.fullmatch(port):
        return host
    return f"{name.partition(':')[0]}:{HIDDEN}"  # what stands in a port's place and is none may be a password


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + HIDDEN
