"""The dashboard as a web application, behind the guard: what is asked where. Puts no page together and draws none."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from ayne_dagster.collecting.stores import open_store
from ayne_dagster.config import Settings
from ayne_dagster.dashboard.catalogue import catalogue
from ayne_dagster.dashboard.front import Budget, Step, budgets, front, standing, steps
from ayne_dagster.dashboard.growth import NAMES, growth
from ayne_dagster.dashboard.health import Examine, Health
from ayne_dagster.dashboard.history import history
from ayne_dagster.dashboard.movie import movie, search
from ayne_dagster.dashboard.pages import Asked, Model, Page, Pages
from ayne_dagster.dashboard.queue import queue
from ayne_dagster.dashboard.rendering import POLICY, STATIC, one_file, page, static
from ayne_dagster.dashboard.running import RunRecords, records_of
from ayne_dagster.errors import OneLineError
from ayne_dagster.refresh.strategy import SOURCES
from ayne_dagster.runs.in_storage import LONGEST_SECONDS
from ayne_dagster.runs.recorded import Run, RunsUnknown
from ayne_dagster.serving.guard import Guard, at_hosts, framed_by_itself_alone, from_own_pages, reading_alone
from ayne_dagster.warehouse.following import following
from ayne_dagster.warehouse.one_movie import MAX_ID
from ayne_dagster.warehouse.store import WarehouseError, WrongDatabase

LOOK_SECONDS, IDLE_SECONDS, BEAT_SECONDS = 1.0, 3.0, 15.0
"""How often it is looked whether something has changed: while a run goes on, and else; and a sign of life."""
PATIENT_SECONDS = 10.0
"""How long is waited for each answer about runs where nobody waits for the page."""
MOST_LISTENERS = 32
MOST_SHOWN = 200
"""Characters of an address that a page repeats."""
_NO_PAGES = ("/live", "/part/", "/static/")
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


_WARMED: Mapping[str, Callable[[Asked], Model]] = {
    "growth": growth,  # first: it is quick, and the page about health waits for nothing else
    "front": front,
    "queue": queue,
    "history": history,
    "catalogue": catalogue,
}


class Dashboard:
    """What all pages share.

    Args:
        settings: of what.
        examine: looks at the machine, for the page about health.
        records: whom to ask for runs; it is closed with this.
        leave_out: id of a run that is not told of.
    """

    def __init__(self, settings: Settings, examine: Examine, records: RunRecords, leave_out: str = "") -> None:
        self.settings, self._records = settings, records
        self._leave_out = leave_out
        self.store = open_store(settings)
        copy = following(self.store)
        self.pages = Pages(settings, copy)
        self.health = Health(settings, copy, examine, records)
        self._lock = threading.Lock()
        self._now: tuple[float, Model] = (-LOOK_SECONDS, {})
        self._runs: tuple[object, list[Run]] = (None, [])

    def warm(self) -> None:
        """Put pages together before they are asked for; what is wrong is told to whoever asks."""
        with suppress(OneLineError):
            self.now()
            for name, work in _WARMED.items():
                self.pages.read(name, work)
        self.health.begin()  # last: it loads Dagster, which would hold up the pages that people open first

    def close(self) -> None:
        """Remove what was made for reading."""
        self.health.close()
        self.pages.close()
        self._records.close()

    @property
    def exists(self) -> bool:
        """Whether there is a database; one that cannot be had is taken for one that there is."""
        try:
            return self.store.exists
        except WarehouseError:
            return True

    @property
    def shown_name(self) -> str:
        """What a page calls the database: the name of a file, or of a lake's catalogue."""
        return self.settings.lake.database if self.settings.lake is not None else self.settings.database.name

    def now(self) -> Model:
        """What runs, how far, and the budgets; at most a second old."""
        with self._lock:
            if time.monotonic() - self._now[0] >= LOOK_SECONDS * 0.9:
                self._now = time.monotonic(), self._look()
            return self._now[1]

    def is_running(self) -> bool:
        """Whether a run goes on, as far as is known; costs next to nothing while nothing changes."""
        with suppress(RunsUnknown):
            return any(not run.is_gone for run in self._under_way())
        return False

    def hindrances(self) -> dict[str, str]:
        """By source: why it may not be asked now."""
        held = {budget.source: budget.hindrance for budget in self.now()["budgets"] if budget.hindrance}
        why = self.settings.why_no_figures_are_asked
        return held | ({"numbers": why} if why else {})

    def _under_way(self) -> list[Run]:
        stamp = self._records.stamp()
        if stamp != self._runs[0] or self._runs[1]:
            self._runs = stamp, self._told(self._records.under_way())
        return self._runs[1]

    def _told(self, runs: Iterable[Run]) -> list[Run]:
        return [run for run in runs if run.run_id != self._leave_out]

    def _look(self) -> Model:
        held, trouble = self._budgets()
        return self._look_at_runs(held) | {
            "budgets": held,
            "budget_of": {budget.source: budget for budget in held},
            "ledger_trouble": trouble,
            "has_keys": bool(self.settings.key_of("tmdb")),
        }

    def _look_at_runs(self, held: list[Budget]) -> Model:
        """What runs, else what ran last; else that nothing is recorded, or why nothing is known."""
        try:
            runs = self._under_way()
            latest = [] if runs else self._told(self._records.latest(3))
            is_recorded = bool(runs or latest) or self._records.is_recorded()
            standing_so, trouble = standing(self.settings, runs, held), ""
        except RunsUnknown as error:
            runs, latest, is_recorded = [], [], False
            standing_so, trouble = standing(self.settings, None, held), str(error)
        steps_of = self._steps(runs)
        return {
            "runs": [(run, steps_of.get(run.run_id, [])) for run in runs],
            "latest": latest,
            "standing": standing_so,
            "is_running": any(not run.is_gone for run in runs),
            "key": " ".join(f"{run.run_id}:{run.status}:{run.is_gone}" for run in runs),
            "is_recorded": is_recorded,
            "runs_trouble": trouble,
        }

    def _budgets(self) -> tuple[list[Budget], str]:
        from ayne_dagster.runs.budgets import granted  # slow to load, and the first page can do without for a moment

        now = self.settings.now()
        try:
            return budgets(granted(self.settings, now), now), ""
        except OneLineError as error:
            return [], str(error)

    def _steps(self, runs: list[Run]) -> dict[str, list[Step]]:
        if not runs:
            return {}
        name = "steps " + " ".join(run.run_id for run in runs)
        try:
            return dict(self.pages.read(name, lambda asked: dict(steps(asked, runs))).model)
        except WarehouseError:
            return {}


