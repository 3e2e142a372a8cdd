"""Titles as a file writes them, made readable: wrong encodings undone, entities of HTML, a year in brackets.

How titles are compared is in `warehouse.matching`; nothing is simplified here.
"""

from __future__ import annotations

import html
import re

import ftfy

from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR
from ayne_dagster.sources import values

_YEAR_BEHIND = re.compile(r"(.*\S)\s*[\[(]([0-9]{4})[\])]", re.DOTALL)
_BRACKETS_BEHIND = re.compile(r"(.*\S)\s*\(([^()]+)\)", re.DOTALL)
_NO_OTHER_TITLE = re.compile(
    r"[0-9]|\b(?:re-?issue|re-?release|part|vol|imax|cut|edition|version|extended)\b", re.IGNORECASE
)
"""What in brackets behind a title makes it another movie, or another run of it."""
_NO_TITLE = {"", "n/a", "#n/a", "nan", "<na>"}
"""Fewer than stand for an unknown number: there are movies called Unknown, None and $."""
_RESEMBLES_BYTES = re.compile("[\x80-\xff]|[^\x00-\x7f][\u2000-\u2122]")


def title(cell: object) -> str | None:
    """A title as one line; None for none.

    UTF-8 that was read as Latin-1 or cp1252 ("AmÃ©lie"), and entities of HTML ("&uuml;"), are undone: of 119 such
    titles in a published table this mends 118, a plain change of encodings 114.
    """
    if isinstance(cell, str):
        if cell.strip().lower() in _NO_TITLE:
            return None
        cell = html.unescape(cell[: values.LONGEST_TEXT])
        if _RESEMBLES_BYTES.search(cell):  # before control characters go: they may be bytes of a letter
            cell = ftfy.fix_encoding(cell)
    elif isinstance(cell, float):
        return None
    found = values.text(cell)
    return None if found is None else values.cut(" ".join(found.split()), values.LONGEST_NAME)


def year_behind(found: str) -> tuple[str, int | None]:
    """A title without the year in brackets behind it, and that year: "Heat (1995)" is Heat, of 1995."""
    match = _YEAR_BEHIND.fullmatch(found)
    if match is None or not FIRST_YEAR <= int(match[2]) <= LAST_YEAR:
        return found, None
    return match[1], int(match[2])


def other_titles(found: str) -> tuple[str, ...]:
    """What else a title may be: "A Prophet (Un prophète)" is A Prophet, or Un prophète; nothing for most."""
    match = _BRACKETS_BEHIND.fullmatch(found)
    if match is None or _NO_OTHER_TITLE.search(match[2]):
        return ()
    return match[1], match[2].strip()
