"""Locks on folders and files, which the operating system lets go of when a process ends. Not what is done meanwhile.

A lock belongs to whoever opened the file: two that open it keep each other out, also within one process.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """One process at a time in a folder, for the length of the block; waits for its turn.

    Raises:
        OSError: there is no such folder.
    """
    with _locked(os.open(folder, os.O_RDONLY)):
        yield


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Hold a file, for the length of the block; it is made where there is none. Waits while another process holds it.

    Raises:
        OSError: it cannot be made or opened.
    """
    with _locked(open_to_lock(path)):
        yield


@contextmanager
def sharing(path: Path) -> Iterator[None]:
    """Hold a file with others who share it, for the length of the block: nobody can hold it alone meanwhile.

    Raises:
        OSError: it cannot be made or opened.
    """
    with _locked(open_to_lock(path), fcntl.LOCK_SH):
        yield


def is_held(path: Path) -> bool:
    """Whether somebody holds a file now; nobody holds one that does not exist.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not lock_now(descriptor)
    finally:
        os.close(descriptor)


def open_to_lock(path: Path) -> int:
    """The descriptor of a file, which is made where there is none; whoever closes it lets go of its lock.

    Raises:
        OSError: it cannot be made or opened.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


def lock_now(descriptor: int) -> bool:
    """Lock an open file without waiting; whether it was free."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _locked(descriptor: int, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Wait for the lock of an open file, and close the file at the end."""
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)
