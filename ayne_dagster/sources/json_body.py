"""From a response body to JSON or to a validated model; which fields exist is in each source's `models.py`.

No HTTP and no knowledge of an API. The ordinary body takes pydantic's own parser, a few dozen microseconds;
every repair below runs only after that has failed, so an odd body costs more and a good one nothing.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections import defaultdict
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ayne_dagster.sources.errors import MalformedAnswer

MAX_BODY_BYTES = 10_000_000
"""Larger bodies, sent or unpacked, are refused; real ones (details with all credits) stay below 1 MB."""

MAX_REASON_CHARS = 200

_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_BOM = b"\xef\xbb\xbf"
_REPLACEMENT_ESCAPE = "\\ufffd"

# An escaped backslash and a proper pair are consumed whole, so that only a lone half reaches the group.
_SURROGATES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_ESCAPES = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})?')
# A quote stands inside a text when no JSON punctuation is next to it. OMDb's JSON is compact, so an opening
# quote directly follows its punctuation; a comma counts only when another text, object or list follows it.
_INNER_QUOTES = re.compile(r'(?<![{\[,:\\])(\\*)"(?!\s*(?:[}\]:]|,\s*["{\[]|$))')


def _null(_: str) -> None:
    """NaN, Infinity and -Infinity are no JSON; they mean "no number"."""


_STRICT = json.JSONDecoder(parse_constant=_null)
_LENIENT = json.JSONDecoder(strict=False, parse_constant=_null)

M = TypeVar("M", bound=BaseModel)


class LenientModel(BaseModel):
    """A model whose optional parts cannot fail it: what has a wrong type or shape counts as missing.

    A list loses its wrong items only. What is required still has to be there and right, otherwise the usual
    `pydantic.ValidationError` comes up, as it does for a value that is no object. The error never shows the
    input.

    The rule costs nothing while nothing is wrong, unlike validators written in Python, one a field.
    """

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """As pydantic's, but leaves out wrong optional parts. Does not alter `obj`."""
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            places = [e["loc"] for e in error.errors(include_url=False, include_context=False)]
            if () in places:
                raise
        return super().model_validate(_without(obj, places), **options)


def parse_json(body: bytes, *, max_bytes: int = MAX_BODY_BYTES) -> Any:
    """The JSON value that a body holds, repaired where it can be.

    Accepts what the APIs really sent: gzip without its header (TMDB, 2026-05-20,
    https://github.com/seerr-team/seerr/issues/3050), a byte order mark, invalid UTF-8 (replaced), raw control
    characters and illegal escapes (OMDb, https://github.com/omdbapi/OMDb-API/issues/53 and /322), unescaped
    quotes (OMDb, https://github.com/omdbapi/OMDb-API/issues/239), NaN and Infinity (read as null). Every text
    in the result can be encoded as UTF-8: half of a surrogate pair becomes U+FFFD.

    Args:
        body: the body as received.
        max_bytes: bound of the size, before and after unpacking.

    Raises:
        MalformedAnswer: nothing can be made of it, or it is too large or too deep.
    """
    text = _unpacked(body, max_bytes).removeprefix(_UTF8_BOM).decode("utf-8", errors="replace")
    if "\\ud" in text or "\\uD" in text:
        text = _SURROGATES.sub(lambda m: _REPLACEMENT_ESCAPE if m[1] else m[0], text)
    try:
        return _decoded(text)
    except json.JSONDecodeError as error:
        raise MalformedAnswer(_not_json(text, error), body) from None
    except RecursionError:
        raise MalformedAnswer("JSON nested too deeply", body) from None
    except ValueError:  # int() refuses more than 4,300 digits
        raise MalformedAnswer("JSON with a number of too many digits", body) from None


def validate_json(model: type[M], body: bytes) -> M:
    """The body as a model.

    Args:
        model: usually a `LenientModel`.
        body: the body as received; the same oddities are accepted as by `parse_json`.

    Raises:
        MalformedAnswer: the body is not JSON, or lacks what the model requires. The reason names the first
            offending field and holds no input.
    """
    if len(body) <= MAX_BODY_BYTES:
        try:
            return model.model_validate_json(body)
        except ValidationError:
            pass
    return validate(model, parse_json(body), body)


def validate(model: type[M], value: object, body: bytes | None = None) -> M:
    """A parsed JSON value as a model; `body` is what a failure keeps, by default the value written as JSON.

    Raises:
        MalformedAnswer: the value lacks what the model requires. The reason names the first offending field.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        kept = _written(value) if body is None else body
        raise MalformedAnswer(_first_error(model, error), kept) from None


def _written(value: object) -> bytes:
    try:
        return json.dumps(value, default=str).encode()
    except (RecursionError, ValueError):
        return b""


def _unpacked(body: bytes, max_bytes: int) -> bytes:
    if len(body) <= max_bytes:
        if not body.startswith(_GZIP_MAGIC):
            return body
        body_or_more = _gunzip(body, max_bytes + 1)
        if len(body_or_more) <= max_bytes:
            return body_or_more
    raise MalformedAnswer(f"body of more than {max_bytes:,} bytes", body[:max_bytes])


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    """At most `max_bytes` of what is packed: a small body can unpack to gigabytes."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
            return stream.read(max_bytes)
    except (OSError, EOFError, zlib.error):
        raise MalformedAnswer("gzip body that cannot be unpacked", body) from None


def _decoded(text: str) -> Any:
    """The first reading that works, from the standard's to the most forgiving."""
    try:
        return _STRICT.decode(text)
    except json.JSONDecodeError as error:
        first_error = error
    try:
        return _LENIENT.decode(text)
    except json.JSONDecodeError:
        text = _ESCAPES.sub(lambda m: m[0] if m[1] else r"\\", text)
    try:
        return _LENIENT.decode(text)
    except json.JSONDecodeError:
        text = _INNER_QUOTES.sub(_escaped_quote, text)
    try:
        return _LENIENT.decode(text)
    except json.JSONDecodeError:
        raise first_error from None


def _escaped_quote(quote: re.Match[str]) -> str:
    """The quote behind an odd number of backslashes: one more than none, one less than an even number."""
    backslashes = len(quote[1])
    if backslashes % 2 == 0:
        backslashes += -1 if backslashes else 1
    return "\\" * backslashes + '"'


def _not_json(text: str, error: json.JSONDecodeError) -> str:
    """Says what is wrong without quoting the body: an error page may echo the address, key included."""
    start = text.lstrip()[:1]
    if not start:
        return "empty body"
    if start == "<":
        return "not JSON but HTML or XML"
    return f"not JSON: {error.msg} at character {error.pos}"


def _first_error(model: type[BaseModel], error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "body"
    return f"{model.__name__} {place}: {first['msg']}"[:MAX_REASON_CHARS]


def _without(value: Any, places: list[tuple[int | str, ...]]) -> Any:
    """A copy without the parts at these places; what lies beside the paths is shared, not copied."""
    deeper: dict[int | str, list[tuple[int | str, ...]]] = defaultdict(list)
    for place in places:
        deeper[place[0]].append(place[1:])
    gone = {head for head, tails in deeper.items() if () in tails}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    kept = [(k, _without(v, deeper[k]) if k in deeper else v) for k, v in items if k not in gone]
    return dict(kept) if isinstance(value, dict) else [v for _, v in kept]
