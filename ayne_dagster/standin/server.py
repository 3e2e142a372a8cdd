"""The stand-in as an ASGI application: transport, log, clock, faults, control. No knowledge of the APIs.

Paths: TMDB below /3, OMDb at /omdb/, Wikidata at /sparql, The Numbers below /movie/, daily files below /p/exports and
/imdb, control below /_standin/. The APIs' requests are answered by plain ASGI, since a test asks thousands of them;
Starlette routes the control requests.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette
from starlette.requests import Request as ControlRequest
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from ayne_dagster.serving.guard import Guard, at_hosts, from_own_pages
from ayne_dagster.standin.answers import SPARQL_PATH, Answers, Request, key_digest, parse, utc
from ayne_dagster.standin.catalogue import Catalogue
from ayne_dagster.standin.errors import Answer
from ayne_dagster.standin.faults import FaultPlan, planned_from_json
from ayne_dagster.standin.spoiling import Spoiler

MAX_LOG = 300_000
_KEY_PARAMETERS = ("api_key", "apikey")
_DRIPS = 10
_LONGEST_FORM = 1_000_000


def _system_now() -> datetime:
    return datetime.now(UTC)


class Clock:
    """The stand-in's clock: runs with real time until it is set, and then stands still.

    Args:
        real: tells real time (UTC).
    """

    def __init__(self, real: Callable[[], datetime] = _system_now) -> None:
        self._real, self._lock = real, Lock()
        self._offset = timedelta()
        self._still: datetime | None = None

    @property
    def running(self) -> bool:
        """Whether the clock runs."""
        return self._still is None

    def now(self) -> datetime:
        """The instant that the clock shows (UTC)."""
        with self._lock:
            return self._still if self._still is not None else self._real() + self._offset

    def set(self, now: datetime) -> None:
        """Set the clock and stop it; an instant without a time zone is UTC."""
        with self._lock:
            self._still = utc(now)

    def follow(self, real: Callable[[], datetime]) -> None:
        """Show what another clock shows, from now on."""
        with self._lock:
            self._real, self._offset, self._still = real, timedelta(), None

    def run(self) -> None:
        """Let the clock run on, with real time, from what it shows."""
        with self._lock:
            if self._still is not None:
                self._offset, self._still = self._still - self._real(), None


class Journal:
    """What has been asked, and how it ended; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: deque[tuple[str, str, str | None, str, float, int]] = deque(maxlen=MAX_LOG)
        self._counts: Counter[tuple[str, int]] = Counter()
        self._in_flight: Counter[str] = Counter()
        self._most: dict[str, int] = {"tmdb": 0, "omdb": 0}

    def begin(self, source: str) -> None:
        """Note that a request has arrived."""
        with self._lock:
            self._in_flight[source] += 1
            self._most[source] = max(self._most.get(source, 0), self._in_flight[source])

    def end(self, request: Request, arrived: float, status: int) -> None:
        """Note how a request ended; status 0 is no answer."""
        digest = key_digest(request.key) if request.key else ""
        with self._lock:
            self._in_flight[request.source] -= 1
            self._counts[request.source, status] += 1
            self._entries.append((request.source, request.endpoint, request.movie, digest, arrived, status))

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of requests by source and HTTP status (as text; "0" is no answer)."""
        out: dict[str, dict[str, int]] = {"tmdb": {}, "omdb": {}}
        with self._lock:
            for (source, status), count in sorted(self._counts.items()):
                out.setdefault(source, {})[str(status)] = count
        return out

    def most_in_flight(self) -> dict[str, int]:
        """Most requests that were being answered at once, by source."""
        with self._lock:
            return dict(self._most)

    def entries(self) -> list[dict[str, Any]]:
        """The log, in the order in which requests ended: at most the last MAX_LOG."""
        names = ("source", "endpoint", "id", "key_sha", "at", "status")
        with self._lock:
            return [dict(zip(names, entry, strict=True)) for entry in self._entries]

    def clear(self) -> None:
        """Forget the log, the counts and the most in flight."""
        with self._lock:
            self._entries.clear()
            self._counts.clear()
            self._most = {source: self._in_flight[source] for source in self._most}


class StandInApp:
    """The ASGI application; see `create_app`."""

    def __init__(self, catalogue: Catalogue, answers: Answers, *, latency_seconds: float, seed: int) -> None:
        self.catalogue = catalogue
        self.clock = Clock()
        self.journal = Journal()
        self.faults = FaultPlan(seed=seed)
        self._answers = answers
        self._spoiler = Spoiler(answers)
        self._latency = latency_seconds
        self._control = _control_app(self)
        self._guarded = Guard(self._answer, [at_hosts(), from_own_pages(_is_page)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event, as ASGI asks for: to this machine's programs, and to no page of a browser's."""
        await self._guarded(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._control(scope, receive, send)
            return
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        headers = {name: value.decode("latin-1") for name, value in reversed(scope["headers"])}
        if scope["path"] == SPARQL_PATH and scope["method"] == "POST":
            query |= await _form(receive)
        request = parse(
            scope["path"],
            query,
            headers.get(b"authorization", ""),
            agent=headers.get(b"user-agent", ""),
            method=scope["method"],
        )
        if request is None:
            await self._control(scope, receive, send)
            return
        arrived, status = time.time(), 0
        self.journal.begin(request.source)
        try:
            status = await self._serve(request, scope["path"], receive, send)
        finally:
            self.journal.end(request, arrived, status)

    async def _serve(self, request: Request, path: str, receive: Receive, send: Send) -> int:
        """Answer a request, or not, as the faults will; returns the status, 0 for no answer."""
        if self._latency > 0:
            await asyncio.sleep(self._latency)
        fault = self.faults.decide(request.source, _target(path, request), request.movie)
        if fault is None:
            answer = self._answers.answer(request, self.clock.now(), time.monotonic())
            await _send(send, answer, answer.body)
            return answer.status
        if fault.kind == "reset":
            await _reset(receive, send)
            return 0
        if fault.kind == "hang" and not await _wait(receive, fault.delay_seconds):
            return 0
        answer = self._spoiler.spoilt(request, fault, self.clock.now(), time.monotonic())
        if fault.kind == "drip":
            await _drip(send, answer, fault.delay_seconds)
        elif fault.kind in ("truncated", "stall"):
            await _truncate(receive, send, answer, fault.delay_seconds)
        else:
            await _send(send, answer, answer.body)
        return answer.status


def _is_page(_path: str) -> bool:
    """No link of a page leads here: to be asked is counted."""
    return False


def create_app(
    catalogue: Catalogue,
    *,
    latency_seconds: float = 0.0,
    tmdb_requests_per_second: float = 0.0,
    tmdb_burst: int = 40,
    omdb_daily_quota: int = 0,
    wikidata_most_keys: int = 0,
    seed: int = 1895,
) -> StandInApp:
    """The ASGI application that answers like TMDB, OMDb and Wikidata's query service.

    Args:
        catalogue: what there is to tell.
        latency_seconds: how long each answer of the APIs takes at least.
        tmdb_requests_per_second: above this rate TMDB answers 429 with Retry-After; 0 for no limit.
        tmdb_burst: how many TMDB requests may come at once.
        omdb_daily_quota: OMDb's requests a key and day of the stand-in's clock; 0 for no limit.
        wikidata_most_keys: a query for more keys runs into Wikidata's time limit; 0 for none does.
        seed: of the faults' chances.
    """
    answers = Answers(
        catalogue,
        tmdb_requests_per_second=tmdb_requests_per_second,
        tmdb_burst=tmdb_burst,
        omdb_daily_quota=omdb_daily_quota,
        wikidata_most_keys=wikidata_most_keys,
    )
    return StandInApp(catalogue, answers, latency_seconds=latency_seconds, seed=seed)


def _target(path: str, request: Request) -> str:
    """Path and query without keys: what a fault's `match` is looked for in."""
    shown = {k: v for k, v in request.query.items() if k not in _KEY_PARAMETERS}
    return f"{path}?{urlencode(shown, safe=',')}" if shown else path


async def _form(receive: Receive) -> dict[str, str]:
    """The fields of a form; none of one that is no text, or far too long."""
    body, more = b"", True
    while more and len(body) <= _LONGEST_FORM:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    try:
        return dict(parse_qsl(body[:_LONGEST_FORM].decode(), keep_blank_values=True))
    except ValueError:
        return {}


# Sending


def _start(answer: Answer, length: int) -> Message:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(length).encode()),
        (b"vary", b"Accept-Encoding"),
    ]
    if answer.retry_after is not None:
        headers.append((b"retry-after", f"{answer.retry_after:g}".encode()))
    if answer.location is not None:
        headers.append((b"location", answer.location.encode()))
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def _send(send: Send, answer: Answer, body: bytes) -> None:
    await send(_start(answer, len(body)))
    await send({"type": "http.response.body", "body": body})


