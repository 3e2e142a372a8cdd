"""A published file as clean lines of text: unpacked, decoded, counted. What stands in a line is not looked at here.

Done before DuckDB reads them, since it drops a line with a bad byte and counts none that it drops.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

LONGEST_LINE = 64 * 1024
"""Characters of a line; real ones have some hundreds. A longer one is left out, and counted as one that is unreadable.
"""
GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20
# Every control character but tab and line feed becomes a blank, which JSON and a table of texts bear; U+0000 goes.
_NO_CONTROLS = bytes(32 if byte == 127 or (byte < 32 and byte not in b"\t\n") else byte for byte in range(256))
# A proper pair is consumed whole, and so is an escaped backslash, so that only a lone half reaches the group.
_SURROGATES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


class Unpackable(Exception):
    """The file cannot be read to its end; `str()` says why."""


def write_lines(source: Path, target: Path) -> int:
    """Write the lines of a file, gzip or not, as UTF-8 with plain line ends; memory stays bounded.

    A bad byte costs itself and not its line: it becomes U+FFFD, as does half of a surrogate pair in JSON. Blank lines
    are left out.

    Returns:
        How many lines the file has, those that are too long included.

    Raises:
        Unpackable: it is damaged, or cannot be read or written.
    """
    found = 0
    try:
        with opened(source) as file, target.open("w", encoding="utf-8", newline="\n") as out:
            for lines in _lines(file):
                found += len(lines)
                kept = [line for line in lines if len(line) <= LONGEST_LINE]
                out.write("".join(f"{_without_half_pairs(line)}\n" for line in kept))
    except (EOFError, zlib.error, OSError) as error:  # gzip.BadGzipFile is an OSError
        raise Unpackable(str(error)) from None
    return found


def first_line(source: Path, longest: int = 1000) -> str:
    """The beginning of a file's first line that is not blank; empty where there is none.

    Raises:
        Unpackable: it is damaged, or cannot be read.
    """
    try:
        with opened(source) as file:
            start = file.read(LONGEST_LINE)
    except (EOFError, zlib.error, OSError) as error:
        raise Unpackable(str(error)) from None
    text = start.translate(_NO_CONTROLS, b"\0").decode("utf-8-sig", "replace").strip("\n ")
    return text.split("\n", 1)[0].rstrip()[:longest]


def opened(source: Path) -> BinaryIO:
    """A file's content, gzip or not, by how it begins and not by how it is named."""
    with source.open("rb") as file:
        is_packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return gzip.open(source) if is_packed else source.open("rb")  # type: ignore[return-value]


def _lines(file: BinaryIO) -> Iterator[list[str]]:
    """Lists of lines that are not blank; of one without end only the beginning is kept."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    rest = ""
    while chunk := file.read(_CHUNK):
        lines = (rest + decoder.decode(chunk.translate(_NO_CONTROLS, b"\0"))).split("\n")
        rest = lines.pop()[: LONGEST_LINE + 1]
        yield [stripped for line in lines if (stripped := line.strip(" "))]
    if rest := (rest + decoder.decode(b"", final=True)).strip(" "):
        yield [rest]


def _without_half_pairs(line: str) -> str:
    if "\\ud" not in line and "\\uD" not in line:
        return line
    return _SURROGATES.sub(lambda match: "\\ufffd" if match[1] else match[0], line)
