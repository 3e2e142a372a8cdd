"""The process of a command, where it is its own: then it may end, or begin anew, whatever its threads are at.

Tests and programs run commands in a process of theirs, which is left alone.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from ayne_dagster.errors import FAILED

_SHOW_CURSOR = "\x1b[?25h"
_owned = False


class CommandProcess:
    """This process."""

    def begin_anew(self, command: str, *more: str) -> NoReturn:
        """Run a command again in place of this, with its arguments and more: all that is open and locked is let go."""
        # DuckDB opens its files such that they would stay open, and locked, in what follows.
        for descriptor in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
            if descriptor > 2:
                with suppress(OSError):
                    os.set_inheritable(descriptor, False)
        again = [sys.executable, "-m", "ayne_dagster", command, *more, *sys.argv[2:]]
        os.execv(sys.executable, again)  # noqa: S606 -- no shell is wanted

    def end(self, why: str) -> NoReturn:
        """End at once, with an error in a line; what was printed is printed."""
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{_SHOW_CURSOR if sys.stderr.isatty() else ''}ayne: {why}\n")
            sys.stderr.flush()
        os._exit(FAILED)


def own() -> None:
    """Say that this process is the command's own."""
    global _owned
    _owned = True


def command_process() -> CommandProcess | None:
    """This process, where it is the command's own."""
    return CommandProcess() if _owned else None
