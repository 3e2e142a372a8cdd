"""Telling a person that a command is at work, where it says nothing else for more than a second. Measures nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

AFTER_SECONDS = 1.0
LINE_SECONDS = 15.0
"""Before the first line where there is no terminal, and between two."""


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show on stderr, for as long as the block takes, what is done.

    On a terminal it is a line that moves, from the first second on, and is gone afterwards; elsewhere a line now and
    then.

    Args:
        what: as a person says it: "Reading every row".
    """
    ended = threading.Event()
    thread = threading.Thread(target=_tell, args=(what, ended), name="ayne-working", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _tell(what: str, ended: threading.Event) -> None:
    started = time.monotonic()
    is_terminal = sys.stderr.isatty()
    if ended.wait(AFTER_SECONDS if is_terminal else LINE_SECONDS):
        return
    if is_terminal:
        from ayne_dagster.commands.output import console

        with console(stderr=True).status(f"{what} …") as shown:
            while not ended.wait(AFTER_SECONDS):
                shown.update(f"{what} … {time.monotonic() - started:,.0f} s")
        return
    while True:
        click.echo(f"{what}: {time.monotonic() - started:,.0f} s so far", err=True)
        if ended.wait(LINE_SECONDS):
            return
