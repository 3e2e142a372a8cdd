"""When two titles are the same, as two sources write them. No addresses, no HTML; years are compared elsewhere."""

from __future__ import annotations

import html
import unicodedata

import ftfy

LONGEST_TITLE = 300
"""Characters; no film has more, and work on a title grows with it."""
_ARTICLES = ("the", "a", "an")
_APOSTROPHES = dict.fromkeys(map(ord, "'’‘ʼ`´"))


def plain_title(title: str) -> str:
    """A title without what sources write in different ways: case, accents, punctuation, the leading article.

    Of a title in another script, whose letters no rule here concerns, all letters stay.

    Example:
        >>> plain_title("Fast &amp; Furious"), plain_title("Dark Knight, The"), plain_title("Amélie")
        ('fast and furious', 'dark knight', 'amelie')
    """
    text = "".join(map(_decomposed, html.unescape(title[:LONGEST_TITLE]))).casefold().replace("&", " and ")
    text = "".join(c for c in text.translate(_APOSTROPHES) if not unicodedata.combining(c))
    words = "".join(c if c.isalnum() else " " for c in leading_article(text)).split()
    if len(words) > 1 and words[0] in _ARTICLES:
        del words[0]
    return " ".join(words)


def is_same_title(one: str, other: str) -> bool:
    """Whether two sources mean the same title; one that was read in a wrong encoding on the way is the same, too."""
    mine, theirs = ({plain_title(reading) for reading in _readings(title)} - {""} for title in (one, other))
    return not mine.isdisjoint(theirs)


def leading_article(title: str) -> str:
    """A title with its article in front, where it stands behind a comma ("Dark Knight, The")."""
    rest, comma, last = title.rpartition(",")
    return f"{last.strip()} {rest}" if comma and rest.strip() and last.strip().casefold() in _ARTICLES else title


def split_article(title: str) -> tuple[str, str]:
    """The leading article of a title ("" where there is none), and the rest."""
    first, _, rest = leading_article(title.strip()).partition(" ")
    return (first, rest.strip()) if first.casefold() in _ARTICLES and rest.strip() else ("", title.strip())


def _decomposed(letter: str) -> str:
    """A letter as its parts; a fraction stands apart from what is before it (33⅓ is 33 1/3)."""
    parts = unicodedata.normalize("NFKD", letter)
    return f" {parts}" if "\N{FRACTION SLASH}" in parts else parts


def _readings(title: str) -> tuple[str, ...]:
    """A title as it stands, and as it was before UTF-8 was read as a Western encoding ("AmÃ©lie")."""
    title = title[:LONGEST_TITLE]
    return title, ftfy.fix_encoding(title)
