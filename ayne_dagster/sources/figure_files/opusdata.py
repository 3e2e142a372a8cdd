"""OpusData's extracts: five files in a folder, of which movie_summary.csv has figures and movie_identifiers.csv ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ayne_dagster.sources.figure_files.cells import imdb_id
from ayne_dagster.sources.figure_files.errors import FigureFileError
from ayne_dagster.sources.figure_files.layouts import plain_name
from ayne_dagster.sources.figure_files.tables import open_table, read_bytes

SUMMARY, IDENTIFIERS = "movie_summary.csv", "movie_identifiers.csv"


def summary_in(path: Path) -> Path:
    """The file with figures in a folder of an extract; any other path is left as it is.

    Raises:
        FigureFileError: the folder has none.
    """
    if not path.is_dir():
        return path
    found = _beside(path, SUMMARY)
    if found is None:
        raise FigureFileError(f"{path} is a folder without {SUMMARY}: name a file, or the folder of OpusData's files.")
    return found


def identifiers(summary: Path) -> dict[str, str]:
    """IMDb ids by OpusData's number, from the file beside the summary; empty where there is none.

    A movie with two IMDb ids has none: it is matched by its title.

    Raises:
        FigureFileError: the file is there and cannot be used.
    """
    path = _beside(summary.parent, IDENTIFIERS)
    if path is None:
        return {}
    table = open_table(read_bytes(path))
    names = [plain_name(column) for column in table.columns]
    try:
        opus_id, domain, number = (names.index(name) for name in ("movie_odid", "domain", "id"))
    except ValueError:
        raise FigureFileError(f"{path} lacks one of the columns movie_odid, domain and id: it is damaged.") from None
    found: dict[str, set[str]] = {}
    for _, row in table.rows:
        if len(row) == len(names) and str(row[domain]).strip().lower() == "imdb" and (title := imdb_id(row[number])):
            found.setdefault(str(row[opus_id]).strip(), set()).add(title)
    return {movie: ids.pop() for movie, ids in found.items() if len(ids) == 1}


def misnamed(columns: Sequence[str], path: Path) -> FigureFileError | None:
    """The error for one of an extract's other files; None for any other file."""
    if "movie_odid" not in {plain_name(column) for column in columns}:
        return None
    return FigureFileError(
        f"{path} is a file of an OpusData extract that has no figures: name {SUMMARY}, or the folder that they lie in."
    )


def _beside(folder: Path, name: str) -> Path | None:
    """A file of a folder by its name, in whatever letters."""
    try:
        return next((path for path in sorted(folder.iterdir()) if path.name.lower() == name), None)
    except OSError as error:
        raise FigureFileError(f"{folder} cannot be read ({error.strerror}); nothing was changed.") from None
