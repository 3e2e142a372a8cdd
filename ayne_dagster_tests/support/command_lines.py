"""Whether a line that somebody is told to type can be typed: read as shell, click and make would. Nothing is run."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from functools import cache
from pathlib import Path

import click

from ayne_dagster.cli import ayne

ROOT = Path(__file__).parents[2]
FOREIGN = frozenset(
    {
        "cd",
        "chmod",
        "cp",
        "curl",
        "dagster",
        "datasette",
        "docker",
        "export",
        "git",
        "helm",
        "kubectl",
        "pip",
        "python",
        "python3",
        "rm",
        "rsync",
        "source",
        "ssh",
    }
) | {"sudo", ".venv/bin/python"}
"""Programs of others that are named; the platform's own are `ayne`, `make` and `.ci/run`."""


@cache
def make_targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def check_command(words: list[str]) -> None:
    """Have click read what follows `ayne`, up to what would be done.

    Raises:
        click.UsageError: it is no command, or not with these arguments.
    """
    command: click.Command = ayne
    context = click.Context(ayne, info_name="ayne")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    with suppress(click.exceptions.Exit):  # --help, --version
        command.make_context(context.info_name, list(words), parent=context.parent)


def check_line(line: str) -> None:
    """A command, perhaps with variables before it and the rest of a pipe behind it.

    Raises:
        click.UsageError: `ayne` would refuse it.
        AssertionError: it is a program, a target or a file that does not exist.
    """
    words = shlex.split(line.replace("$(date +%u)", "1"), comments=True)
    words = words[next(n for n, w in enumerate(words) if not re.match("[A-Z_]+=", w)) :]
    words = words[: next((n for n, w in enumerate(words) if w == "|" or re.match(r"\d?>", w)), len(words))]
    words = _without_wrapper(words)
    if Path(words[0]).name == "ayne":
        check_command(words[1:])
    elif words[0] == "make":
        assert {w for w in words[1:] if "=" not in w and not w.startswith((".venv", "-"))} <= make_targets(), line
    elif words[0] == ".ci/run":
        assert (ROOT / words[0]).exists()
    else:
        assert words[0] in FOREIGN, f"{line}: a program that no test knows"


def _without_wrapper(words: list[str]) -> list[str]:
    """The command that `sudo` or `docker compose exec` is to run, where it is `ayne`."""
    if words[0] == "sudo":
        return next((words[n:] for n, w in enumerate(words) if w.endswith("bin/ayne")), words)
    if words[0] == "docker":
        return next((words[n:] for n, w in enumerate(words) if w == "ayne"), words)
    return words
