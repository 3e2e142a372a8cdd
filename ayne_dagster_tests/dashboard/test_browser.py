"""The dashboard in a real browser: its scripts run under its own policy, say nothing wrong, and ask nobody else."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ayne_dagster.config import Settings
from ayne_dagster.dashboard.app import written
from ayne_dagster.dashboard.serving import server
from ayne_dagster.serving.listening import listen
from ayne_dagster_tests.browser.chromium import CHROMIUM
from ayne_dagster_tests.dashboard.collections import HOSTILE, collected
from ayne_dagster_tests.support.processes import LONGEST_RUN

OF_ITS_OWN = "not an origin"
"""How the browser's log calls who asked, where no page did."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.end_to_end,
    pytest.mark.timeout(400),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (make test-browser says how)"),
]


@contextmanager
def serving(settings: Settings) -> Iterator[int]:
    """The dashboard, on a port of its own."""
    with listen(0) as listener:
        served = server(settings, tuple)
        thread = threading.Thread(target=served.run, args=([listener],))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            served.should_exit = True
            thread.join(30)


def show(address: str, folder: Path) -> tuple[str, str, set[str]]:
    """What a page became, what its console said, and every origin that the browser asked for it."""
    log = folder / "net.json"
    shown = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
            "--disable-background-networking", "--disable-component-update", "--no-proxy-server", "--no-first-run",
            "--enable-logging=stderr", f"--log-net-log={log}", "--timeout=4000", "--dump-dom", address,
        ],
        capture_output=True, text=True, timeout=LONGEST_RUN, check=False,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    console = "\n".join(line for line in shown.stderr.splitlines() if "CONSOLE" in line)
    return shown.stdout, console, asked_in(log)


def asked_in(log: Path) -> set[str]:
    """Whom pages asked, by a log of the browser; what it asks on its own has no page for an origin."""
    told: dict[str, Any] = json.loads(log.read_text())
    found = [event.get("params", {}) for event in told["events"]]
    by_pages = [each for each in found if each.get("initiator", OF_ITS_OWN) != OF_ITS_OWN]
    return {urlsplit(str(each.get("url", ""))).netloc for each in by_pages}


def test_the_pages_draw_say_nothing_wrong_and_ask_nobody_else(tmp_path: Path) -> None:
    with serving(collected(tmp_path, HOSTILE)) as port:
        for number, path in enumerate(("/", "/catalogue", "/movie/550")):
            folder = tmp_path / str(number)
            folder.mkdir()
            dom, console, asked = show(f"http://127.0.0.1:{port}{path}", folder)
            assert "<canvas" in dom, "the charts are drawn"
            assert console == ""
            assert asked == {f"127.0.0.1:{port}"}


def test_the_written_page_draws_without_any_server(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(written(collected(tmp_path, HOSTILE)), "utf-8")
    dom, console, asked = show(page.as_uri(), tmp_path)
    assert "<canvas" in dom, "its script is let through by its hash"
    assert console == ""
    assert asked == set()
