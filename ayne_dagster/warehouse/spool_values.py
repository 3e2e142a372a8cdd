"""How a value is written to the spool: JSON, where types that it lacks are marked. Nothing in it is run.

What is written, and when, is in `spool`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, get_args, get_type_hints

from ayne_dagster.warehouse.answers import Answer, ListedMovie, QuarantinedBody

KINDS = {kind.__name__: kind for kind in (Answer, ListedMovie, QuarantinedBody)}
_MARK = "$"


def encoded(value: Any) -> Any:
    """A value in terms of JSON; what JSON lacks becomes an object with one marked key.

    Raises:
        TypeError: a type that `decoded` could not give back.
    """
    if isinstance(value, Enum):
        if type(value).__name__ not in _ENUMS:
            raise TypeError(f"{type(value).__name__} is not among the types of the items")
        return {f"{_MARK}enum": [type(value).__name__, value.value]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, datetime):
        return {f"{_MARK}datetime": value.isoformat()}
    if isinstance(value, date):
        return {f"{_MARK}date": value.isoformat()}
    if isinstance(value, Decimal):
        return {f"{_MARK}decimal": str(value)}
    if isinstance(value, bytes):
        return {f"{_MARK}bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, list):
        return [encoded(item) for item in value]
    if isinstance(value, tuple):
        return {f"{_MARK}tuple": [encoded(item) for item in value]}
    if isinstance(value, Mapping):
        if all(type(key) is str and not key.startswith(_MARK) for key in value):
            return {key: encoded(item) for key, item in value.items()}
        return {f"{_MARK}pairs": [[encoded(key), encoded(item)] for key, item in value.items()]}
    raise TypeError(f"a {type(value).__name__} has no form in the spool")


def decoded(value: Any) -> Any:
    """The value that `encoded` was given.

    Raises:
        LookupError, TypeError, ValueError: nothing that `encoded` gives.
    """
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    key = next(iter(value), "")
    if not key.startswith(_MARK):
        return {name: decoded(item) for name, item in value.items()}
    return _UNMARKED[key](value[key])


def _enums(hint: Any) -> Iterator[type[Enum]]:
    """The enumerations within a type hint."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        yield hint
    for inner in get_args(hint):
        yield from _enums(inner)


_ENUMS = {
    enum.__name__: enum for kind in KINDS.values() for hint in get_type_hints(kind).values() for enum in _enums(hint)
}
_UNMARKED: dict[str, Callable[[Any], Any]] = {
    f"{_MARK}enum": lambda pair: _ENUMS[pair[0]](pair[1]),
    f"{_MARK}datetime": datetime.fromisoformat,
    f"{_MARK}date": date.fromisoformat,
    f"{_MARK}decimal": Decimal,
    f"{_MARK}bytes": base64.b64decode,
    f"{_MARK}tuple": lambda items: tuple(decoded(item) for item in items),
    f"{_MARK}pairs": lambda pairs: {decoded(key): decoded(item) for key, item in pairs},
}
