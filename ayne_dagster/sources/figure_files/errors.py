"""What is wrong with a file of figures as a whole, or with a mapping. Of single cells: `cells`."""

from __future__ import annotations

from ayne_dagster.errors import WrongUsage


class FigureFileError(WrongUsage):
    """A file cannot be used as a file of figures; `str()` is one line, and nothing of it was taken."""
