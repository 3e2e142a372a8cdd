"""Which settings there are: all that the reader of settings asks for. No tests."""

from __future__ import annotations

from ayne_dagster.config import FORMER_NAMES, Settings, load_settings


class _Asked(dict[str, str]):
    """An environment without a variable, that notes what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, key: str, default: object = "") -> str:  # type: ignore[override] -- dict's is three overloads
        self.names.add(key)
        return str(default)


def defaults_and_names() -> tuple[Settings, set[str]]:
    """The settings of an empty environment, and the names that were asked for, without former ones."""
    asked = _Asked()
    return load_settings(asked), asked.names - FORMER_NAMES.keys()
