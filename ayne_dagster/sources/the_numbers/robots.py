"""What a robots.txt lets a program ask for, by RFC 9309. Fetches nothing.

Not `urllib.robotparser`: it takes the first rule that matches, where the longest counts, and knows no `*` and `$`
within a path, so that it lets through what such rules forbid.

https://www.rfc-editor.org/rfc/rfc9309 ; Crawl-delay is no part of it, but is widely written and meant.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import unquote

from ayne_dagster.sources.errors import MalformedAnswer

MOST_BYTES = 512_000
"""What lies beyond is not read; the RFC wants at least 500 KiB."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One Allow or Disallow line: the pieces of its path between the stars, decoded."""

    allows: bool
    pieces: tuple[str, ...]
    is_anchored: bool
    """Whether the path ends where the rule does."""
    length: int

    def matches(self, path: str) -> bool:
        """Whether a decoded path is one of those that the rule is about."""
        first, *others = self.pieces
        if not path.startswith(first):
            return False
        at = len(first)
        for piece in others[:-1] if self.is_anchored else others:
            if (found := path.find(piece, at)) < 0:
                return False
            at = found + len(piece)
        if not self.is_anchored:
            return True
        return len(path) == at if not others else path.endswith(others[-1]) and len(path) - len(others[-1]) >= at


@dataclass(frozen=True, slots=True)
class Robots:
    """What holds for one program."""

    rules: tuple[Rule, ...] = ()
    crawl_delay: float = 0.0
    """Seconds between requests; 0 where nothing is said."""

    def allows(self, path: str) -> bool:
        """Whether a path may be asked for: the longest rule about it decides, Allow where two are as long."""
        path = unquote(path)
        about = [(rule.length, rule.allows) for rule in self.rules if rule.matches(path)]
        return max(about)[1] if about else True


def read_robots(body: bytes, names: Collection[str]) -> Robots:
    """What a robots.txt says to a program.

    Args:
        body: of the file.
        names: of the program, in small letters; the groups that name one of them count, or else those for all.

    Raises:
        MalformedAnswer: it is a page, and no robots.txt.
    """
    text = body[:MOST_BYTES].decode("utf-8", "replace").removeprefix("\ufeff")
    if text.lstrip().startswith("<"):
        raise MalformedAnswer("robots.txt is a page of HTML", body)
    groups = {True: _Group(), False: _Group()}
    named = set[str]()
    is_head = False
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        key, colon, value = (part.strip() for part in line.partition("#")[0].partition(":"))
        if not colon:
            continue
        if key.lower() == "user-agent":
            named = (named if is_head else set()) | {_product(value)}
            is_head = True
        elif key.lower() in ("allow", "disallow", "crawl-delay"):
            is_head = False
            is_for_us = not named.isdisjoint(names)
            if is_for_us or "*" in named:
                groups[is_for_us].add(key.lower(), value)
        if not named.isdisjoint(names):
            groups[True].is_there = True
    return groups[groups[True].is_there].robots


class _Group:
    def __init__(self) -> None:
        self.is_there = False
        self._rules: list[Rule] = []
        self._delay = 0.0

    @property
    def robots(self) -> Robots:
        return Robots(tuple(self._rules), self._delay)

    def add(self, key: str, value: str) -> None:
        if key == "crawl-delay":
            self._delay = max(self._delay, _seconds(value))
        elif value:
            self._rules.append(_rule(key == "allow", value))


def _product(value: str) -> str:
    """The product token of a User-agent line."""
    return value.lower().partition("/")[0].strip()


def _rule(allows: bool, path: str) -> Rule:
    path = path if path.startswith(("/", "*")) else f"/{path}"
    is_anchored = path.endswith("$")
    pieces = tuple(unquote(piece) for piece in path.removesuffix("$").split("*"))
    return Rule(allows, pieces, is_anchored, len(path))


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0
