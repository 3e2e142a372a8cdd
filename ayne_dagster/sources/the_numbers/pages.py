"""From a movie page of The Numbers to its title, year and figures. No HTTP; which film was meant is asked elsewhere.

Read by the standard library's parser of HTML, which builds no tree: the trees that the HTML standard prescribes grow
with the square of a page that means harm (53 KB made 4.7 GB of one), and three labels in tables need none. It is not
closed: what stands unfinished at the end of a page is left alone, and cannot be gone over again and again.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from decimal import Decimal
from html.parser import HTMLParser

from ayne_dagster.sources.errors import MalformedAnswer

SOURCE = "the_numbers"
FINANCES = "movie_finances"
"""Id of the table with the totals."""
TOTALS = {
    "domestic box office": ("gross", "domestic"),
    "international box office": ("gross", "international"),
    "worldwide box office": ("gross", "worldwide"),
}
"""Measure and scope by label, in that table alone."""
METRICS = {
    "opening weekend": ("opening_weekend", "domestic"),
    "production budget": ("production_budget", "unspecified"),
}
"""The same in any table. The first weekend is that in the US and Canada, limited openings included."""
MOST_BYTES = 1_000_000
"""Of a page; those with a year of daily figures have a third of it."""
LARGEST = Decimal(10) ** 16
"""DECIMAL(18,2) ends below it."""
_MOST_DEPTH = 50
"""Of tables in tables; what is deeper is not read."""
_LONGEST_CELL = 400
"""Characters of a cell or heading that count."""
_MOST_HEADINGS = 20
_CELLS = frozenset(("td", "th", "dt", "dd"))
_TABLES = frozenset(("table", "dl"))
_ROWS = frozenset(("tr", "dt"))
_UNSEEN = frozenset(("script", "style"))
_MONEY = re.compile(r"\$ ?([0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,20})(\.[0-9]{1,2})?(?: ?\(.*| Details)?", re.DOTALL)
_YEAR = re.compile(r"(.*\S) ?\(([0-9]{4})(?![0-9])[^()]{0,20}\)", re.DOTALL)

Figure = dict[str, object]
"""A row: source, measure, scope, currency, source_ref, amount, as_of, preferred, derived, suspect."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a movie page says."""

    title: str
    year: int | None
    """Of the release, where the heading names it."""
    amounts: dict[str, Decimal]
    """US dollars, by label in small letters; what is unknown is left out."""

    def figures(self, url: str) -> list[Figure]:
        """The rows that the page states, in a fixed order.

        Args:
            url: address of the page.
        """
        meanings = TOTALS | METRICS
        rows = ((label, amount, *meanings[label]) for label, amount in self.amounts.items())
        return sorted((_row(url, *row) for row in rows), key=lambda row: (str(row["measure"]), str(row["scope"])))


def read_page(body: bytes) -> Page:
    """Read a movie page.

    "$0", "n/a", dashes, nothing, and a row that is not there all mean unknown.

    Args:
        body: as received; UTF-8, or else a Western encoding.

    Raises:
        MalformedAnswer: it is no movie page, is cut off, or is larger than any.
    """
    if len(body) > MOST_BYTES:
        raise MalformedAnswer(f"the page is larger than {MOST_BYTES:,} bytes", body)
    reader = _Reader()
    reason: str | None = "the page is no readable HTML"
    try:
        reader.feed(_decoded(body))
        reason = reader.fault
    except (ValueError, AssertionError):  # a reference with thousands of digits, a declaration of no known kind
        pass
    if reason is not None:
        raise MalformedAnswer(reason, body)
    title, year = _heading(reader.headings)
    return Page(title, year, {label: amount for label, amount in reader.found.items() if amount is not None})


def amount_of(text: str) -> Decimal | None:
    """US dollars of a cell such as "$1,234 (5.6% of total gross)"; None: unknown.

    Example:
        >>> amount_of("$14,000,000 (worldwide box office is 27.3 times production budget)")
        Decimal('14000000.00')
    """
    match = _MONEY.fullmatch(text)
    if match is None:
        return None
    amount = Decimal(match[1].replace(",", "") + (match[2] or "")).quantize(Decimal("0.01"))
    return amount if 0 < amount < LARGEST else None


