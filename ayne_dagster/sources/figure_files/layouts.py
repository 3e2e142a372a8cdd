"""What the columns of a file of figures are: the layouts that are known, and how one is recognised by its columns.

A layout says where title, year and ids of a row are, and of which measure, scope, currency and unit each column of
figures is. Layouts of one's own come from `mapping`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from ayne_dagster.sources.figure_files.errors import FigureFileError

MEASURES = ("gross", "opening_weekend", "production_budget")
WORLDWIDE, DOMESTIC, INTERNATIONAL, UNSPECIFIED = "worldwide", "domestic", "international", "unspecified"
SCOPES = (WORLDWIDE, DOMESTIC, INTERNATIONAL, UNSPECIFIED, "other")
"""Beside the countries, as ISO 3166-1 codes of two letters."""

ROLES = ("tmdb_id", "imdb_id", "title", "year", "currency", "as_of", "opus_id")
"""What a column can be that has no figures; `opus_id` is OpusData's own number of a movie."""


@dataclass(frozen=True, slots=True)
class FigureColumn:
    """A column of figures: what they measure, of where, in which currency, and in units of how much."""

    column: str
    measure: str
    scope: str
    currency: str = "USD"
    unit: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in a file what stands. Columns are named as the file names them."""

    name: str
    figures: tuple[FigureColumn, ...]
    roles: Mapping[str, Sequence[str]]
    """By role: the columns that may have it, the first that a row has a value in counts."""
    year: int | None = None
    """Of all rows, where no column has it."""
    adds_up: bool = False
    """A worldwide gross is worked out as domestic and international where the file has none."""
    encoding: str | None = None
    separator: str | None = None
    decimal_mark: str | None = None

    @property
    def columns(self) -> Iterator[str]:
        """Every column that is looked at."""
        yield from (figure.column for figure in self.figures)
        for names in self.roles.values():
            yield from names


@dataclass(frozen=True, slots=True)
class _Known:
    """A layout that is recognised by its columns, by their plain names (`plain_name`)."""

    name: str
    required: tuple[tuple[str, ...], ...]
    """Of each of these one must be there."""
    roles: Mapping[str, tuple[str, ...]]
    figures: Mapping[str, tuple[str, str]]
    """By column: measure and scope."""
    adds_up: bool = False


_BUDGET = ("production_budget", UNSPECIFIED)
_OPUSDATA = {
    "domestic_box_office": ("gross", DOMESTIC),
    "international_box_office": ("gross", INTERNATIONAL),
    "production_budget": _BUDGET,
    "opening_weekend_revenue": ("opening_weekend", DOMESTIC),
}
_SIMPLE_FIGURES = {
    **dict.fromkeys(("worldwide_gross", "worldwide", "worldwide_box_office"), ("gross", WORLDWIDE)),
    **dict.fromkeys(("domestic_gross", "domestic", "domestic_box_office"), ("gross", DOMESTIC)),
    **dict.fromkeys(("international_gross", "international", "international_box_office"), ("gross", INTERNATIONAL)),
    **dict.fromkeys(("opening_weekend", "opening_weekend_gross"), ("opening_weekend", DOMESTIC)),
    **dict.fromkeys(("production_budget", "budget"), _BUDGET),
}
_TITLES = ("title", "movie", "film", "movie_title", "movie_name")
_DATES = ("release_date", "releasedate", "release_year", "year")

KNOWN = (
    _Known(
        "opusdata_extract",
        (("movie_odid",), ("display_name",), tuple(_OPUSDATA)),
        {
            "opus_id": ("movie_odid",),
            "title": ("display_name",),
            "year": ("release_date", "worldwide_release_date", "production_year"),
        },
        _OPUSDATA,
        adds_up=True,
    ),
    _Known(
        "opusdata_one_file",
        (("movie_odid",), ("movie_name",), tuple(_OPUSDATA)),
        {"title": ("movie_name",), "year": ("release_date", "production_year")},
        _OPUSDATA,
        adds_up=True,
    ),
    _Known(
        "the_numbers_budgets",
        (("movie",), ("release_date", "releasedate"), ("production_budget",), ("worldwide_gross",)),
        {"title": ("movie",), "year": ("release_date", "releasedate")},
        {
            "production_budget": _BUDGET,
            "domestic_gross": ("gross", DOMESTIC),
            "worldwide_gross": ("gross", WORLDWIDE),
        },
    ),
    _Known(
        "box_office_mojo_year",
        (("release_group", "release"), ("worldwide",), ("domestic",), ("foreign",)),
        {"title": ("release_group", "release"), "year": ("year",)},
        {
            "worldwide": ("gross", WORLDWIDE),
            "domestic": ("gross", DOMESTIC),
            "foreign": ("gross", INTERNATIONAL),
        },
    ),
    _Known(
        "box_office_mojo_gross",
        (("title",), ("domestic_gross",), ("foreign_gross",), ("year",)),
        {"title": ("title",), "year": ("year",)},
        {"domestic_gross": ("gross", DOMESTIC), "foreign_gross": ("gross", INTERNATIONAL)},
        adds_up=True,
    ),
    _Known(
        "bechdel",
        (("imdb",), ("title",), ("domgross",), ("intgross",)),
        {"imdb_id": ("imdb",), "title": ("title",), "year": ("year",)},
        {
            "budget": _BUDGET,
            "domgross": ("gross", DOMESTIC),
            "intgross": ("gross", WORLDWIDE),  # called international there, and never below the domestic one
        },
    ),
    _Known(
        "simple",
        ((*_TITLES, "imdb_id", "tmdb_id"), tuple(_SIMPLE_FIGURES)),
        {
            "tmdb_id": ("tmdb_id",),
            "imdb_id": ("imdb_id",),
            "title": _TITLES,
            "year": _DATES,
            "currency": ("currency",),
            "as_of": ("as_of",),
        },
        _SIMPLE_FIGURES,
    ),
)
"""In the order in which they are tried."""


def plain_name(column: str) -> str:
    """A column's name in small letters, its words joined: "Production Budget ($)" is production_budget."""
    return re.sub(r"[\W_]+", "_", column.lower()).strip("_")


