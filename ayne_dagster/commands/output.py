"""How commands print results and say that they failed. Knows no command.

What is printed holds texts from outside: no character of theirs may steer the terminal, forge a line or be markup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

import click

# Control characters (C0, DEL, C1), line separators, and what turns the direction of writing.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_BREAKS = re.compile("[\t-\r]+")


class CommandFailed(Exception):
    """The command could not do what it was asked; the text is for the person."""


def fail(message: str) -> NoReturn:
    """End the command with exit code 1 and this line on stderr.

    Raises:
        CommandFailed: always.
    """
    raise CommandFailed(message)


def print_result(result: dict[str, Any], as_json: bool, describe: Callable[[dict[str, Any]], Any]) -> None:
    """Print a result on stdout: as one JSON object, or as `describe` puts it for a person."""
    if as_json:
        click.echo(_without_steering(json.dumps(result, ensure_ascii=False, default=str)))
    else:
        console().print(describe(_harmless(result)), markup=False, soft_wrap=True)


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

    return Console(stderr=stderr, highlight=False, emoji=False)


def table(*headings: str) -> Any:
    """An empty table for a terminal."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    return table
