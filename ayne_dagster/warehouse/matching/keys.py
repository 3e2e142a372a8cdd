"""The key of a title: what two spellings of one title have in common. Pure functions; no SQL, no years.

Two titles with one key are taken for the same title. So the key drops what sources spell in different ways (case,
accents, punctuation, a leading article, Roman numerals) and nothing that tells two movies apart.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from anyascii import anyascii

ARTICLES = frozenset({"the", "a", "an"})
"""Of English alone: in front of a title of another language, "la" and "die" may be any word."""
_ARTICLE_BEHIND = re.compile(r"(.*\S)\s*,\s*(the|an?)\s*", re.DOTALL)
_APOSTROPHES = "'’‘‛`´ʻʼʹ′＇"
_MOST_PASSES = 4
_WORD = re.compile(r"[a-z0-9]+")
_BLANKS = re.compile(r"[\x00-\x2f:-@\[-`{-\x7f]+")
"""What of ASCII is neither letter nor digit."""


def _numerals() -> dict[str, str]:
    """Roman numerals from 2 to 39 as Arabic ones. I is a word, and larger ones are words of many languages."""
    units = ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix")
    return {"x" * tens + units[unit]: str(10 * tens + unit) for tens in range(4) for unit in range(10)
            if 10 * tens + unit > 1}  # fmt: skip


NUMERALS = _numerals()


def title_key(title: str) -> str:
    """The key of a title.

    Letters of Latin script lose accents and become those of English (Æ is ae, ß is ss), numbers of any kind become
    digits ("33⅓" is "33 1 3", Ⅲ is 3); letters of other scripts stay as they are: transliterated, too many titles would
    be one. Of its own key, the key is the same again.
    """
    if title.isascii():
        return _key(_WORD.findall(_spelt(title.lower()))) or _raw(title)
    key = title
    for _ in range(_MOST_PASSES):
        plain = _spelt(_plain_letters(unicodedata.normalize("NFC", key)).lower())
        before, key = key, _key(_BLANKS.sub(" ", plain).split())
        if key == before:
            break
    return key or _raw(title)


def _raw(title: str) -> str:
    """A title that has neither letter nor digit ("$", "…") is its own key."""
    return " ".join(title.casefold().split())


def _spelt(lowered: str) -> str:
    """A title in one of the ways to spell it: "Godfather, The" is "the godfather", "&" is "and"."""
    if "," in lowered and (match := _ARTICLE_BEHIND.fullmatch(lowered)):
        lowered = f"{match[2]} {match[1]}"
    if "&" in lowered:
        lowered = lowered.replace("&", " and ")
    return lowered.replace("'", "").replace("`", "")


def _key(tokens: list[str]) -> str:
    # "The A-Team" keeps its article, or it would be "team"; so does "The The".
    if len(tokens) > 1 and tokens[0] in ARTICLES and tokens[1] not in ARTICLES:
        del tokens[0]
    if not NUMERALS.keys().isdisjoint(tokens):
        tokens = [NUMERALS.get(token, token) for token in tokens]
    return " ".join(tokens)


def _plain_letters(title: str) -> str:
    """A title with what has a form in ASCII in that form, and blanks for signs that have none."""
    parts: list[str] = []
    of_latin = True
    for character in title:
        if character.isascii():
            parts.append(character)
            of_latin = True
        elif unicodedata.category(character) == "Mn" and of_latin:
            continue  # an accent of the letter before it
        else:
            plain, of_latin = _plain_letter(character)
            parts.append(plain)
    return "".join(parts)


@lru_cache(maxsize=20_000)
def _plain_letter(character: str) -> tuple[str, bool]:
    """A character of a title in ASCII, where it is Latin, a sign or a number; whether it is; else the letter itself."""
    if character in _APOSTROPHES:
        return "'", True
    category = unicodedata.category(character)
    if category in ("Nl", "No") or (category == "Nd" and not character.isascii()):
        plain = re.sub("[^A-Za-z0-9]", " ", anyascii(character))
        return (plain if category == "Nd" else f" {plain} "), True  # "33⅓" and "Alien³" are two words
    if "LATIN" in unicodedata.name(character, "") or unicodedata.normalize("NFKC", character) == "&":
        return anyascii(character), True
    if category[0] in "LM":
        return unicodedata.normalize("NFKC", character).casefold(), False
    return " ", True


def number_tokens(key: str) -> tuple[str, ...]:
    """The numbers of a key: two titles whose numbers differ are two movies, however alike they are."""
    return tuple(token for token in key.split() if token.isdigit())