def recognised(columns: Sequence[str]) -> Layout | None:
    """The known layout that a file's columns have; None where they have none.

    Of columns of one name the first counts.
    """
    names: dict[str, str] = {}
    for column in columns:
        names.setdefault(plain_name(column), column)
    known = next((k for k in KNOWN if all(any(n in names for n in choice) for choice in k.required)), None)
    if known is None:
        return None
    roles = {role: [names[n] for n in choice if n in names] for role, choice in known.roles.items()}
    figures = [FigureColumn(names[n], *what) for n, what in known.figures.items() if n in names]
    return Layout(known.name, tuple(figures), {r: found for r, found in roles.items() if found}, adds_up=known.adds_up)


def overlooked(layout: Layout, columns: Sequence[str]) -> list[str]:
    """The columns that a layout does not read though they are called as if they held figures."""
    used = set(layout.columns)
    return [c for c in columns if c not in used and re.search("gross|box_?office|budget|revenue", plain_name(c))]


def doubled(layout: Layout, columns: Sequence[str]) -> list[str]:
    """The columns that a layout reads and that a file has more than once: the first is read."""
    return [column for column in dict.fromkeys(layout.columns) if columns.count(column) > 1]


def with_year_of_name(layout: Layout, file_name: str) -> Layout:
    """A layout that has no column for years, with the one year that is in the file's name, as in "2019.csv"."""
    if layout.roles.get("year") or layout.year is not None:
        return layout
    years = {int(found) for found in re.findall(r"(?<![0-9])((?:19|20)[0-9]{2})(?![0-9])", file_name)}
    return replace(layout, year=years.pop()) if len(years) == 1 else layout


def places(layout: Layout, columns: Sequence[str], where: str) -> Callable[[str], int]:
    """Where in a row a column of a layout is, by its name; of several of one name the first.

    Args:
        layout: the layout.
        columns: the names of the file's columns.
        where: the file, for the message.

    Raises:
        FigureFileError: the file has no such column.
    """
    found: dict[str, int] = {}
    for place, column in enumerate(columns):
        found.setdefault(column, place)
    absent = next((column for column in layout.columns if column not in found), None)
    if absent is not None:
        raise FigureFileError(f"{where} has no column {absent!r}, which the mapping names; {told_columns(columns)}.")
    return found.__getitem__


def told_columns(columns: Sequence[str]) -> str:
    """A file's columns, for a message."""
    return f"it has {told_names(columns)}"


def told_names(columns: Sequence[str]) -> str:
    """Names of columns, the first of many."""
    shown = [repr(column[:40]) for column in columns[:12]]
    return f"{', '.join(shown)}{f' and {len(columns) - 12:,} more' if len(columns) > 12 else ''}"


def unrecognised(columns: Sequence[str], where: str) -> FigureFileError:
    """The error for a file of no known layout."""
    return FigureFileError(
        f"{where} has none of the layouts that are known ({', '.join(known.name for known in KNOWN)}); "
        f"{told_columns(columns)}. Say in a mapping which is what (--mapping FILE.toml, docs/box-office.md)."
    )
