"""A mapping: a TOML file in which a user says what the columns of a file of figures are. Errors name their place."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR
from ayne_dagster.sources.figure_files.errors import FigureFileError
from ayne_dagster.sources.figure_files.layouts import MEASURES, SCOPES, FigureColumn, Layout

MOST_BYTES = 2**20
ROLES = ("title", "year", "imdb_id", "tmdb_id", "currency", "as_of")
"""Keys of `[columns]`."""
_KEYS = ("name", "encoding", "separator", "decimal_mark", "currency", "unit", "year", "columns", "figures")
_FIGURE_KEYS = ("column", "measure", "scope", "currency", "unit")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def read_mapping(path: Path) -> Layout:
    """The layout that a mapping describes.

    Raises:
        FigureFileError: it cannot be read, is no TOML, or says something that is no layout; with line or key.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise FigureFileError(f"The mapping {path} cannot be read ({error.strerror}); nothing was changed.") from None
    if len(content) > MOST_BYTES:
        raise FigureFileError(f"The mapping {path} is larger than {MOST_BYTES // 2**20} MB: it is none.")
    try:
        said = tomllib.loads(content.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeError, RecursionError) as error:
        raise FigureFileError(f"The mapping {path} is no TOML: {error}.") from None
    return _Reader(path).layout(said)


class _Reader:
    """Reads what a mapping says, key by key."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def layout(self, said: Mapping[str, Any]) -> Layout:
        """The layout of a whole mapping."""
        self._known_keys(said, _KEYS, "")
        roles = self._roles(said.get("columns", {}))
        figures = self._figures(said)
        name = self._text(said, "name", "") or "mapping"
        if not _NAME.fullmatch(name):
            raise self._wrong("name", name, "a name of small letters, digits and underscores")
        if not roles.keys() & {"title", "imdb_id", "tmdb_id"}:
            raise self._error("columns: title, imdb_id or tmdb_id must be there, to know which movie a row is of")
        year = said.get("year")
        if year is not None and (type(year) is not int or not FIRST_YEAR <= year <= LAST_YEAR):
            raise self._wrong("year", year, f"a year from {FIRST_YEAR} to {LAST_YEAR}")
        return Layout(
            name,
            figures,
            roles,
            year=year,
            encoding=self._encoding(said),
            separator=self._one_of(said, "separator", (",", ";", "\t", "|")),
            decimal_mark=self._one_of(said, "decimal_mark", (".", ",")),
        )

    def _roles(self, columns: object) -> dict[str, Sequence[str]]:
        if not isinstance(columns, dict):
            raise self._wrong("columns", columns, 'a table: [columns], then title = "Film" and the like')
        self._known_keys(columns, ROLES, "columns.")
        return {role: [self._text(columns, role, "columns.") or ""] for role in columns}

    def _figures(self, said: Mapping[str, Any]) -> tuple[FigureColumn, ...]:
        listed = said.get("figures")
        if not isinstance(listed, list) or not listed or not all(isinstance(item, dict) for item in listed):
            raise self._error("figures: say at least once [[figures]], with column, measure and scope")
        found = []
        for number, item in enumerate(listed, 1):
            where = f"figures[{number}]."
            self._known_keys(item, _FIGURE_KEYS, where)
            measure = self._one_of(item, "measure", MEASURES, where)
            column = self._text(item, "column", where)
            if measure is None or column is None:
                raise self._error(f"{where}{'column' if column is None else 'measure'} is missing")
            scope = self._scope(item, measure, where)
            currency = self._currency(item, where) or self._currency(said, "") or "USD"
            unit = self._unit(item, where) or self._unit(said, "") or Decimal(1)
            found.append(FigureColumn(column, measure, scope, currency, unit))
        return tuple(found)

    def _scope(self, item: Mapping[str, Any], measure: str, where: str) -> str:
        scope = self._text(item, "scope", where)
        if scope is None:
            if measure == "gross":
                raise self._error(f"{where}scope is missing: {', '.join(SCOPES)}, or a country such as GB")
            return "domestic" if measure == "opening_weekend" else "unspecified"
        if scope in SCOPES or re.fullmatch(r"[A-Z]{2}", scope):
            return scope
        raise self._wrong(
            f"{where}scope", scope, f"{', '.join(SCOPES)}, or a country of two capital letters such as GB"
        )

    def _currency(self, said: Mapping[str, Any], where: str) -> str | None:
        currency = self._text(said, "currency", where)
        if currency is not None and not re.fullmatch(r"[A-Z]{3}", currency):
            raise self._wrong(f"{where}currency", currency, "an ISO 4217 code of three capital letters such as USD")
        return currency

    def _unit(self, said: Mapping[str, Any], where: str) -> Decimal | None:
        unit = said.get("unit")
        if unit is None:
            return None
        if type(unit) is not int or unit not in (1, 1_000, 1_000_000, 1_000_000_000):
            raise self._wrong(f"{where}unit", unit, "1, 1000, 1000000 or 1000000000")
        return Decimal(unit)

    def _encoding(self, said: Mapping[str, Any]) -> str | None:
        encoding = self._text(said, "encoding", "")
        if encoding is None:
            return None
        try:
            codec = codecs.lookup(encoding)
        except (LookupError, ValueError):
            codec = None
        if codec is None or not getattr(codec, "_is_text_encoding", True):
            raise self._wrong("encoding", encoding, "an encoding such as utf-8, cp1252 or utf-16")
        return codec.name

    def _one_of(self, said: Mapping[str, Any], key: str, allowed: Sequence[str], where: str = "") -> str | None:
        value = said.get(key)
        if value is not None and value not in allowed:
            raise self._wrong(f"{where}{key}", value, f"one of {', '.join(map(repr, allowed))}")
        return value

    def _text(self, said: Mapping[str, Any], key: str, where: str) -> str | None:
        value = said.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise self._wrong(f"{where}{key}", value, "a text in quotation marks")
        return value.strip() if value is not None else None

    def _known_keys(self, said: Mapping[str, Any], known: Sequence[str], where: str) -> None:
        for key in said:
            if key not in known:
                near = get_close_matches(key, known, 1)
                hint = f"; is {near[0]} meant?" if near else f"; there are {', '.join(known)}"
                raise self._error(f"there is no key {where}{key}{hint}")

    def _wrong(self, key: str, value: object, must: str) -> FigureFileError:
        return self._error(f"{key} must be {must}, and is {str(value)[:60]!r}")

    def _error(self, what: str) -> FigureFileError:
        return FigureFileError(f"The mapping {self._path}: {what}.")
