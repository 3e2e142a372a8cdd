"""The browser that is installed, as Playwright starts it, and what a page told while it was looked at. No tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, ViewportSize

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--no-proxy-server",
)  # fmt: skip
NARROW: ViewportSize = {"width": 390, "height": 844}
WIDE: ViewportSize = {"width": 1280, "height": 900}
LONGEST = 60_000.0
"""Milliseconds that a condition is waited for, on a busy machine."""
_A_TRY = 3_000.0
_CUT = """() => {
    document.querySelectorAll("details").forEach(each => { each.open = true; });
    return [...document.querySelectorAll("td, th")].filter(cell => {
        const box = cell.parentElement.closest(".scroll, .card"), edge = cell.getBoundingClientRect();
        return box && edge.width && edge.right > box.getBoundingClientRect().right + 1;
    }).map(cell => cell.textContent.trim());
}"""


@dataclass
class Told:
    """What came of a page beside what it shows."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """What its console said, and scripts that failed."""
    asked: set[str] = field(default_factory=set)
    """Hosts with ports that the browser asked for it."""

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than what is seen of it."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    @property
    def cut(self) -> list[str]:
        """The cells of tables that can be seen whole only by scrolling."""
        return list(self.page.evaluate(_CUT))


@contextmanager
def looking(browser: Browser, *, narrow: bool = False, dark: bool = False) -> Iterator[Told]:
    """An empty page in a profile of its own."""
    context = browser.new_context(
        viewport=NARROW if narrow else WIDE,
        color_scheme="dark" if dark else "light",
    )
    context.set_default_timeout(LONGEST)
    told = Told(context.new_page())
    told.page.on("console", lambda message: _note(told, message))
    told.page.on("pageerror", lambda error: told.complaints.append(str(error)))
    told.page.on("request", lambda request: told.asked.add(urlsplit(request.url).netloc))
    told.page.on("websocket", lambda socket: told.asked.add(urlsplit(socket.url).netloc))
    try:
        yield told
    finally:
        context.close()


def done_until(there: Locator, act: Callable[[], object]) -> None:
    """Do something until a page shows what comes of it: one whose scripts are not ready yet heeds no key."""
    from playwright.sync_api import TimeoutError as TooLate

    for _ in range(int(LONGEST / _A_TRY)):
        act()
        with suppress(TooLate):
            there.wait_for(timeout=_A_TRY)
            return
    there.wait_for(timeout=_A_TRY)


def _note(told: Told, message: Any) -> None:
    if message.type in ("error", "warning"):
        told.complaints.append(message.text)