def create_app(settings: Settings, examine: Examine, hosts: Iterable[str] = ()) -> ASGIApp:
    """The application, guarded: asked under a name of ours, by no page of others, to read alone.

    Args:
        settings: of what.
        examine: looks at the machine.
        hosts: names besides the loopback ones under which it is asked.
    """
    shared = Dashboard(settings, examine, records_of(settings, LONGEST_SECONDS))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        threading.Thread(target=shared.warm, daemon=True).start()
        yield
        await run_in_threadpool(shared.close)

    routes = [
        Route("/", _front(shared)),
        Route("/part/now", _part(shared)),
        Route("/live", _live(shared)),
        Route("/queue", _shown(shared, "queue", queue)),
        Route("/history", _shown(shared, "history", history)),
        Route("/catalogue", _shown(shared, "catalogue", catalogue)),
        Route("/health", _health(shared)),
        Route("/search", _search(shared)),
        Route("/movie/{tmdb_id:int}", _movie(shared)),
        Route("/static/{name}", _static),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={404: _missing(shared)})
    app.state.dashboard = shared
    rules = [
        at_hosts(hosts, "AYNE_UI_HOSTS"),
        reading_alone,
        from_own_pages(lambda path: not path.startswith(_NO_PAGES)),
    ]
    return Guard(framed_by_itself_alone(app), rules)


def written(settings: Settings, leave_out: str = "") -> str:
    """The front page as one file that needs no server.

    Args:
        settings: of what.
        leave_out: id of a run that is not told of: the one that has the page written.

    Raises:
        WarehouseError: the database cannot be read.
    """
    shared = Dashboard(settings, tuple, records_of(settings, PATIENT_SECONDS), leave_out)
    try:
        found = shared.pages.read("front", front)
        return one_file("front.html", _around(shared, "front", found) | shared.now() | found.model)
    finally:
        shared.close()


Endpoint = Callable[[Request], Response]


def _front(shared: Dashboard) -> Endpoint:
    def endpoint(_: Request) -> Response:
        return _page(shared, "front", front, shared.now())

    return endpoint


def _shown(shared: Dashboard, name: str, work: Callable[[Asked], Model]) -> Endpoint:
    def endpoint(_: Request) -> Response:
        return _page(shared, name, work)

    return endpoint


def _part(shared: Dashboard) -> Endpoint:
    def endpoint(_: Request) -> Response:
        return _html(page("now.html", shared.now()))

    return endpoint


def _health(shared: Dashboard) -> Endpoint:
    def endpoint(_: Request) -> Response:
        health = shared.health
        lines = health.lines()  # before the verification begins, which would take the processors from it
        verified, verifying = health.verified()
        model = {
            "lines": lines,
            "verified": verified,
            "is_verifying": verifying,
            "files": [(NAMES[each.what], each) for each in health.files()],
            **health.runs(),
            **dict.fromkeys(("growth", "sizes", "room", "is_scarce")),
            "trouble": "",
        }
        found = None
        try:
            found = shared.pages.read("growth", growth)
            model |= found.model
        except WarehouseError as error:
            model["trouble"] = str(error)
        return _html(page("health.html", _around(shared, "health", found) | model))

    return endpoint


