"""Under which addresses The Numbers may have a film's page: guesses, to be verified. Reads and asks for nothing.

The site has no list of its addresses. They are made of the title's words, joined by hyphens, without punctuation, the
leading article behind the rest; newer films, and those that share a title, have the year in brackets.
"""

from __future__ import annotations

import html
import unicodedata

from ayne_dagster.sources.the_numbers.titles import LONGEST_TITLE, split_article

MOST_CANDIDATES = 4
MOVIES = "/movie/"
WITH_YEAR_SINCE = 2009
"""From this release year on the address with the year is the likelier one."""
_SMALL = frozenset(("a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"))
"""Words that title case leaves in small letters, unless they are the first."""


def candidate_paths(title: str, year: int | None) -> tuple[str, ...]:
    """Paths of a film's page, the likeliest first, at most `MOST_CANDIDATES`.

    Args:
        title: as other sources have it.
        year: of its release, as other sources have it; The Numbers may say one more or less.

    Returns:
        None for a title without a Latin letter or digit: such films stand there under another title.

    Example:
        >>> candidate_paths("The Dark Knight", 2008)[:2]
        ('/movie/Dark-Knight-The', '/movie/Dark-Knight-The-(2008)')
    """
    article, rest = split_article(html.unescape(title[:LONGEST_TITLE]))
    slug = _slug(rest)
    if not slug:
        return ()
    if article:
        slugs = [f"{slug}-{article.capitalize()}", f"{article.capitalize()}-{slug}"]
        paths = [path for each in slugs for path in _years_of(each, year)]
    else:
        paths = _years_of(slug, year)
        if year is not None:
            paths += [f"{slug}-({year - 1})", f"{slug}-({year + 1})"]
    return tuple(MOVIES + path for path in dict.fromkeys(paths))


def _years_of(slug: str, year: int | None) -> list[str]:
    """With and without the year, the likelier first."""
    if year is None:
        return [slug]
    both = [f"{slug}-({year})", slug]
    return both if year >= WITH_YEAR_SINCE else both[::-1]


def _slug(title: str) -> str:
    text = unicodedata.normalize("NFKD", title.replace("&", " and ").replace("/", " ")).encode("ascii", "ignore")
    words = "".join(c for c in text.decode() if c.isalnum() or c in " -").replace("-", " - ").split()
    cased = [_cased(word, place) for place, word in enumerate(words)]
    return "-".join(word for word in cased if word != "-")


def _cased(word: str, place: int) -> str:
    """A word in title case; capitals that it has stay."""
    if not word.islower() or (place and word in _SMALL):
        return word
    return word[0].upper() + word[1:]
