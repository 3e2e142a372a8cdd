"""What The Numbers would show of the invented movies: addresses and pages, in two shapes. No HTTP.

A page follows from the movie's number and the day. Its figures are near those that TMDB and OMDb tell on that day, and
are missing where those are.
"""

from __future__ import annotations

import html
import unicodedata
from dataclasses import dataclass

from ayne_dagster.standin.bodies import BodyWriter
from ayne_dagster.standin.population import NO_DATE, Population, fraction

MOVIES = "/movie/"
ROBOTS = b"User-agent: *\nCrawl-delay: 5\nDisallow: /search\nAllow: /movie/\n"
_HELD = 0.8
"""Share of the movies that have a page."""
_WITH_YEAR = 0.6
"""Share of the pages whose address has the year; of those, the address without it leads there, if it is nobody's."""
_YEAR_AFTER = 0.03
"""Share of the pages that tell the year after the release."""
_ODD = ((0.05, "zero"), (0.10, "not available"), (0.15, "rows missing"), (0.17, "mojibake"))
"""Up to which share of the pages what is odd about them."""
_ARTICLES = ("The", "A", "An")
_WELL_KNOWN = {"Avatar-(2009)": ("Avatar", 2009), "Titanic": ("Titanic", 1997)}
"""Pages outside the catalogue that whoever asks whether the site works at all may ask for; they state nothing."""

_OLDER = """<!DOCTYPE html>
<html><head><title>{title} ({year}) - Financial Information</title><script>var x = "<td>$1</td>";</script></head>
<body><div id="main">
<h1>{title} ({year})</h1>
<table id="movie_finances">
<tr><th colspan="3" class="center"><strong>Theatrical Performance</strong></th></tr>
{totals}
<tr><td><b>Est. Domestic DVD Sales</b></td><td class="data">n/a</td><td></td></tr>
</table>
<h2>Metrics</h2>
<table>
{metrics}
</table>
</div></body></html>
"""
_OLDER_ROW = (
    '<tr><td><b>{label}</b></td><td class="data">{money}</td><td class="data"><a href="#more">Details</a></td></tr>'
)
_NEWER = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title} ({year}) | The Numbers</title></head>
<body><main>
<h1 class="movie-title">{title}&nbsp;({year})</h1>
<table class="summary" id="movie_finances"><tbody>
{totals}
</tbody></table>
<h2>Metrics</h2>
<table class="metrics"><tbody>
{metrics}
</tbody></table>
</main></body></html>
"""
_NEWER_ROW = "<tr><td>{label}:</td><td>{money}</td></tr>"


@dataclass(frozen=True, slots=True)
class Figures:
    """US dollars that a page states; 0: unknown."""

    domestic: int
    worldwide: int
    opening: int
    budget: int


class PageWriter:
    """Writes the pages of a population's movies.

    Args:
        population: which movies there are.
        bodies: what is told of them elsewhere.
    """

    def __init__(self, population: Population, bodies: BodyWriter) -> None:
        self._movies, self._bodies = population, bodies
        self._found: tuple[int, dict[str, int], dict[str, str]] | None = None

    def page(self, slug: str, day: int) -> bytes | None:
        """The page at an address; None where there is none."""
        if slug in _WELL_KNOWN:
            title, year = _WELL_KNOWN[slug]
            return _NEWER.format(title=title, year=year, totals="", metrics="").encode()
        i = self._addresses(day)[0].get(slug)
        return None if i is None else self._write(i, day)

    def moved_to(self, slug: str, day: int) -> str | None:
        """The address that another one leads to; None where it leads nowhere."""
        return self._addresses(day)[1].get(slug)

    def slug_of(self, i: int, day: int) -> str | None:
        """The address of a movie's page; None where it has none."""
        return next((slug for slug, number in self._addresses(day)[0].items() if number == i), None)

    def neighbour(self, slug: str, day: int) -> str:
        """The address of another movie's page, where there is one."""
        return next((other for other in self._addresses(day)[0] if other != slug), slug)

    def figures(self, i: int, day: int) -> Figures:
        """What the site knows of a movie's money."""
        facts, details = self._bodies.facts(i), self._bodies.details(i, day, frozenset())
        worldwide = int(details["revenue"])
        domestic = min(worldwide, int(worldwide * facts.domestic_share))
        share = 0.003 if fraction(i, 83) < 0.05 else 0.1 + 0.4 * fraction(i, 89)  # a limited opening, or a wide one
        return Figures(domestic, worldwide, int(domestic * share), int(details["budget"]))

    def _addresses(self, day: int) -> tuple[dict[str, int], dict[str, str]]:
        """Pages by address, and addresses that lead to others, on a day."""
        if self._found is None or self._found[0] != day:
            pages, moved = dict[str, int](), dict[str, str]()
            for i in range(len(self._movies.tmdb_ids)):
                release = self._movies.release_on(i, day)
                if release == NO_DATE or not self._movies.exists(i, day) or fraction(i, 71) > _HELD:
                    continue
                slug = _slug(self._bodies.facts(i).title)
                dated = f"{slug}-({self._year(i, day)})"
                if fraction(i, 73) < _WITH_YEAR:
                    pages.setdefault(dated, i)
                    moved.setdefault(slug, dated)
                else:
                    pages.setdefault(slug, i)
            self._found = day, pages, {slug: to for slug, to in moved.items() if slug not in pages}
        return self._found[1], self._found[2]

    def _year(self, i: int, day: int) -> int:
        date_told = self._bodies.iso(self._movies.release_on(i, day))
        return int(date_told[:4]) + (fraction(i, 79) < _YEAR_AFTER)

    def _write(self, i: int, day: int) -> bytes:
        odd = next((name for share, name in _ODD if fraction(i, 97) < share), None)
        title = self._bodies.facts(i).title
        if odd == "mojibake":
            title = title.encode().decode("cp1252", "replace")
        shape, row = (_OLDER, _OLDER_ROW) if i % 2 else (_NEWER, _NEWER_ROW)
        found = self.figures(i, day)
        share = 100 * found.opening / found.domestic if found.domestic else 0.0
        times = found.worldwide / found.budget if found.budget else 0.0
        totals = {
            "Domestic Box Office": _money(found.domestic, odd),
            "International Box Office": _money(found.worldwide - found.domestic, odd),
            "Worldwide Box Office": _money(found.worldwide, odd),
        }
        metrics = {
            "Opening&nbsp;Weekend": _money(found.opening, odd, f" ({share:.1f}% of total gross)"),
            "Production&nbsp;Budget": _money(found.budget, odd, f" (worldwide is {times:.1f} times production budget)"),
        }
        rows = [
            "\n".join(row.format(label=label, money=money) for label, money in part.items() if money is not None)
            for part in (totals, metrics)
        ]
        year = self._year(i, day)
        return shape.format(title=html.escape(title), year=year, totals=rows[0], metrics=rows[1]).encode()


def _money(amount: int, odd: str | None, remark: str = "") -> str | None:
    """An amount as a page writes it; None: its row is missing."""
    if odd == "zero":
        return "$0"
    if amount > 0 and odd != "not available":
        return f"${amount:,}{remark}"
    return None if odd == "rows missing" else "n/a"


def _slug(title: str) -> str:
    """The address of a title: its words, without punctuation, the leading article at the end."""
    text = unicodedata.normalize("NFKD", title.replace("&", " and ")).encode("ascii", "ignore").decode()
    words = "".join(c for c in text if c.isalnum() or c in " -").replace("-", " ").split()
    if len(words) > 1 and words[0] in _ARTICLES:
        words.append(words.pop(0))
    return "-".join(words) or "Untitled"