def _row(url: str, label: str, amount: Decimal, measure: str, scope: str) -> Figure:
    return {
        "source": SOURCE,
        "measure": measure,
        "scope": scope,
        "currency": "USD",
        "source_ref": f"{url}#{label.title().replace(' ', '-')}",
        "amount": amount,
        "as_of": None,
        "preferred": False,
        "derived": False,
        "suspect": None,
    }


def _decoded(body: bytes) -> str:
    try:  # not final: a page that is cut off within a letter is no other encoding
        return codecs.getincrementaldecoder("utf-8-sig")().decode(body)
    except UnicodeDecodeError:
        return body.decode("cp1252", "replace")


def _heading(headings: list[str]) -> tuple[str, int | None]:
    """Title and year, of the first heading that has both; else the first heading."""
    for heading in headings:
        if match := _YEAR.fullmatch(heading):
            return match[1], int(match[2])
    return headings[0], None


class _Table:
    """A table, or a list of terms, that is being read; the row and the cell that are open in it."""

    __slots__ = ("cells", "has_totals", "text")

    def __init__(self, has_totals: bool) -> None:
        self.has_totals = has_totals
        self.cells: list[str] = []
        self.text: _Text | None = None


class _Text:
    """Characters of a cell or heading, as many as count."""

    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def add(self, data: str) -> None:
        if self._size < _LONGEST_CELL:
            part = data[: _LONGEST_CELL - self._size]
            self._parts.append(part)
            self._size += len(part)

    def __str__(self) -> str:
        return " ".join("".join(self._parts).split())


class _Reader(HTMLParser):
    """Gathers headings, and rows whose label is known. The first row of a label counts, whatever it holds."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.headings: list[str] = []
        self.found: dict[str, Decimal | None] = {}
        self._heading: _Text | None = None
        self._tables: list[_Table] = []
        self._too_deep = 0
        self._unseen: str | None = None
        self._is_document = self._is_ended = False

    @property
    def fault(self) -> str | None:
        """Why the page is of no use, in words; None where it is."""
        if not self.headings:
            return "the page has no heading"
        if not self._is_ended and (self._is_document or any(table.has_totals for table in self._tables)):
            return "the page is cut off"
        return None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("html", "body"):
            self._is_document = True
        elif tag in _UNSEEN:
            self._unseen = tag
        elif tag == "h1":
            self._end_heading()
            self._heading = _Text()
        elif tag == "br":
            self.handle_data(" ")
        elif tag in _TABLES:
            self._open_table(("id", FINANCES) in attrs)
        elif self._tables and not self._too_deep:
            if tag in _ROWS:
                self._end_row()
            if tag in _CELLS:
                self._end_cell()
                self._tables[-1].text = _Text()

    def handle_endtag(self, tag: str) -> None:
        if tag in ("html", "body"):
            self._is_ended = True
        elif tag == self._unseen:
            self._unseen = None
        elif tag == "h1":
            self._end_heading()
        elif tag in _TABLES:
            self._close_table()
        elif self._tables and not self._too_deep:
            if tag in _CELLS:
                self._end_cell()
            elif tag == "tr":
                self._end_row()

    def handle_data(self, data: str) -> None:
        if self._unseen is not None:
            return
        if self._heading is not None:
            self._heading.add(data)
        if self._tables and not self._too_deep and (text := self._tables[-1].text) is not None:
            text.add(data)

    def _end_heading(self) -> None:
        if self._heading is not None and len(self.headings) < _MOST_HEADINGS and (text := str(self._heading)):
            self.headings.append(text)
        self._heading = None

    def _open_table(self, is_finances: bool) -> None:
        if len(self._tables) >= _MOST_DEPTH:
            self._too_deep += 1
            return
        if self._tables and self._tables[-1].text is None:  # not within a cell: the one before has ended
            self._close_table()
        has_totals = is_finances or any(table.has_totals for table in self._tables)
        self._tables.append(_Table(has_totals))

    def _close_table(self) -> None:
        if self._too_deep:
            self._too_deep -= 1
        elif self._tables:
            self._end_row()
            self._tables.pop()

    def _end_cell(self) -> None:
        table = self._tables[-1]
        if table.text is not None and len(table.cells) < 2:
            table.cells.append(str(table.text))
        table.text = None

    def _end_row(self) -> None:
        self._end_cell()
        table = self._tables[-1]
        if len(table.cells) >= 2:
            label = table.cells[0].rstrip(": ").lower()
            if label in METRICS or (table.has_totals and label in TOTALS):
                self.found.setdefault(label, amount_of(table.cells[1]))
        table.cells = []
