"""From TMDB's lists of countries and languages to English names by code. Which request brings them is in `client`.

https://developer.themoviedb.org/reference/configuration-countries and
https://developer.themoviedb.org/reference/configuration-languages
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ayne_dagster.sources.errors import MalformedAnswer
from ayne_dagster.sources.json_body import parse_json
from ayne_dagster.sources.values import text

LONGEST_NAME_OF_CODE = 100
MOST_CODES = 2_000


@dataclass(frozen=True, slots=True)
class CodeList:
    """One of TMDB's lists: its path, which field of a row is the code, and how codes look."""

    path: str
    field: str
    shape: re.Pattern[str]


CODE_LISTS = {
    "country": CodeList("/configuration/countries", "iso_3166_1", re.compile("[A-Z]{2}")),
    "language": CodeList("/configuration/languages", "iso_639_1", re.compile("[a-z]{2}")),
}


def names_by_code(listed: CodeList, body: bytes) -> dict[str, str]:
    """The names that a body lists, without rows that are none.

    Raises:
        MalformedAnswer: it is no list, or has no name at all.
    """
    value = parse_json(body)
    rows = value[:MOST_CODES] if isinstance(value, list) else []
    names: dict[str, str] = {}
    for row in rows:
        code, name = (row.get(listed.field), text(row.get("english_name"))) if isinstance(row, dict) else (None, None)
        is_code = isinstance(code, str) and listed.shape.fullmatch(code) is not None
        if is_code and name is not None and len(name) <= LONGEST_NAME_OF_CODE:
            names.setdefault(str(code), name)
    if not names:
        raise MalformedAnswer("a list of names that names nothing", body)
    return names
