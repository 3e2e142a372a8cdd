"""The keys of this process, by name: what Dagster stores, shows or logs is the name. Nothing here is written anywhere.

A key that stands in the environment goes by the name of its variable and is read from there when it is used, as
Dagster's `EnvVar` does. A key from elsewhere (`.env`, settings made by hand) is held here, under a name that says only
which variable it stands for.
"""

from __future__ import annotations

import os
from threading import Lock

from dagster import EnvVar

_held: dict[str, str] = {}
_lock = Lock()


def name_of(variable: str, key: str | None) -> str | None:
    """The name under which this process finds a key again; None for no key.

    Args:
        variable: the environment variable that the key belongs to.
        key: the key itself.
    """
    if not key:
        return None
    if os.environ.get(variable, "").strip() == key:
        return variable
    with _lock:
        known = (name for name, held in _held.items() if held == key and name.startswith(f"{variable} "))
        name = next(known, f"{variable} (held by this process, no. {len(_held) + 1})")
        _held[name] = key
    return name


def key_of(name: str | None) -> str | None:
    """The key behind a name; None when there is none (any more)."""
    if name is None:
        return None
    held = _held.get(name)
    return held if held is not None else (EnvVar(name).get_value() or "").strip() or None
