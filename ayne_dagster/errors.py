"""Errors that are told to a person in one line, and the exit code of a command that ends with one. Imports nothing of
ours.

Each error of the package that may reach a person is an `OneLineError`; what a person has to change in what was typed or
set is a `WrongUsage` as well. The classes themselves are where they are raised.
"""

from __future__ import annotations

import errno
import os
from typing import ClassVar

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

_OF_A_PLACE = {
    errno.EACCES,
    errno.EEXIST,
    errno.EILSEQ,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
    errno.EROFS,
}


class OneLineError(Exception):
    """`str()` is one line without secrets: what is wrong, what it means, what to do next."""

    exit_code: ClassVar[int] = FAILED
    """Of a command that ends with it."""


class WrongUsage(OneLineError):
    """An argument or a setting is wrong: the same again fails again, whatever else happens."""

    exit_code = WRONG_USAGE


class SettingsError(WrongUsage, ValueError):
    """A setting is missing or wrong: one line that names the variable and says what to do."""


def is_of_the_place(error: Exception) -> bool:
    """Whether an error of the system is the fault of the path that was named, as far as it tells.

    A missing folder or a permission is; a full disk, a broken device or too many open files are not.
    """
    if isinstance(error, OSError):
        return error.errno in _OF_A_PLACE
    text = str(error)
    return any(os.strerror(number) in text for number in _OF_A_PLACE)
