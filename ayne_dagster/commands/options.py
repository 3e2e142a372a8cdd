"""Options and types of arguments that several commands share. No command of its own."""

from __future__ import annotations

import math
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from ayne_dagster.partitions import FIRST_YEAR, LAST_YEAR
from ayne_dagster.settings.places import WrongPlace, expanded
from ayne_dagster.settings.variables import did_you_mean

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")


class TmdbId(click.IntRange):
    """A movie's id at TMDB."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The id."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(
                f"{value!r} is no TMDB id, which is a number such as 550: `ayne show TITLE` finds it.", param, ctx
            )


TMDB_ID = TmdbId(1, 2**63 - 1)


class FilePath(click.Path):
    """A path that every program can be told: DuckDB takes no bytes that are not UTF-8, nor anybody a zero byte."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        text = os.fspath(value)
        if not isinstance(text, str) or not text.isprintable():
            self.fail(f"{text!r} is no path of printable characters.", param, ctx)
        if not text.strip():
            self.fail("An empty path names nothing.", param, ctx)
        try:
            return super().convert(expanded(text), param, ctx)
        except WrongPlace as error:
            self.fail(str(error), param, ctx)


class OneOf(click.Choice[str]):
    """One of some words; a word that is like one of them is told with it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The word."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(f"{error.message}{did_you_mean(str(value), self.choices)}", param, ctx)


class Number(click.FloatRange):
    """A number within bounds: NaN, which no bound keeps out, and infinity are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number that can be reckoned with.", param, ctx)
        return number


class Instant(click.ParamType):  # type: ignore[type-arg]
    """A day or instant; without a time zone, UTC."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The instant, aware UTC."""
        if isinstance(value, datetime):
            return value
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date such as 2026-03-31 or 2026-03-31T18:00.", param, ctx)
        if not FIRST_YEAR <= instant.year < 2200:
            self.fail(f"{value!r} is too far from today to decide anything.", param, ctx)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


class Since(Instant):
    """A day or instant, or how long before the present: 7d, 36h."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The instant, aware UTC; or the time before the present."""
        ago = re.fullmatch(r"([0-9]{1,5})([dh])", str(value))
        if ago:
            return timedelta(days=int(ago[1])) if ago[2] == "d" else timedelta(hours=int(ago[1]))
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(f"{error.message.removesuffix('.')}, nor a time such as 7d or 36h.", param, ctx)


class Year(click.ParamType):  # type: ignore[type-arg]
    """A release year that has a partition."""

    name = "year"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The year."""
        text = str(value)
        if not (text.isascii() and text.isdigit() and FIRST_YEAR <= int(text) <= LAST_YEAR):
            self.fail(f"{text!r} is no year from {FIRST_YEAR} to {LAST_YEAR}.", param, ctx)
        return int(text)


as_of_option = click.option("--as-of", type=Instant(), help="Decide for this day (UTC) instead of now.")

sure_option = click.option(
    "--sure",
    is_flag=True,
    help="The clock is right: do it also where what the database noted speaks against that.",
)
"""A person's word, which no command that runs by itself should give."""