async def _drip(send: Send, answer: Answer, seconds: float) -> None:
    """Send the body in pieces, the last of them after `seconds`."""
    body = answer.body
    await send(_start(answer, len(body)))
    size = max(1, -(-len(body) // _DRIPS))
    for begin in range(0, len(body), size):
        await asyncio.sleep(seconds / _DRIPS)
        await send({"type": "http.response.body", "body": body[begin : begin + size], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _truncate(receive: Receive, send: Send, answer: Answer, seconds: float) -> None:
    """Send half of the body that Content-Length announces, wait unless the client gives up, and close."""
    await send(_start(answer, len(answer.body)))
    await send({"type": "http.response.body", "body": answer.body[: len(answer.body) // 2], "more_body": True})
    if seconds > 0 and not await _wait(receive, seconds):
        return
    _transport(send).close()
    await _gone(receive)


async def _reset(receive: Receive, send: Send) -> None:
    _transport(send).abort()
    await _gone(receive)


def _transport(send: Send) -> Any:
    """The connection behind `send`: ASGI has no way to break it, so this looks behind uvicorn's method."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("this fault needs uvicorn: its send is the method of an object that has a transport")
    return transport


async def _gone(receive: Receive) -> None:
    """Wait until the client's connection has ended."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _wait(receive: Receive, seconds: float) -> bool:
    """Wait; False when the client has given up."""
    try:
        await asyncio.wait_for(_gone(receive), seconds)
    except TimeoutError:
        return True
    return False


# Control


def _control_app(app: StandInApp) -> Starlette:
    """The application for the requests below /_standin/, and for those that nobody answers."""
    routes = [
        ("state", "GET", _get_state),
        ("clock", "POST", _post_clock),
        ("faults", "POST", _post_faults),
        ("faults", "DELETE", _delete_faults),
        ("log", "GET", _get_log),
        ("log", "DELETE", _delete_log),
    ]
    return Starlette(
        routes=[Route(f"/_standin/{name}", partial(do, app), methods=[method]) for name, method, do in routes]
    )


async def _get_state(app: StandInApp, _request: ControlRequest) -> JSONResponse:
    return JSONResponse(
        {
            "now": app.clock.now().isoformat(),
            "running": app.clock.running,
            "counts": app.journal.counts(),
            "max_in_flight": app.journal.most_in_flight(),
            "movies": app.catalogue.size,
            "faults": app.faults.pending(),
            "befallen": app.faults.befallen(),
        }
    )


async def _post_clock(app: StandInApp, request: ControlRequest) -> JSONResponse:
    try:
        order = await request.json()
        if "now" in order:
            app.clock.set(datetime.fromisoformat(order["now"]))
        if order.get("running"):
            app.clock.run()
    except (ValueError, TypeError, AttributeError) as error:
        return JSONResponse({"error": f"not a clock setting: {error}"}, status_code=400)
    return JSONResponse({"now": app.clock.now().isoformat(), "running": app.clock.running})


async def _post_faults(app: StandInApp, request: ControlRequest) -> JSONResponse:
    try:
        app.faults.add(planned_from_json(await request.json()))
    except (ValueError, TypeError, AttributeError) as error:
        return JSONResponse({"error": f"not a list of faults: {error}"}, status_code=400)
    return JSONResponse({"faults": app.faults.pending()})


async def _delete_faults(app: StandInApp, _request: ControlRequest) -> JSONResponse:
    app.faults.replace(())
    return JSONResponse({"faults": []})


async def _get_log(app: StandInApp, _request: ControlRequest) -> JSONResponse:
    return JSONResponse(app.journal.entries())


async def _delete_log(app: StandInApp, _request: ControlRequest) -> JSONResponse:
    app.journal.clear()
    return JSONResponse([])
