"""Looking for keys in what a program leaves behind: every spelling of a key, in text, files, tables and answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import duckdb
import pyarrow.parquet as pq


def spellings(key: str) -> set[str]:
    """A key as it stands, quoted for addresses, in hexadecimal, and in base64 wherever in a longer text it begins."""
    found = {key, quote(key, safe=""), quote_plus(key), key.encode().hex(), json.dumps(key)[1:-1]}
    for before in range(3):
        # Only the characters that the key alone decides: whole groups of three bytes.
        data = b"\0" * before + key.encode()
        begin = -(-before // 3) * 4
        whole = base64.b64encode(data)[begin : len(data) // 3 * 4].decode()
        found |= {whole, whole.replace("+", "-").replace("/", "_")}
    return found


def traces(name: str, content: str | bytes, keys: Iterable[str]) -> Iterator[str]:
    """Where and as what a content holds a key."""
    body = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    for key in keys:
        yield from (f"{name}: {spelling}" for spelling in sorted(spellings(key)) if spelling.encode() in body)


def traces_in_folder(folder: Path, keys: Iterable[str], without: Iterable[Path] = ()) -> Iterator[str]:
    """In all files below a folder, hidden and temporary ones too, raw and, where they are packed, unpacked."""
    for path in folder.rglob("*"):
        if not path.is_file() or path in without:
            continue
        yield from traces(str(path), path.read_bytes(), keys)
        yield from traces(str(path), str(path), keys)
        if path.suffix == ".parquet":
            yield from traces(f"{path}, decoded", repr(pq.read_table(path).to_pylist()), keys)
        if path.suffix == ".duckdb":
            yield from traces(f"{path}, decoded", repr(list(_rows(path))), keys)


def _rows(path: Path) -> Iterator[tuple[Any, ...]]:
    """All rows of all tables: the file itself is compressed."""
    with duckdb.connect(str(path), read_only=True) as connection:
        for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            yield (name,)
            yield from connection.execute(f"SELECT * FROM {name}").fetchall()
