"""What an API account is called in the request ledger, however its address is spelt. Counts nothing, asks nothing.

Two spellings that reach one server must be one name: a second name is a second quota. Where it is in doubt whether two
are the same they are taken to be, which costs a wait; the other way round it costs an account.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, unquote_to_bytes, urlsplit

from yarl import URL

from ayne_dagster.sources.hosts import is_loopback, literal

_LOOPBACK = "localhost"
_FORMER_LOOPBACKS = (_LOOPBACK, "127.0.0.1", "[::1]")


def account_name(source: str, base_url: str, key: str | None) -> str:
    """Name of an API account in the ledger: the source and a hash of address and key, never the key."""
    return _named(source, canonical_address(base_url), key)


def former_account_names(source: str, base_url: str, key: str | None) -> tuple[str, ...]:
    """What former versions called the same account, to which more spellings were accounts of their own.

    Those of this spelling, of the plain one, and of the names of this machine, each with and without a slash at its
    end; what was counted under other spellings of former days cannot be known by a hash.
    """
    plain = canonical_address(base_url)
    start, loopback, rest = plain.partition(f"://{_LOOPBACK}")
    plains = [f"{start}://{host}{rest}" for host in _FORMER_LOOPBACKS] if loopback else [plain]
    spellings = [base_url, _formerly_canonical(base_url), *plains]
    every = [form for text in spellings for form in (text, text.rstrip("/"), f"{text.rstrip('/')}/")]
    return tuple(dict.fromkeys(_named(source, text, key) for text in every if text != plain))


def canonical_address(base_url: str) -> str:
    """The same for all spellings of an address; it is a name, and need not be what is asked.

    As the wire reads it (`yarl`): scheme and host in lower case, IDNA, an address in its short form, no port that goes
    without saying, dot segments resolved. Beyond that all names of this machine are one, and what servers take for the
    same in a path is: repeated slashes, one at the end, an empty `;`, an escape of what needs none. User and password,
    which are refused, and query and fragment, in whose place the clients put their own, are left out.
    """
    try:
        url = URL(base_url)
        host, port = (url.raw_host or "").rstrip(".").lower(), url.explicit_port
    except ValueError:
        return base_url  # no address: refused before anything is asked
    number = literal(host)
    if is_loopback(host):
        host = _LOOPBACK
    elif number is not None:
        host = f"[{number}]" if number.version == 6 else str(number)
    shown_port = "" if port in (None, {"http": 80, "https": 443}.get(url.scheme)) else f":{port}"
    return f"{url.scheme}://{host}{shown_port}{_canonical_path(url.raw_path)}"


def _canonical_path(path: str) -> str:
    """A path in one spelling, without a slash at its end."""
    kept: list[str] = []
    for part in re.split("/+", path):
        segment = re.sub("(%3B)+$", "", quote(unquote_to_bytes(part), safe=""))
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return "".join(f"/{segment}" for segment in kept)


def _formerly_canonical(base_url: str) -> str:
    """As the name's address was reckoned before it was the wire's reading of it."""
    try:
        parts = urlsplit(base_url)
        port = "" if parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f":{parts.port}"
    except ValueError:
        return base_url
    host = (parts.hostname or "").rstrip(".")
    host = f"[{host}]" if ":" in host else host
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{user}{host}{port}{parts.path.rstrip('/')}{query}"


def _named(source: str, address: str, key: str | None) -> str:
    digest = hashlib.sha256(f"{address}\0{key or ''}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"{source}:{digest[:16]}"
