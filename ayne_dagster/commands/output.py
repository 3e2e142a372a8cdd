"""How commands print results and say that they failed. Knows no command."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

import click


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
        click.echo(json.dumps(result, ensure_ascii=False, default=str))
    else:
        console().print(describe(result), markup=False, soft_wrap=True)


def console(*, stderr: bool = False) -> Any:
    """A terminal of rich, or what stands for one."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def table(*headings: str) -> Any:
    """An empty table for a terminal."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    return table
