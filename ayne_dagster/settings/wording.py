"""How many there are of a thing, in words that fit the number. Knows no thing."""

from __future__ import annotations

_ONE = {"bodies": "body", "entries": "entry"}
"""Of plurals that are not made with an s alone."""


def counted(number: int, many: str) -> str:
    """`1 movie`, `2,000 movies`: a number and what is counted.

    Args:
        number: how many.
        many: what, in the plural; where it is none (`fetched`), it stays as it is.
    """
    return f"{number:,} {named(number, many)}"


def named(number: float, many: str) -> str:
    """The same without the number; of a few words it is the last that changes."""
    if number != 1:
        return many
    *before, last = many.split(" ")
    return " ".join([*before, _ONE.get(last) or last.removesuffix("s")])
