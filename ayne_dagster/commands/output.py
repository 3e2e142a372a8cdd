"""How commands print results and say that they failed. Knows no command.

What is printed holds texts from outside: no character of theirs may steer the terminal, forge a line or be markup.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from ayne_dagster.errors import OneLineError

# Control characters (C0, DEL, C1), line separators, and what turns the direction of writing.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_BREAKS = re.compile("[\t-\r]+")


class CommandFailed(OneLineError):
    """The command could not do what it was asked; the text is for the person."""


class OutputLost(OneLineError):
    """What the command has to tell cannot be written."""


def fail(message: str) -> NoReturn:
    """End the command with exit code 1 and this line on stderr.

    Raises:
        CommandFailed: always.
    """
    raise CommandFailed(message)


def make_streams_usable() -> None:
    """Have no terminal, locale or closed stream be a reason to fail. For the start of a process alone.

    What a terminal's encoding cannot show is shown as an escape. Where 0, 1 or 2 is closed, the next file that is
    opened (a database, say) would get its number, and with it whatever is printed.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_stdout() -> None:
    """Have what was printed really written; Python would do so when it is too late to tell that it failed.

    Raises:
        OutputLost: it cannot be written.
    """
    with writing():
        if sys.stdout is not None:
            sys.stdout.flush()


@contextmanager
def writing() -> Iterator[None]:
    """Within the block, what cannot be written to stdout is an error of one line.

    Raises:
        OutputLost: it cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        give_up_stdout()
        raise OutputLost(f"The output cannot be written: {error.strerror or error}.") from None


def give_up_stdout() -> None:
    """Let nobody write to stdout any more, nor Python when it ends."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 -- for the rest of the process


def give_up_stderr() -> None:
    """The same for stderr."""
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 -- for the rest of the process


def print_result(result: dict[str, Any], as_json: bool, describe: Callable[[dict[str, Any]], Any]) -> None:
    """Print a result on stdout: as one JSON object, or as `describe` puts it for a person.

    Raises:
        OutputLost: it cannot be written.
    """
    with writing():
        _print(result, as_json, describe)


def _print(result: dict[str, Any], as_json: bool, describe: Callable[[dict[str, Any]], Any]) -> None:
    if as_json:
        # What another encoding cannot hold is escaped as JSON has it.
        is_unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
        click.echo(_without_steering(json.dumps(result, ensure_ascii=not is_unicode, default=str)))
    else:
        screen, described = console(), describe(_harmless(result))
        # On a screen that is narrower than its words a table has empty columns: better long lines, which it breaks.
        screen.width = max(screen.width, _least_width(screen, described))
        screen.print(described, markup=False, soft_wrap=True)


def _least_width(screen: Any, described: Any) -> int:
    """Columns that a result needs, with its words whole."""
    from rich.measure import Measurement

    unbounded = screen.options.update(width=10_000)
    return Measurement.get(screen, unbounded, described).minimum


def one_line(text: str) -> str:
    """A text as one line; characters that steer a terminal are shown as escapes."""
    return _without_steering(_BREAKS.sub(" ", text))


def _without_steering(text: str) -> str:
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _harmless(value: Any) -> Any:
    """A result with every text in it as `one_line`."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        return {_harmless(k): _harmless(v) for k, v in value.items()}
    return [_harmless(item) for item in value] if isinstance(value, list | tuple) else value


def console(*, stderr: bool = False) -> Any:
    """A terminal of rich, or what stands for one."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, emoji=False, markup=False)


def table(*headings: str) -> Any:
    """An empty table for a terminal."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    return table
