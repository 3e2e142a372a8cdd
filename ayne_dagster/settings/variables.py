"""What the text of an environment variable may be, and what is said of one that cannot be right. Knows no setting.

Keys, addresses and whatever may hold a password are never quoted, not even in part: a value that cannot be read may
hold a secret at any place.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from ayne_dagster.errors import SettingsError

OURS = ("AYNE_", "TMDB_", "OMDB_")
"""How names begin that can only be meant for us."""
_ALIKE, _ALIKE_ENDING = 0.86, 0.6
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_SHAPES = {
    "TMDB_READ_TOKEN": ("TMDB's read token", _JWT),
    "TMDB_API_KEY": ("TMDB's v3 key", re.compile("[0-9a-fA-F]{32}")),
    "OMDB_API_KEY": ("an OMDb key", re.compile("[0-9a-fA-F]{8}")),
}
"""By variable: what its key is called, and how it looks where it is real."""
_PREFIX = re.compile(r"(authorization\s*:|bearer\b|(api_?key|token|apikey)\s*[=:])", re.IGNORECASE)
_CONTACT = re.compile(r"(mailto:)?[^@\s()<>,;:\"\\]+@[\w-]+(\.[\w-]+)+|https?://[\w.-]+\.\w+[^\s()<>\"\\]*", re.ASCII)
"""A mail or web address that can stand in brackets in a header."""
LONGEST_CONTACT = 200
_HOST_AND_PATH = re.compile(r"[\w-]+(\.[\w-]+)+(:\d+)?(/|$)")


def checked_text(name: str, raw: str) -> str:
    """A text that every program can be told.

    Raises:
        SettingsError: it holds control characters, or bytes that are no text.
    """
    if not raw.isprintable():
        raise SettingsError(f"{name} holds a control character, an odd space or bytes that are no text: type it anew.")
    return raw


def checked_key(name: str, raw: str) -> str:
    """A key as its source gives it.

    Raises:
        SettingsError: it cannot be one, or is one for another variable.
    """
    if _PREFIX.match(raw):
        raise SettingsError(
            f"{name} must be the key alone: leave out what stands before it (Authorization:, Bearer …)."
        )
    if raw[0] in "\"'`“”‘’«»<" or raw[-1] in "\"'`“”‘’«»>":
        raise SettingsError(f"{name} has a quotation mark or bracket around it or at its end: set the key alone.")
    if not raw.isascii():
        raise SettingsError(f"{name} holds a letter that no key has (one that looks like another?): copy it anew.")
    for variable, (kind, shape) in _SHAPES.items():
        if variable != name and shape.fullmatch(raw):
            raise SettingsError(f"{name} holds what looks like {kind}: set it as {variable}.")
    return raw


def checked_address(name: str, raw: str) -> str:
    """An http(s) address.

    Raises:
        SettingsError: it is none; says what is wrong with it and shows nothing of it.
    """
    fault = _fault_of(raw)
    if fault is not None:
        raise SettingsError(f"{name} {fault}: it must be an http(s) address, such as https://host/path.")
    return raw


def checked_place(name: str, raw: str) -> str:
    """An http(s) address, or the path of a file.

    Raises:
        SettingsError: it is an address that cannot be used, also one whose scheme was left out.
    """
    is_an_address = "://" in raw or re.match(r"https?:|//|[^/]*[@?]", raw, re.IGNORECASE) is not None
    if is_an_address or (_HOST_AND_PATH.match(raw) and not Path(raw).parent.exists()):
        return checked_address(name, raw)
    return raw


def checked_contact(name: str, raw: str) -> str:
    """A mail or http(s) address, as people elsewhere can use it.

    Raises:
        SettingsError: it is neither, or holds what cannot stand in a header.
    """
    if not _CONTACT.fullmatch(raw) or len(raw) > LONGEST_CONTACT or not raw.isascii():
        raise SettingsError(
            f"{name} must be a mail or web address that those who run a source can use, such as you@example.org or "
            "https://example.org/you, without brackets."
        )
    return raw


def _fault_of(raw: str) -> str | None:
    if any(character.isspace() for character in raw):
        return "holds a space"
    if not re.match("[a-zA-Z][a-zA-Z0-9+.-]*://", raw):
        return "has no http:// or https:// before it"
    try:
        parts = urlsplit(raw)
        port_is_usable = parts.port != 0
    except ValueError:
        return "has a host or port that cannot be read"
    if parts.scheme not in ("http", "https"):
        return "begins with another scheme"
    if not port_is_usable or not parts.hostname:
        return "names no host, or no port that can be asked"
    return None


def misspelt(names: Iterable[str], known: Collection[str]) -> dict[str, str | None]:
    """Names that are no settings but are meant for us, each with the setting that is most like it, if one is.

    Names of other programs are left out: a name must begin as ours do, or be very like one of them.
    """
    found: dict[str, str | None] = {}
    for name in names:
        if name in known:
            continue
        upper = name.upper()
        is_ours = upper.startswith(OURS)
        like = [upper] if upper in known else difflib.get_close_matches(upper, known, 5, 0.6 if is_ours else _ALIKE)
        like = [one for one in like if _ends_alike(upper, one)]
        if is_ours or like:
            found[name] = like[0] if like else None
    return found


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """A question to add to what is said of a value that is none of those known; empty where none is like it."""
    by_lower = {one.lower(): one for one in known}
    like = difflib.get_close_matches(given.strip().lower(), by_lower, 1)
    return f" Did you mean {by_lower[like[0]]}?" if like else ""


def _ends_alike(name: str, setting: str) -> bool:
    """Whether the last words of two names are alike: those before them are mostly ours, and tell little."""
    ours, other = name.rpartition("_")[2], setting.rpartition("_")[2]
    return difflib.SequenceMatcher(None, ours, other).ratio() >= _ALIKE_ENDING
