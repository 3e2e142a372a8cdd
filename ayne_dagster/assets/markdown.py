"""Tables in Markdown for Dagster's UI, of texts that come from outside. What stands in them is the assets' to say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def escaped(value: object) -> str:
    """A value as what it says, whatever that is: a title is no link, picture or column. Nothing for None.

    A backslash makes any punctuation plain: https://spec.commonmark.org/0.31.2/#backslash-escapes
    """
    return "" if value is None else _PUNCTUATION.sub(r"\\\1", _CONTROL.sub(" ", str(value)))


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose cells are shown as they are."""
    lines = [[escaped(heading) for heading in headings], ["---"] * len(headings)]
    lines += [[escaped(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
