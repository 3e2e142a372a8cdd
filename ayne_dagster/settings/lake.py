"""Where a lake is: the catalogue's Postgres, the folder or bucket of its files, the keys to that. Opens neither.

A lake is DuckLake (https://ducklake.select): tables as Parquet files, and a catalogue of them in Postgres, that several
machines write to. `AYNE_DATABASE` names the catalogue as `ducklake:postgres:` and libpq's words after it
(https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS), `AYNE_LAKE_DATA` the place of files.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus, urlsplit

from ayne_dagster.errors import SettingsError
from ayne_dagster.settings.places import absolute

PREFIX = "ducklake:"
_POSTGRES = "ducklake:postgres:"
_WORD = re.compile(r"\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^'\\\s]|\\.)+))(?=\s|$)")
_ESCAPE = re.compile(r"\\(.)")
_SHOWN = ("host", "hostaddr", "port", "dbname", "service")
"""The words that tell one catalogue from another."""
_PATIENCE = {"connect_timeout": "10", "keepalives_idle": "30", "tcp_user_timeout": "30000"}
"""Unless said otherwise: a server or a network that goes silent ends in an error, not in a wait for ever."""
_SECRET = {"password", "sslpassword", "passfile"}


@dataclass(frozen=True)
class S3:
    """How a bucket is reached; what is None the environment of S3 does without."""

    endpoint: str | None = None
    """An http(s) address, where it is not Amazon's."""
    region: str | None = None
    key_id: str | None = None
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class LakePlace:
    """A lake: its catalogue and its files."""

    words: tuple[tuple[str, str], ...]
    """libpq's words for the catalogue, without the password."""
    data: str
    """Folder, absolute, or s3:// address of the files; ends with a slash."""
    password: str | None = field(default=None, repr=False)
    s3: S3 | None = None

    @property
    def catalogue(self) -> str:
        """The words as libpq reads them, with an end to each wait; no password is among them."""
        words = _PATIENCE | dict(self.words)
        return " ".join(f"{name}={_quoted(value)}" for name, value in sorted(words.items()))

    @property
    def name(self) -> str:
        """What a person knows it by: where its catalogue is."""
        return f"{_POSTGRES}{' '.join(f'{name}={_quoted(value)}' for name, value in self.words if name in _SHOWN)}"

    @property
    def database(self) -> str:
        """The name of the catalogue's database, which is the same from each machine."""
        return dict(self.words)["dbname"]

    def beside(self, folder: Path) -> Path:
        """What the things of this lake on this machine are named after, in a folder: no two lakes have the same."""
        told = repr([(name, value) for name, value in sorted(self.words) if name in _SHOWN])
        plain = re.sub(r"[^A-Za-z0-9_-]", "_", self.database)[:40]
        return folder / f"{plain}-{hashlib.sha256(told.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}.lake"

    def redacted(self, text: str) -> str:
        """A text without the secrets of this place, however they are spelt in it."""
        for secret in (self.password, self.s3.secret if self.s3 else None):
            if secret and len(secret) > 2:
                for spelling in {secret, _quoted(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)}:
                    text = text.replace(spelling, "…")
        return text


def read_lake(address: str, data: str | None, s3: S3) -> LakePlace:
    """The lake that `AYNE_DATABASE`, `AYNE_LAKE_DATA` and the settings of S3 name.

    Raises:
        SettingsError: they name none; shows nothing of the address, which may hold a password.
    """
    if not address.startswith(_POSTGRES):
        raise SettingsError(
            "AYNE_DATABASE begins with ducklake: and not with ducklake:postgres:: a catalogue that several machines "
            "share is in Postgres. Write ducklake:postgres:host=… dbname=…, or the path of a DuckDB file."
        )
    words = _words(address.removeprefix(_POSTGRES))
    if words is None or not words.get("dbname"):
        raise SettingsError(
            "AYNE_DATABASE cannot be read as a lake: after ducklake:postgres: come words such as host=… port=… "
            "dbname=… user=… with spaces between them, dbname among them, and values with spaces in single quotes."
        )
    if secret := words.keys() & _SECRET - {"password", "passfile"}:
        raise SettingsError(f"AYNE_DATABASE holds {secret.pop()}: only password and passfile are taken there.")
    password = words.pop("password", None)
    if not data:
        raise SettingsError(
            "AYNE_DATABASE names a lake, and AYNE_LAKE_DATA does not say where its files are: set it to a folder that "
            "all machines see, or to s3://bucket/path/."
        )
    place = _data_place(data)
    if place.startswith("s3://"):
        _require_keys(s3)
    return LakePlace(tuple(sorted(words.items())), place, password, s3 if place.startswith("s3://") else None)


def _words(text: str) -> dict[str, str] | None:
    """libpq's words of a text; None where it is none."""
    found: dict[str, str] = {}
    position = 0
    text = text.strip()
    while position < len(text):
        match = _WORD.match(text, position)
        if match is None:
            return None
        found[match[1]] = _ESCAPE.sub(r"\1", match[2] if match[2] is not None else match[3])
        position = match.end()
    return found


def _quoted(value: str) -> str:
    """A value as libpq reads it."""
    if re.fullmatch(r"[\w./:-]+", value, re.ASCII):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _data_place(data: str) -> str:
    if data.startswith("s3://"):
        parts = urlsplit(data)
        if not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
            raise SettingsError("AYNE_LAKE_DATA is no address of a bucket: write s3://bucket/path/.")
        return data.rstrip("/") + "/"
    if "://" in data:
        raise SettingsError("AYNE_LAKE_DATA is neither a folder nor an s3:// address: choose one of these.")
    return absolute(data) + "/"


def _require_keys(s3: S3) -> None:
    if (s3.key_id is None) != (s3.secret is None):
        raise SettingsError("AYNE_LAKE_KEY_ID and AYNE_LAKE_SECRET go together: set both, or neither.")
    if s3.key_id is None:
        raise SettingsError(
            "AYNE_LAKE_DATA is a bucket, and there is no key to it: set AYNE_LAKE_KEY_ID and AYNE_LAKE_SECRET."
        )
