"""A guard before an ASGI application: which requests reach it at all. Knows nothing of what it guards.

A browser sends requests to 127.0.0.1 for any page that it shows, and a name of a stranger's may resolve to 127.0.0.1.
Neither is a person at this machine, and a login in front changes nothing: the browser adds its credentials by itself.
So a request must name a host that is ours, come from a page of ours or from no page, and change nothing by GET. A
browser cannot leave out or forge the headers that tell (Host, Origin, Sec-Fetch-*, Content-Type); other programs can,
and may: they run on this machine already.

Dagster has no setting for this (1.13): its web server answers any Host and Origin, and mutations by GET; `--read-only`
alone refuses mutations, everybody's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
"""What this machine is called from itself."""
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_FRAMED_BY_OURSELVES_ALONE = (
    (b"content-security-policy", b"frame-ancestors 'self'"),  # beside the application's own policy: both hold
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(frozen=True)
class Refusal:
    """Why a request is not passed on."""

    status: int
    why: str
    """In one sentence, for the person at the browser."""


Rule = Callable[[Scope], Refusal | None]
"""What refuses a request (http or websocket), or does not."""


class Guard:
    """An application behind rules: the first that refuses a request answers it.

    Args:
        app: what is guarded.
        rules: what a request must pass.
    """

    def __init__(self, app: ASGIApp, rules: Sequence[Rule]) -> None:
        self._app = app
        self._rules = tuple(rules)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event, as ASGI asks for."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = next((found for rule in self._rules if (found := rule(scope)) is not None), None)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.why})
        else:
            await _refuse(send, refusal)


def framed_by_itself_alone(app: ASGIApp) -> ASGIApp:
    """An application whose pages no page of another origin can show within itself, so that no click is stolen."""

    async def framed(scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *_FRAMED_BY_OURSELVES_ALONE]}
            await send(message)

        await app(scope, receive, marked)

    return framed


def at_hosts(also: Iterable[str] = (), setting: str = "") -> Rule:
    """The rule that a request names this machine's loopback names, or one of the others given.

    Args:
        also: further names; `name` stands for any port, `name:port` for that one.
        setting: what names them, for the person who is refused.

    Raises:
        ValueError: one of them is no name of a host.
    """
    allowed: set[tuple[str, int | None]] = {(name, None) for name in LOOPBACK_NAMES}
    for text in also:
        if (authority := authority_of(text)) is None:
            raise ValueError(f"{text!r} is no name of a host.")
        allowed.add(authority)

    more = f"; {setting} names further ones" if setting else ""

    def rule(scope: Scope) -> Refusal | None:
        hosts = header(scope, b"host")
        if len(hosts) != 1:
            return Refusal(400, "A request has exactly one Host header.")
        if not str(scope["path"]).startswith("/"):
            return Refusal(400, "A request names a path, and its host in the Host header.")
        host = authority_of(hosts[0])
        if host is None or not {host, (host[0], None)} & allowed:
            return Refusal(403, f"Nothing is served here under this name{more}.")
        return None

    return rule


def from_own_pages(is_page: Callable[[str], bool]) -> Rule:
    """The rule that no page of another origin has sent a request. After `at_hosts`, which makes the host one of ours.

    Another port of this machine is another origin.

    Args:
        is_page: tells by its path whether a link of another page may lead there.
    """

    def rule(scope: Scope) -> Refusal | None:
        foreign = Refusal(403, "This was sent by a page of another origin.")
        origins, sites = header(scope, b"origin"), header(scope, b"sec-fetch-site")
        if len(origins) > 1 or len(sites) > 1:
            return foreign
        if origins and not _is_at(origins[0], header(scope, b"host")[0]):
            return foreign
        if sites and sites[0] not in ("same-origin", "none"):
            return None if _is_followed_link(scope) and is_page(scope["path"]) else foreign
        return None

    return rule


def changing_by_json_alone(reads: Callable[[str, bytes], bool]) -> Rule:
    """The rule that what may change something is a POST of JSON, which no page may send elsewhere unasked.

    A form, an image, a beacon, or a `fetch` that nobody allowed, send GET, or a POST of other types.

    Args:
        reads: tells by path and query string whether a GET or HEAD only reads.
    """

    def rule(scope: Scope) -> Refusal | None:
        if scope["type"] == "websocket":
            return None
        if scope["method"] in ("GET", "HEAD"):
            may = reads(scope["path"], scope["query_string"])
            return None if may else Refusal(405, "This is asked by POST, as JSON.")
        if scope["method"] != "POST":
            return Refusal(405, "Nothing is served by this method.")
        types = header(scope, b"content-type")
        # Before the first semicolon: the browser goes by that, whatever stands behind it.
        if len(types) != 1 or types[0].partition(";")[0].strip().lower() != "application/json":
            return Refusal(415, "A POST is JSON here, and says so in its Content-Type.")
        return None

    return rule


def reading_alone(scope: Scope) -> Refusal | None:
    """The rule that nothing is asked but GET and HEAD: of an application that changes nothing."""
    if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
        return None
    return Refusal(405, "Nothing can be changed here: only GET is answered.")


def header(scope: Scope, name: bytes) -> list[str]:
    """The values of a header, in the order sent, without blanks around them."""
    return [value.decode("latin-1").strip(" \t") for key, value in scope["headers"] if key.lower() == name]


def authority_of(text: str) -> tuple[str, int | None] | None:
    """Name and port of `name` or `name:port`, in lower case, without a dot at the end; None where it is neither."""
    found = _AUTHORITY.fullmatch(text.lower())
    if found is None:
        return None
    port = int(found[2]) if found[2] else None
    return (found[1], port) if port is None or 0 < port < 65536 else None


def _is_at(origin: str, host: str) -> bool:
    """Whether an origin (`https://name:port`) is that of a Host header; a proxy may have taken the s off https."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    default = _DEFAULT_PORTS.get(parts.scheme)
    ours, theirs = authority_of(host), authority_of(parts.netloc)
    if default is None or ours is None or theirs is None:
        return False
    return (ours[0], ours[1] or default) == (theirs[0], theirs[1] or default)


def _is_followed_link(scope: Scope) -> bool:
    """Whether the browser goes to a page in a window of its own: what a link may do, and a frame may not."""
    modes, targets = header(scope, b"sec-fetch-mode"), header(scope, b"sec-fetch-dest")
    return (scope["type"], scope.get("method"), modes, targets) == ("http", "GET", ["navigate"], ["document"])


async def _refuse(send: Send, refusal: Refusal) -> None:
    body = f"{refusal.why}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),  # what else this connection brings is not looked at
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
