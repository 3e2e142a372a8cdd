"""Reading a text file that an operator names, within bounds. Knows no setting and nothing of what the text means.

A pipe has no end while somebody could still write, a device may never have one: whoever read it would wait for ever, or
until memory is full.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

LONGEST_TEXT = 4 * 2**20
"""Bytes of a file that people write by hand; real ones have a thousandth."""


def read_named_text(file: Path, encoding: str = "utf-8") -> str:
    """The text of a file.

    Raises:
        OSError: it cannot be read, is no regular file, or is far too large; `strerror` says which.
        UnicodeDecodeError: it is written otherwise.
    """
    require_file(file)
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # it may have become a pipe since
    with os.fdopen(descriptor, "rb") as opened:
        content = opened.read(LONGEST_TEXT + 1)
    if len(content) > LONGEST_TEXT:
        raise OSError(errno.EFBIG, f"it has more than {LONGEST_TEXT:,} bytes", str(file))
    return content.decode(encoding)


def require_file(file: Path) -> None:
    """Look before a program that reads to the end is told of a file; links are followed.

    Raises:
        OSError: it is not there, or is a folder, a pipe, a socket or a device.
    """
    mode = file.stat().st_mode
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
        raise OSError(errno.EINVAL, f"it is {what}, and no file", str(file))
