"""How commands print results and say that they failed. Knows no command.

What is printed holds texts from outside: no character of theirs may steer the terminal, forge a line or be markup.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from ayne_dagster.errors import OneLineError

# Control characters (C0, DEL, C1), line separators, and what turns the direction of writing.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_BREAKS = re.compile("[\t-\r]+")
_IN_ASCII = {"→": "->", "…": "...", "–": "-", "·": "|", "×": "x", "‘": "'", "’": "'", "“": '"', "”": '"'}
"""Signs of our own, and what stands for them where a terminal has no others."""
_LABEL = re.compile(r"\s*\S(?:.*?\S)?\s{2,}(?=\S)|\s*")
"""What stands before the text of a line: a name or number with blanks behind it, or blanks alone."""


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

    What a terminal's encoding cannot show is shown in ASCII: our own signs by others, all else as an escape. Where 0, 1
    or 2 is closed, the next file that is opened (a database, say) would get its number, and with it what is printed.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    codecs.register_error("ayne", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="ayne")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an encoding lacks, and where to go on, as `codecs` asks for it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end]
    shown = (_IN_ASCII.get(sign) or sign.encode("ascii", "backslashreplace").decode("ascii") for sign in unknown)
    return "".join(shown), error.end


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
        click.echo(_without_steering(_as_json(result, ensure_ascii=not is_unicode)))
    else:
        screen, described = console(), describe(_harmless(result))
        if screen.is_terminal or "COLUMNS" in os.environ:
            described = _fitting(screen, described)
        # On a screen that is narrower than its words a table has empty columns: better long lines, which it breaks.
        screen.width = max(screen.width, _least_width(screen, described))
        screen.print(described, markup=False, soft_wrap=True)


def _as_json(result: dict[str, Any], *, ensure_ascii: bool) -> str:
    """JSON knows neither NaN nor infinity, which Python would write all the same: such a number is null."""
    try:
        return json.dumps(result, ensure_ascii=ensure_ascii, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(result), ensure_ascii=ensure_ascii, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _fitting(screen: Any, described: Any) -> Any:
    """A result within the width of the screen: lines broken between words, a table that is too wide a row at a time."""
    from rich.table import Table

    if isinstance(described, str):
        return _lines_within(described, screen.width)
    if isinstance(described, Table):
        if _least_width(screen, described) > screen.width:
            return _row_by_row(described, screen.width)
        for side in ("title", "caption"):
            if isinstance(text := getattr(described, side), str):
                setattr(described, side, _lines_within(text, screen.width))
    return described


def _lines_within(text: str, width: int) -> str:
    """A text of some lines, each as several where it is too long."""
    return "\n".join(_broken(line, width) for line in text.split("\n"))


def _broken(line: str, width: int) -> str:
    """A line as several, the further ones below the text of the first. A word longer than a line stays whole."""
    if len(line) <= width:
        return line
    before = _LABEL.match(line)
    indent = before.end() if before else 0
    indent = indent if indent <= width // 2 else 4
    return textwrap.fill(
        line,
        width,
        subsequent_indent=" " * indent,
        drop_whitespace=True,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _row_by_row(described: Any, width: int) -> str:
    """A table with a line a cell, under the headings of its columns; a blank line after each row."""
    headings = [str(column.header) for column in described.columns]
    widest = max(map(len, headings))
    blocks = [_broken(described.title, width)] if isinstance(described.title, str) else []
    for row in zip(*(column.cells for column in described.columns), strict=True):
        below = "\n" + " " * (widest + 2)  # further lines of a cell stand under its first
        cells = [
            f"{heading:{widest}}  {str(cell).replace(chr(10), below)}"
            for heading, cell in zip(headings, row, strict=True)
            if str(cell)
        ]
        blocks.append(_lines_within("\n".join(cells), width))
    if isinstance(described.caption, str):
        blocks.append(_lines_within(described.caption, width))
    return "\n\n".join(blocks)


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