def _search(shared: Dashboard) -> Endpoint:
    def endpoint(request: Request) -> Response:
        text = request.query_params.get("q", "")[:400]
        return _page(shared, "search", lambda asked: search(asked, text), name=f"search {text}")

    return endpoint


def _movie(shared: Dashboard) -> Endpoint:
    def endpoint(request: Request) -> Response:
        tmdb_id = request.path_params["tmdb_id"]
        if tmdb_id > MAX_ID:
            raise HTTPException(404)
        why = shared.hindrances()
        name = f"movie {tmdb_id}"
        return _page(shared, "movie", lambda asked: movie(asked, tmdb_id, why), name=name)

    return endpoint


def _page(
    shared: Dashboard,
    template: str,
    work: Callable[[Asked], Model],
    more: Mapping[str, Any] | None = None,
    name: str = "",
) -> Response:
    """A page of the database, or what is wrong with that and what to do."""
    try:
        found = shared.pages.read(name or template, work)
    except WarehouseError as error:
        empty = isinstance(error, WrongDatabase) and not shared.exists
        model = {"trouble": str(error), "is_empty": empty} | shared.now()
        return _html(page("trouble.html", _around(shared, template, None) | model), 200 if empty else 503)
    status = 404 if template == "movie" and found.model["movie"] is None else 200
    return _html(page(f"{template}.html", _around(shared, template, found) | dict(more or {}) | found.model), status)


def _around(shared: Dashboard, name: str, found: Page | None) -> Model:
    """What every page shows around its own."""
    return {
        "page": name,
        "database": shared.shown_name,
        "as_of": found.as_of if found else shared.settings.now(),
        "note": found.note if found else "",
        "titles": {source.name: source.title for source in SOURCES.values()},
        "is_turned": bool(shared.settings.clock_offset or shared.settings.fast_clock),
    }


def _live(shared: Dashboard) -> Callable[[Request], Any]:
    """What runs, pushed while it runs: a line of JSON whenever a figure has changed."""
    listeners = set[object]()

    async def endpoint(_: Request) -> Response:
        if len(listeners) >= MOST_LISTENERS:
            return PlainTextResponse("Too many pages listen already.\n", 503)
        listener = object()

        async def events() -> AsyncIterator[str]:
            listeners.add(listener)
            try:
                async for text in _events(shared):
                    yield text
            finally:
                listeners.discard(listener)

        headers = _HEADERS | {"cache-control": "no-store"}
        return StreamingResponse(events(), media_type="text/event-stream", headers=headers)

    return endpoint


async def _events(shared: Dashboard) -> AsyncIterator[str]:
    told, was_running, beat = "", False, time.monotonic()
    yield "retry: 5000\n\n"
    while True:
        is_running = await run_in_threadpool(shared.is_running)
        if is_running or was_running:
            text = json.dumps(figures(await run_in_threadpool(shared.now)), separators=(",", ":"))
            if text != told:
                told, beat = text, time.monotonic()
                yield f"data: {text}\n\n"
        if time.monotonic() - beat >= BEAT_SECONDS:
            beat = time.monotonic()
            yield ": here\n\n"
        was_running = is_running
        await asyncio.sleep(LOOK_SECONDS if is_running else IDLE_SECONDS)


def figures(now: Model) -> dict[str, Any]:
    """What `live.js` puts into the page: texts and shares of bars by their names, and which runs they are of."""
    texts: dict[str, str] = {"standing": now["standing"]}
    shares: dict[str, float] = {}
    for run, run_steps in now["runs"]:
        for step in run_steps:
            name = f"{run.run_id}:{step.source}"
            texts |= {
                f"{name}:done": f"{step.done:,}",
                f"{name}:changed": f"{step.changed:,}",
                f"{name}:pace": f"{step.a_minute:,}",
            }
            if step.share is not None:
                shares[name] = round(step.share, 4)
    for budget in now["budgets"]:
        if budget.quota:
            texts[f"{budget.source}:spent"] = f"{budget.spent:,}"
        texts[f"{budget.source}:left"] = f"{budget.left if budget.left is not None else budget.spent:,}"
    return {"key": now["key"], "texts": texts, "shares": shares}


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        raise HTTPException(404)
    kind = STATIC[name]
    return Response(static(name), media_type=kind, headers=_HEADERS | {"cache-control": "no-cache"})


def _missing(shared: Dashboard) -> Callable[[Request, Exception], Response]:
    """A page for people who have mistyped one, asking nothing of the database; a line for what no person looks at."""

    def endpoint(request: Request, _: Exception) -> Response:
        path = request.url.path
        if path.startswith(_NO_PAGES):
            return PlainTextResponse("There is no such page.\n", 404, headers=_HEADERS)
        return _html(page("missing.html", _around(shared, "missing", None) | {"path": path[:MOST_SHOWN]}), 404)

    return endpoint


def _html(text: str, status: int = 200) -> Response:
    return HTMLResponse(text, status, headers=_HEADERS | {"cache-control": "no-store"})
